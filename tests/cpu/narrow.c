/* SPDX-License-Identifier: MIT */
/*
 * Sequences in segments of their own that once differed, on softwhp and, where it is an AMD's, on the host. The stack is at
 * STACK_AT from offset 0 on, data of DS and ES at DATA_AT, code at CODE_AT; the sequence ends at a fault, a HLT's if no other.
 */
#include <check.h>
#include <string.h>

#include "tests/cpu/sequences.h"

TCase *narrow_case(void);

enum { STACK_IS_16 = 1, CODE_IS_EXECUTE_ONLY = 2, DATA_ENDS_AT_LIMIT = 4, DATA_IS_ODD = 8, LIMIT = 0xffff };

struct row {
    const char *name, *code;
    u8 size, mode, how;
    u64 rax, rcx, rdx, rbx, rsp, rbp;  /* before */
    u64 end_rsp, end_rbp;
    u32 rip, vector, cr2;
    u32 at;       /* of a word that is looked at */
    u32 word;
};

#define CODE(text) .code = text, .size = sizeof text - 1
#define STACK_SELECTOR LDT_SELECTOR(LDT_OF(SS))

static const struct row rows[] = {
    { "ENTER of 32 bits on a 16-bit stack", CODE("\xc8\x08\0\0"), .mode = 32, .how = STACK_IS_16, .rsp = 0x12342000,
      .rbp = 0x77, .end_rsp = 0x12341ff4, .end_rbp = 0x12341ffc, .rip = 4, .vector = VECTOR_GP, .at = STACK_AT + 0x1ffc,
      .word = 0x77 },
    { "ENTER of 32 bits, nested", CODE("\xc8\x08\0\1"), .mode = 32, .how = STACK_IS_16, .rsp = 0x12342000, .rbp = 0x77,
      .end_rsp = 0x12341ff0, .end_rbp = 0x12341ffc, .rip = 4, .vector = VECTOR_GP, .at = STACK_AT + 0x1ffa, .word = 0x1234 },
    { "ENTER of 16 bits", CODE("\xc8\x08\0\0"), .mode = 16, .how = STACK_IS_16, .rsp = 0x12342000, .rbp = 0x770077,
      .end_rsp = 0x12341ff6, .end_rbp = 0x771ffe, .rip = 4, .vector = VECTOR_GP, .at = STACK_AT + 0x1ffe, .word = 0x77 },
    { "PUSHA with room for three", CODE("\x60"), .mode = 16, .how = STACK_IS_16, .rax = 1, .rcx = 2, .rdx = 3, .rbx = 4,
      .rsp = 6, .end_rsp = 6, .vector = VECTOR_PF, .cr2 = STACK_AT + 0xfffe, .at = STACK_AT, .word = 3 },
    { "PUSHAD with room for one", CODE("\x66\x60"), .mode = 16, .how = STACK_IS_16, .rax = 0x10002, .rcx = 2, .rsp = 4,
      .end_rsp = 4, .vector = VECTOR_PF, .cr2 = STACK_AT + 0xfffc, .at = STACK_AT + 2, .word = 1 },
    { "far CALL with room for CS", CODE("\x9a\x10\0\x17\0"), .mode = 16, .how = STACK_IS_16, .rsp = 2, .end_rsp = 2,
      .vector = VECTOR_PF, .cr2 = STACK_AT + 0xfffe, .at = STACK_AT, .word = 0x17 },
    { "MASKMOVDQU to CS", CODE("\x2e\x66\x0f\xf7\xc0"), .mode = 16, .vector = VECTOR_GP },
    { "MASKMOVDQU to SS", CODE("\x66\x0f\x76\xc0\x36\x66\x0f\xf7\xc0"), .mode = 16, .rip = 9, .vector = VECTOR_GP,
      .at = STACK_AT, .word = 0xffff },
    { "MASKMOVQ to SS", CODE("\x0f\x76\xc0\x36\x0f\xf7\xc0"), .mode = 32, .rip = 7, .vector = VECTOR_GP, .at = STACK_AT + 6,
      .word = 0xffff },
    { "CLZERO of CS", CODE("\x2e\x0f\x01\xfc"), .mode = 16, .vector = VECTOR_GP },
    /* PCMPEQD XMM0, XMM0; MOVUPS SS:[0], XMM0; CLZERO */
    { "CLZERO of SS", CODE("\x66\x0f\x76\xc0\x36\x0f\x11\x06\0\0\x36\x0f\x01\xfc"), .mode = 16, .rip = 14,
      .vector = VECTOR_GP, .at = STACK_AT, .word = 0 },
    { "CLZERO of DS, of several", CODE("\x66\x0f\x76\xc0\x0f\x11\x06\0\0\x36\x2e\x3e\x0f\x01\xfc"), .mode = 16, .rip = 15,
      .vector = VECTOR_GP, .at = DATA_AT, .word = 0 },
    { "CLZERO of SS, past its limit", CODE("\x36\x0f\x01\xfc"), .mode = 32, .rax = LIMIT + 1, .vector = VECTOR_SS },
    { "CLZERO of a line that the segment begins in", CODE("\x66\x0f\x76\xc0\x0f\x11\x06\x38\x01\x0f\x01\xfc"), .mode = 16,
      .how = DATA_IS_ODD, .rax = 0x13a, .rip = 12, .vector = VECTOR_GP, .at = DATA_AT + 0x148, .word = 0 },
    { "CLZERO of less than a line", CODE("\x0f\x01\xfc"), .mode = 16, .how = DATA_IS_ODD, .rax = 3, .vector = VECTOR_GP },
    { "CLFLUSH of execute-only code", CODE("\x2e\x0f\xae\x3f"), .mode = 16, .how = CODE_IS_EXECUTE_ONLY, .rip = 4,
      .vector = VECTOR_GP },
    { "FNSTENV whose fields wrap", CODE("\xd9\x36\xf8\xff"), .mode = 16, .how = DATA_ENDS_AT_LIMIT, .rip = 4,
      .vector = VECTOR_GP, .at = CODE_AT + 0x2000, .word = 0 },
    { "FNSTENV, a field across the limit", CODE("\xd9\x36\xf9\xff"), .mode = 16, .how = DATA_ENDS_AT_LIMIT,
      .vector = VECTOR_GP, .at = DATA_AT + 0x1ff9, .word = 0x37f },
    { "FNSAVE, a register across the limit", CODE("\xdd\x36\xeb\xff"), .mode = 16, .how = DATA_ENDS_AT_LIMIT,
      .vector = VECTOR_GP, .at = DATA_AT + 0x1fef, .word = 0xffff },
    { "FRSTOR, a register across the limit", CODE("\xdd\x26\xeb\xff"), .mode = 16, .how = DATA_ENDS_AT_LIMIT,
      .vector = VECTOR_GP },
    { "a load of execute-only code", CODE("\x2e\x8a\x3f"), .mode = 16, .how = CODE_IS_EXECUTE_ONLY, .vector = VECTOR_GP },
};

