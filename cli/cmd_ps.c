/* chronovisor ps: the processes of a machine whose memory was recorded, as its kernel listed them. */
#include <stdlib.h>
#include <string.h>

#include "cli/memory_source.h"
#include "sensor/memory/helper.h"

extern const struct cli_command cmd_ps;

static const struct cli_option options[] = {
    CLI_OPT_STORE,
    CLI_OPT_RAM,
    CLI_OPT_AT,
    CLI_OPT_IMAGE,
    CLI_OPT_QMP,
    {"--helper", "SOCK", "ask the helper in the guest instead: what /proc says there"},
    {"--all", NULL, "also kernel threads, and address spaces that belong to no listed process"},
    {0},
};

/* `kernel` may be NULL: no command line then. */
static void print_task(const struct linux_kernel *kernel, const struct linux_task *t, bool json)
{
    char command[LINUX_COMMAND_BYTES + 1];
    memory_join(command, kernel ? linux_command(kernel, t, command, LINUX_COMMAND_BYTES) : 0);
    if (json) {
        printf("{\"pid\": %u, \"ppid\": %u, ", t->pid, t->ppid);
        if (t->uid != UINT32_MAX) printf("\"uid\": %u, ", t->uid);
        printf("\"name\": ");
        cli_json_string(stdout, t->name);
        if (t->cr3) printf(", \"cr3\": \"0x%llx\"", (unsigned long long)t->cr3);
        if (t->address) printf(", \"task\": \"0x%llx\"", (unsigned long long)t->address);
        printf(", \"kernel_thread\": %s, \"hidden\": %s, \"command\": ", t->mm ? "false" : "true", t->hidden ? "true" : "false");
        cli_json_string(stdout, command);
        printf("}\n");
        return;
    }
    printf("%7u %7u ", t->pid, t->ppid);
    memory_print_text(t->name);
    printf("%*s ", (int)(15 - strlen(t->name)), "");
    if (t->cr3)
        printf("%12llx  ", (unsigned long long)t->cr3);
    else
        printf("%12s  ", "-");
    memory_print_text(command);
    printf("%s\n", t->hidden ? "  (hidden: not in the kernel's list)" : "");
}

static bool is_claimed(const struct memory_source *src, uint64_t cr3)
{
    for (size_t i = 0; i < src->task_count; i++)
        if (src->tasks[i].cr3 == cr3) return true;
    return false;
}

/* Spaces without a process: of a kernel we cannot read, or just ended, or hidden from the list. */
static size_t print_spaces(const struct memory_source *src, bool json)
{
    size_t printed = 0;
    for (size_t i = 0; i < src->roots.count; i++) {
        const struct root *root = &src->roots.list[i];
        if (root->user_entries == 0 || is_claimed(src, root->cr3)) continue;
        printed++;
        if (json)
            printf("{\"pid\": null, \"cr3\": \"0x%llx\"}\n", (unsigned long long)root->cr3);
        else
            printf("%7s %7s %-15s %12llx\n", "-", "-", "-", (unsigned long long)root->cr3);
    }
    return printed;
}

static void print_header(bool json)
{
    if (!json) printf("%7s %7s %-15s %12s  %s\n", "PID", "PPID", "NAME", "CR3", "COMMAND");
}

static int list_inside(const struct cli_args *args, const char *sock)
{
    struct chv_err err;
    struct helper *helper;
    struct linux_task *tasks = NULL;
    size_t count = 0;
    const char *const others[] = {"--store", "--space", "--at", "--image", "--qmp"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (cli_flag(args, others[i])) return cli_failf(args, "--helper asks the guest as it is now: %s goes without", others[i]);
    if (helper_connect(sock, &helper, &err) < 0) return cli_fail(args, &err);
    int r = helper_tasks(helper, &tasks, &count, &err);
    helper_close(helper);
    if (r < 0) return cli_fail(args, &err);
    print_header(args->json);
    for (size_t i = 0; i < count; i++)
        if (tasks[i].mm != 0 || cli_flag(args, "--all")) print_task(NULL, &tasks[i], args->json);
    free(tasks);
    return CLI_OK;
}

static int list(const struct cli_args *args, const struct memory_source *src)
{
    bool all = cli_flag(args, "--all");
    size_t printed = 0;
    print_header(args->json);
    for (size_t i = 0; i < src->task_count; i++) {
        if (src->tasks[i].mm == 0 && !all && !src->tasks[i].hidden) continue;
        print_task(src->kernel, &src->tasks[i], args->json);
        printed++;
    }
    if (all || !src->kernel) printed += print_spaces(src, args->json);
    if (!src->kernel)
        fprintf(stderr, "note: address spaces without names: %s\n", src->why.text);
    else if (src->tasks_broken)
        fprintf(stderr, "note: the kernel's list of processes is damaged, so there may be more; --all shows their address spaces\n");
    return printed > 0 ? CLI_OK : CLI_NOTHING;
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    struct memory_source src = {0};
    if (!cli_parse(&cmd_ps, argc, argv, &args)) return CLI_ERROR;
    int code = args.count > 0 ? cli_failf(&args, "unexpected argument '%.60s'", args.positional[0]) : CLI_OK;
    if (code == CLI_OK && cli_flag(&args, "--helper")) {
        code = list_inside(&args, cli_value(&args, "--helper"));
    } else if (code == CLI_OK) {
        code = memory_source_open(&args, &src);
        if (code == CLI_OK) code = list(&args, &src);
        memory_source_close(&src);
    }
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_ps = {
    .name = "ps",
    .group = "Memory",
    .synopsis = "[--at TIME | --image FILE | --qmp SOCK | --helper SOCK] [--all]",
    .summary = "list the processes in a machine's memory at an instant",
    .example = "chronovisor ps --store case1 --at 2026-11-22T10:41:00Z",
    .options = options,
    .run = run,
};
