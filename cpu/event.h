/* SPDX-License-Identifier: MIT */
/* Exceptions and interrupts: from a vector to the handler's first instruction. */
#ifndef CPU_EVENT_H
#define CPU_EVENT_H

#include "state/vcpu.h"

/*
 * Delivers one event through the IDT (or the real-mode vector table), all forms of gates and stacks. RIP
 * stands at the instruction to push, also for software events, which push the address behind it
 * (event->length); but inside the body of INT n and the like (cpu->at is set) it is past the instruction
 * already. Counts one when done, but not for those, which have been counted. A fault on the way raises (or
 * leaves, with InterruptionPending) with cpu->in_delivery set and the event in cpu->delivering.
 */
void event_deliver(struct vcpu *cpu, const struct event *event);

/* RFLAGS as the delivery under way saves them, on a stack or in a TSS: with RF for a fault. */
u64 event_flags(const struct vcpu *cpu);

/*
 * Takes cpu->fault, which an instruction or a delivery raised: leaves as an Exception exit where the caller
 * intercepts it, composes double faults with what was being delivered, leaves as UnrecoverableException on
 * the third, delivers otherwise (CR2, DR6, RF).
 */
void event_fault(struct vcpu *cpu);

/*
 * The checks of a virtual machine's entry, once per Run: leaves as InvalidVpRegisterValue, telling which rule
 * was broken.
 */
void event_check_state(struct vcpu *cpu);

#endif
