/* SPDX-License-Identifier: MIT */
/* Capabilities and properties: sizes, defaults, reading back. */
#include "tests/whp/guest.h"

#include <stdlib.h>

struct capability {
    u32 code, size;
};

static const struct capability capabilities[] = {
    { 0, 4 },      { 1, 8 },       { 2, 8 },       { 3, 8 },       { 4, 8 },      { 5, 4 },
    { 6, 8 },      { 0x1000, 4 },  { 0x1001, 8 },  { 0x1002, 1 },  { 0x1003, 8 }, { 0x1004, 8 },
    { 0x1005, 8 }, { 0x1006, 24 }, { 0x1007, 20 }, { 0x1008, 16 }, { 0x1009, 8 }, { 0x100a, 4 },
};

START_TEST(capabilities_have_their_natural_sizes)
{
    const struct capability *c = &capabilities[_i];
    u8 bytes[64];
    u32 written = 0;

    memset(bytes, 0xcc, sizeof bytes);
    ck_ok(WHvGetCapability((WHV_CAPABILITY_CODE)c->code, bytes, sizeof bytes, &written));
    ck_assert_uint_eq(written, c->size);
    for (u32 i = c->size; i < sizeof bytes; i++)
        ck_assert_uint_eq(bytes[i], 0xcc);
    ck_ok(WHvGetCapability((WHV_CAPABILITY_CODE)c->code, bytes, c->size, NULL));
    written = 0;
    ck_hr(WHvGetCapability((WHV_CAPABILITY_CODE)c->code, bytes, c->size - 1, &written),
          WHV_E_INSUFFICIENT_BUFFER);
    ck_assert_uint_eq(written, c->size);
}
END_TEST

struct value {
    u32 code, size;
    u64 first, then; /* the default, and another that it takes */
};

static const struct value plain[] = {
    { WHvPartitionPropertyCodeExtendedVmExits, 8, 0, 15 },
    { WHvPartitionPropertyCodeExceptionExitBitmap, 8, 0, 1 << 14 },
    { WHvPartitionPropertyCodeX64MsrExitBitmap, 8, 1, 0 },
    { WHvPartitionPropertyCodeSeparateSecurityDomain, 4, 0, 1 },
    { WHvPartitionPropertyCodeNestedVirtualization, 4, 0, 0 },
    { WHvPartitionPropertyCodePrimaryNumaNode, 2, 0, 3 },
    { WHvPartitionPropertyCodeLocalApicEmulationMode, 4, 0, 2 },
    { WHvPartitionPropertyCodeProcessorClFlushSize, 1, 8, 8 },
    { WHvPartitionPropertyCodeProcessorCount, 4, 0, 64 },
    { WHvPartitionPropertyCodePhysicalAddressWidth, 4, 48, 36 },
    { SwhpPartitionPropertyCodeClock, 4, 0, 1 },
    { SwhpPartitionPropertyCodeClockRate, 4, 1, 65536 },
    { SwhpPartitionPropertyCodeSeed, 8, 0, 0x1122334455667788 },
    { SwhpPartitionPropertyCodeUndefinedResults, 4, 0, 2 },
};

START_TEST(properties_read_back_whatever_size_the_buffer_has)
{
    const struct value *v = &plain[_i];
    WHV_PARTITION_PROPERTY_CODE code = (WHV_PARTITION_PROPERTY_CODE)v->code;
    WHV_PARTITION_HANDLE p;
    u64 got = 0, large[6] = { v->then };
    u32 written;

    ck_ok(WHvCreatePartition(&p));
    ck_ok(WHvGetPartitionProperty(p, code, &got, sizeof got, &written));
    ck_assert_uint_eq(written, v->size);
    ck_assert_uint_eq(got, v->first);
    ck_ok(WHvSetPartitionProperty(p, code, &v->then, v->size));
    got = 0;
    ck_ok(WHvGetPartitionProperty(p, code, &got, v->size, NULL));
    ck_assert_uint_eq(got, v->then);
    ck_ok(WHvSetPartitionProperty(p, code, large, sizeof large));
    ck_ok(WHvDeletePartition(p));
}
END_TEST

