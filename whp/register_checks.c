/* SPDX-License-Identifier: MIT */
/* Which values each kind of register takes from a caller. Reference 3.4; what only Run can judge is in cpu/fault.c. */
#include "cpu/synthetic.h"
#include "mem/walk.h"
#include "state/meet.h"
#include "state/profile.h"
#include "whp/registers.h"

static HRESULT refuse(u32 name, u64 value, const char *why)
{
    return fail(HV_INVALID_REGISTER_VALUE, "register %#x: %#llx: %s", name, (unsigned long long)value, why);
}

/* Under the widest linear address that the processor can have; the entry checks know the mode. */
static bool may_be_canonical(const struct vcpu *cpu, u64 linear)
{
    return sign_extend(linear, cpu->partition->cr4_valid & CR4_LA57 ? 57 : 48) == linear;
}

static const char *check_xcr0(const struct vcpu *cpu, u64 v)
{
    if (v & ~(cpu->partition->xcr0_valid | 1))
        return "components that this processor lacks";
    if (!(v & 1))
        return "bit 0, the x87, must be set";
    if ((v & 4) && !(v & 2))
        return "AVX needs SSE";
    return NULL;
}

static const char *check_interruption(const WHV_X64_PENDING_INTERRUPTION_REGISTER *v)
{
    if (!v->InterruptionPending)
        return NULL;
    if (v->Reserved || v->NestedEvent)
        return "bits 9 to 15 must be zero";
    if (v->InterruptionVector > 255)
        return "the vector is above 255";
    switch (v->InterruptionType) {
    case EVENT_INTERRUPT:
    case EVENT_SOFTWARE_INTERRUPT: break;
    case EVENT_NMI:
        if (v->InterruptionVector != VECTOR_NMI)
            return "an NMI has vector 2";
        break;
    case EVENT_EXCEPTION:
    case EVENT_PRIVILEGED_SOFTWARE:
    case EVENT_SOFTWARE_EXCEPTION:
        if (v->InterruptionVector > 31)
            return "exceptions have vectors 0 to 31";
        break;
    default: return "there is no such InterruptionType";
    }
    if (v->DeliverErrorCode && v->InterruptionType != EVENT_EXCEPTION)
        return "only exceptions have error codes";
    return NULL;
}

static const char *check_ext_int(const struct vcpu *cpu, const WHV_X64_PENDING_EXT_INT_EVENT *v)
{
    if (!cpu->apic)
        return "ExtInt is for partitions that emulate a local APIC; use PendingInterruption";
    return v->Reserved0 || v->Reserved1 || v->Reserved2 ? "reserved bits must be zero" : NULL;
}

static const char *check_event(const struct vcpu *cpu, const WHV_X64_PENDING_EXCEPTION_EVENT *v)
{
    if (!v->EventPending)
        return NULL;
    if (v->EventType == WHvX64PendingEventExtInt)
        return check_ext_int(cpu, (const WHV_X64_PENDING_EXT_INT_EVENT *)v);
    if (v->EventType != WHvX64PendingEventException)
        return "there is no such EventType";
    if (v->Reserved0 || v->Reserved1)
        return "reserved bits must be zero";
    if (v->Vector > 31 || v->Vector == VECTOR_NMI)
        return "exceptions have vectors 0 to 31, but 2";
    return NULL;
}

static const char *check_msr(struct vcpu *cpu, u32 index, u64 v)
{
    u64 now = 0;

    if (msr_check(cpu, index, v) == MSR_DONE || (index == MSR_APIC_BASE && cpu->apic)) /* which has been checked */
        return NULL;
    return msr_read(cpu, index, &now) == MSR_DONE && now == v ? NULL : "WRMSR would refuse it with #GP";
}

/* Pages and the reference time are settled with all processors stopped. */
static bool needs_meeting(const struct vcpu *cpu, unsigned kind, u64 where)
{
    if (kind == KIND_SYNTHETIC)
        return where < HV_SCONTROL || where == HV_SIEFP || where == HV_SIMP;
    if (kind == KIND_TSC || (kind == KIND_64 && where == offsetof(struct vcpu, tsc_offset)))
        return cpu->partition->synthetic.has;
    return kind == KIND_SEQUENCE;
}

static const char *check_synthetic(struct vcpu *cpu, u32 index, u64 v)
{
    u64 now = 0;

    if (synthetic_check(cpu, index, v) == MSR_DONE)
        return NULL;
    return synthetic_read(cpu, index, &now) == MSR_DONE && now == v ? NULL : "WRMSR would refuse it with #GP";
}

static const char *check_notifications(const struct vcpu *cpu, u64 v)
{
    bool has_synic = synthetic_has(cpu->partition, SYNTHETIC_SYNIC) && cpu->synic;

    if (v >> 48 && !has_synic)
        return "synthetic interrupts, which the partition hasn't";
    return v & ~(u64)(0x3f | (u64)0xffff << 48) ? "reserved bits are set" : NULL;
}

