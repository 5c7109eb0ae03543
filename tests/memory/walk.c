/* Page tables made by hand: every size of page, rights, five levels, loops, garbage; and families of them found by shape. */
#include <errno.h>
#include <fcntl.h>

#include "sensor/memory/roots.h"
#include "tests/unit.h"

enum { PAGES = 64, PAGE = 4096 };
#define P UINT64_C(1)
#define W UINT64_C(2)
#define U UINT64_C(4)
#define A UINT64_C(0x20)
#define D UINT64_C(0x40)
#define PS UINT64_C(0x80)
#define NX (UINT64_C(1) << 63)
#define KERNEL UINT64_C(0xffffffff80000000)

static uint64_t ram[PAGES][512];

static struct physmem *open_ram(const char *dir)
{
    char path[300];
    struct physmem *mem;
    struct chv_err err;
    snprintf(path, sizeof path, "%s/ram", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, ram, sizeof ram) == (ssize_t)sizeof ram);
    close(fd);
    CHECK_OK(physmem_open_image(path, &mem, &err), err);
    CHECK(physmem_bytes(mem) == sizeof ram && physmem_end(mem) == sizeof ram);
    return mem;
}

static uint64_t at(unsigned page)
{
    return (uint64_t)page * PAGE;
}

struct seen {
    unsigned leaves;
    uint64_t last_va, bytes;
};

static int count(void *arg, const struct walk_leaf *leaf)
{
    struct seen *s = arg;
    CHECK(s->leaves == 0 || leaf->va > s->last_va);
    s->leaves++;
    s->last_va = leaf->va;
    s->bytes += leaf->bytes;
    return 0;
}

static struct seen enumerate(struct walk *w, uint64_t from, uint64_t last, int expect)
{
    struct seen s = {0};
    CHECK(walk_each(w, from, last, 10000, count, &s) == expect);
    return s;
}

static void four_levels(const char *dir)
{
    memset(ram, 0, sizeof ram);
    ram[1][0] = at(2) | P | W | U;
    ram[1][511] = at(5) | P | W;
    ram[2][0] = at(3) | P | W | U;
    ram[2][1] = (UINT64_C(1) << 30) | P | U | PS;              /* 1 GiB, outside of RAM */
    ram[2][2] = (UINT64_C(1) << 30) | at(1) << 1 | P | U | PS; /* reserved bits: not there */
    ram[3][0] = at(4) | P | W | U;
    ram[3][1] = UINT64_C(0) | P | W | U | PS | A | D | (1 << 12); /* 2 MiB at 0, with PAT */
    ram[4][1] = at(10) | P | W | U | A | D | NX;
    ram[4][2] = at(11) | P | U | A;
    ram[4][3] = at(12) | W | U; /* not present: swapped out */
    ram[4][4] = at(1000) | P | U;
    ram[5][510] = at(6) | P | W;
    ram[6][0] = at(7) | P | W | U;
    ram[7][0] = at(13) | P | W | U | NX;
    memset(ram[10], 'a', PAGE), memset(ram[11], 'b', PAGE);
    struct physmem *mem = open_ram(dir);
    static struct walk w;
    struct walk_leaf leaf;
    walk_init(&w, mem, at(1) | 0x18, 4); /* the low bits of CR3 are no address */
    CHECK(walk_translate(&w, 0x1234, &leaf) == 0 && leaf.va == 0x1000 && leaf.pa == at(10) && leaf.bytes == PAGE);
    CHECK(leaf.flags == (WALK_WRITE | WALK_USER | WALK_ACCESSED | WALK_DIRTY));
    CHECK(walk_translate(&w, 0x2000, &leaf) == 0 && leaf.flags == (WALK_USER | WALK_EXEC | WALK_ACCESSED));
    CHECK(walk_translate(&w, 0x3000, &leaf) == -EFAULT && walk_translate(&w, 0, &leaf) == -EFAULT);
    CHECK(walk_translate(&w, 0x2abcde, &leaf) == 0 && leaf.va == 0x200000 && leaf.pa == 0 && leaf.bytes == 2u << 20);
    CHECK(walk_translate(&w, 0x40000001, &leaf) == 0 && leaf.pa == UINT64_C(1) << 30 && leaf.bytes == UINT64_C(1) << 30);
    CHECK(walk_translate(&w, 0x80000000, &leaf) == -EFAULT);
    CHECK(walk_translate(&w, KERNEL, &leaf) == 0 && leaf.pa == at(13) && !(leaf.flags & (WALK_USER | WALK_EXEC)));
    CHECK(walk_translate(&w, UINT64_C(1) << 47, &leaf) == -EFAULT && walk_translate(&w, UINT64_C(1) << 63, &leaf) == -EFAULT);

    char buf[2 * PAGE];
    CHECK(walk_read(&w, 0x1800, buf, PAGE) == 0 && buf[0] == 'a' && buf[PAGE - 1] == 'b');
    CHECK(walk_read(&w, 0x2800, buf, PAGE) == -EFAULT && walk_read(&w, 0x4000, buf, 1) == -EFAULT);
    CHECK(walk_read_some(&w, 0x2000, buf, sizeof buf) == PAGE && buf[PAGE - 1] == 'b' && buf[PAGE] == 0);

    struct seen s = enumerate(&w, 0, walk_user_last(4), 0);
    CHECK(s.leaves == 5 && s.bytes == 3 * PAGE + (2u << 20) + (1u << 30));
    s = enumerate(&w, 0x2000, 0x2fff, 0);
    CHECK(s.leaves == 1 && s.last_va == 0x2000);
    s = enumerate(&w, walk_kernel_first(4), UINT64_MAX, 0);
    CHECK(s.leaves == 1 && s.last_va == KERNEL);
    enumerate(&w, 0, UINT64_MAX, 0);
    enumerate(&w, 5, 4, -EINVAL);
    enumerate(&w, 0, UINT64_C(1) << 47, -EINVAL);
    physmem_close(mem);
}

