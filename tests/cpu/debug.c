/* SPDX-License-Identifier: MIT */
/* Single steps, and debug exceptions that wait. SDM 3B 17.3.1, APM 2 13.1.4. */
#include "tests/cpu/event_machine.h"

enum { VECTOR_DB = 1, VECTOR_UD = 6 };

START_TEST(a_step_traps_behind_the_instruction_with_BS_and_without_TF)
{
    struct rig r;

    rig_open(&r, (enum in)_i, X("\x90\x90\xf4"));
    rig_set(&r, Rflags, rig_get(&r, Rflags) | RFLAG_TF);
    rig_halts_in(&r, VECTOR_DB);
    ck_assert_uint_eq(rig_pushed(&r, 0), CODE + 1);
    ck_assert_uint_eq(rig_pushed(&r, 2) & (RFLAG_TF | RFLAG_RF), RFLAG_TF);
    ck_assert_uint_eq(rig_get(&r, Rflags) & RFLAG_TF, 0);
    ck_assert_uint_eq(rig_get(&r, Dr6), DR6_RESET | DEBUG_BS);
    ck_assert_uint_eq(rig_count(&r), 3); /* nop, #DB, hlt */
    rig_close(&r);
}
END_TEST

static void open_stepping(struct rig *r, enum in in, const char *code, size_t size)
{
    rig_open(r, in, code, size);
    rig_intercept(r, 1 << VECTOR_DB);
    rig_set(r, Rflags, rig_get(r, Rflags) | RFLAG_TF);
}

START_TEST(an_intercepted_step_leaves_before_DR6_is_written)
{
    struct rig r;

    open_stepping(&r, (enum in)_i, X("\x90\x90"));
    rig_traps_at(&r, CODE + 1, DEBUG_BS);
    ck_assert_uint_eq(r.g.exit.VpContext.InstructionLength, 0);
    ck_assert_uint_eq(r.g.exit.VpException.ExceptionInfo.AsUINT32, 0);
    ck_assert_uint_eq(rig_get(&r, Dr6), DR6_RESET);
    ck_assert_uint_eq(r.g.exit.VpContext.Rflags & RFLAG_TF, RFLAG_TF);
    ck_assert_uint_eq(guest_get(&r.g, WHvX64RegisterPendingDebugException), 0);
    rig_traps_at(&r, CODE + 2, DEBUG_BS);
    ck_assert_uint_eq(rig_count(&r), 2);
    rig_close(&r);
}
END_TEST

START_TEST(steps_go_through_branches)
{
    struct rig r;

    /* jmp +1; int3; call +1; int3; jz -1; ret */
    open_stepping(&r, IN_LONG, X("\xeb\x01\xcc\xe8\x01\x00\x00\x00\xcc\x74\xfe\xc3"));
    rig_traps_at(&r, CODE + 3, DEBUG_BS);
    rig_traps_at(&r, CODE + 9, DEBUG_BS);
    rig_traps_at(&r, CODE + 11, DEBUG_BS);
    rig_traps_at(&r, CODE + 8, DEBUG_BS);
    rig_close(&r);
}
END_TEST

START_TEST(each_round_of_a_REP_is_a_step)
{
    struct rig r;

    open_stepping(&r, (enum in)_i, X("\xf3\xa4\x90"));
    rig_set(&r, Rcx, 3);
    rig_set(&r, Rsi, DATA);
    rig_set(&r, Rdi, DATA + 64);
    rig_traps_at(&r, CODE, DEBUG_BS);
    ck_assert_uint_eq(rig_get(&r, Rcx), 2);
    ck_assert_uint_ne(r.g.exit.VpContext.Rflags & RFLAG_RF, 0); /* between rounds: SDM 3B 17.3.1.1 */
    rig_traps_at(&r, CODE, DEBUG_BS);
    rig_traps_at(&r, CODE + 2, DEBUG_BS);
    ck_assert_uint_eq(r.g.exit.VpContext.Rflags & RFLAG_RF, 0);
    ck_assert_uint_eq(rig_get(&r, Rcx), 0);
    rig_traps_at(&r, CODE + 3, DEBUG_BS);
    ck_assert_uint_eq(rig_count(&r), 4);
    rig_close(&r);
}
END_TEST

