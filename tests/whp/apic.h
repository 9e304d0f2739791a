/* SPDX-License-Identifier: MIT */
/*
 * A small machine with local APICs for the tests of them, made through the API alone. Processors run flat 32-bit code
 * without paging at level 0. Each vector of the IDT leads to an OUT to the port of its own number, so that what is
 * delivered is an exit; then IRET. Ports 1 to 15 are the tests' own marks (vectors that no test lets an APIC have).
 */
#ifndef TESTS_WHP_APIC_H
#define TESTS_WHP_APIC_H

#include "state/apic.h"
#include "tests/whp/guest.h"

enum {
    BOARD_MEMORY = 1 << 20,
    BOARD_CODE = 0x10000,  /* 64 KiB a processor: code, and the stack at their end */
    BOARD_STUBS = 0x4000,
    BOARD_DONE = 1         /* the port that ends what board_do() runs */
};

struct board {
    WHV_PARTITION_HANDLE partition;
    u8 *memory;
    u32 processors;
    WHV_RUN_VP_EXIT_CONTEXT exit[4];
};

/* mode: WHV_X64_LOCAL_APIC_EMULATION_MODE; clock: SWHP_CLOCK; exits: extended VM exits. All processors may run. */
void board_open(struct board *b, u32 mode, u32 processors, u32 clock, u64 exits);
void board_close(struct board *b);
extern u64 board_hz;   /* InterruptClockFrequency of those to be opened; 0: as it comes, 200 MHz, the TSC's is 1 GHz */
extern u64 board_synthetic; /* the bank of SyntheticProcessorFeaturesBanks, likewise */
extern u32 board_rate; /* TSC ticks a count, likewise */
extern u64 board_seed;

/* Puts a processor into the mode of the others: again, after an INIT. */
void board_ready(struct board *b, u32 vp);

/* From now on handlers end their interrupts, behind the OUT. */
void board_eoi(struct board *b);

/* Makes a processor stand at: sti; nop; jmp to itself. */
void board_loop(struct board *b, u32 vp);

/* ---- code, put together ---- */

struct code {
    u8 bytes[512];
    u32 size;
};

void code_bytes(struct code *c, const void *bytes, u32 size);
#define CODE(c, ...) code_bytes(c, (const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))
void code_write(struct code *c, unsigned n, u32 value); /* to a register in the page */
void code_wrmsr(struct code *c, u32 index, u64 value);

/* Makes processor `vp` stand at the code's start, at its CODE. */
void board_put(struct board *b, u32 vp, const struct code *c);

/* Runs to the next exit; the port, or 10000 + the reason. */
u32 board_run(struct board *b, u32 vp);
#define REASON(r) (0x10000u + (u32)(r))

/* Behind the OUT that left. */
void board_pass(struct board *b, u32 vp);

/* Puts, runs. BOARD_DONE is put behind the code. */
u32 board_do(struct board *b, u32 vp, struct code *c);

/* One access by the guest, and what came of it: a value, or the first exit if that isn't the end. */
u32 board_write(struct board *b, u32 vp, unsigned n, u32 value);
u32 board_read(struct board *b, u32 vp, unsigned n);
u32 board_wrmsr(struct board *b, u32 vp, u32 index, u64 value);
u64 board_rdmsr(struct board *b, u32 vp, u32 index);
enum { BOARD_GP = 13 };

u64 board_get(struct board *b, u32 vp, u32 name);
void board_set(struct board *b, u32 vp, u32 name, u64 value);
u64 board_count(struct board *b, u32 vp);
u64 board_clock(struct board *b);

/* WHvRequestInterrupt: physical and edge unless flags say otherwise. */
enum { LOGICAL = 1, LEVEL = 2 };
HRESULT board_request(struct board *b, u32 type, u32 destination, u32 vector, u32 flags);

TCase *apic_register_case(void);
TCase *apic_msr_case(void);
TCase *apic_priority_case(void);
TCase *apic_timer_case(void);
TCase *apic_ipi_case(void);
TCase *apic_x2_ipi_case(void);
TCase *apic_start_case(void);
TCase *apic_request_case(void);
TCase *apic_sleep_case(void);
TCase *apic_state_case(void);

#endif
