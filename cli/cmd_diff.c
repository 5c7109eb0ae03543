/* chronovisor diff: which extents changed between two instants, by content. */
#include <inttypes.h>

#include "cli/cli.h"
#include "timeline/diff.h"

static const struct cli_option options[] = {
    CLI_OPT_STORE,
    CLI_OPT_SPACE,
    {"--from", "TIME", "the earlier instant"},
    {"--to", "TIME", "the later instant (default: the last recorded)"},
    {0},
};

static const char *const kind_names[] = {
    [DIFF_DATA] = "changed", [DIFF_ZERO] = "zeroed", [DIFF_UNKNOWN] = "unknown", [DIFF_RESIZED] = "resized"};

struct printer {
    bool json, begun;
};

static int print_extent(void *arg, const struct diff_extent *e)
{
    struct printer *printer = arg;
    uint64_t lba = e->offset / CHV_SECTOR_BYTES, sectors = e->bytes / CHV_SECTOR_BYTES;
    if (printer->json) {
        printf("{\"lba\": %" PRIu64 ", \"sectors\": %" PRIu64 ", \"offset\": %" PRIu64 ", \"bytes\": %" PRIu64
               ", \"kind\": \"%s\"}\n",
               lba, sectors, e->offset, e->bytes, kind_names[e->kind]);
        return 0;
    }
    if (!printer->begun) printf("%14s %12s %16s  %s\n", "LBA", "SECTORS", "BYTES", "WHAT");
    printer->begun = true;
    printf("%14" PRIu64 " %12" PRIu64 " %16" PRIu64 "  %s\n", lba, sectors, e->bytes, kind_names[e->kind]);
    return 0;
}

static void print_totals(const struct cli_args *args, const struct diff_totals *t, uint64_t from, uint64_t to)
{
    if (args->json) {
        printf("{\"total\": true, \"from_seq\": %" PRIu64 ", \"to_seq\": %" PRIu64 ", \"extents\": %" PRIu64
               ", \"changed_blocks\": %" PRIu64 ", \"changed_bytes\": %" PRIu64 ", \"unknown_blocks\": %" PRIu64
               ", \"unknown_bytes\": %" PRIu64 ", \"resized_bytes\": %" PRIu64 ", \"rewritten_same_blocks\": %" PRIu64
               "}\n",
               from, to, t->extents, t->changed_blocks, t->changed_bytes, t->unknown_blocks, t->unknown_bytes,
               t->resized_bytes, t->rewritten_blocks);
        return;
    }
    printf("total: %" PRIu64 " bytes in %" PRIu64 " blocks changed from seq:%" PRIu64 " to seq:%" PRIu64,
           t->changed_bytes, t->changed_blocks, from, to);
    if (t->unknown_blocks) printf("; %" PRIu64 " blocks are not known at one of the two", t->unknown_blocks);
    if (t->resized_bytes) printf("; the size differs by %" PRIu64 " bytes", t->resized_bytes);
    if (t->rewritten_blocks)
        printf("; %" PRIu64 " blocks were written with the content they had, which is no change", t->rewritten_blocks);
    printf("\n");
}

static int diff(struct cli_args *args, const struct chv_store *store)
{
    struct chv_err err;
    uint64_t from, to;
    struct diff_totals totals;
    struct printer printer = {.json = args->json};
    const struct chv_space *space = cli_space(args, store);
    if (!space || !cli_instant_in(args, "--from", store, space, &from) || !cli_instant_in(args, "--to", store, space, &to))
        return CLI_ERROR;
    if (from > to) return cli_failf(args, "--from (seq:%" PRIu64 ") is after --to (seq:%" PRIu64 ")", from, to);
    if (diff_run(store, space, from, to, print_extent, &printer, &totals, &err) < 0) return cli_fail(args, &err);
    print_totals(args, &totals, from, to);
    return totals.extents > 0 ? CLI_OK : CLI_NOTHING;
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    if (!cli_parse(&cmd_diff, argc, argv, &args)) return CLI_ERROR;
    int code = CLI_ERROR;
    struct chv_store *store = NULL;
    if (args.count > 0)
        cli_failf(&args, "unexpected argument '%.60s'", args.positional[0]);
    else if (!cli_value(&args, "--from"))
        cli_failf(&args, "no earlier instant given; add --from TIME");
    else if ((store = cli_store_open(&args)))
        code = diff(&args, store);
    chv_store_close(store);
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_diff = {
    .name = "diff",
    .group = "Look",
    .synopsis = "[--space NAME] --from TIME [--to TIME]",
    .summary = "list the extents whose content changed between two instants",
    .example = "chronovisor diff --store case1 --from -1h --to -10m",
    .options = options,
    .run = run,
};
