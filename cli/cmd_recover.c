/* chronovisor recover: files and trees back out of the past. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "cli/files_at.h"
#include "cli/recover_out.h"

static const struct cli_option options[] = {
    FILES_AT_OPTIONS,
    {"-o", "DIR|FILE", "where to: a directory (made if need be), or a new file when one file is recovered"},
    {"-d", NULL, "deleted files too"},
    {"--limit", "N", "at most so many files (default 1 million)"},
    CLI_OPT_REASON,
    {0},
};

/* An entry kept beyond the listing, and where it goes. */
struct item {
    struct files_entry e;
    char *path, *link, *to; /* to: relative to the output directory */
};

struct recovery {
    const struct cli_args *args;
    struct files_at at;
    int dir_fd;
    bool deleted;
    size_t strip; /* bytes of each path that are not repeated below the output directory */
    struct item *items;
    size_t count, room, limit;
    uint64_t good, bad;
};

static int keep(void *arg, const struct files_entry *e)
{
    struct recovery *r = arg;
    if (r->count >= r->limit) return 1;
    if (r->count == r->room) {
        size_t room = r->room ? 2 * r->room : 256;
        struct item *grown = realloc(r->items, room * sizeof *grown);
        if (!grown) return -ENOMEM;
        r->items = grown, r->room = room;
    }
    const char *to = strlen(e->path) > r->strip ? e->path + r->strip : "";
    while (*to == '/') to++;
    struct item item = {.e = *e, .path = strdup(e->path), .link = e->link ? strdup(e->link) : NULL, .to = strdup(to)};
    item.e.runs = NULL, item.e.run_count = 0;
    if (!item.path || !item.to || (e->link && !item.link)) {
        free(item.path), free(item.link), free(item.to);
        return -ENOMEM;
    }
    r->items[r->count++] = item;
    return 0;
}

static void report(struct recovery *r, const struct item *item, const char *fault, const char *sha256)
{
    if (fault)
        r->bad++;
    else
        r->good++;
    if (r->args->json) {
        char inode[FILES_INODE_BYTES], time[FILES_TIME_BYTES];
        fputs("{\"path\": ", stdout);
        cli_json_string(stdout, item->path);
        printf(", \"inode\": \"%s\", \"type\": \"%c\", \"deleted\": %s, \"recovered\": %s", files_inode(&item->e, inode), item->e.type,
               item->e.flags & (FILES_NAME_DELETED | FILES_META_DELETED) ? "true" : "false", fault ? "false" : "true");
        if (fault) {
            fputs(", \"error\": ", stdout);
            cli_json_string(stdout, fault);
        } else {
            fputs(", \"to\": ", stdout);
            cli_json_string(stdout, item->to);
            if (sha256) printf(", \"size\": %" PRIu64 ", \"sha256\": \"%s\"", item->e.size_bytes, sha256);
            const char *t = files_time(&item->e, FILES_M, time);
            if (t[0] != '-') printf(", \"mtime\": \"%s\"", t);
        }
        fputs("}\n", stdout);
    } else if (fault) {
        fputs("not recovered: ", stdout);
        files_print_text(stdout, item->path);
        fputs(": ", stdout);
        files_print_text(stdout, fault);
        putchar('\n');
    } else if (sha256) {
        printf("%s  ", sha256);
        files_print_text(stdout, item->to);
        putchar('\n');
    }
}

/* What to ask the file system for: deleted names may be anybody's by now, so those go by inode. */
static void reference(const struct files_fs *fs, const struct item *item, char *text, size_t bytes)
{
    if (!(item->e.flags & FILES_NAME_DELETED) && strncmp(item->path, "inode:", 6) != 0)
        snprintf(text, bytes, "%s", item->path);
    else if (item->e.flags & FILES_HAS_ATTR)
        snprintf(text, bytes, "inode:%" PRIu64 "-%u-%u", item->e.inode, item->e.attr_type, item->e.attr_id);
    else
        snprintf(text, bytes, "inode:%" PRIu64, item->e.inode);
}

