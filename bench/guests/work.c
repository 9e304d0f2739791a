/* SPDX-License-Identifier: MIT */
/* Integer workloads. Compiled without SSE; the same object files are linked
 * into the bare-metal image and into the native process. */
#include "bench.h"

/* A mix of dependent and independent ALU operations. */
u64 wl_alu(u64 n)
{
	u64 a = 0x9e3779b97f4a7c15ul, b = 1, c = 0, d = 12345;
	u32 e = 7;

	for (u64 i = 0; i < n; i++) {
		a += b ^ (c >> 7);
		b = (b << 13) | (b >> 51);
		b ^= a;
		c = c * 5 + i;
		e = e * 1664525u + 1013904223u;
		d -= (a & 0xff00ff) + (e >> 9);
		if ((i64)(d ^ a) < 0)
			c += 3;
		else
			c ^= d;
		e ^= (u32)(d >> 32);
		a = a > c ? a - e : a + e;
	}
	return a ^ b ^ c ^ d ^ e;
}

/* Sieve of Eratosthenes over 4 MiB of bytes. */
u64 wl_sieve(u64 n)
{
	const u64 top = 4ul << 20;
	u64 sum = 0;

	for (u64 r = 0; r < n; r++) {
		for (u64 i = 0; i < top; i++)
			arena[i] = 1;
		for (u64 i = 2; i * i < top; i++)
			if (arena[i])
				for (u64 j = i * i; j < top; j += i)
					arena[j] = 0;
		for (u64 i = 2; i < top; i++)
			sum += arena[i];
	}
	return sum;
}

static const u32 sha_k[64] = {
	0x428a2f98,0x71374491,0xb5c0fbcf,0xe9b5dba5,0x3956c25b,0x59f111f1,0x923f82a4,0xab1c5ed5,
	0xd807aa98,0x12835b01,0x243185be,0x550c7dc3,0x72be5d74,0x80deb1fe,0x9bdc06a7,0xc19bf174,
	0xe49b69c1,0xefbe4786,0x0fc19dc6,0x240ca1cc,0x2de92c6f,0x4a7484aa,0x5cb0a9dc,0x76f988da,
	0x983e5152,0xa831c66d,0xb00327c8,0xbf597fc7,0xc6e00bf3,0xd5a79147,0x06ca6351,0x14292967,
	0x27b70a85,0x2e1b2138,0x4d2c6dfc,0x53380d13,0x650a7354,0x766a0abb,0x81c2c92e,0x92722c85,
	0xa2bfe8a1,0xa81a664b,0xc24b8b70,0xc76c51a3,0xd192e819,0xd6990624,0xf40e3585,0x106aa070,
	0x19a4c116,0x1e376c08,0x2748774c,0x34b0bcb5,0x391c0cb3,0x4ed8aa4a,0x5b9cca4f,0x682e6ff3,
	0x748f82ee,0x78a5636f,0x84c87814,0x8cc70208,0x90befffa,0xa4506ceb,0xbef9a3f7,0xc67178f2
};

#define ROR(x, k) (((x) >> (k)) | ((x) << (32 - (k))))

