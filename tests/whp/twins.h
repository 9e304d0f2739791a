/* SPDX-License-Identifier: MIT */
/*
 * Two processors that start from the same state: one has all memory mapped, of the other's only the code and the page
 * tables are, and the emulator library completes what leaves, on callbacks that serve the same bytes.
 *
 *   0000  data, for absolute addresses    8000  data         b000  data that can't be written
 *   1000  code                            a000  not present  c000  stack
 *   2000  GDT, LDT, TSS                   (where there is paging)
 *   3000  page tables
 */
#ifndef TESTS_WHP_TWINS_H
#define TESTS_WHP_TWINS_H

#include "include/WinHvEmulation.h"
#include "include/softwhp.h"
#include "state/types.h"

enum {
    TWIN_MEMORY = 0x10000,
    TWIN_CODE = 0x1000,
    TWIN_GDT = 0x2000,
    TWIN_LDT = 0x2400,
    TWIN_TSS = 0x2800,
    TWIN_TABLES = 0x3000,
    TWIN_TABLES_END = 0x7000,
    TWIN_DATA = 0x8000,
    TWIN_ABSENT = 0xa000,
    TWIN_READ_ONLY = 0xb000,
    TWIN_STACK = 0xc000
};

enum twin_mode {
    TWIN_LONG0, TWIN_LONG3, TWIN_COMPAT3, TWIN_PROTECTED0, TWIN_PROTECTED3, TWIN_SHORT0, TWIN_REAL,
    TWIN_VM86, TWIN_MODES
};

/* Selectors. */
enum {
    TWIN_CODE64 = 0x08, TWIN_DATA0 = 0x10, TWIN_CODE32 = 0x18, TWIN_USER_CODE32 = 0x23, TWIN_USER_DATA = 0x2b,
    TWIN_USER_CODE64 = 0x33, TWIN_CODE16 = 0x38, TWIN_DATA16 = 0x40, TWIN_LDT_SELECTOR = 0x48, TWIN_FREE_TSS = 0x58,
    TWIN_BUSY_TSS = 0x68, TWIN_GATE = 0x78, TWIN_IN_LDT = 0x0c
};

/* The state of a processor as register values; twin_index() tells which. */
enum { TWIN_NAMES = 18 + 8 + 2 + 7 + 6 + 26 + 18 + 4 + 2 };
struct twin_state {
    WHV_REGISTER_VALUE v[TWIN_NAMES];
};
unsigned twin_index(u32 name);

struct twin {
    WHV_PARTITION_HANDLE partition;
    u8 *memory;
    WHV_RUN_VP_EXIT_CONTEXT exit;
    struct twin_state state; /* after the instruction */
};

struct twins {
    struct twin plain, served;
    WHV_EMULATOR_HANDLE emulator;
    u8 before[TWIN_MEMORY];
    bool fails;          /* each callback of each emulation fails once, first */

    /* What the callbacks of an emulation did. */
    unsigned calls, fail_at; /* that call fails */
    u32 failed;              /* and is this bit of the status */
    bool is_private;         /* the last call of the one for registers asked for a private name */
    bool misaligns;          /* a translation that is to fail succeeds, with an address inside of a page */
    unsigned sets, emulations;
    /* Of data, not of code, nor of descriptors, which are read for their rights, and again for the accessed bit. */
    unsigned touches;
    struct touch {
        u16 gpa;
        u8 size;
        bool is_write;
    } touch[4096];
    WHV_EMULATOR_STATUS status;
    char why[200];
};

/* hides_code: the served one's code is the callbacks' too, so that each instruction leaves when it's fetched. */
void twins_open(struct twins *t, bool hides_code);
void twins_close(struct twins *t);

/* What a mode starts from: tables in memory and registers. */
void twins_begin(struct twins *t, enum twin_mode mode, struct twin_state *s);

/* Runs the instruction at s->RIP on both, on the plain one's memory as it is. False: they differ, as t->why
 * tells. */
bool twins_run(struct twins *t, const struct twin_state *s);

/* Did the last emulation read or write (by `is_write`) a byte of data twice? A device would see it. */
bool twins_touched_twice(const struct twins *t, bool is_write);

/* ---- between the files of this ---- */

extern const WHV_EMULATOR_CALLBACKS twin_callbacks;
extern WHV_REGISTER_NAME twin_names[TWIN_NAMES];
void twins_name_all(void);

/* Completes the served twin's last exit. False: no success. */
bool twins_emulate(struct twins *t);

#define REG(s, name) ((s)->v[twin_index(WHvX64Register##name)])
#define must(call) twin_need(call, #call)
void twin_need(HRESULT hr, const char *what);

#endif
