/* SPDX-License-Identifier: MIT */
/*
 * What is the processor's own and comes to an emulated instruction by private names, or is brought about on an ordinary
 * processor that runs on afterwards: translations, features, IGNNE#, the shadow of MOV SS.
 */
#include "tests/whp/emulator_own.h"

/* ---- a processor whose exits are emulated ---- */

struct guest own;
static WHV_EMULATOR_HANDLE own_emulator;
u8 device[0x1000];
bool hides_ours;
unsigned fail_at;
static unsigned calls, device_reads;

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
                                                        : own.memory + info->GpaAddress;

    (void)context;
    ck_assert_uint_lt(info->GpaAddress, GUEST_MEMORY - 8);
    device_reads += at >= device && at < device + sizeof device && !info->Direction;
    memcpy(info->Direction ? at : info->Data, info->Direction ? info->Data : at, info->AccessSize);
    return fails_now() ? E_FAIL : S_OK;
}

static HRESULT CALLBACK on_get(VOID *context, const WHV_REGISTER_NAME *names, UINT32 n, WHV_REGISTER_VALUE *values)
{
    (void)context;
    for (u32 i = 0; i < n && hides_ours; i++)
        if ((u32)names[i] >> 16 == 0x5357)
            return E_NOTIMPL;
    return fails_now() ? E_FAIL : WHvGetVirtualProcessorRegisters(own.partition, 0, names, n, values);
}

static HRESULT CALLBACK on_set(VOID *context, const WHV_REGISTER_NAME *names, UINT32 n,
                               const WHV_REGISTER_VALUE *values)
{
    (void)context;
    for (u32 i = 0; i < n && hides_ours; i++)
        ck_assert_uint_ne((u32)names[i] >> 16, 0x5357);
    return fails_now() ? E_FAIL : WHvSetVirtualProcessorRegisters(own.partition, 0, names, n, values);
}

static HRESULT CALLBACK on_translate(VOID *context, WHV_GUEST_VIRTUAL_ADDRESS gva, WHV_TRANSLATE_GVA_FLAGS flags,
                                     WHV_TRANSLATE_GVA_RESULT_CODE *code, WHV_GUEST_PHYSICAL_ADDRESS *gpa)
{
    WHV_TRANSLATE_GVA_RESULT result;
    HRESULT hr = WHvTranslateGva(own.partition, 0, gva, flags, &result, gpa);

    (void)context;
    *code = result.ResultCode;
    return fails_now() ? E_FAIL : hr;
}

static const WHV_EMULATOR_CALLBACKS own_callbacks = { sizeof own_callbacks, 0,      no_port,     on_memory,
                                                      on_get,               on_set, on_translate };

void own_open_in(WHV_PARTITION_HANDLE p, enum guest_mode mode, const void *code, size_t size)
{
    guest_open_in(&own, p, mode, code, size);
    memset(device, 0, sizeof device);
    hides_ours = false;
    fail_at = calls = 0;
    ck_ok(WHvEmulatorCreateEmulator(&own_callbacks, &own_emulator));
}

void own_open(enum guest_mode mode, const void *code, size_t size)
{
    own_open_in(partition_new(1), mode, code, size);
}

void own_close(void)
{
    ck_ok(WHvEmulatorDestroyEmulator(own_emulator));
    guest_close(&own);
}

u32 own_emulate(void)
{
    WHV_EMULATOR_STATUS ended;

    calls = device_reads = 0;
    ck_ok(WHvEmulatorTryMmioEmulation(own_emulator, NULL, &own.exit.VpContext, &own.exit.MemoryAccess, &ended));
    return ended.AsUINT32;
}

u32 own_run(unsigned *times)
{
    u32 reason;

    for (*times = 0; (reason = guest_run(&own)) == (u32)WHvRunVpExitReasonMemoryAccess && *times < 100; ++*times)
        ck_assert_uint_eq(own_emulate(), SUCCESSFUL);
    return reason;
}

void own_put(u32 at, u64 value)
{
    memcpy(own.memory + at, &value, sizeof value);
}

/* ---- features ---- */

#define BIT(n) ((u64)1 << (n))

enum { WORD = 0x30000 };

