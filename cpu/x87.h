/* SPDX-License-Identifier: MIT */
/*
 * The vocabulary of x87 instructions: status bits, the register stack, stack faults, what an operation
 * leaves behind.
 */
#ifndef CPU_X87_H
#define CPU_X87_H

#include "cpu/fp_unit.h"
#include "cpu/handler.h"
#include "cpu/x87_unit.h"

enum {
    X87_IE = 1 << 0,
    X87_DE = 1 << 1,
    X87_ZE = 1 << 2,
    X87_OE = 1 << 3,
    X87_UE = 1 << 4,
    X87_PE = 1 << 5,
    X87_SF = 1 << 6,
    X87_ES = 1 << 7,
    X87_C0 = 1 << 8,
    X87_C1 = 1 << 9,
    X87_C2 = 1 << 10,
    X87_TOP = 7 << 11,
    X87_C3 = 1 << 14,
    X87_B = 1 << 15,
    X87_FLAGS = 0x3f,          /* the six exceptions; the control word's masks stand at the same bits */
    X87_CONDITION = X87_C0 | X87_C1 | X87_C2 | X87_C3
};

enum { X87_TOP_SHIFT = 11 };

/* Control-word bits that can be set, and the one that always is. */
enum { X87_FCW_VALID = 0x1f3f, X87_FCW_FIXED = 0x40, X87_FCW_INIT = 0x37f };

/* The default NaN, "real indefinite". */
#define X87_INDEFINITE ((struct x87_register){ 0xc000000000000000u, 0xffff })

INLINE unsigned x87_physical(const struct vcpu *cpu, unsigned i)
{
    return (cpu->x87.top + i) & 7;
}

INLINE struct x87_register *x87_st(struct vcpu *cpu, unsigned i)
{
    return &cpu->x87.physical[x87_physical(cpu, i)];
}

INLINE bool x87_empty(const struct vcpu *cpu, unsigned i)
{
    return !(cpu->x87.valid >> x87_physical(cpu, i) & 1);
}

/* Stores only what the architecture has: MMX would see the rest. */
INLINE void x87_set(struct vcpu *cpu, unsigned i, const struct x87_register *value)
{
    struct x87_register *st = x87_st(cpu, i);

    st->mantissa = value->mantissa;
    st->sign_exponent = value->sign_exponent;
    cpu->x87.valid |= (u8)(1u << x87_physical(cpu, i));
}

INLINE void x87_free(struct vcpu *cpu, unsigned i)
{
    cpu->x87.valid &= (u8) ~(1u << x87_physical(cpu, i));
}

INLINE void x87_pop(struct vcpu *cpu)
{
    x87_free(cpu, 0);
    cpu->x87.top = (cpu->x87.top + 1) & 7;
}

INLINE void x87_push(struct vcpu *cpu, const struct x87_register *value)
{
    cpu->x87.top = (cpu->x87.top - 1) & 7;
    x87_set(cpu, 0, value);
}

INLINE bool x87_masked(const struct vcpu *cpu, u16 exceptions)
{
    return !(exceptions & ~cpu->x87.fcw & X87_FLAGS);
}

/* ES and B summarize the flags that aren't masked. */
INLINE void x87_summarize(struct vcpu *cpu)
{
    cpu->x87.fsw &= (u16) ~(X87_ES | X87_B);
    if (!x87_masked(cpu, cpu->x87.fsw))
        cpu->x87.fsw |= X87_ES | X87_B;
}

INLINE void x87_condition(struct vcpu *cpu, u16 which, u16 value)
{
    cpu->x87.fsw = (u16)((cpu->x87.fsw & ~which) | (value & which));
}

/* A comparison's C3, C2 and C0 as FCOMI has them: ZF, PF and CF; the other flags are clear. */
INLINE void x87_to_flags(struct vcpu *cpu, u16 sw)
{
    flags_write(cpu, (sw & X87_C3 ? ZF : 0) | (sw & X87_C2 ? PF : 0) | (sw & X87_C0 ? CF : 0));
}

/*
 * Where the last instruction was and what it operated on: all but control instructions leave that behind.
 * The decoder puts the opcode's eleven bits into imm. FDP and FDS stay with instructions that have no
 * memory operand.
 */
INLINE void x87_note(CPU, IN)
{
    u64 rip = cpu->code_base + in->offset;

    cpu->x87.fip = in_code64(cpu) ? rip : (u32)rip;
    cpu->x87.fop = (u16)in->imm;
    cpu->x87.fcs = cpu->seg[CS].selector;
}

INLINE void x87_note_memory(CPU, IN)
{
    x87_note(cpu, in);
    cpu->x87.fdp = operand_offset(cpu, in);
    cpu->x87.fds = cpu->seg[in->segment].selector;
}

/*
 * Stack faults: an operand is empty, a push finds no room. True: masked, so the indefinite value takes its
 * place.
 */
INLINE bool x87_underflow(struct vcpu *cpu)
{
    x87_condition(cpu, X87_C1, 0);
    cpu->x87.fsw |= X87_IE | X87_SF;
    x87_summarize(cpu);
    return x87_masked(cpu, X87_IE);
}

INLINE bool x87_overflow(struct vcpu *cpu)
{
    bool masked = x87_underflow(cpu);

    cpu->x87.fsw |= X87_C1;
    return masked;
}

/* Before x87_fn: the host's flags are clear, and earlier ones safe. */
INLINE void x87_begin(struct vcpu *cpu, struct x87_run *run)
{
    u16 sw = fpu_fnstsw();

    if (sw & X87_FLAGS) {
        cpu->x87.fsw |= sw & X87_FLAGS;
        fpu_fnclex();
    }
    run->guest = (u16)((cpu->x87.fcw & 0xf3f) | X87_FCW_FIXED);
    run->host = run->guest | X87_FLAGS;
}

/*
 * After it: the flags that it raised are the guest's now, and C1. False: an unmasked exception came before
 * the result, and the operands stay as they are. SDM 1 8.5.
 */
INLINE bool x87_end(struct vcpu *cpu, u16 sw)
{
    x87_condition(cpu, X87_C1, sw);
    cpu->x87.fsw |= sw & X87_FLAGS;
    x87_summarize(cpu);
    return x87_masked(cpu, sw & (X87_IE | X87_DE | X87_ZE));
}

/* A memory operand that is more than one place. */
enum { SPAN_EXTENDED = 10 };

struct span {
    struct place part[2];
    unsigned first, size; /* bytes of the first part, of all */
    unsigned field;       /* bytes of each of the environment's fields */
    bool wraps;           /* at the end of the address size: no parts, but each field for itself */
    u64 offset;
};

/*
 * Resolves `size` bytes (SPAN_EXTENDED, or an environment of seven fields of `field` bytes, and maybe the registers). May
 * raise; the rest can't fail, unless the span wraps.
 */
void span_open(CPU, IN, struct span *s, unsigned size, unsigned field, unsigned access);
void span_load(CPU, IN, const struct span *s, void *bytes);
void span_store(CPU, IN, struct span *s, const void *bytes);

#endif
