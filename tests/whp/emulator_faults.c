/* SPDX-License-Identifier: MIT */
/* Instructions that end in a fault, in a trap behind them, or not at all. */
#include "tests/whp/emulator_rig.h"

/* ---- faults ---- */

START_TEST(fetch_may_fault)
{
    RIP = CODE + 0xfff;
    m.absent = CODE + 0x1000;
    mmio_given(BYTES(0x8b, 0x03), 1);
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.event.ExceptionEvent.Vector, VECTOR_PF);
    ck_assert_uint_eq(m.event.ExceptionEvent.ErrorCode, PF_I);
    ck_assert_uint_eq(m.event.ExceptionEvent.ExceptionParameter, CODE + 0x1000);
    ck_assert_uint_eq(RIP, CODE + 0xfff);
}
END_TEST

START_TEST(limits_are_checked)
{
    real_mode();
    GPR(RBX) = 0xffff;
    mmio(BYTES(0x8b, 0x07)); /* mov ax, [bx] */
    ck_event(VECTOR_GP, 0, 0, 0);
    ck_assert_uint_eq(m.logged, 0);
}
END_TEST

START_TEST(page_faults_are_the_guests)
{
    static const struct {
        WHV_TRANSLATE_GVA_RESULT_CODE result;
        u32 error;
    } rows[] = { { WHvTranslateGvaResultPageNotPresent, PF_W },
                 { WHvTranslateGvaResultPrivilegeViolation, PF_W | PF_P },
                 { WHvTranslateGvaResultInvalidPageTableFlags, PF_W | PF_P | PF_RSVD } };

    for (unsigned i = 0; i < 3; i++) {
        m.absent = 0x7000;
        m.absent_result = rows[i].result;
        GPR(RBX) = 0x7008;
        memset(&m.event, 0, sizeof m.event);
        mmio(BYTES(0x89, 0x03)); /* mov [rbx], eax */
        ck_event(VECTOR_PF, 1, rows[i].error, 0x7008);
    }
    m.absent_result = WHvTranslateGvaResultGpaUnmapped;
    mmio(BYTES(0x89, 0x03));
    ck_status(TRANSLATE_FAILED);
    ck_assert_uint_eq(m.sets, 0);
}
END_TEST

/* What keys forbid, tables and PKRU tell; where PKRU is refused, a key it was if nothing else forbids. SDM 3A 4.7. */
START_TEST(keys_join_a_page_faults_causes)
{
    static const struct {
        u64 leaf, upper;       /* entries of the tables, but for the address */
        u32 pkru;
        bool is_user, has_table;
        u32 error;
    } rows[] = {
        { 7 | (u64)5 << 59, 7, 1 << 10, false, false, PF_PK }, /* access disabled */
        { 7 | (u64)5 << 59, 7, 2 << 10, false, false, 0 },     /* writes, of whom CR0.WP doesn't bind */
        { 7 | (u64)5 << 59, 7, 2 << 10, true, false, PF_PK | PF_U },
        { 7 | (u64)5 << 59, 7, 3 << 8, true, false, PF_U },    /* another key's */
        { 5 | (u64)5 << 59, 7, 2 << 10, true, false, PF_PK | PF_U },
        { 3 | (u64)5 << 59, 7, 3 << 10, true, false, PF_U },   /* the supervisor's page */
        { 7 | (u64)5 << 59, 3, 3 << 10, true, false, PF_U },   /* by an upper level */
        { 7 | (u64)5 << 59, 7, 0, true, true, PF_PK | PF_U },
        { 5 | (u64)5 << 59, 7, 0, true, true, PF_U },
        { 7 | (u64)5 << 59, 0, 1 << 10, false, false, 0 },     /* gone meanwhile */
    };

    m.absent = 0x7000;
    m.absent_result = WHvTranslateGvaResultPrivilegeViolation;
    m.cr4 |= CR4_PKE;
    m.cr3 = 0x8000;
    GPR(RBX) = 0x7008;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        const u64 entries[] = { 0x9007, 0xa007, 0xb000 | rows[i].upper, 0x7000 | rows[i].leaf };

        memset(&m.event, 0, sizeof m.event);
        for (unsigned level = 0; level < 4; level++)
            memcpy(m.ram + m.cr3 + 0x1000 * level + (level == 3 ? 7 * 8 : 0), &entries[level], 8);
        m.ours[16].Reg64 = rows[i].pkru;
        m.has_table = rows[i].has_table;
        cpl = rows[i].is_user ? 3 : 0;
        mmio(BYTES(0x89, 0x03)); /* mov [rbx], eax */
        ck_status(SUCCESSFUL);
        ck_assert_msg(m.event.ExceptionEvent.ErrorCode == (rows[i].error | PF_P | PF_W), "row %u: %x", i,
                      m.event.ExceptionEvent.ErrorCode);
    }
    cpl = 0;
    m.has_table = false;
    mmio(BYTES(0x8b, 0x03)); /* mov eax, [rbx] */
    m.cr4 &= ~(u64)CR4_PKE;
    mmio(BYTES(0x8b, 0x03));
    ck_assert_uint_eq(m.logged, 0); /* without keys no tables are looked into */
}
END_TEST

