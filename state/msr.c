/* SPDX-License-Identifier: MIT */
/*
 * Model-specific registers: one row each, with where it lives, what it holds after reset and which values it
 * takes. AMD64 APM volume 2, appendix A; the processor's own ones as family 19h has them.
 */
#include "state/clock.h"
#include "state/profile.h"

enum kind {
    FIELD,  /* 64 bits of struct vcpu at `where` */
    OTHER,  /* vcpu.msr_other[where], as the difference from the value after reset */
    FIXED,  /* always `reset` */
    WRITE_ONLY,
    COUNTER /* of clock ticks, to which 64 bits of struct vcpu at `where` are added */
};

/* What a write must obey. All but CUT and ANY refuse with #GP(0). */
enum rule {
    BITS,      /* only these bits may be set */
    CUT,       /* other bits are dropped */
    CANONICAL, /* a linear address */
    SYSENTER,  /* a linear address on Intel; AMD keeps the low half */
    MEMORY_TYPES, /* eight MTRR types */
    PAT_TYPES, /* eight PAT types */
    MTRR_DEFAULT,
    MTRR_BASE,
    MTRR_MASK,
    ADDRESS,   /* guest-physical, with the low bits of `bits` */
    EFER_RULE,
    NEVER,     /* can't be written */
    ANY
};

struct row {
    u32 index;
    u8 count, step;     /* a run of registers: how many, and how far apart */
    u8 kind, rule;
    u16 where;
    u64 bits, reset;
};

#define AT(field) (u16) offsetof(struct vcpu, field)
#define SEGMENT_BASE(s) (u16)(AT(seg) + (s) * sizeof(struct segment) + offsetof(struct segment, base))
#define ALL_BITS (~(u64)0)

/* Slots of vcpu.msr_other. */
enum {
    OTHER_MCG_STATUS,
    OTHER_HWCR,
    OTHER_SYSCFG,
    OTHER_NB_CFG,
    OTHER_TOP_MEM,
    OTHER_TOP_MEM2,
    OTHER_MMIO_CONF,
    OTHER_DE_CFG,
    OTHER_BU_CFG2,
    OTHER_BP_CFG,
    OTHER_CHICKEN,               /* LS_CFG, IC_CFG, DC_CFG */
    OTHER_IORR = OTHER_CHICKEN + 3,
    OTHER_EVENT_SELECT = OTHER_IORR + 4,
    OTHER_EVENT_COUNT = OTHER_EVENT_SELECT + 4,
    OTHERS = OTHER_EVENT_COUNT + 4
};
_Static_assert(OTHERS <= sizeof(((struct vcpu *)0)->msr_other) / sizeof(u64), "the plain MSRs have room");

