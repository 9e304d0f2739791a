/* SPDX-License-Identifier: MIT */
/*
 * Hostile guests under callers that answer exits at random: nothing crashes, each Run ends within its budget, and
 * one seed gives one run, however it is cut. ROUNDS=N and SEED=S make a campaign of it; TRACE=1 shows each exit.
 */
#include "tests/whp/hostile.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { RUNS = 48, ROUNDS_QUICK = 150 };

/* How a run to a count is cut. */
enum cut { CUT_NEVER, CUT_EACH, CUT_BY_CANCELS };

struct record {
    u64 digest[RUNS];
    u32 reason[RUNS];
    u64 count[RUNS], rip[RUNS];
    SWHP_DIGEST hash;
};

static WHV_EMULATOR_HANDLE emulator;
static bool is_tracing, keeps_bytes;

/* ---- the caller's devices ---- */

static HRESULT whim(struct hostile *h)
{
    HRESULT hr = h->is_lying && chance_percent(&h->chance, 5) ? E_FAIL : S_OK;

    if (is_tracing)
        printf("  a callback: %08x\n", (u32)hr);
    return hr;
}

static HRESULT CALLBACK on_port(VOID *context, WHV_EMULATOR_IO_ACCESS_INFO *io)
{
    struct hostile *h = context;

    ck_assert(io->AccessSize == 1 || io->AccessSize == 2 || io->AccessSize == 4);
    if (!io->Direction)
        io->Data = (u32)chance_any(&h->chance);
    return whim(h);
}

static HRESULT CALLBACK on_memory(VOID *context, WHV_EMULATOR_MEMORY_ACCESS_INFO *access)
{
    struct hostile *h = context;

    if (is_tracing)
        printf("  memory %llx, %u bytes\n", (unsigned long long)access->GpaAddress, access->AccessSize);
    ck_assert_uint_ge(access->AccessSize, 1);
    ck_assert_uint_le(access->AccessSize, 8);
    if (!access->Direction && access->GpaAddress < HOSTILE_MAPPED - 8)
        memcpy(access->Data, h->memory + access->GpaAddress, access->AccessSize);
    else if (!access->Direction)
        store_bytes(access->Data, chance_any(&h->chance), access->AccessSize);
    else if (access->GpaAddress < HOSTILE_MAPPED - 8)
        memcpy(h->memory + access->GpaAddress, access->Data, access->AccessSize);
    return whim(h);
}

static HRESULT CALLBACK on_get(VOID *context, const WHV_REGISTER_NAME *names, UINT32 count,
                               WHV_REGISTER_VALUE *values)
{
    struct hostile *h = context;
    HRESULT hr = whim(h);

    return FAILED(hr) ? hr : WHvGetVirtualProcessorRegisters(h->partition, 0, names, count, values);
}

static HRESULT CALLBACK on_set(VOID *context, const WHV_REGISTER_NAME *names, UINT32 count,
                               const WHV_REGISTER_VALUE *values)
{
    struct hostile *h = context;
    HRESULT hr = whim(h);

    return FAILED(hr) ? hr : WHvSetVirtualProcessorRegisters(h->partition, 0, names, count, values);
}

static HRESULT CALLBACK on_translate(VOID *context, WHV_GUEST_VIRTUAL_ADDRESS gva, WHV_TRANSLATE_GVA_FLAGS flags,
                                     WHV_TRANSLATE_GVA_RESULT_CODE *result, WHV_GUEST_PHYSICAL_ADDRESS *gpa)
{
    struct hostile *h = context;
    WHV_TRANSLATE_GVA_RESULT r = { .ResultCode = WHvTranslateGvaResultSuccess };
    HRESULT hr = whim(h);

    if (FAILED(hr))
        return hr;
    hr = WHvTranslateGva(h->partition, 0, gva, flags, &r, gpa);
    *result = r.ResultCode;
    if (h->is_lying && chance_percent(&h->chance, 3))
        *gpa = hostile_value(&h->chance);
    return hr;
}

