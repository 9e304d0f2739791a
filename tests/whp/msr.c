/* SPDX-License-Identifier: MIT */
/* What a caller makes of MSRs: MsrActionList and UnimplementedMsrAction beside the exit bitmap. Reference 2.2, 2.5. */
#include <string.h>

#include "tests/whp/guest.h"

#define CODE(name) WHvPartitionPropertyCode##name
#define LIST CODE(MsrActionList)

enum { DEFAULT = WHvMsrActionArchitectureDefault, VOID_ = WHvMsrActionIgnoreWriteReadZero, LEAVE = WHvMsrActionExit };
enum { LSTAR = 0xc0000082, TSC = 0x10, NOBODYS = 0x12345678 };
enum { RDMSR = GUEST_CODE, WRMSR = GUEST_CODE + 3, HANDLER = GUEST_CODE + 6 };

static const u8 code[] = { 0x0f, 0x32, 0xf4, 0x0f, 0x30, 0xf4, 0xf4 }; /* rdmsr; hlt; wrmsr; hlt; #GP: hlt */

/* In real mode, so that #GP has somewhere to go. */
static void open_with(struct guest *g, u32 unknown, u64 exits)
{
    u32 count = 1, clock = SwhpClockVirtual;
    WHV_PARTITION_HANDLE p;

    ck_ok(WHvCreatePartition(&p));
    ck_ok(WHvSetPartitionProperty(p, CODE(ProcessorCount), &count, 4));
    ck_ok(WHvSetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeClock, &clock, 4));
    ck_ok(WHvSetPartitionProperty(p, CODE(UnimplementedMsrAction), &unknown, 4));
    ck_ok(WHvSetPartitionProperty(p, CODE(ExtendedVmExits), &exits, 8));
    ck_ok(WHvSetupPartition(p));
    guest_open_in(g, p, GUEST_REAL, code, sizeof code);
    memcpy(g->memory + 13 * 4, &(u32){ HANDLER }, 4);
}

static void list(struct guest *g, u32 index, u8 read, u8 write)
{
    WHV_MSR_ACTION_ENTRY entries[] = { { 0x999, LEAVE, LEAVE, 0 }, { index, read, write, 0 } };

    ck_ok(WHvSetPartitionProperty(g->partition, LIST, entries, sizeof entries));
}

enum outcome { DONE, FAULTS, EXITS };

/* EDX:EAX are 1:2 before. */
static enum outcome run_access(struct guest *g, u32 index, u64 at)
{
    guest_set(g, WHvX64RegisterRip, at);
    guest_set(g, WHvX64RegisterRcx, index);
    guest_set(g, WHvX64RegisterRdx, 1);
    guest_set(g, WHvX64RegisterRax, 2);
    if (guest_run(g) == WHvRunVpExitReasonX64MsrAccess) {
        ck_assert_uint_eq(g->exit.MsrAccess.MsrNumber, index);
        ck_assert_uint_eq(g->exit.MsrAccess.AccessInfo.IsWrite, at == WRMSR);
        ck_assert_uint_eq(g->exit.VpContext.Rip, at);
        return EXITS;
    }
    ck_assert_uint_eq(g->exit.ExitReason, WHvRunVpExitReasonX64Halt);
    return g->exit.VpContext.Rip == HANDLER + 1 ? FAULTS : DONE;
}

static u64 pair(struct guest *g)
{
    return guest_get(g, WHvX64RegisterRdx) << 32 | guest_get(g, WHvX64RegisterRax);
}

START_TEST(a_listed_msr_can_be_nothing)
{
    struct guest g;

    open_with(&g, DEFAULT, 0);
    guest_set(&g, WHvX64RegisterLstar, 0x1234);
    list(&g, LSTAR, VOID_, VOID_);
    ck_assert_int_eq(run_access(&g, LSTAR, RDMSR), DONE);
    ck_assert_uint_eq(pair(&g), 0);
    ck_assert_int_eq(run_access(&g, LSTAR, WRMSR), DONE);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterLstar), 0x1234);
    list(&g, LSTAR, DEFAULT, VOID_); /* each way by itself */
    ck_assert_int_eq(run_access(&g, LSTAR, RDMSR), DONE);
    ck_assert_uint_eq(pair(&g), 0x1234);
    list(&g, LSTAR, VOID_, DEFAULT);
    ck_assert_int_eq(run_access(&g, LSTAR, WRMSR), DONE);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterLstar), 0x100000002);
    list(&g, NOBODYS, VOID_, VOID_);
    ck_assert_int_eq(run_access(&g, NOBODYS, RDMSR), DONE);
    ck_assert_uint_eq(pair(&g), 0);
    ck_assert_int_eq(run_access(&g, NOBODYS, WRMSR), DONE);
    ck_assert_int_eq(run_access(&g, NOBODYS + 1, WRMSR), FAULTS);
    guest_close(&g);
}
END_TEST

START_TEST(a_listed_msr_can_leave_where_msr_exits_are_on)
{
    u64 bitmap = 0;
    struct guest g;

    open_with(&g, DEFAULT, 2);
    ck_ok(WHvSetPartitionProperty(g.partition, CODE(X64MsrExitBitmap), &bitmap, 8));
    list(&g, LSTAR, LEAVE, DEFAULT);
    ck_assert_int_eq(run_access(&g, LSTAR, RDMSR), EXITS);
    ck_assert_int_eq(run_access(&g, LSTAR, WRMSR), DONE);
    list(&g, NOBODYS, LEAVE, DEFAULT); /* also without the bitmap's UnhandledMsrs */
    ck_assert_int_eq(run_access(&g, NOBODYS, RDMSR), EXITS);
    ck_assert_int_eq(run_access(&g, NOBODYS, WRMSR), FAULTS);
    guest_enable_exits(&g, 0, 0);
    ck_assert_int_eq(run_access(&g, NOBODYS, RDMSR), FAULTS);
    guest_close(&g);
}
END_TEST

