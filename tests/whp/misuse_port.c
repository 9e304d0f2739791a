/* SPDX-License-Identifier: MIT */
/* Misuses: doorbells and notification ports. */
#include <unistd.h>

#include "tests/whp/misuse.h"

enum { BELL = 1, LENGTH = 2, RESERVED = 4, AT = GUEST_HOLE + 0x100 };
#define EVENT WHvNotificationPortTypeEvent
#define DOORBELL WHvNotificationPortTypeDoorbell

/* flags: 1 MatchOnValue, 2 MatchOnLength, 4 a reserved bit */
static WHV_DOORBELL_MATCH_DATA match(u64 gpa, u32 length, u64 value, u32 flags)
{
    WHV_DOORBELL_MATCH_DATA m;

    memset(&m, 0, sizeof m);
    m.GuestAddress = gpa;
    m.Value = value;
    m.Length = length;
    m.MatchOnValue = flags & BELL;
    m.MatchOnLength = (flags & LENGTH) != 0;
    m.Reserved = (flags & RESERVED) != 0;
    return m;
}

static HRESULT create(struct scene *s, const WHV_NOTIFICATION_PORT_PARAMETERS *q)
{
    WHV_NOTIFICATION_PORT_HANDLE port = s;
    HRESULT hr = WHvCreateNotificationPort(s->p, q, s->event, &port);

    ck_assert(SUCCEEDED(hr) || (void *)port == s);
    return hr;
}

/* By a port too, which is refused alike. */
static HRESULT hang(struct scene *s, u64 gpa, u32 length, u64 value, u32 flags)
{
    WHV_DOORBELL_MATCH_DATA m = match(gpa, length, value, flags);
    WHV_NOTIFICATION_PORT_PARAMETERS q;
    HRESULT hr = WHvRegisterPartitionDoorbellEvent(s->p, &m, s->event);

    ck_assert(FAILED(hr));
    memset(&q, 0, sizeof q);
    q.NotificationPortType = DOORBELL;
    q.Doorbell = m;
    ck_assert(create(s, &q) == hr);
    return hr;
}

static HRESULT take_down(struct scene *s, u64 gpa, u32 length, u64 value, u32 flags)
{
    WHV_DOORBELL_MATCH_DATA m = match(gpa, length, value, flags);

    return WHvUnregisterPartitionDoorbellEvent(s->p, &m);
}

static HRESULT hang_twice_and_take_down_twice(struct scene *s)
{
    WHV_DOORBELL_MATCH_DATA m = match(AT, 8, 5, BELL | LENGTH);

    ck_ok(WHvRegisterPartitionDoorbellEvent(s->p, &m, s->event));
    ck_hr(WHvRegisterPartitionDoorbellEvent(s->p, &m, s->event), HV(5));
    ck_ok(WHvUnregisterPartitionDoorbellEvent(s->p, &m));
    return WHvUnregisterPartitionDoorbellEvent(s->p, &m);
}

/* No event: nothing, a file of another kind, one that was closed. */
static HRESULT hang_on_no_event(struct scene *s, int what)
{
    WHV_DOORBELL_MATCH_DATA m = match(AT, 4, 0, LENGTH);
    WHV_NOTIFICATION_PORT_PARAMETERS q;
    WHV_NOTIFICATION_PORT_HANDLE port;
    int pipes[2];

    ck_assert_int_eq(pipe(pipes), 0);
    if (what == 2)
        close(pipes[0]);
    HANDLE event = what ? (HANDLE)(intptr_t)pipes[0] : NULL;
    HRESULT hr = WHvRegisterPartitionDoorbellEvent(s->p, &m, event);
    memset(&q, 0, sizeof q);
    q.NotificationPortType = EVENT;
    ck_assert(WHvCreateNotificationPort(s->p, &q, event, &port) == hr);
    close(pipes[1]);
    if (what != 2)
        close(pipes[0]);
    return hr;
}

static HRESULT create_with(struct scene *s, u32 type, u32 reserved, u32 vtl, u32 connection)
{
    WHV_NOTIFICATION_PORT_PARAMETERS q;

    memset(&q, 0, sizeof q);
    q.NotificationPortType = (WHV_NOTIFICATION_PORT_TYPE)type;
    q.Reserved = (UINT16)reserved;
    q.ConnectionVtl = (UINT8)vtl;
    q.Event.ConnectionId = connection;
    return create(s, &q);
}