static void emulator_open(void)
{
    static const WHV_EMULATOR_CALLBACKS callbacks = { sizeof callbacks, 0, on_port, on_memory, on_get, on_set,
                                                      on_translate };

    ck_ok(WHvEmulatorCreateEmulator(&callbacks, &emulator));
}

/* ---- answering exits ---- */

static u64 rip_of(const struct hostile *h)
{
    WHV_REGISTER_NAME name = WHvX64RegisterRip;
    WHV_REGISTER_VALUE v;

    ck_ok(WHvGetVirtualProcessorRegisters(h->partition, 0, &name, 1, &v));
    return v.Reg64;
}

static void skip(struct hostile *h, const WHV_RUN_VP_EXIT_CONTEXT *x)
{
    u32 length = x->VpContext.InstructionLength;

    hostile_set64(h, WHvX64RegisterRip, x->VpContext.Rip + (length ? length : 1 + chance_below(&h->chance, 4)));
}

static void look(struct hostile *h)
{
    static const u32 flags[] = { 0, 1, 2, 4, 7, 9, 0x10 | 2, 0x12, 0x101, 0x202 };
    WHV_TRANSLATE_GVA_RESULT result;
    SWHP_DIGEST digest;
    char text[256];
    u64 gpa;

    ck_ok(WHvTranslateGva(h->partition, 0, hostile_value(&h->chance),
                          (WHV_TRANSLATE_GVA_FLAGS)CHANCE_OF(&h->chance, flags), &result, &gpa));
    if (chance_percent(&h->chance, 20))
        ck_ok(SwhpStateHash(h->partition, &digest));
    HRESULT hr = SwhpExplainLastExit(h->partition, 0, text, sizeof text, NULL);
    ck_assert(hr == S_OK || hr == WHV_E_INSUFFICIENT_BUFFER);
}

/* Gets the XSAVE image and sets it again, perhaps spoilt: then it may be refused. */
static void shuffle_xsave(struct hostile *h)
{
    u8 image[8192];
    u32 size;
    bool spoil = chance_percent(&h->chance, 50);

    ck_ok(WHvGetVirtualProcessorXsaveState(h->partition, 0, image, sizeof image, &size));
    for (u32 n = spoil ? 1 + chance_below(&h->chance, 8) : 0; n; n--)
        image[chance_below(&h->chance, size)] = (u8)chance_any(&h->chance);
    HRESULT hr = WHvSetVirtualProcessorXsaveState(h->partition, 0, image, size);
    ck_assert_msg(hr == S_OK || (spoil && hr == E_INVALIDARG), "XSAVE image: %08x", (u32)hr);
}

static void inject(struct hostile *h)
{
    static const u8 types[] = { 0, 0, 2, 3, 3, 3, 4, 5, 6 };
    struct chance *c = &h->chance;
    u64 type = CHANCE_OF(c, types), vector = type == 2 ? 2 : type == 3 || type > 4 ? chance_below(c, 32) : chance_any(c) & 0xff;

    if (chance_percent(c, 30)) {
        WHV_REGISTER_VALUE v;

        v.Reg128.Low64 = 1 | (u64)chance_below(c, 2) << 8 | (u64)chance_below(c, 32) << 16 | chance_any(c) << 32;
        v.Reg128.High64 = hostile_value(c);
        hostile_set(h, WHvRegisterPendingEvent, &v);
        return;
    }
    hostile_set64(h, WHvRegisterPendingInterruption,
                  1 | type << 1 | (u64)(type == 3 && chance_percent(c, 50)) << 4 | (u64)chance_below(c, 16) << 5 |
                      vector << 16 | (type == 3 ? chance_any(c) & 0xffff00000000 : 0));
}

