/* SPDX-License-Identifier: MIT */
/*
 * Litmus tests of the order of memory: what each processor does to two cells, in many rounds with cells of their own,
 * and the outcomes that x86 rules out. SDM 3A 8.2.3, whose examples these are; Sewell and others, x86-TSO (2010).
 */
#include "tests/cpu/smp.h"

#include <string.h>

enum {
    CELLS = SMP_PAGES,       /* a round's: x at 0, y at 64 */
    RESULTS = 0x700000,      /* of the first processor: two bytes a round; the others' behind it */
    RESULTS_SIZE = 0x20000,
    BARRIER = 0x7f0000,
    ROUNDS = 19200           /* with a barrier after each 64 of them */
};

/* RSI: the round's cells. What was read goes to AL and DL; EBX is 1. */
#define BODY(name, text)                                                                                               \
    extern const UINT8 name[], name##_end[];                                                                           \
    __asm__(".pushsection .rodata\n.intel_syntax noprefix\n" #name ":\n" text "\n" #name                               \
            "_end:\n.att_syntax prefix\n.popsection\n")
#define X "dword ptr [rsi]"
#define Y "dword ptr [rsi + 64]"

BODY(litmus_before, "test r12d, 63; jnz 2f; add r8d, r10d; lock inc dword ptr [rdi];"
                    "1: cmp [rdi], r8d; jae 2f; pause; jmp 1b; 2:");
BODY(litmus_after, "mov [r9], al; mov [r9 + 1], dl; add r9, 2; add rsi, 128");

BODY(store_x_load_y, "mov " X ", ebx; mov eax, " Y);
BODY(store_y_load_x, "mov " Y ", ebx; mov eax, " X);
BODY(store_x_fence_load_y, "mov " X ", ebx; mfence; mov eax, " Y);
BODY(store_y_fence_load_x, "mov " Y ", ebx; mfence; mov eax, " X);
BODY(store_x_lock_load_y, "mov " X ", ebx; lock or dword ptr [rsp - 64], 0; mov eax, " Y);
BODY(store_y_lock_load_x, "mov " Y ", ebx; lock or dword ptr [rsp - 64], 0; mov eax, " X);
BODY(exchange_x_load_y, "mov ecx, 1; xchg " X ", ecx; mov eax, " Y);
BODY(exchange_y_load_x, "mov ecx, 1; xchg " Y ", ecx; mov eax, " X);
BODY(store_x_store_y, "mov " X ", ebx; mov " Y ", ebx");
BODY(load_y_load_x, "mov eax, " Y "; mov edx, " X);
BODY(load_x_load_y, "mov eax, " X "; mov edx, " Y);
BODY(load_x_store_y, "mov eax, " X "; mov " Y ", ebx");
BODY(load_y_store_x, "mov eax, " Y "; mov " X ", ebx");
BODY(store_x_1_y_2, "mov " X ", 1; mov " Y ", 2");
BODY(store_y_1_x_2, "mov " Y ", 1; mov " X ", 2");
BODY(store_x, "mov " X ", ebx");
BODY(store_y, "mov " Y ", ebx");
BODY(load_x_twice, "mov eax, " X "; mov edx, " X);
BODY(forwarded_x, "mov " X ", ebx; mov eax, " X "; mov edx, " Y);
BODY(forwarded_y, "mov " Y ", ebx; mov eax, " Y "; mov edx, " X);
BODY(lock_x, "lock inc " X);
BODY(lock_y, "lock inc " Y);
BODY(string_x_then_y, "push rdi; push rsi; lea rdi, [rsi]; lea rsi, [rip + 1f]; mov ecx, 8; rep movsb; pop rsi;"
                      "pop rdi; mov " Y ", ebx; jmp 2f; 1: .quad 1; 2:");
BODY(vector_x_then_y, "movd xmm0, ebx; movups [rsi], xmm0; movd " Y ", xmm0");

/* A round: the results of up to four processors, and what the cells hold in the end. */
struct outcome {
    UINT8 a[4], d[4];
    UINT32 x, y;
};

static bool both_zero(const struct outcome *o) { return !o->a[0] && !o->a[1]; }
static bool both_one(const struct outcome *o) { return o->a[0] && o->a[1]; }
static bool flag_without_data(const struct outcome *o) { return o->a[1] && !o->d[1]; }
static bool one_then_zero(const struct outcome *o) { return o->a[1] && !o->d[1]; }
static bool first_stores_last(const struct outcome *o) { return o->x == 1 && o->y == 1; }
static bool nobody_sees_himself(const struct outcome *o) { return !o->a[0] || !o->a[1]; }
static bool orders_differ(const struct outcome *o) { return o->a[2] && !o->d[2] && o->a[3] && !o->d[3]; }
static bool never(const struct outcome *o) { (void)o; return false; }

