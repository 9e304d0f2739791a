/* SPDX-License-Identifier: MIT */
/*
 * Code that changes: by its own stores, through other addresses of its page, by other page tables, by the
 * host between Runs. Each piece of code stands at 8000, runs to a HLT, and wants a value in EAX; in whole
 * blocks and count by count.
 */
#include <stdlib.h>

#include "tests/whp/guest.h"
#include "tests/cpu/sequences.h"

TCase *rewrite_case(void);

enum {
    TABLE = 0x20000, /* of the pages at ALIAS; a second set of tables has its own */
    SECOND_ROOT = 0x30000,
    SECOND_TABLE = 0x33000,
    ALIAS = 0x200000,      /* linear: the code's pages again, 8000 to b000 */
    PAGE_A = 0xa000,       /* MOV EAX, 1; RET */
    PAGE_B = 0xb000,       /* MOV EAX, 2; RET */
    MOVED = ALIAS + 0x2000 /* linear: page A; with the second set of tables page B */
};

/* Code as people write it; AT(label) is its address in the guest. */
#define AT(label) "(" #label " - 0b + 0x8000)"
#define PIECE(name, text)                                                                                    \
    extern const u8 name[], name##_end[];                                                                    \
    __asm__(".pushsection .rodata\n.intel_syntax noprefix\n" #name ":\n0:\n" text "\n" #name                 \
            "_end:\n.att_syntax prefix\n.popsection\n")

PIECE(next_instruction, "mov byte ptr [rip + 1f + 1], 7; 1: mov eax, 1; hlt");
PIECE(later_in_the_block,
      "mov byte ptr [rip + 1f + 1], 7; inc ebx; add ecx, ebx; mov edx, ecx; 1: mov eax, 1; hlt");
PIECE(through_an_alias, "mov byte ptr [0x200000 - 0x8000 + " AT(1f) " + 1], 7; 1: mov eax, 1; hlt");
PIECE(an_instruction_gets_longer,
      "mov word ptr [rip + 1f], 0x05b0; 1: nop; nop; movzx eax, al; add eax, 2; hlt");
PIECE(a_rep_movsb,
      "lea rsi, [rip + 2f]; lea rdi, [rip + 1f]; mov ecx, 5; rep movsb; 1: mov eax, 1; hlt; 2: mov eax, 7");
PIECE(a_rep_movsb_downwards, "lea rsi, [rip + 2f + 4]; lea rdi, [rip + 1f + 4]; mov ecx, 5; std; rep movsb; "
                             "1: mov eax, 1; hlt; 2: mov eax, 7");
PIECE(a_rep_stosb_over_itself, /* its first round makes NOPs of REP and all: it is fetched again */
      "mov al, 0x90; lea rdi, [rip + 1f]; mov ecx, 9; xor ebx, ebx; 1: rep stosb; add ebx, 1; add ebx, 1; "
      "nop; mov eax, 7; add eax, ebx; hlt");
PIECE(two_pushes,
      "mov rax, 0x90909000000007b8; mov rcx, 0x9090909090909090; lea rsp, [rip + 1f + 16];"
      "push rcx; push rax; 1: mov eax, 1; nop; nop; nop; inc eax; inc eax; inc eax; inc eax; hlt");
PIECE(a_call,
      "lea rsp, [rip + 2f + 8]; call 1f; 1: nop; lea rbx, [rip + 1b]; xor eax, eax; cmp rbx, [rip + 2f];"
      "sete al; imul eax, eax, 7; hlt; 2: .quad 0");
PIECE(a_pop_to_memory, "lea rsp, [rip + 2f]; pop qword ptr [rip + 1f]; 1: mov eax, 1; nop; nop; nop; hlt;"
                       "2: mov eax, 7; nop; nop; nop");
PIECE(an_sse_store, "movups xmm0, [rip + 2f]; movups [rip + 1f], xmm0; 1: mov eax, 1; .fill 11, 1, 0x90; hlt;"
                    "2: mov eax, 7; .fill 11, 1, 0x90");
