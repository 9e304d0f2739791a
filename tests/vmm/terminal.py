#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The tool on a terminal: what the user sees, which keys are ours, and that the terminal is what it was afterwards.

  terminal.py BUILD [GUESTS]   without the guests' directory, the interactive shell is left out
"""
import errno
import fcntl
import os
import select
import signal
import subprocess
import sys
import termios
import time

PATIENCE = 60 * float(os.environ.get("CK_TIMEOUT_MULTIPLIER") or 1)
PROGRESS = b"softwhp: running"

BUILD = sys.argv[1]
WORK = os.path.join(BUILD, "tests", "terminal")
counts = {True: 0, False: 0}


def claim(what, holds, shown=b""):
    counts[bool(holds)] += 1
    if not holds:
        print("failed:", what)
        if shown:
            print("    it showed", shown[-300:])


def flat(name, code):
    path = os.path.join(WORK, name)
    with open(path, "wb") as file:
        file.write(code)
    return path


class Session:
    """A tool that is started on a terminal of its own."""

    def __init__(self, *words):
        self.ours, theirs = os.openpty()
        self.theirs = theirs
        self.before = termios.tcgetattr(theirs)
        self.shown = b""

        def take_terminal():
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

        self.tool = subprocess.Popen([os.path.join(BUILD, "softwhp"), "run", *words], stdin=theirs, stdout=theirs,
                                     stderr=theirs, start_new_session=True, preexec_fn=take_terminal)

    def read(self, seconds):
        if select.select([self.ours], [], [], seconds)[0]:
            try:
                # The guest's terminal sends CR LF, and ours makes CR CR LF of that.
                self.shown += os.read(self.ours, 65536).replace(b"\r", b"")
            except OSError as error:
                if error.errno != errno.EIO:
                    raise

    def wait_for(self, text, seconds=PATIENCE):
        end = time.monotonic() + seconds
        while text not in self.shown and time.monotonic() < end and self.tool.poll() is None:
            self.read(0.05)
        self.read(0)
        return text in self.shown

    def watch(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read(0.05)

    def type(self, keys):
        self.shown = b""
        os.write(self.ours, keys)

    def end(self):
        """The status; None if it had to be killed."""
        end = time.monotonic() + PATIENCE
        while self.tool.poll() is None and time.monotonic() < end:
            self.read(0.05)
        self.read(0)
        status = self.tool.poll()
        if status is None:
            self.tool.kill()
            self.tool.wait()
        return status

    def is_restored(self):
        return termios.tcgetattr(self.theirs) == self.before

    def close(self):
        os.close(self.ours)
        os.close(self.theirs)


def check_way_out(name, leave, wanted):
    """A guest that does nothing but run is left."""
    session = Session(flat("spin", b"\xeb\xfe"))
    claim(f"{name}: tells how to leave", session.wait_for(b"softwhp: Ctrl-A x leaves"), session.shown)
    raw = termios.tcgetattr(session.theirs)
    claim(f"{name}: the terminal is raw while the guest has it", not raw[3] & (termios.ECHO | termios.ICANON))
    leave(session)
    status = session.end()
    claim(f"{name}: status {status} is {wanted}", status == wanted, session.shown)
    claim(f"{name}: the terminal is what it was", session.is_restored())
    session.close()


def check_progress():
    # mov al, 'X'; out 0xe9, al; mov al, LAST; out 0xe9, al; jmp $
    says = b"\xb0X\xe6\xe9\xb0%b\xe6\xe9\xeb\xfe"
    after = Session(flat("after", says % b"\n"))
    within = Session(flat("within", says % b"Y"))
    claim("progress of a busy guest is shown", after.wait_for(PROGRESS), after.shown)
    claim("a line without an end is shown", within.wait_for(b"XY"), within.shown)
    within.watch(0.5)
    claim("progress is not shown within a line of the guest's", PROGRESS not in within.shown, within.shown)
    for session in after, within:
        session.type(b"\x01x")
        session.end()
        session.close()
    claim("progress is erased at the end", after.shown.startswith(b"\x1b[K"), after.shown)


def check_shell(guests):
    session = Session(os.path.join(guests, "vmlinuz"), "--initrd", os.path.join(guests, "initramfs"),
                      "--kernel-args", "console=ttyS0 quiet cryptomgr.notests")
    claim("a shell prompt appears", session.wait_for(b"# "), session.shown)
    session.type(b"echo $((6*7))\r")
    claim("echo $((6*7)) answers 42", session.wait_for(b"\n42\n"), session.shown)
    session.wait_for(b"# ")
    session.type(b"sleep 1000\r")
    session.wait_for(b"sleep 1000\n")
    session.watch(0.5)
    session.type(b"\x03")
    claim("Ctrl-C is the guest's, and ends its sleep", session.wait_for(b"# "), session.shown)
    session.shown = b""
    session.watch(2.5)
    claim("nothing is shown while the guest waits at its prompt", session.shown == b"", session.shown)
    session.type(b"exit\r")
    status = session.end()
    claim(f"exit of the shell ends with status 0, not {status}", status == 0, session.shown)
    claim("after the shell the terminal is what it was", session.is_restored())
    session.close()


os.makedirs(WORK, exist_ok=True)
check_way_out("Ctrl-A x", lambda s: s.type(b"\x01x"), 130)
check_way_out("Ctrl-C with nobody to read it", lambda s: s.type(b"\x03"), 130)
check_way_out("SIGINT", lambda s: s.tool.send_signal(signal.SIGINT), 130)
check_way_out("SIGTERM", lambda s: s.tool.send_signal(signal.SIGTERM), 143)
check_way_out("SIGHUP", lambda s: s.tool.send_signal(signal.SIGHUP), 129)
check_progress()
if len(sys.argv) > 2:
    check_shell(sys.argv[2])
print(f"{counts[True]} passed, {counts[False]} failed")
sys.exit(counts[False] != 0)
