/* SPDX-License-Identifier: MIT */
/*
 * A 16550A serial port. It sends at once, and its receive FIFO is filled by whoever has input.
 */
#ifndef VMM_SERIAL_H
#define VMM_SERIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pic;

enum { SERIAL_FIFO_SIZE = 16 };

struct serial {
    uint8_t ier, fcr, lcr, mcr, scratch;
    uint8_t line_errors; /* LSR bit 1, overrun, until read */
    uint8_t divisor[2];
    uint8_t modem_delta;
    uint8_t modem_lines; /* MSR bits 4 to 7 as last seen */
    bool sent_pending;   /* the transmitter became empty and IIR hasn't told */
    uint8_t fifo[SERIAL_FIFO_SIZE];
    unsigned fifo_head, fifo_count;
    unsigned idle_polls; /* reads of LSR since a byte went either way */
    struct pic *pic;
    unsigned irq;
    void (*output)(void *context, uint8_t byte);
    void *output_context;
};

void serial_reset(struct serial *serial, struct pic *pic, unsigned irq);

/* Does the guest wait for input: by interrupt, or by looking at LSR again and again? */
bool serial_listens(const struct serial *serial);

/* How many bytes it would take now without losing any: none while it doesn't listen. */
unsigned serial_room(const struct serial *serial);

/* Bytes that came down the line. */
void serial_receive(struct serial *serial, const uint8_t *bytes, size_t count);

uint32_t serial_read(void *device, uint16_t port, unsigned size, uint64_t now);
void serial_write(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now);

#endif