PIECE(an_x87_store,
      "fild qword ptr [rip + 2f]; fistp qword ptr [rip + 1f]; 1: mov eax, 1; nop; nop; nop; hlt;"
      "2: mov eax, 7; nop; nop; nop");
PIECE(a_locked_instruction, "lock add dword ptr [rip + 1f + 1], 6; 1: mov eax, 1; hlt");
PIECE(an_exchange,
      "mov ebx, 7; xchg [rip + 1f + 1], ebx; 1: mov eax, 0x100; add eax, ebx; sub eax, 0x100; hlt");
PIECE(a_bit, "bts dword ptr [rip + 1f + 1], 1; btr dword ptr [rip + 1f + 1], 3; 1: mov eax, 13; hlt");
PIECE(an_immediate_in_a_loop,
      "xor eax, eax; mov ecx, 3; 2: add dword ptr [rip + 1f + 1], 1; 1: add eax, 0x7f000000;"
      "sub eax, 0x7f000000; loop 2b; hlt");
PIECE(a_hot_loop, /* 100 rounds; from the 50th on it adds 2 */
      "xor eax, eax; mov ecx, 100; 2: cmp ecx, 50; jne 1f; mov byte ptr [rip + 1f + 2], 2; 1: add eax, 1; "
      "dec ecx; jnz 2b; sub eax, 143; hlt");
PIECE(where_a_branch_goes, /* the JNZ goes to 3 instead of 2 after three rounds */
      "xor eax, eax; mov ecx, 100; 2: inc eax; dec ecx; cmp ecx, 97; jne 4f;"
      "mov byte ptr [rip + 1f - 1], 3f - 1f; 4: nop; test ecx, ecx; jnz 2b;"
      "1: add eax, 50; hlt; 3: add eax, 4; hlt");
PIECE(a_function_between_calls,
      "mov esp, 0x7ff0; call 1f; mov byte ptr [rip + 1f + 1], 6; push rax; call 1f; pop rbx;"
      "add eax, ebx; hlt; 1: mov eax, 1; ret");
PIECE(behind_a_call, /* the return's own way back is overwritten */
      "mov esp, 0x7ff0; mov ecx, 2; 2: call 3f; 1: mov eax, 1; dec ecx; jnz 2b; hlt;"
      "3: cmp ecx, 1; jne 4f; mov byte ptr [rip + 1b + 1], 7; 4: ret");
PIECE(behind_an_indirect_jump, "lea rbx, [rip + 1f]; mov ecx, 3; 2: dec ecx; jmp rbx; hlt; 1: mov eax, 1;"
                               "mov byte ptr [rip + 1b + 1], 7; test ecx, ecx; jnz 2b; hlt");
PIECE(across_pages, /* an 8-byte store over the end of one page and code at the start of the next */
      "mov esp, 0x7ff0; call 1f; mov rbx, 0x9000000007b89090; mov [rip + 1f - 2], rbx; call 1f; hlt;"
      ".fill 0x1000 - (. - 0b), 1, 0x90; 1: mov eax, 1; nop; ret");
PIECE(the_second_part_of_an_instruction, /* which begins on the page before */
      "mov esp, 0x7ff0; call 1f; mov byte ptr [rip + 1f + 2], 7; call 1f; shr eax, 8; hlt;"
      ".fill 0x0ffe - (. - 0b), 1, 0x90; 1: mov eax, 0x100; ret");
PIECE(the_first_part_of_an_instruction,
      "mov esp, 0x7ff0; mov ecx, 1; call 1f; mov byte ptr [rip + 1f], 0xb8; call 1f;"
      "sub eax, 1; hlt; .fill 0x0ffe - (. - 0b), 1, 0x90; 1: mov ecx, 8; ret");
PIECE(another_page_by_invlpg,
      "mov esp, 0x7ff0; mov ebp, 0x202000; call rbp; mov ebx, eax; mov dword ptr [0x20010], 0xb007;"
      "invlpg [rbp]; call rbp; shl eax, 1; add eax, ebx; add eax, 2; hlt");
