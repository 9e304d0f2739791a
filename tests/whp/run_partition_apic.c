/* SPDX-License-Identifier: MIT */
/* SwhpRunPartition with local APICs: sleep, wake-ups at their exact clock, messages, start of processors. */
#include "tests/whp/run_partition.h"

#include "state/host.h"

enum { DIVIDE_1 = 11, HALTED = 2, STARTUP = 1, ICR_INIT = 0x4500, ICR_SIPI = 0x4600 };

static struct board b;

static void open_team(u32 processors, u32 clock)
{
    board_open(&b, WHvX64LocalApicEmulationModeXApic, processors, clock, 0);
    for (u32 i = 0; i < processors; i++)
        ck_assert_uint_eq(board_write(&b, i, APIC_SVR, 0x1ff), BOARD_DONE);
}

static void setup(void)
{
    board_seed = 1;
    open_team(2, SwhpClockVirtual);
}

static void teardown(void)
{
    board_close(&b);
}

static void reopen(u32 processors, u32 clock)
{
    board_close(&b);
    open_team(processors, clock);
}

/* sti; 1: hlt; out port; jmp 1b */
static void put_halt(u32 vp, u8 port)
{
    TEAM_PUT(&b, vp, 0xfb, 0xf4, 0xe6, port, 0xeb, 0xfb);
}

START_TEST(a_message_wakes_a_sleeper_at_once)
{
    struct code c = { .size = 0 };
    u64 clock, sent;

    put_halt(0, 3);
    CODE(&c, 0xb9, 0, 0, 1, 0, 0x49, 0x75, 0xfd); /* 65536 rounds */
    code_write(&c, APIC_ICR_HIGH, 0);
    code_write(&c, APIC_ICR, 0x41);
    CODE(&c, 0xeb, 0xfe);
    board_put(&b, 1, &c);
    clock = board_clock(&b) + 2; /* what completes the two OUTs of setup() */
    sent = clock + 2 + 1 + 2 * 65536 + 2;
    ck_assert_uint_eq(team_run_of(&b, NO_CLOCK, 0), 0x41);
    ck_assert_uint_eq(board_clock(&b), sent + 1); /* the delivery */
}
END_TEST

START_TEST(all_asleep_leap_to_the_clock)
{
    u64 clock = board_clock(&b) + 1000000;
    u32 vp;

    put_halt(0, 3);
    put_halt(1, 3);
    ck_assert_uint_eq(team_run(&b, clock, &vp), COUNTED);
    ck_assert_uint_eq(board_clock(&b), clock);
    ck_assert_uint_eq(board_get(&b, 0, WHvRegisterInternalActivityState), HALTED);
    ck_assert_uint_eq(board_get(&b, 1, WHvRegisterInternalActivityState), HALTED);
    ck_ok(board_request(&b, WHvX64InterruptTypeFixed, 1, 0x41, 0));
    ck_assert_uint_eq(team_run(&b, clock, &vp), COUNTED); /* the clock is there already */
    ck_assert_uint_eq(team_run_of(&b, clock + 1000, 1), 0x41);
    ck_assert_uint_eq(board_clock(&b), clock + 1);
}
END_TEST

static void code_timer(struct code *c, u32 vector, u32 count)
{
    code_write(c, APIC_LVT_TIMER, vector);
    code_write(c, APIC_DIVIDE, DIVIDE_1);
    code_write(c, APIC_INITIAL_COUNT, count);
}

