/* SPDX-License-Identifier: MIT */
/*
 * Every misuse is refused with its HRESULT, says which argument it was, and leaves everything as it was. The lists of
 * them are beside this file; misuse.h.
 */
#include <stdio.h>

#include "tests/whp/misuse.h"

static struct survey before[3], after[3];

static void survey_all(struct scene *s, struct survey *into)
{
    WHV_PARTITION_HANDLE p[3] = { s->plain.partition, s->apic, s->raw };

    for (u32 i = 0; i < 3; i++)
        survey_add(&into[i], p[i], i == 2); /* whose clock is the host's */
}

/* A cancel that waits shows in the next Run only, and what the guest has written is told once. */
static void check_last(struct scene *s, bool is_cancelled)
{
    WHV_PARTITION_HANDLE p[3] = { s->plain.partition, s->apic, s->apic };
    WHV_RUN_VP_EXIT_CONTEXT x;
    u64 dirty = 0;

    for (u32 i = 0; i < 3; i++) {
        ck_ok(SwhpRunVirtualProcessorUntil(p[i], i / 2, 0, &x, sizeof x));
        ck_assert_uint_eq((u32)x.ExitReason,
                          is_cancelled ? (u32)WHvRunVpExitReasonCanceled : (u32)SwhpRunVpExitReasonCount);
    }
    ck_ok(WHvQueryGpaRangeDirtyBitmap(p[0], SCENE_TRACKED, 4096, &dirty, 8));
    ck_assert_uint_eq(dirty, 1);
    scene_take_down(s);
}

START_TEST(misuse_is_refused_and_changes_nothing)
{
    static struct scene s;
    const struct row *row = rows[_i].row;
    struct visit v = { .wanted_row = row };
    char name[160];
    bool is_cancelled = _i % 2;

    snprintf(name, sizeof name, "%s, %s", rows[_i].function->name, row->what);
    scene_open(&s);
    for (u32 vp = 0; is_cancelled && vp < 2; vp++) {
        if (!vp)
            ck_ok(WHvCancelRunVirtualProcessor(s.p, 0, 0));
        ck_ok(WHvCancelRunVirtualProcessor(s.apic, vp, 0));
    }
    survey_all(&s, before);
    forget_text();
    chapters[rows[_i].chapter].rows(&v, &s);
    ck_assert_msg(v.is_done, "%s: not reached", name);
    ck_assert_msg(v.answer == row->answer, "%s: %08x, not %08x", name, (u32)v.answer, (u32)row->answer);
    if (FAILED(row->answer))
        check_text(name, row->word);
    if (row->answer == WHV_E_INSUFFICIENT_BUFFER && !strchr(row->what, '*'))
        for (u32 i = 0; i < SCENE_ROOM; i++)
            ck_assert_msg(s.out[i] == 0xcc, "%s: byte %u of the buffer was written", name, i);
    survey_all(&s, after);
    for (u32 i = 0; i < 3; i++)
        survey_same(&before[i], &after[i], name);
    ck_assert_msg(!s.calls, "%s: callbacks were called", name);
    check_last(&s, is_cancelled);
    scene_close(&s);
}
END_TEST

/* Values that are no partition: NULL, numbers, places, bits beside a live one, an emulator, one that was deleted. */
static WHV_PARTITION_HANDLE no_partition(struct scene *s, u32 n)
{
    static const u64 numbers[] = { 0, 1, 15, 0x10, 0x10000, 0x7fff12345678, ~(u64)15, ~(u64)0 };
    WHV_PARTITION_HANDLE p;

    if (n < 8)
        return (WHV_PARTITION_HANDLE)(uintptr_t)numbers[n];
    switch (n) {
    case 8: return s;
    case 9: return (char *)s->plain.partition + 1;
    case 10: return (char *)s->plain.partition + 2;
    case 11: return (char *)s->plain.partition + 15;
    case 12: return (char *)s->plain.partition + 16;
    case 13: return scene_emulator(s);
    default:
        ck_ok(WHvCreatePartition(&p));
        ck_ok(WHvDeletePartition(p));
        return p;
    }
}

START_TEST(no_function_takes_what_is_no_partition)
{
    static struct scene s;
    char name[160];

    if (!(functions[_i]->takes & (TAKES_PARTITION | TAKES_VP)))
        return;
    scene_open(&s);
    survey_all(&s, before);
    for (u32 n = 0; n < 15; n++) {
        s.p = no_partition(&s, n);
        forget_text();
        snprintf(name, sizeof name, "%s of %p", functions[_i]->name, s.p);
        HRESULT hr = call_function(&s, _i);
        ck_assert_msg(hr == E_INVALIDARG, "%s: %08x", name, (u32)hr);
        check_text(name, "Partition");
    }
    survey_all(&s, after);
    for (u32 i = 0; i < 3; i++)
        survey_same(&before[i], &after[i], functions[_i]->name);
    scene_close(&s);
}
END_TEST

/* Created by nobody, beyond ProcessorCount, beyond what there can be, deleted. */
START_TEST(no_function_takes_a_processor_that_is_not_there)
{
    static const u32 nobody[] = { 1, 2, 3, 63, 64, 65, 0x7fffffff, 0x80000000, 0xffffffff };
    static struct scene s;
    char name[160];

    if (!(functions[_i]->takes & TAKES_VP))
        return;
    scene_open(&s);
    survey_all(&s, before);
    for (u32 n = 0; n < 10; n++) {
        if (n == 9) {
            s.p = s.apic;
            ck_ok(WHvDeleteVirtualProcessor(s.apic, 1));
        }
        s.vp = n < 9 ? nobody[n] : 1;
        forget_text();
        snprintf(name, sizeof name, "%s of processor %u", functions[_i]->name, s.vp);
        HRESULT hr = call_function(&s, _i);
        ck_assert_msg(hr == WHV_E_VP_DOES_NOT_EXIST, "%s: %08x", name, (u32)hr);
        check_text(name, "VpIndex");
    }
    survey_all(&s, after);
    survey_same(&before[0], &after[0], functions[_i]->name);
    survey_same(&before[2], &after[2], functions[_i]->name);
    scene_close(&s);
}
END_TEST

TCase *misuse_case(void)
{
    TCase *t = tcase_create("misuses");

    collect_all();
    tcase_add_loop_test(t, misuse_is_refused_and_changes_nothing, 0, row_count);
    tcase_add_loop_test(t, no_function_takes_what_is_no_partition, 0, function_count);
    tcase_add_loop_test(t, no_function_takes_a_processor_that_is_not_there, 0, function_count);
    return t;
}

Suite *misuse_suite(void);
Suite *misuse_suite(void)
{
    Suite *s = suite_create("misuse");

    suite_add_tcase(s, misuse_case());
    suite_add_tcase(s, call_state_case());
    suite_add_tcase(s, functions_page_case());
    return s;
}
