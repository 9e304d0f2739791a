/* SPDX-License-Identifier: MIT */
/*
 * The 8254 timer (Intel 8254 data sheet, order number 231164): three channels at 1193182 Hz, computed from
 * the time instead of counted.
 */
#include "pit.h"

#include <string.h>

#include "pic.h"

enum { PIT_HZ = 1193182, IRQ_TIMER = 0, PORT_CHANNEL = 0x40, PORT_CONTROL = 0x43, PORT_SPEAKER = 0x61 };

#define NS_PER_SECOND 1000000000u
#define NEVER UINT64_MAX

static uint64_t tick_of(uint64_t now)
{
    return (uint64_t)((unsigned __int128)now * PIT_HZ / NS_PER_SECOND);
}

/* The first nanosecond of a tick. */
static uint64_t time_of(uint64_t tick)
{
    unsigned __int128 time = ((unsigned __int128)tick * NS_PER_SECOND + PIT_HZ - 1) / PIT_HZ;

    return time > NEVER ? NEVER : (uint64_t)time;
}

static uint32_t modulus(const struct pit_channel *c)
{
    return c->bcd ? 10000 : 65536;
}

/* What a period of modes 2 and 3 lasts; a count of one is illegal there and taken as the full range. */
static uint32_t period(const struct pit_channel *c)
{
    return c->reload == 1 ? modulus(c) + 1 : c->reload;
}

/* Takes over a count that waited for the end of the period. */
static void catch_up(struct pit_channel *c, uint64_t tick)
{
    if (c->has_next && tick >= c->next_start) {
        c->reload = c->next_reload;
        c->start = c->next_start;
        c->has_next = false;
    }
}

static uint64_t elapsed(const struct pit_channel *c, uint64_t tick)
{
    if ((c->mode == 0 || c->mode == 4) && !c->gate)
        return c->paused;
    return tick > c->start ? tick - c->start : 0;
}

static bool output(struct pit_channel *c, uint64_t tick)
{
    uint64_t passed;

    catch_up(c, tick);
    passed = elapsed(c, tick);
    switch (c->mode) {
    case 0:
        return c->is_counting && tick >= c->start && passed >= c->reload;
    case 1:
        return !c->is_counting || tick < c->start || passed >= c->reload;
    case 2:
        return !c->is_counting || !c->gate || passed % period(c) != period(c) - 1;
    case 3:
        return !c->is_counting || !c->gate || passed % period(c) < (period(c) + 1) / 2;
    default: /* 4 and 5: low for one tick when the count runs out */
        return !c->is_counting || passed != c->reload;
    }
}

/* The counting element as it would be read, in binary or BCD. */
static uint16_t count(struct pit_channel *c, uint64_t tick)
{
    uint64_t passed;
    uint32_t value;

    catch_up(c, tick);
    passed = elapsed(c, tick);
    if (!c->is_counting)
        value = c->reload;
    else if (c->mode == 2)
        value = c->gate ? period(c) - (uint32_t)(passed % period(c)) : period(c);
    else if (c->mode == 3) {
        /* It goes down by two, twice a period; an odd count is loaded less one, and one tick longer at zero
         * in the first half. */
        uint64_t in_period = c->gate ? passed % period(c) : 0;
        uint32_t first_half = (period(c) + 1) / 2;

        if (in_period >= first_half)
            in_period -= first_half;
        value = (period(c) & ~1u) - 2 * (uint32_t)in_period;
    } else {
        value = (uint32_t)((c->reload + modulus(c) - passed % modulus(c)) % modulus(c));
    }
    value %= modulus(c);
    if (c->bcd)
        value = value / 1000 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 | value % 10;
    return (uint16_t)value;
}

