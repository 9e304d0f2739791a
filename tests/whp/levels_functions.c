/* SPDX-License-Identifier: MIT */
/* API levels: which functions are there. The builds are those of the reference's 1.5. */
#include "tests/whp/levels.h"

static u8 page[8192] __attribute__((aligned(4096)));
static const WHV_DOORBELL_MATCH_DATA doorbell = { .GuestAddress = 0x5000 };
static WHV_ACCESS_GPA_CONTROLS controls;
static u32 size;
static u64 words[1024];

/* Each function that came later and takes a partition, and some that were there. */
#define CALLS(X)                                                                                             \
    X(WHvSuspendPartitionTime, 18362, (p))                                                                   \
    X(WHvResumePartitionTime, 18362, (p))                                                                    \
    X(WHvGetVirtualProcessorInterruptControllerState2, 19041, (p, 0, words, sizeof words, &size))            \
    X(WHvSetVirtualProcessorInterruptControllerState2, 19041, (p, 0, words, sizeof words))                   \
    X(WHvRegisterPartitionDoorbellEvent, 19041, (p, &doorbell, NULL))                                        \
    X(WHvUnregisterPartitionDoorbellEvent, 19041, (p, &doorbell))                                            \
    X(WHvMapGpaRange2, 20348, (p, NULL, page, 0, 4096, WHvMapGpaRangeFlagRead))                              \
    X(WHvCreateVirtualProcessor2, 20348, (p, 0, NULL, 0))                                                    \
    X(WHvAdviseGpaRange, 20348, (p, NULL, 0, WHvAdviseGpaRangeCodePin, NULL, 0))                             \
    X(WHvReadGpaRange, 20348, (p, 0, 0, controls, words, 1))                                                 \
    X(WHvWriteGpaRange, 20348, (p, 0, 0, controls, words, 1))                                                \
    X(WHvGetVirtualProcessorState, 20348, (p, 0, WHvVirtualProcessorStateTypeXsaveState, words, sizeof words, &size)) \
    X(WHvSetVirtualProcessorState, 20348, (p, 0, WHvVirtualProcessorStateTypeXsaveState, words, size))       \
    X(WHvGetVirtualProcessorCpuidOutput, 20348, (p, 0, 0, 0, (WHV_CPUID_OUTPUT *)words))                     \
    X(WHvGetInterruptTargetVpSet, 20348, (p, 0, WHvX64InterruptDestinationModePhysical, &size, 1, &size))    \
    X(WHvCreateNotificationPort, 20348, (p, NULL, NULL, NULL))                                               \
    X(WHvSetNotificationPortProperty, 20348, (p, NULL, WHvNotificationPortPropertyPreferredTargetVp, 0))     \
    X(WHvDeleteNotificationPort, 20348, (p, NULL))                                                           \
    X(WHvCreateTrigger, 20348, (p, NULL, NULL, NULL))                                                        \
    X(WHvStartPartitionMigration, 20348, (p, NULL))                                                          \
    X(WHvSignalVirtualProcessorSynicEvent, 20348, (p, (WHV_SYNIC_EVENT_PARAMETERS){ 0 }, NULL))              \
    X(WHvPostVirtualProcessorSynicMessage, 20348, (p, 0, 0, words, 0))                                       \
    X(WHvUpdateTriggerParameters, 20348, (p, NULL, NULL))                                                    \
    X(WHvDeleteTrigger, 20348, (p, NULL))                                                                    \
    X(WHvCancelPartitionMigration, 20348, (p))                                                               \
    X(WHvCompletePartitionMigration, 20348, (p))                                                             \
    X(WHvCreateVpciDevice, 20348, (p, 0, NULL, WHvCreateVpciDeviceFlagNone, NULL))                           \
    X(WHvDeleteVpciDevice, 20348, (p, 0))                                                                    \
    X(WHvGetVpciDeviceProperty, 20348, (p, 0, (WHV_VPCI_DEVICE_PROPERTY_CODE)0, NULL, 0, NULL))              \
    X(WHvGetVpciDeviceNotification, 20348, (p, 0, NULL, 0))                                                  \
    X(WHvMapVpciDeviceMmioRanges, 20348, (p, 0, NULL, NULL))                                                 \
    X(WHvUnmapVpciDeviceMmioRanges, 20348, (p, 0))                                                           \
    X(WHvSetVpciDevicePowerState, 20348, (p, 0, PowerDeviceD0))                                              \
    X(WHvReadVpciDeviceRegister, 20348, (p, 0, NULL, NULL))                                                  \
    X(WHvWriteVpciDeviceRegister, 20348, (p, 0, NULL, NULL))                                                 \
    X(WHvMapVpciDeviceInterrupt, 20348, (p, 0, 0, 0, NULL, NULL, NULL))                                      \
    X(WHvUnmapVpciDeviceInterrupt, 20348, (p, 0, 0))                                                         \
    X(WHvRetargetVpciDeviceInterrupt, 20348, (p, 0, 0, 0, NULL))                                             \
    X(WHvRequestVpciDeviceInterrupt, 20348, (p, 0, 0, 0))                                                    \
    X(WHvGetVpciDeviceInterruptTarget, 20348, (p, 0, 0, 0, NULL, 0, NULL))                                   \
    X(WHvResetPartition, 22000, (p))                                                                         \
    X(WHvGetPartitionCounters, 0, (p, WHvPartitionCounterSetMemory, words, sizeof words, NULL))              \
    X(WHvMapGpaRange, 0, (p, page, 0, 4096, WHvMapGpaRangeFlagRead))                                         \
    X(WHvCreateVirtualProcessor, 0, (p, 0, 0))                                                               \
    X(WHvGetVirtualProcessorXsaveState, 0, (p, 0, words, sizeof words, NULL))                                \
    X(WHvGetVirtualProcessorInterruptControllerState, 0, (p, 0, words, sizeof words, NULL))                  \
    X(WHvGetVirtualProcessorCounters, 0, (p, 0, WHvProcessorCounterSetRuntime, words, sizeof words, NULL))

