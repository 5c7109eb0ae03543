/* Any bytes as what a helper inside a guest answers, in pieces of any size: what is believed of it keeps within its bounds. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/memory/helper_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIRST_ID = 7, PID = 42 };

static void check_pages(const struct helper_answer *a)
{
    const struct helper_pages *p = &a->pages;
    uint64_t end = 0, bytes = 0;
    for (size_t i = 0; i < p->vma_count; i++) {
        const struct linux_vma *v = &p->vmas[i];
        if (v->start < end || v->start >= v->end || v->end > walk_user_last(5) + 1) abort();
        if (v->path && strlen(v->path) > CHV_HELPER_PATH_MAX) abort();
        end = v->end;
    }
    end = 0;
    for (size_t i = 0; i < p->pages.count; i++) {
        const struct page_run *r = &p->pages.list[i];
        if (r->va < end || r->bytes == 0 || r->bytes % PHYSMEM_PAGE_BYTES || !physmem_is_ram(a->mem, r->pa, r->bytes)) abort();
        end = r->va + r->bytes;
        bytes += r->bytes;
    }
    if (bytes != p->pages.bytes || p->absent_count > HELPER_ABSENT_MAX) abort();
}

/* The first byte chooses the question and the size of the pieces. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct helper_reader reader;
    static const struct physmem_range ranges[] = {{0, 64 << 20, 0, -1}, {UINT64_C(1) << 32, 1 << 20, 64 << 20, -1}};
    struct chv_helper_frame frame;
    const uint8_t *payload;
    struct chv_err err;
    if (size < 1 || size > 1 << 20) return 0;
    struct helper_answer a = {.asked = data[0] & 1 ? CHV_HELPER_LIST : CHV_HELPER_PAGES, .id = FIRST_ID, .pid = data[0] & 1 ? 0 : PID};
    size_t piece = (size_t)(data[0] >> 1) * 37 + 1;
    int r = physmem_open_ranges(ranges, 2, &a.mem, &err);
    if (r < 0) abort();
    reader.begin = reader.end = 0;
    reader.first_id = FIRST_ID;
    reader.found = false;
    reader.skipped = 0;
    for (size_t at = 1; at < size && r >= 0 && !a.ended;) {
        size_t room, n = size - at < piece ? size - at : piece;
        uint8_t *to = helper_reader_room(&reader, &room);
        if (room == 0) abort();
        if (n > room) n = room;
        memcpy(to, data + at, n);
        helper_reader_filled(&reader, n);
        at += n;
        while (!a.ended && (r = helper_reader_next(&reader, &frame, &payload, &err)) == 1)
            if ((r = helper_answer_add(&a, &frame, payload, &err)) < 0) break;
        if (r < 0 && err.code != EPROTO) abort();
    }
    check_pages(&a);
    for (size_t i = 0; i < a.task_count; i++)
        if (a.tasks[i].pid == 0 || strlen(a.tasks[i].name) >= sizeof a.tasks[i].name) abort();
    physmem_close(a.mem);
    helper_answer_fini(&a);
    return 0;
}
