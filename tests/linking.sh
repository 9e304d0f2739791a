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

grep -ho '\(WHv\|Swhp\)[A-Za-z0-9]*(' include/WinHvPlatform.h include/WinHvEmulation.h include/softwhp.h |
    tr -d '(' | sort -u >"$work/declared"
nm -D --defined-only "$build/libsoftwhp.so" | awk '{ print $NF }' | sort >"$work/shared"
nm -g --defined-only "$build/libsoftwhp.a" | awk 'NF == 3 { print $NF }' | sort >"$work/static"
claim "the shared library exports what the headers declare, and nothing else" diff "$work/declared" "$work/shared"
claim "the static library exports what the headers declare, and nothing else" diff "$work/declared" "$work/static"

soname() { readelf -d "$build/libsoftwhp.so" | grep -q 'SONAME.*\[libsoftwhp.so.0\]'; }
claim "the soname is libsoftwhp.so.0" soname

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
        "$cc" "$work/client.c" -Iinclude "$build/libsoftwhp.a" $libs -o "$work/static-client"
    claim "and runs" "$work/static-client"
    claim "a client links with the shared library" \
        "$cc" "$work/client.c" -Iinclude -L"$build" -lsoftwhp -o "$work/shared-client"
    claim "and runs" env LD_LIBRARY_PATH="$build" "$work/shared-client"
}

prefix=/opt/softwhp
root=$(cd "$work" && pwd)/root
claim "make install" "$make" -s install B="$build" PREFIX=$prefix DESTDIR="$root"
for file in include/WinHvPlatform.h include/WinHvPlatformDefs.h include/WinHvEmulation.h include/softwhp.h \
    lib/libsoftwhp.a lib/libsoftwhp.so.0 lib/libsoftwhp.so lib/pkgconfig/softwhp.pc bin/softwhp; do
    claim "installs $file" test -e "$root$prefix/$file"
done
if command -v pkg-config >/dev/null; then
    export PKG_CONFIG_SYSROOT_DIR="$root" PKG_CONFIG_LIBDIR="$root$prefix/lib/pkgconfig"
    # shellcheck disable=SC2046
    claim "a client builds by pkg-config" \
        "$cc" "$work/client.c" $(pkg-config --cflags --libs softwhp) -o "$work/installed-client"
    claim "and runs" env LD_LIBRARY_PATH="$root$prefix/lib" "$work/installed-client"
else
    echo "skipped: softwhp.pc, pkg-config is missing"
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
