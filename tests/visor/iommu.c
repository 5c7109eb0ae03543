/* The driver of the IOMMU against a model of one that is written from the specification: it translates by the tables in memory as
 * it finds them, and remembers every answer, good or bad, until it is told to forget it. */
#include "visor/iommu/iommu.h"
#include "tests/visor/fake.h"
#include "visor/platform/acpi.h"
#include "visor/core/machine.h"
#include "visor/core/memory.h"
#include "visor/core/mmio.h"
#include "visor/core/pci.h"
#include <sys/mman.h>
#include <sys/wait.h>

enum { UNITS = 2, BITS = 40, NIC = 0x30, MEMOS = 4096, ANSWERS = 1, ALL_AT_ONCE = 2 };
#define OWN UINT64_C(0x40000000)
#define OWN_BYTES (UINT64_C(32) << 20)
#define TABLES UINT64_C(0x30000000)
#define BASE UINT64_C(0xfed80000)
#define STRIDE UINT64_C(0x100000) /* from one IOMMU's registers to the next one's */

static struct model {
    uint64_t low[8], high[8]; /* registers from 0 and from 2000h */
    unsigned kind, switched;
    struct memo {
        uint64_t page, entry;
        unsigned bdf, domain, rights;
    } memos[MEMOS];
    unsigned memo_count;
    bool known[65536]; /* device table entries that are remembered */
    uint64_t devices[65536][2];
} models[UNITS];
static unsigned hidden;

bool machine_protect(uint64_t gpa, bool reads, bool writes)
{
    return true;
}

void machine_flush(void)
{
}

bool pci_hide(pci_bdf bdf)
{
    hidden += bdf == 2 || bdf == 0x2002;
    return true;
}

static struct model *model_at(uint64_t gpa, uint64_t **reg)
{
    struct model *m = &models[(gpa - BASE) / STRIDE];
    uint64_t offset = (gpa - BASE) % STRIDE;
    CHECK(gpa >= BASE && m < models + UNITS && offset % 8 == 0 && (offset < 64 || (offset >= 0x2000 && offset < 0x2040)));
    *reg = offset < 64 ? &m->low[offset / 8] : &m->high[(offset - 0x2000) / 8];
    return m;
}

static void obey(struct model *m, const uint64_t *c)
{
    unsigned domain = c[0] >> 32 & 0xffff, kept = 0;
    switch (c[0] >> 60) {
    case 1:
        CHECK((c[0] & 7) == 1 && !(c[0] >> 52 & 255));
        *(uint64_t *)(uintptr_t)(c[0] & 0xffffffffffff8) = c[1];
        break;
    case 3:
        CHECK(c[1] == UINT64_C(0x7ffffffffffff003) && !(c[0] & 0xffffffff));
        for (unsigned i = 0; i < m->memo_count; i++)
            if (m->memos[i].domain != domain) m->memos[kept++] = m->memos[i];
        m->memo_count = kept;
        break;
    case 8:
        CHECK(c[0] == UINT64_C(8) << 60 && !c[1]);
        memset(m->known, 0, sizeof m->known);
        m->memo_count = 0;
        break;
    default:
        CHECK(false); /* no command of the specification */
    }
}

uint64_t mmio_real_read(uint64_t gpa, unsigned width)
{
    uint64_t *reg;
    struct model *m = model_at(gpa, &reg);
    CHECK(width == 8);
    return reg == &m->low[6] ? m->kind & ALL_AT_ONCE ? 1 << 6 : 0 : *reg;
}

void mmio_real_write(uint64_t gpa, unsigned width, uint64_t value)
{
    uint64_t *reg;
    struct model *m = model_at(gpa, &reg);
    CHECK(width == 8);
    if (reg == &m->high[4]) value = *reg & ~value; /* of the status, ones are cleared */
    bool runs = m->low[3] & 1 && m->low[3] >> 12 & 1;
    if (reg < &m->low[3]) CHECK(!runs); /* tables and rings are for one that stands still */
    if (reg == &m->low[3]) m->switched++;
    *reg = value;
    if (reg != &m->high[1] || !runs || !(m->kind & ANSWERS)) return;
    CHECK(m->low[1] >> 56 == 8 && !(value & 15) && value < 4096);
    for (; m->high[0] != m->high[1]; m->high[0] = (m->high[0] + 16) % 4096)
        obey(m, (const uint64_t *)(uintptr_t)((m->low[1] & 0xffffffffff000) + m->high[0]));
}

