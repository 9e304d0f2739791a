#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Prints every include that looks upwards, and nothing if all is well: a floor includes its own headers and those of the
# floors before it; programs on the public headers include those and their own; of Zydis only what is theirs. Floors include
# no header of the host's system: what they want of it, the files of state/host.h ask for.
#
#   floors.sh FLOOR...   from the ground up
set -eu

complain() { echo "$1: $2"; }

# Where an include in quotes leads, from the top of the tree: beside the file, from the top, or a public header.
resolve() {
    for path in "$(dirname "$1")/$2" "$2" "include/$2"; do
        [ -e "$path" ] || continue
        while case $path in */../*) ;; *) false ;; esac; do
            path=$(echo "$path" | sed 's|[^/]*/\.\./||')
        done
        echo "$path"
        return
    done
}

# is_foreign FOLDER FILE HEADER: neither C's own header nor one of our libraries', in a floor behind state/host.h.
is_foreign() {
    case $1 in vmm | bench | examples | include) return 1 ;; esac
    case $2 in state/host.c | state/host_windows.c) return 1 ;; esac
    case $3 in
    setjmp.h | stdarg.h | stdbool.h | stddef.h | stdint.h | stdio.h | stdlib.h | string.h | mpfr.h) return 1 ;;
    esac
}

# check FOLDER ALLOWED...: the folder's includes lead to one of these folders.
check() {
    folder=$1
    allowed=" $* "
    find "$folder" -name '*.[ch]' -o -name '*.inc' | sort | xargs -r grep -Hn '^ *# *include' |
        while IFS=: read -r file line text; do
            header=$(echo "$text" | sed 's/^[^"<]*["<]\([^">]*\)[">].*/\1/')
            case $text in
            *\<Zydis/Mnemonic.h\>*) case $folder in decoder | cpu | jit | whp) continue ;; esac ;;
            *\<Zydis/Formatter.h\>*) case $folder in cpu | whp) continue ;; esac ;;
            *\<Zydis/Encoder.h\>*) [ "$folder" != jit ] || continue ;;
            *\<Zy*) [ "$folder" != decoder ] || continue ;;
            *\<*)
                if [ ! -e "include/$header" ]; then
                    is_foreign "$folder" "$file" "$header" || continue
                    complain "$file:$line" "<$header> is the host's system: that is for state/host.c"
                    continue
                fi
                ;;
            *) ;;
            esac
            case $text in
            *\<Zy*) ;;
            *)
                path=$(resolve "$file" "$header")
                [ "$path" ] || { complain "$file:$line" "nothing is called $header"; continue; }
                case $allowed in *" ${path%%/*} "*) continue ;; esac
                ;;
            esac
            complain "$file:$line" "$folder must not include $header"
        done
}

all() {
    below=
    for floor in "$@"; do
        below="$floor $below"
        # shellcheck disable=SC2086
        [ ! -d "$floor" ] || check $below
    done
    for program in vmm bench examples; do
        [ ! -d "$program" ] || check "$program" include
    done
}

lines=$(all "$@")
[ -z "$lines" ] || { echo "$lines"; exit 1; }