static void set_mode(struct pit_channel *c, uint8_t control)
{
    c->access = control >> 4 & 3;
    c->mode = control >> 1 & 7;
    if (c->mode > 5)
        c->mode &= 3; /* the top bit doesn't matter in modes 2 and 3 */
    c->bcd = control & 1;
    c->is_loaded = c->is_counting = c->has_next = false;
    c->write_high_next = c->read_high_next = false;
    c->count_latched = c->status_latched = false;
    c->paused = 0;
}

static uint32_t decode_count(const struct pit_channel *c, uint16_t written)
{
    uint32_t value = written;

    if (c->bcd)
        value = (value >> 12 & 15) * 1000 + (value >> 8 & 15) * 100 + (value >> 4 & 15) * 10 + (value & 15);
    return value ? value : modulus(c);
}

/* A whole count has been written; the next clock pulse loads it. */
static void load(struct pit_channel *c, uint16_t written, uint64_t tick)
{
    uint32_t reload = decode_count(c, written);

    catch_up(c, tick);
    if ((c->mode == 2 || c->mode == 3) && c->is_counting && c->gate && tick >= c->start) {
        /* The running period is finished first. In mode 3 the data sheet asks for half of it; we take the
         * whole, which differs only for a guest that changes the frequency in the first half. */
        c->has_next = true;
        c->next_reload = reload;
        c->next_start = tick + period(c) - (tick - c->start) % period(c);
        return;
    }
    c->is_loaded = true;
    c->reload = reload;
    if (c->mode == 1 || c->mode == 5)
        return; /* the gate's edge starts it */
    c->start = tick + 1;
    c->paused = 0;
    c->is_counting = true;
}

static void write_count(struct pit_channel *c, uint8_t value, uint64_t tick)
{
    switch (c->access) {
    case 1:
        load(c, value, tick);
        break;
    case 2:
        load(c, (uint16_t)(value << 8), tick);
        break;
    case 3:
        if (c->write_high_next) {
            load(c, (uint16_t)(value << 8 | c->write_low), tick);
        } else {
            c->write_low = value;
            /* Mode 0: the first byte stops the count and takes OUT down; data sheet, "Mode 0". */
            if (c->mode == 0)
                c->is_counting = false;
        }
        c->write_high_next = !c->write_high_next;
        break;
    }
}

static void latch_count(struct pit_channel *c, uint64_t tick)
{
    if (c->count_latched)
        return;
    c->latch = count(c, tick);
    c->count_latched = true;
    c->latch_high_next = c->access == 2;
}

static void latch_status(struct pit_channel *c, uint64_t tick)
{
    if (c->status_latched)
        return;
    c->status = (uint8_t)(output(c, tick) << 7 | (!c->is_loaded || tick < c->start || c->has_next) << 6 |
                          c->access << 4 | c->mode << 1 | c->bcd);
    c->status_latched = true;
}

static uint8_t read_count(struct pit_channel *c, uint64_t tick)
{
    uint16_t value;
    bool high;

    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    if (c->count_latched) {
        high = c->latch_high_next;
        if (c->access != 3 || high)
            c->count_latched = false;
        c->latch_high_next = true;
        return (uint8_t)(high ? c->latch >> 8 : c->latch);
    }
    value = count(c, tick);
    high = c->access == 2 || (c->access == 3 && c->read_high_next);
    if (c->access == 3)
        c->read_high_next = !c->read_high_next;
    return (uint8_t)(high ? value >> 8 : value);
}

static void write_control(struct pit *pit, uint8_t value, uint64_t tick)
{
    if (value >> 6 == 3) { /* read-back: bits 5 and 4 are low when wanted */
        for (unsigned i = 0; i < 3; i++) {
            if (!(value >> (i + 1) & 1))
                continue;
            if (!(value & 0x20))
                latch_count(&pit->channel[i], tick);
            if (!(value & 0x10))
                latch_status(&pit->channel[i], tick);
        }
    } else if (!(value & 0x30)) {
        latch_count(&pit->channel[value >> 6], tick);
    } else {
        set_mode(&pit->channel[value >> 6], value);
    }
}

