/* What is noted of requests under way, whenever the device dies: at each step of taking requests and giving them back,
 * whoever comes next finds those, and only those, that were taken and not given back. And whatever else may stand
 * there. */
#include <errno.h>

#include "sensor/vhost_user/inflight.h"
#include "tests/vhost_user/guest_ram.h"

enum { NEXT = 1, WRITE = 2, AVAIL = 1 << 7, USED = 1 << 15 };
#define SIZE 8u
#define DATA (RAM_GPA + DATA_AT)
#define AREA_BYTES 1024u

struct world {
    struct guest_ram ram;
    bool packed;
    struct vring ring;
    struct inflight notes;
    struct inflight_map map;
    unsigned at; /* the driver's place */
    bool wrap;
    struct chain chain[4]; /* under way */
    unsigned chains;
    uint16_t ids;
};

static struct inflight later;

static void open_notes(struct inflight_map *m, struct inflight *f, struct vring *ring, struct chv_err *err)
{
    CHECK_OK(inflight_start(f, m, 0, ring, err), *err);
}

/* A request of two descriptors, or three. */
static void offer(struct world *w, unsigned id, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        unsigned flags = (i + 1 < n ? NEXT : 0u) | (i + 1 == n ? WRITE : 0u);
        if (w->packed) {
            ram_desc(&w->ram, 16 * w->at, DATA + 64 * id, 16, id, flags | (unsigned)(w->wrap ? AVAIL : USED));
            if (++w->at == SIZE) w->at = 0, w->wrap = !w->wrap;
        } else {
            ram_desc(&w->ram, 16 * (2 * id + i), DATA + 64 * id, 16, flags, 2 * id + i + 1);
        }
    }
    if (w->packed) return;
    ram_put16(&w->ram, AVAIL_AT + 4 + 2 * (w->at % SIZE), 2 * id);
    ram_put16(&w->ram, AVAIL_AT + 2, ++w->at);
}

/* The device dies here: what does the next one do? Those before `first` have been given back. */
static void dies(const struct world *w, unsigned first)
{
    static uint8_t area[AREA_BYTES], memory[RAM_BYTES];
    struct inflight_map m = w->map;
    struct chv_err err;
    memcpy(area, w->map.map, AREA_BYTES);
    memcpy(memory, w->ram.at, RAM_BYTES);
    m.map = area;
    struct vring ring = w->ring;
    ring.memory = guest_memory_hold(w->ram.memory);
    ring.avail_next = ring.used_next = 0; /* what the front-end says of a packed ring */
    ring.avail_wrap = ring.used_wrap = true;
    ring.outstanding = 0;
    open_notes(&m, &later, &ring, &err);
    CHECK(later.agains == w->chains - first);
    static struct chain chain;
    for (unsigned i = first; i < w->chains; i++) {
        CHECK(inflight_again(&later, &ring, &chain, &err) == 1);
        CHECK(chain.id == w->chain[i].id && chain.slots == w->chain[i].slots && chain.out == w->chain[i].out);
        CHECK(chain.segment[0].gpa == w->chain[i].segment[0].gpa);
    }
    CHECK(inflight_again(&later, &ring, &chain, &err) == 0);
    CHECK(ring.avail_next == w->ring.avail_next && (!w->packed || ring.avail_wrap == w->ring.avail_wrap));
    /* and goes on: a new one finds room */
    inflight_took(&later, &ring, &chain);
    vring_unmap(&ring);
    memcpy(w->ram.at, memory, RAM_BYTES);
}

static void take(struct world *w, unsigned n)
{
    struct chv_err err;
    offer(w, w->ids++ % 4, n);
    struct chain *c = &w->chain[w->chains];
    CHECK(vring_pop(&w->ring, c, &err) == 1);
    inflight_took(&w->notes, &w->ring, c);
    w->chains++;
    dies(w, 0);
}

/* Give back the oldest. */
static void give(struct world *w)
{
    const struct chain c = w->chain[0];
    inflight_giving(&w->notes, &w->ring, &c);
    dies(w, 0);
    vring_push(&w->ring, &c, 16);
    dies(w, 1);
    inflight_gave(&w->notes, &w->ring, &c);
    dies(w, 1);
    w->chains--;
    memmove(w->chain, w->chain + 1, w->chains * sizeof c);
    dies(w, 0);
}

static void lives(bool packed)
{
    static struct world w;
    struct chv_err err;
    memset(&w, 0, sizeof w);
    ram_init(&w.ram);
    w.packed = w.wrap = packed;
    ram_ring(&w.ram, &w.ring, SIZE, packed, false);
    uint8_t *area = calloc(1, AREA_BYTES);
    w.map = (struct inflight_map){.map = area, .bytes = AREA_BYTES, .queues = 1, .queue_size = SIZE};
    atomic_init(&w.map.guard.lost, false);
    open_notes(&w.map, &w.notes, &w.ring, &err);
    for (unsigned round = 0; round < 500; round++) {
        take(&w, 2);
        take(&w, packed && round % 3 == 0 ? 3 : 2);
        if (round % 2) take(&w, 2);
        while (w.chains) give(&w);
    }
    vring_unmap(&w.ring);
    free(area);
    ram_fini(&w.ram);
}

/* Nobody but the front-end can write there; yet it is outside. */
static void nonsense(uint64_t *seed)
{
    struct guest_ram ram;
    struct chv_err err;
    static struct chain chain;
    ram_init(&ram);
    uint8_t *area = calloc(1, AREA_BYTES);
    struct inflight_map m = {.map = area, .bytes = AREA_BYTES, .queues = 1, .queue_size = SIZE};
    unsigned refused = 0;
    for (unsigned round = 0; round < 20000; round++) {
        struct vring ring;
        const bool packed = round % 4;
        memset(ram.at, 0, DATA_AT);
        ram_ring(&ram, &ring, SIZE, packed, false);
        for (unsigned i = 0; i < AREA_BYTES; i++)
            area[i] = (uint8_t)(unit_random(seed) % 10); /* small numbers: near what could be */
        if (round % 8 == 7) memset(area + 12, 0, 16);
        for (unsigned i = 1; i < 12; i += 2) area[i] = 0;
        int r = inflight_start(&later, &m, 0, &ring, &err);
        refused += r < 0;
        for (unsigned i = 0; r == 0 && i < SIZE + 1; i++) {
            for (unsigned k = 0; k < 40; k++) area[unit_random(seed) % AREA_BYTES] = (uint8_t)unit_random(seed);
            if (inflight_again(&later, &ring, &chain, &err) <= 0) break;
            inflight_giving(&later, &ring, &chain);
            vring_push(&ring, &chain, 1);
            inflight_gave(&later, &ring, &chain);
        }
        vring_unmap(&ring);
    }
    CHECK(refused > 1000);
    free(area);
    ram_fini(&ram);
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    lives(false);
    lives(true);
    nonsense(&seed);
    return 0;
}
