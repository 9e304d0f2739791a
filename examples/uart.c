/* SPDX-License-Identifier: MIT */
/*
 * A serial port in memory: the guest's loads and stores where nothing is mapped become exits, and the emulator library
 * completes them, whatever the instruction is. It asks us, through callbacks, for registers, translations and bytes.
 *
 *   cc uart.c $(pkg-config --cflags --libs softwhp) -o uart
 */
#include <WinHvEmulation.h>
#include <WinHvPlatform.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEED(call) (SUCCEEDED(call) ? (void)0 : (fprintf(stderr, "failed: %s\n", #call), exit(1)))

enum { UART = 0xd000000, DATA = 0, LINE_STATUS = 5, SCRATCH = 7, DATA_READY = 1, TRANSMITTER_EMPTY = 0x60 };

static _Alignas(4096) unsigned char ram[0x10000];
static const char *input = "shout";
static char output[16];
static size_t length;
static unsigned char scratch;

/* 32-bit code: shouts back what it gets, and counts in the scratch register. */
static const unsigned char code[] = {
    0xbb, 0x00, 0x00, 0x00, 0x0d, /* 1000:       mov ebx, UART                             */
    0xf6, 0x43, 0x05, 0x01,       /* 1005: next: test byte [ebx + LINE_STATUS], DATA_READY */
    0x74, 0x0b,                   /* 1009:       jz done                                   */
    0x8a, 0x03,                   /* 100b:       mov al, [ebx]                             */
    0x24, 0xdf,                   /* 100d:       and al, 0xdf                              */
    0x88, 0x03,                   /* 100f:       mov [ebx], al                             */
    0xfe, 0x43, 0x07,             /* 1011:       inc byte [ebx + SCRATCH]                  */
    0xeb, 0xef,                   /* 1014:       jmp next                                  */
    0xf4,                         /* 1016: done: hlt                                       */
};

static HRESULT CALLBACK on_memory(VOID *guest, WHV_EMULATOR_MEMORY_ACCESS_INFO *m)
{
    UINT64 reg = m->GpaAddress - UART;

    (void)guest;
    if (m->AccessSize != 1)
        return E_NOTIMPL;
    if (reg == DATA && m->Direction)
        output[length++ % sizeof output] = (char)m->Data[0];
    else if (reg == DATA)
        m->Data[0] = (UINT8)(*input ? *input++ : 0);
    else if (reg == LINE_STATUS && !m->Direction)
        m->Data[0] = TRANSMITTER_EMPTY | (*input ? DATA_READY : 0);
    else if (reg == SCRATCH && m->Direction)
        scratch = m->Data[0];
    else if (reg == SCRATCH)
        m->Data[0] = scratch;
    return S_OK;
}

static HRESULT CALLBACK on_port(VOID *guest, WHV_EMULATOR_IO_ACCESS_INFO *io)
{
    (void)guest;
    (void)io;
    return E_NOTIMPL; /* this machine has no ports */
}

static HRESULT CALLBACK get_registers(VOID *guest, const WHV_REGISTER_NAME *names, UINT32 count,
                                      WHV_REGISTER_VALUE *values)
{
    return WHvGetVirtualProcessorRegisters(guest, 0, names, count, values);
}

static HRESULT CALLBACK set_registers(VOID *guest, const WHV_REGISTER_NAME *names, UINT32 count,
                                      const WHV_REGISTER_VALUE *values)
{
    return WHvSetVirtualProcessorRegisters(guest, 0, names, count, values);
}

static HRESULT CALLBACK translate(VOID *guest, WHV_GUEST_VIRTUAL_ADDRESS gva, WHV_TRANSLATE_GVA_FLAGS flags,
                                  WHV_TRANSLATE_GVA_RESULT_CODE *code_of, WHV_GUEST_PHYSICAL_ADDRESS *gpa)
{
    WHV_TRANSLATE_GVA_RESULT result;
    HRESULT hr = WHvTranslateGva(guest, 0, gva & ~(WHV_GUEST_VIRTUAL_ADDRESS)0xfff, flags, &result, gpa);

    *code_of = result.ResultCode;
    return hr;
}

int main(void)
{
    const WHV_EMULATOR_CALLBACKS callbacks = {sizeof callbacks, 0,         on_port, on_memory, get_registers,
                                              set_registers,    translate};
    const WHV_REGISTER_NAME names[] = {WHvX64RegisterRip, WHvX64RegisterCr0, WHvX64RegisterCs, WHvX64RegisterDs};
    const WHV_REGISTER_VALUE values[] = {{.Reg64 = 0x1000}, {.Reg64 = 0x11}, /* PE: protected, flat */
                                         {.Segment = {.Limit = 0xffffffff, .Selector = 8, .Attributes = 0xc09b}},
                                         {.Segment = {.Limit = 0xffffffff, .Selector = 16, .Attributes = 0xc093}}};
    WHV_PARTITION_PROPERTY one = {.ProcessorCount = 1};
    WHV_PARTITION_HANDLE guest;
    WHV_EMULATOR_HANDLE emulator;
    WHV_EMULATOR_STATUS status = {.EmulationSuccessful = 1};
    WHV_RUN_VP_EXIT_CONTEXT x;

    NEED(WHvCreatePartition(&guest));
    NEED(WHvSetPartitionProperty(guest, WHvPartitionPropertyCodeProcessorCount, &one, sizeof one));
    NEED(WHvSetupPartition(guest));
    memcpy(ram + 0x1000, code, sizeof code);
    NEED(WHvMapGpaRange(guest, ram, 0, sizeof ram, WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagExecute));
    NEED(WHvCreateVirtualProcessor(guest, 0, 0));
    NEED(WHvSetVirtualProcessorRegisters(guest, 0, names, 4, values));
    NEED(WHvEmulatorCreateEmulator(&callbacks, &emulator));

    while (status.EmulationSuccessful) {
        NEED(WHvRunVirtualProcessor(guest, 0, &x, sizeof x));
        if (x.ExitReason != WHvRunVpExitReasonMemoryAccess)
            break;
        NEED(WHvEmulatorTryMmioEmulation(emulator, guest, &x.VpContext, &x.MemoryAccess, &status));
    }
    NEED(WHvEmulatorDestroyEmulator(emulator));
    NEED(WHvDeletePartition(guest));
    printf("sent %s, %u characters\n", output, scratch);
    return x.ExitReason != WHvRunVpExitReasonX64Halt || strcmp(output, "SHOUT") != 0 || scratch != 5;
}
