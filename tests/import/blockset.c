/* The set of partly written blocks against a plain table. */
#include "sensor/import/blockset.h"

#include "tests/unit.h"

#define SPAN 5000

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    struct blockset set = {0};
    static bool in[SPAN];
    CHECK(blockset_from(&set, 0) == 0);
    for (int i = 0; i < 200000; i++) {
        uint64_t block = unit_random(&seed) % SPAN;
        if (block % 3 == 0) continue;
        in[block] = true;
        CHECK(blockset_add(&set, block) == 0);
    }
    CHECK(set.room <= 4 * SPAN); /* duplicates take no room */
    CHECK(blockset_seal(&set) == 0);
    size_t slot = 0;
    for (uint64_t block = 0; block < SPAN; block++) {
        CHECK(blockset_from(&set, block) == slot);
        if (in[block]) {
            CHECK(set.blocks[slot] == block && !set.flags[slot]);
            slot++;
        }
    }
    CHECK(slot == set.count && blockset_from(&set, UINT64_MAX) == set.count);
    blockset_fini(&set);
    return 0;
}
