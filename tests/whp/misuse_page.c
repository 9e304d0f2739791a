/* SPDX-License-Identifier: MIT */
/*
 * docs/functions.md, written from the lists that the tests beside this file carry out. `make docs` puts it in place,
 * the test here holds it to be the same.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/whp/misuse.h"

#define PAGE "docs/functions.md"

/* ---- words ---- */

static const struct {
    HRESULT hr;
    const char *name;
} names[] = {
    { S_OK, "S_OK" },
    { E_INVALIDARG, "E_INVALIDARG" },
    { E_POINTER, "E_POINTER" },
    { E_OUTOFMEMORY, "E_OUTOFMEMORY" },
    { E_ACCESSDENIED, "E_ACCESSDENIED" },
    { E_HANDLE, "E_HANDLE" },
    { NOT_SUPPORTED, "ERROR_NOT_SUPPORTED" },
    { (HRESULT)0x80070490u, "ERROR_NOT_FOUND" },
    { INVALID_STATE, "ERROR_INVALID_STATE" },
    { WHV_E_UNKNOWN_CAPABILITY, "WHV_E_UNKNOWN_CAPABILITY" },
    { WHV_E_INSUFFICIENT_BUFFER, "WHV_E_INSUFFICIENT_BUFFER" },
    { WHV_E_UNKNOWN_PROPERTY, "WHV_E_UNKNOWN_PROPERTY" },
    { WHV_E_INVALID_PARTITION_CONFIG, "WHV_E_INVALID_PARTITION_CONFIG" },
    { WHV_E_GPA_RANGE_NOT_FOUND, "WHV_E_GPA_RANGE_NOT_FOUND" },
    { WHV_E_VP_ALREADY_EXISTS, "WHV_E_VP_ALREADY_EXISTS" },
    { WHV_E_VP_DOES_NOT_EXIST, "WHV_E_VP_DOES_NOT_EXIST" },
    { WHV_E_INVALID_VP_STATE, "WHV_E_INVALID_VP_STATE" },
    { WHV_E_INVALID_VP_REGISTER_NAME, "WHV_E_INVALID_VP_REGISTER_NAME" },
    { HV(5), "ERROR_HV_INVALID_PARAMETER" },
    { HV(6), "ERROR_HV_ACCESS_DENIED" },
    { HV(7), "ERROR_HV_INVALID_PARTITION_STATE" },
    { HV(8), "ERROR_HV_OPERATION_DENIED" },
    { HV(0x18), "ERROR_HV_INVALID_SYNIC_STATE" },
    { HV(0x19), "ERROR_HV_OBJECT_IN_USE" },
    { HV(0x50), "ERROR_HV_INVALID_REGISTER_VALUE" },
};
enum { NAMES = sizeof names / sizeof *names };

static const char *name_of(HRESULT hr)
{
    for (u32 i = 0; i < NAMES; i++)
        if (names[i].hr == hr)
            return names[i].name;
    ck_abort_msg("no name for %08x", (u32)hr);
    return NULL;
}

/* In the tables of states: short, and told above them. */
static const char *word_of(char letter)
{
    switch (letter) {
    case '.': return "ok";
    case 'I': return "gone";
    case 'A': return "argument";
    case 'F': return "not found";
    case 'P': return "order";
    case 'X': return "no VP";
    case 'V': return "runs";
    case 'T': return "state";
    default: return name_of(answer_of(letter));
    }
}

static const char head[] =
    "# What each function answers\n"
    "\n"
    "Written by `make docs` from the lists in `tests/whp/misuse_*.c`; `make check T=misuse` carries each line out, and "
    "holds\n"
    "this page to be the same.\n"
    "\n"
    "A call that fails changes nothing, and `SwhpGetLastErrorText` says which argument it was. These hold for all of "
    "them:\n"
    "\n"
    "- A partition's handle that is NULL, a number, an emulator's, a bit off, or was deleted: E_INVALIDARG.\n"
    "- A processor that isn't there, whether it could be or not: WHV_E_VP_DOES_NOT_EXIST (creating one beyond "
    "ProcessorCount:\n"
    "  E_INVALIDARG).\n"
    "- On a partition of an older ApiLevel (softwhp.h), a function that came later: E_NOTIMPL.\n"
    "- A buffer that is too small gets nothing, and the size that is needed is told where there is a place for it.\n"
    "\n"
    "## States\n"
    "\n"
    "The tables show a good call on a partition (and its processor 0) that is\n"
    "\n"
    "| | |\n"
    "| --- | --- |\n"
    "| new | created, not set up |\n"
    "| set up | without processors |\n"
    "| stands | processor 0 is there |\n"
    "| runs | another thread runs processor 0 |\n"
    "| other | another thread runs processor 1, processor 0 stands; the clock is virtual |\n"
    "| inside | in a callback of the library, on the thread that runs processor 0 |\n"
    "| deleted | |\n"
    "\n"
    "and answer\n"
    "\n"
    "| | | |\n"
    "| --- | --- | --- |\n";

/* ---- writing ---- */

static void write_head(FILE *f)
{
    fputs(head, f);
    for (const char *letter = ".PXVTIAF"; *letter; letter++)
        fprintf(f, "| %s | %s | %08X |\n", word_of(*letter), name_of(answer_of(*letter)), (u32)answer_of(*letter));
}

