/* SPDX-License-Identifier: MIT */
/* Segments: limits, types and canonical addresses. */
#include "tests/mem/machine.h"

enum kind { REAL, VM86, PROTECTED, CODE64 };

struct segment_case {
    enum kind code;
    unsigned segment, attributes;
    u64 base;
    u32 limit;
    u64 offset;
    unsigned size, access;
    int vector; /* -1: none, and then: */
    u64 linear;
};

enum {
    DATA = 0xc093,
    READ_ONLY = 0xc091,
    DOWN32 = 0xc097,
    DOWN16 = 0x97,
    CODE_READ = 0xc09b,
    CODE_ONLY = 0xc099
};
#define R ACCESS_READ
#define W ACCESS_WRITE

static const struct segment_case cases[] = {
    {REAL, DS, 0x93, 0x20, 0xffff, 0xfffe, 2, R, -1, 0x1001e},
    {REAL, DS, 0x93, 0x20, 0xffff, 0xfffe, 4, R, VECTOR_GP, 0},
    {REAL, SS, 0x93, 0x20, 0xffff, 0xffff, 2, W, VECTOR_SS, 0},
    {REAL, CS, 0x9b, 0x20, 0xffff, 0x10, 2, W, -1, 0x30},        /* types don't matter */
    {REAL, DS, 0x93, 0, 0xffffffff, 0x20000, 4, R, -1, 0x20000}, /* a limit left from protected mode */
    {VM86, DS, 0xf3, 0x50, 0xffff, 0xffff, 1, W, -1, 0x1004f},
    {VM86, DS, 0xf3, 0x50, 0xffff, 0xffff, 2, W, VECTOR_GP, 0},
    {PROTECTED, DS, DATA, 0x1000, 0xfff, 0xffc, 4, W, -1, 0x1ffc},
    {PROTECTED, DS, DATA, 0x1000, 0xfff, 0xffd, 4, W, VECTOR_GP, 0},
    {PROTECTED, SS, DATA, 0x1000, 0xfff, 0x1000, 1, R, VECTOR_SS, 0},
    {PROTECTED, DS, DATA, 0xfffff000, 0xffffffff, 0x2000, 4, R, -1, 0x1000}, /* the base wraps */
    {PROTECTED, DS, DATA, 0, 0xffffffff, 0xfffffffe, 4, R, VECTOR_GP, 0},
    {PROTECTED, DS, 0, 0, 0xffffffff, 0, 4, R, VECTOR_GP, 0}, /* a null selector */
    {PROTECTED, SS, 0, 0, 0xffffffff, 0, 4, R, VECTOR_SS, 0},
    {PROTECTED, DS, READ_ONLY, 0, 0xffff, 0, 4, R, -1, 0},
    {PROTECTED, DS, READ_ONLY, 0, 0xffff, 0, 4, W, VECTOR_GP, 0},
    {PROTECTED, CS, CODE_READ, 0, 0xffff, 0, 4, R, -1, 0},
    {PROTECTED, CS, CODE_READ, 0, 0xffff, 0, 4, W, VECTOR_GP, 0},
    {PROTECTED, ES, CODE_ONLY, 0, 0xffff, 0, 4, R, VECTOR_GP, 0},
    {PROTECTED, DS, DOWN32, 0, 0xfff, 0x1000, 4, W, -1, 0x1000},
    {PROTECTED, DS, DOWN32, 0, 0xfff, 0xfff, 4, W, VECTOR_GP, 0},
    {PROTECTED, DS, DOWN32, 0, 0xfff, 0xfffffffe, 4, W, VECTOR_GP, 0},
    {PROTECTED, DS, DOWN16, 0, 0xfff, 0xfffc, 4, W, -1, 0xfffc},
    {PROTECTED, SS, DOWN16, 0, 0xfff, 0xfffd, 4, W, VECTOR_SS, 0},
    {CODE64, DS, 0, 0x1000, 0, 0x2000, 4, W, -1, 0x2000}, /* neither base nor limit nor presence */
    {CODE64, FS, 0, 0x1000, 0, 0x2000, 4, W, -1, 0x3000},
    {CODE64, DS, DATA, 0, 0, 0x800000000000, 1, R, VECTOR_GP, 0},
    {CODE64, SS, DATA, 0, 0, 0x7ffffffffffe, 4, R, VECTOR_SS, 0},
    {CODE64, GS, DATA, 0x7ffffffff000, 0, 0x1000, 1, R, VECTOR_GP, 0},
};

START_TEST(segments_check_as_the_manual_says)
{
    const struct segment_case *c = &cases[_i];
    struct machine *m = machine_new();
    struct vcpu *cpu = m->cpu;
    struct outcome o;

    machine_set_paging(m, c->code == CODE64 ? PAGING_4 : PAGING_NONE);
    for (u64 n = 0; c->code == CODE64 && n < 4; n++)
        machine_map(m, n << 12, n << 12, 7, 7, PAGE_SIZE);
    cpu->cr0 &= c->code == REAL ? ~(u64)CR0_PE : ~(u64)0;
    cpu->rflags = RFLAGS_FIXED | (c->code == VM86 ? VM : 0);
    cpu->seg[c->segment] = (struct segment){c->base, c->limit, 8, (u16)c->attributes};
    if (c->code == CODE64 && c->segment == CS)
        cpu->seg[CS].attributes |= SEG_L;
    mode_update(cpu);
    o = machine_segment(m, c->segment, c->offset, c->size, c->access);
    if (c->vector >= 0)
        ck_faults(o, (unsigned)c->vector, 0);
    else
        ck_assert_ptr_eq(o.bytes, m->memory + c->linear);
    machine_delete(m);
}
END_TEST

struct operand_case {
    struct insn in;
    u64 offset;
};

#define REG(n) ((u8)(8 * (n)))
static const struct operand_case operands[] = {
    {{.base = REG(RBX), .index = OFFSET_ZERO, .disp = -1, .address = W64}, 0x1122334455667787},
    {{.base = REG(RBX), .index = REG(RSI), .scale = 3, .address = W64},
     0x1122334455667788 + 8 * 0xffff1000ull},
    {{.base = REG(RBX), .index = REG(RSI), .scale = 0, .address = W32}, (u32)(0x55667788u + 0xffff1000u)},
    {{.base = REG(RBX), .index = OFFSET_ZERO, .disp = 0x7fff, .address = W16}, (0x7788 + 0x7fff) & 0xffff},
    {{.base = OFFSET_CODE, .index = OFFSET_ZERO, .disp = 0x10, .address = W64}, 0x400010},
    {{.base = OFFSET_ZERO, .index = OFFSET_ZERO, .disp = -4, .address = W32}, 0xfffffffc},
};

START_TEST(effective_addresses_are_cut)
{
    const struct operand_case *c = &operands[_i];
    struct machine *m = machine_new();

    m->cpu->gpr[RBX] = 0x1122334455667788;
    m->cpu->gpr[RSI] = 0xffff1000;
    m->cpu->code_base = 0x400000;
    ck_assert_uint_eq(operand_offset(m->cpu, &c->in), c->offset);
    machine_delete(m);
}
END_TEST

TCase *segment_cases(void)
{
    TCase *t = tcase_create("segment");

    tcase_add_loop_test(t, segments_check_as_the_manual_says, 0, sizeof(cases) / sizeof(cases[0]));
    tcase_add_loop_test(t, effective_addresses_are_cut, 0, sizeof(operands) / sizeof(operands[0]));
    return t;
}
