/* Rings in fabricated memory: what a good guest does, and what a bad one might. */
#include <errno.h>

#include "tests/vhost_user/guest_ram.h"

enum { NEXT = 1, WRITE = 2, INDIRECT = 4, AVAIL = 1 << 7, USED = 1 << 15 };
#define SIZE 8u
#define DATA (RAM_GPA + DATA_AT)

static struct chain chain;

static void offer(const struct guest_ram *ram, unsigned index, unsigned head)
{
    ram_put16(ram, AVAIL_AT + 4 + 2 * (index % SIZE), head);
    ram_put16(ram, AVAIL_AT + 2, index + 1);
}

static void split_good(const struct guest_ram *ram)
{
    struct vring v;
    struct chv_err err;
    ram_ring(ram, &v, SIZE, false, true);
    CHECK(vring_pop(&v, &chain, &err) == 0);
    for (unsigned round = 0; round < 70000; round++) { /* past the end of 16 bits */
        ram_desc(ram, 16 * 3, DATA, 16, NEXT, 5);
        ram_desc(ram, 16 * 5, DATA + 4096, 512, NEXT | WRITE, 1);
        ram_desc(ram, 16 * 1, DATA + 8192, 1, WRITE, 0);
        ram_put16(ram, AVAIL_AT + 4 + 2 * SIZE, round + (round % 2)); /* used_event: tell me, tell me not */
        offer(ram, round, 3);
        CHECK(vring_waiting(&v));
        CHECK(vring_pop(&v, &chain, &err) == 1);
        CHECK(chain.id == 3 && chain.out == 1 && chain.in == 2 && chain.out_bytes == 16 && chain.in_bytes == 513);
        CHECK(!memcmp(&chain.segment[1].gpa, &(uint64_t){DATA + 4096}, 8) && v.outstanding == 1);
        CHECK(vring_pop(&v, &chain, &err) == 0 && !vring_waiting(&v));
        chain.id = 3;
        CHECK(vring_push(&v, &chain, 513) == (round % 2 == 0));
        CHECK(ram_get16(ram, USED_AT + 2) == ((round + 1) & 0xffff) && v.outstanding == 0);
        CHECK(!vring_ask(&v) && ram_get16(ram, USED_AT + 4 + 8 * SIZE) == ((round + 1) & 0xffff));
    }
    vring_unmap(&v);
    /* without event index: flags */
    memset(ram->at, 0, RAM_BYTES);
    ram_ring(ram, &v, SIZE, false, false);
    vring_hush(&v);
    CHECK(ram_get16(ram, USED_AT) == 1 && !vring_ask(&v) && ram_get16(ram, USED_AT) == 0);
    CHECK(vring_push(&v, &chain, 1));
    ram_put16(ram, AVAIL_AT, 1);
    CHECK(!vring_push(&v, &chain, 1));
    vring_unmap(&v);
}

/* A piece that crosses from one region into the next, and an indirect table. */
static void split_pieces(const struct guest_ram *ram)
{
    struct vring v;
    struct chv_err err;
    memset(ram->at, 0, RAM_BYTES);
    ram_ring(ram, &v, SIZE, false, false);
    ram_desc(ram, TABLE_AT, DATA, 16, NEXT, 2);
    ram_desc(ram, TABLE_AT + 32, RAM_GPA + RAM_BYTES / 2 - 100, 300, NEXT, 1);
    ram_desc(ram, TABLE_AT + 16, DATA, 1, WRITE, 0);
    ram_desc(ram, 0, RAM_GPA + TABLE_AT, 48, INDIRECT | WRITE, 0);
    offer(ram, 0, 0);
    CHECK(vring_pop(&v, &chain, &err) == 1);
    CHECK(chain.out == 3 && chain.in == 1 && chain.segment[1].bytes == 100 && chain.segment[2].bytes == 200);
    memset(ram->at + RAM_BYTES / 2, 7, 200);
    CHECK(chain.segment[2].host[199] == 7 && chain.segment[2].host[200] == 0);
    vring_unmap(&v);
}