/* Who has the lowest priority is decided by all that has come by then, also to a processor that waits for its turn. */
START_TEST(expired_timers_count_in_arbitration)
{
    for (board_seed = 1; board_seed <= 12; board_seed++) {
        struct code c = { .size = 0 };
        u32 vp;

        reopen(3, SwhpClockVirtual);
        for (u32 i = 1; i < 3; i++) {
            ck_assert_uint_eq(board_write(&b, i, APIC_SVR, 0x1ff), BOARD_DONE);
            TEAM_PUT(&b, i, 0xfa, 0xeb, 0xfe); /* cli; jmp to itself */
        }
        board_set(&b, 1, WHvX64RegisterApicLvtTimer, 0xe1);
        board_set(&b, 1, WHvX64RegisterApicDivide, DIVIDE_1);
        board_set(&b, 1, WHvX64RegisterApicInitCount, 150); /* 750 counts */
        board_set(&b, 2, WHvX64RegisterCr8, 5);
        CODE(&c, 0xb9, 0xe8, 3, 0, 0, 0x49, 0x75, 0xfd); /* mov ecx, 1000; 1: dec ecx; jnz 1b */
        code_write(&c, APIC_ICR, 3 << 18 | DELIVER_LOWEST << 8 | 0x41);
        CODE(&c, 0xe6, BOARD_DONE);
        board_put(&b, 0, &c);
        ck_assert_uint_eq(team_run(&b, NO_CLOCK, &vp), BOARD_DONE);
        ck_assert_msg(board_get(&b, 2, WHvX64RegisterApicIrr2) == 2, "seed %llu: the other got it",
                      (unsigned long long)board_seed);
    }
    board_seed = 0;
}
END_TEST

/* Timers of two sleepers, whose interrupts come at their exact clock while a third processor works. */
START_TEST(deadlines_cut_turns)
{
    static const u32 counts[2] = { 7777, 3333 };
    u64 due[2], start[2];
    u32 taken = 0, vp;

    reopen(3, SwhpClockVirtual);
    board_loop(&b, 2);
    for (u32 i = 0; i < 2; i++) {
        struct code c = { .size = 0 };

        code_timer(&c, 0x41 + i, counts[i]);
        CODE(&c, 0xe6, 5, 0xfb, 0xf4, 0xeb, 0xfd);
        board_put(&b, i, &c);
    }
    for (u32 i = 0; i < 2; i++) {
        ck_assert_uint_eq(team_run(&b, NO_CLOCK, &vp), 5);
        start[vp] = board_clock(&b) - 1; /* when the third write of it began */
        due[vp] = start[vp] + counts[vp] * 5;
        board_pass(&b, vp);
    }
    while (taken != 3) {
        u32 port = team_run(&b, NO_CLOCK, &vp);

        ck_assert_uint_eq(port, 0x41 + vp);
        ck_assert_uint_eq(board_clock(&b), due[vp] + 1);
        board_pass(&b, vp);
        taken |= 1u << vp;
    }
}
END_TEST

/* Where all sleep, time leaps from deadline to deadline. */
START_TEST(the_earliest_timer_of_all_ends_the_nap)
{
    static const u32 counts[4] = { 400000, 300000, 100000, 200000 };
    u64 due[4], last = 0;
    u32 vp;

    reopen(4, SwhpClockVirtual);
    for (u32 i = 0; i < 4; i++) {
        struct code c = { .size = 0 };

        code_timer(&c, 0x41, counts[i]);
        CODE(&c, 0xe6, 5, 0xfb, 0xf4, 0xeb, 0xfd);
        board_put(&b, i, &c);
    }
    for (u32 i = 0; i < 4; i++) {
        ck_assert_uint_eq(team_run(&b, NO_CLOCK, &vp), 5);
        due[vp] = board_clock(&b) - 1 + counts[vp] * 5;
        board_pass(&b, vp);
    }
    for (u32 i = 0; i < 4; i++) {
        ck_assert_uint_eq(team_run(&b, NO_CLOCK, &vp), 0x41);
        ck_assert_uint_eq(board_clock(&b), due[vp] + 1);
        ck_assert_uint_gt(due[vp], last);
        last = due[vp];
        TEAM_PUT(&b, vp, 0xfb, 0xf4); /* sleeps for good */
    }
}
END_TEST

/* On a processor that only waits for its turn the timer fires in its next one, and each gets its interrupts. */
START_TEST(timers_of_all_while_all_work)
{
    u64 end;
    u32 vp;

    reopen(4, SwhpClockVirtual);
    team_handlers(&b);
    for (u32 i = 0; i < 4; i++) {
        struct code c = { .size = 0 };

        code_timer(&c, 0x41 | LVT_PERIODIC, 20000); /* 100000 counts */
        CODE(&c, 0xfb, 0xeb, 0xfe);
        board_put(&b, i, &c);
    }
    end = board_clock(&b) + 2000000;
    ck_assert_uint_eq(team_run(&b, end, &vp), COUNTED);
    for (u32 i = 0; i < 4; i++) {
        ck_assert_uint_ge(team_load(&b, TEAM_COUNTS + i * 4), 18);
        ck_assert_uint_le(team_load(&b, TEAM_COUNTS + i * 4), 20);
    }
}
END_TEST

