/* SPDX-License-Identifier: MIT */
/*
 * Two virtual processors, a thread each, on the same memory: they take turns at a counter behind a spinlock. The lock
 * is all that keeps them apart, so a count that comes out right is memory order that came out right.
 *
 *   cc processors.c $(pkg-config --cflags --libs softwhp) -o processors
 */
#include <WinHvPlatform.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEED(call) (SUCCEEDED(call) ? (void)0 : (fprintf(stderr, "failed: %s\n", #call), exit(1)))

enum { PROCESSORS = 2, ROUNDS = 10000, LOCK = 0x2000, COUNTER = 0x2004 };

static _Alignas(4096) unsigned char ram[0x10000];

static const unsigned char code[] = {
    0xb9, 0x10, 0x27, 0x00, 0x00,             /* 1000:         mov ecx, ROUNDS      */
    0xb0, 0x01,                               /* 1005: take:   mov al, 1            */
    0x86, 0x05, 0x00, 0x20, 0x00, 0x00,       /* 1007:         xchg [LOCK], al      */
    0x84, 0xc0,                               /* 100d:         test al, al          */
    0x75, 0xf4,                               /* 100f:         jnz take             */
    0xff, 0x05, 0x04, 0x20, 0x00, 0x00,       /* 1011:         inc dword [COUNTER]  */
    0xc6, 0x05, 0x00, 0x20, 0x00, 0x00, 0x00, /* 1017:         mov byte [LOCK], 0   */
    0xe2, 0xe5,                               /* 101e:         loop take            */
    0xf4,                                     /* 1020:         hlt                  */
};

struct processor {
    WHV_PARTITION_HANDLE guest;
    UINT32 index;
    WHV_RUN_VP_EXIT_REASON left_with;
};

/* A processor is run by one thread at a time, and any thread may do it. */
static void *run(void *argument)
{
    struct processor *cpu = argument;
    WHV_RUN_VP_EXIT_CONTEXT x;

    NEED(WHvRunVirtualProcessor(cpu->guest, cpu->index, &x, sizeof x));
    cpu->left_with = x.ExitReason;
    return NULL;
}

/* Protected mode, flat. Without an APIC a processor starts where its registers say, as soon as somebody runs it. */
static void create(WHV_PARTITION_HANDLE guest, UINT32 index)
{
    const WHV_REGISTER_NAME names[] = {WHvX64RegisterRip, WHvX64RegisterCr0, WHvX64RegisterCs, WHvX64RegisterDs};
    const WHV_REGISTER_VALUE values[] = {{.Reg64 = 0x1000}, {.Reg64 = 0x11 /* PE, ET */},
                                         {.Segment = {.Limit = 0xffffffff, .Selector = 8, .Attributes = 0xc09b}},
                                         {.Segment = {.Limit = 0xffffffff, .Selector = 16, .Attributes = 0xc093}}};

    NEED(WHvCreateVirtualProcessor(guest, index, 0));
    NEED(WHvSetVirtualProcessorRegisters(guest, index, names, 4, values));
}

int main(void)
{
    WHV_PARTITION_PROPERTY count = {.ProcessorCount = PROCESSORS};
    WHV_PARTITION_HANDLE guest;
    struct processor cpus[PROCESSORS];
    pthread_t threads[PROCESSORS];
    UINT32 counter;
    int all_halted = 1;

    NEED(WHvCreatePartition(&guest));
    NEED(WHvSetPartitionProperty(guest, WHvPartitionPropertyCodeProcessorCount, &count, sizeof count));
    NEED(WHvSetupPartition(guest));
    memcpy(ram + 0x1000, code, sizeof code);
    NEED(WHvMapGpaRange(guest, ram, 0, sizeof ram,
                        WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite | WHvMapGpaRangeFlagExecute));

    for (UINT32 i = 0; i < PROCESSORS; i++) {
        create(guest, i);
        cpus[i] = (struct processor){.guest = guest, .index = i};
        if (pthread_create(&threads[i], NULL, run, &cpus[i]))
            return 1;
    }
    for (UINT32 i = 0; i < PROCESSORS; i++) {
        pthread_join(threads[i], NULL);
        all_halted &= cpus[i].left_with == WHvRunVpExitReasonX64Halt;
    }
    memcpy(&counter, ram + COUNTER, sizeof counter);
    printf("%d processors counted to %u\n", PROCESSORS, counter);
    NEED(WHvDeletePartition(guest));
    return !all_halted || counter != PROCESSORS * ROUNDS;
}
