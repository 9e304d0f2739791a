/* SPDX-License-Identifier: MIT */
/* What SSE3, SSE4.1 and SSE4A added: blends, widening moves, rounding to integers, tests, fields of bits. */
#include "cpu/fp.h"
#include "cpu/fp_exact.h"
#include "cpu/vector_verbs.h"

/* ---- blends: of an immediate's bits, or of another register's signs ---- */

VECTOR_SHUFFLE(pblendw, blend(a, b, mask_of_bits(imm, 1)))
VECTOR_SHUFFLE(blendps, blend(a, b, mask_of_bits(imm >> 4 * lane, 2)))
VECTOR_SHUFFLE(blendpd, blend(a, b, mask_of_bits(imm >> 2 * lane, 3)))

/* The mask is XMM0, or VEX' fourth operand. */
static void blend_by_signs(CPU, IN, unsigned piece)
{
    const union vector *m = xmm(cpu, in->vex ? in->imm32 : REG_XMM);
    unsigned size = vector_size(in);
    union vector a, b;

    vector_source(cpu, in, &b, size);
    vector_get(cpu, left_register(in), &a);
    for (unsigned i = 0; i < size; i++)
        if (m->b[i | (piece - 1)] >> 7)
            a.b[i] = b.b[i];
    vector_put(cpu, in, &a, size);
}

void op_pblendvb(CPU, IN)
{
    blend_by_signs(cpu, in, 1);
}

void op_blendvps(CPU, IN)
{
    blend_by_signs(cpu, in, 4);
}

void op_blendvpd(CPU, IN)
{
    blend_by_signs(cpu, in, 8);
}

/* ---- duplicates, single elements ---- */

VECTOR_SHUFFLE(movshdup, shuffle_d(b, b, 0xf5))
VECTOR_SHUFFLE(movsldup, shuffle_d(b, b, 0xa0))

/* 128 bits take 8 bytes only. */
void op_movddup(CPU, IN)
{
    unsigned size = vector_size(in);
    union vector v;

    vector_source(cpu, in, &v, size == 16 ? 8 : size);
    v.q[1] = v.q[0];
    v.q[3] = v.q[2];
    vector_put(cpu, in, &v, size);
}

/* imm: element of the source (of a register only), element of the destination, which become zero. */
void op_insertps(CPU, IN)
{
    bool in_memory = shape_operand(in, right_operand(in)) == 'M';
    unsigned imm = (u8)in->imm;
    union vector a, b;

    vector_source(cpu, in, &b, in_memory ? 4 : 16);
    vector_get(cpu, left_register(in), &a);
    a.d[imm >> 4 & 3] = b.d[in_memory ? 0 : imm >> 6];
    for (unsigned i = 0; i < 4; i++)
        if (imm >> i & 1)
            a.d[i] = 0;
    vector_put(cpu, in, &a, 16);
}

/* ---- PALIGNR: 16 or 8 bytes of both operands in a row ---- */

static v128 align_right(v128 a, v128 b, unsigned imm, unsigned lane)
{
    u8 row[48] = { 0 };
    v128 r = { 0, 0 };

    (void)lane;
    memcpy(row, &b, 16);
    memcpy(row + 16, &a, 16);
    if (imm < 32)
        memcpy(&r, row + imm, 16);
    return r;
}

static v128 align_right_mmx(v128 a, v128 b, unsigned imm, unsigned lane)
{
    return align_right((v128){ 0, 0 }, (v128){ b[0], a[0] }, imm, lane);
}

void op_palignr(CPU, IN)
{
    vector_shuffle(cpu, in, is_mmx(in->dst) ? align_right_mmx : align_right);
}

/* ---- MPSADBW: sums of four absolute differences, at eight places in a row ---- */

static v128 sums_of_differences(v128 a, v128 b, unsigned imm)
{
    union {
        v128 v;
        u8 b[16];
    } x = { a }, y = { b };
    v8u16 r;
    unsigned at = imm & 4, block = imm << 2 & 12;

    for (unsigned i = 0; i < 8; i++) {
        unsigned sum = 0;

        for (unsigned j = 0; j < 4; j++) {
            int d = x.b[at + i + j] - y.b[block + j];

            sum += (unsigned)(d < 0 ? -d : d);
        }
        r[i] = (u16)sum;
    }
    return (v128)r;
}

VECTOR_SHUFFLE(mpsadbw, sums_of_differences(a, b, imm >> 3 * lane))

/* ---- widening: elements of `from` bytes to elements of `to` ---- */

static void widen(CPU, IN, unsigned from, unsigned to, bool is_signed)
{
    unsigned size = vector_size(in);
    union vector v, r;

    vector_source_loose(cpu, in, &v, size / to * from);
    for (unsigned i = 0; i < size / to; i++) {
        u64 e = load_bytes(v.b + i * from, from);

        store_bytes(r.b + i * to, is_signed ? sign_extend(e, 8 * from) : e, to);
    }
    vector_put(cpu, in, &r, size);
}

