#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The portable floating-point unit, which hosts without SSE and x87 have, in place of this host's: all hardware vectors, and
# random sequences beside this host's own processor. The suite `unit` compares both units operation by operation.
#
#   portable.sh BUILD
set -u

build=$1
passed=0 failed=0
"${MAKE:-make}" -s B="$build" "$build/portable/softwhp" || exit 1

if command -v zstd >/dev/null; then
    result=$("$build/portable/softwhp" replay tests/vectors/*.swv.zst tests/vectors/*/*.swv.zst | tee /dev/stderr | tail -n 1)
    passed=${result%% passed*}
    failed=${result#*passed, } failed=${failed%% failed*}
fi
if [ "$(uname -m)" = x86_64 ] && [ -z "${SANITIZE:-}" ]; then
    if "${MAKE:-make}" -s B="$build" "$build/portable/fuzz" && "$build/portable/fuzz" --count 3000 --seed 2; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
