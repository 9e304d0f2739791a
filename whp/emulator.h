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
    AT_SYSTEM = AT_SEGMENTS + 5, /* CR3 GDTR IDTR LDTR TR XCR0 */
    ASKED = AT_SYSTEM + 6
};

/* x87, MMX and SSE registers in the order of FXSAVE's image, whose first bytes their values are. */
enum { FX_NAMES = 2 + 8 + 16 };

/* The instruction bytes of earlier calls, decoded. */
struct known {
    u32 mode;
    u16 offset;
    u8 size;  /* 0: nothing */
    u8 needs; /* enum needs */
    u8 bytes[16];
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
    NEEDS_FP = NEEDS_XMM | NEEDS_X87
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
    unsigned needs;               /* enum needs: what was asked for */
    bool touched;                 /* memory or a port */
    bool in_fp;                   /* the host's control words are the guest's */
    bool is_port;                 /* the exit was a port's */
    unsigned ports;               /* port callbacks so far */
    WHV_RUN_VP_EXIT_CONTEXT exit; /* of instructions that leave, which nobody looks at */
    WHV_REGISTER_VALUE asked[ASKED];
    _Alignas(16) u8 fx[FX_SIZE];

    WHV_REGISTER_NAME names[ASKED + FX_NAMES + 4];
    WHV_REGISTER_VALUE values[ASKED + FX_NAMES + 4];
    unsigned changed;

    struct known known[KNOWN];
};

/* Alone with an emulator until emulator_leave(): emulator_handle.c. */
HRESULT emulator_enter(WHV_EMULATOR_HANDLE handle, struct emulator **e);
void emulator_leave(WHV_EMULATOR_HANDLE handle);

/* Where the caller's callbacks stand for memory and ports: emulator_seam.c. */
void seam_init(struct emulator *e);

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
