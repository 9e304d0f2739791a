/* SPDX-License-Identifier: MIT */
/*
 * The floating-point state as a whole: MXCSR, FXSAVE, XSAVE and their counterparts. AMD64 APM 2, 11.4.4 and
 * 11.5.
 */
#include "cpu/vector.h"
#include "state/profile.h"

enum {
    FX_CONTROL = 0,      /* FCW, FSW, tags, FOP, FIP, FDP */
    FX_MXCSR = 24,
    FX_ST = 32,
    FX_XMM = 160,
    FX_SIZE = 512,
    XSTATE_BV = 512,
    XCOMP_BV = 520,
    XHEADER_END = 576,
    XAVX = 576,
    XSAVE_SIZE = 832,
    PIECE = 64           /* what one place holds */
};
enum { STATE_X87 = 1, STATE_SSE = 2, STATE_AVX = 4, STATES = 7 };

/*
 * The compacted form has the components that XCOMP_BV names one after the other. With AVX as the only one beyond the legacy
 * region it looks like the other one, but for XCOMP_BV, and for MXCSR, which belongs to the SSE component there.
 */
#define COMPACTED ((u64)1 << 63)
enum { MXCSR_INITIAL = 0x1f80 };

static void set_mxcsr(CPU, u32 value)
{
    fp_sync(cpu); /* the flags so far belong to the old value */
    cpu->mxcsr = value;
    fp_reload(cpu);
    mode_update(cpu);
}

static void check_mxcsr(CPU, u32 value)
{
    if (value & ~cpu->partition->profile->mxcsr_mask)
        vcpu_raise(cpu, VECTOR_GP, 0);
}

void op_ldmxcsr(CPU, IN)
{
    u32 value;

    vector_load(cpu, in, &value, 4, 0);
    check_mxcsr(cpu, value);
    set_mxcsr(cpu, value);
}

void op_stmxcsr(CPU, IN)
{
    fp_sync(cpu);
    vector_store(cpu, in, &cpu->mxcsr, 4, 0);
}

/* ---- an area of memory in pieces that a place can hold, all resolved before one is written ---- */

struct area {
    struct place piece[XSAVE_SIZE / PIECE];
    u64 linear;
    unsigned pieces;
};

/* A byte of the area alone; its offset wraps as the address size has it, before the limit counts. */
static void area_probe(CPU, IN, unsigned distance, unsigned access)
{
    struct place p;
    u64 offset = (operand_offset(cpu, in) + distance) & ones(16u << (in->address - W16));

    place_segment(cpu, &p, in->segment, offset, 1, access | ACCESS_PLAIN);
}

/*
 * Opens an area whose address must be aligned. The order of faults is a Zen 4's for FXSAVE: the first byte's segment,
 * #AC for what isn't even 4-byte aligned where such checks are on, #GP for the rest, the last byte's page, the
 * segment's limit. And a Zen 3's for XSAVE: no #AC, #GP for what isn't aligned before anything else, the first byte,
 * and then XRSTOR's header or XSAVE's last byte.
 */
static void area_open(CPU, IN, struct area *a, unsigned size, unsigned alignment, unsigned access)
{
    bool checks = cpu->cpl == 3 && (cpu->cr0 & CR0_AM) && (cpu->rflags & AC);

    a->pieces = 0;
    if (alignment == 64) {
        bool is_flat = in_code64(cpu) && in->segment != FS && in->segment != GS;

        if ((operand_offset(cpu, in) + (is_flat ? 0 : cpu->seg[in->segment].base)) & (alignment - 1))
            vcpu_raise(cpu, VECTOR_GP, 0);
        area_probe(cpu, in, 0, access);
        area_probe(cpu, in, access & ACCESS_WRITE ? size - 1 : XSTATE_BV, access);
    } else {
        a->linear = operand_linear(cpu, in, 1, access);
        if (checks && (a->linear & 3))
            vcpu_raise(cpu, VECTOR_AC, 0);
        if (a->linear & (alignment - 1))
            vcpu_raise(cpu, VECTOR_GP, 0);
        area_probe(cpu, in, size - 1, access);
    }
    a->linear = operand_linear(cpu, in, size, access);
}

