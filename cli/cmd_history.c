/* chronovisor history: the life of one file. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/hex.h"
#include "cli/files_at.h"
#include "timeline/files_history.h"

static const struct cli_option options[] = {
    CLI_OPT_STORE,
    CLI_OPT_SPACE,
    {"--from", "TIME", "begin here (default: the beginning)"},
    {"--to", "TIME", "end here (default: the last recorded)"},
    {"--partition", "N", "which partition; may be left out when one has a file system"},
    {"--in-place", NULL, "do not take an ext3/4 journal into account: metadata as the blocks in place have it"},
    {"--limit", "N", "look at no more than so many instants (default 10000)"},
    CLI_OPT_SOURCE,
    {0},
};

struct shown {
    const struct cli_args *args;
    uint64_t changes;
};

static const char *kind_name(enum files_change_kind kind)
{
    static const char *const names[] = {"existed", "created", "modified", "metadata", "replaced", "renamed", "deleted",
                                        "reappeared", "unreadable"};
    return names[kind];
}

static void show_json(const struct files_change *c)
{
    char time[CLOCK_TEXT_BYTES], hex[65];
    printf("{\"seq\": %" PRIu64 ", \"time\": \"%s\", \"change\": \"%s\"", c->seq, clock_format(c->time_ns, time), kind_name(c->kind));
    if (c->has_sha256) printf(", \"sha256\": \"%s\"", hex_format(c->sha256, 32, hex));
    if (c->other_path) {
        fputs(", \"renamed_to\": ", stdout);
        cli_json_string(stdout, c->other_path);
    }
    if (c->reason) {
        fputs(", \"reason\": ", stdout);
        cli_json_string(stdout, c->reason);
    }
    if (c->entry) {
        fputs(", \"file\": ", stdout);
        files_print_json(stdout, c->entry);
    }
    fputs("}\n", stdout);
}

static int show(void *arg, const struct files_change *c)
{
    struct shown *s = arg;
    char time[CLOCK_TEXT_BYTES], modified[FILES_TIME_BYTES], hex[65];
    s->changes++;
    cli_progress_end();
    if (s->args->json) {
        show_json(c);
        return 0;
    }
    if (s->changes == 1) printf("%-27s %12s  %-10s %12s  %-19s  %s\n", "as of", "seq", "change", "size", "modified", "sha256");
    printf("%-27s %12" PRIu64 "  %-10s", clock_format(c->time_ns, time), c->seq, kind_name(c->kind));
    if (c->entry)
        printf(" %12" PRIu64 "  %-19.19s  %s", c->entry->size_bytes, files_time(c->entry, FILES_M, modified),
               c->has_sha256 ? hex_format(c->sha256, 32, hex) : "-");
    if (c->other_path) {
        fputs(" to ", stdout);
        files_print_text(stdout, c->other_path);
    }
    if (c->reason) {
        fputs(" (", stdout);
        files_print_text(stdout, c->reason);
        putchar(')');
    }
    putchar('\n');
    return 0;
}

static void progress(void *arg, uint64_t done, uint64_t total)
{
    (void)arg;
    cli_progress("history", done, total);
}

static int history_of(const struct cli_args *args, struct chv_store *store)
{
    struct files_history_options o = {.view = {.source = cli_value(args, "--source")}, .progress = progress};
    struct shown shown = {.args = args};
    struct chv_err err;
    const struct chv_space *space = cli_space(args, store);
    if (!space || !files_at_options(args, &o.files) || !cli_number(args, "--limit", 10000, UINT64_MAX, &o.limit) ||
        !cli_instant(args, "--to", store, &o.last_seq))
        return CLI_ERROR;
    if (cli_value(args, "--from") && !cli_instant(args, "--from", store, &o.first_seq)) return CLI_ERROR;
    if (o.first_seq > o.last_seq) return cli_failf(args, "--from is after --to");
    int r = files_history(store, space, args->positional[0], &o, show, &shown, NULL, &err);
    if (r < 0) return cli_fail(args, &err);
    cli_progress_end();
    return shown.changes > 0 ? CLI_OK : CLI_NOTHING;
}

static int history_run(int argc, char **argv)
{
    struct cli_args args;
    int code = CLI_ERROR;
    if (!cli_parse(&cmd_history, argc, argv, &args)) return CLI_ERROR;
    struct chv_store *store = NULL;
    if (args.count != 1)
        cli_failf(&args, "give one PATH");
    else if ((store = cli_store_open(&args)) != NULL)
        code = history_of(&args, store);
    if (store) chv_store_close(store);
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_history = {
    .name = "history",
    .group = "Look",
    .synopsis = "PATH [--from TIME] [--to TIME]",
    .summary = "every instant at which a file changed",
    .example = "chronovisor history /home/anna/thesis.odt --store evidence",
    .options = options,
    .run = history_run,
};
