/* SPDX-License-Identifier: MIT */
/* SwhpRunPartition: turns, the same run each time, runs in pieces, exits. */
#include "tests/whp/run_partition.h"

static struct board b;

static void open_team(u32 processors)
{
    board_open(&b, WHvX64LocalApicEmulationModeNone, processors, SwhpClockVirtual, 0);
}

static void setup(void)
{
    board_seed = 1;
    open_team(2);
}

static void teardown(void)
{
    board_close(&b);
}

static void reopen(u32 processors, u64 seed)
{
    board_close(&b);
    board_seed = seed;
    open_team(processors);
}

/* ecx = 3000; 1: eax = 1; xchg [word], eax; test eax, eax; jz 2f; pause; jmp 1b;
   2: mov eax, [value]; inc eax; mov [value], eax; mov dword [word], 0; dec ecx; jnz 1b; out 1 */
#define SPIN_LOCK                                                                                                      \
    0xb9, 0xb8, 0x0b, 0, 0, 0xb8, 1, 0, 0, 0, 0x87, 0x05, 0, 0, 8, 0, 0x85, 0xc0, 0x74, 4, 0xf3, 0x90, 0xeb, 0xed,    \
        0xa1, 0x40, 0, 8, 0, 0x40, 0xa3, 0x40, 0, 8, 0, 0xc7, 0x05, 0, 0, 8, 0, 0, 0, 0, 0, 0x49, 0x75, 0xd5, 0xe6, 1

START_TEST(a_spinlock_keeps_them_apart)
{
    u32 first, second;

    TEAM_PUT(&b, 0, SPIN_LOCK);
    TEAM_PUT(&b, 1, SPIN_LOCK);
    ck_assert_uint_eq(team_run(&b, NO_CLOCK, &first), 1);
    board_loop(&b, first);
    ck_assert_uint_eq(team_run(&b, NO_CLOCK, &second), 1);
    ck_assert_uint_eq(first + second, 1);
    ck_assert_uint_eq(team_load(&b, TEAM_VALUE), 6000);
}
END_TEST

/* 1: mov eax, 1; lock xadd [word], eax; mov [eax + log], bl; (two bytes); jmp 1b */
static void put_log(u32 vp, u8 byte0, u8 byte1)
{
    board_set(&b, vp, WHvX64RegisterRbx, vp + 1);
    TEAM_PUT(&b, vp, 0xb8, 1, 0, 0, 0, 0xf0, 0x0f, 0xc1, 0x05, 0, 0, 8, 0, 0x88, 0x98, 0, 0, 9, 0, byte0, byte1, 0xeb,
             0xe9);
}

static void run_log(u32 processors, u64 seed, SWHP_DIGEST *d)
{
    reopen(processors, seed);
    for (u32 i = 0; i < processors; i++)
        put_log(i, 0x66, 0x90);

    u64 until = board_clock(&b) + 200000;
    u32 vp;

    ck_assert_uint_eq(team_run(&b, until, &vp), COUNTED);
    ck_assert_uint_eq(board_clock(&b), until);
    team_hash(&b, d);
}

START_TEST(the_same_seed_gives_the_same_run)
{
    SWHP_DIGEST d[4];
    u32 shares[3] = { 0 };

    run_log(3, 7, &d[0]);
    run_log(3, 7, &d[1]);
    run_log(3, 8, &d[2]);
    run_log(3, 9, &d[3]);
    ck_assert_mem_eq(&d[0], &d[1], sizeof d[0]);
    ck_assert_mem_ne(&d[0], &d[2], sizeof d[0]);
    ck_assert_mem_ne(&d[2], &d[3], sizeof d[0]);
    for (u32 i = 0; i < team_load(&b, TEAM_WORD); i++)
        if (b.memory[TEAM_LOG + i]) /* 0: whoever waits took that place and hasn't written yet */
            shares[b.memory[TEAM_LOG + i] - 1]++;
    for (u32 i = 0; i < 3; i++) /* of 40000 rounds */
        ck_assert_uint_gt(shares[i], 4000);
}
END_TEST

