/* SPDX-License-Identifier: MIT */
/* Captures vectors: takes each form of an instruction (forms.c), makes tests of it (build.c), runs them on the
 * host's processor (exec.c), and writes files in the SWV format (vmm/swv.h).
 * usage: gen -m 64|32|16 [-n states] [-s seed] [-o dir] [-f family] [-k mnemonic] [-x all but this mnemonic] [-e] [-l] */
#define _GNU_SOURCE
#include <getopt.h>
#include <unistd.h>
#include "gen.h"

int mode = 64, nstates = 48;
u64 seed = 1;
bool want_evex;
static bool list_only;
static const char *outdir = ".", *only_family, *only_mnemonic, *not_mnemonic;
ZydisDecoder dec;
u64 rs;

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
	if (!strcmp(m, "fnstenv") || !strcmp(m, "fnsave") || !strncmp(m, "fxsave", 6) || !strncmp(m, "xsave", 5)) fl |= SWV_F_ENVMEM;
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
	if (x->vector == 0xFF || x->vector == 1) {
		h->undef = undef_flags(t);
		u64 uf = t->in.fpu_flags ? t->in.fpu_flags->undefined : 0;
		h->undef_fsw = (u8)(uf & 15);
	}
	if (x->vector != 0xFF) {
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
	bool ok = !(is_xsave(&t->in) && t->s.gpr[0] & 0xFFFFFFF8) && /* RAX was needed for the address, and names other components */
		  ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, t->code, 15, &chk, cop)) && form_key(&chk, cop) == f->key && chk.length == t->in.length;
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
		bool next = x.vector != 0xFF && x.vector != 4 && x.vector != 1 && (o.rip != t->s.rip || o.sel[1] != t->s.sel[1]);
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
	for (int c; (c = getopt(argc, argv, "m:n:s:o:f:k:x:el")) != -1;) switch (c) {
		case 'm': mode = atoi(optarg); break;
		case 'n': nstates = atoi(optarg); break;
		case 's': seed = strtoull(optarg, 0, 0); break;
		case 'o': outdir = optarg; break;
		case 'f': only_family = optarg; break;
		case 'k': only_mnemonic = optarg; break;
		case 'x': not_mnemonic = optarg; break;
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
		if (only_mnemonic && strcmp(only_mnemonic, ZydisMnemonicGetString(f->mn))) continue;
		if (not_mnemonic && !strcmp(not_mnemonic, ZydisMnemonicGetString(f->mn))) continue;
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
		for (aim = 1; aim < AIMS && !f->priv; aim++)
			for (int k = 0; k <= nstates / 64; k++) {
				rs = mix(mix(seed) ^ f->key ^ mix(0x10000 * aim + k));
				if (build(f, &t) && (aim == STEP || has_memory(&t))) run_test(f, &t, false);
			}
		aim = ANYWHERE;
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
