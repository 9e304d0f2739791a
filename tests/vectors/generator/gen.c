/* SPDX-License-Identifier: MIT */
/* gen.c - enumerates x86 instruction forms with Zydis, builds input states, runs them on the
 * host CPU (exec.c) and writes vector files in the SWV format (swv.h).
 * usage: gen -m 64|32|16 [-n states] [-s seed] [-o dir] [-f family] [-k mnemonic] [-e] [-l] */
#define _GNU_SOURCE
#include <Zydis/Zydis.h>
#include <getopt.h>
#include <unistd.h>
#include "exec.h"

typedef uint64_t u64;
typedef uint8_t u8;
typedef ZydisDecodedInstruction Insn;
typedef ZydisDecodedOperand Op;

/* ---- options and random numbers ---- */
static int mode = 64, nstates = 48;
static u64 seed = 1;
static bool want_evex, list_only;
static const char *outdir = ".", *only_family, *only_mnemonic;
static ZydisDecoder dec;

static u64 rs;
static u64 mix(u64 z)
{
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
	return z ^ (z >> 31);
}
static u64 rnd(void) { return mix(rs += 0x9E3779B97F4A7C15ull); }
static u64 below(u64 n) { return rnd() % n; }
static bool pct(unsigned p) { return below(100) < p; }

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
static Form *forms;
static size_t nforms, capforms;
static u64 *hset;
enum { HBITS = 20 };

static bool seen(u64 key)
{
	size_t i = key >> (64 - HBITS);
	for (;; i = (i + 1) & ((1u << HBITS) - 1)) {
		if (hset[i] == key) return true;
		if (!hset[i]) return hset[i] = key, false;
	}
}

static void fnv(u64 *h, u64 v)
{
	for (int i = 0; i < 8; i++) *h = (*h ^ (u8)(v >> 8 * i)) * 0x100000001B3ull;
}

/* Identity of a form: everything but the values of encoded registers, addresses, immediates. */
static u64 form_key(const Insn *in, const Op *op)
{
	u64 h = 0xCBF29CE484222325ull, opc = in->opcode;
	for (int i = 0; i < in->operand_count; i++)
		if (op[i].encoding == ZYDIS_OPERAND_ENCODING_OPCODE) opc &= ~7u;
	fnv(&h, in->mnemonic), fnv(&h, in->encoding), fnv(&h, in->opcode_map), fnv(&h, opc);
	fnv(&h, in->attributes & (ZYDIS_ATTRIB_HAS_LOCK | ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE));
	fnv(&h, in->avx.vector_length), fnv(&h, in->avx.mask.mode), fnv(&h, in->avx.broadcast.mode);
	fnv(&h, in->avx.rounding.mode != 0), fnv(&h, in->avx.has_sae);
	for (int i = 0; i < in->operand_count; i++) {
		const Op *o = &op[i];
		bool fixed = o->encoding == ZYDIS_OPERAND_ENCODING_NONE;
		fnv(&h, o->type), fnv(&h, o->encoding), fnv(&h, o->visibility), fnv(&h, o->size);
		fnv(&h, o->element_type), fnv(&h, o->actions);
		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER)
			fnv(&h, fixed ? o->reg.value : ZydisRegisterGetClass(o->reg.value));
		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY) {
			fnv(&h, o->mem.type);
			if (fixed) fnv(&h, o->mem.base), fnv(&h, o->mem.index);
			if (o->mem.type == ZYDIS_MEMOP_TYPE_VSIB) fnv(&h, ZydisRegisterGetClass(o->mem.index));
		}
	}
	return mix(h) | 1;
}

static int emit_head(const Enc *e, u8 *b, int rex, int rxb, int vvvv, int seg)
{
	int n = 0;
	if (seg) b[n++] = seg;
	if (e->p67) b[n++] = 0x67;
	if (e->kind == LEGACY) {
		if (e->p66) b[n++] = 0x66;
		if (e->lock) b[n++] = 0xF0;
		if (e->rep) b[n++] = e->rep;
		if (rex) b[n++] = 0x40 | e->w << 3 | rxb;
		if (e->map) b[n++] = 0x0F;
		if (e->map == 2) b[n++] = 0x38;
		if (e->map == 3) b[n++] = 0x3A;
	} else if (e->kind == VEX) {
		int w = e->w << 7 | (~vvvv & 15) << 3 | e->L << 2 | e->pp;
		if (e->map == 1 && !e->w && !(rxb & 3) && (vvvv & 1 || mode != 64)) {
			b[n++] = 0xC5;
			b[n++] = (~rxb & 4) << 5 | (w & 0x7F);
		} else {
			b[n++] = 0xC4;
			b[n++] = (~rxb & 7) << 5 | e->map;
			b[n++] = w;
		}
	} else {
		b[n++] = 0x62;
		b[n++] = (~rxb & 7) << 5 | (~rxb & 8) << 1 | e->map;
		b[n++] = e->w << 7 | (~vvvv & 15) << 3 | 4 | e->pp;
		b[n++] = e->z << 7 | (e->L & 3) << 5 | e->b << 4 | (~vvvv & 16) >> 1 | e->aaa;
	}
	b[n++] = e->op;
	return n;
}

/* Mnemonics whose result is not a function of the recorded state, that enter the kernel or the
 * hypervisor, or that need descriptor tables. */
static bool excluded(const Insn *in)
{
	static const ZydisMnemonic no[] = {
#define X(m) ZYDIS_MNEMONIC_##m
		X(SYSCALL), X(SYSENTER), X(SYSEXIT), X(SYSRET), X(INT), X(INT1), X(INT3),
		X(RDTSC), X(RDTSCP), X(RDRAND), X(RDSEED), X(CPUID), X(XGETBV), X(RDPMC), X(RDPID),
		X(RDPRU), X(SLDT), X(STR), X(SGDT), X(SIDT), X(SMSW),
		X(MONITOR), X(MWAIT), X(MONITORX), X(MWAITX), X(UD0), X(UD1), X(UD2),
		X(XBEGIN), X(XEND), X(XABORT), X(XTEST), X(VMCALL), X(VMMCALL), X(VMFUNC),
		X(XSAVE), X(XSAVE64), X(XSAVEC), X(XSAVEC64), X(XSAVEOPT), X(XSAVEOPT64), X(XSAVES), X(XSAVES64),
		X(XRSTOR), X(XRSTOR64), X(XRSTORS), X(XRSTORS64), X(UMWAIT), X(TPAUSE), X(UMONITOR), X(MCOMMIT),
		X(PCONFIG), X(ENCLU), X(ENCLS), X(ENCLV), X(GETSEC), X(RSM), X(SKINIT), X(STGI), X(CLGI),
		X(VMRUN), X(VMLOAD), X(VMSAVE), X(VMLAUNCH), X(VMRESUME), X(INVLPGA), X(INVLPGB), X(TLBSYNC),
		X(SENDUIPI), X(UIRET), X(CLUI), X(STUI), X(TESTUI), X(XSETBV), X(SEAMCALL),
		X(SALC), X(PSMASH), X(PVALIDATE), X(RMPADJUST), X(RMPUPDATE),
#undef X
	};
	for (size_t i = 0; i < sizeof no / sizeof *no; i++)
		if (in->mnemonic == no[i]) return true;
	return false;
}

static bool is_priv(const Insn *in)
{
	if (in->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED) return true;
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_IN: case ZYDIS_MNEMONIC_OUT: case ZYDIS_MNEMONIC_CLI: case ZYDIS_MNEMONIC_STI:
	case ZYDIS_MNEMONIC_INSB: case ZYDIS_MNEMONIC_INSW: case ZYDIS_MNEMONIC_INSD:
	case ZYDIS_MNEMONIC_OUTSB: case ZYDIS_MNEMONIC_OUTSW: case ZYDIS_MNEMONIC_OUTSD:
	case ZYDIS_MNEMONIC_LGDT: case ZYDIS_MNEMONIC_LIDT: case ZYDIS_MNEMONIC_LLDT: case ZYDIS_MNEMONIC_LTR: return true;
	default: return false;
	}
}

static bool is_fxsr(const Insn *in)
{
	return in->mnemonic == ZYDIS_MNEMONIC_FXSAVE || in->mnemonic == ZYDIS_MNEMONIC_FXSAVE64 ||
	       in->mnemonic == ZYDIS_MNEMONIC_FXRSTOR || in->mnemonic == ZYDIS_MNEMONIC_FXRSTOR64;
}

