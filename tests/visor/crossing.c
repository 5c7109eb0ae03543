/* An EFI program in the kernel's place: another processor sends this one two interrupts again and again, the second of a higher priority, while
 * the camera watches the page of its interrupt table. A delivery that the camera interrupts is one that the hypervisor gives back, and by then
 * the other interrupt may be there. None may be forgotten: one that is never comes again, since its end is not told to the APIC. */
#include "visor/arch/x86/cpu.h"
#include "visor/boot/efi.h"
#include "visor/core/print.h"

#define TABLE UINT64_C(0x10000000) /* what the camera is told to watch */
#define APIC UINT64_C(0xfee00000)
enum { LOW = 0x40, HIGH = 0xe0, SPURIOUS = 0xff, SVR = 0xf0, ICR = 0x300, ICR_HIGH = 0x310, FIXED = 0x4000, ROUNDS = 1500 };

struct gate {
    uint16_t low, selector, flags, middle;
    uint32_t high, reserved;
};

volatile uint32_t lows, highs;
static volatile uint32_t sent, go, stop;

extern const uint8_t low_vector[], high_vector[], other_vector[];
__asm__(".text\n"
        "low_vector: push %rax\nlock incl lows(%rip)\njmp 1f\n"
        "high_vector: push %rax\nlock incl highs(%rip)\n"
        "1: mov $0xfee000b0, %eax\nmovl $0, (%rax)\npop %rax\nother_vector: iretq\n");

static void write32(uint64_t at, uint32_t value)
{
    __asm__ volatile("movl %0, (%1)" : : "r"(value), "r"(at) : "memory");
}

static void gate(unsigned vector, const uint8_t *to)
{
    uint64_t at = (uint64_t)(uintptr_t)to;
    ((struct gate *)TABLE)[vector] = (struct gate){(uint16_t)at, read_cs(), 0x8e00, (uint16_t)(at >> 16), (uint32_t)(at >> 32), 0};
}

/* Never two of one kind at a time: the APIC would make one of them. */
static void sender(void *arg)
{
    (void)arg;
    __asm__ volatile("cli" : : : "memory");
    write32(APIC + ICR_HIGH, 0);
    while (!stop) {
        if (go && lows == sent) {
            write32(APIC + ICR, FIXED | LOW);
            write32(APIC + ICR, FIXED | HIGH);
            sent = sent + 1;
        }
        pause_cpu();
    }
}

EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *system);
EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *system)
{
    static EFI_GUID guid = MP_SERVICES_GUID;
    struct mp_services *mp;
    EFI_EVENT event;
    EFI_BOOT_SERVICES *boot = system->BootServices;
    uint64_t table = TABLE;
    struct table_register r = {4095, TABLE};
    (void)handle;
    if (boot->AllocatePages(AllocateAddress, EfiLoaderData, 1, &table) || boot->LocateProtocol(&guid, NULL, (void **)&mp) ||
        boot->CreateEvent(0, 4, NULL, NULL, &event) || mp->start_all(mp, sender, 0, event, 0, NULL, NULL)) {
        print("@@ crossing: no memory, or no other processor");
        return EFI_LOAD_ERROR;
    }
    __asm__ volatile("cli" : : : "memory");
    for (unsigned i = 0; i < 256; i++) gate(i, other_vector);
    gate(LOW, low_vector);
    gate(HIGH, high_vector);
    __asm__ volatile("lidt %0" : : "m"(r) : "memory");
    write32(APIC + SVR, 0x100 | SPURIOUS);
    __asm__ volatile("sti" : : : "memory");
    go = 1;
    uint32_t before = 0;
    for (unsigned still = 0; still < 1000 && sent < ROUNDS; before = lows) { /* some seconds without one: it is lost */
        for (uint64_t until = rdtsc() + 10000000; rdtsc() < until;) pause_cpu();
        still = lows == before ? still + 1 : 0;
    }
    __asm__ volatile("cli" : : : "memory");
    stop = 1;
    uint32_t told = sent; /* once: the other one may count while we look */
    bool all = told >= ROUNDS && (lows == told || lows == told + 1) && highs; /* the last may not be counted yet */
    print("@@ crossing: %s, %u sent, %u and %u came", all ? "all" : "lost", (unsigned)told, (unsigned)lows, (unsigned)highs);
    print_bytes("@@ end\n", 7); /* as machine.sh wants it, without our name before */
    __asm__ volatile("lidt %0; ud2" : : "m"((struct table_register){0, 0}));
    return 0;
}
