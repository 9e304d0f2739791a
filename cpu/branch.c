/* SPDX-License-Identifier: MIT */
/* Near branches: the bodies, and fast handlers that go from block to block by links, returns and jumps. */
#include "cpu/branch.h"

/* ---- exits ---- */

static void leave_blocks(CPU, u64 rip)
{
    cpu->rip = in_code64(cpu) ? rip : (u32)rip;
    cpu->at = NULL;
}

next exit_taken(CPU, const struct exits *x)
{
    leave_blocks(cpu, cpu->code_base + (u64)(i64)x->taken_offset);
    cpu->link = (struct exits *)x;
    cpu->link_taken = true;
    STOP;
}

next exit_fall(CPU, const struct exits *x)
{
    leave_blocks(cpu, cpu->code_base + (u64)(i64)x->fall_offset);
    cpu->link = (struct exits *)x;
    cpu->link_taken = false;
    STOP;
}

next exit_undo(CPU, const struct insn *entry, u64 rip)
{
    cpu->count -= BLOCK_SIZE(entry);
    leave_blocks(cpu, rip);
    STOP;
}

next run_end(CPU, IN)
{
    const struct exits *x = (const struct exits *)(in + 1);

    GO(fall, x);
}

/* ---- bodies ---- */

/* SDM 2A JMP: the limit, or the canonical form, is checked before anything changes. */
void jump_near(CPU, u64 rip)
{
    if (in_code64(cpu) ? !is_canonical(cpu, rip) : rip > cpu->seg[CS].limit)
        vcpu_raise(cpu, VECTOR_GP, 0);
    cpu->rip = rip;
}

/* The address that an indirect branch's operand holds, or that a relative one's displacement leads to. */
static u64 branch_operand(CPU, IN)
{
    return in->shape == S_I ? in->imm : operand_read(cpu, in, 0, width_bits(in->width));
}

void op_jmp(CPU, IN)
{
    jump_near(cpu, branch_operand(cpu, in));
}

/* The stack comes before the target: a push that faults is what the guest sees of a call to nowhere (Zen 4). */
void op_call(CPU, IN)
{
    u64 target = branch_operand(cpu, in), back = cpu->rip;
    unsigned size = width_size(in->width);
    u64 rsp = stack_pointer(cpu) - size;
    struct place p;

    place_segment(cpu, &p, SS, rsp & ones(stack_width(cpu)), size, ACCESS_WRITE | ACCESS_RINGS);
    jump_near(cpu, target);
    store_bytes(p.bytes, back, size);
    place_commit(cpu, &p);
    stack_set_pointer(cpu, rsp);
}

void op_ret(CPU, IN)
{
    unsigned size = width_size(in->width);
    u64 rsp = stack_pointer(cpu), target = stack_read(cpu, rsp, size);

    jump_near(cpu, target);
    stack_set_pointer(cpu, rsp + size + (in->shape == S_I ? (u16)in->imm : 0));
}

static void branch_if(CPU, IN, bool yes)
{
    if (yes)
        jump_near(cpu, in->imm);
}

void op_jcc(CPU, IN)
{
    branch_if(cpu, in, condition(cpu, (unsigned)in->disp));
}

static u64 counter(const struct vcpu *cpu, IN)
{
    return cpu->gpr[RCX] & ones(width_bits(in->address));
}

void op_jcxz(CPU, IN)
{
    branch_if(cpu, in, counter(cpu, in) == 0);
}

static void loop_if(CPU, IN, bool yes)
{
    u64 left = (counter(cpu, in) - 1) & ones(width_bits(in->address));

    branch_if(cpu, in, left != 0 && yes);
    reg_write(cpu, 8 * RCX, width_bits(in->address), left);
}

void op_loop(CPU, IN)
{
    loop_if(cpu, in, true);
}

void op_loope(CPU, IN)
{
    loop_if(cpu, in, flag_zf(cpu));
}

void op_loopne(CPU, IN)
{
    loop_if(cpu, in, !flag_zf(cpu));
}

/* ---- fast handlers ---- */

static next jmp_near(CPU, IN)
{
    const struct exits *x = (const struct exits *)(in + 1);

    GO(taken, x);
}

/* A block by its address, under this mode and these translations; NULL: the loop has to look. */
INLINE const struct insn *jump_find(CPU, u64 rip)
{
    const struct jump *j = JUMP_OF(cpu, rip);

    return j->rip == rip && j->generation == cpu->generation && j->mode == cpu->mode ? j->entry : NULL;
}

#define GO_FOUND(entry, rip)                                                                                           \
    do {                                                                                                               \
        if (unlikely((cpu->count += BLOCK_SIZE(entry)) > __atomic_load_n(&cpu->limit, __ATOMIC_RELAXED)))                                                  \
            return exit_undo(cpu, entry, rip);                                                                         \
        NEXT_AT(entry);                                                                                                \
    } while (0)

/* Pushes a return address in 64-bit code. False: not the fast way. */
INLINE bool push_return(CPU, IN)
{
    u64 rsp = cpu->gpr[RSP] - 8;
    u8 *m = place_hit(cpu, rsp, 8, true);

    if (unlikely(!m))
        return false;
    struct return_to *r = &cpu->returns[cpu->returns_top++ % RETURNS];

    r->rip = cpu->code_base + in->offset + in->length;
    store_bytes(m, r->rip, 8);
    r->exits = (const struct exits *)(in + 1);
    cpu->gpr[RSP] = rsp;
    return true;
}

