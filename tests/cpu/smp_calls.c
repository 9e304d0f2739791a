/* SPDX-License-Identifier: MIT */
/* Two processors that run while a third thread calls: maps, cancels, properties, deletions. */
#include "tests/cpu/smp.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, TARGET = SMP_PAGES + 16 * PAGE };

#define CK_OK(call) ck_assert_int_eq((call), S_OK)

/* ---- runners ---- */

struct crew {
    struct smp *m;
    pthread_t threads[2];
    UINT64 exits[2], cancels[2], holes[2], wrong[2]; /* atomic */
    UINT32 deleted;   /* atomic: 1 while processor 1 may be missing */
};

struct runner {
    struct crew *crew;
    UINT32 index;
};

static void add(UINT64 *counter)
{
    __atomic_fetch_add(counter, 1, __ATOMIC_SEQ_CST);
}

static UINT64 look(UINT64 *counter)
{
    return __atomic_load_n(counter, __ATOMIC_SEQ_CST);
}

/* Runs again after each exit, until it is over. */
static void *run_on(void *context)
{
    struct runner r = *(struct runner *)context;
    struct crew *c = r.crew;
    WHV_RUN_VP_EXIT_CONTEXT exit;

    add(&c->exits[r.index]);
    while (!__atomic_load_n(&c->m->over, __ATOMIC_SEQ_CST)) {
        HRESULT hr = WHvRunVirtualProcessor(c->m->partition, r.index, &exit, sizeof exit);

        add(&c->exits[r.index]);
        if (hr != S_OK) {
            if (!(hr == WHV_E_VP_DOES_NOT_EXIST && __atomic_load_n(&c->deleted, __ATOMIC_SEQ_CST)))
                add(&c->wrong[r.index]);
        } else if (exit.ExitReason == WHvRunVpExitReasonCanceled) {
            add(&c->cancels[r.index]);
        } else if (exit.ExitReason == WHvRunVpExitReasonMemoryAccess) {
            add(&c->holes[r.index]);
        } else {
            add(&c->wrong[r.index]);
        }
    }
    return NULL;
}

static void crew_start(struct crew *c, struct smp *m)
{
    static struct runner runners[2];

    memset(c, 0, sizeof *c);
    c->m = m;
    for (UINT32 i = 0; i < 2; i++) {
        runners[i] = (struct runner){ c, i };
        ck_assert_int_eq(pthread_create(&c->threads[i], NULL, run_on, &runners[i]), 0);
    }
}

static void crew_end(struct crew *c)
{
    __atomic_store_n(&c->m->over, true, __ATOMIC_SEQ_CST);
    for (UINT32 i = 0; i < 2; i++) {
        CK_OK(WHvCancelRunVirtualProcessor(c->m->partition, i, 0));
        pthread_join(c->threads[i], NULL);
        ck_assert_uint_eq(c->wrong[i], 0);
    }
}

/* What guests do for ever. RDI: a word. */
#define COUNT "\x48\xff\xc0\x48\x89\x07"   /* inc rax; mov [rdi], rax */
#define LOCKED "\xf0\x48\xff\x07"          /* lock inc qword [rdi] */
#define FOR_EVER(code, back) code "\xeb" back

static void put_endless(struct smp *m, UINT32 index, const char *code, size_t size, UINT64 rdi)
{
    smp_repeat(m, index, 0, code, size);
    smp_set(m, index, WHvX64RegisterRdi, rdi);
}

/* ---- the map ---- */

static void map_target(struct smp *m, UINT8 *page)
{
    CK_OK(WHvMapGpaRange(m->partition, page, TARGET, PAGE, (WHV_MAP_GPA_RANGE_FLAGS)7));
}

static UINT64 first_word(const UINT8 *page)
{
    return __atomic_load_n((const UINT64 *)page, __ATOMIC_RELAXED);
}

/* Waits for the guests to write to a page: that they do at all is part of the test. */
static void await_change(const UINT8 *page, UINT64 from)
{
    while (first_word(page) == from)
        ;
}

