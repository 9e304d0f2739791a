/* SPDX-License-Identifier: MIT */
/* Page walks: sizes, reserved bits, accessed and dirty bits, tables that aren't there. */
#include "tests/mem/machine.h"

enum { ALL = PTE_P | PTE_W | PTE_U, LINEAR = 0x5000, TARGET = 0x7000, TABLE_AREA = 0x80000 };

struct size_case {
    enum paging paging;
    u64 size, linear, gpa;
};

/* Every size of page in every mode; linear addresses at the far end of what the mode has. */
static const struct size_case sizes[] = {
    {PAGING_32, 4096, 0xfffff000, 0x7000},
    {PAGING_32, 4 << 20, 0xffc00000, 0x12c00000},
    {PAGING_32, 4 << 20, 0xffc00000, 0xff12c00000}, /* PSE-36 as AMD has it: 40 bits */
    {PAGING_PAE, 4096, 0xfffff000, 0x7000},
    {PAGING_PAE, 4096, 0xc0000000, 0xfffffff007000},
    {PAGING_PAE, 2 << 20, 0xffe00000, 0xffffffe00000},
    {PAGING_4, 4096, 0xfffffffffffff000, 0xfffffffff000},
    {PAGING_4, 2 << 20, 0xffff800000000000, 0x123400000},
    {PAGING_4, 1 << 30, 0x7fffc0000000, 0x40000000},
    {PAGING_5, 4096, 0xff00000000000000, 0x7000},
    {PAGING_5, 2 << 20, 0xffffffffffe00000, 0x123400000},
    {PAGING_5, 1 << 30, 0xffffffc0000000, 0x40000000},
};

static enum walk_result walk_to(struct machine *m, u64 linear, unsigned access, struct translation *t,
                                struct walk *w)
{
    *w = (struct walk){
        .linear = linear, .access = access, .user = m->cpu->cpl == 3, .set_bits = true, .check_rights = true};
    return walk(m->cpu, w, t);
}

START_TEST(every_size_of_page_translates)
{
    const struct size_case *c = &sizes[_i];
    struct machine *m = machine_new();
    struct translation t;
    struct walk w;
    u64 offset = c->size - 0x123, gpa = c->gpa & ones(48);

    machine_set_paging(m, c->paging);
    m->cpu->cr4 |= CR4_PSE | CR4_PGE;
    machine_map(m, c->linear, gpa, ALL | PTE_G, ALL, c->size);
    ck_assert_int_eq(walk_to(m, c->linear + offset, ACCESS_READ, &t, &w), WALK_OK);
    ck_assert_uint_eq(t.gpa, gpa + offset);
    ck_assert_uint_eq(t.size, c->size);
    ck_assert(t.global && t.user && t.writable && t.executable && !t.dirty);
    machine_delete(m);
}
END_TEST

struct reserved_case {
    enum paging paging;
    u64 size;
    bool in_upper; /* the bit is set above the leaf */
    u64 bit;
    bool is_reserved;
    u64 efer, cr4;
};

static const struct reserved_case reserved[] = {
    {PAGING_4, 4096, false, PTE_NX, true, 0, 0},
    {PAGING_4, 4096, false, PTE_NX, false, EFER_NXE, 0},
    {PAGING_4, 4096, true, PTE_NX, true, 0, 0},
    {PAGING_PAE, 4096, false, PTE_NX, true, 0, 0},
    {PAGING_PAE, 4096, false, PTE_NX, false, EFER_NXE, 0},
    {PAGING_4, 4096, false, 1ull << 48, true, 0, 0}, /* past the physical width */
    {PAGING_4, 4096, false, 1ull << 51, true, 0, 0},
    {PAGING_4, 4096, true, 1ull << 50, true, 0, 0},
    {PAGING_4, 4096, false, 1ull << 52, false, 0, 0}, /* for the system's use */
    {PAGING_4, 4096, false, 1ull << 62, false, 0, 0},
    {PAGING_PAE, 4096, false, 1ull << 52, true, 0, 0},
    {PAGING_PAE, 4096, false, 1ull << 62, true, 0, 0},
    {PAGING_4, 2 << 20, false, 1ull << 13, true, 0, 0},
    {PAGING_4, 2 << 20, false, 1ull << 20, true, 0, 0},
    {PAGING_4, 2 << 20, false, 1ull << 12, false, 0, 0}, /* PAT */
    {PAGING_4, 1 << 30, false, 1ull << 29, true, 0, 0},
    {PAGING_4, 1 << 30, false, 1ull << 13, true, 0, 0},
    {PAGING_4, 1 << 30, false, 1ull << 12, false, 0, 0},
    {PAGING_PAE, 2 << 20, false, 1ull << 20, true, 0, 0},
    {PAGING_32, 4 << 20, false, 1ull << 21, true, 0, CR4_PSE},
    {PAGING_32, 4 << 20, false, 1ull << 12, false, 0, CR4_PSE},
    {PAGING_32, 4096, false, 1ull << 9, false, 0, CR4_PSE},
};

