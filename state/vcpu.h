/* SPDX-License-Identifier: MIT */
/*
 * A virtual processor: all that it is. One thread at a time runs it, and only that thread touches it, but for
 * the few fields marked as anybody's.
 */
#ifndef STATE_VCPU_H
#define STATE_VCPU_H

#include "include/WinHvPlatform.h"
#include "state/fetched.h"
#include "state/apic.h"
#include "state/insn.h"
#include "state/synic.h"
#include "state/types.h"
#include "state/x86.h"

struct partition;

struct segment {
    u64 base;
    u32 limit;      /* in bytes, inclusive, already scaled */
    u16 selector;
    u16 attributes; /* SEG_*: as WHV_X64_SEGMENT_REGISTER; P = 0 is an unusable segment */
};

struct table {
    u64 base;
    u16 limit;
};

/*
 * One translation: each right has a tag, the linear address of the page where the right is there and nobody needs to
 * see the access, else TLB_NONE. Linear + addend is the host's address.
 */
struct tlb_entry {
    u64 read, write;
    u64 gpa; /* of the page */
    u64 addend;
};

enum { TLB_ENTRIES = 1024 };
#define TLB_NONE ((u64)1) /* no page-aligned address equals it */
#define TLB_OFFSET(linear) ((linear) >> 7 & (u64)((TLB_ENTRIES - 1) << 5))

/* Rights differ by who asks: each asker has a bank, and changing CPL only changes the bank. */
enum tlb_bank {
    BANK_SUPERVISOR,     /* CPL 0 to 2, and implicit supervisor accesses */
    BANK_SUPERVISOR_AC,  /* the same with RFLAGS.AC, which lifts SMAP */
    BANK_USER,           /* CPL 3 */
    BANK_NONE,           /* always empty: every access takes the slow path (alignment checks) */
    BANKS
};

/* What a hit doesn't need to know. */
struct tlb_note {
    u64 read, write; /* tags of rights whose use somebody wants to see; the entry's addend serves them too */
    u64 leave_read, leave_write; /* tags of rights that the guest's tables give and the map of its memory doesn't */
};

/* Each used slot stands in a list, in each at most once: a flush costs what was used. */
struct tlb {
    struct tlb_entry entry[TLB_ENTRIES];
    struct tlb_note note[TLB_ENTRIES];
    u16 state[TLB_ENTRIES];         /* mem/tlb.c: which lists a slot stands in, and its page's size */
    u16 locals[TLB_ENTRIES];        /* slots filled since the last flush of any kind */
    u16 globals[TLB_ENTRIES];       /* slots filled from global pages since the last flush of all */
    u16 larges[TLB_ENTRIES];        /* slots that held a piece of a page larger than 4 KiB */
    u32 locals_used, globals_used, larges_used;
};

/* An 80-bit register of the x87; MMX registers are the mantissas. */
struct x87_register {
    u64 mantissa;
    u16 sign_exponent;
};

struct x87 {
    _Alignas(16) struct x87_register physical[8];
    u16 fcw;
    u16 fsw;     /* with TOP zero; see top */
    u8 top;      /* physical number of ST(0) */
    u8 valid;    /* bit p: physical register p is not empty */
    u16 fop;
    u16 fcs, fds;
    u64 fip, fdp;
};

/* Vector registers: XMM is the low 16 bytes, YMM the low 32. */
union vector {
    _Alignas(64) u8 b[64];
    u16 w[32];
    u32 d[16];
    u64 q[8];
    float f32[16];
    double f64[8];
};

/*
 * What XRSTOR loaded last, and from where: XSAVEOPT and XSAVES to the same place needn't write what still is so.
 * Intel SDM 1, 13.6: XRSTOR_INFO and XMODIFIED_BM.
 */
struct restored {
    u64 linear, layout;
    u64 components;  /* 0: nothing was loaded, or it doesn't count any more */
    u8 cpl;
    struct x87 x87;
    u32 mxcsr, pkru;
    u8 ymm[16][32];
};

/* Rows of vcpu.counters. The first ones are those of WHV_PROCESSOR_INTERCEPT_COUNTERS, in its order: nothing that
 * doesn't leave is intercepted here, so several stay 0. */
enum counter {
    COUNT_IO = 2,
    COUNT_HALT,
    COUNT_CPUID,
    COUNT_MSR,
    COUNT_OTHER,
    COUNT_WINDOW,
    COUNT_PAGE_FAULT = 10, /* exception exits for #PF */
    COUNT_MEMORY,
    COUNT_HYPERCALL,
    INTERCEPTS = 14,

