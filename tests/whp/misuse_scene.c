/* SPDX-License-Identifier: MIT */
/* The partitions on which misuses are tried, in every state, and surveys of them. */
#include "tests/whp/misuse.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/whp/chance.h"

/* ---- surveys ---- */

static void add(struct survey *s, const char *what, u32 code, u32 vp, HRESULT answer, const void *value, size_t size)
{
    ck_assert_uint_lt(s->n, SURVEY_MOST);
    s->fact[s->n++] = (struct fact){ what, code, vp, (u32)answer,
                                     SUCCEEDED(answer) ? digest_add(0xcbf29ce484222325, value, size) : 0 };
}

static void add_properties(struct survey *s, WHV_PARTITION_HANDLE p, bool is_moving)
{
    static const u32 ranges[][2] = { { 0, 0x10 }, { 0x1000, 0x1020 }, { 0x1fff, 0x2000 }, { 0x53570000, 0x53570010 } };

    for (u32 r = 0; r < 4; r++)
        for (u32 code = ranges[r][0]; code < ranges[r][1]; code++) {
            u64 value[8] = { 0 };

            if (is_moving && code == WHvPartitionPropertyCodeReferenceTime)
                continue;
            add(s, "property", code, 0,
                WHvGetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)code, value, sizeof value, NULL), value,
                sizeof value);
        }
}

/* Registers that a running processor changes without executing anything in particular. */
static bool moves(u32 name)
{
    return name == WHvX64RegisterTsc || name == WHvX64RegisterMCount || name == WHvX64RegisterACount ||
           name == 0x5000 || name == WHvX64RegisterApicCurrentCount;
}

static void add_registers(struct survey *s, WHV_PARTITION_HANDLE p, u32 vp, bool is_moving)
{
    static const u32 ranges[][2] = {
        { 0, 0x2c },        { 0x1000, 0x1020 }, { 0x2000, 0x20b8 },         { 0x3000, 0x3040 },
        { 0x4000, 0x4016 }, { 0x5000, 0x5060 }, { 0x80000000, 0x80000009 }, { 0x53570100, 0x53570112 }
    };

    for (u32 r = 0; r < 8; r++)
        for (u32 n = ranges[r][0]; n < ranges[r][1]; n++) {
            WHV_REGISTER_NAME name = (WHV_REGISTER_NAME)n;
            WHV_REGISTER_VALUE v;

            if (is_moving && moves(n))
                continue;
            memset(&v, 0, sizeof v);
            add(s, "register", n, vp, WHvGetVirtualProcessorRegisters(p, vp, &name, 1, &v), &v, sizeof v);
        }
}

static void add_processor(struct survey *s, WHV_PARTITION_HANDLE p, u32 vp, bool is_moving)
{
    static const u32 types[] = { 0, 1, 2, 0x1001, 0x1002 };
    u8 image[8192];
    u64 count = 0;
    HRESULT hr;

    add_registers(s, p, vp, is_moving);
    for (u32 i = 0; i < 5; i++) {
        memset(image, 0, sizeof image);
        hr = WHvGetVirtualProcessorState(p, vp, (WHV_VIRTUAL_PROCESSOR_STATE_TYPE)types[i], image, sizeof image, NULL);
        add(s, "state", types[i], vp, hr, image, sizeof image);
    }
    if (is_moving)
        return;
    memset(image, 0, sizeof image);
    hr = WHvGetVirtualProcessorInterruptControllerState2(p, vp, image, sizeof image, NULL);
    add(s, "interrupt state", 0, vp, hr, image, 4096);
    for (u32 set = 0; set < 5; set++) {
        memset(image, 0, sizeof image);
        hr = WHvGetVirtualProcessorCounters(p, vp, (WHV_PROCESSOR_COUNTER_SET)set, image, sizeof image, NULL);
        add(s, "counters", set, vp, hr, image, 256);
    }
    hr = SwhpGetInstructionCount(p, vp, &count);
    add(s, "count", 0, vp, hr, &count, sizeof count);
}

/* A byte of each page, whatever right it has; the digest below knows the rights. */
static void add_map(struct survey *s, WHV_PARTITION_HANDLE p, u32 vp)
{
    static const WHV_ACCESS_GPA_CONTROLS controls = { .CacheType = WHvCacheTypeWriteBack };

    for (u32 gpa = 0; gpa < GUEST_MEMORY + 0x4000; gpa += 4096) {
        u64 value = 0;

        add(s, "memory", gpa, vp, WHvReadGpaRange(p, vp, gpa, controls, &value, sizeof value), &value, sizeof value);
    }
}

void survey_add(struct survey *s, WHV_PARTITION_HANDLE p, bool is_moving)
{
    SWHP_DIGEST digest = { { 0 } };
    u64 clock = 0, pages[3] = { 0 };

    add_properties(s, p, is_moving);
    for (u32 vp = 0; vp < SCENE_PROCESSORS; vp++)
        add_processor(s, p, vp, is_moving);
    add_map(s, p, 0);
    HRESULT hr = WHvGetPartitionCounters(p, WHvPartitionCounterSetMemory, pages, sizeof pages, NULL);
    add(s, "pages", 0, 0, hr, pages, sizeof pages);
    hr = SwhpStateHash(p, &digest);
    add(s, "digest", 0, 0, hr, &digest, sizeof digest);
    if (is_moving)
        return;
    hr = SwhpGetClock(p, &clock);
    add(s, "clock", 0, 0, hr, &clock, sizeof clock);
}