/* bit 0: may read, bit 1: may write */
static unsigned walk(const uint64_t *device, uint64_t address)
{
    unsigned level = device[0] >> 9 & 7, rights = device[0] >> 61 & 3;
    uint64_t entry = device[0];
    CHECK((entry & 0x1ff) == 3 && !(entry >> 52 & 0x1ff) && !(entry >> 63) && level && level < 7);
    CHECK((device[1] & ~UINT64_C(0xffff)) == UINT64_C(1) << 40 && device[1] & 0xffff);
    if (address >> (12 + 9 * level)) return 0;
    for (;;) {
        entry = ((const uint64_t *)(uintptr_t)(entry & 0xffffffffff000))[address >> (3 + 9 * level) & 511];
        if (!(entry & 1)) return 0;
        CHECK(!(entry >> 52 & 0x1ff));
        rights &= entry >> 61 & 3;
        unsigned next = entry >> 9 & 7;
        if (!next) break;
        CHECK(next == level - 1);
        level = next;
    }
    uint64_t page = UINT64_C(1) << (3 + 9 * level);
    CHECK(level <= 3 && (entry & 0xffffffffff000) == (address & ~(page - 1))); /* identity; hardware has trouble with 512 GiB */
    return rights;
}

static unsigned ask(struct model *m, unsigned bdf, uint64_t address)
{
    const uint64_t *table = (const uint64_t *)(uintptr_t)(m->low[0] & 0xffffffffff000);
    for (unsigned i = 0; i < m->memo_count; i++)
        if (m->memos[i].bdf == bdf && m->memos[i].page == address >> 12) return m->memos[i].rights;
    CHECK((m->low[0] & 511) == 511 && m->memo_count < MEMOS);
    if (!m->known[bdf]) {
        memcpy(m->devices[bdf], table + 4 * bdf, 16);
        m->known[bdf] = true;
        CHECK(!table[4 * bdf + 2] && !table[4 * bdf + 3]);
    }
    struct memo memo = {.page = address >> 12, .bdf = bdf, .domain = m->devices[bdf][1] & 0xffff};
    memo.rights = walk(m->devices[bdf], address);
    m->memos[m->memo_count++] = memo;
    return memo.rights;
}

/* What the function may do with the page according to each IOMMU, which all say the same. */
static unsigned rights(unsigned bdf, uint64_t address)
{
    unsigned r = ask(&models[0], bdf, address);
    for (unsigned i = 1; i < UNITS; i++) CHECK(ask(&models[i], bdf, address) == r);
    return r;
}

/* --- the firmware's tables */

static void finish(uint8_t *t, const char *name, uint32_t bytes)
{
    uint8_t sum = 0;
    memcpy(t, name, 4);
    memcpy(t + 4, &bytes, 4);
    t[9] = 0;
    for (uint32_t i = 0; i < bytes; i++) sum = (uint8_t)(sum + t[i]);
    t[9] = (uint8_t)(0 - sum);
}

static unsigned sum_of(const uint8_t *t)
{
    uint32_t bytes;
    uint8_t sum = 0;
    memcpy(&bytes, t + 4, 4);
    for (uint32_t i = 0; i < bytes; i++) sum = (uint8_t)(sum + t[i]);
    return sum;
}

/* RSDP at TABLES, the others, from the root table on, a page each behind it. */
static uint64_t firmware(void)
{
    uint8_t *rsdp = (uint8_t *)(uintptr_t)TABLES, *xsdt = rsdp + 8192, *ivrs = rsdp + 4 * 4096;
    static const char *const names[] = {"FACP", "IVRS", "MCFG"};
    memset(rsdp, 0, 8 * 4096);
    memcpy(rsdp, "RSD PTR ", 8);
    uint64_t at64 = TABLES + 8192;
    memcpy(rsdp + 24, &at64, 8);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t at = TABLES + (3 + i) * 4096;
        finish(rsdp + (3 + i) * 4096, names[i], 60);
        memcpy(xsdt + 36 + 8 * i, &at, 8);
    }
    finish(xsdt, "XSDT", 60);
    size_t n = 48;
    for (unsigned i = 0; i < 2 * UNITS; i++) { /* of each an old and a new block */
        uint8_t *block = ivrs + n, length = i < UNITS ? 28 : 44;
        uint64_t base = BASE + i % UNITS * STRIDE;
        memcpy(block, i < UNITS ? "\x10\x0b" : "\x11\x0b", 2);
        block[2] = length;
        block[4] = 2, block[5] = (uint8_t)(i % UNITS * 0x20);
        memcpy(block + 8, &base, 8);
        n += length;
    }
    finish(ivrs, "IVRS", (uint32_t)n);
    return TABLES;
}

