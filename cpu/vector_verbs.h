/* SPDX-License-Identifier: MIT */
/*
 * What the integer vector instructions compute on one 128-bit lane: verb_<mnemonic>(a, b), a being the
 * destination's old value. MMX forms use the low half, wider ones call once a lane. Plain C on the
 * compiler's vectors, no floats.
 */
#ifndef CPU_VECTOR_VERBS_H
#define CPU_VECTOR_VERBS_H

#include "cpu/vector.h"

typedef u8 v16u8 __attribute__((vector_size(16)));
typedef i8 v16i8 __attribute__((vector_size(16)));
typedef u16 v8u16 __attribute__((vector_size(16)));
typedef i16 v8i16 __attribute__((vector_size(16)));
typedef u32 v4u32 __attribute__((vector_size(16)));
typedef i32 v4i32 __attribute__((vector_size(16)));
typedef u64 v2u64 __attribute__((vector_size(16)));
typedef i64 v2i64 __attribute__((vector_size(16)));

/* Where the compiler's operator is the instruction: `expr` of x and y, vectors of `type`. */
#define VECTOR_VERB(name, type, expr)                                                                       \
    INLINE v128 verb_##name(v128 a, v128 b)                                                                 \
    {                                                                                                       \
        type x = (type)a, y = (type)b;                                                                      \
                                                                                                            \
        return (v128)(expr);                                                                                \
    }

/* Lane by lane: `expr` of x and y, of type `type`, promoted as C does. */
#define LANE_VERB(name, type, expr)                                                                         \
    INLINE v128 verb_##name(v128 a, v128 b)                                                                 \
    {                                                                                                       \
        union {                                                                                             \
            v128 v;                                                                                         \
            type t[16 / sizeof(type)];                                                                      \
        } l = { a }, r = { b };                                                                             \
                                                                                                            \
        for (unsigned i = 0; i < 16 / sizeof(type); i++) {                                                  \
            const type x = l.t[i], y = r.t[i];                                                              \
                                                                                                            \
            l.t[i] = (type)(expr);                                                                          \
        }                                                                                                   \
        return l.v;                                                                                         \
    }

INLINE i32 saturate(i32 v, i32 low, i32 high)
{
    return v < low ? low : v > high ? high : v;
}

INLINE i32 saturate_i8(i32 v)
{
    return saturate(v, -128, 127);
}

INLINE i32 saturate_u8(i32 v)
{
    return saturate(v, 0, 255);
}

INLINE i32 saturate_i16(i32 v)
{
    return saturate(v, -32768, 32767);
}

INLINE i32 saturate_u16(i32 v)
{
    return saturate(v, 0, 65535);
}

/* ---- logic ---- */

VECTOR_VERB(pand, v2u64, x & y)
VECTOR_VERB(pandn, v2u64, ~x & y)
VECTOR_VERB(por, v2u64, x | y)
VECTOR_VERB(pxor, v2u64, x ^ y)

/* ---- sums ---- */

VECTOR_VERB(paddb, v16u8, x + y)
VECTOR_VERB(paddw, v8u16, x + y)
VECTOR_VERB(paddd, v4u32, x + y)
VECTOR_VERB(paddq, v2u64, x + y)
VECTOR_VERB(psubb, v16u8, x - y)
VECTOR_VERB(psubw, v8u16, x - y)
VECTOR_VERB(psubd, v4u32, x - y)
VECTOR_VERB(psubq, v2u64, x - y)
LANE_VERB(paddsb, i8, saturate_i8(x + y))
LANE_VERB(paddsw, i16, saturate_i16(x + y))
LANE_VERB(paddusb, u8, saturate_u8(x + y))
LANE_VERB(paddusw, u16, saturate_u16(x + y))
LANE_VERB(psubsb, i8, saturate_i8(x - y))
LANE_VERB(psubsw, i16, saturate_i16(x - y))
LANE_VERB(psubusb, u8, saturate_u8(x - y))
LANE_VERB(psubusw, u16, saturate_u16(x - y))
LANE_VERB(pavgb, u8, (x + y + 1) >> 1)
LANE_VERB(pavgw, u16, (x + y + 1) >> 1)

