/* SPDX-License-Identifier: MIT */
/*
 * What came with which build of Windows: reference 1.5, 2.4 and 10, and the headers of the SDKs 17763 and 22000. Where
 * neither tells, a name stands at the first SDK that is known to have it. Levels are builds; those between two levels are
 * told so that the table keeps the dates as they are.
 */
#include "whp/level.h"

#include <stdlib.h>

#include "state/profile.h"
#include "whp/handle.h"

bool level_is_known(u32 level)
{
    return level == 17763 || level == 19041 || level == 20348 || level == 22000 || level == LEVEL_NEWEST;
}

/* ---- tables ---- */

/* Codes and names from first to last; what stands in no row was always there. */
struct since {
    u32 first, last, build;
};

static const struct since capabilities[] = {
    { WHvCapabilityCodeX64MsrExitBitmap, WHvCapabilityCodeX64MsrExitBitmap, 18362 },
    { WHvCapabilityCodeGpaRangePopulateFlags, WHvCapabilityCodeSchedulerFeatures, 20348 },
    { WHvCapabilityCodeProcessorClockFrequency, WHvCapabilityCodeInterruptClockFrequency, 18362 },
    { WHvCapabilityCodeProcessorFeaturesBanks, WHvCapabilityCodeSyntheticProcessorFeaturesBanks, 20348 },
    { WHvCapabilityCodeProcessorPerfmonFeatures, WHvCapabilityCodeProcessorPerfmonFeatures, 22000 },
    { WHvCapabilityCodePhysicalAddressWidth, WHvCapabilityCodePhysicalAddressWidth, 26100 },
    { 0x2000, 0x2010, 26100 }, /* images of VMX MSRs */
};

static const struct since properties[] = {
    { WHvPartitionPropertyCodeNestedVirtualization, WHvPartitionPropertyCodeX64MsrExitBitmap, 18362 },
    { WHvPartitionPropertyCodePrimaryNumaNode, WHvPartitionPropertyCodeDisableSmt, 20348 },
    { WHvPartitionPropertyCodeProcessorClockFrequency, WHvPartitionPropertyCodeInterruptClockFrequency, 18362 },
    { WHvPartitionPropertyCodeApicRemoteReadSupport, WHvPartitionPropertyCodeApicRemoteReadSupport, 19041 },
    { WHvPartitionPropertyCodeProcessorFeaturesBanks, WHvPartitionPropertyCodeCpuidResultList2, 20348 },
    { WHvPartitionPropertyCodeProcessorPerfmonFeatures, WHvPartitionPropertyCodeUnimplementedMsrAction, 22000 },
    { WHvPartitionPropertyCodePhysicalAddressWidth, WHvPartitionPropertyCodePhysicalAddressWidth, 26100 },
};

static const struct since registers[] = {
    { 0x28, 0x2b, 26100 }, /* VirtualCr0 to 8 */
    { WHvX64RegisterInitialApicId, WHvX64RegisterInitialApicId, 19041 },
    { WHvX64RegisterBndcfgs, WHvX64RegisterACount, 20348 },
    { WHvX64RegisterSpecCtrl, WHvX64RegisterPredCmd, 18362 }, /* 17763 has the names and doesn't take them */
    { WHvX64RegisterTscVirtualOffset, WHvX64RegisterTscVirtualOffset, 18362 },
    { WHvX64RegisterTsxCtrl, WHvX64RegisterInterruptSspTableAddr, 20348 },
    { WHvX64RegisterTscDeadline, WHvX64RegisterXfdErr, 22000 },
    { WHvX64RegisterMsrIa32MiscEnable, WHvX64RegisterAmdVmCr, 26100 },
    { 0x3000, 0x303f, 19041 }, /* the local APIC's, likewise */
    { WHvRegisterSint0, WHvRegisterEom, 20348 },
    { WHvRegisterVpRuntime, 0x5fff, 20348 },
    { WHvRegisterPendingEvent1, WHvRegisterPendingEvent1, 20348 },
    { WHvX64RegisterPendingDebugException, WHvX64RegisterPendingDebugException, 19041 },
    { 0x80000007, 0x80000008, 26100 }, /* PendingEvent2 and 3 */
};

