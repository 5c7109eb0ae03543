/* A guest that does anything with ports and mapped configuration space: rows of (how, where, size, value). Whatever it does, the card is
 * as it was, nothing decodes an address of its, what is pinned is where it was, and the others do not stand still for good. */
#include "tests/visor/platform.h"

static uint8_t card[4096], bridge[4096];

static void check(void)
{
    if (memcmp(card, space[CARD], sizeof card) != 0 || memcmp(bridge, space[BRIDGE], sizeof bridge) != 0 || stops) abort();
    if (config_in(HOST, 0x60, 4) != ((uint32_t)ECAM | 1) || config_in(LPC, 0x40, 4) != (PM | 1)) abort();
    for (unsigned bdf = 0; bdf < BUSES_HERE << 8; bdf++) {
        if (!there(bdf) || bdf == CARD || bdf == HOST || !(config_in(bdf, 4, 2) & 2) || space[bdf][14] & 1) continue;
        for (unsigned bar = 0; bar < 2; bar++) {
            uint32_t base = config_in(bdf, 0x10 + 4 * bar, 4);
            if (base && !(base & 1) && ranges_meet(base & ~15u, UINT64_C(1) << bar_bits(bdf), 0xc0200000, 0x20000)) abort();
        }
    }
}

static void begin(void)
{
    memset(space, 0, sizeof space);
    memset(ports, 0, sizeof ports);
    static bool begun;
    if (!begun) {
        platform_begin();
        begun = true;
        memcpy(card, space[CARD], sizeof card);
        memcpy(bridge, space[BRIDGE], sizeof bridge);
        return;
    }
    platform_functions();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned sizes[] = {1, 2, 4};
    begin();
    for (; size >= 8; data += 8, size -= 8) {
        unsigned how = data[0], width = sizes[data[1] % 3];
        uint32_t where = data[2] | (uint32_t)data[3] << 8 | (uint32_t)(how & 0x30) << 12, value;
        uint64_t got;
        memcpy(&value, data + 4, 4);
        switch (how & 7) {
        case 0: guest_port((uint16_t)where, width, how & 8, value); break;
        case 1: guest_port((uint16_t)(0xcf4 + where % 16), width, how & 8, value); break;
        case 2: guest_port(0xcf8, 4, false, 1u << 31 | (value & 0xffffff)); break;
        case 3: guest_port((uint16_t)(PM - 2 + where % 8), width, how & 8, value); break;
        case 4:
            if ((where & 0xfff) + width <= 0x1000 && !mmio_guest_read(ECAM + where, width, &got) && where < sizeof space) abort();
            if (where >> 12 == CARD && (where & 0xfff) + width <= 0x1000 && got != UINT64_MAX) abort();
            break;
        default:
            if ((where & 0xfff) + width <= 0x1000) mmio_guest_write(ECAM + where, width, value);
        }
        check();
    }
    return 0;
}
