/* SPDX-License-Identifier: MIT */
/* Breakpoints on instructions and ports; general detect. SDM 3B 17.2 and 17.3, APM 2 13.1. */
#include "tests/cpu/event_machine.h"

enum { VECTOR_DB = 1, VECTOR_UD = 6 };

/* ---- breakpoints on instructions ---- */

static void open_breaking(struct rig *r, enum in in, const char *code, size_t size, u64 dr7)
{
    rig_open(r, in, code, size);
    rig_intercept(r, 1 << VECTOR_DB);
    rig_set(r, Dr7, dr7);
}

START_TEST(an_instruction_breakpoint_fires_before_and_RF_lets_one_pass)
{
    struct rig r;

    open_breaking(&r, (enum in)_i, X("\x90\x90\x90\x90"), BREAK(0, ON_EXECUTE, 1) | BREAK(1, ON_EXECUTE, 1));
    rig_set(&r, Dr0, CODE + 1);
    rig_set(&r, Dr1, CODE + 2);
    rig_traps_at(&r, CODE + 1, 1);
    ck_assert_uint_eq(r.g.exit.VpContext.ExecutionState.DebugActive, 1);
    ck_assert_uint_eq(rig_count(&r), 1);
    rig_traps_at(&r, CODE + 1, 1);
    rig_set(&r, Rflags, rig_get(&r, Rflags) | RFLAG_RF);
    rig_traps_at(&r, CODE + 2, 2);
    ck_assert_uint_eq(r.g.exit.VpContext.Rflags & RFLAG_RF, 0);
    rig_close(&r);
}
END_TEST

START_TEST(a_handler_goes_on_by_setting_RF)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\x90\x90\xf4"));
    rig_set(&r, Dr3, CODE + 1);
    rig_set(&r, Dr7, BREAK(3, ON_EXECUTE, 1));
    rig_halts_in(&r, VECTOR_DB);
    ck_assert_uint_eq(rig_pushed(&r, 0), CODE + 1);
    ck_assert_uint_eq(rig_pushed(&r, 2) & RFLAG_RF, 0); /* APM 2 3.1.6 */
    ck_assert_uint_eq(rig_get(&r, Dr6), DR6_RESET | 8);
    rig_poke(&r, HANDLER(1) + 1, X("\x80\x4c\x24\x12\x01\x48\xcf")); /* or byte [rsp+18], 1; iretq */
    rig_halts_at(&r, CODE + 3);
    rig_close(&r);
}
END_TEST

START_TEST(only_enabled_breakpoints_fire)
{
    struct rig r;

    open_breaking(&r, IN_LONG, X("\x90\xf4"), 2); /* G0 */
    rig_set(&r, Dr0, CODE);
    rig_traps_at(&r, CODE, 1);
    rig_set(&r, Dr7, 0x300); /* LE and GE alone */
    ck_assert_uint_eq(rig_get(&r, Dr7), 0x700);
    rig_halts_at(&r, CODE + 2);
    rig_close(&r);
}
END_TEST

START_TEST(a_breakpoint_comes_before_the_fault_of_its_instruction)
{
    struct rig r;

    open_breaking(&r, IN_LONG, X("\x0f\x0b"), BREAK(0, ON_EXECUTE, 1));
    rig_set(&r, Dr0, CODE);
    rig_traps_at(&r, CODE, 1);
    rig_set(&r, Rflags, 2 | RFLAG_RF);
    rig_halts_in(&r, VECTOR_UD);
    ck_assert_uint_eq(rig_pushed(&r, 2) & RFLAG_RF, RFLAG_RF);
    rig_close(&r);

    open_breaking(&r, IN_LONG, X("\xf4"), BREAK(0, ON_EXECUTE, 1)); /* nor is it fetched */
    rig_set(&r, Dr0, ABSENT);
    rig_set(&r, Rip, ABSENT);
    rig_traps_at(&r, ABSENT, 1);
    rig_close(&r);
}
END_TEST

