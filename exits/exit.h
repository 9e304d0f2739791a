/* SPDX-License-Identifier: MIT */
/*
 * How a processor leaves: one function per exit reason. Each fills the caller's WHV_RUN_VP_EXIT_CONTEXT.
 * RIP stands where the reference's section 4.2 says: at the instruction under way (cpu->at), which has
 * not happened, except for HLT, whose caller moves RIP first.
 */
#ifndef EXITS_EXIT_H
#define EXITS_EXIT_H

#include "state/vcpu.h"

/* access: 0 read, 1 write, 2 execute. has_linear: the access had a linear address (else a page-table access). */
NORETURN void exit_memory(struct vcpu *cpu, u64 gpa, u64 linear, bool has_linear, unsigned access, bool unmapped);
NORETURN void exit_unrecoverable(struct vcpu *cpu);
NORETURN void exit_invalid_state(struct vcpu *cpu, const char *rule, ...) __attribute__((format(printf, 2, 3)));
NORETURN void exit_unsupported(struct vcpu *cpu, u32 feature, u64 parameter);
NORETURN void exit_interrupt_window(struct vcpu *cpu, u32 type);
NORETURN void exit_msr(struct vcpu *cpu, u32 index, bool is_write);
NORETURN void exit_exception(struct vcpu *cpu, const struct event *event);
NORETURN void exit_rdtsc(struct vcpu *cpu, u64 tsc, bool is_rdtscp);
NORETURN void exit_count(struct vcpu *cpu);
NORETURN void exit_ferr_freeze(struct vcpu *cpu);
NORETURN void exit_canceled(struct vcpu *cpu);
NORETURN void exit_apic(struct vcpu *cpu, u32 reason, u32 type, u64 value); /* ApicEoi, the traps */

NORETURN void exit_synic_sint(struct vcpu *cpu, u16 sources);
NORETURN void exit_hypercall(struct vcpu *cpu);

/*
 * These return, to the body of an instruction that ENDS its block, which returns at once too: a landing loses what
 * the host predicted of returns, a third of the cost of an exit.
 */
void exit_io(struct vcpu *cpu, u16 port, unsigned size, bool is_write, bool string, bool rep);
void exit_halt(struct vcpu *cpu);
void exit_cpuid(struct vcpu *cpu, const u32 defaults[4]);

/* Adds a line to what SwhpExplainLastExit tells; explain_clear() at the start of each story. */
void explain(struct vcpu *cpu, const char *format, ...) __attribute__((format(printf, 2, 3)));
void explain_clear(struct vcpu *cpu);

#endif
