/* chronovisor spaces: the disks and memories recorded in a store. */
#include <inttypes.h>

#include "cli/cli.h"
#include "cli/event_text.h"

static const struct cli_option options[] = {CLI_OPT_STORE, {0}};

static void print_space(const struct chv_space *space, bool json)
{
    char when[CLOCK_TEXT_BYTES];
    clock_format(space->first_time_ns, when);
    if (!json) {
        printf("%5u  %-24s %16" PRIu64 "  %-8s %-27s  %s\n", space->id, space->name, space->size_bytes,
               event_rest_name((uint8_t)space->rest), when, space->source ? space->source : "-");
        return;
    }
    printf("{\"id\": %u, \"name\": ", space->id);
    cli_json_string(stdout, space->name);
    printf(", \"size_bytes\": %" PRIu64 ", \"rest\": \"%s\", \"first_seq\": %" PRIu64
           ", \"first_time\": \"%s\", \"source\": ",
           space->size_bytes, event_rest_name((uint8_t)space->rest), space->first_seq, when);
    if (space->source)
        cli_json_string(stdout, space->source);
    else
        printf("null");
    printf("}\n");
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    if (!cli_parse(&cmd_spaces, argc, argv, &args)) return CLI_ERROR;
    int code = CLI_ERROR;
    struct chv_store *store = NULL;
    if (args.count > 0) {
        cli_failf(&args, "unexpected argument '%.60s'", args.positional[0]);
    } else if ((store = cli_store_open(&args))) {
        size_t count = chv_store_space_count(store);
        if (count > 0 && !args.json)
            printf("%5s  %-24s %16s  %-8s %-27s  %s\n", "ID", "NAME", "BYTES", "REST", "SINCE", "DEVICE");
        for (size_t i = 0; i < count; i++) print_space(chv_store_space(store, i), args.json);
        code = count > 0 ? CLI_OK : CLI_NOTHING;
    }
    chv_store_close(store);
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_spaces = {
    .name = "spaces",
    .group = "Look",
    .synopsis = "",
    .summary = "list the disks and memories recorded in a store",
    .example = "chronovisor spaces --store case1",
    .options = options,
    .run = run,
};
