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

/*
 * Code is where the tables said at the first fetch since its page was forgotten, whatever else is fetched or accessed. The
 * tables change behind the processor's back all the time. Large pages are in a gigabyte of their own: INVLPG there forgets
 * all code.
 */
START_TEST(fetches_stand_until_they_are_forgotten)
{
    enum { PAGES = 40, LARGE = 3, NOWHERE = -1 };
    struct machine *m = machine_with(0);
    i64 is[PAGES] = { 0 }, known[PAGES];
    u64 linear[PAGES], *leaf[PAGES], random = 5;
    bool has_large = false; /* fetched since all was forgotten */

    for (u32 i = 0; i < PAGES; i++) {
        bool is_large = i < LARGE;

        known[i] = NOWHERE;
        linear[i] = is_large ? ((u64)1 << 30) + ((u64)i << 21) : (u64)(i + 2) * TLB_ENTRIES << 12; /* all of one slot */
        leaf[i] = machine_map(m, linear[i], 0, ALL | (i % 3 ? 0 : PTE_G), ALL, is_large ? (u64)2 << 20 : PAGE_SIZE);
    }
    for (u32 round = 0; round < 30000; round++) {
        random = random * 6364136223846793005u + 1442695040888963407u;

        u32 i = (u32)(random >> 33) % PAGES, what = (u32)(random >> 50) % 100;

        if (what < 30 && i >= LARGE) {
            is[i] = (i64)(random >> 57) << 12;
            *leaf[i] = (*leaf[i] & 0xfff) | (u64)is[i];
        } else if (what < 40) {
            bool forgets_all = i < LARGE && has_large;

            tlb_flush_page(m->cpu, linear[i] + 5);
            for (u32 k = 0; k < PAGES; k++)
                known[k] = k == i || forgets_all ? NOWHERE : known[k];
            has_large &= !forgets_all;
        } else if (what < 42) {
            bool keeps_global = random >> 40 & 1;

            tlb_flush(m->cpu, keeps_global);
            for (u32 k = 0; k < PAGES; k++)
                known[k] = keeps_global && k % 3 == 0 ? known[k] : NOWHERE;
            has_large &= keeps_global;
        } else if (what < 60) {
            ck_done(machine_access(m, linear[i], 1, ACCESS_READ));
        } else {
            struct outcome o = machine_access(m, linear[i] + 7, 1, ACCESS_EXECUTE);

            known[i] = known[i] == NOWHERE ? is[i] : known[i];
            has_large |= i < LARGE;
            ck_done(o);
            ck_assert_ptr_eq(o.bytes, m->memory + known[i] + 7);
        }
    }
    machine_delete(m);
}
END_TEST

/* More pages than are remembered: all are forgotten, and found again. */
START_TEST(code_may_be_anywhere)
{
    struct machine *m = machine_new();

    machine_set_paging(m, PAGING_4);
    for (u64 n = 0; n < 4096; n++)
        machine_map(m, n << 12, (n & 127) << 12, ALL, ALL, PAGE_SIZE);
    for (unsigned round = 0; round < 3; round++)
        for (u64 n = 0; n < 4096; n++) {
            struct outcome o = machine_access(m, n << 12, 1, ACCESS_EXECUTE);

            ck_done(o);
            ck_assert_ptr_eq(o.bytes, m->memory + ((n & 127) << 12));
        }
    machine_delete(m);
}
END_TEST

TCase *tlb_cases(void)
{
    TCase *t = tcase_create("tlb");

    tcase_add_test(t, global_pages_survive_a_new_cr3);
    tcase_add_test(t, fetches_stand_until_they_are_forgotten);
    tcase_add_test(t, code_may_be_anywhere);
    tcase_add_test(t, a_slot_changes_hands);
    tcase_add_test(t, every_slot_can_be_used_and_flushed);
    tcase_add_loop_test(t, one_page_is_forgotten, 0, 4);
    tcase_add_test(t, watching_takes_writes_from_all_aliases);
    tcase_add_test(t, watching_changes_no_translation);
    tcase_add_test(t, clean_pages_are_read_only_in_the_tlb);
    tcase_add_test(t, nobody_fills_the_bank_of_alignment_checks);
    return t;
}
