/* SPDX-License-Identifier: MIT */
/* What a state must be to be entered, and what every exit tells. */
#include "tests/cpu/event_machine.h"

/* ---- entry checks: section 4.9 of the API's reference ---- */

/* Registers to set before the run, and what is said of it. */
static const struct entry_row {
    enum in in;
    struct {
        WHV_REGISTER_NAME name;
        u64 value;
    } set[3];
    const char *says;
} entry_rows[] = {
    { IN_REAL, { { WHvX64RegisterCr0, 0x80000010 } }, "CR0.PG without CR0.PE" },
    { IN_REAL, { { WHvX64RegisterCr0, 0x20000010 } }, "CR0.NW without CR0.CD" },
    { IN_LONG, { { WHvX64RegisterEfer, 0x100 } }, "EFER.LMA" },
    { IN_LONG, { { WHvX64RegisterEfer, 0x400 } }, "EFER.LMA" },
    { IN_LONG, { { WHvX64RegisterCr0, 0x31 } }, "EFER.LMA" },
    { IN_PROTECTED32, { { WHvX64RegisterEfer, 0x500 } }, "EFER.LMA" },
    { IN_LONG, { { WHvX64RegisterCr4, 0 } }, "CR4.PAE" },
    { IN_LONG, { { WHvX64RegisterRflags, 2 | RFLAG_VM } }, "RFLAGS.VM in long mode" },
    { IN_REAL, { { WHvX64RegisterRflags, 2 | RFLAG_VM } }, "RFLAGS.VM without CR0.PE" },
    { IN_PROTECTED32, { { WHvX64RegisterRflags, 2 | RFLAG_VM } }, "virtual-8086" },
    { IN_LONG, { { WHvX64RegisterRip, 0x800000000000 } }, "RIP isn't canonical" },
    { IN_LONG, { { WHvX64RegisterRip, 0xffff7fffffffffff } }, "RIP isn't canonical" },
};

START_TEST(a_state_that_no_processor_can_run_in_is_told_by_its_rule)
{
    const struct entry_row *row = &entry_rows[_i];
    struct rig r;
    u64 rip;

    rig_open(&r, row->in, X("\xf4"));
    for (unsigned i = 0; i < 3 && row->says && row->set[i].value; i++)
        guest_set(&r.g, row->set[i].name, row->set[i].value);
    if (_i == 6)
        rig_set(&r, Cr4, 0);
    rip = rig_get(&r, Rip);
    rig_leaves(&r, LEAVES(InvalidVpRegisterValue), rip);
    ck_assert_msg(rig_explains(&r, row->says), "%s", row->says);
    rig_leaves(&r, LEAVES(InvalidVpRegisterValue), rip);
    ck_assert_uint_eq(rig_count(&r), 0);
    rig_close(&r);
}
END_TEST

static void set_segment(struct rig *r, WHV_REGISTER_NAME name, u16 selector, u64 base, u32 limit,
                        u16 attributes)
{
    WHV_REGISTER_VALUE v;

    memset(&v, 0, sizeof v);
    v.Segment.Base = base;
    v.Segment.Limit = limit;
    v.Segment.Selector = selector;
    v.Segment.Attributes = attributes;
    ck_ok(WHvSetVirtualProcessorRegisters(r->g.partition, 0, &name, 1, &v));
}

START_TEST(segments_are_checked_too)
{
    static const struct {
        enum in in;
        u16 attributes;
        const char *says;
    } rows[] = {
        { IN_LONG, 0xe09b, "both L and D" },
        { IN_PROTECTED32, 0xc01b, "present" },
        { IN_PROTECTED32, 0xc08b, "code segment" },
        { IN_PROTECTED32, 0xc091, "code segment" },
    };
    struct rig r;

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        rig_open(&r, rows[i].in, X("\xf4"));
        set_segment(&r, WHvX64RegisterCs, 8, 0, 0xffffffff, rows[i].attributes);
        rig_leaves(&r, LEAVES(InvalidVpRegisterValue), CODE);
        ck_assert_msg(rig_explains(&r, rows[i].says), "%s", rows[i].says);
        rig_close(&r);
    }
    rig_open(&r, IN_VM86, X("\xf4"));
    set_segment(&r, WHvX64RegisterFs, 0x100, 0, 0xffff, 0xf3); /* the base isn't selector * 16 */
    rig_leaves(&r, LEAVES(InvalidVpRegisterValue), CODE);
    ck_assert(rig_explains(&r, "FS"));
    set_segment(&r, WHvX64RegisterFs, 0x100, 0x1000, 0xffff, 0xf3);
    rig_intercept(&r, 1 << 13);
    rig_leaves(&r, LEAVES(Exception), CODE); /* mended */
    rig_close(&r);
}
END_TEST

