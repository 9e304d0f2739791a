/* SPDX-License-Identifier: MIT */
/* Picks a workload by the command line and reports on it. */
#include "bench.h"

u8 arena[ARENA_SIZE] __attribute__((aligned(2 << 20)));

static void put_str(const char *s)
{
	while (*s)
		put_char(*s++);
}

static void put_num(u64 v, unsigned base)
{
	char b[24];
	int i = 24;

	b[--i] = 0;
	do
		b[--i] = "0123456789abcdef"[v % base];
	while (v /= base);
	put_str(b + i);
}

static const char *find(const char *s, char key)
{
	for (; *s; s++)
		if (s[0] == key && s[1] == '=')
			return s + 2;
	return 0;
}

static const struct workload *pick(const struct workload *w, const char *name)
{
	for (; w->name; w++) {
		const char *a = w->name, *b = name;

		while (*a && *a == *b)
			a++, b++;
		if (!*a && (*b == 0 || *b == ' ' || *b == '\n'))
			return w;
	}
	return 0;
}

int bench_main(const char *cmdline, int ring0)
{
	const char *s = find(cmdline, 'w');
	const struct workload *w = 0;
	u64 n, t, sum;

	if (s)
		w = pick(portable, s);
	if (s && !w && ring0)
		w = pick(privileged, s);
	if (!w) {
		put_str("no such workload\n");
		return 1;
	}
	n = w->n;
	s = find(cmdline, 'n');
	if (s)
		for (n = 0; *s >= '0' && *s <= '9'; s++)
			n = n * 10 + (u64)(*s - '0');
	put_str("BEGIN ");
	put_str(w->name);
	put_str("\n");
	t = rdtsc();
	sum = w->run(n);
	t = rdtsc() - t;
	put_str("END ");
	put_str(w->name);
	put_str(" n=");
	put_num(n, 10);
	put_str(" sum=");
	put_num(sum, 16);
	put_str(" tsc=");
	put_num(t, 10);
	put_str("\n");
	return 0;
}
