/* SPDX-License-Identifier: MIT */
/* The larger state of a processor, by kind: reference 7.3 and 7.4. As clients save and restore it. */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "tests/whp/guest.h"

#define KIND(name) WHvVirtualProcessorStateType##name
#define NOT_SUPPORTED ((HRESULT)0x80070032u)
#define DENIED ((HRESULT)0xC0350008u)

static const u8 halt[] = { 0xf4 };

START_TEST(xsave_state_is_the_same_by_both_calls)
{
    struct guest g;
    u8 old[4096], new[4096], changed[4096];
    u32 size = 0, old_size = 0, written = 0;

    guest_open(&g, GUEST_LONG, halt, sizeof halt);
    ck_hr(WHvGetVirtualProcessorState(g.partition, 0, KIND(XsaveState), NULL, 0, &size),
          WHV_E_INSUFFICIENT_BUFFER);
    ck_hr(WHvGetVirtualProcessorXsaveState(g.partition, 0, NULL, 0, &old_size), WHV_E_INSUFFICIENT_BUFFER);
    ck_assert_uint_eq(size, old_size);
    ck_assert_uint_le(size, sizeof old);

    memset(new, 0xaa, sizeof new);
    ck_hr(WHvGetVirtualProcessorState(g.partition, 0, KIND(XsaveState), new, size - 1, &written),
          WHV_E_INSUFFICIENT_BUFFER);
    ck_assert_uint_eq(written, size);
    ck_assert_uint_eq(new[0], 0xaa);
    ck_ok(WHvGetVirtualProcessorState(g.partition, 0, KIND(XsaveState), new, sizeof new, &written));
    ck_assert_uint_eq(written, size);
    ck_assert_uint_eq(new[size], 0xaa);
    ck_ok(WHvGetVirtualProcessorState(g.partition, 0, KIND(XsaveState), new, size, NULL));
    ck_ok(WHvGetVirtualProcessorXsaveState(g.partition, 0, old, sizeof old, NULL));
    ck_assert_mem_eq(old, new, size);

    memcpy(changed, new, size);
    changed[160] = 0x5a; /* XMM0 */
    ck_ok(WHvSetVirtualProcessorState(g.partition, 0, KIND(XsaveState), changed, size));
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterXmm0), 0x5a);
    ck_ok(WHvGetVirtualProcessorXsaveState(g.partition, 0, old, sizeof old, NULL));
    ck_assert_mem_eq(old, changed, size);
    guest_close(&g);
}
END_TEST

/* The newer call wants the exact size, where the older one takes what holds the image's components. */
START_TEST(a_refused_xsave_state_changes_nothing)
{
    struct guest g;
    u8 before[4096] = { 0 }, image[4096] = { 0 }, after[4096];
    u32 size = 0;

    guest_open(&g, GUEST_LONG, halt, sizeof halt);
    ck_ok(WHvGetVirtualProcessorState(g.partition, 0, KIND(XsaveState), before, sizeof before, &size));
    memcpy(image, before, size);
    image[160] = 0x5a;
    ck_hr(WHvSetVirtualProcessorState(g.partition, 0, KIND(XsaveState), image, size - 1), E_INVALIDARG);
    ck_hr(WHvSetVirtualProcessorState(g.partition, 0, KIND(XsaveState), image, size + 1), E_INVALIDARG);
    ck_hr(WHvSetVirtualProcessorState(g.partition, 0, KIND(XsaveState), image, 0), E_INVALIDARG);
    ck_hr(WHvSetVirtualProcessorState(g.partition, 0, KIND(XsaveState), NULL, size), E_POINTER);
    ck_hr(WHvGetVirtualProcessorState(g.partition, 0, KIND(XsaveState), NULL, size, NULL), E_POINTER);
    ck_hr(WHvSetVirtualProcessorState(g.partition, 1, KIND(XsaveState), image, size), WHV_E_VP_DOES_NOT_EXIST);
    image[527] &= 0x7f; /* XCOMP_BV says that the image isn't compacted */
    ck_hr(WHvSetVirtualProcessorState(g.partition, 0, KIND(XsaveState), image, size), E_INVALIDARG);
    image[527] |= 0x80;
    image[26] = 0xff; /* MXCSR */
    image[27] = 0xff;
    ck_hr(WHvSetVirtualProcessorState(g.partition, 0, KIND(XsaveState), image, size), E_INVALIDARG);
    ck_ok(WHvGetVirtualProcessorState(g.partition, 0, KIND(XsaveState), after, sizeof after, NULL));
    ck_assert_mem_eq(before, after, size);
    guest_close(&g);
}
END_TEST

