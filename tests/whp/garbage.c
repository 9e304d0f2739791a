/* SPDX-License-Identifier: MIT */
/*
 * Calls with garbage for arguments, in random order, from two threads at once: each returns, and with an
 * HRESULT that the reference knows. What a caller promises by a pointer and a size stays true; all else is at
 * random.
 */
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "include/WinHvEmulation.h"
#include "tests/whp/garbage.h"

enum { ROUNDS_QUICK = 20000, PARTITIONS = 3, PAGES = 16 };

/* What the threads share: they delete each other's partitions. */
static WHV_PARTITION_HANDLE shared[PARTITIONS];
static u8 *memory; /* PAGES of them */

u64 garbage_number(struct chance *c)
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

WHV_PARTITION_HANDLE garbage_partition(struct chance *c)
{
    WHV_PARTITION_HANDLE p = __atomic_load_n(&shared[chance_below(c, PARTITIONS)], __ATOMIC_SEQ_CST);

    if (chance_percent(c, 95))
        return p;
    return (WHV_PARTITION_HANDLE)(uintptr_t)(chance_percent(c, 50) ? garbage_number(c)
                                                                   : (u64)(uintptr_t)p ^ (u64)1 << chance_below(c, 64));
}

u32 garbage_index(struct chance *c)
{
    return chance_percent(c, 90) ? chance_below(c, 2) : (u32)garbage_number(c);
}

/* NULL, or a place with all of ROOM behind it, perhaps misaligned. */
void *garbage_place(struct caller *a)
{
    return chance_percent(&a->chance, 6)
               ? NULL
               : a->room + (chance_percent(&a->chance, 80) ? 0 : chance_below(&a->chance, 64));
}

/* NULL, or room for what has a type, which brings its alignment. */
void *garbage_typed(struct caller *a)
{
    return chance_percent(&a->chance, 6) ? NULL : a->room;
}

/* A size that a callee may believe. */
u32 garbage_size(struct chance *c)
{
    static const u32 sizes[] = { 0, 1, 4, 7, 8, 16, 24, 32, 48, 143, 144, 224, 512, 575, 576, 832, 1024, 4096, ROOM };

    return CHANCE_OF(c, sizes);
}

void *garbage_u32(struct caller *a)
{
    return chance_percent(&a->chance, 50) ? NULL : a->room + ROOM - 64;
}

static u32 property_code(struct chance *c)
{
    static const u32 bases[] = { 0, 0x1000, 0x53570000 };

    return chance_percent(c, 90) ? CHANCE_OF(c, bases) + chance_below(c, 20) : (u32)garbage_number(c);
}

static HRESULT create(struct caller *a)
{
    WHV_PARTITION_HANDLE *slot = &shared[chance_below(&a->chance, PARTITIONS)], p, old;
    u32 processors = 1 + chance_below(&a->chance, 2), clock = chance_below(&a->chance, 2);
    u32 apic_mode = chance_percent(&a->chance, 50) ? 0 : 1 + chance_below(&a->chance, 2);
    HRESULT hr = WHvCreatePartition(&p);

    if (FAILED(hr))
        return hr;
    WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, &processors, 4);
    WHvSetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeClock, &clock, 4);
    WHvSetPartitionProperty(p, WHvPartitionPropertyCodeLocalApicEmulationMode, &apic_mode, 4);
    if (chance_percent(&a->chance, 50)) {
        u64 banks[2] = { 1, 0x1ff & chance_any(&a->chance) }; /* Hyper-V's, up to AccessVpIndex */

        banks[1] |= 3;
        WHvSetPartitionProperty(p, WHvPartitionPropertyCodeSyntheticProcessorFeaturesBanks, banks, sizeof banks);
    }
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
        return WHvMapGpaRange(garbage_partition(c), memory + first * 4096, (u64)1 << 63 | garbage_number(c),
                              garbage_number(c) | 1, (WHV_MAP_GPA_RANGE_FLAGS)garbage_number(c));
    case 1:
        return WHvMapGpaRange2(garbage_partition(c), NULL, memory + first * 4096, garbage_number(c), pages * 4096,
                               (WHV_MAP_GPA_RANGE_FLAGS)chance_below(c, 20));
    default:
        return WHvMapGpaRange(garbage_partition(c), memory + first * 4096, chance_below(c, 32) * 4096u, pages * 4096,
                              (WHV_MAP_GPA_RANGE_FLAGS)chance_below(c, 9));
    }
}

static HRESULT run(struct caller *a)
{
    struct chance *c = &a->chance;
    WHV_PARTITION_HANDLE p = garbage_partition(c);
    u32 index = garbage_index(c);
    u64 count = 0;

    if (chance_percent(c, 30)) { /* all of them; the clock may be the host's, in nanoseconds then */
        SwhpGetClock(p, &count);
        return SwhpRunPartition(p, count + chance_below(c, 3000), garbage_u32(a), garbage_place(a), garbage_size(c));
    }
    SwhpGetInstructionCount(p, index, &count);
    return SwhpRunVirtualProcessorUntil(p, index, count + chance_below(c, 200), garbage_place(a), garbage_size(c));
}

