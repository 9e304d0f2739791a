/* SPDX-License-Identifier: MIT */
/* What counts, where a limit stops, and that a cancel ends everything. */
#include <pthread.h>
#include <time.h>

#include "tests/cpu/event_machine.h"

static const struct count_row {
    const char *name, *code;
    size_t size;
    u64 count; /* at the HLT's exit */
} count_rows[] = {
    { "hlt", X("\xf4"), 1 },
    { "nops", X("\x90\x90\x90\xf4"), 4 },
    { "a branch", X("\xeb\x01\xf4\xf4"), 2 },
    { "push and pop", X("\x50\x58\xf4"), 3 },
    { "cmp and jz", X("\x39\xc0\x74\x01\xf4\xf4"), 3 },
    { "rep stosb", X("\xf3\xaa\xf4"), 6 },
    { "nop; rep stosb; nop", X("\x90\xf3\xaa\x90\xf4"), 8 },
    { "rep stosb of nothing", X("\x31\xc9\xf3\xaa\xf4"), 3 },
    { "rep movsb", X("\xf3\xa4\xf4"), 6 },
    { "rep lodsb", X("\xf3\xac\xf4"), 6 },
    { "repe cmpsb", X("\xf3\xa6\xf4"), 6 },
    { "repne scasb, first found", X("\xf2\xae\xf4"), 2 },
    { "int 0x20", X("\xcd\x20\xf4"), 2 }, /* the handler halts */
    { "ud2", X("\x0f\x0b"), 2 },          /* the event, hlt */
    { "int3", X("\xcc"), 2 },
    { "call and ret", X("\xe8\x01\x00\x00\x00\xf4\xc3"), 3 },
    { "loop", X("\xe2\xfe\xf4"), 6 },
};

START_TEST(instructions_rounds_and_events_count_one_each)
{
    const struct count_row *row = &count_rows[_i];
    struct rig r;
    u64 whole;

    rig_open(&r, IN_LONG, row->code, row->size);
    rig_set(&r, Rcx, 5);
    rig_set(&r, Rsi, DATA);
    rig_set(&r, Rdi, DATA + 64);
    ck_assert_uint_eq(rig_run(&r), LEAVES(X64Halt));
    ck_assert_msg(rig_count(&r) == row->count, "%s: %llu, not %llu", row->name,
                  (unsigned long long)rig_count(&r), (unsigned long long)row->count);
    whole = rig_get(&r, Rip);

    /* In steps: the same, whatever stands between. */
    rig_set(&r, Rip, CODE);
    rig_set(&r, Rsp, GUEST_STACK);
    rig_set(&r, Rcx, 5);
    rig_set(&r, Rsi, DATA);
    rig_set(&r, Rdi, DATA + 64);
    for (u64 n = 1; n < row->count; n++) {
        ck_assert_msg(rig_run_until(&r, row->count + n) == (u32)SwhpRunVpExitReasonCount, "%s", row->name);
        ck_assert_uint_eq(rig_count(&r), row->count + n);
    }
    ck_assert_uint_eq(rig_run_until(&r, 2 * row->count), LEAVES(X64Halt));
    ck_assert_uint_eq(rig_count(&r), 2 * row->count);
    ck_assert_uint_eq(rig_get(&r, Rip), whole);
    rig_close(&r);
}
END_TEST

START_TEST(until_stops_exactly_also_inside_a_REP_and_at_once)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\x90\xf3\xaa\x90\xf4"));
    rig_set(&r, Rdi, 0x20000);
    rig_set(&r, Rcx, 100000);
    for (u64 n = 1; n < 100002; n += 7919) {
        ck_assert_uint_eq(rig_run_until(&r, n), SwhpRunVpExitReasonCount);
        ck_assert_uint_eq(rig_count(&r), n);
        ck_assert_uint_eq(rig_get(&r, Rcx), 100001 - n);
        ck_assert_uint_eq(rig_get(&r, Rdi), 0x20000 + n - 1);
        ck_assert_uint_eq(rig_run_until(&r, n), SwhpRunVpExitReasonCount);
        ck_assert_uint_eq(rig_run_until(&r, 0), SwhpRunVpExitReasonCount);
        ck_assert_uint_eq(rig_count(&r), n);
    }
    rig_halts_at(&r, CODE + 5);
    ck_assert_uint_eq(rig_count(&r), 100003);
    rig_close(&r);
}
END_TEST

