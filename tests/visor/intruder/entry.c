#include "tests/visor/intruder/intruder.h"

enum { VECTORS = 32, COM1 = 0x3f8 };

struct gate {
    uint16_t low, selector, flags, middle;
    uint32_t high, reserved;
};

EFI_SYSTEM_TABLE *efi;
uint64_t own, own_bytes;
struct nvme_disk nvme = {.bdf = 5 << 3}, nvme_abused = {.bdf = 7 << 3};
struct ahci_disk ahci = {.bdf = 0x1f << 3 | 2, .port = 1}, ahci_abused = {.bdf = 0x1f << 3 | 2, .port = 2};
volatile uint32_t nmis, caught;
volatile uint64_t fixup, other_rounds;
static void (*volatile job)(void);
static struct gate idt[VECTORS];
static unsigned marks;
static const char *present = "begin";

/* An exception goes on at `fixup`, an NMI is counted. */
extern const uint8_t vectors[];
__asm__(".text\n.balign 16\nvectors:\n"
        ".set v, 0\n.rept 32\n.balign 16\n"
        ".if !(v == 8 || (v >= 10 && v <= 14) || v == 17 || v == 21 || v == 29 || v == 30)\npush $0\n.endif\n"
        "push $v\njmp common\n.set v, v + 1\n.endr\n"
        "common: push %rax\nmov 8(%rsp), %eax\ncmp $2, %eax\njne 1f\nlock incl nmis(%rip)\njmp 2f\n"
        "1: mov %eax, caught(%rip)\nmov fixup(%rip), %rax\nmov %rax, 24(%rsp)\n"
        "2: pop %rax\nadd $16, %rsp\niretq\n");

#define GUARDED(code, ...)                                                                                             \
    caught = 0;                                                                                                        \
    __asm__ volatile("lea 9f(%%rip), %%r11\nmov %%r11, fixup(%%rip)\n" code "\n9:" : __VA_ARGS__ : "r11", "memory", "cc")

unsigned try_read(uint64_t msr, uint64_t *value)
{
    uint32_t low = 0, high = 0;
    GUARDED("rdmsr", "+a"(low), "+d"(high) : "c"((uint32_t)msr));
    *value = (uint64_t)high << 32 | low;
    return caught;
}

unsigned try_write(uint64_t msr, uint64_t value)
{
    GUARDED("wrmsr", : "c"((uint32_t)msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
    return caught;
}

unsigned try_store(uint64_t address, uint32_t value)
{
    GUARDED("movl %1, (%0)", : "r"(address), "r"(value));
    return caught;
}

unsigned try_call(uint64_t address)
{
    return try_code((const void *)address, 0, 0);
}

/* With the stack pointer kept: what is called may push, and never come back. */
unsigned try_code(const void *code, uint64_t rax, uint64_t rcx)
{
    uint64_t rsi = (uint64_t)(uintptr_t)&idt, rdi = rax;
    caught = 0;
    __asm__ volatile("lea 9f(%%rip), %%r11; mov %%r11, fixup(%%rip); mov %%rsp, %%r12; call *%4; 9: mov %%r12, %%rsp"
                     : "+a"(rax), "+c"(rcx), "+S"(rsi), "+D"(rdi)
                     : "r"(code)
                     : "r11", "r12", "rdx", "rbx", "memory", "cc");
    return caught;
}

void print_bytes(const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        while (!(in8(COM1 + 5) & 0x20)) pause_cpu();
        out8(COM1, (uint8_t)bytes[i]);
    }
}

static void line(const char *format, va_list args)
{
    char text[200];
    size_t n = print_format(text, sizeof text - 2, format, args);
    text[n++] = '\r', text[n++] = '\n';
    print_bytes(text, n);
}

void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    line(format, args);
    va_end(args);
}

/* The same block, which says which one it is, to both disks, each time elsewhere. */
static void mark(const char *when)
{
    static _Alignas(4096) char block[PAGE];
    memset(block, 0, sizeof block);
    size_t n = strlen(present), m = strlen(when);
    memcpy(block, present, n);
    memcpy(block + n + 1, when, m);
    block[n + m + 2] = (char)marks;
    for (unsigned i = 64; i < PAGE; i++) block[i] = (char)(i * 7 + marks * 13);
    uint64_t lba = 8 * (uint64_t)++marks;
    int status = nvme_rw(&nvme, true, lba, 8, (uint64_t)(uintptr_t)block, 0);
    bool done = ahci_rw(&ahci, true, lba, 8, (uint64_t)(uintptr_t)block);
    if (status || !done) say("@@ mark %s %s: NVMe %x, AHCI %u", present, when, (unsigned)status, (unsigned)done);
}

void attempt(const char *name)
{
    present = name;
    mark("before");
}

void result(const char *format, ...)
{
    char text[120];
    va_list args;
    va_start(args, format);
    print_format(text, sizeof text, format, args);
    va_end(args);
    mark("after");
    say("@@ try %s: %s", present, text);
}

/* No service of the firmware's is asked from here on: it would let interrupts in, which are not ours. */
static uint64_t ticks_per_us, low_address;
static uint8_t *pool;
static unsigned pool_left = 256;

