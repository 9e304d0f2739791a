/* SPDX-License-Identifier: MIT */
/* INVPCID with its descriptor in a device: its checks, and what the processor that runs on has forgotten. */
#include "tests/whp/emulator_own.h"

enum { TABLE = 0x20000, DIRECTORY = 0x4000, WINDOW = 0x200000, PAGE_A = 0x30000, PAGE_B = 0x31000 };

/* A window of 4 KiB pages at 2 MiB, whose first one the guest maps from page A to page B behind its translation. */
static void open_window(const void *code, size_t size)
{
    own_open(GUEST_LONG, code, size);
    own_put(DIRECTORY + 8, TABLE | 7);
    own_put(TABLE, PAGE_A | 0x67);
    own_put(PAGE_A, 0xaaaa);
    own_put(PAGE_B, 0xbbbb);
    guest_set(&own, WHvX64RegisterRbx, WINDOW);
    guest_set(&own, WHvX64RegisterRdi, GUEST_HOLE);
    guest_set(&own, WHvX64RegisterRsi, TABLE);
    guest_set(&own, WHvX64RegisterRcx, PAGE_B | 0x67);
}

/* mov r8, [rbx]; mov [rsi], rcx; mov r9, [rbx]; invpcid rdx, [rdi]; mov r10, [rbx]; hlt */
static const u8 stale[] = { 0x4c, 0x8b, 0x03, 0x48, 0x89, 0x0e, 0x4c, 0x8b, 0x0b, 0x66, 0x0f,
                            0x38, 0x82, 0x17, 0x4c, 0x8b, 0x13, 0xf4 };

START_TEST(invpcid_makes_the_processor_forget)
{
    for (u64 type = 0; type < 4; type++)
        for (unsigned hides = 0; hides < 2; hides++) {
            const u64 window = WINDOW;
            unsigned times;

            open_window(stale, sizeof stale);
            hides_ours = hides;
            memcpy(device + 8, &window, 8);
            guest_set(&own, WHvX64RegisterRdx, type);
            ck_assert_uint_eq(own_run(&times), HALT);
            ck_assert_uint_eq(times, 1);
            ck_assert_uint_eq(guest_get(&own, WHvX64RegisterR8), 0xaaaa);
            ck_assert_uint_eq(guest_get(&own, WHvX64RegisterR9), 0xaaaa); /* as long as nothing is said */
            ck_assert_uint_eq(guest_get(&own, WHvX64RegisterR10), 0xbbbb);
            ck_assert_uint_eq(guest_get(&own, WHvX64RegisterCr3), 0x2000);
            own_close();
        }
}
END_TEST

/* SDM 2, INVPCID. */
START_TEST(invpcid_checks_its_descriptor)
{
    static const struct {
        u64 type, low, linear, cr4;
        bool is_refused;
    } rows[] = {
        { 4, 0, 0, 0, true },
        { (u64)1 << 32 | 2, 0, 0, 0, true },
        { 2, 0x1000, 0, 0, true },
        { 3, (u64)1 << 63, 0, 0, true },
        { 0, 5, 0, 0, true },
        { 1, 5, 0, 0, true },
        { 2, 5, 0, 0, false },
        { 1, 0xfff, 0, CR4_PCIDE, false },
        { 0, 1, 0x7fffffffffff, CR4_PCIDE, false },
        { 0, 0, 0x800000000000, 0, true },
        { 1, 0, 0x800000000000, 0, false },
        { 2, 0, 0x800000000000, 0, false },
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned times;

        open_window(stale, sizeof stale);
        guest_enable_exits(&own, 4, 1 << VECTOR_GP);
        memcpy(device, &rows[i].low, 8);
        memcpy(device + 8, &rows[i].linear, 8);
        guest_set(&own, WHvX64RegisterCr4, guest_get(&own, WHvX64RegisterCr4) | rows[i].cr4);
        guest_set(&own, WHvX64RegisterRdx, rows[i].type);
        ck_assert_uint_eq(guest_run(&own), (u32)WHvRunVpExitReasonMemoryAccess);
        ck_assert_uint_eq(own_emulate(), SUCCESSFUL);
        if (rows[i].is_refused) {
            const WHV_REGISTER_NAME name = WHvRegisterPendingEvent;
            WHV_REGISTER_VALUE v;

            ck_ok(WHvGetVirtualProcessorRegisters(own.partition, 0, &name, 1, &v));
            ck_assert_msg(v.ExceptionEvent.EventPending && v.ExceptionEvent.Vector == VECTOR_GP &&
                              v.ExceptionEvent.DeliverErrorCode && !v.ExceptionEvent.ErrorCode, "row %u", i);
            ck_assert_uint_eq(guest_get(&own, WHvX64RegisterRip), GUEST_CODE + 9);
        } else {
            ck_assert_msg(own_run(&times) == HALT, "row %u", i);
        }
        own_close();
    }
}
END_TEST