START_TEST(reserved_bits_fault)
{
    const struct reserved_case *c = &reserved[_i];
    struct machine *m = machine_new();
    struct outcome o;

    machine_set_paging(m, c->paging);
    m->cpu->efer |= c->efer;
    m->cpu->cr4 |= c->cr4;
    mode_update(m->cpu);
    machine_map(m, 0, 0, ALL | (c->in_upper ? 0 : c->bit), ALL | (c->in_upper ? c->bit : 0), c->size);
    o = machine_access(m, 0x123, 4, ACCESS_WRITE);
    if (c->is_reserved)
        ck_faults(o, VECTOR_PF, PF_P | PF_W | PF_RSVD);
    else
        ck_done(o);
    machine_delete(m);
}
END_TEST

START_TEST(the_upper_levels_have_no_large_pages)
{
    for (unsigned paging = PAGING_4; paging <= PAGING_5; paging++) {
        struct machine *m = machine_new();

        machine_set_paging(m, (enum paging)paging);
        machine_map(m, LINEAR, TARGET, ALL, ALL, PAGE_SIZE);
        store_bytes(m->memory + m->cpu->cr3, load_bytes(m->memory + m->cpu->cr3, 8) | PTE_PS, 8);
        ck_faults(machine_access(m, LINEAR, 4, ACCESS_READ), VECTOR_PF, PF_P | PF_RSVD);
        machine_delete(m);
    }
}
END_TEST

START_TEST(missing_pages_fault_at_each_level)
{
    struct machine *m = machine_new();

    machine_set_paging(m, PAGING_4);
    m->cpu->cpl = 3;
    m->cpu->efer |= EFER_NXE;
    mode_update(m->cpu);
    ck_faults(machine_access(m, LINEAR, 4, ACCESS_READ), VECTOR_PF, PF_U);
    machine_map(m, LINEAR, 0, 0, ALL, PAGE_SIZE); /* all but the leaf */
    ck_faults(machine_access(m, LINEAR, 4, ACCESS_WRITE), VECTOR_PF, PF_U | PF_W);
    ck_faults(machine_access(m, LINEAR, 4, ACCESS_EXECUTE), VECTOR_PF, PF_U | PF_I);
    ck_faults(machine_access(m, LINEAR, 4, ACCESS_WRITE | ACCESS_SYSTEM), VECTOR_PF, PF_W);
    machine_delete(m);
}
END_TEST

/* An entry that isn't present has no reserved bits. */
START_TEST(not_present_comes_before_reserved)
{
    struct machine *m = machine_new();

    machine_set_paging(m, PAGING_4);
    machine_map(m, LINEAR, TARGET, (ALL & ~PTE_P) | 1ull << 51, ALL, PAGE_SIZE);
    ck_faults(machine_access(m, LINEAR, 4, ACCESS_READ), VECTOR_PF, 0);
    machine_delete(m);
}
END_TEST

START_TEST(accessed_and_dirty_bits_are_set)
{
    struct machine *m = machine_new();
    u32 paging = (u32)_i, entry_size = paging == PAGING_32 ? 4 : 8;
    void *leaf, *top;

    machine_set_paging(m, (enum paging)paging);
    m->cpu->cr0 |= CR0_WP;
    leaf = machine_map(m, LINEAR, TARGET, PTE_P | PTE_U, ALL, PAGE_SIZE);
    top = paging == PAGING_PAE ? m->memory + (m->cpu->pdpte[0] & PAGE_MASK) : m->memory + m->cpu->cr3;
    ck_faults(machine_access(m, LINEAR, 4, ACCESS_WRITE), VECTOR_PF, PF_P | PF_W);
    ck_assert_uint_eq(load_bytes(leaf, entry_size) & (PTE_A | PTE_D),
                      0); /* a refused access leaves no trace in the leaf */

    store_bytes(leaf, load_bytes(leaf, entry_size) | PTE_W, entry_size);
    ck_done(machine_access(m, LINEAR, 4, ACCESS_READ));
    ck_assert_uint_eq(load_bytes(leaf, entry_size) & (PTE_A | PTE_D), PTE_A);
    ck_assert_uint_eq(load_bytes(top, entry_size) & (PTE_A | PTE_D), PTE_A);
    ck_done(machine_access(m, LINEAR, 4, ACCESS_WRITE)); /* though the page is in the TLB */
    ck_assert_uint_eq(load_bytes(leaf, entry_size) & (PTE_A | PTE_D), PTE_A | PTE_D);
    ck_assert_uint_eq(load_bytes(top, entry_size) & PTE_D, 0);
    machine_delete(m);
}
END_TEST

