/* SPDX-License-Identifier: MIT */
/*
 * The machine that vectors are replayed on: one processor at CPL 3 with paging on, every exception intercepted, the
 * file's regions as user pages and nothing else that a user may touch.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "replay.h"

enum {
    ARENA = 8 << 20,
    TABLES = 1 << 20, /* page tables below, GDT, LDT and TSS above */
    GDT = TABLES,
    LDT = TABLES + 0x10000,
    DATA = TABLES + 0x20000,
    TSS_OFFSET = 0x1ff00 /* past what selectors reach */
};
#define TABLES_LINEAR 0xffff900000000000u
#define HOSTS_LINEAR 0x7ffffffff000u /* where the capturing host had a page of its own: present, but not the user's */

static bool check(struct stage *s, HRESULT hr, const char *what)
{
    char text[512] = "";

    if (hr >= 0)
        return true;
    SwhpGetLastErrorText(text, sizeof text, NULL);
    return problem_is(&s->problem, STATUS_HOST, "%s: %08x: %s", what, (unsigned)hr, text);
}

static bool set_property(struct stage *s, uint32_t code, WHV_PARTITION_PROPERTY value)
{
    return check(s, WHvSetPartitionProperty(s->partition, (WHV_PARTITION_PROPERTY_CODE)code, &value, sizeof value),
                 "setting a property");
}

static bool make_partition(struct stage *s)
{
    WHV_CAPABILITY capability = {0};
    WHV_PARTITION_PROPERTY one = {.ProcessorCount = 1}, exits = {0}, bitmap = {0};
    WHV_PARTITION_PROPERTY policy = {.ProcessorCount = s->undefined}; /* is a UINT32 too */

    exits.ExtendedVmExits.ExceptionExit = 1;
    if (!check(s, WHvGetCapability(WHvCapabilityCodeExceptionExitBitmap, &capability, sizeof capability, NULL),
               "asking for capabilities"))
        return false;
    bitmap.ExceptionExitBitmap = capability.ExceptionExitBitmap;
    s->arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (s->arena == MAP_FAILED) {
        s->arena = NULL;
        return problem_is(&s->problem, STATUS_HOST, "the host has no memory");
    }
    return check(s, WHvCreatePartition(&s->partition), "creating a partition") &&
           set_property(s, WHvPartitionPropertyCodeProcessorCount, one) &&
           set_property(s, WHvPartitionPropertyCodeExtendedVmExits, exits) &&
           set_property(s, WHvPartitionPropertyCodeExceptionExitBitmap, bitmap) &&
           set_property(s, SwhpPartitionPropertyCodeUndefinedResults, policy) &&
           check(s, WHvSetupPartition(s->partition), "setting the partition up") &&
           check(s,
                 WHvMapGpaRange(s->partition, s->arena, 0, ARENA,
                                WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite | WHvMapGpaRangeFlagExecute),
                 "mapping memory") &&
           check(s, WHvCreateVirtualProcessor(s->partition, 0, 0), "creating a processor");
}

bool stage_open(struct stage *s, SWHP_UNDEFINED_RESULTS undefined, struct problem *problem)
{
    memset(s, 0, sizeof *s);
    s->undefined = undefined;
    if (make_partition(s))
        return true;
    *problem = s->problem;
    stage_close(s);
    return false;
}

static void free_regions(struct stage *s)
{
    for (int i = 0; i < REGIONS; i++) {
        free(s->filled[i]);
        free(s->wanted[i]);
        s->filled[i] = s->wanted[i] = NULL;
    }
}

void stage_close(struct stage *s)
{
    free_regions(s);
    if (s->partition)
        WHvDeletePartition(s->partition);
    if (s->arena)
        munmap(s->arena, ARENA);
}

/* ---- memory ---- */

/* A fresh page of the arena; 0: it is full. */
static uint32_t new_page(struct stage *s, uint32_t *top, uint32_t end)
{
    uint32_t page = *top;

    if (page + 4096 > end)
        return 0;
    memset(s->arena + page, 0, 4096);
    *top += 4096;
    return page;
}

static bool map_page(struct stage *s, uint64_t linear, uint32_t gpa, bool user, bool write, bool execute)
{
    uint64_t *entry = (uint64_t *)s->arena;

    for (int level = 3; level >= 0; level--) {
        entry += linear >> (12 + 9 * level) & 511;
        if (level == 0)
            break;
        if (!*entry) {
            uint32_t table = new_page(s, &s->table_top, TABLES);

            if (!table)
                return false;
            *entry = table | 7;
        }
        entry = (uint64_t *)(s->arena + (*entry & 0xffffffffff000));
    }
    *entry = gpa | 1u | (write ? 2u : 0) | (user ? 4u : 0) | 0x60u | (execute ? 0 : (uint64_t)1 << 63);
    return true;
}

