/* make-world DIR BLOCK-BYTES SIZE-BYTES SEED: a recorded disk for the tests in bash. Leaves DIR/store, DIR/device and,
 * for four instants, DIR/image-SEQ: what the device held then (rounded up to sectors). */
#include <fcntl.h>

#include "tests/timeline/world.h"

static void keep_image(struct world *w, uint64_t seq)
{
    char path[400];
    uint8_t *image = malloc(w->blocks * w->block_bytes);
    CHECK(image);
    world_device(w, image);
    snprintf(path, sizeof path, "%s/image-%llu", w->dir, (unsigned long long)seq);
    size_t bytes = (w->size_bytes + 511) / 512 * 512;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, image, bytes) == (ssize_t)bytes);
    close(fd);
    free(image);
}

int main(int argc, char **argv)
{
    struct world w;
    CHECK(argc == 5);
    world_init_at(&w, argv[1], (uint32_t)atoi(argv[2]), strtoull(argv[3], NULL, 10), CHV_REST_SOURCE,
                  strtoull(argv[4], NULL, 10));
    uint64_t seq = world_last_seq(&w), sectors = (w.size_bytes + 511) / 512;
    static uint8_t data[64 * 1024];
    keep_image(&w, seq);
    for (int i = 0; i < 90; i++) {
        world_random_fill(&w, data, sizeof data);
        uint64_t lba = unit_random(&w.random) % (sectors - 8);
        uint32_t n = 1 + (uint32_t)(unit_random(&w.random) % 128);
        if (n > sectors - lba) n = (uint32_t)(sectors - lba);
        uint64_t block = lba * 512 / w.block_bytes;
        if (i % 9 == 8)
            seq = world_zero(&w, block, 1, i % 2 ? CHV_OP_ZERO : CHV_OP_TRIM);
        else
            seq = world_write(&w, lba, n, data);
        if (i % 30 == 29) keep_image(&w, seq);
    }
    world_fini(&w);
    return 0;
}
