#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Real guests on the tool: Debian's Linux kernel by both of its entries, a multiboot kernel, and flat binaries
# that end in every way a guest can end in.
#
#   boot.sh BUILD
set -u

# shellcheck source=tests/vmm/claims.inc
. "$(dirname "$0")/claims.inc"

slow=${SANITIZE:-}
enough=200000000 # instructions of a boot, for its digest
[ -z "$slow" ] || enough=20000000

# ---- Linux ----

check_linux() {
    claim "$guest: ends with status 0" ends_with 0
    claim "$guest: uname" says '^Linux softwhp .* x86_64 GNU/Linux'
    claim "$guest: the processor's name" says '^model name	: softwhp '
    claim "$guest: md5sum of a MiB of zeros" says '^b6d81b360a5672d80c27430f39153e2c  /tmp/zero'
    claim "$guest: sha256sum of a MiB of zeros" \
        says '^30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58  /tmp/zero'
    claim "$guest: comes to the end of its script" says '^softwhp: the script is done'
    claim "$guest: powers off" says 'reboot: Power down'
    claim "$guest: says that it was powered off" tells '^softwhp: the guest powered off'
    claim "$guest: the kernel has no complaint" no_complaint 'mce:' microcode 'Firmware Bug' \
        'MTRRs (disabled|all blank)' 'Broken PMU' unstable 'self-tests for .* failed' stall
}

number() { od -An -t"u$3" -j"$2" -N"$3" "$1" | tr -d ' '; }

# The ELF file that a bzImage unpacks (Documentation/arch/x86/boot.rst, payload_offset and payload_length).
unpack_kernel() {
    from=$((($(number "$1" 497 1) + 1) * 512 + $(number "$1" 584 4)))
    size=$(number "$1" 588 4)
    tail -c +$((from + 1)) "$1" | head -c "$size" >"$work/payload"
    case $(od -An -tx4 -N4 "$work/payload" | tr -d ' ') in
    184c2102) unpack=lz4 ;;
    fd2fb528) unpack=zstd ;;
    *8b1f) unpack=gzip ;;
    587a37fd) unpack=xz ;;
    *) skip "the PVH entry: $1 is packed in a way that isn't known here" && return 1 ;;
    esac
    command -v "$unpack" >/dev/null || { skip "the PVH entry: $unpack is missing" && return 1; }
    # The size of what was packed is appended, which the unpackers don't know.
    head -c -4 "$work/payload" | "$unpack" -dc >"$2" 2>/dev/null
    [ "$(head -c 4 "$2" | tail -c 3)" = ELF ] || { skip "the PVH entry: no ELF file in $1" && return 1; }
}

boot_linux() {
    kernel=${KERNEL:-$guests/vmlinuz}
    # The kernel's own tests of its ciphers are a test of ours, but a long one.
    quick=${slow:+cryptomgr.notests}

    run bzimage vmm/guest/boot.sh "$tool" "$guests" --summary \
        --kernel-args "console=ttyS0 softwhp.script $quick"
    if [ "$status" -eq 6 ]; then
        skip "Linux: $(tail -n 1 "$err")"
        return
    fi
    check_linux

    for turn in first second other; do
        seed=1
        [ $turn != other ] || seed=2
        run "$turn" "$tool" run "$kernel" --initrd "$guests/initramfs" --hash --seed $seed \
            --max-insns "$enough"
        claim "$turn: stops at its last instruction with status 0" ends_with 0
        claim "$turn: ends with a digest" tells '^hash [0-9a-f]+$'
    done
    claim "the same digest twice" cmp "$work/first.err" "$work/second.err"
    claim "another one by another seed" test "$(cat "$work/first.err")" != "$(cat "$work/other.err")"

    # Linux depends on nothing that manuals leave undefined, and each seed of that has its own digest.
    run undefined "$tool" run "$kernel" --initrd "$guests/initramfs" --summary --undefined seeded \
        --kernel-args "console=ttyS0 softwhp.script $quick"
    check_linux
    for turn in undefined-once undefined-twice undefined-otherwise; do
        seed=1
        [ $turn != undefined-otherwise ] || seed=2
        run "$turn" "$tool" run "$kernel" --initrd "$guests/initramfs" --hash --undefined seeded --seed $seed \
            --max-insns 20000000
        claim "$turn: ends with a digest" tells '^hash [0-9a-f]+$'
    done
    claim "undefined results by a seed: the same digest twice" cmp "$work/undefined-once.err" "$work/undefined-twice.err"
    claim "undefined results by another seed" \
        test "$(cat "$work/undefined-once.err")" != "$(cat "$work/undefined-otherwise.err")"
    [ -z "$slow" ] || return

    if unpack_kernel "$kernel" "$work/vmlinux"; then
        run pvh "$tool" run "$work/vmlinux" --initrd "$guests/initramfs" --summary \
            --kernel-args "console=ttyS0 softwhp.script cryptomgr.notests"
        check_linux
        rm -f "$work/vmlinux" "$work/payload"
    fi
}

