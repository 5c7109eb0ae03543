#include "sensor/memory/process_record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { PAGE = PHYSMEM_PAGE_BYTES, CHUNK_PAGES = 64 };
#define PAGE_SECTORS (PAGE / CHV_SECTOR_BYTES)

struct run {
    const struct process_record *p;
    struct import_target target;
    uint64_t time_ns; /* of the events; 0: now */
    uint32_t blocks;  /* of the store's in a page */
    uint8_t *data;
    uint8_t (*unless)[CHV_HASH_BYTES];
    struct process_record_result *result;
};

/* What the page held at the last acquisition, so that only news become events. Zeros where nothing can be the same. */
static int look_up(struct run *r, uint64_t va, uint8_t (*hashes)[CHV_HASH_BYTES], struct chv_err *err)
{
    memset(hashes, 0, r->blocks * sizeof *hashes);
    if (!r->target.before) return 0;
    for (uint32_t b = 0; b < r->blocks; b++) {
        struct chv_extent e;
        int code = chv_store_block_at(r->target.store, r->target.before->id, va / r->target.block_bytes + b, r->target.last_seq, &e, err);
        if (code < 0) return code;
        if (e.state == CHV_STATE_DATA) memcpy(hashes[b], e.hash, CHV_HASH_BYTES);
    }
    return 0;
}

static int append(struct run *r, uint8_t op, uint64_t va, uint64_t bytes, const void *data, const uint8_t (*unless)[CHV_HASH_BYTES],
                  struct chv_err *err)
{
    struct chv_record record = {.space = r->target.space, .op = op, .flags = r->time_ns ? CHV_EVENT_IMPORTED : 0,
                                .sectors = (uint32_t)(bytes / CHV_SECTOR_BYTES), .lba = va / CHV_SECTOR_BYTES,
                                .time_ns = r->time_ns, .data = data, .unless = unless};
    int code = chv_recorder_append(r->target.rec, &record, 1, NULL, err);
    return code < 0 ? code : 0;
}

/* Read as much as is readable; a page whose content is not known is not invented. */
static int record_chunk(struct run *r, uint64_t va, uint64_t pa, size_t pages, struct chv_err *err)
{
    bool whole = physmem_read(r->p->mem, pa, r->data, pages * PAGE) == 0;
    for (size_t i = 0, end; i < pages; i = end) {
        end = i + 1;
        if (!whole && physmem_read(r->p->mem, pa + i * PAGE, r->data + i * PAGE, PAGE) < 0) {
            r->result->unreadable_pages++;
            continue;
        }
        if (whole) end = pages;
        for (size_t j = i; j < end; j++) {
            int code = look_up(r, va + j * PAGE, r->unless + j * r->blocks, err);
            if (code < 0) return code;
        }
        int code = append(r, CHV_OP_FOUND, va + i * PAGE, (end - i) * PAGE, r->data + i * PAGE,
                          (const uint8_t (*)[CHV_HASH_BYTES])(r->unless + i * r->blocks), err);
        if (code < 0) return code;
        r->result->pages += end - i;
    }
    return 0;
}

static int record_pages(struct run *r, struct chv_err *err)
{
    const struct pages *pages = r->p->pages;
    uint64_t done = 0;
    for (size_t i = 0; i < pages->count; i++) {
        const struct page_run *run = &pages->list[i];
        for (uint64_t at = 0; at < run->bytes;) {
            uint64_t left = (run->bytes - at) / PAGE;
            size_t n = left < CHUNK_PAGES ? (size_t)left : CHUNK_PAGES;
            int code = record_chunk(r, run->va + at, run->pa + at, n, err);
            if (code < 0) return code;
            at += n * PAGE;
            done += n * PAGE;
            import_progress(&r->target, "process", done, pages->bytes);
        }
    }
    return 0;
}

