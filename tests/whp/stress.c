/* SPDX-License-Identifier: MIT */
/* The stress: two threads run, three call. How long, in seconds for each mode of the APIC: STRESS. */
#include "tests/whp/stress.h"

#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>

#include "state/host.h"

Suite *stress_suite(void);

enum { MAPPER = 2, CALLER, MAKER, THREADS, GUEST = 2 /* the processor that comes and goes */ };

struct job {
    struct stress *s;
    u32 number;
    struct chance chance;
};

static bool goes_on(const struct job *j)
{
    return !__atomic_load_n(&j->s->over, __ATOMIC_RELAXED);
}

/* A thread that finds something says so and ends; the test fails for it, once all are joined. */
__attribute__((format(printf, 2, 3))) static void *found(struct job *j, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(j->s->wrong[j->number], sizeof j->s->wrong[0], format, ap);
    va_end(ap);
    __atomic_store_n(&j->s->over, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* ---- who runs ---- */

static unsigned long long stacked(struct job *j, u32 at)
{
    static const WHV_REGISTER_NAME rsp = WHvX64RegisterRsp;
    WHV_REGISTER_VALUE v = { .Reg64 = 0 };

    WHvGetVirtualProcessorRegisters(j->s->partition, j->number, &rsp, 1, &v);
    return v.Reg64 + at < STRESS_MEMORY - 8 ? load_bytes(j->s->memory + v.Reg64 + at, 8) : 0;
}

static void *run(void *context)
{
    struct job *j = context;
    WHV_RUN_VP_EXIT_CONTEXT x;

    while (goes_on(j)) {
        HRESULT hr = WHvRunVirtualProcessor(j->s->partition, j->number, &x, sizeof x);

        j->s->rounds[j->number]++;
        if (hr != S_OK)
            return found(j, "processor %u: Run gives %08x", j->number, (u32)hr);
        switch (x.ExitReason) {
        case WHvRunVpExitReasonMemoryAccess:
            if (x.MemoryAccess.Gpa < STRESS_TARGET || x.MemoryAccess.Gpa >= STRESS_TARGET + STRESS_PAGES * 0x1000)
                return found(j, "processor %u: a memory exit at %llx", j->number,
                             (unsigned long long)x.MemoryAccess.Gpa);
            sched_yield(); /* the mapper will map it */
            break;
        case WHvRunVpExitReasonX64Halt:
            if (j->s->mode)
                return found(j, "processor %u: an exit for HLT with an APIC", j->number);
            break;
        case WHvRunVpExitReasonCanceled:
        case WHvRunVpExitReasonX64ApicEoi: break;
        default:
            return found(j, "processor %u: reason %x at %llx, rax %llx; the stack: %llx %llx", j->number,
                         (unsigned)x.ExitReason, (unsigned long long)x.VpContext.Rip,
                         (unsigned long long)x.IoPortAccess.Rax, stacked(j, 0), stacked(j, 8));
        }
    }
    return NULL;
}

/* ---- who maps ---- */

static HRESULT map(struct job *j, u32 page, u32 pages, u32 flags)
{
    u8 *from = j->s->target[chance_below(&j->chance, 2)];

    return WHvMapGpaRange(j->s->partition, from + page * 0x1000, STRESS_TARGET + page * 0x1000, pages * 0x1000,
                          (WHV_MAP_GPA_RANGE_FLAGS)flags);
}

static HRESULT change_memory(struct job *j)
{
    u32 page = chance_below(&j->chance, STRESS_PAGES), pages = 1 + chance_below(&j->chance, STRESS_PAGES - page);
    WHV_MEMORY_RANGE_ENTRY range = { STRESS_TARGET, STRESS_PAGES * 0x1000 };
    u64 bits[1];
    HRESULT hr;

    switch (chance_below(&j->chance, 8)) {
    case 0:
        hr = WHvUnmapGpaRange(j->s->partition, STRESS_TARGET + page * 0x1000, pages * 0x1000);
        if (hr == S_OK)
            hr = map(j, page, pages, 15);
        break;
    case 1: hr = map(j, page, pages, 1 | chance_below(&j->chance, 2) << 2); break; /* no right to write */
    case 2: hr = map(j, page, pages, 3); break;                                    /* nor to execute */
    case 3:
    case 4:
        hr = WHvQueryGpaRangeDirtyBitmap(j->s->partition, STRESS_TARGET, STRESS_PAGES * 0x1000, bits, sizeof bits);
        return hr == E_INVALIDARG || hr == WHV_E_GPA_RANGE_NOT_FOUND ? S_OK : hr; /* some page isn't tracked just now */
    case 5: return WHvAdviseGpaRange(j->s->partition, &range, 1, WHvAdviseGpaRangeCodePin, NULL, 0);
    default: hr = map(j, 0, STRESS_PAGES, 15); break;
    }
    return hr == S_OK ? map(j, 0, STRESS_PAGES, 15) : hr;
}

/* The third processor: made, run to its first exit (nothing is mapped where it starts) or cancelled, deleted. */
static HRESULT come_and_go(struct job *j)
{
    WHV_RUN_VP_EXIT_CONTEXT x;
    HRESULT hr = WHvCreateVirtualProcessor(j->s->partition, GUEST, 0);

    if (hr == S_OK) /* with an APIC it is asleep, waiting for a SIPI: that is the caller's to send, or he cancels */
        hr = WHvRunVirtualProcessor(j->s->partition, GUEST, &x, sizeof x);
    return hr == S_OK ? WHvDeleteVirtualProcessor(j->s->partition, GUEST) : hr;
}

static void *change(void *context)
{
    struct job *j = context;

    while (goes_on(j)) {
        bool is_memory = chance_percent(&j->chance, 80);
        HRESULT hr = is_memory ? change_memory(j) : come_and_go(j);

        j->s->rounds[j->number]++;
        if (hr != S_OK)
            found(j, "%s: %08x", is_memory ? "a change of memory" : "a processor that comes and goes", (u32)hr);
    }
    __atomic_store_n(&j->s->is_mapper_over, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* ---- who calls ---- */

static HRESULT request(struct job *j, u32 vp, u32 type)
{
    WHV_INTERRUPT_CONTROL c = { .Type = (UINT8)type,
                                .TriggerMode = chance_percent(&j->chance, 20) ? WHvX64InterruptTriggerModeLevel
                                                                             : WHvX64InterruptTriggerModeEdge,
                                .DestinationMode = WHvX64InterruptDestinationModePhysical,
                                .Destination = vp,
                                .Vector = 0x40 + chance_below(&j->chance, 0xb0) };

    return WHvRequestInterrupt(j->s->partition, &c, sizeof c);
}

static HRESULT look(struct job *j, u32 vp)
{
    static const WHV_REGISTER_NAME names[] = { WHvX64RegisterRip, WHvX64RegisterRflags, WHvX64RegisterCr3,
                                               WHvX64RegisterXmm0, WHvX64RegisterTsc,
                                               WHvRegisterPendingInterruption };
    WHV_PARTITION_HANDLE p = j->s->partition;
    WHV_REGISTER_VALUE values[sizeof names / sizeof *names];
    WHV_ACCESS_GPA_CONTROLS controls = { .CacheType = WHvCacheTypeWriteBack };
    WHV_TRANSLATE_GVA_RESULT result;
    WHV_CPUID_OUTPUT cpuid;
    SWHP_DIGEST digest;
    UINT64 gpa, count;
    UINT32 written;
    u8 bytes[4096];

    switch (chance_below(&j->chance, 14)) {
    case 0: return WHvGetVirtualProcessorRegisters(p, vp, names, sizeof names / sizeof *names, values);
    case 1: return WHvTranslateGva(p, vp, 0x210000 + vp * 0x1000, WHvTranslateGvaFlagValidateRead, &result, &gpa);
    case 2: return WHvReadGpaRange(p, vp, STRESS_DATA + 0x50, controls, bytes, 16);
    case 3: return WHvWriteGpaRange(p, vp, STRESS_DATA + 0x800, controls, &j->chance, 8);
    case 4: return WHvGetVirtualProcessorXsaveState(p, vp, bytes, sizeof bytes, &written);
    case 5:
        return WHvGetVirtualProcessorCounters(p, vp, WHvProcessorCounterSetRuntime, bytes, sizeof bytes, &written);
    case 6: return WHvGetVirtualProcessorCpuidOutput(p, vp, 1, 0, &cpuid);
    case 7: return SwhpGetInstructionCount(p, vp, &count);
    case 8: return SwhpGetClock(p, &count);
    case 9: return SwhpStateHash(p, &digest);
    case 10:
        return j->s->mode
                   ? WHvGetVirtualProcessorInterruptControllerState2(p, vp, bytes, sizeof bytes, &written)
                   : WHvGetPartitionCounters(p, WHvPartitionCounterSetMemory, bytes, sizeof bytes, &written);
    case 11: /* which only happens where neither runs; the next Run resumes it */
        return WHvSuspendPartitionTime(p) == S_OK ? S_OK : WHV_E_INVALID_VP_STATE;
    case 12: return WHvResumePartitionTime(p);
    default: return WHvGetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, bytes, 8, &written);
    }
}

static bool is_fine(HRESULT hr, u32 vp)
{
    return hr == S_OK || hr == WHV_E_INVALID_VP_STATE || (vp == GUEST && hr == WHV_E_VP_DOES_NOT_EXIST);
}

static void *call(void *context)
{
    static const u32 types[] = { WHvX64InterruptTypeFixed, WHvX64InterruptTypeFixed, WHvX64InterruptTypeLowestPriority,
                                 WHvX64InterruptTypeNmi, WHvX64InterruptTypeLocalInt1 };
    static const u32 hard[] = { WHvX64InterruptTypeInit, WHvX64InterruptTypeSipi, WHvX64InterruptTypeNmi,
                                WHvX64InterruptTypeFixed };
    struct job *j = context;

    while (goes_on(j)) {
        u32 vp = chance_below(&j->chance, 3), kind = chance_below(&j->chance, 10);
        HRESULT hr;

        j->s->rounds[j->number]++;
        if (kind < 2) {
            hr = WHvCancelRunVirtualProcessor(j->s->partition, vp, 0);
        } else if (kind < 6) {
            hr = request(j, vp, vp == GUEST ? CHANCE_OF(&j->chance, hard) : CHANCE_OF(&j->chance, types));
            if (!j->s->mode) { /* which says so */
                if (hr == S_OK)
                    return found(j, "an interrupt is taken without an APIC");
                continue;
            }
            if (hr == E_INVALIDARG && vp == GUEST)
                continue; /* nobody there */
        } else {
            hr = look(j, vp);
        }
        if (!is_fine(hr, vp))
            return found(j, "call %u of processor %u: %08x", kind, vp, (u32)hr);
    }
    return NULL;
}

/* ---- who makes partitions ---- */

static HRESULT live_and_die(struct job *j, u8 *memory)
{
    WHV_PARTITION_HANDLE p;
    WHV_RUN_VP_EXIT_CONTEXT x;
    WHV_REGISTER_NAME names[] = { WHvX64RegisterCs, WHvX64RegisterRip };
    WHV_REGISTER_VALUE values[] = { { .Segment = { .Limit = 0xffff, .Attributes = 0x9b } }, { .Reg64 = 0 } };
    u32 one = 1 + chance_below(&j->chance, 2);
    HRESULT hr = WHvCreatePartition(&p);

    if (hr != S_OK)
        return hr;
    if ((hr = WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, &one, sizeof one)) == S_OK &&
        (hr = WHvSetupPartition(p)) == S_OK &&
        (hr = WHvMapGpaRange(p, memory, 0, 0x1000, (WHV_MAP_GPA_RANGE_FLAGS)7)) == S_OK &&
        (hr = WHvCreateVirtualProcessor(p, 0, 0)) == S_OK &&
        (hr = WHvSetVirtualProcessorRegisters(p, 0, names, 2, values)) == S_OK &&
        (hr = WHvRunVirtualProcessor(p, 0, &x, sizeof x)) == S_OK && x.ExitReason != WHvRunVpExitReasonX64Halt)
        hr = E_FAIL;
    if (hr == S_OK)
        hr = WHvDeletePartition(p);
    return hr != S_OK                                             ? hr
           : WHvCancelRunVirtualProcessor(p, 0, 0) == E_INVALIDARG ? S_OK
                                                                   : E_FAIL;
}

static void *make(void *context)
{
    struct job *j = context;
    u8 *memory = host_alloc(0x1000);

    memcpy(memory, "\xff\x06\x00\x02\xf4", 5); /* inc word [0x200]; hlt */
    while (goes_on(j)) {
        HRESULT hr = live_and_die(j, memory);

        j->s->rounds[j->number]++;
        if (hr != S_OK)
            return found(j, "a partition: %08x", (u32)hr);
    }
    host_free(memory, 0x1000);
    return NULL;
}

/* ---- all of it ---- */

static void open_stress(struct stress *s, u32 mode)
{
    u32 three = 3;

    memset(s, 0, sizeof *s);
    s->mode = mode;
    s->memory = host_alloc(STRESS_MEMORY);
    for (u32 i = 0; i < 2; i++)
        s->target[i] = host_alloc(STRESS_PAGES * 0x1000);
    ck_ok(WHvCreatePartition(&s->partition));
    ck_ok(WHvSetPartitionProperty(s->partition, WHvPartitionPropertyCodeProcessorCount, &three, sizeof three));
    ck_ok(WHvSetPartitionProperty(s->partition, WHvPartitionPropertyCodeLocalApicEmulationMode, &mode, sizeof mode));
    ck_ok(WHvSetupPartition(s->partition));
    ck_ok(WHvMapGpaRange(s->partition, s->memory, 0, STRESS_MEMORY, (WHV_MAP_GPA_RANGE_FLAGS)7));
    ck_ok(WHvMapGpaRange(s->partition, s->target[0], STRESS_TARGET, STRESS_PAGES * 0x1000,
                         (WHV_MAP_GPA_RANGE_FLAGS)15));
    stress_fill(s);
    for (u32 i = 0; i < 2; i++) {
        ck_ok(WHvCreateVirtualProcessor(s->partition, i, 0));
        stress_start(s, i);
    }
}

static void close_stress(struct stress *s)
{
    ck_ok(WHvDeletePartition(s->partition));
    host_free(s->memory, STRESS_MEMORY);
    for (u32 i = 0; i < 2; i++)
        host_free(s->target[i], STRESS_PAGES * 0x1000);
}

START_TEST(all_at_once)
{
    static void *(*const threads[THREADS])(void *) = { run, run, change, call, make };
    static struct stress s;
    struct job jobs[THREADS];
    pthread_t ids[THREADS];
    u64 until = host_nanoseconds() + chance_wish("STRESS", 1) * 1000000000u;

    open_stress(&s, (u32)_i);
    for (u32 i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){ .s = &s, .number = i, .chance = { chance_wish("SEED", 1) + i } };
        ck_assert_int_eq(pthread_create(&ids[i], NULL, threads[i], &jobs[i]), 0);
    }
    while (host_nanoseconds() < until && !__atomic_load_n(&s.over, __ATOMIC_RELAXED))
        sched_yield();
    __atomic_store_n(&s.over, 1, __ATOMIC_RELAXED);
    for (u32 i = 0; i < THREADS; i++) {
        if (i < 2) /* sticky, so that it may come early */
            ck_ok(WHvCancelRunVirtualProcessor(s.partition, i, 0));
        while (i == MAPPER && !__atomic_load_n(&s.is_mapper_over, __ATOMIC_RELAXED)) {
            WHvCancelRunVirtualProcessor(s.partition, GUEST, 0); /* in whose Run it may sit */
            sched_yield();
        }
        pthread_join(ids[i], NULL);
    }
    for (u32 i = 0; i < THREADS; i++) {
        ck_assert_msg(!s.wrong[i][0], "%s", s.wrong[i]);
        ck_assert_msg(s.rounds[i] > 0, "thread %u had no turn", i);
    }
    stress_check(&s);
    close_stress(&s);
}
END_TEST

Suite *stress_suite(void)
{
    Suite *s = suite_create("stress");
    TCase *t = tcase_create("stress");

    tcase_set_timeout(t, 30 + (double)chance_wish("STRESS", 1));
    tcase_add_loop_test(t, all_at_once, 0, 3);
    suite_add_tcase(s, t);
    suite_add_tcase(s, stress_call_case());
    suite_add_tcase(s, stress_hyperv_case());
    suite_add_tcase(s, stress_delete_case());
    return s;
}
