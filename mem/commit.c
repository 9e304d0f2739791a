/* SPDX-License-Identifier: MIT */
/* Making a store so: to memory, a doorbell, the local APIC or the seam, and telling whoever watches. */
#include "mem/place.h"

#include "exits/exit.h"
#include "mem/notice.h"
#include "mem/ram.h"
#include "mem/tlb.h"
#include "state/port.h"

/* A watched part was written. Where nobody watches any more, the next write goes straight. */
static void part_written(struct vcpu *cpu, u64 linear, u64 gpa, unsigned size, unsigned access)
{
    struct tlb *tlb = tlb_bank(cpu, access);
    unsigned i = tlb_slot(linear);

    if (notice_write(cpu, gpa, size) || tlb_breakpoint(cpu, linear, true))
        return;
    if (tlb->note[i].write == (linear & PAGE_MASK)) {
        tlb->entry[i].write = tlb->note[i].write;
        tlb->note[i].write = TLB_NONE;
    }
}

static COLD void commit_bounce(struct vcpu *cpu, const struct place *p)
{
    unsigned rest = p->size - p->first;
    const struct seam *seam = cpu->seam;

    if (seam) {
        if (!seam->write(seam->context, p->gpa[0], p->bounce, p->first) ||
            (rest && !seam->write(seam->context, p->gpa[1], p->bounce + p->first, rest)))
            vcpu_land(cpu);
        meet_breakpoints(cpu, p->linear, p->size, p->access);
        return;
    }
    if (p->host[0])
        copy_bytes(p->host[0], p->bounce, p->first);
    if (p->host[1])
        copy_bytes(p->host[1], p->bounce + p->first, rest);
}

/* Reference 7.6. Nothing of the instruction has happened yet. */
static COLD void commit_bell(struct vcpu *cpu, const struct place *p)
{
    u64 value = p->size <= 8 ? load_bytes(p->bounce, p->size) : 0;

    if (!bell_ring(cpu->partition->ports, p->gpa[0], p->size, value))
        exit_memory(cpu, p->gpa[0], p->linear, true, ACCESS_WRITE, !ram_find(cpu->partition->ram, p->gpa[0]));
}

void place_commit(struct vcpu *cpu, struct place *p)
{
    unsigned notice = p->notice;

    if (likely(!notice))
        return;
    p->notice = 0; /* once */
    if (notice & NOTICE_BOUNCE)
        commit_bounce(cpu, p);
    if (notice & NOTICE_BELL)
        commit_bell(cpu, p);
    if (notice & NOTICE_APIC)
        cpu->apic_access(cpu, (u32)(p->gpa[0] & ~PAGE_MASK), p->bounce, p->size, true);
    if (notice & NOTICE_FIRST)
        part_written(cpu, p->linear, p->gpa[0], p->first, p->access);
    if (notice & NOTICE_SECOND)
        part_written(cpu, next_page(cpu, p->linear, p->access), p->gpa[1], p->size - p->first, p->access);
    if (notice & (NOTICE_FIRST | NOTICE_SECOND))
        meet_breakpoints(cpu, p->linear, p->size, p->access);
}

/* Memory has the value; whoever watches the bytes sees a write. Seen on a Zen 3: a data breakpoint on writes traps. */
void place_written_back(struct vcpu *cpu, struct place *p)
{
    if (unlikely(cpu->seam != NULL))
        place_commit(cpu, p);
    else if (p->notice & (NOTICE_FIRST | NOTICE_SECOND))
        meet_breakpoints(cpu, p->linear, p->size, p->access);
}

/* Bytes of one part that follow each other, by the seam. */
static void write_stretch(struct vcpu *cpu, const struct place *p, unsigned from, unsigned size)
{
    const struct seam *seam = cpu->seam;
    u64 gpa = from < p->first ? p->gpa[0] + from : p->gpa[1] + (from - p->first);

    if (!seam->write(seam->context, gpa, p->bounce + from, size))
        vcpu_land(cpu);
}

void place_commit_masked(struct vcpu *cpu, struct place *p, u64 mask)
{
    unsigned from, end;

    if (likely(!cpu->seam)) {
        place_commit(cpu, p);
        return;
    }
    p->notice = 0;
    for (from = 0; from < p->size; from = end) {
        unsigned part = from < p->first ? p->first : p->size;

        for (end = from; end < part && mask >> end & 1; end++)
            ;
        if (end > from)
            write_stretch(cpu, p, from, end - from);
        else
            end++;
    }
    meet_breakpoints(cpu, p->linear, p->size, p->access);
}
