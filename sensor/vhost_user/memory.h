/* The guest's memory as the front-end shares it: regions mapped here. All of it is the guest's to change at any time.
 */
#ifndef CHV_SENSOR_VHOST_MEMORY_H
#define CHV_SENSOR_VHOST_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "chronovisor/err.h"
#include "sensor/vhost_user/guard.h"
#include "sensor/vhost_user/proto.h"

struct guest_region {
    uint64_t gpa, bytes, uva; /* where it is for the guest, and in the front-end's process */
    uint8_t *host;
    void *map;
    uint64_t map_bytes;
    struct guard guard;
};

/* Never changes while somebody holds it: a new table is a new one, and the old goes with its last request. */
struct guest_memory {
    atomic_uint holders;
    unsigned count;
    struct guest_region region[VU_FDS_MAX];
};

/* Map a table. The descriptors stay the caller's. EINVAL: regions that wrap, overlap, or are longer than their file. */
int guest_memory_new(const struct vu_memory *table, const int *fd, struct guest_memory **out, struct chv_err *err);
struct guest_memory *guest_memory_hold(struct guest_memory *m); /* NULL is fine */
void guest_memory_drop(struct guest_memory *m);                 /* NULL is fine */

/* Did the front-end take away memory that it shares? Then what was copied out of it may be zeros that nobody wrote. */
bool guest_memory_lost(const struct guest_memory *m);

/* Where [gpa, gpa + *bytes) is; *bytes shrinks to what is in one piece. NULL: not the guest's memory. */
uint8_t *guest_memory_at(const struct guest_memory *m, uint64_t gpa, uint64_t *bytes);
/* All of [uva, uva + bytes), in the front-end's addresses, or NULL. */
uint8_t *guest_memory_at_uva(const struct guest_memory *m, uint64_t uva, uint64_t bytes);
/* Copy out of guest-physical memory; false: some of it is not there. */
bool guest_memory_read(const struct guest_memory *m, uint64_t gpa, void *to, uint64_t bytes);

#endif
