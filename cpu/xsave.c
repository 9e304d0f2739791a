/* SPDX-License-Identifier: MIT */
/*
 * XSAVE and its kin: the components that EDX:EAX and XCR0 both name. AMD64 APM 2, 11.5; Intel SDM 1, chapter 13. Which bytes
 * are looked at, and in what order, is a Zen's.
 */
#include "cpu/fx_area.h"
#include "mem/tlb.h"
#include "state/partition.h"

static u64 requested(const struct vcpu *cpu)
{
    return cpu->xcr0 & ((u32)cpu->gpr[RAX] | cpu->gpr[RDX] << 32);
}

static void xsave_allowed(CPU)
{
    if (!(cpu->cr4 & CR4_OSXSAVE))
        vcpu_raise(cpu, VECTOR_UD, 0);
    if (cpu->cr0 & CR0_TS)
        vcpu_raise(cpu, VECTOR_NM, 0);
}

/*
 * We tell by looking. At all registers: outside of 64-bit code, which saves but eight, an XMM8 that isn't zero makes SSE in
 * use on a Zen 3; SDM 1 13.6 has it otherwise.
 */
u64 xstate_in_use(const struct vcpu *cpu)
{
    static const u8 zero[16];
    const struct x87 *x = &cpu->x87;
    bool x87 = x->fcw != 0x37f || x->fsw || x->top || x->valid || x->fop || x->fip || x->fdp || x->fcs ||
               x->fds;

    for (unsigned i = 0; i < 8; i++)
        x87 = x87 || x->physical[i].mantissa || x->physical[i].sign_exponent;
    u64 used = (x87 ? STATE_X87 : 0) | (cpu->pkru ? STATE_PKRU : 0);

    for (unsigned i = 0; i < 16; i++) {
        used |= memcmp(cpu->vec[i].b, zero, 16) ? STATE_SSE : 0;
        used |= memcmp(cpu->vec[i].b + 16, zero, 16) ? STATE_AVX : 0;
    }
    return used;
}

/* ---- what XRSTOR loaded ---- */

static void note_restored(CPU, u64 linear, u64 layout, u64 components)
{
    struct restored *r = &cpu->restored;

    r->linear = linear;
    r->layout = layout;
    r->components = components;
    r->cpl = cpu->cpl;
    r->x87 = cpu->x87;
    r->mxcsr = cpu->mxcsr;
    r->pkru = cpu->pkru;
    for (unsigned i = 0; i < 16; i++)
        memcpy(r->ymm[i], cpu->vec[i].b, 32);
}

static bool is_same_x87(const struct x87 *x, const struct x87 *y)
{
    bool same = x->fcw == y->fcw && x->fsw == y->fsw && x->top == y->top && x->valid == y->valid && x->fop == y->fop &&
                x->fip == y->fip && x->fdp == y->fdp && x->fcs == y->fcs && x->fds == y->fds;

    for (unsigned i = 0; i < 8; i++)
        same = same && x->physical[i].mantissa == y->physical[i].mantissa &&
               x->physical[i].sign_exponent == y->physical[i].sign_exponent;
    return same;
}

/*
 * The components that needn't be written: an XRSTOR from this place, at this level and in this form, loaded them, and
 * they are the same since. Processors watch for writes, we compare: what was written and has its old value again they
 * save and we don't, which shows only where somebody changed the area in the meantime.
 */
static u64 unmodified(const struct vcpu *cpu, u64 linear, u64 layout)
{
    const struct restored *r = &cpu->restored;
    u64 same = r->components;

    if (!same || r->linear != linear || r->layout != layout || r->cpl != cpu->cpl)
        return 0;
    if (!is_same_x87(&cpu->x87, &r->x87))
        same &= ~STATE_X87;
    if (cpu->pkru != r->pkru)
        same &= ~STATE_PKRU;
    if ((layout & XCOMP_COMPACTED) && cpu->mxcsr != r->mxcsr) /* else MXCSR is written anyway */
        same &= ~STATE_SSE;
    for (unsigned i = 0; i < 16; i++) {
        same &= memcmp(cpu->vec[i].b, r->ymm[i], 16) ? ~STATE_SSE : ~(u64)0;
        same &= memcmp(cpu->vec[i].b + 16, r->ymm[i] + 16, 16) ? ~STATE_AVX : ~(u64)0;
    }
    return same;
}

/* ---- the components behind the header, whose bytes at `at` were reached ---- */

