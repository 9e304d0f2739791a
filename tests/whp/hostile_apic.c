/* SPDX-License-Identifier: MIT */
/* What a hostile guest's caller does to local APICs, lists and counters, at random. */
#include "tests/whp/hostile.h"

static void request(struct hostile *h)
{
    static const u8 types[] = { 0, 0, 0, 0, 1, 4, 5, 6, 9 };
    static const u32 destinations[] = { 0, 0, 0, 1, 0xff, 0xffffffff };
    struct chance *c = &h->chance;
    WHV_INTERRUPT_CONTROL control;

    memset(&control, 0, sizeof control);
    control.Type = CHANCE_OF(c, types);
    control.DestinationMode = chance_percent(c, 20);
    control.TriggerMode = chance_percent(c, 30);
    control.Destination = CHANCE_OF(c, destinations);
    control.Vector = chance_below(c, 256);
    ck_ok(WHvRequestInterrupt(h->partition, &control, sizeof control));
}

/* Its page, perhaps spoilt: whatever it says, it is taken. */
static void shuffle(struct hostile *h)
{
    struct chance *c = &h->chance;
    u8 page[4096], again[4096];
    u32 size;

    ck_ok(WHvGetVirtualProcessorInterruptControllerState2(h->partition, 0, page, sizeof page, &size));
    ck_assert_uint_eq(size, sizeof page);
    ck_ok(WHvSetVirtualProcessorInterruptControllerState2(h->partition, 0, page, size));
    ck_ok(WHvGetVirtualProcessorInterruptControllerState2(h->partition, 0, again, sizeof again, NULL));
    ck_assert(!memcmp(page, again, sizeof page)); /* saved and restored is as before */
    if (chance_percent(c, 50))
        return;
    for (u32 n = 1 + chance_below(c, 8); n; n--)
        page[chance_below(c, 0x400)] = (u8)chance_any(c);
    ck_ok(WHvSetVirtualProcessorInterruptControllerState2(h->partition, 0, page, size));
}

static void put(struct hostile *h)
{
    static const WHV_REGISTER_NAME names[] = { WHvX64RegisterApicTpr,       WHvX64RegisterApicSpurious,
                                               WHvX64RegisterApicLvtTimer,  WHvX64RegisterApicLvtTimer,
                                               WHvX64RegisterApicInitCount, WHvX64RegisterApicInitCount,
                                               WHvX64RegisterApicDivide,    WHvX64RegisterApicLvtLint0,
                                               WHvX64RegisterApicLvtLint1,  WHvX64RegisterApicIrr2,
                                               WHvX64RegisterApicIsr3,      WHvX64RegisterApicLdr,
                                               WHvX64RegisterTscDeadline,   WHvX64RegisterApicBase,
                                               WHvRegisterPendingEvent,     WHvRegisterInternalActivityState };
    struct chance *c = &h->chance;
    u64 value = chance_percent(c, 50) ? chance_below(c, 1 << 19) : hostile_value(c);
    WHV_REGISTER_NAME name = CHANCE_OF(c, names);
    WHV_REGISTER_VALUE v;

    memset(&v, 0, sizeof v);
    v.Reg64 = value;
    if (name == WHvX64RegisterApicSpurious && chance_percent(c, 80))
        v.Reg64 = 0x1ff;
    if (name == WHvRegisterPendingEvent) /* an ExtInt */
        v.Reg64 = 1 | 5 << 1 | (value & 0xff) << 8;
    if (name == WHvRegisterInternalActivityState)
        v.Reg64 = chance_below(c, 4);

    HRESULT hr = WHvSetVirtualProcessorRegisters(h->partition, 0, &name, 1, &v);

    ck_assert_msg(hr == S_OK || hr == (HRESULT)0xC0350050u || hr == (HRESULT)0xC0350005u ||
                      hr == WHV_E_INVALID_VP_REGISTER_NAME,
                  "register %#x: %08x", (u32)name, (u32)hr);
}

/* What CPUID says and what MSRs do, differently from now on. */
static void change_lists(struct hostile *h)
{
    struct chance *c = &h->chance;
    WHV_X64_CPUID_RESULT2 masks[3];
    WHV_MSR_ACTION_ENTRY actions[4];
    static const u32 msrs[] = { 0x10, 0x1b, 0x174, 0x277, 0x800, 0x830, 0x12345678, 0xc0000080, 0xc0000082 };

    memset(masks, 0, sizeof masks);
    for (u32 i = 0; i < 3; i++) {
        masks[i].Function = chance_below(c, 0x20) | (chance_percent(c, 30) ? 0x80000000 : 0);
        masks[i].Index = chance_below(c, 3);
        masks[i].Flags = (WHV_X64_CPUID_RESULT2_FLAGS)chance_below(c, 4);
        masks[i].Output.Ebx = (u32)chance_any(c);
        masks[i].Mask.Ebx = (u32)chance_any(c);
        masks[i].Mask.Ecx = (u32)chance_any(c);
    }
    ck_ok(WHvSetPartitionProperty(h->partition, WHvPartitionPropertyCodeCpuidResultList2, masks,
                                  chance_below(c, 4) * (u32)sizeof *masks));
    memset(actions, 0, sizeof actions);
    for (u32 i = 0; i < 4; i++) {
        actions[i].Index = CHANCE_OF(c, msrs);
        actions[i].ReadAction = (u8)chance_below(c, 3);
        actions[i].WriteAction = (u8)chance_below(c, 3);
    }
    ck_ok(WHvSetPartitionProperty(h->partition, WHvPartitionPropertyCodeMsrActionList, actions,
                                  chance_below(c, 5) * (u32)sizeof *actions));
}

u64 hostile_count(const struct hostile *h)
{
    static const u32 sizes[] = { 16, 224, 24, 40 };
    u64 digest = 0xcbf29ce484222325, room[28];

    for (u32 set = 0; set < 4; set++) {
        memset(room, 0, sizeof room);
        ck_ok(WHvGetVirtualProcessorCounters(h->partition, 0, (WHV_PROCESSOR_COUNTER_SET)set, room, sizes[set], NULL));
        digest = digest_add(digest, room, sizes[set]);
    }
    return digest;
}

void hostile_interrupts(struct hostile *h)
{
    struct chance *c = &h->chance;

    if (chance_percent(c, 5))
        change_lists(h);
    if (!h->has_apic)
        return;
    if (chance_percent(c, 30))
        request(h);
    for (u32 n = chance_percent(c, 30) ? 1 + chance_below(c, 3) : 0; n; n--)
        put(h);
    if (chance_percent(c, 10))
        shuffle(h);
}
