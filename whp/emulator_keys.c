/* SPDX-License-Identifier: MIT */
/*
 * Protection keys in a page fault's error code. The callback that translates says no more than that the access is
 * against some right, so the tables are looked into once more, as data that the memory callback serves. SDM 3A 4.7: PK
 * joins other causes.
 */
#include "whp/emulator.h"

#define TABLE_ADDRESS 0x000ffffffffff000ull
enum { KEY_SHIFT = 59 };

/* The rights that all levels give together, and the key of the last. False: it can't be had, or is there no more. */
static bool rights_of(struct emulator *e, u64 linear, u64 *rights, unsigned *key)
{
    u64 table = e->cpu->cr3 & TABLE_ADDRESS, entry = 0;
    unsigned level = e->cpu->cr4 & CR4_LA57 ? 5 : 4;
    u8 bytes[8];

    *rights = PTE_W | PTE_U;
    for (;; level--) {
        if (!e->seam.read(e, table + (linear >> (9 * level + 3) & 511) * 8, bytes, sizeof bytes))
            return false;
        entry = load_bytes(bytes, 8);
        if (!(entry & PTE_P))
            return false;
        *rights &= entry;
        if (level == 1 || (level <= 3 && entry & PTE_PS))
            break;
        table = entry & TABLE_ADDRESS;
    }
    *key = entry >> KEY_SHIFT & 15;
    return true;
}

/* Is there another cause? Where PKRU isn't told, the key's is there if no other is. */
static bool has_other_cause(const struct vcpu *cpu, u64 rights, bool is_write, bool is_user)
{
    if (is_user && !(rights & PTE_U))
        return true;
    if (!is_user && rights & PTE_U && cpu->cr4 & CR4_SMAP && !(cpu->rflags & AC))
        return true;
    return is_write && !(rights & PTE_W) && (is_user || cpu->cr0 & CR0_WP);
}

static bool needs(struct emulator *e, unsigned what)
{
    return !(what & ~e->needs) || state_load_more(e, what & ~e->needs);
}

void keys_explain(struct emulator *e)
{
    struct vcpu *cpu = e->cpu;
    struct event *fault = &cpu->fault;
    bool is_write = fault->error & PF_W, is_user = fault->error & PF_U, is_denied;
    u64 rights;
    unsigned key;

    if (fault->vector != VECTOR_PF || (fault->error & (PF_P | PF_RSVD | PF_I)) != PF_P)
        return;
    if (!e->vp->ExecutionState.EferLma)
        return;
    if (!needs(e, NEEDS_CONTROL) || !(cpu->cr4 & CR4_PKE) || !needs(e, NEEDS_SYSTEM | NEEDS_PKRU))
        return;
    e->is_short = false;
    if (!rights_of(e, fault->parameter, &rights, &key) || !(rights & PTE_U)) /* keys are for the user's pages */
        return;
    if (e->refused & NEEDS_PKRU) {
        is_denied = !has_other_cause(cpu, rights, is_write, is_user);
    } else {
        unsigned forbids = cpu->pkru >> 2 * key & 3;

        is_denied = forbids & 1 || (is_write && forbids & 2 && (is_user || cpu->cr0 & CR0_WP));
    }
    if (is_denied)
        fault->error |= PF_PK;
}
