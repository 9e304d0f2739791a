/* SPDX-License-Identifier: MIT */
/*
 * What is the processor's own and comes to an emulated instruction by private names, or is brought about on an ordinary
 * processor that runs on afterwards: translations, features, IGNNE#, the shadow of MOV SS.
 */
#include "tests/whp/emulator_rig.h"
#include "tests/whp/guest.h"

/* ---- a processor whose exits are emulated ---- */

static struct guest g;
static WHV_EMULATOR_HANDLE own;
static u8 device[0x1000];   /* what is at GUEST_HOLE */
static bool hides_ours;     /* private names are refused */
static unsigned fail_at, calls; /* this call of a callback fails; 0: none does */

static bool fails_now(void)
{
    return ++calls == fail_at;
}

static HRESULT CALLBACK no_port(VOID *context, WHV_EMULATOR_IO_ACCESS_INFO *info)
{
    (void)context;
    (void)info;
    return E_FAIL;
}

static HRESULT CALLBACK on_memory(VOID *context, WHV_EMULATOR_MEMORY_ACCESS_INFO *info)
{
    u8 *at = info->GpaAddress >> 12 == GUEST_HOLE >> 12 ? device + (info->GpaAddress & 0xfff)
                                                        : g.memory + info->GpaAddress;

    (void)context;
    ck_assert_uint_lt(info->GpaAddress, GUEST_MEMORY - 8);
    memcpy(info->Direction ? at : info->Data, info->Direction ? info->Data : at, info->AccessSize);
    return fails_now() ? E_FAIL : S_OK;
}

static HRESULT CALLBACK on_get(VOID *context, const WHV_REGISTER_NAME *names, UINT32 n, WHV_REGISTER_VALUE *values)
{
    (void)context;
    for (u32 i = 0; i < n && hides_ours; i++)
        if ((u32)names[i] >> 16 == 0x5357)
            return E_NOTIMPL;
    return fails_now() ? E_FAIL : WHvGetVirtualProcessorRegisters(g.partition, 0, names, n, values);
}

static HRESULT CALLBACK on_set(VOID *context, const WHV_REGISTER_NAME *names, UINT32 n, const WHV_REGISTER_VALUE *values)
{
    (void)context;
    for (u32 i = 0; i < n && hides_ours; i++)
        ck_assert_uint_ne((u32)names[i] >> 16, 0x5357);
    return fails_now() ? E_FAIL : WHvSetVirtualProcessorRegisters(g.partition, 0, names, n, values);
}

static HRESULT CALLBACK on_translate(VOID *context, WHV_GUEST_VIRTUAL_ADDRESS gva, WHV_TRANSLATE_GVA_FLAGS flags,
                                     WHV_TRANSLATE_GVA_RESULT_CODE *code, WHV_GUEST_PHYSICAL_ADDRESS *gpa)
{
    WHV_TRANSLATE_GVA_RESULT result;
    HRESULT hr = WHvTranslateGva(g.partition, 0, gva, flags, &result, gpa);

    (void)context;
    *code = result.ResultCode;
    return fails_now() ? E_FAIL : hr;
}

static const WHV_EMULATOR_CALLBACKS own_callbacks = { sizeof own_callbacks, 0,      no_port,     on_memory,
                                                      on_get,               on_set, on_translate };

static void open_in(WHV_PARTITION_HANDLE p, enum guest_mode mode, const void *code, size_t size)
{
    guest_open_in(&g, p, mode, code, size);
    memset(device, 0, sizeof device);
    hides_ours = false;
    fail_at = calls = 0;
    ck_ok(WHvEmulatorCreateEmulator(&own_callbacks, &own));
}

static void open_guest(enum guest_mode mode, const void *code, size_t size)
{
    open_in(partition_new(1), mode, code, size);
}

static void close_guest(void)
{
    ck_ok(WHvEmulatorDestroyEmulator(own));
    guest_close(&g);
}

static u32 emulate(void)
{
    WHV_EMULATOR_STATUS ended;

    calls = 0;
    ck_ok(WHvEmulatorTryMmioEmulation(own, NULL, &g.exit.VpContext, &g.exit.MemoryAccess, &ended));
    return ended.AsUINT32;
}

/* To the next exit that isn't one to the device; `times`: so many of those before. */
static u32 run_on(unsigned *times)
{
    u32 reason;

    for (*times = 0; (reason = guest_run(&g)) == (u32)WHvRunVpExitReasonMemoryAccess && *times < 100; ++*times)
        ck_assert_uint_eq(emulate(), SUCCESSFUL);
    return reason;
}

#define HALT (u32)WHvRunVpExitReasonX64Halt

/* ---- translations ---- */

