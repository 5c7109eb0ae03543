/* decoy: what happens inside the throwaway guest: makes a tree of decoy files, and emulates how
 * ransomware's writes look from below. It is a load generator, not a weapon:
 *
 *  - it runs only inside the guest of tests/guest (guard() below) and refuses anywhere else;
 *  - it touches only a tree that it made itself in the same boot (tree_open() below);
 *  - what it does to a file is an XOR with a keystream made from the token in the tree's marker
 *    file, which stays there in the clear, so the same stream undoes it. There is no cipher, no key
 *    exchange, no note, no spreading, nothing that outlives the guest.
 *
 *   decoy make DIR SEEDS [KIB]   make DIR and fill it from the text files in SEEDS
 *   decoy lock DIR               overwrite every file of DIR in place, rename it to *.locked
 */
#include <cpuid.h>
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
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REFUSED = 3, TOKEN_TEXT = 33, DEPTH_MAX = 8 };
#define MARKER ".decoy"
#define MARKER_COPY "/run/decoy"

static void __attribute__((noreturn, format(printf, 2, 3))) die(int code, const char *fmt, ...)
{
    va_list list;
    va_start(list, fmt);
    fputs("decoy: ", stderr);
    vfprintf(stderr, fmt, list);
    fputc('\n', stderr);
    exit(code);
}

/* Read a small file whole into buf as text, trailing newline removed; false when that fails. */
static bool slurp(const char *path, char *buf, size_t bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t n = read(fd, buf, bytes - 1);
    close(fd);
    if (n < 0) return false;
    buf[n] = 0;
    if (n > 0 && buf[n - 1] == '\n') buf[n - 1] = 0;
    return true;
}

/* --- the guard: every condition must hold, or nothing is touched -------------------------- */

static void guard(void)
{
    char text[4096], token[64], want[96];
    if (!slurp("/etc/chronovisor-guest", token, sizeof token) || strlen(token) != TOKEN_TEXT - 1)
        die(REFUSED, "refuses: this is not the throwaway guest (no /etc/chronovisor-guest)");
    snprintf(want, sizeof want, " chronovisor.guest=%s", token);
    if (!slurp("/proc/cmdline", text, sizeof text) || !strstr(text, want))
        die(REFUSED, "refuses: the kernel was not started with this guest's token");
    if (!slurp("/proc/mounts", text, sizeof text) || strncmp(text, "rootfs / rootfs ", 16) != 0)
        die(REFUSED, "refuses: the root file system is not an initramfs");
    if (!slurp("/proc/1/comm", text, sizeof text) || strcmp(text, "init") != 0)
        die(REFUSED, "refuses: process 1 is not the guest's init");
    unsigned a, b, c = 0, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 31)) die(REFUSED, "refuses: not in a virtual machine");
    DIR *net = opendir("/sys/class/net");
    for (struct dirent *e; net && (e = readdir(net));)
        if (e->d_name[0] != '.' && strcmp(e->d_name, "lo") != 0)
            die(REFUSED, "refuses: there is a network interface (%.32s)", e->d_name);
    if (net) closedir(net);
}

/* --- small tools --------------------------------------------------------------------------- */

static uint64_t next(uint64_t *state) /* splitmix64 (Steele, Lea, Flood 2014) */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void write_all(int fd, const void *data, size_t bytes, off_t at, const char *name)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pwrite(fd, (const char *)data + done, bytes - done, at + (off_t)done);
        if (n <= 0) die(2, "%s: %s", name, n < 0 ? strerror(errno) : "short write");
        done += (size_t)n;
    }
}

/* --- making the tree ----------------------------------------------------------------------- */

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