PIECE(another_page_by_cr3,
      "mov esp, 0x7ff0; mov ebp, 0x202000; call rbp; mov ebx, eax; mov dword ptr [0x20010], 0xb007;"
      "call rbp; mov rcx, cr3; mov cr3, rcx; call rbp; shl eax, 1; add eax, ebx; add eax, 2; hlt");
PIECE(other_tables_each_time, /* 1 + 2 + 1 + 2 + 1 */
      "mov esp, 0x7ff0; mov ebp, 0x202000; mov ecx, 5; xor ebx, ebx; mov rsi, cr3; mov edi, 0x30000;"
      "1: call rbp; add ebx, eax; xchg rsi, rdi; mov cr3, rsi; loop 1b; mov eax, ebx; hlt");
PIECE(
    one_function_at_two_addresses, /* linear 202000 and a000: patched through the one, called by the other */
    "mov esp, 0x7ff0; mov ebx, 0x202000; mov ebp, 0xa000; call rbx; call rbp; mov byte ptr [rbx + 1], 3; "
    "call rbp;"
    "mov ecx, eax; mov byte ptr [rbp + 1], 4; call rbx; add eax, ecx; hlt");
#define SECOND_PAGES /* an instruction that begins on the page before 202000: its end is on page A or B */            \
    ".fill 0x1fff - (. - 0b), 1, 0x90; .byte 0xb8; .long 3; ret;"                                              \
    ".fill 0x3000 - (. - 0b), 1, 0x90; .long 4; ret"
PIECE(the_second_page_is_another_by_invlpg,
      "mov esp, 0x7ff0; mov ebp, 0x201fff; call rbp; mov ebx, eax; mov dword ptr [0x20010], 0xb007;"
      "invlpg [0x202000]; call rbp; add eax, ebx; hlt;" SECOND_PAGES);
PIECE(the_second_page_is_another_by_cr3, /* 3 + 4 + 3 + 4 - 7 */
      "mov esp, 0x7ff0; mov ebp, 0x201fff; mov ecx, 4; xor ebx, ebx; mov rsi, cr3; mov edi, 0x30000;"
      "1: call rbp; add ebx, eax; xchg rsi, rdi; mov cr3, rsi; loop 1b; lea eax, [rbx - 7]; hlt;" SECOND_PAGES);
PIECE(no_invlpg_for_code, /* the TLB may keep the old page, ours does: 3, 3 and, once it is flushed, 4 */
      "mov esp, 0x7ff0; mov ebp, 0x201fff; call rbp; mov ebx, eax; mov dword ptr [0x20010], 0xb007;"
      "call rbp; add ebx, eax; mov rcx, cr3; mov cr3, rcx; call rbp; lea eax, [rbx + rax - 3]; hlt;" SECOND_PAGES);
PIECE(no_invlpg_for_data,
      "nop; mov eax, [0x202000]; mov dword ptr [0x20010], 0xb007; mov ebx, [0x202000]; sub eax, ebx;"
      "invlpg [0x202000]; add eax, [0x202000]; add eax, 3; hlt;" SECOND_PAGES);
PIECE(with_another_bank_of_translations,
      "mov esp, 0x7ff0; call 1f; pushfq; or dword ptr [rsp], 0x40000; popfq;"
      "mov byte ptr [rip + 1f + 1], 7; call 1f; hlt; 1: mov eax, 1; ret");

struct piece {
    const char *name;
    const u8 *code, *end;
    u32 want;
};

#define ROW(name)                                                                                            \
    {                                                                                                        \
#name, name, name##_end, 7                                                                           \
    }
