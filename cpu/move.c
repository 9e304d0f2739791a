/* SPDX-License-Identifier: MIT */
/*
 * Moves, conversions of size, conditions, single flags, and instructions that do nothing or next to nothing.
 */
#include "cpu/handler.h"
#include "state/clock.h"

body_fn op_mov, op_mov_far, op_movzx, op_movsx, op_movbe, op_lea, op_setcc, op_cmovcc, op_cbw, op_cwde,
    op_cdqe, op_cwd, op_cdq, op_cqo, op_bswap, op_xlat, op_salc, op_lahf, op_sahf, op_clc, op_stc, op_cmc,
    op_cld, op_std, op_nop, op_pause, op_ud, op_touch, op_rdpid, op_random, op_bound;

static void store(CPU, IN, unsigned width, u64 v)
{
    struct operand o;

    operand_open(cpu, in, 0, width, ACCESS_WRITE | ACCESS_RINGS, &o);
    operand_close(cpu, &o, v);
}

void op_mov(CPU, IN)
{
    unsigned width = width_bits(in->width);

    store(cpu, in, width, operand_read(cpu, in, 1, width));
}

/* MOV between the accumulator and a 64-bit address. */
void op_mov_far(CPU, IN)
{
    bool stores = in->shape == S_MR;
    unsigned width = width_bits(in->width);
    struct place p;

    place_segment(cpu, &p, in->segment, in->imm, width / 8, stores ? ACCESS_WRITE | ACCESS_RINGS : ACCESS_READ);
    if (stores) {
        store_sized(p.bytes, reg_read(cpu, in->src, width), width / 8);
        place_commit(cpu, &p);
    } else {
        reg_write(cpu, in->dst, width, load_sized(p.bytes, width / 8));
    }
}

void op_movzx(CPU, IN)
{
    reg_write(cpu, in->dst, width_bits(in->width), operand_read(cpu, in, 1, width_bits((unsigned)in->imm)));
}

/* MOVSX and MOVSXD. */
void op_movsx(CPU, IN)
{
    unsigned from = width_bits((unsigned)in->imm);

    reg_write(cpu, in->dst, width_bits(in->width), sign_extend(operand_read(cpu, in, 1, from), from));
}

static u64 swap_bytes(u64 v, unsigned width)
{
    return __builtin_bswap64(v) >> (64 - width);
}

void op_movbe(CPU, IN)
{
    unsigned width = width_bits(in->width);

    store(cpu, in, width, swap_bytes(operand_read(cpu, in, 1, width), width));
}

/* With 16 bits undefined: zero, on AMD's and Intel's processors. */
void op_bswap(CPU, IN)
{
    unsigned width = width_bits(in->width);

    reg_write(cpu, in->dst, width, width == 16 ? 0 : swap_bytes(reg_read(cpu, in->dst, width), width));
}

void op_lea(CPU, IN)
{
    reg_write(cpu, in->dst, width_bits(in->width), operand_offset(cpu, in));
}

void op_setcc(CPU, IN)
{
    store(cpu, in, 8, condition(cpu, (unsigned)in->imm));
}

/* Reads its source, and clears the upper half at 32 bits, whether it moves or not. */
void op_cmovcc(CPU, IN)
{
    unsigned width = width_bits(in->width);
    u64 v = operand_read(cpu, in, 1, width);

    reg_write(cpu, in->dst, width, condition(cpu, (unsigned)in->imm) ? v : reg_read(cpu, in->dst, width));
}

/* The accumulator is widened within itself ... */
static void widen(CPU, unsigned to)
{
    reg_write(cpu, RAX * 8, to, sign_extend(cpu->gpr[RAX], to / 2));
}

void op_cbw(CPU, IN)
{
    (void)in;
    widen(cpu, 16);
}

void op_cwde(CPU, IN)
{
    (void)in;
    widen(cpu, 32);
}

void op_cdqe(CPU, IN)
{
    (void)in;
    widen(cpu, 64);
}

