/* The text of map:N, read back: what process_map.c writes, and nothing is believed that does not fit together. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/memory/process_image.h"

#define ADDRESS_END (UINT64_C(1) << 56) /* 5 levels: 57 bits, of which the upper half is the kernel's */
#define LINE_BYTES_MAX (64u << 10)      /* a path, escaped */

struct reader {
    struct process_image *out;
    size_t vma_room, page_room;
};

static bool address(const json_t *o, const char *key, uint64_t *out)
{
    const char *text = json_string_value(json_object_get(o, key));
    char *end;
    if (!text || strncmp(text, "0x", 2) != 0 || strlen(text) > 18) return false;
    errno = 0;
    *out = strtoull(text + 2, &end, 16);
    return errno == 0 && end != text + 2 && *end == 0;
}

static bool number(const json_t *o, const char *key, uint64_t max, uint64_t *out)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_integer(v) || json_integer_value(v) < 0) return false;
    *out = (uint64_t)json_integer_value(v);
    return *out <= max;
}

static bool read_head(const json_t *o, struct process_image *p)
{
    uint64_t pid;
    const char *name = json_string_value(json_object_get(o, "name"));
    if (json_object_get(o, "cr3") && !address(o, "cr3", &p->cr3)) return false; /* a helper does not know it */
    if (!json_object_get(o, "pid")) return true; /* an address space without a name */
    if (!number(o, "pid", UINT32_MAX, &pid) || !name) return false;
    p->pid = (uint32_t)pid;
    snprintf(p->name, sizeof p->name, "%s", name);
    return true;
}

static bool read_rights(const char *text, uint64_t *flags)
{
    if (!text || strlen(text) != 4) return false;
    *flags = (text[0] == 'r' ? LINUX_VM_READ : 0u) | (text[1] == 'w' ? LINUX_VM_WRITE : 0u) | (text[2] == 'x' ? LINUX_VM_EXEC : 0u) |
             (text[3] == 's' ? LINUX_VM_SHARED : 0u);
    return true;
}

/* 0, -EPROTO, -ENOMEM. A mapping begins where the one before ends, or later. */
static int read_mapping(struct reader *r, const json_t *o)
{
    struct process_image *p = r->out;
    struct linux_vma v = {0};
    const char *path = json_string_value(json_object_get(o, "path"));
    if (!path || !address(o, "start", &v.start) || !address(o, "end", &v.end) || !number(o, "offset", INT64_MAX, &v.offset) ||
        !read_rights(json_string_value(json_object_get(o, "rights")), &v.flags) || v.start >= v.end ||
        (v.start | v.end) % PHYSMEM_PAGE_BYTES || v.end > ADDRESS_END || p->vma_count == LINUX_VMAS_MAX ||
        (p->vma_count > 0 && v.start < p->vmas[p->vma_count - 1].end))
        return -EPROTO;
    v.deleted = json_is_true(json_object_get(o, "deleted"));
    v.memfd = json_is_true(json_object_get(o, "memfd"));
    v.heap = strcmp(path, "[heap]") == 0;
    v.stack = strcmp(path, "[stack]") == 0;
    v.vdso = strcmp(path, "[vdso]") == 0;
    v.file = *path && !v.heap && !v.stack && !v.vdso;
    if (p->vma_count == r->vma_room) {
        size_t room = r->vma_room ? r->vma_room * 2 : 64;
        struct linux_vma *grown = realloc(p->vmas, room * sizeof *grown);
        if (!grown) return -ENOMEM;
        p->vmas = grown;
        r->vma_room = room;
    }
    if (v.file && !(v.path = strdup(path))) return -ENOMEM;
    p->vmas[p->vma_count++] = v;
    return 0;
}

static int read_run(struct reader *r, const json_t *o)
{
    struct pages *pages = &r->out->pages;
    struct page_run run = {0};
    uint64_t count;
    const char *flags = json_string_value(json_object_get(o, "flags"));
    const struct page_run *last = pages->count ? &pages->list[pages->count - 1] : NULL;
    if (!flags || strlen(flags) < 6 || strlen(flags) > 7 || !address(o, "start", &run.va) || !number(o, "pages", ADDRESS_END / PHYSMEM_PAGE_BYTES, &count) ||
        count == 0 || run.va % PHYSMEM_PAGE_BYTES || run.va >= ADDRESS_END || count > (ADDRESS_END - run.va) / PHYSMEM_PAGE_BYTES ||
        (last && run.va < last->va + last->bytes))
        return -EPROTO;
    run.bytes = count * PHYSMEM_PAGE_BYTES;
    run.pa = run.va;
    run.flags = (flags[1] == 'w' ? WALK_WRITE : 0u) | (flags[2] == 'x' ? WALK_EXEC : 0u) | (flags[3] == 'u' ? WALK_USER : 0u) |
                (flags[4] == 'a' ? WALK_ACCESSED : 0u) | (flags[5] == 'd' ? WALK_DIRTY : 0u) |
                (flags[6] == 'f' ? PAGE_FILE : flags[6] == 'n' ? PAGE_ANONYMOUS : 0u);
    if (pages->count == r->page_room) {
        size_t room = r->page_room ? r->page_room * 2 : 256;
        struct page_run *grown = realloc(pages->list, room * sizeof *grown);
        if (!grown) return -ENOMEM;
        pages->list = grown;
        r->page_room = room;
    }
    pages->list[pages->count++] = run;
    pages->bytes += run.bytes;
    return 0;
}

static int read_line(struct reader *r, const char *line, size_t bytes, bool first)
{
    if (bytes > LINE_BYTES_MAX) return -EPROTO;
    json_t *o = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, NULL);
    const char *kind = json_string_value(json_object_get(o, "kind"));
    int code = -EPROTO;
    if (kind && first == (strcmp(kind, "process") == 0)) {
        if (first)
            code = read_head(o, r->out) ? 0 : -EPROTO;
        else if (strcmp(kind, "mapping") == 0)
            code = read_mapping(r, o);
        else if (strcmp(kind, "pages") == 0)
            code = read_run(r, o);
        else if (strcmp(kind, "swapped") == 0 || strcmp(kind, "unseen") == 0 || strcmp(kind, "moved") == 0)
            code = 0; /* what a helper says about pages that are not there, or may be another's */
    }
    json_decref(o);
    return code;
}

int process_image_of_map(const char *text, size_t bytes, struct physmem *mem, struct process_image *out, struct chv_err *err)
{
    *out = (struct process_image){.mem = mem};
    struct reader r = {.out = out};
    uint64_t lines = 0;
    int code = 0;
    bytes = strnlen(text, bytes); /* padded with zeros to whole blocks */
    while (bytes > 0 && code == 0) {
        const char *end = memchr(text, '\n', bytes);
        size_t n = end ? (size_t)(end - text) : bytes;
        code = read_line(&r, text, n, lines++ == 0);
        n += end != NULL;
        text += n;
        bytes -= n;
    }
    if (code == 0 && lines == 0) code = -EPROTO;
    if (code == 0) return 0;
    process_image_fini(out);
    return code == -ENOMEM ? chv_err_set(err, ENOMEM, "out of memory")
                           : chv_err_set(err, EPROTO, "line %" PRIu64 " is not of a process's map; 'chronovisor verify' checks the store", lines);
}
