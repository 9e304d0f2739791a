/* SPDX-License-Identifier: MIT */
/* Every exit reason in every mode that it can come from: reference section 4. */
#include "tests/whp/guest.h"

enum {
    IN_REAL = 1 << GUEST_REAL,
    IN_PROTECTED = 1 << GUEST_PROTECTED,
    IN_LONG = 1 << GUEST_LONG,
    IN_ALL = 7
};
enum { NO_CHECK = 0xff };

#define X(name) WHvRunVpExitReason##name

/* What a run of a few bytes comes to. RBX, RDI and RSI point at `at`; RCX is 3, DX 0x3f8, RAX 0x11223344. */
struct row {
    const char *name;
    const char *code;
    u8 size;
    u8 modes;
    u16 at;
    u32 exits, exceptions;
    u32 reason;
    u8 rip;    /* from the code's start */
    u8 length; /* InstructionLength */
    u64 first; /* the first eight bytes of the union from offset 20 on, where the contexts tell the access; or
                  as told below */
};

#define ROW(name, bytes, modes, ...)                                                                         \
    {                                                                                                        \
        name, bytes, sizeof bytes - 1, modes, __VA_ARGS__                                                    \
    }

static const struct row rows[] = {
    ROW("hlt", "\xf4", IN_ALL, 0, 0, 0, X(X64Halt), 1, 0, 0),
    ROW("out 0x42, al", "\xe6\x42", IN_ALL, 0, 0, 0, X(X64IoPortAccess), 0, 2, 1 | 1 << 1 | 0x42ull << 32),
    ROW("out dx, al", "\xee", IN_ALL, 0, 0, 0, X(X64IoPortAccess), 0, 1, 1 | 1 << 1 | 0x3f8ull << 32),
    ROW("in al, dx", "\xec", IN_ALL, 0, 0, 0, X(X64IoPortAccess), 0, 1, 1 << 1 | 0x3f8ull << 32),
    ROW("in eax, dx", "\xed", IN_PROTECTED | IN_LONG, 0, 0, 0, X(X64IoPortAccess), 0, 1,
        4 << 1 | 0x3f8ull << 32),
    ROW("in ax, dx", "\xed", IN_REAL, 0, 0, 0, X(X64IoPortAccess), 0, 1, 2 << 1 | 0x3f8ull << 32),
    ROW("insb", "\x6c", IN_ALL, 0x9000, 0, 0, X(X64IoPortAccess), 0, 1, 1 << 1 | 16 | 0x3f8ull << 32),
    ROW("rep outsb", "\xf3\x6e", IN_ALL, 0x9000, 0, 0, X(X64IoPortAccess), 0, 2,
        1 | 1 << 1 | 48 | 0x3f8ull << 32),
    ROW("rep insb, rcx=0", "\x31\xc9\xf3\x6c\xf4", IN_ALL, 0x9000, 0, 0, X(X64Halt), 5, 0, 0),
    ROW("nop; out 0x42, al", "\x90\x90\xe6\x42", IN_ALL, 0, 0, 0, X(X64IoPortAccess), 2, 2,
        3 | 0x42ull << 32),

    ROW("read of a hole", "\x8a\x05", IN_REAL | IN_PROTECTED | IN_LONG, GUEST_HOLE + 16, 0, 0,
        X(MemoryAccess), 0, NO_CHECK, 0 | 4 | 8),
    ROW("write to a hole", "\x88\x05", IN_ALL, GUEST_HOLE + 16, 0, 0, X(MemoryAccess), 0, NO_CHECK,
        1 | 4 | 8),
    ROW("write without the right", "\x88\x05", IN_ALL, GUEST_READ_ONLY + 16, 0, 0, X(MemoryAccess), 0,
        NO_CHECK, 1 | 8),
    ROW("read of read-only", "\x8a\x05\xf4", IN_ALL, GUEST_READ_ONLY + 16, 0, 0, X(X64Halt), 3, 0, 0),
    ROW("inc in read-only", "\xfe\x05", IN_ALL, GUEST_READ_ONLY + 16, 0, 0, X(MemoryAccess), 0, NO_CHECK,
        1 | 8),
    ROW("jump to a hole", "\xff\xe7", IN_ALL, GUEST_HOLE + 16, 0, 0, X(MemoryAccess), 0xfe, NO_CHECK,
        2 | 4 | 8),
    ROW("jump to no-execute", "\xff\xe7", IN_ALL, GUEST_NO_EXECUTE + 16, 0, 0, X(MemoryAccess), 0xfe,
        NO_CHECK, 2 | 8),
    ROW("push into a hole", "\x89\xfc\x50", IN_ALL, GUEST_HOLE + 16, 0, 0, X(MemoryAccess), 2, NO_CHECK,
        1 | 4 | 8),

    ROW("cpuid, no exit", "\x0f\xa2\xf4", IN_ALL, 0, 0, 0, X(X64Halt), 3, 0, 0),
    ROW("cpuid", "\x0f\xa2", IN_ALL, 0, 1, 0, X(X64Cpuid), 0, 2, NO_CHECK),
    ROW("rdmsr", "\x0f\x32", IN_ALL, 0, 2, 0, X(X64MsrAccess), 0, 2, NO_CHECK),
    ROW("wrmsr", "\x0f\x30", IN_ALL, 0, 2, 0, X(X64MsrAccess), 0, 2, NO_CHECK),
    ROW("rdtsc", "\x0f\x31", IN_ALL, 0, 8, 0, X(X64Rdtsc), 0, 2, NO_CHECK),
    ROW("rdtscp", "\x0f\x01\xf9", IN_ALL, 0, 8, 0, X(X64Rdtsc), 0, 3, NO_CHECK),
    ROW("rdtsc, no exit", "\x0f\x31\xf4", IN_ALL, 0, 0, 0, X(X64Halt), 3, 0, 0),

    ROW("ud2", "\x0f\x0b", IN_ALL, 0, 4, 1 << 6, X(Exception), 0, NO_CHECK, 0 | 6ull << 32),
    ROW("int3", "\xcc", IN_ALL, 0, 4, 1 << 3, X(Exception), 0, 1, 2 | 3ull << 32),
    ROW("div by zero", "\x31\xc9\xf7\xf1", IN_ALL, 0, 4, 1 << 0, X(Exception), 2, NO_CHECK, 0),
    ROW("wrmsr refused", "\xb9\x80\x00\x00\xc0\x0f\x30", IN_PROTECTED | IN_LONG, 0, 4, 1 << 13, X(Exception),
        5, NO_CHECK, 1 | 13ull << 32),
    ROW("unknown msr without exits", "\x0f\x32", IN_PROTECTED | IN_LONG, 0, 4, 1 << 13, X(Exception), 0,
        NO_CHECK, 1 | 13ull << 32),
    ROW("triple fault", "\x0f\x0b", IN_PROTECTED | IN_LONG, 0, 0, 0, X(UnrecoverableException), 0, 0, 0),
};

