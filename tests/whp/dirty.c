/* SPDX-License-Identifier: MIT */
/* The dirty bitmap: what the guest writes, in whatever way, is in it once; what the host writes isn't. */
#include "tests/whp/guest.h"

#include <sys/mman.h>

enum { TRACKED = 0x40000, PAGES = 0x40, ALL_RIGHTS = 7, TRACKS = 8 };

static void open_tracking(struct guest *g, enum guest_mode mode, const void *code, size_t size)
{
    guest_open(g, mode, code, size);
    ck_ok(WHvMapGpaRange(g->partition, g->memory + TRACKED, TRACKED, PAGES * 4096,
                         (WHV_MAP_GPA_RANGE_FLAGS)(ALL_RIGHTS | TRACKS)));
}

static u64 take_bits(struct guest *g)
{
    u64 bits = ~(u64)0;

    ck_ok(WHvQueryGpaRangeDirtyBitmap(g->partition, TRACKED, PAGES * 4096, &bits, 8));
    return bits;
}

/* Each writes at [rbx] and halts. */
static const struct writer {
    const char *name;
    u8 code[12];
    u64 rbx, bits;
} writers[] = {
    { "mov [rbx], al", { 0x88, 0x03, 0xf4 }, TRACKED, 1 },
    { "mov [rbx], eax, across pages", { 0x89, 0x03, 0xf4 }, TRACKED + 0x5ffe, 3 << 5 },
    { "lock inc dword [rbx]", { 0xf0, 0xff, 0x03, 0xf4 }, TRACKED + 0x3f000, (u64)1 << 63 },
    { "movups [rbx], xmm0", { 0x0f, 0x11, 0x03, 0xf4 }, TRACKED + 0x2ff8, 3 << 2 },
    { "rep stosb, two pages and a byte", { 0x48, 0x89, 0xdf, 0xb9, 1, 0x20, 0, 0, 0xf3, 0xaa, 0xf4 }, TRACKED + 0x8000, 7 << 8 },
    { "push rax", { 0x48, 0x89, 0xdc, 0x50, 0xf4 }, TRACKED + 0x1000, 1 },
    { "fstp tbyte [rbx]", { 0xd9, 0xe8, 0xdb, 0x3b, 0xf4 }, TRACKED + 0x4000, 1 << 4 },
    { "mov al, [rbx]: a read", { 0x8a, 0x03, 0xf4 }, TRACKED, 0 },
    { "cmp [rbx], al: a read", { 0x38, 0x03, 0xf4 }, TRACKED, 0 },
};

START_TEST(what_the_guest_writes_is_told_once)
{
    const struct writer *w = &writers[_i];
    struct guest g;

    open_tracking(&g, GUEST_LONG, w->code, sizeof w->code);
    guest_set(&g, WHvX64RegisterCr4, 0x620);
    ck_assert_uint_eq(take_bits(&g), 0);
    for (u32 i = 0; i < 3; i++) { /* and again: translations of before don't hide it */
        guest_set(&g, WHvX64RegisterRip, GUEST_CODE);
        guest_set(&g, WHvX64RegisterRbx, w->rbx);
        ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
        ck_assert_msg(take_bits(&g) == w->bits, "%s, time %u", w->name, i);
        ck_assert_uint_eq(take_bits(&g), 0);
    }
    guest_close(&g);
}
END_TEST

/* Bits of page tables that the processor sets count; so do writes by the API; the host's own don't. */
START_TEST(tables_and_the_api_count_too)
{
    static const u8 code[] = { 0x8a, 0x03, 0xf4 };
    WHV_ACCESS_GPA_CONTROLS controls = { .CacheType = WHvCacheTypeWriteBack };
    struct guest g;
    u64 entry = TRACKED | 7, word = 5;

    open_tracking(&g, GUEST_LONG, code, sizeof code);
    memcpy(g.memory + 0x4008, &entry, 8); /* a table for the second 2 MiB, in memory that is tracked */
    entry = 0x9007;
    memcpy(g.memory + TRACKED, &entry, 8);
    g.memory[TRACKED + 0x1000] = 1;
    ck_assert_uint_eq(take_bits(&g), 0);
    guest_set(&g, WHvX64RegisterRbx, 0x200000);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(take_bits(&g), 1);
    ck_ok(WHvWriteGpaRange(g.partition, 0, TRACKED + 0x7008, controls, &word, 8));
    ck_ok(WHvReadGpaRange(g.partition, 0, TRACKED + 0x9008, controls, &word, 8));
    ck_assert_uint_eq(take_bits(&g), 1 << 7);
    guest_close(&g);
}
END_TEST

