/* SPDX-License-Identifier: MIT */
/* An emulator of WinHvEmulation, for the files that it is made of. */
#ifndef WHP_EMULATOR_H
#define WHP_EMULATOR_H

#include "decoder/decode.h"
#include "include/WinHvEmulation.h"
#include "state/partition.h"
#include "whp/error.h"
#include "whp/fx_image.h"

/*
 * Registers in the order that they are asked for: the general ones always, everything up to the segments
 * outside 64-bit code, the others where an instruction needs them. RIP, RFLAGS, CS and CR8 come with the
 * exit.
 */
enum {
    AT_CONTROL = 16,
    AT_CR0 = AT_CONTROL,
    AT_CR4,
    AT_EFER,
    AT_SEGMENTS,                 /* ES SS DS FS GS */
    AT_SYSTEM = AT_SEGMENTS + 5, /* CR3 GDTR IDTR LDTR TR */
    AT_XCR0 = AT_SYSTEM + 5,
    AT_INTERRUPT_STATE,
    AT_PENDING_DEBUG,
    AT_DEBUG, /* DR0 to DR3, DR7 */
    AT_PKRU = AT_DEBUG + 5, /* private names from here on */
    AT_SELECTORS,           /* the x87's */
    AT_FEATURES,
    AT_IGNNE,
    AT_SHADOW_SS,
    AT_PDPTES,
    ASKED = AT_PDPTES + 4
};

/*
 * x87, MMX and vector registers in the order of FXSAVE's image, in lines of 16 bytes, which their values begin with:
 * two of control, ST0 to 7, XMM0 to 15, nothing, and then what FXSAVE hasn't, the upper halves of YMM0 to 15.
 */
enum { LINE_ST = 2, LINE_XMM = 10, LINE_NONE = 26, LINE_YMM = 32, LINES = 48, FX_NAMES = 2 + 8 + 16 + 16 };

/* The instruction bytes of earlier calls, decoded. */
struct known {
    u32 mode;
    u32 needs; /* enum needs */
    u16 offset;
    u8 size; /* 0: nothing */
    u8 bytes[15];
    struct insn in;
    struct decoded decoded;
};
enum { KNOWN = 16 };

/* A REP instruction gives its registers back after so many rounds, and the guest comes again for the rest. */
enum { MOST_ROUNDS = 1 << 20 };

enum needs {
    NEEDS_CONTROL = 1,
    NEEDS_SEGMENTS = 2,
    NEEDS_SYSTEM = 4,
    NEEDS_XMM = 8,
    NEEDS_X87 = 16,
    NEEDS_XCR0 = 32,
    NEEDS_INTERRUPT_STATE = 64,
    NEEDS_PENDING_DEBUG = 128,
    NEEDS_DEBUG = 256,
    /* By private names, which callbacks may refuse: */
    NEEDS_YMM = 512,
    NEEDS_PKRU = 1024,
    NEEDS_SELECTORS = 2048,
    NEEDS_FEATURES = 4096,
    NEEDS_IGNNE = 8192,
    NEEDS_SHADOW_SS = 1 << 14,
    NEEDS_PDPTES = 1 << 15,
    NEEDS_PRIVATE = NEEDS_YMM | NEEDS_PKRU | NEEDS_SELECTORS | NEEDS_FEATURES | NEEDS_IGNNE | NEEDS_SHADOW_SS |
                    NEEDS_PDPTES,
    NEEDS_FP = NEEDS_XMM | NEEDS_X87 | NEEDS_YMM,
    /* Not asked for: */
    NEEDS_COMPONENTS = 1 << 16, /* whatever XCR0 and EDX:EAX name */
    NEEDS_MOVED = 1 << 17,      /* it moves the selectors, and can't do without them */
    NEEDS_FLUSH = 1 << 18,      /* it makes the processor forget translations */
    NEEDS_MORE = 1 << 19,       /* what callbacks haven't: it can't be emulated */
    NEEDS_ASKED = NEEDS_COMPONENTS - 1
};

struct emulator {
    struct vcpu *cpu;
    struct seam seam;
    struct partition partition; /* as much of one as instructions look at */
    WHV_EMULATOR_CALLBACKS callbacks;

