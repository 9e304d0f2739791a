/* SPDX-License-Identifier: MIT */
/* Accesses: pages crossed, exits, alignment, who is told of writes, locked ones, and the emulator library's
 * seam. */
#include <stdio.h>

#include "tests/mem/machine.h"

enum { ALL = PTE_P | PTE_W | PTE_U };

static struct machine *flat(void)
{
    struct machine *m = machine_new();

    machine_set_paging(m, PAGING_4);
    for (u64 n = 0; n < 16; n++)
        machine_map(m, n << 12, n << 12, ALL, ALL, PAGE_SIZE);
    return m;
}

static void store(struct machine *m, u64 linear, u64 value, unsigned size)
{
    ck_done(machine_access(m, linear, size, ACCESS_WRITE));
    store_bytes(m->cpu->place.bytes, value, size);
    place_commit(m->cpu, &m->cpu->place);
}

START_TEST(a_plain_access_is_memory_itself)
{
    struct machine *m = flat();

    ck_assert_ptr_eq(machine_access(m, 0x5ff8, 8, ACCESS_WRITE).bytes, m->memory + 0x5ff8);
    ck_assert_ptr_eq(place_hit(m->cpu, 0x5ff8, 8, true), m->memory + 0x5ff8);
    ck_assert_ptr_null(place_hit(m->cpu, 0x5ff9, 8, true));
    machine_delete(m);
}
END_TEST

START_TEST(two_pages_act_as_one_stretch)
{
    struct machine *m = flat();
    void *leaf =
        machine_map(m, 0x6000, 0x9000, ALL, ALL, PAGE_SIZE); /* the second isn't the first's neighbour */

    for (unsigned first = 1; first < 8; first++) {
        u64 linear = 0x6000 - first;

        store(m, linear, 0x0807060504030201, 8);
        for (unsigned i = 0; i < 8; i++)
            ck_assert_uint_eq(m->memory[i < first ? linear + i : 0x9000 + i - first], i + 1);
        ck_assert_uint_eq(mem_read_linear(m->cpu, linear, 8, ACCESS_READ), 0x0807060504030201);
    }
    ck_assert(load_bytes(leaf, 8) & PTE_D);
    machine_delete(m);
}
END_TEST

START_TEST(nothing_is_done_when_the_second_page_faults)
{
    struct machine *m = flat();
    struct outcome o;

    machine_map(m, 0x6000, 0x6000, 0, ALL, PAGE_SIZE);
    memset(m->memory + 0x5ff0, 0xaa, 32);
    o = machine_access(m, 0x5ffe, 4, ACCESS_WRITE);
    ck_faults(o, VECTOR_PF, PF_W);
    ck_assert_uint_eq(o.cr2, 0x6000); /* the first byte of the bad page */
    ck_assert_uint_eq(m->memory[0x5ffe], 0xaa);

    machine_map(m, 0x6000, 0x200000, ALL, ALL, PAGE_SIZE);
    o = machine_access(m, 0x5ffe, 4, ACCESS_WRITE);
    ck_leaves(o, 0x200000, 1, 1);
    ck_assert_uint_eq(o.memory.Gva, 0x6000);

    machine_map(m, 0x5000, 0x5000, 0, ALL, PAGE_SIZE); /* both bad: the lower one tells */
    tlb_flush(m->cpu, false);
    o = machine_access(m, 0x5ffe, 4, ACCESS_READ);
    ck_faults(o, VECTOR_PF, 0);
    ck_assert_uint_eq(o.cr2, 0x5ffe);
    machine_delete(m);
}
END_TEST

struct right_case {
    u32 rights;
    unsigned access;
    bool leaves;
    unsigned type;
};

