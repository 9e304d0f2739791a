/* SPDX-License-Identifier: MIT */
/* From creation to deletion, and what a fresh or reset processor is. */
#include "tests/whp/guest.h"

static void *endless(size_t *size)
{
    static u8 code[] = { 0xf4 };

    *size = sizeof code;
    return code;
}

START_TEST(a_deleted_handle_is_an_error_everywhere)
{
    WHV_PARTITION_HANDLE p = partition_new(1), q;
    u64 mapped[64] __attribute__((aligned(4096)));
    WHV_RUN_VP_EXIT_CONTEXT x;
    WHV_REGISTER_NAME name = WHvX64RegisterRax;
    WHV_REGISTER_VALUE v;

    ck_ok(WHvCreateVirtualProcessor(p, 0, 0));
    ck_ok(WHvDeletePartition(p));
    q = partition_new(1); /* may sit where p sat */
    ck_ok(WHvCreateVirtualProcessor(q, 0, 0));
    ck_assert_ptr_ne(p, q);
    ck_hr(WHvDeletePartition(p), E_INVALIDARG);
    ck_hr(WHvSetupPartition(p), E_INVALIDARG);
    ck_hr(WHvMapGpaRange(p, mapped, 0, 4096, WHvMapGpaRangeFlagRead), E_INVALIDARG);
    ck_hr(WHvCreateVirtualProcessor(p, 0, 0), E_INVALIDARG);
    ck_hr(WHvDeleteVirtualProcessor(p, 0), E_INVALIDARG);
    ck_hr(WHvRunVirtualProcessor(p, 0, &x, sizeof x), E_INVALIDARG);
    ck_hr(WHvCancelRunVirtualProcessor(p, 0, 0), E_INVALIDARG);
    ck_hr(WHvGetVirtualProcessorRegisters(p, 0, &name, 1, &v), E_INVALIDARG);
    ck_hr(WHvSetVirtualProcessorRegisters(p, 0, &name, 1, &v), E_INVALIDARG);
    ck_ok(WHvDeletePartition(q));
}
END_TEST

START_TEST(garbage_handles_are_errors_and_no_crash)
{
    static const u64 garbage[] = {
        0, 1, 8, 0x10, 0x10000, 0xffff, 0x7fff12345678, 0x4141414141414141, ~(u64)0, ~(u64)15
    };
    WHV_RUN_VP_EXIT_CONTEXT x;
    WHV_PARTITION_HANDLE live = partition_new(1);

    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        WHV_PARTITION_HANDLE p = (WHV_PARTITION_HANDLE)(uintptr_t)garbage[i];

        if (p == live)
            continue;
        ck_hr(WHvDeletePartition(p), E_INVALIDARG);
        ck_hr(WHvSetupPartition(p), E_INVALIDARG);
        ck_hr(WHvRunVirtualProcessor(p, 0, &x, sizeof x), E_INVALIDARG);
        ck_hr(WHvCancelRunVirtualProcessor(p, 0, 0), E_INVALIDARG);
        ck_hr(WHvCancelRunVirtualProcessor(p, 0xffffffff, 0), E_INVALIDARG);
    }
    /* one bit off a live one */
    ck_hr(WHvRunVirtualProcessor((char *)live + 1, 0, &x, sizeof x), E_INVALIDARG);
    ck_ok(WHvDeletePartition(live));
}
END_TEST

START_TEST(a_fresh_processor_with_nothing_mapped_leaves_at_its_first_fetch)
{
    WHV_PARTITION_HANDLE p = partition_new(1);
    WHV_RUN_VP_EXIT_CONTEXT x;

    ck_ok(WHvCreateVirtualProcessor(p, 0, 0));
    ck_ok(WHvRunVirtualProcessor(p, 0, &x, sizeof x));
    ck_assert_uint_eq((u32)x.ExitReason, WHvRunVpExitReasonMemoryAccess);
    ck_assert_uint_eq(x.MemoryAccess.AccessInfo.AccessType, WHvMemoryAccessExecute);
    ck_assert_uint_eq(x.MemoryAccess.AccessInfo.GpaUnmapped, 1);
    ck_assert_uint_eq(x.MemoryAccess.Gpa, 0xffff0);
    ck_assert_uint_eq(x.VpContext.Rip, 0xfff0);
    ck_ok(WHvDeletePartition(p));
}
END_TEST

