/* SPDX-License-Identifier: MIT */
/*
 * XSAVE, XSAVEOPT, XSAVEC and XRSTOR of the components behind the header: bytes, PKRU and where a missing page is found, beside
 * what the host's own processor makes of the same area, and by a table that was read off a Zen.
 */
#include <cpuid.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>

#include "state/x86.h"
#include "state/xstate.h"
#include "tests/whp/guest.h"

Suite *xsave_suite(void);
TCase *xsave_modified_case(void);

enum op { XSAVE, XSAVEOPT, XSAVEC, XRSTOR };
enum { NO_FAULT = -1, ROOM = 2560 };

/* One execution: what goes in, and what comes out. */
struct run {
    enum op op;
    u32 mask, pkru;
    bool avx;             /* the upper half of YMM0 is all ones */
    u64 present, layout;  /* of the header beforehand */
    unsigned room;        /* bytes that are there */
    int fault;            /* offset of the byte that isn't, or NO_FAULT */
    u32 pkru_after;
    u8 area[ROOM];
};

/* A pattern, so that what isn't written shows. */
static void fill(struct run *r, u8 *area)
{
    memset(area, 0xee, r->room);
    memset(area + 512, 0, 64);
    memcpy(area + 512, &r->present, 8);
    memcpy(area + 520, &r->layout, 8);
    memcpy(area + 24, (const u8[]){ 0x80, 0x1f, 0, 0 }, 4);
    for (unsigned i = 0; r->op == XRSTOR && i < 3; i++) { /* a PKRU wherever it may be, that lets key 0 be */
        static const u16 at[] = { 576, 832, 2432 };
        static const u32 value[] = { 0xa0, 0xa00, 0xa000 };

        if (at[i] + 8u <= r->room)
            memcpy(area + at[i], &value[i], 4);
    }
}

static void play_guest(struct run *r)
{
    static const u8 ops[][4] = { { 0x48, 0x0f, 0xae, 0x27 }, { 0x48, 0x0f, 0xae, 0x37 }, { 0x48, 0x0f, 0xc7, 0x27 },
                                 { 0x48, 0x0f, 0xae, 0x2f } };
    u8 code[] = { 0xb8, 0, 0, 0, 0, 0x31, 0xc9, 0x31, 0xd2, 0x0f, 0x01, 0xef, /* wrpkru */
                  0xc5, 0xfd, 0x76, 0xc0,                                     /* vpcmpeqd ymm0, ymm0, ymm0 */
                  0xb8, 0, 0, 0, 0, 0x48, 0, 0, 0,                            /* xsave64 [rdi] */
                  0x31, 0xc9, 0x0f, 0x01, 0xee, 0xf4 };                       /* rdpkru */
    struct guest g;

    memcpy(code + 1, &r->pkru, 4);
    if (!r->avx)
        memcpy(code + 12, (const u8[]){ 0xc5, 0xf8, 0x77, 0x90 }, 4); /* vzeroupper */
    memcpy(code + 17, &r->mask, 4);
    memcpy(code + 21, ops[r->op], 4);
    guest_open(&g, GUEST_LONG, code, sizeof code);
    guest_set(&g, WHvX64RegisterCr4, 0x20 | CR4_OSFXSR | CR4_OSXSAVE | CR4_PKE);
    guest_set(&g, WHvX64RegisterXCr0, 0x207);
    guest_set(&g, WHvX64RegisterRdi, GUEST_MEMORY - r->room);
    fill(r, g.memory + GUEST_MEMORY - r->room);

    u32 reason = guest_run(&g);

    if (reason == (u32)WHvRunVpExitReasonX64Halt) {
        r->fault = NO_FAULT;
        r->pkru_after = (u32)guest_get(&g, WHvX64RegisterRax);
        memcpy(r->area, g.memory + GUEST_MEMORY - r->room, r->room);
    } else {
        ck_assert_uint_eq(reason, (u32)WHvRunVpExitReasonMemoryAccess);
        r->fault = (int)(g.exit.MemoryAccess.Gpa - (GUEST_MEMORY - r->room));
    }
    guest_close(&g);
}

