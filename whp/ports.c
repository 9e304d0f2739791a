/* SPDX-License-Identifier: MIT */
/* Doorbells and notification ports: what a guest does that signals an event of the caller's. Reference 7.6. */
#include "state/port.h"

#include "mem/ram.h"
#include "state/host.h"
#include "whp/level.h"
#include "whp/memory.h"
#include "whp/processor.h"

enum { MOST_CONNECTION = 0xffffff }; /* identifiers of connections have 24 bits */

/* ---- checks ---- */

static HRESULT check_match(const struct partition *p, const WHV_DOORBELL_MATCH_DATA *m)
{
    u64 end = (u64)1 << p->physical_width;
    u32 length = m->Length;

    if (m->Reserved)
        return fail(E_INVALIDARG, "MatchData: Reserved must be zero");
    if (m->MatchOnLength && length != 1 && length != 2 && length != 4 && length != 8)
        return fail(E_INVALIDARG, "MatchData: Length %u; there are 1, 2, 4 and 8", length);
    if (!m->MatchOnLength && (length || m->MatchOnValue))
        return fail(E_INVALIDARG, "MatchData: without MatchOnLength there is no Length and no MatchOnValue");
    if (!m->MatchOnValue && m->Value)
        return fail(E_INVALIDARG, "MatchData: without MatchOnValue, Value must be zero");
    if (m->MatchOnValue && length < 8 && m->Value >> (8 * length))
        return fail(E_INVALIDARG, "MatchData: no store of %u bytes has the value %#llx", length,
                    (unsigned long long)m->Value);
    if (m->GuestAddress >= end)
        return fail(E_INVALIDARG, "MatchData: GuestAddress %#llx is beyond the partition's %u address bits",
                    (unsigned long long)m->GuestAddress, p->physical_width);
    if (length > PAGE_SIZE - (m->GuestAddress & ~PAGE_MASK))
        return fail(E_INVALIDARG, "MatchData: the store would cross a page's end");
    return S_OK;
}

static HRESULT check_set_up(const struct partition *p)
{
    return __atomic_load_n(&p->is_set_up, __ATOMIC_RELAXED)
               ? S_OK
               : fail(HV_INVALID_PARTITION_STATE, "Partition: not set up; WHvSetupPartition comes before its ports");
}

/* The event is ours from here on: the caller may close its handle. */
static HRESULT open_event(HANDLE handle, void **event)
{
    bool is_event;

    *event = host_event_copy(handle, &is_event);
    if (*event)
        return S_OK;
    return is_event ? fail(E_OUTOFMEMORY, "EventHandle: the process has no descriptor left for a duplicate of it")
                    : fail(E_HANDLE, "EventHandle: %p is no event; on Linux it is an eventfd's descriptor", handle);
}

static HRESULT meet(struct partition *p)
{
    return meet_begin(p) ? S_OK
                         : fail(WHV_E_INVALID_VP_STATE, "Partition: this thread runs one of its processors");
}

/* From here to leave_met all stand still. */
static HRESULT enter_met(WHV_PARTITION_HANDLE handle, struct partition **p)
{
    HRESULT hr = partition_enter(handle, p);

    if (FAILED(hr))
        return hr;
    hr = meet(*p);
    if (FAILED(hr))
        partition_leave(handle);
    return hr;
}

static void leave_met(WHV_PARTITION_HANDLE handle, struct partition *p)
{
    meet_end(p);
    partition_leave(handle);
}

/* ---- doorbells ---- */

static struct bell bell_of(const WHV_DOORBELL_MATCH_DATA *m, u64 number, void *event)
{
    return (struct bell){ m->GuestAddress, m->Value, number, event, (u8)m->Length, m->MatchOnValue };
}

/* While all stand still. On failure the event is still the caller's. */
static HRESULT bell_hang(struct partition *p, const struct bell *bell)
{
    struct ports *ports = ports_of(p);
    bool conflict = false;

    if (ports && bell_add(ports, bell, &conflict)) {
        if (ram_hide(p->ram, bell->gpa, true)) {
            map_changed(p);
            return S_OK;
        }
        bell_remove(ports, bell_lower(ports, bell->gpa, bell->value));
    }
    if (conflict)
        return fail(HV_INVALID_PARAMETER, "MatchData: a doorbell that is there already conflicts with it: at one "
                                          "address all have the same Length, and different values");
    return fail(E_OUTOFMEMORY, "no memory for a doorbell");
}

static void bell_take_down(struct partition *p, u32 n)
{
    struct bell gone = bell_remove(p->ports, n);

    host_event_close(gone.event);
    if (!bell_in_page(p->ports, gone.gpa))
        ram_hide(p->ram, gone.gpa, false);
    map_changed(p);
}