    COUNT_FAULTED_PAGES = INTERCEPTS, /* what the guest's handlers got: #PF, exceptions (with #PF), interrupts */
    COUNT_EXCEPTIONS,
    COUNT_INTERRUPTS,

    COUNT_APIC_PAGE, /* accesses to the registers' page; then what was done there or by MSR, in the order of the set */
    COUNT_APIC_EOI,
    COUNT_APIC_TPR,
    COUNT_APIC_IPI,
    COUNT_APIC_SELF, /* of those: to itself, by the shorthand or SELF IPI */

    COUNT_SYNTHETIC, /* synthetic interrupts (anybody's, atomic), and hypercalls by kind, in the order of the set */
    COUNT_CALL_SPIN,
    COUNT_CALL_OTHER,
    COUNT_CALL_SYNTHETIC,
    COUNT_CALL_INTERRUPT,
    COUNT_CALL_MMU,
    COUNTERS
};

/* What kind of thing is being delivered (WHV_X64_PENDING_INTERRUPTION_TYPE, and VMX's numbers for software events). */
enum event_type {
    EVENT_INTERRUPT = 0,
    EVENT_NMI = 2,
    EVENT_EXCEPTION = 3,
    EVENT_SOFTWARE_INTERRUPT = 4,  /* INT n */
    EVENT_PRIVILEGED_SOFTWARE = 5, /* INT1 */
    EVENT_SOFTWARE_EXCEPTION = 6   /* INT3, INTO */
};

struct event {
    bool pending;
    u8 type;        /* enum event_type */
    u8 vector;
    bool has_error;
    bool injected;  /* by the caller, who isn't asked again whether it wants the exit */
    u8 length;      /* of the instruction, for software events: the pushed RIP is past it */
    u32 error;
    u64 parameter;  /* #PF: the linear address, for CR2; #DB: bits for DR6 */
};

/* Why the run loop must not go straight on: bits of vcpu.attention. Anybody sets those marked so, by vcpu_call(). */
enum attention {
    ATTENTION_CANCEL = 1 << 0,     /* anybody: leave as Canceled */
    ATTENTION_MEET = 1 << 1,       /* anybody: pass a rendezvous */
    ATTENTION_CODE = 1 << 2,       /* this processor overwrote code: stale[] */
    ATTENTION_EVENT = 1 << 3,      /* something below may be deliverable: events, notifications, shadows */
    ATTENTION_DEBUG = 1 << 4,      /* a data or I/O breakpoint matched: #DB after this instruction */
    ATTENTION_TLB = 1 << 5,        /* anybody: the map of guest memory changed */
    ATTENTION_DOUBT = 1 << 6,      /* anybody: another processor overwrote code */
    ATTENTION_APIC = 1 << 7,       /* anybody: the local APIC has something to do before the next instruction */
    ATTENTION_TURN = 1 << 8,       /* anybody: another processor of this thread has something to do, or a PAUSE: cpu/turns.c */
    ATTENTION_WAKES = ATTENTION_CANCEL | ATTENTION_MEET | ATTENTION_APIC, /* ends a sleep inside Run */
    ATTENTION_NOW = ~ATTENTION_EVENT /* what can't wait for the end of a block or of a REP: all but events */
};

/*
 * The mode key: everything that decoding depends on. mode_update() makes it anew whenever one of its sources changes.
 */
enum mode {
    MODE_CODE = 3 << 0,          /* code size: 0 16-bit, 1 32-bit, 2 64-bit */
    MODE_CODE16 = 0 << 0,
    MODE_CODE32 = 1 << 0,
    MODE_CODE64 = 2 << 0,
    MODE_STACK = 3 << 2,         /* width of the stack pointer, likewise */
    MODE_STACK_SHIFT = 2,
    MODE_CPL = 3 << 4,
    MODE_CPL_SHIFT = 4,
    MODE_PE = 1 << 6,
    MODE_VM86 = 1 << 7,
    MODE_LMA = 1 << 8,           /* long mode: 64-bit or compatibility */
    MODE_EM = 1 << 9,            /* CR0.EM: x87 #NM, MMX and SSE #UD */
    MODE_TS = 1 << 10,           /* CR0.TS: x87, MMX, SSE #NM; WAIT with MP too */
    MODE_MP = 1 << 11,
    MODE_OSFXSR = 1 << 12,       /* CR4.OSFXSR: else SSE #UD */
    MODE_OSXSAVE = 1 << 13,      /* CR4.OSXSAVE */
    MODE_AVX = 1 << 14,          /* OSXSAVE and XCR0 has SSE and AVX */
    MODE_UMIP = 1 << 15,
    MODE_SSE_SLOW = 1 << 16,     /* MXCSR unmasks an exception: handlers that look before they commit */
    MODE_X87_SLOW = 1 << 17,     /* FCW unmasks an exception, or one is pending (ES) */
    MODE_ONE = 1 << 18,          /* blocks of one instruction: TF, breakpoints, a short budget */
    MODE_FLAT = 1 << 19          /* 32-bit code whose CS, DS, ES and SS have base 0 and limit 4 GiB */
};

