/* SPDX-License-Identifier: MIT */
/* What the tests of SwhpRunPartition share, and their suite. */
#include "tests/whp/run_partition.h"

u32 team_run(struct board *b, u64 clock, u32 *vp)
{
    WHV_RUN_VP_EXIT_CONTEXT *x = &b->exit[0];

    *vp = 99;
    ck_ok(SwhpRunPartition(b->partition, clock, vp, x, sizeof *x));
    ck_assert_uint_lt(*vp, b->processors);
    if (x->ExitReason == WHvRunVpExitReasonX64IoPortAccess)
        return x->IoPortAccess.PortNumber;
    return REASON(x->ExitReason);
}

u32 team_run_of(struct board *b, u64 clock, u32 vp)
{
    u32 whose, port = team_run(b, clock, &whose);

    ck_assert_uint_eq(whose, vp);
    return port;
}

void team_open(struct board *b, u32 processors, u32 clock)
{
    board_open(b, WHvX64LocalApicEmulationModeXApic, processors, clock, 0);
    for (u32 i = 0; i < processors; i++)
        ck_assert_uint_eq(board_write(b, i, APIC_SVR, 0x1ff), BOARD_DONE);
}

void team_put(struct board *b, u32 vp, const void *code, u32 size)
{
    struct code c = { .size = 0 };

    code_bytes(&c, code, size);
    board_put(b, vp, &c);
}

void team_handlers(struct board *b)
{
    /* push eax; mov eax, [fee00020]; shr eax, 24; lock inc dword [eax*4 + counts]; mov dword [fee000b0], 0;
       pop eax; iret */
    static const u8 handler[] = { 0x50, 0xa1, 0x20, 0,    0xe0, 0xfe, 0xc1, 0xe8, 24, 0xf0, 0xff, 0x04, 0x85, 0,   1,
                                  8,    0,    0xc7, 0x05, 0xb0, 0,    0xe0, 0xfe, 0,  0,    0,    0,    0x58, 0xcf };
    u8 jump[] = { 0xe9, 0, 0, 0, 0 };

    memcpy(b->memory + 0x3000, handler, sizeof handler);
    for (u32 v = 0x40; v < 256; v++) {
        u32 at = BOARD_STUBS + v * 16, distance = 0x3000 - (at + 5);

        memcpy(jump + 1, &distance, 4);
        memcpy(b->memory + at, jump, sizeof jump);
    }
}

u32 team_load(const struct board *b, u32 at)
{
    return (u32)load_bytes(b->memory + at, 4);
}

void team_hash(struct board *b, SWHP_DIGEST *d)
{
    ck_ok(SwhpStateHash(b->partition, d));
}

Suite *turns_suite(void);
Suite *turns_suite(void)
{
    Suite *s = suite_create("turns");

    suite_add_tcase(s, turn_case());
    suite_add_tcase(s, turn_call_case());
    suite_add_tcase(s, turn_apic_case());
    suite_add_tcase(s, turn_thread_case());
    suite_add_tcase(s, turn_hostile_case());
    return s;
}
