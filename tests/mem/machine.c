/* SPDX-License-Identifier: MIT */
/* The machine of the memory tests. */
#include "tests/mem/machine.h"

#include <stdlib.h>

#include "state/flags.h"
#include "state/host.h"
#include "state/profile.h"

enum { TABLES = 0x80000 }; /* gpa of the first page table */

struct machine *machine_new(void)
{
    struct machine *m = calloc(1, sizeof(*m));

    profile_use(&m->partition, profile_find("zen"));
    m->partition.processors = 1;
    m->partition.ram = ram_new();
    m->cpu = host_alloc(sizeof(*m->cpu));
    m->memory = host_alloc(MEMORY_SIZE);
    m->cpu->partition = &m->partition;
    m->partition.cpu[0] = m->cpu;
    m->cpu->exit = &m->exit;
    tlb_init(m->cpu);
    vcpu_reset(m->cpu);
    ck_assert(ram_map(m->partition.ram, 0, MEMORY_SIZE, m->memory, PAGE_READ | PAGE_WRITE | PAGE_EXECUTE));
    return m;
}

void machine_delete(struct machine *m)
{
    ram_delete(m->partition.ram);
    host_free(m->memory, MEMORY_SIZE);
    host_free(m->cpu, sizeof(*m->cpu));
    free(m);
}

void machine_set_paging(struct machine *m, enum paging paging)
{
    struct vcpu *cpu = m->cpu;

    memset(m->memory + TABLES, 0, MEMORY_SIZE - TABLES);
    m->table = (u64 *)(m->memory + TABLES + PAGE_SIZE);
    cpu->cr3 = TABLES;
    cpu->cr0 = CR0_PE | CR0_ET | CR0_NE | (paging == PAGING_NONE ? 0 : CR0_PG);
    cpu->cr4 = (paging >= PAGING_PAE ? CR4_PAE : 0) | (paging == PAGING_5 ? CR4_LA57 : 0);
    cpu->efer = paging >= PAGING_4 ? EFER_LME | EFER_LMA : 0;
    cpu->seg[CS] = (struct segment){0, 0xffffffff, 8, (u16)(0x809b | (paging >= PAGING_4 ? SEG_L : SEG_DB))};
    for (unsigned s = 0; s <= GS; s++) {
        if (s != CS)
            cpu->seg[s] = (struct segment){0, 0xffffffff, 16, 0xc093};
    }
    for (unsigned i = 0; paging == PAGING_PAE && i < 4; i++) {
        cpu->pdpte[i] = 0;
    }
    mode_update(cpu);
    tlb_flush(cpu, false);
}

/* The table that an entry points to, made where it is missing. */
static u8 *next_table(struct machine *m, void *entry, unsigned entry_size, u64 upper)
{
    u64 e = load_bytes(entry, entry_size);

    if (!(e & PTE_P)) {
        e = (u64)((u8 *)m->table - m->memory);
        m->table += PAGE_SIZE / 8;
        ck_assert((u8 *)m->table <= m->memory + MEMORY_SIZE);
    }
    e = (e & 0xfffff000) | upper;
    store_bytes(entry, e, entry_size);
    return m->memory + (e & 0xfffff000);
}

void *machine_map(struct machine *m, u64 linear, u64 gpa, u64 leaf, u64 upper, u64 size)
{
    struct vcpu *cpu = m->cpu;
    bool is_small = !(cpu->cr4 & CR4_PAE);
    unsigned entry_size = is_small ? 4 : 8, bits = is_small ? 10 : 9;
    unsigned levels = is_small || !(cpu->efer & EFER_LMA) ? 2 : cpu->cr4 & CR4_LA57 ? 5 : 4;
    u8 *table = m->memory + cpu->cr3;

    if (!is_small && !(cpu->efer & EFER_LMA))
        table = next_table(m, &cpu->pdpte[linear >> 30 & 3], 8, PTE_P);
    for (unsigned level = levels;; level--) {
        unsigned shift = 12 + bits * (level - 1);
        u8 *entry = table + (linear >> shift & ((1u << bits) - 1)) * entry_size;

        if (size == (u64)1 << shift) {
            u64 address = is_small && level == 2 ? (gpa & 0xffc00000) | (gpa >> 32 & 0xff) << 13 : gpa;

            store_bytes(entry, address | leaf | (level > 1 ? PTE_PS : 0), entry_size);
            return entry;
        }
        table = next_table(m, entry, entry_size, upper);
    }
}

static struct outcome outcome_of(struct machine *m)
{
    struct outcome o = {.kind = FAULT};

    if (m->cpu->exit_reason) {
        o.kind = LEFT;
        ck_assert_uint_eq(m->cpu->exit_reason, WHvRunVpExitReasonMemoryAccess);
        o.memory = m->exit.MemoryAccess;
    } else {
        ck_assert(m->cpu->fault.pending);
        o.vector = m->cpu->fault.vector;
        o.error = m->cpu->fault.error;
        o.cr2 = m->cpu->fault.parameter;
    }
    return o;
}

static void prepare(struct machine *m)
{
    memset(&m->exit, 0, sizeof(m->exit));
    m->cpu->exit_reason = 0;
    m->cpu->fault.pending = false;
    m->cpu->at = NULL;
}

NOINLINE struct outcome machine_access(struct machine *m, u64 linear, unsigned size, unsigned access)
{
    u64 gpa;

    prepare(m);
    if (__builtin_setjmp(m->cpu->landing))
        return outcome_of(m);
    if ((access & ACCESS_RIGHT) == ACCESS_EXECUTE) {
        const u8 *bytes = fetch_page(m->cpu, linear, &gpa);

        return (struct outcome){.kind = DONE, .bytes = (u8 *)(uintptr_t)bytes};
    }
    place_linear(m->cpu, &m->cpu->place, linear, size, access);
    return (struct outcome){.kind = DONE, .bytes = m->cpu->place.bytes};
}

NOINLINE struct outcome machine_segment(struct machine *m, unsigned segment, u64 offset, unsigned size,
                                        unsigned access)
{
    prepare(m);
    if (__builtin_setjmp(m->cpu->landing))
        return outcome_of(m);
    place_segment(m->cpu, &m->cpu->place, segment, offset, size, access);
    return (struct outcome){.kind = DONE, .bytes = m->cpu->place.bytes};
}

bool is_fault(struct outcome o, unsigned vector, u32 error)
{
    return o.kind == FAULT && o.vector == vector && o.error == error;
}

bool is_exit(struct outcome o, u64 gpa, unsigned type, bool unmapped)
{
    return o.kind == LEFT && o.memory.Gpa == gpa && o.memory.AccessInfo.AccessType == type &&
           o.memory.AccessInfo.GpaUnmapped == unmapped;
}
