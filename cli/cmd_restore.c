/* chronovisor restore: write a space as of an instant to a file or a stream. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/view_server.h"
#include "timeline/restore.h"

static const struct cli_option options[] = {
    CLI_OPT_STORE,
    CLI_OPT_SPACE,
    CLI_OPT_AT,
    {"-o", "OUT", "where to: FILE (sparse raw), FILE.qcow2, or - for a raw stream on standard output"},
    {"--force", NULL, "replace OUT if it exists"},
    CLI_OPT_SOURCE,
    {"--assume-unchanged", NULL, "believe the device where it may have changed while nobody watched"},
    {"--zero-unknown", NULL, "write zeros for blocks whose content is not known"},
    CLI_OPT_REASON,
    {0},
};

/* A signal only asks; the restore ends in an orderly way. File scope because handlers take no argument. */
static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
    (void)signal;
    stop = 1;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is a write error, told in one line */
}

static void progress(void *arg, uint64_t done, uint64_t total)
{
    (void)arg;
    cli_progress("restoring", done, total);
}

static void report(const struct cli_args *args, const char *out, const char *space, uint64_t seq, uint64_t size_bytes,
                   uint64_t data_bytes, uint64_t unknown_blocks)
{
    cli_progress_end();
    FILE *to = strcmp(out, "-") == 0 ? stderr : stdout;
    bool counted = unknown_blocks != UINT64_MAX; /* not when another process read the view */
    if (counted && unknown_blocks)
        fprintf(stderr, "chronovisor restore: %llu unknown blocks were written as zeros\n",
                (unsigned long long)unknown_blocks);
    if (args->json) {
        fprintf(to, "{\"output\": ");
        cli_json_string(to, out);
        fprintf(to, ", \"space\": ");
        cli_json_string(to, space);
        fprintf(to, ", \"seq\": %llu, \"size_bytes\": %llu, \"data_bytes\": %llu", (unsigned long long)seq,
                (unsigned long long)size_bytes, (unsigned long long)data_bytes);
        if (counted) fprintf(to, ", \"unknown_blocks\": %llu", (unsigned long long)unknown_blocks);
        fprintf(to, "}\n");
    } else if (to == stdout) {
        printf("%s: %s as of seq:%llu, %llu bytes, %llu of them data\n", out, space, (unsigned long long)seq,
               (unsigned long long)size_bytes, (unsigned long long)data_bytes);
    }
}

/* Where the output grows before it gets its name: next to it, so that a failure leaves nothing behind and
 * what was there before is only replaced by something whole. */
static int partial_path(const struct cli_args *args, const char *out, char *path, size_t size)
{
    struct stat st;
    if (stat(out, &st) == 0) {
        if (!S_ISREG(st.st_mode)) return cli_failf(args, "%s is not a regular file; -o - writes a stream", out);
        if (!cli_flag(args, "--force")) return cli_failf(args, "%s exists; --force replaces it", out);
    } else if (errno != ENOENT) {
        return cli_failf(args, "%s: %s", out, strerror(errno));
    }
    if ((size_t)snprintf(path, size, "%s.partial-%d", out, (int)getpid()) >= size)
        return cli_failf(args, "%.60s…: the path is too long", out);
    return CLI_OK;
}

static int finish(const struct cli_args *args, const char *partial, const char *out)
{
    /* Without --force a file that appeared meanwhile is not replaced either. */
    int r = cli_flag(args, "--force") ? rename(partial, out) : link(partial, out);
    if (r < 0 && !cli_flag(args, "--force") && errno != EEXIST) r = rename(partial, out); /* no hard links here */
    int code = r < 0 ? cli_failf(args, "%s: %s", out, strerror(errno)) : CLI_OK;
    if (code != CLI_OK || !cli_flag(args, "--force")) unlink(partial);
    return code;
}

static int write_view(const struct cli_args *args, struct chv_view *view, int fd, const char *out, const char *space)
{
    struct chv_err err;
    struct restore_result result;
    const struct restore_options o = {.stream = strcmp(out, "-") == 0, .progress = progress, .stop = &stop};
    if (restore_write(view, fd, &o, &result, &err) < 0) return cli_fail(args, &err);
    report(args, out, space, chv_view_seq(view), result.size_bytes, result.data_bytes, chv_view_unknown_blocks(view));
    return CLI_OK;
}