static uint64_t begin(unsigned kind, uint64_t own_bytes)
{
    for (unsigned i = 0; i < UNITS; i++) models[i].kind = kind;
    for (unsigned i = 0; i < UNITS; i++) models[i].low[3] = UINT64_C(0x1405); /* the firmware had them on */
    memory_init(OWN, own_bytes);
    uint64_t rsdp = firmware();
    iommu_init(rsdp, BITS, OWN, own_bytes);
    return rsdp;
}

static void without_its_table(uint64_t rsdp)
{
    const uint8_t *table = acpi_table(rsdp, "OEM0");
    CHECK(!acpi_table(rsdp, "IVRS") && acpi_table(rsdp, "FACP") && acpi_table(rsdp, "MCFG"));
    CHECK(table && !sum_of(table));
    for (unsigned i = 36; i < 4096; i++) CHECK(!table[i]);
}

/* --- what is tested; each in a process of its own */

static void reaching(void)
{
    uint64_t seed = 1, rsdp = begin(ANSWERS | ALL_AT_ONCE, OWN_BYTES);
    iommu_protect(0xfebf0000, false, false); /* somebody hides a device before they run */
    iommu_flush();
    iommu_start(rsdp);
    CHECK(hidden == UNITS && strstr(fake_console, "iommu: 2, the hypervisor's"));
    without_its_table(rsdp);
    CHECK((models[0].low[3] & ~UINT64_C(0xb02)) == 0x1405 && (models[0].low[3] & 0xb02) == (2 | 0x100 | 0x800));
    CHECK(rights(8, OWN) == 0 && rights(8, OWN - 1) == 3 && rights(8, OWN + OWN_BYTES - 1) == 0 && rights(8, OWN + OWN_BYTES) == 3);
    CHECK(rights(8, 0xfebf0fff) == 0 && rights(8, 0xfebf1000) == 3 && rights(8, (UINT64_C(1) << BITS) - 1) == 3);
    for (unsigned i = 0; i < UNITS; i++) /* their own registers, too */
        CHECK(rights(8, BASE + i * STRIDE) == 0 && rights(8, BASE + i * STRIDE + 0x3fff) == 0 && rights(8, BASE + i * STRIDE + 0x4000) == 3);
    CHECK(rights(8, UINT64_C(1) << BITS) == 0 && rights(0xffff, OWN + 4096) == 0 && rights(0xffff, 0) == 3);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t r = unit_random(&seed), address = i % 2 ? r >> (64 - BITS) : OWN + (r >> 16) % OWN_BYTES;
        if (address >= BASE - STRIDE && address < BASE + UNITS * STRIDE) continue;
        CHECK(rights((unsigned)(r & 0xffff), address) == (address - OWN < OWN_BYTES ? 0 : 3));
    }
}

/* A page's rights change, and no answer of before is remembered. */
static void protecting(void)
{
    iommu_start(begin(ANSWERS | ALL_AT_ONCE, OWN_BYTES));
    unsigned i = 0;
    for (;; i++) {
        uint64_t page = UINT64_C(0xe000000000) + i * UINT64_C(0x40201000);
        CHECK(i < 64 && rights(8, page) == 3);
        iommu_protect(page, i & 1, i & 2);
        iommu_flush();
        if (strstr(fake_console, "iommu: no table is left; devices reach e")) break; /* then it is said */
        CHECK(rights(8, page) == (i & 3) && rights(9, page + 4096) == 3 && rights(9, page - 1) == 3);
        iommu_protect(page, true, true);
        iommu_flush();
        CHECK(rights(8, page) == 3);
    }
    CHECK(i == (64 - 4) / 2); /* each takes two tables; own memory took one, their registers three */
}

static void giving(void)
{
    uint64_t rsdp = begin(ANSWERS | ALL_AT_ONCE, OWN_BYTES);
    uint64_t bytes = 196 * 4096, ring = memory_physical(memory_alloc(bytes, 4096));
    iommu_give(NIC, ring, bytes);
    iommu_start(rsdp);
    CHECK(rights(NIC, 0x1000) == 0 && rights(NIC, 0xfebf0000) == 0 && rights(NIC, 0xff00000000) == 0);
    for (uint64_t at = OWN; at < OWN + OWN_BYTES; at += 4096) {
        CHECK(rights(NIC, at) == (at >= ring && at < ring + bytes ? 3 : 0));
        for (unsigned i = 0; i < UNITS; i++)
            if (models[i].memo_count > MEMOS / 2) models[i].memo_count = 0;
    }
    CHECK(rights(8, ring) == 0 && rights(8, 0x1000) == 3);
}