/* What an earlier acquisition had and no page table maps now was given back: TRIM. */
static int trim_gone(struct run *r, struct chv_err *err)
{
    if (!r->target.before) return 0;
    struct chv_map *map;
    struct chv_extent e;
    const struct pages *pages = r->p->pages;
    uint64_t end = r->target.before->size_bytes / r->target.block_bytes, per_page = r->blocks;
    size_t next = 0;
    int code = chv_map_open(r->target.store, r->target.before->id, 0, end, r->target.last_seq, &map, err);
    if (code < 0) return code;
    while ((code = chv_map_next(map, &e, err)) == 1) {
        if (e.state != CHV_STATE_DATA || e.first_block % per_page != 0) continue; /* one TRIM a page, at its first block */
        uint64_t va = e.first_block * r->target.block_bytes;
        while (next < pages->count && pages->list[next].va + pages->list[next].bytes <= va) next++;
        if (next < pages->count && pages->list[next].va <= va) continue;
        code = append(r, CHV_OP_TRIM, va, PAGE, NULL, NULL, err);
        if (code < 0) break;
        r->result->gone_pages++;
    }
    chv_map_close(map);
    return code < 0 ? code : 0;
}

static int record_map(struct run *r, struct chv_err *err)
{
    const struct process_record *p = r->p;
    char *text;
    size_t block = r->target.block_bytes, bytes, text_bytes;
    int code = p->describe(p->arg, r->result, &text, &text_bytes, err);
    if (code < 0) return code;
    bytes = (text_bytes + block - 1) / block * block;
    uint8_t *padded = calloc(1, bytes);
    if (padded) memcpy(padded, text, text_bytes);
    free(text);
    if (!padded) return chv_err_set(err, ENOMEM, "out of memory");
    uint16_t id;
    code = chv_recorder_space(r->target.rec, p->map_space, bytes, CHV_REST_ZERO, NULL, &id, err);
    uint16_t process = r->target.space;
    r->target.space = id;
    for (size_t at = 0; at < bytes && code >= 0; at += (size_t)CHUNK_PAGES * PAGE) {
        size_t n = bytes - at < (size_t)CHUNK_PAGES * PAGE ? bytes - at : (size_t)CHUNK_PAGES * PAGE;
        code = append(r, CHV_OP_FOUND, at, n, padded + at, NULL, err);
    }
    r->target.space = process;
    free(padded);
    return code < 0 ? code : 0;
}

int process_record_run(const struct process_record *p, struct process_record_result *out, struct chv_err *err)
{
    *out = (struct process_record_result){0};
    struct run r = {.p = p, .result = out};
    int code = import_target_look(&r.target, &p->options, err);
    if (code < 0) goto out_close;
    r.blocks = PAGE / r.target.block_bytes;
    r.data = malloc((size_t)CHUNK_PAGES * PAGE);
    r.unless = calloc((size_t)CHUNK_PAGES * r.blocks, sizeof *r.unless);
    if (!r.data || !r.unless) {
        code = chv_err_set(err, ENOMEM, "out of memory");
        goto out_close;
    }
    /* A log's time never goes back: memory older than the log is recorded as of now, and the map says when it was. */
    r.time_ns = p->time_ns >= r.target.last_time_ns && p->time_ns <= clock_now_ns() ? p->time_ns : 0;
    code = import_target_begin(&r.target, r.time_ns, err);
    if (code >= 0) code = import_target_space(&r.target, walk_user_last(p->levels) + 1, CHV_REST_UNKNOWN, NULL, err);
    if (code >= 0) code = record_pages(&r, err);
    if (code >= 0) code = trim_gone(&r, err);
    if (code >= 0) code = record_map(&r, err);
out_close:;
    struct chv_err later;
    int closed = import_target_close(&r.target, &out->store, &later);
    if (code >= 0 && closed < 0) {
        code = closed;
        if (err) *err = later;
    }
    free(r.data);
    free(r.unless);
    return code < 0 ? code : 0;
}