/* A return address to come: the exits of a call, whose `fall` is where it returns to. */
struct return_to {
    const struct exits *exits;
    u64 rip;
};
enum { RETURNS = 16 };

/* RIP to a block's entry, for indirect branches and the run loop. */
struct jump {
    u64 rip;
    u32 generation, mode;
    const struct insn *entry; /* &block->enter */
    u32 page_generation;
    u32 unused;
};
enum { JUMPS = 4096 };
#define JUMP_OF(cpu, rip) (&(cpu)->jumps[((rip) ^ (rip) >> 12) & (JUMPS - 1)])

/* Where the last place came from, for cold handlers: mem/place.h. */
struct place {
    u8 *bytes;          /* where to load from and store to: guest memory itself, or `bounce` */
    u64 gpa[2];         /* of each part; what an access on two pages was split into */
    u64 linear;
    u8 *host[2];        /* guest memory of each part; NULL: the seam's callbacks */
    u16 size, first;    /* whole, and the first part's */
    u8 access;          /* enum access */
    u8 notice;          /* somebody wants to know of the write: commit has work to do */
    _Alignas(16) u8 bounce[64];
};

/* A stretch of guest memory that this processor wrote and that code was decoded from. */
struct stale {
    u64 gpa;
    u32 size;
};

/*
 * The one seam under struct place: what stands for memory and ports where the emulator library runs an
 * instruction on its caller's callbacks. NULL in ordinary processors. A false ends the emulation.
 */
struct seam {
    void *context;
    bool (*translate)(void *context, struct vcpu *cpu, u64 linear, unsigned access, u64 *gpa);
    bool (*read)(void *context, u64 gpa, void *bytes, unsigned size);
    bool (*write)(void *context, u64 gpa, const void *bytes, unsigned size);
    bool (*port_in)(void *context, u16 port, unsigned size, u32 *value);
    bool (*port_out)(void *context, u16 port, unsigned size, u32 value);
};

/* Where faults and exits come down: LAND_HERE() marks the place, and is true each time they do. */
#ifdef __SANITIZE_THREAD__ /* which keeps a stack of calls, and sees that it shrinks by the C library's functions alone */
#include <setjmp.h>
typedef jmp_buf landing_pad;
#define LAND_HERE(pad) _setjmp(pad)
#define LAND_AT(pad) longjmp(pad, 1)
#else
typedef void *landing_pad[5];
#define LAND_HERE(pad) __builtin_setjmp(pad)
#define LAND_AT(pad) __builtin_longjmp(pad, 1)
#endif

struct vcpu {
    /* What handlers reach by a byte offset: all below 256. */
    u64 gpr[16];
    u64 zero;            /* absent base or index */
    u64 code_base;       /* RIP of the first byte of the page that runs; memory operands relative to RIP use it */

    /* Flags: state/flags.h. */
    u64 result;
    u64 carries;

    u64 count;           /* retired, see SwhpGetInstructionCount; ahead by the rest of the block inside one */
    u64 limit;           /* anybody: a block that would take count past it is not entered */
    struct tlb_entry *tlb; /* the bank that rules now */
    const struct insn *at; /* the instruction that a slow path runs for; NULL: rip and count are right as they are */
    u32 generation;      /* links and jumps of another one are looked up again: memory or translations changed */
    u32 run;             /* raised when the host may have written to memory: blocks not checked since are compared */
    u32 aliases;         /* what alias_changes() said of the map that the blocks were decoded under */
    u32 mode;            /* MODE_* */
    u32 attention;       /* anybody: ATTENTION_*, by atomic or */
    u32 returns_top;
    u32 page_generation; /* raised with every flush of translations */
    struct return_to returns[RETURNS]; /* a ring */
    struct exits nowhere; /* of no generation: what the ring holds at first */
    struct exits *link;  /* an exit to be linked to the block that the loop finds next */
    bool link_taken;
    bool trap_due;       /* TF was set when the instruction under way began */
    bool running_rf;     /* RF was: it is clear meanwhile, and comes back if the instruction doesn't retire */
    bool has_gathered;   /* a gather is under way, and has an element */
    bool between_rounds; /* RIP stands at a string instruction that has begun: RF is as good as set */
    u64 cs_base;         /* CS as blocks were last looked up under */
    u32 cs_limit;

