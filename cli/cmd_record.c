/* record: serve a disk to a guest and record everything that happens to it. */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/nbdkit.h"
#include "cli/record_detect.h"
#include "sensor/capture/session.h"
#include "sensor/vhost_user/server.h"

static const struct cli_option options[] = {
    {"--disk", "[NAME=]PATH", "raw image or block device; repeat with names for several disks in one store"},
    CLI_OPT_STORE,
    {"--space", "disk:NAME", "what the disk is called in the store (default: disk:vda)"},
    {"--vhost-user", "SOCK", "serve the disk over vhost-user-blk on this Unix socket, and not over NBD"},
    {"--aio", "threads|io_uring", "with --vhost-user: how the disk is read and written (default: threads)"},
    {"--socket", "PATH", "Unix socket to serve on (default: nbd.sock in the store)"},
    {"--baseline", "cow|full|none", "old content: kept at its first overwrite, all read in the background, or not kept"},
    {"--when-behind", "block|gap", "when the queue is full: the guest waits, or a gap is recorded (default: block)"},
    {"--reads", "on|off", "record where was read (default: on)"},
    {"--queue", "SIZE", "bytes of writes held in the queue, as 256M (default: 64M)"},
    {"--block-size", "4096|512", "of a store made by this call (default: 4096)"},
    {"--sign", "KEY.pem", "Ed25519 private key that signs the log"},
    {"--resync", NULL, "go on with a disk that changed while nobody recorded: a gap, and what is there now"},
    RECORD_DETECT_OPTIONS,
    {0},
};

#define HOLD_THREADS 36

/* The nbdkit command line, and the strings it owns. */
struct words {
    const char *word[2 * SESSION_DISKS_MAX + 48];
    int count;
};

