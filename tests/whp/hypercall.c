/* SPDX-License-Identifier: MIT */
/* Hypercalls: who may call, how calls come in and go out, and what they do. */
#include "tests/whp/synic.h"

enum status { SUCCESS = 0, NO_CODE = 2, BAD_INPUT = 3, ALIGNMENT = 4, PARAMETER = 5, DENIED = 6, CONNECTION = 0x12 };
static struct board b;

static void setup(void)
{
    synic_open(&b, 2, SwhpClockVirtual);
    synic_identify(&b);
}

static void teardown(void)
{
    board_close(&b);
}

static u64 call(u64 control, u64 first, u64 second)
{
    return synic_hypercall(&b, control, first, second);
}

static void input(const u64 *words, u32 n)
{
    memcpy(b.memory + INPUT_AT, words, n * sizeof *words);
}

START_TEST(the_control_word)
{
    static const struct {
        u64 control, first;
        u32 status;
    } rows[] = {
        { 0xffff, 0, NO_CODE },
        { 0xffff | 1ull << 63, 0, NO_CODE },
        { 0x8001, 0, NO_CODE },
        { 0x0050, 0, NO_CODE },                             /* GetVpRegisters isn't offered */
        { 0x5c, INPUT_AT, DENIED },                         /* nor the privilege to post messages */
        { 0x5d | FAST, 77, CONNECTION },
        { 0x5d | FAST, 1ull << 48, PARAMETER },
        { 0x02, INPUT_AT, SUCCESS },
        { 0x02 | 1ull << 27, INPUT_AT, BAD_INPUT },
        { 0x02 | 1ull << 31, INPUT_AT, BAD_INPUT },
        { 0x02 | 1ull << 44, INPUT_AT, BAD_INPUT },
        { 0x02 | 1ull << 60, INPUT_AT, BAD_INPUT },
        { 0x02 | 1ull << 63, INPUT_AT, BAD_INPUT },
        { 0x02 | REPS(1), INPUT_AT, BAD_INPUT },
        { 0x02 | START(1), INPUT_AT, BAD_INPUT },
        { 0x02 | VARIABLE(1), INPUT_AT, BAD_INPUT },
        { 0x02, INPUT_AT + 4, ALIGNMENT },
        { 0x02, INPUT_AT + 1, ALIGNMENT },
        { 0x02, INPUT_AT + 4096 - 24, SUCCESS },
        { 0x02, INPUT_AT + 4096 - 16, ALIGNMENT },          /* spans pages */
        { 0x02, 1ull << 48, ALIGNMENT },
        { 0x03, INPUT_AT, BAD_INPUT },                      /* no element */
        { 0x03 | REPS(1) | START(1), INPUT_AT, BAD_INPUT },
        { 0x03 | REPS(1) | START(2), INPUT_AT, BAD_INPUT },
        { 0x03 | REPS(509), INPUT_AT, SUCCESS },
        { 0x03 | REPS(510), INPUT_AT, ALIGNMENT },
        { 0x03 | FAST | REPS(11), 0, SUCCESS },             /* 112 bytes */
        { 0x03 | FAST | REPS(12), 0, BAD_INPUT },
        { 0x08 | FAST, 5, SUCCESS },
        { 0x0b | FAST, 16, SUCCESS },
        { 0x0b | FAST, 15, PARAMETER },
        { 0x0b | FAST, 256, PARAMETER },
        { 0x0b | FAST, 1ull << 32 | 16, PARAMETER },        /* another VTL */
    };

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        u64 reps = rows[i].control >> 32 & 0xfff, result = call(rows[i].control, rows[i].first, 0);

        ck_assert_msg((u32)result == rows[i].status, "row %u: %llx", i, (unsigned long long)result);
        ck_assert_uint_eq(result >> 32, rows[i].status ? 0 : reps);
    }
}
END_TEST

