/* SPDX-License-Identifier: MIT */
/*
 * The local APIC's registers, and what follows from them alone: priorities, what a write leaves, when the timer fires.
 * AMD64 APM 2 16, Intel SDM 3A "Advanced programmable interrupt controller". What accesses bring about is cpu/apic.c.
 */
#ifndef STATE_APIC_H
#define STATE_APIC_H

#include "state/types.h"

struct vcpu;

/* Registers, by offset / 16 in the page, which is also the MSR less 800. */
enum apic_register {
    APIC_ID = 0x02,
    APIC_VERSION = 0x03,
    APIC_TPR = 0x08,
    APIC_APR = 0x09,
    APIC_PPR = 0x0a,
    APIC_EOI = 0x0b,
    APIC_LDR = 0x0d,
    APIC_DFR = 0x0e,
    APIC_SVR = 0x0f,
    APIC_ISR = 0x10, /* eight each */
    APIC_TMR = 0x18,
    APIC_IRR = 0x20,
    APIC_ESR = 0x28,
    APIC_ICR = 0x30,
    APIC_ICR_HIGH = 0x31,
    APIC_LVT_TIMER = 0x32,
    APIC_LVT_THERMAL = 0x33,
    APIC_LVT_PERFMON = 0x34,
    APIC_LVT_LINT0 = 0x35,
    APIC_LVT_LINT1 = 0x36,
    APIC_LVT_ERROR = 0x37,
    APIC_INITIAL_COUNT = 0x38,
    APIC_CURRENT_COUNT = 0x39,
    APIC_DIVIDE = 0x3e,
    APIC_SELF_IPI = 0x3f, /* x2APIC only */
    APIC_REGISTERS = 0x40,
    APIC_LVTS = APIC_LVT_ERROR - APIC_LVT_TIMER + 1
};

#define APIC_PAGE 0xfee00000u
#define APIC_BASE_BSP ((u64)1 << 8)
#define APIC_BASE_EXTD ((u64)1 << 10)
#define APIC_BASE_EN ((u64)1 << 11)

#define SVR_ENABLED (1u << 8)
#define LVT_MASKED (1u << 16)
#define LVT_PERIODIC (1u << 17)
#define LVT_DEADLINE (2u << 17)
#define LVT_TIMER_MODE (3u << 17)

#define STARTUP_SUSPEND ((u64)1) /* of vcpu.activity: waits for INIT and SIPI */
#define HALT_SUSPEND ((u64)2)    /* in HLT */
#define IDLE_SUSPEND ((u64)4)    /* by Hyper-V's GUEST_IDLE */

/* ICR. */
#define ICR_LOGICAL (1u << 11)
#define ICR_ASSERT (1u << 14)
#define ICR_LEVEL (1u << 15)

enum apic_delivery {
    DELIVER_FIXED = 0,
    DELIVER_LOWEST = 1,
    DELIVER_SMI = 2,
    DELIVER_REMOTE_READ = 3,
    DELIVER_NMI = 4,
    DELIVER_INIT = 5,
    DELIVER_SIPI = 6,
    DELIVER_EXTINT = 7,
    DELIVER_LINT1 = 9 /* the API's alone */
};

#define ESR_SEND_ILLEGAL (1u << 5)
#define ESR_RECEIVE_ILLEGAL (1u << 6)
#define ESR_ILLEGAL_REGISTER (1u << 7)

/* What others ask of the processor: bits of apic.signals. */
#define SIGNAL_NMI (1u << 0)   /* stays until it is delivered */
#define SIGNAL_INIT (1u << 1)
#define SIGNAL_SIPI (1u << 2)  /* with its vector in bits 8 to 15 */
#define SIGNAL_ERROR (1u << 3) /* an error was noted by whoever sent it: the LVT is to be looked at */
#define SIGNAL_LINT1 (1u << 4)
#define SIGNALS_ALL 0xff1fu

enum apic_mode { APIC_OFF, APIC_XAPIC, APIC_X2APIC };

/*
 * The timer: at the partition's tick `since` it had `count` to go, less the part of one count that `phase` tells, in
 * units of the ticks' frequency times the divider. So it is exact whatever the two frequencies are.
 */
struct apic_timer {
    u32 initial, count; /* count 0: it stands still */
    u64 since, phase;
    u64 deadline;       /* TSC_DEADLINE; 0: none */
};

