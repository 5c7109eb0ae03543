/* The hypervisor's memory, by the processor's own means; code and page tables in places where they should not be. */
#include "tests/visor/intruder/intruder.h"

static bool ones(uint64_t at, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i += 8)
        if (*(volatile uint64_t *)(at + i) != UINT64_MAX) return false;
    return true;
}

static void reads(void)
{
    unsigned bad = 0;
    attempt("memory-read");
    for (uint64_t at = own; at < own + own_bytes; at += PAGE) bad += !ones(at + at / PAGE % 500 * 8, 16);
    bad += !ones(own, PAGE) || !ones(own + own_bytes - PAGE, PAGE);
    result("%u pages of %u not ones", bad, (unsigned)(own_bytes / PAGE));
}

static void writes(void)
{
    unsigned bad = 0;
    attempt("memory-write");
    for (uint64_t at = own; at < own + own_bytes; at += own_bytes / 32) {
        volatile uint64_t *p = (volatile uint64_t *)at;
        uint64_t count = 16, to = at, value = 1;
        *p = 0;
        *(volatile uint8_t *)p = 0;
        *(volatile uint16_t *)p = 0;
        *(volatile uint32_t *)p = 0;
        __asm__ volatile("xchg %0, (%1); lock orl $1, (%1); lock andq $0, (%1); subb $1, (%1)" : "+r"(value) : "r"(at) : "memory");
        __asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(0) : "memory");
        bad += value != UINT64_MAX || count != 0 || !ones(at, 256);
    }
    result("%u of 32 places changed", bad);
}

static void strange(void)
{
    static const uint8_t sse_store[] = {0x0f, 0x11, 0x00, 0xc3}, sse_load[] = {0x0f, 0x10, 0x00, 0xc3};
    static const uint8_t movs[] = {0xf3, 0xa4, 0xc3}, cmpxchg[] = {0xf0, 0x0f, 0xb1, 0x08, 0xc3}, inc[] = {0xff, 0x00, 0xc3};
    static const uint8_t fnsave[] = {0xdd, 0x30, 0xc3}, push[] = {0xff, 0x30, 0x58, 0xc3}, clflush[] = {0x0f, 0xae, 0x38, 0xc3};
    attempt("memory-odd");
    unsigned store = try_code(sse_store, own, 0), load = try_code(sse_load, own, 0), copy = try_code(movs, own, 64);
    unsigned exchange = try_code(cmpxchg, own, 0), increment = try_code(inc, own, 0), x87 = try_code(fnsave, own, 0);
    unsigned stack = try_code(push, own, 0), flush = try_code(clflush, own, 0);
    result("SSE store %u load %u, MOVS %u, CMPXCHG %u, INC %u, FNSAVE %u, PUSH of it %u, CLFLUSH %u; %s", store, load, copy, exchange, increment,
           x87, stack, flush, ones(own, 256) ? "ones" : "changed");
    attempt("memory-fetch");
    unsigned first = try_call(own), here = try_call(own + 0x123), last = try_call(own + own_bytes - 2);
    result("exceptions %u %u %u", first, here, last);
    attempt("memory-cross");
    uint64_t value = *(volatile uint64_t *)(own - 4);
    __asm__ volatile("" : : : "memory");
    unsigned got = try_code((const uint8_t[]){0x48, 0x89, 0x08, 0xc3}, own - 4, value & UINT32_MAX);
    result("upper half %x, exception %u, %s", (unsigned)(value >> 32), got, ones(own, 64) ? "ones" : "changed");
}

/* Two pages of code, of which the second can be taken away: at 3F00_0000_0000h, by tables of our own below the firmware's. */
static uint64_t *code_entry;
static uint8_t *code_page;
enum { CODE_SLOT = 0x7e };
#define CODE ((uint64_t)CODE_SLOT << 39)

static void map_code(void)
{
    uint64_t *root = (uint64_t *)(read_cr3() & ~UINT64_C(0xfff)), *t3 = page_alloc(4), *t2 = t3 + 512, *t1 = t2 + 512;
    uint64_t cr0 = read_cr0();
    code_page = (uint8_t *)(t1 + 512);
    t3[0] = (uint64_t)(uintptr_t)t2 | 3;
    t2[0] = (uint64_t)(uintptr_t)t1 | 3;
    t1[0] = (uint64_t)(uintptr_t)code_page | 3;
    code_entry = &t1[1];
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0 & ~UINT64_C(0x10000)) : "memory"); /* the firmware's tables may be read-only */
    root[CODE_SLOT] = (uint64_t)(uintptr_t)t3 | 3;
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0) : "memory");
}

static void edges(void)
{
    static const uint8_t store[] = {0x89, 0x08}, wide[] = {0xc7, 0x80, 0, 0, 0, 0, 1, 2, 3, 4};
    map_code();
    attempt("decode-edge");
    memcpy(code_page + PAGE - 2, store, 2); /* ends with the page; what follows is not there */
    unsigned last = try_code((const void *)(CODE + PAGE - 2), own, 0);
    memcpy(code_page + PAGE - 5, wide, 5); /* goes on where nothing is */
    unsigned cut = try_code((const void *)(CODE + PAGE - 5), own, 0);
    *code_entry = own | 3; /* goes on in the hypervisor's memory */
    __asm__ volatile("invlpg (%0)" : : "r"(CODE + PAGE));
    unsigned into = try_code((const void *)(CODE + PAGE - 5), own, 0);
    result("exceptions %u %u %u, %s", last, cut, into, ones(own, 64) ? "ones" : "changed");
    attempt("tables-in-it");
    code_entry[-1] = (uint64_t)(uintptr_t)code_page | 3;
    uint64_t *t2 = code_entry - 1 - 512; /* page tables that are ones: reserved bits */
    t2[1] = own | 3;
    unsigned got = try_store(CODE + (2 << 20), 0);
    result("exception %u", got);
}

static volatile uint32_t *racing;
static void race(void) /* turns a store into a load, into nonsense, and back */
{
    static const uint16_t codes[] = {0x0889, 0x088b, 0x0b0f, 0x0887, 0xabab, 0x0889};
    for (unsigned i = 0; i < ARRAY_LENGTH(codes); i++) {
        *(volatile uint16_t *)racing = codes[i];
        pause_us(3 + i);
    }
}

static void races(void)
{
    uint8_t *code = page_alloc(1);
    attempt("decode-race");
    memcpy(code, (const uint8_t[]){0x89, 0x08, 0xc3}, 3);
    racing = (volatile uint32_t *)code;
    other_does(race);
    for (unsigned i = 0; i < 100; i++) try_code(code, own + 8 * (i & 63), i); /* which exception depends on what was fetched */
    other_does(NULL);
    result("%s", ones(own, PAGE) ? "ones" : "changed");
}

void against_memory(void)
{
    reads();
    writes();
    strange();
    edges();
    races();
}
