/* SPDX-License-Identifier: MIT */
/* Runs the flat image under Unicorn: ucrun bench.bin "w=out n=1000000" [count] */
#include <stdio.h>
#include <string.h>
#include <unicorn/unicorn.h>

static unsigned long io, mmio, insns;

static uint32_t on_in(uc_engine *uc, uint32_t port, int size, void *p)
{
	(void)uc; (void)size; (void)p;
	io++;
	return port == 0x3fd ? 0x60 : 0;
}

static void on_out(uc_engine *uc, uint32_t port, int size, uint32_t v, void *p)
{
	(void)size; (void)p;
	io++;
	if (port == 0x3f8 && v > 3) {
		putchar(v);
		if (v == '\n')
			fflush(stdout);
	} else if (port == 0xf4) {
		uc_emu_stop(uc);
	}
}

static uint64_t mmio_rd(uc_engine *uc, uint64_t off, unsigned size, void *p)
{
	(void)uc; (void)off; (void)size; (void)p;
	mmio++;
	return 0;
}

static void mmio_wr(uc_engine *uc, uint64_t off, unsigned size, uint64_t v, void *p)
{
	(void)uc; (void)off; (void)size; (void)v; (void)p;
	mmio++;
}

static void on_code(uc_engine *uc, uint64_t a, uint32_t size, void *p)
{
	(void)uc; (void)a; (void)size; (void)p;
	insns++;
}

int main(int argc, char **argv)
{
	uc_engine *uc;
	uc_hook h[4];
	uc_err e;
	static char img[1 << 20];
	unsigned long rdi = 0x8000;
	FILE *f;

	if (argc < 3 || !(f = fopen(argv[1], "rb")))
		return 2;
	size_t n = fread(img, 1, sizeof img, f);
	if (uc_open(UC_ARCH_X86, UC_MODE_64, &uc))
		return 2;
	uc_mem_map(uc, 0, 256ul << 20, UC_PROT_ALL);
	uc_mmio_map(uc, 0xd0000000, 0x1000, mmio_rd, 0, mmio_wr, 0);
	uc_mem_write(uc, 0x100000, img, n);
	uc_mem_write(uc, 0x8000, argv[2], strlen(argv[2]) + 1);
	uc_reg_write(uc, UC_X86_REG_RDI, &rdi);
	uc_hook_add(uc, &h[0], UC_HOOK_INSN, on_in, 0, 1, 0, UC_X86_INS_IN);
	uc_hook_add(uc, &h[1], UC_HOOK_INSN, on_out, 0, 1, 0, UC_X86_INS_OUT);
	if (argc > 3)
		uc_hook_add(uc, &h[2], UC_HOOK_CODE, on_code, 0, 1, 0);
	e = uc_emu_start(uc, 0x100080, 0, 0, 0);
	fprintf(stderr, "%s; io %lu mmio %lu insns %lu\n", uc_strerror(e), io, mmio, insns);
	return e != 0;
}
