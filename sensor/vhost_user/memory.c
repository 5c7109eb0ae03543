#include "sensor/vhost_user/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static bool overlap(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes)
{
    return a < b + b_bytes && b < a + a_bytes;
}

static int check(const struct vu_memory *t, unsigned i, struct chv_err *err)
{
    const struct vu_region *r = &t->region[i];
    if (r->bytes == 0 || r->bytes > INT64_MAX || r->gpa > UINT64_MAX - r->bytes || r->uva > UINT64_MAX - r->bytes ||
        r->offset > (uint64_t)INT64_MAX - r->bytes)
        return chv_err_set(err, EINVAL, "memory region %u is empty or wraps around", i);
    for (unsigned k = 0; k < i; k++)
        if (overlap(r->gpa, r->bytes, t->region[k].gpa, t->region[k].bytes) ||
            overlap(r->uva, r->bytes, t->region[k].uva, t->region[k].bytes))
            return chv_err_set(err, EINVAL, "memory regions %u and %u overlap", k, i);
    return 0;
}

static int map(const struct vu_region *r, int fd, struct guest_region *out, struct chv_err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size < r->offset + r->bytes)
        return chv_err_set(err, EINVAL, "a memory region of %llu bytes is not within its file",
                           (unsigned long long)r->bytes);
    /* huge pages are mapped whole; st_blksize is their size */
    uint64_t unit = st.st_blksize > 4096 ? (uint64_t)st.st_blksize : 4096;
    if (unit & (unit - 1)) unit = 4096;
    uint64_t start = r->offset & ~(unit - 1), bytes = (r->offset + r->bytes - start + unit - 1) & ~(unit - 1);
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, (off_t)start);
    if (p == MAP_FAILED)
        return chv_err_set(err, errno, "mapping %llu bytes of guest memory: %s", (unsigned long long)bytes,
                           strerror(errno));
    madvise(p, bytes, MADV_DONTDUMP);
    *out = (struct guest_region){.gpa = r->gpa, .bytes = r->bytes, .uva = r->uva, .map = p, .map_bytes = bytes};
    int failed = guard_begin(&out->guard, p, bytes, unit);
    if (failed < 0) {
        munmap(p, bytes);
        return chv_err_set(err, -failed, "too many mappings of guest memory");
    }
    out->host = (uint8_t *)p + (r->offset - start);
    return 0;
}

int guest_memory_new(const struct vu_memory *table, const int *fd, struct guest_memory **out, struct chv_err *err)
{
    struct guest_memory *m = calloc(1, sizeof *m);
    if (!m) return chv_err_set(err, ENOMEM, "out of memory");
    atomic_init(&m->holders, 1);
    int r = 0;
    for (unsigned i = 0; r == 0 && i < table->count && i < VU_FDS_MAX; i++) {
        r = check(table, i, err);
        if (r == 0) r = map(&table->region[i], fd[i], &m->region[i], err);
        if (r == 0) m->count++;
    }
    if (r == 0) *out = m;
    else guest_memory_drop(m);
    return r;
}

struct guest_memory *guest_memory_hold(struct guest_memory *m)
{
    if (m) atomic_fetch_add(&m->holders, 1);
    return m;
}

void guest_memory_drop(struct guest_memory *m)
{
    if (!m || atomic_fetch_sub(&m->holders, 1) != 1) return;
    for (unsigned i = 0; i < m->count; i++) {
        guard_end(&m->region[i].guard);
        munmap(m->region[i].map, m->region[i].map_bytes);
    }
    free(m);
}

bool guest_memory_lost(const struct guest_memory *m)
{
    bool lost = false;
    for (unsigned i = 0; i < m->count; i++) lost |= guard_lost(&m->region[i].guard);
    return lost;
}

uint8_t *guest_memory_at(const struct guest_memory *m, uint64_t gpa, uint64_t *bytes)
{
    for (unsigned i = 0; i < m->count; i++) {
        const struct guest_region *r = &m->region[i];
        if (gpa < r->gpa || gpa - r->gpa >= r->bytes) continue;
        uint64_t left = r->bytes - (gpa - r->gpa);
        if (*bytes > left) *bytes = left;
        return r->host + (gpa - r->gpa);
    }
    return NULL;
}

uint8_t *guest_memory_at_uva(const struct guest_memory *m, uint64_t uva, uint64_t bytes)
{
    for (unsigned i = 0; i < m->count; i++) {
        const struct guest_region *r = &m->region[i];
        if (uva >= r->uva && uva - r->uva < r->bytes && bytes <= r->bytes - (uva - r->uva))
            return r->host + (uva - r->uva);
    }
    return NULL;
}

bool guest_memory_read(const struct guest_memory *m, uint64_t gpa, void *to, uint64_t bytes)
{
    uint8_t *p = to;
    while (bytes > 0) {
        uint64_t n = bytes;
        const uint8_t *from = gpa > UINT64_MAX - bytes ? NULL : guest_memory_at(m, gpa, &n);
        if (!from) return false;
        memcpy(p, from, n);
        p += n;
        gpa += n;
        bytes -= n;
    }
    return true;
}
