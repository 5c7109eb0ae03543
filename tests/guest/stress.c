/* stress: a small file system load, like fsstress: `stress DIR SEED STEPS` creates,
 * overwrites, extends, truncates, renames, links and deletes files below DIR, from a seed. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAMES = 60, FOLDERS = 5, CHUNK = 65536 };

static uint64_t next(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void pick(char *path, size_t bytes, const char *dir, uint64_t *state)
{
    snprintf(path, bytes, "%s/d%" PRIu64 "/f%" PRIu64, dir, next(state) % FOLDERS, next(state) % NAMES);
}

/* Write `length` bytes of recognisable or random content at `at`. */
static int scribble(const char *path, int flags, off_t at, size_t length, uint64_t *state)
{
    static uint64_t buf[CHUNK / 8];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
    if (fd < 0) return -errno;
    bool random = next(state) % 2;
    for (size_t done = 0; done < length;) {
        for (size_t i = 0; i < CHUNK / 8; i++) buf[i] = random ? next(state) : 0x2e6c6f2e6c6f6c20u + i / 64;
        size_t n = length - done < CHUNK ? length - done : CHUNK;
        ssize_t w = pwrite(fd, buf, n, at + (off_t)done);
        if (w < 0) {
            int r = -errno;
            close(fd);
            return r;
        }
        done += (size_t)w;
    }
    if (next(state) % 8 == 0) fsync(fd);
    close(fd);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: stress DIR SEED STEPS\n");
        return 2;
    }
    uint64_t state = strtoull(argv[2], NULL, 10), steps = strtoull(argv[3], NULL, 10), failed = 0;
    char a[4096], b[4096];
    for (int i = 0; i < FOLDERS; i++) {
        snprintf(a, sizeof a, "%s/d%d", argv[1], i);
        if (mkdir(a, 0755) < 0 && errno != EEXIST) {
            perror(a);
            return 1;
        }
    }
    for (uint64_t step = 0; step < steps; step++) {
        pick(a, sizeof a, argv[1], &state);
        pick(b, sizeof b, argv[1], &state);
        int r = 0;
        switch (next(&state) % 10) {
        case 0:
        case 1:
        case 2: r = scribble(a, O_TRUNC, 0, next(&state) % 200000, &state); break;
        case 3:
        case 4: r = scribble(a, 0, (off_t)(next(&state) % 150000), next(&state) % 30000, &state); break;
        case 5: r = scribble(a, O_APPEND, 0, next(&state) % 20000, &state); break;
        case 6: r = truncate(a, (off_t)(next(&state) % 100000)) < 0 ? -errno : 0; break;
        case 7: r = rename(a, b) < 0 ? -errno : 0; break;
        case 8: r = link(a, b) < 0 ? -errno : 0; break;
        default: r = unlink(a) < 0 ? -errno : 0; break;
        }
        if (r < 0 && r != -ENOENT && r != -EEXIST) {
            fprintf(stderr, "stress: step %" PRIu64 ": %s: %s\n", step, a, strerror(-r));
            failed++;
        }
    }
    printf("stress: %" PRIu64 " steps, %" PRIu64 " failed\n", steps, failed);
    return failed > 0;
}