static HRESULT create_bell(struct scene *s, u32 length)
{
    WHV_NOTIFICATION_PORT_PARAMETERS q;

    memset(&q, 0, sizeof q);
    q.NotificationPortType = DOORBELL;
    q.Doorbell = match(AT, length, 0, LENGTH);
    return create(s, &q);
}

static HRESULT delete_twice(struct scene *s)
{
    WHV_NOTIFICATION_PORT_PARAMETERS q;
    WHV_NOTIFICATION_PORT_HANDLE port;

    memset(&q, 0, sizeof q);
    q.NotificationPortType = EVENT;
    q.Event.ConnectionId = SCENE_CONNECTION + 1;
    ck_ok(WHvCreateNotificationPort(s->p, &q, s->event, &port));
    ck_ok(WHvDeleteNotificationPort(s->p, port));
    return WHvDeleteNotificationPort(s->p, port);
}

static HRESULT set(struct scene *s, void *port, u32 code, u64 value)
{
    return WHvSetNotificationPortProperty(s->p, port, (WHV_NOTIFICATION_PORT_PROPERTY_CODE)code, value);
}
#define TARGET WHvNotificationPortPropertyPreferredTargetVp

static void bell_rows(struct visit *v, struct scene *s)
{
    static const WHV_DOORBELL_MATCH_DATA good = { .GuestAddress = AT, .Length = 4, .MatchOnLength = 1 };
    static const WHV_DOORBELL_MATCH_DATA there = { .GuestAddress = GUEST_HOLE, .Length = 4, .MatchOnLength = 1 };

    FUNCTION(WHvRegisterPartitionDoorbellEvent, TAKES_PARTITION, "P....VI",
             "a store there signals an event, without an exit", (s->p, &good, s->event));
    ROW("MatchData is NULL", E_POINTER, "MatchData", "1.5", WHvRegisterPartitionDoorbellEvent(s->p, NULL, s->event));
    ROW("before Setup", HV(7), "Partition", "1.3", WHvRegisterPartitionDoorbellEvent(s->raw, &good, s->event));
    ROW("a reserved bit", E_INVALIDARG, "MatchData", "7.6", hang(s, AT, 4, 0, LENGTH | RESERVED));
    ROW("Length is 3", E_INVALIDARG, "MatchData", "7.6", hang(s, AT, 3, 0, LENGTH));
    ROW("MatchOnLength and Length is 0", E_INVALIDARG, "MatchData", "7.6", hang(s, AT, 0, 0, LENGTH));
    ROW("a Length without MatchOnLength", E_INVALIDARG, "MatchData", "7.6", hang(s, AT, 4, 0, 0));
    ROW("a Value without MatchOnValue", E_INVALIDARG, "MatchData", "7.6", hang(s, AT, 4, 1, LENGTH));
    ROW("MatchOnValue without MatchOnLength", E_INVALIDARG, "MatchData", "7.6", hang(s, AT, 0, 1, BELL));
    ROW("Value is larger than Length", E_INVALIDARG, "MatchData", "7.6", hang(s, AT, 2, 0x10000, BELL | LENGTH));
    ROW("GuestAddress is beyond PhysicalAddressWidth", E_INVALIDARG, "MatchData", "6.1",
        hang(s, (u64)1 << 52, 4, 0, LENGTH));
    ROW("the end of a page is crossed", E_INVALIDARG, "MatchData", "7.6", hang(s, AT | 0xffd, 4, 0, LENGTH));
    ROW("EventHandle is NULL", E_HANDLE, "EventHandle", "7.6", hang_on_no_event(s, 0));
    ROW("EventHandle is no event", E_HANDLE, "EventHandle", "7.6", hang_on_no_event(s, 1));
    ROW("EventHandle is closed", E_HANDLE, "EventHandle", "7.6", hang_on_no_event(s, 2));
    ROW("the same is there", HV(5), "MatchData", "1.5", hang(s, GUEST_HOLE, 4, 0, LENGTH));
    ROW("one of any value is there", HV(5), "MatchData", "1.5", hang(s, GUEST_HOLE, 4, 9, BELL | LENGTH));
    ROW("one of another length is there", HV(5), "MatchData", "1.5", hang(s, GUEST_HOLE, 2, 0, LENGTH));

    FUNCTION(WHvUnregisterPartitionDoorbellEvent, TAKES_PARTITION, "F....VI", "by what it was registered with",
             (s->p, &there));
    ROW("MatchData is NULL", E_POINTER, "MatchData", "1.5", WHvUnregisterPartitionDoorbellEvent(s->p, NULL));
    ROW("none is there", (HRESULT)0x80070490u, "MatchData", "1.5", take_down(s, AT, 4, 0, LENGTH));
    ROW("one of another length is there", (HRESULT)0x80070490u, "MatchData", "1.5",
        take_down(s, GUEST_HOLE, 2, 0, LENGTH));
    ROW("one of another value is there", (HRESULT)0x80070490u, "MatchData", "1.5",
        take_down(s, GUEST_HOLE, 4, 1, BELL | LENGTH));
    ROW("a reserved bit", (HRESULT)0x80070490u, "MatchData", "1.5", take_down(s, GUEST_HOLE, 4, 0, LENGTH | RESERVED));
    ROW("a second time", (HRESULT)0x80070490u, "MatchData", "1.5", hang_twice_and_take_down_twice(s));
}

