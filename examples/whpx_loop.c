/* SPDX-License-Identifier: MIT */
/*
 * A processor's loop as QEMU's accelerator for WHP has it: before each run, one batch of registers with what devices
 * want; after it, what the exit tells of interruptibility is kept for the next; ports and memory go to the emulator.
 *
 *   cc whpx_loop.c $(pkg-config --cflags --libs softwhp) -o whpx_loop
 */
#include <WinHvEmulation.h>
#include <WinHvPlatform.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEED(call) (SUCCEEDED(call) ? (void)0 : (fprintf(stderr, "failed: %s\n", #call), exit(1)))

enum { VECTOR = 8, IF = 0x200, HANDLER = 0x1019 };

static const unsigned char code[] = {
    0x66, 0xb9, 0x34, 0x12, 0x00, 0x00, 0x0f, 0x32, /* 1000: mov ecx, 0x1234; rdmsr  ; nobody knows it: zero */
    0xb8, 0x00, 0xb8, 0x8e, 0xd8,                   /* 1008: mov ax, 0xb800; mov ds, ax                      */
    0xc6, 0x06, 0x00, 0x00, 0x41,                   /* 100d: mov byte [0], 'A'       ; on the screen         */
    0xe6, 0x70, 0xfb, 0x90,                         /* 1012: out 0x70, al; sti; nop  ; asks for an interrupt */
    0xf4, 0xfa, 0xf4,                               /* 1016: hlt; cli; hlt           ; idle, then off        */
    0xe6, 0x20, 0xcf,                               /* 1019: out 0x20, al; iret      ; end of interrupt      */
};

static _Alignas(4096) unsigned char ram[0x10000];
static unsigned screen, served, windows;
static struct {
    bool interrupt_request, exit_request;     /* what devices and other threads want */
    bool window_registered;                   /* once is enough, until it opens */
    bool interruptible, interruption_pending; /* these and the next: as the last exit told */
    UINT64 rflags;
} cpu = {.interruptible = true};

static HRESULT CALLBACK on_port(VOID *guest, WHV_EMULATOR_IO_ACCESS_INFO *io)
{
    (void)guest;
    if (!io->Direction)
        io->Data = UINT32_MAX; /* nobody there */
    cpu.interrupt_request |= io->Port == 0x70;
    served += io->Port == 0x20;
    return S_OK;
}

static HRESULT CALLBACK on_memory(VOID *guest, WHV_EMULATOR_MEMORY_ACCESS_INFO *m)
{
    (void)guest;
    if (!m->Direction)
        memset(m->Data, 0xff, sizeof m->Data);
    else if (m->GpaAddress == 0xb8000)
        screen = m->Data[0];
    return S_OK;
}

static HRESULT CALLBACK get(VOID *guest, const WHV_REGISTER_NAME *names, UINT32 n, WHV_REGISTER_VALUE *values)
{
    return WHvGetVirtualProcessorRegisters(guest, 0, names, n, values);
}

static HRESULT CALLBACK set(VOID *guest, const WHV_REGISTER_NAME *names, UINT32 n, const WHV_REGISTER_VALUE *values)
{
    return WHvSetVirtualProcessorRegisters(guest, 0, names, n, values);
}

static HRESULT CALLBACK translate(VOID *guest, WHV_GUEST_VIRTUAL_ADDRESS gva, WHV_TRANSLATE_GVA_FLAGS flags,
                                  WHV_TRANSLATE_GVA_RESULT_CODE *why, WHV_GUEST_PHYSICAL_ADDRESS *gpa)
{
    WHV_TRANSLATE_GVA_RESULT result;
    HRESULT hr = WHvTranslateGva(guest, 0, gva, flags, &result, gpa);

    *why = result.ResultCode;
    return hr;
}

static void pre_run(WHV_PARTITION_HANDLE guest)
{
    WHV_REGISTER_NAME names[2];
    WHV_REGISTER_VALUE values[2] = {{.Reg64 = 0}, {.Reg64 = 0}};
    UINT32 n = 0;

    if (cpu.interrupt_request && cpu.interruptible && !cpu.interruption_pending && (cpu.rflags & IF)) {
        names[n] = WHvRegisterPendingInterruption;
        values[n].PendingInterruption.InterruptionPending = 1;
        values[n++].PendingInterruption.InterruptionVector = VECTOR;
        cpu.interrupt_request = false; /* the PIC has its acknowledge */
    }
    if (cpu.interrupt_request && !cpu.window_registered) {
        names[n] = WHvX64RegisterDeliverabilityNotifications;
        values[n++].DeliverabilityNotifications.InterruptNotification = 1;
        cpu.window_registered = true;
    }
    if (n)
        NEED(WHvSetVirtualProcessorRegisters(guest, 0, names, n, values));
    if (cpu.exit_request)
        NEED(WHvCancelRunVirtualProcessor(guest, 0, 0)); /* kept for the run that follows */
}

