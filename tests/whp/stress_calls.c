/* SPDX-License-Identifier: MIT */
/*
 * Calls that look at one processor, or at all, while others run, come and go, on threads of their own: none waits for
 * ever, none looks at what is gone, and time never falls. With the virtual clock, which is the sum of all counts, and
 * the host's.
 */
#define _GNU_SOURCE /* pthread_tryjoin_np */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include "state/host.h"
#include "tests/whp/stress.h"

enum { VPS = 3, LOOP_AT = 0x8000, A_WHILE = 300 /* milliseconds */ };

static struct calls {
    WHV_PARTITION_HANDLE p;
    u8 *memory;
    u32 clock;
    u32 over;   /* atomic */
    u64 rounds[6];
    char wrong[6][120];
} s;

struct job {
    u32 number;
    struct chance chance;
};

static bool goes_on(void)
{
    return !__atomic_load_n(&s.over, __ATOMIC_RELAXED);
}

static void *found(struct job *j, const char *what, HRESULT hr)
{
    snprintf(s.wrong[j->number], sizeof s.wrong[0], "%s: %08x", what, (u32)hr);
    __atomic_store_n(&s.over, 1, __ATOMIC_RELAXED);
    return NULL;
}

static bool is_fine(HRESULT hr)
{
    return hr == S_OK || hr == WHV_E_INVALID_VP_STATE || hr == WHV_E_VP_DOES_NOT_EXIST ||
           hr == (HRESULT)0x8007139Fu; /* time isn't suspended while something runs, nor is anything reset */
}

/* Runs processor 0, or all of them in turns. */
static void *run(void *context)
{
    struct job *j = context;
    WHV_RUN_VP_EXIT_CONTEXT x;
    UINT32 which;

    for (; goes_on(); s.rounds[j->number]++) {
        u64 now = 0;
        HRESULT hr = SwhpGetClock(s.p, &now);

        if (is_fine(hr))
            hr = s.clock && chance_percent(&j->chance, 50)
                     ? SwhpRunPartition(s.p, now + chance_below(&j->chance, 400), &which, &x, sizeof x)
                     : WHvRunVirtualProcessor(s.p, 0, &x, sizeof x);
        if (!is_fine(hr))
            return found(j, "a run", hr);
    }
    return NULL;
}

static u64 get(u32 vp, WHV_REGISTER_NAME name, HRESULT *hr)
{
    WHV_REGISTER_VALUE v = { .Reg64 = 0 };

    *hr = WHvGetVirtualProcessorRegisters(s.p, vp, &name, 1, &v);
    return v.Reg64;
}

/* Of processors 0 and 1, which stay: the TSC, and what an APIC's timer tells. */
static void *look(void *context)
{
    struct job *j = context;
    u64 last[2] = { 0 };
    u8 page[4096];

    for (; goes_on(); s.rounds[j->number]++) {
        u32 vp = chance_below(&j->chance, 2);
        HRESULT hr;
        u64 now;

        switch (chance_below(&j->chance, 4)) {
        case 0: hr = WHvGetVirtualProcessorInterruptControllerState2(s.p, vp, page, sizeof page, NULL); break;
        case 1: get(vp, WHvX64RegisterApicCurrentCount, &hr); break;
        default:
            now = get(vp, WHvX64RegisterTsc, &hr);
            if (hr == S_OK && now < last[vp])
                return found(j, "time fell", hr);
            if (hr == S_OK)
                last[vp] = now;
        }
        if (!is_fine(hr))
            return found(j, "a look", hr);
    }
    return NULL;
}

/* Processor 2 comes, runs a little, and goes. */
static void *come_and_go(void *context)
{
    struct job *j = context;
    WHV_RUN_VP_EXIT_CONTEXT x;

    for (; goes_on(); s.rounds[j->number]++) {
        u64 count = 0;
        HRESULT hr = WHvCreateVirtualProcessor(s.p, 2, 0);

        if (hr == S_OK && (hr = SwhpGetInstructionCount(s.p, 2, &count)) == S_OK)
            hr = SwhpRunVirtualProcessorUntil(s.p, 2, count + 50, &x, sizeof x);
        if (!is_fine(hr))
            return found(j, "one that comes", hr);
        do
            hr = WHvDeleteVirtualProcessor(s.p, 2);
        while (hr == WHV_E_INVALID_VP_STATE && WHvCancelRunVirtualProcessor(s.p, 2, 0) == S_OK);
        if (!is_fine(hr))
            return found(j, "one that goes", hr);
    }
    return NULL;
}

/* The map, the clock, all processors at once. */
static void *change(void *context)
{
    struct job *j = context;
    WHV_ACCESS_GPA_CONTROLS controls = { .CacheType = WHvCacheTypeWriteBack };
    SWHP_DIGEST digest;
    u64 value = 0, none = 0;

    for (; goes_on(); s.rounds[j->number]++) {
        HRESULT hr;

        switch (chance_below(&j->chance, 9)) {
        case 0:
            hr = WHvMapGpaRange(s.p, s.memory + 0x20000, 0x20000, 0x4000, (WHV_MAP_GPA_RANGE_FLAGS)7);
            break;
        case 1: hr = WHvUnmapGpaRange(s.p, 0x21000, 0x1000); break;
        case 2: hr = WHvSuspendPartitionTime(s.p); break;
        case 3: hr = WHvResumePartitionTime(s.p); break;
        case 4: hr = s.clock ? SwhpAdvanceClock(s.p, 5) : S_OK; break;
        case 5: hr = SwhpStateHash(s.p, &digest); break;
        case 6:
            hr = WHvGetPartitionProperty(s.p, WHvPartitionPropertyCodeReferenceTime, &value, sizeof value, NULL);
            break;
        case 7: hr = WHvWriteGpaRange(s.p, chance_below(&j->chance, VPS), 0x22000, controls, &value, 8); break;
        default: hr = WHvSetPartitionProperty(s.p, WHvPartitionPropertyCodeExceptionExitBitmap, &none, 8); break;
        }
        if (!is_fine(hr) && hr != WHV_E_GPA_RANGE_NOT_FOUND && hr != E_ACCESSDENIED)
            return found(j, "a change", hr);
    }
    return NULL;
}