/* ---- the host ---- */

static sigjmp_buf landing;
static u8 *volatile failed_at;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    failed_at = info->si_addr;
    siglongjmp(landing, 1);
}

static bool host_has_it(void)
{
    u32 a, b, c, d;

    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(c >> 4 & 1)) /* OSPKE */
        return false;
    __cpuid_count(0xd, 1, a, b, c, d);
    if ((a & 3) != 3)
        return false;
    __cpuid_count(0xd, 9, a, b, c, d);
    return a == 8 && b == 2432;
}

__attribute__((target("avx"))) static void execute(const struct run *r, void *area)
{
    u32 high = 0;

    __asm__ volatile("wrpkru" : : "a"(r->pkru), "c"(0), "d"(0) : "memory");
    if (r->avx)
        __asm__ volatile("vcmptrueps %%ymm0, %%ymm0, %%ymm0" : : : "xmm0");
    else
        __asm__ volatile("vzeroupper" : : : "xmm0");
    switch (r->op) {
    case XSAVE: __asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(r->mask), "d"(high) : "memory"); break;
    case XSAVEOPT: __asm__ volatile("xsaveopt64 (%0)" : : "r"(area), "a"(r->mask), "d"(high) : "memory"); break;
    case XSAVEC: __asm__ volatile("xsavec64 (%0)" : : "r"(area), "a"(r->mask), "d"(high) : "memory"); break;
    case XRSTOR: __asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(r->mask), "d"(high) : "memory"); break;
    }
    __asm__ volatile("vzeroupper" : : : "xmm0");
}

static void play_host(struct run *r)
{
    u8 *memory = mmap(NULL, 3 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    u8 *area = memory + 2 * PAGE_SIZE - r->room;
    struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER }, before;

    ck_assert_ptr_ne(memory, MAP_FAILED);
    fill(r, area);
    ck_assert_int_eq(mprotect(memory + 2 * PAGE_SIZE, PAGE_SIZE, PROT_NONE), 0);
    sigaction(SIGSEGV, &action, &before);
    if (!sigsetjmp(landing, 1)) {
        execute(r, area);
        __asm__ volatile("rdpkru" : "=a"(r->pkru_after) : "c"(0) : "rdx");
        r->fault = NO_FAULT;
        memcpy(r->area, area, r->room);
    } else {
        r->fault = (int)(failed_at - area);
    }
    sigaction(SIGSEGV, &before, NULL);
    munmap(memory, 3 * PAGE_SIZE);
}

/* What stands in the legacy region is the test's own process's there. */
static void compare(const struct run *ours, const struct run *theirs)
{
    struct run a = *ours, b = *theirs;
    const char *what = NULL;
    u64 legacy = ~(u64)3, bits;

    if (a.fault != b.fault)
        what = "fault";
    else if (a.fault == NO_FAULT && a.pkru_after != b.pkru_after)
        what = "PKRU";
    else if (a.fault == NO_FAULT) {
        memcpy(&bits, b.area + 512, 8);
        bits &= legacy;
        memcpy(b.area + 512, &bits, 8);
        memcpy(&bits, a.area + 512, 8);
        bits &= legacy;
        memcpy(a.area + 512, &bits, 8);
        if (memcmp(a.area + 512, b.area + 512, a.room - 512))
            what = "bytes";
    }
    ck_assert_msg(!what, "%s differ: op %u, mask %x, PKRU %x, AVX %u, header %llx %llx, room %u: %d and %d, %x and %x", what,
                  a.op, a.mask, a.pkru, a.avx, (unsigned long long)a.present, (unsigned long long)a.layout, a.room,
                  a.fault, b.fault, a.pkru_after, b.pkru_after);
}

