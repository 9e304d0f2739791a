/* SPDX-License-Identifier: MIT */
/* INIT and SIPI: inside, and as the caller's business. */
#include "tests/whp/apic.h"

#include <pthread.h>

enum { STARTUP = 1, ICR_INIT = 0x4500, ICR_SIPI = 0x4600 };

static struct board b;

static void setup(void)
{
    board_open(&b, WHvX64LocalApicEmulationModeXApic, 2, SwhpClockVirtual, 0);
    b.memory[0x30000] = 0xe6; /* out 3, al */
    b.memory[0x30001] = 3;
}

static void teardown(void)
{
    board_close(&b);
}

static u32 send(u32 icr)
{
    board_write(&b, 0, APIC_ICR_HIGH, 1 << 24);
    return board_write(&b, 0, APIC_ICR, icr);
}

START_TEST(fresh_processors_but_the_first_wait)
{
    board_close(&b);
    memset(&b, 0, sizeof b);
    board_open(&b, WHvX64LocalApicEmulationModeXApic, 2, SwhpClockVirtual, 0);
    ck_ok(WHvResetPartition(b.partition));
    ck_assert_uint_eq(board_get(&b, 0, WHvRegisterInternalActivityState), 0);
    ck_assert_uint_eq(board_get(&b, 1, WHvRegisterInternalActivityState), STARTUP);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicBase), 0xfee00900);
    ck_assert_uint_eq(board_get(&b, 1, WHvX64RegisterApicBase), 0xfee00800);
}
END_TEST

START_TEST(init_and_sipi_start_a_processor)
{
    board_set(&b, 1, WHvX64RegisterRbx, 5);
    board_set(&b, 1, WHvX64RegisterStar, 0x1234);
    board_set(&b, 1, WHvX64RegisterApicTpr, 0x50);
    ck_assert_uint_eq(send(ICR_INIT), BOARD_DONE);
    ck_assert_uint_eq(send(0x8500), BOARD_DONE); /* the de-assertion does nothing */
    ck_assert_uint_eq(send(ICR_SIPI | 0x30), BOARD_DONE);
    ck_assert_uint_eq(send(ICR_SIPI | 0x40), BOARD_DONE); /* the second one is too late */
    ck_assert_uint_eq(board_run(&b, 1), 3);
    ck_assert_uint_eq(b.exit[1].VpContext.Rip, 0);
    ck_assert_uint_eq(b.exit[1].VpContext.Cs.Selector, 0x3000);
    ck_assert_uint_eq(b.exit[1].VpContext.Cs.Base, 0x30000);
    ck_assert_uint_eq(b.exit[1].VpContext.Cs.Limit, 0xffff);
    ck_assert_uint_eq(board_get(&b, 1, WHvX64RegisterCr0), 0x10); /* CD and NW are as they were */
    ck_assert_uint_eq(board_get(&b, 1, WHvX64RegisterRbx), 0);
    ck_assert_uint_eq(board_get(&b, 1, WHvX64RegisterRflags), 2);
    ck_assert_uint_eq(board_get(&b, 1, WHvX64RegisterStar), 0x1234);
    ck_assert_uint_eq(board_get(&b, 1, WHvX64RegisterApicTpr), 0);
    ck_assert_uint_eq(board_get(&b, 1, WHvX64RegisterApicId), 1 << 24);
    ck_assert_uint_eq(board_get(&b, 1, WHvRegisterInternalActivityState), 0);
    ck_assert_uint_ne(board_get(&b, 1, WHvX64RegisterRdx), 0);
}
END_TEST

START_TEST(a_sipi_without_init_is_lost)
{
    board_loop(&b, 1);
    send(ICR_SIPI | 0x30);
    ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 1, board_count(&b, 1) + 20, &b.exit[1], sizeof b.exit[1]));
    ck_assert_uint_eq((u32)b.exit[1].ExitReason, (u32)SwhpRunVpExitReasonCount);
    ck_assert_uint_eq(board_get(&b, 1, WHvX64RegisterCs), 0);
    send(ICR_SIPI | 0x30);
    send(ICR_INIT); /* forgets it */
    ck_ok(WHvCancelRunVirtualProcessor(b.partition, 1, 0));
    ck_assert_uint_eq(board_run(&b, 1), REASON(WHvRunVpExitReasonCanceled));
    send(ICR_SIPI | 0x30);
    ck_assert_uint_eq(board_run(&b, 1), 3);
}
END_TEST

