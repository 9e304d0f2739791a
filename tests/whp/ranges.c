/* SPDX-License-Identifier: MIT */
/* The calls about guest-physical ranges, each row of the reference's 1.5 and 6 that tests/whp/memory.c hasn't. */
#include "tests/whp/guest.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

Suite *ranges_suite(void);
TCase *range_access_case(void);

#define FLAGS(n) ((WHV_MAP_GPA_RANGE_FLAGS)(n))
static const u8 halt[] = { 0xf4 };

static u8 *room_new(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    ck_assert_ptr_ne(p, MAP_FAILED);
    return p;
}

/* ---- mapping ---- */

static u8 source[8192] __attribute__((aligned(4096)));

static const struct bad_map {
    const char *why;
    u64 offset, gpa, size;
    u32 flags;
} bad_maps[] = {
    { "an unaligned source", 1, 0x10000, 4096, 7 },
    { "an unaligned address", 0, 0x10001, 4096, 7 },
    { "an unaligned size", 0, 0x10000, 4095, 7 },
    { "nothing", 0, 0x10000, 0, 7 },
    { "an unknown flag", 0, 0x10000, 4096, 16 },
    { "an unknown flag high up", 0, 0x10000, 4096, 0x80000001 },
    { "Write without Read", 0, 0x10000, 4096, 2 },
    { "beyond the address space", 0, (u64)1 << 48, 4096, 7 },
    { "across its end", 0, ((u64)1 << 48) - 4096, 8192, 7 },
    { "a size that wraps", 0, 0x10000, (u64)0 - 4096, 7 },
    { "a source that wraps", 0, 0, (u64)1 << 48, 7 },
};

START_TEST(bad_mappings_are_refused_and_change_nothing)
{
    const struct bad_map *b = &bad_maps[_i];
    u8 *from = !strcmp(b->why, "a source that wraps") ? (u8 *)(uintptr_t)0xffffffff00000000 : source + b->offset;
    struct guest g;
    SWHP_DIGEST before, after;

    guest_open(&g, GUEST_LONG, halt, 1);
    before = partition_digest(g.partition);
    ck_assert_msg(WHvMapGpaRange(g.partition, from, b->gpa, b->size, FLAGS(b->flags)) == E_INVALIDARG, "%s", b->why);
    ck_assert_msg(WHvMapGpaRange2(g.partition, NULL, from, b->gpa, b->size, FLAGS(b->flags)) == E_INVALIDARG, "%s",
                  b->why);
    ck_hr(WHvMapGpaRange(g.partition, NULL, 0x10000, 4096, FLAGS(7)), E_INVALIDARG);
    after = partition_digest(g.partition);
    ck_assert(!memcmp(&before, &after, sizeof after));
    guest_close(&g);
}
END_TEST

/* The calling process by no handle or by GetCurrentProcess()'s; memory of others can't be reached. */
START_TEST(only_the_own_process_can_be_mapped_from)
{
    static const u8 code[] = { 0x8a, 0x03, 0xf4 };
    WHV_PARTITION_HANDLE p;
    struct guest g;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    source[5] = 77;
    guest_set(&g, WHvX64RegisterRbx, 0x9005);
    for (intptr_t process = -1; process <= 0; process++) {
        ck_ok(WHvMapGpaRange2(g.partition, (HANDLE)process, source, 0x9000, 8192, FLAGS(1)));
        guest_set(&g, WHvX64RegisterRip, GUEST_CODE);
        guest_set(&g, WHvX64RegisterRax, 0);
        ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
        ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRax), 77);
        ck_ok(WHvUnmapGpaRange(g.partition, 0x9000, 8192));
    }
    ck_hr(WHvMapGpaRange2(g.partition, (HANDLE)(intptr_t)-2, source, 0x9000, 8192, FLAGS(1)), E_INVALIDARG);
    ck_hr(WHvMapGpaRange2(g.partition, (HANDLE)(intptr_t)0x1234, source, 0x9000, 8192, FLAGS(1)), E_INVALIDARG);
    ck_hr(WHvMapGpaRange2(NULL, NULL, source, 0x9000, 8192, FLAGS(1)), E_INVALIDARG);
    ck_hr(WHvUnmapGpaRange(g.partition, 0x9000, 8192), WHV_E_GPA_RANGE_NOT_FOUND);
    ck_ok(WHvCreatePartition(&p));
    ck_hr(WHvMapGpaRange2(p, NULL, source, 0x9000, 8192, FLAGS(1)), (HRESULT)0xC0350007);
    ck_ok(WHvDeletePartition(p));
    guest_close(&g);
}
END_TEST

