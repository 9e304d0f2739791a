/* SPDX-License-Identifier: MIT */
/* Which parts of Hyper-V's interface a partition has, and what CPUID says of them. TLFS "Feature and interface discovery". */
#include "state/partition.h"
#include "state/synic.h"
#include "state/vcpu.h"

enum { EAX, EBX, ECX, EDX };

#define BIT(feature) ((u64)1 << (feature))

/* What a part needs; behind what it needs itself. `apic`: a local APIC, too. */
static const struct need {
    u8 feature, needs, apic;
} needs[] = {
    {SYNTHETIC_HV1, SYNTHETIC_PRESENT, 0},
    {SYNTHETIC_RUNTIME, SYNTHETIC_HV1, 0},
    {SYNTHETIC_REFERENCE_COUNTER, SYNTHETIC_HV1, 0},
    {SYNTHETIC_SYNIC, SYNTHETIC_HV1, 1},
    {SYNTHETIC_TIMERS, SYNTHETIC_SYNIC, 1},
    {SYNTHETIC_APIC, SYNTHETIC_HV1, 1},
    {SYNTHETIC_HYPERCALLS, SYNTHETIC_HV1, 0},
    {SYNTHETIC_VP_INDEX, SYNTHETIC_HV1, 0},
    {SYNTHETIC_REFERENCE_TSC, SYNTHETIC_HV1, 0},
    {SYNTHETIC_IDLE, SYNTHETIC_HV1, 1},
    {SYNTHETIC_FREQUENCIES, SYNTHETIC_HV1, 0},
    {SYNTHETIC_DIRECT_TIMERS, SYNTHETIC_TIMERS, 1},
    {SYNTHETIC_FLUSH, SYNTHETIC_HYPERCALLS, 0},
    {SYNTHETIC_LONG_RANGES, SYNTHETIC_FLUSH, 0},
    {SYNTHETIC_SETS, SYNTHETIC_HYPERCALLS, 0},
    {SYNTHETIC_IPI, SYNTHETIC_HYPERCALLS, 1},
    {SYNTHETIC_SPIN, SYNTHETIC_HYPERCALLS, 0},
    {SYNTHETIC_SIGNAL, SYNTHETIC_HYPERCALLS, 0},
};