START_TEST(a_software_interrupt_is_not_trapped)
{
    struct rig r;

    open_stepping(&r, (enum in)_i, X("\xcd\x20"));
    rig_halts_in(&r, 0x20);
    ck_assert_uint_eq(rig_pushed(&r, 0), CODE + 2);
    ck_assert_uint_eq(rig_pushed(&r, 2) & RFLAG_TF, RFLAG_TF);
    ck_assert_uint_eq(rig_count(&r), 2);
    rig_close(&r);
}
END_TEST

START_TEST(a_fault_under_TF_comes_alone)
{
    struct rig r;

    open_stepping(&r, (enum in)_i, X("\x0f\x0b"));
    rig_halts_in(&r, VECTOR_UD);
    ck_assert_uint_eq(rig_pushed(&r, 0), CODE);
    ck_assert_uint_eq(rig_pushed(&r, 2) & RFLAG_TF, RFLAG_TF);
    if (r.slot > 2)
        ck_assert_uint_eq(rig_pushed(&r, 2) & RFLAG_RF, RFLAG_RF);
    rig_close(&r);
}
END_TEST

START_TEST(POPF_that_sets_TF_is_not_trapped_but_the_next)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\x68\x02\x01\x00\x00\x9d\x90\x90")); /* push 0x102; popf; nop; nop */
    rig_intercept(&r, 1 << VECTOR_DB);
    rig_traps_at(&r, CODE + 7, DEBUG_BS);
    rig_close(&r);
}
END_TEST

START_TEST(POPF_that_clears_TF_is_trapped)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\x9d\x90\xf4"));
    rig_intercept(&r, 1 << VECTOR_DB);
    r.g.memory[GUEST_STACK] = 2;
    rig_set(&r, Rflags, 2 | RFLAG_TF);
    rig_traps_at(&r, CODE + 1, DEBUG_BS);
    rig_halts_at(&r, CODE + 3);
    rig_close(&r);
}
END_TEST

START_TEST(IRET_that_sets_TF_is_not_trapped_but_the_next)
{
    struct rig r;
    u64 frame[5] = { DATA, SELECTOR_CODE64, 2 | RFLAG_TF, GUEST_STACK, SELECTOR_DATA };

    rig_open(&r, IN_LONG, X("\x48\xcf"));
    rig_intercept(&r, 1 << VECTOR_DB);
    rig_poke(&r, 0x7f00, frame, sizeof frame);
    rig_poke(&r, DATA, "\x90\x90", 2);
    rig_set(&r, Rsp, 0x7f00);
    rig_traps_at(&r, DATA + 1, DEBUG_BS);
    rig_close(&r);
}
END_TEST

static void open_syscall(struct rig *r, enum in in, const char *code, size_t size, u64 sfmask)
{
    open_stepping(r, in, code, size);
    rig_set(r, Star, (u64)SELECTOR_CODE64 << 32 | (u64)(SELECTOR_USER_CODE32) << 48);
    rig_set(r, Lstar, DATA);
    rig_set(r, Sfmask, sfmask);
    rig_poke(r, DATA, "\xf4", 1);
}

START_TEST(SYSCALL_is_trapped_if_TF_stays)
{
    struct rig r;

    open_syscall(&r, IN_LONG_USER, X("\x0f\x05"), 0);
    rig_traps_at(&r, DATA, DEBUG_BS);
    rig_close(&r);
    open_syscall(&r, IN_LONG_USER, X("\x0f\x05"), RFLAG_TF);
    rig_halts_at(&r, DATA + 1);
    rig_close(&r);
}
END_TEST

