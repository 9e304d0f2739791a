/* SPDX-License-Identifier: MIT */
/* The operations of both floating-point units (cpu/fp_unit.h), side by side in tables. */
#ifndef TESTS_CPU_UNIT_H
#define TESTS_CPU_UNIT_H

#include <check.h>

#include "cpu/vector.h"

/* An operation on two or three registers; what has general registers or flags is brought to this form. */
typedef v128 unit_fn(v128 a, v128 b, v128 c);

struct unit_operation {
    const char *name;
    unit_fn *run;
    unsigned operands;
};

/* The control words and flags belong to the unit, too. */
struct unit {
    const struct unit_operation *operations;
    unsigned count;
    void (*set_mxcsr)(u32 mxcsr);
    u32 (*mxcsr)(void);
};

extern const struct unit unit_portable, unit_native;

TCase *unit_x87_case(void);

#endif
