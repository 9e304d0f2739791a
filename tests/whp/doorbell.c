/* SPDX-License-Identifier: MIT */
/* Doorbells: which stores ring, and which leave. Reference 7.6. doorbell_rules.c: the rules of registering. */
#include "tests/whp/doorbell.h"

Suite *doorbell_suite(void);

/* ---- which stores ring ---- */

/* Each begins with rBX = rDI = BELL, rSP just above it, rAX = 1122334455667788h, XMM0 and MM0 likewise, and ends by a HLT. */
struct store {
    const char *name;
    u8 mode;   /* enum guest_mode */
    u8 length; /* 0: it must leave */
    u8 code[14];
    u64 value;
};

#define REAL GUEST_REAL
#define PROT GUEST_PROTECTED
#define LONG GUEST_LONG
#define RAX_VALUE 0x1122334455667788u

static const struct store stores[] = {
    { "mov [bx], al", REAL, 1, { 0x88, 0x07, 0xf4 }, 0x88 },
    { "mov [bx], ax", REAL, 2, { 0x89, 0x07, 0xf4 }, 0x7788 },
    { "mov [bx], eax", REAL, 4, { 0x66, 0x89, 0x07, 0xf4 }, 0x55667788 },
    { "stosb", REAL, 1, { 0xaa, 0xf4 }, 0x88 },
    { "push ax", REAL, 2, { 0x50, 0xf4 }, 0x7788 },
    { "mov [bx], ds", REAL, 2, { 0x8c, 0x1f, 0xf4 }, 0 },
    { "mov [ebx], al", PROT, 1, { 0x88, 0x03, 0xf4 }, 0x88 },
    { "mov [ebx], eax", PROT, 4, { 0x89, 0x03, 0xf4 }, 0x55667788 },
    { "push eax", PROT, 4, { 0x50, 0xf4 }, 0x55667788 },
    { "push imm8", PROT, 4, { 0x6a, 0xfe, 0xf4 }, 0xfffffffe },
    { "call", PROT, 4, { 0xe8, 0, 0, 0, 0, 0xf4 }, GUEST_CODE + 5 },
    { "mov moffs, eax", PROT, 4, { 0xa3, BELL & 255, BELL >> 8, 0, 0, 0xf4 }, 0x55667788 },
    { "mov [rbx], al", LONG, 1, { 0x88, 0x03, 0xf4 }, 0x88 },
    { "mov [rbx], ax", LONG, 2, { 0x66, 0x89, 0x03, 0xf4 }, 0x7788 },
    { "mov [rbx], eax", LONG, 4, { 0x89, 0x03, 0xf4 }, 0x55667788 },
    { "mov [rbx], rax", LONG, 8, { 0x48, 0x89, 0x03, 0xf4 }, RAX_VALUE },
    { "mov [rbx], imm8", LONG, 1, { 0xc6, 0x03, 7, 0xf4 }, 7 },
    { "mov [rbx], imm32, 64 bits", LONG, 8, { 0x48, 0xc7, 0x03, 0xff, 0xff, 0xff, 0xff, 0xf4 }, ~(u64)0 },
    { "movnti [rbx], rax", LONG, 8, { 0x48, 0x0f, 0xc3, 0x03, 0xf4 }, RAX_VALUE },
    { "movbe [rbx], eax", LONG, 4, { 0x0f, 0x38, 0xf1, 0x03, 0xf4 }, 0x88776655 },
    { "setc [rbx]", LONG, 1, { 0x0f, 0x92, 0x03, 0xf4 }, 0 },
    { "stosq", LONG, 8, { 0x48, 0xab, 0xf4 }, RAX_VALUE },
    { "rep stosd, one", LONG, 4, { 0xb9, 1, 0, 0, 0, 0xf3, 0xab, 0xf4 }, 0x55667788 },
    { "movsb", LONG, 1, { 0xbe, 0, 0x90, 0, 0, 0xa4, 0xf4 }, 0 },
    { "push rax", LONG, 8, { 0x50, 0xf4 }, RAX_VALUE },
    { "push ax", LONG, 2, { 0x66, 0x50, 0xf4 }, 0x7788 },
    { "pushfq", LONG, 8, { 0x9c, 0xf4 }, 2 },
    { "call", LONG, 8, { 0xe8, 0, 0, 0, 0, 0xf4 }, GUEST_CODE + 5 },
    { "pop [rbx]", LONG, 8, { 0xbc, 0, 0x90, 0, 0, 0x8f, 0x03, 0xf4 }, 0 },
    { "movd [rbx], xmm0", LONG, 4, { 0x66, 0x0f, 0x7e, 0x03, 0xf4 }, 0x55667788 },
    { "movq [rbx], xmm0", LONG, 8, { 0x66, 0x0f, 0xd6, 0x03, 0xf4 }, RAX_VALUE },
    { "movss [rbx], xmm0", LONG, 4, { 0xf3, 0x0f, 0x11, 0x03, 0xf4 }, 0x55667788 },
    { "movlps [rbx], xmm0", LONG, 8, { 0x0f, 0x13, 0x03, 0xf4 }, RAX_VALUE },
    { "pextrw [rbx], xmm0, 1", LONG, 2, { 0x66, 0x0f, 0x3a, 0x15, 0x03, 1, 0xf4 }, 0x5566 },
    { "stmxcsr [rbx]", LONG, 4, { 0x0f, 0xae, 0x1b, 0xf4 }, 0x1f80 },
    { "fnstcw [rbx]", LONG, 2, { 0xd9, 0x3b, 0xf4 }, 0x37f },
    { "vmovq [rbx], xmm0", LONG, 8, { 0xc5, 0xf9, 0xd6, 0x03, 0xf4 }, RAX_VALUE },
    /* what reads first, or isn't one store */
    { "add [rbx], al", LONG, 0, { 0x00, 0x03, 0xf4 }, 0 },
    { "lock inc dword [rbx]", LONG, 0, { 0xf0, 0xff, 0x03, 0xf4 }, 0 },
    { "xchg [rbx], eax", LONG, 0, { 0x87, 0x03, 0xf4 }, 0 },
    { "cmpxchg [rbx], eax", LONG, 0, { 0x0f, 0xb1, 0x03, 0xf4 }, 0 },
    { "bts dword [rbx], 1", LONG, 0, { 0x0f, 0xba, 0x2b, 1, 0xf4 }, 0 },
    { "mov al, [rbx]", LONG, 0, { 0x8a, 0x03, 0xf4 }, 0 },
    { "jmp rbx", LONG, 0, { 0xff, 0xe3, 0xf4 }, 0 },
    { "fst dword [rbx]", LONG, 0, { 0xd9, 0xe8, 0xd9, 0x13, 0xf4 }, 0 },
    { "enter 0, 0", LONG, 0, { 0xc8, 0, 0, 0, 0xf4 }, 0 },
    { "sgdt [rbx]", LONG, 0, { 0x0f, 0x01, 0x03, 0xf4 }, 0 },
    { "fxsave [rbx]", LONG, 0, { 0x0f, 0xae, 0x03, 0xf4 }, 0 },
    { "pusha", PROT, 0, { 0x60, 0xf4 }, 0 },
};
#define STORES ((int)(sizeof stores / sizeof stores[0]))

