/* SPDX-License-Identifier: MIT */
/*
 * What can't go on: the one line that tells the user why, and the status that the tool ends with.
 */
#ifndef VMM_PROBLEM_H
#define VMM_PROBLEM_H

#include <stdbool.h>

/* Even ones are ours; odd ones come from the guest, through port 0xf4. */
enum status {
    STATUS_WELL = 0,
    STATUS_USAGE = 2,
    STATUS_BADLY = 4,
    STATUS_HOST = 6,
    STATUS_INTERRUPTED = 130,
};

struct problem {
    int status;
    char text[1024];
};

/* Notes the problem; always false, so that a function that fails can return it. */
bool problem_is(struct problem *problem, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
