/* SPDX-License-Identifier: MIT */
/* Events that the caller injects, and a fault or an exit in the delivery of one. SDM 3A 6.15, 3C 26.6. */
#include "tests/cpu/event_machine.h"

enum {
    VECTOR_DE = 0,
    VECTOR_UD = 6,
    VECTOR_DF = 8,
    VECTOR_TS = 10,
    VECTOR_NP,
    VECTOR_SS,
    VECTOR_GP,
    VECTOR_PF
};
enum { INTERRUPT = 0, NMI = 2, EXCEPTION = 3, SOFTWARE = 4, PRIVILEGED = 5, SOFTWARE_EXCEPTION = 6 };

static u64 interrupt_state(struct rig *r)
{
    return guest_get(&r->g, WHvRegisterInterruptState);
}

static void inject(struct rig *r, u64 value)
{
    guest_set(&r->g, WHvRegisterPendingInterruption, value);
}

/* An exception by WHvRegisterPendingEvent. */
static void queue_exception(struct rig *r, unsigned vector, bool has_error, u32 error, u64 parameter)
{
    static const WHV_REGISTER_NAME name = WHvRegisterPendingEvent;
    WHV_REGISTER_VALUE v;

    memset(&v, 0, sizeof v);
    v.ExceptionEvent.EventPending = 1;
    v.ExceptionEvent.EventType = WHvX64PendingEventException;
    v.ExceptionEvent.DeliverErrorCode = has_error;
    v.ExceptionEvent.Vector = vector & 0xffff;
    v.ExceptionEvent.ErrorCode = error;
    v.ExceptionEvent.ExceptionParameter = parameter;
    ck_ok(WHvSetVirtualProcessorRegisters(r->g.partition, 0, &name, 1, &v));
}

static const u8 types[] = { INTERRUPT, NMI, EXCEPTION, SOFTWARE, PRIVILEGED, SOFTWARE_EXCEPTION };
enum { TYPES = sizeof types };

START_TEST(an_event_of_each_type_is_delivered_in_each_mode)
{
    unsigned type = types[_i % TYPES], vector = type == INTERRUPT || type == SOFTWARE ? 0x21
                                                : type == NMI                         ? 2
                                                                                      : 3;
    unsigned length = type >= SOFTWARE ? 2 : 0;
    struct rig r;

    rig_open(&r, (enum in)(_i / TYPES), X("\x90\x90\x90"));
    inject(&r, INJECT(type, vector, length));
    ck_assert_uint_eq(guest_get(&r.g, WHvRegisterPendingInterruption), INJECT(type, vector, length));
    rig_halts_in(&r, vector);
    ck_assert_uint_eq(guest_get(&r.g, WHvRegisterPendingInterruption), 0);
    ck_assert_uint_eq(rig_pushed(&r, 0), CODE + length);
    ck_assert_uint_eq(r.g.exit.VpContext.ExecutionState.Cpl, 0);
    ck_assert_uint_eq(rig_count(&r), 2); /* the event, hlt */
    ck_assert_uint_eq(interrupt_state(&r), type == NMI ? 2 : 0);
    if (r.slot > 2)
        ck_assert_uint_eq(!!(rig_pushed(&r, 2) & RFLAG_RF), 0);
    rig_close(&r);
}
END_TEST

START_TEST(an_injected_fault_pushes_its_error_code_and_RF)
{
    struct rig r;

    rig_open(&r, (enum in)_i, X("\x90"));
    inject(&r, INJECT_ERROR(VECTOR_PF, 0x1234));
    ck_assert_uint_eq(guest_get(&r.g, WHvRegisterPendingInterruption), INJECT_ERROR(VECTOR_PF, 0x1234));
    rig_halts_in(&r, VECTOR_PF);
    ck_assert_uint_eq(rig_get(&r, Cr2), 0); /* the caller's */
    if (r.slot == 2) {                      /* real mode has no error codes */
        ck_assert_uint_eq(rig_pushed(&r, 0), CODE);
    } else {
        ck_assert_uint_eq(rig_pushed(&r, 0), 0x1234);
        ck_assert_uint_eq(rig_pushed(&r, 1), CODE);
        ck_assert_uint_eq(rig_pushed(&r, 3) & RFLAG_RF, RFLAG_RF);
    }
    rig_close(&r);
}
END_TEST