START_TEST(nobody_uses_a_page_that_was_unmapped_or_replaced)
{
    static const struct {
        const char *code;
        size_t size;
        UINT32 at;
    } kinds[] = {
        { SMP_BYTES(FOR_EVER(COUNT, "\xf8")), 0 },
        { SMP_BYTES(FOR_EVER(LOCKED, "\xfa")), 0 },
        { SMP_BYTES(FOR_EVER(LOCKED, "\xfa")), 60 }, /* across lines: the processors stop each other, too */
    };
    struct smp m;
    struct crew c;
    UINT8 *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(pages, MAP_FAILED);
    smp_open(&m);
    for (UINT32 i = 0; i < 2; i++)
        put_endless(&m, i, kinds[_i].code, kinds[_i].size, TARGET + kinds[_i].at);
    map_target(&m, pages);
    crew_start(&c, &m);
    for (unsigned turn = 0; turn < 100; turn++) {
        UINT8 *page = pages + turn % 2 * PAGE, *next = pages + (turn + 1) % 2 * PAGE, copy[PAGE];
        UINT8 *word = page + (kinds[_i].at & ~7u);

        await_change(word, first_word(word));
        if (turn % 3)
            CK_OK(WHvUnmapGpaRange(m.partition, TARGET, PAGE));
        else
            map_target(&m, next);
        memcpy(copy, page, PAGE);
        usleep(100);
        ck_assert_msg(!memcmp(copy, page, PAGE), "turn %u: a page was written to that was taken away", turn);
        if (turn % 3)
            map_target(&m, next);
    }
    crew_end(&c);
    ck_assert_uint_gt(c.holes[0] + c.holes[1], 0);
    smp_close(&m);
    munmap(pages, 2 * PAGE);
}
END_TEST

START_TEST(code_of_a_page_that_was_replaced_does_not_run)
{
    /* call rbx; mov [rdi], rax; jmp: RBX is a page with mov eax, imm32; ret */
    static const char loop[] = "\xff\xd3\x48\x89\x07\xeb\xf9";
    struct smp m;
    struct crew c;
    UINT8 *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(pages, MAP_FAILED);
    memcpy(pages, "\xb8\x01\x00\x00\x00\xc3", 6);
    memcpy(pages + PAGE, "\xb8\x02\x00\x00\x00\xc3", 6);
    smp_open(&m);
    for (UINT32 i = 0; i < 2; i++) {
        put_endless(&m, i, SMP_BYTES(loop), SMP_DATA + 64 * i);
        smp_set(&m, i, WHvX64RegisterRbx, TARGET);
    }
    map_target(&m, pages);
    crew_start(&c, &m);
    for (unsigned turn = 1; turn < 100; turn++) {
        map_target(&m, pages + turn % 2 * PAGE);
        for (UINT32 i = 0; i < 2; i++) { /* what was under way arrives, then nothing but the new value */
            while (first_word(m.memory + SMP_DATA + 64 * i) != turn % 2 + 1)
                ;
            usleep(50);
            ck_assert_uint_eq(first_word(m.memory + SMP_DATA + 64 * i), turn % 2 + 1);
        }
    }
    crew_end(&c);
    smp_close(&m);
    munmap(pages, 2 * PAGE);
}
END_TEST

/* Tables for the first processor, with one gate. */
static void put_gate(struct smp *m, UINT32 vector, UINT64 handler)
{
    static const WHV_REGISTER_NAME names[] = { WHvX64RegisterIdtr, WHvX64RegisterGdtr };
    UINT32 idt = 0x30000, gdt = 0x31000;
    WHV_REGISTER_VALUE v[2];

    memset(v, 0, sizeof v);
    v[0].Table.Base = idt;
    v[0].Table.Limit = 0xfff;
    v[1].Table.Base = gdt;
    v[1].Table.Limit = 23;
    smp_store(m, gdt + 8, 0x00af9b000000ffff);
    smp_store(m, gdt + 16, 0x00cf93000000ffff);
    smp_store(m, idt + vector * 16, (handler & 0xffff) | 8 << 16 | (UINT64)0x8e << 40);
    CK_OK(WHvSetVirtualProcessorRegisters(m->partition, 0, names, 2, v));
}

