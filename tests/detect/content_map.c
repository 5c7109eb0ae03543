/* What blocks hold: against a plain array, aligned and not, forgotten ranges; and that memory is bounded. */
#include "detect/content_map.h"

#include "detect/reread.h"
#include "tests/unit.h"

#define SECTORS 4096u

/* The plain reference: which piece each sector belongs to. */
struct plain {
    uint32_t piece[SECTORS + 16]; /* 0: unknown */
    uint32_t first[65536], sectors[65536];
    uint16_t entropy[65536];
    uint32_t pieces;
};

static void plain_forget(struct plain *p, uint64_t lba, uint64_t sectors)
{
    for (uint64_t s = lba; s < lba + sectors && s < SECTORS + 16; s++) {
        uint32_t old = p->piece[s];
        if (!old) continue;
        for (uint32_t i = 0; i < p->sectors[old]; i++)
            if (p->piece[p->first[old] + i] == old) p->piece[p->first[old] + i] = 0;
    }
}

static void plain_set(struct plain *p, uint32_t lba, uint32_t sectors, uint16_t entropy)
{
    plain_forget(p, lba, sectors);
    /* a block keeps one piece, of those that begin in it */
    for (uint32_t s = lba & ~7u; s < (lba | 7u) + 1; s++)
        if (p->piece[s] && p->first[p->piece[s]] >> 3 == lba >> 3) plain_forget(p, s, 1);
    uint32_t n = ++p->pieces;
    p->first[n] = lba;
    p->sectors[n] = sectors;
    p->entropy[n] = entropy;
    for (uint32_t i = 0; i < sectors; i++) p->piece[lba + i] = n;
}

static bool plain_get(const struct plain *p, uint32_t lba, uint32_t sectors, uint16_t *entropy)
{
    uint32_t n = p->piece[lba];
    if (!n || p->first[n] != lba || p->sectors[n] != sectors) return false;
    *entropy = p->entropy[n];
    return true;
}

static void test_model(uint64_t seed, uint64_t base, bool aligned)
{
    struct content_map *map = content_map_new(CONTENT_MAP_BITS_MIN);
    struct plain *plain = calloc(1, sizeof *plain);
    CHECK(map && plain);
    for (int step = 0; step < 60000; step++) {
        uint32_t lba = (uint32_t)(unit_random(&seed) % SECTORS), sectors = 1 + (uint32_t)(unit_random(&seed) % 8);
        uint16_t got = 1, want = 1;
        if (aligned) lba &= ~7u, sectors = 8;
        bool known = plain_get(plain, lba, sectors, &want);
        CHECK(content_map_get(map, base + lba, sectors, &got) == known && got == want);
        if (unit_random(&seed) % 16 == 0) {
            uint64_t range = unit_random(&seed) % 4 ? sectors : unit_random(&seed) % 300;
            content_map_forget(map, base + lba, range);
            plain_forget(plain, lba, range);
        } else if (plain->pieces < 65000) {
            uint16_t entropy = (uint16_t)unit_random(&seed);
            content_map_set(map, base + lba, sectors, entropy);
            plain_set(plain, lba, sectors, entropy);
        }
    }
    content_map_clear(map);
    for (uint32_t s = 0; s < SECTORS; s++) {
        uint16_t e;
        for (uint32_t n = 1; n <= 8; n++) CHECK(!content_map_get(map, base + s, n, &e));
    }
    content_map_free(map);
    free(plain);
}

/* More blocks than fit: the recent ones are known, all that is known is right, and a far range is forgotten in one sweep. */
static void test_full(void)
{
    struct content_map *map = content_map_new(CONTENT_MAP_BITS_MIN);
    uint64_t blocks = content_map_memory(CONTENT_MAP_BITS_MIN) / 8, known = 0, stride = 977;
    uint16_t e = 0;
    CHECK(map && blocks == 65536);
    for (uint64_t b = 0; b < 4 * blocks; b++) content_map_set(map, b * stride * 8, 8, (uint16_t)(b * 7));
    for (uint64_t b = 0; b < 4 * blocks; b++) {
        bool have = content_map_get(map, b * stride * 8, 8, &e);
        known += have;
        CHECK(!have || e == (uint16_t)(b * 7));
        if (b >= 4 * blocks - blocks / 16) CHECK(have); /* sets of 8 are that much fairer than chance */
    }
    CHECK(known <= blocks && known > blocks / 2);
    uint64_t middle = 3 * blocks + blocks / 2;
    content_map_forget(map, 0, middle * stride * 8);
    for (uint64_t b = 0; b < middle; b++) CHECK(!content_map_get(map, b * stride * 8, 8, &e));
    CHECK(content_map_get(map, (4 * blocks - 1) * stride * 8, 8, &e));
    content_map_forget(map, 5, UINT64_MAX);
    CHECK(!content_map_get(map, (4 * blocks - 1) * stride * 8, 8, &e));
    content_map_forget(map, UINT64_MAX, UINT64_MAX); /* nowhere */
    content_map_set(map, (UINT64_C(1) << 48) - 8, 8, 9);
    CHECK(content_map_get(map, (UINT64_C(1) << 48) - 8, 8, &e) && e == 9);
    content_map_free(map);
    content_map_free(NULL);
}

static void test_reread(void)
{
    struct reread *r = reread_new();
    const uint64_t s = REREAD_WINDOW_NS;
    CHECK(r);
    CHECK(!reread_push(r, 0, 0, 8) && reread_push(r, s / 16, 0, 8));
    CHECK(!reread_push(r, s / 16, 8, 8) && !reread_push(r, s / 16, 1, 7)); /* others */
    CHECK(reread_push(r, s, 0, 4));                                       /* the shorter one, and what was dropped counts */
    CHECK(reread_push(r, s + s / 2, 0, 8));
    CHECK(!reread_push(r, 3 * s, 0, 8));
    CHECK(!reread_push(r, 4 * s, 0, 8)); /* a second exactly is not less */
    CHECK(!reread_push(r, 5 * s, 100, 4) && !reread_push(r, 5 * s, 100, 8) && reread_push(r, 5 * s, 100, 8));
    for (uint64_t i = 0; i < 1000000; i++) CHECK(!reread_push(r, 6 * s + i, i * 8 + 1024, 8));
    CHECK(reread_push(r, 6 * s + 1000000, 999999 * 8 + 1024, 8));
    reread_free(r);
    reread_free(NULL);
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    test_model(seed, 0, false);
    test_model(seed + 1, 0, true);
    test_model(seed + 2, (UINT64_C(1) << 40) + 24, false);
    test_full();
    test_reread();
    return 0;
}