static const struct right_case map_rights[] = {
    {PAGE_READ, ACCESS_READ, false, 0},
    {PAGE_READ, ACCESS_WRITE, true, 1},
    {PAGE_READ, ACCESS_EXECUTE, true, 2},
    {PAGE_READ | PAGE_EXECUTE, ACCESS_WRITE, true, 1},
    {PAGE_READ | PAGE_EXECUTE, ACCESS_EXECUTE, false, 0},
    {PAGE_READ | PAGE_WRITE, ACCESS_WRITE | ACCESS_READ_TOO, false, 0},
    {PAGE_READ | PAGE_WRITE, ACCESS_EXECUTE, true, 2},
    {PAGE_WRITE, ACCESS_WRITE, false, 0},
    {PAGE_WRITE, ACCESS_READ, true, 0},
    {PAGE_WRITE, ACCESS_WRITE | ACCESS_READ_TOO, true, 1},
    {0, ACCESS_READ, true, 0},
    {0, ACCESS_WRITE, true, 1},
    {0, ACCESS_EXECUTE, true, 2},
};

START_TEST(rights_of_the_map_leave)
{
    const struct right_case *c = &map_rights[_i];
    struct machine *m = flat();

    ck_assert(ram_map(m->partition.ram, 0x5000, PAGE_SIZE, m->memory + 0x5000, c->rights));
    for (unsigned twice = 0; twice < 2; twice++) {
        struct outcome o = machine_access(m, 0x5008, 4, c->access);

        if (c->leaves)
            ck_leaves(o, 0x5008, c->type, 0);
        else
            ck_done(o);
    }
    ck_assert(ram_unmap(m->partition.ram, 0x5000, PAGE_SIZE));
    tlb_flush(m->cpu, false);
    ck_leaves(machine_access(m, 0x5008, 4, c->access), 0x5008, c->access & ACCESS_RIGHT, 1);
    machine_delete(m);
}
END_TEST

START_TEST(addresses_wrap_or_are_canonical)
{
    struct machine *m = flat();

    ck_faults(machine_access(m, 0x800000000000, 4, ACCESS_READ | ACCESS_SYSTEM), VECTOR_GP, 0);
    ck_faults(machine_access(m, 0x7ffffffffffe, 4, ACCESS_READ | ACCESS_SYSTEM), VECTOR_GP, 0);
    machine_set_paging(m, PAGING_NONE);
    ck_assert(ram_map(m->partition.ram, 0xfffff000, PAGE_SIZE, m->memory + 0x8000, PAGE_READ | PAGE_WRITE));
    store(m, 0xfffffffe, 0x44332211, 4);
    ck_assert_uint_eq(load_bytes(m->memory + 0x8ffe, 2), 0x2211);
    ck_assert_uint_eq(load_bytes(m->memory, 2), 0x4433);
    ck_assert_ptr_eq(machine_access(m, 0x100005000, 4, ACCESS_READ).bytes, m->memory + 0x5000);
    machine_delete(m);
}
END_TEST

struct alignment_case {
    unsigned size, offset, access;
    int vector; /* -1: none */
};

static const struct alignment_case alignments[] = {
    {1, 1, ACCESS_READ, -1},
    {2, 1, ACCESS_READ, VECTOR_AC},
    {4, 2, ACCESS_WRITE, VECTOR_AC},
    {8, 4, ACCESS_READ, VECTOR_AC},
    {8, 8, ACCESS_READ, -1},
    {10, 4, ACCESS_READ, VECTOR_AC},
    {10, 8, ACCESS_READ, -1},
    {16, 8, ACCESS_READ, VECTOR_AC},
    {32, 16, ACCESS_READ, -1},
    {28, 2, ACCESS_READ, VECTOR_AC},
    {28, 4, ACCESS_READ, -1},
    {14, 2, ACCESS_READ, -1},
    {4, 1, ACCESS_READ | ACCESS_SYSTEM, -1},
    {4, 1, ACCESS_READ | ACCESS_PLAIN, -1},
    {16, 8, ACCESS_READ | ACCESS_ALIGNED, VECTOR_GP},
    {32, 16, ACCESS_WRITE | ACCESS_ALIGNED, VECTOR_GP},
};

