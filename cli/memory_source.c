#include "cli/memory_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sensor/memory/ram_capture.h"

static void progress(void *arg, uint64_t done, uint64_t total)
{
    (void)arg;
    cli_progress("looking for address spaces", done, total);
}

static int open_image(const struct cli_args *args, const char *path, struct memory_source *s)
{
    struct chv_err err;
    struct stat st;
    if (cli_value(args, "--at") || cli_value(args, "--space"))
        return cli_failf(args, "--image is one instant of one machine: --at and --space go with --store");
    if (physmem_open_image(path, &s->mem, &err) < 0) return cli_fail(args, &err);
    snprintf(s->name, sizeof s->name, "%s", path);
    if (stat(path, &st) == 0) s->time_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
    return CLI_OK;
}

/* When the memory was so: the last capture's description says it, of a live one its end. Without one (imported memory) all that is known
 * is that it was no later than the instant asked for. */
static uint64_t captured_at(const struct chv_store *store, const char *space, uint64_t seq)
{
    struct ram_capture *capture;
    struct chv_event event;
    if (ram_capture_read(store, space, seq, &capture, NULL) == 0) {
        uint64_t time_ns = capture->mode == CAPTURE_LIVE && capture->end_ns ? capture->end_ns : capture->begin_ns;
        free(capture);
        return time_ns;
    }
    return seq > 0 && chv_store_event(store, seq, &event, NULL) == 0 ? event.time_ns : 0;
}

static int open_space(const struct cli_args *args, const char *at_option, struct memory_source *s)
{
    struct chv_err err;
    const struct chv_space *space;
    uint64_t view_seq;
    s->store = cli_store_open(args);
    if (!s->store || !cli_instant(args, at_option, s->store, &s->seq)) return CLI_ERROR;
    const char *name = cli_value(args, "--space");
    if (chv_store_find_space(s->store, name ? name : "ram", &space, &err) < 0) return cli_fail(args, &err);
    if (!cli_instant_in(args, at_option, s->store, space, &view_seq)) return CLI_ERROR;
    /* Unknown blocks stay unknown: a table made of invented zeros would be a lie. */
    if (chv_view_open(s->store, space, view_seq, NULL, &s->view, &err) < 0 || physmem_open_view(s->view, &s->mem, &err) < 0)
        return cli_fail(args, &err);
    snprintf(s->name, sizeof s->name, "%s of %.150s as of seq:%llu", space->name, chv_store_dir(s->store),
             (unsigned long long)s->seq);
    s->space = space->id;
    s->seq = view_seq;
    s->time_ns = captured_at(s->store, space->name, view_seq);
    return CLI_OK;
}

/* A list that is followed while the guest changes it may lead anywhere; a guest that stands still costs it that time. */
static int open_live(const struct cli_args *args, const char *sock, struct memory_source *s)
{
    const char *mode = cli_value(args, "--mode");
    bool paused = mode && strcmp(mode, "paused") == 0;
    if (mode && !paused && strcmp(mode, "live") != 0) return cli_failf(args, "--mode '%.40s': live or paused", mode);
    int code = memory_live_open(args, sock, &s->live, &s->mem);
    if (code == CLI_OK && paused) code = memory_live_pause(args, &s->live);
    s->time_ns = code == CLI_OK && paused ? s->live.pause.time_ns : clock_now_ns();
    snprintf(s->name, sizeof s->name, "%.200s, %s", sock, paused ? "paused" : "live");
    return code;
}

int memory_source_open_only(const struct cli_args *args, const char *at_option, struct memory_source *out)
{
    *out = (struct memory_source){0};
    const char *image = cli_value(args, "--image"), *qmp = cli_value(args, "--qmp");
    bool acquires = strcmp(args->command->name, "acquire") == 0; /* there, the store is where it goes */
    if ((image && qmp) || ((image || qmp) && cli_value(args, "--store") && !acquires))
        return cli_failf(args, "--image, --qmp, --store: one of them");
    if (qmp && (cli_value(args, at_option) || cli_value(args, "--space")))
        return cli_failf(args, "--qmp is what the guest holds now: --at and --space go with --store");
    if (!qmp && cli_value(args, "--mode")) return cli_failf(args, "--mode goes with --qmp, a guest that runs");
    return image ? open_image(args, image, out) : qmp ? open_live(args, qmp, out) : open_space(args, at_option, out);
}

int memory_source_open(const struct cli_args *args, struct memory_source *out)
{
    return memory_source_open_at(args, "--at", out);
}

int memory_source_open_at(const struct cli_args *args, const char *at_option, struct memory_source *out)
{
    struct chv_err err;
    int code = memory_source_open_only(args, at_option, out);
    if (code != CLI_OK) return code;
    int r = roots_find(out->mem, progress, NULL, &out->roots, &err);
    cli_progress_end();
    if (r < 0) {
        chv_err_prefix(&err, "%s", out->name);
        return cli_fail(args, &err);
    }
    if (linux_open(out->mem, &out->roots, &out->kernel, &out->why) < 0) {
        out->kernel = NULL;
        return CLI_OK;
    }
    if (linux_tasks(out->kernel, &out->tasks, &out->task_count, &out->tasks_broken, &err) < 0) return cli_fail(args, &err);
    return CLI_OK;
}

void memory_source_close(struct memory_source *src)
{
    free(src->tasks);
    linux_close(src->kernel);
    roots_fini(&src->roots);
    physmem_close(src->mem);
    chv_view_close(src->view);
    chv_store_close(src->store);
    memory_live_close(&src->live);
    *src = (struct memory_source){0};
}

const struct linux_task *memory_source_task(const struct cli_args *args, const struct memory_source *src)
{
    uint64_t pid;
    const char *name = cli_value(args, "--name");
    const struct linux_task *found = NULL;
    if (!cli_number(args, "--pid", 0, INT32_MAX, &pid)) return NULL;
    if ((name != NULL) == cli_flag(args, "--pid")) {
        cli_failf(args, "which process? --pid N or --name NAME; 'chronovisor ps' lists them");
        return NULL;
    }
    if (!src->kernel) {
        cli_failf(args, "%s: processes have no names here: %s", src->name, src->why.text);
        return NULL;
    }
    size_t hits = 0;
    for (size_t i = 0; i < src->task_count; i++) {
        const struct linux_task *t = &src->tasks[i];
        if (name ? strcmp(t->name, name) != 0 : t->pid != pid) continue;
        found = t;
        hits++;
    }
    if (hits == 0 && name)
        cli_failf(args, "%s: no process is named '%.20s'; 'chronovisor ps' lists them", src->name, name);
    else if (hits == 0)
        cli_failf(args, "%s: there is no process %llu; 'chronovisor ps' lists them", src->name, (unsigned long long)pid);
    else if (hits > 1)
        cli_failf(args, "%s: %zu processes are named '%.20s'; choose one with --pid", src->name, hits, name ? name : "");
    else
        return found;
    return NULL;
}

void memory_print_text(const char *text)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            printf("\\x%02x", (unsigned)(unsigned char)*p);
        else
            putchar(*p);
}

void memory_join(char *text, size_t bytes)
{
    while (bytes > 0 && text[bytes - 1] == 0) bytes--;
    for (size_t i = 0; i < bytes; i++)
        if (text[i] == 0) text[i] = ' ';
    text[bytes] = 0;
}