enum { TABLE = 0x20000, DIRECTORY = 0x4000, WINDOW = 0x200000, PAGE_A = 0x30000, PAGE_B = 0x31000 };

/* A window of 4 KiB pages at 2 MiB, whose first one the guest maps from page A to page B behind its translation. */
static void put(u32 at, u64 value)
{
    memcpy(g.memory + at, &value, sizeof value);
}

static void open_window(const void *code, size_t size)
{
    open_guest(GUEST_LONG, code, size);
    put(DIRECTORY + 8, TABLE | 7);
    put(TABLE, PAGE_A | 0x67);
    put(PAGE_A, 0xaaaa);
    put(PAGE_B, 0xbbbb);
    guest_set(&g, WHvX64RegisterRbx, WINDOW);
    guest_set(&g, WHvX64RegisterRdi, GUEST_HOLE);
    guest_set(&g, WHvX64RegisterRsi, TABLE);
    guest_set(&g, WHvX64RegisterRcx, PAGE_B | 0x67);
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
            guest_set(&g, WHvX64RegisterRdx, type);
            ck_assert_uint_eq(run_on(&times), HALT);
            ck_assert_uint_eq(times, 1);
            ck_assert_uint_eq(guest_get(&g, WHvX64RegisterR8), 0xaaaa);
            ck_assert_uint_eq(guest_get(&g, WHvX64RegisterR9), 0xaaaa); /* as long as nothing is said */
            ck_assert_uint_eq(guest_get(&g, WHvX64RegisterR10), 0xbbbb);
            ck_assert_uint_eq(guest_get(&g, WHvX64RegisterCr3), 0x2000);
            close_guest();
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
        guest_enable_exits(&g, 4, 1 << VECTOR_GP);
        memcpy(device, &rows[i].low, 8);
        memcpy(device + 8, &rows[i].linear, 8);
        guest_set(&g, WHvX64RegisterCr4, guest_get(&g, WHvX64RegisterCr4) | rows[i].cr4);
        guest_set(&g, WHvX64RegisterRdx, rows[i].type);
        ck_assert_uint_eq(guest_run(&g), (u32)WHvRunVpExitReasonMemoryAccess);
        ck_assert_uint_eq(emulate(), SUCCESSFUL);
        if (rows[i].is_refused) {
            const WHV_REGISTER_NAME name = WHvRegisterPendingEvent;
            WHV_REGISTER_VALUE v;

            ck_ok(WHvGetVirtualProcessorRegisters(g.partition, 0, &name, 1, &v));
            ck_assert_msg(v.ExceptionEvent.EventPending && v.ExceptionEvent.Vector == VECTOR_GP &&
                              v.ExceptionEvent.DeliverErrorCode && !v.ExceptionEvent.ErrorCode, "row %u", i);
            ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRip), GUEST_CODE + 9);
        } else {
            ck_assert_msg(run_on(&times) == HALT, "row %u", i);
        }
        close_guest();
    }
}
END_TEST

/* Each callback that it takes fails once, and nothing has happened. */
START_TEST(invpcid_survives_failing_callbacks)
{
    unsigned bits = 0;
    u32 ended = 0;

    open_window(stale, sizeof stale);
    guest_set(&g, WHvX64RegisterRdx, 2);
    ck_assert_uint_eq(guest_run(&g), (u32)WHvRunVpExitReasonMemoryAccess);
    for (fail_at = 1; (ended = emulate()) != SUCCESSFUL; fail_at++) {
        ck_assert(ended == GET_FAILED || ended == TRANSLATE_FAILED || ended == MEMORY_FAILED || ended == SET_FAILED);
        bits |= ended;
        ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRip), GUEST_CODE + 9);
        ck_assert_uint_lt(fail_at, 20);
    }
    ck_assert_uint_eq(bits, GET_FAILED | TRANSLATE_FAILED | MEMORY_FAILED | SET_FAILED);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRip), GUEST_CODE + 14);
    close_guest();
}
END_TEST

