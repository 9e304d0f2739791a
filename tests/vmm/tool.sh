#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The command line: what is wrong is told in one line on standard error that names the thing, with the documented
# status and nothing on standard output; and what is asked for is printed where it was promised.
#
#   tool.sh BUILD
set -u

# shellcheck source=tests/vmm/claims.inc
. "$(dirname "$0")/claims.inc"

here=$(cd "$(dirname "$0")" && pwd)
guests=$(cd "$guests" 2>/dev/null && pwd)
mkdir "$work/directory"
cd "$work" || exit 1
unset SOFTWHP
out=out err=err

# softwhp WORD...: what it said is in out and err, how it ended in $status. Nothing here takes long.
softwhp() {
    said="softwhp $*"
    timeout 60 "$tool" "$@" </dev/null >out 2>err
    status=$?
}

one_line() {
    [ ! -s out ] || { echo "something is on standard output"; return 1; }
    [ "$(wc -l <err)" -eq 1 ] || { echo "not exactly one line"; return 1; }
    case $(cat err) in "softwhp: "*"$1"*) ;; *) echo "the line doesn't name $1" && return 1 ;; esac
}

# refused STATUS TEXT WORD...: the line has to hold the text.
refused() {
    wanted=$1 text=$2
    shift 2
    softwhp "$@"
    claim "$said: status $wanted" ends_with "$wanted"
    claim "$said: one line about $text" one_line "$text"
}

printf '\353\376' >spin                            # jmp $
printf '\260\061\346\351\364' >one                 # mov al, '1'; out 0xe9, al; hlt
printf '\260\120\346\351\260\003\346\364' >seven   # mov al, 'P'; out 0xe9, al; mov al, 3; out 0xf4, al
: >empty

# ---- Words ----

refused 2 'softwhp run FILE'
refused 2 frob frob
refused 2 '--frob' --frob
refused 2 'no FILE' run
refused 2 'unknown option --frob' run --frob spin
refused 2 'one FILE' run spin one
refused 2 '--hash takes no value' run --hash=yes spin
refused 2 '--firmware' run --firmware spin --initrd one
refused 2 '--firmware' run --firmware spin --base 0
for option in --memory --cpus --apic --seed --undefined --max-insns --restart --mode --base --clock --trace --log-port \
    --initrd --kernel-args --firmware --floppy --fw-cfg --clock-rate; do
    refused 2 "$option needs a value" run spin $option
done
for value in '' 0 -1 1 12 5K 1T 64MB 99999999999999999999 1000000000G 0x; do
    refused 2 '--memory: ' run spin --memory "$value"
done
for value in '' 0 -1 x 1.5; do
    refused 2 '--cpus: ' run spin --cpus "$value"
done
refused 2 '--cpus: at most 64, not 65' run spin --cpus 65
refused 2 '--cpus: several processors need local APICs' run spin --cpus 4 --clock host --apic none
refused 2 '--cpus: several processors need local APICs' run spin --cpus 4 --apic none
for value in '' -1 x 99999999999999999999; do
    refused 2 '--seed: ' run spin --seed "$value"
    refused 2 '--max-insns: ' run spin --max-insns "$value"
    refused 2 '--restart: ' run spin --restart "$value"
done
for value in '' x XAPIC 1; do
    refused 2 '--apic: ' run spin --apic "$value"
done
for value in '' x Zero 1; do
    refused 2 'is not hardware, zero or seeded' run spin --undefined "$value"
done
for value in '' x REAL; do
    refused 2 '--mode: ' run spin --mode "$value"
    refused 2 '--clock: ' run spin --clock "$value"
    refused 2 '--base: ' run spin --base "$value"
done
refused 2 '--base' run spin --base 0x7c01
refused 2 '--base' run spin --mode long --base 1G
for value in '' x -1 0x10000 :log 0x80: 0x80x; do
    refused 2 '--log-port: ' run spin --log-port "$value"
done
for value in '' x insn exit: exits :file; do
    refused 2 '--trace: ' run spin --trace "$value"
