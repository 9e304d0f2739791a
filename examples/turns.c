/* SPDX-License-Identifier: MIT */
/*
 * A race between two virtual processors that can be had again: both add to a counter without a lock, and what one adds is
 * lost where the other's turn ended in the middle of an addition. Where that is follows from the seed alone.
 *
 *   cc turns.c $(pkg-config --cflags --libs softwhp) -o turns
 */
#include <WinHvPlatform.h>
#include <softwhp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEED(call) (SUCCEEDED(call) ? (void)0 : (fprintf(stderr, "failed: %s\n", #call), exit(1)))

enum { PROCESSORS = 2, ROUNDS = 100000, COUNTER = 0x2000 };

static _Alignas(4096) unsigned char ram[0x10000];

static const unsigned char code[] = {
    0xb9, 0xa0, 0x86, 0x01, 0x00, /* 1000:       mov ecx, ROUNDS    */
    0xa1, 0x00, 0x20, 0x00, 0x00, /* 1005: next: mov eax, [COUNTER] */
    0x40,                         /* 100a:       inc eax            */
    0xa3, 0x00, 0x20, 0x00, 0x00, /* 100b:       mov [COUNTER], eax */
    0xe2, 0xf3,                   /* 1010:       loop next          */
    0xf4,                         /* 1012:       hlt                */
    0xeb, 0xfd,                   /* 1013:       jmp to it          */
};

/* Protected mode, flat. */
static void create(WHV_PARTITION_HANDLE guest, UINT32 index)
{
    const WHV_REGISTER_NAME names[] = {WHvX64RegisterRip, WHvX64RegisterCr0, WHvX64RegisterCs, WHvX64RegisterDs};
    const WHV_REGISTER_VALUE values[] = {{.Reg64 = 0x1000}, {.Reg64 = 0x11 /* PE, ET */},
                                         {.Segment = {.Limit = 0xffffffff, .Selector = 8, .Attributes = 0xc09b}},
                                         {.Segment = {.Limit = 0xffffffff, .Selector = 16, .Attributes = 0xc093}}};

    NEED(WHvCreateVirtualProcessor(guest, index, 0));
    NEED(WHvSetVirtualProcessorRegisters(guest, index, names, 4, values));
}

/* What the counter comes to. */
static UINT32 count_with(UINT64 seed)
{
    WHV_PARTITION_PROPERTY processors = {.ProcessorCount = PROCESSORS};
    WHV_PARTITION_HANDLE guest;
    WHV_RUN_VP_EXIT_CONTEXT x;
    UINT32 clock = SwhpClockVirtual, halted = 0, counter;

    NEED(WHvCreatePartition(&guest));
    NEED(WHvSetPartitionProperty(guest, WHvPartitionPropertyCodeProcessorCount, &processors, sizeof processors));
    NEED(WHvSetPartitionProperty(guest, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeClock, &clock,
                                 sizeof clock));
    NEED(WHvSetPartitionProperty(guest, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeSeed, &seed,
                                 sizeof seed));
    NEED(WHvSetupPartition(guest));
    memset(ram, 0, sizeof ram);
    memcpy(ram + 0x1000, code, sizeof code);
    NEED(WHvMapGpaRange(guest, ram, 0, sizeof ram,
                        WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite | WHvMapGpaRangeFlagExecute));
    for (UINT32 i = 0; i < PROCESSORS; i++)
        create(guest, i);

    while (halted != (1u << PROCESSORS) - 1) { /* both, and each more than once while the other goes on */
        UINT32 index;

        NEED(SwhpRunPartition(guest, ~(UINT64)0, &index, &x, sizeof x));
        if (x.ExitReason != WHvRunVpExitReasonX64Halt)
            exit(1);
        halted |= 1u << index;
    }
    memcpy(&counter, ram + COUNTER, sizeof counter);
    NEED(WHvDeletePartition(guest));
    return counter;
}

int main(void)
{
    int is_right = 1, differ = 0;
    UINT32 first = count_with(1);

    for (UINT64 seed = 1; seed <= 4; seed++) {
        UINT32 counter = count_with(seed);

        printf("seed %u: %u of %u additions are there, each time\n", (unsigned)seed, counter, PROCESSORS * ROUNDS);
        is_right &= counter == count_with(seed) && counter < PROCESSORS * ROUNDS;
        differ |= counter != first;
    }
    return !is_right || !differ;
}
