#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The MultiProcessor Specification's tables as a guest reads them: ours beside a multiboot kernel, and those that
# SeaBIOS builds from what fw_cfg and the processors tell it. The guest finds them, sums them up, and prints a letter for each
# entry: p, b, i for processors, buses and the I/O APIC, the input (2) of the timer's IRQ 0, x for the 8259A's output
# at an input, l for local interrupts.
#
#   mp.sh BUILD
set -u

# shellcheck source=tests/vmm/claims.inc
. "$(dirname "$0")/claims.inc"

is() { [ "$(cat "$out")" = "$1" ]; }

# shellcheck disable=SC2016
reader='
    .code32
    .macro put letter
    mov $\letter, %al
    out %al, $0xe9
    .endm
read_tables:
    cld
    mov $0xf0000, %ebx
1:  cmpl $0x5f504d5f, (%ebx)        # _MP_
    je 2f
    add $16, %ebx
    cmp $0x100000, %ebx
    jb 1b
    put 0x3f
    jmp end
2:  mov %ebx, %esi
    mov $16, %ecx
    call sum
    mov 4(%ebx), %ebx
    mov %ebx, %esi
    cmpl $0x504d4350, (%ebx)        # PCMP
    jne wrong
    movzwl 4(%ebx), %ecx
    call sum
    movzwl 34(%ebx), %ecx
    lea 44(%ebx), %esi
3:  movzbl (%esi), %edx
    mov letters(%edx), %al
    cmp $3, %edx
    jne 4f
    cmpb $0, 5(%esi)                # IRQ 0
    jne 5f
    cmpb $3, 1(%esi)
    je 4f
    mov 7(%esi), %al
    add $0x30, %al
4:  out %al, $0xe9
5:  add $8, %esi
    test %edx, %edx
    jnz 6f
    add $12, %esi
6:  dec %ecx
    jnz 3b
end:
    xor %eax, %eax
    out %al, $0xf4
    hlt
sum:
    xor %edx, %edx
7:  lodsb
    add %al, %dl
    dec %ecx
    jnz 7b
    test %dl, %dl
    jz 8f
wrong:
    put 0x21
    jmp end
8:  ret
letters: .ascii "pbixl"
'

# An ELF file of the reader, with a multiboot header.
# shellcheck disable=SC2016
make_kernel() {
    about kernel
    printf '%s\n' '    .code32
    .long 0x1badb002, 3, -(0x1badb002 + 3)
    .globl start
start:
    mov $0x90000, %esp
    jmp read_tables' "$reader" >"$work/kernel.s"
    as --32 -o "$work/kernel.o" "$work/kernel.s" 2>>"$err" &&
        ld -m elf_i386 -n -e start -Ttext=0x100000 -o "$work/kernel" "$work/kernel.o" 2>>"$err"
}

# The same as a floppy's first sector, which enters protected mode.
# shellcheck disable=SC2016
make_floppy() {
    about floppy
    {
        echo '    .code16
    cli
    xor %ax, %ax
    mov %ax, %ds
    lgdt gdtr
    mov $1, %ax
    lmsw %ax
    ljmp $8, $there
gdtr: .word 23
    .long gdt
gdt: .quad 0, 0xcf9b000000ffff, 0xcf93000000ffff
    .code32
there:
    mov $16, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x7000, %esp'
        echo "$reader"
        echo '    .org 510
    .word 0xaa55'
    } | assemble 0x7c00
}

if ! has_assembler; then
    skip "no assembler for x86"
    summary
    exit
fi

claim 'the kernel assembles' make_kernel
for cpus in 1 3 64; do
    run "kernel-$cpus" "$tool" run "$work/kernel" --apic xapic --cpus $cpus
    claim "$guest: ends with status 1" ends_with 1
    claim "$guest: reads all entries" is "$(printf "%${cpus}s" '' | tr ' ' p)bbix2ll"
done
run kernel-none "$tool" run "$work/kernel"
claim "$guest: finds none without local APICs" is '?'

claim 'the floppy assembles' make_floppy
if vmm/guest/fetch.sh "$guests" seabios usr/share/seabios/bios-256k.bin >"$work/fetch" 2>&1; then
    run seabios "$tool" run --firmware "$guests/seabios/usr/share/seabios/bios-256k.bin" --apic xapic --cpus 2 \
        --floppy "$work/floppy.bin" --clock-rate 50 --max-insns 100000000
    claim "$guest: ends with status 1" ends_with 1
    # As under QEMU with -smp 2: one entry for a package of two processors, and none for the 8259A's output.
    claim "$guest: its tables tell of the machine" grep -qa 'pbbi2ll$' "$out"
else
    skip "SeaBIOS: $(tail -n 1 "$work/fetch")"
fi

summary
