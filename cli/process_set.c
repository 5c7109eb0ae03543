#include "cli/process_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/memory/text_space.h"

static int open_acquired(const struct cli_args *args, const char *at_option, const char *name, struct process_set *s)
{
    struct chv_err err;
    const struct chv_space *space;
    if (cli_value(args, "--pid") || cli_value(args, "--name") || cli_value(args, "--image") || cli_value(args, "--qmp"))
        return cli_failf(args, "--space %s is one process: leave --pid, --name, --image and --qmp out", name);
    s->acquired = true;
    s->count = 1;
    s->store = cli_store_open(args);
    if (!s->store || !cli_instant(args, at_option, s->store, &s->seq)) return CLI_ERROR;
    snprintf(s->map_space, sizeof s->map_space, "map:%s", name + strlen("proc:"));
    /* What is not mapped is not read, so it may stay unknown. */
    if (chv_store_find_space(s->store, name, &space, &err) < 0 || chv_view_open(s->store, space, s->seq, NULL, &s->view, &err) < 0 ||
        physmem_open_view(s->view, &s->mem, &err) < 0)
        return cli_fail(args, &err);
    s->space = space->id;
    return CLI_OK;
}

static int choose(const struct cli_args *args, struct process_set *s, bool all)
{
    bool one = !all && (cli_flag(args, "--pid") || cli_flag(args, "--name"));
    const struct linux_task *only = one ? memory_source_task(args, &s->src) : NULL;
    if (one && !only) return CLI_ERROR;
    if (!s->src.kernel) return cli_failf(args, "%s: mappings are not known: %s", s->src.name, s->src.why.text);
    s->list = malloc((s->src.task_count + 1) * sizeof *s->list);
    if (!s->list) return cli_failf(args, "out of memory");
    for (size_t i = 0; i < s->src.task_count; i++) {
        const struct linux_task *t = &s->src.tasks[i];
        if (t->mm != 0 && (!only || t == only)) s->list[s->count++] = t;
    }
    s->lists_broken = s->src.tasks_broken && !only;
    if (only && s->count == 0)
        return cli_failf(args, "process %u is a thread of the kernel and has no memory of its own", only->pid);
    return CLI_OK;
}

static int open_set(const struct cli_args *args, const char *at_option, bool all, struct process_set *out)
{
    *out = (struct process_set){0};
    const char *name = cli_value(args, "--space");
    if (name && strncmp(name, "proc:", 5) == 0) return open_acquired(args, at_option, name, out);
    int code = memory_source_open_at(args, at_option, &out->src);
    return code == CLI_OK ? choose(args, out, all) : code;
}

int process_set_open(const struct cli_args *args, const char *at_option, struct process_set *out)
{
    return open_set(args, at_option, false, out);
}

int process_set_open_all(const struct cli_args *args, const char *at_option, struct process_set *out)
{
    return open_set(args, at_option, true, out);
}

void process_set_close(struct process_set *s)
{
    physmem_close(s->mem);
    chv_view_close(s->view);
    chv_store_close(s->store);
    free(s->list);
    memory_source_close(&s->src);
    *s = (struct process_set){0};
}

static int get_acquired(const struct cli_args *args, const struct process_set *s, struct process_image *out)
{
    struct chv_err err;
    struct chv_view *view = NULL;
    const struct chv_space *map;
    uint64_t seq;
    int r = chv_store_find_space(s->store, s->map_space, &map, &err);
    if (r == 0) r = text_space_seq(s->store, map, chv_view_seq(s->view), &seq, &err);
    if (r == 0) r = chv_view_open(s->store, map, seq, NULL, &view, &err);
    if (r < 0) return cli_fail(args, &err);
    uint64_t bytes = chv_view_size_bytes(view);
    char *text = bytes <= PROCESS_MAP_BYTES_MAX ? malloc(bytes) : NULL;
    if (!text) {
        r = chv_err_set(&err, ENOMEM, "%s: %llu bytes are too many", s->map_space, (unsigned long long)bytes);
    } else {
        r = chv_view_pread(view, text, bytes, 0, &err);
        if (r == 0) r = process_image_of_map(text, bytes, s->mem, out, &err);
        if (r < 0) chv_err_prefix(&err, "%s", s->map_space);
    }
    free(text);
    chv_view_close(view);
    return r < 0 ? cli_fail(args, &err) : CLI_OK;
}

int process_set_get(const struct cli_args *args, const struct process_set *set, size_t i, struct process_image *out)
{
    struct chv_err err;
    if (set->acquired) return get_acquired(args, set, out);
    if (process_image_of_task(set->src.kernel, set->src.mem, set->list[i], out, &err) < 0) return cli_fail(args, &err);
    return CLI_OK;
}

struct chv_store *process_set_store(const struct process_set *set, uint16_t *space, uint64_t *seq)
{
    *space = set->acquired ? set->space : set->src.space;
    *seq = set->acquired ? set->seq : set->src.seq;
    return set->acquired ? set->store : set->src.store;
}
