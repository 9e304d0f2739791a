#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The libraries as a client meets them: what they export, the documented ways to link, and what make install puts where.
#
#   linking.sh BUILD
set -eu

build=$1
cc=${CC:-cc}
make=${MAKE:-make}
work=$build/tests/linking
passed=0 failed=0
rm -rf "$work"
mkdir -p "$work"

# claim WHAT COMMAND...: counts it, and shows what the command says if it fails.
claim() {
    what=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        passed=$((passed + 1))
    else
        echo "failed: $what"
        sed 's/^/    /' "$work/log"
        failed=$((failed + 1))
    fi
}

grep -ho '\(IsWHv\|WHv\|Swhp\)[A-Za-z0-9]*(' include/WinHvPlatform.h include/WinHvEmulation.h include/softwhp.h |
    tr -d '(' | sort -u >"$work/declared"
nm -D --defined-only "$build/libsoftwhp.so" | awk '$2 != "A" { print $NF }' >"$work/versioned"
sed 's/@.*//' "$work/versioned" | sort >"$work/shared"
nm -g --defined-only "$build/libsoftwhp.a" | awk 'NF == 3 { print $NF }' | sort >"$work/static"
claim "the shared library exports what the headers declare, and nothing else" diff "$work/declared" "$work/shared"
claim "the static library exports what the headers declare, and nothing else" diff "$work/declared" "$work/static"

soname() { readelf -d "$build/libsoftwhp.so" | grep -q 'SONAME.*\[libsoftwhp.so.0\]'; }
claim "the soname is libsoftwhp.so.0" soname

unversioned() { ! grep -v '@@SOFTWHP_0$' "$work/versioned"; }
claim "each function that the shared library exports has the version SOFTWHP_0" unversioned

# A client that has functions called as ours are inside.
cat >"$work/client.c" <<'END'
#include <softwhp.h>
#include <string.h>

int decode(void);
int decode(void) { return 1; }
int walk(void);
int walk(void) { return 2; }

int main(void)
{
    WHV_CAPABILITY capability;
    WHV_PARTITION_HANDLE partition;
    UINT32 size;

    memset(&capability, 0, sizeof capability);
    if (WHvGetCapability(WHvCapabilityCodeHypervisorPresent, &capability, sizeof capability, &size) != S_OK)
        return 1;
    if (!capability.HypervisorPresent || WHvCreatePartition(&partition) != S_OK)
        return 2;
    return WHvDeletePartition(partition) != S_OK || decode() + walk() != 3;
}
END
libs=$("$make" -s libs)
# shellcheck disable=SC2086
{
    claim "a client links with the static library" \
        $cc "$work/client.c" -Iinclude "$build/libsoftwhp.a" $libs -o "$work/static-client"
    claim "and runs" "$work/static-client"
    claim "a client links with the shared library" \
        $cc "$work/client.c" -Iinclude -L"$build" -lsoftwhp -o "$work/shared-client"
    claim "and runs" env LD_LIBRARY_PATH="$build" "$work/shared-client"
}

prefix=/opt/softwhp
root=$(cd "$work" && pwd)/root
claim "make install" "$make" -s install B="$build" PREFIX=$prefix DESTDIR="$root"
for file in include/WinHvPlatform.h include/WinHvPlatformDefs.h include/WinHvEmulation.h include/softwhp.h \
    lib/libsoftwhp.a lib/libsoftwhp.so.0 lib/libsoftwhp.so lib/pkgconfig/softwhp.pc bin/softwhp; do
    claim "installs $file" test -e "$root$prefix/$file"
done

# links WHERE PREFIX OPTION...: a client builds by pkg-config, with what's installed under PREFIX, and runs.
links() {
    where=$1 at=$2
    shift 2
    rm -f "$work/installed-client"
    # shellcheck disable=SC2046,SC2086
    claim "a client builds by pkg-config, $where" \
        $cc "$work/client.c" $(PKG_CONFIG_LIBDIR="$at/lib/pkgconfig" pkg-config "$@" --cflags --libs softwhp) \
        -o "$work/installed-client"
    claim "and runs" env LD_LIBRARY_PATH="$at/lib" "$work/installed-client"
}

# Headers and library of PREFIX, not of some other softwhp that the machine has; and Zydis is no business of a client.
flags_of() {
    PKG_CONFIG_LIBDIR="$1/lib/pkgconfig" pkg-config --cflags --libs softwhp |
        tr ' ' '\n' | sed -n 's/^-[IL]//p' | while read -r folder; do realpath "$folder"; done | xargs
}
flags_are_of() { [ "$(flags_of "$1")" = "$(realpath "$1/include") $(realpath "$1/lib")" ]; }
no_zydis() { ! PKG_CONFIG_LIBDIR="$1/lib/pkgconfig" pkg-config --cflags --libs softwhp | grep -i -e zy -e mpfr; }
needs_zydis() { readelf -d "$work/installed-client" | grep 'NEEDED.*libZydis'; }
version() {
    [ "$(PKG_CONFIG_LIBDIR="$1/lib/pkgconfig" pkg-config --modversion softwhp)" = \
        "$(sed -n 's/^#define SWHP_VERSION "\(.*\)"/\1/p' include/softwhp.h)" ]
}

if command -v pkg-config >/dev/null; then
    staged=$root$prefix
    links "staged in DESTDIR" "$staged"
    claim "its flags lead there, and nowhere else" flags_are_of "$staged"
    claim "they leave Zydis to the library" no_zydis "$staged"
    claim "pkg-config knows the version" version "$staged"
    export PKG_CONFIG_SYSROOT_DIR="$root"
    links "with DESTDIR as the system root" "$staged"
    claim "its flags lead there, and nowhere else" flags_are_of "$staged"
    unset PKG_CONFIG_SYSROOT_DIR
    moved="$(cd "$work" && pwd)/moved/elsewhere"
    mkdir -p "$moved"
    cp -a "$staged/." "$moved"
    rm -rf "$root"
    links "moved elsewhere" "$moved"
    claim "its flags lead there, and nowhere else" flags_are_of "$moved"
    links "with --define-prefix" "$moved" --define-prefix
    rm "$moved"/lib/libsoftwhp.so*
    links "without the shared library, by --static" "$moved" --static
    claim "and has Zydis as a shared library" needs_zydis
else
    echo "skipped: softwhp.pc, pkg-config is missing"
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
