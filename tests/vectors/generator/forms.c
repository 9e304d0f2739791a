/* SPDX-License-Identifier: MIT */
/* The forms of instructions: enumerated over the opcode space with Zydis. */
#include "gen.h"

Form *forms;
size_t nforms, capforms;
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
u64 form_key(const Insn *in, const Op *op)
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

int emit_head(const Enc *e, u8 *b, int rex, int rxb, int vvvv, int seg)
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
		X(RDPKRU), X(WRPKRU), /* the state has no PKRU */
		X(RDPRU), X(SLDT), X(STR), X(SGDT), X(SIDT), X(SMSW),
		X(MONITOR), X(MWAIT), X(MONITORX), X(MWAITX), X(UD0), X(UD1), X(UD2),
		X(XBEGIN), X(XEND), X(XABORT), X(XTEST), X(VMCALL), X(VMMCALL), X(VMFUNC),
		X(XSAVEOPT), X(XSAVEOPT64), X(XSAVES), X(XSAVES64), X(XRSTORS), X(XRSTORS64), X(UMWAIT), X(TPAUSE), X(UMONITOR), X(MCOMMIT),
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

bool is_fxsr(const Insn *in)
{
	return in->mnemonic == ZYDIS_MNEMONIC_FXSAVE || in->mnemonic == ZYDIS_MNEMONIC_FXSAVE64 ||
	       in->mnemonic == ZYDIS_MNEMONIC_FXRSTOR || in->mnemonic == ZYDIS_MNEMONIC_FXRSTOR64;
}

bool is_xsave(const Insn *in)
{
	return in->mnemonic == ZYDIS_MNEMONIC_XSAVE || in->mnemonic == ZYDIS_MNEMONIC_XSAVE64 || in->mnemonic == ZYDIS_MNEMONIC_XSAVEC ||
	       in->mnemonic == ZYDIS_MNEMONIC_XSAVEC64 || in->mnemonic == ZYDIS_MNEMONIC_XRSTOR || in->mnemonic == ZYDIS_MNEMONIC_XRSTOR64;
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
	if (is_xsave(in)) return "fxsr";
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

void enumerate(void)
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
						for (int i = 0; i <= nmod + 8; i++) { /* 16-bit addresses can't have a vector of indices */
							e = (Enc){.kind = VEX, .map = map, .op = o, .L = L, .pp = pp, .w = w, .has_modrm = true,
								  .p67 = mode == 16 && i >= nmod, .modrm = i < nmod ? MODRM(i) : (i - nmod) << 3 | 4};
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