INLINE v128 verb_psadbw(v128 a, v128 b)
{
    v16u8 x = (v16u8)a, y = (v16u8)b;
    u64 sum[2] = { 0, 0 };

    for (unsigned i = 0; i < 16; i++)
        sum[i / 8] += x[i] > y[i] ? x[i] - y[i] : y[i] - x[i];
    return (v128){ sum[0], sum[1] };
}

/* ---- comparisons ---- */

VECTOR_VERB(pcmpeqb, v16u8, x == y)
VECTOR_VERB(pcmpeqw, v8u16, x == y)
VECTOR_VERB(pcmpeqd, v4u32, x == y)
VECTOR_VERB(pcmpgtb, v16i8, x > y)
VECTOR_VERB(pcmpgtw, v8i16, x > y)
VECTOR_VERB(pcmpgtd, v4i32, x > y)
#define SELECT(type, test) (((type)(test) & x) | (~(type)(test) & y))

VECTOR_VERB(pminub, v16u8, SELECT(v16u8, x < y))
VECTOR_VERB(pmaxub, v16u8, SELECT(v16u8, x > y))
VECTOR_VERB(pminsw, v8i16, SELECT(v8i16, x < y))
VECTOR_VERB(pmaxsw, v8i16, SELECT(v8i16, x > y))

/* ---- products ---- */

VECTOR_VERB(pmullw, v8u16, x * y)
LANE_VERB(pmulhw, i16, x * y >> 16)
LANE_VERB(pmulhuw, u16, (u32)x * y >> 16)
LANE_VERB(pmuludq, u64, (x & 0xffffffff) * (y & 0xffffffff))

INLINE v128 verb_pmaddwd(v128 a, v128 b)
{
    v8i16 x = (v8i16)a, y = (v8i16)b;
    v4u32 r;

    for (unsigned i = 0; i < 4; i++) /* -32768 four times over wraps */
        r[i] = (u32)(x[2 * i] * y[2 * i]) + (u32)(x[2 * i + 1] * y[2 * i + 1]);
    return (v128)r;
}

/* ---- interleaving and packing ---- */

#define SHUFFLE_VERB(name, type, ...)                                                                       \
    INLINE v128 verb_##name(v128 a, v128 b)                                                                 \
    {                                                                                                       \
        return (v128)__builtin_shufflevector((type)a, (type)b, __VA_ARGS__);                                \
    }

