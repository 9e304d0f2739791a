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

static void divide_by_zero_pends(void)
{
    GPR(RBX) = MMIO;
    m.fx[0].FpControlStatus.FpControl = 0x37b;
    m.fx[0].FpControlStatus.FpStatus = 0x8084;
}

START_TEST(x87_exceptions_come_first)
{
    divide_by_zero_pends();
    mmio(BYTES(0xdd, 0x03)); /* fld qword [rbx] */
    ck_event(VECTOR_MF, 0, 0, 0);
    ck_assert_uint_eq(m.asked_for_ours, 0);
    memset(&m.event, 0, sizeof m.event);
    mmio(BYTES(0x0f, 0x6f, 0x03)); /* movq mm0, [rbx] */
    ck_event(VECTOR_MF, 0, 0, 0);
    mmio(BYTES(0xdd, 0x3b)); /* fnstsw [rbx] doesn't wait */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_WRITE, MMIO, 2, 0x8084);
}
END_TEST

/*
 * CR0.NE is clear: what the processor does about the exception is up to IGNNE#. Without it the instruction is left to
 * the processor, which freezes. Where it isn't told, an exit of data says that nothing held the processor back; one of
 * code says nothing.
 */
START_TEST(an_exception_that_freezes_is_left_to_the_processor)
{
    static const struct {
        bool has_table, ignne, is_fetch;
        unsigned status;
        bool is_done;
    } rows[] = {
        { false, false, false, SUCCESSFUL, false }, { false, true, false, SUCCESSFUL, true },
        { false, false, true, INTERNAL_FAILURE, false }, { false, true, true, SUCCESSFUL, true },
        { true, false, false, SUCCESSFUL, true }, { true, false, true, INTERNAL_FAILURE, false },
    };

    divide_by_zero_pends();
    m.cr0 &= ~(u64)CR0_NE;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        RIP = CODE;
        m.has_table = rows[i].has_table;
        m.ours[OUR_IGNNE].Reg64 = rows[i].ignne;
        m.fx[0].FpControlStatus.FpStatus = 0x8084;
        m.fx[0].FpControlStatus.FpTag = 0;
        access_context.AccessInfo.AccessType = rows[i].is_fetch ? WHvMemoryAccessExecute : WHvMemoryAccessRead;
        mmio(BYTES(0xdd, 0x03)); /* fld qword [rbx] */
        ck_assert_msg(status.AsUINT32 == rows[i].status, "row %u: %x", i, status.AsUINT32);
        ck_assert_uint_eq(m.logged, rows[i].is_done);
        ck_assert_uint_eq(RIP, CODE + (rows[i].is_done ? 2u : 0));
        ck_assert_uint_eq(m.fx[0].FpControlStatus.FpStatus, rows[i].is_done ? 0xb884 : 0x8084);
        ck_assert_uint_eq(m.event.ExceptionEvent.EventPending, 0);
    }
    RIP = CODE;
    access_context.AccessInfo.AccessType = WHvMemoryAccessExecute;
    mmio(BYTES(0x9b)); /* fwait */
    ck_status(INTERNAL_FAILURE);
    m.cr0 |= CR0_TS | CR0_MP | CR0_NE;
    mmio(BYTES(0x9b));
    ck_event(VECTOR_NM, 0, 0, 0);
    m.cr0 &= ~(u64)CR0_TS;
    mmio(BYTES(0x9b));
    ck_event(VECTOR_MF, 0, 0, 0);
}
END_TEST

/* ---- the upper halves ---- */

static void with_avx(void)
{
    m.cr4 |= CR4_OSXSAVE;
    m.xcr0 = 7;
    GPR(RBX) = MMIO;
}

START_TEST(avx_moves_whole_registers)
{
    with_avx();
    mmio(BYTES(0xc5, 0xfc, 0x10, 0x0b)); /* vmovups ymm1, [rbx] */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.logged, 4);
    ck_asked(3, ASKED_READ, MMIO + 24, 8, m.device);
    ck_assert_uint_eq(m.fx[11].Reg128.High64, m.device);
    ck_assert_uint_eq(m.ours[1].Reg128.Low64, m.device);
    ck_assert_uint_eq(m.ours[1].Reg128.High64, m.device);

    RIP = CODE;
    m.ours[2].Reg128.High64 = 0xfeed;
    mmio(BYTES(0xc5, 0xfd, 0x7f, 0x13)); /* vmovdqa [rbx], ymm2 */
    ck_status(SUCCESSFUL);
    ck_asked(3, ASKED_WRITE, MMIO + 24, 8, 0xfeed);

    RIP = CODE;
    mmio(BYTES(0xc5, 0xf8, 0x10, 0x0b)); /* vmovups xmm1, [rbx] */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.logged, 2);
    ck_assert_uint_eq(m.ours[1].Reg128.Low64, 0);
}
END_TEST