/* Segment-register loads, far transfers, descriptor queries. */
static bool is_seg(const Insn *in, const Op *op)
{
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_LAR: case ZYDIS_MNEMONIC_LSL: case ZYDIS_MNEMONIC_VERR: case ZYDIS_MNEMONIC_VERW:
	case ZYDIS_MNEMONIC_IRET: case ZYDIS_MNEMONIC_IRETD: case ZYDIS_MNEMONIC_IRETQ: return true;
	default: break;
	}
	if (in->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR) return true;
	for (int i = 0; i < in->operand_count; i++)
		if (op[i].type == ZYDIS_OPERAND_TYPE_REGISTER && op[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE &&
		    ZydisRegisterGetClass(op[i].reg.value) == ZYDIS_REGCLASS_SEGMENT)
			return true;
	return false;
}

static const char *family_of(const Insn *in, const Op *op)
{
	if (is_seg(in, op)) return "seg";
	if (is_priv(in)) return "priv";
	switch (in->meta.isa_ext) {
	case ZYDIS_ISA_EXT_X87: return "x87";
	case ZYDIS_ISA_EXT_SSE:
		if (is_fxsr(in)) return "fxsr";
		break;
	case ZYDIS_ISA_EXT_BASE:
		if (is_fxsr(in)) return "fxsr";
		break;
	case ZYDIS_ISA_EXT_MMX: case ZYDIS_ISA_EXT_AMD3DNOW: return "mmx";
	case ZYDIS_ISA_EXT_AES: case ZYDIS_ISA_EXT_AVXAES: case ZYDIS_ISA_EXT_VAES: case ZYDIS_ISA_EXT_SHA:
	case ZYDIS_ISA_EXT_PCLMULQDQ: case ZYDIS_ISA_EXT_VPCLMULQDQ: case ZYDIS_ISA_EXT_GFNI:
		if (in->encoding != ZYDIS_INSTRUCTION_ENCODING_EVEX) return "crypto";
		break;
	case ZYDIS_ISA_EXT_BMI1: case ZYDIS_ISA_EXT_BMI2: case ZYDIS_ISA_EXT_ADOX_ADCX: case ZYDIS_ISA_EXT_LZCNT:
	case ZYDIS_ISA_EXT_MOVBE: return "bmi";
	default: break;
	}
	if (in->mnemonic == ZYDIS_MNEMONIC_POPCNT || in->mnemonic == ZYDIS_MNEMONIC_CRC32) return "bmi";
	if (in->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX || in->meta.isa_ext == ZYDIS_ISA_EXT_AVX512VEX) return "avx512";
	if (in->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX) return "avx";
	if (!strncmp(ZydisISAExtGetString(in->meta.isa_ext), "SSE", 3) || !strncmp(ZydisISAExtGetString(in->meta.isa_ext), "SSSE", 4))
		return "sse";
	return "int";
}

static void signature(const Enc *e, const Insn *in, const Op *op, char *s, size_t cap)
{
	static const char *const maps[] = {"", "0F.", "0F38.", "0F3A.", "?", "?", "?", "?"};
	int n = snprintf(s, cap, "%s%s%s%s%s%s%02X", e->kind == VEX ? "VEX." : e->kind == EVEX ? "EVEX." : "",
			 e->kind == LEGACY && e->p66 ? "66." : "", e->lock ? "F0." : "",
			 e->rep == 0xF2 ? "F2." : e->rep == 0xF3 ? "F3." : "", e->p67 ? "67." : "", maps[e->map & 7], e->op);
	if (e->kind != LEGACY) n += snprintf(s + n, cap - n, "(pp%d,L%d,W%d)", e->pp, e->L, e->w);
	for (int i = 0; i < in->operand_count_visible; i++) {
		const Op *o = &op[i];
		const char *t = "i";
		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY) t = "m";
		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER)
			switch (ZydisRegisterGetClass(o->reg.value)) {
			case ZYDIS_REGCLASS_GPR8: case ZYDIS_REGCLASS_GPR16: case ZYDIS_REGCLASS_GPR32:
			case ZYDIS_REGCLASS_GPR64: t = "r"; break;
			case ZYDIS_REGCLASS_X87: t = "st"; break;
			case ZYDIS_REGCLASS_MMX: t = "mm"; break;
			case ZYDIS_REGCLASS_XMM: t = "x"; break;
			case ZYDIS_REGCLASS_YMM: t = "y"; break;
			case ZYDIS_REGCLASS_ZMM: t = "z"; break;
			default: t = "s"; break;
			}
		n += snprintf(s + n, cap - n, "%c%s%d", i ? ',' : ' ', t, o->size);
	}
}

static void consider(const Enc *e)
{
	u8 b[32] = {0};
	Insn in;
	Op op[ZYDIS_MAX_OPERAND_COUNT];
	int n = emit_head(e, b, e->kind == LEGACY && e->w, 0, e->kind == LEGACY ? 0 : 1, 0);
	b[n] = e->modrm;
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, b, 15, &in, op))) {
		if (e->kind == LEGACY) return;
		n = emit_head(e, b, 0, 0, 0, 0); /* vvvv must be 1111b */
		b[n] = e->modrm;
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, b, 15, &in, op))) return;
	}
	if (excluded(&in) || (!want_evex && !strcmp(family_of(&in, op), "avx512"))) return;
	u64 key = form_key(&in, op);
	if (seen(key)) return;
	if (nforms == capforms) forms = realloc(forms, (capforms = capforms * 2 + 1024) * sizeof *forms);
	Form *f = &forms[nforms++];
	*f = (Form){.e = *e, .key = key, .mn = in.mnemonic, .isa = ZydisISASetGetString(in.meta.isa_set), .priv = is_priv(&in)};
	f->e.has_modrm = !!(in.attributes & ZYDIS_ATTRIB_HAS_MODRM);
	f->id = (uint32_t)(key >> 32);
	snprintf(f->family, sizeof f->family, "%s", family_of(&in, op));
	signature(e, &in, op, f->sig, sizeof f->sig);
}

static void enumerate(void)
{
	static const u8 reps[] = {0, 0xF3, 0xF2};
	Enc e = {0};
	hset = calloc(1u << HBITS, sizeof *hset);
	int nmod = 72;
#define MODRM(i) ((i) < 64 ? 0xC0 | (i) : ((i) - 64) << 3 | (mode == 16 ? 7 : 3))
	for (int p67 = 0; p67 < 2; p67++)
		for (int lock = 0; lock < 2; lock++)
			for (int r = 0; r < 3; r++)
				for (int p66 = 0; p66 < 2; p66++)
					for (int w = 0; w <= (mode == 64); w++)
						for (int map = 0; map < 4; map++)
							for (int o = 0; o < 256; o++)
								for (int i = 0; i < nmod; i++) {
									if (!map && ((o & 0xE7) == 0x26 || (o & 0xFC) == 0x64 || o == 0xF0 || o == 0xF2 || o == 0xF3 ||
										     o == 0x0F || (mode == 64 && (o & 0xF0) == 0x40)))
										continue;
									e = (Enc){.kind = LEGACY, .map = map, .op = o, .p66 = p66, .rep = reps[r], .lock = lock,
										  .w = w, .p67 = p67, .modrm = MODRM(i), .has_modrm = true};
									consider(&e);
								}
	for (int map = 1; map < 4; map++)
		for (int L = 0; L < 2; L++)
			for (int pp = 0; pp < 4; pp++)
				for (int w = 0; w < 2; w++)
					for (int o = 0; o < 256; o++)
						for (int i = 0; i <= nmod + 8; i++) {
							e = (Enc){.kind = VEX, .map = map, .op = o, .L = L, .pp = pp, .w = w, .has_modrm = true,
								  .modrm = i < nmod ? MODRM(i) : (i - nmod) << 3 | 4};
							consider(&e);
						}
	for (int map = 1; want_evex && map < 4; map++)
		for (int v = 0; v < 3 * 4 * 2 * 2 * 2 * 2; v++)
			for (int o = 0; o < 256; o++)
				for (int i = 0; i <= nmod + 8; i++) {
					e = (Enc){.kind = EVEX, .map = map, .op = o, .L = v % 3, .pp = v / 3 % 4, .w = v / 12 % 2, .b = v / 24 % 2,
						  .z = v / 48 % 2, .aaa = v / 96 ? 1 : 0, .has_modrm = true, .modrm = i < nmod ? MODRM(i) : (i - nmod) << 3 | 4};
					consider(&e);
				}
}

