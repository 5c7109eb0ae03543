/* The instructions that touch device registers: what the assembler makes of them, decoded and done to a fake register;
 * the guest's page tables; the table of watched pages. */
#include "tests/visor/fake.h"
#include "visor/arch/x86/bits.h"
#include "visor/core/decode.h"
#include "visor/core/machine.h"
#include "visor/core/mmio.h"
#include "visor/core/pci.h"
#include "visor/core/vcpu.h"

static struct vcpu vcpu;
static unsigned bits, protections;
static uint64_t device, skipped;

/* --- the machine around emulate.c, mmio.c: guest RAM is `arena`, and its addresses are ours */
static _Alignas(4096) uint8_t arena[16 * 4096];

void vcpu_code(const struct vcpu *v, struct vcpu_code *code)
{
    *code = (struct vcpu_code){v->rip, bits, {CR0_PG, (uintptr_t)arena, CR4_PAE, EFER_LMA}};
}

void vcpu_skip(struct vcpu *v, unsigned length)
{
    skipped = length;
}

bool machine_protect(uint64_t gpa, bool reads, bool writes)
{
    protections += !writes;
    return gpa < 0x100000000;
}

void machine_flush(void)
{
}

bool pci_hide(pci_bdf bdf)
{
    return false;
}

uint64_t mmio_real_read(uint64_t gpa, unsigned width)
{
    return gpa == 0xfee00008 ? device : 0;
}

void mmio_real_write(uint64_t gpa, unsigned width, uint64_t value)
{
    if (gpa == 0xfee00008) device = value | (uint64_t)width << 60;
}

/* 4-level tables at the arena's begin that map the arena's last page at 1234567000h, and at 40000000h a GiB from 0 */
static void tables(void)
{
    uint64_t *t = (uint64_t *)(void *)arena, at = (uintptr_t)arena, va = 0x1234567000;
    memset(arena, 0, sizeof arena);
    t[va >> 39 & 511] = (at + 4096) | 3;
    t[512 + (va >> 30 & 511)] = (at + 8192) | 3;
    t[1024 + (va >> 21 & 511)] = (at + 3 * 4096) | 3;
    t[1536 + (va >> 12 & 511)] = (at + 15 * 4096) | 3;
    t[512 + 1] = 0x83;
}

struct sample {
    unsigned bits;
    const char *code; /* with one byte too many behind it */
    unsigned length;
    bool write;
    uint64_t device; /* before: 0x8877665544332211 */
    unsigned reg;    /* and what this register holds after it; before: 0x1122334455667788 */
    uint64_t value;
};

