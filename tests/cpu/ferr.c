/* SPDX-License-Identifier: MIT */
/*
 * CR0.NE and IGNNE#: what an unmasked x87 exception does to the next instruction that waits. The whole story on a PC is in
 * tests/vmm/tool.sh.
 */
#include <stdio.h>

#include "state/x86.h"
#include "tests/whp/guest.h"

Suite *ferr_suite(void);

enum { FREEZE = 0x53570002, HALT = WHvRunVpExitReasonX64Halt, EXCEPTION = WHvRunVpExitReasonException, WORD = 0x20000 };

/* fninit; fldcw [esi]; fld1; fldz; fdivp: ZE, ES and nothing computed */
#define DIVIDE "\xdb\xe3\xd9\x2e\xd9\xe8\xd9\xee\xde\xf9"
enum { DIVIDE_SIZE = 10, DIVIDE_COUNT = 5 };

static struct guest g;

static void open_guest(const char *code, size_t size, bool ne)
{
    u8 bytes[64];

    memcpy(bytes, DIVIDE, DIVIDE_SIZE);
    memcpy(bytes + DIVIDE_SIZE, code, size);
    guest_open(&g, GUEST_PROTECTED, bytes, DIVIDE_SIZE + size);
    guest_enable_exits(&g, 4, 1 << VECTOR_MF);
    guest_set(&g, WHvX64RegisterCr0, 0x11 | (ne ? CR0_NE : 0));
    guest_set(&g, WHvX64RegisterCr4, CR4_OSFXSR);
    guest_set(&g, WHvX64RegisterRsi, WORD);
    memcpy(g.memory + WORD, (const u8[]){ 0x7b, 3 }, 2);
}
#define OPEN(code, ne) open_guest(code, sizeof(code) - 1, ne)

static u64 count(void)
{
    UINT64 n;

    ck_ok(SwhpGetInstructionCount(g.partition, 0, &n));
    return n;
}

/* Each waits, or doesn't. */
static const struct {
    const char *code;
    bool waits;
} rows[] = {
    { "\x9b\xf4", true },             /* fwait */
    { "\xd9\xe8\xf4", true },         /* fld1 */
    { "\xd9\xd0\xf4", true },         /* fnop */
    { "\xd9\x2e\xf4", true },         /* fldcw [esi] */
    { "\x0f\xef\xc0\xf4", true },     /* pxor mm0, mm0 */
    { "\x0f\x77\xf4", true },         /* emms */
    { "\x0f\x2a\xc0\xf4", true },     /* cvtpi2ps xmm0, mm0 */
    { "\xdf\xe0\xf4", false },        /* fnstsw ax */
    { "\xdb\xe2\xf4", false },        /* fnclex */
    { "\xdb\xe3\xf4", false },        /* fninit */
    { "\xd9\x3e\xf4", false },        /* fnstcw [esi] */
    { "\x0f\xae\x06\xf4", false },    /* fxsave [esi] */
    { "\x0f\x57\xc0\xf4", false },    /* xorps xmm0, xmm0 */
};

START_TEST(waiting_instructions_freeze_or_raise)
{
    static const WHV_RUN_VP_EXIT_CONTEXT zero;
    for (unsigned ne = 0; ne < 2; ne++) {
        open_guest(rows[_i].code, strlen(rows[_i].code), ne);

        u32 reason = guest_run(&g);

        if (!rows[_i].waits) {
            ck_assert_uint_eq(reason, HALT);
        } else if (ne) {
            ck_assert_uint_eq(reason, EXCEPTION);
            ck_assert_uint_eq(g.exit.VpException.ExceptionType, VECTOR_MF);
        } else {
            for (unsigned again = 0; again < 3; again++) { /* it stands still */
                ck_assert_uint_eq(reason, FREEZE);
                ck_assert_uint_eq(g.exit.VpContext.Rip, GUEST_CODE + DIVIDE_SIZE);
                ck_assert_uint_eq(g.exit.VpContext.InstructionLength, 0);
                ck_assert(!memcmp(&g.exit.MemoryAccess, &zero.MemoryAccess,
                                  sizeof zero - offsetof(WHV_RUN_VP_EXIT_CONTEXT, MemoryAccess)));
                ck_assert_uint_eq(count(), DIVIDE_COUNT);
                reason = guest_run(&g);
            }
        }
        guest_close(&g);
    }
}
END_TEST

/* fld1; fwait; fnclex; hlt; fldz; fld1; fdivrp; fwait; hlt */
START_TEST(ignne_lasts_until_the_exception_is_cleared)
{
    OPEN("\xd9\xe8\x9b\xdb\xe2\xf4\xd9\xe8\xd9\xee\xde\xf9\x9b\xf4", false);
    ck_assert_uint_eq(guest_run(&g), FREEZE);
    ck_ok(SwhpSetIgnne(g.partition, 0, TRUE));
    ck_assert_uint_eq(guest_run(&g), HALT); /* FLD1 and FWAIT ran */
    ck_assert_uint_eq(count(), DIVIDE_COUNT + 4);
    ck_assert_uint_eq(guest_run(&g), FREEZE); /* FNCLEX took it back */
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRip), GUEST_CODE + DIVIDE_SIZE + 12);
    ck_ok(SwhpSetIgnne(g.partition, 0, TRUE));
    ck_ok(SwhpSetIgnne(g.partition, 0, FALSE));
    ck_assert_uint_eq(guest_run(&g), FREEZE);
    guest_close(&g);
}
END_TEST

