/* SPDX-License-Identifier: MIT */
/*
 * Resolving an access that the inline hit didn't serve. One on two pages, or through the seam, goes by the place's own
 * bytes; every other has guest memory itself in its hands.
 */
#include "mem/place.h"

#include "exits/exit.h"
#include "mem/notice.h"
#include "mem/ram.h"
#include "mem/tlb.h"
#include "mem/walk.h"
#include "state/port.h"

/* ---- resolving ---- */

/* Could the access, which is about to leave, ring a doorbell instead? rings: its size if it is such a store, else 0. */
INLINE bool is_for_bell(const struct vcpu *cpu, u64 gpa, unsigned rings)
{
    return rings && unlikely(cpu->partition->ports != NULL) && bell_waits(cpu->partition->ports, gpa, rings);
}

/* An access that has left before, as one to a device does each time, leaves again without another walk. True: *gpa has a
 * doorbell. */
static bool leave_again(struct vcpu *cpu, u64 linear, unsigned access, unsigned rings, u64 *gpa)
{
    const struct tlb_note *note = &tlb_bank(cpu, access)->note[tlb_slot(linear)];

    if ((access & ACCESS_WRITE ? note->leave_write : note->leave_read) != (linear & PAGE_MASK))
        return false;
    *gpa = tlb_bank(cpu, access)->entry[tlb_slot(linear)].gpa | (linear & ~PAGE_MASK);
    if (is_for_bell(cpu, *gpa, rings))
        return true;
    exit_memory(cpu, *gpa, linear, true, access & ACCESS_RIGHT, !ram_find(cpu->partition->ram, *gpa));
}

/* The local APIC's registers hide what is mapped there from data accesses, and the TLB never holds them. */
static bool is_apic(const struct vcpu *cpu, u64 gpa)
{
    return cpu->apic && (gpa & PAGE_MASK) == cpu->apic_page;
}

/*
 * Translates a byte's page. Raises, or leaves where the map lacks the right. True: the access is watched. *host is NULL
 * for the local APIC's registers, and for doorbells.
 */
static COLD bool part_walk(struct vcpu *cpu, u64 linear, unsigned access, unsigned rings, u8 **host, u64 *gpa)
{
    bool is_write = access & ACCESS_WRITE, is_fetch = (access & ACCESS_RIGHT) == ACCESS_EXECUTE;
    u64 need = is_fetch   ? PAGE_EXECUTE
               : is_write ? PAGE_WRITE | (access & ACCESS_READ_TOO ? PAGE_READ : 0)
                          : PAGE_READ;
    struct translation t;
    u64 page;

    if (!is_fetch && leave_again(cpu, linear, access, rings, gpa)) {
        *host = NULL;
        return tlb_breakpoint(cpu, linear, is_write);
    }
    walk_or_fault(cpu, linear, access, &t);
    if (unlikely(is_apic(cpu, t.gpa)) && !is_fetch) {
        *host = NULL;
        *gpa = t.gpa;
        return tlb_breakpoint(cpu, linear, is_write);
    }
    page = ram_find(cpu->partition->ram, t.gpa);
    if (unlikely((page & need) != need)) {
        if (page & PAGE_OVERLAY) /* TLFS "Establishing the hypercall interface" */
            vcpu_raise(cpu, VECTOR_GP, 0);
        if (!is_fetch)
            tlb_fill_leave(cpu, linear, access, &t, page);
        if (!is_for_bell(cpu, t.gpa, rings))
            exit_memory(cpu, t.gpa, linear, true, access & ACCESS_RIGHT, !page);
        *host = NULL;
        *gpa = t.gpa;
        return tlb_breakpoint(cpu, linear, is_write);
    }
    if (is_write && page & PAGE_TRACK && !(page & PAGE_DIRTY)) {
        ram_dirty(cpu->partition->ram, t.gpa);
        page |= PAGE_DIRTY;
    }
    tlb_fill(cpu, linear, access, &t, page);
    *host = (u8 *)(page & PAGE_MASK) + (linear & ~PAGE_MASK);
    *gpa = t.gpa;
    return (is_write && page & PAGE_CODE) || (!is_fetch && tlb_breakpoint(cpu, linear, is_write));
}

/* The same from what is remembered, where it is. */
INLINE bool part_resolve(struct vcpu *cpu, u64 linear, unsigned access, unsigned rings, u8 **host, u64 *gpa)
{
    struct tlb *tlb = tlb_bank(cpu, access);
    unsigned i = tlb_slot(linear);
    const struct tlb_entry *e = &tlb->entry[i];
    const struct tlb_note *note = &tlb->note[i];
    u64 page = linear & PAGE_MASK;
    bool is_write = access & ACCESS_WRITE, watched = (is_write ? note->write : note->read) == page;

    if (!watched && (is_write ? e->write : e->read) != page)
        return part_walk(cpu, linear, access, rings, host, gpa);
    *host = (u8 *)(linear + e->addend);
    *gpa = e->gpa | (linear & ~PAGE_MASK);
    return watched;
}

