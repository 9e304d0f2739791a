/* SPDX-License-Identifier: MIT */
/* Doorbells: what they do to their page, the rules of registering, and many of them. Reference 7.6, and 1.5's rows. */
#include "tests/whp/doorbell.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

/* ---- pages ---- */

START_TEST(a_mapped_page_counts_as_unmapped_while_it_has_one)
{
    static const u8 code[] = { 0x8a, 0x03, 0x88, 0x01, 0xf4 }; /* mov al, [rbx]; mov [rcx], al */
    WHV_ACCESS_GPA_CONTROLS controls = { .AsUINT64 = WHvCacheTypeWriteBack };
    int fd = event_new();
    struct guest g;
    u64 byte = 0;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    g.memory[0x9010] = 5;
    guest_set(&g, WHvX64RegisterRbx, 0x9010);
    guest_set(&g, WHvX64RegisterRcx, 0x9020);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(g.memory[0x9020], 5);
    ck_ok(hang(&g, match(0x9020, 1), fd));
    ck_ok(hang(&g, match(0x9030, 1), fd));
    guest_set(&g, WHvX64RegisterRip, GUEST_CODE);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonMemoryAccess); /* also what's no store */
    ck_assert_uint_eq(g.exit.MemoryAccess.AccessInfo.GpaUnmapped, 1);
    ck_hr(WHvReadGpaRange(g.partition, 0, 0x9010, controls, &byte, 1), E_ACCESSDENIED);
    ck_hr(WHvWriteGpaRange(g.partition, 0, 0x9020, controls, &byte, 1), E_ACCESSDENIED);
    ck_assert_uint_eq(taken(fd), 0);
    guest_set(&g, WHvX64RegisterRip, GUEST_CODE + 2);
    guest_set(&g, WHvX64RegisterRax, 9);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(taken(fd), 1);
    ck_assert_uint_eq(g.memory[0x9020], 5);

    ck_ok(take_down(&g, match(0x9020, 1)));
    guest_set(&g, WHvX64RegisterRip, GUEST_CODE);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonMemoryAccess); /* one is left */
    /* what is mapped over it meanwhile shows afterwards, and what is unmapped doesn't */
    ck_ok(WHvMapGpaRange(g.partition, g.memory + 0xa000, 0x9000, 4096, (WHV_MAP_GPA_RANGE_FLAGS)7));
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonMemoryAccess);
    g.memory[0xa010] = 6;
    ck_ok(take_down(&g, match(0x9030, 1)));
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(g.memory[0xa020], 6);
    ck_ok(hang(&g, match(0x9030, 1), fd));
    ck_ok(WHvUnmapGpaRange(g.partition, 0x9000, 4096));
    ck_hr(WHvUnmapGpaRange(g.partition, 0x9000, 4096), WHV_E_GPA_RANGE_NOT_FOUND);
    ck_ok(take_down(&g, match(0x9030, 1)));
    guest_set(&g, WHvX64RegisterRip, GUEST_CODE);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonMemoryAccess);
    guest_close(&g);
    close(fd);
}
END_TEST

/* Code on the page goes, too, and comes back; the digest sees what is mapped all the time. */
START_TEST(code_on_the_page_of_a_doorbell_stands_still)
{
    static const u8 code[] = { 0xff, 0xc0, 0xf4 }; /* inc eax */
    int fd = event_new();
    struct guest g;
    SWHP_DIGEST before, with;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    guest_set(&g, WHvX64RegisterRax, 0);
    guest_run(&g);
    before = partition_digest(g.partition);
    ck_ok(hang(&g, match(GUEST_CODE + 0x800, 4), fd));
    with = partition_digest(g.partition);
    ck_assert(!memcmp(&before, &with, sizeof with));
    guest_set(&g, WHvX64RegisterRip, GUEST_CODE);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonMemoryAccess);
    ck_assert_uint_eq(g.exit.MemoryAccess.AccessInfo.AccessType, WHvMemoryAccessExecute);
    ck_ok(take_down(&g, match(GUEST_CODE + 0x800, 4)));
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRax), 2);
    guest_close(&g);
    close(fd);
}
END_TEST

/* ---- rules of registering ---- */

