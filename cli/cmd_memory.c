/* chronovisor memory: looking into a machine's memory as it was at an instant. One sub-command a file. */
#include <string.h>

#include "cli/memory_disk.h"
#include "cli/memory_verbs.h"

extern const struct cli_command cmd_memory;

static const struct cli_option options[] = {
    CLI_OPT_STORE,
    CLI_OPT_RAM,
    CLI_OPT_AT,
    {"--from", "TIME", "diff: the earlier instant"},
    {"--to", "TIME", "diff: the later instant (default: the last recorded)"},
    CLI_OPT_IMAGE,
    CLI_OPT_QMP,
    {"--pid", "N", "the process: of maps; suspicious, yara and diff look at all without it"},
    {"--name", "NAME", "the process by its name"},
    {"--dates", NULL, "suspicious: when each finding's content was first and last seen, in memory and on disk"},
    MEMORY_DISK_OPTIONS,
    {"--limit", "N", "yara: matches shown of one string in one process (default: 20)"},
    {"--format", "FORMAT", "export: raw, lime or elf"},
    {"-o", "FILE", "export: where to"},
    {"--force", NULL, "export: replace FILE if it exists; take a capture that is not complete"},
    CLI_OPT_REASON,
    {0},
};

static const struct {
    const char *name;
    int words; /* of the command line, at most */
    int (*run)(const struct cli_args *args);
} verbs[] = {
    {"maps", 1, memory_maps},
    {"suspicious", 1, memory_suspicious},
    {"yara", 2, memory_yara},
    {"diff", 1, memory_diff},
    {"export", 1, memory_export},
    {"modules", 1, memory_modules},
};

static int run(int argc, char **argv)
{
    struct cli_args args;
    if (!cli_parse(&cmd_memory, argc, argv, &args)) return CLI_ERROR;
    int code = -1;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs && args.count >= 1; i++)
        if (strcmp(args.positional[0], verbs[i].name) == 0 && args.count <= verbs[i].words) code = verbs[i].run(&args);
    if (code < 0) code = cli_failf(&args, "needs what: 'memory maps', 'modules', 'suspicious', 'yara RULES', 'diff --from TIME' or 'export'");
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_memory = {
    .name = "memory",
    .group = "Memory",
    .synopsis = "maps --pid N | modules | suspicious [--pid N] | yara RULES [--pid N] | diff --from TIME [--to TIME] | export --format raw|lime|elf -o FILE [--at TIME | --image FILE | --qmp SOCK]",
    .summary = "what is mapped in a process's memory, what of it is worth a look, and all of it for other tools",
    .example = "chronovisor memory suspicious --store case1 --at 2026-11-22T10:41:00Z",
    .options = options,
    .run = run,
};