/* tzcnt eax, [rdi]; hlt: or lzcnt. Without the feature it's bsf, or bsr, which leaves EAX alone if it finds nothing. */
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

        own_open_in(partition_without(away), GUEST_LONG, code, sizeof code);
        guest_set(&own, WHvX64RegisterRax, 5);
        guest_set(&own, WHvX64RegisterRdi, GUEST_HOLE);
        for (unsigned again = 0; again < 2; again++) { /* as decoded the first time, and as remembered */
            guest_set(&own, WHvX64RegisterRip, GUEST_CODE);
            memcpy(device, &rows[i].value, 4);
            ck_assert_uint_eq(own_run(&times), HALT);
            ck_assert_uint_eq(times, 1);
            ck_assert_msg(guest_get(&own, WHvX64RegisterRax) == rows[i].eax, "row %u: EAX is %llu", i,
                          (unsigned long long)guest_get(&own, WHvX64RegisterRax));
            if (rows[i].is_away) /* the other flags of BSF are undefined */
                ck_assert_uint_eq(guest_get(&own, WHvX64RegisterRflags) & ZF, rows[i].flags);
            else
                ck_assert_uint_eq(guest_get(&own, WHvX64RegisterRflags) & (CF | ZF), rows[i].flags);
            guest_set(&own, WHvX64RegisterRax, 5);
        }
        own_close();
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

        own_open_in(partition_without(away), GUEST_LONG, code, sizeof code);
        guest_set(&own, WHvX64RegisterCr4, guest_get(&own, WHvX64RegisterCr4) | CR4_OSFXSR);
        guest_set(&own, WHvX64RegisterRdi, GUEST_HOLE);
        memset(device, 0x55, sizeof device);
        ck_assert_uint_eq(own_run(&times), HALT);
        ck_assert_uint_eq(device[6], lacks ? 0x55 : 0);
        memcpy(&mask, device + 28, 4);
        ck_assert_uint_eq(mask, lacks ? 0xffff : 0x2ffff);
        own_close();
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

        own_open_in(partition_without(away), GUEST_LONG, code, sizeof code);
        guest_enable_exits(&own, 4, 1 << VECTOR_UD);
        hides_ours = true;
        guest_set(&own, WHvX64RegisterCr4, guest_get(&own, WHvX64RegisterCr4) | CR4_OSFXSR);
        guest_set(&own, WHvX64RegisterRdi, GUEST_HOLE);
        memcpy(device, &value, 4);
        if (lacks) {
            ck_assert_uint_eq(guest_run(&own), (u32)WHvRunVpExitReasonMemoryAccess);
            ck_assert_uint_eq(own_emulate(), SUCCESSFUL);
            ck_assert_uint_eq(guest_get(&own, WHvRegisterPendingEvent) >> 16 & 0xffff, VECTOR_GP);
        } else {
            ck_assert_uint_eq(own_run(&times), HALT);
        }
        own_close();
    }
}
END_TEST

/* Which nobody has decoded before, so that even its being there is told by name. Its bytes are fetched once. */
START_TEST(code_of_a_device_is_what_the_partition_makes_of_it)
{
    static const struct {
        u8 code[8];
        unsigned bank;
        u64 away;
        u8 size, vector; /* 0: none, without the feature */
    } rows[] = {
        { { 0x0f, 0x38, 0xf0, 0x03 }, 0, BIT(29), 4, VECTOR_UD },       /* movbe eax, [rbx] */
        { { 0xf3, 0x0f, 0xb8, 0x03 }, 0, BIT(7), 4, VECTOR_UD },        /* popcnt eax, [rbx] */
        { { 0x66, 0x0f, 0x3a, 0x63, 0xc1, 8 }, 0, BIT(4), 6, VECTOR_UD }, /* pcmpistri, with CR0.TS */
        { { 0xf3, 0x0f, 0xbc, 0xc3 }, 0, BIT(25), 4, 0 },               /* tzcnt eax, ebx */
    };

    for (unsigned i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        bool lacks = i & 1;
        u64 away[GUEST_BANKS] = { 0 };
        u8 with = rows[i / 2].code[2] == 0x3a ? VECTOR_NM : 0, vector = lacks ? rows[i / 2].vector : with;
        u64 event;

        if (lacks)
            away[rows[i / 2].bank] = rows[i / 2].away;
        own_open_in(partition_without(away), GUEST_LONG, "", 0);
        memcpy(device, rows[i / 2].code, 8);
        guest_set(&own, WHvX64RegisterCr4, guest_get(&own, WHvX64RegisterCr4) | CR4_OSFXSR);
        guest_set(&own, WHvX64RegisterCr0, guest_get(&own, WHvX64RegisterCr0) | CR0_TS);
        guest_set(&own, WHvX64RegisterRip, GUEST_HOLE);
        guest_set(&own, WHvX64RegisterRbx, WORD);
        ck_assert_uint_eq(guest_run(&own), (u32)WHvRunVpExitReasonMemoryAccess);
        ck_assert_uint_eq(own_emulate(), SUCCESSFUL);
        ck_assert_uint_eq(device_reads, 1);
        event = guest_get(&own, WHvRegisterPendingEvent);
        ck_assert_msg((event & 1) == (vector != 0) && (event >> 16 & 0xffff) == vector, "row %u: %llx", i,
                      (unsigned long long)event);
        ck_assert_uint_eq(guest_get(&own, WHvX64RegisterRip), GUEST_HOLE + (vector ? 0u : rows[i / 2].size));
        own_close();
    }
}
END_TEST

