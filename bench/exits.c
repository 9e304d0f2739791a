/* SPDX-License-Identifier: MIT */
/* What an exit costs: a loop of 64-bit code that leaves each time, completed by the caller; nanoseconds of user time an exit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "include/WinHvEmulation.h"
#include "include/WinHvPlatform.h"

static WHV_PARTITION_HANDLE partition;

static void need(HRESULT hr, const char *what)
{
    if (hr < 0) {
        fprintf(stderr, "exits: %s: %08x\n", what, (unsigned)hr);
        exit(1);
    }
}

static HRESULT CALLBACK on_port(VOID *context, WHV_EMULATOR_IO_ACCESS_INFO *io)
{
    (void)context;
    io->Data = 0;
    return S_OK;
}

static HRESULT CALLBACK on_memory(VOID *context, WHV_EMULATOR_MEMORY_ACCESS_INFO *m)
{
    (void)context;
    if (m->Direction == 0)
        memset(m->Data, 0, sizeof m->Data);
    return S_OK;
}

static HRESULT CALLBACK get_registers(VOID *context, const WHV_REGISTER_NAME *names, UINT32 n, WHV_REGISTER_VALUE *values)
{
    (void)context;
    return WHvGetVirtualProcessorRegisters(partition, 0, names, n, values);
}

static HRESULT CALLBACK set_registers(VOID *context, const WHV_REGISTER_NAME *names, UINT32 n,
                                      const WHV_REGISTER_VALUE *values)
{
    (void)context;
    return WHvSetVirtualProcessorRegisters(partition, 0, names, n, values);
}

static HRESULT CALLBACK translate(VOID *context, WHV_GUEST_VIRTUAL_ADDRESS gva, WHV_TRANSLATE_GVA_FLAGS flags,
                                  WHV_TRANSLATE_GVA_RESULT_CODE *code, WHV_GUEST_PHYSICAL_ADDRESS *gpa)
{
    WHV_TRANSLATE_GVA_RESULT result;
    HRESULT hr = WHvTranslateGva(partition, 0, gva, flags, &result, gpa);

    (void)context;
    *code = result.ResultCode;
    *gpa &= ~(WHV_GUEST_PHYSICAL_ADDRESS)0xfff;
    return hr;
}

static const WHV_EMULATOR_CALLBACKS callbacks = { sizeof callbacks, 0, on_port, on_memory, get_registers, set_registers,
                                                  translate };
static WHV_EMULATOR_HANDLE emulator;

/* ---- how each kind of exit is completed ---- */

static void complete_port(const WHV_RUN_VP_EXIT_CONTEXT *x)
{
    static const WHV_REGISTER_NAME names[2] = { WHvX64RegisterRax, WHvX64RegisterRip };
    WHV_REGISTER_VALUE values[2];

    values[0].Reg64 = x->IoPortAccess.Rax;
    values[1].Reg64 = x->VpContext.Rip + x->VpContext.InstructionLength;
    need(WHvSetVirtualProcessorRegisters(partition, 0, names, 2, values), "registers");
}

static void complete_cpuid(const WHV_RUN_VP_EXIT_CONTEXT *x)
{
    static const WHV_REGISTER_NAME names[5] = { WHvX64RegisterRax, WHvX64RegisterRbx, WHvX64RegisterRcx,
                                                WHvX64RegisterRdx, WHvX64RegisterRip };
    WHV_REGISTER_VALUE values[5];

    values[0].Reg64 = x->CpuidAccess.DefaultResultRax;
    values[1].Reg64 = x->CpuidAccess.DefaultResultRbx;
    values[2].Reg64 = x->CpuidAccess.DefaultResultRcx;
    values[3].Reg64 = x->CpuidAccess.DefaultResultRdx;
    values[4].Reg64 = x->VpContext.Rip + x->VpContext.InstructionLength;
    need(WHvSetVirtualProcessorRegisters(partition, 0, names, 5, values), "registers");
}

static void complete_mmio(const WHV_RUN_VP_EXIT_CONTEXT *x)
{
    WHV_EMULATOR_STATUS status;

    need(WHvEmulatorTryMmioEmulation(emulator, NULL, &x->VpContext, &x->MemoryAccess, &status), "mmio");
    if (!status.EmulationSuccessful) {
        fprintf(stderr, "exits: emulation failed: %08x\n", status.AsUINT32);
        exit(1);
    }
}

static void complete_port_emulated(const WHV_RUN_VP_EXIT_CONTEXT *x)
{
    WHV_EMULATOR_STATUS status;

    need(WHvEmulatorTryIoEmulation(emulator, NULL, &x->VpContext, &x->IoPortAccess, &status), "io");
}

