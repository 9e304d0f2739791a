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

/* We tell by looking. */
u64 xstate_in_use(const struct vcpu *cpu)
{
    static const u8 zero[16];
    const struct x87 *x = &cpu->x87;
    bool x87 = x->fcw != 0x37f || x->fsw || x->top || x->valid || x->fop || x->fip || x->fdp || x->fcs ||
               x->fds;

    for (unsigned i = 0; i < 8; i++)
        x87 = x87 || x->physical[i].mantissa || x->physical[i].sign_exponent;
    u64 used = (x87 ? STATE_X87 : 0) | (cpu->pkru ? STATE_PKRU : 0);

    for (unsigned i = 0; i < fx_xmm_count(cpu); i++) {
        used |= memcmp(cpu->vec[i].b, zero, 16) ? STATE_SSE : 0;
        used |= memcmp(cpu->vec[i].b + 16, zero, 16) ? STATE_AVX : 0;
    }
    return used;
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
    moved = optimized ? wanted & used : wanted;
    area_open(cpu, in, &a, xstate_end(0, wanted), 64, ACCESS_WRITE);
    reach(cpu, &a, 0, moved, ACCESS_WRITE | ACCESS_READ_TOO);
    area_read(&a, XSTATE_BV, &bits, 8);
    bits = (bits & ~wanted) | (wanted & used);
    area_write(&a, XSTATE_BV, &bits, 8);
    if (wanted & (STATE_SSE | STATE_AVX))
        fx_put_mxcsr(cpu, &a);
    put(cpu, &a, 0, moved, is_64);
    area_commit(cpu, &a);
}

/*
 * XSAVEC and XSAVES: XCOMP_BV names what the area has room for, one after the other, and what is initial isn't written.
 * MXCSR belongs to the SSE component here. SDM 1, 13.10 and 13.11.
 */
static void xsave_compacted(CPU, IN, bool is_64)
{
    struct area a;
    u64 wanted, used, layout;

    xsave_allowed(cpu);
    fp_sync(cpu);
    wanted = requested(cpu);
    used = wanted & (xstate_in_use(cpu) | (cpu->mxcsr != MXCSR_INITIAL ? STATE_SSE : 0));
    layout = XCOMP_COMPACTED | wanted;
    area_open(cpu, in, &a, xstate_end(layout, wanted), 64, ACCESS_WRITE);
    reach(cpu, &a, layout, used, ACCESS_WRITE | ACCESS_READ_TOO);
    area_write(&a, XSTATE_BV, &used, 8);
    area_write(&a, XCOMP_BV, &layout, 8);
    if (used & STATE_SSE)
        fx_put_mxcsr(cpu, &a);
    put(cpu, &a, layout, used, is_64);
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
    is_compacted = layout & XCOMP_COMPACTED;
    if (!is_header(cpu, &a, present, layout) || (wants_compacted && !is_compacted))
        vcpu_raise(cpu, VECTOR_GP, 0);
    /* The standard form's size follows from what is asked for, whether or not it's there; before MXCSR is looked at. */
    area_grow(cpu, in, &a, xstate_end(layout, is_compacted ? wanted & present : wanted), ACCESS_READ);
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

/* No component is the supervisor's in IA32_XSS, so XSAVES saves what XSAVEC does. */
void op_xsavec(CPU, IN)
{
    xsave_compacted(cpu, in, false);
}

void op_xsavec64(CPU, IN)
{
    xsave_compacted(cpu, in, true);
}

void op_xrstors(CPU, IN)
{
    xrstor(cpu, in, false, true);
}

void op_xrstors64(CPU, IN)
{
    xrstor(cpu, in, true, true);
}
