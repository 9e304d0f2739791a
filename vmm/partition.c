/* SPDX-License-Identifier: MIT */
/*
 * The platform's side of a machine: the partition and its properties, its processors, and what of its memory they see.
 */
#include <string.h>

#include "machine.h"

enum { MSR_UPDATE_SIGNATURE = 0x8b };

bool platform_problem(struct problem *problem, int status, const char *call, HRESULT result)
{
    char cause[512] = "";

    SwhpGetLastErrorText(cause, sizeof cause, NULL);
    return problem_is(problem, status, "%s failed with %08x%s%s", call, (unsigned)result, *cause ? ": " : "",
                      cause);
}

static bool set_property(struct machine *m, unsigned code, const void *value, uint32_t size,
                         struct problem *problem)
{
    HRESULT result = WHvSetPartitionProperty(m->partition, (WHV_PARTITION_PROPERTY_CODE)code, value, size);

    return result == S_OK || platform_problem(problem, STATUS_HOST, "WHvSetPartitionProperty", result);
}

/* All that the platform has of Hyper-V's interface. */
static bool offer_hyperv(struct machine *m, struct problem *problem)
{
    WHV_SYNTHETIC_PROCESSOR_FEATURES_BANKS banks = {.BanksCount = WHV_SYNTHETIC_PROCESSOR_FEATURES_BANKS_COUNT};
    HRESULT result = WHvGetCapability(WHvCapabilityCodeSyntheticProcessorFeaturesBanks, &banks, sizeof banks, NULL);

    if (result != S_OK)
        return platform_problem(problem, STATUS_HOST, "WHvGetCapability(SyntheticProcessorFeaturesBanks)", result);
    return set_property(m, WHvPartitionPropertyCodeSyntheticProcessorFeaturesBanks, &banks, sizeof banks, problem);
}

/* What a platform ignores where a processor has nothing to do: the load of a microcode update, to this processor an
 * unknown register, is tried by firmware (U-Boot) that takes every processor with an APIC for Intel's. As QEMU and KVM
 * do it: a write is nothing, and a read is the processor's. */
static bool ignore_updates(struct machine *m, struct problem *problem)
{
    const WHV_MSR_ACTION_ENTRY update = {.Index = MSR_UPDATE_SIGNATURE, .ReadAction = WHvMsrActionArchitectureDefault,
                                         .WriteAction = WHvMsrActionIgnoreWriteReadZero};
    HRESULT result = WHvSetPartitionProperty(m->partition, WHvPartitionPropertyCodeMsrActionList, &update,
                                             sizeof update);

    /* A platform of an older level doesn't know the list. */
    return result == S_OK || result == WHV_E_UNKNOWN_PROPERTY ||
           platform_problem(problem, STATUS_HOST, "WHvSetPartitionProperty(MsrActionList)", result);
}

bool partition_make(struct machine *m, struct problem *problem)
{
    UINT32 processors = m->processor_count, clock = m->options->host_clock ? SwhpClockHost : SwhpClockVirtual;
    UINT32 rate = (UINT32)m->options->clock_rate;
    UINT32 apic = m->options->apic;
    UINT64 seed = m->options->seed;
    UINT32 undefined = m->options->undefined;
    WHV_EXTENDED_VM_EXITS exits = {0};
    HRESULT result = WHvCreatePartition(&m->partition);

    if (result == E_INVALIDARG) { /* the environment variable SOFTWHP, and the platform has said so */
        problem->status = STATUS_USAGE;
        return false;
    }
    if (result != S_OK)
        return platform_problem(problem, STATUS_HOST, "WHvCreatePartition", result);
    /* Writes that open or close the way of the 8259A's requests are to be seen. */
    exits.X64ApicWriteLint0ExitTrap = exits.X64ApicWriteSvrExitTrap = 1;
    if (m->has_apic && (!set_property(m, WHvPartitionPropertyCodeLocalApicEmulationMode, &apic, sizeof apic, problem) ||
                        !set_property(m, WHvPartitionPropertyCodeExtendedVmExits, &exits, sizeof exits, problem)))
        return false;
    if (!ignore_updates(m, problem) || (m->options->hyperv && !offer_hyperv(m, problem)))
        return false;
    if (m->options->has_undefined && /* else the environment's, if it has one */
        !set_property(m, SwhpPartitionPropertyCodeUndefinedResults, &undefined, sizeof undefined, problem))
        return false;
    if (!set_property(m, WHvPartitionPropertyCodeProcessorCount, &processors, sizeof processors, problem) ||
        !set_property(m, SwhpPartitionPropertyCodeClock, &clock, sizeof clock, problem) ||
        !set_property(m, SwhpPartitionPropertyCodeClockRate, &rate, sizeof rate, problem) ||
        !set_property(m, SwhpPartitionPropertyCodeSeed, &seed, sizeof seed, problem))
        return false;
    result = WHvSetupPartition(m->partition);
    if (result != S_OK)
        return platform_problem(problem, STATUS_HOST, "WHvSetupPartition", result);
    result = WHvGetPartitionProperty(m->partition, WHvPartitionPropertyCodeProcessorClockFrequency,
                                     &m->frequency, sizeof m->frequency, NULL);
    if (result != S_OK || !m->frequency)
        return platform_problem(problem, STATUS_HOST, "WHvGetPartitionProperty(ProcessorClockFrequency)",
                                result);
    m->rate = rate;
    m->ns_per_count = (uint64_t)(((unsigned __int128)m->rate * 1000000000u << 32) / m->frequency);
    return true;
}

