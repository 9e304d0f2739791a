#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Firmware, small systems and a hypervisor of Debian on the tool, each judged by what it says itself.
#
#   guests.sh BUILD [all]   all: the long ones too
set -u

# shellcheck source=tests/vmm/claims.inc
. "$(dirname "$0")/claims.inc"

extent=${2:-quick}
mkdir -p "$guests"
guests=$(cd "$guests" && pwd)

# Name; quick or long; package; its file, which is FILE in the options; most instructions, in millions; seconds.
# Then, on lines of their own: the options; "type TEXT: WORDS", for when the guest has said TEXT; "says", "logs" (at port
# 402) and "tells" (the tool) with what must appear.
table='
guest seabios quick seabios usr/share/seabios/bios-256k.bin 10 60
    options --firmware FILE --clock-rate 20 --log-port 0x402:LOG
    says ^Booting from Hard Disk\.\.\.
    says ^No bootable device
    logs ^Running on QEMU \(i440fx\)
    logs ^Moving pm_base to 0x600
    logs ^PCI: init bdf=00:01\.3 id=8086:7113
    logs ^ACPI: parse DSDT
    logs ^ATA controller 2 at 170/374/0
    tells ^hash
guest seabios-128k quick seabios usr/share/seabios/bios.bin 10 60
    options --firmware FILE --clock-rate 20 --log-port 0x402:LOG
    says ^No bootable device
    logs ^Running on QEMU \(i440fx\)
guest seabios-keyboard quick seabios usr/share/seabios/bios-256k.bin 10 60
    options --firmware FILE --clock-rate 20 --log-port 0x402:LOG --fw-cfg etc/table-loader=NOTHING
    logs ^ACPI DSDT=
    logs ^PS2 keyboard initialized
    says ^No bootable device
guest seabios-smp quick seabios usr/share/seabios/bios-256k.bin 10 60
    options --firmware FILE --clock-rate 20 --log-port 0x402:LOG --cpus 2
    says ^No bootable device
    logs ^Found 2 cpu\(s\) max supported 2
guest u-boot quick u-boot-qemu usr/lib/u-boot/qemu-x86/u-boot.rom 200 120
    options --firmware FILE --clock-rate 50
    says ^DRAM: +256 MiB
    says ^Model: QEMU x86 \(I440FX\)
    says ^Reset IDE: Bus 0: OK Bus 1: OK
    says ^=> 
guest u-boot-64 quick u-boot-qemu usr/lib/u-boot/qemu-x86_64/u-boot.rom 200 120
    options --firmware FILE --clock-rate 50
    says ^Jumping to 64-bit U-Boot
    says ^Reset IDE: Bus 0: OK Bus 1: OK
    says ^=> 
guest u-boot-xapic quick u-boot-qemu usr/lib/u-boot/qemu-x86/u-boot.rom 250 120
    options --firmware FILE --clock-rate 50 --apic xapic --cpus 2
    type ^=> : cpu list\r
    says ^CPU: +softwhp zen
    says ^Reset IDE: Bus 0: OK Bus 1: OK
    says ^ +0: cpu@0
    says ^ +1: cpu@1
    never MP init failure
guest u-boot-x2apic long u-boot-qemu usr/lib/u-boot/qemu-x86/u-boot.rom 250 120
    options --firmware FILE --clock-rate 50 --apic x2apic
    type ^=> : cpu list\r
    says ^ +0: cpu@0
    never MP init failure
guest u-boot-64-xapic long u-boot-qemu usr/lib/u-boot/qemu-x86_64/u-boot.rom 200 120
    options --firmware FILE --clock-rate 50 --apic xapic
    says ^Reset IDE: Bus 0: OK Bus 1: OK
    says ^=> 
guest u-boot-64-x2apic long u-boot-qemu usr/lib/u-boot/qemu-x86_64/u-boot.rom 200 120
    options --firmware FILE --clock-rate 50 --apic x2apic --cpus 2
    says ^Reset IDE: Bus 0: OK Bus 1: OK
    says ^=> 
guest u-boot-reset long u-boot-qemu usr/lib/u-boot/qemu-x86_64/u-boot.rom 1000 300
    options --firmware FILE --clock-rate 50 --memory 512M
    type ^=> : bdinfo\r
    type Build +=: pci\r
    type 00\.01\.03: reset\r
    says size +=.*20000000
    says ^00\.00\.00 +0x8086 +0x1237
    tells guest reset the machine \(port 0xcf9\)
