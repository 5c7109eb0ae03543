/* A running QEMU guest's RAM, found through QMP: which memory backends hold which guest-physical addresses, their open files,
 * and what the processors were doing. */
#ifndef CHV_SENSOR_MEMORY_GUEST_H
#define CHV_SENSOR_MEMORY_GUEST_H

#include <sys/types.h>

#include "sensor/memory/layout.h"
#include "sensor/memory/qmp.h"

#define GUEST_BACKENDS_MAX 64u

struct guest_backend {
    char id[LAYOUT_NAME_BYTES];
    uint64_t bytes;
    uint64_t file_offset; /* where it begins in the file */
    int fd;               /* read-only */
    bool used;            /* some of it is mapped as RAM */
};

struct guest {
    pid_t pid;                /* QEMU */
    struct ram_layout ram;    /* what backends hold: this is captured */
    struct ram_layout others; /* RAM and ROM of devices and firmware: this is not */
    size_t backends;
    struct guest_backend backend[GUEST_BACKENDS_MAX];
    size_t vcpus;
    struct vcpu vcpu[LAYOUT_VCPUS_MAX];
};

/* Look; changes nothing in the guest. `pid`: of QEMU, 0: whoever made the socket. The text of an error says how to start
 * QEMU so that its memory can be read. */
int guest_find(struct qmp *qmp, pid_t pid, struct guest **out, struct chv_err *err);
void guest_free(struct guest *guest);

/* Read the processors' registers anew. */
int guest_registers(struct guest *guest, struct qmp *qmp, struct chv_err *err);
/* The open file that holds a range and the range's place in it. */
int guest_file(const struct guest *guest, const struct ram_range *range, uint64_t *offset);

#endif
