/* The nbdkit plugin: nbdkit speaks the protocol, session.h records. See README.md for the options. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "sensor/capture/session.h"
#include "sensor/nbd/again.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

/* Paths are opened after nbdkit may have changed directory. nbdkit frees interned strings at exit. */
static const char *absolute(const char *path)
{
    char *full = nbdkit_absolute_path(path);
    const char *interned = full ? nbdkit_strdup_intern(full) : NULL;
    free(full);
    return interned;
}

/* nbdkit's interface gives a plugin no place of its own: this is the only state, set before the
 * first connection and cleared after the last. */
static struct {
    struct session_options options;
    struct session *session;
    int failed;
} plugin_state = {.options = {.record_reads = true, .resolve = absolute}};

static int fail(const struct chv_err *err, int r)
{
    nbdkit_error("%s", err->text);
    nbdkit_set_error(-r);
    return -1;
}

static int plugin_config(const char *key, const char *value)
{
    struct chv_err err;
    int r = session_option(&plugin_state.options, key, value, &err);
    return r < 0 ? fail(&err, r) : 0;
}

static int plugin_config_complete(void)
{
    struct chv_err err;
    int r = session_options_complete(&plugin_state.options, &err);
    return r < 0 ? fail(&err, r) : 0;
}

/* Threads do not survive the fork into the background, so everything starts here. */
static int plugin_after_fork(void)
{
    struct chv_err err;
    int r = session_open(&plugin_state.options, &plugin_state.session, &err);
    if (r == 0) again_after_abort(plugin_state.options.socket);
    if (r == 0) return 0;
    if (plugin_state.options.socket) unlink(plugin_state.options.socket); /* nbdkit leaves it behind */
    return fail(&err, r);
}

static void plugin_cleanup(void)
{
    struct chv_err err;
    char summary[256];
    if (plugin_state.options.socket) unlink(plugin_state.options.socket);
    if (!plugin_state.session) return;
    int r = session_close(plugin_state.session, summary, sizeof summary, &err);
    plugin_state.session = NULL;
    plugin_state.failed = r < 0;
    if (r < 0) fprintf(stderr, "chronovisor record: %s\n", err.text);
    fprintf(stderr, "chronovisor record: %s\n", summary);
}

static void plugin_unload(void)
{
    /* nbdkit would say that all went well */
    if (plugin_state.failed) _exit(EXIT_FAILURE);
}

static int plugin_list_exports(int readonly, int is_tls, struct nbdkit_exports *exports)
{
    const struct session_options *o = &plugin_state.options;
    for (size_t i = 0; i < o->disks; i++)
        if (nbdkit_add_export(exports, session_export_name(o->disk[i].space), o->disk[i].space) < 0) return -1;
    return 0;
}

static const char *plugin_default_export(int readonly, int is_tls)
{
    return session_export_name(plugin_state.options.disk[0].space);
}

static void *plugin_open(int readonly)
{
    struct capture *c = session_export(plugin_state.session, nbdkit_export_name());
    if (c) return c;
    nbdkit_error("no disk is called '%.64s'", nbdkit_export_name());
    nbdkit_set_error(ENOENT);
    return NULL;
}

static int64_t plugin_get_size(void *handle)
{
    const struct capture *c = handle;
    return (int64_t)c->disk.size_bytes;
}

static int plugin_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
    *minimum = 1; /* ragged requests are merged, at the price of a read */
    *preferred = 4096;
    *maximum = 32u << 20;
    return 0;
}

/* Safe: all connections share one recorder and one descriptor, a read sees every change acknowledged on any
 * connection (it waits for deferred ones), and a flush covers all of them: the FLUSH event follows their
 * events, the wait is for everything before it, the drain for all deferred changes, fdatasync for the file. */
static int plugin_can_multi_conn(void *handle)
{
    return 1;
}

static int plugin_can_fua(void *handle)
{
    return NBDKIT_FUA_NATIVE;
}

static int plugin_can_trim(void *handle)
{
    const struct capture *c = handle;
    return c->disk.can_punch;
}

static int plugin_can_fast_zero(void *handle)
{
    const struct capture *c = handle;
    return c->disk.can_punch;
}

static int plugin_can_extents(void *handle)
{
    const struct capture *c = handle;
    return c->disk.can_seek;
}

