/* SPDX-License-Identifier: MIT */
/* Doorbells: which stores ring, which leave, and the rules of registering. Reference 7.6, and the rows of 1.5. */
#include "tests/whp/guest.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

Suite *doorbell_suite(void);

enum { BELL = GUEST_HOLE + 0x10 };
enum { ANY = 0, HV_INVALID_PARAMETER = (int)0xC0350005, NOT_FOUND = (int)0x80070490, HANDLE_INVALID = (int)0x80070006 };

static HANDLE handle_of(int fd)
{
    return (HANDLE)(intptr_t)fd;
}

static int event_new(void)
{
    int fd = eventfd(0, EFD_NONBLOCK);

    ck_assert_int_gt(fd, 0);
    return fd;
}

/* How often it was signalled since the last time. */
static u64 taken(int fd)
{
    u64 n;

    return read(fd, &n, sizeof n) == sizeof n ? n : 0;
}

static WHV_DOORBELL_MATCH_DATA match(u64 gpa, u32 length)
{
    WHV_DOORBELL_MATCH_DATA m;

    memset(&m, 0, sizeof m);
    m.GuestAddress = gpa;
    m.Length = length;
    m.MatchOnLength = length != 0;
    return m;
}

static WHV_DOORBELL_MATCH_DATA match_value(u64 gpa, u32 length, u64 value)
{
    WHV_DOORBELL_MATCH_DATA m = match(gpa, length);

    m.Value = value;
    m.MatchOnValue = 1;
    return m;
}

static HRESULT hang(struct guest *g, WHV_DOORBELL_MATCH_DATA m, int fd)
{
    return WHvRegisterPartitionDoorbellEvent(g->partition, &m, handle_of(fd));
}

static HRESULT take_down(struct guest *g, WHV_DOORBELL_MATCH_DATA m)
{
    return WHvUnregisterPartitionDoorbellEvent(g->partition, &m);
}

/* ---- which stores ring ---- */

/* Each begins with rBX = rDI = BELL, rSP just above it, rAX = 1122334455667788h, XMM0 and MM0 likewise, and ends by a HLT. */
struct store {
    const char *name;
    u8 mode;   /* enum guest_mode */
    u8 length; /* 0: it must leave */
    u8 code[14];
    u64 value;
};

#define REAL GUEST_REAL
#define PROT GUEST_PROTECTED
#define LONG GUEST_LONG
#define RAX_VALUE 0x1122334455667788u

