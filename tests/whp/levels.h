/* SPDX-License-Identifier: MIT */
/* API levels, and partitions at one. */
#ifndef TESTS_WHP_LEVELS_H
#define TESTS_WHP_LEVELS_H

#include <stdio.h>
#include <stdlib.h>

#include "tests/whp/guest.h"

static const u32 levels[] = { 17763, 19041, 20348, 22000, 26100 };
#define LEVELS ((int)(sizeof levels / sizeof levels[0]))
#define API_LEVEL ((WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeApiLevel)

INLINE WHV_PARTITION_HANDLE at_level(u32 level)
{
    WHV_PARTITION_HANDLE p;
    u32 count = 1;

    ck_ok(WHvCreatePartition(&p));
    ck_ok(WHvSetPartitionProperty(p, API_LEVEL, &level, sizeof level));
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, &count, sizeof count));
    return p;
}

INLINE void set_environment(u32 level)
{
    char text[32];

    snprintf(text, sizeof text, "api=%u,clock=virtual", level);
    ck_assert_int_eq(setenv("SOFTWHP", text, 1), 0);
}

TCase *level_function_case(void);

#endif
