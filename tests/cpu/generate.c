/* SPDX-License-Identifier: MIT */
/* What random sequences are made of, how often, and where they lie. */
#include <string.h>

#include "tests/cpu/draft.h"

static void rare(struct draft *d)
{
    switch (pick(d, 12)) {
    case 8: emit_moffs(d); break;
    case 9: chance(d, 50) ? emit_moffs(d) : emit_line(d); break;
    case 10: emit_wild_stack(d); break;
    case 11: /* INT n where Linux lets none in */
        if (chance(d, 10) && d->is_amd)
            emit_bytes(d, (u8[]){ 0xcd, (u8[]){ 0, 1, 2, 5, 6, 13, 14, 0x20, 0x81, 0xff }[pick(d, 10)] }, 2);
        break;
    case 0: d->has_newer ? emit_gather(d) : emit_bit_string(d); break;
    case 1: emit_bit_string(d); break;
    case 2:
    case 3: emit_control(d); break;
    case 4:
    case 5: emit_state(d); break;
    case 6: d->is_wide ? emit_bit_string(d) : emit_old(d); break;
    default: chance(d, 10) ? emit_narrow_branch(d) : emit_old(d); break;
    }
}

void emit_some(struct draft *d, unsigned n, unsigned depth)
{
    for (unsigned i = 0; i < n && !d->failed; i++) {
        unsigned way = pick(d, 110);

        if (depth == 0 || way < 60)
            way < 66 || depth == 0 ? emit_integer(d) : emit_vector(d);
        else if (way < 67)
            emit_vector(d);
        else if (way < 70)
            emit_x87(d);
        else if (way < 71)
            emit_mmx(d);
        else if (way < 80)
            emit_skipped(d, depth - 1);
        else if (way < 83)
            emit_loop(d, depth - 1);
        else if (way < 86)
            emit_call(d);
        else if (way < 90)
            emit_push_and_pop(d, depth - 1);
        else if (way < 92)
            emit_string(d);
        else if (way < 94)
            emit_flags_by_stack(d);
        else if (way < 96)
            emit_division(d);
        else if (way < 97)
            emit_patch(d, depth - 1);
        else if (way < 98)
            emit_enter_and_leave(d, depth - 1);
        else if (way < 100)
            emit_bytes_between(d);
        else if (way < 106)
            emit_anything(d);
        else if (d->s->has_bases && chance(d, 60))
            emit_far_place(d);
        else if (d->has_segments && chance(d, 40))
            emit_segment(d);
        else
            rare(d);
    }
}

/* Elsewhere all runs are our own, and agree about anything. */
static bool host_has_newer(void)
{
#ifdef __x86_64__
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("vaes") && __builtin_cpu_supports("pclmul");
#else
    return true;
#endif
}

/*
 * 16-bit code has four registers for addresses: of those one for bases, the same for both, and half the time one for an index,
 * or strings would have none.
 */
static void choose_bases_16(struct draft *d)
{
    static const u8 registers[] = { RBX, RBP, RSI, RDI };
    unsigned base = registers[pick(d, 4)];

    d->free = 0xffu & ~(1u << RSP | 1u << base);
    d->base[0] = d->base[1] = d->index = base;
    if (chance(d, 50)) {
        d->index = base == RBX || base == RBP ? registers[2 + pick(d, 2)] : registers[pick(d, 2)];
        d->free &= ~(1u << d->index);
    }
}

static bool host_has_bases(void)
{
#ifdef __x86_64__
    return native_has_bases();
#else
    return true;
#endif
}

static bool host_has_gfni(void)
{
#ifdef __x86_64__
    return __builtin_cpu_supports("gfni");
#else
    return true;
#endif
}

/* Three registers for addresses in 64-bit code, two in 32-bit code, which has fewer; never one that is implied often. */
static void choose_bases(struct draft *d)
{
    if (d->is_16) {
        choose_bases_16(d);
        return;
    }
    d->free = (d->is_wide ? 0xffffu : 0xffu) & ~(1u << RSP);
    for (unsigned i = 0; i < 3; i++) {
        unsigned reg;

        if (i == 1 && !d->is_wide) {
            d->base[1] = d->base[0];
            continue;
        }
        do
            reg = free_register(d);
        while (reg == RAX || reg == RCX || reg == RDX);
        *(i < 2 ? &d->base[i] : &d->index) = reg;
        d->free &= ~(1u << reg);
    }
}

bool host_is_amd(void)
{
#ifdef __x86_64__
    return native_is_amd();
#else
    return true;
#endif
}

void sequence_generate(struct sequence *s, u64 seed, unsigned mode)
{
    struct draft d = { .s = s };

    for (u64 attempt = 0;; attempt++) {
        memset(s, 0, sizeof *s);
        d = (struct draft){ .s = s, .random = seed * 0x2545f4914f6cdd1d + attempt };
        s->seed = seed;
        s->mode = (u8)mode;
        d.is_wide = mode == 64;
        d.is_16 = mode == 16;
        d.is_amd = host_is_amd();
        choose_segments(&d);
        s->has_bases = d.is_wide && d.is_amd && chance(&d, 30) && host_has_bases();
        if (s->has_bases)
            choose_far_places(&d);
        choose_bases(&d);
        d.has_newer = chance(&d, 40) && host_has_newer();
        d.has_gfni = d.has_newer && host_has_gfni();
        if (d.has_newer)
            EMIT(&d, 0xc5, 0xf8, 0x77); /* VZEROUPPER: the upper halves aren't part of the start */
        emit_some(&d, 2 + pick(&d, 30), 3);
        if (d.has_newer)
            emit_upper_halves(&d);
        EMIT(&d, 0xf4);
        append_functions(&d);

        unsigned where = pick(&d, d.has_segments ? 5 : 4);

        s->code_offset = where == 0   ? 0x1000 - pick(&d, 120)
                         : where == 1 ? 0x2000 - pick(&d, 300)
                         : where == 2 ? pick(&d, 0x800)
                         : where == 4 ? CODE_SIZE - pick(&d, 400)
                                      : pick(&d, 64) * 16;
        s->random_memory = random_next(&d.random);
        for (unsigned i = 0; i < 16; i++)
            s->role[i] = i == d.base[0]   ? ROLE_ALIGNED
                         : i == d.base[1] ? ROLE_BASE
                         : i == d.index   ? ROLE_INDEX
                                          : ROLE_FREE;
        if (!d.failed && sequence_layout(s))
            return;
    }
}