/* Byte 5 is modrm's [rdi]/[edi]/[di] where the row was written with it. */
static void place_code(u8 *code, const struct row *row, enum guest_mode mode)
{
    memcpy(code, row->code, row->size);
    if (row->at && row->size >= 2 && (code[1] == 0x05) &&
        (code[0] == 0x8a || code[0] == 0x88 || code[0] == 0xfe))
        code[1] = mode == GUEST_REAL ? 0x05 : 0x07; /* [di] in 16-bit addressing, else [rdi] */
}

static void prepare(struct guest *g, enum guest_mode mode, const struct row *row)
{
    u8 code[16] = { 0 };

    place_code(code, row, mode);
    guest_open(g, mode, code, sizeof code);
    guest_set(g, WHvX64RegisterRax, 0x11223344);
    guest_set(g, WHvX64RegisterRcx, 3);
    guest_set(g, WHvX64RegisterRdx, 0x3f8);
    guest_set(g, WHvX64RegisterRbx, row->at);
    guest_set(g, WHvX64RegisterRsi, row->at);
    guest_set(g, WHvX64RegisterRdi, row->at);
    if (!strcmp(row->name, "unknown msr without exits") || row->reason == X(X64MsrAccess))
        guest_set(g, WHvX64RegisterRcx, 0x4b564d00);

    WHV_REGISTER_NAME idtr = WHvX64RegisterIdtr;
    WHV_REGISTER_VALUE table;

    memset(&table, 0, sizeof table);
    ck_ok(WHvSetVirtualProcessorRegisters(g->partition, 0, &idtr, 1, &table));
    guest_enable_exits(g, row->exits, row->exceptions);
}