START_TEST(the_list_goes_before_the_bitmap)
{
    u64 bitmap = 1 | 2 | 4; /* unhandled ones, and the TSC */
    struct guest g;

    open_with(&g, DEFAULT, 2);
    ck_ok(WHvSetPartitionProperty(g.partition, CODE(X64MsrExitBitmap), &bitmap, 8));
    ck_assert_int_eq(run_access(&g, TSC, RDMSR), EXITS);
    list(&g, TSC, VOID_, DEFAULT);
    ck_assert_int_eq(run_access(&g, TSC, RDMSR), DONE);
    ck_assert_uint_eq(pair(&g), 0);
    ck_assert_int_eq(run_access(&g, TSC, WRMSR), EXITS);
    ck_assert_int_eq(run_access(&g, NOBODYS, RDMSR), EXITS);
    list(&g, NOBODYS, VOID_, DEFAULT);
    ck_assert_int_eq(run_access(&g, NOBODYS, RDMSR), DONE);
    ck_assert_int_eq(run_access(&g, NOBODYS, WRMSR), EXITS);
    guest_close(&g);
}
END_TEST

START_TEST(msrs_that_nobody_has_do_as_the_property_says)
{
    static const struct {
        u32 action;
        u64 exits;
        enum outcome wanted[2]; /* without and with UnhandledMsrs */
    } rows[] = {
        { DEFAULT, 0, { FAULTS, FAULTS } }, { DEFAULT, 2, { FAULTS, EXITS } }, { VOID_, 0, { DONE, DONE } },
        { VOID_, 2, { DONE, DONE } },       { LEAVE, 0, { FAULTS, FAULTS } },  { LEAVE, 2, { EXITS, EXITS } },
    };
    struct guest g;

    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        open_with(&g, rows[i].action, rows[i].exits);
        for (u64 bitmap = 0; bitmap < 2; bitmap++) {
            ck_ok(WHvSetPartitionProperty(g.partition, CODE(X64MsrExitBitmap), &bitmap, 8));
            ck_assert_int_eq(run_access(&g, NOBODYS, RDMSR), rows[i].wanted[bitmap]);
            if (rows[i].wanted[bitmap] == DONE)
                ck_assert_uint_eq(pair(&g), 0);
            ck_assert_int_eq(run_access(&g, NOBODYS, WRMSR), rows[i].wanted[bitmap]);
            ck_assert_int_eq(run_access(&g, LSTAR, WRMSR), DONE);
        }
        list(&g, NOBODYS, DEFAULT, DEFAULT); /* an entry goes before it: what the architecture does */
        ck_assert_int_eq(run_access(&g, NOBODYS, RDMSR), rows[i].exits ? EXITS : FAULTS);
        guest_close(&g);
    }
}
END_TEST

START_TEST(a_refused_list_of_actions_leaves_the_old_one)
{
    WHV_MSR_ACTION_ENTRY bad[] = { { LSTAR, DEFAULT, DEFAULT, 0 }, { LSTAR, 3, 0, 0 } };
    u32 unknown = 3, got = 77;
    u8 buffer[64];
    WHV_PARTITION_HANDLE p;
    struct guest g;

    open_with(&g, VOID_, 0);
    list(&g, LSTAR, VOID_, VOID_);
    ck_hr(WHvSetPartitionProperty(g.partition, LIST, bad, sizeof bad), E_INVALIDARG);
    bad[1] = (WHV_MSR_ACTION_ENTRY){ LSTAR, 0, 3, 0 };
    ck_hr(WHvSetPartitionProperty(g.partition, LIST, bad, sizeof bad), E_INVALIDARG);
    bad[1] = (WHV_MSR_ACTION_ENTRY){ LSTAR, 0, 0, 1 };
    ck_hr(WHvSetPartitionProperty(g.partition, LIST, bad, sizeof bad), E_INVALIDARG);
    ck_hr(WHvSetPartitionProperty(g.partition, LIST, bad, 7), E_INVALIDARG);
    ck_hr(WHvSetPartitionProperty(g.partition, LIST, NULL, 8), E_POINTER);
    ck_hr(WHvGetPartitionProperty(g.partition, LIST, buffer, sizeof buffer, NULL), (HRESULT)0x80070032u);
    ck_assert_int_eq(run_access(&g, LSTAR, RDMSR), DONE);
    ck_assert_uint_eq(pair(&g), 0);
    ck_ok(WHvGetPartitionProperty(g.partition, CODE(UnimplementedMsrAction), &got, 4, NULL));
    ck_assert_uint_eq(got, VOID_);
    ck_hr(WHvSetPartitionProperty(g.partition, CODE(UnimplementedMsrAction), &got, 4), E_INVALIDARG); /* after Setup */
    guest_close(&g);
    ck_ok(WHvCreatePartition(&p));
    ck_hr(WHvSetPartitionProperty(p, CODE(UnimplementedMsrAction), &unknown, 4), E_INVALIDARG);
    ck_ok(WHvDeletePartition(p));
}
END_TEST

TCase *msr_action_case(void)
{
    TCase *t = tcase_create("msr");

    tcase_add_test(t, a_listed_msr_can_be_nothing);
    tcase_add_test(t, a_listed_msr_can_leave_where_msr_exits_are_on);
    tcase_add_test(t, the_list_goes_before_the_bitmap);
    tcase_add_test(t, msrs_that_nobody_has_do_as_the_property_says);
    tcase_add_test(t, a_refused_list_of_actions_leaves_the_old_one);
    return t;
}
