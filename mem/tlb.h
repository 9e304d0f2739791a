/* SPDX-License-Identifier: MIT */
/* The translations a processor remembers: filling and forgetting them. Looking one up is place_hit(). */
#ifndef MEM_TLB_H
#define MEM_TLB_H

#include "mem/place.h"

struct translation;

/* The bank that serves an access: enum access, current CPL and RFLAGS.AC. Never BANK_NONE. */
INLINE struct tlb *tlb_bank(struct vcpu *cpu, unsigned access)
{
    unsigned bank = access & ACCESS_SYSTEM ? BANK_SUPERVISOR
                    : cpu->cpl == 3        ? BANK_USER
                    : cpu->rflags & AC     ? BANK_SUPERVISOR_AC
                                           : BANK_SUPERVISOR;

    return &cpu->banks[bank];
}

INLINE unsigned tlb_slot(u64 linear)
{
    return (unsigned)(linear >> 12) & (TLB_ENTRIES - 1);
}

/*
 * Remembers a translation after a walk for `access` has succeeded: the tags that it proves (read with write where both
 * are there), or where code is fetched from. page: host | facts of the page, as ram_find() gives it.
 */
void tlb_fill(struct vcpu *cpu, u64 linear, unsigned access, const struct translation *t, u64 page);

/* The same where the walk succeeded and the map doesn't let a read or write happen: the next one leaves at
 * once. */
void tlb_fill_leave(struct vcpu *cpu, u64 linear, unsigned access, const struct translation *t, u64 page);

/* Is there an enabled data breakpoint in the page that sees such an access? */
bool tlb_breakpoint(const struct vcpu *cpu, u64 linear, bool write);

/* Forgets everything (MOV CR3 with keep_global: all but global pages), and raises the generation of links. */
void tlb_flush(struct vcpu *cpu, bool keep_global);

/* Forgets one linear page in all banks (INVLPG); links stand where no code was fetched from it. */
void tlb_flush_page(struct vcpu *cpu, u64 linear);

/* Code was fetched from a page: links will rely on the translation. */
void tlb_fetched(struct vcpu *cpu, u64 linear);

/* Forgets write rights to a page of guest memory, by the host's address of the page: somebody wants to see
 * the next write. */
void tlb_watch(struct vcpu *cpu, const u8 *host_page);

/* Empties all banks; for a new processor. */
void tlb_init(struct vcpu *cpu);

#endif
