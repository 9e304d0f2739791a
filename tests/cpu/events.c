/* SPDX-License-Identifier: MIT */
/* Shadows and windows: where an interrupt may come. SDM 3A 6.8. */
#include "tests/cpu/event_machine.h"

enum { VECTOR_UD = 6 };
enum { INTERRUPT = 0, NMI = 2 };

static void arm(struct rig *r, u64 windows)
{
    rig_set(r, DeliverabilityNotifications, windows);
}

static u64 armed(struct rig *r)
{
    return rig_get(r, DeliverabilityNotifications);
}

static void opens_at(struct rig *r, u64 rip, u32 type)
{
    rig_leaves(r, LEAVES(X64InterruptWindow), rip);
    ck_assert_uint_eq(r->g.exit.InterruptWindow.DeliverableType, type);
}

static u64 interrupt_state(struct rig *r)
{
    return guest_get(&r->g, WHvRegisterInterruptState);
}

static void inject(struct rig *r, u64 value)
{
    guest_set(&r->g, WHvRegisterPendingInterruption, value);
}

static void stops_at(struct rig *r, u64 count, u64 rip)
{
    u32 reason = rig_run_until(r, count);

    ck_assert_msg(reason == (u32)SwhpRunVpExitReasonCount, "exit %x", reason);
    ck_assert_uint_eq(r->g.exit.VpContext.Rip, rip);
    ck_assert_uint_eq(rig_count(r), count);
}

START_TEST(a_window_opens_at_once_where_interrupts_are_welcome)
{
    struct rig r;

    rig_open(&r, (enum in)_i, X("\x90\xf4"));
    rig_set(&r, Rflags, rig_get(&r, Rflags) | RFLAG_IF);
    arm(&r, WINDOW_INTERRUPT);
    opens_at(&r, CODE, INTERRUPT);
    ck_assert_uint_eq(rig_count(&r), 0);
    ck_assert_uint_eq(armed(&r), 0);
    stops_at(&r, 1, CODE + 1);
    rig_close(&r);
}
END_TEST

START_TEST(only_the_first_of_two_STIs_casts_a_shadow)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\xfb\xfb\x90\xf4"));
    arm(&r, WINDOW_INTERRUPT);
    opens_at(&r, CODE + 2, INTERRUPT);
    rig_close(&r);

    rig_open(&r, IN_LONG, X("\xfb\x90\xf4")); /* IF was set already */
    rig_set(&r, Rflags, 2 | RFLAG_IF);
    stops_at(&r, 1, CODE + 1);
    ck_assert_uint_eq(r.g.exit.VpContext.ExecutionState.InterruptShadow, 0);
    arm(&r, WINDOW_INTERRUPT);
    opens_at(&r, CODE + 1, INTERRUPT);
    rig_close(&r);
}
END_TEST

START_TEST(the_shadow_of_STI_lasts_one_instruction)
{
    struct rig r;

    rig_open(&r, (enum in)_i, X("\xfb\x90\x90\xf4"));
    stops_at(&r, 1, CODE + 1);
    ck_assert_uint_eq(r.g.exit.VpContext.ExecutionState.InterruptShadow, 1);
    ck_assert_uint_eq(interrupt_state(&r), 1);
    stops_at(&r, 2, CODE + 2);
    ck_assert_uint_eq(r.g.exit.VpContext.ExecutionState.InterruptShadow, 0);
    ck_assert_uint_eq(interrupt_state(&r), 0);
    rig_close(&r);
}
END_TEST

START_TEST(MOV_SS_and_POP_SS_cast_a_shadow_and_LSS_does_not)
{
    static const struct {
        const char *code;
        size_t size;
        bool shadow;
    } rows[] = {
        { X("\x8e\xd0"), true }, { X("\x17"), true }, { X("\x0f\xb2\x27"), false }, { X("\x8e\xd8"), false }
    };

    for (unsigned i = 0; i < 4; i++) {
        struct rig r;

        rig_open(&r, IN_PROTECTED32, rows[i].code, rows[i].size);
        rig_set(&r, Rax, SELECTOR_DATA);
        rig_set(&r, Rdi, DATA); /* lss esp, [edi] */
        rig_poke(&r, DATA, X("\xf0\x7f\x00\x00\x10\x00"));
        r.g.memory[GUEST_STACK] = SELECTOR_DATA;
        rig_poke(&r, CODE + (u32)rows[i].size, X("\x90\x90\xf4"));
        rig_set(&r, Rflags, 2 | RFLAG_IF);
        stops_at(&r, 1, CODE + rows[i].size);
        ck_assert_uint_eq(r.g.exit.VpContext.ExecutionState.InterruptShadow, rows[i].shadow);
        arm(&r, WINDOW_INTERRUPT | WINDOW_NMI);
        opens_at(&r, CODE + rows[i].size + rows[i].shadow, NMI); /* MOV SS holds both back */
        opens_at(&r, CODE + rows[i].size + rows[i].shadow, INTERRUPT);
        rig_close(&r);
    }
}
END_TEST