/* Those of ports go with their ports. */
static HRESULT bell_unregister(struct partition *p, const WHV_DOORBELL_MATCH_DATA *m)
{
    const struct ports *ports = p->ports;
    u32 n = ports ? bell_lower(ports, m->GuestAddress, m->Value) : 0;
    const struct bell *b = ports && n < ports->bells ? &ports->bell[n] : NULL;

    if (m->Reserved || !b || b->number || b->gpa != m->GuestAddress || b->value != m->Value ||
        b->length != m->Length || (b->length != 0) != m->MatchOnLength || b->has_value != m->MatchOnValue)
        return fail(HRESULT_FROM_WIN32(ERROR_NOT_FOUND), "MatchData: no doorbell event was registered with it");
    bell_take_down(p, n);
    return S_OK;
}

HRESULT WINAPI WHvUnregisterPartitionDoorbellEvent(WHV_PARTITION_HANDLE Partition,
                                                   const WHV_DOORBELL_MATCH_DATA *MatchData)
{
    struct partition *p;

    if (level_lacks(Partition, __func__))
        return E_NOTIMPL;
    if (!MatchData)
        return fail(E_POINTER, "MatchData is NULL");

    HRESULT hr = enter_met(Partition, &p);

    if (FAILED(hr))
        return hr;
    hr = bell_unregister(p, MatchData);
    leave_met(Partition, p);
    return hr;
}

/* ---- notification ports ---- */

/* Handles are numbers that aren't given twice; like pointers, they end in zeros. */
static WHV_NOTIFICATION_PORT_HANDLE port_handle(u64 number)
{
    return (WHV_NOTIFICATION_PORT_HANDLE)(uintptr_t)(number << 4);
}

static HRESULT check_port(const struct partition *p, const WHV_NOTIFICATION_PORT_PARAMETERS *q)
{
    HRESULT hr = check_set_up(p);

    if (FAILED(hr))
        return hr;
    if (q->Reserved || q->Reserved1 || q->ConnectionVtl)
        return fail(E_INVALIDARG, "Parameters: ConnectionVtl and what is reserved must be zero");
    switch ((u32)q->NotificationPortType) {
    case WHvNotificationPortTypeDoorbell: return check_match(p, &q->Doorbell);
    case WHvNotificationPortTypeEvent:
        if (q->Event.ConnectionId > MOST_CONNECTION)
            return fail(E_INVALIDARG, "Parameters: ConnectionId %#x has more than 24 bits", q->Event.ConnectionId);
        return S_OK;
    default:
        return fail(E_INVALIDARG, "Parameters: there is no NotificationPortType %u", (u32)q->NotificationPortType);
    }
}

static HRESULT event_port_open(struct partition *p, u32 connection, u64 number, void *event)
{
    struct event_port port = { connection, number, event };
    bool conflict;

    if (event_port_add(p->ports, &port, &conflict))
        return S_OK;
    return conflict ? fail(HV_INVALID_PARAMETER, "Parameters: ConnectionId %#x is another port's", connection)
                    : fail(E_OUTOFMEMORY, "no memory for a port");
}

/* While all stand still. number: of the port; NULL: a doorbell that is none. */
static HRESULT hang(struct partition *p, const WHV_NOTIFICATION_PORT_PARAMETERS *q, void *event, u64 *number)
{
    struct ports *ports = ports_of(p);
    HRESULT hr;

    if (!ports)
        return fail(E_OUTOFMEMORY, "no memory for a port");
    if (number)
        *number = ports->numbered + 1;
    if (q->NotificationPortType == WHvNotificationPortTypeDoorbell) {
        struct bell bell = bell_of(&q->Doorbell, number ? *number : 0, event);

        hr = bell_hang(p, &bell);
    } else {
        hr = event_port_open(p, q->Event.ConnectionId, *number, event);
    }
    if (SUCCEEDED(hr) && number)
        ports->numbered = *number;
    return hr;
}

/* On failure the event that was opened is closed again. */
static HRESULT open_and_hang(WHV_PARTITION_HANDLE handle, const WHV_NOTIFICATION_PORT_PARAMETERS *q, HANDLE given,
                             u64 *number)
{
    struct partition *p;
    void *event = NULL;
    HRESULT hr = partition_enter(handle, &p);

    if (FAILED(hr))
        return hr;
    hr = check_port(p, q);
    if (SUCCEEDED(hr))
        hr = open_event(given, &event);
    if (SUCCEEDED(hr)) {
        hr = meet(p);
        if (SUCCEEDED(hr)) {
            hr = hang(p, q, event, number);
            meet_end(p);
        }
        if (FAILED(hr))
            host_event_close(event);
    }
    partition_leave(handle);
    return hr;
}

