/* SPDX-License-Identifier: MIT */
/* Misuses: partitions from creation to deletion, and their time. */
#include <stdlib.h>

#include "tests/whp/misuse.h"

enum { LIVE_MOST = 1024 };

/* One partition more than there can be. */
static HRESULT one_too_many(WHV_PARTITION_HANDLE *into)
{
    static WHV_PARTITION_HANDLE p[LIVE_MOST];
    HRESULT hr = S_OK, last;
    unsigned n = 0;
    WHV_PARTITION_HANDLE was = *into;

    for (; n < LIVE_MOST && SUCCEEDED(hr = WHvCreatePartition(&p[n])); n++)
        ;
    last = n < LIVE_MOST ? hr : S_OK;
    ck_assert_ptr_eq(*into, was);
    for (unsigned i = 0; i < n; i++)
        ck_ok(WHvDeletePartition(p[i]));
    return last;
}

static HRESULT create_with(const char *environment, struct scene *s)
{
    WHV_PARTITION_HANDLE p = s;

    ck_assert_int_eq(setenv("SOFTWHP", environment, 1), 0);
    HRESULT hr = WHvCreatePartition(&p);

    unsetenv("SOFTWHP");
    ck_assert(FAILED(hr) && (void *)p == s);
    return hr;
}

static HRESULT delete_twice(void)
{
    WHV_PARTITION_HANDLE p;

    ck_ok(WHvCreatePartition(&p));
    ck_ok(WHvDeletePartition(p));
    return WHvDeletePartition(p);
}

static HRESULT create(struct scene *s)
{
    WHV_PARTITION_HANDLE p;
    HRESULT hr = WHvCreatePartition(&p);

    (void)s;
    if (SUCCEEDED(hr))
        ck_ok(WHvDeletePartition(p));
    return hr;
}

void partition_rows(struct visit *v, struct scene *s)
{
    static const struct function creation = { "WHvCreatePartition", TAKES_NOTHING, ".......", "makes a partition" };

    if (visit_function(v, &creation))
        visit_answer(v, create(s));
    ROW("Partition is NULL", E_POINTER, "Partition", "1.5", WHvCreatePartition(NULL));
    ROW("1024 partitions live", E_OUTOFMEMORY, "partitions live", "1.5", one_too_many(&s->p));
    ROW("SOFTWHP has an unknown name", E_INVALIDARG, "SOFTWHP", "ours", create_with("color=blue", s));
    ROW("SOFTWHP has a word without a value", E_INVALIDARG, "SOFTWHP", "ours", create_with("clock", s));
    ROW("SOFTWHP has a bad value", E_INVALIDARG, "SOFTWHP", "ours", create_with("clock=sun", s));
    ROW("SOFTWHP names a trace that can't be written", E_INVALIDARG, "SOFTWHP", "ours",
        create_with("trace=exit:/nowhere/at/all", s));

    FUNCTION(WHvSetupPartition, TAKES_PARTITION, ".PPPPPI", "fixes the properties; memory and processors come after it",
             (s->p));
    ROW("ProcessorCount was never set", WHV_E_INVALID_PARTITION_CONFIG, "ProcessorCount", "1.3",
        WHvSetupPartition(s->raw));
    ROW("a second time", HV(7), "Partition", "1.3", WHvSetupPartition(s->fixed));
    ROW("a second time, with processors", HV(7), "Partition", "1.3", WHvSetupPartition(s->p));

    FUNCTION(WHvResetPartition, TAKES_PARTITION, "T..TTTI", "all processors back to power-on; cancels are forgotten",
             (s->p));
    ROW("not set up", INVALID_STATE, "Partition", "1.5", WHvResetPartition(s->raw));

    FUNCTION(WHvSuspendPartitionTime, TAKES_PARTITION, "...TTTI",
             "stops the clock until it is resumed, or something runs", (s->p));
    FUNCTION(WHvResumePartitionTime, TAKES_PARTITION, "......I", "lets the clock go on; nothing, if it does", (s->p));

    FUNCTION(WHvDeletePartition, TAKES_PARTITION, "...VVVI", "with its processors; the memory is the caller's", (s->p));
    ROW("a second time", E_INVALIDARG, "Partition", "1.3", delete_twice());
}
