/* errands: the parts of the program that errands.c describes. */
#ifndef CHV_CORPUS_ERRANDS_H
#define CHV_CORPUS_ERRANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

enum { NAMES_MAX = 2048, NAME_BYTES = 300, BUF_BYTES = 4 << 20 };

struct day {
    const char *dir; /* or file */
    uint64_t state;
    time_t until;
    unsigned char *buf; /* BUF_BYTES */
    char (*names)[NAME_BYTES];
};

/* --- errands.c --- */
void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
uint64_t next(struct day *d); /* splitmix64 (Steele, Lea, Flood 2014) */
bool on(const struct day *d);
void pause_ms(uint64_t ms);
void noise(struct day *d, size_t at, size_t bytes); /* into d->buf */
void prose(struct day *d, size_t bytes);
/* Write a file with open's flags beside O_WRONLY | O_CREAT; with sync also fsync it. */
void save(const char *path, const void *data, size_t bytes, int flags, bool sync);
size_t load(struct day *d, const char *path); /* into d->buf, half of it at most; returns bytes */
/* Plain files right in dir, hidden ones not: "prefix" + name into d->names from number `count` on; the new count. */
size_t names_list(struct day *d, const char *dir, const char *prefix, size_t count);

/* --- errands_day.c: what is done every day --- */
void office(struct day *d);
void cache(struct day *d);
void mail(struct day *d);
void photos(struct day *d);
void logs(struct day *d);

/* --- errands_disk.c: large files, and much of the disk --- */
void torrent(struct day *d);
void vmimage(struct day *d);
void container(struct day *d);
void defrag(struct day *d);

#endif
