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

static json_t *head(const struct linux_task *task, const char *command, uint64_t cr3, const char *source, uint64_t time_ns,
                    const struct pages *pages)
{
    char time[CLOCK_TEXT_BYTES];
    json_t *o = json_pack("{s:s, s:i, s:o, s:o, s:s, s:I, s:I, s:I, s:b}", "kind", "process", "format", 1, "cr3", address_of(cr3), "source",
                          text_of(source), "time", clock_format(time_ns, time), "time_ns", (json_int_t)time_ns, "bytes",
                          (json_int_t)pages->bytes, "device_bytes", (json_int_t)pages->outside_bytes, "truncated", pages->truncated);
    if (o && task) {
        json_object_set_new(o, "pid", json_integer(task->pid));
        json_object_set_new(o, "ppid", json_integer(task->ppid));
        json_object_set_new(o, "name", text_of(task->name));
        json_object_set_new(o, "command", text_of(command));
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

static json_t *run_of(uint64_t va, uint64_t bytes, uint32_t flags)
{
    char rights[] = {'r', flags & WALK_WRITE ? 'w' : '-', flags & WALK_EXEC ? 'x' : '-', flags & WALK_USER ? 'u' : '-',
                     flags & WALK_ACCESSED ? 'a' : '-', flags & WALK_DIRTY ? 'd' : '-', 0};
    return json_pack("{s:s, s:o, s:I, s:s}", "kind", "pages", "start", address_of(va), "pages", (json_int_t)(bytes / PHYSMEM_PAGE_BYTES),
                     "flags", rights);
}

/* Where the pages lay physically does not matter here: runs that only differ in that are one. */
static bool write_runs(FILE *out, const struct pages *pages)
{
    for (size_t i = 0, end; i < pages->count; i = end) {
        const struct page_run *first = &pages->list[i];
        uint64_t bytes = first->bytes;
        for (end = i + 1; end < pages->count && pages->list[end].va == first->va + bytes && pages->list[end].flags == first->flags; end++)
            bytes += pages->list[end].bytes;
        if (!write_line(out, run_of(first->va, bytes, first->flags))) return false;
    }
    return true;
}

int process_map_text(const struct linux_task *task, const char *command, uint64_t cr3, const char *source, uint64_t time_ns,
                     const struct linux_vma *vmas, size_t vma_count, const struct pages *pages, char **text, size_t *bytes,
                     struct chv_err *err)
{
    *text = NULL;
    FILE *out = open_memstream(text, bytes);
    bool good = out && write_line(out, head(task, command, cr3, source, time_ns, pages));
    for (size_t i = 0; i < vma_count && good; i++) good = write_line(out, mapping(&vmas[i]));
    good = good && write_runs(out, pages);
    if (out && fclose(out) != 0) good = false;
    if (good) return 0;
    free(*text);
    *text = NULL;
    return chv_err_set(err, ENOMEM, "out of memory");
}
