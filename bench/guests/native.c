/* SPDX-License-Identifier: MIT */
/* The same workloads as a Linux process without a C library. */
#include "bench.h"

const struct workload privileged[1];

static i64 sys3(i64 nr, i64 a, i64 b, i64 c)
{
	i64 r;
	__asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return r;
}

static char line[256];
static u64 used;

void put_char(char c)
{
	line[used++] = c;
	if (c == '\n' || used == sizeof line) {
		sys3(1, 1, (i64)line, (i64)used);
		used = 0;
	}
}

__attribute__((used)) static void start(u64 *sp)
{
	static char cmd[256];
	u64 argc = sp[0], o = 0;

	for (u64 i = 1; i < argc; i++) {
		for (const char *s = (const char *)sp[1 + i]; *s && o < 250; s++)
			cmd[o++] = *s;
		cmd[o++] = ' ';
	}
	if (cmd[2] == 's' && cmd[3] == 'm')
		sys3(10, (i64)arena, 65536, 7);		/* self-modifying: mprotect rwx */
	sys3(60, bench_main(cmd, 0), 0, 0);
}

__asm__(".globl _start\n_start: mov %rsp, %rdi\n and $-16, %rsp\n call start\n");