START_TEST(software_events_ask_the_gate_and_others_do_not)
{
    struct rig r;

    for (unsigned i = 0; i < TYPES; i++) {
        bool asks = types[i] == SOFTWARE || types[i] == SOFTWARE_EXCEPTION;
        unsigned vector = types[i] == NMI ? 2 : 3;

        rig_open(&r, IN_LONG_USER, X("\x90\x90"));
        rig_gate(&r, vector, INTERRUPT_GATE, 0);
        inject(&r, INJECT(types[i], vector, 1));
        rig_halts_in(&r, asks ? VECTOR_GP : vector);
        if (asks) {
            ck_assert_uint_eq(rig_pushed(&r, 0), vector * 8 + 2);
            ck_assert_uint_eq(rig_pushed(&r, 1), CODE);
        }
        rig_close(&r);
    }
}
END_TEST

START_TEST(what_no_processor_would_take_is_refused)
{
    static const u64 bad[] = { INJECT(1, 3, 0),           INJECT(7, 3, 0),  INJECT(NMI, 3, 0),
                               INJECT(EXCEPTION, 32, 0),  INJECT(6, 32, 1), INJECT(INTERRUPT, 256, 0),
                               INJECT(0, 32, 0) | 1 << 10 };
    struct rig r;

    rig_open(&r, IN_LONG, X("\xf4"));
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        static const WHV_REGISTER_NAME name = WHvRegisterPendingInterruption;
        WHV_REGISTER_VALUE v;

        memset(&v, 0, sizeof v);
        v.Reg64 = bad[i];
        ck_assert_msg(WHvSetVirtualProcessorRegisters(r.g.partition, 0, &name, 1, &v) != S_OK, "%u", i);
    }
    rig_halts_at(&r, CODE + 1);
    rig_close(&r);
}
END_TEST

START_TEST(a_queued_exception_is_delivered_with_its_parameter)
{
    struct rig r;

    rig_open(&r, (enum in)_i, X("\x90"));
    rig_intercept(&r, 1 << VECTOR_PF); /* the caller isn't asked again */
    queue_exception(&r, VECTOR_PF, true, 6, 0x123456789000);
    rig_halts_in(&r, VECTOR_PF);
    ck_assert_uint_eq(rig_get(&r, Cr2), 0x123456789000);
    ck_assert_uint_eq(rig_pushed(&r, 0), r.slot == 2 ? CODE : 6);
    ck_assert_uint_eq(guest_get(&r.g, WHvRegisterPendingEvent), 0);
    ck_assert_uint_eq(rig_count(&r), 2);
    rig_close(&r);

    rig_open(&r, (enum in)_i, X("\x90"));
    queue_exception(&r, 1, false, 0, DEBUG_BS | 2);
    rig_halts_in(&r, 1);
    ck_assert_uint_eq(rig_get(&r, Dr6), 0xffff0ff0 | DEBUG_BS | 2);
    ck_assert_uint_eq(rig_pushed(&r, 0), CODE);
    rig_close(&r);
}
END_TEST

START_TEST(an_intercepted_fault_leaves_before_CR2_is_written)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\x8a\x07"));
    rig_intercept(&r, 1 << VECTOR_PF);
    rig_set(&r, Rdi, ABSENT + 5);
    rig_leaves(&r, LEAVES(Exception), CODE);
    ck_assert_uint_eq(r.g.exit.VpException.ExceptionType, VECTOR_PF);
    ck_assert_uint_eq(r.g.exit.VpException.ExceptionInfo.AsUINT32, 1);
    ck_assert_uint_eq(r.g.exit.VpException.ErrorCode, 0);
    ck_assert_uint_eq(r.g.exit.VpException.ExceptionParameter, ABSENT + 5);
    ck_assert_uint_eq(r.g.exit.VpException.InstructionBytes[0], 0x8a);
    ck_assert_uint_eq(rig_get(&r, Cr2), 0);
    ck_assert_uint_eq(rig_count(&r), 0);
    ck_assert_uint_eq(r.g.exit.VpContext.ExecutionState.InterruptionPending, 0);
    rig_close(&r);
}
END_TEST