/* An MSR that the platform doesn't know: zero, and writes are ignored. */
static void complete_msr(WHV_PARTITION_HANDLE guest, const WHV_RUN_VP_EXIT_CONTEXT *x)
{
    const WHV_REGISTER_NAME names[] = {WHvX64RegisterRip, WHvX64RegisterRax, WHvX64RegisterRdx};
    const WHV_REGISTER_VALUE values[] = {
        {.Reg64 = x->VpContext.Rip + x->VpContext.InstructionLength}, {.Reg64 = 0}, {.Reg64 = 0}};

    NEED(WHvSetVirtualProcessorRegisters(guest, 0, names, x->MsrAccess.AccessInfo.IsWrite ? 1 : 3, values));
}

/* Until the thread has something else to do; the exit that it stopped for. */
static WHV_RUN_VP_EXIT_REASON run(WHV_PARTITION_HANDLE guest, WHV_EMULATOR_HANDLE emulator)
{
    WHV_EMULATOR_STATUS status = {.EmulationSuccessful = 1};
    WHV_RUN_VP_EXIT_CONTEXT x;

    for (;;) {
        pre_run(guest);
        NEED(WHvRunVirtualProcessor(guest, 0, &x, sizeof x));
        cpu.rflags = x.VpContext.Rflags;
        cpu.interruptible = !x.VpContext.ExecutionState.InterruptShadow;
        cpu.interruption_pending = x.VpContext.ExecutionState.InterruptionPending;

        if (x.ExitReason == WHvRunVpExitReasonMemoryAccess)
            NEED(WHvEmulatorTryMmioEmulation(emulator, guest, &x.VpContext, &x.MemoryAccess, &status));
        else if (x.ExitReason == WHvRunVpExitReasonX64IoPortAccess)
            NEED(WHvEmulatorTryIoEmulation(emulator, guest, &x.VpContext, &x.IoPortAccess, &status));
        else if (x.ExitReason == WHvRunVpExitReasonX64MsrAccess)
            complete_msr(guest, &x);
        else if (x.ExitReason == WHvRunVpExitReasonX64InterruptWindow)
            windows++, cpu.window_registered = false; /* it was for one exit */
        else if (x.ExitReason != WHvRunVpExitReasonX64Halt || !cpu.interrupt_request || !(cpu.rflags & IF))
            return x.ExitReason; /* asleep, kicked, or something has gone wrong */
        if (!status.EmulationSuccessful)
            return x.ExitReason;
    }
}

int main(void)
{
    const WHV_EMULATOR_CALLBACKS callbacks = {sizeof callbacks, 0, on_port, on_memory, get, set, translate};
    const WHV_REGISTER_NAME names[] = {WHvX64RegisterRip, WHvX64RegisterRsp, WHvX64RegisterCs, WHvX64RegisterRdx};
    WHV_REGISTER_VALUE values[] = {{.Reg64 = 0x1000}, {.Reg64 = 0x8000},
                                   {.Segment = {.Limit = 0xffff, .Attributes = 0x9b}}, {.Reg64 = 1}};
    const UINT16 vector[2] = {HANDLER, 0};
    WHV_PARTITION_PROPERTY count = {.ProcessorCount = 1}, exits = {.ExtendedVmExits = {.X64MsrExit = 1}};
    WHV_PARTITION_HANDLE guest;
    WHV_EMULATOR_HANDLE emulator;
    WHV_RUN_VP_EXIT_REASON kicked, idle, off;

    NEED(WHvCreatePartition(&guest));
    NEED(WHvSetPartitionProperty(guest, WHvPartitionPropertyCodeProcessorCount, &count, sizeof count));
    NEED(WHvSetPartitionProperty(guest, WHvPartitionPropertyCodeExtendedVmExits, &exits, sizeof exits));
    NEED(WHvSetupPartition(guest));
    NEED(WHvEmulatorCreateEmulator(&callbacks, &emulator));
    NEED(WHvCreateVirtualProcessor(guest, 0, 0));
    memcpy(ram + 0x1000, code, sizeof code);
    memcpy(ram + 4 * VECTOR, vector, sizeof vector);
    NEED(WHvMapGpaRange(guest, ram, 0, sizeof ram,
                        WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite | WHvMapGpaRangeFlagExecute));
    NEED(WHvSetVirtualProcessorRegisters(guest, 0, names, 4, values));

    cpu.exit_request = true; /* somebody wants the thread before it has begun */
    kicked = run(guest, emulator);
    cpu.exit_request = false;
    idle = run(guest, emulator);
    cpu.interrupt_request = true; /* a device wakes it */
    off = run(guest, emulator);
    NEED(WHvGetVirtualProcessorRegisters(guest, 0, names, 4, values));
    NEED(WHvDeleteVirtualProcessor(guest, 0));
    NEED(WHvEmulatorDestroyEmulator(emulator));
    NEED(WHvDeletePartition(guest));
    printf("%c on the screen, %u interrupts, %u at a window\n", screen, served, windows);
    return kicked != WHvRunVpExitReasonCanceled || idle != WHvRunVpExitReasonX64Halt ||
           off != WHvRunVpExitReasonX64Halt || screen != 'A' || served != 2 || windows != 1 || values[3].Reg64 != 0;
}
