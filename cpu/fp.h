/* SPDX-License-Identifier: MIT */
/*
 * Guest floating point on the unit of cpu/fp_unit.h: the host's own SSE and x87, or the portable one. While a
 * guest runs, the unit's MXCSR holds the guest's rounding, DAZ and FTZ with every exception masked, and its x87
 * control word the guest's rounding and precision with every exception masked; the unit's sticky flags then
 * accumulate the guest's, and are folded into cpu->mxcsr and cpu->x87.fsw by fp_sync(). Handlers for unmasked
 * exceptions (MODE_SSE_SLOW, MODE_X87_SLOW) look at the flags of each operation before they commit.
 */
#ifndef CPU_FP_H
#define CPU_FP_H

#include "state/vcpu.h"

#define MXCSR_IE (1u << 0)
#define MXCSR_DE (1u << 1)
#define MXCSR_ZE (1u << 2)
#define MXCSR_OE (1u << 3)
#define MXCSR_UE (1u << 4)
#define MXCSR_PE (1u << 5)
#define MXCSR_MASK_SHIFT 7  /* from a flag to its mask */
#define MXCSR_OM (1u << 10)
#define MXCSR_UM (1u << 11)
#define MXCSR_RC (3u << 13)
#define MXCSR_MM (1u << 17) /* AMD: memory operands of arithmetic needn't be aligned */

#if !defined(__x86_64__) && !defined(SWHP_PORTABLE_FP)
#define SWHP_PORTABLE_FP
#endif

/*
 * Loads the guest's control words / gives the host's back. Cheap where they are equal. Around each run of
 * blocks.
 */
void fp_enter(struct vcpu *cpu);
void fp_leave(struct vcpu *cpu);

/* From one guest to another, whose state is exact since fp_sync(): both without the host between them. */
void fp_switch(const struct vcpu *from, struct vcpu *to);

/*
 * Folds the host's sticky flags into cpu->mxcsr and cpu->x87.fsw: before anybody reads those two, or clears
 * flags there. They stay set in the host, whose flags are always some of the guest's, until fp_reload()
 * sees that the guest's are gone.
 */
void fp_sync(struct vcpu *cpu);

/*
 * After cpu->mxcsr, cpu->x87.fcw or flags were changed inside a run: loads them. Call mode_update() too
 * when masks changed.
 */
void fp_reload(struct vcpu *cpu);

/*
 * Brackets around the host's SSE instructions in a body: they do nothing while all exceptions are masked.
 * Else fp_check() raises where an unmasked exception was met, with the flags in cpu->mxcsr as the manual
 * wants them (SDM 1, 11.5.2); nothing of the instruction may have been committed. `kind` is of the result,
 * `size` its size in bytes: an exact result in the denormal range is an underflow too, which a host that
 * masks the exception doesn't tell.
 */
enum fp_kind { FP_OTHER, FP_F32, FP_F64 };

void fp_begin_slow(struct vcpu *cpu);
void fp_check_slow(struct vcpu *cpu, const void *result, enum fp_kind kind, unsigned size);

/*
 * What an instruction made in integers met, all lanes together: the flags of it become the guest's, and an
 * unmasked one is raised. Nothing may have been committed.
 */
void fp_flags(struct vcpu *cpu, u32 flags);

/*
 * Between the host's operation and fp_check(), where the result may be out of range: `a` and `b` are `size`
 * bytes of operands. cpu/fp_inexact.c.
 */
enum fp_operation { FP_NONE, FP_ADD, FP_SUBTRACT, FP_MULTIPLY, FP_DIVIDE, FP_NARROW };

void fp_settle_slow(struct vcpu *cpu, enum fp_operation operation, enum fp_kind kind, const void *a,
                    const void *b, unsigned size);

INLINE void fp_settle(struct vcpu *cpu, enum fp_operation operation, enum fp_kind kind, const void *a,
                       const void *b, unsigned size)
{
    if (__builtin_expect(cpu->mode & MODE_SSE_SLOW, 0) && operation != FP_NONE)
        fp_settle_slow(cpu, operation, kind, a, b, size);
}

INLINE void fp_begin(struct vcpu *cpu)
{
    if (__builtin_expect(cpu->mode & MODE_SSE_SLOW, 0))
        fp_begin_slow(cpu);
}

INLINE void fp_check(struct vcpu *cpu, const void *result, enum fp_kind kind, unsigned size)
{
    if (__builtin_expect(cpu->mode & MODE_SSE_SLOW, 0))
        fp_check_slow(cpu, result, kind, size);
}

#endif