static int plugin_yes(void *handle)
{
    return 1;
}

static int plugin_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
    struct chv_err err;
    int r = capture_read(handle, buf, count, offset, &err);
    return r < 0 ? fail(&err, r) : 0;
}

/* A change waits while the store is held, but for the end of the connection or of the server. */
static int wait_while_held(void)
{
    while (hold_is(&plugin_state.session->hold))
        if (nbdkit_nanosleep(0, HOLD_LOOK_NS) < 0) {
            nbdkit_set_error(ESHUTDOWN);
            return -1;
        }
    return 0;
}

static int plugin_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
    struct chv_err err;
    if (wait_while_held() < 0) return -1;
    int r = capture_write(handle, buf, count, offset, flags & NBDKIT_FLAG_FUA, &err);
    return r < 0 ? fail(&err, r) : 0;
}

static int plugin_flush(void *handle, uint32_t flags)
{
    struct chv_err err;
    int r = capture_flush(handle, &err);
    return r < 0 ? fail(&err, r) : 0;
}

static int plugin_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    struct chv_err err;
    if (wait_while_held() < 0) return -1;
    int r = capture_zero(handle, CHV_OP_TRIM, count, offset, true, flags & NBDKIT_FLAG_FUA, &err);
    return r < 0 ? fail(&err, r) : 0;
}

static int plugin_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    struct chv_err err;
    if (wait_while_held() < 0) return -1;
    int r = capture_zero(handle, CHV_OP_ZERO, count, offset, flags & NBDKIT_FLAG_MAY_TRIM, flags & NBDKIT_FLAG_FUA,
                         &err);
    return r < 0 ? fail(&err, r) : 0;
}

static int plugin_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
                          struct nbdkit_extents *extents)
{
    uint64_t end = offset + count, run_end;
    for (; offset < end; offset = run_end) {
        bool hole = capture_hole(handle, offset, end, &run_end);
        if (nbdkit_add_extent(extents, offset, run_end - offset, hole ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0) < 0)
            return -1;
        if (flags & NBDKIT_FLAG_REQ_ONE) break;
    }
    return 0;
}

#define CONFIG_HELP                                                                    \
    "store=DIR                 (required) the evidence store, made when it is not there\n" \
    "disk=[NAME=]PATH          (required, repeatable) a raw image or block device\n"    \
    "baseline=cow|full|none    what becomes of content older than the recording\n"      \
    "reads=on|off              record where was read (default on)\n"                    \
    "when-behind=block|gap     what to do when the queue is full\n"                     \
    "queue=N                   blocks the queue holds\n"                                \
    "block-size=4096|512       of a new store\n"                                        \
    "sign=KEY.pem              Ed25519 key that signs the log\n"                        \
    "resync=on|off             accept a disk that changed unobserved\n"                 \
    "socket=PATH               remove this socket at the end"

static struct nbdkit_plugin plugin = {
    .name = "chronovisor",
    .longname = "Chronovisor recording disk",
    .version = CHV_VERSION,
    .description = "serves a disk and records everything that happens to it",
    .magic_config_key = "disk",
    .config = plugin_config,
    .config_complete = plugin_config_complete,
    .config_help = CONFIG_HELP,
    .after_fork = plugin_after_fork,
    .cleanup = plugin_cleanup,
    .unload = plugin_unload,
    .list_exports = plugin_list_exports,
    .default_export = plugin_default_export,
    .open = plugin_open,
    .get_size = plugin_get_size,
    .block_size = plugin_block_size,
    .can_write = plugin_yes,
    .can_flush = plugin_yes,
    .can_zero = plugin_yes,
    .can_multi_conn = plugin_can_multi_conn,
    .can_fua = plugin_can_fua,
    .can_trim = plugin_can_trim,
    .can_fast_zero = plugin_can_fast_zero,
    .can_extents = plugin_can_extents,
    .pread = plugin_pread,
    .pwrite = plugin_pwrite,
    .flush = plugin_flush,
    .trim = plugin_trim,
    .zero = plugin_zero,
    .extents = plugin_extents,
    /* errors are set with nbdkit_set_error */
};

struct nbdkit_plugin *plugin_init(void);
NBDKIT_REGISTER_PLUGIN(plugin)
