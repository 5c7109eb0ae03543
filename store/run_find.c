/* Looking into hash runs, and keeping small what of them is resident. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/run.h"
#include "store/run_file.h"

#define SCAN_TAGS 256u               /* a bucket has some ten entries, unless one content has many */
#define TOUCH_BYTES (192u << 10)     /* become resident with a look into one run: 64 KiB around each of three faults */
#define TOUCH_BYTES_MOST (6u << 20)  /* where the page cache holds 2 MiB in one piece, which a fault maps whole */
#define TOUCHES_LEAST 32u
#define TOUCHES_LEAST_TIGHT 256u     /* only tags and directories become resident, and those all in the end */

void run_copy(const struct run *run, uint64_t i, bool by_read, uint8_t entry[RUN_WIDTH_MAX])
{
    size_t width = run_width(run->kind);
    if (by_read && run->fd && pread(run->fd, entry, width, (off_t)(RUN_HEADER_BYTES + i * width)) == (ssize_t)width) return;
    memcpy(entry, run_entry(run, i, width), width);
}

bool run_find(const struct run *run, const uint8_t *key, size_t key_bytes, bool by_read, uint64_t *at,
              uint8_t entry[RUN_WIDTH_MAX])
{
    uint64_t from = 0, to = UINT64_MAX;
    if (run->tags) { /* the file is input: stay inside the entries */
        uint64_t bucket = run_get64(key) >> (64 - run->bucket_bits);
        from = run->buckets[bucket];
        to = run->buckets[bucket + 1] < run->count ? run->buckets[bucket + 1] : run->count;
        if (from >= to) return false;
    }
    if (to - from > SCAN_TAGS) {
        *at = run_lower_bound(run, key, key_bytes);
        if (*at == run->count) return false;
        run_copy(run, *at, false, entry);
        return memcmp(entry, key, key_bytes) == 0;
    }
    for (; from < to; from++) {
        const uint8_t *tag = memchr(run->tags + from, key[RUN_TAG], to - from);
        if (!tag) return false;
        *at = from = (uint64_t)(tag - run->tags);
        run_copy(run, from, by_read, entry);
        if (memcmp(entry, key, key_bytes) == 0) return true;
    }
    return false;
}

void run_release_pages(const struct run *run)
{
    if (run->map) madvise(run->map, run->map_bytes, MADV_DONTNEED);
}

void run_release_entries(const struct run *run)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = RUN_HEADER_BYTES + run->count * run_width(run->kind);
    if (run->map) madvise(run->map, bytes - bytes % page, MADV_DONTNEED);
}

uint64_t run_pages_resident(void)
{
    char text[128];
    unsigned long long size, resident, shared; /* pages; shared: file mappings */
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    text[n > 0 ? n : 0] = 0;
    if (sscanf(text, "%llu %llu %llu", &size, &resident, &shared) != 3) return 0;
    return shared * (uint64_t)sysconf(_SC_PAGESIZE);
}

void run_pages_learn(struct run_pages *p, uint64_t resident_bytes)
{
    int granted = atomic_load_explicit(&p->granted, memory_order_relaxed), left = atomic_load_explicit(&p->left, memory_order_relaxed);
    uint64_t before = atomic_load_explicit(&p->resident_bytes, memory_order_relaxed);
    if (granted <= 0 || left >= granted) return;
    uint64_t bytes = resident_bytes > before ? (resident_bytes - before) / (uint64_t)((int64_t)granted - left) : 0;
    atomic_store_explicit(&p->touch_bytes, bytes > TOUCH_BYTES ? bytes : TOUCH_BYTES, memory_order_relaxed);
}

void run_pages_settle(struct run_pages *p, uint64_t resident_bytes, uint64_t limit_bytes)
{
    uint64_t each = atomic_load_explicit(&p->touch_bytes, memory_order_relaxed);
    uint64_t touches = resident_bytes < limit_bytes ? (limit_bytes - resident_bytes) / (each ? each : TOUCH_BYTES_MOST) : 0;
    uint64_t least = run_pages_tight(p) ? TOUCHES_LEAST_TIGHT : TOUCHES_LEAST;
    if (touches < least) touches = least;
    if (touches > 1u << 20) touches = 1u << 20;
    atomic_store_explicit(&p->resident_bytes, resident_bytes, memory_order_relaxed);
    atomic_store_explicit(&p->granted, (int)touches, memory_order_relaxed);
    atomic_store_explicit(&p->left, (int)touches, memory_order_relaxed);
}