static u32 emulate(struct hostile *h, const WHV_RUN_VP_EXIT_CONTEXT *x)
{
    WHV_EMULATOR_STATUS status = { .AsUINT32 = 0 };
    WHV_VP_EXIT_CONTEXT vp = x->VpContext;
    HRESULT hr;

    if (h->is_lying && chance_percent(&h->chance, 5))
        vp.Rip = hostile_value(&h->chance);
    if (x->ExitReason == WHvRunVpExitReasonX64IoPortAccess) {
        hr = WHvEmulatorTryIoEmulation(emulator, h, &vp, &x->IoPortAccess, &status);
    } else {
        WHV_MEMORY_ACCESS_CONTEXT m = x->MemoryAccess;

        if (h->is_lying && chance_percent(&h->chance, 5))
            m.InstructionByteCount = (u8)chance_any(&h->chance);
        if (h->is_lying && chance_percent(&h->chance, 5))
            m.InstructionBytes[chance_below(&h->chance, 16)] = (u8)chance_any(&h->chance);
        hr = WHvEmulatorTryMmioEmulation(emulator, h, &vp, &m, &status);
    }
    ck_assert_msg(hr == S_OK || (h->is_lying && hr == E_INVALIDARG), "emulation: %08x", (u32)hr);
    return status.AsUINT32;
}

/* Returns what is worth adding to the digest. */
static u32 answer(struct hostile *h, const WHV_RUN_VP_EXIT_CONTEXT *x)
{
    struct chance *c = &h->chance;
    u32 status = 0;

    switch ((u32)x->ExitReason) {
    case WHvRunVpExitReasonMemoryAccess:
    case WHvRunVpExitReasonX64IoPortAccess:
        if (chance_percent(c, 60))
            status = emulate(h, x);
        else if (chance_percent(c, 30))
            inject(h);
        else
            skip(h, x);
        if (chance_percent(c, 25) || (!status && rip_of(h) == x->VpContext.Rip))
            hostile_registers(h);
        break;
    case WHvRunVpExitReasonUnrecoverableException:
    case WHvRunVpExitReasonInvalidVpRegisterValue:
    case WHvRunVpExitReasonUnsupportedFeature: hostile_registers(h); break;
    case WHvRunVpExitReasonX64Halt:
    case (u32)SwhpRunVpExitReasonCount: break;
    default: /* CPUID, MSRs, exceptions, windows */
        if (chance_percent(c, 80))
            skip(h, x);
        else
            hostile_registers(h);
    }
    if (chance_percent(c, 12))
        hostile_remap(h);
    if (chance_percent(c, 10))
        inject(h);
    if (chance_percent(c, 10))
        hostile_garbage(h);
    if (chance_percent(c, 10))
        look(h);
    if (chance_percent(c, 8))
        shuffle_xsave(h);
    return status;
}

/* ---- running ---- */

/* Instruction bytes are what translations are remembered for, and that depends on how a run is cut. */
static void forget_bytes(WHV_RUN_VP_EXIT_CONTEXT *x)
{
    if (x->ExitReason == WHvRunVpExitReasonMemoryAccess)
        memset(&x->MemoryAccess, 0, offsetof(WHV_MEMORY_ACCESS_CONTEXT, AccessInfo));
    else if (x->ExitReason == WHvRunVpExitReasonX64IoPortAccess)
        memset(&x->IoPortAccess, 0, offsetof(WHV_X64_IO_PORT_ACCESS_CONTEXT, AccessInfo));
    else if (x->ExitReason == WHvRunVpExitReasonException)
        memset(&x->VpException, 0, offsetof(WHV_VP_EXCEPTION_CONTEXT, ExceptionInfo));
}

static u64 count_of(const struct hostile *h)
{
    u64 count;

    ck_ok(SwhpGetInstructionCount(h->partition, 0, &count));
    return count;
}

