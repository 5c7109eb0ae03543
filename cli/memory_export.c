/* chronovisor memory export: captured memory as a file that other tools open. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/memory_verbs.h"
#include "sensor/memory/export.h"
#include "sensor/memory/ram_capture.h"

/* A signal only asks; the half-written file is removed first. File scope because handlers take no argument. */
static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
    (void)signal;
    stop = 1;
}

/* What is exported: opened together, closed together. */
struct source {
    struct chv_store *store;
    struct chv_view *view;
    struct ram_capture *capture;
};

static void source_close(struct source *s)
{
    chv_view_close(s->view);
    chv_store_close(s->store);
    free(s->capture);
}

/* 0, or CLI_ERROR after one line. */
static int source_open(const struct cli_args *args, struct source *s)
{
    const char *name = cli_value(args, "--space");
    const struct chv_space *space = NULL;
    struct chv_err err;
    uint64_t seq;
    if (!(s->store = cli_store_open(args)) || !cli_instant(args, "--at", s->store, &seq)) return CLI_ERROR;
    if (chv_store_find_space(s->store, name ? name : "ram", &space, NULL) == 0 &&
        !cli_instant_in(args, "--at", s->store, space, &seq))
        return CLI_ERROR;
    int r = ram_capture_read(s->store, name ? name : "ram", seq, &s->capture, &err);
    if (r == 0 && !s->capture->complete && !cli_flag(args, "--force"))
        r = chv_err_set(&err, EINVAL, "as of seq:%llu a capture of '%s' was under way or had been interrupted: half of the pages are of "
                        "the capture before; choose another --at, or add --force", (unsigned long long)seq, s->capture->space);
    if (r == 0) r = chv_store_find_space(s->store, s->capture->space, &space, &err);
    if (r == 0) r = chv_view_open(s->store, space, seq, NULL, &s->view, &err);
    return r < 0 ? cli_fail(args, &err) : 0;
}

static void report(const struct cli_args *args, const struct source *s, const char *out, const char *format,
                   const struct export_result *r)
{
    char when[CLOCK_TEXT_BYTES];
    const struct ram_capture *c = s->capture;
    clock_format(c->begin_ns, when);
    if (args->json) {
        printf("{\"output\": ");
        cli_json_string(stdout, out);
        printf(", \"format\": \"%s\", \"space\": ", format);
        cli_json_string(stdout, c->space);
        printf(", \"seq\": %" PRIu64 ", \"captured\": \"%s\", \"mode\": \"%s\", \"complete\": %s, \"file_bytes\": %" PRIu64
               ", \"memory_bytes\": %" PRIu64 ", \"data_bytes\": %" PRIu64 ", \"ranges\": %zu, \"vmcoreinfo\": %s}\n",
               chv_view_seq(s->view), when, ram_capture_mode_name(c->mode), c->complete ? "true" : "false", r->file_bytes,
               r->memory_bytes, r->data_bytes, c->ram.count, r->vmcoreinfo ? "true" : "false");
        return;
    }
    printf("%s: %s captured %s at %s, %" PRIu64 " MiB of memory in %zu ranges, %" PRIu64 " MiB not zeros%s\n", out, c->space,
           ram_capture_mode_name(c->mode), when, r->memory_bytes >> 20, c->ram.count, r->data_bytes >> 20,
           r->vmcoreinfo ? ", with VMCOREINFO" : "");
}

/* Into a file next to `out` that gets its name when it is whole. */
static int write_file(const struct cli_args *args, const struct source *s, const char *out, int format, struct export_result *result)
{
    char partial[PATH_MAX];
    struct chv_err err;
    bool force = cli_flag(args, "--force");
    if ((size_t)snprintf(partial, sizeof partial, "%s.partial-%d", out, (int)getpid()) >= sizeof partial)
        return cli_failf(args, "%.60s…: the path is too long", out);
    int fd = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600); /* a memory holds secrets */
    if (fd < 0) return cli_failf(args, "%s: %s", partial, strerror(errno));
    int r = export_write(s->view, &s->capture->ram, (enum export_format)format, fd, &stop, cli_progress, result, &err);
    cli_progress_end();
    if (close(fd) < 0 && r == 0) r = chv_err_set(&err, errno, "%s: %s", partial, strerror(errno));
    if (r == 0 && (force ? rename(partial, out) : link(partial, out)) < 0) r = chv_err_set(&err, errno, "%s: %s", out, strerror(errno));
    if (r < 0 || !force) unlink(partial);
    return r < 0 ? cli_fail(args, &err) : CLI_OK;
}

int memory_export(const struct cli_args *args)
{
    const char *out = cli_value(args, "-o"), *format = cli_value(args, "--format");
    struct source source = {0};
    struct export_result result;
    struct stat st;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    for (const char *const *other = (const char *const[]){"--image", "--qmp", "--pid", "--name", NULL}; *other; other++)
        if (cli_value(args, *other)) return cli_failf(args, "%s does not go with 'export'", *other);
    if (!out || !*out) return cli_failf(args, "no output given; add -o FILE");
    if (!format) return cli_failf(args, "no format given; add --format raw, lime or elf");
    int number = export_format_parse(format);
    if (number < 0) return cli_failf(args, "--format '%.40s': raw, lime or elf", format);
    if (lstat(out, &st) == 0 && !S_ISREG(st.st_mode)) return cli_failf(args, "%s is not a regular file", out);
    if (lstat(out, &st) == 0 && !cli_flag(args, "--force")) return cli_failf(args, "%s exists; --force replaces it", out);
    int code = source_open(args, &source);
    if (code == 0)
        code = cli_custody(args, "memory export", "%s as of seq:%llu to %s (%s)", source.capture->space,
                           (unsigned long long)chv_view_seq(source.view), out, format);
    if (code == 0) code = write_file(args, &source, out, number, &result);
    if (code == 0) report(args, &source, out, format, &result);
    source_close(&source);
    return code;
}
