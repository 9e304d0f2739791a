/* SPDX-License-Identifier: MIT */
/*
 * How a hypercall comes in and goes out: VMMCALL, the control word, input in registers or in memory. Calls have no output
 * beside their result yet, and each does all its elements at once.
 */
#include "cpu/hypercall.h"

#include "cpu/handler.h"
#include "exits/exit.h"
#include "mem/ram.h"
#include "state/partition.h"

body_fn op_vmmcall;

/* TLFS "Hypercall inputs": the call's code, fast, words of the variable header, number of elements, the first. */
#define CONTROL_FAST ((u64)1 << 16)
#define CONTROL_RESERVED ((u64)0xf000f000f8000000)
enum { FAST_WORDS = 2 + 2 * 6, MOST_WORDS = PAGE_SIZE / 8 };

/* By the caller's mode: 64-bit registers, or pairs of halves. */
struct call {
    u64 control, input;
    bool is_64;
};

static u64 pair(const struct vcpu *cpu, unsigned high, unsigned low)
{
    return cpu->gpr[high] << 32 | (u32)cpu->gpr[low];
}

static struct call call_of(const struct vcpu *cpu)
{
    if (in_code64(cpu))
        return (struct call){ cpu->gpr[RCX], cpu->gpr[RDX], true };
    return (struct call){ pair(cpu, RDX, RAX), pair(cpu, RBX, RCX), false };
}

/* Input in registers: two general ones, then six of XMM. */
static u16 take_registers(const struct vcpu *cpu, const struct call *c, u32 words, u64 input[MOST_WORDS])
{
    if (words > FAST_WORDS)
        return HV_STATUS_INVALID_HYPERCALL_INPUT;
    input[0] = c->input;
    input[1] = c->is_64 ? cpu->gpr[R8] : pair(cpu, RDI, RSI);
    for (u32 i = 2; i < words; i++)
        input[i] = cpu->vec[(i - 2) / 2].q[i % 2];
    return HV_STATUS_SUCCESS;
}

/* Input in memory, which may be gone: TLFS "Alignment requirements". */
static u16 take_memory(struct vcpu *cpu, u64 gpa, u32 words, u64 input[MOST_WORDS])
{
    u64 page;

    if (gpa & 7 || words > (PAGE_SIZE - (gpa & ~PAGE_MASK)) / 8 || gpa >> cpu->partition->physical_width)
        return HV_STATUS_INVALID_ALIGNMENT;
    page = ram_find(cpu->partition->ram, gpa);
    if (!(page & PAGE_READ))
        exit_memory(cpu, gpa, 0, false, ACCESS_READ, !page);
    for (u32 i = 0; i < words; i++)
        input[i] = load_bytes((const u8 *)(page & PAGE_MASK) + (gpa & ~PAGE_MASK) + 8 * i, 8);
    return HV_STATUS_SUCCESS;
}

/* Checks the control word and carries the call out. *done: elements that are. */
static u16 carry_out(struct vcpu *cpu, const struct call *c, u32 *done)
{
    const struct hypercall_row *row = hypercall_find((u16)c->control);
    u64 input[MOST_WORDS];
    struct hypercall h = { .input = input,
                           .variable = (u32)(c->control >> 17) & 0x3ff,
                           .count = (u32)(c->control >> 32) & 0xfff,
                           .start = (u32)(c->control >> 48) & 0xfff };
    u32 words;
    u16 status;

    if (!row)
        return HV_STATUS_INVALID_HYPERCALL_CODE;
    if ((cpu->partition->synthetic.has & row->needs) != row->needs)
        return row->without;
    if (c->control & CONTROL_RESERVED || (h.variable && !row->is_variable) ||
        (row->element ? h.start >= h.count : h.count | h.start))
        return HV_STATUS_INVALID_HYPERCALL_INPUT;
    h.header = row->header / 8;
    words = h.header + h.variable + h.count * (row->element / 8);
    status = c->control & CONTROL_FAST ? take_registers(cpu, c, words, input) : take_memory(cpu, c->input, words, input);
    if (status == HV_STATUS_SUCCESS)
        status = row->call(cpu, &h);
    if (row->element && status == HV_STATUS_SUCCESS)
        *done = h.count;
    return status;
}

static unsigned row_counter(const struct call *c)
{
    const struct hypercall_row *row = hypercall_find((u16)c->control);

    return row ? row->counter : COUNT_CALL_OTHER;
}

/*
 * The caller's exit needs no interface that the guest has established: it may be the caller who has it. Ours does. TLFS
 * "Legal hypercall environments".
 */
void op_vmmcall(CPU, IN)
{
    const struct partition *p = cpu->partition;
    struct call c = call_of(cpu);
    u32 done = 0;
    u64 result;

    (void)in;
    if (cpu->cpl != 0)
        vcpu_raise(cpu, VECTOR_UD, 0);
    if (p->exits.HypercallExit)
        exit_hypercall(cpu);
    if (!(__atomic_load_n(&p->synthetic.hypercall, __ATOMIC_SEQ_CST) & HV_PAGE_ENABLED))
        vcpu_raise(cpu, VECTOR_UD, 0);
    result = carry_out(cpu, &c, &done);
    result |= (u64)done << 32;
    cpu->counters[row_counter(&c)]++;
    if (c.is_64) {
        cpu->gpr[RAX] = result;
        if (done) /* the elements that are left begin behind them */
            cpu->gpr[RCX] = (c.control & ~((u64)0xfff << 48)) | (u64)done << 48;
    } else {
        cpu->gpr[RAX] = (u32)result;
        cpu->gpr[RDX] = result >> 32;
    }
}