static void sha_block(u32 h[8], const u8 *p)
{
	u32 w[64], s[8];

	for (int i = 0; i < 16; i++, p += 4)
		w[i] = (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
	for (int i = 16; i < 64; i++) {
		u32 x = w[i - 15], y = w[i - 2];
		w[i] = w[i - 16] + w[i - 7] + (ROR(x, 7) ^ ROR(x, 18) ^ (x >> 3))
			+ (ROR(y, 17) ^ ROR(y, 19) ^ (y >> 10));
	}
	for (int i = 0; i < 8; i++)
		s[i] = h[i];
	for (int i = 0; i < 64; i++) {
		u32 t1 = s[7] + (ROR(s[4], 6) ^ ROR(s[4], 11) ^ ROR(s[4], 25))
			+ ((s[4] & s[5]) ^ (~s[4] & s[6])) + sha_k[i] + w[i];
		u32 t2 = (ROR(s[0], 2) ^ ROR(s[0], 13) ^ ROR(s[0], 22))
			+ ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
		s[7] = s[6]; s[6] = s[5]; s[5] = s[4]; s[4] = s[3] + t1;
		s[3] = s[2]; s[2] = s[1]; s[1] = s[0]; s[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		h[i] += s[i];
}

/* n blocks of SHA-256 compression. */
u64 wl_sha256(u64 n)
{
	u32 h[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

	for (u64 i = 0; i < 4096; i++)
		arena[i] = (u8)(i * 7);
	for (u64 i = 0; i < n; i++)
		sha_block(h, arena + (i & 63) * 64);
	return (u64)h[0] << 32 | h[7];
}

/* Table driven CRC-32 over 64 KiB, n times. */
u64 wl_crc32(u64 n)
{
	u32 *tab = (u32 *)(arena + (1 << 20));
	u32 c = 0;

	for (u32 i = 0; i < 256; i++) {
		u32 v = i;
		for (int k = 0; k < 8; k++)
			v = (v >> 1) ^ (0xedb88320u & -(v & 1));
		tab[i] = v;
	}
	for (u64 i = 0; i < 65536; i++)
		arena[i] = (u8)(i * 31 >> 3);
	for (u64 r = 0; r < n; r++) {
		c = ~c;
		for (u64 i = 0; i < 65536; i++)
			c = tab[(c ^ arena[i]) & 0xff] ^ (c >> 8);
		c = ~c;
	}
	return c;
}

static void quick(u32 *a, i64 lo, i64 hi)
{
	while (lo < hi) {
		u32 p = a[(lo + hi) >> 1];
		i64 i = lo, j = hi;

		while (i <= j) {
			while (a[i] < p)
				i++;
			while (a[j] > p)
				j--;
			if (i <= j) {
				u32 t = a[i];
				a[i++] = a[j];
				a[j--] = t;
			}
		}
		if (j - lo < hi - i) {
			quick(a, lo, j);
			lo = i;
		} else {
			quick(a, i, hi);
			hi = j;
		}
	}
}

/* Quicksort of 64 Ki pseudo-random words, n times. */
u64 wl_qsort(u64 n)
{
	u32 *a = (u32 *)arena, x = 1;
	u64 sum = 0;

	for (u64 r = 0; r < n; r++) {
		for (u64 i = 0; i < 65536; i++)
			a[i] = x = x * 1664525u + 1013904223u;
		quick(a, 0, 65535);
		sum = sum * 31 + a[r & 0xffff] + a[32768];
	}
	return sum;
}

static u64 place(u32 all, u32 cols, u32 d1, u32 d2)
{
	u64 found = 0;

	if (cols == all)
		return 1;
	for (u32 free = all & ~(cols | d1 | d2); free; free &= free - 1) {
		u32 bit = free & -free;
		found += place(all, cols | bit, (d1 | bit) << 1, (d2 | bit) >> 1);
	}
	return found;
}

/* All solutions of the 9-queens puzzle, n times. */
u64 wl_queens(u64 n)
{
	u64 sum = 0;

	for (u64 r = 0; r < n; r++)
		sum += place(0x1ff, 0, (u32)(r & 0), 0);
	return sum;
}

/* A byte-code machine: indirect jumps through a table. */
enum { OP_LI, OP_ADD, OP_SUB, OP_MUL, OP_XOR, OP_SHR, OP_LD, OP_ST, OP_JNZ, OP_DEC, OP_END };

static u64 vm(const u8 *code, u64 *r, u64 *mem)
{
	const u8 *pc = code;

	for (;;) {
		u8 op = pc[0], a = pc[1], b = pc[2], c = pc[3];

		pc += 4;
		switch (op) {
		case OP_LI:  r[a] = b | (u64)c << 8; break;
		case OP_ADD: r[a] = r[b] + r[c]; break;
		case OP_SUB: r[a] = r[b] - r[c]; break;
		case OP_MUL: r[a] = r[b] * r[c]; break;
		case OP_XOR: r[a] = r[b] ^ r[c]; break;
		case OP_SHR: r[a] = r[b] >> c; break;
		case OP_LD:  r[a] = mem[r[b] & 1023]; break;
		case OP_ST:  mem[r[b] & 1023] = r[a]; break;
		case OP_JNZ: if (r[a]) pc = code + 4 * (b | c << 8); break;
		case OP_DEC: r[a]--; break;
		default:     return r[0];
		}
	}
}

u64 wl_interp(u64 n)
{
	static const u8 prog[] = {
		OP_LI, 1, 0xe8, 3,	/* 1000 rounds */
		OP_LI, 2, 0x5d, 0x58,
		OP_LI, 3, 39, 0,
		OP_MUL, 4, 4, 2,	/* 3: */
		OP_ADD, 4, 4, 3,
		OP_SHR, 5, 4, 11,
		OP_LD, 6, 5, 0,
		OP_XOR, 6, 6, 4,
		OP_ST, 6, 5, 0,
		OP_ADD, 0, 0, 6,
		OP_SUB, 0, 0, 1,
		OP_DEC, 1, 0, 0,
		OP_JNZ, 1, 3, 0,
		OP_END, 0, 0, 0
	};
	u64 reg[8] = { 0, 0, 0, 0, 1, 0, 0, 0 };
	u64 *mem = (u64 *)arena, sum = 0;

	for (int i = 0; i < 1024; i++)
		mem[i] = i;
	for (u64 r = 0; r < n; r++)
		sum += vm(prog, reg, mem);
	return sum;
}

static __attribute__((noinline, noclone, optimize("no-optimize-sibling-calls"))) u64 fib(u64 k)
{
	u64 x;

	if (k < 2)
		return k;
	x = fib(k - 1);
	__asm__ volatile("" : "+r"(x));
	return x + fib(k - 2);
}

/* Calls and returns: fib(20), n times. */
u64 wl_fib(u64 n)
{
	u64 sum = 0;

	for (u64 r = 0; r < n; r++)
		sum += fib(20);
	return sum;
}

/* Pointer chasing through a random cycle of cache lines over 64 MiB. */
u64 wl_chase(u64 n)
{
	const u64 lines = 1ul << 20;
	u64 i, x = 0;

	/* A full-period linear congruence gives one cycle over all lines. */
	for (i = 0; i < lines; i++) {
		u64 next = (x * 1664525ul + 1013904223ul) & (lines - 1);
		*(u64 *)(arena + x * 64) = (u64)(next * 64);
		x = next;
	}
	for (x = 0, i = 0; i < n; i++)
		x = *(u64 *)(arena + x);
	return x;
}

/* Self-modifying code: patch an immediate, call it; n times. */
u64 wl_smc(u64 n)
{
	static const u8 tmpl[] = { 0x48, 0x8d, 0x87, 0, 0, 0, 0, 0xc3 };
	u8 *code = arena + 4096;		/* lea imm32(%rdi),%rax; ret */
	u64 v = 0;

	for (unsigned i = 0; i < sizeof tmpl; i++)
		code[i] = tmpl[i];
	for (u64 i = 0; i < n; i++) {
		*(volatile u32 *)(code + 3) = (u32)(i & 0xffff);
		v = ((u64 (*)(u64))code)(v);
	}
	return v;
}

/* Data written on a page that also holds running code. */
u64 wl_smcnear(u64 n)
{
	static const u8 tmpl[] = { 0x48, 0x8d, 0x87, 5, 0, 0, 0, 0xc3 };
	u8 *code = arena + 4096;
	u64 v = 0;

	for (unsigned i = 0; i < sizeof tmpl; i++)
		code[i] = tmpl[i];
	for (u64 i = 0; i < n; i++) {
		*(volatile u64 *)(code + 2048) = v;
		v = ((u64 (*)(u64))code)(v);
	}
	return v;
}

static inline void movsb(void *d, const void *s, u64 c)
{
	__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(c) : : "memory");
}

static inline void stosb(void *d, u8 v, u64 c)
{
	__asm__ volatile("rep stosb" : "+D"(d), "+c"(c) : "a"(v) : "memory");
}

static u64 sample(void)
{
	u64 s = 0;

	for (u64 i = 0; i < (2ul << 20); i += 4093)
		s = s * 31 + arena[i];
	return s;
}

/* rep movsb, 64 KiB a time. */
u64 wl_movs(u64 n)
{
	for (u64 i = 0; i < 65536; i++)
		arena[i] = (u8)(i * 13);
	for (u64 r = 0; r < n; r++)
		movsb(arena + (1 << 20) + (r & 7) * 65536 + (r & 63), arena + (r & 31), 65000);
	return sample();
}

/* rep stosb, 64 KiB a time. */
u64 wl_stos(u64 n)
{
	for (u64 r = 0; r < n; r++)
		stosb(arena + (r & 15) * 65536 + (r & 63), (u8)r, 65000);
	return sample();
}

/* rep movsb of 1 to 32 bytes, as a memcpy would. */
u64 wl_movsmall(u64 n)
{
	for (u64 i = 0; i < 65536; i++)
		arena[i] = (u8)(i * 13);
	for (u64 r = 0; r < n; r++)
		movsb(arena + (1 << 20) + (r & 4095) * 32, arena + (r & 1023), 1 + (r & 31));
	return sample();
}

const struct workload portable[] = {
	{ "alu", wl_alu, 100000000 },
	{ "sieve", wl_sieve, 20 },
	{ "sha256", wl_sha256, 300000 },
	{ "crc32", wl_crc32, 2000 },
	{ "qsort", wl_qsort, 100 },
	{ "queens", wl_queens, 500 },
	{ "interp", wl_interp, 10000 },
	{ "fib", wl_fib, 10000 },
	{ "chase", wl_chase, 10000000 },
	{ "matmul", wl_matmul, 100 },
	{ "nbody", wl_nbody, 1000000 },
	{ "x87", wl_x87, 10000000 },
	{ "smc", wl_smc, 100000 },
	{ "smcnear", wl_smcnear, 100000 },
	{ "movs", wl_movs, 10000 },
	{ "stos", wl_stos, 10000 },
	{ "movsmall", wl_movsmall, 1000000 },
	{ 0, 0, 0 }
};
