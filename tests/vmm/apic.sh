#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Local APICs and several processors on the tool: Debian's Linux kernel in both modes, with the 8259A behind a local
# APIC, and with four processors, on threads and in turns; and small guests whose processors start, interrupt and end
# each other.
#
#   apic.sh BUILD
set -u

# shellcheck source=tests/vmm/claims.inc
. "$(dirname "$0")/claims.inc"
# shellcheck source=tests/vmm/flat.inc
. "$(dirname "$0")/flat.inc"

# ---- Small guests ----

# The clock: host, a thread each; virtual, all in turns on one.
run_flat() {
    clock=$1
    if ! has_assembler; then
        skip "small guests: no assembler for x86"
        return
    fi

    flat counted 7 --cpus 8 --clock "$clock" <<'END'
    start_others
1:  pause
    cmpw $7, 0x9002
    jne 1b
    put '.'
    leave 3
    others
    put 'o'
    lock incw 0x9002
    hlt
there_end:
END
    claim "$guest: each of the others says so" is ooooooo.
    claim "$guest: counts all exits" tells '^ +9  X64IoPortAccess$'

    flat locked 5 --cpus 4 --clock "$clock" <<'END'
    start_others
1:  pause
    cmpw $3, 0x9002
    jne 1b
    cmpl $300000, 0x9004
    jne 2f
    leave 2
2:  leave 3
    others
    mov $100000, %ecx
1:  lock btsw $0, 0x9008
    jc 1b
    incl 0x9004
    movw $0, 0x9008
    dec %ecx
    jnz 1b
    lock incw 0x9002
    hlt
there_end:
END

    # In x2APIC mode, by MSRs; the others answer an IPI that finds them halted.
    flat x2apic 7 --cpus 4 --clock "$clock" --apic x2apic <<'END'
    mov $0x1b, %ecx
    rdmsr
    or $0x400, %eax
    wrmsr
    mov $0x80f, %ecx
    mov $0x1ff, %eax
    xor %edx, %edx
    wrmsr
    mov $there, %esi
    mov $0x8000, %edi
    mov $there_end, %ecx
    sub %esi, %ecx
    rep movsb
    mov $0x830, %ecx
    mov $0xc4500, %eax
    wrmsr
    mov $0xc4608, %eax
    wrmsr
1:  pause
    cmpw $3, 0x9002
    jne 1b
    mov $0xc4040, %eax
    wrmsr
2:  pause
    cmpw $6, 0x9002
    jne 2b
    leave 3
    others
    movw $0x8000 + handler - there, 0x100 # vector 40
    movw $0, 0x102
    mov $0x1b, %ecx
    rdmsr
    or $0x400, %eax
    wrmsr
    mov $0x80f, %ecx
    mov $0x1ff, %eax
    xor %edx, %edx
    wrmsr
    lock incw 0x9002
    sti
1:  hlt
    jmp 1b
handler:
    put '!'
    lock incw 0x9002
    iret
there_end:
END
    claim "$guest: each of the others is interrupted" is '!!!'

    # A line that another processor raises: the 8259A's request reaches the first one in its HLT.
    flat told 7 --cpus 2 --clock "$clock" <<'END'
    lidt table
    gate 0x24, handler # IRQ 4
    lgdt gdt_at
    set_pic 0xef
    start_others
    sti
1:  hlt
    jmp 1b
handler:
    put 'i'
    leave 3
    tables
    others
    mov $20000000, %ecx
1:  dec %ecx # until the first one sleeps, perhaps
    jnz 1b
    mov $0x3fc, %dx
    mov $8, %al
    out %al, %dx
    mov $0x3f9, %dx
    mov $2, %al
    out %al, %dx
    hlt
there_end:
END
    claim "$guest: by an interrupt" is i

    flat triple 4 --cpus 4 --clock "$clock" <<'END'
    start_others
1:  pause
    jmp 1b
    others
    cmp $2, %bx
    jne 1f
    lidt %cs:0x8000 + none - there
    int3
1:  hlt
none:
    .word 0
    .long 0
there_end:
END
    claim "$guest: names the processor" tells '^softwhp: the guest ended in a triple fault at .* on processor [123]: #BP'

    flat stopped 0 --cpus 4 --clock "$clock" <<'END'
    start_others
1:  pause
    cmpw $3, 0x9002
    jne 1b
    cli
    hlt
    others
    lock incw 0x9002
    hlt
there_end:
END
    claim "$guest: tells how it ended" tells '^softwhp: HLT with interrupts off'

    flat waits 4 --cpus 2 --clock "$clock" <<'END'
    sti
    hlt
END
    claim "$guest: tells that nothing can wake it" tells '^softwhp: .* on processor 0 to wait for an interrupt'

    # The I/O APIC hands the 8259A's request to a processor that isn't there, and LINT0 is closed: nobody takes it.
    flat nobody 3 --apic xapic --clock "$clock" <<'END'
    lidt table
    gate 0x24, handler
    lgdt gdt_at
    movl $0x1ff, 0xfee000f0
    movl $0x10700, 0xfee00350
    movl $0x11, 0xfec00000
    movl $0x0e000000, 0xfec00010
    movl $0x10, 0xfec00000
    movl $0x700, 0xfec00010
    set_pic 0xef
    mov $0x3fc, %dx # IRQ 4
    mov $8, %al
    out %al, %dx
    mov $0x3f9, %dx
    mov $2, %al
    out %al, %dx
    sti
    mov $100, %ecx
1:  in $0x80, %al
    loop 1b
    leave 1
handler:
    leave 3
    tables
END

    # A timer of Hyper-V's interface is all that can end this sleep, and will in a second.
    flat synthetic 3 --hyperv --apic xapic --clock "$clock" <<'END'
    lidt table
    lgdt gdt_at
    gate 0x60, handler
    movl $0x1ff, 0xfee000f0
    mov $0x40000000, %ecx # HV_X64_MSR_GUEST_OS_ID
    mov $1, %eax
    xor %edx, %edx
    wrmsr
    mov $0x400000b1, %ecx # the first timer's count and configuration: direct, vector 60, enabled
    mov $10000000, %eax
    wrmsr
    mov $0x400000b0, %ecx
    mov $0x1601, %eax
    wrmsr
    sti
1:  hlt
    jmp 1b
handler:
    leave 1
    tables
END

    flat counts 0 --cpus 2 --clock "$clock" --max-insns 100000 <<'END'
    start_others
    jmp .
    others
1:  jmp 1b
there_end:
END
    claim "$guest: tells how it ended" tells '^softwhp: --max-insns was reached'

    flat spin 0 --max-insns 1 <<'END'
    start_others
    jmp .
    others
    jmp .
there_end:
END
    about "interrupted.$clock"
    "$tool" run --mode protected "$work/spin.$clock.bin" --cpus 4 --clock "$clock" --summary --hash \
        --trace "exit:$work/trace" </dev/null >"$out" 2>"$err" &
    sleep 0.5
    kill -INT $!
    wait $!
    status=$?
    claim "$guest: status 130" ends_with 130
    claim "$guest: the summary is still printed" tells '^ +[0-9]+  instructions'
    claim "$guest: and the digest" tells '^hash [0-9a-f]{32}$'
}

