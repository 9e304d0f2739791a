/* SPDX-License-Identifier: MIT */
/*
 * Results that manuals leave undefined, for partitions whose policy isn't the profile's hardware (UndefinedResults).
 * The decoder binds such instructions to run_undefined(); nobody else knows of it.
 *
 * Undefined is what Intel's manual (SDM 2) or AMD's (APM 3 to 5) calls so while the other doesn't tell what it is
 * instead. So these are defined: ZF after BT and its kin, CF and OF after BEXTR (SDM); the destination of BSF and BSR
 * of zero, bits 19:16 of LAR's, the flags after MOV to and from CRn and DRn, FDP after x87 instructions without memory
 * operand (APM); the condition codes after FNOP, which leaves the machine's context alone (SDM's own words), and after
 * FWAIT, which FSTSW puts before the FNSTSW that is to read them.
 */
#include "cpu/undefined.h"

#include <Zydis/Mnemonic.h>

#include "cpu/vector.h"
#include "cpu/x87.h"
#include "state/clock.h"

/* ---- what depends on operands ---- */

static unsigned masked_count(CPU, IN)
{
    return (unsigned)operand_read(cpu, in, shape_operand(in, 2) ? 2 : 1, 8) & (in->width == W64 ? 63 : 31);
}

/* By a count of zero flags stay as they are; OF tells of counts of 1. */
static void by_count(CPU, IN, struct undefined *u)
{
    unsigned count = masked_count(cpu, in);

    if (count == 0)
        u->flags = 0;
    else if (count == 1)
        u->flags &= (u16)~OF;
}

/* SHL, SHR: "CF is undefined where the count is greater than or equal to the size of the destination". */
static void by_shift(CPU, IN, struct undefined *u)
{
    by_count(cpu, in, u);
    if (masked_count(cpu, in) >= width_bits(in->width))
        u->flags |= CF;
}

/* SHLD, SHRD: "if the count is greater than the operand size, the result is undefined". */
static void by_double_shift(CPU, IN, struct undefined *u)
{
    by_count(cpu, in, u);
    if (masked_count(cpu, in) > width_bits(in->width))
        *u = (struct undefined){ .flags = STATUS, .result = RESULT_OPERAND };
}

static void by_width(CPU, IN, struct undefined *u)
{
    (void)cpu;
    if (in->width == W16)
        u->result = RESULT_OPERAND;
}

static bool is_number(const struct x87_register *r) /* or infinite */
{
    bool is_special = (r->sign_exponent & 0x7fff) == 0x7fff;

    return is_special ? r->mantissa == (u64)1 << 63 : r->mantissa >> 63 || !(r->sign_exponent & 0x7fff);
}

static bool is_above(const struct x87_register *r, u16 exponent, u64 mantissa) /* in magnitude */
{
    unsigned e = r->sign_exponent & 0x7fff;

    return e > exponent || (e == exponent && r->mantissa > mantissa);
}

/* F2XM1: "the source operand must be in the range -1 to +1; otherwise the result is undefined". */
static void beyond_one(CPU, IN, struct undefined *u)
{
    const struct x87_register *a = x87_st(cpu, 0);

    (void)in;
    if (!x87_empty(cpu, 0) && is_number(a) && is_above(a, 0x3fff, (u64)1 << 63))
        u->result = RESULT_ST0;
}

/* FYL2XP1: the same for 1 - sqrt(2)/2 below zero and, by AMD's manual, sqrt(2) - 1 above. */
static void beyond_root(CPU, IN, struct undefined *u)
{
    const struct x87_register *a = x87_st(cpu, 0), *b = x87_st(cpu, 1);
    u64 limit = a->sign_exponent & 0x8000 ? 0x95f619980c4336f7 : 0xd413cccfe7799211;

    (void)in;
    if (!x87_empty(cpu, 0) && !x87_empty(cpu, 1) && is_number(a) && is_number(b) && is_above(a, 0x3ffd, limit))
        u->result = RESULT_ST0;
}

