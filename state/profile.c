/* SPDX-License-Identifier: MIT */
/*
 * The processors that a partition can have, and what CPUID says of them. A feature is claimed in one place,
 * the list below, with its bit in CPUID and in the API's feature banks; taking it from a partition's banks
 * hides it.
 */
#include "state/profile.h"

enum { EAX, EBX, ECX, EDX };
enum { BANK0, BANK1, XSAVE, ALWAYS }; /* features, features1, xsave_features; or not the API's to take away */

/*
 * Features of the zen profile: FEATURE(bank, bit in the bank, leaf, register, bit). AMD64 APM volume 3,
 * appendix E.
 */
#define ZEN_FEATURES(FEATURE)                                                                                \
    FEATURE(ALWAYS, 0, 1, EDX, 0)           /* FPU */                                                        \
    FEATURE(ALWAYS, 0, 1, EDX, 1)           /* VME */                                                        \
    FEATURE(ALWAYS, 0, 1, EDX, 2)           /* DE */                                                         \
    FEATURE(ALWAYS, 0, 1, EDX, 3)           /* PSE */                                                        \
    FEATURE(ALWAYS, 0, 1, EDX, 4)           /* TSC */                                                        \
    FEATURE(ALWAYS, 0, 1, EDX, 5)           /* MSR */                                                        \
    FEATURE(ALWAYS, 0, 1, EDX, 6)           /* PAE */                                                        \
    FEATURE(ALWAYS, 0, 1, EDX, 7)           /* MCE */                                                        \
    FEATURE(ALWAYS, 0, 1, EDX, 8)           /* CMPXCHG8B */                                                  \
    FEATURE(ALWAYS, 0, 1, EDX, 11)          /* SYSENTER */                                                   \
    FEATURE(ALWAYS, 0, 1, EDX, 12)          /* MTRR */                                                       \
    FEATURE(ALWAYS, 0, 1, EDX, 13)          /* PGE */                                                        \
    FEATURE(ALWAYS, 0, 1, EDX, 14)          /* MCA */                                                        \
    FEATURE(ALWAYS, 0, 1, EDX, 15)          /* CMOV */                                                       \
    FEATURE(ALWAYS, 0, 1, EDX, 16)          /* PAT */                                                        \
    FEATURE(ALWAYS, 0, 1, EDX, 17)          /* PSE36 */                                                      \
    FEATURE(ALWAYS, 0, 1, EDX, 19)          /* CLFLUSH */                                                    \
    FEATURE(ALWAYS, 0, 1, EDX, 23)          /* MMX */                                                        \
    FEATURE(ALWAYS, 0, 1, EDX, 24)          /* FXSR */                                                       \
    FEATURE(ALWAYS, 0, 1, EDX, 25)          /* SSE */                                                        \
    FEATURE(ALWAYS, 0, 1, EDX, 26)          /* SSE2 */                                                       \
    FEATURE(BANK0, 0, 1, ECX, 0)            /* SSE3 */                                                       \
    FEATURE(BANK0, 17, 1, ECX, 1)           /* PCLMULQDQ */                                                  \
    FEATURE(BANK0, 2, 1, ECX, 9)            /* SSSE3 */                                                      \
    FEATURE(XSAVE, 4, 1, ECX, 12)           /* FMA */                                                        \
    FEATURE(BANK0, 8, 1, ECX, 13)           /* CMPXCHG16B */                                                 \
    FEATURE(BANK0, 18, 1, ECX, 17)          /* PCID */                                                       \
    FEATURE(BANK0, 3, 1, ECX, 19)           /* SSE4.1 */                                                     \
    FEATURE(BANK0, 4, 1, ECX, 20)           /* SSE4.2 */                                                     \
    FEATURE(BANK0, 29, 1, ECX, 22)          /* MOVBE */                                                      \
    FEATURE(BANK0, 7, 1, ECX, 23)           /* POPCNT */                                                     \
    FEATURE(BANK1, 17, 1, ECX, 24)          /* the APIC timer's TSC-deadline mode: hypervisors' */           \
    FEATURE(BANK0, 16, 1, ECX, 25)          /* AES */                                                        \
    FEATURE(XSAVE, 0, 1, ECX, 26)           /* XSAVE */                                                      \
    FEATURE(XSAVE, 2, 1, ECX, 28)           /* AVX */                                                        \
    FEATURE(BANK0, 20, 1, ECX, 29)          /* F16C */                                                       \
    FEATURE(BANK0, 21, 1, ECX, 30)          /* RDRAND */                                                     \
    FEATURE(BANK0, 22, 7, EBX, 0)           /* FSGSBASE */                                                   \
    FEATURE(BANK0, 25, 7, EBX, 3)           /* BMI1 */                                                       \
    FEATURE(XSAVE, 3, 7, EBX, 5)            /* AVX2 */                                                       \
    FEATURE(BANK0, 23, 7, EBX, 7)           /* SMEP */                                                       \
    FEATURE(BANK0, 26, 7, EBX, 8)           /* BMI2 */                                                       \
    FEATURE(BANK0, 43, 7, EBX, 10)          /* INVPCID */                                                    \
    FEATURE(BANK0, 32, 7, EBX, 18)          /* RDSEED */                                                     \
    FEATURE(BANK0, 33, 7, EBX, 19)          /* ADX */                                                        \
    FEATURE(BANK0, 35, 7, EBX, 20)          /* SMAP */                                                       \
    FEATURE(BANK0, 39, 7, EBX, 23)          /* CLFLUSHOPT */                                                 \
    FEATURE(BANK0, 40, 7, EBX, 24)          /* CLWB */                                                       \
    FEATURE(BANK0, 41, 7, EBX, 29)          /* SHA */                                                        \
    FEATURE(BANK0, 58, 7, ECX, 2)           /* UMIP */                                                       \
    FEATURE(ALWAYS, 0, 7, ECX, 3)           /* PKU */                                                        \
    FEATURE(XSAVE, 19, 7, ECX, 8)           /* GFNI */                                                       \
    FEATURE(XSAVE, 20, 7, ECX, 9)           /* VAES */                                                       \
    FEATURE(XSAVE, 22, 7, ECX, 10)          /* VPCLMULQDQ */                                                 \
    FEATURE(BANK1, 4, 7, ECX, 16)           /* LA57 */                                                       \
    FEATURE(BANK0, 57, 7, ECX, 22)          /* RDPID */                                                      \
    FEATURE(XSAVE, 1, 0xd, EAX, 0)          /* XSAVEOPT, of subleaf 1 */                                     \
    FEATURE(XSAVE, 11, 0xd, EAX, 1)      /* XSAVEC and the compacted form */                                 \
    FEATURE(XSAVE, 13, 0xd, EAX, 2)      /* XGETBV with ECX = 1 */                                           \
    FEATURE(XSAVE, 12, 0xd, EAX, 3)      /* XSAVES, XRSTORS, IA32_XSS */                                     \
    FEATURE(BANK0, 1, 0x80000001, ECX, 0)   /* LAHF and SAHF in 64-bit code */                               \
    FEATURE(BANK0, 9, 0x80000001, ECX, 4)   /* LOCK MOV CR0 is CR8 */                                        \
    FEATURE(BANK0, 10, 0x80000001, ECX, 5)  /* LZCNT */                                                      \
    FEATURE(BANK0, 5, 0x80000001, ECX, 6)   /* SSE4A */                                                      \
    FEATURE(BANK0, 11, 0x80000001, ECX, 7)  /* MXCSR.MM */                                                   \
    FEATURE(ALWAYS, 0, 0x80000001, ECX, 8)  /* PREFETCH and PREFETCHW */                                     \
    FEATURE(ALWAYS, 0, 0x80000001, ECX, 22) /* topology and cache leaves 8000001D, 8000001E */               \
    FEATURE(ALWAYS, 0, 0x80000001, EDX, 11) /* SYSCALL */                                                    \
    FEATURE(ALWAYS, 0, 0x80000001, EDX, 20) /* NX */                                                         \
    FEATURE(BANK0, 12, 0x80000001, EDX, 22) /* AMD's extensions to MMX */                                    \
    FEATURE(BANK0, 15, 0x80000001, EDX, 26) /* 1 GiB pages */                                                \
    FEATURE(BANK0, 38, 0x80000001, EDX, 27) /* RDTSCP */                                                     \
    FEATURE(ALWAYS, 0, 0x80000001, EDX, 29) /* long mode */                                                  \
    FEATURE(BANK1, 1, 0x80000007, EDX, 8)   /* the TSC never changes its pace */                             \
    FEATURE(ALWAYS, 0, 0x80000008, EBX, 0)  /* CLZERO */                                                     \
    FEATURE(BANK0, 42, 0x80000008, EBX, 2)  /* XSAVE always saves the x87's pointers */                      \
    FEATURE(BANK0, 46, 0x80000008, EBX, 12) /* IBPB, which has nothing to do here */                         \
    FEATURE(BANK0, 54, 0x80000008, EBX, 26) /* no speculative store bypass */                                \
    FEATURE(BANK1, 29, 0x80000008, EBX, 29) /* no branch type confusion */                                   \
    FEATURE(BANK1, 30, 0x80000008, EBX, 30) /* IBPB clears return predictions */                             \
    FEATURE(ALWAYS, 0, 0x80000021, EAX, 2)  /* LFENCE serializes */                                          \
    FEATURE(ALWAYS, 0, 0x80000021, EAX, 6)  /* a null selector clears the base */                            \
    FEATURE(ALWAYS, 0, 0x80000021, EAX, 8)  /* EFER.AIBRSE */                                                \
    FEATURE(BANK1, 56, 0x80000021, EAX, 29) /* no speculative return stack overflow */                       \
    FEATURE(ALWAYS, 0, 0x80000021, ECX, 1)  /* no transient scheduler attack by the store queue */           \
    FEATURE(ALWAYS, 0, 0x80000021, ECX, 2)  /* nor by the L1 data cache */

