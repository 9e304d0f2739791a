#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Fetches what the guests are made of into a directory and installs nothing: Debian's cloud kernel as vmlinuz
# and its static busybox as busybox, or one file of a package as PACKAGE/FILE. What is there already is kept, so that a
# second run needs no network.
#
#   fetch.sh OUTDIR [PACKAGE FILE]
#
# Ends with status 6 where the host can't give the files: no Debian tools, or no network.
set -eu

say() { echo "fetch: $*"; }
lack() { echo "fetch: $*" >&2; exit 6; }

[ $# -eq 1 ] || [ $# -eq 3 ] || { echo "usage: fetch.sh OUTDIR [PACKAGE FILE]" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)

if [ $# -eq 3 ] && [ -s "$out/$2/$3" ]; then
    exit 0
fi
if [ $# -eq 1 ] && [ -s "$out/vmlinuz" ] && [ -s "$out/busybox" ]; then
    say "using $out/vmlinuz and $out/busybox"
    exit 0
fi

for tool in apt-get apt-cache dpkg-deb; do
    command -v "$tool" >/dev/null || lack "$tool is missing: this needs Debian's tools, or put a kernel at" \
        "$out/vmlinuz and a static busybox at $out/busybox"
done

work=$(mktemp -d "$out/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

updated=
update() {
    [ -z "$updated" ] || return 1
    updated=yes
    say "reading the lists of packages (apt-get update)"
    if [ "$(id -u)" -eq 0 ]; then
        apt-get -qq update >"$work/log" 2>&1
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        # shellcheck disable=SC2024
        sudo -n apt-get -qq update >"$work/log" 2>&1
    else
        lack "the lists of packages are empty or old. Run: sudo apt-get update"
    fi
}

# The package that a metapackage stands for.
kernel_package() {
    apt-cache depends linux-image-cloud-amd64 2>/dev/null |
        awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ { print $2; exit }'
}

get() { (cd "$work/deb" && apt-get -qq -o APT::Sandbox::User=root download "$1") >"$work/log" 2>&1; }

# download PACKAGE DIRECTORY: unpacks the package there.
download() {
    say "downloading $1"
    mkdir -p "$work/deb" "$work/$2"
    if ! get "$1"; then
        update || true # old lists name versions that the mirror has dropped
        get "$1" || lack "can't download $1: $(tail -n 1 "$work/log"). Is there a network?"
    fi
    dpkg-deb -x "$work"/deb/*.deb "$work/$2" || lack "can't unpack $1"
    rm -rf "$work/deb"
}

if [ $# -eq 3 ]; then
    download "$2" package
    [ -s "$work/package/$3" ] || lack "$2 holds no $3"
    mkdir -p "$(dirname "$out/$2/$3")"
    mv "$work/package/$3" "$out/$2/$3"
    say "$out/$2/$3 is from $2"
    exit 0
fi

if [ ! -s "$out/vmlinuz" ]; then
    package=$(kernel_package)
    if [ -z "$package" ]; then
        update || true
        package=$(kernel_package)
    fi
    [ -n "$package" ] || lack "apt knows no linux-image-cloud-amd64: is there a network, and is this Debian?"
    download "$package" kernel
    mv "$work"/kernel/boot/vmlinuz-* "$work/vmlinuz"
    mv "$work/vmlinuz" "$out/vmlinuz"
    say "$package is $out/vmlinuz"
fi

if [ ! -s "$out/busybox" ]; then
    download busybox-static busybox
    for place in usr/bin/busybox bin/busybox; do
        [ ! -f "$work/busybox/$place" ] || mv "$work/busybox/$place" "$out/busybox"
    done
    [ -s "$out/busybox" ] || lack "busybox-static holds no busybox"
    say "busybox-static is $out/busybox"
fi