#define BEFORE UINT64_C(0x1122334455667788)
#define DEVICE UINT64_C(0x8877665544332211)
#define WIDTH(w) ((uint64_t)(w) << 60)
static const struct sample samples[] = {
    {64, "\x89\x08\x90", 2, true, WIDTH(4) | 0x55667788, VCPU_RCX, BEFORE},                 /* mov %ecx,(%rax) */
    {64, "\x4c\x89\x8c\x24\x00\x03\x00\x00\x90", 8, true, WIDTH(8) | BEFORE, 9, BEFORE},    /* mov %r9,0x300(%rsp) */
    {64, "\x66\x89\x0d\x11\x22\x33\x00\x90", 7, true, WIDTH(2) | 0x7788, VCPU_RCX, BEFORE}, /* mov %cx,...(%rip) */
    {64, "\x88\x63\x10\x90", 3, true, WIDTH(1) | 0x77, VCPU_RAX, BEFORE},                   /* mov %ah,0x10(%rbx) */
    {64, "\x40\x88\x63\x10\x90", 4, true, WIDTH(1) | 0x88, VCPU_RSP, BEFORE},               /* mov %spl,0x10(%rbx) */
    {64, "\xc7\x04\x25\x00\x03\xe0\xfe\xfb\x00\x00\x80\x90", 11, true, WIDTH(4) | 0x800000fb, 0,
     BEFORE},                                                                   /* movl $..,abs */
    {64, "\x48\xc7\x00\xff\xff\xff\xff\x90", 7, true, UINT64_MAX, 0, BEFORE},   /* movq $-1,(%rax) */
    {64, "\x66\xc7\x00\x34\x12\x90", 5, true, WIDTH(2) | 0x1234, 0, BEFORE},    /* movw */
    {64, "\xc6\x44\x88\x7f\x5a\x90", 5, true, WIDTH(1) | 0x5a, 0, BEFORE},      /* movb $0x5a,0x7f(%rax,%rcx,4) */
    {64, "\x8b\x11\x90", 2, false, DEVICE, VCPU_RDX, 0x44332211},               /* mov (%rcx),%edx */
    {64, "\x66\x8b\x11\x90", 3, false, DEVICE, VCPU_RDX, 0x1122334455662211},   /* mov (%rcx),%dx */
    {64, "\x8a\x31\x90", 2, false, DEVICE, VCPU_RDX, 0x1122334455661188},       /* mov (%rcx),%dh */
    {64, "\x49\x8b\x12\x90", 3, false, DEVICE, VCPU_RDX, DEVICE},               /* mov (%r10),%rdx */
    {64, "\x0f\xb6\x11\x90", 3, false, DEVICE, VCPU_RDX, 0x11},                 /* movzbl */
    {64, "\x48\x0f\xbf\x11\x90", 4, false, DEVICE, VCPU_RDX, 0x2211},           /* movswq */
    {64, "\x48\x63\x11\x90", 3, false, DEVICE, VCPU_RDX, 0x44332211},           /* movslq */
    {64, "\x87\x11\x90", 2, true, WIDTH(4) | 0x55667788, VCPU_RDX, 0x44332211}, /* xchg %edx,(%rcx) */
    {64, "\xa3\x00\x00\x00\x00\x00\x00\x00\x00\x90", 9, true, WIDTH(4) | 0x55667788, 0, BEFORE}, /* movabs %eax,... */
    {64, "\x83\x09\x01\x90", 3, true, WIDTH(4) | 0x44332211, 0, BEFORE},                         /* orl $1,(%rcx) */
    {64, "\xf0\x81\x21\x00\xff\x00\x00\x90", 7, true, WIDTH(4) | 0x2200, 0, BEFORE}, /* lock andl $0xff00,(%rcx) */
    {64, "\xaa\x90", 1, true, WIDTH(1) | 0x88, VCPU_RDI, BEFORE + 1},                /* stosb */
    {64, "\xf3\x48\xab\x90", 0, true, WIDTH(8) | BEFORE, VCPU_RCX, BEFORE - 1},      /* rep stosq: goes on */
    {32, "\x89\x08\x90", 2, true, WIDTH(4) | 0x55667788, VCPU_RCX, BEFORE},
    {32, "\x66\xc7\x05\x00\x00\xe0\xfe\x34\x12\x90", 9, true, WIDTH(2) | 0x1234, 0, BEFORE}, /* movw $..,abs32 */
    {32, "\x67\x89\x0e\x34\x12\x90", 5, true, WIDTH(4) | 0x55667788, 0, BEFORE},             /* 16-bit address */
    {16, "\x89\x0e\x34\x12\x90", 4, true, WIDTH(2) | 0x7788, 0, BEFORE},
    {16, "\x66\x67\x89\x08\x90", 4, true, WIDTH(4) | 0x55667788, 0, BEFORE},
};

/* a register operand; SSE; LOCK MOV; INC; EVEX; REX that is not last */
static const char *const refused[] = {
    "\x89\xc8", "\x0f\x11\x01", "\xf0\x89\x08", "\xff\x01", "\x62\xf1\x7c\x48\x11\x01", "\x48\x66\x89\x08"};

static void instructions(void)
{
    for (size_t i = 0; i < ARRAY_LENGTH(samples); i++) {
        const struct sample *s = &samples[i];
        struct decoded d;
        size_t n = s->length ? s->length : 3;
        CHECK(decode((const uint8_t *)s->code, n + 1, s->bits, &d) && d.length == n);
        for (size_t k = 0; k < n; k++) CHECK(!decode((const uint8_t *)s->code, k, s->bits, &d));
        memcpy(arena + 15 * 4096, s->code, n + 1);
        vcpu = (struct vcpu){.rip = 0x1234567000, .rflags = 2};
        for (unsigned r = 0; r < 16; r++) vcpu.regs[r] = BEFORE;
        bits = s->bits;
        device = DEVICE;
        skipped = 0;
        CHECK(emulate_access(&vcpu, 0xfee00008, s->write));
        if (device != s->device || vcpu.regs[s->reg] != s->value || skipped != s->length) {
            fprintf(stderr, "sample %zu: device %llx, register %llx, skipped %llu\n", i, (unsigned long long)device,
                    (unsigned long long)vcpu.regs[s->reg], (unsigned long long)skipped);
            exit(1);
        }
    }
    for (size_t i = 0; i < ARRAY_LENGTH(refused); i++) {
        struct decoded d;
        CHECK(!decode((const uint8_t *)refused[i], strlen(refused[i]), 64, &d));
    }
    bits = 64;
    memcpy(arena + 15 * 4096, "\x8b\x11", 2); /* where there is nothing: ones, and writes that go nowhere */
    CHECK(emulate_access(&vcpu, 0x1000, false) && vcpu.regs[VCPU_RDX] == 0xffffffff);
    vcpu.rip += 4096; /* not mapped */
    CHECK(!emulate_access(&vcpu, 0xfee00008, false));
}

