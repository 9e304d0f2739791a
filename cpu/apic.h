/* SPDX-License-Identifier: MIT */
/* The local APIC at work: accesses to its registers, messages between processors, delivery, sleep. */
#ifndef CPU_APIC_H
#define CPU_APIC_H

#include "state/partition.h"
#include "state/profile.h"
#include "state/vcpu.h"

/* vcpu.apic_access: an access to the page, of any offset and size. Beside registers, reads are zero, writes nothing. */
void apic_access(struct vcpu *cpu, u32 offset, u8 *bytes, unsigned size, bool is_write);

/* MSRs 800 to 8FF. */
INLINE bool apic_is_msr(const struct vcpu *cpu, u32 index)
{
    return index - 0x800 < 0x100 && cpu->apic;
}
enum msr_result apic_msr_read(struct vcpu *cpu, u32 index, u64 *value);
enum msr_result apic_msr_write(struct vcpu *cpu, u32 index, u64 value);

/* An access of the guest to a register by another way than these. The ICR's upper half is the caller's affair in xAPIC mode. */
u64 apic_register_read(struct vcpu *cpu, unsigned n);
void apic_register_write(struct vcpu *cpu, unsigned n, u64 v);

/* ---- messages, from any thread ---- */

/* An edge-triggered interrupt from inside the platform; lost where software has disabled the APIC. */
void apic_raise(struct vcpu *cpu, u8 vector);

struct apic_message {
    u8 delivery; /* enum apic_delivery */
    u8 vector;
    bool is_level, is_logical;
    u32 destination, broadcast; /* broadcast: the destination that is everybody's for who sends */
};

/* Is the processor addressed? */
bool apic_matches(const struct vcpu *cpu, const struct apic_message *m);

/* To all of these (NULL: none there) that are addressed, or to the one of lowest priority. They stay meanwhile. */
void apic_send(struct vcpu *const *cpus, u32 n, const struct apic_message *m);

/* ---- the run loop; all where cpu->apic ---- */

/* Leaves for the exit that a write to a register asked for, if one did. */
void apic_leave_for_trap(struct vcpu *cpu);

/*
 * At an instruction boundary: takes INIT and SIPI, brings the timer up to now, sets cpu->stop, wakes or sleeps. False:
 * the processor doesn't execute, look again.
 */
bool apic_attend(struct vcpu *cpu);

/* The part of it that comes before sleep: is the processor awake now? */
bool apic_rouse(struct vcpu *cpu);

/* Could the timer's interrupt end a processor's sleep, and in how many ticks of the clock? */
bool apic_timer_wakes(struct vcpu *cpu, u64 *ticks);

/* Counts of the virtual clock until so many ticks have passed. */
u64 apic_counts_of(const struct partition *p, u64 ticks);

/* Delivers an NMI or an interrupt that may come now. True: it did. */
bool apic_deliver(struct vcpu *cpu);

/* A local source, by its LVT, raises its interrupt unless it is masked there. */
void apic_fire(struct vcpu *cpu, unsigned lvt);

/* Lets the timer expire if it has by now: before what rules it changes. */
void apic_catch_up(struct vcpu *cpu);

/* The same for all of its timers whose interrupts only the IRR tells of, so that what it tells doesn't depend on who looked
 * when. While the processor stands still, or waits for its turn on this thread. */
void apic_settle(struct vcpu *cpu);

/* Is there anything that a change of RFLAGS or of priorities could let in? */
bool apic_is_waiting(const struct vcpu *cpu);

#endif
