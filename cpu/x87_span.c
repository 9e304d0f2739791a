/* SPDX-License-Identifier: MIT */
/*
 * Memory operands of more than eight bytes: extended reals, packed decimals, the environment, the whole
 * state.
 */
#include "cpu/x87.h"

static u64 span_offset(IN, u64 offset, unsigned distance)
{
    offset += distance;
    return in->address == W64 ? offset : in->address == W32 ? (u32)offset : (u16)offset;
}

void span_open(CPU, IN, struct span *s, unsigned size, unsigned field, unsigned access)
{
    u64 offset = operand_offset(cpu, in);

    s->size = size;
    s->field = field;
    s->wraps = false;
    if (size == SPAN_EXTENDED) {
        s->first = 8;
    } else {
        /*
         * Zen looks at the first field and at the last byte before it moves anything: that tells which page
         * faults, and only the first field's alignment counts.
         */
        s->first = size < sizeof(s->part[0].bounce) ? size : sizeof(s->part[0].bounce);
        place_segment(cpu, &s->part[0], in->segment, offset, field, access | ACCESS_PROBE);
        place_segment(cpu, &s->part[0], in->segment, span_offset(in, offset, size - 1), 1, access | ACCESS_PROBE);
        access |= ACCESS_PLAIN;
        s->offset = offset;
        s->wraps = span_offset(in, offset, size - 1) < offset;
        if (s->wraps)
            return;
    }
    place_segment(cpu, &s->part[0], in->segment, offset, s->first, access);
    if (size > s->first)
        place_segment(cpu, &s->part[1], in->segment, span_offset(in, offset, s->first), size - s->first,
                      access | ACCESS_PLAIN);
}

/* The environment's fields, then for each register eight bytes and two. */
static unsigned field_at(const struct span *s, unsigned at)
{
    unsigned environment = 7 * s->field;

    return at < environment ? s->field : (at - environment) % 10 ? 2 : 8;
}

/* One of them may lie across the end, and be #GP or #SS; those before it have been moved then (Zen 3). */
static void open_field(CPU, IN, const struct span *s, unsigned at, struct place *p, unsigned access)
{
    place_segment(cpu, p, in->segment, span_offset(in, s->offset, at), field_at(s, at), access | ACCESS_PLAIN);
}

void span_load(CPU, IN, const struct span *s, void *bytes)
{
    for (unsigned at = 0; s->wraps && at < s->size; at += field_at(s, at)) {
        struct place p;

        open_field(cpu, in, s, at, &p, ACCESS_READ);
        copy_bytes((u8 *)bytes + at, p.bytes, field_at(s, at));
    }
    if (s->wraps)
        return;
    copy_bytes(bytes, s->part[0].bytes, s->first);
    if (s->size > s->first)
        copy_bytes((u8 *)bytes + s->first, s->part[1].bytes, s->size - s->first);
}

void span_store(CPU, IN, struct span *s, const void *bytes)
{
    for (unsigned at = 0; s->wraps && at < s->size; at += field_at(s, at)) {
        struct place p;

        open_field(cpu, in, s, at, &p, ACCESS_WRITE);
        copy_bytes(p.bytes, (const u8 *)bytes + at, field_at(s, at));
        place_commit(cpu, &p);
    }
    if (s->wraps)
        return;
    copy_bytes(s->part[0].bytes, bytes, s->first);
    place_commit(cpu, &s->part[0]);
    if (s->size > s->first) {
        copy_bytes(s->part[1].bytes, (const u8 *)bytes + s->first, s->size - s->first);
        place_commit(cpu, &s->part[1]);
    }
}
