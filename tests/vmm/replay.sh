#!/bin/sh
# SPDX-License-Identifier: MIT
#
# softwhp replay and isa: what they say of good files, wrong records and damaged files.
#
#   replay.sh BUILD
set -u

tool=$(cd "$1" && pwd)/softwhp
vectors=$(pwd)/tests/vectors
work=$(cd "$1" && pwd)/tests/replay
passed=0 failed=0
command -v zstd >/dev/null || { echo "skipped: no zstd"; exit 77; }
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
rm -rf "$work"
mkdir -p "$work"
cd "$work" || exit 1
cp "$vectors/64-forms.tsv" .
zstd -dcq "$vectors/64-bmi.swv.zst" >64-bmi.swv

# says STATUS TEXT WORD...: softwhp WORD... ends so, and its output or its complaint has the text.
says() {
    status=$1 text=$2
    shift 2
    timeout 60 "$tool" "$@" >out 2>err </dev/null
    got=$?
    if [ "$got" -eq "$status" ] && cat out err | grep -qe "$text"; then
        passed=$((passed + 1))
        return
    fi
    failed=$((failed + 1))
    echo "failed: softwhp $*: status $got, not $status, or no \"$text\" in:"
    tail -n 5 out err | sed 's/^/    /'
}

says 0 '^[0-9]* passed, 0 failed$' replay 64-bmi.swv
says 0 '^[0-9]* passed, 0 failed$' replay "$vectors/64-bmi.swv.zst"
says 0 'andn.*records' replay --list 64-bmi.swv
says 0 '^[1-9][0-9]* passed, 0 failed$' replay --only pdep 64-bmi.swv
says 0 '^0 passed, 0 failed$' replay --only nothing 64-bmi.swv
says 0 'usage: softwhp replay' replay --help
says 2 'wants a file' replay
says 2 'absent.swv: No such file' replay absent.swv
says 2 '\-\-only wants' replay --only
says 2 'no option -x' replay -x 64-bmi.swv
says 2 'no file of vectors' replay 64-forms.tsv

# What manuals leave undefined is what the records mark. They mark no results, and AF after SBB, which is defined.
for family in 64-int 64-sse 64-x87 32-int 16-bmi; do
    mode=${family%-*}
    cp "$vectors/$mode-forms.tsv" .
    for policy in zero seeded; do
        expected=
        case $family-$policy in
        *-sse-*) expected='extrq insertq' ;;
        *-x87-*) expected='f2xm1 fbld fyl2xp1' ;;
        *-int-zero) expected='sbb' ;;
        esac
        "$tool" replay --undefined $policy "$vectors/$family.swv.zst" >out 2>err </dev/null
        got=$(sed -n 's/^[^ ]*: \([a-z0-9]*\): .* failed, by .*/\1/p' out | sort | tr '\n' ' ')
        if [ "$got" = "${expected:+$expected }" ]; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            echo "failed: $family with $policy: [$got] differ, not [$expected]"
        fi
    done
done
says 0 '^[1-9][0-9]* passed, 0 failed$' replay --undefined hardware --only f2xm1 "$vectors/64-x87.swv.zst"
says 2 '\-\-undefined wants hardware, zero or seeded' replay --undefined random 64-bmi.swv
says 2 '\-\-undefined wants hardware, zero or seeded' replay --undefined

# A record whose result is another one, one that the profile lacks, and files that are cut or no files at all.
python3 - <<'END'
data = bytearray(open("64-bmi.swv", "rb").read())
open("64-cut.swv", "wb").write(data[: len(data) // 2])
open("64-version.swv", "wb").write(data[:8] + b"\x02" + data[9:])
data[-1] ^= 0x10
open("64-wrong.swv", "wb").write(data)
END
head -c 5000 "$vectors/64-bmi.swv.zst" >64-cut.swv.zst
echo nonsense >64-nonsense.swv.zst
says 4 '^[0-9]* passed, 1 failed$' replay 64-wrong.swv
says 4 '64-wrong.swv: .*: 1 failed, by ' replay 64-wrong.swv
says 4 'want .* got ' replay -v 64-wrong.swv
says 2 '64-cut.swv: record [0-9]* is damaged\|64-cut.swv: it ends after' replay 64-cut.swv
says 2 '64-version.swv: no file of vectors, or one of another version' replay 64-version.swv
says 2 '64-cut.swv.zst: ' replay 64-cut.swv.zst
says 2 '64-nonsense.swv.zst: ' replay 64-nonsense.swv.zst
sed 's/BMI2/AVX512_VBMI_128/' "$vectors/64-forms.tsv" >64-forms.tsv
says 0 'skipped: the profile has no AVX512_VBMI_128' replay 64-bmi.swv
says 0 '^[0-9]* passed, 0 failed, [1-9][0-9]* skipped$' replay 64-bmi.swv

# Whatever stands in a file, it is a status, not a crash.
rm 64-forms.tsv
python3 - <<'END'
import random
data = open("64-bmi.swv", "rb").read()[:40000]
random.seed(1)
for n in range(60):
    bad = bytearray(data)
    for _ in range(random.randrange(1, 6)):
        bad[random.randrange(n < 30 and 2000 or len(bad))] = random.randrange(256)
    open("64-bad%d.swv" % n, "wb").write(bad)
END
for n in $(seq 0 59); do
    timeout 60 "$tool" replay "64-bad$n.swv" >out 2>err
    got=$?
    case $got in
    0 | 2 | 4) passed=$((passed + 1)) ;;
    *) failed=$((failed + 1)) && echo "failed: 64-bad$n.swv ends with status $got" && tail -n 3 err ;;
    esac
done

says 0 '^[0-9]* forms, 0 that nothing covers$' isa
says 0 'VAES.*vaesenc' isa VAES
says 2 'no extension NOTHING' isa NOTHING
says 2 'an extension at most' isa A B
says 0 'usage: softwhp isa' isa --help

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
