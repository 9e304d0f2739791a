/* SPDX-License-Identifier: MIT */
/* Code that another processor writes, and pages that hold code and data by turns. */
#include "tests/cpu/smp.h"

#include <string.h>

#include "mem/ram.h"
#include "state/partition.h"
#undef fail /* Check's */
#include "whp/handle.h"

/* RDI: mov eax, imm32; ret. RSI: which version is there; RSI + 40h: which one was run. */
#define PATCH_AND_WAIT                                                                                      \
    "\xff\xc3"     /* inc ebx */                                                                            \
    "\x89\x5f\x01" /* mov [rdi + 1], ebx */                                                                 \
    "\x89\x1e"     /* mov [rsi], ebx */                                                                     \
    "\x39\x5e\x40" /* 1: cmp [rsi + 40h], ebx */                                                            \
    "\x75\xfb"     /* jne 1b */
#define WAIT                                                                                                \
    "\xff\xc5" /* inc ebp */                                                                                \
    "\x39\x2e" /* 1: cmp [rsi], ebp */                                                                      \
    "\x75\xfc" /* jne 1b */
#define CALL_AND_COMPARE                                                                                    \
    "\xff\xd7"     /* call rdi */                                                                           \
    "\x31\xd2"     /* xor edx, edx */                                                                       \
    "\x39\xe8"     /* cmp eax, ebp */                                                                       \
    "\x0f\x95\xc2" /* setne dl */                                                                           \
    "\x41\x01\xd5" /* add r13d, edx */
#define ANSWER "\x89\x6e\x40" /* mov [rsi + 40h], ebp */
#define SERIALIZE "\x31\xc0\x0f\xa2" /* xor eax, eax; cpuid */

static void run_patches(struct smp *m, UINT32 rounds, const char *patcher, size_t patcher_size,
                        const char *runner, size_t runner_size)
{
    smp_repeat(m, 0, rounds, patcher, patcher_size);
    smp_repeat(m, 1, rounds, runner, runner_size);
    for (UINT32 i = 0; i < 2; i++) {
        smp_set(m, i, WHvX64RegisterRdi, SMP_PAGES);
        smp_set(m, i, WHvX64RegisterRsi, SMP_DATA);
        smp_set(m, i, WHvX64RegisterRbx, 0);
        smp_set(m, i, WHvX64RegisterRbp, 0);
    }
    for (UINT32 at = SMP_PAGES; at < SMP_PAGES + 0x200000; at += 4096)
        memcpy(m->memory + at, "\xb8\x00\x00\x00\x00\xc3", 6);
    smp_run(m);
    smp_check(m, 1, "patched code", SMP_PAGES);
}

START_TEST(patched_code_is_seen_after_the_handshake)
{
    struct smp m;

    smp_open(&m);
    if (_i)
        run_patches(&m, 3000, SMP_BYTES(PATCH_AND_WAIT), SMP_BYTES(WAIT SERIALIZE CALL_AND_COMPARE ANSWER));
    else
        run_patches(&m, 3000, SMP_BYTES(PATCH_AND_WAIT), SMP_BYTES(WAIT CALL_AND_COMPARE ANSWER));
    smp_close(&m);
}
END_TEST

