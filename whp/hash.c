/* SPDX-License-Identifier: MIT */
/*
 * SwhpStateHash: one digest of everything architectural. What goes in is a sequence of 64-bit numbers in a
 * fixed order, never the bytes of our structures, so that every host and every build gives the same.
 */
#include "cpu/apic.h"
#include "mem/ram.h"
#include "state/clock.h"
#include "state/flags.h"
#include "whp/handle.h"

/*
 * Two chains of multiplications to 128 bits, folded, over pairs of words. Each chain sees each word together
 * with keys of its own and the words' order; neither alone has to be strong. Guards against accidents, not
 * against forgers.
 */
struct hash {
    u64 a, b;
    u64 words;
    u64 odd;          /* a word that waits for its partner */
};

#define KEY0 0x9e3779b97f4a7c15u /* fractions of the golden ratio and of roots of 2, 3 and 5 */
#define KEY1 0x6a09e667f3bcc909u
#define KEY2 0xbb67ae8584caa73bu
#define KEY3 0x3c6ef372fe94f82bu

INLINE u64 fold(u64 a, u64 b)
{
    u128 product = (u128)a * b;

    return (u64)product ^ (u64)(product >> 64);
}

INLINE void absorb_pair(struct hash *h, u64 v, u64 w)
{
    h->a = fold(h->a ^ v, w ^ KEY0) + w;
    h->b = fold(h->b ^ w, v ^ KEY1) + v;
}

static void absorb(struct hash *h, u64 v)
{
    if (h->words++ & 1)
        absorb_pair(h, h->odd, v);
    else
        h->odd = v;
}

