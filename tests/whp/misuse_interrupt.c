/* SPDX-License-Identifier: MIT */
/* Misuses: interrupts from outside, and what is signalled or not supported. */
#include "tests/whp/misuse.h"

enum { FIXED = 0, INIT = 5 };

static HRESULT request(WHV_PARTITION_HANDLE p, u64 control, u32 vector, u32 size)
{
    WHV_INTERRUPT_CONTROL c;

    memset(&c, 0, sizeof c);
    memcpy(&c, &control, 8);
    c.Vector = vector;
    return WHvRequestInterrupt(p, &c, size);
}
#define CONTROL(type, mode, trigger, vtl) ((u64)(type) | (u64)(mode) << 8 | (u64)(trigger) << 12 | (u64)(vtl) << 16)

static HRESULT targets(struct scene *s, WHV_PARTITION_HANDLE p, u64 destination, u32 mode, u32 room)
{
    u32 n = 0xcccccccc;
    HRESULT hr =
        WHvGetInterruptTargetVpSet(p, destination, (WHV_INTERRUPT_DESTINATION_MODE)mode, (void *)s->out, room, &n);

    ck_assert_uint_eq(n, 0xcccccccc);
    return hr;
}

void interrupt_rows(struct visit *v, struct scene *s)
{
    static const WHV_INTERRUPT_CONTROL good = { .Type = WHvX64InterruptTypeFixed, .Vector = 0x40 };

    FUNCTION(WHvRequestInterrupt, TAKES_PARTITION, "P.....I", "a message to local APICs; lost where none is addressed",
             (s->p, &good, sizeof good));
    ROW("no local APIC is emulated", HV(8), "Partition", "1.5", request(s->p, FIXED, 0x40, 16));
    ROW("before Setup", HV(7), "Partition", "1.5", request(s->raw, FIXED, 0x40, 16));
    ROW("Interrupt is NULL", E_POINTER, "Interrupt", "1.5", WHvRequestInterrupt(s->apic, NULL, 16));
    ROW("InterruptControlSize is 15", E_INVALIDARG, "InterruptControlSize", "1.5", request(s->apic, FIXED, 0x40, 15));
    ROW("InterruptControlSize is 24", E_INVALIDARG, "InterruptControlSize", "1.5", request(s->apic, FIXED, 0x40, 24));
    ROW("there is no such Type: 2, an SMI", E_INVALIDARG, "Type", "5.1", request(s->apic, 2, 0x40, 16));
    ROW("there is no such Type: 7, an ExtInt", E_INVALIDARG, "Type", "5.1", request(s->apic, 7, 0x40, 16));
    ROW("there is no such Type: 255", E_INVALIDARG, "Type", "5.1", request(s->apic, 255, 0x40, 16));
    ROW("there is no such DestinationMode", E_INVALIDARG, "DestinationMode", "5.1",
        request(s->apic, CONTROL(FIXED, 2, 0, 0), 0x40, 16));
    ROW("there is no such TriggerMode", E_INVALIDARG, "TriggerMode", "5.1",
        request(s->apic, CONTROL(FIXED, 0, 2, 0), 0x40, 16));
    ROW("TargetVtl isn't 0", E_INVALIDARG, "TargetVtl", "5.1", request(s->apic, CONTROL(FIXED, 0, 0, 1), 0x40, 16));
    ROW("a reserved bit", E_INVALIDARG, "reserved", "5.1", request(s->apic, (u64)1 << 63, 0x40, 16));
    ROW("Vector is 256", E_INVALIDARG, "Vector", "5.1", request(s->apic, FIXED, 256, 16));

    FUNCTION(WHvGetInterruptTargetVpSet, TAKES_PARTITION, "P.....I", "who would get such a message",
             (s->p, 0, WHvX64InterruptDestinationModePhysical, (void *)s->room, 4, (void *)(s->room + 64)));
    ROW("no local APIC is emulated", HV(8), "Partition", "1.5", targets(s, s->p, 0, 0, 4));
    ROW("before Setup", HV(7), "Partition", "1.5", targets(s, s->raw, 0, 0, 4));
    ROW("there is no such DestinationMode", E_INVALIDARG, "DestinationMode", "1.5", targets(s, s->apic, 0, 2, 4));
    ROW("Destination has more than 32 bits", E_INVALIDARG, "Destination", "1.5", targets(s, s->apic, 1ull << 32, 0, 4));
    ROW("VpCount is too small", E_INVALIDARG, "VpCount", "1.5", targets(s, s->apic, 0xffffffff, 0, 1));
    ROW("TargetVps is NULL", E_POINTER, "TargetVps", "1.5",
        WHvGetInterruptTargetVpSet(s->apic, 0, WHvX64InterruptDestinationModePhysical, NULL, 4, &s->written));
    ROW("TargetVpCount is NULL", E_POINTER, "TargetVpCount", "1.5",
        WHvGetInterruptTargetVpSet(s->apic, 0, WHvX64InterruptDestinationModePhysical, (void *)s->out, 4, NULL));
}

