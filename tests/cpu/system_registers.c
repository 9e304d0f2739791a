/* SPDX-License-Identifier: MIT */
#include "tests/cpu/system_machine.h"
TCase *system_registers_cases(void)
{
    return tcase_create("registers");
}