static bool add_region(struct stage *s, const swv_region *r, int i)
{
    if (r->size > ARENA || r->base & 4095)
        return false;
    s->memory[i] = s->arena + s->data_top;
    for (uint32_t at = 0; at < r->size; at += 4096) {
        uint32_t page = new_page(s, &s->data_top, ARENA);

        if (!page || !map_page(s, r->base + at, page, true, r->prot & 2, r->prot & 4))
            return false;
    }
    s->filled[i] = malloc(r->size ? r->size : 1);
    s->wanted[i] = malloc(r->size ? r->size : 1);
    if (!s->filled[i] || !s->wanted[i])
        return false;
    for (uint32_t at = 0; at < r->size; at++)
        s->filled[i][at] = r->fill == 0xcc ? 0xcc : swv_bg(r->base + at);
    return true;
}

/* Descriptors stand in the GDT and the LDT; the last one of each sets the limit. */
static void load_tables(struct stage *s, const swv_file *f)
{
    s->gdt_limit = 7;
    s->ldt_limit = 0;
    s->arena[GDT + TSS_OFFSET + 0x66] = 0x68; /* no I/O permission bitmap */
    for (uint32_t i = 0; i < f->h.ndesc; i++) {
        bool is_local = f->desc[i].sel & 4;
        uint16_t sel = f->desc[i].sel & 0xfff8, *limit = is_local ? &s->ldt_limit : &s->gdt_limit;

        memcpy(s->arena + (is_local ? LDT : GDT) + sel, &f->desc[i].raw, 8);
        if (sel + 7 > *limit)
            *limit = (uint16_t)(sel + 7);
    }
}

bool stage_set(struct stage *s, const swv_file *f)
{
    bool fits = true;

    free_regions(s);
    memset(s->arena, 0, DATA);
    s->table_top = 4096;
    s->data_top = DATA;
    s->has_upper_halves = !strncmp(f->h.family, "avx", sizeof f->h.family) ||
                          !strncmp(f->h.family, "crypto", sizeof f->h.family);
    for (int i = 0; i < f->h.nregion && fits; i++)
        fits = add_region(s, &f->region[i], i);
    for (uint32_t at = 0; at < 0x20000 && fits; at += 4096)
        fits = map_page(s, TABLES_LINEAR + at, GDT + at, false, true, false);
    if (!fits || !map_page(s, HOSTS_LINEAR, GDT, false, false, false))
        return problem_is(&s->problem, STATUS_USAGE, "its regions make no sense, or need more than the %d MiB there are",
                          ARENA >> 20);
    load_tables(s, f);
    return true;
}

/* Bytes outside all regions are dropped: what would use them faults. */
static void write_bytes(const swv_file *f, uint8_t *const *at, uint64_t linear, const uint8_t *bytes, int n)
{
    for (int k = 0; k < n; k++)
        for (int i = 0; i < f->h.nregion; i++)
            if (linear + (uint64_t)k - f->region[i].base < f->region[i].size)
                at[i][linear + (uint64_t)k - f->region[i].base] = bytes[k];
}

static const swv_desc *descriptor_of(const swv_file *f, int which, uint16_t sel)
{
    for (uint32_t i = 0; sel != f->seg[which].sel && i < f->h.ndesc; i++)
        if (f->desc[i].sel == (sel & 0xfffc))
            return &f->desc[i];
    return NULL;
}

static uint64_t descriptor_base(const swv_desc *d)
{
    return (d->raw >> 16 & 0xffffff) | (d->raw >> 56) << 24;
}

static void prepare_memory(struct stage *s, const swv_file *f, const swv_vec *v)
{
    const swv_desc *cs = descriptor_of(f, 1, v->in.sel[1]);
    uint64_t linear = (cs ? descriptor_base(cs) : f->seg[1].base) + v->in.rip;

    for (int i = 0; i < f->h.nregion; i++)
        memcpy(s->memory[i], s->filled[i], f->region[i].size);
    for (int i = 0; i < v->ninmem; i++)
        write_bytes(f, s->memory, v->inmem[i].addr, v->inmem[i].p, v->inmem[i].len);
    write_bytes(f, s->memory, f->h.mode == 64 ? v->in.rip : (uint32_t)linear, v->code, v->h.ilen);
    for (int i = 0; i < f->h.nregion; i++)
        memcpy(s->wanted[i], s->memory[i], f->region[i].size);
    for (int i = 0; i < v->noutmem; i++)
        write_bytes(f, s->wanted, v->outmem[i].addr, v->outmem[i].p, v->outmem[i].len);
}

