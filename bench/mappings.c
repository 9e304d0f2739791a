/* SPDX-License-Identifier: MIT */
/*
 * A guest that touches 4 GiB, a page at a time and in no order: mapped by 1,048,576 calls, each with a page of the host
 * from somewhere else, and by one. The guest's time as a ratio, and what a call costs.
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

/* 1: lea edx, [rdx + rdx * 4 + 12345]; and edx, 0xfffff; mov rdi, rdx; shl rdi, 12; add rax, [rbx + rdi]; dec ecx; jnz 1b; hlt */
static const unsigned char code[] = { 0x8d, 0x94, 0x92, 0x39, 0x30, 0,    0,    0x81, 0xe2, 0xff, 0xff, 0x0f, 0,    0x48, 0x89,
                                      0xd7, 0x48, 0xc1, 0xe7, 12,   0x48, 0x03, 0x04, 0x3b, 0xff, 0xc9, 0x75, 0xe4, 0xf4 };

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

/* Once through all pages. */
static double run_once(WHV_PARTITION_HANDLE p)
{
    static const WHV_REGISTER_NAME names[] = { WHvX64RegisterRip, WHvX64RegisterRbx, WHvX64RegisterRcx };
    WHV_REGISTER_VALUE values[3];
    WHV_RUN_VP_EXIT_CONTEXT x;
    double from;

    memset(values, 0, sizeof values);
    values[0].Reg64 = 0x1000;
    values[1].Reg64 = base;
    values[2].Reg64 = PAGES;
    need(WHvSetVirtualProcessorRegisters(p, 0, names, 3, values), "start");
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

int main(void)
{
    /* Never written, so all of it is the host's one page of zeros. */
    char *memory = mmap(NULL, PAGES * page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    WHV_PARTITION_HANDLE single = open_guest(), whole = open_guest();
    double from, call, one = 1e9, big = 1e9;

    if (memory == MAP_FAILED) {
        fprintf(stderr, "mappings: no room for 4 GiB of addresses\n");
        return 1;
    }
    from = seconds();
    for (UINT64 i = 0; i < PAGES; i++)
        need(WHvMapGpaRange(single, memory + (i * SCATTER & (PAGES - 1)) * page_size, base + i * page_size, page_size,
                            WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite), "map");
    call = (seconds() - from) / PAGES;
    need(WHvMapGpaRange(whole, memory, base, PAGES * page_size, WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite), "map");
    run_once(single);
    for (unsigned i = 0; i < ROUNDS; i++) { /* by turns: whatever else the host does meets both */
        one = least(one, run_once(single));
        big = least(big, run_once(whole));
    }
    printf("\na million pages mapped singly\n");
    printf("%-32s %8.1f\n", "nanoseconds a mapping", call * 1e9);
    printf("%-32s %8.1f\n", "nanoseconds a page, singly", one * 1e9 / PAGES);
    printf("%-32s %8.1f\n", "nanoseconds a page, at once", big * 1e9 / PAGES);
    printf("%-32s %8.2f\n", "ratio", one / big);
    WHvDeletePartition(single);
    WHvDeletePartition(whole);
    return 0;
}
