/* SPDX-License-Identifier: MIT */
/* What FXSAVE, XSAVE and their counterparts share: an area of memory, and the legacy region in it. */
#ifndef CPU_FX_AREA_H
#define CPU_FX_AREA_H

#include "cpu/vector.h"
#include "state/xstate.h"

enum {
    FX_CONTROL = 0,      /* FCW, FSW, tags, FOP, FIP, FDP */
    FX_FOP = 6,
    FX_MXCSR = 24,
    FX_ST = 32,
    FX_XMM = 160,
    FX_SIZE = 512
};
enum { MXCSR_INITIAL = 0x1f80 };

/*
 * An area in pieces that a place can hold, all resolved before one is written. Between them is what nobody touches:
 * another processor may.
 */
enum { PIECE = 64, PIECES = XSTATE_HEADER_END / PIECE + 256 / PIECE + 1 };

struct area {
    u64 linear;
    unsigned pieces;
    struct {
        unsigned from;
        u64 written; /* its bytes that area_write() wrote */
        struct place place;
    } piece[PIECES];
};

/*
 * Opens an area whose address must be aligned. The order of faults is a Zen 4's for FXSAVE: the first byte's segment,
 * #AC for what isn't even 4-byte aligned where such checks are on, #GP for the rest, the last byte's page, the segment's
 * limit. And a Zen 3's for XSAVE, whose alignment is 64: no #AC, #GP for what isn't aligned before anything else, the first
 * byte, and then XRSTOR's header or XSAVE's last byte.
 */
void area_open(CPU, IN, struct area *a, unsigned size, unsigned alignment, unsigned access);

/* The last byte and the limit of an area that turns out to be larger. */
void area_grow(CPU, IN, unsigned size, unsigned access);

/* Resolves the bytes from..end. */
void area_reach(CPU, struct area *a, unsigned from, unsigned end, unsigned access);

/* Behind a seam a write reads nothing by itself: the bytes of before that are needed all the same, of one piece. */
void area_refresh(CPU, struct area *a, unsigned offset, unsigned size);

/* What was reached is there to be read and written; the rest of a write stays as it was. */
void area_read(const struct area *a, unsigned offset, void *to, unsigned size);
void area_write(struct area *a, unsigned offset, const void *from, unsigned size);
void area_commit(CPU, struct area *a);

/* The legacy region. simd_state.c. */
void fx_check_mxcsr(CPU, u32 value);
void fx_put_x87(const struct vcpu *cpu, struct area *a, bool is_64);
void fx_get_x87(CPU, const struct area *a, bool is_64);
void fx_put_mxcsr(const struct vcpu *cpu, struct area *a);
void fx_put_xmm(const struct vcpu *cpu, struct area *a);
void fx_get_xmm(CPU, const struct area *a);
unsigned fx_xmm_count(const struct vcpu *cpu);

#endif