START_TEST(flags_and_sets)
{
    static const struct {
        u64 control, words[6];
        u32 status;
    } rows[] = {
        { 0x02, { 0, 0, 3 }, SUCCESS },
        { 0x02, { 0, 7, 0 }, SUCCESS },
        { 0x02, { 0, 8, 0 }, PARAMETER },
        { 0x02, { 0, 1ull << 63, 0 }, PARAMETER },
        { 0x02, { 0, 0, ~0ull }, SUCCESS },
        { 0x03 | REPS(1), { 0, 4, 1, 0x1000 }, PARAMETER },
        { 0x03 | REPS(1), { 0, 8, 1, 0x1800 }, SUCCESS },
        { 0x03 | REPS(2), { 0, 0, 3, 0x1fff, 0xffffffffffffffff }, SUCCESS },
        { 0x13, { 0, 1, 9, 9 }, SUCCESS },                   /* all: the set isn't looked at */
        { 0x13, { 0, 0, 1, 0 }, SUCCESS },
        { 0x13, { 0, 0, 2, 0 }, PARAMETER },
        { 0x13, { 0, 0, 0, 1 }, BAD_INPUT },                 /* its bank is missing */
        { 0x13 | VARIABLE(1), { 0, 0, 0, 1, 3 }, SUCCESS },
        { 0x13 | VARIABLE(1), { 0, 0, 0, 3, 3 }, BAD_INPUT },
        { 0x13 | VARIABLE(2), { 0, 0, 0, 3, 3, 5 }, SUCCESS },
        { 0x14 | VARIABLE(1) | REPS(1), { 0, 0, 0, 1, 3, 0x1000 }, SUCCESS },
        { 0x14 | VARIABLE(1), { 0, 0, 0, 1, 3 }, BAD_INPUT },
        { 0x15 | VARIABLE(1), { 0x44, 0, 1, 0 }, SUCCESS },
        { 0x15, { 0x44, 2, 1 }, PARAMETER },
        { 0x15, { 0x04, 1, 0 }, PARAMETER },
    };

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        input(rows[i].words, 6);
        ck_assert_msg((u32)call(rows[i].control, INPUT_AT, 0) == rows[i].status, "row %u", i);
    }
}
END_TEST

/* Input that isn't there is an exit, and the call begins again. */
START_TEST(input_in_a_hole)
{
    ck_assert_uint_eq(call(2, 0x40000000, 0), ~(u64)0);
    ck_assert_uint_eq((u32)b.exit[0].ExitReason, (u32)WHvRunVpExitReasonMemoryAccess);
    ck_assert_uint_eq(b.exit[0].MemoryAccess.Gpa, 0x40000000);
    ck_assert_uint_eq(b.exit[0].MemoryAccess.AccessInfo.GpaUnmapped, 1);
    ck_assert_uint_eq(b.exit[0].VpContext.Rip, HYPERCALL_AT);
    ck_ok(WHvMapGpaRange(b.partition, b.memory, 0x40000000, 4096, WHvMapGpaRangeFlagRead));
    ck_assert_uint_eq(board_run(&b, 0), BOARD_DONE);
    ck_assert_uint_eq((u32)board_get(&b, 0, WHvX64RegisterRax), SUCCESS);
}
END_TEST

START_TEST(interrupts_to_many)
{
    static const u64 all[] = { 0x55, 1, 0 };
    static const u64 second[] = { 0x66, 0, 1, 2 };

    ck_assert_uint_eq((u32)call(0x0b | FAST, 0x44, 3), SUCCESS);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicIrr2), 1 << 4);
    ck_assert_uint_eq(board_get(&b, 1, WHvX64RegisterApicIrr2), 1 << 4);
    ck_assert_uint_eq((u32)call(0x0b | FAST, 0x45, 2), SUCCESS);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicIrr2), 1 << 4);
    ck_assert_uint_eq(board_get(&b, 1, WHvX64RegisterApicIrr2), 3 << 4);
    ck_assert_uint_eq((u32)call(0x0b | FAST, 0x46, 0xfffc), SUCCESS); /* nobody */
    input(all, 3);
    ck_assert_uint_eq((u32)call(0x15, INPUT_AT, 0), SUCCESS);
    input(second, 4);
    ck_assert_uint_eq((u32)call(0x15 | VARIABLE(1), INPUT_AT, 0), SUCCESS);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicIrr2), 1 << 4 | 1 << 21);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicIrr3), 0);
    ck_assert_uint_eq(board_get(&b, 1, WHvX64RegisterApicIrr3), 1 << 6);
}
END_TEST

/* Without its feature a call isn't there; without the interface the instruction isn't. */
START_TEST(features)
{
    static const struct {
        u64 without, control;
        u32 status;
    } rows[] = {
        { FEATURE(FLUSH), 2, NO_CODE },
        { FEATURE(FLUSH), 3 | REPS(1), NO_CODE },
        { FEATURE(SETS), 0x13, NO_CODE },
        { FEATURE(SPIN), 8 | FAST, NO_CODE },
        { FEATURE(IPI), 0xb | FAST, NO_CODE },
        { FEATURE(SIGNAL), 0x5d | FAST, DENIED },
    };

    board_close(&b);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        board_synthetic = SYNTHETIC_OFFERED & ~rows[i].without;
        board_open(&b, 1, 1, SwhpClockVirtual, 0);
        synic_identify(&b);
        ck_assert_uint_eq((u32)call(rows[i].control, INPUT_AT, 0), rows[i].status);
        board_close(&b);
    }
    board_synthetic = SYNTHETIC_OFFERED;
    board_open(&b, 1, 1, SwhpClockVirtual, 0);
    board_synthetic = 0;
    for (unsigned i = 0; i < 3; i++) {
        struct code c = { .size = 0 };

        CODE(&c, 0x0f, 0x01, i == 2 ? 0xc1 : 0xd9); /* VMMCALL; VMCALL is the other vendor's */
        ck_assert_uint_eq(board_do(&b, 0, &c), i == 1 ? BOARD_DONE : 6);
        synic_identify(&b);
    }
}
END_TEST