START_TEST(a_cancel_comes_before_the_checks_and_they_before_events)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\xf4"));
    rig_set(&r, Rip, 0x800000000000);
    guest_set(&r.g, WHvRegisterPendingInterruption, INJECT(0, 0x20, 0));
    ck_ok(WHvCancelRunVirtualProcessor(r.g.partition, 0, 0));
    rig_leaves(&r, LEAVES(Canceled), 0x800000000000);
    rig_leaves(&r, LEAVES(InvalidVpRegisterValue), 0x800000000000);
    ck_assert_uint_eq(guest_get(&r.g, WHvRegisterPendingInterruption), INJECT(0, 0x20, 0));
    rig_set(&r, Rip, CODE);
    rig_halts_in(&r, 0x20);
    rig_close(&r);
}
END_TEST

/* An RIP that isn't canonical by SYSRET is the program's own: whoever stops there goes on to its #GP. */
START_TEST(SYSRET_may_stop_where_no_caller_may_begin)
{
    struct rig r;

    rig_open(&r, IN_LONG, X("\x48\x0f\x07"));
    rig_intercept(&r, 1 << 13);
    rig_set(&r, Star, (u64)SELECTOR_USER_CODE32 << 48);
    rig_set(&r, Rcx, 0x800000000000);
    ck_assert_uint_eq(rig_run_until(&r, 1), SwhpRunVpExitReasonCount);
    ck_assert_uint_eq(r.g.exit.VpContext.Rip, 0x800000000000);
    rig_leaves(&r, LEAVES(Exception), 0x800000000000);
    ck_assert_uint_eq(r.g.exit.VpException.ExceptionType, 13);
    ck_assert_uint_eq(r.g.exit.VpContext.ExecutionState.Cpl, 3);
    rig_set(&r, Rip, 0x800000000001);
    rig_leaves(&r, LEAVES(InvalidVpRegisterValue), 0x800000000001);
    rig_close(&r);
}
END_TEST

/* ---- what every exit tells: section 4.1 ---- */

static const struct {
    const char *code;
    size_t size;
    u32 reason;
    u8 exits; /* ExtendedVmExits */
    u8 length, past;
    bool level0; /* only there */
} exits[] = {
    { X("\xf4"), LEAVES(X64Halt), 0, 0, 1, true },
    { X("\xe6\x42"), LEAVES(X64IoPortAccess), 0, 2, 0, true },
    { X("\x0f\xa2"), LEAVES(X64Cpuid), 1, 2, 0, false },
    { X("\x0f\x32"), LEAVES(X64MsrAccess), 2, 2, 0, true },
    { X("\x0f\x31"), LEAVES(X64Rdtsc), 8, 2, 0, false },
    { X("\x0f\x0b"), LEAVES(Exception), 4, 0, 0, false },
    { X("\xcc"), LEAVES(Exception), 4, 1, 0, false },
    { X("\x88\x07"), LEAVES(MemoryAccess), 0, 0, 0, false },
    { X("\x8a\x07"), LEAVES(MemoryAccess), 0, 0, 0, false },
    { X("\xf3\xaa"), LEAVES(MemoryAccess), 0, 0, 0, false },
    { X("\x90"), LEAVES(X64InterruptWindow), 0, 0, 0, false },
    { X("\x90"), LEAVES(Canceled), 0, 0, 0, false },
    { X("\x90"), (u32)SwhpRunVpExitReasonCount, 0, 0, 1, false },
};
enum { EXITS = sizeof exits / sizeof *exits };

