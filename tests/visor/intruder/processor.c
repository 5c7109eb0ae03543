/* SVM, its MSRs, and others with which a processor's idea of memory is changed. */
#include "tests/visor/intruder/intruder.h"

static void svm(void)
{
    static const struct {
        const char *name;
        uint8_t code[5];
    } all[] = {{"VMRUN", {0x0f, 0x01, 0xd8, 0xc3}},   {"VMMCALL", {0x0f, 0x01, 0xd9, 0xc3}}, {"VMLOAD", {0x0f, 0x01, 0xda, 0xc3}},
               {"VMSAVE", {0x0f, 0x01, 0xdb, 0xc3}},  {"STGI", {0x0f, 0x01, 0xdc, 0xc3}},    {"CLGI", {0x0f, 0x01, 0xdd, 0xc3}},
               {"SKINIT", {0x0f, 0x01, 0xde, 0xc3}},  {"INVLPGA", {0x0f, 0x01, 0xdf, 0xc3}}, {"RSM", {0x0f, 0xaa, 0xc3}}};
    uint64_t efer, control, save, key;
    unsigned odd = 0;
    attempt("svm-instructions");
    for (unsigned i = 0; i < ARRAY_LENGTH(all); i++) {
        unsigned got = try_code(all[i].code, own, 0);
        if (got != UD) say("@@ %s gives %u", all[i].name, got), odd++;
    }
    result("%u of %u are not #UD", odd, (unsigned)ARRAY_LENGTH(all));
    attempt("svm-cpuid");
    struct cpuid a = cpuid(0x80000001, 0), b = cpuid(0x8000000a, 0);
    result("SVM %u, leaf %x, MONITOR %u", a.c >> 2 & 1, b.a | b.b | b.c | b.d, cpuid(1, 0).c >> 3 & 1);
    attempt("svm-registers");
    unsigned reads = try_read(0xc0000080, &efer), set = try_write(0xc0000080, efer | 1u << 12);
    unsigned vm = try_read(0xc0010114, &control), vm_write = try_write(0xc0010114, 0);
    unsigned hsave = try_read(0xc0010117, &save), hsave_write = try_write(0xc0010117, own), lock = try_write(0xc0010118, key = 1);
    (void)key;
    result("EFER.SVME %u, set %u %u; VM_CR %x %u %u; VM_HSAVE_PA %x %u %u; SVM_KEY %u", (unsigned)(efer >> 12 & 1), reads, set,
           (unsigned)control, vm, vm_write, (unsigned)save, hsave, hsave_write, lock);
    attempt("efer-bits"); /* a bit that the processor has not ends a VMRUN */
    unsigned refused = 0;
    for (unsigned bit = 0; bit < 64; bit++) {
        if (bit == 8 || bit == 10) continue;
        unsigned got = try_write(0xc0000080, efer ^ (UINT64_C(1) << bit));
        refused += got == GP;
        __asm__ volatile("mov %0, %%cr3" : : "r"(read_cr3()) : "memory");
        try_write(0xc0000080, efer);
    }
    result("%s", refused >= 50 ? "all but a few refused" : "taken");
}

/* A call with any registers at all. */
static void calls(void)
{
    uint64_t seed = 88172645463325252u;
    unsigned odd = 0;
    static const uint8_t vmmcall[] = {0x0f, 0x01, 0xd9, 0xc3};
    attempt("hypercalls");
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t r[2];
        for (unsigned k = 0; k < 2; k++) {
            seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
            r[k] = i & 1 ? seed : seed & 0xff;
        }
        if (i % 8 == 0) r[1] = own + (r[1] & 0xffff8);
        unsigned got = try_code(vmmcall, r[0], r[1]);
        odd += got != UD;
    }
    result("%u of 2000 are not #UD", odd);
}

static void types(void)
{
    uint64_t value = 0, after = 0, pat = 0;
    attempt("mtrr-pat");
    try_read(0x2ff, &value);
    unsigned set = try_write(0x2ff, value ^ 6), variable = try_write(0x200, own | 0);
    try_read(0x2ff, &after);
    try_read(0x277, &pat);
    unsigned pat_set = try_write(0x277, 0);
    uint64_t pat_now = 1;
    try_read(0x277, &pat_now);
    try_write(0x277, pat);
    result("MTRRs %u %u, %s; PAT %u, %s", set, variable, value == after ? "stay" : "changed", pat_set, pat_now ? "stays" : "the guest's own");
    attempt("other-msrs");
    static const uint32_t machine[] = {0xc0010010, 0xc0010016, 0xc001001a, 0xc001001d, 0xc0010020, 0xc0010111, 0xc0010112, 0xc0010113, 0xc0010132};
    unsigned odd = 0, beyond = 0;
    for (unsigned i = 0; i < ARRAY_LENGTH(machine); i++) odd += try_write(machine[i], own) != 0;
    static const uint32_t none[] = {0x2000, 0x40000000, 0xc0002000, 0xc0012000, 0xffffffff};
    for (unsigned i = 0; i < ARRAY_LENGTH(none); i++) beyond += try_read(none[i], &value) == GP && try_write(none[i], 0) == GP;
    result("%u refused, %u beyond the maps are #GP", odd, beyond);
    attempt("clock"); /* the guest's counter stands elsewhere, forth and back; the record's times go on */
    uint64_t now = rdtsc(), read = 0;
    unsigned forth = try_write(0x10, now + (UINT64_C(1) << 50)), is_forth = rdtsc() - now >= UINT64_C(1) << 50;
    nvme_rw(&nvme, true, 7000, 8, nvme.queue[2], 0);
    unsigned back = try_write(0x10, 5), is_back = rdtsc() < now;
    nvme_rw(&nvme, true, 7008, 8, nvme.queue[2], 0);
    unsigned reads = try_read(0x10, &read), same = rdtsc() - read < UINT64_C(1) << 40;
    try_write(0x10, now);
    result("forth %u %u, back %u %u, read %u %u", forth, is_forth, back, is_back, reads, same);
    attempt("invd");
    __asm__ volatile("invd" : : : "memory");
    result("goes on");
    attempt("watched-strings"); /* on registers: not done, but nothing is lost by it */
    static const uint8_t movs[] = {0xf3, 0xa5, 0xc3}, sse[] = {0x0f, 0x11, 0x00, 0xc3}, stos[] = {0xf3, 0xab, 0xc3};
    unsigned m = try_code(movs, nvme.base + 0x1008, 1), s = try_code(sse, nvme.base + 0x1000, 0), t = try_code(stos, 0xfee00004, 1);
    unsigned fetch = try_call(nvme.base);
    result("MOVS %u, SSE %u, STOS %u, fetch %u", m, s, t, fetch);
}

void against_processor(void)
{
    svm();
    calls();
    types();
}
