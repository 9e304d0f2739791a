/* SPDX-License-Identifier: MIT */
/* Fast handlers of shifts, rotates and multiplications on registers. Bodies: shift.c, multiply.c. */
#include <Zydis/Mnemonic.h>

#include "cpu/handler.h"
#include "cpu/verbs.h"

enum shift_verb { SHL, SHR, SAR, ROL, ROR };

INLINE bool shift(CPU, IN, enum shift_verb verb, unsigned w, unsigned count, bool flags)
{
    u64 a = reg_read(cpu, in->dst, w), r;

    switch (verb) {
    case SHL: r = verb_shl(cpu, a, count, w, flags); break;
    case SHR: r = verb_shr(cpu, a, count, w, flags); break;
    case SAR: r = verb_sar(cpu, a, count, w, flags); break;
    case ROL: r = verb_rol(cpu, a, count, w, flags); break;
    default: r = verb_ror(cpu, a, count, w, flags); break;
    }
    reg_write(cpu, in->dst, w, r);
    return true;
}

/* By CL: a count of zero changes nothing but the upper half. */
INLINE bool shift_cl(CPU, IN, enum shift_verb verb, unsigned w)
{
    unsigned count = (unsigned)cpu->gpr[RCX] & (w - 1);

    if (unlikely(count == 0))
        return reg_write(cpu, in->dst, w, reg_read(cpu, in->dst, w)), true;
    return shift(cpu, in, verb, w, count, true);
}

#define SHIFT(verb, w)                                                                                                 \
    FAST(verb##_imm_##w##_0, shift(cpu, in, verb, w, (u8)in->imm, false))                                              \
    FAST(verb##_imm_##w##_1, shift(cpu, in, verb, w, (u8)in->imm, true))                                               \
    FAST(verb##_cl_##w, shift_cl(cpu, in, verb, w))
#define SHIFTS(X) X(SHL) X(SHR) X(SAR) X(ROL) X(ROR)
#define SHIFT_BOTH(verb) SHIFT(verb, 32) SHIFT(verb, 64)
SHIFTS(SHIFT_BOTH)

static enum shift_verb shift_verb(const struct insn *in)
{
    switch (in->op) {
    case ZYDIS_MNEMONIC_SHL: return SHL;
    case ZYDIS_MNEMONIC_SHR: return SHR;
    case ZYDIS_MNEMONIC_SAR: return SAR;
    case ZYDIS_MNEMONIC_ROL: return ROL;
    default: return ROR;
    }
}

run_fn *bind_shift(const struct insn *in, u32 mode, u32 live)
{
#define SHIFT_ROW(verb)                                                                                                \
    { { verb##_imm_32_0, verb##_imm_32_1, verb##_cl_32 }, { verb##_imm_64_0, verb##_imm_64_1, verb##_cl_64 } },
    static run_fn *const handlers[5][2][3] = { SHIFTS(SHIFT_ROW) };

    (void)mode;
    if (in->width != W32 && in->width != W64)
        return NULL;
    run_fn *const *of = handlers[shift_verb(in)][in->width == W64];

    if (in->shape == S_RR)
        return of[2];
    if (in->shape != S_RI || ((u8)in->imm & (width_bits(in->width) - 1)) != (u8)in->imm || !(u8)in->imm)
        return NULL; /* a count to mask, or none: the body */
    return of[live != 0];
}

/* ---- IMUL with two and three operands ---- */

INLINE bool imul(CPU, IN, unsigned w, u64 a, u64 b, bool flags)
{
    reg_write(cpu, in->dst, w, verb_imul(cpu, a, b, w, flags));
    return true;
}

INLINE bool imul_memory(CPU, IN, unsigned w, enum form form)
{
    const u8 *m = place(cpu, in, form, w / 8, ACCESS_READ, false);

    return m && imul(cpu, in, w, reg_read(cpu, in->dst, w), load_bytes(m, w / 8), true);
}

#define IMUL(w)                                                                                                        \
    FAST(imul_rr_##w##_0, imul(cpu, in, w, reg_read(cpu, in->dst, w), reg_read(cpu, in->src, w), false))               \
    FAST(imul_rr_##w##_1, imul(cpu, in, w, reg_read(cpu, in->dst, w), reg_read(cpu, in->src, w), true))                \
    FAST(imul_rri_##w##_0, imul(cpu, in, w, reg_read(cpu, in->src, w), in->imm, false))                                \
    FAST(imul_rri_##w##_1, imul(cpu, in, w, reg_read(cpu, in->src, w), in->imm, true))                                 \
    FAST(imul_base_##w, imul_memory(cpu, in, w, FORM_BASE))                                                            \
    FAST(imul_index_##w, imul_memory(cpu, in, w, FORM_INDEX))                                                          \
    FAST(imul_any_##w, imul_memory(cpu, in, w, FORM_ANY))
IMUL(32)
IMUL(64)

run_fn *bind_imul(const struct insn *in, u32 mode, u32 live)
{
#define IMUL_ROW(w)                                                                                                    \
    { imul_rr_##w##_0, imul_rr_##w##_1, imul_rri_##w##_0, imul_rri_##w##_1, imul_base_##w, imul_index_##w,             \
      imul_any_##w }
    static run_fn *const handlers[2][7] = { IMUL_ROW(32), IMUL_ROW(64) };

    if (in->width != W32 && in->width != W64)
        return NULL;
    run_fn *const *of = handlers[in->width == W64];

    switch (in->shape) {
    case S_RR: return of[live != 0];
    case S_RRI: return of[2 + (live != 0)];
    case S_RM: return of[4 + address_form(in, mode)];
    default: return NULL;
    }
}
