/* SPDX-License-Identifier: MIT */
/* Messages between processors: destinations, shorthands, delivery modes, errors; in turns, and on threads. */
#include "tests/whp/apic.h"

#include <pthread.h>

enum { X = WHvX64LocalApicEmulationModeXApic, X2 = WHvX64LocalApicEmulationModeX2Apic, MANY = 4 };
#define X2_ENABLED (0xfee00000 | APIC_BASE_EXTD | APIC_BASE_EN)

static struct board b;

static void teardown(void)
{
    board_close(&b);
}

static void setup(void)
{
    board_open(&b, X, MANY, SwhpClockVirtual, 0);
    for (u32 i = 0; i < MANY; i++)
        board_write(&b, i, APIC_SVR, 0x1ff);
}

static void setup_x2(void)
{
    board_open(&b, X2, MANY, SwhpClockVirtual, 0);
    for (u32 i = 0; i < MANY; i++) {
        board_set(&b, i, WHvX64RegisterInitialApicId, i * 15); /* 0, 15, 30, 45: three clusters */
        ck_assert_uint_eq(board_wrmsr(&b, i, 0x1b, X2_ENABLED), BOARD_DONE);
        board_wrmsr(&b, i, 0x80f, 0x1ff);
    }
}

/* Which processors have the vector in their IRR; takes it out again. */
static u32 have(u32 vector)
{
    u32 who = 0;

    for (u32 i = 0; i < MANY; i++) {
        u32 name = (u32)WHvX64RegisterApicIrr0 + vector / 32;
        u64 irr = board_get(&b, i, name);

        who |= (u32)(irr >> vector % 32 & 1) << i;
        board_set(&b, i, name, irr & ~((u64)1 << vector % 32));
    }
    return who;
}

static u32 send(u32 from, u32 to, u32 icr)
{
    board_write(&b, from, APIC_ICR_HIGH, to << 24);
    return board_write(&b, from, APIC_ICR, icr);
}

START_TEST(physical_destinations_and_shorthands)
{
    for (u32 to = 0; to < MANY; to++) {
        ck_assert_uint_eq(send(1, to, 0x4041), BOARD_DONE);
        ck_assert_uint_eq(have(0x41), 1u << to);
    }
    send(1, 9, 0x4041);
    ck_assert_uint_eq(have(0x41), 0);
    send(1, 0xff, 0x4041);
    ck_assert_uint_eq(have(0x41), 15);
    send(1, 2, 0x44041); /* self */
    ck_assert_uint_eq(have(0x41), 2);
    send(1, 2, 0x84041); /* all */
    ck_assert_uint_eq(have(0x41), 15);
    send(1, 2, 0xc4041); /* all others */
    ck_assert_uint_eq(have(0x41), 13);
    ck_assert_uint_eq(board_read(&b, 1, APIC_ICR), 0xc4041);
    ck_assert_uint_eq(board_read(&b, 1, APIC_ICR_HIGH), 0x02000000);
}
END_TEST

START_TEST(the_id_register_decides)
{
    board_write(&b, 2, APIC_ID, 0x77000000);
    send(0, 2, 0x4041);
    ck_assert_uint_eq(have(0x41), 0);
    send(0, 0x77, 0x4041);
    ck_assert_uint_eq(have(0x41), 4);
}
END_TEST

START_TEST(flat_logical_destinations)
{
    for (u32 i = 0; i < MANY; i++)
        board_write(&b, i, APIC_LDR, 0x11000000u << i);
    send(0, 0x0a, 0x4841);
    ck_assert_uint_eq(have(0x41), 10);
    send(0, 0x10, 0x4841);
    ck_assert_uint_eq(have(0x41), 1);
    send(0, 0xff, 0x4841);
    ck_assert_uint_eq(have(0x41), 15);
    send(0, 0, 0x4841);
    ck_assert_uint_eq(have(0x41), 0);
}
END_TEST

START_TEST(clusters)
{
    for (u32 i = 0; i < MANY; i++) {
        board_write(&b, i, APIC_DFR, 0x0fffffff);
        board_write(&b, i, APIC_LDR, (i / 2) << 28 | (1u + i % 2) << 24);
    }
    send(0, 0x03, 0x4841);
    ck_assert_uint_eq(have(0x41), 3);
    send(0, 0x12, 0x4841);
    ck_assert_uint_eq(have(0x41), 8);
    send(0, 0xf1, 0x4841); /* in all clusters */
    ck_assert_uint_eq(have(0x41), 5);
    send(0, 0x23, 0x4841);
    ck_assert_uint_eq(have(0x41), 0);
}
END_TEST

