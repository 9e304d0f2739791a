/* SPDX-License-Identifier: MIT */
/*
 * The policies for what manuals leave undefined, form by form, on random states: with `zero` and `seeded` all is as
 * with `hardware` but for what is undefined, which is zero, or both 0 and 1 in time. What that is comes from Zydis,
 * whose tables are made from Intel's XED, and from the manuals' words about counts and operands, written once more.
 */
#include "tests/cpu/undefined.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "cpu/undefined.h"
#include "decoder/forms.h"
#include "state/partition.h"
#include "state/profile.h"

Suite *undefined_suite(void);

struct judged judged_open(const char *words)
{
    struct judged j;

    ck_assert_int_eq(setenv("SOFTWHP", words, 1), 0);
    j.machine = emulated_open(&j.arena);
    ck_assert_int_eq(unsetenv("SOFTWHP"), 0);
    return j;
}

void judged_close(struct judged *j)
{
    emulated_close(j->machine);
}

/* ---- what the manuals say ---- */

struct expected {
    u16 flags, conditions;
    int gpr;           /* number of a register whose low 16 bits are; -1: none */
    bool memory;       /* two bytes of it */
    int xmm;           /* -1: none */
    bool xmm_whole;    /* else the upper half */
    bool st;
};

static void expect_shift(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o, const struct state *s,
                         struct expected *e)
{
    bool is_double = z->mnemonic == ZYDIS_MNEMONIC_SHLD || z->mnemonic == ZYDIS_MNEMONIC_SHRD;
    const ZydisDecodedOperand *by = &o[is_double ? 2 : 1];
    u64 count = by->type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? by->imm.value.u : s->gpr[1];
    unsigned width = o[0].size;

    count &= width == 64 ? 63 : 31;
    if (count == 0)
        e->flags = 0;
    else if (count == 1)
        e->flags &= (u16)~OF;
    else
        e->flags |= OF;
    if ((z->mnemonic == ZYDIS_MNEMONIC_SHL || z->mnemonic == ZYDIS_MNEMONIC_SHR) && count >= width)
        e->flags |= CF;
    if (!is_double || count <= width)
        return;
    e->flags = STATUS;
    if (o[0].type == ZYDIS_OPERAND_TYPE_MEMORY)
        e->memory = true;
    else
        e->gpr = ZydisRegisterGetId(o[0].reg.value);
}

static void expect_field(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o, const struct state *s,
                         struct expected *e)
{
    bool is_insert = z->mnemonic == ZYDIS_MNEMONIC_INSERTQ, is_plain = z->operand_count_visible == 2;
    const ZydisDecodedOperand *imm = &o[is_insert ? 2 : 1];
    const u8 *control = is_plain ? s->xmm[ZydisRegisterGetId(o[1].reg.value)] + (is_insert ? 8 : 0) : NULL;
    u64 length = (is_plain ? control[0] : imm[0].imm.value.u) & 63;
    u64 index = (is_plain ? control[1] : imm[1].imm.value.u) & 63;

    e->xmm = ZydisRegisterGetId(o[0].reg.value);
    e->xmm_whole = index + (length ? length : 64) > 64;
}

/* ST(n) as a number that long doubles can be asked about. */
static bool st_of(const struct state *s, unsigned n, long double *value)
{
    unsigned exponent = (unsigned)(s->st[n][9] << 8 | s->st[n][8]) & 0x7fff;
    bool is_integer = s->st[n][7] & 0x80;

    memcpy(value, s->st[n], 10);
    if (!(s->ftw >> (((s->fsw >> 11 & 7) + n) & 7) & 1) || *value != *value)
        return false;
    return exponent == 0 || is_integer;
}

static void expect_x87(const ZydisDecodedInstruction *z, const struct state *s, const u8 *operand, struct expected *e)
{
    long double a, b;

    switch (z->mnemonic) {
    case ZYDIS_MNEMONIC_F2XM1:
        e->st = st_of(s, 0, &a) && (a > 1 || a < -1);
        break;
    case ZYDIS_MNEMONIC_FYL2XP1:
        e->st = st_of(s, 0, &a) && st_of(s, 1, &b) &&
                (a < -0.29289321881345247559915563789515L || a > 0.41421356237309504880168872420970L);
        break;
    case ZYDIS_MNEMONIC_FBLD:
        for (unsigned i = 0; i < 18; i++)
            e->st |= (operand[i / 2] >> (i & 1) * 4 & 15) > 9;
        e->st &= !(s->ftw >> (((s->fsw >> 11 & 7) + 7) & 7) & 1);
        break;
    default:
        break;
    }
}

