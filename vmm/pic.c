/* SPDX-License-Identifier: MIT */
/*
 * The two 8259A interrupt controllers (Intel 8259A data sheet, order number 231468), the slave on input 2 of
 * the master, and the edge/level control registers at 4D0 and 4D1.
 */
#include "pic.h"

#include <string.h>

enum {
    CASCADE = 2,
    SPURIOUS = 7,
    PORT_MASTER = 0x20,
    PORT_SLAVE = 0xa0,
    PORT_ELCR_MASTER = 0x4d0,
    PORT_ELCR_SLAVE = 0x4d1,
};

static uint8_t bit(unsigned input)
{
    return (uint8_t)(1u << (input & 7));
}

static bool is_level(const struct pic_chip *chip, unsigned input)
{
    return chip->level_all || (chip->elcr & bit(input));
}

/* The place of the first of these inputs in the order of priority, 0 the highest; 8: there is none. */
static unsigned first_place(const struct pic_chip *chip, uint8_t inputs)
{
    for (unsigned place = 0; place < 8; place++)
        if (inputs & bit(chip->lowest + 1u + place))
            return place;
    return 8;
}

/* The input to serve next, or -1. */
static int next_input(const struct pic_chip *chip, bool is_master)
{
    uint8_t blocking = chip->isr;
    unsigned place = first_place(chip, chip->irr & (uint8_t)~chip->imr);

    if (place == 8)
        return -1;
    /* In special mask mode a masked level in service holds back nobody; data sheet, "Special Mask Mode". */
    if (chip->special_mask)
        blocking &= (uint8_t)~chip->imr;
    /* In special fully nested mode a second request of the slave passes; same, "Special Fully Nested Mode".
     */
    if (is_master && chip->special_nested)
        blocking &= (uint8_t)~bit(CASCADE);
    if (first_place(chip, blocking) <= place)
        return -1;
    return (int)((chip->lowest + 1u + place) & 7);
}

static void chip_set_line(struct pic_chip *chip, unsigned input, bool high)
{
    uint8_t mask = bit(input);

    if (high) {
        if (is_level(chip, input) || !(chip->lines & mask))
            chip->irr |= mask;
        chip->lines |= mask;
    } else {
        /* The request must hold until it is acknowledged, edge or level; data sheet, "IR0 to IR7". */
        chip->irr &= (uint8_t)~mask;
        chip->lines &= (uint8_t)~mask;
    }
}

static void cascade(struct pic *pic)
{
    chip_set_line(&pic->master, CASCADE, next_input(&pic->slave, false) >= 0);
}

bool pic_is_requesting(const struct pic *pic)
{
    return next_input(&pic->master, true) >= 0;
}

/* Behind whatever may move the line to the processor. */
static void drive(struct pic *pic)
{
    bool is_high;

    if (!pic->output)
        return;
    is_high = pic_is_requesting(pic);
    if (is_high == pic->was_high)
        return;
    pic->was_high = is_high;
    pic->output(pic->output_context, is_high);
}

void pic_set_line(struct pic *pic, unsigned irq, bool high)
{
    if (pic->wire)
        pic->wire(pic->wire_context, irq, high);
    if (irq < 8) {
        chip_set_line(&pic->master, irq, high);
    } else {
        chip_set_line(&pic->slave, irq & 7, high);
        cascade(pic);
    }
    drive(pic);
}

bool pic_lets_through(const struct pic *pic, unsigned irq)
{
    if (irq < 8)
        return !(pic->master.imr & bit(irq));
    return !(pic->slave.imr & bit(irq)) && !(pic->master.imr & bit(CASCADE));
}

static void eoi(struct pic_chip *chip, unsigned input, bool rotate)
{
    chip->isr &= (uint8_t)~bit(input);
    if (rotate)
        chip->lowest = (uint8_t)(input & 7);
}

/* One chip's part of an acknowledge: the number of the input. */
static unsigned chip_acknowledge(struct pic_chip *chip, bool is_master)
{
    int input = next_input(chip, is_master);

    if (input < 0)
        return SPURIOUS;
    chip->isr |= bit((unsigned)input);
    if (!is_level(chip, (unsigned)input))
        chip->irr &= (uint8_t)~bit((unsigned)input);
    if (chip->auto_eoi)
        eoi(chip, (unsigned)input, chip->rotate_on_auto_eoi);
    return (unsigned)input;
}

uint8_t pic_acknowledge(struct pic *pic)
{
    bool from_slave = next_input(&pic->master, true) == CASCADE;
    unsigned input = chip_acknowledge(&pic->master, true);
    uint8_t vector = (uint8_t)(pic->master.vector_base + input);

    if (from_slave) {
        vector = (uint8_t)(pic->slave.vector_base + chip_acknowledge(&pic->slave, false));
        /* The slave's line falls while it has nothing of higher priority, so that the next one is an edge. */
        chip_set_line(&pic->master, CASCADE, false);
        cascade(pic);
    }
    drive(pic);
    return vector;
}