static const struct store stores[] = {
    { "mov [bx], al", REAL, 1, { 0x88, 0x07, 0xf4 }, 0x88 },
    { "mov [bx], ax", REAL, 2, { 0x89, 0x07, 0xf4 }, 0x7788 },
    { "mov [bx], eax", REAL, 4, { 0x66, 0x89, 0x07, 0xf4 }, 0x55667788 },
    { "stosb", REAL, 1, { 0xaa, 0xf4 }, 0x88 },
    { "push ax", REAL, 2, { 0x50, 0xf4 }, 0x7788 },
    { "mov [bx], ds", REAL, 2, { 0x8c, 0x1f, 0xf4 }, 0 },
    { "mov [ebx], al", PROT, 1, { 0x88, 0x03, 0xf4 }, 0x88 },
    { "mov [ebx], eax", PROT, 4, { 0x89, 0x03, 0xf4 }, 0x55667788 },
    { "push eax", PROT, 4, { 0x50, 0xf4 }, 0x55667788 },
    { "push imm8", PROT, 4, { 0x6a, 0xfe, 0xf4 }, 0xfffffffe },
    { "call", PROT, 4, { 0xe8, 0, 0, 0, 0, 0xf4 }, GUEST_CODE + 5 },
    { "mov moffs, eax", PROT, 4, { 0xa3, BELL & 255, BELL >> 8, 0, 0, 0xf4 }, 0x55667788 },
    { "mov [rbx], al", LONG, 1, { 0x88, 0x03, 0xf4 }, 0x88 },
    { "mov [rbx], ax", LONG, 2, { 0x66, 0x89, 0x03, 0xf4 }, 0x7788 },
    { "mov [rbx], eax", LONG, 4, { 0x89, 0x03, 0xf4 }, 0x55667788 },
    { "mov [rbx], rax", LONG, 8, { 0x48, 0x89, 0x03, 0xf4 }, RAX_VALUE },
    { "mov [rbx], imm8", LONG, 1, { 0xc6, 0x03, 7, 0xf4 }, 7 },
    { "mov [rbx], imm32, 64 bits", LONG, 8, { 0x48, 0xc7, 0x03, 0xff, 0xff, 0xff, 0xff, 0xf4 }, ~(u64)0 },
    { "movnti [rbx], rax", LONG, 8, { 0x48, 0x0f, 0xc3, 0x03, 0xf4 }, RAX_VALUE },
    { "movbe [rbx], eax", LONG, 4, { 0x0f, 0x38, 0xf1, 0x03, 0xf4 }, 0x88776655 },
    { "setc [rbx]", LONG, 1, { 0x0f, 0x92, 0x03, 0xf4 }, 0 },
    { "stosq", LONG, 8, { 0x48, 0xab, 0xf4 }, RAX_VALUE },
    { "rep stosd, one", LONG, 4, { 0xb9, 1, 0, 0, 0, 0xf3, 0xab, 0xf4 }, 0x55667788 },
    { "movsb", LONG, 1, { 0xbe, 0, 0x90, 0, 0, 0xa4, 0xf4 }, 0 },
    { "push rax", LONG, 8, { 0x50, 0xf4 }, RAX_VALUE },
    { "push ax", LONG, 2, { 0x66, 0x50, 0xf4 }, 0x7788 },
    { "pushfq", LONG, 8, { 0x9c, 0xf4 }, 2 },
    { "call", LONG, 8, { 0xe8, 0, 0, 0, 0, 0xf4 }, GUEST_CODE + 5 },
    { "pop [rbx]", LONG, 8, { 0xbc, 0, 0x90, 0, 0, 0x8f, 0x03, 0xf4 }, 0 },
    { "movd [rbx], xmm0", LONG, 4, { 0x66, 0x0f, 0x7e, 0x03, 0xf4 }, 0x55667788 },
    { "movq [rbx], xmm0", LONG, 8, { 0x66, 0x0f, 0xd6, 0x03, 0xf4 }, RAX_VALUE },
    { "movss [rbx], xmm0", LONG, 4, { 0xf3, 0x0f, 0x11, 0x03, 0xf4 }, 0x55667788 },
    { "movlps [rbx], xmm0", LONG, 8, { 0x0f, 0x13, 0x03, 0xf4 }, RAX_VALUE },
    { "pextrw [rbx], xmm0, 1", LONG, 2, { 0x66, 0x0f, 0x3a, 0x15, 0x03, 1, 0xf4 }, 0x5566 },
    { "stmxcsr [rbx]", LONG, 4, { 0x0f, 0xae, 0x1b, 0xf4 }, 0x1f80 },
    { "fnstcw [rbx]", LONG, 2, { 0xd9, 0x3b, 0xf4 }, 0x37f },
    { "vmovq [rbx], xmm0", LONG, 8, { 0xc5, 0xf9, 0xd6, 0x03, 0xf4 }, RAX_VALUE },
    /* what reads first, or isn't one store */
    { "add [rbx], al", LONG, 0, { 0x00, 0x03, 0xf4 }, 0 },
    { "lock inc dword [rbx]", LONG, 0, { 0xf0, 0xff, 0x03, 0xf4 }, 0 },
    { "xchg [rbx], eax", LONG, 0, { 0x87, 0x03, 0xf4 }, 0 },
    { "cmpxchg [rbx], eax", LONG, 0, { 0x0f, 0xb1, 0x03, 0xf4 }, 0 },
    { "bts dword [rbx], 1", LONG, 0, { 0x0f, 0xba, 0x2b, 1, 0xf4 }, 0 },
    { "mov al, [rbx]", LONG, 0, { 0x8a, 0x03, 0xf4 }, 0 },
    { "jmp rbx", LONG, 0, { 0xff, 0xe3, 0xf4 }, 0 },
    { "fst dword [rbx]", LONG, 0, { 0xd9, 0xe8, 0xd9, 0x13, 0xf4 }, 0 },
    { "enter 0, 0", LONG, 0, { 0xc8, 0, 0, 0, 0xf4 }, 0 },
    { "sgdt [rbx]", LONG, 0, { 0x0f, 0x01, 0x03, 0xf4 }, 0 },
    { "fxsave [rbx]", LONG, 0, { 0x0f, 0xae, 0x03, 0xf4 }, 0 },
    { "pusha", PROT, 0, { 0x60, 0xf4 }, 0 },
};
#define STORES ((int)(sizeof stores / sizeof stores[0]))

