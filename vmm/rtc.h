/* SPDX-License-Identifier: MIT */
/*
 * The MC146818 real-time clock of a PC and its CMOS memory, at ports 70 and 71. It starts at the date it is
 * given and follows the time that is handed in, in nanoseconds.
 */
#ifndef VMM_RTC_H
#define VMM_RTC_H

#include <stdbool.h>
#include <stdint.h>

struct pic;

/* 2026-01-01 00:00:00 UTC, in seconds of POSIX: where the virtual clock begins. */
#define RTC_VIRTUAL_START INT64_C(1767225600)

struct rtc {
    uint8_t cmos[128];
    uint8_t index;
    int64_t base;       /* the date, in seconds of POSIX, at time 0 */
    int64_t frozen;     /* the date while register B's SET holds it */
    uint64_t seen;      /* the time up to which flags have been raised */
    struct pic *pic;
};

void rtc_reset(struct rtc *rtc, struct pic *pic, uint64_t memory_size, uint64_t high_memory_size,
               int64_t date);

/* Raises what has become due. */
void rtc_update(struct rtc *rtc, uint64_t now);

/* When an interrupt may become due next, or UINT64_MAX. */
uint64_t rtc_deadline(const struct rtc *rtc);

uint32_t rtc_read(void *device, uint16_t port, unsigned size, uint64_t now);
void rtc_write(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now);

#endif