static COLD void place_split(struct vcpu *cpu, struct place *p)
{
    unsigned access = p->access;
    u64 second = next_page(cpu, p->linear, access);
    bool watched = part_resolve(cpu, p->linear, access, 0, &p->host[0], &p->gpa[0]);
    bool watched_second = part_resolve(cpu, second, access, 0, &p->host[1], &p->gpa[1]);

    p->bytes = p->bounce;
    /* An access that isn't inside one register of the APIC has no defined result: it reads zero and writes nothing. */
    memset(p->bounce, 0, p->size);
    if (p->host[0])
        copy_bytes(p->bounce, p->host[0], p->first);
    if (p->host[1])
        copy_bytes(p->bounce + p->first, p->host[1], (size_t)(p->size - p->first));
    if (access & ACCESS_WRITE)
        p->notice = (u8)(NOTICE_BOUNCE | (watched ? NOTICE_FIRST : 0) | (watched_second ? NOTICE_SECOND : 0));
    else if (watched || watched_second)
        meet_breakpoints(cpu, p->linear, p->size, access);
}

/* Registers of the local APIC: read now, which has no effects, and written at the commit. */
static COLD void place_apic(struct vcpu *cpu, struct place *p, bool watched)
{
    p->bytes = p->bounce;
    if (!(p->access & ACCESS_WRITE) || p->access & ACCESS_READ_TOO)
        cpu->apic_access(cpu, (u32)(p->gpa[0] & ~PAGE_MASK), p->bounce, p->size, false);
    if (p->access & ACCESS_WRITE)
        p->notice = (u8)(NOTICE_APIC | (watched ? NOTICE_FIRST : 0));
    else if (watched)
        meet_breakpoints(cpu, p->linear, p->size, p->access);
}

/* A store to where nothing is, but a doorbell that it may ring: its value tells. */
static COLD void place_bell(struct place *p, bool watched)
{
    p->bytes = p->bounce;
    memset(p->bounce, 0, p->size);
    p->notice = (u8)(NOTICE_BELL | (watched ? NOTICE_FIRST : 0));
}

/* The emulator library's memory: its caller translates, reads now and writes at the commit. */
static COLD void place_seam(struct vcpu *cpu, struct place *p)
{
    const struct seam *seam = cpu->seam;
    bool is_write = p->access & ACCESS_WRITE;
    unsigned right = p->access & (ACCESS_RIGHT | ACCESS_SYSTEM), rest = p->size - p->first;

    p->bytes = p->bounce;
    if (!seam->translate(seam->context, cpu, p->linear, right, &p->gpa[0]))
        vcpu_land(cpu);
    if (rest && !seam->translate(seam->context, cpu, next_page(cpu, p->linear, p->access), right, &p->gpa[1]))
        vcpu_land(cpu);
    if (p->access & ACCESS_PROBE) {
        memset(p->bounce, 0, p->size);
    } else if (!is_write || p->access & ACCESS_READ_TOO) {
        if (!seam->read(seam->context, p->gpa[0], p->bounce, p->first))
            vcpu_land(cpu);
        if (rest && !seam->read(seam->context, p->gpa[1], p->bounce + p->first, rest))
            vcpu_land(cpu);
    }
    if (is_write)
        p->notice = NOTICE_BOUNCE;
    else
        meet_breakpoints(cpu, p->linear, p->size, p->access);
}

/*
 * What counts as aligned, seen on a Zen 4: the size of the whole operand up to 16, 8 for the x87's 80 bits,
 * and the parts' size for its environments (14 and 94 bytes: 2; 28 and 108: 4).
 */
static bool is_misaligned(u64 linear, unsigned size)
{
    unsigned unit = size == 10 ? 8 : size & -size;

    return linear & ((unit < 16 ? unit : 16) - 1);
}

/* Before any page is looked at: #GP and #AC come before #PF. */
static COLD void check_alignment(struct vcpu *cpu, u64 linear, unsigned size, unsigned access)
{
    if (access & ACCESS_ALIGNED && linear & (size - 1))
        vcpu_raise(cpu, VECTOR_GP, 0);
    if (cpu->cpl == 3 && cpu->rflags & AC && cpu->cr0 & CR0_AM &&
        !(access & (ACCESS_SYSTEM | ACCESS_PLAIN)) && is_misaligned(linear, size))
        vcpu_raise(cpu, VECTOR_AC, 0);
}

