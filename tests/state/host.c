/* SPDX-License-Identifier: MIT */
/* state/host.h: events, conditions, logs. */
#include "state/host.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/state/cases.h"

static u64 signals(int fd)
{
    u64 n = 0;

    return read(fd, &n, sizeof n) == sizeof n ? n : 0;
}

START_TEST(an_event_outlives_the_callers_handle)
{
    int fd = eventfd(0, EFD_NONBLOCK), kept = dup(fd);
    bool is_event;
    void *copy = host_event_copy((void *)(intptr_t)fd, &is_event);

    ck_assert(is_event);
    ck_assert_ptr_nonnull(copy);
    host_event_signal((void *)(intptr_t)fd);
    close(fd);
    host_event_signal(copy);
    host_event_signal(copy);
    ck_assert_uint_eq(signals(kept), 3);
    host_event_close(copy);
    host_event_signal(copy); /* closed: nothing happens */
    ck_assert_uint_eq(signals(kept), 0);
    close(kept);
}
END_TEST

START_TEST(what_is_no_event_has_no_copy)
{
    intptr_t wrong[5] = { 0, -1, 987654, (intptr_t)1 << 40 };
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    wrong[4] = ends[1]; /* somebody's data */
    for (unsigned i = 0; i < 5; i++) {
        bool is_event = true;

        ck_assert_ptr_null(host_event_copy((void *)wrong[i], &is_event));
        ck_assert(!is_event);
    }
    close(ends[0]);
    close(ends[1]);
}
END_TEST

/* A caller may fill the counter, and reads it as he likes. */
START_TEST(a_full_event_doesnt_block)
{
    int fd = eventfd(0, 0);
    u64 most = ~(u64)1;

    ck_assert_int_eq(write(fd, &most, sizeof most), sizeof most);
    host_event_signal((void *)(intptr_t)fd);
    ck_assert_uint_eq(signals(fd), most);
    close(fd);
}
END_TEST

START_TEST(a_condition_waits_no_longer_than_told)
{
    struct host_lock lock = { 0 };
    struct host_condition condition = { 0 };
    u64 begin = host_nanoseconds();

    host_lock(&lock);
    host_condition_wait_for(&condition, &lock, 3000000);
    host_unlock(&lock);
    /* The two clocks run alike, but for what adjusts them. */
    ck_assert_uint_ge(host_nanoseconds() - begin, 2900000);
}
END_TEST

struct meeting {
    struct host_lock lock;
    struct host_condition changed;
    unsigned turn, rounds;
};

static void *take_turns(void *context)
{
    struct meeting *m = context;

    for (unsigned i = 0; i < m->rounds; i++) {
        host_lock(&m->lock);
        while (m->turn % 2 != 1)
            host_condition_wait(&m->changed, &m->lock);
        m->turn++;
        host_condition_wake_all(&m->changed);
        host_unlock(&m->lock);
    }
    return NULL;
}

START_TEST(zeros_are_a_lock_and_a_condition)
{
    struct meeting m = { .rounds = 1000 };
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, take_turns, &m), 0);
    for (unsigned i = 0; i < m.rounds; i++) {
        host_lock(&m.lock);
        while (m.turn % 2 != 0)
            host_condition_wait(&m.changed, &m.lock);
        m.turn++;
        host_condition_wake_all(&m.changed);
        host_unlock(&m.lock);
    }
    pthread_join(thread, NULL);
    ck_assert_uint_eq(m.turn, 2 * m.rounds);
}
END_TEST

START_TEST(logs_of_one_name_add_up)
{
    char path[] = "/tmp/softwhp-log-XXXXXX", text[16] = "";
    int fd = mkstemp(path);
    FILE *a = host_log_open(path), *b = host_log_open(path);

    ck_assert_ptr_nonnull(a);
    ck_assert_ptr_nonnull(b);
    fputs("one", a);
    fclose(a);
    fputs("two", b);
    fclose(b);
    ck_assert_int_eq(read(fd, text, sizeof text), 6);
    ck_assert_str_eq(text, "onetwo");
    close(fd);
    unlink(path);
    ck_assert_ptr_null(host_log_open("/nowhere/at/all"));
    a = host_log_open(NULL);
    ck_assert_ptr_nonnull(a);
    fclose(a); /* a copy of standard error, not itself */
    ck_assert_int_gt(fcntl(2, F_GETFD), -1);
}
END_TEST

TCase *host_case(void)
{
    TCase *t = tcase_create("host");

    tcase_add_test(t, an_event_outlives_the_callers_handle);
    tcase_add_test(t, what_is_no_event_has_no_copy);
    tcase_add_test(t, a_full_event_doesnt_block);
    tcase_add_test(t, a_condition_waits_no_longer_than_told);
    tcase_add_test(t, zeros_are_a_lock_and_a_condition);
    tcase_add_test(t, logs_of_one_name_add_up);
    return t;
}
