/* SPDX-License-Identifier: MIT */
/*
 * Runs with a policy for undefined results: the same however they are cut, the same for a seed, others for another; and
 * nothing that a handler for several instructions, or one that writes no flags, has taken over.
 */
#include "tests/cpu/undefined.h"

#include <stdlib.h>
#include <string.h>

#include "tests/whp/guest.h"

/* ---- random sequences ---- */

enum { SEQUENCES_EACH = 250, NO_LIMIT = 20000 };

enum cut { WHOLE, BY_COUNT, BY_PARTS, CUTS };

static void run_sequence(struct judged *j, const struct sequence *s, enum cut cut, struct state *end)
{
    u64 begin, n = 0, random = s->seed;

    sequence_fill(s, &j->arena);
    emulated_set(j->machine, &s->start);
    begin = emulated_count(j->machine);
    do
        n += cut == WHOLE ? NO_LIMIT : cut == BY_COUNT ? 1 : 1 + random_next(&random) % 9;
    while (n <= NO_LIMIT && emulated_run(j->machine, begin + (n < NO_LIMIT ? n : NO_LIMIT)) && n < NO_LIMIT);
    emulated_get(j->machine, end);
}

START_TEST(a_run_in_pieces_is_the_run_in_one)
{
    struct judged j[CUTS];

    for (unsigned c = 0; c < CUTS; c++)
        j[c] = judged_open("undefined=seeded,seed=11");
    for (u64 seed = 1; seed <= SEQUENCES_EACH; seed++) {
        struct sequence s;
        struct state end[CUTS];

        sequence_generate(&s, seed + 1000 * (u64)_i, _i ? 32 : 64);
        sequence_start(&s, 0);
        for (unsigned c = 0; c < CUTS; c++)
            run_sequence(&j[c], &s, (enum cut)c, &end[c]);
        for (unsigned c = 1; c < CUTS; c++) {
            ck_assert_uint_eq(emulated_count(j[c].machine), emulated_count(j[0].machine));
            ck_assert_msg(!memcmp(&end[c], &end[0], sizeof end[0]), "sequence %d: registers differ", (int)seed);
            ck_assert_msg(!memcmp(j[c].arena.data, j[0].arena.data, DATA_SIZE) &&
                              !memcmp(j[c].arena.stack, j[0].arena.stack, STACK_SIZE),
                          "sequence %d: memory differs", (int)seed);
        }
    }
    for (unsigned c = 0; c < CUTS; c++)
        judged_close(&j[c]);
}
END_TEST

/* ---- a program that writes down what it sees ---- */

extern const u8 undefined_program[], undefined_program_end[];

__asm__(".pushsection .rodata\n.intel_syntax noprefix\n"
        ".macro see\n lahf\n mov [rdi], ah\n seto [rdi + 1]\n fnstsw [rdi + 2]\n add rdi, 4\n.endm\n"
        "undefined_program:\n"
        "fninit\n fld1\n fld1\n faddp\n mov ecx, 50\n"
        "1: imul rax, rbx\n see\n"
        "lock and dword ptr [rsi], 0x5a5a\n see\n"
        "lock bts dword ptr [rsi], 3\n see\n"
        "test eax, ebx\n jle 2f\n mov byte ptr [rdi], 1\n 2: see\n" /* a handler for both, else */
        "xor eax, eax\n sub eax, 5\n see\n"                        /* nobody reads AF of the first */
        "or rax, rbx\n mov rdx, [rsi]\n see\n"
        "mov eax, 1000\n cdq\n mov ebp, 7\n div ebp\n see\n"
        "shl ebx, 5\n see\n shl bl, 12\n see\n ror rbx, cl\n see\n"
        "shld dx, bx, 20\n mov [rdi], dx\n add rdi, 2\n"
        "shrd word ptr [rsi], bx, 31\n see\n"
        ".byte 0x66, 0x0f, 0xc8\n mov [rdi], ax\n add rdi, 2\n" /* bswap ax */
        "push rsi\n push rdi\n push rcx\n mov rdi, rsi\n mov ecx, 4\n repe cmpsb\n pop rcx\n pop rdi\n pop rsi\n see\n"
        "fld st(0)\n f2xm1\n fstp tbyte ptr [rdi]\n add rdi, 10\n see\n"
        "fld st(0)\n fchs\n fstp st(1)\n fnclex\n see\n"
        "movq xmm0, [rsi]\n extrq xmm0, 4, 9\n movups [rdi], xmm0\n add rdi, 16\n"
        "dec ecx\n jnz 1b\n hlt\n"
        "undefined_program_end:\n.att_syntax prefix\n.popsection\n");

