/* SPDX-License-Identifier: MIT */
/* Finding blocks and making them: straight runs of instructions, bound to their handlers. */
#include "decoder/block.h"

#include <Zydis/Mnemonic.h>

#include "decoder/decode.h"
#include "mem/alias.h"
#include "mem/place.h"
#include "mem/ram.h"
#include "mem/tlb.h"
#include "state/host.h"
#include "state/partition.h"

enum { POOL_SIZE = 32 << 20, BLOCK_ROOM = 4096 };

bool code_init(struct vcpu *cpu)
{
    cpu->code = host_alloc(sizeof *cpu->code + POOL_SIZE);
    if (!cpu->code)
        return false;
    cpu->code->size = POOL_SIZE;
    cpu->generation = cpu->run = 1;
    code_forget(cpu);
    return true;
}

void code_free(struct vcpu *cpu)
{
    if (cpu->code)
        host_free(cpu->code, sizeof *cpu->code + POOL_SIZE);
    cpu->code = NULL;
}

void code_forget(struct vcpu *cpu)
{
    memset(cpu->code->hash, 0, sizeof cpu->code->hash);
    memset(cpu->code->page, 0, sizeof cpu->code->page);
    memset(cpu->jumps, 0, sizeof cpu->jumps);
    for (unsigned i = 0; i < RETURNS; i++)
        cpu->returns[i] = (struct return_to){ &cpu->nowhere, 0 };
    cpu->code->used = 0;
    cpu->link = NULL;
    if (cpu->generation == 0)
        cpu->generation = 1;
}

/* What is being made, before its size is known. */
struct draft {
    struct insn insn[BLOCK_INSNS + 2];
    struct decoded decoded[BLOCK_INSNS];
    unsigned n;
    u64 rip, next_rip;   /* of the first instruction, and past the last one looked at */
    u64 code_base;
    const u8 *page;      /* the host's address of the page */
    unsigned ranges;
    struct {
        u16 offset, size;
    } range[3];
    u8 text[BLOCK_INSNS * 15]; /* what was decoded: memory may change meanwhile */
    unsigned bytes;
    unsigned crossing;   /* size of an instruction that goes on on the next page; 0: it doesn't */
    u64 second_gpa;
    bool has_exits;
    bool has_aliases;    /* writes to the page may come by other addresses, unseen */
};

/* How many bytes from RIP on may be fetched under CS's limit, at most `most`. */
static unsigned limit_bytes(const struct vcpu *cpu, u64 rip, unsigned most)
{
    if (in_code64(cpu))
        return most;
    if (rip > cpu->seg[CS].limit)
        return 0;
    u64 left = (u64)cpu->seg[CS].limit - rip + 1;

    return left < most ? (unsigned)left : most;
}

static u64 linear_of(const struct vcpu *cpu, u64 rip)
{
    return in_code64(cpu) ? rip : (u32)(cpu->seg[CS].base + rip);
}

/* An instruction that isn't carried out but raises. */
static void put_fault(struct draft *draft, struct insn *in, struct decoded *d, run_fn *run)
{
    (void)draft;
    in->run = run;
    in->length = 0;
    in->shape = S_;
    d->attributes = ENDS;
    d->may_fault = true;
}

/* The first instruction of a block when its bytes go on on the next page: fetches from there too. */
static void decode_crossing(struct vcpu *cpu, u32 mode, struct draft *draft, unsigned offset, unsigned first)
{
    struct insn *in = &draft->insn[0];
    struct decoded *d = &draft->decoded[0];
    unsigned most = limit_bytes(cpu, draft->rip, 15);

    copy_bytes(draft->text, draft->page + offset, first);

    const u8 *second = fetch_page(cpu, linear_of(cpu, draft->rip + first), &draft->second_gpa);

    code_claim(cpu, draft->second_gpa);
    copy_bytes(draft->text + first, second, most - first);
    switch (decode(&cpu->partition->has, mode, draft->text, most, offset, in, d)) {
    case DECODE_MORE:
    case DECODE_TOO_LONG:
        put_fault(draft, in, d, run_gp);
        break;
    default:
        break;
    }
    draft->crossing = in->length > first ? in->length : most;
    draft->n = 1;
    draft->next_rip = draft->rip + in->length;
}

