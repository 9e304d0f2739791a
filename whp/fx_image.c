/* SPDX-License-Identifier: MIT */
/* FXSAVE's image, AMD64 APM volume 2, 11.4.4. */
#include "whp/fx_image.h"

#include "state/profile.h"

/* The last instruction's pointers have room for a selector outside long mode only. */
static u64 far_pointer(const struct vcpu *cpu, u64 offset, u16 selector)
{
    return cpu->efer & EFER_LMA ? offset : (u32)offset | (u64)selector << 32;
}

void fx_store(const struct vcpu *cpu, u8 image[FX_SIZE])
{
    const struct x87 *x = &cpu->x87;

    memset(image, 0, FX_SIZE);
    store_bytes(image + 0, x->fcw, 2);
    store_bytes(image + 2, (u64)(x->fsw & ~0x3800) | (u64)(x->top & 7) << 11, 2);
    image[4] = x->valid;
    store_bytes(image + 6, x->fop, 2);
    store_bytes(image + 8, far_pointer(cpu, x->fip, x->fcs), 8);
    store_bytes(image + 16, far_pointer(cpu, x->fdp, x->fds), 8);
    store_bytes(image + FX_MXCSR, cpu->mxcsr, 4);
    store_bytes(image + 28, cpu->partition->mxcsr_mask, 4);
    for (unsigned i = 0; i < 8; i++) {
        const struct x87_register *r = &x->physical[(x->top + i) & 7];

        store_bytes(image + FX_ST + i * 16, r->mantissa, 8);
        store_bytes(image + FX_ST + i * 16 + 8, r->sign_exponent, 2);
    }
    for (unsigned i = 0; i < 16; i++)
        memcpy(image + FX_XMM + i * 16, cpu->vec[i].b, 16);
}

void fx_load(struct vcpu *cpu, const u8 image[FX_SIZE])
{
    struct x87 *x = &cpu->x87;
    u16 fsw = (u16)load_bytes(image + 2, 2);
    u64 fip = load_bytes(image + 8, 8), fdp = load_bytes(image + 16, 8);
    bool is_long = cpu->efer & EFER_LMA;

    x->fcw = (u16)((load_bytes(image + 0, 2) & 0x1f7f) | 0x40);
    x->top = fsw >> 11 & 7;
    fsw &= (u16)~0xb880; /* ES and B follow from the flags and their masks */
    x->fsw = fsw | (fsw & ~x->fcw & 0x3f ? 0x8080 : 0);
    x->valid = image[4];
    x->fop = load_bytes(image + 6, 2) & 0x7ff;
    x->fip = is_long ? fip : (u32)fip;
    x->fcs = is_long ? 0 : (u16)(fip >> 32);
    x->fdp = is_long ? fdp : (u32)fdp;
    x->fds = is_long ? 0 : (u16)(fdp >> 32);
    cpu->mxcsr = (u32)load_bytes(image + FX_MXCSR, 4);
    for (unsigned i = 0; i < 8; i++) {
        struct x87_register *r = &x->physical[(x->top + i) & 7];

        r->mantissa = load_bytes(image + FX_ST + i * 16, 8);
        r->sign_exponent = (u16)load_bytes(image + FX_ST + i * 16 + 8, 2);
    }
    for (unsigned i = 0; i < 16; i++)
        memcpy(cpu->vec[i].b, image + FX_XMM + i * 16, 16);
}