void survey_same(const struct survey *before, const struct survey *after, const char *row)
{
    ck_assert_uint_eq(before->n, after->n);
    for (u32 i = 0; i < before->n; i++) {
        const struct fact *a = &before->fact[i], *b = &after->fact[i];

        ck_assert_msg(a->answer == b->answer && a->digest == b->digest,
                      "%s: %s %#x of processor %u isn't as it was (%08x, %08x)", row, a->what, a->code, a->vp,
                      a->answer, b->answer);
    }
}

/* ---- partitions for the rows ---- */

/* out 80, al; jmp to itself */
static const u8 scene_code[] = { 0xe6, 0x80, 0xeb, 0xfe };
enum { LOOP = GUEST_CODE + 2 };

static WHV_PARTITION_HANDLE begin(u32 apic_mode)
{
    WHV_PARTITION_HANDLE p;
    u32 processors = SCENE_PROCESSORS, clock = SwhpClockVirtual;

    ck_ok(WHvCreatePartition(&p));
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, &processors, 4));
    ck_ok(WHvSetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)SwhpPartitionPropertyCodeClock, &clock, 4));
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeLocalApicEmulationMode, &apic_mode, 4));
    if (apic_mode) {
        static const u64 banks[2] = { 1, 1 << 0 | 1 << 1 | 1 << 4 }; /* HypervisorPresent, Hv1, AccessSynicRegs */

        ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeSyntheticProcessorFeaturesBanks, banks, sizeof banks));
    }
    return p;
}

/* As the guest would by its MSRs. */
void scene_enable_synic(WHV_PARTITION_HANDLE p)
{
    static const WHV_REGISTER_NAME names[] = { WHvRegisterScontrol, WHvRegisterSimp, WHvRegisterSiefp, WHvRegisterSint2,
                                               WHvRegisterSint4 };
    static const u64 message[2] = { 1 };
    WHV_REGISTER_VALUE v[5];

    memset(v, 0, sizeof v);
    v[0].Reg64 = 1;
    v[1].Reg64 = SCENE_MESSAGES | 1;
    v[2].Reg64 = (SCENE_MESSAGES + 0x1000) | 1;
    v[3].Reg64 = 0x52;
    v[4].Reg64 = 0x54;
    ck_ok(WHvSetVirtualProcessorRegisters(p, 0, names, 5, v));
    ck_ok(WHvPostVirtualProcessorSynicMessage(p, 0, 4, message, sizeof message));
    /* another one leaves a mark in the slot, for the guest to say when it is free: that is here already, then */
    ck_hr(WHvPostVirtualProcessorSynicMessage(p, 0, 4, message, sizeof message), HV(0x19));
}

/* Puts processor 1 to a loop in real mode. */
static void add_second(struct scene *s)
{
    static const WHV_REGISTER_NAME name = WHvRegisterInternalActivityState;
    WHV_REGISTER_VALUE v;

    memset(&v, 0, sizeof v);
    memcpy(s->plain.memory + SCENE_STUB, "\xeb\xfe", 2);
    ck_ok(WHvCreateVirtualProcessor(s->p, 1, 0));
    ck_ok(WHvSetVirtualProcessorRegisters(s->p, 1, &name, 1, &v));
}

static const WHV_DOORBELL_MATCH_DATA scene_bell = { .GuestAddress = GUEST_HOLE, .Length = 4, .MatchOnLength = 1 };

static void hang_on(struct scene *s)
{
    WHV_NOTIFICATION_PORT_PARAMETERS port;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    memset(&port, 0, sizeof port);
    port.NotificationPortType = WHvNotificationPortTypeEvent;
    port.Event.ConnectionId = SCENE_CONNECTION;
    s->event = (HANDLE)(intptr_t)fd;
    ck_ok(WHvRegisterPartitionDoorbellEvent(s->p, &scene_bell, s->event));
    ck_ok(WHvCreateNotificationPort(s->p, &port, s->event, &s->port));
}

void scene_take_down(struct scene *s)
{
    u64 rings;

    ck_ok(WHvUnregisterPartitionDoorbellEvent(s->plain.partition, &scene_bell));
    ck_ok(WHvDeleteNotificationPort(s->plain.partition, s->port));
    ck_assert_int_lt(read((int)(intptr_t)s->event, &rings, sizeof rings), 0); /* and never was signalled */
}