/* Where a relative branch goes, cut to its width; false if it may not go there (#GP). */
static bool branch_target(const struct vcpu *cpu, u64 rip, const struct decoded *d, u64 *target)
{
    *target = rip + (u64)d->branch;
    if (d->branch_width == W16)
        *target = (u16)*target;
    else if (d->branch_width == W32)
        *target = (u32)*target;
    return in_code64(cpu) ? is_canonical(cpu, *target) : *target <= cpu->seg[CS].limit;
}

static bool fits(u64 offset)
{
    return (u64)(i64)(i32)offset == offset;
}

static bool follows_jump(const struct draft *draft, u64 target)
{
    u64 offset = target - draft->code_base;

    if (offset >= PAGE_SIZE || draft->ranges == 3)
        return false;
    for (unsigned i = 0; i < draft->ranges; i++)
        if (offset >= draft->range[i].offset && offset < (u64)draft->range[i].offset + draft->range[i].size)
            return false;
    return true;
}

/*
 * Decodes on from draft->next_rip until something ends the block. Each turn adds one instruction, but for bytes that the
 * page's end or the limit cut off: those begin a block of their own.
 */
static void decode_run(struct vcpu *cpu, u32 mode, struct draft *draft)
{
    unsigned most = mode & MODE_ONE || draft->has_aliases ? 1 : BLOCK_INSNS;

    while (draft->n < most) {
        struct insn *in = &draft->insn[draft->n];
        struct decoded *d = &draft->decoded[draft->n];
        u64 rip = draft->next_rip, target;
        unsigned offset = (unsigned)(rip - draft->code_base), room, size;

        if (offset >= PAGE_SIZE)
            return;
        room = PAGE_SIZE - offset < 15 ? PAGE_SIZE - offset : 15;
        size = limit_bytes(cpu, rip, room);
        copy_bytes(draft->text + draft->bytes, draft->page + offset, size);
        switch (decode(&cpu->partition->has, mode, draft->text + draft->bytes, size, offset, in, d)) {
        case DECODE_MORE:
            if (draft->n > 0)
                return;
            if (limit_bytes(cpu, rip, 15) == size) { /* SDM 3A 5.3: the limit comes first, also where the page ends with it */
                put_fault(draft, in, d, run_gp);
                break;
            }
            decode_crossing(cpu, mode, draft, offset, size);
            return;
        case DECODE_TOO_LONG:
            put_fault(draft, in, d, run_gp);
            break;
        default:
            break;
        }
        draft->n++;
        draft->next_rip = rip + in->length;

        unsigned text = in->length ? in->length : size; /* what made it a fault is what must not change */

        draft->bytes += text;
        if (draft->ranges && draft->range[draft->ranges - 1].offset + draft->range[draft->ranges - 1].size == offset)
            draft->range[draft->ranges - 1].size = (u16)(draft->range[draft->ranges - 1].size + text);
        else {
            draft->range[draft->ranges].offset = (u16)offset;
            draft->range[draft->ranges++].size = (u16)text;
        }
        if (in->op == ZYDIS_MNEMONIC_JMP && d->is_relative && !(mode & MODE_ONE) && draft->n < most &&
            branch_target(cpu, rip, d, &target) && follows_jump(draft, target)) {
            in->run = run_nothing;
            d->attributes = d->flags_read = 0;
            d->may_fault = false;
            draft->next_rip = target;
            continue;
        }
        if (d->attributes & (ENDS | BRANCH))
            return;
    }
}

/* Gives the last instruction, or the end behind it, its exits. */
static void put_exits(struct vcpu *cpu, struct draft *draft)
{
    struct insn *last = &draft->insn[draft->n - 1];
    struct decoded *d = &draft->decoded[draft->n - 1];
    struct exits *exits;
    u64 fall = draft->next_rip - draft->code_base, target = 0;

    if (last->run && last->run != run_nothing && last->run != run_mf_or_body) /* raises: nothing follows */
        return;
    if (d->attributes & ENDS)
        return;
    if (d->attributes & BRANCH) {
        bool goes = true;

        if (d->is_relative) {
            goes = branch_target(cpu, draft->code_base + last->offset, d, &target);
            last->imm = target;
        }
        target -= draft->code_base;
        if (!goes || (d->is_relative && !fits(target)) || !fits(fall)) {
            last->run = run_last;
            return;
        }
    } else {
        struct insn *end = &draft->insn[draft->n];

        memset(end, 0, sizeof *end);
        end->run = run_end;
        end->offset = fall & 0xfff;
        last = end;
    }
    draft->has_exits = true;
    exits = (struct exits *)(last + 1);
    *exits = (struct exits){ .taken_offset = (i32)target, .fall_offset = (i32)fall };
}

