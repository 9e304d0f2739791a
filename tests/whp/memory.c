/* SPDX-License-Identifier: MIT */
/* Mapping, mapping over, unmapping parts, translating; the guest sees each change at its next instruction. */
#include "tests/whp/guest.h"

#include <pthread.h>
#include <sys/mman.h>

/* Reads the byte at [rbx] and halts, again and again. */
static const u8 reader[] = { 0x8a, 0x03, 0xf4, 0xeb, 0xfb };

static u32 run_read(struct guest *g, u64 at)
{
    guest_set(g, WHvX64RegisterRip, GUEST_CODE);
    guest_set(g, WHvX64RegisterRbx, at);
    guest_set(g, WHvX64RegisterRax, 0);
    return guest_run(g);
}

START_TEST(mapping_over_replaces_page_by_page)
{
    static u8 other[4096] __attribute__((aligned(4096)));
    struct guest g;

    guest_open(&g, GUEST_LONG, reader, sizeof reader);
    g.memory[0x9000] = 1;
    g.memory[0xa000] = 2;
    other[0] = 3;
    ck_assert_uint_eq(run_read(&g, 0x9000), WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRax), 1);
    ck_ok(WHvMapGpaRange(g.partition, other, 0x9000, 4096, WHvMapGpaRangeFlagRead));
    run_read(&g, 0x9000);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRax), 3);
    run_read(&g, 0xa000);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRax), 2);
    guest_close(&g);
}
END_TEST

START_TEST(unmapping_the_middle_leaves_both_ends)
{
    struct guest g;

    guest_open(&g, GUEST_LONG, reader, sizeof reader);
    ck_assert_uint_eq(run_read(&g, 0xa000), WHvRunVpExitReasonX64Halt);
    ck_ok(WHvUnmapGpaRange(g.partition, 0xa000, 4096));
    ck_assert_uint_eq(run_read(&g, 0xa000), WHvRunVpExitReasonMemoryAccess);
    ck_assert_uint_eq(g.exit.MemoryAccess.AccessInfo.GpaUnmapped, 1);
    ck_assert_uint_eq(run_read(&g, 0x9fff), WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(run_read(&g, 0xb000), WHvRunVpExitReasonX64Halt);
    ck_hr(WHvUnmapGpaRange(g.partition, 0xa000, 4096), WHV_E_GPA_RANGE_NOT_FOUND);
    ck_ok(WHvUnmapGpaRange(g.partition, 0xa000, 8192)); /* one of the two is mapped */
    ck_assert_uint_eq(run_read(&g, 0xb000), WHvRunVpExitReasonMemoryAccess);
    guest_close(&g);
}
END_TEST

START_TEST(code_that_is_mapped_over_is_decoded_anew)
{
    static u8 other[4096] __attribute__((aligned(4096))) = { 0xb8, 7, 0, 0, 0, 0xf4 };
    struct guest g;

    guest_open(&g, GUEST_LONG, reader, sizeof reader);
    run_read(&g, 0x9000);
    ck_ok(WHvMapGpaRange(g.partition, other, GUEST_CODE, 4096, (WHV_MAP_GPA_RANGE_FLAGS)5));
    run_read(&g, 0x9000);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRax), 7);
    other[1] = 8; /* and by the host's hand */
    run_read(&g, 0x9000);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRax), 8);
    guest_close(&g);
}
END_TEST

START_TEST(translation_follows_the_guests_tables)
{
    struct guest g;
    WHV_TRANSLATE_GVA_RESULT result;
    u64 gpa = 0;

    guest_open(&g, GUEST_LONG, reader, sizeof reader);
    ck_ok(WHvTranslateGva(g.partition, 0, 0x9123, WHvTranslateGvaFlagValidateRead, &result, &gpa));
    ck_assert_uint_eq(result.ResultCode, WHvTranslateGvaResultSuccess);
    ck_assert_uint_eq(gpa, 0x9123);
    ck_ok(WHvTranslateGva(g.partition, 0, GUEST_HOLE, WHvTranslateGvaFlagValidateRead, &result, &gpa));
    ck_assert_uint_eq(result.ResultCode,
                      WHvTranslateGvaResultSuccess); /* nothing is mapped there, but it translates */
    ck_assert_uint_eq(gpa, GUEST_HOLE);
    ck_ok(WHvTranslateGva(g.partition, 0, 0x8000000000, WHvTranslateGvaFlagNone, &result, &gpa));
    ck_assert_uint_eq(result.ResultCode, WHvTranslateGvaResultPageNotPresent);
    ck_assert_uint_eq(gpa, GUEST_HOLE); /* untouched */
    guest_set(&g, WHvX64RegisterCr3, 0x40000000);
    ck_ok(WHvTranslateGva(g.partition, 0, 0x9123, WHvTranslateGvaFlagNone, &result, &gpa));
    ck_assert_uint_eq(result.ResultCode, WHvTranslateGvaResultGpaUnmapped);
    guest_close(&g);
}
END_TEST

