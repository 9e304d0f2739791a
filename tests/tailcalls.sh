#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Looks at the handlers as they were compiled: NEXT has to be a jump. gcc loses the jump without a word, for instance when
# the address of a local leaves the function; the stack would then grow with each guest instruction.
#
#   tailcalls.sh BUILD [OBJDUMP]
set -eu

build=$1
objdump=${2:-objdump}
passed=0 failed=0

[ "$(uname -m)" = x86_64 ] || { echo "skipped: tailcalls reads x86-64 code only"; exit 77; }

# What stands in these files beside handlers: bodies, binders, exits, and what ends a block or raises.
others='^(bind|op|exit|run|fuse)_|^jump_near$|^next_rip$|[.]'

for object in "$build"/cpu/fast_*.o "$build"/cpu/*_fast.o "$build"/cpu/fuse.o "$build"/cpu/branch.o "$build"/cpu/handler.o; do
    [ -e "$object" ] || continue
    lost=$("$objdump" -dr --no-show-raw-insn "$object" | awk -v others="$others" '
        function finish() {
            if (name != "" && name !~ others && !jumps)
                print name ": goes nowhere from here"
        }
        / <[^ ]*>:$/ {
            finish()
            name = substr($2, 2, length($2) - 3)
            jumps = 0
        }
        / R_X86_64_/ && calls && $3 ~ /^(run|exit)_/ && name !~ others { print name ": calls " $3 }
        { calls = 0 }
        /[ \t]jmp +[*]/ && !/[(]%rip[)]/ { jumps = 1 }
        /[ \t]call / { calls = 1 }
        /[ \t]call +[*]/ && !/[(]%rip[)]/ && name != "run_body" { print name ": NEXT is a call" }
        END { finish() }')
    if [ "$lost" ]; then
        echo "$lost" | sed "s|^|$object: |"
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