    /* The call under way. */
    void *context;
    const WHV_VP_EXIT_CONTEXT *vp;
    const UINT8 *given; /* bytes of the instruction: the exit's, or those and what was fetched behind them */
    unsigned given_size;
    u8 fetched[15 + 8];
    WHV_EMULATOR_STATUS status;
    u64 assumed_key; /* what emulator_state.c knows of the exit before; 0: nothing */
    u32 assumed_mode;
    unsigned needs;               /* enum needs: what was asked for */
    unsigned refused;             /* and which private names the callback doesn't know */
    bool is_short;                /* of one that the instruction can't do without: a fault is all that may come of it */
    bool flushes;                 /* translations are to be forgotten */
    bool has_less;                /* the partition lacks features of the profile */
    bool is_fetch;                /* the exit was one of code */
    bool touched;                 /* memory or a port */
    bool in_fp;                   /* the host's control words are the guest's */
    unsigned ports;               /* port callbacks so far */
    WHV_RUN_VP_EXIT_CONTEXT exit; /* of instructions that leave, which nobody looks at */
    WHV_REGISTER_VALUE asked[ASKED];
    u32 mxcsr_mask; /* the profile's */
    _Alignas(16) u8 fx[16 * LINES];

    WHV_REGISTER_NAME names[ASKED + FX_NAMES + 5]; /* RIP, RFLAGS, CS, CR8, PendingEvent */
    WHV_REGISTER_VALUE values[ASKED + FX_NAMES + 5];
    unsigned changed;

    struct known known[KNOWN];
};

/* Alone with an emulator until emulator_leave(): emulator_handle.c. */
HRESULT emulator_enter(WHV_EMULATOR_HANDLE handle, struct emulator **e);
void emulator_leave(WHV_EMULATOR_HANDLE handle);

/* Where the caller's callbacks stand for memory and ports: emulator_seam.c. */
void seam_init(struct emulator *e);

/* As it was decoded: to be run, it raises or leaves. */
INLINE bool is_forbidden(const struct insn *in)
{
    return in->run && in->run != run_mf_or_body;
}

/* What an instruction needs by its row, and what it needs now: emulator_needs.c. */
unsigned needs_of(const struct insn *in, u32 attributes);
unsigned needs_now(const struct emulator *e, const struct known *k);

/* Does it find an unmasked x87 exception pending, as far as is known? */
bool meets_exception(const struct emulator *e, const struct known *k);

/*
 * Fetching registers, emulator_state.c: first the general ones and what is told beforehand, then more. False:
 * the callback failed, and the status says so. Private names that are refused are e->refused.
 */
bool state_load(struct emulator *e, unsigned needs);
bool state_load_more(struct emulator *e, unsigned needs);

/* What the names stand for that are asked for by e->asked. */
extern const WHV_REGISTER_NAME asked_names[ASKED];
extern const u8 asked_segments[AT_SYSTEM - AT_SEGMENTS];

/* The value that a register is to get. */
INLINE WHV_REGISTER_VALUE *change(struct emulator *e, WHV_REGISTER_NAME name)
{
    e->names[e->changed] = name;
    memset(&e->values[e->changed], 0, sizeof e->values[0]);
    return &e->values[e->changed++];
}

/* The lines of e->fx: fetching those of some needs, and change() for all that differ: emulator_lines.c. */
bool lines_load(struct emulator *e, unsigned needs);
void lines_change(struct emulator *e);

/* Adds to a page fault's error code what translating hasn't told: emulator_keys.c. A status may come of it. */
void keys_explain(struct emulator *e);

/* Gives all that changed back by one call, and a fault of the guest's as a pending event; sets the status:
 * emulator_store.c. */
void state_store(struct emulator *e);

/* In 64-bit code nobody looks at the segments' bases and limits, but for FS and GS; CPL comes with the exit.
 */
INLINE bool is_flat(const WHV_VP_EXIT_CONTEXT *vp)
{
    return vp->ExecutionState.EferLma && vp->Cs.Attributes & SEG_L;
}

#endif