struct hostile {
    const char *says;
    void (*make)(const struct guest_ram *ram);
};

static void jump(const struct guest_ram *ram) { ram_put16(ram, AVAIL_AT + 2, SIZE + 1); }
static void head(const struct guest_ram *ram) { offer(ram, 0, SIZE); }
static void next(const struct guest_ram *ram) { ram_desc(ram, 0, DATA, 16, NEXT, SIZE), offer(ram, 0, 0); }
static void loop(const struct guest_ram *ram)
{
    ram_desc(ram, 0, DATA, 16, NEXT, 1);
    ram_desc(ram, 16, DATA, 16, NEXT, 0);
    offer(ram, 0, 0);
}
static void beyond(const struct guest_ram *ram)
{
    ram_desc(ram, 0, RAM_GPA + RAM_BYTES - 1, 2, 0, 0), offer(ram, 0, 0);
}
static void before(const struct guest_ram *ram) { ram_desc(ram, 0, RAM_GPA - 1, 2, 0, 0), offer(ram, 0, 0); }
static void wraps(const struct guest_ram *ram) { ram_desc(ram, 0, UINT64_MAX - 5, 16, 0, 0), offer(ram, 0, 0); }
static void huge(const struct guest_ram *ram) { ram_desc(ram, 0, DATA, UINT32_MAX, 0, 0), offer(ram, 0, 0); }
static void empty(const struct guest_ram *ram) { ram_desc(ram, 0, DATA, 0, 0, 0), offer(ram, 0, 0); }
static void order(const struct guest_ram *ram)
{
    ram_desc(ram, 0, DATA, 16, NEXT | WRITE, 1);
    ram_desc(ram, 16, DATA, 16, 0, 0);
    offer(ram, 0, 0);
}
static void table_size(const struct guest_ram *ram) { ram_desc(ram, 0, DATA, 24, INDIRECT, 0), offer(ram, 0, 0); }
static void table_huge(const struct guest_ram *ram)
{
    ram_desc(ram, 0, DATA, 0xfffffff0, INDIRECT, 0), offer(ram, 0, 0);
}
static void table_next(const struct guest_ram *ram)
{
    ram_desc(ram, 0, DATA, 16, INDIRECT | NEXT, 1), offer(ram, 0, 0);
}
static void table_where(const struct guest_ram *ram)
{
    ram_desc(ram, 0, UINT64_MAX - 7, 16, INDIRECT, 0), offer(ram, 0, 0);
}
static void table_beyond(const struct guest_ram *ram)
{
    ram_desc(ram, 0, RAM_GPA + RAM_BYTES - 8, 16, INDIRECT, 0), offer(ram, 0, 0);
}
static void table_in_table(const struct guest_ram *ram)
{
    ram_desc(ram, TABLE_AT, DATA, 16, INDIRECT, 0);
    ram_desc(ram, 0, RAM_GPA + TABLE_AT, 16, INDIRECT, 0);
    offer(ram, 0, 0);
}
static void table_loop(const struct guest_ram *ram)
{
    ram_desc(ram, TABLE_AT, DATA, 16, NEXT, 1);
    ram_desc(ram, TABLE_AT + 16, DATA, 16, NEXT, 0);
    ram_desc(ram, 0, RAM_GPA + TABLE_AT, 32, INDIRECT, 0);
    offer(ram, 0, 0);
}
static void table_entry(const struct guest_ram *ram)
{
    ram_desc(ram, TABLE_AT, DATA, 16, NEXT, 9);
    ram_desc(ram, 0, RAM_GPA + TABLE_AT, 32, INDIRECT, 0);
    offer(ram, 0, 0);
}
static void pieces(const struct guest_ram *ram)
{
    for (unsigned i = 0; i < 300; i++) ram_desc(ram, TABLE_AT + 16 * i, DATA, 16, NEXT, i + 1);
    ram_desc(ram, 0, RAM_GPA + TABLE_AT, 16 * 301, INDIRECT, 0);
    offer(ram, 0, 0);
}

