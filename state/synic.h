/* SPDX-License-Identifier: MIT */
/*
 * Hyper-V's interface to its guests, as the property SyntheticProcessorFeaturesBanks asks for it: what there is of it, and
 * the state of the synthetic interrupt controller. Hypervisor Top-Level Functional Specification (TLFS). What accesses bring
 * about is cpu/synthetic.c and cpu/synic.c.
 */
#ifndef STATE_SYNIC_H
#define STATE_SYNIC_H

#include "state/host.h"
#include "state/types.h"

struct vcpu;
struct partition;

/* Bits of WHV_SYNTHETIC_PROCESSOR_FEATURES: reference 2.8. */
enum synthetic_feature {
    SYNTHETIC_PRESENT = 0,
    SYNTHETIC_HV1 = 1,
    SYNTHETIC_RUNTIME = 2,
    SYNTHETIC_REFERENCE_COUNTER = 3,
    SYNTHETIC_SYNIC = 4,
    SYNTHETIC_TIMERS = 5,
    SYNTHETIC_APIC = 6,
    SYNTHETIC_HYPERCALLS = 7,
    SYNTHETIC_VP_INDEX = 8,
    SYNTHETIC_REFERENCE_TSC = 9,
    SYNTHETIC_IDLE = 10,
    SYNTHETIC_FREQUENCIES = 11,
    SYNTHETIC_LONG_RANGES = 15, /* EnableExtendedGvaRangesForFlushVirtualAddressList */
    SYNTHETIC_DIRECT_TIMERS = 22,
    SYNTHETIC_SETS = 24,        /* ExtendedProcessorMasks */
    SYNTHETIC_FLUSH = 25,
    SYNTHETIC_IPI = 26,
    SYNTHETIC_SPIN = 27,
    SYNTHETIC_SIGNAL = 29
};

/* All that there is here. */
#define SYNTHETIC_OFFERED                                                                                              \
    (0xfffull | 1ull << SYNTHETIC_LONG_RANGES | 1ull << SYNTHETIC_DIRECT_TIMERS | 1ull << SYNTHETIC_SETS |             \
     1ull << SYNTHETIC_FLUSH | 1ull << SYNTHETIC_IPI | 1ull << SYNTHETIC_SPIN | 1ull << SYNTHETIC_SIGNAL)

enum synthetic_msr {
    HV_GUEST_OS_ID = 0x40000000,
    HV_HYPERCALL = 0x40000001,
    HV_VP_INDEX = 0x40000002,
    HV_VP_RUNTIME = 0x40000010,
    HV_TIME_REF_COUNT = 0x40000020,
    HV_REFERENCE_TSC = 0x40000021,
    HV_TSC_FREQUENCY = 0x40000022,
    HV_APIC_FREQUENCY = 0x40000023,
    HV_EOI = 0x40000070,
    HV_ICR = 0x40000071,
    HV_TPR = 0x40000072,
    HV_VP_ASSIST_PAGE = 0x40000073,
    HV_SCONTROL = 0x40000080,
    HV_SVERSION = 0x40000081,
    HV_SIEFP = 0x40000082,
    HV_SIMP = 0x40000083,
    HV_EOM = 0x40000084,
    HV_SINT0 = 0x40000090,
    HV_SINT15 = 0x4000009f,
    HV_STIMER0_CONFIG = 0x400000b0, /* and COUNT behind it; four of the two */
    HV_STIMER3_COUNT = 0x400000b7,
    HV_GUEST_IDLE = 0x400000f0
};

#define HV_PAGE_ENABLED ((u64)1)     /* of the MSRs that place a page */
#define HV_HYPERCALL_LOCKED ((u64)2)

#define SINT_MASKED ((u64)1 << 16)
#define SINT_AUTO_EOI ((u64)1 << 17)
#define SINT_POLLING ((u64)1 << 18)

