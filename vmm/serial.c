/* SPDX-License-Identifier: MIT */
/*
 * A 16550A serial port (National Semiconductor PC16550D data sheet). Bytes are sent in no time, so that the
 * transmitter is always empty; the divisor and the format are kept and have no effect.
 */
#include "serial.h"

#include <string.h>

#include "pic.h"

enum {
    IER_RECEIVED = 1,
    IER_SENT = 2,
    IER_LINE = 4,
    IER_MODEM = 8,

    IIR_MODEM = 0x0,
    IIR_NONE = 0x1,
    IIR_SENT = 0x2,
    IIR_RECEIVED = 0x4,
    IIR_LINE = 0x6,
    IIR_TIMEOUT = 0xc,
    IIR_FIFO = 0xc0,

    FCR_ENABLE = 1,
    FCR_CLEAR_RECEIVER = 2,

    LCR_DIVISOR = 0x80,

    MCR_DTR = 1,
    MCR_RTS = 2,
    MCR_OUT1 = 4,
    MCR_OUT2 = 8,
    MCR_LOOP = 0x10,

    LSR_DATA = 1,
    LSR_OVERRUN = 2,
    LSR_EMPTY = 0x60, /* holding register and shifter */

    MSR_CTS = 0x10,
    MSR_DSR = 0x20,
    MSR_RING = 0x40,
    MSR_DCD = 0x80,

    /* Who looks at LSR so often with nothing sent between waits for input; a driver that sends looks once. */
    IDLE_POLLS = 16,
};

static unsigned capacity(const struct serial *s)
{
    return s->fcr & FCR_ENABLE ? SERIAL_FIFO_SIZE : 1;
}

static unsigned trigger_level(const struct serial *s)
{
    static const uint8_t levels[] = {1, 4, 8, 14};

    return s->fcr & FCR_ENABLE ? levels[s->fcr >> 6] : 1;
}

/* The interrupt of highest priority, as IIR shows it; data sheet, table V. */
static uint8_t interrupt_source(const struct serial *s)
{
    if ((s->ier & IER_LINE) && s->line_errors)
        return IIR_LINE;
    /* A FIFO that isn't at its level reports after four characters' time, which here is none. */
    if ((s->ier & IER_RECEIVED) && s->fifo_count)
        return s->fifo_count >= trigger_level(s) ? IIR_RECEIVED : IIR_TIMEOUT;
    if ((s->ier & IER_SENT) && s->sent_pending)
        return IIR_SENT;
    if ((s->ier & IER_MODEM) && s->modem_delta)
        return IIR_MODEM;
    return IIR_NONE;
}

/* On a PC the modem-control output 2 connects the interrupt; the loop disconnects it. */
static void update_interrupt(struct serial *s)
{
    bool connected = (s->mcr & MCR_OUT2) && !(s->mcr & MCR_LOOP);

    pic_set_line(s->pic, s->irq, connected && interrupt_source(s) != IIR_NONE);
}

