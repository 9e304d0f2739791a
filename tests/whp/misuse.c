/* SPDX-License-Identifier: MIT */
/* Every misuse is refused with its HRESULT, says why, and leaves the state as it was. */
#include "tests/whp/guest.h"

static struct guest g;
static WHV_PARTITION_HANDLE raw; /* not set up */
static u8 page[8192] __attribute__((aligned(4096)));
static WHV_RUN_VP_EXIT_CONTEXT context;
static WHV_REGISTER_VALUE values[4];
static u64 buffer[128];
static u32 written;

#define HV(code) ((HRESULT)0xC0350000u + (code))

static HRESULT set1(WHV_REGISTER_NAME name, u64 value)
{
    WHV_REGISTER_VALUE v;

    memset(&v, 0, sizeof v);
    v.Reg64 = value;
    return WHvSetVirtualProcessorRegisters(g.partition, 0, &name, 1, &v);
}

/* A good register and then a bad one: neither is set. */
static HRESULT set2(WHV_REGISTER_NAME name, u64 value)
{
    WHV_REGISTER_NAME names[2] = { WHvX64RegisterRax, name };

    memset(values, 0, sizeof values);
    values[0].Reg64 = 0x1234;
    values[1].Reg64 = value;
    return WHvSetVirtualProcessorRegisters(g.partition, 0, names, 2, values);
}

static HRESULT map(u64 source, u64 gpa, u64 size, u32 flags)
{
    return WHvMapGpaRange(g.partition, (void *)(uintptr_t)source, gpa, size, (WHV_MAP_GPA_RANGE_FLAGS)flags);
}

static HRESULT property(WHV_PARTITION_HANDLE p, u32 code, u64 value, u32 size)
{
    return WHvSetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)code, &value, size);
}

static HRESULT xsave(u32 offset, u64 value)
{
    ck_ok(WHvGetVirtualProcessorXsaveState(g.partition, 0, buffer, sizeof buffer, &written));
    memcpy((u8 *)buffer + offset, &value, sizeof value);
    return WHvSetVirtualProcessorXsaveState(g.partition, 0, buffer, written);
}

#define PAGE_AT ((u64)(uintptr_t)page)
#define REG(name) WHvX64Register##name
#define PROP(name) WHvPartitionPropertyCode##name

