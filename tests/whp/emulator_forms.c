/* SPDX-License-Identifier: MIT */
/*
 * Every form of an instruction that touches memory, in every size of code, beside an ordinary processor. The states are
 * made at random, but for what an instruction must find in memory to succeed.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "decoder/forms.h"
#include "state/partition.h"
#include "state/profile.h"
#include "state/x86.h"
#include "tests/whp/chance.h"
#include "tests/whp/emulator_rig.h"
#include "tests/whp/twins.h"

enum { VARIANTS = 6, MOST_VARIANTS = 500 };

static struct twins t;
static struct chance c;

static u64 *reg(struct twin_state *s, WHV_REGISTER_NAME name)
{
    return &s->v[twin_index((u32)name)].Reg64;
}

/* ---- operands ---- */

/* Near the start of the data, across a page's end, across or on what can't be had. */
static u64 any_address(void)
{
    switch (chance_below(&c, 16)) {
    case 0:
    case 1:
    case 2: return TWIN_DATA + 0x1000 - 1 - chance_below(&c, 40);
    case 3: return TWIN_ABSENT - 1 - chance_below(&c, 40);
    case 4: return TWIN_ABSENT + chance_below(&c, 0x100);
    case 5: return TWIN_READ_ONLY + chance_below(&c, 0x100);
    case 6:
    case 7: return TWIN_DATA + 0x100 + chance_below(&c, 64);
    default: return TWIN_DATA + 0x100 + 64 * chance_below(&c, 8);
    }
}

static u64 any_value(void)
{
    static const u64 floats[] = { 0x3ff0000000000000, 0x40490fdb3f800000, 0xc000000000000000, 0x7ff8000000000001,
                                  0x0000000000000001, 0x8000000080000000, 0x7f8000007f800000, 0x3f8000003f800000 };

    return chance_percent(&c, 40) ? CHANCE_OF(&c, floats) : chance_any(&c) >> chance_below(&c, 64);
}

static void fill_memory(u32 from, u32 end)
{
    static const u16 selectors[] = {
        TWIN_CODE64, TWIN_DATA0,  TWIN_CODE32,       TWIN_USER_CODE32, TWIN_USER_DATA, TWIN_CODE16, TWIN_USER_CODE64,
        TWIN_DATA16, TWIN_IN_LDT, TWIN_LDT_SELECTOR, TWIN_GATE,        0,              3,           0x1000
    };
    unsigned way = chance_below(&c, 4);

    for (u32 at = from; at < end; at += 8) {
        u64 v = way == 0 ? chance_any(&c) : any_value();

        if (way == 1 && chance_percent(&c, 70))
            v = CHANCE_OF(&c, selectors) * (u64)0x0001000100010001;
        memcpy(t.plain.memory + at, &v, 8);
    }
}

static void set_floats(struct twin_state *s)
{
    WHV_X64_FP_CONTROL_STATUS_REGISTER *x = &s->v[twin_index(WHvX64RegisterFpControlStatus)].FpControlStatus;

    for (unsigned i = 0; i < 16; i++) {
        for (unsigned k = 0; k < 2; k++) {
            WHV_REGISTER_VALUE *v = &s->v[twin_index((k ? (u32)SwhpX64RegisterYmmHigh0 : (u32)WHvX64RegisterXmm0) + i)];

            v->Reg128.Low64 = any_value();
            v->Reg128.High64 = any_value();
        }
        if (i < 8) {
            WHV_REGISTER_VALUE *v = &s->v[twin_index(WHvX64RegisterFpMmx0 + i)];

            v->Reg128.Low64 = chance_any(&c) | (u64)1 << 63;
            v->Reg128.High64 = 0x3f00 + chance_below(&c, 0x200);
        }
    }
    x->FpStatus = (u16)(chance_below(&c, 8) << 11);
    x->FpTag = (u8)chance_any(&c);
    if (chance_percent(&c, 10))
        x->FpControl = 0x340;
    if (chance_percent(&c, 6)) { /* a division by zero pends, which is #MF, freezes, or is ignored */
        x->FpControl = 0x340;
        x->FpStatus |= 4;
        if (chance_percent(&c, 60))
            *reg(s, WHvX64RegisterCr0) &= ~(u64)CR0_NE;
        *reg(s, (WHV_REGISTER_NAME)SwhpX64RegisterIgnne) = chance_percent(&c, 60);
    }
    if (chance_percent(&c, 10))
        *(u32 *)((char *)&s->v[twin_index(WHvX64RegisterXmmControlStatus)] + 8) =
            0x1f80 & ~(0x80u << chance_below(&c, 6));
    *reg(s, (WHV_REGISTER_NAME)SwhpX64RegisterPkru) = chance_any(&c) & 0xff0;
    *reg(s, (WHV_REGISTER_NAME)SwhpX64RegisterFpSelectors) = chance_percent(&c, 50) ? chance_any(&c) & 0xffffffff : 0;
}

