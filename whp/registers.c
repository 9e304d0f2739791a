/* SPDX-License-Identifier: MIT */
/* The table of register names, and WHvGet- and WHvSetVirtualProcessorRegisters on it. */
#include "whp/registers.h"

#include <stdlib.h>

#include "cpu/apic.h"
#include "include/softwhp.h"
#include "state/partition.h"
#include "state/profile.h"
#include "whp/handle.h"
#include "whp/level.h"

#define AT(field) offsetof(struct vcpu, field)

/* Local APIC registers that have names, by offset / 16. */
#define APIC_NAMES                                                                                           \
    (1ull << 0x02 | 1ull << 0x03 | 1ull << 0x08 | 1ull << 0x0a | 1ull << 0x0b | 1ull << 0x0d |               \
     1ull << 0x0f | 0x1ffffffull << 0x10 | 1ull << 0x30 | 0xffull << 0x32 | 3ull << 0x3e)

/* A run of names of one kind. */
struct row {
    u32 first;
    u8 count;
    u8 kind;
    u8 step; /* from one's `where` to the next's */
    u64 where;
};

#define ROWS(X)                                                                                              \
    X(WHvX64RegisterRax, 16, KIND_64, 8, AT(gpr))                                                            \
    X(WHvX64RegisterRip, 1, KIND_64, 0, AT(rip))                                                             \
    X(WHvX64RegisterRflags, 1, KIND_RFLAGS, 0, 0)                                                            \
    X(WHvX64RegisterEs, 8, KIND_SEGMENT, 1, ES)                                                              \
    X(WHvX64RegisterIdtr, 1, KIND_TABLE, 0, AT(idtr))                                                        \
    X(WHvX64RegisterGdtr, 1, KIND_TABLE, 0, AT(gdtr))                                                        \
    X(WHvX64RegisterCr0, 1, KIND_CR0, 0, 0)                                                                  \
    X(WHvX64RegisterCr2, 1, KIND_64, 0, AT(cr2))                                                             \
    X(WHvX64RegisterCr3, 1, KIND_CR3, 0, 0)                                                                  \
    X(WHvX64RegisterCr4, 1, KIND_CR4, 0, 0)                                                                  \
    X(WHvX64RegisterCr8, 1, KIND_CR8, 0, 0)                                                                  \
    X(WHvX64RegisterDr0, 4, KIND_DR, 1, 0)                                                                   \
    X(WHvX64RegisterDr6, 2, KIND_DR, 1, 6)                                                                   \
    X(WHvX64RegisterXCr0, 1, KIND_XCR0, 0, 0)                                                                \
    X(WHvX64RegisterXmm0, 16, KIND_XMM, 1, 0)                                                                \
    X(WHvX64RegisterFpMmx0, 8, KIND_ST, 1, 0)                                                                \
    X(WHvX64RegisterFpControlStatus, 1, KIND_X87_STATUS, 0, 0)                                               \
    X(WHvX64RegisterXmmControlStatus, 1, KIND_MXCSR, 0, 0)                                                   \
    X(WHvX64RegisterTsc, 1, KIND_TSC, 0, 0)                                                                  \
    X(WHvX64RegisterEfer, 1, KIND_EFER, 0, 0)                                                                \
    X(WHvX64RegisterKernelGsBase, 1, KIND_MSR, 0, MSR_KERNEL_GS_BASE)                                        \
    X(WHvX64RegisterApicBase, 1, KIND_MSR, 0, MSR_APIC_BASE)                                                 \
    X(WHvX64RegisterPat, 1, KIND_MSR, 0, MSR_PAT)                                                            \
    X(WHvX64RegisterSysenterCs, 1, KIND_MSR, 0, MSR_SYSENTER_CS)                                             \
    X(WHvX64RegisterSysenterEip, 1, KIND_MSR, 0, MSR_SYSENTER_EIP)                                           \
    X(WHvX64RegisterSysenterEsp, 1, KIND_MSR, 0, MSR_SYSENTER_ESP)                                           \
    X(WHvX64RegisterStar, 4, KIND_MSR, 1, MSR_STAR) /* and LSTAR, CSTAR, SFMASK */                           \
    X(WHvX64RegisterInitialApicId, 1, KIND_APIC_ID, 0, 0)                                                    \
    X(WHvX64RegisterMsrMtrrCap, 1, KIND_MSR, 0, 0xfe)                                                        \
    X(WHvX64RegisterMsrMtrrDefType, 1, KIND_MSR, 0, 0x2ff)                                                   \
    X(WHvX64RegisterMsrMtrrPhysBase0, 16, KIND_MSR, 2, 0x200)                                                \
    X(WHvX64RegisterMsrMtrrPhysMask0, 16, KIND_MSR, 2, 0x201)                                                \
    X(WHvX64RegisterMsrMtrrFix64k00000, 1, KIND_MSR, 0, 0x250)                                               \
    X(WHvX64RegisterMsrMtrrFix16k80000, 2, KIND_MSR, 1, 0x258)                                               \
    X(WHvX64RegisterMsrMtrrFix4kC0000, 8, KIND_MSR, 1, 0x268)                                                \
    X(WHvX64RegisterTscAux, 1, KIND_MSR, 0, MSR_TSC_AUX)                                                     \
    X(WHvX64RegisterBndcfgs, 1, KIND_MSR, 0, 0xd90)                                                          \
    X(WHvX64RegisterMCount, 2, KIND_MSR, 1, 0xe7) /* MPERF, APERF */                                         \
    X(WHvX64RegisterSpecCtrl, 2, KIND_MSR, 1, 0x48) /* and PRED_CMD */                                       \
    X(WHvX64RegisterTscVirtualOffset, 1, KIND_64, 0, AT(tsc_offset))                                         \
    X(WHvX64RegisterTsxCtrl, 1, KIND_MSR, 0, 0x122)                                                          \
    X(WHvX64RegisterXss, 1, KIND_MSR, 0, 0xda0)                                                              \
    X(WHvX64RegisterUCet, 1, KIND_MSR, 0, 0x6a0)                                                             \
    X(WHvX64RegisterSCet, 1, KIND_MSR, 0, 0x6a2)                                                             \
    X(WHvX64RegisterPl0Ssp, 5, KIND_MSR, 1, 0x6a4) /* to INTERRUPT_SSP_TABLE_ADDR */                         \
    X(WHvX64RegisterTscDeadline, 1, KIND_MSR, 0, 0x6e0)                                                      \
    X(WHvX64RegisterTscAdjust, 1, KIND_MSR, 0, 0x3b)                                                         \
    X(WHvX64RegisterUmwaitControl, 1, KIND_MSR, 0, 0xe1)                                                     \
    X(WHvX64RegisterXfd, 2, KIND_MSR, 1, 0x1c4)                                                              \
    X(WHvX64RegisterMsrIa32MiscEnable, 1, KIND_MSR, 0, 0x1a0)                                                \
    X(WHvX64RegisterIa32FeatureControl, 1, KIND_MSR, 0, 0x3a)                                                \
    X(WHvX64RegisterAmdVmHsavePa, 1, KIND_MSR, 0, 0xc0010117)                                                \
    X(WHvX64RegisterAmdVmCr, 1, KIND_MSR, 0, 0xc0010114)                                                     \
    X(0x3000, 64, KIND_APIC, 0, APIC_NAMES)                                                                  \
    X(WHvRegisterSint0, 16, KIND_SYNTHETIC, 1, HV_SINT0)                                                     \
    X(WHvRegisterScontrol, 5, KIND_SYNTHETIC, 1, HV_SCONTROL) /* to EOM */                                   \
    X(WHvRegisterVpRuntime, 1, KIND_SYNTHETIC, 0, HV_VP_RUNTIME)                                             \
    X(WHvX64RegisterHypercall, 1, KIND_SYNTHETIC, 0, HV_HYPERCALL)                                           \
    X(WHvRegisterGuestOsId, 1, KIND_SYNTHETIC, 0, HV_GUEST_OS_ID)                                            \
    X(WHvRegisterVpAssistPage, 1, KIND_SYNTHETIC, 0, HV_VP_ASSIST_PAGE)                                      \
    X(WHvRegisterReferenceTsc, 1, KIND_SYNTHETIC, 0, HV_REFERENCE_TSC)                                       \
    X(WHvRegisterReferenceTscSequence, 1, KIND_SEQUENCE, 0, HV_REFERENCE_TSC)                                \
    X(WHvRegisterPendingInterruption, 1, KIND_INTERRUPTION, 0, 0)                                            \
    X(WHvRegisterInterruptState, 1, KIND_INTERRUPT_STATE, 0, 0)                                              \
    X(WHvRegisterPendingEvent, 1, KIND_EVENT, 0, 0)                                                          \
    X(WHvRegisterPendingEvent1, 1, KIND_NO_EVENT, 0, 0)                                                      \
    X(WHvX64RegisterDeliverabilityNotifications, 1, KIND_NOTIFICATIONS, 0, 0)                                \
    X(WHvRegisterInternalActivityState, 1, KIND_ACTIVITY, 0, 0)                                              \
    X(WHvX64RegisterPendingDebugException, 1, KIND_DEBUG, 0, 0)                                              \
    X(SwhpX64RegisterYmmHigh0, 16, KIND_YMM_HIGH, 1, 0)                                                      \
    X(SwhpX64RegisterPkru, 1, KIND_PKRU, 0, 0)                                                               \
    X(SwhpX64RegisterFpSelectors, 1, KIND_FP_SELECTORS, 0, 0)                                                \
    X(SwhpX64RegisterFeatures, 1, KIND_FEATURES, 0, 0)                                                       \
    X(SwhpX64RegisterIgnne, 1, KIND_IGNNE, 0, 0)                                                             \
    X(SwhpX64RegisterShadowSs, 1, KIND_SHADOW_SS, 0, 0)                                                      \
    X(SwhpX64RegisterPdpte0, 4, KIND_PDPTE, 1, 0)

