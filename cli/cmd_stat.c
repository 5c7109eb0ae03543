/* chronovisor stat: everything about one file, and where its blocks are. */
#include <inttypes.h>
#include <string.h>

#include "cli/files_at.h"

static const struct cli_option options[] = {FILES_AT_OPTIONS, {0}};

struct shown {
    const struct cli_args *args;
    const struct files_at *at;
};

static void line(const char *name, const char *value)
{
    printf("%-10s ", name);
    files_print_text(stdout, value);
    putchar('\n');
}

static int stat_one(void *arg, const struct files_entry *e)
{
    const struct shown *s = arg;
    if (s->args->json) {
        files_print_json(stdout, e);
        putchar('\n');
        return 0;
    }
    char buf[FILES_TIME_BYTES];
    const struct files_info *i = files_fs_info(s->at->fs);
    static const char *const times[FILES_TIMES] = {"modified", "accessed", "changed", "born"};
    line("path", e->path);
    if (e->link) line("target", e->link);
    line("inode", files_inode(e, buf));
    if (e->flags & FILES_HAS_META) {
        printf("%-10s %04o %s\n", "mode", e->mode, files_mode(e, buf));
        printf("%-10s %u:%u\n%-10s %u\n%-10s %" PRIu64 "\n", "owner", e->uid, e->gid, "links", e->links, "size", e->size_bytes);
        for (int t = 0; t < FILES_TIMES; t++) line(times[t], files_time(e, t, buf));
    }
    if (e->flags & (FILES_NAME_DELETED | FILES_META_DELETED))
        line("state", e->flags & FILES_REUSED             ? "deleted; some of its blocks are in use again"
                      : !(e->flags & FILES_META_DELETED) ? "name deleted; its inode is in use again"
                                                          : "deleted");
    if (e->flags & FILES_RESIDENT) line("content", "inside the metadata");
    if (e->flags & FILES_COMPRESSED) line("content", "compressed");
    if (e->flags & FILES_ENCRYPTED) line("content", "encrypted");
    printf("%-10s %s, %u-byte blocks, from sector %" PRIu64 " on", "on", i->type, i->block_bytes, i->offset_bytes / 512);
    if (i->partition) printf(" (partition %u)", i->partition);
    if (i->replayed) printf(", %u transactions taken from its journal", i->replayed);
    putchar('\n');
    if (e->run_count > 0) printf("\n%14s %12s %12s\n", "file offset", "bytes", "LBA");
    for (size_t r = 0; r < e->run_count; r++) {
        printf("%14" PRIu64 " %12" PRIu64, e->runs[r].offset_bytes, e->runs[r].bytes);
        if (e->runs[r].sparse)
            printf(" %12s\n", "hole");
        else
            printf(" %12" PRIu64 "\n", e->runs[r].lba);
    }
    if (e->flags & FILES_INCOMPLETE) puts("(some of its extents are missing or outside the disk)");
    if (e->flags & FILES_RUNS_CUT) printf("(more than %u extents; the rest is not shown)\n", FILES_MAX_RUNS);
    return 0;
}

static int stat_run(int argc, char **argv)
{
    struct cli_args args;
    struct files_at at;
    struct chv_err err;
    int code = CLI_ERROR;
    if (!cli_parse(&cmd_stat, argc, argv, &args)) return CLI_ERROR;
    if (args.count != 1)
        cli_failf(&args, "give one PATH (or inode:N)");
    else if (files_at_open(&args, &at)) {
        struct shown shown = {.args = &args, .at = &at};
        code = files_stat(at.fs, args.positional[0], stat_one, &shown, &err) < 0 ? cli_fail(&args, &err) : CLI_OK;
        files_at_close(&at);
    }
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_stat = {
    .name = "stat",
    .group = "Look",
    .synopsis = "PATH [--at TIME]",
    .summary = "show one file's metadata and extents as they were at an instant",
    .example = "chronovisor stat /home/anna/thesis.odt --at -1h --store evidence",
    .options = options,
    .run = stat_run,
};
