/* A virtqueue in the guest's memory, seen from the device: virtio 1.2, 2.7 (split) and 2.8 (packed).
 *
 * The guest may change any of it at any time: each index and each descriptor is read once, into memory of ours, checked
 * there and used from there. Whoever calls holds the queue's lock. Errors are -EPROTO with one line in `err`. */
#ifndef CHV_SENSOR_VHOST_VRING_H
#define CHV_SENSOR_VHOST_VRING_H

#include <stdbool.h>
#include <stdint.h>

#include "chronovisor/err.h"
#include "sensor/vhost_user/memory.h"

#define VRING_SIZE_MAX 1024u    /* descriptors of a ring; what QEMU allows as well */
#define CHAIN_SEGMENTS_MAX 256u /* pieces of one request; config space says fewer */
#define CHAIN_BYTES_MAX (64u << 20)

/* A piece of a request, in one piece of our address space. */
struct segment {
    uint8_t *host;
    uint64_t gpa;
    uint32_t bytes;
};

/* One request: first what the device reads (`out` pieces), then what it writes (`in` pieces). */
struct chain {
    struct guest_memory *memory; /* where its pieces are; borrowed */
    uint16_t id;                 /* split: the head's number; packed: the buffer's id */
    uint16_t slots;              /* of the ring: packed only */
    uint16_t entry;              /* of what is kept of those under way (inflight.h): packed only */
    unsigned out, in;
    uint64_t out_bytes, in_bytes;
    struct segment segment[CHAIN_SEGMENTS_MAX];
};

struct vring_desc_copy { /* both kinds are of 16 bytes */
    uint64_t addr;
    uint32_t bytes;
    uint16_t a, b; /* split: flags, next; packed: id, flags */
};

struct vring {
    uint32_t size; /* descriptors; 0: not known yet */
    bool packed, event_idx, indirect;
    struct vu_addr addr; /* as the front-end said */
    uint8_t *desc, *avail,
        *used; /* where that is; NULL: not mapped. packed: avail and used are the event suppressions */
    struct guest_memory *memory;
    uint16_t avail_next, used_next; /* the next to look at, and to fill */
    bool avail_wrap, used_wrap;     /* packed */
    struct vring_desc_copy *trace; /* packed: gets the descriptors of what is taken, size of them; or NULL */
    uint32_t outstanding; /* taken and not given back: requests (split), slots (packed) */
};

/* Find the rings in the memory; takes a hold of it and drops the one before. EINVAL. */
int vring_map(struct vring *v, struct guest_memory *memory, struct chv_err *err);
void vring_unmap(struct vring *v);

/* Take the next request: 1, 0 when there is none, -EPROTO when the ring cannot be right. */
int vring_pop(struct vring *v, struct chain *chain, struct chv_err *err);
/* The request that begins at this descriptor, again (split; after the device died with it). */
int vring_pop_again(struct vring *v, uint16_t head, struct chain *chain, struct chv_err *err);
/* Give a request back; `written` bytes of its in pieces were. Returns whether the guest wants to be told. */
bool vring_push(struct vring *v, const struct chain *chain, uint32_t written);
/* Ask the guest to tell about new requests, or not to; asking returns whether there already are some. */
bool vring_ask(struct vring *v);
void vring_hush(struct vring *v);
/* Does another request wait? A hint. */
bool vring_waiting(const struct vring *v);
/* What SET_VRING_BASE and GET_VRING_BASE carry. */
void vring_set_base(struct vring *v, uint32_t base);
uint32_t vring_base(const struct vring *v);
/* Bytes of the ring that the device writes, for the log of changed pages: from addr.log. */
uint64_t vring_used_bytes(const struct vring *v);

void chain_clear(struct chain *chain, struct guest_memory *memory);
/* Pieces of [gpa, gpa + bytes) onto the chain. */
int chain_add(struct chain *chain, const struct guest_memory *m, uint64_t gpa, uint32_t bytes, bool in,
              struct chv_err *err);

/* --- inside: split.c and packed.c --- */

int split_pop(struct vring *v, struct chain *chain, struct chv_err *err);
int split_chain(struct vring *v, uint16_t head, struct chain *chain, struct chv_err *err);
bool split_push(struct vring *v, const struct chain *chain, uint32_t written);
bool split_ask(struct vring *v);
void split_hush(struct vring *v);
int packed_pop(struct vring *v, struct chain *chain, struct chv_err *err);
/* The request of these descriptors, which were taken before and may be overwritten by now: 1 or -EPROTO. */
int packed_pop_again(struct vring *v, const struct vring_desc_copy *desc, uint32_t slots, struct chain *chain,
                     struct chv_err *err);
bool packed_is_available(uint16_t flags, bool wrap);
bool packed_push(struct vring *v, const struct chain *chain, uint32_t written);
bool packed_ask(struct vring *v);
void packed_hush(struct vring *v);
bool packed_waiting(const struct vring *v);

static inline uint16_t ring_load16(const uint8_t *p)
{
    return __atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE);
}

static inline void ring_store16(uint8_t *p, uint16_t value)
{
    __atomic_store_n((uint16_t *)p, value, __ATOMIC_RELEASE);
}

#endif
