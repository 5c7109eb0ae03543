#include "cli/memory_verbs.h"
#include "cli/process_diff.h"

static bool worth_a_line(const struct region_diff *r)
{
    const struct page_counts *c = &r->pages;
    return r->is_new || r->is_gone || c->added + c->changed + c->gone + c->unknown > 0;
}

static void json_counts(const struct page_counts *c)
{
    printf("\"added\": %llu, \"changed\": %llu, \"gone\": %llu, \"same\": %llu, \"unknown\": %llu", (unsigned long long)c->added,
           (unsigned long long)c->changed, (unsigned long long)c->gone, (unsigned long long)c->same, (unsigned long long)c->unknown);
}

static void print_json(const struct process_image *p, const char *state, const struct process_diff *d)
{
    printf("{\"pid\": %u, \"name\": ", p->pid);
    cli_json_string(stdout, p->name);
    printf(", \"state\": \"%s\", ", state);
    json_counts(&d->pages);
    printf(", \"regions\": [");
    for (size_t i = 0, said = 0; i < d->count; i++) {
        const struct region_diff *r = &d->regions[i];
        if (!worth_a_line(r)) continue;
        printf("%s{", said++ ? ", " : "");
        if (r->vma) {
            memory_json_vma(r->vma);
            printf(", \"state\": \"%s\", ", r->is_new ? "new" : r->is_gone ? "gone" : "kept");
        } else {
            printf("\"state\": \"unmapped\", ");
        }
        json_counts(&r->pages);
        putchar('}');
    }
    printf("]}\n");
}

static void print_counts(const struct page_counts *c)
{
    const struct {
        uint64_t n;
        const char *what;
    } parts[] = {{c->added, "added"}, {c->changed, "changed"}, {c->gone, "gone"}, {c->unknown, "not known"}, {c->same, "same"}};
    const char *comma = "";
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].n == 0) continue;
        printf("%s%llu %s", comma, (unsigned long long)parts[i].n, parts[i].what);
        comma = ", ";
    }
    if (!*comma) printf("no page present");
    putchar('\n');
}

void process_diff_print(const struct process_image *p, const char *state, const struct process_diff *d, bool json)
{
    char rights[MEMORY_RIGHTS_BYTES];
    if (json) {
        print_json(p, state, d);
        return;
    }
    printf("%7u ", p->pid);
    memory_print_text(p->name);
    printf(" %s: ", state);
    print_counts(&d->pages);
    for (size_t i = 0; i < d->count; i++) {
        const struct region_diff *r = &d->regions[i];
        if (!worth_a_line(r)) continue;
        if (r->vma) {
            printf("        %llx-%llx %s ", (unsigned long long)r->vma->start, (unsigned long long)r->vma->end, memory_rights(r->vma, rights));
            memory_print_text(memory_what(r->vma));
            printf("%s%s: ", r->vma->deleted ? " (deleted)" : "", r->is_new ? " new" : r->is_gone ? " gone" : "");
        } else {
            printf("        in no mapping: ");
        }
        print_counts(&r->pages);
    }
}
