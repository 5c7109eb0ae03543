/* What the guest gets for its accesses to configuration space, and for the ways to switch a PC off, byte by byte. */
#include "tests/visor/platform.h"

static unsigned written_count;
static void on_written(void *arg)
{
    written_count++;
    CHECK(stops == 1); /* the others stand still */
}

static uint32_t config_ports(unsigned bdf, unsigned reg, unsigned size, bool in, uint32_t value)
{
    guest_port(0xcf8, 4, false, 1u << 31 | bdf << 8 | (reg & 0xfc));
    return guest_port((uint16_t)(0xcfc + (reg & 3)), size, in, value);
}

static void hiding(void)
{
    uint8_t before[sizeof space[0]];
    uint64_t value;
    memcpy(before, space[CARD], sizeof before);
    CHECK(pci_is_hidden(CARD) && pci_is_hidden(BRIDGE) && !pci_is_hidden(DISK));
    for (unsigned reg = 0; reg < 256; reg++)
        for (unsigned size = 1; size <= 4 && (reg & 3) + size <= 4; size *= 2) {
            uint32_t ones = size == 4 ? UINT32_MAX : (1u << 8 * size) - 1;
            CHECK((config_ports(CARD, reg, size, true, 0) & ones) == ones);
            config_ports(CARD, reg, size, false, 0);
            CHECK(mmio_guest_read(ECAM + (CARD << 12) + reg, size, &value) && (value & ones) == ones);
            CHECK(mmio_guest_write(ECAM + (CARD << 12) + reg, size, 0));
        }
    CHECK(!memcmp(before, space[CARD], sizeof before));
    CHECK(mmio_guest_read(0xc0200000, 4, &value) && value == UINT64_MAX && mmio_guest_read(0xc021fffc, 4, &value));
    CHECK(config_ports(DISK, 0, 4, true, 0) == 0x00101b36 && (config_ports(DISK, 2, 2, true, 0) & 0xffff) == 0x10);
    CHECK(mmio_guest_read(ECAM + (DISK << 12), 4, &value) && value == 0x00101b36);
    CHECK(guest_port(0xcf8, 4, true, 0) == (1u << 31 | DISK << 8)); /* its own address, whatever was asked meanwhile */
    /* half of an address, and accesses that reach over an end: as where nothing is */
    for (unsigned p = 0xcf5; p < 0xd03; p++)
        for (unsigned size = 2; size <= 4; size += 2) {
            bool whole = (p == 0xcf8 && size == 4) || (p >= 0xcfc && p + size <= 0xd00);
            if (!whole && p < 0xd00 && p + size > 0xcf8) guest_port((uint16_t)p, size, true, 0), guest_port((uint16_t)p, size, false, 0x10101010);
        }
    CHECK(guest_port(0xcf8, 2, true, 0) == 0xffff - ((0xffu - ports[0xcf9]) << 8) && !memcmp(before, space[CARD], sizeof before));
}

static void pinned(void)
{
    config_ports(HOST, 0x60, 4, false, 0xd0000001);
    mmio_guest_write(ECAM + 0x62, 1, 0x77);
    mmio_guest_write(ECAM + 0x5c, 8, UINT64_MAX);
    config_ports(LPC, 0x40, 4, false, 0xc01);
    config_ports(HOST, 0x9d, 1, false, 0x40);
    CHECK(config_in(HOST, 0x60, 4) == ((uint32_t)ECAM | 1) && config_in(LPC, 0x40, 4) == (PM | 1) && !config_in(HOST, 0x9d, 1));
    config_ports(HOST, 0x50, 4, false, 7);
    CHECK(config_in(HOST, 0x50, 4) == 7);
    mmio_guest_write(ECAM + (DISK << 12) + 0x140, 4, 1);
    mmio_guest_write(ECAM + (OTHER << 12) + 0x140, 4, 1);
    CHECK(!config_in(DISK, 0x140, 4) && config_in(OTHER, 0x140, 4) == 1);
}

/* Two cannot have one address. */
static void collisions(void)
{
    for (unsigned how = 0; how < 2; how++) {
        uint32_t to = how ? 0xc0210000 : 0xc0200000; /* OTHER's 64 KiB, in the card's 128 */
        config_ports(OTHER, 0x10, 4, false, to);
        CHECK(!(config_in(OTHER, 4, 2) & 2));
        mmio_guest_write(ECAM + (OTHER << 12) + 4, 2, 6);
        CHECK(!(config_in(OTHER, 4, 2) & 2));
        config_ports(OTHER, 0x10, 4, false, 0xc0800000);
        config_ports(OTHER, 4, 2, false, 6);
        CHECK(config_in(OTHER, 4, 2) == 6);
    }
    mmio_guest_write(ECAM + (OTHER << 12) + 0x14, 4, ECAM);
    CHECK(!(config_in(OTHER, 4, 2) & 2));
    config_ports(OTHER, 0x14, 4, false, 0);
    unsigned before = written_count;
    config_ports(DISK, 4, 2, false, 6);
    mmio_guest_write(ECAM + (DISK << 12) + 4, 1, 6);
    CHECK(written_count == before + 2 && !stops);
}

