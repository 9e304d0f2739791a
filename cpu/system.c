/* SPDX-License-Identifier: MIT */
/*
 * What the processor says of itself, and what exits by the caller's choice: CPUID, time, MSRs, HLT, keys,
 * bases.
 */
#include "cpu/apic.h"
#include "cpu/handler.h"
#include "cpu/synthetic.h"
#include "exits/exit.h"
#include "mem/tlb.h"
#include "state/clock.h"
#include "state/partition.h"
#include "state/profile.h"

body_fn op_hlt, op_cpuid, op_rdtsc, op_rdtscp, op_rdpru, op_rdmsr, op_wrmsr, op_rdpkru, op_wrpkru, op_rdfsbase,
    op_rdgsbase, op_wrfsbase, op_wrgsbase;

/* HLT has happened when the caller hears of it: RIP is past it. */
void op_hlt(CPU, IN)
{
    (void)in;
    cpu->at = NULL;
    if (cpu->apic) { /* sleeps inside Run */
        cpu->activity |= HALT_SUSPEND;
        __atomic_fetch_or(&cpu->attention, (u32)ATTENTION_APIC, __ATOMIC_SEQ_CST);
        return;
    }
    exit_halt(cpu);
}

static bool cpuid_exits(const struct vcpu *cpu, u32 leaf)
{
    const struct partition *p = cpu->partition;

    if (!p->exits.X64CpuidExit)
        return false;
    if (!p->has_cpuid_list)
        return true;
    for (u32 i = 0; i < p->cpuid_listed; i++)
        if (p->cpuid_list[i] == leaf)
            return true;
    return false;
}

void op_cpuid(CPU, IN)
{
    u32 leaf = (u32)cpu->gpr[RAX], out[4];

    (void)in;
    profile_cpuid(cpu, leaf, (u32)cpu->gpr[RCX], out);
    if (cpuid_exits(cpu, leaf)) {
        exit_cpuid(cpu, out);
        return;
    }
    cpu->gpr[RAX] = out[0];
    cpu->gpr[RBX] = out[1];
    cpu->gpr[RCX] = out[2];
    cpu->gpr[RDX] = out[3];
}

static void put_pair(CPU, u64 v)
{
    cpu->gpr[RAX] = (u32)v;
    cpu->gpr[RDX] = v >> 32;
}

static void read_time(CPU, bool is_rdtscp)
{
    u64 tsc;

    if ((cpu->cr4 & CR4_TSD) && cpu->cpl != 0 && !in_real_mode(cpu))
        vcpu_raise(cpu, VECTOR_GP, 0);
    tsc = clock_tsc(cpu);
    if (cpu->partition->exits.X64RdtscExit)
        exit_rdtsc(cpu, tsc, is_rdtscp);
    put_pair(cpu, tsc);
    if (is_rdtscp)
        cpu->gpr[RCX] = (u32)cpu->tsc_aux;
}

void op_rdtsc(CPU, IN)
{
    (void)in;
    read_time(cpu, false);
}

void op_rdtscp(CPU, IN)
{
    (void)in;
    read_time(cpu, true);
}

/*
 * APM 3: register 0 is MPERF, 1 is APERF; others read zero. CR4.TSD makes it the supervisor's, by #UD. The exit of RDTSC
 * isn't for it.
 */
void op_rdpru(CPU, IN)
{
    u32 number = (u32)cpu->gpr[RCX];

    (void)in;
    if ((cpu->cr4 & CR4_TSD) && cpu->cpl != 0)
        vcpu_raise(cpu, VECTOR_UD, 0);
    put_pair(cpu, number > 1 ? 0 : clock_ticks(cpu) + (number ? cpu->aperf_offset : cpu->mperf_offset));
}

#define MSR_PATCH_LEVEL 0x8bu
#define MSR_MISC_ENABLE 0x1a0u

/* MSRs that we know and whose accesses the caller asked for all the same: reference 4.6. */
static bool msr_exits(const struct vcpu *cpu, u32 index, bool is_write)
{
    const struct partition *p = cpu->partition;

    if (!p->exits.X64MsrExit)
        return false;
    switch (index) {
    case MSR_TSC: return is_write ? p->msr_bitmap.TscMsrWrite : p->msr_bitmap.TscMsrRead;
    case MSR_APIC_BASE: return is_write && p->msr_bitmap.ApicBaseMsrWrite;
    case MSR_MISC_ENABLE: return !is_write && p->msr_bitmap.MiscEnableMsrRead;
    case MSR_PATCH_LEVEL: return !is_write && p->msr_bitmap.McUpdatePatchLevelMsrRead;
    default: return false;
    }
}

enum { NOT_LISTED = -1 };

/* The caller's WHV_MSR_ACTION for an access: reference 2.2, 2.5. */
static int msr_action(const struct partition *p, u32 index, bool is_write)
{
    for (u32 i = 0; i < p->msr_listed; i++)
        if (p->msr_actions[i].Index == index)
            return is_write ? p->msr_actions[i].WriteAction : p->msr_actions[i].ReadAction;
    return NOT_LISTED;
}

/* Leaves if the caller asked for it. True: the access is nothing, and reads 0. All exits need X64MsrExit. */
static bool msr_is_void(CPU, int action, u32 index, bool is_write)
{
    if (action == WHvMsrActionExit && cpu->partition->exits.X64MsrExit)
        exit_msr(cpu, index, is_write);
    if (action != WHvMsrActionIgnoreWriteReadZero && msr_exits(cpu, index, is_write))
        exit_msr(cpu, index, is_write);
    return action == WHvMsrActionIgnoreWriteReadZero;
}

