/* SPDX-License-Identifier: MIT */
/* Hypercalls that flush translations, of processors that stand and that run. */
#include <pthread.h>
#include <sched.h>

#include "tests/whp/synic.h"

static struct board b;

static void setup(void)
{
    synic_open(&b, 2, SwhpClockVirtual);
    synic_identify(&b);
}

static void teardown(void)
{
    board_close(&b);
}

static void input(const u64 *words, u32 n)
{
    memcpy(b.memory + INPUT_AT, words, n * sizeof *words);
}

enum { TABLES = 0xb0000, PAGE = 0x80000 };

/* Identity for the first 4 MiB by 4 KiB pages, but 400000 + n pages lead to PAGE. */
static void build_paging(void)
{
    for (u32 i = 0; i < 1024; i++) {
        u32 low = i << 12 | 7, high = PAGE | 7;

        memcpy(b.memory + TABLES + 0x1000 + i * 4, &low, 4);
        memcpy(b.memory + TABLES + 0x2000 + i * 4, &high, 4);
    }
    u32 first[2] = { TABLES + 0x1007, TABLES + 0x2007 }, apic = 0xfee00087;

    memcpy(b.memory + TABLES, first, sizeof first);
    apic = 0xfec00087;
    memcpy(b.memory + TABLES + 4 * 0x3fb, &apic, 4);
}

static void page_on(u32 vp)
{
    board_set(&b, vp, WHvX64RegisterCr3, TABLES);
    board_set(&b, vp, WHvX64RegisterCr4, 0x10);
    board_set(&b, vp, WHvX64RegisterCr0, 0x80000031);
}

static void lead_to(u32 gpa)
{
    __atomic_store_n((u32 *)(void *)(b.memory + TABLES + 0x2000), gpa | 7, __ATOMIC_SEQ_CST); /* also while one runs */
}

/* An old translation may be used until it is flushed; afterwards it may not. Each call that flushes is tried. */
START_TEST(a_flush_flushes)
{
    static const struct {
        u64 control, words[6];
    } calls[] = {
        { 0x02, { TABLES, 0, 1 } },
        { 0x02, { 0, 3, 0 } },
        { 0x03 | REPS(1), { TABLES, 0, 1, 0x400000 } },
        { 0x03 | REPS(2) | START(1), { TABLES, 0, 1, 0, 0x3fe005 } },
        { 0x03 | REPS(1), { TABLES, 0, 1, 0x100fff } },
        { 0x13, { 0, 0, 1, 0 } },
        { 0x14 | VARIABLE(1) | REPS(1), { 0, 0, 0, 1, 1, 0x400000 } },
    };
    struct code c = { .size = 0 };

    memset(b.memory + PAGE, 0x11, 4096);
    memset(b.memory + PAGE + 0x1000, 0x22, 4096);
    build_paging();
    lead_to(PAGE);
    page_on(0);
    for (unsigned i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        struct code after = { .size = 0 };

        lead_to(PAGE);
        input(calls[i].words, 6);
        c.size = 0;
        CODE(&c, 0x8b, 0x1d, 0, 0, 0x40, 0); /* mov ebx, [400000] */
        ck_assert_uint_eq(board_do(&b, 0, &c), BOARD_DONE);
        ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterRbx) & 0xff, 0x11);
        lead_to(PAGE + 0x1000);
        ck_assert_uint_eq((u32)synic_hypercall(&b, calls[i].control, INPUT_AT, 0), 0);
        CODE(&after, 0x8b, 0x1d, 0, 0, 0x40, 0);
        ck_assert_uint_eq(board_do(&b, 0, &after), BOARD_DONE);
        ck_assert_msg((board_get(&b, 0, WHvX64RegisterRbx) & 0xff) == 0x22, "row %u", i);
        board_set(&b, 0, WHvX64RegisterCr3, TABLES);
    }
}
END_TEST

static void *run_other(void *unused)
{
    (void)unused;
    board_run(&b, 1);
    return NULL;
}

static u32 word(u32 at)
{
    return __atomic_load_n((u32 *)(void *)(b.memory + at), __ATOMIC_SEQ_CST);
}

/*
 * Another processor copies what it reads through one page to another place, round and round. Once the call is back, it
 * reads the new page, always.
 */
START_TEST(a_flush_of_a_running_processor)
{
    struct code c = { .size = 0 };
    pthread_t thread;

    board_close(&b);
    synic_open(&b, 2, SwhpClockHost);
    synic_identify(&b);
    build_paging();
    lead_to(PAGE);
    CODE(&c, 0xa1, 0, 0, 0x40, 0, 0xa3, 0, 0, 0xc, 0, 0xff, 0x05, 4, 0, 0xc, 0, 0xeb, 0xee);
    /* 1: mov eax, [400000]; mov [c0000], eax; inc dword [c0004]; jmp 1b */
    board_put(&b, 1, &c);
    page_on(1);
    ck_assert_int_eq(pthread_create(&thread, NULL, run_other, NULL), 0);
    while (!word(0xc0004))
        sched_yield();
    for (u32 i = 1; i <= 300; i++) {
        u32 page = PAGE + (i & 7) * 0x1000, rounds;
        u64 words[] = { 0, 0, 2, 0x400000 };

        __atomic_store_n((u32 *)(void *)(b.memory + page), i, __ATOMIC_SEQ_CST);
        lead_to(page);
        input(words, 4);
        ck_assert_uint_eq((u32)synic_hypercall(&b, _i ? 0x03 | REPS(1) : 0x02, INPUT_AT, 0), 0);
        rounds = word(0xc0004);
        while (word(0xc0004) - rounds < 2)
            sched_yield();
        ck_assert_uint_eq(word(0xc0000), i);
    }
    ck_ok(WHvCancelRunVirtualProcessor(b.partition, 1, 0));
    pthread_join(thread, NULL);
}
END_TEST

TCase *hypercall_flush_case(void)
{
    TCase *t = tcase_create("hypercall-flushes");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_flush_flushes);
    tcase_add_loop_test(t, a_flush_of_a_running_processor, 0, 2);
    return t;
}