/* On pages that aren't there: alignment comes before them. */
START_TEST(alignment_is_checked_before_pages)
{
    const struct alignment_case *c = &alignments[_i];
    struct machine *m = machine_new();
    struct outcome o;

    machine_set_paging(m, PAGING_4);
    m->cpu->cpl = 3;
    m->cpu->cr0 |= CR0_AM;
    m->cpu->rflags |= AC;
    mode_update(m->cpu);
    o = machine_access(m, 0x5000 + c->offset, c->size, c->access);
    ck_assert_int_eq(o.kind, FAULT);
    ck_assert_int_eq(o.vector, c->vector < 0 ? VECTOR_PF : c->vector);
    ck_assert(c->vector < 0 || o.error == 0);

    m->cpu->cpl = 0; /* only CPL 3 checks; SSE's alignment is for all */
    mode_update(m->cpu);
    o = machine_access(m, 0x5000 + c->offset, c->size, c->access);
    ck_assert_int_eq(o.vector, c->vector == VECTOR_GP ? VECTOR_GP : VECTOR_PF);
    machine_delete(m);
}
END_TEST

START_TEST(writes_to_code_are_noted)
{
    struct machine *m = flat();
    struct page page = ram_page(m->partition.ram, 0x5000);

    ck_done(machine_access(m, 0x5000, 4, ACCESS_WRITE));
    *page.granules = 1ull << 2 | 1ull << 63; /* bytes 80 to bf, and the last 40 */
    ram_page_note(page, PAGE_CODE);
    tlb_watch(m->cpu, m->memory + 0x5000);
    ck_assert_ptr_null(place_hit(m->cpu, 0x5000, 4, true));
    ck_assert_ptr_nonnull(place_hit(m->cpu, 0x5000, 4, false) ? m : NULL);

    store(m, 0x50c0, 1, 8); /* beside it: nobody is called, however often */
    store(m, 0x507c, 2, 4);
    ck_assert_uint_eq(m->cpu->attention & ATTENTION_CODE, 0);
    ck_assert_uint_eq(m->cpu->stales, 0);
    ck_assert_ptr_null(place_hit(m->cpu, 0x50c0, 4, true));
    ck_assert_uint_eq(load_bytes(m->memory + 0x507c, 8), 2);

    store(m, 0x507d, 3, 4); /* reaches into it */
    ck_assert_uint_eq(m->cpu->attention & ATTENTION_CODE, ATTENTION_CODE);
    ck_assert_uint_eq(m->cpu->stales, 1);
    ck_assert_uint_eq(m->cpu->stale[0].gpa, 0x507d);
    ck_assert_uint_eq(m->cpu->stale[0].size, 4);

    store(m, 0x5ffc, 4, 8); /* two pages, code on the first */
    ck_assert_uint_eq(m->cpu->stales, 2);
    ck_assert_uint_eq(m->cpu->stale[1].gpa, 0x5ffc);
    ck_assert_uint_eq(m->cpu->stale[1].size, 4);

    for (unsigned i = 0; i < 10; i++)
        store(m, 0x5080, i, 1);
    ck_assert_uint_eq(m->cpu->stales, 12); /* more than fit is told, too */

    *page.host &= ~(u64)PAGE_CODE; /* decoded code is gone: one more slow write finds out */
    store(m, 0x5080, 1, 1);
    store(m, 0x5080, 1, 1);
    ck_assert_ptr_nonnull(place_hit(m->cpu, 0x5080, 1, true) ? m : NULL);
    machine_delete(m);
}
END_TEST

START_TEST(tracked_pages_become_dirty)
{
    struct machine *m = flat();
    u32 rights = PAGE_READ | PAGE_WRITE | PAGE_TRACK;

    ck_assert(ram_map(m->partition.ram, 0x5000, PAGE_SIZE, m->memory + 0x5000, rights));
    ck_done(machine_access(m, 0x5000, 4, ACCESS_READ));
    ck_assert_uint_eq(ram_find(m->partition.ram, 0x5000) & PAGE_DIRTY, 0);
    ck_assert_ptr_null(place_hit(m->cpu, 0x5000, 4, true));
    store(m, 0x5000, 1, 4);
    ck_assert_uint_eq(ram_find(m->partition.ram, 0x5000) & PAGE_DIRTY, PAGE_DIRTY);
    ck_assert_ptr_nonnull(place_hit(m->cpu, 0x5000, 4, true) ? m : NULL);
    machine_delete(m);
}
END_TEST

