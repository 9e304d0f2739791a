/* SPDX-License-Identifier: MIT */
/* WHvRequestInterrupt: each type, from another thread while the processor runs, and misuse. PendingEvent's ExtInt. */
#include "tests/whp/apic.h"

#include <pthread.h>
#include <unistd.h>

static struct board b;

static void setup(void)
{
    board_open(&b, WHvX64LocalApicEmulationModeXApic, 2, SwhpClockHost, 0);
    board_write(&b, 0, APIC_SVR, 0x1ff);
    board_write(&b, 0, APIC_LVT_LINT1, 0x400); /* NMI, as firmware has it */
    board_write(&b, 0, APIC_LDR, 1 << 24);
}

static void teardown(void)
{
    board_close(&b);
}

static const struct kind {
    u32 type, destination, vector, flags;
    u32 comes; /* as which exit */
} kinds[] = {
    { WHvX64InterruptTypeFixed, 0, 0x41, 0, 0x41 },
    { WHvX64InterruptTypeFixed, 0xff, 0x42, LEVEL, 0x42 },
    { WHvX64InterruptTypeFixed, 0xffffffff, 0x42, 0, 0x42 },
    { WHvX64InterruptTypeFixed, 1, 0x43, LOGICAL, 0x43 },
    { WHvX64InterruptTypeLowestPriority, 0xff, 0x44, 0, 0x44 },
    { WHvX64InterruptTypeNmi, 0, 0, 0, 2 },
    { WHvX64InterruptTypeLocalInt1, 0, 0, 0, 2 },
    { WHvX64InterruptTypeInit, 0, 0, 0, REASON(WHvRunVpExitReasonMemoryAccess) },
};

static void *request_soon(void *context)
{
    const struct kind *k = context;

    usleep(2000);
    ck_ok(board_request(&b, k->type, k->destination, k->vector, k->flags));
    return NULL;
}

START_TEST(each_type_reaches_a_running_processor)
{
    struct kind k = kinds[_i];
    pthread_t thread;

    board_loop(&b, 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, request_soon, &k), 0);
    ck_assert_uint_eq(board_run(&b, 0), k.comes);
    pthread_join(thread, NULL);
}
END_TEST

START_TEST(lint1_does_what_its_vector_says)
{
    board_write(&b, 0, APIC_LVT_LINT1, 0x8061); /* fixed, level */
    ck_ok(board_request(&b, WHvX64InterruptTypeLocalInt1, 0, 0, 0));
    board_loop(&b, 0);
    ck_assert_uint_eq(board_run(&b, 0), 0x61);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicTmr3), 2);
    board_write(&b, 0, APIC_EOI, 0);
    board_write(&b, 0, APIC_LVT_LINT1, 0x10061);
    ck_ok(board_request(&b, WHvX64InterruptTypeLocalInt1, 0, 0, 0));
    ck_assert_uint_eq(board_read(&b, 0, APIC_IRR + 3), 0);
}
END_TEST

START_TEST(what_nobody_takes_is_lost_without_a_word)
{
    ck_ok(board_request(&b, WHvX64InterruptTypeFixed, 9, 0x41, 0));
    ck_ok(board_request(&b, WHvX64InterruptTypeFixed, 1, 0x41, 0)); /* its APIC is off */
    ck_assert_uint_eq(board_get(&b, 1, WHvX64RegisterApicIrr2), 0);
    ck_ok(board_request(&b, WHvX64InterruptTypeFixed, 0, 0x05, 0)); /* illegal: the receiver notes it */
    board_write(&b, 0, APIC_ESR, 0);
    ck_assert_uint_eq(board_read(&b, 0, APIC_ESR), ESR_RECEIVE_ILLEGAL);
}
END_TEST

