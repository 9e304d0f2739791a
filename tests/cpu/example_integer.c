/* SPDX-License-Identifier: MIT */
/* What integer instructions come to where it is easy to be wrong: example.h. */
#include "tests/cpu/example.h"

/* ---- arithmetic ---- */

EXAMPLE("add al, bl", IN(.rax = 0xff, .rbx = 1), OUT(.rbx = 1, .flags = CF | PF | AF | ZF))
EXAMPLE("add eax, ebx", IN(.rax = 0xf00000001, .rbx = 2), OUT(.rax = 3, .rbx = 2, .flags = PF))
EXAMPLE("add ah, al", IN(.rax = 0x7f01), OUT(.rax = 0x8001, .flags = AF | SF | OF))
EXAMPLE("add ax, -1", IN(.rax = 0x18000), OUT(.rax = 0x17fff, .flags = CF | PF | OF))
EXAMPLE("adc eax, 0xffffffff", IN(.rax = 1, .flags = CF), OUT(.rax = 1, .flags = CF | AF))
EXAMPLE("adc al, 0x7f", IN(.rax = 0x80, .flags = CF), OUT(.flags = CF | PF | AF | ZF))
EXAMPLE("sbb rax, rax", IN(.rax = 0x1234, .flags = CF), OUT(.rax = -1, .flags = CF | PF | AF | SF))
EXAMPLE("sbb al, 0xff", IN(.rax = 0, .flags = CF), OUT(.flags = CF | PF | AF | ZF))
EXAMPLE("sub rsp, -128", IN(.rsp = STACK_TOP), OUT(.rsp = STACK_TOP + 128, .flags = CF))
EXAMPLE("cmp al, 0x80", IN(.rax = 0x7f), OUT(.rax = 0x7f, .flags = CF | PF | SF | OF))
EXAMPLE("cmp rax, -1", IN(.rax = 0), OUT(.flags = CF | AF))
EXAMPLE("neg al", IN(.rax = 0x80), OUT(.rax = 0x80, .flags = CF | SF | OF))
EXAMPLE("neg rax", IN(.rax = 0), OUT(.flags = PF | ZF))
EXAMPLE("neg eax", IN(.rax = -1), OUT(.rax = 1, .flags = CF | AF))
EXAMPLE("inc rax", IN(.rax = -1, .flags = CF), OUT(.flags = CF | PF | AF | ZF))
EXAMPLE("inc al", IN(.rax = 0x7f), OUT(.rax = 0x80, .flags = AF | SF | OF))
EXAMPLE("dec al", IN(.rax = 0x80, .flags = CF), OUT(.rax = 0x7f, .flags = CF | AF | OF))
EXAMPLE("dec qword ptr [" MEMORY "]", IN(.mem = 0), OUT(.mem = -1, .flags = PF | AF | SF))
EXAMPLE("not ax", IN(.rax = 0x1ffff, .flags = ZF), OUT(.rax = 0x10000, .flags = ZF))
EXAMPLE("and eax, -1",
        IN(.rax = 0xffffffff80000000, .flags = CF | OF | AF),
        OUT(.rax = 0x80000000, .flags = PF | SF, .undefined = AF))
EXAMPLE("test al, ah", IN(.rax = 0x8080), OUT(.rax = 0x8080, .flags = SF, .undefined = AF))
EXAMPLE("xor eax, eax", IN(.rax = -1, .flags = AF), OUT(.flags = PF | ZF, .undefined = AF))
EXAMPLE("xadd al, ah", IN(.rax = 0x80ff), OUT(.rax = 0xff7f, .flags = CF | OF))
EXAMPLE("xadd [" MEMORY "], rax", IN(.rax = 1, .mem = -1), OUT(.rax = -1, .flags = CF | PF | AF | ZF))
EXAMPLE("cmpxchg [" MEMORY "], ebx",
        IN(.rax = 5, .rbx = 7, .mem = 0x900000005),
        OUT(.rax = 5, .rbx = 7, .mem = 0x900000007, .flags = PF | ZF))
