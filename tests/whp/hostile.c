/* SPDX-License-Identifier: MIT */
/*
 * Hostile guests under callers that answer exits at random: nothing crashes, each Run ends within its budget,
 * and one seed gives one run, however it is cut. ROUNDS=N and SEED=S make a campaign of it; TRACE=1 shows
 * each exit.
 */
#include "tests/whp/hostile.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { RUNS = 48, ROUNDS_QUICK = 80 };

/* How a run to a count is cut. */
enum cut { CUT_NEVER, CUT_EACH, CUT_BY_CANCELS };

struct record {
    u64 digest[RUNS];
    u32 reason[RUNS];
    u64 count[RUNS], rip[RUNS];
    SWHP_DIGEST hash;
};

/* ---- running ---- */

static u64 count_of(const struct hostile *h)
{
    u64 count;

    ck_ok(SwhpGetInstructionCount(h->partition, 0, &count));
    return count;
}

static u64 clock_of(const struct hostile *h)
{
    u64 clock;

    ck_ok(SwhpGetClock(h->partition, &clock));
    return clock;
}

/* Runs until the clock is `more` counts further, which a sleep passes too, or something else ends it. */
static void run_on(struct hostile *h, u64 more, enum cut cut, WHV_RUN_VP_EXIT_CONTEXT *x)
{
    u64 clock = clock_of(h), until = clock + more, count = count_of(h);

    for (;;) {
        u64 left = clock < until ? until - clock : 0, stop = count + (cut == CUT_EACH && left ? 1 : left);

        memset(x, 0xcc, sizeof *x);
        ck_ok(SwhpRunVirtualProcessorUntil(h->partition, 0, stop, x, sizeof *x));
        u64 now = count_of(h);
        ck_assert_msg(now >= count, "the count fell from %llu to %llu", (unsigned long long)count,
                      (unsigned long long)now);
        ck_assert_msg(now <= stop + 1, "the count went past %llu to %llu", (unsigned long long)stop,
                      (unsigned long long)now);
        ck_assert_msg(h->has_apic || x->ExitReason != SwhpRunVpExitReasonCount || now >= stop,
                      "it stopped at %llu, before %llu", (unsigned long long)now, (unsigned long long)stop);
        count = now;
        clock = clock_of(h);
        if (hostile_traces && cut == CUT_EACH)
            printf("  count %llu, cs:rip %x:%llx\n", (unsigned long long)now, x->VpContext.Cs.Selector,
                   (unsigned long long)x->VpContext.Rip);
        if (x->ExitReason == WHvRunVpExitReasonCanceled && cut == CUT_BY_CANCELS)
            continue;
        if (x->ExitReason != SwhpRunVpExitReasonCount || clock >= until)
            return;
        ck_assert_msg(cut == CUT_EACH, "the clock stopped at %llu, before %llu", (unsigned long long)clock,
                      (unsigned long long)until);
    }
}

static u64 digest_registers(const struct hostile *h, u64 digest)
{
    static const WHV_REGISTER_NAME others[] = { WHvX64RegisterFpControlStatus,
                                                WHvX64RegisterXmmControlStatus,
                                                WHvX64RegisterXmm0,
                                                WHvX64RegisterXmm7,
                                                WHvX64RegisterFpMmx0,
                                                WHvX64RegisterEfer,
                                                WHvX64RegisterStar,
                                                WHvRegisterPendingInterruption,
                                                WHvRegisterInterruptState,
                                                WHvRegisterPendingEvent,
                                                WHvX64RegisterDeliverabilityNotifications,
                                                WHvX64RegisterPendingDebugException,
                                                WHvX64RegisterTsc };
    enum { GENERAL = WHvX64RegisterXCr0 + 1, OTHERS = sizeof others / sizeof *others };
    WHV_REGISTER_NAME names[GENERAL + OTHERS];
    WHV_REGISTER_VALUE v[GENERAL + OTHERS];

    for (int i = 0; i < GENERAL; i++)
        names[i] = (WHV_REGISTER_NAME)i;
    memcpy(names + GENERAL, others, sizeof others);
    ck_ok(WHvGetVirtualProcessorRegisters(h->partition, 0, names, GENERAL + OTHERS, v));
    if (hostile_traces) {
        for (int i = 0; i < GENERAL + OTHERS; i++)
            printf(" %x=%llx.%llx", (u32)names[i], (unsigned long long)v[i].Reg128.High64,
                   (unsigned long long)v[i].Reg64);
        printf("\n");
    }
    return digest_add(digest, v, sizeof v);
}

struct canceller {
    WHV_PARTITION_HANDLE partition;
    bool stop;
};