#define ROW_NUMBER(first, ...) ROW_##first,
#define ROW(first, ...) { first, __VA_ARGS__ },

/*
 * Where a name stands in the index: names come in groups of up to 256, by their upper bits, 16 that begin with the
 * highest one, and 32 of our own.
 */
enum { GROUPS = 6, INDEX_HIGH = GROUPS * 256, INDEX_OWN = INDEX_HIGH + 16, INDICES = INDEX_OWN + 32 };
#define INDEX(name)                                                                                          \
    ((u32)(name) >> 31             ? INDEX_HIGH + ((u32)(name) & 15)                                         \
     : (u32)(name) >> 16 == 0x5357 ? INDEX_OWN + ((u32)(name) & 31)                                          \
                                   : ((u32)(name) >> 12) * 256 + ((u32)(name) & 255))
#define INDEXED(first, count, ...) [INDEX(first) ... INDEX(first) + count - 1] = ROW_##first,

enum { ROW_NONE, ROWS(ROW_NUMBER) };
static const struct row rows[] = { { 0 }, ROWS(ROW) };
static const u8 row_of[INDICES] = { ROWS(INDEXED) };

/* Does this processor have the nth name of a row that is KIND_OPTIONAL? */
static bool is_there(struct vcpu *cpu, const struct row *row, u32 n, u64 where)
{
    u64 ignored;

    switch (row->kind) {
    case KIND_YMM_HIGH: return has(&cpu->partition->has, HAS_AVX);
    case KIND_PKRU: return has(&cpu->partition->has, HAS_PKU);
    case KIND_MSR: return msr_read(cpu, (u32)where, &ignored) != MSR_UNKNOWN;
    case KIND_APIC: return row->where >> n & 1;
    default: return synthetic_is_there(cpu->partition, (u32)where);
    }
}