static void chip_initialize(struct pic_chip *chip, uint8_t icw1)
{
    chip->imr = 0;
    chip->isr = 0;
    chip->lowest = 7;
    chip->special_mask = false;
    chip->special_nested = false;
    chip->auto_eoi = false;
    chip->rotate_on_auto_eoi = false;
    chip->read_isr = false;
    chip->poll = false;
    chip->needs_icw4 = icw1 & 1;
    chip->single = icw1 & 2;
    chip->level_all = icw1 & 8;
    chip->icw_next = 2;
    /* The edge sense circuit is reset: a line must fall and rise again. */
    chip->irr = chip->lines & (chip->level_all ? 0xff : chip->elcr);
}

static void command(struct pic_chip *chip, uint8_t ocw2)
{
    unsigned level = ocw2 & 7;
    unsigned place = first_place(chip, chip->isr);
    unsigned highest = (chip->lowest + 1u + place) & 7;

    switch (ocw2 >> 5) {
    case 0:
    case 4:
        chip->rotate_on_auto_eoi = ocw2 & 0x80;
        break;
    case 1:
    case 5:
        if (place < 8)
            eoi(chip, highest, ocw2 & 0x80);
        break;
    case 3:
    case 7:
        eoi(chip, level, ocw2 & 0x80);
        break;
    case 6:
        chip->lowest = (uint8_t)level;
        break;
    }
}

static void write_even(struct pic_chip *chip, uint8_t value)
{
    if (value & 0x10) {
        chip_initialize(chip, value);
    } else if (value & 0x08) {
        chip->poll = value & 4;
        if (value & 2)
            chip->read_isr = value & 1;
        if (value & 0x40)
            chip->special_mask = value & 0x20;
    } else {
        command(chip, value);
    }
}

static void write_odd(struct pic_chip *chip, uint8_t value)
{
    switch (chip->icw_next) {
    case 0:
        chip->imr = value;
        break;
    case 2:
        chip->vector_base = value & 0xf8;
        chip->icw_next = !chip->single ? 3 : chip->needs_icw4 ? 4 : 0;
        break;
    case 3: /* which input has a slave: fixed by the wiring */
        chip->icw_next = chip->needs_icw4 ? 4 : 0;
        break;
    case 4:
        chip->auto_eoi = value & 2;
        chip->special_nested = value & 0x10;
        chip->icw_next = 0;
        break;
    }
}

static uint8_t read_even(struct pic *pic, struct pic_chip *chip)
{
    bool is_master = chip == &pic->master;

    if (chip->poll) {
        bool has_request = next_input(chip, is_master) >= 0;
        unsigned input = chip_acknowledge(chip, is_master);

        chip->poll = false;
        cascade(pic);
        drive(pic);
        return has_request ? (uint8_t)(0x80 | input) : 0;
    }
    return chip->read_isr ? chip->isr : chip->irr;
}

uint32_t pic_read(void *device, uint16_t port, unsigned size, uint64_t now)
{
    struct pic *pic = device;

    (void)size;
    (void)now;
    switch (port) {
    case PORT_MASTER:
        return read_even(pic, &pic->master);
    case PORT_MASTER + 1:
        return pic->master.imr;
    case PORT_SLAVE:
        return read_even(pic, &pic->slave);
    case PORT_SLAVE + 1:
        return pic->slave.imr;
    case PORT_ELCR_MASTER:
        return pic->master.elcr;
    case PORT_ELCR_SLAVE:
        return pic->slave.elcr;
    }
    return 0xff;
}

static void write_elcr(struct pic_chip *chip, uint8_t value)
{
    chip->elcr = value & chip->elcr_mask;
    chip->irr |= chip->lines & chip->elcr;
}

void pic_write(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
    struct pic *pic = device;

    (void)size;
    (void)now;
    switch (port) {
    case PORT_MASTER:
        write_even(&pic->master, (uint8_t)value);
        break;
    case PORT_MASTER + 1:
        write_odd(&pic->master, (uint8_t)value);
        break;
    case PORT_SLAVE:
        write_even(&pic->slave, (uint8_t)value);
        break;
    case PORT_SLAVE + 1:
        write_odd(&pic->slave, (uint8_t)value);
        break;
    case PORT_ELCR_MASTER:
        write_elcr(&pic->master, (uint8_t)value);
        break;
    case PORT_ELCR_SLAVE:
        write_elcr(&pic->slave, (uint8_t)value);
        break;
    }
    cascade(pic);
    drive(pic);
}

void pic_reset(struct pic *pic)
{
    memset(pic, 0, sizeof *pic);
    pic->master.lowest = pic->slave.lowest = 7;
    /* Masked until somebody initializes them, as a PC's firmware leaves what it doesn't use. */
    pic->master.imr = pic->slave.imr = 0xff;
    /* The timer, the keyboard, the cascade, the clock and the coprocessor are wired as edges. */
    pic->master.elcr_mask = 0xf8;
    pic->slave.elcr_mask = 0xde;
    pic->master.vector_base = 0x08;
    pic->slave.vector_base = 0x70;
}