/* What keeps runs from lasting: the processors loop, and sleep where they are told to. */
static void *cancel(void *context)
{
    struct job *j = context;

    for (; goes_on(); s.rounds[j->number]++) {
        HRESULT hr = WHvCancelRunVirtualProcessor(s.p, chance_below(&j->chance, VPS), 0);

        if (!is_fine(hr))
            return found(j, "a cancel", hr);
        sched_yield();
    }
    return NULL;
}

/* A callback that looks at another processor than its own. */
static VOID CALLBACK on_exit_line(VOID *context, UINT32 vp, UINT64 count, UINT32 kind, const char *line)
{
    HRESULT hr;

    (void)context;
    (void)count;
    (void)kind;
    (void)line;
    get(1 - (vp & 1), WHvX64RegisterTsc, &hr);
}

/* 1: lock inc [20800]; pause; jmp 1b, with an APIC's timer ticking by its registers alone (its vector is masked) */
static const u8 loop[] = { 0xf0, 0xff, 0x06, 0x00, 0x08, 0xf3, 0x90, 0xeb, 0xf7 };

static void stand(u32 vp)
{
    static const WHV_REGISTER_NAME names[] = { WHvX64RegisterCs,           WHvX64RegisterDs,
                                               WHvX64RegisterRip,          WHvRegisterInternalActivityState,
                                               WHvX64RegisterApicSpurious, WHvX64RegisterApicDivide,
                                               WHvX64RegisterApicInitCount };
    WHV_REGISTER_VALUE v[7];

    memset(v, 0, sizeof v);
    v[0].Segment = (WHV_X64_SEGMENT_REGISTER){ .Limit = 0xffff, .Attributes = 0x9b };
    v[1].Segment = (WHV_X64_SEGMENT_REGISTER){ .Base = 0x20000, .Limit = 0xffff, .Attributes = 0x93 };
    v[2].Reg64 = LOOP_AT;
    v[4].Reg64 = 0x1ff;
    v[5].Reg64 = 0xb;
    v[6].Reg64 = 1000;
    ck_ok(WHvSetVirtualProcessorRegisters(s.p, vp, names, 7, v));
}

/* _i: the clock; then the same with the callback. */
START_TEST(calls_from_all_sides_never_wait_for_each_other)
{
    static void *(*const threads[])(void *) = { run, look, look, come_and_go, change, cancel };
    enum { THREADS = sizeof threads / sizeof *threads };
    u32 vps = VPS, mode = WHvX64LocalApicEmulationModeXApic;
    struct job jobs[THREADS];
    pthread_t ids[THREADS];
    u64 until = host_nanoseconds() + chance_wish("STRESS", 0) * 1000000000u + A_WHILE * 1000000u;

    memset(&s, 0, sizeof s);
    s.clock = (u32)_i & 1;
    s.memory = host_alloc(0x40000);
    memcpy(s.memory + LOOP_AT, loop, sizeof loop);
    ck_ok(WHvCreatePartition(&s.p));
    ck_ok(WHvSetPartitionProperty(s.p, WHvPartitionPropertyCodeProcessorCount, &vps, 4));
    ck_ok(WHvSetPartitionProperty(s.p, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeClock, &s.clock, 4));
    ck_ok(WHvSetPartitionProperty(s.p, WHvPartitionPropertyCodeLocalApicEmulationMode, &mode, 4));
    ck_ok(WHvSetupPartition(s.p));
    ck_ok(WHvMapGpaRange(s.p, s.memory, 0, 0x40000, (WHV_MAP_GPA_RANGE_FLAGS)7));
    for (u32 vp = 0; vp < 2; vp++) {
        ck_ok(WHvCreateVirtualProcessor(s.p, vp, 0));
        stand(vp);
    }
    if (_i > 1)
        ck_ok(SwhpTraceStart(s.p, SwhpTraceExit, on_exit_line, NULL));
    for (u32 i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){ i, { chance_wish("SEED", 1) * 8 + i } };
        ck_assert_int_eq(pthread_create(&ids[i], NULL, threads[i], &jobs[i]), 0);
    }
    while (host_nanoseconds() < until && goes_on())
        sched_yield();
    __atomic_store_n(&s.over, 1, __ATOMIC_RELAXED);
    for (u32 i = 0; i < THREADS; i++) {
        /* the one that cancels is over too; what runs once more ends by a latched cancel */
        while (pthread_tryjoin_np(ids[i], NULL)) {
            for (u32 vp = 0; vp < VPS; vp++)
                WHvCancelRunVirtualProcessor(s.p, vp, 0);
            sched_yield();
        }
        ck_assert_msg(!s.wrong[i][0], "%s", s.wrong[i]);
        ck_assert_msg(s.rounds[i] > 0, "thread %u had no turn", i);
    }
    ck_ok(WHvDeletePartition(s.p));
    host_free(s.memory, 0x40000);
}
END_TEST

TCase *stress_call_case(void)
{
    TCase *t = tcase_create("stress-calls");

    tcase_set_timeout(t, 30 + (double)chance_wish("STRESS", 0));
    tcase_add_loop_test(t, calls_from_all_sides_never_wait_for_each_other, 0, 4);
    return t;
}