START_TEST(turns_are_between_1000_and_20000_counts)
{
    u32 vp;
    u64 clock;

    run_log(2, 3, &(SWHP_DIGEST){ 0 });
    for (u32 turn = 0, n = team_load(&b, TEAM_WORD), i = 0; i < n; turn++) {
        u32 length = 1;
        u8 who = b.memory[TEAM_LOG + i];

        for (i++; i < n && (b.memory[TEAM_LOG + i] == who || !b.memory[TEAM_LOG + i]); i++)
            length++; /* 0: whoever waits took that place and hasn't written yet */
        if (turn && i < n) { /* five counts a round */
            ck_assert_uint_ge(length, 199);
            ck_assert_uint_le(length, 4001);
        }
    }
    clock = board_clock(&b);
    ck_assert_uint_eq(team_run(&b, clock, &vp), COUNTED); /* nothing more happens */
    ck_assert_uint_eq(team_run(&b, 0, &vp), COUNTED);
    ck_assert_uint_eq(board_clock(&b), clock);
}
END_TEST

START_TEST(a_run_in_pieces_is_the_run_in_one)
{
    SWHP_DIGEST whole, pieces;
    u64 start, at, chance = 5;
    u32 vp;

    run_log(3, 7, &whole);
    reopen(3, 7);
    for (u32 i = 0; i < 3; i++)
        put_log(i, 0x66, 0x90);
    start = at = board_clock(&b);
    while (at < start + 200000) {
        chance = chance * 6364136223846793005u + 1442695040888963407u;
        at += (chance >> 33) % (chance >> 60 ? 300 : 9000);
        if (at > start + 200000)
            at = start + 200000;
        ck_assert_uint_eq(team_run(&b, at, &vp), COUNTED);
        ck_assert_uint_eq(board_clock(&b), at);
    }
    team_hash(&b, &pieces);
    ck_assert_mem_eq(&whole, &pieces, sizeof whole);
}
END_TEST

/* An OUT that the caller completes counts as the NOP in its place: who is next must not depend on exits. */
START_TEST(exits_leave_the_turns_as_they_are)
{
    static u8 log[65536];
    u64 until;
    u32 vp, n, left = 0;

    run_log(3, 11, &(SWHP_DIGEST){ 0 });
    n = team_load(&b, TEAM_WORD);
    memcpy(log, b.memory + TEAM_LOG, n);
    reopen(3, 11);
    put_log(0, 0x66, 0x90);
    put_log(1, 0xe6, 9);
    put_log(2, 0x66, 0x90);
    until = board_clock(&b) + 200000;
    while (team_run(&b, until, &vp) != COUNTED) {
        ck_assert_uint_eq(vp, 1);
        ck_assert_uint_eq(b.exit[0].IoPortAccess.PortNumber, 9);
        board_pass(&b, 1);
        left++;
    }
    ck_assert_uint_gt(left, 4000);
    ck_assert_uint_eq(team_load(&b, TEAM_WORD), n);
    ck_assert_mem_eq(log, b.memory + TEAM_LOG, n);
}
END_TEST

/* 0 writes a value, raises a flag and waits for it to fall; 1 waits for the flag, reads, lets it fall. */
START_TEST(messages_pass)
{
    u64 clock;
    u32 vp, ports = 0;

    TEAM_PUT(&b, 0, 0xc7, 0x05, 0x40, 0, 8, 0, 0x34, 0x12, 0, 0, 0xc7, 0x05, 0, 0, 8, 0, 1, 0, 0, 0, /* 1: */ 0xf3, 0x90,
             0x83, 0x3d, 0, 0, 8, 0, 0, 0x75, 0xf5, 0xe6, 3, 0xeb, 0xfe);
    TEAM_PUT(&b, 1, 0xf3, 0x90, 0x83, 0x3d, 0, 0, 8, 0, 1, 0x75, 0xf5, 0xa1, 0x40, 0, 8, 0, 0xc7, 0x05, 0, 0, 8, 0, 0, 0,
             0, 0, 0xe6, 4, 0xeb, 0xfe);
    clock = board_clock(&b);
    while (ports != 3) {
        u32 port = team_run(&b, clock + 100000, &vp);

        ck_assert_uint_eq(port, vp + 3);
        ports |= 1u << vp;
        board_pass(&b, vp);
        if (vp == 1)
            ck_assert_uint_eq(board_get(&b, 1, WHvX64RegisterRax), 0x1234);
    }
}
END_TEST