START_TEST(small_accesses_from_outside_obey_rights)
{
    struct guest g;
    WHV_ACCESS_GPA_CONTROLS controls = { .AsUINT64 = WHvCacheTypeWriteBack };
    u64 value = 0x1122334455667788, got = 0;

    guest_open(&g, GUEST_LONG, reader, sizeof reader);
    ck_ok(WHvWriteGpaRange(g.partition, 0, 0x9004, controls, &value, 8));
    ck_ok(WHvReadGpaRange(g.partition, 0, 0x9004, controls, &got, 8));
    ck_assert_uint_eq(got, value);
    ck_hr(WHvWriteGpaRange(g.partition, 0, GUEST_READ_ONLY, controls, &value, 8), E_ACCESSDENIED);
    ck_hr(WHvReadGpaRange(g.partition, 0, GUEST_HOLE, controls, &value, 8), E_ACCESSDENIED);
    ck_hr(WHvReadGpaRange(g.partition, 0, 0x9ffc, controls, &value, 8), E_INVALIDARG);
    ck_hr(WHvReadGpaRange(g.partition, 0, 0x9000, controls, &value, 17), E_INVALIDARG);
    guest_close(&g);
}
END_TEST

START_TEST(counters_know_the_pages)
{
    struct guest g;
    u64 counters[3];
    u32 written;

    guest_open(&g, GUEST_REAL, reader, sizeof reader);
    ck_ok(WHvGetPartitionCounters(g.partition, WHvPartitionCounterSetMemory, counters, sizeof counters,
                                  &written));
    ck_assert_uint_eq(written, 24);
    ck_assert_uint_eq(counters[0], GUEST_MEMORY / 4096 - 1);
    guest_close(&g);
}
END_TEST

/* ---- while it runs ---- */

START_TEST(a_page_unmapped_under_a_running_processor_is_gone_when_the_call_returns)
{
    static const u8 writer[] = { 0xff, 0x03, 0xeb, 0xfc }; /* inc dword [rbx]; jmp back */
    struct guest g;
    pthread_t thread;
    const u32 *count;

    guest_open(&g, GUEST_LONG, writer, sizeof writer);
    guest_set(&g, WHvX64RegisterRbx, 0x9000);
    count = (const u32 *)(g.memory + 0x9000);
    ck_assert_int_eq(pthread_create(&thread, NULL, guest_run_thread, &g), 0);
    while (__atomic_load_n(count, __ATOMIC_RELAXED) < 1000)
        ;
    for (unsigned i = 0; i < 50; i++) { /* something that matters not to it */
        ck_ok(WHvUnmapGpaRange(g.partition, 0xb000, 4096));
        ck_ok(WHvMapGpaRange(g.partition, g.memory + 0xb000, 0xb000, 4096, (WHV_MAP_GPA_RANGE_FLAGS)7));
    }
    ck_ok(WHvUnmapGpaRange(g.partition, 0x9000, 4096));

    u32 then = __atomic_load_n(count, __ATOMIC_RELAXED);

    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(*count, then);
    ck_assert_uint_eq((u32)g.exit.ExitReason, WHvRunVpExitReasonMemoryAccess);
    ck_assert_uint_eq(g.exit.MemoryAccess.Gpa, 0x9000);
    ck_assert_uint_eq(g.exit.MemoryAccess.AccessInfo.AccessType, WHvMemoryAccessWrite);
    guest_close(&g);
}
END_TEST

START_TEST(registers_can_be_read_while_it_runs_and_not_written)
{
    static const u8 counter[] = { 0x48, 0xff, 0xc0, 0xeb, 0xfb }; /* inc rax; jmp back */
    struct guest g;
    pthread_t thread;
    u64 first, then;
    WHV_REGISTER_NAME name = WHvX64RegisterRax;
    WHV_REGISTER_VALUE v;

    memset(&v, 0, sizeof v);
    guest_open(&g, GUEST_LONG, counter, sizeof counter);
    ck_assert_int_eq(pthread_create(&thread, NULL, guest_run_thread, &g), 0);
    do
        first = guest_get(&g, WHvX64RegisterRax);
    while (!first);
    do
        then = guest_get(&g, WHvX64RegisterRax);
    while (then == first);
    ck_assert_uint_gt(then, first);
    ck_hr(WHvSetVirtualProcessorRegisters(g.partition, 0, &name, 1, &v), WHV_E_INVALID_VP_STATE);
    ck_hr(WHvRunVirtualProcessor(g.partition, 0, &v, 224), WHV_E_INVALID_VP_STATE);
    ck_hr(WHvDeleteVirtualProcessor(g.partition, 0), WHV_E_INVALID_VP_STATE);
    ck_hr(WHvDeletePartition(g.partition), WHV_E_INVALID_VP_STATE);
    ck_hr(WHvResetPartition(g.partition), (HRESULT)0x8007139Fu);
    ck_hr(SwhpAdvanceClock(g.partition, 1), WHV_E_INVALID_VP_STATE);
    ck_ok(WHvCancelRunVirtualProcessor(g.partition, 0, 0));
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq((u32)g.exit.ExitReason, WHvRunVpExitReasonCanceled);
    guest_close(&g);
}
END_TEST

TCase *memory_case(void)
{
    TCase *t = tcase_create("memory");

    tcase_add_test(t, mapping_over_replaces_page_by_page);
    tcase_add_test(t, unmapping_the_middle_leaves_both_ends);
    tcase_add_test(t, code_that_is_mapped_over_is_decoded_anew);
    tcase_add_test(t, translation_follows_the_guests_tables);
    tcase_add_test(t, small_accesses_from_outside_obey_rights);
    tcase_add_test(t, counters_know_the_pages);
    tcase_add_test(t, a_page_unmapped_under_a_running_processor_is_gone_when_the_call_returns);
    tcase_add_test(t, registers_can_be_read_while_it_runs_and_not_written);
    return t;
}
