/* SPDX-License-Identifier: MIT */
/* Garbage for state, lists, interrupts and counters. It begins as what a Get gave or as a good list, and is spoilt. */
#include "include/WinHvEmulation.h"
#include "tests/whp/garbage.h"

/* Spoils up to 8 bytes, or none. */
static void spoil(struct caller *a, u32 size)
{
    struct chance *c = &a->chance;

    for (u32 n = chance_percent(c, 60) ? 1 + chance_below(c, 8) : 0; n && size; n--)
        a->room[chance_below(c, size)] = (u8)chance_any(c);
}

static u32 fill(struct caller *a, u32 size)
{
    for (u32 i = 0; i < size; i += 8)
        store_bytes(a->room + i, garbage_number(&a->chance), 8);
    return size;
}

static HRESULT set_state(struct caller *a)
{
    static const u32 types[] = { 0, 1, 2, 0x1000, 0x1000, 0x1001, 0x1001, 0x1002 };
    struct chance *c = &a->chance;
    WHV_PARTITION_HANDLE p = garbage_partition(c);
    WHV_VIRTUAL_PROCESSOR_STATE_TYPE type = (WHV_VIRTUAL_PROCESSOR_STATE_TYPE)CHANCE_OF(c, types);
    u32 vp = garbage_index(c), size = 0;
    HRESULT hr = WHvGetVirtualProcessorState(p, vp, type, a->room, ROOM, &size);

    if (FAILED(hr) || chance_percent(c, 10))
        size = fill(a, chance_below(c, 8193));
    spoil(a, size);
    return WHvSetVirtualProcessorState(p, vp, type, chance_percent(c, 97) ? a->room : NULL,
                                       chance_percent(c, 80) ? size : garbage_size(c));
}

static HRESULT set_apic(struct caller *a, bool is_old)
{
    struct chance *c = &a->chance;
    WHV_PARTITION_HANDLE p = garbage_partition(c);
    u32 vp = garbage_index(c), size = 0;
    HRESULT hr = is_old ? WHvGetVirtualProcessorInterruptControllerState(p, vp, a->room, ROOM, &size)
                        : WHvGetVirtualProcessorInterruptControllerState2(p, vp, a->room, ROOM, &size);

    if (FAILED(hr) || chance_percent(c, 20))
        size = fill(a, 4096);
    spoil(a, size);
    size = chance_percent(c, 80) ? size : garbage_size(c);
    return is_old ? WHvSetVirtualProcessorInterruptControllerState(p, vp, a->room, size)
                  : WHvSetVirtualProcessorInterruptControllerState2(p, vp, a->room, size);
}

static HRESULT get_apic(struct caller *a)
{
    struct chance *c = &a->chance;

    return chance_percent(c, 50)
               ? WHvGetVirtualProcessorInterruptControllerState(garbage_partition(c), garbage_index(c),
                                                                garbage_place(a), garbage_size(c), garbage_u32(a))
               : WHvGetVirtualProcessorInterruptControllerState2(garbage_partition(c), garbage_index(c),
                                                                 garbage_place(a), garbage_size(c), garbage_u32(a));
}

/* Any register of a local APIC, also of one that is in the middle of something. */
static HRESULT set_apic_register(struct caller *a)
{
    struct chance *c = &a->chance;
    WHV_REGISTER_NAME name = (WHV_REGISTER_NAME)(0x3000 + chance_below(c, 64));
    WHV_REGISTER_VALUE v;

    memset(&v, 0, sizeof v);
    v.Reg64 = chance_percent(c, 10) ? (u64)WHvX64RegisterTscDeadline : garbage_number(c);
    if (chance_percent(c, 10))
        name = CHANCE_OF(c, ((const WHV_REGISTER_NAME[]){ WHvX64RegisterApicBase, WHvX64RegisterInitialApicId,
                                                          WHvRegisterInternalActivityState, WHvX64RegisterCr8 }));
    return WHvSetVirtualProcessorRegisters(garbage_partition(c), garbage_index(c), &name, 1, &v);
}

