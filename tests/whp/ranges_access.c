/* SPDX-License-Identifier: MIT */
/* Accesses of a few bytes from outside, and advice: reference 6.6. */
#include "tests/whp/guest.h"

#include <pthread.h>
#include <sched.h>

TCase *range_access_case(void);

#define FLAGS(n) ((WHV_MAP_GPA_RANGE_FLAGS)(n))
static const u8 halt[] = { 0xf4 };

/* ---- small accesses ---- */

START_TEST(small_accesses_of_every_size)
{
    WHV_ACCESS_GPA_CONTROLS controls = { .AsUINT64 = WHvCacheTypeUncached };
    struct guest g;
    u8 data[32], got[32];

    guest_open(&g, GUEST_LONG, halt, 1);
    for (u32 size = 0; size <= 20; size++) {
        HRESULT wanted = size >= 1 && size <= 16 ? S_OK : E_INVALIDARG;

        memset(g.memory + 0x9000, 0xee, 64);
        for (u32 i = 0; i < 32; i++)
            data[i] = (u8)(size * 3 + i);
        memset(got, 0x55, sizeof got);
        ck_hr(WHvWriteGpaRange(g.partition, 0, 0x9011, controls, data, size), wanted);
        ck_hr(WHvReadGpaRange(g.partition, 0, 0x9011, controls, got, size), wanted);
        for (u32 i = 0; i < 32; i++) {
            bool is_in = SUCCEEDED(wanted) && i < size;

            ck_assert_uint_eq(got[i], is_in ? data[i] : 0x55);
            ck_assert_uint_eq(g.memory[0x9011 + i], is_in ? data[i] : 0xee);
        }
        ck_assert_uint_eq(g.memory[0x9010], 0xee);
    }
    for (u32 size = 1; size <= 16; size++) { /* up to a page's end, and beyond it */
        ck_ok(WHvReadGpaRange(g.partition, 0, 0xa000 - size, controls, got, size));
        ck_ok(WHvWriteGpaRange(g.partition, 0, 0xa000 - size, controls, got, size));
        if (size > 1) {
            ck_hr(WHvReadGpaRange(g.partition, 0, 0xa001 - size, controls, got, size), E_INVALIDARG);
            ck_hr(WHvWriteGpaRange(g.partition, 0, 0xa001 - size, controls, got, size), E_INVALIDARG);
        }
    }
    ck_hr(WHvReadGpaRange(g.partition, 0, ~(u64)0, controls, got, 1), E_INVALIDARG);
    ck_hr(WHvReadGpaRange(g.partition, 0, (u64)1 << 48, controls, got, 1), E_INVALIDARG);
    ck_hr(WHvReadGpaRange(g.partition, 0, 0x9000, controls, NULL, 1), E_POINTER);
    ck_hr(WHvWriteGpaRange(g.partition, 0, 0x9000, controls, NULL, 1), E_POINTER);
    ck_hr(WHvReadGpaRange(g.partition, 1, 0x9000, controls, got, 1), WHV_E_VP_DOES_NOT_EXIST);
    ck_hr(WHvWriteGpaRange(g.partition, 64, 0x9000, controls, got, 1), WHV_E_VP_DOES_NOT_EXIST);
    ck_hr(WHvReadGpaRange(NULL, 0, 0x9000, controls, got, 1), E_INVALIDARG);
    guest_close(&g);
}
END_TEST

START_TEST(controls_of_small_accesses_are_checked)
{
    static const u8 known[] = { 0, 1, 4, 5, 6 };
    struct guest g;
    u8 byte = 0;

    guest_open(&g, GUEST_LONG, halt, 1);
    for (u32 type = 0; type < 16; type++) {
        WHV_ACCESS_GPA_CONTROLS controls = { .AsUINT64 = type };
        HRESULT wanted = memchr(known, (int)type, sizeof known) ? S_OK : E_INVALIDARG;

        ck_hr(WHvReadGpaRange(g.partition, 0, 0x9000, controls, &byte, 1), wanted);
        ck_hr(WHvWriteGpaRange(g.partition, 0, 0x9000, controls, &byte, 1), wanted);
    }
    for (u32 bit = 32; bit < 64; bit++) { /* VTL 0, and the rest reserved */
        WHV_ACCESS_GPA_CONTROLS controls = { .AsUINT64 = WHvCacheTypeWriteBack | (u64)1 << bit };

        ck_hr(WHvReadGpaRange(g.partition, 0, 0x9000, controls, &byte, 1), E_INVALIDARG);
        ck_hr(WHvWriteGpaRange(g.partition, 0, 0x9000, controls, &byte, 1), E_INVALIDARG);
    }
    guest_close(&g);
}
END_TEST

