#include "visor/core/clock.h"
#include "visor/forensics/forensics.h"

#define STRETCH_BYTES (UINT64_C(1) << 40) /* a record says less than 2 TiB */

const uint8_t *page_copy(uint64_t gpa, bool *zeros)
{
    static uint64_t page[PAGE_BYTES / 8];
    uint64_t all = 0;
    if (!guest_copy(page, gpa, PAGE_BYTES)) return NULL;
    for (size_t i = 0; i < ARRAY_LENGTH(page); i++) all |= page[i];
    *zeros = !all;
    return (const uint8_t *)page;
}

enum page_result page_put(int space, uint8_t op, uint8_t flags, uint64_t address, uint64_t bytes, const void *data)
{
    uint64_t now = clock_ns(), lba = address / CHV_SECTOR_BYTES;
    struct chv_wire_record r = {.time_ns = now,
                                .lba_lo = (uint32_t)lba,
                                .lba_hi = (uint16_t)(lba >> 32),
                                .op = op,
                                .flags = flags,
                                .sectors = (uint32_t)(bytes / CHV_SECTOR_BYTES),
                                .device = (uint16_t)space};
    if (!wire_spare()) return PAGE_LATER;
    int answer = sender_record(wire_sender(), &r, data, now);
    return answer == SENDER_OK ? PAGE_TAKEN : answer == SENDER_BUSY ? PAGE_LATER : PAGE_REFUSED;
}

int page_space_find(const char name[CHV_WIRE_NAME_BYTES])
{
    const struct sender *s = wire_sender();
    for (uint32_t i = 0; i < s->device_count; i++)
        if (!memcmp(s->devices[i].name, name, CHV_WIRE_NAME_BYTES)) return (int)i;
    return -1;
}

int page_space(const char name[CHV_WIRE_NAME_BYTES], uint64_t bytes)
{
    bool before = page_space_find(name) >= 0;
    int space = wire_space(name, bytes);
    for (uint64_t at = 0; before && space >= 0 && at < bytes; at += STRETCH_BYTES) {
        uint64_t n = bytes - at < STRETCH_BYTES ? bytes - at : STRETCH_BYTES;
        if (page_put(space, CHV_OP_TRIM, 0, at, n, NULL) != PAGE_TAKEN) return -1; /* all of it again, then */
    }
    return space;
}
