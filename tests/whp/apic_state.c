/* SPDX-License-Identifier: MIT */
/* The interrupt controller's state: its layout, saving in the middle of anything, restoring elsewhere, misuse. */
#include "tests/whp/apic.h"

#include <pthread.h>

enum { SIZE = 4096, DIVIDE_1 = 11 };
#define STATE(b, i, page) WHvGetVirtualProcessorInterruptControllerState2((b).partition, i, page, SIZE, NULL)

static struct board b;

static void setup(void)
{
    board_open(&b, WHvX64LocalApicEmulationModeXApic, 1, SwhpClockVirtual, 0);
    board_write(&b, 0, APIC_SVR, 0x1ff);
    board_eoi(&b);
}

static void teardown(void)
{
    board_close(&b);
}

static u32 word(const u8 *page, unsigned n)
{
    u32 v;

    memcpy(&v, page + n * 16, sizeof v);
    return v;
}

START_TEST(each_register_stands_at_its_offset)
{
    u8 page[SIZE], old[SIZE];
    u32 written = 0;

    board_write(&b, 0, APIC_TPR, 0x23);
    board_write(&b, 0, APIC_LDR, 0x04000000);
    board_write(&b, 0, APIC_LVT_LINT0, 0x700);
    board_write(&b, 0, APIC_ICR_HIGH, 0x05000000);
    board_write(&b, 0, APIC_DIVIDE, 3);
    ck_ok(board_request(&b, WHvX64InterruptTypeFixed, 0, 0x51, LEVEL));
    ck_ok(WHvGetVirtualProcessorInterruptControllerState2(b.partition, 0, page, SIZE, &written));
    ck_assert_uint_eq(written, SIZE);
    for (unsigned n = 0; n < APIC_REGISTERS; n++)
        if (!apic_is_reserved(n))
            ck_assert_uint_eq(word(page, n), board_read(&b, 0, n));
    ck_assert_uint_eq(word(page, APIC_IRR + 2), 1 << 17);
    ck_assert_uint_eq(word(page, APIC_TMR + 2), 1 << 17);
    ck_ok(WHvGetVirtualProcessorInterruptControllerState(b.partition, 0, old, SIZE, &written));
    ck_assert_mem_eq(page, old, SIZE);
    ck_ok(WHvGetVirtualProcessorState(b.partition, 0, WHvVirtualProcessorStateTypeInterruptControllerState2, old, SIZE,
                                      &written));
    ck_assert_uint_eq(written, SIZE);
    ck_assert_mem_eq(page, old, SIZE);
}
END_TEST

/* All of a processor that a client would save. */
static const WHV_REGISTER_NAME saved[] = {
    WHvX64RegisterApicBase, WHvX64RegisterRip, WHvX64RegisterRsp, WHvX64RegisterRflags, WHvX64RegisterRax,
    WHvX64RegisterRcx, WHvX64RegisterRdi, WHvX64RegisterTsc, WHvRegisterInternalActivityState,
    WHvRegisterInterruptState, WHvRegisterPendingInterruption, WHvX64RegisterCr8,
};
enum { SAVED = sizeof saved / sizeof *saved };

/* A guest with a periodic timer, nested handlers and HLT. */
static void put_guest(void)
{
    struct code c = { .size = 0 };

    code_write(&c, APIC_LVT_TIMER, 0x45 | LVT_PERIODIC);
    code_write(&c, APIC_DIVIDE, 8); /* 32 */
    code_write(&c, APIC_INITIAL_COUNT, 13);
    CODE(&c, 0xfb, 0x40, 0x40, 0x40, 0xf4, 0xeb, 0xfa); /* sti; inc eax * 3; hlt; jmp sti */
    board_put(&b, 0, &c);
}

struct seen {
    u32 port;
    u64 clock, rax;
};

static void watch(struct board *board, struct seen *seen, u32 n, u64 from)
{
    for (u32 i = 0; i < n; i++) {
        seen[i].port = board_run(board, 0);
        seen[i].clock = board_clock(board) - from;
        seen[i].rax = board_get(board, 0, WHvX64RegisterRax);
        board_pass(board, 0);
    }
}

