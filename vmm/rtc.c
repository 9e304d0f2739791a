/* SPDX-License-Identifier: MIT */
/*
 * The MC146818 real-time clock (Motorola data sheet MC146818): date and time of day, alarm, update and
 * periodic interrupts on IRQ 8, and the memory in which a PC's firmware keeps what it found.
 */
#include "rtc.h"

#include <string.h>

#include "pic.h"

enum {
    REG_SECONDS = 0,
    REG_SECONDS_ALARM = 1,
    REG_MINUTES = 2,
    REG_MINUTES_ALARM = 3,
    REG_HOURS = 4,
    REG_HOURS_ALARM = 5,
    REG_WEEKDAY = 6,
    REG_DAY = 7,
    REG_MONTH = 8,
    REG_YEAR = 9,
    REG_A = 10,
    REG_B = 11,
    REG_C = 12,
    REG_D = 13,
    REG_CENTURY = 0x32,

    A_UPDATING = 0x80,
    B_SET = 0x80,
    B_INTERRUPTS = 0x70,
    B_BINARY = 4,
    B_24_HOURS = 2,
    C_REQUEST = 0x80,
    C_PERIODIC = 0x40,
    C_ALARM = 0x20,
    C_UPDATE = 0x10,

    IRQ_CLOCK = 8,
};

#define NS_PER_SECOND UINT64_C(1000000000)
#define UPDATE_NOTICE_NS 244000 /* register A shows an update so long before it */

struct date {
    int64_t year;
    unsigned month, day, weekday, hour, minute, second;
};

/* The civil calendar from days, by eras of 400 years. */
static struct date date_of(int64_t seconds)
{
    struct date d;
    int64_t days = (seconds >= 0 ? seconds : seconds - 86399) / 86400;
    unsigned in_day = (unsigned)(seconds - days * 86400);
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    unsigned in_era = (unsigned)(shifted - era * 146097);
    unsigned year_of_era = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    unsigned in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month = (5 * in_year + 2) / 153;

    d.day = in_year - (153 * month + 2) / 5 + 1;
    d.month = month < 10 ? month + 3 : month - 9;
    d.year = year_of_era + era * 400 + (d.month <= 2);
    d.weekday = (unsigned)(((days + 4) % 7 + 7) % 7) + 1;
    d.hour = in_day / 3600;
    d.minute = in_day / 60 % 60;
    d.second = in_day % 60;
    return d;
}

static int64_t seconds_of(const struct date *d)
{
    int64_t year = d->year - (d->month <= 2);
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    unsigned year_of_era = (unsigned)(year - era * 400);
    unsigned in_year = (153 * (d->month > 2 ? d->month - 3 : d->month + 9) + 2) / 5 + d->day - 1;
    unsigned in_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + in_year;

    return (era * 146097 + in_era - 719468) * 86400 + d->hour * 3600 + d->minute * 60 + d->second;
}

static uint8_t encode(const struct rtc *rtc, unsigned value)
{
    return (uint8_t)(rtc->cmos[REG_B] & B_BINARY ? value : value / 10 % 10 << 4 | value % 10);
}

static unsigned decode(const struct rtc *rtc, uint8_t value)
{
    return rtc->cmos[REG_B] & B_BINARY ? value : (value >> 4) * 10u + (value & 15);
}

static uint8_t encode_hour(const struct rtc *rtc, unsigned hour)
{
    if (rtc->cmos[REG_B] & B_24_HOURS)
        return encode(rtc, hour);
    return (uint8_t)(encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? 0x80 : 0));
}

static unsigned decode_hour(const struct rtc *rtc, uint8_t value)
{
    if (rtc->cmos[REG_B] & B_24_HOURS)
        return decode(rtc, value);
    return decode(rtc, value & 0x7f) % 12 + (value & 0x80 ? 12 : 0);
}

static int64_t seconds_now(const struct rtc *rtc, uint64_t now)
{
    if (rtc->cmos[REG_B] & B_SET)
        return rtc->frozen;
    return rtc->base + (int64_t)(now / NS_PER_SECOND);
}

static uint8_t read_date(const struct rtc *rtc, unsigned reg, uint64_t now)
{
    struct date d = date_of(seconds_now(rtc, now));

    switch (reg) {
    case REG_SECONDS:
        return encode(rtc, d.second);
    case REG_MINUTES:
        return encode(rtc, d.minute);
    case REG_HOURS:
        return encode_hour(rtc, d.hour);
    case REG_WEEKDAY:
        return encode(rtc, d.weekday);
    case REG_DAY:
        return encode(rtc, d.day);
    case REG_MONTH:
        return encode(rtc, d.month);
    case REG_YEAR:
        return encode(rtc, (unsigned)(d.year % 100));
    default:
        return encode(rtc, (unsigned)(d.year / 100 % 100));
    }
}

