/* SPDX-License-Identifier: MIT */
/*
 * All tests of the VMM that need no processor: devices, loaders, options.
 */
#include "cases.h"

Suite *vmm_suite(void)
{
    Suite *suite = suite_create("vmm");

    suite_add_tcase(suite, pic_cases());
    suite_add_tcase(suite, ioapic_cases());
    suite_add_tcase(suite, pit_cases());
    suite_add_tcase(suite, serial_cases());
    suite_add_tcase(suite, rtc_cases());
    suite_add_tcase(suite, board_cases());
    suite_add_tcase(suite, load_cases());
    suite_add_tcase(suite, load_elf_cases());
    suite_add_tcase(suite, options_cases());
    suite_add_tcase(suite, pci_cases());
    suite_add_tcase(suite, fw_cfg_cases());
    suite_add_tcase(suite, mp_cases());
    return suite;
}
