#include "cli/acquire_process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/memory_source.h"
#include "sensor/memory/process_core.h"
#include "sensor/memory/process_record.h"

/* What is to be acquired. */
struct job {
    const struct cli_args *args;
    struct memory_source src;
    const struct linux_task *task; /* NULL: only an address space */
    uint64_t cr3;
    struct linux_vma *vmas;
    size_t vma_count;
    bool vmas_broken;
    struct pages pages;
    char command[LINUX_COMMAND_BYTES + 1];
};

static int choose_root(struct job *j, const char *text)
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

static int choose(struct job *j)
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
    if (!j->task) return CLI_OK;
    memory_join(j->command, linux_command(j->src.kernel, j->task, j->command, LINUX_COMMAND_BYTES));
    if (linux_vmas(j->src.kernel, j->task, &j->vmas, &j->vma_count, &j->vmas_broken, &err) < 0) return cli_fail(j->args, &err);
    return CLI_OK;
}

static int collect(struct job *j, struct walk *w)
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

static void print_result(const struct job *j, const char *space, const struct process_record_result *r)
{
    const char *name = j->task ? j->task->name : "";
    if (j->args->json) {
        printf("{\"space\": ");
        cli_json_string(stdout, space);
        printf(", \"name\": ");
        cli_json_string(stdout, name);
        printf(", \"cr3\": \"0x%llx\", \"pages\": %llu, \"new_blocks\": %llu, \"gone_pages\": %llu, \"unreadable_pages\": %llu, "
               "\"seq\": %llu}\n", (unsigned long long)j->cr3, (unsigned long long)r->pages, (unsigned long long)r->store.new_blocks,
               (unsigned long long)r->gone_pages, (unsigned long long)r->unreadable_pages, (unsigned long long)r->store.last_seq);
        return;
    }
    printf("%s (", space);
    memory_print_text(name);
    printf("): %llu pages, %llu new blocks, %llu pages gone", (unsigned long long)r->pages, (unsigned long long)r->store.new_blocks,
           (unsigned long long)r->gone_pages);
    if (r->unreadable_pages) printf(", %llu not readable", (unsigned long long)r->unreadable_pages);
    printf(", seq:%llu\n", (unsigned long long)r->store.last_seq);
}

static int record(struct job *j)
{
    struct chv_err err;
    char space[CHV_SPACE_NAME_BYTES + 1], map_space[CHV_SPACE_NAME_BYTES + 1], id[24];
    char *text;
    struct process_record_result result;
    snprintf(id, sizeof id, j->task ? "%llu" : "%llx", j->task ? (unsigned long long)j->task->pid : (unsigned long long)j->cr3);
    snprintf(space, sizeof space, "proc:%s%s", j->task ? "" : "cr3-", id);
    snprintf(map_space, sizeof map_space, "map:%s%s", j->task ? "" : "cr3-", id);
    struct process_record p = {
        .options = {.store_dir = cli_store_dir(j->args), .space = space, .signing_key = cli_value(j->args, "--sign"), .progress = cli_progress},
        .map_space = map_space, .mem = j->src.mem, .pages = &j->pages, .levels = j->src.roots.levels, .time_ns = j->src.time_ns,
    };
    if (!p.options.store_dir) return CLI_ERROR;
    if (process_map_text(j->task, j->command, j->cr3, j->src.name, j->src.time_ns, j->vmas, j->vma_count, &j->pages, &text, &p.map_bytes,
                         &err) < 0)
        return cli_fail(j->args, &err);
    p.map = text;
    int r = process_record_run(&p, &result, &err);
    free(text);
    cli_progress_end();
    if (r < 0) return cli_fail(j->args, &err);
    int code = cli_custody(j->args, "acquired process", "%s from %s, seq:%llu", space, j->src.name, (unsigned long long)result.store.last_seq);
    if (code == CLI_OK) print_result(j, space, &result);
    return code;
}

static int write_core(struct job *j, const char *path)
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

int acquire_process(const struct cli_args *args)
{
    const char *path = cli_value(args, "-o");
    struct job *j = calloc(1, sizeof *j);
    struct walk *w = calloc(1, sizeof *w);
    int code = j && w ? CLI_OK : cli_failf(args, "out of memory");
    if (code == CLI_OK) {
        j->args = args;
        code = memory_source_open(args, &j->src);
        if (code == CLI_OK) code = choose(j);
        if (code == CLI_OK) code = collect(j, w);
        if (code == CLI_OK && j->vmas_broken) fprintf(stderr, "note: the kernel's tree of mappings is damaged; all pages are taken anyway\n");
        if (code == CLI_OK) code = path ? write_core(j, path) : record(j);
        pages_free(&j->pages);
        linux_vmas_free(j->vmas, j->vma_count);
        memory_source_close(&j->src);
    }
    free(w);
    free(j);
    return code;
}