START_TEST(a_restarted_fault_does_not_hit_its_breakpoint_again)
{
    struct rig r;

    open_breaking(&r, IN_LONG, X("\x8a\x07\xf4"), BREAK(0, ON_EXECUTE, 1)); /* mov al, [rdi] */
    rig_set(&r, Dr0, CODE);
    rig_set(&r, Rdi, ABSENT);
    rig_traps_at(&r, CODE, 1);
    rig_set(&r, Rflags, 2 | RFLAG_RF);
    /* the #PF handler: add rsp, 8; mov edi, DATA; iretq */
    rig_poke(&r, HANDLER(14), X("\x48\x83\xc4\x08\xbf\x00\xc0\x00\x00\x48\xcf"));
    rig_halts_at(&r, CODE + 3);
    rig_close(&r);
}
END_TEST

START_TEST(the_trap_of_the_instruction_before_comes_first)
{
    struct rig r;

    open_breaking(&r, IN_LONG, X("\x90\x90"), BREAK(0, ON_EXECUTE, 1));
    rig_set(&r, Dr0, CODE + 1);
    rig_set(&r, Rflags, 2 | RFLAG_TF);
    rig_traps_at(&r, CODE + 1, DEBUG_BS);
    rig_traps_at(&r, CODE + 1, 1);
    rig_close(&r);
}
END_TEST

START_TEST(a_breakpoint_behind_MOV_SS_is_passed_over)
{
    struct rig r;

    open_breaking(&r, IN_PROTECTED32, X("\x8e\xd0\x90\xf4"), BREAK(0, ON_EXECUTE, 1));
    rig_set(&r, Rax, SELECTOR_DATA);
    rig_set(&r, Dr0, CODE + 2);
    rig_halts_at(&r, CODE + 4);
    rig_close(&r);
}
END_TEST

START_TEST(rounds_of_a_REP_do_not_hit_its_breakpoint_again)
{
    struct rig r;

    open_breaking(&r, IN_LONG, X("\xf3\xaa\xf4"), BREAK(0, ON_EXECUTE, 1));
    rig_set(&r, Dr0, CODE);
    rig_set(&r, Rdi, DATA);
    rig_set(&r, Rcx, 10);
    rig_traps_at(&r, CODE, 1);
    rig_set(&r, Rflags, 2 | RFLAG_RF);
    ck_assert_uint_eq(rig_run_until(&r, 3), SwhpRunVpExitReasonCount);
    ck_assert_uint_eq(rig_get(&r, Rcx), 7);
    rig_halts_at(&r, CODE + 3);
    rig_close(&r);
}
END_TEST

START_TEST(RF_is_over_with_what_the_caller_completed)
{
    struct rig r;

    open_breaking(&r, IN_LONG, X("\xe6\x42\x90"), BREAK(0, ON_EXECUTE, 1) | BREAK(1, ON_EXECUTE, 1));
    rig_set(&r, Dr0, CODE);
    rig_set(&r, Dr1, CODE + 2);
    rig_traps_at(&r, CODE, 1);
    rig_set(&r, Rflags, 2 | RFLAG_RF);
    rig_leaves(&r, LEAVES(X64IoPortAccess), CODE);
    rig_leaves(&r, LEAVES(X64IoPortAccess), CODE); /* it hasn't happened yet */
    rig_set(&r, Rip, CODE + 2);
    rig_traps_at(&r, CODE + 2, 2);
    rig_close(&r);
}
END_TEST

/* ---- the rest ---- */

START_TEST(general_detect_protects_the_debug_registers)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\x0f\x23\xc0\xf4")); /* mov dr0, rax */
    rig_set(&r, Dr7, 1 << 13);
    rig_halts_in(&r, VECTOR_DB);
    ck_assert_uint_eq(rig_pushed(&r, 0), CODE);
    ck_assert_uint_eq(rig_get(&r, Dr6), DR6_RESET | DEBUG_BD);
    ck_assert_uint_eq(rig_get(&r, Dr7), 0x400); /* the handler may use them */
    ck_assert_uint_eq(r.g.exit.VpContext.ExecutionState.DebugActive, 0);
    rig_close(&r);

    rig_open(&r, IN_LONG, X("\x0f\x21\xf0\xf4")); /* mov rax, dr6: reading too */
    rig_intercept(&r, 1 << VECTOR_DB);
    rig_set(&r, Dr7, 1 << 13);
    rig_traps_at(&r, CODE, DEBUG_BD);
    ck_assert_uint_eq(rig_get(&r, Dr7), 0x2400);
    rig_close(&r);

    rig_open(&r, IN_LONG_USER, X("\x0f\x21\xf0\xf4")); /* privilege comes first */
    rig_set(&r, Dr7, 1 << 13);
    rig_halts_in(&r, 13);
    rig_close(&r);
}
END_TEST