# ---- Multiboot ----

boot_multiboot() {
    image=$build/bench/guests/bench32.elf
    if ! "${MAKE:-make}" -s -C bench/guests B="$build/bench/guests" "$image" >"$work/log" 2>&1; then
        skip "multiboot: bench/guests can't be built: $(tail -n 1 "$work/log")"
        return
    fi
    run multiboot "$tool" run "$image" --kernel-args 'w=fib n=10'
    # fib(20) is 6765.
    claim "multiboot: reads its command line, and computes fib" says '^END fib n=10 sum=10842 '
    claim "multiboot: ends with status 1, by a 0 to port 0xf4" ends_with 1
}

# ---- Flat binaries ----

# flat MODE NAME STATUS OPTION...: assembles standard input for the mode and runs it.
flat() {
    mode=$1 name=$2 wanted=$3
    shift 3
    case $mode in
    real) code=16 base=0 ;; # the base of CS, and not of the code in it
    protected) code=32 base=0x100000 ;;
    long) code=64 base=0x100000 ;;
    esac
    about "$mode-$name"
    if ! { echo ".code$code"; cat; } | assemble "$base"; then
        claim "$guest: assembles" false
        return
    fi
    run "$guest" "$tool" run --mode "$mode" "$work/$guest.bin" --summary "$@"
    claim "$guest: ends with status $wanted" ends_with "$wanted"
}