static void check_context(const struct guest *g, enum guest_mode mode, const struct row *row)
{
    const WHV_VP_EXIT_CONTEXT *x = &g->exit.VpContext;
    u64 rip = row->rip == 0xfe ? row->at : GUEST_CODE + row->rip;

    ck_assert_msg((u32)g->exit.ExitReason == row->reason, "%s in mode %d: reason %#x, not %#x", row->name,
                  mode, (u32)g->exit.ExitReason, row->reason);
    ck_assert_msg(x->Rip == rip, "%s in mode %d: RIP %#llx", row->name, mode, (unsigned long long)x->Rip);
    ck_assert_msg(row->length == NO_CHECK || x->InstructionLength == row->length, "%s in mode %d: length %u",
                  row->name, mode, x->InstructionLength);
    ck_assert_uint_eq(g->exit.Reserved, 0);
    ck_assert_uint_eq(x->Reserved, 0);
    ck_assert_uint_eq(x->ExecutionState.Cpl, 0);
    ck_assert_uint_eq(x->ExecutionState.Cr0Pe, mode != GUEST_REAL);
    ck_assert_uint_eq(x->ExecutionState.EferLma, mode == GUEST_LONG);
    ck_assert_uint_eq(x->Rflags & 2, 2);
    ck_assert_uint_eq(x->Cs.Selector, mode == GUEST_REAL ? 0 : mode == GUEST_LONG ? 24 : 8);
}

static void check_union(struct guest *g, const struct row *row)
{
    const u8 *tail = (const u8 *)&g->exit.MemoryAccess;
    u64 first;

    memcpy(&first, tail + 20, 8);
    switch (row->reason) {
    case X(MemoryAccess):
        ck_assert_msg((u32)first == row->first, "%s: access %#x", row->name, (u32)first);
        ck_assert_uint_eq(g->exit.MemoryAccess.Gva, g->exit.MemoryAccess.Gpa);
        ck_assert_uint_eq(g->exit.MemoryAccess.Gpa >> 12, row->at >> 12);
        break;
    case X(X64IoPortAccess):
        first &= 0xffffffffffff;
        ck_assert_msg(first == row->first, "%s: access %#llx", row->name, (unsigned long long)first);
        ck_assert_uint_eq(g->exit.IoPortAccess.Rax, 0x11223344);
        ck_assert_uint_eq(g->exit.IoPortAccess.Rcx, 3);
        ck_assert_uint_eq(g->exit.IoPortAccess.Rsi, row->at);
        ck_assert_uint_eq(g->exit.IoPortAccess.Rdi, row->at);
        ck_assert_uint_eq(g->exit.IoPortAccess.InstructionBytes[0], g->memory[GUEST_CODE + row->rip]);
        break;
    case X(Exception):
        first &= 0xffffffffff;
        ck_assert_msg(first == row->first, "%s: exception %#llx", row->name, (unsigned long long)first);
        ck_assert_uint_eq(g->exit.VpException.ErrorCode, 0);
        break;
    case X(X64Cpuid):
        ck_assert_uint_eq(g->exit.CpuidAccess.Rax, 0x11223344);
        ck_assert_uint_eq(g->exit.CpuidAccess.Rcx, 3);
        break;
    case X(X64MsrAccess):
        ck_assert_uint_eq(g->exit.MsrAccess.MsrNumber, 0x4b564d00);
        ck_assert_uint_eq(g->exit.MsrAccess.AccessInfo.IsWrite, g->memory[GUEST_CODE + 1] == 0x30);
        ck_assert_uint_eq(g->exit.MsrAccess.Rax, 0x11223344);
        break;
    case X(X64Rdtsc):
        ck_assert_uint_eq(g->exit.ReadTsc.RdtscInfo.IsRdtscp, g->memory[GUEST_CODE + 1] == 1);
        ck_assert_uint_eq(g->exit.ReadTsc.Tsc, 0);
        break;
    default: /* nothing of its own: zero */
        for (unsigned i = 0; i < 176; i++)
            ck_assert_uint_eq(tail[i], 0);
    }
}

