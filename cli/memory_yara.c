/* chronovisor memory yara: rules over the memory of processes, at virtual addresses.
 *
 * A process is scanned as YARA itself scans one: each stretch of consecutive pages is a block at its virtual address, and a rule's
 * condition is judged once, over all of them. Consecutive pages are put together wherever they lie physically; a stretch of more than a
 * window is scanned in windows that overlap, and libyara counts what it meets twice at one address once. */
#include <stdlib.h>
#include <string.h>
#include <yara.h>

#include "cli/memory_verbs.h"
#include "cli/process_set.h"
#include "cli/yara_rules.h"

enum { PAGE = PHYSMEM_PAGE_BYTES, WINDOW_BYTES = 16 << 20, OVERLAP_BYTES = 1 << 20, PROCESS_SECONDS = 120 };

struct scan {
    const struct cli_args *args;
    const struct process_image *image; /* being scanned */
    size_t run;          /* the first of the window */
    uint64_t at, end;    /* the window's begin; the stretch's end */
    YR_MEMORY_BLOCK block;
    uint8_t *data;       /* a window */
    uint64_t limit;      /* matches shown of one string in one process */
    uint64_t rules, matches, processes, bytes, unreadable_pages, timeouts, too_many, failed;
};

static void begin_stretch(struct scan *s, size_t run)
{
    const struct pages *pages = &s->image->pages;
    s->run = run;
    if (run >= pages->count) return;
    s->at = pages->list[run].va;
    s->end = s->at;
    for (; run < pages->count && pages->list[run].va == s->end; run++) s->end += pages->list[run].bytes;
}

static void fill_window(struct scan *s)
{
    const struct pages *pages = &s->image->pages;
    uint64_t end = s->end - s->at > WINDOW_BYTES + OVERLAP_BYTES ? s->at + WINDOW_BYTES + OVERLAP_BYTES : s->end;
    for (size_t i = s->run; i < pages->count && pages->list[i].va < end; i++) {
        const struct page_run *run = &pages->list[i];
        uint64_t from = run->va > s->at ? run->va : s->at, to = run->va + run->bytes < end ? run->va + run->bytes : end;
        if (from < to) process_image_read(s->image, run, from, s->data + (from - s->at), (size_t)(to - from), &s->unreadable_pages);
    }
    s->block.base = s->at;
    s->block.size = (size_t)(end - s->at);
    s->bytes += s->block.size;
}

static const uint8_t *fetch(YR_MEMORY_BLOCK *block)
{
    return ((struct scan *)block->context)->data;
}

static YR_MEMORY_BLOCK *window(YR_MEMORY_BLOCK_ITERATOR *iterator)
{
    struct scan *s = iterator->context;
    iterator->last_error = ERROR_SUCCESS;
    if (s->run >= s->image->pages.count) return NULL;
    fill_window(s);
    return &s->block;
}

static YR_MEMORY_BLOCK *first_window(YR_MEMORY_BLOCK_ITERATOR *iterator)
{
    begin_stretch(iterator->context, 0);
    return window(iterator);
}

static YR_MEMORY_BLOCK *next_window(YR_MEMORY_BLOCK_ITERATOR *iterator)
{
    struct scan *s = iterator->context;
    const struct pages *pages = &s->image->pages;
    if (s->run < pages->count && s->end - s->at > WINDOW_BYTES + OVERLAP_BYTES) {
        s->at += WINDOW_BYTES;
        s->run = process_image_run(s->image, s->at);
    } else if (s->run < pages->count) {
        size_t next = s->run;
        while (next < pages->count && pages->list[next].va < s->end) next++;
        begin_stretch(s, next);
    }
    return window(iterator);
}

static void print_head(const struct scan *s, const char *rule, const char *string)
{
    const struct process_image *p = s->image;
    if (s->args->json) {
        printf("{\"pid\": %u, \"name\": ", p->pid);
        cli_json_string(stdout, p->name);
        printf(", \"rule\": ");
        cli_json_string(stdout, rule);
        printf(", \"string\": ");
        if (string)
            cli_json_string(stdout, string);
        else
            printf("null");
        return;
    }
    printf("%7u ", p->pid);
    memory_print_text(p->name);
    printf("  %s", rule);
    if (string) printf(" %s", string);
}

static void print_match(const struct scan *s, const char *rule, const char *string, uint64_t va, int32_t length)
{
    char rights[MEMORY_RIGHTS_BYTES];
    const struct linux_vma *v = process_image_vma(s->image, va);
    print_head(s, rule, string);
    if (s->args->json) {
        printf(", \"address\": \"0x%llx\", \"bytes\": %d", (unsigned long long)va, length);
        if (v) {
            printf(", ");
            memory_json_vma(v);
        }
        printf("}\n");
        return;
    }
    printf("  at %llx, %d bytes", (unsigned long long)va, length);
    if (v) {
        printf(", in %llx-%llx %s ", (unsigned long long)v->start, (unsigned long long)v->end, memory_rights(v, rights));
        memory_print_text(memory_what(v));
        printf("%s", v->deleted ? " (deleted)" : "");
    }
    putchar('\n');
}

static void print_left_out(const struct scan *s, const char *rule, const char *string, uint64_t count)
{
    print_head(s, rule, string);
    if (s->args->json)
        printf(", \"matches_left_out\": %llu}\n", (unsigned long long)count);
    else
        printf("  … and %llu more; --limit shows them\n", (unsigned long long)count);
}