#define DEFINE(name, build, arguments)                                                                       \
    static HRESULT call_##name(WHV_PARTITION_HANDLE p)                                                       \
    {                                                                                                        \
        return name arguments;                                                                               \
    }
#define ROW(name, build, arguments) { #name, build, call_##name },
CALLS(DEFINE)

static const struct call {
    const char *name;
    u32 build;
    HRESULT (*call)(WHV_PARTITION_HANDLE p);
} calls[] = { CALLS(ROW) };

static bool takes_no_partition(const char *name)
{
    return !strcmp(name, "WHvAllocateVpciResource") || !strcmp(name, "WHvAcceptPartitionMigration");
}

START_TEST(functions_of_later_builds_are_not_there)
{
    u32 level = levels[_i];
    WHV_PARTITION_HANDLE p = at_level(level);
    char text[256], build[16];

    ck_ok(WHvSetupPartition(p));
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        HRESULT hr = calls[i].call(p);

        ck_assert_msg((hr == E_NOTIMPL) == (calls[i].build > level), "%s at %u: %08x", calls[i].name, level, (u32)hr);
        if (hr != E_NOTIMPL)
            continue;
        ck_ok(SwhpGetLastErrorText(text, sizeof text, NULL));
        snprintf(build, sizeof build, "%u", calls[i].build);
        ck_assert_msg(strstr(text, calls[i].name) && strstr(text, build), "%s", text);
    }
    ck_ok(WHvDeletePartition(p));
}
END_TEST

static const struct present {
    const char *name;
    BOOLEAN(WINAPI *is_present)(VOID);
    u32 build;
} presents[] = {
#define FUNCTION(name, build) { #name, Is##name##Present, build },
#include "whp/functions.inc"
#undef FUNCTION
};

START_TEST(presence_follows_the_environment)
{
    size_t n = sizeof presents / sizeof presents[0];
    HANDLE handle;
    GUID guid;

    memset(&guid, 0, sizeof guid);
    ck_assert_uint_eq(n, 66);
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(presents[i].is_present() == TRUE, "%s", presents[i].name);
    set_environment(levels[_i]);
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(presents[i].is_present() == (presents[i].build <= levels[_i]), "%s", presents[i].name);
    ck_hr(WHvAllocateVpciResource(&guid, WHvAllocateVpciResourceFlagNone, NULL, 0, &handle),
          levels[_i] < 20348 ? E_NOTIMPL : (HRESULT)0x80070032);
    for (size_t at = 0; at < n; at++) { /* none is forgotten */
        size_t i = 0;

        while (i < sizeof calls / sizeof calls[0] && strcmp(presents[at].name, calls[i].name))
            i++;
        ck_assert_msg(presents[at].build <= 17763 || i < sizeof calls / sizeof calls[0] ||
                          takes_no_partition(presents[at].name),
                      "%s has no row", presents[at].name);
    }
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) { /* the two tables agree */
        size_t at = 0;

        while (at < n && strcmp(presents[at].name, calls[i].name))
            at++;
        ck_assert_uint_lt(at, n);
        ck_assert_msg(calls[i].build ? presents[at].build == calls[i].build : presents[at].build <= 17763, "%s",
                      calls[i].name);
    }
}
END_TEST

TCase *level_function_case(void)
{
    TCase *t = tcase_create("functions by level");

    tcase_add_loop_test(t, functions_of_later_builds_are_not_there, 0, LEVELS);
    tcase_add_loop_test(t, presence_follows_the_environment, 0, LEVELS);
    return t;
}
