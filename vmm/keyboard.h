/* SPDX-License-Identifier: MIT */
/*
 * The 8042 keyboard controller of a PC: its reset line, A20 and self-test, with a keyboard that answers and
 * never types.
 */
#ifndef VMM_KEYBOARD_H
#define VMM_KEYBOARD_H

#include <stdbool.h>
#include <stdint.h>

struct pic;

struct keyboard {
    uint8_t memory[32];   /* byte 0 is the command byte */
    uint8_t output_port;
    uint8_t next;         /* the command whose data byte comes next, or 0 */
    uint8_t device_next;  /* the same for the keyboard */
    uint8_t scan_codes;   /* the set, 1 to 3 */
    bool last_was_command;
    uint8_t queue[8];
    bool from_aux[8];
    unsigned queue_count;
    uint8_t last;
    bool wants_reset;     /* the reset line was pulled */
    struct pic *pic;
};

void keyboard_reset(struct keyboard *keyboard, struct pic *pic);

/* Ports 60 and 64, and 92 (A20 and the fast reset). */
uint32_t keyboard_read(void *device, uint16_t port, unsigned size, uint64_t now);
void keyboard_write(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now);

#endif