/* Where an emulator knows no bases of FS and GS by itself. Each is REX.W, and of RAX. */
START_TEST(bases_are_the_processors)
{
    static const struct {
        u8 code[5];
        u8 segment;
        bool is_write;
    } rows[] = {
        { { 0xf3, 0x48, 0x0f, 0xae, 0xc0 }, FS, false }, { { 0xf3, 0x48, 0x0f, 0xae, 0xc8 }, GS, false },
        { { 0xf3, 0x48, 0x0f, 0xae, 0xd0 }, FS, true },  { { 0xf3, 0x48, 0x0f, 0xae, 0xd8 }, GS, true },
    };
    const WHV_REGISTER_NAME names[] = { WHvX64RegisterFs, WHvX64RegisterGs };
    const u64 base[] = { 0x123456789000, 0x6543210fe000 }, rax = 0x7ffffffff000;

    for (unsigned i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        unsigned n = rows[i / 2].segment == GS;
        bool is_there = i & 1; /* CR4.FSGSBASE; else it's #UD */
        WHV_REGISTER_VALUE v[2];

        own_open(GUEST_LONG, "", 0);
        memcpy(device, rows[i / 2].code, sizeof rows->code);
        ck_ok(WHvGetVirtualProcessorRegisters(own.partition, 0, names, 2, v));
        v[0].Segment.Base = base[0];
        v[1].Segment.Base = base[1];
        ck_ok(WHvSetVirtualProcessorRegisters(own.partition, 0, names, 2, v));
        if (is_there)
            guest_set(&own, WHvX64RegisterCr4, guest_get(&own, WHvX64RegisterCr4) | CR4_FSGSBASE);
        guest_set(&own, WHvX64RegisterRax, rax);
        guest_set(&own, WHvX64RegisterRip, GUEST_HOLE);
        ck_assert_uint_eq(guest_run(&own), (u32)WHvRunVpExitReasonMemoryAccess);
        ck_assert_uint_eq(own_emulate(), SUCCESSFUL);
        ck_assert_uint_eq(guest_get(&own, WHvX64RegisterRip), GUEST_HOLE + (is_there ? sizeof rows->code : 0));
        ck_assert_uint_eq(guest_get(&own, WHvRegisterPendingEvent) >> 16 & 0xffff, is_there ? 0 : VECTOR_UD);
        ck_assert_uint_eq(guest_get(&own, WHvX64RegisterRax), is_there && !rows[i / 2].is_write ? base[n] : rax);
        ck_assert_uint_eq(guest_get(&own, names[n]), is_there && rows[i / 2].is_write ? rax : base[n]);
        ck_assert_uint_eq(guest_get(&own, names[!n]), base[!n]);
        own_close();
    }
}
END_TEST

