/* SPDX-License-Identifier: MIT */
/* exec.c - native execution engine.  A synchronous SIGUSR1 enters a handler that swaps the whole
 * register frame for the test state; rt_sigreturn loads it (CS/SS included, so 32- and 16-bit
 * code segments work too); the instruction runs; the 0xCC bytes that fill the code region, or
 * the fault itself, raise the signal whose frame is the captured result. */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>
#include <immintrin.h>
#include "exec.h"

swv_seg x_seg[6];
swv_region x_region[32];
int x_nregion;
uint8_t *x_alias[32];
uint32_t x_xcr0;
swv_desc x_desc[64];
int x_ndesc;
uint64_t x_codebase;

static int mode;
static const swv_state *cur_in;
static swv_state *cur_out;
static x_fault *cur_fault;
static volatile int armed;
static greg_t main_gregs[NGREG];
static uint8_t main_fp[16384] __attribute__((aligned(64)));
static uint64_t main_fs, main_gs;
static uint32_t xs_size, off_k, off_zh, off_z;
static const int greg_of[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
				REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static void load_frame(ucontext_t *uc)
{
	const swv_state *s = cur_in;
	greg_t *g = uc->uc_mcontext.gregs;
	uint8_t *fp = (uint8_t *)uc->uc_mcontext.fpregs;
	for (int i = 0; i < 16; i++) g[greg_of[i]] = s->gpr[i];
	g[REG_RIP] = s->rip;
	g[REG_EFL] = s->rflags;
	uint64_t cs = s->sel[1], ss = s->sel[2];
	g[REG_CSGSFS] = (g[REG_CSGSFS] & 0x0000FFFFFFFF0000ll) | cs | ss << 48;
	memset(fp, 0, 24);
	memcpy(fp, &s->fcw, 2), memcpy(fp + 2, &s->fsw, 2), fp[4] = s->ftw, memcpy(fp + 24, &s->mxcsr, 4);
	for (int i = 0; i < 8; i++) memset(fp + 32 + 16 * i, 0, 16), memcpy(fp + 32 + 16 * i, s->st[i], 10);
	memcpy(fp + 160, s->xmm, 256);
	uint64_t bv = x_xcr0 & 0xE7;
	memset(fp + 512, 0, 64);
	memcpy(fp + 512, &bv, 8);
	memcpy(fp + 576, s->ymmh, 256);
	if (x_xcr0 & 0x20) {
		memcpy(fp + off_k, s->k, 64);
		memcpy(fp + off_zh, s->zmmh, 512);
		memcpy(fp + off_z, s->zmm, 1024);
	}
}

static void save_frame(ucontext_t *uc)
{
	swv_state *s = cur_out;
	greg_t *g = uc->uc_mcontext.gregs;
	const uint8_t *fp = (const uint8_t *)uc->uc_mcontext.fpregs;
	for (int i = 0; i < 16; i++) s->gpr[i] = g[greg_of[i]];
	if (mode != 64) {
		for (int i = 0; i < 8; i++) s->gpr[i] &= 0xFFFFFFFFu;
		for (int i = 8; i < 16; i++) s->gpr[i] = cur_in->gpr[i];
	}
	s->rip = g[REG_RIP];
	s->sel[1] = (uint16_t)g[REG_CSGSFS], s->sel[2] = (uint16_t)((uint64_t)g[REG_CSGSFS] >> 48);
	s->rflags = g[REG_EFL] & ~0x10000ull;
	uint64_t bv;
	memcpy(&bv, fp + 512, 8);
	memcpy(&s->mxcsr, fp + 24, 4);
	if (bv & 1) {
		memcpy(&s->fcw, fp, 2), memcpy(&s->fsw, fp + 2, 2), s->ftw = fp[4];
		for (int i = 0; i < 8; i++) memcpy(s->st[i], fp + 32 + 16 * i, 10);
	} else {
		s->fcw = 0x37F, s->fsw = 0, s->ftw = 0, memset(s->st, 0, sizeof s->st);
	}
	memset(s->xmm, 0, sizeof s->xmm), memset(s->ymmh, 0, sizeof s->ymmh);
	memset(s->k, 0, sizeof s->k), memset(s->zmmh, 0, sizeof s->zmmh), memset(s->zmm, 0, sizeof s->zmm);
	if (bv & 2) memcpy(s->xmm, fp + 160, 256);
	if (bv & 4) memcpy(s->ymmh, fp + 576, 256);
	if (bv & 0x20) memcpy(s->k, fp + off_k, 64);
	if (bv & 0x40) memcpy(s->zmmh, fp + off_zh, 512);
	if (bv & 0x80) memcpy(s->zmm, fp + off_z, 1024);
	if (mode != 64) memcpy(s->xmm + 8, cur_in->xmm + 8, 128), memcpy(s->ymmh + 8, cur_in->ymmh + 8, 128);
}

static void on_enter(int sig, siginfo_t *si, void *ucv)
{
	ucontext_t *uc = ucv;
	(void)sig, (void)si;
	memcpy(main_gregs, uc->uc_mcontext.gregs, sizeof main_gregs);
	memcpy(main_fp, uc->uc_mcontext.fpregs, xs_size);
	load_frame(uc);
	armed = 1;
	/* no TLS access past this point */
	if (mode == 64) {
		_writefsbase_u64(cur_in->fsbase);
		_writegsbase_u64(cur_in->gsbase);
	} else {
		__asm__ volatile("mov %0,%%es; mov %1,%%ds; mov %2,%%fs; mov %3,%%gs" ::"r"((int)x_seg[0].sel),
				 "r"((int)x_seg[3].sel), "r"((int)x_seg[4].sel), "r"((int)x_seg[5].sel));
	}
}

static void on_trap(int sig, siginfo_t *si, void *ucv)
{
	ucontext_t *uc = ucv;
	uint64_t fsb = _readfsbase_u64(), gsb = _readgsbase_u64();
	uint16_t es, ds, fs, gs;
	__asm__ volatile("mov %%es,%0; mov %%ds,%1; mov %%fs,%2; mov %%gs,%3" : "=r"(es), "=r"(ds), "=r"(fs), "=r"(gs));
	__asm__ volatile("pushq $2; popfq" ::: "cc", "memory");
	__asm__ volatile("mov %0,%%es; mov %0,%%ds; mov %0,%%fs; mov %0,%%gs" ::"r"(0));
	_writefsbase_u64(main_fs);
	_writegsbase_u64(main_gs);
	if (!armed && sig == SIGVTALRM) return;
	if (!armed) { /* a real crash of the generator */
		signal(sig, SIG_DFL);
		return;
	}
	(void)si;
	armed = 0;
	greg_t *g = uc->uc_mcontext.gregs;
	*cur_out = *cur_in;
	save_frame(uc);
	cur_out->sel[0] = es, cur_out->sel[3] = ds, cur_out->sel[4] = fs, cur_out->sel[5] = gs;
	if (mode == 64) cur_out->fsbase = fsb, cur_out->gsbase = gsb;
	cur_fault->vector = (int)g[REG_TRAPNO];
	cur_fault->err = (uint32_t)g[REG_ERR];
	cur_fault->cr2 = cur_fault->vector == 14 ? (uint64_t)g[REG_CR2] : 0;
	if (sig == SIGVTALRM) cur_fault->vector = X_TIMEOUT;
	if (cur_fault->vector == 3) {
		cur_fault->vector = 0xFF, cur_fault->err = 0;
		cur_out->rip = mode == 16 ? (uint16_t)(cur_out->rip - 1) : cur_out->rip - 1;
	}
	memcpy(g, main_gregs, sizeof main_gregs);
	memcpy(uc->uc_mcontext.fpregs, main_fp, xs_size);
}

uint8_t *x_ptr(uint64_t lin)
{
	for (int i = 0; i < x_nregion; i++)
		if (lin - x_region[i].base < x_region[i].size) return x_alias[i] + (lin - x_region[i].base);
	return NULL;
}

static int add_region(uint64_t base, uint32_t size, uint32_t prot, uint32_t fill)
{
	int i = x_nregion++, fd = memfd_create("swv", 0);
	int p = (prot & 1 ? PROT_READ : 0) | (prot & 2 ? PROT_WRITE : 0) | (prot & 4 ? PROT_EXEC : 0);
	x_region[i] = (swv_region){base, size, prot, fill, 0};
	if (fd < 0 || ftruncate(fd, size)) return -1;
	if (mmap((void *)base, size, p, MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, fd, 0) != (void *)base) return -1;
	x_alias[i] = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	close(fd);
	if (x_alias[i] == MAP_FAILED) return -1;
	for (uint32_t j = 0; j < size; j++) x_alias[i][j] = fill == CC_FILL ? 0xCC : swv_bg(base + j);
	return 0;
}

/* Installs one LDT entry and records its raw descriptor. contents: 0 data, 1 expand-down, 2 code, 3 conforming. */
static int ldt(int n, uint32_t base, uint32_t limit, int contents, bool big, bool ro, bool absent)
{
	bool pages = limit > 0xFFFFF;
	struct user_desc d = {.entry_number = n, .base_addr = base, .limit = pages ? limit >> 12 : limit, .seg_32bit = big,
			      .contents = contents, .read_exec_only = ro, .seg_not_present = absent, .limit_in_pages = pages, .useable = 1};
	uint64_t type = (uint64_t)!ro << 1 | contents << 2 | 1, l = d.limit;
	uint64_t attr = type | 0x70 | (uint64_t)!absent << 7 | 1u << 12 | big << 14 | pages << 15;
	x_desc[x_ndesc++] = (swv_desc){n << 3 | 4, {0}, (l & 0xFFFF) | (base & 0xFFFFFFull) << 16 | attr << 40 | (l >> 16) << 48 | (uint64_t)(base >> 24) << 56};
	return (int)syscall(SYS_modify_ldt, 0x11, &d, sizeof d);
}

static int ldt_seg(int s, int n, uint32_t base, uint32_t limit, bool code, bool big)
{
	int r = ldt(n, base, limit, code ? 2 : 0, big, false, false);
	x_seg[s] = (swv_seg){n << 3 | 7, (uint16_t)(x_desc[x_ndesc - 1].raw >> 40 & 0xF0FF), limit, base};
	return r;
}

/* Descriptors for the segment-register and far-transfer vectors. */
static int extra_ldt(void)
{
	uint32_t c = (uint32_t)x_codebase, d = (uint32_t)x_region[1].base;
	static const struct { uint16_t sel; uint64_t raw; } gdt[] = { /* what a 64-bit Linux GDT has at these selectors */
		{0x10, 0x00AF9B000000FFFF}, {0x18, 0x00CF93000000FFFF}, {0x20, 0x00CFFB000000FFFF}, {0x28, 0x00CFF3000000FFFF}, {0x30, 0x00AFFB000000FFFF}};
	for (int i = 0; i < 5; i++) x_desc[x_ndesc++] = (swv_desc){gdt[i].sel, {0}, gdt[i].raw};
	return ldt(8, d, 0xFFF, 0, 1, 0, 0) | ldt(9, d, 0x1FFF, 0, 1, 1, 0) | ldt(10, d, 0xFFF, 1, 1, 0, 0) | ldt(11, d, 0xFFF, 0, 1, 0, 1) |
	       ldt(12, c, 0xFFFF, 2, 1, 1, 0) | ldt(13, c, 0xFFFFFFFF, 2, 1, 0, 0) | ldt(14, c, 0x10FF, 2, 1, 0, 0) | ldt(15, c, 0xFFFF, 2, 0, 0, 0) |
	       ldt(16, c, 0xFFFF, 2, 1, 0, 1) | ldt(17, d, 0xFFFF, 0, 0, 0, 0) | ldt(18, 0, 0xFFFFFFFF, 0, 1, 0, 0) | ldt(19, c, 0xFFFF, 3, 1, 1, 1) |
	       ldt(20, d, 0xFFF, 1, 0, 1, 0) | ldt(21, c, 0x107F, 2, 0, 0, 0);
}

int x_init(int m)
{
	static uint8_t stack[65536] __attribute__((aligned(64)));
	uint32_t a, b, c, d;
	int bad = 0;
	mode = m;
	__cpuid_count(0xD, 0, a, b, c, d);
	xs_size = b, x_xcr0 = a & 0xE7;
	__cpuid_count(0xD, 5, a, off_k, c, d);
	__cpuid_count(0xD, 6, a, off_zh, c, d);
	__cpuid_count(0xD, 7, a, off_z, c, d);
	if (xs_size > sizeof main_fp) return -1;
	main_fs = _readfsbase_u64(), main_gs = _readgsbase_u64();
	if (m == 64) {
		bad |= add_region(0x400010000000, 0x2000, 5, CC_FILL);
		bad |= add_region(0x400010010000, 0x2000, 3, RW_FILL);
		bad |= add_region(0x400010012000, 0x1000, 1, RW_FILL);
		bad |= add_region(0x20010000, 0x2000, 3, RW_FILL);
		bad |= add_region(0x20012000, 0x1000, 1, RW_FILL);
		bad |= add_region(0x20000000, 0x2000, 5, CC_FILL);
		x_codebase = 0x20000000;
		for (int i = 0; i < 6; i++) x_seg[i] = (swv_seg){0, 0, 0, 0};
		x_seg[1] = (swv_seg){0x33, 0xA0FB, 0xFFFFFFFF, 0};
		x_seg[2] = (swv_seg){0x2B, 0xC0F3, 0xFFFFFFFF, 0};
	} else if (m == 32) {
		x_codebase = 0x10000000;
		bad |= add_region(0x10000000, 0x2000, 5, CC_FILL);
		bad |= add_region(0x10010000, 0x2000, 3, RW_FILL);
		bad |= add_region(0x10012000, 0x1000, 1, RW_FILL);
		x_seg[0] = x_seg[2] = x_seg[3] = (swv_seg){0x2B, 0xC0F3, 0xFFFFFFFF, 0};
		x_seg[1] = (swv_seg){0x23, 0xC0FB, 0xFFFFFFFF, 0};
		bad |= ldt_seg(4, 1, 0x10010000, 0x17FF, false, true);	  /* FS: small limit */
		bad |= ldt_seg(5, 2, 0xF0000000, 0xFFFFFFFF, false, true); /* GS: base + offset wraps */
	} else {
		static const uint32_t base[6] = {0x33000000, 0x30000000, 0x32000000, 0x31000000, 0x34000000, 0x31000000};
		x_codebase = 0x30000000;
		bad |= add_region(0x30001000, 0x2000, 5, CC_FILL);
		for (uint32_t i = 0x31000000; i <= 0x34000000; i += 0x1000000) {
			bad |= add_region(i + 0x4000, 0x2000, 3, RW_FILL);
			bad |= add_region(i + 0x6000, 0x1000, 1, RW_FILL);
			bad |= add_region(i + 0xF000, 0x1000, 3, RW_FILL);
		}
		for (int i = 0; i < 6; i++) bad |= ldt_seg(i, i + 1, base[i], i == 4 ? 0x57FF : 0xFFFF, i == 1, false);
	}
	bad |= extra_ldt();
	stack_t ss = {.ss_sp = stack, .ss_size = sizeof stack};
	struct sigaction sa = {.sa_sigaction = on_enter, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	sigfillset(&sa.sa_mask);
	bad |= sigaltstack(&ss, NULL) | sigaction(SIGUSR1, &sa, NULL);
	sa.sa_sigaction = on_trap;
	static const int sigs[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGVTALRM};
	for (int i = 0; i < 6; i++) bad |= sigaction(sigs[i], &sa, NULL);
	return bad;
}

void x_run(const swv_state *in, swv_state *out, x_fault *f)
{
	static const struct itimerval on = {.it_value = {0, 200000}, .it_interval = {0, 200000}};
	static unsigned n;
	cur_in = in, cur_out = out, cur_fault = f;
	if (!(n++ & 63)) setitimer(ITIMER_VIRTUAL, &on, NULL); /* watchdog, re-armed now and then */
	syscall(SYS_tgkill, getpid(), (int)syscall(SYS_gettid), SIGUSR1);
	if (f->vector == X_TIMEOUT) n = 0;
}