START_TEST(until_stops_before_events_too)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\x90\x90\xf4"));
    guest_set(&r.g, WHvRegisterPendingInterruption, INJECT(0, 0x20, 0));
    ck_assert_uint_eq(rig_run_until(&r, 0), SwhpRunVpExitReasonCount);
    ck_assert_uint_eq(guest_get(&r.g, WHvRegisterPendingInterruption), INJECT(0, 0x20, 0));
    ck_assert_uint_eq(rig_run_until(&r, 1), SwhpRunVpExitReasonCount);
    ck_assert_uint_eq(rig_get(&r, Rip), HANDLER(0x20));
    rig_close(&r);

    rig_open(&r, IN_LONG, X("\x90\x90\xf4"));
    rig_set(&r, Rflags, 2 | RFLAG_TF);
    ck_assert_uint_eq(rig_run_until(&r, 1), SwhpRunVpExitReasonCount);
    ck_assert_uint_eq(rig_get(&r, Rip), CODE + 1);
    ck_assert_uint_eq(guest_get(&r.g, WHvX64RegisterPendingDebugException), 16);
    ck_assert_uint_eq(rig_run_until(&r, 2), SwhpRunVpExitReasonCount);
    ck_assert_uint_eq(rig_get(&r, Rip), HANDLER(1));
    rig_close(&r);
}
END_TEST

START_TEST(what_the_caller_completes_counts_once)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\xe6\x42\x8a\x07\x90\xf4")); /* out; mov al, [rdi]; nop; hlt */
    rig_set(&r, Rdi, GUEST_HOLE);
    rig_leaves(&r, LEAVES(X64IoPortAccess), CODE);
    rig_leaves(&r, LEAVES(X64IoPortAccess), CODE);
    ck_assert_uint_eq(rig_count(&r), 0);
    rig_set(&r, Rip, CODE + 2);
    rig_leaves(&r, LEAVES(MemoryAccess), CODE + 2);
    ck_assert_uint_eq(rig_count(&r), 1);
    rig_set(&r, Rip, CODE + 4);
    rig_halts_at(&r, CODE + 6);
    ck_assert_uint_eq(rig_count(&r), 4);
    rig_close(&r);
}
END_TEST

/* ---- nothing runs on after a cancel ---- */

static void *cancel_soon(void *partition)
{
    struct timespec some = { 0, 20 * 1000 * 1000 };

    nanosleep(&some, NULL);
    WHvCancelRunVirtualProcessor(partition, 0, 0);
    return NULL;
}

static const struct endless {
    const char *name, *code;
    size_t size;
    enum in in;
    const char *handler; /* of #UD, #DB, #PF */
    size_t handler_size;
    u64 flags;
} endless[] = {
    { "jmp $", X("\xeb\xfe"), IN_LONG, NULL, 0, 2 },
    { "jmp $ with a window that never opens", X("\xeb\xfe"), IN_LONG, NULL, 0, 2 },
    { "jmp across pages", X("\xe9\xfb\x0f\x00\x00"), IN_LONG, NULL, 0, 2 },
    { "rep movsb", X("\xf3\xa4"), IN_LONG, NULL, 0, 2 },
    { "rep stosb again and again", X("\xf3\xaa\xeb\xfc"), IN_LONG, NULL, 0, 2 },
    { "rep movsb under TF", X("\xf3\xa4"), IN_LONG, X("\x48\xcf"), 2 | RFLAG_TF },
    { "ud2, iretq", X("\x0f\x0b"), IN_LONG, X("\x48\xcf"), 2 },
    { "ud2, iret in real mode", X("\x0f\x0b"), IN_REAL, X("\xcf"), 2 },
    { "#PF, iretq", X("\xa0\x00\x00\x40\x00\x00\x00\x00\x00"), IN_LONG, X("\x48\x83\xc4\x08\x48\xcf"), 2 },
    { "#DB, iretq", X("\xeb\xfe"), IN_LONG, X("\x48\xcf"), 2 | RFLAG_TF },
    { "int 3, iret", X("\xcc\xeb\xfd"), IN_PROTECTED32, X("\xcf"), 2 },
    { "call into itself", X("\x48\xc7\xc4\xf0\x7f\x00\x00\xe8\xf4\xff\xff\xff"), IN_LONG, NULL, 0, 2 },
    { "writes to its own code", X("\xc6\x05\xff\xff\xff\xff\x90\xeb\xf7"), IN_LONG, NULL, 0, 2 },
    { "mov ss for ever", X("\x8e\xd0\xeb\xfc"), IN_PROTECTED32, NULL, 0, 2 },
    { "sti for ever", X("\xfb\xfa\xeb\xfc"), IN_PROTECTED32, NULL, 0, 2 },
};