/* The patcher has written to the page before; the runner decodes it at about the time of the patch. */
START_TEST(the_first_patch_of_a_page_just_decoded_is_seen)
{
    static const char patcher[] = "\xff\xc3"         /* inc ebx */
                                  "\xc6\x47\x01\x00" /* mov byte [rdi + 1], 0 */
                                  "\x39\x5e\x40"     /* 1: cmp [rsi + 40h], ebx */
                                  "\x75\xfb"         /* jne 1b */
                                  "\x69\xcb\x61\x00\x00\x00" /* imul ecx, ebx, 97 */
                                  "\x81\xe1\xff\x03\x00\x00" /* and ecx, 3ffh */
                                  "\xff\xc1"         /* inc ecx */
                                  "\xff\xc9"         /* 2: dec ecx */
                                  "\x75\xfc"         /* jnz 2b */
                                  "\x89\x5f\x01"     /* mov [rdi + 1], ebx */
                                  "\x89\x1e"         /* mov [rsi], ebx */
                                  "\x48\x81\xc7\x00\x10\x00\x00"; /* add rdi, 1000h */
    static const char runner[] = "\xff\xc5"          /* inc ebp */
                                 "\x89\x6e\x40"      /* mov [rsi + 40h], ebp */
                                 "\xff\xd7"          /* call rdi: one or the other version */
                                 "\x39\x2e"          /* 1: cmp [rsi], ebp */
                                 "\x75\xfc"          /* jne 1b */
                                 CALL_AND_COMPARE "\x48\x81\xc7\x00\x10\x00\x00";
    struct smp m;

    for (unsigned turn = 0; turn < 3; turn++) {
        smp_open(&m);
        run_patches(&m, 500, SMP_BYTES(patcher), SMP_BYTES(runner));
        smp_close(&m);
    }
}
END_TEST

/* An instruction that ends on the page on which it begins, mapped twice in a row: then all of it is written. */
START_TEST(an_instruction_may_cross_into_its_own_page)
{
    struct smp m;

    smp_open_with(&m, 1 + (UINT32)_i);
    for (UINT32 i = 0; i < m.processors; i++) {
        smp_repeat(&m, i, 100, SMP_BYTES("\xff\xd7"          /* call rdi */
                                         "\x88\x02"          /* mov [rdx], al: the instruction's own first byte */
                                         "\xff\xd7"));
        smp_set(&m, i, WHvX64RegisterRdi, SMP_PAGES + 0xffe);
        smp_set(&m, i, WHvX64RegisterRdx, SMP_PAGES + 0xffe);
        smp_set(&m, i, WHvX64RegisterRax, 0xb8);
    }
    smp_store(&m, SMP_TABLE + 8, SMP_PAGES | 7);
    memcpy(m.memory + SMP_PAGES + 0xffe, "\xb8\xb8", 2); /* mov eax, 000000b8h */
    memcpy(m.memory + SMP_PAGES, "\x00\x00\x00\xc3", 4); /* ret */
    smp_run(&m);
    for (UINT32 i = 0; i < m.processors; i++)
        ck_assert_uint_eq(smp_get(&m, i, WHvX64RegisterR12), 0);
    smp_close(&m);
}
END_TEST

/* Both ran code in a page of data to come: who writes there is looked after for a while, not for ever. */
START_TEST(a_page_that_held_code_becomes_data_again)
{
    struct ram *ram;
    struct smp m;

    smp_open(&m);
    ram = handle_door(m.partition, 0)->cpu->partition->ram;
    for (UINT32 i = 0; i < 2; i++) {
        smp_repeat(&m, i, 2, SMP_BYTES("\xff\xd7")); /* call rdi */
        smp_set(&m, i, WHvX64RegisterRdi, SMP_PAGES);
    }
    memset(m.memory + SMP_PAGES, 0x90, 0x1000);
    m.memory[SMP_PAGES + 0xfff] = 0xc3;
    smp_run(&m);
    ck_assert_uint_ne(ram_find(ram, SMP_PAGES) & PAGE_CODE, 0);
    /* push rdi; mov ecx, 512; rep stosq; pop rdi */
    smp_repeat(&m, 0, 64, SMP_BYTES("\x57\xb9\x00\x02\x00\x00\xf3\x48\xab\x5f"));
    smp_repeat(&m, 1, 1000, SMP_BYTES("\x90"));
    smp_run(&m);
    ck_assert_uint_eq(ram_find(ram, SMP_PAGES) & PAGE_CODE, 0);
    smp_close(&m);
}
END_TEST

TCase *smp_code_case(void)
{
    TCase *t = tcase_create("smp-code");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, an_instruction_may_cross_into_its_own_page, 0, 2);
    tcase_add_test(t, a_page_that_held_code_becomes_data_again);
    tcase_add_loop_test(t, patched_code_is_seen_after_the_handshake, 0, 2);
    tcase_add_test(t, the_first_patch_of_a_page_just_decoded_is_seen);
    return t;
}
