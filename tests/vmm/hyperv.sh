#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Debian's Linux kernel on Hyper-V's interface, in both modes of the local APIC and with four processors in turns: it finds
# and uses the reference TSC, the synthetic timers, the hypercalls. Each boot is judged by what it says.
#
#   hyperv.sh BUILD
#
# GUESTS is the directory of the kernel and the busybox; what can't be had is skipped by name.
set -u

build=$(cd "$1" && pwd)
guests=${GUESTS:-build/guests}
tool=$build/softwhp
work=$build/tests/hyperv
seconds=${BOOT_SECONDS:-300}
passed=0 failed=0
rm -rf "$work"
mkdir -p "$work"

# claim WHAT COMMAND...: counts it, and shows what the guest said if it fails.
claim() {
    what=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        passed=$((passed + 1))
        return
    fi
    failed=$((failed + 1))
    echo "failed: $guest: $what"
    sed 's/^/    /' "$work/log"
    tail -n 8 "$work/$guest.out" "$work/$guest.err" | sed 's/^/    /'
}

says() { grep -Eq -- "$1" "$work/$guest.out"; }
ends_with() { [ "$status" -eq "$1" ] || { echo "status $status, not $1"; false; }; }
no_complaint() {
    ! grep '^\[' "$work/$guest.out" | grep -E -e 'BUG|WARNING|Call Trace|Oops|unchecked MSR|stall|APIC error' \
        -e 'general protection|invalid opcode|segfault'
}

# boot NAME WORD...: to its power-off.
boot() {
    guest=$1
    shift
    timeout "$seconds" vmm/guest/boot.sh "$tool" "$guests" --hyperv "$@" \
        --kernel-args "console=ttyS0 softwhp.script cryptomgr.notests" </dev/null >"$work/$guest.out" 2>"$work/$guest.err"
    status=$?
    if [ "$status" -eq 6 ]; then
        echo "skipped: Linux: $(tail -n 1 "$work/$guest.err")"
        return 1
    fi
    claim "ends with status 0" ends_with 0
    claim "finds Hyper-V" says 'Hypervisor detected: Microsoft Hyper-V'
    claim "takes the time from the reference TSC page" says 'Switched to clocksource hyperv_clocksource_tsc_page'
    claim "sends interrupts by hypercall" says 'Hyper-V: Using IPI hypercalls'
    claim "flushes TLBs by hypercall" says 'Hyper-V: Using hypercall for remote TLB flush'
    claim "has paravirtual spinlocks" says 'Hyper-V: PV spinlocks enabled'
    claim "its ticks come from synthetic timers" says 'HVS: +[1-9].*Hyper-V stimer0 interrupts'
    claim "and from no others" says 'LOC: +0.*Local timer interrupts'
    claim "comes to the end of its script" says '^softwhp: the script is done'
    claim "powers off" says 'reboot: Power down'
    claim "has no complaint" no_complaint
}

if boot xapic --apic xapic; then
    boot x2apic --apic x2apic
    boot turns --cpus 4
    claim "has four processors" says 'smp: Brought up 1 node, 4 CPUs'
fi

# The interface's interrupts need local APICs.
guest=usage
: >"$work/usage.out"
"$tool" run --hyperv --apic none /dev/null </dev/null 2>"$work/usage.err"
status=$?
claim "is refused without local APICs" ends_with 2

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
