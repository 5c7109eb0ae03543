/* QEMU's device models without a guest: the test is the processor, by the qtest protocol (QEMU's docs/devel/qtest.rst). */
#ifndef CHV_TESTS_VISOR_QTEST_H
#define CHV_TESTS_VISOR_QTEST_H

#include "rig.h"

#define QTEST_RAM_BYTES (128u << 20)

struct qtest {
    int fd, pid;
    FILE *in;
    uint64_t base; /* of the device's registers */
    char dir[256]; /* temporary; images go here */
    uint8_t *ram;  /* the machine's, shared */
};

/* A folder and the memory, before QEMU starts. Exits 77 when there is no QEMU. */
void qtest_prepare(struct qtest *q);
/* A new image of zeros in the folder, mapped: what the device writes is seen here. */
uint8_t *qtest_image(struct qtest *q, const char *name, uint64_t bytes);
/* Start QEMU with the rest of its arguments, NULL at the end; "@" at the begin of a word stands for the folder and a slash. */
void qtest_start(struct qtest *q, const char *const *arguments);
/* A PCI function of bus 0: memory and bus mastering on, its BAR at q->base. */
void qtest_pci(struct qtest *q, unsigned device, unsigned function, unsigned bar);
void qtest_stop(struct qtest *q);

/* For struct rig, with a struct qtest as its device. */
uint32_t qtest_read(struct rig *rig, uint64_t offset);
void qtest_write(struct rig *rig, uint64_t offset, unsigned width, uint64_t value);
void qtest_settle(struct rig *rig);

#endif