static bool add(struct words *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool add(struct words *w, const char *fmt, ...)
{
    char *text = NULL;
    va_list list;
    va_start(list, fmt);
    int n = vasprintf(&text, fmt, list);
    va_end(list);
    if (n < 0) return false;
    w->word[w->count++] = text;
    return true;
}

static bool set(const struct cli_args *args, struct session_options *o, const char *key, const char *value)
{
    struct chv_err err;
    if (!value || session_option(o, key, value, &err) == 0) return true;
    cli_failf(args, "--%s", err.text);
    return false;
}

/* The guest's side is started from another directory. */
static bool absolute_socket(const struct cli_args *args, const char *socket, const char *store_dir, char path[PATH_MAX])
{
    char here[PATH_MAX];
    const char *base = socket ? socket : store_dir, *tail = socket ? "" : "/nbd.sock";
    bool given = base[0] == '/';
    if (!given && !getcwd(here, sizeof here)) {
        cli_failf(args, "this directory: %s", strerror(errno));
        return false;
    }
    if (snprintf(path, PATH_MAX, "%s%s%s%s", given ? "" : here, given ? "" : "/", base, tail) < PATH_MAX) return true;
    cli_failf(args, "--socket %s: too long", base);
    return false;
}

/* Remove a socket nobody listens on. */
static int clear_socket(const struct cli_args *args, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return cli_failf(args, "--socket %s: longer than the %zu bytes a socket's path may have", path,
                         sizeof address.sun_path - 1);
    strcpy(address.sun_path, path);
    struct stat st;
    if (lstat(path, &st) < 0) return 0;
    if (!S_ISSOCK(st.st_mode)) return cli_failf(args, "--socket %s: is there, and is no socket", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return cli_failf(args, "socket: %s", strerror(errno));
    int r = connect(fd, (struct sockaddr *)&address, sizeof address);
    close(fd);
    if (r == 0) return cli_failf(args, "--socket %s: somebody serves there already", path);
    return unlink(path) < 0 ? cli_failf(args, "--socket %s: %s", path, strerror(errno)) : 0;
}

static void print_json(const struct session_disk *disk, const char *store_dir, const char *socket)
{
    const char *const fields[][2] = {{"space", disk->space}, {"disk", disk->path}, {"store", store_dir},
                                     {"socket", socket}, {"export", session_export_name(disk->space)}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        printf("%s\"%s\": ", i ? ", " : "{", fields[i][0]);
        cli_json_string(stdout, fields[i][1]);
    }
    printf("}\n");
}

static void print_snippets(const struct cli_args *args, const struct session_options *o, const char *socket)
{
    for (size_t i = 0; i < o->disks; i++) {
        const char *name = session_export_name(o->disk[i].space);
        if (args->json) {
            print_json(&o->disk[i], o->store_dir, socket);
            continue;
        }
        printf("# %s (%s) records into %s. QEMU:\n"
               "-blockdev driver=nbd,node-name=%s,server.type=unix,server.path=%s,export=%s,reconnect-delay=60,"
               "discard=unmap,detect-zeroes=unmap -device virtio-blk-pci,drive=%s\n"
               "# libvirt:\n"
               "<disk type='network' device='disk'>\n"
               "  <driver name='qemu' type='raw' discard='unmap' detect_zeroes='unmap'/>\n"
               "  <source protocol='nbd' name='%s'>\n"
               "    <host transport='unix' socket='%s'/>\n"
               "    <reconnect delay='60'/>\n"
               "  </source>\n"
               "  <target dev='%s' bus='virtio'/>\n"
               "</disk>\n",
               o->disk[i].space, o->disk[i].path, o->store_dir, name, socket, name, name, name, socket, name);
    }
    fflush(stdout);
}

static void print_vhost(const struct cli_args *args, const struct session_options *o, const char *socket)
{
    if (args->json) {
        print_json(&o->disk[0], o->store_dir, socket);
    } else {
        printf("# %s (%s) records into %s. QEMU (the memory must be shared, its size be that of -m):\n"
               "-object memory-backend-memfd,id=ram,size=SIZE,share=on -machine memory-backend=ram "
               "-chardev socket,id=%s,path=%s,reconnect=1 -device vhost-user-blk-pci,chardev=%s\n",
               o->disk[0].space, o->disk[0].path, o->store_dir, session_export_name(o->disk[0].space), socket,
               session_export_name(o->disk[0].space));
    }
    fflush(stdout);
}

static int serve_vhost(const struct cli_args *args, const struct session_options *o, const char *socket)
{
    struct chv_err err;
    return vhost_server_run(o, socket, &err) < 0 ? cli_fail(args, &err) : CLI_OK;
}

/* --disk may be given several times: every one but what cli_parse keeps has to be picked out here. */
static int collect_disks(const struct cli_args *args, int argc, char **argv, struct session_options *o)
{
    const char *space = cli_value(args, "--space");
    for (int a = 1; a < argc && strcmp(argv[a], "--") != 0; a++) {
        const char *value = NULL;
        if (strcmp(argv[a], "--disk") == 0)
            value = argv[++a];
        else if (strncmp(argv[a], "--disk=", 7) == 0)
            value = argv[a] + 7;
        else
            for (const struct cli_option *option = options; option->name; option++)
                if (option->arg && strcmp(option->name, argv[a]) == 0) a++; /* skip another option's value */
        if (value && !set(args, o, "disk", value)) return CLI_ERROR;
    }
    if (o->disks == 0) return cli_failf(args, "which disk? add --disk PATH");
    if (!space) return 0;
    if (o->disks > 1) return cli_failf(args, "--space is for one disk; call several --disk NAME=PATH");
    if (strncmp(space, "disk:", 5) != 0 || !space[5] || strlen(space) > CHV_SPACE_NAME_BYTES ||
        space[5 + strspn(space + 5, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")])
        return cli_failf(args, "--space '%.40s' is not disk:NAME with at most 27 letters, digits, '.', '_', '-'",
                         space);
    snprintf(o->disk[0].space, sizeof o->disk[0].space, "%s", space);
    return 0;
}

static bool collect(const struct cli_args *args, int argc, char **argv, struct session_options *o)
{
    uint64_t queue_bytes;
    *o = (struct session_options){
        .store_dir = cli_store_dir(args), .resync = cli_flag(args, "--resync"), .record_reads = true};
    if (!o->store_dir || collect_disks(args, argc, argv, o) != 0) return false;
    if (args->count > 0) {
        cli_failf(args, "'%.60s' is not an option; disks are given with --disk", args->positional[0]);
        return false;
    }
    if (!set(args, o, "baseline", cli_value(args, "--baseline")) || !set(args, o, "reads", cli_value(args, "--reads")) ||
        !set(args, o, "when-behind", cli_value(args, "--when-behind")) ||
        !set(args, o, "block-size", cli_value(args, "--block-size")) || !set(args, o, "sign", cli_value(args, "--sign")))
        return false;
    if (!cli_number(args, "--queue", 0, UINT64_C(1) << 40, &queue_bytes)) return false;
    uint64_t blocks = queue_bytes / (o->block_bytes ? o->block_bytes : 4096);
    if (queue_bytes && (blocks < CHV_QUEUE_BLOCKS_MIN || blocks > CHV_QUEUE_BLOCKS_MAX)) {
        cli_failf(args, "--queue %s is too %s; %u to %u blocks of it are possible", cli_value(args, "--queue"),
                  blocks < CHV_QUEUE_BLOCKS_MIN ? "small" : "large", CHV_QUEUE_BLOCKS_MIN, CHV_QUEUE_BLOCKS_MAX);
        return false;
    }
    o->queue_blocks = (uint32_t)blocks;
    return true;
}

/* Of each connection. Handlers seldom block, and more of them than can run hand the connection's lock around. But a held write
 * keeps one: more than QEMU has requests under way (16), and then some. */
static long thread_count(const struct cli_args *args)
{
    const char *on_alarm = cli_value(args, "--on-alarm");
    if (on_alarm && strcmp(on_alarm, "hold") == 0) return HOLD_THREADS;
    long cores = sysconf(_SC_NPROCESSORS_ONLN), wanted = 2 * (cores > 0 ? cores : 1) + 1;
    return wanted < 5 ? 5 : wanted > 32 ? 32 : wanted;
}

static bool build_words(const struct cli_args *args, const struct session_options *o, const char *plugin,
                        const char *socket, struct words *w)
{
    static const char *const passed[] = {"baseline", "reads", "when-behind", "sign"};
    char option[32];
    bool good = add(w, "nbdkit") && add(w, "--foreground") && add(w, "--threads=%ld", thread_count(args)) && add(w, "--unix") &&
                add(w, "%s", socket) && add(w, "%s", plugin) && add(w, "store=%s", o->store_dir) &&
                add(w, "socket=%s", socket);
    for (size_t i = 0; good && i < o->disks; i++)
        good = add(w, "disk=%s=%s", session_export_name(o->disk[i].space), o->disk[i].path);
    for (size_t i = 0; good && i < sizeof passed / sizeof *passed; i++) {
        snprintf(option, sizeof option, "--%s", passed[i]);
        const char *value = cli_value(args, option);
        if (value) good = add(w, "%s=%s", passed[i], value);
    }
    if (good && o->queue_blocks) good = add(w, "queue=%u", o->queue_blocks);
    if (good && o->resync) good = add(w, "resync=on");
    return good;
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    struct session_options o;
    struct words words = {0};
    struct chv_err err;
    char plugin[PATH_MAX], socket_path[PATH_MAX];
    if (!cli_parse(&cmd_record, argc, argv, &args)) return CLI_ERROR;
    int code = CLI_ERROR;
    if (!collect(&args, argc, argv, &o)) goto out;
    const char *vhost = cli_value(&args, "--vhost-user");
    if (vhost && (o.disks > 1 || cli_value(&args, "--socket"))) {
        cli_failf(&args, o.disks > 1 ? "--vhost-user is for one disk: start one record with a store of its own for each"
                                     : "--vhost-user %s is the socket: leave --socket out", vhost);
        goto out;
    }
    const char *aio = cli_value(&args, "--aio");
    if (aio && !vhost) {
        cli_failf(&args, "--aio is for --vhost-user");
        goto out;
    }
    if (aio && strcmp(aio, "threads") != 0 && strcmp(aio, "io_uring") != 0) {
        cli_failf(&args, "--aio '%.40s' is not one of threads, io_uring", aio);
        goto out;
    }
    o.uring = aio && strcmp(aio, "io_uring") == 0;
    bool good, detect = record_detect_wanted(&args, &good);
    if (!good || (detect && !record_detect_check(&args, o.block_bytes ? o.block_bytes : 4096))) goto out;
    if ((!vhost && nbd_plugin_path("sensor/nbd", "chronovisor", plugin, sizeof plugin, &err) < 0) || session_check(&o, &err) < 0) {
        cli_fail(&args, &err);
        goto out;
    }
    /* the socket is in the store, so the store comes first */
    struct chv_store_config config = {.block_bytes = o.block_bytes, .signing_key = o.signing_key};
    int r = chv_store_create(o.store_dir, &config, &err);
    if (r < 0 && r != -EEXIST) {
        cli_fail(&args, &err);
        goto out;
    }
    const char *socket = vhost ? vhost : cli_value(&args, "--socket");
    if (!absolute_socket(&args, socket, o.store_dir, socket_path)) goto out;
    socket = socket_path;
    if (clear_socket(&args, socket) != 0) goto out;
    if (vhost) {
        print_vhost(&args, &o, socket);
        if (!detect || record_detect_start(&args, o.store_dir)) code = serve_vhost(&args, &o, socket);
        goto out;
    }
    if (!build_words(&args, &o, plugin, socket, &words)) {
        cli_failf(&args, "out of memory");
        goto out;
    }
    print_snippets(&args, &o, socket);
    if (detect && !record_detect_start(&args, o.store_dir)) goto out;
    execvp("nbdkit", (char *const *)words.word);
    cli_failf(&args, "nbdkit: %s; install it (Debian: nbdkit)", strerror(errno));
out:
    for (int i = 0; i < words.count; i++) free((void *)words.word[i]);
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_record = {
    .name = "record",
    .group = "Record",
    .synopsis = "--disk [NAME=]PATH --store DIR [OPTION…]",
    .summary = "serve a disk to a guest over NBD or vhost-user and record every block it writes",
    .example = "chronovisor record --disk vda=disk.img --store evidence --socket /run/vda.sock",
    .options = options,
    .run = run,
};
