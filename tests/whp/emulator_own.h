/* SPDX-License-Identifier: MIT */
/* An ordinary processor whose exits are emulated, by callbacks that hand on what they are asked. */
#ifndef TESTS_WHP_EMULATOR_OWN_H
#define TESTS_WHP_EMULATOR_OWN_H

#include "tests/whp/emulator_rig.h"
#include "tests/whp/guest.h"

extern struct guest own;
extern u8 device[0x1000]; /* what is at GUEST_HOLE */
extern bool hides_ours;   /* private names are refused */
extern unsigned fail_at;  /* this call of a callback fails; 0: none does */

void own_open_in(WHV_PARTITION_HANDLE p, enum guest_mode mode, const void *code, size_t size);
void own_open(enum guest_mode mode, const void *code, size_t size);
void own_close(void);

/* Into the guest's memory. */
void own_put(u32 at, u64 value);

/* Completes the last exit: the status. */
u32 own_emulate(void);

/* To the next exit that isn't one to the device; `times`: so many of those before, which were completed. */
u32 own_run(unsigned *times);

#define HALT (u32)WHvRunVpExitReasonX64Halt

#endif