static void set_registers(struct twin_state *s)
{
    static const WHV_REGISTER_NAME pointers[] = { WHvX64RegisterRbx, WHvX64RegisterRsi, WHvX64RegisterRdi };
    bool is_user = s->v[twin_index(WHvX64RegisterSs)].Segment.Attributes & 0x60;

    for (unsigned i = 0; i < 16; i++)
        s->v[i].Reg64 = any_value();
    for (unsigned i = 0; i < 3; i++)
        *reg(s, pointers[i]) = any_address();
    *reg(s, WHvX64RegisterRcx) = chance_below(&c, 6);
    *reg(s, WHvX64RegisterRax) = chance_percent(&c, 30) ? any_address() : any_value();
    if (chance_percent(&c, 50))
        *reg(s, WHvX64RegisterRax) &= 0x2ff;
    if (chance_percent(&c, 50))
        *reg(s, WHvX64RegisterRdx) = 0;
    *reg(s, WHvX64RegisterRsp) = TWIN_STACK + 0x800 + 8 * chance_below(&c, 16);
    *reg(s, WHvX64RegisterRbp) = TWIN_STACK + 0xa00 + 8 * chance_below(&c, 16);
    if (chance_percent(&c, 10))
        *reg(s, WHvX64RegisterRsp) = TWIN_STACK + 0x1000 + 4 - chance_below(&c, 16);
    *reg(s, WHvX64RegisterRflags) |= chance_any(&c) & (CF | PF | AF | ZF | SF | OF | DF);
    if (is_user && chance_percent(&c, 10))
        *reg(s, WHvX64RegisterRflags) |= AC;
    if (chance_percent(&c, 8))
        *reg(s, WHvX64RegisterRflags) |= TF;
    if (chance_percent(&c, 8)) { /* reads and writes of 4 bytes; or writes of 8 */
        *reg(s, WHvX64RegisterDr0) = *reg(s, WHvX64RegisterRbx) & ~(u64)3;
        *reg(s, WHvX64RegisterDr1) = *reg(s, WHvX64RegisterRdi) & ~(u64)7;
        *reg(s, WHvX64RegisterDr7) |= 0x009f000a;
    }
}

/* ---- what an instruction must find ---- */

static bool begins(const char *mnemonic, const char *with)
{
    return strncmp(mnemonic, with, strlen(with)) == 0;
}

static bool is_one_of(const char *mnemonic, const char *list)
{
    size_t n = strlen(mnemonic);

    for (const char *p = strstr(list, mnemonic); p; p = strstr(p + 1, mnemonic))
        if ((p == list || p[-1] == ' ') && (p[n] == ' ' || !p[n]))
            return true;
    return false;
}

static void put(u64 at, u64 value, unsigned size)
{
    if (at + size <= TWIN_MEMORY && (at + size <= TWIN_CODE || at >= TWIN_TABLES_END))
        memcpy(t.plain.memory + at, &value, size);
}

