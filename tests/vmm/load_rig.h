/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the loaders share: a guest's file in memory, RAM to load it to, and headers changed at random.
 */
#ifndef TESTS_VMM_LOAD_RIG_H
#define TESTS_VMM_LOAD_RIG_H

#include "../../vmm/load.h"

enum { RIG_MEMORY = 32 << 20, RIG_FILE_SIZE = 0x4000 };

/* The file is `bytes`, which `image` and `files` show; what a loader says is in `start` and `problem`. */
extern struct memory memory;
extern struct layout layout;
extern struct start start;
extern struct problem problem;
extern uint8_t bytes[RIG_FILE_SIZE];
extern struct image image;
extern struct guest_files files;

void rig_setup(void);
void rig_teardown(void);

/* Starts again from nothing, for many loads in one test. */
void afresh(void);

/* That it was refused, with a reason. */
void refused(bool loaded);

uint32_t guest_u32(uint64_t gpa);
uint64_t guest_u64(uint64_t gpa);

/* Loads what `make` makes with some bytes of the span changed, many times: whatever it says, it doesn't crash. */
void load_changed(void (*make)(unsigned round), size_t from, size_t span);

#endif