/* 0: pause; cmp dword [word], 0; je 0b; out 3. 1 raises it after 41 instructions. */
START_TEST(a_pause_ends_a_turn)
{
    u64 clock = board_clock(&b);

    TEAM_PUT(&b, 0, 0xf3, 0x90, 0x83, 0x3d, 0, 0, 8, 0, 0, 0x74, 0xf5, 0xe6, 3);
    TEAM_PUT(&b, 1, 0xb9, 20, 0, 0, 0, 0x49, 0x75, 0xfd, 0xc7, 0x05, 0, 0, 8, 0, 1, 0, 0, 0, /* 2: */ 0xf3, 0x90, 0xeb,
             0xfc);
    ck_assert_uint_eq(team_run_of(&b, clock + 100000, 0), 3);
    ck_assert_uint_le(board_clock(&b), clock + 1 + 41 + 1 + 3 + 3);
}
END_TEST

/* 16-bit code at 3000: it would be decoded as something else than what was tested by chance. */
START_TEST(a_pause_stops_right_behind_itself)
{
    u64 clock = board_clock(&b);
    u32 vp;

    TEAM_PUT(&b, 0, 0xb8, 1, 0, 0, 0, 0x31, 0xdb, 0xf3, 0x90, 0x43, 0x43, 0x43, 0xeb, 0xf9); /* ...; 1: pause; inc ebx x 3 */
    TEAM_PUT(&b, 1, 0x31, 0xdb, 0xf3, 0x90, 0x43, 0xeb, 0xfb);
    for (u32 i = 1; i < 200; i++) { /* one alone, step by step, as in one go: */
        ck_assert_uint_eq(team_run(&b, clock + i, &vp), COUNTED);
        ck_assert_uint_eq(board_clock(&b), clock + i);
    }

    u64 together = board_get(&b, 0, WHvX64RegisterRbx) << 32 | board_get(&b, 1, WHvX64RegisterRbx);

    reopen(2, 1);
    TEAM_PUT(&b, 0, 0xb8, 1, 0, 0, 0, 0x31, 0xdb, 0xf3, 0x90, 0x43, 0x43, 0x43, 0xeb, 0xf9);
    TEAM_PUT(&b, 1, 0x31, 0xdb, 0xf3, 0x90, 0x43, 0xeb, 0xfb);
    ck_assert_uint_eq(team_run(&b, board_clock(&b) + 199, &vp), COUNTED);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterRbx) << 32 | board_get(&b, 1, WHvX64RegisterRbx), together);
}
END_TEST

/* Locked accesses that need the others to stand still, while these are on the same thread. */
START_TEST(a_lock_across_lines_and_pages)
{
    u32 vp;

    for (u32 i = 0; i < 2; i++) /* ecx = 300; 1: lock inc dword [8003e]; lock dec word [80fff]; pause; dec ecx; jnz; out 1 */
        TEAM_PUT(&b, i, 0xb9, 0x2c, 1, 0, 0, 0xf0, 0xff, 0x05, 0x3e, 0, 8, 0, 0x66, 0xf0, 0xff, 0x0d, 0xff, 0x0f, 8, 0,
                 0xf3, 0x90, 0x49, 0x75, 0xec, 0xe6, 1);
    ck_assert_uint_eq(team_run(&b, NO_CLOCK, &vp), 1);
    board_loop(&b, vp);
    ck_assert_uint_eq(team_run(&b, NO_CLOCK, &vp), 1);
    ck_assert_uint_eq(team_load(&b, 0x8003e), 600);
    ck_assert_uint_eq((u16)team_load(&b, 0x80fff), (u16)-600);
}
END_TEST

