/* SPDX-License-Identifier: MIT */
/* The table of register names, and WHvGet- and WHvSetVirtualProcessorRegisters on it. */
#include "whp/registers.h"

#include "state/profile.h"
#include "whp/handle.h"

#define AT(field) offsetof(struct vcpu, field)

/* Local APIC registers that have names, by offset / 16. */
#define APIC_NAMES                                                                                           \
    (1ull << 0x02 | 1ull << 0x03 | 1ull << 0x08 | 1ull << 0x0a | 1ull << 0x0b | 1ull << 0x0d |               \
     1ull << 0x0f | 0x1ffffffull << 0x10 | 1ull << 0x30 | 0xffull << 0x32 | 3ull << 0x3e)

/* In ascending order of names. */
static const struct register_row rows[] = {
    { WHvX64RegisterRax, 16, KIND_64, 8, AT(gpr) },
    { WHvX64RegisterRip, 1, KIND_64, 0, AT(rip) },
    { WHvX64RegisterRflags, 1, KIND_RFLAGS, 0, 0 },
    { WHvX64RegisterEs, 8, KIND_SEGMENT, 1, ES },
    { WHvX64RegisterIdtr, 1, KIND_TABLE, 0, AT(idtr) },
    { WHvX64RegisterGdtr, 1, KIND_TABLE, 0, AT(gdtr) },
    { WHvX64RegisterCr0, 1, KIND_CR0, 0, 0 },
    { WHvX64RegisterCr2, 1, KIND_64, 0, AT(cr2) },
    { WHvX64RegisterCr3, 1, KIND_CR3, 0, 0 },
    { WHvX64RegisterCr4, 1, KIND_CR4, 0, 0 },
    { WHvX64RegisterCr8, 1, KIND_CR8, 0, 0 },
    { WHvX64RegisterDr0, 4, KIND_DR, 1, 0 },
    { WHvX64RegisterDr6, 2, KIND_DR, 1, 6 },
    { WHvX64RegisterXCr0, 1, KIND_XCR0, 0, 0 },

    { WHvX64RegisterXmm0, 16, KIND_XMM, 1, 0 },
    { WHvX64RegisterFpMmx0, 8, KIND_ST, 1, 0 },
    { WHvX64RegisterFpControlStatus, 1, KIND_X87_STATUS, 0, 0 },
    { WHvX64RegisterXmmControlStatus, 1, KIND_MXCSR, 0, 0 },

    { WHvX64RegisterTsc, 1, KIND_TSC, 0, 0 },
    { WHvX64RegisterEfer, 1, KIND_EFER, 0, 0 },
    { WHvX64RegisterKernelGsBase, 1, KIND_MSR, 0, MSR_KERNEL_GS_BASE },
    { WHvX64RegisterApicBase, 1, KIND_MSR, 0, MSR_APIC_BASE },
    { WHvX64RegisterPat, 1, KIND_MSR, 0, MSR_PAT },
    { WHvX64RegisterSysenterCs, 1, KIND_MSR, 0, MSR_SYSENTER_CS },
    { WHvX64RegisterSysenterEip, 1, KIND_MSR, 0, MSR_SYSENTER_EIP },
    { WHvX64RegisterSysenterEsp, 1, KIND_MSR, 0, MSR_SYSENTER_ESP },
    { WHvX64RegisterStar, 4, KIND_MSR, 1, MSR_STAR }, /* and LSTAR, CSTAR, SFMASK */
    { WHvX64RegisterInitialApicId, 1, KIND_APIC_ID, 0, 0 },
    { WHvX64RegisterMsrMtrrCap, 1, KIND_MSR, 0, 0xfe },
    { WHvX64RegisterMsrMtrrDefType, 1, KIND_MSR, 0, 0x2ff },
    { WHvX64RegisterMsrMtrrPhysBase0, 16, KIND_MSR, 2, 0x200 },
    { WHvX64RegisterMsrMtrrPhysMask0, 16, KIND_MSR, 2, 0x201 },
    { WHvX64RegisterMsrMtrrFix64k00000, 1, KIND_MSR, 0, 0x250 },
    { WHvX64RegisterMsrMtrrFix16k80000, 2, KIND_MSR, 1, 0x258 },
    { WHvX64RegisterMsrMtrrFix4kC0000, 8, KIND_MSR, 1, 0x268 },
    { WHvX64RegisterTscAux, 1, KIND_MSR, 0, MSR_TSC_AUX },
    { WHvX64RegisterBndcfgs, 1, KIND_MSR, 0, 0xd90 },
    { WHvX64RegisterMCount, 2, KIND_MSR, 1, 0xe7 },   /* MPERF, APERF */
    { WHvX64RegisterSpecCtrl, 2, KIND_MSR, 1, 0x48 }, /* and PRED_CMD */
    { WHvX64RegisterTscVirtualOffset, 1, KIND_64, 0, AT(tsc_offset) },
    { WHvX64RegisterTsxCtrl, 1, KIND_MSR, 0, 0x122 },
    { WHvX64RegisterXss, 1, KIND_MSR, 0, 0xda0 },
    { WHvX64RegisterUCet, 1, KIND_MSR, 0, 0x6a0 },
    { WHvX64RegisterSCet, 1, KIND_MSR, 0, 0x6a2 },
    { WHvX64RegisterPl0Ssp, 5, KIND_MSR, 1, 0x6a4 }, /* to INTERRUPT_SSP_TABLE_ADDR */
    { WHvX64RegisterTscDeadline, 1, KIND_MSR, 0, 0x6e0 },
    { WHvX64RegisterTscAdjust, 1, KIND_MSR, 0, 0x3b },
    { WHvX64RegisterUmwaitControl, 1, KIND_MSR, 0, 0xe1 },
    { WHvX64RegisterXfd, 2, KIND_MSR, 1, 0x1c4 },
    { WHvX64RegisterMsrIa32MiscEnable, 1, KIND_MSR, 0, 0x1a0 },
    { WHvX64RegisterIa32FeatureControl, 1, KIND_MSR, 0, 0x3a },
    { WHvX64RegisterAmdVmHsavePa, 1, KIND_MSR, 0, 0xc0010117 },
    { WHvX64RegisterAmdVmCr, 1, KIND_MSR, 0, 0xc0010114 },

    { 0x3000, 64, KIND_APIC, 0, APIC_NAMES },

    { WHvRegisterPendingInterruption, 1, KIND_INTERRUPTION, 0, 0 },
    { WHvRegisterInterruptState, 1, KIND_INTERRUPT_STATE, 0, 0 },
    { WHvRegisterPendingEvent, 1, KIND_EVENT, 0, 0 },
    { WHvRegisterPendingEvent1, 1, KIND_NO_EVENT, 0, 0 },
    { WHvX64RegisterDeliverabilityNotifications, 1, KIND_NOTIFICATIONS, 0, 0 },
    { WHvRegisterInternalActivityState, 1, KIND_ACTIVITY, 0, 0 },
    { WHvX64RegisterPendingDebugException, 1, KIND_DEBUG, 0, 0 },
};