static int restore_raw(const struct cli_args *args, const char *out)
{
    struct chv_store *store;
    struct chv_view *view;
    const struct chv_space *space;
    char partial[PATH_MAX] = "";
    bool stream = strcmp(out, "-") == 0;
    if (stream && isatty(STDOUT_FILENO)) return cli_failf(args, "standard output is a terminal; redirect it");
    int code = stream ? CLI_OK : partial_path(args, out, partial, sizeof partial);
    if (code != CLI_OK) return code;
    code = cli_view_open(args, &store, &view, &space);
    if (code != CLI_OK) return code;
    int fd = stream ? STDOUT_FILENO : open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        code = cli_failf(args, "%s: %s", partial, strerror(errno));
        goto out_close_view;
    }
    code = cli_custody(args, "restore", "%s as of seq:%llu to %s", space->name, (unsigned long long)chv_view_seq(view),
                       out);
    if (code == CLI_OK) code = write_view(args, view, fd, out, space->name);
    if (!stream) {
        if (close(fd) < 0 && code == CLI_OK) code = cli_failf(args, "%s: %s", partial, strerror(errno));
        if (code == CLI_OK)
            code = finish(args, partial, out);
        else
            unlink(partial);
    }
out_close_view:
    chv_view_close(view);
    chv_store_close(store);
    return code;
}

/* qemu-img reads our own NBD server: writing qcow2 is its trade. */
static int restore_qcow2(const struct cli_args *args, const char *out)
{
    struct view_server server;
    char partial[PATH_MAX], purpose[PATH_MAX + 4];
    int code = partial_path(args, out, partial, sizeof partial);
    snprintf(purpose, sizeof purpose, " to %s", out);
    if (code == CLI_OK) code = view_server_start(args, -1, false, purpose, &server);
    if (code != CLI_OK) return code;
    const char *forced = getenv("CHRONOVISOR_PROGRESS");
    bool show = forced ? forced[0] == '1' : isatty(STDERR_FILENO) == 1;
    setenv("out", partial, 1);
    code = nbd_server_run(&server.nbd, show ? "exec qemu-img convert -p -f raw -O qcow2 \"$uri\" \"$out\" >&2"
                                            : "exec qemu-img convert -f raw -O qcow2 \"$uri\" \"$out\"");
    view_server_stop(&server);
    struct stat st;
    if (code != 0 || stat(partial, &st) < 0) {
        unlink(partial);
        return cli_failf(args, "%s: qemu-img ended with status %d%s", out, code,
                         code == 127 ? "; install the package qemu-utils" : "");
    }
    code = finish(args, partial, out);
    if (code == CLI_OK)
        report(args, out, server.space, server.seq, server.size_bytes, (uint64_t)st.st_blocks * CHV_SECTOR_BYTES,
               UINT64_MAX);
    return code;
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    if (!cli_parse(&cmd_restore, argc, argv, &args)) return CLI_ERROR;
    const char *out = cli_value(&args, "-o");
    size_t length = out ? strlen(out) : 0;
    int code;
    catch_signals();
    if (args.count > 0)
        code = cli_failf(&args, "unexpected argument '%.60s'", args.positional[0]);
    else if (length == 0)
        code = cli_failf(&args, "no output given; add -o FILE, -o FILE.qcow2 or -o -");
    else if (length > 6 && strcmp(out + length - 6, ".qcow2") == 0)
        code = restore_qcow2(&args, out);
    else
        code = restore_raw(&args, out);
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_restore = {
    .name = "restore",
    .group = "Put back",
    .synopsis = "[--space NAME] [--at TIME] -o OUT [--force]",
    .summary = "write a disk as it was at an instant to a file",
    .example = "chronovisor restore --store case1 --space disk:vda --at 2026-11-22T10:41:00Z -o vda.raw",
    .options = options,
    .run = run,
};