static struct expected expect(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o, const struct state *s,
                              const u8 *operand)
{
    struct expected e = { .flags = z->cpu_flags->undefined & STATUS, .gpr = -1, .xmm = -1 };
    u32 codes = z->fpu_flags->undefined;

    e.conditions = (u16)((codes & 7) << 8 | (codes & 8) << 11);
    switch (z->mnemonic) {
    case ZYDIS_MNEMONIC_SHL:
    case ZYDIS_MNEMONIC_SHR:
    case ZYDIS_MNEMONIC_SAR:
    case ZYDIS_MNEMONIC_ROL:
    case ZYDIS_MNEMONIC_ROR:
    case ZYDIS_MNEMONIC_RCL:
    case ZYDIS_MNEMONIC_RCR:
    case ZYDIS_MNEMONIC_SHLD:
    case ZYDIS_MNEMONIC_SHRD: expect_shift(z, o, s, &e); break;
    case ZYDIS_MNEMONIC_EXTRQ:
    case ZYDIS_MNEMONIC_INSERTQ: expect_field(z, o, s, &e); break;
    case ZYDIS_MNEMONIC_BSWAP: e.gpr = o[0].size == 16 ? ZydisRegisterGetId(o[0].reg.value) : -1; break;
    case ZYDIS_MNEMONIC_SBB: e.flags = 0; break;                 /* as every subtraction: SDM 2B, SBB */
    case ZYDIS_MNEMONIC_BEXTR: e.flags &= (u16) ~(CF | OF); break; /* "all other flags are cleared": SDM 2A, BEXTR */
    default: expect_x87(z, s, operand, &e); break;
    }
    return e;
}

/* ---- states ---- */

/* Each bit of flags, condition codes, and a word of the result: how often it was undefined, and how often set. */
struct tally {
    u32 seen[48], set[48];
};

static void count_bits(struct tally *t, unsigned first, u16 mask, u16 value)
{
    for (unsigned i = 0; i < 16; i++) {
        t->seen[first + i] += mask >> i & 1;
        t->set[first + i] += (mask & value) >> i & 1;
    }
}

static void random_st(u64 *random, u8 st[16])
{
    static const u16 exponents[] = { 0, 0x3ffc, 0x3ffd, 0x3ffd, 0x3ffd, 0x3ffe, 0x3fff, 0x4000, 0x4010, 0x7fff };
    u64 mantissa = random_next(random), kind = random_next(random);
    u16 exponent = exponents[kind % 10];

    if (exponent && kind >> 8 & 15)
        mantissa |= (u64)1 << 63;
    if (!(kind >> 12 & 3))
        mantissa &= (u64)1 << 63;
    exponent = (u16)(exponent | (kind >> 16 & 1) << 15);
    memset(st, 0, 16);
    memcpy(st, &mantissa, 8);
    memcpy(st + 8, &exponent, 2);
}

static void random_state(u64 *random, u8 mode, struct state *s)
{
    bool is_wild = random_next(random) % 8 == 0;

    memset(s, 0, sizeof *s);
    s->mode = mode;
    for (unsigned i = 0; i < 16; i++) {
        s->gpr[i] = random_next(random) >> random_next(random) % 64;
        if (mode == 32)
            s->gpr[i] = (u32)s->gpr[i];
    }
    s->gpr[3] = is_wild ? s->gpr[3] : DATA_AT + 0x800; /* the forms' base */
    s->gpr[4] = DATA_AT + 0x1000;
    s->rip = CODE_AT;
    s->rflags = 0x202 | (random_next(random) & STATUS);
    for (unsigned i = 0; i < 16; i++)
        for (unsigned k = 0; k < 16; k += 8) {
            u64 v = random_next(random);

            memcpy(s->xmm[i] + k, &v, 8);
        }
    for (unsigned i = 0; i < 8; i++)
        random_st(random, s->st[i]);
    s->ftw = (u8)(random_next(random) % 4 == 0 ? random_next(random) : random_next(random) % 3 ? 0xff : 0);
    s->fsw = (u16)random_next(random) & 0x7f00;
    s->fcw = random_next(random) & 3 ? 0x37f : (u16)(0x340 | (random_next(random) & 0xc3f));
    s->fsw |= random_next(random) % 8 ? 0 : (u16)random_next(random) & 0x3f; /* may be pending: #MF */
    s->mxcsr = 0x1f80;
}