static const struct wrong {
    const char *why;
    WHV_DOORBELL_MATCH_DATA m;
} wrongs[] = {
    { "a reserved bit", { .GuestAddress = BELL, .Reserved = 1 } },
    { "a length of 3", { .GuestAddress = BELL, .Length = 3, .MatchOnLength = 1 } },
    { "a length of 0", { .GuestAddress = BELL, .MatchOnLength = 1 } },
    { "a length of 16", { .GuestAddress = BELL, .Length = 16, .MatchOnLength = 1 } },
    { "a length that isn't matched", { .GuestAddress = BELL, .Length = 4 } },
    { "a value without a length", { .GuestAddress = BELL, .Value = 1, .MatchOnValue = 1 } },
    { "a value that isn't matched", { .GuestAddress = BELL, .Length = 4, .MatchOnLength = 1, .Value = 1 } },
    { "a value that doesn't fit", { .GuestAddress = BELL, .Length = 1, .MatchOnLength = 1, .Value = 256, .MatchOnValue = 1 } },
    { "across pages", { .GuestAddress = BELL + 0xfed, .Length = 4, .MatchOnLength = 1 } },
    { "beyond the address space", { .GuestAddress = (u64)1 << 52 } },
};

START_TEST(malformed_matches_are_refused)
{
    int fd = event_new();
    struct guest g;
    u8 code = 0xf4;

    guest_open(&g, GUEST_LONG, &code, 1);
    ck_assert_msg(hang(&g, wrongs[_i].m, fd) == E_INVALIDARG, "%s", wrongs[_i].why);
    ck_hr(take_down(&g, wrongs[_i].m), NOT_FOUND);
    guest_close(&g);
    close(fd);
}
END_TEST

START_TEST(doorbells_at_one_address_differ_in_value_alone)
{
    int fd = event_new();
    struct guest g;
    u8 code = 0xf4;

    guest_open(&g, GUEST_LONG, &code, 1);
    ck_ok(hang(&g, match_value(BELL, 4, 1), fd));
    ck_hr(hang(&g, match_value(BELL, 4, 1), fd), HV_INVALID_PARAMETER);
    ck_hr(hang(&g, match_value(BELL, 2, 2), fd), HV_INVALID_PARAMETER);
    ck_hr(hang(&g, match(BELL, 4), fd), HV_INVALID_PARAMETER);
    ck_hr(hang(&g, match(BELL, ANY), fd), HV_INVALID_PARAMETER);
    ck_ok(hang(&g, match_value(BELL, 4, 0), fd));
    ck_ok(hang(&g, match_value(BELL, 4, 2), fd));
    ck_ok(hang(&g, match(BELL + 1, 2), fd)); /* another address, though they overlap */
    ck_hr(hang(&g, match_value(BELL + 1, 2, 0), fd), HV_INVALID_PARAMETER);
    ck_hr(hang(&g, match(BELL + 1, 2), fd), HV_INVALID_PARAMETER);
    ck_hr(take_down(&g, match(BELL, 4)), NOT_FOUND);
    ck_hr(take_down(&g, match_value(BELL, 4, 3)), NOT_FOUND);
    ck_hr(take_down(&g, match_value(BELL, 2, 1)), NOT_FOUND);
    ck_ok(take_down(&g, match_value(BELL, 4, 1)));
    ck_hr(take_down(&g, match_value(BELL, 4, 1)), NOT_FOUND);
    ck_ok(hang(&g, match_value(BELL, 4, 1), fd));
    guest_close(&g); /* with four */
    close(fd);
}
END_TEST

START_TEST(misuse_is_refused)
{
    WHV_DOORBELL_MATCH_DATA m = match(BELL, 4);
    int fd = event_new(), file = open("/dev/null", O_WRONLY);
    WHV_PARTITION_HANDLE p;
    struct guest g;
    u8 code = 0xf4;

    guest_open(&g, GUEST_LONG, &code, 1);
    ck_hr(WHvRegisterPartitionDoorbellEvent(NULL, &m, handle_of(fd)), E_INVALIDARG);
    ck_hr(WHvRegisterPartitionDoorbellEvent(g.partition, NULL, handle_of(fd)), E_POINTER);
    ck_hr(WHvUnregisterPartitionDoorbellEvent(g.partition, NULL), E_POINTER);
    ck_hr(WHvUnregisterPartitionDoorbellEvent(NULL, &m), E_INVALIDARG);
    ck_hr(hang(&g, m, 0), HANDLE_INVALID);
    ck_hr(hang(&g, m, -1), HANDLE_INVALID);
    ck_hr(hang(&g, m, 12345), HANDLE_INVALID);
    ck_hr(hang(&g, m, file), HANDLE_INVALID); /* nobody's file gets our bytes */
    ck_hr(WHvUnregisterPartitionDoorbellEvent(g.partition, &m), NOT_FOUND);
    ck_ok(WHvCreatePartition(&p));
    ck_hr(WHvRegisterPartitionDoorbellEvent(p, &m, handle_of(fd)), (HRESULT)0xC0350007);
    ck_ok(WHvDeletePartition(p));
    guest_close(&g);
    close(fd);
    close(file);
}
END_TEST

