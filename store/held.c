#include "store/held.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

#define FILE_NAME "held.json"
#define BYTES_MAX (1u << 20)

static void path_of(const char *store_dir, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/" FILE_NAME, store_dir);
}

bool held_is(const char *store_dir)
{
    char path[PATH_MAX];
    path_of(store_dir, path);
    /* whatever else goes wrong with a file that is there: better held than not */
    return access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

int held_place(const char *store_dir, const char *json, struct chv_err *err)
{
    if (held_is(store_dir)) return 1;
    int r = io_replace(&io_real, store_dir, FILE_NAME, json, strlen(json));
    return r < 0 ? chv_err_set(err, -r, "%s/" FILE_NAME ": %s", store_dir, strerror(-r)) : 0;
}

int held_read(const char *store_dir, char **json, struct chv_err *err)
{
    char path[PATH_MAX];
    size_t bytes;
    path_of(store_dir, path);
    int r = io_read_file(path, BYTES_MAX, json, &bytes);
    if (r == -ENOENT) return 0;
    return r < 0 ? chv_err_set(err, -r, "%s: %s", path, strerror(-r)) : 1;
}

int held_clear(const char *store_dir, struct chv_err *err)
{
    char path[PATH_MAX];
    path_of(store_dir, path);
    int r = io_real.unlink(&io_real, path);
    if (r == -ENOENT) return 0;
    if (r == 0) r = io_real.sync_dir(&io_real, store_dir);
    return r < 0 ? chv_err_set(err, -r, "%s: %s", path, strerror(-r)) : 1;
}
