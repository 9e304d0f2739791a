/* SPDX-License-Identifier: MIT */
/* The pages that MSRs place: they hide memory, or holes, with rights of their own, and what they hid comes back. */
#include "tests/whp/synic.h"

static struct board b;

static void setup(void)
{
    synic_open(&b, 1, SwhpClockVirtual);
}

static void teardown(void)
{
    board_close(&b);
}

/* mov eax, [at] */
static u32 guest_load(u32 at)
{
    struct code c = { .size = 0 };

    CODE(&c, 0xa1);
    code_bytes(&c, &at, 4);
    ck_assert_uint_eq(board_do(&b, 0, &c), BOARD_DONE);
    return (u32)board_get(&b, 0, WHvX64RegisterRax);
}

/* mov dword [at], value; the port or reason that ends it */
static u32 guest_store(u32 at, u32 value)
{
    struct code c = { .size = 0 };

    CODE(&c, 0xc7, 0x05);
    code_bytes(&c, &at, 4);
    code_bytes(&c, &value, 4);
    return board_do(&b, 0, &c);
}

static void identify(void)
{
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_GUEST_OS_ID, 0x8100000000000000), BOARD_DONE);
}

START_TEST(the_hypercall_page_needs_an_identity)
{
    memset(b.memory + HYPERCALL_AT, 0x5a, 4096);
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_HYPERCALL, HYPERCALL_AT | 1), BOARD_DONE);
    ck_assert_uint_eq(board_rdmsr(&b, 0, HV_HYPERCALL), HYPERCALL_AT);
    ck_assert_uint_eq(guest_load(HYPERCALL_AT), 0x5a5a5a5a);
    identify();
    ck_assert_uint_eq(guest_load(HYPERCALL_AT), 0x5a5a5a5a);
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_HYPERCALL, HYPERCALL_AT | 1), BOARD_DONE);
    ck_assert_uint_eq(board_rdmsr(&b, 0, HV_HYPERCALL), HYPERCALL_AT | 1);
    ck_assert_uint_eq(guest_load(HYPERCALL_AT), 0xc3d9010f); /* VMMCALL; RET */
    ck_assert_uint_eq(guest_load(HYPERCALL_AT + 4), 0xcccccccc);
    ck_assert_uint_eq(b.memory[HYPERCALL_AT], 0x5a); /* the caller's memory is as it was */
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_GUEST_OS_ID, 0), BOARD_DONE);
    ck_assert_uint_eq(board_rdmsr(&b, 0, HV_HYPERCALL), HYPERCALL_AT);
    ck_assert_uint_eq(guest_load(HYPERCALL_AT), 0x5a5a5a5a);
}
END_TEST

START_TEST(writes_to_the_hypercall_page_are_refused)
{
    identify();
    board_wrmsr(&b, 0, HV_HYPERCALL, HYPERCALL_AT | 1);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(guest_store(HYPERCALL_AT + 0xffc, 1), BOARD_GP);
        ck_assert_uint_eq(guest_store(HYPERCALL_AT - 2, 1), BOARD_GP); /* a part of it */
        ck_assert_uint_eq(guest_load(HYPERCALL_AT + 0xffc), 0xcccccccc);
    }
    ck_assert_uint_eq(guest_load(HYPERCALL_AT - 4), 0); /* nothing of it happened */
    ck_assert_uint_eq(guest_store(HYPERCALL_AT + 0x1000, 7), BOARD_DONE);
}
END_TEST

START_TEST(a_page_moves_and_covers_holes)
{
    static const u32 places[] = { 0x80000000, 0x92000, 0xfff00000, 0x100000, 0x92000 };

    identify();
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct code c = { .size = 0 };

        ck_assert_uint_eq(board_wrmsr(&b, 0, HV_HYPERCALL, places[i] | 1), BOARD_DONE);
        CODE(&c, 0xb8, 0xff, 0xff, 0, 0, 0x31, 0xd2, 0xbb); /* mov eax, ffff; xor edx, edx; mov ebx, place */
        code_bytes(&c, &places[i], 4);
        CODE(&c, 0xff, 0xd3); /* call ebx */
        ck_assert_uint_eq(board_do(&b, 0, &c), BOARD_DONE);
        ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterRax), 2); /* no such hypercall */
        if (i && places[i - 1] != 0x92000) {
            struct code away = { .size = 0 };

            CODE(&away, 0xa1);
            code_bytes(&away, &places[i - 1], 4);
            ck_assert_uint_eq(board_do(&b, 0, &away), REASON(WHvRunVpExitReasonMemoryAccess));
        }
    }
}
END_TEST