/* 1 runs a function in a loop; 0 rewrites it: mov byte [30000], 43 (inc ebx; before: nop). */
START_TEST(code_that_another_processor_writes_is_seen)
{
    u64 clock;
    u32 vp;

    TEAM_PUT(&b, 1, 0x31, 0xdb, /* 1: */ 0xe8, 0xf9, 0xff, 0, 0, 0xeb, 0xf9); /* call 30000 */
    b.memory[0x30000] = 0x90;
    b.memory[0x30001] = 0xc3;
    TEAM_PUT(&b, 0, 0xeb, 0xfe);
    clock = board_clock(&b) + 100000;
    ck_assert_uint_eq(team_run(&b, clock, &vp), COUNTED);
    ck_assert_uint_eq(board_get(&b, 1, WHvX64RegisterRbx), 0);
    TEAM_PUT(&b, 0, 0xc6, 0x05, 0, 0, 3, 0, 0x43, 0xeb, 0xfe);
    ck_assert_uint_eq(team_run(&b, clock + 100000, &vp), COUNTED);
    ck_assert_uint_gt(board_get(&b, 1, WHvX64RegisterRbx), 1000);
}
END_TEST

START_TEST(without_apics_hlt_exits_and_ends_the_turn)
{
    u32 seen[2] = { 0 }, vp, last = 9;

    for (u32 i = 0; i < 2; i++)
        TEAM_PUT(&b, i, 0xf4, 0xeb, 0xfd);
    for (u32 i = 0; i < 20; i++) {
        ck_assert_uint_eq(team_run(&b, NO_CLOCK, &vp), REASON(WHvRunVpExitReasonX64Halt));
        ck_assert_uint_ne(vp, last);
        last = vp;
        seen[vp]++;
    }
    ck_assert_uint_eq(seen[0], 10);
}
END_TEST

START_TEST(one_alone_runs_too)
{
    u64 clock;

    reopen(1, 1);
    TEAM_PUT(&b, 0, 0xb9, 0xb8, 0x0b, 0, 0, 0xf3, 0x90, 0x49, 0x75, 0xfb, 0xe6, 1); /* 3000 times pause, dec, jnz */
    clock = board_clock(&b);
    ck_assert_uint_eq(team_run_of(&b, NO_CLOCK, 0), 1);
    ck_assert_uint_eq(board_clock(&b), clock + 9001);
    ck_assert_uint_eq(board_run(&b, 0), 1); /* alone again */
}
END_TEST

/* Floating-point control words go with the processor: rounding up, rounding down; flags stay at home. */
START_TEST(control_words_change_with_the_processor)
{
    static const u16 fcw[] = { 0x0b7f, 0x077f };
    u64 clock = board_clock(&b);
    u32 vp;

    for (u32 i = 0; i < 2; i++) {
        WHV_REGISTER_NAME name = WHvX64RegisterFpControlStatus;
        WHV_REGISTER_VALUE v;

        memset(&v, 0, sizeof v);
        v.FpControlStatus.FpControl = fcw[i];
        ck_ok(WHvSetVirtualProcessorRegisters(b.partition, i, &name, 1, &v));
    }
    /* 0 divides 1 by 3, over and over; 1 only pauses. fld1; fild dword [value]; fdivp; fstp qword [80200] */
    store_bytes(b.memory + TEAM_VALUE, 3, 4);
    TEAM_PUT(&b, 0, 0xd9, 0xe8, 0xdb, 0x05, 0x40, 0, 8, 0, 0xde, 0xf9, 0xdd, 0x1d, 0, 2, 8, 0, 0xf3, 0x90, 0xeb, 0xec);
    TEAM_PUT(&b, 1, 0xd9, 0xe8, 0xd9, 0xe8, 0xde, 0xc1, 0xdd, 0x1d, 8, 2, 8, 0, 0xf3, 0x90, 0xeb, 0xf0);
    ck_assert_uint_eq(team_run(&b, clock + 5000, &vp), COUNTED);
    ck_assert_uint_eq(load_bytes(b.memory + 0x80200, 8), 0x3fd5555555555556);
    ck_assert_uint_eq(load_bytes(b.memory + 0x80208, 8), 0x4000000000000000);

    WHV_REGISTER_NAME name = WHvX64RegisterFpControlStatus;
    WHV_REGISTER_VALUE v;

    ck_ok(WHvGetVirtualProcessorRegisters(b.partition, 0, &name, 1, &v));
    ck_assert_uint_eq(v.FpControlStatus.FpStatus & 0x3f, 0x20);
    ck_assert_uint_eq(v.FpControlStatus.FpControl, fcw[0]);
    ck_ok(WHvGetVirtualProcessorRegisters(b.partition, 1, &name, 1, &v));
    ck_assert_uint_eq(v.FpControlStatus.FpStatus & 0x3f, 0);
    ck_assert_uint_eq(v.FpControlStatus.FpControl, fcw[1]);
}
END_TEST