/* Changes one field of the date; what isn't one is brought into range, as a calendar must have a day. */
static void write_date(struct rtc *rtc, unsigned reg, uint8_t value, uint64_t now)
{
    int64_t seconds = seconds_now(rtc, now);
    struct date d = date_of(seconds);
    unsigned number = decode(rtc, value);

    switch (reg) {
    case REG_SECONDS:
        d.second = number % 60;
        break;
    case REG_MINUTES:
        d.minute = number % 60;
        break;
    case REG_HOURS:
        d.hour = decode_hour(rtc, value) % 24;
        break;
    case REG_WEEKDAY:
        return; /* it follows from the date */
    case REG_DAY:
        d.day = number >= 1 && number <= 31 ? number : 1;
        break;
    case REG_MONTH:
        d.month = number >= 1 && number <= 12 ? number : 1;
        break;
    case REG_YEAR:
        d.year = d.year / 100 * 100 + number % 100;
        break;
    case REG_CENTURY:
        d.year = d.year % 100 + number % 100 * 100;
        break;
    }
    rtc->frozen = seconds_of(&d);
    if (!(rtc->cmos[REG_B] & B_SET))
        rtc->base += rtc->frozen - seconds;
}

/* Nanoseconds of the periodic interrupt, 0: off; data sheet, table 5, with the usual 32768 Hz crystal. */
static uint64_t periodic_ns(const struct rtc *rtc)
{
    unsigned rate = rtc->cmos[REG_A] & 15;

    if (!rate || (rtc->cmos[REG_A] & 0x70) != 0x20)
        return 0;
    if (rate < 3)
        rate += 7;
    return (NS_PER_SECOND << (rate - 1)) / 32768;
}

static bool alarm_field(const struct rtc *rtc, unsigned reg, unsigned value, bool is_hour)
{
    uint8_t alarm = rtc->cmos[reg];

    if ((alarm & 0xc0) == 0xc0)
        return true; /* don't care */
    return (is_hour ? decode_hour(rtc, alarm) : decode(rtc, alarm)) == value;
}

static bool alarm_matches(const struct rtc *rtc, int64_t seconds)
{
    struct date d = date_of(seconds);

    return alarm_field(rtc, REG_SECONDS_ALARM, d.second, false) &&
           alarm_field(rtc, REG_MINUTES_ALARM, d.minute, false) &&
           alarm_field(rtc, REG_HOURS_ALARM, d.hour, true);
}

static void update_request(struct rtc *rtc)
{
    if (rtc->cmos[REG_C] & rtc->cmos[REG_B] & B_INTERRUPTS)
        rtc->cmos[REG_C] |= C_REQUEST;
    else
        rtc->cmos[REG_C] &= (uint8_t)~C_REQUEST;
    pic_set_line(rtc->pic, IRQ_CLOCK, rtc->cmos[REG_C] & C_REQUEST);
}

void rtc_update(struct rtc *rtc, uint64_t now)
{
    uint64_t every = periodic_ns(rtc);
    uint64_t second = rtc->seen / NS_PER_SECOND, last = now / NS_PER_SECOND;

    if (every && now / every != rtc->seen / every)
        rtc->cmos[REG_C] |= C_PERIODIC;
    if (second != last && !(rtc->cmos[REG_B] & B_SET)) {
        rtc->cmos[REG_C] |= C_UPDATE;
        /* An alarm repeats at least daily, so a longer sleep needn't be searched further back. */
        if (last - second > 86400)
            second = last - 86400;
        while (second++ < last && !(rtc->cmos[REG_C] & C_ALARM))
            if (alarm_matches(rtc, rtc->base + (int64_t)second))
                rtc->cmos[REG_C] |= C_ALARM;
    }
    rtc->seen = now;
    update_request(rtc);
}

uint64_t rtc_deadline(const struct rtc *rtc)
{
    uint64_t deadline = UINT64_MAX;
    uint64_t every = periodic_ns(rtc);
    uint8_t enabled = rtc->cmos[REG_B];

    /* A request that stands can't rise again before register C is read. */
    if (rtc->cmos[REG_C] & C_REQUEST)
        return deadline;
    if (every && enabled & C_PERIODIC)
        deadline = (rtc->seen / every + 1) * every;
    if (enabled & (C_ALARM | C_UPDATE) && !(enabled & B_SET)) {
        uint64_t next_second = (rtc->seen / NS_PER_SECOND + 1) * NS_PER_SECOND;

        if (next_second < deadline)
            deadline = next_second;
    }
    return deadline;
}