run_flat() {
    if ! has_assembler; then
        skip "flat binaries: no assembler for x86"
        return
    fi
    for mode in real protected long; do
        flat "$mode" hello 85 <<'END'
    mov $'H', %al
    out %al, $0xe9
    mov $'i', %al
    out %al, $0xe9
    mov $'\n', %al
    out %al, $0xe9
    mov $42, %al
    out %al, $0xf4
END
        claim "$guest: writes to port 0xe9" says '^Hi$'
        claim "$guest: the summary counts its exits" tells '^ +4  X64IoPortAccess$'

        flat "$mode" uart 0 <<'END'
    mov $0x3f8, %dx
    mov $'U', %al
    out %al, %dx
    cli
    hlt
END
        claim "$guest: writes to the serial port" says '^U$'
        claim "$guest: tells how it ended" tells '^softwhp: HLT with interrupts off'

        flat "$mode" waits 4 <<'END'
    sti
    hlt
END
        claim "$guest: tells that nothing can wake it" tells '^softwhp: .* wait for an interrupt'

        flat "$mode" reset-64 0 <<'END'
    mov $0xfe, %al
    out %al, $0x64
    jmp .
END
        flat "$mode" reset-92 0 <<'END'
    in $0x92, %al
    or $1, %al
    out %al, $0x92
    jmp .
END
        flat "$mode" reset-cf9 0 <<'END'
    mov $0xcf9, %dx
    mov $6, %al
    out %al, %dx
    jmp .
END
        flat "$mode" power-off 0 <<'END'
    mov $0x604, %dx
    mov $0x3400, %ax
    out %ax, %dx
    jmp .
END
        claim "$guest: tells how it ended" tells '^softwhp: the guest powered off'

        flat "$mode" endless 0 --max-insns 1000 <<'END'
    jmp .
END
        claim "$guest: ran as long as it was told" tells '^ +1000  instructions'
    done

    flat real triple 4 <<'END'
    lidt %cs:table
    int3
table:
    .word 0
    .long 0
END
    claim "$guest: names the last step of the chain" tells '^a fault in the delivery of a double fault: shutdown'
    claim "$guest: names the first step of the chain" tells '^softwhp: the guest ended in a triple fault at 07c0:6: #BP'
    flat protected triple 4 <<'END'
    lidt table
    ud2
table:
    .word 0
    .long 0
END
    claim "$guest: names the first step of the chain" tells '^softwhp: .* triple fault at 0010:100007: #UD'
    claim "$guest: names the second step of the chain" tells '^so #GP, error code 33'
    claim "$guest: names the double fault" tells '^which makes a double fault'
    flat long triple 4 <<'END'
    mov 0xffff800000000000, %rax
END
    claim "$guest: names the first step of the chain" tells '^softwhp: .* triple fault at 0010:100000: #PF'

    flat real no-memory 4 <<'END'
    ljmp $0xa000, $0
END
    claim "$guest: tells where it went" tells '^softwhp: .* physical address 0xa0000, where there is no memory'

    # The chipset's PAM register 5A: what the RAM at C0000 does of reads (1) and writes (2). What it doesn't: ones.
    flat protected shadow 3 <<'END'
    mov $0x80000058, %eax
    mov $0xcf8, %dx
    out %eax, %dx
    mov $0xcfe, %dx
    mov $0xc0000, %ebx
    movl $0x11111111, (%ebx)
    mov $0x31, %al          # reads alone
    out %al, %dx
    movl $0x22222222, (%ebx)
    cmpl $0x11111111, (%ebx)
    jne bad
    mov $0x32, %al          # writes alone
    out %al, %dx
    movl $0x33333333, (%ebx)
    cmpl $0xffffffff, (%ebx)
    jne bad
    incl 0x4(%ebx)          # writes what it read, and one more
    mov $0x30, %al          # nothing
    out %al, %dx
    movl $0x44444444, (%ebx)
    cmpl $0xffffffff, (%ebx)
    jne bad
    cmpl $0, 0x4000(%ebx)   # the next piece is RAM as before
    jne bad
    mov $0x33, %al
    out %al, %dx
    cmpl $0x33333333, (%ebx)
    jne bad
    cmpl $0, 0x4(%ebx)
    jne bad
    movl $0xc3c301b0, (%ebx) # mov $1, %al; ret
    call *%ebx
    out %al, $0xf4
bad:
    mov $0x7f, %al
    out %al, $0xf4
END

    flat real based 3 --base 0x8000 <<'END'
    mov %cs, %ax
    cmp $0x800, %ax
    jne bad
    cmp $0xfff0, %sp
    jne bad
    mov $1, %al
    out %al, $0xf4
bad:
    mov $0x7f, %al
    out %al, $0xf4
END
    flat protected stack 3 --memory 4M <<'END'
    cmp $0x3ffff0, %esp
    jne bad
    mov $1, %al
    out %al, $0xf4
bad:
    mov $0x7f, %al
    out %al, $0xf4
END
    flat real log 0 --log-port "0x80:$work/log80" <<'END'
    mov $0x6b6f, %ax
    out %ax, $0x80
    hlt
END
    claim "$guest: the bytes of a logged port are in its file" test "$(cat "$work/log80")" = ok
    flat real log-of-power 0 --log-port "0x605:$work/log605" <<'END'
    mov $0x605, %dx
    mov $0x34, %al
    out %al, %dx
    jmp .
END
    claim "$guest: a logged port does what it does" tells '^softwhp: the guest powered off'
    flat real log-of-nobody 3 --log-port "0x402:$work/log402" <<'END'
    mov $0x402, %dx
    in %dx, %al
    cmp $0xe9, %al # as a debug console
    jne 1f
    mov $1, %al
    out %al, $0xf4
1:  jmp .
END
}

run_flat
boot_multiboot
boot_linux
summary