static void five_levels(const char *dir)
{
    memset(ram, 0, sizeof ram);
    ram[1][1] = at(2) | P | U | W;
    ram[2][0] = at(3) | P | U | W | NX; /* what one level forbids is forbidden */
    ram[3][0] = at(4) | P | U;          /* not writable */
    ram[4][0] = at(5) | P | U | W;
    ram[5][0] = at(6) | P | U | W;
    ram[2][1] = at(3) | P | U | PS; /* no page is that large */
    struct physmem *mem = open_ram(dir);
    static struct walk w;
    struct walk_leaf leaf;
    walk_init(&w, mem, at(1), 5);
    CHECK(walk_translate(&w, UINT64_C(1) << 48, &leaf) == 0 && leaf.flags == WALK_USER && leaf.pa == at(6));
    CHECK(walk_translate(&w, (UINT64_C(1) << 48) + (UINT64_C(1) << 39), &leaf) == -EFAULT);
    CHECK(walk_translate(&w, UINT64_C(1) << 57, &leaf) == -EFAULT);
    CHECK(enumerate(&w, 0, walk_user_last(5), 0).leaves == 1);
    physmem_close(mem);
}

static void loops_and_garbage(const char *dir, uint64_t seed)
{
    for (size_t i = 0; i < 512; i++) ram[1][i] = at(1) | P | U | W; /* every entry is the table itself */
    struct physmem *mem = open_ram(dir);
    static struct walk w;
    walk_init(&w, mem, at(1), 4);
    struct seen s = enumerate(&w, 0, walk_user_last(4), -E2BIG);
    CHECK(s.leaves > 0 && s.leaves <= 10000u * 512);
    walk_init(&w, mem, at(PAGES + 5), 4);
    CHECK(enumerate(&w, 0, walk_user_last(4), 0).leaves == 0);
    physmem_close(mem);
    for (int round = 0; round < 50; round++) {
        for (size_t p = 0; p < PAGES; p++)
            for (size_t i = 0; i < 512; i++) {
                uint64_t x = unit_random(&seed);
                ram[p][i] = x % 3 ? x : (x % PAGES) * PAGE | (x >> 40 & 0xfff);
            }
        mem = open_ram(dir);
        walk_init(&w, mem, at((unsigned)(unit_random(&seed) % PAGES)), round % 2 ? 4 : 5);
        struct seen none = {0};
        int r = walk_each(&w, 0, walk_user_last(w.levels), 300, count, &none);
        CHECK(r == 0 || r == -E2BIG);
        struct roots roots;
        struct chv_err err;
        CHECK(roots_find(mem, NULL, NULL, &roots, &err) == 0 || err.code == ENOENT);
        roots_fini(&roots);
        physmem_close(mem);
    }
}

/* Three processes under one kernel, and pages that look like theirs but are not. */
static void families(const char *dir, unsigned levels)
{
    memset(ram, 0, sizeof ram);
    unsigned deep = levels == 5 ? 1 : 0;
    for (unsigned i = 1; i <= 3; i++) { /* the tops: 1, 2, 3; the kernel's half is shared */
        ram[i][i] = at(20) | P | U | W | (i == 3 ? NX : 0);
        ram[i][300] = at(8) | P | W | (i == 2 ? A : 0);
        ram[i][511] = at(10) | P | W;
    }
    if (deep) ram[8][0] = at(9) | P | W;
    ram[8 + deep][0] = at(12) | P | W; /* the direct map: all of RAM in one large page */
    ram[12][0] = P | W | PS | NX;
    for (unsigned i = 30; i < 40; i++) ram[i][511] = at(31) | P | U | W; /* a larger family that maps nothing of itself */
    struct physmem *mem = open_ram(dir);
    struct roots roots;
    struct chv_err err;
    CHECK_OK(roots_find(mem, NULL, NULL, &roots, &err), err);
    CHECK(roots.count == 3 && roots.levels == levels && roots.candidates == 13 && roots.unreadable == 0);
    for (unsigned i = 0; i < 3; i++) CHECK(roots.list[i].cr3 == at(i + 1) && roots.list[i].user_entries == 1);
    CHECK(roots.list[2].user_nx && !roots.list[0].user_nx);
    roots_fini(&roots);
    physmem_close(mem);
}

int main(int argc, char **argv)
{
    char dir[256];
    unit_temp_dir(dir);
    four_levels(dir);
    five_levels(dir);
    families(dir, 4);
    families(dir, 5);
    loops_and_garbage(dir, unit_seed(argc, argv));
    unit_remove_tree(dir);
    return 0;
}
