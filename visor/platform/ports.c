/* What the guest reads from watched ports and writes to them: configuration space's first, then the ways to go off, then the ports themselves. */
#include "visor/arch/x86/cpu.h"
#include "visor/core/pci.h"
#include "visor/platform/power.h"

void exit_port(struct vcpu *vcpu, uint16_t port, unsigned size, bool in)
{
    uint64_t *rax = &vcpu->regs[VCPU_RAX], mask = size == 4 ? UINT64_MAX : (UINT64_C(1) << 8 * size) - 1;
    uint32_t all = 0;
    unsigned width = pci_port_width(port, size);
    for (unsigned i = 0; i < size; i += width) {
        uint32_t value = (uint32_t)*rax >> 8 * i;
        uint16_t at = (uint16_t)(port + i);
        if (!pci_port(at, width, in, &value)) {
            if (!in) power_port(at, width, &value);
            if (in)
                value = in_port(at, width);
            else
                out_port(at, width, value);
        }
        all |= (width == 1 ? value & 0xff : value) << 8 * i;
    }
    if (in) *rax = (*rax & ~mask) | (all & mask);
}
