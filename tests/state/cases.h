/* SPDX-License-Identifier: MIT */
/* What the tests of state/ share: a partition with one processor, made by hand. */
#ifndef TESTS_STATE_CASES_H
#define TESTS_STATE_CASES_H

#include <check.h>

#include "state/clock.h"
#include "state/partition.h"
#include "state/profile.h"

/* On the virtual clock, with the zen profile and nothing else. */
struct vcpu *state_cpu(void);
void state_cpu_free(struct vcpu *cpu);

TCase *host_case(void);
TCase *profile_case(void);
TCase *msr_case(void);
TCase *clock_case(void);
TCase *apic_case(void);

#endif