START_TEST(the_lowest_priority_gets_it)
{
    for (u32 i = 0; i < MANY; i++)
        board_write(&b, i, APIC_LDR, 1u << (24 + i));
    board_write(&b, 0, APIC_TPR, 0x40);
    board_write(&b, 1, APIC_TPR, 0x30);
    board_write(&b, 2, APIC_TPR, 0x10);
    board_write(&b, 3, APIC_TPR, 0x10);
    send(0, 0x0f, 0x4941);
    ck_assert_uint_eq(have(0x41), 4); /* of two equals the first */
    send(0, 0x0b, 0x4941);
    ck_assert_uint_eq(have(0x41), 8);
    board_write(&b, 3, APIC_SVR, 0xff); /* off: it takes part no longer */
    send(0, 0x0b, 0x4941);
    ck_assert_uint_eq(have(0x41), 2);
}
END_TEST

START_TEST(an_nmi_reaches_any_processor)
{
    board_write(&b, 1, APIC_SVR, 0xff); /* also one whose APIC is off */
    ck_assert_uint_eq(send(0, 1, 0x4400), BOARD_DONE);
    board_loop(&b, 1);
    board_set(&b, 1, WHvX64RegisterRflags, 2);
    ck_assert_uint_eq(board_run(&b, 1), 2);
    ck_assert_uint_eq(board_get(&b, 1, WHvRegisterInterruptState), 2);
    send(0, 1, 0x4400);
    board_pass(&b, 1);
    ck_assert_uint_eq(board_run(&b, 1), 2); /* behind the IRET */
}
END_TEST

START_TEST(a_level_triggered_ipi_tells_its_eoi)
{
    send(0, 1, 0x8041); /* not asserted: nothing */
    ck_assert_uint_eq(have(0x41), 0);
    send(0, 1, 0xc041);
    board_eoi(&b);
    board_loop(&b, 1);
    ck_assert_uint_eq(board_run(&b, 1), 0x41);
    board_pass(&b, 1);
    ck_assert_uint_eq(board_run(&b, 1), REASON(WHvRunVpExitReasonX64ApicEoi));
    ck_assert_uint_eq(b.exit[1].ApicEoi.InterruptVector, 0x41);
}
END_TEST

START_TEST(illegal_vectors_are_errors_of_the_sender)
{
    board_write(&b, 0, APIC_LVT_ERROR, 0x55);
    ck_assert_uint_eq(send(0, 1, 0x4009), BOARD_DONE);
    ck_assert_uint_eq(board_get(&b, 1, WHvX64RegisterApicIrr0), 0);
    ck_assert_uint_eq(have(0x55), 1);
    board_write(&b, 0, APIC_ESR, 0);
    ck_assert_uint_eq(board_read(&b, 0, APIC_ESR), ESR_SEND_ILLEGAL);
    board_write(&b, 1, APIC_ESR, 0);
    ck_assert_uint_eq(board_read(&b, 1, APIC_ESR), 0);
}
END_TEST

START_TEST(smis_are_an_exit_for_who_asks_and_nothing_else)
{
    u64 exits = 1 << 4;

    ck_assert_uint_eq(send(0, 1, 0x4200), BOARD_DONE);
    ck_ok(WHvSetPartitionProperty(b.partition, WHvPartitionPropertyCodeExtendedVmExits, &exits, sizeof exits));
    ck_assert_uint_eq(send(0, 1, 0x4200), REASON(WHvRunVpExitReasonX64ApicSmiTrap));
    ck_assert_uint_eq(b.exit[0].ApicSmi.ApicIcr, 0x0100000000004200);
    ck_assert_uint_eq(board_run(&b, 0), BOARD_DONE);
}
END_TEST

START_TEST(x2apic_destinations)
{
    for (u32 to = 0; to < MANY; to++) {
        board_wrmsr(&b, 1, 0x830, (u64)(to * 15) << 32 | 0x4041);
        ck_assert_uint_eq(have(0x41), 1u << to);
    }
    board_wrmsr(&b, 1, 0x830, 0xffffffff00004041);
    ck_assert_uint_eq(have(0x41), 15);
    board_wrmsr(&b, 1, 0x830, 0x000000ff00004041); /* no broadcast here */
    ck_assert_uint_eq(have(0x41), 0);
    board_wrmsr(&b, 1, 0x830, 0x0000800100004841); /* cluster 0: IDs 0 and 15 */
    ck_assert_uint_eq(have(0x41), 3);
    board_wrmsr(&b, 1, 0x830, 0x0001ffff00004841); /* cluster 1: 30 */
    ck_assert_uint_eq(have(0x41), 4);
    board_wrmsr(&b, 1, 0x830, 0xffffffff00004841);
    ck_assert_uint_eq(have(0x41), 15);
    board_wrmsr(&b, 2, 0x83f, 0x42); /* self IPI */
    ck_assert_uint_eq(have(0x42), 4);
    ck_assert_uint_eq(board_wrmsr(&b, 2, 0x83f, 0x05), BOARD_DONE);
    board_wrmsr(&b, 2, 0x828, 0);
    ck_assert_uint_eq(board_rdmsr(&b, 2, 0x828), ESR_SEND_ILLEGAL);
}
END_TEST

