#include "sensor/vhost_user/vring.h"

#include <errno.h>
#include <string.h>

static uint64_t avail_bytes(const struct vring *v)
{
    return v->packed ? 4 : 4 + 2 * (uint64_t)v->size + 2;
}

uint64_t vring_used_bytes(const struct vring *v)
{
    return v->packed ? 4 : 4 + 8 * (uint64_t)v->size + 2;
}

int vring_map(struct vring *v, struct guest_memory *memory, struct chv_err *err)
{
    if (v->size == 0) return chv_err_set(err, EINVAL, "a ring without size");
    uint8_t *desc = guest_memory_at_uva(memory, v->addr.desc, 16 * (uint64_t)v->size);
    uint8_t *avail = guest_memory_at_uva(memory, v->addr.avail, avail_bytes(v));
    uint8_t *used = guest_memory_at_uva(memory, v->addr.used, vring_used_bytes(v));
    if (!desc || !avail || !used) return chv_err_set(err, EINVAL, "a ring that is not within the shared memory");
    /* of what is here, not of what the front-end called it: a host that traps unaligned atomics must not */
    if ((uintptr_t)desc % 16 || (uintptr_t)avail % (v->packed ? 4 : 2) || (uintptr_t)used % 4)
        return chv_err_set(err, EINVAL, "a ring that is not aligned");
    guest_memory_hold(memory);
    guest_memory_drop(v->memory);
    v->memory = memory;
    v->desc = desc;
    v->avail = avail;
    v->used = used;
    return 0;
}

void vring_unmap(struct vring *v)
{
    guest_memory_drop(v->memory);
    v->memory = NULL;
    v->desc = v->avail = v->used = NULL;
}

int chain_add(struct chain *chain, const struct guest_memory *m, uint64_t gpa, uint32_t bytes, bool in,
              struct chv_err *err)
{
    if (bytes == 0) return chv_err_set(err, EPROTO, "a descriptor of no bytes");
    if (chain->out_bytes + chain->in_bytes + bytes > CHAIN_BYTES_MAX)
        return chv_err_set(err, EPROTO, "a request of more than %u bytes", CHAIN_BYTES_MAX);
    if (gpa > UINT64_MAX - bytes)
        return chv_err_set(err, EPROTO, "a descriptor that wraps around at 0x%llx", (unsigned long long)gpa);
    if (!in && chain->in) return chv_err_set(err, EPROTO, "a readable descriptor after a writable one");
    *(in ? &chain->in_bytes : &chain->out_bytes) += bytes;
    while (bytes > 0) {
        uint64_t n = bytes;
        uint8_t *host = guest_memory_at(m, gpa, &n);
        if (!host)
            return chv_err_set(err, EPROTO, "a descriptor outside of the guest's memory: 0x%llx",
                               (unsigned long long)gpa);
        if (chain->out + chain->in == CHAIN_SEGMENTS_MAX)
            return chv_err_set(err, EPROTO, "a request of more than %u pieces", CHAIN_SEGMENTS_MAX);
        chain->segment[chain->out + chain->in] = (struct segment){.host = host, .gpa = gpa, .bytes = (uint32_t)n};
        *(in ? &chain->in : &chain->out) += 1;
        gpa += n;
        bytes -= (uint32_t)n;
    }
    return 0;
}

void chain_clear(struct chain *chain, struct guest_memory *memory)
{
    chain->memory = memory;
    chain->id = chain->slots = chain->entry = 0;
    chain->out = chain->in = 0;
    chain->out_bytes = chain->in_bytes = 0;
}

int vring_pop(struct vring *v, struct chain *chain, struct chv_err *err)
{
    chain_clear(chain, v->memory);
    return v->packed ? packed_pop(v, chain, err) : split_pop(v, chain, err);
}

int vring_pop_again(struct vring *v, uint16_t head, struct chain *chain, struct chv_err *err)
{
    chain_clear(chain, v->memory);
    int r = split_chain(v, head, chain, err);
    return r < 0 ? r : 1;
}

bool vring_push(struct vring *v, const struct chain *chain, uint32_t written)
{
    return v->packed ? packed_push(v, chain, written) : split_push(v, chain, written);
}

bool vring_ask(struct vring *v)
{
    return v->packed ? packed_ask(v) : split_ask(v);
}

void vring_hush(struct vring *v)
{
    if (v->packed) packed_hush(v);
    else split_hush(v);
}

bool vring_waiting(const struct vring *v)
{
    return v->packed ? packed_waiting(v) : ring_load16(v->avail + 2) != v->avail_next;
}

void vring_set_base(struct vring *v, uint32_t base)
{
    v->outstanding = 0;
    if (!v->packed) {
        v->avail_next = v->used_next = (uint16_t)base;
        return;
    }
    v->avail_next = base & 0x7fff;
    v->avail_wrap = base >> 15 & 1;
    v->used_next = base >> 16 & 0x7fff;
    v->used_wrap = base >> 31 & 1;
}

uint32_t vring_base(const struct vring *v)
{
    if (!v->packed) return v->avail_next;
    return (uint32_t)v->avail_next | (uint32_t)v->avail_wrap << 15 | (uint32_t)v->used_next << 16 |
           (uint32_t)v->used_wrap << 31;
}