static const struct bits_since {
    u64 bits;
    u32 build;
    u8 set; /* enum level_set */
} bits_since[] = {
    { 0x1f, 0, LEVEL_FEATURES },
    { 0x60, 19041, LEVEL_FEATURES },   /* ApicRemoteRead, IdleSuspend */
    { 0x380, 20348, LEVEL_FEATURES },  /* VirtualPciDeviceSupport, IommuSupport, VpHotAddRemove */
    { 0x400, 26100, LEVEL_FEATURES },  /* DeviceAccessTracking */
    { 0x7, 0, LEVEL_EXITS },           /* CPUID, MSRs, exceptions */
    { 0x38, 19041, LEVEL_EXITS },      /* RDTSC, SMI, hypercalls */
    { 0x3fc0, 20348, LEVEL_EXITS },    /* INIT and SIPI, writes to the APIC, unknown connections and devices */
    { 0x4000, 22000, LEVEL_EXITS },    /* GpaAccessFault */
    { 0x00db7fffe7ffffff, 0, LEVEL_PROCESSOR },
    { 0x1e00000000000000, 19041, LEVEL_PROCESSOR },       /* RDPID, UMIP, MdsNo, MdClear */
    { 0x6000000000000000, 20348, LEVEL_PROCESSOR },       /* TaaNo, TsxCtrl */
    { ~(u64)0x7edb7fffe7ffffff, 26100, LEVEL_PROCESSOR }, /* UnrestrictedGuest, and what still is reserved */
    { 0x7f7cf, 20348, LEVEL_PROCESSOR1 },            /* up to TscAdjust */
    { 0x380000, 22000, LEVEL_PROCESSOR1 },           /* fast string instructions */
    { ~(u64)0x3ff7cf, 26100, LEVEL_PROCESSOR1 },
    { 0x7fffff, 0, LEVEL_XSAVE },
    { 0x1800000, 20348, LEVEL_XSAVE },               /* AVX512_BF16, AVX512_VP2INTERSECT */
    { 0x3e000000, 22000, LEVEL_XSAVE },              /* AVX512_FP16, XFD, AMX */
    { ~(u64)0x3fffffff, 26100, LEVEL_XSAVE },
    { 0x7fffffff, 20348, LEVEL_SYNTHETIC },
    { ~(u64)0x7fffffff, 26100, LEVEL_SYNTHETIC },
    { 0x3, 0, LEVEL_APIC_MODES },
    { 0x4, 19041, LEVEL_APIC_MODES },  /* x2APIC */
    { 0xf, 0, LEVEL_COUNTERS },
    { 0x10, 20348, LEVEL_COUNTERS },   /* SyntheticFeatures */
};

struct function {
    const char *name;
    u32 build;
};

static const struct function functions[] = {
#define FUNCTION(name, build) { #name, build },
#include "whp/functions.inc"
#undef FUNCTION
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* ---- looking up ---- */

static u32 since(const struct since *rows, size_t n, u32 code)
{
    for (size_t i = 0; i < n; i++) {
        if (code >= rows[i].first && code <= rows[i].last)
            return rows[i].build;
    }
    return 0;
}

u32 level_of_capability(u32 code)
{
    return since(capabilities, COUNT(capabilities), code);
}

u32 level_of_property(u32 code)
{
    return since(properties, COUNT(properties), code);
}

u32 level_of_register(u32 name)
{
    return since(registers, COUNT(registers), name);
}

u64 level_bits(u32 level, enum level_set set)
{
    u64 bits = 0;

    for (size_t i = 0; i < COUNT(bits_since); i++)
        bits |= bits_since[i].set == set && bits_since[i].build <= level ? bits_since[i].bits : 0;
    return bits;
}

u32 level_of_bits(enum level_set set, u64 bits)
{
    u32 level = 0;

    for (size_t i = 0; i < COUNT(bits_since); i++) {
        if (bits_since[i].set == set && bits & bits_since[i].bits && bits_since[i].build > level)
            level = bits_since[i].build;
    }
    return level;
}

static u32 level_of_function(const char *name)
{
    for (size_t i = 0; i < COUNT(functions); i++) {
        if (!strcmp(functions[i].name, name))
            return functions[i].build;
    }
    return 0;
}

/* ---- the process and its partitions ---- */

u32 level_of_process(void)
{
    const char *word = getenv("SOFTWHP");

    while (word && *word) {
        if (!strncmp(word, "api=", 4)) {
            char *end;
            unsigned long level = strtoul(word + 4, &end, 0);

            if ((!*end || *end == ',') && level_is_known((u32)level))
                return (u32)level;
        }
        word = strchr(word, ',');
        word += word != NULL;
    }
    return LEVEL_NEWEST;
}

static bool lacks(u32 level, const char *function)
{
    u32 build = level < LEVEL_NEWEST ? level_of_function(function) : 0;

    if (build <= level)
        return false;
    fail(E_NOTIMPL, "%s is there from build %u on; the API level is %u", function, build, level);
    return true;
}

bool level_lacks(WHV_PARTITION_HANDLE handle, const char *function)
{
    return lacks(handle_level(handle), function); /* of what is no partition the function says so itself */
}

bool level_of_process_lacks(const char *function)
{
    return lacks(level_of_process(), function);
}

bool level_has_old_context(const struct partition *p)
{
    return p->api_level < 19041;
}

void level_use(struct partition *p)
{
    p->is_special = level_has_old_context(p) || p->is_suspended;
    p->features = p->profile->features & level_bits(p->api_level, LEVEL_PROCESSOR);
    p->features1 = p->profile->features1 & level_bits(p->api_level, LEVEL_PROCESSOR1);
    p->xsave_features = p->profile->xsave_features & level_bits(p->api_level, LEVEL_XSAVE);
    profile_settle(p);
    if (p->doors) /* else it has no handle yet */
        handle_set_level(p);
}

/* ---- what a client asks before it calls ---- */

#define FUNCTION(name, build)                                                                                \
    BOOLEAN WINAPI Is##name##Present(VOID)                                                                   \
    {                                                                                                        \
        return build <= level_of_process();                                                                  \
    }
#include "whp/functions.inc"
