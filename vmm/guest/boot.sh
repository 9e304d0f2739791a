#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Boots a Debian Linux kernel with our initramfs: to a shell where there is a terminal; where there is none, through the
# guest's script to its power-off.
#
#   boot.sh SOFTWHP GUESTS [OPTION...]   the tool, the directory of the guest's files, more options of softwhp run
#
# KERNEL names another kernel. Ends with status 6 where the guest's files can't be had.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
softwhp=$1 guests=$2
shift 2
if [ -z "${KERNEL:-}" ] || [ ! -s "$guests/busybox" ]; then
    "$here/fetch.sh" "$guests" >&2
fi
"$here/make-initramfs.sh" "$guests/busybox" "$guests/initramfs"
arguments=console=ttyS0
[ -t 0 ] || arguments="$arguments softwhp.script"
exec "$softwhp" run "${KERNEL:-$guests/vmlinuz}" --initrd "$guests/initramfs" --kernel-args "$arguments" "$@"
