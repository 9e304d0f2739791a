/* SPDX-License-Identifier: MIT */
/* Privileged workloads: paging, rings, interrupts and exits. */
#include "bench.h"

#define PRESENT 1ul
#define WRITE   2ul
#define USER    4ul
#define LARGE   0x80ul

#define MMIO_ADDR 0xd0000000ul		/* nothing is mapped there */
#define FAULT_VA  (5ul << 30)

static u64 pml4[2][512] __attribute__((aligned(4096)));
static u64 pdpt[512] __attribute__((aligned(4096)));
static u64 pd[4][512] __attribute__((aligned(4096)));
static u64 pd5[512] __attribute__((aligned(4096)));
u64 fault_pt[512] __attribute__((aligned(4096)));
u64 fault_frame;

static u64 gdt[8];
static struct { u64 lo, hi; } idt[256] __attribute__((aligned(16)));
static u32 tss[26] __attribute__((aligned(16)));
static u8 kstack[16384] __attribute__((aligned(16)));
static u8 ustack[16384] __attribute__((aligned(16)));

extern void vec_iret(void), vec_fault(void), vec_leave(void), vec_syscall(void);
extern void user_int(void), user_syscall(void);
extern void enter_user(u64 rip, u64 rsp, u64 n);

struct __attribute__((packed)) dtr { u16 limit; u64 base; };

static void wrmsr(u32 msr, u64 v)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

static u64 rdmsr(u32 msr)
{
	u32 lo, hi;
	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return (u64)hi << 32 | lo;
}

static inline void set_cr3(const void *p)
{
	__asm__ volatile("mov %0, %%cr3" : : "r"(p) : "memory");
}

static void gate(int v, void (*f)(void), u64 dpl)
{
	u64 a = (u64)f;

	idt[v].lo = (a & 0xffff) | 8ul << 16 | (0x8e00ul | dpl << 13) << 32
		| (a >> 16 & 0xffff) << 48;
	idt[v].hi = a >> 32;
}

static void setup(void)
{
	struct dtr d;
	u64 t = (u64)tss, sp = (u64)(kstack + sizeof kstack);

	for (u64 i = 0; i < 2048; i++)
		pd[i >> 9][i & 511] = i << 21 | LARGE | USER | WRITE | PRESENT;
	for (u64 i = 0; i < 4; i++)
		pdpt[i] = (u64)pd[i] | USER | WRITE | PRESENT;
	pdpt[5] = (u64)pd5 | USER | WRITE | PRESENT;
	pd5[0] = (u64)fault_pt | USER | WRITE | PRESENT;
	fault_frame = (u64)arena | USER | WRITE | PRESENT;
	pml4[0][0] = pml4[1][0] = (u64)pdpt | USER | WRITE | PRESENT;
	set_cr3(pml4[0]);

	gdt[1] = 0x00af9b000000ffff;
	gdt[2] = 0x00cf93000000ffff;
	gdt[3] = 0x00cff3000000ffff;
	gdt[4] = 0x00affb000000ffff;
	gdt[5] = (sizeof tss - 1) | (t & 0xffffff) << 16 | 0x89ul << 40 | (t >> 24 & 0xff) << 56;
	gdt[6] = t >> 32;
	tss[1] = (u32)sp;
	tss[2] = (u32)(sp >> 32);
	tss[25] = sizeof tss << 16;
	d.limit = sizeof gdt - 1;
	d.base = (u64)gdt;
	__asm__ volatile("lgdt %0" : : "m"(d));
	__asm__ volatile("pushq $8; leaq 1f(%%rip), %%rax; pushq %%rax; lretq; 1:\n"
			 "movl $16, %%eax; movl %%eax, %%ss; movl %%eax, %%ds; movl %%eax, %%es\n"
			 "movl $0x28, %%eax; ltr %%ax" : : : "rax", "memory");
	gate(14, vec_fault, 0);
	gate(0x30, vec_iret, 0);
	gate(0x80, vec_iret, 3);
	gate(0x81, vec_leave, 3);
	d.limit = sizeof idt - 1;
	d.base = (u64)idt;
	__asm__ volatile("lidt %0" : : "m"(d));
	wrmsr(0xc0000080, rdmsr(0xc0000080) | 1);
	wrmsr(0xc0000081, 0x10ul << 48 | 8ul << 32);
	wrmsr(0xc0000082, (u64)vec_syscall);
	wrmsr(0xc0000084, 0x700);
}