/* ---- values ---- */
static u64 rnd_int(void)
{
	static const u64 corner[] = {0, 1, 2, ~0ull, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
				     0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFF80000000, 0x8080808080808080, 0x5555555555555555, 0x3F, 0x40};
	u64 r = rnd();
	switch (below(8)) {
	case 0: case 1: case 2: return corner[below(sizeof corner / sizeof *corner)];
	case 3: return r & 0xFF;
	case 4: return 1ull << (r & 63);
	case 5: return (u64)((int64_t)r >> (rnd() & 63));
	default: return r;
	}
}
static uint32_t rnd_f32(void)
{
	static const uint32_t c[] = {0, 0x80000000, 0x3F800000, 0xBF800000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000, 0x7F800001, 0x7FBFFFFF,
				     0x00000001, 0x807FFFFF, 0x00800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x3F000000, 0x4EFFFFFF, 0x4F000000, 0xCF000000, 0x5F000000, 0x33800000, 0x3F800001};
	uint32_t r = (uint32_t)rnd();
	switch (below(4)) {
	case 0: return c[below(sizeof c / sizeof *c)];
	case 1: return r;
	default: return (r & 0x807FFFFF) | (uint32_t)(127 - 12 + below(36)) << 23; /* moderate exponents */
	}
}
static u64 rnd_f64(void)
{
	static const u64 c[] = {0, 0x8000000000000000, 0x3FF0000000000000, 0xBFF0000000000000, 0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000, 0xFFF8000000000000,
				0x7FF0000000000001, 0x7FF7FFFFFFFFFFFF, 1, 0x800FFFFFFFFFFFFF, 0x0010000000000000, 0x7FEFFFFFFFFFFFFF, 0x41DFFFFFFFC00000, 0xC1E0000000000000,
				0x43E0000000000000, 0xC3E0000000000000, 0x3FE0000000000000, 0x47EFFFFFF0000000, 0x3690000000000000, 0x3FF0000000000001};
	u64 r = rnd();
	switch (below(4)) {
	case 0: return c[below(sizeof c / sizeof *c)];
	case 1: return r;
	default: return (r & 0x800FFFFFFFFFFFFF) | (u64)(1023 - 20 + below(70)) << 52;
	}
}
static void rnd_f80(u8 *p)
{
	static const struct { uint16_t se; u64 m; } c[] = {
		{0, 0}, {0x8000, 0}, {0x3FFF, 1ull << 63}, {0xBFFF, 1ull << 63}, {0x7FFF, 1ull << 63}, {0xFFFF, 1ull << 63}, {0x7FFF, 3ull << 62}, {0xFFFF, 3ull << 62},
		{0x7FFF, (1ull << 63) | 1}, {0xFFFF, (1ull << 63) | 12345}, {0, 1}, {0x8000, 0x7FFFFFFFFFFFFFFF}, {0, 1ull << 63}, {1, 1ull << 63}, {0x7FFE, ~0ull}, {0xFFFE, ~0ull},
		{0x7FFF, 0}, {0x3FFF, 1}, {0x4000, 0xC90FDAA22168C235}, {0x3FFE, 1ull << 63}, {0x401D, ~0ull}, {0x401E, 1ull << 63}, {0x403E, 1ull << 63}, {0x400E, ~0ull}, {0x403A, 0xDE0B6B3A763FFFF0}};
	uint16_t se;
	u64 m = rnd();
	switch (below(5)) {
	case 0: { int i = (int)below(sizeof c / sizeof *c); se = c[i].se, m = c[i].m; break; }
	case 1: se = (uint16_t)rnd(); if (pct(90)) m |= 1ull << 63; break;
	case 2: { u64 v = rnd_int() >> 1 | 1; int k = __builtin_clzll(v); m = v << k, se = (uint16_t)(0x3FFF + 63 - k) | (rnd() & 0x8000); break; }
	default: m |= 1ull << 63, se = (uint16_t)(0x3FFF - 20 + below(60)) | (rnd() & 0x8000);
	}
	memcpy(p, &m, 8), memcpy(p + 8, &se, 2);
}
static void rnd_bytes(u8 *p, int n, ZydisElementType t)
{
	int style = (int)below(4), i = 0;
	while (i < n) {
		u64 v = rnd_int();
		u8 tmp[16];
		int k = 8;
		if (t == ZYDIS_ELEMENT_TYPE_FLOAT32) { uint32_t f = rnd_f32(); memcpy(tmp, &f, k = 4); }
		else if (t == ZYDIS_ELEMENT_TYPE_FLOAT16) { uint16_t f = (uint16_t)rnd(); memcpy(tmp, &f, k = 2); }
		else if (t == ZYDIS_ELEMENT_TYPE_FLOAT64) { v = rnd_f64(); memcpy(tmp, &v, 8); }
		else if (t == ZYDIS_ELEMENT_TYPE_FLOAT80) rnd_f80(tmp), k = 10;
		else if (t == ZYDIS_ELEMENT_TYPE_LONGBCD) { for (k = 0; k < 10; k++) tmp[k] = pct(80) ? (u8)(below(10) | below(10) << 4) : (u8)rnd(); }
		else { if (style == 1) v = rnd(); if (style == 2) v = rnd() & rnd() & rnd(); memcpy(tmp, &v, k = n - i < 8 ? n - i : 8); }
		if (k > n - i) k = n - i;
		memcpy(p + i, tmp, k);
		i += k;
	}
}

/* ---- one test instance ---- */
typedef struct {
	u8 code[16];
	Insn in;
	Op op[ZYDIS_MAX_OPERAND_COUNT];
	swv_state s;
	struct { u64 addr; u8 b[512]; uint16_t len; } mem[SWV_MAXMEM];
	int nmem;
} Test;
static swv_state base_state;

static int gpr_index(ZydisRegister r, int *shift)
{
	*shift = 0;
	if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH) { *shift = 8; return r - ZYDIS_REGISTER_AH; }
	ZydisRegisterClass c = ZydisRegisterGetClass(r);
	if (c != ZYDIS_REGCLASS_GPR8 && c != ZYDIS_REGCLASS_GPR16 && c != ZYDIS_REGCLASS_GPR32 && c != ZYDIS_REGCLASS_GPR64) return -1;
	return ZydisRegisterGetId(ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r));
}
static u64 reg_mask(void) { return mode == 64 ? ~0ull : 0xFFFFFFFFull; }
static void set_gpr(swv_state *s, int i, u64 v) { s->gpr[i] = v & reg_mask(); }
static u64 amask(int bits) { return bits >= 64 ? ~0ull : (1ull << bits) - 1; }

static int seg_of(ZydisRegister r)
{
	switch (r) {
	case ZYDIS_REGISTER_ES: return 0;
	case ZYDIS_REGISTER_CS: return 1;
	case ZYDIS_REGISTER_SS: return 2;
	case ZYDIS_REGISTER_FS: return 4;
	case ZYDIS_REGISTER_GS: return 5;
	default: return 3;
	}
}
static u64 seg_base(const swv_state *s, int sg)
{
	if (mode != 64) return x_seg[sg].base;
	return sg == 4 ? s->fsbase : sg == 5 ? s->gsbase : 0;
}

/* Puts a memory window into the test's initial memory if mapped. */
static void put_mem(Test *t, u64 lin, const u8 *b, int len)
{
	if (mode != 64) lin &= 0xFFFFFFFF;
	while (len > 0 && t->nmem < SWV_MAXMEM) {
		int k = (int)(0x1000 - (lin & 0xFFF));
		if (k > len) k = len;
		u8 *p = x_ptr(lin);
		if (p) {
			t->mem[t->nmem].addr = lin, t->mem[t->nmem].len = (uint16_t)k;
			memcpy(t->mem[t->nmem++].b, b, k);
			memcpy(p, b, k);
		}
		lin += k, b += k, len -= k;
		if (mode != 64) lin &= 0xFFFFFFFF;
	}
}

static u64 code_target(void)
{
	u64 t = (mode == 64 ? 0x400010000000 : mode == 32 ? 0x10000000 : 0x1000) + 0x40 + below(0x500);
	return t;
}

/* Chooses the linear address a memory operand of n bytes should have. */
static u64 pick_target(int sg, u64 sbase, int abits, int n, bool stack)
{
	u64 d = mode == 64 ? (abits == 64 && pct(85) ? 0x400010010000 : 0x20010000) : mode == 32 ? 0x10010000 : sbase + 0x4000;
	unsigned c = (unsigned)below(100);
	int al = stack ? 8 : n >= 64 ? 16 : n > 16 ? 32 : n > 8 ? 16 : n ? n : 1;
	if (n < 1) n = 1;
	(void)sg;
	if (c < 52) return d + 0x80 + (below(0x1E00) & ~(u64)(al - 1));
	if (c < 72) return d + 0x80 + below(0x1E00);
	if (c < 77) return d + 0x80 + (below(0x1E00) & ~63ull) + 64 - 1 - below(n);
	if (c < 84) return d + 0x1000 - 1 - below(n);
	if (c < 87) return d + 0x2000 - 1 - below(n);
	if (c < 89) return d + 0x3000 - 1 - below(n);
	if (c < 90) return d - 1 - below(n);
	if (c < 92) return d + 0x3000 + below(0x1000);
	if (c < 94) return d - 0x1000 + below(0x1000 - n);
	if (c < 97) return d + 0x2000 + below(0x1000 - n);
	if (mode == 16) return sbase + 0x10000 - 1 - below(n + 2);
	if (mode == 32) return sg >= 4 ? sbase + below(0x2000) : (pct(50) ? 0xFFFFFFFF - below(n + 1) : d);
	if (abits == 64) return pct(50) ? 0x0000800000000000 - below(n + 1) : 0x8000000000000000 | rnd() >> 8;
	return d;
}

