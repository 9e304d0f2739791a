/* SPDX-License-Identifier: MIT */
/*
 * The two 8259A interrupt controllers of a PC, with the edge/level registers that EISA added.
 */
#ifndef VMM_PIC_H
#define VMM_PIC_H

#include <stdbool.h>
#include <stdint.h>

struct pic_chip {
    uint8_t lines;   /* the levels of the eight inputs now */
    uint8_t irr;     /* requested */
    uint8_t isr;     /* in service */
    uint8_t imr;     /* masked */
    uint8_t elcr;    /* one: level triggered */
    uint8_t elcr_mask;
    uint8_t vector_base;
    uint8_t lowest;  /* the input of lowest priority; the next one up has the highest */
    uint8_t icw_next; /* the initialization word that port 1 expects next, or 0 */
    bool needs_icw4;
    bool single;
    bool level_all;
    bool auto_eoi;
    bool rotate_on_auto_eoi;
    bool special_mask;
    bool special_nested;
    bool poll;
    bool read_isr;
};

struct pic {
    struct pic_chip master, slave;
    /* Who else is wired to the lines, such as an IOAPIC; NULL: nobody. */
    void (*wire)(void *context, unsigned irq, bool high);
    void *wire_context;
    /* Who sees the line to the processor move; NULL: nobody. */
    void (*output)(void *context, bool high);
    void *output_context;
    bool was_high;
};

void pic_reset(struct pic *pic);

/* A device moves its line. */
void pic_set_line(struct pic *pic, unsigned irq, bool high);

/* Is the line to the processor up? */
bool pic_is_requesting(const struct pic *pic);

/* Could a request on this line reach the processor, as the masks are now? */
bool pic_lets_through(const struct pic *pic, unsigned irq);

/* The processor's two INTA cycles: the vector. With nothing to serve it is that of the spurious IRQ 7. */
uint8_t pic_acknowledge(struct pic *pic);

/* Ports 20 and 21, A0 and A1, 4D0 and 4D1. The time has no meaning here. */
uint32_t pic_read(void *device, uint16_t port, unsigned size, uint64_t now);
void pic_write(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now);

#endif