/* The event is delivered before the first instruction, but not through the translations of before. */
START_TEST(an_event_after_a_remap_is_delivered_to_the_new_page)
{
    static UINT8 fresh[PAGE] __attribute__((aligned(4096)));
    static const WHV_REGISTER_NAME pending = WHvRegisterPendingInterruption;
    UINT32 stack = SMP_PAGES + 8 * PAGE;
    UINT64 handler = SMP_CODE + 0x1800;
    struct smp m;
    WHV_REGISTER_VALUE v;
    WHV_RUN_VP_EXIT_CONTEXT exit;

    smp_open(&m);
    memset(fresh, 0, sizeof fresh);
    smp_repeat(&m, 0, 1, SMP_BYTES("\x50\x58")); /* push rax; pop rax */
    smp_set(&m, 0, WHvX64RegisterRsp, stack + PAGE);
    put_gate(&m, 0x40, handler);
    m.memory[handler] = 0xf4;
    CK_OK(WHvRunVirtualProcessor(m.partition, 0, &exit, sizeof exit));
    ck_assert_int_eq(exit.ExitReason, WHvRunVpExitReasonX64Halt);
    memset(m.memory + stack, 0, PAGE);

    CK_OK(WHvMapGpaRange(m.partition, fresh, stack, PAGE, (WHV_MAP_GPA_RANGE_FLAGS)7));
    v = (WHV_REGISTER_VALUE){ .Reg64 = 1 | 0x40 << 16 };
    CK_OK(WHvSetVirtualProcessorRegisters(m.partition, 0, &pending, 1, &v));
    CK_OK(WHvRunVirtualProcessor(m.partition, 0, &exit, sizeof exit));
    ck_assert_int_eq(exit.ExitReason, WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(exit.VpContext.Rip, handler + 1);
    for (unsigned i = 0; i < PAGE; i++)
        ck_assert_uint_eq(m.memory[stack + i], 0);
    memcpy(&v, fresh + PAGE - 24, 8);
    ck_assert_uint_eq(v.Reg64 & 2, 2); /* RFLAGS' fixed bit */
    smp_close(&m);
}
END_TEST

/*
 * The same where the map changes while the processor waits to review its marks: each of its instructions overwrites code,
 * and is followed by a trap, whose frame goes to the page.
 */
START_TEST(a_trap_behind_overwritten_code_is_delivered_to_the_new_page)
{
    static const char loop[] = "\xc6\x07\x90" /* mov byte [rdi], 90h */
                               "\x90"         /* which is here */
                               "\xeb\xfa";
    UINT8 *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    UINT64 handler = SMP_CODE + 0x800;
    struct smp m;
    struct crew c;

    ck_assert_ptr_ne(pages, MAP_FAILED);
    smp_open(&m);
    put_endless(&m, 0, SMP_BYTES(loop), SMP_CODE + 3);
    put_endless(&m, 1, SMP_BYTES(FOR_EVER(COUNT, "\xf8")), SMP_DATA);
    put_gate(&m, 1, handler);
    memcpy(m.memory + handler, "\x48\xcf", 2); /* iretq */
    smp_set(&m, 0, WHvX64RegisterRsp, TARGET + PAGE);
    smp_set(&m, 0, WHvX64RegisterRflags, 0x102);
    map_target(&m, pages);
    crew_start(&c, &m);
    while (!first_word(pages + PAGE - 8)) /* SS: there is a frame */
        ;
    for (unsigned turn = 0; turn < 3000; turn++) {
        UINT8 *page = pages + turn % 2 * PAGE, *next = pages + (turn + 1) % 2 * PAGE;

        memcpy(next + PAGE - 64, page + PAGE - 64, 64); /* IRET may find an old frame, but some frame */
        map_target(&m, next);
        memset(page + PAGE - 64, 0xaa, 64);
        usleep(20);
        for (unsigned i = PAGE - 64; i < PAGE; i++)
            ck_assert_msg(page[i] == 0xaa, "turn %u: a frame went to a page that was taken away", turn);
    }
    crew_end(&c);
    smp_close(&m);
    munmap(pages, 2 * PAGE);
}
END_TEST

/* ---- cancels ---- */

START_TEST(a_storm_of_cancels_loses_nothing)
{
    struct smp m;
    struct crew c;

    smp_open(&m);
    put_endless(&m, 0, SMP_BYTES(FOR_EVER(LOCKED, "\xfa")), SMP_DATA + (_i ? PAGE - 4 : 0));
    put_endless(&m, 1, SMP_BYTES(FOR_EVER(LOCKED, "\xfa")), SMP_DATA + (_i ? PAGE - 4 : 64));
    crew_start(&c, &m);
    for (unsigned i = 0; i < 20000; i++)
        CK_OK(WHvCancelRunVirtualProcessor(m.partition, i & 1, 0));
    for (UINT32 i = 0; i < 2; i++) { /* one more gets through, whatever state the storm has left */
        UINT64 before = look(&c.cancels[i]);

        CK_OK(WHvCancelRunVirtualProcessor(m.partition, i, 0));
        while (look(&c.cancels[i]) == before)
            usleep(10);
    }
    crew_end(&c);
    ck_assert_uint_eq(c.holes[0] + c.holes[1], 0);
    smp_close(&m);
}
END_TEST

/* ---- misuse ---- */

static void await_runs(struct crew *c)
{
    for (UINT32 i = 0; i < 2; i++) {
        WHV_REGISTER_NAME name = WHvX64RegisterRax;
        WHV_REGISTER_VALUE v = { .Reg64 = 0 };

        while (!v.Reg64)
            CK_OK(WHvGetVirtualProcessorRegisters(c->m->partition, i, &name, 1, &v));
    }
}

START_TEST(what_a_running_machine_relies_on_cannot_be_changed)
{
    struct smp m;
    struct crew c;
    UINT64 value = 1, got = 0;
    UINT32 written;
    WHV_REGISTER_NAME rip = WHvX64RegisterRip;
    WHV_REGISTER_VALUE v = { .Reg64 = 0 };

    smp_open(&m);
    for (UINT32 i = 0; i < 2; i++)
        put_endless(&m, i, SMP_BYTES(FOR_EVER(COUNT, "\xf8")), SMP_DATA + 64 * i);
    crew_start(&c, &m);
    await_runs(&c);
    for (unsigned turn = 0; turn < 200; turn++) {
        static const WHV_PARTITION_PROPERTY_CODE codes[] = {
            WHvPartitionPropertyCodeProcessorCount, WHvPartitionPropertyCodeExtendedVmExits,
            WHvPartitionPropertyCodeExceptionExitBitmap, WHvPartitionPropertyCodeCpuidExitList,
            WHvPartitionPropertyCodeX64MsrExitBitmap, WHvPartitionPropertyCodePhysicalAddressWidth,
        };

        ck_assert(FAILED(WHvSetPartitionProperty(m.partition, codes[turn % 6], &value, sizeof value)));
        CK_OK(WHvGetPartitionProperty(m.partition, codes[0], &got, 8, &written));
        ck_assert_uint_eq((UINT32)got, 2);
        ck_assert_int_eq(WHvSetVirtualProcessorRegisters(m.partition, turn & 1, &rip, 1, &v),
                         WHV_E_INVALID_VP_STATE);
        ck_assert_int_eq(WHvDeleteVirtualProcessor(m.partition, turn & 1), WHV_E_INVALID_VP_STATE);
        ck_assert_int_eq(WHvCreateVirtualProcessor(m.partition, turn & 1, 0), WHV_E_VP_ALREADY_EXISTS);
        ck_assert(FAILED(WHvResetPartition(m.partition)));
        ck_assert(FAILED(WHvSetupPartition(m.partition)));
        ck_assert(FAILED(WHvDeletePartition(m.partition)));
    }
    crew_end(&c);
    smp_close(&m);
}
END_TEST

/* A processor comes and goes while the other one runs, decodes new pages and locks across pages. */
START_TEST(a_processor_comes_and_goes_beside_one_that_runs)
{
    /* lock inc qword [rdi]; call rbx; add rbx, 1000h; and rbx, rsi; or rbx, rdx; jmp: the pages of SMP_PAGES,
       each with RET */
    static const char loop[] = "\xf0\x48\xff\x07\xff\xd3\x48\x81\xc3\x00\x10\x00\x00\x48\x21\xf3"
                               "\x48\x09\xd3\xeb\xeb";
    struct smp m;
    struct crew c;

    smp_open(&m);
    for (UINT32 at = SMP_PAGES; at < SMP_PAGES + 0x200000; at += PAGE)
        m.memory[at] = 0xc3;
    put_endless(&m, 0, SMP_BYTES(loop), SMP_DATA + PAGE - 4);
    smp_set(&m, 0, WHvX64RegisterRbx, SMP_PAGES);
    smp_set(&m, 0, WHvX64RegisterRsi, 0x1ff000);
    smp_set(&m, 0, WHvX64RegisterRdx, SMP_PAGES);
    m.memory[0xffff0] = 0xeb; /* where a fresh one starts */
    m.memory[0xffff1] = 0xfe;
    put_endless(&m, 1, SMP_BYTES(FOR_EVER(LOCKED, "\xfa")), SMP_DATA + PAGE - 4);
    crew_start(&c, &m);
    for (unsigned turn = 0; turn < 100; turn++) {
        HRESULT hr;

        __atomic_store_n(&c.deleted, 1, __ATOMIC_SEQ_CST);
        do {
            CK_OK(WHvCancelRunVirtualProcessor(m.partition, 1, 0));
            hr = WHvDeleteVirtualProcessor(m.partition, 1);
        } while (hr == WHV_E_INVALID_VP_STATE);
        CK_OK(hr);
        ck_assert_int_eq(WHvCancelRunVirtualProcessor(m.partition, 1, 0), WHV_E_VP_DOES_NOT_EXIST);
        CK_OK(WHvCreateVirtualProcessor(m.partition, 1, 0));
    }
    crew_end(&c);
    ck_assert_uint_gt(smp_load(&m, SMP_DATA + PAGE - 4), 0);
    smp_close(&m);
}
END_TEST

static void *cancel_always(void *context)
{
    struct smp *m = context;
    UINT64 i = 0;

    while (!__atomic_load_n(&m->over, __ATOMIC_SEQ_CST))
        WHvCancelRunVirtualProcessor(m->partition, ++i & 1, 0);
    return NULL;
}

static void *run_once(void *context)
{
    struct smp_part *part = context;

    part->hr = WHvRunVirtualProcessor(part->machine->partition, part->index, &part->exit, sizeof part->exit);
    return NULL;
}

START_TEST(a_partition_is_deleted_under_a_storm_of_cancels)
{
    for (unsigned turn = 0; turn < 40; turn++) {
        struct smp m;
        pthread_t storm, runners[2];
        HRESULT hr;

        smp_open(&m);
        for (UINT32 i = 0; i < 2; i++)
            put_endless(&m, i, SMP_BYTES(FOR_EVER(LOCKED, "\xfa")), SMP_DATA + PAGE - 4);
        for (UINT32 i = 0; i < 2; i++)
            ck_assert_int_eq(pthread_create(&runners[i], NULL, run_once, &m.part[i]), 0);
        ck_assert_int_eq(pthread_create(&storm, NULL, cancel_always, &m), 0);
        do {
            hr = WHvDeletePartition(m.partition);
        } while (hr == WHV_E_INVALID_VP_STATE);
        CK_OK(hr);
        __atomic_store_n(&m.over, true, __ATOMIC_SEQ_CST);
        pthread_join(storm, NULL);
        for (UINT32 i = 0; i < 2; i++) { /* it ran and was cancelled, or came too late */
            pthread_join(runners[i], NULL);
            ck_assert(FAILED(m.part[i].hr) || m.part[i].exit.ExitReason == WHvRunVpExitReasonCanceled);
        }
        munmap(m.memory, SMP_MEMORY);
    }
}
END_TEST

TCase *smp_call_case(void)
{
    TCase *t = tcase_create("smp-call");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, nobody_uses_a_page_that_was_unmapped_or_replaced, 0, 3);
    tcase_add_test(t, code_of_a_page_that_was_replaced_does_not_run);
    tcase_add_test(t, a_trap_behind_overwritten_code_is_delivered_to_the_new_page);
    tcase_add_test(t, an_event_after_a_remap_is_delivered_to_the_new_page);
    tcase_add_loop_test(t, a_storm_of_cancels_loses_nothing, 0, 2);
    tcase_add_test(t, what_a_running_machine_relies_on_cannot_be_changed);
    tcase_add_test(t, a_processor_comes_and_goes_beside_one_that_runs);
    tcase_add_test(t, a_partition_is_deleted_under_a_storm_of_cancels);
    return t;
}