#define CODE(name) { name, name##_end }

static const struct litmus {
    const char *name;
    struct {
        const UINT8 *code, *end;
    } part[4];
    bool (*is_forbidden)(const struct outcome *o);
} tests[] = {
    { "SB", { CODE(store_x_load_y), CODE(store_y_load_x) }, never },
    { "SB with MFENCE", { CODE(store_x_fence_load_y), CODE(store_y_fence_load_x) }, both_zero },
    { "SB with LOCK", { CODE(store_x_lock_load_y), CODE(store_y_lock_load_x) }, both_zero },
    { "SB with XCHG", { CODE(exchange_x_load_y), CODE(exchange_y_load_x) }, both_zero },
    { "MP", { CODE(store_x_store_y), CODE(load_y_load_x) }, flag_without_data },
    { "MP with REP MOVSB", { CODE(string_x_then_y), CODE(load_y_load_x) }, flag_without_data },
    { "MP with MOVUPS", { CODE(vector_x_then_y), CODE(load_y_load_x) }, flag_without_data },
    { "LB", { CODE(load_x_store_y), CODE(load_y_store_x) }, both_one },
    { "2+2W", { CODE(store_x_1_y_2), CODE(store_y_1_x_2) }, first_stores_last },
    { "CoRR", { CODE(store_x), CODE(load_x_twice) }, one_then_zero },
    { "forwarding", { CODE(forwarded_x), CODE(forwarded_y) }, nobody_sees_himself },
    { "IRIW", { CODE(store_x), CODE(store_y), CODE(load_x_load_y), CODE(load_y_load_x) }, orders_differ },
    { "IRIW with LOCK", { CODE(lock_x), CODE(lock_y), CODE(load_x_load_y), CODE(load_y_load_x) }, orders_differ },
};

static void put_part(struct smp *m, UINT32 index, const struct litmus *t, UINT32 rounds)
{
    static const UINT8 *const around[] = { litmus_before, litmus_before_end, litmus_after, litmus_after_end };
    char code[512];
    size_t size = 0;

    for (unsigned i = 0; i < 3; i++) {
        const UINT8 *from = i == 1 ? t->part[index].code : around[i];
        const UINT8 *end = i == 1 ? t->part[index].end : around[i + 1];

        memcpy(code + size, from, (size_t)(end - from));
        size += (size_t)(end - from);
    }
    smp_repeat(m, index, rounds, code, size);
    smp_set(m, index, WHvX64RegisterRdi, BARRIER);
    smp_set(m, index, WHvX64RegisterRsi, CELLS);
    smp_set(m, index, WHvX64RegisterRbx, 1);
    smp_set(m, index, WHvX64RegisterR8, 0);
    smp_set(m, index, WHvX64RegisterR9, RESULTS + index * RESULTS_SIZE / 2);
    smp_set(m, index, WHvX64RegisterR10, m->processors);
    smp_set(m, index, WHvX64RegisterCr4, 0x620); /* and SSE */
}

START_TEST(no_outcome_that_x86_forbids)
{
    const struct litmus *t = &tests[_i];
    UINT32 processors = t->part[2].code ? 4 : 2, rounds = ROUNDS / processors * 2;
    struct smp m;

    smp_open_with(&m, processors);
    for (UINT32 i = 0; i < processors; i++)
        put_part(&m, i, t, rounds);
    smp_run(&m);
    for (UINT32 round = 0; round < rounds; round++) {
        struct outcome o = { .x = (UINT32)smp_load(&m, CELLS + round * 128),
                             .y = (UINT32)smp_load(&m, CELLS + round * 128 + 64) };

        for (UINT32 i = 0; i < processors; i++) {
            o.a[i] = m.memory[RESULTS + i * RESULTS_SIZE / 2 + round * 2];
            o.d[i] = m.memory[RESULTS + i * RESULTS_SIZE / 2 + round * 2 + 1];
        }
        ck_assert_msg(o.x && (o.y || t->part[0].code == store_x), "%s, round %u: something was never stored", t->name,
                      round);
        ck_assert_msg(!t->is_forbidden(&o), "%s, round %u: %u %u, %u %u, %u %u, %u %u; x %u, y %u", t->name, round,
                      o.a[0], o.d[0], o.a[1], o.d[1], o.a[2], o.d[2], o.a[3], o.d[3], o.x, o.y);
    }
    smp_close(&m);
}
END_TEST

TCase *smp_litmus_case(void)
{
    TCase *t = tcase_create("smp-litmus");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, no_outcome_that_x86_forbids, 0, sizeof tests / sizeof *tests);
    return t;
}
