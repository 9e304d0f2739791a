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

void span_open(CPU, IN, struct span *s, unsigned size, unsigned first, unsigned access)
{
    u64 offset = operand_offset(cpu, in);

    s->size = size;
    if (size == SPAN_EXTENDED) {
        s->first = 8;
    } else {
        /*
         * Zen looks at the first field and at the last byte before it moves anything: that tells which page
         * faults, and only the first field's alignment counts.
         */
        s->first = size < sizeof(s->part[0].bounce) ? size : sizeof(s->part[0].bounce);
        place_segment(cpu, &s->part[0], in->segment, offset, first, access | ACCESS_PROBE);
        place_segment(cpu, &s->part[0], in->segment, span_offset(in, offset, size - 1), 1, access | ACCESS_PROBE);
        access |= ACCESS_PLAIN;
    }
    place_segment(cpu, &s->part[0], in->segment, offset, s->first, access);
    if (size > s->first)
        place_segment(cpu, &s->part[1], in->segment, span_offset(in, offset, s->first), size - s->first,
                      access | ACCESS_PLAIN);
}

void span_load(const struct span *s, void *bytes)
{
    copy_bytes(bytes, s->part[0].bytes, s->first);
    if (s->size > s->first)
        copy_bytes((u8 *)bytes + s->first, s->part[1].bytes, s->size - s->first);
}

void span_store(CPU, struct span *s, const void *bytes)
{
    copy_bytes(s->part[0].bytes, bytes, s->first);
    place_commit(cpu, &s->part[0]);
    if (s->size > s->first) {
        copy_bytes(s->part[1].bytes, (const u8 *)bytes + s->first, s->size - s->first);
        place_commit(cpu, &s->part[1]);
    }
}
