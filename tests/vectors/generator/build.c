/* SPDX-License-Identifier: MIT */
/* One test: an encoding of a form, and the state that it starts from. */
#include "gen.h"

swv_state base_state;

static int gpr_index(ZydisRegister r, int *shift)
{
	*shift = 0;
	if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH) { *shift = 8; return r - ZYDIS_REGISTER_AH; }
	ZydisRegisterClass c = ZydisRegisterGetClass(r);
	if (c != ZYDIS_REGCLASS_GPR8 && c != ZYDIS_REGCLASS_GPR16 && c != ZYDIS_REGCLASS_GPR32 && c != ZYDIS_REGCLASS_GPR64) return -1;
	return ZydisRegisterGetId(ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r));
}
u64 reg_mask(void) { return mode == 64 ? ~0ull : 0xFFFFFFFFull; }
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

int aim;

bool has_memory(const Test *t)
{
	for (int i = 0; i < t->in.operand_count; i++)
		if (t->op[i].type == ZYDIS_OPERAND_TYPE_MEMORY && t->op[i].mem.type != ZYDIS_MEMOP_TYPE_AGEN) return true;
	return false;
}

/* The same for an aim; d: the two writable pages, behind which one is read-only and then none. 0: chance decides. */
static u64 aimed_target(u64 d, int n, int al)
{
	u64 over = 1 + below(n > 1 ? n - 1 : 1), inside = below(0x1000 - n) & ~(u64)(al - 1);
	switch (aim) {
	case CROSSING: return d + 0x1000 - over;
	case INTO_FIXED: return d + 0x2000 - over;
	case INTO_HOLE: return d + 0x3000 - over;
	case FROM_HOLE: return d - over;
	case FIXED: return d + 0x2000 + inside;
	case HOLE: return d + 0x3000 + inside;
	case OUTSIDE: return mode != 64 ? 0 : pct(50) ? 0x0000800000000000 + inside : 0xFFFF7FFFFFFFF000 + inside;
	case MISALIGNED: return d + 0x80 + (below(0x1E00) | 1);
	default: return 0;
	}
}

/* Chooses the linear address a memory operand of n bytes should have. */
static u64 pick_target(int sg, u64 sbase, int abits, int n, bool stack)
{
	u64 d = mode == 64 ? (abits == 64 && pct(85) ? 0x400010010000 : 0x20010000) : mode == 32 ? 0x10010000 : sbase + 0x4000;
	unsigned c = (unsigned)below(100);
	int al = stack ? 8 : n >= 64 ? 16 : n > 16 ? 32 : n > 8 ? 16 : n ? n : 1;
	if (n < 1) n = 1;
	(void)sg;
	u64 aimed = aim ? aimed_target(d, n, al) : 0;
	if (aimed) return aimed;
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
bool build(const Form *f, Test *t)
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
void states(const Form *f, Test *t)
{
	swv_state *s = &t->s;
	Insn *in = &t->in;
	ZydisMnemonic mn = in->mnemonic;
	int sh, len = in->length;
	*s = base_state;
	t->nmem = 0;
	s->rflags = 0x202 | (rnd() & 0x8D5) | (pct(is_string(in) ? 40 : 8) ? 0x400 : 0);
	if (aim == STEP && mn != ZYDIS_MNEMONIC_POPF && mn != ZYDIS_MNEMONIC_POPFD && mn != ZYDIS_MNEMONIC_POPFQ) s->rflags |= 0x100;
	if (pct(2) || aim == MISALIGNED) s->rflags |= 0x40000; /* AC: CR0.AM is set, so misaligned accesses raise #AC */
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
			set_gpr(s, g, sh ? (pct(50) ? v : rnd_int()) << 8 | (v & 0xFF) : v);
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
	if (is_xsave(in)) set_gpr(s, 0, below(8)), set_gpr(s, 2, 0); /* components that every processor has */
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
		if (vsib) { /* mostly all elements lie inside the window; else some in a hole, across a page's end or anywhere */
			want = (mode == 64 ? (in->address_width == 64 ? 0x400010010800 : 0x20010800) : mode == 32 ? 0x10010800 : seg_base(s, sg) + 0x4800) + below(0x100);
			int id = ZydisRegisterGetId(o->mem.index), q = strchr(ZydisMnemonicGetString(mn), 'q') && (!strcmp(ZydisMnemonicGetString(mn) + strlen(ZydisMnemonicGetString(mn)) - 2, "qd") ||
				 !strcmp(ZydisMnemonicGetString(mn) + strlen(ZydisMnemonicGetString(mn)) - 2, "qq") || strstr(ZydisMnemonicGetString(mn), "qp"));
			bool strays = pct(40);
			int64_t sc = o->mem.scale ? o->mem.scale : 1;
			for (int k = 0; k < (q ? 4 : 8); k++) {
				int64_t v = (int64_t)below(0x40) - 0x20;
				u8 *p = k < (q ? 2 : 4) ? s->xmm[id & 15] : s->ymmh[id & 15];
				if (strays && pct(25)) v = (pct(50) ? 0x1700 : pct(50) ? 0x2700 : -0x900) / sc + (int64_t)below(0x100);
				else if (strays && pct(30)) v = (0x800 - (int64_t)(want & 0xFF)) / sc - (int64_t)below(2);
				else if (strays && pct(3)) v = (int64_t)rnd();
				memcpy(p + (q ? 8 * (k & 1) : 4 * (k & 3)), &v, q ? 8 : 4);
			}
		}
		if (agen && pct(80)) continue;
		u64 lin = solve_mem(t, o, want);
		if (agen || vsib) continue;
		u8 b[512];
		if (is_fxsr(in) || is_xsave(in)) {
			bool restores = in->mnemonic == ZYDIS_MNEMONIC_XRSTOR || in->mnemonic == ZYDIS_MNEMONIC_XRSTOR64;
			if (!restores && !(is_fxsr(in) && o->actions & ZYDIS_OPERAND_ACTION_MASK_READ)) continue;
			memset(b, 0, sizeof b); /* a loadable image; FOP, FIP, FDP zero */
			uint32_t mx = (uint32_t)rnd() & (pct(85) ? 0xFFFF : 0xFFFFFFFF);
			uint16_t fcw = (uint16_t)((rnd() & 0xF00) | 0x7F), fsw = (uint16_t)(rnd() & 0x7F7F);
			memcpy(b, &fcw, 2), memcpy(b + 2, &fsw, 2), b[4] = (u8)rnd(), memcpy(b + 24, &mx, 4);
			for (int k = 0; k < 8; k++) rnd_f80(b + 32 + 16 * k);
			rnd_bytes(b + 160, 256, ZYDIS_ELEMENT_TYPE_INT);
			put_mem(t, lin, b, 512);
			if (!restores) continue;
			memset(b, 0, 64); /* the header: what is there, and whether compacted */
			b[0] = (u8)(pct(95) ? below(8) : below(16));
			if (pct(25)) b[8] = (u8)below(8), b[15] = 0x80;
			if (pct(5)) b[below(64)] |= 1;
			rnd_bytes(b + 64, 256, ZYDIS_ELEMENT_TYPE_INT);
			put_mem(t, lin + 512, b, 320);
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
