#include "sensor/memory/export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "store/digest.h"

#define CHUNK_BYTES (UINT32_C(1) << 20)

struct writer {
    struct chv_view *view;
    int fd;
    const volatile sig_atomic_t *stop;
    void (*progress)(const char *, uint64_t, uint64_t);
    uint64_t total_bytes, done_bytes;
    uint8_t *chunk;                /* CHUNK_BYTES */
    bool look_for_note;
    uint8_t note[EXPORT_NOTE_MAX]; /* the guest's, copied */
    size_t note_bytes;
    struct export_result *result;
};

int export_format_parse(const char *text)
{
    static const char *const names[] = {[EXPORT_RAW] = "raw", [EXPORT_LIME] = "lime", [EXPORT_ELF] = "elf"};
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (strcmp(text, names[i]) == 0) return i;
    return -EINVAL;
}

static int put(const struct writer *w, const void *data, size_t bytes, uint64_t offset, struct chv_err *err)
{
    int r = io_real.pwrite(&io_real, w->fd, data, bytes, offset);
    return r < 0 ? chv_err_set(err, -r, "writing: %s", strerror(-r)) : 0;
}

/* What is zeros stays a hole, page by page; runs of other pages are written together. */
static int put_pages(struct writer *w, size_t bytes, uint64_t offset, struct chv_err *err)
{
    int r = 0;
    for (size_t at = 0, run = 0; r == 0 && at <= bytes; at += LAYOUT_PAGE_BYTES) {
        const uint8_t *page = w->chunk + at;
        bool zeros = at == bytes || digest_is_zero(page, LAYOUT_PAGE_BYTES);
        if (!zeros) {
            run += LAYOUT_PAGE_BYTES;
            if (w->look_for_note && w->note_bytes == 0 && (w->note_bytes = export_vmcoreinfo(page, LAYOUT_PAGE_BYTES)) > 0)
                memcpy(w->note, page, w->note_bytes);
        } else if (run > 0) {
            r = put(w, w->chunk + at - run, run, offset + at - run, err);
            w->result->data_bytes += run;
            run = 0;
        }
    }
    return r;
}

static int put_range(struct writer *w, const struct ram_range *range, uint64_t offset, struct chv_err *err)
{
    int r = 0;
    for (uint64_t at = 0; r == 0 && at < range->bytes;) {
        size_t n = range->bytes - at < CHUNK_BYTES ? (size_t)(range->bytes - at) : CHUNK_BYTES;
        if (w->stop && *w->stop) return chv_err_set(err, EINTR, "interrupted");
        r = chv_view_pread(w->view, w->chunk, n, range->gpa + at, err);
        if (r == 0) r = put_pages(w, n, offset + at, err);
        at += n;
        w->done_bytes += n;
        if (w->progress) w->progress("exporting", w->done_bytes, w->total_bytes);
    }
    return r;
}

static int write_raw(struct writer *w, const struct ram_layout *layout, struct chv_err *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < layout->count; i++) r = put_range(w, &layout->ranges[i], layout->ranges[i].gpa, err);
    w->result->file_bytes = layout_end(layout);
    return r;
}

static int write_lime(struct writer *w, const struct ram_layout *layout, struct chv_err *err)
{
    uint64_t offset = 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < layout->count; i++) {
        uint8_t header[EXPORT_LIME_HEADER_BYTES];
        export_lime_header(&layout->ranges[i], header);
        r = put(w, header, sizeof header, offset, err);
        offset += sizeof header;
        if (r == 0) r = put_range(w, &layout->ranges[i], offset, err);
        offset += layout->ranges[i].bytes;
    }
    w->result->file_bytes = offset;
    return r;
}

/* The note is found on the way, so it comes last in the file, and the headers are written when it is known. */
static int write_elf(struct writer *w, const struct ram_layout *layout, struct chv_err *err)
{
    uint8_t headers[EXPORT_ELF_HEADER_BYTES + (1 + LAYOUT_RANGES_MAX) * EXPORT_ELF_SEGMENT_BYTES];
    uint64_t data_offset = export_elf_data_offset(layout), offset = data_offset;
    int r = 0;
    w->look_for_note = true;
    for (size_t i = 0; r == 0 && i < layout->count; i++) {
        r = put_range(w, &layout->ranges[i], offset, err);
        offset += layout->ranges[i].bytes;
    }
    size_t bytes = export_elf_headers(layout, data_offset, offset, w->note_bytes, headers);
    if (r == 0) r = put(w, headers, bytes, 0, err);
    if (r == 0 && w->note_bytes) r = put(w, w->note, w->note_bytes, offset, err);
    w->result->vmcoreinfo = w->note_bytes > 0;
    w->result->file_bytes = offset + w->note_bytes;
    return r;
}

int export_write(struct chv_view *view, const struct ram_layout *layout, enum export_format format, int fd,
                 const volatile sig_atomic_t *stop, void (*progress)(const char *, uint64_t, uint64_t),
                 struct export_result *result, struct chv_err *err)
{
    *result = (struct export_result){.memory_bytes = layout_bytes(layout)};
    if (layout_end(layout) > chv_view_size_bytes(view))
        return chv_err_set(err, EPROTO, "the memory's ranges end behind the space");
    struct writer *w = calloc(1, sizeof *w);
    if (!w || !(w->chunk = malloc(CHUNK_BYTES))) {
        free(w);
        return chv_err_set(err, ENOMEM, "out of memory");
    }
    w->view = view;
    w->fd = fd;
    w->stop = stop;
    w->progress = progress;
    w->total_bytes = result->memory_bytes;
    w->result = result;
    int r = (format == EXPORT_RAW ? write_raw : format == EXPORT_LIME ? write_lime : write_elf)(w, layout, err);
    if (r == 0 && ftruncate(fd, (off_t)result->file_bytes) < 0) r = chv_err_set(err, errno, "writing: %s", strerror(errno));
    free(w->chunk);
    free(w);
    return r;
}
