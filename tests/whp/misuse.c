/* SPDX-License-Identifier: MIT */
/*
 * Every misuse is refused with its HRESULT, says which argument it was, and leaves everything as it was; and a good call
 * answers in each state of a partition as the lists say. See misuse.h.
 */
#include "tests/whp/misuse.h"

#include <ctype.h>
#include <stdio.h>

const struct chapter chapters[] = {
    { "Partitions", partition_rows },
    { "Capabilities and properties", property_rows },
    { "Memory", memory_rows },
    { "Processors", processor_rows },
    { "Registers", register_rows },
    { "State and counters", state_rows },
    { "Interrupts", interrupt_rows },
    { "Doorbells, ports, synthetic interrupts, triggers", event_rows },
    { "Virtual PCI and migration", device_rows },
    { "The emulator library", emulator_rows },
    { "softwhp.h", own_rows },
};
const unsigned chapter_count = sizeof chapters / sizeof *chapters;

/* ---- the walk ---- */

bool visit_function(struct visit *v, const struct function *f)
{
    v->function = f;
    if (v->see)
        v->see(v, f, NULL);
    return f == v->wanted_function;
}

bool visit_row(struct visit *v, const struct row *row)
{
    if (v->see)
        v->see(v, v->function, row);
    return row == v->wanted_row;
}

void visit_answer(struct visit *v, HRESULT answer)
{
    v->answer = answer;
    v->is_done = true;
}

/* All functions and all rows, by number. */
enum { FUNCTIONS_MOST = 160, ROWS_MOST = 1000 };
static const struct function *functions[FUNCTIONS_MOST];
static const struct row *rows[ROWS_MOST];
static const struct function *row_function[ROWS_MOST];
static unsigned row_chapter[ROWS_MOST], function_chapter[FUNCTIONS_MOST];
static int function_count, row_count;

static void collect(struct visit *v, const struct function *f, const struct row *row)
{
    unsigned chapter = *(unsigned *)v->context;

    if (!row) {
        ck_assert_int_lt(function_count, FUNCTIONS_MOST);
        function_chapter[function_count] = chapter;
        functions[function_count++] = f;
        return;
    }
    ck_assert_int_lt(row_count, ROWS_MOST);
    row_chapter[row_count] = chapter;
    row_function[row_count] = f;
    rows[row_count++] = row;
}

static void collect_all(void)
{
    static struct scene none;

    if (function_count)
        return;
    for (unsigned i = 0; i < chapter_count; i++) {
        struct visit v = { .see = collect, .context = &i };

        chapters[i].rows(&v, &none);
    }
}

static HRESULT call_function(struct scene *s, int n)
{
    struct visit v = { .wanted_function = functions[n] };

    chapters[function_chapter[n]].rows(&v, s);
    ck_assert(v.is_done);
    return v.answer;
}

/* ---- answers ---- */

HRESULT answer_of(char letter)
{
    switch (letter) {
    case '.': return S_OK;
    case 'I': return E_INVALIDARG;
    case 'P': return HV(7);
    case 'V': return WHV_E_INVALID_VP_STATE;
    case 'X': return WHV_E_VP_DOES_NOT_EXIST;
    case 'T': return INVALID_STATE;
    case 'N': return NOT_SUPPORTED;
    case 'S': return HV(0x18);
    case 'F': return (HRESULT)0x80070490u;
    default: ck_abort_msg("no such letter: %c", letter); return E_FAIL;
    }
}

static bool has_word(const char *text, const char *word)
{
    size_t length = strlen(word);

    for (; *text; text++) {
        size_t i = 0;

        while (i < length && tolower((unsigned char)text[i]) == tolower((unsigned char)word[i]))
            i++;
        if (i == length)
            return true;
    }
    return false;
}

/* Puts another text where the call's is expected. */
static void forget_text(void)
{
    ck_hr(SwhpListInstructions(NULL, NULL), E_POINTER);
}

/* words: any of them, with bars between. */
static void check_text(const char *row, const char *words)
{
    char text[512] = "", some[64];
    u32 size = 0;
    bool found = false;

    ck_ok(SwhpGetLastErrorText(text, sizeof text, &size));
    ck_assert_msg(size > 8 && strlen(text) + 1 == size, "%s: no text", row);
    for (const char *w = words; *w && !found; w += strcspn(w, "|"), w += *w == '|') {
        snprintf(some, sizeof some, "%.*s", (int)strcspn(w, "|"), w);
        found = has_word(text, some);
    }
    ck_assert_msg(found, "%s: \"%s\" doesn't tell of %s", row, text, words);
}

/* ---- misuses ---- */

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
}