/* Saved after any number of counts, and restored into another partition, it goes on as the first one does. */
START_TEST(a_restored_processor_goes_on_to_the_count)
{
    static u8 memory[BOARD_MEMORY];
    u8 page[SIZE];
    WHV_REGISTER_VALUE values[SAVED];
    struct board first;
    struct seen one[20], other[20];
    u64 at = (u64)_i * 37 + 5;

    put_guest();
    for (;;) { /* to the count, over the exits of handlers */
        ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 0, at, &b.exit[0], sizeof b.exit[0]));
        if ((u32)b.exit[0].ExitReason == (u32)SwhpRunVpExitReasonCount)
            break;
        board_pass(&b, 0);
    }
    if (_i % 3 == 0)
        ck_ok(board_request(&b, WHvX64InterruptTypeNmi, 0, 0, 0));
    ck_ok(STATE(b, 0, page));
    ck_ok(WHvGetVirtualProcessorRegisters(b.partition, 0, saved, SAVED, values));
    memcpy(memory, b.memory, sizeof memory);
    watch(&b, one, 20, board_clock(&b));

    first = b;
    board_open(&b, WHvX64LocalApicEmulationModeXApic, 1, SwhpClockVirtual, 0);
    memcpy(b.memory, memory, sizeof memory);
    ck_ok(SwhpAdvanceClock(b.partition, 999)); /* another time */
    ck_ok(WHvSetVirtualProcessorRegisters(b.partition, 0, saved, SAVED, values));
    ck_ok(WHvSetVirtualProcessorInterruptControllerState2(b.partition, 0, page, SIZE));
    watch(&b, other, 20, board_clock(&b));
    for (u32 i = 0; i < 20; i++) {
        ck_assert_uint_eq(one[i].port, other[i].port);
        ck_assert_uint_eq(one[i].clock, other[i].clock);
        ck_assert_uint_eq(one[i].rax, other[i].rax);
    }
    board_close(&first);
}
END_TEST

START_TEST(registers_in_service_survive)
{
    u8 page[SIZE];

    ck_ok(board_request(&b, WHvX64InterruptTypeFixed, 0, 0x61, LEVEL));
    board_loop(&b, 0);
    ck_assert_uint_eq(board_run(&b, 0), 0x61);
    ck_ok(STATE(b, 0, page));
    ck_assert_uint_eq(word(page, APIC_ISR + 3), 2);
    ck_ok(WHvResetPartition(b.partition));
    board_close(&b);
    board_open(&b, WHvX64LocalApicEmulationModeXApic, 1, SwhpClockVirtual, 0);
    ck_ok(WHvSetVirtualProcessorInterruptControllerState(b.partition, 0, page, SIZE));
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicPpr), 0x60);
    ck_assert_uint_eq(board_write(&b, 0, APIC_EOI, 0), REASON(WHvRunVpExitReasonX64ApicEoi));
}
END_TEST

START_TEST(a_page_without_our_own_part_is_enough)
{
    u8 page[SIZE] = { 0 };
    u32 v = 0x1ff;

    memcpy(page + APIC_SVR * 16, &v, 4);
    v = 0x30;
    memcpy(page + APIC_TPR * 16, &v, 4);
    v = 0x10020;
    memcpy(page + APIC_IRR * 16, &v, 4);
    ck_ok(WHvSetVirtualProcessorInterruptControllerState2(b.partition, 0, page, 0x400));
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterCr8), 3);
    ck_assert_uint_eq(board_get(&b, 0, WHvX64RegisterApicIrr0), 0x10000); /* vectors 0 to 15 aren't there */
}
END_TEST

static void *run_forever(void *context)
{
    (void)context;
    return (void *)(uintptr_t)board_run(&b, 0);
}