START_TEST(a_deleted_processor_can_be_made_again)
{
    WHV_PARTITION_HANDLE p = partition_new(2);

    ck_ok(WHvCreateVirtualProcessor(p, 1, 0));
    ck_hr(WHvCreateVirtualProcessor(p, 1, 0), WHV_E_VP_ALREADY_EXISTS);
    ck_ok(WHvDeleteVirtualProcessor(p, 1));
    ck_hr(WHvDeleteVirtualProcessor(p, 1), WHV_E_VP_DOES_NOT_EXIST);
    ck_ok(WHvCreateVirtualProcessor2(p, 1, NULL, 0));
    ck_ok(WHvDeletePartition(p));
}
END_TEST

START_TEST(reset_brings_registers_back_and_forgets_cancels)
{
    struct guest g;
    size_t size;
    const void *code = endless(&size);
    u64 before;

    guest_open(&g, GUEST_LONG, code, size);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
    ck_ok(SwhpGetInstructionCount(g.partition, 0, &before));
    ck_ok(WHvCancelRunVirtualProcessor(g.partition, 0, 0));
    ck_ok(WHvResetPartition(g.partition));
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRip), 0xfff0);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterCr0), 0x60000010);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterEfer), 0);
    guest_set(&g, WHvX64RegisterRip, 0);
    g.memory[0xf0000] = 0xf4;
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);

    u64 after;

    ck_ok(SwhpGetInstructionCount(g.partition, 0, &after));
    ck_assert_uint_eq(after, before + 1); /* it never falls */
    guest_close(&g);
}
END_TEST

START_TEST(the_clock_keeps_a_deleted_processors_count)
{
    struct guest g;
    u64 before, after;

    guest_open(&g, GUEST_REAL, "\x90\x90\xf4", 3);
    guest_run(&g);
    ck_ok(SwhpGetClock(g.partition, &before));
    ck_assert_uint_eq(before, 3);
    ck_ok(WHvDeleteVirtualProcessor(g.partition, 0));
    ck_ok(SwhpAdvanceClock(g.partition, 10));
    ck_ok(SwhpGetClock(g.partition, &after));
    ck_assert_uint_eq(after, 13);
    ck_hr(SwhpAdvanceClock(g.partition, (u64)1 << 63), E_INVALIDARG);
    guest_close(&g);
}
END_TEST

START_TEST(many_partitions_live_side_by_side)
{
    WHV_PARTITION_HANDLE p[300];

    for (unsigned i = 0; i < 300; i++)
        p[i] = partition_new(1);
    for (unsigned i = 0; i < 300; i++)
        for (unsigned j = 0; j < i; j++)
            ck_assert_ptr_ne(p[i], p[j]);
    for (unsigned i = 0; i < 300; i++)
        ck_ok(WHvDeletePartition(p[i]));
}
END_TEST

TCase *lifecycle_case(void)
{
    TCase *t = tcase_create("lifecycle");

    tcase_add_test(t, a_deleted_handle_is_an_error_everywhere);
    tcase_add_test(t, garbage_handles_are_errors_and_no_crash);
    tcase_add_test(t, a_fresh_processor_with_nothing_mapped_leaves_at_its_first_fetch);
    tcase_add_test(t, a_deleted_processor_can_be_made_again);
    tcase_add_test(t, reset_brings_registers_back_and_forgets_cancels);
    tcase_add_test(t, the_clock_keeps_a_deleted_processors_count);
    tcase_add_test(t, many_partitions_live_side_by_side);
    return t;
}
