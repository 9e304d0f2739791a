/* SPDX-License-Identifier: MIT */
/*
 * Saves a guest in the middle of its work and goes on with it in another partition: registers by name, the vector state
 * as an XSAVE image, and the memory, which is the host's anyway. Both then come to the same result.
 *
 *   cc save.c $(pkg-config --cflags --libs softwhp) -o save
 */
#include <WinHvPlatform.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEED(call) (SUCCEEDED(call) ? (void)0 : (fprintf(stderr, "failed: %s\n", #call), exit(1)))

enum { RAM = 0x10000, RESULT = 0x2000, ALL = 64, CR4_OSFXSR = 0x200 };

/* Sums 1, 2, 3... in XMM0, and tells each sum through memory and a port. */
static const unsigned char code[] = {
    0xff, 0xc0,                                     /* 1000: next: inc eax             */
    0x66, 0x0f, 0x6e, 0xc8,                         /* 1002:       movd xmm1, eax      */
    0x66, 0x0f, 0xfe, 0xc1,                         /* 1006:       paddd xmm0, xmm1    */
    0x66, 0x0f, 0x7e, 0x05, 0x00, 0x20, 0x00, 0x00, /* 100a:       movd [RESULT], xmm0 */
    0xe6, 0x80,                                     /* 1012:       out 0x80, al        */
    0xeb, 0xea,                                     /* 1014:       jmp next            */
};

struct saved {
    WHV_REGISTER_NAME names[ALL];
    WHV_REGISTER_VALUE values[ALL];
    UINT32 count;
    UINT32 xsave_size;
    unsigned char *xsave, *ram;
};

static WHV_PARTITION_HANDLE create(unsigned char *ram)
{
    WHV_PARTITION_PROPERTY one = {.ProcessorCount = 1};
    WHV_PARTITION_HANDLE guest;

    NEED(WHvCreatePartition(&guest));
    NEED(WHvSetPartitionProperty(guest, WHvPartitionPropertyCodeProcessorCount, &one, sizeof one));
    NEED(WHvSetupPartition(guest));
    NEED(WHvMapGpaRange(guest, ram, 0, RAM,
                        WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite | WHvMapGpaRangeFlagExecute));
    NEED(WHvCreateVirtualProcessor(guest, 0, 0));
    return guest;
}

/* Runs up to so many OUTs, each of them completed: a guest is saved between instructions. Returns the last sum. */
static UINT32 run(WHV_PARTITION_HANDLE guest, const unsigned char *ram, int outs)
{
    const WHV_REGISTER_NAME rip = WHvX64RegisterRip;
    UINT32 sum;

    while (outs-- > 0) {
        WHV_RUN_VP_EXIT_CONTEXT x;
        WHV_REGISTER_VALUE next;

        NEED(WHvRunVirtualProcessor(guest, 0, &x, sizeof x));
        if (x.ExitReason != WHvRunVpExitReasonX64IoPortAccess)
            exit(1);
        next.Reg64 = x.VpContext.Rip + x.VpContext.InstructionLength;
        NEED(WHvSetVirtualProcessorRegisters(guest, 0, &rip, 1, &next));
    }
    memcpy(&sum, ram + RESULT, sizeof sum);
    return sum;
}

static void add_names(struct saved *s, WHV_REGISTER_NAME first, WHV_REGISTER_NAME last)
{
    for (WHV_REGISTER_NAME name = first; name <= last; name++)
        s->names[s->count++] = name;
}

static void save(struct saved *s, WHV_PARTITION_HANDLE guest, const unsigned char *ram)
{
    add_names(s, WHvX64RegisterRax, WHvX64RegisterXCr0); /* general, segments, tables, control, debug */
    add_names(s, WHvX64RegisterTsc, WHvX64RegisterSfmask);
    add_names(s, WHvRegisterPendingInterruption, WHvRegisterPendingEvent);
    NEED(WHvGetVirtualProcessorRegisters(guest, 0, s->names, s->count, s->values));

    /* Without a buffer it tells the size. */
    if (WHvGetVirtualProcessorXsaveState(guest, 0, NULL, 0, &s->xsave_size) != WHV_E_INSUFFICIENT_BUFFER)
        exit(1);
    s->xsave = malloc(s->xsave_size);
    NEED(WHvGetVirtualProcessorXsaveState(guest, 0, s->xsave, s->xsave_size, &s->xsave_size));
    s->ram = aligned_alloc(4096, RAM);
    memcpy(s->ram, ram, RAM);
}

int main(void)
{
    static _Alignas(4096) unsigned char ram[RAM];
    const WHV_REGISTER_NAME names[] = {WHvX64RegisterRip, WHvX64RegisterCr0, WHvX64RegisterCr4, WHvX64RegisterCs,
                                       WHvX64RegisterDs};
    const WHV_REGISTER_VALUE values[] = {{.Reg64 = 0x1000}, {.Reg64 = 0x11 /* PE, ET */}, {.Reg64 = CR4_OSFXSR},
                                         {.Segment = {.Limit = 0xffffffff, .Selector = 8, .Attributes = 0xc09b}},
                                         {.Segment = {.Limit = 0xffffffff, .Selector = 16, .Attributes = 0xc093}}};
    WHV_PARTITION_HANDLE first = create(ram), second;
    struct saved state = {.count = 0};
    UINT32 middle, ends[2];

    memcpy(ram + 0x1000, code, sizeof code);
    NEED(WHvSetVirtualProcessorRegisters(first, 0, names, 5, values));
    middle = run(first, ram, 4);
    save(&state, first, ram);
    ends[0] = run(first, ram, 6);
    NEED(WHvDeletePartition(first));

    second = create(state.ram); /* the copy is its memory from here on */
    NEED(WHvSetVirtualProcessorRegisters(second, 0, state.names, state.count, state.values));
    NEED(WHvSetVirtualProcessorXsaveState(second, 0, state.xsave, state.xsave_size));
    ends[1] = run(second, state.ram, 6);
    NEED(WHvDeletePartition(second));
    printf("saved at %u; the first ends with %u, the second with %u\n", middle, ends[0], ends[1]);
    free(state.xsave);
    free(state.ram);
    return middle != 10 || ends[0] != 55 || ends[1] != 55;
}
