/* Relocation of a PE image: a small one is made, moved, and cut at every length. */
#include "visor/boot/info.h"
#include "tests/unit.h"

enum { BYTES = 4096, PE = 0x80, DIRECTORY = PE + 24 + 112 + 40, TABLE = 0x400 };

static void make(uint8_t *image)
{
    static const uint32_t table[] = {0x800, 14, 0xa008 | 0xa010u << 16, 0};
    uint32_t pe = PE, where[] = {TABLE, 14};
    memset(image, 0, BYTES);
    memcpy(image + 0x3c, &pe, 4);
    image[PE + 24] = 0x0b, image[PE + 25] = 0x02;
    memcpy(image + DIRECTORY, where, 8);
    memcpy(image + TABLE, table, sizeof table);
    image[0x808] = 0x10, image[0x810] = 0x20;
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv), a, b;
    uint8_t *image = malloc(BYTES);
    make(image);
    CHECK(image_relocate(image, BYTES, 0x12345678900));
    memcpy(&a, image + 0x808, 8), memcpy(&b, image + 0x810, 8);
    CHECK(a == 0x12345678910 && b == 0x12345678920);
    for (size_t n = 0; n < BYTES; n++) {
        make(image);
        uint8_t *cut = malloc(n + 1);
        memcpy(cut, image, n);
        CHECK(image_relocate(cut, n, 1) == (n >= 0x818));
        free(cut);
    }
    for (int i = 0; i < 20000; i++) { /* hostile headers: nothing outside is touched (the sanitizers look) */
        static const unsigned at[] = {0x3c, DIRECTORY, DIRECTORY + 4, TABLE, TABLE + 4, TABLE + 8};
        make(image);
        unsigned where = at[unit_random(&seed) % 6];
        for (unsigned k = 0; k < 4; k++)
            if (unit_random(&seed) % 2) image[where + k] = (uint8_t)unit_random(&seed);
        image_relocate(image, BYTES, unit_random(&seed));
    }
    free(image);
    return 0;
}
