/* SPDX-License-Identifier: MIT */
/* Runs the examples of example_*.c: example.h. */
#include <check.h>
#include <string.h>

#include "tests/cpu/example.h"

TCase *example_case(void);

extern const struct example __start_examples[], __stop_examples[];

static const char *const names[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",   "r8",
                                     "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "flags", "mem" };
enum { WORDS = sizeof names / sizeof *names, FLAGS_WORD = 16 };

static void fill(const struct example *e, const struct arena *a, struct state *s)
{
    memset(s, 0, sizeof *s);
    s->mode = e->is_32 ? 32 : 64;
    flat_selectors(s->selector, s->mode);
    memcpy(s->gpr, &e->in, sizeof s->gpr);
    s->rip = CODE_AT;
    s->rflags = 0x202 | e->in.flags;
    s->fcw = 0x37f;
    s->mxcsr = 0x1f80;
    memset(a->code, 0xf4, CODE_SIZE);
    memcpy(a->code, e->code, (size_t)(e->end - e->code));
    memset(a->data, 0, DATA_SIZE);
    memset(a->stack, 0, STACK_SIZE);
    memcpy(a->data + (MEMORY_AT - DATA_AT), &e->in.mem, 8);
}

/* `is`: who says so. */
static void compare(const struct example *e, const struct arena *a, const struct state *s, u32 undefined,
                    const char *is)
{
    u64 got[WORDS], want[WORDS], end = e->out.fault ? 0 : (u64)(e->end - e->code);

    memcpy(want, &e->out, sizeof want);
    memcpy(got, s->gpr, sizeof s->gpr);
    memcpy(got + FLAGS_WORD + 1, a->data + (MEMORY_AT - DATA_AT), 8);
    got[FLAGS_WORD] = s->rflags & (STATUS | DF) & ~(u64)undefined;
    want[FLAGS_WORD] &= ~(u64)undefined;
    for (unsigned i = 0; i < WORDS; i++)
        ck_assert_msg(got[i] == want[i], "%s: %s %s is %llx, not %llx", e->text, is, names[i],
                      (unsigned long long)got[i], (unsigned long long)want[i]);
    if (!e->out.fault) /* several instructions may come before the one that faults */
        ck_assert_msg(s->rip == CODE_AT + end, "%s: %s it ends at %llx", e->text, is,
                      (unsigned long long)s->rip - CODE_AT);
    else
        ck_assert_msg(s->rip < CODE_AT + (u64)(e->end - e->code), "%s: %s it doesn't fault", e->text, is);
    ck_assert_msg(s->vector == (e->out.fault ? e->out.fault - 1 : (u32)VECTOR_GP), "%s: %s vector %u", e->text, is,
                  s->vector);
}

START_TEST(example_comes_out_as_written)
{
    const struct example *e = &__start_examples[_i];
    struct arena a;
    struct emulated *m = emulated_open(&a);
    struct state s;

    fill(e, &a, &s);
    emulated_set(m, &s);
    emulated_run(m, emulated_count(m) + 10000);
    emulated_get(m, &s);
    compare(e, &a, &s, 0, "here");
    emulated_close(m);
}
END_TEST

START_TEST(example_agrees_with_the_host)
{
    const struct example *e = &__start_examples[_i];
    struct arena a;
    struct state s, end;

    if ((e->on_amd && !native_is_amd()) || !native_open(&a))
        return;
    fill(e, &a, &s);
    native_run(&s, &end);
    compare(e, &a, &end, e->out.undefined, "on the host");
    native_close();
}
END_TEST

TCase *example_case(void)
{
    TCase *t = tcase_create("examples");
    int n = (int)(__stop_examples - __start_examples);

    tcase_add_loop_test(t, example_comes_out_as_written, 0, n);
    tcase_add_loop_test(t, example_agrees_with_the_host, 0, n);
    return t;
}
