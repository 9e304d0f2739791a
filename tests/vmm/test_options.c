/* SPDX-License-Identifier: MIT */
/*
 * The command line: what it gives, and what it refuses with one line.
 */
#include <string.h>

#include "cases.h"

#include "../../vmm/options.h"

static struct options options;
static struct problem problem;

/* Reads the words of a text, separated by single spaces. */
static bool read_words(const char *text)
{
    static char copy[512];
    char *words[64];
    int count = 0;

    strcpy(copy, text);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        words[count++] = word;
    memset(&problem, 0, sizeof problem);
    return options_read(&options, count, words, &problem);
}

START_TEST(defaults)
{
    ck_assert(read_words("guest"));
    ck_assert_str_eq(options.file, "guest");
    ck_assert_str_eq(options.arguments, "console=ttyS0");
    ck_assert_uint_eq(options.memory, 256 << 20);
    ck_assert_uint_eq(options.max_insns, UINT64_MAX);
    ck_assert(!options.host_clock && !options.hash && !options.summary && !options.trace);
    ck_assert(!options.has_undefined);
}
END_TEST

START_TEST(values_in_the_same_word_or_the_next)
{
    ck_assert(
        read_words("--memory 1G --seed=0x10 guest --max-insns 5 --mode=long --base 2M --hash --clock host "
                   "--undefined seeded"));
    ck_assert_uint_eq(options.memory, 1 << 30);
    ck_assert_uint_eq(options.seed, 16);
    ck_assert_uint_eq(options.max_insns, 5);
    ck_assert_int_eq(options.mode, START_LONG);
    ck_assert_uint_eq(options.base, 2 << 20);
    ck_assert_int_eq(options.undefined, SwhpUndefinedSeeded);
    ck_assert(options.hash && options.host_clock && options.has_undefined);
}
END_TEST

START_TEST(apic_modes)
{
    ck_assert(read_words("guest"));
    ck_assert_int_eq(options.apic, APIC_NONE);
    ck_assert(read_words("--apic xapic guest"));
    ck_assert_int_eq(options.apic, APIC_XAPIC);
    ck_assert(read_words("--apic=x2apic guest"));
    ck_assert_int_eq(options.apic, APIC_X2APIC);
    ck_assert(read_words("--cpus 64 --clock host guest"));
    ck_assert_uint_eq(options.cpus, 64);
    ck_assert_int_eq(options.apic, APIC_XAPIC);
    ck_assert(read_words("--cpus 2 guest"));
    ck_assert(!options.host_clock);
    ck_assert(read_words("--cpus 2 --apic x2apic --clock host guest"));
    ck_assert_int_eq(options.apic, APIC_X2APIC);
    ck_assert(read_words("--apic none guest"));
    ck_assert_int_eq(options.apic, APIC_NONE);
}
END_TEST

START_TEST(trace_and_log_port)
{
    ck_assert(read_words("--trace exit guest"));
    ck_assert(options.trace && !options.trace_file);
    ck_assert(read_words("--trace exit:a:b guest --log-port 0x402:log"));
    ck_assert_str_eq(options.trace_file, "a:b");
    ck_assert_uint_eq(options.log_port, 0x402);
    ck_assert_str_eq(options.log_file, "log");
    ck_assert(read_words("--log-port 80 guest"));
    ck_assert(!options.log_file);
}
END_TEST

START_TEST(firmware_and_what_it_is_given)
{
    char words[OPTIONS_FW_CFG * 16 + 32] = "--firmware rom";

    ck_assert(read_words("--firmware rom kernel --initrd i --kernel-args a --floppy disk --fw-cfg opt/a=b=c"));
    ck_assert_str_eq(options.file, "kernel");
    ck_assert_str_eq(options.firmware, "rom");
    ck_assert_str_eq(options.floppy, "disk");
    ck_assert_uint_eq(options.fw_cfg_count, 1);
    ck_assert_str_eq(options.fw_cfg[0], "opt/a=b=c");
    ck_assert_uint_eq(options.clock_rate, 1);
    ck_assert(read_words("--firmware rom --clock-rate 65536"));
    ck_assert_uint_eq(options.clock_rate, 65536);
    for (unsigned i = 0; i < OPTIONS_FW_CFG; i++)
        strcat(words, " --fw-cfg a=b");
    ck_assert(read_words(words));
    ck_assert(!read_words(strcat(words, " --fw-cfg a=b")));
}
END_TEST

START_TEST(file_may_look_like_an_option)
{
    ck_assert(read_words("--hash -- --guest"));
    ck_assert_str_eq(options.file, "--guest");
}
END_TEST

static const char *const wrong[] = {
    "",
    "a b",
    "--what a",
    "--memory",
    "--memory 0 a",
    "--memory 12Q a",
    "--memory -1 a",
    "--memory 4097 a",
    "--memory 99999999999999999999 a",
    "--memory 17179869184G a",
    "--cpus 0 a",
    "--cpus 2 --apic none a",
    "--cpus x a",
    "--mode virtual a",
    "--base x a",
    "--clock sundial a",
    "--seed 1x a",
    "--undefined random a",
    "--undefined= a",
    "--max-insns -5 a",
    "--trace insn a",
    "--trace exit: a",
    "--log-port 65536 a",
    "--log-port x a",
    "--log-port 1: a",
    "--hash=yes a",
    "--apic on a",
    "--apic= a",
    "--firmware rom --initrd b",
    "--firmware rom --kernel-args b",
    "--firmware rom --mode real",
    "--firmware rom --base 0 a",
    "--floppy disk a",
    "--fw-cfg opt/a a",
    "--fw-cfg opt/a= a",
    "--fw-cfg =b a",
    "--fw-cfg 12345678901234567890123456789012345678901234567890123456=b a",
    "--clock-rate 0 a",
    "--clock-rate 65537 a",
    "--clock host --clock-rate 2 a",
};

START_TEST(wrong_usage_is_explained)
{
    ck_assert(!read_words(wrong[_i]));
    ck_assert_int_eq(problem.status, STATUS_USAGE);
    ck_assert_str_ne(problem.text, "");
    ck_assert_ptr_null(strchr(problem.text, '\n'));
}
END_TEST

TCase *options_cases(void)
{
    TCase *cases = tcase_create("options");

    tcase_add_test(cases, defaults);
    tcase_add_test(cases, values_in_the_same_word_or_the_next);
    tcase_add_test(cases, apic_modes);
    tcase_add_test(cases, trace_and_log_port);
    tcase_add_test(cases, firmware_and_what_it_is_given);
    tcase_add_test(cases, file_may_look_like_an_option);
    tcase_add_loop_test(cases, wrong_usage_is_explained, 0, (int)(sizeof wrong / sizeof wrong[0]));
    return cases;
}
