/* SPDX-License-Identifier: MIT */
/* The map of guest-physical memory. */
#include "mem/alias.h"
#include "tests/mem/machine.h"

enum { RW = PAGE_READ | PAGE_WRITE };
#define HOST(n) ((void *)(uintptr_t)((u64)(n) << 12))
#define GIB ((u64)1 << 30)

START_TEST(nothing_is_mapped_at_first)
{
    struct ram *ram = ram_new();

    ck_assert_uint_eq(ram_find(ram, 0), 0);
    ck_assert_uint_eq(ram_find(ram, ~(u64)0), 0);
    ck_assert(!ram_page(ram, 0).host);
    ck_assert(!ram_page(ram, ~(u64)0).host);
    ck_assert(!ram_unmap(ram, 0, (u64)1 << 52));
    ram_delete(ram);
}
END_TEST

START_TEST(each_page_is_found_with_its_rights)
{
    struct ram *ram = ram_new();

    ck_assert(ram_map(ram, 0x3000, 0x3000, HOST(0x100), RW));
    ck_assert_uint_eq(ram_find(ram, 0x2fff), 0);
    for (u64 n = 0; n < 3; n++)
        ck_assert_uint_eq(ram_find(ram, 0x3010 + n * 0x1000), (0x100 + n) << 12 | RW);
    ck_assert_uint_eq(ram_find(ram, 0x6000), 0);
    ram_delete(ram);
}
END_TEST

START_TEST(mapping_again_replaces_page_by_page)
{
    struct ram *ram = ram_new();

    ck_assert(ram_map(ram, 0, 0x10000, HOST(0x100), RW));
    ck_assert(ram_map(ram, 0x4000, 0x2000, HOST(0x900), PAGE_READ));
    ck_assert_uint_eq(ram_find(ram, 0x3000), (u64)0x103000 | RW);
    ck_assert_uint_eq(ram_find(ram, 0x4000), (u64)0x900000 | PAGE_READ);
    ck_assert_uint_eq(ram_find(ram, 0x5000), (u64)0x901000 | PAGE_READ);
    ck_assert_uint_eq(ram_find(ram, 0x6000), (u64)0x106000 | RW);
    ram_delete(ram);
}
END_TEST

/* A mapping that is huge in one piece, then changed in its middle and at its ends. */
START_TEST(large_mappings_split_where_needed)
{
    struct ram *ram = ram_new();
    u64 base = 3 * GIB + 0x5000, size = 200 * GIB;

    ck_assert(ram_map(ram, base, size, HOST(0x1000), RW));
    for (u64 at = 0; at < size; at += 7 * 16 * 1024 * 1024 + 0x3000)
        ck_assert_uint_eq(ram_find(ram, base + at), ((u64)0x1000000 + (at & PAGE_MASK)) | RW);
    ck_assert_uint_eq(ram_find(ram, base - 1), 0);
    ck_assert_uint_eq(ram_find(ram, base + size), 0);

    ck_assert(ram_unmap(ram, base + 50 * GIB, 0x1000));
    ck_assert_uint_eq(ram_find(ram, base + 50 * GIB), 0);
    ck_assert_uint_eq(ram_find(ram, base + 50 * GIB + 0x1000), ((u64)0x1001000 + 50 * GIB) | RW);
    ck_assert_uint_eq(ram_find(ram, base + 50 * GIB - 0x1000), ((u64)0xfff000 + 50 * GIB) | RW);

    struct page page = ram_page(ram, base + 80 * GIB);

    ck_assert(page.host && page_host(page) == (u8 *)0x1000000 + 80 * GIB);
    ram_page_note(page, PAGE_DIRTY);
    ck_assert_uint_eq(ram_find(ram, base + 80 * GIB) & PAGE_DIRTY, PAGE_DIRTY);
    ck_assert_uint_eq(ram_find(ram, base + 80 * GIB + 0x1000) & PAGE_DIRTY, 0);

    ck_assert(ram_unmap(ram, 0, (u64)1 << 40));
    ck_assert(!ram_unmap(ram, 0, (u64)1 << 40));
    ck_assert_uint_eq(ram_find(ram, base + 80 * GIB), 0);
    ram_delete(ram);
}
END_TEST

