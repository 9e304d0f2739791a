/* SPDX-License-Identifier: MIT */
/* Looking at a run without changing it: the digest of the state, and traces. */
#include "tests/whp/guest.h"

#include <stdio.h>
#include <string.h>

static bool same(SWHP_DIGEST a, SWHP_DIGEST b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static const u8 code[] = { 0xe6, 0x80, 0xe5, 0x70, 0xf4 }; /* out 80, al; in eax, 70; hlt */

START_TEST(equal_machines_have_equal_digests)
{
    struct guest a, b;

    guest_open(&a, GUEST_PROTECTED, code, sizeof code);
    guest_open(&b, GUEST_PROTECTED, code, sizeof code);
    ck_assert(same(partition_digest(a.partition), partition_digest(b.partition)));
    ck_assert(same(partition_digest(a.partition), partition_digest(a.partition)));
    guest_run(&a);
    /* an exit at the first instruction changes nothing without paging */
    ck_assert(same(partition_digest(a.partition), partition_digest(b.partition)));
    guest_set(&a, WHvX64RegisterRip, GUEST_CODE + 2);
    ck_assert(!same(partition_digest(a.partition), partition_digest(b.partition)));
    guest_run(&b);
    guest_set(&b, WHvX64RegisterRip, GUEST_CODE + 2);
    ck_assert(same(partition_digest(a.partition), partition_digest(b.partition)));
    guest_close(&a);
    guest_close(&b);
}
END_TEST

START_TEST(each_register_counts)
{
    static const struct {
        WHV_REGISTER_NAME name;
        u64 value;
    } rows[] = { { WHvX64RegisterR15, 1 },
                 { WHvX64RegisterRip, 0x9000 },
                 { WHvX64RegisterRflags, 0x202 },
                 { WHvX64RegisterCr2, 1 },
                 { WHvX64RegisterCr8, 1 },
                 { WHvX64RegisterDr0, 1 },
                 { WHvX64RegisterKernelGsBase, 1 },
                 { WHvX64RegisterPat, 0 },
                 { WHvX64RegisterXmm15, 1 },
                 { WHvX64RegisterFpMmx3, 1 },
                 { WHvX64RegisterMsrMtrrDefType, 0x806 },
                 { WHvX64RegisterTscAux, 1 },
                 { WHvRegisterInterruptState, 1 } };
    struct guest g;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        SWHP_DIGEST before = partition_digest(g.partition);
        u64 was = guest_get(&g, rows[i].name);

        ck_assert_uint_ne(was, rows[i].value);
        guest_set(&g, rows[i].name, rows[i].value);
        ck_assert_msg(!same(partition_digest(g.partition), before), "register %x doesn't count", (u32)rows[i].name);
        guest_set(&g, rows[i].name, was);
        ck_assert_msg(same(partition_digest(g.partition), before), "register %x doesn't come back", (u32)rows[i].name);
    }
    guest_close(&g);
}
END_TEST

START_TEST(each_bit_of_memory_counts)
{
    static const u32 places[] = { 0, 7, 8, 63, 64, 4095, 4096, 0x20000, GUEST_MEMORY - 1 };
    struct guest g;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    SWHP_DIGEST before = partition_digest(g.partition), seen[sizeof places / sizeof places[0] * 8];
    unsigned n = 0;

    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            g.memory[places[i]] ^= (u8)(1 << bit);
            seen[n] = partition_digest(g.partition);
            ck_assert(!same(seen[n], before));
            for (unsigned j = 0; j < n; j++)
                ck_assert(!same(seen[n], seen[j]));
            n++;
            g.memory[places[i]] ^= (u8)(1 << bit);
        }
    g.memory[GUEST_HOLE] ^= 1; /* not the guest's */
    ck_assert(same(partition_digest(g.partition), before));
    guest_close(&g);
}
END_TEST

START_TEST(exchanged_words_and_pages_count)
{
    struct guest g;
    SWHP_DIGEST a;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    g.memory[0x20000] = 1;
    g.memory[0x20008] = 2;
    a = partition_digest(g.partition);
    g.memory[0x20000] = 2;
    g.memory[0x20008] = 1;
    ck_assert(!same(partition_digest(g.partition), a));
    memset(g.memory + 0x20000, 0, 4096);
    g.memory[0x21000] = 1;
    g.memory[0x21008] = 2;
    ck_assert(!same(partition_digest(g.partition), a));
    guest_close(&g);
}
END_TEST