static unsigned goes_off(uint16_t port, unsigned size, uint32_t value)
{
    unsigned before = finished;
    guest_port(port, size, false, value);
    return finished - before;
}

static void power(void)
{
    CHECK(goes_off(0xcf9, 1, 6) && goes_off(0xcf8, 2, 0x0600) && goes_off(0xcf9, 2, 4) && goes_off(0xcf7, 4, 4 << 16) && goes_off(0xcf9, 4, 4));
    CHECK(!goes_off(0xcf9, 1, 2) && !goes_off(0xcf8, 4, 0x80000600));
    for (unsigned v = 0; v < 256; v++) CHECK(goes_off(0x64, 1, v) == (v >= 0xf0 && v % 2 == 0));
    CHECK(!goes_off(0x60, 1, 0) && !goes_off(0x64, 1, 0xd1) && goes_off(0x60, 1, 0xfe) && !goes_off(0x60, 1, 0));
    CHECK(!goes_off(0x64, 1, 0xd1) && !goes_off(0x60, 1, 1));
    CHECK(goes_off(0x92, 1, 1) && !goes_off(0x92, 1, 2) && goes_off(0x91, 2, 0x100));
    /* Sleep: only what the tables call S4 and S5. */
    for (unsigned type = 0; type < 8; type++) {
        bool wakes = type != 0 && type != 2;
        uint32_t value = type << 10 | 1 << 13 | 1;
        CHECK(goes_off(PM + 4 - 4, 2, value) == !wakes && (ports[PM + 1] >> 5 & 1) == !wakes && ports[PM] == 1);
        CHECK(goes_off(PM + 1, 1, value >> 8) == !wakes && goes_off(PM - 2, 4, value << 16) == !wakes);
        CHECK(goes_off(PM, 4, value) == !wakes && (ports[PM + 1] >> 5 & 1) == !wakes);
        CHECK(goes_off(PM, 1, 0xff) == 0);
    }
    /* CMOS 0Fh, the code of a start that is none, by every way that leads there */
    static const uint8_t ways[][2] = {{0x70, 0x71}, {0x74, 0x75}, {0x70, 0x75}, {0x72, 0x73}};
    for (unsigned i = 0; i < ARRAY_LENGTH(ways); i++) {
        ports[ways[i][1]] = 0x55;
        guest_port(ways[i][0], 1, false, 0x8f);
        guest_port(ways[i][1], 1, false, 0xfe);
        CHECK(ports[ways[i][1]] == 0);
        guest_port(ways[i][0], 1, false, 0x10);
        guest_port(ways[i][1], 1, false, 0xfe);
        CHECK(ports[ways[i][1]] == 0xfe);
    }
    guest_port(0x70, 2, false, 0xfe0f);
    CHECK(ports[0x71] == 0);
}

/* IN changes as much of RAX as the processor's does: a byte, two, or all of it. */
static void registers(void)
{
    for (unsigned size = 1; size <= 4; size *= 2) {
        struct vcpu v = {.regs[VCPU_RAX] = UINT64_C(0x1122334455667788)};
        memcpy(ports + 0x80, "\xde\xad\xbe\xef", 4);
        exit_port(&v, 0x80, size, true);
        CHECK(v.regs[VCPU_RAX] == (size == 1 ? UINT64_C(0x11223344556677de) : size == 2 ? UINT64_C(0x112233445566adde) : 0xefbeadde));
        exit_port(&v, 0x90, size, false);
        CHECK(!memcmp(ports + 0x90, ports + 0x80, size) && v.regs[VCPU_RAX] >> 32 == (size == 4 ? 0 : 0x11223344));
    }
}

static void names(void)
{
    uint8_t sum = 0;
    CHECK(acpi_sleep_type(dsdt, "_S4_") == 2 && acpi_sleep_type(dsdt, "_S5_") == 0 && acpi_sleep_type(dsdt, "_S3_") == -1);
    for (unsigned i = 0; i < 36 + 2 + 42; i++) sum = (uint8_t)(sum + dsdt[i]);
    memcpy(dsdt + 38, "\x08_S3_", 5);
    dsdt[9] = (uint8_t)(dsdt[9] - sum - ('_' - 'X')); /* the sum is right again, then it is taken out again */
    acpi_rename(dsdt, "_S3_");
    sum = 0;
    for (unsigned i = 0; i < 36 + 2 + 42; i++) sum = (uint8_t)(sum + dsdt[i]);
    CHECK(!sum && acpi_sleep_type(dsdt, "_S3_") == -1);
}

int main(void)
{
    platform_begin();
    CHECK(pci_watch(DISK, on_written, NULL) && mmio_hide(0xc0100000, 4096));
    hiding();
    pinned();
    collisions();
    power();
    registers();
    names();
    return 0;
}