static void open_guest(struct guest *g, const struct store *s)
{
    WHV_REGISTER_NAME xmm = WHvX64RegisterXmm0;
    WHV_REGISTER_VALUE v;

    guest_open(g, (enum guest_mode)s->mode, s->code, sizeof s->code);
    memset(&v, 0, sizeof v);
    v.Reg128.Low64 = RAX_VALUE;
    v.Reg128.High64 = 0x99;
    ck_ok(WHvSetVirtualProcessorRegisters(g->partition, 0, &xmm, 1, &v));
    if (s->mode == GUEST_LONG) {
        guest_set(g, WHvX64RegisterCr4, 0x40620);
        guest_set(g, WHvX64RegisterXCr0, 7);
    }
}

static u32 run_store(struct guest *g, const struct store *s)
{
    unsigned slot = s->length ? s->length : s->mode == GUEST_LONG ? 8 : 4;

    guest_set(g, WHvX64RegisterRip, GUEST_CODE);
    guest_set(g, WHvX64RegisterRax, RAX_VALUE);
    guest_set(g, WHvX64RegisterRbx, BELL);
    guest_set(g, WHvX64RegisterRdi, BELL);
    guest_set(g, WHvX64RegisterRsp, BELL + (s->mode == GUEST_LONG && slot > 2 ? 8 : slot));
    guest_set(g, WHvX64RegisterRflags, 2);
    return guest_run(g);
}

