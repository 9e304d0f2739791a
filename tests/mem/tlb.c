/* SPDX-License-Identifier: MIT */
/* What the TLB forgets, and when. */
#include "tests/mem/machine.h"

enum { ALL = PTE_P | PTE_W | PTE_U };

static bool knows(struct machine *m, u64 linear, bool write)
{
    struct tlb_entry *e = tlb_entry(m->cpu, linear);

    return (write ? e->write : e->read) == (linear & PAGE_MASK);
}

static struct machine *machine_with(u64 leaf)
{
    struct machine *m = machine_new();

    machine_set_paging(m, PAGING_4);
    m->cpu->cr4 |= CR4_PGE;
    for (u64 n = 0; n < 8; n++)
        machine_map(m, n << 12, n << 12, ALL | (n & 1 ? leaf : 0), ALL, PAGE_SIZE);
    return m;
}

START_TEST(global_pages_survive_a_new_cr3)
{
    struct machine *m = machine_with(PTE_G);

    for (unsigned round = 0; round < 3; round++) {
        for (u64 n = 0; n < 8; n++)
            ck_done(machine_access(m, n << 12, 8, ACCESS_WRITE));
        tlb_flush(m->cpu, true);
        for (u64 n = 0; n < 8; n++)
            ck_assert(knows(m, n << 12, true) == (n & 1));
    }
    tlb_flush(m->cpu, false);
    for (u64 n = 0; n < 8; n++)
        ck_assert(!knows(m, n << 12, false));
    for (unsigned b = 0; b < BANKS; b++)
        ck_assert_uint_eq(m->cpu->banks[b].globals_used + m->cpu->banks[b].locals_used, 0);
    machine_delete(m);
}
END_TEST

/* One slot that serves local and global pages in turn, through both lists. */
START_TEST(a_slot_changes_hands)
{
    struct machine *m = machine_with(0);
    u64 twin = (u64)TLB_ENTRIES << 12;

    machine_map(m, twin, 0x3000, ALL | PTE_G, ALL, PAGE_SIZE); /* same slot as page 0 */
    for (unsigned round = 0; round < 3000; round++) {
        bool global = round & 1, flushed = round % 3 == 0;

        ck_done(machine_access(m, global ? twin : 0, 8, ACCESS_WRITE));
        ck_assert(knows(m, global ? twin : 0, true) && !knows(m, global ? 0 : twin, true));
        if (flushed)
            tlb_flush(m->cpu, true);
        ck_assert(knows(m, global ? twin : 0, true) == (global || !flushed));
    }
    machine_delete(m);
}
END_TEST

START_TEST(every_slot_can_be_used_and_flushed)
{
    struct machine *m = machine_new();

    machine_set_paging(m, PAGING_4);
    for (unsigned round = 0; round < 4; round++) {
        for (u64 n = 0; n < 4096; n++) {
            u64 linear = n << 12;

            machine_map(m, linear, (n & 127) << 12, ALL | (n & 2 ? PTE_G : 0), ALL, PAGE_SIZE);
            ck_done(machine_access(m, linear, 1, n & 1 ? ACCESS_WRITE : ACCESS_READ));
        }
        tlb_flush(m->cpu, round & 1);
        ck_assert_uint_eq(m->cpu->banks[BANK_SUPERVISOR].locals_used, 0);
        machine_set_paging(m, PAGING_4);
        m->cpu->cr4 |= CR4_PGE;
    }
    machine_delete(m);
}
END_TEST

/* Changed tables are seen after INVLPG, whatever size the page had, from any address in it. */
START_TEST(one_page_is_forgotten)
{
    static const struct {
        enum paging paging;
        u64 size;
    } pages[] = {{PAGING_4, 4096}, {PAGING_4, 2 << 20}, {PAGING_4, 1 << 30}, {PAGING_32, 4 << 20}};
    u64 size = pages[_i].size, linear = 1 << 30, other = (u64)2 << 30;
    struct machine *m = machine_new();
    u32 generation;

    machine_set_paging(m, pages[_i].paging);
    m->cpu->cr4 |= CR4_PSE;
    machine_map(m, linear, 0, ALL | PTE_G, ALL, size);
    for (u64 at = 0; at < MEMORY_SIZE && at < size; at += 0x3000)
        ck_done(machine_access(m, linear + at, 8, ACCESS_WRITE));
    ck_assert(knows(m, linear, true));
    generation = m->cpu->generation;
    tlb_flush_page(m->cpu, linear + size - 1);
    ck_assert_uint_eq(m->cpu->generation, generation); /* no code came from there, so links stand */
    for (u64 at = 0; at < MEMORY_SIZE && at < size; at += 0x3000)
        ck_assert(!knows(m, linear + at, true) && !knows(m, linear + at, false));
    ck_done(machine_access(m, linear, 1, ACCESS_EXECUTE));
    machine_map(m, other, 0, ALL, ALL, size);
    ck_done(machine_access(m, other, 8, ACCESS_READ)); /* takes the slot, but links go on relying on the first */
    tlb_flush_page(m->cpu, linear + size - 1);
    ck_assert_uint_ne(m->cpu->generation, generation);
    machine_delete(m);
}
END_TEST

