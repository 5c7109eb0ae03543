#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sensor/memory/process_record.h"

/* Any bytes as JSON text: what is no UTF-8 becomes '?'. */
static json_t *text_of(const char *bytes)
{
    json_t *s = json_string(bytes);
    if (s) return s;
    char *copy = strdup(bytes);
    for (char *c = copy; c && *c; c++)
        if ((unsigned char)*c >= 0x80) *c = '?';
    s = copy ? json_string_nocheck(copy) : NULL;
    free(copy);
    return s;
}

static json_t *address_of(uint64_t va)
{
    char text[24];
    snprintf(text, sizeof text, "0x%" PRIx64, va);
    return json_string(text);
}

/* Takes the object. */
static bool write_line(FILE *out, json_t *object)
{
    bool good = object && json_dumpf(object, out, JSON_COMPACT | JSON_PRESERVE_ORDER) == 0 && fputc('\n', out) != EOF;
    json_decref(object);
    return good;
}

static json_t *head(const struct process_map *m)
{
    char time[CLOCK_TEXT_BYTES];
    const struct helper_pages *h = m->helper;
    json_t *o = json_pack("{s:s, s:i, s:s, s:s, s:I, s:I, s:I, s:b}", "kind", "process", "format", 1, "road", h ? "helper" : "agentless",
                          "time", clock_format(m->time_ns, time), "time_ns", (json_int_t)m->time_ns, "bytes", (json_int_t)m->pages->bytes,
                          "device_bytes", (json_int_t)m->pages->outside_bytes, "truncated", m->pages->truncated);
    if (!o) return NULL;
    json_object_set_new(o, "source", text_of(m->source));
    if (m->cr3) json_object_set_new(o, "cr3", address_of(m->cr3));
    if (m->task) {
        json_object_set_new(o, "pid", json_integer(m->task->pid));
        json_object_set_new(o, "ppid", json_integer(m->task->ppid));
        json_object_set_new(o, "name", text_of(m->task->name));
        json_object_set_new(o, "command", text_of(m->command));
    }
    if (h) {
        json_object_set_new(o, "held", json_boolean(h->held));
        json_object_set_new(o, "torn", json_boolean(h->torn));
        json_object_set_new(o, "swapped_pages", json_integer((json_int_t)h->swapped_pages));
        json_object_set_new(o, "unseen_pages", json_integer((json_int_t)h->unseen_pages));
        json_object_set_new(o, "refused_pages", json_integer((json_int_t)h->refused_pages));
    }
    return o;
}

static json_t *mapping(const struct linux_vma *v)
{
    char rights[] = {v->flags & LINUX_VM_READ ? 'r' : '-', v->flags & LINUX_VM_WRITE ? 'w' : '-', v->flags & LINUX_VM_EXEC ? 'x' : '-',
                     v->flags & LINUX_VM_SHARED ? 's' : 'p', 0};
    const char *what = v->file ? v->path ? v->path : "?" : v->heap ? "[heap]" : v->stack ? "[stack]" : v->vdso ? "[vdso]" : "";
    return json_pack("{s:s, s:o, s:o, s:s, s:I, s:o, s:b, s:b}", "kind", "mapping", "start", address_of(v->start), "end",
                     address_of(v->end), "rights", rights, "offset", (json_int_t)v->offset, "path", text_of(what), "deleted", v->deleted,
                     "memfd", v->memfd);
}

static json_t *run_of(const char *kind, uint64_t va, uint64_t bytes, const char *flags)
{
    json_t *o = json_pack("{s:s, s:o, s:I}", "kind", kind, "start", address_of(va), "pages", (json_int_t)(bytes / PHYSMEM_PAGE_BYTES));
    if (o && flags) json_object_set_new(o, "flags", json_string(flags));
    return o;
}

static json_t *present(uint64_t va, uint64_t bytes, uint32_t flags)
{
    char text[] = {'r', flags & WALK_WRITE ? 'w' : '-', flags & WALK_EXEC ? 'x' : '-', flags & WALK_USER ? 'u' : '-',
                   flags & WALK_ACCESSED ? 'a' : '-', flags & (WALK_DIRTY | WALK_SAVED_DIRTY) ? 'd' : '-',
                   flags & PAGE_FILE ? 'f' : flags & PAGE_ANONYMOUS ? 'n' : 0, 0};
    return run_of("pages", va, bytes, text);
}

/* Where the pages lay physically does not matter here: runs that only differ in that are one. */
static bool write_runs(FILE *out, const struct pages *pages)
{
    for (size_t i = 0, end; i < pages->count; i = end) {
        const struct page_run *first = &pages->list[i];
        uint64_t bytes = first->bytes;
        for (end = i + 1; end < pages->count && pages->list[end].va == first->va + bytes && pages->list[end].flags == first->flags; end++)
            bytes += pages->list[end].bytes;
        if (!write_line(out, present(first->va, bytes, first->flags))) return false;
    }
    return true;
}

int process_map_text(const struct process_map *m, char **text, size_t *bytes, struct chv_err *err)
{
    *text = NULL;
    FILE *out = open_memstream(text, bytes);
    bool good = out && write_line(out, head(m));
    for (size_t i = 0; i < m->vma_count && good; i++) good = write_line(out, mapping(&m->vmas[i]));
    good = good && write_runs(out, m->pages);
    for (size_t i = 0; m->helper && i < m->helper->absent_count && good; i++) {
        const struct page_absent *a = &m->helper->absent[i];
        good = write_line(out, run_of(a->unseen ? "unseen" : "swapped", a->va, a->bytes, NULL));
    }
    for (size_t i = 0; i < m->moved_count && good; i++) good = write_line(out, run_of("moved", m->moved[i].va, m->moved[i].bytes, NULL));
    if (out && fclose(out) != 0) good = false;
    if (good) return 0;
    free(*text);
    *text = NULL;
    return chv_err_set(err, ENOMEM, "out of memory");
}
