#include "cli/acquire_process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/memory/process_core.h"
#include "sensor/memory/process_record.h"

static int choose_root(struct process_job *j, const char *text)
{
    char *end;
    errno = 0;
    unsigned long long cr3 = strtoull(text, &end, 16);
    if (errno || end == text || *end || *text == '-') return cli_failf(j->args, "--cr3 '%.40s' is not a hexadecimal address", text);
    for (size_t i = 0; i < j->src.roots.count; i++)
        if (j->src.roots.list[i].cr3 == (cr3 & ~0xfffull)) j->cr3 = j->src.roots.list[i].cr3;
    if (j->cr3 == 0)
        return cli_failf(j->args, "%s: no address space has its top-level table at 0x%llx; 'chronovisor ps --all' lists them", j->src.name,
                         cr3);
    for (size_t i = 0; i < j->src.task_count; i++)
        if (j->src.tasks[i].cr3 == j->cr3) j->task = &j->src.tasks[i];
    return CLI_OK;
}

static int choose(struct process_job *j)
{
    struct chv_err err;
    const char *cr3 = cli_value(j->args, "--cr3");
    if (cr3 && (cli_flag(j->args, "--pid") || cli_flag(j->args, "--name")))
        return cli_failf(j->args, "--cr3, --pid or --name: one of them");
    if (cr3) {
        int code = choose_root(j, cr3);
        if (code != CLI_OK) return code;
    } else {
        j->task = memory_source_task(j->args, &j->src);
        if (!j->task) return CLI_ERROR;
        if (j->task->cr3 == 0)
            return cli_failf(j->args, "process %u is a thread of the kernel and has no memory of its own", j->task->pid);
        j->cr3 = j->task->cr3;
    }
    j->levels = j->src.roots.levels;
    if (!j->task) return CLI_OK;
    memory_join(j->command, linux_command(j->src.kernel, j->task, j->command, LINUX_COMMAND_BYTES));
    if (linux_vmas(j->src.kernel, j->task, &j->vmas, &j->vma_count, &j->vmas_broken, &err) < 0) return cli_fail(j->args, &err);
    return CLI_OK;
}

static int collect(struct process_job *j, struct walk *w)
{
    struct chv_err err;
    for (size_t i = 0; i < j->src.roots.count; i++)
        if (j->src.roots.list[i].cr3 == j->cr3) roots_walk(&j->src.roots, j->src.mem, &j->src.roots.list[i], w);
    if (w->mem == NULL) linux_task_walk(j->src.kernel, j->task, w);
    if (pages_collect(w, &j->pages, &err) < 0) return cli_fail(j->args, &err);
    if (j->pages.bytes == 0) return cli_failf(j->args, "the address space has no page in memory");
    if (j->pages.truncated)
        fprintf(stderr, "note: the page tables map more than such a machine can have; cut off at %llu bytes\n",
                (unsigned long long)j->pages.bytes);
    return CLI_OK;
}

static void print_json(const struct process_job *j, const char *space, const struct process_record_result *r, uint64_t pause_ns)
{
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"pages", r->pages}, {"gone_pages", r->gone_pages}, {"unreadable_pages", r->unreadable_pages},
        {"pause_ns", pause_ns}, {"find_ns", j->find_ns}, {"record_ns", r->record_ns}, {"seq", r->store.last_seq},
    }, inside[] = {
        {"moved_pages", j->moved.bytes / PHYSMEM_PAGE_BYTES}, {"swapped_pages", j->inside.swapped_pages},
        {"unseen_pages", j->inside.unseen_pages}, {"refused_pages", j->inside.refused_pages},
    };
    printf("{\"space\": ");
    cli_json_string(stdout, space);
    printf(", \"name\": ");
    cli_json_string(stdout, j->task ? j->task->name : "");
    printf(", \"road\": \"%s\"", j->helper ? "helper" : "agentless");
    if (j->cr3) printf(", \"cr3\": \"0x%llx\"", (unsigned long long)j->cr3);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) printf(", \"%s\": %llu", numbers[i].name, (unsigned long long)numbers[i].value);
    printf(", \"joined\": %s", r->joined ? "true" : "false");
    if (!r->joined) printf(", \"new_blocks\": %llu", (unsigned long long)r->store.new_blocks);
    for (size_t i = 0; j->helper && i < sizeof inside / sizeof *inside; i++)
        printf(", \"%s\": %llu", inside[i].name, (unsigned long long)inside[i].value);
    if (j->helper) printf(", \"held\": %s, \"torn\": %s", j->inside.held ? "true" : "false", j->inside.torn ? "true" : "false");
    printf("}\n");
}

static void print_result(const struct process_job *j, const char *space, const struct process_record_result *r, uint64_t pause_ns)
{
    printf("%s (", space);
    memory_print_text(j->task ? j->task->name : "");
    printf("): %llu pages", (unsigned long long)r->pages);
    if (!r->joined) printf(", %llu new blocks", (unsigned long long)r->store.new_blocks);
    printf(", %llu pages gone", (unsigned long long)r->gone_pages);
    if (r->unreadable_pages) printf(", %llu not readable", (unsigned long long)r->unreadable_pages);
    if (j->inside.swapped_pages) printf(", %llu swapped out", (unsigned long long)j->inside.swapped_pages);
    if (j->moved.bytes) printf(", %llu moved while they were read", (unsigned long long)(j->moved.bytes / PHYSMEM_PAGE_BYTES));
    if (pause_ns) printf(", the guest stood still for %.0f ms", (double)pause_ns / 1e6);
    printf(", seq:%llu\n", (unsigned long long)r->store.last_seq);
}

