/* SPDX-License-Identifier: MIT */
/*
 * What the platform's instruction emulator sees of this machine: its ports, its memory, the processor.
 */
#include "machine.h"

static HRESULT CALLBACK emulate_port(VOID *context, WHV_EMULATOR_IO_ACCESS_INFO *access)
{
    struct machine *m = ((struct processor *)context)->machine;

    if (machine_signal(m)) /* a string of slow accesses ends here */
        return E_ABORT;
    if (access->Direction)
        bus_write(&m->bus, access->Port, access->AccessSize, access->Data);
    else
        access->Data = bus_read(&m->bus, access->Port, access->AccessSize);
    return S_OK;
}

static void access_ioapic(struct machine *m, WHV_EMULATOR_MEMORY_ACCESS_INFO *access)
{
    uint64_t offset = access->GpaAddress - IOAPIC_GPA;

    if (access->Direction) {
        ioapic_write(&m->ioapic, offset, access->Data, access->AccessSize);
        m->pic_is_told = false; /* it may have another way now */
    } else {
        ioapic_read(&m->ioapic, offset, access->Data, access->AccessSize);
    }
}

static HRESULT CALLBACK emulate_memory(VOID *context, WHV_EMULATOR_MEMORY_ACCESS_INFO *access)
{
    struct machine *m = ((struct processor *)context)->machine;

    if (access->AccessSize > sizeof access->Data)
        return E_INVALIDARG;
    /* Without local APICs their page reads as ones too, as all does that nobody answers. */
    if (m->has_apic && access->GpaAddress - IOAPIC_GPA < IOAPIC_SIZE)
        access_ioapic(m, access);
    else if (access->Direction)
        memory_write(&m->memory, access->GpaAddress, access->Data, access->AccessSize);
    else
        memory_read(&m->memory, access->GpaAddress, access->Data, access->AccessSize);
    return S_OK;
}

static HRESULT CALLBACK emulate_get(VOID *context, const WHV_REGISTER_NAME *names, UINT32 count,
                                    WHV_REGISTER_VALUE *values)
{
    const struct processor *cpu = context;

    return WHvGetVirtualProcessorRegisters(cpu->machine->partition, cpu->index, names, count, values);
}

static HRESULT CALLBACK emulate_set(VOID *context, const WHV_REGISTER_NAME *names, UINT32 count,
                                    const WHV_REGISTER_VALUE *values)
{
    const struct processor *cpu = context;

    return WHvSetVirtualProcessorRegisters(cpu->machine->partition, cpu->index, names, count, values);
}

static HRESULT CALLBACK emulate_translate(VOID *context, WHV_GUEST_VIRTUAL_ADDRESS gva,
                                          WHV_TRANSLATE_GVA_FLAGS flags, WHV_TRANSLATE_GVA_RESULT_CODE *code,
                                          WHV_GUEST_PHYSICAL_ADDRESS *gpa)
{
    const struct processor *cpu = context;
    WHV_TRANSLATE_GVA_RESULT translated = {0};
    HRESULT result = WHvTranslateGva(cpu->machine->partition, cpu->index, gva, flags, &translated, gpa);

    *code = translated.ResultCode;
    *gpa &= ~UINT64_C(4095);
    return result;
}

bool machine_make_emulator(struct machine *m)
{
    const WHV_EMULATOR_CALLBACKS callbacks = {
        .Size = sizeof callbacks,
        .WHvEmulatorIoPortCallback = emulate_port,
        .WHvEmulatorMemoryCallback = emulate_memory,
        .WHvEmulatorGetVirtualProcessorRegisters = emulate_get,
        .WHvEmulatorSetVirtualProcessorRegisters = emulate_set,
        .WHvEmulatorTranslateGvaPage = emulate_translate,
    };
    HRESULT result = WHvEmulatorCreateEmulator(&callbacks, &m->emulator);

    if (result != S_OK)
        machine_fail(m, "WHvEmulatorCreateEmulator", result);
    return result == S_OK;
}