struct breakpoint_case {
    unsigned kind, length_bits;
    u64 address, linear;
    unsigned size, access;
    bool meets;
};

static const struct breakpoint_case breakpoints[] = {
    {1, 3, 0x5010, 0x5010, 4, ACCESS_WRITE, true},
    {1, 3, 0x5010, 0x5010, 4, ACCESS_READ, false},
    {3, 3, 0x5010, 0x5010, 4, ACCESS_READ, true},
    {3, 3, 0x5010, 0x500f, 1, ACCESS_READ, false},
    {3, 3, 0x5010, 0x500f, 2, ACCESS_READ, true},
    {3, 3, 0x5013, 0x5010, 1, ACCESS_WRITE, true}, /* low bits don't count */
    {3, 3, 0x5010, 0x5014, 8, ACCESS_WRITE, false},
    {3, 2, 0x5010, 0x5017, 1, ACCESS_WRITE, true}, /* 8 bytes */
    {3, 0, 0x5010, 0x5011, 4, ACCESS_WRITE, false},
    {0, 0, 0x5010, 0x5010, 4, ACCESS_WRITE, false}, /* of instructions */
    {2, 0, 0x5010, 0x5010, 4, ACCESS_READ, false},  /* of ports */
    {3, 1, 0x5ffe, 0x5ffc, 8, ACCESS_READ, true},   /* across a page */
    {1, 1, 0x6000, 0x5ffc, 8, ACCESS_WRITE, true},
};

START_TEST(data_breakpoints_are_met)
{
    const struct breakpoint_case *c = &breakpoints[_i];
    struct machine *m = flat();

    m->cpu->dr[2] = c->address;
    m->cpu->dr[7] = DR7_FIXED | 1 << 4 | c->kind << 24 | c->length_bits << 26;
    for (unsigned twice = 0; twice < 2; twice++) {
        m->cpu->pending_debug = m->cpu->attention = 0;
        ck_done(machine_access(m, c->linear, c->size, c->access));
        if (c->access == ACCESS_WRITE) {
            ck_assert_uint_eq(m->cpu->pending_debug, 0); /* not before it is done */
            place_commit(m->cpu, &m->cpu->place);
        }
        ck_assert_uint_eq(m->cpu->pending_debug, c->meets ? 4 : 0);
        ck_assert_uint_eq(m->cpu->attention, c->meets ? ATTENTION_DEBUG : 0);
    }
    m->cpu->dr[7] = DR7_FIXED;
    tlb_flush(m->cpu, false);
    m->cpu->pending_debug = 0;
    store(m, c->linear, 0, c->size);
    ck_assert_uint_eq(m->cpu->pending_debug, 0);
    machine_delete(m);
}
END_TEST

START_TEST(compare_exchange_has_every_size)
{
    struct machine *m = flat();

    for (unsigned size = 1; size <= 16; size *= 2) {
        for (unsigned offset = 0; offset < (size == 16 ? 1 : 3); offset++) {
            u64 linear = offset == 2 ? 0x6000 - size / 2 : 0x5100 + offset; /* aligned, not, on two pages */
            u128 old = ((u128)0x1122334455667788 << 64) | 0x99aabbccddeeff00, expected,
                 mask = ~(u128)0 >> (128 - 8 * size);

            memcpy(m->memory + linear, &old, size);
            m->memory[linear + size] = 0x77;
            ck_done(machine_access(m, linear, size, ACCESS_WRITE | ACCESS_READ_TOO));
            expected = 5;
            ck_assert(!place_compare_exchange(m->cpu, &m->cpu->place, &expected, 6));
            ck_assert((expected & mask) == (old & mask));
            ck_assert(!memcmp(m->memory + linear, &old, size));
            ck_assert(place_compare_exchange(m->cpu, &m->cpu->place, &expected, ~old));
            old = ~old;
            ck_assert(!memcmp(m->memory + linear, &old, size));
            ck_assert_uint_eq(m->memory[linear + size], 0x77);
        }
    }
    machine_delete(m);
}
END_TEST