START_TEST(unmapping_tells_whether_something_was_there)
{
    struct ram *ram = ram_new();

    ck_assert(ram_map(ram, 0x8000, 0x1000, HOST(0x100), 0)); /* no right at all is mapped still */
    ck_assert_uint_ne(ram_find(ram, 0x8000), 0);
    ck_assert(!ram_unmap(ram, 0, 0x8000));
    ck_assert(ram_unmap(ram, 0, 0x9000));
    ck_assert(!ram_unmap(ram, 0, 0x9000));
    ram_delete(ram);
}
END_TEST

START_TEST(past_the_architecture_nothing_maps)
{
    struct ram *ram = ram_new();

    ck_assert(!ram_map(ram, (u64)1 << 52, 0x1000, HOST(0x100), RW));
    ck_assert(!ram_map(ram, ((u64)1 << 52) - 0x1000, 0x2000, HOST(0x100), RW));
    ck_assert(ram_map(ram, ((u64)1 << 52) - 0x1000, 0x1000, HOST(0x100), RW));
    ck_assert_uint_eq(ram_find(ram, ((u64)1 << 52) - 1), (u64)0x100000 | RW);
    ram_delete(ram);
}
END_TEST

/* Where code was decoded must stay known: blocks outlive a mapping. */
START_TEST(code_stays_noted_across_mappings)
{
    struct ram *ram = ram_new();
    struct page page;

    ck_assert(ram_map(ram, 0, 0x2000, HOST(0x100), RW));
    page = ram_page(ram, 0x1000);
    *page.granules = 4;
    ram_page_note(page, PAGE_CODE);
    ck_assert(ram_unmap(ram, 0, 0x2000));
    ck_assert_uint_eq(ram_find(ram, 0x1000), 0);
    ck_assert(ram_map(ram, 0, 0x2000, HOST(0x200), RW));
    ck_assert_uint_eq(ram_find(ram, 0x1000), (u64)0x201000 | RW | PAGE_CODE);
    ck_assert_uint_eq(ram_find(ram, 0), (u64)0x200000 | RW);
    ram_delete(ram);
}
END_TEST

START_TEST(a_million_single_pages_map_quickly)
{
    struct ram *ram = ram_new();

    bool all = true;

    for (u64 n = 0; n < 1 << 20; n++)
        all &= ram_map(ram, n << 12, 0x1000, HOST(2 * n + 1), RW);
    ck_assert(all);
    for (u64 n = 0; n < 1 << 20; n += 997)
        ck_assert_uint_eq(ram_find(ram, n << 12), (2 * n + 1) << 12 | RW);
    ck_assert(!ram_is_together(ram, 16 << 20));
    ram_delete(ram);
}
END_TEST

struct seen {
    unsigned n;
    u64 gpa[8], size[8];
    u8 *host[8];
    u32 rights[8];
};

static void see(void *context, u64 gpa, u8 *host, u64 size, u32 rights)
{
    struct seen *s = context;

    ck_assert_uint_lt(s->n, 8);
    s->gpa[s->n] = gpa;
    s->host[s->n] = host;
    s->size[s->n] = size;
    s->rights[s->n++] = rights;
}

