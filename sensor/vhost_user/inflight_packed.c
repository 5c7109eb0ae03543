/* Packed rings: what the device gives back overwrites descriptors that are still under way, so those are kept whole, in
 * entries of a free list. "old" values are what is settled; the others are ahead of them while something is given back.
 */
#include <errno.h>
#include <string.h>

#include "sensor/vhost_user/inflight.h"

/* struct QueueRegionPacked {
 *     u64 features;
 *     u16 version, desc_num, free_head, old_free_head, used_idx, old_used_idx;
 *     u8 used_wrap_counter, old_used_wrap_counter, padding[7];
 *     struct DescStatePacked desc[];
 * } */
enum {
    VERSION_AT = 8, DESC_NUM_AT = 10, FREE_AT = 12, OLD_FREE_AT = 14, USED_AT = 16, OLD_USED_AT = 18, WRAP_AT = 20,
    OLD_WRAP_AT = 21, HEADER = 32
};
/* struct DescStatePacked { u8 inflight, padding; u16 next, last, num; u64 counter; u16 id, flags; u32 len; u64 addr; }
 */
enum { ENTRY_BYTES = 32, NEXT_AT = 2, LAST_AT = 4, NUM_AT = 6, COUNTER_AT = 8, ID_AT = 16, FLAGS_AT = 18, LEN_AT = 20,
       ADDR_AT = 24 };

static uint8_t *entry(const struct inflight *f, uint16_t at)
{
    return f->area + HEADER + (size_t)ENTRY_BYTES * at;
}

static void store8(uint8_t *p, uint8_t value)
{
    __atomic_store_n(p, value, __ATOMIC_RELEASE);
}

/* How far the ring is; all of it, or nothing that a reader would believe. */
static void store_used(const struct inflight *f, int used_at, int wrap_at, const struct vring *ring, uint32_t ahead)
{
    uint32_t next = ring->used_next + ahead;
    bool flips = next >= ring->size;
    ring_store16(f->area + used_at, (uint16_t)(flips ? next - ring->size : next));
    store8(f->area + wrap_at, ring->used_wrap != flips);
}

static void begin_new(struct inflight *f, uint16_t entries, const struct vring *ring)
{
    ring_store16(f->area + DESC_NUM_AT, entries);
    for (uint16_t i = 0; i < entries; i++) {
        f->next[i] = (uint16_t)(i + 1); /* the last one's: the end */
        ring_store16(entry(f, i) + NEXT_AT, f->next[i]);
    }
    ring_store16(f->area + FREE_AT, 0);
    ring_store16(f->area + OLD_FREE_AT, 0);
    store_used(f, USED_AT, WRAP_AT, ring, 0);
    store_used(f, OLD_USED_AT, OLD_WRAP_AT, ring, 0);
    ring_store16(f->area + VERSION_AT, 1);
}

static int nonsense(struct chv_err *err, const char *what)
{
    return chv_err_set(err, EINVAL, "what the front-end kept of the requests under way makes no sense: %s", what);
}

/* Death may have come while one was given back: was it? Makes "old" and new values the same again. */
static int settle(struct inflight *f, uint16_t entries, struct vring *ring, struct chv_err *err)
{
    uint16_t used = ring_load16(f->area + OLD_USED_AT), ahead = ring_load16(f->area + USED_AT);
    bool wrap = f->area[OLD_WRAP_AT] & 1, ahead_wrap = f->area[WRAP_AT] & 1;
    uint16_t head = ring_load16(f->area + OLD_FREE_AT), free_ahead = ring_load16(f->area + FREE_AT);
    if (used >= ring->size || ahead >= ring->size) return nonsense(err, "its place in the ring");
    if (used != ahead || wrap != ahead_wrap) {
        /* The guest was told if the descriptor is no longer what it had made available. The new place is all there by
         * then. */
        uint16_t flags = ring_load16(ring->desc + 16 * (size_t)used + 14);
        /* Only the round differs: the place was settled and the round was not, unless a request fills the whole ring.
         */
        bool settled = used == ahead && free_ahead < entries && !*entry(f, free_ahead);
        if (settled || !packed_is_available(flags, wrap)) {
            used = ahead;
            wrap = ahead_wrap;
            head = free_ahead;
        }
    }
    if (head > entries) return nonsense(err, "its list of free entries");
    f->free_head = head;
    ring->used_next = used;
    ring->used_wrap = wrap;
    ring_store16(f->area + FREE_AT, head);
    ring_store16(f->area + OLD_FREE_AT, head);
    store_used(f, USED_AT, WRAP_AT, ring, 0);
    store_used(f, OLD_USED_AT, OLD_WRAP_AT, ring, 0);
    return 0;
}