void place_linear(struct vcpu *cpu, struct place *p, u64 linear, unsigned size, unsigned access)
{
    unsigned room;

    if (in_code64(cpu) || (access & ACCESS_SYSTEM && in_long_mode(cpu))) {
        if (!is_canonical(cpu, linear) || !is_canonical(cpu, linear + size - 1))
            vcpu_raise(cpu, VECTOR_GP, 0);
    } else {
        linear = (u32)linear;
    }
    if (access & ACCESS_ALIGNED || cpu->rflags & AC)
        check_alignment(cpu, linear, size, access);
    room = PAGE_SIZE - (unsigned)(linear & ~PAGE_MASK);
    p->linear = linear;
    p->size = (u16)size;
    p->first = (u16)(size < room ? size : room);
    p->access = (u8)access;
    p->notice = 0;
    p->host[0] = p->host[1] = NULL;
    if (unlikely(cpu->seam != NULL)) {
        place_seam(cpu, p);
    } else if (unlikely(size > room)) {
        place_split(cpu, p);
    } else {
        unsigned rings = access & ACCESS_RINGS ? size : 0;
        bool watched = part_resolve(cpu, linear, access, rings, &p->host[0], &p->gpa[0]);

        p->bytes = p->host[0];
        if (unlikely(!p->host[0])) {
            if (is_apic(cpu, p->gpa[0]))
                place_apic(cpu, p, watched);
            else
                place_bell(p, watched);
        } else if (unlikely(watched)) {
            if (access & ACCESS_WRITE)
                p->notice = NOTICE_FIRST;
            else
                meet_breakpoints(cpu, linear, size, access);
        }
    }
}

/* ---- shorthands ---- */

INLINE u64 load_value(const void *bytes, unsigned size)
{
    switch (size) {
    case 1: return load_bytes(bytes, 1);
    case 2: return load_bytes(bytes, 2);
    case 4: return load_bytes(bytes, 4);
    case 8: return load_bytes(bytes, 8);
    default: return load_bytes(bytes, size);
    }
}

INLINE void store_value(void *bytes, u64 value, unsigned size)
{
    switch (size) {
    case 1: store_bytes(bytes, value, 1); break;
    case 2: store_bytes(bytes, value, 2); break;
    case 4: store_bytes(bytes, value, 4); break;
    case 8: store_bytes(bytes, value, 8); break;
    default: store_bytes(bytes, value, size); break;
    }
}

/* The inline hit, in the processor's bank for ordinary accesses, the supervisor's for implicit ones. */
INLINE void *hit(struct vcpu *cpu, u64 linear, unsigned size, unsigned access)
{
    const struct tlb_entry *e;

    if (unlikely(cpu->seam != NULL || access & ACCESS_ALIGNED))
        return NULL;
    e = access & ACCESS_SYSTEM ? &cpu->banks[BANK_SUPERVISOR].entry[tlb_slot(linear)]
                               : tlb_entry(cpu, linear);
    if (((linear + size - 1) & PAGE_MASK) != (access & ACCESS_WRITE ? e->write : e->read))
        return NULL;
    return (void *)(linear + e->addend);
}

u64 mem_read_linear(struct vcpu *cpu, u64 linear, unsigned size, unsigned access)
{
    void *host = hit(cpu, linear, size, access);
    struct place p;

    if (likely(host != NULL))
        return load_value(host, size);
    place_linear(cpu, &p, linear, size, access);
    return load_value(p.bytes, size);
}

void mem_write_linear(struct vcpu *cpu, u64 linear, unsigned size, u64 value, unsigned access)
{
    void *host = hit(cpu, linear, size, access | ACCESS_WRITE);
    struct place p;

    if (likely(host != NULL)) {
        store_value(host, value, size);
        return;
    }
    place_linear(cpu, &p, linear, size, access | ACCESS_WRITE);
    store_value(p.bytes, value, size);
    place_commit(cpu, &p);
}

u64 mem_read(struct vcpu *cpu, unsigned segment, u64 offset, unsigned size)
{
    return mem_read_linear(cpu, segment_linear(cpu, segment, offset, size, ACCESS_READ), size, ACCESS_READ);
}

void mem_write(struct vcpu *cpu, unsigned segment, u64 offset, unsigned size, u64 value)
{
    mem_write_linear(cpu, segment_linear(cpu, segment, offset, size, ACCESS_WRITE), size, value,
                     ACCESS_WRITE);
}

/* ---- code ---- */

const u8 *fetch_page(struct vcpu *cpu, u64 linear, u64 *gpa)
{
    const struct fetched_page *page = fetched_find(&cpu->fetched, linear, cpu->cpl == 3);
    u8 *host;

    if (unlikely(cpu->seam != NULL))
        vcpu_land(cpu); /* the emulator library gets its bytes from its caller, not from memory */
    if (unlikely(!page)) {
        part_walk(cpu, linear, ACCESS_EXECUTE, 0, &host, gpa);
        page = fetched_find(&cpu->fetched, linear, cpu->cpl == 3);
    }
    tlb_fetched(cpu, linear);
    *gpa = page->gpa | (linear & ~PAGE_MASK);
    return (const u8 *)(page->host | (linear & ~PAGE_MASK));
}
