#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Compares our public headers with those of mingw-w64: every constant, type, member and function.

usage: compare.py [BUILD-DIRECTORY]

Nothing has to run on Windows: the compilers themselves tell what they made of the headers, in the debug
information of an object file. Our headers are read twice, for Linux and for Windows; both must agree with
mingw's, and with each other. A name that mingw's older headers lack is listed and skipped; one that ours
lack is a failure. Members called Reserved... are what newer members are made from, and are not compared.
"""
import os
import re
import subprocess
import sys
import textwrap

HERE = os.path.dirname(os.path.abspath(__file__))
OURS = os.path.join(HERE, "..", "..", "include")
LINUX = ("gcc", "objdump")
MINGW = ("x86_64-w64-mingw32-gcc", "x86_64-w64-mingw32-objdump")
MINGW_PACKAGE = "gcc-mingw-w64-x86-64"

OUR_INCLUDES = "#include <WinHvPlatform.h>\n#include <WinHvEmulation.h>\n"
MINGW_INCLUDES = "#include <windows.h>\n#include <winhvplatform.h>\n#include <winhvemulation.h>\n"

# What the API borrows from the rest of Windows; its own names begin with WHV_ or WHv.
BASE_TYPES = ("BOOL BOOLEAN DEVICE_POWER_STATE DWORD GUID HANDLE HRESULT INT16 INT32 INT64 INT8 LONG LUID PVOID "
              "UINT16 UINT32 UINT64 UINT8 USHORT").split()
BASE_CONSTANTS = ("ANYSIZE_ARRAY ERROR_INVALID_STATE ERROR_NOT_FOUND ERROR_NOT_SUPPORTED E_ABORT "
                  "E_ACCESSDENIED E_FAIL E_HANDLE E_INVALIDARG E_NOTIMPL E_OUTOFMEMORY E_POINTER "
                  "E_UNEXPECTED FALSE S_FALSE S_OK TRUE").split()


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout


class Die:
    """One entry of the debug information: a tag, attributes, children."""

    def __init__(self, tag):
        self.tag = tag
        self.attributes = {}
        self.children = []

    def __getitem__(self, name):
        return self.attributes.get(name)

    def number(self, name, default=0):
        text = self[name]
        return default if text is None else int(text.split()[0], 0)


def read_debug_information(objdump, path):
    """All entries by address, and those at the top."""
    entry = re.compile(r" <(\w+)><(\w+)>: Abbrev Number: \d+ \((?:DW_TAG_)?(\w+)\)")
    attribute = re.compile(r"    <\w+>\s+DW_AT_(\w+)\s*:\s?(?:\(indirect (?:line )?string.*?\): )?(.*)")
    dies, parents = {}, {}
    die = None
    for line in run(objdump, "--dwarf=info", path).splitlines():
        match = entry.match(line)
        if match:
            depth = int(match[1], 16)
            die = dies[int(match[2], 16)] = parents[depth] = Die(match[3])
            if depth:
                parents[depth - 1].children.append(die)
            continue
        match = attribute.match(line)
        if match and die:
            die.attributes[match[1]] = match[2].strip()
    return dies, parents[0].children


class Headers:
    """What one compiler makes of one set of headers: facts, by name."""

    def __init__(self, directory, label, tools, includes, flags):
        self.compiler, self.objdump = tools
        self.flags = ["-std=gnu11", "-w"] + flags
        self.base = os.path.join(directory, label)
        self.facts = {}

        text = self.preprocess(includes)
        functions = sorted(set(re.findall(r"\b(WHv\w+)\s*\(", text)))
        macros = re.findall(r"^#define (WH[Vv]_?\w+|Whv\w+) \S", self.preprocess(includes, "-dM"), re.M)

        self.read(includes)
        types = sorted(d["name"] for d in self.top if d.tag == "typedef" and re.match("P?WHV_", d["name"]))
        types += BASE_TYPES
        constants = [c["name"] for d in self.top if d.tag == "enumeration_type" for c in d.children
                     if re.match("W[Hh]v|PowerDevice", c["name"])]
        constants = sorted(set(constants + macros)) + BASE_CONSTANTS

        probe = ["enum { value_%s = %s };" % (c, c) for c in constants]
        probe += ["enum { align_%s = _Alignof(%s) };" % (t, t) for t in types]
        probe += ["__typeof__(%s) *function_%s;" % (f, f) for f in functions]
        self.read(includes + "\n".join(probe) + "\n")

        values = {}
        variables = {}
        typedefs = {}
        for die in self.top:
            if die.tag == "enumeration_type":
                bits = 8 * die.number("byte_size")
                for child in die.children:
                    values[child["name"]] = child.number("const_value") % (1 << bits)
            elif die.tag == "variable":
                variables[die["name"]] = die
            elif die.tag == "typedef":
                typedefs[die["name"]] = die
        for name in constants:
            self.facts[name] = "0x%x" % values["value_" + name]
        for name in types:
            self.facts[name] = "%s, aligned to %d" % (self.describe(typedefs[name]), values["align_" + name])
            self.add_members(name, typedefs[name], 0)
        for name in functions:
            self.facts[name] = self.describe(variables["function_" + name], True)

    def preprocess(self, includes, *flags):
        self.write(includes)
        return run(self.compiler, *self.flags, "-E", "-P", *flags, self.base + ".c")

    def write(self, text):
        with open(self.base + ".c", "w", encoding="ascii") as out:
            out.write(text)

    def read(self, text):
        self.write(text)
        run(self.compiler, *self.flags, "-gdwarf-5", "-fno-eliminate-unused-debug-types", "-c",
            self.base + ".c", "-o", self.base + ".o")
        self.dies, self.top = read_debug_information(self.objdump, self.base + ".o")

    def type_of(self, die):
        reference = die["type"]
        return self.dies[int(reference.strip("<>"), 16)] if reference else None

    def resolve(self, die):
        while die and die.tag in ("typedef", "member", "variable"):
            die = self.type_of(die)
        return die

    def describe(self, die, names=False):
        """A type as both compilers would have it; with names, structures and enums by their name."""
        while die and die.tag in ("typedef", "member", "variable", "formal_parameter"):
            target = self.resolve(die)
            if (names and die.tag == "typedef" and die["name"].startswith("WHV_") and target
                    and target.tag in ("structure_type", "union_type", "enumeration_type")):
                return die["name"]
            die = self.type_of(die)
        if not die:
            return "void"
        if die.tag == "base_type":
            kind = "unsigned" if "unsigned" in die["encoding"] else "signed"
            return "%s%d" % (kind, 8 * die.number("byte_size"))
        if die.tag == "pointer_type":
            return "pointer to " + self.describe(self.type_of(die), names)
        if die.tag in ("const_type", "volatile_type"):
            return die.tag[:-5] + " " + self.describe(self.type_of(die), names)
        if die.tag == "array_type":
            counts = [str(c.number("upper_bound", -1) + 1) for c in die.children]
            return "%s[%s]" % (self.describe(self.type_of(die), names), "][".join(counts))
        if die.tag == "subroutine_type":
            parameters = [self.describe(c, names) for c in die.children]
            return "%s(%s)" % (self.describe(self.type_of(die), names), ", ".join(parameters))
        return "%s of %d bytes" % (die.tag[:-5], die.number("byte_size"))

    def add_members(self, name, die, offset):
        """The members of a structure, those of nameless ones within it as its own."""
        die = self.resolve(die)
        if not die or die.tag not in ("structure_type", "union_type"):
            return
        for member in die.children:
            if member.tag != "member":
                continue
            at = offset + 8 * member.number("data_member_location") + member.number("data_bit_offset")
            target = self.resolve(member)
            if not member["name"]:
                self.add_members(name, target, at)
                continue
            path = name + "." + member["name"]
            if member["bit_size"]:
                self.facts[path] = "%d bits at bit %d" % (member.number("bit_size"), at)
            else:
                self.facts[path] = "%s at byte %d" % (self.describe(member), at // 8)
            if target.tag in ("structure_type", "union_type") and not target["name"]:
                self.add_members(path, target, at)


def compare(ours, theirs, our_label, their_label):
    """Prints each difference; returns the counts of equal and of different facts, and what only ours has: of
    a type that is new as a whole, the type."""
    passed = failed = 0
    for name in sorted(theirs):
        if name.split(".")[-1].startswith("Reserved"):
            continue
        if ours.get(name) == theirs[name]:
            passed += 1
        else:
            failed += 1
            print("%s: %s: %s" % (name, our_label, ours.get(name, "missing")))
            print("%s  %s: %s" % (" " * len(name), their_label, theirs[name]))
    newer = [n for n in sorted(ours) if n not in theirs and not n.split(".")[-1].startswith("Reserved")]
    return passed, failed, [n for n in newer if n.split(".")[0] == n or n.split(".")[0] not in newer]


def main():
    directory = sys.argv[1] if len(sys.argv) > 1 else "build/tests/include"
    os.makedirs(directory, exist_ok=True)
    try:
        run(MINGW[0], "--version")
    except (OSError, subprocess.CalledProcessError):
        print("skipped: %s is missing (package %s)" % (MINGW[0], MINGW_PACKAGE))
        return 77

    try:
        linux = Headers(directory, "linux", LINUX, OUR_INCLUDES, ["-I", OURS]).facts
        windows = Headers(directory, "windows", MINGW, OUR_INCLUDES, ["-I", OURS]).facts
        mingw = Headers(directory, "mingw", MINGW, MINGW_INCLUDES, []).facts
    except subprocess.CalledProcessError as error:
        print("failed: " + " ".join(error.cmd))
        print("0 passed, 1 failed")
        return 1

    passed, failed, newer = compare(linux, mingw, "ours, for Linux", "mingw")
    for theirs, their_label in ((mingw, "mingw"), (linux, "ours, for Linux")):
        equal, different, _ = compare(windows, theirs, "ours, for Windows", their_label)
        passed += equal
        failed += different
    if newer:
        print("skipped: %d names newer than Debian's headers:" % len(newer))
        print(textwrap.fill(", ".join(newer), 108, initial_indent="  ", subsequent_indent="  ",
                            break_long_words=False, break_on_hyphens=False))
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


sys.exit(main())