/* PAE paging: PDPTEs were loaded with CR3, and stay what they were though memory says something else meanwhile. */
START_TEST(invpcid_leaves_pdptes_alone)
{
    /* mov eax, [ebx]; invpcid edx, [edi]; mov ecx, [ebx]; hlt */
    static const u8 code[] = { 0x8b, 0x03, 0x66, 0x0f, 0x38, 0x82, 0x17, 0x8b, 0x0b, 0xf4 };
    static const WHV_REGISTER_NAME names[] = { WHvX64RegisterCr0, WHvX64RegisterCr3, WHvX64RegisterCr4 };
    const WHV_REGISTER_VALUE v[] = { { .Reg64 = 0x80000031 }, { .Reg64 = TABLE }, { .Reg64 = CR4_PAE } };

    for (unsigned hides = 0; hides < 2; hides++) {
        unsigned times;

        open_guest(GUEST_PROTECTED, code, sizeof code);
        put(TABLE, DIRECTORY | 1);
        put(TABLE + 8, DIRECTORY | 1);
        ck_ok(WHvSetVirtualProcessorRegisters(g.partition, 0, names, 3, v));
        put(PAGE_A, 0xaaaa);
        guest_set(&g, WHvX64RegisterRbx, 0x40000000 + PAGE_A);
        guest_set(&g, WHvX64RegisterRdi, GUEST_HOLE);
        guest_set(&g, WHvX64RegisterRdx, 2);
        hides_ours = hides;
        ck_assert_uint_eq(guest_run(&g), (u32)WHvRunVpExitReasonMemoryAccess);
        put(TABLE + 8, 0);
        guest_enable_exits(&g, 4, 1 << VECTOR_PF);
        ck_assert_uint_eq(emulate(), SUCCESSFUL);
        ck_assert_uint_eq(run_on(&times), hides ? (u32)WHvRunVpExitReasonException : HALT); /* or as after MOV CR3 */
        close_guest();
    }
}
END_TEST

/* ---- features ---- */

#define BIT(n) ((u64)1 << (n))

/* tzcnt eax, [rdi]; hlt: or lzcnt. Without the feature it is bsf, or bsr, which leaves EAX alone where it finds nothing. */
START_TEST(tzcnt_and_lzcnt_are_what_they_are_in_the_partition)
{
    static const struct {
        u8 opcode;
        bool is_away;
        u32 value, eax, flags; /* CF and ZF */
    } rows[] = {
        { 0xbc, false, 8, 3, 0 }, { 0xbc, false, 0, 32, CF }, { 0xbc, true, 8, 3, 0 }, { 0xbc, true, 0, 5, ZF },
        { 0xbd, false, 8, 28, 0 }, { 0xbd, false, 0, 32, CF }, { 0xbd, true, 8, 3, 0 }, { 0xbd, true, 0, 5, ZF },
        { 0xbc, false, 1, 0, ZF },
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        const u8 code[] = { 0xf3, 0x0f, rows[i].opcode, 0x07, 0xf4 };
        u64 away[GUEST_BANKS] = { rows[i].is_away ? BIT(rows[i].opcode == 0xbc ? 25 : 10) : 0 };
        unsigned times;

        open_in(partition_without(away), GUEST_LONG, code, sizeof code);
        guest_set(&g, WHvX64RegisterRax, 5);
        guest_set(&g, WHvX64RegisterRdi, GUEST_HOLE);
        for (unsigned again = 0; again < 2; again++) { /* as decoded the first time, and as remembered */
            guest_set(&g, WHvX64RegisterRip, GUEST_CODE);
            memcpy(device, &rows[i].value, 4);
            ck_assert_uint_eq(run_on(&times), HALT);
            ck_assert_uint_eq(times, 1);
            ck_assert_msg(guest_get(&g, WHvX64RegisterRax) == rows[i].eax, "row %u: EAX is %llu", i,
                          (unsigned long long)guest_get(&g, WHvX64RegisterRax));
            if (rows[i].is_away) /* the other flags of BSF are undefined */
                ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRflags) & ZF, rows[i].flags);
            else
                ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRflags) & (CF | ZF), rows[i].flags);
            guest_set(&g, WHvX64RegisterRax, 5);
        }
        close_guest();
    }
}
END_TEST

/* fninit; fld1; fxsave [rdi]; hlt: the pointers' bytes are written by who always saves them, else left alone. */
START_TEST(fxsave_writes_what_the_partition_does)
{
    static const u8 code[] = { 0xdb, 0xe3, 0xd9, 0xe8, 0x0f, 0xae, 0x07, 0xf4 };

    for (unsigned lacks = 0; lacks < 2; lacks++) {
        u64 away[GUEST_BANKS] = { lacks ? BIT(42) | BIT(11) : 0 };
        unsigned times;
        u32 mask;

        open_in(partition_without(away), GUEST_LONG, code, sizeof code);
        guest_set(&g, WHvX64RegisterCr4, guest_get(&g, WHvX64RegisterCr4) | CR4_OSFXSR);
        guest_set(&g, WHvX64RegisterRdi, GUEST_HOLE);
        memset(device, 0x55, sizeof device);
        ck_assert_uint_eq(run_on(&times), HALT);
        ck_assert_uint_eq(device[6], lacks ? 0x55 : 0);
        memcpy(&mask, device + 28, 4);
        ck_assert_uint_eq(mask, lacks ? 0xffff : 0x2ffff);
        close_guest();
    }
}
END_TEST

