/* chronovisor memory maps: a process's mappings, and how much of each is there. */
#include <stdlib.h>

#include "cli/memory_verbs.h"

const char *memory_rights(const struct linux_vma *v, char text[MEMORY_RIGHTS_BYTES])
{
    text[0] = v->flags & LINUX_VM_READ ? 'r' : '-';
    text[1] = v->flags & LINUX_VM_WRITE ? 'w' : '-';
    text[2] = v->flags & LINUX_VM_EXEC ? 'x' : '-';
    text[3] = v->flags & LINUX_VM_SHARED ? 's' : 'p';
    text[4] = 0;
    return text;
}

const char *memory_what(const struct linux_vma *v)
{
    if (v->file) return v->path ? v->path : "?";
    return v->heap ? "[heap]" : v->stack ? "[stack]" : v->vdso ? "[vdso]" : "";
}

void memory_json_vma(const struct linux_vma *v)
{
    char rights[MEMORY_RIGHTS_BYTES];
    printf("\"start\": \"0x%llx\", \"end\": \"0x%llx\", \"rights\": \"%s\", \"offset\": %llu, \"path\": ",
           (unsigned long long)v->start, (unsigned long long)v->end, memory_rights(v, rights), (unsigned long long)v->offset);
    cli_json_string(stdout, memory_what(v));
    printf(", \"anonymous\": %s, \"deleted\": %s, \"memfd\": %s", v->file ? "false" : "true", v->deleted ? "true" : "false",
           v->memfd ? "true" : "false");
}

struct resident {
    const struct linux_vma *vma;
    uint64_t bytes;
};

static int add_resident(void *arg, const struct walk_leaf *leaf)
{
    struct resident *r = arg;
    uint64_t first = leaf->va > r->vma->start ? leaf->va : r->vma->start;
    uint64_t end = leaf->va + leaf->bytes < r->vma->end ? leaf->va + leaf->bytes : r->vma->end;
    r->bytes += end - first;
    return 0;
}

static void print_vma(const struct linux_vma *v, uint64_t resident, bool json)
{
    char rights[MEMORY_RIGHTS_BYTES];
    if (json) {
        putchar('{');
        memory_json_vma(v);
        printf(", \"resident_bytes\": %llu}\n", (unsigned long long)resident);
        return;
    }
    printf("%12llx-%-12llx %s %9llu KiB of %9llu  ", (unsigned long long)v->start, (unsigned long long)v->end,
           memory_rights(v, rights), (unsigned long long)(resident >> 10), (unsigned long long)((v->end - v->start) >> 10));
    memory_print_text(memory_what(v));
    printf("%s\n", v->deleted ? " (deleted)" : "");
}

static int print_maps(const struct cli_args *args, const struct memory_source *src, const struct linux_task *task)
{
    struct chv_err err;
    struct linux_vma *vmas;
    size_t count;
    bool broken;
    if (linux_vmas(src->kernel, task, &vmas, &count, &broken, &err) < 0) return cli_fail(args, &err);
    struct walk *w = malloc(sizeof *w);
    int code = w ? CLI_OK : cli_failf(args, "out of memory");
    bool space = w && linux_task_walk(src->kernel, task, w);
    for (size_t i = 0; i < count && code == CLI_OK; i++) {
        struct resident r = {.vma = &vmas[i]};
        if (space) walk_each(w, vmas[i].start, vmas[i].end - 1, walk_tables_max(src->mem), add_resident, &r);
        print_vma(&vmas[i], r.bytes, args->json);
    }
    if (broken && code == CLI_OK) fprintf(stderr, "note: the kernel's tree of mappings is damaged, so there may be more\n");
    if (count == 0 && code == CLI_OK) code = CLI_NOTHING;
    free(w);
    linux_vmas_free(vmas, count);
    return code;
}

int memory_maps(const struct cli_args *args)
{
    struct memory_source src;
    int code = memory_source_open(args, &src);
    if (code == CLI_OK) {
        const struct linux_task *task = memory_source_task(args, &src);
        code = task ? print_maps(args, &src, task) : CLI_ERROR;
    }
    memory_source_close(&src);
    return code;
}