static const struct feature {
    u32 leaf;
    u8 bank, number, where, bit;
} zen_features[] = {
#define FEATURE(bank, number, leaf, where, bit) {leaf, bank, number, where, bit},
    ZEN_FEATURES(FEATURE)
#undef FEATURE
};

#define IN_BANK0(bank, number, leaf, where, bit) | ((bank) == BANK0 ? (u64)1 << (number) : 0)
#define IN_BANK1(bank, number, leaf, where, bit) | ((bank) == BANK1 ? (u64)1 << (number) : 0)
#define IN_XSAVE(bank, number, leaf, where, bit) | ((bank) == XSAVE ? (u64)1 << (number) : 0)

/*
 * Family 19h, model 11h, stepping 1: a Zen 4, whose errata Linux 6.1 has no complaints about once the bits of
 * leaf 80000021 are there.
 */
#define ZEN_SIGNATURE 0x00a10f11u
#define ZEN_BRAND "softwhp zen: a software x86-64 processor"
_Static_assert(sizeof(ZEN_BRAND) <= 48, "the brand string has three leaves");

#define XCR0_ZEN 7u /* x87, SSE, AVX */

static const struct profile zen = {
    .name = "zen",
    .vendor = VENDOR_AMD,
    .physical_width = 48,
    .cr4_valid = CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE |
                 CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP | CR4_LA57 | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE |
                 CR4_SMEP | CR4_SMAP | CR4_PKE,
    .efer_valid = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_AIBRSE,
    .xcr0_valid = XCR0_ZEN,
    .mxcsr_mask = 0x2ffff,
    .features = 0 ZEN_FEATURES(IN_BANK0),
    .features1 = 0 ZEN_FEATURES(IN_BANK1),
    .xsave_features = 0 ZEN_FEATURES(IN_XSAVE),
    .frequency = 1000000000,
    .interrupt_frequency = 200000000,
    .signature = ZEN_SIGNATURE,
};

