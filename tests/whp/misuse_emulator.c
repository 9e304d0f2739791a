/* SPDX-License-Identifier: MIT */
/* Misuses: the emulator library. No callback is called in any of them. */
#include "tests/whp/misuse.h"

/* ---- callbacks that are counted ---- */

static HRESULT CALLBACK on_port(VOID *context, WHV_EMULATOR_IO_ACCESS_INFO *io)
{
    struct scene *s = context;

    (void)io;
    if (s->calls++ == 0 && s->meanwhile)
        s->meanwhile(s->meanwhile_context);
    return S_OK;
}

static HRESULT CALLBACK on_memory(VOID *context, WHV_EMULATOR_MEMORY_ACCESS_INFO *access)
{
    (void)access;
    ((struct scene *)context)->calls++;
    return S_OK;
}

static HRESULT CALLBACK on_get(VOID *context, const WHV_REGISTER_NAME *names, UINT32 count, WHV_REGISTER_VALUE *values)
{
    (void)names;
    memset(values, 0, count * sizeof *values);
    ((struct scene *)context)->calls++;
    return S_OK;
}

static HRESULT CALLBACK on_set(VOID *context, const WHV_REGISTER_NAME *names, UINT32 count,
                               const WHV_REGISTER_VALUE *values)
{
    (void)names;
    (void)count;
    (void)values;
    ((struct scene *)context)->calls++;
    return S_OK;
}

static HRESULT CALLBACK on_translate(VOID *context, WHV_GUEST_VIRTUAL_ADDRESS gva, WHV_TRANSLATE_GVA_FLAGS flags,
                                     WHV_TRANSLATE_GVA_RESULT_CODE *result, WHV_GUEST_PHYSICAL_ADDRESS *gpa)
{
    (void)flags;
    *result = WHvTranslateGvaResultSuccess;
    *gpa = gva;
    ((struct scene *)context)->calls++;
    return S_OK;
}

static const WHV_EMULATOR_CALLBACKS callbacks = {
    sizeof callbacks, 0, on_port, on_memory, on_get, on_set, on_translate
};

WHV_EMULATOR_HANDLE scene_emulator(struct scene *s)
{
    if (!s->emulator)
        ck_ok(WHvEmulatorCreateEmulator(&callbacks, &s->emulator));
    return s->emulator;
}

/* ---- calls ---- */

/* MOV [0], AL in flat code, and OUT DX, AL. */
static const WHV_VP_EXIT_CONTEXT at = {
    .InstructionLength = 1, .Cs = { .Attributes = 0xa09b }, .Rflags = 2, .Rip = 0x1000
};

static HRESULT try_port(WHV_EMULATOR_HANDLE e, struct scene *s, u32 access_size, u32 bytes)
{
    WHV_X64_IO_PORT_ACCESS_CONTEXT io = { .InstructionByteCount = (u8)bytes, .InstructionBytes = { 0xee } };
    WHV_EMULATOR_STATUS status = { .AsUINT32 = 0xcccccccc };

    io.AccessInfo.IsWrite = 1;
    io.AccessInfo.AccessSize = access_size & 7;
    HRESULT hr = WHvEmulatorTryIoEmulation(e, s, &at, &io, &status);

    ck_assert(SUCCEEDED(hr) || status.AsUINT32 == 0xcccccccc);
    return hr;
}

static HRESULT try_memory(WHV_EMULATOR_HANDLE e, struct scene *s, u32 bytes)
{
    WHV_MEMORY_ACCESS_CONTEXT m = { .InstructionByteCount = (u8)bytes, .InstructionBytes = { 0x88, 0x00 } };
    WHV_EMULATOR_STATUS status = { .AsUINT32 = 0xcccccccc };
    HRESULT hr = WHvEmulatorTryMmioEmulation(e, s, &at, &m, &status);

    ck_assert(SUCCEEDED(hr) || status.AsUINT32 == 0xcccccccc);
    return hr;
}

