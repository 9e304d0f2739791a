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

START_TEST(strings_go_between_ports_and_devices)
{
    GPR(RSI) = MMIO;
    GPR(RDX) = 0x3f8;
    GPR(RCX) = 2;
    port_exit(true, 4, true, true, BYTES(0xf3, 0x6f)); /* rep outsd */
    ck_status(SUCCESSFUL);
    ck_asked(2, ASKED_READ, MMIO + 4, 4, 0x55667788);
    ck_asked(3, ASKED_OUT, 0x3f8, 4, 0x55667788);

    RIP = CODE;
    GPR(RDI) = MMIO + 0xfff;
    GPR(RCX) = 1;
    port_exit(false, 2, true, true, BYTES(0xf3, 0x66, 0x6d)); /* rep insw, across pages */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.logged, 3);
    ck_asked(1, ASKED_WRITE, MMIO + 0xfff, 1, 0xa5);
    ck_asked(2, ASKED_WRITE, MMIO + 0x1000, 1, 0xa5);
    ck_assert_uint_eq(GPR(RDI), MMIO + 0x1001);
}
END_TEST

/* The memory of a round is looked at before its port, so that no input is lost. */
START_TEST(a_fault_comes_before_its_rounds_port)
{
    GPR(RDI) = 0x4ffe;
    GPR(RDX) = 0x3f8;
    GPR(RCX) = 4;
    m.absent = 0x5000;
    port_exit(false, 1, true, true, BYTES(0xf3, 0x6c)); /* rep insb */
    ck_event(VECTOR_PF, 1, PF_W, 0x5000);
    ck_assert_uint_eq(m.logged, 4); /* two rounds */
    ck_assert_uint_eq(GPR(RCX), 2);
    ck_assert_uint_eq(GPR(RDI), 0x5000);
}
END_TEST

START_TEST(a_failing_port_leaves_registers_alone)
{
    GPR(RSI) = DATA;
    GPR(RDX) = 0x3f8;
    GPR(RCX) = 5;
    m.good_io = 3;
    port_exit(true, 1, true, true, BYTES(0xf3, 0x6e)); /* rep outsb */
    ck_status(IO_FAILED);
    ck_assert_uint_eq(m.sets, 0);
    ck_assert_uint_eq(GPR(RCX), 5);
    ck_assert_uint_eq(GPR(RSI), DATA);
}
END_TEST

START_TEST(ports_are_single_stepped)
{
    FLAGS_OF |= TF;
    GPR(RDX) = 0x3f8;
    port_exit(false, 1, false, false, BYTES(0xec)); /* in al, dx */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(GPR(RAX), 0xa5);
    ck_assert_uint_eq(m.pending_debug, 16);

    RIP = CODE;
    m.pending_debug = 0;
    GPR(RSI) = DATA;
    GPR(RCX) = 5;
    port_exit(true, 1, true, true, BYTES(0xf3, 0x6e)); /* rep outsb: a round */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(GPR(RCX), 4);
    ck_assert_uint_eq(m.pending_debug, 16);
    ck_assert_uint_eq(RIP, CODE);
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
    tcase_add_test(c, strings_go_between_ports_and_devices);
    tcase_add_test(c, a_fault_comes_before_its_rounds_port);
    tcase_add_test(c, a_failing_port_leaves_registers_alone);
    tcase_add_test(c, ports_are_single_stepped);
    return c;
}