static HRESULT set_list(struct caller *a)
{
    static const struct {
        WHV_PARTITION_PROPERTY_CODE code;
        u32 size;
    } lists[] = { { WHvPartitionPropertyCodeCpuidExitList, 4 },
                  { WHvPartitionPropertyCodeCpuidResultList, 32 },
                  { WHvPartitionPropertyCodeCpuidResultList2, 48 },
                  { WHvPartitionPropertyCodeMsrActionList, 8 } };
    struct chance *c = &a->chance;
    u32 which = chance_below(c, 4), n = chance_below(c, 9), size = n * lists[which].size;

    memset(a->room, 0, size);
    for (u32 i = 0; i < n; i++) {
        u8 *entry = a->room + i * lists[which].size;

        store_bytes(entry, garbage_number(c), 4); /* the leaf, or the MSR */
        for (u32 at = 16; at < lists[which].size; at += 4)
            store_bytes(entry + at, chance_any(c), 4);
        if (which == 2)
            store_bytes(entry + 12, chance_below(c, 4), 4);
        if (which == 3)
            store_bytes(entry + 4, chance_below(c, 3) | chance_below(c, 3) << 8, 2);
    }
    spoil(a, chance_percent(c, 20) ? size : 0);
    return WHvSetPartitionProperty(garbage_partition(c), lists[which].code, a->room,
                                   chance_percent(c, 90) ? size : garbage_size(c));
}

/* The exits and traps on and off, and what goes with them. */
static HRESULT set_exits(struct caller *a)
{
    static const WHV_PARTITION_PROPERTY_CODE codes[] = { WHvPartitionPropertyCodeExtendedVmExits,
                                                         WHvPartitionPropertyCodeExceptionExitBitmap,
                                                         WHvPartitionPropertyCodeX64MsrExitBitmap,
                                                         WHvPartitionPropertyCodeReferenceTime };
    u64 value = chance_any(&a->chance) & (chance_percent(&a->chance, 50) ? 0xf : 0x3fcf);

    return WHvSetPartitionProperty(garbage_partition(&a->chance), CHANCE_OF(&a->chance, codes), &value, 8);
}

static HRESULT request(struct caller *a)
{
    static const u8 types[] = { 0, 0, 0, 1, 4, 5, 6, 9 };
    static const u32 destinations[] = { 0, 1, 2, 3, 0xff, 0xffffffff, 1 << 24 };
    struct chance *c = &a->chance;
    WHV_INTERRUPT_CONTROL control;

    memset(&control, 0, sizeof control);
    control.Type = CHANCE_OF(c, types);
    control.DestinationMode = chance_percent(c, 50);
    control.TriggerMode = chance_percent(c, 50);
    control.Destination = CHANCE_OF(c, destinations);
    control.Vector = chance_below(c, 256);
    memcpy(a->room, &control, sizeof control);
    spoil(a, chance_percent(c, 20) ? 16 : 0);
    return WHvRequestInterrupt(garbage_partition(c), (const void *)a->room, 16);
}

static HRESULT counters(struct caller *a)
{
    struct chance *c = &a->chance;

    return chance_percent(c, 20)
               ? WHvGetPartitionCounters(garbage_partition(c), (WHV_PARTITION_COUNTER_SET)chance_below(c, 3),
                                         garbage_place(a), garbage_size(c), garbage_u32(a))
               : WHvGetVirtualProcessorCounters(garbage_partition(c), garbage_index(c),
                                                (WHV_PROCESSOR_COUNTER_SET)chance_below(c, 7), garbage_place(a),
                                                garbage_size(c), garbage_u32(a));
}

static VOID CALLBACK on_trace(VOID *context, UINT32 vp, UINT64 count, UINT32 kind, const char *line)
{
    (void)context;
    (void)vp;
    (void)count;
    (void)kind;
    ck_assert_uint_lt(strlen(line), 256);
}