static void recover_regular(struct recovery *r, struct item *item, int fd, const char *name)
{
    struct chv_err err = {0};
    struct recover_file *file;
    char ref[FILES_MAX_PATH + 64], other[256], hex[65];
    uint8_t sha256[32];
    uint64_t size = 0;
    if (item->e.flags & FILES_NAME_DELETED && !(item->e.flags & FILES_META_DELETED)) {
        report(r, item, "its name is deleted and its inode belongs to another file now", NULL);
        return;
    }
    int result = recover_file_create(fd, name, &file);
    if (result == -EEXIST && item->e.flags & (FILES_NAME_DELETED | FILES_META_DELETED)) {
        /* several files of this name may have come and gone */
        snprintf(other, sizeof other, "%.200s.deleted-%" PRIu64, name, item->e.inode);
        char *to = NULL;
        if (asprintf(&to, "%.*s%s", (int)(strlen(item->to) - strlen(name)), item->to, other) > 0) {
            free(item->to);
            item->to = to;
        }
        result = recover_file_create(fd, other, &file);
    }
    if (result < 0) {
        report(r, item, result == -EEXIST ? "there is a file of this name in the way" : strerror(-result), NULL);
        return;
    }
    reference(r->at.fs, item, ref, sizeof ref);
    result = files_read(r->at.fs, ref, r->deleted, recover_file_data, file, &size, &err);
    if (result != 0) {
        const char *fault = result > 0 ? strerror(-recover_file_error(file)) : err.text;
        recover_file_abandon(file);
        report(r, item, fault, NULL);
        return;
    }
    item->e.size_bytes = size;
    result = recover_file_finish(file, size, &item->e, sha256);
    report(r, item, result < 0 ? strerror(-result) : NULL, hex_format(sha256, 32, hex));
}

static void recover_one(struct recovery *r, struct item *item)
{
    const char *name, *fault = item->to[0] ? recover_path_fault(item->to) : NULL;
    if (fault) {
        char text[128];
        snprintf(text, sizeof text, "unsafe path: %s", fault);
        report(r, item, text, NULL);
        return;
    }
    if (item->e.type == 'V' || item->e.type == 'v') return; /* areas of the file system, not files in it */
    if (!(item->e.flags & FILES_HAS_META)) {
        report(r, item, "only its name is left", NULL);
        return;
    }
    bool directory = item->e.type == 'd' && !(item->e.flags & FILES_STREAM);
    if (!directory && item->e.type != 'l' && item->e.type != 'r' && !(item->e.flags & FILES_STREAM)) {
        report(r, item, "neither a file, a directory nor a symbolic link", NULL);
        return;
    }
    if (directory && !item->to[0]) return;
    int fd = recover_parent(r->dir_fd, item->to, &name);
    if (fd < 0) {
        report(r, item, fd == -ENOTDIR || fd == -ELOOP ? "something that is no directory is in the way" : strerror(-fd), NULL);
        return;
    }
    if (directory) {
        if (mkdirat(fd, name, 0700) < 0 && errno != EEXIST)
            report(r, item, strerror(errno), NULL);
        else
            report(r, item, NULL, NULL);
    } else if (item->e.type == 'l') {
        if (!item->link || !recover_link_is_safe(item->to, item->link))
            report(r, item, "a symbolic link that leads out of the directory", NULL);
        else if (symlinkat(item->link, fd, name) < 0)
            report(r, item, strerror(errno), NULL);
        else
            report(r, item, NULL, NULL);
    } else {
        recover_regular(r, item, fd, name);
    }
    close(fd);
}

/* Files first, then links, then the directories' modes and times, deepest first: what is made never passes
 * through a link, and nothing that follows disturbs a time that was set. */
static void recover_items(struct recovery *r)
{
    for (int links = 0; links < 2; links++)
        for (size_t i = 0; i < r->count; i++)
            if ((r->items[i].e.type == 'l') == links) {
                cli_progress("recovering", i, r->count);
                recover_one(r, &r->items[i]);
            }
    for (size_t i = r->count; i-- > 0;) {
        const char *name;
        const struct item *item = &r->items[i];
        if (item->e.type != 'd' || item->e.flags & FILES_STREAM || !item->to[0] || recover_path_fault(item->to)) continue;
        int fd = recover_parent(r->dir_fd, item->to, &name);
        if (fd < 0) continue;
        int dir = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dir >= 0) {
            recover_apply(dir, &item->e);
            close(dir);
        }
        close(fd);
    }
    cli_progress_end();
}

static void items_free(struct recovery *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free(r->items[i].path);
        free(r->items[i].link);
        free(r->items[i].to);
    }
    free(r->items);
    r->items = NULL;
    r->count = r->room = 0;
}

/* One PATH of the command line: collect what it stands for, then recover it. */
static int recover_path(struct recovery *r, const char *path, const char *as_name)
{
    struct chv_err err;
    size_t n = strlen(path);
    while (n > 0 && path[n - 1] == '/') n--;
    while (n > 0 && path[n - 1] != '/') n--; /* below the output directory, the last part of PATH is the first */
    r->strip = strncmp(path, "inode:", 6) == 0 ? 0 : n;
    if (r->strip > 0 && path[0] != '/') r->strip++; /* entries always begin with a slash */
    unsigned flags = FILES_LIST_RECURSE | (r->deleted ? FILES_LIST_DELETED : 0u);
    int result = files_stat(r->at.fs, path, keep, r, &err);
    if (result == 0 && r->count == 1 && r->items[0].e.type == 'd' && !(r->items[0].e.flags & FILES_STREAM))
        result = files_list(r->at.fs, path, flags, 0, keep, r, &err);
    if (result == 0 && as_name && r->count == 1) {
        free(r->items[0].to);
        r->items[0].to = strdup(as_name);
        if (!r->items[0].to) result = chv_err_set(&err, ENOMEM, "out of memory");
    }
    if (result > 0) result = chv_err_set(&err, EOVERFLOW, "more than %zu files; raise --limit", r->limit);
    if (result < 0) cli_fail(r->args, &err);
    if (result == 0 || result == -EIO || result == -EPROTO) recover_items(r); /* a damaged tree still gives what it can */
    items_free(r);
    return result < 0 ? CLI_ERROR : CLI_OK;
}

