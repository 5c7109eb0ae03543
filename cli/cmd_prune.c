#include "cli/cli.h"

static int run(int argc, char **argv);

static const struct cli_option options[] = {
    CLI_OPT_STORE,
    {"--before", "TIME", "drop history before this instant; views from it on stay exact"},
    CLI_OPT_REASON,
    {0},
};

const struct cli_command cmd_prune = {
    .name = "prune",
    .group = "Keep",
    .synopsis = "--before TIME [--store DIR] [--reason TEXT]",
    .summary = "drop old history, and leave a record of that",
    .example = "chronovisor prune --store evidence --before -30d --reason 'retention: 30 days'",
    .options = options,
    .run = run,
};

static void show(void *arg, const char *what, uint64_t done, uint64_t total)
{
    cli_progress(what, done, total);
}

static int prune(const struct cli_args *args)
{
    struct chv_prune_result result;
    struct chv_err err;
    uint64_t seq;
    if (args->count > 0) return cli_failf(args, "takes no argument '%.60s'", args->positional[0]);
    if (!cli_value(args, "--before")) return cli_failf(args, "needs --before TIME: what is older is dropped for good");
    struct chv_store *store = cli_store_open(args);
    if (!store) return CLI_ERROR;
    bool good = cli_instant(args, "--before", store, &seq);
    chv_store_close(store);
    if (!good) return CLI_ERROR;
    const char *dir = cli_store_dir(args);
    if (cli_custody(args, "prune", "history before seq:%llu", (unsigned long long)seq) != 0) return CLI_ERROR;
    if (chv_store_prune(dir, seq, show, NULL, &result, &err) < 0) return cli_fail(args, &err);
    cli_progress_end();
    printf(args->json ? "{\"exact_from_seq\": %llu, \"dropped_events\": %llu, \"kept_events\": %llu, \"dropped_blocks\": %llu, \"freed_bytes\": %llu}\n"
                      : "views are exact from seq:%llu on; dropped %llu events (kept %llu older ones that views need), %llu blocks, %llu bytes\n",
           (unsigned long long)result.from_seq, (unsigned long long)result.dropped_events,
           (unsigned long long)result.kept_events, (unsigned long long)result.dropped_blocks,
           (unsigned long long)result.freed_bytes);
    return CLI_OK;
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    if (!cli_parse(&cmd_prune, argc, argv, &args)) return CLI_ERROR;
    int code = prune(&args);
    cli_args_fini(&args);
    return code;
}