static HRESULT registers(struct caller *a, bool sets)
{
    struct chance *c = &a->chance;
    WHV_REGISTER_NAME names[8];
    u32 n = chance_percent(c, 90) ? chance_below(c, 9) : 0;
    void *values = garbage_place(a);

    for (u32 i = 0; i < 8; i++) {
        static const u32 bases[] = { 0, 0x10, 0x1000, 0x1010, 0x2000, 0x80000000, 0x3000, 0x4000, 0x5000 };

        names[i] = (WHV_REGISTER_NAME)(chance_percent(c, 95) ? CHANCE_OF(c, bases) + chance_below(c, 24)
                                                             : (u32)garbage_number(c));
        if (values)
            store_bytes((u8 *)values + i * 16, garbage_number(c), 8);
    }
    return sets ? WHvSetVirtualProcessorRegisters(garbage_partition(c), garbage_index(c), names, n, values)
                : WHvGetVirtualProcessorRegisters(garbage_partition(c), garbage_index(c), names, n, values);
}

static HRESULT call(struct caller *a, u32 which)
{
    struct chance *c = &a->chance;
    u64 value = garbage_number(c);

    switch (which) {
    case 0: return create(a);
    case 1: return map(a);
    case 2:
        return WHvUnmapGpaRange(garbage_partition(c),
                                chance_percent(c, 70) ? chance_below(c, 40) * 4096u : garbage_number(c),
                                garbage_number(c));
    case 3:
    case 4: return run(a);
    case 5:
    case 6: return registers(a, true);
    case 7: return registers(a, false);
    case 8:
        return WHvCreateVirtualProcessor(garbage_partition(c), garbage_index(c),
                                         chance_percent(c, 90) ? 0 : (u32)garbage_number(c));
    case 9: return chance_percent(c, 20) ? WHvDeleteVirtualProcessor(garbage_partition(c), garbage_index(c)) : S_OK;
    case 10:
        return WHvCancelRunVirtualProcessor(garbage_partition(c), garbage_index(c),
                                            chance_percent(c, 90) ? 0 : (u32)garbage_number(c));
    case 11:
        return WHvTranslateGva(garbage_partition(c), garbage_index(c), garbage_number(c),
                               (WHV_TRANSLATE_GVA_FLAGS)(chance_any(c) & 0x33f), garbage_typed(a),
                               (u64 *)(void *)(a->room + 128));
    case 12:
        return WHvGetPartitionProperty(garbage_partition(c), (WHV_PARTITION_PROPERTY_CODE)property_code(c),
                                       garbage_place(a), garbage_size(c), garbage_u32(a));
    case 13:
        store_bytes(a->room, value, 8);
        return WHvSetPartitionProperty(garbage_partition(c), (WHV_PARTITION_PROPERTY_CODE)property_code(c),
                                       garbage_place(a), garbage_size(c));
    case 14:
        return WHvGetCapability((WHV_CAPABILITY_CODE)property_code(c), garbage_place(a), garbage_size(c),
                                garbage_u32(a));
    case 15:
        return WHvGetVirtualProcessorXsaveState(garbage_partition(c), garbage_index(c), garbage_place(a),
                                                garbage_size(c), garbage_u32(a));
    case 16:
        return WHvSetVirtualProcessorXsaveState(garbage_partition(c), garbage_index(c), garbage_place(a),
                                                garbage_size(c));
    case 17:
        return WHvGetVirtualProcessorState(garbage_partition(c), garbage_index(c),
                                           (WHV_VIRTUAL_PROCESSOR_STATE_TYPE)garbage_number(c), garbage_place(a),
                                           garbage_size(c), garbage_u32(a));
    case 18:
        return WHvQueryGpaRangeDirtyBitmap(garbage_partition(c), chance_below(c, 32) * 4096u,
                                           garbage_number(c) & 0xfffff, garbage_typed(a), garbage_size(c));
    case 19: return SwhpStateHash(garbage_partition(c), garbage_place(a));
    case 20:
        return SwhpExplainLastExit(garbage_partition(c), garbage_index(c), garbage_place(a), garbage_size(c),
                                   garbage_u32(a));
    case 21: return SwhpGetLastErrorText(garbage_place(a), garbage_size(c), garbage_u32(a));
    case 22: return SwhpAdvanceClock(garbage_partition(c), garbage_number(c));
    case 23: return SwhpGetClock(garbage_partition(c), garbage_typed(a));
    case 24: return WHvResetPartition(garbage_partition(c));
    case 25:
        return chance_percent(c, 50) ? WHvSuspendPartitionTime(garbage_partition(c))
                                     : WHvResumePartitionTime(garbage_partition(c));
    case 26:
        return WHvReadGpaRange(garbage_partition(c), garbage_index(c), garbage_number(c),
                               (WHV_ACCESS_GPA_CONTROLS){ .AsUINT64 = garbage_number(c) }, garbage_place(a),
                               garbage_size(c));
    case 27:
        return WHvWriteGpaRange(garbage_partition(c), garbage_index(c), garbage_number(c),
                                (WHV_ACCESS_GPA_CONTROLS){ .AsUINT64 = 0 }, garbage_place(a), garbage_size(c));
    case 28:
        return WHvGetVirtualProcessorCounters(garbage_partition(c), garbage_index(c),
                                              (WHV_PROCESSOR_COUNTER_SET)garbage_number(c), garbage_place(a),
                                              garbage_size(c), garbage_u32(a));
    case 29:
        return WHvGetPartitionCounters(garbage_partition(c), (WHV_PARTITION_COUNTER_SET)garbage_number(c),
                                       garbage_place(a), garbage_size(c), garbage_u32(a));
    case 30: return WHvRequestInterrupt(garbage_partition(c), garbage_typed(a), garbage_size(c));
    case 31:
        return WHvGetVirtualProcessorCpuidOutput(garbage_partition(c), garbage_index(c), (u32)garbage_number(c),
                                                 (u32)garbage_number(c), garbage_typed(a));
    case 32: return WHvSetupPartition(garbage_partition(c));
    case 33: return WHvDeletePartition((WHV_PARTITION_HANDLE)(uintptr_t)garbage_number(c));
    case 34: return SwhpTraceStart(garbage_partition(c), (u32)garbage_number(c), NULL, NULL);
    case 35: return SwhpTraceStop(garbage_partition(c));
    case 36: return WHvEmulatorDestroyEmulator((WHV_EMULATOR_HANDLE)(uintptr_t)garbage_number(c));
    default: return garbage_state_call(a);
    }
}