/* Open the output directory; a single file may go to a new file instead: *as_name is its name there then. */
static int open_output(const struct cli_args *args, struct recovery *r, const char *out, char **as_name)
{
    struct stat st;
    *as_name = NULL;
    bool exists = stat(out, &st) == 0;
    size_t n = strlen(out);
    char *copy = strdup(out);
    if (!copy) return cli_failf(args, "out of memory");
    int code = 0;
    if (exists && !S_ISDIR(st.st_mode)) {
        code = cli_failf(args, "%s exists; nothing is ever overwritten", out);
    } else if (!exists && args->count == 1 && n > 0 && out[n - 1] != '/') {
        /* A file or a directory: that depends on what PATH is. */
        char *slash = strrchr(copy, '/');
        *as_name = strdup(slash ? slash + 1 : copy);
        if (slash == copy)
            slash[1] = 0;
        else if (slash)
            *slash = 0;
        r->dir_fd = open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    } else {
        if (!exists && mkdir(out, 0777) < 0) code = cli_failf(args, "%s: %s", out, strerror(errno));
        if (code == 0) r->dir_fd = open(out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (code == 0 && r->dir_fd < 0) code = cli_failf(args, "%s: %s", out, strerror(errno));
    free(copy);
    return code;
}

static int is_directory(void *arg, const struct files_entry *e)
{
    *(bool *)arg = e->type == 'd' && !(e->flags & FILES_STREAM);
    return 0;
}

static int recover_all(struct recovery *r, const char *out)
{
    const struct cli_args *args = r->args;
    struct chv_err err;
    char *as_name = NULL;
    bool directory = false;
    int code = CLI_OK;
    /* Look before anything is made: a path that is not there must not leave a directory behind. */
    for (int i = 0; i < args->count; i++)
        if (files_stat(r->at.fs, args->positional[i], is_directory, &directory, &err) < 0) return cli_fail(args, &err);
    char slashed[4096];
    snprintf(slashed, sizeof slashed, "%s%s", out, directory && args->count == 1 ? "/" : "");
    if (open_output(args, r, slashed, &as_name) != 0) {
        free(as_name);
        return CLI_ERROR;
    }
    for (int i = 0; i < args->count && code == CLI_OK; i++) code = recover_path(r, args->positional[i], as_name);
    close(r->dir_fd);
    free(as_name);
    if (code == CLI_OK && !args->json)
        fprintf(stderr, "%" PRIu64 " recovered, %" PRIu64 " not\n", r->good, r->bad);
    return code != CLI_OK ? code : r->bad > 0 || r->good == 0 ? CLI_NOTHING : CLI_OK;
}

static int recover_run(int argc, char **argv)
{
    struct cli_args args;
    uint64_t limit;
    int code = CLI_ERROR;
    if (!cli_parse(&cmd_recover, argc, argv, &args)) return CLI_ERROR;
    struct recovery r = {.args = &args, .dir_fd = -1, .deleted = cli_flag(&args, "-d")};
    const char *out = cli_value(&args, "-o");
    if (args.count == 0)
        cli_failf(&args, "give at least one PATH");
    else if (!out || !*out)
        cli_failf(&args, "say where to with -o DIR (or -o FILE)");
    else if (cli_number(&args, "--limit", 1000000, 100000000, &limit) && files_at_open(&args, &r.at)) {
        r.limit = limit;
        char path[500], to[300];
        if (cli_custody(&args, "recover", "%s seq:%llu %s%s to %s", r.at.space->name, (unsigned long long)r.at.seq,
                        files_plain_text(args.positional[0], path, sizeof path), args.count > 1 ? " and more" : "",
                        files_plain_text(out, to, sizeof to)) == 0)
            code = recover_all(&r, out);
        files_at_close(&r.at);
    }
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_recover = {
    .name = "recover",
    .group = "Put back",
    .synopsis = "PATH… -o DIR [--at TIME]",
    .summary = "write out files and whole trees as they were",
    .example = "chronovisor recover /home/anna --at 2026-11-22T10:41:00Z -o anna-before --store evidence",
    .options = options,
    .run = recover_run,
};