HRESULT WINAPI WHvRegisterPartitionDoorbellEvent(WHV_PARTITION_HANDLE Partition,
                                                 const WHV_DOORBELL_MATCH_DATA *MatchData, HANDLE EventHandle)
{
    WHV_NOTIFICATION_PORT_PARAMETERS q = { .NotificationPortType = WHvNotificationPortTypeDoorbell };

    if (level_lacks(Partition, __func__))
        return E_NOTIMPL;
    if (!MatchData)
        return fail(E_POINTER, "MatchData is NULL");
    q.Doorbell = *MatchData;
    return open_and_hang(Partition, &q, EventHandle, NULL);
}

HRESULT WINAPI WHvCreateNotificationPort(WHV_PARTITION_HANDLE Partition,
                                         const WHV_NOTIFICATION_PORT_PARAMETERS *Parameters, HANDLE EventHandle,
                                         WHV_NOTIFICATION_PORT_HANDLE *PortHandle)
{
    WHV_NOTIFICATION_PORT_PARAMETERS q;
    u64 number = 0;

    if (level_lacks(Partition, __func__))
        return E_NOTIMPL;
    if (!Parameters || !PortHandle)
        return fail(E_POINTER, "Parameters or PortHandle is NULL");
    memcpy(&q, Parameters, sizeof q); /* what is checked is what is opened */

    HRESULT hr = open_and_hang(Partition, &q, EventHandle, &number);

    if (SUCCEEDED(hr))
        *PortHandle = port_handle(number);
    return hr;
}

/* What a handle names: its place in one of the two tables. */
struct found {
    bool is_bell;
    u32 n;
};

static HRESULT port_find(const struct partition *p, WHV_NOTIFICATION_PORT_HANDLE handle, struct found *f)
{
    const struct ports *ports = p->ports;

    for (u32 i = 0; handle && ports && i < ports->bells; i++) {
        if (ports->bell[i].number && port_handle(ports->bell[i].number) == handle) {
            *f = (struct found){ true, i };
            return S_OK;
        }
    }
    for (u32 i = 0; handle && ports && i < ports->event_ports; i++) {
        if (port_handle(ports->event_port[i].number) == handle) {
            *f = (struct found){ false, i };
            return S_OK;
        }
    }
    return fail(E_INVALIDARG, "PortHandle: %p is no port of this partition", handle);
}

/* Hints at where a hypervisor would run what it does for the port. An event of the caller's is signalled at once, by
 * whichever processor rings, so there is nothing to keep. */
static HRESULT check_property(const struct partition *p, u32 code, u64 value)
{
    switch (code) {
    case WHvNotificationPortPropertyPreferredTargetVp:
        return value < p->processors || value == WHV_ANY_VP
                   ? S_OK
                   : fail(E_INVALIDARG, "PropertyValue: there is no processor %llu", (unsigned long long)value);
    case WHvNotificationPortPropertyPreferredTargetDuration: return S_OK;
    default: return fail(E_INVALIDARG, "PropertyCode: ports have no property %u", code);
    }
}

HRESULT WINAPI WHvSetNotificationPortProperty(WHV_PARTITION_HANDLE Partition, WHV_NOTIFICATION_PORT_HANDLE PortHandle,
                                              WHV_NOTIFICATION_PORT_PROPERTY_CODE PropertyCode,
                                              WHV_NOTIFICATION_PORT_PROPERTY PropertyValue)
{
    struct partition *p;
    struct found f;

    if (level_lacks(Partition, __func__))
        return E_NOTIMPL;

    HRESULT hr = partition_enter(Partition, &p);

    if (FAILED(hr))
        return hr;
    host_lock(&p->lock);
    hr = port_find(p, PortHandle, &f);
    if (SUCCEEDED(hr))
        hr = check_property(p, (u32)PropertyCode, PropertyValue);
    host_unlock(&p->lock);
    partition_leave(Partition);
    return hr;
}

HRESULT WINAPI WHvDeleteNotificationPort(WHV_PARTITION_HANDLE Partition, WHV_NOTIFICATION_PORT_HANDLE PortHandle)
{
    struct partition *p;
    struct found f;

    if (level_lacks(Partition, __func__))
        return E_NOTIMPL;

    HRESULT hr = enter_met(Partition, &p);

    if (FAILED(hr))
        return hr;
    hr = port_find(p, PortHandle, &f);
    if (SUCCEEDED(hr)) {
        if (f.is_bell)
            bell_take_down(p, f.n);
        else
            host_event_close(event_port_remove(p->ports, f.n).event);
    }
    leave_met(Partition, p);
    return hr;
}
