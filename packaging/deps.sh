#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Installs the Debian packages that building, testing, running a guest or the benchmarks need, and only those that
# are missing: by apt-get as root, else by sudo. Where neither is possible it prints the one command and ends with status 6.
#
#   deps.sh PURPOSE...    build, check, run, bench
#   deps.sh has PACKAGE   tells by its status whether what we want of the package is there
set -eu

# Purpose, package, and what of it has to be there.
needs='
build libzydis-dev          header  Zydis/Zydis.h
build libmpfr-dev           header  mpfr.h
check check                 header  check.h
check libsubunit-dev        header  subunit/child.h
check zstd                  command zstd
check g++                   command c++
check python3               module  termios
check gcc-mingw-w64-x86-64  command x86_64-w64-mingw32-gcc
check lz4                   command lz4
check cpio                  command cpio
check pkgconf               command pkg-config
run   cpio                  command cpio
bench python3               module  statistics
'

is_there() {
    case $1 in
    header) echo "#include <$2>" | ${CC:-cc} -E -x c - >/dev/null 2>&1 ;;
    command) command -v "$2" >/dev/null ;;
    module) python3 -c "import $2" 2>/dev/null ;;
    esac
}

# missing FIELD VALUE: the packages that aren't there, of those whose purpose (1) or name (2) is VALUE.
missing() {
    echo "$needs" | while read -r purpose package kind what; do
        case "$1:$2" in
        1:"${purpose:-none}" | 2:"${package:-none}") is_there "$kind" "$what" || echo "$package" ;;
        esac
    done
}

if [ "${1:-}" = has ]; then
    [ -z "$(missing 2 "$2")" ]
    exit
fi

packages=
required=
for purpose in "$@"; do
    packages="$packages $(missing 1 "$purpose" | tr '\n' ' ')"
    [ "$purpose" = check ] || required=yes
done
# shellcheck disable=SC2086
set -- $packages
[ $# -gt 0 ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    as_root=sudo
else
    as_root=none
fi
if [ "$as_root" = none ] || ! command -v apt-get >/dev/null; then
    echo "Missing: $*. Run: sudo apt-get update && sudo apt-get install -y --no-install-recommends $*" >&2
    exit 6
fi
echo "Installing $*"
if $as_root apt-get -qq update && $as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends "$@"; then
    exit 0
fi
if [ "$required" ]; then
    echo "These could not be installed: $*. Is there a network?" >&2
    exit 6
fi
echo "These could not be installed, and what needs them is skipped: $*" >&2
