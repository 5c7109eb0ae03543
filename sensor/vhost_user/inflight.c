#include "sensor/vhost_user/inflight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* struct QueueRegionSplit { u64 features; u16 version, desc_num, last_batch_head, used_idx; struct DescStateSplit desc[]; } */
enum { VERSION_AT = 8, DESC_NUM_AT = 10, LAST_HEAD_AT = 12, USED_AT = 14, HEADER = 16 };
/* struct DescStateSplit { u8 inflight; u8 padding[5]; u16 next; u64 counter; } */
enum { DESC_BYTES = 16, COUNTER_AT = 8 };
#define ALIGN 64u

uint64_t inflight_queue_bytes(uint16_t queue_size)
{
    return (HEADER + (uint64_t)DESC_BYTES * queue_size + ALIGN - 1) / ALIGN * ALIGN;
}

int inflight_create(uint16_t queues, uint16_t queue_size, int *fd, uint64_t *bytes, struct chv_err *err)
{
    *bytes = inflight_queue_bytes(queue_size) * queues;
    *fd = memfd_create("chronovisor-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0) return chv_err_set(err, errno, "memfd: %s", strerror(errno));
    if (ftruncate(*fd, (off_t)*bytes) == 0) return 0;
    int r = chv_err_set(err, errno, "memfd: %s", strerror(errno));
    close(*fd);
    return r;
}

int inflight_open(struct inflight_map *m, int fd, const struct vu_inflight *what, struct chv_err *err)
{
    struct stat st;
    if (what->queues == 0 || what->queue_size == 0 || what->queue_size > VRING_SIZE_MAX ||
        what->bytes < inflight_queue_bytes(what->queue_size) * what->queues || what->offset % 4096 ||
        what->bytes > INT64_MAX || what->offset > (uint64_t)INT64_MAX - what->bytes || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        (uint64_t)st.st_size < what->offset + what->bytes)
        return chv_err_set(err, EINVAL, "SET_INFLIGHT_FD: %u queues of %u in %llu bytes cannot be", what->queues, what->queue_size,
                           (unsigned long long)what->bytes);
    void *p = mmap(NULL, what->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)what->offset);
    if (p == MAP_FAILED) return chv_err_set(err, errno, "SET_INFLIGHT_FD: %s", strerror(errno));
    inflight_close(m);
    *m = (struct inflight_map){.map = p, .bytes = what->bytes, .queues = what->queues, .queue_size = what->queue_size};
    return 0;
}

void inflight_close(struct inflight_map *m)
{
    if (m->map) munmap(m->map, m->bytes);
    m->map = NULL;
}

static uint8_t *desc(const struct inflight *f, uint16_t head)
{
    return f->area + HEADER + (size_t)DESC_BYTES * head;
}

struct old {
    uint64_t counter;
    uint16_t head;
};

static int by_counter(const void *a, const void *b)
{
    const struct old *x = a, *y = b;
    return x->counter < y->counter ? -1 : x->counter > y->counter;
}

int inflight_start(struct inflight *f, const struct inflight_map *m, unsigned queue, struct vring *ring, struct chv_err *err)
{
    struct old old[VRING_SIZE_MAX];
    memset(f, 0, sizeof *f);
    if (!m->map || ring->packed) return 0;
    if (queue >= m->queues || ring->size > m->queue_size)
        return chv_err_set(err, EINVAL, "queue %u of %u is not in the memory of SET_INFLIGHT_FD", queue, ring->size);
    f->area = m->map + inflight_queue_bytes(m->queue_size) * queue;
    f->size = (uint16_t)ring->size;
    uint16_t version = ring_load16(f->area + VERSION_AT), used = ring_load16(ring->used + 2);
    if (version == 0) { /* new */
        ring_store16(f->area + DESC_NUM_AT, m->queue_size);
        ring_store16(f->area + USED_AT, used);
        ring_store16(f->area + VERSION_AT, 1);
        return 0;
    }
    /* the last one was given back, and death came before that could be noted */
    uint16_t last = ring_load16(f->area + LAST_HEAD_AT);
    if (ring_load16(f->area + USED_AT) != used && last < f->size) __atomic_store_n(desc(f, last), 0, __ATOMIC_RELEASE);
    ring_store16(f->area + USED_AT, used);
    for (uint16_t head = 0; head < f->size; head++) {
        if (!__atomic_load_n(desc(f, head), __ATOMIC_ACQUIRE)) continue;
        memcpy(&old[f->agains].counter, desc(f, head) + COUNTER_AT, 8);
        old[f->agains++].head = head;
    }
    qsort(old, f->agains, sizeof *old, by_counter);
    for (unsigned i = 0; i < f->agains; i++) f->again[i] = old[i].head;
    if (f->agains) f->counter = old[f->agains - 1].counter;
    ring->used_next = used;
    ring->avail_next = (uint16_t)(used + f->agains);
    return 0;
}

void inflight_took(struct inflight *f, uint16_t head)
{
    if (!f->area || head >= f->size) return;
    f->counter++;
    memcpy(desc(f, head) + COUNTER_AT, &f->counter, 8);
    __atomic_store_n(desc(f, head), 1, __ATOMIC_RELEASE);
}

void inflight_giving(struct inflight *f, uint16_t head)
{
    if (f->area && head < f->size) ring_store16(f->area + LAST_HEAD_AT, head);
}

void inflight_gave(struct inflight *f, uint16_t head, uint16_t used_index)
{
    if (!f->area || head >= f->size) return;
    __atomic_store_n(desc(f, head), 0, __ATOMIC_RELEASE);
    ring_store16(f->area + USED_AT, used_index);
}
