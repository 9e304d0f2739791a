/* SPDX-License-Identifier: MIT */
/* Guests that want all of our memory or time: they get neither, and every Run ends where it should. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tests/whp/guest.h"

static u8 *room_new(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    ck_assert_ptr_ne(p, MAP_FAILED);
    return p;
}

static u64 count_of(struct guest *g)
{
    u64 count;

    ck_ok(SwhpGetInstructionCount(g->partition, 0, &count));
    return count;
}

static u32 run_until(struct guest *g, u64 count)
{
    ck_ok(SwhpRunVirtualProcessorUntil(g->partition, 0, count, &g->exit, sizeof g->exit));
    return (u32)g->exit.ExitReason;
}

/* 64 MiB of code, all different, gone through twice: more than the blocks that are kept. */
START_TEST(more_code_than_fits_runs_all_the_same)
{
    enum { SIZE = 64 << 20, AT = 0x200000, STRIDE = 64, BLOCKS = (SIZE - STRIDE) / STRIDE };
    struct guest g;
    u8 *code = room_new(SIZE);

    guest_open(&g, GUEST_LONG, "\xf4", 1);
    ck_ok(WHvMapGpaRange(g.partition, code, AT, SIZE, (WHV_MAP_GPA_RANGE_FLAGS)7));
    for (u32 i = 0; i < BLOCKS; i++) { /* add $i, %rax; and 5 bytes of jmp to the next */
        u8 *to = code + i * STRIDE;

        memcpy(to, "\x48\x05\0\0\0\0\xe9\x35\0\0\0", 11);
        store_bytes(to + 2, i, 4);
    }
    code[BLOCKS * STRIDE] = 0xf4;
    for (u64 round = 1; round <= 2; round++) {
        guest_set(&g, WHvX64RegisterRax, 0);
        guest_set(&g, WHvX64RegisterRip, AT);
        ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
        ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRax), (u64)BLOCKS * (BLOCKS - 1) / 2);
        ck_assert_uint_eq(count_of(&g), round * (2 * (u64)BLOCKS + 1));
    }
    ck_assert_int_lt(resident_pages(), (SIZE + (192 << 20)) / 4096 * 4);
    guest_close(&g);
    munmap(code, SIZE);
}
END_TEST

/* A loop whose body writes into itself each time, with another value: its blocks die as fast as they are
 * made. */
START_TEST(code_that_rewrites_itself_for_ever_takes_no_more_memory)
{
    /* 1: inc %ecx; mov %ecx, 2f+1(%rip); 2: mov $0, %eax; add %rax, %rbx; cmp $300000, %ecx; jb 1b; hlt */
    static const u8 code[] = { 0xff, 0xc1, 0x89, 0x0d, 1,    0,    0,    0,    0xb8, 0,    0,    0,   0,
                               0x48, 0x01, 0xc3, 0x81, 0xf9, 0xe0, 0x93, 0x04, 0x00, 0x72, 0xe8, 0xf4 };
    struct guest g;
    long before;

    guest_open(&g, (enum guest_mode)GUEST_LONG, code, sizeof code);
    ck_assert_uint_eq(run_until(&g, 10000), SwhpRunVpExitReasonCount);
    before = resident_pages();
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRbx), (u64)300000 * 300001 / 2);
    ck_assert_int_lt(resident_pages() - before, (64 << 20) / 4096 * 4);
    guest_close(&g);
}
END_TEST

/* Instructions that lie across each page border of 32 MiB. */
START_TEST(code_across_every_page_border_runs)
{
    enum { SIZE = 32 << 20, AT = 0x200000, PAGES = SIZE / 4096 };
    struct guest g;
    u8 *code = room_new(SIZE);

    guest_open(&g, GUEST_LONG, "\xf4", 1);
    ck_ok(WHvMapGpaRange(g.partition, code, AT, SIZE, (WHV_MAP_GPA_RANGE_FLAGS)7));
    for (u32 i = 1; i < PAGES; i++) {
        u8 *border = code + i * 4096u;

        memcpy(border - 3, "\x48\x05\1\0\0\0\xe9",
               7); /* add $1, %rax; jmp to 3 bytes before the next border */
        store_bytes(border + 4, 4096 - 3 - 8, 4);
    }
    code[SIZE - 3] = 0xf4;
    for (u64 round = 1; round <= 3; round++) {
        guest_set(&g, WHvX64RegisterRip, AT + 4096 - 3);
        ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
        ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRax), round * (PAGES - 1));
    }
    guest_close(&g);
    munmap(code, SIZE);
}
END_TEST