static void set_gate(struct pit_channel *c, bool gate, uint64_t tick)
{
    if (c->gate == gate)
        return;
    catch_up(c, tick);
    switch (c->mode) {
    case 0:
    case 4:
        if (gate)
            c->start = tick - c->paused;
        else
            c->paused = elapsed(c, tick);
        break;
    default: /* a rising edge loads the count again; in modes 1 and 5 only it does */
        if (gate && c->is_loaded) {
            if (c->has_next)
                c->reload = c->next_reload;
            c->has_next = false;
            c->start = tick + 1;
            c->is_counting = true;
        }
        break;
    }
    c->gate = gate;
}

/* The first tick after this one at which OUT rises. */
static uint64_t next_rise(const struct pit_channel *channel, uint64_t tick)
{
    struct pit_channel c = *channel;
    uint64_t passed;

    catch_up(&c, tick);
    if (!c.is_counting || !c.gate)
        return NEVER;
    passed = elapsed(&c, tick);
    switch (c.mode) {
    case 0:
    case 1:
        return tick < c.start + c.reload ? c.start + c.reload : NEVER;
    case 2:
    case 3:
        if (c.has_next)
            return c.next_start;
        return tick < c.start ? c.start + period(&c) : tick + period(&c) - passed % period(&c);
    default:
        return tick < c.start + c.reload + 1 ? c.start + c.reload + 1 : NEVER;
    }
}

void pit_update(struct pit *pit, uint64_t now)
{
    uint64_t tick = tick_of(now);
    struct pit_channel *c = &pit->channel[0];

    if (next_rise(c, pit->seen) <= tick) {
        pic_set_line(pit->pic, IRQ_TIMER, false);
        pic_set_line(pit->pic, IRQ_TIMER, true);
    }
    pit->seen = tick;
    pic_set_line(pit->pic, IRQ_TIMER, output(c, tick));
}

uint64_t pit_deadline(const struct pit *pit)
{
    uint64_t tick = next_rise(&pit->channel[0], pit->seen);

    return tick == NEVER ? NEVER : time_of(tick);
}

bool pit_output(struct pit *pit, unsigned channel, uint64_t now)
{
    return output(&pit->channel[channel], tick_of(now));
}

uint32_t pit_read(void *device, uint16_t port, unsigned size, uint64_t now)
{
    struct pit *pit = device;
    uint64_t tick = tick_of(now);

    (void)size;
    if (port == PORT_SPEAKER) {
        /* Bit 4 changes with each refresh, every 18 ticks; bit 5 is the output of channel 2. */
        return (uint32_t)(pit->port61 | (tick / 18 & 1) << 4 | output(&pit->channel[2], tick) << 5);
    }
    if (port == PORT_CONTROL)
        return 0xff;
    return read_count(&pit->channel[(port - PORT_CHANNEL) % 3], tick);
}

void pit_write(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
    struct pit *pit = device;
    uint64_t tick = tick_of(now);

    (void)size;
    pit_update(pit, now);
    if (port == PORT_SPEAKER) {
        pit->port61 = value & 0x0f;
        set_gate(&pit->channel[2], value & 1, tick);
    } else if (port == PORT_CONTROL) {
        write_control(pit, (uint8_t)value, tick);
    } else {
        write_count(&pit->channel[(port - PORT_CHANNEL) % 3], (uint8_t)value, tick);
    }
    pit_update(pit, now);
}

void pit_reset(struct pit *pit, struct pic *pic)
{
    memset(pit, 0, sizeof *pit);
    pit->pic = pic;
    for (unsigned i = 0; i < 3; i++) {
        pit->channel[i].mode = 3;
        pit->channel[i].access = 3;
        pit->channel[i].reload = 65536;
        pit->channel[i].gate = i != 2;
    }
    pic_set_line(pic, IRQ_TIMER, true); /* OUT is high, which is no edge to who initializes the controllers */
}