/* The row of a name, and `where` of the one register. NULL: this processor has none of that name. */
INLINE const struct row *find(struct vcpu *cpu, u32 name, u64 *where)
{
    u32 index = INDEX(name);

    if (unlikely(index >= sizeof row_of))
        return NULL;

    const struct row *row = &rows[row_of[index]];
    u32 n = name - row->first;

    if (unlikely(n >= row->count))
        return NULL;
    if (unlikely(cpu->partition->api_level < LEVEL_NEWEST) && level_of_register(name) > cpu->partition->api_level)
        return NULL;
    *where = row->where + (u64)n * row->step;
    if (row->kind >= KIND_OPTIONAL) {
        if (!is_there(cpu, row, n, *where))
            return NULL;
        if (row->kind == KIND_APIC)
            *where = n;
    }
    return row;
}

/* Callers may align their arrays as they like. */
static void *value_at(const void *values, u32 n)
{
    return (char *)(uintptr_t)values + (size_t)n * sizeof(WHV_REGISTER_VALUE);
}

/* How many names at the start are of general registers and RIP, which any value fits? */
INLINE u32 count_general(const WHV_REGISTER_NAME *names, u32 count)
{
    u32 n = 0;

    while (n < count && (u32)names[n] <= WHvX64RegisterRip)
        n++;
    return n;
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

/* Is everything there that is asked for? Errors come before anything is written. */
static HRESULT check_names(struct vcpu *cpu, const WHV_REGISTER_NAME *names, u32 from, u32 count)
{
    u64 where;

    for (u32 i = from; i < count; i++) {
        if ((u32)names[i] <= WHvX64RegisterXCr0) /* a whole group, in any processor */
            continue;

        const struct row *row = find(cpu, (u32)names[i], &where);

        if (!row)
            return no_such_register(i, (u32)names[i]);
        if (row->kind == KIND_APIC && !cpu->apic)
            return denied(i, (u32)names[i]);
    }
    return S_OK;
}

static HRESULT get_any(struct vcpu *cpu, const WHV_REGISTER_NAME *names, u32 from, u32 count, void *values)
{
    bool is_held = counts_hold(cpu->partition);
    HRESULT hr = S_OK;
    u64 where;

    for (u32 i = from; i < count && SUCCEEDED(hr); i++) {
        u32 name = (u32)names[i];
        const struct row *row = find(cpu, name, &where);

        if (row) {
            struct register_bytes v = register_read(cpu, row->kind, where);

            memcpy(value_at(values, i), &v, sizeof v);
        } else { /* the names were changed meanwhile by another thread of the caller */
            hr = no_such_register(i, name);
        }
    }
    counts_release(cpu->partition, is_held);
    return hr;
}

/* One of a batch, as it was checked: what the caller's arrays hold by then may be something else. */
struct setting {
    u64 where;
    unsigned kind;
    WHV_REGISTER_VALUE v;
};

static HRESULT check_one(struct vcpu *cpu, u32 n, u32 name, const void *value, struct setting *s)
{
    const struct row *row = find(cpu, name, &s->where);

    if (!row)
        return no_such_register(n, name);
    if (row->kind == KIND_APIC && !cpu->apic)
        return denied(n, name);
    s->kind = row->kind;
    memcpy(&s->v, value, sizeof s->v);
    return register_check(cpu, s->kind, s->where, name, &s->v);
}

/* Timers that have expired by now did so under what is about to change, though nobody has looked yet. */
static bool any_moves_timers(const struct setting *all, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        const struct setting *s = &all[i];

        if (s->kind == KIND_APIC || s->kind == KIND_TSC ||
            (s->kind == KIND_64 && s->where == offsetof(struct vcpu, tsc_offset)) ||
            (s->kind == KIND_MSR && (s->where == MSR_APIC_BASE || s->where == MSR_TSC_DEADLINE)))
            return true;
    }
    return false;
}

