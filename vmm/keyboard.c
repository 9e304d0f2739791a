/* SPDX-License-Identifier: MIT */
/*
 * The 8042 keyboard controller (IBM PC/AT Technical Reference, "Keyboard Controller"). A20 can be read and
 * written but masks nothing: no guest that this machine starts relies on addresses that wrap at 1 MiB.
 */
#include "keyboard.h"

#include <string.h>

#include "pic.h"

enum {
    PORT_DATA = 0x60,
    PORT_STATUS = 0x64,
    PORT_FAST = 0x92,

    STATUS_OUTPUT_FULL = 0x01,
    STATUS_SYSTEM = 0x04,
    STATUS_COMMAND = 0x08,
    STATUS_UNLOCKED = 0x10,
    STATUS_AUX = 0x20,

    BYTE_INTERRUPT = 0x01,
    BYTE_AUX_INTERRUPT = 0x02,
    BYTE_SYSTEM = 0x04,
    BYTE_DISABLED = 0x10,
    BYTE_TRANSLATED = 0x40,

    OUTPUT_NOT_RESET = 0x01,
    OUTPUT_A20 = 0x02,

    IRQ_KEYBOARD = 1,
    IRQ_AUX = 12,

    ACK = 0xfa,
};

static void update_interrupt(struct keyboard *k)
{
    bool full = k->queue_count > 0;
    bool aux = full && k->from_aux[0];

    pic_set_line(k->pic, IRQ_KEYBOARD, full && !aux && (k->memory[0] & BYTE_INTERRUPT));
    pic_set_line(k->pic, IRQ_AUX, aux && (k->memory[0] & BYTE_AUX_INTERRUPT));
}

static void answer(struct keyboard *k, uint8_t byte, bool aux)
{
    if (k->queue_count == sizeof k->queue)
        return;
    k->queue[k->queue_count] = byte;
    k->from_aux[k->queue_count++] = aux;
}

static void write_output_port(struct keyboard *k, uint8_t value)
{
    if (!(value & OUTPUT_NOT_RESET))
        k->wants_reset = true;
    k->output_port = value;
}

static void controller_command(struct keyboard *k, uint8_t command)
{
    k->next = 0;
    switch (command) {
    case 0x20 ... 0x3f:
        answer(k, k->memory[command & 31], false);
        break;
    case 0x60 ... 0x7f: /* write memory */
    case 0xd1:          /* write the output port */
    case 0xd2:          /* the next byte comes back, as if typed */
    case 0xd3:          /* the same from the auxiliary device */
    case 0xd4:          /* to the auxiliary device, which isn't there */
        k->next = command;
        break;
    case 0xa9: /* test the auxiliary lines: clock stuck low */
        answer(k, 1, false);
        break;
    case 0xaa:
        k->memory[0] |= BYTE_SYSTEM;
        answer(k, 0x55, false);
        break;
    case 0xab:
        answer(k, 0, false);
        break;
    case 0xad:
        k->memory[0] |= BYTE_DISABLED;
        break;
    case 0xae:
        k->memory[0] &= (uint8_t)~BYTE_DISABLED;
        break;
    case 0xc0:
        answer(k, 0x80, false); /* not locked */
        break;
    case 0xd0:
        answer(k, k->output_port, false);
        break;
    case 0xf0 ... 0xff: /* pulse the lines whose bits are zero; line 0 is the reset */
        if (!(command & 1))
            k->wants_reset = true;
        break;
    }
}

/* A byte for the keyboard itself. */
static void device_command(struct keyboard *k, uint8_t byte)
{
    if (k->device_next) {
        answer(k, ACK, false);
        /* The set of scan codes: a 0 asks for it, and the controller translates the answer as it does keys. */
        if (k->device_next == 0xf0 && byte == 0)
            answer(k, (uint8_t)(k->memory[0] & BYTE_TRANSLATED ? 0x45 - 2 * k->scan_codes : k->scan_codes), false);
        else if (k->device_next == 0xf0 && byte <= 3)
            k->scan_codes = byte;
        k->device_next = 0;
        return;
    }
    switch (byte) {
    case 0xee: /* echo */
        answer(k, 0xee, false);
        break;
    case 0xed: /* lights, */
    case 0xf0: /* scan codes, */
    case 0xf3: /* repeat rate: a byte follows */
        k->device_next = byte;
        answer(k, ACK, false);
        break;
    case 0xf2: /* identify */
        answer(k, ACK, false);
        answer(k, 0xab, false);
        answer(k, 0x83, false);
        break;
    case 0xff: /* reset and self-test */
        answer(k, ACK, false);
        answer(k, 0xaa, false);
        break;
    default:
        answer(k, ACK, false);
        break;
    }
}

static void write_data(struct keyboard *k, uint8_t byte)
{
    uint8_t next = k->next;

    k->next = 0;
    if (next >= 0x60 && next <= 0x7f)
        k->memory[next & 31] = byte;
    else if (next == 0xd1)
        write_output_port(k, byte);
    else if (next == 0xd2)
        answer(k, byte, false);
    else if (next == 0xd3)
        answer(k, byte, true);
    else if (next != 0xd4)
        device_command(k, byte);
}

static uint8_t read_data(struct keyboard *k)
{
    if (k->queue_count) {
        k->last = k->queue[0];
        k->queue_count--;
        memmove(k->queue, k->queue + 1, k->queue_count);
        memmove(k->from_aux, k->from_aux + 1, k->queue_count * sizeof k->from_aux[0]);
        /* Each byte is an edge of its own. */
        pic_set_line(k->pic, IRQ_KEYBOARD, false);
        pic_set_line(k->pic, IRQ_AUX, false);
    }
    return k->last;
}

uint32_t keyboard_read(void *device, uint16_t port, unsigned size, uint64_t now)
{
    struct keyboard *k = device;
    uint8_t value = 0xff;

    (void)size;
    (void)now;
    switch (port) {
    case PORT_DATA:
        value = read_data(k);
        break;
    case PORT_STATUS:
        value = STATUS_UNLOCKED | (k->memory[0] & BYTE_SYSTEM ? STATUS_SYSTEM : 0) |
                (k->last_was_command ? STATUS_COMMAND : 0) | (k->queue_count ? STATUS_OUTPUT_FULL : 0) |
                (k->queue_count && k->from_aux[0] ? STATUS_AUX : 0);
        break;
    case PORT_FAST:
        value = k->output_port & OUTPUT_A20;
        break;
    }
    update_interrupt(k);
    return value;
}

void keyboard_write(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
    struct keyboard *k = device;

    (void)size;
    (void)now;
    switch (port) {
    case PORT_DATA:
        k->last_was_command = false;
        write_data(k, (uint8_t)value);
        break;
    case PORT_STATUS:
        k->last_was_command = true;
        controller_command(k, (uint8_t)value);
        break;
    case PORT_FAST:
        k->output_port = (uint8_t)((k->output_port & ~OUTPUT_A20) | (value & OUTPUT_A20));
        if (value & 1)
            k->wants_reset = true;
        break;
    }
    update_interrupt(k);
}

void keyboard_reset(struct keyboard *k, struct pic *pic)
{
    memset(k, 0, sizeof *k);
    k->pic = pic;
    k->scan_codes = 2;
    k->memory[0] = BYTE_SYSTEM | BYTE_DISABLED;
    k->output_port = 0xcc | OUTPUT_NOT_RESET | OUTPUT_A20;
}
