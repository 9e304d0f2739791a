/* SPDX-License-Identifier: MIT */
/*
 * A small machine for the tests of the API, made through the API alone: one processor on a virtual clock in
 * one of three modes, and a megabyte of memory.
 *
 *   0000  IVT (real mode)        5000  a page without the right to write
 *   1000  GDT                    6000  a hole: nothing mapped
 *   2000  page tables (long)     7000  a page without the right to execute
 *   8000  code                   7ff0  the stack
 */
#ifndef TESTS_WHP_GUEST_H
#define TESTS_WHP_GUEST_H

#include <check.h>

#include "include/softwhp.h"
#include "state/types.h"

enum guest_mode { GUEST_REAL, GUEST_PROTECTED, GUEST_LONG, GUEST_MODES };

enum {
    GUEST_MEMORY = 1 << 20,
    GUEST_READ_ONLY = 0x5000,
    GUEST_HOLE = 0x6000,
    GUEST_NO_EXECUTE = 0x7000,
    GUEST_CODE = 0x8000,
    GUEST_STACK = 0x7ff0
};

struct guest {
    WHV_PARTITION_HANDLE partition;
    u8 *memory;
    WHV_RUN_VP_EXIT_CONTEXT exit;
};

/* A partition with so many processors, set up, with the virtual clock; nothing mapped. */
WHV_PARTITION_HANDLE partition_new(u32 processors);

/* The banks of features: ProcessorFeaturesBanks' two, and ProcessorXsaveFeatures. */
enum { GUEST_BANKS = 3 };

/* A partition with one processor, without the features of `away`. */
WHV_PARTITION_HANDLE partition_without(const u64 away[GUEST_BANKS]);

void guest_open(struct guest *g, enum guest_mode mode, const void *code, size_t size);

/* The same in a partition of the caller's making, which is set up and has no processor yet. */
void guest_open_in(struct guest *g, WHV_PARTITION_HANDLE p, enum guest_mode mode, const void *code, size_t size);
void guest_close(struct guest *g);
void guest_enable_exits(struct guest *g, u64 exits, u64 exceptions);

/* Runs, and returns the exit's reason, which is in g->exit too. */
u32 guest_run(struct guest *g);
void *guest_run_thread(void *guest); /* the same, for a thread */

/* Of this process; 0 where the host doesn't tell. */
long resident_pages(void);

/* Of the partition's state: SwhpStateHash. */
SWHP_DIGEST partition_digest(WHV_PARTITION_HANDLE p);

u64 guest_get(struct guest *g, WHV_REGISTER_NAME name);
void guest_set(struct guest *g, WHV_REGISTER_NAME name, u64 value);

#define ck_hr(call, wanted)                                                                                  \
    do {                                                                                                     \
        HRESULT hr_got_ = (call), hr_wanted_ = (wanted);                                                     \
        ck_assert_msg(hr_got_ == hr_wanted_, #call " is %08x, not %08x", (u32)hr_got_, (u32)hr_wanted_);     \
    } while (0)
#define ck_ok(call) ck_hr(call, S_OK)

TCase *lifecycle_case(void);
TCase *property_case(void);
TCase *register_case(void);
TCase *memory_case(void);
TCase *dirty_case(void);
TCase *vp_state_case(void);
TCase *counter_case(void);
TCase *cpuid_case(void);
TCase *msr_action_case(void);
TCase *cancel_case(void);
TCase *exit_case(void);
TCase *observe_case(void);
TCase *hostile_case(void);
TCase *garbage_case(void);
TCase *glutton_case(void);
TCase *fickle_case(void);

#endif