static NOINLINE HRESULT set_any(struct vcpu *cpu, const WHV_REGISTER_NAME *names, u32 count, const void *values)
{
    enum { FEW = 96 }; /* all that a client saves */
    struct setting few[FEW], *all = count <= FEW ? few : malloc(count * sizeof *all);
    HRESULT hr = all ? S_OK : fail(E_OUTOFMEMORY, "RegisterCount: no memory for %u registers", count);
    bool is_held = counts_hold(cpu->partition);
    unsigned effects = 0;

    for (u32 i = 0; i < count && SUCCEEDED(hr); i++)
        hr = check_one(cpu, i, (u32)names[i], value_at(values, i), &all[i]);
    if (SUCCEEDED(hr)) {
        if (cpu->apic && any_moves_timers(all, count))
            apic_settle(cpu);
        for (u32 i = 0; i < count; i++)
            effects |= register_write(cpu, all[i].kind, all[i].where, &all[i].v);
        registers_settle(cpu, effects);
    }
    counts_release(cpu->partition, is_held);
    if (all != few)
        free(all);
    return hr;
}

/* The two are called around each exit, so what callers mostly ask for goes straight. */

INLINE HRESULT get(struct vcpu *cpu, const WHV_REGISTER_NAME *names, u32 count, void *values)
{
    u32 n = count_general(names, count);

    if (n < count) {
        HRESULT hr = check_names(cpu, names, n, count);

        if (FAILED(hr))
            return hr;
    }
    for (u32 i = 0; i < n; i++) {
        u64 v[2] = { *general(cpu, (u32)names[i]), 0 };

        memcpy(value_at(values, i), v, sizeof v);
    }
    return n < count ? get_any(cpu, names, n, count, values) : S_OK;
}

