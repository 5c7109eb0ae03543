/* Stand-ins for what the hypervisor's hosted sources expect of the machine. */
#ifndef CHV_TESTS_VISOR_FAKE_H
#define CHV_TESTS_VISOR_FAKE_H

#include "tests/unit.h"
#include "visor/core/paging.h"
#include "visor/core/print.h"

extern char fake_console[4096]; /* what print said since fake_console_clear */
void fake_console_clear(void);

/* Where `address` leads as a processor would walk it, and with which flags; false if it is not mapped. */
bool paging_walk(const struct paging *p, uint64_t address, uint64_t *target, uint64_t *flags);

#endif
