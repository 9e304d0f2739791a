/* SPDX-License-Identifier: MIT */
/* Doorbells of the machine of tests/whp/guest.h, whose hole they hang in. */
#ifndef TESTS_WHP_DOORBELL_H
#define TESTS_WHP_DOORBELL_H

#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/whp/guest.h"

enum { BELL = GUEST_HOLE + 0x10 };
enum { ANY = 0, HV_INVALID_PARAMETER = (int)0xC0350005, NOT_FOUND = (int)0x80070490, HANDLE_INVALID = (int)0x80070006 };

INLINE HANDLE handle_of(int fd)
{
    return (HANDLE)(intptr_t)fd;
}

INLINE int event_new(void)
{
    int fd = eventfd(0, EFD_NONBLOCK);

    ck_assert_int_gt(fd, 0);
    return fd;
}

/* How often it was signalled since the last time. */
INLINE u64 taken(int fd)
{
    u64 n;

    return read(fd, &n, sizeof n) == sizeof n ? n : 0;
}

INLINE WHV_DOORBELL_MATCH_DATA match(u64 gpa, u32 length)
{
    WHV_DOORBELL_MATCH_DATA m;

    memset(&m, 0, sizeof m);
    m.GuestAddress = gpa;
    m.Length = length;
    m.MatchOnLength = length != 0;
    return m;
}

INLINE WHV_DOORBELL_MATCH_DATA match_value(u64 gpa, u32 length, u64 value)
{
    WHV_DOORBELL_MATCH_DATA m = match(gpa, length);

    m.Value = value;
    m.MatchOnValue = 1;
    return m;
}

INLINE HRESULT hang(struct guest *g, WHV_DOORBELL_MATCH_DATA m, int fd)
{
    return WHvRegisterPartitionDoorbellEvent(g->partition, &m, handle_of(fd));
}

INLINE HRESULT take_down(struct guest *g, WHV_DOORBELL_MATCH_DATA m)
{
    return WHvUnregisterPartitionDoorbellEvent(g->partition, &m);
}

TCase *doorbell_rule_case(void);

#endif