/* Each set of rights, and what a read, a write and an execution of it do: 6.2. */
static const struct rights_row {
    u8 flags;
    bool reads, writes, executes;
} rights_rows[] = {
    { 0, false, false, false }, { 1, true, false, false }, { 3, true, true, false },
    { 4, false, false, true },  { 5, true, false, true },  { 7, true, true, true },
    { 9, true, false, false },  { 11, true, true, false }, { 15, true, true, true },
};

START_TEST(rights_rule_what_leaves)
{
    static const u8 code[] = { 0x8a, 0x03, 0xf4, 0x88, 0x03, 0xf4, 0xff, 0xe3 };
    const struct rights_row *r = &rights_rows[_i];
    bool allowed[] = { r->reads, r->writes, r->executes };
    WHV_ACCESS_GPA_CONTROLS controls = { .AsUINT64 = WHvCacheTypeWriteBack };
    struct guest g;
    u8 byte = 0xf4;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    source[0] = 0xf4;
    ck_ok(WHvMapGpaRange(g.partition, source, 0x9000, 4096, FLAGS(r->flags)));
    guest_set(&g, WHvX64RegisterRbx, 0x9000);
    for (u32 access = 0; access < 3; access++) {
        guest_set(&g, WHvX64RegisterRip, GUEST_CODE + 3 * access);
        guest_set(&g, WHvX64RegisterRax, 0xf4);
        ck_assert_uint_eq(guest_run(&g),
                          allowed[access] ? WHvRunVpExitReasonX64Halt : WHvRunVpExitReasonMemoryAccess);
        if (allowed[access])
            continue;
        ck_assert_uint_eq(g.exit.MemoryAccess.AccessInfo.AccessType, access);
        ck_assert_uint_eq(g.exit.MemoryAccess.AccessInfo.GpaUnmapped, 0);
        ck_assert_uint_eq(g.exit.MemoryAccess.Gpa, 0x9000);
    }
    ck_hr(WHvReadGpaRange(g.partition, 0, 0x9000, controls, &byte, 1), r->reads ? S_OK : E_ACCESSDENIED);
    ck_hr(WHvWriteGpaRange(g.partition, 0, 0x9000, controls, &byte, 1), r->writes ? S_OK : E_ACCESSDENIED);
    guest_close(&g);
}
END_TEST

START_TEST(bad_unmappings_are_refused)
{
    struct guest g;

    guest_open(&g, GUEST_LONG, halt, 1);
    ck_hr(WHvUnmapGpaRange(g.partition, 0x9001, 4096), E_INVALIDARG);
    ck_hr(WHvUnmapGpaRange(g.partition, 0x9000, 4095), E_INVALIDARG);
    ck_hr(WHvUnmapGpaRange(g.partition, 0x9000, 0), E_INVALIDARG);
    ck_hr(WHvUnmapGpaRange(g.partition, (u64)1 << 48, 4096), E_INVALIDARG);
    ck_hr(WHvUnmapGpaRange(g.partition, 0x200000, 0x40000000), WHV_E_GPA_RANGE_NOT_FOUND);
    ck_hr(WHvUnmapGpaRange(NULL, 0x9000, 4096), E_INVALIDARG);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
    guest_close(&g);
}
END_TEST

