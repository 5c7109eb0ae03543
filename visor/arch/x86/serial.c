/* COM1 as the firmware left it: polled, so that nobody need set it up twice. */
#include "visor/arch/x86/cpu.h"
#include "visor/core/lock.h"
#include "visor/core/print.h"

enum { COM1 = 0x3f8, LINE_STATUS = 5, TRANSMITTER_EMPTY = 1 << 5, TRIES = 100000 };

static struct lock lock;

void print_bytes(const char *bytes, size_t n)
{
    lock_take(&lock);
    for (size_t i = 0; i < n; i++) {
        for (unsigned tries = 0; tries < TRIES && !(in8(COM1 + LINE_STATUS) & TRANSMITTER_EMPTY); tries++) pause_cpu();
        out8(COM1,
             (uint8_t)bytes[i]); /* a machine without COM1 must not stop here: after so many tries it goes nowhere */
    }
    lock_drop(&lock);
}
