/* SPDX-License-Identifier: MIT */
/*
 * `softwhp replay`: states before and after single instructions, captured from a processor (the format: swv.h), against
 * the library. The stage is the partition with the memory of one file, on which its records are played.
 */
#ifndef VMM_REPLAY_H
#define VMM_REPLAY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "problem.h"
#include "softwhp.h"
#include "swv.h"

enum { REGIONS = 32 };

struct stage {
    WHV_PARTITION_HANDLE partition;
    uint8_t *arena;            /* the guest's physical memory */
    uint32_t table_top, data_top;
    uint16_t gdt_limit, ldt_limit;
    SWHP_UNDEFINED_RESULTS undefined; /* the partition's policy */
    bool has_upper_halves;     /* the file knows YMM registers */
    uint8_t *memory[REGIONS];  /* the file's regions, in the arena */
    uint8_t *filled[REGIONS];  /* as they are before a record's own bytes */
    uint8_t *wanted[REGIONS];  /* as they should be after it */
    struct problem problem;    /* of the first call that failed */
};

/* What an instruction did: its fault's vector or 0xff, and the exit that told us. */
struct outcome {
    uint8_t vector;
    uint32_t error;
    uint64_t cr2;
    uint32_t reason;
};

/* False: problem is set. */
bool stage_open(struct stage *s, SWHP_UNDEFINED_RESULTS undefined, struct problem *problem);
void stage_close(struct stage *s);

/* The regions and tables of a file. False: it asks for more than there is, or nonsense; s->problem says so. */
bool stage_set(struct stage *s, const swv_file *f);

/* Plays a record: the state it leaves goes to *got. False: the library refused, and s->problem says why. */
bool stage_play(struct stage *s, const swv_file *f, const swv_vec *v, struct outcome *o, swv_state *got);

/* How what came out differs from what the processor did: by "fault", "flags", "result" or "memory"; NULL: it doesn't. */
const char *judge_kind(const struct stage *s, const swv_file *f, const swv_vec *v, const struct outcome *o,
                       const swv_state *got);

/* All that differs, a line each. */
void judge_tell(const struct stage *s, const swv_file *f, const swv_vec *v, const struct outcome *o,
                const swv_state *got, FILE *to);

/* The subcommand, with the words after it. */
int replay_command(int count, char **words, struct problem *problem);

extern const char replay_help[];

#endif
