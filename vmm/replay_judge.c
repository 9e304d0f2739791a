/* SPDX-License-Identifier: MIT */
/* Whether an instruction did what the processor did, and what differs where it didn't. */
#include <string.h>

#include "replay.h"

static const char *register_name(int id, char text[16])
{
    static const char *const plain[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",    "r8",  "r9",  "r10",
                                        "r11", "r12", "r13", "r14", "r15", "rip", "rflags", "fcw", "fsw", "ftw", "mxcsr"};
    static const char *const segments[] = {"es", "cs", "ss", "ds", "fs", "gs"};
    static const struct {
        const char *name;
        int first;
    } groups[] = {{"ymmh", SWV_YMMH}, {"xmm", SWV_XMM}, {"st", SWV_ST}};
    unsigned g = 0;

    if (id < SWV_ST)
        return plain[id];
    if (id >= SWV_SEL)
        return segments[id - SWV_SEL];
    if (id >= SWV_FSBASE)
        return id == SWV_FSBASE ? "fs base" : "gs base";
    while (id < groups[g].first)
        g++;
    snprintf(text, 16, "%s%d", groups[g].name, id - groups[g].first);
    return text;
}

/* Most significant byte first, so that it reads as a number. */
static void put_number(FILE *to, const char *tag, const void *bytes, int size)
{
    const uint8_t *p = bytes;

    fprintf(to, "  %s ", tag);
    while (size-- > 0)
        fprintf(to, "%02x", p[size]);
}

/*
 * Approximate instructions: RCPPS and RSQRTPS within 1.5 * 2^-12 of the exact result, so twice that of each other;
 * transcendental ones of the x87 within one unit in the last place (of 64 bits), with either rounding told by C1.
 */
static bool is_near_float(const uint8_t *a, const uint8_t *b)
{
    for (int i = 0; i < 16; i += 4) {
        float x, y;

        memcpy(&x, a + i, 4);
        memcpy(&y, b + i, 4);
        if (memcmp(a + i, b + i, 4) && !(__builtin_fabsf(x - y) <= 3 * __builtin_fabsf(x) / 4096))
            return false;
    }
    return true;
}

static bool is_near_extended(const uint8_t *a, const uint8_t *b)
{
    __int128 x = 0, y = 0;

    memcpy(&x, a, 10); /* neighbours in value are neighbours as integers, but for the explicit bit */
    memcpy(&y, b, 10);
    x = (x >> 64 << 63) | (x & ~0ull >> 1);
    y = (y >> 64 << 63) | (y & ~0ull >> 1);
    return x - y <= 1 && y - x <= 1;
}

static bool is_near(int id, const uint8_t *want, const uint8_t *got)
{
    if (id >= SWV_ST && id < SWV_ST + 8)
        return is_near_extended(want, got);
    return id >= SWV_XMM && id < SWV_FSBASE && is_near_float(want, got);
}

/* What nobody promises is taken away from both sides; where the policy promises zero, from the processor's. */
static void drop_undefined(const struct stage *s, const swv_file *f, const swv_vec *v, swv_state *want, swv_state *got)
{
    uint64_t flags = v->h.undef | (uint64_t)1 << 16;
    bool is_zero = s->undefined == SwhpUndefinedZero;

    /* Leaving the kernel by IRET clears the RPL of null selectors: the capture shows 0 for them. */
    for (int i = 0; i < 6; i++)
        if (want->sel[i] < 4 && got->sel[i] < 4)
            want->sel[i] = got->sel[i] = 0;
    /* After a far transfer to the host's flat segments a RIP inside the file's code has the file's CS base taken off. */
    if (f->h.mode != 64 && (want->sel[1] == 0x23 || want->sel[1] == 0x33) && want->rip + f->seg[1].base == got->rip)
        want->rip = got->rip;
    want->rflags = (want->rflags | 2) & ~flags;
    got->rflags &= is_zero ? ~((uint64_t)1 << 16) : ~flags;
    for (int i = 0; i < 4; i++) {
        uint16_t bit = (uint16_t)(i == 3 ? 1 << 14 : 1 << (8 + i));

        bool is_undefined = v->h.undef_fsw >> i & 1, is_approximate = i == 1 && (v->h.flags & SWV_F_APPROX);

        if (is_undefined || is_approximate)
            want->fsw &= (uint16_t)~bit;
        if (is_approximate || (is_undefined && !is_zero))
            got->fsw &= (uint16_t)~bit;
    }
}