const struct profile *profile_find(const char *name)
{
    return strcmp(name, zen.name) == 0 ? &zen : NULL;
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

/* The size of an XSAVE area for these components, not compacted. */
static u32 xsave_size(u64 components)
{
    /* x87 and SSE stand in the legacy region */
    return 512 + 64 + (components & 4 ? 256 : 0);
}

static bool claims(const struct partition *p, const struct feature *f)
{
    u64 bank = f->bank == BANK0 ? p->features : f->bank == BANK1 ? p->features1 : p->xsave_features;

    return f->bank == ALWAYS || (bank >> f->number & 1);
}

u64 profile_xcr0(const struct partition *p)
{
    bool has_avx = p->xsave_features >> 2 & 1;

    return p->profile->xcr0_valid & ~(has_avx ? 0u : 4u);
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
        if (!(p->xsave_features & 1)) {
            out[EAX] = 0;
        } else if (subleaf == 0) {
            out[EAX] = (u32)profile_xcr0(p);
            out[EBX] = xsave_size(cpu->xcr0);
            out[ECX] = xsave_size(profile_xcr0(p));
            out[EDX] = (u32)(profile_xcr0(p) >> 32);
        } else if (subleaf == 1) {
            out[EBX] = xsave_size(cpu->xcr0); /* compacted, which AVX alone makes no smaller */
        } else if (subleaf == 2 && profile_xcr0(p) & 4) { /* AVX: its part of the area */
            out[EAX] = 256;
            out[EBX] = 512 + 64;
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
        out[EAX] = p->physical_width | (p->features1 & 1u << 4 ? 57u : 48u) << 8;
        out[ECX] = (processors - 1) | bits_for(processors) << 12;
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

void profile_cpuid(const struct vcpu *cpu, u32 leaf, u32 subleaf, u32 out[4])
{
    const struct partition *p = cpu->partition;
    bool has_subleaves = leaf == 7 || leaf == 0xd;

    /* What nobody claims is zero, and so are leaves past the last one: AMD's way. */
    memset(out, 0, 4 * sizeof(out[0]));
    if (overridden(p, leaf, out))
        return;
    for (unsigned i = 0; i < sizeof(zen_leaves) / sizeof(zen_leaves[0]); i++)
        if (zen_leaves[i].leaf == leaf)
            memcpy(out, zen_leaves[i].value, 4 * sizeof(out[0]));
    if (!has_subleaves || subleaf == (leaf == 0xd))
        for (unsigned i = 0; i < sizeof(zen_features) / sizeof(zen_features[0]); i++) {
            const struct feature *f = &zen_features[i];

            if (!claims(p, f))
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
