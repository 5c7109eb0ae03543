/* The firmware's tables: trusted as the firmware is, and read at boot only. */
#ifndef VISOR_CORE_ACPI_H
#define VISOR_CORE_ACPI_H

#include "visor/core/lib.h"

/* The table with this signature of four letters, by ACPI 2.0's root table; NULL if there is none (or rsdp is 0). */
const uint8_t *acpi_table(uint64_t rsdp, const char *signature);

/* Makes it a table of zeros with a name that says nothing, where it is: the root tables may be the firmware's to
 * change. */
void acpi_erase(uint64_t rsdp, const char *signature);

#endif