/* ---- threads ---- */

static void *serve(void *context)
{
    struct board *board = context;

    return (void *)(uintptr_t)board_run(board, 1);
}

/* Processor 0 sends and waits until 1 has counted the interrupt, many times, without any exit. */
START_TEST(two_threads_ping_without_exits)
{
    static const u8 count[] = { 0xf0, 0xff, 0x05, 0, 0, 8, 0, /* lock inc dword [80000] */
                                0xc7, 0x05, 0xb0, 0, 0xe0, 0xfe, 0, 0, 0, 0, 0xcf };
    struct code c = { .size = 0 };
    pthread_t thread;
    u32 counted = 0, rounds = _i ? 10000 : 100; /* two that spin may have to share a core */

    board_close(&b);
    board_open(&b, X, 2, SwhpClockHost, 0);
    for (u32 i = 0; i < 2; i++)
        board_write(&b, i, APIC_SVR, 0x1ff);
    memcpy(b.memory + 0x60000, count, sizeof count);
    b.memory[0x2000 + 0x41 * 8] = 0; /* the gate's offset: 60000 */
    b.memory[0x2000 + 0x41 * 8 + 1] = 0;
    b.memory[0x2000 + 0x41 * 8 + 6] = 6;
    board_write(&b, 0, APIC_ICR_HIGH, 1 << 24);
    CODE(&c, 0x31, 0xdb);                         /* xor ebx, ebx */
    code_write(&c, APIC_ICR, 0x4041);             /* again: */
    CODE(&c, 0x43);                               /* inc ebx */
    CODE(&c, 0xf3, 0x90);                         /* wait: pause */
    CODE(&c, 0x39, 0x1d, 0, 0, 8, 0, 0x75, 0xf6); /* cmp [80000], ebx; jne wait */
    CODE(&c, 0x81, 0xfb, (u8)rounds, (u8)(rounds >> 8), 0, 0, 0x75, 0xe3); /* cmp ebx, rounds; jne again */
    board_loop(&b, 1);
    b.memory[BOARD_CODE * 2 + 1] = _i ? 0xf4 : 0x90; /* sti; hlt or nop; jmp back to that */
    b.memory[BOARD_CODE * 2 + 3] = 0xfd;
    ck_assert_int_eq(pthread_create(&thread, NULL, serve, &b), 0);
    ck_assert_uint_eq(board_do(&b, 0, &c), BOARD_DONE);
    ck_ok(WHvCancelRunVirtualProcessor(b.partition, 1, 0));
    pthread_join(thread, NULL);
    memcpy(&counted, b.memory + 0x80000, sizeof counted);
    ck_assert_uint_eq(counted, rounds);
    ck_assert_uint_eq((u32)b.exit[1].ExitReason, WHvRunVpExitReasonCanceled);
}
END_TEST

TCase *apic_ipi_case(void)
{
    TCase *t = tcase_create("apic-ipis");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, physical_destinations_and_shorthands);
    tcase_add_test(t, the_id_register_decides);
    tcase_add_test(t, flat_logical_destinations);
    tcase_add_test(t, clusters);
    tcase_add_test(t, the_lowest_priority_gets_it);
    tcase_add_test(t, an_nmi_reaches_any_processor);
    tcase_add_test(t, a_level_triggered_ipi_tells_its_eoi);
    tcase_add_test(t, illegal_vectors_are_errors_of_the_sender);
    tcase_add_test(t, smis_are_an_exit_for_who_asks_and_nothing_else);
    tcase_add_loop_test(t, two_threads_ping_without_exits, 0, 2);
    return t;
}

TCase *apic_x2_ipi_case(void)
{
    TCase *t = tcase_create("apic-x2-ipis");

    tcase_add_checked_fixture(t, setup_x2, teardown);
    tcase_add_test(t, x2apic_destinations);
    return t;
}
