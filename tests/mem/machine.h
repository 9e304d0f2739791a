/* SPDX-License-Identifier: MIT */
/* A partition with one processor made by hand, for tests of memory alone: no code runs. */
#ifndef TESTS_MEM_MACHINE_H
#define TESTS_MEM_MACHINE_H

#include <check.h>

#include "mem/place.h"
#include "mem/ram.h"
#include "mem/tlb.h"
#include "mem/walk.h"
#include "state/partition.h"
#include "state/vcpu.h"

enum { MEMORY_SIZE = 1 << 20 };

struct machine {
    struct partition partition;
    struct vcpu *cpu;
    u8 *memory; /* mapped at gpa 0 with all rights */
    WHV_RUN_VP_EXIT_CONTEXT exit;
    u64 *table; /* where the next page table goes: table_make() */
};

enum paging { PAGING_NONE, PAGING_32, PAGING_PAE, PAGING_4, PAGING_5, PAGINGS };

struct machine *machine_new(void);
void machine_delete(struct machine *m);

/* Sets the control registers of a paging mode; linear addresses have no translation yet. 64-bit code with 4
 * and 5 levels. */
void machine_set_paging(struct machine *m, enum paging paging);

/* Maps linear to gpa with these leaf bits, and `upper` bits (P, W, U, ...) in all entries above. size: 4 KiB,
 * or that of a large page. Returns the leaf entry's address in host memory. */
void *machine_map(struct machine *m, u64 linear, u64 gpa, u64 leaf, u64 upper, u64 size);

/* What came of an access. */
enum outcome_kind { DONE, FAULT, LEFT };
struct outcome {
    enum outcome_kind kind;
    u8 vector; /* FAULT */
    u32 error;
    u64 cr2;
    WHV_MEMORY_ACCESS_CONTEXT memory; /* LEFT */
    u8 *bytes;                        /* DONE: where they are */
};

/* place_linear() or, for ACCESS_EXECUTE, fetch_page(). */
struct outcome machine_access(struct machine *m, u64 linear, unsigned size, unsigned access);
/* place_segment(). */
struct outcome machine_segment(struct machine *m, unsigned segment, u64 offset, unsigned size,
                               unsigned access);

/* Was it refused with this vector and error, did it leave at gpa, was it done? */
#define ck_faults(o, v, e)                                                                                   \
    ck_assert_msg(is_fault(o, v, e), "not a fault %u with error %x", (unsigned)(v), (unsigned)(e))
#define ck_leaves(o, gpa, type, unmapped)                                                                    \
    ck_assert_msg(is_exit(o, gpa, type, unmapped), "not an exit at %llx", (unsigned long long)(gpa))
#define ck_done(o) ck_assert_int_eq((o).kind, DONE)
bool is_fault(struct outcome o, unsigned vector, u32 error);
bool is_exit(struct outcome o, u64 gpa, unsigned type, bool unmapped);

TCase *ram_cases(void);
TCase *reserved_cases(void);
TCase *rights_cases(void);
TCase *walk_cases(void);
TCase *place_cases(void);
TCase *segment_cases(void);
TCase *tlb_cases(void);
TCase *translate_cases(void);

#endif
