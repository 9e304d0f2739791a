/* SPDX-License-Identifier: MIT */
/*
 * Interrupts without an interrupt controller: the host is the controller. It injects when the guest can take it, and
 * asks for an exit as soon as the guest can, where it can't yet.
 *
 *   cc interrupts.c $(pkg-config --cflags --libs softwhp) -o interrupts
 */
#include <WinHvPlatform.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEED(call) (SUCCEEDED(call) ? (void)0 : (fprintf(stderr, "failed: %s\n", #call), exit(1)))

enum { TIMER_VECTOR = 0x20, TICKS = 0x600, HANDLER = 0x100f, IF = 0x200 };

static _Alignas(4096) unsigned char ram[0x10000];

/* Real mode: starts the timer, and sleeps until it has ticked three times. */
static const unsigned char code[] = {
    0xfa,                         /* 1000:          cli                                      */
    0xe6, 0x43,                   /* 1001:          out 0x43, al     ; ticks at once         */
    0xfb,                         /* 1003:          sti              ; holds for one more... */
    0x90,                         /* 1004:          nop                                      */
    0xf4,                         /* 1005: sleep:   hlt                                      */
    0x83, 0x3e, 0x00, 0x06, 0x03, /* 1006:          cmp word [TICKS], 3                      */
    0x72, 0xf8,                   /* 100b:          jb sleep                                 */
    0xfa,                         /* 100d:          cli                                      */
    0xf4,                         /* 100e:          hlt              ; for good              */
    0xff, 0x06, 0x00, 0x06,       /* 100f: handler: inc word [TICKS]                         */
    0xcf,                         /* 1013:          iret                                     */
};

static WHV_PARTITION_HANDLE guest;

static void set_register(WHV_REGISTER_NAME name, WHV_REGISTER_VALUE value)
{
    NEED(WHvSetVirtualProcessorRegisters(guest, 0, &name, 1, &value));
}

/* PendingInterruption is delivered at the next run whatever the guest's flags say: to look at them is our part. */
static bool can_take_interrupt(const WHV_VP_EXIT_CONTEXT *at)
{
    return (at->Rflags & IF) && !at->ExecutionState.InterruptShadow && !at->ExecutionState.InterruptionPending;
}

static void tick(const WHV_VP_EXIT_CONTEXT *at)
{
    WHV_REGISTER_VALUE inject = {.PendingInterruption = {.InterruptionPending = 1,
                                                         .InterruptionType = WHvX64PendingInterrupt,
                                                         .InterruptionVector = TIMER_VECTOR}};
    WHV_REGISTER_VALUE window = {.DeliverabilityNotifications = {.InterruptNotification = 1}};

    if (can_take_interrupt(at))
        set_register(WHvRegisterPendingInterruption, inject);
    else
        set_register(WHvX64RegisterDeliverabilityNotifications, window); /* for one exit: it disarms itself */
}

int main(void)
{
    const WHV_REGISTER_NAME names[] = {WHvX64RegisterRip, WHvX64RegisterRsp, WHvX64RegisterCs};
    const WHV_REGISTER_VALUE values[] = {
        {.Reg64 = 0x1000}, {.Reg64 = 0x8000}, {.Segment = {.Limit = 0xffff, .Attributes = 0x9b}}};
    const UINT16 vector[2] = {HANDLER, 0}; /* offset and segment */
    WHV_PARTITION_PROPERTY one = {.ProcessorCount = 1};
    WHV_RUN_VP_EXIT_CONTEXT x;
    unsigned windows = 0, sleeps = 0;

    NEED(WHvCreatePartition(&guest));
    NEED(WHvSetPartitionProperty(guest, WHvPartitionPropertyCodeProcessorCount, &one, sizeof one));
    NEED(WHvSetupPartition(guest));
    memcpy(ram + 0x1000, code, sizeof code);
    memcpy(ram + 4 * TIMER_VECTOR, vector, sizeof vector);
    NEED(WHvMapGpaRange(guest, ram, 0, sizeof ram,
                        WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite | WHvMapGpaRangeFlagExecute));
    NEED(WHvCreateVirtualProcessor(guest, 0, 0));
    NEED(WHvSetVirtualProcessorRegisters(guest, 0, names, 3, values));

    for (;;) {
        NEED(WHvRunVirtualProcessor(guest, 0, &x, sizeof x));
        if (x.ExitReason == WHvRunVpExitReasonX64IoPortAccess) {
            set_register(WHvX64RegisterRip,
                         (WHV_REGISTER_VALUE){.Reg64 = x.VpContext.Rip + x.VpContext.InstructionLength});
        } else if (x.ExitReason == WHvRunVpExitReasonX64InterruptWindow) {
            windows++;
        } else if (x.ExitReason == WHvRunVpExitReasonX64Halt && (x.VpContext.Rflags & IF)) {
            sleeps++; /* until the next tick, which a host with a clock would wait for */
        } else {
            break;
        }
        tick(&x.VpContext);
    }
    NEED(WHvDeletePartition(guest));
    printf("%u ticks: %u at a window, %u in sleep\n", ram[TICKS], windows, sleeps);
    return x.ExitReason != WHvRunVpExitReasonX64Halt || ram[TICKS] != 3 || windows != 1 || sleeps != 2;
}
