/* SPDX-License-Identifier: MIT */
/* FMA: fused products and sums; F16C: conversions between singles and halves. */
#include "cpu/fp_exact.h"
#include "cpu/fp_unit.h"

/* Which are multiplied and which is added: the digits in the names count the operands. */
enum order { ORDER_132, ORDER_213, ORDER_231 };

/* Elements whose third is subtracted. */
enum { SUBTRACTS_EVEN = 1, SUBTRACTS_ODD = 2 };

struct fusion {
    enum order order;
    bool negates;         /* the product */
    unsigned subtracts;
    const struct fp_format *format;
    bool scalar;
    fused_fn *host;
};

/* Is a NaN among the elements? By its bits: no flags. */
static bool has_nan(const struct fusion *k, const union vector *v, unsigned size)
{
    u64 all = 0;

    for (unsigned i = 0; k->format == &fp_single && i < size / 4; i++)
        all |= (u64)((v->d[i] & 0x7fffffff) > 0x7f800000);
    for (unsigned i = 0; k->format == &fp_double && i < size / 8; i++)
        all |= (u64)((v->q[i] & ~((u64)1 << 63)) > (u64)0x7ff << 52);
    return all;
}

/* Element by element, in integers. x becomes the result. */
static void fuse_exactly(CPU, const struct fusion *k, union vector *x, const union vector *y,
                         const union vector *z, unsigned size)
{
    unsigned bytes = k->format->width / 8;
    struct fp_rounding how = fp_rounding_of(cpu->mxcsr);
    u32 flags = 0;

    for (unsigned i = 0; i < size / bytes; i++) {
        u64 e[3] = { load_bytes(x->b + i * bytes, bytes), load_bytes(y->b + i * bytes, bytes),
                     load_bytes(z->b + i * bytes, bytes) };
        struct fp_fused v = { .negates_product = k->negates, .negates_c = k->subtracts >> (i & 1) & 1 };

        v.a = e[k->order == ORDER_132 ? 0 : 1];
        v.b = e[k->order == ORDER_213 ? 0 : 2];
        v.c = e[k->order == ORDER_132 ? 1 : k->order == ORDER_213 ? 2 : 0];
        store_bytes(x->b + i * bytes, fp_fused(k->format, &v, &how, &flags), bytes);
    }
    fp_flags(cpu, flags);
}

/* The host does what all hosts that can do alike: which NaN counts is the vendor's choice. */
static void fused(CPU, IN, const struct fusion *k)
{
    unsigned size = k->scalar ? k->format->width / 8 : vector_size(in);
    union vector x, y, z;

    vector_source(cpu, in, &z, size);
    vector_get(cpu, in->src, &y);
    vector_get(cpu, in->dst, &x);
    if (!fpu_has_fma() || (cpu->mode & MODE_SSE_SLOW) || has_nan(k, &x, size) || has_nan(k, &y, size) ||
        has_nan(k, &z, size)) {
        fuse_exactly(cpu, k, &x, &y, &z, size);
    } else {
        const union vector *a = k->order == ORDER_132 ? &x : &y, *b = k->order == ORDER_213 ? &x : &z;
        const union vector *c = k->order == ORDER_132 ? &y : k->order == ORDER_213 ? &z : &x;

        for (unsigned i = 0; i <= size / 32; i++) {
            v128 r = k->host(LANE(a, i), LANE(b, i), LANE(c, i));

            memcpy(x.b + 16 * i, &r, size < 16 ? size : 16);
        }
    }
    vector_put(cpu, in, &x, size < 16 ? 16 : size);
}

#define FUSED(name, digits, negates, subtracts, suffix, format, scalar)                                     \
    void op_##name##digits##suffix(CPU, IN)                                                                 \
    {                                                                                                       \
        static const struct fusion kind = { ORDER_##digits, negates, subtracts, &format, scalar,            \
                                            fpu_##name##231##suffix };                                     \
                                                                                                            \
        fused(cpu, in, &kind);                                                                              \
    }
#define FUSED_PACKED(name, digits, negates, subtracts)                                                      \
    FUSED(name, digits, negates, subtracts, ps, fp_single, false)                                           \
    FUSED(name, digits, negates, subtracts, pd, fp_double, false)
#define FUSED_ALL(name, digits, negates, subtracts)                                                         \
    FUSED_PACKED(name, digits, negates, subtracts)                                                          \
    FUSED(name, digits, negates, subtracts, ss, fp_single, true)                                            \
    FUSED(name, digits, negates, subtracts, sd, fp_double, true)
#define FUSED_ORDERS(name, FORMS, negates, subtracts)                                                       \
    FORMS(name, 132, negates, subtracts)                                                                    \
    FORMS(name, 213, negates, subtracts)                                                                    \
    FORMS(name, 231, negates, subtracts)

FUSED_ORDERS(fmadd, FUSED_ALL, false, 0)
FUSED_ORDERS(fmsub, FUSED_ALL, false, SUBTRACTS_EVEN | SUBTRACTS_ODD)
FUSED_ORDERS(fnmadd, FUSED_ALL, true, 0)
FUSED_ORDERS(fnmsub, FUSED_ALL, true, SUBTRACTS_EVEN | SUBTRACTS_ODD)
FUSED_ORDERS(fmaddsub, FUSED_PACKED, false, SUBTRACTS_EVEN)
FUSED_ORDERS(fmsubadd, FUSED_PACKED, false, SUBTRACTS_ODD)

/* ---- F16C ---- */

void op_cvtph2ps(CPU, IN)
{
    unsigned size = vector_size(in);
    union vector v, r;
    u32 flags = 0;

    vector_source(cpu, in, &v, size / 2);
    for (unsigned i = 0; i < size / 4; i++)
        r.d[i] = (u32)fp_widen(&fp_half, &fp_single, v.w[i], &flags);
    fp_flags(cpu, flags);
    vector_put(cpu, in, &r, size);
}

/* imm: mode, or bit 2: MXCSR's. FTZ doesn't count. */
void op_cvtps2ph(CPU, IN)
{
    unsigned size = in->width == W256 ? 16 : 8;
    struct fp_rounding how = fp_rounding_of(cpu->mxcsr);
    union vector v, r = { 0 };
    bool in_memory = shape_operand(in, 0) == 'M';
    struct place p;
    u32 flags = 0;

    if (!(in->imm & 4))
        how.mode = in->imm & 3;
    how.zero_results = false;
    vector_get(cpu, in->src, &v);
    if (in_memory)
        place_operand(cpu, in, &p, size, ACCESS_WRITE);
    for (unsigned i = 0; i < size / 2; i++)
        r.w[i] = (u16)fp_narrow(&fp_single, &fp_half, v.d[i], &how, &flags);
    fp_flags(cpu, flags);
    if (in_memory) {
        copy_bytes(p.bytes, r.b, size);
        place_commit(cpu, &p);
    } else {
        vector_put(cpu, in, &r, 16);
    }
}