/* Long mode: the same page again and again, from 6 MiB to 1 GiB, for strings that take long. */
static void map_one_page_everywhere(struct rig *r)
{
    enum { TABLE = 0x60000, PAGE = 0x20000 };
    u64 directory = TABLE | 7, page = PAGE | 7;

    for (u32 i = 0; i < 512; i++)
        rig_poke(r, TABLE + i * 8, &page, 8);
    for (u32 i = 3; i < 512; i++)
        rig_poke(r, 0x4000 + i * 8, &directory, 8);
    rig_set(r, Rcx, 0x3f000000);
    rig_set(r, Rsi, 0x600000);
    rig_set(r, Rdi, 0x600000);
}

START_TEST(a_cancel_ends_what_would_never_end)
{
    const struct endless *e = &endless[_i];
    struct rig r;
    pthread_t thread;
    struct timespec before, after;
    u32 reason;

    rig_open(&r, e->in, e->code, e->size);
    for (unsigned v = 0; e->handler && v < 32; v++)
        rig_poke(&r, HANDLER(v), e->handler, e->handler_size);
    if (_i == 1)
        rig_set(&r, DeliverabilityNotifications, WINDOW_INTERRUPT);
    if (_i == 2)
        rig_poke(&r, CODE + 0x1000, X("\xe9\xfb\xef\xff\xff"));
    rig_set(&r, Rflags, e->flags);
    rig_set(&r, Rax, SELECTOR_DATA);
    if (e->code[0] == '\xf3')
        map_one_page_everywhere(&r);
    ck_ok(WHvCancelRunVirtualProcessor(r.g.partition, 0, 0));
    rig_leaves(&r, LEAVES(Canceled), CODE);
    ck_assert_int_eq(pthread_create(&thread, NULL, cancel_soon, r.g.partition), 0);
    clock_gettime(CLOCK_MONOTONIC, &before);
    reason = rig_run(&r);
    clock_gettime(CLOCK_MONOTONIC, &after);
    pthread_join(thread, NULL);
    ck_assert_msg(reason == LEAVES(Canceled), "%s: exit %x at %llx", e->name, reason,
                  (unsigned long long)r.g.exit.VpContext.Rip);
    ck_assert_msg((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 < 2000,
                  "%s", e->name);
    rig_close(&r);
}
END_TEST

TCase *count_case(void)
{
    TCase *t = tcase_create("counts");

    tcase_add_loop_test(t, instructions_rounds_and_events_count_one_each, 0,
                        (int)(sizeof count_rows / sizeof *count_rows));
    tcase_add_test(t, until_stops_exactly_also_inside_a_REP_and_at_once);
    tcase_add_test(t, until_stops_before_events_too);
    tcase_add_test(t, what_the_caller_completes_counts_once);
    tcase_add_loop_test(t, a_cancel_ends_what_would_never_end, 0, (int)(sizeof endless / sizeof *endless));
    return t;
}