START_TEST(an_exit_tells_what_the_reference_says)
{
    const struct row *row = &rows[_i / GUEST_MODES];
    enum guest_mode mode = (enum guest_mode)(_i % GUEST_MODES);
    struct guest g;

    if (!(row->modes >> mode & 1))
        return;
    prepare(&g, mode, row);
    guest_run(&g);
    check_context(&g, mode, row);
    check_union(&g, row);

    /* Nothing has happened, so it happens again, but for HLT. */
    if (row->reason != X(X64Halt)) {
        WHV_RUN_VP_EXIT_CONTEXT first = g.exit;

        guest_run(&g);
        ck_assert_msg(!memcmp(&first, &g.exit, sizeof first), "%s in mode %d differs the second time",
                      row->name, mode);
    }
    guest_close(&g);
}
END_TEST

/* ---- those with a story ---- */

START_TEST(a_listed_leaf_leaves_and_others_do_not)
{
    struct guest g;
    u32 list[2] = { 0x40000000, 1 };

    guest_open(&g, GUEST_LONG, "\x0f\xa2\x89\xc8\x0f\xa2\xf4", 7); /* cpuid; mov eax, ecx; cpuid; hlt */
    guest_enable_exits(&g, 1, 0);
    ck_ok(WHvSetPartitionProperty(g.partition, WHvPartitionPropertyCodeCpuidExitList, list, sizeof list));
    guest_set(&g, WHvX64RegisterRax, 0);
    ck_assert_uint_eq(guest_run(&g), X(X64Halt));
    guest_set(&g, WHvX64RegisterRip, GUEST_CODE);
    guest_set(&g, WHvX64RegisterRax, 0x40000000);
    ck_assert_uint_eq(guest_run(&g), X(X64Cpuid));
    ck_assert_uint_eq(g.exit.CpuidAccess.Rax, 0x40000000);
    ck_ok(WHvSetPartitionProperty(g.partition, WHvPartitionPropertyCodeCpuidExitList, NULL, 0));
    ck_assert_uint_eq(guest_run(&g), X(X64Halt));
    guest_close(&g);
}
END_TEST

START_TEST(cpuid_defaults_are_what_the_guest_would_see)
{
    struct guest g;
    WHV_CPUID_OUTPUT out;

    guest_open(&g, GUEST_LONG, "\x0f\xa2\xf4", 3);
    guest_enable_exits(&g, 1, 0);
    guest_set(&g, WHvX64RegisterRax, 1);
    ck_assert_uint_eq(guest_run(&g), X(X64Cpuid));
    ck_ok(WHvGetVirtualProcessorCpuidOutput(g.partition, 0, 1, 0, &out));
    ck_assert_uint_eq(g.exit.CpuidAccess.DefaultResultRax, out.Eax);
    ck_assert_uint_eq(g.exit.CpuidAccess.DefaultResultRbx, out.Ebx);
    ck_assert_uint_eq(g.exit.CpuidAccess.DefaultResultRcx, out.Ecx);
    ck_assert_uint_eq(g.exit.CpuidAccess.DefaultResultRdx, out.Edx);
    guest_enable_exits(&g, 0, 0);
    guest_run(&g);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRcx), out.Ecx);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRdx), out.Edx);
    guest_close(&g);
}
END_TEST

