/* SPDX-License-Identifier: MIT */
/*
 * How handlers are written. There are two kinds.
 *
 * A body is a plain function of (cpu, in) in the table of instructions. It reads and resolves first (may raise or
 * leave: vcpu_raise, exit_*, anything of mem/place.h), then computes, then commits (can't fail). cpu->at is set, RIP
 * and count are taken care of. Bodies are for everything that isn't hot.
 *
 * A fast handler does the common case of one shape and width in a tail call, and leaves the rest to the body: FAST().
 */
#ifndef CPU_HANDLER_H
#define CPU_HANDLER_H

#include "decoder/ops.h"
#include "mem/place.h"
#include "state/flags.h"

#define CPU struct vcpu *cpu
#define IN const struct insn *in

#ifdef SWHP_LOOP
#define NEXT_AT(p) return (void)cpu, (p)
#define STOP return NULL
#else
#define NEXT_AT(p) return (p)->run(cpu, (p))
#define STOP return
#endif
#define NEXT NEXT_AT(in + 1)

/*
 * FAST(name, body): `body` is an expression of cpu and in, false where the fast way doesn't do (a TLB miss, say) and nothing has
 * happened yet: the row's body then carries the instruction out.
 */
#define FAST(name, body)                                                                                               \
    static next name(CPU, IN)                                                                                          \
    {                                                                                                                  \
        enum { slow = 0 };                                                                                             \
        if (unlikely(!(body)))                                                                                         \
            return run_body(cpu, in);                                                                                  \
        NEXT;                                                                                                          \
    }

/* ---- operands, for fast handlers ---- */

#define REG64(offset) (*(u64 *)((char *)cpu + (offset)))

/* A register of `width` bits by its byte offset, zero-extended. */
INLINE u64 reg_read(CPU, unsigned offset, unsigned width)
{
    const char *p = (const char *)cpu + offset;

    return width == 8    ? *(const u8 *)p
           : width == 16 ? *(const u16 *)p
           : width == 32 ? *(const u32 *)p
                         : *(const u64 *)p;
}

/* 32-bit writes clear the upper half. 8- and 16-bit ones merge and store whole: a wide load after a narrow store stalls. */
INLINE void reg_write(CPU, unsigned offset, unsigned width, u64 v)
{
    if (width >= 32) {
        *(u64 *)((char *)cpu + offset) = width == 32 ? (u32)v : v;
    } else if (width == 16) {
        u64 *r = (u64 *)((char *)cpu + offset);

        *r = (*r & ~(u64)0xffff) | (u16)v;
    } else {
        u64 *r = (u64 *)((char *)cpu + (offset & ~7u));
        unsigned shift = (offset & 1) * 8;

        *r = (*r & ~((u64)0xff << shift)) | (u64)(u8)v << shift;
    }
}

/* Where the address comes from: plain base + disp, with an index, or anything else. */
enum form { FORM_BASE, FORM_INDEX, FORM_ANY, FORMS };

/* Which form serves an instruction's memory operand: the first two are for 64-bit addresses in segments without base. */
INLINE enum form address_form(const struct insn *in, u32 mode)
{
    if ((mode & MODE_CODE) != MODE_CODE64 || in->address != W64 || in->segment == FS || in->segment == GS)
        return FORM_ANY;
    return in->index == OFFSET_ZERO ? FORM_BASE : FORM_INDEX;
}

/* The linear address of a memory operand in one of the plain forms. */
INLINE u64 plain_linear(const struct vcpu *cpu, IN, enum form form)
{
    u64 linear = REG64(in->base) + (u64)(i64)in->disp;

    if (form == FORM_INDEX)
        linear += REG64(in->index) << in->scale;
    return linear;
}

/* The memory operand of a fast handler, `size` bytes: the host's address, or NULL for the body to do. */
INLINE u8 *place(CPU, IN, enum form form, unsigned size, unsigned access, bool slow)
{
    u64 linear;

    (void)slow;
    if (form == FORM_ANY) {
        cpu->at = in;
        linear = operand_linear(cpu, in, size, access);
    } else {
        linear = plain_linear(cpu, in, form);
    }
    return place_hit(cpu, linear, size, access & ACCESS_WRITE);
}

