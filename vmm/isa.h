/* SPDX-License-Identifier: MIT */
/* `softwhp isa`: the table of instructions. */
#ifndef VMM_ISA_H
#define VMM_ISA_H

#include "problem.h"

int isa_command(int count, char **words, struct problem *problem);

extern const char isa_help[];

#endif
