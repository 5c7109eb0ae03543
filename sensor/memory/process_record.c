#include "sensor/memory/process_record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sensor/memory/joint.h"
#include "sensor/memory/process_pages.h"
#include "sensor/memory/text_space.h"

enum { PAGE = PHYSMEM_PAGE_BYTES };
#define PAGE_SECTORS (PAGE / CHV_SECTOR_BYTES)

struct run {
    const struct process_record *p;
    struct import_target target;
    struct sink sink;
    uint64_t time_ns; /* of the events; 0: now */
    uint32_t blocks;  /* of the store's in a page */
    struct process_record_result *result;
};

static int append(struct run *r, uint8_t op, uint64_t va, uint64_t bytes, const void *data, struct chv_err *err)
{
    struct chv_record record = {.space = r->target.space, .op = op, .flags = r->time_ns ? CHV_EVENT_IMPORTED : 0,
                                .sectors = (uint32_t)(bytes / CHV_SECTOR_BYTES), .lba = va / CHV_SECTOR_BYTES,
                                .time_ns = r->time_ns, .data = data};
    int code = sink_append(&r->sink, &record, 1, err);
    return code < 0 ? code : 0;
}

static int record_pages(struct run *r, struct chv_err *err)
{
    struct process_pages p = {.mem = r->p->mem, .pages = r->p->pages, .target = &r->target, .sink = &r->sink, .time_ns = r->time_ns};
    int code = process_pages_record(&p, err);
    r->result->pages = p.read_pages;
    r->result->unreadable_pages = p.unreadable_pages;
    return code;
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
        code = append(r, CHV_OP_TRIM, va, PAGE, NULL, err);
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
    uint16_t id = 0;
    code = sink_space(&r->sink, p->map_space, bytes, CHV_REST_ZERO, &id, err);
    const struct text_space to = {.id = id, .flags = r->time_ns ? CHV_EVENT_IMPORTED : 0, .block_bytes = r->target.block_bytes, .time_ns = r->time_ns};
    if (code >= 0) code = text_space_write(&r->sink, &to, (const char *)padded, bytes, err);
    free(padded);
    return code < 0 ? code : 0;
}

int process_record_run(const struct process_record *p, struct process_record_result *out, struct chv_err *err)
{
    *out = (struct process_record_result){0};
    struct run r = {.p = p, .result = out};
    uint64_t began = clock_monotonic_ns();
    int code = import_target_look(&r.target, &p->options, err);
    if (code < 0) goto out_close;
    r.blocks = PAGE / r.target.block_bytes;
    /* A log's time never goes back: memory older than the log is recorded as of now, and the map says when it was. */
    r.time_ns = p->time_ns >= r.target.last_time_ns && p->time_ns <= clock_now_ns() ? p->time_ns : 0;
    code = joint_begin(&r.target, &r.sink, r.time_ns, err);
    out->joined = r.sink.join != NULL;
    if (out->joined) r.time_ns = 0; /* among what the guest writes meanwhile: each event has its own */
    if (code >= 0)
        code = sink_space(&r.sink, p->options.space, walk_user_last(p->levels) + 1, CHV_REST_UNKNOWN, &r.target.space, err);
    if (code >= 0) code = record_pages(&r, err);
    if (code >= 0) code = trim_gone(&r, err);
    if (code >= 0) code = record_map(&r, err);
out_close:;
    struct chv_err later;
    int closed = code < 0 ? 0 : joint_end(&r.target, &r.sink, &out->store, &later);
    if (code < 0) joint_close(&r.target, &r.sink);
    if (closed < 0) {
        code = closed;
        if (err) *err = later;
    }
    out->record_ns = clock_monotonic_ns() - began;
    return code < 0 ? code : 0;
}