static const struct hostile split_bad[] = {
    {"jumped", jump},
    {"descriptor 8", head},
    {"descriptor 8", next},
    {"loop", loop},
    {"outside", beyond},
    {"outside", before},
    {"wraps", wraps},
    {"more than", huge},
    {"no bytes", empty},
    {"after a writable", order},
    {"table of 24", table_size},
    {"table of 4294967280", table_huge},
    {"where none", table_next},
    {"wraps", table_where},
    {"outside", table_beyond},
    {"in an indirect", table_in_table},
    {"is a loop", table_loop},
    {"entry 9", table_entry},
    {"pieces", pieces},
};

static void split_hostile(const struct guest_ram *ram)
{
    struct vring v;
    struct chv_err err;
    for (size_t i = 0; i < sizeof split_bad / sizeof *split_bad; i++) {
        memset(ram->at, 0, RAM_BYTES);
        ram_ring(ram, &v, SIZE, false, false);
        split_bad[i].make(ram);
        int r = vring_pop(&v, &chain, &err);
        if (r != -EPROTO || !strstr(err.text, split_bad[i].says)) printf("case %zu: %d %s\n", i, r, err.text);
        CHECK(r == -EPROTO && strstr(err.text, split_bad[i].says));
        vring_unmap(&v);
    }
    /* the same descriptor over and over, never given back */
    memset(ram->at, 0, RAM_BYTES);
    ram_ring(ram, &v, SIZE, false, false);
    ram_desc(ram, 0, DATA, 16, 0, 0);
    for (unsigned i = 0; i < SIZE; i++) {
        offer(ram, i, 0);
        CHECK(vring_pop(&v, &chain, &err) == 1);
    }
    offer(ram, SIZE, 0);
    CHECK(vring_pop(&v, &chain, &err) == -EPROTO && strstr(err.text, "at once"));
    vring_unmap(&v);
}

/* Packed: `flags` for a descriptor of the first (wrap) or second round. */
static unsigned packed_flags(unsigned flags, bool wrap)
{
    return flags | (wrap ? AVAIL : USED);
}

static void packed_good(const struct guest_ram *ram)
{
    struct vring v;
    struct chv_err err;
    const uint32_t size = 7; /* no power of 2 is needed */
    memset(ram->at, 0, RAM_BYTES);
    ram_ring(ram, &v, size, true, true);
    uint32_t at = 0;
    bool wrap = true;
    CHECK(vring_pop(&v, &chain, &err) == 0);
    for (unsigned round = 0; round < 1000; round++) {
        uint32_t first = at;
        bool first_wrap = wrap;
        for (unsigned i = 0; i < 3; i++) {
            ram_desc(ram, 16 * at, DATA + 4096 * i, i ? 512 : 16, i == 2 ? round : 0xffff,
                     packed_flags((i < 2 ? NEXT : 0) | (i ? WRITE : 0), wrap));
            if (++at == size) at = 0, wrap = !wrap;
        }
        bool tell = round % 2; /* of the entry that will be used, or of the one after it */
        uint32_t event = first + (tell ? 0 : 3);
        bool event_wrap = event >= size ? !first_wrap : first_wrap;
        ram_put16(ram, AVAIL_AT, event % size | (unsigned)event_wrap << 15);
        ram_put16(ram, AVAIL_AT + 2, 2);
        CHECK(vring_waiting(&v) && vring_pop(&v, &chain, &err) == 1);
        CHECK(chain.id == (uint16_t)round && chain.slots == 3 && chain.out == 1 && chain.in == 2 && v.outstanding == 3);
        CHECK(v.avail_next == at && v.avail_wrap == wrap);
        CHECK(vring_push(&v, &chain, 513) == tell);
        CHECK(ram_get16(ram, 16 * first + 12) == (uint16_t)round);
        CHECK(ram_get16(ram, 16 * first + 14) == (first_wrap ? AVAIL | USED | WRITE : WRITE));
        CHECK(v.used_next == at && v.outstanding == 0 && !vring_waiting(&v));
    }
    uint32_t base = vring_base(&v);
    vring_set_base(&v, base);
    CHECK(vring_base(&v) == base && v.avail_next == at);
    vring_unmap(&v);
}