guest u-boot-restart long u-boot-qemu usr/lib/u-boot/qemu-x86/u-boot.rom 250 120
    options --firmware FILE --clock-rate 50 --restart 1
    type ^=> : reset\r
    says resetting
    tells guest reset the machine
    tells --max-insns was reached
guest u-boot-linux long u-boot-qemu usr/lib/u-boot/qemu-x86/u-boot.rom 4000 600
    options --firmware FILE KERNEL --initrd INITRD --kernel-args console=ttyS0~softwhp.script~cryptomgr.notests --clock-rate 20
    type ^=> : qfw load 2000000 8000000; zboot 2000000 - 8000000 ${filesize}\r
    says ^Linux kernel version
    says ^30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58
    says ^softwhp: the script is done
    tells the guest powered off
guest grub quick grub-rescue-pc usr/lib/grub-rescue/grub-rescue-floppy.img 120 60
    options --firmware SEABIOS --floppy FILE --clock-rate 50
    says ^Booting from Floppy
    says Welcome to GRUB!
    says GNU GRUB  version 2
    says highlighted entry will be executed automatically
guest grub-halt long grub-rescue-pc usr/lib/grub-rescue/grub-rescue-floppy.img 4000 600
    options --firmware SEABIOS --floppy FILE --clock-rate 50
    type automatically: c
    type grub> : lspci\r
    type 00:01\.3: date\r
    type Thursday: lsmmap\r
    type 0xfffc0000: halt\r
    says 00:01\.0 8086:7000 \[0601\] ISA Bridge
    says 2026-01-01 00:00:.. Thursday
    says base_addr = 0xfffc0000, length = 0x40000, reserved RAM
    tells the guest powered off
guest grub-restart long grub-rescue-pc usr/lib/grub-rescue/grub-rescue-floppy.img 500 300
    options --firmware SEABIOS --floppy FILE --clock-rate 50 --restart 1
    type automatically: c
    type grub> : reboot\r
    tells guest reset the machine
    tells --max-insns was reached
guest grub-firmware quick grub-firmware-qemu usr/share/qemu/grub.bin 100 60
    options --firmware FILE --clock-rate 50 --screen
    tells GNU GRUB  version 2
    tells Search & load /multiboot\.img
    tells highlighted entry will be executed automatically
guest xen long xen-hypervisor-4.17-amd64 boot/xen-4.17-amd64.gz 1500 300
    options FILE --initrd KERNEL --memory 512M --apic xapic --cpus 2 --clock-rate 20 --kernel-args no-real-mode~com1=115200~console=com1
    says Platform timer is 3\.580MHz ACPI PM Timer
    says Enabling APIC mode
    says Brought up 2 CPUs
    says mapping kernel into physical memory
    says about to get started
    never Panic on CPU
guest memtest quick memtest86+ boot/memtest86+x64.bin 400 180
    options FILE --memory 16M --kernel-args console=ttyS0,115200~nobench~nosmp~nopause
    says Memtest86\+ v6
    says Memory  :   16MB
    says #0  \[Address test, walking ones, no cache\]
    says Errors: 0
guest memtest-64 long memtest86+ boot/memtest86+x64.bin 4000 900
    options FILE --memory 16M --kernel-args console=ttyS0,115200~nobench~nosmp~nopause
    says #[3-9]  \[
    says Errors: 0
    never Errors: *[1-9]
guest memtest-smp long memtest86+ boot/memtest86+x64.bin 4000 900
    options FILE --memory 16M --apic xapic --cpus 2 --kernel-args console=ttyS0,115200~nobench~nopause
    says SMP: 2T \(PAR\)
    says #[3-9]  \[
    says Errors: 0
    never Errors: *[1-9]
guest memtest-32 long memtest86+ boot/memtest86+ia32.bin 4000 900
    options FILE --memory 16M --kernel-args console=ttyS0,115200~nobench~nosmp~nopause
    says #[3-9]  \[
    says Errors: 0
    never Errors: *[1-9]
'

fail() {
    echo "failed: $name: $*"
    trouble=yes
}

# A file of a package, or nothing and why in $why.
fetch() {
    vmm/guest/fetch.sh "$guests" "$1" "$2" >"$work/fetch" 2>&1 && return
    why="$1: $(tail -n 1 "$work/fetch")"
    return 1
}

# The file of the row; a compressed one is unpacked.
file_of_row() {
    case $file in
    *.gz)
        gunzip -c "$guests/$package/$file" >"$work/unpacked"
        echo "$work/unpacked"
        ;;
    *) echo "$guests/$package/$file" ;;
    esac
}

