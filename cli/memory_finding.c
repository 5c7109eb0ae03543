#include "cli/memory_finding.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/memory_verbs.h"

static const char *const reasons[] = {"anonymous-executable", "writable-executable", "memfd-executable", "deleted-executable",
                                      "file-differs", "written-executable", "executable-unlisted"};
enum { REASONS = sizeof reasons / sizeof *reasons, NOT_COMPARED_MAX = 1000, PAGES_SHOWN = 4096 };

/* --- dating ---------------------------------------------------------------------------------- */

struct dating {
    struct finding *f;
    struct memory_dates *dates;
    struct memory_disk *disk;
    struct linux_kernel *kernel;
    uint32_t block_bytes;
    bool changed_only;
    struct chv_err *err;
};

static int keep_page(struct finding *f, const struct dated_page *page)
{
    if (f->page_count == f->page_room) {
        size_t room = f->page_room ? f->page_room * 2 : 64;
        struct dated_page *grown = realloc(f->pages, room * sizeof *grown);
        if (!grown) return -ENOMEM;
        f->pages = grown;
        f->page_room = room;
    }
    f->pages[f->page_count++] = *page;
    return 0;
}

/* Two blocks of a page: it was there when both were. */
static void both(struct content_dates *a, const struct content_dates *b)
{
    if (b->first_ns > a->first_ns) a->first_ns = b->first_ns;
    if (b->last_ns < a->last_ns) a->last_ns = b->last_ns;
    if (!b->disk) a->disk = NULL;
    if (b->disk_first_ns > a->disk_first_ns) a->disk_first_ns = b->disk_first_ns;
    if (b->disk_until_ns < a->disk_until_ns) a->disk_until_ns = b->disk_until_ns;
    a->still &= b->still;
    a->capped |= b->capped;
}

/* A page of a store with 512-byte blocks is dated by all of them that say something. */
static int date_page(struct dating *d, uint64_t va, uint32_t flags, const uint8_t *data)
{
    struct dated_page page = {.va = va};
    struct content_dates dates;
    uint8_t hash[CHV_HASH_BYTES];
    uint16_t entropy;
    bool any = false;
    chv_digest_blocks(data, PHYSMEM_PAGE_BYTES, 1, &page.hash, &entropy);
    if (d->changed_only && !text_page_is_changed(d->disk, d->kernel, d->f->vma, &d->f->text, va, flags, page.hash)) return 0;
    for (size_t at = 0; at < PHYSMEM_PAGE_BYTES && d->f->page_count < DATED_PAGES_MAX; at += d->block_bytes) {
        chv_digest_blocks(data + at, d->block_bytes, 1, &hash, &entropy);
        int r = memory_dates_of(d->dates, data + at, hash, &dates, d->err);
        if (r < 0) return r;
        if (r == 1 && any) both(&page.dates, &dates);
        if (r == 1 && !any) page.dates = dates;
        any |= r == 1;
    }
    if (any) return keep_page(d->f, &page);
    d->f->pages_left_out++;
    return 0;
}

static int date_pages(void *arg, uint64_t va, uint32_t flags, const uint8_t *data, size_t pages)
{
    int r = 0;
    for (size_t i = 0; i < pages && r == 0; i++) r = date_page(arg, va + i * PHYSMEM_PAGE_BYTES, flags, data + i * PHYSMEM_PAGE_BYTES);
    return r;
}

int finding_dates(struct finding *f, struct memory_dates *dates, struct chv_store *store, struct memory_disk *disk, struct linux_kernel *kernel,
                  struct chv_err *err)
{
    uint64_t unreadable = 0;
    struct dating d = {.f = f, .dates = dates, .disk = disk, .kernel = kernel, .block_bytes = chv_store_block_bytes(store), .err = err,
                       .changed_only = !(f->why & ~(unsigned)(FINDING_DIFFERS | FINDING_COPY))};
    f->dated = true;
    f->disk_known = memory_dates_has_disk(dates);
    int r = text_pages(f->process, f->vma, &unreadable, date_pages, &d);
    if (r == -ENOMEM) chv_err_set(err, ENOMEM, "out of memory");
    return r;
}

/* --- showing --------------------------------------------------------------------------------- */

