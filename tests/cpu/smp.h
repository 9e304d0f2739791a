/* SPDX-License-Identifier: MIT */
/*
 * A machine of two processors, or up to four, each on a thread of its own, by the public API alone. Long mode, the first
 * gigabyte mapped one to one, all memory shared.
 */
#ifndef TESTS_CPU_SMP_H
#define TESTS_CPU_SMP_H

#include <check.h>
#include <stdbool.h>

#include "include/softwhp.h"

enum {
    SMP_MEMORY = 8 << 20,
    SMP_CODE = 0x8000,     /* of the first processor; the others' on the pages behind it */
    SMP_DATA = 0x20000,    /* nothing there */
    SMP_PAGES = 0x200000,  /* 2 MiB that are mapped by 4 KiB pages: */
    SMP_TABLE = 0x5000,    /* ... their table */
    SMP_STACK = 0x10000    /* below it; the others' 8000 hex further up each, beside the data of few */
};

/* What one processor does between barriers, and how that ended. */
struct smp_part {
    struct smp *machine;
    UINT32 index;
    WHV_RUN_VP_EXIT_CONTEXT exit;
    HRESULT hr;
};

struct smp {
    WHV_PARTITION_HANDLE partition;
    UINT8 *memory;
    UINT32 processors;
    struct smp_part part[4];
    bool over; /* atomic: runners that go on after each exit stop */
};

#define SMP_BYTES(literal) literal, sizeof literal - 1

void smp_open(struct smp *m);
void smp_open_with(struct smp *m, UINT32 processors);
void smp_close(struct smp *m);

/* Puts code in the processor's page, to be repeated `rounds` times (R12 counts them), then HLT. R13 = 0. */
void smp_repeat(struct smp *m, UINT32 index, UINT32 rounds, const char *code, size_t size);

void smp_set(struct smp *m, UINT32 index, WHV_REGISTER_NAME name, UINT64 value);
UINT64 smp_get(struct smp *m, UINT32 index, WHV_REGISTER_NAME name);

/* Runs all to their HLT, at the same time. */
void smp_run(struct smp *m);

UINT64 smp_load(struct smp *m, UINT32 gpa);
void smp_store(struct smp *m, UINT32 gpa, UINT64 value);

/* R13, what must not be seen, was never seen. */
void smp_check(struct smp *m, UINT32 index, const char *name, UINT32 at);

TCase *smp_guest_case(void);
TCase *smp_code_case(void);
TCase *smp_call_case(void);
TCase *smp_litmus_case(void);

#endif
