/* Ranges of guest-physical memory, what the monitor says about them and the processors, and their description in the store. */
#include <errno.h>

#include "sensor/memory/monitor.h"
#include "sensor/memory/ram_capture.h"
#include "tests/unit.h"

#define VIEW0 "FlatView #0\n AS \"cpu-smm-0\", root: memory\n Root memory region: memory\n  0000000000000000-0000000000000fff (prio 0, ram): x\n\n"
#define VIEW1 "FlatView #1\n AS \"memory\", root: system\n AS \"cpu-memory-0\", root: system\n Root memory region: system\n"

static struct ram_layout layout;
static struct chv_err err;

static void mtree(void)
{
    CHECK_OK(monitor_mtree("\n" VIEW0 VIEW1 "  0000000000000000-000000000009ffff (prio 0, ram): m KVM\n"
                           "  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem\n"
                           "  00000000000c0000-00000000000dffff (prio -1, rom): m @00000000000c0000\n"
                           "  00000000000e0000-000000007fffffff (prio 0, ram): m @00000000000e0000 KVM\r\n"
                           "  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios\n"
                           "  0000000100000000-000000017fffffff (prio 0, ram): m @0000000080000000\n"
                           "\nFlatView #2\n AS \"I/O\", root: io\n  garbage\n", &layout, &err), err);
    CHECK(layout.count == 4); /* joined where both sides go on */
    CHECK(layout.ranges[0].gpa == 0 && layout.ranges[0].bytes == 0xa0000);
    CHECK(layout.ranges[1].gpa == 0xc0000 && layout.ranges[1].bytes == 0x80000000 - 0xc0000 && layout.ranges[1].offset == 0xc0000);
    CHECK(strcmp(layout.ranges[2].region, "pc.bios") == 0);
    CHECK(layout.ranges[3].gpa == 0x100000000 && layout.ranges[3].offset == 0x80000000);
    CHECK(layout_end(&layout) == 0x180000000);
    CHECK(layout_bytes(&layout) == UINT64_C(0x100000000) - 0x20000 + 0x40000);
    CHECK(!layout_find(&layout, 0xa0000) && layout_find(&layout, 0x9ffff) == &layout.ranges[0]);
    CHECK(layout_find(&layout, 0x17fffffff) == &layout.ranges[3] && !layout_find(&layout, 0x180000000));
    static const char *const bad[] = {
        "", VIEW0, VIEW1 "  hello\n", VIEW1 "  0000000000000000-0000000000000fff (prio 0, ram): \n",
        VIEW1 "  0000000000001000-0000000000000fff (prio 0, ram): m\n", VIEW1 "  0000000000000000-ffffffffffffffff (prio 0, ram): m\n",
        VIEW1 "  0000000000000000-0000000000000fff (prio 0, ram): m @\n", VIEW1 "  0000000000000000-0000000000000fff (prio 0, ram): m x\n",
        VIEW1 "  00000000000000000-0000000000000fff (prio 0, ram): m\n",
        VIEW1 "  0000000000000000-0000000000001fff (prio 0, ram): m\n  0000000000001000-0000000000001fff (prio 0, ram): n\n",
        VIEW1 "  0000800000000000-0000800000000fff (prio 0, ram): m\n", VIEW1 "  0000000000000000-0000000000000fff (prio 0, ram): m @0000000000000010\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(monitor_mtree(bad[i], &layout, &err) < 0 && err.text[0]);
    char *many = malloc(64 + 80 * (LAYOUT_RANGES_MAX + 1) + sizeof VIEW1);
    CHECK(many);
    for (unsigned ranges = LAYOUT_RANGES_MAX; ranges <= LAYOUT_RANGES_MAX + 1; ranges++) {
        char *at = many + sprintf(many, "%s", VIEW1);
        for (unsigned i = 0; i < ranges; i++)
            at += sprintf(at, "  %016x-%016x (prio 0, ram): m\n", i * 0x2000, i * 0x2000 + 0xfff);
        int r = monitor_mtree(many, &layout, &err);
        CHECK(ranges <= LAYOUT_RANGES_MAX ? r == 0 && layout.count == ranges : r == -E2BIG);
    }
    free(many);
}

#define CPU(n, cr3) "\nCPU#" n "\nRAX=0000000000000001 RBX=0\nRIP=ffffffff819c3643 RFL=00000283 [--S---C] CPL=3 II=0 A20=1 SMM=0 HLT=1\n" \
    "GS =0000 ffff88817bd00000 00000000 00000000\nIDT=     fffffe0000000000 00000fff\n" \
    "CR0=80050033 CR2=ffff88817ffff000 CR3=" cr3 " CR4=00750eb0\nEFER=0000000000000d01\n"

static void registers(void)
{
    struct vcpu cpus[2];
    CHECK(monitor_registers(CPU("0", "0000000002a10000") CPU("1", "000000000dead000"), cpus, 2, &err) == 2);
    CHECK(cpus[0].cr3 == 0x2a10000 && cpus[1].cr3 == 0xdead000 && cpus[0].cr0 == 0x80050033 && cpus[0].cr4 == 0x750eb0);
    CHECK(cpus[1].rip == 0xffffffff819c3643 && cpus[1].cpl == 3 && cpus[1].halted && cpus[1].efer == 0xd01);
    CHECK(cpus[1].gs_base == 0xffff88817bd00000 && cpus[1].idt_base == 0xfffffe0000000000);
    static const char *const bad[] = {"", "CPU#0\n", "CPU#1\nCR0=1 CR3=2 CR4=3\n", CPU("0", "0000") CPU("0", "0000"), CPU("0", "xyz"),
                                      CPU("0", "00000000000000000"), CPU("0", "0") "CPU#1\n", CPU("0", "0") "GS =\n",
                                      CPU("0", "0") CPU("1", "0") CPU("2", "0")};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(monitor_registers(bad[i], cpus, 2, &err) == -EPROTO);
}

static void description(void)
{
    static struct ram_capture c = {.space = "ram", .mode = CAPTURE_PAUSED, .complete = true, .begin_ns = 5, .end_ns = 6, .pause_ns = 7,
                                   .qemu = "7.2.22", .vcpus = LAYOUT_VCPUS_MAX}, back;
    c.ram.count = LAYOUT_RANGES_MAX;
    for (size_t i = 0; i < LAYOUT_RANGES_MAX; i++) {
        c.ram.ranges[i] = (struct ram_range){.gpa = (UINT64_C(1) << 46) + i * 0x2000, .bytes = 0x1000, .offset = i << 40};
        memset(c.ram.ranges[i].region, 'r', LAYOUT_NAME_BYTES - 1);
    }
    for (size_t i = 0; i < 128; i++) c.ram.ranges[i].offset = i << 12;
    for (size_t i = 128; i < LAYOUT_RANGES_MAX; i++) c.ram.ranges[i].offset = i << 13;
    for (size_t i = 0; i < c.vcpus; i++)
        c.vcpu[i] = (struct vcpu){.cr0 = UINT64_MAX, .cr3 = i << 12, .cr4 = UINT64_MAX, .efer = UINT64_MAX, .rip = UINT64_MAX,
                                  .gs_base = UINT64_MAX, .idt_base = UINT64_MAX, .cpl = 3, .halted = i & 1};
    json_t *root = ram_capture_to_json(&c);
    char *text = json_dumps(root, JSON_COMPACT);
    CHECK(text && strlen(text) < CAPTURE_BYTES); /* the largest there is */
    CHECK_OK(ram_capture_from_json(root, &back, &err), err);
    CHECK(memcmp(&c, &back, sizeof c) == 0);
    free(text);
    const char *const keys[] = {"capture", "space", "mode", "begin_ns", "end_ns", "pause_ns", "qemu", "ranges", "not_captured", "vcpus"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *less = json_copy(root);
        json_object_del(less, keys[i]);
        CHECK(ram_capture_from_json(less, &back, &err) == -EPROTO);
        json_object_set_new(less, keys[i], json_integer(-1));
        CHECK(ram_capture_from_json(less, &back, &err) == -EPROTO);
        json_decref(less);
    }
    json_decref(root);
    char name[CHV_SPACE_NAME_BYTES + 1];
    CHECK_OK(ram_capture_space_name("ram", name, &err), err);
    CHECK(strcmp(name, "capture:ram") == 0);
    CHECK_OK(ram_capture_space_name("123456789012345678901234", name, &err), err);
    CHECK(ram_capture_space_name("1234567890123456789012345", name, &err) == -EINVAL);
    CHECK(ram_capture_space_name("", name, &err) == -EINVAL && ram_capture_space_name("capture:ram", name, &err) == -EINVAL);
}

int main(void)
{
    mtree();
    registers();
    description();
    return 0;
}
