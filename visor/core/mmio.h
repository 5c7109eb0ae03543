/* Pages of guest-physical address space whose accesses the hypervisor sees: doorbells, the local APIC, configuration
 * space.
 *
 * Registered pages fault in nested paging (writes only, or reads as well); the access is decoded and its handler asked.
 * The handler runs with the machine's one lock held, on the processor that made the access. */
#ifndef VISOR_CORE_MMIO_H
#define VISOR_CORE_MMIO_H

#include "visor/core/lib.h"

#define MMIO_RANGES_MAX 64

struct mmio_ops {
    /* An access at `offset` from the range's base, of 1, 2, 4 or 8 bytes. True: the handler has done all that is to be
     * done (for a read, it has set *value). False: the core does the access on the real device. Both may be NULL, which
     * is false; with `read` NULL the range's pages stay readable without an exit. */
    bool (*read)(void *arg, uint64_t offset, unsigned width, uint64_t *value);
    bool (*write)(void *arg, uint64_t offset, unsigned width, uint64_t value);
};

/* Intercepts [base, base+size), both multiples of 4096. `ops` and `arg` are borrowed for good. Returns false if the
 * table is full or the range meets another one. May be called while guests run: the other processors' TLBs are flushed.
 */
bool mmio_register(uint64_t base, uint64_t size, const struct mmio_ops *ops, void *arg);
/* As mmio_register: the guest sees nothing at all there, as where no device is. */
bool mmio_hide(uint64_t base, uint64_t size);
/* Is some of this intercepted; hidden: such that the guest sees nothing there? No device is told to read or write it. */
bool mmio_meets(uint64_t base, uint64_t size, bool hidden);
/* Ends what mmio_register began with this base (a device's BAR was moved). */
void mmio_unregister(uint64_t base);

/* Is gpa in a range that is intercepted? */
bool mmio_watched(uint64_t gpa);

/* The access on the real device. width is 1, 2, 4 or 8. */
uint64_t mmio_real_read(uint64_t gpa, unsigned width);
void mmio_real_write(uint64_t gpa, unsigned width, uint64_t value);

/* For the exit handler: an access to gpa by the guest. False: no range holds it. */
bool mmio_guest_read(uint64_t gpa, unsigned width, uint64_t *value);
bool mmio_guest_write(uint64_t gpa, unsigned width, uint64_t value);

/* emulate.c: the instruction at the guest's RIP touches gpa. Does it, by the range that holds it; where none does, reads
 * give ones and writes go nowhere. False, with nothing done, if the instruction is not known. */
struct vcpu;
bool emulate_access(struct vcpu *vcpu, uint64_t gpa, bool write);

#endif