START_TEST(SYSRET_is_trapped_if_TF_comes)
{
    struct rig r;

    open_syscall(&r, IN_LONG, X("\x48\x0f\x07"), 0);
    rig_set(&r, Rflags, 2);
    rig_set(&r, Rcx, DATA);
    rig_set(&r, R11, 2 | RFLAG_TF);
    rig_traps_at(&r, DATA, DEBUG_BS);
    ck_assert_uint_eq(r.g.exit.VpContext.ExecutionState.Cpl, 3);
    rig_close(&r);
}
END_TEST

START_TEST(MOV_SS_holds_the_step_back)
{
    struct rig r;

    open_stepping(&r, IN_PROTECTED32, X("\x8e\xd0\x90\x90")); /* mov ss, ax; nop; nop */
    rig_set(&r, Rax, SELECTOR_DATA);
    rig_traps_at(&r, CODE + 3, DEBUG_BS);
    rig_close(&r);
}
END_TEST

START_TEST(a_data_breakpoint_of_MOV_SS_comes_behind_the_next_instruction)
{
    struct rig r;

    rig_open(&r, IN_PROTECTED32, X("\x8e\x17\x90\xf4")); /* mov ss, [edi]; nop */
    rig_intercept(&r, 1 << VECTOR_DB);
    rig_set(&r, Rdi, DATA);
    r.g.memory[DATA] = SELECTOR_DATA;
    rig_set(&r, Dr0, DATA);
    rig_set(&r, Dr7, BREAK(0, ON_ACCESS, 2));
    ck_assert_uint_eq(rig_run_until(&r, 1), SwhpRunVpExitReasonCount);
    ck_assert_uint_eq(r.g.exit.VpContext.ExecutionState.InterruptShadow, 1);
    ck_assert_uint_eq(guest_get(&r.g, WHvX64RegisterPendingDebugException), 1);
    rig_traps_at(&r, CODE + 3, 1);
    rig_close(&r);

    rig_open(&r, IN_PROTECTED32,
             X("\x8e\x17\xcd\x20")); /* mov ss, [edi]; int 0x20: the trap waits in the handler */
    rig_intercept(&r, 1 << VECTOR_DB);
    rig_set(&r, Rdi, DATA);
    r.g.memory[DATA] = SELECTOR_DATA;
    rig_set(&r, Dr0, DATA);
    rig_set(&r, Dr7, BREAK(0, ON_ACCESS, 2));
    rig_traps_at(&r, HANDLER(0x20), 1);
    rig_close(&r);
}
END_TEST

START_TEST(what_the_caller_completes_is_not_trapped)
{
    struct rig r;

    open_stepping(&r, (enum in)_i, X("\xe6\x42\x90\x90"));
    rig_leaves(&r, LEAVES(X64IoPortAccess), CODE);
    rig_set(&r, Rip, CODE + 2);
    rig_traps_at(&r, CODE + 3, DEBUG_BS);
    rig_close(&r);
}
END_TEST

START_TEST(TF_of_an_exit_is_forgotten_where_the_caller_clears_it)
{
    struct rig r;

    open_stepping(&r, IN_LONG, X("\xe6\x42\xf3\xa4\xf4")); /* out; rep movsb: over page borders */
    rig_leaves(&r, LEAVES(X64IoPortAccess), CODE);
    rig_set(&r, Rip, CODE + 2);
    rig_set(&r, Rflags, 2);
    rig_set(&r, Rcx, 0x3000);
    rig_set(&r, Rsi, 0x20000);
    rig_set(&r, Rdi, 0x30000);
    rig_halts_at(&r, CODE + 5);
    rig_close(&r);
}
END_TEST

START_TEST(HLT_retires_and_its_step_waits)
{
    struct rig r;

    open_stepping(&r, (enum in)_i, X("\xf4\x90"));
    rig_halts_at(&r, CODE + 1);
    ck_assert_uint_eq(guest_get(&r.g, WHvX64RegisterPendingDebugException), 16);
    rig_traps_at(&r, CODE + 1, DEBUG_BS);
    rig_close(&r);
}
END_TEST

