#include "sensor/vhost_user/inflight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* struct QueueRegionSplit {
 *     u64 features;
 *     u16 version, desc_num, last_batch_head, used_idx;
 *     struct DescStateSplit desc[];
 * } */
enum { VERSION_AT = 8, DESC_NUM_AT = 10, LAST_HEAD_AT = 12, USED_AT = 14, HEADER = 16 };
/* struct DescStateSplit { u8 inflight; u8 padding[5]; u16 next; u64 counter; } */
enum { DESC_BYTES = 16, COUNTER_AT = 8 };
#define ALIGN 64u

uint64_t inflight_queue_bytes(uint16_t queue_size, bool packed)
{
    uint64_t bytes = HEADER + (uint64_t)DESC_BYTES * queue_size;
    if (packed) bytes *= 2; /* header and descriptors have twice the size */
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

int inflight_create(uint16_t queues, uint16_t queue_size, int *fd, uint64_t *bytes, struct chv_err *err)
{
    *bytes = inflight_queue_bytes(queue_size, true) * queues; /* whichever kind of ring comes */
    *fd = memfd_create("chronovisor-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0) return chv_err_set(err, errno, "memfd: %s", strerror(errno));
    if (ftruncate(*fd, (off_t)*bytes) == 0) return 0;
    int r = chv_err_set(err, errno, "memfd: %s", strerror(errno));
    close(*fd);
    return r;
}

static bool possible(int fd, const struct vu_inflight *w)
{
    struct stat st;
    if (w->queues == 0 || w->queue_size == 0 || w->queue_size > VRING_SIZE_MAX) return false;
    if (w->bytes < inflight_queue_bytes(w->queue_size, false) * w->queues || w->offset % 4096) return false;
    if (w->bytes > INT64_MAX || w->offset > (uint64_t)INT64_MAX - w->bytes) return false;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size >= w->offset + w->bytes;
}

int inflight_open(struct inflight_map *m, int fd, const struct vu_inflight *what, struct chv_err *err)
{
    if (!possible(fd, what))
        return chv_err_set(err, EINVAL, "SET_INFLIGHT_FD: %u queues of %u in %llu bytes cannot be", what->queues,
                           what->queue_size, (unsigned long long)what->bytes);
    void *p = mmap(NULL, what->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)what->offset);
    if (p == MAP_FAILED) return chv_err_set(err, errno, "SET_INFLIGHT_FD: %s", strerror(errno));
    inflight_close(m);
    int r = guard_begin(&m->guard, p, what->bytes, 4096);
    if (r < 0) {
        munmap(p, what->bytes);
        return chv_err_set(err, -r, "SET_INFLIGHT_FD: too many mappings");
    }
    m->map = p;
    m->bytes = what->bytes;
    m->queues = what->queues;
    m->queue_size = what->queue_size;
    return 0;
}

void inflight_close(struct inflight_map *m)
{
    if (!m->map) return;
    guard_end(&m->guard);
    munmap(m->map, m->bytes);
    m->map = NULL;
}

static uint8_t *desc(const struct inflight *f, uint16_t head)
{
    return f->area + HEADER + (size_t)DESC_BYTES * head;
}

static int by_counter(const void *a, const void *b)
{
    const struct inflight_old *x = a, *y = b;
    return x->counter < y->counter ? -1 : x->counter > y->counter;
}

void inflight_order(struct inflight *f, struct inflight_old *old, unsigned count)
{
    qsort(old, count, sizeof *old, by_counter);
    for (unsigned i = 0; i < count; i++) f->again[i] = old[i].at;
    f->agains = count;
    if (count) f->counter = old[count - 1].counter;
}

static void split_start(struct inflight *f, uint16_t entries, struct vring *ring)
{
    struct inflight_old old[VRING_SIZE_MAX];
    unsigned count = 0;
    uint16_t version = ring_load16(f->area + VERSION_AT), used = ring_load16(ring->used + 2);
    if (version == 0) { /* new */
        ring_store16(f->area + DESC_NUM_AT, entries);
        ring_store16(f->area + USED_AT, used);
        ring_store16(f->area + VERSION_AT, 1);
        return;
    }
    /* the last one was given back, and death came before that could be noted */
    uint16_t last = ring_load16(f->area + LAST_HEAD_AT);
    if (ring_load16(f->area + USED_AT) != used && last < f->size) __atomic_store_n(desc(f, last), 0, __ATOMIC_RELEASE);
    ring_store16(f->area + USED_AT, used);
    for (uint16_t head = 0; head < f->size; head++) {
        if (!__atomic_load_n(desc(f, head), __ATOMIC_ACQUIRE)) continue;
        memcpy(&old[count].counter, desc(f, head) + COUNTER_AT, 8);
        old[count++].at = head;
    }
    inflight_order(f, old, count);
    ring->used_next = used;
    ring->avail_next = (uint16_t)(used + count);
}

int inflight_start(struct inflight *f, const struct inflight_map *m, unsigned queue, struct vring *ring,
                   struct chv_err *err)
{
    memset(f, 0, sizeof *f);
    ring->trace = NULL;
    if (!m->map) return 0;
    const uint64_t bytes = inflight_queue_bytes(m->queue_size, ring->packed);
    if (queue >= m->queues || ring->size > m->queue_size || m->bytes < bytes * m->queues)
        return chv_err_set(err, EINVAL, "queue %u of %u is not in the memory of SET_INFLIGHT_FD", queue, ring->size);
    f->area = m->map + bytes * queue;
    f->guard = &m->guard;
    f->size = (uint16_t)ring->size;
    if (ring->packed) return packed_inflight_start(f, m->queue_size, ring, err);
    split_start(f, m->queue_size, ring);
    return 0;
}

int inflight_again(struct inflight *f, struct vring *ring, struct chain *chain, struct chv_err *err)
{
    if (f->next_again == f->agains) return 0;
    uint16_t at = f->again[f->next_again++];
    return ring->packed ? packed_inflight_again(f, at, ring, chain, err) : vring_pop_again(ring, at, chain, err);
}

void inflight_took(struct inflight *f, const struct vring *ring, struct chain *chain)
{
    if (!f->area || (!ring->packed && chain->id >= f->size)) return;
    f->counter++;
    if (ring->packed) {
        packed_inflight_took(f, chain);
        return;
    }
    memcpy(desc(f, chain->id) + COUNTER_AT, &f->counter, 8);
    __atomic_store_n(desc(f, chain->id), 1, __ATOMIC_RELEASE);
}

void inflight_giving(struct inflight *f, const struct vring *ring, const struct chain *chain)
{
    if (!f->area) return;
    if (ring->packed) packed_inflight_giving(f, ring, chain);
    else if (chain->id < f->size) ring_store16(f->area + LAST_HEAD_AT, chain->id);
}

void inflight_gave(struct inflight *f, const struct vring *ring, const struct chain *chain)
{
    if (!f->area) return;
    if (ring->packed) {
        packed_inflight_gave(f, ring, chain);
    } else if (chain->id < f->size) {
        __atomic_store_n(desc(f, chain->id), 0, __ATOMIC_RELEASE);
        ring_store16(f->area + USED_AT, ring->used_next);
    }
}
