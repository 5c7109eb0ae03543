/* Any bytes as guest memory with a ring in it: taken, read as requests, given back, in bounds and in bounded time. */
#include <errno.h>

#include "sensor/vhost_user/blk.h"
#include "tests/vhost_user/guest_ram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* data: kind and log2 of the ring's size; where the ring is; then descriptors, event words, and the rest of memory. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guest_ram ram;
    struct vring v;
    struct chv_err err;
    if (size < 4) return 0;
    struct chain *chain = malloc(sizeof *chain);
    CHECK(chain);
    ram_init(&ram);
    const uint8_t kind = data[0];
    uint32_t ring = 1u << (data[1] % 9);
    ram_ring(&ram, &v, kind & 1 ? ring + data[2] % 3 : ring, kind & 1, kind & 2);
    v.indirect = kind & 4;
    /* in slices, so that a short input reaches everything that is looked at */
    static const uint32_t where[] = {DESC_AT, AVAIL_AT, TABLE_AT, DATA_AT, RAM_BYTES / 2 - 64};
    size_t slice = (size - 3 + 4) / 5;
    for (size_t i = 0, at = 3; i < 5 && at < size; i++, at += slice)
        memcpy(ram.at + where[i], data + at, size - at < slice ? size - at : slice);
    for (unsigned i = 0; i < 600; i++) {
        struct blk_request request;
        int r = vring_pop(&v, chain, &err);
        if (r < 0) CHECK(r == -EPROTO && err.text[0]);
        if (r <= 0) break;
        CHECK(chain->out + chain->in <= CHAIN_SEGMENTS_MAX && chain->out_bytes + chain->in_bytes <= CHAIN_BYTES_MAX);
        uint64_t total = 0;
        for (unsigned k = 0; k < chain->out + chain->in; k++) {
            const struct segment *s = &chain->segment[k];
            uint64_t n = s->bytes;
            CHECK(guest_memory_at(ram.memory, s->gpa, &n) == s->host && n == s->bytes);
            total += n;
        }
        CHECK(total == chain->out_bytes + chain->in_bytes && v.outstanding <= v.size);
        if (blk_parse(chain, &request, &err) == 0) vring_push(&v, chain, blk_fail(chain));
        if (kind & 8) vring_ask(&v);
        else vring_hush(&v);
    }
    vring_unmap(&v);
    ram_fini(&ram);
    free(chain);
    return 0;
}
