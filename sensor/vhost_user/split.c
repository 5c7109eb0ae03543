/* The split virtqueue: a table of descriptors, a ring of what is available, a ring of what was used. */
#include <errno.h>
#include <string.h>

#include "sensor/vhost_user/vring.h"

enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };    /* flags of a descriptor */
enum { NO_INTERRUPT = 1, NO_NOTIFY = 1 };      /* of the available ring; of the used ring */

static struct vring_desc_copy copy_desc(const uint8_t *from)
{
    struct vring_desc_copy d;
    memcpy(&d, from, sizeof d);
    /* what follows looks at the copy, whatever the compiler thinks of memory that others change */
    __asm__ volatile("" ::: "memory");
    return d;
}

/* An indirect table: the same descriptors, elsewhere, read one by one as they follow each other. */
static int follow_table(struct vring *v, const struct vring_desc_copy *table, struct chain *chain, struct chv_err *err)
{
    uint32_t entries = table->bytes / 16, at = 0;
    if (table->bytes % 16 || entries == 0 || entries > VRING_SIZE_MAX)
        return chv_err_set(err, EPROTO, "an indirect table of %u bytes", table->bytes);
    if (table->addr > UINT64_MAX - table->bytes) return chv_err_set(err, EPROTO, "an indirect table that wraps around");
    for (uint32_t steps = 0; steps < entries; steps++) {
        struct vring_desc_copy d;
        if (!guest_memory_read(v->memory, table->addr + 16 * (uint64_t)at, &d, sizeof d))
            return chv_err_set(err, EPROTO, "an indirect table outside of the guest's memory");
        if (d.a & INDIRECT) return chv_err_set(err, EPROTO, "an indirect table in an indirect table");
        int r = chain_add(chain, v->memory, d.addr, d.bytes, d.a & WRITE, err);
        if (r < 0 || !(d.a & NEXT)) return r;
        if (d.b >= entries) return chv_err_set(err, EPROTO, "entry %u of an indirect table of %u", d.b, entries);
        at = d.b;
    }
    return chv_err_set(err, EPROTO, "an indirect table that is a loop");
}

int split_chain(struct vring *v, uint16_t head, struct chain *chain, struct chv_err *err)
{
    if (head >= v->size) return chv_err_set(err, EPROTO, "descriptor %u of a ring of %u", head, v->size);
    if (v->outstanding >= v->size)
        return chv_err_set(err, EPROTO, "more requests at once than the ring has descriptors");
    chain->id = head;
    uint16_t at = head;
    for (uint32_t steps = 0; steps < v->size; steps++) {
        struct vring_desc_copy d = copy_desc(v->desc + 16 * (size_t)at);
        int r;
        if (d.a & INDIRECT) {
            if (!v->indirect || (d.a & NEXT))
                return chv_err_set(err, EPROTO, "an indirect descriptor where none may be");
            r = follow_table(v, &d, chain, err);
        } else {
            r = chain_add(chain, v->memory, d.addr, d.bytes, d.a & WRITE, err);
        }
        if (r < 0) return r;
        if (!(d.a & NEXT)) {
            v->outstanding++;
            return 0;
        }
        if (d.b >= v->size) return chv_err_set(err, EPROTO, "descriptor %u of a ring of %u", d.b, v->size);
        at = d.b;
    }
    return chv_err_set(err, EPROTO, "a chain that is a loop");
}

int split_pop(struct vring *v, struct chain *chain, struct chv_err *err)
{
    uint16_t index = ring_load16(v->avail + 2), pending = (uint16_t)(index - v->avail_next);
    if (pending == 0) return 0;
    if (pending > v->size)
        return chv_err_set(err, EPROTO, "the index of requests jumped from %u to %u in a ring of %u", v->avail_next,
                           index, v->size);
    uint16_t head = ring_load16(v->avail + 4 + 2 * (size_t)(v->avail_next % v->size));
    int r = split_chain(v, head, chain, err);
    if (r < 0) return r;
    v->avail_next++;
    return 1;
}

static uint8_t *used_event(const struct vring *v)
{
    return v->avail + 4 + 2 * (size_t)v->size;
}

static uint8_t *avail_event(const struct vring *v)
{
    return v->used + 4 + 8 * (size_t)v->size;
}

bool split_push(struct vring *v, const struct chain *chain, uint32_t written)
{
    const uint32_t element[2] = {chain->id, written};
    memcpy(v->used + 4 + 8 * (size_t)(v->used_next % v->size), element, sizeof element);
    uint16_t now = ++v->used_next;
    ring_store16(v->used + 2, now);
    v->outstanding -= v->outstanding > 0;
    /* the guest publishes what it wants, then looks at the index; we the other way round */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!v->event_idx) return !(ring_load16(v->avail) & NO_INTERRUPT);
    return ring_load16(used_event(v)) == (uint16_t)(now - 1); /* every entry is asked about by itself */
}

bool split_ask(struct vring *v)
{
    if (v->event_idx) ring_store16(avail_event(v), v->avail_next);
    else ring_store16(v->used, 0);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return ring_load16(v->avail + 2) != v->avail_next;
}

void split_hush(struct vring *v)
{
    /* with event index the guest is only told of one index, which is passed by now */
    if (!v->event_idx) ring_store16(v->used, NO_NOTIFY);
}