/* Tables on pages that the map lacks, or that can't be written. */
START_TEST(tables_outside_memory_leave)
{
    struct machine *m = machine_new();
    struct outcome o;
    u64 entry;

    machine_set_paging(m, PAGING_4);
    entry = (u64)((u8 *)machine_map(m, LINEAR, TARGET, ALL, ALL, PAGE_SIZE) - m->memory);
    ck_assert(
        ram_map(m->partition.ram, entry & PAGE_MASK, PAGE_SIZE, m->memory + (entry & PAGE_MASK), PAGE_READ));
    o = machine_access(m, LINEAR, 4, ACCESS_READ);
    ck_leaves(o, entry, 1, 0); /* the accessed bit */
    ck_assert_uint_eq(o.memory.AccessInfo.GvaValid, 0);
    store_bytes(m->memory + entry, load_bytes(m->memory + entry, 8) | PTE_A, 8);
    ck_done(machine_access(m, LINEAR, 4, ACCESS_READ));
    ck_leaves(machine_access(m, LINEAR, 4, ACCESS_WRITE), entry, 1, 0); /* the dirty bit */

    tlb_flush(m->cpu, false);
    ck_assert(ram_map(m->partition.ram, entry & PAGE_MASK, PAGE_SIZE, m->memory + (entry & PAGE_MASK), 0));
    ck_leaves(machine_access(m, LINEAR, 4, ACCESS_READ), entry, 0, 0);
    ck_assert(ram_unmap(m->partition.ram, entry & PAGE_MASK, PAGE_SIZE));
    ck_leaves(machine_access(m, LINEAR, 4, ACCESS_WRITE), entry, 0, 1);
    machine_delete(m);
}
END_TEST

START_TEST(pdptes_are_checked_when_loaded)
{
    struct machine *m = machine_new();
    u64 table[4] = {0x1001, 0x2019, 0, ~(u64)1}; /* the last isn't present: anything goes */
    static const unsigned bad[] = {1, 2, 5, 6, 7, 8, 48, 52, 63};

    machine_set_paging(m, PAGING_PAE);
    memcpy(m->memory + 0x3020, table, sizeof(table));
    ck_assert(walk_load_pdptes(m->cpu, 0x3020 | 0x1f));
    ck_assert(!memcmp(m->cpu->pdpte, table, sizeof(table)));
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        store_bytes(m->memory + 0x3028, 0x2001 | (u64)1 << bad[i], 8);
        ck_assert(!walk_load_pdptes(m->cpu, 0x3020));
        ck_assert_uint_eq(m->cpu->pdpte[1], 0x2019);
    }
    machine_delete(m);
}
END_TEST

START_TEST(a_story_tells_each_level)
{
    struct machine *m = machine_new();
    struct translation t;
    char story[512] = "";
    struct walk w = {.linear = LINEAR, .story = story};

    machine_set_paging(m, PAGING_4);
    machine_map(m, LINEAR, TARGET, 0, ALL, PAGE_SIZE);
    ck_assert_int_eq(walk(m->cpu, &w, &t), WALK_NOT_PRESENT);
    ck_assert_ptr_nonnull(strstr(story, "level 4 entry at 80000: 81007"));
    ck_assert_ptr_nonnull(strstr(story, "level 1 entry at 83028: 7000"));
    machine_delete(m);
}
END_TEST

TCase *walk_cases(void)
{
    TCase *t = tcase_create("walk");

    tcase_add_loop_test(t, every_size_of_page_translates, 0, sizeof(sizes) / sizeof(sizes[0]));
    tcase_add_loop_test(t, reserved_bits_fault, 0, sizeof(reserved) / sizeof(reserved[0]));
    tcase_add_test(t, the_upper_levels_have_no_large_pages);
    tcase_add_test(t, missing_pages_fault_at_each_level);
    tcase_add_test(t, not_present_comes_before_reserved);
    tcase_add_loop_test(t, accessed_and_dirty_bits_are_set, PAGING_32, PAGINGS);
    tcase_add_test(t, tables_outside_memory_leave);
    tcase_add_test(t, pdptes_are_checked_when_loaded);
    tcase_add_test(t, a_story_tells_each_level);
    return t;
}
