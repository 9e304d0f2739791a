/* SPDX-License-Identifier: MIT */
/* Fast handlers of moves between XMM registers, general registers and memory. */
#include "cpu/fast_vector.h"

/*
 * What a move from memory makes of the destination: `size` bytes and zeros, or half of it with the other
 * half kept.
 */
enum part { PART_LOW, PART_HALF_0, PART_HALF_1 };

INLINE bool load(CPU, IN, enum form form, unsigned size, bool aligned, enum part part)
{
    const u8 *m = vector_place(cpu, in, form, size, aligned, ACCESS_READ);

    if (unlikely(!m))
        return false;
    v128 v = vector_fetch(m, size);

    if (part == PART_HALF_0)
        v[1] = xmm(cpu, in->dst)->q[1];
    if (part == PART_HALF_1)
        v = (v128){ xmm(cpu, in->dst)->q[0], v[0] };
    VEC(in->dst) = v;
    return true;
}

INLINE bool store(CPU, IN, enum form form, unsigned size, bool aligned, unsigned half)
{
    u8 *m = vector_place(cpu, in, form, size, aligned, ACCESS_WRITE);

    if (unlikely(!m))
        return false;
    copy_bytes(m, &xmm(cpu, in->src)->q[half], size);
    return true;
}

/* A register's low `size` bytes into another: merged, or with zeros above. */
INLINE v128 merge(v128 a, v128 b, unsigned size)
{
    a[0] = size == 4 ? (a[0] & ~(u64)0xffffffff) | (u32)b[0] : b[0];
    return a;
}

/* VEX clears what it doesn't load, and has 32 bytes. */
INLINE bool vex_load(CPU, IN, enum form form, unsigned size, bool aligned)
{
    const u8 *m = vector_place(cpu, in, form, size, aligned, ACCESS_READ);
    v128 zeros = { 0, 0 };

    if (unlikely(!m))
        return false;
    return vex_put(cpu, in, vector_fetch(m, size < 16 ? size : 16),
                   size == 32 ? vector_fetch(m + 16, 16) : zeros);
}

INLINE bool vex_store(CPU, IN, enum form form, bool aligned)
{
    const union vector *v = xmm(cpu, in->src);
    u8 *m = vector_place(cpu, in, form, 32, aligned, ACCESS_WRITE);
    v128 low, high;

    if (unlikely(!m))
        return false;
    low = LANE(v, 0);
    high = LANE(v, 1);
    copy_bytes(m, &low, 16);
    copy_bytes(m + 16, &high, 16);
    return true;
}