/* Binds each instruction to its handler, from the last to the first: that way it's known which flags somebody reads. */
static void bind(struct vcpu *cpu, u32 mode, struct draft *draft)
{
    bool has_policy = cpu->partition->undefined != SwhpUndefinedAsHardware;
    u32 live = STATUS;

    for (unsigned i = draft->n; i-- > 0;) {
        struct insn *in = &draft->insn[i];
        struct decoded *d = &draft->decoded[i];
        bind_fn *choose = ops[in->op].bind;

        in->left = (u8)(draft->n - i);
        if (has_policy && (!in->run || in->run == run_mf_or_body) && is_left_undefined(in, live))
            in->run = run_undefined;
        if (!in->run && choose)
            in->run = choose(in, mode, live);
        if (!in->run)
            in->run = d->attributes & (ENDS | BRANCH) ? run_last : run_body;
        live = d->may_fault ? STATUS : (live & ~d->flags_written) | d->flags_read;
    }
    if (mode & MODE_ONE)
        return;
    for (unsigned i = 0; i + 1 < draft->n; i++) {
        bool is_alone = draft->insn[i].run == run_undefined;
        run_fn *fused = is_alone ? NULL : bind_fused(&draft->insn[i], mode, draft->n - i);

        if (fused)
            draft->insn[i].run = fused;
    }
}

static u64 granules_between(unsigned offset, unsigned size)
{
    unsigned first = offset / 64, last = (offset + size - 1) / 64;

    return size ? ones(last + 1) & ~(((u64)1 << first) - 1) : 0;
}

static struct block *block_make(struct vcpu *cpu, u32 mode, u64 gpa, const u8 *host)
{
    struct code *code = cpu->code;
    struct draft draft;
    unsigned offset = (unsigned)(gpa & ~PAGE_MASK);

    draft.n = draft.ranges = draft.bytes = draft.crossing = 0;
    draft.has_exits = false;
    draft.rip = draft.next_rip = cpu->rip;
    draft.code_base = cpu->rip - offset;
    draft.page = host - offset;
    draft.has_aliases = alias_at(ram_aliases(cpu->partition->ram), (u64)(uintptr_t)host);
    decode_run(cpu, mode, &draft);
    put_exits(cpu, &draft);
    bind(cpu, mode, &draft);

    if (code->used + BLOCK_ROOM > code->size)
        code_forget(cpu);
    struct block *b = (struct block *)(code->pool + code->used);
    unsigned slots = draft.n;

    if (draft.has_exits) /* the branch's exits, or the end and its exits */
        slots += draft.decoded[draft.n - 1].attributes & BRANCH ? 1 : 2;
    memset(b, 0, sizeof *b);
    b->gpa = gpa;
    b->rip = cpu->rip;
    b->cs_base = cpu->seg[CS].base;
    b->cs_limit = cpu->seg[CS].limit;
    b->mode = mode;
    b->checked = cpu->run;
    b->slots = (u16)slots;
    b->host = draft.page;
    b->placed = cpu->page_generation;
    b->n = draft.n;
    b->enter.run = run_enter;
    b->enter.imm = draft.code_base;
    b->enter.size = draft.n;
    b->is_alone = draft.crossing || draft.has_aliases;
    memcpy(b->insn, draft.insn, slots * sizeof *b->insn);

    u8 *text = (u8 *)(b->insn + slots);