START_TEST(INT3_and_INTO_leave_at_the_instruction_and_are_given_back_with_its_length)
{
    struct rig r;

    rig_open(&r, (enum in)_i, X("\xcc\x90"));
    rig_intercept(&r, 1 << 3);
    rig_leaves(&r, LEAVES(Exception), CODE);
    ck_assert_uint_eq(r.g.exit.VpException.ExceptionType, 3);
    ck_assert_uint_eq(r.g.exit.VpException.ExceptionInfo.AsUINT32, 2);
    ck_assert_uint_eq(r.g.exit.VpContext.InstructionLength, 1);
    ck_assert_uint_eq(rig_count(&r), 0);
    inject(&r, INJECT(SOFTWARE_EXCEPTION, 3, 1));
    rig_halts_in(&r, 3);
    ck_assert_uint_eq(rig_pushed(&r, 0), CODE + 1);
    rig_close(&r);
}
END_TEST

/* ---- faults in delivery ---- */

/* Makes the delivery of `vector` fail in long mode, with the fault that is asked for. */
static void spoil(struct rig *r, unsigned vector, unsigned fault)
{
    u64 stack = fault == VECTOR_SS ? 0x8000000000000000 : ABSENT + 0x100;

    switch (fault) {
    case VECTOR_GP: rig_gate(r, vector, 0x85, 0); break;
    case VECTOR_NP: rig_gate(r, vector, 0x0e, 0); break;
    case VECTOR_TS:
    case VECTOR_SS:
    case VECTOR_PF:
        rig_gate(r, vector, INTERRUPT_GATE, fault == VECTOR_TS ? 7 : fault == VECTOR_SS ? 1 : 2);
        rig_poke(r, TSS_AT + (fault == VECTOR_SS ? 36 : 44), &stack, 8);
        break;
    default: ck_abort();
    }
    if (fault == VECTOR_TS) { /* the TSS ends before IST7 */
        static const WHV_REGISTER_NAME name = WHvX64RegisterTr;
        WHV_REGISTER_VALUE v;

        ck_ok(WHvGetVirtualProcessorRegisters(r->g.partition, 0, &name, 1, &v));
        v.Segment.Limit = 0x53;
        ck_ok(WHvSetVirtualProcessorRegisters(r->g.partition, 0, &name, 1, &v));
    }
}

/* SDM 3A tables 6-4 and 6-5; APM 2 table 8-1. */
static const struct first {
    u8 type, vector;
    bool has_error;
    char class;
} firsts[] = {
    { EXCEPTION, 0, false, 'c' },  { EXCEPTION, 1, false, 'b' },  { EXCEPTION, 3, false, 'b' },
    { EXCEPTION, 4, false, 'b' },  { EXCEPTION, 5, false, 'b' },  { EXCEPTION, 6, false, 'b' },
    { EXCEPTION, 7, false, 'b' },  { EXCEPTION, 10, true, 'c' },  { EXCEPTION, 11, true, 'c' },
    { EXCEPTION, 12, true, 'c' },  { EXCEPTION, 13, true, 'c' },  { EXCEPTION, 14, true, 'p' },
    { EXCEPTION, 16, false, 'b' }, { EXCEPTION, 17, true, 'b' },  { EXCEPTION, 18, false, 'b' },
    { EXCEPTION, 19, false, 'b' }, { INTERRUPT, 14, false, 'b' }, { INTERRUPT, 0x40, false, 'b' },
    { NMI, 2, false, 'b' },        { SOFTWARE, 13, false, 'b' },  { SOFTWARE_EXCEPTION, 3, false, 'b' },
};
static const u8 seconds[] = { VECTOR_TS, VECTOR_NP, VECTOR_SS, VECTOR_GP, VECTOR_PF };
enum { FIRSTS = sizeof firsts / sizeof *firsts, SECONDS = sizeof seconds };