static void patch_disp(Test *t, u64 v)
{
	memcpy(t->code + t->in.raw.disp.offset, &v, t->in.raw.disp.size / 8);
}

static u64 gpr_val(const swv_state *s, ZydisRegister r, int bits)
{
	int sh, i = gpr_index(r, &sh);
	return i < 0 ? 0 : (s->gpr[i] >> sh) & amask(bits);
}

/* Solves registers/displacement so that the operand lies at `want`; returns the real linear address. */
static u64 solve_mem(Test *t, const Op *o, u64 want)
{
	const ZydisDecodedOperandMem *m = &o->mem;
	int sh, ab = t->in.address_width;
	if (o->encoding == ZYDIS_OPERAND_ENCODING_NONE && m->base != ZYDIS_REGISTER_NONE && (m->base == ZYDIS_REGISTER_RSP || m->base == ZYDIS_REGISTER_ESP || m->base == ZYDIS_REGISTER_SP))
		ab = t->in.stack_width;
	u64 sb = seg_base(&t->s, seg_of(m->segment)), off = (want - sb) & amask(ab);
	u64 disp = (u64)m->disp.value, garbage = rnd() & ~amask(ab);
	bool vsib = m->type == ZYDIS_MEMOP_TYPE_VSIB;
	int bi = gpr_index(m->base, &sh), ii = vsib ? -1 : gpr_index(m->index, &sh);
	if (m->base == ZYDIS_REGISTER_RIP || m->base == ZYDIS_REGISTER_EIP) {
		u64 next = t->s.rip + t->in.length;
		patch_disp(t, want - next);
		return (next + (u64)(int64_t)(int32_t)(want - next)) & amask(ab);
	}
	if (bi < 0 && ii < 0) {
		if (t->in.raw.disp.size) patch_disp(t, off), disp = t->in.raw.disp.size == 32 ? (u64)(int64_t)(int32_t)off : off & amask(t->in.raw.disp.size);
		return (sb + (disp & amask(ab))) & reg_mask();
	}
	u64 sc = m->scale ? m->scale : 1;
	if (m->base != ZYDIS_REGISTER_NONE && bi >= 0 && ii >= 0 && bi != ii) {
		if (t->in.mnemonic == ZYDIS_MNEMONIC_XLAT) set_gpr(&t->s, ii, (t->s.gpr[ii] & ~0xFFull) | below(256));
		else if (pct(70)) set_gpr(&t->s, ii, below(0x400) | garbage);
		set_gpr(&t->s, bi, ((off - disp - gpr_val(&t->s, m->index, 64) * sc) & amask(ab)) | garbage);
	} else if (bi >= 0 && ii >= 0) {
		set_gpr(&t->s, bi, (((off - disp) & amask(ab)) / (sc + 1)) | garbage);
	} else if (bi >= 0) {
		set_gpr(&t->s, bi, ((off - disp) & amask(ab)) | (bi == 4 ? 0 : garbage));
	} else {
		set_gpr(&t->s, ii, (((off - disp) & amask(ab)) / sc) | garbage);
	}
	u64 ea = disp + (bi >= 0 ? gpr_val(&t->s, m->base, 64) : 0) + (ii >= 0 ? gpr_val(&t->s, m->index, t->in.mnemonic == ZYDIS_MNEMONIC_XLAT ? 8 : 64) * sc : 0);
	return (sb + (ea & amask(ab))) & reg_mask();
}

/* Random re-encoding of a form; false if the key could not be kept. */
static bool build(const Form *f, Test *t)
{
	for (int try = 0; try < 60; try++) {
		Enc e = f->e;
		u8 *b = t->code;
		memset(b, 0, sizeof t->code);
		int rxb = 0, rex = 0, vvvv = 0, seg = 0, mod = e.modrm >> 6, reg = e.modrm >> 3 & 7, rm = e.modrm & 7;
		bool keep = try > 40;
		if (mode == 64 && !keep) {
			rxb = e.kind == LEGACY && pct(40) ? 0 : (int)below(e.kind == EVEX ? 16 : 8);
			if (pct(40)) rxb &= 4;
		}
		if (e.kind == LEGACY) rex = mode == 64 && (e.w || rxb || pct(15));
		else if (try < 50) vvvv = pct(60) ? (int)below(e.kind == EVEX && mode == 64 ? 32 : mode == 64 ? 16 : 8) : 0;
		if (e.has_modrm) {
			if (!keep && pct(70)) reg = (int)below(8);
			if (mod == 3) { if (!keep && pct(80)) rm = (int)below(8); }
			else {
				if (pct(10)) e.p67 ^= 1;
				if (pct(12)) { static const u8 sg[] = {0x64, 0x65, 0x2E, 0x36, 0x3E, 0x26}; seg = sg[below(6)]; }
				if (rm != 4 || !(e.modrm < 0xC0) || pct(0)) { if (!keep) mod = (int)below(3), rm = (int)below(8); }
				else mod = (int)below(3); /* VSIB representative */
			}
		}
		if (e.kind == EVEX && e.aaa) e.aaa = 1 + (u8)below(7);
		int n = emit_head(&e, b, rex, rxb, vvvv, seg);
		if (f->e.has_modrm) b[n++] = (u8)(mod << 6 | reg << 3 | rm);
		for (int i = n; i < 15; i++) b[i] = pct(25) ? (u8)(pct(50) ? 0 : 0xFF) : (u8)rnd();
		/* opcode-embedded register */
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, b, 15, &t->in, t->op))) continue;
		for (int i = 0; i < t->in.operand_count; i++)
			if (t->op[i].encoding == ZYDIS_OPERAND_ENCODING_OPCODE && try < 30) {
				b[n - 1] = (u8)((b[n - 1] & ~7) | below(8));
				if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, b, 15, &t->in, t->op))) goto next;
				break;
			}
		if (form_key(&t->in, t->op) != f->key) continue;
		memset(b + t->in.length, 0, 16 - t->in.length);
		return true;
	next:;
	}
	return false;
}

/* A selector: mostly of the documented descriptors, all RPLs, sometimes null or past the LDT limit. */
static uint16_t pick_sel(const Test *t, bool code)
{
	(void)t;
	if (pct(6)) return (uint16_t)below(4);
	if (pct(4)) return (uint16_t)(0xFFF8 | below(8));
	uint16_t sel = 0;
	for (int i = 0; i < 20; i++) {
		swv_desc *d = &x_desc[below(x_ndesc)];
		sel = d->sel | (pct(75) ? 3 : (uint16_t)below(4));
		if (pct(12) || (d->raw >> 43 & 1) == code) break;
	}
	return sel;
}
static u64 far_target(uint16_t sel)
{
	u64 lin = x_region[0].base == 0x400010000000 ? x_codebase : x_region[0].base, base = 0;
	if (sel >> 3 == 6 && mode == 64 && pct(50)) lin = x_region[0].base;
	for (int i = 0; i < x_ndesc; i++)
		if (x_desc[i].sel == (sel & ~3) && sel & 4) base = (x_desc[i].raw >> 16 & 0xFFFFFF) | x_desc[i].raw >> 56 << 24;
	return lin + 0x40 + below(0x500) - base;
}

static bool is_string(const Insn *in) { return in->meta.category == ZYDIS_CATEGORY_STRINGOP || in->meta.category == ZYDIS_CATEGORY_IOSTRINGOP; }