void scene_meanwhile(struct scene *s, void (*f)(void *context), void *context)
{
    s->meanwhile = f;
    s->meanwhile_context = context;
    ck_ok(try_port(scene_emulator(s), s, 1, 1));
    ck_assert_uint_ge(s->calls, 1);
}

enum { EMULATORS_MOST = 1024 };

static HRESULT one_too_many(struct scene *s)
{
    static WHV_EMULATOR_HANDLE e[EMULATORS_MOST];
    unsigned n = 0;
    HRESULT hr = S_OK;

    scene_emulator(s);
    while (n < EMULATORS_MOST && SUCCEEDED(hr = WHvEmulatorCreateEmulator(&callbacks, &e[n])))
        n++;
    ck_assert_uint_eq(n, EMULATORS_MOST - 1);
    for (unsigned i = 0; i < n; i++)
        WHvEmulatorDestroyEmulator(e[i]);
    return WHvEmulatorCreateEmulator(&callbacks, NULL) == E_INVALIDARG ? hr : E_FAIL;
}

static HRESULT create_with(u32 size, u32 reserved, u32 missing)
{
    WHV_EMULATOR_CALLBACKS c = callbacks;
    WHV_EMULATOR_HANDLE e = &c;

    c.Size = size;
    c.Reserved = reserved;
    switch (missing) {
    case 1: c.WHvEmulatorIoPortCallback = NULL; break;
    case 2: c.WHvEmulatorMemoryCallback = NULL; break;
    case 3: c.WHvEmulatorGetVirtualProcessorRegisters = NULL; break;
    case 4: c.WHvEmulatorSetVirtualProcessorRegisters = NULL; break;
    case 5: c.WHvEmulatorTranslateGvaPage = NULL; break;
    default: break;
    }
    HRESULT hr = WHvEmulatorCreateEmulator(&c, &e);

    ck_assert(FAILED(hr) && (void *)e == &c);
    return hr;
}
enum { WHOLE = sizeof callbacks };

static HRESULT create(void)
{
    WHV_EMULATOR_HANDLE e;
    HRESULT hr = WHvEmulatorCreateEmulator(&callbacks, &e);

    return FAILED(hr) ? hr : WHvEmulatorDestroyEmulator(e);
}

/* Where the partition's handle goes, and one that was destroyed. */
static WHV_EMULATOR_HANDLE destroyed(void)
{
    WHV_EMULATOR_HANDLE e;

    ck_ok(WHvEmulatorCreateEmulator(&callbacks, &e));
    ck_ok(WHvEmulatorDestroyEmulator(e));
    return e;
}

#define HANDLES(call_of)                                                                                               \
    ROW("Emulator is NULL", E_INVALIDARG, "Emulator", "8", call_of(NULL));                                             \
    ROW("Emulator is a number", E_INVALIDARG, "Emulator", "8", call_of((void *)(uintptr_t)0x7fff12345678));            \
    ROW("Emulator is a partition", E_INVALIDARG, "Emulator", "8", call_of(s->p));                                      \
    ROW("Emulator is a bit off", E_INVALIDARG, "Emulator", "8", call_of((char *)scene_emulator(s) + 1));               \
    ROW("Emulator was destroyed", E_INVALIDARG, "Emulator", "8", call_of(destroyed()))
#define DESTROY(e) WHvEmulatorDestroyEmulator(e)
#define PORT(e) try_port(e, s, 1, 1)
#define MEMORY(e) try_memory(e, s, 2)

