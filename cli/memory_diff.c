/* chronovisor memory diff: two instants of a memory, process by process. */
#include <stdlib.h>
#include <string.h>

#include "cli/memory_verbs.h"
#include "cli/process_diff.h"

struct totals {
    size_t changed, new, ended, same;
    struct page_counts pages;
};

struct diff {
    const struct cli_args *args;
    struct process_set from, to;
    struct by_pid *from_index, *to_index; /* of the lists, sorted */
    uint64_t pid;
    struct totals totals;
};

static bool chosen(const struct diff *d, const struct process_image *p)
{
    const char *name = cli_value(d->args, "--name");
    return (!cli_flag(d->args, "--pid") || p->pid == d->pid) && (!name || strcmp(p->name, name) == 0);
}

/* A pid can be used again: then the starts differ. */
static bool is_the_same(const struct linux_task *a, const struct linux_task *b)
{
    return a->pid == b->pid && (a->start_ns == b->start_ns || a->start_ns == 0 || b->start_ns == 0);
}

struct by_pid {
    uint32_t pid;
    size_t at;
};

static int order(const void *a, const void *b)
{
    const struct by_pid *x = a, *y = b;
    return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static struct by_pid *index_of(const struct process_set *set)
{
    struct by_pid *index = calloc(set->count + 1, sizeof *index);
    for (size_t i = 0; index && i < set->count; i++) index[i] = (struct by_pid){set->list[i]->pid, i};
    if (index) qsort(index, set->count, sizeof *index, order);
    return index;
}

static size_t find(const struct process_set *in, const struct by_pid *index, const struct linux_task *task)
{
    struct by_pid key = {.pid = task->pid};
    const struct by_pid *hit = bsearch(&key, index, in->count, sizeof *index, order);
    return hit && is_the_same(in->list[hit->at], task) ? hit->at : SIZE_MAX;
}

static int compare(struct diff *d, const struct process_image *from, const struct process_image *to)
{
    struct process_diff result;
    const struct process_image *p = to ? to : from;
    if (!chosen(d, p) && !(from && chosen(d, from))) return CLI_OK;
    if (process_diff(&d->from, from, &d->to, to, &result) < 0) return cli_failf(d->args, "out of memory");
    const struct page_counts *c = &result.pages;
    const char *state = !from ? "new" : !to ? "ended" : from->cr3 != to->cr3 ? "replaced" : "changed";
    bool differs = !from || !to || from->cr3 != to->cr3 || c->added + c->changed + c->gone + c->unknown > 0;
    for (size_t i = 0; i < result.count; i++) differs |= result.regions[i].is_new || result.regions[i].is_gone;
    if (differs) process_diff_print(p, state, &result, d->args->json);
    d->totals.new += !from;
    d->totals.ended += !to;
    d->totals.changed += from && to && differs;
    d->totals.same += !differs;
    d->totals.pages.added += c->added;
    d->totals.pages.changed += c->changed;
    d->totals.pages.gone += c->gone;
    d->totals.pages.same += c->same;
    d->totals.pages.unknown += c->unknown;
    process_diff_fini(&result);
    return CLI_OK;
}

/* Process `a` of the earlier, `b` of the later instant; SIZE_MAX: none. */
static int compare_pair(struct diff *d, size_t a, size_t b)
{
    struct process_image from = {0}, to = {0};
    int code = CLI_OK;
    if (a != SIZE_MAX) code = process_set_get(d->args, &d->from, a, &from);
    if (code == CLI_OK && b != SIZE_MAX) code = process_set_get(d->args, &d->to, b, &to);
    if (code == CLI_OK) code = compare(d, a != SIZE_MAX ? &from : NULL, b != SIZE_MAX ? &to : NULL);
    process_image_fini(&from);
    process_image_fini(&to);
    return code;
}

static int compare_all(struct diff *d)
{
    int code = CLI_OK;
    if (d->from.acquired) return compare_pair(d, 0, 0);
    d->from_index = index_of(&d->from);
    d->to_index = index_of(&d->to);
    if (!d->from_index || !d->to_index) return cli_failf(d->args, "out of memory");
    for (size_t i = 0; i < d->to.count && code == CLI_OK; i++) {
        cli_progress("comparing processes", i, d->to.count);
        code = compare_pair(d, find(&d->from, d->from_index, d->to.list[i]), i);
    }
    for (size_t i = 0; i < d->from.count && code == CLI_OK; i++)
        if (find(&d->to, d->to_index, d->from.list[i]) == SIZE_MAX) code = compare_pair(d, i, SIZE_MAX);
    cli_progress_end();
    return code;
}

static int print_totals(const struct diff *d)
{
    const struct totals *t = &d->totals;
    const struct page_counts *c = &t->pages;
    if (d->from.lists_broken || d->to.lists_broken) fprintf(stderr, "note: a list of processes is damaged, so there may be more\n");
    uint16_t space;
    uint64_t from, to;
    process_set_store(&d->from, &space, &from);
    process_set_store(&d->to, &space, &to);
    if (d->args->json)
        printf("{\"total\": true, \"from_seq\": %llu, \"to_seq\": %llu, \"processes_changed\": %zu, \"processes_new\": %zu, \"processes_ended\": %zu, "
               "\"processes_same\": %zu, \"added\": %llu, \"changed\": %llu, \"gone\": %llu, \"same\": %llu, \"unknown\": %llu}\n",
               (unsigned long long)from, (unsigned long long)to, t->changed, t->new, t->ended, t->same, (unsigned long long)c->added,
               (unsigned long long)c->changed, (unsigned long long)c->gone, (unsigned long long)c->same, (unsigned long long)c->unknown);
    else
        printf("from seq:%llu to seq:%llu: %zu processes changed, %zu new, %zu ended, %zu the same; pages: %llu added, %llu changed, %llu gone, %llu same\n",
               (unsigned long long)from, (unsigned long long)to, t->changed, t->new, t->ended, t->same, (unsigned long long)c->added,
               (unsigned long long)c->changed, (unsigned long long)c->gone, (unsigned long long)c->same);
    return t->changed + t->new + t->ended > 0 ? CLI_OK : CLI_NOTHING;
}

static int run_diff(struct diff *d)
{
    uint16_t space;
    uint64_t from, to;
    if (!cli_number(d->args, "--pid", 0, INT32_MAX, &d->pid)) return CLI_ERROR;
    int code = process_set_open_all(d->args, "--from", &d->from);
    if (code == CLI_OK) code = process_set_open_all(d->args, "--to", &d->to);
    if (code != CLI_OK) return code;
    process_set_store(&d->from, &space, &from);
    process_set_store(&d->to, &space, &to);
    if (from > to) return cli_failf(d->args, "--from (seq:%llu) is after --to (seq:%llu)", (unsigned long long)from, (unsigned long long)to);
    code = compare_all(d);
    return code == CLI_OK ? print_totals(d) : code;
}

int memory_diff(const struct cli_args *args)
{
    struct diff *d = calloc(1, sizeof *d);
    int code = CLI_ERROR;
    if (!d)
        code = cli_failf(args, "out of memory");
    else if (cli_value(args, "--image") || cli_value(args, "--qmp") || cli_value(args, "--at"))
        code = cli_failf(args, "diff compares two instants of a store: --from and --to; 'import snapshot' takes an image in, 'acquire ram' a guest");
    else if (!cli_value(args, "--from"))
        code = cli_failf(args, "no earlier instant given; add --from TIME");
    else {
        d->args = args;
        code = run_diff(d);
        free(d->from_index);
        free(d->to_index);
        process_set_close(&d->from);
        process_set_close(&d->to);
    }
    free(d);
    return code;
}
