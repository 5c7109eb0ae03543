/* Stand-ins for what the hypervisor's hosted sources expect of the machine. */
#ifndef CHV_TESTS_VISOR_FAKE_H
#define CHV_TESTS_VISOR_FAKE_H

#include "tests/unit.h"
#include "visor/core/print.h"

extern char fake_console[4096]; /* what print said since fake_console_clear */
void fake_console_clear(void);

#endif
