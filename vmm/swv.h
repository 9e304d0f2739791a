/* SPDX-License-Identifier: MIT */
/* swv.h - "SWV" CPU test-vector format, version 1.  Plain C, little-endian hosts only.
 * A file is: swv_header, 6 x swv_seg, nregion x swv_region, ndesc x
 * swv_desc, base state (a diff list), then
 * nrec records.  README.md is the prose description; this header is normative. */
#ifndef SWV_H
#define SWV_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SWV_MAGIC "SWHPVEC1"
#define SWV_MAXMEM 16

/* Register ids used in diff lists.  The value that follows an id has swv_reg_size(id) bytes. */
enum {
	SWV_GPR = 0,	 /* 0-15: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15, 8 bytes */
	SWV_RIP = 16,	 /* 8 bytes; an offset into CS (linear = CS base + RIP) */
	SWV_RFLAGS = 17, /* 8 bytes; RF always stored as 0 */
	SWV_FCW = 18,	 /* 2 bytes */
	SWV_FSW = 19,	 /* 2 bytes */
	SWV_FTW = 20,	 /* 1 byte, abridged (FXSAVE form): bit p = physical register p not empty */
	SWV_MXCSR = 21,	 /* 4 bytes */
	SWV_ST = 22,	 /* 22-29: ST(0)..ST(7) relative to TOP, 10 bytes; MMi = low 8 of ST(i) if TOP=0 */
	SWV_XMM = 32,	 /* 32-47: bits 127:0 of YMM0-15, 16 bytes */
	SWV_YMMH = 48,	 /* 48-63: bits 255:128 of YMM0-15, 16 bytes */
	SWV_FSBASE = 64, /* 8 bytes */
	SWV_GSBASE = 65, /* 8 bytes */
	SWV_SEL = 66,	 /* 66-71: ES CS SS DS FS GS selectors, 2 bytes */
	SWV_K = 72,	 /* 72-79: opmask k0-k7, 8 bytes (AVX-512 files only) */
	SWV_ZMMH = 80,	 /* 80-95: bits 511:256 of ZMM0-15, 32 bytes (AVX-512 files only) */
	SWV_ZMM = 96,	 /* 96-111: ZMM16-31, 64 bytes (AVX-512 files only) */
	SWV_NREG = 112
};

/* Record flags. */
enum {
	SWV_F_FAULT = 1,	 /* vector/err/cr2 valid; out state is the state at the fault */
	SWV_F_RESULT_UNDEF = 2,	 /* destination register/memory result architecturally undefined */
	SWV_F_APPROX = 4,	 /* approximate instruction: RCP/RSQRT (1.5*2^-12), x87 transcendental (~1 ulp) */
	SWV_F_VENDOR = 8,	 /* known to differ between vendors (values are AMD's) */
	SWV_F_ENVMEM = 16,	 /* stores x87 environment: FOP/FIP/FDP bytes in memory not comparable */
	SWV_F_NONREP = 32,	 /* P bit of the #PF error code not meaningful (kernel half address) */
	SWV_F_NEXTFETCH = 64,	 /* completed, but the fetch of the following instruction faults */
};

typedef struct {
	char magic[8];
	uint16_t version, mode;	  /* 1; 64, 32 or 16 (CS.L=1 / CS.D=1 / CS.D=0 with 16-bit SS) */
	uint16_t nregion, nbase;  /* memory regions; entries in the base-state diff list */
	uint32_t nrec, ndesc;	  /* records; entries in the descriptor list */
	uint64_t seed;
	char family[16];
} swv_header;

typedef struct {		  /* order: ES CS SS DS FS GS */
	uint16_t sel, attr;	  /* attr: descriptor bits 55:40, as in VMCS access rights (no limit) */
	uint32_t limit;		  /* in bytes, expanded */
	uint64_t base;
} swv_seg;

