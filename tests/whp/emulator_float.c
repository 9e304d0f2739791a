/* SPDX-License-Identifier: MIT */
/* SSE and x87 instructions. */
#include "tests/whp/emulator_rig.h"

START_TEST(sse_moves)
{
    GPR(RBX) = MMIO;
    mmio(BYTES(0x0f, 0x10, 0x0b)); /* movups xmm1, [rbx] */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_READ, MMIO, 8, m.device);
    ck_asked(1, ASKED_READ, MMIO + 8, 8, m.device);
    ck_assert_uint_eq(m.fx[11].Reg128.Low64, m.device);
    ck_assert_uint_eq(m.fx[11].Reg128.High64, m.device);
    ck_assert_uint_eq(RIP, CODE + 3);

    RIP = CODE;
    m.fx[12].Reg128.Low64 = 0xfeed;
    mmio(BYTES(0x66, 0x0f, 0xd6, 0x13)); /* movq [rbx], xmm2 */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_WRITE, MMIO, 8, 0xfeed);
    ck_assert_uint_eq(m.logged, 1);

    RIP = CODE;
    GPR(RBX) = MMIO + 8;
    mmio(BYTES(0x0f, 0x28, 0x0b)); /* movaps xmm1, [rbx], misaligned */
    ck_event(VECTOR_GP, 1, 0, 0);
}
END_TEST

START_TEST(sse_needs_the_system_to_say_so)
{
    m.cr4 &= ~(u64)CR4_OSFXSR;
    mmio(BYTES(0x0f, 0x10, 0x0b));
    ck_event(VECTOR_UD, 0, 0, 0);
    m.cr4 |= CR4_OSFXSR;
    m.cr0 |= CR0_TS;
    memset(&m.event, 0, sizeof m.event);
    mmio(BYTES(0x0f, 0x10, 0x0b));
    ck_event(VECTOR_NM, 0, 0, 0);
}
END_TEST

START_TEST(x87_loads_and_stores)
{
    GPR(RBX) = MMIO;
    m.device = 0x4000000000000000; /* 2.0 */
    mmio(BYTES(0xdd, 0x03));       /* fld qword [rbx] */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_READ, MMIO, 8, m.device);
    ck_assert_uint_eq(m.fx[2].Fp.Mantissa, (u64)1 << 63);
    ck_assert_uint_eq(m.fx[2].Fp.BiasedExponent, 0x4000);
    ck_assert_uint_eq(m.fx[0].FpControlStatus.FpStatus >> 11 & 7, 7);
    ck_assert_uint_eq(m.fx[0].FpControlStatus.FpTag, 0x80);

    RIP = CODE;
    mmio(BYTES(0xd9, 0x1b)); /* fstp dword [rbx] */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_WRITE, MMIO, 4, 0x40000000);
    ck_assert_uint_eq(m.fx[0].FpControlStatus.FpTag, 0);
}
END_TEST

/* An unmasked exception is pending: #MF, or with CR0.NE clear what can't be told by callbacks. */
START_TEST(x87_exceptions_come_first)
{
    GPR(RBX) = MMIO;
    m.fx[0].FpControlStatus.FpControl = 0x37b;
    m.fx[0].FpControlStatus.FpStatus = 0x8084;
    mmio(BYTES(0xdd, 0x03)); /* fld qword [rbx] */
    ck_event(VECTOR_MF, 0, 0, 0);
    memset(&m.event, 0, sizeof m.event);
    m.cr0 &= ~(u64)CR0_NE;
    mmio(BYTES(0xdd, 0x03));
    ck_status(INTERNAL_FAILURE);
    ck_assert_uint_eq(m.sets, 0);
    ck_assert_uint_eq(RIP, CODE);
    mmio(BYTES(0xdd, 0x3b)); /* fnstsw [rbx] doesn't wait */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_WRITE, MMIO, 2, 0x8084);
}
END_TEST

TCase *emulator_float_case(void)
{
    TCase *c = tcase_create("emulator floats");

    tcase_add_checked_fixture(c, emulator_setup, emulator_teardown);
    tcase_add_test(c, sse_moves);
    tcase_add_test(c, sse_needs_the_system_to_say_so);
    tcase_add_test(c, x87_loads_and_stores);
    tcase_add_test(c, x87_exceptions_come_first);
    return c;
}