/* ---- registers ---- */

struct registers {
    WHV_REGISTER_NAME name[96];
    WHV_REGISTER_VALUE value[96];
    unsigned n;
};

static WHV_REGISTER_VALUE *add(struct registers *r, uint32_t name)
{
    r->name[r->n] = (WHV_REGISTER_NAME)name;
    memset(&r->value[r->n], 0, sizeof r->value[r->n]);
    return &r->value[r->n++];
}

static const uint32_t segment_names[6] = {WHvX64RegisterEs, WHvX64RegisterCs, WHvX64RegisterSs,
                                          WHvX64RegisterDs, WHvX64RegisterFs, WHvX64RegisterGs};

/* The descriptor behind a selector, as a segment register holds it. */
static void add_segment(struct registers *r, const swv_file *f, int which, const swv_state *state)
{
    WHV_X64_SEGMENT_REGISTER *to = &add(r, segment_names[which])->Segment;
    const swv_seg *seg = &f->seg[which];
    const swv_desc *d = descriptor_of(f, which, state->sel[which]);

    to->Selector = state->sel[which];
    if (state->sel[which] == seg->sel) {
        to->Base = seg->base;
        to->Limit = seg->limit;
        to->Attributes = seg->attr & 0xf0ff;
    } else if (d) {
        to->Base = descriptor_base(d);
        to->Limit = (uint32_t)((d->raw & 0xffff) | (d->raw >> 32 & 0xf0000));
        if (d->raw >> 55 & 1)
            to->Limit = to->Limit << 12 | 0xfff;
        to->Attributes = (uint16_t)((d->raw >> 40 & 0xf0ff) | 1);
    }
    if (which == 4 && f->h.mode == 64)
        to->Base = state->fsbase;
    if (which == 5 && f->h.mode == 64)
        to->Base = state->gsbase;
}

static void add_system(struct registers *r, const struct stage *s)
{
    WHV_REGISTER_VALUE *v;

    add(r, WHvX64RegisterCr0)->Reg64 = 0x80050033;
    add(r, WHvX64RegisterCr3)->Reg64 = 0;
    add(r, WHvX64RegisterCr4)->Reg64 = 0x50e20;
    add(r, WHvX64RegisterXCr0)->Reg64 = 7;
    add(r, WHvX64RegisterEfer)->Reg64 = 0xd01;
    v = add(r, WHvX64RegisterGdtr);
    v->Table.Base = TABLES_LINEAR;
    v->Table.Limit = s->gdt_limit;
    v = add(r, WHvX64RegisterLdtr);
    v->Segment = (WHV_X64_SEGMENT_REGISTER){.Base = TABLES_LINEAR + 0x10000, .Limit = s->ldt_limit, .Selector = 0x80};
    v->Segment.Attributes = s->ldt_limit ? 0x82 : 0;
    v = add(r, WHvX64RegisterTr);
    v->Segment = (WHV_X64_SEGMENT_REGISTER){.Base = TABLES_LINEAR + TSS_OFFSET, .Limit = 0x67, .Selector = 0x40};
    v->Segment.Attributes = 0x8b;
}

/* The upper halves of YMM registers have no names: they are in the XSAVE image. */
enum { UPPER_AT = 576 };

static bool exchange_upper(struct stage *s, swv_state *get, const swv_state *set)
{
    static _Thread_local uint8_t image[4096];
    UINT32 size;

    if (!check(s, WHvGetVirtualProcessorXsaveState(s->partition, 0, image, sizeof image, &size), "getting XSAVE state"))
        return false;
    if (get)
        memcpy(get->ymmh, image + UPPER_AT, sizeof get->ymmh);
    if (!set)
        return true;
    memcpy(image + UPPER_AT, set->ymmh, sizeof set->ymmh);
    return check(s, WHvSetVirtualProcessorXsaveState(s->partition, 0, image, size), "setting XSAVE state");
}