INLINE HRESULT set(struct vcpu *cpu, const WHV_REGISTER_NAME *names, u32 count, const void *values)
{
    if (unlikely(count_general(names, count) < count))
        return set_any(cpu, names, count, values);
    for (u32 i = 0; i < count; i++)
        *general(cpu, (u32)names[i]) = load_bytes(value_at(values, i), 8);
    return S_OK;
}

/* The processor runs, somebody else looks at it, or there is none. */

static COLD HRESULT get_slow(WHV_PARTITION_HANDLE handle, u32 index, const WHV_REGISTER_NAME *names,
                             u32 count, void *values)
{
    struct reading r;
    HRESULT hr = vcpu_read_begin(handle, index, &r);

    if (FAILED(hr))
        return hr;
    hr = get(r.cpu, names, count, values);
    vcpu_read_end(&r);
    return hr;
}

static COLD HRESULT set_slow(WHV_PARTITION_HANDLE handle, u32 index, const WHV_REGISTER_NAME *names,
                             u32 count, const void *values)
{
    struct vcpu *cpu;
    HRESULT hr = vcpu_enter(handle, index, &cpu);

    if (FAILED(hr))
        return hr;
    hr = set(cpu, names, count, values);
    vcpu_leave_door(handle, index);
    return hr;
}

static COLD HRESULT fail_null(void)
{
    return fail(E_POINTER, "RegisterNames or RegisterValues is NULL");
}

HRESULT WINAPI WHvGetVirtualProcessorRegisters(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                               const WHV_REGISTER_NAME *RegisterNames, UINT32 RegisterCount,
                                               WHV_REGISTER_VALUE *RegisterValues)
{
    struct vcpu *cpu;

    if (unlikely(RegisterCount && (!RegisterNames || !RegisterValues)))
        return fail_null();
    if (unlikely(!vcpu_try_enter(Partition, VpIndex, DOOR_BUSY, &cpu)))
        return get_slow(Partition, VpIndex, RegisterNames, RegisterCount, RegisterValues);

    HRESULT hr = get(cpu, RegisterNames, RegisterCount, RegisterValues);

    vcpu_leave_door(Partition, VpIndex);
    return hr;
}

HRESULT WINAPI WHvSetVirtualProcessorRegisters(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                               const WHV_REGISTER_NAME *RegisterNames, UINT32 RegisterCount,
                                               const WHV_REGISTER_VALUE *RegisterValues)
{
    struct vcpu *cpu;

    if (unlikely(RegisterCount && (!RegisterNames || !RegisterValues)))
        return fail_null();
    if (unlikely(!vcpu_try_enter(Partition, VpIndex, DOOR_BUSY, &cpu)))
        return set_slow(Partition, VpIndex, RegisterNames, RegisterCount, RegisterValues);

    HRESULT hr = set(cpu, RegisterNames, RegisterCount, RegisterValues);

    vcpu_leave_door(Partition, VpIndex);
    return hr;
}
