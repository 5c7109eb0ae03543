#include "visor/core/decode.h"

struct cursor {
    const uint8_t *at, *end;
    bool beyond; /* a byte was wanted that is not there */
};

struct prefixes {
    bool operand, address, repeat, lock;
    uint8_t rex;
};

enum { REX_W = 8, REX_R = 4, REX_X = 2, REX_B = 1 };

static uint8_t next8(struct cursor *c)
{
    if (c->at < c->end) return *c->at++;
    c->beyond = true;
    return 0;
}

/* A signed little-endian number of `bytes` bytes. */
static uint64_t next_signed(struct cursor *c, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) value |= (uint64_t)next8(c) << 8 * i;
    unsigned unused = 64 - 8 * bytes;
    return bytes && unused ? (uint64_t)((int64_t)(value << unused) >> unused) : value;
}

static uint8_t prefixes(struct cursor *c, unsigned bits, struct prefixes *p)
{
    for (;;) {
        uint8_t byte = next8(c);
        switch (byte) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0x64 ... 0x65:
            continue; /* segments: the address is known */
        case 0x66:
            p->operand = true;
            continue;
        case 0x67:
            p->address = true;
            continue;
        case 0xf0:
            p->lock = true;
            continue;
        case 0xf2 ... 0xf3:
            p->repeat = true;
            continue;
        default:
            break;
        }
        if (bits == 64 && byte >> 4 == 4) { /* REX counts only right before the opcode */
            p->rex = byte;
            byte = next8(c);
            if (byte >> 4 == 4 || byte == 0x66 || byte == 0x67 || byte == 0xf0 || byte == 0xf2 || byte == 0xf3)
                c->beyond = true;
        }
        return byte;
    }
}

/* Goes over ModRM, SIB and displacement; returns ModRM's reg field, or -1 if the operand is a register. */
static int modrm(struct cursor *c, const struct prefixes *p, unsigned address_bits)
{
    uint8_t byte = next8(c);
    unsigned mod = byte >> 6, rm = byte & 7, displacement = mod == 1 ? 1 : mod == 2 ? (address_bits == 16 ? 2 : 4) : 0;
    if (mod == 3) return -1;
    if (address_bits == 16) {
        if (mod == 0 && rm == 6) displacement = 2;
    } else {
        if (rm == 4 && (next8(c) & 7) == 5 && mod == 0) displacement = 4; /* SIB without a base */
        if (rm == 5 && mod == 0) displacement = 4;
    }
    next_signed(c, displacement);
    return (byte >> 3 & 7) | (p->rex & REX_R ? 8 : 0);
}

static void set_register(struct decoded *d, const struct prefixes *p, unsigned reg, unsigned width)
{
    d->high_byte = width == 1 && !p->rex && reg >= 4;
    d->reg = d->high_byte ? reg - 4 : reg;
}

/* 88..8B, 86, 87, and the ALU's two-operand forms with memory as destination */
static bool with_register(struct decoded *d, struct cursor *c, const struct prefixes *p, uint8_t opcode, unsigned wide)
{
    int reg = modrm(c, p, d->address_bits);
    if (reg < 0) return false;
    d->width = d->reg_width = opcode & 1 ? wide : 1;
    set_register(d, p, (unsigned)reg, d->width);
    return true;
}

/* C6, C7, 80, 81, 83 */
static bool with_immediate(struct decoded *d, struct cursor *c, const struct prefixes *p, uint8_t opcode, unsigned wide)
{
    int operation = modrm(c, p, d->address_bits);
    if (operation < 0) return false;
    operation &= 7;
    d->width = opcode & 1 ? wide : 1;
    d->has_immediate = true;
    d->immediate = next_signed(c, opcode == 0x83 || !(opcode & 1) ? 1 : wide == 2 ? 2 : 4);
    if (opcode >= 0xc6) return operation == 0;
    d->alu = (enum decode_alu)operation;
    return operation == DECODE_ADD || operation == DECODE_OR || (operation >= DECODE_AND && operation <= DECODE_XOR);
}

/* 0F B6, B7, BE, BF and 63 */
static bool extending(struct decoded *d, struct cursor *c, const struct prefixes *p, unsigned width, bool sign,
                      unsigned wide)
{
    int reg = modrm(c, p, d->address_bits);
    if (reg < 0) return false;
    d->kind = DECODE_LOAD;
    d->width = width;
    d->reg_width = wide;
    d->sign_extend = sign;
    d->reg = (unsigned)reg;
    return true;
}

static bool opcode_of(struct decoded *d, struct cursor *c, const struct prefixes *p, uint8_t op, unsigned bits)
{
    unsigned wide = p->rex & REX_W ? 8 : (bits == 16) != p->operand ? 2 : 4;
    switch (op) {
    case 0x88 ... 0x89:
        d->kind = DECODE_STORE;
        return !p->lock && with_register(d, c, p, op, wide);
    case 0x8a ... 0x8b:
        d->kind = DECODE_LOAD;
        return !p->lock && with_register(d, c, p, op, wide);
    case 0x86 ... 0x87:
        d->kind = DECODE_EXCHANGE;
        return with_register(d, c, p, op, wide);
    case 0xc6 ... 0xc7:
        d->kind = DECODE_STORE;
        return !p->lock && with_immediate(d, c, p, op, wide);
    case 0x80 ... 0x81:
    case 0x83:
        d->kind = DECODE_ALU;
        return with_immediate(d, c, p, op, wide);
    case 0x00 ... 0x01:
    case 0x08 ... 0x09:
    case 0x20 ... 0x21:
    case 0x28 ... 0x29:
    case 0x30 ... 0x31:
        d->kind = DECODE_ALU;
        d->alu = (enum decode_alu)(op >> 3);
        return with_register(d, c, p, op, wide);
    case 0x63:
        return bits == 64 && p->rex & REX_W && !p->lock && extending(d, c, p, 4, true, 8);
    case 0xa0 ... 0xa3:
        d->kind = op < 0xa2 ? DECODE_LOAD : DECODE_STORE;
        d->width = d->reg_width = op & 1 ? wide : 1;
        next_signed(c, d->address_bits / 8);
        return !p->lock;
    case 0xaa ... 0xab:
        d->kind = DECODE_STORE;
        d->width = d->string_step = op & 1 ? wide : 1;
        d->repeat = p->repeat;
        return !p->lock;
    case 0x0f:
        if (p->lock) return false;
        switch (op = next8(c)) {
        case 0xb6:
        case 0xbe:
            return extending(d, c, p, 1, op == 0xbe, wide);
        case 0xb7:
        case 0xbf:
            return extending(d, c, p, 2, op == 0xbf, wide);
        default:
            return false;
        }
    default:
        return false;
    }
}

bool decode(const uint8_t *code, size_t n, unsigned bits, struct decoded *out)
{
    struct cursor c = {code, code + (n > DECODE_MAX ? DECODE_MAX : n), false};
    struct prefixes p = {0};
    *out = (struct decoded){0};
    uint8_t op = prefixes(&c, bits, &p);
    out->address_bits = bits == 64 ? (p.address ? 32 : 64) : (bits == 16) != p.address ? 16 : 32;
    if (c.beyond || !opcode_of(out, &c, &p, op, bits) || c.beyond) return false;
    out->length = (unsigned)(c.at - code);
    return true;
}
