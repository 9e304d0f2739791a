/* SPDX-License-Identifier: MIT */
/* The lists of functions and misuses, collected from where they stand, and what answers and texts are held to. */
#include <ctype.h>
#include <stdio.h>

#include "tests/whp/misuse.h"

const struct chapter chapters[] = {
    { "Partitions", partition_rows },
    { "Capabilities and properties", property_rows },
    { "Memory", memory_rows },
    { "Processors", processor_rows },
    { "Registers", register_rows },
    { "State and counters", state_rows },
    { "Interrupts", interrupt_rows },
    { "Doorbells and notification ports", port_rows },
    { "Synthetic interrupts and triggers", event_rows },
    { "Virtual PCI and migration", device_rows },
    { "The emulator library", emulator_rows },
    { "softwhp.h", own_rows },
};
const unsigned chapter_count = sizeof chapters / sizeof *chapters;

/* ---- the walk ---- */

bool visit_function(struct visit *v, const struct function *f)
{
    v->function = f;
    if (v->see)
        v->see(v, f, NULL);
    return f == v->wanted_function;
}

bool visit_row(struct visit *v, const struct row *row)
{
    if (v->see)
        v->see(v, v->function, row);
    return row == v->wanted_row;
}

void visit_answer(struct visit *v, HRESULT answer)
{
    v->answer = answer;
    v->is_done = true;
}

/* All functions and all rows, by number. */
const struct function *functions[FUNCTIONS_MOST];
unsigned function_chapter[FUNCTIONS_MOST];
int function_count;
struct listed_row rows[ROWS_MOST];
int row_count;

static void collect(struct visit *v, const struct function *f, const struct row *row)
{
    unsigned chapter = *(unsigned *)v->context;

    if (!row) {
        ck_assert_int_lt(function_count, FUNCTIONS_MOST);
        function_chapter[function_count] = chapter;
        functions[function_count++] = f;
        return;
    }
    ck_assert_int_lt(row_count, ROWS_MOST);
    rows[row_count++] = (struct listed_row){ row, f, chapter };
}

void collect_all(void)
{
    static struct scene none;

    if (function_count)
        return;
    for (unsigned i = 0; i < chapter_count; i++) {
        struct visit v = { .see = collect, .context = &i };

        chapters[i].rows(&v, &none);
    }
}

HRESULT call_function(struct scene *s, int n)
{
    struct visit v = { .wanted_function = functions[n] };

    chapters[function_chapter[n]].rows(&v, s);
    ck_assert(v.is_done);
    return v.answer;
}

/* ---- answers ---- */

HRESULT answer_of(char letter)
{
    switch (letter) {
    case '.': return S_OK;
    case 'I':
    case 'A': return E_INVALIDARG;
    case 'P': return HV(7);
    case 'V': return WHV_E_INVALID_VP_STATE;
    case 'X': return WHV_E_VP_DOES_NOT_EXIST;
    case 'T': return INVALID_STATE;
    case 'N': return NOT_SUPPORTED;
    case 'S': return HV(0x18);
    case 'F': return (HRESULT)0x80070490u;
    default: ck_abort_msg("no such letter: %c", letter); return E_FAIL;
    }
}

static bool has_word(const char *text, const char *word)
{
    size_t length = strlen(word);

    for (; *text; text++) {
        size_t i = 0;

        while (i < length && tolower((unsigned char)text[i]) == tolower((unsigned char)word[i]))
            i++;
        if (i == length)
            return true;
    }
    return false;
}

/* Puts another text where the call's is expected. */
void forget_text(void)
{
    ck_hr(SwhpListInstructions(NULL, NULL), E_POINTER);
}

/* words: any of them, with bars between. */
void check_text(const char *row, const char *words)
{
    char text[512] = "", some[64];
    u32 size = 0;
    bool found = false;

    ck_ok(SwhpGetLastErrorText(text, sizeof text, &size));
    ck_assert_msg(size > 8 && strlen(text) + 1 == size, "%s: no text", row);
    for (const char *w = words; *w && !found; w += strcspn(w, "|"), w += *w == '|') {
        snprintf(some, sizeof some, "%.*s", (int)strcspn(w, "|"), w);
        found = has_word(text, some);
    }
    ck_assert_msg(found, "%s: \"%s\" doesn't tell of %s", row, text, words);
}