EXAMPLE("cmpxchg [" MEMORY "], ebx",
        IN(.rax = 0xf00000004, .rbx = 7, .mem = 0x900000005),
        OUT(.rax = 5, .rbx = 7, .mem = 0x900000005, .flags = CF | PF | AF | SF))
EXAMPLE("cmpxchg ecx, ebx",
        IN(.rax = 0x100000000, .rcx = 0xf00000001, .rbx = 2),
        OUT(.rax = 1, .rcx = 0xf00000001, .rbx = 2, .flags = CF | PF | AF | SF))
EXAMPLE("cmpxchg8b [" MEMORY "]",
        IN(.rax = 1, .rdx = 2, .rbx = 3, .rcx = 4, .mem = 0x200000001),
        OUT(.rax = 1, .rcx = 4, .rdx = 2, .rbx = 3, .mem = 0x400000003, .flags = ZF))
EXAMPLE("lock cmpxchg8b [" MEMORY "]",
        IN(.rax = 0xf00000001, .rdx = 1, .mem = 0x200000001), OUT(.rax = 1, .rdx = 2, .mem = 0x200000001))

/* ---- multiplication and division ---- */

EXAMPLE("imul al", IN(.rax = 0x80), OUT(.rax = 0x4000, .flags = CF | OF, .undefined = PF | AF | ZF | SF))
EXAMPLE("imul ax, bx, -1",
        IN(.rax = 0xffff8000, .rbx = 0x8000),
        OUT(.rax = 0xffff8000, .rbx = 0x8000, .flags = CF | OF, .undefined = PF | AF | ZF | SF))
EXAMPLE("imul eax, ebx",
        IN(.rax = 0x10000, .rbx = 0x10000),
        OUT(.rbx = 0x10000, .flags = CF | OF, .undefined = PF | AF | ZF | SF))
EXAMPLE("imul rax, rbx, 3",
        IN(.rax = 7, .rbx = 0x5555555555555555),
        OUT(.rax = -1, .rbx = 0x5555555555555555, .flags = CF | OF, .undefined = PF | AF | ZF | SF))
EXAMPLE("mul rdx",
        IN(.rax = -1, .rdx = -1), OUT(.rax = 1, .rdx = -2, .flags = CF | OF, .undefined = PF | AF | ZF | SF))
EXAMPLE("mul eax",
        IN(.rax = 0xf80000000, .rdx = -1),
        OUT(.rdx = 0x40000000, .flags = CF | OF, .undefined = PF | AF | ZF | SF))
EXAMPLE("div bl", IN(.rax = 0xffff, .rbx = 0xff), FAULTS(VECTOR_DE, .rax = 0xffff, .rbx = 0xff))
EXAMPLE("div bl",
        IN(.rax = 0x100, .rbx = 2),
        OUT(.rax = 0x80, .rbx = 2, .flags = AF, .undefined = STATUS))
EXAMPLE("div ebx", IN(.rax = 5, .rdx = 1, .rbx = 1), FAULTS(VECTOR_DE, .rax = 5, .rdx = 1, .rbx = 1))
EXAMPLE("div rbx",
        IN(.rax = 1, .rdx = 1, .rbx = 3),
        OUT(.rax = 0x5555555555555555, .rdx = 2, .rbx = 3, .flags = AF, .undefined = STATUS))
EXAMPLE("idiv bl", IN(.rax = 0xff80, .rbx = 0xff), FAULTS(VECTOR_DE, .rax = 0xff80, .rbx = 0xff))
EXAMPLE("idiv bl",
        IN(.rax = 0xff81, .rbx = 0xff),
        OUT(.rax = 0x7f, .rbx = 0xff, .flags = AF, .undefined = STATUS))
EXAMPLE("idiv rbx",
        IN(.rax = 0x8000000000000000, .rdx = -1, .rbx = -1),
        FAULTS(VECTOR_DE, .rax = 0x8000000000000000, .rdx = -1, .rbx = -1))