START_TEST(code_that_a_small_write_changes_runs_as_it_is_now)
{
    static const u8 code[] = { 0xb8, 1, 0, 0, 0, 0xf4 };
    WHV_ACCESS_GPA_CONTROLS controls = { .AsUINT64 = WHvCacheTypeWriteBack };
    struct guest g;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    for (u8 i = 2; i < 6; i++) {
        ck_ok(WHvWriteGpaRange(g.partition, 0, GUEST_CODE + 1, controls, &i, 1));
        guest_set(&g, WHvX64RegisterRip, GUEST_CODE);
        ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
        ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRax), i);
    }
    guest_close(&g);
}
END_TEST

/* jmp to itself, which a write from outside makes a HLT: it ends without a cancel. */
START_TEST(code_that_a_small_write_changes_while_it_runs_changes)
{
    static const u8 code[] = { 0xff, 0x03, 0xeb, 0xfc, 0xf4 }; /* inc dword [rbx]; jmp back */
    WHV_ACCESS_GPA_CONTROLS controls = { .AsUINT64 = WHvCacheTypeWriteBack };
    struct guest g;
    pthread_t thread;
    u8 nops[2] = { 0x90, 0x90 };

    guest_open(&g, GUEST_LONG, code, sizeof code);
    guest_set(&g, WHvX64RegisterRbx, 0x9000);
    ck_assert_int_eq(pthread_create(&thread, NULL, guest_run_thread, &g), 0);
    while (__atomic_load_n((u32 *)(g.memory + 0x9000), __ATOMIC_RELAXED) < 1000)
        ;
    ck_ok(WHvWriteGpaRange(g.partition, 0, GUEST_CODE + 2, controls, nops, 2));
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq((u32)g.exit.ExitReason, WHvRunVpExitReasonX64Halt);
    guest_close(&g);
}
END_TEST

START_TEST(small_accesses_reach_the_apic_where_there_is_one)
{
    WHV_ACCESS_GPA_CONTROLS controls = { .AsUINT64 = WHvCacheTypeUncached };
    WHV_PARTITION_HANDLE p;
    u32 count = 2, mode = WHvX64LocalApicEmulationModeXApic, value = 0x30, got = 0;

    ck_ok(WHvCreatePartition(&p));
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, &count, 4));
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeLocalApicEmulationMode, &mode, 4));
    ck_ok(WHvSetupPartition(p));
    ck_ok(WHvCreateVirtualProcessor(p, 0, 0));
    ck_ok(WHvCreateVirtualProcessor(p, 1, 0));
    ck_ok(WHvWriteGpaRange(p, 1, 0xfee00080, controls, &value, 4)); /* TPR, of the processor that is named */
    ck_ok(WHvReadGpaRange(p, 1, 0xfee00080, controls, &got, 4));
    ck_assert_uint_eq(got, 0x30);
    ck_ok(WHvReadGpaRange(p, 0, 0xfee00080, controls, &got, 4));
    ck_assert_uint_eq(got, 0);
    ck_ok(WHvReadGpaRange(p, 1, 0xfee00020, controls, &got, 4));
    ck_assert_uint_eq(got, 1 << 24); /* its ID */
    ck_hr(WHvReadGpaRange(p, 1, 0xfee01000, controls, &got, 4), E_ACCESSDENIED);
    ck_ok(WHvDeletePartition(p));
}
END_TEST

/* ---- advice ---- */