static bool set_state(struct stage *s, const swv_file *f, const swv_state *state)
{
    struct registers r = {.n = 0};
    WHV_REGISTER_VALUE *v;

    add_system(&r, s);
    for (uint32_t i = 0; i < 16; i++)
        add(&r, WHvX64RegisterRax + i)->Reg64 = state->gpr[i];
    add(&r, WHvX64RegisterRip)->Reg64 = state->rip;
    add(&r, WHvX64RegisterRflags)->Reg64 = state->rflags | 2;
    add(&r, WHvX64RegisterPendingDebugException); /* none is left of the record before */
    for (int i = 0; i < 6; i++)
        add_segment(&r, f, i, state);
    v = add(&r, WHvX64RegisterFpControlStatus);
    v->FpControlStatus.FpControl = state->fcw;
    v->FpControlStatus.FpStatus = state->fsw;
    v->FpControlStatus.FpTag = state->ftw;
    v = add(&r, WHvX64RegisterXmmControlStatus);
    v->XmmControlStatus.XmmStatusControl = state->mxcsr;
    v->XmmControlStatus.XmmStatusControlMask = 0x2ffff;
    for (uint32_t i = 0; i < 8; i++)
        memcpy(add(&r, WHvX64RegisterFpMmx0 + i), state->st[i], 10);
    for (uint32_t i = 0; i < 16; i++)
        memcpy(add(&r, WHvX64RegisterXmm0 + i), state->xmm[i], 16);
    return check(s, WHvSetVirtualProcessorRegisters(s->partition, 0, r.name, r.n, r.value), "setting registers") &&
           (!s->has_upper_halves || exchange_upper(s, NULL, state));
}

static bool get_state(struct stage *s, swv_state *state)
{
    struct registers r = {.n = 0};
    const WHV_REGISTER_VALUE *v = r.value;

    for (uint32_t i = 0; i < 18; i++)
        add(&r, WHvX64RegisterRax + i);
    for (int i = 0; i < 6; i++)
        add(&r, segment_names[i]);
    add(&r, WHvX64RegisterFpControlStatus);
    add(&r, WHvX64RegisterXmmControlStatus);
    for (uint32_t i = 0; i < 8; i++)
        add(&r, WHvX64RegisterFpMmx0 + i);
    for (uint32_t i = 0; i < 16; i++)
        add(&r, WHvX64RegisterXmm0 + i);
    if (!check(s, WHvGetVirtualProcessorRegisters(s->partition, 0, r.name, r.n, r.value), "getting registers"))
        return false;
    for (int i = 0; i < 16; i++)
        state->gpr[i] = v++->Reg64;
    state->rip = v++->Reg64;
    state->rflags = v++->Reg64;
    state->fsbase = v[4].Segment.Base;
    state->gsbase = v[5].Segment.Base;
    for (int i = 0; i < 6; i++)
        state->sel[i] = v++->Segment.Selector;
    state->fcw = v->FpControlStatus.FpControl;
    state->fsw = v->FpControlStatus.FpStatus;
    state->ftw = v++->FpControlStatus.FpTag;
    state->mxcsr = v++->XmmControlStatus.XmmStatusControl;
    for (int i = 0; i < 8; i++)
        memcpy(state->st[i], v++, 10);
    for (int i = 0; i < 16; i++)
        memcpy(state->xmm[i], v++, 16);
    return !s->has_upper_halves || exchange_upper(s, state, NULL);
}

/* ---- one record ---- */

/*
 * A REP instruction takes a count for each round; this many no record has. A single-step trap comes before a second count
 * begins.
 */
enum { ROUNDS = 70000 };

bool stage_play(struct stage *s, const swv_file *f, const swv_vec *v, struct outcome *o, swv_state *got)
{
    WHV_RUN_VP_EXIT_CONTEXT x = {0};
    UINT64 count;

    *o = (struct outcome){.vector = 0xff};
    *got = v->in;
    prepare_memory(s, f, v);
    if (!set_state(s, f, &v->in))
        return false;
    for (unsigned round = 0; round < ROUNDS; round++) {
        if (!check(s, SwhpGetInstructionCount(s->partition, 0, &count), "counting") ||
            !check(s, SwhpRunVirtualProcessorUntil(s->partition, 0, count + 1 + (v->h.vector == 1), &x, sizeof x), "running"))
            return false;
        if (x.ExitReason != SwhpRunVpExitReasonCount || x.VpContext.Rip != v->in.rip ||
            (v->out.rip == v->in.rip && v->h.vector == 0xff))
            break;
    }
    o->reason = (uint32_t)x.ExitReason;
    if (!get_state(s, got))
        return false;
    if (x.ExitReason == WHvRunVpExitReasonException) {
        o->vector = x.VpException.ExceptionType;
        o->error = x.VpException.ExceptionInfo.ErrorCodeValid ? x.VpException.ErrorCode : 0;
        o->cr2 = x.VpException.ExceptionParameter;
        /* These are traps, and the exit stands at the instruction. */
        if (o->vector == 3 || o->vector == 4 || (o->vector == 1 && x.VpException.ExceptionInfo.SoftwareException))
            got->rip += x.VpContext.InstructionLength;
    }
    return true;
}