static void component_put(const struct vcpu *cpu, struct area *a, const struct xstate *x, unsigned at)
{
    if (xstate_bit(x) == STATE_PKRU) {
        area_write(a, at, &cpu->pkru, 4);
        return;
    }
    for (unsigned i = 0; i < fx_xmm_count(cpu); i++)
        area_write(a, at + i * 16, cpu->vec[i].b + 16, 16);
}

/* present: from the area, else its initial value. */
static void component_get(CPU, const struct area *a, const struct xstate *x, unsigned at, bool present)
{
    u32 pkru = 0;

    if (xstate_bit(x) == STATE_PKRU) {
        if (present)
            area_read(a, at, &pkru, 4);
        if (pkru != cpu->pkru)
            tlb_flush(cpu, false);
        cpu->pkru = pkru;
        return;
    }
    for (unsigned i = 0; i < fx_xmm_count(cpu); i++)
        if (present)
            area_read(a, at + i * 16, cpu->vec[i].b + 16, 16);
        else
            memset(cpu->vec[i].b + 16, 0, 16);
}

/* The legacy region and the header, and what will be moved of the others. */
static void reach(CPU, struct area *a, u64 layout, u64 moved, unsigned access)
{
    if (!a->pieces)
        area_reach(cpu, a, 0, XSTATE_HEADER_END, access);
    for (unsigned i = 0; i < XSTATE_OTHERS; i++) {
        unsigned at = xstate_at(layout, &xstates[i]);

        if (moved & xstate_bit(&xstates[i]))
            area_reach(cpu, a, at, at + xstates[i].used, access);
    }
}

/* Writes these components. */
static void put(CPU, struct area *a, u64 layout, u64 moved, bool is_64)
{
    if (moved & STATE_X87)
        fx_put_x87(cpu, a, is_64);
    if (moved & STATE_SSE)
        fx_put_xmm(cpu, a);
    for (unsigned i = 0; i < XSTATE_OTHERS; i++)
        if (moved & xstate_bit(&xstates[i]))
            component_put(cpu, a, &xstates[i], xstate_at(layout, &xstates[i]));
}

static void xsave(CPU, IN, bool is_64, bool optimized)
{
    struct area a;
    u64 wanted, used, moved, bits;

    xsave_allowed(cpu);
    fp_sync(cpu);
    wanted = requested(cpu);
    used = xstate_in_use(cpu);
    area_open(cpu, in, &a, xstate_end(0, wanted), 64, ACCESS_WRITE);
    moved = optimized ? wanted & used & ~unmodified(cpu, a.linear, 0) : wanted;
    reach(cpu, &a, 0, moved, ACCESS_WRITE | ACCESS_READ_TOO | ACCESS_PROBE);
    area_refresh(cpu, &a, XSTATE_BV, 8);
    area_read(&a, XSTATE_BV, &bits, 8);
    bits = (bits & ~wanted) | (wanted & used);
    area_write(&a, XSTATE_BV, &bits, 8);
    if (wanted & (STATE_SSE | STATE_AVX))
        fx_put_mxcsr(cpu, &a);
    put(cpu, &a, 0, moved, is_64);
    area_commit(cpu, &a);
}

/*
 * XSAVEC and XSAVES: XCOMP_BV names what the area has room for, one after the other, and what is initial isn't written,
 * nor by XSAVES what is unmodified. MXCSR belongs to the SSE component here. SDM 1, 13.10 and 13.11.
 */
static void xsave_compacted(CPU, IN, bool is_64, bool optimized)
{
    struct area a;
    u64 wanted, used, moved, layout;

    xsave_allowed(cpu);
    fp_sync(cpu);
    wanted = requested(cpu);
    used = wanted & (xstate_in_use(cpu) | (cpu->mxcsr != MXCSR_INITIAL ? STATE_SSE : 0));
    layout = XCOMP_COMPACTED | wanted;
    area_open(cpu, in, &a, xstate_end(layout, wanted), 64, ACCESS_WRITE);
    moved = optimized ? used & ~unmodified(cpu, a.linear, layout) : used;
    reach(cpu, &a, layout, moved, ACCESS_WRITE | ACCESS_READ_TOO | ACCESS_PROBE);
    area_write(&a, XSTATE_BV, &used, 8);
    area_write(&a, XCOMP_BV, &layout, 8);
    if (moved & STATE_SSE)
        fx_put_mxcsr(cpu, &a);
    put(cpu, &a, layout, moved, is_64);
    area_commit(cpu, &a);
}

