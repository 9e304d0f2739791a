#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The floors compiled for Windows by Debian's mingw-w64, without a warning; handlers that still end in jumps; and a library
# linked of them, to see that they want nothing but what Windows, Zydis and MPFR have, and export the API alone. Nothing is run.
#
# Debian has no Zydis, GMP and MPFR for that target, so their headers for this host stand in, by links. That is enough to
# compile: Zydis has the same types everywhere, and ours is a use of MPFR by its functions, whose `long` is the target's. It
# isn't enough to link really: GMP's limbs are a long there, which has 32 bits, where the Windows GMP has long long limbs. Who
# builds a DLL brings the headers and libraries of that target; here, import libraries of the names we use stand for them.
#
#   windows_syntax.sh BUILD
set -eu

build=$1/windows
target=x86_64-w64-mingw32
include=$build/include
passed=0 failed=0

for tool in $target-gcc $target-dlltool $target-nm $target-objdump; do
    command -v "$tool" >/dev/null || { echo "skipped: $tool is missing (package gcc-mingw-w64-x86-64)"; exit 77; }
done

# claim WHAT COMMAND...: counts it.
claim() {
    what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        echo "failed: $what"
        failed=$((failed + 1))
    fi
}

rm -rf "$include"
mkdir -p "$include"
for header in Zydis Zycore mpfr.h gmp.h; do
    echo "#include <$(case $header in *.h) echo "$header" ;; *) echo "$header/$header.h" ;; esac)>"
done | ${CC:-cc} -E -x c - | sed -n 's/^# 1 "\(.*\)".*/\1/p' | sort -u | while read -r path; do
    case $path in
    */Zydis/Zydis.h) ln -s "${path%/*}" "$include/Zydis" ;;
    */Zycore/Zycore.h) ln -s "${path%/*}" "$include/Zycore" ;;
    */mpfr.h | */gmp.h) ln -s "$path" "$include/${path##*/}" ;;
    esac
done

compiled() {
    ${MAKE:-make} -s B="$build" CC="$target-gcc -DSOFTWHP_NO_WINDOWS_H -I$include" OBJCOPY=$target-objcopy CFLAGS=-O2 \
        SANITIZE=-Werror MODE="-fno-stack-protector -fcf-protection=none" windows-objects
}
claim "every source compiles without a warning" compiled
[ "$failed" -eq 0 ] || { echo "$passed passed, $failed failed"; exit 1; }

handlers() { tests/tailcalls.sh "$build" $target-objdump >"$build/handlers" || { cat "$build/handlers"; false; }; }
claim "handlers end in jumps" handlers

# Nothing but the API leaves the library; what we call so inside stays there.
objects=$(find "$build/state" "$build/exits" "$build/mem" "$build/decoder" "$build/cpu" "$build/whp" -name '*.o')
grep -ho '\(IsWHv\|WHv\|Swhp\)[A-Za-z0-9]*(' include/WinHvPlatform.h include/WinHvEmulation.h include/softwhp.h |
    tr -d '(' | sort -u >"$build/declared"
{ echo "LIBRARY WinHvPlatform.dll"; echo EXPORTS; cat "$build/declared"; } >"$build/WinHvPlatform.def"
# shellcheck disable=SC2086
$target-nm -u $objects | awk '$1 == "U" { print $2 }' | sed 's/^__imp_//' | sort -u >"$build/undefined"
for library in 'Zydis:Zydis' 'mpfr-6:\(mpfr_\|__gmpfr_\)'; do
    { echo "LIBRARY lib${library%:*}.dll"; echo EXPORTS; grep "^${library#*:}" "$build/undefined"; } >"$build/lib.def"
    $target-dlltool -d "$build/lib.def" -l "$build/lib${library%:*}.dll.a"
done
linked() {
    # shellcheck disable=SC2086
    $target-gcc -shared -static-libgcc -o "$build/WinHvPlatform.dll" "$build/WinHvPlatform.def" $objects \
        "$build"/lib*.dll.a -lsynchronization -lbcrypt
}
claim "a library links, of Windows, Zydis and MPFR alone" linked
exports() {
    $target-objdump -p "$build/WinHvPlatform.dll" |
        awk '/^\[Ordinal\/Name Pointer\]/ { on = 1; next } on && !NF { exit } on { print $NF }' | sort |
        diff "$build/declared" -
}
claim "it exports what the headers declare, and nothing else" exports

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