START_TEST(an_impossible_state_leaves_as_invalid_and_says_why)
{
    struct guest g;
    char why[512];

    guest_open(&g, GUEST_PROTECTED, "\xf4", 1);
    guest_set(&g, WHvX64RegisterCr0, 0x80000010); /* PG without PE */
    ck_assert_uint_eq(guest_run(&g), X(InvalidVpRegisterValue));
    ck_ok(SwhpExplainLastExit(g.partition, 0, why, sizeof why, NULL));
    ck_assert_msg(strstr(why, "PE"), "%s", why);
    guest_set(&g, WHvX64RegisterCr0, 0x31);
    ck_assert_uint_eq(guest_run(&g), X(X64Halt));
    guest_close(&g);
}
END_TEST

START_TEST(a_triple_fault_explains_itself_and_repeats)
{
    struct guest g;
    char why[4096];

    guest_open(&g, GUEST_LONG, "\x0f\x0b", 2);
    ck_assert_uint_eq(guest_run(&g), X(UnrecoverableException));
    ck_ok(SwhpExplainLastExit(g.partition, 0, why, sizeof why, NULL));
    ck_assert_uint_gt(strlen(why), 20);
    ck_assert_uint_eq(guest_run(&g), X(UnrecoverableException));
    guest_close(&g);
}
END_TEST

/* Real mode: sti; nop; nop; hlt, and a handler for 0x20 at 0x9000 that halts. */
static void open_interruptible(struct guest *g)
{
    u16 vector[2] = { 0x9000, 0 };

    guest_open(g, GUEST_REAL, "\xfb\x90\x90\xf4", 4);
    memcpy(g->memory + 0x20 * 4, vector, 4);
    g->memory[0x9000] = 0xf4;
}

START_TEST(a_window_opens_behind_the_shadow_and_once)
{
    struct guest g;

    open_interruptible(&g);
    guest_set(&g, WHvX64RegisterDeliverabilityNotifications, 2);
    ck_assert_uint_eq(guest_run(&g), X(X64InterruptWindow));
    ck_assert_uint_eq(g.exit.InterruptWindow.DeliverableType, WHvX64PendingInterrupt);
    ck_assert_uint_eq(g.exit.VpContext.Rip, GUEST_CODE + 2);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterDeliverabilityNotifications), 0);
    ck_assert_uint_eq(guest_run(&g), X(X64Halt));
    guest_close(&g);
}
END_TEST

START_TEST(a_window_waits_for_the_task_priority)
{
    struct guest g;

    open_interruptible(&g);
    guest_set(&g, WHvX64RegisterCr8, 3);
    guest_set(&g, WHvX64RegisterDeliverabilityNotifications, 2 | 3 << 2);
    ck_assert_uint_eq(guest_run(&g), X(X64Halt));
    guest_set(&g, WHvX64RegisterRip, GUEST_CODE);
    guest_set(&g, WHvX64RegisterDeliverabilityNotifications, 2 | 4 << 2);
    ck_assert_uint_eq(guest_run(&g), X(X64InterruptWindow));
    guest_close(&g);
}
END_TEST

START_TEST(a_pending_interruption_is_delivered_whatever_if_says)
{
    struct guest g;

    open_interruptible(&g);
    guest_set(&g, WHvRegisterPendingInterruption, 1 | 0x21 << 16);
    guest_set(&g, WHvRegisterPendingInterruption, 1 | 0x20 << 16); /* replaces it */
    ck_assert_uint_eq(guest_run(&g), X(X64Halt));
    ck_assert_uint_eq(g.exit.VpContext.Rip, 0x9001);
    ck_assert_uint_eq(guest_get(&g, WHvRegisterPendingInterruption), 0);
    guest_close(&g);
}
END_TEST