static void packed_hostile(const struct guest_ram *ram)
{
    struct vring v;
    struct chv_err err;
    static const struct {
        const char *says;
        uint64_t gpa;
        uint32_t bytes;
        unsigned flags;
    } bad[] = {
        {"not all there", DATA, 16, NEXT},         {"outside", RAM_GPA - 1, 16, 0}, {"no bytes", DATA, 0, 0},
        {"table of 17", DATA, 17, INDIRECT},       {"where none", DATA, 16, INDIRECT | NEXT},
        {"more than", DATA, UINT32_MAX, 0},        {"outside", RAM_GPA + RAM_BYTES, 32, INDIRECT},
        {"wraps", UINT64_MAX - 3, 16, INDIRECT},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memset(ram->at, 0, RAM_BYTES);
        ram_ring(ram, &v, SIZE, true, false);
        ram_desc(ram, 0, bad[i].gpa, bad[i].bytes, 0, packed_flags(bad[i].flags, true));
        CHECK(vring_pop(&v, &chain, &err) == -EPROTO && strstr(err.text, bad[i].says));
        vring_unmap(&v);
    }
    memset(ram->at, 0, RAM_BYTES);
    ram_ring(ram, &v, SIZE, true, false);
    for (unsigned i = 0; i < SIZE; i++) ram_desc(ram, 16 * i, DATA, 16, 0, packed_flags(NEXT, true));
    CHECK(vring_pop(&v, &chain, &err) == -EPROTO); /* all of the ring, and no end */
    vring_unmap(&v);
}

static void memory_tables(const struct guest_ram *ram)
{
    struct guest_memory *m;
    struct chv_err err;
    const int fds[2] = {ram->fd, ram->fd};
    struct vu_memory t = ram_table();
    t.region[1].gpa = RAM_GPA + 1;
    CHECK(guest_memory_new(&t, fds, &m, &err) == -EINVAL && strstr(err.text, "overlap"));
    t = ram_table();
    t.region[1].uva = RAM_UVA;
    CHECK(guest_memory_new(&t, fds, &m, &err) == -EINVAL && strstr(err.text, "overlap"));
    t = ram_table();
    t.region[1].offset = RAM_BYTES;
    CHECK(guest_memory_new(&t, fds, &m, &err) == -EINVAL && strstr(err.text, "within its file"));
    t = ram_table();
    t.region[0].bytes = UINT64_MAX - 100;
    CHECK(guest_memory_new(&t, fds, &m, &err) == -EINVAL && strstr(err.text, "wraps"));
    t = ram_table();
    t.region[0].bytes = 0;
    CHECK(guest_memory_new(&t, fds, &m, &err) == -EINVAL);
    struct vring v = {.size = SIZE, .addr = {.desc = RAM_UVA + RAM_BYTES / 2 - 16, .avail = RAM_UVA, .used = RAM_UVA}};
    CHECK(vring_map(&v, ram->memory, &err) == -EINVAL && strstr(err.text, "not within"));
    v.addr = (struct vu_addr){.desc = RAM_UVA, .avail = RAM_UVA + 1, .used = RAM_UVA + 4096};
    CHECK(vring_map(&v, ram->memory, &err) == -EINVAL && strstr(err.text, "aligned"));
}

int main(void)
{
    struct guest_ram ram;
    ram_init(&ram);
    split_good(&ram);
    split_pieces(&ram);
    split_hostile(&ram);
    packed_good(&ram);
    packed_hostile(&ram);
    memory_tables(&ram);
    ram_fini(&ram);
    return 0;
}
