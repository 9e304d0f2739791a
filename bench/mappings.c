/* SPDX-License-Identifier: MIT */
/*
 * A guest that touches 4 GiB, a page at a time and in no order: mapped by one call; by 1,048,576 calls with pages of the
 * host that follow each other; and by as many, each with a page from somewhere else. The guest's time as ratios, and what
 * a call costs. All three touch the host's pages in the same order, so that they differ by the map alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "include/WinHvPlatform.h"

enum { PAGES = 1 << 20, ROUNDS = 5, SCATTER = 0x9e375 };
static const UINT64 base = (UINT64)4 << 30, page_size = 4096;

static void need(HRESULT hr, const char *what)
{
    if (hr < 0) {
        fprintf(stderr, "mappings: %s: %08x\n", what, (unsigned)hr);
        exit(1);
    }
}

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* 1: lea edx, [rdx + rdx * 4 + 12345]; and edx, 0xfffff; mov edi, edx; imul edi, esi; and edi, 0xfffff; shl rdi, 12;
 * add rax, [rbx + rdi]; dec ecx; jnz 1b; hlt */
static const unsigned char code[] = { 0x8d, 0x94, 0x92, 0x39, 0x30, 0, 0, 0x81, 0xe2, 0xff, 0xff, 0x0f, 0, 0x89, 0xd7, 0x0f,
                                      0xaf, 0xfe, 0x81, 0xe7, 0xff, 0xff, 0x0f, 0, 0x48, 0xc1, 0xe7, 12, 0x48, 0x03, 0x04, 0x3b,
                                      0xff, 0xc9, 0x75, 0xdc, 0xf4 };

/* 64-bit code with the first 8 GiB mapped one to one, in pages of 1 GiB. */
static WHV_PARTITION_HANDLE open_guest(void)
{
    static const WHV_REGISTER_NAME names[] = { WHvX64RegisterCr3, WHvX64RegisterCr4, WHvX64RegisterEfer, WHvX64RegisterCr0,
                                               WHvX64RegisterCs,  WHvX64RegisterDs,  WHvX64RegisterSs };
    unsigned char *memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    WHV_REGISTER_VALUE values[7];
    WHV_PARTITION_HANDLE p;
    UINT32 count = 1;
    UINT64 entry = 0x3007;

    need(WHvCreatePartition(&p), "partition");
    need(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, &count, sizeof count), "processors");
    need(WHvSetupPartition(p), "setup");
    need(WHvMapGpaRange(p, memory, 0, 65536,
                        WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite | WHvMapGpaRangeFlagExecute), "map");
    need(WHvCreateVirtualProcessor(p, 0, 0), "processor");
    memcpy(memory + 0x1000, code, sizeof code);
    memcpy(memory + 0x2000, &entry, 8);
    for (unsigned i = 0; i < 8; i++) {
        entry = (UINT64)i << 30 | 0xe7;
        memcpy(memory + 0x3000 + 8 * i, &entry, 8);
    }
    memset(values, 0, sizeof values);
    values[0].Reg64 = 0x2000;
    values[1].Reg64 = 0x20;
    values[2].Reg64 = 0xd00;
    values[3].Reg64 = 0x80050033;
    values[4].Segment.Selector = 8;
    values[4].Segment.Attributes = 0xa09b;
    values[5].Segment.Selector = values[6].Segment.Selector = 16;
    values[5].Segment.Attributes = values[6].Segment.Attributes = 0xc093;
    values[4].Segment.Limit = values[5].Segment.Limit = values[6].Segment.Limit = 0xffffffff;
    need(WHvSetVirtualProcessorRegisters(p, 0, names, 7, values), "long mode");
    return p;
}

/* Once through all pages; number n of the order is the guest's page n * stride. */
static double run_once(WHV_PARTITION_HANDLE p, UINT64 stride)
{
    static const WHV_REGISTER_NAME names[] = { WHvX64RegisterRip, WHvX64RegisterRbx, WHvX64RegisterRcx, WHvX64RegisterRsi };
    WHV_REGISTER_VALUE values[4];
    WHV_RUN_VP_EXIT_CONTEXT x;
    double from;

    memset(values, 0, sizeof values);
    values[0].Reg64 = 0x1000;
    values[1].Reg64 = base;
    values[2].Reg64 = PAGES;
    values[3].Reg64 = stride;
    need(WHvSetVirtualProcessorRegisters(p, 0, names, 4, values), "start");
    from = seconds();
    need(WHvRunVirtualProcessor(p, 0, &x, sizeof x), "run");
    if (x.ExitReason != WHvRunVpExitReasonX64Halt) {
        fprintf(stderr, "mappings: unexpected exit %x\n", (unsigned)x.ExitReason);
        exit(1);
    }
    return seconds() - from;
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

/* So many calls, each with the page of the host that is so many after the last one's. Seconds. */
static double map(WHV_PARTITION_HANDLE p, char *memory, UINT64 calls, UINT64 host_stride)
{
    const UINT64 size = PAGES / calls * page_size;
    double from = seconds();

    for (UINT64 i = 0; i < calls; i++)
        need(WHvMapGpaRange(p, memory + (i * host_stride & (PAGES - 1)) * page_size, base + i * size, size,
                            WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite), "map");
    return seconds() - from;
}

int main(void)
{
    /* Never written, so all of it is the host's one page of zeros. */
    char *memory = mmap(NULL, PAGES * page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    static const struct {
        const char *name;
        UINT64 calls, host_stride, guest_stride;
    } how[] = {
        { "at once", 1, 1, SCATTER },
        { "singly, in line", PAGES, 1, SCATTER },
        { "singly, scattered", PAGES, SCATTER, 1 },
    };
    WHV_PARTITION_HANDLE p[3];
    double mapping[3], time[3] = { 1e9, 1e9, 1e9 };

    if (memory == MAP_FAILED) {
        fprintf(stderr, "mappings: no room for 4 GiB of addresses\n");
        return 1;
    }
    for (unsigned k = 0; k < 3; k++) {
        p[k] = open_guest();
        mapping[k] = map(p[k], memory, how[k].calls, how[k].host_stride);
    }
    run_once(p[0], SCATTER); /* the host's own page tables */
    for (unsigned i = 0; i < ROUNDS; i++) /* by turns: whatever else the host does meets all */
        for (unsigned k = 0; k < 3; k++)
            time[k] = least(time[k], run_once(p[k], how[k].guest_stride));
    printf("\n%-24s%16s%16s%16s\n", "a million pages mapped", "ns a mapping", "ns a page", "ratio");
    for (unsigned k = 0; k < 3; k++) {
        printf("%-24s%16.1f%16.1f%16.2f\n", how[k].name, mapping[k] * 1e9 / (double)how[k].calls, time[k] * 1e9 / PAGES,
               time[k] / time[0]);
        WHvDeletePartition(p[k]);
    }
    return 0;
}