START_TEST(processors_come_and_go)
{
    u32 vp;

    reopen(3, 5);
    for (u32 i = 0; i < 3; i++)
        put_log(i, 0x66, 0x90);
    ck_assert_uint_eq(team_run(&b, board_clock(&b) + 1500, &vp), COUNTED);
    ck_ok(WHvDeleteVirtualProcessor(b.partition, vp)); /* in the middle of its turn */
    ck_assert_uint_eq(team_run(&b, board_clock(&b) + 100000, &vp), COUNTED);
    ck_ok(WHvDeleteVirtualProcessor(b.partition, vp));
    ck_assert_uint_eq(team_run(&b, board_clock(&b) + 100000, &vp), COUNTED);
    ck_ok(WHvDeleteVirtualProcessor(b.partition, vp));
    ck_hr(SwhpRunPartition(b.partition, 0, &vp, &b.exit[0], sizeof b.exit[0]), WHV_E_VP_DOES_NOT_EXIST);
    ck_ok(WHvCreateVirtualProcessor(b.partition, 2, 0));
    board_ready(&b, 2);
    put_log(2, 0xe6, 9);
    ck_assert_uint_eq(team_run_of(&b, NO_CLOCK, 2), 9);
}
END_TEST

START_TEST(a_reset_begins_a_new_turn)
{
    SWHP_DIGEST before, after;
    u32 vp;

    run_log(2, 7, &before);
    ck_ok(WHvResetPartition(b.partition));
    for (u32 i = 0; i < 2; i++) {
        board_ready(&b, i);
        put_log(i, 0x66, 0x90);
    }
    ck_assert_uint_eq(team_run(&b, board_clock(&b) + 50000, &vp), COUNTED);
    team_hash(&b, &after);
    ck_assert_mem_ne(&before, &after, sizeof after);
}
END_TEST

TCase *turn_case(void)
{
    TCase *t = tcase_create("turns");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_spinlock_keeps_them_apart);
    tcase_add_test(t, the_same_seed_gives_the_same_run);
    tcase_add_test(t, turns_are_between_1000_and_20000_counts);
    tcase_add_test(t, a_run_in_pieces_is_the_run_in_one);
    tcase_add_test(t, exits_leave_the_turns_as_they_are);
    tcase_add_test(t, messages_pass);
    tcase_add_test(t, a_pause_ends_a_turn);
    tcase_add_test(t, a_pause_stops_right_behind_itself);
    tcase_add_test(t, a_lock_across_lines_and_pages);
    tcase_add_test(t, code_that_another_processor_writes_is_seen);
    tcase_add_test(t, without_apics_hlt_exits_and_ends_the_turn);
    tcase_add_test(t, one_alone_runs_too);
    tcase_add_test(t, control_words_change_with_the_processor);
    tcase_add_test(t, processors_come_and_go);
    tcase_add_test(t, a_reset_begins_a_new_turn);
    return t;
}