/* Runs until `more` counts have passed or something else ends it. */
static void run_on(struct hostile *h, u64 more, enum cut cut, WHV_RUN_VP_EXIT_CONTEXT *x)
{
    u64 before = count_of(h), until = before + more, count = before;

    for (;;) {
        u64 stop = cut == CUT_EACH && count < until ? count + 1 : until;

        memset(x, 0xcc, sizeof *x);
        ck_ok(SwhpRunVirtualProcessorUntil(h->partition, 0, stop, x, sizeof *x));
        u64 now = count_of(h);
        ck_assert_msg(now >= count, "the count fell from %llu to %llu", (unsigned long long)count,
                      (unsigned long long)now);
        ck_assert_msg(now <= stop + 1, "the count went past %llu to %llu", (unsigned long long)stop,
                      (unsigned long long)now);
        count = now;
        if (is_tracing && cut == CUT_EACH)
            printf("  count %llu, cs:rip %x:%llx\n", (unsigned long long)now, x->VpContext.Cs.Selector,
                   (unsigned long long)x->VpContext.Rip);
        if (x->ExitReason == WHvRunVpExitReasonCanceled && cut == CUT_BY_CANCELS)
            continue;
        if (x->ExitReason != SwhpRunVpExitReasonCount || count >= until)
            return;
        ck_assert_msg(cut == CUT_EACH && now >= stop, "it stopped at %llu, before %llu", (unsigned long long)now,
                      (unsigned long long)stop);
    }
}

static u64 digest_registers(const struct hostile *h, u64 digest)
{
    static const WHV_REGISTER_NAME others[] = {
        WHvX64RegisterFpControlStatus, WHvX64RegisterXmmControlStatus, WHvX64RegisterXmm0, WHvX64RegisterXmm7,
        WHvX64RegisterFpMmx0, WHvX64RegisterEfer, WHvX64RegisterStar, WHvRegisterPendingInterruption,
        WHvRegisterInterruptState, WHvRegisterPendingEvent, WHvX64RegisterDeliverabilityNotifications,
        WHvX64RegisterPendingDebugException, WHvX64RegisterTsc
    };
    enum { GENERAL = WHvX64RegisterXCr0 + 1, OTHERS = sizeof others / sizeof *others };
    WHV_REGISTER_NAME names[GENERAL + OTHERS];
    WHV_REGISTER_VALUE v[GENERAL + OTHERS];

    for (int i = 0; i < GENERAL; i++)
        names[i] = (WHV_REGISTER_NAME)i;
    memcpy(names + GENERAL, others, sizeof others);
    ck_ok(WHvGetVirtualProcessorRegisters(h->partition, 0, names, GENERAL + OTHERS, v));
    if (is_tracing) {
        for (int i = 0; i < GENERAL + OTHERS; i++)
            printf(" %x=%llx.%llx", (u32)names[i], (unsigned long long)v[i].Reg128.High64,
                   (unsigned long long)v[i].Reg64);
        printf("\n");
    }
    return digest_add(digest, v, sizeof v);
}

struct canceller {
    WHV_PARTITION_HANDLE partition;
    bool stop;
};

static void *cancel_always(void *context)
{
    struct canceller *c = context;

    while (!__atomic_load_n(&c->stop, __ATOMIC_SEQ_CST)) {
        WHvCancelRunVirtualProcessor(c->partition, 0, 0);
        usleep(30);
    }
    return NULL;
}

