/* SPDX-License-Identifier: MIT */
/*
 * Memory element by element: moves under a mask, whose other elements touch nothing, and gathers, which go on
 * after a fault where they stopped. As seen on a Zen 4, RFLAGS.AC is nothing to either.
 */
#include "cpu/vector.h"

/* Element i of the mask: its sign. */
static bool is_set(const union vector *mask, unsigned i, unsigned piece)
{
    return mask->b[(i + 1) * piece - 1] >> 7;
}

static u64 cut(const struct insn *in, u64 offset)
{
    return offset & ones(16u << (in->address - W16));
}

static void masked_load(CPU, IN, unsigned piece)
{
    unsigned size = vector_size(in);
    const union vector *mask = xmm(cpu, in->src);
    u64 offset = operand_offset(cpu, in);
    union vector r = { 0 };
    struct place p;

    for (unsigned i = 0; i < size / piece; i++) {
        if (!is_set(mask, i, piece))
            continue;
        place_segment(cpu, &p, in->segment, cut(in, offset + i * piece), piece, ACCESS_READ | ACCESS_PLAIN);
        copy_bytes(r.b + i * piece, p.bytes, piece);
    }
    vector_put(cpu, in, &r, size);
}

/* All are resolved before one is written. */
static void masked_store(CPU, IN, unsigned piece)
{
    unsigned size = in->width == W256 ? 32 : 16;
    const union vector *mask = xmm(cpu, in->src), *v = xmm(cpu, in->third);
    u64 offset = operand_offset(cpu, in);
    struct place p[8];

    for (unsigned i = 0; i < size / piece; i++)
        if (is_set(mask, i, piece))
            place_segment(cpu, &p[i], in->segment, cut(in, offset + i * piece), piece,
                          ACCESS_WRITE | ACCESS_PLAIN);
    for (unsigned i = 0; i < size / piece; i++)
        if (is_set(mask, i, piece)) {
            copy_bytes(p[i].bytes, v->b + i * piece, piece);
            place_commit(cpu, &p[i]);
        }
}

static void masked_move(CPU, IN, unsigned piece)
{
    if (shape_operand(in, 0) == 'M')
        masked_store(cpu, in, piece);
    else
        masked_load(cpu, in, piece);
}

void op_maskmov32(CPU, IN)
{
    masked_move(cpu, in, 4);
}

void op_maskmov64(CPU, IN)
{
    masked_move(cpu, in, 8);
}

/*
 * Elements of `piece` bytes at base + index * scale, indices of `step` bytes. An element's mask becomes zero
 * as it is passed. SDM 2, VGATHERDPS. A fault after an element was gathered lets a debug trap go first: state/vcpu.c.
 */
static void gather(CPU, IN, unsigned piece, unsigned step)
{
    unsigned n = (in->width == W256 ? 32 : 16) / (piece > step ? piece : step), size = n * piece;
    union vector *to = xmm(cpu, in->dst), *mask = xmm(cpu, in->third);
    const union vector *index = xmm(cpu, in->index);
    u64 base = *(const u64 *)((const char *)cpu + in->base) + (u64)(i64)in->disp;
    struct place p;

    if (in->dst == in->index || in->dst == in->third || in->third == in->index)
        vcpu_raise(cpu, VECTOR_UD, 0);
    for (unsigned i = 0; i < n; i++) {
        u64 distance = sign_extend(load_bytes(index->b + i * step, step), 8 * step) << in->scale;

        if (is_set(mask, i, piece)) {
            place_segment(cpu, &p, in->segment, cut(in, base + distance), piece, ACCESS_READ | ACCESS_PLAIN);
            copy_bytes(to->b + i * piece, p.bytes, piece);
            cpu->has_gathered = true;
        }
        memset(mask->b + i * piece, 0, piece);
    }
    cpu->has_gathered = false;
    memset(mask, 0, sizeof *mask);
    memset(to->b + size, 0, sizeof *to - size);
}

#define GATHER(name, piece, step)                                                                           \
    void op_##name(CPU, IN)                                                                                 \
    {                                                                                                       \
        gather(cpu, in, piece, step);                                                                       \
    }

GATHER(gather32_by32, 4, 4)
GATHER(gather64_by32, 8, 4)
GATHER(gather32_by64, 4, 8)
GATHER(gather64_by64, 8, 8)
