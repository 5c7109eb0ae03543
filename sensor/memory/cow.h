/* The guest's memory as of one instant, for a pause of milliseconds: QEMU itself sends it, as for a live migration.
 *
 * QEMU sends all of the memory while the guest runs, and again what was written meanwhile (its dirty log: of KVM, of TCG, of vhost
 * devices). When so little is left that it fits the pause that was asked for, it stops the guest, sends the rest, and the guest goes on
 * here. It needs no page faults, so devices of other processes are seen as well. A guest that writes faster than that never gets there:
 * then it was never stopped, and the error says so.
 */
#ifndef CHV_SENSOR_MEMORY_COW_H
#define CHV_SENSOR_MEMORY_COW_H

#include "sensor/memory/copy.h"
#include "sensor/memory/guest.h"

struct cow_options {
    bool trust_dirty_log;              /* also one that is known to lose writes */
    uint32_t pause_ms;                 /* what QEMU is to aim at: a plan, not a promise; what it was is measured */
    const volatile sig_atomic_t *stop; /* may be NULL; non-zero: -EINTR, and the guest runs */
    void (*progress)(const char *what, uint64_t done, uint64_t total); /* may be NULL */
    /* May be NULL; called while the guest stands still, after its registers were read. */
    int (*at_instant)(void *context, uint64_t time_ns, struct chv_err *err);
    void *context;
};

struct cow_result {
    uint64_t time_ns;    /* UTC: the instant */
    uint64_t pause_ns;   /* from QEMU's event STOP to its event RESUME */
    uint64_t sent_bytes; /* of pages with content, each as often as it came */
    unsigned passes;     /* over what was written meanwhile */
};

/* Into `copy`, which was prepared for the guest's ranges. The guest must run; it does on return (after an error that says otherwise: not).
 * ENOTSUP: QEMU or one of its devices cannot be migrated; ENOTSUP, too: its dirty log loses writes. EBUSY: QEMU is migrating, or the guest was stopped by somebody else, or writes
 * too fast. QEMU's settings for migration are put back. */
int cow_run(struct copy *copy, struct guest *guest, struct qmp *qmp, const struct cow_options *options, struct cow_result *result,
            struct chv_err *err);

/* The stream into the copy; what cow_run does with it, for tests. `fd` is shut down, not closed. *sent: as in the result, also while it runs. */
int cow_receive(struct copy *copy, const struct ram_layout *ram, int fd, _Atomic uint64_t *sent, struct chv_err *err);

#endif
