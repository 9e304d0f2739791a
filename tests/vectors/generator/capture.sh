#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Captures a whole set of vectors on this machine's processor, family by family, and compresses it.
#
#   capture.sh GENERATOR FOLDER SEED PERCENT   PERCENT of the usual number of states of each form
set -eu

generator=$1 out=$2 seed=$3 percent=$4
command -v zstd >/dev/null || { echo "There is no zstd; Debian's package is zstd" >&2; exit 6; }
mkdir -p "$out"
rm -f "$out"/*.swv "$out"/*.swv.zst "$out"/*-forms.tsv

# Mode, family, states of each form.
while read -r mode family states; do
    states=$((states * percent / 100))
    [ "$states" -gt 0 ] || states=1
    evex=
    [ "$family" != avx512 ] || evex=-e
    # shellcheck disable=SC2086
    "$generator" -m "$mode" -f "$family" -n "$states" -s "$seed" -o "$out" $evex | grep "^$family" || true
done <<END
64 int 160
64 bmi 160
64 x87 400
64 mmx 80
64 sse 80
64 avx 64
64 crypto 80
64 fxsr 300
64 seg 120
64 priv 3
64 ud 60
64 avx512 6
32 int 72
32 bmi 40
32 x87 100
32 mmx 16
32 sse 24
32 avx 12
32 crypto 16
32 fxsr 60
32 seg 120
32 priv 3
32 ud 40
16 int 72
16 bmi 30
16 x87 60
16 mmx 8
16 sse 10
16 avx 6
16 crypto 8
16 fxsr 40
16 seg 80
16 priv 3
16 ud 40
END
for file in "$out"/*.swv; do
    zstd -q -19 --rm "$file"
done
