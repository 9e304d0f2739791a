/* SPDX-License-Identifier: MIT */
/*
 * A guest that means harm: random code, tables and registers in every mode, all from one seed.
 *
 *   page 0      interrupt vectors, data          16-23  code
 *   1 GDT  2 IDT  3 TSS  4 LDT  5 TSS of another task    24-47  data, stacks, page 40 an XSAVE image
 *   8-15 page tables: PML5, PML4, PDPT, PD, PT, PD and PT of 4-byte entries, PDPTEs of PAE    48-63 more
 */
#ifndef TESTS_WHP_HOSTILE_H
#define TESTS_WHP_HOSTILE_H

#include "include/WinHvEmulation.h"
#include "tests/whp/chance.h"
#include "tests/whp/guest.h"

enum {
    HOSTILE_PAGES = 64,
    HOSTILE_SIZE = HOSTILE_PAGES * 4096,
    HOSTILE_GDT = 0x1000,
    HOSTILE_IDT = 0x2000,
    HOSTILE_TSS = 0x3000,
    HOSTILE_LDT = 0x4000,
    HOSTILE_TASK = 0x5000,
    HOSTILE_TABLES = 0x8000,
    HOSTILE_CODE = 0x10000,
    HOSTILE_DATA = 0x18000,
    HOSTILE_MAPPED = 0x30000
};

struct hostile {
    WHV_PARTITION_HANDLE partition;
    u8 *memory; /* HOSTILE_SIZE bytes, no access before and after them */
    struct chance chance;
    bool is_lying; /* the caller's own callbacks fail at times */
    bool has_apic;
};

void hostile_open(struct hostile *h, u64 seed);
void hostile_close(struct hostile *h);

/* Random registers of a random mode, most of them sensible. */
void hostile_registers(struct hostile *h);

/* Sets one register; a refusal is fine, if it is the one for values. */
void hostile_set(struct hostile *h, WHV_REGISTER_NAME name, const WHV_REGISTER_VALUE *v);
void hostile_set64(struct hostile *h, WHV_REGISTER_NAME name, u64 value);

/* A random register gets a random value. */
void hostile_garbage(struct hostile *h);

/* Maps, remaps or unmaps something. */
void hostile_remap(struct hostile *h);

/* An address or number that is likely to hurt. */
u64 hostile_value(struct chance *c);

/* Fills memory anew. */
void hostile_fill(struct hostile *h);

/* Random code. bits: 16, 32 or 64. */
void hostile_code(struct chance *c, u8 *to, size_t size, unsigned bits);

/* The caller: its emulator, and what it does with an exit. Returns the emulation's status, if there was one.
 */
void hostile_devices_open(void);
void hostile_devices_close(void);
u32 hostile_answer(struct hostile *h, const WHV_RUN_VP_EXIT_CONTEXT *x);

/* Interrupts, the APIC's registers and state, lists: a little of them. And a digest of the counters. */
void hostile_interrupts(struct hostile *h);
u64 hostile_count(const struct hostile *h);

/* TRACE=1: tells on standard output what happens. */
extern bool hostile_traces;

#endif
