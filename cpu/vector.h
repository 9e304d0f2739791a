/* SPDX-License-Identifier: MIT */
/*
 * Operands of vector instructions, for bodies: XMM and MMX registers by their kind (REG_XMM, REG_MMX),
 * memory. A body works on copies, zero beyond the operand's size, and writes its result last.
 */
#ifndef CPU_VECTOR_H
#define CPU_VECTOR_H

#include "cpu/fp.h"
#include "cpu/handler.h"

/* One lane of 16 bytes, as the host's registers have it. */
typedef u64 v128 __attribute__((vector_size(16), may_alias));

INLINE bool is_mmx(unsigned reg)
{
    return reg >= REG_MMX;
}

INLINE bool is_xmm(unsigned reg)
{
    return reg >= REG_XMM && reg < REG_MMX;
}

INLINE union vector *xmm(CPU, unsigned reg)
{
    /* as one sum, so that the compiler takes all but reg * 64 into the displacement */
    const i64 start = (i64)offsetof(struct vcpu, vec) - REG_XMM * (i64)sizeof(union vector);

    return (union vector *)((char *)cpu + start + reg * sizeof(union vector));
}

/*
 * Every MMX instruction but EMMS marks all registers valid and makes physical register 0 the top (SDM 1,
 * 9.5.1).
 */
INLINE void mmx_enter(CPU)
{
    cpu->x87.top = 0;
    cpu->x87.valid = 0xff;
}

INLINE u64 mmx_read(const struct vcpu *cpu, unsigned reg)
{
    return cpu->x87.physical[reg & 7].mantissa;
}

INLINE void mmx_write(CPU, unsigned reg, u64 value)
{
    cpu->x87.physical[reg & 7] = (struct x87_register){ .mantissa = value, .sign_exponent = 0xffff };
    mmx_enter(cpu);
}

/* The alignment that packed arithmetic wants of memory: 16 bytes, unless AMD's MXCSR.MM waives it. */
INLINE unsigned arithmetic_alignment(const struct vcpu *cpu)
{
    return cpu->mxcsr & MXCSR_MM ? 0 : ACCESS_ALIGNED;
}

/*
 * #GP(0) for an operand that isn't aligned comes before its other faults, #SS(0) for one: to be asked
 * before segments are.
 */
INLINE bool is_misaligned(const struct vcpu *cpu, IN, unsigned alignment)
{
    u64 base = in_code64(cpu) && in->segment < FS ? 0 : cpu->seg[in->segment].base;

    return (base + operand_offset(cpu, in)) & (alignment - 1);
}

/* Size of the registers that an instruction with a register as operand 0 works on. */
INLINE unsigned vector_size(const struct insn *in)
{
    return is_mmx(in->dst) ? 8 : 16;
}

/* COMISD and its like: three flags of their own choice, OF, SF and AF clear. */
INLINE void flags_order(CPU, bool zf, bool pf, bool cf)
{
    cpu->result = !zf; /* zero has even parity, one hasn't */
    cpu->carries = (cf ? CARRY_CF | CARRY_OF : 0) | (pf != zf ? CARRY_PF : 0);
}

/* Memory to and from a body's bytes; access adds ACCESS_ALIGNED or nothing. */
void vector_load(CPU, IN, void *to, unsigned size, unsigned access);
void vector_store(CPU, IN, const void *from, unsigned size, unsigned access);

/* A register of any kind, whole (8 bytes of general ones). */
void vector_get(CPU, unsigned reg, union vector *v);

/* Operand 1, `size` bytes of it. A memory operand of 16 bytes is one of arithmetic. */
void vector_source(CPU, IN, union vector *v, unsigned size);

/* The low `size` bytes of an XMM register, the rest kept; of an MMX register all 8. */
void vector_put(CPU, unsigned reg, const union vector *v, unsigned size);

#endif