/* All that a store may have changed, or an exit before it must not have. */
START_TEST(a_store_that_matches_rings_and_goes_on)
{
    const struct store *s = &stores[_i];
    int fd = event_new();
    struct guest g;

    open_guest(&g, s);
    ck_ok(hang(&g, match(BELL, ANY), fd));
    for (u32 i = 0; i < 3; i++) { /* and again, when the exit is remembered */
        u32 reason = run_store(&g, s);

        ck_assert_msg(reason == (s->length ? WHvRunVpExitReasonX64Halt : WHvRunVpExitReasonMemoryAccess),
                      "%s: reason %x", s->name, reason);
        ck_assert_msg(taken(fd) == (s->length ? 1 : 0), "%s", s->name);
    }
    ck_ok(take_down(&g, match(BELL, ANY)));
    ck_assert_msg(run_store(&g, s) == WHvRunVpExitReasonMemoryAccess, "%s", s->name);
    ck_assert_uint_eq(taken(fd), 0);
    guest_close(&g);
    close(fd);
}
END_TEST

START_TEST(length_and_value_decide)
{
    const struct store *s = &stores[_i];
    int fd = event_new(), other = event_new();
    struct guest plain, g;
    SWHP_DIGEST wanted, got;

    if (!s->length)
        return;
    open_guest(&plain, s);
    ck_assert_uint_eq(run_store(&plain, s), WHvRunVpExitReasonMemoryAccess);
    open_guest(&g, s);
    ck_ok(hang(&g, match(BELL, s->length == 4 ? 2 : 4), fd));
    ck_assert_msg(run_store(&g, s) == WHvRunVpExitReasonMemoryAccess, "%s", s->name);
    ck_ok(take_down(&g, match(BELL, s->length == 4 ? 2 : 4)));

    ck_ok(hang(&g, match(BELL, s->length), fd));
    ck_assert_msg(run_store(&g, s) == WHvRunVpExitReasonX64Halt, "%s", s->name);
    ck_assert_uint_eq(taken(fd), 1);
    ck_ok(take_down(&g, match(BELL, s->length)));

    ck_ok(hang(&g, match_value(BELL, s->length, s->value), fd));
    ck_ok(hang(&g, match_value(BELL, s->length, s->value ^ 1), other));
    ck_assert_msg(run_store(&g, s) == WHvRunVpExitReasonX64Halt, "%s", s->name);
    ck_assert_msg(taken(fd) == 1, "%s: another value", s->name);
    ck_assert_uint_eq(taken(other), 0);
    ck_ok(take_down(&g, match_value(BELL, s->length, s->value)));

    /* the other value alone: it leaves as if there were none, and nothing has happened */
    ck_assert_msg(run_store(&g, s) == WHvRunVpExitReasonMemoryAccess, "%s", s->name);
    ck_assert_uint_eq(taken(other), 0);
    ck_assert_msg(!memcmp(&g.exit, &plain.exit, sizeof g.exit), "%s: another exit", s->name);
    ck_assert_uint_eq(g.exit.MemoryAccess.Gpa, BELL);
    ck_assert_uint_eq(g.exit.MemoryAccess.AccessInfo.AccessType, WHvMemoryAccessWrite);
    ck_assert_uint_eq(g.exit.MemoryAccess.AccessInfo.GpaUnmapped, 1);
    ck_ok(take_down(&g, match_value(BELL, s->length, s->value ^ 1)));
    guest_close(&g);

    /* and so the state is that of one which never had a doorbell */
    open_guest(&g, s);
    ck_ok(hang(&g, match_value(BELL, s->length, s->value ^ 1), other));
    run_store(&g, s);
    got = partition_digest(g.partition);
    wanted = partition_digest(plain.partition);
    ck_assert_msg(!memcmp(&got, &wanted, sizeof got), "%s: the state differs", s->name);
    guest_close(&g);
    guest_close(&plain);
    close(fd);
    close(other);
}
END_TEST

