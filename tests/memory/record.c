/* A process taken in twice: what is the same makes no event, what is new is found, what is gone is trimmed. With both sizes of block. */
#include <fcntl.h>

#include "sensor/memory/process_record.h"
#include "tests/unit.h"

enum { PAGE = PHYSMEM_PAGE_BYTES, PAGES = 8 };
#define BASE UINT64_C(0x7f0000000000)

static enum chv_state state_of(struct chv_store *store, uint64_t va, uint8_t *page)
{
    const struct chv_space *space;
    struct chv_store_info info;
    struct chv_err err;
    struct chv_extent e;
    CHECK_OK(chv_store_find_space(store, "proc:7", &space, &err), err);
    chv_store_info(store, &info);
    uint32_t block = info.block_bytes;
    enum chv_state state = CHV_STATE_UNKNOWN;
    for (uint32_t i = 0; i < PAGE / block; i++) {
        CHECK_OK(chv_store_block_at(store, space->id, va / block + i, info.last_seq, &e, &err), err);
        CHECK(i == 0 || e.state == state); /* a page is one thing */
        state = e.state;
        if (state == CHV_STATE_DATA) CHECK_OK(chv_store_read_block(store, e.hash, page + i * block, &err), err);
    }
    return state;
}

static int describe(void *arg, const struct process_record_result *sofar, char **text, size_t *bytes, struct chv_err *err)
{
    struct process_map map = {.command = "", .source = "a test", .cr3 = 0x1000, .time_ns = 1000000000u, .pages = arg};
    CHECK(sofar->pages > 0);
    return process_map_text(&map, text, bytes, err);
}

static void acquire(const char *store, struct physmem *mem, struct page_run *list, size_t count, uint32_t block,
                    struct process_record_result *result)
{
    struct chv_err err;
    struct pages pages = {.list = list, .count = count};
    for (size_t i = 0; i < count; i++) pages.bytes += list[i].bytes;
    struct process_record p = {.options = {.store_dir = store, .space = "proc:7", .block_bytes = block}, .map_space = "map:7",
                               .mem = mem, .pages = &pages, .levels = 4, .time_ns = 1000000000u, .describe = describe, .arg = &pages};
    CHECK_OK(process_record_run(&p, result, &err), err);
}

static void twice(const char *dir, uint32_t block)
{
    char path[300], store_dir[300];
    uint8_t page[PAGE], ram[PAGES][PAGE];
    struct physmem *mem;
    struct chv_err err;
    struct chv_store *store;
    struct process_record_result r;
    snprintf(path, sizeof path, "%s/ram", dir);
    snprintf(store_dir, sizeof store_dir, "%s/store-%u", dir, block);
    for (int i = 0; i < PAGES; i++) memset(ram[i], 'a' + i, PAGE);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, ram, sizeof ram) == (ssize_t)sizeof ram);
    close(fd);
    CHECK_OK(physmem_open_image(path, &mem, &err), err);

    struct page_run first[] = {{0x1000, 0, 2 * PAGE, WALK_USER}, {BASE, 4 * PAGE, PAGE, WALK_USER | WALK_WRITE},
                               {BASE + 0x5000, 1000 * PAGE, PAGE, WALK_USER}}; /* the last one cannot be read */
    acquire(store_dir, mem, first, 3, block, &r);
    CHECK(r.pages == 3 && r.gone_pages == 0 && r.unreadable_pages == 1);
    CHECK_OK(chv_store_open(store_dir, &store, &err), err);
    CHECK(state_of(store, 0x1000, page) == CHV_STATE_DATA && page[0] == 'a' && page[PAGE - 1] == 'a');
    CHECK(state_of(store, BASE, page) == CHV_STATE_DATA && page[0] == 'e');
    CHECK(state_of(store, 0, page) == CHV_STATE_UNKNOWN && state_of(store, BASE + 0x5000, page) == CHV_STATE_UNKNOWN);
    chv_store_close(store);

    /* the first page is the same, the second is gone, the third is another one */
    struct page_run second[] = {{0x1000, 0, PAGE, WALK_USER}, {BASE, 5 * PAGE, PAGE, WALK_USER}};
    acquire(store_dir, mem, second, 2, block, &r);
    CHECK(r.pages == 2 && r.gone_pages == 1 && r.unreadable_pages == 0);
    CHECK_OK(chv_store_open(store_dir, &store, &err), err);
    CHECK(state_of(store, 0x1000, page) == CHV_STATE_DATA && state_of(store, 0x2000, page) == CHV_STATE_ZERO);
    CHECK(state_of(store, BASE, page) == CHV_STATE_DATA && page[0] == 'f');
    chv_store_close(store);
    acquire(store_dir, mem, second, 2, block, &r);
    CHECK(r.gone_pages == 0 && r.store.new_blocks == 0); /* what is gone is gone once */
    physmem_close(mem);
}

