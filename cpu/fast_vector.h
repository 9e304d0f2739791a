/* SPDX-License-Identifier: MIT */
/*
 * The form of fast handlers on XMM registers: FAST_VECTOR() makes one for registers and three for memory of
 * a verb, and the function that chooses among them. Registers are always stored whole: a wide load after a
 * narrow store stalls.
 */
#ifndef CPU_FAST_VECTOR_H
#define CPU_FAST_VECTOR_H

#include "cpu/vector.h"

#define VEC(reg) (*(v128 *)xmm(cpu, reg))
#define VECTOR_FORMS(X, ...) X(FORM_BASE, __VA_ARGS__) X(FORM_INDEX, __VA_ARGS__) X(FORM_ANY, __VA_ARGS__)
#define VECTOR_HANDLERS(name) name##_FORM_BASE, name##_FORM_INDEX, name##_FORM_ANY

enum { ALIGNED = true, UNALIGNED = false };

/*
 * Where the memory operand is; NULL for the body to do, which knows what to make of one that isn't aligned.
 */
INLINE u8 *vector_place(CPU, IN, enum form form, unsigned size, bool aligned, unsigned access)
{
    if (form == FORM_ANY && aligned && in->segment == SS && is_misaligned(cpu, in, size))
        return NULL; /* before place() raises #SS */
    u8 *m = place(cpu, in, form, size, access, false);

    if (unlikely(!m) || (aligned && unlikely((uintptr_t)m & 15)))
        return NULL;
    return m;
}

/* `size` bytes, zeros above them. */
INLINE v128 vector_fetch(const u8 *m, unsigned size)
{
    typedef u64 loose __attribute__((vector_size(16), may_alias, aligned(1)));

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
    VEC(in->dst) = verb(VEC(in->dst), size == 16 ? *(const v128 *)m : vector_fetch(m, size));
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

#define FAST_VECTOR_MEMORY(form, name, verb, size)                                                          \
    FAST(fast_##name##_##form, vector_memory(cpu, in, form, verb, size))

/* `never`: mode bits under which the body must do it. */
#define FAST_VECTOR(name, verb, size, never)                                                                \
    FAST(fast_##name, (VEC(in->dst) = verb(VEC(in->dst), VEC(in->src)), true))                              \
    VECTOR_FORMS(FAST_VECTOR_MEMORY, name, verb, size)                                                      \
    run_fn *bind_##name(const struct insn *in, u32 mode, u32 live)                                          \
    {                                                                                                       \
        static run_fn *const handlers[] = { fast_##name, VECTOR_HANDLERS(fast_##name) };                    \
                                                                                                            \
        (void)live;                                                                                         \
        return mode & (never) ? NULL : vector_choose(in, mode, handlers);                                   \
    }

#endif
