/* QEMU's own NVMe controller behind the mediator: what the mediator told is what is in the images, block for block. Three namespaces: of
 * 512 bytes, of 4096, and with metadata between the blocks. Then the same with sectors that cannot be written. */
#include "nvme_workload.h"
#include "qtest.h"

static void run(uint64_t seed, bool failures)
{
    struct qtest q;
    struct workload_namespace ns[WORKLOAD_NAMESPACES] = {
        {.bytes = 4 << 20, .lba_bits = 9}, {.bytes = 4 << 20, .lba_bits = 12}, {.bytes = 4 << 20, .lba_bits = 9, .metadata = 8, .extended = true}};
    struct nvme_workload w = {.ns = ns, .namespaces = WORKLOAD_NAMESPACES, .failures = failures};
    static const char *const arguments[] = {
        "-device", "nvme,id=n,serial=CHV-NVME-1,addr=5",
        "-blockdev", "driver=file,node-name=f1,filename=@1.img,discard=unmap", "-device", "nvme-ns,drive=f1,bus=n,nsid=1,logical_block_size=512",
        "-blockdev", "driver=file,node-name=f2,filename=@2.img,discard=unmap", "-device", "nvme-ns,drive=f2,bus=n,nsid=2,logical_block_size=4096,physical_block_size=4096",
        "-blockdev", "driver=file,node-name=f3,filename=@3.img,discard=unmap", "-device", "nvme-ns,drive=f3,bus=n,nsid=3,logical_block_size=512,ms=8,mset=1", NULL};
    static const char *const failing[] = {
        "-device", "nvme,id=n,serial=CHV-NVME-1,addr=5",
        "-blockdev", "driver=blkdebug,node-name=f1,discard=unmap,image.driver=file,image.filename=@1.img,image.discard=unmap,inject-error.0.event=none,"
                     "inject-error.0.iotype=write,inject-error.0.sector=2000,inject-error.0.errno=5", "-device", "nvme-ns,drive=f1,bus=n,nsid=1,logical_block_size=512", NULL};
    qtest_prepare(&q);
    ns[0].disk = qtest_image(&q, "1.img", 4 << 20);
    ns[1].disk = qtest_image(&q, "2.img", 4 << 20);
    ns[2].disk = qtest_image(&q, "3.img", (4 << 20) / 512 * 520); /* the metadata lies behind all blocks */
    if (failures) w.namespaces = 1;
    qtest_start(&q, failures ? failing : arguments);
    qtest_pci(&q, 5, 0, 0);
    rig_init(&w.rig, q.ram, QTEST_RAM_BYTES, seed);
    w.rig.device = &q;
    w.rig.read = qtest_read;
    w.rig.write = qtest_write;
    w.rig.settle = qtest_settle;
    nvme_workload_init(&w);
    CHECK(strcmp(w.rig.unit[0].name, "disk:CHV-NVME-1n1") == 0);
    nvme_workload_run(&w, 60);

    if (failures) { /* certainly */
        nvme_workload_start(&w);
        struct nvme_command c = {.opcode = NVME_WRITE, .nsid = 1, .data = {w.driver.page}, .cdw10 = 1999, .cdw12 = 3};
        CHECK(driver_do(&w.driver, 1, &c) != 0);
        CHECK(w.mediator->storage.count.failed > 0 && w.rig.last.op == CHV_OP_GAP && w.rig.last.reason == CHV_GAP_FAILED);
        CHECK(w.rig.last.lba == 1992 && w.rig.last.sectors == 16);
    }

    /* What a driver would do for shadow doorbells is refused. */
    driver_start(&w.driver, &w.rig, 8);
    struct nvme_command c = {.opcode = NVME_DOORBELL_BUFFER, .data = {w.driver.page, w.driver.page}};
    CHECK(driver_do(&w.driver, 0, &c) == 0x4001); /* invalid opcode, do not retry */
    CHECK(w.mediator->storage.count.refused == 1);
    driver_stop(&w.driver);
    nvme_workload_fini(&w);
    qtest_stop(&q);
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    run(seed, false);
    run(seed + 1, true);
    return 0;
}