static const struct piece pieces[] = {
    ROW(next_instruction),
    ROW(later_in_the_block),
    ROW(through_an_alias),
    ROW(an_instruction_gets_longer),
    ROW(a_rep_movsb),
    ROW(a_rep_movsb_downwards),
    { "a_rep_stosb_over_itself", a_rep_stosb_over_itself, a_rep_stosb_over_itself_end, 9 },
    ROW(two_pushes),
    ROW(a_call),
    ROW(a_pop_to_memory),
    ROW(an_sse_store),
    ROW(an_x87_store),
    ROW(a_locked_instruction),
    ROW(an_exchange),
    ROW(a_bit),
    { "an_immediate_in_a_loop", an_immediate_in_a_loop, an_immediate_in_a_loop_end, 6 },
    ROW(a_hot_loop),
    ROW(where_a_branch_goes),
    ROW(a_function_between_calls),
    ROW(behind_a_call),
    ROW(behind_an_indirect_jump),
    ROW(across_pages),
    ROW(the_second_part_of_an_instruction),
    ROW(the_first_part_of_an_instruction),
    ROW(another_page_by_invlpg),
    ROW(another_page_by_cr3),
    ROW(other_tables_each_time),
    ROW(one_function_at_two_addresses),
    ROW(the_second_page_is_another_by_invlpg),
    ROW(the_second_page_is_another_by_cr3),
    ROW(no_invlpg_for_code),
    ROW(no_invlpg_for_data),
    ROW(with_another_bank_of_translations),
};
enum { PIECES = sizeof pieces / sizeof *pieces };

static void put_entry(struct guest *g, u32 at, u64 value)
{
    memcpy(g->memory + at, &value, 8);
}

static void open_guest(struct guest *g, const u8 *code, const u8 *end)
{
    static const u8 function_a[] = { 0xb8, 1, 0, 0, 0, 0xc3 }, function_b[] = { 0xb8, 2, 0, 0, 0, 0xc3 };

    guest_open(g, GUEST_LONG, code, (size_t)(end - code));
    guest_set(g, WHvX64RegisterCr4, CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT);
    put_entry(g, 0x4008, TABLE | 7); /* the second 2 MiB of guest.h's tables */
    put_entry(g, SECOND_ROOT, (SECOND_ROOT + 0x1000) | 7);
    put_entry(g, SECOND_ROOT + 0x1000, (SECOND_ROOT + 0x2000) | 7);
    put_entry(g, SECOND_ROOT + 0x2000, 0xe7);
    put_entry(g, SECOND_ROOT + 0x2008, SECOND_TABLE | 7);
    for (u32 i = 0; i < 4; i++) {
        put_entry(g, TABLE + 8 * i, (0x8000 + i * 0x1000) | 7);
        put_entry(g, SECOND_TABLE + 8 * i, (i == 2 ? PAGE_B : 0x8000 + i * 0x1000) | 7);
    }
    if (end - code <= PAGE_A - 0x8000) {
        memcpy(g->memory + PAGE_A, function_a, sizeof function_a);
        memcpy(g->memory + PAGE_B, function_b, sizeof function_b);
    }
}

/* Where the pages at ALIAS lead: to the code's own, or to the same memory at other guest-physical addresses. */
enum way { SAME_GPA, OTHER_GPA, OTHER_GPA_LATER, WAYS };
enum { OTHER = 0x40000000 };

static void add_other_gpa(struct guest *g)
{
    ck_ok(WHvMapGpaRange(g->partition, g->memory + 0x8000, OTHER, 0x4000, (WHV_MAP_GPA_RANGE_FLAGS)7));
    for (u32 i = 0; i < 4; i++) {
        put_entry(g, TABLE + 8 * i, (OTHER + i * 0x1000) | 7);
        put_entry(g, SECOND_TABLE + 8 * i, (OTHER + (i == 2 ? 3 : i) * 0x1000) | 7);
    }
}

/* step: counts of each Run; 0: one Run. */
static void runs_as_wanted(const struct piece *p, enum way way, u64 step)
{
    struct guest g;
    u64 n = 0;

    open_guest(&g, p->code, p->end);
    if (way == OTHER_GPA_LATER) {
        n = 1;
        ck_ok(SwhpRunVirtualProcessorUntil(g.partition, 0, n, &g.exit, sizeof g.exit));
    }
    if (way != SAME_GPA)
        add_other_gpa(&g);
    if (!step)
        guest_run(&g);
    else
        do {
            n += step;
            ck_ok(SwhpRunVirtualProcessorUntil(g.partition, 0, n, &g.exit, sizeof g.exit));
        } while (g.exit.ExitReason == SwhpRunVpExitReasonCount && n < 10000);
    ck_assert_msg(g.exit.ExitReason == WHvRunVpExitReasonX64Halt, "%s, way %d, in steps of %u: exit %x at %llx",
                  p->name, way, (u32)step, (u32)g.exit.ExitReason, (unsigned long long)g.exit.VpContext.Rip);
    ck_assert_msg(guest_get(&g, WHvX64RegisterRax) == p->want, "%s, way %d, in steps of %u: %llx, not %x", p->name, way,
                  (u32)step, (unsigned long long)guest_get(&g, WHvX64RegisterRax), p->want);
    guest_close(&g);
}

