/* SPDX-License-Identifier: MIT */
/*
 * By what a guest reaches its caller's events without an exit: doorbells, which are places in guest-physical memory, and
 * event ports, which hypercalls name by a connection. Tables that only change while all processors stand still
 * (meet_begin()), so whoever runs one looks things up without a lock.
 */
#ifndef STATE_PORT_H
#define STATE_PORT_H

#include "state/partition.h"

/* A store of `length` bytes (0: of any) of `value` (has_value, else of any) to gpa signals the event. */
struct bell {
    u64 gpa, value;
    u64 number; /* of the notification port that it is; 0: made by WHvRegisterPartitionDoorbellEvent */
    void *event; /* of state/host.h, and the table's own */
    u8 length;
    bool has_value;
};

struct event_port {
    u32 connection;
    u64 number;
    void *event;
};

struct ports {
    struct bell *bell; /* by gpa, then value. At one gpa all have one length; one of any value is alone there */
    struct event_port *event_port; /* by connection */
    u32 bells, event_ports;
    u64 numbered; /* the last number that was given; none comes twice */
};

/* The partition's tables, made when they are first asked for; NULL: no memory. */
struct ports *ports_of(struct partition *p);
void ports_delete(struct partition *p);

/* Takes it in, with its event. False: no memory, or (*conflict) one is there that it can't stand beside. */
bool bell_add(struct ports *ports, const struct bell *bell, bool *conflict);
/* Takes the nth out of the table, and returns it with its event. */
struct bell bell_remove(struct ports *ports, u32 n);

/* The first that isn't below (gpa, value); ports->bells: none. */
u32 bell_lower(const struct ports *ports, u64 gpa, u64 value);
/* Is there a doorbell anywhere in the page of gpa? */
bool bell_in_page(const struct ports *ports, u64 gpa);
/* Could a store of `size` bytes at gpa ring one, whatever its value? */
bool bell_waits(const struct ports *ports, u64 gpa, unsigned size);
/* Signals the one that a store rings. False: there is none. value: of the store, where it has up to 8 bytes. */
bool bell_ring(const struct ports *ports, u64 gpa, unsigned size, u64 value);

bool event_port_add(struct ports *ports, const struct event_port *port, bool *conflict);
struct event_port event_port_remove(struct ports *ports, u32 n);

/*
 * HvCallSignalEvent: signals the port behind a connection. A port of the API has one flag, number 0. Returns the
 * hypervisor's status: 0, HV_STATUS_INVALID_CONNECTION_ID (12h) or HV_STATUS_INVALID_PARAMETER (5).
 */
u32 port_signal(const struct partition *p, u32 connection, u32 flag);

#endif
