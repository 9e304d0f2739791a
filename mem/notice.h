/* SPDX-License-Identifier: MIT */
/* Who wants to know of an access to guest memory: data breakpoints, and decoded code on this processor and on others. */
#ifndef MEM_NOTICE_H
#define MEM_NOTICE_H

#include "state/vcpu.h"

/* What place_commit() has to do: bits of place.notice. */
enum {
    NOTICE_BOUNCE = 1 << 0, /* the bytes are still in `bounce` */
    NOTICE_FIRST = 1 << 1,  /* somebody watches the first page */
    NOTICE_SECOND = 1 << 2,
    NOTICE_APIC = 1 << 3,   /* the first page is the local APIC's: `bounce` goes to its registers */
    NOTICE_BELL = 1 << 4    /* there is no memory: `bounce` rings a doorbell, or the access leaves */
};

/* `size` bytes of one page were written: code that was decoded from them is stale from the next instruction
 * on. False: the page holds no code at all. */
bool notice_write(struct vcpu *cpu, u64 gpa, unsigned size);

/* Data breakpoints that an access (enum access) meets are due after the instruction. */
void meet_breakpoints(struct vcpu *cpu, u64 linear, unsigned size, unsigned access);

#endif
