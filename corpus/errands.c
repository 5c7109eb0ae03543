/* errands: what harmless programs do all day, for those that are too big for the guest.
 *
 *   errands office DIR SEED SECONDS   edits documents below DIR as office programs do: reads one, writes a whole new one
 *                                     beside it, fsync, renames it over the old one; an autosave in between
 *   errands cache DIR SEED SECONDS    a browser's cache: many small files in DIR/cache, compressed and not, an index that is
 *                                     rewritten in place, the oldest deleted
 *   errands mail DIR SEED SECONDS     appends messages to a mailbox, fsync each, rewrites it when it is compacted
 *   errands photos DIR SEED SECONDS   makes thumbnails, then edits: a new file beside the old one, or over it
 *   errands logs DIR SEED SECONDS     appends lines to logs and to a journal
 *   errands torrent DIR SEED SECONDS  a large file arrives in pieces in random order, each checked, at last all
 *   errands vmimage FILE SEED SECONDS     a virtual machine's disk: requests of 4 to 64 KiB of all kinds of content, here and there
 *   errands container FILE SEED SECONDS   an encrypted container that is in use: the same, but all of it is noise
 *   errands defrag DIR SEED SECONDS   copies each file below DIR's folders, fsync, renames the copy over it
 *
 * SECONDS is how long it goes on; torrent and defrag may be ready before.
 */
#include "errands.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void die(const char *fmt, ...)
{
    va_list list;
    va_start(list, fmt);
    fputs("errands: ", stderr);
    vfprintf(stderr, fmt, list);
    fprintf(stderr, ": %s\n", strerror(errno));
    exit(1);
}

uint64_t next(struct day *d) /* splitmix64 */
{
    uint64_t z = d->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

bool on(const struct day *d) { return time(NULL) < d->until; }
void pause_ms(uint64_t ms) { usleep((useconds_t)(ms * 1000)); }

void noise(struct day *d, size_t at, size_t bytes)
{
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
        uint64_t word = next(d);
        memcpy(d->buf + at + i, &word, 8);
    }
}

void prose(struct day *d, size_t bytes)
{
    static const char words[] = "the account of this month was not in order when the letter came and nobody knew what it said ";
    size_t at = next(d) % 40;
    for (size_t i = 0; i < bytes; i++) d->buf[i] = (unsigned char)words[(at += next(d) % 16 == 0 ? 7 : 1) % (sizeof words - 1)];
}

void save(const char *path, const void *data, size_t bytes, int flags, bool sync)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    if (fd < 0) die("%s", path);
    if (write(fd, data, bytes) != (ssize_t)bytes) die("%s", path);
    if (sync) fsync(fd);
    close(fd);
}

size_t load(struct day *d, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) die("%s", path);
    ssize_t n = read(fd, d->buf, BUF_BYTES / 2);
    close(fd);
    return n < 0 ? 0 : (size_t)n;
}

size_t names_list(struct day *d, const char *dir, const char *prefix, size_t count)
{
    DIR *list = opendir(dir);
    if (!list) die("%s", dir);
    for (struct dirent *e; (e = readdir(list)) && count < NAMES_MAX;)
        if (e->d_type != DT_DIR && e->d_name[0] != '.' && strlen(prefix) + strlen(e->d_name) < NAME_BYTES / 2)
            snprintf(d->names[count++], NAME_BYTES, "%s%s", prefix, e->d_name);
    closedir(list);
    return count;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(struct day *);
    } errands[] = {{"office", office}, {"cache", cache}, {"mail", mail}, {"photos", photos}, {"logs", logs},
                   {"torrent", torrent}, {"vmimage", vmimage}, {"container", container}, {"defrag", defrag}};
    for (size_t i = 0; argc == 5 && i < sizeof errands / sizeof *errands; i++) {
        if (strcmp(argv[1], errands[i].name)) continue;
        struct day d = {.dir = argv[2], .state = strtoull(argv[3], NULL, 10), .until = time(NULL) + atoi(argv[4])};
        if (!(d.buf = malloc(BUF_BYTES)) || !(d.names = malloc(NAMES_MAX * sizeof *d.names))) die("memory");
        errands[i].run(&d);
        free(d.buf);
        free(d.names);
        return 0;
    }
    fputs("usage: errands office|cache|mail|photos|logs|torrent|vmimage|container|defrag DIR SEED SECONDS\n", stderr);
    return 2;
}
