/* SPDX-License-Identifier: MIT */
/* Breakpoints on data: which accesses hit, when they are told. SDM 3B 17.2.4, APM 2 13.1.2. */
#include "tests/cpu/event_machine.h"

enum { VECTOR_DB = 1, VECTOR_UD = 6 };

static void open_breaking(struct rig *r, enum in in, const char *code, size_t size, u64 dr7)
{
    rig_open(r, in, code, size);
    rig_intercept(r, 1 << VECTOR_DB);
    rig_set(r, Dr7, dr7);
}

#define ROW(name, code, ...)       \
    {                              \
        name, X(code), __VA_ARGS__ \
    }

/* One instruction on RDI = DATA + at; the breakpoint is at DATA + `place`. */
static const struct data_row {
    const char *name, *code;
    size_t size;
    u16 at;
    u8 kind, length;
    i32 place;
    bool hits;
} data_rows[] = {
    ROW("write of 1", "\x88\x07", 0, ON_WRITE, 1, 0, true),
    ROW("write beside 1", "\x88\x07", 1, ON_WRITE, 1, 0, false),
    ROW("write into 2", "\x88\x07", 1, ON_WRITE, 2, 0, true),
    ROW("write behind 2", "\x88\x07", 2, ON_WRITE, 2, 0, false),
    ROW("write into 4", "\x88\x07", 3, ON_WRITE, 4, 0, true),
    ROW("write behind 4", "\x88\x07", 4, ON_WRITE, 4, 0, false),
    ROW("write into 8", "\x88\x07", 7, ON_WRITE, 8, 0, true),
    ROW("write behind 8", "\x88\x07", 8, ON_WRITE, 8, 0, false),
    ROW("4 address bits that don't count", "\x88\x07", 0, ON_WRITE, 4, 3, true),
    ROW("8 address bits that don't count", "\x88\x07", 0, ON_WRITE, 8, 5, true),
    ROW("wide write over 1", "\x48\x89\x07", 0, ON_WRITE, 1, 7, true),
    ROW("wide write beside 1", "\x48\x89\x07", 0, ON_WRITE, 1, 8, false),
    ROW("misaligned write over 1", "\x48\x89\x07", 0x3d, ON_WRITE, 1, 0x44, true),
    ROW("write before 4", "\x89\x07", 12, ON_WRITE, 4, 16, false),
    ROW("misaligned write into 4", "\x89\x07", 13, ON_WRITE, 4, 16, true),
    ROW("read for a write", "\x8a\x07", 0, ON_WRITE, 1, 0, false),
    ROW("read for an access", "\x8a\x07", 0, ON_ACCESS, 1, 0, true),
    ROW("write for an access", "\x88\x07", 0, ON_ACCESS, 1, 0, true),
    ROW("inc for a write", "\xfe\x07", 0, ON_WRITE, 1, 0, true),
    ROW("cmp for an access", "\x80\x3f\x00", 0, ON_ACCESS, 1, 0, true),
    ROW("xchg", "\x86\x07", 0, ON_WRITE, 1, 0, true),
    ROW("lock add", "\xf0\x00\x07", 0, ON_WRITE, 1, 0, true),
    ROW("cmpxchg16b", "\x48\x0f\xc7\x0f", 0, ON_WRITE, 4, 12, true),
    ROW("lock cmpxchg that fails", "\xf0\x0f\xb0\x0f", 0, ON_WRITE, 1, 0, true), /* seen on a Zen 3 */
    ROW("lock cmpxchg8b that fails", "\xf0\x0f\xc7\x0f", 0, ON_WRITE, 4, 4, true),
    ROW("movaps", "\x0f\x29\x07", 0, ON_WRITE, 1, 15, true),
    ROW("read by SSE", "\x0f\x10\x07", 0, ON_ACCESS, 1, 15, true),
    ROW("fstp m80", "\xdb\x3f", 0, ON_WRITE, 1, 9, true),
    ROW("fld m80", "\xdb\x2f", 0, ON_ACCESS, 1, 9, true),
    ROW("fxsave", "\x0f\xae\x07", 0, ON_WRITE, 4, 160, true),
    ROW("stosb", "\xaa", 0, ON_WRITE, 1, 0, true),
    ROW("across pages, into the first", "\x89\x07", 0xffe, ON_WRITE, 1, 0xfff, true),
    ROW("across pages, into the second", "\x89\x07", 0xffe, ON_WRITE, 1, 0x1000, true),
    ROW("across pages, read", "\x8b\x07", 0xffe, ON_ACCESS, 4, 0x1000, true),
    ROW("across pages, beside", "\x89\x07", 0xffe, ON_WRITE, 1, 0x1002, false),
    ROW("push", "\x57", 0, ON_WRITE, 8, GUEST_STACK - 8 - DATA, true),
    ROW("pop", "\x58", 0, ON_ACCESS, 8, GUEST_STACK - DATA, true),
    ROW("call", "\xe8\x00\x00\x00\x00", 0, ON_WRITE, 8, GUEST_STACK - 8 - DATA, true),
    ROW("lea", "\x8d\x07", 0, ON_ACCESS, 1, 0, false),
    ROW("nop r/m", "\x0f\x1f\x07", 0, ON_ACCESS, 1, 0, false),
    ROW("prefetch", "\x0f\x18\x0f", 0, ON_ACCESS, 1, 0, false),
    ROW("a descriptor", "\x8e\xd8", 0, ON_ACCESS, 8, GDT_AT + SELECTOR_DATA - DATA, false),
};

