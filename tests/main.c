/* SPDX-License-Identifier: MIT */
/*
 * Runs the Check suites, which the Makefile finds and names in SUITES.
 *
 * usage: suites [NAME]   NAME is a suite or a case; the status is 77 if there is none of that name
 */
#include <check.h>
#include <stdio.h>
#include <string.h>

#define SUITE(name) Suite *name##_suite(void);
SUITES
#undef SUITE

static const struct {
    const char *name;
    Suite *(*make)(void);
} suites[] = {
#define SUITE(name) {#name, name##_suite},
    SUITES
};

enum { COUNT = sizeof suites / sizeof *suites };

int main(int argc, char **argv)
{
    const char *want = argc > 1 ? argv[1] : NULL, *suite_name = NULL, *case_name = NULL;
    SRunner *runner = srunner_create(NULL);
    int failed;

    for (int i = 0; i < COUNT; i++) {
        Suite *s = suites[i].make();

        srunner_add_suite(runner, s);
        if (want && !strcmp(want, suites[i].name))
            suite_name = suites[i].name;
        else if (want && suite_tcase(s, want))
            case_name = want;
    }
    if (want && !suite_name && !case_name) {
        fprintf(stderr, "no suite and no case here is called %s; the suites are:", want);
        for (int i = 0; i < COUNT; i++)
            fprintf(stderr, " %s", suites[i].name);
        fprintf(stderr, "\n");
        srunner_free(runner);
        return 77;
    }
    srunner_run(runner, suite_name, suite_name ? NULL : case_name, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