done

# ---- Files ----

refused 2 'nowhere: can' run nowhere
refused 2 'without a name' run ''
refused 2 'directory: is a directory' run directory
refused 2 'empty: is empty' run empty
refused 2 'neither a file nor a pipe' run /dev/zero
refused 2 'one: is no kernel that we know' run one --initrd spin
refused 2 '--memory' run one --mode protected --base 1M --memory 1M
refused 2 'nowhere: can' run --firmware nowhere
refused 2 'firmware is 4 KiB to 16 MiB' run --firmware spin
head -c 65536 /dev/zero >rom
refused 2 'one: is no bzImage' run --firmware rom one
refused 2 'nowhere: can' run --firmware rom nowhere
refused 2 'nowhere: can' run --firmware rom --floppy nowhere
refused 2 'nowhere: can' run --firmware rom --fw-cfg opt/a=nowhere
head -c 2949121 /dev/zero >wide
refused 2 'wide: is larger than any floppy' run --firmware rom --floppy wide
refused 2 'nowhere/log: can' run spin --log-port 0x80:nowhere/log
refused 2 'nowhere/log: can' run spin --trace exit:nowhere/log
if [ "$(id -u)" -ne 0 ]; then
    cp spin secret && chmod 0 secret
    refused 2 'secret: can' run secret
fi

elf=${build}/softwhp # an ELF file for x86, and no kernel
for size in 4 15 40 100 2000; do
    head -c $size "$elf" >short
    refused 2 'short: is a broken ELF file' run short
done
refused 2 'neither a PVH note nor a multiboot header' run "$elf"
{ head -c 18 "$elf" && printf '\267\0' && tail -c +21 "$elf" | head -c 2000; } >other # EM_AARCH64
refused 2 'other: is an ELF file, but not for x86' run other

kernel=$guests/vmlinuz
if [ -s "$kernel" ]; then
    head -c 100000 "$kernel" >bzimage
    refused 2 'bzimage: is cut off' run bzimage
    refused 2 'try more --memory' run "$kernel" --memory 16M
    refused 2 'try more --memory' run "$kernel" --initrd one --memory 16M
    refused 2 'try more --memory' run --firmware rom "$kernel" --initrd one --memory 1M
    refused 2 'nowhere: can' run "$kernel" --initrd nowhere
    refused 2 'directory: is a directory' run "$kernel" --initrd directory
    refused 2 'empty: is empty' run "$kernel" --initrd empty
    head -c 200000000 /dev/zero >large
    refused 2 'large: its 200000000 bytes' run "$kernel" --initrd large
    rm large
    refused 2 '--kernel-args: ' run "$kernel" --kernel-args "$(printf '%5000s' x)"
else
    skip "errors about kernels: no $kernel"
fi

# ---- The environment ----

for words in frob seed= seed=x clock=fast undefined=random undefined= frob=1,seed=1 seed=1,frob=1; do
    export SOFTWHP="$words"
    refused 2 SOFTWHP run spin --max-insns 1
done
unset SOFTWHP

# ---- What is asked for ----

softwhp --help
claim "--help: status 0" ends_with 0
claim "--help: on standard output" grep -q '^usage: softwhp run' out
claim "--help: nothing on standard error" test ! -s err
cp out help
for option in --kernel-args --initrd --memory --cpus --apic --max-insns --trace --hash --summary --screen --seed \
    --undefined --clock --clock-rate --firmware --floppy --fw-cfg --restart --hyperv \
    --log-port --base --mode; do
    claim "--help tells of $option" grep -q -e "^  $option" help
done
softwhp run --help
claim "run --help is the same" cmp out help

softwhp --version
claim "--version: status 0" ends_with 0
version=$(sed -n 's/^#define SWHP_VERSION "\(.*\)"/\1/p' "$here/../../include/softwhp.h")
claim "--version: one line" test "$(cat out)" = "softwhp $version"