#define VEX_LOAD(form, name, size, aligned)                                                                 \
    FAST(name##_vex##size##_load_##form, vex_load(cpu, in, form, size, aligned))
#define VEX_STORE(form, name, aligned)                                                                      \
    FAST(name##_vex32_store_##form, vex_store(cpu, in, form, aligned))
#define LOAD(form, name, size, aligned, part)                                                               \
    FAST(name##_load_##form, load(cpu, in, form, size, aligned, part))
#define STORE(form, name, size, aligned, half)                                                              \
    FAST(name##_store_##form, store(cpu, in, form, size, aligned, half))

INLINE run_fn *choose(const struct insn *in, u32 mode, run_fn *const handlers[1 + 2 * FORMS])
{
    switch (in->shape) {
    case S_RR: return handlers[0];
    case S_RM: return is_xmm(in->dst) ? handlers[1 + address_form(in, mode)] : NULL;
    case S_MR: return is_xmm(in->src) ? handlers[1 + FORMS + address_form(in, mode)] : NULL;
    default: return NULL;
    }
}

/* reg: handler of the form with two registers, or NULL. */
#define MOVE(name, size, aligned, part, half, reg)                                                          \
    VECTOR_FORMS(LOAD, name, size, aligned, part)                                                           \
    VECTOR_FORMS(STORE, name, size, aligned, half)                                                          \
    run_fn *bind_##name(const struct insn *in, u32 mode, u32 live)                                          \
    {                                                                                                       \
        static run_fn *const handlers[] = { reg, VECTOR_HANDLERS(name##_load),                              \
                                            VECTOR_HANDLERS(name##_store) };                                \
                                                                                                            \
        (void)live;                                                                                         \
        return choose(in, mode, handlers);                                                                  \
    }

FAST(move, (VEC(in->dst) = VEC(in->src), true))
FAST(vex16_move, vex_put(cpu, in, VEC(in->src), (v128){ 0, 0 }))
FAST(vex32_move, vex_put(cpu, in, VEC(in->src), LANE(xmm(cpu, in->src), 1)))
FAST(move_ss, (VEC(in->dst) = merge(VEC(in->dst), VEC(in->src), 4), true))
FAST(move_sd, (VEC(in->dst) = merge(VEC(in->dst), VEC(in->src), 8), true))
FAST(move_low_high, (VEC(in->dst) = (v128){ xmm(cpu, in->dst)->q[0], xmm(cpu, in->src)->q[0] }, true))

MOVE(movaps, 16, ALIGNED, PART_LOW, 0, move)
MOVE(movups, 16, UNALIGNED, PART_LOW, 0, move)
MOVE(movss, 4, UNALIGNED, PART_LOW, 0, move_ss)
MOVE(movsd_vector, 8, UNALIGNED, PART_LOW, 0, move_sd)

/* With VEX. Stores of no more than 16 bytes are those without; MOVSS between registers has three of them. */
#define VEX_MOVE(name, aligned)                                                                             \
    VECTOR_FORMS(VEX_LOAD, name, 16, aligned)                                                               \
    VECTOR_FORMS(VEX_LOAD, name, 32, aligned)                                                               \
    VECTOR_FORMS(VEX_STORE, name, aligned)                                                                  \
    run_fn *bind_v##name(const struct insn *in, u32 mode, u32 live)                                         \
    {                                                                                                       \
        static run_fn *const narrow[] = { vex16_move, VECTOR_HANDLERS(name##_vex16_load),                   \
                                          VECTOR_HANDLERS(name##_store) };                                  \
        static run_fn *const wide[] = { vex32_move, VECTOR_HANDLERS(name##_vex32_load),                     \
                                        VECTOR_HANDLERS(name##_vex32_store) };                              \
                                                                                                            \
        (void)live;                                                                                         \
        return choose(in, mode, in->width == W256 ? wide : narrow);                                         \
    }

#define VEX_MOVE_SCALAR(name, size)                                                                         \
    VECTOR_FORMS(VEX_LOAD, name, size, UNALIGNED)                                                           \
    run_fn *bind_v##name(const struct insn *in, u32 mode, u32 live)                                         \
    {                                                                                                       \
        static run_fn *const handlers[] = { NULL, VECTOR_HANDLERS(name##_vex##size##_load),                 \
                                            VECTOR_HANDLERS(name##_store) };                                \
                                                                                                            \
        (void)live;                                                                                         \
        return choose(in, mode, handlers);                                                                  \
    }

VEX_MOVE(movaps, ALIGNED)
VEX_MOVE(movups, UNALIGNED)
VEX_MOVE_SCALAR(movss, 4)
VEX_MOVE_SCALAR(movsd_vector, 8)
MOVE(movlps, 8, UNALIGNED, PART_HALF_0, 0, NULL)
MOVE(movhps, 8, UNALIGNED, PART_HALF_1, 1, NULL)

run_fn *bind_movlhps(const struct insn *in, u32 mode, u32 live)
{
    (void)in;
    (void)mode;
    (void)live;
    return move_low_high;
}

/* MOVD and MOVQ between kinds of registers: zeros above. */
FAST(move_q, (VEC(in->dst) = (v128){ xmm(cpu, in->src)->q[0], 0 }, true))
FAST(d_to_general, (REG64(in->dst) = xmm(cpu, in->src)->d[0], true))
FAST(q_to_general, (REG64(in->dst) = xmm(cpu, in->src)->q[0], true))
FAST(d_from_general, (VEC(in->dst) = (v128){ (u32)REG64(in->src), 0 }, true))
FAST(q_from_general, (VEC(in->dst) = (v128){ REG64(in->src), 0 }, true))

#define MOVE_LOW(name, size, both, to_general, from_general)                                                \
    VECTOR_FORMS(LOAD, name, size, UNALIGNED, PART_LOW)                                                     \
    VECTOR_FORMS(STORE, name, size, UNALIGNED, 0)                                                           \
    run_fn *bind_##name(const struct insn *in, u32 mode, u32 live)                                          \
    {                                                                                                       \
        static run_fn *const handlers[] = { NULL, VECTOR_HANDLERS(name##_load),                             \
                                            VECTOR_HANDLERS(name##_store) };                                \
                                                                                                            \
        (void)live;                                                                                         \
        if (in->shape != S_RR)                                                                              \
            return choose(in, mode, handlers);                                                              \
        if (is_mmx(in->dst) || is_mmx(in->src))                                                             \
            return NULL;                                                                                    \
        return !is_xmm(in->dst) ? to_general : is_xmm(in->src) ? both : from_general;                       \
    }

MOVE_LOW(movd, 4, NULL, d_to_general, d_from_general)
MOVE_LOW(movq, 8, move_q, q_to_general, q_from_general)

/* VMOVQ and VMOVD between kinds of registers. */
FAST(vex_move_q, vex_put(cpu, in, (v128){ xmm(cpu, in->src)->q[0], 0 }, (v128){ 0, 0 }))
FAST(vex_d_from_general, vex_put(cpu, in, (v128){ (u32)REG64(in->src), 0 }, (v128){ 0, 0 }))
FAST(vex_q_from_general, vex_put(cpu, in, (v128){ REG64(in->src), 0 }, (v128){ 0, 0 }))

#define VEX_MOVE_LOW(name, size, both, to_general, from_general)                                            \
    VECTOR_FORMS(VEX_LOAD, name, size, UNALIGNED)                                                           \
    run_fn *bind_v##name(const struct insn *in, u32 mode, u32 live)                                         \
    {                                                                                                       \
        static run_fn *const handlers[] = { NULL, VECTOR_HANDLERS(name##_vex##size##_load),                 \
                                            VECTOR_HANDLERS(name##_store) };                                \
                                                                                                            \
        (void)live;                                                                                         \
        if (in->shape != S_RR)                                                                              \
            return choose(in, mode, handlers);                                                              \
        return !is_xmm(in->dst) ? to_general : is_xmm(in->src) ? both : from_general;                       \
    }

VEX_MOVE_LOW(movd, 4, NULL, d_to_general, vex_d_from_general)
VEX_MOVE_LOW(movq, 8, vex_move_q, q_to_general, vex_q_from_general)

/* VZEROUPPER, in every function that uses YMM registers. */
INLINE bool zero_upper(CPU, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        LANE(&cpu->vec[i], 1) = (v128){ 0, 0 };
    return true;
}

FAST(zero_upper_8, zero_upper(cpu, 8))
FAST(zero_upper_16, zero_upper(cpu, 16))

run_fn *bind_zeroupper(const struct insn *in, u32 mode, u32 live)
{
    (void)in;
    (void)live;
    return (mode & MODE_CODE) == MODE_CODE64 ? zero_upper_16 : zero_upper_8;
}
