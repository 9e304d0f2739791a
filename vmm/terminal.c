/* SPDX-License-Identifier: MIT */
/*
 * The user's end of the guest's serial port. The terminal belongs to the process, so what it was before is
 * kept here, where a signal handler finds it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* ppoll */
#endif

#include "terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum {
    CONTROL_A = 1,
    CONTROL_C = 3,
    FLUSH_AFTER = 64,
};

#define NS_PER_SECOND UINT64_C(1000000000)
#define PROGRESS_AFTER (2 * NS_PER_SECOND)

static struct termios before;
static volatile sig_atomic_t must_restore;

uint64_t host_time(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

void terminal_restore(void)
{
    if (must_restore) {
        must_restore = 0;
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
    }
}

static void die_restored(int signal_number)
{
    terminal_restore();
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

void terminal_open(struct terminal *terminal)
{
    static const int deadly[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};
    struct termios raw;

    memset(terminal, 0, sizeof *terminal);
    terminal->output_time = host_time();
    if (!isatty(STDIN_FILENO))
        return;
    if (tcgetpgrp(STDIN_FILENO) != getpgrp() || tcgetattr(STDIN_FILENO, &before) < 0) {
        terminal->at_eof = true; /* in the background: the terminal is somebody else's */
        return;
    }
    raw = before;
    /* Output keeps its processing, so that our own lines on standard error look right. */
    raw.c_iflag &= (tcflag_t)~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_lflag &= (tcflag_t)~(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++)
        signal(deadly[i], die_restored);
    atexit(terminal_restore);
    must_restore = 1;
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0) {
        must_restore = 0;
        return;
    }
    terminal->is_raw = true;
}

static void clear_progress(struct terminal *terminal)
{
    if (terminal->shows_progress) {
        (void)!write(STDERR_FILENO, "\r\033[K", 4);
        terminal->shows_progress = false;
    }
}

void terminal_flush(struct terminal *terminal)
{
    size_t done = 0;

    if (!terminal->output_count)
        return;
    clear_progress(terminal);
    while (done < terminal->output_count && !terminal->output_error) {
        ssize_t written = write(STDOUT_FILENO, terminal->output + done, terminal->output_count - done);

        if (written >= 0)
            done += (size_t)written;
        else if (errno == EAGAIN)
            poll(&(struct pollfd){.fd = STDOUT_FILENO, .events = POLLOUT}, 1, -1);
        else if (errno != EINTR)
            terminal->output_error = errno;
    }
    terminal->output_count = 0;
    terminal->output_time = host_time();
}

void terminal_put(void *context, uint8_t byte)
{
    struct terminal *terminal = context;

    terminal->output[terminal->output_count++] = byte;
    if (byte != '\r')
        terminal->in_line = byte != '\n';
    if (byte == '\n' || terminal->output_count >= FLUSH_AFTER)
        terminal_flush(terminal);
}

void terminal_close(struct terminal *terminal)
{
    terminal_flush(terminal);
    clear_progress(terminal);
    terminal_restore();
}

bool terminal_wait(const struct terminal *terminal, uint64_t ns)
{
    struct timespec timeout = {(time_t)(ns / NS_PER_SECOND), (long)(ns % NS_PER_SECOND)};
    struct pollfd input = {.fd = terminal->at_eof ? -1 : STDIN_FILENO, .events = POLLIN};

    return ppoll(&input, 1, &timeout, NULL) > 0;
}

/* Ctrl-C is the guest's while it listens; three in a second are meant for us in any case. */
static bool is_interrupt(struct terminal *terminal, bool guest_listens)
{
    uint64_t now = host_time();

    if (now - terminal->interrupt_time > NS_PER_SECOND) {
        terminal->interrupts = 0;
        terminal->interrupt_time = now;
    }
    return ++terminal->interrupts >= 3 || !guest_listens;
}

static void take_in(struct terminal *terminal, uint8_t byte, bool guest_listens)
{
    if (terminal->is_raw) {
        if (terminal->is_escaped) {
            terminal->is_escaped = false;
            if (byte == 'x' || byte == 'X') {
                terminal->wants_leave = true;
                return;
            }
        } else if (byte == CONTROL_A) {
            terminal->is_escaped = true;
            return;
        } else if (byte == CONTROL_C && is_interrupt(terminal, guest_listens)) {
            terminal->wants_interrupt = true;
            return;
        }
    }
    terminal->input[(terminal->input_head + terminal->input_count++) % sizeof terminal->input] = byte;
}

void terminal_poll(struct terminal *terminal, bool guest_listens)
{
    uint8_t bytes[sizeof terminal->input];
    size_t room = sizeof terminal->input - terminal->input_count;
    ssize_t got;

    /* Someone types faster than the guest reads: a terminal that nobody reads would hide Ctrl-A. */
    if (terminal->is_raw && !room) {
        terminal->input_count /= 2;
        room = sizeof terminal->input - terminal->input_count;
    }
    if (terminal->at_eof || !room || (!terminal->is_raw && !guest_listens) || !terminal_wait(terminal, 0))
        return;
    got = read(STDIN_FILENO, bytes, room);
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
        terminal->at_eof = true;
    for (ssize_t i = 0; i < got; i++)
        take_in(terminal, bytes[i], guest_listens);
}

size_t terminal_take(struct terminal *terminal, uint8_t *bytes, size_t size)
{
    size_t count = terminal->input_count < size ? terminal->input_count : size;

    for (size_t i = 0; i < count; i++)
        bytes[i] = terminal->input[(terminal->input_head + i) % sizeof terminal->input];
    terminal->input_head = (terminal->input_head + count) % sizeof terminal->input;
    terminal->input_count -= count;
    return count;
}

void terminal_progress(struct terminal *terminal, bool is_busy, uint64_t (*count)(void *context), void *context,
                       uint64_t started)
{
    uint64_t now = host_time();
    char line[100];
    double counts;
    int length;

    if (!is_busy) {
        clear_progress(terminal);
        terminal->output_time = now;
        return;
    }
    if (now - terminal->output_time < PROGRESS_AFTER || !isatty(STDERR_FILENO) ||
        (terminal->in_line && isatty(STDOUT_FILENO)))
        return;
    counts = (double)count(context);
    length = snprintf(line, sizeof line,
                      "\r\033[Ksoftwhp: running, %.0f million instructions, %.0f million a second",
                      counts / 1e6, counts * 1e3 / (double)(now - started + 1));
    (void)!write(STDERR_FILENO, line, (size_t)length);
    terminal->shows_progress = true;
    terminal->output_time = now - PROGRESS_AFTER + NS_PER_SECOND / 2;
}
