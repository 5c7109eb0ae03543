/* errands: what harmless programs do all day, for those that are too big for the guest.
 *
 *   errands office DIR SEED SECONDS   edits documents below DIR as office programs do: reads one, writes a whole new one
 *                                     beside it, fsync, renames it over the old one; an autosave in between
 *   errands cache DIR SEED SECONDS    a browser's cache: many small files in DIR/cache, compressed and not, an index that is
 *                                     rewritten in place, the oldest deleted
 *   errands mail DIR SEED SECONDS     appends messages to a mailbox, fsync each, rewrites it when it is compacted
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { NAMES_MAX = 2048, BUF_BYTES = 4 << 20, CACHE_FILES = 160 };
struct day {
    const char *dir;
    uint64_t state;
    time_t until;
    unsigned char *buf;
};

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
    va_list list;
    va_start(list, fmt);
    fputs("errands: ", stderr);
    vfprintf(stderr, fmt, list);
    fprintf(stderr, ": %s\n", strerror(errno));
    exit(1);
}

static uint64_t next(struct day *d) /* splitmix64 */
{
    uint64_t z = d->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static bool on(const struct day *d) { return time(NULL) < d->until; }
static void pause_ms(uint64_t ms) { usleep((useconds_t)(ms * 1000)); }

static void noise(struct day *d, size_t at, size_t bytes)
{
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
        uint64_t word = next(d);
        memcpy(d->buf + at + i, &word, 8);
    }
}

static void prose(struct day *d, size_t bytes)
{
    static const char words[] = "the account of this month was not in order when the letter came and nobody knew what it said ";
    size_t at = next(d) % 40;
    for (size_t i = 0; i < bytes; i++) d->buf[i] = (unsigned char)words[(at += next(d) % 16 == 0 ? 7 : 1) % (sizeof words - 1)];
}

static void save(const char *path, const void *data, size_t bytes, int flags, bool sync)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    if (fd < 0) die("%s", path);
    if (write(fd, data, bytes) != (ssize_t)bytes) die("%s", path);
    if (sync) fsync(fd);
    close(fd);
}

static size_t load(struct day *d, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) die("%s", path);
    ssize_t n = read(fd, d->buf, BUF_BYTES / 2);
    close(fd);
    return n < 0 ? 0 : (size_t)n;
}

static void office(struct day *d)
{
    static char names[NAMES_MAX][64];
    size_t count = 0;
    DIR *list = opendir(d->dir);
    if (!list) die("%s", d->dir);
    for (struct dirent *e; (e = readdir(list)) && count < NAMES_MAX;)
        if (e->d_type != DT_DIR && e->d_name[0] != '.' && strlen(e->d_name) < 64)
            snprintf(names[count++], sizeof names[0], "%s", e->d_name);
    closedir(list);
    if (!count) die("%s is empty", d->dir);
    while (on(d)) {
        char path[512], new[512];
        snprintf(path, sizeof path, "%s/%s", d->dir, names[next(d) % count]);
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

static void cache(struct day *d)
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

static void mail(struct day *d)
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

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(struct day *);
    } errands[] = {{"office", office}, {"cache", cache}, {"mail", mail}};
    for (size_t i = 0; argc == 5 && i < 3; i++) {
        if (strcmp(argv[1], errands[i].name)) continue;
        struct day d = {.dir = argv[2], .state = strtoull(argv[3], NULL, 10), .until = time(NULL) + atoi(argv[4])};
        if (!(d.buf = malloc(BUF_BYTES))) die("memory");
        errands[i].run(&d);
        free(d.buf);
        return 0;
    }
    fputs("usage: errands office|cache|mail DIR SEED SECONDS\n", stderr);
    return 2;
}