enum { SEEN_AT = 0x20000, SEEN_SIZE = 0x4000, DATA_HERE = 0x10000 };

/* TF: the host sees each trap. */
enum way { AT_ONCE, IN_ONES, IN_SEVENS, WITH_TF };

struct seen {
    u8 bytes[SEEN_SIZE];
    SWHP_DIGEST digest;
    u64 count;
};

static void run_program(const char *words, enum way way, struct seen *seen)
{
    struct guest g;
    u64 count = 0;
    u32 reason;

    ck_assert_int_eq(setenv("SOFTWHP", words, 1), 0);
    guest_open(&g, GUEST_LONG, undefined_program, (size_t)(undefined_program_end - undefined_program));
    ck_assert_int_eq(unsetenv("SOFTWHP"), 0);
    guest_set(&g, WHvX64RegisterRsi, DATA_HERE);
    guest_set(&g, WHvX64RegisterRdi, SEEN_AT);
    guest_set(&g, WHvX64RegisterRax, 0x123456789abcdef);
    guest_set(&g, WHvX64RegisterRbx, 0xfedcba987654321);
    guest_set(&g, WHvX64RegisterCr4, guest_get(&g, WHvX64RegisterCr4) | CR4_OSFXSR);
    if (way == WITH_TF) {
        guest_enable_exits(&g, 4, 2);
        guest_set(&g, WHvX64RegisterRflags, 0x102);
    }
    do {
        count += way == IN_ONES ? 1 : way == IN_SEVENS ? 7 : 1000000;
        ck_ok(SwhpRunVirtualProcessorUntil(g.partition, 0, count, &g.exit, sizeof g.exit));
        reason = (u32)g.exit.ExitReason;
    } while ((way != AT_ONCE && reason == (u32)SwhpRunVpExitReasonCount) || reason == WHvRunVpExitReasonException);
    ck_assert_uint_eq(reason, WHvRunVpExitReasonX64Halt);
    if (way == WITH_TF)
        guest_set(&g, WHvX64RegisterRflags, guest_get(&g, WHvX64RegisterRflags) & ~(u64)0x100);
    memcpy(seen->bytes, g.memory + SEEN_AT, SEEN_SIZE);
    ck_ok(SwhpStateHash(g.partition, &seen->digest));
    ck_ok(SwhpGetInstructionCount(g.partition, 0, &seen->count));
    guest_close(&g);
}

static bool is_same(const struct seen *a, const struct seen *b)
{
    return !memcmp(&a->digest, &b->digest, sizeof a->digest);
}

START_TEST(however_it_is_cut_or_stepped_it_sees_the_same)
{
    static const char *const policies[] = { "undefined=hardware", "undefined=zero", "undefined=seeded,seed=5" };
    struct seen once, other;

    run_program(policies[_i], AT_ONCE, &once);
    ck_assert_uint_gt(once.count, 50 * 80);
    for (enum way way = IN_ONES; way <= WITH_TF; way++) {
        run_program(policies[_i], way, &other);
        ck_assert_uint_eq(other.count, once.count);
        ck_assert_msg(!memcmp(other.bytes, once.bytes, SEEN_SIZE), "way %d: it sees something else", way);
        ck_assert(way == WITH_TF || is_same(&other, &once)); /* DR6 tells of the traps */
    }
}
END_TEST

START_TEST(each_seed_has_its_own)
{
    struct seen a, b;

    run_program("undefined=seeded,seed=5", AT_ONCE, &a);
    run_program("undefined=seeded,seed=5", AT_ONCE, &b);
    ck_assert(is_same(&a, &b));
    run_program("undefined=seeded,seed=6", AT_ONCE, &b);
    ck_assert(!is_same(&a, &b));
    run_program("undefined=zero,seed=5", AT_ONCE, &a);
    run_program("undefined=zero,seed=6", AT_ONCE, &b);
    ck_assert(!memcmp(a.bytes, b.bytes, SEEN_SIZE));
    run_program("undefined=hardware", AT_ONCE, &b);
    ck_assert(memcmp(a.bytes, b.bytes, SEEN_SIZE));
}
END_TEST

