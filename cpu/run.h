/* SPDX-License-Identifier: MIT */
/* The run loop. */
#ifndef CPU_RUN_H
#define CPU_RUN_H

#include "state/vcpu.h"

/* Runs the guest until something concerns the caller, and fills *cpu->exit (224 bytes, made zero first). cpu->until is the
 * count to stop at. The caller owns the processor. */
void vcpu_run(struct vcpu *cpu);

/* ---- one turn among others on the same thread, for cpu/turns.c: cpu->in_turns ---- */

/* What cpu->exit_reason is at the end of a turn that is no exit: the count is reached, it sleeps, or ATTENTION_TURN. */
#define TURN_OVER 0xffffffffu

/* Runs to an exit or to TURN_OVER, at the count `until` at the latest. Its floating-point control words are loaded. The
 * first time after cpu->entered was cleared also does what an entry of Run does. Gives the reason. */
u32 vcpu_turn(struct vcpu *cpu, u64 until);

/* Looks whether a sleeping processor wakes, without executing anything: TURN_OVER, or an exit. */
u32 vcpu_look(struct vcpu *cpu);

/* The exit for a count that is reached. */
void vcpu_leave_by_count(struct vcpu *cpu);

/* Ends the turn, between two instructions. */
NORETURN void turn_over(struct vcpu *cpu);

/* In pieces that the compiler clears by a few stores: for the whole it would take REP STOS, which costs more than an exit. */
INLINE void clear_exit(WHV_RUN_VP_EXIT_CONTEXT *x)
{
    char *p = (char *)x;

    memset(p, 0, 56);
    memset(p + 56, 0, 56);
    memset(p + 112, 0, 56);
    memset(p + 168, 0, 56);
}

_Static_assert(sizeof(WHV_RUN_VP_EXIT_CONTEXT) == 224, "cleared whole");

#endif
