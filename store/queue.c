#include "store/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chronovisor/recorder.h"

#define QUEUE_MAGIC "CHVQUE\r\n"
#define QUEUE_HEADER_BYTES 4096u

_Static_assert(sizeof(struct queue_file) <= QUEUE_HEADER_BYTES, "the header fits its page");

static size_t file_bytes(uint32_t slots, uint32_t block_bytes)
{
    return QUEUE_HEADER_BYTES + (size_t)slots * (sizeof(struct slot) + block_bytes);
}

static void boot_id(char text[40])
{
    memset(text, 0, 40);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t n = read(fd, text, 36);
    if (n < 36) memset(text, 0, 40);
    close(fd);
}

/* Is there an earlier recorder's content to be replayed? *foreign: in a layout that this version does not know. */
static bool has_content(int fd, const struct meta *meta, uint32_t *slots, bool *stale, bool *foreign)
{
    struct queue_file h;
    char now[40];
    struct stat st;
    *stale = *foreign = false;
    if (io_pread_full(fd, &h, sizeof h, 0) < 0 || fstat(fd, &st) < 0) return false;
    if (memcmp(h.magic, QUEUE_MAGIC, 8) != 0 || memcmp(h.uuid, meta->uuid, 16) != 0) return false;
    *foreign = h.version != QUEUE_VERSION && (h.head != h.tail || h.gap_count > 0);
    if (h.version != QUEUE_VERSION || h.block_bytes != meta->block_bytes || h.slots < CHV_QUEUE_BLOCKS_MIN || h.slots > CHV_QUEUE_BLOCKS_MAX || h.gap_count > QUEUE_GAPS ||
        (uint64_t)st.st_size != file_bytes(h.slots, h.block_bytes) || (h.head == h.tail && h.gap_count == 0) ||
        h.head - h.tail > h.slots)
        return false;
    boot_id(now);
    if (now[0] == 0 || memcmp(now, h.boot_id, sizeof now) != 0) {
        *stale = true;
        return false;
    }
    *slots = h.slots;
    return true;
}

static int make(struct queue *q, int fd, const struct meta *meta, uint32_t slots, const char *path, struct chv_err *err)
{
    /* Allocated now, so that a full disk is met here and not as a SIGBUS in the data path. */
    int r = ftruncate(fd, 0) < 0 ? errno : posix_fallocate(fd, 0, (off_t)file_bytes(slots, meta->block_bytes));
    if (r != 0) return chv_err_set(err, r, "%s: %s", path, strerror(r));
    (void)q;
    return 0;
}

int queue_open(struct queue *q, const struct meta *meta, uint32_t slots, struct chv_err *err)
{
    char path[STORE_PATH_BYTES];
    bool stale, foreign;
    memset(q, 0, sizeof *q);
    meta_path(meta, "queue", path);
    if (slots < CHV_QUEUE_BLOCKS_MIN || slots > CHV_QUEUE_BLOCKS_MAX)
        return chv_err_set(err, EINVAL, "a queue has %u to %u blocks", CHV_QUEUE_BLOCKS_MIN, CHV_QUEUE_BLOCKS_MAX);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return chv_err_set(err, errno, "%s: %s", path, strerror(errno));
    bool old = has_content(fd, meta, &slots, &stale, &foreign);
    if (foreign) {
        close(fd);
        return chv_err_set(err, EPROTO, "%s: holds events that another version of chronovisor did not finish writing: "
                           "open the store once with that version", path);
    }
    int r = old ? 0 : make(q, fd, meta, slots, path, err);
    q->discarded = stale;
    q->count = slots;
    q->block_bytes = meta->block_bytes;
    q->map_bytes = file_bytes(slots, meta->block_bytes);
    void *map = MAP_FAILED, *packed = NULL;
    if (r == 0) {
        map = mmap(NULL, q->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        packed = malloc((size_t)QUEUE_PACKED * meta->block_bytes);
        q->unused = malloc(slots * sizeof *q->unused);
        q->holds = calloc(slots, 1);
        if (map == MAP_FAILED || !packed || !q->unused || !q->holds)
            r = chv_err_set(err, errno, "%s: %s", path, strerror(errno));
    }
    close(fd);
    if (r < 0) {
        if (map != MAP_FAILED) munmap(map, q->map_bytes);
        free(packed);
        free(q->unused);
        free(q->holds);
        return r;
    }
    /* Not under the guest's first writes: a page of a new file costs more than hashing its content. */
    if (!old) madvise(map, q->map_bytes, MADV_POPULATE_WRITE);
    q->file = map;
    q->slots = (struct slot *)(void *)((uint8_t *)map + QUEUE_HEADER_BYTES);
    q->data = (uint8_t *)(q->slots + slots);
    q->packed = packed;
    for (uint32_t i = slots; i-- > 0;) q->unused[q->unused_count++] = i;
    for (uint32_t i = QUEUE_PACKED; i-- > 0;) q->packed_unused[q->packed_unused_count++] = i;
    if (!old) {
        q->file->version = QUEUE_VERSION;
        q->file->slots = slots;
        q->file->block_bytes = meta->block_bytes;
        memcpy(q->file->uuid, meta->uuid, 16);
        boot_id(q->file->boot_id);
        memcpy(q->file->magic, QUEUE_MAGIC, 8);
    }
    return 0;
}

void queue_close(struct queue *q)
{
    if (!q->file) return;
    free(q->packed);
    munmap(q->file, q->map_bytes);
    free(q->unused);
    free(q->holds);
    q->file = NULL;
}

static uint64_t distance(const struct queue_gap *g, uint64_t first, uint64_t end)
{
    return first > g->end_block ? first - g->end_block : g->first_block > end ? g->first_block - end : 0;
}

void queue_add_gap(struct queue *q, uint16_t space, uint64_t first_block, uint64_t end_block, uint64_t events,
                   uint64_t time_ns, uint8_t reason)
{
    struct queue_file *f = q->file;
    struct queue_gap *best = NULL;
    for (uint32_t i = 0; i < f->gap_count; i++) {
        struct queue_gap *g = &f->gaps[i];
        if (g->space != space) continue;
        if (!best || distance(g, first_block, end_block) < distance(best, first_block, end_block)) best = g;
    }
    /* A new entry while there is room (the last quarter is kept for spaces without one). */
    if ((!best || (distance(best, first_block, end_block) > 0 && f->gap_count < QUEUE_GAPS * 3 / 4)) &&
        f->gap_count < QUEUE_GAPS) {
        f->gaps[f->gap_count] = (struct queue_gap){.first_block = first_block, .end_block = end_block, .events = events,
                                                   .first_time_ns = time_ns, .space = space, .reason = reason};
        f->gap_count++;
        return;
    }
    if (!best) best = &f->gaps[QUEUE_GAPS - 1]; /* more spaces than entries: cannot happen with 16 spaces a recorder */
    if (first_block < best->first_block) best->first_block = first_block;
    if (end_block > best->end_block) best->end_block = end_block;
    best->events += events;
}