bool partition_fill(struct machine *m, struct problem *problem)
{
    for (unsigned i = 0; i < m->processor_count; i++) {
        HRESULT result = WHvCreateVirtualProcessor(m->partition, i, 0);

        if (result != S_OK)
            return platform_problem(problem, STATUS_HOST, "WHvCreateVirtualProcessor", result);
        m->processors[i].is_created = true;
        m->processors[i].machine = m;
        m->processors[i].index = i;
        if (m->processor_count > 1)
            snprintf(m->processors[i].on, sizeof m->processors[i].on, " on processor %u", i);
    }
    return true;
}

static bool map(struct machine *m, void *host, uint64_t gpa, uint64_t size, unsigned rights,
                struct problem *problem)
{
    HRESULT result;

    if (!size)
        return true;
    result = WHvMapGpaRange(m->partition, host, gpa, size, (WHV_MAP_GPA_RANGE_FLAGS)rights);
    return result == S_OK || platform_problem(problem, STATUS_HOST, "WHvMapGpaRange", result);
}

bool partition_map(struct machine *m, struct problem *problem)
{
    const struct memory *memory = &m->memory;
    unsigned ram = WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite | WHvMapGpaRangeFlagExecute;
    unsigned rom = WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagExecute;

    return map(m, memory->host, 0, MEMORY_HOLE_START, ram, problem) &&
           map(m, memory->host + MEMORY_TEXT, MEMORY_TEXT, MEMORY_HOLE_END - MEMORY_TEXT, ram, problem) &&
           map(m, memory->host + MEMORY_HOLE_END, MEMORY_HOLE_END, memory->low_size - MEMORY_HOLE_END, ram,
               problem) &&
           map(m, memory->host + memory->low_size, MEMORY_HIGH_START, memory->size - memory->low_size, ram,
               problem) &&
           map(m, memory->rom, memory->rom_gpa, memory->rom_size, rom, problem) &&
           (!memory->rom || board_map(m, problem));
}

/* A platform that can't tell is taken at the specification's word for one that has no CPUID: table 4-6. */
void partition_describe(struct machine *m)
{
    static const WHV_REGISTER_NAME name = WHvX64RegisterApicVersion;
    struct mp_kind kind = {.features = 0x201}; /* an x87 and an APIC */
    WHV_REGISTER_VALUE version;
    WHV_CPUID_OUTPUT leaf;
    uint8_t bytes[MP_ROOM];
    uint32_t size;

    if (WHvGetVirtualProcessorRegisters(m->partition, 0, &name, 1, &version) == S_OK)
        kind.apic_version = (uint8_t)version.Reg64;
    if (WHvGetVirtualProcessorCpuidOutput(m->partition, 0, 1, 0, &leaf) == S_OK) {
        kind.signature = leaf.Eax;
        kind.features = leaf.Edx;
    }
    size = mp_build(bytes, m->processor_count, &kind);
    memcpy(memory_at(&m->memory, MP_GPA, size), bytes, size);
}