START_TEST(the_caller_may_end_and_begin_a_shadow)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\xfb\x90\x90\xf4"));
    stops_at(&r, 1, CODE + 1);
    guest_set(&r.g, WHvRegisterInterruptState, 0);
    arm(&r, WINDOW_INTERRUPT);
    opens_at(&r, CODE + 1, INTERRUPT);
    guest_set(&r.g, WHvRegisterInterruptState, 1);
    arm(&r, WINDOW_INTERRUPT);
    opens_at(&r, CODE + 2, INTERRUPT);
    rig_close(&r);
}
END_TEST

START_TEST(a_fault_in_the_shadow_ends_it)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\xfb\x0f\x0b"));
    rig_halts_in(&r, VECTOR_UD);
    ck_assert_uint_eq(rig_pushed(&r, 2) & RFLAG_IF, RFLAG_IF);
    ck_assert_uint_eq(interrupt_state(&r), 0);
    rig_close(&r);

    rig_open(&r, IN_LONG, X("\xfb\x0f\x0b"));
    rig_intercept(&r, 1 << VECTOR_UD);
    rig_leaves(&r, LEAVES(Exception), CODE + 1);
    ck_assert_uint_eq(r.g.exit.VpContext.ExecutionState.InterruptShadow, 1);
    rig_close(&r);
}
END_TEST

START_TEST(a_shadow_that_was_ended_during_an_exit_does_not_come_back)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\xfb\xe6\x42\x90\x0f\x0b"));
    rig_intercept(&r, 1 << VECTOR_UD);
    rig_leaves(&r, LEAVES(X64IoPortAccess), CODE + 1);
    guest_set(&r.g, WHvRegisterInterruptState, 0);
    rig_set(&r, Rip, CODE + 3);
    rig_leaves(&r, LEAVES(Exception), CODE + 4);
    ck_assert_uint_eq(r.g.exit.VpContext.ExecutionState.InterruptShadow, 0);
    rig_close(&r);
}
END_TEST

START_TEST(HLT_retires_in_the_shadow_and_leaves_first)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\xfb\xf4\x90"));
    arm(&r, WINDOW_INTERRUPT);
    rig_halts_at(&r, CODE + 2);
    ck_assert_uint_eq(r.g.exit.VpContext.ExecutionState.InterruptShadow, 0);
    ck_assert_uint_eq(armed(&r), WINDOW_INTERRUPT);
    opens_at(&r, CODE + 2, INTERRUPT);
    rig_close(&r);
}
END_TEST

START_TEST(POPF_and_IRET_open_a_window_without_a_shadow)
{
    static const u64 frame[5] = { DATA, SELECTOR_CODE64, 2 | RFLAG_IF, GUEST_STACK, SELECTOR_DATA };
    struct rig r;

    rig_open(&r, IN_LONG, X("\x9d\x90\xf4"));
    r.g.memory[GUEST_STACK + 1] = 2;
    arm(&r, WINDOW_INTERRUPT);
    opens_at(&r, CODE + 1, INTERRUPT);
    rig_close(&r);

    rig_open(&r, IN_LONG, X("\x48\xcf"));
    rig_poke(&r, 0x7f00, frame, sizeof frame);
    rig_set(&r, Rsp, 0x7f00);
    arm(&r, WINDOW_INTERRUPT);
    opens_at(&r, DATA, INTERRUPT);
    rig_close(&r);
}
END_TEST

START_TEST(no_window_opens_behind_CLI)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\xfb\xfa\x90\x90\xf4")); /* sti; cli */
    arm(&r, WINDOW_INTERRUPT);
    rig_halts_at(&r, CODE + 5);
    ck_assert_uint_eq(armed(&r), WINDOW_INTERRUPT);
    arm(&r, 0);
    rig_set(&r, Rflags, 2 | RFLAG_IF);
    rig_set(&r, Rip, CODE + 2);
    rig_halts_at(&r, CODE + 5);
    rig_close(&r);
}
END_TEST

START_TEST(the_priority_is_compared_with_the_task_priority)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\x44\x0f\x22\xc0\x90\xf4")); /* mov cr8, rax */
    rig_set(&r, Rflags, 2 | RFLAG_IF);
    rig_set(&r, Rax, 4);
    rig_set(&r, Cr8, 5);
    arm(&r, WINDOW_INTERRUPT | 5 << 2);
    opens_at(&r, CODE + 4, INTERRUPT);
    ck_assert_uint_eq(armed(&r), 0);
    ck_assert_uint_eq(r.g.exit.VpContext.Cr8, 4);
    rig_close(&r);

    rig_open(&r, IN_LONG, X("\xf4")); /* 0 ignores it */
    rig_set(&r, Rflags, 2 | RFLAG_IF);
    rig_set(&r, Cr8, 15);
    arm(&r, WINDOW_INTERRUPT);
    opens_at(&r, CODE, INTERRUPT);
    rig_close(&r);
}
END_TEST

