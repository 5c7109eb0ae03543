/* chronovisor search: was this content ever here, when and where? */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/search_print.h"
#include "search/list_search.h"

extern const struct cli_command cmd_search;

struct request {
    struct cli_args args;
    struct chv_store *store;
    struct search_options options;
    struct search_feed feed;
    struct search_print print;
    bool before_everything; /* the chosen instant is before the first event */
};

static bool read_range(struct request *q)
{
    const struct cli_args *args = &q->args;
    bool at = cli_value(args, "--at"), from = cli_value(args, "--from"), to = cli_value(args, "--to");
    if (at && (from || to)) {
        cli_failf(args, "--at is one instant, --from and --to a range: give one or the other");
        return false;
    }
    if (at) {
        if (!cli_instant(args, "--at", q->store, &q->options.to_seq)) return false;
        q->options.from_seq = q->options.to_seq;
    } else {
        if (from && !cli_instant(args, "--from", q->store, &q->options.from_seq)) return false;
        if (!cli_instant(args, "--to", q->store, &q->options.to_seq)) return false;
    }
    q->before_everything = q->options.to_seq == 0;
    if (q->options.from_seq > q->options.to_seq) {
        cli_failf(args, "--from is after --to");
        return false;
    }
    return true;
}

static bool read_request(struct request *q)
{
    const struct cli_args *args = &q->args;
    uint64_t seed_default = clock_now_ns() % 1000000000;
    if (!cli_number(args, "--limit", 20, UINT32_MAX, &q->print.limit) ||
        !cli_number(args, "--sample", 0, UINT32_MAX, &q->feed.sample) ||
        !cli_number(args, "--seed", seed_default, UINT64_MAX, &q->feed.seed) || !read_range(q))
        return false;
    if (cli_value(args, "--sample") && q->feed.sample == 0) {
        cli_failf(args, "--sample 0 draws nothing; give a number of blocks");
        return false;
    }
    if (cli_value(args, "--seed") && !q->feed.sample) {
        cli_failf(args, "--seed goes with --sample");
        return false;
    }
    q->feed.fragment = cli_flag(args, "--fragment");
    if (q->feed.fragment && q->feed.sample) {
        cli_failf(args, "--fragment and --sample do not go together: a fragment is searched for whole");
        return false;
    }
    if (cli_value(args, "--space")) {
        const struct chv_space *space = cli_space(args, q->store);
        if (!space) return false;
        q->options.space = space->id;
        if (cli_value(args, "--at")) { /* a memory is recorded after the instant that it shows */
            if (!cli_instant_in(args, "--at", q->store, space, &q->options.to_seq)) return false;
            q->options.from_seq = q->options.to_seq;
        }
    }
    q->print.store = q->store;
    q->print.json = args->json;
    q->print.names = !cli_flag(args, "--no-names");
    q->print.sampled = q->feed.sample > 0;
    q->print.fragment = q->feed.fragment;
    q->print.seed = q->feed.seed;
    return true;
}

static void progress_bytes(void *arg, uint64_t done, uint64_t total)
{
    cli_progress(arg, done, total);
}

/* What an answer from a sample is worth. */
static void print_miss(const struct search_result *r, uint64_t population)
{
    uint64_t n = r->kinds[BLOCK_PROBATIVE];
    printf("  a sample can miss: if M of the N = %llu blocks are in the store, n = %llu probative draws meet none with\n"
           "  probability (1-M/N)^n:", (unsigned long long)population, (unsigned long long)n);
    static const double shares[] = {0.001, 0.01, 0.1, 0.5};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
        printf("%s %.3g for M/N = %g %%", i ? "," : "", sample_miss(shares[i] * (double)population, (double)population,
                                                                   (double)n), 100 * shares[i]);
    printf("\n");
    if (n > 0)
        printf("  so at least %llu blocks in the store would have been met with 95 %% probability\n",
               (unsigned long long)sample_least(population, n, 0.05));
}

static const char *not_found_why(const struct request *q, const struct search_feed_report *report,
                                 const struct search_result *result)
{
    if (report->bytes == 0) return ": the file is empty";
    if (result->kinds[BLOCK_CONSTANT] == result->blocks) return ": every block is constant, so a search can say nothing";
    if (!q->feed.fragment && !q->feed.sample && chv_store_block_bytes(q->store) > CHV_SECTOR_BYTES)
        return " at block borders; --fragment also tries the other sectors";
    return "";
}

static int search_file(struct request *q, const char *path)
{
    struct chv_err err = {0};
    struct search *search = search_new(q->store, &q->options);
    if (!search) return cli_failf(&q->args, "out of memory");
    struct search_feed_report report;
    const struct search_result *result = NULL;
    q->feed.progress = progress_bytes;
    q->feed.progress_arg = "searching";
    int r = search_feed_file(search, path, &q->feed, &report, &err);
    if (r == 0) r = search_finish(search, &result, &err);
    cli_progress_end();
    int code = CLI_NOTHING;
    if (r < 0 || !result) {
        code = cli_fail(&q->args, &err);
    } else {
        q->print.subject = path;
        q->print.blocks = report.blocks;
        q->print.bytes = report.bytes;
        search_print_subject(&q->print, result);
        if (q->print.sampled && !q->print.json) print_miss(result, report.blocks);
        search_print_candidates(&q->print, result);
        if (result->candidate_count > 0) code = CLI_OK;
        else if (!q->print.json)
            printf("  not found%s\n", not_found_why(q, &report, result));
    }
    search_free(search);
    return code;
}

