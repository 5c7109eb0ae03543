/* What both fuzz targets share: an input is a program of a guest, and its memory.
 *
 *   0, offset (2 bytes), value (4): write a register, 32 bits      3, offset (2), value (8): 64 bits
 *   1, address (2), length (1), bytes: write memory                 4, offset (2), width (1), value (4): any width
 *   2, offset (2), value (4): what the device answers from now on when this register is read
 *
 * Memory is 128 KiB from 0 on, of which the last 8 are the hypervisor's. Copies have a budget, after which there is no memory. */
#ifndef CHV_TESTS_VISOR_FUZZ_H
#define CHV_TESTS_VISOR_FUZZ_H

#include "rig.h"

#define FUZZ_RAM (128u << 10)
#define FUZZ_OWN (FUZZ_RAM - (8u << 10))
#define FUZZ_BUDGET (8u << 20)
#define FUZZ_REGISTERS 64u

struct fuzz {
    uint8_t ram[FUZZ_RAM];
    uint64_t budget, events;
    struct {
        uint64_t offset;
        uint32_t value;
    } reg[FUZZ_REGISTERS];
    unsigned regs;
    const uint8_t *at, *end;
    void *mediator;
    enum storage_verdict (*write)(void *mediator, uint64_t offset, unsigned width, uint64_t *value);
};

struct storage_port fuzz_port(struct fuzz *f);
void fuzz_set(struct fuzz *f, uint64_t offset, uint32_t value); /* as op 2 */
void fuzz_run(struct fuzz *f, const uint8_t *data, size_t size);

#endif