# One processor resets the machine while another one, on its own thread, ends in a triple fault: the first that is seen
# is what happened.
run_resets() {
    about resets
    { printf '%s\n' "$start"; cat; } <<'END' | assemble 0x100000
    start_others
1:  cmpl $0, 0x9000
    je 1b
    put 0x72
    movl $1, 0x9004
    mov $50, %ecx
    loop .
    mov $0xcf9, %dx
    mov $6, %al
    out %al, %dx
    hlt
    others
    lidt 0x8000 + none - there
1:  cmpl $0, 0x9004
    je 1b
    int3
none:
    .word 0
    .long 0
there_end:
END
    run resets "$tool" run --mode protected "$work/resets.bin" --cpus 2 --clock host --memory 2M --restart 100 --summary
    claim "$guest: each of them starts again" test "$(wc -c <"$out")" -eq 101
    claim "$guest: what came later isn't told" test "$(grep -c '^softwhp: the guest ended in a triple' "$err")" -eq \
        "$(grep -c '^softwhp: a triple fault' "$err")"
}

# ---- Linux ----

# boot NAME ARGUMENTS OPTION...
boot() {
    name=$1 arguments=$2
    shift 2
    run "$name" vmm/guest/boot.sh "$tool" "$guests" --summary "$@" \
        --kernel-args "console=ttyS0 quiet loglevel=5 softwhp.script cryptomgr.notests $arguments"
    if [ "$status" -eq 6 ]; then
        skip "Linux: $(tail -n 1 "$err")"
        return 1
    fi
    claim "$guest: ends with status 0" ends_with 0
    claim "$guest: comes to the end of its script" says '^softwhp: the script is done'
    claim "$guest: says that it was powered off" tells '^softwhp: the guest powered off'
    claim "$guest: the kernel has no complaint" no_complaint 'mce:' 'Firmware Bug' 'not responding' \
        'IO-APIC .*(bug|broken)' 'APIC error'
}

