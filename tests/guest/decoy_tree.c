/* decoy: making the tree. Every byte of it is made here, from a seed and the licence texts of the guest. */
#include "decoy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

struct seeds {
    char *text; /* all seed files, one after the other */
    size_t bytes;
};

static struct seeds seeds_load(const char *dir)
{
    struct seeds s = {0};
    DIR *d = opendir(dir);
    if (!d) die(2, "%s: %s", dir, strerror(errno));
    for (struct dirent *e; (e = readdir(d));) {
        int fd = openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC);
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
            if (fd >= 0) close(fd);
            continue;
        }
        s.text = realloc(s.text, s.bytes + (size_t)st.st_size + 1);
        if (!s.text) die(2, "out of memory");
        ssize_t n = read(fd, s.text + s.bytes, (size_t)st.st_size);
        if (n > 0) s.bytes += (size_t)n;
        close(fd);
    }
    closedir(d);
    if (s.bytes < 4096) die(2, "%s: too little text to make documents from", dir);
    return s;
}

static size_t make_letter(char *out, size_t room, const struct seeds *s, uint64_t *state)
{
    size_t n = (size_t)snprintf(out, room, "Letter %08" PRIx32 "\n\n", (uint32_t)next(state));
    size_t length = 3000 + next(state) % 60000, from = next(state) % (s->bytes - 2000);
    if (length > s->bytes - from) length = s->bytes - from;
    if (length > room - n) length = room - n;
    memcpy(out + n, s->text + from, length);
    return n + length;
}

static size_t make_table(char *out, size_t room, const struct seeds *s, uint64_t *state)
{
    (void)s;
    size_t n = (size_t)snprintf(out, room, "date,account,amount,balance\n");
    unsigned rows = 400 + (unsigned)(next(state) % 2500);
    long balance = 100000;
    for (unsigned i = 0; i < rows && n + 80 < room; i++) {
        long amount = (long)(next(state) % 20000) - 9000;
        balance += amount;
        n += (size_t)snprintf(out + n, room - n, "2026-%02u-%02u,%05" PRIu32 ",%ld.%02ld,%ld.%02ld\n", i / 250 % 12 + 1,
                              i % 28 + 1, (uint32_t)(next(state) % 100000), amount / 100, labs(amount % 100), balance / 100,
                              labs(balance % 100));
    }
    return n;
}

/* A BMP picture: a sky, hills and the noise of a cheap sensor. */
static size_t make_picture(char *out, size_t room, const struct seeds *s, uint64_t *state)
{
    (void)s;
    uint32_t width = 160 + (uint32_t)(next(state) % 5) * 64, height = 120 + (uint32_t)(next(state) % 4) * 40;
    uint32_t bytes = 54 + width * height * 3; /* width * 3 is a multiple of 4, so rows need no padding */
    if (bytes > room) return 0;
    unsigned char *p = (unsigned char *)out;
    memset(p, 0, 54);
    memcpy(p, "BM", 2);
    uint32_t fields[] = {54, 40, width, height, 1u | 24u << 16};
    memcpy(p + 2, &bytes, 4);
    memcpy(p + 10, fields, sizeof fields);
    uint32_t slope = 1 + (uint32_t)(next(state) % 7);
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++) {
            unsigned char *q = p + 54 + (y * width + x) * 3;
            uint32_t hill = height / 4 + (x * slope / 4) % (height / 3), noise = (uint32_t)(next(state) & 7);
            bool sky = y > hill;
            q[0] = (unsigned char)((sky ? 200 : 40) + noise);
            q[1] = (unsigned char)((sky ? 100 + 100 * y / height : 110) + noise);
            q[2] = (unsigned char)((sky ? 90 : 30 + 60 * y / height) + noise);
        }
    return bytes;
}

static size_t make_log(char *out, size_t room, const struct seeds *s, uint64_t *state)
{
    static const char *const what[] = {"login", "logout", "backup finished", "mail fetched", "disk check", "printing"};
    size_t n = 0, lines = 500 + next(state) % 1500;
    (void)s;
    for (size_t i = 0; i < lines && n + 100 < room; i++)
        n += (size_t)snprintf(out + n, room - n, "2026-11-%02zu %02zu:%02zu host service[%u]: %s ok (%u ms)\n", i / 80 % 28 + 1,
                              i / 60 % 24, i % 60, (unsigned)(next(state) % 30000), what[next(state) % 6],
                              (unsigned)(next(state) % 900));
    return n;
}

/* --- kinds that are compressed already, or binary ------------------------------------------------ */

static size_t noise(char *out, size_t bytes, uint64_t *state)
{
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
        uint64_t word = next(state);
        memcpy(out + i, &word, 8);
    }
    return bytes & ~(size_t)7;
}

