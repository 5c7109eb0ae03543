/* The camera on nested paging of its own, with a machine that is a page table and an array: which pages it draws, what it
 * notes and says of random accesses against a plain list, periods, a full ring, registers over memory, entropy. */
#include <math.h>
#include <stdlib.h>

#include "tests/visor/fake.h"
#include "visor/camera/camera.h"
#include "visor/core/clock.h"
#include "visor/core/evidence.h"
#include "visor/core/machine.h"
#include "visor/core/memory.h"
#include "visor/core/mmio.h"
#include "visor/core/pci.h"
#include "visor/core/wire.h"

enum { RAM_PAGES = 4096, HOLE = 1000, TABLES = 700, TOLD_MAX = 8192 };
#define FLAGS (PAGING_PRESENT | PAGING_WRITE | PAGING_USER)

struct told {
    struct visor_block block;
    struct chv_gap_detail gap;
    uint8_t first;
};

static uint8_t *ram; /* host addresses are the guest's; [HOLE, HOLE + 8) pages are none */
static struct paging nested;
static struct told told[TOLD_MAX];
static unsigned told_count, flushes;
static bool spare = true;
static uint64_t now = 1;

/* --- the machine */

void evidence_take(const struct visor_block *b)
{
    CHECK(told_count < TOLD_MAX && b->device == EVIDENCE_RAM);
    struct told *t = &told[told_count++];
    *t = (struct told){.block = *b};
    if (b->op == CHV_OP_GAP) memcpy(&t->gap, b->data, sizeof t->gap);
    if (chv_op_has_content(b->op)) t->first = *b->data;
}

bool wire_spare(void)
{
    return spare;
}

uint64_t *machine_entry(uint64_t gpa)
{
    return paging_entry(&nested, gpa);
}

bool machine_protect(uint64_t gpa, bool reads, bool writes)
{
    return paging_set(&nested, gpa, gpa, (reads ? PAGING_PRESENT | PAGING_USER : 0) | (writes ? PAGING_WRITE : 0));
}

void machine_flush(void)
{
    flushes++;
}

bool pci_hide(pci_bdf bdf)
{
    return bdf == 0;
}

uint64_t mmio_real_read(uint64_t gpa, unsigned width)
{
    return gpa + width;
}

void mmio_real_write(uint64_t gpa, unsigned width, uint64_t value)
{
    CHECK(gpa && width && value);
}

static uint64_t gpa_of(unsigned page)
{
    return (uint64_t)(uintptr_t)ram + page * PAGE_BYTES;
}

static bool allowed(uint64_t gpa, enum vcpu_access access)
{
    uint64_t target, flags;
    if (!paging_walk(&nested, gpa, &target, &flags)) return false;
    CHECK(target == gpa && flags & PAGING_USER);
    return access == VCPU_READ ? true : access == VCPU_EXECUTE ? !(flags & PAGING_NO_EXECUTE) : flags & PAGING_WRITE;
}

/* An access as a processor makes it: true if it cost a fault. */
static bool touch(unsigned page, enum vcpu_access access)
{
    uint64_t gpa = gpa_of(page) + 8 * (page % 500);
    if (allowed(gpa, access)) return false;
    CHECK(camera_fault(gpa, access, ++now));
    CHECK(allowed(gpa, access));
    return true;
}

static void period(void)
{
    unsigned polls = 0;
    now += UINT64_C(1000000000);
    while (camera_poll(now)) polls++;
    CHECK(polls < RAM_PAGES && !camera_poll(now));
}

static bool sampled(unsigned page)
{
    uint64_t target, flags;
    return !paging_walk(&nested, gpa_of(page), &target, &flags) || !(flags & PAGING_WRITE) || flags & PAGING_NO_EXECUTE;
}

/* --- */