/* Resolves what lies below `end`. */
static void area_reach(CPU, struct area *a, unsigned end, unsigned access)
{
    for (; a->pieces * PIECE < end; a->pieces++)
        place_linear(cpu, &a->piece[a->pieces], a->linear + a->pieces * PIECE, PIECE, access | ACCESS_PLAIN);
}

static void area_read(const struct area *a, unsigned offset, void *to, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        ((u8 *)to)[i] = a->piece[(offset + i) / PIECE].bytes[(offset + i) % PIECE];
}

static void area_write(struct area *a, unsigned offset, const void *from, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        a->piece[(offset + i) / PIECE].bytes[(offset + i) % PIECE] = ((const u8 *)from)[i];
}

static void area_commit(CPU, struct area *a)
{
    for (unsigned i = 0; i < a->pieces; i++)
        place_commit(cpu, &a->piece[i]);
}

/* ---- the legacy region ---- */

/* The last instruction and its operand are zero without a pending exception, as seen on a Zen 3. APM 2, 11.4.4.3. */
static void put_x87(const struct vcpu *cpu, struct area *a, bool is_64)
{
    const struct x87 *x = &cpu->x87;
    u8 image[FX_XMM] = { 0 };
    bool is_pending = x->fsw & 0x80; /* ES */

    store_bytes(image + 0, x->fcw, 2);
    store_bytes(image + 2, (u64)x->fsw | (u64)x->top << 11, 2);
    image[4] = x->valid;
    if (is_pending) {
        store_bytes(image + 6, x->fop, 2);
        store_bytes(image + 8, is_64 ? x->fip : (u32)x->fip | (u64)x->fcs << 32, 8);
        store_bytes(image + 16, is_64 ? x->fdp : (u32)x->fdp | (u64)x->fds << 32, 8);
    }
    for (unsigned i = 0; i < 8; i++) {
        const struct x87_register *r = &x->physical[(x->top + i) & 7];

        store_bytes(image + FX_ST + i * 16, r->mantissa, 8);
        store_bytes(image + FX_ST + i * 16 + 8, r->sign_exponent, 2);
    }
    area_write(a, FX_CONTROL, image, FX_MXCSR);
    area_write(a, FX_ST, image + FX_ST, FX_XMM - FX_ST);
}

static void get_x87(CPU, const struct area *a, bool is_64)
{
    struct x87 *x = &cpu->x87;
    u8 image[FX_XMM];
    u16 fsw;
    u64 fip, fdp;

    area_read(a, 0, image, sizeof image);
    fsw = (u16)load_bytes(image + 2, 2);
    fip = load_bytes(image + 8, 8);
    fdp = load_bytes(image + 16, 8);
    x->fcw = (u16)((load_bytes(image, 2) & 0x1f3f) | 0x40);
    x->top = fsw >> 11 & 7;
    x->fsw = fsw & 0x477f; /* ES and B follow from the flags and their masks */
    x->fsw |= x->fsw & ~x->fcw & 0x3f ? 0x8080 : 0;
    x->valid = image[4];
    x->fop = load_bytes(image + 6, 2) & 0x7ff;
    x->fip = is_64 ? fip : (u32)fip;
    x->fcs = is_64 ? 0 : (u16)(fip >> 32);
    x->fdp = is_64 ? fdp : (u32)fdp;
    x->fds = is_64 ? 0 : (u16)(fdp >> 32);
    for (unsigned i = 0; i < 8; i++) {
        struct x87_register *r = &x->physical[(x->top + i) & 7];

        r->mantissa = load_bytes(image + FX_ST + i * 16, 8);
        r->sign_exponent = (u16)load_bytes(image + FX_ST + i * 16 + 8, 2);
    }
}

static void put_mxcsr(const struct vcpu *cpu, struct area *a)
{
    area_write(a, FX_MXCSR, &cpu->mxcsr, 4);
    area_write(a, FX_MXCSR + 4, &cpu->partition->profile->mxcsr_mask, 4);
}

static unsigned xmm_count(const struct vcpu *cpu)
{
    return in_code64(cpu) ? 16 : 8;
}

static void put_xmm(const struct vcpu *cpu, struct area *a)
{
    for (unsigned i = 0; i < xmm_count(cpu); i++)
        area_write(a, FX_XMM + i * 16, cpu->vec[i].b, 16);
}