START_TEST(init_restarts_the_first_processor_at_the_reset_vector)
{
    board_loop(&b, 0);
    ck_ok(board_request(&b, WHvX64InterruptTypeInit, 0, 0, 0));
    ck_assert_uint_eq(board_run(&b, 0), REASON(WHvRunVpExitReasonMemoryAccess));
    ck_assert_uint_eq(b.exit[0].MemoryAccess.Gpa, 0xfffffff0);
}
END_TEST

START_TEST(x2apic_mode_survives_init)
{
    board_close(&b);
    board_open(&b, WHvX64LocalApicEmulationModeX2Apic, 2, SwhpClockVirtual, 0);
    b.memory[0x30000] = 0xe6;
    b.memory[0x30001] = 3;
    board_set(&b, 1, WHvX64RegisterApicBase, 0xfee00c00);
    send(ICR_INIT);
    send(ICR_SIPI | 0x30);
    ck_assert_uint_eq(board_run(&b, 1), 3);
    ck_assert_uint_eq(board_get(&b, 1, WHvX64RegisterApicBase), 0xfee00c00);
    ck_assert_uint_eq(board_get(&b, 1, WHvX64RegisterApicLdr), 2);
}
END_TEST

START_TEST(with_the_trap_they_are_the_callers)
{
    u64 exits = 1 << 6;

    ck_ok(WHvSetPartitionProperty(b.partition, WHvPartitionPropertyCodeExtendedVmExits, &exits, sizeof exits));
    board_set(&b, 1, WHvX64RegisterRbx, 5);
    ck_assert_uint_eq(send(ICR_INIT), REASON(WHvRunVpExitReasonX64ApicInitSipiTrap));
    ck_assert_uint_eq(b.exit[0].ApicInitSipi.ApicIcr, 0x0100000000004500);
    ck_assert_uint_eq(b.exit[0].VpContext.Rip, BOARD_CODE + 10);
    ck_assert_uint_eq(board_run(&b, 0), BOARD_DONE);
    ck_assert_uint_eq(send(ICR_SIPI | 0x30), REASON(WHvRunVpExitReasonX64ApicInitSipiTrap));
    ck_assert_uint_eq(b.exit[0].ApicInitSipi.ApicIcr, 0x0100000000004630);
    board_loop(&b, 1);
    ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 1, board_count(&b, 1) + 20, &b.exit[1], sizeof b.exit[1]));
    ck_assert_uint_eq((u32)b.exit[1].ExitReason, (u32)SwhpRunVpExitReasonCount);
    ck_assert_uint_eq(board_get(&b, 1, WHvX64RegisterRbx), 5);
}
END_TEST

static void *run_second(void *context)
{
    (void)context;
    return (void *)(uintptr_t)board_run(&b, 1);
}

START_TEST(a_waiting_run_is_started_from_another_thread)
{
    pthread_t thread;
    void *port;

    board_close(&b);
    board_open(&b, WHvX64LocalApicEmulationModeXApic, 2, SwhpClockHost, 0);
    b.memory[0x30000] = 0xe6;
    b.memory[0x30001] = 3;
    board_set(&b, 1, WHvRegisterInternalActivityState, STARTUP);
    ck_assert_int_eq(pthread_create(&thread, NULL, run_second, NULL), 0);
    send(ICR_INIT);
    send(ICR_SIPI | 0x30);
    pthread_join(thread, &port);
    ck_assert_uint_eq((uintptr_t)port, 3);
}
END_TEST

TCase *apic_start_case(void)
{
    TCase *t = tcase_create("apic-start");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, fresh_processors_but_the_first_wait);
    tcase_add_test(t, init_and_sipi_start_a_processor);
    tcase_add_test(t, a_sipi_without_init_is_lost);
    tcase_add_test(t, init_restarts_the_first_processor_at_the_reset_vector);
    tcase_add_test(t, x2apic_mode_survives_init);
    tcase_add_test(t, with_the_trap_they_are_the_callers);
    tcase_add_test(t, a_waiting_run_is_started_from_another_thread);
    return t;
}