START_TEST(visits_come_in_order_and_in_one_piece)
{
    struct ram *ram = ram_new();
    struct seen s = {0};

    ck_assert(ram_map(ram, GIB, GIB, HOST(0x1000), RW));
    ck_assert(ram_map(ram, 0x2000, 0x1000, HOST(0x10), PAGE_READ));
    ck_assert(ram_map(ram, 0x3000, 0x1000, HOST(0x11), PAGE_READ)); /* goes on where the last ended */
    ck_assert(ram_map(ram, 0x4000, 0x1000, HOST(0x12), RW));        /* other rights */
    ram_page_note(ram_page(ram, GIB + 0x5000), PAGE_CODE);          /* a fact, but no right */
    ram_visit(ram, see, &s);
    ck_assert_uint_eq(s.n, 3);
    ck_assert_uint_eq(s.gpa[0], 0x2000);
    ck_assert_uint_eq(s.size[0], 0x2000);
    ck_assert_uint_eq(s.gpa[1], 0x4000);
    ck_assert_uint_eq(s.rights[1], RW);
    ck_assert_uint_eq(s.gpa[2], GIB);
    ck_assert_uint_eq(s.size[2], GIB);
    ck_assert_ptr_eq(s.host[2], HOST(0x1000));
    ram_delete(ram);
}
END_TEST

/* Against a plain list of what is mapped where: three regions of guest and of host, in pieces of all sizes. */
enum { REGION_PAGES = 1 << 12, SPACE_PAGES = 3 * REGION_PAGES, FIRST_HOST = 0x7f000 };

static u32 draw(u32 *seed, u32 below)
{
    *seed = *seed * 1664525 + 1013904223;
    return (u32)((u64)*seed * below >> 32);
}

/* A run of pages, sometimes of whole regions. */
static u32 draw_run(u32 *seed, u32 *pages)
{
    bool is_whole = draw(seed, 3) == 0;
    u32 unit = is_whole ? REGION_PAGES : 1, from = draw(seed, SPACE_PAGES / unit) * unit;
    u32 most = SPACE_PAGES - from;

    *pages = is_whole ? (1 + draw(seed, most / unit)) * unit : 1 + draw(seed, draw(seed, 2) ? 3 : most);
    *pages = *pages < most ? *pages : most;
    return from;
}

static bool wants_alias(const u64 *mapped, u32 host)
{
    u32 places = 0, writable = 0;

    for (u32 i = 0; i < SPACE_PAGES; i++) {
        if (mapped[i] >> 12 == FIRST_HOST + host) {
            places++;
            writable += (mapped[i] & PAGE_WRITE) != 0;
        }
    }
    return places > 1 && writable;
}

START_TEST(aliases_are_what_is_mapped_twice_and_writable)
{
    static u64 mapped[SPACE_PAGES];
    struct ram *ram = ram_new();
    u32 seed = 1, seen = 0;

    for (u32 round = 0; round < 600; round++) {
        u32 pages, host_pages, gpa = draw_run(&seed, &pages), host = draw_run(&seed, &host_pages);
        u32 rights = draw(&seed, 2) ? RW : PAGE_READ, changes = alias_changes(ram_aliases(ram));
        bool is_unmap = draw(&seed, 3) == 0, before = alias_at(ram_aliases(ram), (u64)(FIRST_HOST + host) << 12);

        pages = is_unmap || pages < SPACE_PAGES - host ? pages : SPACE_PAGES - host;
        for (u32 i = 0; i < pages; i++)
            mapped[gpa + i] = is_unmap ? 0 : (u64)(FIRST_HOST + host + i) << 12 | rights;
        if (is_unmap)
            (void)ram_unmap(ram, (u64)gpa << 12, (u64)pages << 12);
        else
            ck_assert(ram_map(ram, (u64)gpa << 12, (u64)pages << 12, HOST(FIRST_HOST + host), rights));
        for (u32 i = 0; i < 40; i++) {
            u32 at = i ? draw(&seed, SPACE_PAGES) : host;
            bool is = alias_at(ram_aliases(ram), (u64)(FIRST_HOST + at) << 12);

            ck_assert_msg(is == wants_alias(mapped, at), "round %u, host page %x: %d", round, at, is);
            if (!i && is && !before)
                ck_assert_uint_ne(alias_changes(ram_aliases(ram)), changes);
            seen += is;
        }
    }
    ck_assert_uint_gt(seen, 1000);
    ram_delete(ram);
}
END_TEST