static unsigned descriptors(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

START_TEST(the_callers_own_descriptor_may_be_closed)
{
    static const u8 code[] = { 0x88, 0x03, 0xf4 };
    int fd = event_new(), watch = dup(fd);
    unsigned before = descriptors();
    struct guest g;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    ck_ok(hang(&g, match(BELL, 1), fd));
    ck_hr(hang(&g, match(BELL, 2), fd), HV_INVALID_PARAMETER); /* and a refusal keeps none */
    ck_assert_uint_eq(descriptors(), before + 1);
    close(fd);
    guest_set(&g, WHvX64RegisterRbx, BELL);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(taken(watch), 1);
    guest_close(&g);
    ck_assert_uint_eq(descriptors(), before - 1);
    close(watch);
}
END_TEST

/* One that can't count further is signalled all the same, and blocks nobody. */
START_TEST(a_full_event_blocks_nobody)
{
    static const u8 code[] = { 0x88, 0x03, 0xf4 };
    u64 most = ~(u64)0 - 1;
    int fd = eventfd(0, 0);
    struct guest g;

    ck_assert_int_eq(write(fd, &most, 8), 8);
    guest_open(&g, GUEST_LONG, code, sizeof code);
    ck_ok(hang(&g, match(BELL, 1), fd));
    guest_set(&g, WHvX64RegisterRbx, BELL);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(taken(fd), most);
    guest_close(&g);
    close(fd);
}
END_TEST

START_TEST(a_breakpoint_on_a_doorbell_traps)
{
    static const u8 code[] = { 0x88, 0x03, 0x90, 0xf4 };
    int fd = event_new();
    struct guest g;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    guest_enable_exits(&g, 4, 2);
    ck_ok(hang(&g, match(BELL, 1), fd));
    guest_set(&g, WHvX64RegisterRbx, BELL);
    guest_set(&g, WHvX64RegisterDr0, BELL);
    guest_set(&g, WHvX64RegisterDr7, 0x10401);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonException);
    ck_assert_uint_eq(g.exit.VpContext.Rip, GUEST_CODE + 2);
    ck_assert_uint_eq(g.exit.VpException.ExceptionParameter & 15, 1);
    ck_assert_uint_eq(taken(fd), 1);
    guest_close(&g);
    close(fd);
}
END_TEST

/* ---- many ---- */

enum { MANY = 1000, MANY_BASE = 0x40000000 };

START_TEST(a_thousand_doorbells_each_know_their_own)
{
    static const u8 code[] = { 0x89, 0x03, 0xf4 }; /* mov [rbx], eax */
    static int fd[8];
    struct guest g;
    u32 order[MANY];

    guest_open(&g, GUEST_PROTECTED, code, sizeof code);
    for (u32 i = 0; i < 8; i++)
        fd[i] = event_new();
    for (u32 i = 0; i < MANY; i++)
        order[i] = i * 387 % MANY; /* in no order: 387 and 1000 have no common factor */
    for (u32 i = 0; i < MANY; i++) { /* four values at each of 250 addresses, on pages of their own */
        u32 n = order[i], event = n % 8;

        ck_ok(hang(&g, match_value(MANY_BASE + (n / 4) * 0x1008, 4, n), fd[event]));
    }
    for (u32 i = 0; i < MANY; i++) {
        guest_set(&g, WHvX64RegisterRip, GUEST_CODE);
        guest_set(&g, WHvX64RegisterRbx, MANY_BASE + (i / 4) * 0x1008);
        guest_set(&g, WHvX64RegisterRax, i);
        ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
        for (u32 n = 0, own = i % 8; n < 8; n++)
            ck_assert_uint_eq(taken(fd[n]), n == own);
        guest_set(&g, WHvX64RegisterRip, GUEST_CODE);
        guest_set(&g, WHvX64RegisterRax, i ^ 4);
        ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonMemoryAccess);
    }
    for (u32 i = 0; i < MANY; i++)
        ck_ok(take_down(&g, match_value(MANY_BASE + (i / 4) * 0x1008, 4, i)));
    guest_close(&g);
    for (u32 i = 0; i < 8; i++)
        close(fd[i]);
}
END_TEST