/* openvmm asks for each kind, and goes on where it isn't there. */
START_TEST(kinds_that_are_not_offered_say_so)
{
    static const struct {
        u32 kind;
        HRESULT wanted;
    } kinds[] = {
        { KIND(SynicMessagePage), NOT_SUPPORTED },
        { KIND(SynicEventFlagPage), NOT_SUPPORTED },
        { KIND(SynicTimerState), NOT_SUPPORTED },
        { KIND(InterruptControllerState2), DENIED },
        { KIND(NestedState), NOT_SUPPORTED },
        { 3, E_INVALIDARG },
        { 0xfff, E_INVALIDARG },
        { 0x1003, E_INVALIDARG },
        { 0xffffffff, E_INVALIDARG },
    };
    static u8 buffer[8192];
    struct guest g;

    guest_open(&g, GUEST_LONG, halt, sizeof halt);
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        WHV_VIRTUAL_PROCESSOR_STATE_TYPE kind = (WHV_VIRTUAL_PROCESSOR_STATE_TYPE)kinds[i].kind;

        memset(buffer, 0xaa, sizeof buffer);
        ck_hr(WHvGetVirtualProcessorState(g.partition, 0, kind, buffer, sizeof buffer, NULL), kinds[i].wanted);
        ck_assert_uint_eq(buffer[0], 0xaa);
        ck_hr(WHvSetVirtualProcessorState(g.partition, 0, kind, buffer, sizeof buffer), kinds[i].wanted);
        ck_hr(WHvGetVirtualProcessorState(g.partition, 1, kind, buffer, sizeof buffer, NULL),
              WHV_E_VP_DOES_NOT_EXIST);
        ck_hr(WHvSetVirtualProcessorState(g.partition, 1, kind, buffer, sizeof buffer),
              WHV_E_VP_DOES_NOT_EXIST);
        ck_hr(WHvGetVirtualProcessorState(NULL, 0, kind, buffer, sizeof buffer, NULL), E_INVALIDARG);
    }
    guest_close(&g);
}
END_TEST

START_TEST(interrupt_controller_state_has_one_answer)
{
    static u8 page[4096];
    struct guest g;

    guest_open(&g, GUEST_LONG, halt, sizeof halt);
    for (u32 size = 0; size <= sizeof page; size += 2048) {
        ck_hr(WHvGetVirtualProcessorState(g.partition, 0, KIND(InterruptControllerState2), page, size, NULL),
              WHvGetVirtualProcessorInterruptControllerState2(g.partition, 0, page, size, NULL));
        ck_hr(WHvSetVirtualProcessorState(g.partition, 0, KIND(InterruptControllerState2), page, size),
              WHvSetVirtualProcessorInterruptControllerState2(g.partition, 0, page, size));
        ck_hr(WHvSetVirtualProcessorState(g.partition, 0, KIND(InterruptControllerState2), NULL, size),
              WHvSetVirtualProcessorInterruptControllerState2(g.partition, 0, NULL, size));
    }
    guest_close(&g);
}
END_TEST

START_TEST(a_running_processor_keeps_its_state_to_itself)
{
    static const u8 spin[] = { 0xff, 0xc0, 0xeb, 0xfc }; /* 1: inc eax; jmp 1b */
    u8 image[4096] = { 0 };
    u32 size = 0;
    u64 count = 0;
    struct guest g;
    pthread_t thread;

    guest_open(&g, GUEST_LONG, spin, sizeof spin);
    ck_ok(WHvGetVirtualProcessorState(g.partition, 0, KIND(XsaveState), image, sizeof image, &size));
    ck_assert_int_eq(pthread_create(&thread, NULL, guest_run_thread, &g), 0);
    while (count < 1000) {
        ck_ok(SwhpGetInstructionCount(g.partition, 0, &count));
        sched_yield();
    }
    ck_hr(WHvGetVirtualProcessorState(g.partition, 0, KIND(XsaveState), image, sizeof image, NULL),
          WHV_E_INVALID_VP_STATE);
    ck_hr(WHvSetVirtualProcessorState(g.partition, 0, KIND(XsaveState), image, size), WHV_E_INVALID_VP_STATE);
    ck_hr(WHvGetVirtualProcessorState(g.partition, 0, KIND(InterruptControllerState2), image, 4096, NULL),
          WHvGetVirtualProcessorInterruptControllerState2(g.partition, 0, image, 4096, NULL));
    ck_ok(WHvCancelRunVirtualProcessor(g.partition, 0, 0));
    pthread_join(thread, NULL);
    ck_ok(WHvSetVirtualProcessorState(g.partition, 0, KIND(XsaveState), image, size));
    guest_close(&g);
}
END_TEST

TCase *vp_state_case(void)
{
    TCase *t = tcase_create("vp_state");

    tcase_add_test(t, xsave_state_is_the_same_by_both_calls);
    tcase_add_test(t, a_refused_xsave_state_changes_nothing);
    tcase_add_test(t, kinds_that_are_not_offered_say_so);
    tcase_add_test(t, interrupt_controller_state_has_one_answer);
    tcase_add_test(t, a_running_processor_keeps_its_state_to_itself);
    return t;
}
