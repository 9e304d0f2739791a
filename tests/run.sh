#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Builds and runs the tests, each with its own summary, and adds the summaries up: the last line is `N passed, N failed`.
# A test that can't run here says why it is skipped.
#
#   run.sh BUILD [NAME]   NAME is a script in tests (each is called as SCRIPT BUILD, and may end with 77: skipped), headers,
#                         vectors, suites (all that use Check), or one of those suites, or a case in one
#
# MAKE is the make to build with. With SANITIZE set, what says nothing about a sanitized build is left out.
set -u

build=$1
want=${2:-}
make=${MAKE:-make}
logs=$build/tests/logs
passed=0 failed=0
found=
mkdir -p "$logs"

# Check's limits are for an idle machine and a plain build.
export CK_TIMEOUT_MULTIPLIER="${CK_TIMEOUT_MULTIPLIER:-${SANITIZE:+20}}"
[ "$CK_TIMEOUT_MULTIPLIER" ] || CK_TIMEOUT_MULTIPLIER=5
# Sanitizers are slow; most of what they find, they find in the first of many random sequences.
[ -z "${SANITIZE:-}" ] || export SEQUENCES="${SEQUENCES:-1000}"
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
    "$make" -s B="$build" "$2" && return
    echo "$1 does not build"
    failed=$((failed + 1))
    return 1
}

for script in tests/*.sh tests/*/*.sh; do
    name=$(basename "$script" .sh)
    case $name in
    run | floors) continue ;;
    tailcalls | linking | standards | examples | windows_syntax) [ -z "${SANITIZE:-}" ] || continue ;;
    esac
    ! wanted "$name" || carry_out "$name" "$script" "$build"
done
if [ -z "${SANITIZE:-}" ] && wanted headers; then
    if packaging/deps.sh has python3; then
        carry_out headers python3 tests/include/compare.py "$build/tests/include"
    else
        skip "headers: no python3, or one without its library"
    fi
fi
if wanted vectors; then
    if ! packaging/deps.sh has zstd; then
        skip "vectors: no zstd"
    else
        carry_out vectors "$build/softwhp" replay tests/vectors/*.swv.zst tests/vectors/*/*.swv.zst
    fi
fi
if wanted suites || [ -z "$found" ]; then
    [ -z "$found" ] || want=
    for program in suites vmm-suites; do
        if ! packaging/deps.sh has check || ! packaging/deps.sh has libsubunit-dev; then
            skip "$program: no check.h, or no libsubunit"
        elif built $program "$build/tests/$program"; then
            # shellcheck disable=SC2086
            carry_out $program "$build/tests/$program" $want
        fi
    done
fi

if [ "$want" ] && [ $((passed + failed)) -eq 0 ] && [ -z "$found" ]; then
    echo "Nothing that is called $want has run"
    exit 2
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
