/* SPDX-License-Identifier: MIT */
/* Makes a sequence that differs as small as it can be, and says it in one line. */
#ifndef TESTS_FUZZ_SHRINK_H
#define TESTS_FUZZ_SHRINK_H

#include "tests/cpu/sequences.h"

/* Drops instructions, then clears what the rest doesn't need, while a difference stays. */
void shrink(struct bench *b, struct sequence *s);

/* In the notation of tests/cpu/example.h, with what the host came to. */
void print_line(struct bench *b, const struct sequence *s, const char *what);

#endif
