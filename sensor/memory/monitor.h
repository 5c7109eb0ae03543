/* What QEMU's human monitor prints, read strictly: "info mtree -f" and "info registers -a". Pure functions on text. */
#ifndef CHV_SENSOR_MEMORY_MONITOR_H
#define CHV_SENSOR_MEMORY_MONITOR_H

#include "sensor/memory/layout.h"

/* The RAM and ROM of the address space "memory", region by region, normalised; I/O is left out.
 * EPROTO: there is no such address space, or a line of it cannot be read. */
int monitor_mtree(const char *text, struct ram_layout *out, struct chv_err *err);

/* One entry a processor, in order of its number; returns how many (at most `room`), or -EPROTO. */
int monitor_registers(const char *text, struct vcpu *out, size_t room, struct chv_err *err);

#endif