START_TEST(each_round_of_a_repetition_rings_for_itself)
{
    static const u8 code[] = { 0xf3, 0xaa, 0xf4 }; /* rep stosb */
    int fd = event_new();
    struct guest g;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    for (u32 i = 0; i < 3; i++)
        ck_ok(hang(&g, match(BELL + i, 1), fd));
    guest_set(&g, WHvX64RegisterRdi, BELL);
    guest_set(&g, WHvX64RegisterRcx, 5);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonMemoryAccess);
    ck_assert_uint_eq(taken(fd), 3);
    ck_assert_uint_eq(g.exit.MemoryAccess.Gpa, BELL + 3);
    ck_assert_uint_eq(g.exit.VpContext.Rip, GUEST_CODE);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRcx), 2);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRdi), BELL + 3);
    guest_close(&g);
    close(fd);
}
END_TEST

START_TEST(an_access_that_only_touches_the_doorbell_leaves)
{
    static const u8 code[] = { 0x89, 0x03, 0xf4 }; /* mov [rbx], eax */
    int fd = event_new();
    struct guest g;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    ck_ok(hang(&g, match(BELL, ANY), fd));
    ck_ok(hang(&g, match(GUEST_HOLE, ANY), fd));
    guest_set(&g, WHvX64RegisterRbx, BELL - 2); /* covers it, and begins before it */
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonMemoryAccess);
    guest_set(&g, WHvX64RegisterRbx, GUEST_HOLE - 2); /* crosses pages */
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonMemoryAccess);
    ck_assert_uint_eq(taken(fd), 0);
    guest_close(&g);
    close(fd);
}
END_TEST

/* Pushes of an interrupt's delivery are no instruction's stores. */
START_TEST(what_the_processor_stores_by_itself_rings_nothing)
{
    static const u8 code[] = { 0xcd, 0x20, 0xf4 }; /* int 20h, real mode */
    int fd = event_new();
    struct guest g;

    guest_open(&g, GUEST_REAL, code, sizeof code);
    ck_ok(hang(&g, match(BELL, ANY), fd));
    for (u32 sp = BELL + 2; sp <= BELL + 6; sp += 2) {
        guest_set(&g, WHvX64RegisterRip, GUEST_CODE);
        guest_set(&g, WHvX64RegisterRsp, sp);
        ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonMemoryAccess);
        ck_assert_uint_eq(g.exit.VpContext.ExecutionState.InterruptionPending, 1);
        guest_set(&g, WHvRegisterPendingInterruption, 0);
    }
    ck_assert_uint_eq(taken(fd), 0);
    guest_close(&g);
    close(fd);
}
END_TEST

Suite *doorbell_suite(void)
{
    Suite *s = suite_create("doorbell");
    TCase *t = tcase_create("doorbells");

    tcase_add_loop_test(t, a_store_that_matches_rings_and_goes_on, 0, STORES);
    tcase_add_loop_test(t, length_and_value_decide, 0, STORES);
    tcase_add_test(t, each_round_of_a_repetition_rings_for_itself);
    tcase_add_test(t, an_access_that_only_touches_the_doorbell_leaves);
    tcase_add_test(t, what_the_processor_stores_by_itself_rings_nothing);
    suite_add_tcase(s, t);
    suite_add_tcase(s, doorbell_rule_case());
    return s;
}