START_TEST(the_host_does_the_same)
{
    static const u32 masks[] = { 4, 0x200, 0x204 }, keys[] = { 0, 0x50 };
    static const u64 headers[][2] = { { 0, 0 }, { 4, 0 }, { 0x200, 0 }, { 0x204, 0 }, { 0, XCOMP_COMPACTED | 0x204 },
                                      { 4, XCOMP_COMPACTED | 0x204 }, { 0x200, XCOMP_COMPACTED | 0x204 },
                                      { 0x204, XCOMP_COMPACTED | 0x204 }, { 0x200, XCOMP_COMPACTED | 0x200 } };
    static const unsigned rooms[] = { 576, 832, 896, 2432, ROOM };

    if (!host_has_it()) {
        fprintf(stderr, "skipped: this processor or its system has no PKRU where a Zen keeps it\n");
        return;
    }
    for (unsigned i = 0; i < 3 * 2 * 2 * 9 * 5; i++) {
        struct run ours = { .op = (enum op)_i,
                            .mask = masks[i % 3],
                            .pkru = keys[i / 3 % 2],
                            .avx = i / 6 % 2,
                            .present = headers[i / 12 % 9][0],
                            .layout = headers[i / 12 % 9][1],
                            .room = rooms[i / 108] };
        struct run theirs = ours;

        play_guest(&ours);
        play_host(&theirs);
        compare(&ours, &theirs);
    }
}
END_TEST

/* ---- a Zen's answers, for hosts that can't give them ---- */

static const struct answer {
    enum op op;
    u32 mask, pkru;
    u64 present, layout;
    unsigned room;
    int fault;
    u64 present_after, layout_after;
    unsigned at;          /* where PKRU stands afterwards; 0: nowhere */
    u32 pkru_after;
} answers[] = {
    { XSAVE, 0x200, 0x50, 7, 0, ROOM, NO_FAULT, 0x207, 0, 2432, 0x50 },
    { XSAVE, 0x200, 0, 0x207, 0, ROOM, NO_FAULT, 7, 0, 2432, 0 }, /* initial, and written all the same */
    { XSAVEOPT, 0x200, 0, 0x200, 0, ROOM, NO_FAULT, 0, 0, 0, 0 },
    { XSAVEC, 0x200, 0x50, 0, 0, ROOM, NO_FAULT, 0x200, XCOMP_COMPACTED | 0x200, 576, 0x50 },
    { XSAVEC, 0x204, 0x50, 0, 0, ROOM, NO_FAULT, 0x200, XCOMP_COMPACTED | 0x204, 832, 0x50 },
    { XSAVEC, 0x204, 0, 0, 0, ROOM, NO_FAULT, 0, XCOMP_COMPACTED | 0x204, 0, 0 },
    { XSAVE, 0x200, 0x50, 0, 0, 2432, 2439, 0, 0, 0, 0 },
    { XSAVE, 4, 0x50, 0, 0, 832, NO_FAULT, 0, 0, 0, 0x50 },
    { XSAVEC, 0x204, 0, 0, 0, 832, 839, 0, 0, 0, 0 },
    { XRSTOR, 0x200, 0x50, 0x200, 0, ROOM, NO_FAULT, 0x200, 0, 0, 0xa000 },
    { XRSTOR, 0x200, 0x50, 0, 0, ROOM, NO_FAULT, 0, 0, 0, 0 },
    { XRSTOR, 4, 0x50, 0x204, 0, ROOM, NO_FAULT, 0x204, 0, 0, 0x50 },
    { XRSTOR, 0x200, 0x50, 0x200, XCOMP_COMPACTED | 0x204, ROOM, NO_FAULT, 0x200, XCOMP_COMPACTED | 0x204, 0, 0xa00 },
    { XRSTOR, 0x200, 0x50, 0x200, XCOMP_COMPACTED | 0x200, ROOM, NO_FAULT, 0x200, XCOMP_COMPACTED | 0x200, 0, 0xa0 },
    { XRSTOR, 4, 0, 0, 0, 576, 831, 0, 0, 0, 0 },          /* the standard form is as large as what is asked for */
    { XRSTOR, 0x204, 0, 4, 0, 896, 2439, 0, 0, 0, 0 },
    { XRSTOR, 0x204, 0, 4, XCOMP_COMPACTED | 0x204, 832, NO_FAULT, 4, XCOMP_COMPACTED | 0x204, 0, 0 },
};