    /* Right outside of blocks only; inside, they follow from `at`. */
    u64 rip;
    u64 rflags;          /* without STATUS, which flags.h keeps */

    struct segment seg[SEGMENTS];
    struct table gdtr, idtr;
    u64 cr0, cr2, cr3, cr4, cr8, efer, xcr0;
    u64 dr[8];           /* DR0 to DR3, DR6, DR7 */
    u32 pkru;
    u8 cpl;
    bool in_delivery;    /* an event is being delivered: `delivering` */
    u64 pdpte[4];        /* PAE: loaded with CR3 */

    u64 tsc_offset;      /* added to the partition's clock */
    u64 mperf_offset, aperf_offset; /* likewise: it always runs at its nominal frequency, and never sleeps */
    u64 tsc_aux, apic_base, pat, star, lstar, cstar, sfmask, kernel_gs_base;
    u64 sysenter_cs, sysenter_esp, sysenter_eip;
    u64 spec_ctrl, xss, misc_enable;
    u64 mtrr_def_type, mtrr_fixed[11], mtrr_base[16], mtrr_mask[16];
    u64 msr_other[32];   /* the profile's plain MSRs: state/profile.h says which */
    u32 apic_id;

    struct x87 x87;
    bool ignne;          /* IGNNE# is asserted: with CR0.NE clear a pending exception stops nobody. Falls with ES */
    u32 mxcsr;           /* flags of it may stand in the host's MXCSR meanwhile: cpu/fp.h */
    union vector vec[32];
    u64 opmask[8];
    struct restored restored;

    /* The local APIC. */
    struct apic *apic;           /* NULL: the partition emulates none */
    struct apic local_apic;
    u64 apic_page;               /* gpa of the registers; ~0: nowhere */
    void (*apic_access)(struct vcpu *cpu, u32 offset, u8 *bytes, unsigned size, bool is_write);

    struct synic *synic;         /* NULL: the partition has no synthetic features */
    struct synic synthetic_interrupts;

    /* Events. */
    struct event fault;          /* raised by the instruction, to be delivered by the loop */
    struct event interruption;   /* WHvRegisterPendingInterruption: delivered at the next entry */
    struct event delivering;     /* what a fault in delivery interrupts */
    struct event queued;         /* WHvRegisterPendingEvent, exceptions */
    u64 pending_event[2][2];     /* the raw values of PendingEvent0 and 1, for reading back */
    bool shadow;                 /* STI or MOV SS: no interrupt before the next instruction */
    bool shadow_ss;              /* by MOV SS: no debug trap either */
    bool nmi_masked;
    bool running_shadow;         /* the instruction under way runs in the shadow */
    bool running_shadow_ss;
    u64 deliverability;          /* WHvX64RegisterDeliverabilityNotifications */
    u64 activity;                /* WHvRegisterInternalActivityState */
    u64 debug_before;            /* pending_debug when the instruction under way began */
    u64 pending_debug;           /* WHvX64RegisterPendingDebugException: DR6 bits waiting for the boundary */
    const char *trouble;         /* what delivery is about to do, for whoever explains why that failed */
    u32 fault_depth;             /* how many faults came up in the delivery of one another */
    char *explain;               /* text for SwhpExplainLastExit; EXPLAIN_SIZE bytes */

    /* The run. */
    struct partition *partition;
    u32 index;
    u64 until;                   /* SwhpRunVirtualProcessorUntil's count; ~0: none */
    u64 stop;                    /* where the loop has to look again: `until`, or the APIC's timer before it */
    WHV_RUN_VP_EXIT_CONTEXT *exit; /* of the caller */
    u32 exit_reason;             /* 0: go on */
    bool entered;                /* this Run's entry checks are done */
    u32 is_running;              /* atomic: a thread is inside Run */
    bool is_timed;               /* host clock: somebody asked for its time inside Run, which is kept from then on: */
    u64 ran, ran_since;          /* nanoseconds of Runs that ended; when the Run that goes on began */
    u32 is_asleep;               /* atomic: and waits there for what ATTENTION_WAKES tells; the host waits on it */
    bool is_parked;              /* under partition->lock: it stands still inside Run, for a meeting */
    u32 in_turns;                /* atomic: SwhpRunPartition runs it, in turns with others on one thread */
    bool yields;                 /* and a PAUSE ends its turn */
    u64 wakes_at;                /* and it sleeps: tick of the partition's clock at which its timer wakes it; ~0: never */
    u32 watched;                 /* under partition->lock: raised when another processor takes its write rights */
    void (*be_exact)(struct vcpu *cpu); /* called before others may read its state; NULL: it is exact */
    bool load_pdptes;            /* the caller set CR3 and the like: PDPTEs are to be loaded before the next Run */
    landing_pad landing;
    struct seam *seam;
    struct place place;          /* of cold handlers */
    struct stale stale[4];
    u32 stales;                  /* more than fit: all of this processor's code is suspect */
    u32 overwrites;              /* how often code was overwritten from here: decoder/stale.c */
    u64 completed_rip;           /* an exit left at this RIP: a Run that starts elsewhere counts the instruction */
    u64 stray_rip;               /* not canonical: where SYSRET went, for its #GP there; 0: nowhere yet */
    u64 completed_debug;         /* I/O breakpoints on its port: a trap once the caller has completed it */
    bool left_instruction;       /* the last exit left an instruction for the caller to complete */
    u64 counters[COUNTERS];