static const struct kind {
    const char *name;
    unsigned char code[8]; /* of a loop: the instruction, then a jump back */
    void (*complete)(const WHV_RUN_VP_EXIT_CONTEXT *x);
    WHV_RUN_VP_EXIT_REASON reason;
} kinds[] = {
    { "OUT", { 0xe6, 0x80, 0xeb, 0xfc }, complete_port, WHvRunVpExitReasonX64IoPortAccess },
    { "IN", { 0xe4, 0x81, 0xeb, 0xfc }, complete_port, WHvRunVpExitReasonX64IoPortAccess },
    { "OUT by TryIoEmulation", { 0xe6, 0x80, 0xeb, 0xfc }, complete_port_emulated, WHvRunVpExitReasonX64IoPortAccess },
    { "MMIO write by TryMmioEmulation", { 0x89, 0x07, 0xeb, 0xfc }, complete_mmio, WHvRunVpExitReasonMemoryAccess },
    { "MMIO read by TryMmioEmulation", { 0x8b, 0x07, 0xeb, 0xfc }, complete_mmio, WHvRunVpExitReasonMemoryAccess },
    { "CPUID", { 0x0f, 0xa2, 0xeb, 0xfc }, complete_cpuid, WHvRunVpExitReasonX64Cpuid },
};

static double user_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* 64-bit code with the first 4 GiB mapped one to one, in 1 GiB pages. */
static void enter_long_mode(unsigned char *memory)
{
    static const WHV_REGISTER_NAME names[] = { WHvX64RegisterCr3,  WHvX64RegisterCr4, WHvX64RegisterEfer, WHvX64RegisterCr0,
                                               WHvX64RegisterCs,   WHvX64RegisterDs,  WHvX64RegisterSs };
    WHV_REGISTER_VALUE values[7];
    unsigned long long entry = 0x3007;

    memset(values, 0, sizeof values);
    memcpy(memory + 0x2000, &entry, 8);
    for (unsigned i = 0; i < 4; i++) {
        entry = (unsigned long long)i << 30 | 0xe7;
        memcpy(memory + 0x3000 + 8 * i, &entry, 8);
    }
    values[0].Reg64 = 0x2000;
    values[1].Reg64 = 0x20;
    values[2].Reg64 = 0xd00;
    values[3].Reg64 = 0x80050033;
    values[4].Segment.Selector = 8;
    values[4].Segment.Attributes = 0xa09b;
    values[5].Segment.Selector = values[6].Segment.Selector = 16;
    values[5].Segment.Attributes = values[6].Segment.Attributes = 0xc093;
    values[4].Segment.Limit = values[5].Segment.Limit = values[6].Segment.Limit = 0xffffffff;
    need(WHvSetVirtualProcessorRegisters(partition, 0, names, 7, values), "long mode");
}

static double nanoseconds_an_exit(const struct kind *k, unsigned char *memory)
{
    static const WHV_REGISTER_NAME start[] = { WHvX64RegisterRip, WHvX64RegisterRdi };
    enum { EXITS = 300000, ROUNDS = 5 };
    WHV_REGISTER_VALUE values[2] = { 0 };
    WHV_RUN_VP_EXIT_CONTEXT x;
    double rounds[ROUNDS];

    memcpy(memory + 0x1000, k->code, sizeof k->code);
    values[0].Reg64 = 0x1000;
    values[1].Reg64 = 0xd0000000; /* nothing is mapped there */
    need(WHvSetVirtualProcessorRegisters(partition, 0, start, 2, values), "start");
    for (unsigned r = 0; r < ROUNDS; r++) {
        double t = user_seconds();

        for (unsigned i = 0; i < EXITS; i++) {
            need(WHvRunVirtualProcessor(partition, 0, &x, sizeof x), "run");
            if (x.ExitReason != k->reason) {
                fprintf(stderr, "exits: %s: unexpected exit %x\n", k->name, (unsigned)x.ExitReason);
                exit(1);
            }
            k->complete(&x);
        }
        rounds[r] = (user_seconds() - t) * 1e9 / EXITS;
    }
    qsort(rounds, ROUNDS, sizeof *rounds, by_value);
    return rounds[ROUNDS / 2];
}

/* exits [KIND]: all kinds, or those whose name begins so. */
int main(int argc, char **argv)
{
    WHV_PARTITION_PROPERTY p;
    unsigned char *memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    need(WHvCreatePartition(&partition), "partition");
    memset(&p, 0, sizeof p);
    p.ProcessorCount = 1;
    need(WHvSetPartitionProperty(partition, WHvPartitionPropertyCodeProcessorCount, &p, sizeof p), "processors");
    memset(&p, 0, sizeof p);
    p.ExtendedVmExits.X64CpuidExit = 1;
    need(WHvSetPartitionProperty(partition, WHvPartitionPropertyCodeExtendedVmExits, &p, sizeof p), "exits");
    need(WHvSetupPartition(partition), "setup");
    need(WHvMapGpaRange(partition, memory, 0, 65536,
                        WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite | WHvMapGpaRangeFlagExecute), "map");
    need(WHvCreateVirtualProcessor(partition, 0, 0), "processor");
    enter_long_mode(memory);
    need(WHvEmulatorCreateEmulator(&callbacks, &emulator), "emulator");
    printf("\nnanoseconds an exit and back, completed by the caller\n");
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (argc < 2 || !strncmp(kinds[i].name, argv[1], strlen(argv[1])))
            printf("%-32s %8.1f\n", kinds[i].name, nanoseconds_an_exit(&kinds[i], memory));
    WHvEmulatorDestroyEmulator(emulator);
    WHvDeletePartition(partition);
    return 0;
}