/* Code that ran in memory, then in the page over it, then in memory again, which meanwhile is another. */
START_TEST(code_under_and_over)
{
    struct code call = { .size = 0 };
    u32 at = HYPERCALL_AT;

    CODE(&call, 0xb8, 0xff, 0xff, 0, 0, 0x31, 0xd2, 0xbb);
    code_bytes(&call, &at, 4);
    CODE(&call, 0xff, 0xd3, 0xe6, BOARD_DONE);
    identify();
    for (u32 i = 0; i < 6; i++) {
        u8 under[] = { 0xb8, (u8)(i + 100), 0, 0, 0, 0xc3 }; /* mov eax, i + 100; ret */

        memcpy(b.memory + HYPERCALL_AT, under, sizeof under);
        board_put(&b, 0, &call);
        ck_assert_uint_eq(board_run(&b, 0), BOARD_DONE);
        ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterRax), i + 100);
        ck_assert_uint_eq(guest_store(HYPERCALL_AT + 1, 55), BOARD_DONE); /* seen as code's writes are */
        board_put(&b, 0, &call);
        ck_assert_uint_eq(board_run(&b, 0), BOARD_DONE);
        ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterRax), 55);
        board_wrmsr(&b, 0, HV_HYPERCALL, HYPERCALL_AT | 1);
        board_put(&b, 0, &call);
        ck_assert_uint_eq(board_run(&b, 0), BOARD_DONE);
        ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterRax), 2);
        board_wrmsr(&b, 0, HV_HYPERCALL, HYPERCALL_AT);
        ck_assert_uint_eq(guest_store(HYPERCALL_AT + 1, 56), BOARD_DONE);
        board_put(&b, 0, &call);
        ck_assert_uint_eq(board_run(&b, 0), BOARD_DONE);
        ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterRax), 56);
    }
}
END_TEST

START_TEST(a_locked_page_stays)
{
    identify();
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_HYPERCALL, HYPERCALL_AT | 3), BOARD_DONE);
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_HYPERCALL, HYPERCALL_AT), BOARD_GP);
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_HYPERCALL, 0x95000 | 3), BOARD_GP);
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_HYPERCALL, HYPERCALL_AT | 3), BOARD_DONE);
    ck_assert_uint_eq(guest_load(HYPERCALL_AT), 0xc3d9010f);
    ck_ok(WHvResetPartition(b.partition));
    board_ready(&b, 0);
    ck_assert_uint_eq(board_rdmsr(&b, 0, HV_HYPERCALL), 0);
    ck_assert_uint_eq(guest_load(HYPERCALL_AT), 0);
}
END_TEST

/* Pages that the guest writes: they keep what they have while they aren't there. */
START_TEST(writable_pages)
{
    static const u32 msrs[] = { HV_VP_ASSIST_PAGE, HV_SIMP, HV_SIEFP };

    for (unsigned i = 0; i < 3; i++) {
        memset(b.memory + 0x95000, 0x11, 4096);
        ck_assert_uint_eq(board_wrmsr(&b, 0, msrs[i], 0x95000 | 1), BOARD_DONE);
        ck_assert_uint_eq(guest_load(0x95010), 0);
        ck_assert_uint_eq(guest_store(0x95010, 0x12345678), BOARD_DONE);
        ck_assert_uint_eq(guest_load(0x95010), 0x12345678);
        ck_assert_uint_eq(board_wrmsr(&b, 0, msrs[i], 0x95000), BOARD_DONE);
        ck_assert_uint_eq(guest_load(0x95010), 0x11111111);
        ck_assert_uint_eq(board_wrmsr(&b, 0, msrs[i], 0x200000 | 1), BOARD_DONE);
        ck_assert_uint_eq(guest_load(0x200010), 0x12345678);
        ck_assert_uint_eq(synic_peek(&b, 0x200010, 4), 0x12345678);
        synic_poke(&b, 0x200014, 0x99, 4);
        ck_assert_uint_eq(guest_load(0x200014), 0x99);
        ck_assert_uint_eq(board_wrmsr(&b, 0, msrs[i], 0), BOARD_DONE);
        ck_assert_uint_eq(guest_store(0x200010, 1), REASON(WHvRunVpExitReasonMemoryAccess));
    }
}
END_TEST

