/* chronovisor memory suspicious: executable memory that no file on a disk stands for, in every process. */
#include <stdlib.h>

#include "cli/memory_verbs.h"

enum reason { ANONYMOUS = 1, WRITABLE = 2, MEMFD = 4, DELETED = 8 };
static const char *const reasons[] = {"anonymous-executable", "writable-executable", "memfd-executable", "deleted-executable"};
enum { REASONS = sizeof reasons / sizeof *reasons };

static unsigned judge(const struct linux_vma *v)
{
    if (!(v->flags & LINUX_VM_EXEC)) return 0;
    return (!v->file && !v->vdso ? ANONYMOUS : 0u) | (v->flags & LINUX_VM_WRITE ? WRITABLE : 0u) | (v->memfd ? MEMFD : 0u) |
           (v->deleted && !v->memfd ? DELETED : 0u);
}

static void print_finding(const struct linux_task *t, const struct linux_vma *v, unsigned why, bool json)
{
    char rights[MEMORY_RIGHTS_BYTES];
    if (json) {
        printf("{\"pid\": %u, \"name\": ", t->pid);
        cli_json_string(stdout, t->name);
        printf(", \"reasons\": [");
    } else {
        printf("%7u ", t->pid);
        memory_print_text(t->name);
        printf("  %llx-%llx %s ", (unsigned long long)v->start, (unsigned long long)v->end, memory_rights(v, rights));
        memory_print_text(memory_what(v));
        printf("%s:", v->deleted ? " (deleted)" : "");
    }
    for (unsigned i = 0, said = 0; i < REASONS; i++)
        if (why >> i & 1) printf(json ? "%s\"%s\"" : "%s %s", said++ ? "," : "", reasons[i]);
    if (json) {
        printf("], ");
        memory_json_vma(v);
        putchar('}');
    }
    putchar('\n');
}

/* Pages that the processor would run although no executable mapping covers them: the kernel's lists and its page tables
 * disagree, which an honest kernel does not do. */
struct outside {
    const struct linux_vma *vmas;
    size_t count, next;
    uint64_t first, pages;
};

static int look_outside(void *arg, const struct walk_leaf *leaf)
{
    struct outside *o = arg;
    if (!(leaf->flags & WALK_EXEC) || !(leaf->flags & WALK_USER)) return 0;
    while (o->next < o->count && (o->vmas[o->next].end <= leaf->va || !(o->vmas[o->next].flags & LINUX_VM_EXEC))) o->next++;
    if (o->next < o->count && o->vmas[o->next].start < leaf->va + leaf->bytes) return 0;
    if (o->pages == 0) o->first = leaf->va;
    o->pages += leaf->bytes / PHYSMEM_PAGE_BYTES;
    return 0;
}

static bool print_outside(const struct memory_source *src, const struct linux_task *t, const struct linux_vma *vmas, size_t count,
                          struct walk *w, bool json)
{
    struct outside o = {.vmas = vmas, .count = count};
    if (!linux_task_walk(src->kernel, t, w)) return false;
    walk_each(w, 0, walk_user_last(src->roots.levels), walk_tables_max(src->mem), look_outside, &o);
    if (o.pages == 0) return false;
    if (json) {
        printf("{\"pid\": %u, \"name\": ", t->pid);
        cli_json_string(stdout, t->name);
        printf(", \"reasons\": [\"executable-unlisted\"], \"start\": \"0x%llx\", \"pages\": %llu}\n", (unsigned long long)o.first,
               (unsigned long long)o.pages);
    } else {
        printf("%7u ", t->pid);
        memory_print_text(t->name);
        printf("  %llu pages from %llx on that no executable mapping covers: executable-unlisted\n", (unsigned long long)o.pages,
               (unsigned long long)o.first);
    }
    return true;
}

static int look_at(const struct cli_args *args, const struct memory_source *src, const struct linux_task *t, struct walk *w,
                   size_t *findings, size_t *damaged)
{
    struct chv_err err;
    struct linux_vma *vmas;
    size_t count;
    bool broken;
    if (linux_vmas(src->kernel, t, &vmas, &count, &broken, &err) < 0) return cli_fail(args, &err);
    for (size_t i = 0; i < count; i++) {
        unsigned why = judge(&vmas[i]);
        if (why) print_finding(t, &vmas[i], why, args->json);
        *findings += why != 0;
    }
    *damaged += broken;
    if (!broken) *findings += print_outside(src, t, vmas, count, w, args->json);
    linux_vmas_free(vmas, count);
    return CLI_OK;
}

static int look_at_all(const struct cli_args *args, const struct memory_source *src)
{
    bool one = cli_flag(args, "--pid") || cli_flag(args, "--name");
    const struct linux_task *only = one ? memory_source_task(args, src) : NULL;
    if (one && !only) return CLI_ERROR;
    if (!src->kernel) return cli_failf(args, "%s: mappings are not known: %s", src->name, src->why.text);
    struct walk *w = malloc(sizeof *w);
    if (!w) return cli_failf(args, "out of memory");
    size_t findings = 0, damaged = 0, looked = 0;
    int code = CLI_OK;
    for (size_t i = 0; i < src->task_count && code == CLI_OK; i++) {
        const struct linux_task *t = &src->tasks[i];
        if (t->mm == 0 || (only && t != only)) continue;
        looked++;
        code = look_at(args, src, t, w, &findings, &damaged);
    }
    free(w);
    if (code != CLI_OK) return code;
    if (damaged || src->tasks_broken)
        fprintf(stderr, "note: %s of the kernel's lists are damaged, so there may be more\n", src->tasks_broken ? "some" : "the mappings");
    if (!args->json) printf("%zu findings in %zu processes\n", findings, looked);
    return findings ? CLI_OK : CLI_NOTHING;
}

int memory_suspicious(const struct cli_args *args)
{
    struct memory_source src;
    int code = memory_source_open(args, &src);
    if (code == CLI_OK) code = look_at_all(args, &src);
    memory_source_close(&src);
    return code;
}