START_TEST(advice_is_checked)
{
    WHV_MEMORY_RANGE_ENTRY good = { 0x9000, 0x2000 }, hole = { 0x9000, 0x200000 }, bad[] = { { 0x9001, 4096 }, { 0x9000, 1 } };
    WHV_MEMORY_RANGE_ENTRY both[] = { good, hole };
    WHV_ADVISE_GPA_RANGE_POPULATE populate;
    struct guest g;

    memset(&populate, 0, sizeof populate);
    guest_open(&g, GUEST_LONG, halt, 1);
    for (u32 type = 0; type < 5; type++) {
        populate.AccessType = (WHV_MEMORY_ACCESS_TYPE)type;
        ck_hr(WHvAdviseGpaRange(g.partition, &good, 1, WHvAdviseGpaRangeCodePopulate, &populate, sizeof populate),
              type < 3 ? S_OK : E_INVALIDARG);
    }
    populate.AccessType = WHvMemoryAccessRead;
    for (u32 bit = 0; bit < 32; bit++) { /* Prefetch, AvoidHardFaults */
        populate.Flags.AsUINT32 = (u32)1 << bit;
        ck_hr(WHvAdviseGpaRange(g.partition, &good, 1, WHvAdviseGpaRangeCodePopulate, &populate, sizeof populate),
              bit < 2 ? S_OK : E_INVALIDARG);
    }
    populate.Flags.AsUINT32 = 3;
    ck_hr(WHvAdviseGpaRange(g.partition, &good, 1, WHvAdviseGpaRangeCodePopulate, &populate, 4), E_INVALIDARG);
    ck_hr(WHvAdviseGpaRange(g.partition, &good, 1, WHvAdviseGpaRangeCodePopulate, NULL, 0), E_INVALIDARG);
    ck_ok(WHvAdviseGpaRange(g.partition, &good, 1, WHvAdviseGpaRangeCodePin, NULL, 0));
    ck_ok(WHvAdviseGpaRange(g.partition, &good, 1, WHvAdviseGpaRangeCodeUnpin, NULL, 0));
    ck_hr(WHvAdviseGpaRange(g.partition, &good, 1, WHvAdviseGpaRangeCodePin, &populate, sizeof populate), E_INVALIDARG);
    ck_hr(WHvAdviseGpaRange(g.partition, &good, 1, (WHV_ADVISE_GPA_RANGE_CODE)3, NULL, 0), E_INVALIDARG);
    ck_ok(WHvAdviseGpaRange(g.partition, NULL, 0, WHvAdviseGpaRangeCodePin, NULL, 0));
    ck_hr(WHvAdviseGpaRange(g.partition, NULL, 1, WHvAdviseGpaRangeCodePin, NULL, 0), E_POINTER);
    ck_hr(WHvAdviseGpaRange(NULL, &good, 1, WHvAdviseGpaRangeCodePin, NULL, 0), E_INVALIDARG);
    for (u32 i = 0; i < 2; i++)
        ck_hr(WHvAdviseGpaRange(g.partition, &bad[i], 1, WHvAdviseGpaRangeCodePin, NULL, 0), E_INVALIDARG);
    ck_hr(WHvAdviseGpaRange(g.partition, both, 2, WHvAdviseGpaRangeCodePin, NULL, 0), WHV_E_GPA_RANGE_NOT_FOUND);
    ck_hr(WHvAdviseGpaRange(g.partition, &hole, 1, WHvAdviseGpaRangeCodeUnpin, NULL, 0), WHV_E_GPA_RANGE_NOT_FOUND);
    guest_close(&g);
}
END_TEST

TCase *range_access_case(void)
{
    TCase *t = tcase_create("small accesses");

    tcase_add_test(t, small_accesses_of_every_size);
    tcase_add_test(t, controls_of_small_accesses_are_checked);
    tcase_add_test(t, code_that_a_small_write_changes_runs_as_it_is_now);
    tcase_add_test(t, code_that_a_small_write_changes_while_it_runs_changes);
    tcase_add_test(t, small_accesses_reach_the_apic_where_there_is_one);
    tcase_add_test(t, advice_is_checked);
    return t;
}