#define WIDEN(suffix, from, to)                                                                             \
    void op_pmovsx##suffix(CPU, IN)                                                                         \
    {                                                                                                       \
        widen(cpu, in, from, to, true);                                                                     \
    }                                                                                                       \
    void op_pmovzx##suffix(CPU, IN)                                                                         \
    {                                                                                                       \
        widen(cpu, in, from, to, false);                                                                    \
    }

WIDEN(bw, 1, 2)
WIDEN(bd, 1, 4)
WIDEN(bq, 1, 8)
WIDEN(wd, 2, 4)
WIDEN(wq, 2, 8)
WIDEN(dq, 4, 8)

/* ---- PTEST: ZF: nothing in common; CF: nothing of b beyond a. Of all bits, or of signs only. ---- */

static void test(CPU, IN, v128 which)
{
    unsigned size = vector_size(in);
    union vector a, b;
    v128 common = { 0, 0 }, beyond = { 0, 0 };

    vector_source(cpu, in, &b, size);
    vector_get(cpu, in->dst, &a);
    for (unsigned i = 0; i <= size / 32; i++) {
        common |= LANE(&a, i) & LANE(&b, i) & which;
        beyond |= ~LANE(&a, i) & LANE(&b, i) & which;
    }
    flags_write(cpu, (common[0] | common[1] ? 0 : ZF) | (beyond[0] | beyond[1] ? 0 : CF));
}

void op_ptest(CPU, IN)
{
    test(cpu, in, (v128){ ~(u64)0, ~(u64)0 });
}

void op_testps(CPU, IN)
{
    test(cpu, in, (v128){ 0x8000000080000000, 0x8000000080000000 });
}

void op_testpd(CPU, IN)
{
    test(cpu, in, (v128){ (u64)1 << 63, (u64)1 << 63 });
}

/* ---- ROUNDPS and its like, in integers: SSE2 hosts have nothing of the kind ---- */

/* `n` elements. imm: mode, or bit 2: MXCSR's; bit 3: inexact is nothing to tell. */
static void round_vector(CPU, IN, const struct fp_format *f, unsigned n)
{
    unsigned bytes = f->width / 8, size = n ? n * bytes : vector_size(in);
    unsigned mode = in->imm & 4 ? cpu->mxcsr >> 13 & 3 : (unsigned)in->imm & 3;
    union vector v, r;
    u32 flags = 0;

    vector_source(cpu, in, &v, size);
    vector_get(cpu, left_register(in), &r);
    for (unsigned i = 0; i < size; i += bytes) {
        u64 e = fp_to_integer(f, load_bytes(v.b + i, bytes), mode, cpu->mxcsr & MXCSR_DAZ, &flags);

        store_bytes(r.b + i, e, bytes);
    }
    if (in->imm & 8)
        flags &= ~MXCSR_PE;
    fp_flags(cpu, flags);
    vector_put(cpu, in, &r, size < 16 ? 16 : size);
}

void op_roundps(CPU, IN)
{
    round_vector(cpu, in, &fp_single, 0);
}

void op_roundpd(CPU, IN)
{
    round_vector(cpu, in, &fp_double, 0);
}

void op_roundss(CPU, IN)
{
    round_vector(cpu, in, &fp_single, 1);
}

void op_roundsd(CPU, IN)
{
    round_vector(cpu, in, &fp_double, 1);
}

/* ---- SSE4A: fields of up to 64 bits ---- */

static u64 field_mask(unsigned length)
{
    return length & 63 ? ones(length & 63) : ~(u64)0;
}

/* Length and index are immediates, or the first bytes of the source. */
void op_extrq(CPU, IN)
{
    union vector *v = xmm(cpu, in->dst);
    u64 control = in->shape == S_RR ? xmm(cpu, in->src)->q[0] >> 8 << 16 | xmm(cpu, in->src)->b[0] : in->imm;

    v->q[0] = v->q[0] >> (control >> 16 & 63) & field_mask((unsigned)control & 63);
    v->q[1] = 0;
}

/* The same, with the control in the source's high half. */
void op_insertq(CPU, IN)
{
    union vector *v = xmm(cpu, in->dst);
    const union vector *s = xmm(cpu, in->src);
    u64 control = in->shape == S_RR ? s->q[1] >> 8 << 16 | s->b[8] : in->imm;
    unsigned index = control >> 16 & 63;
    u64 mask = field_mask((unsigned)control & 63);

    v->q[0] = (v->q[0] & ~(mask << index)) | (s->q[0] & mask) << index;
    v->q[1] = 0;
}
