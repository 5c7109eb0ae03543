/* Any bytes as the recording plugin's command line: words ended by NUL, each KEY=VALUE, or a disk. Whatever they are, the
 * options stay such that a recording may start with them, and a word that is refused changes nothing and says why. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/capture/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool good)
{
    if (!good) abort();
}

static void check_error(int r, const struct chv_err *err)
{
    need(r == -EINVAL || r == -ENOENT);
    need(err->code == -r && *err->text && memchr(err->text, 0, sizeof err->text));
    for (const char *c = err->text; *c; c++) need((unsigned char)*c >= 0x20 && *c != 0x7f);
}

static void check_disk(const struct session_options *o, size_t n)
{
    const struct session_disk *d = &o->disk[n];
    need(d->path && *d->path && memchr(d->space, 0, sizeof d->space));
    const char *name = session_export_name(d->space);
    need(name == d->space + 5 && *name);
    for (const char *c = name; *c; c++) need(isalnum((unsigned char)*c) || strchr("._-", *c));
    for (size_t i = 0; i < n; i++) need(strcmp(o->disk[i].space, d->space) != 0);
}

static void check(const struct session_options *o)
{
    need(o->disks <= SESSION_DISKS_MAX);
    for (size_t i = 0; i < o->disks; i++) check_disk(o, i);
    need(!o->store_dir || *o->store_dir);
    need(!o->signing_key || *o->signing_key);
    need(!o->socket || *o->socket);
    need(o->baseline == SESSION_COW || o->baseline == SESSION_FULL || o->baseline == SESSION_NONE);
    need(o->block_bytes == 0 || o->block_bytes == 512 || o->block_bytes == 4096);
    need(o->queue_blocks == 0 || (o->queue_blocks >= CHV_QUEUE_BLOCKS_MIN && o->queue_blocks <= CHV_QUEUE_BLOCKS_MAX));
}

/* As nbdkit splits it: a word without '=' is the plugin's magic key. */
static void take(struct session_options *o, char *word)
{
    struct session_options before;
    struct chv_err err = {0};
    memcpy(&before, o, sizeof before); /* padding too, for the comparison */
    char *equals = strchr(word, '=');
    if (equals) *equals = 0;
    int r = session_option(o, equals ? word : "disk", equals ? equals + 1 : word, &err);
    if (r == 0) {
        check(o);
        return;
    }
    check_error(r, &err);
    need(memcmp(o, &before, sizeof before) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct session_options o = {.record_reads = true};
    struct chv_err err = {0};
    char *words = malloc(size + 1);
    if (!words) return 0;
    memcpy(words, data, size);
    words[size] = 0;
    for (size_t at = 0, next; at < size; at = next) {
        next = at + strlen(words + at) + 1;
        take(&o, words + at);
    }
    int r = session_options_complete(&o, &err);
    if (r < 0) check_error(r, &err);
    need((r == 0) == (o.store_dir && o.disks > 0));
    free(words);
    return 0;
}