/* Pieces of mappings large and small, against an array that knows what is where. */
START_TEST(any_order_of_maps_and_unmaps_ends_as_it_should)
{
    enum { PAGES = 3 * 4096, STEPS = 400, BASE = 0x1000000 }; /* three regions of 16 MiB, the size of the tree's leaves */
    static u16 wanted[PAGES]; /* 1 + the source's page; 0: nothing */
    WHV_ACCESS_GPA_CONTROLS controls = { .AsUINT64 = WHvCacheTypeWriteBack };
    u8 *memory = room_new((size_t)PAGES * 4096);
    struct guest g;
    u32 random = 12345;

    memset(wanted, 0, sizeof wanted);
    guest_open(&g, GUEST_LONG, halt, 1);
    for (u32 i = 0; i < PAGES; i += 61)
        store_bytes(memory + (size_t)i * 4096, i, 2);
    for (u32 step = 0; step < STEPS; step++) {
        u32 at, n, from, mapped = 0;
        u64 counters[3], total = 0;

        random = random * 1664525 + 1013904223;
        at = (random >> 8) % PAGES;
        n = random & 1 ? (random >> 4) % 8 + 1 : (random >> 2) % 9000 + 1;
        if (random & 0x40000000)
            at &= ~4095u; /* whole regions, too */
        n = n < PAGES - at ? n : PAGES - at;
        from = (random >> 12) % (PAGES - n + 1);
        for (u32 i = 0; i < n; i++)
            mapped += wanted[at + i] != 0;
        if (random & 0x80000000) {
            ck_hr(WHvUnmapGpaRange(g.partition, BASE + (u64)at * 4096, (u64)n * 4096),
                  mapped ? S_OK : WHV_E_GPA_RANGE_NOT_FOUND);
            memset(wanted + at, 0, n * sizeof *wanted);
        } else {
            ck_ok(WHvMapGpaRange(g.partition, memory + (size_t)from * 4096, BASE + (u64)at * 4096, (u64)n * 4096,
                                 FLAGS(3)));
            for (u32 i = 0; i < n; i++)
                wanted[at + i] = (u16)(1 + from + i);
        }
        for (u32 i = 0; i < PAGES; i++)
            total += wanted[i] != 0;
        ck_ok(WHvGetPartitionCounters(g.partition, WHvPartitionCounterSetMemory, counters, sizeof counters, NULL));
        ck_assert_uint_eq(counters[0], total + GUEST_MEMORY / 4096 - 1);
        for (u32 i = step % 61; i < PAGES; i += 61) {
            u16 got = 0xffff;
            HRESULT hr = WHvReadGpaRange(g.partition, 0, BASE + (u64)i * 4096, controls, &got, 2);

            ck_hr(hr, wanted[i] ? S_OK : E_ACCESSDENIED);
            if (wanted[i] && (wanted[i] - 1) % 61 == 0)
                ck_assert_uint_eq(got, wanted[i] - 1);
        }
    }
    guest_close(&g);
    munmap(memory, (size_t)PAGES * 4096);
}
END_TEST

/* ---- dirty pages of a running guest ---- */

enum { TRACKED = 0x40000, PAGES = 64, QUERIES = 2000 };

static void take_snapshot(const struct guest *g, u32 seen[PAGES])
{
    for (u32 i = 0; i < PAGES; i++)
        seen[i] = __atomic_load_n((const u32 *)(g->memory + TRACKED + i * 4096), __ATOMIC_ACQUIRE);
}