/* ---- the seam ---- */

struct log {
    char text[256];
    int fail_at;
};

static bool log_add(struct log *log, char what, u64 gpa, unsigned size)
{
    size_t used = strlen(log->text);

    snprintf(log->text + used, sizeof(log->text) - used, "%c%llx:%u ", what, (unsigned long long)gpa, size);
    return log->fail_at-- != 0;
}

static bool seam_translate(void *context, struct vcpu *cpu, u64 linear, unsigned access, u64 *gpa)
{
    (void)cpu;
    *gpa = linear + 0x100000;
    return log_add(context, "RWX"[access], linear, 0);
}

static bool seam_read(void *context, u64 gpa, void *bytes, unsigned size)
{
    memset(bytes, 0x5a, size);
    return log_add(context, 'r', gpa, size);
}

static bool seam_write(void *context, u64 gpa, const void *bytes, unsigned size)
{
    ck_assert_uint_eq(*(const u8 *)bytes, 0x5a);
    return log_add(context, 'w', gpa, size);
}

struct seam_case {
    u64 linear;
    unsigned size, access;
    const char *resolved, *committed;
};

static const struct seam_case seams[] = {
    {0x5000, 4, ACCESS_READ, "R5000:0 r105000:4 ", ""},
    {0x5000, 4, ACCESS_WRITE, "W5000:0 ", "w105000:4 "},
    {0x5000, 8, ACCESS_WRITE | ACCESS_READ_TOO, "W5000:0 r105000:8 ", "w105000:8 "},
    {0x5ffe, 8, ACCESS_READ, "R5ffe:0 R6000:0 r105ffe:2 r106000:6 ", ""},
    {0x5ffe, 8, ACCESS_WRITE | ACCESS_READ_TOO, "W5ffe:0 W6000:0 r105ffe:2 r106000:6 ",
     "w105ffe:2 w106000:6 "},
};

START_TEST(the_seam_is_all_memory_there_is)
{
    const struct seam_case *c = &seams[_i];
    struct machine *m = flat();
    struct log log = {.fail_at = -1};
    struct seam seam = {.context = &log, .translate = seam_translate, .read = seam_read, .write = seam_write};

    ck_done(machine_access(m, c->linear, c->size, c->access)); /* whatever the TLB knows */
    m->cpu->seam = &seam;
    ck_done(machine_access(m, c->linear, c->size, c->access));
    ck_assert_str_eq(log.text, c->resolved);
    memset(m->cpu->place.bytes, 0x5a, c->size);
    log.text[0] = 0;
    place_commit(m->cpu, &m->cpu->place);
    ck_assert_str_eq(log.text, c->committed);
    machine_delete(m);
}
END_TEST

TCase *place_cases(void)
{
    TCase *t = tcase_create("place");

    tcase_add_test(t, a_plain_access_is_memory_itself);
    tcase_add_test(t, two_pages_act_as_one_stretch);
    tcase_add_test(t, nothing_is_done_when_the_second_page_faults);
    tcase_add_loop_test(t, rights_of_the_map_leave, 0, sizeof(map_rights) / sizeof(map_rights[0]));
    tcase_add_test(t, addresses_wrap_or_are_canonical);
    tcase_add_loop_test(t, alignment_is_checked_before_pages, 0, sizeof(alignments) / sizeof(alignments[0]));
    tcase_add_test(t, writes_to_code_are_noted);
    tcase_add_test(t, tracked_pages_become_dirty);
    tcase_add_loop_test(t, data_breakpoints_are_met, 0, sizeof(breakpoints) / sizeof(breakpoints[0]));
    tcase_add_test(t, compare_exchange_has_every_size);
    tcase_add_loop_test(t, the_seam_is_all_memory_there_is, 0, sizeof(seams) / sizeof(seams[0]));
    return t;
}
