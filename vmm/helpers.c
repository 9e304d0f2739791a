/* SPDX-License-Identifier: MIT */
/*
 * The threads beside the processors': one waits for signals, so that no handler calls the platform, and one
 * stops the first processor, which sees to the devices, at a time of the host's clock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "machine.h"

#define NS_PER_SECOND UINT64_C(1000000000)

static void *wait_for_signals(void *context)
{
    struct machine *m = context;
    struct helpers *h = &m->helpers;
    int number;

    for (;;) {
        if (sigwait(&h->signal_set, &number) != 0)
            continue;
        if (number == SIGUSR1) {
            if (__atomic_load_n(&h->ends, __ATOMIC_ACQUIRE))
                return NULL;
            continue;
        }
        if (h->signal_seen) { /* asked before, and something hangs, such as a full pipe */
            terminal_restore();
            _exit(128 + number);
        }
        __atomic_store_n(&h->signal_seen, number, __ATOMIC_RELEASE);
        WHvCancelRunVirtualProcessor(m->partition, 0, 0);
    }
}

static void *wait_for_time(void *context)
{
    struct machine *m = context;
    struct helpers *h = &m->helpers;

    pthread_mutex_lock(&h->lock);
    while (!h->ends) {
        struct timespec until = {(time_t)(h->wake_time / NS_PER_SECOND),
                                 (long)(h->wake_time % NS_PER_SECOND)};

        if (h->wake_time == UINT64_MAX)
            pthread_cond_wait(&h->changed, &h->lock);
        else if (host_time() < h->wake_time)
            pthread_cond_timedwait(&h->changed, &h->lock, &until);
        else {
            h->wake_time = UINT64_MAX;
            WHvCancelRunVirtualProcessor(m->partition, 0, 0);
        }
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

void helpers_wake_at(struct machine *m, uint64_t time)
{
    struct helpers *h = &m->helpers;

    pthread_mutex_lock(&h->lock);
    h->wake_time = time;
    pthread_cond_signal(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

bool helpers_start(struct machine *m, struct problem *problem)
{
    static const int taken[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1};
    struct helpers *h = &m->helpers;
    pthread_condattr_t attributes;

    h->wake_time = UINT64_MAX;
    signal(SIGPIPE, SIG_IGN); /* writes fail instead */
    sigemptyset(&h->signal_set);
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        struct sigaction old;

        /* nohup is respected. A script's background job ignores SIGINT too, but whoever sends it means it. */
        if (taken[i] == SIGHUP && sigaction(SIGHUP, NULL, &old) == 0 && old.sa_handler == SIG_IGN)
            continue;
        signal(taken[i], SIG_DFL); /* an ignored signal can't be waited for */
        sigaddset(&h->signal_set, taken[i]);
    }
    pthread_sigmask(SIG_BLOCK, &h->signal_set, NULL);
    if (pthread_create(&h->signals, NULL, wait_for_signals, m) != 0)
        return problem_is(problem, STATUS_HOST, "the host can't start a thread");
    h->has_signals = true;
    if (!m->options->host_clock)
        return true;
    pthread_mutex_init(&h->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&h->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&h->timer, NULL, wait_for_time, m) != 0)
        return problem_is(problem, STATUS_HOST, "the host can't start a thread");
    h->has_timer = true;
    return true;
}

void helpers_stop(struct machine *m)
{
    struct helpers *h = &m->helpers;

    if (h->has_timer) {
        pthread_mutex_lock(&h->lock);
        h->ends = true;
        pthread_cond_signal(&h->changed);
        pthread_mutex_unlock(&h->lock);
        pthread_join(h->timer, NULL);
        pthread_cond_destroy(&h->changed);
        pthread_mutex_destroy(&h->lock);
    }
    __atomic_store_n(&h->ends, true, __ATOMIC_RELEASE);
    if (h->has_signals) {
        pthread_kill(h->signals, SIGUSR1);
        pthread_join(h->signals, NULL);
    }
}
