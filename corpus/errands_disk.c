/* errands: large files that are written here and there, and the whole disk tidied up. */
#include "errands.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REQUEST = 16 << 10, PIECES_MAX = 128, ACTIVE = 6 };

static void get(int fd, void *data, size_t bytes, size_t at)
{
    if (pread(fd, data, bytes, (off_t)at) < 0) die("read");
}

static void put(int fd, const void *data, size_t bytes, size_t at)
{
    if (pwrite(fd, data, bytes, (off_t)at) != (ssize_t)bytes) die("write");
}

/* --- a file from many peers ---------------------------------------------------------------------- */

struct share {
    int fd;
    size_t piece_bytes, pieces;
    unsigned order[PIECES_MAX]; /* pieces, by when they are asked for */
};

static void share_order(struct day *d, struct share *s)
{
    for (unsigned i = 0; i < s->pieces; i++) s->order[i] = i;
    for (size_t i = s->pieces; i > 1; i--) {
        size_t other = next(d) % i;
        unsigned piece = s->order[i - 1];
        s->order[i - 1] = s->order[other];
        s->order[other] = piece;
    }
}

/* Pieces in random order, a few of them at a time, each in requests of 16 KiB; what is complete is read back for its hash. */
static void share_receive(struct day *d, struct share *s, uint64_t kib_per_s)
{
    size_t asked = 0, done = 0, have[ACTIVE], piece[ACTIVE];
    for (; asked < ACTIVE; asked++) {
        piece[asked] = s->order[asked];
        have[asked] = 0;
    }
    for (uint64_t requests = 1; done < s->pieces && on(d); requests++) {
        size_t i = next(d) % ACTIVE;
        if (have[i] == s->piece_bytes) continue; /* nothing left to ask for */
        noise(d, 0, REQUEST);
        put(s->fd, d->buf, REQUEST, piece[i] * s->piece_bytes + have[i]);
        if ((have[i] += REQUEST) == s->piece_bytes) {
            get(s->fd, d->buf, s->piece_bytes, piece[i] * s->piece_bytes);
            done++;
            if (asked < s->pieces) {
                piece[i] = s->order[asked++];
                have[i] = 0;
            }
        }
        if (requests % 16 == 0) pause_ms(16 * (REQUEST >> 10) * 1000 / kib_per_s);
    }
}

void torrent(struct day *d)
{
    char path[512], ready[512];
    struct share s = {.piece_bytes = (size_t)(256 << 10) << next(d) % 3};
    s.pieces = ((size_t)(12 + next(d) % 16) << 20) / s.piece_bytes;
    bool sparse = next(d) % 3 == 0;
    snprintf(path, sizeof path, "%s/film.mkv.part", d->dir);
    snprintf(ready, sizeof ready, "%s/film.mkv", d->dir);
    if ((s.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644)) < 0) die("%s", path);
    off_t size = (off_t)(s.piece_bytes * s.pieces);
    if ((sparse || fallocate(s.fd, 0, 0, size) < 0) && ftruncate(s.fd, size) < 0) die("%s", path);
    share_order(d, &s);
    share_receive(d, &s, 800 + next(d) % 4000);
    fsync(s.fd);
    posix_fadvise(s.fd, 0, 0, POSIX_FADV_DONTNEED); /* it is checked as it is on the disk */
    for (size_t i = 0; i < s.pieces; i++) get(s.fd, d->buf, s.piece_bytes, i * s.piece_bytes);
    close(s.fd);
    if (rename(path, ready) < 0) die("%s", path);
}

/* --- a disk in a file ---------------------------------------------------------------------------- */

/* What a guest writes: compressed, text, zeros, or what was there with a few bytes changed. To a container all of it is noise. */
static void content(struct day *d, int fd, size_t bytes, size_t at, bool sealed)
{
    uint64_t kind = next(d) % 10;
    if (sealed || kind < 3) {
        noise(d, 0, bytes);
    } else if (kind < 6) {
        prose(d, bytes);
    } else if (kind == 6) {
        memset(d->buf, 0, bytes);
    } else {
        get(fd, d->buf, bytes, at);
        for (unsigned i = 0; i < 6; i++) noise(d, next(d) % (bytes / 8 - 8) * 8, 64);
    }
}

static void image(struct day *d, bool sealed)
{
    int fd = open(d->dir, O_RDWR | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) die("%s", d->dir);
    size_t pages = (size_t)st.st_size / 4096, hot = pages / 16, from = 0;
    if (pages < 1024) die("%s is too small", d->dir);
    uint64_t sync_every = 2u << next(d) % 5, pause = 5 + next(d) % 60;
    for (uint64_t i = 0; on(d); i++) {
        if (i % 64 == 0) from = next(d) % (pages - hot - 512);
        size_t bytes = (size_t)4096 << next(d) % 5;
        size_t at = (next(d) % 10 < 7 ? from + next(d) % hot : next(d) % (pages - 512)) * 4096;
        uint64_t what = next(d) % 16;
        if (what < 4) {
            get(fd, d->buf, bytes, at);
        } else {
            if (what == 4) bytes = (size_t)(16 + next(d) % 240) * 4096; /* a file is copied in */
            if (what < 8) get(fd, d->buf, bytes, at);
            content(d, fd, bytes, at, sealed);
            put(fd, d->buf, bytes, at);
        }
        if (i % sync_every == 0) fdatasync(fd);
        pause_ms(next(d) % (2 * pause));
    }
    close(fd);
}

void vmimage(struct day *d) { image(d, false); }
void container(struct day *d) { image(d, true); }

/* --- tidying up ---------------------------------------------------------------------------------- */

static void copy_over(struct day *d, const char *path)
{
    char new[600];
    snprintf(new, sizeof new, "%s.defrag", path);
    int in = open(path, O_RDONLY | O_CLOEXEC), out = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    struct stat st;
    if (in < 0 || out < 0 || fstat(in, &st) < 0) die("%s", path);
    if (st.st_size > 0 && fallocate(out, 0, 0, st.st_size) < 0 && errno == ENOSPC) die("%s", new);
    ssize_t n;
    for (size_t at = 0; (n = pread(in, d->buf, 1 << 20, (off_t)at)) > 0; at += (size_t)n) put(out, d->buf, (size_t)n, at);
    fsync(out);
    close(in);
    close(out);
    if (rename(new, path) < 0) die("%s", path);
}

void defrag(struct day *d)
{
    size_t count = 0;
    DIR *list = opendir(d->dir);
    if (!list) die("%s", d->dir);
    for (struct dirent *e; (e = readdir(list));) {
        char path[512], prefix[300];
        struct stat st;
        snprintf(path, sizeof path, "%.200s/%s", d->dir, e->d_name);
        if (e->d_name[0] == '.' || lstat(path, &st) < 0 || !S_ISDIR(st.st_mode)) continue;
        snprintf(prefix, sizeof prefix, "%s/", e->d_name);
        count = names_list(d, path, prefix, count);
    }
    closedir(list);
    for (size_t i = 0; i < count && on(d); i++) {
        char path[512];
        struct stat st;
        snprintf(path, sizeof path, "%.200s/%s", d->dir, d->names[i]);
        if (lstat(path, &st) == 0 && S_ISREG(st.st_mode)) copy_over(d, path);
    }
}
