/* SPDX-License-Identifier: MIT */
/* A caller whose other thread changes arguments while a call reads them: it is refused, or what was checked is done. */
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/whp/guest.h"

enum { TRIES = 30000 };

/* A word that is one of two values at any time. */
struct fickle {
    u64 *word;
    u64 good, bad;
    bool is_over;
};

static void *flip(void *context)
{
    struct fickle *f = context;

    for (u64 n = 0; !__atomic_load_n(&f->is_over, __ATOMIC_RELAXED); n++)
        __atomic_store_n(f->word, n & 1 ? f->bad : f->good, __ATOMIC_RELAXED);
    return NULL;
}

static void begin(struct fickle *f, pthread_t *thread)
{
    *f->word = f->good;
    ck_assert_int_eq(pthread_create(thread, NULL, flip, f), 0);
}

static void end(struct fickle *f, pthread_t thread)
{
    __atomic_store_n(&f->is_over, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
}

START_TEST(of_a_property_what_was_checked_is_set)
{
    static _Alignas(8) u64 value;
    struct fickle f = { .word = &value, .good = 2, .bad = 1000 };
    WHV_PARTITION_HANDLE p;
    pthread_t thread;
    u32 count = 0;

    ck_ok(WHvCreatePartition(&p));
    begin(&f, &thread);
    for (u32 i = 0; i < TRIES; i++) {
        HRESULT hr = WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, &value, 4);

        ck_assert(hr == S_OK || hr == E_INVALIDARG);
        ck_ok(WHvGetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, &count, 4, NULL));
        ck_assert_msg(count == 0 || count == 2, "a partition of %u processors", count);
    }
    end(&f, thread);
    ck_ok(WHvDeletePartition(p));
}
END_TEST

/* Few registers, and more than fit on a stack. */
START_TEST(of_registers_what_was_checked_is_set)
{
    enum { MOST = 1000 };
    static WHV_REGISTER_VALUE values[MOST];
    static WHV_REGISTER_NAME names[MOST];
    u32 count = _i ? MOST : 1;
    struct fickle f = { .word = &values[count - 1].Reg64, .good = 3, .bad = (u64)1 << 62 };
    struct guest g;
    pthread_t thread;

    guest_open(&g, GUEST_LONG, "\xf4", 1);
    for (u32 i = 0; i < count; i++) {
        names[i] = WHvX64RegisterXCr0;
        values[i].Reg64 = 1;
    }
    begin(&f, &thread);
    for (u32 i = 0; i < TRIES / count + 300; i++) {
        HRESULT hr = WHvSetVirtualProcessorRegisters(g.partition, 0, names, count, values);

        ck_assert(hr == S_OK || hr == (HRESULT)0xC0350050u);
        ck_assert_uint_lt(guest_get(&g, WHvX64RegisterXCr0), 4);
    }
    end(&f, thread);
    guest_close(&g);
}
END_TEST

/* By which a page would be hidden that there can't be. */
START_TEST(of_a_port_what_was_checked_is_opened)
{
    static WHV_NOTIFICATION_PORT_PARAMETERS q;
    struct fickle f = { .word = &q.Doorbell.GuestAddress, .good = GUEST_HOLE, .bad = ~(u64)0 };
    HANDLE event = (HANDLE)(intptr_t)eventfd(0, EFD_CLOEXEC);
    WHV_NOTIFICATION_PORT_HANDLE port;
    struct guest g;
    pthread_t thread;

    guest_open(&g, GUEST_LONG, "\xf4", 1);
    q.NotificationPortType = WHvNotificationPortTypeDoorbell;
    begin(&f, &thread);
    for (u32 i = 0; i < TRIES / 4; i++) {
        HRESULT hr = WHvCreateNotificationPort(g.partition, &q, event, &port);

        ck_assert(hr == S_OK || hr == E_INVALIDARG);
        if (hr != S_OK)
            continue;

        /* it is where it was checked to be, and nothing else may hang there */
        WHV_DOORBELL_MATCH_DATA there = { .GuestAddress = GUEST_HOLE };

        ck_hr(WHvRegisterPartitionDoorbellEvent(g.partition, &there, event), (HRESULT)0xC0350005u);
        ck_ok(WHvDeleteNotificationPort(g.partition, port));
    }
    end(&f, thread);
    close((int)(intptr_t)event);
    guest_close(&g);
}
END_TEST

START_TEST(of_ranges_what_was_checked_is_looked_up)
{
    static WHV_MEMORY_RANGE_ENTRY ranges[2] = { { GUEST_CODE, 4096 }, { GUEST_CODE, 4096 } };
    struct fickle f = { .word = &ranges[1].GuestAddress, .good = GUEST_CODE, .bad = ~(u64)0 << 12 };
    struct guest g;
    pthread_t thread;

    guest_open(&g, GUEST_LONG, "\xf4", 1);
    begin(&f, &thread);
    for (u32 i = 0; i < TRIES; i++) {
        HRESULT hr = WHvAdviseGpaRange(g.partition, ranges, 2, WHvAdviseGpaRangeCodePin, NULL, 0);

        ck_assert_msg(hr == S_OK || hr == E_INVALIDARG, "%08x", (u32)hr);
    }
    end(&f, thread);
    guest_close(&g);
}
END_TEST

TCase *fickle_case(void)
{
    TCase *t = tcase_create("fickle");

    tcase_add_test(t, of_a_property_what_was_checked_is_set);
    tcase_add_loop_test(t, of_registers_what_was_checked_is_set, 0, 2);
    tcase_add_test(t, of_a_port_what_was_checked_is_opened);
    tcase_add_test(t, of_ranges_what_was_checked_is_looked_up);
    return t;
}