/* The cases, as expressions: one case runs one. */
#define CASES(X)                                                                                             \
    X(WHvCreatePartition(NULL), E_POINTER)                                                                   \
    X(WHvSetupPartition(raw), WHV_E_INVALID_PARTITION_CONFIG)                                                \
    X(WHvSetupPartition(g.partition), HV(7))                                                                 \
    X(WHvCreateVirtualProcessor(raw, 0, 0), HV(7))                                                           \
    X(WHvMapGpaRange(raw, page, 0, 4096, WHvMapGpaRangeFlagRead), HV(7))                                     \
    X(WHvCreateVirtualProcessor(g.partition, 0, 0), WHV_E_VP_ALREADY_EXISTS)                                 \
    X(WHvCreateVirtualProcessor(g.partition, 1, 0), E_INVALIDARG)                                            \
    X(WHvCreateVirtualProcessor(g.partition, 0xffffffff, 0), E_INVALIDARG)                                   \
    X(WHvCreateVirtualProcessor(g.partition, 0, 1), E_INVALIDARG)                                            \
    X(WHvDeleteVirtualProcessor(g.partition, 1), WHV_E_VP_DOES_NOT_EXIST)                                    \
    X(WHvDeleteVirtualProcessor(g.partition, 64), WHV_E_VP_DOES_NOT_EXIST)                                   \
    X(WHvDeleteVirtualProcessor(g.partition, 0x80000000), WHV_E_VP_DOES_NOT_EXIST)                           \
    X(WHvRunVirtualProcessor(g.partition, 1, &context, sizeof context), WHV_E_VP_DOES_NOT_EXIST)             \
    X(WHvRunVirtualProcessor(g.partition, 64, &context, sizeof context), WHV_E_VP_DOES_NOT_EXIST)            \
    X(WHvRunVirtualProcessor(g.partition, 0, &context, 143), WHV_E_INSUFFICIENT_BUFFER)                      \
    X(WHvRunVirtualProcessor(g.partition, 0, NULL, sizeof context), E_POINTER)                               \
    X(WHvCancelRunVirtualProcessor(g.partition, 0, 1), E_INVALIDARG)                                         \
    X(WHvCancelRunVirtualProcessor(g.partition, 1, 0), WHV_E_VP_DOES_NOT_EXIST)                              \
    X(SwhpRunVirtualProcessorUntil(g.partition, 9, 1, &context, sizeof context), WHV_E_VP_DOES_NOT_EXIST)    \
    X(SwhpGetInstructionCount(g.partition, 0, NULL), E_POINTER)                                              \
    X(SwhpGetClock(g.partition, NULL), E_POINTER)                                                            \
    /* memory */                                                                                             \
    X(map(PAGE_AT + 1, 0, 4096, 7), E_INVALIDARG)                                                            \
    X(map(0, 0, 4096, 7), E_INVALIDARG)                                                                      \
    X(map(PAGE_AT, 1, 4096, 7), E_INVALIDARG)                                                                \
    X(map(PAGE_AT, 0, 0, 7), E_INVALIDARG)                                                                   \
    X(map(PAGE_AT, 0, 4097, 7), E_INVALIDARG)                                                                \
    X(map(PAGE_AT, 0, 4096, 16), E_INVALIDARG)                                                               \
    X(map(PAGE_AT, 0, 4096, 16 | 7), E_INVALIDARG)                                                            \
    X(map(PAGE_AT, 0, 4096, 2), E_INVALIDARG)                                                                \
    X(map(PAGE_AT, ~(u64)4095, 4096, 7), E_INVALIDARG)                                                       \
    X(map(PAGE_AT, ~(u64)4095, 8192, 7), E_INVALIDARG)                                                       \
    X(map(PAGE_AT, (u64)1 << 52, 4096, 7), E_INVALIDARG)                                                     \
    X(map(~(u64)4095, 0, 8192, 7), E_INVALIDARG)                                                             \
    X(WHvMapGpaRange2(g.partition, &g, page, 0, 4096, WHvMapGpaRangeFlagRead), E_INVALIDARG)                 \
    X(WHvUnmapGpaRange(g.partition, 1, 4096), E_INVALIDARG)                                                  \
    X(WHvUnmapGpaRange(g.partition, 0, 0), E_INVALIDARG)                                                     \
    X(WHvUnmapGpaRange(g.partition, 4096, ~(u64)4095), E_INVALIDARG)                                         \
    X(WHvUnmapGpaRange(g.partition, GUEST_HOLE, 4096), WHV_E_GPA_RANGE_NOT_FOUND)                            \
    X(WHvUnmapGpaRange(g.partition, 0x40000000, 0x40000000), WHV_E_GPA_RANGE_NOT_FOUND)                      \
    X(WHvTranslateGva(g.partition, 0, 0, (WHV_TRANSLATE_GVA_FLAGS)0x20, (void *)buffer, buffer),             \
      E_INVALIDARG)                                                                                          \
    X(WHvTranslateGva(g.partition, 0, 0, (WHV_TRANSLATE_GVA_FLAGS)0x300, (void *)buffer, buffer),            \
      E_INVALIDARG)                                                                                          \
    X(WHvTranslateGva(g.partition, 1, 0, WHvTranslateGvaFlagNone, (void *)buffer, buffer),                   \
      WHV_E_VP_DOES_NOT_EXIST)                                                                               \
    X(WHvTranslateGva(g.partition, 0, 0, WHvTranslateGvaFlagNone, NULL, buffer), E_POINTER)                  \
    /* registers */                                                                                          \
    X(set2((WHV_REGISTER_NAME)0x28, 0), WHV_E_INVALID_VP_REGISTER_NAME)                                      \
    X(set2((WHV_REGISTER_NAME)0x2c, 0), WHV_E_INVALID_VP_REGISTER_NAME)                                      \
    X(set2((WHV_REGISTER_NAME)0x7fffffff, 0), WHV_E_INVALID_VP_REGISTER_NAME)                                \
    X(set2((WHV_REGISTER_NAME)0xffffffff, 0), WHV_E_INVALID_VP_REGISTER_NAME)                                \
    X(set2(REG(Ia32VmxBasic), 0), WHV_E_INVALID_VP_REGISTER_NAME)                                            \
    X(set2(REG(Bndcfgs), 0), WHV_E_INVALID_VP_REGISTER_NAME)                                                 \
    X(set2(WHvRegisterSint0, 0), WHV_E_INVALID_VP_REGISTER_NAME)                                             \
    X(set2(WHvRegisterPendingEvent2, 0), WHV_E_INVALID_VP_REGISTER_NAME)                                     \
    X(set2(REG(ApicId), 0), HV(6))                                                                           \
    X(set2((WHV_REGISTER_NAME)0x3000, 0), WHV_E_INVALID_VP_REGISTER_NAME)                                    \
    X(set2(WHvRegisterInternalActivityState, 2), HV(6))                                                      \
    X(set2(REG(Rflags), 8), HV(0x50))                                                                        \
    X(set2(REG(Cr0), (u64)1 << 32), HV(0x50))                                                                \
    X(set2(REG(Cr3), (u64)1 << 63), HV(0x50))                                                                \
    X(set2(REG(Cr4), (u64)1 << 63), HV(0x50))                                                                \
    X(set2(REG(Cr8), 16), HV(0x50))                                                                          \
    X(set2(REG(Dr7), (u64)1 << 32), HV(0x50))                                                                \
    X(set2(REG(XCr0), 0), HV(0x50))                                                                          \
    X(set2(REG(XCr0), 1ull << 62 | 1), HV(0x50))                                                             \
    X(set2(REG(Efer), 2), HV(0x50))                                                                          \
    X(set2(REG(Lstar), (u64)1 << 63), HV(0x50))                                                              \
    X(set2(REG(Pat), 2), HV(0x50))                                                                           \
    X(set2(WHvRegisterPendingInterruption, 1 | 1 << 1), HV(0x50))                                            \
    X(set2(WHvRegisterPendingInterruption, 1 | 1 << 10), HV(0x50))                                           \
    X(set2(WHvRegisterPendingInterruption, 1 | 3 << 1 | 32 << 16), HV(0x50))                                 \
    X(set2(WHvRegisterPendingInterruption, 1 | 2 << 1 | 3 << 16), HV(0x50))                                  \
    X(set2(WHvRegisterPendingEvent, 1 | 5 << 1), HV(0x50))                                                   \
    X(set2(WHvRegisterPendingEvent, 1 | 32 << 16), HV(0x50))                                                 \
    X(set2(WHvRegisterInterruptState, 4), HV(0x50))                                                          \
    X(set2(REG(DeliverabilityNotifications), (u64)1 << 48), HV(0x50))                                        \
    X(set1(REG(Gs), (u64)1 << 63), HV(0x50))                                                                 \
    X(WHvSetVirtualProcessorRegisters(g.partition, 0, NULL, 1, values), E_POINTER)                           \
    X(WHvGetVirtualProcessorRegisters(g.partition, 0, NULL, 1, values), E_POINTER)                           \
    X(WHvSetVirtualProcessorRegisters(g.partition, 1, NULL, 0, NULL), WHV_E_VP_DOES_NOT_EXIST)               \
    /* properties */                                                                                         \
    X(property(g.partition, PROP(ProcessorCount), 2, 4), E_INVALIDARG)                                       \
    X(property(raw, PROP(ProcessorCount), 0, 4), E_INVALIDARG)                                               \
    X(property(raw, PROP(ProcessorCount), 65, 4), E_INVALIDARG)                                              \
    X(property(raw, PROP(ProcessorCount), 1, 3), WHV_E_INSUFFICIENT_BUFFER)                                  \
    X(property(raw, PROP(LocalApicEmulationMode), 3, 4), E_INVALIDARG)                                       \
    X(property(raw, PROP(ExtendedVmExits), 1ull << 40, 8), E_INVALIDARG)                                     \
    X(property(raw, PROP(ExtendedVmExits), 1 << 10, 8), E_INVALIDARG)                                         \
    X(property(raw, PROP(X64MsrExitBitmap), 64, 8), E_INVALIDARG)                                            \
    X(property(raw, PROP(PhysicalAddressWidth), 60, 4), E_INVALIDARG)                                        \
    X(property(raw, PROP(CpuidExitList), 0, 3), E_INVALIDARG)                                                \
    X(property(raw, PROP(CpuidResultList2), 0, 8), E_INVALIDARG)                                             \
    X(property(raw, 0x1234, 0, 8), WHV_E_UNKNOWN_PROPERTY)                                                   \
    X(property(raw, SwhpPartitionPropertyCodeClock, 2, 4), E_INVALIDARG)                                     \
    X(property(raw, SwhpPartitionPropertyCodeClockRate, 0, 4), E_INVALIDARG)                                 \
    X(property(raw, SwhpPartitionPropertyCodeProfile, 0x7878, 8), E_INVALIDARG)                              \
    X(property(g.partition, SwhpPartitionPropertyCodeClock, 0, 4), E_INVALIDARG)                             \
    X(WHvSetPartitionProperty(raw, PROP(ProcessorCount), NULL, 4), E_POINTER)                                \
    X(WHvGetPartitionProperty(raw, PROP(ProcessorCount), buffer, 3, &written), WHV_E_INSUFFICIENT_BUFFER)    \
    X(WHvGetPartitionProperty(raw, PROP(CpuidExitList), buffer, 64, &written), (HRESULT)0x80070032u)         \
    X(WHvGetPartitionProperty(raw, (WHV_PARTITION_PROPERTY_CODE)0x99, buffer, 64, NULL),                     \
      WHV_E_UNKNOWN_PROPERTY)                                                                                \
    X(WHvGetCapability((WHV_CAPABILITY_CODE)0x2000, buffer, 64, NULL), WHV_E_UNKNOWN_CAPABILITY)             \
    X(WHvGetCapability(WHvCapabilityCodeFeatures, buffer, 7, &written), WHV_E_INSUFFICIENT_BUFFER)           \
    X(WHvGetCapability(WHvCapabilityCodeFeatures, NULL, 8, NULL), E_POINTER)                                 \
    /* state, interrupts, the rest */                                                                        \
    X(xsave(520, 3), E_INVALIDARG)                                                                           \
    X(xsave(520, 1ull << 63 | 1ull << 40), E_INVALIDARG)                                                     \
    X(xsave(512, 1ull << 40), E_INVALIDARG)                                                                  \
    X(xsave(528, 1), E_INVALIDARG)                                                                           \
    X(xsave(24, 0xffff0000), E_INVALIDARG)                                                                   \
    X(WHvSetVirtualProcessorXsaveState(g.partition, 0, NULL, 576), E_POINTER)                                \
    X(WHvSetVirtualProcessorXsaveState(g.partition, 0, buffer, 575), WHV_E_INSUFFICIENT_BUFFER)              \
    X(WHvGetVirtualProcessorState(g.partition, 0, (WHV_VIRTUAL_PROCESSOR_STATE_TYPE)77, buffer, 9,           \
                                  &written),                                                                 \
      E_INVALIDARG)                                                                                          \
    X(WHvGetVirtualProcessorInterruptControllerState2(g.partition, 0, buffer, 1024, NULL), HV(8))            \
    X(WHvRequestInterrupt(g.partition, (const WHV_INTERRUPT_CONTROL *)buffer, 16), HV(8))                    \
    X(WHvRequestInterrupt(g.partition, (const WHV_INTERRUPT_CONTROL *)buffer, 15), E_INVALIDARG)             \
    X(WHvGetVirtualProcessorCpuidOutput(g.partition, 0, 1, 0, NULL), E_POINTER)                              \
    X(WHvQueryGpaRangeDirtyBitmap(g.partition, 0, 4096, buffer, 8), WHV_E_GPA_RANGE_NOT_FOUND)               \
    X(WHvStartPartitionMigration(g.partition, (HANDLE *)buffer), (HRESULT)0x80070032u)