START_TEST(the_NMI_window_comes_first_and_the_other_stays_armed)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\x90\xf4"));
    rig_set(&r, Rflags, 2 | RFLAG_IF);
    arm(&r, WINDOW_INTERRUPT | WINDOW_NMI | 3 << 2);
    opens_at(&r, CODE, NMI);
    ck_assert_uint_eq(armed(&r), WINDOW_INTERRUPT | 3 << 2);
    opens_at(&r, CODE, INTERRUPT);
    rig_halts_at(&r, CODE + 2);
    rig_close(&r);
}
END_TEST

START_TEST(an_NMI_window_waits_for_IRET)
{
    static const u64 frame[5] = { DATA, SELECTOR_CODE64, 2, GUEST_STACK, SELECTOR_DATA };
    struct rig r;

    rig_open(&r, IN_LONG, X("\x90\xf4"));
    inject(&r, INJECT(NMI, 2, 0));
    rig_halts_in(&r, 2);
    ck_assert_uint_eq(interrupt_state(&r), 2);
    arm(&r, WINDOW_NMI);
    rig_poke(&r, HANDLER(2) + 1, X("\x90\x48\xcf")); /* nop; iretq */
    opens_at(&r, CODE, NMI);
    ck_assert_uint_eq(interrupt_state(&r), 0);
    rig_close(&r);

    rig_open(&r, IN_LONG, X("\x48\xcf")); /* masked by the caller */
    guest_set(&r.g, WHvRegisterInterruptState, 2);
    rig_poke(&r, 0x7f00, frame, sizeof frame);
    rig_set(&r, Rsp, 0x7f00);
    arm(&r, WINDOW_NMI);
    opens_at(&r, DATA, NMI);
    rig_close(&r);
}
END_TEST

START_TEST(a_window_outlasts_a_debug_trap)
{
    struct rig r;

    /* nop under TF; the handler: sti; nop */
    rig_open(&r, IN_LONG, X("\x90\xf4"));
    rig_set(&r, Rflags, 2 | RFLAG_TF);
    rig_poke(&r, HANDLER(1), X("\xfb\x90\xf4"));
    arm(&r, WINDOW_INTERRUPT);
    opens_at(&r, HANDLER(1) + 2, INTERRUPT);
    rig_close(&r);
}
END_TEST

START_TEST(a_window_opens_between_the_rounds_of_a_REP)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\xfb\xf3\xaa\xf4")); /* sti; rep stosb: the first round ends the shadow */
    rig_set(&r, Rdi, DATA);
    rig_set(&r, Rcx, 100);
    arm(&r, WINDOW_INTERRUPT);
    opens_at(&r, CODE + 1, INTERRUPT);
    ck_assert_uint_eq(rig_get(&r, Rcx), 99);
    ck_assert_uint_eq(r.g.exit.VpContext.Rflags & RFLAG_RF, RFLAG_RF);
    inject(&r, INJECT(INTERRUPT, 0x20, 0));
    rig_halts_in(&r, 0x20);
    ck_assert_uint_eq(rig_pushed(&r, 0), CODE + 1);
    ck_assert_uint_eq(rig_pushed(&r, 2) & RFLAG_RF, RFLAG_RF);
    rig_poke(&r, HANDLER(0x20) + 1, X("\x48\xcf"));
    rig_halts_at(&r, CODE + 4);
    ck_assert_uint_eq(rig_get(&r, Rcx), 0);
    rig_close(&r);
}
END_TEST

TCase *window_case(void)
{
    TCase *t = tcase_create("windows");

    tcase_add_loop_test(t, a_window_opens_at_once_where_interrupts_are_welcome, 0, INS);
    tcase_add_test(t, only_the_first_of_two_STIs_casts_a_shadow);
    tcase_add_loop_test(t, the_shadow_of_STI_lasts_one_instruction, IN_REAL, IN_PROTECTED32 + 1);
    tcase_add_loop_test(t, the_shadow_of_STI_lasts_one_instruction, IN_LONG, IN_LONG + 1);
    tcase_add_test(t, MOV_SS_and_POP_SS_cast_a_shadow_and_LSS_does_not);
    tcase_add_test(t, the_caller_may_end_and_begin_a_shadow);
    tcase_add_test(t, a_fault_in_the_shadow_ends_it);
    tcase_add_test(t, a_shadow_that_was_ended_during_an_exit_does_not_come_back);
    tcase_add_test(t, HLT_retires_in_the_shadow_and_leaves_first);
    tcase_add_test(t, POPF_and_IRET_open_a_window_without_a_shadow);
    tcase_add_test(t, no_window_opens_behind_CLI);
    tcase_add_test(t, the_priority_is_compared_with_the_task_priority);
    tcase_add_test(t, the_NMI_window_comes_first_and_the_other_stays_armed);
    tcase_add_test(t, an_NMI_window_waits_for_IRET);
    tcase_add_test(t, a_window_outlasts_a_debug_trap);
    tcase_add_test(t, a_window_opens_between_the_rounds_of_a_REP);
    return t;
}

Suite *events_suite(void)
{
    Suite *s = suite_create("events");

    suite_add_tcase(s, window_case());
    suite_add_tcase(s, injection_case());
    suite_add_tcase(s, entry_case());
    suite_add_tcase(s, count_case());
    return s;
}
