/* SPDX-License-Identifier: MIT */
/* Examples of x87 and vector instructions, of what an AMD processor does its own way: example.h. */
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
/* FYL2XP1 calls all inexact, so that a denormal which is exact is an underflow too. */
EXAMPLE("fld tbyte ptr [" MEMORY "]; fld1; fyl2xp1; fnstsw ax", IN(.mem = 1), OUT(.rax = 0x3832, .mem = 1), ON_AMD)

/* MASKMOVDQU is two stores: where the page of the first is missing, the end of addresses in the second isn't reached. */
EXAMPLE("maskmovdqu xmm0, xmm1", IN(.rdi = 0x7ffffffffff4), FAULTS(VECTOR_PF, .rdi = 0x7ffffffffff4), ON_AMD)
EXAMPLE("maskmovdqu xmm0, xmm1", IN(.rdi = 0x7ffffffffffa), FAULTS(VECTOR_GP, .rdi = 0x7ffffffffffa))
