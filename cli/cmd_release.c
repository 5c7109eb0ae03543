/* chronovisor release: let a held store's disks be written to again. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "store/held.h"

static const struct cli_option options[] = {
    CLI_OPT_STORE,
    {"--status", NULL, "only say whether it is held, and why; release nothing"},
    CLI_OPT_REASON,
    {0},
};

/* What the file says is shown, never believed: the hold is that it is there. */
static void print(const struct cli_args *args, const char *text, bool released)
{
    json_t *why = json_loads(text, 0, NULL);
    if (args->json) {
        json_t *line = json_pack("{s:b, s:b, s:O?}", "held", !released, "released", released, "why", why);
        char *out = line ? json_dumps(line, JSON_COMPACT) : NULL;
        printf("%s\n", out ? out : "{}");
        free(out);
        json_decref(line);
    } else {
        const char *time = json_string_value(json_object_get(why, "time"));
        const char *space = json_string_value(json_object_get(why, "space"));
        const char *rewind = json_string_value(json_object_get(why, "rewind"));
        char *line = NULL;
        if (asprintf(&line, "%s%s%s%s%s", released ? "released; had been held" : "held", time ? " since " : "",
                     time ? time : "", space ? " for an alarm in " : "", space ? space : "") >= 0)
            for (const char *p = line; *p; p++) putchar((unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p);
        putchar('\n');
        free(line);
        if (!released && rewind) printf("to go back: %s\n", rewind);
    }
    json_decref(why);
}

static int release(const struct cli_args *args, const char *dir)
{
    struct chv_err err;
    char *text = NULL;
    struct chv_store *store = cli_store_open(args); /* not any folder */
    if (!store) return CLI_ERROR;
    chv_store_close(store);
    int r = held_read(dir, &text, &err);
    if (r < 0) return cli_fail(args, &err);
    if (r == 0) {
        puts(args->json ? "{\"held\": false, \"released\": false}" : "not held");
        return CLI_NOTHING;
    }
    bool only_look = cli_flag(args, "--status");
    int code = CLI_OK;
    /* evidence first: who released it is known even if this process ends in between */
    if (!only_look && cli_custody(args, "release", "writes to the recorded disks go on") != CLI_OK) code = CLI_ERROR;
    if (code == CLI_OK && !only_look && held_clear(dir, &err) < 0) code = cli_fail(args, &err);
    if (code == CLI_OK) print(args, text, !only_look);
    free(text);
    return code;
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    if (!cli_parse(&cmd_release, argc, argv, &args)) return CLI_ERROR;
    int code = CLI_ERROR;
    const char *dir = cli_store_dir(&args);
    if (args.count > 0)
        cli_failf(&args, "unexpected argument '%.60s'", args.positional[0]);
    else if (dir)
        code = release(&args, dir);
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_release = {
    .name = "release",
    .group = "Detect",
    .synopsis = "[--store DIR] [--status]",
    .summary = "let held disks be written to again",
    .example = "chronovisor release --store evidence --reason 'the alarm was the nightly backup'",
    .options = options,
    .run = run,
};
