/* SPDX-License-Identifier: MIT */
/* Who wants to know of an access: data breakpoints, and code that was decoded from what is written. */
#include "mem/notice.h"

#include "mem/place.h"
#include "mem/ram.h"
#include "state/partition.h"

/* Which data breakpoints an access meets, as bits of DR6. SDM 3B 17.2.4. */
static u64 breakpoints_met(const struct vcpu *cpu, u64 linear, unsigned size, bool is_write)
{
    static const u8 lengths[4] = {1, 2, 8, 4};
    u64 dr7 = cpu->dr[7], met = 0;

    for (unsigned n = 0; n < 4; n++) {
        unsigned kind = dr7 >> (16 + 4 * n) & 3;
        u64 length = lengths[dr7 >> (18 + 4 * n) & 3], start = cpu->dr[n] & ~(length - 1);

        if (!(dr7 >> (2 * n) & 3) || !(kind == 3 || (kind == 1 && is_write)))
            continue;
        if (start - linear < size || linear - start < length)
            met |= (u64)1 << n;
    }
    return met;
}

/* Tables that the processor looks into by itself aren't data of the program; the stack that it pushes to is. */
static bool is_table(unsigned access)
{
    return access & ACCESS_SYSTEM && (!(access & ACCESS_WRITE) || access & ACCESS_READ_TOO);
}

void meet_breakpoints(struct vcpu *cpu, u64 linear, unsigned size, unsigned access)
{
    u64 met;

    if (likely(!(cpu->dr[7] & 0xff)) || is_table(access))
        return;
    met = breakpoints_met(cpu, linear, size, access & ACCESS_WRITE);
    if (met) {
        cpu->pending_debug |= met;
        __atomic_fetch_or(&cpu->attention, (u32)ATTENTION_DEBUG, __ATOMIC_RELAXED);
    }
}

/* Code was overwritten: this processor looks before its next instruction, others before their next block. */
static COLD void note_stale(struct vcpu *cpu, u64 gpa, unsigned size)
{
    struct partition *p = cpu->partition;

    if (cpu->stales < sizeof(cpu->stale) / sizeof(cpu->stale[0]))
        cpu->stale[cpu->stales] = (struct stale){gpa, size};
    cpu->stales++;
    __atomic_fetch_or(&cpu->attention, (u32)ATTENTION_CODE, __ATOMIC_RELAXED);
    for (u32 i = 0; i < p->processors && i < MAX_PROCESSORS; i++) {
        struct vcpu *other = __atomic_load_n(&p->cpu[i], __ATOMIC_ACQUIRE);

        if (other && other != cpu)
            vcpu_call(other, ATTENTION_DOUBT);
    }
}

/* Where code was decoded from. Who decodes marks first, then reads; we wrote first, and look behind a barrier. */
static u64 granules_now(const struct vcpu *cpu, struct page page)
{
    return cpu->partition->processors > 1 ? __atomic_fetch_or(page.granules, 0, __ATOMIC_SEQ_CST)
                                          : __atomic_load_n(page.granules, __ATOMIC_RELAXED);
}

bool notice_write(struct vcpu *cpu, u64 gpa, unsigned size)
{
    struct page page;
    unsigned first = (unsigned)(gpa & ~PAGE_MASK) >> 6, last = ((unsigned)(gpa & ~PAGE_MASK) + size - 1) >> 6;

    if (!(ram_find(cpu->partition->ram, gpa) & PAGE_CODE))
        return false;
    page = ram_page(cpu->partition->ram, gpa); /* its leaf exists: it has facts of its own */
    if (!page.host || unlikely(granules_now(cpu, page) & ones(last - first + 1) << first))
        note_stale(cpu, gpa, size);
    return true;
}