static void play(u64 seed, enum cut cut, struct record *r)
{
    struct canceller canceller = { .stop = false };
    WHV_RUN_VP_EXIT_CONTEXT x;
    pthread_t thread;
    struct hostile h;

    hostile_open(&h, seed);
    emulator_open();
    h.is_lying = seed & 1;
    canceller.partition = h.partition;
    if (cut == CUT_BY_CANCELS)
        ck_assert_int_eq(pthread_create(&thread, NULL, cancel_always, &canceller), 0);
    for (u32 i = 0; i < RUNS; i++) {
        u64 more = chance_percent(&h.chance, 70) ? 1 + chance_below(&h.chance, 60) : chance_below(&h.chance, 1500);

        run_on(&h, more, cut, &x);
        if (!keeps_bytes)
            forget_bytes(&x);
        r->reason[i] = (u32)x.ExitReason;
        r->count[i] = count_of(&h);
        r->rip[i] = x.VpContext.Rip;
        r->digest[i] = digest_add(r->count[i], &x, sizeof x);
        if (is_tracing)
            printf("%u reason %x count %llu cs %x:%llx", i, r->reason[i], (unsigned long long)r->count[i],
                   x.VpContext.Cs.Selector, (unsigned long long)x.VpContext.Rip);
        for (u32 n = 0; is_tracing && n < sizeof x / 8; n++)
            printf("%s%llx", n ? "." : " exit ", (unsigned long long)load_bytes((u8 *)&x + n * 8, 8));
        r->digest[i] = digest_registers(&h, r->digest[i]);

        u32 status = answer(&h, &x);
        if (is_tracing)
            printf("  answered %08x\n", status);
        r->digest[i] = digest_add(r->digest[i], &status, sizeof status);
    }
    if (cut == CUT_BY_CANCELS) {
        __atomic_store_n(&canceller.stop, true, __ATOMIC_SEQ_CST);
        pthread_join(thread, NULL);
    }
    ck_ok(SwhpStateHash(h.partition, &r->hash));
    ck_ok(WHvEmulatorDestroyEmulator(emulator));
    hostile_close(&h);
}

static void compare(u64 seed, const char *what, const struct record *a, const struct record *b)
{
    for (u32 i = 0; i < RUNS; i++)
        ck_assert_msg(a->digest[i] == b->digest[i],
                      "seed %llu, %s: run %u differs: reason %x, count %llu, rip %llx; then reason %x, count %llu, "
                      "rip %llx",
                      (unsigned long long)seed, what, i, a->reason[i], (unsigned long long)a->count[i],
                      (unsigned long long)a->rip[i], b->reason[i], (unsigned long long)b->count[i],
                      (unsigned long long)b->rip[i]);
    ck_assert_msg(!memcmp(&a->hash, &b->hash, sizeof a->hash), "seed %llu, %s: the state at the end differs",
                  (unsigned long long)seed, what);
}

static void campaign(enum cut cut, const char *what)
{
    static struct record first, second;
    u64 rounds = chance_wish("ROUNDS", ROUNDS_QUICK), seed = chance_wish("SEED", 1);
    bool is_long = rounds > ROUNDS_QUICK;

    is_tracing = chance_wish("TRACE", 0);
    keeps_bytes = cut == CUT_NEVER;
    for (u64 i = 0; i < rounds; i++, seed++) {
        if (is_long)
            fprintf(stderr, "\r%llu ", (unsigned long long)seed);
        alarm(is_long ? 60 : 0);
        play(seed, CUT_NEVER, &first);
        play(seed, cut, &second);
        compare(seed, what, &first, &second);
    }
}

START_TEST(a_seed_gives_the_same_run_twice)
{
    campaign(CUT_NEVER, "once more");
}
END_TEST

START_TEST(counts_one_by_one_give_the_same_run)
{
    campaign(CUT_EACH, "by single counts");
}
END_TEST

START_TEST(cancels_do_not_change_the_run)
{
    campaign(CUT_BY_CANCELS, "with cancels");
}
END_TEST

TCase *hostile_case(void)
{
    TCase *t = tcase_create("hostile");

    tcase_set_timeout(t, chance_wish("ROUNDS", 0) ? 100000 : 60);
    tcase_add_test(t, a_seed_gives_the_same_run_twice);
    tcase_add_test(t, counts_one_by_one_give_the_same_run);
    tcase_add_test(t, cancels_do_not_change_the_run);
    return t;
}