/* What clears or masks it: fnclex, fninit, fnstenv [edi], fnsave [edi], fldcw [esi + 2], fxrstor [edi]. */
static const char *const clearing[] = { "\xdb\xe2", "\xdb\xe3", "\xd9\x37", "\xdd\x37", "\xd9\x6e\x02", "\x0f\xae\x0f" };

/* fwait; that; hlt; fldcw [esi]; fld1; fldz; fdivp; fwait */
START_TEST(whatever_clears_it_drops_ignne)
{
    char code[40];
    int size = snprintf(code, sizeof code, "\x9b%s\xf4\xd9\x2e\xd9\xe8\xd9\xee\xde\xf9\x9b", clearing[_i]);

    open_guest(code, (size_t)size, false);
    guest_set(&g, WHvX64RegisterRdi, WORD + 0x100);
    memcpy(g.memory + WORD + 2, (const u8[]){ 0x7f, 3 }, 2);
    memcpy(g.memory + WORD + 0x100, (const u8[]){ 0x7f, 3 }, 2);
    memcpy(g.memory + WORD + 0x100 + 24, (const u8[]){ 0x80, 0x1f }, 2);
    ck_assert_uint_eq(guest_run(&g), FREEZE);
    ck_ok(SwhpSetIgnne(g.partition, 0, TRUE));
    ck_assert_uint_eq(guest_run(&g), HALT);
    ck_assert_uint_eq(guest_run(&g), FREEZE);
    guest_close(&g);
}
END_TEST

/* Asserted while nothing is pending it has no effect; hash and reset know it. */
START_TEST(ignne_is_state)
{
    SWHP_DIGEST off, on;

    OPEN("\x9b\xf4", false);
    ck_ok(SwhpSetIgnne(g.partition, 0, TRUE));
    ck_assert_uint_eq(guest_run(&g), FREEZE);
    ck_ok(SwhpStateHash(g.partition, &off));
    ck_ok(SwhpSetIgnne(g.partition, 0, TRUE));
    ck_ok(SwhpStateHash(g.partition, &on));
    ck_assert(memcmp(&off, &on, sizeof on));
    ck_ok(SwhpSetIgnne(g.partition, 0, FALSE));
    ck_ok(SwhpStateHash(g.partition, &on));
    ck_assert(!memcmp(&off, &on, sizeof on));
    ck_assert(FAILED(SwhpSetIgnne(g.partition, 1, TRUE)));
    ck_assert(FAILED(SwhpSetIgnne(NULL, 0, TRUE)));
    guest_close(&g);
}
END_TEST

/* CR0.NE rules at the instruction: #MF in spite of IGNNE#. */
START_TEST(ne_ignores_ignne)
{
    OPEN("\x9b\xf4", false);
    ck_assert_uint_eq(guest_run(&g), FREEZE);
    ck_ok(SwhpSetIgnne(g.partition, 0, TRUE));
    guest_set(&g, WHvX64RegisterCr0, 0x31);
    ck_assert_uint_eq(guest_run(&g), EXCEPTION);
    ck_assert_uint_eq(g.exit.VpException.ExceptionType, VECTOR_MF);
    guest_close(&g);
}
END_TEST

/* sti; fwait: the shadow would keep the awaited interrupt away for good. It comes with RIP at the FWAIT. */
START_TEST(an_interrupt_wakes_it_out_of_the_shadow)
{
    WHV_REGISTER_NAME names[] = { WHvX64RegisterIdtr, WHvRegisterPendingInterruption };
    WHV_REGISTER_VALUE v[2];
    u32 pushed;

    OPEN("\xfb\x9b\xf4", false);
    memcpy(g.memory + 0x3000 + 8 * 0x75, (const u8[]){ 0, 0, 8, 0, 0, 0x8e, 3, 0 }, 8); /* an interrupt gate to 30000 */
    g.memory[0x30000] = 0xf4;
    memset(v, 0, sizeof v);
    v[0].Table.Base = 0x3000;
    v[0].Table.Limit = 0x7ff;
    ck_ok(WHvSetVirtualProcessorRegisters(g.partition, 0, names, 1, v));
    ck_assert_uint_eq(guest_run(&g), FREEZE);
    ck_assert_uint_eq(g.exit.VpContext.ExecutionState.InterruptShadow, 0);
    v[1].PendingInterruption.InterruptionPending = 1;
    v[1].PendingInterruption.InterruptionVector = 0x75;
    ck_ok(WHvSetVirtualProcessorRegisters(g.partition, 0, names + 1, 1, v + 1));
    ck_assert_uint_eq(guest_run(&g), HALT);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRip), 0x30001);
    memcpy(&pushed, g.memory + GUEST_STACK - 12, 4);
    ck_assert_uint_eq(pushed, GUEST_CODE + DIVIDE_SIZE + 1);
    guest_close(&g);
}
END_TEST

Suite *ferr_suite(void)
{
    Suite *s = suite_create("ferr");
    TCase *t = tcase_create("ferr");

    tcase_add_loop_test(t, waiting_instructions_freeze_or_raise, 0, sizeof rows / sizeof *rows);
    tcase_add_test(t, ignne_lasts_until_the_exception_is_cleared);
    tcase_add_loop_test(t, whatever_clears_it_drops_ignne, 0, sizeof clearing / sizeof *clearing);
    tcase_add_test(t, ignne_is_state);
    tcase_add_test(t, ne_ignores_ignne);
    tcase_add_test(t, an_interrupt_wakes_it_out_of_the_shadow);
    suite_add_tcase(s, t);
    return s;
}