START_TEST(watching_takes_writes_from_all_aliases)
{
    struct machine *m = machine_with(0);

    machine_map(m, 0x20000, 0x3000, ALL | PTE_G, ALL, PAGE_SIZE);
    ck_done(machine_access(m, 0x3000, 8, ACCESS_WRITE));
    ck_done(machine_access(m, 0x20000, 8, ACCESS_WRITE));
    ck_done(machine_access(m, 0x4000, 8, ACCESS_WRITE));
    tlb_watch(m->cpu, m->memory + 0x3000);
    ck_assert(!knows(m, 0x3000, true) && !knows(m, 0x20000, true));
    ck_assert(knows(m, 0x3000, false) && knows(m, 0x20000, false) && knows(m, 0x4000, true));
    machine_delete(m);
}
END_TEST

/* What is decoded when is not the guest's to see: its translation of the page stays, also when the table says otherwise by
 * now, as it would have stayed without the code. */
START_TEST(watching_changes_no_translation)
{
    struct machine *m = machine_with(0);
    u64 *leaf = machine_map(m, 0x20000, 0x3000, ALL, ALL, PAGE_SIZE);

    ck_done(machine_access(m, 0x20000, 8, ACCESS_WRITE));
    *leaf = 0;
    tlb_watch(m->cpu, m->memory + 0x3000);
    ck_done(machine_access(m, 0x20000, 8, ACCESS_WRITE));
    mem_write_linear(m->cpu, 0x20000, 8, 1, ACCESS_WRITE); /* it finds that there is no code, and goes straight again */
    ck_assert(knows(m, 0x20000, true));
    ck_done(machine_access(m, 0x20000, 8, ACCESS_WRITE));
    machine_delete(m);
}
END_TEST

/* A page that was read first gets its write tag with its dirty bit, not before. */
START_TEST(clean_pages_are_read_only_in_the_tlb)
{
    struct machine *m = machine_with(0);

    ck_done(machine_access(m, 0x3000, 8, ACCESS_READ));
    ck_assert(knows(m, 0x3000, false) && !knows(m, 0x3000, true));
    ck_done(machine_access(m, 0x3000, 8, ACCESS_WRITE));
    ck_assert(knows(m, 0x3000, false) && knows(m, 0x3000, true));
    tlb_flush(m->cpu, false);
    ck_done(machine_access(m, 0x3000, 8, ACCESS_READ)); /* dirty by now */
    ck_assert(knows(m, 0x3000, true));
    machine_delete(m);
}
END_TEST

START_TEST(nobody_fills_the_bank_of_alignment_checks)
{
    struct machine *m = machine_with(0);

    m->cpu->cpl = 3;
    m->cpu->cr0 |= CR0_AM;
    m->cpu->rflags |= AC;
    mode_update(m->cpu);
    ck_done(machine_access(m, 0x3000, 8, ACCESS_WRITE));
    ck_assert_ptr_eq(m->cpu->tlb, m->cpu->banks[BANK_NONE].entry);
    ck_assert(!knows(m, 0x3000, true) && !knows(m, 0x3000, false));
    ck_faults(machine_access(m, 0x3001, 8, ACCESS_WRITE), VECTOR_AC, 0);
    machine_delete(m);
}
END_TEST

TCase *tlb_cases(void)
{
    TCase *t = tcase_create("tlb");

    tcase_add_test(t, global_pages_survive_a_new_cr3);
    tcase_add_test(t, a_slot_changes_hands);
    tcase_add_test(t, every_slot_can_be_used_and_flushed);
    tcase_add_loop_test(t, one_page_is_forgotten, 0, 4);
    tcase_add_test(t, watching_takes_writes_from_all_aliases);
    tcase_add_test(t, watching_changes_no_translation);
    tcase_add_test(t, clean_pages_are_read_only_in_the_tlb);
    tcase_add_test(t, nobody_fills_the_bank_of_alignment_checks);
    return t;
}
