/* SPDX-License-Identifier: MIT */
/* The memory of FXSAVE, XSAVE and their counterparts. */
#include "cpu/fx_area.h"

/* A byte of the area alone; its offset wraps as the address size has it, before the limit counts. */
static void probe(CPU, IN, unsigned distance, unsigned access)
{
    struct place p;
    u64 offset = (operand_offset(cpu, in) + distance) & ones(width_bits(in->address));

    place_segment(cpu, &p, in->segment, offset, 1, access | ACCESS_PLAIN | ACCESS_PROBE);
}

void area_open(CPU, IN, struct area *a, unsigned size, unsigned alignment, unsigned access)
{
    bool checks = cpu->cpl == 3 && (cpu->cr0 & CR0_AM) && (cpu->rflags & AC);

    a->pieces = 0;
    if (alignment == 64) {
        if (is_misaligned(cpu, in, alignment))
            vcpu_raise(cpu, VECTOR_GP, 0);
        probe(cpu, in, 0, access);
        probe(cpu, in, access & ACCESS_WRITE ? size - 1 : XSTATE_BV, access);
    } else {
        a->linear = operand_linear(cpu, in, 1, access);
        if (checks && (a->linear & 3))
            vcpu_raise(cpu, VECTOR_AC, 0);
        if (a->linear & (alignment - 1))
            vcpu_raise(cpu, VECTOR_GP, 0);
        probe(cpu, in, size - 1, access);
    }
    a->linear = operand_linear(cpu, in, size, access);
}

void area_grow(CPU, IN, unsigned size, unsigned access)
{
    probe(cpu, in, size - 1, access);
    operand_linear(cpu, in, size, access);
}

void area_reach(CPU, struct area *a, unsigned from, unsigned end, unsigned access)
{
    for (unsigned size; from < end; from += size) {
        size = end - from < PIECE ? end - from : PIECE;
        a->piece[a->pieces].from = from;
        a->piece[a->pieces].written = 0;
        place_linear(cpu, &a->piece[a->pieces].place, a->linear + from, size, access | ACCESS_PLAIN);
        a->pieces++;
    }
}

/* The piece of an offset, and how many bytes there are of it in a row, at most `size`. */
static unsigned piece_of(const struct area *a, unsigned offset, unsigned *size)
{
    for (unsigned i = 0; i < a->pieces; i++) {
        unsigned past = offset - a->piece[i].from, room = a->piece[i].place.size;

        if (past < room) {
            *size = *size < room - past ? *size : room - past;
            return i;
        }
    }
    __builtin_unreachable(); /* nobody asks for what wasn't reached */
}

void area_refresh(CPU, struct area *a, unsigned offset, unsigned size)
{
    struct place p, *to = &a->piece[piece_of(a, offset, &size)].place;

    if (!cpu->seam)
        return;
    place_linear(cpu, &p, a->linear + offset, size, ACCESS_READ | ACCESS_PLAIN);
    memcpy(to->bytes + (a->linear + offset - to->linear), p.bytes, size);
}

void area_read(const struct area *a, unsigned offset, void *to, unsigned size)
{
    for (unsigned done = 0, n; done < size; done += n) {
        n = size - done;
        unsigned i = piece_of(a, offset + done, &n);

        copy_bytes((u8 *)to + done, a->piece[i].place.bytes + (offset + done - a->piece[i].from), n);
    }
}

void area_write(struct area *a, unsigned offset, const void *from, unsigned size)
{
    for (unsigned done = 0, n; done < size; done += n) {
        n = size - done;
        unsigned i = piece_of(a, offset + done, &n), past = offset + done - a->piece[i].from;

        copy_bytes(a->piece[i].place.bytes + past, (const u8 *)from + done, n);
        a->piece[i].written |= ones(n) << past;
    }
}

void area_commit(CPU, struct area *a)
{
    for (unsigned i = 0; i < a->pieces; i++)
        place_commit_masked(cpu, &a->piece[i].place, a->piece[i].written);
}