/* Two processors ring while doorbells come and go: each store rings or leaves, and none is lost. */
static struct guest shared;
static u64 left[2];

static void *ring_on(void *context)
{
    u32 index = (u32)(uintptr_t)context;
    WHV_RUN_VP_EXIT_CONTEXT x;

    for (;;) {
        ck_ok(WHvRunVirtualProcessor(shared.partition, index, &x, sizeof x));
        if (x.ExitReason != WHvRunVpExitReasonMemoryAccess)
            return NULL;
        left[index]++;

        WHV_REGISTER_NAME rip = WHvX64RegisterRip;
        WHV_REGISTER_VALUE v;

        memset(&v, 0, sizeof v);
        v.Reg64 = x.VpContext.Rip + 2;
        ck_ok(WHvSetVirtualProcessorRegisters(shared.partition, index, &rip, 1, &v));
    }
}

START_TEST(several_processors_ring_while_doorbells_come_and_go)
{
    /* mov [rbx], al; dec ecx; jnz back; hlt */
    static const u8 code[] = { 0x88, 0x03, 0xff, 0xc9, 0x75, 0xfa, 0xf4 };
    static const WHV_REGISTER_NAME copied[] = { WHvX64RegisterCs,  WHvX64RegisterSs,  WHvX64RegisterDs,  WHvX64RegisterEs,
                                                WHvX64RegisterCr0, WHvX64RegisterCr3, WHvX64RegisterCr4, WHvX64RegisterEfer,
                                                WHvX64RegisterRip, WHvX64RegisterRbx, WHvX64RegisterRcx };
    enum { ROUNDS = 20000, COPIED = sizeof copied / sizeof copied[0] };
    WHV_REGISTER_VALUE v[COPIED];
    WHV_PARTITION_HANDLE p;
    u32 count = 2;
    int fd = event_new(), other = event_new();
    pthread_t thread[2];

    memset(left, 0, sizeof left);
    ck_ok(WHvCreatePartition(&p));
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, &count, 4));
    ck_ok(WHvSetupPartition(p));
    guest_open_in(&shared, p, GUEST_LONG, code, sizeof code);
    guest_set(&shared, WHvX64RegisterRbx, BELL);
    guest_set(&shared, WHvX64RegisterRcx, ROUNDS);
    ck_ok(WHvCreateVirtualProcessor(p, 1, 0));
    ck_ok(WHvGetVirtualProcessorRegisters(p, 0, copied, COPIED, v));
    ck_ok(WHvSetVirtualProcessorRegisters(p, 1, copied, COPIED, v));
    ck_ok(hang(&shared, match(BELL, 1), fd));
    for (uintptr_t i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, ring_on, (void *)i), 0);
    for (u32 i = 0; i < 200; i++) {
        ck_ok(hang(&shared, match(BELL + 0x100, 1), other));
        ck_ok(take_down(&shared, match(BELL, 1)));
        ck_ok(hang(&shared, match(BELL, 1), fd));
        ck_ok(take_down(&shared, match(BELL + 0x100, 1)));
    }
    for (u32 i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
    ck_assert_uint_eq(taken(fd) + left[0] + left[1], 2 * ROUNDS);
    ck_assert_uint_eq(taken(other), 0);
    guest_close(&shared);
    close(fd);
    close(other);
}
END_TEST

TCase *doorbell_rule_case(void)
{
    TCase *t = tcase_create("doorbell-rules");

    tcase_add_test(t, a_mapped_page_counts_as_unmapped_while_it_has_one);
    tcase_add_test(t, code_on_the_page_of_a_doorbell_stands_still);
    tcase_add_loop_test(t, malformed_matches_are_refused, 0, (int)(sizeof wrongs / sizeof wrongs[0]));
    tcase_add_test(t, doorbells_at_one_address_differ_in_value_alone);
    tcase_add_test(t, misuse_is_refused);
    tcase_add_test(t, the_callers_own_descriptor_may_be_closed);
    tcase_add_test(t, a_full_event_blocks_nobody);
    tcase_add_test(t, a_breakpoint_on_a_doorbell_traps);
    tcase_add_test(t, a_thousand_doorbells_each_know_their_own);
    tcase_add_test(t, several_processors_ring_while_doorbells_come_and_go);
    return t;
}
