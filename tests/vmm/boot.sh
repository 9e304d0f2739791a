#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Boots Linux twice through the guest's script: it has to come to the end, compute what any processor computes, power
# off, and do all of it the same way both times.
#
#   boot.sh BUILD
set -u

build=$1
work=$build/tests/boot
guests=${GUESTS:-build/guests}
passed=0 failed=0
mkdir -p "$work"

claim() {
    what=$1
    shift
    if "$@" >/dev/null 2>&1; then
        passed=$((passed + 1))
    else
        echo "failed: $what"
        failed=$((failed + 1))
    fi
}

says() { grep -q -- "$1" "$work/1.out"; }

# The summary's only word about the host is how long it took.
same_end() {
    for n in 1 2; do
        sed 's/ instructions in .*;/ instructions;/' "$work/$n.err" >"$work/$n.end"
    done
    cmp "$work/1.end" "$work/2.end"
}

if [ -z "${KERNEL:-}" ] && ! vmm/guest/fetch.sh "$guests" >"$work/fetch" 2>&1; then
    echo "skipped: boot, no kernel to boot; $(tail -n 1 "$work/fetch")"
    exit 77
fi
for run in 1 2; do
    timeout "${BOOT_SECONDS:-300}" vmm/guest/boot.sh "$build/softwhp" "$guests" --hash --summary \
        </dev/null >"$work/$run.out" 2>"$work/$run.err"
    status=$?
    if [ $status -eq 6 ]; then
        echo "skipped: boot, $(tail -n 1 "$work/$run.err")"
        exit 77
    fi
    echo "$status" >>"$work/$run.err"
done
claim "ends with status 0" test "$(tail -n 1 "$work/1.err")" = 0
claim "comes to the end of its script" says '^softwhp: the script is done'
claim "md5sum of a MiB of zeros" says '^b6d81b360a5672d80c27430f39153e2c  /tmp/zero'
claim "sha256sum of a MiB of zeros" says '^30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58  /tmp/zero'
claim "powers off" says 'reboot: Power down'
claim "prints a hash" grep -q '^hash [0-9a-f]' "$work/1.err"
claim "prints the same twice" cmp "$work/1.out" "$work/2.out"
claim "has the same hash and counts twice" same_end
[ "$failed" -eq 0 ] || tail -n 20 "$work/1.out" "$work/1.err"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
