/* Sorted runs and what they are made of, against plain ways to the same end. */
#include "chronovisor/chronovisor.h"
#include "store/index.h"
#include "store/recorder_impl.h"
#include "store/run.h"
#include "tests/unit.h"

static int compare16(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

static int compare40(const void *a, const void *b)
{
    return memcmp(a, b, 40);
}

/* Few distinct prefixes, so that equal 8-byte prefixes (and equal entries) are common; or anything. */
static void fill(uint8_t *entries, size_t width, uint64_t count, unsigned prefixes, uint64_t *seed)
{
    for (uint64_t i = 0; i < count; i++) {
        for (size_t b = 0; b < width; b++) entries[i * width + b] = (uint8_t)unit_random(seed);
        if (prefixes) run_put64(entries + i * width, (unit_random(seed) % prefixes) << 40);
        if (prefixes && unit_random(seed) % 4 == 0) memset(entries + i * width + 8, 7, width - 8);
    }
}

static void check_sort(enum run_kind kind, uint64_t count, unsigned prefixes, uint64_t *seed)
{
    size_t width = run_width(kind);
    uint8_t *a = malloc(count * width + 1), *b = malloc(count * width + 1);
    fill(a, width, count, prefixes, seed);
    memcpy(b, a, count * width);
    run_sort(kind, a, count);
    qsort(b, count, width, width == 16 ? compare16 : compare40);
    CHECK(memcmp(a, b, count * width) == 0);
    free(a);
    free(b);
}

static void check_bounds(const char *dir, enum run_kind kind, uint64_t count, unsigned prefixes, uint64_t *seed)
{
    size_t width = run_width(kind), key_bytes = kind == RUN_SIGHT ? 8 : kind == RUN_ADDR ? 16 : 32;
    uint8_t *entries = malloc(count * width + 1), *copy = malloc(count * width + 1);
    char path[600];
    struct chv_err err;
    struct run_writer *w;
    struct run file, memory;
    fill(entries, width, count, prefixes, seed);
    run_sort(kind, entries, count);
    memcpy(copy, entries, count * width);
    run_from_memory(&memory, kind, copy, count);
    snprintf(path, sizeof path, "%s/run", dir);
    CHECK_OK(run_writer_new(&io_real, kind, path, count, &w, &err), err);
    CHECK_OK(run_writer_add(w, entries, count, &err), err);
    CHECK_OK(run_writer_end(w, true, &err), err);
    CHECK_OK(run_open(&file, kind, path, true, &err), err);
    CHECK(file.count == count && memcmp(file.entries, entries, count * width) == 0);
    for (int i = 0; i < 400; i++) {
        uint8_t key[40];
        fill(key, width, 1, prefixes, seed);
        if (count && i % 2) memcpy(key, entries + unit_random(seed) % count * width, width);
        if (i % 7 == 0) memset(key, i % 2 ? 0 : 0xff, sizeof key);
        uint64_t want = 0;
        while (want < count && memcmp(entries + want * width, key, key_bytes) < 0) want++;
        CHECK(run_lower_bound(&file, key, key_bytes) == want);
        CHECK(run_lower_bound(&memory, key, key_bytes) == want);
        if (kind == RUN_ADDR) continue;
        bool there = want < count && memcmp(entries + want * width, key, key_bytes) == 0;
        const struct run *both[] = {&file, &memory};
        for (int k = 0; k < 4; k++) {
            uint8_t entry[RUN_WIDTH_MAX];
            uint64_t at;
            CHECK(run_find(both[k / 2], key, key_bytes, k % 2, &at, entry) == there);
            if (there) CHECK(at == want && memcmp(entry, entries + want * width, width) == 0);
        }
    }
    run_close(&file);
    run_close(&memory);
    free(entries);
}

/* Several runs into one: the same as sorting all together (a content's place: once, the lowest). */
static void check_merge(const char *dir, enum run_kind kind, uint64_t *seed)
{
    enum { RUNS = 5 };
    size_t width = run_width(kind);
    struct run runs[RUNS], merged;
    const struct run *list[RUNS];
    uint8_t *all = malloc(RUNS * 500 * width);
    uint64_t total = 0, kept = 0;
    char path[600];
    struct chv_err err;
    for (int i = 0; i < RUNS; i++) {
        uint64_t count = unit_random(seed) % 500;
        uint8_t *entries = malloc(count * width + 1);
        fill(entries, width, count, 40, seed);
        memcpy(all + total * width, entries, count * width);
        total += count;
        run_sort(kind, entries, count);
        run_from_memory(&runs[i], kind, entries, count);
        list[i] = &runs[i];
    }
    run_sort(kind, all, total);
    for (uint64_t i = 0; i < total; i++) {
        if (kind == RUN_LOC && kept && memcmp(all + (kept - 1) * width, all + i * width, 32) == 0) continue;
        memmove(all + kept++ * width, all + i * width, width);
    }
    snprintf(path, sizeof path, "%s/merged", dir);
    CHECK_OK(run_merge(&io_real, kind, list, RUNS, path, &err), err);
    CHECK_OK(run_open(&merged, kind, path, true, &err), err);
    CHECK(merged.count == kept && memcmp(merged.entries, all, kept * width) == 0);
    run_close(&merged);
    for (int i = 0; i < RUNS; i++) run_close(&runs[i]);
    free(all);
}

/* The nodes of a range cover exactly its blocks, once, and are few. */
static void check_range(uint64_t first, uint64_t blocks, uint32_t block_bytes)
{
    uint64_t unit = block_bytes / 512;
    struct chv_event e = {.seq = 77, .op = CHV_OP_ZERO, .space = 3, .sectors = (uint32_t)(blocks * unit)};
    struct index_entries entries = {0};
    chv_event_set_lba(&e, first * unit);
    CHECK(index_entries_add_events(&entries, &e, 1, block_bytes) == 0);
    CHECK(entries.count[RUN_SIGHT] == 0 && entries.count[RUN_LOC] == 0);
    uint64_t at = first;
    for (uint64_t i = 0; i < entries.count[RUN_ADDR]; i++) {
        const uint8_t *entry = entries.entries[RUN_ADDR] + i * 16;
        unsigned level = entry[2] >> 4;
        CHECK(entry[0] == 0 && entry[1] == 3 && run_addr_seq(entry) == 77 && level < RUN_LEVELS);
        CHECK(run_addr_node(entry) << 4 * level == at); /* in order of address, as they were pushed */
        at += UINT64_C(1) << 4 * level;
    }
    CHECK(at == first + blocks && entries.count[RUN_ADDR] <= 30 * RUN_LEVELS);
    index_entries_fini(&entries);
}

static void check_memtable(uint64_t *seed)
{
    enum { COUNT = 20000 };
    struct memtable *t = calloc(1, sizeof *t);
    uint8_t (*hashes)[32] = malloc(COUNT * sizeof *hashes);
    for (int i = 0; i < COUNT; i++) {
        for (int b = 0; b < 32; b++) hashes[i][b] = (uint8_t)unit_random(seed);
        if (i % 3 == 0) memset(hashes[i] + 8, (int)(unsigned)(i % 5), 8); /* the same slot to begin with */
        if (i % 10 == 9) continue; /* never inserted */
        memtable_insert(t, hashes[i], pack_loc_make(1, (uint64_t)i + 64));
        memtable_insert(t, hashes[i], pack_loc_make(9, 9)); /* known: the first place stays */
    }
    for (int i = 0; i < COUNT; i++) CHECK(memtable_find(t, hashes[i]) == (i % 10 != 9));
    uint64_t there = 0;
    for (size_t i = 0; i < MEMTABLE_SLOTS; i++) {
        there += t->slots[i].loc != 0;
        CHECK(pack_loc_pack(t->slots[i].loc) < 9);
    }
    CHECK(there == t->count && there == COUNT - COUNT / 10);
    free(hashes);
    free(t);
}

/* However much becomes resident with a look: asked so seldom that it costs nothing, so often that the limit holds. */
static void check_pages(void)
{
    static const uint64_t costs[] = {0, 4096, 65536, 192u << 10, 1u << 20, 2u << 20, 6u << 20};
    const uint64_t limit = UINT64_C(256) << 20, looks = 200000;
    for (size_t c = 0; c < sizeof costs / sizeof *costs; c++) {
        struct run_pages pages = {0};
        uint64_t resident = 0, most = 0, asked = 0;
        for (uint64_t i = 0; i < looks; i++) {
            if (run_pages_spent(&pages, 1)) {
                run_pages_learn(&pages, resident);
                if (resident >= limit) resident = 0;
                run_pages_settle(&pages, resident, limit);
                asked++;
            }
            resident += costs[c];
            if (resident > most) most = resident;
        }
        CHECK(most <= limit + 33 * costs[c]);
        CHECK(asked <= 20 || asked <= looks / 20);
    }
}

int main(int argc, char **argv)
{
    char dir[256];
    uint64_t seed = unit_seed(argc, argv);
    unit_temp_dir(dir);
    for (int kind = 0; kind < RUN_KINDS; kind++) {
        static const uint64_t counts[] = {0, 1, 2, 255, 256, 257, 5000};
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            for (unsigned prefixes = 0; prefixes < 80; prefixes += 1 + prefixes * 25) {
                check_sort((enum run_kind)kind, counts[i], prefixes, &seed);
                check_bounds(dir, (enum run_kind)kind, counts[i], prefixes, &seed);
            }
        for (int i = 0; i < 10; i++) check_merge(dir, (enum run_kind)kind, &seed);
    }
    for (int i = 0; i < 3000; i++) {
        uint64_t bits = unit_random(&seed) % 29, first = unit_random(&seed) >> (20 + unit_random(&seed) % 40);
        check_range(first & ((UINT64_C(1) << 44) - 1), unit_random(&seed) & ((UINT64_C(1) << bits) - 1), i % 2 ? 512 : 4096);
    }
    check_memtable(&seed);
    check_pages();
    unit_remove_tree(dir);
    return 0;
}