static void update_modem(struct serial *s)
{
    uint8_t lines = MSR_CTS | MSR_DSR | MSR_DCD; /* somebody is at the other end */
    uint8_t changed;

    if (s->mcr & MCR_LOOP)
        lines = (uint8_t)((s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
                          (s->mcr & MCR_OUT1 ? MSR_RING : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0));
    changed = s->modem_lines ^ lines;
    /* The ring indicator counts when it ends only. */
    changed &= (uint8_t)~(lines & MSR_RING);
    s->modem_delta |= changed >> 4;
    s->modem_lines = lines;
}

static void push(struct serial *s, uint8_t byte)
{
    if (s->fifo_count == capacity(s)) {
        s->line_errors |= LSR_OVERRUN;
        if (s->fcr & FCR_ENABLE)
            return; /* the FIFO keeps what it has; without it the new byte wins */
        s->fifo_count = 0;
    }
    s->fifo[(s->fifo_head + s->fifo_count++) % SERIAL_FIFO_SIZE] = byte;
}

static uint8_t pop(struct serial *s)
{
    uint8_t byte = s->fifo[s->fifo_head];

    if (s->fifo_count) {
        s->fifo_head = (s->fifo_head + 1) % SERIAL_FIFO_SIZE;
        s->fifo_count--;
    }
    return byte;
}

bool serial_listens(const struct serial *s)
{
    if (s->mcr & MCR_LOOP)
        return false;
    return (s->ier & IER_RECEIVED) || s->idle_polls >= IDLE_POLLS;
}

unsigned serial_room(const struct serial *s)
{
    return serial_listens(s) ? capacity(s) - s->fifo_count : 0;
}

void serial_receive(struct serial *s, const uint8_t *bytes, size_t count)
{
    if (s->mcr & MCR_LOOP)
        return;
    for (size_t i = 0; i < count; i++)
        push(s, bytes[i]);
    update_interrupt(s);
}

static void send(struct serial *s, uint8_t byte)
{
    s->idle_polls = 0;
    s->sent_pending = true;
    if (s->mcr & MCR_LOOP)
        push(s, byte);
    else if (s->output)
        s->output(s->output_context, byte);
}

static uint8_t read_register(struct serial *s, unsigned reg)
{
    uint8_t value;

    switch (reg) {
    case 0:
        if (s->lcr & LCR_DIVISOR)
            return s->divisor[0];
        s->idle_polls = 0;
        return pop(s);
    case 1:
        return s->lcr & LCR_DIVISOR ? s->divisor[1] : s->ier;
    case 2:
        value = interrupt_source(s);
        if (value == IIR_SENT)
            s->sent_pending = false;
        return value | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0);
    case 3:
        return s->lcr;
    case 4:
        return s->mcr;
    case 5:
        if (s->idle_polls < IDLE_POLLS)
            s->idle_polls++;
        value = (uint8_t)(LSR_EMPTY | s->line_errors | (s->fifo_count ? LSR_DATA : 0));
        s->line_errors = 0;
        return value;
    case 6:
        value = s->modem_lines | s->modem_delta;
        s->modem_delta = 0;
        return value;
    default:
        return s->scratch;
    }
}

static void write_register(struct serial *s, unsigned reg, uint8_t value)
{
    switch (reg) {
    case 0:
        if (s->lcr & LCR_DIVISOR)
            s->divisor[0] = value;
        else
            send(s, value);
        break;
    case 1:
        if (s->lcr & LCR_DIVISOR) {
            s->divisor[1] = value;
        } else {
            /* Enabling it with the transmitter empty makes an interrupt at once, which Linux tests for. */
            if (value & ~s->ier & IER_SENT)
                s->sent_pending = true;
            s->ier = value & 0x0f;
        }
        break;
    case 2:
        /* Turning the FIFOs on or off empties them; the other bits count only with them on. */
        if ((value ^ s->fcr) & FCR_ENABLE || value & FCR_CLEAR_RECEIVER)
            s->fifo_count = 0;
        s->fcr = value & FCR_ENABLE ? value & 0xc9 : 0;
        break;
    case 3:
        s->lcr = value;
        break;
    case 4:
        s->mcr = value & 0x1f;
        update_modem(s);
        break;
    case 7:
        s->scratch = value;
        break;
    }
}

uint32_t serial_read(void *device, uint16_t port, unsigned size, uint64_t now)
{
    struct serial *s = device;
    uint8_t value = read_register(s, port & 7);

    (void)size;
    (void)now;
    update_interrupt(s);
    return value;
}

void serial_write(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
    struct serial *s = device;

    (void)size;
    (void)now;
    write_register(s, port & 7, (uint8_t)value);
    update_interrupt(s);
}

void serial_reset(struct serial *s, struct pic *pic, unsigned irq)
{
    void (*output_function)(void *, uint8_t) = s->output;
    void *output_context = s->output_context;

    memset(s, 0, sizeof *s);
    s->output = output_function;
    s->output_context = output_context;
    s->pic = pic;
    s->irq = irq;
    s->divisor[0] = 12; /* 9600 */
    update_modem(s);
    s->modem_delta = 0;
}
