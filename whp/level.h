/* SPDX-License-Identifier: MIT */
/*
 * API levels: a partition can answer as an older build of Windows would. What came with which build is in the tables of
 * level.c and in functions.inc, and nowhere else.
 */
#ifndef WHP_LEVEL_H
#define WHP_LEVEL_H

#include "state/partition.h"
#include "whp/error.h"

enum {
    LEVEL_LATE_EXITS = 18362, /* since then what chooses exits may be changed after Setup; reference 1.3 */
    LEVEL_NEWEST = 26100
};

bool level_is_known(u32 level);

/* What SOFTWHP=api= asks for: for what belongs to no partition. */
u32 level_of_process(void);

/* The first build that has a code or name; 0: any has. */
u32 level_of_capability(u32 code);
u32 level_of_property(u32 code);
u32 level_of_register(u32 name);

/* Sets of bits, and of values as bits. */
enum level_set {
    LEVEL_FEATURES,   /* WHV_CAPABILITY_FEATURES */
    LEVEL_EXITS,      /* WHV_EXTENDED_VM_EXITS */
    LEVEL_PROCESSOR,  /* WHV_PROCESSOR_FEATURES, */
    LEVEL_PROCESSOR1, /* the second bank, */
    LEVEL_XSAVE,      /* WHV_PROCESSOR_XSAVE_FEATURES */
    LEVEL_SYNTHETIC,  /* WHV_SYNTHETIC_PROCESSOR_FEATURES */
    LEVEL_APIC_MODES, /* WHV_X64_LOCAL_APIC_EMULATION_MODE */
    LEVEL_COUNTERS    /* WHV_PROCESSOR_COUNTER_SET */
};

/* Which bits a level has. */
u64 level_bits(u32 level, enum level_set set);

/* The first level that has all of the bits; 0: any has. */
u32 level_of_bits(enum level_set set, u64 bits);

/*
 * For the first line of functions that not every level has: true, and says so, where the partition's level, or that of
 * the process, hasn't. The function then returns E_NOTIMPL.
 */
bool level_lacks(WHV_PARTITION_HANDLE handle, const char *function);
bool level_of_process_lacks(const char *function);

/* Did exit contexts end before the context of hypercalls came? Then nothing behind their end is written. */
bool level_has_old_context(const struct partition *p);

/* Takes away what the partition's processors have that its level doesn't know. */
void level_use(struct partition *p);

#endif