static void *cancel_always(void *context)
{
    struct canceller *c = context;

    while (!__atomic_load_n(&c->stop, __ATOMIC_SEQ_CST)) {
        WHvCancelRunVirtualProcessor(c->partition, 0, 0);
        usleep(30);
    }
    return NULL;
}

static void play(u64 seed, enum cut cut, struct record *r)
{
    struct canceller canceller = { .stop = false };
    WHV_RUN_VP_EXIT_CONTEXT x;
    pthread_t thread;
    struct hostile h;

    hostile_open(&h, seed);
    hostile_devices_open();
    h.is_lying = seed & 1;
    canceller.partition = h.partition;
    if (cut == CUT_BY_CANCELS)
        ck_assert_int_eq(pthread_create(&thread, NULL, cancel_always, &canceller), 0);
    for (u32 i = 0; i < RUNS; i++) {
        u64 more =
            chance_percent(&h.chance, 70) ? 1 + chance_below(&h.chance, 60) : chance_below(&h.chance, 1500);

        run_on(&h, more, cut, &x);
        r->reason[i] = (u32)x.ExitReason;
        r->count[i] = count_of(&h);
        r->rip[i] = x.VpContext.Rip;
        r->digest[i] = digest_add(r->count[i], &x, sizeof x);
        if (hostile_traces)
            printf("%u reason %x count %llu cs %x:%llx", i, r->reason[i], (unsigned long long)r->count[i],
                   x.VpContext.Cs.Selector, (unsigned long long)x.VpContext.Rip);
        for (u32 n = 0; hostile_traces && n < sizeof x / 8; n++)
            printf("%s%llx", n ? "." : " exit ", (unsigned long long)load_bytes((u8 *)&x + n * 8, 8));
        r->digest[i] = digest_registers(&h, r->digest[i]) ^ hostile_count(&h);

        u32 status = hostile_answer(&h, &x);
        if (hostile_traces)
            printf("  answered %08x\n", status);
        r->digest[i] = digest_add(r->digest[i], &status, sizeof status);
    }
    if (cut == CUT_BY_CANCELS) {
        __atomic_store_n(&canceller.stop, true, __ATOMIC_SEQ_CST);
        pthread_join(thread, NULL);
    }
    ck_ok(SwhpStateHash(h.partition, &r->hash));
    hostile_devices_close();
    hostile_close(&h);
}

static void compare(u64 seed, const char *what, const struct record *a, const struct record *b)
{
    for (u32 i = 0; i < RUNS; i++)
        ck_assert_msg(
            a->digest[i] == b->digest[i],
            "seed %llu, %s: run %u differs: reason %x, count %llu, rip %llx; then reason %x, count %llu, "
            "rip %llx",
            (unsigned long long)seed, what, i, a->reason[i], (unsigned long long)a->count[i],
            (unsigned long long)a->rip[i], b->reason[i], (unsigned long long)b->count[i],
            (unsigned long long)b->rip[i]);
    ck_assert_msg(!memcmp(&a->hash, &b->hash, sizeof a->hash), "seed %llu, %s: the state at the end differs",
                  (unsigned long long)seed, what);
}

static void campaign(enum cut cut, const char *what)
{
    static struct record first, second;
    u64 rounds = chance_wish("ROUNDS", ROUNDS_QUICK), seed = chance_wish("SEED", 1);
    bool is_long = rounds > ROUNDS_QUICK;

    hostile_traces = chance_wish("TRACE", 0);
    for (u64 i = 0; i < rounds; i++, seed++) {
        if (is_long)
            fprintf(stderr, "\r%llu ", (unsigned long long)seed);
        alarm(is_long ? 60 : 0);
        play(seed, CUT_NEVER, &first);
        play(seed, cut, &second);
        compare(seed, what, &first, &second);
    }
}

START_TEST(a_seed_gives_the_same_run_twice)
{
    campaign(CUT_NEVER, "once more");
}
END_TEST

START_TEST(counts_one_by_one_give_the_same_run)
{
    campaign(CUT_EACH, "by single counts");
}
END_TEST

START_TEST(cancels_do_not_change_the_run)
{
    campaign(CUT_BY_CANCELS, "with cancels");
}
END_TEST

TCase *hostile_case(void)
{
    TCase *t = tcase_create("hostile");

    tcase_set_timeout(t, chance_wish("ROUNDS", 0) ? 100000 : 60);
    tcase_add_test(t, a_seed_gives_the_same_run_twice);
    tcase_add_test(t, counts_one_by_one_give_the_same_run);
    tcase_add_test(t, cancels_do_not_change_the_run);
    return t;
}