void synthetic_settle(struct partition *p)
{
    struct synthetic *s = &p->synthetic;

    s->has = s->asked & SYNTHETIC_OFFERED;
    for (unsigned i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
        if (!(s->has & BIT(needs[i].needs)) || (needs[i].apic && !p->apic_mode))
            s->has &= ~BIT(needs[i].feature);
    /* Rounded up, so that ticks that make whole units are those units, for all the years that a guest may run. */
    if (s->has & BIT(SYNTHETIC_HV1) && p->frequency > 10000000)
        s->scale = (u64)((((u128)10000000 << 64) + p->frequency - 1) / p->frequency);
}

/* MSRs by the part that they come with. */
static const struct {
    u32 first, last;
    u8 feature;
} msrs[] = {
    {HV_GUEST_OS_ID, HV_HYPERCALL, SYNTHETIC_HYPERCALLS},
    {HV_VP_INDEX, HV_VP_INDEX, SYNTHETIC_VP_INDEX},
    {HV_VP_RUNTIME, HV_VP_RUNTIME, SYNTHETIC_RUNTIME},
    {HV_TIME_REF_COUNT, HV_TIME_REF_COUNT, SYNTHETIC_REFERENCE_COUNTER},
    {HV_REFERENCE_TSC, HV_REFERENCE_TSC, SYNTHETIC_REFERENCE_TSC},
    {HV_TSC_FREQUENCY, HV_APIC_FREQUENCY, SYNTHETIC_FREQUENCIES},
    {HV_EOI, HV_VP_ASSIST_PAGE, SYNTHETIC_APIC},
    {HV_SCONTROL, HV_EOM, SYNTHETIC_SYNIC},
    {HV_SINT0, HV_SINT15, SYNTHETIC_SYNIC},
    {HV_STIMER0_CONFIG, HV_STIMER3_COUNT, SYNTHETIC_TIMERS},
    {HV_GUEST_IDLE, HV_GUEST_IDLE, SYNTHETIC_IDLE},
};

bool synthetic_is_there(const struct partition *p, u32 index)
{
    for (unsigned i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++)
        if (index >= msrs[i].first && index <= msrs[i].last)
            return p->synthetic.has & BIT(msrs[i].feature);
    return false;
}

/* Bits of leaves 40000003 and 40000004 that follow from parts. Bits 0 to 11 of the privileges are the API's 2 and up. */
static const struct {
    u32 leaf;
    u8 feature, where, bit;
} bits[] = {
    {3, SYNTHETIC_RUNTIME, EAX, 0},
    {3, SYNTHETIC_REFERENCE_COUNTER, EAX, 1},
    {3, SYNTHETIC_SYNIC, EAX, 2},
    {3, SYNTHETIC_TIMERS, EAX, 3},
    {3, SYNTHETIC_APIC, EAX, 4},
    {3, SYNTHETIC_HYPERCALLS, EAX, 5},
    {3, SYNTHETIC_VP_INDEX, EAX, 6},
    {3, SYNTHETIC_REFERENCE_TSC, EAX, 9},
    {3, SYNTHETIC_IDLE, EAX, 10},
    {3, SYNTHETIC_FREQUENCIES, EAX, 11},
    {3, SYNTHETIC_SIGNAL, EBX, 5},
    {3, SYNTHETIC_HYPERCALLS, EDX, 4},    /* input of hypercalls in XMM registers */
    {3, SYNTHETIC_IDLE, EDX, 5},
    {3, SYNTHETIC_FREQUENCIES, EDX, 8},
    {3, SYNTHETIC_LONG_RANGES, EDX, 14},
    {3, SYNTHETIC_SYNIC, EDX, 17},        /* SINTs that are polled */
    {3, SYNTHETIC_HYPERCALLS, EDX, 18},   /* HYPERCALL can be locked */
    {3, SYNTHETIC_DIRECT_TIMERS, EDX, 19},
    {4, SYNTHETIC_FLUSH, EAX, 2},         /* other processors' TLBs by hypercall; one's own by instructions */
    {4, SYNTHETIC_APIC, EAX, 3},          /* EOI, ICR and TPR by MSRs */
    {4, SYNTHETIC_HV1, EAX, 5},           /* relaxed timing: no watchdogs */
    {4, SYNTHETIC_IPI, EAX, 10},
    {4, SYNTHETIC_SETS, EAX, 11},
};

enum {
    LAST_LEAF = 0x40000006,
    BUILD = 20348, /* of leaf 40000002: the platform whose bits these are, version 10.0 */
    SPINS = 4095   /* tries before NotifyLongSpinWait */
};

void synthetic_cpuid(const struct vcpu *cpu, u32 leaf, u32 out[4])
{
    const struct partition *p = cpu->partition;
    u64 has = p->synthetic.has;

    if (!has || leaf > LAST_LEAF || (leaf > 0x40000001 && !(has & BIT(SYNTHETIC_HV1))))
        return;
    for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
        if (bits[i].leaf == (leaf & 15) && has & BIT(bits[i].feature))
            out[bits[i].where] |= 1u << bits[i].bit;
    switch (leaf) {
    case 0x40000000:
        out[EAX] = has & BIT(SYNTHETIC_HV1) ? (u32)LAST_LEAF : 0x40000001;
        memcpy(out + EBX, "Microsoft Hv", 12);
        break;
    case 0x40000001:
        if (has & BIT(SYNTHETIC_HV1))
            memcpy(out + EAX, "Hv#1", 4);
        break;
    case 0x40000002:
        out[EAX] = BUILD;
        out[EBX] = 10 << 16;
        break;
    case 0x40000004:
        out[EBX] = has & BIT(SYNTHETIC_SPIN) ? SPINS : ~0u;
        out[ECX] = p->physical_width;
        break;
    case 0x40000005:
        out[EAX] = out[EBX] = MAX_PROCESSORS;
        break;
    default: break;
    }
}

void synic_reset(struct vcpu *cpu)
{
    struct synic *s = cpu->synic;

    synic_lock(s); /* somebody may be posting */
    __atomic_store_n(&s->control, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&s->event_page, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&s->message_page, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&s->assist_page, 0, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < SYNIC_SOURCES; i++)
        s->source[i] = SINT_MASKED;
    memset(s->auto_eoi, 0, sizeof s->auto_eoi);
    memset(s->timer, 0, sizeof s->timer);
    memset(s->pages, 0, (size_t)SYNIC_PAGES * PAGE_SIZE);
    synic_unlock(s);
}
