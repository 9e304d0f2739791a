/* SPDX-License-Identifier: MIT */
/*
 * Calls with garbage for arguments, in random order, from two threads at once: each returns, and with an
 * HRESULT that the reference knows. What a caller promises by a pointer and a size stays true; all else is at
 * random.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "include/WinHvEmulation.h"
#include "tests/whp/chance.h"
#include "tests/whp/guest.h"

enum { ROUNDS_QUICK = 20000, ROOM = 1 << 16, PARTITIONS = 3, PAGES = 16 };

/* What the threads share: they delete each other's partitions. */
static WHV_PARTITION_HANDLE shared[PARTITIONS];
static u8 *memory; /* PAGES of them */

struct caller {
    struct chance chance;
    u64 rounds;
    u32 worst; /* an HRESULT that should not be */
    int worst_call;
    _Alignas(16) u8 room[ROOM + 64];
};

static u64 number(struct chance *c)
{
    static const u64 edges[] = { 0,
                                 1,
                                 2,
                                 7,
                                 8,
                                 16,
                                 63,
                                 64,
                                 65,
                                 144,
                                 224,
                                 4095,
                                 4096,
                                 8192,
                                 0x7fffffff,
                                 0x80000000,
                                 0xffffffff,
                                 0x100000000,
                                 (u64)1 << 47,
                                 (u64)1 << 48,
                                 (u64)1 << 52,
                                 (u64)1 << 63,
                                 ~(u64)4095,
                                 ~(u64)0 };

    return chance_percent(c, 80) ? CHANCE_OF(c, edges) : chance_any(c);
}

static WHV_PARTITION_HANDLE partition(struct chance *c)
{
    WHV_PARTITION_HANDLE p = __atomic_load_n(&shared[chance_below(c, PARTITIONS)], __ATOMIC_SEQ_CST);

    if (chance_percent(c, 95))
        return p;
    return (WHV_PARTITION_HANDLE)(uintptr_t)(chance_percent(c, 50)
                                                 ? number(c)
                                                 : (u64)(uintptr_t)p ^ (u64)1 << chance_below(c, 64));
}

static u32 index_of(struct chance *c)
{
    return chance_percent(c, 90) ? chance_below(c, 2) : (u32)number(c);
}

/* NULL, or a place with all of ROOM behind it, perhaps misaligned. */
static void *place(struct caller *a)
{
    return chance_percent(&a->chance, 6)
               ? NULL
               : a->room + (chance_percent(&a->chance, 80) ? 0 : chance_below(&a->chance, 64));
}

/* NULL, or room for what has a type, which brings its alignment. */
static void *typed(struct caller *a)
{
    return chance_percent(&a->chance, 6) ? NULL : a->room;
}

/* A size that a callee may believe. */
static u32 size_of(struct chance *c)
{
    static const u32 sizes[] = { 0,   1,   4,   7,   8,   16,  24,   32,   48,  143,
                                 144, 224, 512, 575, 576, 832, 1024, 4096, ROOM };

    return CHANCE_OF(c, sizes);
}

static void *u32_place(struct caller *a)
{
    return chance_percent(&a->chance, 50) ? NULL : a->room + ROOM - 64;
}

static u32 property_code(struct chance *c)
{
    static const u32 bases[] = { 0, 0x1000, 0x53570000 };

    return chance_percent(c, 90) ? CHANCE_OF(c, bases) + chance_below(c, 20) : (u32)number(c);
}

static HRESULT create(struct caller *a)
{
    WHV_PARTITION_HANDLE *slot = &shared[chance_below(&a->chance, PARTITIONS)], p, old;
    u32 processors = 1 + chance_below(&a->chance, 2), clock = chance_below(&a->chance, 2);
    HRESULT hr = WHvCreatePartition(&p);

    if (FAILED(hr))
        return hr;
    WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, &processors, 4);
    WHvSetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeClock, &clock, 4);
    if (chance_percent(&a->chance, 90)) {
        WHvSetupPartition(p);
        WHvMapGpaRange(p, memory, 0, PAGES * 4096, (WHV_MAP_GPA_RANGE_FLAGS)7);
    }
    old = __atomic_exchange_n(slot, p, __ATOMIC_SEQ_CST);
    if (!old)
        return S_OK;
    while ((hr = WHvDeletePartition(old)) == WHV_E_INVALID_VP_STATE || hr == (HRESULT)0x8007139Fu) {
        WHvCancelRunVirtualProcessor(old, 0, 0);
        WHvCancelRunVirtualProcessor(old, 1, 0);
    }
    return hr;
}

