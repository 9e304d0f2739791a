/* SPDX-License-Identifier: MIT */
/* SSE and SSE2 arithmetic and comparisons of floats. */
#include "cpu/fp_unit.h"

typedef v128 arithmetic_fn(v128 a, v128 b);

/*
 * 4 or 8 bytes of the result come from as many of both operands, the rest is the left one's; with 16, all
 * lanes of the registers take part.
 */
static void arithmetic(CPU, IN, arithmetic_fn *f, unsigned size, enum fp_kind kind,
                       enum fp_operation operation)
{
    const union vector *a = xmm(cpu, left_register(in));
    union vector b, r;

    if (size == 16)
        size = vector_size(in);
    vector_source(cpu, in, &b, size);
    fp_begin(cpu);
    for (unsigned i = 0; i <= size / 32; i++)
        LANE(&r, i) = f(LANE(a, i), LANE(&b, i));
    fp_settle(cpu, operation, kind, a, &b, size);
    fp_check(cpu, &r, kind, size);
    vector_put(cpu, in, &r, size < 16 ? 16 : size);
}

#define ARITHMETIC(name, size, kind, operation)                                                             \
    void op_##name(CPU, IN)                                                                                 \
    {                                                                                                       \
        arithmetic(cpu, in, fpu_##name, size, kind, operation);                                            \
    }
#define ARITHMETIC4(op, kind32, kind64, operation)                                                          \
    ARITHMETIC(op##ps, 16, kind32, operation)                                                               \
    ARITHMETIC(op##pd, 16, kind64, operation)                                                               \
    ARITHMETIC(op##ss, 4, kind32, operation)                                                                \
    ARITHMETIC(op##sd, 8, kind64, operation)

ARITHMETIC4(add, FP_F32, FP_F64, FP_ADD)
ARITHMETIC4(sub, FP_F32, FP_F64, FP_SUBTRACT)
ARITHMETIC4(mul, FP_F32, FP_F64, FP_MULTIPLY)
ARITHMETIC4(div, FP_F32, FP_F64, FP_DIVIDE)
ARITHMETIC4(sqrt, FP_OTHER, FP_OTHER, FP_NONE) /* no root is tiny */
ARITHMETIC4(min, FP_OTHER, FP_OTHER, FP_NONE)  /* nor is a choice */
ARITHMETIC4(max, FP_OTHER, FP_OTHER, FP_NONE)

/*
 * VEX has 32 predicates: a set of relations, and whether a quiet NaN is invalid. Both are told apart by the
 * few of them that SSE has; the others' lanes with NaNs are compared as zeros, for the flags' sake.
 */
enum { LESS = 1, EQUAL = 2, GREATER = 4, UNORDERED = 8, SIGNALS = 16 };

static const u8 predicates[16] = {
    EQUAL,
    LESS | SIGNALS,
    LESS | EQUAL | SIGNALS,
    UNORDERED,
    LESS | GREATER | UNORDERED,
    EQUAL | GREATER | UNORDERED | SIGNALS,
    GREATER | UNORDERED | SIGNALS,
    LESS | EQUAL | GREATER,
    EQUAL | UNORDERED,
    LESS | UNORDERED | SIGNALS,
    LESS | EQUAL | UNORDERED | SIGNALS,
    0,
    LESS | GREATER,
    EQUAL | GREATER | SIGNALS,
    GREATER | SIGNALS,
    LESS | EQUAL | GREATER | UNORDERED,
};

/* CMPccPS and its like: the predicate is in the immediate's low bits, three or five. */
#define COMPARE(suffix, name, size)                                                                         \
    INLINE v128 relation_##suffix(v128 a, v128 b, unsigned which)                                           \
    {                                                                                                       \
        v128 unordered = fpu_cmpunord##suffix(a, b), x = a & ~unordered, y = b & ~unordered;               \
        v128 less = fpu_cmplt##suffix(x, y), equal = fpu_cmpeq##suffix(x, y) & ~unordered;                \
        v128 r = { 0, 0 };                                                                                  \
                                                                                                            \
        if (which & SIGNALS)                                                                                \
            (void)fpu_cmplt##suffix(a, b);                                                                 \
        if (which & LESS)                                                                                   \
            r |= less;                                                                                      \
        if (which & EQUAL)                                                                                  \
            r |= equal;                                                                                     \
        if (which & GREATER)                                                                                \
            r |= ~(less | equal | unordered);                                                               \
        if (which & UNORDERED)                                                                              \
            r |= unordered;                                                                                 \
        return r;                                                                                           \
    }                                                                                                       \
    static void name##_any(CPU, IN)                                                                         \
    {                                                                                                       \
        unsigned which = predicates[in->imm & 15] ^ (in->imm & 16);                                         \
        unsigned all = (size) == 16 ? vector_size(in) : (size);                                             \
        const union vector *a = xmm(cpu, left_register(in));                                                \
        union vector b, r = *a;                                                                             \
                                                                                                            \
        vector_source(cpu, in, &b, all);                                                                    \
        fp_begin(cpu);                                                                                      \
        for (unsigned i = 0; i <= all / 32; i++) {                                                          \
            v128 v = relation_##suffix(LANE(a, i), LANE(&b, i), which);                                     \
                                                                                                            \
            memcpy(r.b + 16 * i, &v, all < 16 ? all : 16);                                                  \
        }                                                                                                   \
        fp_check(cpu, NULL, FP_OTHER, 0);                                                                   \
        vector_put(cpu, in, &r, all < 16 ? 16 : all);                                                       \
    }                                                                                                       \
    void op_##name(CPU, IN)                                                                                 \
    {                                                                                                       \
        static arithmetic_fn *const predicate[8] = {                                                        \
            fpu_cmpeq##suffix,  fpu_cmplt##suffix,  fpu_cmple##suffix,  fpu_cmpunord##suffix,           \
            fpu_cmpneq##suffix, fpu_cmpnlt##suffix, fpu_cmpnle##suffix, fpu_cmpord##suffix,             \
        };                                                                                                  \
                                                                                                            \
        if (in->vex && (in->imm & 24))                                                                      \
            name##_any(cpu, in);                                                                            \
        else                                                                                                \
            arithmetic(cpu, in, predicate[in->imm & 7], size, FP_OTHER, FP_NONE);                           \
    }

COMPARE(ps, cmpps, 16)
COMPARE(pd, cmppd, 16)
COMPARE(ss, cmpss, 4)
COMPARE(sd, cmpsd_vector, 8)

typedef struct fpu_order order_fn(v128 a, v128 b);

static void order(CPU, IN, order_fn *f, unsigned size)
{
    union vector b;
    struct fpu_order o;

    vector_source(cpu, in, &b, size);
    fp_begin(cpu);
    o = f(LANE(xmm(cpu, in->dst), 0), LANE(&b, 0));
    fp_check(cpu, NULL, FP_OTHER, 0);
    flags_order(cpu, o.zf, o.pf, o.cf);
}

#define ORDER(name, size)                                                                                   \
    void op_##name(CPU, IN)                                                                                 \
    {                                                                                                       \
        order(cpu, in, fpu_##name, size);                                                                  \
    }

ORDER(comiss, 4)
ORDER(comisd, 8)
ORDER(ucomiss, 4)
ORDER(ucomisd, 8)

/*
 * RCPPS and RSQRTPS are approximations that each processor makes from tables of its own, with an error
 * below 1.5 * 2^-12. Ours is the true value rounded to 12 bits, in integers, so that all hosts agree;
 * powers of two come out just below, as on a Zen 4. No exceptions; denormals are zeros.
 */
enum { POWER_RECIPROCAL = (1 << 13) - 2, POWER_ROOT = (1 << 13) - 1 };

static u32 special(u32 x)
{
    return (x & 0x7fffffff) > 0x7f800000 ? x | 0x400000      /* NaN: quiet */
           : (x & 0x7f800000) == 0       ? (x & 0x80000000) | 0x7f800000
                                         : (x & 0x80000000); /* infinity */
}

/*
 * r / 2^13, which is at least 1/2 and below 1, times 2^exponent; results below the normal range become
 * zero.
 */
static u32 approximation(u32 sign, u32 r, i32 exponent)
{
    i32 biased = exponent + 126;

    return biased <= 0 ? sign : sign | (u32)biased << 23 | ((r << 11) & 0x7fffff);
}

static u32 reciprocal(u32 x)
{
    u32 exponent = x >> 23 & 0xff, m = (x & 0x7fffff) | 0x800000;

    if (exponent == 0 || exponent == 255)
        return special(x);
    u32 r = (u32)((((u64)1 << 37) / m + 1) >> 1);

    return approximation(x & 0x80000000, r > POWER_RECIPROCAL ? POWER_RECIPROCAL : r, 127 - (i32)exponent);
}

static u32 reciprocal_root(u32 x)
{
    u32 exponent = x >> 23 & 0xff, m = (x & 0x7fffff) | 0x800000, root = 0;
    i32 e = (i32)exponent - 127;

    if (exponent == 0 || (x & 0x7fffffff) > 0x7f800000)
        return special(x);
    if (x >> 31)
        return 0xffc00000;
    if (exponent == 255)
        return 0;
    if (e & 1) {
        m <<= 1;
        e--;
    }
    u64 square = ((u64)1 << 51) / m; /* its root, above 2^13 and at most 2^14, has one bit to round by */

    for (u32 bit = 1 << 14; bit; bit >>= 1)
        if ((u64)(root | bit) * (root | bit) <= square)
            root |= bit;
    root = (root + 1) >> 1;
    return approximation(0, root > POWER_ROOT ? POWER_ROOT : root, -e / 2);
}

static void approximate(CPU, IN, u32 (*f)(u32 x), unsigned size)
{
    union vector v, r;

    if (size == 16)
        size = vector_size(in);
    vector_source(cpu, in, &v, size);
    vector_get(cpu, left_register(in), &r);
    for (unsigned i = 0; i < size / 4; i++)
        r.d[i] = f(v.d[i]);
    vector_put(cpu, in, &r, size < 16 ? 16 : size);
}

void op_rcpps(CPU, IN)
{
    approximate(cpu, in, reciprocal, 16);
}

void op_rcpss(CPU, IN)
{
    approximate(cpu, in, reciprocal, 4);
}

void op_rsqrtps(CPU, IN)
{
    approximate(cpu, in, reciprocal_root, 16);
}

void op_rsqrtss(CPU, IN)
{
    approximate(cpu, in, reciprocal_root, 4);
}
