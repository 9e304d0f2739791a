/* SPDX-License-Identifier: MIT */
/* Sums of neighbours, sums and differences by turns, dot products: by the host's plain instructions. */
#include "cpu/fp_unit.h"
#include "cpu/vector_verbs.h"

/* a and b as they are added or subtracted: `left` and `right` choose them from both operands. */
struct pairs {
    binary_fn *compute, *left, *right;
    enum fp_kind kind;
    enum fp_operation operation;
};

static void arithmetic(CPU, IN, const struct pairs *p)
{
    const union vector *from = xmm(cpu, left_register(in));
    unsigned size = vector_size(in);
    union vector a, b, r;

    vector_source(cpu, in, &b, size);
    fp_begin(cpu);
    for (unsigned i = 0; i <= size / 32; i++) {
        v128 x = LANE(from, i), y = LANE(&b, i);

        LANE(&r, i) = p->compute(x, y);
        LANE(&a, i) = p->left(x, y);
        LANE(&b, i) = p->right(x, y);
    }
    fp_settle(cpu, p->operation, p->kind, &a, &b, size);
    fp_check(cpu, r.b, p->kind, size);
    vector_put(cpu, in, &r, size);
}

static v128 first(v128 a, v128 b)
{
    (void)b;
    return a;
}

/* Elements that don't take part are zeros, which raise nothing. A difference adds the negative. */
#define BY_TURNS(name, suffix, kind, odd, even_signs)                                                       \
    static v128 by_turns_##suffix(v128 a, v128 b)                                                           \
    {                                                                                                       \
        const v128 mask = odd;                                                                              \
        v128 sum = fpu_add##suffix(a & mask, b & mask);                                                    \
        v128 difference = fpu_sub##suffix(a & ~mask, b & ~mask);                                           \
                                                                                                            \
        return blend(difference, sum, mask);                                                                \
    }                                                                                                       \
    static v128 negative_##suffix(v128 a, v128 b)                                                           \
    {                                                                                                       \
        (void)a;                                                                                            \
        return b ^ even_signs;                                                                              \
    }                                                                                                       \
    void op_##name(CPU, IN)                                                                                 \
    {                                                                                                       \
        static const struct pairs p = { by_turns_##suffix, first, negative_##suffix, kind, FP_ADD };        \
                                                                                                            \
        arithmetic(cpu, in, &p);                                                                            \
    }

BY_TURNS(addsubps, ps, FP_F32, ((v128){ 0xffffffff00000000, 0xffffffff00000000 }),
         ((v128){ 0x80000000, 0x80000000 }))
BY_TURNS(addsubpd, pd, FP_F64, ((v128){ 0, ~(u64)0 }), ((v128){ (u64)1 << 63, 0 }))

#define NEIGHBOURS(name, verb, even, odd, kind, operation)                                                  \
    static v128 neighbours_##name(v128 a, v128 b)                                                           \
    {                                                                                                       \
        return fpu_##verb(even(a, b), odd(a, b));                                                          \
    }                                                                                                       \
    void op_##name(CPU, IN)                                                                                 \
    {                                                                                                       \
        static const struct pairs p = { neighbours_##name, even, odd, kind, operation };                    \
                                                                                                            \
        arithmetic(cpu, in, &p);                                                                            \
    }

NEIGHBOURS(haddps, addps, verb_even_dwords, verb_odd_dwords, FP_F32, FP_ADD)
NEIGHBOURS(hsubps, subps, verb_even_dwords, verb_odd_dwords, FP_F32, FP_SUBTRACT)
NEIGHBOURS(haddpd, addpd, verb_punpcklqdq, verb_punpckhqdq, FP_F64, FP_ADD)
NEIGHBOURS(hsubpd, subpd, verb_punpcklqdq, verb_punpckhqdq, FP_F64, FP_SUBTRACT)

/*
 * Dot products: imm's high four bits say which products count, its low four where the sum goes. Each step may
 * raise before the next is made (SDM 2, DPPS).
 */
struct dot {
    binary_fn *multiply, *add;
    enum fp_kind kind;
    unsigned shift; /* of an element's size */
};

/* r = r * b or r + b */
static void dot_step(CPU, const struct dot *d, enum fp_operation operation, union vector *r,
                     const union vector *b, unsigned size)
{
    binary_fn *f = operation == FP_MULTIPLY ? d->multiply : d->add;
    union vector a = *r;

    fp_begin(cpu);
    for (unsigned i = 0; i <= size / 32; i++)
        LANE(r, i) = f(LANE(&a, i), LANE(b, i));
    fp_settle(cpu, operation, d->kind, &a, b, size);
    fp_check(cpu, r->b, d->kind, size);
}

static void dot_product(CPU, IN, const struct dot *d)
{
    unsigned size = vector_size(in), imm = (u8)in->imm;
    v128 counts = mask_of_bits(imm >> 4, d->shift), goes = mask_of_bits(imm, d->shift);
    union vector r, b;

    vector_source(cpu, in, &b, size);
    vector_get(cpu, left_register(in), &r);
    for (unsigned i = 0; i <= size / 32; i++) {
        LANE(&r, i) &= counts;
        LANE(&b, i) &= counts;
    }
    dot_step(cpu, d, FP_MULTIPLY, &r, &b, size);
    for (unsigned distance = 1; distance < 16u >> d->shift; distance <<= 1) {
        unsigned bit = distance << d->shift; /* of a byte's number: which of the pair it is in */
        union vector products = r;

        for (unsigned i = 0; i < size; i++) {
            r.b[i] = products.b[i & ~bit];
            b.b[i] = products.b[i | bit];
        }
        dot_step(cpu, d, FP_ADD, &r, &b, size);
    }
    for (unsigned i = 0; i <= size / 32; i++)
        LANE(&r, i) &= goes;
    vector_put(cpu, in, &r, size);
}

void op_dpps(CPU, IN)
{
    static const struct dot singles = { fpu_mulps, fpu_addps, FP_F32, 2 };

    dot_product(cpu, in, &singles);
}

void op_dppd(CPU, IN)
{
    static const struct dot doubles = { fpu_mulpd, fpu_addpd, FP_F64, 3 };

    dot_product(cpu, in, &doubles);
}