/* What changed between two looks is in one of the two queries around the second: nothing is lost. */
START_TEST(no_write_of_a_running_guest_is_lost)
{
    /* 1: inc eax; mov ecx, eax; and ecx, 63; shl ecx, 12; mov [rbx+rcx], eax; jmp 1b */
    static const u8 code[] = { 0xff, 0xc0, 0x89, 0xc1, 0x83, 0xe1, 63, 0xc1, 0xe1, 12, 0x89, 0x04, 0x0b, 0xeb, 0xf1 };
    static u32 seen[2][PAGES];
    struct guest g;
    pthread_t thread;
    u64 before = 0, bits;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    ck_ok(WHvMapGpaRange(g.partition, g.memory + TRACKED, TRACKED, PAGES * 4096, FLAGS(15)));
    guest_set(&g, WHvX64RegisterRbx, TRACKED);
    take_snapshot(&g, seen[0]);
    take_snapshot(&g, seen[1]);
    ck_assert_int_eq(pthread_create(&thread, NULL, guest_run_thread, &g), 0);
    while (!__atomic_load_n((const u32 *)(g.memory + TRACKED), __ATOMIC_ACQUIRE)) /* it is once around */
        sched_yield();
    for (u32 i = 0; i < QUERIES; i++) {
        ck_ok(WHvQueryGpaRangeDirtyBitmap(g.partition, TRACKED, PAGES * 4096, &bits, 8));
        for (u32 n = 0; n < PAGES; n++) {
            if (seen[0][n] != seen[1][n])
                ck_assert_msg((before | bits) >> n & 1, "query %u: page %u was written", i, n);
        }
        before = bits;
        memcpy(seen[0], seen[1], sizeof seen[0]);
        take_snapshot(&g, seen[1]);
    }
    ck_ok(WHvCancelRunVirtualProcessor(g.partition, 0, 0));
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq((u32)g.exit.ExitReason, WHvRunVpExitReasonCanceled);
    ck_assert_uint_ge(guest_get(&g, WHvX64RegisterRax), PAGES);
    guest_close(&g);
}
END_TEST

/* ---- a million pages, each mapped by itself ---- */

enum { MANY = 1 << 20, LOADED = 64 }; /* each LOADED'th has a value: the others are the host's page of zeros */
#define MANY_BASE ((u64)4 << 30)

/* A permutation of 20 bits. */
static u32 shuffled(u32 i, u32 by)
{
    for (u32 round = 0; round < 3; round++) {
        i = (i * 0x9e375 + by) & (MANY - 1);
        i ^= i >> 9;
    }
    return i;
}

/* Visits the pages in another order than theirs, reads from each and writes to the loaded ones; counts what it took. */
static u64 touch_all(struct guest *g, u64 *sum)
{
    u64 before, after;

    ck_ok(SwhpGetInstructionCount(g->partition, 0, &before));
    guest_set(g, WHvX64RegisterRip, GUEST_CODE);
    guest_set(g, WHvX64RegisterRbx, MANY_BASE);
    guest_set(g, WHvX64RegisterRcx, MANY);
    guest_set(g, WHvX64RegisterRax, 0);
    guest_set(g, WHvX64RegisterRdx, 0);
    ck_assert_uint_eq(guest_run(g), WHvRunVpExitReasonX64Halt);
    *sum = guest_get(g, WHvX64RegisterRax);
    ck_ok(SwhpGetInstructionCount(g->partition, 0, &after));
    return after - before;
}

