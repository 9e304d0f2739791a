/* SPDX-License-Identifier: MIT */
/* Which interrupt comes when: IRR, ISR, TPR, PPR; EOI and its exit; the write traps. */
#include "tests/whp/apic.h"

static struct board b;

enum { TRAPS = 7 << 7 | 3 << 12 };

static void setup(void)
{
    board_open(&b, WHvX64LocalApicEmulationModeXApic, 1, SwhpClockVirtual, 0);
    board_write(&b, 0, APIC_SVR, 0x1ff);
}

static void teardown(void)
{
    board_close(&b);
}

static void request(u32 vector, u32 flags)
{
    ck_ok(board_request(&b, WHvX64InterruptTypeFixed, 0, vector, flags));
}

static u32 next(void)
{
    board_pass(&b, 0);
    return board_run(&b, 0);
}

START_TEST(the_highest_class_comes_first)
{
    board_eoi(&b);
    request(0x31, 0);
    request(0x52, 0);
    request(0x51, 0);
    request(0xff, 0);
    board_loop(&b, 0);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicIrr1), 1u << 0x11);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicIrr2), 6u << 16);
    ck_assert_uint_eq(board_run(&b, 0), 0xff);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicIsr7), 1u << 31);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicIrr7), 0);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicPpr), 0xf0);
    ck_assert_uint_eq(next(), 0x52);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicPpr), 0x50);
    ck_assert_uint_eq(next(), 0x51);
    ck_assert_uint_eq(next(), 0x31);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicPpr), 0x30);
}
END_TEST

START_TEST(what_is_in_service_holds_its_class_back)
{
    request(0x51, 0);
    board_loop(&b, 0);
    ck_assert_uint_eq(board_run(&b, 0), 0x51);
    request(0x5f, 0); /* the same class */
    request(0x60, 0);
    ck_assert_uint_eq(next(), 0x60); /* without EOI, behind IRET */
    board_pass(&b, 0);
    ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 0, board_count(&b, 0) + 100, &b.exit[0], sizeof b.exit[0]));
    ck_assert_uint_eq((u32)b.exit[0].ExitReason, (u32)SwhpRunVpExitReasonCount);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicIrr2), 1u << 31);
    board_write(&b, 0, APIC_EOI, 0); /* of 60 */
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicIsr2), 1u << 0x11);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicIsr3), 0);
    ck_assert_uint_eq(board_write(&b, 0, APIC_EOI, 0), 0x5f); /* right behind the write */
}
END_TEST

START_TEST(tpr_holds_classes_up_to_its_own)
{
    struct code c = { .size = 0 };

    board_eoi(&b);
    board_write(&b, 0, APIC_TPR, 0x50);
    request(0x5f, 0);
    request(0x61, 0);
    CODE(&c, 0xfb, 0x90, 0x31, 0xc0, 0xe6, 2); /* sti; nop; xor eax, eax; out 2 */
    CODE(&c, 0xb8, 4, 0, 0, 0, 0xf0, 0x0f, 0x22, 0xc0); /* mov eax, 4; mov cr8, eax, as 32-bit code has it */
    ck_assert_uint_eq(board_do(&b, 0, &c), 0x61);
    ck_assert_uint_eq(next(), 2);
    ck_assert_uint_eq(next(), 0x5f);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicTpr), 0x40);
    ck_assert_uint_eq(next(), BOARD_DONE);
}
END_TEST

START_TEST(the_shadow_of_sti_and_if_hold_all)
{
    struct code c = { .size = 0 };

    request(0x40, 0);
    CODE(&c, 0x90, 0xe6, 2, 0xfb, 0xe6, 3); /* nop; out 2; sti; out 3 */
    board_put(&b, 0, &c);
    ck_assert_uint_eq(board_run(&b, 0), 2);
    ck_assert_uint_eq(next(), 3);
    ck_assert_uint_eq(board_get(&b, 0, WHvRegisterInterruptState), 1); /* the caller's completion ends no shadow */
    board_set(&b, 0, WHvRegisterInterruptState, 0);
    ck_assert_uint_eq(next(), 0x40);
}
END_TEST

START_TEST(an_eoi_of_a_level_triggered_vector_is_an_exit)
{
    board_eoi(&b);
    request(0x61, LEVEL);
    request(0x71, 0);
    board_loop(&b, 0);
    ck_assert_uint_eq(board_run(&b, 0), 0x71);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicTmr3), 2);
    ck_assert_uint_eq(next(), 0x61);
    ck_assert_uint_eq(next(), REASON(WHvRunVpExitReasonX64ApicEoi));
    ck_assert_uint_eq(b.exit[0].ApicEoi.InterruptVector, 0x61);
    ck_assert_uint_eq(b.exit[0].VpContext.Rip, BOARD_STUBS + 0x61 * 16 + 12); /* behind the write */
    ck_assert_uint_eq(b.exit[0].VpContext.InstructionLength, 0);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicIsr3), 0);
    request(0x61, 0); /* edge now: the bit in TMR goes */
    ck_assert_uint_eq(board_run(&b, 0), 0x61);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicTmr3), 0);
    request(0x41, 0);
    ck_assert_uint_eq(next(), 0x41); /* no exit between */
}
END_TEST