/* A ZIP file of a few members, as office programs write: headers in the clear, deflated (so noise) contents. */
static size_t make_office(char *out, size_t room, const struct seeds *s, uint64_t *state)
{
    static const char *const member[] = {"[Content_Types].xml", "word/document.xml", "word/styles.xml", "word/media/image1.png"};
    size_t n = 0;
    (void)s;
    for (size_t i = 0; i < 4; i++) {
        uint32_t bytes = 2048 + (uint32_t)(next(state) % (i & 1 ? 120000 : 8000)), name = (uint32_t)strlen(member[i]);
        if (n + bytes + 128 > room) break;
        uint32_t head[7] = {20u | 8u << 16, 0x2f5d0000u, (uint32_t)next(state), bytes & ~7u, bytes * 4, name, 0};
        memcpy(out + n, "PK\3\4", 4);
        memcpy(out + n + 4, head, sizeof head);
        memcpy(out + n + 32, member[i], name);
        n += 32 + name;
        n += noise(out + n, bytes, state);
    }
    return n;
}

/* A JPEG as a camera writes it: a header, then entropy-coded data in which 0xff is followed by a zero. */
static size_t make_photo(char *out, size_t room, const struct seeds *s, uint64_t *state)
{
    size_t bytes = 80000 + next(state) % 700000;
    (void)s;
    if (bytes > room) bytes = room;
    noise(out, bytes, state);
    memset(out, 0, 600);
    memcpy(out, "\xff\xd8\xff\xe1\x02\x40" "Exif", 10);
    for (size_t i = 600; i + 1 < bytes; i++)
        if ((unsigned char)out[i] == 0xff) out[i + 1] = 0;
    return bytes;
}

/* Pages of 4 KiB, as a database keeps them: a header, records from the end, room between. */
static size_t make_database(char *out, size_t room, const struct seeds *s, uint64_t *state)
{
    size_t pages = 32 + next(state) % 200, n = 0;
    for (size_t p = 0; p < pages && n + 4096 <= room; p++, n += 4096) {
        char *page = out + n;
        memset(page, 0, 4096);
        size_t used = 200 + next(state) % 3600, at = 4096;
        snprintf(page, 100, "page %zu of %zu", p, pages);
        while (used > 120) {
            size_t length = 40 + next(state) % 80, from = next(state) % (s->bytes - 200);
            at -= length;
            used -= length;
            uint64_t id = next(state);
            memcpy(page + at, &id, 8);
            memcpy(page + at + 8, s->text + from, length - 8);
        }
    }
    return n;
}

static size_t make_film(char *out, size_t room, const struct seeds *s, uint64_t *state)
{
    size_t bytes = 1000000 + next(state) % 3000000;
    (void)s;
    if (bytes > room) bytes = room;
    noise(out, bytes, state);
    memcpy(out, "\0\0\0\x18" "ftypmp42", 12);
    return bytes;
}

/* --- small files, of which a large home is full -------------------------------------------------- */

/* Around `median`, and now and then up to 64 times that. */
static size_t few_or_many(size_t median, uint64_t *state)
{
    size_t low = median >> next(state) % 4, high = next(state) % 2 ? median : median << next(state) % 7;
    return low + next(state) % (high + 1);
}

static size_t make_note(char *out, size_t room, const struct seeds *s, uint64_t *state)
{
    size_t n = (size_t)snprintf(out, room, "# Note %08" PRIx32 "\n\n", (uint32_t)next(state));
    size_t length = few_or_many(1500, state), from = next(state) % (s->bytes - 2000);
    if (length > s->bytes - from) length = s->bytes - from;
    memcpy(out + n, s->text + from, length);
    return n + length;
}

/* A message; every third has something attached, as base64. */
static size_t make_message(char *out, size_t room, const struct seeds *s, uint64_t *state)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = (size_t)snprintf(out, room, "From: a@decoy\nTo: b@decoy\nMessage-ID: <%016" PRIx64 "@decoy>\n\n", next(state));
    n += make_note(out + n, room - n, s, state);
    if (next(state) % 3) return n;
    for (size_t lines = few_or_many(400, state); lines && n + 80 < room; lines--) {
        uint64_t bits = 0;
        for (unsigned i = 0; i < 76; i++, bits >>= 6) {
            if (i % 10 == 0) bits = next(state);
            out[n++] = digit[bits & 63];
        }
        out[n++] = '\n';
    }
    return n;
}

static size_t make_code(char *out, size_t room, const struct seeds *s, uint64_t *state)
{
    static const char *const word[] = {"count", "name", "line", "index", "value", "total", "read", "write", "open", "next"};
    size_t n = 0;
    (void)s;
    for (size_t i = 0, lines = few_or_many(150, state); i < lines && n + 120 < room; i++) {
        const char *a = word[next(state) % 10], *b = word[next(state) % 10];
        n += (size_t)snprintf(out + n, room - n, i % 9 ? "    %s_%s = %s(%s + %u);\n" : "}\n\nint %s_%s(int %s, int %s) /* %u */\n{\n", a,
                              b, b, a, (unsigned)(next(state) % 1000));
    }
    return n;
}

static size_t make_thumbnail(char *out, size_t room, const struct seeds *s, uint64_t *state)
{
    size_t bytes = 3000 + few_or_many(8000, state);
    (void)room;
    (void)s;
    noise(out, bytes, state);
    memcpy(out, "\x89PNG\r\n\x1a\n", 8);
    return bytes;
}

