/* chronovisor info: what a store is and how much is in it. */
#include <inttypes.h>

#include "base/hex.h"
#include "cli/cli.h"

static const struct cli_option options[] = {CLI_OPT_STORE, {0}};

static void print_json(const struct chv_store_info *info, const char *dir, size_t spaces)
{
    char uuid[33], key[65], first[CLOCK_TEXT_BYTES], last[CLOCK_TEXT_BYTES];
    printf("{\"store\": ");
    cli_json_string(stdout, dir);
    printf(", \"uuid\": \"%s\", \"block_bytes\": %" PRIu32 ", \"spaces\": %zu, \"first_seq\": %" PRIu64
           ", \"last_seq\": %" PRIu64,
           hex_format(info->uuid, sizeof info->uuid, uuid), info->block_bytes, spaces, info->first_seq, info->last_seq);
    if (info->last_seq)
        printf(", \"first_time\": \"%s\", \"last_time\": \"%s\"", clock_format(info->first_time_ns, first),
               clock_format(info->last_time_ns, last));
    if (info->pruned_before_seq) printf(", \"pruned_before_seq\": %" PRIu64, info->pruned_before_seq);
    printf(", \"segments\": %" PRIu64 ", \"packs\": %" PRIu64 ", \"log_bytes\": %" PRIu64 ", \"pack_bytes\": %" PRIu64
           ", \"index_bytes\": %" PRIu64 ", \"unindexed_events\": %" PRIu64 ", \"signed\": %s",
           info->segments, info->packs, info->log_bytes, info->pack_bytes, info->index_bytes, info->unindexed_events,
           info->is_signed ? "true" : "false");
    if (info->is_signed) printf(", \"public_key\": \"%s\"", hex_format(info->public_key, sizeof info->public_key, key));
    printf("}\n");
}

static void print_table(const struct chv_store_info *info, const char *dir, size_t spaces)
{
    char uuid[33], key[65], first[CLOCK_TEXT_BYTES], last[CLOCK_TEXT_BYTES];
    printf("store         %s\nuuid          %s\nblock size    %" PRIu32 " bytes\nspaces        %zu\n", dir,
           hex_format(info->uuid, sizeof info->uuid, uuid), info->block_bytes, spaces);
    if (info->last_seq)
        printf("events        seq:%" PRIu64 " to seq:%" PRIu64 "\nrecorded      %s to %s\n", info->first_seq,
               info->last_seq, clock_format(info->first_time_ns, first), clock_format(info->last_time_ns, last));
    else
        printf("events        none\n");
    if (info->pruned_before_seq) printf("pruned        before seq:%" PRIu64 "\n", info->pruned_before_seq);
    printf("log           %" PRIu64 " segments, %" PRIu64 " bytes\npacks         %" PRIu64 ", %" PRIu64
           " bytes\nindex         %" PRIu64 " bytes; %" PRIu64 " events not in it yet\n",
           info->segments, info->log_bytes, info->packs, info->pack_bytes, info->index_bytes, info->unindexed_events);
    printf("signed        %s\n", info->is_signed ? hex_format(info->public_key, sizeof info->public_key, key) : "no");
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    if (!cli_parse(&cmd_info, argc, argv, &args)) return CLI_ERROR;
    int code = CLI_ERROR;
    struct chv_store *store = NULL;
    if (args.count > 0) {
        cli_failf(&args, "unexpected argument '%.60s'", args.positional[0]);
    } else if ((store = cli_store_open(&args))) {
        struct chv_store_info info;
        chv_store_info(store, &info);
        (args.json ? print_json : print_table)(&info, chv_store_dir(store), chv_store_space_count(store));
        code = CLI_OK;
    }
    chv_store_close(store);
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_info = {
    .name = "info",
    .group = "Look",
    .synopsis = "",
    .summary = "say what a store is and how much is in it",
    .example = "chronovisor info --store case1",
    .options = options,
    .run = run,
};
