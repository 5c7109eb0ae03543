/* decoy: what is done to one file of the tree. Files are opened in their folder, by a name that `collect` in decoy_attack.c found
 * to be a plain file of the tree with no other name, and never through a link. */
#include "decoy_attack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* XOR with the keystream of this tree and file name at this place; the same again undoes it. Interleaved: 16 bytes of 32. */
static void scramble(const struct run *run, const char *name, uint64_t *words, size_t bytes, off_t at)
{
    uint64_t state = run->tree.key;
    size_t length = strlen(name);
    bool interleave = run->pattern->interleave;
    if (length > SUFFIX_BYTES && strcmp(name + length - SUFFIX_BYTES, SUFFIX) == 0) length -= SUFFIX_BYTES;
    for (size_t i = 0; i < length; i++) state = (state ^ (unsigned char)name[i]) * 0x100000001b3u; /* FNV-1a */
    state += (uint64_t)at / 8 * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < (bytes + 7) / 8; i++) {
        uint64_t key = next(&state);
        if (!interleave || !(i & 2)) words[i] ^= key;
    }
}

static int target_open(const struct target *t, int flags)
{
    int fd = openat(t->dir, t->name, flags | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) die(2, "%s: %s", t->name, strerror(errno));
    return fd;
}

static uint64_t in_place(struct run *run, const struct target *t, uint64_t *buf)
{
    const struct pattern *p = run->pattern;
    int fd = target_open(t, O_RDWR);
    off_t end = p->head_only && t->size > run->head ? run->head : t->size;
    size_t chunk = p->stripes ? STRIPE : run->chunk;
    uint64_t bytes = 0;
    for (off_t at = 0; at < end;) {
        size_t want = end - at < (off_t)chunk ? (size_t)(end - at) : chunk;
        ssize_t n = pread(fd, buf, want, at);
        if (n <= 0) break;
        scramble(run, t->name, buf, (size_t)n, at);
        changing(run);
        write_all(fd, buf, (size_t)n, at, t->name);
        bytes += (uint64_t)n;
        at += p->stripes ? 2 * n : n;
    }
    if (run->sync_file) fsync(fd);
    close(fd);
    return bytes;
}

static uint64_t overwrite(struct run *run, const struct target *t, uint64_t *buf, bool zeros)
{
    int fd = target_open(t, O_WRONLY);
    for (off_t at = 0; at < t->size;) {
        size_t want = t->size - at < (off_t)run->chunk ? (size_t)(t->size - at) : run->chunk;
        memset(buf, 0, want);
        if (!zeros) scramble(run, t->name, buf, want, at);
        changing(run);
        write_all(fd, buf, want, at, t->name);
        at += (off_t)want;
    }
    fsync(fd); /* or the deletion that follows would leave nothing to write */
    close(fd);
    return (uint64_t)t->size;
}

static size_t base64(const unsigned char *in, size_t bytes, char *out)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = 0;
    for (size_t i = 0; i < bytes; i += 3) {
        uint32_t v = (uint32_t)in[i] << 16 | (i + 1 < bytes ? (uint32_t)in[i + 1] << 8 : 0) | (i + 2 < bytes ? in[i + 2] : 0);
        for (int shift = 18; shift >= 0; shift -= 6) out[n++] = digit[v >> shift & 63];
    }
    return n;
}

/* In place again, but it is the kernel that reads and writes: the program only touches memory. */
static uint64_t mapped(struct run *run, const struct target *t)
{
    int fd = target_open(t, O_RDWR);
    struct stat st;
    if (fstat(fd, &st) < 0) die(2, "%s: %s", t->name, strerror(errno));
    if (st.st_size == 0) {
        close(fd);
        return 0;
    }
    size_t size = (size_t)st.st_size, chunk = run->chunk;
    char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) die(2, "%s: mmap: %s", t->name, strerror(errno));
    for (size_t at = 0; at < size; at += chunk) { /* the last word may end behind the file, in its last page */
        changing(run);
        scramble(run, t->name, (uint64_t *)(void *)(map + at), size - at < chunk ? size - at : chunk, (off_t)at);
    }
    if (run->sync_file) msync(map, size, MS_SYNC);
    munmap(map, size);
    close(fd);
    return size;
}

/* Write `name` beside it, scrambled and perhaps encoded; the old one is the caller's to get rid of. */
static uint64_t copy(struct run *run, const struct target *t, const char *name, uint64_t *buf)
{
    char *text = NULL;
    bool encode = run->pattern->method == ENCODE;
    if (encode && !(text = malloc(CHUNK_MAX * 4 / 3 + 8))) die(2, "out of memory");
    int in = target_open(t, O_RDONLY), out = -1;
    size_t chunk = encode ? run->chunk / 24 * 24 : run->chunk; /* whole words and whole groups of base64 */
    off_t at = 0, to = 0;
    for (;;) {
        ssize_t n = pread(in, buf, chunk, at);
        if (n < 0) die(2, "%s: %s", t->name, strerror(errno));
        changing(run);
        if (out < 0) out = openat(t->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (out < 0) die(2, "%s: %s", name, strerror(errno));
        if (n == 0) break;
        scramble(run, t->name, buf, (size_t)n, at);
        size_t bytes = encode ? base64((unsigned char *)buf, (size_t)n, text) : (size_t)n;
        write_all(out, encode ? text : (char *)buf, bytes, to, name);
        at += n;
        to += (off_t)bytes;
    }
    if (run->sync_file) fsync(out);
    close(out);
    close(in);
    free(text);
    return (uint64_t)at;
}

uint64_t treat(struct run *run, const struct target *t, uint64_t *buf)
{
    const struct pattern *p = run->pattern;
    char locked[300], temporary[300];
    uint64_t bytes = 0;
    snprintf(locked, sizeof locked, "%.255s" SUFFIX, t->name);
    snprintf(temporary, sizeof temporary, "~%.255s.tmp", t->name);
    switch (p->method) {
    case IN_PLACE: bytes = in_place(run, t, buf); break;
    case MAPPED: bytes = mapped(run, t); break;
    case COPY:
    case ENCODE: bytes = copy(run, t, locked, buf); break;
    case COPY_WIPE:
        bytes = copy(run, t, locked, buf);
        overwrite(run, t, buf, run->zeros);
        break;
    case REPLACE: bytes = copy(run, t, temporary, buf); break;
    case WIPE: bytes = overwrite(run, t, buf, run->zeros); break;
    }
    changing(run);
    if (p->method == REPLACE) {
        if (renameat(t->dir, temporary, t->dir, t->name) < 0) die(2, "%s: %s", t->name, strerror(errno));
    } else if (p->method != IN_PLACE && p->method != MAPPED && unlinkat(t->dir, t->name, 0) < 0) {
        die(2, "%s: %s", t->name, strerror(errno));
    }
    if (p->rename && renameat(t->dir, t->name, t->dir, locked) < 0) die(2, "%s: %s", t->name, strerror(errno));
    return bytes;
}