/* A selector for code or data that the mode can load. */
static u64 good_selector(enum twin_mode mode, bool is_code)
{
    switch (mode) {
    case TWIN_LONG0: return is_code ? chance_percent(&c, 50) ? TWIN_CODE64 : TWIN_CODE32 : TWIN_DATA0;
    case TWIN_LONG3: return is_code ? TWIN_USER_CODE64 : TWIN_USER_DATA;
    case TWIN_COMPAT3: return is_code ? TWIN_USER_CODE32 : TWIN_USER_DATA;
    case TWIN_PROTECTED0: return is_code ? TWIN_CODE32 : chance_percent(&c, 50) ? TWIN_DATA0 : TWIN_IN_LDT;
    case TWIN_PROTECTED3: return is_code ? TWIN_USER_CODE32 : TWIN_USER_DATA;
    case TWIN_SHORT0: return is_code ? TWIN_CODE16 : TWIN_DATA16;
    default: return 0;
    }
}

static void prepare(const struct form *f, enum twin_mode mode, struct twin_state *s)
{
    u64 at = *reg(s, WHvX64RegisterRbx), sp = *reg(s, WHvX64RegisterRsp) & 0xffff;
    const char *name = f->mnemonic;
    unsigned size = f->bytes[0] == 0x48 || strstr(f->text, "48.")    ? 8
                    : (f->bytes[0] == 0x66) == (mode >= TWIN_SHORT0) ? 4
                                                                     : 2;

    if (chance_percent(&c, 15))
        return;
    if (is_one_of(name, "fxrstor fxrstor64 xrstor xrstor64 xrstors xrstors64 fldenv frstor ldmxcsr vldmxcsr")) {
        *reg(s, WHvX64RegisterRbx) = at =
            TWIN_DATA + 0x100 +
            (begins(name, "f") || begins(name, "x") ? 64 * chance_below(&c, 8) : chance_below(&c, 60));
        *reg(s, WHvX64RegisterRax) = chance_any(&c) & 0x207;
        put(at + 24, 0x1f80, 4);
        for (u32 i = 512; i < 576; i += 8)
            put(at + i, 0, 8);
        put(at + 512, chance_any(&c) & 0x207, 8);
        put(at + 520,
            strstr(name, "rstors") || (begins(name, "x") && chance_percent(&c, 40)) ? (u64)1 << 63 | 0x207 : 0, 8);
        if (strstr(name, "ldmxcsr"))
            put(at, chance_any(&c) & 0xffff, 4);
        return;
    }
    if (is_one_of(name, "fxsave fxsave64 xsave xsave64 xsavec xsavec64 xsaveopt xsaveopt64 xsaves xsaves64 "
                        "cmpxchg16b clzero")) {
        *reg(s, WHvX64RegisterRbx) = TWIN_DATA + 0x100 + 64 * chance_below(&c, 8);
        *reg(s, WHvX64RegisterRax) =
            begins(name, "cl") ? (u64)(TWIN_DATA + chance_below(&c, 0x800)) : chance_any(&c) & 0x207;
        if (begins(name, "cmp") && chance_percent(&c, 60))
            memcpy(reg(s, WHvX64RegisterRax), t.plain.memory + *reg(s, WHvX64RegisterRbx), 8),
                memcpy(reg(s, WHvX64RegisterRdx), t.plain.memory + *reg(s, WHvX64RegisterRbx) + 8, 8);
        return;
    }
    if (is_one_of(name, "lds les lfs lgs lss jmp call")) {
        bool is_far = begins(name, "l");

        put(at, TWIN_CODE + 0x10 + chance_below(&c, 0x100), size);
        if (strstr(f->text, "m80") || strstr(f->text, "m48")) /* REX.W widens no far pointer on AMD's processors */
            put(at + 4, good_selector(mode, !is_far), 2);
        else if (is_far || (strstr(f->text, " m32") && f->text[0] != 'V' && size == 2))
            put(at + 2, good_selector(mode, !is_far), 2);
        return;
    }
    if (is_one_of(name, "ret iret iretd iretq pop popf popfq popfd")) {
        bool is_8 = is_one_of(name, "iretq popfq") ||
                    (mode <= TWIN_LONG3 && is_one_of(name, "ret pop popf") && size != 2);
        unsigned slot = is_8 ? 8 : size;
        bool is_pop = begins(name, "pop");

        put(sp, is_pop ? good_selector(mode, false) : (u64)(TWIN_CODE + 0x10 + chance_below(&c, 0x80)), slot);
        put(sp + slot, good_selector(mode, true), slot);
        put(sp + 2 * slot, begins(name, "i") ? 0x202 | (mode == TWIN_VM86 ? 0x23000 : 0) : 0xc000, slot);
        put(sp + 3 * slot, begins(name, "i") ? TWIN_STACK + 0x400 : good_selector(mode, false), slot);
        put(sp + 4 * slot, good_selector(mode, false), slot);
        if (begins(name, "ret") && chance_percent(&c, 50)) { /* by a 4-byte operand size in 64-bit code too */
            put(sp, TWIN_CODE + 0x40, 4);
            put(sp + 4, good_selector(mode, true), 4);
        }
        return;
    }
    if (is_one_of(name, "lldt ltr verr verw lar lsl mov lmsw arpl")) {
        if (!strchr(f->text, 'm'))
            *reg(s, WHvX64RegisterRax) = begins(name, "lld")  ? (u64)TWIN_LDT_SELECTOR
                                         : begins(name, "lt") ? (u64)TWIN_FREE_TSS
                                                              : good_selector(mode, false);
        put(at,
            begins(name, "lld")   ? TWIN_LDT_SELECTOR
            : begins(name, "lt")  ? TWIN_FREE_TSS
            : begins(name, "lms") ? 0x1b
                                  : good_selector(mode, false),
            2);
        return;
    }
    if (begins(name, "invpcid")) { /* types 0 to 4, and now and then a PCID */
        *reg(s, WHvX64RegisterRax) = chance_below(&c, 5);
        put(at, chance_percent(&c, 20) ? chance_below(&c, 0x1100) : 0, 8);
        if (mode <= TWIN_LONG3 && chance_percent(&c, 30))
            *reg(s, WHvX64RegisterCr4) |= CR4_PCIDE;
    }
    if (begins(name, "bound")) {
        put(at, 0x80000000u >> (size == 2 ? 16 : 0), size);
        put(at + size, 0x7fffffffu >> (size == 2 ? 16 : 0), size);
    }
    if (begins(name, "lgdt") || begins(name, "lidt"))
        put(at + 2, TWIN_GDT, 8);
    if (strstr(name, "gather"))
        for (unsigned i = 0; i < 2; i++) /* indices, and the base that SIB 0 names */
            s->v[twin_index(WHvX64RegisterXmm0)].Reg128.Low64 = chance_any(&c) & 0x3f0000003f,
            s->v[twin_index(WHvX64RegisterXmm0)].Reg128.High64 = chance_any(&c) & 0x3f,
            s->v[twin_index(WHvX64RegisterXmm0) + 1].Reg128.Low64 = chance_any(&c),
            *reg(s, WHvX64RegisterRax) = TWIN_DATA + 0x100;
}

