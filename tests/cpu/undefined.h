/* SPDX-License-Identifier: MIT */
/* Machines of tests/cpu/sequences.h whose partitions have a policy for undefined results. */
#ifndef TESTS_CPU_UNDEFINED_H
#define TESTS_CPU_UNDEFINED_H

#include <check.h>

#include "tests/cpu/sequences.h"

struct judged {
    struct emulated *machine;
    struct arena arena;
};

/* By the environment's words: "undefined=seeded,seed=7". */
struct judged judged_open(const char *words);
void judged_close(struct judged *j);

TCase *undefined_runs_case(void);

#endif
