/* SPDX-License-Identifier: MIT */
/* Partition properties that are neither numbers nor lists: banks of features, the profile's name, the time. */
#include "cpu/synthetic.h"
#include "state/clock.h"
#include "state/profile.h"
#include "whp/level.h"
#include "whp/partition.h"

HRESULT property_set_banks(struct partition *p, const void *buffer, u32 size, bool synthetic)
{
    const char *name = synthetic ? "SyntheticProcessorFeaturesBanks" : "ProcessorFeaturesBanks";
    u32 most = synthetic ? WHV_SYNTHETIC_PROCESSOR_FEATURES_BANKS_COUNT : WHV_PROCESSOR_FEATURES_BANKS_COUNT;
    u64 head, bank[2] = { 0 };

    if (size < sizeof head)
        return fail(WHV_E_INSUFFICIENT_BUFFER, "%s: %u bytes", name, size);
    head = load_bytes(buffer, 8);
    if (head == 0 || head > most)
        return fail(E_INVALIDARG, "%s: BanksCount must be 1 to %u, and Reserved0 zero", name, most);
    if (size < 8 + 8 * head)
        return fail(WHV_E_INSUFFICIENT_BUFFER, "%s: %u bytes for %u banks", name, size, (u32)head);
    memcpy(bank, (const char *)buffer + 8, 8 * head);
    if (bank[0] & ~(synthetic ? SYNTHETIC_OFFERED & level_bits(p->api_level, LEVEL_SYNTHETIC)
                              : p->profile->features & level_bits(p->api_level, LEVEL_PROCESSOR)) ||
        bank[1] & ~(synthetic ? 0 : p->profile->features1 & level_bits(p->api_level, LEVEL_PROCESSOR1)))
        return fail(E_INVALIDARG, "%s: features that the capability of that name doesn't offer", name);
    if (synthetic) {
        p->synthetic.asked = bank[0];
    } else {
        p->features = bank[0];
        if (head > 1)
            p->features1 = bank[1];
    }
    return S_OK;
}

HRESULT property_set_profile(struct partition *p, const void *buffer, u32 size)
{
    char name[33] = { 0 };

    if (size)
        memcpy(name, buffer, size < 32 ? size : 32);

    const struct profile *profile = profile_find(name);

    if (!profile)
        return fail(E_INVALIDARG, "Profile: there is no processor \"%s\"; \"zen\" is one", name);
    profile_use(p, profile);
    level_use(p);
    return S_OK;
}

HRESULT property_set_time(struct partition *p, const void *buffer, u32 size)
{
    if (size < 8)
        return fail(WHV_E_INSUFFICIENT_BUFFER, "ReferenceTime: %u bytes, the value has 8", size);
    if (p->is_set_up && !p->is_suspended)
        return fail(E_INVALIDARG, "ReferenceTime: after Setup only while WHvSuspendPartitionTime holds");
    for (u32 i = 0; i < p->processors; i++) /* timers that have expired by the old time, unseen */
        if (p->cpu[i] && p->cpu[i]->synic)
            synic_catch_up(p->cpu[i]);
    p->reference_offset = 0;
    p->reference_offset = load_bytes(buffer, 8) - clock_reference_time(p);
    synthetic_settle_tsc(p);
    return S_OK;
}
