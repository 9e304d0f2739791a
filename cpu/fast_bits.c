/* SPDX-License-Identifier: MIT */
/* Fast handlers of BT, and of MUL into two registers. */
#include "cpu/handler.h"
#include "cpu/verbs.h"

INLINE bool bit_test(CPU, u64 value, u64 n, unsigned w)
{
    flags_set_cf(cpu, value >> (n & (w - 1)) & 1);
    return true;
}

#define BT(w)                                                                                                          \
    FAST(bt_rr_##w, bit_test(cpu, REG64(in->dst), REG64(in->src), w))                                                  \
    FAST(bt_ri_##w, bit_test(cpu, REG64(in->dst), in->imm, w))
BT(32)
BT(64)

run_fn *bind_bt(const struct insn *in, u32 mode, u32 live)
{
    bool wide = in->width == W64;

    (void)mode;
    (void)live;
    if (in->width != W32 && !wide)
        return NULL;
    if (in->shape == S_RR)
        return wide ? bt_rr_64 : bt_rr_32;
    return in->shape == S_RI ? wide ? bt_ri_64 : bt_ri_32 : NULL;
}

INLINE bool multiply(CPU, u64 b, unsigned w)
{
    u128 product = (u128)reg_read(cpu, 8 * RAX, w) * (b & ones(w));
    u64 high = (u64)(product >> w);

    reg_write(cpu, 8 * RAX, w, (u64)product);
    reg_write(cpu, 8 * RDX, w, high);
    verb_flags_product(cpu, high != 0);
    return true;
}

FAST(mul_32, multiply(cpu, REG64(in->dst), 32))
FAST(mul_64, multiply(cpu, REG64(in->dst), 64))

run_fn *bind_mul(const struct insn *in, u32 mode, u32 live)
{
    (void)mode;
    (void)live;
    if (in->shape != S_R)
        return NULL;
    return in->width == W64 ? mul_64 : in->width == W32 ? mul_32 : NULL;
}