/* Fills in the whole input state for t->in. */
static void states(const Form *f, Test *t)
{
	swv_state *s = &t->s;
	Insn *in = &t->in;
	ZydisMnemonic mn = in->mnemonic;
	int sh, len = in->length;
	*s = base_state;
	t->nmem = 0;
	s->rflags = 0x202 | (rnd() & 0x8D5) | (pct(is_string(in) ? 40 : 8) ? 0x400 : 0);
	if (pct(2)) s->rflags |= 0x40000; /* AC: CR0.AM is set, so misaligned accesses raise #AC */
	u64 c0 = mode == 64 ? 0x400010000000 : mode == 32 ? 0x10000000 : 0x1000;
	s->rip = c0 + (pct(90) ? 0x800 + below(0x100) : pct(85) ? 0x1000 - below(len + 1) : 0x2000 - 1 - below(len));
	bool x87 = !strcmp(f->family, "x87") || !strcmp(f->family, "mmx") || !strcmp(f->family, "fxsr");
	for (int i = 0; i < in->operand_count; i++)
		if (t->op[i].type == ZYDIS_OPERAND_TYPE_REGISTER && ZydisRegisterGetClass(t->op[i].reg.value) == ZYDIS_REGCLASS_MMX) x87 = true;
	if (x87) {
		bool mmx = strcmp(f->family, "x87") != 0;
		for (int i = 0; i < 8; i++) rnd_f80(s->st[i]);
		if (mmx) for (int i = 0; i < 8; i++) if (pct(50)) { u64 v = rnd_int(); memcpy(s->st[i], &v, 8); }
		s->fcw = (uint16_t)(0x40 | (pct(80) ? 0x3F : rnd() & 0x3F) | (pct(50) ? 0x300 : (rnd() & 3) << 8) | (pct(50) ? 0 : (rnd() & 3) << 10));
		s->fsw = (uint16_t)((rnd() & 0x4700) | (mmx ? pct(70) ? 0 : (rnd() & 7) << 11 : (rnd() & 7) << 11) | (pct(70) ? 0 : rnd() & 0x7F));
		if (s->fsw & ~s->fcw & 0x3F) {
			if (pct(85)) s->fsw &= 0xFF40 | s->fcw; /* rarely keep a pending exception (#MF) */
		}
		if (s->fsw & ~s->fcw & 0x3F) s->fsw |= 0x8080;
		s->ftw = pct(50) ? 0xFF : (u8)rnd();
	}
	bool fl = false;
	for (int i = 0; i < in->operand_count; i++) {
		Op *o = &t->op[i];
		if (o->element_type >= ZYDIS_ELEMENT_TYPE_FLOAT16 && o->element_type <= ZYDIS_ELEMENT_TYPE_FLOAT64) fl = true;
		if (o->type != ZYDIS_OPERAND_TYPE_REGISTER) continue;
		ZydisRegisterClass c = ZydisRegisterGetClass(o->reg.value);
		int g = gpr_index(o->reg.value, &sh), id = ZydisRegisterGetId(o->reg.value);
		if (g >= 0 && o->reg.value != ZYDIS_REGISTER_RSP && o->reg.value != ZYDIS_REGISTER_ESP && (g != 4 || o->encoding != ZYDIS_OPERAND_ENCODING_NONE)) {
			u64 v = rnd_int();
			set_gpr(s, g, sh ? v << 8 | (v & 0xFF) : v);
		}
		if (c == ZYDIS_REGCLASS_XMM || c == ZYDIS_REGCLASS_YMM || c == ZYDIS_REGCLASS_ZMM) {
			ZydisElementType et = o->element_type;
			bool rd = o->actions & ZYDIS_OPERAND_ACTION_MASK_READ;
			u8 buf[64];
			rnd_bytes(buf, 64, rd ? et : ZYDIS_ELEMENT_TYPE_INT);
			if (id < 16) {
				if (rd || pct(30)) memcpy(s->xmm[id], buf, 16);
				if ((rd && c != ZYDIS_REGCLASS_XMM) || pct(10)) memcpy(s->ymmh[id], buf + 16, 16);
				if (rd && c == ZYDIS_REGCLASS_ZMM) memcpy(s->zmmh[id], buf + 32, 32);
			} else memcpy(s->zmm[id - 16], buf, 64);
		}
		if (c == ZYDIS_REGCLASS_MASK) s->k[id] = rnd_int();
	}
	if (fl || !strcmp(f->family, "sse") || !strcmp(f->family, "avx") || !strcmp(f->family, "avx512")) {
		s->mxcsr = 0x1F80;
		if (pct(50)) s->mxcsr = (uint32_t)((pct(70) ? 0x1F80 : rnd() & 0x1F80) | (rnd() & 0x603F) | (pct(20) ? 0x40 : 0) | (pct(20) ? 0x8000 : 0));
	}
	u64 *r = s->gpr;
	switch (mn) { /* values that make the interesting paths likely */
	case ZYDIS_MNEMONIC_DIV: case ZYDIS_MNEMONIC_IDIV: {
		int w = in->operand_width;
		if (pct(75)) {
			if (w == 8) r[0] = (r[0] & ~0xFFFFull) | (pct(50) ? below(0x200) : (u64)(int64_t)(int8_t)rnd() & 0xFFFF);
			else { bool neg = mn == ZYDIS_MNEMONIC_IDIV && r[0] >> (w - 1) & 1; set_gpr(s, 2, pct(50) ? (neg ? ~0ull : 0) : below(16)); }
		}
		break;
	}
	case ZYDIS_MNEMONIC_SHL: case ZYDIS_MNEMONIC_SHR: case ZYDIS_MNEMONIC_SAR: case ZYDIS_MNEMONIC_ROL: case ZYDIS_MNEMONIC_ROR:
	case ZYDIS_MNEMONIC_RCL: case ZYDIS_MNEMONIC_RCR: case ZYDIS_MNEMONIC_SHLD: case ZYDIS_MNEMONIC_SHRD:
		if (pct(70)) set_gpr(s, 1, (r[1] & ~0xFFull) | below(pct(50) ? 34 : 70));
		break;
	case ZYDIS_MNEMONIC_LOOP: case ZYDIS_MNEMONIC_LOOPE: case ZYDIS_MNEMONIC_LOOPNE: case ZYDIS_MNEMONIC_JCXZ:
	case ZYDIS_MNEMONIC_JECXZ: case ZYDIS_MNEMONIC_JRCXZ:
		if (pct(70)) set_gpr(s, 1, below(3) | (pct(50) ? rnd() << (pct(50) ? 16 : 32) : 0));
		break;
	case ZYDIS_MNEMONIC_PCMPESTRI: case ZYDIS_MNEMONIC_PCMPESTRM: case ZYDIS_MNEMONIC_VPCMPESTRI: case ZYDIS_MNEMONIC_VPCMPESTRM:
		if (pct(80)) set_gpr(s, 0, below(40) - 20), set_gpr(s, 2, below(40) - 20);
		break;
	case ZYDIS_MNEMONIC_ENTER:
		if (pct(90)) t->code[in->raw.imm[1].offset] &= 0x07, t->code[in->raw.imm[0].offset + 1] = 0;
		break;
	default: break;
	}
	if (in->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)) {
		u64 g = pct(50) ? rnd() & ~amask(in->address_width) : 0;
		set_gpr(s, 1, (pct(95) ? below(20) : 1 + below(3000)) | g);
	}
	for (int i = 0; i < in->operand_count; i++) { /* bit-test offsets: keep memory bit strings near */
		Op *o = &t->op[i];
		bool bt = mn == ZYDIS_MNEMONIC_BT || mn == ZYDIS_MNEMONIC_BTS || mn == ZYDIS_MNEMONIC_BTR || mn == ZYDIS_MNEMONIC_BTC;
		int g = o->type == ZYDIS_OPERAND_TYPE_REGISTER ? gpr_index(o->reg.value, &sh) : -1;
		if (bt && i == 1 && g >= 0 && t->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY && pct(90)) {
			u64 keepbits = pct(50) ? ~amask(o->size) & rnd() : 0;
			set_gpr(s, g, ((below(1024) - 512) & amask(o->size)) | keepbits);
		}
	}
	bool segf = !strcmp(f->family, "seg");
	if (segf) s->rflags &= ~0x40000ull;
	if (segf && in->operand_count_visible) { /* a selector in a register or a far pointer in the code */
		Op *o = &t->op[in->operand_count_visible - 1];
		int g = o->type == ZYDIS_OPERAND_TYPE_REGISTER ? gpr_index(o->reg.value, &sh) : -1;
		if (g >= 0) set_gpr(s, g, pick_sel(t, false) | (pct(50) ? rnd() << 16 : 0));
		if (o->type == ZYDIS_OPERAND_TYPE_POINTER) {
			uint16_t sel = pick_sel(t, true);
			u64 off = far_target(sel);
			memcpy(t->code + in->raw.imm[0].offset, &off, in->raw.imm[0].size / 8);
			memcpy(t->code + in->raw.imm[1].offset, &sel, 2);
		}
	}
	/* memory operands */
	bool branch = in->meta.category == ZYDIS_CATEGORY_COND_BR || in->meta.category == ZYDIS_CATEGORY_UNCOND_BR || in->meta.category == ZYDIS_CATEGORY_CALL || in->meta.category == ZYDIS_CATEGORY_RET;
	for (int i = 0; i < in->operand_count; i++) {
		Op *o = &t->op[i];
		if (o->type != ZYDIS_OPERAND_TYPE_MEMORY) continue;
		int sg = seg_of(o->mem.segment), n = o->size / 8;
		bool stk = o->encoding == ZYDIS_OPERAND_ENCODING_NONE && (ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, o->mem.base) == ZYDIS_REGISTER_RSP);
		bool agen = o->mem.type == ZYDIS_MEMOP_TYPE_AGEN, vsib = o->mem.type == ZYDIS_MEMOP_TYPE_VSIB;
		if (mn == ZYDIS_MNEMONIC_LEAVE && stk) continue;
		u64 want = pick_target(sg, seg_base(s, sg), in->address_width, n, stk);
		if (vsib) { /* indices stay inside the window: no partial-fault cases */
			want = (mode == 64 ? (in->address_width == 64 ? 0x400010010800 : 0x20010800) : mode == 32 ? 0x10010800 : seg_base(s, sg) + 0x4800) + below(0x100);
			int id = ZydisRegisterGetId(o->mem.index), q = strchr(ZydisMnemonicGetString(mn), 'q') && (!strcmp(ZydisMnemonicGetString(mn) + strlen(ZydisMnemonicGetString(mn)) - 2, "qd") ||
				 !strcmp(ZydisMnemonicGetString(mn) + strlen(ZydisMnemonicGetString(mn)) - 2, "qq") || strstr(ZydisMnemonicGetString(mn), "qp"));
			for (int k = 0; k < (q ? 4 : 8); k++) {
				int64_t v = (int64_t)below(0x40) - 0x20;
				u8 *p = k < (q ? 2 : 4) ? s->xmm[id & 15] : s->ymmh[id & 15];
				memcpy(p + (q ? 8 * (k & 1) : 4 * (k & 3)), &v, q ? 8 : 4);
			}
		}
		if (agen && pct(80)) continue;
		u64 lin = solve_mem(t, o, want);
		if (agen || vsib) continue;
		u8 b[512];
		if (is_fxsr(in)) {
			if (!(o->actions & ZYDIS_OPERAND_ACTION_MASK_READ)) continue;
			memset(b, 0, sizeof b); /* a loadable image; FOP, FIP, FDP zero */
			uint32_t mx = (uint32_t)rnd() & (pct(85) ? 0xFFFF : 0xFFFFFFFF);
			uint16_t fcw = (uint16_t)((rnd() & 0xF00) | 0x7F), fsw = (uint16_t)(rnd() & 0x7F7F);
			memcpy(b, &fcw, 2), memcpy(b + 2, &fsw, 2), b[4] = (u8)rnd(), memcpy(b + 24, &mx, 4);
			for (int k = 0; k < 8; k++) rnd_f80(b + 32 + 16 * k);
			rnd_bytes(b + 160, 256, ZYDIS_ELEMENT_TYPE_INT);
			put_mem(t, lin, b, 512);
			continue;
		}
		if (segf && o->actions & ZYDIS_OPERAND_ACTION_MASK_READ) {
			bool far = in->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR, iret = in->meta.category == ZYDIS_CATEGORY_RET && n != 0 && strstr(ZydisMnemonicGetString(mn), "iret");
			int k = 0, w = in->operand_width / 8;
			uint16_t sel = pick_sel(t, far);
			u64 v[5] = {far ? far_target(sel) : rnd(), sel | (pct(30) ? rnd() << 16 : 0), 0x202 | (rnd() & 0xCD5), rnd(), pick_sel(t, false)};
			memset(b, 0, 48);
			if (stk && !far) v[0] = v[1], k = 1, memcpy(b, v, 8);		    /* pop sreg */
			else if (stk) for (k = 0; k < 5; k++) memcpy(b + k * w, &v[k], w);   /* retf, iret */
			else if (n == 2) memcpy(b, &sel, 2);
			else memcpy(b, &v[0], n - 2), memcpy(b + n - 2, &sel, 2);	    /* m16:16, m16:32, m16:64 */
			put_mem(t, lin, b, !stk ? n : !far ? 8 : iret || mn == ZYDIS_MNEMONIC_IRET || mn == ZYDIS_MNEMONIC_IRETD || mn == ZYDIS_MNEMONIC_IRETQ ? 5 * w : 2 * w);
			continue;
		}
		if (stk || n > 64 || n == 0) {
			if (o->actions & ZYDIS_OPERAND_ACTION_MASK_READ && n <= 128) {
				rnd_bytes(b, 16, ZYDIS_ELEMENT_TYPE_INT);
				u64 tgt = code_target();
				if (in->meta.category == ZYDIS_CATEGORY_RET && pct(90)) memcpy(b, &tgt, 8);
				if (mn == ZYDIS_MNEMONIC_POPF || mn == ZYDIS_MNEMONIC_POPFD || mn == ZYDIS_MNEMONIC_POPFQ) b[1] &= ~1; /* no TF */
				if (n <= 64) put_mem(t, lin, b, 16);
			}
			continue;
		}
		if (!(o->actions & ZYDIS_OPERAND_ACTION_MASK_READ)) continue;
		rnd_bytes(b, n, o->element_type);
		if (branch && pct(90)) { u64 tgt = code_target(); memcpy(b, &tgt, n < 8 ? n : 8); }
		if (mn == ZYDIS_MNEMONIC_CMPXCHG && pct(50)) memcpy(b, &r[0], n);
		if ((mn == ZYDIS_MNEMONIC_CMPXCHG8B || mn == ZYDIS_MNEMONIC_CMPXCHG16B) && pct(50)) memcpy(b, &r[0], n / 2), memcpy(b + n / 2, &r[2], n / 2);
		if (mn == ZYDIS_MNEMONIC_LDMXCSR || mn == ZYDIS_MNEMONIC_VLDMXCSR) if (pct(85)) b[2] = b[3] = 0;
		if (mn == ZYDIS_MNEMONIC_FLDENV && pct(80) && n == 28) b[1] |= 0, memset(b + 12, 0, 16);
		put_mem(t, lin, b, n);
	}
	if (mn == ZYDIS_MNEMONIC_LEAVE) set_gpr(s, 5, ((mode == 64 ? 0x400010010000 : mode == 32 ? 0x10010000 : 0x4000) + below(0x2FF8)) | (mode == 16 ? rnd() << 16 : 0));
	if (mn == ZYDIS_MNEMONIC_CMPXCHG && t->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER && pct(40)) {
		int g = gpr_index(t->op[0].reg.value, &sh);
		if (g != 4) set_gpr(s, g, sh ? r[0] << 8 : r[0]);
	}
	if (branch) for (int i = 0; i < in->operand_count; i++) {
		Op *o = &t->op[i];
		if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && o->imm.is_relative) {
			u64 d = code_target() - (s->rip + len);
			int bits = in->raw.imm[0].size;
			if (bits == 8) d = (u64)(int64_t)(int8_t)rnd();
			if (bits > 8 && pct(8)) d = rnd();
			u64 tgt = s->rip + len + d;
			if (bits == 8 && ((int64_t)(int8_t)d < 0 && (int64_t)(int8_t)d >= -len)) d = 0x20;
			else if (tgt - s->rip < (u64)len) d = 0x20;
			memcpy(t->code + in->raw.imm[0].offset, &d, bits / 8);
		} else if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && o->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT && pct(90)) {
			int g = gpr_index(o->reg.value, &sh);
			if (g >= 0 && g != 4 && in->meta.category != ZYDIS_CATEGORY_COND_BR) set_gpr(s, g, code_target());
		}
	}
}
/* ---- output ---- */
typedef struct { char name[12]; FILE *f; uint32_t n; } Out;
static Out outs[16];
static int nouts;
static u64 total;