/* The busy ones first: the table is searched from its start. */
static const struct row rows[] = {
    {MSR_FS_BASE, 1, 1, FIELD, CANONICAL, SEGMENT_BASE(FS), ALL_BITS, 0},
    {MSR_GS_BASE, 1, 1, FIELD, CANONICAL, SEGMENT_BASE(GS), ALL_BITS, 0},
    {MSR_KERNEL_GS_BASE, 1, 1, FIELD, CANONICAL, AT(kernel_gs_base), ALL_BITS, 0},
    {MSR_TSC, 1, 1, COUNTER, ANY, AT(tsc_offset), ALL_BITS, 0},
    {MSR_EFER, 1, 1, FIELD, EFER_RULE, AT(efer), ALL_BITS, 0},
    {MSR_STAR, 1, 1, FIELD, ANY, AT(star), ALL_BITS, 0},
    {MSR_LSTAR, 1, 1, FIELD, CANONICAL, AT(lstar), ALL_BITS, 0},
    {MSR_CSTAR, 1, 1, FIELD, CANONICAL, AT(cstar), ALL_BITS, 0},
    {MSR_SFMASK, 1, 1, FIELD, CUT, AT(sfmask), 0xffffffff, 0},
    {MSR_TSC_AUX, 1, 1, FIELD, CUT, AT(tsc_aux), 0xffffffff, 0},
    {MSR_SYSENTER_CS, 1, 1, FIELD, CUT, AT(sysenter_cs), 0xffffffff, 0},
    {MSR_SYSENTER_ESP, 1, 1, FIELD, SYSENTER, AT(sysenter_esp), ALL_BITS, 0},
    {MSR_SYSENTER_EIP, 1, 1, FIELD, SYSENTER, AT(sysenter_eip), ALL_BITS, 0},
    {MSR_XSS, 1, 1, FIELD, BITS, AT(xss), 0, 0},
    {MSR_PAT, 1, 1, FIELD, PAT_TYPES, AT(pat), ALL_BITS, 0},
    {MSR_APIC_BASE, 1, 1, FIELD, ADDRESS, AT(apic_base), 0x900, 0},

    {MSR_MPERF, 1, 1, COUNTER, ANY, AT(mperf_offset), ALL_BITS, 0},
    {MSR_APERF, 1, 1, COUNTER, ANY, AT(aperf_offset), ALL_BITS, 0},
    {0x00, 2, 1, FIXED, ANY, 0, ALL_BITS, 0},                       /* of the first machine check: none */
    {0x49, 1, 1, WRITE_ONLY, BITS, 0, 1, 0},                        /* PRED_CMD: IBPB. Nothing is predicted */
    {0x8b, 1, 1, FIXED, NEVER, 0, 0, 0x0a101148},                   /* PATCH_LEVEL */
    {0x179, 1, 1, FIXED, NEVER, 0, 0, 0},                           /* MCG_CAP: no banks */
    {0x17a, 1, 1, OTHER, BITS, OTHER_MCG_STATUS, 7, 0},             /* MCG_STAT */
    {0x1d9, 1, 1, FIXED, BITS, 0, 0, 0},                            /* DEBUGCTL: neither LBR nor BTF yet */
    {0x1db, 4, 1, FIXED, NEVER, 0, 0, 0},                           /* last branches: none recorded */

    {0xfe, 1, 1, FIXED, NEVER, 0, 0, 0x508},                        /* MTRRcap: eight ranges, fixed, WC */
    {0x2ff, 1, 1, FIELD, MTRR_DEFAULT, AT(mtrr_def_type), 0xcff, 0},
    {0x200, 8, 2, FIELD, MTRR_BASE, AT(mtrr_base), 0xff, 0},
    {0x201, 8, 2, FIELD, MTRR_MASK, AT(mtrr_mask), 0x800, 0},
    {0x250, 1, 1, FIELD, MEMORY_TYPES, AT(mtrr_fixed[0]), ALL_BITS, 0},
    {0x258, 2, 1, FIELD, MEMORY_TYPES, AT(mtrr_fixed[1]), ALL_BITS, 0},
    {0x268, 8, 1, FIELD, MEMORY_TYPES, AT(mtrr_fixed[3]), ALL_BITS, 0},

    /* PERF_LEGACY_CTL and CTR: none of their events happens. */
    {0xc0010000, 4, 1, OTHER, CUT, OTHER_EVENT_SELECT, 0x0000030fffd7ffff, 0},
    {0xc0010004, 4, 1, OTHER, CUT, OTHER_EVENT_COUNT, 0x0000ffffffffffff, 0},
    {0xc0010010, 1, 1, OTHER, BITS, OTHER_SYSCFG, 0x007c0000, 0},   /* MTRRs' DRAM bits, TOM2 */
    {0xc0010015, 1, 1, OTHER, BITS, OTHER_HWCR, 0x3ffffffff, 0x01000000}, /* HWCR: the TSC counts at P0 */
    {0xc0010016, 4, 1, OTHER, ADDRESS, OTHER_IORR, 0x818, 0},       /* IORR base and mask */
    {0xc001001a, 1, 1, OTHER, ADDRESS, OTHER_TOP_MEM, 0, 0},
    {0xc001001d, 1, 1, OTHER, ADDRESS, OTHER_TOP_MEM2, 0, 0},
    {0xc001001f, 1, 1, OTHER, ANY, OTHER_NB_CFG, ALL_BITS, 0},
    {0xc0010058, 1, 1, OTHER, ADDRESS, OTHER_MMIO_CONF, 0x3f, 0},   /* no MMIO configuration space */
    {0xc0011020, 3, 1, OTHER, ANY, OTHER_CHICKEN, ALL_BITS, 0},     /* LS_CFG IC_CFG DC_CFG */
    {0xc0011029, 1, 1, OTHER, ANY, OTHER_DE_CFG, ALL_BITS, 2},      /* DE_CFG: LFENCE serializes */
    {0xc001102a, 1, 1, OTHER, ANY, OTHER_BU_CFG2, ALL_BITS, 0},
    {0xc001102e, 1, 1, OTHER, ANY, OTHER_BP_CFG, ALL_BITS, 0},
};

/* Those that come with a feature. */
static const struct {
    u32 index;
    u8 needs;
} optional[] = {
    {MSR_TSC_AUX, HAS_TSC_AUX},
    {MSR_XSS, HAS_XSAVES},
    {MSR_MPERF, HAS_APERFMPERF},
    {MSR_APERF, HAS_APERFMPERF},
    {0x49, HAS_IBPB},
};

static bool is_there(const struct vcpu *cpu, u32 index)
{
    for (unsigned i = 0; i < sizeof(optional) / sizeof(optional[0]); i++)
        if (optional[i].index == index)
            return has(&cpu->partition->has, optional[i].needs);
    return true;
}

static const struct row *row_find(const struct vcpu *cpu, u32 index, unsigned *nth)
{
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *r = &rows[i];
        u32 past = index - r->index;

        if (past < (u32)r->count * r->step && past % r->step == 0) {
            *nth = past / r->step;
            return is_there(cpu, index) ? r : NULL;
        }
    }
    return NULL;
}