uint32_t rtc_read(void *device, uint16_t port, unsigned size, uint64_t now)
{
    struct rtc *rtc = device;
    uint8_t value;

    (void)size;
    if (!(port & 1))
        return 0xff; /* the index can't be read */
    rtc_update(rtc, now);
    switch (rtc->index) {
    case REG_SECONDS:
    case REG_MINUTES:
    case REG_HOURS:
    case REG_WEEKDAY:
    case REG_DAY:
    case REG_MONTH:
    case REG_YEAR:
    case REG_CENTURY:
        return read_date(rtc, rtc->index, now);
    case REG_A:
        value = rtc->cmos[REG_A];
        if (!(rtc->cmos[REG_B] & B_SET) && NS_PER_SECOND - now % NS_PER_SECOND <= UPDATE_NOTICE_NS)
            value |= A_UPDATING;
        return value;
    case REG_C:
        value = rtc->cmos[REG_C];
        rtc->cmos[REG_C] = 0;
        update_request(rtc);
        return value;
    default:
        return rtc->cmos[rtc->index];
    }
}

void rtc_write(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
    struct rtc *rtc = device;
    uint8_t byte = (uint8_t)value;

    (void)size;
    if (!(port & 1)) {
        rtc->index = byte & 0x7f; /* bit 7 masks NMI, of which there are none */
        return;
    }
    rtc_update(rtc, now);
    switch (rtc->index) {
    case REG_SECONDS:
    case REG_MINUTES:
    case REG_HOURS:
    case REG_WEEKDAY:
    case REG_DAY:
    case REG_MONTH:
    case REG_YEAR:
    case REG_CENTURY:
        write_date(rtc, rtc->index, byte, now);
        break;
    case REG_A:
        rtc->cmos[REG_A] = byte & 0x7f;
        break;
    case REG_B:
        if ((byte & B_SET) && !(rtc->cmos[REG_B] & B_SET))
            rtc->frozen = seconds_now(rtc, now);
        else if (!(byte & B_SET) && (rtc->cmos[REG_B] & B_SET))
            rtc->base = rtc->frozen - (int64_t)(now / NS_PER_SECOND);
        /* SET takes the update interrupt's enable away; data sheet, "SET". */
        rtc->cmos[REG_B] = byte & B_SET ? byte & (uint8_t)~C_UPDATE : byte;
        break;
    case REG_C:
    case REG_D:
        break; /* read-only */
    default:
        rtc->cmos[rtc->index] = byte;
        break;
    }
    update_request(rtc);
}

static void put16(struct rtc *rtc, unsigned at, uint64_t value)
{
    if (value > 0xffff)
        value = 0xffff;
    rtc->cmos[at] = (uint8_t)value;
    rtc->cmos[at + 1] = (uint8_t)(value >> 8);
}

void rtc_reset(struct rtc *rtc, struct pic *pic, uint64_t memory_size, uint64_t high_memory_size,
               int64_t date)
{
    uint64_t high = high_memory_size >> 16;
    unsigned sum = 0;

    memset(rtc, 0, sizeof *rtc);
    rtc->pic = pic;
    rtc->base = date;
    rtc->cmos[REG_A] = 0x26;
    rtc->cmos[REG_B] = B_24_HOURS;
    rtc->cmos[REG_D] = 0x80; /* the battery is good */
    rtc->cmos[0x14] = 0x02;  /* equipment: a coprocessor, no floppy, no display */
    put16(rtc, 0x15, 640);
    put16(rtc, 0x17, memory_size > 0x100000 ? (memory_size - 0x100000) >> 10 : 0);
    put16(rtc, 0x30, memory_size > 0x100000 ? (memory_size - 0x100000) >> 10 : 0);
    /* Where SeaBIOS looks for what lies above 16 MiB, and above 4 GiB, in units of 64 KiB. */
    put16(rtc, 0x34, memory_size > 0x1000000 ? (memory_size - 0x1000000) >> 16 : 0);
    if (high > 0xffffff)
        high = 0xffffff;
    for (unsigned i = 0; i < 3; i++)
        rtc->cmos[0x5b + i] = (uint8_t)(high >> (8 * i));
    for (unsigned i = 0x10; i <= 0x2d; i++)
        sum += rtc->cmos[i];
    rtc->cmos[0x2e] = (uint8_t)(sum >> 8);
    rtc->cmos[0x2f] = (uint8_t)sum;
}