EXAMPLE("idiv cx",
        IN(.rax = 0xfff9, .rdx = 0xffff, .rcx = 2),
        OUT(.rax = 0xfffd, .rcx = 2, .rdx = 0xffff, .flags = AF, .undefined = STATUS))

/* ---- shifts and rotates ---- */

EXAMPLE("shl al, 1", IN(.rax = 0xc0), OUT(.rax = 0x80, .flags = CF | AF | SF, .undefined = AF))
EXAMPLE("shl eax, 32",
        IN(.rax = 0xffffffff12345678, .flags = CF | ZF), OUT(.rax = 0x12345678, .flags = CF | ZF))
EXAMPLE("shl rax, 63",
        IN(.rax = 3), OUT(.rax = 0x8000000000000000, .flags = CF | PF | AF | SF, .undefined = AF | OF))
EXAMPLE("shl al, cl",
        IN(.rax = 1, .rcx = 8), OUT(.rcx = 8, .flags = CF | PF | AF | ZF | OF, .undefined = AF | OF))
EXAMPLE("shl ax, cl",
        IN(.rax = 0x18000, .rcx = 32, .flags = OF), OUT(.rax = 0x18000, .rcx = 0x20, .flags = OF))
EXAMPLE("shr al, cl",
        IN(.rax = 0x80, .rcx = 31), OUT(.rcx = 0x1f, .flags = PF | AF | ZF, .undefined = AF | OF))
EXAMPLE("shr rax, 1",
        IN(.rax = 0x8000000000000001),
        OUT(.rax = 0x4000000000000000, .flags = CF | PF | AF | OF, .undefined = AF))
EXAMPLE("sar al, cl",
        IN(.rax = 0x80, .rcx = 31),
        OUT(.rax = 0xff, .rcx = 0x1f, .flags = CF | PF | AF | SF, .undefined = AF | OF))
EXAMPLE("sar eax, 1",
        IN(.rax = 0xffffffff), OUT(.rax = 0xffffffff, .flags = CF | PF | AF | SF, .undefined = AF))
EXAMPLE("rol al, 8", IN(.rax = 0x81), OUT(.rax = 0x81, .flags = CF, .undefined = OF))
EXAMPLE("rol ax, 17", IN(.rax = 0x8001), OUT(.rax = 3, .flags = CF | OF, .undefined = OF))
EXAMPLE("ror al, cl", IN(.rax = 1, .rcx = 1), OUT(.rax = 0x80, .rcx = 1, .flags = CF | OF))
EXAMPLE("ror eax, 0", IN(.rax = 0xf00000001, .flags = CF), OUT(.rax = 1, .flags = CF))
EXAMPLE("rcl al, 9", IN(.rax = 0x81, .flags = CF), OUT(.rax = 0x81, .flags = CF, .undefined = OF))
EXAMPLE("rcl al, 1", IN(.rax = 0x80), OUT(.flags = CF | OF))
EXAMPLE("rcr ax, 17", IN(.rax = 0x8001, .flags = CF), OUT(.rax = 0x8001, .flags = CF | OF, .undefined = OF))
EXAMPLE("rcr al, 1", IN(.rax = 0x01, .flags = CF), OUT(.rax = 0x80, .flags = CF | OF))
EXAMPLE("rcl rax, cl", IN(.rax = 0x8000000000000000, .rcx = 65), OUT(.rcx = 0x41, .flags = CF | OF))
EXAMPLE("shld eax, ebx, 4",
        IN(.rax = 0xf12345678, .rbx = 0xabcdef01),
        OUT(.rax = 0x2345678a, .rbx = 0xabcdef01, .flags = CF | AF | OF, .undefined = AF | OF))
EXAMPLE("shrd rax, rbx, 1",
        IN(.rax = 1, .rbx = 1),
        OUT(.rax = 0x8000000000000000, .rbx = 1, .flags = CF | PF | AF | SF | OF, .undefined = AF))
EXAMPLE("shld ax, bx, 15",
        IN(.rax = 0x8001, .rbx = 0xffff),
        OUT(.rax = 0xffff, .rbx = 0xffff, .flags = PF | AF | SF | OF, .undefined = AF | OF))