/* A doorbell that may be, mostly; the second half of a port's parameters too. */
static void fill_bell(struct caller *a)
{
    struct chance *c = &a->chance;
    WHV_DOORBELL_MATCH_DATA m;

    memset(&m, 0, sizeof m);
    m.GuestAddress = chance_below(c, 32 << 8) << 4;
    if (chance_percent(c, 70)) {
        m.Length = 1u << chance_below(c, 4);
        m.MatchOnLength = 1;
        m.MatchOnValue = chance_percent(c, 50);
        m.Value = m.MatchOnValue ? chance_below(c, 3) : 0;
    }
    memcpy(a->room, &m, sizeof m);
    spoil(a, chance_percent(c, 20) ? sizeof m : 0);
}

static HRESULT create_port(struct caller *a, HANDLE event)
{
    struct chance *c = &a->chance;
    WHV_NOTIFICATION_PORT_PARAMETERS q;

    fill_bell(a);
    memset(&q, 0, sizeof q);
    q.NotificationPortType = chance_percent(c, 50) ? WHvNotificationPortTypeEvent : WHvNotificationPortTypeDoorbell;
    memcpy(&q.Doorbell, a->room, sizeof q.Doorbell);
    if (chance_percent(c, 80) && q.NotificationPortType == WHvNotificationPortTypeEvent)
        q.Event.ConnectionId = chance_below(c, 8);
    memcpy(a->room, &q, sizeof q);
    spoil(a, chance_percent(c, 20) ? sizeof q : 0);
    return WHvCreateNotificationPort(garbage_partition(c), (void *)a->room, event, (void *)(a->room + 4096));
}

/* What is signalled and what signals, with an event, or with what is no file of this process. */
static HRESULT events(struct caller *a)
{
    struct chance *c = &a->chance;
    const intptr_t events[] = { a->event, a->event, a->event, 0, -1, 100000, INT32_MAX };
    HANDLE event = (HANDLE)CHANCE_OF(c, events);
    WHV_PARTITION_HANDLE p = garbage_partition(c);
    void *other = (void *)(uintptr_t)(chance_percent(c, 50) ? chance_below(c, 40) << 4 : garbage_number(c));

    fill(a, 64);
    switch (chance_below(c, 12)) {
    case 0:
    case 1: fill_bell(a); return WHvRegisterPartitionDoorbellEvent(p, garbage_typed(a), event);
    case 2: fill_bell(a); return WHvUnregisterPartitionDoorbellEvent(p, garbage_typed(a));
    case 3:
    case 4: return create_port(a, event);
    case 5:
        return WHvSetNotificationPortProperty(p, other, (WHV_NOTIFICATION_PORT_PROPERTY_CODE)chance_below(c, 7),
                                              garbage_number(c));
    case 6: return WHvDeleteNotificationPort(p, other);
    case 7: {
        WHV_SYNIC_EVENT_PARAMETERS e = { .VpIndex = garbage_index(c),
                                         .TargetSint = (u8)chance_below(c, 20),
                                         .FlagNumber = (u16)garbage_number(c) };

        return WHvSignalVirtualProcessorSynicEvent(p, e, garbage_u32(a));
    }
    case 8:
        return WHvPostVirtualProcessorSynicMessage(p, garbage_index(c), chance_below(c, 20), garbage_place(a),
                                                   garbage_size(c));
    case 9: return WHvCreateTrigger(p, garbage_typed(a), (void *)(a->room + 4096), (void *)(a->room + 4104));
    case 10: return WHvUpdateTriggerParameters(p, garbage_typed(a), other);
    default: return WHvDeleteTrigger(p, other);
    }
}