/* ... or into rDX. */
static void widen_double(CPU, unsigned width)
{
    reg_write(cpu, RDX * 8, width, (u64)((i64)sign_extend(cpu->gpr[RAX], width) >> 63));
}

void op_cwd(CPU, IN)
{
    (void)in;
    widen_double(cpu, 16);
}

void op_cdq(CPU, IN)
{
    (void)in;
    widen_double(cpu, 32);
}

void op_cqo(CPU, IN)
{
    (void)in;
    widen_double(cpu, 64);
}

void op_xlat(CPU, IN)
{
    u64 offset = (cpu->gpr[RBX] + (u8)cpu->gpr[RAX]) & ones(width_bits(in->address));

    reg_write(cpu, RAX * 8, 8, mem_read(cpu, in->segment, offset, 1));
}

void op_salc(CPU, IN)
{
    (void)in;
    reg_write(cpu, RAX * 8, 8, flag_cf(cpu) ? 0xff : 0);
}

void op_lahf(CPU, IN)
{
    (void)in;
    reg_write(cpu, RAX * 8 + 1, 8, (flags_read(cpu) & (SF | ZF | AF | PF | CF)) | RFLAGS_FIXED);
}

void op_sahf(CPU, IN)
{
    (void)in;
    flags_change(cpu, SF | ZF | AF | PF | CF, reg_read(cpu, RAX * 8 + 1, 8));
}

void op_clc(CPU, IN)
{
    (void)in;
    flags_set_cf(cpu, false);
}

void op_stc(CPU, IN)
{
    (void)in;
    flags_set_cf(cpu, true);
}

void op_cmc(CPU, IN)
{
    (void)in;
    flags_set_cf(cpu, !flag_cf(cpu));
}

void op_cld(CPU, IN)
{
    (void)in;
    cpu->rflags &= ~(u64)DF;
}

void op_std(CPU, IN)
{
    (void)in;
    cpu->rflags |= DF;
}

/*
 * Operands of a multi-byte NOP or a prefetch aren't accessed. Fences: each handler's accesses are in order
 * already, but for a store and a later load.
 */
void op_nop(CPU, IN)
{
    (void)cpu;
    (void)in;
}

/* Whoever spins waits for another processor: where one thread runs them all, that gets its turn behind this instruction. */
void op_pause(CPU, IN)
{
    (void)in;
    if (likely(!__atomic_load_n(&cpu->in_turns, __ATOMIC_RELAXED)))
        return;
    cpu->yields = true;
    vcpu_call(cpu, ATTENTION_TURN);
}

body_fn op_fence;

void op_fence(CPU, IN)
{
    (void)cpu;
    (void)in;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void op_ud(CPU, IN)
{
    (void)in;
    vcpu_raise(cpu, VECTOR_UD, 0);
}

/* CLFLUSH and the like are checked as a load of one byte. */
void op_touch(CPU, IN)
{
    struct place p;

    place_operand(cpu, in, &p, 1, ACCESS_READ | ACCESS_PROBE | ACCESS_FLUSH);
}

void op_rdpid(CPU, IN)
{
    reg_write(cpu, in->dst, in_code64(cpu) ? 64 : 32, cpu->tsc_aux);
}

/* RDRAND and RDSEED always have a number. */
void op_random(CPU, IN)
{
    reg_write(cpu, in->dst, width_bits(in->width), clock_random(cpu->partition));
    flags_write(cpu, CF);
}

/* BOUND r, m: two signed bounds, the lower one first. */
void op_bound(CPU, IN)
{
    unsigned width = width_bits(in->width), size = width / 8;
    u64 offset = operand_offset(cpu, in);
    u64 low = mem_read(cpu, in->segment, offset, size);
    u64 high = mem_read(cpu, in->segment, (offset + size) & ones(width_bits(in->address)), size);
    i64 index = (i64)sign_extend(reg_read(cpu, in->dst, width), width);

    if (index < (i64)sign_extend(low, width) || index > (i64)sign_extend(high, width))
        vcpu_raise(cpu, VECTOR_BR, 0);
}