START_TEST(a_part_of_a_range_can_be_asked_for)
{
    static const u8 code[] = { 0x48, 0x89, 0xdf, 0xb9, 0, 0x80, 0, 0, 0xf3, 0xaa, 0xf4 };
    struct guest g;
    u64 bits[2] = { ~(u64)0, ~(u64)0 };

    open_tracking(&g, GUEST_LONG, code, sizeof code); /* writes eight pages */
    guest_set(&g, WHvX64RegisterRbx, TRACKED);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
    ck_ok(WHvQueryGpaRangeDirtyBitmap(g.partition, TRACKED + 0x2000, 0x3000, bits, 8));
    ck_assert_uint_eq(bits[0], 7);
    ck_assert_uint_eq(bits[1], ~(u64)0);
    ck_ok(WHvQueryGpaRangeDirtyBitmap(g.partition, TRACKED + 0x6000, 0x1000, NULL, 0)); /* clears alone */
    ck_assert_uint_eq(take_bits(&g), 0xa3);
    ck_ok(WHvMapGpaRange(g.partition, g.memory + TRACKED, TRACKED, 4096, (WHV_MAP_GPA_RANGE_FLAGS)ALL_RIGHTS));
    ck_hr(WHvQueryGpaRangeDirtyBitmap(g.partition, TRACKED, 0x2000, bits, 8), WHV_E_GPA_RANGE_NOT_FOUND);
    ck_ok(WHvUnmapGpaRange(g.partition, TRACKED + 0x3000, 4096));
    ck_hr(WHvQueryGpaRangeDirtyBitmap(g.partition, TRACKED + 0x2000, 0x2000, bits, 8),
          WHV_E_GPA_RANGE_NOT_FOUND);
    guest_close(&g);
}
END_TEST

START_TEST(refusals)
{
    static const u8 code[] = { 0xf4 };
    struct guest g;
    u64 bits[2] = { 3, 4 };

    open_tracking(&g, GUEST_LONG, code, sizeof code);
    ck_hr(WHvQueryGpaRangeDirtyBitmap(g.partition, TRACKED + 1, 4096, bits, 8), E_INVALIDARG);
    ck_hr(WHvQueryGpaRangeDirtyBitmap(g.partition, TRACKED, 100, bits, 8), E_INVALIDARG);
    ck_hr(WHvQueryGpaRangeDirtyBitmap(g.partition, TRACKED, 0, bits, 8), E_INVALIDARG);
    ck_hr(WHvQueryGpaRangeDirtyBitmap(g.partition, TRACKED, 4096, NULL, 8), E_POINTER);
    ck_hr(WHvQueryGpaRangeDirtyBitmap(g.partition, TRACKED, 4096, bits, 4), WHV_E_INSUFFICIENT_BUFFER);
    ck_hr(WHvQueryGpaRangeDirtyBitmap(g.partition, 0x8000, 4096, bits, 8), WHV_E_GPA_RANGE_NOT_FOUND);
    ck_hr(WHvQueryGpaRangeDirtyBitmap(g.partition, (u64)1 << 40, (u64)1 << 40, bits, 16),
          WHV_E_INSUFFICIENT_BUFFER);
    ck_assert_uint_eq(bits[0], 3);
    guest_close(&g);
}
END_TEST

/* Mappings so large that no page has facts of its own until it is written. */
START_TEST(large_mappings)
{
    static const u8 code[] = { 0x88, 0x03, 0xf4 };
    u64 size = (u64)64 << 20, pages = size / 4096, at = (u64)1 << 32, bits[16384 / 64];
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct guest g;
    u64 entry = 0x11007;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    ck_ok(WHvMapGpaRange(g.partition, memory, at, size, (WHV_MAP_GPA_RANGE_FLAGS)(ALL_RIGHTS | TRACKS)));
    memcpy(g.memory + 0x3008, &entry, 8); /* the second GiB: a table of 2 MiB pages */
    for (u64 i = 0; i < 32; i++) {
        entry = (at + i * 0x200000) | 0x87;
        memcpy(g.memory + 0x11000 + 8 * i, &entry, 8);
    }
    for (u64 i = 0; i < pages; i += 1023) {
        guest_set(&g, WHvX64RegisterRip, GUEST_CODE);
        guest_set(&g, WHvX64RegisterRbx, 0x40000000 + i * 4096);
        ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
    }
    ck_ok(WHvQueryGpaRangeDirtyBitmap(g.partition, at, size, bits, sizeof bits));
    for (u64 i = 0; i < pages; i++)
        ck_assert_uint_eq(bits[i / 64] >> i % 64 & 1, i % 1023 == 0);
    guest_close(&g);
    munmap(memory, size);
}
END_TEST

TCase *dirty_case(void)
{
    TCase *t = tcase_create("dirty");

    tcase_add_loop_test(t, what_the_guest_writes_is_told_once, 0, sizeof writers / sizeof *writers);
    tcase_add_test(t, tables_and_the_api_count_too);
    tcase_add_test(t, a_part_of_a_range_can_be_asked_for);
    tcase_add_test(t, refusals);
    tcase_add_test(t, large_mappings);
    return t;
}
