/* SPDX-License-Identifier: MIT */
/*
 * Two processors that use Hyper-V's interface on two threads: hypercalls (flushes, interrupts to each other, signals to
 * ports), messages, timers that send some, a doorbell, and stores to a device that each thread's emulator completes.
 * Other threads post, signal, hang up doorbells and ports and take them down, request, cancel, map, look, and have a
 * third one come and go. Each message that was taken from the caller reaches its guest, once.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "include/WinHvEmulation.h"
#include "state/host.h"
#include "tests/whp/stress.h"
#include "tests/whp/synic.h"

enum {
    OWN_AT = 0xa0000, /* a page a processor: 0 rounds, 4 messages; 7f0 where its slots are; 800 a hypercall's input */
    SHARED_AT = 0xa8000,
    BELL_AT = 0xb8010,
    MAPPED_AT = 0xc0000,
    DEVICE_AT = 0x200000, /* beyond memory */
    CONNECTION = 7,
    SOURCE = 2, /* what is posted; timers have the next one */
    COMER = 2
};

__asm__(".pushsection .rodata\n"
        ".intel_syntax noprefix\n"
        ".code32\n"
        "hyperv_code:\n" /* EBP: its page */
        "  sti\n"
        "hyperv_round:\n"
        "  inc dword ptr [ebp]\n"
        "  lock inc dword ptr [0xa8000]\n"
        "  mov eax, [ebp]\n"
        "  mov [0xb8010], eax\n"
        "  inc dword ptr [0xc0000]\n"
        "  test dword ptr [ebp], 7\n"
        "  jnz 1f\n"
        "  mov [0x200000], eax\n" /* the device */
        "1: mov eax, 2\n"         /* HvFlushVirtualAddressSpace, slow */
        "  xor edx, edx\n"
        "  lea ecx, [ebp + 0x800]\n"
        "  xor ebx, ebx\n"
        "  xor esi, esi\n"
        "  xor edi, edi\n"
        "  call [ebp + 0x7f0]\n"
        "  test ax, ax\n"
        "  jnz hyperv_wrong\n"
        "  test dword ptr [ebp], 15\n"
        "  jnz 2f\n"
        "  mov eax, 0x1000b\n" /* HvSendSyntheticClusterIpi, fast: 60 to both */
        "  xor edx, edx\n"
        "  mov ecx, 0x60\n"
        "  xor ebx, ebx\n"
        "  mov esi, 3\n"
        "  xor edi, edi\n"
        "  call [ebp + 0x7f0]\n"
        "  test ax, ax\n"
        "  jnz hyperv_wrong\n"
        "2: mov eax, 0x1005d\n" /* HvSignalEvent, fast; the port may not be there */
        "  xor edx, edx\n"
        "  mov ecx, 7\n"
        "  xor ebx, ebx\n"
        "  xor esi, esi\n"
        "  xor edi, edi\n"
        "  call [ebp + 0x7f0]\n"
        "  cmp ax, 0x12\n"
        "  je 3f\n"
        "  test ax, ax\n"
        "  jnz hyperv_wrong\n"
        "3: mov esi, [ebp + 0x7f4]\n" /* what was posted */
        "  cmp dword ptr [esi], 0\n"
        "  je 4f\n"
        "  inc dword ptr [ebp + 4]\n"
        "  call 6f\n"
        "4: add esi, 0x100\n" /* what a timer sent */
        "  cmp dword ptr [esi], 0\n"
        "  je 5f\n"
        "  call 6f\n"
        "5: mov esi, [ebp + 0x7f8]\n"
        "  lock btr dword ptr [esi], 5\n"
        "  jmp hyperv_round\n"
        "6: mov dword ptr [esi], 0\n"
        "  mfence\n"
        "  test byte ptr [esi + 5], 1\n"
        "  jz 7f\n"
        "  mov ecx, 0x40000084\n" /* end of message: another waits */
        "  xor eax, eax\n"
        "  xor edx, edx\n"
        "  wrmsr\n"
        "7: ret\n"
        "hyperv_wrong:\n"
        "  out 0x99, al\n"
        "hyperv_code_end:\n"
        ".code64\n"
        ".att_syntax prefix\n"
        ".popsection\n");