static void open_guest(struct guest *g, const struct store *s)
{
    WHV_REGISTER_NAME xmm = WHvX64RegisterXmm0;
    WHV_REGISTER_VALUE v;

    guest_open(g, (enum guest_mode)s->mode, s->code, sizeof s->code);
    memset(&v, 0, sizeof v);
    v.Reg128.Low64 = RAX_VALUE;
    v.Reg128.High64 = 0x99;
    ck_ok(WHvSetVirtualProcessorRegisters(g->partition, 0, &xmm, 1, &v));
    if (s->mode == GUEST_LONG) {
        guest_set(g, WHvX64RegisterCr4, 0x40620);
        guest_set(g, WHvX64RegisterXCr0, 7);
    }
}

static u32 run_store(struct guest *g, const struct store *s)
{
    unsigned slot = s->length ? s->length : s->mode == GUEST_LONG ? 8 : 4;

    guest_set(g, WHvX64RegisterRip, GUEST_CODE);
    guest_set(g, WHvX64RegisterRax, RAX_VALUE);
    guest_set(g, WHvX64RegisterRbx, BELL);
    guest_set(g, WHvX64RegisterRdi, BELL);
    guest_set(g, WHvX64RegisterRsp, BELL + (s->mode == GUEST_LONG && slot > 2 ? 8 : slot));
    guest_set(g, WHvX64RegisterRflags, 2);
    return guest_run(g);
}

/* All that a store may have changed, or an exit before it must not have. */
static SWHP_DIGEST state_of(struct guest *g)
{
    SWHP_DIGEST d;

    ck_ok(SwhpStateHash(g->partition, &d));
    return d;
}

START_TEST(a_store_that_matches_rings_and_goes_on)
{
    const struct store *s = &stores[_i];
    int fd = event_new();
    struct guest g;

    open_guest(&g, s);
    ck_ok(hang(&g, match(BELL, ANY), fd));
    for (u32 i = 0; i < 3; i++) { /* and again, when the exit is remembered */
        u32 reason = run_store(&g, s);

        ck_assert_msg(reason == (s->length ? WHvRunVpExitReasonX64Halt : WHvRunVpExitReasonMemoryAccess),
                      "%s: reason %x", s->name, reason);
        ck_assert_msg(taken(fd) == (s->length ? 1 : 0), "%s", s->name);
    }
    ck_ok(take_down(&g, match(BELL, ANY)));
    ck_assert_msg(run_store(&g, s) == WHvRunVpExitReasonMemoryAccess, "%s", s->name);
    ck_assert_uint_eq(taken(fd), 0);
    guest_close(&g);
    close(fd);
}
END_TEST

START_TEST(length_and_value_decide)
{
    const struct store *s = &stores[_i];
    int fd = event_new(), other = event_new();
    struct guest plain, g;
    SWHP_DIGEST wanted, got;

    if (!s->length)
        return;
    open_guest(&plain, s);
    ck_assert_uint_eq(run_store(&plain, s), WHvRunVpExitReasonMemoryAccess);
    open_guest(&g, s);
    ck_ok(hang(&g, match(BELL, s->length == 4 ? 2 : 4), fd));
    ck_assert_msg(run_store(&g, s) == WHvRunVpExitReasonMemoryAccess, "%s", s->name);
    ck_ok(take_down(&g, match(BELL, s->length == 4 ? 2 : 4)));

    ck_ok(hang(&g, match(BELL, s->length), fd));
    ck_assert_msg(run_store(&g, s) == WHvRunVpExitReasonX64Halt, "%s", s->name);
    ck_assert_uint_eq(taken(fd), 1);
    ck_ok(take_down(&g, match(BELL, s->length)));

    ck_ok(hang(&g, match_value(BELL, s->length, s->value), fd));
    ck_ok(hang(&g, match_value(BELL, s->length, s->value ^ 1), other));
    ck_assert_msg(run_store(&g, s) == WHvRunVpExitReasonX64Halt, "%s", s->name);
    ck_assert_msg(taken(fd) == 1, "%s: another value", s->name);
    ck_assert_uint_eq(taken(other), 0);
    ck_ok(take_down(&g, match_value(BELL, s->length, s->value)));

    /* the other value alone: it leaves as if there were none, and nothing has happened */
    ck_assert_msg(run_store(&g, s) == WHvRunVpExitReasonMemoryAccess, "%s", s->name);
    ck_assert_uint_eq(taken(other), 0);
    ck_assert_msg(!memcmp(&g.exit, &plain.exit, sizeof g.exit), "%s: another exit", s->name);
    ck_assert_uint_eq(g.exit.MemoryAccess.Gpa, BELL);
    ck_assert_uint_eq(g.exit.MemoryAccess.AccessInfo.AccessType, WHvMemoryAccessWrite);
    ck_assert_uint_eq(g.exit.MemoryAccess.AccessInfo.GpaUnmapped, 1);
    ck_ok(take_down(&g, match_value(BELL, s->length, s->value ^ 1)));
    guest_close(&g);

    /* and so the state is that of one which never had a doorbell */
    open_guest(&g, s);
    ck_ok(hang(&g, match_value(BELL, s->length, s->value ^ 1), other));
    run_store(&g, s);
    got = state_of(&g);
    wanted = state_of(&plain);
    ck_assert_msg(!memcmp(&got, &wanted, sizeof got), "%s: the state differs", s->name);
    guest_close(&g);
    guest_close(&plain);
    close(fd);
    close(other);
}
END_TEST