/* ---- bits ---- */

EXAMPLE("bt eax, ecx",
        IN(.rax = 2, .rcx = 33), OUT(.rax = 2, .rcx = 0x21, .flags = CF, .undefined = PF | AF | SF | OF))
EXAMPLE("bt [" MEMORY "], rcx", IN(.rcx = -1, .mem = 0), OUT(.rcx = -1, .undefined = PF | AF | SF | OF))
EXAMPLE("bts dword ptr [" MEMORY "], 35", IN(.mem = 0), OUT(.mem = 8, .undefined = PF | AF | SF | OF))
EXAMPLE("btr ax, bx",
        IN(.rax = 0x18000, .rbx = 31),
        OUT(.rax = 0x10000, .rbx = 0x1f, .flags = CF, .undefined = PF | AF | SF | OF))
EXAMPLE("btc qword ptr [" MEMORY "], 63",
        IN(.mem = 1), OUT(.mem = 0x8000000000000001, .undefined = PF | AF | SF | OF))
EXAMPLE("bsf eax, ebx",
        IN(.rax = 0xf00000007, .rbx = 0x80000000),
        OUT(.rax = 0x1f, .rbx = 0x80000000, .undefined = CF | PF | AF | SF | OF))
EXAMPLE("bsr rax, rbx",
        IN(.rbx = 0x8000000000000000),
        OUT(.rax = 0x3f, .rbx = 0x8000000000000000, .flags = PF, .undefined = CF | PF | AF | SF | OF))
EXAMPLE("bsf rax, rbx",
        IN(.rax = 0x1234, .rbx = 0),
        OUT(.rax = 0x1234, .flags = PF | ZF, .undefined = CF | PF | AF | SF | OF))
EXAMPLE("lzcnt ax, bx",
        IN(.rax = 0xf0000, .rbx = 0x10000),
        OUT(.rax = 0xf0010, .rbx = 0x10000, .flags = CF, .undefined = PF | AF | SF | OF))
EXAMPLE("tzcnt eax, ebx",
        IN(.rax = -1, .rbx = 0), OUT(.rax = 0x20, .flags = CF, .undefined = PF | AF | SF | OF))
EXAMPLE("popcnt rax, rbx", IN(.rbx = -1, .flags = CF | OF | SF | AF | PF), OUT(.rax = 0x40, .rbx = -1))
EXAMPLE("blsr eax, ebx",
        IN(.rax = -1, .rbx = 0xf80000000), OUT(.rbx = 0xf80000000, .flags = PF | ZF, .undefined = PF | AF))
EXAMPLE("blsi eax, ebx", IN(.rbx = 0), OUT(.flags = PF | ZF, .undefined = PF | AF))
EXAMPLE("bextr eax, ebx, ecx",
        IN(.rbx = -1, .rcx = 0x4004),
        OUT(.rax = 0xfffffff, .rcx = 0x4004, .rbx = -1, .flags = PF | AF, .undefined = STATUS & ~ZF))
EXAMPLE("bzhi rax, rbx, rcx",
        IN(.rbx = -1, .rcx = 0x1ff),
        OUT(.rax = -1, .rcx = 0x1ff, .rbx = -1, .flags = CF | PF | SF, .undefined = PF | AF))
EXAMPLE("pdep eax, ebx, ecx",
        IN(.rbx = 5, .rcx = 0x80000101), OUT(.rax = 0x80000001, .rcx = 0x80000101, .rbx = 5))
EXAMPLE("pext rax, rbx, rcx",
        IN(.rbx = 0x8000000000000101, .rcx = 0x8000000000000110),
        OUT(.rax = 6, .rcx = 0x8000000000000110, .rbx = 0x8000000000000101))
EXAMPLE("mulx eax, eax, ebx",
        IN(.rax = 5, .rbx = 0x80000000, .rdx = 4), OUT(.rax = 2, .rdx = 4, .rbx = 0x80000000))

/* ---- moves ---- */

