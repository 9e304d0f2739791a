/* SPDX-License-Identifier: MIT */
/*
 * A guest that says hello through a port, one character an exit.
 *
 *   cc hello.c $(pkg-config --cflags --libs softwhp) -o hello
 */
#include <WinHvPlatform.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEED(call) (SUCCEEDED(call) ? (void)0 : (fprintf(stderr, "failed: %s\n", #call), exit(1)))

static _Alignas(4096) unsigned char ram[0x10000];

static const unsigned char code[] = {
    0xbe, 0x0d, 0x10,        /* 1000:       mov si, text */
    0xac,                    /* 1003: next: lodsb        */
    0x84, 0xc0,              /* 1004:       test al, al  */
    0x74, 0x04,              /* 1006:       jz done      */
    0xe6, 0xe9,              /* 1008:       out 0xe9, al */
    0xeb, 0xf7,              /* 100a:       jmp next     */
    0xf4,                    /* 100c: done: hlt          */
    'H', 'i', '!', '\n', '\0' /* 100d: text              */
};

int main(void)
{
    WHV_PARTITION_HANDLE guest;
    WHV_PARTITION_PROPERTY one = {.ProcessorCount = 1};
    const WHV_REGISTER_NAME start[] = {WHvX64RegisterRip, WHvX64RegisterCs};
    WHV_REGISTER_VALUE values[] = {{.Reg64 = 0x1000}, {.Segment = {.Limit = 0xffff, .Attributes = 0x9b}}};
    WHV_RUN_VP_EXIT_CONTEXT x;
    char heard[16] = "";
    size_t length = 0;

    NEED(WHvCreatePartition(&guest));
    NEED(WHvSetPartitionProperty(guest, WHvPartitionPropertyCodeProcessorCount, &one, sizeof one));
    NEED(WHvSetupPartition(guest));

    /* The guest's memory is ours: what one side writes, the other reads. */
    memcpy(ram + 0x1000, code, sizeof code);
    NEED(WHvMapGpaRange(guest, ram, 0, sizeof ram,
                        WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite | WHvMapGpaRangeFlagExecute));

    /* A new processor is in real mode; all that's missing is where to start. */
    NEED(WHvCreateVirtualProcessor(guest, 0, 0));
    NEED(WHvSetVirtualProcessorRegisters(guest, 0, start, 2, values));

    for (;;) {
        NEED(WHvRunVirtualProcessor(guest, 0, &x, sizeof x));
        if (x.ExitReason != WHvRunVpExitReasonX64IoPortAccess)
            break;
        putchar((int)(x.IoPortAccess.Rax & 0xff));
        if (length < sizeof heard - 1)
            heard[length++] = (char)x.IoPortAccess.Rax;

        /* The OUT hasn't happened for the processor: we carried it out, so we move RIP behind it. */
        values[0].Reg64 = x.VpContext.Rip + x.VpContext.InstructionLength;
        NEED(WHvSetVirtualProcessorRegisters(guest, 0, start, 1, values));
    }
    NEED(WHvDeletePartition(guest));
    return x.ExitReason != WHvRunVpExitReasonX64Halt || strcmp(heard, "Hi!\n") != 0;
}