extern const u8 hyperv_code[], hyperv_code_end[];

static struct board b;
static u32 over;              /* atomic */
static bool resets;           /* all processors are put back again and again: what they do is no matter */
static u32 posted[2];         /* atomic: messages that were taken from the callers */
static int event;
static char wrong[8][120];
static u64 rounds[8];

struct job {
    u32 number;
    struct chance chance;
};

static bool goes_on(void)
{
    return !__atomic_load_n(&over, __ATOMIC_RELAXED);
}

static void *found(const struct job *j, const char *what, u32 value)
{
    snprintf(wrong[j->number], sizeof wrong[0], "%s: %08x", what, value);
    __atomic_store_n(&over, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* ---- the emulators, one a thread; the context is the job ---- */

static HRESULT CALLBACK on_port(VOID *context, WHV_EMULATOR_IO_ACCESS_INFO *io)
{
    (void)context;
    (void)io;
    return S_OK;
}

/* The device takes all; what is fetched is in memory. */
static HRESULT CALLBACK on_memory(VOID *context, WHV_EMULATOR_MEMORY_ACCESS_INFO *m)
{
    static const WHV_ACCESS_GPA_CONTROLS controls = { .CacheType = WHvCacheTypeWriteBack };
    struct job *j = context;

    if (m->GpaAddress >= DEVICE_AT)
        return S_OK;
    return m->Direction
               ? WHvWriteGpaRange(b.partition, j->number, m->GpaAddress, controls, m->Data, m->AccessSize)
               : WHvReadGpaRange(b.partition, j->number, m->GpaAddress, controls, m->Data, m->AccessSize);
}

static HRESULT CALLBACK on_get(VOID *context, const WHV_REGISTER_NAME *names, UINT32 count, WHV_REGISTER_VALUE *values)
{
    return WHvGetVirtualProcessorRegisters(b.partition, ((struct job *)context)->number, names, count, values);
}

static HRESULT CALLBACK on_set(VOID *context, const WHV_REGISTER_NAME *names, UINT32 count,
                               const WHV_REGISTER_VALUE *values)
{
    return WHvSetVirtualProcessorRegisters(b.partition, ((struct job *)context)->number, names, count, values);
}

static HRESULT CALLBACK on_translate(VOID *context, WHV_GUEST_VIRTUAL_ADDRESS gva, WHV_TRANSLATE_GVA_FLAGS flags,
                                     WHV_TRANSLATE_GVA_RESULT_CODE *code, WHV_GUEST_PHYSICAL_ADDRESS *gpa)
{
    WHV_TRANSLATE_GVA_RESULT result;
    HRESULT hr = WHvTranslateGva(b.partition, ((struct job *)context)->number, gva, flags, &result, gpa);

    *code = result.ResultCode;
    return hr;
}

static const WHV_EMULATOR_CALLBACKS callbacks = { sizeof callbacks, 0,      on_port,     on_memory,
                                                  on_get,           on_set, on_translate };

/* ---- who runs ---- */

static void *run(void *context)
{
    struct job *j = context;
    WHV_REGISTER_NAME rip = WHvX64RegisterRip;
    WHV_EMULATOR_HANDLE e;
    WHV_RUN_VP_EXIT_CONTEXT x;

    if (WHvEmulatorCreateEmulator(&callbacks, &e) != S_OK)
        return found(j, "an emulator", 0);
    for (; goes_on(); rounds[j->number]++) {
        WHV_EMULATOR_STATUS status = { .AsUINT32 = 0 };
        WHV_REGISTER_VALUE v = { .Reg64 = 0 };
        HRESULT hr = WHvRunVirtualProcessor(b.partition, j->number, &x, sizeof x);

        if (resets) {
            sched_yield();
            continue;
        }
        if (hr != S_OK)
            found(j, "Run", (u32)hr);
        else if (x.ExitReason == WHvRunVpExitReasonMemoryAccess && x.MemoryAccess.Gpa == DEVICE_AT)
            hr = WHvEmulatorTryMmioEmulation(e, j, &x.VpContext, &x.MemoryAccess, &status);
        else if (x.ExitReason == WHvRunVpExitReasonMemoryAccess && x.MemoryAccess.Gpa >> 12 == MAPPED_AT >> 12)
            sched_yield(); /* it will be mapped */
        else if (x.ExitReason == WHvRunVpExitReasonX64IoPortAccess && x.IoPortAccess.PortNumber != 0x99) {
            v.Reg64 = x.VpContext.Rip + 2;
            hr = WHvSetVirtualProcessorRegisters(b.partition, j->number, &rip, 1, &v);
        } else if (x.ExitReason != WHvRunVpExitReasonCanceled && x.ExitReason != WHvRunVpExitReasonX64ApicEoi) {
            found(j, "an exit", (u32)x.ExitReason << 16 | (u32)(x.IoPortAccess.Rax & 0xffff));
        }
        if (hr != S_OK || (status.AsUINT32 && status.AsUINT32 != 1))
            found(j, "emulation", (u32)hr | status.AsUINT32);
    }
    WHvEmulatorDestroyEmulator(e);
    return NULL;
}

/* ---- who calls ---- */

static bool is_fine(HRESULT hr, u32 vp)
{
    return hr == S_OK || hr == WHV_E_INVALID_VP_STATE || (vp == COMER && hr == WHV_E_VP_DOES_NOT_EXIST);
}

static void *post(void *context)
{
    struct job *j = context;

    for (; goes_on(); rounds[j->number]++) {
        u32 vp = chance_below(&j->chance, 3);
        HRESULT hr = chance_percent(&j->chance, 50) ? synic_message(&b, vp, SOURCE, 1 + chance_below(&j->chance, 99))
                                                    : synic_event(&b, vp, SOURCE, 5, NULL);

        if (!is_fine(hr, vp) && hr != (HRESULT)0xC0350019u && !((vp == COMER || resets) && hr == (HRESULT)0xC0350018u))
            return found(j, "a message or an event", (u32)hr);
    }
    return NULL;
}

static void *count_posts(void *context)
{
    struct job *j = context;

    for (; goes_on(); rounds[j->number]++) {
        u32 vp = chance_below(&j->chance, 2);
        HRESULT hr = synic_message(&b, vp, SOURCE, 1 + chance_below(&j->chance, 99));

        if (hr == S_OK)
            __atomic_fetch_add(&posted[vp], 1, __ATOMIC_RELAXED);
        else if (hr == (HRESULT)0xC0350019u)
            sched_yield();
        else
            return found(j, "a message", (u32)hr);
    }
    return NULL;
}

static void *ring(void *context)
{
    WHV_DOORBELL_MATCH_DATA match = { .GuestAddress = BELL_AT, .Length = 4, .MatchOnLength = 1 };
    WHV_NOTIFICATION_PORT_PARAMETERS port;
    WHV_NOTIFICATION_PORT_HANDLE handle;
    struct job *j = context;
    u64 n;

    memset(&port, 0, sizeof port);
    for (; goes_on(); rounds[j->number]++) {
        bool is_bell = chance_percent(&j->chance, 50);
        HRESULT hr = is_bell ? WHvRegisterPartitionDoorbellEvent(b.partition, &match, (HANDLE)(intptr_t)event) : S_OK;

        port.NotificationPortType = is_bell ? WHvNotificationPortTypeEvent : WHvNotificationPortTypeDoorbell;
        if (is_bell)
            port.Event.ConnectionId = CONNECTION;
        else
            port.Doorbell = match;
        if (hr == S_OK)
            hr = WHvCreateNotificationPort(b.partition, &port, (HANDLE)(intptr_t)event, &handle);
        if (hr == S_OK)
            hr = WHvSetNotificationPortProperty(b.partition, handle, WHvNotificationPortPropertyPreferredTargetVp, 0);
        for (u32 i = chance_below(&j->chance, 50); i; i--)
            sched_yield();
        if (hr == S_OK)
            hr = WHvDeleteNotificationPort(b.partition, handle);
        if (hr == S_OK && is_bell)
            hr = WHvUnregisterPartitionDoorbellEvent(b.partition, &match);
        if (hr != S_OK)
            return found(j, "a doorbell or a port", (u32)hr);
        while (read(event, &n, sizeof n) == sizeof n)
            ;
    }
    return NULL;
}

static HRESULT look(struct job *j, u32 vp)
{
    static const WHV_REGISTER_NAME names[] = { WHvRegisterSimp, WHvRegisterSint2, WHvRegisterScontrol,
                                               WHvRegisterVpRuntime, WHvRegisterReferenceTsc, WHvX64RegisterTsc };
    WHV_REGISTER_VALUE v[6];
    u8 page[4096];

    switch (chance_below(&j->chance, 5)) {
    case 0: return WHvGetVirtualProcessorRegisters(b.partition, vp, names, 6, v);
    case 1:
        return WHvGetVirtualProcessorState(b.partition, vp,
                                           (WHV_VIRTUAL_PROCESSOR_STATE_TYPE)chance_below(&j->chance, 3), page,
                                           sizeof page, NULL);
    case 2:
        return WHvGetVirtualProcessorCounters(b.partition, vp, WHvProcessorCounterSetSyntheticFeatures, page,
                                              sizeof page, NULL);
    case 3: return WHvGetVirtualProcessorInterruptControllerState2(b.partition, vp, page, sizeof page, NULL);
    default: return board_request(&b, WHvX64InterruptTypeFixed, chance_below(&j->chance, 2), 0x50, 0);
    }
}

static void *call(void *context)
{
    struct job *j = context;

    for (; goes_on(); rounds[j->number]++) {
        u32 vp = chance_below(&j->chance, 3);
        HRESULT hr = S_OK;

        switch (chance_below(&j->chance, 8)) {
        case 0: hr = WHvCancelRunVirtualProcessor(b.partition, vp, 0); break;
        case 1: /* and back; with resets another thread does the same */
            hr = WHvUnmapGpaRange(b.partition, MAPPED_AT, 0x1000);
            hr = resets && hr == WHV_E_GPA_RANGE_NOT_FOUND ? S_OK : hr;
            break;
        case 2: /* if neither runs; the next Run resumes it */
            hr = resets ? WHvResetPartition(b.partition) : WHvSuspendPartitionTime(b.partition);
            hr = hr == (HRESULT)0x8007139Fu ? S_OK : hr;
            break;
        default: hr = look(j, vp); break;
        }
        if (hr == S_OK)
            hr = WHvMapGpaRange(b.partition, b.memory + MAPPED_AT, MAPPED_AT, 0x1000, (WHV_MAP_GPA_RANGE_FLAGS)7);
        if (!is_fine(hr, vp))
            return found(j, "a call", (u32)hr);
    }
    return NULL;
}

static void *come_and_go(void *context)
{
    struct job *j = context;
    WHV_RUN_VP_EXIT_CONTEXT x;

    for (; goes_on(); rounds[j->number]++) {
        HRESULT hr = WHvDeleteVirtualProcessor(b.partition, COMER);

        if (hr == S_OK)
            hr = WHvCreateVirtualProcessor(b.partition, COMER, 0);
        if (hr == S_OK && chance_percent(&j->chance, 50)) { /* it waits for a SIPI: the cancel ends that */
            hr = WHvCancelRunVirtualProcessor(b.partition, COMER, 0);
            if (hr == S_OK)
                hr = WHvRunVirtualProcessor(b.partition, COMER, &x, sizeof x);
        }
        if (hr != S_OK)
            return found(j, "a processor that comes and goes", (u32)hr);
    }
    return NULL;
}

/* ---- all of it ---- */

static u32 word(u32 at)
{
    return __atomic_load_n((u32 *)(void *)(b.memory + at), __ATOMIC_SEQ_CST);
}

static void start(u32 vp)
{
    u32 own = OWN_AT + vp * 0x1000, slots = MESSAGES_AT + vp * 0x8000 + SOURCE * 256;
    u64 every[3] = { 0, 0, 3 };

    synic_enable(&b, vp, SOURCE, 0);
    ck_assert_uint_eq(board_wrmsr(&b, vp, HV_SINT0 + SOURCE + 1, 0x40 + SOURCE + 1), BOARD_DONE);
    ck_assert_uint_eq(board_wrmsr(&b, vp, HV_STIMER0_CONFIG + 1, 5000), BOARD_DONE); /* each half a millisecond */
    ck_assert_uint_eq(board_wrmsr(&b, vp, HV_STIMER0_CONFIG, 3 | (SOURCE + 1) << 16), BOARD_DONE);
    store_bytes(b.memory + own + 0x7f0, HYPERCALL_AT, 4);
    store_bytes(b.memory + own + 0x7f4, slots, 4);
    store_bytes(b.memory + own + 0x7f8, EVENTS_AT + vp * 0x8000 + SOURCE * 256, 4);
    memcpy(b.memory + own + 0x800, every, sizeof every);

    struct code c = { .size = 0 };

    code_bytes(&c, hyperv_code, (u32)(hyperv_code_end - hyperv_code));
    board_put(&b, vp, &c);
    board_set(&b, vp, WHvX64RegisterRbp, own);
    board_set(&b, vp, WHvX64RegisterCr4, 0x600);
}

/* _i: with posts that are counted; with any to all; and with resets */
START_TEST(hyperv_from_all_sides)
{
    static void *(*const threads[][7])(void *) = { { run, run, count_posts, ring, call, come_and_go, NULL },
                                                   { run, run, post, post, ring, call, come_and_go },
                                                   { run, call, post, post, ring, call, come_and_go } };
    struct job jobs[7];
    pthread_t ids[7];
    u32 n = 0;

    memset(wrong, 0, sizeof wrong);
    memset(rounds, 0, sizeof rounds);
    memset(posted, 0, sizeof posted);
    over = 0;
    resets = _i == 2;
    event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    synic_open(&b, 3, SwhpClockHost);
    synic_identify(&b);
    start(0);
    start(1);

    u64 until = host_nanoseconds() + chance_wish("STRESS", 1) * 1000000000u;

    for (; n < 7 && threads[_i][n]; n++) {
        jobs[n] = (struct job){ n, { chance_wish("SEED", 1) * 8 + n } };
        ck_assert_int_eq(pthread_create(&ids[n], NULL, threads[_i][n], &jobs[n]), 0);
    }
    while (host_nanoseconds() < until && goes_on())
        sched_yield();
    __atomic_store_n(&over, 1, __ATOMIC_RELAXED);
    for (u32 i = 0; i < n; i++) {
        if (i < 2)
            ck_ok(WHvCancelRunVirtualProcessor(b.partition, i, 0)); /* sticky */
        pthread_join(ids[i], NULL);
    }
    for (u32 i = 0; i < n; i++) {
        ck_assert_msg(!wrong[i][0], "%s", wrong[i]);
        ck_assert_msg(rounds[i] > 0, "thread %u had no turn", i);
    }
    for (u32 vp = 0; vp < 2; vp++) { /* one may lie in its slot */
        u32 taken = word(OWN_AT + vp * 0x1000 + 4);

        ck_assert(resets || word(OWN_AT + vp * 0x1000) > 0);
        if (!_i)
            ck_assert_msg(posted[vp] - taken <= 1, "processor %u took %u messages of %u", vp, taken, posted[vp]);
    }
    ck_assert_uint_le(word(OWN_AT) + word(OWN_AT + 0x1000) - word(SHARED_AT), 2);
    board_close(&b);
    close(event);
}
END_TEST

TCase *stress_hyperv_case(void)
{
    TCase *t = tcase_create("stress-hyperv");

    tcase_set_timeout(t, 30 + (double)chance_wish("STRESS", 1));
    tcase_add_loop_test(t, hyperv_from_all_sides, 0, 3);
    return t;
}
