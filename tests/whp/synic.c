/* SPDX-License-Identifier: MIT */
/* What the tests of Hyper-V's interface share, and their suite. */
#include "tests/whp/synic.h"

void synic_open(struct board *b, u32 processors, u32 clock)
{
    board_synthetic = SYNTHETIC_OFFERED;
    board_open(b, WHvX64LocalApicEmulationModeXApic, processors, clock, 0);
    board_synthetic = 0;
    board_eoi(b);
    for (u32 vp = 0; vp < processors; vp++)
        ck_assert_uint_eq(board_write(b, vp, APIC_SVR, 0x1ff), BOARD_DONE);
}

void synic_enable(struct board *b, u32 vp, unsigned n, u64 bits)
{
    ck_assert_uint_eq(board_wrmsr(b, vp, HV_SIMP, (MESSAGES_AT + vp * 0x8000) | 1), BOARD_DONE);
    ck_assert_uint_eq(board_wrmsr(b, vp, HV_SIEFP, (EVENTS_AT + vp * 0x8000) | 1), BOARD_DONE);
    ck_assert_uint_eq(board_wrmsr(b, vp, HV_SINT0 + n, (0x40 + n) | bits), BOARD_DONE);
    ck_assert_uint_eq(board_wrmsr(b, vp, HV_SCONTROL, 1), BOARD_DONE);
}

void synic_identify(struct board *b)
{
    board_wrmsr(b, 0, HV_GUEST_OS_ID, 1);
    board_wrmsr(b, 0, HV_HYPERCALL, HYPERCALL_AT | 1);
}

u64 synic_hypercall(struct board *b, u64 control, u64 first, u64 second)
{
    struct code c = { .size = 0 };

    board_set(b, 0, WHvX64RegisterRax, (u32)control);
    board_set(b, 0, WHvX64RegisterRdx, control >> 32);
    board_set(b, 0, WHvX64RegisterRcx, (u32)first);
    board_set(b, 0, WHvX64RegisterRbx, first >> 32);
    board_set(b, 0, WHvX64RegisterRsi, (u32)second);
    board_set(b, 0, WHvX64RegisterRdi, second >> 32);
    CODE(&c, 0x68, 0x07, 0, 1, 0);                                     /* push where the OUT will be */
    CODE(&c, 0xeb, 0x02, 0xe6, BOARD_DONE, 0x68, 0, 0x20, 9, 0, 0xc3); /* jmp; out; push 92000; ret */
    board_put(b, 0, &c);
    if (board_run(b, 0) != BOARD_DONE)
        return ~(u64)0;
    return board_get(b, 0, WHvX64RegisterRdx) << 32 | (u32)board_get(b, 0, WHvX64RegisterRax);
}

static const WHV_ACCESS_GPA_CONTROLS controls = { .CacheType = WHvCacheTypeWriteBack };

u64 synic_peek(struct board *b, u64 gpa, u32 size)
{
    u64 v = 0;

    ck_ok(WHvReadGpaRange(b->partition, 0, gpa, controls, &v, size));
    return v;
}

void synic_poke(struct board *b, u64 gpa, u64 value, u32 size)
{
    ck_ok(WHvWriteGpaRange(b->partition, 0, gpa, controls, &value, size));
}

HRESULT synic_message(struct board *b, u32 vp, u32 source, u32 type)
{
    u8 message[256];

    for (u32 i = 0; i < sizeof message; i++)
        message[i] = (u8)(type + i);
    memset(message, 0, 16);
    memcpy(message, &type, 4);
    message[4] = 240;
    return WHvPostVirtualProcessorSynicMessage(b->partition, vp, source, message, sizeof message);
}

HRESULT synic_event(struct board *b, u32 vp, u32 source, u32 flag, BOOL *is_new)
{
    WHV_SYNIC_EVENT_PARAMETERS e = { .VpIndex = vp, .TargetSint = (u8)source, .FlagNumber = (u16)flag };

    return WHvSignalVirtualProcessorSynicEvent(b->partition, e, is_new);
}

u32 synic_spin(struct board *b, u32 vp, u64 counts)
{
    WHV_RUN_VP_EXIT_CONTEXT *x = &b->exit[vp];

    board_loop(b, vp);
    ck_ok(SwhpRunVirtualProcessorUntil(b->partition, vp, board_count(b, vp) + counts, x, sizeof *x));
    if ((u32)x->ExitReason == (u32)SwhpRunVpExitReasonCount)
        return 0;
    return x->ExitReason == WHvRunVpExitReasonX64IoPortAccess ? x->IoPortAccess.PortNumber : REASON(x->ExitReason);
}

Suite *synic_suite(void);
Suite *synic_suite(void)
{
    Suite *s = suite_create("synic");

    suite_add_tcase(s, synic_feature_case());
    suite_add_tcase(s, synic_page_case());
    suite_add_tcase(s, synic_time_case());
    suite_add_tcase(s, synic_message_case());
    suite_add_tcase(s, synic_timer_case());
    suite_add_tcase(s, synic_state_case());
    suite_add_tcase(s, synic_turn_case());
    suite_add_tcase(s, hypercall_case());
    suite_add_tcase(s, hypercall_flush_case());
    return s;
}