/* The same code from the same count on, by two processors of one partition. */
START_TEST(each_processor_has_its_own)
{
    /* mov cx, 64; 1: and al, al; lahf; mov [di], ah; inc di; loop 1b; hlt */
    static const u8 code[] = { 0xb9, 64, 0, 0x20, 0xc0, 0x9f, 0x88, 0x25, 0x47, 0xe2, 0xf8, 0xf4 };
    static const WHV_REGISTER_NAME names[] = { WHvX64RegisterCs, WHvX64RegisterDs, WHvX64RegisterRip };
    enum { NAMES = sizeof names / sizeof *names, NOTES = 0x9000 };
    WHV_REGISTER_NAME rdi = WHvX64RegisterRdi;
    WHV_REGISTER_VALUE values[NAMES], second = { .Reg64 = NOTES + 64 };
    struct guest g;

    ck_assert_int_eq(setenv("SOFTWHP", "undefined=seeded,seed=5", 1), 0);
    guest_open_in(&g, partition_new(2), GUEST_REAL, code, sizeof code);
    ck_assert_int_eq(unsetenv("SOFTWHP"), 0);
    ck_ok(WHvCreateVirtualProcessor(g.partition, 1, 0));
    ck_ok(WHvGetVirtualProcessorRegisters(g.partition, 0, names, NAMES, values));
    ck_ok(WHvSetVirtualProcessorRegisters(g.partition, 1, names, NAMES, values));
    guest_set(&g, WHvX64RegisterRdi, NOTES);
    ck_ok(WHvSetVirtualProcessorRegisters(g.partition, 1, &rdi, 1, &second));
    for (u32 i = 0; i < 2; i++) {
        ck_ok(WHvRunVirtualProcessor(g.partition, i, &g.exit, sizeof g.exit));
        ck_assert_uint_eq(g.exit.ExitReason, WHvRunVpExitReasonX64Halt);
    }
    ck_assert(memcmp(g.memory + NOTES, g.memory + NOTES + 64, 64));
    guest_close(&g);
}
END_TEST

/* What the program notes of undefined bits, by offset. */
START_TEST(the_program_sees_zeros)
{
    enum { ALL = 0xff, CONDITIONS = 0x45 }; /* LAHF's byte, SETO's, the status word's upper one, results */
    static const struct {
        u8 at, size, mask;
    } zeros[] = {
        { 0, 1, SF | ZF | AF | PF }, { 4, 1, AF },                  /* imul; lock and */
        { 8, 1, SF | AF | PF },      { 9, 1, 1 },                   /* lock bts */
        { 12, 1, AF },               { 20, 1, AF },                 /* test and a jump; or */
        { 24, 1, ALL & ~2 },         { 25, 1, 1 },                  /* div */
        { 28, 1, AF },               { 29, 1, 1 },                  /* shl by 5 */
        { 32, 1, AF | CF },          { 33, 1, 1 },                  /* shl bl by 12 */
        { 37, 1, 1 },                { 40, 2, ALL },                /* ror; shld by 20 */
        { 42, 1, ALL & ~2 },         { 43, 1, 1 },  { 46, 2, ALL }, /* shrd by 31; bswap ax */
        { 52, 10, ALL },             { 65, 1, CONDITIONS },         /* f2xm1 of 2; fstp */
        { 69, 1, CONDITIONS | 2 },   { 78, 8, ALL },                /* fnclex; extrq */
    };
    struct seen s;

    run_program("undefined=zero", AT_ONCE, &s);
    for (unsigned i = 0; i < sizeof zeros / sizeof *zeros; i++)
        for (unsigned k = 0; k < zeros[i].size; k++)
            ck_assert_msg(!(s.bytes[zeros[i].at + k] & zeros[i].mask), "at %d it sees %x", zeros[i].at + k,
                          s.bytes[zeros[i].at + k]);
}
END_TEST

TCase *undefined_runs_case(void)
{
    TCase *t = tcase_create("runs");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, a_run_in_pieces_is_the_run_in_one, 0, 2);
    tcase_add_loop_test(t, however_it_is_cut_or_stepped_it_sees_the_same, 0, 3);
    tcase_add_test(t, each_seed_has_its_own);
    tcase_add_test(t, each_processor_has_its_own);
    tcase_add_test(t, the_program_sees_zeros);
    return t;
}