typedef struct {
	uint64_t base;		  /* linear address */
	uint32_t size, prot;	  /* prot: 1 read, 2 write, 4 execute; all user pages */
	uint32_t fill, reserved;  /* fill: 0xCC = all bytes 0xCC, 0x100 = swv_bg(address) */
} swv_region;

typedef struct {		  /* one GDT (TI=0) or LDT (TI=1) entry that the vectors may use */
	uint16_t sel, pad[3];	  /* selector with RPL 0 */
	uint64_t raw;		  /* the 8 bytes of the descriptor */
} swv_desc;

typedef struct {
	uint16_t size;		  /* bytes of the whole record, this header included */
	uint16_t flags;
	uint32_t form;		  /* line key in forms.tsv */
	uint16_t undef;		  /* EFLAGS bits undefined after this instruction */
	uint8_t undef_fsw;	  /* bit i: condition code Ci of the x87 status word undefined */
	uint8_t ilen;
	uint8_t vector;		  /* 0xFF: completed; else the fault's vector */
	uint8_t nin, ninmem, nout, noutmem, pad[3];
	/* then: if vector != 0xFF {u32 err; u64 cr2}; code[ilen];
	 * nin x {u8 id; value}; ninmem x {u64 addr; u16 len; bytes};
	 * nout x {u8 id; value}; noutmem x {u64 addr; u16 len; bytes} */
} swv_rec;

typedef struct {
	uint64_t gpr[16], rip, rflags, fsbase, gsbase, k[8];
	uint32_t mxcsr;
	uint16_t fcw, fsw, sel[6];
	uint8_t ftw, st[8][10], xmm[16][16], ymmh[16][16], zmmh[16][32], zmm[16][64];
} swv_state;

typedef struct { uint64_t addr; uint16_t len; const uint8_t *p; } swv_mem;

typedef struct {		  /* one expanded vector */
	swv_rec h;
	uint32_t err;
	uint64_t cr2;
	const uint8_t *code;
	swv_state in, out;	  /* full states before and after */
	int ninmem, noutmem;
	swv_mem inmem[256], outmem[256]; /* inmem: written over the regions' fill before; outmem: bytes
					    that changed against (fill + inmem); every other byte must not change */
} swv_vec;

typedef struct {
	FILE *f;
	swv_header h;
	swv_seg seg[6];
	swv_region region[32];
	swv_desc desc[64];
	swv_state base;
	uint8_t buf[65536];
} swv_file;

static inline uint8_t swv_bg(uint64_t a) { return (uint8_t)(((uint32_t)a * 0x9E3779B1u) >> 24); }

static inline int swv_reg_size(int id)
{
	if (id >= SWV_SEL && id < SWV_K) return 2;
	if (id <= SWV_RFLAGS || (id >= SWV_FSBASE && id < SWV_ZMMH)) return 8;
	if (id == SWV_FTW) return 1;
	if (id == SWV_MXCSR) return 4;
	if (id < SWV_MXCSR) return 2;
	if (id < SWV_XMM) return 10;
	return id < SWV_FSBASE ? 16 : id < SWV_ZMM ? 32 : 64;
}

static inline void *swv_reg(swv_state *s, int id)
{
	if (id < 16) return &s->gpr[id];
	switch (id) {
	case SWV_RIP: return &s->rip;
	case SWV_RFLAGS: return &s->rflags;
	case SWV_FCW: return &s->fcw;
	case SWV_FSW: return &s->fsw;
	case SWV_FTW: return &s->ftw;
	case SWV_MXCSR: return &s->mxcsr;
	case SWV_FSBASE: return &s->fsbase;
	case SWV_GSBASE: return &s->gsbase;
	}
	if (id >= SWV_ST && id < SWV_ST + 8) return s->st[id - SWV_ST];
	if (id >= SWV_XMM && id < SWV_YMMH) return s->xmm[id - SWV_XMM];
	if (id >= SWV_YMMH && id < SWV_FSBASE) return s->ymmh[id - SWV_YMMH];
	if (id >= SWV_SEL && id < SWV_K) return &s->sel[id - SWV_SEL];
	if (id >= SWV_K && id < SWV_ZMMH) return &s->k[id - SWV_K];
	if (id >= SWV_ZMMH && id < SWV_ZMM) return s->zmmh[id - SWV_ZMMH];
	if (id >= SWV_ZMM && id < SWV_NREG) return s->zmm[id - SWV_ZMM];
	return NULL;
}