static void tree_make(const char *dir, const char *seed_dir, size_t kib)
{
    static const struct {
        const char *folder, *pattern;
        size_t (*make)(char *, size_t, const struct seeds *, uint64_t *);
    } kinds[] = {
        {"letters", "letter-%03u.txt", make_letter},
        {"accounts", "accounts-%03u.csv", make_table},
        {"pictures", "holiday-%03u.bmp", make_picture},
        {"logs", "system-%03u.log", make_log},
    };
    struct seeds seeds = seeds_load(seed_dir);
    uint64_t random[2], state;
    if (getrandom(random, sizeof random, 0) != sizeof random) die(2, "getrandom: %s", strerror(errno));
    if (mkdir(dir, 0755) < 0) die(2, "%s: %s", dir, strerror(errno)); /* never takes over what is there */
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
    size_t room = 1 << 20, total = 0;
    char *buf = malloc(room);
    if (!buf) die(2, "out of memory");
    state = random[0] ^ random[1];
    unsigned files = 0;
    for (unsigned k = 0; k < 4; k++) {
        snprintf(path, sizeof path, "%s/%s", dir, kinds[k].folder);
        if (mkdir(path, 0755) < 0) die(2, "%s: %s", path, strerror(errno));
    }
    for (; total < kib * 1024; files++) {
        unsigned k = files % 4;
        int at = snprintf(path, sizeof path, "%s/%s/", dir, kinds[k].folder);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(path + at, sizeof path - (size_t)at, kinds[k].pattern, files / 4 + 1);
#pragma GCC diagnostic pop
        size_t bytes = kinds[k].make(buf, room, &seeds, &state);
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

/* --- the emulator --------------------------------------------------------------------------- */

struct run {
    uint64_t key;
    dev_t device;
    unsigned files;
    uint64_t bytes;
};

/* Open a tree that `make` made in this very boot; anything else is refused. */
static int tree_open(const char *dir, struct run *run)
{
    char path[4096], mine[256], copy[256], boot[64], token[TOKEN_TEXT + 1], boot_then[64];
    snprintf(path, sizeof path, "%s/" MARKER, dir);
    if (!slurp(path, mine, sizeof mine) || !slurp(MARKER_COPY, copy, sizeof copy) || strcmp(mine, copy) != 0)
        die(REFUSED, "refuses: %s is not a decoy tree made by this program", dir);
    if (!slurp("/proc/sys/kernel/random/boot_id", boot, sizeof boot) ||
        sscanf(mine, "decoy %32s %63s", token, boot_then) != 2 || strcmp(boot, boot_then) != 0)
        die(REFUSED, "refuses: %s was not made in this boot", dir);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) die(2, "%s: %s", dir, strerror(errno));
    run->device = st.st_dev;
    run->key = strtoull(token + 16, NULL, 16);
    return fd;
}

static void lock_file(int dir, const char *name, const struct stat *st, struct run *run)
{
    static uint64_t chunk[8192];
    int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) die(2, "%s: %s", name, strerror(errno));
    uint64_t state = run->key ^ st->st_ino;
    for (off_t at = 0; at < st->st_size;) {
        ssize_t n = pread(fd, chunk, sizeof chunk, at);
        if (n <= 0) break;
        for (size_t i = 0; i < ((size_t)n + 7) / 8; i++) chunk[i] ^= next(&state);
        write_all(fd, chunk, (size_t)n, at, name);
        at += n;
        run->bytes += (uint64_t)n;
    }
    if (run->files % 8 == 7) syncfs(fd); /* what is written reaches the disk while it goes on */
    close(fd);
    char locked[300];
    snprintf(locked, sizeof locked, "%.255s.locked", name);
    if (renameat(dir, name, dir, locked) < 0) die(2, "%s: %s", name, strerror(errno));
    run->files++;
}

static void lock_folder(int fd, struct run *run, unsigned depth)
{
    char names[512][256];
    unsigned count = 0;
    DIR *d = fdopendir(fd);
    if (!d) die(2, "fdopendir: %s", strerror(errno));
    /* All names first: a renamed entry may come up again. */
    for (struct dirent *e; (e = readdir(d)) && count < 512;)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strcmp(e->d_name, MARKER))
            snprintf(names[count++], 256, "%s", e->d_name);
    for (unsigned i = 0; i < count; i++) {
        struct stat st;
        if (fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != run->device) continue;
        size_t length = strlen(names[i]);
        if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
            int sub = openat(fd, names[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (sub >= 0) lock_folder(sub, run, depth + 1);
        } else if (S_ISREG(st.st_mode) && st.st_nlink == 1 &&
                   !(length > 7 && strcmp(names[i] + length - 7, ".locked") == 0)) {
            lock_file(fd, names[i], &st, run);
        }
    }
    closedir(d);
}

int main(int argc, char **argv)
{
    guard();
    if (argc >= 4 && strcmp(argv[1], "make") == 0) {
        tree_make(argv[2], argv[3], argc > 4 ? strtoul(argv[4], NULL, 10) : 8192);
    } else if (argc == 3 && strcmp(argv[1], "lock") == 0) {
        struct run run = {0};
        lock_folder(tree_open(argv[2], &run), &run, 0);
        printf("locked %u decoy files, %" PRIu64 " KiB\n", run.files, run.bytes >> 10);
    } else {
        die(2, "usage: decoy make DIR SEEDS [KIB] | decoy lock DIR");
    }
    return 0;
}