void pause_us(unsigned us)
{
    for (uint64_t until = rdtsc() + us * ticks_per_us; rdtsc() < until;) pause_cpu();
}

void *page_alloc(unsigned pages)
{
    uint8_t *at = pool;
    if (pages > pool_left) say("@@ no memory");
    pool += pages * PAGE;
    pool_left -= pages;
    return memset(at, 0, pages * PAGE);
}

uint64_t low_page(void)
{
    return low_address;
}

static void prepare(void)
{
    uint64_t at = 0, begun = rdtsc();
    efi->BootServices->Stall(10000);
    ticks_per_us = (rdtsc() - begun) / 10000;
    low_address = 0x9f000;
    if (efi->BootServices->AllocatePages(AllocateAnyPages, EfiLoaderData, pool_left, &at) ||
        efi->BootServices->AllocatePages(AllocateMaxAddress, EfiLoaderData, 1, &low_address))
        say("@@ no memory");
    pool = (uint8_t *)at;
}

const uint8_t *acpi(const char *signature)
{
    static EFI_GUID guid = ACPI_20_TABLE_GUID;
    const uint8_t *xsdt = NULL;
    uint32_t bytes;
    uint64_t at;
    for (uint64_t i = 0; i < efi->NumberOfTableEntries; i++)
        if (!memcmp(&efi->ConfigurationTable[i].VendorGuid, &guid, sizeof guid)) {
            memcpy(&at, (const uint8_t *)efi->ConfigurationTable[i].VendorTable + 24, 8);
            xsdt = (const uint8_t *)at;
        }
    if (!xsdt) return NULL;
    memcpy(&bytes, xsdt + 4, 4);
    for (uint32_t i = 36; i + 8 <= bytes; i += 8) {
        memcpy(&at, xsdt + i, 8);
        if (!memcmp((const void *)at, signature, 4)) return (const uint8_t *)at;
    }
    return NULL;
}

/* The largest stretch that is reserved and as large as the hypervisor takes by default. */
static void find_own(void)
{
    uint64_t bytes = 0, key, entry;
    uint32_t version;
    efi->BootServices->GetMemoryMap(&bytes, NULL, &key, &entry, &version);
    uint8_t *map = page_alloc(8);
    bytes = 8 * PAGE;
    if (efi->BootServices->GetMemoryMap(&bytes, (EFI_MEMORY_DESCRIPTOR *)map, &key, &entry, &version)) return;
    for (uint64_t at = 0; at + entry <= bytes; at += entry) {
        const EFI_MEMORY_DESCRIPTOR *d = (const void *)(map + at);
        if (d->Type == EfiReservedMemoryType && d->NumberOfPages == 8192) own = d->PhysicalStart, own_bytes = d->NumberOfPages * PAGE;
    }
}

static void load_idt(void)
{
    struct table_register r = {sizeof idt - 1, (uint64_t)(uintptr_t)idt};
    for (unsigned v = 0; v < VECTORS; v++) {
        uint64_t at = (uint64_t)(uintptr_t)vectors + 16 * v;
        idt[v] = (struct gate){(uint16_t)at, read_cs(), 0x8e00, (uint16_t)(at >> 16), (uint32_t)(at >> 32), 0};
    }
    __asm__ volatile("lidt %0" : : "m"(r));
}

static void other(void *arg)
{
    (void)arg;
    __asm__ volatile("cli");
    load_idt();
    for (;;) {
        if (job) job();
        other_rounds++;
    }
}

void other_does(void (*what)(void))
{
    uint64_t before = other_rounds;
    job = what;
    for (unsigned i = 0; i < 50000 && other_rounds < before + 2; i++) pause_us(100); /* it may be a slow machine */
}

static void start_other(void)
{
    static EFI_GUID guid = MP_SERVICES_GUID;
    EFI_EVENT event;
    struct mp_services *mp;
    if (efi->BootServices->LocateProtocol(&guid, NULL, (void **)&mp) ||
        efi->BootServices->CreateEvent(0, 4, NULL, NULL, &event) ||
        mp->start_all(mp, other, 0, event, 0, NULL, NULL))
        say("@@ no other processor");
    for (unsigned i = 0; i < 1000 && !other_rounds; i++) pause_us(1000);
}

EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *system);
EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *system)
{
    (void)handle;
    efi = system;
    prepare();
    find_own();
    start_other();
    __asm__ volatile("cli");
    load_idt();
    if (!nvme_start(&nvme) || !nvme_start(&nvme_abused)) say("@@ NVMe does not start");
    if (!ahci_start(&ahci) || !ahci_start(&ahci_abused)) say("@@ AHCI does not start");
    say("@@ own %llx others %u", (unsigned long long)own, (unsigned)(other_rounds != 0));
    against_memory();
    against_card();
    against_registers();
    against_dma();
    against_controllers();
    against_processor();
    against_interrupts();
    against_power();
    present = "end";
    mark("last");
    say("@@ marks %u", marks);
    say("@@ end");
    struct table_register none = {0, 0}; /* a triple fault, at once: what was written last has not left yet */
    __asm__ volatile("lidt %0; ud2" : : "m"(none));
    return 0;
}