/*
 * Some of everything. 0 works, with PAUSEs, floating point, a log and a periodic timer. 1 sleeps between timers and
 * messages. 2 sends to 0 and 1, and has a long REP STOS. 3 sleeps with a timer that is due each 1300 counts.
 */
static void put_everything(u32 seed)
{
    static const u8 works[] = { 0xfb, 0xb8, 1, 0,    0,    0,    0xf0, 0x0f, 0xc1, 0x05, 0,    0,    8,    0,    0x25, 0xff,
                                0xff, 0,    0, 0x88, 0x98, 0,    0,    9,    0,    0xf3, 0x90, 0xb9, 0x32, 0,    0,    0,
                                0xd9, 0xe8, 0xd8, 0xc0, 0xdd, 0xd8, 0x0f, 0x31, 0x31, 0xc6, 0x49, 0x75, 0xf3, 0xeb, 0xd2 };
    static const u8 sleeps[] = { 0xfb, 0xf4, 0xff, 0x05, 0, 2, 8, 0, 0xeb, 0xf6 };
    static const u8 sends[] = { 0xc7, 0x05, 0x10, 3, 0xe0, 0xfe, 0,    0,    0, 1, 0xc7, 0x05, 0, 3,    0xe0, 0xfe,
                                0x41, 0,    0,    0, 0xb9, 0xbc, 2,    0,    0, 0x49, 0x75, 0xfd, 0xc7, 0x05, 0x10, 3,
                                0xe0, 0xfe, 0,    0, 0,    0,    0xc7, 0x05, 0, 3, 0xe0, 0xfe, 0x42, 0,    0,    0,
                                0xf3, 0x90, 0xbf, 0, 0,    10,   0,    0xb9, 0x88, 0x13, 0, 0, 0xf3, 0xaa, 0xeb, 0xc0 };
    struct code c[4] = { { .size = 0 } };

    board_seed = seed;
    reopen(4, SwhpClockVirtual);
    team_handlers(&b);
    code_timer(&c[0], 0x43 | LVT_PERIODIC, 900);
    code_bytes(&c[0], works, sizeof works);
    code_timer(&c[1], 0x44 | LVT_PERIODIC, 5000);
    code_bytes(&c[1], sleeps, sizeof sleeps);
    code_bytes(&c[2], sends, sizeof sends);
    code_timer(&c[3], 0x45 | LVT_PERIODIC, 260);
    code_bytes(&c[3], sleeps, sizeof sleeps);
    for (u32 i = 0; i < 4; i++)
        board_put(&b, i, &c[i]);
}

static void run_everything(u32 seed, u64 counts, u32 most, SWHP_DIGEST *d)
{
    u64 at, end, chance = most;
    u32 vp;

    put_everything(seed);
    at = board_clock(&b);
    end = at + counts;
    while (at < end) {
        chance = chance * 6364136223846793005u + 1442695040888963407u;
        at = most && end - at > most ? at + 1 + (chance >> 33) % most : end;
        ck_assert_uint_eq(team_run(&b, at, &vp), COUNTED);
        ck_assert_uint_eq(board_clock(&b), at);
    }
    team_hash(&b, d);
}

START_TEST(everything_at_once_is_the_same_in_pieces)
{
    SWHP_DIGEST whole, other, pieces;

    run_everything(3, 400000, 0, &whole);
    for (u32 i = 0; i < 4; i++)
        if (i != 2)
            ck_assert_uint_gt(team_load(&b, TEAM_COUNTS + i * 4), 5);
    for (u32 most = 3; most < 40000; most = most * 7 + 1) {
        run_everything(3, 400000, most, &pieces);
        ck_assert_msg(!memcmp(&whole, &pieces, sizeof whole), "in pieces of %u", most);
    }
    run_everything(4, 400000, 0, &other);
    ck_assert_mem_ne(&whole, &other, sizeof whole);
}
END_TEST

