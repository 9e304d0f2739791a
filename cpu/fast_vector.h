/* SPDX-License-Identifier: MIT */
/*
 * The form of fast handlers on XMM and YMM registers: FAST_VECTOR() makes one for registers and three for
 * memory of a verb, with VEX and without, and the function that chooses among them. Registers are always
 * stored whole: a wide load after a narrow store stalls.
 */
#ifndef CPU_FAST_VECTOR_H
#define CPU_FAST_VECTOR_H

#include "cpu/vector.h"

#define VEC(reg) (*(v128 *)xmm(cpu, reg))
#define VECTOR_FORMS(X, ...) X(FORM_BASE, __VA_ARGS__) X(FORM_INDEX, __VA_ARGS__) X(FORM_ANY, __VA_ARGS__)
#define VECTOR_HANDLERS(name) name##_FORM_BASE, name##_FORM_INDEX, name##_FORM_ANY

#undef UNALIGNED /* mingw-w64's headers have one */
enum { ALIGNED = true, UNALIGNED = false };

/*
 * Where the memory operand is; NULL for the body to do, which knows what to make of one that isn't aligned.
 */
INLINE u8 *vector_place(CPU, IN, enum form form, unsigned size, bool aligned, unsigned access)
{
    if (form == FORM_ANY && aligned && in->segment == SS && is_misaligned(cpu, in, size))
        return NULL; /* before place() raises #SS */
    u8 *m = place(cpu, in, form, size, access, false);

    if (unlikely(!m) || (aligned && unlikely((uintptr_t)m & (size - 1))))
        return NULL;
    return m;
}

/* `size` bytes, zeros above them. */
INLINE v128 vector_fetch(const u8 *m, unsigned size)
{
    typedef u64 loose __attribute__((vector_size(16), may_alias, aligned(1)));

#ifdef __SANITIZE_THREAD__ /* it takes no 16 bytes at once */
    if (size == 16)
        return (v128){ load_bytes(m, 8), load_bytes(m + 8, 8) };
#endif
    return size == 16 ? (v128) * (const loose *)m : (v128){ load_bytes(m, size), 0 };
}

typedef v128 vector_verb(v128 a, v128 b);

INLINE bool vector_memory(CPU, IN, enum form form, vector_verb *verb, unsigned size)
{
    const u8 *m = vector_place(cpu, in, form, size, size == 16 ? ALIGNED : UNALIGNED, ACCESS_READ);

    if (unlikely(!m))
        return false;
    if (size == 16)
        m = __builtin_assume_aligned(m, 16);
    VEC(in->dst) = verb(VEC(in->dst), vector_fetch(m, size));
    return true;
}

/* handlers: registers, then memory by form. NULL where an operand isn't an XMM register. */
INLINE run_fn *vector_choose(const struct insn *in, u32 mode, run_fn *const handlers[1 + FORMS])
{
    if (!is_xmm(in->dst))
        return NULL;
    if (in->shape == S_RM || in->shape == S_RMI)
        return handlers[1 + address_form(in, mode)];
    return (in->shape == S_RR || in->shape == S_RRI) && is_xmm(in->src) ? handlers[0] : NULL;
}

/*
 * VEX: two sources beside the destination, of which what is above the size becomes zero. Bits above 255 are
 * always zero, as no profile has them.
 */
INLINE bool vex_put(CPU, IN, v128 low, v128 high)
{
    union vector *to = xmm(cpu, in->dst);

    LANE(to, 0) = low;
    LANE(to, 1) = high;
    return true;
}

INLINE bool vex_registers(CPU, IN, vector_verb *verb, unsigned size)
{
    const union vector *a = xmm(cpu, in->src), *b = xmm(cpu, in->third);
    v128 low = verb(LANE(a, 0), LANE(b, 0)), high = { 0, 0 };

    if (size == 32)
        high = verb(LANE(a, 1), LANE(b, 1));
    return vex_put(cpu, in, low, high);
}

INLINE bool vex_memory(CPU, IN, enum form form, vector_verb *verb, unsigned size)
{
    const union vector *a = xmm(cpu, in->src);
    const u8 *m = vector_place(cpu, in, form, size, UNALIGNED, ACCESS_READ);
    v128 low, high = { 0, 0 };

    if (unlikely(!m))
        return false;
    low = verb(LANE(a, 0), vector_fetch(m, size < 16 ? size : 16));
    if (size == 32)
        high = verb(LANE(a, 1), vector_fetch(m + 16, 16));
    return vex_put(cpu, in, low, high);
}

/* The same of VEX forms. Scalars have no wide ones, whatever VEX.L says. */
INLINE run_fn *vex_choose(const struct insn *in, u32 mode, run_fn *const narrow[1 + FORMS],
                          run_fn *const wide[1 + FORMS])
{
    run_fn *const *handlers = wide && in->width == W256 ? wide : narrow;

    if (in->shape == S_RRM)
        return handlers[1 + address_form(in, mode)];
    return in->shape == S_RRR ? handlers[0] : NULL;
}

#define FAST_VECTOR_MEMORY(form, name, verb, size)                                                          \
    FAST(fast_##name##_##form, vector_memory(cpu, in, form, verb, size))
#define FAST_VEX_MEMORY(form, name, verb, size)                                                             \
    FAST(vex##size##_##name##_##form, vex_memory(cpu, in, form, verb, size))
#define FAST_VEX(name, verb, size)                                                                          \
    FAST(vex##size##_##name, vex_registers(cpu, in, verb, size))                                            \
    VECTOR_FORMS(FAST_VEX_MEMORY, name, verb, size)

#define FAST_HANDLERS(name, verb, size)                                                                     \
    FAST(fast_##name, (VEC(in->dst) = verb(VEC(in->dst), VEC(in->src)), true))                              \
    VECTOR_FORMS(FAST_VECTOR_MEMORY, name, verb, size)                                                      \
    FAST_VEX(name, verb, size)                                                                              \
    static run_fn *const handlers_##name[] = { fast_##name, VECTOR_HANDLERS(fast_##name) };                 \
    static run_fn *const narrow_##name[] = { vex##size##_##name, VECTOR_HANDLERS(vex##size##_##name) };

/* `never`: mode bits under which the body must do it. */
#define FAST_BIND(name, wide, never)                                                                        \
    run_fn *bind_##name(const struct insn *in, u32 mode, u32 live)                                          \
    {                                                                                                       \
        (void)live;                                                                                         \
        if (mode & (never))                                                                                 \
            return NULL;                                                                                    \
        if (in->vex)                                                                                        \
            return vex_choose(in, mode, narrow_##name, wide);                                               \
        return vector_choose(in, mode, handlers_##name);                                                    \
    }

/* Packed ones: all 16 bytes, or with VEX 32. */
#define FAST_VECTOR(name, verb, never)                                                                      \
    FAST_HANDLERS(name, verb, 16)                                                                           \
    FAST_VEX(name, verb, 32)                                                                                \
    static run_fn *const wide_##name[] = { vex32_##name, VECTOR_HANDLERS(vex32_##name) };                   \
    FAST_BIND(name, wide_##name, never)

/* Scalars, of 4 or 8 bytes. */
#define FAST_SCALAR(name, verb, size, never)                                                                \
    FAST_HANDLERS(name, verb, size)                                                                         \
    FAST_BIND(name, NULL, never)

#endif
