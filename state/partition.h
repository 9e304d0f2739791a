/* SPDX-License-Identifier: MIT */
/* A partition: its properties, its memory, its processors. */
#ifndef STATE_PARTITION_H
#define STATE_PARTITION_H

#include "include/softwhp.h"
#include "state/feature.h"
#include "state/host.h"
#include "state/synic.h"
#include "state/types.h"

struct vcpu;
struct ram;
struct profile;
struct door;
struct ports;

/* Several processors rely on a host whose memory order is x86's. */
#ifdef __x86_64__
enum { MAX_PROCESSORS = 64 };
#else
enum { MAX_PROCESSORS = 1 };
#endif

struct cpuid_result {      /* WHV_X64_CPUID_RESULT */
    u32 function, eax, ebx, ecx, edx;
};

struct cpuid_mask {        /* WHV_X64_CPUID_RESULT2: EAX EBX ECX EDX become (what they are & ~mask) | value */
    u32 function, subleaf, processor;
    bool is_of_subleaf, is_of_processor;
    u32 value[4], mask[4];
};

/* SwhpRunPartition: one thread runs all processors in turns. cpu/turns.c. */
struct turns {
    u32 now;                      /* atomic: 1 + the index of the processor that executes; 0: nobody is inside */
    u32 asleep;                   /* atomic: the thread waits, since all of them sleep; the host waits on it */
    bool is_parked;               /* under partition->lock: the thread stands still, for a meeting */
    u32 whose;                    /* the processor whose turn it is */
    u64 rest;                     /* counts left of that turn; 0: the next one is to be drawn */
    u64 draws;                    /* the state of the turns' own generator */
};

struct partition {
    const struct profile *profile;
    struct ram *ram;
    struct vcpu *cpu[MAX_PROCESSORS];
    struct door *doors;           /* MAX_PROCESSORS of them: state/meet.h */
    struct ports *ports;          /* doorbells and event ports, state/port.h; NULL: there never were any */
    u32 processors;               /* the ProcessorCount property; 0: not set yet */
    bool is_set_up;

    u32 api_level;                /* whp/level.h; 0 in those that no API made */
    u32 api_needed;               /* the oldest level that has all that was set */
    WHV_EXTENDED_VM_EXITS exits;
    u64 exception_bitmap;
    WHV_X64_MSR_EXIT_BITMAP msr_bitmap;
    bool has_cpuid_list;          /* else every leaf exits */
    u32 *cpuid_list;
    u32 cpuid_listed;
    struct cpuid_result *cpuid_results;
    u32 cpuid_resulted;
    struct cpuid_mask *cpuid_masks;
    u32 cpuid_masked;
    WHV_MSR_ACTION_ENTRY *msr_actions;
    u32 msr_listed;
    u32 unknown_msr;              /* WHV_MSR_ACTION for MSRs that nobody has or lists */
    u32 physical_width;           /* bits of a guest-physical address */
    u64 features, features1, xsave_features; /* the API's banks, and what follows from them: */
    struct features has;
    u64 cr4_valid, efer_valid, xcr0_valid;   /* bits that may be set; others are reserved */
    u32 mxcsr_mask;
    struct synthetic synthetic;

    u32 clock;                    /* SWHP_CLOCK */
    u32 rate;                     /* TSC ticks for one count */
    u64 frequency;                /* TSC ticks a second */
    u64 interrupt_frequency;      /* of the APIC timer's input */
    u32 apic_mode;                /* WHV_X64_LOCAL_APIC_EMULATION_MODE */
    u64 advanced;                 /* counts that SwhpAdvanceClock added, and those of deleted processors */
    u64 host_start;               /* host clock, atomic: the host's nanoseconds at creation; see state/clock.c */
    u64 seed, random;             /* random: the generator's state */
    u32 undefined;                /* SWHP_UNDEFINED_RESULTS */

    SWHP_TRACE_CALLBACK trace;
    void *trace_context;
    u32 trace_kinds;

    struct host_lock lock;        /* the map of memory, the processors' list, rendezvous */
    struct host_condition met;
    u32 generation;               /* of the memory map */
    u32 meeting;                  /* atomic: processors stand still, or are about to */
    u32 meeting_depth;            /* how often its holder has begun it */
    const void *met_by;           /* atomic: its holder's thread_mark(); NULL: nobody */
    u32 created;                  /* processors that exist; atomic */
    struct turns turns;

    u64 reference_offset;         /* ReferenceTime as the caller set it, less what the clock said then */
    bool is_suspended;            /* atomic; time stands still until the next Run */
    bool is_special;              /* atomic: it is suspended, or has exit contexts of an old level; Run looks closer */
    u16 numa_node;                /* hints that a caller may read back */
    u32 separate_domain;
    void *trace_file;             /* the FILE that SOFTWHP=trace= asked for */
};

#endif