static HRESULT emulator(struct caller *a)
{
    struct chance *c = &a->chance;
    void *e = (void *)(uintptr_t)garbage_number(c);

    fill(a, 1024);
    switch (chance_below(c, 3)) {
    case 0: {
        WHV_EMULATOR_CALLBACKS callbacks;

        memset(&callbacks, 0, sizeof callbacks); /* never all of them, so that none is called */
        callbacks.Size = chance_percent(c, 50) ? sizeof callbacks : garbage_size(c);
        callbacks.Reserved = chance_below(c, 2);
        return WHvEmulatorCreateEmulator(chance_percent(c, 95) ? &callbacks : NULL, (void *)(a->room + 4096));
    }
    case 1:
        return WHvEmulatorTryIoEmulation(e, NULL, garbage_typed(a), (void *)(a->room + 512), (void *)(a->room + 4096));
    default:
        return WHvEmulatorTryMmioEmulation(e, NULL, garbage_typed(a), (void *)(a->room + 512),
                                           (void *)(a->room + 4096));
    }
}

static HRESULT run_all(struct caller *a)
{
    struct chance *c = &a->chance;
    WHV_PARTITION_HANDLE p = garbage_partition(c);
    u64 clock = 0;

    SwhpGetClock(p, &clock);
    return SwhpRunPartition(p, clock + chance_below(c, 200), garbage_u32(a), garbage_place(a), garbage_size(c));
}

/* A list of ranges, some of them mapped, with any advice and its buffer. */
static HRESULT advise(struct caller *a)
{
    struct chance *c = &a->chance;
    u32 n = chance_below(c, 5);

    for (u32 i = 0; i < n; i++) {
        store_bytes(a->room + i * 16, chance_percent(c, 90) ? chance_below(c, 32) * 4096u : garbage_number(c), 8);
        store_bytes(a->room + i * 16 + 8, chance_percent(c, 90) ? 4096 : garbage_number(c), 8);
    }
    store_bytes(a->room + 4096, garbage_number(c), 8);

    const void *buffer = chance_percent(c, 80) ? a->room + 4096 : NULL;

    return WHvAdviseGpaRange(garbage_partition(c), garbage_typed(a), n, (WHV_ADVISE_GPA_RANGE_CODE)chance_below(c, 4),
                             buffer, chance_percent(c, 50) ? 8 : garbage_size(c));
}

static HRESULT create_processor(struct caller *a)
{
    WHV_VIRTUAL_PROCESSOR_PROPERTY properties[2];
    struct chance *c = &a->chance;

    memset(properties, 0, sizeof properties);
    for (u32 i = 0; i < 2; i++) {
        properties[i].PropertyCode = (WHV_VIRTUAL_PROCESSOR_PROPERTY_CODE)chance_below(c, 2);
        properties[i].NumaNode = (USHORT)(chance_percent(c, 80) ? 0 : chance_any(c));
    }
    return WHvCreateVirtualProcessor2(garbage_partition(c), garbage_index(c), chance_percent(c, 95) ? properties : NULL,
                                      chance_below(c, 3));
}

HRESULT garbage_state_call(struct caller *a)
{
    struct chance *c = &a->chance;

    switch (chance_below(c, 19)) {
    case 0:
    case 1: return set_state(a);
    case 2: return set_apic(a, chance_percent(c, 30));
    case 3: return get_apic(a);
    case 4: return set_apic_register(a);
    case 5:
    case 6: return set_list(a);
    case 7: return set_exits(a);
    case 8:
    case 9: return request(a);
    case 10: return counters(a);
    case 11:
        return WHvGetInterruptTargetVpSet(garbage_partition(c), garbage_number(c),
                                          (WHV_INTERRUPT_DESTINATION_MODE)chance_below(c, 3), garbage_typed(a),
                                          chance_below(c, 65), (void *)(a->room + 4096));
    case 12: return SwhpSetIgnne(garbage_partition(c), garbage_index(c), (BOOL)chance_below(c, 2));
    case 13: return SwhpTraceStart(garbage_partition(c), SwhpTraceExit, on_trace, NULL);
    case 14: return events(a);
    case 15: return run_all(a);
    case 16: return advise(a);
    case 17: return create_processor(a);
    default: return emulator(a);
    }
}
