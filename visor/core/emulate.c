#include "visor/core/decode.h"
#include "visor/core/mmio.h"
#include "visor/core/vcpu.h"

enum {
    FLAG_CF = 1 << 0,
    FLAG_PF = 1 << 2,
    FLAG_AF = 1 << 4,
    FLAG_ZF = 1 << 6,
    FLAG_SF = 1 << 7,
    FLAG_DF = 1 << 10,
    FLAG_OF = 1 << 11
};

static uint64_t low(uint64_t value, unsigned width)
{
    return width == 8 ? value : value & ((UINT64_C(1) << 8 * width) - 1);
}

/* What a register is when the lower `width` bytes of it are written: 32 bits take the upper ones with them. */
static uint64_t merged(uint64_t reg, uint64_t value, unsigned width)
{
    return width == 4 ? (uint32_t)value : (reg & ~low(UINT64_MAX, width)) | low(value, width);
}

static uint64_t read_memory(uint64_t gpa, unsigned width)
{
    uint64_t value;
    return mmio_guest_read(gpa, width, &value) ? low(value, width) : low(UINT64_MAX, width);
}

static void write_memory(uint64_t gpa, unsigned width, uint64_t value)
{
    mmio_guest_write(gpa, width, low(value, width)); /* where there is no range, there is nothing */
}

static uint64_t read_register(const struct vcpu *vcpu, const struct decoded *d)
{
    return low(d->high_byte ? vcpu->regs[d->reg] >> 8 : vcpu->regs[d->reg], d->width);
}

static void write_register(struct vcpu *vcpu, const struct decoded *d, uint64_t value)
{
    uint64_t *reg = &vcpu->regs[d->reg];
    unsigned unused = 64 - 8 * d->width;
    if (d->sign_extend) value = (uint64_t)((int64_t)(value << unused) >> unused);
    *reg = d->high_byte ? (*reg & ~UINT64_C(0xff00)) | (value & 0xff) << 8 : merged(*reg, value, d->reg_width);
}

static uint64_t alu(struct vcpu *vcpu, const struct decoded *d, uint64_t a, uint64_t b)
{
    uint64_t r, top = UINT64_C(1) << (8 * d->width - 1), flags = 0;
    switch (d->alu) {
    case DECODE_ADD:
        r = low(a + b, d->width), flags = (r < a ? FLAG_CF : 0) | (~(a ^ b) & (a ^ r) & top ? FLAG_OF : 0);
        break;
    case DECODE_SUB:
        r = low(a - b, d->width), flags = (a < b ? FLAG_CF : 0) | ((a ^ b) & (a ^ r) & top ? FLAG_OF : 0);
        break;
    case DECODE_OR:
        r = a | b;
        break;
    case DECODE_AND:
        r = a & b;
        break;
    default:
        r = a ^ b;
    }
    if (d->alu == DECODE_ADD || d->alu == DECODE_SUB) flags |= (a ^ b ^ r) & FLAG_AF;
    flags |= (r ? 0 : FLAG_ZF) | (r & top ? FLAG_SF : 0) | (__builtin_popcountll(r & 0xff) % 2 ? 0 : FLAG_PF);
    vcpu->rflags = (vcpu->rflags & ~(uint64_t)(FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)) | flags;
    return r;
}

/* STOS: one element; REP ends when the count does, else the instruction is met again. True: go behind it. */
static bool store_string(struct vcpu *vcpu, const struct decoded *d, uint64_t gpa)
{
    uint64_t *di = &vcpu->regs[VCPU_RDI], *count = &vcpu->regs[VCPU_RCX];
    unsigned width = d->address_bits / 8;
    write_memory(gpa, d->width, vcpu->regs[VCPU_RAX]);
    *di = merged(*di, vcpu->rflags & FLAG_DF ? *di - d->string_step : *di + d->string_step, width);
    if (!d->repeat) return true;
    *count = merged(*count, *count - 1, width);
    return !low(*count, width);
}

bool emulate_access(struct vcpu *vcpu, uint64_t gpa, bool write)
{
    struct vcpu_code code;
    struct decoded d;
    uint8_t text[DECODE_MAX];
    vcpu_code(vcpu, &code);
    size_t n = guest_copy_virtual(text, &code.paging, code.linear_rip, sizeof text);
    if (!decode(text, n, code.bits, &d)) return false;
    if ((gpa & (PAGE_BYTES - 1)) + d.width > PAGE_BYTES)
        return false; /* across two pages: not how registers are used */
    if (!write && (d.kind == DECODE_STORE || d.string_step))
        return false; /* the code changed meanwhile, or it is not this operand */
    if (d.string_step) {
        if (store_string(vcpu, &d, gpa)) vcpu_skip(vcpu, d.length);
        return true;
    }
    uint64_t value = d.has_immediate ? d.immediate : read_register(vcpu, &d);
    switch (d.kind) {
    case DECODE_LOAD:
        write_register(vcpu, &d, read_memory(gpa, d.width));
        break;
    case DECODE_STORE:
        write_memory(gpa, d.width, value);
        break;
    case DECODE_EXCHANGE:
        write_register(vcpu, &d, read_memory(gpa, d.width));
        write_memory(gpa, d.width, value);
        break;
    case DECODE_ALU:
        write_memory(gpa, d.width, alu(vcpu, &d, read_memory(gpa, d.width), low(value, d.width)));
        break;
    }
    vcpu_skip(vcpu, d.length);
    return true;
}