/* The host's pages follow the guest's mostly, so that regions grow together and come apart all the time. */
START_TEST(the_map_is_what_a_plain_list_says)
{
    static u64 mapped[SPACE_PAGES]; /* with facts; what is decoded stays known where nothing is mapped */
    static bool is_decoded[SPACE_PAGES], is_hidden[SPACE_PAGES];
    struct ram *ram = ram_new();
    u32 seed = 3, together = 0;

    for (u32 round = 0; round < 3000; round++) {
        u32 pages, gpa = draw_run(&seed, &pages), shift = draw(&seed, 8) ? 0 : draw(&seed, 3), what = draw(&seed, 20);
        struct page page;

        if (what < 14) { /* map, unmap */
            for (u32 i = gpa; i < gpa + pages; i++)
                mapped[i] = what ? (u64)(FIRST_HOST + i + shift) << 12 | RW | (is_decoded[i] ? PAGE_CODE : 0) : 0;
            if (what)
                ck_assert(ram_map(ram, (u64)gpa << 12, (u64)pages << 12, HOST(FIRST_HOST + gpa + shift), RW));
            else
                (void)ram_unmap(ram, (u64)gpa << 12, (u64)pages << 12);
        } else if (what < 16) { /* hide, show */
            is_hidden[gpa] = what == 14;
            ck_assert(ram_hide(ram, (u64)gpa << 12, is_hidden[gpa]));
        } else if (what < 18 && mapped[gpa]) { /* decode, forget */
            is_decoded[gpa] = what == 16;
            page = ram_page(ram, (u64)gpa << 12);
            *page.granules = is_decoded[gpa];
            *page.host = (*page.host & ~(u64)PAGE_CODE) | (is_decoded[gpa] ? PAGE_CODE : 0);
            mapped[gpa] = (mapped[gpa] & ~(u64)PAGE_CODE) | (is_decoded[gpa] ? PAGE_CODE : 0);
        } else if (mapped[gpa]) {
            ram_dirty(ram, (u64)gpa << 12);
            mapped[gpa] |= PAGE_DIRTY;
        }
        for (u32 i = 0; i < 60; i++) {
            u32 at = i < 3 ? (gpa + i) % SPACE_PAGES : i < 6 ? (gpa + pages + i) % SPACE_PAGES : draw(&seed, SPACE_PAGES);

            ck_assert_uint_eq(ram_find(ram, (u64)at << 12), is_hidden[at] ? 0 : mapped[at]);
        }
        if (what == 19) /* nobody decodes from all of memory for ever */
            for (u32 i = 0; i < SPACE_PAGES; i++) {
                page = ram_page(ram, (u64)i << 12);
                if (is_hidden[i])
                    ck_assert(ram_hide(ram, (u64)i << 12, false));
                if (is_decoded[i] && page.host)
                    *page.granules = 0, *page.host &= ~(u64)PAGE_CODE;
                mapped[i] &= ~(u64)PAGE_CODE;
                is_decoded[i] = is_hidden[i] = false;
            }
        together += ram_is_together(ram, draw(&seed, 3) * 16ull << 20);
    }
    ck_assert_uint_gt(together, 300); /* and isn't always */
    ck_assert_uint_lt(together, 2700);
    ram_delete(ram);
}
END_TEST

START_TEST(single_pages_come_together_in_any_order)
{
    static const u32 strides[] = { 1, REGION_PAGES - 1, 1237 };
    struct ram *ram = ram_new();

    for (u32 n = 0; n < REGION_PAGES; n++) {
        u32 page = (n * strides[_i] + 5) % REGION_PAGES;

        ck_assert(!ram_is_together(ram, GIB));
        ck_assert(ram_map(ram, GIB + ((u64)page << 12), PAGE_SIZE, HOST(FIRST_HOST + page), RW));
    }
    ck_assert(ram_is_together(ram, GIB));
    ck_assert(ram_map(ram, GIB + 0x5000, PAGE_SIZE, HOST(FIRST_HOST + 5), PAGE_READ));
    ck_assert(!ram_is_together(ram, GIB));
    ram_delete(ram);
}
END_TEST