const struct register_row *register_find(struct vcpu *cpu, u32 name, u64 *where)
{
    unsigned low = 0, high = sizeof rows / sizeof rows[0];

    while (high - low > 1) { /* the last row that starts at the name or before it */
        unsigned middle = (low + high) / 2;

        if (rows[middle].first <= name)
            low = middle;
        else
            high = middle;
    }
    const struct register_row *row = &rows[low];
    u32 n = name - row->first;
    u64 ignored;

    if (n >= row->count)
        return NULL;
    *where = row->where + (u64)n * row->step;
    if (row->kind == KIND_APIC && !(row->where >> n & 1))
        return NULL;
    if (row->kind == KIND_MSR && msr_read(cpu, (u32)*where, &ignored) == MSR_UNKNOWN)
        return NULL;
    return row;
}

/* Callers may align their arrays as they like. */
static void *value_at(const void *values, u32 n)
{
    return (char *)(uintptr_t)values + (size_t)n * sizeof(WHV_REGISTER_VALUE);
}

/* Is it a batch of general registers and RIP only, which any value fits? */
INLINE bool are_general(const WHV_REGISTER_NAME *names, u32 count, const void *values)
{
    if (count && (!names || !values))
        return false;
    for (u32 i = 0; i < count; i++) {
        if ((u32)names[i] > WHvX64RegisterRip)
            return false;
    }
    return true;
}

INLINE u64 *general(struct vcpu *cpu, u32 name)
{
    return name & 16 ? &cpu->rip : &cpu->gpr[name & 15];
}

static HRESULT no_such_register(u32 n, u32 name)
{
    return fail(WHV_E_INVALID_VP_REGISTER_NAME, "RegisterNames[%u]: this processor has no register %#x", n,
                name);
}

static HRESULT denied(u32 n, u32 name)
{
    return fail(HV_ACCESS_DENIED,
                "RegisterNames[%u]: %#x is the local APIC's, which this partition doesn't emulate", n, name);
}

