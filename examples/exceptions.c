/* SPDX-License-Identifier: MIT */
/*
 * The host sees a guest's exceptions before the guest does: it swallows breakpoints, as a debugger would, and hands
 * everything else back, which the guest's own handler then takes with vector and error code as if nobody had looked.
 *
 *   cc exceptions.c $(pkg-config --cflags --libs softwhp) -o exceptions
 */
#include <WinHvPlatform.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEED(call) (SUCCEEDED(call) ? (void)0 : (fprintf(stderr, "failed: %s\n", #call), exit(1)))

enum { GDT = 0x2000, IDT = 0x3000, STACK = 0x8000, HANDLER = 0x1009 };

static _Alignas(4096) unsigned char ram[0x10000];

static const unsigned char code[] = {
    0xcc,                         /* 1000:          int3                                   */
    0xb8, 0x40, 0x00, 0x00, 0x00, /* 1001:          mov eax, 0x40                          */
    0x8e, 0xc0,                   /* 1006:          mov es, eax     ; no such descriptor   */
    0xf4,                         /* 1008:          hlt                                    */
    0x5b,                         /* 1009: handler: pop ebx         ; the error code       */
    0x83, 0x04, 0x24, 0x02,       /* 100a:          add dword [esp], 2 ; behind the MOV    */
    0xcf,                         /* 100e:          iret                                   */
};

static const UINT64 gdt[] = {0, 0x00cf9b000000ffff, 0x00cf93000000ffff}; /* none, code, data */
static const UINT64 gate = HANDLER | 8 << 16 | (UINT64)0x8e00 << 32;     /* a 32-bit interrupt gate to code */

static void set_register(WHV_PARTITION_HANDLE guest, WHV_REGISTER_NAME name, WHV_REGISTER_VALUE value)
{
    NEED(WHvSetVirtualProcessorRegisters(guest, 0, &name, 1, &value));
}

/* What the exit tells of an exception is all it takes to raise it again. RIP stays at the instruction. */
static void hand_back(WHV_PARTITION_HANDLE guest, const WHV_VP_EXCEPTION_CONTEXT *e)
{
    WHV_REGISTER_VALUE event = {.ExceptionEvent = {.EventPending = 1,
                                                   .EventType = WHvX64PendingEventException,
                                                   .DeliverErrorCode = e->ExceptionInfo.ErrorCodeValid,
                                                   .Vector = e->ExceptionType,
                                                   .ErrorCode = e->ErrorCode,
                                                   .ExceptionParameter = e->ExceptionParameter}};

    set_register(guest, WHvRegisterPendingEvent, event);
}

int main(void)
{
    const UINT64 vectors = 1u << WHvX64ExceptionTypeBreakpointTrap | 1u << WHvX64ExceptionTypeGeneralProtectionFault;
    const WHV_REGISTER_NAME names[] = {WHvX64RegisterRip, WHvX64RegisterRsp,  WHvX64RegisterCr0, WHvX64RegisterCs,
                                       WHvX64RegisterSs,  WHvX64RegisterGdtr, WHvX64RegisterIdtr};
    const WHV_X64_SEGMENT_REGISTER flat_code = {.Limit = 0xffffffff, .Selector = 8, .Attributes = 0xc09b};
    const WHV_X64_SEGMENT_REGISTER flat_data = {.Limit = 0xffffffff, .Selector = 16, .Attributes = 0xc093};
    const WHV_REGISTER_VALUE values[] = {{.Reg64 = 0x1000}, {.Reg64 = STACK}, {.Reg64 = 0x11 /* PE, ET */},
                                         {.Segment = flat_code}, {.Segment = flat_data},
                                         {.Table = {.Base = GDT, .Limit = sizeof gdt - 1}},
                                         {.Table = {.Base = IDT, .Limit = 14 * 8 - 1}}};
    WHV_PARTITION_PROPERTY count = {.ProcessorCount = 1}, exits = {.ExtendedVmExits = {.ExceptionExit = 1}};
    WHV_PARTITION_PROPERTY bitmap = {.ExceptionExitBitmap = vectors};
    WHV_PARTITION_HANDLE guest;
    WHV_RUN_VP_EXIT_CONTEXT x;
    WHV_REGISTER_VALUE rbx;
    unsigned breakpoints = 0, faults = 0;

    NEED(WHvCreatePartition(&guest));
    NEED(WHvSetPartitionProperty(guest, WHvPartitionPropertyCodeProcessorCount, &count, sizeof count));
    NEED(WHvSetPartitionProperty(guest, WHvPartitionPropertyCodeExtendedVmExits, &exits, sizeof exits));
    NEED(WHvSetPartitionProperty(guest, WHvPartitionPropertyCodeExceptionExitBitmap, &bitmap, sizeof bitmap));
    NEED(WHvSetupPartition(guest));
    memcpy(ram + 0x1000, code, sizeof code);
    memcpy(ram + GDT, gdt, sizeof gdt);
    memcpy(ram + IDT + 8 * WHvX64ExceptionTypeGeneralProtectionFault, &gate, sizeof gate);
    NEED(WHvMapGpaRange(guest, ram, 0, sizeof ram,
                        WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite | WHvMapGpaRangeFlagExecute));
    NEED(WHvCreateVirtualProcessor(guest, 0, 0));
    NEED(WHvSetVirtualProcessorRegisters(guest, 0, names, sizeof names / sizeof names[0], values));

    for (;;) {
        NEED(WHvRunVirtualProcessor(guest, 0, &x, sizeof x));
        if (x.ExitReason != WHvRunVpExitReasonException)
            break;
        printf("vector %u at %llx\n", x.VpException.ExceptionType, (unsigned long long)x.VpContext.Rip);
        if (x.VpException.ExceptionType == WHvX64ExceptionTypeBreakpointTrap) {
            breakpoints++; /* the guest has no handler for it, and won't need one */
            set_register(guest, WHvX64RegisterRip, (WHV_REGISTER_VALUE){.Reg64 = x.VpContext.Rip + 1});
        } else {
            faults++;
            hand_back(guest, &x.VpException);
        }
    }
    NEED(WHvGetVirtualProcessorRegisters(guest, 0, (WHV_REGISTER_NAME[]){WHvX64RegisterRbx}, 1, &rbx));
    printf("the guest's handler got error code %llx\n", (unsigned long long)rbx.Reg64);
    NEED(WHvDeletePartition(guest));
    return x.ExitReason != WHvRunVpExitReasonX64Halt || breakpoints != 1 || faults != 1 || rbx.Reg64 != 0x40;
}