/* ldmxcsr [rdi]; hlt: MM is reserved where the partition lacks it, which a published register tells. */
START_TEST(mxcsr_has_the_bits_of_the_partition)
{
    static const u8 code[] = { 0x0f, 0xae, 0x17, 0xf4 };
    const u32 value = 0x21f80;

    for (unsigned lacks = 0; lacks < 2; lacks++) {
        u64 away[GUEST_BANKS] = { lacks ? BIT(11) : 0 };
        unsigned times;

        open_in(partition_without(away), GUEST_LONG, code, sizeof code);
        guest_enable_exits(&g, 4, 1 << VECTOR_UD);
        hides_ours = true;
        guest_set(&g, WHvX64RegisterCr4, guest_get(&g, WHvX64RegisterCr4) | CR4_OSFXSR);
        guest_set(&g, WHvX64RegisterRdi, GUEST_HOLE);
        memcpy(device, &value, 4);
        if (lacks) {
            ck_assert_uint_eq(guest_run(&g), (u32)WHvRunVpExitReasonMemoryAccess);
            ck_assert_uint_eq(emulate(), SUCCESSFUL);
            ck_assert_uint_eq(guest_get(&g, WHvRegisterPendingEvent) >> 16 & 0xffff, VECTOR_GP);
        } else {
            ck_assert_uint_eq(run_on(&times), HALT);
        }
        close_guest();
    }
}
END_TEST

/* ---- CR0.NE clear ---- */

/* fldcw [rbx]; fld1; fldz; fdivp; fld qword [rdi]; hlt */
static const u8 freezing[] = { 0xd9, 0x2b, 0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9, 0xdd, 0x07, 0xf4 };

static void open_freezing(void)
{
    open_guest(GUEST_LONG, freezing, sizeof freezing);
    put(PAGE_A, 0x37b);
    guest_set(&g, WHvX64RegisterCr0, guest_get(&g, WHvX64RegisterCr0) & ~(u64)CR0_NE);
    guest_set(&g, WHvX64RegisterRbx, PAGE_A);
    guest_set(&g, WHvX64RegisterRdi, GUEST_HOLE);
}

START_TEST(what_ignne_lets_pass_is_emulated)
{
    for (unsigned hides = 0; hides < 2; hides++) {
        unsigned times;

        open_freezing();
        hides_ours = hides;
        ck_assert_uint_eq(run_on(&times), (u32)SwhpRunVpExitReasonFerrFreeze);
        ck_assert_uint_eq(times, 0);
        ck_ok(SwhpSetIgnne(g.partition, 0, TRUE));
        ck_assert_uint_eq(run_on(&times), HALT);
        ck_assert_uint_eq(times, 1);
        ck_assert_uint_eq(guest_get(&g, (WHV_REGISTER_NAME)SwhpX64RegisterIgnne), 1); /* it pends still */
        close_guest();
    }
}
END_TEST

/* IGNNE# falls between the exit and the call: the processor, once it runs on, freezes at the instruction. */
START_TEST(what_freezes_is_left_to_the_processor)
{
    unsigned times;

    open_freezing();
    ck_assert_uint_eq(run_on(&times), (u32)SwhpRunVpExitReasonFerrFreeze);
    ck_ok(SwhpSetIgnne(g.partition, 0, TRUE));
    ck_assert_uint_eq(guest_run(&g), (u32)WHvRunVpExitReasonMemoryAccess);
    ck_ok(SwhpSetIgnne(g.partition, 0, FALSE));
    ck_assert_uint_eq(emulate(), SUCCESSFUL);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRip), GUEST_CODE + 8);
    ck_assert_uint_eq(guest_run(&g), (u32)SwhpRunVpExitReasonFerrFreeze);
    close_guest();
}
END_TEST

TCase *emulator_own_case(void)
{
    TCase *c = tcase_create("emulator own");

    tcase_add_test(c, invpcid_makes_the_processor_forget);
    tcase_add_test(c, invpcid_checks_its_descriptor);
    tcase_add_test(c, invpcid_survives_failing_callbacks);
    tcase_add_test(c, invpcid_leaves_pdptes_alone);
    tcase_add_test(c, tzcnt_and_lzcnt_are_what_they_are_in_the_partition);
    tcase_add_test(c, fxsave_writes_what_the_partition_does);
    tcase_add_test(c, mxcsr_has_the_bits_of_the_partition);
    tcase_add_test(c, what_ignne_lets_pass_is_emulated);
    tcase_add_test(c, what_freezes_is_left_to_the_processor);
    return c;
}