START_TEST(undefined_opcodes_are_the_guests)
{
    mmio(BYTES(0x0f, 0x0b)); /* ud2 */
    ck_event(VECTOR_UD, 0, 0, 0);
    memset(&m.event, 0, sizeof m.event);
    mmio(BYTES(0xf0, 0x8b, 0x03)); /* lock mov eax, [rbx] */
    ck_event(VECTOR_UD, 0, 0, 0);
}
END_TEST

START_TEST(what_leaves_cannot_be_emulated)
{
    mmio(BYTES(0xf4)); /* hlt */
    ck_status(INTERNAL_FAILURE);
    ck_assert_uint_eq(m.sets, 0);
    ck_assert_uint_eq(RIP, CODE);
}
END_TEST

START_TEST(fault_in_a_repetition_keeps_what_is_done)
{
    GPR(RSI) = 0x4ffc;
    GPR(RDI) = MMIO;
    GPR(RCX) = 10;
    m.absent = 0x5000;
    mmio(BYTES(0xf3, 0xa4)); /* rep movsb */
    ck_event(VECTOR_PF, 1, 0, 0x5000);
    ck_assert_uint_eq(GPR(RCX), 6);
    ck_assert_uint_eq(GPR(RSI), 0x5000);
    ck_assert_uint_eq(GPR(RDI), MMIO + 4);
}
END_TEST

/* ---- what comes behind an instruction ---- */

START_TEST(a_single_step_traps_behind_it)
{
    GPR(RBX) = MMIO;
    FLAGS_OF |= TF;
    mmio(BYTES(0x8b, 0x03)); /* mov eax, [rbx] */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.pending_debug, 16);
    ck_assert_uint_eq(RIP, CODE + 2);

    RIP = CODE;
    m.pending_debug = 0;
    GPR(RDI) = MMIO;
    GPR(RCX) = 3;
    mmio(BYTES(0xf3, 0xaa)); /* rep stosb: behind each round */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.pending_debug, 16);
    ck_assert_uint_eq(m.logged, 1);
    ck_assert_uint_eq(GPR(RCX), 2);
    ck_assert_uint_eq(RIP, CODE);
    ck_assert_uint_eq(FLAGS_OF & RF, RF);
}
END_TEST

START_TEST(data_breakpoints_are_met)
{
    m.dr[0] = MMIO + 4;
    m.dr[5] = 0x000d0001; /* DR7: writes of 4 bytes */
    GPR(RBX) = MMIO;
    FLAGS_OF |= RF; /* which is for breakpoints on instructions alone */
    debug_active = true;
    mmio(BYTES(0x48, 0x8b, 0x03)); /* mov rax, [rbx] */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.pending_debug, 0);
    ck_assert_uint_eq(FLAGS_OF & RF, 0);
    RIP = CODE;
    mmio(BYTES(0x48, 0x89, 0x03)); /* mov [rbx], rax */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.pending_debug, 1);
    debug_active = false;
}
END_TEST

