/* SPDX-License-Identifier: MIT */
/* Seeded chance for the hostile tests: what a seed gives is the same on every host. */
#ifndef TESTS_WHP_CHANCE_H
#define TESTS_WHP_CHANCE_H

#include <stdlib.h>

#include "state/types.h"

struct chance {
    u64 state;
};

/* splitmix64 */
INLINE u64 chance_any(struct chance *c)
{
    u64 z = c->state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

INLINE u32 chance_below(struct chance *c, u32 n)
{
    return (u32)((chance_any(c) >> 32) * n >> 32);
}

INLINE bool chance_percent(struct chance *c, u32 percent)
{
    return chance_below(c, 100) < percent;
}

#define CHANCE_OF(c, list) (list)[chance_below(c, sizeof(list) / sizeof((list)[0]))]

/* A number from the environment, for campaigns: ROUNDS and SEED. */
INLINE u64 chance_wish(const char *name, u64 otherwise)
{
    const char *text = getenv(name);

    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* FNV-1a over bytes. */
INLINE u64 digest_add(u64 digest, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        digest = (digest ^ ((const u8 *)bytes)[i]) * 0x100000001b3;
    return digest;
}

#endif
