/* Writes of a part of a block, where the store's blocks are larger than a sector.
 *
 * The hash of an event is of the whole block. What the rest of it held is in the log, unless it was never recorded; the last
 * blocks that this happened to are kept, since file systems write them again and again (a journal, a FAT). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/sink.h"

#define SLOTS 1024u
#define BLOCK_SECTORS (CHV_WIRE_BLOCK_BYTES / CHV_SECTOR_BYTES)

struct partial_cache {
    struct partial_slot {
        uint64_t block;
        uint32_t device;
        uint8_t used, known; /* known: a bit a sector */
    } slots[SLOTS];
    uint8_t content[SLOTS][CHV_WIRE_BLOCK_BYTES];
};

struct partial_cache *partial_new(void)
{
    return calloc(1, sizeof(struct partial_cache));
}

static size_t slot_of(uint32_t device, uint64_t block)
{
    return (size_t)((block + device * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xd6e8feb86659fd93) >> 32) % SLOTS;
}

void partial_forget(struct partial_cache *c, uint32_t device, uint64_t first_block, uint64_t end_block, const void *content)
{
    if (end_block - first_block == 1) {
        size_t i = slot_of(device, first_block);
        struct partial_slot *slot = &c->slots[i];
        if (!slot->used || slot->device != device || slot->block != first_block) return;
        slot->used = content != NULL;
        slot->known = 0xff;
        if (content) memcpy(c->content[i], content, CHV_WIRE_BLOCK_BYTES);
        return;
    }
    for (size_t i = 0; i < SLOTS; i++) {
        struct partial_slot *slot = &c->slots[i];
        if (slot->used && slot->device == device && slot->block >= first_block && slot->block < end_block) slot->used = 0;
    }
}

/* What the log says that the block holds: all that was recorded has to be durable for that. */
static int look_up(struct sink *s, uint32_t device, uint64_t block, uint8_t *content, uint8_t *known, struct chv_err *err)
{
    struct chv_store_info info;
    struct chv_extent e;
    uint64_t ticket;
    int r = sink_flush(s, err);
    if (r == 0) r = chv_recorder_append(s->rec, NULL, 0, &ticket, err);
    if (r == 0) r = chv_recorder_wait(s->rec, ticket, err);
    if (r == 0) r = chv_store_refresh(s->store, err);
    if (r < 0) return r;
    chv_store_info(s->store, &info);
    r = chv_store_block_at(s->store, s->spaces[device], block, info.last_seq, &e, err);
    if (r < 0) return r;
    *known = e.state == CHV_STATE_DATA || e.state == CHV_STATE_ZERO ? 0xff : 0;
    memset(content, 0, CHV_WIRE_BLOCK_BYTES);
    return e.state == CHV_STATE_DATA ? chv_store_read_block(s->store, e.hash, content, err) : 0;
}

int partial_write(struct sink *s, uint32_t device, const struct chv_wire_record *r, const void *content, uint8_t *block,
                  struct chv_err *err)
{
    uint64_t number = chv_wire_lba(r) / BLOCK_SECTORS, from = chv_wire_lba(r) % BLOCK_SECTORS;
    size_t i = slot_of(device, number);
    struct partial_slot *slot = &s->partial->slots[i];
    if (!slot->used || slot->device != device || slot->block != number) {
        struct partial_slot found = {.block = number, .device = device, .used = 1};
        slot->used = 0;
        int code = look_up(s, device, number, s->partial->content[i], &found.known, err);
        if (code < 0) return code;
        /* sectors beyond the end of the device are zeros */
        for (uint64_t b = 0; b < BLOCK_SECTORS; b++)
            if (number * BLOCK_SECTORS + b >= s->devices[device].bytes / CHV_SECTOR_BYTES) found.known |= (uint8_t)(1 << b);
        *slot = found;
    }
    memcpy(s->partial->content[i] + from * CHV_SECTOR_BYTES, content, r->bytes);
    for (uint64_t b = from; b < from + r->sectors; b++) slot->known |= (uint8_t)(1 << b);
    memcpy(block, s->partial->content[i], CHV_WIRE_BLOCK_BYTES);
    return slot->known == 0xff;
}