START_TEST(the_exit_of_an_eoi_comes_before_a_latched_cancel)
{
    u64 count;

    request(0x61, LEVEL);
    board_loop(&b, 0);
    ck_assert_uint_eq(board_run(&b, 0), 0x61);
    count = board_count(&b, 0);
    ck_assert_uint_eq(board_write(&b, 0, APIC_EOI, 0), REASON(WHvRunVpExitReasonX64ApicEoi));
    ck_assert_uint_eq(board_count(&b, 0), count + 2); /* the OUT, which the caller completed, and the write */
    ck_assert_uint_eq(board_run(&b, 0), BOARD_DONE);
    ck_assert_uint_eq(board_write(&b, 0, APIC_EOI, 0), BOARD_DONE); /* nothing is in service */
}
END_TEST

static const struct trapped {
    u32 n, bit, written, stored;
} trapped[] = {
    { APIC_LVT_LINT0, 7, 0x8700, 0x8700 },
    { APIC_LVT_LINT1, 8, 0x400, 0x400 },
    { APIC_SVR, 9, 0x1ef, 0x1ef },
    { APIC_LDR, 12, 0x04000000, 0x04000000 },
    { APIC_DFR, 13, 0x0fffffff, 0x0fffffff },
};

START_TEST(writes_to_five_registers_are_exits_for_who_asks)
{
    const struct trapped *t = &trapped[_i];
    u64 exits = TRAPS;

    ck_assert_uint_eq(board_write(&b, 0, t->n, t->written), BOARD_DONE);
    board_write(&b, 0, t->n, t->n == APIC_SVR ? 0x1ff : 0x10000);
    ck_ok(WHvSetPartitionProperty(b.partition, WHvPartitionPropertyCodeExtendedVmExits, &exits, sizeof exits));
    ck_assert_uint_eq(board_write(&b, 0, t->n, t->written), REASON(WHvRunVpExitReasonX64ApicWriteTrap));
    ck_assert_uint_eq((u32)b.exit[0].ApicWrite.Type, t->n * 16);
    ck_assert_uint_eq(b.exit[0].ApicWrite.WriteValue, t->written);
    ck_assert_uint_eq(b.exit[0].VpContext.Rip, BOARD_CODE + 10);
    ck_assert_uint_eq(board_run(&b, 0), BOARD_DONE);
    ck_assert_uint_eq(board_read(&b, 0, t->n), t->stored);
    exits &= ~((u64)1 << t->bit);
    ck_ok(WHvSetPartitionProperty(b.partition, WHvPartitionPropertyCodeExtendedVmExits, &exits, sizeof exits));
    ck_assert_uint_eq(board_write(&b, 0, t->n, t->written), BOARD_DONE);
}
END_TEST

START_TEST(windows_look_at_the_emulated_priority)
{
    board_set(&b, 0, WHvX64RegisterDeliverabilityNotifications, 2 | 5 << 2);
    request(0x61, 0);
    board_loop(&b, 0);
    ck_assert_uint_eq(board_run(&b, 0), 0x61);
    board_pass(&b, 0);
    ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 0, board_count(&b, 0) + 50, &b.exit[0], sizeof b.exit[0]));
    ck_assert_uint_eq((u32)b.exit[0].ExitReason, (u32)SwhpRunVpExitReasonCount); /* 61 is in service */
    ck_assert_uint_eq(board_write(&b, 0, APIC_EOI, 0), REASON(WHvRunVpExitReasonX64InterruptWindow));
}
END_TEST

TCase *apic_priority_case(void)
{
    TCase *t = tcase_create("apic-priorities");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_highest_class_comes_first);
    tcase_add_test(t, what_is_in_service_holds_its_class_back);
    tcase_add_test(t, tpr_holds_classes_up_to_its_own);
    tcase_add_test(t, the_shadow_of_sti_and_if_hold_all);
    tcase_add_test(t, an_eoi_of_a_level_triggered_vector_is_an_exit);
    tcase_add_test(t, the_exit_of_an_eoi_comes_before_a_latched_cancel);
    tcase_add_loop_test(t, writes_to_five_registers_are_exits_for_who_asks, 0, sizeof trapped / sizeof *trapped);
    tcase_add_test(t, windows_look_at_the_emulated_priority);
    return t;
}
