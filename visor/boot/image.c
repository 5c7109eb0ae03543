#include "visor/boot/info.h"

enum { DIRECTORY_RELOCATIONS = 5, TYPE_NONE = 0, TYPE_DIR64 = 10 };

static bool get32(const uint8_t *image, size_t bytes, uint64_t at, uint32_t *value)
{
    if (at > bytes || bytes - at < 4) return false;
    memcpy(value, image + at, 4);
    return true;
}

static bool relocate_block(uint8_t *image, size_t bytes, uint32_t page, const uint8_t *entries, size_t count,
                           uint64_t delta)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t entry;
        uint64_t value;
        memcpy(&entry, entries + 2 * i, 2);
        if (entry >> 12 == TYPE_NONE) continue;
        uint64_t at = (uint64_t)page + (entry & 0xfff);
        if (entry >> 12 != TYPE_DIR64 || at > bytes || bytes - at < 8) return false;
        memcpy(&value, image + at, 8);
        value += delta;
        memcpy(image + at, &value, 8);
    }
    return true;
}

bool image_relocate(uint8_t *image, size_t bytes, uint64_t delta)
{
    /* PE format: e_lfanew at 3Ch; "PE\0\0", a 20-byte file header, then the optional header, whose directories begin at
     * 112 */
    uint32_t pe, magic, at, size;
    if (!get32(image, bytes, 0x3c, &pe) || !get32(image, bytes, (uint64_t)pe + 24, &magic) || (magic & 0xffff) != 0x20b)
        return false;
    uint64_t directory = (uint64_t)pe + 24 + 112 + DIRECTORY_RELOCATIONS * 8;
    if (!get32(image, bytes, directory, &at) || !get32(image, bytes, directory + 4, &size)) return false;
    if (at > bytes || size > bytes - at) return false;
    while (size >= 8) {
        uint32_t page, block;
        memcpy(&page, image + at, 4);
        memcpy(&block, image + at + 4, 4);
        if (block < 8 || block > size || block % 2) return false;
        if (!relocate_block(image, bytes, page, image + at + 8, (block - 8) / 2, delta)) return false;
        at += block;
        size -= block;
    }
    return true;
}
