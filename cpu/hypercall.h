/* SPDX-License-Identifier: MIT */
/* Hypercalls: hypercall.c has how they are called, hypercall_calls.c what they do. TLFS "Hypercall interface". */
#ifndef CPU_HYPERCALL_H
#define CPU_HYPERCALL_H

#include "cpu/synic.h"

enum hypercall_status {
    HV_STATUS_SUCCESS = 0,
    HV_STATUS_INVALID_HYPERCALL_CODE = 2,
    HV_STATUS_INVALID_HYPERCALL_INPUT = 3,
    HV_STATUS_INVALID_ALIGNMENT = 4,
    HV_STATUS_INVALID_PARAMETER = 5,
    HV_STATUS_ACCESS_DENIED = 6,
    HV_STATUS_INVALID_CONNECTION_ID = 0x12
};

/* What a call was given, copied from where the guest had it. */
struct hypercall {
    const u64 *input; /* header, its variable part, elements */
    u32 header;       /* words of the fixed header */
    u32 variable;     /* and of its variable part */
    u32 start, count; /* of the elements: the first to be done, and the number of all */
};

typedef u16 hypercall_fn(struct vcpu *cpu, const struct hypercall *h);

struct hypercall_row {
    u16 code;
    u8 header;       /* bytes of the fixed header */
    u8 element;      /* bytes of an element; 0: a simple call */
    bool is_variable; /* the header goes on: a set of processors */
    u64 needs;       /* synthetic features, all of them */
    u16 without;     /* status without them */
    u8 counter;      /* enum counter */
    hypercall_fn *call;
};

/* NULL: there is none. */
const struct hypercall_row *hypercall_find(u16 code);

#endif
