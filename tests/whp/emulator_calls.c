/* SPDX-License-Identifier: MIT */
/* Emulators and their arguments, and callbacks that refuse. */
#include <pthread.h>

#include "tests/whp/emulator_rig.h"

/* ---- handles and arguments ---- */

START_TEST(create_checks_its_callbacks)
{
    WHV_EMULATOR_CALLBACKS c = callbacks;
    WHV_EMULATOR_HANDLE other;

    ck_assert_int_eq(WHvEmulatorCreateEmulator(NULL, &other), E_INVALIDARG);
    ck_assert_int_eq(WHvEmulatorCreateEmulator(&c, NULL), E_INVALIDARG);
    c.Size--;
    ck_assert_int_eq(WHvEmulatorCreateEmulator(&c, &other), E_INVALIDARG);
    c.Size++;
    c.Reserved = 1;
    ck_assert_int_eq(WHvEmulatorCreateEmulator(&c, &other), E_INVALIDARG);
    for (unsigned i = 0; i < 5; i++) {
        c = callbacks;
        memset((char *)&c + 8 + 8 * i, 0, 8);
        ck_assert_int_eq(WHvEmulatorCreateEmulator(&c, &other), E_INVALIDARG);
    }
}
END_TEST

START_TEST(stale_handles_are_refused)
{
    WHV_EMULATOR_HANDLE other, bad[] = { NULL, (void *)1, (void *)16, (void *)~(uintptr_t)0, &token };

    ck_assert_int_eq(WHvEmulatorCreateEmulator(&callbacks, &other), S_OK);
    ck_assert_int_eq(WHvEmulatorDestroyEmulator(other), S_OK);
    ck_assert_int_eq(WHvEmulatorDestroyEmulator(other), E_INVALIDARG);
    ck_assert_int_eq(WHvEmulatorTryMmioEmulation(other, &token, &vp, &access_context, &status), E_INVALIDARG);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_int_eq(WHvEmulatorDestroyEmulator(bad[i]), E_INVALIDARG);
}
END_TEST

START_TEST(malformed_contexts_are_refused)
{
    io.AccessInfo.AccessSize = 1;
    ck_assert_int_eq(WHvEmulatorTryMmioEmulation(emulator, &token, NULL, &access_context, &status),
                     E_INVALIDARG);
    ck_assert_int_eq(WHvEmulatorTryMmioEmulation(emulator, &token, &vp, NULL, &status), E_INVALIDARG);
    ck_assert_int_eq(WHvEmulatorTryMmioEmulation(emulator, &token, &vp, &access_context, NULL), E_INVALIDARG);
    ck_assert_int_eq(WHvEmulatorTryIoEmulation(emulator, &token, NULL, &io, &status), E_INVALIDARG);
    ck_assert_int_eq(WHvEmulatorTryIoEmulation(emulator, &token, &vp, NULL, &status), E_INVALIDARG);
    ck_assert_int_eq(WHvEmulatorTryIoEmulation(emulator, &token, &vp, &io, NULL), E_INVALIDARG);
    io.AccessInfo.AccessSize = 3;
    ck_assert_int_eq(WHvEmulatorTryIoEmulation(emulator, &token, &vp, &io, &status), E_INVALIDARG);
    access_context.InstructionByteCount = 17;
    ck_assert_int_eq(WHvEmulatorTryMmioEmulation(emulator, &token, &vp, &access_context, &status),
                     E_INVALIDARG);
}
END_TEST

/* ---- what callbacks refuse ---- */