static void random_memory(u64 *random, u8 memory[DATA_SIZE])
{
    bool is_decimal = random_next(random) & 1;

    for (unsigned i = 0; i < 64; i++) {
        u64 v = random_next(random);

        for (unsigned k = 0; k < 8 && is_decimal; k++) /* digits */
            v = (v & ~((u64)0xff << 8 * k)) | (v >> 8 * k & 0x77) << 8 * k;
        memcpy(memory + 0x800 + 8 * i, &v, 8);
    }
    if (random_next(random) & 1)
        memory[0x800 + random_next(random) % 10] |= random_next(random) & 1 ? 0x0a : 0xc0; /* one that is none */
}

/* ---- forms ---- */

enum { ROUNDS_EACH = 120, ENOUGH = 32 };

struct forms {
    u8 mode;
    ZydisDecoder decoder;
    struct judged hardware, zero, seeded;
    unsigned tried;
    bool has_row[UNDEFINED_ROWS];
    u64 random;
};

static void run_one(struct judged *j, const struct state *start, const u8 bytes[15], const u8 *memory,
                    struct state *end)
{
    memset(j->arena.code, 0xf4, 32);
    memcpy(j->arena.code, bytes, 15);
    memcpy(j->arena.data, memory, DATA_SIZE);
    emulated_set(j->machine, start);
    emulated_run(j->machine, emulated_count(j->machine) + 1);
    emulated_get(j->machine, end);
}

/* Takes what may differ out of both, the processor's and the policy's; what the latter had of it comes back. */
static void take_out(const struct expected *e, struct state *mine, struct state *theirs, u16 result[1])
{
    mine->rflags &= ~(u64)e->flags;
    theirs->rflags &= ~(u64)e->flags;
    mine->fsw &= (u16)~e->conditions;
    theirs->fsw &= (u16)~e->conditions;
    if (e->gpr >= 0) {
        result[0] = (u16)theirs->gpr[e->gpr];
        theirs->gpr[e->gpr] = (theirs->gpr[e->gpr] & ~(u64)0xffff) | (u16)mine->gpr[e->gpr];
    }
    if (e->xmm >= 0) {
        memcpy(result, theirs->xmm[e->xmm] + (e->xmm_whole ? 0 : 8), 2);
        memcpy(theirs->xmm[e->xmm] + 8, mine->xmm[e->xmm] + 8, 8);
        if (e->xmm_whole)
            memcpy(theirs->xmm[e->xmm], mine->xmm[e->xmm], 8);
    }
    if (e->st) {
        memcpy(result, theirs->st[0], 2);
        memcpy(theirs->st[0], mine->st[0], 10);
    }
}

static void compare(const struct forms *f, const struct form *form, const struct expected *e,
                    const struct state *hardware, const struct judged *j, struct state theirs, struct tally *t)
{
    struct state mine = *hardware;
    const u8 *memory = f->hardware.arena.data, *other = j->arena.data;
    u16 result = 0, flags = (u16)theirs.rflags, fsw = theirs.fsw;
    unsigned at = 0;

    take_out(e, &mine, &theirs, &result);
    ck_assert_msg(!memcmp(&mine, &theirs, sizeof mine),
                  "%s %s (%d): flags %x and %x, fsw %x and %x, or something else", form->mnemonic, form->text, f->mode,
                  (u32)mine.rflags, (u32)theirs.rflags, mine.fsw, theirs.fsw);
    while (at < DATA_SIZE && memory[at] == other[at])
        at++;
    if (e->memory && at < DATA_SIZE) {
        at = 0x800;
        memcpy(&result, other + at, 2);
        ck_assert_msg(!memcmp(memory, other, at) && !memcmp(memory + at + 2, other + at + 2, DATA_SIZE - at - 2),
                      "%s %s: it stores elsewhere", form->mnemonic, form->text);
    } else {
        ck_assert_msg(at == DATA_SIZE, "%s %s: memory differs at %x", form->mnemonic, form->text, at);
    }
    count_bits(t, 0, e->flags, flags);
    count_bits(t, 16, e->conditions, fsw);
    count_bits(t, 32, e->gpr >= 0 || e->xmm >= 0 || e->st || e->memory ? 0xffff : 0, result);
}

static bool has_row(unsigned op)
{
    const struct undefined_row *row = &undefined_rows[op];

    return row->more || row->usual.flags || row->usual.conditions || row->usual.result;
}

