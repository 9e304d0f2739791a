/* SPDX-License-Identifier: MIT */
/* All tests of whp/. */
#include "tests/whp/guest.h"

Suite *whp_suite(void);
Suite *whp_suite(void)
{
    Suite *s = suite_create("whp");

    suite_add_tcase(s, lifecycle_case());
    suite_add_tcase(s, property_case());
    suite_add_tcase(s, register_case());
    suite_add_tcase(s, memory_case());
    suite_add_tcase(s, dirty_case());
    suite_add_tcase(s, vp_state_case());
    suite_add_tcase(s, counter_case());
    suite_add_tcase(s, cpuid_case());
    suite_add_tcase(s, msr_action_case());
    suite_add_tcase(s, cancel_case());
    suite_add_tcase(s, exit_case());
    suite_add_tcase(s, observe_case());
    suite_add_tcase(s, hostile_case());
    suite_add_tcase(s, garbage_case());
    suite_add_tcase(s, glutton_case());
    suite_add_tcase(s, fickle_case());
    return s;
}