static void json_time(const char *key, uint64_t ns)
{
    char time[CLOCK_TEXT_BYTES];
    if (ns == 0 || ns == UINT64_MAX)
        printf(", \"%s\": null", key);
    else
        printf(", \"%s\": \"%s\"", key, clock_format(ns, time));
}

static void json_dates(const struct finding *f)
{
    printf(", \"pages\": [");
    for (size_t i = 0; i < f->page_count && i < PAGES_SHOWN; i++) {
        const struct dated_page *p = &f->pages[i];
        printf("%s{\"address\": \"0x%llx\", \"sha256\": \"", i ? ", " : "", (unsigned long long)p->va);
        for (size_t b = 0; b < sizeof p->hash; b++) printf("%02x", p->hash[b]);
        putchar('"');
        json_time("first", p->dates.first_ns);
        json_time("last", p->dates.last_ns);
        printf(", \"still\": %s, \"disk\": ", p->dates.still ? "true" : "false");
        if (p->dates.disk) {
            cli_json_string(stdout, p->dates.disk);
            json_time("disk_first", p->dates.disk_first_ns);
            json_time("disk_until", p->dates.disk_until_ns);
        } else {
            printf("null");
        }
        printf("%s}", p->dates.capped ? ", \"capped\": true" : "");
    }
    printf("], \"pages_left_out\": %llu",
           (unsigned long long)(f->pages_left_out + (f->page_count > PAGES_SHOWN ? f->page_count - PAGES_SHOWN : 0)));
}

struct summary {
    uint64_t first, all_by, last, disk_first, disk_until;
    size_t still, on_disk;
    const char *disk;
};

static struct summary summarise(const struct finding *f)
{
    struct summary s = {0};
    for (size_t i = 0; i < f->page_count; i++) {
        const struct content_dates *d = &f->pages[i].dates;
        if (s.first == 0 || d->first_ns < s.first) s.first = d->first_ns;
        if (d->first_ns > s.all_by) s.all_by = d->first_ns;
        if (d->last_ns > s.last) s.last = d->last_ns;
        s.still += d->still;
        if (!d->disk) continue;
        s.on_disk++;
        if (!s.disk || d->disk_first_ns < s.disk_first) {
            s.disk = d->disk;
            s.disk_first = d->disk_first_ns;
        }
        if (d->disk_until_ns > s.disk_until) s.disk_until = d->disk_until_ns;
    }
    return s;
}

static void print_dates(const struct finding *f)
{
    char a[CLOCK_TEXT_BYTES], b[CLOCK_TEXT_BYTES];
    struct summary s = summarise(f);
    if (f->page_count == 0) {
        printf("        no page of it says enough to be dated\n");
        return;
    }
    printf("        %zu pages in memory: first seen %s", f->page_count, clock_format(s.first, a));
    if (s.all_by != s.first) printf(", all of them by %s", clock_format(s.all_by, a));
    printf(", last seen %s%s\n", clock_format(s.last, a), s.still == f->page_count ? " (all still there)" : s.still ? " (some still there)" : "");
    if (!f->disk_known || s.on_disk == 0) {
        printf("        on disk: %s\n", f->disk_known ? "never seen" : "no disk is recorded here (--disk-store)");
        return;
    }
    printf("        on disk: %zu of them, %s from %s until %s", s.on_disk, s.disk, clock_format(s.disk_first, a),
           s.disk_until == UINT64_MAX ? "now" : clock_format(s.disk_until, b));
    if (s.on_disk < f->page_count) printf("; %zu only ever in memory", f->page_count - s.on_disk);
    putchar('\n');
}

static void print_text_check(const struct finding *f)
{
    const struct text_check *t = &f->text;
    if (f->why & FINDING_DIFFERS)
        printf(" (%llu of %llu pages, first %llx)", (unsigned long long)t->differ, (unsigned long long)t->compared,
               (unsigned long long)t->first_differs);
    else if (f->why & FINDING_COPY)
        printf(" (%llu of %llu pages, first %llx)", (unsigned long long)t->copies, (unsigned long long)t->present, (unsigned long long)t->first_copy);
    else if (t->compared)
        printf(" (%llu pages as on the disk)", (unsigned long long)t->compared);
}