START_TEST(misuse_is_refused)
{
    WHV_INTERRUPT_CONTROL c;
    u32 targets[2] = { 9, 9 }, n = 9;

    memset(&c, 0, sizeof c);
    c.Vector = 0x41;
    ck_hr(WHvRequestInterrupt(b.partition, NULL, sizeof c), E_POINTER);
    ck_hr(WHvRequestInterrupt(b.partition, &c, 8), E_INVALIDARG);
    c.Vector = 0x141;
    ck_hr(WHvRequestInterrupt(b.partition, &c, sizeof c), E_INVALIDARG);
    c.Vector = 0x41;
    for (u32 type = 0; type < 256; type++) {
        bool known = type < 2 || (type >= 4 && type <= 6) || type == 9;

        c.Type = type & 0xff;
        c.Destination = 0x33; /* nobody */
        ck_hr(WHvRequestInterrupt(b.partition, &c, sizeof c), known ? S_OK : E_INVALIDARG);
    }
    c.Type = 0;
    c.TargetVtl = 1;
    ck_hr(WHvRequestInterrupt(b.partition, &c, sizeof c), E_INVALIDARG);
    c.TargetVtl = 0;
    c.DestinationMode = 2;
    ck_hr(WHvRequestInterrupt(b.partition, &c, sizeof c), E_INVALIDARG);
    c.DestinationMode = 0;
    c.TriggerMode = 2;
    ck_hr(WHvRequestInterrupt(b.partition, &c, sizeof c), E_INVALIDARG);
    c.TriggerMode = 0;
    c.Reserved = 1;
    ck_hr(WHvRequestInterrupt(b.partition, &c, sizeof c), E_INVALIDARG);

    ck_ok(WHvGetInterruptTargetVpSet(b.partition, 0xff, WHvX64InterruptDestinationModePhysical, targets, 2, &n));
    ck_assert_uint_eq(n, 2);
    ck_assert_uint_eq(targets[0], 0);
    ck_assert_uint_eq(targets[1], 1);
    ck_hr(WHvGetInterruptTargetVpSet(b.partition, 0xff, WHvX64InterruptDestinationModePhysical, targets, 1, &n),
          E_INVALIDARG);
    ck_ok(WHvGetInterruptTargetVpSet(b.partition, 1, WHvX64InterruptDestinationModeLogical, targets, 1, &n));
    ck_assert_uint_eq(n, 1);
    ck_ok(WHvGetInterruptTargetVpSet(b.partition, 0x40, WHvX64InterruptDestinationModeLogical, NULL, 0, &n));
    ck_assert_uint_eq(n, 0);
}
END_TEST

START_TEST(requests_may_race_with_deletion)
{
    struct kind k = { WHvX64InterruptTypeFixed, 0xff, 0x41, 0, 0 };
    pthread_t thread;

    for (u32 i = 0; i < 50; i++) {
        ck_assert_int_eq(pthread_create(&thread, NULL, request_soon, &k), 0);
        for (u32 n = 0; n < 20; n++) {
            ck_ok(WHvDeleteVirtualProcessor(b.partition, 1));
            usleep(200);
            ck_ok(WHvCreateVirtualProcessor(b.partition, 1, 0));
        }
        pthread_join(thread, NULL);
    }
}
END_TEST

/* ---- ExtInt ---- */

START_TEST(ext_int_waits_until_it_may_come_and_asks_no_priorities)
{
    struct code c = { .size = 0 };

    board_write(&b, 0, APIC_TPR, 0xf0);
    board_set(&b, 0, WHvRegisterPendingEvent, 1 | 5 << 1 | 0x21 << 8);
    ck_assert_uint_eq(board_get(&b, 0, WHvRegisterPendingEvent), 1 | 5 << 1 | 0x21 << 8);
    CODE(&c, 0x90, 0xe6, 2, 0xfb, 0x90, 0x90); /* nop; out 2; sti; nop; nop */
    ck_assert_uint_eq(board_do(&b, 0, &c), 2);
    ck_assert_uint_ne(board_get(&b, 0, WHvRegisterPendingEvent), 0);
    board_pass(&b, 0);
    ck_assert_uint_eq(board_run(&b, 0), 0x21);
    ck_assert_uint_eq(board_get(&b, 0, WHvRegisterPendingEvent), 0);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicIsr1), 0);
}
END_TEST

START_TEST(an_exception_takes_ext_ints_place)
{
    board_loop(&b, 0);
    board_set(&b, 0, WHvRegisterPendingEvent, 1 | 5 << 1 | 0x21 << 8);
    board_set(&b, 0, WHvRegisterPendingEvent, 1 | 6 << 16);
    ck_assert_uint_eq(board_run(&b, 0), 6);
    ck_assert_uint_eq(board_get(&b, 0, WHvRegisterPendingEvent), 0);
}
END_TEST

TCase *apic_request_case(void)
{
    TCase *t = tcase_create("apic-requests");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, each_type_reaches_a_running_processor, 0, sizeof kinds / sizeof *kinds);
    tcase_add_test(t, lint1_does_what_its_vector_says);
    tcase_add_test(t, what_nobody_takes_is_lost_without_a_word);
    tcase_add_test(t, misuse_is_refused);
    tcase_add_test(t, requests_may_race_with_deletion);
    tcase_add_test(t, ext_int_waits_until_it_may_come_and_asks_no_priorities);
    tcase_add_test(t, an_exception_takes_ext_ints_place);
    return t;
}