enum table { TABLE_NONE, TABLE_PARTITION, TABLE_EMULATOR, TABLE_ALWAYS };

static enum table table_of(const struct function *f)
{
    if (!f->says)
        return TABLE_NONE;
    return f->takes & TAKES_EMULATOR ? TABLE_EMULATOR : f->takes ? TABLE_PARTITION : TABLE_ALWAYS;
}

static void write_states(FILE *f, unsigned chapter, enum table table)
{
    static const char *const heads[] = { "",
                                         "| | new | set up | stands | runs | other | inside | deleted | |\n"
                                         "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
                                         "| | lives | in use by another call | destroyed | |\n"
                                         "| --- | --- | --- | --- | --- |\n",
                                         "| at any time | |\n| --- | --- |\n" };
    bool is_begun = false;

    for (int i = 0; i < function_count; i++) {
        const struct function *one = functions[i];

        if (function_chapter[i] != chapter || table_of(one) != table)
            continue;
        fprintf(f, "%s| %s |", is_begun ? "" : heads[table], one->name);
        is_begun = true;
        for (const char *letter = one->answers; *letter && table != TABLE_ALWAYS; letter++)
            fprintf(f, " %s |", word_of(*letter));
        fprintf(f, " %s |\n", one->says);
    }
    if (is_begun)
        fputc('\n', f);
}

static void write_unsupported(FILE *f, unsigned chapter)
{
    unsigned n = 0;

    for (int i = 0; i < function_count; i++)
        if (function_chapter[i] == chapter && !functions[i]->says)
            fprintf(f, "%s%s", n++ ? ",\n" : "Not supported, which is what they answer (ERROR_NOT_SUPPORTED):\n",
                    functions[i]->name);
    if (n)
        fprintf(f, ".\n\n");
}

static void write_misuses(FILE *f, unsigned chapter)
{
    const struct function *last = NULL;

    for (int i = 0; i < row_count; i++) {
        if (rows[i].chapter != chapter)
            continue;
        if (!last)
            fputs("| | misuse | answer |\n| --- | --- | --- |\n", f);
        fprintf(f, "| %s | %.*s | %s |\n", rows[i].function == last ? "" : rows[i].function->name,
                (int)strcspn(rows[i].row->what, "*"), rows[i].row->what, name_of(rows[i].row->answer));
        last = rows[i].function;
    }
    if (last)
        fputc('\n', f);
}

static void write_codes(FILE *f)
{
    fputs("## Codes\n\n| | |\n| --- | --- |\n", f);
    for (u32 i = 0; i < NAMES; i++)
        fprintf(f, "| %s | %08X |\n", names[i].name, (u32)names[i].hr);
}

static char *functions_page(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    ck_assert_ptr_ne(f, NULL);
    write_head(f);
    for (unsigned i = 0; i < chapter_count; i++) {
        fprintf(f, "%s## %s\n\n", i ? "" : "\n", chapters[i].title);
        for (enum table t = TABLE_PARTITION; t <= TABLE_ALWAYS; t++)
            write_states(f, i, t);
        write_unsupported(f, i);
        write_misuses(f, i);
    }
    write_codes(f);
    fclose(f);
    return text;
}

/* ---- tests ---- */

static char *read_file(const char *name)
{
    FILE *f = fopen(name, "r");
    char *text = calloc(1, 1 << 20);

    ck_assert_msg(f != NULL, "%s can't be read; the tests run where the repository begins", name);
    ck_assert_uint_lt(fread(text, 1, (1 << 20) - 1, f), (1 << 20) - 1);
    fclose(f);
    return text;
}

START_TEST(the_page_is_up_to_date)
{
    char *page = functions_page(), *there;
    const char *into = getenv("DOCS");

    if (into) {
        FILE *f = fopen(into, "w");

        ck_assert_msg(f && fputs(page, f) >= 0 && !fclose(f), "%s can't be written", into);
    }
    there = read_file(PAGE);
    ck_assert_msg(!strcmp(page, there), PAGE " isn't what the lists say: make docs");
    free(there);
    free(page);
}
END_TEST

/* Whatever a header declares has its row. */
START_TEST(every_function_of_the_headers_is_listed)
{
    static const char *const headers[] = { "include/WinHvPlatform.h", "include/WinHvEmulation.h", "include/softwhp.h" };
    int declared = 0;

    for (u32 h = 0; h < 3; h++) {
        char *text = read_file(headers[h]);

        for (char *at = text; (at = strstr(at, "HRESULT WINAPI ")); at++) {
            char name[80];
            bool found = false;

            snprintf(name, sizeof name, "%.*s", (int)strcspn(at + 15, "("), at + 15);
            for (int i = 0; i < function_count; i++)
                found |= !strcmp(functions[i]->name, name);
            ck_assert_msg(found, "%s has no row in tests/whp/misuse_*.c", name);
            declared++;
        }
        free(text);
    }
    ck_assert_int_eq(declared, function_count);
}
END_TEST

TCase *functions_page_case(void)
{
    TCase *t = tcase_create("functions-page");

    collect_all();
    tcase_add_test(t, the_page_is_up_to_date);
    tcase_add_test(t, every_function_of_the_headers_is_listed);
    return t;
}