START_TEST(code_that_changes_runs_as_it_stands)
{
    static const u64 steps[] = { 0, 1, 2, 3, 7 };

    for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++)
        runs_as_wanted(&pieces[_i % PIECES], (enum way)(_i / PIECES), steps[i]);
}
END_TEST

PIECE(asks_the_host, "mov esp, 0x7ff0; 2: call 1f; hlt; jmp 2b; .fill 0x0ffb - (. - 0b), 1, 0x90; 1: mov "
                     "eax, 1; nop; nop; ret");

/* Each Run sees what the host wrote before it, on either page. */
START_TEST(what_the_host_writes_between_runs_is_seen)
{
    struct guest g;

    open_guest(&g, asks_the_host, asks_the_host_end);
    for (u32 i = 1; i < 20; i++) {
        g.memory[0x8ffc] = (u8)i;
        if (i == 10) { /* ADD EAX, 64 where the NOPs were, past the page's end */
            static const u8 add[] = { 0x83, 0xc0, 64, 0xc3 };

            memcpy(g.memory + 0x9000, add, 4);
        }
        ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
        ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRax), i + (i < 10 ? 0 : 64));
    }
    guest_close(&g);
}
END_TEST

/* An instruction that the limit of CS cuts off is #GP, and so it isn't once it is another; the page ends with the segment. */
START_TEST(what_the_limit_cut_off_is_looked_at_again)
{
    struct guest g;

    guest_open(&g, GUEST_REAL, "", 1);
    guest_enable_exits(&g, 4, 1 << 13);
    for (u32 i = 0; i < 4; i++) {
        memcpy(g.memory + 0xfffe, i & 1 ? "\xb0\x07" : "\xbb\x07", 2); /* MOV AL, 7, and two bytes of MOV BX */
        guest_set(&g, WHvX64RegisterRax, 0);
        guest_set(&g, WHvX64RegisterRip, 0xfffe);
        ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonException);
        ck_assert_uint_eq(g.exit.VpException.ExceptionType, 13);
        ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRip), i & 1 ? 0x10000 : 0xfffe);
        ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRax), i & 1 ? 7 : 0);
    }
    guest_close(&g);
}
END_TEST

/* Mapped over by other memory, code is what that holds. */
START_TEST(memory_mapped_over_code_is_what_runs)
{
    struct guest g;
    u8 *other = aligned_alloc(4096, 4096);

    open_guest(&g, asks_the_host, asks_the_host_end);
    for (u32 i = 0; i < 6; i++) {
        memcpy(other, g.memory + 0x8000, 4096);
        other[0xffc] = 9;
        ck_ok(WHvMapGpaRange(g.partition, i & 1 ? other : g.memory + 0x8000, 0x8000, 4096,
                             (WHV_MAP_GPA_RANGE_FLAGS)7));
        ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
        ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRax), i & 1 ? 9 : 1);
    }
    guest_close(&g);
    free(other);
}
END_TEST

TCase *rewrite_case(void)
{
    TCase *t = tcase_create("rewrite");

    tcase_add_loop_test(t, code_that_changes_runs_as_it_stands, 0, WAYS * PIECES);
    tcase_add_test(t, what_the_host_writes_between_runs_is_seen);
    tcase_add_test(t, what_the_limit_cut_off_is_looked_at_again);
    tcase_add_test(t, memory_mapped_over_code_is_what_runs);
    return t;
}
