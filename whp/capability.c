/* SPDX-License-Identifier: MIT */
/* WHvGetCapability: what this build offers, and the default processor. Reference 2.1. */
#include "state/profile.h"
#include "whp/level.h"
#include "whp/partition.h"

/* Banks: a count that the caller may lower, a reserved word, the words. */
static HRESULT give_banks(void *buffer, u32 size, u32 *written, const u64 *words, u32 count)
{
    u64 value[3] = { count, words[0], count > 1 ? words[1] : 0 };

    return give(buffer, size, written, value, 8 + 8 * count);
}

static HRESULT give32(void *buffer, u32 size, u32 *written, u32 value)
{
    return give(buffer, size, written, &value, sizeof value);
}

static HRESULT give64(void *buffer, u32 size, u32 *written, u64 value)
{
    return give(buffer, size, written, &value, sizeof value);
}

HRESULT WINAPI WHvGetCapability(WHV_CAPABILITY_CODE CapabilityCode, VOID *CapabilityBuffer,
                                UINT32 CapabilityBufferSizeInBytes, UINT32 *WrittenSizeInBytes)
{
    const struct profile *profile = profile_find("zen");
    void *b = CapabilityBuffer;
    u32 size = CapabilityBufferSizeInBytes, *written = WrittenSizeInBytes;
    u32 level = level_of_process();

    if (level_of_capability((u32)CapabilityCode) > level)
        return fail(WHV_E_UNKNOWN_CAPABILITY, "CapabilityCode: %#x is there from build %u on; the API level is %u",
                    (u32)CapabilityCode, level_of_capability((u32)CapabilityCode), level);

    switch ((u32)CapabilityCode) {
    case WHvCapabilityCodeHypervisorPresent: return give32(b, size, written, TRUE);
    case WHvCapabilityCodeFeatures:
        return give64(b, size, written, OFFERED_FEATURES & level_bits(level, LEVEL_FEATURES));
    case WHvCapabilityCodeExtendedVmExits:
        return give64(b, size, written, OFFERED_EXITS & level_bits(level, LEVEL_EXITS));
    case WHvCapabilityCodeExceptionExitBitmap: return give64(b, size, written, OFFERED_EXCEPTIONS);
    case WHvCapabilityCodeX64MsrExitBitmap: return give64(b, size, written, OFFERED_MSR_EXITS);
    case WHvCapabilityCodeGpaRangePopulateFlags: return give32(b, size, written, 3);
    case WHvCapabilityCodeSchedulerFeatures: return give64(b, size, written, 0);
    case WHvCapabilityCodeProcessorVendor:
        return give32(b, size, written,
                      profile->vendor == VENDOR_INTEL ? WHvProcessorVendorIntel : WHvProcessorVendorAmd);
    case WHvCapabilityCodeProcessorFeatures:
        return give64(b, size, written, profile->features & level_bits(level, LEVEL_PROCESSOR));
    case WHvCapabilityCodeProcessorClFlushSize: {
        u8 lines = 8;

        return give(b, size, written, &lines, 1);
    }
    case WHvCapabilityCodeProcessorXsaveFeatures:
        return give64(b, size, written, profile->xsave_features & level_bits(level, LEVEL_XSAVE));
    case WHvCapabilityCodeProcessorClockFrequency: return give64(b, size, written, profile->frequency);
    case WHvCapabilityCodeInterruptClockFrequency:
        return give64(b, size, written, profile->interrupt_frequency);
    case WHvCapabilityCodeProcessorFeaturesBanks: {
        u64 words[2] = { profile->features & level_bits(level, LEVEL_PROCESSOR),
                         profile->features1 & level_bits(level, LEVEL_PROCESSOR1) };

        return give_banks(b, size, written, words, WHV_PROCESSOR_FEATURES_BANKS_COUNT);
    }
    case WHvCapabilityCodeProcessorFrequencyCap: {
        WHV_CAPABILITY_PROCESSOR_FREQUENCY_CAP cap = { .IsSupported = 0 };

        return give(b, size, written, &cap, sizeof cap);
    }
    case WHvCapabilityCodeSyntheticProcessorFeaturesBanks: {
        u64 offered = SYNTHETIC_OFFERED & level_bits(level, LEVEL_SYNTHETIC);

        return give_banks(b, size, written, &offered, WHV_SYNTHETIC_PROCESSOR_FEATURES_BANKS_COUNT);
    }
    case WHvCapabilityCodeProcessorPerfmonFeatures: return give64(b, size, written, 0);
    case WHvCapabilityCodePhysicalAddressWidth: return give32(b, size, written, profile->physical_width);
    default:
        return fail(WHV_E_UNKNOWN_CAPABILITY, "CapabilityCode: there is no %#x here", (u32)CapabilityCode);
    }
}