START_TEST(as_a_zen_does_it)
{
    const struct answer *w = &answers[_i];
    struct run r = { .op = w->op, .mask = w->mask, .pkru = w->pkru, .present = w->present, .layout = w->layout, .room = w->room };
    u64 word;

    play_guest(&r);
    ck_assert_int_eq(r.fault, w->fault);
    if (w->fault != NO_FAULT)
        return;
    memcpy(&word, r.area + 512, 8);
    ck_assert_uint_eq(word, w->present_after);
    memcpy(&word, r.area + 520, 8);
    ck_assert_uint_eq(word, w->layout_after);
    ck_assert_uint_eq(r.pkru_after, w->pkru_after);
    for (unsigned at = 576; r.op != XRSTOR && at < r.room; at++) /* nothing else was touched but AVX's */
        if (!(w->at && at - w->at < 4) && !(w->op == XSAVE && w->mask & 4 && at < 832))
            ck_assert_msg(r.area[at] == 0xee, "byte %u is %02x", at, r.area[at]);
    if (w->at)
        ck_assert(!memcmp(r.area + w->at, &w->pkru, 4));
}
END_TEST

/* MOV to a page of key 1 works before XRSTOR brings a PKRU that denies it, and doesn't afterwards. */
START_TEST(a_key_restored_counts_at_once)
{
    static const u8 code[] = { 0x88, 0x06, 0x31, 0xd2, 0xb8, 0, 2, 0, 0, 0x48, 0x0f, 0xae, 0x2f, 0x88, 0x06, 0xf4 };
    u8 *area;
    struct guest g;
    u64 entry = (u64)1 << 59 | 0xe7; /* linear 2 MiB is gpa 0, by key 1 */

    guest_open(&g, GUEST_LONG, code, sizeof code);
    guest_enable_exits(&g, 4, 1 << VECTOR_PF);
    area = g.memory + 0x20000;
    area[513] = 2;
    area[2432] = 8; /* key 1: no writes */
    memcpy(g.memory + 0x4000 + 8, &entry, 8);
    guest_set(&g, WHvX64RegisterCr0, 0x80010031);            /* WP: supervisor's writes count */
    guest_set(&g, WHvX64RegisterCr4, 0x20 | CR4_OSFXSR | CR4_OSXSAVE | CR4_PKE);
    guest_set(&g, WHvX64RegisterXCr0, 0x201);
    guest_set(&g, WHvX64RegisterRdi, 0x20000);
    guest_set(&g, WHvX64RegisterRsi, 0x200000 + 0x30000);
    ck_assert_uint_eq(guest_run(&g), (u32)WHvRunVpExitReasonException);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRip), GUEST_CODE + 13);
    ck_assert_uint_eq(g.exit.VpException.ErrorCode, 0x23); /* PK, W, P */
    guest_close(&g);
}
END_TEST