static void get_xmm(CPU, const struct area *a)
{
    for (unsigned i = 0; i < xmm_count(cpu); i++)
        area_read(a, FX_XMM + i * 16, cpu->vec[i].b, 16);
}

/* EFER.FFXSR leaves out the XMM registers for a 64-bit kernel. */
static bool has_fast_fxsr(const struct vcpu *cpu)
{
    return (cpu->efer & EFER_FFXSR) && in_code64(cpu) && cpu->cpl == 0;
}

static void fxsave(CPU, IN, bool is_64)
{
    struct area a;

    area_open(cpu, in, &a, FX_SIZE, 16, ACCESS_WRITE);
    area_reach(cpu, &a, FX_SIZE, ACCESS_WRITE | ACCESS_READ_TOO);
    fp_sync(cpu);
    put_x87(cpu, &a, is_64);
    if (cpu->cr4 & CR4_OSFXSR) {
        put_mxcsr(cpu, &a);
        if (!has_fast_fxsr(cpu))
            put_xmm(cpu, &a);
    }
    area_commit(cpu, &a);
}

static void fxrstor(CPU, IN, bool is_64)
{
    struct area a;
    u32 mxcsr;

    area_open(cpu, in, &a, FX_SIZE, 16, ACCESS_READ);
    area_reach(cpu, &a, FX_SIZE, ACCESS_READ);
    area_read(&a, FX_MXCSR, &mxcsr, 4);
    if (cpu->cr4 & CR4_OSFXSR)
        check_mxcsr(cpu, mxcsr);
    fp_sync(cpu);
    get_x87(cpu, &a, is_64);
    if (cpu->cr4 & CR4_OSFXSR) {
        cpu->mxcsr = mxcsr;
        if (!has_fast_fxsr(cpu))
            get_xmm(cpu, &a);
    }
    fp_reload(cpu);
    mode_update(cpu);
}

void op_fxsave(CPU, IN)
{
    fxsave(cpu, in, false);
}

void op_fxsave64(CPU, IN)
{
    fxsave(cpu, in, true);
}

void op_fxrstor(CPU, IN)
{
    fxrstor(cpu, in, false);
}

void op_fxrstor64(CPU, IN)
{
    fxrstor(cpu, in, true);
}

/* ---- XSAVE: the components that EDX:EAX and XCR0 both name ---- */

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
    u64 used = x87 ? STATE_X87 : 0;

    for (unsigned i = 0; i < xmm_count(cpu); i++) {
        used |= memcmp(cpu->vec[i].b, zero, 16) ? STATE_SSE : 0;
        used |= memcmp(cpu->vec[i].b + 16, zero, 16) ? STATE_AVX : 0;
    }
    return used;
}

static void xsave(CPU, IN, bool is_64, bool optimized)
{
    struct area a;
    u64 wanted, used, bits;

    xsave_allowed(cpu);
    wanted = requested(cpu) & STATES;
    area_open(cpu, in, &a, wanted & STATE_AVX ? XSAVE_SIZE : XHEADER_END, 64, ACCESS_WRITE);
    area_reach(cpu, &a, wanted & STATE_AVX ? XSAVE_SIZE : XHEADER_END, ACCESS_WRITE | ACCESS_READ_TOO);
    fp_sync(cpu);
    used = xstate_in_use(cpu);
    area_read(&a, XSTATE_BV, &bits, 8);
    bits = (bits & ~wanted) | (wanted & used);
    area_write(&a, XSTATE_BV, &bits, 8);
    if (wanted & (STATE_SSE | STATE_AVX))
        put_mxcsr(cpu, &a);
    if (optimized)
        wanted &= used;
    if (wanted & STATE_X87)
        put_x87(cpu, &a, is_64);
    if (wanted & STATE_SSE)
        put_xmm(cpu, &a);
    for (unsigned i = 0; (wanted & STATE_AVX) && i < xmm_count(cpu); i++)
        area_write(&a, XAVX + i * 16, cpu->vec[i].b + 16, 16);
    area_commit(cpu, &a);
}