EXAMPLE("mov ah, 1", IN(.rax = 0xffffffffffff00ff), OUT(.rax = 0xffffffffffff01ff))
EXAMPLE("mov eax, eax", IN(.rax = 0xf00000001), OUT(.rax = 1))
EXAMPLE("mov ax, bx", IN(.rax = -1, .rbx = 0), OUT(.rax = 0xffffffffffff0000))
EXAMPLE("movzx eax, ah", IN(.rax = 0xffff80ff), OUT(.rax = 0x80))
EXAMPLE("movsx ax, bl", IN(.rax = 0x11110000, .rbx = 0x80), OUT(.rax = 0x1111ff80, .rbx = 0x80))
EXAMPLE("movsxd rax, ebx", IN(.rbx = 0x80000000), OUT(.rax = 0xffffffff80000000, .rbx = 0x80000000))
EXAMPLE("xchg al, ah", IN(.rax = 0x1234), OUT(.rax = 0x3412))
EXAMPLE("xchg eax, ecx", IN(.rax = 0xf00000001, .rcx = 0xe00000002), OUT(.rax = 2, .rcx = 1))
EXAMPLE("cmovz eax, ebx", IN(.rax = 0xf00000001, .rbx = 5), OUT(.rax = 1, .rbx = 5))
EXAMPLE("setnbe ah", IN(.rax = 0xff), OUT(.rax = 0x1ff))
EXAMPLE("cbw; cwde; cdqe", IN(.rax = 0x80), OUT(.rax = -128))
EXAMPLE("cwd; cdq", IN(.rax = 0x8000, .rdx = -1), OUT(.rax = 0x8000))
EXAMPLE("cqo", IN(.rax = 0x8000000000000000), OUT(.rax = 0x8000000000000000, .rdx = -1))
EXAMPLE("bswap eax", IN(.rax = 0xff12345678), OUT(.rax = 0x78563412))
EXAMPLE("movbe ax, [" MEMORY "]", IN(.rax = 0xf0000, .mem = 0x1122), OUT(.rax = 0xf2211, .mem = 0x1122))
EXAMPLE("lea eax, [rax + rax * 8 - 1]", IN(.rax = 0x20000000), OUT(.rax = 0x1fffffff))
EXAMPLE("lea ax, [rbx + 0x7fff]", IN(.rax = 0xf0000, .rbx = 0x8001), OUT(.rax = 0xf0000, .rbx = 0x8001))
EXAMPLE("lahf", IN(.rax = 0xffff, .flags = CF | ZF | OF), OUT(.rax = 0x43ff, .flags = CF | ZF | OF))
EXAMPLE("sahf", IN(.rax = 0xff00, .flags = OF), OUT(.rax = 0xff00, .flags = CF | PF | AF | ZF | SF | OF))
EXAMPLE("cmc", IN(.flags = CF | OF), OUT(.flags = OF))
EXAMPLE("xlatb",
        IN(.rax = 0x108, .rbx = MEMORY_AT - 5, .mem = 0x99887766),
        OUT(.rax = 0x199, .rbx = MEMORY_AT - 5, .mem = 0x99887766))

/* ---- stack ---- */

EXAMPLE("push rsp; pop rax", IN(.rsp = STACK_TOP), OUT(.rax = STACK_TOP, .rsp = STACK_TOP))
EXAMPLE("push rax; push rbx; push rcx; pop rdx; pop rsp",
        IN(.rax = 1, .rbx = STACK_TOP, .rcx = 3, .rsp = STACK_TOP),
        OUT(.rax = 1, .rcx = 3, .rdx = 3, .rbx = STACK_TOP, .rsp = STACK_TOP))
EXAMPLE("push -1; pop qword ptr [" MEMORY "]", IN(.rsp = STACK_TOP), OUT(.rsp = STACK_TOP, .mem = -1))
EXAMPLE("push ax; push bx; pop cx; pop dx",
        IN(.rax = 0x11112222, .rbx = 0x33334444, .rsp = STACK_TOP),
        OUT(.rax = 0x11112222, .rcx = 0x4444, .rdx = 0x2222, .rbx = 0x33334444, .rsp = STACK_TOP))
