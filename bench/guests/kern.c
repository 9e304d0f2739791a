/* SPDX-License-Identifier: MIT */
/* Bare-metal environment: serial output and the way out. */
#include "bench.h"

static inline void outb(u16 port, u8 v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline u8 inb(u16 port)
{
	u8 v;
	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static char *report;

void put_char(char c)
{
	if (report) {
		*report++ = c;
		return;
	}
	while (!(inb(0x3fd) & 0x20))
		;
	outb(0x3f8, (u8)c);
}

void kmain(const char *cmdline)
{
	int rc;

	outb(0x3f9, 0);		/* no interrupts, 115200 8N1 */
	outb(0x3fb, 0x80);
	outb(0x3f8, 1);
	outb(0x3f9, 0);
	outb(0x3fb, 3);
	rc = bench_main(cmdline, 1);
	while (!(inb(0x3fd) & 0x40))
		;
	outb(0xf4, (u8)rc);
	for (const char *s = "Shutdown"; *s; s++)
		outb(0x8900, (u8)*s);
}

void umain(const char *cmdline)
{
	report = (char *)0x9000;
	bench_main(cmdline, 0);
}
