#include "cli/cli.h"

static int run(int argc, char **argv);

static const struct cli_option options[] = {CLI_OPT_STORE, {0}};

const struct cli_command cmd_reindex = {
    .name = "reindex",
    .group = "Keep",
    .synopsis = "[--store DIR]",
    .summary = "make the index again from the log alone",
    .example = "chronovisor reindex --store evidence",
    .options = options,
    .run = run,
};

static void show(void *arg, const char *what, uint64_t done, uint64_t total)
{
    cli_progress(what, done, total);
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    struct chv_err err;
    if (!cli_parse(&cmd_reindex, argc, argv, &args)) return CLI_ERROR;
    int code = CLI_ERROR;
    const char *dir = cli_store_dir(&args);
    if (dir && args.count > 0) {
        cli_failf(&args, "takes no argument '%.60s'", args.positional[0]);
    } else if (dir && chv_store_reindex(dir, show, NULL, &err) < 0) {
        cli_fail(&args, &err);
    } else if (dir) {
        struct chv_store *store = cli_store_open(&args);
        if (store) {
            struct chv_store_info info;
            chv_store_info(store, &info);
            cli_progress_end();
            uint64_t indexed = info.last_seq ? info.last_seq - info.first_seq + 1 - info.unindexed_events : 0;
            printf(args.json ? "{\"indexed_events\": %llu, \"unindexed_events\": %llu, \"index_bytes\": %llu}\n"
                             : "%llu events indexed, %llu in the log's tail, %llu bytes\n",
                   (unsigned long long)indexed, (unsigned long long)info.unindexed_events, (unsigned long long)info.index_bytes);
            chv_store_close(store);
            code = CLI_OK;
        }
    }
    cli_args_fini(&args);
    return code;
}
