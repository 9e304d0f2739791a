/* SPDX-License-Identifier: MIT */
/* Examples of what an AMD processor does its own way, x87 and vector instructions above all: example.h. */
#include "tests/cpu/example.h"

/* A denormal operand is pushed also when DM is clear; another exception keeps FLD from pushing. */
EXAMPLE("push 0x37d; fldcw [rsp]; pop rax; fld qword ptr [" MEMORY "]; fnstsw ax; fnclex",
        IN(.rsp = STACK_TOP, .mem = 1), OUT(.rsp = STACK_TOP, .rax = 0xb882, .mem = 1), ON_AMD)
EXAMPLE("push 0x37d; fldcw [rsp]; pop rax; fld dword ptr [" MEMORY "]; fnstsw ax; fnclex",
        IN(.rsp = STACK_TOP, .mem = 1), OUT(.rsp = STACK_TOP, .rax = 0xb882, .mem = 1), ON_AMD)
EXAMPLE("push 0x37e; fldcw [rsp]; pop rax; fld dword ptr [" MEMORY "]; fnstsw ax; fnclex",
        IN(.rsp = STACK_TOP, .mem = 0x7f800001), OUT(.rsp = STACK_TOP, .rax = 0x8081, .mem = 0x7f800001))

/* FYL2X of a negative number is invalid before a denormal beside it counts, unmasked as it is. */
EXAMPLE("push 0x37d; fldcw [rsp]; pop rax; fld tbyte ptr [" MEMORY "]; fld1; fchs; fyl2x; fnstsw ax; fnclex",
        IN(.rsp = STACK_TOP, .mem = 1), OUT(.rsp = STACK_TOP, .rax = 0x3801, .mem = 1), ON_AMD)
/* So is its division by zero. */
EXAMPLE("push 0x37d; fldcw [rsp]; pop rax; fld tbyte ptr [" MEMORY "]; fldz; fyl2x; fnstsw ax; fnclex",
        IN(.rsp = STACK_TOP, .mem = 1), OUT(.rsp = STACK_TOP, .rax = 0x3804, .mem = 1), ON_AMD)
/* FYL2XP1 calls all inexact, so that a denormal which is exact is an underflow too. */
EXAMPLE("fld tbyte ptr [" MEMORY "]; fld1; fyl2xp1; fnstsw ax", IN(.mem = 1), OUT(.rax = 0x3832, .mem = 1), ON_AMD)

/* MASKMOVDQU is two stores: where the first's page is missing, the end of addresses in the second isn't reached. */
EXAMPLE("maskmovdqu xmm0, xmm1", IN(.rdi = 0x7ffffffffff4), FAULTS(VECTOR_PF, .rdi = 0x7ffffffffff4), ON_AMD)
EXAMPLE("maskmovdqu xmm0, xmm1", IN(.rdi = 0x7ffffffffffa), FAULTS(VECTOR_GP, .rdi = 0x7ffffffffffa))

/* FXSAVE has the last instruction and its operand only while an exception is pending; FNSTENV always. */
EXAMPLE("fld qword ptr [" MEMORY "]; fxsave [rsp]; mov rax, [rsp + 8]; mov rcx, [rsp + 16]; movzx edx, word ptr [rsp + 6]",
        IN(.rsp = STACK_TOP), OUT(.rsp = STACK_TOP), ON_AMD)
EXAMPLE("fld qword ptr [" MEMORY "]; fnstenv [rsp]; mov eax, [rsp + 20]; movzx edx, word ptr [rsp + 18]",
        IN(.rsp = STACK_TOP), OUT(.rsp = STACK_TOP, .rax = MEMORY_AT, .rdx = 0x504), ON_AMD)
EXAMPLE("push 0x37e; fldcw [rsp]; pop rax; fld dword ptr [" MEMORY "]; fxsave [rsp]; mov eax, [rsp + 16]; fnclex",
        IN(.rsp = STACK_TOP, .mem = 0x7f800001), OUT(.rsp = STACK_TOP, .rax = MEMORY_AT, .mem = 0x7f800001), ON_AMD)
/* FLDENV with 66 has no place for FOP, and makes it zero. */
EXAMPLE("fld qword ptr [" MEMORY "]; .byte 0x66; fnstenv [rsp]; .byte 0x66; fldenv [rsp]; fnstenv [rsp]; "
        "movzx edx, word ptr [rsp + 18]",
        IN(.rsp = STACK_TOP), OUT(.rsp = STACK_TOP), ON_AMD)

/* Flags that are undefined: AAA's and AAS's are those of AX before AL's high digit goes, AAD's those of the addition. */
EXAMPLE32("aas", IN(.rax = 0xff00), OUT(.rax = 0xff00, .flags = SF | PF), ON_AMD)
EXAMPLE32("aas", IN(.rax = 0x8412, .flags = AF), OUT(.rax = 0x830c, .flags = CF | PF | AF | SF), ON_AMD)
EXAMPLE32("aaa", IN(.rax = 0x7f0a), OUT(.rax = 0x8000, .flags = CF | AF | SF | OF), ON_AMD)
EXAMPLE32("aad 0x79", IN(.rax = 0x8080), OUT(.rax = 0, .flags = CF | PF | ZF | OF), ON_AMD)

/* A single step that is due after an element was gathered comes in lieu of a later element's fault. */
#define GATHER(element, flags)                                                                                          \
    "vpcmpeqd xmm2, xmm2, xmm2; mov eax, 0x40000000; vmovd xmm1, eax; vpslldq xmm1, xmm1, " element "; push " flags     \
    "; popfq; vpgatherdd xmm0, [rdi + xmm1], xmm2; vmovd ebx, xmm2"
EXAMPLE(GATHER("4", "0x302"), IN(.rsp = STACK_TOP, .rdi = MEMORY_AT),
        FAULTS(VECTOR_DB, .rax = 0x40000000, .rsp = STACK_TOP, .rdi = MEMORY_AT), ON_AMD)
EXAMPLE(GATHER("0", "0x302"), IN(.rsp = STACK_TOP, .rdi = MEMORY_AT),
        FAULTS(VECTOR_PF, .rax = 0x40000000, .rsp = STACK_TOP, .rdi = MEMORY_AT), ON_AMD)
EXAMPLE(GATHER("4", "0x202"), IN(.rsp = STACK_TOP, .rdi = MEMORY_AT),
        FAULTS(VECTOR_PF, .rax = 0x40000000, .rsp = STACK_TOP, .rdi = MEMORY_AT), ON_AMD)
