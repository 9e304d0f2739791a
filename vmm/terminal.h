/* SPDX-License-Identifier: MIT */
/*
 * The user's end of the guest's serial port: standard input and output, raw where they are a terminal, and
 * put back on every way out.
 */
#ifndef VMM_TERMINAL_H
#define VMM_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct terminal {
    bool is_raw;        /* standard input is a terminal, and ours */
    bool at_eof;        /* no more input will come */
    bool is_escaped;    /* the last byte was Ctrl-A */
    bool wants_leave;   /* Ctrl-A x */
    bool wants_interrupt; /* Ctrl-C that the guest doesn't listen to, or three of them at once */
    int output_error;   /* errno of a write that failed, and no more is written */
    unsigned interrupts; /* how many Ctrl-C came within a second */
    uint64_t interrupt_time;
    uint8_t input[256];
    size_t input_head, input_count;
    uint8_t output[4096];
    size_t output_count;
    bool shows_progress; /* a progress line stands on the terminal */
    bool in_line;        /* the guest's last line has no end yet: a prompt, perhaps */
    uint64_t output_time; /* the host's, when something was shown, or the guest had nothing to do */
};

/* Nanoseconds of the host's monotonic clock. */
uint64_t host_time(void);

/* Takes the terminal over; may be called once. */
void terminal_open(struct terminal *terminal);

/* Shows what is left and puts the terminal back. */
void terminal_close(struct terminal *terminal);

/* Puts the terminal back, and nothing else; may be called in a signal handler. */
void terminal_restore(void);

/* Looks for input without waiting. A guest that doesn't listen gets none, but a terminal is read for its
 * commands all the same. */
void terminal_poll(struct terminal *terminal, bool guest_listens);

/* Waits at most so long for input; true: there is some. */
bool terminal_wait(const struct terminal *terminal, uint64_t ns);

/* Takes at most size bytes of input. */
size_t terminal_take(struct terminal *terminal, uint8_t *bytes, size_t size);

/* A byte from the guest: shown at the end of a line, after 64 bytes, or by terminal_flush. */
void terminal_put(void *terminal, uint8_t byte);
void terminal_flush(struct terminal *terminal);

/* Shows on a terminal at standard error that something goes on, where the guest is busy and silent for long: how much, by
 * the count that it asks for. */
void terminal_progress(struct terminal *terminal, bool is_busy, uint64_t (*count)(void *context), void *context,
                       uint64_t started);

#endif
