/* Does what the guest's instruction wanted to do to a page that nested paging forbids. */
#ifndef VISOR_CORE_EMULATE_H
#define VISOR_CORE_EMULATE_H

#include "visor/core/vcpu.h"

/* The instruction at the guest's RIP touches gpa. Does it, by the range that mmio.h knows; where none is, reads give
 * ones and writes go nowhere. False, with nothing done, if the instruction is not known. */
bool emulate_access(struct vcpu *vcpu, uint64_t gpa, bool write);

#endif
