/* SPDX-License-Identifier: MIT */
/*
 * The machine of tests/whp/guest.h with what events need: an IDT (or vectors), a TSS, segments of level 3, in
 * each mode that a processor has. Every handler is a HLT: a delivered vector v halts at HANDLER(v) + 1.
 */
#ifndef TESTS_CPU_EVENT_MACHINE_H
#define TESTS_CPU_EVENT_MACHINE_H

#include "tests/whp/guest.h"

enum in {
    IN_REAL,
    IN_VM86,
    IN_PROTECTED16,
    IN_PROTECTED32,
    IN_PROTECTED32_USER,
    IN_COMPAT,
    IN_LONG,
    IN_LONG_USER,
    INS
};

enum {
    GDT_AT = 0x1000,
    CODE = GUEST_CODE,
    IDT_AT = 0x9000,
    HANDLERS = 0xa000,
    TSS_AT = 0xb000,
    DATA = 0xc000,
    INNER_STACK = 0xdff0, /* of level 0, when it is entered from level 3 */
    ABSENT = 0x400000     /* linear, in long mode: a page that isn't present */
};
#define HANDLER(v) (HANDLERS + 16u * (v))

enum {
    SELECTOR_CODE32 = 0x08,
    SELECTOR_DATA = 0x10,
    SELECTOR_CODE64 = 0x18,
    SELECTOR_USER_CODE32 = 0x23,
    SELECTOR_USER_DATA = 0x2b,
    SELECTOR_USER_CODE64 = 0x33,
    SELECTOR_TSS = 0x38,
    SELECTOR_CODE16 = 0x48,
    SELECTOR_DATA16 = 0x50
};

struct rig {
    struct guest g;
    enum in in;
    unsigned cpl;  /* that code runs at */
    unsigned slot; /* bytes of each value on a handler's stack */
};

/* X("bytes"): code and its size. */
#define X(bytes) bytes, sizeof(bytes) - 1

void rig_open(struct rig *r, enum in in, const char *code, size_t size);
void rig_close(struct rig *r);

#define rig_get(r, name) guest_get(&(r)->g, WHvX64Register##name)
#define rig_set(r, name, value) guest_set(&(r)->g, WHvX64Register##name, (value))
void rig_poke(struct rig *r, u32 at, const void *bytes, size_t size);

u32 rig_run(struct rig *r);
u32 rig_run_until(struct rig *r, u64 count);
u64 rig_count(struct rig *r);

/* Exceptions that are to leave instead of being delivered. */
void rig_intercept(struct rig *r, u64 vectors);

/* Runs, and fails unless it ends in the handler's HLT, at RIP after a HLT, in a debug exception. */
void rig_halts_in(struct rig *r, unsigned vector);
void rig_halts_at(struct rig *r, u64 rip);
void rig_traps_at(struct rig *r, u64 rip, u64 dr6_bits);
void rig_leaves(struct rig *r, u32 reason, u64 rip);

/* Slot n of the stack of a handler just entered: 0 RIP, 1 CS, 2 RFLAGS; one more behind an error code. */
u64 rig_pushed(struct rig *r, unsigned n);

/* A gate of the IDT in long mode: its stack (0: none) and the low half's bits 47:32, as manuals have them. */
void rig_gate(struct rig *r, unsigned vector, unsigned type, unsigned ist);

/* Is the text in what SwhpExplainLastExit says? */
bool rig_explains(struct rig *r, const char *text);

enum {
    RFLAG_TF = 1 << 8,
    RFLAG_IF = 1 << 9,
    RFLAG_RF = 1 << 16,
    RFLAG_VM = 1 << 17,
    DEBUG_BD = 1 << 13,
    DEBUG_BS = 1 << 14,
    INTERRUPT_GATE = 0x8e,
    WINDOW_NMI = 1,
    WINDOW_INTERRUPT = 2
};
#define LEAVES(reason) ((u32)WHvRunVpExitReason##reason)

#define DR6_RESET 0xffff0ff0u

/* DR7 for breakpoint n: its local enable, kind (0 execute, 1 write, 3 access) and length. */
#define BREAK(n, kind, length) (1u << 2 * (n) | BREAK_KIND(kind, length) << (16 + 4 * (n)))
#define BREAK_KIND(kind, length) ((u32)(kind) | ((length) == 8 ? 2u : (length)-1u) << 2)
enum { ON_EXECUTE = 0, ON_WRITE = 1, ON_PORT = 2, ON_ACCESS = 3 };

/* WHvRegisterPendingInterruption's value. */
#define INJECT(type, vector, length) (1u | (u64)(type) << 1 | (u64)(length) << 5 | (u64)(vector) << 16)
#define INJECT_ERROR(vector, error) (1u | 3u << 1 | 1u << 4 | (u64)(vector) << 16 | (u64)(error) << 32)

TCase *step_case(void);
TCase *breakpoint_case(void);
TCase *data_breakpoint_case(void);
TCase *watch_case(void);
TCase *window_case(void);
TCase *injection_case(void);
TCase *entry_case(void);
TCase *count_case(void);
Suite *debug_suite(void);
Suite *events_suite(void);

#endif