struct misuse {
    const char *text;
    HRESULT wanted;
};

#define TEXT(call, wanted) { #call, wanted },
static const struct misuse cases[] = { CASES(TEXT) };

static HRESULT perform(int n)
{
    int i = 0;

#define PERFORM(call, wanted)                                                                                \
    if (i++ == n)                                                                                            \
        return call;
    CASES(PERFORM)
    return S_OK;
}

START_TEST(misuse_is_refused_and_changes_nothing)
{
    SWHP_DIGEST before, after;
    char text[512] = "";
    u32 size = 0;

    guest_open(&g, GUEST_LONG, "\xf4", 1);
    ck_ok(WHvCreatePartition(&raw));
    ck_ok(SwhpStateHash(g.partition, &before));

    HRESULT hr = perform(_i);

    ck_assert_msg(hr == cases[_i].wanted, "%s is %08x, not %08x", cases[_i].text, (u32)hr,
                  (u32)cases[_i].wanted);
    ck_ok(SwhpGetLastErrorText(text, sizeof text, &size));
    ck_assert_msg(size > 8 && strlen(text) + 1 == size, "%s: no text", cases[_i].text);
    ck_ok(SwhpStateHash(g.partition, &after));
    ck_assert_msg(!memcmp(&before, &after, sizeof before), "%s changed the state", cases[_i].text);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRip), GUEST_CODE);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRax), 0);
    guest_close(&g);
    ck_ok(WHvDeletePartition(raw));
}
END_TEST

START_TEST(a_text_that_does_not_fit_is_cut_and_its_size_told)
{
    char whole[512], cut[8];
    u32 size, again;

    ck_hr(WHvCreatePartition(NULL), E_POINTER);
    ck_ok(SwhpGetLastErrorText(whole, sizeof whole, &size));
    ck_hr(SwhpGetLastErrorText(cut, sizeof cut, &again), WHV_E_INSUFFICIENT_BUFFER);
    ck_assert_uint_eq(size, again);
    ck_assert_uint_eq(strlen(cut), sizeof cut - 1);
    ck_assert(!memcmp(whole, cut, sizeof cut - 1));
    ck_hr(SwhpGetLastErrorText(NULL, 0, &again), WHV_E_INSUFFICIENT_BUFFER);
    ck_assert_uint_eq(size, again);
}
END_TEST

TCase *misuse_case(void)
{
    TCase *t = tcase_create("misuse");

    tcase_add_loop_test(t, misuse_is_refused_and_changes_nothing, 0, sizeof cases / sizeof cases[0]);
    tcase_add_test(t, a_text_that_does_not_fit_is_cut_and_its_size_told);
    return t;
}