static void start(const char *text)
{
    static uint8_t *arena, *pool;
    static struct config config;
    if (!arena) arena = aligned_alloc(4096, 1 << 20), pool = aligned_alloc(4096, TABLES * 4096);
    CHECK(!config_read(&config, text, strlen(text)));
    memory_init((uintptr_t)arena, 1 << 20);
    memset(pool, 0, TABLES * 4096);
    CHECK(paging_init(&nested, 4, 48, FLAGS, pool, TABLES));
    told_count = flushes = 0;
    spare = true;
    camera_init(&config, now);
}

static void samples(void)
{
    unsigned in_stretch[8] = {0}, n = 0, same = 0;
    bool before[RAM_PAGES];
    start("camera_pages 0");
    CHECK(!camera_on() && !told_count && !camera_poll(now + 1) && !camera_finish(now));
    start("camera_pages 256\ncamera_seed 7\n");
    CHECK(camera_on() && told_count == 1 && told[0].block.op == CHV_OP_SPACE && !strcmp((const char *)told[0].block.data, "ram"));
    CHECK(told[0].block.lba == gpa_of(RAM_PAGES) / 512 && flushes == 1);
    for (unsigned i = 0; i < RAM_PAGES; i++) {
        before[i] = sampled(i);
        n += before[i];
        in_stretch[i / 512] += before[i];
        CHECK(!before[i] || i < HOLE || i >= HOLE + 8);
    }
    CHECK(n == 256);
    for (unsigned i = 0; i < 8; i++) CHECK(in_stretch[i] >= 30 && in_stretch[i] <= 34);
    start("camera_pages 256\ncamera_seed 8\n");
    for (unsigned i = 0; i < RAM_PAGES; i++) same += sampled(i) && before[i];
    CHECK(same < 64);
    char text[200]; /* a range: every page of it, and no other; it reaches over the hole */
    snprintf(text, sizeof text, "camera_pages 1024\ncamera_from 0x%llx\ncamera_bytes 81920", (unsigned long long)gpa_of(HOLE - 4));
    start(text);
    for (unsigned i = 0; i < RAM_PAGES; i++) CHECK(sampled(i) == (i >= HOLE - 4 && i < HOLE + 16 && (i < HOLE || i >= HOLE + 8)));
    CHECK(!camera_fault(gpa_of(HOLE), VCPU_READ, now) && !camera_fault(gpa_of(HOLE + 16), VCPU_READ, now));
    CHECK(!camera_fault(gpa_of(HOLE - 4) - 1, VCPU_WRITE, now) && !camera_fault(0, VCPU_WRITE, now) && !camera_fault(UINT64_MAX, VCPU_WRITE, now));
}

/* The kinds that one page's accesses must give, in order. */
static void kinds(void)
{
    char text[200];
    snprintf(text, sizeof text, "camera_pages 16\ncamera_from 0x%llx\ncamera_bytes 65536\n", (unsigned long long)gpa_of(64));
    start(text);
    CHECK(touch(64, VCPU_READ) && !touch(64, VCPU_READ) && touch(64, VCPU_WRITE) && !touch(64, VCPU_READ) && touch(64, VCPU_EXECUTE));
    CHECK(touch(65, VCPU_WRITE) && !touch(65, VCPU_READ) && !touch(65, VCPU_WALK));
    CHECK(touch(66, VCPU_EXECUTE) && !touch(66, VCPU_READ) && touch(66, VCPU_WALK) && !touch(66, VCPU_WRITE));
    CHECK(camera_fault(gpa_of(65), VCPU_WRITE, now)); /* of a processor that had not noticed */
    CHECK(told_count == 5); /* the space, READ and EXECUTE of 64, EXECUTE and READ of 66 */
    CHECK(told[1].block.op == CHV_OP_READ && told[1].block.flags == 0 && told[1].block.lba == gpa_of(64) / 512);
    CHECK(told[2].block.op == CHV_OP_READ && told[2].block.flags == CHV_EVENT_EXECUTE && told[2].block.sectors == 8);
    ram[64 * 4096] = 11;
    ram[65 * 4096] = 12;
    ram[66 * 4096] = 13;
    unsigned before = flushes;
    CHECK(!camera_poll(now + 1000000)); /* not yet */
    now += UINT64_C(1000000000);
    CHECK(!camera_poll(now) && flushes == before + 1 && told_count == 8); /* 16 pages: told at once */
    CHECK(told[5].block.op == CHV_OP_WRITE && told[5].first == 11 && told[6].block.op == CHV_OP_WRITE && told[6].first == 12);
    CHECK(told[7].block.op == CHV_OP_FOUND && told[7].first == 13);
    period();
    CHECK(told_count == 8 && flushes == before + 1); /* nothing happened: nothing is said, nobody is disturbed */
}

