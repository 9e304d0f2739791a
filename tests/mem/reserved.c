/* SPDX-License-Identifier: MIT */
/*
 * Every bit of every entry that a walk reads, in each mode and with each size of page: is it reserved, is it for the
 * address, for rights or for nobody? And which accessed and dirty bits come of it. Rules of APM 2 5.3 and 5.4, SDM 3A
 * 4.3 to 4.5, in sentences.
 */
#include "tests/mem/machine.h"

enum { LINEAR = 0x5000, ALL = PTE_P | PTE_W | PTE_U };

struct layout {
    enum paging paging;
    unsigned levels; /* of tables that walks read: PDPTEs of PAE were loaded before */
    unsigned leaf;   /* the level whose entry maps the page: 1, 2 or 3 */
};

static const struct layout layouts[] = {
    { PAGING_32, 2, 1 }, { PAGING_32, 2, 2 }, { PAGING_PAE, 2, 1 }, { PAGING_PAE, 2, 2 }, { PAGING_4, 4, 1 },
    { PAGING_4, 4, 2 },  { PAGING_4, 4, 3 },  { PAGING_5, 5, 1 },   { PAGING_5, 5, 2 },   { PAGING_5, 5, 3 },
};

static unsigned entry_size(const struct layout *l)
{
    return l->paging == PAGING_32 ? 4 : 8;
}

/* log2 of what an entry of a level maps. */
static unsigned reach(const struct layout *l, unsigned level)
{
    return 12 + (level - 1) * (l->paging == PAGING_32 ? 10 : 9);
}

static bool is_address_bit(const struct layout *l, unsigned level, unsigned bit, unsigned width)
{
    unsigned from = level == l->leaf ? reach(l, level) : 12;

    if (l->paging == PAGING_32 && level == 2 && l->leaf == 2 && bit >= 13 && bit <= 20) /* PSE-36 */
        return bit + 19 < width && bit + 19 < 40;
    return bit >= from && bit < (l->paging == PAGING_32 ? 32 : width < 52 ? width : 52);
}

/* With NXE or not; `width` of physical addresses. */
static bool is_reserved(const struct layout *l, unsigned level, unsigned bit, bool nxe, unsigned width)
{
    bool large = level == l->leaf && level > 1;

    if (is_address_bit(l, level, bit, width) || bit < 7)
        return false;
    if (bit == 7) /* PS, or PAT of a small page: no large pages above 1 GiB */
        return level >= 4;
    if (bit == 8) /* G: ignored where there is no page, but on AMD's upper levels */
        return level >= 4;
    if (bit < 12)
        return false; /* for the system */
    if (bit == 63)
        return !nxe;
    if (bit >= 52)
        return l->paging == PAGING_PAE; /* for the system, but in PAE; keys, where CR4.PKE is clear */
    if (bit == 12)
        return !large; /* PAT; of small pages it is the address's, and was seen above */
    return true;       /* above the physical width, or below a large page */
}

/* The entries from the top down, by their place in memory. */
static unsigned entries_of(struct machine *m, const struct layout *l, u8 *entry[5])
{
    unsigned size = entry_size(l), n = 0;
    u64 table = l->paging == PAGING_PAE ? m->cpu->pdpte[0] & PAGE_MASK : m->cpu->cr3 & PAGE_MASK;

    for (unsigned level = l->levels; level >= l->leaf; level--) {
        unsigned index = (u64)LINEAR >> reach(l, level) & (size == 4 ? 1023 : 511);

        entry[n] = m->memory + table + index * size;
        table = load_bytes(entry[n], size) & 0x000ffffffffff000ull;
        n++;
    }
    return n;
}

static void set_up(struct machine *m, const struct layout *l, bool nxe)
{
    machine_set_paging(m, l->paging);
    m->cpu->cr4 |= CR4_PSE;
    m->cpu->efer |= nxe ? EFER_NXE : 0;
    mode_update(m->cpu);
    machine_map(m, LINEAR, l->leaf > 1 ? 0 : 0x7000, ALL, ALL, (u64)1 << reach(l, l->leaf));
}