struct message {
    u64 words[WHV_SYNIC_MESSAGE_SIZE / 8 + 1];
};

static HRESULT post(WHV_PARTITION_HANDLE p, u32 vp, u32 source, u32 type, u32 size)
{
    struct message m = { { type } };

    return WHvPostVirtualProcessorSynicMessage(p, vp, source, &m, size);
}

static HRESULT signal_event(WHV_PARTITION_HANDLE p, u32 vp, u32 source, u32 vtl, u32 flag)
{
    WHV_SYNIC_EVENT_PARAMETERS e = { .VpIndex = vp, .TargetSint = (u8)source, .FlagNumber = (u16)flag };
    BOOL is_new = 77;

    e.TargetVtl = (WHV_VTL)vtl;
    HRESULT hr = WHvSignalVirtualProcessorSynicEvent(p, e, &is_new);

    ck_assert(SUCCEEDED(hr) || is_new == 77);
    return hr;
}

void event_rows(struct visit *v, struct scene *s)
{
    static const struct message note = { { 1 } };
    static const WHV_TRIGGER_PARAMETERS trigger = { .TriggerType = WHvTriggerTypeInterrupt };

    FUNCTION(WHvPostVirtualProcessorSynicMessage, TAKES_VP, "XX....I", "the guest has to have enabled its SynIC",
             (s->p, s->vp, 2, &note, 16));
    ROW("Message is NULL", E_POINTER, "Message", "1.5", WHvPostVirtualProcessorSynicMessage(s->apic, 0, 2, NULL, 16));
    ROW("SintIndex is 16", E_INVALIDARG, "SintIndex", "1.5", post(s->apic, 0, 16, 1, 16));
    ROW("MessageSizeInBytes is 257", E_INVALIDARG, "MessageSizeInBytes", "1.5", post(s->apic, 0, 2, 1, 257));
    ROW("MessageSizeInBytes is 15", E_INVALIDARG, "MessageSizeInBytes", "1.5", post(s->apic, 0, 2, 1, 15));
    ROW("the message's type is 0", HV(5), "Message", "1.5", post(s->apic, 0, 2, 0, 16));
    ROW("the slot holds a message; the guest is told that one waits", HV(0x19), "SintIndex", "1.5",
        post(s->apic, 0, 4, 1, 16));
    ROW("the guest hasn't enabled its SynIC", HV(0x18), "SynIC", "1.5", post(s->apic, 1, 2, 1, 16));
    ROW("there is no SynIC", HV(0x18), "SynIC", "1.5", post(s->p, 0, 2, 1, 16));

    FUNCTION(WHvSignalVirtualProcessorSynicEvent, TAKES_VP, "XX....I", "likewise",
             (s->p, (WHV_SYNIC_EVENT_PARAMETERS){ .VpIndex = s->vp, .TargetSint = 2 }, NULL));
    ROW("TargetVtl isn't 0", E_INVALIDARG, "TargetVtl", "1.5", signal_event(s->apic, 0, 2, 1, 0));
    ROW("TargetSint is 16", E_INVALIDARG, "SynicEvent", "1.5", signal_event(s->apic, 0, 16, 0, 0));
    ROW("FlagNumber is 2048", E_INVALIDARG, "SynicEvent", "1.5", signal_event(s->apic, 0, 2, 0, 2048));
    ROW("the guest hasn't enabled its SynIC", HV(0x18), "SynIC", "1.5", signal_event(s->apic, 1, 2, 0, 0));
    ROW("the guest has masked the source", HV(0x18), "SynIC", "1.5", signal_event(s->apic, 0, 3, 0, 0));
    ROW("there is no SynIC", HV(0x18), "SynIC", "1.5", signal_event(s->p, 0, 2, 0, 0));

    UNSUPPORTED(WHvCreateTrigger, (s->p, &trigger, (void *)s->room, (void *)(s->room + 8)));
    UNSUPPORTED(WHvUpdateTriggerParameters, (s->p, &trigger, NULL));
    UNSUPPORTED(WHvDeleteTrigger, (s->p, NULL));
}