/* The API's image has it behind AVX, and the hash sees it. */
START_TEST(the_api_shows_it)
{
    WHV_PARTITION_HANDLE p = partition_new(1);
    SWHP_DIGEST before, after;
    u8 image[1024];
    u32 size;

    ck_ok(WHvCreateVirtualProcessor(p, 0, 0));
    ck_ok(SwhpStateHash(p, &before));
    ck_ok(WHvGetVirtualProcessorXsaveState(p, 0, image, sizeof image, &size));
    ck_assert_uint_eq(size, 840);
    ck_assert_uint_eq(image[520] | image[521] << 8, 0x207);
    image[832] = 0x50;
    ck_ok(WHvSetVirtualProcessorXsaveState(p, 0, image, size));
    memset(image, 0, sizeof image);
    ck_ok(WHvGetVirtualProcessorXsaveState(p, 0, image, sizeof image, &size));
    ck_assert_uint_eq(image[832], 0x50);
    ck_ok(SwhpStateHash(p, &after));
    ck_assert(memcmp(&before, &after, sizeof before));
    image[513] = 0; /* XSTATE_BV: PKRU is initial */
    ck_ok(WHvSetVirtualProcessorXsaveState(p, 0, image, size));
    ck_ok(SwhpStateHash(p, &after));
    ck_assert(!memcmp(&before, &after, sizeof before));
    ck_ok(WHvDeletePartition(p));
}
END_TEST

/* Without XSAVE it's x87 and SSE; without AVX, PKRU follows the header. */
START_TEST(the_api_shows_what_is_there)
{
    static const struct {
        u64 away[GUEST_BANKS];
        u32 size;
    } sets[] = { { { 0, 0, 1 }, 576 }, { { 0, 0, 4 }, 584 } };

    for (unsigned i = 0; i < 2; i++) {
        WHV_PARTITION_HANDLE p = partition_without(sets[i].away);
        u32 size = 0;

        ck_ok(WHvCreateVirtualProcessor(p, 0, 0));
        ck_hr(WHvGetVirtualProcessorXsaveState(p, 0, NULL, 0, &size), WHV_E_INSUFFICIENT_BUFFER);
        ck_assert_uint_eq(size, sets[i].size);
        ck_ok(WHvDeletePartition(p));
    }
}
END_TEST

/* What 32-bit code doesn't save is in use all the same. Seen on a Zen 3: XSTATE_BV has 2 for XMM8 alone. */
START_TEST(registers_that_32_bit_code_lacks_are_in_use)
{
    /* mov eax, 2; xor edx, edx; xsave [edi]; hlt */
    static const u8 code[] = { 0xb8, 2, 0, 0, 0, 0x31, 0xd2, 0x0f, 0xae, 0x27, 0xf4 };
    WHV_REGISTER_NAME name = (WHV_REGISTER_NAME)(WHvX64RegisterXmm0 + _i);
    WHV_REGISTER_VALUE v = { .Reg64 = 1 };
    struct guest g;

    guest_open(&g, GUEST_PROTECTED, code, sizeof code);
    guest_set(&g, WHvX64RegisterCr4, CR4_OSFXSR | CR4_OSXSAVE);
    guest_set(&g, WHvX64RegisterXCr0, 7);
    guest_set(&g, WHvX64RegisterRdi, GUEST_MEMORY - ROOM);
    if (_i < 16)
        ck_assert_int_eq(WHvSetVirtualProcessorRegisters(g.partition, 0, &name, 1, &v), 0);
    ck_assert_uint_eq(guest_run(&g), (u32)WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(load_bytes(g.memory + GUEST_MEMORY - ROOM + 512, 8), _i < 16 ? STATE_SSE : 0);
    ck_assert_uint_eq(load_bytes(g.memory + GUEST_MEMORY - ROOM + 160 + 16 * 8, 8), 0); /* and none of them is saved */
    guest_close(&g);
}
END_TEST

Suite *xsave_suite(void)
{
    Suite *s = suite_create("xsave");
    TCase *t = tcase_create("xsave");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, registers_that_32_bit_code_lacks_are_in_use, 0, 17);
    tcase_add_loop_test(t, the_host_does_the_same, XSAVE, XRSTOR + 1);
    tcase_add_loop_test(t, as_a_zen_does_it, 0, sizeof answers / sizeof *answers);
    tcase_add_test(t, a_key_restored_counts_at_once);
    tcase_add_test(t, the_api_shows_it);
    tcase_add_test(t, the_api_shows_what_is_there);
    suite_add_tcase(s, t);
    suite_add_tcase(s, xsave_modified_case());
    return s;
}
