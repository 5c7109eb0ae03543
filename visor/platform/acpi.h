/* The firmware's tables: trusted as the firmware is, and read at boot only. */
#ifndef VISOR_PLATFORM_ACPI_H
#define VISOR_PLATFORM_ACPI_H

#include "visor/core/lib.h"

/* The table with this signature of four letters, by ACPI 2.0's root table; NULL if there is none (or rsdp is 0). */
const uint8_t *acpi_table(uint64_t rsdp, const char *signature);

/* Makes it a table of zeros with a name that says nothing, where it is: the root tables may be the firmware's to
 * change. */
void acpi_erase(uint64_t rsdp, const char *signature);
/* The DSDT that a FADT names; NULL if there is none. */
uint8_t *acpi_dsdt(const uint8_t *fadt);
/* SLP_TYP of a kind of sleep (7.4.2: `_S5_`); -1: the table does not say it in the form that tables have. */
int acpi_sleep_type(const uint8_t *dsdt, const char *name);
/* Whoever reads the table does not find this name any more, if it had it. */
void acpi_rename(uint8_t *dsdt, const char *name);

#endif
