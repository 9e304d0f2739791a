/* SPDX-License-Identifier: MIT */
/*
 * An 82093AA I/O APIC (Intel, order number 290566) with 24 inputs, at FEC00000. Its inputs are wired as on any PC: the
 * interrupt controllers' output to 0, the timer's IRQ 0 to 2, every other IRQ to the input of its number.
 */
#ifndef VMM_IOAPIC_H
#define VMM_IOAPIC_H

#include <stdbool.h>
#include <stdint.h>

enum { IOAPIC_PINS = 24, IOAPIC_PIN_PIC = 0, IOAPIC_PIN_TIMER = 2 };
#define IOAPIC_GPA UINT64_C(0xfec00000)
#define IOAPIC_SIZE UINT64_C(0x1000)

enum ioapic_delivery {
    IOAPIC_FIXED = 0,
    IOAPIC_LOWEST = 1,
    IOAPIC_SMI = 2,
    IOAPIC_NMI = 4,
    IOAPIC_INIT = 5,
    IOAPIC_EXTINT = 7,
};

/* What goes to the local APICs. */
struct ioapic_message {
    uint8_t vector;
    uint8_t delivery; /* enum ioapic_delivery */
    uint8_t destination;
    bool is_logical, is_level;
};

struct ioapic {
    uint64_t entry[IOAPIC_PINS]; /* the redirection table */
    uint32_t asserted;           /* the inputs that are, a bit each */
    uint8_t index, id;
    void (*send)(void *context, const struct ioapic_message *message);
    void *send_context;
};

/* Who sends is kept. */
void ioapic_reset(struct ioapic *ioapic);

void ioapic_set_pin(struct ioapic *ioapic, unsigned pin, bool is_asserted);

/* A line of the interrupt controllers moves; has the form that struct pic calls. */
void ioapic_set_irq(void *ioapic, unsigned irq, bool high);

/* A local APIC has ended a level-triggered interrupt of this vector. */
void ioapic_end(struct ioapic *ioapic, uint8_t vector);

/* Would a request on this IRQ be sent, as the masks are now? */
bool ioapic_lets_through(const struct ioapic *ioapic, unsigned irq);

/* An input that is programmed as ExtINT, and open: who is to ask the interrupt controllers for their vector. */
bool ioapic_ext_int(const struct ioapic *ioapic, struct ioapic_message *message);

/* Is any open input programmed as an NMI? */
bool ioapic_has_nmi(const struct ioapic *ioapic);

/* An access within its page; what isn't there reads as zero. */
void ioapic_read(const struct ioapic *ioapic, uint64_t offset, uint8_t *bytes, unsigned size);
void ioapic_write(struct ioapic *ioapic, uint64_t offset, const uint8_t *bytes, unsigned size);

#endif
