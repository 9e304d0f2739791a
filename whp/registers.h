/* SPDX-License-Identifier: MIT */
/* Registers by their names in the API. registers.c has the table, register_values.c what each kind's value looks like,
 * register_checks.c which values are taken. */
#ifndef WHP_REGISTERS_H
#define WHP_REGISTERS_H

#include "state/vcpu.h"
#include "whp/error.h"

enum kind {
    KIND_64, /* 64 bits of struct vcpu at `where` */
    KIND_RFLAGS,
    KIND_SEGMENT, /* `where`: its number */
    KIND_TABLE,
    KIND_CR0,
    KIND_CR3,
    KIND_CR4,
    KIND_CR8,
    KIND_DR, /* `where`: its number */
    KIND_XCR0,
    KIND_XMM,
    KIND_FP_SELECTORS,
    KIND_FEATURES,
    KIND_IGNNE,
    KIND_SHADOW_SS,
    KIND_PDPTE, /* `where`: its number */
    KIND_ST,
    KIND_X87_STATUS,
    KIND_MXCSR,
    KIND_TSC,
    KIND_EFER,
    KIND_APIC_ID,
    KIND_INTERRUPTION,
    KIND_INTERRUPT_STATE,
    KIND_EVENT,
    KIND_NO_EVENT,
    KIND_NOTIFICATIONS,
    KIND_ACTIVITY,
    KIND_DEBUG,
    KIND_OPTIONAL,  /* from here on: not there in each partition, or not with each name of the row */
    KIND_YMM_HIGH = KIND_OPTIONAL,
    KIND_PKRU,
    KIND_MSR,       /* `where`: its index; what state/msr.c doesn't know isn't there */
    KIND_APIC,      /* `where`: its number; in the table bit n for the n-th name: it exists, where a local APIC does */
    KIND_SYNTHETIC, /* `where`: the number of its MSR; without the feature it isn't there */
    KIND_SEQUENCE   /* of the reference TSC page */
};

/* What is to be made so after registers were set. */
enum { EFFECT_MODE = 1, EFFECT_TLB = 2, EFFECT_PDPTES = 4, EFFECT_EVENT = 8, EFFECT_OWN_PDPTES = 16 };

/*
 * The 16 bytes of a WHV_REGISTER_VALUE, in the host's registers: by memory, small stores and a large load
 * would stall.
 */
struct register_bytes {
    u64 low, high;
};

/* Pending debug traps, B0 to B3 and BS, as PendingDebugException has them, and as DR6 will. */
INLINE u64 debug_shown(u64 pending)
{
    return (pending & 15) | (pending & DR6_BS ? 16 : 0);
}

INLINE u64 debug_pending(u64 shown)
{
    return (shown & 15) | (shown & 16 ? DR6_BS : 0);
}

/* Reading changes nothing and can't fail. */
struct register_bytes register_read(struct vcpu *cpu, unsigned kind, u64 where);

/* Would the value be taken? Says why not. */
HRESULT register_check(struct vcpu *cpu, unsigned kind, u64 where, u32 name, const WHV_REGISTER_VALUE *v);

/* Sets a checked value; returns effects. */
unsigned register_write(struct vcpu *cpu, unsigned kind, u64 where, const WHV_REGISTER_VALUE *v);

void registers_settle(struct vcpu *cpu, unsigned effects);

#endif
