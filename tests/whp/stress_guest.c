/* SPDX-License-Identifier: MIT */
/* What the processors of the stress do: a loop in 64-bit code that has some of everything two processors can share. */
#include "tests/whp/stress.h"

/*
 * RBX: STRESS_DATA. R15: the processor's number, R14: the mode of its local APIC, R13: its own line in the data, R12:
 * rounds. R11: what it saw last in the code that the other one writes. A failed check goes to port 99h, its number in
 * AL.
 */
__asm__(".pushsection .rodata\n"
        ".intel_syntax noprefix\n"
        ".balign 8\n"
        "stress_code:\n"
        "  test r14d, r14d\n"
        "  jz 2f\n"
        "  cmp r14d, 2\n"
        "  je 1f\n"
        "  mov eax, 0xfee000f0\n" /* SVR: on */
        "  mov dword ptr [rax], 0x1ff\n"
        "  sti\n"
        "  jmp 2f\n"
        "1: mov ecx, 0x80f\n"
        "  mov eax, 0x1ff\n"
        "  xor edx, edx\n"
        "  wrmsr\n"
        "  sti\n"
        "2:\n"
        "stress_round:\n"
        "  inc r12\n"

        /* Counters that lose nothing: in a line, 16 bytes, across lines (now and then, since it stops the other). */
        "  lock inc qword ptr [rbx]\n"
        "  inc qword ptr [r13]\n"
        "  mov rax, [rbx + 0x50]\n"
        "  mov rdx, [rbx + 0x58]\n"
        "1: mov r8, rax\n"
        "  mov rcx, rdx\n"
        "  push rbx\n"
        "  lea r9, [rbx + 0x50]\n"
        "  mov rbx, r8\n"
        "  add rbx, 1\n"
        "  adc rcx, 1\n"
        "  lock cmpxchg16b [r9]\n"
        "  pop rbx\n"
        "  jne 1b\n"
        "  inc qword ptr [r13 + 8]\n"
        "  test r12d, 63\n"
        "  jnz 1f\n"
        "  lock inc qword ptr [rbx + 0x3fc]\n"
        "  inc qword ptr [r13 + 16]\n"
        "1:\n"

        /* A spin lock that protects a plain counter. */
        "1: mov eax, 1\n"
        "  xchg [rbx + 0x80], eax\n"
        "  test eax, eax\n"
        "  jz 2f\n"
        "  pause\n"
        "  jmp 1b\n"
        "2: inc qword ptr [rbx + 0xc0]\n"
        "  mov dword ptr [rbx + 0x80], 0\n"
        "  inc qword ptr [r13 + 24]\n"

        /* Code that it writes itself, seen at once; code that the other one writes, never older than it was. */
        "  test r12d, 7\n"
        "  jnz 3f\n"
        "  mov eax, r15d\n"
        "  shl eax, 12\n"
        "  add eax, 0x30003\n" /* mov eax, imm32; ret */
        "  mov [rax + 1], r12d\n"
        "  call rax\n"
        "  cmp eax, r12d\n"
        "  mov al, 1\n"
        "  jne stress_wrong\n"
        "  mov eax, r15d\n"
        "  shl eax, 12\n"
        "  mov [rax + 0x32004], r12d\n"
        "  xor eax, 0x1000\n"
        "  add eax, 0x32003\n"
        "  call rax\n"
        "  sub eax, r11d\n"
        "  mov ecx, eax\n"
        "  mov al, 2\n"
        "  js stress_wrong\n"
        "  add r11d, ecx\n"
        "3:\n"

        /* An entry of the page tables that it changes, then INVLPG: two frames with their number in them. */
        "  mov eax, r12d\n"
        "  and eax, 1\n"
        "  lea ecx, [eax + 0x34]\n"
        "  shl ecx, 12\n"
        "  or ecx, 3\n"
        "  lea edx, [r15d + 0x10]\n"
        "  mov [0x5000 + rdx * 8], rcx\n"
        "  shl edx, 12\n"
        "  add edx, 0x200000\n"
        "  invlpg [rdx]\n"
        "  cmp [rdx], eax\n"
        "  mov al, 3\n"
        "  jne stress_wrong\n"
        "  test r12d, 255\n"
        "  jnz 1f\n"
        "  mov rax, cr3\n"
        "  mov cr3, rax\n"
        "1:\n"

        /* Pages that come and go, lose and get rights, are code of one kind or another. */
        "  mov edi, 0x200000\n"
        "  inc qword ptr [rdi + r15 * 8]\n"
        "  movups xmm0, [rdi + 0x40]\n"
        "  movups [rdi + 0x80], xmm0\n"
        "  movaps xmm1, [rdi + 0x80]\n"
        "  addps xmm1, [rdi + 0x40]\n"
        "  fild qword ptr [rdi]\n"
        "  fistp qword ptr [rdi + 0x100]\n"
        "  lea rsi, [rdi + 0x200]\n"
        "  add edi, 0x1000\n"
        "  mov ecx, 100\n"
        "  rep movsb\n"
        "  mov eax, r12d\n"
        "  mov ecx, 20\n"
        "  rep stosd\n"
        "  mov eax, 0x202003\n"
        "  call rax\n" /* mov eax, 1 or 2; ret */
        "  dec eax\n"
        "  cmp eax, 1\n"
        "  mov al, 4\n"
        "  ja stress_wrong\n"

        /* Messages to the other processor, and sleep until something comes. */
        "  test r14d, r14d\n"
        "  jz 3f\n"
        "  test r12d, 31\n"
        "  jnz 3f\n"
        "  mov edx, r15d\n"
        "  xor edx, 1\n"
        "  cmp r14d, 2\n"
        "  je 1f\n"
        "  shl edx, 24\n"
        "  mov ecx, 0xfee00300\n"
        "  cli\n"
        "  mov [rcx + 0x10], edx\n"
        "  mov dword ptr [rcx], 0x4041\n"
        "  sti\n"
        "  jmp 2f\n"
        "1: mov ecx, 0x830\n"
        "  mov eax, 0x4041\n"
        "  wrmsr\n"
        "2: inc qword ptr [r13 + 32]\n"
        "  test r12d, 127\n"
        "  jnz 3f\n"
        "  hlt\n"
        "3: test r12d, 1023\n"
        "  jnz stress_round\n"
        "  mfence\n"
        "  rdtsc\n"
        "  xor eax, eax\n"
        "  cpuid\n"
        "  mov ebx, 0x20000\n"
        "  cmp r14d, 0\n"
        "  jne stress_round\n"
        "  hlt\n" /* an exit */
        "  jmp stress_round\n"
        "stress_wrong:\n"
        "  out 0x99, al\n"
        ".balign 8\n"
        "stress_bad:\n" /* exceptions that nobody expects: 100 and the vector */
        ".set number, 100\n"
        ".rept 32\n"
        "  mov al, number\n"
        "  out 0x99, al\n"
        ".balign 8\n"
        ".set number, number + 1\n"
        ".endr\n"
        "stress_nmi:\n"
        "  lock inc qword ptr [0x20140]\n" /* RBX may be in other use */
        "  iretq\n"
        "stress_interrupt:\n"
        "  push rax\n"
        "  push rcx\n"
        "  push rdx\n"
        "  lock inc qword ptr [0x20180]\n"
        "  cmp r14d, 2\n"
        "  je 1f\n"
        "  mov eax, 0xfee000b0\n"
        "  mov dword ptr [rax], 0\n"
        "  jmp 2f\n"
        "1: mov ecx, 0x80b\n"
        "  xor eax, eax\n"
        "  xor edx, edx\n"
        "  wrmsr\n"
        "2: pop rdx\n"
        "  pop rcx\n"
        "  pop rax\n"
        "  iretq\n"
        "stress_code_end:\n"
        ".att_syntax prefix\n"
        ".popsection\n");