START_TEST(a_data_breakpoint_fires_behind_the_access)
{
    const struct data_row *row = &data_rows[_i];
    struct rig r;

    open_breaking(&r, IN_LONG, row->code, row->size, BREAK(2, row->kind, row->length));
    guest_set(&r.g, WHvX64RegisterCr4, 0x620);
    rig_set(&r, Rax, SELECTOR_DATA);
    rig_set(&r, Rdi, DATA + row->at);
    rig_set(&r, Dr2, (u64)(DATA + row->place));
    r.g.memory[CODE + row->size] = 0xf4;
    u32 reason = rig_run(&r);

    ck_assert_msg(reason == (row->hits ? LEAVES(Exception) : LEAVES(X64Halt)), "%s: exit %x", row->name,
                  reason);
    if (row->hits) {
        ck_assert_msg(r.g.exit.VpException.ExceptionParameter == 4, "%s", row->name);
        ck_assert_msg(r.g.exit.VpContext.Rip == CODE + row->size, "%s", row->name);
        rig_halts_at(&r, CODE + row->size + 1);
    }
    rig_close(&r);
}
END_TEST

START_TEST(a_data_breakpoint_stops_a_REP_behind_the_round)
{
    static const char *const codes[] = { "\xf3\xa4\xf4", "\xf3\xaa\xf4", "\xf3\xac\xf4", "\xf3\xa6\xf4",
                                         "\xf3\xae\xf4" };
    static const u8 reads[] = { 0, 0, 1, 1, 1 };

    for (unsigned i = 0; i < 5; i++) {
        struct rig r;

        open_breaking(&r, IN_LONG, codes[i], 3, BREAK(0, reads[i] ? ON_ACCESS : ON_WRITE, 1));
        rig_set(&r, Dr0, (i == 2 ? DATA : DATA + 0x100) + 3);
        rig_set(&r, Rsi, DATA);
        rig_set(&r, Rdi, DATA + 0x100);
        rig_set(&r, Rcx, 6);
        rig_traps_at(&r, CODE, 1);
        ck_assert_uint_eq(rig_get(&r, Rcx), 2);
        ck_assert_uint_eq(rig_count(&r), 4);
        rig_halts_at(&r, CODE + 3);
        ck_assert_uint_eq(rig_count(&r), 7);

        rig_set(&r, Rip, CODE); /* the last round: behind the instruction */
        rig_set(&r, Rsi, DATA);
        rig_set(&r, Rdi, DATA + 0x100);
        rig_set(&r, Rcx, 4);
        rig_traps_at(&r, CODE + 2, 1);
        ck_assert_uint_eq(rig_get(&r, Rcx), 0);
        rig_close(&r);
    }
}
END_TEST

START_TEST(several_causes_come_as_one)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\x88\x07\xf4"));
    rig_set(&r, Rdi, DATA);
    rig_set(&r, Dr0, DATA);
    rig_set(&r, Dr1, DATA + 1);
    rig_set(&r, Dr3, DATA);
    rig_set(&r, Dr7, BREAK(0, ON_WRITE, 1) | BREAK(1, ON_WRITE, 1) | BREAK(3, ON_ACCESS, 4));
    rig_set(&r, Rflags, 2 | RFLAG_TF);
    rig_set(&r, Dr6, DR6_RESET | 6 | DEBUG_BD);
    rig_halts_in(&r, VECTOR_DB);
    ck_assert_uint_eq(rig_get(&r, Dr6), DR6_RESET | 9 | DEBUG_BS | DEBUG_BD); /* only B0 to B3 are cleared */
    rig_close(&r);
}
END_TEST

START_TEST(a_fault_takes_the_hits_of_its_instruction_back)
{
    struct rig r;

    open_breaking(&r, IN_LONG, X("\xa4"), BREAK(0, ON_ACCESS, 1)); /* movsb, whose destination isn't there */
    rig_set(&r, Dr0, DATA);
    rig_set(&r, Rsi, DATA);
    rig_set(&r, Rdi, ABSENT);
    rig_halts_in(&r, 14);
    rig_close(&r);
}
END_TEST

START_TEST(breakpoints_in_code_that_ran_before_are_seen)
{
    struct rig r;

    /* mov dr7, rax; mov [rdi], al; nop; hlt */
    rig_open(&r, IN_LONG, X("\x0f\x23\xf8\x88\x07\x90\xf4"));
    rig_intercept(&r, 1 << VECTOR_DB);
    rig_set(&r, Rdi, DATA);
    rig_set(&r, Dr0, DATA);
    rig_halts_at(&r, CODE + 7);
    rig_set(&r, Rip, CODE);
    rig_set(&r, Rax, BREAK(0, ON_WRITE, 1));
    rig_traps_at(&r, CODE + 5, 1);
    rig_set(&r, Rip, CODE);
    rig_set(&r, Rax, 0);
    rig_halts_at(&r, CODE + 7);
    rig_close(&r);
}
END_TEST

TCase *data_breakpoint_case(void)
{
    TCase *t = tcase_create("data-breakpoints");

    tcase_add_loop_test(t, a_data_breakpoint_fires_behind_the_access, 0,
                        (int)(sizeof data_rows / sizeof *data_rows));
    tcase_add_test(t, a_data_breakpoint_stops_a_REP_behind_the_round);
    tcase_add_test(t, several_causes_come_as_one);
    tcase_add_test(t, a_fault_takes_the_hits_of_its_instruction_back);
    tcase_add_test(t, breakpoints_in_code_that_ran_before_are_seen);
    return t;
}
