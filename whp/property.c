/* SPDX-License-Identifier: MIT */
/* Partition properties: a table of the plain ones, and the two functions. Reference 2.2. */
#include "state/clock.h"
#include "state/profile.h"
#include "whp/level.h"
#include "whp/partition.h"

enum when { SETUP, ALWAYS }; /* settable before Setup only, or afterwards too while no processor runs */

struct property {
    u32 code;
    u8 size;
    u8 when;
    u16 where; /* in struct partition; 0: it can only be zero */
    const char *name;
    const char *(*check)(const struct partition *p, u64 value); /* NULL: it may have the value */
};

#define AT(field) (u16) offsetof(struct partition, field)

/* ---- checks of plain values ---- */

static const char *check_zero(const struct partition *p, u64 v)
{
    (void)p;
    return v ? "this platform doesn't offer it; only 0" : NULL;
}

static const char *check_bool(const struct partition *p, u64 v)
{
    (void)p;
    return v > 1 ? "neither FALSE nor TRUE" : NULL;
}

static const char *check_count(const struct partition *p, u64 v)
{
    (void)p;
    if (v >= 1 && v <= MAX_PROCESSORS)
        return NULL;
    return MAX_PROCESSORS == 1 ? "one processor: several take an x86-64 host" : "1 to 64 processors";
}

static const char *check_exits(const struct partition *p, u64 v)
{
    return v & ~(OFFERED_EXITS & level_bits(p->api_level, LEVEL_EXITS))
               ? "exits that the capability ExtendedVmExits doesn't offer"
               : NULL;
}

static const char *check_exceptions(const struct partition *p, u64 v)
{
    (void)p;
    return v & ~(u64)OFFERED_EXCEPTIONS ? "vectors that the capability ExceptionExitBitmap doesn't offer"
                                        : NULL;
}

static const char *check_msr_exits(const struct partition *p, u64 v)
{
    (void)p;
    return v & ~(u64)OFFERED_MSR_EXITS ? "bits that the capability X64MsrExitBitmap doesn't offer" : NULL;
}

static const char *check_action(const struct partition *p, u64 v)
{
    (void)p;
    return v > WHvMsrActionExit ? "there are the actions 0 to 2" : NULL;
}

/* Bits can only be taken away. */
static const char *check_subset(u64 v, u64 all)
{
    return v & ~all ? "features that the processor lacks; bits can only be taken away" : NULL;
}

static const char *check_features(const struct partition *p, u64 v)
{
    return check_subset(v, p->profile->features & level_bits(p->api_level, LEVEL_PROCESSOR));
}

static const char *check_xsave_features(const struct partition *p, u64 v)
{
    return check_subset(v, p->profile->xsave_features & level_bits(p->api_level, LEVEL_XSAVE));
}

static const char *check_line(const struct partition *p, u64 v)
{
    (void)p;
    return v != 8 ? "8, as the capability has it" : NULL;
}

static const char *check_apic(const struct partition *p, u64 v)
{
    return v > 31 || !(level_bits(p->api_level, LEVEL_APIC_MODES) >> v & 1)
               ? "none of WHV_X64_LOCAL_APIC_EMULATION_MODE"
               : NULL;
}

static const char *check_frequency(const struct partition *p, u64 v)
{
    (void)p;
    return v < 1000000 || v > 100000000000 ? "1 MHz to 100 GHz" : NULL;
}

static const char *check_width(const struct partition *p, u64 v)
{
    return v < 32 || v > p->profile->physical_width ? "32 to the width of the processor's profile" : NULL;
}

static const char *check_clock(const struct partition *p, u64 v)
{
    (void)p;
    return v > SwhpClockVirtual ? "neither SwhpClockHost nor SwhpClockVirtual" : NULL;
}

static const char *check_rate(const struct partition *p, u64 v)
{
    (void)p;
    return v < 1 || v > 65536 ? "1 to 65536" : NULL;
}

static const char *check_level(const struct partition *p, u64 v)
{
    if (v >> 32 || !level_is_known((u32)v))
        return "none of 17763, 19041, 20348, 22000 and 26100";
    return v < p->api_needed ? "a property that is set already, or a bit of it, came later" : NULL;
}

static const char *check_any(const struct partition *p, u64 v)
{
    (void)p;
    (void)v;
    return NULL;
}

static const char *check_undefined(const struct partition *p, u64 v)
{
    (void)p;
    return v > SwhpUndefinedSeeded ? "none of SWHP_UNDEFINED_RESULTS" : NULL;
}

/* ---- the plain ones ---- */

#define ROW(name, size, when, where, check)                                                                  \
    {                                                                                                        \
        WHvPartitionPropertyCode##name, size, when, where, #name, check                                      \
    }
#define OWN(name, size, where, check)                                                                        \
    {                                                                                                        \
        SwhpPartitionPropertyCode##name, size, SETUP, where, #name, check                                    \
    }