START_TEST(failing_callbacks_have_a_bit_each)
{
    GPR(RBX) = MMIO;
    GPR(RAX) = 5;

    m.fail_memory = E_FAIL;
    mmio(BYTES(0x8b, 0x03));
    ck_status(MEMORY_FAILED);
    ck_assert_uint_eq(m.sets, 0);
    mmio(BYTES(0x89, 0x03));
    ck_status(MEMORY_FAILED);
    m.fail_memory = S_OK;

    m.fail_translate = E_FAIL;
    mmio(BYTES(0x8b, 0x03));
    ck_status(TRANSLATE_FAILED);
    m.fail_translate = S_OK;

    m.misaligned = MMIO;
    mmio(BYTES(0x8b, 0x03));
    ck_status(NOT_ALIGNED);
    m.misaligned = 0;

    m.fail_get = E_FAIL;
    mmio(BYTES(0x8b, 0x03));
    ck_status(GET_FAILED);
    ck_assert_uint_eq(m.logged, 0);
    m.fail_get = S_OK;

    m.fail_set = E_FAIL;
    mmio(BYTES(0x8b, 0x03));
    ck_status(SET_FAILED);
    mmio(BYTES(0x0f, 0x0b)); /* ud2 */
    ck_status(SET_FAILED | CANNOT_BE_FAULTED);
    port_exit(true, 1, false, false, BYTES(0xee));
    ck_status(SET_FAILED);
    m.fail_set = S_OK;

    m.fail_io = E_FAIL;
    port_exit(true, 1, false, false, BYTES(0xee));
    ck_status(IO_FAILED);
    port_exit(false, 1, false, false, BYTES(0xec));
    ck_status(IO_FAILED);
    port_exit(true, 1, true, false, BYTES(0x6e));
    ck_status(IO_FAILED);
    m.fail_io = S_OK;

    ck_assert_uint_eq(GPR(RAX), 5);
    ck_assert_uint_eq(RIP, CODE);
}
END_TEST

START_TEST(exits_of_event_delivery_are_not_emulated)
{
    exit_context(0);
    vp.ExecutionState.InterruptionPending = 1;
    access_context.InstructionByteCount = 2;
    memcpy(access_context.InstructionBytes, "\x8b\x03", 2);
    ck_assert_int_eq(WHvEmulatorTryMmioEmulation(emulator, &token, &vp, &access_context, &status), S_OK);
    ck_status(CAUSED_BY_INTERRUPT);
    ck_assert_uint_eq(m.gets + m.sets + m.logged, 0);
}
END_TEST

/* No exit looks like these. */
START_TEST(contexts_that_no_exit_has_are_refused)
{
    static const u16 states[] = { 1 << 7 | 4, 1 << 11 | 4, 1 << 13 | 4, 1 << 15 | 4, 1, 3, 1 << 4 };

    access_context.InstructionByteCount = 2;
    memcpy(access_context.InstructionBytes, "\x8b\x03", 2);
    io.AccessInfo.AccessSize = 1;
    for (unsigned i = 0; i < sizeof states / sizeof *states; i++) {
        exit_context(0);
        vp.ExecutionState.AsUINT16 = states[i];
        ck_assert_int_eq(WHvEmulatorTryMmioEmulation(emulator, &token, &vp, &access_context, &status), E_INVALIDARG);
        ck_assert_int_eq(WHvEmulatorTryIoEmulation(emulator, &token, &vp, &io, &status), E_INVALIDARG);
    }
    exit_context(0);
    for (unsigned bit = 4; bit < 32; bit++) {
        access_context.AccessInfo.AsUINT32 = 1u << bit;
        ck_assert_int_eq(WHvEmulatorTryMmioEmulation(emulator, &token, &vp, &access_context, &status), E_INVALIDARG);
    }
    access_context.AccessInfo.AsUINT32 = 3; /* the type */
    ck_assert_int_eq(WHvEmulatorTryMmioEmulation(emulator, &token, &vp, &access_context, &status), E_INVALIDARG);
    for (unsigned bit = 6; bit < 32; bit++) {
        io.AccessInfo.AsUINT32 = 1u << bit | 2;
        ck_assert_int_eq(WHvEmulatorTryIoEmulation(emulator, &token, &vp, &io, &status), E_INVALIDARG);
    }
    for (unsigned size = 0; size < 8; size++) {
        io.AccessInfo.AsUINT32 = size << 1;
        if (size != 1 && size != 2 && size != 4)
            ck_assert_int_eq(WHvEmulatorTryIoEmulation(emulator, &token, &vp, &io, &status), E_INVALIDARG);
    }
    io.AccessInfo.AsUINT32 = 2;
    io.InstructionByteCount = 17;
    ck_assert_int_eq(WHvEmulatorTryIoEmulation(emulator, &token, &vp, &io, &status), E_INVALIDARG);
    ck_assert_uint_eq(m.gets + m.sets + m.logged + m.translations, 0);
}
END_TEST