/* Mapping and unmapping under a page changes what is there once it goes. */
START_TEST(the_map_changes_under_a_page)
{
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_SIMP, MESSAGES_AT | 1), BOARD_DONE);
    ck_assert_uint_eq(guest_store(MESSAGES_AT, 5), BOARD_DONE);
    ck_ok(WHvUnmapGpaRange(b.partition, MESSAGES_AT, 4096));
    ck_assert_uint_eq(guest_load(MESSAGES_AT), 5);
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_SIMP, 0), BOARD_DONE);
    ck_assert_uint_eq(guest_store(MESSAGES_AT, 6), REASON(WHvRunVpExitReasonMemoryAccess));
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_SIMP, MESSAGES_AT | 1), BOARD_DONE);
    memset(b.memory + MESSAGES_AT, 0x22, 4096);
    ck_ok(WHvMapGpaRange(b.partition, b.memory + MESSAGES_AT, MESSAGES_AT, 4096, WHvMapGpaRangeFlagRead));
    ck_assert_uint_eq(guest_store(MESSAGES_AT, 7), BOARD_DONE); /* rights of the map don't count */
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_SIMP, 0), BOARD_DONE);
    ck_assert_uint_eq(guest_load(MESSAGES_AT), 0x22222222);
    ck_assert_uint_eq(guest_store(MESSAGES_AT, 7), REASON(WHvRunVpExitReasonMemoryAccess));
}
END_TEST

/* The reference TSC page is for reading; none but the hypercall page is for execution. */
START_TEST(rights)
{
    struct code c = { .size = 0 };

    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_REFERENCE_TSC, TSC_AT | 1), BOARD_DONE);
    ck_assert_uint_eq(guest_load(TSC_AT), 1);
    ck_assert_uint_eq(guest_store(TSC_AT, 2), BOARD_GP);
    ck_assert_uint_eq(board_wrmsr(&b, 0, HV_SIMP, MESSAGES_AT | 1), BOARD_DONE);
    ck_assert_uint_eq(guest_store(MESSAGES_AT, 0x90909090), BOARD_DONE);
    CODE(&c, 0xb8, 0, 0, 9, 0, 0xff, 0xe0); /* mov eax, 90000; jmp eax */
    ck_assert_uint_eq(board_do(&b, 0, &c), BOARD_GP);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterRip) >> 4, (BOARD_STUBS + BOARD_GP * 16) >> 4);
}
END_TEST

/* Pages belong to the processor, not to its place in memory; they go with it. */
START_TEST(deleting_a_processor_uncovers)
{
    u32 other;

    board_close(&b);
    synic_open(&b, 2, SwhpClockHost);
    memset(b.memory + 0x98000, 0x33, 4096);
    ck_assert_uint_eq(board_wrmsr(&b, 1, HV_SIMP, 0x98000 | 1), BOARD_DONE);
    ck_assert_uint_eq(guest_load(0x98000), 0); /* of processor 0, too */
    ck_ok(WHvDeleteVirtualProcessor(b.partition, 1));
    ck_assert_uint_eq(guest_load(0x98000), 0x33333333);
    ck_ok(WHvCreateVirtualProcessor(b.partition, 1, 0));
    other = (u32)board_get(&b, 1, WHvRegisterSimp);
    ck_assert_uint_eq(other, 0);
    ck_assert_uint_eq(guest_load(0x98000), 0x33333333);
}
END_TEST

TCase *synic_page_case(void)
{
    TCase *t = tcase_create("synic-pages");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_hypercall_page_needs_an_identity);
    tcase_add_test(t, writes_to_the_hypercall_page_are_refused);
    tcase_add_test(t, a_page_moves_and_covers_holes);
    tcase_add_test(t, code_under_and_over);
    tcase_add_test(t, a_locked_page_stays);
    tcase_add_test(t, writable_pages);
    tcase_add_test(t, the_map_changes_under_a_page);
    tcase_add_test(t, rights);
    tcase_add_test(t, deleting_a_processor_uncovers);
    return t;
}
