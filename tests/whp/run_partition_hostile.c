/* SPDX-License-Identifier: MIT */
/*
 * Random code on three processors in turns, with interrupts, timers and a caller that answers their exits: one seed gives
 * one run, however it is cut. ROUNDS=N and SEED=S make a campaign of it.
 */
#include "tests/whp/hostile.h"
#include "tests/whp/run_partition.h"

enum { PROCESSORS = 3, STOPS = 16, STEP = 5000, MOST_EXITS = 200, CODE_SIZE = 0x8000, ROUNDS_QUICK = 12 };

struct record {
    SWHP_DIGEST hash[STOPS];
    u32 exits[STOPS];
};

static struct board b;

/* Of any vector, periodic or not, masked now and then. */
static void start_timer(u32 vp, struct chance *c)
{
    board_set(&b, vp, WHvX64RegisterApicLvtTimer,
              (0x20 + chance_below(c, 0xe0)) | (u32)chance_below(c, 2) << 17 | (u32)chance_percent(c, 20) << 16);
    board_set(&b, vp, WHvX64RegisterApicDivide, 0xb);
    board_set(&b, vp, WHvX64RegisterApicInitCount, 10 + chance_below(c, 1000));
}

/* In 32-bit code again, somewhere, with registers that point about. */
static void renew(u32 vp, struct chance *c)
{
    static const WHV_REGISTER_NAME clear[] = { WHvX64RegisterCr4, WHvX64RegisterEfer, WHvX64RegisterCr3, WHvX64RegisterDr7,
                                               WHvRegisterPendingInterruption, WHvRegisterPendingEvent,
                                               WHvX64RegisterPendingDebugException, WHvRegisterInternalActivityState };

    board_ready(&b, vp);
    for (u32 i = 0; i < sizeof clear / sizeof *clear; i++)
        board_set(&b, vp, clear[i], 0);
    for (u32 i = 0; i < 8; i++)
        board_set(&b, vp, WHvX64RegisterRax + i, chance_percent(c, 70) ? 0x80000 + chance_below(c, 0x20000) : chance_any(c));
    board_set(&b, vp, WHvX64RegisterRsp, BOARD_CODE * (vp + 1) + 0xfff0);
    board_set(&b, vp, WHvX64RegisterRflags, 2 | (chance_below(c, 2) << 9));
    board_set(&b, vp, WHvX64RegisterRip, BOARD_CODE * (vp + 1) + chance_below(c, CODE_SIZE));
    if (chance_percent(c, 50))
        start_timer(vp, c);
}

/* Random code, with more of what turns are about: PAUSE, HLT, messages to the others. */
static void fill(u8 *code, struct chance *c)
{
    static const u8 pause[] = { 0xf3, 0x90 }, halt[] = { 0xfb, 0xf4 };

    hostile_code(c, code, CODE_SIZE, 32);
    for (u32 i = 0; i < 600; i++) {
        u8 *at = code + chance_below(c, CODE_SIZE - 16), send[10] = { 0xc7, 0x05, 0, 3, 0xe0, 0xfe, 0, 0, 0x0c, 0 };

        send[6] = (u8)(0x20 + chance_below(c, 0xe0)); /* mov dword [fee00300], vector, to all but itself */
        if (chance_percent(c, 20))
            send[7] = 1; /* to the one of least priority */
        else if (chance_percent(c, 5))
            send[7] = 4 + (u8)chance_below(c, 3); /* NMI, INIT, SIPI */
        switch (chance_below(c, 4)) {
        case 0: memcpy(at, send, sizeof send); break;
        case 1: memcpy(at, halt, sizeof halt); break;
        default: memcpy(at, pause, sizeof pause); break;
        }
    }
}

static void answer(u32 vp, struct chance *c)
{
    const WHV_RUN_VP_EXIT_CONTEXT *x = &b.exit[0];

    if (x->ExitReason == WHvRunVpExitReasonX64IoPortAccess && !chance_percent(c, 10))
        board_set(&b, vp, WHvX64RegisterRip, x->VpContext.Rip + x->VpContext.InstructionLength);
    else if (x->ExitReason != WHvRunVpExitReasonX64ApicEoi || chance_percent(c, 20))
        renew(vp, c);
}

/* most: the largest piece, 0 for none. */
static void play(u64 seed, u32 most, struct record *r)
{
    struct chance c = { seed }, cuts = { seed + most };
    u32 exits = 0, vp;
    u64 end;

    board_seed = seed;
    board_open(&b, WHvX64LocalApicEmulationModeXApic, PROCESSORS, SwhpClockVirtual, 0);
    if (seed & 1)
        board_eoi(&b);
    for (u32 i = 0; i < PROCESSORS; i++) {
        ck_assert_uint_eq(board_write(&b, i, APIC_SVR, 0x1ff), BOARD_DONE);
        fill(b.memory + BOARD_CODE * (i + 1), &c);
        renew(i, &c);
    }
    end = board_clock(&b);
    for (u32 stop = 0; stop < STOPS; stop++) {
        end += STEP;
        while (board_clock(&b) < end && exits < MOST_EXITS * (stop + 1)) {
            u64 left = end - board_clock(&b), piece = most ? 1 + chance_below(&cuts, most) : left;

            if (team_run(&b, board_clock(&b) + (piece < left ? piece : left), &vp) == COUNTED)
                continue;
            exits++;
            answer(vp, &c);
        }
        team_hash(&b, &r->hash[stop]);
        r->exits[stop] = exits;
        ck_ok(board_request(&b, chance_percent(&c, 10) ? WHvX64InterruptTypeNmi : WHvX64InterruptTypeFixed,
                            chance_below(&c, PROCESSORS), 0x20 + chance_below(&c, 200), 0));
    }
    board_close(&b);
}

START_TEST(random_code_runs_the_same_in_pieces)
{
    static const u32 most[] = { 0, 3, 2000 };
    u64 rounds = chance_wish("ROUNDS", ROUNDS_QUICK), seed = chance_wish("SEED", 1);
    struct record whole, pieces;

    for (u64 i = seed; i < seed + rounds; i++) {
        play(i, 0, &whole);
        for (u32 m = 0; m < sizeof most / sizeof *most; m++) {
            play(i, most[m], &pieces);
            for (u32 stop = 0; stop < STOPS; stop++) {
                ck_assert_msg(whole.exits[stop] == pieces.exits[stop], "SEED=%llu, in pieces of %u: %u exits, not %u, at %u",
                              (unsigned long long)i, most[m], pieces.exits[stop], whole.exits[stop], stop);
                ck_assert_msg(!memcmp(&whole.hash[stop], &pieces.hash[stop], sizeof whole.hash[stop]),
                              "SEED=%llu, in pieces of %u: different at %u", (unsigned long long)i, most[m], stop);
            }
        }
    }
}
END_TEST

TCase *turn_hostile_case(void)
{
    TCase *t = tcase_create("turns-hostile");

    tcase_set_timeout(t, 120);
    tcase_add_test(t, random_code_runs_the_same_in_pieces);
    return t;
}