/* ---- forms ---- */

/* With a prefix now and then that changes segment, address size or bus. */
static void put_code(const struct form *f)
{
    static const u8 prefixes[] = { 0xf0, 0x64, 0x65, 0x67, 0x36 };
    u8 *code = t.plain.memory + TWIN_CODE;
    bool has_prefix = chance_percent(&c, 15);

    if (has_prefix)
        *code = CHANCE_OF(&c, prefixes);
    memcpy(code + has_prefix, f->bytes, 15);
}

static bool reads_may_overlap(const struct form *f)
{
    return begins(f->mnemonic, "cmps") || begins(f->mnemonic, "vgather") || begins(f->mnemonic, "vpgather");
}

/* What the processor has and callbacks can't tell: it's refused. */
static bool is_beyond_callbacks(const struct form *f)
{
    return is_one_of(f->mnemonic, "hlt cpuid int int1 int3 into invd wbinvd rdmsr wrmsr rdpid rdpkru wrpkru rdpmc "
                                  "rdpru rdrand rdseed rdtsc rdtscp swapgs syscall sysenter sysexit sysret vmmcall "
                                  "xgetbv xsetbv") ||
           (begins(f->text, "0F.2") && strchr("0123", f->text[4])); /* MOV of CRn and DRn */
}

struct tally {
    enum twin_mode mode;
    bool hides_code;
    unsigned forms, completed, never;
};