START_TEST(DR4_and_DR5_are_DR6_and_DR7_without_debugging_extensions)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\x0f\x21\xe0\x0f\x21\xeb\xf4")); /* mov rax, dr4; mov rbx, dr5 */
    rig_halts_at(&r, CODE + 7);
    ck_assert_uint_eq(rig_get(&r, Rax), DR6_RESET);
    ck_assert_uint_eq(rig_get(&r, Rbx), 0x400);
    rig_set(&r, Cr4, 0x28);
    rig_set(&r, Rip, CODE);
    rig_halts_in(&r, VECTOR_UD);
    rig_close(&r);
}
END_TEST

/* The caller completes the instruction; the trap comes behind it. */
START_TEST(a_port_breakpoint_traps_once_the_caller_has_completed_it)
{
    struct rig r;

    open_breaking(&r, IN_LONG, X("\xe6\x42\x90\xf4"), BREAK(0, ON_PORT, 1));
    rig_set(&r, Cr4, 0x28);
    rig_set(&r, Dr0, 0x42);
    rig_leaves(&r, LEAVES(X64IoPortAccess), CODE);
    rig_set(&r, Rip, CODE + 2);
    rig_traps_at(&r, CODE + 2, 1);
    rig_set(&r, Cr4, 0x20); /* without CR4.DE there are none */
    rig_set(&r, Rip, CODE);
    rig_leaves(&r, LEAVES(X64IoPortAccess), CODE);
    rig_set(&r, Rip, CODE + 2);
    rig_halts_at(&r, CODE + 4);
    rig_close(&r);
}
END_TEST

START_TEST(INT1_is_a_trap_that_leaves_DR6_alone)
{
    struct rig r;

    rig_open(&r, (enum in)_i, X("\xf1"));
    rig_halts_in(&r, VECTOR_DB);
    ck_assert_uint_eq(rig_pushed(&r, 0), CODE + 1);
    ck_assert_uint_eq(rig_get(&r, Dr6), DR6_RESET);
    rig_set(&r, Rip, CODE);
    rig_set(&r, Rsp, GUEST_STACK);
    rig_intercept(&r, 1 << VECTOR_DB);
    if (r.cpl == 0) {
        rig_traps_at(&r, CODE, 0);
        ck_assert_uint_eq(r.g.exit.VpException.ExceptionInfo.AsUINT32, 2);
        ck_assert_uint_eq(r.g.exit.VpContext.InstructionLength, 1);
        ck_assert_uint_eq(r.g.exit.VpException.InstructionBytes[0], 0xf1);
    }
    rig_close(&r);
}
END_TEST

TCase *breakpoint_case(void)
{
    TCase *t = tcase_create("breakpoints");

    tcase_add_loop_test(t, an_instruction_breakpoint_fires_before_and_RF_lets_one_pass, 0, INS);
    tcase_add_test(t, a_handler_goes_on_by_setting_RF);
    tcase_add_test(t, only_enabled_breakpoints_fire);
    tcase_add_test(t, a_breakpoint_comes_before_the_fault_of_its_instruction);
    tcase_add_test(t, a_restarted_fault_does_not_hit_its_breakpoint_again);
    tcase_add_test(t, the_trap_of_the_instruction_before_comes_first);
    tcase_add_test(t, a_breakpoint_behind_MOV_SS_is_passed_over);
    tcase_add_test(t, rounds_of_a_REP_do_not_hit_its_breakpoint_again);
    tcase_add_test(t, RF_is_over_with_what_the_caller_completed);
    tcase_add_test(t, general_detect_protects_the_debug_registers);
    tcase_add_test(t, DR4_and_DR5_are_DR6_and_DR7_without_debugging_extensions);
    tcase_add_test(t, a_port_breakpoint_traps_once_the_caller_has_completed_it);
    tcase_add_loop_test(t, INT1_is_a_trap_that_leaves_DR6_alone, 0, INS);
    return t;
}