static COLD HRESULT get_any(struct vcpu *cpu, const WHV_REGISTER_NAME *names, u32 count, void *values)
{
    u64 where;

    for (u32 i = 0; i < count; i++) {
        const struct register_row *row = register_find(cpu, (u32)names[i], &where);

        if (!row)
            return no_such_register(i, (u32)names[i]);
        if (row->kind == KIND_APIC)
            return denied(i, (u32)names[i]);
    }
    for (u32 i = 0; i < count; i++) {
        const struct register_row *row = register_find(cpu, (u32)names[i], &where);
        WHV_REGISTER_VALUE v = { .Reg128 = { .Low64 = 0, .High64 = 0 } };

        if (!row) /* the names were changed meanwhile by another thread of the caller */
            return no_such_register(i, (u32)names[i]);
        register_read(cpu, row->kind, where, &v);
        memcpy(value_at(values, i), &v, sizeof v);
    }
    return S_OK;
}

static COLD HRESULT set_any(struct vcpu *cpu, const WHV_REGISTER_NAME *names, u32 count, const void *values)
{
    WHV_REGISTER_VALUE v;
    unsigned effects = 0;
    u64 where;

    for (u32 i = 0; i < count; i++) {
        const struct register_row *row = register_find(cpu, (u32)names[i], &where);

        if (!row)
            return no_such_register(i, (u32)names[i]);
        if (row->kind == KIND_APIC)
            return denied(i, (u32)names[i]);
        memcpy(&v, value_at(values, i), sizeof v);

        HRESULT hr = register_check(cpu, row->kind, where, (u32)names[i], &v);

        if (FAILED(hr))
            return hr;
    }
    for (u32 i = 0; i < count; i++) {
        const struct register_row *row = register_find(cpu, (u32)names[i], &where);

        if (!row)
            continue;
        memcpy(&v, value_at(values, i), sizeof v);
        effects |= register_write(cpu, row->kind, where, &v);
    }
    registers_settle(cpu, effects);
    return S_OK;
}

static COLD HRESULT get_slow(WHV_PARTITION_HANDLE handle, u32 index, const WHV_REGISTER_NAME *names,
                             u32 count, void *values)
{
    struct reading r;

    if (count && (!names || !values))
        return fail(E_POINTER, "RegisterNames or RegisterValues is NULL");

    HRESULT hr = vcpu_read_begin(handle, index, &r);

    if (FAILED(hr))
        return hr;
    hr = get_any(r.cpu, names, count, values);
    vcpu_read_end(&r);
    return hr;
}

static COLD HRESULT set_slow(WHV_PARTITION_HANDLE handle, u32 index, const WHV_REGISTER_NAME *names,
                             u32 count, const void *values)
{
    struct vcpu *cpu;

    if (count && (!names || !values))
        return fail(E_POINTER, "RegisterNames or RegisterValues is NULL");

    HRESULT hr = vcpu_enter(handle, index, &cpu);

    if (FAILED(hr))
        return hr;
    hr = set_any(cpu, names, count, values);
    vcpu_leave_door(handle, index);
    return hr;
}

/* The two are called around each exit, so what callers mostly ask for goes straight. */

HRESULT WINAPI WHvGetVirtualProcessorRegisters(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                               const WHV_REGISTER_NAME *RegisterNames, UINT32 RegisterCount,
                                               WHV_REGISTER_VALUE *RegisterValues)
{
    struct vcpu *cpu;

    if (unlikely(!are_general(RegisterNames, RegisterCount, RegisterValues) ||
                 !vcpu_try_enter(Partition, VpIndex, DOOR_BUSY, &cpu)))
        return get_slow(Partition, VpIndex, RegisterNames, RegisterCount, RegisterValues);
    for (u32 i = 0; i < RegisterCount; i++) {
        u64 v[2] = { *general(cpu, (u32)RegisterNames[i]), 0 };

        memcpy(value_at(RegisterValues, i), v, sizeof v);
    }
    vcpu_leave_door(Partition, VpIndex);
    return S_OK;
}

HRESULT WINAPI WHvSetVirtualProcessorRegisters(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                               const WHV_REGISTER_NAME *RegisterNames, UINT32 RegisterCount,
                                               const WHV_REGISTER_VALUE *RegisterValues)
{
    struct vcpu *cpu;

    if (unlikely(!are_general(RegisterNames, RegisterCount, RegisterValues) ||
                 !vcpu_try_enter(Partition, VpIndex, DOOR_BUSY, &cpu)))
        return set_slow(Partition, VpIndex, RegisterNames, RegisterCount, RegisterValues);
    for (u32 i = 0; i < RegisterCount; i++)
        *general(cpu, (u32)RegisterNames[i]) = load_bytes(value_at(RegisterValues, i), 8);
    vcpu_leave_door(Partition, VpIndex);
    return S_OK;
}