static int put_diff(u8 **p, swv_state *a, swv_state *b, bool wide)
{
	int n = 0;
	for (int id = 0; id < (wide ? SWV_NREG : SWV_K); id++) {
		u8 *x = swv_reg(a, id), *y = swv_reg(b, id);
		int sz = x ? swv_reg_size(id) : 0;
		if (!x || !memcmp(x, y, sz)) continue;
		*(*p)++ = (u8)id;
		memcpy(*p, y, sz);
		*p += sz, n++;
	}
	return n;
}

static Out *out_for(const char *fam)
{
	for (int i = 0; i < nouts; i++)
		if (!strcmp(outs[i].name, fam)) return &outs[i];
	Out *o = &outs[nouts++];
	char path[512];
	snprintf(o->name, sizeof o->name, "%s", fam);
	snprintf(path, sizeof path, "%s/%d-%s.swv", outdir, mode, fam);
	o->f = fopen(path, "w+b");
	if (!o->f) perror(path), exit(1);
	swv_header h = {.magic = SWV_MAGIC, .version = 1, .mode = (uint16_t)mode, .nregion = (uint16_t)x_nregion, .ndesc = (uint32_t)x_ndesc, .seed = seed};
	memcpy(h.family, fam, strlen(fam));
	static u8 buf[8192];
	u8 *p = buf;
	swv_state zero = {0};
	h.nbase = (uint16_t)put_diff(&p, &zero, &base_state, !strcmp(fam, "avx512"));
	fwrite(&h, sizeof h, 1, o->f);
	fwrite(x_seg, sizeof x_seg, 1, o->f);
	fwrite(x_region, sizeof *x_region, x_nregion, o->f);
	fwrite(x_desc, sizeof *x_desc, x_ndesc, o->f);
	fwrite(buf, 1, p - buf, o->f);
	return o;
}