void scene_open(struct scene *s)
{
    u64 one = 1;

    memset(s, 0, sizeof *s);
    s->p = begin(WHvX64LocalApicEmulationModeNone);
    ck_ok(WHvSetupPartition(s->p));
    guest_open_in(&s->plain, s->p, GUEST_LONG, scene_code, sizeof scene_code);
    ck_ok(WHvMapGpaRange(s->p, s->plain.memory + SCENE_TRACKED, SCENE_TRACKED, 4096, (WHV_MAP_GPA_RANGE_FLAGS)15));
    ck_ok(WHvWriteGpaRange(s->p, 0, SCENE_TRACKED, (WHV_ACCESS_GPA_CONTROLS){ .CacheType = WHvCacheTypeWriteBack },
                           &one, 8));

    hang_on(s);
    s->apic = begin(WHvX64LocalApicEmulationModeX2Apic);
    ck_ok(WHvSetupPartition(s->apic));
    ck_ok(WHvCreateVirtualProcessor(s->apic, 0, 0));
    ck_ok(WHvCreateVirtualProcessor(s->apic, 1, 0));
    scene_enable_synic(s->apic);
    ck_ok(WHvCreatePartition(&s->raw));
    s->fixed = begin(WHvX64LocalApicEmulationModeNone);
    ck_ok(WHvSetupPartition(s->fixed));
    memset(s->out, 0xcc, sizeof s->out);
}

void scene_close(struct scene *s)
{
    guest_close(&s->plain);
    ck_ok(WHvDeletePartition(s->apic));
    ck_ok(WHvDeletePartition(s->raw));
    ck_ok(WHvDeletePartition(s->fixed));
    close((int)(intptr_t)s->event);
    if (s->emulator)
        ck_ok(WHvEmulatorDestroyEmulator(s->emulator));
}

/* ---- a partition in each state ---- */

static pthread_t runner;
static u32 runner_vp;

static void *run(void *context)
{
    WHV_RUN_VP_EXIT_CONTEXT x;

    ck_ok(WHvRunVirtualProcessor(context, runner_vp, &x, sizeof x));
    ck_assert_uint_eq((u32)x.ExitReason, WHvRunVpExitReasonCanceled);
    return NULL;
}

static void start(struct scene *s, u32 vp)
{
    u64 before, now;

    runner_vp = vp;
    ck_ok(SwhpGetInstructionCount(s->p, vp, &before));
    ck_assert_int_eq(pthread_create(&runner, NULL, run, s->p), 0);
    do
        ck_ok(SwhpGetInstructionCount(s->p, vp, &now));
    while (now == before);
}

void scene_open_in(struct scene *s, enum state state)
{
    memset(s, 0, sizeof *s);
    s->p = begin(WHvX64LocalApicEmulationModeX2Apic);
    memset(s->out, 0xcc, sizeof s->out);
    if (state == STATE_CREATED)
        return;
    if (state == STATE_DELETED) {
        ck_ok(WHvDeletePartition(s->p));
        return;
    }
    ck_ok(WHvSetupPartition(s->p));
    if (state == STATE_SET_UP) {
        s->plain.memory = mmap(NULL, GUEST_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ck_assert_ptr_ne(s->plain.memory, MAP_FAILED);
        ck_ok(WHvMapGpaRange(s->p, s->plain.memory, 0, GUEST_MEMORY, (WHV_MAP_GPA_RANGE_FLAGS)7));
    } else {
        guest_open_in(&s->plain, s->p, GUEST_LONG, scene_code, sizeof scene_code);
    }
    ck_ok(WHvMapGpaRange(s->p, s->plain.memory + SCENE_TRACKED, SCENE_TRACKED, 4096, (WHV_MAP_GPA_RANGE_FLAGS)15));
    hang_on(s);
    if (state != STATE_SET_UP)
        scene_enable_synic(s->p);
    if (state == STATE_RUNS) {
        guest_set(&s->plain, WHvX64RegisterRip, LOOP);
        start(s, 0);
    }
    if (state == STATE_OTHER) {
        add_second(s);
        start(s, 1);
    }
}

void scene_close_in(struct scene *s, enum state state)
{
    if (state == STATE_RUNS || state == STATE_OTHER) {
        HRESULT hr = WHvCancelRunVirtualProcessor(s->p, runner_vp, 0);

        ck_ok(hr);
        pthread_join(runner, NULL);
    }
    HRESULT hr = WHvDeletePartition(s->p);

    ck_assert(hr == S_OK || hr == E_INVALIDARG); /* the call may have been that */
    if (s->plain.memory)
        munmap(s->plain.memory, GUEST_MEMORY);
    if (s->event)
        close((int)(intptr_t)s->event);
    if (s->emulator)
        WHvEmulatorDestroyEmulator(s->emulator);
}

struct inside {
    void (*f)(void *context);
    void *context;
};

static VOID CALLBACK on_trace(VOID *context, UINT32 vp, UINT64 count, UINT32 kind, const char *line)
{
    const struct inside *i = context;

    (void)vp;
    (void)count;
    (void)kind;
    (void)line;
    if (i->f)
        i->f(i->context);
}

void scene_inside(struct scene *s, void (*f)(void *context), void *context)
{
    struct inside i = { f, context };

    ck_ok(SwhpTraceStart(s->p, SwhpTraceExit, on_trace, &i));
    ck_assert_uint_eq(guest_run(&s->plain), WHvRunVpExitReasonX64IoPortAccess);
    ck_ok(SwhpTraceStop(s->p));
}