EXAMPLE("pop qword ptr [rsp + 8]; mov rax, [rsp + 8]", IN(.rsp = STACK_TOP), OUT(.rsp = STACK_TOP + 8))
EXAMPLE("enter 16, 0; mov rax, rbp; leave", IN(.rsp = STACK_TOP), OUT(.rax = STACK_TOP - 8, .rsp = STACK_TOP))
EXAMPLE("call 1f; 1: pop rax", IN(.rsp = STACK_TOP), OUT(.rax = CODE_AT + 5, .rsp = STACK_TOP))
EXAMPLE("push 0x202; popf; pushf; pop rax",
        IN(.rsp = STACK_TOP, .flags = CF | OF | DF), OUT(.rax = 0x202, .rsp = STACK_TOP))
EXAMPLE("pushfq; pop rax",
        IN(.rsp = STACK_TOP, .flags = CF | ZF | OF),
        OUT(.rax = 0xa43, .rsp = STACK_TOP, .flags = CF | ZF | OF))

/* ---- strings ---- */

EXAMPLE("rep stosb",
        IN(.rax = 0xaa, .rcx = 3, .rdi = MEMORY_AT + 1, .mem = 0x1111111111111111),
        OUT(.rax = 0xaa, .rdi = MEMORY_AT + 4, .mem = 0x11111111aaaaaa11))
EXAMPLE("std; rep stosw; cld",
        IN(.rax = 0xabcd, .rcx = 2, .rdi = MEMORY_AT + 4),
        OUT(.rax = 0xabcd, .rdi = MEMORY_AT, .mem = 0xabcdabcd0000))
EXAMPLE("rep movsb",
        IN(.rcx = 7, .rsi = MEMORY_AT, .rdi = MEMORY_AT + 1, .mem = 0x42),
        OUT(.rsi = MEMORY_AT + 7, .rdi = MEMORY_AT + 8, .mem = 0x4242424242424242))
EXAMPLE("repe cmpsb",
        IN(.rcx = 5, .rsi = MEMORY_AT, .rdi = MEMORY_AT + 4, .mem = 0x0102030401020304),
        OUT(.rsi = MEMORY_AT + 5, .rdi = MEMORY_AT + 9, .mem = 0x102030401020304))
EXAMPLE("repne scasb",
        IN(.rax = 0x33, .rcx = 10, .rdi = MEMORY_AT, .mem = 0x4433221100),
        OUT(.rax = 0x33, .rcx = 6, .rdi = MEMORY_AT + 4, .mem = 0x4433221100, .flags = PF | ZF))
EXAMPLE("repe scasb",
        IN(.rax = 0x33, .rcx = 0, .rdi = MEMORY_AT, .flags = CF | SF),
        OUT(.rax = 0x33, .rdi = MEMORY_AT, .flags = CF | SF))
EXAMPLE("rep lodsw",
        IN(.rax = 0xf0000, .rcx = 3, .rsi = MEMORY_AT, .mem = 0x3333222211110000),
        OUT(.rax = 0xf2222, .rsi = MEMORY_AT + 6, .mem = 0x3333222211110000))

/* ---- flags that later ones read ---- */

EXAMPLE("add al, 1; inc rbx; adc rcx, 0", IN(.rax = 0xff), OUT(.rcx = 1, .rbx = 1))
EXAMPLE("cmp eax, ebx; mov ecx, [" MEMORY "]; setl dl; setb dh",
        IN(.rax = 1, .rbx = -1, .mem = 9),
        OUT(.rax = 1, .rcx = 9, .rdx = 0x100, .rbx = -1, .mem = 9, .flags = CF | AF))
EXAMPLE("shl eax, cl; setc dl; seto dh",
        IN(.rax = 0x80000000, .rcx = 0, .flags = CF | OF),
        OUT(.rax = 0x80000000, .rdx = 0x101, .flags = CF | OF))