SHUFFLE_VERB(punpcklbw, v16u8, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
SHUFFLE_VERB(punpckhbw, v16u8, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
SHUFFLE_VERB(punpcklwd, v8u16, 0, 8, 1, 9, 2, 10, 3, 11)
SHUFFLE_VERB(punpckhwd, v8u16, 4, 12, 5, 13, 6, 14, 7, 15)
SHUFFLE_VERB(punpckldq, v4u32, 0, 4, 1, 5)
SHUFFLE_VERB(punpckhdq, v4u32, 2, 6, 3, 7)
SHUFFLE_VERB(punpcklqdq, v2u64, 0, 2)
SHUFFLE_VERB(punpckhqdq, v2u64, 1, 3)

#define PACK_VERB(name, wide, type, n, narrow)                                                              \
    INLINE v128 verb_##name(v128 a, v128 b)                                                                 \
    {                                                                                                       \
        wide x = (wide)a, y = (wide)b;                                                                      \
        union {                                                                                             \
            type t[2 * (n)];                                                                                \
            v128 v;                                                                                         \
        } r;                                                                                                \
                                                                                                            \
        for (unsigned i = 0; i < (n); i++) {                                                                \
            r.t[i] = (type)narrow(x[i]);                                                                    \
            r.t[i + (n)] = (type)narrow(y[i]);                                                              \
        }                                                                                                   \
        return r.v;                                                                                         \
    }

PACK_VERB(packsswb, v8i16, i8, 8, saturate_i8)
PACK_VERB(packuswb, v8i16, u8, 8, saturate_u8)
PACK_VERB(packssdw, v4i32, i16, 4, saturate_i16)

PACK_VERB(packusdw, v4i32, u16, 4, saturate_u16)

/* ---- SSSE3 ---- */

/* The most negative one stays, by unsigned arithmetic. */
#define ABSOLUTE(width, unsigned_lanes)                                                                     \
    ((void)x, (unsigned_lanes)(y ^ y >> (width - 1)) - (unsigned_lanes)(y >> (width - 1)))

VECTOR_VERB(pabsb, v16i8, ABSOLUTE(8, v16u8))
VECTOR_VERB(pabsw, v8i16, ABSOLUTE(16, v8u16))
VECTOR_VERB(pabsd, v4i32, ABSOLUTE(32, v4u32))
SHUFFLE_VERB(even_words, v8u16, 0, 2, 4, 6, 8, 10, 12, 14)
SHUFFLE_VERB(odd_words, v8u16, 1, 3, 5, 7, 9, 11, 13, 15)
SHUFFLE_VERB(even_dwords, v4u32, 0, 2, 4, 6)
SHUFFLE_VERB(odd_dwords, v4u32, 1, 3, 5, 7)

/* Neighbours, of a and then of b. */
#define HORIZONTAL_VERB(name, verb, kind)                                                                   \
    INLINE v128 verb_##name(v128 a, v128 b)                                                                 \
    {                                                                                                       \
        return verb_##verb(verb_even_##kind(a, b), verb_odd_##kind(a, b));                                  \
    }

HORIZONTAL_VERB(phaddw, paddw, words)
HORIZONTAL_VERB(phaddd, paddd, dwords)
HORIZONTAL_VERB(phaddsw, paddsw, words)
HORIZONTAL_VERB(phsubw, psubw, words)
HORIZONTAL_VERB(phsubd, psubd, dwords)
HORIZONTAL_VERB(phsubsw, psubsw, words)
LANE_VERB(psignb, i8, y < 0 ? -x : y ? x : 0)
LANE_VERB(psignw, i16, y < 0 ? -x : y ? x : 0)
LANE_VERB(psignd, u32, y >> 31 ? -x : y ? x : 0)
LANE_VERB(pmulhrsw, i16, ((x * y >> 14) + 1) >> 1)

INLINE v128 verb_pmaddubsw(v128 a, v128 b)
{
    v16u8 x = (v16u8)a;
    v16i8 y = (v16i8)b;
    v8i16 r;

    for (unsigned i = 0; i < 8; i++)
        r[i] = (i16)saturate_i16(x[2 * i] * y[2 * i] + x[2 * i + 1] * y[2 * i + 1]);
    return (v128)r;
}

INLINE v128 pick_bytes(v128 a, v128 b, u8 mask)
{
    union {
        v128 v;
        u8 b[16];
    } from = { a }, which = { b }, r;

    for (unsigned i = 0; i < 16; i++)
        r.b[i] = which.b[i] & 0x80 ? 0 : from.b[which.b[i] & mask];
    return r.v;
}

INLINE v128 verb_pshufb(v128 a, v128 b)
{
    return pick_bytes(a, b, 15);
}

INLINE v128 verb_pshufb_mmx(v128 a, v128 b)
{
    return pick_bytes(a, b, 7);
}

/* ---- SSE4.1 and SSE4.2 ---- */

VECTOR_VERB(pcmpeqq, v2u64, x == y)
VECTOR_VERB(pcmpgtq, v2i64, x > y)
VECTOR_VERB(pminsb, v16i8, SELECT(v16i8, x < y))
VECTOR_VERB(pminsd, v4i32, SELECT(v4i32, x < y))
VECTOR_VERB(pminud, v4u32, SELECT(v4u32, x < y))
VECTOR_VERB(pminuw, v8u16, SELECT(v8u16, x < y))
VECTOR_VERB(pmaxsb, v16i8, SELECT(v16i8, x > y))
VECTOR_VERB(pmaxsd, v4i32, SELECT(v4i32, x > y))
VECTOR_VERB(pmaxud, v4u32, SELECT(v4u32, x > y))
VECTOR_VERB(pmaxuw, v8u16, SELECT(v8u16, x > y))
VECTOR_VERB(pmulld, v4u32, x * y)
LANE_VERB(pmuldq, i64, (i64)(i32)x * (i32)y)

/* The least word and where it first stands. */
INLINE v128 verb_phminposuw(v128 a, v128 b)
{
    v8u16 y = (v8u16)b;
    u64 least = 0;

    (void)a;
    for (u64 i = 1; i < 8; i++)
        if (y[i] < y[least])
            least = i;
    return (v128){ y[least] | least << 16, 0 };
}

/* ---- shuffles by an immediate ---- */

INLINE v128 shuffle_d(v128 a, v128 b, unsigned imm) /* SHUFPS: two of a, two of b */
{
    v4u32 x = (v4u32)a, y = (v4u32)b;

    return (v128)(v4u32){ x[imm & 3], x[imm >> 2 & 3], y[imm >> 4 & 3], y[imm >> 6 & 3] };
}

INLINE u64 shuffle_w(u64 v, unsigned imm) /* PSHUFW */
{
    u64 r = 0;

    for (unsigned i = 0; i < 4; i++)
        r |= (v >> (imm >> 2 * i & 3) * 16 & 0xffff) << 16 * i;
    return r;
}

/* ---- blends ---- */

/* Bytes of b where the mask has ones, of a elsewhere. */
INLINE v128 blend(v128 a, v128 b, v128 mask)
{
    return (a & ~mask) | (b & mask);
}

/* Bits of imm, each over an element of 1 << shift bytes. */
INLINE v128 mask_of_bits(unsigned imm, unsigned shift)
{
    union {
        v128 v;
        u8 b[16];
    } r;

    for (unsigned i = 0; i < 16; i++)
        r.b[i] = (u8) - (imm >> (i >> shift) & 1);
    return r.v;
}

/* ---- shifts: a count past the width leaves zeros or signs ---- */

#define SHIFT_VERB(name, type, lane, width, operator, keeps_sign)                                           \
    INLINE v128 verb_##name(v128 a, u64 count)                                                              \
    {                                                                                                       \
        type x = (type)a;                                                                                   \
        lane n = (lane)(count < (width) ? count : (width) - 1);                                             \
                                                                                                            \
        if (count >= (width) && !(keeps_sign))                                                              \
            return (v128){ 0, 0 };                                                                          \
        return (v128)(x operator n);                                                                        \
    }

SHIFT_VERB(psllw, v8u16, u16, 16, <<, false)
SHIFT_VERB(pslld, v4u32, u32, 32, <<, false)
SHIFT_VERB(psllq, v2u64, u64, 64, <<, false)
SHIFT_VERB(psrlw, v8u16, u16, 16, >>, false)
SHIFT_VERB(psrld, v4u32, u32, 32, >>, false)
SHIFT_VERB(psrlq, v2u64, u64, 64, >>, false)
SHIFT_VERB(psraw, v8i16, i16, 16, >>, true)
SHIFT_VERB(psrad, v4i32, i32, 32, >>, true)

INLINE v128 verb_pslldq(v128 a, u64 count)
{
    u128 v;

    memcpy(&v, &a, 16);
    v = count < 16 ? v << 8 * count : 0;
    memcpy(&a, &v, 16);
    return a;
}

INLINE v128 verb_psrldq(v128 a, u64 count)
{
    u128 v;

    memcpy(&v, &a, 16);
    v = count < 16 ? v >> 8 * count : 0;
    memcpy(&a, &v, 16);
    return a;
}

/* ---- signs to an integer ---- */

/* Bit n: the sign of byte n of 8. The multiplication gathers them in the top byte without carries. */
INLINE u32 signs_of_bytes(u64 v)
{
    return (u32)((v >> 7 & 0x0101010101010101) * 0x0102040810204080 >> 56);
}

#endif