/* clflush_size and the like that can have one value only are 0 in `where`, and read as that value. */
static const struct property properties[] = {
    ROW(ExtendedVmExits, 8, ALWAYS, AT(exits), check_exits),
    ROW(ExceptionExitBitmap, 8, ALWAYS, AT(exception_bitmap), check_exceptions),
    ROW(SeparateSecurityDomain, 4, SETUP, AT(separate_domain), check_bool),
    ROW(NestedVirtualization, 4, SETUP, 0, check_zero),
    ROW(X64MsrExitBitmap, 8, ALWAYS, AT(msr_bitmap), check_msr_exits),
    ROW(PrimaryNumaNode, 2, SETUP, AT(numa_node), check_any),
    ROW(ProcessorFrequencyCap, 4, SETUP, 0, check_zero),
    ROW(AllowDeviceAssignment, 4, SETUP, 0, check_zero),
    ROW(DisableSmt, 4, SETUP, 0, check_zero),
    ROW(ProcessorFeatures, 8, SETUP, AT(features), check_features),
    ROW(ProcessorClFlushSize, 1, SETUP, 0, check_line),
    ROW(LocalApicEmulationMode, 4, SETUP, AT(apic_mode), check_apic),
    ROW(ProcessorXsaveFeatures, 8, SETUP, AT(xsave_features), check_xsave_features),
    ROW(ProcessorClockFrequency, 8, SETUP, AT(frequency), check_frequency),
    ROW(InterruptClockFrequency, 8, SETUP, AT(interrupt_frequency), check_frequency),
    ROW(ApicRemoteReadSupport, 4, SETUP, 0, check_zero),
    ROW(ProcessorPerfmonFeatures, 8, SETUP, 0, check_zero),
    ROW(UnimplementedMsrAction, 4, SETUP, AT(unknown_msr), check_action),
    ROW(PhysicalAddressWidth, 4, SETUP, AT(physical_width), check_width),
    ROW(ProcessorCount, 4, SETUP, AT(processors), check_count),
    OWN(Clock, 4, AT(clock), check_clock),
    OWN(ClockRate, 4, AT(rate), check_rate),
    OWN(Seed, 8, AT(seed), check_any),
    OWN(ApiLevel, 4, AT(api_level), check_level),
    OWN(UndefinedResults, 4, AT(undefined), check_undefined),
};

static const struct property *find(u32 code)
{
    for (size_t i = 0; i < sizeof properties / sizeof properties[0]; i++) {
        if (properties[i].code == code)
            return &properties[i];
    }
    return NULL;
}

static HRESULT set_plain(struct partition *p, const struct property *row, const void *buffer, u32 size)
{
    if (size < row->size)
        return fail(WHV_E_INSUFFICIENT_BUFFER, "%s: %u bytes, the value has %u", row->name, size, row->size);

    u64 value = load_bytes(buffer, row->size);
    const char *why = row->check(p, value);

    if (why)
        return fail(E_INVALIDARG, "%s: %#llx: %s", row->name, (unsigned long long)value, why);
    if (row->where) /* not the buffer's once more: another thread of the caller may have changed it */
        store_bytes((u8 *)p + row->where, value, row->size);
    return S_OK;
}

/* ---- all of them ---- */

/* May it be set after Setup, too? What chooses exits may since 18362; what isn't there says so itself. */
static bool is_late(const struct partition *p, const struct property *row, u32 code)
{
    if (row)
        return row->when == ALWAYS && p->api_level >= LEVEL_LATE_EXITS;
    switch (code) {
    case WHvPartitionPropertyCodeCpuidExitList: return p->api_level >= LEVEL_LATE_EXITS;
    case WHvPartitionPropertyCodeCpuidResultList:
    case WHvPartitionPropertyCodeProcessorFeaturesBanks:
    case WHvPartitionPropertyCodeSyntheticProcessorFeaturesBanks:
    case SwhpPartitionPropertyCodeProfile: return false;
    default: return true;
    }
}

static HRESULT set_any(struct partition *p, u32 code, const void *buffer, u32 size)
{
    const struct property *row = find(code);

    if (size && !buffer)
        return fail(E_POINTER, "PropertyBuffer is NULL");
    if (p->is_set_up && !is_late(p, row, code))
        return fail(E_INVALIDARG, "%s: property %#x is settable before WHvSetupPartition only",
                    row ? row->name : "PropertyCode", code);
    if (row)
        return set_plain(p, row, buffer, size);
    switch (code) {
    case WHvPartitionPropertyCodeCpuidExitList:
    case WHvPartitionPropertyCodeCpuidResultList:
    case WHvPartitionPropertyCodeCpuidResultList2:
    case WHvPartitionPropertyCodeMsrActionList: return property_set_list(p, code, buffer, size);
    case WHvPartitionPropertyCodeProcessorFeaturesBanks: return property_set_banks(p, buffer, size, false);
    case WHvPartitionPropertyCodeSyntheticProcessorFeaturesBanks: return property_set_banks(p, buffer, size, true);
    case WHvPartitionPropertyCodeReferenceTime: return property_set_time(p, buffer, size);
    case SwhpPartitionPropertyCodeProfile: return property_set_profile(p, buffer, size);
    default: return fail(WHV_E_UNKNOWN_PROPERTY, "PropertyCode: %#x isn't there in this version", code);
    }
}