START_TEST(a_pending_debug_exception_comes_at_the_next_boundary)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\x90\x90"));
    guest_set(&r.g, WHvX64RegisterPendingDebugException, 16 | 4);
    ck_assert_uint_eq(guest_get(&r.g, WHvX64RegisterPendingDebugException), 16 | 4);
    rig_halts_in(&r, VECTOR_DB);
    ck_assert_uint_eq(rig_pushed(&r, 0), CODE);
    ck_assert_uint_eq(rig_get(&r, Dr6), DR6_RESET | DEBUG_BS | 4);
    ck_assert_uint_eq(guest_get(&r.g, WHvX64RegisterPendingDebugException), 0);
    rig_close(&r);

    rig_open(&r, IN_LONG, X("\x90\xf4"));
    guest_set(&r.g, WHvX64RegisterPendingDebugException, 16);
    guest_set(&r.g, WHvX64RegisterPendingDebugException, 0);
    rig_halts_at(&r, CODE + 2);
    rig_close(&r);
}
END_TEST

/* What VM entry does with them: SDM 3C 26.7.3. */
START_TEST(an_injected_exception_supersedes_a_pending_debug_exception)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\x90\xf4"));
    guest_set(&r.g, WHvX64RegisterPendingDebugException, 16);
    guest_set(&r.g, WHvRegisterPendingInterruption, INJECT(0, 0x20, 0));
    rig_halts_in(&r, 0x20);
    ck_assert_uint_eq(rig_get(&r, Dr6), DR6_RESET);
    rig_close(&r);
}
END_TEST

TCase *step_case(void)
{
    TCase *t = tcase_create("steps");

    tcase_add_loop_test(t, a_step_traps_behind_the_instruction_with_BS_and_without_TF, 0, INS);
    tcase_add_loop_test(t, an_intercepted_step_leaves_before_DR6_is_written, 0, INS);
    tcase_add_test(t, steps_go_through_branches);
    tcase_add_loop_test(t, each_round_of_a_REP_is_a_step, 0, INS);
    tcase_add_loop_test(t, a_software_interrupt_is_not_trapped, 0, INS);
    tcase_add_loop_test(t, a_fault_under_TF_comes_alone, 0, INS);
    tcase_add_test(t, POPF_that_sets_TF_is_not_trapped_but_the_next);
    tcase_add_test(t, POPF_that_clears_TF_is_trapped);
    tcase_add_test(t, IRET_that_sets_TF_is_not_trapped_but_the_next);
    tcase_add_test(t, SYSCALL_is_trapped_if_TF_stays);
    tcase_add_test(t, SYSRET_is_trapped_if_TF_comes);
    tcase_add_test(t, MOV_SS_holds_the_step_back);
    tcase_add_test(t, a_data_breakpoint_of_MOV_SS_comes_behind_the_next_instruction);
    tcase_add_loop_test(t, what_the_caller_completes_is_not_trapped, 0, IN_VM86);
    tcase_add_loop_test(t, what_the_caller_completes_is_not_trapped, IN_LONG, IN_LONG + 1);
    tcase_add_test(t, TF_of_an_exit_is_forgotten_where_the_caller_clears_it);
    tcase_add_loop_test(t, HLT_retires_and_its_step_waits, IN_REAL, IN_REAL + 1);
    tcase_add_loop_test(t, HLT_retires_and_its_step_waits, IN_LONG, IN_LONG + 1);
    tcase_add_test(t, a_pending_debug_exception_comes_at_the_next_boundary);
    tcase_add_test(t, an_injected_exception_supersedes_a_pending_debug_exception);
    return t;
}

Suite *debug_suite(void)
{
    Suite *s = suite_create("debug");

    suite_add_tcase(s, step_case());
    suite_add_tcase(s, breakpoint_case());
    suite_add_tcase(s, data_breakpoint_case());
    suite_add_tcase(s, watch_case());
    return s;
}