/* Each single count of a stretch as a piece of its own. */
START_TEST(everything_step_by_step)
{
    SWHP_DIGEST whole, pieces;

    run_everything(9, 30000, 0, &whole);
    run_everything(9, 30000, 1, &pieces);
    ck_assert_mem_eq(&whole, &pieces, sizeof whole);
}
END_TEST

/* A HLT that something wakes at once ends no turn, also where a piece ends right behind it. */
START_TEST(a_halt_with_an_interrupt_pending_is_the_same_in_pieces)
{
    SWHP_DIGEST d[2];

    for (u32 most = 0; most < 2; most++) {
        struct code c = { .size = 0 };
        u64 end;
        u32 vp;

        reopen(2, SwhpClockVirtual);
        team_handlers(&b);
        CODE(&c, 0xfa);
        code_write(&c, APIC_ICR, 1 << 18 | 0x41); /* to itself */
        CODE(&c, 0xfb, 0xf4, 0xeb, 0xf1);
        board_put(&b, 0, &c);
        TEAM_PUT(&b, 1, 0xff, 0x05, 0, 2, 8, 0, 0xeb, 0xf8); /* 1: inc dword [80200]; jmp 1b */
        end = board_clock(&b) + 30000;
        for (u64 at = most ? end - 30000 : end; at <= end; at++)
            ck_assert_uint_eq(team_run(&b, at, &vp), COUNTED);
        team_hash(&b, &d[most]);
    }
    ck_assert_mem_eq(&d[0], &d[1], sizeof d[0]);
    ck_assert_uint_gt(team_load(&b, TEAM_COUNTS), 300);
    ck_assert_uint_gt(team_load(&b, 0x80200), 1000);
}
END_TEST

/* What a caller reads in between changes nothing. */
START_TEST(looking_changes_nothing)
{
    static u8 memory[BOARD_MEMORY];
    u8 state[4096];
    u64 end, rip[4];
    u32 vp, size;

    run_everything(3, 300000, 0, &(SWHP_DIGEST){ 0 });
    memcpy(memory, b.memory, BOARD_MEMORY);
    for (u32 i = 0; i < 4; i++)
        rip[i] = board_get(&b, i, WHvX64RegisterRip);
    put_everything(3);
    end = board_clock(&b) + 300000;
    for (u64 at = end - 300000; at < end;) {
        at += 100;
        ck_assert_uint_eq(team_run(&b, at, &vp), COUNTED);
        for (u32 i = 0; i < 4; i++) {
            board_get(&b, i, WHvX64RegisterRflags);
            board_get(&b, i, WHvRegisterInternalActivityState);
            ck_ok(WHvGetVirtualProcessorInterruptControllerState2(b.partition, i, state, sizeof state, &size));
        }
    }
    ck_assert_mem_eq(memory, b.memory, BOARD_MEMORY);
    for (u32 i = 0; i < 4; i++)
        ck_assert_uint_eq(board_get(&b, i, WHvX64RegisterRip), rip[i]);
}
END_TEST

/* INIT, SIPI, SIPI to all but itself, as a kernel starts the others: real-mode code at 50000 writes its ID and halts. */
START_TEST(a_processor_starts_the_others)
{
    /* mov eax, [cs:id] isn't there: lock inc by xadd. mov ax, 1; mov bx, 8000h; mov ds, bx; lock xadd [0], ax; hlt */
    static const u8 trampoline[] = { 0xb8, 1, 0, 0xbb, 0, 0x80, 0x8e, 0xdb, 0xf0, 0x0f, 0xc1, 0x06, 0, 0, 0xf4, 0xeb, 0xfd };
    struct code c = { .size = 0 };

    board_close(&b);
    board_open(&b, WHvX64LocalApicEmulationModeXApic, 4, SwhpClockVirtual, 0);
    memcpy(b.memory + 0x60000, trampoline, sizeof trampoline);
    for (u32 i = 1; i < 4; i++)
        board_set(&b, i, WHvRegisterInternalActivityState, STARTUP);
    code_write(&c, APIC_SVR, 0x1ff);
    code_write(&c, APIC_ICR, 3 << 18 | ICR_INIT);
    code_write(&c, APIC_ICR, 3 << 18 | ICR_SIPI | 0x60);
    code_write(&c, APIC_ICR, 3 << 18 | ICR_SIPI | 0x60);
    CODE(&c, 0xf3, 0x90, 0x83, 0x3d, 0, 0, 8, 0, 3, 0x75, 0xf5, 0xe6, 6); /* until three were there */
    board_put(&b, 0, &c);
    ck_assert_uint_eq(team_run_of(&b, NO_CLOCK, 0), 6);
    for (u32 i = 1; i < 4; i++) {
        ck_assert_uint_eq(board_get(&b, i, WHvX64RegisterCs) & 0xffffffff, 0x60000);
        ck_assert_uint_le(board_get(&b, i, WHvX64RegisterRax) & 0xffff, 2);
    }
    ck_assert_uint_lt(board_clock(&b), 2000);
}
END_TEST