static void add_pages(void *context, u64 gpa, u8 *host, u64 size, u32 rights)
{
    (void)gpa;
    (void)host;
    (void)rights;
    *(u64 *)context += size / PAGE_SIZE;
}

static u64 pages_of(struct ram *ram)
{
    u64 pages = 0;

    ram_visit(ram, add_pages, &pages);
    return pages;
}

/* In a mapping of single pages, in one of a whole 16 MiB, and where nothing is. */
START_TEST(a_hidden_page_is_mapped_and_not_found)
{
    static const u64 bases[] = { 0x3000, 16 << 20, 5 * GIB };
    u64 gpa = bases[_i] + 0x1000, size = _i == 1 ? 16 << 20 : 0x4000;
    struct ram *ram = ram_new();

    if (_i < 2)
        ck_assert(ram_map(ram, bases[_i], size, HOST(0x100), RW));
    ck_assert(ram_hide(ram, gpa, true));
    ck_assert(ram_hide(ram, gpa, true));
    ck_assert_uint_eq(ram_find(ram, gpa + 5), 0);
    ck_assert_uint_eq(ram_find(ram, bases[_i]), _i < 2 ? 0x100000 | RW : 0);
    ck_assert_uint_eq(pages_of(ram), _i < 2 ? size / PAGE_SIZE : 0);
    ck_assert(ram_has_all(ram, gpa, 0x2000) == (_i < 2));
    ck_assert(ram_map(ram, bases[_i], size, HOST(0x900000), PAGE_READ)); /* over it */
    ck_assert_uint_eq(ram_find(ram, gpa), 0);
    ck_assert_uint_eq(pages_of(ram), size / PAGE_SIZE);
    ck_assert(ram_has_all(ram, bases[_i], size));
    ck_assert(!ram_has_all(ram, bases[_i], size + 0x1000));
    ck_assert(ram_hide(ram, gpa, false));
    ck_assert_uint_eq(ram_find(ram, gpa), (u64)0x900001 << 12 | PAGE_READ);
    ck_assert(ram_hide(ram, gpa, true));
    ck_assert(ram_unmap(ram, gpa, 0x1000));
    ck_assert(!ram_unmap(ram, gpa, 0x1000));
    ck_assert(!ram_has_all(ram, bases[_i], size));
    ck_assert(ram_hide(ram, gpa, false));
    ck_assert_uint_eq(ram_find(ram, gpa), 0);
    ck_assert_uint_eq(pages_of(ram), size / PAGE_SIZE - 1);
    ck_assert(ram_unmap(ram, bases[_i], size));
    ck_assert(!alias_at(ram_aliases(ram), (u64)0x900000 << 12));
    ram_delete(ram);
}
END_TEST

TCase *ram_cases(void)
{
    TCase *t = tcase_create("ram");

    tcase_add_test(t, nothing_is_mapped_at_first);
    tcase_add_test(t, each_page_is_found_with_its_rights);
    tcase_add_test(t, mapping_again_replaces_page_by_page);
    tcase_add_test(t, large_mappings_split_where_needed);
    tcase_add_test(t, unmapping_tells_whether_something_was_there);
    tcase_add_test(t, past_the_architecture_nothing_maps);
    tcase_add_test(t, code_stays_noted_across_mappings);
    tcase_add_test(t, a_million_single_pages_map_quickly);
    tcase_add_test(t, visits_come_in_order_and_in_one_piece);
    tcase_add_loop_test(t, a_hidden_page_is_mapped_and_not_found, 0, 3);
    tcase_add_test(t, the_map_is_what_a_plain_list_says);
    tcase_add_loop_test(t, single_pages_come_together_in_any_order, 0, 3);
    tcase_add_test(t, aliases_are_what_is_mapped_twice_and_writable);
    return t;
}