START_TEST(two_faults_make_a_double_fault_as_the_table_says)
{
    const struct first *first = &firsts[_i % FIRSTS];
    unsigned second = seconds[_i / FIRSTS];
    bool doubles = first->class == 'p' || (first->class == 'c' && second != VECTOR_PF);
    struct rig r;

    if (first->type == EXCEPTION && first->vector == second && !doubles)
        return; /* the second would fail likewise */
    if (first->vector == second && first->type != EXCEPTION)
        return;
    rig_open(&r, IN_LONG, X("\x90\x90\x90"));
    spoil(&r, first->vector, second);
    inject(&r, first->has_error ? INJECT_ERROR(first->vector, 0) : INJECT(first->type, first->vector, 0));
    rig_halts_in(&r, doubles ? VECTOR_DF : second);
    ck_assert_uint_eq(rig_pushed(&r, 1), CODE);
    ck_assert_uint_eq(rig_pushed(&r, 3) & RFLAG_RF, doubles ? 0 : RFLAG_RF);
    if (doubles)
        ck_assert_uint_eq(rig_pushed(&r, 0), 0);
    else if (second == VECTOR_GP || second == VECTOR_NP) /* the gate, in the IDT, from outside or not */
        ck_assert_uint_eq(rig_pushed(&r, 0),
                          first->vector * 8u + 2 +
                              (first->type != SOFTWARE && first->type != SOFTWARE_EXCEPTION));
    if (second == VECTOR_PF)
        ck_assert_uint_eq(rig_get(&r, Cr2), ABSENT + 0x100 - 8); /* SS is pushed first */
    ck_assert_uint_eq(rig_count(&r), 2);                         /* what wasn't delivered doesn't count */
    rig_close(&r);
}
END_TEST

START_TEST(a_fault_in_the_delivery_of_a_double_fault_is_the_end_and_tells_its_story)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\x0f\x0b"));
    spoil(&r, VECTOR_UD, VECTOR_NP);
    spoil(&r, VECTOR_NP, VECTOR_GP);
    spoil(&r, VECTOR_DF, VECTOR_PF);
    rig_leaves(&r, LEAVES(UnrecoverableException), CODE);
    ck_assert_uint_eq(rig_count(&r), 0);
    ck_assert_uint_eq(rig_get(&r, Rsp), GUEST_STACK);
    ck_assert(rig_explains(&r, "#UD"));
    ck_assert(rig_explains(&r, "the gate isn't present"));
    ck_assert(rig_explains(&r, "so #NP"));
    ck_assert(rig_explains(&r, "so #GP"));
    ck_assert(rig_explains(&r, "double fault"));
    ck_assert(rig_explains(&r, "so #PF"));
    ck_assert(rig_explains(&r, "shutdown"));
    rig_leaves(&r, LEAVES(UnrecoverableException), CODE);
    rig_close(&r);
}
END_TEST

START_TEST(each_fault_in_delivery_may_be_intercepted_by_itself)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\x0f\x0b"));
    spoil(&r, VECTOR_UD, VECTOR_PF);
    rig_intercept(&r, 1 << VECTOR_PF);
    rig_leaves(&r, LEAVES(Exception), CODE);
    ck_assert_uint_eq(r.g.exit.VpException.ExceptionType, VECTOR_PF);
    ck_assert_uint_eq(r.g.exit.VpException.ErrorCode, 2);
    ck_assert_uint_eq(r.g.exit.VpContext.ExecutionState.InterruptionPending, 1);
    ck_assert_uint_eq(guest_get(&r.g, WHvRegisterPendingInterruption), INJECT(EXCEPTION, VECTOR_UD, 0));
    rig_gate(&r, VECTOR_UD, INTERRUPT_GATE, 0); /* mended: delivered again */
    rig_halts_in(&r, VECTOR_UD);
    ck_assert_uint_eq(rig_pushed(&r, 0), CODE);
    rig_close(&r);

    rig_open(&r, IN_LONG, X("\x0f\x0b")); /* a double fault is one, too */
    rig_intercept(&r, 1 << VECTOR_DF);
    spoil(&r, VECTOR_UD, VECTOR_NP);
    spoil(&r, VECTOR_NP, VECTOR_GP);
    rig_leaves(&r, LEAVES(Exception), CODE);
    ck_assert_uint_eq(r.g.exit.VpException.ExceptionType, VECTOR_DF);
    ck_assert_uint_eq(r.g.exit.VpException.ExceptionInfo.AsUINT32, 1);
    rig_close(&r);
}
END_TEST

