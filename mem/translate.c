/* SPDX-License-Identifier: MIT */
/* WHvTranslateGva's walk: each right is checked only where its flag asks for it. */
#include "mem/translate.h"

#include "mem/ram.h"
#include "mem/walk.h"
#include "state/partition.h"

static u32 table_result(const struct vcpu *cpu, const struct walk *w)
{
    u64 page = ram_find(cpu->partition->ram, w->table_gpa);

    if (!page)
        return WHvTranslateGvaResultGpaUnmapped;
    if (page & PAGE_OVERLAY)
        return WHvTranslateGvaResultGpaIllegalOverlayAccess;
    return w->table_write ? WHvTranslateGvaResultGpaNoWriteAccess : WHvTranslateGvaResultGpaNoReadAccess;
}

static bool is_refused(const struct vcpu *cpu, struct translation *t, u32 flags)
{
    bool user = cpu->cpl == 3, ac = cpu->rflags & AC;

    if (flags & WHvTranslateGvaFlagEnforceSmap)
        ac = false;
    if (flags & WHvTranslateGvaFlagOverrideSmap)
        ac = true;
    if (flags & WHvTranslateGvaFlagPrivilegeExempt)
        t->user = user; /* no page is the other side's */
    return (flags & WHvTranslateGvaFlagValidateRead && walk_denied(cpu, t, ACCESS_READ, user, ac)) ||
           (flags & WHvTranslateGvaFlagValidateWrite && walk_denied(cpu, t, ACCESS_WRITE, user, ac)) ||
           (flags & WHvTranslateGvaFlagValidateExecute && walk_denied(cpu, t, ACCESS_EXECUTE, user, ac));
}

u32 translate_gva(struct vcpu *cpu, u64 gva, u32 flags, u64 *gpa)
{
    struct walk w = {.linear = gva, .is_host = true};
    struct translation t;
    enum walk_result result;

    if (cpu->cr0 & CR0_PG && (cpu->efer & EFER_LMA ? !is_canonical(cpu, gva) : gva >> 32 != 0))
        return WHvTranslateGvaResultPageNotPresent;
    result = walk(cpu, &w, &t);
    if (result == WALK_OK && is_refused(cpu, &t, flags))
        return WHvTranslateGvaResultPrivilegeViolation;
    w.access = flags & WHvTranslateGvaFlagValidateWrite ? ACCESS_WRITE : ACCESS_READ;
    if (result == WALK_OK && flags & WHvTranslateGvaFlagSetPageTableBits &&
        !(t.accessed && (t.dirty || w.access == ACCESS_READ))) {
        w.set_bits = true; /* only now: a refused access leaves the tables alone */
        result = walk(cpu, &w, &t);
    }
    switch (result) {
    case WALK_OK: break;
    case WALK_TABLE_UNMAPPED: return table_result(cpu, &w);
    case WALK_RESERVED: return WHvTranslateGvaResultInvalidPageTableFlags;
    default: return WHvTranslateGvaResultPageNotPresent;
    }
    /* The final page needn't be mapped or writable: callers go on with it to emulate what is there. */
    *gpa = t.gpa;
    return WHvTranslateGvaResultSuccess;
}
