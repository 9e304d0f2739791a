/* SPDX-License-Identifier: MIT */
/* Shared declarations of the benchmark guests. */
#ifndef BENCH_H
#define BENCH_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef long i64;

#define ARENA_SIZE (80ul << 20)

/* Scratch memory; executable in every environment that loads us. */
extern u8 arena[ARENA_SIZE];

struct workload {
	const char *name;
	u64 (*run)(u64 n);
	u64 n;			/* default iterations */
};

extern const struct workload portable[];	/* run natively as well */
extern const struct workload privileged[];	/* need ring 0 */

/* Provided by each environment. */
void put_char(char c);

/* Common driver: picks "w=NAME n=COUNT" out of a command line. */
int bench_main(const char *cmdline, int ring0);

/* Workloads. */
u64 wl_alu(u64 n);
u64 wl_sieve(u64 n);
u64 wl_sha256(u64 n);
u64 wl_crc32(u64 n);
u64 wl_qsort(u64 n);
u64 wl_queens(u64 n);
u64 wl_interp(u64 n);
u64 wl_fib(u64 n);
u64 wl_chase(u64 n);
u64 wl_smc(u64 n);
u64 wl_smcnear(u64 n);
u64 wl_movs(u64 n);
u64 wl_stos(u64 n);
u64 wl_movsmall(u64 n);
u64 wl_matmul(u64 n);
u64 wl_nbody(u64 n);
u64 wl_x87(u64 n);

u64 wl_cr3(u64 n);
u64 wl_syscall(u64 n);
u64 wl_int3ring(u64 n);
u64 wl_int(u64 n);
u64 wl_pf(u64 n);
u64 wl_out(u64 n);
u64 wl_in(u64 n);
u64 wl_mmiow(u64 n);
u64 wl_mmior(u64 n);
u64 wl_cpuid(u64 n);

static inline u64 rdtsc(void)
{
	u32 lo, hi;
	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return ((u64)hi << 32) | lo;
}

#endif