/* However many accesses are refused, the lines are few; a log that ran over is started again. */
static void refusing(void)
{
    iommu_start(begin(ANSWERS | ALL_AT_ONCE, OWN_BYTES));
    fake_console_clear();
    uint64_t now = 1, number = 0;
    for (unsigned round = 0; round < 400; round++) {
        struct model *m = &models[round % UNITS];
        for (unsigned i = 0; i < 255; i++, number++) {
            uint64_t *event = (uint64_t *)(uintptr_t)((m->low[2] & 0xffffffffff000) + m->high[3]);
            event[0] = UINT64_C(2) << 60 | 0x0840;
            event[1] = OWN + number;
            m->high[3] = (m->high[3] + 16) % 4096;
            CHECK(m->high[3] != m->high[2]);
        }
        unsigned switched = m->switched;
        if (round == 7) m->high[4] |= 1;
        iommu_poll(now);
        CHECK(m->high[3] == m->high[2] && !(m->high[4] & 1) && m->switched == switched + (round == 7 ? 2 : 0));
        CHECK(m->low[3] == (UINT64_C(0x1405) | 0x902));
        iommu_poll(now + 1); /* too soon: nothing is looked at */
        now += 100000000;
    }
    CHECK(strstr(fake_console, "visor: iommu: event 2 of 08:08.0 at 40000000, number 1\r\n"));
    unsigned lines = 0;
    for (const char *c = fake_console; (c = strstr(c, "number")); c++) lines++;
    CHECK(lines == 16 + 12); /* and 32, 64 ... 65536 */
}

static void silence(void)
{
    uint64_t rsdp = begin(ALL_AT_ONCE, OWN_BYTES);
    iommu_give(NIC, OWN, 4096);
    iommu_start(rsdp);
    CHECK(strstr(fake_console, "does not answer") && strstr(fake_console, "not all come up"));
    for (unsigned i = 0; i < UNITS; i++) CHECK(!models[i].low[3]);
    iommu_poll(1);
    iommu_protect(0x1000, false, false);
    iommu_flush();
}

/* One that has no command to forget all at once is not trusted with what it remembers. */
static void first_generation(void)
{
    iommu_start(begin(ANSWERS, OWN_BYTES));
    CHECK(strstr(fake_console, "not all come up") && !models[0].low[3] && !models[1].low[3]);
}

/* It answers at first, and then no more: that is waited for once. */
static void late_silence(void)
{
    iommu_start(begin(ANSWERS | ALL_AT_ONCE, OWN_BYTES));
    models[1].kind = ALL_AT_ONCE;
    for (unsigned i = 0; i < 1000; i++) {
        iommu_protect(0xfebf0000, i & 1, false);
        iommu_flush();
    }
    CHECK(rights(8, 0xfebf1000) == 3 && ask(&models[0], 8, 0xfebf0000) == 1);
    CHECK(strstr(fake_console, "at fee80000 does not answer"));
}

static void too_little(void)
{
    uint64_t rsdp = begin(ANSWERS, UINT64_C(3) << 20);
    CHECK(strstr(fake_console, "memory_mib is too little"));
    iommu_start(rsdp);
    CHECK(acpi_table(rsdp, "IVRS") && !models[0].switched && memory_left() == UINT64_C(3) << 20);
}

static void none(void)
{
    iommu_init(0, BITS, OWN, OWN_BYTES);
    iommu_start(0);
    iommu_protect(0x1000, false, false);
    iommu_flush();
    CHECK(!fake_console[0]);
}

int main(void)
{
    static void (*const tests[])(void) = {reaching, protecting, giving, refusing, silence, first_generation, late_silence, too_little, none};
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    CHECK(mmap((void *)(uintptr_t)OWN, OWN_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0) == (void *)(uintptr_t)OWN);
    CHECK(mmap((void *)(uintptr_t)TABLES, 8 * 4096, PROT_READ | PROT_WRITE, flags, -1, 0) == (void *)(uintptr_t)TABLES);
    for (unsigned i = 0; i < sizeof tests / sizeof *tests; i++) {
        int status;
        pid_t child = fork();
        CHECK(child >= 0);
        if (!child) {
            tests[i]();
            exit(0);
        }
        CHECK(waitpid(child, &status, 0) == child && !status);
    }
    return 0;
}
