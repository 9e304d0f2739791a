/* SPDX-License-Identifier: MIT */
/*
 * Operands of vector instructions, for bodies: XMM and MMX registers by their kind (REG_XMM, REG_MMX),
 * memory. A body works on copies of up to 32 bytes, zero beyond the operand's size, and writes its result
 * last. No profile has bits above 255, so they stay zero.
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

/* Size of the registers that an instruction works on, if operand 0 isn't a general one. */
INLINE unsigned vector_size(const struct insn *in)
{
    return is_mmx(in->dst) ? 8 : in->width == W256 ? 32 : 16;
}

/*
 * VEX gives most instructions two sources beside the destination. Without it the destination is the left one.
 */
INLINE bool has_two_sources(const struct insn *in)
{
    return in->shape == S_RRR || in->shape == S_RRM;
}

INLINE unsigned left_register(const struct insn *in)
{
    return has_two_sources(in) ? in->src : in->dst;
}

/* Number of the operand that is the other source. */
INLINE unsigned right_operand(const struct insn *in)
{
    return has_two_sources(in) ? 2 : 1;
}

#define LANE(v, n) (((v128 *)(v)->q)[n])

/* What an instruction makes of one lane: of both sources, or with an immediate and the lane's number too. */
typedef v128 binary_fn(v128 a, v128 b);
typedef v128 shuffle_fn(v128 a, v128 b, unsigned imm, unsigned lane);

/*
 * Where the 64-bit form's result is in the lane: halves of an MMX register are interleaved or packed closer
 * together.
 */
enum mmx_form { MMX_LOW, MMX_INTERLEAVED_LOW, MMX_INTERLEAVED_HIGH, MMX_PACKED };

/* The destination becomes f(left, right), lane by lane: whole bodies but for f. */
void vector_binary(CPU, IN, binary_fn *f, enum mmx_form form);
void vector_shuffle(CPU, IN, shuffle_fn *f);

/* A body that is a shuffle: `expr` of a, b, imm and lane. */
#define VECTOR_SHUFFLE(name, expr)                                                                          \
    static v128 lane_##name(v128 a, v128 b, unsigned imm, unsigned lane)                                    \
    {                                                                                                       \
        (void)a, (void)b, (void)imm;                                                                        \
        (void)lane;                                                                                         \
        return expr;                                                                                        \
    }                                                                                                       \
    void op_##name(CPU, IN)                                                                                 \
    {                                                                                                       \
        vector_shuffle(cpu, in, lane_##name);                                                               \
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

/* The right source, `size` bytes of it. A memory operand of 16 bytes is one of arithmetic. */
void vector_source(CPU, IN, union vector *v, unsigned size);

/* The same, whatever its alignment. */
void vector_source_loose(CPU, IN, union vector *v, unsigned size);

/*
 * The destination's low `size` bytes; the rest is kept, or with VEX becomes zero. Of an MMX register all 8.
 */
void vector_put(CPU, IN, const union vector *v, unsigned size);

/* Which components of the extended state differ from their initial state: XINUSE. cpu/simd_state.c. */
u64 xstate_in_use(const struct vcpu *cpu);

#endif
