/* chronovisor ls: what files there were. */
#include <string.h>

#include "cli/files_at.h"

static const struct cli_option options[] = {
    FILES_AT_OPTIONS,
    {"-r", NULL, "with everything below"},
    {"-d", NULL, "deleted files too, as far as the file system still describes them"},
    {"--bodyfile", NULL, "The Sleuth Kit's body format, for mactime"},
    {"--dfxml", NULL, "Digital Forensics XML"},
    {"--limit", "N", "stop after so many entries (default 50 million)"},
    {0},
};

struct listing {
    const struct files_info *info;
    enum { LS_TABLE, LS_JSON, LS_BODY, LS_DFXML } format;
    bool full_path;
    uint64_t count;
};

static int ls_one(void *arg, const struct files_entry *e)
{
    struct listing *l = arg;
    l->count++;
    if (l->format == LS_TABLE) files_print_ls(stdout, e, l->full_path);
    if (l->format == LS_JSON) {
        files_print_json(stdout, e);
        putchar('\n');
    }
    if (l->format == LS_BODY) files_print_body(stdout, e);
    if (l->format == LS_DFXML) files_print_dfxml(stdout, e, l->info);
    return ferror(stdout) ? 1 : 0;
}

static int ls_run(int argc, char **argv)
{
    struct cli_args args;
    struct files_at at;
    struct chv_err err;
    uint64_t limit;
    int code = CLI_ERROR;
    if (!cli_parse(&cmd_ls, argc, argv, &args)) return CLI_ERROR;
    bool body = cli_flag(&args, "--bodyfile"), dfxml = cli_flag(&args, "--dfxml");
    if (args.count > 1)
        cli_failf(&args, "one PATH at a time, not %d", args.count);
    else if (body + dfxml + args.json > 1)
        cli_failf(&args, "choose one of --bodyfile, --dfxml and --json");
    else if (cli_number(&args, "--limit", 50000000, 1u << 30, &limit) && files_at_open(&args, &at)) {
        bool recurse = cli_flag(&args, "-r");
        struct listing l = {.info = files_fs_info(at.fs),
                            .format = body ? LS_BODY : dfxml ? LS_DFXML : args.json ? LS_JSON : LS_TABLE,
                            .full_path = recurse};
        unsigned flags = (recurse ? FILES_LIST_RECURSE : 0u) | (cli_flag(&args, "-d") ? FILES_LIST_DELETED : 0u) |
                         (dfxml ? FILES_LIST_RUNS : 0u) | (body ? FILES_LIST_FILE_NAMES : 0u);
        if (dfxml) files_print_dfxml_head(stdout, &at, "chronovisor ls --dfxml");
        int r = files_list(at.fs, args.count ? args.positional[0] : "/", flags, limit ? limit : 1, ls_one, &l, &err);
        if (dfxml) files_print_dfxml_tail(stdout);
        if (r < 0) {
            if (l.count > 0) {
                fflush(stdout);
                chv_err_prefix(&err, "the list is not complete");
            }
            cli_fail(&args, &err);
        } else {
            code = l.count > 0 ? CLI_OK : CLI_NOTHING;
        }
        files_at_close(&at);
    }
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_ls = {
    .name = "ls",
    .group = "Look",
    .synopsis = "[PATH] [-r] [-d] [--at TIME]",
    .summary = "list files as they were at an instant",
    .example = "chronovisor ls /home -r --at -10m --store evidence",
    .options = options,
    .run = ls_run,
};
