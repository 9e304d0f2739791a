/* SPDX-License-Identifier: MIT */
/* Entry points of the flat image, linked at 1 MiB.
 *   +0x40  32-bit protected mode, flat segments (multiboot, PVH, boot sector)
 *   +0x80  64-bit long mode, low 4 GiB mapped one to one, rdi = command line
 *   +0xc0  the same in ring 3: no port is touched, the report is left as a
 *          string at 0x9000 and the run ends with a privileged instruction
 */
	.code32
	.section .head, "ax"
head:
	.balign 4
	.long 0x1badb002, 0x00000003, -(0x1badb002 + 0x00000003)
	.org head + 0x40
	.globl start32
start32:
	cli
	jmp boot32
	.org head + 0x80
	.code64
	.globl start64
start64:
	cli
	lea stack_top(%rip), %rsp
	jmp go64
	.org head + 0xc0
	.globl start_user
start_user:
	lea stack_top(%rip), %rsp
	call umain
	hlt

	.code32
boot32:
	mov $stack_top, %esp
	mov $empty, %edi
	cmp $0x2badb002, %eax		/* multiboot */
	jne 1f
	testl $4, (%ebx)
	jz 3f
	mov 16(%ebx), %edi
	jmp 3f
1:	cmpl $0x336ec578, (%ebx)		/* PVH start info */
	jne 2f
	mov 24(%ebx), %edi
	jmp 3f
2:	mov %ebx, %edi			/* our boot sector: ebx = command line */
3:	mov %edi, %esi
	/* page tables: 4 GiB of 2 MiB pages */
	mov $tables, %edi
	xor %eax, %eax
	mov $(6 * 1024), %ecx
	cld
	rep stosl
	movl $(tables + 0x1000 + 7), tables
	mov $(tables + 0x2000 + 7), %eax
	mov $(tables + 0x1000), %edi
	mov $4, %ecx
4:	mov %eax, (%edi)
	add $0x1000, %eax
	add $8, %edi
	loop 4b
	mov $0x87, %eax
	mov $(tables + 0x2000), %edi
	mov $2048, %ecx
5:	mov %eax, (%edi)
	add $0x200000, %eax
	add $8, %edi
	loop 5b
	mov $tables, %eax
	mov %eax, %cr3
	mov $0x620, %eax		/* PAE, OSFXSR, OSXMMEXCPT */
	mov %eax, %cr4
	mov $0xc0000080, %ecx
	rdmsr
	or $0x101, %eax			/* LME, SCE */
	wrmsr
	mov $0x80010033, %eax		/* PG, WP, NE, ET, MP, PE */
	mov %eax, %cr0
	lgdt gdt_ptr
	ljmp $8, $enter64

	.code64
enter64:
	mov $16, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov %esi, %edi
go64:
	cld
	fninit
	call kmain
6:	cli
	hlt
	jmp 6b

	.section .rodata
	.balign 8
gdt:	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_ptr: .word . - gdt - 1
	.long gdt
empty:	.byte 0

	.section .note.pvh, "a", @note
	.balign 4
	.long 4, 4, 18
	.asciz "Xen"
	.long start32

	.bss
	.balign 4096
	.globl tables
tables:	.skip 6 * 4096
	.skip 65536
	.balign 16
stack_top:
	.section .note.GNU-stack, "", @progbits
