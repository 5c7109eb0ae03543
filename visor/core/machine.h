/* The machine that the guest has: nested paging, and what of it the hypervisor keeps. */
#ifndef VISOR_CORE_MACHINE_H
#define VISOR_CORE_MACHINE_H

#include "visor/boot/info.h"
#include "visor/core/paging.h"

/* Makes nested paging and the hypervisor's own tables, and gives their roots. NULL, or why not. */
const char *machine_init(const struct boot_info *info, unsigned levels, unsigned address_bits, uint64_t *nested_root,
                         uint64_t *own_root);

/* What the guest may do with the page at gpa without an exit. False when there is no table left, or gpa is beyond the
 * map. */
bool machine_protect(uint64_t gpa, bool reads, bool writes);

/* The page's entry in nested paging, for whoever changes it more often; NULL as machine_protect is false. At boot. */
uint64_t *machine_entry(uint64_t gpa);

/* Nested paging was changed: when this returns, no processor uses what it was before. The lock is held, or no guest
 * runs yet. (smp.c) */
void machine_flush(void);

#endif
