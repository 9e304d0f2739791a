/* SPDX-License-Identifier: MIT */
/*
 * Random sequences of instructions come out the same in whole blocks, count by count, in short runs, and on
 * the host's own processor, a quarter of them 32-bit code and a quarter 16-bit code. SEQUENCES=N runs so many from SEED=S on; a
 * failing one is printed with its seed.
 */
#include <check.h>
#include <stdlib.h>

#include "tests/cpu/sequences.h"

Suite *sequences_suite(void);
TCase *rewrite_case(void);
TCase *example_case(void);
TCase *narrow_case(void);

enum { BATCHES = 8, IN_ALL = 6000 };

static u64 setting(const char *name, u64 otherwise)
{
    const char *text = getenv(name);

    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

START_TEST(sequences_come_out_the_same_everywhere)
{
    u64 count = setting("SEQUENCES", IN_ALL), seed = setting("SEED", 1),
        each = (count + BATCHES - 1) / BATCHES;
    struct bench *b = bench_open();
    static const unsigned modes[] = { 64, 16, 64, 32 };
    unsigned bad = 0, most = (unsigned)setting("FAILURES", 1);

    for (u64 i = 0; i < each && bad < most && (u64)_i * each + i < count; i++) {
        struct sequence s;

        sequence_generate(&s, seed + (u64)_i * each + i, modes[_i % 4]);
        for (unsigned round = 0; round < ROUNDS; round++) {
            sequence_start(&s, round);
            if (bench_compare(b, &s, false)) {
                bad++;
                break;
            }
        }
    }
    bench_close(b);
    ck_assert_msg(!bad, "%u sequences differ; see above", bad);
}
END_TEST

Suite *sequences_suite(void)
{
    Suite *s = suite_create("sequences");
    TCase *t = tcase_create("sequences");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, sequences_come_out_the_same_everywhere, 0, BATCHES);
    suite_add_tcase(s, t);
    suite_add_tcase(s, rewrite_case());
    suite_add_tcase(s, example_case());
    suite_add_tcase(s, narrow_case());
    return s;
}