/* Raises or leaves unless it was done, or is to be nothing. */
static void settle_msr(CPU, enum msr_result result, int action, u32 index, bool is_write)
{
    const struct partition *p = cpu->partition;
    bool leaves = p->msr_bitmap.UnhandledMsrs;

    if (result == MSR_DONE)
        return;
    if (result == MSR_UNKNOWN && action == NOT_LISTED && p->unknown_msr == WHvMsrActionIgnoreWriteReadZero)
        return;
    if (action == NOT_LISTED && p->unknown_msr == WHvMsrActionExit)
        leaves = true;
    if (result == MSR_UNKNOWN && p->exits.X64MsrExit && leaves)
        exit_msr(cpu, index, is_write);
    vcpu_raise(cpu, VECTOR_GP, 0);
}

/* The local APIC's and Hyper-V's have files of their own. */
static enum msr_result read_any(CPU, u32 index, u64 *value)
{
    if (apic_is_msr(cpu, index))
        return apic_msr_read(cpu, index, value);
    return synthetic_is_msr(cpu, index) ? synthetic_read(cpu, index, value) : msr_read(cpu, index, value);
}

static enum msr_result write_any(CPU, u32 index, u64 value)
{
    if (apic_is_msr(cpu, index))
        return apic_msr_write(cpu, index, value);
    return synthetic_is_msr(cpu, index) ? synthetic_write(cpu, index, value) : msr_write(cpu, index, value);
}

void op_rdmsr(CPU, IN)
{
    u32 index = (u32)cpu->gpr[RCX];
    u64 value = 0;
    int action = msr_action(cpu->partition, index, false);

    (void)in;
    if (!msr_is_void(cpu, action, index, false))
        settle_msr(cpu, read_any(cpu, index, &value), action, index, false);
    put_pair(cpu, value);
    if (unlikely(index == HV_GUEST_IDLE) && action != WHvMsrActionIgnoreWriteReadZero &&
        synthetic_is_there(cpu->partition, index))
        synthetic_idle(cpu);
}

/* MSRs that the APIC's timer, or all of it, depends on. */
static bool rules_apic(const struct vcpu *cpu, u32 index)
{
    return cpu->apic && (index == MSR_TSC || index == MSR_TSC_DEADLINE || index == MSR_APIC_BASE);
}

void op_wrmsr(CPU, IN)
{
    u32 index = (u32)cpu->gpr[RCX];
    u64 value = cpu->gpr[RDX] << 32 | (u32)cpu->gpr[RAX];
    u64 efer = cpu->efer;

    int action = msr_action(cpu->partition, index, true);

    (void)in;
    if (msr_is_void(cpu, action, index, true))
        return;
    if (rules_apic(cpu, index))
        apic_catch_up(cpu);
    settle_msr(cpu, write_any(cpu, index, value), action, index, true);
    if (rules_apic(cpu, index))
        __atomic_fetch_or(&cpu->attention, (u32)ATTENTION_APIC, __ATOMIC_SEQ_CST);
    if (index == MSR_TSC)
        synthetic_tsc_moved(cpu);
    if (cpu->efer != efer) {
        tlb_flush(cpu, false);
        mode_update(cpu);
    } else if (index == MSR_PAT || (index == MSR_APIC_BASE && cpu->apic)) {
        tlb_flush(cpu, false);
    }
}

static void check_keys(CPU)
{
    if (!(cpu->cr4 & CR4_PKE))
        vcpu_raise(cpu, VECTOR_UD, 0);
    if ((u32)cpu->gpr[RCX] != 0)
        vcpu_raise(cpu, VECTOR_GP, 0);
}

void op_rdpkru(CPU, IN)
{
    (void)in;
    check_keys(cpu);
    put_pair(cpu, cpu->pkru);
}

void op_wrpkru(CPU, IN)
{
    (void)in;
    check_keys(cpu);
    if ((u32)cpu->gpr[RDX] != 0)
        vcpu_raise(cpu, VECTOR_GP, 0);
    if (cpu->pkru == (u32)cpu->gpr[RAX])
        return;
    cpu->pkru = (u32)cpu->gpr[RAX];
    tlb_flush(cpu, false);
}

static void read_base(CPU, IN, unsigned segment)
{
    if (!(cpu->cr4 & CR4_FSGSBASE))
        vcpu_raise(cpu, VECTOR_UD, 0);
    reg_write(cpu, in->dst, width_bits(in->width), cpu->seg[segment].base);
}

static void write_base(CPU, IN, unsigned segment)
{
    u64 base = reg_read(cpu, in->dst, width_bits(in->width));

    if (!(cpu->cr4 & CR4_FSGSBASE))
        vcpu_raise(cpu, VECTOR_UD, 0);
    if (!is_canonical(cpu, base))
        vcpu_raise(cpu, VECTOR_GP, 0);
    cpu->seg[segment].base = base;
}

void op_rdfsbase(CPU, IN)
{
    read_base(cpu, in, FS);
}

void op_rdgsbase(CPU, IN)
{
    read_base(cpu, in, GS);
}

void op_wrfsbase(CPU, IN)
{
    write_base(cpu, in, FS);
}

void op_wrgsbase(CPU, IN)
{
    write_base(cpu, in, GS);
}
