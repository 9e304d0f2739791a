/* SPDX-License-Identifier: MIT */
/*
 * Examples: an instruction or a few, the registers before, the registers after, on one line. What isn't named
 * is zero, before and after.
 *
 *   EXAMPLE("add al, bl", IN(.rax = 0xff, .rbx = 1), OUT(.rax = 0, .rbx = 1, .flags = CF | PF | AF | ZF))
 *
 * Each runs on softwhp and on the host. MEMORY in the text is an address; .mem are its eight bytes. STACK_TOP
 * is a value for .rsp. FAULTS(vector, ...) is an OUT at the fault. Flags that manuals leave undefined are as
 * this profile's processor has them, and named in .undefined, which the host needn't agree with. ON_AMD: an AMD's way;
 * another vendor's host isn't asked. EXAMPLE32 is 32-bit code.
 */
#ifndef TESTS_CPU_EXAMPLE_H
#define TESTS_CPU_EXAMPLE_H

#include "tests/cpu/sequences.h"

struct example_state {
    u64 rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14,
        r15;   /* as they are numbered */
    u64 flags; /* status and DF */
    u64 mem;
    u32 undefined;
    u32 fault; /* vector + 1 */
};

struct example {
    const char *text;
    const u8 *code, *end;
    struct example_state in, out;
    bool on_amd, is_32;
};

#define MEMORY "0x10010800"
enum { MEMORY_AT = DATA_AT + 0x800, STACK_TOP = STACK_AT + 0x2000 };

#define IN(...) .in = { __VA_ARGS__ }
#define OUT(...) .out = { __VA_ARGS__ }
#define FAULTS(vector, ...) .out = { .fault = (vector) + 1, __VA_ARGS__ }
#define ON_AMD .on_amd = true
#define EXAMPLE32(text, ...) EXAMPLE(".code32; " text "; .code64", .is_32 = true, __VA_ARGS__)
#define EXAMPLE(text, ...) EXAMPLE_NUMBERED(__COUNTER__, text, __VA_ARGS__)
#define EXAMPLE_NUMBERED(n, text, ...) EXAMPLE_NAMED(n, text, __VA_ARGS__)
#define EXAMPLE_NAMED(n, asm_text, ...)                                                                      \
    extern const u8 example_code_##n[], example_end_##n[];                                                   \
    __asm__(".pushsection .rodata\n.intel_syntax noprefix\nexample_code_" #n ":\n" asm_text                  \
            "\nexample_end_" #n ":\nhlt\n.att_syntax prefix\n.popsection\n");                                \
    static const struct example example_##n __attribute__((section("examples"), used, aligned(8))) = {       \
        .text = asm_text, .code = example_code_##n, .end = example_end_##n, __VA_ARGS__                      \
    };

#endif
