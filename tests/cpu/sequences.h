/* SPDX-License-Identifier: MIT */
/*
 * Random sequences of instructions, and the three ways to run one: on softwhp in whole blocks, on softwhp
 * count by count, and on the host's own processor. All at the same linear addresses, at CPL 3, up to the
 * first fault: a HLT ends each sequence by #GP. 64-bit code, or 32- and 16-bit code in compatibility mode, the latter in
 * segments of a local descriptor table: code, stack and data lie at other offsets than linear addresses.
 *
 *   10000000  code, 4 pages, writable      10012000  data that is read-only, a page, then a hole
 *   10010000  data, 2 pages                10020000  stack, 4 pages
 */
#ifndef TESTS_CPU_SEQUENCES_H
#define TESTS_CPU_SEQUENCES_H

#include <stdio.h>

#include "state/types.h"
#include "state/x86.h"

enum {
    CODE_AT = 0x10000000,
    CODE_SIZE = 0x4000,
    DATA_AT = 0x10010000,
    DATA_SIZE = 0x2000,
    FIXED_AT = DATA_AT + DATA_SIZE,
    FIXED_SIZE = 0x1000,
    STACK_AT = 0x10020000,
    STACK_SIZE = 0x4000,
    ITEMS = 128,  /* instructions of a sequence */
    ROUNDS = 3,   /* states that each starts from */
    COUNTS = 4096 /* steps that are remembered of a run count by count */
};

/*
 * The local descriptor table. Entry 0 isn't used, 1 to 6 are what the segment registers start with, in their order, and the
 * others are for those who load them.
 */
struct descriptor {
    u32 base, limit; /* in bytes; from 100000 on by pages */
    bool is_code, is_big;
    bool is_down; /* expand-down; conforming code Linux has none of */
    bool is_fixed; /* data: read-only; code: execute-only */
    bool is_absent;
};
enum {
    LDT_READ_ONLY = 7, LDT_ABSENT, LDT_SMALL, LDT_DOWN, LDT_EXECUTE_ONLY, LDT_CODE_TOO, LDT_CODE_ABSENT, LDT_FLAT,
    LDT_USED
};
#define LDT_OF(segment) ((segment) + 1)
#define LDT_SELECTOR(entry) ((u16)((entry) << 3 | 7))

/* What a run starts from and comes to. */
struct state {
    u64 gpr[16];
    u64 rip, rflags;
    u16 selector[8]; /* ES, CS, SS, DS, FS, GS */
    u64 base[2];     /* of FS and GS, in 64-bit code that may change them */
    u8 xmm[16][16];
    u8 st[8][16]; /* as FXSAVE has them: 10 bytes of ST(n), the rest zero */
    u16 fcw, fsw;
    u8 ftw; /* abridged */
    u32 mxcsr;
    u8 mode; /* of a start: 64, 32 or 16 */
    u32 vector, error; /* of an end: the fault's; vector 256: it was none */
    u64 cr2;
    struct descriptor ldt[LDT_USED]; /* of a start */
    bool has_bases;
};

/* The areas of memory. */
struct arena {
    u8 *code, *data, *stack, *fixed;
};

/* An instruction of a sequence. */
struct item {
    u8 bytes[15];
    u8 length;
    u8 patch;       /* offset of a displacement to fill in; 0: none */
    u8 patch_size;  /* 1, 2 or 4 */
    bool is_absolute; /* the displacement is an offset in the code's segment, or for data in one of the same base */
    u8 in_segment; /* which descriptor's, if it isn't the code's */
    bool to_label;  /* the displacement leads to item `label`, plus `plus` bytes; else to address `plus` */
    u8 label;
    u32 plus;
    bool fault_taints; /* all flags are, if it faults */
    u32 tainted;       /* status flags that manuals leave undefined before it */
    u16 at;            /* offset in the code area, once laid out */
};

/* What a register is for. */
enum role { ROLE_FREE, ROLE_ALIGNED, ROLE_BASE, ROLE_INDEX };

struct sequence {
    u64 seed;
    u8 mode; /* 64, 32 or 16 */
    struct descriptor ldt[LDT_USED];
    u16 selector[8];
    bool has_bases;
    u64 base[2];
    u8 role[16];
    unsigned n;
    struct item item[ITEMS];
    u32 code_offset; /* of the first instruction, in the code area */
    u32 size;
    bool uses_x87;
    struct state start;
    unsigned round;    /* of those that start from other states */
    u64 random_memory; /* what data and stack are filled from */
};

/* A small generator of random numbers: the same on every host. */
INLINE u64 random_next(u64 *seed)
{
    u64 z = *seed += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/*
 * generate.c: makes the sequence of 64-, 32- or 16-bit code that a seed stands for on hosts of this vendor, and the state that
 * run `round` of it starts from.
 */
void sequence_generate(struct sequence *s, u64 seed, unsigned mode);
void sequence_start(struct sequence *s, unsigned round);
/* Fills memory as the run finds it. */
void sequence_fill(const struct sequence *s, const struct arena *a);
/* Once, before that page becomes read-only. */
void sequence_fill_fixed(const struct arena *a);
void sequence_print(const struct sequence *s);
/* Where item `n` is for its segment. */
u32 sequence_offset(const struct sequence *s, unsigned n);
/* The flags that are undefined before the instruction at rip; STATUS where none is. */
u32 sequence_tainted(const struct sequence *s, u64 rip);

/* layout.c: puts the items after each other. False: they don't fit. */
bool sequence_layout(struct sequence *s);
struct ZydisDecoder_;
void sequence_decoder(const struct sequence *s, struct ZydisDecoder_ *decoder);

/* segments.c: those that a start has, in words; a descriptor as memory has it, accessed and for CPL 3. */
void sequence_print_segments(FILE *to, const struct sequence *s);
/* Linux's, of segments that are all of memory. */
void flat_selectors(u16 *selector, u8 mode);
u64 descriptor_raw(const struct descriptor *d);

/* native.c: is the host's processor an AMD's Zen, as the profile is? */
bool native_is_amd(void);
/* May this process write FS's base itself? */
bool native_has_bases(void);
/* Runs at those addresses of this process. False: the host doesn't let us. */
bool native_open(struct arena *a);
void native_close(void);
/* False: the host has no segments for it. */
bool native_run(const struct state *start, struct state *end);

/* emulated.c: a partition of its own, with the same memory by linear address. */
struct emulated;
struct emulated *emulated_open(struct arena *a);
void emulated_close(struct emulated *m);
void emulated_set(struct emulated *m, const struct state *s);
void emulated_get(struct emulated *m, struct state *s);
u64 emulated_count(struct emulated *m);
/* Runs until the processor's count is `count`. True: it came that far; false: it left before, by an
 * exception. */
bool emulated_run(struct emulated *m, u64 count);

/*
 * compare.c: runs a sequence from its start in all ways. NULL: they agree; else what differs, which is told on standard
 * error unless is_quiet.
 */
struct bench;
struct bench *bench_open(void);
void bench_close(struct bench *b);
/* What the host alone makes of it. False: this host can't. */
bool bench_host(struct bench *b, const struct sequence *s, struct state *end);
const char *bench_compare(struct bench *b, struct sequence *s, bool is_quiet);

/* layout.c: the flags that are undefined before each item, as the sequence now stands. False: one of them is read. */
bool sequence_taints(struct sequence *s);

#endif