/* Each callback that it takes fails once, and nothing has happened. */
START_TEST(invpcid_survives_failing_callbacks)
{
    unsigned bits = 0;
    u32 ended = 0;

    open_window(stale, sizeof stale);
    guest_set(&own, WHvX64RegisterRdx, 2);
    ck_assert_uint_eq(guest_run(&own), (u32)WHvRunVpExitReasonMemoryAccess);
    for (fail_at = 1; (ended = own_emulate()) != SUCCESSFUL; fail_at++) {
        ck_assert(ended == GET_FAILED || ended == TRANSLATE_FAILED || ended == MEMORY_FAILED || ended == SET_FAILED);
        bits |= ended;
        ck_assert_uint_eq(guest_get(&own, WHvX64RegisterRip), GUEST_CODE + 9);
        ck_assert_uint_lt(fail_at, 20);
    }
    ck_assert_uint_eq(bits, GET_FAILED | TRANSLATE_FAILED | MEMORY_FAILED | SET_FAILED);
    ck_assert_uint_eq(guest_get(&own, WHvX64RegisterRip), GUEST_CODE + 14);
    own_close();
}
END_TEST

/*
 * PAE paging: PDPTEs were loaded with CR3, and stay what they were though memory says something else meanwhile. What
 * makes a processor forget has CR3 set by the library, and CLTS, whose code is the device's, has CR0.
 */
START_TEST(pdptes_are_left_alone)
{
    /* mov eax, [ebx]; invpcid edx, [edi], or jmp edi; mov ecx, [ebx]; hlt */
    static const u8 code[][10] = { { 0x8b, 0x03, 0x66, 0x0f, 0x38, 0x82, 0x17, 0x8b, 0x0b, 0xf4 },
                                   { 0x8b, 0x03, 0xff, 0xe7, 0x90, 0x90, 0x90, 0x8b, 0x0b, 0xf4 } };
    static const WHV_REGISTER_NAME names[] = { WHvX64RegisterCr0, WHvX64RegisterCr3, WHvX64RegisterCr4 };
    const WHV_REGISTER_VALUE v[] = { { .Reg64 = 0x80000031 | CR0_TS }, { .Reg64 = TABLE }, { .Reg64 = CR4_PAE } };

    for (unsigned i = 0; i < 4; i++) {
        bool hides = i & 1, is_clts = i & 2;
        unsigned times;

        own_open(GUEST_PROTECTED, code[is_clts], sizeof code[0]);
        if (is_clts)
            memcpy(device, "\x0f\x06", 2);
        own_put(TABLE, DIRECTORY | 1);
        own_put(TABLE + 8, DIRECTORY | 1);
        ck_ok(WHvSetVirtualProcessorRegisters(own.partition, 0, names, 3, v));
        own_put(PAGE_A, 0xaaaa);
        guest_set(&own, WHvX64RegisterRbx, 0x40000000 + PAGE_A);
        guest_set(&own, WHvX64RegisterRdi, GUEST_HOLE);
        guest_set(&own, WHvX64RegisterRdx, 2);
        hides_ours = hides;
        ck_assert_uint_eq(guest_run(&own), (u32)WHvRunVpExitReasonMemoryAccess);
        own_put(TABLE + 8, 0);
        guest_enable_exits(&own, 4, 1 << VECTOR_PF);
        ck_assert_uint_eq(own_emulate(), SUCCESSFUL);
        ck_assert_uint_eq(guest_get(&own, WHvX64RegisterCr0) & CR0_TS, is_clts ? 0 : CR0_TS);
        guest_set(&own, WHvX64RegisterRip, GUEST_CODE + 7);
        ck_assert_uint_eq(own_run(&times), hides ? (u32)WHvRunVpExitReasonException : HALT); /* or as after MOV CR3 */
        own_close();
    }
}
END_TEST

TCase *emulator_flush_case(void)
{
    TCase *c = tcase_create("emulator flush");

    tcase_add_test(c, invpcid_makes_the_processor_forget);
    tcase_add_test(c, invpcid_checks_its_descriptor);
    tcase_add_test(c, invpcid_survives_failing_callbacks);
    tcase_add_test(c, pdptes_are_left_alone);
    return c;
}