/* One page of code under so many linear addresses: each has blocks of its own. */
START_TEST(one_page_under_many_addresses_is_no_trap)
{
    /* 1: add $0x1000, %rdx; dec %ecx; jz 2f; jmp *%rdx; 2: hlt */
    static const u8 code[] = { 0x48, 0x81, 0xc2, 0, 0x10, 0, 0, 0xff, 0xc9, 0x74, 0x02, 0xff, 0xe2, 0xf4 };
    enum { TABLES = 512, ALIASES = TABLES * 512, AT = 0x200000, LINEAR = 0x40000000 };
    struct guest g;
    u8 *tables = room_new((TABLES + 1) * 4096);
    struct timespec from, to;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    ck_ok(WHvMapGpaRange(g.partition, tables, AT, (TABLES + 1) * 4096, (WHV_MAP_GPA_RANGE_FLAGS)7));
    store_bytes(g.memory + 0x3000 + 8, (AT | 7), 8); /* the second gigabyte */
    for (u32 i = 0; i < TABLES; i++) {
        store_bytes(tables + i * 8, (u64)(AT + 4096 + i * 4096) | 7, 8);
        for (u32 n = 0; n < 512; n++)
            store_bytes(tables + 4096 + i * 4096 + n * 8, GUEST_CODE | 7, 8);
    }
    clock_gettime(CLOCK_MONOTONIC, &from);
    guest_set(&g, WHvX64RegisterRcx, 60000);
    guest_set(&g, WHvX64RegisterRdx, LINEAR);
    guest_set(&g, WHvX64RegisterRip, LINEAR);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
    clock_gettime(CLOCK_MONOTONIC, &to);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRdx), LINEAR + (u64)60000 * 4096);
    if (getenv("TRACE"))
        printf("aliases: %.3f s\n",
               (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9);
    guest_close(&g);
    munmap(tables, (TABLES + 1) * 4096);
}
END_TEST

static void *cancel_soon(void *p)
{
    usleep(3000);
    ck_ok(WHvCancelRunVirtualProcessor(p, 0, 0));
    return NULL;
}

/* A REP of 2^64 - 1 rounds, cancelled, stands at the instruction, and its rounds are counted. */
START_TEST(an_endless_repetition_can_be_cancelled)
{
    static const char *const codes[] = { "\xf3\xa4", "\xf3\xab", "\xf2\xae",
                                         "\xf3\xa6", "\xf3\xad", "\xf3\x48\xab" };
    struct guest g;
    pthread_t thread;

    guest_open(&g, GUEST_LONG, codes[_i], strlen(codes[_i]));
    for (u32 i = 0; i < 512; i++) { /* 512 GiB of one page, but for the code */
        store_bytes(g.memory + 0x3000 + i * 8, (i ? 0xa000 : 0x4000) | 0x67, 8);
        store_bytes(g.memory + 0x4000 + i * 8, (i ? 0xb000 : 0xc000) | 0x67, 8);
        store_bytes(g.memory + 0xa000 + i * 8, 0xb067, 8);
        store_bytes(g.memory + 0xb000 + i * 8, 0x10067, 8);
        store_bytes(g.memory + 0xc000 + i * 8, (i == 8 ? GUEST_CODE : 0x10000) | 0x67, 8);
    }
    guest_set(&g, WHvX64RegisterRcx, ~(u64)0);
    guest_set(&g, WHvX64RegisterRdi, 0x9000);
    guest_set(&g, WHvX64RegisterRsi, 0x9000);
    guest_set(&g, WHvX64RegisterRax, _i == 2 ? 1 : 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, cancel_soon, g.partition), 0);
    u32 reason = guest_run(&g);
    pthread_join(thread, NULL);
    ck_assert(reason == WHvRunVpExitReasonCanceled || reason == WHvRunVpExitReasonMemoryAccess);
    ck_assert_uint_eq(g.exit.VpContext.Rip, GUEST_CODE);
    ck_assert_uint_eq(count_of(&g), ~(u64)0 - guest_get(&g, WHvX64RegisterRcx));
    guest_close(&g);
}
END_TEST

