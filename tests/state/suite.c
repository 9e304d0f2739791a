/* SPDX-License-Identifier: MIT */
/* All tests of state/. */
#include "tests/state/cases.h"

#include <stdlib.h>

#include "state/host.h"

struct vcpu *state_cpu(void)
{
    struct partition *p = calloc(1, sizeof *p);
    struct vcpu *cpu = host_alloc(sizeof *cpu);

    ck_assert_ptr_nonnull(p);
    ck_assert_ptr_nonnull(cpu);
    profile_use(p, profile_find("zen"));
    p->clock = SwhpClockVirtual;
    p->rate = 1;
    p->processors = 1;
    p->cpu[0] = cpu;
    cpu->partition = p;
    vcpu_reset(cpu);
    return cpu;
}

void state_cpu_free(struct vcpu *cpu)
{
    free(cpu->partition);
    host_free(cpu, sizeof *cpu);
}

Suite *state_suite(void);
Suite *state_suite(void)
{
    Suite *s = suite_create("state");

    suite_add_tcase(s, host_case());
    suite_add_tcase(s, profile_case());
    suite_add_tcase(s, msr_case());
    suite_add_tcase(s, clock_case());
    suite_add_tcase(s, apic_case());
    return s;
}