extern const u8 stress_code[], stress_code_end[], stress_bad[], stress_nmi[], stress_interrupt[];

enum {
    GDT = 0x1000,
    PML4 = 0x2000,
    PDPT = 0x3000,
    PD = 0x4000,
    TABLE = 0x5000,
    PD_HIGH = 0x6000,
    IDT = 0x7000,
    CODE_AT = 0x8000
};

static void put(struct stress *s, u32 gpa, u64 value)
{
    memcpy(s->memory + gpa, &value, 8);
}

static void put_gate(struct stress *s, u32 vector, const u8 *handler)
{
    u64 to = CODE_AT + (u64)(handler - stress_code);

    put(s, IDT + vector * 16, (to & 0xffff) | 8 << 16 | (u64)0x8e << 40 | (to >> 16 & 0xffff) << 48);
}

void stress_fill(struct stress *s)
{
    static const u8 answer[] = { 0xb8, 0, 0, 0, 0, 0xc3 };

    memcpy(s->memory + CODE_AT, stress_code, (size_t)(stress_code_end - stress_code));
    for (u32 at = 0; at < 0x400; at += 8) /* an NMI to the third processor: nothing is there; its stack is at fffa */
        put(s, at, 0xf000fff0f000fff0);
    put(s, GDT + 8, 0x00af9b000000ffff);
    put(s, GDT + 16, 0x00cf93000000ffff);
    for (u32 vector = 0; vector < 256; vector++)
        put_gate(s, vector, vector == 2 ? stress_nmi : vector < 32 ? stress_bad + 8 * vector : stress_interrupt);
    put(s, PML4, PDPT | 7);
    put(s, PDPT, PD | 7);
    put(s, PDPT + 3 * 8, PD_HIGH | 7);
    put(s, PD, 0xe7);
    put(s, PD + 8, TABLE | 7);
    for (u32 i = 0; i < 512; i++) {
        put(s, TABLE + i * 8, (STRESS_TARGET + i * 0x1000) | 7);
        put(s, PD_HIGH + i * 8, (0xc0000000 + ((u64)i << 21)) | 0xe7);
    }
    for (u32 at = 0x30003; at < 0x34000; at += 0x1000)
        memcpy(s->memory + at, answer, sizeof answer);
    put(s, 0x35000, 1);
    for (u32 i = 0; i < 2; i++) { /* the pages that are mapped in turn: with code that answers otherwise in each */
        for (u32 n = 0; n < STRESS_PAGES; n++)
            memcpy(s->target[i] + n * 0x1000 + 3, answer, sizeof answer);
        s->target[i][2 * 0x1000 + 4] = (u8)(1 + i);
    }
}