START_TEST(features_can_be_taken_away_and_not_added)
{
    WHV_PARTITION_HANDLE p;
    u64 features, got;

    ck_ok(WHvCreatePartition(&p));
    ck_ok(WHvGetCapability(WHvCapabilityCodeProcessorFeatures, &features, 8, NULL));
    ck_ok(WHvGetPartitionProperty(p, WHvPartitionPropertyCodeProcessorFeatures, &got, 8, NULL));
    ck_assert_uint_eq(features, got);
    got = features & ~(u64)0x80; /* POPCNT */
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorFeatures, &got, 8));
    got |= 1 << 6; /* XOP */
    ck_hr(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorFeatures, &got, 8), E_INVALIDARG);

    u32 count = 1;
    WHV_CPUID_OUTPUT out;

    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, &count, 4));
    ck_ok(WHvSetupPartition(p));
    ck_ok(WHvCreateVirtualProcessor(p, 0, 0));
    ck_ok(WHvGetVirtualProcessorCpuidOutput(p, 0, 1, 0, &out));
    ck_assert_uint_eq(out.Ecx >> 23 & 1, 0);
    ck_ok(WHvDeletePartition(p));
}
END_TEST

START_TEST(a_narrow_partition_takes_no_mapping_above_its_width)
{
    static u8 page[4096] __attribute__((aligned(4096)));
    WHV_PARTITION_HANDLE p;
    u32 count = 1, width = 36;

    ck_ok(WHvCreatePartition(&p));
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, &count, 4));
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodePhysicalAddressWidth, &width, 4));
    ck_ok(WHvSetupPartition(p));
    ck_ok(WHvMapGpaRange(p, page, ((u64)1 << 36) - 4096, 4096, WHvMapGpaRangeFlagRead));
    ck_hr(WHvMapGpaRange(p, page, (u64)1 << 36, 4096, WHvMapGpaRangeFlagRead), E_INVALIDARG);
    ck_ok(WHvDeletePartition(p));
}
END_TEST

START_TEST(the_environment_sets_what_a_program_does_not_know)
{
    WHV_PARTITION_HANDLE p = NULL;
    u64 got = 0;

    setenv("SOFTWHP", "clock=virtual,seed=0x77,rate=3", 1);
    ck_ok(WHvCreatePartition(&p));
    ck_ok(WHvGetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeClock, &got, 8,
                                  NULL));
    ck_assert_uint_eq(got, 1);
    ck_ok(WHvGetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeSeed, &got, 8,
                                  NULL));
    ck_assert_uint_eq(got, 0x77);
    ck_ok(WHvDeletePartition(p));
    p = NULL;

    static const char *const wrong[] = { "clock=sundial",  "colour=red", "seed=", "seed=x", "rate=0",
                                         "trace=exit:/",   "trace=insn", "clock", "=",      "profile=z80",
                                         "rate=4294967297", "undefined=1", "undefined=x" };

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        setenv("SOFTWHP", wrong[i], 1);
        ck_hr(WHvCreatePartition(&p), E_INVALIDARG);
        ck_assert_ptr_null(p);
    }
    unsetenv("SOFTWHP");
}
END_TEST

START_TEST(reference_time_is_what_was_set_and_stands_still_when_suspended)
{
    WHV_PARTITION_HANDLE p;
    u32 count = 1;
    u64 time = 123456789, first = 0, then = 0;

    ck_ok(WHvCreatePartition(&p)); /* on the host's clock */
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, &count, 4));
    ck_ok(WHvSetupPartition(p));
    ck_hr(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeReferenceTime, &time, 8), E_INVALIDARG);
    ck_ok(WHvSuspendPartitionTime(p));
    ck_ok(WHvSuspendPartitionTime(p));
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeReferenceTime, &time, 8));
    ck_ok(WHvGetPartitionProperty(p, WHvPartitionPropertyCodeReferenceTime, &first, 8, NULL));
    ck_assert_uint_eq(first, time);
    ck_ok(WHvGetPartitionProperty(p, WHvPartitionPropertyCodeReferenceTime, &then, 8, NULL));
    ck_assert_uint_eq(then, time);
    ck_ok(WHvResumePartitionTime(p));
    do
        ck_ok(WHvGetPartitionProperty(p, WHvPartitionPropertyCodeReferenceTime, &then, 8, NULL));
    while (then == time);
    ck_assert_uint_gt(then, time);
    ck_ok(WHvDeletePartition(p));
}
END_TEST

TCase *property_case(void)
{
    TCase *t = tcase_create("properties");

    tcase_add_loop_test(t, capabilities_have_their_natural_sizes, 0,
                        sizeof capabilities / sizeof capabilities[0]);
    tcase_add_loop_test(t, properties_read_back_whatever_size_the_buffer_has, 0,
                        sizeof plain / sizeof plain[0]);
    tcase_add_test(t, features_can_be_taken_away_and_not_added);
    tcase_add_test(t, a_narrow_partition_takes_no_mapping_above_its_width);
    tcase_add_test(t, the_environment_sets_what_a_program_does_not_know);
    tcase_add_test(t, reference_time_is_what_was_set_and_stands_still_when_suspended);
    return t;
}