#define STIMER_ENABLED ((u64)1 << 0)
#define STIMER_PERIODIC ((u64)1 << 1)
#define STIMER_LAZY ((u64)1 << 2)
#define STIMER_AUTO_ENABLE ((u64)1 << 3)
#define STIMER_DIRECT ((u64)1 << 12)

enum {
    SYNIC_SOURCES = 16,
    SYNIC_TIMERS = 4,
    SYNIC_FLAGS = 2048, /* event flags of a source */
    MESSAGE_SIZE = 256,
    MESSAGE_PENDING = 1 /* bit of a message's flags: another one waits behind it */
};

struct synic_timer {
    u64 config, count;
    u64 due;        /* armed: the reference time of its next expiration */
    bool is_armed;
    bool is_queued; /* it has expired at `expired`, and its message waits for the slot of `source` to become free */
    u8 source;
    u64 expired;
};

/* A processor's. Who posts to it, from any thread, holds `lock`, and so does the processor where it changes these. */
struct synic {
    u32 lock;
    u64 control, event_page, message_page, assist_page; /* MSRs */
    u64 source[SYNIC_SOURCES];
    u32 auto_eoi[8];         /* vectors that end by themselves when they are delivered */
    struct synic_timer timer[SYNIC_TIMERS]; /* the processor's own */
    u8 *pages;               /* three of the host: enum synic_page */
};

/* Held for a few stores; never across anything that may leave. */
INLINE void synic_lock(struct synic *s)
{
    while (__atomic_exchange_n(&s->lock, 1, __ATOMIC_ACQUIRE))
        host_yield();
}

INLINE void synic_unlock(struct synic *s)
{
    __atomic_store_n(&s->lock, 0, __ATOMIC_RELEASE);
}

enum synic_page { PAGE_ASSIST, PAGE_MESSAGES, PAGE_EVENTS, SYNIC_PAGES };

/* A partition's. The MSRs are set while no processor runs, and read by atomic loads. */
struct synthetic {
    u64 asked;               /* WHV_SYNTHETIC_PROCESSOR_FEATURES as the caller set it */
    u64 has;                 /* what is there of it, from Setup on */
    u64 guest_os_id, hypercall, reference_tsc;
    u32 sequence;            /* of the reference TSC page; 0: its formula doesn't hold for all processors */
    u64 scale, tsc_offset;   /* reference time = ((ticks + tsc_offset) * scale >> 64) + an offset; scale 0: 64 bits are too few for it */
    u8 *pages;               /* two of the host: the hypercall page, the reference TSC page */
};

enum { PAGE_HYPERCALL, PAGE_REFERENCE_TSC, SYNTHETIC_PAGES };

/* At Setup: what is there of what was asked for, and what it needs. */
void synthetic_settle(struct partition *p);

/* Leaves 40000000 to 400000FF. */
void synthetic_cpuid(const struct vcpu *cpu, u32 leaf, u32 out[4]);

/* Is there an MSR of that number? */
bool synthetic_is_there(const struct partition *p, u32 index);

/* As after a reset; the pages' places in the guest's memory are the caller's affair. */
void synic_reset(struct vcpu *cpu);

INLINE u8 *synic_page(const struct synic *s, enum synic_page n)
{
    return s->pages + (size_t)n * PAGE_SIZE;
}

/* ---- timers: state/synic_timer.c ---- */

/* As a write to the MSRs; the reference time is now. */
bool synic_timer_may_be(const struct partition *p, u64 config);
void synic_timer_configure(struct synic_timer *t, u64 config, u64 now);
void synic_timer_count(struct synic_timer *t, u64 count, u64 now);

/* Brings it up to now. True: it has expired, once or more, since the last call; *when: the last time. */
bool synic_timer_settle(struct synic_timer *t, u64 now, u64 *when);

/* How many ticks of the partition's clock until the first of those armed timers that `wanted` has a bit for? False: none. */
bool synic_timer_next(struct vcpu *cpu, u32 wanted, u64 *ticks);

#endif