INLINE u64 little(const u8 *p)
{
    u64 v;

    memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static void absorb_bytes(struct hash *h, const u8 *p, size_t size) /* a multiple of 8 */
{
    for (size_t i = 0; i < size; i += 8)
        absorb(h, little(p + i));
}

static void finish(struct hash *h, SWHP_DIGEST *digest)
{
    u64 words = h->words;

    if (words & 1)
        absorb(h, KEY2);
    for (unsigned round = 0; round < 4; round++) {
        absorb_pair(h, words ^ KEY2, h->b ^ KEY3);
        absorb_pair(h, h->a ^ KEY3, words + KEY1);
    }
    for (unsigned i = 0; i < 8; i++) {
        digest->Bytes[i] = (UINT8)(h->a >> 8 * i);
        digest->Bytes[8 + i] = (UINT8)(h->b >> 8 * i);
    }
}

/* ---- processors ---- */

static void absorb_segment(struct hash *h, const struct segment *s)
{
    absorb(h, s->base);
    absorb(h, s->limit | (u64)s->selector << 32 | (u64)s->attributes << 48);
}

static void absorb_event(struct hash *h, const struct event *e)
{
    if (!e->pending) {
        absorb(h, 0);
        return;
    }
    absorb(h, 1 | (u64)e->type << 8 | (u64)e->vector << 16 | (u64)e->has_error << 24 | (u64)e->length << 32);
    absorb(h, e->error);
    absorb(h, e->parameter);
}

static void absorb_x87(struct hash *h, const struct x87 *x)
{
    for (unsigned i = 0; i < 8; i++) {
        absorb(h, x->physical[i].mantissa);
        absorb(h, x->physical[i].sign_exponent);
    }
    absorb(h, x->fcw | (u64)x->fsw << 16 | (u64)(x->top & 7) << 32 | (u64)x->valid << 40 | (u64)x->fop << 48);
    absorb(h, x->fcs | (u64)x->fds << 16);
    absorb(h, x->fip);
    absorb(h, x->fdp);
}

static void absorb_many(struct hash *h, const u64 *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        absorb(h, values[i]);
}

#define ABSORB_ARRAY(h, array) absorb_many(h, array, sizeof(array) / sizeof((array)[0]))

/* Where there is none, nothing: digests of partitions without APICs stay what they were. */
static void absorb_apic(struct hash *h, const struct vcpu *cpu)
{
    const struct apic *a = cpu->apic;

    if (!a)
        return;
    for (unsigned i = 0; i < 8; i++) {
        absorb(h, a->irr[i] | (u64)a->isr[i] << 32);
        absorb(h, a->tmr[i]);
    }

    const u64 registers[] = { a->signals, a->errors, a->mode, a->id, a->ldr, a->dfr, a->svr, a->tpr, a->esr, a->icr,
                              a->divide, a->has_ext_int, a->timer.initial, a->timer.deadline };
    i128 expiry = cpu->partition->clock == SwhpClockVirtual ? apic_timer_expiry(cpu) : a->timer.count;

    ABSORB_ARRAY(h, registers);
    absorb(h, (u64)expiry);
    absorb(h, (u64)(expiry >> 64));
    for (unsigned i = 0; i < APIC_LVTS; i++)
        absorb(h, a->lvt[i]);
}

/* Likewise. */
static void absorb_synic(struct hash *h, const struct vcpu *cpu)
{
    const struct synic *s = cpu->synic;
    bool is_virtual = cpu->partition->clock == SwhpClockVirtual;

    if (!s)
        return;
    absorb(h, s->control);
    absorb(h, s->event_page);
    absorb(h, s->message_page);
    absorb(h, s->assist_page);
    ABSORB_ARRAY(h, s->source);
    for (unsigned i = 0; i < SYNIC_TIMERS; i++) {
        const struct synic_timer *t = &s->timer[i];
        bool is_periodic = t->config & STIMER_PERIODIC;

        absorb(h, t->config);
        absorb(h, t->count);
        absorb(h, (u64)t->is_armed | (u64)t->is_queued << 1 | (u64)t->source << 8);
        absorb(h, t->is_armed && (is_virtual || !is_periodic) ? t->due : 0);
        absorb(h, t->is_queued && is_virtual ? t->expired : 0);
    }
    absorb_bytes(h, s->pages, (size_t)SYNIC_PAGES * PAGE_SIZE);
}

static void absorb_synthetic(struct hash *h, const struct partition *p)
{
    const struct synthetic *s = &p->synthetic;

    if (!s->has)
        return;

    const u64 registers[] = { s->has, s->guest_os_id, s->hypercall, s->reference_tsc, s->sequence };

    ABSORB_ARRAY(h, registers);
}

static void absorb_vcpu(struct hash *h, const struct vcpu *cpu)
{
    absorb(h, cpu->index | (u64)1 << 32);
    absorb(h, cpu->count);
    ABSORB_ARRAY(h, cpu->gpr);
    absorb(h, cpu->rip);
    absorb(h, rflags_read(cpu));
    for (unsigned i = 0; i < SEGMENTS; i++)
        absorb_segment(h, &cpu->seg[i]);
    absorb(h, cpu->gdtr.base);
    absorb(h, cpu->idtr.base);
    absorb(h, cpu->gdtr.limit | (u64)cpu->idtr.limit << 16 | (u64)cpu->cpl << 32);

    const u64 control[] = { cpu->cr0, cpu->cr2,  cpu->cr3,  cpu->cr4,
                            cpu->cr8, cpu->efer, cpu->xcr0, cpu->pkru };

    ABSORB_ARRAY(h, control);
    ABSORB_ARRAY(h, cpu->dr);
    ABSORB_ARRAY(h, cpu->pdpte);

    /* With the host's clock the TSC's offset follows from when the run was. */
    bool is_virtual = cpu->partition->clock == SwhpClockVirtual;
    const u64 msrs[] = { is_virtual ? cpu->tsc_offset : 0, is_virtual ? cpu->mperf_offset : 0,
                         is_virtual ? cpu->aperf_offset : 0,
                         cpu->tsc_aux, cpu->apic_base, cpu->pat, cpu->star, cpu->lstar, cpu->cstar,
                         cpu->sfmask, cpu->kernel_gs_base, cpu->sysenter_cs, cpu->sysenter_esp,
                         cpu->sysenter_eip, cpu->spec_ctrl, cpu->xss, cpu->misc_enable, cpu->mtrr_def_type,
                         cpu->apic_id };

    ABSORB_ARRAY(h, msrs);
    ABSORB_ARRAY(h, cpu->mtrr_fixed);
    ABSORB_ARRAY(h, cpu->mtrr_base);
    ABSORB_ARRAY(h, cpu->mtrr_mask);
    ABSORB_ARRAY(h, cpu->msr_other);

    absorb_x87(h, &cpu->x87);
    absorb(h, cpu->mxcsr);
    for (unsigned i = 0; i < 32; i++)
        absorb_bytes(h, cpu->vec[i].b, sizeof cpu->vec[i].b);
    ABSORB_ARRAY(h, cpu->opmask);

    absorb_event(h, &cpu->interruption);
    absorb_event(h, &cpu->queued);
    for (unsigned i = 0; i < 2; i++)
        ABSORB_ARRAY(h, cpu->pending_event[i]);
    absorb(h, (u64)cpu->shadow | (u64)cpu->shadow_ss << 1 | (u64)cpu->nmi_masked << 2 |
              (u64)cpu->ignne << 3);
    absorb(h, cpu->deliverability);
    absorb(h, cpu->activity);
    absorb(h, cpu->pending_debug);
    absorb_apic(h, cpu);
    absorb_synic(h, cpu);
}

/* Who never ran processors in turns has the digests that there were before. */
static void absorb_turns(struct hash *h, const struct turns *t)
{
    if (!t->draws)
        return;
    absorb(h, t->draws);
    absorb(h, t->rest);
    absorb(h, t->whose);
}

/* ---- memory ---- */

enum { RIGHTS = PAGE_READ | PAGE_WRITE | PAGE_EXECUTE };

/* Mapped memory with the same rights, in one piece, however the host's pieces lie. */
struct run {
    struct hash *hash;
    u64 start, end;
    u32 rights;
};

static void run_end(struct run *r)
{
    if (r->end == r->start)
        return;
    absorb(r->hash, r->start | r->rights);
    absorb(r->hash, r->end);
}

static bool is_zero(const u8 *page)
{
    u64 any = 0;

    for (unsigned i = 0; i < PAGE_SIZE; i += 64) {
        u64 v[8];

        memcpy(v, page + i, sizeof v);
        any |= v[0] | v[1] | v[2] | v[3] | v[4] | v[5] | v[6] | v[7];
        if (any)
            return false;
    }
    return true;
}

/* Four independent pairs of chains, so that the multiplier is never waited for. */
static void absorb_page(struct hash *h, u64 gpa, const u8 *page)
{
    enum { LANES = 4 };
    struct hash lane[LANES];

    for (unsigned i = 0; i < LANES; i++)
        lane[i] = (struct hash){ .a = KEY2 + i, .b = KEY3 - i };
    for (unsigned i = 0; i < PAGE_SIZE; i += 16 * LANES)
        for (unsigned l = 0; l < LANES; l++)
            absorb_pair(&lane[l], little(page + i + 16 * l), little(page + i + 16 * l + 8));
    absorb(h, gpa);
    for (unsigned i = 0; i < LANES; i++) {
        absorb(h, lane[i].a);
        absorb(h, lane[i].b);
    }
}

/* Zero pages are told from missing ones by the runs alone. */
static void visit(void *context, u64 gpa, u8 *host, u64 size, u32 rights)
{
    struct run *r = context;

    rights &= RIGHTS;
    if (gpa != r->end || rights != r->rights) {
        run_end(r);
        r->start = gpa;
        r->rights = rights;
    }
    r->end = gpa + size;
    for (u64 i = 0; i < size; i += PAGE_SIZE)
        if (!is_zero(host + i))
            absorb_page(r->hash, gpa + i, host + i);
}

HRESULT WINAPI SwhpStateHash(WHV_PARTITION_HANDLE Partition, SWHP_DIGEST *Digest)
{
    struct partition *p;
    u64 held;

    if (!Digest)
        return fail(E_POINTER, "Digest is NULL");

    HRESULT hr = partition_enter(Partition, &p);

    if (FAILED(hr))
        return hr;
    hr = partition_freeze(Partition, p, &held);
    if (SUCCEEDED(hr)) {
        struct hash hash = { .a = KEY0, .b = KEY1 };
        struct run run = { .hash = &hash };

        absorb(&hash, p->processors);
        if (p->clock == SwhpClockVirtual) {
            absorb(&hash, clock_now(p));
            absorb(&hash, p->random);
            absorb_turns(&hash, &p->turns);
        }
        for (u32 i = 0; i < MAX_PROCESSORS; i++)
            if (p->cpu[i]) {
                if (p->cpu[i]->apic)
                    apic_settle(p->cpu[i]);
                absorb_vcpu(&hash, p->cpu[i]);
            }
        absorb_synthetic(&hash, p);
        absorb(&hash, KEY0); /* memory from here on */
        ram_visit(p->ram, visit, &run);
        run_end(&run);
        partition_thaw(Partition, p, held);
        finish(&hash, Digest);
    }
    partition_leave(Partition);
    return hr;
}
