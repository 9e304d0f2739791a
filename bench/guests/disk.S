/* SPDX-License-Identifier: MIT */
/* Boot sector of a raw disk image. Sector 1 holds the command line, the flat
 * image starts at sector 2 (at most 125 sectors of it are loaded). */
	.code16
	.globl _start
_start:
	cli
	xor %ax, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %ss
	mov $0x7000, %sp
	sti
	mov $0x42, %ah
	mov $dap, %si
	int $0x13
	jc bad
	cli
	in $0x92, %al
	or $2, %al
	out %al, $0x92
	lgdt gdtr
	mov $1, %eax
	mov %eax, %cr0
	ljmp $8, $pm
bad:	hlt
	jmp bad
	.code32
pm:	mov $16, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	cld
	mov $0x10200, %esi
	mov $0x100000, %edi
	mov $(125 * 512 / 4), %ecx
	rep movsl
	mov $0x10000, %ebx
	xor %eax, %eax
	mov $0x100040, %ecx
	jmp *%ecx
	.balign 8
gdt:	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr:	.word . - gdt - 1
	.long gdt
dap:	.byte 16, 0
	.word 126, 0, 0x1000
	.quad 1
	.org _start + 446
	.byte 0x80, 0, 2, 0, 0x83, 0, 63, 0
	.long 1, 2047
	.org _start + 510
	.word 0xaa55