/* More pages than are told at once: what a page held at the period's end is told before it changes again. */
static void between_periods(void)
{
    char text[200];
    snprintf(text, sizeof text, "camera_pages 64\ncamera_from 0x%llx\ncamera_bytes 262144\n", (unsigned long long)gpa_of(128));
    start(text);
    for (unsigned i = 128; i < 192; i++) touch(i, VCPU_WRITE), ram[i * 4096] = 1;
    now += UINT64_C(1000000000);
    CHECK(camera_poll(now) && told_count == 1 + 16);
    CHECK(touch(191, VCPU_WRITE));
    ram[191 * 4096] = 2;
    CHECK(told_count == 18 && told[17].block.lba == gpa_of(191) / 512 && told[17].first == 1);
    while (camera_poll(now)) {}
    CHECK(told_count == 1 + 64);
    CHECK(!camera_finish(now) && told_count == 66 && told[65].first == 2);
}

static void full_ring(void)
{
    char text[200];
    snprintf(text, sizeof text, "camera_pages 8\ncamera_from 0x%llx\ncamera_bytes 32768\n", (unsigned long long)gpa_of(64));
    start(text);
    spare = false;
    touch(64, VCPU_READ);
    touch(64, VCPU_WRITE);
    period();
    touch(65, VCPU_EXECUTE);
    CHECK(told_count == 1 && camera_finish(now));
    spare = true;
    period();
    CHECK(told_count == 3 && told[1].block.op == CHV_OP_GAP && told[1].gap.events == 2 && told[1].block.lba == gpa_of(64) / 512);
    CHECK(told[2].gap.events == 1 && told[2].gap.reason == CHV_GAP_QUEUE_FULL && told[2].block.sectors == 8);
    CHECK(!camera_finish(now) && told_count == 3);
}

/* The guest maps a device's registers over sampled memory, and away again. */
static void registers_over_memory(void)
{
    static const struct mmio_ops ops = {0};
    char text[200];
    snprintf(text, sizeof text, "camera_pages 8\ncamera_from 0x%llx\ncamera_bytes 32768\n", (unsigned long long)gpa_of(64));
    start(text);
    CHECK(mmio_register(gpa_of(66), PAGE_BYTES, &ops, NULL));
    CHECK(!camera_fault(gpa_of(66), VCPU_WRITE, now) && allowed(gpa_of(66), VCPU_READ) && !allowed(gpa_of(66), VCPU_WRITE));
    period();
    CHECK(allowed(gpa_of(66), VCPU_READ) && !allowed(gpa_of(66), VCPU_WRITE));
    mmio_unregister(gpa_of(66));
    CHECK(allowed(gpa_of(66), VCPU_WRITE));
    period();
    CHECK(touch(66, VCPU_READ) && told_count == 2);
}