static uint16_t rec_flags(const Form *f, Test *t, const x_fault *x)
{
	uint16_t fl = x->vector != 0xFF ? SWV_F_FAULT : 0;
	Insn *in = &t->in;
	const char *m = ZydisMnemonicGetString(in->mnemonic);
	static const char *const approx[] = {"fsin", "fcos", "fsincos", "fptan", "fpatan", "f2xm1", "fyl2x", "fyl2xp1", "rcpps", "rcpss", "rsqrtps", "rsqrtss",
					     "vrcpps", "vrcpss", "vrsqrtps", "vrsqrtss", "vrcp14ps", "vrcp14pd", "vrcp14ss", "vrcp14sd", "vrsqrt14ps", "vrsqrt14pd", "vrsqrt14ss", "vrsqrt14sd"};
	for (size_t i = 0; i < sizeof approx / sizeof *approx; i++) if (!strcmp(m, approx[i])) fl |= SWV_F_APPROX;
	if (!strcmp(m, "fnstenv") || !strcmp(m, "fnsave") || !strncmp(m, "fxsave", 6)) fl |= SWV_F_ENVMEM;
	if (in->mnemonic == ZYDIS_MNEMONIC_BSWAP && in->operand_width == 16) fl |= SWV_F_RESULT_UNDEF;
	if ((in->mnemonic == ZYDIS_MNEMONIC_SHLD || in->mnemonic == ZYDIS_MNEMONIC_SHRD) && t->op[0].size == 16) {
		u64 c = t->op[2].type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? t->code[in->length - 1] : t->s.gpr[1];
		if ((c & 31) > 16) fl |= SWV_F_RESULT_UNDEF;
	}
	if (mode == 64 && f->e.kind == LEGACY && f->e.p66 && (in->meta.branch_type == ZYDIS_BRANCH_TYPE_NEAR || in->meta.branch_type == ZYDIS_BRANCH_TYPE_SHORT)) fl |= SWV_F_VENDOR;
	if (x->vector == 14 && x->cr2 >> 63 && mode == 64) fl |= SWV_F_NONREP;
	return fl;
}

/* Zydis states undefined flags per instruction; shifts and rotates depend on the count. */
static uint16_t undef_flags(const Test *t)
{
	const Insn *in = &t->in;
	uint16_t u = in->cpu_flags ? (uint16_t)(in->cpu_flags->undefined & 0x8D5) : 0;
	bool shift = false, dbl = in->mnemonic == ZYDIS_MNEMONIC_SHLD || in->mnemonic == ZYDIS_MNEMONIC_SHRD;
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_SHL: case ZYDIS_MNEMONIC_SHR: case ZYDIS_MNEMONIC_SAR: shift = true; break;
	case ZYDIS_MNEMONIC_ROL: case ZYDIS_MNEMONIC_ROR: case ZYDIS_MNEMONIC_RCL: case ZYDIS_MNEMONIC_RCR: break;
	default: if (!dbl) return u;
	}
	const Op *o = &t->op[dbl ? 2 : 1];
	unsigned w = t->op[0].size, c;
	if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) c = in->raw.imm[0].size ? (unsigned)in->raw.imm[0].value.u : 1;
	else c = (unsigned)t->s.gpr[1];
	c &= w == 64 ? 63 : 31;
	if (!c) return 0;
	u = c == 1 ? u & (uint16_t)~0x800 : u | 0x800;
	if (shift && c >= w && in->mnemonic != ZYDIS_MNEMONIC_SAR) u |= 1;
	if (dbl && c > w) u = 0x8D5;
	return u;
}

static void emit(Form *f, Test *t, swv_state *o, const x_fault *x, uint16_t fl, u8 (*shadow)[0x2000])
{
	static u8 buf[65536];
	bool wide = !strcmp(f->family, "avx512");
	swv_rec *h = (swv_rec *)buf;
	u8 *p = buf + sizeof *h;
	memset(h, 0, sizeof *h);
	h->flags = fl, h->form = f->id, h->ilen = t->in.length, h->vector = (u8)x->vector;
	if (x->vector == 0xFF) {
		h->undef = undef_flags(t);
		u64 uf = t->in.fpu_flags ? t->in.fpu_flags->undefined : 0;
		h->undef_fsw = (u8)(uf & 15);
	} else {
		memcpy(p, &x->err, 4), memcpy(p + 4, &x->cr2, 8), p += 12;
	}
	memcpy(p, t->code, t->in.length), p += t->in.length;
	h->nin = (u8)put_diff(&p, &base_state, &t->s, wide);
	h->ninmem = (u8)t->nmem;
	for (int i = 0; i < t->nmem; i++) {
		memcpy(p, &t->mem[i].addr, 8), memcpy(p + 8, &t->mem[i].len, 2), memcpy(p + 10, t->mem[i].b, t->mem[i].len);
		p += 10 + t->mem[i].len;
	}
	h->nout = (u8)put_diff(&p, &t->s, o, wide);
	int nm = 0;
	for (int i = 0; i < x_nregion; i++) {
		uint32_t sz = x_region[i].size;
		if (!memcmp(x_alias[i], shadow[i], sz)) continue;
		for (uint32_t a = 0; a < sz; a++) {
			if (x_alias[i][a] == shadow[i][a]) continue;
			uint32_t e = a + 1, last = a; /* merge runs with gaps of up to 10 equal bytes */
			while (e < sz && e - last <= 10) { if (x_alias[i][e] != shadow[i][e]) last = e; e++; }
			uint16_t len = (uint16_t)(last - a + 1);
			u64 adr = x_region[i].base + a;
			if (nm == 255 || p + len + 16 > buf + sizeof buf) { fprintf(stderr, "memory list overflow\n"); exit(1); }
			memcpy(p, &adr, 8), memcpy(p + 8, &len, 2), memcpy(p + 10, x_alias[i] + a, len);
			p += 10 + len, nm++;
			memcpy(x_alias[i] + a, shadow[i] + a, len);
			a = last;
		}
	}
	h->noutmem = (u8)nm;
	h->size = (uint16_t)(p - buf);
	Out *out = out_for(f->family);
	fwrite(buf, 1, h->size, out->f);
	out->n++, total++;
}

static bool run_test(Form *f, Test *t, bool dry)
{
	static u8 shadow[32][0x2000], clean[32][0x2000];
	static bool have;
	x_fault x;
	swv_state o;
	if (!have) for (int i = 0; i < x_nregion; i++) memcpy(clean[i], x_alias[i], x_region[i].size), memcpy(shadow[i], clean[i], x_region[i].size);
	have = true;
	t->nmem = 0;
	states(f, t);
	Insn chk;
	Op cop[ZYDIS_MAX_OPERAND_COUNT];
	bool ok = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, t->code, 15, &chk, cop)) && form_key(&chk, cop) == f->key && chk.length == t->in.length;
	if (ok) {
		t->in = chk, memcpy(t->op, cop, sizeof cop);
		u64 lin = (mode == 16 ? x_seg[1].base : 0) + t->s.rip;
		for (int i = 0; i < t->in.length; i++) { u8 *c = x_ptr(lin + i); if (c) *c = t->code[i]; }
		for (int i = 0; i < x_nregion; i++) { /* shadow = state just before execution */
			for (int j = 0; j < t->nmem; j++)
				if (t->mem[j].addr - x_region[i].base < x_region[i].size)
					memcpy(shadow[i] + (t->mem[j].addr - x_region[i].base), t->mem[j].b, t->mem[j].len);
		}
		memcpy(shadow[0], x_alias[0], x_region[0].size);
		x_run(&t->s, &o, &x);
		if (x.vector == X_TIMEOUT) {
			fprintf(stderr, "timeout: %s %s", ZydisMnemonicGetString(f->mn), f->sig);
			for (int i = 0; i < t->in.length; i++) fprintf(stderr, " %02x", t->code[i]);
			fprintf(stderr, "\n");
			dry = true;
		}
		bool next = x.vector != 0xFF && x.vector != 4 && (o.rip != t->s.rip || o.sel[1] != t->s.sel[1]);
		if (next) x = (x_fault){0xFF, 0, 0}; /* it completed; the fetch at the new RIP faulted */
		uint16_t fl = rec_flags(f, t, &x) | (next ? SWV_F_NEXTFETCH : 0);
		f->made++, f->nfault += x.vector != 0xFF;
		f->nud += x.vector == 6 || (x.vector == 14 && x.err & 0x10);
		if (!dry) emit(f, t, &o, &x, fl, shadow);
		else for (int i = 0; i < x_nregion; i++) memcpy(x_alias[i], clean[i], x_region[i].size);
		memcpy(x_alias[0], clean[0], x_region[0].size);
	}
	for (int j = 0; j < t->nmem; j++) {
		u8 *p = x_ptr(t->mem[j].addr);
		for (int i = 0; i < x_nregion; i++) {
			u64 off = t->mem[j].addr - x_region[i].base;
			if (off < x_region[i].size) memcpy(p, clean[i] + off, t->mem[j].len), memcpy(shadow[i] + off, clean[i] + off, t->mem[j].len);
		}
	}
	return ok;
}