START_TEST(misuse_of_states)
{
    static const WHV_REGISTER_NAME activity = WHvRegisterInternalActivityState;
    static const WHV_VIRTUAL_PROCESSOR_STATE_TYPE type = WHvVirtualProcessorStateTypeInterruptControllerState2;
    u8 page[SIZE];
    u32 written = 0;
    WHV_REGISTER_VALUE v = { .Reg64 = 4 };
    pthread_t thread;

    ck_hr(WHvGetVirtualProcessorInterruptControllerState2(b.partition, 0, page, SIZE - 1, &written),
          WHV_E_INSUFFICIENT_BUFFER);
    ck_assert_uint_eq(written, SIZE);
    ck_ok(STATE(b, 0, page));
    ck_hr(WHvSetVirtualProcessorInterruptControllerState2(b.partition, 0, NULL, SIZE), E_POINTER);
    ck_hr(WHvSetVirtualProcessorInterruptControllerState2(b.partition, 0, page, 512), E_POINTER);
    ck_hr(WHvSetVirtualProcessorInterruptControllerState2(b.partition, 1, page, SIZE), WHV_E_VP_DOES_NOT_EXIST);
    ck_hr(WHvSetVirtualProcessorState(b.partition, 0, type, page, 1024), E_INVALIDARG);
    ck_hr(WHvSetVirtualProcessorState(b.partition, 0, type, NULL, SIZE), E_POINTER);
    ck_ok(WHvSetVirtualProcessorState(b.partition, 0, type, page, SIZE));
    ck_assert_uint_eq((u32)WHvSetVirtualProcessorRegisters(b.partition, 0, &activity, 1, &v), 0xc0350050u);

    board_loop(&b, 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, run_forever, NULL), 0);
    while (WHvSetVirtualProcessorInterruptControllerState2(b.partition, 0, page, SIZE) != WHV_E_INVALID_VP_STATE)
        ;
    ck_ok(STATE(b, 0, page)); /* reading is fine */
    ck_ok(WHvCancelRunVirtualProcessor(b.partition, 0, 0));
    pthread_join(thread, NULL);
}
END_TEST

START_TEST(any_bytes_are_a_state)
{
    u8 page[SIZE];
    u64 random = (u64)_i + 1;

    for (u32 i = 0; i < SIZE; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        page[i] = (u8)(random >> 56);
    }
    memcpy(page + 0x800, "PAC1", 4);
    ck_ok(WHvSetVirtualProcessorInterruptControllerState2(b.partition, 0, page, SIZE));
    board_loop(&b, 0);
    for (u32 i = 0; i < 50; i++) {
        ck_ok(SwhpRunVirtualProcessorUntil(b.partition, 0, board_count(&b, 0) + 100, &b.exit[0], sizeof b.exit[0]));
        if (board_get(&b, 0, WHvRegisterInternalActivityState))
            break; /* INIT, and a SIPI to nowhere */
        if (b.exit[0].ExitReason == WHvRunVpExitReasonX64IoPortAccess)
            board_pass(&b, 0);
    }
}
END_TEST

static WHV_PROCESSOR_APIC_COUNTERS counted(void)
{
    WHV_PROCESSOR_APIC_COUNTERS c;

    ck_ok(WHvGetVirtualProcessorCounters(b.partition, 0, WHvProcessorCounterSetApic, &c, sizeof c, NULL));
    return c;
}

START_TEST(what_is_done_with_it_is_counted)
{
    WHV_PROCESSOR_APIC_COUNTERS before = counted(), c;

    board_write(&b, 0, APIC_TPR, 0);
    board_read(&b, 0, APIC_TPR);
    board_write(&b, 0, APIC_EOI, 0);
    board_write(&b, 0, APIC_ICR_HIGH, 0x07000000); /* to nobody */
    board_write(&b, 0, APIC_ICR, 0x4031);
    board_write(&b, 0, APIC_ICR, 0x44032); /* to itself */
    c = counted();
    ck_assert_uint_eq(c.MmioAccessCount - before.MmioAccessCount, 6);
    ck_assert_uint_eq(c.TprAccessCount - before.TprAccessCount, 2);
    ck_assert_uint_eq(c.EoiAccessCount - before.EoiAccessCount, 1);
    ck_assert_uint_eq(c.SentIpiCount - before.SentIpiCount, 2);
    ck_assert_uint_eq(c.SelfIpiCount - before.SelfIpiCount, 1);
}
END_TEST

TCase *apic_state_case(void)
{
    TCase *t = tcase_create("apic-state");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, each_register_stands_at_its_offset);
    tcase_add_loop_test(t, a_restored_processor_goes_on_to_the_count, 0, 60);
    tcase_add_test(t, registers_in_service_survive);
    tcase_add_test(t, a_page_without_our_own_part_is_enough);
    tcase_add_test(t, misuse_of_states);
    tcase_add_test(t, what_is_done_with_it_is_counted);
    tcase_add_loop_test(t, any_bytes_are_a_state, 0, 20);
    return t;
}
