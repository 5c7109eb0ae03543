/* QEMU's own AHCI controller behind the mediator: what the mediator told is what is in the images, block for block. Then the same with
 * sectors that cannot be written. */
#include "ahci_workload.h"
#include "qtest.h"

static void run(uint64_t seed, bool failures)
{
    struct qtest q;
    struct workload_disk disk[WORKLOAD_DISKS] = {{.bytes = 4 << 20, .lba_bytes = 512, .plain = true},
                                                 {.bytes = 4 << 20, .lba_bytes = 512, .plain = true}};
    struct ahci_workload w = {.disk = disk, .disks = WORKLOAD_DISKS, .failures = failures,
        .depth = failures ? 1 : AHCI_SLOTS}; /* QEMU 7.2 does not always survive a restart with other commands under way */
    static const char *const arguments[] = {
        "-blockdev", "driver=file,node-name=f1,filename=@1.img,discard=unmap", "-device", "ide-hd,drive=f1,bus=ide.0,serial=CHV-SATA-1",
        "-blockdev", "driver=file,node-name=f2,filename=@2.img,discard=unmap", "-device", "ide-hd,drive=f2,bus=ide.1,serial=CHV-SATA-2", NULL};
    static const char *const failing[] = {
        "-blockdev", "driver=blkdebug,node-name=f1,discard=unmap,image.driver=file,image.filename=@1.img,image.discard=unmap,inject-error.0.event=none,"
                     "inject-error.0.iotype=write,inject-error.0.sector=2000,inject-error.0.errno=5",
        "-device", "ide-hd,drive=f1,bus=ide.0,serial=CHV-SATA-1,werror=report", NULL};
    qtest_prepare(&q);
    disk[0].content = qtest_image(&q, "1.img", 4 << 20);
    disk[1].content = qtest_image(&q, "2.img", 4 << 20);
    if (failures) w.disks = 1;
    qtest_start(&q, failures ? failing : arguments);
    qtest_pci(&q, 0x1f, 2, 5);
    rig_init(&w.rig, q.ram, QTEST_RAM_BYTES, seed);
    w.rig.device = &q;
    w.rig.read = qtest_read;
    w.rig.write = qtest_write;
    w.rig.settle = qtest_settle;
    ahci_workload_init(&w);
    w.mediator->trust_trim = true; /* QEMU does not say that what is trimmed reads as zeros; with discard=unmap it does */
    CHECK(strcmp(w.rig.unit[0].name, "disk:CHV-SATA-1") == 0);
    ahci_workload_run(&w, failures ? 200 : 100);
    if (failures) { /* certainly */
        struct ata c = {.opcode = 0x35, .lba = 1999, .count = 4, .bytes = 2048, .write = true};
        CHECK(!ahci_driver_do(&w.driver[0], &c, NULL));
        CHECK(w.mediator->storage.count.failed > 0 && w.rig.last.op == CHV_OP_GAP && w.rig.last.reason == CHV_GAP_FAILED);
        CHECK(w.rig.last.lba == 1992 && w.rig.last.sectors == 16);
    }
    ahci_workload_fini(&w);
    qtest_stop(&q);
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    run(seed, false);
    run(seed + 1, true);
    return 0;
}