EXAMPLE("sub eax, 1; rol ebx, 1; setz cl; setc dl",
        IN(.rax = 1, .rbx = 0x80000000), OUT(.rcx = 1, .rdx = 1, .rbx = 1, .flags = CF | PF | ZF | OF))
EXAMPLE("cmp rax, rbx; jl 1f; inc ecx; 1: adc ecx, 0",
        IN(.rax = -2, .rbx = 1), OUT(.rax = -2, .rbx = 1, .flags = PF | ZF))
EXAMPLE("test eax, eax; jns 1f; inc ecx; 1: setz dl", IN(.rax = 0x80000000), OUT(.rax = 0x80000000, .rcx = 1))
EXAMPLE("mov ecx, 5; 1: add rax, rcx; dec ecx; jnz 1b; sbb rdx, rdx",
        IN(.rax = -3), OUT(.rax = 0xc, .flags = PF | ZF))
EXAMPLE("mov ecx, 3; 1: stc; loop 1b; adc eax, eax", IN(.rax = 1), OUT(.rax = 3, .flags = PF))
EXAMPLE("xor ecx, ecx; jrcxz 1f; inc eax; 1: sete bl", IN(.rax = 0), OUT(.rbx = 1, .flags = PF | ZF))
EXAMPLE("add al, 1; div bl", IN(.rax = 0xff), FAULTS(VECTOR_DE, .flags = CF | PF | AF | ZF))
EXAMPLE("imul eax, ebx; setc cl",
        IN(.rax = 2, .rbx = 3, .flags = SF),
        OUT(.rax = 6, .rbx = 3, .flags = SF, .undefined = PF | AF | ZF | SF))
EXAMPLE("add eax, ebx; bt edx, 1; setc cl; setz ch",
        IN(.rax = 1, .rbx = -1, .rdx = 2),
        OUT(.rcx = 0x101, .rdx = 2, .rbx = -1, .flags = CF | PF | AF | ZF, .undefined = PF | AF | SF | OF))

/* ---- encodings that Zydis doesn't know as an AMD decodes them ---- */

EXAMPLE(".byte 0xf2, 0xe1, 1; nop; hlt", IN(.rcx = 5), FAULTS(VECTOR_GP, .rcx = 4), ON_AMD) /* LOOPNE */
EXAMPLE(".byte 0xf3, 0xe0, 1; hlt; inc ebx", IN(.rcx = 5, .flags = ZF), OUT(.rcx = 4, .rbx = 1), ON_AMD) /* LOOPE */
EXAMPLE(".byte 0xf3, 0xf2, 0xe1, 1; hlt; inc ebx", IN(.rcx = 5), OUT(.rcx = 4, .rbx = 1), ON_AMD)
EXAMPLE(".byte 0xf2, 0xf3, 0xe0, 1; hlt; inc ebx", IN(.rcx = 5), FAULTS(VECTOR_GP, .rcx = 4), ON_AMD)
EXAMPLE32("inc ecx; .byte 0xc4, 0xe3, 0xf9, 0x16, 0xc8, 0", IN(.rcx = 5), FAULTS(VECTOR_UD, .rcx = 6, .flags = PF), ON_AMD)
EXAMPLE32(".byte 0xc4, 0xe3, 0xf9, 0x22, 0xc8, 0", IN(.rcx = 5), FAULTS(VECTOR_UD, .rcx = 5), ON_AMD)
EXAMPLE("vmovq xmm1, rax; .byte 0xc4, 0xe3, 0x7d, 0x00, 0xc1, 0; vmovq rbx, xmm0", IN(.rax = 0x123456789),
        OUT(.rax = 0x123456789, .rbx = 0x123456789), ON_AMD) /* VPERMQ without VEX.W */
EXAMPLE("vmovq xmm1, rax; .byte 0xc4, 0xe3, 0x7d, 0x01, 0xc1, 0; vmovq rbx, xmm0", IN(.rax = 0x123456789),
        OUT(.rax = 0x123456789, .rbx = 0x123456789), ON_AMD) /* VPERMPD */
