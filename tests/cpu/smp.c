/* SPDX-License-Identifier: MIT */
/* The machine of two processors, and the suite of what is tested on it. */
#include "tests/cpu/smp.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

enum { PML4 = 0x2000, PDPT = 0x3000, PD = 0x4000 };

#define CK_OK(call) ck_assert_int_eq((call), S_OK)

UINT64 smp_load(struct smp *m, UINT32 gpa)
{
    UINT64 v;

    memcpy(&v, m->memory + gpa, sizeof v);
    return v;
}

void smp_store(struct smp *m, UINT32 gpa, UINT64 value)
{
    memcpy(m->memory + gpa, &value, sizeof value);
}

void smp_set(struct smp *m, UINT32 index, WHV_REGISTER_NAME name, UINT64 value)
{
    WHV_REGISTER_VALUE v = { .Reg64 = value };

    CK_OK(WHvSetVirtualProcessorRegisters(m->partition, index, &name, 1, &v));
}

UINT64 smp_get(struct smp *m, UINT32 index, WHV_REGISTER_NAME name)
{
    WHV_REGISTER_VALUE v;

    CK_OK(WHvGetVirtualProcessorRegisters(m->partition, index, &name, 1, &v));
    return v.Reg64;
}

static void build_tables(struct smp *m)
{
    smp_store(m, PML4, PDPT | 7);
    smp_store(m, PDPT, PD | 7);
    for (UINT32 i = 0; i < 512; i++) {
        smp_store(m, PD + i * 8, (UINT64)i << 21 | 0xe7);
        smp_store(m, SMP_TABLE + i * 8, (SMP_PAGES + (UINT64)i * 4096) | 7);
    }
    smp_store(m, PD + (SMP_PAGES >> 21) * 8, SMP_TABLE | 7);
}

static void prepare(struct smp *m, UINT32 index)
{
    static const WHV_REGISTER_NAME names[] = { WHvX64RegisterCs, WHvX64RegisterSs, WHvX64RegisterDs,
                                               WHvX64RegisterEs, WHvX64RegisterCr0, WHvX64RegisterCr3,
                                               WHvX64RegisterCr4, WHvX64RegisterEfer };
    WHV_REGISTER_VALUE v[8];

    memset(v, 0, sizeof v);
    for (unsigned i = 0; i < 4; i++) {
        v[i].Segment.Limit = 0xffffffff;
        v[i].Segment.Selector = i ? 16 : 8;
        v[i].Segment.Attributes = i ? 0xc093 : 0xa09b;
    }
    v[4].Reg64 = 0x80000031;
    v[5].Reg64 = PML4;
    v[6].Reg64 = 0x20;
    v[7].Reg64 = 0xd00;
    CK_OK(WHvSetVirtualProcessorRegisters(m->partition, index, names, 8, v));
    smp_set(m, index, WHvX64RegisterRsp, SMP_STACK + index * 0x8000);
}

void smp_open(struct smp *m)
{
    smp_open_with(m, 2);
}

void smp_open_with(struct smp *m, UINT32 processors)
{
    memset(m, 0, sizeof *m);
    m->processors = processors;
    m->memory = mmap(NULL, SMP_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(m->memory, MAP_FAILED);
    CK_OK(WHvCreatePartition(&m->partition));
    CK_OK(WHvSetPartitionProperty(m->partition, WHvPartitionPropertyCodeProcessorCount, &processors, sizeof processors));
    CK_OK(WHvSetupPartition(m->partition));
    CK_OK(WHvMapGpaRange(m->partition, m->memory, 0, SMP_MEMORY, (WHV_MAP_GPA_RANGE_FLAGS)7));
    build_tables(m);
    for (UINT32 i = 0; i < processors; i++) {
        m->part[i] = (struct smp_part){ .machine = m, .index = i };
        CK_OK(WHvCreateVirtualProcessor(m->partition, i, 0));
        prepare(m, i);
    }
}

void smp_close(struct smp *m)
{
    CK_OK(WHvDeletePartition(m->partition));
    munmap(m->memory, SMP_MEMORY);
}

void smp_repeat(struct smp *m, UINT32 index, UINT32 rounds, const char *code, size_t size)
{
    UINT32 start = SMP_CODE + index * 0x1000;
    UINT8 *at = m->memory + start;
    int back = -(int)(size + 9);

    memcpy(at, code, size);
    memcpy(at + size, "\x41\xff\xcc\x0f\x85", 5); /* dec r12d; jnz */
    memcpy(at + size + 5, &back, 4);
    at[size + 9] = 0xf4;
    smp_set(m, index, WHvX64RegisterRip, start);
    smp_set(m, index, WHvX64RegisterR12, rounds);
    smp_set(m, index, WHvX64RegisterR13, 0);
}

static pthread_barrier_t start_line;

static void *run_part(void *context)
{
    struct smp_part *part = context;

    pthread_barrier_wait(&start_line);
    part->hr = WHvRunVirtualProcessor(part->machine->partition, part->index, &part->exit, sizeof part->exit);
    return NULL;
}

void smp_run(struct smp *m)
{
    pthread_t threads[4];

    pthread_barrier_init(&start_line, NULL, m->processors);
    for (unsigned i = 0; i < m->processors; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run_part, &m->part[i]), 0);
    for (unsigned i = 0; i < m->processors; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start_line);
    for (unsigned i = 0; i < m->processors; i++) {
        CK_OK(m->part[i].hr);

        const WHV_RUN_VP_EXIT_CONTEXT *x = &m->part[i].exit;

        ck_assert_msg(x->ExitReason == WHvRunVpExitReasonX64Halt, "processor %u left with %x at %llx", i,
                      (unsigned)x->ExitReason, (unsigned long long)x->VpContext.Rip);
    }
}

Suite *smp_suite(void)
{
    Suite *s = suite_create("smp");

    suite_add_tcase(s, smp_guest_case());
    suite_add_tcase(s, smp_code_case());
    suite_add_tcase(s, smp_call_case());
    suite_add_tcase(s, smp_litmus_case());
    return s;
}