    if (draft.crossing) {
        b->crosses = 1;
        b->bytes = (u16)draft.crossing;
        b->granules = granules_between(offset, PAGE_SIZE - offset);
    } else {
        b->ranges = (u8)draft.ranges;
        b->bytes = (u16)draft.bytes;
        for (unsigned i = 0; i < draft.ranges; i++) {
            b->range[i].offset = draft.range[i].offset;
            b->range[i].size = draft.range[i].size;
            b->granules |= granules_between(b->range[i].offset, b->range[i].size);
        }
    }
    memcpy(text, draft.text, b->bytes);
    code->used += (sizeof *b + slots * sizeof *b->insn + b->bytes + 63) & ~(u64)63;
    b->hash_next = *code_slot(cpu->code, gpa, cpu->rip);
    *code_slot(cpu->code, gpa, cpu->rip) = b;
    block_mark(cpu, b, gpa, b->granules);
    if (draft.crossing)
        block_mark(cpu, b, draft.second_gpa & PAGE_MASK, 1);
    return b;
}

/* A block whose instruction goes on on the next page is compared each time, the page translated anew. */
static bool crossing_is_current(struct vcpu *cpu, struct block *b)
{
    const u8 *text = (const u8 *)(b->insn + b->slots);
    unsigned offset = (unsigned)(b->gpa & ~PAGE_MASK), first = PAGE_SIZE - offset;
    u64 second_gpa;
    const u8 *second = fetch_page(cpu, linear_of(cpu, b->rip + first), &second_gpa);

    return block_is_same(b->host + offset, text, first) && block_is_same(second, text + first, b->bytes - first);
}

static bool is_current(struct vcpu *cpu, struct block *b)
{
    if (b->crosses)
        return crossing_is_current(cpu, b);
    if (b->is_alone)
        b->checked = cpu->run - 1;
    return block_is_current(cpu, b);
}

/* Another processor may have written while we decoded, before the block's marks told it that somebody minds. */
static COLD void block_confirm(struct vcpu *cpu, struct block *b)
{
    b->checked = cpu->run - 1;
    if (is_current(cpu, b))
        return;
    block_kill(cpu, b);
    cpu->link = NULL;
    vcpu_land(cpu); /* once more */
}

static bool block_matches(const struct vcpu *cpu, const struct block *b, u32 mode)
{
    return b->rip == cpu->rip && b->mode == mode &&
           (in_code64(cpu) || (b->cs_base == cpu->seg[CS].base && b->cs_limit == cpu->seg[CS].limit));
}

static NOINLINE const struct insn *block_find_slow(struct vcpu *cpu, u32 mode, struct jump *j)
{
    struct block *b, *after;
    u64 gpa;

    if (in_code64(cpu) ? !is_canonical(cpu, cpu->rip) : cpu->rip > cpu->seg[CS].limit)
        vcpu_raise(cpu, VECTOR_GP, 0);

    const u8 *host = fetch_page(cpu, linear_of(cpu, cpu->rip), &gpa);

    for (b = *code_slot(cpu->code, gpa, cpu->rip); b; b = after) {
        after = b->hash_next;
        if (b->gpa != gpa || !block_matches(cpu, b, mode))
            continue;
        b->host = host - (gpa & ~PAGE_MASK);
        b->placed = cpu->page_generation;
        if (is_current(cpu, b))
            break;
        block_kill(cpu, b);
    }
    if (!b) {
        code_claim(cpu, gpa);
        b = block_make(cpu, mode, gpa, host);
        if (unlikely(cpu->partition->processors > 1))
            block_confirm(cpu, b);
    }
    if (!b->is_alone)
        *j = (struct jump){ cpu->rip, cpu->generation, mode, &b->enter, cpu->page_generation, 0 };
    return &b->enter;
}

const struct insn *block_find(struct vcpu *cpu, bool one)
{
    u64 rip = cpu->rip;
    u32 mode = cpu->mode | (one ? MODE_ONE : 0);
    struct jump *j = JUMP_OF(cpu, rip);

    if (j->rip == rip && j->mode == mode && j->entry && BLOCK_SIZE(j->entry) != BLOCK_DEAD) {
        if (j->generation == cpu->generation)
            return j->entry;
        struct block *b = block_of(j->entry);

        /* The translation stands, so it's the same page: only its bytes may have changed. */
        if (j->page_generation == cpu->page_generation && b->placed == cpu->page_generation &&
            block_matches(cpu, b, mode) && block_is_current(cpu, b)) {
            j->generation = cpu->generation;
            return j->entry;
        }
    }
    return block_find_slow(cpu, mode, j);
}