softwhp run one
claim "$said: status 0" ends_with 0
claim "$said: the guest's byte is all of standard output" test "$(cat out)" = 1
claim "$said: nothing on standard error" test ! -s err

printf '\270\000\270\216\300\046\307\006\240\000\110\007\364' >text # an H in the second line of text memory
softwhp run text --screen
claim "$said: status 0" ends_with 0
claim "$said: what the guest would show" test "$(tr '\n' / <err)" = /H/

softwhp run seven
claim "$said: the guest's status" ends_with 7

softwhp run spin --max-insns 1000 --hash
claim "$said: the digest is all of standard error" grep -Eq '^hash [0-9a-f]{32}$' err
claim "$said: in one line" test "$(wc -l <err)" -eq 1

softwhp run spin --max-insns 1000 --hash --summary
claim "$said: the digest is the last line" sh -c 'tail -n 1 err | grep -Eq "^hash [0-9a-f]{32}$"'
claim "$said: tells how it ended" grep -q '^softwhp: --max-insns was reached' err
claim "$said: counts instructions" grep -Eq '^ +1000  instructions' err
claim "$said: counts exits by reason" grep -Eq '^ +1  Count$' err

softwhp run one --trace exit:trace
claim "$said: a line for each exit" test "$(wc -l <trace)" -eq 2
claim "$said: the port's first" sh -c 'head -n 1 trace | grep -q "out port 00e9 size 1"'
claim "$said: the halt's last" sh -c 'tail -n 1 trace | grep -q " halt"'
claim "$said: nothing on standard error" test ! -s err
softwhp run one --trace exit
claim "$said: the same lines on standard error" cmp trace err
softwhp run one --trace=exit:trace2
claim "$said: a value behind a sign" cmp trace trace2

softwhp run one --log-port 0xe9:log9
claim "$said: the byte is in the file too" test "$(cat log9)" = 1

mkfifo pipe
refused 2 'pipe: is a pipe' run pipe --restart 1
refused 2 'pipe: is a pipe' run --firmware rom --fw-cfg opt/a=pipe --restart 1
cat one >pipe &
softwhp run pipe
claim "$said: a guest from a pipe" test "$(cat out)" = 1
wait

# ---- Restarts ----

printf '\260\122\346\351\272\371\014\260\006\356\364' >reset  # mov al, 'R'; out 0xe9, al; mov dx, 0xcf9; mov al, 6; ...
printf '\260\113\346\351\260\376\346\144\364' >reset-8042       # 'K'; the keyboard controller's FE
printf '\260\101\346\351\260\003\346\222\364' >reset-fast       # 'A'; port 92
printf '\260\124\346\351\017\001\036\040\0\314' >triple          # 'T'; an IDT of nothing, and INT3
head -c 100 /dev/zero >>triple
for file in reset:R reset-8042:K reset-fast:A; do
    softwhp run "${file%:*}"
    claim "$said: ends with it" ends_with 0
    claim "$said: once" test "$(cat out)" = "${file#*:}"
    softwhp run "${file%:*}" --restart 2 --summary --trace exit:starts
    claim "$said: ends with the last" ends_with 0
    claim "$said: starts three times" test "$(cat out)" = "${file#*:}${file#*:}${file#*:}"
    claim "$said: tells of each" test "$(grep -c '^softwhp: the guest reset the machine' err)" -eq 3
    claim "$said: all of them are traced" test "$(wc -l <starts)" -eq 6
done
softwhp run triple --mode protected --restart 1
claim "$said: ends with the last" ends_with 4
claim "$said: starts twice" test "$(cat out)" = TT
claim "$said: tells of each" test "$(grep -c '^softwhp: the guest ended in a triple fault' err)" -eq 2
for words in '--cpus 2' '--cpus 2 --clock host' '--clock host'; do
    # shellcheck disable=SC2086
    softwhp run reset --restart 1 $words
    claim "$said: starts twice" test "$(cat out)" = RR
