/* Identity page tables: what they say before and after splits, against a plain list; and that a split changes nothing
 * else. */
#include "visor/core/paging.h"
#include "tests/visor/fake.h"

enum { BITS = 41, POOL = 64, CHANGED_MAX = 24 };
#define FLAGS (PAGING_PRESENT | PAGING_WRITE | PAGING_USER)

struct change {
    uint64_t page, target, flags;
};

static void check(const struct paging *p, const struct change *c, unsigned n, uint64_t address)
{
    uint64_t target, flags, want = address, want_flags = FLAGS;
    for (unsigned i = 0; i < n; i++)
        if (c[i].page == address >> 12) want = c[i].target | (address & 4095), want_flags = c[i].flags;
    bool mapped = paging_walk(p, address, &target, &flags);
    CHECK(mapped == (want_flags & PAGING_PRESENT));
    CHECK(!mapped || (target == want && flags == want_flags));
}

static void random_changes(unsigned levels, uint64_t *seed, void *pool)
{
    struct paging p;
    struct change c[CHANGED_MAX];
    memset(pool, 0, POOL * PAGE_BYTES);
    CHECK(paging_init(&p, levels, BITS, FLAGS, pool, POOL));
    CHECK(p.pool_left == POOL - paging_tables(levels, BITS));
    static const uint64_t places[] = {0xfee00000, UINT64_C(0x8000000000), UINT64_C(0x1fffffff000), 0x40000000, 0};
    for (unsigned n = 0; n < CHANGED_MAX; n++) {
        uint64_t page = (places[unit_random(seed) % 5] >> 12) + unit_random(seed) % 3;
        if (page >> (BITS - 12)) page--;
        if (page >> (BITS - 12)) page--;
        bool again = false;
        for (unsigned i = 0; i < n; i++) again = again || c[i].page == page;
        c[n] = (struct change){again ? UINT64_MAX : page, unit_random(seed) & 0xfffffff000,
                               unit_random(seed) % 3 ? PAGING_PRESENT | PAGING_USER : 0};
        if (!again) CHECK(paging_set(&p, page << 12, c[n].target, c[n].flags));
        for (unsigned i = 0; i <= n; i++)
            for (uint64_t d = 0; d < 3; d++) { /* it, and its neighbours */
                uint64_t address = ((c[i].page + d - 1) << 12) + 5;
                if (address >> BITS == 0) check(&p, c, n + 1, address);
            }
        check(&p, c, n + 1, unit_random(seed) >> (64 - BITS));
    }
    uint64_t target, flags;
    CHECK(!paging_walk(&p, UINT64_C(1) << BITS, &target, &flags) && !paging_set(&p, UINT64_C(1) << BITS, 0, FLAGS));
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    void *pool = aligned_alloc(4096, POOL * 4096);
    struct paging p;
    CHECK(paging_tables(4, 40) == 3 && paging_tables(4, 39) == 2 && paging_tables(4, 48) == 513 &&
          paging_tables(5, 48) == 514);
    for (int i = 0; i < 50; i++) random_changes(4 + (unsigned)i % 2, &seed, pool);
    memset(pool, 0, POOL * PAGE_BYTES);
    CHECK(!paging_init(&p, 4, 48, FLAGS, pool, POOL) && !paging_init(&p, 3, 40, FLAGS, pool, POOL) &&
          !paging_init(&p, 4, 52, FLAGS, pool, POOL));
    memset(pool, 0, POOL * PAGE_BYTES);
    CHECK(paging_init(&p, 4, 40, FLAGS, pool, 4)); /* one table left: a page takes two */
    CHECK(!paging_set(&p, 0xfee00000, 0, 0) && p.pool_left == 0);
    uint64_t target, flags;
    CHECK(paging_walk(&p, 0xfee00123, &target, &flags) && target == 0xfee00123 && flags == FLAGS);
    free(pool);
    return 0;
}