START_TEST(an_exit_in_delivery_keeps_the_event)
{
    static const struct {
        const char *code;
        size_t size;
        u64 event;
        u8 vector, length;
    } rows[] = {
        { X("\xcd\x20"), INJECT(SOFTWARE, 0x20, 2), 0x20, 2 },
        { X("\xcc\x90"), INJECT(SOFTWARE_EXCEPTION, 3, 1), 3, 1 },
        { X("\xf1\x90"), INJECT(PRIVILEGED, 1, 1), 1, 1 },
        { X("\x0f\x0b"), INJECT(EXCEPTION, VECTOR_UD, 0), VECTOR_UD, 0 },
    };
    struct rig r;

    for (unsigned i = 0; i < 4; i++) {
        rig_open(&r, (enum in)_i, rows[i].code, rows[i].size);
        rig_set(&r, Rsp, GUEST_HOLE + 0x100);
        for (unsigned again = 0; again < 2; again++) {
            rig_leaves(&r, LEAVES(MemoryAccess), CODE);
            ck_assert_uint_eq(r.g.exit.MemoryAccess.AccessInfo.AccessType, WHvMemoryAccessWrite);
            ck_assert_uint_eq(r.g.exit.VpContext.ExecutionState.InterruptionPending, 1);
            ck_assert_uint_eq(guest_get(&r.g, WHvRegisterPendingInterruption), rows[i].event);
            ck_assert_uint_eq(rig_count(&r), 0);
        }
        ck_ok(WHvMapGpaRange(r.g.partition, r.g.memory + GUEST_HOLE, GUEST_HOLE, 4096,
                             (WHV_MAP_GPA_RANGE_FLAGS)3));
        rig_halts_in(&r, rows[i].vector);
        ck_assert_uint_eq(rig_pushed(&r, 0), CODE + rows[i].length);
        ck_assert_uint_eq(rig_count(&r), 2);
        rig_close(&r);

        rig_open(&r, (enum in)_i, rows[i].code, rows[i].size); /* dropped: RIP is the caller's to move */
        rig_set(&r, Rsp, GUEST_HOLE + 0x100);
        rig_leaves(&r, LEAVES(MemoryAccess), CODE);
        inject(&r, 0);
        rig_set(&r, Rip, CODE + 2);
        r.g.memory[CODE + 2] = 0xf4;
        rig_halts_at(&r, CODE + 3);
        rig_close(&r);
    }
}
END_TEST

START_TEST(an_exit_in_the_delivery_of_a_double_fault_goes_on_with_it)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\x0f\x0b"));
    spoil(&r, VECTOR_UD, VECTOR_NP);
    spoil(&r, VECTOR_NP, VECTOR_GP);
    rig_set(&r, Rsp, GUEST_HOLE + 0x100);
    rig_leaves(&r, LEAVES(MemoryAccess), CODE);
    ck_assert_uint_eq(guest_get(&r.g, WHvRegisterPendingInterruption), INJECT_ERROR(VECTOR_DF, 0));
    ck_ok(
        WHvMapGpaRange(r.g.partition, r.g.memory + GUEST_HOLE, GUEST_HOLE, 4096, (WHV_MAP_GPA_RANGE_FLAGS)3));
    rig_halts_in(&r, VECTOR_DF);
    rig_close(&r);
}
END_TEST

TCase *injection_case(void)
{
    TCase *t = tcase_create("injection");

    tcase_add_loop_test(t, an_event_of_each_type_is_delivered_in_each_mode, 0, INS * TYPES);
    tcase_add_loop_test(t, an_injected_fault_pushes_its_error_code_and_RF, 0, INS);
    tcase_add_test(t, software_events_ask_the_gate_and_others_do_not);
    tcase_add_test(t, what_no_processor_would_take_is_refused);
    tcase_add_loop_test(t, a_queued_exception_is_delivered_with_its_parameter, 0, INS);
    tcase_add_test(t, an_intercepted_fault_leaves_before_CR2_is_written);
    tcase_add_loop_test(t, INT3_and_INTO_leave_at_the_instruction_and_are_given_back_with_its_length, 0, INS);
    tcase_add_loop_test(t, two_faults_make_a_double_fault_as_the_table_says, 0, FIRSTS * SECONDS);
    tcase_add_test(t, a_fault_in_the_delivery_of_a_double_fault_is_the_end_and_tells_its_story);
    tcase_add_test(t, each_fault_in_delivery_may_be_intercepted_by_itself);
    tcase_add_loop_test(t, an_exit_in_delivery_keeps_the_event, IN_REAL, IN_REAL + 1);
    tcase_add_loop_test(t, an_exit_in_delivery_keeps_the_event, IN_PROTECTED16, IN_PROTECTED32 + 1);
    tcase_add_loop_test(t, an_exit_in_delivery_keeps_the_event, IN_LONG, IN_LONG + 1);
    tcase_add_test(t, an_exit_in_the_delivery_of_a_double_fault_goes_on_with_it);
    return t;
}