static void print_json(const struct finding *f)
{
    const struct text_check *t = &f->text;
    printf("{\"pid\": %u, \"name\": ", f->process->pid);
    cli_json_string(stdout, f->process->name);
    printf(", \"reasons\": [");
    for (unsigned i = 0, said = 0; i < REASONS; i++)
        if (f->why >> i & 1) printf("%s\"%s\"", said++ ? ", " : "", reasons[i]);
    printf("], ");
    if (!f->vma) {
        printf("\"start\": \"0x%llx\", \"pages\": %llu}\n", (unsigned long long)f->unlisted_first, (unsigned long long)f->unlisted_pages);
        return;
    }
    memory_json_vma(f->vma);
    if (f->vma->file) {
        printf(", \"present_pages\": %llu, \"compared_pages\": %llu, \"differing_pages\": %llu, \"written_pages\": %llu",
               (unsigned long long)t->present, (unsigned long long)t->compared, (unsigned long long)t->differ, (unsigned long long)t->copies);
        if (t->differ) printf(", \"first_differing\": \"0x%llx\"", (unsigned long long)t->first_differs);
        if (t->copies) printf(", \"first_written\": \"0x%llx\"", (unsigned long long)t->first_copy);
        if (t->why[0]) {
            printf(", \"not_compared\": ");
            cli_json_string(stdout, t->why);
        }
    }
    if (f->dated) json_dates(f);
    printf("}\n");
}

void finding_print(const struct finding *f, bool json)
{
    char rights[MEMORY_RIGHTS_BYTES];
    if (json) {
        print_json(f);
        return;
    }
    printf("%7u ", f->process->pid);
    memory_print_text(f->process->name);
    if (!f->vma) {
        printf("  %llu pages from %llx on that no executable mapping covers: executable-unlisted\n", (unsigned long long)f->unlisted_pages,
               (unsigned long long)f->unlisted_first);
        return;
    }
    printf("  %llx-%llx %s ", (unsigned long long)f->vma->start, (unsigned long long)f->vma->end, memory_rights(f->vma, rights));
    memory_print_text(memory_what(f->vma));
    printf("%s:", f->vma->deleted ? " (deleted)" : "");
    for (unsigned i = 0, said = 0; i < REASONS; i++)
        if (f->why >> i & 1) printf("%s%s", said++ ? ", " : " ", reasons[i]);
    print_text_check(f);
    putchar('\n');
    if (f->dated) print_dates(f);
}

void finding_fini(struct finding *f)
{
    free(f->pages);
    f->pages = NULL;
    f->page_count = f->page_room = 0;
}

/* --- what was not compared -------------------------------------------------------------------- */

void not_compared_add(struct not_compared *n, const char *path, const char *why)
{
    for (size_t i = 0; i < n->count; i++)
        if (strcmp(n->list[i].path, path) == 0 && strcmp(n->list[i].why, why) == 0) {
            n->list[i].mappings++;
            return;
        }
    if (!n->list) n->list = calloc(NOT_COMPARED_MAX, sizeof *n->list);
    char *copy = strdup(path), *reason = strdup(why);
    if (!n->list || !copy || !reason || n->count == NOT_COMPARED_MAX) {
        free(copy);
        free(reason);
        n->left_out++;
        return;
    }
    n->list[n->count++] = (struct not_compared_file){copy, reason, 1};
}

void not_compared_print(const struct not_compared *n, bool json)
{
    for (size_t i = 0; i < n->count; i++) {
        if (json) {
            printf("{\"not_compared\": ");
            cli_json_string(stdout, n->list[i].path);
            printf(", \"why\": ");
            cli_json_string(stdout, n->list[i].why);
            printf(", \"mappings\": %llu}\n", (unsigned long long)n->list[i].mappings);
            continue;
        }
        printf("not compared: ");
        memory_print_text(n->list[i].path);
        printf(" (%llu mappings): ", (unsigned long long)n->list[i].mappings);
        memory_print_text(n->list[i].why);
        putchar('\n');
    }
    if (n->left_out) fprintf(stderr, "note: %llu more mappings were not compared\n", (unsigned long long)n->left_out);
}

void not_compared_fini(struct not_compared *n)
{
    for (size_t i = 0; i < n->count; i++) {
        free(n->list[i].path);
        free(n->list[i].why);
    }
    free(n->list);
    *n = (struct not_compared){0};
}
