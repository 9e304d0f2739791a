/* SPDX-License-Identifier: MIT */
/*
 * What can't go on: the text is made here, and main prints it.
 */
#include "problem.h"

#include <stdarg.h>
#include <stdio.h>

bool problem_is(struct problem *problem, int status, const char *format, ...)
{
    va_list arguments;

    problem->status = status;
    va_start(arguments, format);
    vsnprintf(problem->text, sizeof problem->text, format, arguments);
    va_end(arguments);
    return false;
}