static void start_at(const struct row *r, struct state *s)
{
    bool is_big = r->mode == 32;

    memset(s, 0, sizeof *s);
    for (unsigned i = ES; i <= GS; i++) {
        s->selector[i] = LDT_SELECTOR(LDT_OF(i));
        s->ldt[LDT_OF(i)] = (struct descriptor){ .base = DATA_AT, .limit = LIMIT, .is_big = is_big };
    }
    if (r->how & DATA_ENDS_AT_LIMIT)
        s->ldt[LDT_OF(DS)].base = DATA_AT + DATA_SIZE - 1 - LIMIT;
    if (r->how & DATA_IS_ODD)
        s->ldt[LDT_OF(DS)].base += 8;
    s->ldt[LDT_OF(CS)] = (struct descriptor){ .base = CODE_AT, .limit = LIMIT, .is_big = is_big, .is_code = true,
                                              .is_fixed = r->how & CODE_IS_EXECUTE_ONLY };
    s->ldt[LDT_OF(SS)] = (struct descriptor){ .base = STACK_AT, .limit = LIMIT, .is_big = !(r->how & STACK_IS_16) };
    s->mode = r->mode;
    s->rflags = 0x202;
    s->fcw = 0x37f;
    s->mxcsr = 0x1f80;
    s->gpr[RAX] = r->rax;
    s->gpr[RCX] = r->rcx;
    s->gpr[RDX] = r->rdx;
    s->gpr[RBX] = r->rbx;
    s->gpr[RSP] = r->rsp;
    s->gpr[RBP] = r->rbp;
}

static void fill(const struct row *r, const struct arena *a)
{
    memset(a->code, 0xf4, CODE_SIZE);
    memcpy(a->code, r->code, r->size);
    memset(a->data, 0, DATA_SIZE);
    memset(a->stack, 0, STACK_SIZE);
}

static void compare(const struct row *r, const struct arena *a, const struct state *s, const char *is)
{
    u16 word = 0;

    if (r->at)
        memcpy(&word, r->at >= STACK_AT ? a->stack + (r->at - STACK_AT)
                      : r->at >= DATA_AT ? a->data + (r->at - DATA_AT)
                                         : a->code + (r->at - CODE_AT), 2);
    ck_assert_msg(s->vector == r->vector && s->rip == r->rip && s->cr2 == r->cr2, "%s: %s vector %u at %llx, CR2 %llx", r->name,
                  is, s->vector, (unsigned long long)s->rip, (unsigned long long)s->cr2);
    ck_assert_msg(s->gpr[RSP] == r->end_rsp && s->gpr[RBP] == r->end_rbp, "%s: %s RSP %llx, RBP %llx", r->name, is,
                  (unsigned long long)s->gpr[RSP], (unsigned long long)s->gpr[RBP]);
    ck_assert_msg(word == r->word, "%s: %s %x is in memory", r->name, is, word);
}

START_TEST(sequence_ends_as_hardware_had_it)
{
    const struct row *r = &rows[_i];
    struct arena a;
    struct emulated *m = emulated_open(&a);
    struct state s;

    start_at(r, &s);
    fill(r, &a);
    emulated_set(m, &s);
    emulated_run(m, emulated_count(m) + 100);
    emulated_get(m, &s);
    compare(r, &a, &s, "here");
    emulated_close(m);
}
END_TEST

START_TEST(sequence_ends_so_on_the_host)
{
#ifdef __x86_64__
    const struct row *r = &rows[_i];
    struct arena a;
    struct state s, end;

    if (!native_is_amd() || !native_open(&a))
        return;
    start_at(r, &s);
    fill(r, &a);
    if (native_run(&s, &end))
        compare(r, &a, &end, "on the host");
    native_close();
#endif
}
END_TEST

TCase *narrow_case(void)
{
    TCase *t = tcase_create("narrow");

    tcase_add_loop_test(t, sequence_ends_as_hardware_had_it, 0, sizeof rows / sizeof *rows);
    tcase_add_loop_test(t, sequence_ends_so_on_the_host, 0, sizeof rows / sizeof *rows);
    return t;
}
