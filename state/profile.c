/* SPDX-License-Identifier: MIT */
/*
 * The processors that a partition can have, what one made of them has once its caller took features away,
 * and what CPUID says of it. Features are listed in one place, state/feature.h.
 */
#include "state/profile.h"

#include "state/xstate.h"

enum { EAX, EBX, ECX, EDX };
enum { BANK0, BANK1, XBANK, FIXED, POLICY }; /* features, features1, xsave_features; or not the API's */

static const struct row {
    u32 leaf;
    u8 feature, needs, bank, number, where, bit;
} rows[] = {
#define FEATURE(name, needs, bank, number, leaf, where, bit)                                                 \
    {leaf, HAS_##name, HAS_##needs, bank, number, where, bit},
    FEATURES(FEATURE)
#undef FEATURE
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

#define IN_BANK0(name, needs, bank, number, leaf, where, bit) | ((bank) == BANK0 ? (u64)1 << (number) : 0)
#define IN_BANK1(name, needs, bank, number, leaf, where, bit) | ((bank) == BANK1 ? (u64)1 << (number) : 0)
#define IN_XBANK(name, needs, bank, number, leaf, where, bit) | ((bank) == XBANK ? (u64)1 << (number) : 0)

/*
 * Family 19h, model 11h, stepping 1: a Zen 4, whose errata Linux 6.1 has no complaints about once the bits of
 * leaf 80000021 are there.
 */
#define ZEN_SIGNATURE 0x00a10f11u
#define ZEN_BRAND "softwhp zen: a software x86-64 processor"
_Static_assert(sizeof(ZEN_BRAND) <= 48, "the brand string has three leaves");

static const struct profile zen = {
    .name = "zen",
    .vendor = VENDOR_AMD,
    .physical_width = 48,
    .features = 0 FEATURES(IN_BANK0),
    .features1 = 0 FEATURES(IN_BANK1),
    .xsave_features = 0 FEATURES(IN_XBANK),
    .frequency = 1000000000,
    .interrupt_frequency = 200000000,
    .signature = ZEN_SIGNATURE,
    .has_monitor = false,
};

const struct profile *profile_find(const char *name)
{
    return strcmp(name, zen.name) == 0 ? &zen : NULL;
}

/* What a feature adds to a register whose other bits are reserved. */
static const struct bits {
    u8 feature;
    u32 cr4, efer, xcr0, mxcsr;
} zen_bits[] = {
    {HAS_ALWAYS,
     CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR |
         CR4_OSXMMEXCPT,
     EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE, 0, 0xffff},
    {HAS_UMIP, .cr4 = CR4_UMIP},
    {HAS_LA57, .cr4 = CR4_LA57},
    {HAS_FSGSBASE, .cr4 = CR4_FSGSBASE},
    {HAS_PCID, .cr4 = CR4_PCIDE},
    {HAS_XSAVE, .cr4 = CR4_OSXSAVE, .xcr0 = STATE_X87 | STATE_SSE},
    {HAS_SMEP, .cr4 = CR4_SMEP},
    {HAS_SMAP, .cr4 = CR4_SMAP},
    {HAS_PKU, .cr4 = CR4_PKE, .xcr0 = STATE_PKRU},
    {HAS_AIBRS, .efer = EFER_AIBRSE},
    {HAS_AVX, .xcr0 = STATE_AVX},
    {HAS_MISALIGNED_SSE, .mxcsr = 1 << 17}, /* MM */
};

static void set(struct features *f, unsigned feature, bool on)
{
    u64 bit = (u64)1 << feature % 64;

    f->word[feature / 64] = on ? f->word[feature / 64] | bit : f->word[feature / 64] & ~bit;
}

static bool in_bank(const struct partition *p, const struct row *r)
{
    u64 bank = r->bank == BANK0 ? p->features : r->bank == BANK1 ? p->features1 : p->xsave_features;

    if (r->bank == POLICY)
        return p->profile->has_monitor;
    return r->bank == FIXED || (bank >> r->number & 1);
}

void profile_settle(struct partition *p)
{
    bool again = true;

    p->has = (struct features){0};
    set(&p->has, HAS_ALWAYS, true);
    for (unsigned i = 0; i < ROWS; i++)
        set(&p->has, rows[i].feature, in_bank(p, &rows[i]));
    while (again) { /* what needs something that isn't there isn't there either */
        again = false;
        for (unsigned i = 0; i < ROWS; i++)
            if (has(&p->has, rows[i].feature) && !has(&p->has, rows[i].needs)) {
                set(&p->has, rows[i].feature, false);
                again = true;
            }
    }
    set(&p->has, HAS_TSC_AUX, has(&p->has, HAS_RDTSCP) || has(&p->has, HAS_RDPID));

    p->cr4_valid = p->efer_valid = p->xcr0_valid = p->mxcsr_mask = 0;
    for (unsigned i = 0; i < sizeof(zen_bits) / sizeof(zen_bits[0]); i++) {
        const struct bits *b = &zen_bits[i];

        if (!has(&p->has, b->feature))
            continue;
        p->cr4_valid |= b->cr4;
        p->efer_valid |= b->efer;
        p->xcr0_valid |= b->xcr0;
        p->mxcsr_mask |= b->mxcsr;
    }
}

void profile_use(struct partition *p, const struct profile *profile)
{
    p->profile = profile;
    p->physical_width = profile->physical_width;
    p->features = profile->features;
    p->features1 = profile->features1;
    p->xsave_features = profile->xsave_features;
    p->frequency = profile->frequency;
    p->interrupt_frequency = profile->interrupt_frequency;
    profile_settle(p);
}

/* Leaves that are numbers and nothing else. EAX EBX ECX EDX. */
static const struct leaf {
    u32 leaf, value[4];
} zen_leaves[] = {
    {0, {0xd, 0x68747541, 0x444d4163, 0x69746e65}},          /* AuthenticAMD */
    {0x80000000, {0x80000021, 0x68747541, 0x444d4163, 0x69746e65}},
    {0x80000001, {ZEN_SIGNATURE, 0, 0, 0}},
    /* L1: TLBs of 64 entries, fully associative; data and code 32 KiB each, 8 ways, lines of 64 bytes. */
    {0x80000005, {0xff40ff40, 0xff40ff40, 0x20080140, 0x20080140}},
    /* L2: TLBs; 1 MiB, 8 ways. L3: 32 MiB, 16 ways. */
    {0x80000006, {0x5c002200, 0x6c004200, 0x04006140, 0x01009140}},
    {0x80000019, {0xf040f040, 0, 0, 0}},                     /* L1 TLBs for 1 GiB pages */
    {0x8000001a, {2, 0, 0, 0}},                              /* MOVU is as good as MOVA */
};

/* Bits of leaf 1's EDX that 80000001 repeats. */
#define EDX_REPEATED 0x0183f3ffu

/* Caches, leaf 8000001D: type and level, ways, sets, flags. The last one is everybody's. */
static const struct cache {
    u32 kind, ways, sets, flags;
} zen_caches[] = {
    {0x121, 8, 64, 0},
    {0x122, 8, 64, 0},
    {0x143, 8, 2048, 2},
    {0x163, 16, 32768, 1},
};
enum { CACHES = sizeof(zen_caches) / sizeof(zen_caches[0]) };

static unsigned bits_for(u32 processors)
{
    unsigned bits = 0;

    while ((u32)1 << bits < processors)
        bits++;
    return bits;
}

/* One thread a core, all cores in one package and on one node; APIC IDs are dense. */
static void topology(const struct vcpu *cpu, u32 processors, u32 leaf, u32 subleaf, u32 out[4])
{
    switch (leaf) {
    case 0xb: /* threads, cores, nothing */
        out[EAX] = subleaf == 1 ? bits_for(processors) : 0;
        out[EBX] = subleaf == 0 ? 1 : subleaf == 1 ? processors : 0;
        out[ECX] = (subleaf & 0xff) | (subleaf < 2 ? (subleaf + 1) << 8 : 0);
        out[EDX] = cpu->apic_id;
        break;
    case 0x8000001d:
        if (subleaf < CACHES) {
            const struct cache *c = &zen_caches[subleaf];
            u32 sharing = subleaf == CACHES - 1 ? processors : 1;

            out[EAX] = c->kind | (sharing - 1) << 14;
            out[EBX] = (c->ways - 1) << 22 | 63;
            out[ECX] = c->sets - 1;
            out[EDX] = c->flags;
        }
        break;
    default: /* 8000001E */
        out[EAX] = cpu->apic_id;
        out[EBX] = cpu->apic_id & 0xff;
        break;
    }
}

/* What doesn't follow from tables: identities, and what the processor's state decides. */
static void dynamic(const struct vcpu *cpu, u32 leaf, u32 subleaf, u32 out[4])
{
    const struct partition *p = cpu->partition;
    u32 processors = p->processors ? p->processors : 1;

    switch (leaf) {
    case 1:
        out[EAX] = p->profile->signature;
        out[EBX] = (cpu->apic_id & 0xff) << 24 | processors << 16 | 64 / 8 << 8;
        if (processors > 1)
            out[EDX] |= 1u << 28; /* HTT */
        if (p->synthetic.has)
            out[ECX] |= 1u << 31; /* a hypervisor */
        if (cpu->cr4 & CR4_OSXSAVE && out[ECX] & 1u << 26)
            out[ECX] |= 1u << 27;
        break;
    case 7:
        if (cpu->cr4 & CR4_PKE)
            out[ECX] |= 1u << 4; /* OSPKE */
        break;
    case 0xb:
    case 0x8000001d:
    case 0x8000001e:
        topology(cpu, processors, leaf, subleaf, out);
        break;
    case 0xd:
        if (!has(&p->has, HAS_XSAVE)) {
            out[EAX] = 0;
        } else if (subleaf == 0) {
            out[EAX] = (u32)p->xcr0_valid;
            out[EBX] = xstate_end(0, cpu->xcr0);
            out[ECX] = xstate_end(0, p->xcr0_valid);
            out[EDX] = (u32)(p->xcr0_valid >> 32);
        } else if (subleaf == 1) {
            out[EBX] = xstate_end(XCOMP_COMPACTED | cpu->xcr0, cpu->xcr0);
        }
        for (unsigned i = 0; i < XSTATE_OTHERS; i++)
            if (subleaf == xstates[i].number && p->xcr0_valid & xstate_bit(&xstates[i])) {
                out[EAX] = xstates[i].size;
                out[EBX] = xstates[i].offset;
            }
        break;
    case 0x80000001:
        if (processors > 1)
            out[ECX] |= 1u << 1; /* HTT of leaf 1 means cores */
        break;
    case 0x80000002:
    case 0x80000003:
    case 0x80000004: {
        char brand[48] = ZEN_BRAND;

        memcpy(out, brand + 16 * (leaf - 0x80000002), 16);
        break;
    }
    case 0x80000008:
        out[EAX] = p->physical_width | (has(&p->has, HAS_LA57) ? 57u : 48u) << 8;
        out[ECX] = (processors - 1) | bits_for(processors) << 12;
        out[EDX] = has(&p->has, HAS_RDPRU) ? 1u << 16 : 0; /* the last of its registers: APERF */
        break;
    default:
        break;
    }
}

/* What the local APIC's mode and state decide, where there is one. SDM 3A "Presence of the local APIC". */
static void of_apic(const struct vcpu *cpu, u32 leaf, u32 out[4])
{
    bool is_on = cpu->apic && cpu->apic->mode != APIC_OFF;

    if (leaf == 1) {
        if (!cpu->apic)
            out[ECX] &= ~(1u << 24);
        if (is_on)
            out[EDX] |= 1u << 9;
        if (cpu->partition->apic_mode == WHvX64LocalApicEmulationModeX2Apic)
            out[ECX] |= 1u << 21;
    } else if (leaf == 0x80000001 && is_on) {
        out[EDX] |= 1u << 9;
    } else if (leaf == 6 && cpu->apic) {
        out[EAX] |= 1u << 2; /* ARAT: the timer never stops */
    }
}

static bool overridden(const struct partition *p, u32 leaf, u32 out[4])
{
    for (u32 i = 0; i < p->cpuid_resulted; i++) {
        const struct cpuid_result *r = &p->cpuid_results[i];

        if (r->function == leaf) {
            out[EAX] = r->eax;
            out[EBX] = r->ebx;
            out[ECX] = r->ecx;
            out[EDX] = r->edx;
            return true;
        }
    }
    return false;
}

/* Before the caller's masks. */
static void unmasked(const struct vcpu *cpu, u32 leaf, u32 subleaf, u32 out[4])
{
    const struct partition *p = cpu->partition;
    bool has_subleaves = leaf == 7 || leaf == 0xd;

    /* What nobody claims is zero, and so are leaves past the last one: AMD's way. */
    memset(out, 0, 4 * sizeof(out[0]));
    if (overridden(p, leaf, out))
        return;
    if (leaf >> 8 == 0x400000)
        synthetic_cpuid(cpu, leaf, out);
    for (unsigned i = 0; i < sizeof(zen_leaves) / sizeof(zen_leaves[0]); i++)
        if (zen_leaves[i].leaf == leaf)
            memcpy(out, zen_leaves[i].value, 4 * sizeof(out[0]));
    if (!has_subleaves || subleaf == (leaf == 0xd))
        for (unsigned i = 0; i < ROWS; i++) {
            const struct row *f = &rows[i];

            if (!has(&p->has, f->feature))
                continue;
            if (f->leaf == leaf)
                out[f->where] |= 1u << f->bit;
            else if (leaf == 0x80000001 && f->leaf == 1 && f->where == EDX)
                out[EDX] |= 1u << f->bit & EDX_REPEATED;
        }
    if (leaf != 7 || subleaf == 0)
        dynamic(cpu, leaf, subleaf, out);
    of_apic(cpu, leaf, out);
}

/* The caller's masks, each on what those before it left. */
void profile_cpuid(const struct vcpu *cpu, u32 leaf, u32 subleaf, u32 out[4])
{
    const struct partition *p = cpu->partition;

    unmasked(cpu, leaf, subleaf, out);
    for (u32 i = 0; i < p->cpuid_masked; i++) {
        const struct cpuid_mask *m = &p->cpuid_masks[i];

        if (m->function != leaf || (m->is_of_subleaf && m->subleaf != subleaf) ||
            (m->is_of_processor && m->processor != cpu->index))
            continue;
        for (unsigned n = 0; n < 4; n++)
            out[n] = (out[n] & ~m->mask[n]) | m->value[n];
    }
}
