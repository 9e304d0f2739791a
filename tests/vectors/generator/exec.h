/* SPDX-License-Identifier: MIT */
/* exec.h - runs one instruction natively from a given state and captures the result. */
#ifndef EXEC_H
#define EXEC_H
#include <stdbool.h>
#include "vmm/swv.h"

enum { RW_FILL = 0x100, CC_FILL = 0xCC, X_TIMEOUT = 0xFE };

extern swv_seg x_seg[6];	/* ES CS SS DS FS GS of the current mode */
extern swv_region x_region[32];
extern int x_nregion;
extern swv_desc x_desc[64];
extern int x_ndesc;
extern uint64_t x_codebase;	/* base of the LDT code segments */
extern uint8_t *x_alias[32];	/* writable alias of each region */
extern uint32_t x_xcr0;		/* extended features that the signal frame carries */

typedef struct { int vector; uint32_t err; uint64_t cr2; } x_fault;

int x_init(int mode);		/* maps the regions, segments and handlers for mode 64, 32 or 16 */
uint8_t *x_ptr(uint64_t lin);	/* alias pointer of a mapped linear address, or NULL */
void x_run(const swv_state *in, swv_state *out, x_fault *f);
#endif
