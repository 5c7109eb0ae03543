/* The few instructions with which software touches device registers: MOV and its relatives. No instruction is executed
 * to find out what it does; what is not known is refused. AMD64 manual, volume 3, chapter 1 and appendix A. */
#ifndef VISOR_CORE_DECODE_H
#define VISOR_CORE_DECODE_H

#include "visor/core/lib.h"

#define DECODE_MAX 15 /* bytes of the longest instruction */

enum decode_kind {
    DECODE_LOAD,     /* register := memory */
    DECODE_STORE,    /* memory := register or immediate */
    DECODE_EXCHANGE, /* both, at once */
    DECODE_ALU,      /* memory := memory op register or immediate; op in `alu` */
};

enum decode_alu { DECODE_ADD, DECODE_OR, DECODE_AND = 4, DECODE_SUB, DECODE_XOR }; /* as in opcode bits 5..3 */

struct decoded {
    enum decode_kind kind;
    enum decode_alu alu;
    unsigned length;      /* of the instruction, in bytes */
    unsigned width;       /* of the memory operand: 1, 2, 4 or 8 */
    unsigned reg;         /* 0..15, of struct vcpu's regs */
    bool high_byte;       /* AH, CH, DH or BH; reg is that of AX, CX, DX or BX then */
    bool has_immediate;   /* stores `immediate` instead of a register */
    uint64_t immediate;   /* sign-extended */
    unsigned reg_width;   /* loads: what is written of the register; 4 clears the upper half */
    bool sign_extend;     /* loads: from width to reg_width */
    unsigned string_step; /* STOS: bytes that RDI moves by, per iteration; 0: not a string instruction */
    bool repeat;          /* STOS: with REP */
    unsigned address_bits;
};

/* Decodes code[n], n ≤ 15, of a segment with this default: 16, 32 or 64 bits. False if it is not known, or goes on
 * behind n. */
bool decode(const uint8_t *code, size_t n, unsigned bits, struct decoded *out);

#endif