/* Every failure has a name; a success is S_OK. */
static bool is_known(HRESULT hr)
{
    static const u32 known[] = { 0,          0x80070057, 0x80004003, 0x80070005, 0x80070006,
                                 0x8007000e, 0x80004001, 0x80070032, 0x80070490, 0x8007139f };
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
        u32 which = chance_percent(&a->chance, 40) ? 1 + chance_below(&a->chance, 10) : chance_below(&a->chance, 60);
        HRESULT hr;

        if (which == 0 && !chance_percent(&a->chance, 10))
            which = 3;
        hr = call(a, which);
        __atomic_fetch_add(&a->done, 1, __ATOMIC_SEQ_CST);
        if (!is_known(hr)) {
            a->worst = (u32)hr;
            a->worst_call = (int)which;
        }
    }
    return NULL;
}

static struct caller callers[2];

/* A guest with an APIC may sleep in Run for good: whoever makes no progress is cancelled. */
static void *wake(void *context)
{
    const bool *stop = context;
    u64 seen[2] = { 0 };

    while (!__atomic_load_n(stop, __ATOMIC_SEQ_CST)) {
        bool moves = false;

        usleep(20000);
        for (int i = 0; i < 2; i++) {
            u64 now = __atomic_load_n(&callers[i].done, __ATOMIC_SEQ_CST);

            moves |= now != seen[i];
            seen[i] = now;
        }
        for (int i = 0; i < PARTITIONS && !moves; i++)
            for (u32 vp = 0; vp < 2; vp++)
                WHvCancelRunVirtualProcessor(__atomic_load_n(&shared[i], __ATOMIC_SEQ_CST), vp, 0);
    }
    return NULL;
}

static void campaign(int threads)
{
    bool stop = false;
    u64 seed = chance_wish("SEED", 1);
    pthread_t thread[2], waker;

    memory = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    for (int i = 0; i < threads; i++) {
        callers[i].chance.state = seed * 2 + (u64)i;
        callers[i].event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        callers[i].rounds = chance_wish("ROUNDS", 0) ? chance_wish("ROUNDS", 0) * 1000 : ROUNDS_QUICK;
    }
    for (u32 i = 0; i < PAGES * 4096; i++)
        memory[i] = (u8)chance_any(&callers[0].chance);
    ck_assert_int_eq(pthread_create(&waker, NULL, wake, &stop), 0);
    for (int i = 0; i < threads; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, play, &callers[i]), 0);
    for (int i = 0; i < threads; i++) {
        pthread_join(thread[i], NULL);
        close(callers[i].event);
        ck_assert_msg(!callers[i].worst, "seed %llu: call %d returned %08x", (unsigned long long)seed,
                      callers[i].worst_call, callers[i].worst);
    }
    __atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
    pthread_join(waker, NULL);
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