count_processors() { [ "$(grep -c '^processor	:' "$out")" -eq "$1" ]; }

boot_linux() {
    boot xapic '' --apic xapic || return
    claim "$guest: the serial port's interrupts come by the I/O APIC" says '^ +4: +[1-9][0-9]* +IO-APIC +4-edge +ttyS0'
    claim "$guest: the local timer's come" says '^LOC: +[1-9]'
    boot x2apic '' --apic x2apic
    claim "$guest: the processor has the mode" says '^flags.* x2apic'
    claim "$guest: the serial port's interrupts come by the I/O APIC" says '^ +4: +[1-9][0-9]* +IO-APIC +4-edge +ttyS0'
    boot extint 'noapic nolapic_timer lapic=notscdeadline' --apic xapic
    claim "$guest: the timer's interrupts come by the 8259A" says '^ +0: +[1-9][0-9]* +XT-PIC +timer'

    # What depends on how much of the host it gets is told to keep still.
    boot threads 'tsc=reliable nowatchdog rcupdate.rcu_cpu_stall_suppress=1' --cpus 4 --clock host
    claim "$guest: it has 4 processors" count_processors 4
    claim "$guest: interrupts come by the I/O APIC" says '^ +4:( +[0-9]+){4} +IO-APIC +4-edge +ttyS0'
    claim "$guest: processors interrupt each other" says '^CAL:.* [1-9]'

    # In turns all of them keep still, and the same run is the same run.
    boot turns '' --cpus 4 --hash
    claim "$guest: it has 4 processors" count_processors 4
    claim "$guest: interrupts come by the I/O APIC" says '^ +4:( +[0-9]+){4} +IO-APIC +4-edge +ttyS0'
    claim "$guest: processors interrupt each other" says '^CAL:.* [1-9]'
    for turn in first second other; do
        seed=7
        [ $turn != other ] || seed=8
        run "$turn" vmm/guest/boot.sh "$tool" "$guests" --cpus 4 --hash --seed $seed --max-insns 250000000 \
            --kernel-args "console=ttyS0 cryptomgr.notests"
        claim "$turn: ends with a digest" tells '^hash [0-9a-f]{32}$'
    done
    claim "$guest: its processors are up" says 'Brought up 1 node, 4 CPUs'
    claim "the same digest twice" cmp "$work/first.err" "$work/second.err"
    claim "another one by another seed" test "$(cat "$work/first.err")" != "$(cat "$work/other.err")"
}

run_flat host
run_flat virtual
run_resets
[ -n "${NOBOOT:-}" ] || boot_linux
summary
