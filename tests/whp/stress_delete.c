/* SPDX-License-Identifier: MIT */
/*
 * A partition that is deleted under everybody, again and again, while its processors run, sleep and are called: each
 * call is done, or says that it came too late; none crashes, none waits for ever.
 */
#define _GNU_SOURCE /* pthread_tryjoin_np */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "state/host.h"
#include "tests/whp/stress.h"

enum { VPS = 3, MEMORY = 0x40000, LOOP_AT = 0x8000, BELL_AT = 0x30000 };

static WHV_PARTITION_HANDLE shared; /* atomic; may be deleted at any time */
static u8 *memory;
static u32 over, deleted;           /* atomic */
static int event;

struct job {
    u32 number;
    u64 rounds;
    struct chance chance;
    char wrong[120];
};

static bool goes_on(void)
{
    return !__atomic_load_n(&over, __ATOMIC_RELAXED);
}

static WHV_PARTITION_HANDLE now(void)
{
    return __atomic_load_n(&shared, __ATOMIC_SEQ_CST);
}

static void *found(struct job *j, const char *what, HRESULT hr)
{
    snprintf(j->wrong, sizeof j->wrong, "%s: %08x", what, (u32)hr);
    __atomic_store_n(&over, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* Done, or too late, or too early. */
static bool is_fine(HRESULT hr)
{
    static const u32 known[] = { S_OK,       0x80070057, 0x80370305, 0x80370306, 0x80370307, 0x80370308, 0x8007139f,
                                 0x80070005, 0xc0350005, 0xc0350007, 0xc0350018, 0xc0350019, 0x80070490 };

    for (u32 i = 0; i < sizeof known / sizeof *known; i++)
        if ((u32)hr == known[i])
            return true;
    return false;
}

/* lock inc [bx]; pause; 1 in 16: hlt, which sleeps; again */
static const u8 loop[] = { 0xf0, 0xff, 0x07, 0xf3, 0x90, 0xf7, 0x07, 0x0f, 0x00, 0x75, 0x01, 0xf4, 0xeb, 0xf2 };

static HRESULT stand(WHV_PARTITION_HANDLE p, u32 vp)
{
    static const WHV_REGISTER_NAME names[] = { WHvX64RegisterCs, WHvX64RegisterRip, WHvX64RegisterRbx,
                                               WHvRegisterInternalActivityState };
    WHV_REGISTER_VALUE v[4];

    memset(v, 0, sizeof v);
    v[0].Segment = (WHV_X64_SEGMENT_REGISTER){ .Limit = 0xffff, .Attributes = 0x9b };
    v[1].Reg64 = LOOP_AT;
    v[2].Reg64 = 0x4000 + vp * 0x100;
    return WHvSetVirtualProcessorRegisters(p, vp, names, 4, v);
}

/* Made whole, then shown to the others. */
static HRESULT make(struct job *j)
{
    const WHV_PARTITION_PROPERTY_CODE clock_code = (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeClock;
    u64 banks[2] = { 1, 1 << 0 | 1 << 1 | 1 << 4 };
    u32 vps = VPS, mode = chance_below(&j->chance, 3), clock = chance_below(&j->chance, 2);
    WHV_PARTITION_HANDLE p;
    HRESULT hr = WHvCreatePartition(&p);

    if (hr != S_OK)
        return hr;
    if ((hr = WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, &vps, 4)) == S_OK &&
        (hr = WHvSetPartitionProperty(p, WHvPartitionPropertyCodeLocalApicEmulationMode, &mode, 4)) == S_OK &&
        (hr = WHvSetPartitionProperty(p, clock_code, &clock, 4)) == S_OK &&
        (hr = WHvSetPartitionProperty(p, WHvPartitionPropertyCodeSyntheticProcessorFeaturesBanks, banks, 16)) == S_OK &&
        (hr = WHvSetupPartition(p)) == S_OK)
        hr = WHvMapGpaRange(p, memory, 0, MEMORY, (WHV_MAP_GPA_RANGE_FLAGS)7);
    for (u32 vp = 0; vp < VPS && hr == S_OK; vp++)
        if ((hr = WHvCreateVirtualProcessor(p, vp, 0)) == S_OK)
            hr = stand(p, vp);
    __atomic_store_n(&shared, p, __ATOMIC_SEQ_CST);
    return hr;
}

static void *delete_and_make(void *context)
{
    struct job *j = context;

    for (; goes_on(); j->rounds++) {
        HRESULT hr = WHvDeletePartition(now());

        if (hr == S_OK) { /* they know nothing of it yet */
            __atomic_fetch_add(&deleted, 1, __ATOMIC_RELAXED);
            for (u32 i = chance_below(&j->chance, 30); i; i--)
                sched_yield();
            hr = make(j);
        } else if (hr == WHV_E_INVALID_VP_STATE) { /* one runs: it is told to stop, sometimes */
            if (chance_percent(&j->chance, 30))
                for (u32 vp = 0; vp < VPS; vp++)
                    WHvCancelRunVirtualProcessor(now(), vp, 0);
            sched_yield();
            hr = S_OK;
        }
        if (hr != S_OK)
            return found(j, "a deletion", hr);
    }
    return NULL;
}

static void *run(void *context)
{
    struct job *j = context;
    WHV_RUN_VP_EXIT_CONTEXT x;
    UINT32 which;

    for (; goes_on(); j->rounds++) {
        WHV_PARTITION_HANDLE p = now();
        u64 clock = 0;
        HRESULT hr = S_OK;

        if (j->number && chance_percent(&j->chance, 30)) {
            hr = SwhpGetClock(p, &clock);
            if (hr == S_OK)
                hr = SwhpRunPartition(p, clock + chance_below(&j->chance, 500), &which, &x, sizeof x);
        } else {
            hr = WHvRunVirtualProcessor(p, chance_below(&j->chance, VPS), &x, sizeof x);
        }
        if (!is_fine(hr))
            return found(j, "a run", hr);
        sched_yield();
    }
    return NULL;
}

static HRESULT call_one(struct job *j, WHV_PARTITION_HANDLE p)
{
    static const WHV_REGISTER_NAME names[] = { WHvX64RegisterTsc, WHvX64RegisterRip, WHvX64RegisterXCr0 };
    static const WHV_DOORBELL_MATCH_DATA bell = { .GuestAddress = BELL_AT, .Length = 4, .MatchOnLength = 1 };
    WHV_INTERRUPT_CONTROL request = { .Type = WHvX64InterruptTypeNmi, .Destination = chance_below(&j->chance, VPS) };
    WHV_ACCESS_GPA_CONTROLS controls = { .CacheType = WHvCacheTypeWriteBack };
    u64 message[2] = { 1 }, words[8] = { 0 };
    WHV_TRANSLATE_GVA_RESULT result;
    WHV_REGISTER_VALUE v[3];
    u32 vp = chance_below(&j->chance, VPS);
    SWHP_DIGEST digest;
    u8 page[4096];
    HRESULT hr;

    switch (chance_below(&j->chance, 19)) {
    case 0: return WHvCancelRunVirtualProcessor(p, vp, 0);
    case 1: return WHvMapGpaRange(p, memory + 0x10000, 0x10000, 0x4000, (WHV_MAP_GPA_RANGE_FLAGS)7);
    case 2: return WHvUnmapGpaRange(p, 0x11000, 0x1000);
    case 3: return WHvGetVirtualProcessorRegisters(p, vp, names, 3, v);
    case 4: return stand(p, vp);
    case 5: return WHvDeleteVirtualProcessor(p, vp);
    case 6: return WHvCreateVirtualProcessor(p, vp, 0);
    case 7: return WHvResetPartition(p);
    case 8: return WHvSuspendPartitionTime(p);
    case 9: return WHvResumePartitionTime(p);
    case 10:
        hr = WHvRequestInterrupt(p, &request, sizeof request);
        return hr == (HRESULT)0xC0350008u ? S_OK : hr; /* no APIC */
    case 11: return WHvPostVirtualProcessorSynicMessage(p, vp, 2, message, sizeof message);
    case 12: return WHvRegisterPartitionDoorbellEvent(p, &bell, (HANDLE)(intptr_t)event);
    case 13: return WHvUnregisterPartitionDoorbellEvent(p, &bell);
    case 14: return SwhpStateHash(p, &digest);
    case 15: return WHvTranslateGva(p, vp, 0x1000, WHvTranslateGvaFlagNone, &result, words);
    case 16: return WHvWriteGpaRange(p, vp, 0x12000, controls, words, 8);
    case 17:
        hr = WHvGetVirtualProcessorInterruptControllerState2(p, vp, page, sizeof page, NULL);
        return hr == (HRESULT)0xC0350008u ? S_OK : hr;
    default: return WHvSetPartitionProperty(p, WHvPartitionPropertyCodeExceptionExitBitmap, words + 1, 8);
    }
}

static void *call(void *context)
{
    struct job *j = context;

    for (; goes_on(); j->rounds++) {
        HRESULT hr = call_one(j, now());

        if (!is_fine(hr))
            return found(j, "a call", hr);
    }
    return NULL;
}

START_TEST(partitions_are_deleted_under_everybody)
{
    static void *(*const threads[])(void *) = { run, run, delete_and_make, call, call };
    enum { THREADS = sizeof threads / sizeof *threads };
    static struct job jobs[THREADS];
    pthread_t ids[THREADS];
    u64 until;

    memory = host_alloc(MEMORY);
    memcpy(memory + LOOP_AT, loop, sizeof loop);
    event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    for (u32 i = 0; i < THREADS; i++)
        jobs[i] = (struct job){ .number = i, .chance = { chance_wish("SEED", 1) * 8 + i } };
    ck_ok(make(&jobs[2]));
    until = host_nanoseconds() + chance_wish("STRESS", 1) * 1000000000u;
    for (u32 i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&ids[i], NULL, threads[i], &jobs[i]), 0);
    while (host_nanoseconds() < until && goes_on())
        sched_yield();
    __atomic_store_n(&over, 1, __ATOMIC_RELAXED);
    for (u32 i = 0; i < THREADS; i++)
        while (pthread_tryjoin_np(ids[i], NULL)) {
            for (u32 vp = 0; vp < VPS; vp++)
                WHvCancelRunVirtualProcessor(now(), vp, 0);
            sched_yield();
        }
    for (u32 i = 0; i < THREADS; i++) {
        ck_assert_msg(!jobs[i].wrong[0], "%s", jobs[i].wrong);
        ck_assert_msg(jobs[i].rounds > 0, "thread %u had no turn", i);
    }
    ck_assert_uint_gt(deleted, 0);
    ck_ok(WHvDeletePartition(shared));
    host_free(memory, MEMORY);
    close(event);
}
END_TEST

TCase *stress_delete_case(void)
{
    TCase *t = tcase_create("stress-delete");

    tcase_set_timeout(t, 30 + (double)chance_wish("STRESS", 1));
    tcase_add_test(t, partitions_are_deleted_under_everybody);
    return t;
}
