/* SPDX-License-Identifier: MIT */
/* Tables of doorbells and event ports: state/port.h. Sorted arrays: found in log n steps, changed seldom. */
#include "state/port.h"

#include <stdlib.h>

#include "state/host.h"

enum { HV_STATUS_SUCCESS = 0, HV_STATUS_INVALID_PARAMETER = 5, HV_STATUS_INVALID_CONNECTION_ID = 0x12 };

struct ports *ports_of(struct partition *p)
{
    if (!p->ports)
        p->ports = calloc(1, sizeof *p->ports);
    return p->ports;
}

void ports_delete(struct partition *p)
{
    struct ports *ports = p->ports;

    if (!ports)
        return;
    for (u32 i = 0; i < ports->bells; i++)
        host_event_close(ports->bell[i].event);
    for (u32 i = 0; i < ports->event_ports; i++)
        host_event_close(ports->event_port[i].event);
    free(ports->bell);
    free(ports->event_port);
    free(ports);
    p->ports = NULL;
}

/* Room for one more at n in an array of `used`, which grows by doubling. NULL: no memory. */
static void *make_room(void *array, u32 used, u32 n, size_t size)
{
    char *at = array;

    if (!(used & (used - 1))) { /* 0, 1, 2, 4, 8...: full */
        at = realloc(array, (used ? 2 * (size_t)used : 1) * size);
        if (!at)
            return NULL;
    }
    memmove(at + (n + 1) * size, at + n * size, (used - n) * size);
    return at;
}

static void close_gap(void *array, u32 used, u32 n, size_t size)
{
    memmove((char *)array + n * size, (char *)array + (n + 1) * size, (used - n - 1) * size);
}

/* ---- doorbells ---- */

u32 bell_lower(const struct ports *ports, u64 gpa, u64 value)
{
    u32 low = 0, high = ports->bells;

    while (low < high) {
        u32 middle = low + (high - low) / 2;
        const struct bell *b = &ports->bell[middle];

        if (b->gpa < gpa || (b->gpa == gpa && b->value < value))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool bell_add(struct ports *ports, const struct bell *bell, bool *conflict)
{
    u32 first = bell_lower(ports, bell->gpa, 0), n = bell_lower(ports, bell->gpa, bell->value);
    const struct bell *there = first < ports->bells && ports->bell[first].gpa == bell->gpa ? &ports->bell[first] : NULL;
    struct bell *room;

    *conflict = there && (there->length != bell->length || !there->has_value || !bell->has_value ||
                          (n < ports->bells && ports->bell[n].gpa == bell->gpa && ports->bell[n].value == bell->value));
    if (*conflict)
        return false;
    room = make_room(ports->bell, ports->bells, n, sizeof *room);
    if (!room)
        return false;
    ports->bell = room;
    ports->bell[n] = *bell;
    ports->bells++;
    return true;
}

struct bell bell_remove(struct ports *ports, u32 n)
{
    struct bell gone = ports->bell[n];

    close_gap(ports->bell, ports->bells, n, sizeof *ports->bell);
    ports->bells--;
    return gone;
}

bool bell_in_page(const struct ports *ports, u64 gpa)
{
    u32 n = bell_lower(ports, gpa & PAGE_MASK, 0);

    return n < ports->bells && (ports->bell[n].gpa & PAGE_MASK) == (gpa & PAGE_MASK);
}

bool bell_waits(const struct ports *ports, u64 gpa, unsigned size)
{
    u32 n = bell_lower(ports, gpa, 0);

    return n < ports->bells && ports->bell[n].gpa == gpa && (!ports->bell[n].length || ports->bell[n].length == size);
}

bool bell_ring(const struct ports *ports, u64 gpa, unsigned size, u64 value)
{
    u32 n = bell_lower(ports, gpa, 0);

    if (!bell_waits(ports, gpa, size))
        return false;
    if (ports->bell[n].has_value) {
        n = bell_lower(ports, gpa, value);
        if (n == ports->bells || ports->bell[n].gpa != gpa || ports->bell[n].value != value)
            return false;
    }
    host_event_signal(ports->bell[n].event);
    return true;
}

/* ---- event ports ---- */

static u32 event_port_lower(const struct ports *ports, u32 connection)
{
    u32 low = 0, high = ports->event_ports;

    while (low < high) {
        u32 middle = low + (high - low) / 2;

        if (ports->event_port[middle].connection < connection)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool event_port_add(struct ports *ports, const struct event_port *port, bool *conflict)
{
    u32 n = event_port_lower(ports, port->connection);
    struct event_port *room;

    *conflict = n < ports->event_ports && ports->event_port[n].connection == port->connection;
    if (*conflict)
        return false;
    room = make_room(ports->event_port, ports->event_ports, n, sizeof *room);
    if (!room)
        return false;
    ports->event_port = room;
    ports->event_port[n] = *port;
    ports->event_ports++;
    return true;
}

struct event_port event_port_remove(struct ports *ports, u32 n)
{
    struct event_port gone = ports->event_port[n];

    close_gap(ports->event_port, ports->event_ports, n, sizeof *ports->event_port);
    ports->event_ports--;
    return gone;
}

u32 port_signal(const struct partition *p, u32 connection, u32 flag)
{
    const struct ports *ports = p->ports;
    u32 n = ports ? event_port_lower(ports, connection) : 0;

    if (!ports || n == ports->event_ports || ports->event_port[n].connection != connection)
        return HV_STATUS_INVALID_CONNECTION_ID;
    if (flag)
        return HV_STATUS_INVALID_PARAMETER;
    host_event_signal(ports->event_port[n].event);
    return HV_STATUS_SUCCESS;
}