static HRESULT map(struct caller *a)
{
    struct chance *c = &a->chance;
    u32 first = chance_below(c, PAGES), pages = 1 + chance_below(c, PAGES - first);

    switch (chance_below(c, 4)) {
    case 0: /* to be refused: what is left of the address space is smaller */
        return WHvMapGpaRange(partition(c), memory + first * 4096, (u64)1 << 63 | number(c), number(c) | 1,
                              (WHV_MAP_GPA_RANGE_FLAGS)number(c));
    case 1:
        return WHvMapGpaRange2(partition(c), NULL, memory + first * 4096, number(c), pages * 4096,
                               (WHV_MAP_GPA_RANGE_FLAGS)chance_below(c, 20));
    default:
        return WHvMapGpaRange(partition(c), memory + first * 4096, chance_below(c, 32) * 4096u, pages * 4096,
                              (WHV_MAP_GPA_RANGE_FLAGS)chance_below(c, 9));
    }
}

static HRESULT run(struct caller *a)
{
    struct chance *c = &a->chance;
    WHV_PARTITION_HANDLE p = partition(c);
    u32 index = index_of(c);
    u64 count = 0;

    SwhpGetInstructionCount(p, index, &count);
    return SwhpRunVirtualProcessorUntil(p, index, count + chance_below(c, 200), place(a), size_of(c));
}

static HRESULT registers(struct caller *a, bool sets)
{
    struct chance *c = &a->chance;
    WHV_REGISTER_NAME names[8];
    u32 n = chance_percent(c, 90) ? chance_below(c, 9) : 0;
    void *values = place(a);

    for (u32 i = 0; i < 8; i++) {
        static const u32 bases[] = { 0, 0x10, 0x1000, 0x1010, 0x2000, 0x80000000, 0x3000 };

        names[i] = (WHV_REGISTER_NAME)(chance_percent(c, 95) ? CHANCE_OF(c, bases) + chance_below(c, 24)
                                                             : (u32)number(c));
        if (values)
            store_bytes((u8 *)values + i * 16, number(c), 8);
    }
    return sets ? WHvSetVirtualProcessorRegisters(partition(c), index_of(c), names, n, values)
                : WHvGetVirtualProcessorRegisters(partition(c), index_of(c), names, n, values);
}

static HRESULT call(struct caller *a, u32 which)
{
    struct chance *c = &a->chance;
    u64 value = number(c);

    switch (which) {
    case 0: return create(a);
    case 1: return map(a);
    case 2:
        return WHvUnmapGpaRange(partition(c), chance_percent(c, 70) ? chance_below(c, 40) * 4096u : number(c),
                                number(c));
    case 3:
    case 4: return run(a);
    case 5:
    case 6: return registers(a, true);
    case 7: return registers(a, false);
    case 8:
        return WHvCreateVirtualProcessor(partition(c), index_of(c),
                                         chance_percent(c, 90) ? 0 : (u32)number(c));
    case 9: return chance_percent(c, 20) ? WHvDeleteVirtualProcessor(partition(c), index_of(c)) : S_OK;
    case 10:
        return WHvCancelRunVirtualProcessor(partition(c), index_of(c),
                                            chance_percent(c, 90) ? 0 : (u32)number(c));
    case 11:
        return WHvTranslateGva(partition(c), index_of(c), number(c),
                               (WHV_TRANSLATE_GVA_FLAGS)(chance_any(c) & 0x33f), typed(a),
                               (u64 *)(void *)(a->room + 128));
    case 12:
        return WHvGetPartitionProperty(partition(c), (WHV_PARTITION_PROPERTY_CODE)property_code(c), place(a),
                                       size_of(c), u32_place(a));
    case 13:
        store_bytes(a->room, value, 8);
        return WHvSetPartitionProperty(partition(c), (WHV_PARTITION_PROPERTY_CODE)property_code(c), place(a),
                                       size_of(c));
    case 14:
        return WHvGetCapability((WHV_CAPABILITY_CODE)property_code(c), place(a), size_of(c), u32_place(a));
    case 15:
        return WHvGetVirtualProcessorXsaveState(partition(c), index_of(c), place(a), size_of(c),
                                                u32_place(a));
    case 16: return WHvSetVirtualProcessorXsaveState(partition(c), index_of(c), place(a), size_of(c));
    case 17:
        return WHvGetVirtualProcessorState(partition(c), index_of(c),
                                           (WHV_VIRTUAL_PROCESSOR_STATE_TYPE)number(c), place(a), size_of(c),
                                           u32_place(a));
    case 18:
        return WHvQueryGpaRangeDirtyBitmap(partition(c), chance_below(c, 32) * 4096u, number(c) & 0xfffff,
                                           typed(a), size_of(c));
    case 19: return SwhpStateHash(partition(c), place(a));
    case 20: return SwhpExplainLastExit(partition(c), index_of(c), place(a), size_of(c), u32_place(a));
    case 21: return SwhpGetLastErrorText(place(a), size_of(c), u32_place(a));
    case 22: return SwhpAdvanceClock(partition(c), number(c));
    case 23: return SwhpGetClock(partition(c), typed(a));
    case 24: return WHvResetPartition(partition(c));
    case 25:
        return chance_percent(c, 50) ? WHvSuspendPartitionTime(partition(c))
                                     : WHvResumePartitionTime(partition(c));
    case 26:
        return WHvReadGpaRange(partition(c), index_of(c), number(c),
                               (WHV_ACCESS_GPA_CONTROLS){ .AsUINT64 = number(c) }, place(a), size_of(c));
    case 27:
        return WHvWriteGpaRange(partition(c), index_of(c), number(c),
                                (WHV_ACCESS_GPA_CONTROLS){ .AsUINT64 = 0 }, place(a), size_of(c));
    case 28:
        return WHvGetVirtualProcessorCounters(partition(c), index_of(c), (WHV_PROCESSOR_COUNTER_SET)number(c),
                                              place(a), size_of(c), u32_place(a));
    case 29:
        return WHvGetPartitionCounters(partition(c), (WHV_PARTITION_COUNTER_SET)number(c), place(a),
                                       size_of(c), u32_place(a));
    case 30: return WHvRequestInterrupt(partition(c), typed(a), size_of(c));
    case 31:
        return WHvGetVirtualProcessorCpuidOutput(partition(c), index_of(c), (u32)number(c), (u32)number(c),
                                                 typed(a));
    case 32: return WHvSetupPartition(partition(c));
    case 33: return WHvDeletePartition((WHV_PARTITION_HANDLE)(uintptr_t)number(c));
    case 34: return SwhpTraceStart(partition(c), (u32)number(c), NULL, NULL);
    case 35: return SwhpTraceStop(partition(c));
    default: return WHvEmulatorDestroyEmulator((WHV_EMULATOR_HANDLE)(uintptr_t)number(c));
    }
}