static void complain(const struct form *f, const struct tally *k, unsigned variant)
{
    char bytes[64] = "";

    for (unsigned i = 0; i < 12; i++)
        snprintf(bytes + 3 * i, sizeof bytes - 3 * i, "%02x ", t.plain.memory[TWIN_CODE + i]);
    ck_abort_msg("mode %d, %s %s (%s), variant %u: %s", k->mode, f->mnemonic, f->text, bytes, variant, t.why);
}

/* Rightly so? */
static bool is_refused(const struct form *f, const struct tally *k)
{
    return k->hides_code && t.status.AsUINT32 == 2 &&
           (is_beyond_callbacks(f) || t.plain.exit.ExitReason == SwhpRunVpExitReasonFerrFreeze);
}

static void try_form(void *context, const struct form *f)
{
    struct tally *k = context;
    struct twin_state s;
    unsigned least = k->hides_code ? VARIANTS / 2 : VARIANTS, most = k->hides_code ? 0 : MOST_VARIANTS;
    bool completed = false, leaves = false;

    if (!f->is_ours || is_one_of(f->mnemonic, "in out insb insw insd outsb outsw outsd")) /* leave from both */
        return;
    for (unsigned i = 0; i < least || (leaves && !completed && i < most); i++) {
        twins_begin(&t, k->mode, &s);
        fill_memory(0, 0x400);
        fill_memory(TWIN_DATA, TWIN_DATA + 0xc00);
        fill_memory(TWIN_DATA + 0xfc0, TWIN_DATA + 0x1080);
        fill_memory(TWIN_ABSENT - 0x40, TWIN_ABSENT);
        fill_memory(TWIN_READ_ONLY, TWIN_READ_ONLY + 0x180);
        fill_memory(TWIN_STACK + 0x600, TWIN_STACK + 0x1080);
        set_registers(&s);
        set_floats(&s);
        prepare(f, k->mode, &s);
        put_code(f);
        t.fails = i < (k->hides_code ? 1u : 2u);
        if (!twins_run(&t, &s) && t.emulations && !is_refused(f, k))
            complain(f, k, i);
        if (twins_touched_twice(&t, true) || (!reads_may_overlap(f) && twins_touched_twice(&t, false)))
            ck_abort_msg("mode %d, %s %s, variant %u: a byte is touched twice", k->mode, f->mnemonic, f->text, i);
        leaves |= t.emulations > 0;
        completed |= t.emulations > 0 && t.served.exit.ExitReason != WHvRunVpExitReasonException;
    }
    k->forms += leaves;
    k->completed += completed;
    if (leaves && !completed && !k->hides_code) {
        fprintf(stderr, "mode %d: %s %s never succeeds\n", k->mode, f->mnemonic, f->text);
        k->never++;
    }
}

static void try_forms(struct tally *k)
{
    static const u32 codes[] = { MODE_CODE64, MODE_CODE64, MODE_CODE32, MODE_CODE32,
                                 MODE_CODE32, MODE_CODE16, MODE_CODE16, MODE_CODE16 };
    struct partition p = { 0 };

    c.state = chance_wish("SEED", 1) + (u64)k->mode;
    profile_use(&p, profile_find("zen"));
    twins_open(&t, k->hides_code);
    ck_assert(forms_list(&p.has, codes[k->mode], try_form, k));
    twins_close(&t);
    ck_assert_uint_eq(k->never, 0);
}

START_TEST(forms_do_what_they_do_on_memory)
{
    struct tally k = { .mode = (enum twin_mode)_i };

    try_forms(&k);
    ck_assert_uint_gt(k.forms, 800);
}
END_TEST

/* Instructions that touch nothing leave too, where the code is a device's. */
START_TEST(forms_do_what_they_do_as_code_of_a_device)
{
    struct tally k = { .mode = (enum twin_mode)_i, .hides_code = true };

    try_forms(&k);
    ck_assert_uint_gt(k.forms, 1200);
}
END_TEST

TCase *emulator_form_case(void)
{
    TCase *tc = tcase_create("emulator forms");

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, forms_do_what_they_do_on_memory, 0, TWIN_MODES);
    tcase_add_loop_test(tc, forms_do_what_they_do_as_code_of_a_device, 0, TWIN_MODES);
    return tc;
}