static const char *check_value(struct vcpu *cpu, unsigned kind, u64 where, const WHV_REGISTER_VALUE *v)
{
    const struct partition *p = cpu->partition;
    u64 q = v->Reg64;

    switch ((enum kind)kind) {
    case KIND_RFLAGS: return q & ~(u64)RFLAGS_ALL ? "reserved bits are set" : NULL;
    case KIND_SEGMENT: return may_be_canonical(cpu, v->Segment.Base) ? NULL : "the base is not canonical";
    case KIND_TABLE: return may_be_canonical(cpu, v->Table.Base) ? NULL : "the base is not canonical";
    case KIND_CR0: return q >> 32 ? "bits 32 to 63 are reserved" : NULL;
    case KIND_CR3:
        return q & ~ones(cpu->partition->physical_width) ? "bits above the physical address's width are set"
                                                         : NULL;
    case KIND_CR4: return q & ~p->cr4_valid ? "bits that this processor lacks" : NULL;
    case KIND_CR8: return q > 15 ? "a task priority has 4 bits" : NULL;
    case KIND_DR: return where >= 6 && q >> 32 ? "bits 32 to 63 are reserved" : NULL;
    case KIND_XCR0: return check_xcr0(cpu, q);
    case KIND_MXCSR:
        return v->XmmControlStatus.XmmStatusControl & ~p->mxcsr_mask ? "MXCSR has reserved bits" : NULL;
    case KIND_EFER:
        return q & ~(p->efer_valid | EFER_LMA | EFER_LME) ? "bits that this processor lacks" : NULL;
    case KIND_APIC_ID: return q >> 32 ? "an APIC ID has 32 bits" : NULL;
    case KIND_MSR: return check_msr(cpu, (u32)where, q);
    case KIND_INTERRUPTION: return check_interruption(&v->PendingInterruption);
    case KIND_INTERRUPT_STATE: return q & ~(u64)3 ? "reserved bits are set" : NULL;
    case KIND_EVENT: return check_event(cpu, &v->ExceptionEvent);
    case KIND_NO_EVENT: return q & 1 ? "events of this register come with nested virtualization" : NULL;
    case KIND_SYNTHETIC: return check_synthetic(cpu, (u32)where, q);
    case KIND_SEQUENCE: return q >> 32 ? "a sequence has 32 bits" : NULL;
    case KIND_NOTIFICATIONS: return check_notifications(cpu, q);
    case KIND_DEBUG: return q & ~(u64)0x1f ? "reserved bits are set" : NULL;
    case KIND_PKRU:
    case KIND_FP_SELECTORS: return q >> 32 ? "it has 32 bits" : NULL;
    case KIND_FEATURES:
        return q != p->features || v->Reg128.High64 != p->xsave_features ? "features are the partition's properties"
                                                                         : NULL;
    case KIND_IGNNE:
    case KIND_SHADOW_SS: return q > 1 ? "it is 0 or 1" : NULL;
    case KIND_PDPTE: return walk_pdpte_ok(cpu, q) ? NULL : "reserved bits are set";
    default: return NULL;
    }
}

HRESULT register_check(struct vcpu *cpu, unsigned kind, u64 where, u32 name, const WHV_REGISTER_VALUE *v)
{
    if (kind == KIND_ACTIVITY && v->Reg64 && cpu->apic) {
        bool has_idle = synthetic_has(cpu->partition, SYNTHETIC_IDLE);

        return v->Reg64 & ~(STARTUP_SUSPEND | HALT_SUSPEND | (has_idle ? IDLE_SUSPEND : 0))
                   ? refuse(name, v->Reg64, "no such suspension, or IdleSuspend without GUEST_IDLE")
                   : S_OK;
    }
    if (needs_meeting(cpu, kind, where) && meet_is_inside(cpu->partition))
        return fail(WHV_E_INVALID_VP_STATE, "register %#x: this thread runs one of the partition's processors", name);
    if (kind == KIND_MSR && where == MSR_APIC_BASE && cpu->apic && !apic_base_ok(cpu, v->Reg64, true))
        return fail(HV_INVALID_PARAMETER, "register %#x: %#llx: no state that this partition's APIC can be in", name,
                    (unsigned long long)v->Reg64);
    if (kind == KIND_ACTIVITY && v->Reg64)
        return fail(HV_ACCESS_DENIED, "register %#x: without a local APIC nothing would end a suspension",
                    name);

    const char *why = check_value(cpu, kind, where, v);

    return why ? refuse(name, kind == KIND_MXCSR ? v->Reg128.High64 : v->Reg64, why) : S_OK;
}
