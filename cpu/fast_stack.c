/* SPDX-License-Identifier: MIT */
/* Fast handlers of PUSH, POP and LEAVE in 64-bit code, and runs of pushes or pops with one probe of the TLB. */
#include <Zydis/Mnemonic.h>

#include "cpu/fuse.h"

INLINE bool push(CPU, u64 value)
{
    u64 rsp = cpu->gpr[RSP] - 8;
    u8 *m = place_hit(cpu, rsp, 8, true);

    if (unlikely(!m))
        return false;
    store_bytes(m, value, 8);
    cpu->gpr[RSP] = rsp;
    return true;
}

INLINE bool pop(CPU, IN)
{
    const u8 *m = place_hit(cpu, cpu->gpr[RSP], 8, false);

    if (unlikely(!m))
        return false;
    u64 value = load_bytes(m, 8);

    cpu->gpr[RSP] += 8;
    REG64(in->dst) = value; /* last: POP RSP */
    return true;
}

INLINE bool leave(CPU)
{
    const u8 *m = place_hit(cpu, cpu->gpr[RBP], 8, false);

    if (unlikely(!m))
        return false;
    cpu->gpr[RSP] = cpu->gpr[RBP] + 8;
    cpu->gpr[RBP] = load_bytes(m, 8);
    return true;
}

FAST(push_reg, push(cpu, REG64(in->dst)))
FAST(push_imm, push(cpu, in->imm))
FAST(pop_reg, pop(cpu, in))
FAST(leave_64, leave(cpu))

static bool is_plain(const struct insn *in, u32 mode)
{
    return (mode & MODE_CODE) == MODE_CODE64 && in->width == W64;
}

run_fn *bind_push(const struct insn *in, u32 mode, u32 live)
{
    (void)live;
    if (!is_plain(in, mode))
        return NULL;
    return in->shape == S_R ? push_reg : in->shape == S_I ? push_imm : NULL;
}

run_fn *bind_pop(const struct insn *in, u32 mode, u32 live)
{
    (void)live;
    return is_plain(in, mode) && in->shape == S_R ? pop_reg : NULL;
}

run_fn *bind_leave(const struct insn *in, u32 mode, u32 live)
{
    (void)live;
    return is_plain(in, mode) ? leave_64 : NULL;
}

/*
 * Runs: `k` instructions are carried out by the first one's handler. Where one probe doesn't do for all, they go one by one.
 */
#define RUN(k)                                                                                                         \
    static next push_run_##k(CPU, IN)                                                                                  \
    {                                                                                                                  \
        u64 rsp = cpu->gpr[RSP] - 8 * k;                                                                               \
        u8 *m = place_hit(cpu, rsp, 8 * k, true);                                                                      \
        if (unlikely(!m))                                                                                              \
            return push_reg(cpu, in);                                                                                  \
        for (unsigned i = 0; i < k; i++)                                                                               \
            store_bytes(m + 8 * (k - 1 - i), REG64(in[i].dst), 8);                                                     \
        cpu->gpr[RSP] = rsp;                                                                                           \
        NEXT_AT(in + k);                                                                                               \
    }                                                                                                                  \
    static next pop_run_##k(CPU, IN)                                                                                   \
    {                                                                                                                  \
        u64 rsp = cpu->gpr[RSP];                                                                                       \
        const u8 *m = place_hit(cpu, rsp, 8 * k, false);                                                               \
        if (unlikely(!m))                                                                                              \
            return pop_reg(cpu, in);                                                                                   \
        for (unsigned i = 0; i < k; i++)                                                                               \
            REG64(in[i].dst) = load_bytes(m + 8 * i, 8);                                                               \
        cpu->gpr[RSP] = rsp + 8 * k;                                                                                   \
        NEXT_AT(in + k);                                                                                               \
    }
RUN(2)
RUN(3)
RUN(4)
RUN(5)
RUN(6)

run_fn *fuse_stack(const struct insn *in, u32 mode, unsigned n)
{
    static run_fn *const pushes[] = { push_run_2, push_run_3, push_run_4, push_run_5, push_run_6 };
    static run_fn *const pops[] = { pop_run_2, pop_run_3, pop_run_4, pop_run_5, pop_run_6 };
    unsigned k = 0;

    (void)mode;
    while (k < n && k < 6 && in[k].run == in->run && in[k].dst != 8 * RSP)
        k++;
    if (k < 2)
        return NULL;
    return in->run == push_reg ? pushes[k - 2] : in->run == pop_reg ? pops[k - 2] : NULL;
}
