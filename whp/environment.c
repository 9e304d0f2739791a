/* SPDX-License-Identifier: MIT */
/*
 * The environment variable SOFTWHP, for programs that know nothing of our properties:
 *
 *   SOFTWHP=clock=virtual,rate=1,seed=7,profile=zen,api=26100,undefined=hardware,trace=exit:FILE
 *
 * A trace goes to the file, or to standard error without one.
 */
#include <stdio.h>
#include <stdlib.h>

#include "whp/partition.h"

static HRESULT refuse(const char *word, const char *why)
{
    fprintf(stderr, "softwhp: SOFTWHP: \"%s\": %s\n", word, why);
    return fail(E_INVALIDARG, "the environment variable SOFTWHP: \"%s\": %s", word, why);
}

static bool parse_number(const char *text, u64 *value)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    *value = strtoull(text, &end, 0);
    return !*end;
}

static VOID CALLBACK write_line(VOID *context, UINT32 index, UINT64 count, UINT32 kind, const char *line)
{
    (void)index;
    (void)count;
    (void)kind;
    fprintf(context, "%s\n", line);
    fflush(context);
}

/* Each partition starts the file anew, and only ever adds to it, so that several can live on one. */
static HRESULT start_trace(struct partition *p, const char *word, const char *value)
{
    if (strncmp(value, "exit", 4) || (value[4] && value[4] != ':'))
        return refuse(word, "the kinds of trace are: exit");

    FILE *file = host_log_open(value[4] ? value + 5 : NULL);

    if (!file)
        return refuse(word, "the file can't be opened for writing");
    if (p->trace_file)
        fclose(p->trace_file);
    p->trace_file = file;
    p->trace = write_line;
    p->trace_context = file;
    p->trace_kinds = SwhpTraceExit;
    return S_OK;
}

struct choice {
    const char *name;
    u32 code;
    u8 size;              /* of a number; 0: a text */
    const char *names[3]; /* numbers from 0 on that have names */
};

static const struct choice choices[] = {
    { "clock", SwhpPartitionPropertyCodeClock, 4, { "host", "virtual" } },
    { "rate", SwhpPartitionPropertyCodeClockRate, 4, { NULL } },
    { "seed", SwhpPartitionPropertyCodeSeed, 8, { NULL } },
    { "profile", SwhpPartitionPropertyCodeProfile, 0, { NULL } },
    { "api", SwhpPartitionPropertyCodeApiLevel, 4, { NULL } },
    { "undefined", SwhpPartitionPropertyCodeUndefinedResults, 4, { "hardware", "zero", "seeded" } },
};

static HRESULT apply_choice(struct partition *p, const struct choice *c, const char *word, const char *value)
{
    char text[32] = { 0 };
    u64 number = 0;
    bool is_known = false;

    if (c->size) {
        for (unsigned i = 0; i < 3 && c->names[i] && !is_known; i++) {
            number = i;
            is_known = !strcmp(value, c->names[i]);
        }
        if (!is_known && (c->names[0] || !parse_number(value, &number) || (c->size < 8 && number >> 32)))
            return refuse(word, c->names[0] ? "no such choice" : "not a number that it can be");
    } else if (strlen(value) < sizeof text) {
        memcpy(text, value, strlen(value));
    }

    HRESULT hr =
        c->size ? property_set(p, c->code, &number, c->size) : property_set(p, c->code, text, sizeof text);

    return FAILED(hr) ? refuse(word, "the value isn't one that this version takes") : S_OK;
}

static HRESULT apply_word(struct partition *p, char *word)
{
    char *equals = strchr(word, '=');

    if (!equals)
        return refuse(word, "expected NAME=VALUE");
    size_t length = (size_t)(equals - word);

    if (length == 5 && !memcmp(word, "trace", 5))
        return start_trace(p, word, equals + 1);
    for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
        if (strlen(choices[i].name) == length && !memcmp(word, choices[i].name, length))
            return apply_choice(p, &choices[i], word, equals + 1);
    }
    return refuse(word, "the names are api, clock, rate, seed, profile, undefined, trace");
}

HRESULT environment_apply(struct partition *p)
{
    const char *value = getenv("SOFTWHP");
    HRESULT hr = S_OK;

    if (!value || !*value)
        return S_OK;

    size_t size = strlen(value) + 1;
    char *words = malloc(size), *word = words;

    if (!words)
        return fail(E_OUTOFMEMORY, "no memory");
    memcpy(words, value, size);
    while (word && SUCCEEDED(hr)) {
        char *comma = strchr(word, ',');

        if (comma)
            *comma = 0;
        if (*word)
            hr = apply_word(p, word);
        word = comma ? comma + 1 : NULL;
    }
    free(words);
    return hr;
}