/* ---- operands, for bodies ---- */

INLINE unsigned width_bits(unsigned w)
{
    return w == W80 ? 80 : 8u << w;
}

INLINE unsigned width_size(unsigned w) /* in bytes */
{
    return w == W80 ? 10 : 1u << w;
}

/* Is operand n of the instruction memory, a register, an immediate? */
INLINE char shape_operand(const struct insn *in, unsigned n)
{
    static const char kinds[16][4] = {"",   "R",   "M",   "I",   "RR",  "RM",  "RI",  "MR",
                                      "MI", "RRI", "RMI", "MRI", "RRR", "RRM", "RMR", "MRR"};

    return kinds[in->shape][n];
}

INLINE unsigned operand_register(const struct insn *in, unsigned n)
{
    return n == 0 ? in->dst : n == 1 ? in->src : in->third;
}

/*
 * A general operand in a body: a register slice, an immediate or memory, of `width` bits. operand_read() reads at
 * once; operand_open() resolves a destination (WRITE, with READ_TOO where the old value matters), operand_value() reads it, and
 * operand_close() commits. Between open and close nothing may raise.
 */
struct operand {
    struct place place;
    bool in_memory;
    u8 offset;      /* of the register */
    u8 width;       /* bits */
};

/* One access of 1, 2, 4 or 8 bytes to a place. */
INLINE u64 load_sized(const u8 *p, unsigned size)
{
    switch (size) {
    case 1: return load_bytes(p, 1);
    case 2: return load_bytes(p, 2);
    case 4: return load_bytes(p, 4);
    default: return load_bytes(p, 8);
    }
}

INLINE void store_sized(u8 *p, u64 v, unsigned size)
{
    switch (size) {
    case 1: store_bytes(p, v, 1); break;
    case 2: store_bytes(p, v, 2); break;
    case 4: store_bytes(p, v, 4); break;
    default: store_bytes(p, v, 8); break;
    }
}

u64 operand_read(CPU, IN, unsigned n, unsigned width);
void operand_open(CPU, IN, unsigned n, unsigned width, unsigned access, struct operand *o);
u64 operand_value(CPU, const struct operand *o);
void operand_close(CPU, struct operand *o, u64 value);
/* With LOCK: stores `value` only if the operand still holds `old`; false: read again and compute anew. Without: closes. */
bool operand_exchange(CPU, IN, struct operand *o, u64 old, u64 value);

/* RIP of the instruction after the one under way, cut to the code size: what CALL pushes. */
u64 next_rip(CPU, IN);

/*
 * An unmasked x87 exception is pending before an instruction that looks for one: raises #MF; with CR0.NE clear it leaves,
 * frozen with FERR# up, or returns where IGNNE# lets the instruction go on. SDM 1, 8.7.2; APM 2, 3.1.1.
 */
void x87_pending(CPU);

/* Between two rounds of a REP instruction, whose registers are as after the first: gives the loop its turn. */
NORETURN void string_pause(CPU);

/* Jumps near, for bodies with ENDS: checks limit or canonical form first (#GP(0)), then sets cpu->rip. */
void jump_near(CPU, u64 rip);

/* ---- the stack, for bodies: width of the pointer and SS are taken care of ---- */

unsigned stack_width(const struct vcpu *cpu);              /* of the pointer, in bits */
u64 stack_pointer(const struct vcpu *cpu);                 /* RSP cut to the stack's width */
void stack_set_pointer(CPU, u64 rsp);                      /* writes only that width (all of RSP in 64-bit code) */
u64 stack_read(CPU, u64 offset, unsigned size);            /* at SS:offset, cut to the stack's width */
void stack_write(CPU, u64 offset, unsigned size, u64 value);

#endif