/* MTRR and PAT types; PAT also knows UC- (7). */
static bool type_is_valid(u64 type, bool pat)
{
    return type == 0 || type == 1 || type == 4 || type == 5 || type == 6 || (pat && type == 7);
}

static bool types_are_valid(u64 value, bool pat)
{
    for (unsigned i = 0; i < 64; i += 8)
        if (!type_is_valid(value >> i & 0xff, pat))
            return false;
    return true;
}

/* A page's address under the partition's width, and flags among `low`. */
static bool address_is_valid(const struct vcpu *cpu, u64 value, u64 low)
{
    return !(value & ~((ones(cpu->partition->physical_width) & PAGE_MASK) | low));
}

/* May the value be written? May change it on the way. */
static bool obeys(const struct vcpu *cpu, const struct row *r, u64 *value)
{
    bool amd = cpu->partition->profile->vendor == VENDOR_AMD;
    u64 v = *value;

    switch (r->rule) {
    case BITS: return !(v & ~r->bits);
    case CUT: *value = v & r->bits; return true;
    case CANONICAL: return is_canonical(cpu, v);
    case SYSENTER:
        if (amd)
            *value = (u32)v;
        return amd || is_canonical(cpu, v);
    case MEMORY_TYPES: return types_are_valid(v, false);
    case PAT_TYPES: return types_are_valid(v, true);
    case MTRR_DEFAULT: return !(v & ~r->bits) && type_is_valid(v & 0xff, false);
    case MTRR_BASE: return address_is_valid(cpu, v, r->bits) && type_is_valid(v & 0xff, false);
    case MTRR_MASK:
    case ADDRESS: return address_is_valid(cpu, v, r->bits);
    case EFER_RULE:
        /* APM volume 2, 3.1.7: paging pins LME; LMA follows the processor's mode and ignores writes. */
        if (v & ~cpu->partition->efer_valid || (cpu->cr0 & CR0_PG && (v ^ cpu->efer) & EFER_LME))
            return false;
        *value = (v & ~(u64)EFER_LMA) | (cpu->efer & EFER_LMA);
        return true;
    case ANY: return true;
    default: return false;
    }
}

static u64 *field(struct vcpu *cpu, const struct row *r, unsigned n)
{
    return (u64 *)((char *)cpu + r->where) + n;
}

enum msr_result msr_read(struct vcpu *cpu, u32 index, u64 *value)
{
    unsigned n = 0;
    const struct row *r = row_find(cpu, index, &n);

    if (index == MSR_TSC_DEADLINE && apic_has_deadline(cpu)) {
        *value = cpu->apic->timer.deadline;
        return MSR_DONE;
    }
    if (!r)
        return MSR_UNKNOWN;
    switch (r->kind) {
    case FIELD: *value = *field(cpu, r, n); break;
    case OTHER: *value = cpu->msr_other[r->where + n] ^ r->reset; break;
    case FIXED: *value = r->reset; break;
    case COUNTER: *value = clock_ticks(cpu) + *field(cpu, r, n); break;
    default: return MSR_REFUSED;
    }
    return MSR_DONE;
}

enum msr_result msr_check(struct vcpu *cpu, u32 index, u64 value)
{
    unsigned n = 0;
    const struct row *r = row_find(cpu, index, &n);

    if (index == MSR_TSC_DEADLINE && apic_has_deadline(cpu))
        return MSR_DONE;
    if (index == MSR_APIC_BASE && cpu->apic)
        return apic_base_ok(cpu, value, false) ? MSR_DONE : MSR_REFUSED;
    if (!r)
        return MSR_UNKNOWN;
    return obeys(cpu, r, &value) ? MSR_DONE : MSR_REFUSED;
}

enum msr_result msr_write(struct vcpu *cpu, u32 index, u64 value)
{
    unsigned n = 0;
    const struct row *r = row_find(cpu, index, &n);

    if (index == MSR_TSC_DEADLINE && apic_has_deadline(cpu)) {
        apic_set_deadline(cpu, value);
        return MSR_DONE;
    }
    if (index == MSR_APIC_BASE && cpu->apic) {
        if (!apic_base_ok(cpu, value, false))
            return MSR_REFUSED;
        apic_set_base(cpu, value, false);
        return MSR_DONE;
    }
    if (!r)
        return MSR_UNKNOWN;
    if (!obeys(cpu, r, &value))
        return MSR_REFUSED;
    switch (r->kind) {
    case FIELD: *field(cpu, r, n) = value; break;
    case OTHER: cpu->msr_other[r->where + n] = value ^ r->reset; break;
    case COUNTER: *field(cpu, r, n) = value - clock_ticks(cpu); break;
    default: break; /* FIXED, WRITE_ONLY: nothing to keep */
    }
    if (index == MSR_EFER)
        mode_update(cpu);
    return MSR_DONE;
}