static void set(struct stress *s, u32 vp, WHV_REGISTER_NAME name, u64 value)
{
    WHV_REGISTER_VALUE v = { .Reg64 = value };

    ck_ok(WHvSetVirtualProcessorRegisters(s->partition, vp, &name, 1, &v));
}

void stress_start(struct stress *s, u32 vp)
{
    static const WHV_REGISTER_NAME names[] = { WHvX64RegisterCs,   WHvX64RegisterSs,   WHvX64RegisterDs,
                                               WHvX64RegisterEs,   WHvX64RegisterGdtr, WHvX64RegisterIdtr,
                                               WHvX64RegisterCr0,  WHvX64RegisterCr3,  WHvX64RegisterCr4,
                                               WHvX64RegisterEfer };
    WHV_REGISTER_VALUE v[sizeof names / sizeof *names];

    memset(v, 0, sizeof v);
    for (unsigned i = 0; i < 4; i++) {
        v[i].Segment.Limit = 0xffffffff;
        v[i].Segment.Selector = i ? 16 : 8;
        v[i].Segment.Attributes = i ? 0xc093 : 0xa09b;
    }
    v[4].Table = (WHV_X64_TABLE_REGISTER){ .Base = GDT, .Limit = 23 };
    v[5].Table = (WHV_X64_TABLE_REGISTER){ .Base = IDT, .Limit = 0xfff };
    v[6].Reg64 = 0x80000031;
    v[7].Reg64 = PML4;
    v[8].Reg64 = 0x620; /* SSE, and no UMIP */
    v[9].Reg64 = 0xd00;
    ck_ok(WHvSetVirtualProcessorRegisters(s->partition, vp, names, sizeof names / sizeof *names, v));
    if (s->mode == WHvX64LocalApicEmulationModeX2Apic)
        set(s, vp, WHvX64RegisterApicBase, 0xfee00c00 | (vp ? 0 : 0x100));
    if (s->mode) /* a second one waits for a SIPI */
        set(s, vp, WHvRegisterInternalActivityState, 0);
    set(s, vp, WHvX64RegisterRsp, 0xf000 - vp * 0x1000);
    set(s, vp, WHvX64RegisterRip, CODE_AT);
    set(s, vp, WHvX64RegisterRbx, STRESS_DATA);
    set(s, vp, WHvX64RegisterR15, vp);
    set(s, vp, WHvX64RegisterR14, s->mode);
    set(s, vp, WHvX64RegisterR13, STRESS_DATA + 0x1000 + vp * 0x40);
}

static u64 get(struct stress *s, u32 at)
{
    u64 v;

    memcpy(&v, s->memory + STRESS_DATA + at, 8);
    return v;
}

/* Each processor may stand between a shared count and its own. */
static void check_sum(struct stress *s, const char *what, u32 shared, u32 own)
{
    u64 sum = get(s, 0x1000 + own) + get(s, 0x1040 + own), all = get(s, shared);

    ck_assert_msg(all - sum <= 2, "%s: %llu, the processors counted %llu", what, (unsigned long long)all,
                  (unsigned long long)sum);
}

void stress_check(struct stress *s)
{
    check_sum(s, "lock inc", 0, 0);
    check_sum(s, "lock cmpxchg16b", 0x50, 8);
    check_sum(s, "lock cmpxchg16b, high", 0x58, 8);
    check_sum(s, "lock inc across lines", 0x3fc, 16);
    check_sum(s, "under a spin lock", 0xc0, 24);
    ck_assert_uint_gt(get(s, 0x1000), 0);
    ck_assert_uint_gt(get(s, 0x1040), 0);
    if (s->mode)
        ck_assert_uint_gt(get(s, 0x180), 0);
}