/* The exit needs nothing but the property: reference 4.10. */
START_TEST(the_exit)
{
    static const u8 code[] = { 0x66, 0x0f, 0x01, 0xd9, 0xf4 }; /* with a prefix */
    struct guest g;
    WHV_REGISTER_NAME name = WHvX64RegisterXmm5;
    WHV_REGISTER_VALUE v = { .Reg128 = { .Low64 = 0x1111, .High64 = 0x2222 } };

    guest_open(&g, GUEST_LONG, code + 1, sizeof code - 1);
    guest_enable_exits(&g, 1 << 5, 0);
    guest_set(&g, WHvX64RegisterRax, 1);
    guest_set(&g, WHvX64RegisterRbx, 2);
    guest_set(&g, WHvX64RegisterRcx, 3);
    guest_set(&g, WHvX64RegisterRdx, 4);
    guest_set(&g, WHvX64RegisterR8, 5);
    guest_set(&g, WHvX64RegisterRsi, 6);
    guest_set(&g, WHvX64RegisterRdi, 7);
    ck_ok(WHvSetVirtualProcessorRegisters(g.partition, 0, &name, 1, &v));
    ck_assert_uint_eq(guest_run(&g), (u32)WHvRunVpExitReasonHypercall);
    ck_assert_uint_eq(g.exit.VpContext.Rip, GUEST_CODE);
    ck_assert_uint_eq(g.exit.VpContext.InstructionLength, 3);
    ck_assert_uint_eq(g.exit.Hypercall.Rax, 1);
    ck_assert_uint_eq(g.exit.Hypercall.Rbx, 2);
    ck_assert_uint_eq(g.exit.Hypercall.Rcx, 3);
    ck_assert_uint_eq(g.exit.Hypercall.Rdx, 4);
    ck_assert_uint_eq(g.exit.Hypercall.R8, 5);
    ck_assert_uint_eq(g.exit.Hypercall.Rsi, 6);
    ck_assert_uint_eq(g.exit.Hypercall.Rdi, 7);
    ck_assert_mem_eq(&g.exit.Hypercall.XmmRegisters[5], &v, 16);
    ck_assert_uint_eq(g.exit.Hypercall.Reserved0 | g.exit.Hypercall.Reserved1[0] | g.exit.Hypercall.Reserved1[1], 0);
    guest_set(&g, WHvX64RegisterRax, 0x77);
    guest_set(&g, WHvX64RegisterRip, GUEST_CODE + 3);
    ck_assert_uint_eq(guest_run(&g), (u32)WHvRunVpExitReasonX64Halt);
    guest_close(&g);

    guest_open(&g, GUEST_REAL, code + 1, sizeof code - 1); /* no legal environment: #UD */
    guest_enable_exits(&g, 1 << 5 | 1 << 2, 1 << 6);
    ck_assert_uint_eq(guest_run(&g), (u32)WHvRunVpExitReasonException);
    guest_close(&g);
}
END_TEST

/* 64-bit code: RCX, RDX, R8, and RAX; a rep call moves RCX's start index. */
START_TEST(in_64_bit_code)
{
    static const u8 code[] = { 0x0f, 0x01, 0xd9, 0xf4 };
    u64 banks[2] = { 1, SYNTHETIC_OFFERED };
    u32 count = 1, clock = SwhpClockVirtual;
    WHV_PARTITION_HANDLE p;
    struct guest g;

    ck_ok(WHvCreatePartition(&p));
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, &count, 4));
    ck_ok(WHvSetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeClock, &clock, 4));
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeSyntheticProcessorFeaturesBanks, banks, sizeof banks));
    ck_ok(WHvSetupPartition(p));
    guest_open_in(&g, p, GUEST_LONG, code, sizeof code);
    guest_set(&g, WHvRegisterGuestOsId, 1);
    guest_set(&g, WHvX64RegisterHypercall, HYPERCALL_AT | 1);
    guest_set(&g, WHvX64RegisterRcx, 3 | FAST | REPS(5) | START(2));
    guest_set(&g, WHvX64RegisterRdx, 0);
    guest_set(&g, WHvX64RegisterR8, 1);
    guest_set(&g, WHvX64RegisterRax, ~0ull);
    ck_assert_uint_eq(guest_run(&g), (u32)WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRax), REPS(5));
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRcx), 3 | FAST | REPS(5) | START(5));
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRdx), 0);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterR8), 1);
    guest_close(&g);
}
END_TEST

TCase *hypercall_case(void)
{
    TCase *t = tcase_create("hypercalls");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_control_word);
    tcase_add_test(t, flags_and_sets);
    tcase_add_test(t, input_in_a_hole);
    tcase_add_test(t, interrupts_to_many);
    tcase_add_test(t, features);
    tcase_add_test(t, the_exit);
    tcase_add_test(t, in_64_bit_code);
    return t;
}
