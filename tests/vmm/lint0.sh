#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The 8259A's output at the first processor's LINT0, by the delivery modes of its local vector table's entry. The serial
# port's IRQ 4 is up while its transmitter is empty and may interrupt.
#
#   lint0.sh BUILD
set -u

# shellcheck source=tests/vmm/claims.inc
. "$(dirname "$0")/claims.inc"
# shellcheck source=tests/vmm/flat.inc
. "$(dirname "$0")/flat.inc"

# shellcheck disable=SC2016
start="$start"'
    .macro begin lint0
    lidt table
    lgdt gdt_at
    gate 2, nmi
    gate 0x24, by_pic
    gate 0x31, fixed
    mov $0x90000, %esp
    movl $0x1ff, 0xfee000f0
    movl $\lint0, 0xfee00350
    set_pic 0xef
    mov $0x3fc, %dx
    mov $8, %al
    out %al, %dx
    .endm
    .macro irq4 enabled
    mov $0x3f9, %dx
    mov $\enabled, %al
    out %al, %dx
    .endm
    .macro some_time
    mov $1000, %ecx
    loop .
    .endm
    .macro edges
    irq4 2
    some_time
    irq4 0
    some_time
    irq4 2
    some_time
    leave 1
    .endm
    .macro handler name, letter
\name:
    push %eax
    put \letter
    movl $0, 0xfee000b0
    pop %eax
    iret
    .endm
    .macro handlers
    handler nmi, 0x6e
    handler by_pic, 0x70
    handler fixed, 0x66
    tables
    .endm'

run_all() {
    clock=$1
    flat fixed 3 --apic xapic --clock "$clock" <<'END'
    begin 0x31
    sti
    edges
    handlers
END
    claim "$guest: an interrupt for each edge, and nobody asks the 8259A" is ff

    flat nmi 3 --apic xapic --clock "$clock" <<'END'
    begin 0x400
    edges
    handlers
END
    claim "$guest: an NMI for each, interrupts being off" is nn

    # What sleeps with interrupts off isn't lost while the timer's line leads to an NMI.
    flat nmi-wakes 3 --apic xapic --clock "$clock" <<'END'
    begin 0x400
    set_pic 0xfe
    mov $0x34, %al
    out %al, $0x43
    xor %al, %al
    out %al, $0x40
    out %al, $0x40
    hlt
    leave 1
    handlers
END
    claim "$guest: goes on behind its HLT" is n

    flat masked 3 --apic xapic --clock "$clock" <<'END'
    begin 0x10031
    sti
    edges
    handlers
END
    claim "$guest: nothing" is ''

    flat smi 3 --apic xapic --clock "$clock" <<'END'
    begin 0x200
    sti
    edges
    handlers
END
    claim "$guest: nothing, there being no SMM" is ''

    flat x2apic 3 --apic x2apic --clock "$clock" <<'END'
    mov $0x1b, %ecx
    rdmsr
    begin 0x31
    mov $0x1b, %ecx
    rdmsr
    or $0x400, %eax
    wrmsr
    sti
    irq4 2
    some_time
    leave 1
fixed:
    put 0x66
    xor %eax, %eax
    xor %edx, %edx
    mov $0x80b, %ecx
    wrmsr
    leave 1
    handler nmi, 0x6e
    handler by_pic, 0x70
    tables
END
    claim "$guest: by its register in that mode too" is f

    # A level comes again at its end for as long as it is up.
    flat level 3 --apic xapic --clock "$clock" <<'END'
    begin 0x8031
    sti
    irq4 2
    some_time
    leave 1
fixed:
    push %eax
    put 0x66
    incl 0x9000
    cmpl $3, 0x9000
    jb 1f
    irq4 0
1:  movl $0, 0xfee000b0
    pop %eax
    iret
    handler nmi, 0x6e
    handler by_pic, 0x70
    tables
END
    claim "$guest: three times, and then it is down" is fff

    # It isn't lost to a mask as an edge is: what opens the entry sends it.
    flat level-behind-mask 3 --apic xapic --clock "$clock" <<'END'
    begin 0x18031
    sti
    irq4 2
    some_time
    put 0x6d
    movl $0x8031, 0xfee00350
    some_time
    leave 1
    handler nmi, 0x6e
    handler by_pic, 0x70
fixed:
    push %eax
    put 0x66
    irq4 0
    movl $0, 0xfee000b0
    pop %eax
    iret
    tables
END
    claim "$guest: comes when the mask goes" is mf

    # An APIC that is turned off forgets what it had in service, and so does the entry.
    flat level-forgotten 3 --apic x2apic --clock "$clock" <<'END'
    begin 0x8031
    sti
    irq4 2
    some_time
    leave 1
    handler nmi, 0x6e
    handler by_pic, 0x70
fixed:
    put 0x66
    incl 0x9000
    cmpl $2, 0x9000
    jb 1f
    leave 1
1:  mov $0x1b, %ecx
    rdmsr
    and $~0x800, %eax
    wrmsr
    or $0x800, %eax
    wrmsr
    movl $0x1ff, 0xfee000f0
    movl $0x8031, 0xfee00350
    mov $1, %ecx
    iret
    tables
END
    claim "$guest: is sent again, there being no end to wait for" is ff

    # The end of a level is no edge for what the entry asks by then.
    flat level-then-nmi 3 --apic xapic --clock "$clock" <<'END'
    begin 0x8031
    sti
    irq4 2
    some_time
    leave 1
    handler nmi, 0x6e
    handler by_pic, 0x70
fixed:
    push %eax
    put 0x66
    movl $0x400, 0xfee00350
    movl $0, 0xfee000b0
    pop %eax
    iret
    tables
END
    claim "$guest: once, and no NMI" is f

    flat extint 3 --apic xapic --clock "$clock" <<'END'
    begin 0x700
    sti
    irq4 2
    some_time
    leave 1
    handlers
END
    claim "$guest: the 8259A's own vector, once, since it gets no end" is p

    # The line rises on another processor, while the first one sleeps.
    flat asleep 3 --cpus 2 --clock "$clock" <<'END'
    begin 0x31
    start_others
    movl $0x31, 0xfee00350
    sti
1:  hlt
    jmp 1b
    handler nmi, 0x6e
    handler by_pic, 0x70
fixed:
    put 0x66
    leave 1
    tables
    others
    mov $20000000, %ecx
1:  dec %ecx # until the first one sleeps, perhaps
    jnz 1b
    mov $0x3f9, %dx
    mov $2, %al
    out %al, %dx
    hlt
there_end:
END
    claim "$guest: is woken" is f
}

if ! has_assembler; then
    skip "no assembler for x86"
else
    run_all virtual
    run_all host
fi
summary