/* Reference 6.5: 4 to 6 are taken for the final page. WHvTranslateGva gives them for tables too, without an address. */
START_TEST(the_final_page_may_be_anything)
{
    GPR(RBX) = 0x7008;
    m.absent = 0x7000;
    for (u32 code = 4; code < 12; code++)
        for (unsigned i = 0; i < 2; i++) {
            bool is_final = code <= 6 && i;

            RIP = CODE;
            m.absent_result = (WHV_TRANSLATE_GVA_RESULT_CODE)code;
            m.gone_wrong = i ? MMIO : 0;
            mmio(BYTES(0x89, 0x03)); /* mov [rbx], eax */
            ck_status(is_final ? SUCCESSFUL : TRANSLATE_FAILED);
            if (is_final)
                ck_asked(0, ASKED_WRITE, MMIO + 8, 4, 0);
            ck_assert_uint_eq(m.sets, is_final);
        }
}
END_TEST

/* A callback that calls back into its own emulator, which is in use. */
static HRESULT nested, destroyed;

static HRESULT CALLBACK on_port_nested(VOID *context, WHV_EMULATOR_IO_ACCESS_INFO *info)
{
    WHV_EMULATOR_STATUS inner;

    (void)info;
    nested = WHvEmulatorTryIoEmulation(*(WHV_EMULATOR_HANDLE *)context, context, &vp, &io, &inner);
    destroyed = WHvEmulatorDestroyEmulator(*(WHV_EMULATOR_HANDLE *)context);
    return S_OK;
}

static HRESULT CALLBACK accept(VOID *context, const WHV_REGISTER_NAME *names, UINT32 count,
                               const WHV_REGISTER_VALUE *values)
{
    (void)context;
    (void)names;
    (void)count;
    (void)values;
    return S_OK;
}

START_TEST(an_emulator_in_use_refuses)
{
    WHV_EMULATOR_CALLBACKS c = callbacks;
    WHV_EMULATOR_HANDLE other;

    c.WHvEmulatorIoPortCallback = on_port_nested;
    c.WHvEmulatorSetVirtualProcessorRegisters = accept;
    ck_assert_int_eq(WHvEmulatorCreateEmulator(&c, &other), S_OK);
    port_exit(true, 1, false, false, BYTES(0xee));
    ck_assert_int_eq(WHvEmulatorTryIoEmulation(other, &other, &vp, &io, &status), S_OK);
    ck_status(SUCCESSFUL);
    ck_assert_int_eq(nested, E_INVALIDARG);
    ck_assert_int_eq(destroyed, E_INVALIDARG);
    ck_assert_int_eq(WHvEmulatorDestroyEmulator(other), S_OK);
}
END_TEST

/* ---- two at once, and one inside another ---- */

struct shared {
    WHV_EMULATOR_HANDLE emulator;
    unsigned completed, refused, others;
};

static HRESULT CALLBACK nothing_to_get(VOID *context, const WHV_REGISTER_NAME *names, UINT32 count,
                                       WHV_REGISTER_VALUE *values)
{
    (void)context;
    (void)names;
    memset(values, 0, count * sizeof *values);
    return S_OK;
}

static HRESULT CALLBACK any_port(VOID *context, WHV_EMULATOR_IO_ACCESS_INFO *info)
{
    (void)context;
    info->Data = 0;
    return S_OK;
}

