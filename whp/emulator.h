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
    AT_PKRU, /* ours */
    AT_SELECTORS, /* the x87's: ours */
    AT_INTERRUPT_STATE,
    AT_PENDING_DEBUG,
    AT_DEBUG, /* DR0 to DR3, DR7 */
    ASKED = AT_DEBUG + 5
};

/*
 * x87, MMX and vector registers in the order of FXSAVE's image, in lines of 16 bytes, which their values begin with:
 * two of control, ST0 to 7, XMM0 to 15, nothing, and then what FXSAVE hasn't, the upper halves of YMM0 to 15.
 */
enum { LINE_ST = 2, LINE_XMM = 10, LINE_NONE = 26, LINE_YMM = 32, LINES = 48, FX_NAMES = 2 + 8 + 16 + 16 };

/* The instruction bytes of earlier calls, decoded. */
struct known {
    u32 mode;
    u16 offset;
    u16 needs; /* enum needs */
    u8 size;   /* 0: nothing */
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
    NEEDS_YMM = 32,
    NEEDS_FP = NEEDS_XMM | NEEDS_X87 | NEEDS_YMM,
    NEEDS_XCR0 = 64,
    NEEDS_PKRU = 128,
    NEEDS_SELECTORS = 256,
    NEEDS_INTERRUPT_STATE = 512,
    NEEDS_PENDING_DEBUG = 1024,
    NEEDS_DEBUG = 2048,
    /* Not asked for: */
    NEEDS_COMPONENTS = 4096, /* whatever XCR0 and EDX:EAX name */
    NEEDS_MORE = 8192        /* what callbacks haven't: it can't be emulated */
};

struct emulator {
    struct vcpu *cpu;
    struct seam seam;
    struct partition partition; /* as much of one as instructions look at */
    WHV_EMULATOR_CALLBACKS callbacks;

    /* The call under way. */
    void *context;
    const WHV_VP_EXIT_CONTEXT *vp;
    const UINT8 *given; /* bytes of the instruction */
    unsigned given_size;
    WHV_EMULATOR_STATUS status;
    u64 assumed_key; /* what emulator_state.c knows of the exit before; 0: nothing */
    u32 assumed_mode;
    unsigned needs;               /* enum needs: what was asked for */
    bool touched;                 /* memory or a port */
    bool in_fp;                   /* the host's control words are the guest's */
    unsigned ports;               /* port callbacks so far */
    WHV_RUN_VP_EXIT_CONTEXT exit; /* of instructions that leave, which nobody looks at */
    WHV_REGISTER_VALUE asked[ASKED];
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

/*
 * Fetching registers, emulator_state.c: first the general ones and what is told beforehand, then more. False:
 * the callback failed, and the status says so.
 */
bool state_load(struct emulator *e, unsigned needs);
bool state_load_more(struct emulator *e, unsigned needs);

/* Gives all that changed back by one call, and a fault of the guest's as a pending event; sets the status. */
void state_store(struct emulator *e);

/* In 64-bit code nobody looks at the segments' bases and limits, but for FS and GS; CPL comes with the exit.
 */
INLINE bool is_flat(const WHV_VP_EXIT_CONTEXT *vp)
{
    return vp->ExecutionState.EferLma && vp->Cs.Attributes & SEG_L;
}

#endif
