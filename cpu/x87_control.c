/* SPDX-License-Identifier: MIT */
/*
 * x87 control: the control and status words, the stack's top and tags, the environment in its four layouts.
 */
#include "cpu/x87.h"
#include "exits/exit.h"

/* What follows a change of the control word or of the flags: ES and B, the mode, the host's control word. */
static void settle(struct vcpu *cpu)
{
    x87_summarize(cpu);
    mode_update(cpu);
    fp_reload(cpu);
}

static u16 status_word(const struct vcpu *cpu)
{
    return (u16)(cpu->x87.fsw | cpu->x87.top << X87_TOP_SHIFT);
}

static void set_status_word(struct vcpu *cpu, u16 fsw)
{
    cpu->x87.fsw = fsw & (u16)~X87_TOP;
    cpu->x87.top = fsw >> X87_TOP_SHIFT & 7;
}

static void set_control_word(struct vcpu *cpu, u16 fcw)
{
    cpu->x87.fcw = (fcw & X87_FCW_VALID) | X87_FCW_FIXED;
}

static void initialize(struct vcpu *cpu)
{
    struct x87 *x = &cpu->x87;

    x->fcw = X87_FCW_INIT;
    x->fsw = x->fop = x->fcs = x->fds = 0;
    x->top = x->valid = 0;
    x->fip = x->fdp = 0;
}

void op_fninit(CPU, IN)
{
    (void)in;
    fp_sync(cpu);
    initialize(cpu);
    settle(cpu);
}

void op_fnclex(CPU, IN)
{
    (void)in;
    fp_sync(cpu);
    cpu->x87.fsw &= (u16) ~(X87_FLAGS | X87_SF | X87_ES | X87_B);
    settle(cpu);
}

void op_fldcw(CPU, IN)
{
    u16 fcw = (u16)operand_read(cpu, in, 0, 16);

    fp_sync(cpu);
    set_control_word(cpu, fcw);
    settle(cpu);
}

void op_fnstcw(CPU, IN)
{
    struct operand o;

    operand_open(cpu, in, 0, 16, ACCESS_WRITE | ACCESS_RINGS, &o);
    operand_close(cpu, &o, cpu->x87.fcw);
}

void op_fnstsw(CPU, IN)
{
    struct operand o;

    operand_open(cpu, in, 0, 16, ACCESS_WRITE | ACCESS_RINGS, &o);
    fp_sync(cpu);
    operand_close(cpu, &o, status_word(cpu));
}

void x87_pending(CPU)
{
    if (cpu->cr0 & CR0_NE)
        vcpu_raise(cpu, VECTOR_MF, 0);
    if (!cpu->ignne)
        exit_ferr_freeze(cpu);
}

/* WAIT: #NM with both TS and MP, which the decoder leaves to us; then what every waiting instruction does. */
void op_fwait(CPU, IN)
{
    (void)in;
    if ((cpu->mode & (MODE_TS | MODE_MP)) == (MODE_TS | MODE_MP))
        vcpu_raise(cpu, VECTOR_NM, 0);
    if (cpu->x87.fsw & X87_ES)
        x87_pending(cpu);
}

void op_fnop(CPU, IN)
{
    x87_note(cpu, in);
}

/* FENI, FDISI, FSETPM: of the 8087 and 287. */
void op_fnothing(CPU, IN)
{
    (void)cpu;
    (void)in;
}

void op_fincstp(CPU, IN)
{
    x87_note(cpu, in);
    cpu->x87.top = (cpu->x87.top + 1) & 7;
    x87_condition(cpu, X87_C1, 0);
}

void op_fdecstp(CPU, IN)
{
    x87_note(cpu, in);
    cpu->x87.top = (cpu->x87.top - 1) & 7;
    x87_condition(cpu, X87_C1, 0);
}

void op_ffree(CPU, IN)
{
    x87_note(cpu, in);
    x87_free(cpu, in->dst);
    x87_condition(cpu, X87_C1, 0); /* as Zen does */
}

void op_ffreep(CPU, IN)
{
    x87_note(cpu, in);
    x87_free(cpu, in->dst);
    x87_pop(cpu);
    x87_condition(cpu, X87_C1, 0);
}

/* ---- the environment, and with the registers the whole state. SDM 1 8.1.10, APM 2 11.4 ---- */

enum { ENVIRONMENT32 = 28, ENVIRONMENT16 = 14, REGISTERS = 80, MOST = ENVIRONMENT32 + REGISTERS };

static bool is_wide(const struct insn *in)
{
    return in->width != W16;
}

static bool is_real(const struct vcpu *cpu)
{
    return in_real_mode(cpu) || in_vm86(cpu);
}

/* The two bits of a register's tag: what is in it. The valid bit tells only whether. */
static unsigned tag(const struct vcpu *cpu, unsigned physical)
{
    enum { VALID, ZERO, SPECIAL, EMPTY };
    const struct x87_register *r = &cpu->x87.physical[physical];
    unsigned exponent = r->sign_exponent & 0x7fff;

    if (!(cpu->x87.valid >> physical & 1))
        return EMPTY;
    if (exponent == 0x7fff)
        return SPECIAL;
    if (exponent == 0)
        return r->mantissa ? SPECIAL : ZERO;
    return r->mantissa >> 63 ? VALID : SPECIAL;
}