void port_rows(struct visit *v, struct scene *s)
{
    static const WHV_NOTIFICATION_PORT_PARAMETERS good = { .NotificationPortType = EVENT,
                                                           .Event = { .ConnectionId = 9 } };

    bell_rows(v, s);
    FUNCTION(WHvCreateNotificationPort, TAKES_PARTITION, "P....VI", "a doorbell, or a hypercall's connection",
             (s->p, &good, s->event, (void *)s->room));
    ROW("Parameters is NULL", E_POINTER, "Parameters", "1.5",
        WHvCreateNotificationPort(s->p, NULL, s->event, (void *)s->out));
    ROW("PortHandle is NULL", E_POINTER, "PortHandle", "1.5", WHvCreateNotificationPort(s->p, &good, s->event, NULL));
    ROW("before Setup", HV(7), "Partition", "1.3", WHvCreateNotificationPort(s->raw, &good, s->event, (void *)s->out));
    ROW("there is no such type", E_INVALIDARG, "NotificationPortType", "7.6", create_with(s, 3, 0, 0, 9));
    ROW("a reserved word", E_INVALIDARG, "Parameters", "7.6", create_with(s, EVENT, 1, 0, 9));
    ROW("ConnectionVtl isn't 0", E_INVALIDARG, "ConnectionVtl", "7.6", create_with(s, EVENT, 0, 1, 9));
    ROW("ConnectionId has more than 24 bits", E_INVALIDARG, "ConnectionId", "7.6",
        create_with(s, EVENT, 0, 0, 1 << 24));
    ROW("ConnectionId is another port's", HV(5), "ConnectionId", "1.5", create_with(s, EVENT, 0, 0, SCENE_CONNECTION));
    ROW("whatever WHvRegisterPartitionDoorbellEvent refuses", E_INVALIDARG, "MatchData", "7.6", create_bell(s, 3));

    FUNCTION(WHvSetNotificationPortProperty, TAKES_PARTITION, "A.....I", "hints, that are checked and not needed",
             (s->p, s->port, TARGET, 0));
    ROW("PortHandle is NULL", E_INVALIDARG, "PortHandle", "7.6", set(s, NULL, TARGET, 0));
    ROW("PortHandle is no port", E_INVALIDARG, "PortHandle", "7.6", set(s, s, TARGET, 0));
    ROW("there is no such property", E_INVALIDARG, "PropertyCode", "7.6", set(s, s->port, 2, 0));
    ROW("there is no such processor", E_INVALIDARG, "PropertyValue", "7.6", set(s, s->port, TARGET, 3));

    FUNCTION(WHvDeleteNotificationPort, TAKES_PARTITION, "A....VI", "", (s->p, s->port));
    ROW("PortHandle is NULL", E_INVALIDARG, "PortHandle", "7.6", WHvDeleteNotificationPort(s->p, NULL));
    ROW("PortHandle is no port", E_INVALIDARG, "PortHandle", "7.6", WHvDeleteNotificationPort(s->p, s));
    ROW("a second time", E_INVALIDARG, "PortHandle", "7.6", delete_twice(s));
}
