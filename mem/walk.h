/* SPDX-License-Identifier: MIT */
/* Page tables of all modes. Knows no cache. */
#ifndef MEM_WALK_H
#define MEM_WALK_H

#include "mem/place.h"

struct translation {
    u64 gpa;              /* of the address asked for, not of its page */
    u64 size;             /* of the page, in bytes */
    bool writable, user, executable, global, accessed, dirty; /* rights of all levels together */
    u8 key;               /* protection key */
};

enum walk_result { WALK_OK, WALK_NOT_PRESENT, WALK_RIGHTS, WALK_RESERVED, WALK_TABLE_UNMAPPED };

/* How to ask: by enum access, and who asks. */
struct walk {
    u64 linear;
    unsigned access;      /* enum access */
    bool user;            /* CPL 3, and not ACCESS_SYSTEM */
    bool ac;              /* SMAP is lifted */
    bool set_bits;        /* accessed and dirty bits are set, atomically */
    bool check_rights;
    bool is_host;         /* asked by the API, not by the processor: overwritten code is not noted in vcpu.stale */
    u32 error;            /* out: the page-fault error code */
    u64 table_gpa;        /* out, TABLE_UNMAPPED: the entry's address; table_write: it was the A/D update */
    bool table_write;
    char *story;          /* NULL, or room for 512 bytes: one line a level, for explanations */
};

enum walk_result walk(struct vcpu *cpu, struct walk *w, struct translation *t);

/* May this asker use the page so? 0: yes, else the bits of the error code that say why not (PF_P at least). */
u32 walk_denied(const struct vcpu *cpu, const struct translation *t, unsigned access, bool user, bool ac);

/* As the processor does it: raises #PF with error code and CR2, or leaves with a memory exit. */
void walk_or_fault(struct vcpu *cpu, u64 linear, unsigned access, struct translation *t);

/* A PDPTE that sets no reserved bit, if it is present. */
bool walk_pdpte_ok(const struct vcpu *cpu, u64 entry);

/* MOV CR3 and friends in PAE mode: loads the four PDPTEs. False: reserved bits, so #GP. May leave. */
bool walk_load_pdptes(struct vcpu *cpu, u64 cr3);

#endif