static int on_event(YR_SCAN_CONTEXT *context, int message, void *data, void *arg)
{
    struct scan *s = arg;
    if (message != CALLBACK_MSG_RULE_MATCHING) return CALLBACK_CONTINUE;
    const YR_RULE *rule = data;
    YR_STRING *string;
    YR_MATCH *match;
    uint64_t printed = 0;
    s->rules++;
    yr_rule_strings_foreach(rule, string)
    {
        uint64_t seen = 0;
        yr_string_matches_foreach(context, string, match)
        {
            if (seen++ < s->limit) print_match(s, rule->identifier, string->identifier, (uint64_t)(match->base + match->offset), match->match_length);
        }
        if (seen > s->limit) print_left_out(s, rule->identifier, string->identifier, seen - s->limit);
        s->matches += seen;
        printed += seen;
    }
    if (printed == 0) { /* a condition that needs no string */
        print_head(s, rule->identifier, NULL);
        printf(s->args->json ? "}\n" : "\n");
    }
    return CALLBACK_CONTINUE;
}

static void scan_process(struct scan *s, YR_SCANNER *scanner, const struct process_image *image)
{
    YR_MEMORY_BLOCK_ITERATOR iterator = {.context = s, .first = first_window, .next = next_window};
    s->image = image;
    s->block = (YR_MEMORY_BLOCK){.context = s, .fetch_data = fetch};
    s->processes++;
    if (image->pages.count == 0) return;
    switch (yr_scanner_scan_mem_blocks(scanner, &iterator)) {
    case ERROR_SUCCESS: break;
    case ERROR_SCAN_TIMEOUT: s->timeouts++; break;
    case ERROR_TOO_MANY_MATCHES: s->too_many++; break;
    default: s->failed++;
    }
}

static int scan_all(struct scan *s, YR_SCANNER *scanner, const struct process_set *set)
{
    struct process_image image;
    yr_scanner_set_callback(scanner, on_event, s);
    yr_scanner_set_timeout(scanner, PROCESS_SECONDS);
    yr_scanner_set_flags(scanner, SCAN_FLAGS_REPORT_RULES_MATCHING | SCAN_FLAGS_NO_TRYCATCH);
    for (size_t i = 0; i < set->count; i++) {
        cli_progress("scanning processes", i, set->count);
        if (process_set_get(s->args, set, i, &image) != CLI_OK) return CLI_ERROR;
        scan_process(s, scanner, &image);
        process_image_fini(&image);
    }
    cli_progress_end();
    if (s->unreadable_pages) fprintf(stderr, "note: %llu pages could not be read and were scanned as zeros\n", (unsigned long long)s->unreadable_pages);
    if (s->timeouts) fprintf(stderr, "note: %llu processes took longer than %d s and were scanned in part\n", (unsigned long long)s->timeouts, PROCESS_SECONDS);
    if (s->too_many + s->failed)
        fprintf(stderr, "note: %llu processes were scanned in part: a string occurred too often, or libyara ran out of memory\n",
                (unsigned long long)(s->too_many + s->failed));
    if (set->lists_broken) fprintf(stderr, "note: the kernel's list of processes is damaged, so there may be more\n");
    if (!s->args->json)
        printf("%llu rules matched (%llu matches) in %llu processes, %llu MiB scanned\n", (unsigned long long)s->rules,
               (unsigned long long)s->matches, (unsigned long long)s->processes, (unsigned long long)(s->bytes >> 20));
    return s->rules ? CLI_OK : CLI_NOTHING;
}

static int run_rules(struct scan *s, const char *path)
{
    struct chv_err err;
    YR_RULES *rules = NULL;
    YR_SCANNER *scanner = NULL;
    struct process_set set = {0};
    /* Matched bytes are not shown, so libyara need not copy them. */
    yr_set_configuration_uint32(YR_CONFIG_MAX_MATCH_DATA, 0);
    int code = yara_rules_load("", path, &rules, &err) < 0 ? cli_fail(s->args, &err) : CLI_OK;
    if (code == CLI_OK && yr_scanner_create(rules, &scanner) != ERROR_SUCCESS) code = cli_failf(s->args, "out of memory");
    if (code == CLI_OK) code = process_set_open(s->args, "--at", &set);
    if (code == CLI_OK) code = scan_all(s, scanner, &set);
    process_set_close(&set);
    if (scanner) yr_scanner_destroy(scanner);
    if (rules) yr_rules_destroy(rules);
    return code;
}

int memory_yara(const struct cli_args *args)
{
    struct scan *s = calloc(1, sizeof *s);
    int code = CLI_ERROR;
    if (!s || !(s->data = malloc(WINDOW_BYTES + OVERLAP_BYTES)))
        code = cli_failf(args, "out of memory");
    else if (args->count != 2)
        code = cli_failf(args, "needs one file of rules: 'memory yara RULES'");
    else if (cli_number(args, "--limit", 20, UINT32_MAX, &s->limit)) {
        s->args = args;
        if (yr_initialize() != ERROR_SUCCESS) {
            code = cli_failf(args, "YARA does not start");
        } else {
            code = run_rules(s, args->positional[1]);
            yr_finalize();
        }
    }
    if (s) free(s->data);
    free(s);
    return code;
}
