/* SPDX-License-Identifier: MIT */
/* Emulators from creation to destruction, and the table of their handles. */
#include "mem/tlb.h"
#include "state/host.h"
#include "state/profile.h"
#include "whp/emulator.h"

enum { EMULATORS = 1024, IN_USE = 1 };

/* As whp/handle.c does it: handle = serial number << 16 | slot << 4, never given twice, and no partition's. */
static struct emulator_slot {
    u64 state; /* atomic: the handle, and IN_USE while a call is inside; 0: free */
    struct emulator *e;
} slots[EMULATORS];
static struct host_lock slots_lock;
static u64 slots_serial = (u64)1 << 44;

static struct emulator_slot *slot_of(WHV_EMULATOR_HANDLE handle)
{
    return &slots[(u64)(uintptr_t)handle >> 4 & (EMULATORS - 1)];
}

HRESULT emulator_enter(WHV_EMULATOR_HANDLE handle, struct emulator **e)
{
    struct emulator_slot *slot = slot_of(handle);
    u64 expected = (u64)(uintptr_t)handle;

    if (expected && !(expected & 15) &&
        __atomic_compare_exchange_n(&slot->state, &expected, expected | IN_USE, false, __ATOMIC_ACQUIRE,
                                    __ATOMIC_RELAXED)) {
        *e = slot->e;
        return S_OK;
    }
    if (expected == ((u64)(uintptr_t)handle | IN_USE))
        return fail(E_INVALIDARG, "Emulator: another call uses it; take one for each processor");
    return fail(E_INVALIDARG, "Emulator: %p is no live emulator", handle);
}

/* NULL: too many live. */
static WHV_EMULATOR_HANDLE emulator_handle(struct emulator *e)
{
    u64 number = 0;

    host_lock(&slots_lock);
    for (unsigned i = 0; i < EMULATORS && !number; i++) {
        unsigned n = (unsigned)(slots_serial + 1 + i) % EMULATORS;

        if (__atomic_load_n(&slots[n].state, __ATOMIC_ACQUIRE))
            continue;
        number = ++slots_serial << 16 | (u64)n << 4;
        slots[n].e = e;
        __atomic_store_n(&slots[n].state, number, __ATOMIC_RELEASE);
    }
    host_unlock(&slots_lock);
    return (WHV_EMULATOR_HANDLE)(uintptr_t)number;
}

void emulator_leave(WHV_EMULATOR_HANDLE handle)
{
    __atomic_store_n(&slot_of(handle)->state, (u64)(uintptr_t)handle, __ATOMIC_RELEASE);
}

static const char *missing_callback(const WHV_EMULATOR_CALLBACKS *c)
{
#define MISSING(name)                                                                                        \
    if (!c->name)                                                                                            \
    return #name
    MISSING(WHvEmulatorIoPortCallback);
    MISSING(WHvEmulatorMemoryCallback);
    MISSING(WHvEmulatorGetVirtualProcessorRegisters);
    MISSING(WHvEmulatorSetVirtualProcessorRegisters);
    MISSING(WHvEmulatorTranslateGvaPage);
#undef MISSING
    return NULL;
}

HRESULT WINAPI WHvEmulatorCreateEmulator(const WHV_EMULATOR_CALLBACKS *Callbacks,
                                         WHV_EMULATOR_HANDLE *Emulator)
{
    if (!Callbacks || !Emulator)
        return fail(E_INVALIDARG, "%s is NULL", Callbacks ? "Emulator" : "Callbacks");
    if (Callbacks->Size != sizeof *Callbacks)
        return fail(E_INVALIDARG, "Callbacks: Size is %u, must be %u", Callbacks->Size,
                    (u32)sizeof *Callbacks);
    if (Callbacks->Reserved)
        return fail(E_INVALIDARG, "Callbacks: Reserved is %u, must be 0", Callbacks->Reserved);

    const char *missing = missing_callback(Callbacks);

    if (missing)
        return fail(E_INVALIDARG, "Callbacks: %s is NULL", missing);

    struct emulator *e = host_alloc(sizeof *e);
    struct vcpu *cpu = host_alloc(sizeof *cpu);
    WHV_EMULATOR_HANDLE handle = NULL;

    if (e && cpu) {
        e->callbacks = *Callbacks;
        e->cpu = cpu;
        profile_use(&e->partition, profile_find("zen"));
        e->partition.clock = SwhpClockVirtual; /* nothing asks the host for its time */
        e->partition.rate = 1;
        e->mxcsr_mask = e->partition.mxcsr_mask;
        cpu->partition = &e->partition;
        cpu->exit = &e->exit;
        tlb_init(cpu);
        vcpu_reset(cpu);
        seam_init(e);
        handle = emulator_handle(e);
    }
    if (!handle) {
        if (e)
            host_free(e, sizeof *e);
        if (cpu)
            host_free(cpu, sizeof *cpu);
        return fail(E_OUTOFMEMORY, "no memory for an emulator, or %u live already", EMULATORS);
    }
    *Emulator = handle;
    return S_OK;
}

HRESULT WINAPI WHvEmulatorDestroyEmulator(WHV_EMULATOR_HANDLE Emulator)
{
    struct emulator *e;
    HRESULT hr = emulator_enter(Emulator, &e);

    if (FAILED(hr))
        return hr;
    __atomic_store_n(&slot_of(Emulator)->state, 0, __ATOMIC_RELEASE);
    host_free(e->cpu, sizeof *e->cpu);
    host_free(e, sizeof *e);
    return S_OK;
}