void emulator_rows(struct visit *v, struct scene *s)
{
    static const struct function creation = { "WHvEmulatorCreateEmulator", TAKES_EMULATOR, "...",
                                              "one for each thread that emulates" };
    static const struct function port = { "WHvEmulatorTryIoEmulation", TAKES_EMULATOR, ".II",
                                          "completes a port's exit" };
    static const struct function memory = { "WHvEmulatorTryMmioEmulation", TAKES_EMULATOR, ".II",
                                            "completes a memory exit" };
    static const WHV_MEMORY_ACCESS_CONTEXT m = { .InstructionByteCount = 0 };
    static const WHV_X64_IO_PORT_ACCESS_CONTEXT io = { .AccessInfo = { .AsUINT32 = 2 } };
    WHV_EMULATOR_STATUS status;

    if (visit_function(v, &creation))
        visit_answer(v, create());
    ROW("Callbacks is NULL", E_INVALIDARG, "Callbacks", "8", WHvEmulatorCreateEmulator(NULL, (void *)s->out));
    ROW("Emulator is NULL", E_INVALIDARG, "Emulator", "8", WHvEmulatorCreateEmulator(&callbacks, NULL));
    ROW("Size is 0", E_INVALIDARG, "Size", "8", create_with(0, 0, 0));
    ROW("Size isn't the structure's", E_INVALIDARG, "Size", "8", create_with(WHOLE + 8, 0, 0));
    ROW("Reserved isn't 0", E_INVALIDARG, "Reserved", "8", create_with(WHOLE, 1, 0));
    ROW("no callback for ports", E_INVALIDARG, "IoPort", "8", create_with(WHOLE, 0, 1));
    ROW("no callback for memory", E_INVALIDARG, "Memory", "8", create_with(WHOLE, 0, 2));
    ROW("no callback to get registers", E_INVALIDARG, "GetVirtualProcessorRegisters", "8", create_with(WHOLE, 0, 3));
    ROW("no callback to set registers", E_INVALIDARG, "SetVirtualProcessorRegisters", "8", create_with(WHOLE, 0, 4));
    ROW("no callback to translate", E_INVALIDARG, "TranslateGvaPage", "8", create_with(WHOLE, 0, 5));
    ROW("1024 emulators live", E_OUTOFMEMORY, "emulator", "8", one_too_many(s));

    FUNCTION(WHvEmulatorDestroyEmulator, TAKES_EMULATOR, ".II", "", (s->emulator));
    HANDLES(DESTROY);

    if (visit_function(v, &port))
        visit_answer(v, try_port(s->emulator, s, 1, 1));
    HANDLES(PORT);
    ROW("VpContext is NULL", E_INVALIDARG, "VpContext", "8",
        WHvEmulatorTryIoEmulation(scene_emulator(s), s, NULL, &io, &status));
    ROW("IoInstructionContext is NULL", E_INVALIDARG, "IoInstructionContext", "8",
        WHvEmulatorTryIoEmulation(scene_emulator(s), s, &at, NULL, &status));
    ROW("EmulatorReturnStatus is NULL", E_INVALIDARG, "EmulatorReturnStatus", "8",
        WHvEmulatorTryIoEmulation(scene_emulator(s), s, &at, &io, NULL));
    ROW("AccessSize is 0", E_INVALIDARG, "AccessSize", "8", try_port(scene_emulator(s), s, 0, 1));
    ROW("AccessSize is 3", E_INVALIDARG, "AccessSize", "8", try_port(scene_emulator(s), s, 3, 1));
    ROW("InstructionByteCount is 17", E_INVALIDARG, "InstructionByteCount", "8", try_port(scene_emulator(s), s, 1, 17));

    if (visit_function(v, &memory))
        visit_answer(v, try_memory(s->emulator, s, 2));
    HANDLES(MEMORY);
    ROW("VpContext is NULL", E_INVALIDARG, "VpContext", "8",
        WHvEmulatorTryMmioEmulation(scene_emulator(s), s, NULL, &m, &status));
    ROW("MmioInstructionContext is NULL", E_INVALIDARG, "MmioInstructionContext", "8",
        WHvEmulatorTryMmioEmulation(scene_emulator(s), s, &at, NULL, &status));
    ROW("EmulatorReturnStatus is NULL", E_INVALIDARG, "EmulatorReturnStatus", "8",
        WHvEmulatorTryMmioEmulation(scene_emulator(s), s, &at, &m, NULL));
    ROW("InstructionByteCount is 17", E_INVALIDARG, "InstructionByteCount", "8", try_memory(scene_emulator(s), s, 17));
}
