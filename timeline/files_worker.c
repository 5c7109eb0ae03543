/* The worker: reads of the image go to the caller a page at a time, requests are served one by one. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "timeline/files_worker.h"

int worker_fail(struct worker *w, int code, const char *fmt, ...)
{
    va_list list;
    va_start(list, fmt);
    vsnprintf(w->text, sizeof w->text, fmt, list);
    va_end(list);
    return -code;
}

int worker_fail_tsk(struct worker *w, int code, const char *what)
{
    const char *reason = tsk_error_get();
    int r = worker_fail(w, code, "%s: %s", what, reason ? reason : "The Sleuth Kit gives no reason");
    tsk_error_reset();
    return r;
}

int worker_send(struct worker *w, uint32_t type, const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    int r = wire_send(w->socket, type, a, a_bytes, b, b_bytes);
    if (r < 0) w->stopped = true;
    return r;
}

/* Ask the caller for bytes of the image; they arrive in the window. */
static int worker_fill(struct worker *w, uint64_t offset, uint32_t bytes)
{
    struct wire_fill fill = {.offset = offset, .bytes = bytes};
    struct wire_header header;
    struct wire_filled filled;
    if (worker_send(w, WIRE_FILL, &fill, sizeof fill, NULL, 0) < 0 ||
        wire_receive(w->socket, &header, sizeof header, 0) < 0 || header.type != WIRE_FILLED ||
        header.bytes != sizeof filled || wire_receive(w->socket, &filled, sizeof filled, 0) < 0)
        _exit(0); /* the caller has gone away or given up */
    if (filled.result < 0) {
        if (w->failed++ == 0)
            snprintf(w->failed_text, sizeof w->failed_text, "bytes %llu to %llu of the space cannot be had",
                     (unsigned long long)offset, (unsigned long long)(offset + bytes - 1));
        return -EIO;
    }
    return 0;
}

static void tell_touched(struct worker *w)
{
    if (w->touched_count > 0) worker_send(w, WIRE_TOUCHED, w->touched, w->touched_count * sizeof *w->touched, NULL, 0);
    w->touched_count = 0;
}

/* The answer depends on this page; the caller may want to know. */
static void touch(struct worker *w, uint64_t page)
{
    uint32_t *last = &w->touched_in[page % WORKER_PAGES];
    if (*last == w->request) return;
    *last = w->request;
    w->touched[w->touched_count++] = page;
    if (w->touched_count == sizeof w->touched / sizeof w->touched[0]) tell_touched(w);
}

int worker_image_read(struct worker *w, uint64_t offset, void *buf, size_t bytes)
{
    char *out = buf;
    while (bytes > 0) {
        uint64_t page = offset / WORKER_PAGE_BYTES, slot = page % WORKER_PAGES;
        size_t at = offset % WORKER_PAGE_BYTES, n = WORKER_PAGE_BYTES - at;
        if (n > bytes) n = bytes;
        if (w->page_of[slot] != page + 1) {
            /* Fetch what this request needs and is not there yet; more only while reading straight on, and
             * never when the caller wants to know what an answer depends on. */
            uint64_t end = (offset + bytes + WORKER_PAGE_BYTES - 1) / WORKER_PAGE_BYTES, last = page + 1;
            if (!w->options.trace && page == w->next_page) end = page + WIRE_WINDOW_BYTES / WORKER_PAGE_BYTES;
            if (end > (w->size_bytes + WORKER_PAGE_BYTES - 1) / WORKER_PAGE_BYTES)
                end = (w->size_bytes + WORKER_PAGE_BYTES - 1) / WORKER_PAGE_BYTES;
            while (last < end && last - page < WIRE_WINDOW_BYTES / WORKER_PAGE_BYTES &&
                   w->page_of[last % WORKER_PAGES] != last + 1)
                last++;
            w->next_page = last;
            uint64_t first_byte = page * WORKER_PAGE_BYTES, end_byte = last * WORKER_PAGE_BYTES;
            if (end_byte > w->size_bytes) end_byte = w->size_bytes;
            if (worker_fill(w, first_byte, (uint32_t)(end_byte - first_byte)) < 0) {
                for (uint64_t p = page; p < last && w->options.trace; p++) touch(w, p);
                return -EIO;
            }
            memset((char *)w->window + (end_byte - first_byte), 0, last * WORKER_PAGE_BYTES - end_byte);
            for (uint64_t p = page; p < last; p++) {
                memcpy(w->pages + p % WORKER_PAGES * WORKER_PAGE_BYTES,
                       (char *)w->window + (p - page) * WORKER_PAGE_BYTES, WORKER_PAGE_BYTES);
                w->page_of[p % WORKER_PAGES] = p + 1;
                w->touched_in[p % WORKER_PAGES] = 0;
            }
        }
        if (w->options.trace) touch(w, page);
        memcpy(out, w->pages + slot * WORKER_PAGE_BYTES + at, n);
        out += n, offset += n, bytes -= n;
    }
    return 0;
}

