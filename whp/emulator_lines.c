/* SPDX-License-Identifier: MIT */
/* x87, MMX and vector registers of an emulated instruction, in and out: lines of FXSAVE's image. */
#include "include/softwhp.h"
#include "whp/emulator.h"

/* The names of the lines that are needed, in order, and which line each is. */
static unsigned fx_names(unsigned needs, WHV_REGISTER_NAME names[FX_NAMES], u8 lines[FX_NAMES])
{
    unsigned n = 0;

    for (u8 line = 0; line < LINES; line++) {
        unsigned wanted = line == 0            ? NEEDS_X87
                          : line < LINE_ST   ? NEEDS_XMM | NEEDS_X87 /* MXCSR */
                          : line < LINE_XMM  ? NEEDS_X87
                          : line < LINE_NONE ? NEEDS_XMM
                          : line < LINE_YMM  ? 0
                                             : NEEDS_YMM;

        if (!(needs & wanted))
            continue;
        lines[n] = line;
        names[n++] = (WHV_REGISTER_NAME)(line == 0          ? WHvX64RegisterFpControlStatus
                                         : line < LINE_ST   ? WHvX64RegisterXmmControlStatus
                                         : line < LINE_XMM  ? WHvX64RegisterFpMmx0 + line - LINE_ST
                                         : line < LINE_NONE ? WHvX64RegisterXmm0 + line - LINE_XMM
                                                            : SwhpX64RegisterYmmHigh0 + line - LINE_YMM);
    }
    return n;
}

static void store_lines(const struct vcpu *cpu, u8 image[16 * LINES])
{
    fx_store(cpu, image);
    for (unsigned i = 0; i < 16; i++)
        memcpy(image + 16 * (LINE_YMM + i), cpu->vec[i].b + 16, 16);
}

/* XMM and ST, and the upper halves, which the callback may refuse, are two calls. */
static bool fetch(struct emulator *e, unsigned needs)
{
    WHV_REGISTER_NAME names[FX_NAMES];
    u8 lines[FX_NAMES];
    WHV_REGISTER_VALUE values[FX_NAMES];
    unsigned n = fx_names(needs, names, lines);

    memset(values, 0, sizeof values);
    if (FAILED(e->callbacks.WHvEmulatorGetVirtualProcessorRegisters(e->context, names, n, values)))
        return false;
    for (unsigned i = 0; i < n; i++)
        memcpy(e->fx + 16 * lines[i], &values[i], 16);
    return true;
}

bool lines_load(struct emulator *e, unsigned needs)
{
    struct vcpu *cpu = e->cpu;
    const u16 fcs = cpu->x87.fcs, fds = cpu->x87.fds;
    u32 mask;

    store_lines(cpu, e->fx); /* what isn't asked for compares equal afterwards */
    if (needs & (NEEDS_XMM | NEEDS_X87) && !fetch(e, needs & (NEEDS_XMM | NEEDS_X87))) {
        e->status.GetVirtualProcessorRegistersCallbackFailed = 1;
        return false;
    }
    if (needs & NEEDS_YMM && !fetch(e, NEEDS_YMM)) {
        e->refused |= NEEDS_YMM;
        memset(e->fx + 16 * LINE_YMM, 0, 16 * (LINES - LINE_YMM));
    }
    mask = (u32)load_bytes(e->fx + FX_MXCSR + 4, 4) & e->mxcsr_mask;
    e->partition.mxcsr_mask = mask ? mask : e->mxcsr_mask; /* the partition may have no MM */
    if (load_bytes(e->fx + FX_MXCSR, 4) & ~(u64)e->partition.mxcsr_mask) {
        e->status.InternalEmulationFailure = 1;
        return false;
    }
    fx_load(cpu, e->fx);
    for (unsigned i = 0; i < 16; i++)
        memcpy(cpu->vec[i].b + 16, e->fx + 16 * (LINE_YMM + i), 16);
    if (e->needs & NEEDS_SELECTORS) { /* for which the image has no room */
        cpu->x87.fcs = fcs;
        cpu->x87.fds = fds;
    }
    store_lines(cpu, e->fx); /* as we write it */
    return true;
}

void lines_change(struct emulator *e)
{
    WHV_REGISTER_NAME names[FX_NAMES];
    u8 lines[FX_NAMES];
    _Alignas(16) u8 now[16 * LINES] = { 0 };
    unsigned n = fx_names(e->needs & ~e->refused, names, lines);

    store_lines(e->cpu, now);
    for (unsigned i = 0; i < n; i++) {
        u8 *was = e->fx + 16 * lines[i], *is = now + 16 * lines[i];

        if (memcmp(is, was, 16) != 0)
            memcpy(change(e, names[i]), is, 16);
    }
}