static void flags(void)
{
    memcpy(arena + 15 * 4096, "\x83\x29\x01\x90", 4); /* subl $1,(%rcx) */
    vcpu = (struct vcpu){.rip = 0x1234567000, .rflags = 0xffff};
    bits = 64;
    device = 0;
    CHECK(emulate_access(&vcpu, 0xfee00008, true) && device == (WIDTH(4) | 0xffffffff));
    CHECK((vcpu.rflags & 0x8d5) == 0x95); /* CF, PF, AF, SF; not ZF, OF */
}

static void walks(void)
{
    struct guest_paging p = {CR0_PG, (uintptr_t)arena, CR4_PAE, EFER_LMA};
    uint64_t gpa;
    uint8_t bytes[8];
    CHECK(guest_walk(&p, 0x1234567abc, &gpa) && gpa == (uintptr_t)arena + 15 * 4096 + 0xabc);
    CHECK(guest_walk(&p, 0x52345678, &gpa) && gpa == 0x12345678);
    CHECK(!guest_walk(&p, 0x1234568000, &gpa));
    CHECK(guest_copy_virtual(bytes, &p, 0x1234567ffc, 8) == 4);
    p.cr3 = (uintptr_t)arena + sizeof arena; /* tables beyond RAM */
    CHECK(!guest_walk(&p, 0x1234567abc, &gpa));
    p.cr0 = 0;
    CHECK(guest_walk(&p, 0x1234567abc, &gpa) && gpa == 0x34567abc);
    CHECK(!guest_copy(bytes, (uintptr_t)arena + sizeof arena - 4, 8) && !guest_copy(bytes, UINT64_MAX - 3, 8));
    guest_ram_own((uintptr_t)arena + 8 * 4096, 4096);
    CHECK(!guest_copy(bytes, (uintptr_t)arena + 8 * 4096 - 4, 8) &&
          !guest_copy(bytes, (uintptr_t)arena + 9 * 4096 - 1, 8));
    CHECK(guest_copy(bytes, (uintptr_t)arena + 9 * 4096, 8) && !guest_is_ram((uintptr_t)arena, sizeof arena));
    CHECK(!guest_store((uintptr_t)arena + 8 * 4096, bytes, 8) && guest_store((uintptr_t)arena + 9 * 4096, bytes, 8));
}

static void ranges(void)
{
    static const struct mmio_ops none = {0};
    CHECK(mmio_register(0xfee00000, 4096, &none, NULL) && protections == 1);
    CHECK(!mmio_register(0xfee00000, 8192, &none, NULL) && !mmio_register(0x1800, 4096, &none, NULL) &&
          !mmio_register(0x1000, 0, &none, NULL));
    CHECK(!mmio_register(0x100000000, 4096, &none, NULL)); /* cannot be protected, so is not registered */
    uint64_t value;
    CHECK(!mmio_guest_read(0x100000000, 4, &value) && !mmio_guest_read(0xfee00ffd, 4, &value));
    CHECK(mmio_register(0x5000, 4096, &none, NULL));
    mmio_unregister(0x5000);
    CHECK(!mmio_guest_write(0x5000, 4, 0) && mmio_register(0x5000, 4096, &none, NULL));
}

int main(void)
{
    CHECK(guest_ram_add((uintptr_t)arena, 4096) && guest_ram_add((uintptr_t)arena + 4096, sizeof arena - 4096));
    tables();
    ranges();
    instructions();
    flags();
    walks();
    return 0;
}
