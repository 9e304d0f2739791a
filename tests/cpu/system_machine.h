/* SPDX-License-Identifier: MIT */
/*
 * A small machine for scenarios of the system: tables, stacks and handlers at known places, one row a
 * scenario.
 *
 * Handlers are a HLT each: a delivered vector v ends at HANDLER(v) + 1. Rows that don't ask for delivery
 * intercept every exception, and so see vector and error code.
 */
#ifndef TESTS_CPU_SYSTEM_MACHINE_H
#define TESTS_CPU_SYSTEM_MACHINE_H

#include <check.h>
#include <stdbool.h>

#include "include/softwhp.h"

enum {
    GDT = 0x3000, TSS = 0x4000, TASK2 = 0x4400, LDT = 0x5000, IDT = 0x2000, CODE = 0x1000, VECTORS = 0,
    STACK0 = 0x7000, STACK3 = 0x7c00, IST1 = 0x6800, HANDLERS = 0x8000, TARGET = 0x9000, USER = 0xa000,
    PML4 = 0x10000, PDPT = 0x11000, PD = 0x12000, SIZE = 0x100000
};
#define HANDLER(v) (HANDLERS + 16u * (v))

/* Selectors of the GDT; system_machine.c has what they name. */
enum {
    CODE64 = 0x08, DATA0 = 0x10, CODE32 = 0x18, USER_CODE32 = 0x23, USER_DATA = 0x2b, USER_CODE64 = 0x33,
    CODE16 = 0x38,
    DATA16 = 0x40, CONFORMING = 0x48, ABSENT_CODE = 0x50, TSS32 = 0x58, TSS64 = 0x60, GATE32 = 0x70,
    GATE64 = 0x78,
    SECOND_TASK = 0x88, TASK_GATE_SELECTOR = 0x90, BAD_CODE = 0x98, ABSENT_DATA = 0xa0, LDT_SELECTOR = 0xa8,
    DATA1 = 0xb1, CODE1 = 0xb9, FREE_TSS64 = 0xc0, GDT_LIMIT = 0xcf,
    SHORT_TSS = 0xe0, OLD_TSS = 0xe8 /* past the limit: for TR to hold. One ends before SS0, the other has 16 bits */
};

enum mode { REAL, VM86, PROTECTED0, PROTECTED3, LONG0, LONG3, COMPAT3 };

/* Exits that rows expect: an exception's vector, or an exit's reason, or a delivered vector. */
#define FAULT(v, e) .reason = WHvRunVpExitReasonException, .vector = (v), .error = (e)
#define HALTS .reason = WHvRunVpExitReasonX64Halt
#define DELIVERS(v) .deliver = true, .reason = WHvRunVpExitReasonX64Halt, .rip = HANDLER(v) + 1

struct reg {
    WHV_REGISTER_NAME name; /* rows end where both are zero: set RAX to 0 by not naming it */
    UINT64 value;           /* of a segment register: a selector; of IDTR, GDTR: the limit, and above it a base or zero */
};

struct poke {
    UINT32 at, size; /* bytes */
    UINT64 value;
};

struct scenario {
    const char *name;
    enum mode mode;
    const char *code; /* assembled by hand, in hex, at CODE */
    struct reg set[8];
    struct poke poke[8];
    bool deliver;
    UINT32 reason, vector, error;
    UINT64 rip;       /* 0: not looked at */
    struct reg want[10];
    struct poke see[10];
};

/* An interrupt that the caller injects. */
#define INJECTED(v) { WHvRegisterPendingInterruption, 1 | (UINT64)(v) << 16 }

#define GPR(n, v) { WHvX64Register##n, (v) }

void play(const struct scenario *s);
/* For many scenarios with the same code: the machine is made for the first of them, and stays until keep_machine(false). */
void keep_machine(bool keep);

TCase *system_calls_cases(void);
TCase *system_delivery_cases(void);
TCase *system_long_cases(void);
TCase *system_ports_cases(void);
TCase *system_priorities_cases(void);
TCase *system_protected_cases(void);
TCase *system_real_cases(void);
TCase *system_registers_cases(void);
TCase *system_register_rows_cases(void);
TCase *system_task_cases(void);
TCase *system_vector_cases(void);
TCase *system_rule_cases(void);
TCase *system_segment_cases(void);
TCase *system_far_cases(void);
TCase *system_iret_cases(void);
Suite *system_suite(void);

#endif