    struct tlb banks[BANKS];
    struct jump jumps[JUMPS];
    struct fetched fetched;
    struct code *code;           /* decoder/block.h: this processor's blocks */
    u32 host_mxcsr;              /* the host's own control words while a guest runs */
    u16 host_fcw;
};

#define OFFSET_ZERO ((u8)offsetof(struct vcpu, zero))
#define OFFSET_CODE ((u8)offsetof(struct vcpu, code_base))
_Static_assert(offsetof(struct vcpu, code_base) < 256, "byte offsets of registers fit a byte");

enum { EXPLAIN_SIZE = 4096 };

/* The state of a fresh or reset processor: reference section 3.3. */
void vcpu_reset(struct vcpu *cpu);

/* The part of it that an INIT brings back too; not the APIC's. */
void vcpu_init(struct vcpu *cpu);

/* Makes vcpu.mode, vcpu.cpl's bank and the like follow from the control registers. */
void mode_update(struct vcpu *cpu);

/* RIP of the instruction under way, or of the next where none is. */
u64 vcpu_rip(const struct vcpu *cpu);

/* Puts rip and count back to before the instruction under way, and forgets it. */
void vcpu_rewind(struct vcpu *cpu);

/*
 * The two ways out of an instruction; neither returns. vcpu_raise() gives the guest an exception: nothing of the
 * instruction has happened. vcpu_leave() ends the Run; exit_*() functions fill the context and come here.
 */
NORETURN void vcpu_raise(struct vcpu *cpu, u8 vector, u32 error); /* error is used where the vector has one */
NORETURN void vcpu_raise_page_fault(struct vcpu *cpu, u64 linear, u32 error);
NORETURN void vcpu_raise_debug(struct vcpu *cpu, u64 dr6_bits);   /* as a fault: RIP at the instruction */
NORETURN void vcpu_leave(struct vcpu *cpu, u32 reason);
NORETURN void vcpu_land(struct vcpu *cpu);

/* Does the exception push an error code? */
bool vector_has_error(u8 vector);

/* Asks a processor, from any thread, to look at `bits` at its next block border. */
void vcpu_call(struct vcpu *cpu, u32 bits);

/* Wakes who waits on this word, if somebody does. */
void vcpu_wake(u32 *is_asleep);

/* Waits inside Run until a call with one of ATTENTION_WAKES, at most so many nanoseconds (~0: without end). */
void vcpu_sleep(struct vcpu *cpu, u64 nanoseconds);

/* Between two rounds of a string instruction somebody is to see RFLAGS: RF shows. SDM 3B 17.3.1.1, APM 2 3.1.6. */
INLINE void vcpu_show_rf(struct vcpu *cpu)
{
    if (cpu->between_rounds)
        cpu->rflags |= RF;
    cpu->between_rounds = false;
}

INLINE u8 mode_cpl(const struct vcpu *cpu)
{
    return cpu->cpl;
}

INLINE bool in_long_mode(const struct vcpu *cpu) /* 64-bit or compatibility */
{
    return cpu->mode & MODE_LMA;
}

INLINE bool in_code64(const struct vcpu *cpu)
{
    return (cpu->mode & MODE_CODE) == MODE_CODE64;
}

INLINE bool in_real_mode(const struct vcpu *cpu) /* not virtual-8086 */
{
    return !(cpu->mode & MODE_PE);
}

INLINE bool in_vm86(const struct vcpu *cpu)
{
    return cpu->mode & MODE_VM86;
}

/* Is a linear address canonical under the paging mode? Only long mode asks. */
INLINE bool is_canonical(const struct vcpu *cpu, u64 linear)
{
    unsigned width = cpu->cr4 & CR4_LA57 ? 57 : 48;

    return sign_extend(linear, width) == linear;
}

#endif
