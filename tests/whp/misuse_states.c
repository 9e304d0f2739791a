/* SPDX-License-Identifier: MIT */
/* What a good call of each function answers in each state of a partition, and of an emulator; misuse.h. */
#include <stdio.h>

#include "tests/whp/misuse.h"

static struct survey before, after;

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
        check_text(functions[c->n]->name, "Partition|VpIndex|PortHandle|MatchData|isn't there");
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
        survey_add(&before, without.p, false);
        survey_add(&after, with.p, false);
        survey_same(&before, &after, name);
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
    survey_add(&before, s.p, is_moving);
    forget_text();
    HRESULT hr = call_function(&s, n);
    if (FAILED(hr)) {
        check_text(name, "Partition|VpIndex|PortHandle|MatchData|isn't there");
        survey_add(&after, s.p, is_moving);
        survey_same(&before, &after, name);
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

TCase *call_state_case(void)
{
    TCase *t = tcase_create("call-states");

    collect_all();
    tcase_add_loop_test(t, a_good_call_answers_by_the_state, 0, function_count * STATES);
    tcase_add_loop_test(t, an_emulator_answers_by_its_state, 0, function_count);
    return t;
}