START_TEST(each_round_of_a_repetition_rings_for_itself)
{
    static const u8 code[] = { 0xf3, 0xaa, 0xf4 }; /* rep stosb */
    int fd = event_new();
    struct guest g;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    for (u32 i = 0; i < 3; i++)
        ck_ok(hang(&g, match(BELL + i, 1), fd));
    guest_set(&g, WHvX64RegisterRdi, BELL);
    guest_set(&g, WHvX64RegisterRcx, 5);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonMemoryAccess);
    ck_assert_uint_eq(taken(fd), 3);
    ck_assert_uint_eq(g.exit.MemoryAccess.Gpa, BELL + 3);
    ck_assert_uint_eq(g.exit.VpContext.Rip, GUEST_CODE);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRcx), 2);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRdi), BELL + 3);
    guest_close(&g);
    close(fd);
}
END_TEST

START_TEST(an_access_that_only_touches_the_doorbell_leaves)
{
    static const u8 code[] = { 0x89, 0x03, 0xf4 }; /* mov [rbx], eax */
    int fd = event_new();
    struct guest g;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    ck_ok(hang(&g, match(BELL, ANY), fd));
    ck_ok(hang(&g, match(GUEST_HOLE, ANY), fd));
    guest_set(&g, WHvX64RegisterRbx, BELL - 2); /* covers it, and begins before it */
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonMemoryAccess);
    guest_set(&g, WHvX64RegisterRbx, GUEST_HOLE - 2); /* crosses pages */
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonMemoryAccess);
    ck_assert_uint_eq(taken(fd), 0);
    guest_close(&g);
    close(fd);
}
END_TEST

/* Pushes of an interrupt's delivery are no instruction's stores. */
START_TEST(what_the_processor_stores_by_itself_rings_nothing)
{
    static const u8 code[] = { 0xcd, 0x20, 0xf4 }; /* int 20h, real mode */
    int fd = event_new();
    struct guest g;

    guest_open(&g, GUEST_REAL, code, sizeof code);
    ck_ok(hang(&g, match(BELL, ANY), fd));
    for (u32 sp = BELL + 2; sp <= BELL + 6; sp += 2) {
        guest_set(&g, WHvX64RegisterRip, GUEST_CODE);
        guest_set(&g, WHvX64RegisterRsp, sp);
        ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonMemoryAccess);
        ck_assert_uint_eq(g.exit.VpContext.ExecutionState.InterruptionPending, 1);
        guest_set(&g, WHvRegisterPendingInterruption, 0);
    }
    ck_assert_uint_eq(taken(fd), 0);
    guest_close(&g);
    close(fd);
}
END_TEST

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
    before = state_of(&g);
    ck_ok(hang(&g, match(GUEST_CODE + 0x800, 4), fd));
    with = state_of(&g);
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

Suite *doorbell_suite(void)
{
    Suite *s = suite_create("doorbell");
    TCase *t = tcase_create("doorbells");

    tcase_add_loop_test(t, a_store_that_matches_rings_and_goes_on, 0, STORES);
    tcase_add_loop_test(t, length_and_value_decide, 0, STORES);
    tcase_add_test(t, each_round_of_a_repetition_rings_for_itself);
    tcase_add_test(t, an_access_that_only_touches_the_doorbell_leaves);
    tcase_add_test(t, what_the_processor_stores_by_itself_rings_nothing);
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
    suite_add_tcase(s, t);
    return s;
}
