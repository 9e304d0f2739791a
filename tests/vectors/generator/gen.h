/* SPDX-License-Identifier: MIT */
/* What the files of the generator share: options, random numbers, forms of instructions, tests of them. */
#ifndef GEN_H
#define GEN_H

#include <Zydis/Zydis.h>
#include "exec.h"

typedef uint64_t u64;
typedef uint8_t u8;
typedef ZydisDecodedInstruction Insn;
typedef ZydisDecodedOperand Op;

extern int mode, nstates;
extern u64 seed;
extern bool want_evex;
extern ZydisDecoder dec;

/* ---- random numbers ---- */
extern u64 rs;
static inline u64 mix(u64 z)
{
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
	return z ^ (z >> 31);
}
static inline u64 rnd(void) { return mix(rs += 0x9E3779B97F4A7C15ull); }
static inline u64 below(u64 n) { return rnd() % n; }
static inline bool pct(unsigned p) { return below(100) < p; }

/* ---- forms ---- */
enum { LEGACY, VEX, EVEX };
typedef struct {
	u8 kind, map, op, modrm;	  /* modrm: representative byte */
	u8 p66, rep, lock, w, p67, L, pp; /* rep: 0, F2, F3; L, pp, w also for VEX/EVEX */
	u8 z, aaa, b;			  /* EVEX */
	bool has_modrm;
} Enc;
typedef struct {
	Enc e;
	u64 key;
	uint32_t id;
	ZydisMnemonic mn;
	char family[12], sig[96];
	const char *isa;
	bool priv;
	int made, nfault, nud;
} Form;

/* ---- one test ---- */
typedef struct {
	u8 code[16];
	Insn in;
	Op op[ZYDIS_MAX_OPERAND_COUNT];
	swv_state s;
	struct { u64 addr; u8 b[512]; uint16_t len; } mem[SWV_MAXMEM];
	int nmem;
} Test;

/*
 * What a state is aimed at, of a form with a memory operand: chance alone rarely gets there. ANYWHERE is chance alone.
 * CROSSING: two writable pages. INTO_FIXED, INTO_HOLE: the second page is read-only, or missing. FROM_HOLE: the first is.
 * FIXED, HOLE: all of it, in its place. OUTSIDE: beyond canonical addresses. MISALIGNED: with alignment checks on.
 * STEP: any form, with TF.
 */
enum { ANYWHERE, CROSSING, INTO_FIXED, INTO_HOLE, FROM_HOLE, FIXED, HOLE, OUTSIDE, MISALIGNED, STEP, AIMS };
extern int aim;

/* forms.c, values.c, build.c */
extern Form *forms;
extern size_t nforms, capforms;
u64 form_key(const Insn *in, const Op *op);
int emit_head(const Enc *e, u8 *b, int rex, int rxb, int vvvv, int seg);
bool is_fxsr(const Insn *in);
bool is_xsave(const Insn *in);
bool has_memory(const Test *t);
void enumerate(void);
u64 rnd_int(void);
void rnd_f80(u8 *p);
void rnd_bytes(u8 *p, int n, ZydisElementType t);
extern swv_state base_state;
bool build(const Form *f, Test *t);
void states(const Form *f, Test *t);
u64 reg_mask(void);

#endif
