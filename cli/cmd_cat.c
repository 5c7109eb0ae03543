/* chronovisor cat: the content of a file as it was. */
#include <string.h>

#include "cli/files_at.h"

static const struct cli_option options[] = {
    FILES_AT_OPTIONS,
    {"-d", NULL, "the file may be a deleted one"},
    CLI_OPT_REASON,
    {0},
};

struct output {
    uint64_t at;
};

static bool put_zeros(struct output *o, uint64_t until)
{
    static const char zeros[65536];
    while (o->at < until) {
        size_t n = until - o->at < sizeof zeros ? (size_t)(until - o->at) : sizeof zeros;
        if (fwrite(zeros, 1, n, stdout) != n) return false;
        o->at += n;
    }
    return true;
}

static int put_data(void *arg, uint64_t offset, const void *data, size_t bytes)
{
    struct output *o = arg;
    if (!put_zeros(o, offset) || fwrite(data, 1, bytes, stdout) != bytes) return 1;
    o->at += bytes;
    return 0;
}

static int cat_run(int argc, char **argv)
{
    struct cli_args args;
    struct files_at at;
    struct chv_err err;
    int code = CLI_ERROR;
    if (!cli_parse(&cmd_cat, argc, argv, &args)) return CLI_ERROR;
    if (args.count != 1)
        cli_failf(&args, "give one PATH (or inode:N)");
    else if (files_at_open(&args, &at)) {
        struct output out = {0};
        uint64_t size = 0;
        const char *path = args.positional[0];
        char plain[800];
        if (cli_custody(&args, "cat", "%s seq:%llu %s", at.space->name, (unsigned long long)at.seq,
                        files_plain_text(path, plain, sizeof plain)) == 0) {
            int r = files_read(at.fs, path, cli_flag(&args, "-d"), put_data, &out, &size, &err);
            if (r == 0 && !put_zeros(&out, size)) r = 1;
            if (r < 0) {
                fflush(stdout);
                if (out.at > 0) chv_err_prefix(&err, "%.200s after %llu bytes", path, (unsigned long long)out.at);
                cli_fail(&args, &err);
            } else if (r > 0) {
                cli_failf(&args, "standard output: write failed");
            } else {
                code = CLI_OK;
            }
        }
        files_at_close(&at);
    }
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_cat = {
    .name = "cat",
    .group = "Look",
    .synopsis = "PATH [--at TIME]",
    .summary = "write out a file as it was at an instant",
    .example = "chronovisor cat /etc/passwd --at 2026-11-22T10:41:00Z --store evidence",
    .options = options,
    .run = cat_run,
};