/* A call that fails half-way through leaves nothing of its partition's features to the next, by another partition. */
START_TEST(features_are_forgotten_with_the_call)
{
    /* mov eax, [rbx], whose address isn't canonical: it comes again under the true control registers */
    static const u8 code[] = { 0x8b, 0x03 };
    static const u8 tzcnt[] = { 0xf3, 0x0f, 0xbc, 0x07, 0xf4 };
    const u64 away[GUEST_BANKS] = { BIT(25) };
    unsigned failed = 0, at = 0;
    bool is_reached;

    do {
        unsigned times;
        struct guest one;

        own_open_in(partition_without(away), GUEST_LONG, "", 0);
        memcpy(device, code, sizeof code);
        guest_set(&own, WHvX64RegisterRbx, (u64)1 << 62);
        guest_set(&own, WHvX64RegisterRip, GUEST_HOLE);
        ck_assert_uint_eq(guest_run(&own), (u32)WHvRunVpExitReasonMemoryAccess);
        fail_at = ++at;
        failed += own_emulate() == GET_FAILED;
        is_reached = calls >= at;
        fail_at = 0;
        one = own;
        guest_open(&own, GUEST_LONG, tzcnt, sizeof tzcnt);
        memset(device, 0, 4);
        guest_set(&own, WHvX64RegisterRax, 5);
        guest_set(&own, WHvX64RegisterRdi, GUEST_HOLE);
        ck_assert_uint_eq(own_run(&times), HALT);
        ck_assert_msg(guest_get(&own, WHvX64RegisterRax) == 32, "behind a failure of callback %u", at);
        guest_close(&one);
        own_close();
    } while (is_reached && at < 20);
    ck_assert_uint_lt(at, 20);
    ck_assert_uint_ge(failed, 2); /* of the first try, and of the second */
}
END_TEST

/* ---- CR0.NE clear ---- */

/* fldcw [rbx]; fld1; fldz; fdivp; fld qword [rdi]; hlt */
static const u8 freezing[] = { 0xd9, 0x2b, 0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9, 0xdd, 0x07, 0xf4 };

static void open_freezing(void)
{
    own_open(GUEST_LONG, freezing, sizeof freezing);
    own_put(WORD, 0x37b);
    guest_set(&own, WHvX64RegisterCr0, guest_get(&own, WHvX64RegisterCr0) & ~(u64)CR0_NE);
    guest_set(&own, WHvX64RegisterRbx, WORD);
    guest_set(&own, WHvX64RegisterRdi, GUEST_HOLE);
}

START_TEST(what_ignne_lets_pass_is_emulated)
{
    for (unsigned hides = 0; hides < 2; hides++) {
        unsigned times;

        open_freezing();
        hides_ours = hides;
        ck_assert_uint_eq(own_run(&times), (u32)SwhpRunVpExitReasonFerrFreeze);
        ck_assert_uint_eq(times, 0);
        ck_ok(SwhpSetIgnne(own.partition, 0, TRUE));
        ck_assert_uint_eq(own_run(&times), HALT);
        ck_assert_uint_eq(times, 1);
        ck_assert_uint_eq(guest_get(&own, (WHV_REGISTER_NAME)SwhpX64RegisterIgnne), 1); /* it pends still */
        own_close();
    }
}
END_TEST

/* IGNNE# falls between the exit and the call: the processor, once it runs on, freezes at the instruction. */
START_TEST(what_freezes_is_left_to_the_processor)
{
    unsigned times;

    open_freezing();
    ck_assert_uint_eq(own_run(&times), (u32)SwhpRunVpExitReasonFerrFreeze);
    ck_ok(SwhpSetIgnne(own.partition, 0, TRUE));
    ck_assert_uint_eq(guest_run(&own), (u32)WHvRunVpExitReasonMemoryAccess);
    ck_ok(SwhpSetIgnne(own.partition, 0, FALSE));
    ck_assert_uint_eq(own_emulate(), SUCCESSFUL);
    ck_assert_uint_eq(guest_get(&own, WHvX64RegisterRip), GUEST_CODE + 8);
    ck_assert_uint_eq(guest_run(&own), (u32)SwhpRunVpExitReasonFerrFreeze);
    own_close();
}
END_TEST

TCase *emulator_own_case(void)
{
    TCase *c = tcase_create("emulator own");

    tcase_add_test(c, tzcnt_and_lzcnt_are_what_they_are_in_the_partition);
    tcase_add_test(c, fxsave_writes_what_the_partition_does);
    tcase_add_test(c, mxcsr_has_the_bits_of_the_partition);
    tcase_add_test(c, code_of_a_device_is_what_the_partition_makes_of_it);
    tcase_add_test(c, bases_are_the_processors);
    tcase_add_test(c, features_are_forgotten_with_the_call);
    tcase_add_test(c, what_ignne_lets_pass_is_emulated);
    tcase_add_test(c, what_freezes_is_left_to_the_processor);
    return c;
}
