/* SPDX-License-Identifier: MIT */
/* The handlers that aren't any instruction's own: around bodies, and for what is forbidden. */
#include "cpu/handler.h"

#include <Zydis/Mnemonic.h>

#include "cpu/undefined.h"
#include "decoder/ops.h"
#include "exits/exit.h"

/* After a body: something has to happen before the next instruction? Then rip and count are made right at it. */
static bool must_stop(CPU, IN)
{
    if (likely(!(__atomic_load_n(&cpu->attention, __ATOMIC_RELAXED) & ATTENTION_NOW)))
        return false;
    cpu->rip = next_rip(cpu, in);
    cpu->count -= in[1].left;
    cpu->at = NULL;
    return true;
}

next run_body(CPU, IN)
{
    cpu->at = in;
    ops[in->op].body(cpu, in);
    if (unlikely(must_stop(cpu, in)))
        STOP;
    NEXT;
}

next run_last(CPU, IN)
{
    cpu->at = in;
    cpu->rip = next_rip(cpu, in);
    ops[in->op].body(cpu, in);
    STOP;
}

next run_undefined(CPU, IN)
{
    bool ends = ops[in->op].attributes & ENDS;

    cpu->at = in;
    if (ends)
        cpu->rip = next_rip(cpu, in);
    undefined_body(cpu, in);
    if (ends || unlikely(must_stop(cpu, in)))
        STOP;
    NEXT;
}

next run_enter(CPU, IN)
{
    cpu->code_base = in->imm;
    NEXT;
}

next run_nothing(CPU, IN)
{
    NEXT;
}

next run_ud(CPU, IN)
{
    cpu->at = in;
    vcpu_raise(cpu, VECTOR_UD, 0);
    STOP;
}

next run_gp(CPU, IN)
{
    cpu->at = in;
    vcpu_raise(cpu, VECTOR_GP, 0);
    STOP;
}

next run_nm(CPU, IN)
{
    cpu->at = in;
    vcpu_raise(cpu, VECTOR_NM, 0);
    STOP;
}

/* A waiting x87 or an MMX instruction while an exception is unmasked: one that is pending comes first. */
next run_mf_or_body(CPU, IN)
{
    if (cpu->x87.fsw & 0x80) {
        cpu->at = in;
        x87_pending(cpu);
    }
    if (ops[in->op].attributes & ENDS)
        return run_last(cpu, in);
    return run_body(cpu, in);
}

next run_unsupported(CPU, IN)
{
    const char *name = in->op <= ZYDIS_MNEMONIC_MAX_VALUE ? ZydisMnemonicGetString((ZydisMnemonic)in->op) : NULL;

    cpu->at = in;
    explain_clear(cpu);
    explain(cpu, "the profile has this form of %s and softwhp lacks it", name ? name : "an instruction");
    exit_unsupported(cpu, WHvUnsupportedFeatureIntercept, in->op);
    STOP;
}

u64 next_rip(CPU, IN)
{
    u64 rip = cpu->code_base + in->offset + in->length;

    return in_code64(cpu) ? rip : (u32)rip;
}