/* The pages are read: what they were, in words. */
static int describe(void *arg, const struct process_record_result *sofar, char **text, size_t *bytes, struct chv_err *err)
{
    struct process_job *j = arg;
    (void)sofar;
    int r = j->helper ? acquire_helper_again(j, err) : 0;
    struct process_map map = {.task = j->task, .command = j->command, .source = j->src.name, .cr3 = j->cr3, .time_ns = j->src.time_ns,
                              .vmas = j->vmas, .vma_count = j->vma_count, .pages = &j->pages, .helper = j->helper ? &j->inside : NULL,
                              .moved = j->moved.list, .moved_count = j->moved.count};
    return r < 0 ? r : process_map_text(&map, text, bytes, err);
}

static int record(struct process_job *j)
{
    struct chv_err err;
    char space[CHV_SPACE_NAME_BYTES + 1], map_space[CHV_SPACE_NAME_BYTES + 1], id[24];
    uint64_t pause_ns = 0;
    struct process_record_result result;
    snprintf(id, sizeof id, j->task ? "%llu" : "%llx", j->task ? (unsigned long long)j->task->pid : (unsigned long long)j->cr3);
    snprintf(space, sizeof space, "proc:%s%s", j->task ? "" : "cr3-", id);
    snprintf(map_space, sizeof map_space, "map:%s%s", j->task ? "" : "cr3-", id);
    struct process_record p = {
        .options = {.store_dir = cli_store_dir(j->args), .space = space, .signing_key = cli_value(j->args, "--sign"), .progress = cli_progress},
        .map_space = map_space, .mem = j->src.mem, .pages = &j->pages, .levels = j->levels, .describe = describe, .arg = j,
        .time_ns = j->src.live.qmp && !j->src.live.paused ? 0 : j->src.time_ns, /* of a guest that runs each page is of its own time */
    };
    if (!p.options.store_dir) return CLI_ERROR;
    int r = process_record_run(&p, &result, &err);
    cli_progress_end();
    if (r < 0) return cli_fail(j->args, &err);
    int code = memory_live_resume(j->args, &j->src.live, &pause_ns);
    if (code == CLI_OK)
        code = cli_custody(j->args, "acquired process", "%s from %s%s, seq:%llu", space, j->src.name, j->helper ? " with a helper" : "",
                           (unsigned long long)result.store.last_seq);
    if (code == CLI_OK) (j->args->json ? print_json : print_result)(j, space, &result, pause_ns);
    return code;
}

static int write_core(struct process_job *j, const char *path)
{
    struct chv_err err;
    struct process_core core = {.mem = j->src.mem, .kernel = j->src.kernel, .task = j->task, .command = j->command, .vmas = j->vmas,
                                .vma_count = j->vma_count, .pages = &j->pages};
    struct process_core_result result;
    if (j->src.store && cli_custody(j->args, "acquire process", "0x%llx of %s to %s", (unsigned long long)j->cr3, j->src.name, path) != 0)
        return CLI_ERROR;
    if (process_core_write(&core, path, &result, &err) < 0) return cli_fail(j->args, &err);
    if (j->args->json) {
        printf("{\"output\": ");
        cli_json_string(stdout, path);
        printf(", \"bytes\": %llu, \"segments\": %llu, \"unreadable_pages\": %llu}\n", (unsigned long long)result.bytes,
               (unsigned long long)result.segments, (unsigned long long)result.unreadable_pages);
    } else {
        printf("%s: %llu bytes of memory in %llu segments", path, (unsigned long long)result.bytes, (unsigned long long)result.segments);
        if (result.unreadable_pages) printf(", %llu pages not readable, zeros there", (unsigned long long)result.unreadable_pages);
        putchar('\n');
    }
    return CLI_OK;
}

/* Found from outside: the kernel says which, its page tables where. */
static int begin_agentless(struct process_job *j)
{
    struct walk *w = calloc(1, sizeof *w);
    int code = w ? memory_source_open(j->args, &j->src) : cli_failf(j->args, "out of memory");
    if (code == CLI_OK) code = choose(j);
    if (code == CLI_OK) code = collect(j, w);
    if (code == CLI_OK && j->vmas_broken) fprintf(stderr, "note: the kernel's tree of mappings is damaged; all pages are taken anyway\n");
    free(w);
    return code;
}

int acquire_process(const struct cli_args *args)
{
    const char *path = cli_value(args, "-o"), *sock = cli_value(args, "--helper");
    struct process_job *j = calloc(1, sizeof *j);
    if (!j) return cli_failf(args, "out of memory");
    j->args = args;
    int code;
    uint64_t began = clock_monotonic_ns();
    if (sock) {
        code = memory_source_open_only(args, "--at", &j->src);
        if (code == CLI_OK) code = acquire_helper_begin(j, sock);
    } else {
        code = cli_flag(args, "--freeze") ? cli_failf(args, "--freeze is done by a helper: --helper SOCK") : begin_agentless(j);
    }
    j->find_ns = clock_monotonic_ns() - began;
    if (code == CLI_OK) code = path ? write_core(j, path) : record(j);
    acquire_helper_end(j);
    pages_free(&j->pages);
    pages_free(&j->moved);
    linux_vmas_free(j->vmas, j->vma_count);
    memory_source_close(&j->src);
    free(j);
    return code;
}