static const struct overlay_entry *overlay_find(const struct worker *w, uint64_t block)
{
    size_t low = 0, high = w->overlay_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (w->overlay[middle].block == block) return &w->overlay[middle];
        if (w->overlay[middle].block < block)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Read through the overlay, a block of the file system at a time. */
static int overlay_read(struct worker *w, uint64_t offset, char *buf, size_t bytes)
{
    while (bytes > 0) {
        uint64_t relative = offset - w->overlay_base, block = relative / w->overlay_block_bytes;
        size_t at = relative % w->overlay_block_bytes, n = w->overlay_block_bytes - at;
        if (n > bytes) n = bytes;
        const struct overlay_entry *e = overlay_find(w, block);
        int r = worker_image_read(w, e ? e->offset + at : offset, buf, n);
        if (r < 0) return r;
        static const unsigned char magic[4] = {0xc0, 0x3b, 0x39, 0x98};
        if (e && e->escaped)
            for (size_t i = at; i < 4 && i - at < n; i++) buf[i - at] = (char)magic[i];
        buf += n, offset += n, bytes -= n;
    }
    return 0;
}

ssize_t worker_tsk_read(TSK_IMG_INFO *img, TSK_OFF_T offset, char *buf, size_t bytes)
{
    struct worker *w = (struct worker *)img;
    /* The Sleuth Kit reads 64 KiB ahead into a cache of its own; refused that, it asks for exactly what it
     * needs. Ours is smaller-grained, which matters twice: a view is asked for few blocks, and the blocks
     * an answer depends on are known (files_history.c). */
    if ((uintptr_t)buf >= (uintptr_t)img->cache && (uintptr_t)buf < (uintptr_t)img->cache + sizeof img->cache) return -1;
    if (offset < 0 || (uint64_t)offset >= w->size_bytes) return -1;
    if (bytes > w->size_bytes - (uint64_t)offset) bytes = (size_t)(w->size_bytes - (uint64_t)offset);
    int r = w->overlay_count > 0 && (uint64_t)offset >= w->overlay_base
                ? overlay_read(w, (uint64_t)offset, buf, bytes)
                : worker_image_read(w, (uint64_t)offset, buf, bytes);
    if (r == 0) return (ssize_t)bytes;
    memset(buf, 0, bytes); /* short requests lose the error inside The Sleuth Kit; `failed` keeps it */
    tsk_error_set_errno(TSK_ERR_IMG_READ);
    tsk_error_set_errstr("%s", w->failed_text);
    return -1;
}

static void image_close(TSK_IMG_INFO *img)
{
    (void)img;
}

static void image_stat(TSK_IMG_INFO *img, FILE *out)
{
    (void)img, (void)out;
}

static int worker_serve(struct worker *w, const struct wire_header *header, char *payload)
{
    struct wire_request request = {0};
    const char *path = payload + sizeof request;
    w->text[0] = 0;
    w->failed = w->emitted = 0;
    w->request++;
    tsk_error_reset();
    if (header->type == WIRE_VOLUMES) return worker_volumes(w);
    if (header->type == WIRE_OPEN && header->bytes >= sizeof w->options) {
        const uint64_t *changed = (const uint64_t *)(const void *)(payload + sizeof w->options);
        for (size_t i = 0; i < (header->bytes - sizeof w->options) / sizeof *changed; i++)
            if (w->page_of[changed[i] % WORKER_PAGES] == changed[i] + 1) w->page_of[changed[i] % WORKER_PAGES] = 0;
        return worker_open(w, (const struct wire_open *)(const void *)payload);
    }
    if (!w->fs) return worker_fail(w, EINVAL, "no file system is open");
    if (header->type == WIRE_OWNERS)
        return worker_owners(w, (const struct lba_range *)(const void *)payload, header->bytes / sizeof(struct lba_range));
    if (header->bytes < sizeof request + 1) return worker_fail(w, EINVAL, "short request");
    memcpy(&request, payload, sizeof request);
    w->limit = request.limit;
    if (header->type == WIRE_LIST) return worker_list(w, &request, path);
    if (header->type == WIRE_STAT) return worker_stat(w, path);
    if (header->type == WIRE_READ) return worker_read(w, path, request.flags != 0);
    return worker_fail(w, EINVAL, "unknown request %u", header->type);
}

_Noreturn void files_worker(int socket, void *window, uint64_t size_bytes)
{
    /* mapped, not allocated: most of it (libtsk's cache) is never touched, nor should be to clear it */
    struct worker *w = mmap(NULL, sizeof *w, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (w == MAP_FAILED) _exit(1);
    w->socket = socket;
    w->window = window;
    w->size_bytes = size_bytes;
    w->pages = mmap(NULL, (size_t)WORKER_PAGES * WORKER_PAGE_BYTES, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (w->pages == MAP_FAILED) _exit(1);
    if (!tsk_img_open_external(w, (TSK_OFF_T)size_bytes, 512, worker_tsk_read, image_close, image_stat)) _exit(1);
    for (;;) {
        struct wire_header header;
        if (wire_receive(socket, &header, sizeof header, 0) < 0 || header.bytes > (64u << 20)) _exit(0);
        char *payload = calloc(1, (size_t)header.bytes + 1);
        if (!payload || wire_receive(socket, payload, header.bytes, 0) < 0) _exit(0);
        struct wire_done done = {.result = worker_serve(w, &header, payload)};
        free(payload);
        tell_touched(w);
        if (w->failed > 0 && (done.result >= 0 || done.result == -EPROTO || done.result == -ENOENT)) {
            /* What cannot be read must not pass for what is not there. */
            done.result = -EIO;
            snprintf(done.text, sizeof done.text, "%s%s", w->failed_text, w->failed > 1 ? " (and more)" : "");
        } else {
            memcpy(done.text, w->text, sizeof done.text);
        }
        if (worker_send(w, WIRE_DONE, &done, sizeof done, NULL, 0) < 0) _exit(0);
    }
}