/* XSAVEC and XSAVES: what is initial isn't written. SDM 1, 13.10 and 13.11. */
static void xsave_compacted(CPU, IN, bool is_64)
{
    struct area a;
    u64 wanted, used, format;

    xsave_allowed(cpu);
    wanted = requested(cpu) & STATES;
    area_open(cpu, in, &a, wanted & STATE_AVX ? XSAVE_SIZE : XHEADER_END, 64, ACCESS_WRITE);
    area_reach(cpu, &a, wanted & STATE_AVX ? XSAVE_SIZE : XHEADER_END, ACCESS_WRITE | ACCESS_READ_TOO);
    fp_sync(cpu);
    used = wanted & (xstate_in_use(cpu) | (cpu->mxcsr != MXCSR_INITIAL ? STATE_SSE : 0));
    format = COMPACTED | wanted;
    area_write(&a, XSTATE_BV, &used, 8);
    area_write(&a, XCOMP_BV, &format, 8);
    if (used & STATE_X87)
        put_x87(cpu, &a, is_64);
    if (used & STATE_SSE) {
        put_mxcsr(cpu, &a);
        put_xmm(cpu, &a);
    }
    for (unsigned i = 0; (used & STATE_AVX) && i < xmm_count(cpu); i++)
        area_write(&a, XAVX + i * 16, cpu->vec[i].b + 16, 16);
    area_commit(cpu, &a);
}

/* Is the header one that XRSTOR takes? SDM 1, 13.8.1 and 13.8.2. */
static bool is_header(const struct vcpu *cpu, const struct area *a, u64 present, u64 format)
{
    static const u8 zero[48];
    u8 reserved[48]; /* behind XCOMP_BV; the standard form looks at the first 8 */

    area_read(a, XCOMP_BV + 8, reserved, sizeof reserved);
    if (!(format & COMPACTED))
        return !(present & ~cpu->xcr0) && !format && !memcmp(reserved, zero, 8);
    format &= ~COMPACTED;
    return !(format & ~cpu->xcr0) && !(present & ~format) && !memcmp(reserved, zero, sizeof zero);
}

static void xrstor(CPU, IN, bool is_64, bool wants_compacted)
{
    struct area a;
    u64 wanted, present, format;
    u32 mxcsr;
    bool sets_mxcsr;

    xsave_allowed(cpu);
    wanted = requested(cpu) & STATES;
    area_open(cpu, in, &a, XHEADER_END, 64, ACCESS_READ);
    area_reach(cpu, &a, XHEADER_END, ACCESS_READ);
    area_read(&a, XSTATE_BV, &present, 8);
    area_read(&a, XCOMP_BV, &format, 8);
    area_read(&a, FX_MXCSR, &mxcsr, 4);
    if (!(format & COMPACTED) && (wanted & STATE_AVX)) /* a Zen 3 looks before the header counts, present or not */
        area_probe(cpu, in, XSAVE_SIZE - 1, ACCESS_READ);
    if (!is_header(cpu, &a, present, format) || (wants_compacted && !(format & COMPACTED)))
        vcpu_raise(cpu, VECTOR_GP, 0);
    sets_mxcsr = wanted & (format & COMPACTED ? STATE_SSE : STATE_SSE | STATE_AVX);
    if ((format & COMPACTED) && !(present & STATE_SSE))
        mxcsr = MXCSR_INITIAL;
    if (sets_mxcsr)
        check_mxcsr(cpu, mxcsr);
    if (wanted & present & STATE_AVX) {
        operand_linear(cpu, in, XSAVE_SIZE, ACCESS_READ);
        area_reach(cpu, &a, XSAVE_SIZE, ACCESS_READ);
    }
    fp_sync(cpu);
    if (wanted & present & STATE_X87)
        get_x87(cpu, &a, is_64);
    else if (wanted & STATE_X87)
        cpu->x87 = (struct x87){ .fcw = 0x37f };
    if (sets_mxcsr)
        cpu->mxcsr = mxcsr;
    if (wanted & present & STATE_SSE)
        get_xmm(cpu, &a);
    for (unsigned i = 0; i < xmm_count(cpu); i++) {
        if (wanted & ~present & STATE_SSE)
            memset(cpu->vec[i].b, 0, 16);
        if (wanted & present & STATE_AVX)
            area_read(&a, XAVX + i * 16, cpu->vec[i].b + 16, 16);
        else if (wanted & STATE_AVX)
            memset(cpu->vec[i].b + 16, 0, 16);
    }
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