START_TEST(misuse_is_refused_and_changes_nothing)
{
    static struct scene s;
    const struct row *row = rows[_i];
    struct visit v = { .wanted_row = row };
    char name[160];
    bool is_cancelled = _i % 2;

    snprintf(name, sizeof name, "%s, %s", row_function[_i]->name, row->what);
    scene_open(&s);
    for (u32 vp = 0; is_cancelled && vp < 2; vp++) {
        if (!vp)
            ck_ok(WHvCancelRunVirtualProcessor(s.p, 0, 0));
        ck_ok(WHvCancelRunVirtualProcessor(s.apic, vp, 0));
    }
    survey_all(&s, before);
    forget_text();
    chapters[row_chapter[_i]].rows(&v, &s);
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

/* ---- states ---- */

static const char *const state_names[] = { "created", "set up", "stands", "runs", "another runs", "inside", "deleted" };

struct call {
    struct scene *s;
    int n;
    HRESULT answer;
};

static void call_inside(void *context)
{
    struct call *c = context;

    forget_text();
    c->answer = call_function(c->s, c->n);
    if (FAILED(c->answer))
        check_text(functions[c->n]->name, "Partition|VpIndex|isn't there");
}

static void call_emulator(void *context)
{
    struct call *c = context;

    forget_text();
    c->answer = call_function(c->s, c->n);
    if (FAILED(c->answer))
        check_text(functions[c->n]->name, "Emulator");
}

/* Two like scenes: in the one the callback calls, in the other it doesn't. */
static HRESULT try_inside(int n, const char *name)
{
    static struct scene with, without;
    struct call c = { .s = &with, .n = n };

    scene_open_in(&with, STATE_STANDS);
    scene_inside(&with, call_inside, &c);
    scene_open_in(&without, STATE_STANDS);
    scene_inside(&without, NULL, NULL);
    if (FAILED(c.answer)) {
        survey_add(&before[0], without.p, false);
        survey_add(&after[0], with.p, false);
        survey_same(&before[0], &after[0], name);
    }
    scene_close_in(&with, STATE_STANDS);
    scene_close_in(&without, STATE_STANDS);
    return c.answer;
}

static HRESULT try_in(enum state state, int n, const char *name)
{
    static struct scene s;
    bool is_moving = state == STATE_RUNS || state == STATE_OTHER;

    scene_open_in(&s, state);
    survey_add(&before[0], s.p, is_moving);
    forget_text();
    HRESULT hr = call_function(&s, n);
    if (FAILED(hr)) {
        check_text(name, "Partition|VpIndex|isn't there");
        survey_add(&after[0], s.p, is_moving);
        survey_same(&before[0], &after[0], name);
    }
    scene_close_in(&s, state);
    return hr;
}

START_TEST(a_good_call_answers_by_the_state)
{
    const struct function *f = functions[_i / STATES];
    enum state state = (enum state)(_i % STATES);
    char name[160];
    HRESULT hr, wanted;

    if (f->takes & TAKES_EMULATOR || (!(f->takes & (TAKES_PARTITION | TAKES_VP)) && state != STATE_STANDS))
        return;
    ck_assert_msg(strlen(f->answers) == STATES, "%s: %zu answers", f->name, strlen(f->answers));
    wanted = answer_of(f->answers[state]);
    snprintf(name, sizeof name, "%s, %s", f->name, state_names[state]);
    hr = state == STATE_INSIDE ? try_inside(_i / STATES, name) : try_in(state, _i / STATES, name);
    ck_assert_msg(hr == wanted, "%s: %08x, not %08x", name, (u32)hr, (u32)wanted);
}
END_TEST

/* An emulator: alive, in a call whose callback calls, destroyed. */
static HRESULT try_emulator(int n, u32 state)
{
    static struct scene s;
    struct call c = { .s = &s, .n = n };

    memset(&s, 0, sizeof s);
    scene_emulator(&s);
    if (state == EMULATOR_IN_USE) {
        scene_meanwhile(&s, call_emulator, &c);
    } else {
        if (state == EMULATOR_DESTROYED)
            ck_ok(WHvEmulatorDestroyEmulator(s.emulator));
        call_emulator(&c);
    }
    (void)WHvEmulatorDestroyEmulator(s.emulator);
    return c.answer;
}

START_TEST(an_emulator_answers_by_its_state)
{
    const struct function *f = functions[_i];

    if (!(f->takes & TAKES_EMULATOR))
        return;
    ck_assert_uint_eq(strlen(f->answers), EMULATOR_STATES);
    for (u32 state = 0; state < EMULATOR_STATES; state++) {
        HRESULT hr = try_emulator(_i, state), wanted = answer_of(f->answers[state]);

        ck_assert_msg(hr == wanted, "%s in state %u: %08x, not %08x", f->name, state, (u32)hr, (u32)wanted);
    }
}
END_TEST

Suite *misuse_suite(void);
Suite *misuse_suite(void)
{
    Suite *s = suite_create("misuse");
    TCase *t = tcase_create("misuses");

    collect_all();
    tcase_add_loop_test(t, misuse_is_refused_and_changes_nothing, 0, row_count);
    tcase_add_loop_test(t, no_function_takes_what_is_no_partition, 0, function_count);
    tcase_add_loop_test(t, no_function_takes_a_processor_that_is_not_there, 0, function_count);
    suite_add_tcase(s, t);

    t = tcase_create("call-states");
    tcase_add_loop_test(t, a_good_call_answers_by_the_state, 0, function_count * STATES);
    tcase_add_loop_test(t, an_emulator_answers_by_its_state, 0, function_count);
    suite_add_tcase(s, t);
    return s;
}
