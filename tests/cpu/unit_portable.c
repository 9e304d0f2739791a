/* SPDX-License-Identifier: MIT */
/* The portable unit's operations. */
#ifndef SWHP_PORTABLE_FP
#define SWHP_PORTABLE_FP
#endif
#include "cpu/fp_unit.h"
#include "tests/cpu/unit.h"

#define UNIT unit_portable
#include "tests/cpu/unit_table.inc"