done
softwhp run reset --hash
cp err err1
softwhp run reset --hash --restart 5
claim "$said: each start is the same" cmp err err1
"$tool" run reset --restart 18446744073709551615 </dev/null >out 2>err &
sleep 0.5
kill -TERM $!
wait $!
status=$?
said="SIGTERM amid restarts"
claim "$said: status 143" ends_with 143

# Its file is a pipe, or gone, by then: 'W', a line feed; wait for input; reset
printf '\260\127\346\351\260\012\346\351\272\375\003\354\250\001\164\373\272\371\014\260\006\356\364' >resets-late
# shellcheck disable=SC2094
for change in 'mkfifo late' ':'; do
    said="run late --restart 1, and then $change"
    cp resets-late late
    : >out
    { until grep -q W out; do sleep 0.1; done; rm late; $change; echo x; } |
        timeout 60 "$tool" run late --restart 1 --screen --hash --summary >out 2>err
    status=$?
    claim "$said: status 2" ends_with 2
    claim "$said: tells how the first start ended" grep -q '^softwhp: the guest reset the machine' err
    claim "$said: tells why there is no other" grep -Eq "^softwhp: late: (is a pipe|can't be opened)" err
    claim "$said: there is no machine to tell of" sh -c '! grep -Eq "^hash|StateHash" err'
    rm -f late
done

# ---- A microcode update that isn't one: a write to MSR 8B is nothing, and the processor's level stays ----

# mov ecx, 0x8b; rdmsr; mov ebx, eax; xor eax, eax; wrmsr; rdmsr; cmp eax, ebx; setz al; out 0xf4, al
printf '\146\271\213\0\0\0\017\062\146\211\303\146\061\300\017\060\017\062\146\071\330\017\224\300\346\364' >update
softwhp run update
claim "$said: the write is ignored" ends_with 3

# ---- The power-management timer is never found standing still ----

# mov dx, 0x608; in eax, dx; mov ebx, eax; in eax, dx; sub eax, ebx; out 0xf4, al
printf '\272\010\006\146\355\146\211\303\146\355\146\051\330\346\364' >ticks
for rate in 1 50 65536; do
    softwhp run ticks --clock-rate $rate --summary
    claim "$said: a tick or more passes between two reads" test $status -ge 3
    claim "$said: the status is one of ours" grep -q '^softwhp: port 0xf4 was written' err
done

# ---- FERR#, IRQ 13 and port F0: a real-mode guest with CR0.NE clear divides by zero ----

# frozen STI WRITE CLEAR: these bytes for its STI, its write to port F0 and its FNCLEX.
# shellcheck disable=SC2059
frozen() {
    # segments, stack and the vector of IRQ 13; the controllers, all masked but the cascade and IRQ 13
    printf '\372\061\300\216\330\216\320\274\000\160\307\006\324\001\133\174\243\326\001'
    printf '\260\021\346\040\346\240\260\010\346\041\260\160\346\241\260\004\346\041'
    printf '\260\002\346\241\260\001\346\041\346\241\260\373\346\041\260\337\346\241'
    # the control word unmasks ZE; 1/0; 'a'; fwait; 'c'; fldz; 'd'; status 7
    printf "$1"
    printf '\333\343\150\173\003\211\345\331\156\000\331\350\331\356\336\371'
    printf '\260\141\346\351\233\260\143\346\351\331\356\260\144\346\351\260\003\346\364'
    # the handler: 'b'; ...; ends of interrupt; iret
    printf '\120\260\142\346\351'
    printf "$2$3"
    printf '\260\040\346\240\346\040\130\317'
}
frozen '\373' '\346\360' '\333\342' >ferr
frozen '\373' '\346\360' '\220\220' >ferr-ignored  # nobody clears it, and IGNNE# stays
frozen '\373' '\220\220' '\333\342' >ferr-cleared  # IRQ 13 stays up, which is no second edge
frozen '\220' '\346\360' '\333\342' >ferr-off      # interrupts off
for file in ferr ferr-ignored ferr-cleared; do
    softwhp run --trace exit --summary $file
    claim "$file: status 7" ends_with 7
    claim "$file: freezes once, its handler runs, it goes on" sh -c '[ "$(cat out)" = abcd ]'
    claim "$file: one exit" grep -q '^ *1  FerrFreeze$' err