/* Every failure has a name; a success is S_OK. */
static bool is_known(HRESULT hr)
{
    static const u32 known[] = { 0,          0x80070057, 0x80004003, 0x80070005, 0x8007000e,
                                 0x80004001, 0x80070032, 0x80070490, 0x8007139f };
    u32 v = (u32)hr;

    for (u32 i = 0; i < sizeof known / sizeof *known; i++)
        if (v == known[i])
            return true;
    return (v >= 0x80370300 && v <= 0x80370310) || (v & 0xffff0000) == 0xc0350000;
}

static void *play(void *context)
{
    struct caller *a = context;

    for (u64 i = 0; i < a->rounds && !a->worst; i++) {
        u32 which =
            chance_percent(&a->chance, 40) ? 1 + chance_below(&a->chance, 10) : chance_below(&a->chance, 37);
        HRESULT hr;

        if (which == 0 && !chance_percent(&a->chance, 10))
            which = 3;
        hr = call(a, which);
        if (!is_known(hr)) {
            a->worst = (u32)hr;
            a->worst_call = (int)which;
        }
    }
    return NULL;
}

static void campaign(int threads)
{
    static struct caller callers[2];
    u64 seed = chance_wish("SEED", 1);
    pthread_t thread[2];

    memory = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    for (int i = 0; i < threads; i++) {
        callers[i].chance.state = seed * 2 + (u64)i;
        callers[i].rounds = chance_wish("ROUNDS", 0) ? chance_wish("ROUNDS", 0) * 1000 : ROUNDS_QUICK;
    }
    for (u32 i = 0; i < PAGES * 4096; i++)
        memory[i] = (u8)chance_any(&callers[0].chance);
    for (int i = 0; i < threads; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, play, &callers[i]), 0);
    for (int i = 0; i < threads; i++) {
        pthread_join(thread[i], NULL);
        ck_assert_msg(!callers[i].worst, "seed %llu: call %d returned %08x", (unsigned long long)seed,
                      callers[i].worst_call, callers[i].worst);
    }
    for (int i = 0; i < PARTITIONS; i++)
        if (shared[i])
            ck_ok(WHvDeletePartition(shared[i]));
    munmap(memory, PAGES * 4096);
}

START_TEST(garbage_is_refused_or_done)
{
    campaign(1);
}
END_TEST

START_TEST(garbage_from_two_threads_is_refused_or_done)
{
    campaign(2);
}
END_TEST

TCase *garbage_case(void)
{
    TCase *t = tcase_create("garbage");

    tcase_set_timeout(t, chance_wish("ROUNDS", 0) ? 100000 : 30);
    tcase_add_test(t, garbage_is_refused_or_done);
    tcase_add_test(t, garbage_from_two_threads_is_refused_or_done);
    return t;
}
