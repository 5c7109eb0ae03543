/* errands: an office suite, a browser, a mail client, a photo manager, a machine's log. */
#include "errands.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CACHE_FILES = 160, JPEG_HEAD = 600, JOURNAL_BYTES = 8 << 20, LOGS = 6 };

void office(struct day *d)
{
    size_t count = names_list(d, d->dir, "", 0);
    if (!count) die("%s is empty", d->dir);
    while (on(d)) {
        char path[512], new[512];
        snprintf(path, sizeof path, "%s/%s", d->dir, d->names[next(d) % count]);
        snprintf(new, sizeof new, "%s/~$%" PRIx32 ".tmp", d->dir, (uint32_t)next(d));
        size_t bytes = load(d, path), same = bytes / (2 + next(d) % 8); /* compressed anew from where the edit is */
        pause_ms(200 + next(d) % 1200);
        bytes += next(d) % 4096;
        noise(d, same, bytes - same);
        save(new, d->buf, bytes, O_EXCL, true);
        if (next(d) % 3 == 0) {
            snprintf(path, sizeof path, "%s/autosave.asd", d->dir);
            save(path, d->buf, bytes, O_TRUNC, false);
        } else if (rename(new, path) == 0) {
            continue;
        }
        unlink(new);
    }
}

void cache(struct day *d)
{
    char path[512];
    unsigned oldest = 0, newest = 0;
    snprintf(path, sizeof path, "%s/cache", d->dir);
    if (mkdir(path, 0755) < 0 && errno != EEXIST) die("%s", path);
    while (on(d)) {
        for (uint64_t burst = 1 + next(d) % 24; burst; burst--) { /* a page is loaded */
            size_t bytes = 400 + next(d) % (next(d) % 8 ? 24000 : 400000);
            if (next(d) % 3) noise(d, 0, bytes + 8);
            else prose(d, bytes);
            snprintf(path, sizeof path, "%s/cache/f_%06x", d->dir, newest++);
            save(path, d->buf, bytes, O_TRUNC, false);
        }
        for (; newest - oldest > CACHE_FILES; oldest++) {
            snprintf(path, sizeof path, "%s/cache/f_%06x", d->dir, oldest);
            unlink(path);
        }
        int fd;
        snprintf(path, sizeof path, "%s/cache/index", d->dir);
        if ((fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644)) < 0) die("%s", path);
        noise(d, 0, 256);
        if (pwrite(fd, d->buf, 256, (off_t)(next(d) % 400) * 256) < 0) die("%s", path);
        if (next(d) % 4 == 0) fdatasync(fd);
        close(fd);
        pause_ms(100 + next(d) % 900);
    }
}

void mail(struct day *d)
{
    char path[512], new[512];
    size_t total = 0;
    snprintf(path, sizeof path, "%s/inbox", d->dir);
    snprintf(new, sizeof new, "%s/inbox.new", d->dir);
    while (on(d)) {
        size_t bytes = 800 + next(d) % 60000;
        prose(d, bytes);
        save(path, d->buf, bytes, O_APPEND, true);
        if ((total += bytes) > 1500000) { /* compact: half of it stays */
            size_t kept = load(d, path) / 2;
            save(new, d->buf, kept, O_TRUNC, true);
            if (rename(new, path) < 0) die("%s", path);
            total = kept;
        }
        pause_ms(50 + next(d) % 500);
    }
}

/* Copy a photo's header, and below it what an encoder makes anew from the changed picture. */
static size_t edited(struct day *d, size_t bytes)
{
    if (bytes < 2 * JPEG_HEAD) return bytes;
    bytes = bytes / 100 * (70 + next(d) % 60);
    if (bytes > BUF_BYTES / 2) bytes = BUF_BYTES / 2;
    noise(d, JPEG_HEAD, bytes - JPEG_HEAD);
    return bytes;
}

/* A photo manager: thumbnails of all, then edits: some saved beside the original, some over it; notes on each in a side file. */
void photos(struct day *d)
{
    char path[512], new[512];
    size_t count = names_list(d, d->dir, "", 0);
    if (!count) die("%s is empty", d->dir);
    snprintf(path, sizeof path, "%s/.thumbnails", d->dir);
    if (mkdir(path, 0755) < 0 && errno != EEXIST) die("%s", path);
    for (size_t i = 0; i < count && on(d); i++) {
        snprintf(path, sizeof path, "%.200s/%s", d->dir, d->names[i]);
        snprintf(new, sizeof new, "%.190s/.thumbnails/%s", d->dir, d->names[i]);
        load(d, path);
        size_t bytes = 5000 + next(d) % 15000;
        noise(d, JPEG_HEAD, bytes - JPEG_HEAD);
        save(new, d->buf, bytes, O_TRUNC, false);
    }
    for (unsigned edits = 0; on(d); edits++) {
        const char *name = d->names[next(d) % count];
        snprintf(path, sizeof path, "%.200s/%s", d->dir, name);
        size_t bytes = edited(d, load(d, path));
        bool over = next(d) % 3 == 0;
        snprintf(new, sizeof new, over ? "%.190s/.%s~%u" : "%.190s/edit-%s-%u.jpg", d->dir, name, edits);
        save(new, d->buf, bytes, O_EXCL, over);
        if (over && rename(new, path) < 0) die("%s", path);
        bytes = 600 + next(d) % 3000;
        prose(d, bytes);
        snprintf(new, sizeof new, "%.190s/%s.xmp", d->dir, name);
        save(new, d->buf, bytes, O_TRUNC, false);
        pause_ms(200 + next(d) % 1500);
    }
}

/* Logs that grow by lines, and a journal that is preallocated and written at its end and in its index. Who rotates them is another. */
void logs(struct day *d)
{
    char path[512];
    size_t end = 1 << 20;
    snprintf(path, sizeof path, "%s/journal", d->dir);
    int journal = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (journal < 0) die("%s", path);
    if (fallocate(journal, 0, 0, JOURNAL_BYTES) < 0 && ftruncate(journal, JOURNAL_BYTES) < 0) die("%s", path);
    while (on(d)) {
        for (uint64_t i = next(d) % 20; i; i--) {
            size_t bytes = 60 + next(d) % (next(d) % 10 ? 200 : 30000);
            prose(d, bytes);
            snprintf(path, sizeof path, "%s/service%u.log", d->dir, (unsigned)(next(d) % LOGS));
            save(path, d->buf, bytes, O_APPEND, next(d) % 32 == 0);
            if (pwrite(journal, d->buf, bytes, (off_t)end) < 0) die("journal");
            if (pwrite(journal, &end, sizeof end, (off_t)(next(d) % (1 << 17) * 8)) < 0) die("journal");
            end = end + 2 * bytes < JOURNAL_BYTES ? end + bytes : 1 << 20;
        }
        if (next(d) % 16 == 0) fsync(journal);
        pause_ms(20 + next(d) % 200);
    }
    close(journal);
}