static next call_near(CPU, IN)
{
    const struct exits *x = (const struct exits *)(in + 1);

    if (unlikely(!push_return(cpu, in)))
        return run_last(cpu, in);
    GO(taken, x);
}

#define INDIRECT(name, rip_expression)                                                                                 \
    static next jmp_##name(CPU, IN)                                                                                    \
    {                                                                                                                  \
        const u8 *m = NULL;                                                                                            \
        (void)m;                                                                                                       \
        u64 rip = (rip_expression);                                                                                    \
        const struct insn *entry = jump_find(cpu, rip);                                                                \
        if (unlikely(!entry))                                                                                          \
            return run_last(cpu, in);                                                                                  \
        GO_FOUND(entry, rip);                                                                                          \
    }                                                                                                                  \
    static next call_##name(CPU, IN)                                                                                   \
    {                                                                                                                  \
        const u8 *m = NULL;                                                                                            \
        (void)m;                                                                                                       \
        u64 rip = (rip_expression);                                                                                    \
        const struct insn *entry = jump_find(cpu, rip);                                                                \
        if (unlikely(!entry || !push_return(cpu, in)))                                                                 \
            return run_last(cpu, in);                                                                                  \
        GO_FOUND(entry, rip);                                                                                          \
    }
#define LOADED(form)                                                                                                   \
    ({                                                                                                                 \
        m = place_hit(cpu, plain_linear(cpu, in, form), 8, false);                                                     \
        if (unlikely(!m))                                                                                              \
            return run_last(cpu, in);                                                                                  \
        load_bytes(m, 8);                                                                                              \
    })
INDIRECT(register, REG64(in->dst))
INDIRECT(base, LOADED(FORM_BASE))
INDIRECT(index, LOADED(FORM_INDEX))

/* Back to where no call has led from yet, or not by its own return. */
static next ret_elsewhere(CPU, IN)
{
    u64 rip = load_bytes(place_hit(cpu, cpu->gpr[RSP], 8, false), 8);
    const struct return_to *r = &cpu->returns[(cpu->returns_top - 1) % RETURNS];
    struct exits *x = (struct exits *)r->exits;
    const struct insn *entry = jump_find(cpu, rip);

    if (unlikely(!entry))
        return run_last(cpu, in);
    if (r->rip == rip && x != &cpu->nowhere) {
        x->fall = entry;
        x->fall_generation = cpu->generation;
    }
    cpu->returns_top--;
    cpu->gpr[RSP] += 8;
    GO_FOUND(entry, rip);
}

static next ret_near(CPU, IN)
{
    const u8 *m = place_hit(cpu, cpu->gpr[RSP], 8, false);

    if (unlikely(!m))
        return run_last(cpu, in);
    u64 rip = load_bytes(m, 8);
    const struct return_to *r = &cpu->returns[(cpu->returns_top - 1) % RETURNS];
    const struct exits *x = r->exits;

    if (unlikely(r->rip != rip || x->fall_generation != cpu->generation))
        return ret_elsewhere(cpu, in);
    cpu->returns_top--;
    cpu->gpr[RSP] += 8;
    GO_FOUND(x->fall, rip);
}

#define CONDITIONS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define JCC(cc)                                                                                                        \
    static next jcc_##cc(CPU, IN)                                                                                      \
    {                                                                                                                  \
        BRANCH_IF(condition(cpu, cc), in + 1);                                                                         \
    }
CONDITIONS(JCC)

/* ---- binding ---- */

run_fn *bind_jcc(const struct insn *in, u32 mode, u32 live)
{
#define ENTRY(cc) jcc_##cc,
    static run_fn *const handlers[] = { CONDITIONS(ENTRY) };

    (void)mode;
    (void)live;
    return handlers[in->disp & 15];
}

static bool is_plain64(const struct insn *in, u32 mode)
{
    return (mode & MODE_CODE) == MODE_CODE64 && in->width == W64;
}

run_fn *bind_jmp(const struct insn *in, u32 mode, u32 live)
{
    (void)live;
    if (in->shape == S_I)
        return jmp_near;
    if (!is_plain64(in, mode))
        return NULL;
    if (in->shape == S_R)
        return jmp_register;
    switch (address_form(in, mode)) {
    case FORM_BASE: return jmp_base;
    case FORM_INDEX: return jmp_index;
    default: return NULL;
    }
}

run_fn *bind_call(const struct insn *in, u32 mode, u32 live)
{
    (void)live;
    if (!is_plain64(in, mode))
        return NULL;
    if (in->shape == S_I)
        return call_near;
    if (in->shape == S_R)
        return call_register;
    switch (address_form(in, mode)) {
    case FORM_BASE: return call_base;
    case FORM_INDEX: return call_index;
    default: return NULL;
    }
}

run_fn *bind_ret(const struct insn *in, u32 mode, u32 live)
{
    (void)live;
    return is_plain64(in, mode) && in->shape == S_ ? ret_near : NULL;
}