static u16 tag_word(const struct vcpu *cpu)
{
    unsigned word = 0;

    for (unsigned p = 0; p < 8; p++)
        word |= tag(cpu, p) << 2 * p;
    return (u16)word;
}

static void set_tag_word(struct vcpu *cpu, u16 word)
{
    cpu->x87.valid = 0;
    for (unsigned p = 0; p < 8; p++)
        if ((word >> 2 * p & 3) != 3)
            cpu->x87.valid |= (u8)(1u << p);
}

/* Fills the environment's bytes; their number comes back. */
static unsigned environment_put(struct vcpu *cpu, bool wide, u8 *bytes)
{
    const struct x87 *x = &cpu->x87;
    unsigned fop = x->fop & 0x7ff;
    u32 field[7] = { x->fcw | 0xffff0000u, status_word(cpu) | 0xffff0000u, tag_word(cpu) | 0xffff0000u };

    if (is_real(cpu)) {
        u32 code = (u32)x->fip + ((u32)x->fcs << 4), data = (u32)x->fdp + ((u32)x->fds << 4);

        field[3] = (u16)code | (wide ? 0xffff0000u : 0);
        field[4] = wide ? (code >> 16 & 0xffff) << 12 | fop : (code >> 16 & 0xf) << 12 | fop;
        field[5] = (u16)data | (wide ? 0xffff0000u : 0);
        field[6] = wide ? (data >> 16 & 0xffff) << 12 : (data >> 16 & 0xf) << 12;
    } else {
        field[3] = (u32)x->fip;
        field[4] = x->fcs | fop << 16;
        field[5] = (u32)x->fdp;
        field[6] = x->fds | 0xffff0000u;
    }
    for (unsigned i = 0; i < 7; i++)
        store_bytes(bytes + (wide ? 4 : 2) * i, field[i], wide ? 4 : 2);
    return wide ? ENVIRONMENT32 : ENVIRONMENT16;
}

static unsigned environment_get(struct vcpu *cpu, bool wide, const u8 *bytes)
{
    struct x87 *x = &cpu->x87;
    u32 field[7];

    for (unsigned i = 0; i < 7; i++)
        field[i] = (u32)load_bytes(bytes + (wide ? 4 : 2) * i, wide ? 4 : 2);
    set_control_word(cpu, (u16)field[0]);
    set_status_word(cpu, (u16)field[1]);
    set_tag_word(cpu, (u16)field[2]);
    if (is_real(cpu)) {
        unsigned high = wide ? 0xffff : 0xf;

        x->fip = (u16)field[3] | (u32)(field[4] >> 12 & high) << 16;
        x->fdp = (u16)field[5] | (u32)(field[6] >> 12 & high) << 16;
        x->fcs = x->fds = 0;
        x->fop = field[4] & 0x7ff;
    } else {
        x->fip = field[3];
        x->fcs = (u16)field[4];
        x->fdp = field[5];
        x->fds = (u16)field[6];
        x->fop = field[4] >> 16 & 0x7ff; /* the narrow form has no place for it: a Zen 3 makes it zero */
    }
    return wide ? ENVIRONMENT32 : ENVIRONMENT16;
}

static unsigned environment_size(const struct insn *in)
{
    return is_wide(in) ? ENVIRONMENT32 : ENVIRONMENT16;
}

static void open_environment(CPU, IN, struct span *s, unsigned size, unsigned access)
{
    span_open(cpu, in, s, environment_size(in) + size, is_wide(in) ? 4 : 2, access);
}

void op_fnstenv(CPU, IN)
{
    u8 bytes[MOST];
    struct span span;

    open_environment(cpu, in, &span, 0, ACCESS_WRITE);
    fp_sync(cpu);
    environment_put(cpu, is_wide(in), bytes);
    span_store(cpu, in, &span, bytes);
    cpu->x87.fcw |= X87_FLAGS; /* masks all, so that a handler can work */
    settle(cpu);
}

void op_fldenv(CPU, IN)
{
    u8 bytes[MOST];
    struct span span;

    open_environment(cpu, in, &span, 0, ACCESS_READ);
    span_load(cpu, in, &span, bytes);
    fp_sync(cpu);
    environment_get(cpu, is_wide(in), bytes);
    settle(cpu);
}

void op_fnsave(CPU, IN)
{
    u8 bytes[MOST];
    struct span span;

    open_environment(cpu, in, &span, REGISTERS, ACCESS_WRITE);
    fp_sync(cpu);

    u8 *p = bytes + environment_put(cpu, is_wide(in), bytes);

    for (unsigned i = 0; i < 8; i++, p += 10) {
        memcpy(p, &x87_st(cpu, i)->mantissa, 8);
        memcpy(p + 8, &x87_st(cpu, i)->sign_exponent, 2);
    }
    span_store(cpu, in, &span, bytes);
    initialize(cpu);
    settle(cpu);
}

void op_frstor(CPU, IN)
{
    u8 bytes[MOST];
    struct span span;

    open_environment(cpu, in, &span, REGISTERS, ACCESS_READ);
    span_load(cpu, in, &span, bytes);
    fp_sync(cpu);

    const u8 *p = bytes + environment_get(cpu, is_wide(in), bytes);

    for (unsigned i = 0; i < 8; i++, p += 10) {
        memcpy(&x87_st(cpu, i)->mantissa, p, 8);
        memcpy(&x87_st(cpu, i)->sign_exponent, p + 8, 2);
    }
    settle(cpu);
}