void device_rows(struct visit *v, struct scene *s)
{
    static const WHV_VPCI_DEVICE_REGISTER reg = { .SizeInBytes = 4 };
    static const WHV_VPCI_INTERRUPT_TARGET target = { .Vector = 0x40 };
    void *room = s->room;

    FUNCTION(WHvAllocateVpciResource, TAKES_NOTHING, "NNNNNNN", NULL,
             (NULL, WHvAllocateVpciResourceFlagNone, NULL, 0, room));
    UNSUPPORTED(WHvCreateVpciDevice, (s->p, 1, NULL, WHvCreateVpciDeviceFlagNone, NULL));
    UNSUPPORTED(WHvDeleteVpciDevice, (s->p, 1));
    UNSUPPORTED(WHvGetVpciDeviceProperty, (s->p, 1, WHvVpciDevicePropertyCodeHardwareIDs, room, 64, NULL));
    UNSUPPORTED(WHvGetVpciDeviceNotification, (s->p, 1, room, 64));
    UNSUPPORTED(WHvMapVpciDeviceMmioRanges, (s->p, 1, room, room));
    UNSUPPORTED(WHvUnmapVpciDeviceMmioRanges, (s->p, 1));
    UNSUPPORTED(WHvSetVpciDevicePowerState, (s->p, 1, (DEVICE_POWER_STATE)1));
    UNSUPPORTED(WHvReadVpciDeviceRegister, (s->p, 1, &reg, room));
    UNSUPPORTED(WHvWriteVpciDeviceRegister, (s->p, 1, &reg, room));
    UNSUPPORTED(WHvMapVpciDeviceInterrupt, (s->p, 1, 0, 1, &target, room, room));
    UNSUPPORTED(WHvUnmapVpciDeviceInterrupt, (s->p, 1, 0));
    UNSUPPORTED(WHvRetargetVpciDeviceInterrupt, (s->p, 1, 0, 0, &target));
    UNSUPPORTED(WHvRequestVpciDeviceInterrupt, (s->p, 1, 0, 0));
    UNSUPPORTED(WHvGetVpciDeviceInterruptTarget, (s->p, 1, 0, 0, room, 64, NULL));
    UNSUPPORTED(WHvStartPartitionMigration, (s->p, room));
    UNSUPPORTED(WHvCancelPartitionMigration, (s->p));
    UNSUPPORTED(WHvCompletePartitionMigration, (s->p));
    FUNCTION(WHvAcceptPartitionMigration, TAKES_NOTHING, "NNNNNNN", NULL, (NULL, room));
}