struct apic {
    /* Anybody's, by atomic operations. */
    u32 irr[8], tmr[8];
    u32 signals;
    u32 errors;         /* what the next write to ESR will show */

    /* The processor's own; those who send to it read them by atomic loads. */
    u32 mode;           /* enum apic_mode */
    u32 id;             /* of xAPIC mode, 8 bits; in x2APIC mode it is vcpu.apic_id */
    u32 ldr, dfr, svr;
    u32 tpr;            /* vcpu.cr8 is its upper half */
    u32 isr[8];

    u32 esr;
    u64 icr;
    u32 lvt[APIC_LVTS];
    u32 divide;
    struct apic_timer timer;

    bool has_ext_int;   /* WHvRegisterPendingEvent, ExtInt */
    u8 ext_vector;

    /* An exit that a write asked for, left for by the loop before anything else happens. 0: none. */
    u32 trap_reason, trap_type;
    u64 trap_value;
};

/* ---- the whole ---- */

/* As after a reset; by_init: after an INIT, which keeps the mode and the ID. */
void apic_reset(struct vcpu *cpu, bool by_init);

/* APIC_BASE, as a WRMSR or the caller (who may do more) writes it. False: refused, nothing changed. */
bool apic_base_ok(const struct vcpu *cpu, u64 v, bool by_caller);
void apic_set_base(struct vcpu *cpu, u64 v, bool by_caller);

/* The ID in both modes; CPUID's is vcpu.apic_id, which is `id`, too. */
void apic_set_id(struct vcpu *cpu, u32 id);

/* ---- registers, without what accesses bring about ---- */

/* Has this mode the register, to read or to write? x2APIC's rules, which raise where xAPIC ignores. */
bool apic_x2_ok(const struct vcpu *cpu, unsigned n, u64 v, bool is_write);
bool apic_is_reserved(unsigned n); /* in the page */

u32 apic_read(struct vcpu *cpu, unsigned n);

/* Sets a register to what it is after a write of v, nothing else: the API's way, read-only state included. */
void apic_put(struct vcpu *cpu, unsigned n, u64 v);

/* ---- priorities ---- */

/* The highest vector of a bitmap, or -1. */
int apic_highest(const u32 bits[8]);
u32 apic_ppr(const struct apic *a);
u32 apic_arbitration(const struct apic *a); /* APR: also of others' */

/* The vector that would be delivered now if IF allows it; -1: none is above the processor's priority. */
int apic_deliverable(const struct apic *a);

INLINE bool apic_test(const u32 bits[8], unsigned v)
{
    return __atomic_load_n(&bits[v / 32], __ATOMIC_SEQ_CST) >> (v & 31) & 1;
}

INLINE void apic_clear_bit(u32 bits[8], unsigned v)
{
    __atomic_fetch_and(&bits[v / 32], ~(1u << (v & 31)), __ATOMIC_SEQ_CST);
}

INLINE u32 apic_set_bit(u32 bits[8], unsigned v) /* what the word was */
{
    return __atomic_fetch_or(&bits[v / 32], 1u << (v & 31), __ATOMIC_SEQ_CST);
}

/* Would a halted processor go on? And vcpu.activity as the next Run will find it. */
bool apic_wakes(struct vcpu *cpu);
u64 apic_activity(struct vcpu *cpu);

/* ---- the timer ---- */

/* Brings it up to now. True: it has expired since the last call. */
bool apic_timer_settle(struct vcpu *cpu);

/* How many ticks of the partition's clock until it raises its interrupt? False: it doesn't. */
bool apic_timer_next(struct vcpu *cpu, u64 *ticks);

u32 apic_timer_current(struct vcpu *cpu);
void apic_timer_start(struct vcpu *cpu, u32 initial);
void apic_timer_resume(struct vcpu *cpu, u32 current, u64 phase); /* goes on from there */
u64 apic_timer_phase(struct vcpu *cpu);
i128 apic_timer_expiry(const struct vcpu *cpu); /* of the count, by the virtual clock, in units: whenever it was settled */
void apic_timer_divide(struct vcpu *cpu, u32 v);
void apic_timer_mode(struct vcpu *cpu, u32 before); /* the LVT's mode was another one */
bool apic_has_deadline(const struct vcpu *cpu);     /* is there a TSC_DEADLINE? */
void apic_set_deadline(struct vcpu *cpu, u64 tsc);

#endif
