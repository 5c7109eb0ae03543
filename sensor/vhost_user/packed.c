/* The packed virtqueue: one ring of descriptors that both sides walk around; a bit that flips with every round says
 * whose a descriptor is. */
#include <errno.h>
#include <string.h>

#include "sensor/vhost_user/vring.h"

enum { NEXT = 1, WRITE = 2, INDIRECT = 4, AVAIL = 1 << 7, USED = 1 << 15 };
enum { EVENT_ENABLE = 0, EVENT_DISABLE = 1, EVENT_DESC = 2 };

bool packed_is_available(uint16_t flags, bool wrap)
{
    return !!(flags & AVAIL) == wrap && !!(flags & USED) != wrap;
}

/* Descriptor `at`, read once; false: the guest has not made it available. */
static bool take(const struct vring *v, uint16_t at, bool wrap, struct vring_desc_copy *d)
{
    const uint8_t *from = v->desc + 16 * (size_t)at;
    uint16_t flags = ring_load16(from + 14); /* before the rest: it is what publishes it */
    if (!packed_is_available(flags, wrap)) return false;
    memcpy(d, from, 14);
    __asm__ volatile("" ::: "memory");
    d->b = flags;
    return true;
}

static int follow_table(struct vring *v, const struct vring_desc_copy *table, struct chain *chain, struct chv_err *err)
{
    uint32_t entries = table->bytes / 16;
    if (table->bytes % 16 || entries == 0 || entries > VRING_SIZE_MAX)
        return chv_err_set(err, EPROTO, "an indirect table of %u bytes", table->bytes);
    if (table->addr > UINT64_MAX - table->bytes) return chv_err_set(err, EPROTO, "an indirect table that wraps around");
    for (uint32_t at = 0; at < entries; at++) {
        struct vring_desc_copy d;
        if (!guest_memory_read(v->memory, table->addr + 16 * (uint64_t)at, &d, sizeof d))
            return chv_err_set(err, EPROTO, "an indirect table outside of the guest's memory");
        if (d.b & INDIRECT) return chv_err_set(err, EPROTO, "an indirect table in an indirect table");
        int r = chain_add(chain, v->memory, d.addr, d.bytes, d.b & WRITE, err);
        if (r < 0) return r;
    }
    return 0;
}

static void advance(const struct vring *v, uint16_t *at, bool *wrap, uint32_t by)
{
    uint32_t next = *at + by;
    if (next >= v->size) {
        next -= v->size;
        *wrap = !*wrap;
    }
    *at = (uint16_t)next;
}

/* A descriptor of the ring itself onto the chain. */
static int add_desc(struct vring *v, const struct vring_desc_copy *d, struct chain *chain, struct chv_err *err)
{
    if (!(d->b & INDIRECT)) return chain_add(chain, v->memory, d->addr, d->bytes, d->b & WRITE, err);
    if (!v->indirect || (d->b & NEXT)) return chv_err_set(err, EPROTO, "an indirect descriptor where none may be");
    return follow_table(v, d, chain, err);
}

static int add_slots(struct vring *v, uint32_t slots, struct chain *chain, struct chv_err *err)
{
    if (v->outstanding + slots > v->size)
        return chv_err_set(err, EPROTO, "more requests at once than the ring has descriptors");
    v->outstanding += slots;
    chain->slots = (uint16_t)slots;
    return 1;
}

int packed_pop(struct vring *v, struct chain *chain, struct chv_err *err)
{
    uint16_t at = v->avail_next;
    bool wrap = v->avail_wrap;
    struct vring_desc_copy d;
    for (uint32_t slots = 1; slots <= v->size; slots++) {
        if (!take(v, at, wrap, &d))
            return slots == 1 ? 0 : chv_err_set(err, EPROTO, "a chain whose descriptors are not all there");
        int r = add_desc(v, &d, chain, err);
        if (r < 0) return r;
        if (v->trace) v->trace[slots - 1] = d;
        advance(v, &at, &wrap, 1);
        if (d.b & NEXT) continue;
        if ((r = add_slots(v, slots, chain, err)) < 0) return r;
        chain->id = d.a;
        v->avail_next = at;
        v->avail_wrap = wrap;
        return 1;
    }
    return chv_err_set(err, EPROTO, "a chain that is a loop");
}

int packed_pop_again(struct vring *v, const struct vring_desc_copy *desc, uint32_t slots, struct chain *chain,
                     struct chv_err *err)
{
    const uint16_t entry = chain->entry;
    chain_clear(chain, v->memory);
    chain->entry = entry;
    for (uint32_t i = 0; i < slots; i++) {
        int r = add_desc(v, &desc[i], chain, err);
        if (r < 0) return r;
    }
    chain->id = desc[slots - 1].a;
    return add_slots(v, slots, chain, err);
}

/* Does the guest want to be told of what was used from `before` up to used_next? */
static bool wants(const struct vring *v, uint16_t before, uint32_t slots)
{
    uint16_t event = ring_load16(v->avail), flags = ring_load16(v->avail + 2);
    if (flags == EVENT_DISABLE) return false;
    if (flags != EVENT_DESC || !v->event_idx) return true;
    /* both as positions on a line: an event of the round before is one ring's length behind */
    int64_t now = before + (int64_t)slots, at = event & 0x7fff;
    bool wrap = event >> 15, wrap_before = before + slots >= v->size ? !v->used_wrap : v->used_wrap;
    if (wrap != wrap_before) at += at < before ? (int64_t)v->size : -(int64_t)v->size;
    return at >= before && at < now;
}

bool packed_push(struct vring *v, const struct chain *chain, uint32_t written)
{
    uint8_t *to = v->desc + 16 * (size_t)v->used_next;
    uint16_t before = v->used_next;
    memcpy(to + 8, &written, 4);
    memcpy(to + 12, &chain->id, 2);
    ring_store16(to + 14, (uint16_t)((v->used_wrap ? AVAIL | USED : 0) | (written ? WRITE : 0)));
    advance(v, &v->used_next, &v->used_wrap, chain->slots);
    v->outstanding -= v->outstanding < chain->slots ? v->outstanding : chain->slots;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return wants(v, before, chain->slots);
}

bool packed_waiting(const struct vring *v)
{
    return packed_is_available(ring_load16(v->desc + 16 * (size_t)v->avail_next + 14), v->avail_wrap);
}

bool packed_ask(struct vring *v)
{
    ring_store16(v->used + 2, EVENT_ENABLE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return packed_waiting(v);
}

void packed_hush(struct vring *v)
{
    ring_store16(v->used + 2, EVENT_DISABLE);
}
