#include "cli/cli.h"

static int run(int argc, char **argv);

static const struct cli_option options[] = {
    CLI_OPT_STORE,
    {"--sign", "KEY.pem", "Ed25519 key to sign with (default: the store's own)"},
    {0},
};

const struct cli_command cmd_checkpoint = {
    .name = "checkpoint",
    .group = "Keep",
    .synopsis = "[--store DIR] [--sign KEY.pem]",
    .summary = "print the head of the log for safekeeping elsewhere",
    .example = "chronovisor checkpoint --store evidence > safe/checkpoint.txt",
    .options = options,
    .run = run,
};

static int run(int argc, char **argv)
{
    struct cli_args args;
    struct chv_err err;
    char text[CHV_CHECKPOINT_BYTES];
    if (!cli_parse(&cmd_checkpoint, argc, argv, &args)) return CLI_ERROR;
    int code = CLI_ERROR;
    const char *dir = cli_store_dir(&args);
    if (dir && args.count > 0) {
        cli_failf(&args, "takes no argument '%.60s'", args.positional[0]);
    } else if (dir && chv_store_checkpoint(dir, cli_value(&args, "--sign"), text, &err) < 0) {
        cli_fail(&args, &err);
    } else if (dir) {
        code = CLI_OK;
        if (args.json) {
            printf("{\"checkpoint\": ");
            cli_json_string(stdout, text);
            printf("}\n");
        } else {
            fputs(text, stdout);
        }
    }
    cli_args_fini(&args);
    return code;
}
