/* SPDX-License-Identifier: MIT */
/* Misuses: capabilities and partition properties. */
#include <stdlib.h>

#include "tests/whp/misuse.h"

#define PROP(name) WHvPartitionPropertyCode##name
#define CAP(name) WHvCapabilityCode##name

static HRESULT capability(u32 code, void *buffer, u32 size, u32 *written)
{
    return WHvGetCapability((WHV_CAPABILITY_CODE)code, buffer, size, written);
}

static HRESULT get(WHV_PARTITION_HANDLE p, u32 code, void *buffer, u32 size, u32 *written)
{
    return WHvGetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)code, buffer, size, written);
}

static HRESULT set(WHV_PARTITION_HANDLE p, u32 code, u64 value, u32 size)
{
    return WHvSetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)code, &value, size);
}

/* Six words: the size's worth of them. */
static HRESULT list(WHV_PARTITION_HANDLE p, u32 code, u32 size, const u64 words[6])
{
    return WHvSetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)code, words, size);
}
#define WORDS(...)                                                                                                     \
    (const u64[6])                                                                                                     \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

/* 65537 entries. */
static HRESULT endless(struct scene *s, u32 code, u32 element)
{
    void *all = calloc(65537, element);
    HRESULT hr = WHvSetPartitionProperty(s->raw, (WHV_PARTITION_PROPERTY_CODE)code, all, 65537 * element);

    free(all);
    return hr;
}

/* Every capability in a buffer that is a byte too small: what the first answers that takes it, or tells another size.
 */
static HRESULT small_capabilities(struct scene *s)
{
    for (u32 code = 0; code < 0x1010; code++) {
        u32 size = 0, again = 0;

        if (capability(code, NULL, 0, &size) == WHV_E_UNKNOWN_CAPABILITY)
            continue;
        ck_assert_uint_gt(size, 0);
        if (capability(code, s->out, size - 1, &again) != WHV_E_INSUFFICIENT_BUFFER || again != size)
            return E_FAIL;
    }
    return capability(CAP(Features), s->out, 7, NULL);
}

static HRESULT small_properties(struct scene *s)
{
    for (u32 code = 0; code < 0x2000; code++) {
        u32 size = 0, again = 0;
        HRESULT hr = get(s->p, code, NULL, 0, &size);

        if (hr == WHV_E_UNKNOWN_PROPERTY || hr == NOT_SUPPORTED)
            continue;
        ck_assert_uint_gt(size, 0);
        if (get(s->p, code, s->out, size - 1, &again) != WHV_E_INSUFFICIENT_BUFFER || again != size)
            return E_FAIL;
    }
    return get(s->p, PROP(ProcessorCount), s->out, 3, NULL);
}

/* Every property that has a size, set to what it is in a byte too few: it stays as it is. */
static HRESULT small_settings(struct scene *s)
{
    for (u32 code = 0; code < 0x2000; code++) {
        u64 was[8] = { 0 }, is[8] = { 0 };
        u32 size = 0;
        HRESULT hr = get(s->raw, code, was, sizeof was, &size);

        if (hr == WHV_E_UNKNOWN_PROPERTY || hr == NOT_SUPPORTED || code == PROP(ReferenceTime))
            continue;
        ck_ok(hr);
        hr = WHvSetPartitionProperty(s->raw, (WHV_PARTITION_PROPERTY_CODE)code, was, size - 1);
        ck_assert_msg(hr == WHV_E_INSUFFICIENT_BUFFER, "property %x: %08x", code, (u32)hr);
        ck_ok(get(s->raw, code, is, sizeof is, NULL));
        ck_assert_msg(!memcmp(was, is, sizeof was), "property %x", code);
    }
    return set(s->raw, PROP(ProcessorCount), 1, 3);
}

/* What holds before Setup only, set to what it is after it. */
static HRESULT late(struct scene *s, u32 code)
{
    u32 size = 0;

    ck_ok(get(s->fixed, code, s->room, SCENE_ROOM, &size));
    return WHvSetPartitionProperty(s->fixed, (WHV_PARTITION_PROPERTY_CODE)code, s->room, size);
}