static void *use_it(void *context)
{
    const WHV_VP_EXIT_CONTEXT exit = { .ExecutionState.AsUINT16 = 4, .InstructionLength = 1 };
    WHV_X64_IO_PORT_ACCESS_CONTEXT access = { .AccessInfo.AsUINT32 = 2 };
    struct shared *s = context;
    WHV_EMULATOR_STATUS ended;

    for (unsigned i = 0; i < 20000; i++) {
        HRESULT hr = WHvEmulatorTryIoEmulation(s->emulator, s, &exit, &access, &ended);

        unsigned *count = hr == E_INVALIDARG                    ? &s->refused
                          : hr == S_OK && ended.AsUINT32 == 1 ? &s->completed
                                                              : &s->others;

        __atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

START_TEST(two_threads_at_one_emulator_are_refused_or_served)
{
    WHV_EMULATOR_CALLBACKS c = callbacks;
    struct shared s = { 0 };
    pthread_t thread[2];

    c.WHvEmulatorIoPortCallback = any_port;
    c.WHvEmulatorGetVirtualProcessorRegisters = nothing_to_get;
    c.WHvEmulatorSetVirtualProcessorRegisters = accept;
    ck_assert_int_eq(WHvEmulatorCreateEmulator(&c, &s.emulator), S_OK);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, use_it, &s), 0);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    ck_assert_uint_eq(s.completed + s.refused, 40000);
    ck_assert_uint_gt(s.completed, 0);
    ck_assert_int_eq(WHvEmulatorDestroyEmulator(s.emulator), S_OK);
}
END_TEST

/* Another emulator, and the platform itself, from inside a callback. */
static HRESULT CALLBACK on_port_calling(VOID *context, WHV_EMULATOR_IO_ACCESS_INFO *info)
{
    WHV_EMULATOR_CALLBACKS c = callbacks;
    WHV_PARTITION_HANDLE p;
    struct shared inner = { 0 };

    (void)context;
    info->Data = 0;
    c.WHvEmulatorIoPortCallback = any_port;
    c.WHvEmulatorSetVirtualProcessorRegisters = accept;
    ck_assert_int_eq(WHvEmulatorCreateEmulator(&c, &inner.emulator), S_OK);
    use_it(&inner);
    ck_assert_uint_eq(inner.completed, 20000);
    ck_assert_int_eq(WHvEmulatorDestroyEmulator(inner.emulator), S_OK);
    ck_assert_int_eq(WHvCreatePartition(&p), S_OK);
    ck_assert_int_eq(WHvDeletePartition(p), S_OK);
    return S_OK;
}

START_TEST(callbacks_may_call_whatever_else)
{
    WHV_EMULATOR_CALLBACKS c = callbacks;
    WHV_EMULATOR_HANDLE other;

    c.WHvEmulatorIoPortCallback = on_port_calling;
    ck_assert_int_eq(WHvEmulatorCreateEmulator(&c, &other), S_OK);
    port_exit(true, 1, false, false, BYTES(0xee));
    RIP = CODE;
    ck_assert_int_eq(WHvEmulatorTryIoEmulation(other, &token, &vp, &io, &status), S_OK);
    ck_status(SUCCESSFUL);
    ck_assert_int_eq(WHvEmulatorDestroyEmulator(other), S_OK);
}
END_TEST

TCase *emulator_call_case(void)
{
    TCase *c = tcase_create("emulator calls");

    tcase_add_checked_fixture(c, emulator_setup, emulator_teardown);
    tcase_add_test(c, create_checks_its_callbacks);
    tcase_add_test(c, stale_handles_are_refused);
    tcase_add_test(c, malformed_contexts_are_refused);
    tcase_add_test(c, failing_callbacks_have_a_bit_each);
    tcase_add_test(c, exits_of_event_delivery_are_not_emulated);
    tcase_add_test(c, contexts_that_no_exit_has_are_refused);
    tcase_add_test(c, the_final_page_may_be_anything);
    tcase_add_test(c, an_emulator_in_use_refuses);
    tcase_add_test(c, two_threads_at_one_emulator_are_refused_or_served);
    tcase_add_test(c, callbacks_may_call_whatever_else);
    return c;
}