START_TEST(masks_choose_what_is_touched)
{
    with_avx();
    m.fx[11].Reg128.High64 = 0x80000000; /* xmm1: the third element */
    m.fx[12].Reg128.High64 = 0x1234;
    mmio(BYTES(0xc4, 0xe2, 0x71, 0x2e, 0x13)); /* vmaskmovps [rbx], xmm1, xmm2 */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.logged, 1);
    ck_asked(0, ASKED_WRITE, MMIO + 8, 4, 0x1234);

    RIP = CODE;
    GPR(RDI) = MMIO;
    m.fx[11].Reg128.High64 = 0;
    m.fx[11].Reg128.Low64 = 0x808080000000;
    m.fx[12].Reg128.Low64 = 0x665544332211;
    mmio(BYTES(0x66, 0x0f, 0xf7, 0xd1)); /* maskmovdqu xmm2, xmm1 */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.logged, 1);
    ck_asked(0, ASKED_WRITE, MMIO + 3, 3, 0x665544);
}
END_TEST

/* A fixed table of published names serves all that can do with them: some instructions ask, and go without. */
START_TEST(private_names_are_asked_for_where_they_are_needed)
{
    static const struct {
        u8 bytes[8], size, eax, asks;
        bool needed;
    } rows[] = {
        { { 0x8b, 0x03 }, 2, 7, 0, false },                   /* mov eax, [rbx] */
        { { 0x0f, 0x28, 0x0b }, 3, 7, 0, false },             /* movaps xmm1, [rbx] */
        { { 0xdd, 0x03 }, 2, 7, 1, false },                   /* fld qword [rbx]: leaves selectors behind */
        { { 0x48, 0x0f, 0xae, 0x03 }, 4, 7, 2, false },       /* fxsave64 [rbx]: and depends on features */
        { { 0x48, 0x0f, 0xae, 0x23 }, 4, 3, 2, false },       /* xsave64 [rbx], x87 and SSE */
        { { 0x48, 0x0f, 0xae, 0x23 }, 4, 7, 3, true },        /* and AVX */
        { { 0xc4, 0xe2, 0x78, 0xf3, 0x0b }, 5, 7, 0, false }, /* blsr eax, [rbx] */
        { { 0xc5, 0xf8, 0x10, 0x0b }, 4, 7, 1, true },        /* vmovups xmm1, [rbx] */
        { { 0xd9, 0x33 }, 2, 7, 1, true },                    /* fnstenv [rbx]: the selectors, in long mode */
        { { 0xf3, 0x0f, 0xbc, 0x03 }, 4, 7, 1, false },       /* tzcnt eax, [rbx] */
        { { 0x0f, 0xbc, 0x03 }, 3, 7, 0, false },             /* bsf eax, [rbx] */
        { { 0x8e, 0x13 }, 2, 7, 1, false },                   /* mov ss, [rbx] */
        { { 0x8e, 0x1b }, 2, 7, 0, false },                   /* mov ds, [rbx] */
        { { 0x66, 0x0f, 0x38, 0x82, 0x03 }, 5, 2, 0, false }, /* invpcid rax, [rbx]: no PDPTEs in long mode */
    };

    unsigned asked = 0;

    with_avx();
    m.has_table = true;
    m.device = 0;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        RIP = CODE;
        GPR(RAX) = rows[i].eax;
        GPR(RDX) = 0;
        mmio(rows[i].bytes, rows[i].size);
        ck_assert_msg(status.AsUINT32 == (rows[i].needed ? GET_FAILED : SUCCESSFUL), "row %u: %x", i, status.AsUINT32);
        asked += rows[i].asks; /* once each, and refused */
        ck_assert_msg(m.asked_for_ours == asked, "row %u: %u, not %u", i, m.asked_for_ours, asked);
        ck_assert_msg(!rows[i].needed || (!m.logged && !m.sets), "row %u did something", i);
    }
    RIP = CODE;
    m.xcr0 = 3;
    mmio(BYTES(0xc5, 0xf8, 0x10, 0x0b)); /* #UD is nothing that they'd be needed for */
    ck_event(VECTOR_UD, 0, 0, 0);
}
END_TEST