START_TEST(a_load_of_SS_casts_its_shadow)
{
    GPR(RBX) = MMIO;
    m.device = 0;
    m.interrupt_state = 2;
    mmio(BYTES(0x8e, 0x13)); /* mov ss, [rbx] */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.interrupt_state, 3);
    ck_assert_uint_eq(m.ours[OUR_SHADOW_SS].Reg64, 1);
    RIP = CODE;
    mmio(BYTES(0x8e, 0x1b)); /* mov ds, [rbx] */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.interrupt_state, 3); /* completing doesn't end it: reference 5.2 */
}
END_TEST

/* An emulator has no time, MSRs or debug registers of the guest's: it fails rather than make them up. */
START_TEST(what_callbacks_lack_is_refused)
{
    static const u8 rows[][6] = {
        { 2, 0x0f, 0xa2 },       { 2, 0x0f, 0x31 },       { 2, 0x0f, 0x32 },       { 2, 0x0f, 0x30 },
        { 2, 0xcd, 0x80 },       { 1, 0xcc },             { 1, 0xf1 },             { 3, 0x0f, 0x22, 0xc0 },
        { 3, 0x0f, 0x23, 0xf8 }, { 3, 0x0f, 0x01, 0xf8 }, { 2, 0x0f, 0x05 },       { 3, 0x0f, 0x01, 0xf9 },
        { 3, 0x0f, 0xc7, 0xf0 }, { 2, 0x0f, 0x09 },       { 3, 0x0f, 0x20, 0xc0 }, { 2, 0x0f, 0x33 },
        { 3, 0x0f, 0x01, 0xd9 },
    };

    GPR(RBX) = MMIO;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        mmio(rows[i] + 1, rows[i][0]);
        ck_assert_msg(status.AsUINT32 == INTERNAL_FAILURE && !m.sets && !m.logged, "row %u: %x", i, status.AsUINT32);
        ck_assert_uint_eq(RIP, CODE);
    }
}
END_TEST

/* Reference 8: on failure the registers stay as they are, whatever devices have seen: no round of a REP is set. */
START_TEST(a_failing_callback_leaves_registers_alone)
{
    GPR(RSI) = DATA;
    GPR(RDI) = MMIO;
    GPR(RCX) = 10;
    m.good_memory = 4;
    mmio(BYTES(0xf3, 0xa4)); /* rep movsb */
    ck_status(MEMORY_FAILED);
    ck_assert_uint_eq(m.sets, 0);
    ck_assert_uint_eq(GPR(RCX), 10);
    ck_assert_uint_eq(GPR(RDI), MMIO);
    ck_assert_uint_eq(RIP, CODE);
}
END_TEST

TCase *emulator_fault_case(void)
{
    TCase *c = tcase_create("emulator faults");

    tcase_add_checked_fixture(c, emulator_setup, emulator_teardown);
    tcase_add_test(c, fetch_may_fault);
    tcase_add_test(c, limits_are_checked);
    tcase_add_test(c, page_faults_are_the_guests);
    tcase_add_test(c, keys_join_a_page_faults_causes);
    tcase_add_test(c, undefined_opcodes_are_the_guests);
    tcase_add_test(c, what_leaves_cannot_be_emulated);
    tcase_add_test(c, fault_in_a_repetition_keeps_what_is_done);
    tcase_add_test(c, a_single_step_traps_behind_it);
    tcase_add_test(c, data_breakpoints_are_met);
    tcase_add_test(c, a_load_of_SS_casts_its_shadow);
    tcase_add_test(c, what_callbacks_lack_is_refused);
    tcase_add_test(c, a_failing_callback_leaves_registers_alone);
    return c;
}