static HRESULT too_new(const struct partition *p, u32 code)
{
    return fail(WHV_E_UNKNOWN_PROPERTY, "PropertyCode: %#x is there from build %u on; the partition's ApiLevel is %u",
                code, level_of_property(code), p->api_level);
}

/* The first level that has what the property was just set to. */
static u32 level_needed(const struct partition *p, u32 code)
{
    u32 level = level_of_property(code), bits = 0;

    if (code == WHvPartitionPropertyCodeExtendedVmExits)
        bits = level_of_bits(LEVEL_EXITS, p->exits.AsUINT64);
    else if (code == WHvPartitionPropertyCodeLocalApicEmulationMode)
        bits = level_of_bits(LEVEL_APIC_MODES, (u64)1 << p->apic_mode);
    else if (code == WHvPartitionPropertyCodeSyntheticProcessorFeaturesBanks)
        bits = level_of_bits(LEVEL_SYNTHETIC, p->synthetic.asked);
    return level > bits ? level : bits;
}

HRESULT property_set(struct partition *p, u32 code, const void *buffer, u32 size)
{
    if (level_of_property(code) > p->api_level)
        return too_new(p, code);

    HRESULT hr = set_any(p, code, buffer, size);

    if (SUCCEEDED(hr) && level_needed(p, code) > p->api_needed)
        p->api_needed = level_needed(p, code);
    if (SUCCEEDED(hr) && code == SwhpPartitionPropertyCodeApiLevel)
        level_use(p);
    return hr;
}

static HRESULT property_get(struct partition *p, u32 code, void *buffer, u32 size, u32 *written)
{
    const struct property *row = find(code);
    u64 value[3] = { 0 };
    char name[32] = { 0 };

    if (level_of_property(code) > p->api_level)
        return too_new(p, code);
    if (row) {
        if (row->where)
            memcpy(value, (char *)p + row->where, row->size);
        else if (code == WHvPartitionPropertyCodeProcessorClFlushSize)
            value[0] = 8;
        return give(buffer, size, written, value, row->size);
    }
    switch (code) {
    case WHvPartitionPropertyCodeCpuidExitList:
    case WHvPartitionPropertyCodeCpuidResultList:
    case WHvPartitionPropertyCodeCpuidResultList2:
    case WHvPartitionPropertyCodeMsrActionList:
        return fail(HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED),
                    "PropertyCode: lists can't be read back");
    case WHvPartitionPropertyCodeProcessorFeaturesBanks:
        value[0] = WHV_PROCESSOR_FEATURES_BANKS_COUNT;
        value[1] = p->features;
        value[2] = p->features1;
        return give(buffer, size, written, value, 24);
    case WHvPartitionPropertyCodeSyntheticProcessorFeaturesBanks:
        value[0] = WHV_SYNTHETIC_PROCESSOR_FEATURES_BANKS_COUNT;
        value[1] = p->synthetic.asked;
        return give(buffer, size, written, value, 16);
    case WHvPartitionPropertyCodeReferenceTime:
        value[0] = clock_reference_time(p);
        return give(buffer, size, written, value, 8);
    case SwhpPartitionPropertyCodeProfile:
        memcpy(name, p->profile->name, strnlen(p->profile->name, sizeof name - 1));
        return give(buffer, size, written, name, sizeof name);
    default: return fail(WHV_E_UNKNOWN_PROPERTY, "PropertyCode: %#x isn't there in this version", code);
    }
}

HRESULT WINAPI WHvGetPartitionProperty(WHV_PARTITION_HANDLE Partition,
                                       WHV_PARTITION_PROPERTY_CODE PropertyCode, VOID *PropertyBuffer,
                                       UINT32 PropertyBufferSizeInBytes, UINT32 *WrittenSizeInBytes)
{
    struct partition *p;
    HRESULT hr = partition_enter(Partition, &p);

    if (FAILED(hr))
        return hr;
    if (meet_begin(p)) { /* the reference time follows counts */
        hr =
            property_get(p, (u32)PropertyCode, PropertyBuffer, PropertyBufferSizeInBytes, WrittenSizeInBytes);
        meet_end(p);
    } else {
        hr = fail(WHV_E_INVALID_VP_STATE, "Partition: this thread runs one of its processors");
    }
    partition_leave(Partition);
    return hr;
}

HRESULT WINAPI WHvSetPartitionProperty(WHV_PARTITION_HANDLE Partition,
                                       WHV_PARTITION_PROPERTY_CODE PropertyCode, const VOID *PropertyBuffer,
                                       UINT32 PropertyBufferSizeInBytes)
{
    struct partition *p;
    u64 held;
    HRESULT hr = partition_enter(Partition, &p);

    if (FAILED(hr))
        return hr;
    hr = partition_freeze(Partition, p, &held);
    if (SUCCEEDED(hr)) {
        hr = property_set(p, (u32)PropertyCode, PropertyBuffer, PropertyBufferSizeInBytes);
        partition_thaw(Partition, p, held);
    }
    partition_leave(Partition);
    return hr;
}