/* FBLD: "attempting to load an invalid encoding (digits A to F) produces an undefined result". */
static void by_digits(CPU, IN, struct undefined *u)
{
    struct span s;
    u8 bytes[16];

    if (!x87_empty(cpu, 7)) /* the stack overflows, whatever the digits */
        return;
    span_open(cpu, in, &s, SPAN_EXTENDED, 0, ACCESS_READ);
    span_load(cpu, in, &s, bytes);
    for (unsigned i = 0; i < 9; i++)
        if (bytes[i] >> 4 > 9 || (bytes[i] & 15) > 9)
            u->result = RESULT_ST0;
}

/* EXTRQ, INSERTQ: the lower half too where the field ends past it; a length of 0 stands for 64. APM 4. */
static void by_field(CPU, IN, struct undefined *u)
{
    const u8 *control = &xmm(cpu, in->src)->b[in->op == ZYDIS_MNEMONIC_INSERTQ ? 8 : 0];
    unsigned length = in->shape == S_RR ? control[0] & 63 : in->imm & 63;
    unsigned index = in->shape == S_RR ? control[1] & 63 : in->imm >> 16 & 63;

    if (index + (length ? length : 64) > 64)
        u->result = RESULT_XMM;
}

/* ---- the table ---- */

#define ROW(name, ...) [ZYDIS_MNEMONIC_##name] = { __VA_ARGS__ }
#define FLAGS(name, f, ...) ROW(name, { .flags = (f) }, __VA_ARGS__)
#define CODES(name, c, ...) ROW(name, { .conditions = (c) }, __VA_ARGS__)
#define C023(name, ...) CODES(name, X87_C0 | X87_C2 | X87_C3, __VA_ARGS__)
#define C03(name) CODES(name, X87_C0 | X87_C3)
#define C0123(name) CODES(name, X87_CONDITION)

const struct undefined_row undefined_rows[UNDEFINED_ROWS] = {
    FLAGS(AND, AF), FLAGS(OR, AF), FLAGS(XOR, AF), FLAGS(TEST, AF),
    FLAGS(MUL, SF | ZF | AF | PF), FLAGS(IMUL, SF | ZF | AF | PF), FLAGS(DIV, STATUS), FLAGS(IDIV, STATUS),
    FLAGS(SHL, OF | AF, by_shift), FLAGS(SHR, OF | AF, by_shift), FLAGS(SAR, OF | AF, by_count),
    FLAGS(ROL, OF, by_count), FLAGS(ROR, OF, by_count), FLAGS(RCL, OF, by_count), FLAGS(RCR, OF, by_count),
    FLAGS(SHLD, OF | AF, by_double_shift), FLAGS(SHRD, OF | AF, by_double_shift),
    FLAGS(BT, OF | SF | AF | PF), FLAGS(BTS, OF | SF | AF | PF),
    FLAGS(BTR, OF | SF | AF | PF), FLAGS(BTC, OF | SF | AF | PF),
    FLAGS(BSF, STATUS & ~ZF), FLAGS(BSR, STATUS & ~ZF),
    FLAGS(LZCNT, OF | SF | AF | PF), FLAGS(TZCNT, OF | SF | AF | PF),
    FLAGS(ANDN, AF | PF), FLAGS(BLSI, AF | PF), FLAGS(BLSMSK, AF | PF), FLAGS(BLSR, AF | PF), FLAGS(BZHI, AF | PF),
    FLAGS(BEXTR, SF | AF | PF),
    FLAGS(AAA, OF | SF | ZF | PF), FLAGS(AAS, OF | SF | ZF | PF), FLAGS(AAM, OF | AF | CF), FLAGS(AAD, OF | AF | CF),
    FLAGS(DAA, OF), FLAGS(DAS, OF),
    ROW(BSWAP, { 0 }, by_width),

    C023(FLD), C023(FLD1), C023(FLDZ), C023(FLDPI), C023(FLDL2E), C023(FLDL2T), C023(FLDLG2), C023(FLDLN2),
    C023(FST), C023(FSTP), C023(FSTPNCE), C023(FILD), C023(FIST), C023(FISTP), C023(FISTTP),
    C023(FBLD, by_digits), C023(FBSTP), C023(FXCH),
    C023(FCMOVB), C023(FCMOVE), C023(FCMOVBE), C023(FCMOVU),
    C023(FCMOVNB), C023(FCMOVNE), C023(FCMOVNBE), C023(FCMOVNU),
    C023(FADD), C023(FADDP), C023(FIADD), C023(FSUB), C023(FSUBP), C023(FISUB), C023(FSUBR), C023(FSUBRP), C023(FISUBR),
    C023(FMUL), C023(FMULP), C023(FIMUL), C023(FDIV), C023(FDIVP), C023(FIDIV), C023(FDIVR), C023(FDIVRP), C023(FIDIVR),
    C023(FABS), C023(FCHS), C023(FSQRT), C023(FRNDINT), C023(FSCALE), C023(FXTRACT),
    C023(FPATAN), C023(FYL2X), C023(FYL2XP1, beyond_root), C023(F2XM1, beyond_one),
    C03(FSIN), C03(FCOS), C03(FSINCOS), C03(FPTAN), /* C2: out of range */
    C023(FINCSTP), C023(FDECSTP), C0123(FFREE), C0123(FFREEP),
    C0123(FNCLEX), C0123(FLDCW), C0123(FNSTCW), C0123(FNSTSW), C0123(FNSTENV),

    ROW(EXTRQ, { .result = RESULT_HIGH }, by_field), ROW(INSERTQ, { .result = RESULT_HIGH }, by_field),
};