START_TEST(the_map_counts_and_its_pieces_do_not)
{
    struct guest g;
    SWHP_DIGEST before, other;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    before = partition_digest(g.partition);
    ck_ok(WHvUnmapGpaRange(g.partition, 0x40000, 0x1000)); /* zeros, but gone */
    other = partition_digest(g.partition);
    ck_assert(!same(other, before));
    ck_ok(WHvMapGpaRange(g.partition, g.memory + 0x80000, 0x40000, 0x1000, (WHV_MAP_GPA_RANGE_FLAGS)7));
    ck_assert(same(partition_digest(g.partition), before)); /* other zeros */
    ck_ok(WHvMapGpaRange(g.partition, g.memory + 0x40000, 0x40000, 0x1000, (WHV_MAP_GPA_RANGE_FLAGS)1));
    ck_assert(!same(partition_digest(g.partition), before));
    ck_assert(!same(partition_digest(g.partition), other));
    ck_ok(WHvMapGpaRange(g.partition, g.memory + 0x40000, 0x40000, 0x1000, (WHV_MAP_GPA_RANGE_FLAGS)7));
    ck_assert(same(partition_digest(g.partition), before));
    guest_close(&g);
}
END_TEST

START_TEST(a_digest_wants_room)
{
    struct guest g;
    SWHP_DIGEST d;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    ck_hr(SwhpStateHash(g.partition, NULL), E_POINTER);
    ck_hr(SwhpStateHash(NULL, &d), E_INVALIDARG);
    guest_close(&g);
}
END_TEST

/* ---- traces ---- */

static char lines[8][256];
static unsigned told;

static VOID CALLBACK on_line(VOID *context, UINT32 index, UINT64 count, UINT32 kind, const char *line)
{
    ck_assert_ptr_eq(context, lines);
    ck_assert_uint_eq(index, 0);
    ck_assert_uint_eq(kind, SwhpTraceExit);
    ck_assert_ptr_null(strchr(line, '\n'));
    (void)count;
    if (told < 8)
        snprintf(lines[told], sizeof lines[0], "%s", line);
    told++;
}

START_TEST(exits_are_told_in_columns)
{
    struct guest g;

    told = 0;
    guest_open(&g, GUEST_LONG, code, sizeof code);
    ck_ok(SwhpTraceStart(g.partition, SwhpTraceExit, on_line, lines));
    guest_set(&g, WHvX64RegisterRax, 0x41);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64IoPortAccess);
    guest_set(&g, WHvX64RegisterRip, GUEST_CODE + 2);
    guest_run(&g);
    guest_set(&g, WHvX64RegisterRip, GUEST_CODE + 4);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(told, 3);
    ck_assert_str_eq(lines[0], " 0            0 0018:0000000000008000 port             out port 0080 size 1 "
                               "rax 0000000000000041");
    ck_assert_str_eq(lines[1], " 0            1 0018:0000000000008002 port             in  port 0070 size 4 "
                               "rax 0000000000000041");
    ck_assert_str_eq(lines[2], " 0            3 0018:0000000000008005 halt            ");
    ck_ok(SwhpTraceStop(g.partition));
    guest_set(&g, WHvX64RegisterRip, GUEST_CODE);
    guest_run(&g);
    ck_assert_uint_eq(told, 3);
    guest_close(&g);
}
END_TEST

START_TEST(traces_change_nothing)
{
    struct guest a, b;

    told = 0;
    guest_open(&a, GUEST_LONG, code, sizeof code);
    guest_open(&b, GUEST_LONG, code, sizeof code);
    ck_ok(SwhpTraceStart(b.partition, SwhpTraceExit, on_line, lines));
    guest_run(&a);
    guest_run(&b);
    ck_assert_uint_eq(told, 1);
    ck_assert(same(partition_digest(a.partition), partition_digest(b.partition)));
    guest_close(&a);
    guest_close(&b);
}
END_TEST

START_TEST(traces_check_their_arguments)
{
    struct guest g;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    ck_hr(SwhpTraceStart(g.partition, SwhpTraceExit, NULL, NULL), E_POINTER);
    ck_hr(SwhpTraceStart(g.partition, 0, on_line, lines), E_INVALIDARG);
    ck_hr(SwhpTraceStart(g.partition, SwhpTraceExit | 1, on_line, lines), E_INVALIDARG);
    ck_hr(SwhpTraceStart(NULL, SwhpTraceExit, on_line, lines), E_INVALIDARG);
    ck_ok(SwhpTraceStop(g.partition));
    guest_close(&g);
}
END_TEST

TCase *observe_case(void)
{
    TCase *c = tcase_create("observe");

    tcase_add_test(c, equal_machines_have_equal_digests);
    tcase_add_test(c, each_register_counts);
    tcase_add_test(c, each_bit_of_memory_counts);
    tcase_add_test(c, exchanged_words_and_pages_count);
    tcase_add_test(c, the_map_counts_and_its_pieces_do_not);
    tcase_add_test(c, a_digest_wants_room);
    tcase_add_test(c, exits_are_told_in_columns);
    tcase_add_test(c, traces_change_nothing);
    tcase_add_test(c, traces_check_their_arguments);
    return c;
}