/* Is this register there, in the file's mode and family? */
static bool exists(const struct stage *s, const swv_file *f, int id)
{
    if (id >= SWV_YMMH && id < SWV_FSBASE && !s->has_upper_halves)
        return false;
    if (f->h.mode == 64)
        return true;
    return !((id >= 8 && id < 16) || (id >= SWV_XMM + 8 && id < SWV_XMM + 16) || (id >= SWV_YMMH + 8 && id < SWV_SEL));
}

static bool registers_equal(const struct stage *s, const swv_file *f, const swv_vec *v, const swv_state *result,
                            bool *flags_alone, FILE *to)
{
    swv_state want = v->out, got = *result, in = v->in;
    bool same = true;
    char text[16];

    *flags_alone = true;
    drop_undefined(s, f, v, &want, &got);
    for (int id = 0; id < SWV_K; id++) {
        const uint8_t *w = swv_reg(&want, id), *g = swv_reg(&got, id);
        int size = f->h.mode != 64 && id < 16 ? 4 : swv_reg_size(id);

        if (!w || !exists(s, f, id) || !memcmp(w, g, (size_t)size))
            continue;
        if ((v->h.flags & SWV_F_APPROX) && is_near(id, w, g))
            continue;
        same = false;
        *flags_alone = *flags_alone && (id == SWV_RFLAGS || id == SWV_FSW || id == SWV_MXCSR);
        if (!to)
            continue;
        fprintf(to, "    %-7s", register_name(id, text));
        put_number(to, "in", swv_reg(&in, id), size);
        put_number(to, "want", w, size);
        put_number(to, "got", g, size);
        fputc('\n', to);
    }
    return same;
}

static bool memory_equal(const struct stage *s, const swv_file *f, FILE *to)
{
    bool same = true;

    for (int i = 0; i < f->h.nregion; i++) {
        if (!memcmp(s->memory[i], s->wanted[i], f->region[i].size))
            continue;
        same = false;
        for (uint32_t at = 0; to && at < f->region[i].size; at++)
            if (s->memory[i][at] != s->wanted[i][at])
                fprintf(to, "    [%llx]  want %02x  got %02x\n", (unsigned long long)(f->region[i].base + at),
                        s->wanted[i][at], s->memory[i][at]);
    }
    return same;
}

static bool outcomes_equal(const swv_vec *v, const struct outcome *o, FILE *to)
{
    uint32_t mask = v->h.flags & SWV_F_NONREP ? ~1u : ~0u;
    bool same = o->vector == v->h.vector;

    if (same && o->vector == 0xff)
        same = o->reason == (uint32_t)SwhpRunVpExitReasonCount;
    else if (same)
        same = (o->error & mask) == (v->err & mask) && (o->vector != 14 || o->cr2 == v->cr2);
    if (!same && to && v->h.vector == 0xff)
        fprintf(to, "    want no fault");
    else if (!same && to)
        fprintf(to, "    want vector %d, error %x, cr2 %llx", v->h.vector, v->err, (unsigned long long)v->cr2);
    if (!same && to && o->vector == 0xff)
        fprintf(to, "; got none, exit %x\n", o->reason);
    else if (!same && to)
        fprintf(to, "; got vector %d, error %x, cr2 %llx\n", o->vector, o->error, (unsigned long long)o->cr2);
    return same;
}

const char *judge_kind(const struct stage *s, const swv_file *f, const swv_vec *v, const struct outcome *o,
                       const swv_state *got)
{
    bool flags_alone;

    if (!outcomes_equal(v, o, NULL))
        return "fault";
    if (v->h.flags & SWV_F_RESULT_UNDEF)
        return NULL;
    if (!registers_equal(s, f, v, got, &flags_alone, NULL))
        return flags_alone ? "flags" : "result";
    return v->h.flags & SWV_F_ENVMEM || memory_equal(s, f, NULL) ? NULL : "memory";
}

void judge_tell(const struct stage *s, const swv_file *f, const swv_vec *v, const struct outcome *o,
                const swv_state *got, FILE *to)
{
    bool flags_alone;

    (void)outcomes_equal(v, o, to);
    (void)registers_equal(s, f, v, got, &flags_alone, to);
    if (!(v->h.flags & SWV_F_ENVMEM))
        (void)memory_equal(s, f, to);
}