/* Is the header one that XRSTOR takes? SDM 1, 13.8.1 and 13.8.2. */
static bool is_header(const struct vcpu *cpu, const struct area *a, u64 present, u64 layout)
{
    static const u8 zero[48];
    u8 reserved[48]; /* behind XCOMP_BV; the standard form looks at the first 8 */
    u64 room = layout & ~XCOMP_COMPACTED;

    area_read(a, XCOMP_BV + 8, reserved, sizeof reserved);
    if (!(layout & XCOMP_COMPACTED))
        return !(present & ~cpu->xcr0) && !layout && !memcmp(reserved, zero, 8);
    return !(room & ~cpu->xcr0) && !(present & ~room) && !memcmp(reserved, zero, sizeof zero);
}

static void xrstor(CPU, IN, bool is_64, bool wants_compacted)
{
    struct area a;
    u64 wanted, present, layout;
    u32 mxcsr;
    bool is_compacted, sets_mxcsr;

    xsave_allowed(cpu);
    wanted = requested(cpu);
    area_open(cpu, in, &a, XSTATE_HEADER_END, 64, ACCESS_READ);
    reach(cpu, &a, 0, 0, ACCESS_READ);
    area_read(&a, XSTATE_BV, &present, 8);
    area_read(&a, XCOMP_BV, &layout, 8);
    area_read(&a, FX_MXCSR, &mxcsr, 4);
    is_compacted = layout >> 63 && has(&cpu->partition->has, HAS_XSAVEC); /* who hasn't reserves the bit */
    if (!is_compacted) /* as large as what is asked for, present or not; a Zen 3 looks before it judges the header */
        area_grow(cpu, in, xstate_end(0, wanted), ACCESS_READ);
    if (is_compacted != (layout >> 63) || !is_header(cpu, &a, present, layout) || (wants_compacted && !is_compacted))
        vcpu_raise(cpu, VECTOR_GP, 0);
    if (is_compacted)
        area_grow(cpu, in, xstate_end(layout, wanted & present), ACCESS_READ);
    reach(cpu, &a, layout, wanted & present, ACCESS_READ);
    sets_mxcsr = wanted & (is_compacted ? STATE_SSE : STATE_SSE | STATE_AVX);
    if (is_compacted && !(present & STATE_SSE))
        mxcsr = MXCSR_INITIAL;
    if (sets_mxcsr)
        fx_check_mxcsr(cpu, mxcsr);
    fp_sync(cpu);
    if (wanted & present & STATE_X87)
        fx_get_x87(cpu, &a, is_64);
    else if (wanted & STATE_X87)
        cpu->x87 = (struct x87){ .fcw = 0x37f };
    if (sets_mxcsr)
        cpu->mxcsr = mxcsr;
    if (wanted & present & STATE_SSE)
        fx_get_xmm(cpu, &a);
    for (unsigned i = 0; (wanted & ~present & STATE_SSE) && i < fx_xmm_count(cpu); i++)
        memset(cpu->vec[i].b, 0, 16);
    for (unsigned i = 0; i < XSTATE_OTHERS; i++)
        if (wanted & xstate_bit(&xstates[i]))
            component_get(cpu, &a, &xstates[i], xstate_at(layout, &xstates[i]), present & xstate_bit(&xstates[i]));
    note_restored(cpu, a.linear, layout, wanted);
    fp_reload(cpu);
    mode_update(cpu);
}

void op_xsave(CPU, IN)
{
    xsave(cpu, in, false, false);
}

void op_xsave64(CPU, IN)
{
    xsave(cpu, in, true, false);
}

void op_xsaveopt(CPU, IN)
{
    xsave(cpu, in, false, true);
}

void op_xsaveopt64(CPU, IN)
{
    xsave(cpu, in, true, true);
}

void op_xrstor(CPU, IN)
{
    xrstor(cpu, in, false, false);
}

void op_xrstor64(CPU, IN)
{
    xrstor(cpu, in, true, false);
}

void op_xsavec(CPU, IN)
{
    xsave_compacted(cpu, in, false, false);
}

void op_xsavec64(CPU, IN)
{
    xsave_compacted(cpu, in, true, false);
}

/* No component is the supervisor's in IA32_XSS, so XSAVES saves what XSAVEC does. */
void op_xsaves(CPU, IN)
{
    xsave_compacted(cpu, in, false, true);
}

void op_xsaves64(CPU, IN)
{
    xsave_compacted(cpu, in, true, true);
}

void op_xrstors(CPU, IN)
{
    xrstor(cpu, in, false, true);
}

void op_xrstors64(CPU, IN)
{
    xrstor(cpu, in, true, true);
}
