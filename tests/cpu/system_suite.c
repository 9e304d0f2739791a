/* SPDX-License-Identifier: MIT */
/* All scenarios of the system. */
#include "tests/cpu/system_machine.h"

Suite *system_suite(void)
{
    Suite *s = suite_create("system");

    suite_add_tcase(s, system_calls_cases());
    suite_add_tcase(s, system_delivery_cases());
    suite_add_tcase(s, system_long_cases());
    suite_add_tcase(s, system_ports_cases());
    suite_add_tcase(s, system_priorities_cases());
    suite_add_tcase(s, system_protected_cases());
    suite_add_tcase(s, system_real_cases());
    suite_add_tcase(s, system_registers_cases());
    suite_add_tcase(s, system_register_rows_cases());
    suite_add_tcase(s, system_task_cases());
    suite_add_tcase(s, system_vector_cases());
    suite_add_tcase(s, system_rule_cases());
    suite_add_tcase(s, system_segment_cases());
    suite_add_tcase(s, system_far_cases());
    suite_add_tcase(s, system_iret_cases());
    return s;
}