/* On a partition of the row's own: the second is refused after the first. */
static HRESULT at_level(u32 first, u64 value, u32 second, u64 other)
{
    WHV_PARTITION_HANDLE p;

    ck_ok(WHvCreatePartition(&p));
    ck_ok(set(p, first, value, 4));
    HRESULT hr = set(p, second, other, 8);

    ck_assert(FAILED(hr));
    ck_ok(WHvDeletePartition(p));
    return hr;
}

#define LATE(name, word) ROW(#name " after Setup", E_INVALIDARG, word, "2.2", late(s, PROP(name)))
#define BAD(name, how, value, size) ROW(#name " " how, E_INVALIDARG, #name, "2.2", set(s->raw, PROP(name), value, size))
#define SMALL(name, size)                                                                                              \
    ROW(#name " in less than its bytes", WHV_E_INSUFFICIENT_BUFFER, #name, "2.2", set(s->raw, PROP(name), 0, size))
#define OWN(name, how, value, size)                                                                                    \
    ROW(#name " " how, E_INVALIDARG, #name, "softwhp.h", set(s->raw, SwhpPartitionPropertyCode##name, value, size))

static void set_rows(struct visit *v, struct scene *s)
{
    ROW("PropertyBuffer is NULL", E_POINTER, "PropertyBuffer", "1.5",
        WHvSetPartitionProperty(s->raw, PROP(ProcessorCount), NULL, 4));
    ROW("there is no such property", WHV_E_UNKNOWN_PROPERTY, "PropertyCode", "2.2", set(s->raw, 0x1234, 0, 8));
    ROW("property 0", WHV_E_UNKNOWN_PROPERTY, "PropertyCode", "2.2", set(s->raw, 0, 0, 8));
    ROW("ProcessorVendor, which old drafts had", WHV_E_UNKNOWN_PROPERTY, "PropertyCode", "10",
        set(s->raw, 0x1000, 0, 4));
    ROW("CpuWeight, a scheduler's", WHV_E_UNKNOWN_PROPERTY, "PropertyCode", "2.2",
        set(s->raw, PROP(CpuWeight), 100, 4));
    BAD(ExtendedVmExits, "with an exit that isn't offered", 1 << 14, 8);
    BAD(ExtendedVmExits, "with a reserved bit", 1ull << 40, 8);
    BAD(ExceptionExitBitmap, "with vector 2, the NMI", 1 << 2, 8);
    BAD(ExceptionExitBitmap, "with vector 32", 1ull << 32, 8);
    BAD(SeparateSecurityDomain, "neither FALSE nor TRUE", 2, 4);
    BAD(NestedVirtualization, "TRUE", 1, 4);
    BAD(X64MsrExitBitmap, "with a reserved bit", 64, 8);
    BAD(ProcessorFrequencyCap, "other than 0", 1, 4);
    BAD(AllowDeviceAssignment, "TRUE", 1, 4);
    BAD(DisableSmt, "TRUE", 1, 4);
    BAD(ProcessorFeatures, "with one that the processor lacks", 1 << 6, 8);
    BAD(ProcessorFeatures, "with a reserved bit", 1ull << 63, 8);
    BAD(ProcessorClFlushSize, "other than the processor's", 64, 1);
    BAD(LocalApicEmulationMode, "3", 3, 4);
    BAD(ProcessorXsaveFeatures, "with one that the processor lacks", 1 << 6, 8);
    BAD(ProcessorClockFrequency, "0", 0, 8);
    BAD(InterruptClockFrequency, "0", 0, 8);
    BAD(ApicRemoteReadSupport, "TRUE", 1, 4);
    BAD(ProcessorPerfmonFeatures, "other than 0", 1, 8);
    BAD(UnimplementedMsrAction, "3", 3, 4);
    BAD(PhysicalAddressWidth, "31", 31, 4);
    BAD(PhysicalAddressWidth, "wider than the processor's", 60, 4);
    BAD(ProcessorCount, "0", 0, 4);
    BAD(ProcessorCount, "65", 65, 4);
    ROW("ProcessorFeaturesBanks of no bank", E_INVALIDARG, "ProcessorFeaturesBanks", "2.2",
        list(s->raw, PROP(ProcessorFeaturesBanks), 24, WORDS(0)));
    ROW("ProcessorFeaturesBanks of 3 banks", E_INVALIDARG, "ProcessorFeaturesBanks", "2.2",
        list(s->raw, PROP(ProcessorFeaturesBanks), 48, WORDS(3)));
    ROW("ProcessorFeaturesBanks with a reserved word", E_INVALIDARG, "ProcessorFeaturesBanks", "2.2",
        list(s->raw, PROP(ProcessorFeaturesBanks), 24, WORDS(1ull << 32 | 2)));
    ROW("ProcessorFeaturesBanks with what the processor lacks", E_INVALIDARG, "ProcessorFeaturesBanks", "2.2",
        list(s->raw, PROP(ProcessorFeaturesBanks), 24, WORDS(2, 0, 1ull << 63)));
    ROW("ProcessorFeaturesBanks in 23 bytes", WHV_E_INSUFFICIENT_BUFFER, "ProcessorFeaturesBanks", "2.2",
        list(s->raw, PROP(ProcessorFeaturesBanks), 23, WORDS(2)));
    ROW("ProcessorFeaturesBanks in 7 bytes", WHV_E_INSUFFICIENT_BUFFER, "ProcessorFeaturesBanks", "2.2",
        list(s->raw, PROP(ProcessorFeaturesBanks), 7, WORDS(1)));
    ROW("SyntheticProcessorFeaturesBanks of no bank", E_INVALIDARG, "SyntheticProcessorFeaturesBanks", "2.2",
        list(s->raw, PROP(SyntheticProcessorFeaturesBanks), 16, WORDS(0)));
    ROW("SyntheticProcessorFeaturesBanks of 2 banks", E_INVALIDARG, "SyntheticProcessorFeaturesBanks", "2.2",
        list(s->raw, PROP(SyntheticProcessorFeaturesBanks), 24, WORDS(2)));
    ROW("SyntheticProcessorFeaturesBanks with a reserved bit", E_INVALIDARG, "SyntheticProcessorFeaturesBanks", "2.2",
        list(s->raw, PROP(SyntheticProcessorFeaturesBanks), 16, WORDS(1, 1ull << 63)));
    ROW("SyntheticProcessorFeaturesBanks in 15 bytes", WHV_E_INSUFFICIENT_BUFFER, "SyntheticProcessorFeaturesBanks",
        "2.2", list(s->raw, PROP(SyntheticProcessorFeaturesBanks), 15, WORDS(1)));
    ROW("any, in a byte too few", WHV_E_INSUFFICIENT_BUFFER, "ProcessorCount", "2.2", small_settings(s));
    SMALL(ProcessorCount, 3);
    SMALL(ExtendedVmExits, 4);
    SMALL(LocalApicEmulationMode, 2);
    SMALL(ProcessorClFlushSize, 0);
    SMALL(ReferenceTime, 7);
    ROW("CpuidExitList of 3 bytes", E_INVALIDARG, "CpuidExitList", "2.2",
        list(s->raw, PROP(CpuidExitList), 3, WORDS(0)));
    ROW("CpuidExitList of 65537 leaves", E_INVALIDARG, "CpuidExitList", "ours", endless(s, PROP(CpuidExitList), 4));
    ROW("CpuidResultList of 31 bytes", E_INVALIDARG, "CpuidResultList", "2.2",
        list(s->raw, PROP(CpuidResultList), 31, WORDS(0)));
    ROW("CpuidResultList with a reserved word", E_INVALIDARG, "CpuidResultList[0]", "2.2",
        list(s->raw, PROP(CpuidResultList), 32, WORDS(1ull << 32)));
    ROW("CpuidResultList of 65537 leaves", E_INVALIDARG, "CpuidResultList", "ours",
        endless(s, PROP(CpuidResultList), 32));
    ROW("CpuidResultList2 of 8 bytes", E_INVALIDARG, "CpuidResultList2", "2.2",
        list(s->raw, PROP(CpuidResultList2), 8, WORDS(0)));
    ROW("CpuidResultList2 with a reserved flag", E_INVALIDARG, "CpuidResultList2[0]", "2.2",
        list(s->raw, PROP(CpuidResultList2), 48, WORDS(1, 4ull << 32)));
    ROW("MsrActionList of 7 bytes", E_INVALIDARG, "MsrActionList", "2.2",
        list(s->raw, PROP(MsrActionList), 7, WORDS(0)));
    ROW("MsrActionList with action 3 for reads", E_INVALIDARG, "MsrActionList[1]", "2.5",
        list(s->raw, PROP(MsrActionList), 16, WORDS(0x10, 3ull << 32 | 0x11)));
    ROW("MsrActionList with action 3 for writes", E_INVALIDARG, "MsrActionList[0]", "2.5",
        list(s->raw, PROP(MsrActionList), 8, WORDS(3ull << 40 | 0x10)));
    ROW("MsrActionList with a reserved word", E_INVALIDARG, "MsrActionList[0]", "2.5",
        list(s->raw, PROP(MsrActionList), 8, WORDS(1ull << 48 | 0x10)));
    ROW("ReferenceTime after Setup while time goes on", E_INVALIDARG, "ReferenceTime", "1.3",
        set(s->fixed, PROP(ReferenceTime), 1, 8));
    LATE(ProcessorCount, "ProcessorCount");
    LATE(SeparateSecurityDomain, "SeparateSecurityDomain");
    LATE(NestedVirtualization, "NestedVirtualization");
    LATE(PrimaryNumaNode, "PrimaryNumaNode");
    LATE(ProcessorFrequencyCap, "ProcessorFrequencyCap");
    LATE(AllowDeviceAssignment, "AllowDeviceAssignment");
    LATE(DisableSmt, "DisableSmt");
    LATE(ProcessorFeatures, "ProcessorFeatures");
    LATE(ProcessorClFlushSize, "ProcessorClFlushSize");
    LATE(LocalApicEmulationMode, "LocalApicEmulationMode");
    LATE(ProcessorXsaveFeatures, "ProcessorXsaveFeatures");
    LATE(ProcessorClockFrequency, "ProcessorClockFrequency");
    LATE(InterruptClockFrequency, "InterruptClockFrequency");
    LATE(ApicRemoteReadSupport, "ApicRemoteReadSupport");
    LATE(ProcessorPerfmonFeatures, "ProcessorPerfmonFeatures");
    LATE(UnimplementedMsrAction, "UnimplementedMsrAction");
    LATE(PhysicalAddressWidth, "PhysicalAddressWidth");
    LATE(ProcessorFeaturesBanks, "PropertyCode");
    LATE(SyntheticProcessorFeaturesBanks, "PropertyCode");
    ROW("CpuidResultList after Setup", E_INVALIDARG, "PropertyCode", "2.2",
        list(s->fixed, PROP(CpuidResultList), 32, WORDS(0)));
    ROW("ExtendedVmExits after Setup, with what isn't offered", E_INVALIDARG, "ExtendedVmExits", "2.2",
        set(s->p, PROP(ExtendedVmExits), 1 << 14, 8));
    OWN(Clock, "2", 2, 4);
    OWN(ClockRate, "0", 0, 4);
    OWN(ClockRate, "65537", 65537, 4);
    OWN(UndefinedResults, "3", 3, 4);
    OWN(Profile, "that there isn't", 0x7878, 8);
    ROW("Profile of nothing", E_INVALIDARG, "Profile", "softwhp.h",
        WHvSetPartitionProperty(s->raw, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeProfile, NULL, 0));
    OWN(ApiLevel, "that there isn't", 12345, 4);
    ROW("ApiLevel after Setup", E_INVALIDARG, "ApiLevel", "softwhp.h",
        set(s->p, SwhpPartitionPropertyCodeApiLevel, 26100, 4));
    ROW("ApiLevel older than what is set already", E_INVALIDARG, "ApiLevel", "softwhp.h",
        at_level(PROP(UnimplementedMsrAction), 1, SwhpPartitionPropertyCodeApiLevel, 17763));
    ROW("what the ApiLevel lacks", WHV_E_UNKNOWN_PROPERTY, "PropertyCode", "softwhp.h",
        at_level(SwhpPartitionPropertyCodeApiLevel, 17763, PROP(UnimplementedMsrAction), 1));
    ROW("Clock after Setup", E_INVALIDARG, "Clock", "softwhp.h", set(s->p, SwhpPartitionPropertyCodeClock, 0, 4));
    ROW("Seed after Setup", E_INVALIDARG, "Seed", "softwhp.h", set(s->p, SwhpPartitionPropertyCodeSeed, 0, 8));
    ROW("Profile after Setup", E_INVALIDARG, "PropertyCode", "softwhp.h",
        set(s->p, SwhpPartitionPropertyCodeProfile, 0x6e657a, 8));
}

void property_rows(struct visit *v, struct scene *s)
{
    FUNCTION(WHvGetCapability, TAKES_NOTHING, ".......", "what this platform offers",
             (CAP(Features), s->room, 8, NULL));
    ROW("there is no such capability", WHV_E_UNKNOWN_CAPABILITY, "CapabilityCode", "2.1",
        capability(7, s->out, 64, NULL));
    ROW("one of nested virtualization", WHV_E_UNKNOWN_CAPABILITY, "CapabilityCode", "2.1",
        capability(0x2000, s->out, 64, NULL));
    ROW("code ffffffff", WHV_E_UNKNOWN_CAPABILITY, "CapabilityCode", "2.1", capability(~0u, s->out, 64, NULL));
    ROW("any, in a byte too few", WHV_E_INSUFFICIENT_BUFFER, "buffer", "2.1", small_capabilities(s));
    ROW("a size of 0", WHV_E_INSUFFICIENT_BUFFER, "buffer", "2.1",
        TOLD(s, 4, capability(CAP(HypervisorPresent), NULL, 0, &s->written)));
    ROW("CapabilityBuffer is NULL", E_POINTER, "buffer", "1.5", capability(CAP(Features), NULL, 8, NULL));

    FUNCTION(WHvGetPartitionProperty, TAKES_PARTITION, ".....VI", "lists can't be read back",
             (s->p, PROP(ProcessorCount), s->room, 4, NULL));
    ROW("there is no such property", WHV_E_UNKNOWN_PROPERTY, "PropertyCode", "2.2", get(s->p, 0x99, s->out, 64, NULL));
    ROW("CpuidExitList", NOT_SUPPORTED, "PropertyCode", "2.2", get(s->p, PROP(CpuidExitList), s->out, 64, NULL));
    ROW("CpuidResultList", NOT_SUPPORTED, "PropertyCode", "2.2", get(s->p, PROP(CpuidResultList), s->out, 64, NULL));
    ROW("CpuidResultList2", NOT_SUPPORTED, "PropertyCode", "2.2", get(s->p, PROP(CpuidResultList2), s->out, 64, NULL));
    ROW("MsrActionList", NOT_SUPPORTED, "PropertyCode", "2.2", get(s->p, PROP(MsrActionList), s->out, 64, NULL));
    ROW("any, in a byte too few", WHV_E_INSUFFICIENT_BUFFER, "buffer", "2.2", small_properties(s));
    ROW("a size of 0", WHV_E_INSUFFICIENT_BUFFER, "buffer", "2.2",
        TOLD(s, 8, get(s->raw, PROP(ExtendedVmExits), NULL, 0, &s->written)));
    ROW("PropertyBuffer is NULL", E_POINTER, "buffer", "1.5", get(s->p, PROP(ProcessorCount), NULL, 4, NULL));

    FUNCTION(WHvSetPartitionProperty, TAKES_PARTITION, "...VVVI",
             "ExtendedVmExits; after Setup only what chooses exits, and CPUID's second list",
             (s->p, PROP(ExtendedVmExits), s->room, 8));
    set_rows(v, s);
}