START_TEST(each_bit_of_each_entry)
{
    const struct layout *l = &layouts[_i / 2];
    bool nxe = _i & 1;
    static const unsigned widths[] = { 36, 39, 48, 52 };
    struct machine *m = machine_new();

    for (unsigned w = 0; w < 4; w++)
        for (unsigned i = 0; i <= l->levels - l->leaf; i++)
            for (unsigned bit = 1; bit < entry_size(l) * 8; bit++) {
                unsigned level = l->levels - i, size = entry_size(l);
                bool reserved = is_reserved(l, level, bit, nxe, widths[w]);
                u8 *entry[5];
                u64 value;

                m->partition.physical_width = widths[w];
                set_up(m, l, nxe);
                entries_of(m, l, entry);
                value = load_bytes(entry[i], size) | (u64)1 << bit;
                store_bytes(entry[i], value, size);
                bool changes = is_address_bit(l, level, bit, widths[w]) || (bit == 7 && level != l->leaf && level <= 3);
                struct outcome o = machine_access(m, LINEAR + 8, 4, ACCESS_WRITE);

                /* where the address leads elsewhere, anything may come but a reserved bit's fault */
                if (!changes || reserved)
                    ck_assert_msg(reserved ? o.kind == FAULT && o.vector == VECTOR_PF && o.cr2 == LINEAR + 8 &&
                                                 o.error == (PF_P | PF_W | PF_RSVD)
                                           : o.kind == DONE,
                                  "paging %d, width %u, leaf %u, level %u, bit %u, NXE %d: kind %d error %x", l->paging,
                                  widths[w], l->leaf, level, bit, nxe, o.kind, o.error);
            }
    machine_delete(m);
}
END_TEST

/*
 * A walk that ends well sets the accessed bit of each entry that it read, and a write the dirty bit of the last. One
 * that is refused leaves the last as it is. Other bits never change.
 */
START_TEST(accessed_and_dirty_at_each_level)
{
    const struct layout *l = &layouts[_i];

    for (unsigned access = 0; access < 6; access++) {
        struct machine *m = machine_new();
        unsigned right = access % 3 == 0 ? ACCESS_READ : access % 3 == 1 ? ACCESS_WRITE : ACCESS_EXECUTE;
        bool refused = access >= 3;
        u8 *entry[5];
        u64 was[5];

        set_up(m, l, false);
        unsigned n = entries_of(m, l, entry), size = entry_size(l);

        if (refused) { /* for supervisors, and level 3 asks */
            store_bytes(entry[n - 1], load_bytes(entry[n - 1], size) & ~(u64)PTE_U, size);
            m->cpu->cpl = 3;
            mode_update(m->cpu);
        }
        for (unsigned i = 0; i < n; i++)
            was[i] = load_bytes(entry[i], size);
        ck_assert_int_eq(machine_access(m, LINEAR + 8, 1, right).kind, refused ? FAULT : DONE);
        for (unsigned i = 0; i < n; i++) {
            u64 bits = PTE_A | (i == n - 1 && right == ACCESS_WRITE ? PTE_D : 0), now = load_bytes(entry[i], size);

            if (!refused)
                ck_assert_uint_eq(now, was[i] | bits);
            else if (i == n - 1)
                ck_assert_uint_eq(now, was[i]);
        }
        machine_delete(m);
    }
}
END_TEST

/* The last entry's dirty bit comes with the first write, also where reads were remembered; a set one isn't written
 * again. */