/* Runs of all lengths over many shards: each page is where it belongs, and what changed is found again. */
static void many(const char *dir, uint64_t seed)
{
    enum { RAM_PAGES = 6000, RUNS_MAX = 1000 };
    static uint8_t ram[RAM_PAGES][PAGE];
    static struct page_run list[RUNS_MAX];
    char path[300], store_dir[300];
    struct physmem *mem;
    struct chv_store *store;
    const struct chv_space *space;
    struct chv_store_info info;
    struct chv_err err;
    struct process_record_result r;
    uint64_t x = seed, va = BASE, pages = 0;
    size_t count = 0;
    for (uint64_t i = 0; i < RAM_PAGES; i++) memcpy(ram[i], &i, sizeof i);
    for (; count < RUNS_MAX && pages < RAM_PAGES; count++) {
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
        uint64_t n = 1 + (x >> 33) % (count % 10 == 0 ? 2000 : 3);
        if (n > RAM_PAGES - pages) n = RAM_PAGES - pages;
        va += (x >> 45) % 3 * PAGE;
        list[count] = (struct page_run){va, (RAM_PAGES - pages - n) * PAGE, n * PAGE, WALK_USER};
        va += n * PAGE;
        pages += n;
    }
    snprintf(path, sizeof path, "%s/large", dir);
    snprintf(store_dir, sizeof store_dir, "%s/many", dir);
    for (uint64_t round = 0; round < 2; round++) {
        for (uint64_t i = 0; round && i < RAM_PAGES; i += 7) memcpy(ram[i] + 100, &i, sizeof i);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        CHECK(fd >= 0 && write(fd, ram, sizeof ram) == (ssize_t)sizeof ram);
        close(fd);
        CHECK_OK(physmem_open_image(path, &mem, &err), err);
        acquire(store_dir, mem, list, count, 4096, &r);
        physmem_close(mem);
        CHECK(r.pages == pages && r.gone_pages == 0 && r.unreadable_pages == 0);
        CHECK(round == 0 || r.store.new_blocks == (RAM_PAGES + 6) / 7 - 1); /* page 0 stayed as it was */
        CHECK_OK(chv_store_open(store_dir, &store, &err), err);
        CHECK_OK(chv_store_find_space(store, "proc:7", &space, &err), err);
        chv_store_info(store, &info);
        for (size_t i = 0; i < count; i++)
            for (uint64_t at = 0; at < list[i].bytes; at += PAGE) {
                struct chv_extent e;
                uint8_t page[PAGE];
                CHECK_OK(chv_store_block_at(store, space->id, (list[i].va + at) / PAGE, info.last_seq, &e, &err), err);
                CHECK(e.state == CHV_STATE_DATA);
                CHECK_OK(chv_store_read_block(store, e.hash, page, &err), err);
                CHECK(memcmp(page, ram[(list[i].pa + at) / PAGE], PAGE) == 0);
            }
        chv_store_close(store);
    }
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    char dir[256];
    unit_temp_dir(dir);
    twice(dir, 4096);
    twice(dir, 512);
    many(dir, seed);
    unit_remove_tree(dir);
    return 0;
}