/* An unmasked #I, #D or #Z comes before the result: there is none. */
static bool has_result(const struct state *s)
{
    return !(s->fsw & ~s->fcw & 7);
}

static void try_form(void *context, const struct form *form)
{
    struct forms *f = context;
    struct tally zero = { 0 }, seeded = { 0 };
    ZydisDecodedInstruction z;
    ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
    u8 memory[DATA_SIZE] = { 0 }, bytes[15];
    unsigned rounds = ROUNDS_EACH;
    bool is_x87;

    ck_assert(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&f->decoder, form->bytes, 15, &z, operand)));
    is_x87 = z.meta.isa_ext == ZYDIS_ISA_EXT_X87;
    if (!form->is_ours || !(has_row(z.mnemonic) || is_x87 || (z.cpu_flags->undefined & STATUS)))
        return;
    f->has_row[z.mnemonic] = true;
    if (undefined_rows[z.mnemonic].more && is_x87) /* operands beyond a limit, and exceptions */
        rounds *= 16;
    memcpy(bytes, form->bytes, 15);
    for (unsigned i = 0; i < rounds; i++) {
        struct state start, mine, theirs;

        random_state(&f->random, f->mode, &start);
        random_memory(&f->random, memory);
        for (unsigned k = 0; k < 2; k++) /* a count, a base, a length: behind opcode and operands */
            if (z.raw.imm[k].size)
                bytes[z.raw.imm[k].offset] = (u8)random_next(&f->random);
        ck_assert(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&f->decoder, bytes, 15, &z, operand)));

        struct expected e = expect(&z, operand, &start, memory + 0x800);

        run_one(&f->hardware, &start, bytes, memory, &mine);
        if (mine.vector != 256)
            e = (struct expected){ .gpr = -1, .xmm = -1 };
        e.st &= has_result(&mine);
        run_one(&f->zero, &start, bytes, memory, &theirs);
        compare(f, form, &e, &mine, &f->zero, theirs, &zero);
        run_one(&f->seeded, &start, bytes, memory, &theirs);
        compare(f, form, &e, &mine, &f->seeded, theirs, &seeded);
        f->tried++;
    }
    for (unsigned i = 0; i < 48; i++) {
        ck_assert_msg(!zero.set[i], "%s %s: bit %u isn't zero", form->mnemonic, form->text, i);
        ck_assert_msg(seeded.seen[i] < ENOUGH || (seeded.set[i] && seeded.set[i] < seeded.seen[i]),
                      "%s %s: bit %u is always %d", form->mnemonic, form->text, i, seeded.set[i] != 0);
    }
}

static bool is_decimal(unsigned op) /* not in 64-bit code */
{
    return op == ZYDIS_MNEMONIC_AAA || op == ZYDIS_MNEMONIC_AAS || op == ZYDIS_MNEMONIC_AAM ||
           op == ZYDIS_MNEMONIC_AAD || op == ZYDIS_MNEMONIC_DAA || op == ZYDIS_MNEMONIC_DAS;
}

START_TEST(each_form_differs_in_what_is_undefined_alone)
{
    struct forms f = { .mode = _i ? 32 : 64, .random = (u64)_i };
    u32 mode = _i ? MODE_CODE32 : MODE_CODE64;
    struct partition p = { 0 };

    f.hardware = judged_open("undefined=hardware");
    f.zero = judged_open("undefined=zero");
    f.seeded = judged_open("undefined=seeded,seed=3");
    profile_use(&p, profile_find("zen"));
    ZydisDecoderInit(&f.decoder, _i ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32 : ZYDIS_MACHINE_MODE_LONG_64,
                     _i ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_64);
    ck_assert(forms_list(&p.has, mode, try_form, &f));
    ck_assert_uint_gt(f.tried, 10000);
    for (unsigned op = 0; op < UNDEFINED_ROWS; op++)
        ck_assert_msg(f.has_row[op] || !has_row(op) || (!_i && is_decimal(op)), "nothing tries %s",
                      ZydisMnemonicGetString((ZydisMnemonic)op));
    judged_close(&f.hardware);
    judged_close(&f.zero);
    judged_close(&f.seeded);
}
END_TEST

Suite *undefined_suite(void)
{
    Suite *s = suite_create("undefined");
    TCase *t = tcase_create("forms");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, each_form_differs_in_what_is_undefined_alone, 0, 2);
    suite_add_tcase(s, t);
    suite_add_tcase(s, undefined_runs_case());
    return s;
}
