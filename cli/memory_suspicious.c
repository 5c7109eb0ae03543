/* chronovisor memory suspicious: executable memory that no file on a disk stands for, in every process. */
#include <stdlib.h>
#include <string.h>

#include "cli/memory_finding.h"
#include "cli/memory_verbs.h"
#include "cli/process_set.h"

struct suspicious {
    const struct cli_args *args;
    struct process_set set;
    struct memory_disk *disk;
    struct memory_dates *dates; /* NULL: not asked for */
    struct not_compared others;
    size_t findings, damaged;
    uint64_t compared, differ, unreadable;
};

static unsigned judge(const struct linux_vma *v)
{
    if (!(v->flags & LINUX_VM_EXEC)) return 0;
    return (!v->file && !v->vdso ? FINDING_ANONYMOUS : 0u) | (v->flags & LINUX_VM_WRITE ? FINDING_WRITABLE : 0u) |
           (v->memfd ? FINDING_MEMFD : 0u) | (v->deleted && !v->memfd ? FINDING_DELETED : 0u);
}

/* Pages that the processor would run although no executable mapping covers them: the kernel's lists and its page tables
 * disagree, which an honest kernel does not do. */
static uint64_t outside_of_mappings(const struct process_image *p, uint64_t *first)
{
    uint64_t pages = 0;
    size_t next = 0;
    for (size_t i = 0; i < p->pages.count; i++) {
        const struct page_run *run = &p->pages.list[i];
        if (!(run->flags & WALK_EXEC) || !(run->flags & WALK_USER)) continue;
        for (uint64_t at = run->va; at < run->va + run->bytes;) {
            while (next < p->vma_count && (p->vmas[next].end <= at || !(p->vmas[next].flags & LINUX_VM_EXEC))) next++;
            uint64_t covered = next < p->vma_count && p->vmas[next].start <= at ? p->vmas[next].end : at;
            uint64_t gap_end = next < p->vma_count && p->vmas[next].start > at ? p->vmas[next].start : UINT64_MAX;
            if (covered > at) {
                at = covered;
                continue;
            }
            uint64_t end = run->va + run->bytes < gap_end ? run->va + run->bytes : gap_end;
            if (pages == 0) *first = at;
            pages += (end - at) / PHYSMEM_PAGE_BYTES;
            at = end;
        }
    }
    return pages;
}

static int look_at_mapping(struct suspicious *s, const struct process_image *p, const struct linux_vma *v)
{
    struct finding f = {.process = p, .vma = v, .why = judge(v)};
    if (!(v->flags & LINUX_VM_EXEC)) return CLI_OK;
    if (v->file) {
        if (text_check(s->disk, s->set.src.kernel, p, v, &f.text) < 0) return cli_failf(s->args, "out of memory");
        if (f.text.differ) f.why |= FINDING_DIFFERS;
        if (f.text.copies && (f.text.why[0] || f.text.differ)) f.why |= FINDING_COPY;
        s->compared += f.text.compared;
        s->differ += f.text.differ;
        s->unreadable += f.text.unreadable;
        if (f.text.why[0] && !v->memfd) not_compared_add(&s->others, memory_what(v), f.text.why);
    }
    if (!f.why) return CLI_OK;
    s->findings++;
    if (s->dates) {
        struct chv_err err;
        if (finding_dates(&f, s->dates, s->set.acquired ? s->set.store : s->set.src.store, s->disk, s->set.src.kernel, &err) < 0)
            return cli_fail(s->args, &err);
    }
    finding_print(&f, s->args->json);
    finding_fini(&f);
    return CLI_OK;
}

static int look_at(struct suspicious *s, const struct process_image *p)
{
    struct finding f = {.process = p, .why = FINDING_UNLISTED};
    int code = CLI_OK;
    for (size_t i = 0; i < p->vma_count && code == CLI_OK; i++) code = look_at_mapping(s, p, &p->vmas[i]);
    s->damaged += p->vmas_broken;
    if (code == CLI_OK && !p->vmas_broken && (f.unlisted_pages = outside_of_mappings(p, &f.unlisted_first)) > 0) {
        s->findings++;
        finding_print(&f, s->args->json);
    }
    return code;
}

static int look_at_all(struct suspicious *s)
{
    struct process_image image;
    int code = CLI_OK;
    for (size_t i = 0; i < s->set.count && code == CLI_OK; i++) {
        cli_progress("looking at processes", i, s->set.count);
        code = process_set_get(s->args, &s->set, i, &image);
        if (code != CLI_OK) break;
        code = look_at(s, &image);
        process_image_fini(&image);
    }
    cli_progress_end();
    if (code != CLI_OK) return code;
    not_compared_print(&s->others, s->args->json);
    if (s->damaged || s->set.lists_broken)
        fprintf(stderr, "note: %s of the kernel's lists are damaged, so there may be more\n", s->set.lists_broken ? "some" : "the mappings");
    if (s->unreadable) fprintf(stderr, "note: %llu executable pages could not be read\n", (unsigned long long)s->unreadable);
    if (!s->args->json) {
        if (s->compared)
            printf("%llu executable pages compared with their files (%s): %llu differ\n", (unsigned long long)s->compared,
                   memory_disk_name(s->disk), (unsigned long long)s->differ);
        printf("%zu findings in %zu processes\n", s->findings, s->set.count);
    }
    return s->findings ? CLI_OK : CLI_NOTHING;
}

static int open_all(struct suspicious *s)
{
    struct chv_err err;
    uint16_t space;
    uint64_t seq;
    int code = process_set_open(s->args, "--at", &s->set);
    struct chv_store *store = process_set_store(&s->set, &space, &seq);
    if (code != CLI_OK) return code;
    code = memory_disk_open(s->args, store, s->set.src.time_ns, &s->disk);
    if (code != CLI_OK || !cli_flag(s->args, "--dates")) return code;
    if (!store) return cli_failf(s->args, "--dates asks a store what was seen when; without one there is one instant ('import snapshot', 'acquire ram')");
    return memory_dates_new(store, memory_disk_store(s->disk), &s->dates, &err) < 0 ? cli_fail(s->args, &err) : CLI_OK;
}

int memory_suspicious(const struct cli_args *args)
{
    struct suspicious s = {.args = args};
    int code = open_all(&s);
    if (code == CLI_OK) code = look_at_all(&s);
    not_compared_fini(&s.others);
    memory_dates_free(s.dates);
    memory_disk_close(s.disk);
    process_set_close(&s.set);
    return code;
}