/* Both return where the list ends, or NULL for one that names no register or goes beyond `end`. */
static inline const uint8_t *swv_getregs(swv_state *s, int n, const uint8_t *p, const uint8_t *end)
{
	while (p && n-- > 0) {
		int id = p < end ? *p++ : SWV_NREG, sz = swv_reg_size(id);
		void *r = swv_reg(s, id);
		if (!r || end - p < sz) return NULL;
		memcpy(r, p, (size_t)sz);
		p += sz;
	}
	return p;
}

static inline const uint8_t *swv_getmem(swv_mem *m, int n, const uint8_t *p, const uint8_t *end)
{
	for (; p && n-- > 0; m++) {
		if (end - p < 10) return NULL;
		memcpy(&m->addr, p, 8);
		memcpy(&m->len, p + 8, 2);
		m->p = p + 10;
		if (end - m->p < m->len) return NULL;
		p = m->p + m->len;
	}
	return p;
}

/* Opens a stream (for instance stdin fed by "zstd -dc file"). 0 on success. */
static inline int swv_open(swv_file *v, FILE *f)
{
	uint8_t e[65];
	v->f = f;
	memset(&v->base, 0, sizeof v->base);
	if (fread(&v->h, sizeof v->h, 1, f) != 1 || memcmp(v->h.magic, SWV_MAGIC, 8) || v->h.version != 1 ||
	    v->h.nregion > 32 || v->h.ndesc > 64 || fread(v->seg, sizeof v->seg, 1, f) != 1 ||
	    fread(v->region, sizeof *v->region, v->h.nregion, f) != v->h.nregion ||
	    fread(v->desc, sizeof *v->desc, v->h.ndesc, f) != v->h.ndesc)
		return -1;
	for (int i = 0; i < v->h.nbase; i++) {
		if (fread(e, 1, 1, f) != 1 || !swv_reg(&v->base, e[0]) ||
		    fread(e + 1, (size_t)swv_reg_size(e[0]), 1, f) != 1)
			return -1;
		swv_getregs(&v->base, 1, e, e + sizeof e);
	}
	return 0;
}

/* Reads and expands the next record: 1 = got one, 0 = end, -1 = malformed. */
static inline int swv_next(swv_file *v, swv_vec *r)
{
	const uint8_t *p = v->buf, *end;
	if (fread(v->buf, 2, 1, v->f) != 1) return 0;
	memcpy(&r->h.size, p, 2);
	if (r->h.size < sizeof r->h || fread(v->buf + 2, (size_t)(r->h.size - 2), 1, v->f) != 1) return -1;
	end = p + r->h.size;
	memcpy(&r->h, p, sizeof r->h);
	p += sizeof r->h;
	r->err = 0, r->cr2 = 0;
	if (end - p < (r->h.vector != 0xFF ? 12 : 0) + r->h.ilen) return -1;
	if (r->h.vector != 0xFF) memcpy(&r->err, p, 4), memcpy(&r->cr2, p + 4, 8), p += 12;
	r->code = p, p += r->h.ilen;
	r->in = v->base;
	p = swv_getregs(&r->in, r->h.nin, p, end);
	p = swv_getmem(r->inmem, r->ninmem = r->h.ninmem, p, end);
	r->out = r->in;
	p = swv_getregs(&r->out, r->h.nout, p, end);
	p = swv_getmem(r->outmem, r->noutmem = r->h.noutmem, p, end);
	return p == end ? 1 : -1;
}
#endif
