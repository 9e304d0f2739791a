/* SPDX-License-Identifier: MIT */
/*
 * The 8254 timer of a PC and port 61, through which the third channel is gated and read.
 *
 * Nothing ticks: each channel knows when its count was loaded, and all else follows from the time that is
 * handed in, in nanoseconds.
 */
#ifndef VMM_PIT_H
#define VMM_PIT_H

#include <stdbool.h>
#include <stdint.h>

struct pic;

struct pit_channel {
    uint8_t mode;
    uint8_t access; /* 1 low byte, 2 high byte, 3 low then high */
    bool bcd;
    bool gate;
    bool is_loaded;       /* a count was written since the mode */
    bool is_counting;     /* ... and the gate or its edge let it start */
    bool has_next;        /* modes 2 and 3: a new count waits for the end of the period */
    bool write_high_next;
    bool read_high_next;
    bool count_latched, latch_high_next;
    bool status_latched;
    uint8_t write_low;
    uint8_t status;
    uint16_t latch;
    uint32_t reload;      /* 1 to 65536 (10000 in BCD) */
    uint32_t next_reload;
    uint64_t start;       /* the tick at which the count became the reload value */
    uint64_t next_start;
    uint64_t paused;      /* modes 0 and 4 with the gate low: how far it had come */
};

struct pit {
    struct pit_channel channel[3];
    uint8_t port61;
    struct pic *pic;
    uint64_t seen; /* the tick up to which interrupts have been given */
};

void pit_reset(struct pit *pit, struct pic *pic);

/* Moves IRQ 0 to where it is at this time, edges included. */
void pit_update(struct pit *pit, uint64_t now);

/* When IRQ 0 rises next, or UINT64_MAX. */
uint64_t pit_deadline(const struct pit *pit);

/* The output of a channel. */
bool pit_output(struct pit *pit, unsigned channel, uint64_t now);

/* Ports 40 to 43, and 61. */
uint32_t pit_read(void *device, uint16_t port, unsigned size, uint64_t now);
void pit_write(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now);

#endif
