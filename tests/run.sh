#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Builds and runs the tests, each with its own summary, and adds the summaries up: the last line is `N passed, N failed`.
# A test that can't run here says why it is skipped.
#
#   run.sh BUILD [NAME]   NAME is one of the tests below, or a suite or a case among the Check suites
#
# MAKE is the make to build with. With SANITIZE set, what says nothing about a sanitized build is left out.
set -u

build=$1
want=${2:-}
make=${MAKE:-make}
here=tests
logs=$build/tests/logs
passed=0 failed=0
found=
mkdir -p "$logs"

# Check's limits are for an idle machine and a plain build.
export CK_TIMEOUT_MULTIPLIER="${CK_TIMEOUT_MULTIPLIER:-${SANITIZE:+20}}"
[ "$CK_TIMEOUT_MULTIPLIER" ] || CK_TIMEOUT_MULTIPLIER=5
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"

# The last summary in a log, as two numbers.
summary() {
    sed -n -e 's/^\([0-9]*\) passed, \([0-9]*\) failed.*/\1 \2/p' \
        -e 's/^[0-9]*%: Checks: \([0-9]*\), Failures: \([0-9]*\), Errors: \([0-9]*\).*/\1 \2 \3/p' "$1" | tail -n 1 |
        awk '{ print NF == 3 ? $1 - $2 - $3 : $1, $2 + $3 }'
}

skip() { echo "skipped: $*"; }

# carry_out NAME COMMAND...
carry_out() {
    name=$1
    shift
    echo "== $name"
    begin=$(date +%s)
    { "$@" 2>&1; echo $? >"$logs/$name.status"; } | tee "$logs/$name"
    status=$(cat "$logs/$name.status")
    counts=$(summary "$logs/$name")
    if [ -z "$counts" ] && [ "$status" -eq 77 ]; then
        return
    fi
    good=${counts% *} bad=${counts#* }
    if [ "$status" -ne 0 ] && [ "${bad:-0}" -eq 0 ] || [ -z "$counts" ]; then
        echo "$name ended with status $status"
        bad=$((${bad:-0} + 1))
    fi
    passed=$((passed + ${good:-0})) failed=$((failed + bad))
    echo "   $(($(date +%s) - begin)) s"
}

wanted() {
    [ -z "$want" ] || [ "$want" = "$1" ] || return 1
    found=yes
}

# built NAME FILE: makes it; a test that doesn't build is a test that fails.
built() {
    "$make" -s "$2" && return
    echo "$1 does not build"
    failed=$((failed + 1))
    return 1
}

if wanted tailcalls && [ -z "${SANITIZE:-}" ]; then
    carry_out tailcalls $here/tailcalls.sh "$build"
fi
if wanted linking && [ -z "${SANITIZE:-}" ]; then
    carry_out linking $here/linking.sh "$build"
fi
if wanted headers && [ -z "${SANITIZE:-}" ]; then
    if packaging/deps.sh has g++; then
        carry_out standards $here/include/standards.sh "$build/tests/include"
    else
        skip "standards: no C++ compiler"
    fi
    if packaging/deps.sh has python3-minimal; then
        carry_out headers python3 $here/include/compare.py "$build/tests/include"
    else
        skip "headers: no python3"
    fi
fi
if wanted vectors; then
    if ! packaging/deps.sh has zstd; then
        skip "vectors: no zstd"
    elif built vectors "$build/tests/replay"; then
        carry_out vectors "$build/tests/replay" $here/vectors/*.swv.zst
    fi
fi
if wanted boot; then
    carry_out boot $here/boot.sh "$build"
fi
if wanted suites || [ -z "$found" ]; then
    if ! packaging/deps.sh has check || ! packaging/deps.sh has libsubunit-dev; then
        skip "the Check suites: no check.h, or no libsubunit"
    elif built suites "$build/tests/suites"; then
        [ -z "$found" ] || want=
        # shellcheck disable=SC2086
        carry_out suites "$build/tests/suites" $want
    fi
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
