/* SPDX-License-Identifier: MIT */
/*
 * The host's floating-point control words while a guest runs: loading them, and fetching the sticky flags
 * back.
 */
#include "cpu/fp.h"

#include "cpu/fp_unit.h"

#define FSW_FLAGS 0x3fu

/*
 * What the host's MXCSR is to be: the guest's rounding and DAZ, no flags, all masked. FTZ acts with
 * underflow masked only.
 */
static u32 mxcsr_for(const struct vcpu *cpu)
{
    u32 v = MXCSR_MASKS | (cpu->mxcsr & (MXCSR_RC | MXCSR_DAZ));

    return v | (cpu->mxcsr & MXCSR_UM ? cpu->mxcsr & MXCSR_FTZ : 0);
}

static u16 fcw_for(const struct vcpu *cpu)
{
    return (u16)((cpu->x87.fcw & 0xf3f) | 0x7f);
}

/*
 * Reading MXCSR soon after loading it takes some 50 ns, so what isn't needed isn't loaded: flags may stay
 * in the host that the guest has set anyway, and calls needn't preserve flags for the host's code (only
 * control bits).
 */
static void load(const struct vcpu *cpu, u32 mxcsr, u16 fcw)
{
    u32 want = mxcsr_for(cpu);

    if ((mxcsr & ~MXCSR_FLAGS) != want || (mxcsr & MXCSR_FLAGS & ~cpu->mxcsr))
        fpu_ldmxcsr(want);
    if (fcw != fcw_for(cpu))
        fpu_fldcw(fcw_for(cpu));
    if (fpu_fnstsw() & FSW_FLAGS & ~cpu->x87.fsw)
        fpu_fnclex();
}

void fp_enter(struct vcpu *cpu)
{
    cpu->host_mxcsr = fpu_stmxcsr();
    cpu->host_fcw = fpu_fnstcw();
    load(cpu, cpu->host_mxcsr, cpu->host_fcw);
}

void fp_sync(struct vcpu *cpu)
{
    cpu->mxcsr |= fpu_stmxcsr() & MXCSR_FLAGS;
    cpu->x87.fsw |= fpu_fnstsw() & FSW_FLAGS;
}

void fp_leave(struct vcpu *cpu)
{
    u32 mxcsr = fpu_stmxcsr();
    u16 fsw = fpu_fnstsw() & FSW_FLAGS;

    cpu->mxcsr |= mxcsr & MXCSR_FLAGS;
    cpu->x87.fsw |= fsw;
    if ((mxcsr ^ cpu->host_mxcsr) & ~MXCSR_FLAGS)
        fpu_ldmxcsr(cpu->host_mxcsr);
    if (fpu_fnstcw() != cpu->host_fcw) {
        if (fsw & ~cpu->host_fcw)
            fpu_fnclex(); /* they would trap */
        fpu_fldcw(cpu->host_fcw);
    }
}

void fp_reload(struct vcpu *cpu)
{
    load(cpu, fpu_stmxcsr(), fpu_fnstcw());
}

void fp_switch(const struct vcpu *from, struct vcpu *to)
{
    to->host_mxcsr = from->host_mxcsr;
    to->host_fcw = from->host_fcw;
    fp_reload(to);
}

void fp_begin_slow(struct vcpu *cpu)
{
    u32 mxcsr = fpu_stmxcsr();

    if (mxcsr & MXCSR_FLAGS) {
        cpu->mxcsr |= mxcsr & MXCSR_FLAGS;
        fpu_ldmxcsr(mxcsr & ~MXCSR_FLAGS);
    }
}

static bool has_denormal(const void *result, enum fp_kind kind, unsigned size)
{
    const char *p = result;

    for (unsigned at = 0; kind == FP_F32 && at < size; at += 4) {
        u64 v = load_bytes(p + at, 4) << 1; /* without the sign */

        if ((u32)v && !(v >> 24 & 0xff))
            return true;
    }
    for (unsigned at = 0; kind == FP_F64 && at < size; at += 8) {
        u64 v = load_bytes(p + at, 8) << 1;

        if (v && !(v >> 53))
            return true;
    }
    return false;
}

void fp_flags(struct vcpu *cpu, u32 flags)
{
    u32 unmasked = ~(cpu->mxcsr >> MXCSR_MASK_SHIFT) & MXCSR_FLAGS;
    u32 before = flags & (MXCSR_IE | MXCSR_DE | MXCSR_ZE);

    if (before & unmasked)
        flags = before; /* found before computing, which then didn't take place */
    cpu->mxcsr |= flags;
    if (flags & unmasked)
        vcpu_raise(cpu, cpu->cr4 & CR4_OSXMMEXCPT ? VECTOR_XM : VECTOR_UD, 0);
}

void fp_check_slow(struct vcpu *cpu, const void *result, enum fp_kind kind, unsigned size)
{
    u32 mxcsr = fpu_stmxcsr(), flags = mxcsr & MXCSR_FLAGS;

    if (flags)
        fpu_ldmxcsr(mxcsr & ~MXCSR_FLAGS);
    if (!(cpu->mxcsr & MXCSR_UM) && has_denormal(result, kind, size))
        flags |= MXCSR_UE;
    fp_flags(cpu, flags);
}
