/* SPDX-License-Identifier: MIT */
/* Conversions between integers, singles and doubles. */
#include "cpu/fp_unit.h"

typedef v128 convert_fn(v128 a, v128 b);

/*
 * Makes `made` bytes of the destination of `from` bytes of the source and clears up to `written`; with 256
 * bits, twice as many.
 */
static void convert(CPU, IN, convert_fn *f, unsigned from, unsigned made, unsigned written, enum fp_kind kind)
{
    unsigned lanes = in->width == W256 ? 2 : 1;
    union vector b, r = { 0 };

    vector_source(cpu, in, &b, from * lanes);
    if (is_mmx(in->dst) || (in->shape == S_RR && is_mmx(in->src)))
        mmx_enter(cpu); /* before #XM, as seen on a Zen 4 */
    fp_begin(cpu);
    for (unsigned i = 0; i < lanes; i++) {
        v128 v = { 0, 0 };

        memcpy(&v, b.b + i * from, from);
        v = f((v128){ 0, 0 }, v);
        memcpy(r.b + i * made, &v, made);
    }
    fp_settle(cpu, from == 16 && kind == FP_F32 ? FP_NARROW : FP_NONE, kind, b.b, b.b, from * lanes);
    fp_check(cpu, r.b, kind, made * lanes);
    vector_put(cpu, in, &r, made * lanes > written ? made * lanes : written);
}

#define CONVERT(name, verb, from, made, written, kind)                                                      \
    void op_##name(CPU, IN)                                                                                 \
    {                                                                                                       \
        convert(cpu, in, fpu_##verb, from, made, written, kind);                                           \
    }

CONVERT(cvtps2pd, cvtps2pd, 8, 16, 16, FP_OTHER)
CONVERT(cvtpd2ps, cvtpd2ps, 16, 8, 16, FP_F32)
CONVERT(cvtdq2ps, cvtdq2ps, 16, 16, 16, FP_OTHER)
CONVERT(cvtps2dq, cvtps2dq, 16, 16, 16, FP_OTHER)
CONVERT(cvttps2dq, cvttps2dq, 16, 16, 16, FP_OTHER)
CONVERT(cvtdq2pd, cvtdq2pd, 8, 16, 16, FP_OTHER)
CONVERT(cvtpd2dq, cvtpd2dq, 16, 8, 16, FP_OTHER)
CONVERT(cvttpd2dq, cvttpd2dq, 16, 8, 16, FP_OTHER)

/* Of one number; the rest is the left source's. */
#define CONVERT_SCALAR(name, size, kind)                                                                    \
    void op_##name(CPU, IN)                                                                                 \
    {                                                                                                       \
        union vector b, r;                                                                                  \
                                                                                                            \
        vector_source(cpu, in, &b, size);                                                                   \
        fp_begin(cpu);                                                                                      \
        LANE(&r, 0) = fpu_##name(LANE(xmm(cpu, left_register(in)), 0), LANE(&b, 0));                       \
        fp_settle(cpu, (size) == 8 ? FP_NARROW : FP_NONE, kind, b.b, b.b, size);                            \
        fp_check(cpu, r.b, kind, 12 - (size));                                                              \
        vector_put(cpu, in, &r, 16);                                                                        \
    }

CONVERT_SCALAR(cvtss2sd, 4, FP_OTHER)
CONVERT_SCALAR(cvtsd2ss, 8, FP_F32)

/*
 * MMX registers hold two integers: the low half of the same, the rest of the source being zeros, which
 * raise nothing.
 */
CONVERT(cvtpi2ps, cvtdq2ps, 8, 8, 8, FP_OTHER)
CONVERT(cvtpi2pd, cvtdq2pd, 8, 16, 16, FP_OTHER)
CONVERT(cvtps2pi, cvtps2dq, 8, 8, 8, FP_OTHER)
CONVERT(cvttps2pi, cvttps2dq, 8, 8, 8, FP_OTHER)
CONVERT(cvtpd2pi, cvtpd2dq, 16, 8, 8, FP_OTHER)
CONVERT(cvttpd2pi, cvttpd2dq, 16, 8, 8, FP_OTHER)

/* From a general register or memory; imm is its width (WIDTH_SRC). */
#define FROM_INTEGER(name, size)                                                                            \
    void op_##name(CPU, IN)                                                                                 \
    {                                                                                                       \
        union vector b, r;                                                                                  \
        v128 a = LANE(xmm(cpu, left_register(in)), 0);                                                      \
        bool wide = in->imm32 == W64;                                                                       \
                                                                                                            \
        vector_source(cpu, in, &b, wide ? 8 : 4);                                                           \
        fp_begin(cpu);                                                                                      \
        LANE(&r, 0) = wide ? fpu_##name##64(a, b.q[0]) : fpu_##name##32(a, b.d[0]);                       \
        fp_check(cpu, r.b, FP_OTHER, size);                                                                 \
        vector_put(cpu, in, &r, 16);                                                                        \
    }

FROM_INTEGER(cvtsi2ss, 4)
FROM_INTEGER(cvtsi2sd, 8)

#define TO_INTEGER(name, size)                                                                              \
    void op_##name(CPU, IN)                                                                                 \
    {                                                                                                       \
        union vector b;                                                                                     \
        u64 r;                                                                                              \
                                                                                                            \
        vector_source(cpu, in, &b, size);                                                                   \
        fp_begin(cpu);                                                                                      \
        r = in->width == W64 ? fpu_##name##64(*(v128 *)b.q) : fpu_##name##32(*(v128 *)b.q);               \
        fp_check(cpu, NULL, FP_OTHER, 0);                                                                   \
        REG64(in->dst) = r;                                                                                 \
    }

TO_INTEGER(cvtss2si, 4)
TO_INTEGER(cvttss2si, 4)
TO_INTEGER(cvtsd2si, 8)
TO_INTEGER(cvttsd2si, 8)
