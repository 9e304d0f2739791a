/* SPDX-License-Identifier: MIT */
/*
 * Fast handlers of the commoner fused products, on hosts that have FMA, while every exception is masked and
 * no operand is a NaN or infinite.
 */
#include "cpu/fast_vector.h"
#include "cpu/fp_unit.h"
#include "cpu/vector_verbs.h"

/* Exponents of all ones in the elements that take part. */
#define EXPONENTS_ps ((v128){ 0x7f8000007f800000, 0x7f8000007f800000 })
#define EXPONENTS_pd ((v128){ 0x7ff0000000000000, 0x7ff0000000000000 })
#define EXPONENTS_ss ((v128){ 0x7f800000, 0 })
#define EXPONENTS_sd ((v128){ 0x7ff0000000000000, 0 })

/* By their bits: no flags. */
INLINE bool is_finite(v128 a, v128 b, v128 c, v128 exponents)
{
    v128 bad = verb_pcmpeqd(a & exponents, exponents) | verb_pcmpeqd(b & exponents, exponents) |
               verb_pcmpeqd(c & exponents, exponents);

    bad &= exponents;
    return !(bad[0] | bad[1]);
}

/* x, y and z are the operands in order; the digits count them. */
INLINE v128 fuse(fused_fn *f, unsigned digits, v128 x, v128 y, v128 z)
{
    return digits == 132 ? f(x, z, y) : digits == 213 ? f(y, x, z) : f(y, z, x);
}

INLINE bool fuse_lanes(CPU, IN, fused_fn *f, unsigned digits, v128 exponents, unsigned size, v128 low,
                       v128 high)
{
    const union vector *x = xmm(cpu, in->dst), *y = xmm(cpu, in->src);
    v128 a = LANE(x, 0), r, s = { 0, 0 };

    if (unlikely(!is_finite(a, LANE(y, 0), low, exponents)) ||
        (size == 32 && unlikely(!is_finite(LANE(x, 1), LANE(y, 1), high, exponents))))
        return false;
    r = fuse(f, digits, a, LANE(y, 0), low);
    if (size == 4)
        r[0] = (a[0] & ~(u64)0xffffffff) | (u32)r[0];
    if (size < 16)
        r[1] = a[1];
    if (size == 32)
        s = fuse(f, digits, LANE(x, 1), LANE(y, 1), high);
    return vex_put(cpu, in, r, s);
}

INLINE bool fuse_registers(CPU, IN, fused_fn *f, unsigned digits, v128 exponents, unsigned size)
{
    const union vector *z = xmm(cpu, in->third);

    return fuse_lanes(cpu, in, f, digits, exponents, size, LANE(z, 0), LANE(z, 1));
}

INLINE bool fuse_memory(CPU, IN, enum form form, fused_fn *f, unsigned digits, v128 exponents, unsigned size)
{
    const u8 *m = vector_place(cpu, in, form, size, UNALIGNED, ACCESS_READ);
    v128 high = { 0, 0 };

    if (unlikely(!m))
        return false;
    if (size == 32)
        high = vector_fetch(m + 16, 16);
    return fuse_lanes(cpu, in, f, digits, exponents, size, vector_fetch(m, size < 16 ? size : 16), high);
}

#define FUSE_MEMORY(form, name, digits, suffix, size)                                                       \
    FAST(fuse##size##_##name##digits##suffix##_##form,                                                      \
         fuse_memory(cpu, in, form, fpu_##name##231##suffix, digits, EXPONENTS_##suffix, size))
#define FUSE(name, digits, suffix, size)                                                                    \
    FAST(fuse##size##_##name##digits##suffix,                                                               \
         fuse_registers(cpu, in, fpu_##name##231##suffix, digits, EXPONENTS_##suffix, size))               \
    VECTOR_FORMS(FUSE_MEMORY, name, digits, suffix, size)                                                   \
    static run_fn *const handlers##size##_##name##digits##suffix[] = {                                      \
        fuse##size##_##name##digits##suffix, VECTOR_HANDLERS(fuse##size##_##name##digits##suffix) };
#define BIND_FUSED(name, narrow, wide)                                                                      \
    run_fn *bind_##name(const struct insn *in, u32 mode, u32 live)                                          \
    {                                                                                                       \
        (void)live;                                                                                         \
        return mode & MODE_SSE_SLOW || !fpu_has_fma() ? NULL : vex_choose(in, mode, narrow, wide);         \
    }
#define FUSE_PACKED(name, digits, suffix)                                                                   \
    FUSE(name, digits, suffix, 16)                                                                          \
    FUSE(name, digits, suffix, 32)                                                                          \
    BIND_FUSED(name##digits##suffix, handlers16_##name##digits##suffix, handlers32_##name##digits##suffix)
#define FUSE_SCALAR(name, digits, suffix, size)                                                             \
    FUSE(name, digits, suffix, size)                                                                        \
    BIND_FUSED(name##digits##suffix, handlers##size##_##name##digits##suffix, NULL)
#define FUSE_ALL(name, digits)                                                                              \
    FUSE_PACKED(name, digits, ps)                                                                           \
    FUSE_PACKED(name, digits, pd)                                                                           \
    FUSE_SCALAR(name, digits, ss, 4)                                                                        \
    FUSE_SCALAR(name, digits, sd, 8)

FUSE_ALL(fmadd, 132)
FUSE_ALL(fmadd, 213)
FUSE_ALL(fmadd, 231)
FUSE_ALL(fnmadd, 132)
FUSE_ALL(fnmadd, 213)
FUSE_ALL(fnmadd, 231)