/* What doesn't run needs nothing, and its exception is the guest's. */
START_TEST(private_names_are_not_asked_for_what_is_forbidden)
{
    static const struct {
        u8 bytes[8], size;
        u64 cr0, no_cr4;
        u8 vector;
    } rows[] = {
        { { 0x48, 0x0f, 0xae, 0x23 }, 4, 0, CR4_OSXSAVE, VECTOR_UD }, /* xsave64 [rbx] */
        { { 0x0f, 0xae, 0x23 }, 3, 0, CR4_OSXSAVE, VECTOR_UD },       /* xsave [rbx] */
        { { 0x0f, 0xae, 0x2b }, 3, CR0_TS, 0, VECTOR_NM },            /* xrstor [rbx] */
        { { 0x0f, 0xc7, 0x23 }, 3, CR0_TS, 0, VECTOR_NM },            /* xsavec [rbx] */
        { { 0x0f, 0xae, 0x03 }, 3, CR0_TS, 0, VECTOR_NM },            /* fxsave [rbx] */
        { { 0x0f, 0xae, 0x03 }, 3, CR0_EM, 0, VECTOR_NM },            /* fxsave [rbx] */
        { { 0xd9, 0x33 }, 2, CR0_TS, 0, VECTOR_NM },                  /* fnstenv [rbx] */
        { { 0xdd, 0x23 }, 2, CR0_EM, 0, VECTOR_NM },                  /* frstor [rbx] */
        { { 0xc5, 0xf8, 0x10, 0x0b }, 4, CR0_TS, 0, VECTOR_NM },      /* vmovups xmm1, [rbx] */
        { { 0xc5, 0xf8, 0x10, 0x0b }, 4, 0, CR4_OSXSAVE, VECTOR_UD }, /* vmovups xmm1, [rbx] */
    };

    with_avx();
    m.has_table = true;
    GPR(RAX) = 7;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        u64 cr0 = m.cr0, cr4 = m.cr4;

        for (unsigned known = 0; known < 2; known++) {
            memset(&m.event, 0, sizeof m.event);
            m.cr0 |= rows[i].cr0;
            m.cr4 &= ~rows[i].no_cr4;
            mmio(rows[i].bytes, rows[i].size);
            ck_assert_msg(status.AsUINT32 == SUCCESSFUL && m.event.ExceptionEvent.Vector == rows[i].vector,
                          "row %u: %x", i, status.AsUINT32);
        }
        m.cr0 = cr0;
        m.cr4 = cr4;
    }
    ck_assert_uint_eq(m.asked_for_ours, 0);
}
END_TEST

/* Neither is a fault lost that comes before what is needed is used. */
START_TEST(faults_come_before_private_names)
{
    static const struct {
        u8 bytes[8], size;
        u64 rbx;
        u8 vector;
    } rows[] = {
        { { 0xd9, 0x23 }, 2, MMIO, VECTOR_MF },                          /* fldenv [rbx], an exception pending */
        { { 0xdd, 0x23 }, 2, MMIO, VECTOR_MF },                          /* frstor [rbx] */
        { { 0xd9, 0x33 }, 2, 0x7000, VECTOR_PF },                        /* fnstenv [rbx], not present */
        { { 0xdd, 0x33 }, 2, (u64)1 << 60, VECTOR_GP },                  /* fnsave [rbx], not canonical */
        { { 0x0f, 0xae, 0x03 }, 3, MMIO + 8, VECTOR_GP },                /* fxsave [rbx], misaligned */
        { { 0x48, 0x0f, 0xae, 0x23 }, 4, MMIO + 16, VECTOR_GP },         /* xsave64 [rbx], misaligned */
        { { 0x48, 0x0f, 0xae, 0x2b }, 4, MMIO + 16, VECTOR_GP },         /* xrstor64 [rbx] */
        { { 0x48, 0x0f, 0xae, 0x23 }, 4, 0x7000, VECTOR_PF },            /* xsave64 [rbx], not present */
        { { 0x48, 0x0f, 0xc7, 0x23 }, 4, 0x7000 - 0x280, VECTOR_PF },    /* xsavec64 [rbx], its end */
        { { 0xc5, 0xfd, 0x6f, 0x0b }, 4, MMIO + 16, VECTOR_GP },         /* vmovdqa ymm1, [rbx], misaligned */
        { { 0xc5, 0xfd, 0x7f, 0x0b }, 4, 0x7000 - 32 + 32, VECTOR_PF },  /* vmovdqa [rbx], ymm1 */
        { { 0xc5, 0xfc, 0x10, 0x0b }, 4, 0x7000 - 16, VECTOR_PF },       /* vmovups ymm1, [rbx], its end */
    };

    with_avx();
    m.fx[0].FpControlStatus.FpControl = 0x37b;
    m.fx[0].FpControlStatus.FpStatus = 0x8084;
    m.has_table = true;
    m.absent = 0x7000;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        GPR(RAX) = 7;
        GPR(RDX) = 0;
        GPR(RBX) = rows[i].rbx;
        memset(&m.event, 0, sizeof m.event);
        mmio(rows[i].bytes, rows[i].size);
        ck_assert_msg(status.AsUINT32 == SUCCESSFUL && m.event.ExceptionEvent.Vector == rows[i].vector,
                      "row %u: %x, %u", i, status.AsUINT32, m.event.ExceptionEvent.Vector);
        ck_assert_msg(!m.logged && RIP == CODE, "row %u did something", i);
    }
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
    tcase_add_test(c, an_exception_that_freezes_is_left_to_the_processor);
    tcase_add_test(c, faults_come_before_private_names);
    tcase_add_test(c, avx_moves_whole_registers);
    tcase_add_test(c, masks_choose_what_is_touched);
    tcase_add_test(c, private_names_are_asked_for_where_they_are_needed);
    tcase_add_test(c, private_names_are_not_asked_for_what_is_forbidden);
    return c;
}