/* Our own copy of the lists; every entry is in one of them, once. */
static int read_lists(struct inflight *f, uint16_t entries, uint32_t *slots, struct chv_err *err)
{
    struct inflight_old old[VRING_SIZE_MAX];
    bool seen[VRING_SIZE_MAX] = {false};
    unsigned count = 0;
    for (uint16_t i = 0; i < entries; i++) f->next[i] = ring_load16(entry(f, i) + NEXT_AT);
    for (uint16_t at = f->free_head; at < entries; at = f->next[at]) {
        if (seen[at]) return nonsense(err, "its list of free entries");
        seen[at] = true;
        store8(entry(f, at), 0);
    }
    *slots = 0;
    for (uint16_t i = 0; i < entries; i++) {
        if (!__atomic_load_n(entry(f, i), __ATOMIC_ACQUIRE)) continue;
        uint16_t num = ring_load16(entry(f, i) + NUM_AT), at = i;
        if (num == 0 || num > f->size) return nonsense(err, "a request's length");
        for (uint16_t k = 0; k < num; k++, at = f->next[at]) {
            if (at >= entries || seen[at]) return nonsense(err, "a request's entries");
            seen[at] = true;
            f->last[i] = at;
        }
        *slots += num;
        memcpy(&old[count].counter, entry(f, i) + COUNTER_AT, 8);
        old[count++].at = i;
    }
    for (uint16_t i = 0; i < entries; i++)
        if (!seen[i]) return nonsense(err, "an entry that is nowhere");
    if (*slots > f->size) return nonsense(err, "more than the ring has");
    inflight_order(f, old, count);
    return 0;
}

int packed_inflight_start(struct inflight *f, uint16_t entries, struct vring *ring, struct chv_err *err)
{
    uint32_t slots = 0;
    ring->trace = f->taken;
    if (ring_load16(f->area + VERSION_AT) == 0) {
        begin_new(f, entries, ring);
        return 0;
    }
    int r = settle(f, entries, ring, err);
    if (r == 0) r = read_lists(f, entries, &slots, err);
    if (r < 0) return r;
    /* what was taken and not given back lies between the two */
    bool flips = ring->used_next + slots >= ring->size;
    ring->avail_next = (uint16_t)(ring->used_next + slots - (flips ? ring->size : 0));
    ring->avail_wrap = ring->used_wrap != flips;
    return 0;
}

int packed_inflight_again(struct inflight *f, uint16_t at, struct vring *ring, struct chain *chain, struct chv_err *err)
{
    uint16_t num = ring_load16(entry(f, at) + NUM_AT), k = 0;
    chain->entry = at;
    for (uint16_t e = at; k < num && k < f->size && e < VRING_SIZE_MAX; e = f->next[e], k++) {
        struct vring_desc_copy *d = &f->taken[k];
        memcpy(&d->addr, entry(f, e) + ADDR_AT, 8);
        memcpy(&d->bytes, entry(f, e) + LEN_AT, 4);
        memcpy(&d->a, entry(f, e) + ID_AT, 2);
        memcpy(&d->b, entry(f, e) + FLAGS_AT, 2);
        if (e == f->last[at]) return packed_pop_again(ring, f->taken, k + 1u, chain, err);
    }
    return chv_err_set(err, EPROTO, "a request under way that changed");
}

void packed_inflight_took(struct inflight *f, struct chain *chain)
{
    const uint16_t head = f->free_head;
    chain->entry = head;
    memcpy(entry(f, head) + COUNTER_AT, &f->counter, 8);
    store8(entry(f, head), 1); /* nobody believes it before the list of free entries begins behind it */
    ring_store16(entry(f, head) + NUM_AT, chain->slots);
    uint16_t at = head;
    for (uint16_t k = 0; k < chain->slots; k++) {
        const struct vring_desc_copy *d = &f->taken[k];
        memcpy(entry(f, at) + ADDR_AT, &d->addr, 8);
        memcpy(entry(f, at) + LEN_AT, &d->bytes, 4);
        memcpy(entry(f, at) + ID_AT, &d->a, 2);
        memcpy(entry(f, at) + FLAGS_AT, &d->b, 2);
        f->last[head] = at;
        at = f->next[at];
    }
    ring_store16(entry(f, head) + LAST_AT, f->last[head]);
    f->free_head = at;
    ring_store16(f->area + FREE_AT, at);
    ring_store16(f->area + OLD_FREE_AT, at);
}

void packed_inflight_giving(struct inflight *f, const struct vring *ring, const struct chain *chain)
{
    const uint16_t head = chain->entry, last = f->last[head];
    f->next[last] = f->free_head;
    ring_store16(entry(f, last) + NEXT_AT, f->free_head);
    f->free_head = head;
    ring_store16(f->area + FREE_AT, head);
    store_used(f, USED_AT, WRAP_AT, ring, chain->slots);
}

void packed_inflight_gave(struct inflight *f, const struct vring *ring, const struct chain *chain)
{
    store8(entry(f, chain->entry), 0);
    ring_store16(f->area + OLD_FREE_AT, f->free_head);
    store_used(f, OLD_USED_AT, OLD_WRAP_AT, ring, 0);
}