START_TEST(every_exit_tells_the_state_that_it_left)
{
    static const u8 pe[INS] = { 0, 1, 1, 1, 1, 1, 1, 1 };
    enum in in = (enum in)(_i / EXITS);
    int row = _i % EXITS;
    struct rig r;
    WHV_VP_EXIT_CONTEXT *x;
    WHV_REGISTER_NAME cs_name = WHvX64RegisterCs;
    WHV_REGISTER_VALUE cs;
    u64 all = 1 << 6 | 1 << 3, flags;
    u32 reason;

    rig_open(&r, in, exits[row].code, exits[row].size);
    if (exits[row].level0 && r.cpl) {
        rig_close(&r);
        return;
    }
    guest_enable_exits(&r.g, exits[row].exits, all);
    if (exits[row].exits == 2) {
        WHV_X64_MSR_EXIT_BITMAP msrs = { .AsUINT64 = 1 };

        ck_ok(WHvSetPartitionProperty(r.g.partition, WHvPartitionPropertyCodeX64MsrExitBitmap, &msrs,
                                      sizeof msrs));
    }
    rig_set(&r, Cr8, 11);
    rig_set(&r, Cr0, rig_get(&r, Cr0) | 1 << 18);
    rig_set(&r, Dr7, 2 << 2 | 1 << 20);
    rig_set(&r, Dr1, DATA + 64);
    rig_set(&r, Rdi, GUEST_HOLE + 16);
    rig_set(&r, Rbx, GUEST_HOLE + 16); /* of 16-bit code */
    rig_set(&r, Rcx, exits[row].exits == 2 ? 0x12345 : 3);
    flags = rig_get(&r, Rflags) | 0x8d5 | 1 << 21 | RFLAG_IF; /* all status flags, ID */
    rig_set(&r, Rflags, flags);
    if (exits[row].reason == LEAVES(X64InterruptWindow))
        rig_set(&r, DeliverabilityNotifications, WINDOW_INTERRUPT);
    if (exits[row].reason == LEAVES(Canceled))
        ck_ok(WHvCancelRunVirtualProcessor(r.g.partition, 0, 0));
    reason = exits[row].reason == (u32)SwhpRunVpExitReasonCount ? rig_run_until(&r, 1) : rig_run(&r);
    ck_assert_uint_eq(reason, exits[row].reason);
    x = &r.g.exit.VpContext;
    ck_assert_uint_eq(x->ExecutionState.Cpl, r.cpl);
    ck_assert_uint_eq(x->ExecutionState.Cr0Pe, pe[in]);
    ck_assert_uint_eq(x->ExecutionState.Cr0Am, 1);
    ck_assert_uint_eq(x->ExecutionState.EferLma, in >= IN_COMPAT);
    ck_assert_uint_eq(x->ExecutionState.DebugActive, 1);
    ck_assert_uint_eq(x->ExecutionState.InterruptionPending, 0);
    ck_assert_uint_eq(x->ExecutionState.InterruptShadow, 0);
    ck_assert_uint_eq(x->InstructionLength, exits[row].length);
    ck_assert_uint_eq(x->Cr8, 11);
    ck_assert_uint_eq(x->Rip, CODE + exits[row].past);
    ck_assert_uint_eq(x->Rflags, flags);
    ck_assert_uint_eq(x->Rflags, rig_get(&r, Rflags));
    ck_assert_uint_eq(x->Rip, rig_get(&r, Rip));
    ck_ok(WHvGetVirtualProcessorRegisters(r.g.partition, 0, &cs_name, 1, &cs));
    ck_assert_mem_eq(&x->Cs, &cs.Segment, sizeof x->Cs);
    ck_assert_uint_eq(x->Reserved, 0);
    ck_assert_uint_eq(x->Reserved2, 0);
    rig_close(&r);
}
END_TEST

TCase *entry_case(void)
{
    TCase *t = tcase_create("entry");

    tcase_add_loop_test(t, a_state_that_no_processor_can_run_in_is_told_by_its_rule, 0,
                        (int)(sizeof entry_rows / sizeof *entry_rows));
    tcase_add_test(t, segments_are_checked_too);
    tcase_add_test(t, SYSRET_may_stop_where_no_caller_may_begin);
    tcase_add_test(t, a_cancel_comes_before_the_checks_and_they_before_events);
    tcase_add_loop_test(t, every_exit_tells_the_state_that_it_left, 0, INS * EXITS);
    return t;
}
