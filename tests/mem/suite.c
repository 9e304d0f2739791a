/* SPDX-License-Identifier: MIT */
/* All tests of mem/. */
#include "tests/mem/machine.h"

Suite *mem_suite(void);
Suite *mem_suite(void)
{
    Suite *s = suite_create("mem");

    suite_add_tcase(s, ram_cases());
    suite_add_tcase(s, reserved_cases());
    suite_add_tcase(s, rights_cases());
    suite_add_tcase(s, walk_cases());
    suite_add_tcase(s, place_cases());
    suite_add_tcase(s, segment_cases());
    suite_add_tcase(s, tlb_cases());
    suite_add_tcase(s, translate_cases());
    return s;
}
