#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Times the guests on softwhp, natively and on the peers that are installed, in turn, and prints a table.

usage: bench.py BUILD [--rounds N] [--seconds S] [--peers a,b] [workload...]

A figure is the processor time of the peer's whole process (user and system) between the guest's BEGIN and END lines, so
that start-up is left out. Within a round each peer runs in turn; ratios are taken round by round, and the median is shown.
"""
import json, os, select, shutil, signal, statistics, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
INTEGER = "alu sieve sha256 crc32 qsort queens interp fib".split()
FLOAT = "matmul nbody x87".split()
OTHER = "chase smc smcnear movs stos movsmall".split()
SYSTEM = "cr3 syscall int3ring int pf".split()
EXITS = "out in mmiow mmior cpuid".split()


def peers_of(build):
    guests = f"{build}/bench/guests"
    peers = {
        "native": {"cmd": [f"{guests}/bench-native", "{w}"], "skip": SYSTEM + EXITS},
        "softwhp": {"cmd": [f"{build}/softwhp", "run", f"{guests}/bench32.elf", "--kernel-args", "{w}"]},
    }
    if shutil.which("qemu-system-x86_64"):
        peers["tcg"] = {"cmd": ["qemu-system-x86_64", "-accel", "tcg", "-machine", "pc", "-m", "256", "-display", "none",
                                "-serial", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-net", "none",
                                "-kernel", f"{guests}/bench32.elf", "-append", "{w}"]}
    if os.path.exists(f"{build}/bench/ucrun"):
        peers["unicorn"] = {"cmd": [f"{build}/bench/ucrun", f"{guests}/bench.bin", "{w}"],
                            "skip": ["syscall", "int", "int3ring", "pf"]}
    return peers


def processor_time(pid):
    return time.clock_gettime((~pid << 3) | 2)  # another process's clock, as clock_getcpuclockid gives it


def run(peer, name, n, limit=40):
    """Runs a workload once: processor seconds and checksum, or None."""
    argv = [a.replace("{w}", f"w={name} n={n}") for a in peer["cmd"]]
    p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    fd, text, begin, result, end = p.stdout.fileno(), b"", None, None, time.time() + limit
    while result is None:
        left = end - time.time()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            break
        data = os.read(fd, 4096)
        if not data:
            break
        text += data
        if begin is None and b"BEGIN " in text:
            begin = processor_time(p.pid)
        at = text.find(b"END ")
        if at >= 0 and b"\n" in text[at:]:
            result = (processor_time(p.pid) - begin, text[at:].split(b"sum=")[1].split()[0].decode())
    p.stdout.close()
    try:
        p.wait(0.5)
    except subprocess.TimeoutExpired:
        p.send_signal(signal.SIGKILL)
        p.wait()
    return result


def calibrate(peer, name, seconds):
    if name == "chase":
        return 3000000
    n = 1
    for _ in range(24):
        result = run(peer, name, n)
        if not result:
            return None
        if result[0] > seconds / 4:
            return max(1, int(n * seconds / result[0]))
        n = max(n + 1, int(n * min(50, max(2, 0.5 * seconds / max(result[0], 1e-4)))))
    return n


def measure(peers, names, rounds, seconds):
    """{workload: {peer: [nanoseconds a count, one for each round]}}"""
    count, out = {}, {w: {p: [] for p in peers} for w in names}
    for r in range(rounds):
        for w in names:
            sums = {}
            for p, peer in peers.items():
                if w in peer.get("skip", []):
                    continue
                if (w, p) not in count:
                    count[w, p] = calibrate(peer, w, seconds)
                    if not count[w, p]:
                        print(f"{p} can't run {w}", file=sys.stderr)
                if count[w, p]:
                    result = run(peer, w, count[w, p])
                    if result:
                        out[w][p].append(1e9 * result[0] / count[w, p])
        print(f"round {r + 1} of {rounds}", file=sys.stderr, flush=True)
    return out


def geomean(values):
    return statistics.geometric_mean(values) if values else float("nan")


def median(values):
    return statistics.median(values) if values else float("nan")


def main():
    args, build = sys.argv[2:], sys.argv[1]
    rounds, seconds, only, names = 5, 0.3, None, []
    while args:
        a = args.pop(0)
        if a == "--rounds":
            rounds = int(args.pop(0))
        elif a == "--seconds":
            seconds = float(args.pop(0))
        elif a == "--peers":
            only = args.pop(0).split(",")
        else:
            names.append(a)
    peers = {p: v for p, v in peers_of(build).items() if not only or p in only}
    names = names or INTEGER + FLOAT + OTHER + SYSTEM + EXITS
    instructions = json.load(open(f"{HERE}/guests/instructions.json"))
    got = measure(peers, names, rounds, seconds)
    ratio = {w: {p: median([a / b for a, b in zip(got[w][p], got[w].get("native", []))]) for p in peers} for w in names}

    print("\nmillion guest instructions a second (times slower than native)")
    print(f"{'workload':<10}" + "".join(f"{p:>18}" for p in peers))
    for w in [w for w in names if w not in SYSTEM + EXITS]:
        cells = []
        for p in peers:
            v = median(got[w][p])
            cells.append("-" if v != v else f"{1e3 * instructions[w]['per_count'] / v:.0f} ({ratio[w][p]:.2f})")
        print(f"{w:<10}" + "".join(f"{c:>18}" for c in cells))
    for title, group in (("integer", INTEGER), ("float", FLOAT)):
        row = [geomean([ratio[w][p] for w in group if w in names and ratio[w][p] == ratio[w][p]]) for p in peers]
        print(f"{title:<10}" + "".join(f"{f'({v:.2f})':>18}" for v in row) + "   geometric mean of ratios")
    print("\nnanoseconds an iteration")
    for w in [w for w in names if w in SYSTEM + EXITS]:
        print(f"{w:<10}" + "".join(f"{median(got[w][p]):>18.1f}" for p in peers))


main()
