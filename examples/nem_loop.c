/* SPDX-License-Identifier: MIT */
/*
 * A processor's loop as VirtualBox' native execution manager has it on WHP: it keeps what an exit told and writes back
 * only what it changed, in one batch. Pages are mapped when they are first touched, and for writing when first written.
 *
 *   cc nem_loop.c $(pkg-config --cflags --libs softwhp) -o nem_loop
 */
#include <WinHvPlatform.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEED(call) (SUCCEEDED(call) ? (void)0 : (fprintf(stderr, "failed: %s\n", #call), exit(1)))

enum { TIMER = 8, SERVICE = 0x21, HANDLER = 0x1010, CELL = 0x3000, IF = 0x200, PAGE = 4096 };

static const unsigned char code[] = {
    0xe4, 0x60,             /* 1000: in al, 0x60      ; and the timer wants an interrupt */
    0x02, 0x06, 0x00, 0x30, /* 1002: add al, [CELL]   ; maps the page for reading        */
    0xa2, 0x00, 0x30,       /* 1006: mov [CELL], al   ; and now for writing              */
    0xcd, 0x21,             /* 1009: int 0x21         ; touches two more in its delivery */
    0xfb, 0x90,             /* 100b: sti; nop                                            */
    0xf4, 0xfa, 0xf4,       /* 100d: hlt; cli; hlt    ; idle, then off                   */
    0xfe, 0x06, 0x00, 0x30, /* 1010: inc byte [CELL]                                     */
    0xcf,                   /* 1014: iret                                                */
};

static _Alignas(PAGE) unsigned char ram[16 * PAGE];
static WHV_PARTITION_HANDLE guest;
static unsigned maps, in_delivery;
static struct {
    UINT64 rip, rflags, rax;
    bool shadow, delivering; /* as the exit told, like those above */
    bool changed;            /* RIP, RAX and the shadow, since then; all else is the platform's */
    bool timer, has_window;
} cpu;

/* In one batch what changed here and what devices want: an event if it can be delivered at once, else a window. */
static void copy_to_platform(void)
{
    bool inject = cpu.timer && (cpu.rflags & IF) && !cpu.shadow && !cpu.delivering, window = cpu.timer && !inject;
    WHV_REGISTER_NAME names[5];
    WHV_REGISTER_VALUE values[5];
    UINT32 n = 0;

    memset(values, 0, sizeof values);
    if (cpu.changed) {
        names[n] = WHvX64RegisterRip, values[n++].Reg64 = cpu.rip;
        names[n] = WHvX64RegisterRax, values[n++].Reg64 = cpu.rax;
        names[n] = WHvRegisterInterruptState, values[n++].InterruptState.InterruptShadow = cpu.shadow;
    }
    if (inject) {
        names[n] = WHvRegisterPendingInterruption;
        values[n].PendingInterruption.InterruptionPending = 1;
        values[n++].PendingInterruption.InterruptionVector = TIMER;
    }
    if (window != cpu.has_window) {
        names[n] = WHvX64RegisterDeliverabilityNotifications;
        values[n++].DeliverabilityNotifications.InterruptNotification = cpu.has_window = window;
    }
    if (n)
        NEED(WHvSetVirtualProcessorRegisters(guest, 0, names, n, values));
    cpu.changed = false;
    cpu.timer = window;
}

/* An event that the access was part of is delivered anew by itself: it's still in PendingInterruption. */
static bool handle_memory(const WHV_RUN_VP_EXIT_CONTEXT *x)
{
    UINT64 page = x->MemoryAccess.Gpa & ~(UINT64)(PAGE - 1);
    WHV_MAP_GPA_RANGE_FLAGS flags = WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagExecute;

    if (page >= sizeof ram)
        return false; /* a device: an instruction emulator's turn */
    if (x->MemoryAccess.AccessInfo.AccessType == WHvMemoryAccessWrite)
        flags |= WHvMapGpaRangeFlagWrite;
    NEED(WHvMapGpaRange(guest, ram + page, page, PAGE, flags));
    maps++, in_delivery += cpu.delivering;
    return true;
}

static bool handle_port(const WHV_RUN_VP_EXIT_CONTEXT *x)
{
    const WHV_X64_IO_PORT_ACCESS_CONTEXT *io = &x->IoPortAccess;

    if (io->AccessInfo.IsWrite || io->AccessInfo.AccessSize != 1 || io->PortNumber != 0x60)
        return false;
    cpu.timer = true;
    cpu.rax = (io->Rax & ~(UINT64)0xff) | 5;
    cpu.rip += x->VpContext.InstructionLength;
    cpu.shadow = false; /* it lasts for one instruction, which this was */
    return cpu.changed = true;
}

/* Until the guest sleeps; false if it left for something that isn't handled. */
static bool run(void)
{
    WHV_RUN_VP_EXIT_CONTEXT x;
    bool good = true;

    while (good) {
        copy_to_platform();
        NEED(WHvRunVirtualProcessor(guest, 0, &x, sizeof x));
        cpu.rip = x.VpContext.Rip;
        cpu.rflags = x.VpContext.Rflags;
        cpu.shadow = x.VpContext.ExecutionState.InterruptShadow;
        cpu.delivering = x.VpContext.ExecutionState.InterruptionPending;
        if (x.ExitReason == WHvRunVpExitReasonMemoryAccess)
            good = handle_memory(&x);
        else if (x.ExitReason == WHvRunVpExitReasonX64IoPortAccess)
            good = handle_port(&x);
        else if (x.ExitReason == WHvRunVpExitReasonX64InterruptWindow)
            cpu.has_window = false;
        else
            return x.ExitReason == WHvRunVpExitReasonX64Halt;
    }
    return false;
}

int main(void)
{
    const WHV_REGISTER_NAME names[] = {WHvX64RegisterRip, WHvX64RegisterRsp, WHvX64RegisterCs};
    const WHV_REGISTER_VALUE values[] = {
        {.Reg64 = 0x1000}, {.Reg64 = 0x8000}, {.Segment = {.Limit = 0xffff, .Attributes = 0x9b}}};
    const UINT16 vector[2] = {HANDLER, 0};
    WHV_PARTITION_PROPERTY one = {.ProcessorCount = 1};
    bool idle, off;

    NEED(WHvCreatePartition(&guest));
    NEED(WHvSetPartitionProperty(guest, WHvPartitionPropertyCodeProcessorCount, &one, sizeof one));
    NEED(WHvSetupPartition(guest));
    NEED(WHvCreateVirtualProcessor(guest, 0, 0));
    NEED(WHvSetVirtualProcessorRegisters(guest, 0, names, 3, values));
    memcpy(ram + 0x1000, code, sizeof code);
    memcpy(ram + 4 * TIMER, vector, sizeof vector);
    memcpy(ram + 4 * SERVICE, vector, sizeof vector);

    idle = run() && (cpu.rflags & IF);
    cpu.timer = true; /* wakes it */
    off = run() && !(cpu.rflags & IF);
    NEED(WHvDeleteVirtualProcessor(guest, 0));
    NEED(WHvDeletePartition(guest));
    printf("the cell is %u; %u pages mapped, %u of them in a delivery\n", ram[CELL], maps, in_delivery);
    return !idle || !off || ram[CELL] != 8 || maps != 5 || in_delivery != 2;
}
