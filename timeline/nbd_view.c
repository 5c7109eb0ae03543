/* nbdkit-chronovisor-view-plugin: a space as it was at one instant, over NBD.
 *
 *   nbdkit ./nbdkit-chronovisor-view-plugin.so store=DIR space=NAME seq=N [source=PATH] …
 *
 * Read-only, parallel, safe for many connections: a view never changes. The store is opened in
 * after_fork, since the index keeps threads.
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "timeline/view_internal.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

/* A plugin is configured before it has any handle to keep this in; written before threads start. */
static struct {
    char *store_dir, *space, *source;
    uint64_t seq;
    bool have_seq;
    int assume_unchanged, zero_unknown;
    struct chv_store *store;
    struct chv_view *view;
} plugin;

static int set_path(char **to, const char *value)
{
    free(*to);
    return (*to = nbdkit_realpath(value)) ? 0 : -1;
}

static int view_config(const char *key, const char *value)
{
    if (strcmp(key, "store") == 0) return set_path(&plugin.store_dir, value);
    if (strcmp(key, "source") == 0) return set_path(&plugin.source, value);
    if (strcmp(key, "space") == 0) {
        free(plugin.space);
        return (plugin.space = strdup(value)) ? 0 : -1;
    }
    if (strcmp(key, "seq") == 0) {
        plugin.have_seq = true;
        return nbdkit_parse_uint64_t("seq", value, &plugin.seq);
    }
    int *flag = strcmp(key, "assume-unchanged") == 0 ? &plugin.assume_unchanged
                : strcmp(key, "zero-unknown") == 0   ? &plugin.zero_unknown
                                                     : NULL;
    if (flag) return (*flag = nbdkit_parse_bool(value)) < 0 ? -1 : 0;
    nbdkit_error("unknown parameter '%s'", key);
    return -1;
}

static int view_config_complete(void)
{
    if (plugin.store_dir && plugin.have_seq) return 0;
    nbdkit_error("store=DIR and seq=N are needed; 'chronovisor view' gives them");
    return -1;
}

static int view_after_fork(void)
{
    struct chv_err err;
    const struct chv_space *space;
    const struct chv_view_options options = {
        .source = plugin.source, .assume_unchanged = plugin.assume_unchanged, .zero_unknown = plugin.zero_unknown};
    if (chv_store_open(plugin.store_dir, &plugin.store, &err) < 0 ||
        chv_store_find_space(plugin.store, plugin.space, &space, &err) < 0 ||
        chv_view_open(plugin.store, space, plugin.seq, &options, &plugin.view, &err) < 0) {
        nbdkit_error("%s", err.text);
        return -1;
    }
    return 0;
}

static void view_unload(void)
{
    chv_view_close(plugin.view);
    chv_store_close(plugin.store);
    free(plugin.store_dir);
    free(plugin.space);
    free(plugin.source);
}

static void *view_open(int readonly)
{
    (void)readonly;
    return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t view_get_size(void *handle)
{
    (void)handle;
    return (int64_t)chv_view_size_bytes(plugin.view);
}

static int view_can_multi_conn(void *handle)
{
    (void)handle;
    return 1;
}

static int view_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
    (void)handle;
    *minimum = 1;
    *preferred = chv_store_block_bytes(plugin.store);
    *maximum = 0xffffffff;
    return 0;
}

static int view_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
    (void)handle, (void)flags;
    struct chv_err err;
    int r = chv_view_pread(plugin.view, buf, count, offset, &err);
    if (r == 0) return 0;
    nbdkit_error("%s", err.text);
    nbdkit_set_error(-r);
    return -1;
}

/* One call describes at most this many blocks with data: a client asks again for the rest. */
enum { EXTENT_BLOCKS_MAX = 1 << 16 };

static int add_extent(struct nbdkit_extents *extents, uint64_t first, uint64_t blocks, bool zeros)
{
    uint64_t block_bytes = chv_store_block_bytes(plugin.store), size = chv_view_size_bytes(plugin.view);
    uint64_t offset = first * block_bytes, bytes = blocks * block_bytes;
    if (bytes > size - offset) bytes = size - offset;
    return nbdkit_add_extent(extents, offset, bytes, zeros ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0);
}

static int add_source_extents(struct nbdkit_extents *extents, struct chv_extent e, struct chv_err *err)
{
    while (e.blocks > 0) {
        bool zeros;
        uint64_t run;
        int r = view_source_holes(plugin.view, e.first_block, e.blocks, &zeros, &run, err);
        if (r < 0) return r;
        if (add_extent(extents, e.first_block, run, zeros) < 0) return chv_err_set(err, ENOMEM, "out of memory");
        e.first_block += run;
        e.blocks -= run;
    }
    return 0;
}

static int view_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags, struct nbdkit_extents *extents)
{
    (void)handle, (void)flags;
    const uint64_t block_bytes = chv_store_block_bytes(plugin.store);
    uint64_t first = offset / block_bytes, end = (offset + count - 1) / block_bytes + 1;
    if (end - first > EXTENT_BLOCKS_MAX) end = first + EXTENT_BLOCKS_MAX;
    struct chv_err err;
    struct chv_map *map;
    struct chv_extent e;
    int r = chv_map_open(plugin.store, plugin.view->space.id, first, end, plugin.seq, &map, &err);
    if (r < 0) goto failed;
    while ((r = chv_map_next(map, &e, &err)) > 0) {
        if (e.state == CHV_STATE_SOURCE)
            r = add_source_extents(extents, e, &err);
        else if (add_extent(extents, e.first_block, e.blocks, e.state == CHV_STATE_ZERO) < 0)
            r = chv_err_set(&err, ENOMEM, "out of memory");
        if (r < 0) break;
    }
    chv_map_close(map);
    if (r == 0) return 0;
failed:
    nbdkit_error("%s", err.text);
    nbdkit_set_error(EIO);
    return -1;
}

static struct nbdkit_plugin view_plugin = {
    .name = "chronovisor-view",
    .longname = "Chronovisor view",
    .description = "A recorded disk as it was at one instant",
    .unload = view_unload,
    .config = view_config,
    .config_complete = view_config_complete,
    .config_help = "store=DIR   (required) The evidence store.\n"
                   "space=NAME  Which space; may be left out when there is only one.\n"
                   "seq=N       (required) The instant.\n"
                   "source=PATH Where the recorded device is now.\n"
                   "assume-unchanged=BOOL, zero-unknown=BOOL",
    .after_fork = view_after_fork,
    .open = view_open,
    .get_size = view_get_size,
    .can_multi_conn = view_can_multi_conn,
    .block_size = view_block_size,
    .pread = view_pread,
    .extents = view_extents,
};

extern struct nbdkit_plugin *plugin_init(void); /* nbdkit's macro defines it without a prototype */
NBDKIT_REGISTER_PLUGIN(view_plugin)