START_TEST(traps_of_the_apic_leave)
{
    u64 exits = 1 << 6;

    ck_ok(WHvSetPartitionProperty(b.partition, WHvPartitionPropertyCodeExtendedVmExits, &exits, sizeof exits));

    struct code c = { .size = 0 };

    code_write(&c, APIC_ICR_HIGH, 1 << 24);
    code_write(&c, APIC_ICR, ICR_INIT);
    CODE(&c, 0xe6, 5);
    board_put(&b, 0, &c);
    board_loop(&b, 1);
    ck_assert_uint_eq(team_run_of(&b, NO_CLOCK, 0), REASON(WHvRunVpExitReasonX64ApicInitSipiTrap));
    ck_assert_uint_eq(b.exit[0].ApicInitSipi.ApicIcr, 0x0100000000004500);
    ck_assert_uint_eq(team_run_of(&b, NO_CLOCK, 0), 5);
}
END_TEST

START_TEST(on_the_hosts_clock_timers_wake_too)
{
    u64 before;
    u32 vp;

    reopen(2, SwhpClockHost);
    for (u32 i = 0; i < 2; i++) {
        struct code c = { .size = 0 };

        code_timer(&c, 0x41, 2000000 * (i + 1)); /* 10 and 20 ms */
        CODE(&c, 0xfb, 0xf4, 0xeb, 0xfd);
        board_put(&b, i, &c);
    }
    before = host_nanoseconds();
    for (u32 i = 0; i < 2; i++) { /* on a busy host both may be due when it comes to look */
        ck_assert_uint_eq(team_run(&b, NO_CLOCK, &vp), 0x41);
        ck_assert_uint_ge(host_nanoseconds() - before, 10000000 * (vp + 1));
        TEAM_PUT(&b, vp, 0xfb, 0xf4);
    }

    u64 clock = board_clock(&b) + 5000000; /* 5 ms */

    ck_assert_uint_eq(team_run(&b, clock, &vp), COUNTED);
    ck_assert_uint_ge(board_clock(&b), clock);
    board_loop(&b, 0);
    board_set(&b, 0, WHvRegisterInternalActivityState, 0);
    ck_assert_uint_eq(team_run(&b, clock + 5000000, &vp), COUNTED);
    ck_assert_uint_ge(board_clock(&b), clock + 5000000);
}
END_TEST

TCase *turn_apic_case(void)
{
    TCase *t = tcase_create("turns-apic");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 20);
    tcase_add_test(t, a_message_wakes_a_sleeper_at_once);
    tcase_add_test(t, all_asleep_leap_to_the_clock);
    tcase_add_test(t, deadlines_cut_turns);
    tcase_add_test(t, expired_timers_count_in_arbitration);
    tcase_add_test(t, the_earliest_timer_of_all_ends_the_nap);
    tcase_add_test(t, timers_of_all_while_all_work);
    tcase_add_test(t, everything_at_once_is_the_same_in_pieces);
    tcase_add_test(t, everything_step_by_step);
    tcase_add_test(t, a_halt_with_an_interrupt_pending_is_the_same_in_pieces);
    tcase_add_test(t, looking_changes_nothing);
    tcase_add_test(t, a_processor_starts_the_others);
    tcase_add_test(t, traps_of_the_apic_leave);
    tcase_add_test(t, on_the_hosts_clock_timers_wake_too);
    return t;
}
