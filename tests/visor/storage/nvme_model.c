/* Random commands through a driver, the mediator and a fake controller: the disks rebuilt from the mediator's events are the fake's
 * disks, block for block; without failures nothing is unknown, with them only what failed. */
#include "nvme_fake.h"

static void run(uint64_t seed, unsigned fail_percent)
{
    struct nvme_workload w = {.namespaces = WORKLOAD_NAMESPACES, .failures = fail_percent > 0};
    struct nvme_fake fake;
    uint8_t *ram = malloc(256 << 20);
    CHECK(ram);
    rig_init(&w.rig, ram, 256 << 20, seed);
    fake_init(&fake, &w.rig);
    w.ns = fake.ns;
    nvme_workload_init(&w);
    fake.fail_percent = fail_percent;
    for (unsigned i = 0; i < 15; i++) {
        if (i) nvme_workload_start(&w);
        fake.lazy = i % 2;
        nvme_workload_run(&w, 10);
    }
    nvme_workload_fini(&w);
    fake_fini(&fake);
    free(ram);
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    run(seed, 0);
    run(seed + 1, 10);
    return 0;
}
