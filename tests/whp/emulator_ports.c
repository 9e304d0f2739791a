/* SPDX-License-Identifier: MIT */
/* Port exits. */
#include "tests/whp/emulator_rig.h"

START_TEST(in_merges_into_rax)
{
    static const struct {
        unsigned size;
        u64 rax;
    } rows[] = { { 1, 0xffffffffffffffa5 }, { 2, 0xffffffffffffa5a5 }, { 4, 0xa5a5a5a5 } };

    for (unsigned i = 0; i < 3; i++) {
        GPR(RAX) = ~(u64)0;
        RIP = CODE;
        port_exit(false, rows[i].size, false, false, BYTES(0xec));
        ck_status(SUCCESSFUL);
        ck_assert_uint_eq(m.log[0].size, rows[i].size);
        ck_assert_uint_eq(GPR(RAX), rows[i].rax);
        ck_assert_uint_eq(RIP, CODE + 1);
        ck_assert_uint_eq(m.sets, 1);
    }
}
END_TEST

START_TEST(out_gives_the_low_bytes)
{
    GPR(RAX) = 0x1122334455667788;
    port_exit(true, 2, false, false, BYTES(0x66, 0xef));
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.logged, 1);
    ck_asked(0, ASKED_OUT, 0x3f8, 2, 0x7788);
    ck_assert_uint_eq(GPR(RAX), 0x1122334455667788);
    ck_assert_uint_eq(RIP, CODE + 2);
}
END_TEST

START_TEST(ports_of_an_old_exit_context_are_decoded)
{
    GPR(RAX) = 0x41;
    GPR(RDX) = 0x3f8;
    port_exit(true, 1, false, false, BYTES(0xee));
    RIP = CODE;
    exit_context(0); /* no InstructionLength */
    m.logged = 0;
    ck_assert_int_eq(WHvEmulatorTryIoEmulation(emulator, &token, &vp, &io, &status), S_OK);
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_OUT, 0x3f8, 1, 0x41);
    ck_assert_uint_eq(RIP, CODE + 1);
}
END_TEST

START_TEST(outs_reads_memory_and_writes_ports)
{
    memcpy(m.ram + DATA, "hello", 5);
    GPR(RSI) = DATA;
    GPR(RDX) = 0x3f8;
    GPR(RCX) = 5;
    port_exit(true, 1, true, true, BYTES(0xf3, 0x6e)); /* rep outsb */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.logged, 10);
    for (unsigned i = 0; i < 5; i++) {
        ck_asked(2 * i, ASKED_READ, DATA + i, 1, "hello"[i]);
        ck_asked(2 * i + 1, ASKED_OUT, 0x3f8, 1, "hello"[i]);
    }
    ck_assert_uint_eq(GPR(RCX), 0);
    ck_assert_uint_eq(GPR(RSI), DATA + 5);
    ck_assert_uint_eq(RIP, CODE + 2);
    ck_assert_uint_eq(m.sets, 1);
}
END_TEST

START_TEST(ins_reads_ports_and_writes_memory)
{
    GPR(RDI) = DATA + 8;
    GPR(RDX) = 0x3f8;
    FLAGS_OF |= DF;
    port_exit(false, 4, true, false, BYTES(0x6d)); /* insd */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_IN, 0x3f8, 4, 0xa5a5a5a5);
    ck_asked(1, ASKED_WRITE, DATA + 8, 4, 0xa5a5a5a5);
    ck_assert_uint_eq(GPR(RDI), DATA + 4);
    ck_assert_uint_eq(RIP, CODE + 1);
}
END_TEST

START_TEST(rip_wraps_with_the_code_size)
{
    m.segment[CS].Attributes = 0xc09b;
    m.efer = 0;
    RIP = 0xffffffff;
    port_exit(true, 1, false, false, BYTES(0xee));
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(RIP, 0);
}
END_TEST

TCase *emulator_port_case(void)
{
    TCase *c = tcase_create("emulator ports");

    tcase_add_checked_fixture(c, emulator_setup, emulator_teardown);
    tcase_add_test(c, in_merges_into_rax);
    tcase_add_test(c, out_gives_the_low_bytes);
    tcase_add_test(c, ports_of_an_old_exit_context_are_decoded);
    tcase_add_test(c, outs_reads_memory_and_writes_ports);
    tcase_add_test(c, ins_reads_ports_and_writes_memory);
    tcase_add_test(c, rip_wraps_with_the_code_size);
    return c;
}
