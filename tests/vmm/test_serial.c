/* SPDX-License-Identifier: MIT */
/*
 * The serial port: what Linux's driver probes for, interrupts, and input that isn't lost.
 */
#include <string.h>

#include "cases.h"

#include "../../vmm/pic.h"
#include "../../vmm/serial.h"

enum { RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR };

static struct pic pic;
static struct serial serial;
static char sent[64];
static size_t sent_count;

static void take(void *context, uint8_t byte)
{
    (void)context;
    if (sent_count < sizeof sent)
        sent[sent_count++] = (char)byte;
}

static void out(unsigned reg, uint8_t value)
{
    serial_write(&serial, (uint16_t)(0x3f8 + reg), 1, value, 0);
}

static uint8_t in(unsigned reg)
{
    return (uint8_t)serial_read(&serial, (uint16_t)(0x3f8 + reg), 1, 0);
}

static bool interrupts(void)
{
    return pic.master.lines & 0x10;
}

static void setup(void)
{
    memset(&serial, 0, sizeof serial);
    sent_count = 0;
    pic_reset(&pic);
    serial.output = take;
    serial_reset(&serial, &pic, 4);
}

START_TEST(bytes_are_sent_at_once)
{
    out(RBR, 'o');
    out(RBR, 'k');
    ck_assert_uint_eq(sent_count, 2);
    ck_assert_int_eq(memcmp(sent, "ok", 2), 0);
    ck_assert_uint_eq(in(LSR), 0x60);
}
END_TEST

START_TEST(it_is_a_16550a)
{
    out(IER, 0);
    ck_assert_uint_eq(in(IER), 0);
    out(IER, 0xff);
    ck_assert_uint_eq(in(IER), 0x0f); /* no sleep mode, no UUE */
    out(IER, 0);
    out(SCR, 0xae);
    ck_assert_uint_eq(in(SCR), 0xae);
    out(IIR, 1);
    ck_assert_uint_eq(in(IIR), 0xc1); /* FIFOs */
    out(LCR, 0xbf);
    ck_assert_uint_ne(in(IIR), 0); /* no EFR */
    out(LCR, 0x80);
    out(RBR, 1);
    out(IER, 2);
    ck_assert_uint_eq(in(RBR), 1);
    ck_assert_uint_eq(in(IER), 2);
    out(LCR, 3);
    ck_assert_uint_eq(in(IER), 0);
    out(IIR, 0);
    ck_assert_uint_eq(in(IIR), 0x01);
}
END_TEST

START_TEST(loop_connects_the_modem_lines)
{
    out(MCR, 0x10 | 0x0a);
    ck_assert_uint_eq(in(MSR) & 0xf0, 0x90);
    out(RBR, 0x5a);
    ck_assert_uint_eq(sent_count, 0);
    ck_assert_uint_eq(in(LSR), 0x61);
    ck_assert_uint_eq(in(RBR), 0x5a);
    out(MCR, 0);
    ck_assert_uint_eq(in(MSR) & 0xf0, 0xb0);
}
END_TEST

START_TEST(enabling_the_transmit_interrupt_raises_it)
{
    out(MCR, 8);
    out(IER, 2);
    ck_assert(interrupts());
    ck_assert_uint_eq(in(IIR), 0x02);
    ck_assert(!interrupts()); /* reading it took it away */
    ck_assert_uint_eq(in(IIR), 0x01);
    out(RBR, 'x');
    ck_assert(interrupts());
    out(IER, 0);
    ck_assert(!interrupts());
}
END_TEST

START_TEST(out2_gates_the_interrupt)
{
    out(IER, 1);
    serial_receive(&serial, (const uint8_t *)"a", 1);
    ck_assert(!interrupts());
    out(MCR, 8);
    ck_assert(interrupts());
}
END_TEST

START_TEST(received_bytes_interrupt_until_read)
{
    out(IIR, 0x81); /* FIFOs, level 8 */
    out(MCR, 8);
    out(IER, 1);
    ck_assert_uint_eq(serial_room(&serial), 16);
    serial_receive(&serial, (const uint8_t *)"0123456789", 10);
    ck_assert_uint_eq(serial_room(&serial), 6);
    ck_assert_uint_eq(in(IIR), 0xc4);
    for (unsigned i = 0; i < 10; i++) {
        ck_assert(interrupts());
        ck_assert_uint_eq(in(LSR), 0x61);
        ck_assert_uint_eq(in(RBR), '0' + i);
        if (i == 5)
            ck_assert_uint_eq(in(IIR), 0xcc); /* below the level: the timeout */
    }
    ck_assert(!interrupts());
    ck_assert_uint_eq(in(LSR), 0x60);
}
END_TEST

START_TEST(fifo_overrun_keeps_the_old_bytes)
{
    out(IIR, 1);
    serial_receive(&serial, (const uint8_t *)"0123456789abcdefX", 17);
    ck_assert_uint_eq(in(LSR), 0x63);
    ck_assert_uint_eq(in(LSR), 0x61);
    for (unsigned i = 0; i < 16; i++)
        ck_assert_uint_eq(in(RBR), "0123456789abcdef"[i]);
    ck_assert_uint_eq(in(LSR), 0x60);
}
END_TEST

START_TEST(input_waits_for_a_guest_that_listens)
{
    ck_assert_uint_eq(serial_room(&serial), 0);
    for (unsigned i = 0; i < 100; i++) { /* a driver that sends looks at LSR too */
        in(LSR);
        out(RBR, 'x');
    }
    ck_assert_uint_eq(serial_room(&serial), 0);
    for (unsigned i = 0; i < 16; i++)
        in(LSR);
    ck_assert_uint_eq(serial_room(&serial), 1);
    out(RBR, 'x');
    ck_assert_uint_eq(serial_room(&serial), 0);
    out(IER, 1);
    ck_assert_uint_eq(serial_room(&serial), 1);
}
END_TEST

TCase *serial_cases(void)
{
    TCase *cases = tcase_create("serial");

    tcase_add_checked_fixture(cases, setup, NULL);
    tcase_add_test(cases, bytes_are_sent_at_once);
    tcase_add_test(cases, it_is_a_16550a);
    tcase_add_test(cases, loop_connects_the_modem_lines);
    tcase_add_test(cases, enabling_the_transmit_interrupt_raises_it);
    tcase_add_test(cases, out2_gates_the_interrupt);
    tcase_add_test(cases, received_bytes_interrupt_until_read);
    tcase_add_test(cases, fifo_overrun_keeps_the_old_bytes);
    tcase_add_test(cases, input_waits_for_a_guest_that_listens);
    return cases;
}