bool is_left_undefined(const struct insn *in, u32 live)
{
    const struct undefined_row *row = in->op < UNDEFINED_ROWS ? &undefined_rows[in->op] : NULL;

    return row && (row->more || row->usual.conditions || row->usual.result || (row->usual.flags & live));
}

/* ---- the policies ---- */

/*
 * All is zero, or follows from the seed, the processor and its count before the instruction, which cpu->at tells: the
 * same wherever a run is cut, and on every host.
 */
static u64 filler(CPU, unsigned n)
{
    return cpu->partition->undefined == SwhpUndefinedSeeded ? clock_draw_undefined(cpu, n) : 0;
}

/* Where the result is undefined it is stored in the body's stead, with the checks and faults of that. */
static void store_operand(CPU, IN, u64 value)
{
    unsigned width = width_bits(in->width);
    struct operand o;

    operand_open(cpu, in, 0, width, ACCESS_WRITE | ACCESS_READ_TOO, &o);
    operand_close(cpu, &o, value & ones(width));
}

void undefined_body(CPU, IN)
{
    const struct undefined_row *row = &undefined_rows[in->op];
    struct undefined u = row->usual;
    u64 v[3];

    if ((ops[in->op].attributes & WAITS) && (cpu->x87.fsw & X87_ES))
        x87_pending(cpu);
    if (row->more)
        row->more(cpu, in, &u);
    for (unsigned i = 0; i < 3; i++)
        v[i] = filler(cpu, i);
    if (u.result == RESULT_OPERAND)
        store_operand(cpu, in, v[1]);
    else
        ops[in->op].body(cpu, in);

    if (u.flags)
        flags_change(cpu, u.flags, v[0]);
    if (u.conditions)
        x87_condition(cpu, u.conditions, (u16)(v[0] >> 16));
    if (u.result == RESULT_HIGH || u.result == RESULT_XMM)
        xmm(cpu, in->dst)->q[1] = v[1];
    if (u.result == RESULT_XMM)
        xmm(cpu, in->dst)->q[0] = v[2];
    if (u.result == RESULT_ST0 && x87_masked(cpu, cpu->x87.fsw & (X87_IE | X87_DE | X87_ZE))) /* else there is none */
        x87_set(cpu, 0, &(struct x87_register){ v[1], (u16)v[2] });
}
