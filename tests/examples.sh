#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The examples as their readers meet them: each is copied alone to a folder, is built there by the one line that its
# first comment gives, with what make install put somewhere, and runs to a good end.
#
#   examples.sh BUILD
set -eu

build=$1
cc=${CC:-cc}
work=$build/tests/examples
passed=0 failed=0

command -v pkg-config >/dev/null || { echo "skipped: pkg-config is missing"; exit 77; }
rm -rf "$work"
mkdir -p "$work"
work=$(cd "$work" && pwd)
"${MAKE:-make}" -s install B="$build" PREFIX=/usr DESTDIR="$work/root"
export PKG_CONFIG_PATH="$work/root/usr/lib/pkgconfig"
unset SOFTWHP PKG_CONFIG_SYSROOT_DIR

# The cc of those lines, which adds what should find nothing.
cc() {
    # shellcheck disable=SC2086
    command $cc -std=c11 -Wall -Wextra -Wpedantic -Wshadow -Werror "$@"
}

# example FILE
example() {
    name=$(basename "$1" .c)
    line=$(sed -n 's/^ \* *\(cc .*\)$/\1/p' "$1")
    mkdir "$work/$name"
    cp "$1" "$work/$name"
    cd "$work/$name"
    case $line in
    "cc $name.c \$(pkg-config --cflags --libs softwhp"*") -o $name") ;;
    *) echo "its first comment has no line that builds it" && return 1 ;;
    esac
    eval "$line" && LD_LIBRARY_PATH="$work/root/usr/lib" timeout 60 "./$name"
}

for file in examples/*.c; do
    if grep -q 'check.h' "$file" && ! pkg-config --exists check; then
        echo "skipped: $file, Check is missing"
    elif grep -q pthread_create "$file" && [ "$(uname -m)" != x86_64 ]; then
        echo "skipped: $file, a partition has one processor on this host"
    elif (example "$file") >"$work/log" 2>&1; then
        passed=$((passed + 1))
    else
        echo "failed: $file, with status $?"
        sed 's/^/    /' "$work/log"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
