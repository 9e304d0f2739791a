/* SPDX-License-Identifier: MIT */
/* The short names of integers, and what we ask of the compiler. */
#ifndef STATE_TYPES_H
#define STATE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t i8;
typedef int16_t i16;
typedef int32_t i32;
typedef int64_t i64;
typedef unsigned __int128 u128;
typedef __int128 i128;

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define INLINE static inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
#define COLD __attribute__((noinline, cold))
#define NORETURN __attribute__((noreturn))

#define PAGE_SIZE 4096u
#define PAGE_MASK (~(u64)4095)

/* Sign extension from a width in bits. */
INLINE u64 sign_extend(u64 v, unsigned width)
{
    return (u64)((i64)(v << (64 - width)) >> (64 - width));
}

/* The low `width` bits set. */
INLINE u64 ones(unsigned width)
{
    return ~(u64)0 >> (64 - width);
}

/*
 * Loads and stores of any alignment, little-endian as the guest's. Processors of a guest race for its memory
 * as they like, which the thread sanitizer is told by atomics.
 */
#ifdef __SANITIZE_THREAD__
INLINE u64 load_bytes(const void *p, unsigned size)
{
    u64 v = 0;

    switch (size) {
    case 1: return __atomic_load_n((const u8 *)p, __ATOMIC_RELAXED);
    case 2: return __atomic_load_n((const u16 *)p, __ATOMIC_RELAXED);
    case 4: return __atomic_load_n((const u32 *)p, __ATOMIC_RELAXED);
    case 8: return __atomic_load_n((const u64 *)p, __ATOMIC_RELAXED);
    default: memcpy(&v, p, size); return v;
    }
}

INLINE void store_bytes(void *p, u64 v, unsigned size)
{
    switch (size) {
    case 1: __atomic_store_n((u8 *)p, (u8)v, __ATOMIC_RELAXED); break;
    case 2: __atomic_store_n((u16 *)p, (u16)v, __ATOMIC_RELAXED); break;
    case 4: __atomic_store_n((u32 *)p, (u32)v, __ATOMIC_RELAXED); break;
    case 8: __atomic_store_n((u64 *)p, v, __ATOMIC_RELAXED); break;
    default: memcpy(p, &v, size);
    }
}

/* Eight bytes at a time, which is no less than memcpy() promises; from the end where that is how they overlap. */
INLINE void move_bytes(void *to, const void *from, size_t size)
{
    bool is_up = (uintptr_t)to <= (uintptr_t)from;

    for (size_t done = 0; done < size;) {
        unsigned n = size - done >= 8 ? 8 : 1;
        size_t at = is_up ? done : size - done - n;

        done += n;
        store_bytes((u8 *)to + at, load_bytes((const u8 *)from + at, n), n);
    }
}

INLINE void copy_bytes(void *to, const void *from, size_t size)
{
    if (size == 4 || size == 2)
        store_bytes(to, load_bytes(from, (unsigned)size), (unsigned)size);
    else
        move_bytes(to, from, size);
}

INLINE void fill_bytes(void *to, u8 v, size_t size)
{
    for (size_t i = 0; i < size; i++)
        store_bytes((u8 *)to + i, v, 1);
}
#else
INLINE u64 load_bytes(const void *p, unsigned size)
{
    u64 v = 0;

    memcpy(&v, p, size);
    return v;
}

INLINE void store_bytes(void *p, u64 v, unsigned size)
{
    memcpy(p, &v, size);
}

/* memcpy(), memmove() and memset() where one side is a guest's memory. */
INLINE void copy_bytes(void *to, const void *from, size_t size)
{
    memcpy(to, from, size);
}

INLINE void move_bytes(void *to, const void *from, size_t size)
{
    memmove(to, from, size);
}

INLINE void fill_bytes(void *to, u8 v, size_t size)
{
    memset(to, v, size);
}
#endif

#endif
