/* SPDX-License-Identifier: MIT */
/*
 * The I/O APIC: an index and a data register, a table with an entry for each input, and what an input that moves
 * sends. Section numbers are those of the data sheet.
 */
#include "ioapic.h"

#include <string.h>

enum {
    REG_ID = 0,
    REG_VERSION = 1,
    REG_ARBITRATION = 2,
    REG_TABLE = 0x10,
    VERSION = 0x11,

    AT_INDEX = 0x00,
    AT_DATA = 0x10,
};

/* 3.2.4, I/O redirection table registers. The polarity is stored, and doesn't matter: inputs come as asserted or
 * not. */
#define ENTRY_DELIVERY(e) ((unsigned)((e) >> 8 & 7))
#define ENTRY_LOGICAL UINT64_C(0x800)
#define ENTRY_STATUS UINT64_C(0x1000) /* whatever is sent has arrived */
#define ENTRY_REMOTE_IRR UINT64_C(0x4000)
#define ENTRY_LEVEL UINT64_C(0x8000)
#define ENTRY_MASKED UINT64_C(0x10000)
#define ENTRY_WRITABLE UINT64_C(0xff0000000001afff)

static struct ioapic_message message_of(uint64_t entry)
{
    return (struct ioapic_message){
        .vector = (uint8_t)entry,
        .delivery = (uint8_t)ENTRY_DELIVERY(entry),
        .destination = (uint8_t)(entry >> 56),
        .is_logical = entry & ENTRY_LOGICAL,
        .is_level = entry & ENTRY_LEVEL,
    };
}

/* Levels are for vectors: other modes are edges whatever the entry says. 3.2.4, "Delivery Mode". */
static bool is_level(uint64_t entry)
{
    return entry & ENTRY_LEVEL && ENTRY_DELIVERY(entry) <= IOAPIC_LOWEST;
}

static void send(struct ioapic *io, unsigned pin)
{
    struct ioapic_message message = message_of(io->entry[pin]);

    message.is_level = is_level(io->entry[pin]);
    if (message.is_level)
        io->entry[pin] |= ENTRY_REMOTE_IRR;
    if (message.delivery != IOAPIC_EXTINT) /* which is asked for: ioapic_ext_int() */
        io->send(io->send_context, &message);
}

/* A level is sent once, and again when its end finds it still there. */
static void send_level(struct ioapic *io, unsigned pin)
{
    uint64_t entry = io->entry[pin];

    if (is_level(entry) && io->asserted >> pin & 1 && !(entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR)))
        send(io, pin);
}

void ioapic_set_pin(struct ioapic *io, unsigned pin, bool is_asserted)
{
    uint32_t bit = 1u << pin;
    bool rises = is_asserted && !(io->asserted & bit);

    io->asserted = is_asserted ? io->asserted | bit : io->asserted & ~bit;
    if (is_level(io->entry[pin]))
        send_level(io, pin);
    else if (rises && !(io->entry[pin] & ENTRY_MASKED)) /* a masked edge is lost: 3.2.4, "Interrupt Mask" */
        send(io, pin);
}

static unsigned pin_of(unsigned irq)
{
    return irq == 0 ? IOAPIC_PIN_TIMER : irq;
}

void ioapic_set_irq(void *ioapic, unsigned irq, bool high)
{
    ioapic_set_pin(ioapic, pin_of(irq), high);
}

void ioapic_end(struct ioapic *io, uint8_t vector)
{
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t entry = io->entry[pin];

        if (!(entry & ENTRY_REMOTE_IRR) || (uint8_t)entry != vector)
            continue;
        io->entry[pin] &= ~ENTRY_REMOTE_IRR;
        send_level(io, pin);
    }
}

bool ioapic_lets_through(const struct ioapic *io, unsigned irq)
{
    return !(io->entry[pin_of(irq)] & ENTRY_MASKED);
}

bool ioapic_ext_int(const struct ioapic *io, struct ioapic_message *message)
{
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        if (ENTRY_DELIVERY(io->entry[pin]) != IOAPIC_EXTINT || io->entry[pin] & ENTRY_MASKED)
            continue;
        *message = message_of(io->entry[pin]);
        return true;
    }
    return false;
}

bool ioapic_has_nmi(const struct ioapic *io)
{
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        if (ENTRY_DELIVERY(io->entry[pin]) == IOAPIC_NMI && !(io->entry[pin] & ENTRY_MASKED))
            return true;
    return false;
}

static uint32_t read_register(const struct ioapic *io)
{
    unsigned n = io->index - REG_TABLE;

    switch (io->index) {
    case REG_ID:
    case REG_ARBITRATION: /* as a write to the ID leaves it, and no bus changes it */
        return (uint32_t)io->id << 24;
    case REG_VERSION:
        return (IOAPIC_PINS - 1) << 16 | VERSION;
    }
    return n < 2 * IOAPIC_PINS ? (uint32_t)(io->entry[n / 2] >> 32 * (n & 1)) : 0;
}

static void write_entry(struct ioapic *io, unsigned n, uint32_t value)
{
    unsigned pin = n / 2, shift = 32 * (n & 1);
    uint64_t *entry = &io->entry[pin], writable = ENTRY_WRITABLE & UINT64_C(0xffffffff) << shift;

    *entry = (*entry & ~writable) | ((uint64_t)value << shift & writable);
    if (!is_level(*entry)) /* an edge waits for no end; so a guest can take the end of a level by hand */
        *entry &= ~ENTRY_REMOTE_IRR;
    send_level(io, pin);
}

static void write_register(struct ioapic *io, uint32_t value)
{
    unsigned n = io->index - REG_TABLE;

    if (io->index == REG_ID)
        io->id = value >> 24 & 15;
    else if (n < 2 * IOAPIC_PINS)
        write_entry(io, n, value);
}

/* 3.1: registers are read and written as 32 bits. Parts of one can be read, and the index can be written so. */
void ioapic_read(const struct ioapic *io, uint64_t offset, uint8_t *bytes, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        uint64_t at = offset + i;
        uint32_t value = (at & ~UINT64_C(3)) == AT_INDEX  ? io->index
                         : (at & ~UINT64_C(3)) == AT_DATA ? read_register(io)
                                                          : 0;

        bytes[i] = (uint8_t)(value >> 8 * (at & 3));
    }
}

void ioapic_write(struct ioapic *io, uint64_t offset, const uint8_t *bytes, unsigned size)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < size && i < 4; i++)
        value |= (uint32_t)bytes[i] << 8 * i;
    if (offset == AT_INDEX)
        io->index = (uint8_t)value;
    else if (offset == AT_DATA && size == 4)
        write_register(io, value);
}

void ioapic_reset(struct ioapic *io)
{
    io->index = io->id = 0;
    io->asserted = 0;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        io->entry[pin] = ENTRY_MASKED;
}
