#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes the guest's first file system: a busybox, and the init beside this script. The same inputs give the
# same bytes.
#
#   make-initramfs.sh BUSYBOX OUT
set -eu

[ $# -eq 2 ] || { echo "usage: make-initramfs.sh BUSYBOX OUT" >&2; exit 2; }
[ -s "$1" ] || { echo "make-initramfs: no busybox at $1" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
root=$(mktemp -d "${TMPDIR:-/tmp}/initramfs.XXXXXX")
trap 'rm -rf "$root"' EXIT
trap 'exit 130' INT TERM HUP

mkdir -p "$root/bin"
cp "$1" "$root/bin/busybox"
cp "$here/init" "$root/init"
chmod 755 "$root" "$root/bin" "$root/bin/busybox" "$root/init"
find "$root" -exec touch -h -d @0 {} +

# Debian's busybox can write such an archive too, where the cpio package isn't there.
if command -v cpio >/dev/null; then
    archive() { cpio --quiet --reproducible -o -H newc -R 0:0; }
elif "$root/bin/busybox" --list 2>/dev/null | grep -qx cpio; then
    archive() { "$root/bin/busybox" cpio -o -H newc -R 0:0 --ignore-devno --renumber-inodes 2>/dev/null; }
else
    echo "make-initramfs: cpio is missing. Run: sudo apt-get install --no-install-recommends cpio" >&2
    exit 6
fi
(cd "$root" && printf '%s\n' . bin bin/busybox init | archive) | gzip -n -9 >"$2.new"
mv "$2.new" "$2"
