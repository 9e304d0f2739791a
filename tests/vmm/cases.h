/* SPDX-License-Identifier: MIT */
/*
 * The test cases of the VMM: one function a file, collected in suite.c.
 */
#ifndef TESTS_VMM_CASES_H
#define TESTS_VMM_CASES_H

#include <check.h>

TCase *pic_cases(void);
TCase *ioapic_cases(void);
TCase *pit_cases(void);
TCase *serial_cases(void);
TCase *rtc_cases(void);
TCase *board_cases(void);
TCase *load_cases(void);
TCase *load_elf_cases(void);
TCase *options_cases(void);
TCase *pci_cases(void);
TCase *fw_cfg_cases(void);
TCase *mp_cases(void);

Suite *vmm_suite(void);

#endif
