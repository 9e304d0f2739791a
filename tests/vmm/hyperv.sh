#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Debian's Linux kernel on Hyper-V's interface, in both modes of the local APIC and with four processors in turns: it
# finds and uses the reference TSC, the synthetic timers, the hypercalls. Each boot is judged by what it says.
#
#   hyperv.sh BUILD
set -u

# shellcheck source=tests/vmm/claims.inc
. "$(dirname "$0")/claims.inc"

# boot NAME WORD...: to its power-off.
boot() {
    name=$1
    shift
    run "$name" vmm/guest/boot.sh "$tool" "$guests" --hyperv "$@" \
        --kernel-args "console=ttyS0 softwhp.script cryptomgr.notests"
    if [ "$status" -eq 6 ]; then
        skip "Linux: $(tail -n 1 "$err")"
        return 1
    fi
    claim "$guest: ends with status 0" ends_with 0
    claim "$guest: finds Hyper-V" says 'Hypervisor detected: Microsoft Hyper-V'
    claim "$guest: takes the time from the reference TSC page" \
        says 'Switched to clocksource hyperv_clocksource_tsc_page'
    claim "$guest: sends interrupts by hypercall" says 'Hyper-V: Using IPI hypercalls'
    claim "$guest: flushes TLBs by hypercall" says 'Hyper-V: Using hypercall for remote TLB flush'
    claim "$guest: has paravirtual spinlocks" says 'Hyper-V: PV spinlocks enabled'
    claim "$guest: its ticks come from synthetic timers" says 'HVS: +[1-9].*Hyper-V stimer0 interrupts'
    claim "$guest: and from no others" says 'LOC: +0.*Local timer interrupts'
    claim "$guest: comes to the end of its script" says '^softwhp: the script is done'
    claim "$guest: powers off" says 'reboot: Power down'
    claim "$guest: has no complaint" no_complaint stall 'APIC error'
}

if boot xapic --apic xapic; then
    boot x2apic --apic x2apic
    boot turns --cpus 4
    claim "$guest: has four processors" says 'smp: Brought up 1 node, 4 CPUs'
fi

# The interface's interrupts need local APICs.
run usage "$tool" run --hyperv --apic none /dev/null
claim "$guest: is refused without local APICs" ends_with 2

summary