/* Random accesses against a list of what was seen of each page. */
static void random_accesses(uint64_t *seed)
{
    enum { FIRST = 512, PAGES = 100 };
    static const enum vcpu_access accesses[] = {VCPU_READ, VCPU_WRITE, VCPU_EXECUTE, VCPU_WALK};
    uint8_t seen[PAGES] = {0}, value[PAGES];
    char text[200];
    snprintf(text, sizeof text, "camera_pages 100\ncamera_from 0x%llx\ncamera_bytes 409600\n", (unsigned long long)gpa_of(FIRST));
    start(text);
    for (unsigned i = 0; i < PAGES; i++) value[i] = ram[(FIRST + i) * 4096];
    for (unsigned rounds = 0; rounds < 20; rounds++) {
        told_count = 0;
        for (unsigned i = 0; i < 150; i++) {
            unsigned page = (unsigned)(unit_random(seed) % PAGES);
            enum vcpu_access access = accesses[unit_random(seed) % 4];
            unsigned before = told_count;
            uint8_t writable = seen[page] & (VCPU_WRITE | VCPU_WALK);
            bool fault = !(seen[page] & access) && !(access == VCPU_READ && seen[page]) && !(writable && (access == VCPU_WRITE || access == VCPU_WALK));
            CHECK(touch(FIRST + page, access) == fault && told_count == before + (fault && access != VCPU_WRITE));
            if (fault) seen[page] |= (uint8_t)access;
            if (access == VCPU_WRITE) ram[(FIRST + page) * 4096] = value[page] = (uint8_t)unit_random(seed);
        }
        told_count = 0;
        period();
        unsigned at = 0;
        for (unsigned page = 0; page < PAGES; page++) {
            if (seen[page] & (VCPU_WRITE | VCPU_WALK)) {
                CHECK(told[at].block.op == (seen[page] & VCPU_WRITE ? CHV_OP_WRITE : CHV_OP_FOUND));
                CHECK(told[at].block.lba == gpa_of(FIRST + page) / 512 && told[at].first == value[page]);
                at++;
            }
            seen[page] = 0;
            for (unsigned k = 0; k < 4; k++) CHECK(!allowed(gpa_of(FIRST + page), accesses[k]));
        }
        CHECK(at == told_count);
    }
}

static uint16_t exact(const uint8_t *page)
{
    double count[256] = {0}, bits = 0;
    for (unsigned i = 0; i < 4096; i++) count[page[i]]++;
    for (unsigned i = 0; i < 256; i++)
        if (count[i] > 0) bits -= count[i] / 4096 * log2(count[i] / 4096);
    return (uint16_t)lround(bits / 8 * 65535);
}

static void entropies(uint64_t *seed)
{
    uint8_t page[4096];
    char text[200];
    for (unsigned i = 0; i < 4096; i++) page[i] = (uint8_t)i;
    CHECK(entropy_of(page) == 65535);
    memset(page, 5, sizeof page);
    CHECK(entropy_of(page) == 0);
    for (unsigned rounds = 0; rounds < 2000; rounds++) {
        uint64_t alphabet = 1 + unit_random(seed) % 256, part = 1 + unit_random(seed) % 4096;
        for (unsigned i = 0; i < 4096; i++) page[i] = i < part ? (uint8_t)(unit_random(seed) % alphabet) : 0;
        CHECK(abs((int)entropy_of(page) - (int)exact(page)) <= 1);
    }
    snprintf(text, sizeof text, "camera_pages 1\ncamera_from 0x%llx\ncamera_bytes 4096\ncamera_content 0", (unsigned long long)gpa_of(64));
    start(text);
    touch(64, VCPU_WRITE);
    uint64_t opened = now;
    memcpy(ram + 64 * 4096, page, 4096);
    period();
    CHECK(told_count == 2 && told[1].block.op == CHV_OP_GAP && told[1].gap.reason == CHV_GAP_UNKEPT && told[1].gap.events == 1);
    CHECK(told[1].gap.entropy == entropy_of(page) && told[1].gap.first_time_ns == opened && told[1].block.sectors == 8);
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    ram = aligned_alloc(4096, RAM_PAGES * 4096);
    memset(ram, 0, RAM_PAGES * 4096);
    CHECK(guest_ram_add(gpa_of(HOLE + 8), (RAM_PAGES - HOLE - 8) * PAGE_BYTES)); /* not in order */
    CHECK(guest_ram_add(gpa_of(0), HOLE * PAGE_BYTES));
    samples();
    kinds();
    between_periods();
    full_ring();
    registers_over_memory();
    random_accesses(&seed);
    entropies(&seed);
    free(ram);
    return 0;
}