# What the guest is typed, each when it has said what is waited for.
type_in() {
    sed -n 's/^type //p' "$work/row" | while IFS= read -r line; do
        until grep -Eaq -- "${line%%: *}" "$out" 2>/dev/null; do
            kill -0 "$1" 2>/dev/null || return
            sleep 0.2
        done
        # Slower than a keyboard's buffer fills, even where little of the host is ours. The words hold their escapes.
        # shellcheck disable=SC2059
        printf "${line#*: }"
    done
}

# The run of $name as its row says.
run_row() {
    options=$(sed -n 's/^options //p' "$work/row" | sed -e "s|FILE|$(file_of_row)|" -e "s|LOG|$work/$name.log|" \
        -e "s|SEABIOS|$guests/seabios/usr/share/seabios/bios-256k.bin|" -e "s|KERNEL|$guests/vmlinuz|" \
        -e "s|INITRD|$work/initramfs|" -e "s|NOTHING|$work/nothing|")
    set --
    for word in $options; do
        set -- "$@" "$(echo "$word" | tr '~' ' ')"
    done
    : >"$work/$name.log"
    if grep -q '^type ' "$work/row"; then
        rm -f "$work/keys"
        mkfifo "$work/keys"
        about "$name"
        timeout "$seconds" "$tool" run "$@" --hash --summary --max-insns "${millions}000000" <"$work/keys" \
            >"$out" 2>"$err" &
        pid=$!
        { type_in $pid; wait; } >"$work/keys" 2>/dev/null
        wait $pid
        status=$?
    else
        run "$name" "$tool" run "$@" --hash --summary --max-insns "${millions}000000"
    fi
}

judge() {
    [ "$status" -eq 0 ] || fail "ended with status $status"
    while read -r kind text; do
        case $kind in
        says) grep -Eaq -- "$text" "$out" || fail "doesn't say $text" ;;
        never) ! grep -Eaq -- "$text" "$out" || fail "says $text" ;;
        logs) grep -Eaq -- "$text" "$work/$name.log" || fail "doesn't log $text" ;;
        tells) grep -Eaq -- "$text" "$err" || fail "the tool doesn't tell $text" ;;
        esac
    done <"$work/row"
    [ -z "$trouble" ] || tail -n 8 "$out" "$err" | cut -c1-300 | sed 's/^/    /'
}

guest() {
    name=$1 when=$2 package=$3 file=$4 millions=$5 seconds=$6 trouble='' why=''
    [ "$when" = quick ] || [ "$extent" = all ] || return 0
    [ -z "${SANITIZE:-}" ] || [ "$millions" -le 10 ] || return 0
    fetch "$package" "$file" && case $(cat "$work/row") in
    *SEABIOS*) fetch seabios usr/share/seabios/bios-256k.bin ;;
    *KERNEL*) vmm/guest/fetch.sh "$guests" >"$work/fetch" 2>&1 &&
        vmm/guest/make-initramfs.sh "$guests/busybox" "$work/initramfs" || why="no kernel: $(tail -n 1 "$work/fetch")" ;;
    esac
    if [ -n "$why" ]; then
        skip "$name: $why"
        return
    fi
    begin=$(date +%s)
    run_row
    judge
    if [ -n "$trouble" ]; then
        failed=$((failed + 1))
    else
        echo "passed: $name, $(($(date +%s) - begin)) s"
        passed=$((passed + 1))
    fi
}

# A loader's commands that do nothing: SeaBIOS makes its own ACPI tables then, which have a keyboard.
head -c 128 /dev/zero >"$work/nothing"

# Rows are put aside first: a guest may not read on in the table.
echo "$table" | sed -n 's/^guest //p' >"$work/names"
while read -r row <&9; do
    echo "$table" | sed -n "/^guest ${row%% *} /,/^guest /p" | sed -e 1d -e '/^guest /d' -e 's/^ *//' >"$work/row"
    # shellcheck disable=SC2086
    guest $row
done 9<"$work/names"

# The same run every time holds for firmware too.
if [ -s "$work/seabios.err" ]; then
    cp "$work/seabios.err" "$work/first"
    name=seabios-again
    echo "$table" | sed -n "/^guest seabios /,/^guest /p" | sed -e 1d -e '/^guest /d' -e 's/^ *//' >"$work/row"
    guest seabios-again quick seabios usr/share/seabios/bios-256k.bin 10 60
    if [ "$(grep '^hash ' "$work/first")" = "$(grep '^hash ' "$work/seabios-again.err")" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "failed: seabios: another digest the second time"
    fi
fi

summary