static int search_files(struct request *q)
{
    int code = CLI_NOTHING;
    for (int i = 0; i < q->args.count; i++) {
        int one = search_file(q, q->args.positional[i]);
        if (one == CLI_ERROR) return one;
        if (one == CLI_OK) code = CLI_OK;
    }
    return code;
}

struct list_state {
    struct request *request;
    uint64_t subjects;
};

static int list_found(void *arg, const char *name, const struct search_result *result)
{
    struct list_state *state = arg;
    struct search_print *print = &state->request->print;
    cli_progress_end();
    print->subject = name;
    print->blocks = result->blocks;
    search_print_subject(print, result);
    search_print_candidates(print, result);
    state->subjects++;
    return 0;
}

static void print_list_notes(const struct list_report *report, bool json)
{
    FILE *out = json ? stderr : stdout;
    if (!json)
        printf("%llu hashes, %llu of them seen in this store\n", (unsigned long long)report->entries,
               (unsigned long long)report->found);
    if (report->too_short)
        fprintf(out, "note: %llu of them of less than a block (the ends of files), which cannot be found: on a disk the "
                     "rest of the block is hashed too\n", (unsigned long long)report->too_short);
    if (report->md5_ambiguous)
        fprintf(out, "note: %llu of the MD5s with more than one content in this store: MD5 collisions can be made at will\n",
                (unsigned long long)report->md5_ambiguous);
    if (report->md5.unreadable)
        fprintf(out, "note: %llu contents could not be read and have no MD5; 'chronovisor verify' names them\n",
                (unsigned long long)report->md5.unreadable);
}

static int search_list(struct request *q, const char *path)
{
    if (q->args.count > 0) return cli_failf(&q->args, "--hashes takes the place of files; leave '%s' out", q->args.positional[0]);
    if (q->feed.sample || q->feed.fragment)
        return cli_failf(&q->args, "--hashes does not go with --sample or --fragment: there is no file to cut");
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *in = is_stdin ? stdin : fopen(path, "re");
    if (!in) return cli_failf(&q->args, "%s: %s", path, strerror(errno));
    struct hash_list *list = hash_list_new(in, is_stdin ? "standard input" : path, chv_store_block_bytes(q->store));
    struct list_state state = {.request = q};
    struct list_report report = {0};
    struct chv_err err;
    int r = list ? search_hash_list(q->store, &q->options, list, list_found, &state, progress_bytes,
                                    "building the MD5 column", &report, &err)
                 : chv_err_set(&err, ENOMEM, "out of memory");
    hash_list_free(list);
    if (!is_stdin) fclose(in);
    cli_progress_end();
    if (r < 0) return cli_fail(&q->args, &err);
    print_list_notes(&report, q->args.json);
    return state.subjects > 0 ? CLI_OK : CLI_NOTHING;
}

static int run_request(struct request *q)
{
    const char *list = cli_value(&q->args, "--hashes");
    if (!list && q->args.count == 0) return cli_failf(&q->args, "name the files to search for, or --hashes LIST");
    if (!read_request(q)) return CLI_ERROR;
    int code;
    if (q->before_everything) {
        if (!q->args.json) printf("nothing had been recorded by then\n");
        return CLI_NOTHING;
    }
    code = list ? search_list(q, list) : search_files(q);
    if (code == CLI_OK && !q->args.json) search_print_legend(&q->print);
    return code;
}

static int run(int argc, char **argv)
{
    struct request q = {0};
    if (!cli_parse(&cmd_search, argc, argv, &q.args)) return CLI_ERROR;
    int code = CLI_ERROR;
    q.store = cli_store_open(&q.args);
    if (q.store) code = run_request(&q);
    chv_store_close(q.store);
    cli_args_fini(&q.args);
    return code;
}

static const struct cli_option options[] = {
    CLI_OPT_STORE,
    {"--space", "NAME", "only this space (default: all)"},
    {"--at", "TIME", "only what stood there at this instant"},
    {"--from", "TIME", "only what stood there at some time from here…"},
    {"--to", "TIME", "…to here"},
    {"--fragment", NULL, "FILE may begin anywhere in a block: also try its 7 other sector offsets (4096-byte stores; "
                         "in a 512-byte store every search is sector by sector already)"},
    {"--sample", "N", "look up N blocks drawn at random instead of all; prints the chance of a miss, (1-M/N)^n for M of N "
                      "blocks present, n draws"},
    {"--seed", "N", "draw the same sample again"},
    {"--hashes", "LIST", "search for block hashes instead: SHA-256 or MD5, one a line with an optional name, md5deep and "
                         "hashdeep -p, hashdb tables and exports; - is standard input"},
    {"--limit", "N", "candidates shown of each file (default 20)"},
    {"--no-names", NULL, "do not look up which file owned the blocks"},
    {0},
};

const struct cli_command cmd_search = {
    .name = "search",
    .group = "Search",
    .synopsis = "[--store DIR] FILE…  |  --hashes LIST",
    .summary = "was this content ever here, when and where?",
    .example = "chronovisor search --store evidence.chv ransom-note.txt",
    .options = options,
    .run = run,
};