/* Byte strings that Zydis rejects and the CPU answers with #UD. */
static void invalid_family(int count)
{
	static Form f = {.family = "ud"};
	Test t;
	Op op[ZYDIS_MAX_OPERAND_COUNT];
	rs = mix(seed ^ 0x5544);
	for (int tries = 0; f.made < count && tries < 40 * count; tries++) {
		static const u8 reps[] = {0, 0, 0xF3, 0xF2};
		Enc e = {.kind = pct(30) ? VEX : LEGACY, .map = (u8)below(4), .op = (u8)rnd(), .p66 = pct(25), .rep = reps[below(4)],
			 .lock = pct(30), .w = (u8)below(2), .L = (u8)below(2), .pp = (u8)below(4)};
		if (e.kind == VEX) e.map = (u8)(pct(90) ? 1 + below(3) : below(32));
		else if (mode != 64) e.w = 0;
		memset(&t, 0, sizeof t);
		int n = emit_head(&e, t.code, e.w && e.kind == LEGACY, mode == 64 ? (int)below(8) & (pct(50) ? 7 : 0) : 0, mode == 64 ? (int)below(16) : (int)below(8), 0);
		if (e.kind == LEGACY && e.map == 1 && e.op == 1) continue; /* system group */
		for (int i = n; i < 15; i++) t.code[i] = (u8)rnd();
		ZyanStatus st = ZydisDecoderDecodeFull(&dec, t.code, 15, &t.in, op);
		if (ZYAN_SUCCESS(st) || st == ZYDIS_STATUS_NO_MORE_DATA || st == ZYDIS_STATUS_INSTRUCTION_TOO_LONG) continue;
		memset(&t.in, 0, sizeof t.in), t.in.length = 15;
		t.s = base_state;
		u8 *c = x_ptr((mode == 16 ? x_seg[1].base : 0) + t.s.rip);
		memcpy(c, t.code, 15);
		swv_state o;
		x_fault x;
		x_run(&t.s, &o, &x);
		static u8 shadow[32][0x2000];
		for (int i = 0; i < x_nregion; i++)
			for (uint32_t j = 0; j < x_region[i].size; j++) {
				if (i) x_alias[i][j] = swv_bg(x_region[i].base + j);
				shadow[i][j] = x_alias[i][j];
			}
		if (x.vector == 6) f.made++, emit(&f, &t, &o, &x, SWV_F_FAULT, shadow);
		memset(c, 0xCC, 15);
	}
}

static void make_base(void)
{
	rs = 0x5157485032303236ull;
	swv_state *s = &base_state;
	for (int i = 0; i < (mode == 64 ? 16 : 8); i++) s->gpr[i] = rnd() & reg_mask();
	s->gpr[4] = mode == 64 ? 0x400010010800 : mode == 32 ? 0x10010800 : 0x4800;
	s->rip = mode == 64 ? 0x400010000800 : mode == 32 ? 0x10000800 : 0x1800;
	s->rflags = 0x202, s->mxcsr = 0x1F80, s->fcw = 0x37F;
	for (int i = 0; i < 6; i++) s->sel[i] = x_seg[i].sel;
	for (int i = 0; i < 8; i++) rnd_f80(s->st[i]);
	int nv = mode == 64 ? 16 : 8;
	for (int i = 0; i < nv; i++) rnd_bytes(s->xmm[i], 16, ZYDIS_ELEMENT_TYPE_FLOAT32), rnd_bytes(s->ymmh[i], 16, ZYDIS_ELEMENT_TYPE_INT);
	if (mode == 64) s->fsbase = 0x400010010000 - 0x700, s->gsbase = 0x20010000 + 0x300;
	for (int i = 0; want_evex && i < 8; i++) s->k[i] = rnd();
	for (int i = 0; want_evex && i < nv; i++) rnd_bytes(s->zmmh[i], 32, ZYDIS_ELEMENT_TYPE_INT);
	for (int i = 0; want_evex && mode == 64 && i < 16; i++) rnd_bytes(s->zmm[i], 64, ZYDIS_ELEMENT_TYPE_INT);
}

static int by_key(const void *a, const void *b)
{
	const Form *x = a, *y = b;
	int c = strcmp(x->family, y->family);
	if (!c) c = (x->mn > y->mn) - (x->mn < y->mn);
	return c ? c : (x->key > y->key) - (x->key < y->key);
}

int main(int argc, char **argv)
{
	for (int c; (c = getopt(argc, argv, "m:n:s:o:f:k:el")) != -1;) switch (c) {
		case 'm': mode = atoi(optarg); break;
		case 'n': nstates = atoi(optarg); break;
		case 's': seed = strtoull(optarg, 0, 0); break;
		case 'o': outdir = optarg; break;
		case 'f': only_family = optarg; break;
		case 'k': only_mnemonic = optarg; break;
		case 'e': want_evex = true; break;
		case 'l': list_only = true; break;
		default: fprintf(stderr, "see README.md for usage\n"); return 2;
	}
	ZydisDecoderInit(&dec, mode == 64 ? ZYDIS_MACHINE_MODE_LONG_64 : mode == 32 ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32 : ZYDIS_MACHINE_MODE_LONG_COMPAT_16,
			 mode == 64 ? ZYDIS_STACK_WIDTH_64 : mode == 32 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16);
	ZydisDecoderEnableMode(&dec, ZYDIS_DECODER_MODE_AMD_BRANCHES, ZYAN_TRUE);
	ZydisDecoderEnableMode(&dec, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
	ZydisDecoderEnableMode(&dec, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
	ZydisDecoderEnableMode(&dec, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
	enumerate();
	qsort(forms, nforms, sizeof *forms, by_key);
	if (list_only) {
		for (size_t i = 0; i < nforms; i++) printf("%s\t%s\t%s\t%s\n", forms[i].family, ZydisMnemonicGetString(forms[i].mn), forms[i].sig, forms[i].isa);
		fprintf(stderr, "%zu forms\n", nforms);
		return 0;
	}
	if (x_init(mode)) { perror("x_init"); return 1; }
	make_base();
	char path[512];
	snprintf(path, sizeof path, "%s/%d-forms.tsv", outdir, mode);
	FILE *ft = fopen(path, only_family ? "a" : "w"); /* one family at a time: append */
	if (!ft) { perror(path); return 1; }
	fseek(ft, 0, SEEK_END);
	if (!ftell(ft)) fprintf(ft, "form\tfamily\tmnemonic\tencoding\tisa\trecords\tfaults\n");
	int unsup = 0, nobuild = 0;
	for (size_t i = 0; i < nforms; i++) {
		Form *f = &forms[i];
		Test t;
		if (only_family && strcmp(only_family, f->family)) continue;
		if (only_mnemonic && !strstr(only_mnemonic, ZydisMnemonicGetString(f->mn))) continue;
		/* not implemented by this CPU (always #UD)? */
		rs = mix(f->key ^ 0xD1CE);
		for (int k = 0; k < 8 && build(f, &t); k++) run_test(f, &t, true);
		if (!f->made) { nobuild++; fprintf(ft, "%08x\t%s\t%s\t%s\t%s\t0\t-\n", f->id, f->family, ZydisMnemonicGetString(f->mn), f->sig, f->isa); continue; }
		if (f->nud == f->made) { unsup++; fprintf(ft, "%08x\t%s\t%s\t%s\t%s\t0\tUD\n", f->id, f->family, ZydisMnemonicGetString(f->mn), f->sig, f->isa); continue; }
		f->made = f->nfault = 0;
		int n = f->priv ? 3 : nstates;
		for (int k = 0; f->made < n && k < 3 * n; k++) {
			rs = mix(mix(seed) ^ f->key ^ mix(k + 1));
			if (build(f, &t)) run_test(f, &t, false);
		}
		fprintf(ft, "%08x\t%s\t%s\t%s\t%s\t%d\t%d\n", f->id, f->family, ZydisMnemonicGetString(f->mn), f->sig, f->isa, f->made, f->nfault);
	}
	fclose(ft);
	if (!only_family || !strcmp(only_family, "ud")) invalid_family(nstates * 40);
	for (int i = 0; i < nouts; i++) {
		fseek(outs[i].f, offsetof(swv_header, nrec), SEEK_SET);
		fwrite(&outs[i].n, 4, 1, outs[i].f);
		fclose(outs[i].f);
		printf("%-8s mode %d: %u records\n", outs[i].name, mode, outs[i].n);
	}
	printf("mode %d: %zu forms enumerated, %d not on this CPU, %d without instance, %llu records\n", mode, nforms, unsup, nobuild, (unsigned long long)total);
	return 0;
}