/* #AC whose handler runs at CPL 3 on a misaligned stack with AC set: a processor never comes out of it. */
START_TEST(faults_without_end_end)
{
    struct guest g;
    static const WHV_REGISTER_NAME names[] = { WHvX64RegisterCs, WHvX64RegisterSs, WHvX64RegisterDs,
                                               WHvX64RegisterIdtr };
    WHV_REGISTER_VALUE v[4];
    char text[8192];

    guest_open(&g, GUEST_PROTECTED, "\xa1\x01\xb0\x00\x00\xf4", 6); /* mov 0xb001, %eax */
    memset(v, 0, sizeof v);
    for (u32 i = 0; i < 3; i++) {
        v[i].Segment.Limit = 0xffffffff;
        v[i].Segment.Selector = i ? 0x13 : 0xb;
        v[i].Segment.Attributes = i ? 0xc0f3 : 0xc0fb;
    }
    v[3].Table.Base = 0xa000;
    v[3].Table.Limit = 0x7ff;
    store_bytes(g.memory + 0x1000 + 8, 0x00cffb000000ffff, 8);
    for (u32 i = 0; i < 256; i++)
        store_bytes(g.memory + 0xa000 + i * 8, 0x0000ee0000088000, 8);
    ck_ok(WHvSetVirtualProcessorRegisters(g.partition, 0, names, 4, v));
    guest_set(&g, WHvX64RegisterCr0, 0x40031);
    guest_set(&g, WHvX64RegisterRflags, 0x40002);
    guest_set(&g, WHvX64RegisterRsp, 0xc001);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonUnrecoverableException);
    ck_assert_uint_eq(g.exit.VpContext.Rip, GUEST_CODE);
    ck_ok(SwhpExplainLastExit(g.partition, 0, text, sizeof text, NULL));
    ck_assert_ptr_ne(strstr(text, "#AC"), NULL);
    guest_close(&g);
}
END_TEST

/* Tables that are their own next level, in each paging mode that the machine knows. */
START_TEST(page_tables_that_lead_to_themselves_end)
{
    struct guest g;

    guest_open(&g, GUEST_LONG, "\xf4", 1);
    for (u32 i = 0; i < 512; i++)
        store_bytes(g.memory + 0x9000 + i * 8, 0x9003,
                    8); /* not accessed, not dirty: the walk writes to its own path */
    guest_set(&g, WHvX64RegisterCr3, 0x9000);
    guest_set(&g, WHvX64RegisterRip, 0x12345678);
    run_until(&g, 10000);
    ck_assert_uint_eq(load_bytes(g.memory + 0x9000, 8) & 0x20, 0x20);
    guest_close(&g);
}
END_TEST

/* A million mappings of one page each, and all away again. */
START_TEST(a_million_mappings_are_taken)
{
    enum { MAPPINGS = 1 << 20 };
    WHV_PARTITION_HANDLE p = partition_new(1);
    u8 *page = room_new(8192);

    for (u64 i = 0; i < MAPPINGS; i++) /* two host pages by turns, so that none continues the one before */
        ck_ok(WHvMapGpaRange(p, page + (i & 1) * 4096, i * 4096, 4096, (WHV_MAP_GPA_RANGE_FLAGS)3));
    ck_assert_int_lt(resident_pages(), (256 << 20) / 4096 * 4);
    ck_ok(WHvUnmapGpaRange(p, 0, (u64)MAPPINGS * 4096));
    ck_hr(WHvUnmapGpaRange(p, 0, (u64)MAPPINGS * 4096), WHV_E_GPA_RANGE_NOT_FOUND);
    ck_ok(WHvDeletePartition(p));
    munmap(page, 8192);
}
END_TEST

TCase *glutton_case(void)
{
    TCase *t = tcase_create("glutton");

    tcase_set_timeout(t, 30);
    tcase_add_test(t, more_code_than_fits_runs_all_the_same);
    tcase_add_test(t, code_that_rewrites_itself_for_ever_takes_no_more_memory);
    tcase_add_test(t, code_across_every_page_border_runs);
    tcase_add_test(t, one_page_under_many_addresses_is_no_trap);
    tcase_add_loop_test(t, an_endless_repetition_can_be_cancelled, 0, 6);
    tcase_add_test(t, faults_without_end_end);
    tcase_add_test(t, page_tables_that_lead_to_themselves_end);
    tcase_add_test(t, a_million_mappings_are_taken);
    return t;
}