__asm__(
"vec_iret: iretq\n"
/* Page fault: install the page, return. */
"vec_fault: push %rax; push %rcx\n"
"	mov %cr2, %rax; shr $12, %rax; and $511, %eax\n"
"	mov fault_frame(%rip), %rcx; mov %rcx, fault_pt(,%rax,8)\n"
"	pop %rcx; pop %rax; add $8, %rsp; iretq\n"
"vec_syscall: swapgs; swapgs; sysretq\n"
/* rdi = rip, rsi = rsp, rdx = count, which user code wants in rbx */
"enter_user: push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
"	mov %rsp, saved_rsp(%rip); mov %rdx, %rbx\n"
"	pushq $0x1b; push %rsi; pushq $2; pushq $0x23; push %rdi; iretq\n"
"vec_leave: mov saved_rsp(%rip), %rsp\n"
"	mov $16, %eax; mov %eax, %ss\n"
"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n"
"user_int: int $0x80; dec %rbx; jnz user_int; int $0x81\n"
"user_syscall: syscall; dec %rbx; jnz user_syscall; int $0x81\n"
"	.local saved_rsp\n	.comm saved_rsp, 8, 8\n");

/* Page-table switch and four touched pages. */
u64 wl_cr3(u64 n)
{
	u64 s = 0;

	setup();
	for (u64 i = 0; i < n; i++) {
		set_cr3(pml4[i & 1]);
		for (u64 k = 0; k < 4; k++)
			s += (*(volatile u64 *)(arena + (k << 21)))++;
	}
	return s;
}

/* Ring 3 to ring 0 and back by syscall and sysret. */
u64 wl_syscall(u64 n)
{
	setup();
	enter_user((u64)user_syscall, (u64)(ustack + sizeof ustack), n);
	return n;
}

/* Ring 3 to ring 0 and back by int and iretq. */
u64 wl_int3ring(u64 n)
{
	setup();
	enter_user((u64)user_int, (u64)(ustack + sizeof ustack), n);
	return n;
}

/* int and iretq within ring 0. */
u64 wl_int(u64 n)
{
	setup();
	for (u64 i = 0; i < n; i++)
		__asm__ volatile("int $0x30" : : : "memory");
	return n;
}

/* A page fault each time: the handler maps the page, the loop unmaps it. */
u64 wl_pf(u64 n)
{
	u64 s = 0;

	setup();
	for (u64 i = 0; i < n; i++) {
		u64 k = i & 511;

		s += (*(volatile u64 *)(FAULT_VA + k * 4096))++;
		fault_pt[k] = 0;
		__asm__ volatile("invlpg (%0)" : : "r"(FAULT_VA + k * 4096) : "memory");
	}
	return s;
}

/* Exits to whoever owns the machine. */
u64 wl_out(u64 n)
{
	for (u64 i = 0; i < n; i++)
		__asm__ volatile("outb %%al, $0x80" : : "a"((u8)i));
	return n;
}

u64 wl_in(u64 n)
{
	u64 s = 0;

	for (u64 i = 0; i < n; i++) {
		u8 v;
		__asm__ volatile("inb $0x81, %0" : "=a"(v));
		s += v;
	}
	return s & 0;
}

u64 wl_mmiow(u64 n)
{
	for (u64 i = 0; i < n; i++)
		*(volatile u32 *)(MMIO_ADDR + 0x100) = (u32)i;
	return n;
}

u64 wl_mmior(u64 n)
{
	u64 s = 0;

	for (u64 i = 0; i < n; i++)
		s += *(volatile u32 *)(MMIO_ADDR + 0x100);
	return s & 0;
}

u64 wl_cpuid(u64 n)
{
	u32 a, b, c, d;

	for (u64 i = 0; i < n; i++)
		__asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0), "c"(0));
	return n;
}

const struct workload privileged[] = {
	{ "cr3", wl_cr3, 1000000 },
	{ "syscall", wl_syscall, 1000000 },
	{ "int3ring", wl_int3ring, 1000000 },
	{ "int", wl_int, 1000000 },
	{ "pf", wl_pf, 1000000 },
	{ "out", wl_out, 1000000 },
	{ "in", wl_in, 1000000 },
	{ "mmiow", wl_mmiow, 1000000 },
	{ "mmior", wl_mmior, 1000000 },
	{ "cpuid", wl_cpuid, 1000000 },
	{ 0, 0, 0 }
};