START_TEST(a_million_single_pages_serve_as_one_big_mapping_does)
{
    static const u8 code[] = {
        /* edx = (edx * 5 + 12345) & 0xfffff, each number of 20 bits once */
        0x8d, 0x94, 0x92, 0x39, 0x30, 0, 0,       /* 1: lea edx, [rdx + rdx * 4 + 12345] */
        0x81, 0xe2, 0xff, 0xff, 0x0f, 0,          /* and edx, 0xfffff */
        0x48, 0x89, 0xd7,                         /* mov rdi, rdx */
        0x48, 0xc1, 0xe7, 12,                     /* shl rdi, 12 */
        0x48, 0x8d, 0x04, 0x40,                   /* lea rax, [rax + rax * 2] */
        0x48, 0x8b, 0x34, 0x3b,                   /* mov rsi, [rbx + rdi] */
        0x48, 0x01, 0xf0,                         /* add rax, rsi */
        0x48, 0x85, 0xf6,                         /* test rsi, rsi */
        0x74, 0x04,                               /* jz 2f */
        0x48, 0xff, 0x04, 0x3b,                   /* inc qword [rbx + rdi] */
        0xff, 0xc9,                               /* 2: dec ecx */
        0x75, 0xd4,                               /* jnz 1b */
        0xf4
    };
    u8 *memory = room_new((size_t)MANY * 4096);
    struct guest single, whole;
    u64 wanted[2] = { 0 }, sum, counts, counters[3];
    u32 at = 0;
    long before, taken;

    guest_open(&single, GUEST_LONG, code, sizeof code);
    guest_open(&whole, GUEST_LONG, code, sizeof code);
    for (u32 i = 0; i < 4; i++) { /* linear 4 to 8 GiB, in pages of 1 GiB */
        store_bytes(single.memory + 0x3000 + 8 * (4 + i), (MANY_BASE + ((u64)i << 30)) | 0xe7, 8);
        store_bytes(whole.memory + 0x3000 + 8 * (4 + i), (MANY_BASE + ((u64)i << 30)) | 0xe7, 8);
    }
    for (u32 i = 0; i < MANY; i += LOADED) /* page i of the guest, and the same for whoever has it in order */
        store_bytes(memory + (size_t)shuffled(i, 3) * 4096, 1 + (u64)i * 0x10001, 8);

    before = resident_pages();
    for (u32 i = 0; i < MANY; i++) {
        u32 page = shuffled(i, 77);

        ck_ok(WHvMapGpaRange(single.partition, memory + (size_t)shuffled(page, 3) * 4096, MANY_BASE + (u64)page * 4096,
                             4096, FLAGS(7)));
    }
    taken = resident_pages() - before;
    ck_assert_msg(taken < (64 << 20) / 4096, "%ld pages of ours for a million mappings", taken);
    ck_ok(WHvGetPartitionCounters(single.partition, WHvPartitionCounterSetMemory, counters, sizeof counters, NULL));
    ck_assert_uint_eq(counters[0], MANY + GUEST_MEMORY / 4096 - 1);
    for (u32 i = 0; i < MANY; i++) {
        at = (at * 5 + 12345) & (MANY - 1);
        for (u64 round = 0; round < 2; round++)
            wanted[round] = wanted[round] * 3 + (at % LOADED ? 0 : 1 + (u64)at * 0x10001 + round);
    }
    counts = touch_all(&single, &sum);
    ck_assert_uint_eq(sum, wanted[0]);
    ck_assert_uint_eq(touch_all(&single, &sum), counts); /* now what was written */
    ck_assert_uint_eq(sum, wanted[1]);
    ck_assert_uint_eq(counts, (u64)MANY * 11 + MANY / LOADED + 1);

    ck_ok(WHvMapGpaRange(whole.partition, memory, MANY_BASE, (u64)MANY * 4096, FLAGS(7)));
    ck_assert_uint_eq(touch_all(&whole, &sum), counts); /* in other words: as many operations */
    ck_ok(WHvUnmapGpaRange(single.partition, MANY_BASE, (u64)MANY * 4096));
    guest_close(&single);
    guest_close(&whole);
    munmap(memory, (size_t)MANY * 4096);
}
END_TEST

Suite *ranges_suite(void)
{
    Suite *s = suite_create("ranges");
    TCase *t = tcase_create("guest-physical ranges");

    tcase_set_timeout(t, 30);
    tcase_add_loop_test(t, bad_mappings_are_refused_and_change_nothing, 0, sizeof bad_maps / sizeof *bad_maps);
    tcase_add_test(t, only_the_own_process_can_be_mapped_from);
    tcase_add_loop_test(t, rights_rule_what_leaves, 0, sizeof rights_rows / sizeof *rights_rows);
    tcase_add_test(t, bad_unmappings_are_refused);
    tcase_add_test(t, any_order_of_maps_and_unmaps_ends_as_it_should);
    tcase_add_test(t, no_write_of_a_running_guest_is_lost);
    tcase_add_test(t, a_million_single_pages_serve_as_one_big_mapping_does);
    suite_add_tcase(s, t);
    suite_add_tcase(s, range_access_case());
    return s;
}