START_TEST(a_write_after_reads_is_dirty)
{
    const struct layout *l = &layouts[_i];
    struct machine *m = machine_new();
    unsigned size = entry_size(l);
    u8 *entry[5];

    set_up(m, l, false);
    unsigned n = entries_of(m, l, entry);

    ck_done(machine_access(m, LINEAR, 1, ACCESS_READ));
    ck_done(machine_access(m, LINEAR, 1, ACCESS_READ | ACCESS_SYSTEM));
    ck_assert_uint_eq(load_bytes(entry[n - 1], size) & PTE_D, 0);
    ck_done(machine_access(m, LINEAR, 1, ACCESS_WRITE));
    ck_assert_uint_eq(load_bytes(entry[n - 1], size) & PTE_D, PTE_D);
    store_bytes(entry[n - 1], load_bytes(entry[n - 1], size) & ~(u64)PTE_D, size); /* the TLB may remember it */
    ck_done(machine_access(m, LINEAR, 1, ACCESS_WRITE));
    ck_assert_uint_eq(load_bytes(entry[n - 1], size) & PTE_D, 0);
    tlb_flush(m->cpu, false);
    ck_done(machine_access(m, LINEAR, 1, ACCESS_WRITE));
    ck_assert_uint_eq(load_bytes(entry[n - 1], size) & PTE_D, PTE_D);
    machine_delete(m);
}
END_TEST

/* PDPTEs of PAE: present ones may have PWT, PCD, the system's bits 9 to 11 and an address, and nothing else. */
START_TEST(each_bit_of_a_PDPTE)
{
    static const unsigned widths[] = { 36, 39, 48, 52 };
    struct machine *m = machine_new();

    memset(m->memory + 0x3000, 0, 32);
    machine_set_paging(m, PAGING_PAE);
    for (unsigned w = 0; w < 4; w++)
        for (unsigned i = 0; i < 4; i++)
            for (unsigned bit = 1; bit < 64; bit++) {
                bool allowed = bit == 3 || bit == 4 || (bit >= 9 && bit < widths[w]);

                m->partition.physical_width = widths[w];
                store_bytes(m->memory + 0x3000 + i * 8, 1 | (u64)1 << bit, 8);
                ck_assert_msg(walk_load_pdptes(m->cpu, 0x3000) == allowed, "width %u, PDPTE %u, bit %u", widths[w], i,
                              bit);
                store_bytes(m->memory + 0x3000 + i * 8, (u64)1 << bit, 8); /* not present */
                ck_assert(walk_load_pdptes(m->cpu, 0x3000));
            }
    machine_delete(m);
}
END_TEST

/* 48 bits of linear address with four levels, 57 with five: the upper bits are all the same. */
START_TEST(canonical_addresses)
{
    for (unsigned five = 0; five < 2; five++) {
        unsigned width = five ? 57 : 48;
        u64 top = (u64)1 << (width - 1);
        struct machine *m = machine_new();

        machine_set_paging(m, five ? PAGING_5 : PAGING_4);
        for (unsigned bit = 40; bit < 64; bit++) {
            u64 low = (u64)1 << bit, high = ~(u64)0 << bit;

            /* what is canonical walks, and finds nothing */
            if (bit < width - 1)
                ck_faults(machine_access(m, low, 1, ACCESS_READ), VECTOR_PF, 0);
            else
                ck_faults(machine_access(m, low, 1, ACCESS_READ), VECTOR_GP, 0);
            if (bit <= width - 1)
                ck_faults(machine_access(m, high, 1, ACCESS_READ), VECTOR_PF, 0);
            else
                ck_faults(machine_access(m, high, 1, ACCESS_READ), VECTOR_GP, 0);
        }
        ck_faults(machine_access(m, top - 4, 4, ACCESS_READ), VECTOR_PF, 0);
        ck_faults(machine_access(m, top - 3, 4, ACCESS_READ), VECTOR_GP, 0);
        ck_faults(machine_access(m, 0 - top - 1, 4, ACCESS_READ), VECTOR_GP, 0);
        ck_faults(machine_access(m, 0 - top, 4, ACCESS_READ), VECTOR_PF, 0);
        machine_delete(m);
    }
}
END_TEST

TCase *reserved_cases(void)
{
    TCase *t = tcase_create("reserved bits");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, each_bit_of_each_entry, 0, 2 * sizeof layouts / sizeof *layouts);
    tcase_add_loop_test(t, accessed_and_dirty_at_each_level, 0, sizeof layouts / sizeof *layouts);
    tcase_add_loop_test(t, a_write_after_reads_is_dirty, 0, sizeof layouts / sizeof *layouts);
    tcase_add_test(t, each_bit_of_a_PDPTE);
    tcase_add_test(t, canonical_addresses);
    return t;
}
