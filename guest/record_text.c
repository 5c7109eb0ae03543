/* The text of map:PID, as process_map.c of sensor/memory writes it. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "guest/record.h"

void record_json(FILE *out, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\u%04x", c);
        else
            fputc(c < 0x80 ? c : '?', out); /* it need not be UTF-8 */
    }
}

static void head(FILE *out, const struct record_list *l)
{
    char time[32];
    time_t seconds = (time_t)(l->time_ns / 1000000000u);
    struct tm t;
    gmtime_r(&seconds, &t);
    strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%S", &t);
    fprintf(out, "{\"kind\":\"process\",\"format\":1,\"road\":\"hypercall\",\"time\":\"%s.%09uZ\",\"time_ns\":%" PRIu64 ",\"bytes\":%" PRIu64
                 ",\"device_bytes\":0,\"truncated\":false,\"source\":\"VMMCALL\",\"pid\":%u,\"ppid\":%u,\"name\":\"",
            time, (unsigned)(l->time_ns % 1000000000u), l->time_ns, l->present_pages * CHV_HELPER_PAGE_BYTES, l->process.pid, l->process.ppid);
    record_json(out, l->process.name, strnlen(l->process.name, sizeof l->process.name));
    fprintf(out, "\",\"command\":\"");
    record_json(out, l->command ? l->command : "", l->command ? l->command_bytes : 0);
    fprintf(out, "\",\"held\":%s,\"torn\":%s,\"swapped_pages\":%" PRIu64 ",\"unseen_pages\":%" PRIu64 ",\"refused_pages\":%" PRIu64 "}\n",
            l->held ? "true" : "false", l->torn ? "true" : "false", l->swapped_pages, l->unseen_pages, l->refused_pages);
}

static void mapping(FILE *out, const struct record_mapping *r)
{
    const struct chv_helper_mapping *m = &r->m;
    fprintf(out, "{\"kind\":\"mapping\",\"start\":\"0x%" PRIx64 "\",\"end\":\"0x%" PRIx64 "\",\"rights\":\"%c%c%c%c\",\"offset\":%" PRIu64 ",\"path\":\"",
            m->start, m->end, m->flags & CHV_HELPER_READ ? 'r' : '-', m->flags & CHV_HELPER_WRITE ? 'w' : '-',
            m->flags & CHV_HELPER_EXEC ? 'x' : '-', m->flags & CHV_HELPER_SHARED ? 's' : 'p', m->offset);
    record_json(out, r->path, m->path_bytes);
    fprintf(out, "\",\"deleted\":%s,\"memfd\":%s}\n", m->flags & CHV_HELPER_DELETED ? "true" : "false",
            strncmp(r->path, "/memfd:", 7) == 0 ? "true" : "false");
}

static void pages(FILE *out, uint64_t va, uint64_t count, uint32_t f)
{
    fprintf(out, "{\"kind\":\"%s\",\"start\":\"0x%" PRIx64 "\",\"pages\":%" PRIu64,
            f & CHV_HELPER_PRESENT ? "pages" : f & CHV_HELPER_SWAPPED ? "swapped" : "unseen", va, count);
    if (f & CHV_HELPER_PRESENT)
        fprintf(out, ",\"flags\":\"r%c%cu-%c%c\"", f & CHV_HELPER_WRITE ? 'w' : '-', f & CHV_HELPER_EXEC ? 'x' : '-',
                f & CHV_HELPER_SOFT_DIRTY ? 'd' : '-', f & CHV_HELPER_FILE ? 'f' : 'n');
    fprintf(out, "}\n");
}

/* Runs of one kind; where they lie physically does not matter here. */
static void runs(FILE *out, const struct record_list *l, bool present)
{
    for (size_t i = 0, end; i < l->run_count; i = end) {
        const struct chv_helper_run *first = &l->runs[i];
        uint64_t count = first->pages;
        for (end = i + 1; end < l->run_count && l->runs[end].va == first->va + count * CHV_HELPER_PAGE_BYTES && l->runs[end].flags == first->flags; end++)
            count += l->runs[end].pages;
        if (present == !!(first->flags & CHV_HELPER_PRESENT)) pages(out, first->va, count, first->flags);
    }
}

/* Pages that were recorded from where they are no more, when all were. */
static void moved(FILE *out, const struct record_list *l)
{
    const struct record_list *b = l->again;
    size_t k = 0;
    for (size_t i = 0; b && i < l->run_count; i++) {
        const struct chv_helper_run *a = &l->runs[i];
        for (uint64_t page = 0, count; page < a->pages && a->flags & CHV_HELPER_PRESENT; page += count) {
            uint64_t va = a->va + page * CHV_HELPER_PAGE_BYTES, left = a->pages - page, offset;
            while (k < b->run_count && b->runs[k].va + (uint64_t)b->runs[k].pages * CHV_HELPER_PAGE_BYTES <= va) k++;
            const struct chv_helper_run *r = k < b->run_count ? &b->runs[k] : NULL;
            bool inside = r && r->va <= va;
            offset = inside ? (va - r->va) / CHV_HELPER_PAGE_BYTES : 0;
            count = inside ? r->pages - offset : r ? (r->va - va) / CHV_HELPER_PAGE_BYTES : left;
            if (count > left) count = left;
            if (!inside || !(r->flags & CHV_HELPER_PRESENT) || r->frame + offset != a->frame + page)
                fprintf(out, "{\"kind\":\"moved\",\"start\":\"0x%" PRIx64 "\",\"pages\":%" PRIu64 "}\n", va, count);
        }
    }
}

void record_text(FILE *out, const struct record_list *l)
{
    head(out, l);
    for (size_t i = 0; i < l->mapping_count; i++) mapping(out, &l->mappings[i]);
    runs(out, l, true);
    runs(out, l, false);
    moved(out, l);
}
