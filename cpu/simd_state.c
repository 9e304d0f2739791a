/* SPDX-License-Identifier: MIT */
/* MXCSR, FXSAVE and their counterparts. AMD64 APM 2, 11.4.4. */
#include "cpu/fx_area.h"
#include "state/partition.h"

static void set_mxcsr(CPU, u32 value)
{
    fp_sync(cpu); /* the flags so far belong to the old value */
    cpu->mxcsr = value;
    fp_reload(cpu);
    mode_update(cpu);
}

void fx_check_mxcsr(CPU, u32 value)
{
    if (value & ~cpu->partition->mxcsr_mask)
        vcpu_raise(cpu, VECTOR_GP, 0);
}

void op_ldmxcsr(CPU, IN)
{
    u32 value;

    vector_load(cpu, in, &value, 4, 0);
    fx_check_mxcsr(cpu, value);
    set_mxcsr(cpu, value);
}

void op_stmxcsr(CPU, IN)
{
    fp_sync(cpu);
    vector_store(cpu, in, &cpu->mxcsr, 4, 0);
}

/*
 * The last instruction's opcode and pointers count while an exception is pending. Without one, processors whose CPUID says
 * so store zeros, as seen on a Zen 3, and load what is there; others leave them alone, in memory and in the x87. APM 2
 * 11.4.4, and CPUID 8000_0008 EBX bit 2.
 */
static bool has_pointers(const struct vcpu *cpu, u16 fsw)
{
    return has(&cpu->partition->has, HAS_X87_POINTERS) || (fsw & 0x80);
}

void fx_put_x87(const struct vcpu *cpu, struct area *a, bool is_64)
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
    area_write(a, FX_CONTROL, image, has_pointers(cpu, x->fsw) ? FX_MXCSR : FX_FOP);
    area_write(a, FX_ST, image + FX_ST, FX_XMM - FX_ST);
}

void fx_get_x87(CPU, const struct area *a, bool is_64)
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
    if (has_pointers(cpu, x->fsw)) {
        x->fop = load_bytes(image + 6, 2) & 0x7ff;
        x->fip = is_64 ? fip : (u32)fip;
        x->fcs = is_64 ? 0 : (u16)(fip >> 32);
        x->fdp = is_64 ? fdp : (u32)fdp;
        x->fds = is_64 ? 0 : (u16)(fdp >> 32);
    }
    for (unsigned i = 0; i < 8; i++) {
        struct x87_register *r = &x->physical[(x->top + i) & 7];

        r->mantissa = load_bytes(image + FX_ST + i * 16, 8);
        r->sign_exponent = (u16)load_bytes(image + FX_ST + i * 16 + 8, 2);
    }
}

void fx_put_mxcsr(const struct vcpu *cpu, struct area *a)
{
    area_write(a, FX_MXCSR, &cpu->mxcsr, 4);
    area_write(a, FX_MXCSR + 4, &cpu->partition->mxcsr_mask, 4);
}

unsigned fx_xmm_count(const struct vcpu *cpu)
{
    return in_code64(cpu) ? 16 : 8;
}

void fx_put_xmm(const struct vcpu *cpu, struct area *a)
{
    for (unsigned i = 0; i < fx_xmm_count(cpu); i++)
        area_write(a, FX_XMM + i * 16, cpu->vec[i].b, 16);
}

void fx_get_xmm(CPU, const struct area *a)
{
    for (unsigned i = 0; i < fx_xmm_count(cpu); i++)
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
    area_reach(cpu, &a, 0, FX_SIZE, ACCESS_WRITE | ACCESS_READ_TOO | ACCESS_PROBE);
    fp_sync(cpu);
    fx_put_x87(cpu, &a, is_64);
    if (cpu->cr4 & CR4_OSFXSR) {
        fx_put_mxcsr(cpu, &a);
        if (!has_fast_fxsr(cpu))
            fx_put_xmm(cpu, &a);
    }
    area_commit(cpu, &a);
}

static void fxrstor(CPU, IN, bool is_64)
{
    struct area a;
    u32 mxcsr;

    area_open(cpu, in, &a, FX_SIZE, 16, ACCESS_READ);
    area_reach(cpu, &a, 0, FX_SIZE, ACCESS_READ);
    area_read(&a, FX_MXCSR, &mxcsr, 4);
    if (cpu->cr4 & CR4_OSFXSR)
        fx_check_mxcsr(cpu, mxcsr);
    fp_sync(cpu);
    fx_get_x87(cpu, &a, is_64);
    if (cpu->cr4 & CR4_OSFXSR) {
        cpu->mxcsr = mxcsr;
        if (!has_fast_fxsr(cpu))
            fx_get_xmm(cpu, &a);
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
