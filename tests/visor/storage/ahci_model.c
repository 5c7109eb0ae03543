/* Random commands through a driver, the mediator and a fake controller: the disks rebuilt from the mediator's events are the fake's
 * disks, block for block; without failures nothing is unknown, with them only what may have failed. */
#include "ahci_fake.h"

static void run(uint64_t seed, unsigned fail_percent)
{
    struct ahci_workload w = {.disks = WORKLOAD_DISKS, .depth = AHCI_SLOTS, .failures = fail_percent > 0};
    struct ahci_fake fake;
    uint8_t *ram = malloc(256 << 20);
    CHECK(ram);
    rig_init(&w.rig, ram, 256 << 20, seed);
    ahci_fake_init(&fake, &w.rig);
    w.disk = fake.disk;
    ahci_workload_init(&w);
    fake.fail_percent = fail_percent;
    for (unsigned i = 0; i < 20; i++) {
        fake.lazy = i % 2;
        ahci_workload_run(&w, 10);
    }
    ahci_workload_fini(&w);
    ahci_fake_fini(&fake);
    free(ram);
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    run(seed, 0);
    run(seed + 1, 2);
    return 0;
}
