/* SPDX-License-Identifier: MIT */
/*
 * The table of instructions, as the library lists it, and what covers each form in the tests: hardware vectors, whose numbers the
 * Makefile takes from tests/vectors, or a suite.
 */
#include "isa.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "softwhp.h"

const char isa_help[] =
    "usage: softwhp isa [EXTENSION]\n"
    "\n"
    "Prints the instructions of the default profile: extension, mnemonic, encoding and operands (r register,\n"
    "m memory, i immediate, x and y vector, st x87, mm MMX, s other; with the size in bits), code sizes, and what\n"
    "covers the form in the tests: so many hardware vectors, or a suite.\n";

struct cover {
    const char *mnemonic, *form;
    unsigned records;
};

/* Sorted by mnemonic and form. */
static const struct cover vectors[] = {
#include <cover.inc> /* which the Makefile makes */
};

/* What vectors can't show, since it needs privilege, or depends on more than registers and memory. */
static const struct {
    const char *mnemonics, *suite;
} suites[] = {
    {" syscall sysret sysenter sysexit swapgs stac clac invpcid invlpg lgdt lidt sgdt sidt lmsw smsw clts wbinvd invd str "
     "sldt rdpid rdpmc rdrand rdseed rdpkru wrpkru mov ltr lldt xsetbv xgetbv ",
     "tests/cpu/system_long.c"},
    {" salc cli sti pushf popf in out insb insw insd outsb outsw outsd ", "tests/cpu/system_protected.c"},
    {" int int1 int3 into iret iretd iretq hlt ", "tests/cpu/events.c"},
    {" cpuid rdtsc rdtscp rdmsr wrmsr ", "tests/whp/exits.c"},
    {" rdpru ", "tests/cpu/lacking.c"},
    {" vmmcall ", "tests/whp/hypercall.c"},
    {" xsave xsave64 xsaveopt xsaveopt64 xsavec xsavec64 xsaves xsaves64 xrstor xrstor64 xrstors xrstors64 ", "tests/cpu/xsave.c"},
};

static int by_name(const void *a, const void *b)
{
    const struct cover *x = a, *y = b;
    int order = strcmp(x->mnemonic, y->mnemonic);

    return order ? order : strcmp(x->form, y->form);
}

static const char *suite_of(const char *mnemonic)
{
    char word[40];

    snprintf(word, sizeof word, " %s ", mnemonic);
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++)
        if (strstr(suites[i].mnemonics, word))
            return suites[i].suite;
    return NULL;
}

/* Vectors of other forms of the same instruction: another width, another kind of operand. */
static unsigned others_of(const char *mnemonic)
{
    unsigned records = 0;

    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        if (!strcmp(vectors[i].mnemonic, mnemonic))
            records += vectors[i].records;
    return records;
}

struct listing {
    const char *extension; /* this one alone, or NULL */
    unsigned long forms, uncovered;
};

static VOID CALLBACK show(VOID *context, const SWHP_INSTRUCTION *in)
{
    struct listing *l = context;
    struct cover key = {in->Mnemonic, in->Form, 0};
    const struct cover *c = bsearch(&key, vectors, sizeof vectors / sizeof *vectors, sizeof *vectors, by_name);
    const char *suite = suite_of(in->Mnemonic);

    if (l->extension && strcmp(l->extension, in->Extension))
        return;
    l->forms++;
    printf("%-16s %-20s %-40s %s%s%s ", in->Extension, in->Mnemonic, in->Form, in->Modes & SWHP_MODE_64 ? " 64" : "   ",
           in->Modes & SWHP_MODE_32 ? " 32" : "   ", in->Modes & SWHP_MODE_16 ? " 16" : "   ");
    if (c) {
        printf(" %u vectors\n", c->records);
    } else if (suite) {
        printf(" %s\n", suite);
    } else if (others_of(in->Mnemonic)) {
        printf(" %u vectors of its other forms\n", others_of(in->Mnemonic));
    } else {
        l->uncovered++;
        printf(" nothing\n");
    }
}

int isa_command(int count, char **words, struct problem *problem)
{
    struct listing l = {count ? words[0] : NULL, 0, 0};

    if (count > 1)
        problem_is(problem, STATUS_USAGE, "isa takes an extension at most; see softwhp isa --help");
    else if (SwhpListInstructions(show, &l))
        problem_is(problem, STATUS_HOST, "the host has no memory");
    else if (!l.forms)
        problem_is(problem, STATUS_USAGE, "the profile has no extension %s; softwhp isa lists all", words[0]);
    else
        printf("%lu forms, %lu that nothing covers\n", l.forms, l.uncovered);
    return problem->status;
}