START_TEST(delivery_that_needs_the_caller_leaves_with_the_event_and_goes_on)
{
    struct guest g;

    open_interruptible(&g);
    guest_set(&g, WHvX64RegisterRsp, GUEST_HOLE + 16);
    guest_set(&g, WHvRegisterPendingInterruption, 1 | 0x20 << 16);
    ck_assert_uint_eq(guest_run(&g), X(MemoryAccess));
    ck_assert_uint_eq(g.exit.VpContext.ExecutionState.InterruptionPending, 1);
    ck_assert_uint_eq(guest_get(&g, WHvRegisterPendingInterruption), 1 | 0x20 << 16);
    ck_ok(WHvMapGpaRange(g.partition, g.memory + GUEST_HOLE, GUEST_HOLE, 4096, (WHV_MAP_GPA_RANGE_FLAGS)7));
    ck_assert_uint_eq(guest_run(&g), X(X64Halt));
    ck_assert_uint_eq(g.exit.VpContext.Rip, 0x9001);
    guest_close(&g);
}
END_TEST

START_TEST(the_shadow_lasts_over_an_instruction_that_the_caller_completes)
{
    struct guest g;

    guest_open(&g, GUEST_LONG, "\xfb\xee\x90\xf4", 4); /* sti; out dx, al; nop; hlt */
    ck_assert_uint_eq(guest_run(&g), X(X64IoPortAccess));
    ck_assert_uint_eq(g.exit.VpContext.ExecutionState.InterruptShadow, 1);
    ck_assert_uint_eq(guest_get(&g, WHvRegisterInterruptState), 1);
    guest_set(&g, WHvX64RegisterRip, GUEST_CODE + 2);
    ck_assert_uint_eq(guest_get(&g, WHvRegisterInterruptState), 1);
    guest_set(&g, WHvX64RegisterDeliverabilityNotifications, 2);
    ck_assert_uint_eq(guest_run(&g), X(X64InterruptWindow));
    ck_assert_uint_eq(g.exit.VpContext.Rip, GUEST_CODE + 3);
    guest_close(&g);
}
END_TEST

START_TEST(counts_are_the_same_every_time)
{
    struct guest g;
    u64 count;

    guest_open(&g, GUEST_LONG, "\x90\xe6\x42\x90\xf4", 5);
    guest_run(&g);
    ck_ok(SwhpGetInstructionCount(g.partition, 0, &count));
    ck_assert_uint_eq(count, 1);
    guest_run(&g); /* again the same exit */
    ck_ok(SwhpGetInstructionCount(g.partition, 0, &count));
    ck_assert_uint_eq(count, 1);
    guest_set(&g, WHvX64RegisterRip, GUEST_CODE + 3);
    ck_assert_uint_eq(guest_run(&g), X(X64Halt));
    ck_ok(SwhpGetInstructionCount(g.partition, 0, &count));
    ck_assert_uint_eq(count, 4);
    guest_close(&g);
}
END_TEST

TCase *exit_case(void)
{
    TCase *t = tcase_create("exits");

    tcase_add_loop_test(t, an_exit_tells_what_the_reference_says, 0,
                        (int)(sizeof rows / sizeof rows[0]) * GUEST_MODES);
    tcase_add_test(t, a_listed_leaf_leaves_and_others_do_not);
    tcase_add_test(t, cpuid_defaults_are_what_the_guest_would_see);
    tcase_add_test(t, an_impossible_state_leaves_as_invalid_and_says_why);
    tcase_add_test(t, a_triple_fault_explains_itself_and_repeats);
    tcase_add_test(t, a_window_opens_behind_the_shadow_and_once);
    tcase_add_test(t, a_window_waits_for_the_task_priority);
    tcase_add_test(t, a_pending_interruption_is_delivered_whatever_if_says);
    tcase_add_test(t, delivery_that_needs_the_caller_leaves_with_the_event_and_goes_on);
    tcase_add_test(t, the_shadow_lasts_over_an_instruction_that_the_caller_completes);
    tcase_add_test(t, counts_are_the_same_every_time);
    return t;
}