done
softwhp run ferr-off
claim 'ferr-off: status 4' ends_with 4
claim 'ferr-off: says so' grep -q 'froze at 07c0:4c at an x87 exception, with interrupts off' err

# ---- Local APICs: HLT sleeps inside Run, and what can't wake is told all the same ----

printf '\364' >hlt
printf '\373\364' >sti-hlt
for clock in virtual host; do
    softwhp run hlt --apic xapic --clock $clock --summary
    claim "$said: status 0" ends_with 0
    claim "$said: tells how it ended" grep -q '^softwhp: HLT with interrupts off' err
    softwhp run sti-hlt --apic x2apic --clock $clock
    claim "$said: status 4" ends_with 4
    claim "$said: tells where" one_line 'halted at 07c0:2 to wait for an interrupt, and no device'
done
export SOFTWHP=api=20348
softwhp run hlt --apic xapic --summary
claim "$said: ends at an older level too" grep -q '^softwhp: HLT with interrupts off' err
unset SOFTWHP
for file in ferr ferr-ignored ferr-cleared; do
    softwhp run --apic xapic --summary $file
    claim "$said: status 7" ends_with 7
    claim "$said: freezes, its handler runs, it goes on" sh -c '[ "$(cat out)" = abcd ]'
done
softwhp run --apic xapic ferr-off
claim "$said: says so" grep -q 'froze at 07c0:4c at an x87 exception, with interrupts off' err

# ---- Output that can't be written ----

# lost TEXT COMMAND...: status 6, and one line.
lost() {
    text=$1
    shift
    : >out
    said=$*
    sh -c "$*" </dev/null 2>err
    status=$?
    claim "$said: status 6" ends_with 6
    claim "$said: one line about $text" one_line "$text"
}

lost 'standard output' "$tool run one >&-"
if [ -c /dev/full ]; then
    lost 'standard output' "$tool run one >/dev/full"
    lost 'standard output' "$tool run seven >/dev/full"
    lost 'standard output' "$tool --help >/dev/full"
    lost 'standard output' "$tool --version >/dev/full"
    lost '/dev/full' "$tool run one --trace exit:/dev/full >out2"
    lost '/dev/full' "$tool run one --log-port 0xe9:/dev/full >out2"
fi
"$tool" run one --trace exit:trace3 2>&- </dev/null >out
claim "a file isn't opened as a closed standard error" cmp trace trace3
"$tool" run one 0<&- >out 2>err
claim "a closed standard input does no harm" test "$(cat out)" = 1

# ---- Signals ----

for signal in INT:130 TERM:143; do
    "$tool" run spin --summary </dev/null >out 2>err &
    sleep 0.3
    kill -"${signal%:*}" $!
    wait $!
    status=$?
    said="SIG${signal%:*}"
    claim "$said: status ${signal#*:}" ends_with "${signal#*:}"
    claim "$said: the summary is still printed" grep -Eq '^ +[0-9]+  instructions' err
done

# ---- A terminal ----

if python3 -c "import pty, termios" 2>/dev/null; then
    for file in vmlinuz initramfs; do
        [ -s "$guests/$file" ] || guests=
    done
    [ "$guests" ] || skip "the shell on a terminal: no kernel and initramfs in ${GUESTS:-build/guests}"
    [ -z "${SANITIZE:-}" ] || guests=
    # shellcheck disable=SC2086
    python3 "$here/terminal.py" "$build" $guests >terminal.log 2>&1 || sed '/ passed, /d' terminal.log
    count=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' terminal.log)
    count=${count:-0 1}
    passed=$((passed + ${count% *})) failed=$((failed + ${count#* }))
else
    skip "the terminal: no python3"
fi

summary
