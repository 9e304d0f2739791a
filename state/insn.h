/* SPDX-License-Identifier: MIT */
/*
 * An instruction ready to run: 32 bytes, operands bound as byte offsets into struct vcpu. The decoder makes
 * them, handlers read them, and vcpu_raise() needs them to tell RIP and the count.
 */
#ifndef STATE_INSN_H
#define STATE_INSN_H

#include "state/types.h"

struct vcpu;
struct insn;
struct block;

/*
 * A handler carries out one instruction and goes on to the next by NEXT (cpu/handler.h). With tail calls it
 * returns nothing and a plain return ends the run of blocks; as a loop it returns the next instruction, or NULL.
 */
#ifdef SWHP_LOOP
typedef const struct insn *next;
#else
typedef void next;
#endif
typedef next run_fn(struct vcpu *cpu, const struct insn *in);

/* Widths as an exponent: 8 << width bits, 1 << width bytes; W80 for the x87's 80 bits, 10 bytes. */
enum width { W8, W16, W32, W64, W128, W256, W512, W80 };

/*
 * Which operands an instruction was written with, in order: R register, M memory, I immediate. Operand 0's
 * register is `dst`, operand 1's `src`, operand 2's `third`; the one memory operand is base, index, scale,
 * disp, segment, address; the immediate is `imm`, or `imm32` where there is a third register too. A fourth operand
 * (VEX) isn't in the shape: an immediate or the number of a register, it is in `imm32`.
 * Implied operands that assembler text shows (CL of a shift, AL of IN) count; hidden ones don't.
 */
enum shape { S_, S_R, S_M, S_I, S_RR, S_RM, S_RI, S_MR, S_MI, S_RRI, S_RMI, S_MRI, S_RRR, S_RRM, S_RMR, S_MRR };

enum { REP_NONE, REP_E, REP_NE };

/*
 * Vector registers in dst, src and third carry their kind, which many a mnemonic doesn't tell: MOVQ, MOVD, PADDB, PEXTRW.
 * So the decoder treats an instruction with an MMX register as an MMX row's, with an XMM register as an SSE row's, with
 * both as both's, whatever its row says.
 */
enum { REG_XMM = 0x80, REG_MMX = 0xc0 };

struct insn {
    run_fn *run;
    union {
        u64 imm;                /* sign-extended as the instruction does it */
        struct {
            u32 imm32;
            u8 third;
        };
    };
    i32 disp;                   /* of the memory operand; RIP-relative ones count from vcpu.code_base.
                                   Of a conditional branch: its condition, 0 to 15 */
    u8 dst, src;                /* general registers: byte offset into struct vcpu (AH is 1); XMM: REG_XMM + number;
                                   MMX: REG_MMX + number (the same in `third`); others: number */
    u8 base, index;             /* byte offsets of 64-bit registers; OFFSET_ZERO where there is none. Gathers: REG_XMM + number */
    union {
        struct {
            u8 scale;           /* 0 to 3 */
            u8 left;            /* instructions from this one to the end of its block, itself included */
            u16 offset : 12, shape : 4; /* where on its page it starts; enum shape */
            u8 length : 4, lock : 1, rep : 2, vex : 1;
            u8 width : 3, segment : 3, address : 2; /* enum width of operand 0, or the operand size where it has
                                   none; of vectors by VEX.L; ES to GS of the memory operand; enum width of addresses (W16 to W64) */
            u16 op;             /* Zydis' mnemonic, or enum pseudo_op: the row of ops[] */
        };
        u64 size;               /* of a block's enter slot: block->n, see BLOCK_SIZE */
    };
};

_Static_assert(sizeof(struct insn) == 32, "struct insn is 32 bytes");

/*
 * After a branch comes one slot with its exits. An exit is linked to the entry of another block while its generation
 * is the processor's; else it is looked up again.
 */
struct exits {
    const struct insn *taken, *fall;
    u32 taken_generation, fall_generation;
    i32 taken_offset, fall_offset; /* RIP of the exit, from code_base */
};

_Static_assert(sizeof(struct exits) == sizeof(struct insn), "exits take one slot");

/*
 * A straight run of instructions. It has two entries: `enter` sets vcpu.code_base and goes on to insn[0], where
 * those come in that are on the same page already. Before each entry stands the block's size, so that whoever
 * enters can count and test it: BLOCK_SIZE(entry).
 */
struct block {
    u64 gpa;                /* of its first byte */
    u64 rip;
    u64 cs_base;            /* outside of 64-bit code: what it was decoded under */
    u32 cs_limit;
    u32 mode;               /* the mode key it was decoded under */
    u32 checked;            /* vcpu.run when its bytes were last known to equal memory */
    u16 slots;              /* entries of insn[] */
    u16 bytes;              /* size of the copy of its text, behind insn[] */
    const u8 *host;         /* of the page, while vcpu.page_generation is `placed` */
    u32 placed;
    u8 crosses;             /* its only instruction goes on on the next page */
    u8 is_alone;            /* compared with memory each time it's entered, so never linked to: it crosses, or has aliases */
    u8 ranges;              /* runs of text that the copy is made of */
    struct {
        u16 offset, size;
    } range[3];
    u64 granules;           /* which 64-byte parts of its page it was decoded from */
    struct block *hash_next;
    struct block *page_next; /* other blocks with bytes on the page */
    u64 unused[3];
    u64 n;                  /* instructions in it; BLOCK_DEAD once it was overwritten, so that no link enters it */
    _Alignas(32) struct insn enter;
    struct insn insn[];
};

_Static_assert(offsetof(struct block, n) + 8 == offsetof(struct block, enter), "the size stands before the entry");

#define BLOCK_SIZE(entry) (((const u64 *)(entry))[-1])
#define BLOCK_DEAD ((u64)1 << 62)

#endif
