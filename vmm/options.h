/* SPDX-License-Identifier: MIT */
/*
 * The command line of `softwhp run`.
 */
#ifndef VMM_OPTIONS_H
#define VMM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "load.h"
#include "problem.h"
#include "softwhp.h"

enum { OPTIONS_FW_CFG = 16, OPTIONS_CPUS = 64 /* at most */ };

/* As WHV_X64_LOCAL_APIC_EMULATION_MODE. */
enum apic { APIC_NONE, APIC_XAPIC, APIC_X2APIC };

struct options {
    const char *file;
    const char *initrd;
    const char *firmware;
    const char *floppy;
    const char *fw_cfg[OPTIONS_FW_CFG]; /* NAME=FILE */
    unsigned fw_cfg_count;
    const char *arguments;
    const char *trace_file; /* NULL: standard error */
    const char *log_file;   /* NULL: standard output */
    uint64_t memory;
    uint64_t max_insns; /* UINT64_MAX: no limit */
    uint64_t seed;
    uint64_t clock_rate;
    uint64_t restarts; /* after so many, a reset ends the run */
    uint64_t base;
    enum start_mode mode;
    enum apic apic;
    SWHP_UNDEFINED_RESULTS undefined;
    unsigned cpus;
    uint16_t log_port;
    bool has_mode, has_base, has_log_port, has_arguments, has_apic, has_undefined, hyperv;
    bool host_clock, hash, summary, screen, trace;
    bool help;
};

/* Reads the words after "run". */
bool options_read(struct options *options, int count, char **words, struct problem *problem);

/* A number with an optional K, M or G behind it, in any base that C has. */
bool options_size(const char *text, uint64_t *size);

/* A policy for undefined results by its name. */
bool options_undefined(const char *text, SWHP_UNDEFINED_RESULTS *policy);
#define OPTIONS_UNDEFINED "hardware, zero or seeded"

extern const char options_help[];

#endif