typedef size_t make_fn(char *, size_t, const struct seeds *, uint64_t *);
struct kind {
    const char *folder, *pattern;
    make_fn *make;
    unsigned share[2]; /* how often of 100: in a household's tree, in a large one */
};
static const struct kind kinds[] = {
    {"letters", "letter-%03u.txt", make_letter, {30, 8}},    {"accounts", "accounts-%03u.csv", make_table, {12, 3}},
    {"pictures", "holiday-%03u.bmp", make_picture, {5, 1}},  {"logs", "system-%03u.log", make_log, {8, 2}},
    {"office", "report-%03u.docx", make_office, {21, 5}},    {"photos", "img-%03u.jpg", make_photo, {15, 7}},
    {"databases", "book-%03u.db", make_database, {7, 1}},    {"films", "clip-%03u.mp4", make_film, {2, 1}},
    {"notes", "note-%03u.md", make_note, {0, 20}},           {"messages", "%03u.eml", make_message, {0, 22}},
    {"code", "part_%03u.c", make_code, {0, 18}},             {"thumbnails", "%03u.png", make_thumbnail, {0, 12}},
};
enum { KINDS = sizeof kinds / sizeof *kinds, PLAIN_KINDS = 4, FILE_MAX = 4 << 20, LARGE_KIB = 64 << 10, FOLDER_FILES = 200 };

static unsigned kind_pick(uint64_t *state, bool large)
{
    unsigned at = (unsigned)(next(state) % 100), k = 0;
    while (k + 1 < KINDS && at >= kinds[k].share[large]) at -= kinds[k++].share[large];
    return k;
}

/* The marker in the tree and its copy outside, by which `attack` knows a tree of this boot. */
static void markers_write(const char *dir, const uint64_t random[2])
{
    char path[4096], token[TOKEN_TEXT + 1], boot[64], line[256];
    snprintf(token, sizeof token, "%016" PRIx64 "%016" PRIx64, random[0], random[1]);
    if (!slurp("/proc/sys/kernel/random/boot_id", boot, sizeof boot)) die(2, "no boot_id");
    snprintf(line, sizeof line, "decoy %s %s\n", token, boot);
    snprintf(path, sizeof path, "%s/" MARKER, dir);
    const char *const markers[] = {path, MARKER_COPY};
    for (int i = 0; i < 2; i++) {
        int fd = open(markers[i], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
        if (fd < 0) die(2, "%s: %s", markers[i], strerror(errno));
        write_all(fd, line, strlen(line), 0, markers[i]);
        close(fd);
    }
}

/* The kinds of a large tree have folders of 200 files, which are made on the way. */
static void file_path(char *path, size_t bytes, const char *dir, const struct kind *kind, unsigned number)
{
    int at = snprintf(path, bytes, "%s/%s/", dir, kind->folder);
    if (!kind->share[0]) {
        at += snprintf(path + at, bytes - (size_t)at, "%02u/", number / FOLDER_FILES);
        if (mkdir(path, 0755) < 0 && errno != EEXIST) die(2, "%s: %s", path, strerror(errno));
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(path + at, bytes - (size_t)at, kind->pattern, number);
#pragma GCC diagnostic pop
}

void tree_make(const char *dir, const char *seed_dir, size_t kib, const uint64_t *seed)
{
    struct seeds seeds = seeds_load(seed_dir);
    uint64_t random[2];
    if (getrandom(random, sizeof random, 0) != sizeof random) die(2, "getrandom: %s", strerror(errno));
    if (mkdir(dir, 0755) < 0) die(2, "%s: %s", dir, strerror(errno)); /* never takes over what is there */
    markers_write(dir, random);
    char path[4096], *buf = malloc(FILE_MAX);
    if (!buf) die(2, "out of memory");
    uint64_t state = seed ? *seed : random[0] ^ random[1];
    unsigned files = 0, count[KINDS] = {0};
    size_t total = 0;
    bool large = seed && kib > LARGE_KIB;
    for (unsigned k = 0; k < KINDS; k++) {
        if (seed ? !kinds[k].share[large] : k >= PLAIN_KINDS) continue;
        snprintf(path, sizeof path, "%s/%s", dir, kinds[k].folder);
        if (mkdir(path, 0755) < 0) die(2, "%s: %s", path, strerror(errno));
    }
    for (; total < kib * 1024; files++) {
        unsigned k = seed ? kind_pick(&state, large) : files % PLAIN_KINDS;
        file_path(path, sizeof path, dir, &kinds[k], ++count[k]);
        size_t bytes = kinds[k].make(buf, FILE_MAX, &seeds, &state);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0) die(2, "%s: %s", path, strerror(errno));
        write_all(fd, buf, bytes, 0, path);
        close(fd);
        total += bytes;
    }
    printf("made %u decoy files, %zu KiB\n", files, total >> 10);
    free(buf);
    free(seeds.text);
}
