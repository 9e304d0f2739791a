/* SPDX-License-Identifier: MIT */
/* What the hostile guest's memory holds: descriptors, gates, tasks, page tables and code that mostly work. */
#include "state/x86.h"
#include "tests/whp/hostile.h"

static void put(struct hostile *h, u32 at, u64 value, u32 size)
{
    memcpy(h->memory + at, &value, size);
}

/* A descriptor: mostly one that works. */
static u64 descriptor(struct chance *c)
{
    static const u8 types[] = { 0x9b, 0x93, 0xfb, 0xf3, 0x9a, 0x92, 0x9f, 0x97, 0xff, 0x98, 0x91, 0xf1 };
    u64 base = chance_percent(c, 75) ? 0 : hostile_value(c) & 0xffffffff;
    u64 limit = chance_percent(c, 75) ? 0xfffff : chance_any(c) & 0xfffff;
    u64 type = chance_percent(c, 80) ? CHANCE_OF(c, types) : chance_any(c) & 0xff;
    u64 flags = chance_percent(c, 80) ? (chance_percent(c, 50)   ? 0xc
                                         : chance_percent(c, 50) ? 0xa
                                                                 : 0x0)
                                      : chance_any(c) & 15;

    return (limit & 0xffff) | (base & 0xffffff) << 16 | type << 40 | (limit >> 16) << 48 | flags << 52 |
           (base >> 24) << 56;
}

static u64 system_segment(u32 base, u32 limit, u32 type)
{
    return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(type | 0x80) << 40;
}

/* A selector of the GDT or LDT; the first eight entries are known ones. */
static u16 selector(struct chance *c)
{
    u32 index = chance_percent(c, 75) ? chance_below(c, 12) : chance_below(c, 64);

    return (u16)(index << 3 | (chance_percent(c, 15) ? 4 : 0) | (chance_percent(c, 30) ? 3 : 0));
}

static u64 gate(struct chance *c, u32 type)
{
    static const u16 codes[] = { 0x08, 0x18, 0x20, 0x08, 0x18, 0x08, 0x18, 0x33, 0x28 };
    u64 offset = HOSTILE_CODE + chance_below(c, 0x4000), cs = CHANCE_OF(c, codes);
    u64 dpl = chance_percent(c, 70) ? 3 : 0, present = !chance_percent(c, 6);

    if (chance_percent(c, 8))
        cs = selector(c);
    if (type == 5)
        cs = chance_percent(c, 80) ? 0x48 : selector(c);
    return (offset & 0xffff) | cs << 16 | (type | dpl << 5 | present << 7) << 40 | (offset >> 16) << 48 |
           (type == 12 || type == 4 ? (u64)chance_below(c, 6) << 32 : 0);
}

/* 08 flat 32-bit code, 10 data, 18 64-bit code, 20 16-bit code, 28 conforming, 33 and 3b of ring 3, 40 TSS,
 * 48 task. */
static void build_descriptors(struct hostile *h)
{
    static const u64 known[] = { 0,
                                 0x00cf9b000000ffff,
                                 0x00cf93000000ffff,
                                 0x00af9b000000ffff,
                                 0x000f9b000000ffff,
                                 0x00cf9f000000ffff,
                                 0x00cffb000000ffff,
                                 0x00cff3000000ffff };
    static const u8 gates[] = { 4, 5, 12, 12, 12 };
    struct chance *c = &h->chance;

    for (u32 i = 0; i < 512; i++) {
        put(h, HOSTILE_GDT + i * 8,
            i < 8   ? known[i]
            : i & 3 ? descriptor(c)
                    : gate(c, CHANCE_OF(c, gates)),
            8);
        put(h, HOSTILE_LDT + i * 8, i & 3 ? descriptor(c) : gate(c, CHANCE_OF(c, gates)), 8);
    }
    put(h, HOSTILE_GDT + 0x40, system_segment(HOSTILE_TSS, 0x2100, 9), 8);
    put(h, HOSTILE_GDT + 0x48, system_segment(HOSTILE_TASK, 0x67, chance_percent(c, 80) ? 9 : 1), 8);
    put(h, HOSTILE_GDT + 0x50, system_segment(HOSTILE_LDT, 0xfff, 2), 8);
    put(h, HOSTILE_GDT + 0x58, 0, 8);
}

/* The long IDT has gates of 16 bytes; half of either kind's gates are what the other would misread. */
static void build_vectors(struct hostile *h, bool is_long)
{
    struct chance *c = &h->chance;
    static const u8 types[] = { 14, 15, 14, 15, 14, 15, 6, 7, 5 };

    for (u32 i = 0; i < 256; i++) {
        u32 type = is_long || chance_percent(c, 40) ? 14 + (i & 1) : CHANCE_OF(c, types);

        if (is_long) {
            u64 g = gate(c, type);

            if (chance_percent(c, 80))
                g = (g & ~((u64)0xffff << 16)) | 0x18 << 16;
            if (chance_percent(c, 30))
                g |= (u64)chance_below(c, 8) << 32;
            put(h, HOSTILE_IDT + i * 16, g, 8);
            put(h, HOSTILE_IDT + i * 16 + 8, chance_percent(c, 3) ? chance_any(c) : 0, 8);
        } else {
            put(h, HOSTILE_IDT + i * 8, gate(c, type), 8);
        }
        put(h, i * 4, (u64)chance_below(c, 0x4000) | (u64)(HOSTILE_CODE >> 4) << 16, 4);
    }
}

static void build_task(struct hostile *h, u32 at)
{
    struct chance *c = &h->chance;

    for (u32 i = 0; i < 0x68; i += 4)
        put(h, at + i, chance_percent(c, 50) ? HOSTILE_DATA + chance_below(c, 0x10000) : 0, 4);
    for (u32 i = 8; i <= 24;
         i += 8) /* SS0 to SS2; in long mode halves of RSP1 and so on, which must be low */
        put(h, at + i, at == HOSTILE_TSS && chance_percent(c, 50) ? 0 : 0x10, 4);
    put(h, at + 0x1c, (HOSTILE_TABLES + 0x5000), 4);
    put(h, at + 0x20, HOSTILE_CODE + chance_below(c, 0x4000), 4);
    put(h, at + 0x24, 2 | (chance_percent(c, 20) ? chance_any(c) & 0x24fd5 : 0), 4);
    for (u32 i = 0x48; i < 0x60; i += 4)
        put(h, at + i, chance_percent(c, 90) ? 0x10 : selector(c), 4);
    put(h, at + 0x4c, chance_percent(c, 90) ? 8 : selector(c), 4);
    put(h, at + 0x60, chance_percent(c, 70) ? 0 : 0x50, 4);
    put(h, at + 0x64, (u64)(chance_percent(c, 80) ? 0x68 + 32 : chance_any(c) & 0xffff) << 16, 4);
}

/* Rights of a page-table entry: mostly all. */
static u64 rights(struct chance *c)
{
    if (chance_percent(c, 85))
        return 7;
    return (chance_any(c) & 0x1e7) | (chance_percent(c, 90) ? 1 : 0) | (chance_percent(c, 20) ? PTE_NX : 0);
}

/* One to one below 2 MiB by 4 KiB pages, and again as large pages above it; entries that lead back to their
 * table. */
static void build_pages(struct hostile *h)
{
    const u32 pml5 = HOSTILE_TABLES, pml4 = pml5 + 0x1000, pdpt = pml4 + 0x1000, pd = pdpt + 0x1000,
              pt = pd + 0x1000, pd4 = pt + 0x1000, pt4 = pd4 + 0x1000, pdptes = pt4 + 0x1000;
    struct chance *c = &h->chance;

    for (u32 i = 0; i < 512; i++) {
        bool odd = chance_percent(c, 5);

        put(h, pt + i * 8, (u64)i << 12 | rights(c), 8);
        put(h, pd + i * 8, i ? (u64)(i & 1) << 21 | 0x87 | (rights(c) & 0x1e7) : pt | 7, 8);
        put(h, pdpt + i * 8, i & 3 ? 0x87 : pd | rights(c), 8);
        put(h, pml4 + i * 8, odd ? chance_any(c) : i & 7 ? pml4 | 7 : pdpt | 7, 8);
        put(h, pml5 + i * 8, odd ? chance_any(c) : pml4 | (i ? rights(c) : 7), 8);
        put(h, pdptes + i * 8,
            i == 0  ? pd | 1
            : i < 4 ? (chance_percent(c, 50) ? pd | 1 : chance_any(c))
                    : 0,
            8);
    }
    for (u32 i = 0; i < 1024; i++) {
        put(h, pt4 + i * 4, i << 12 | rights(c), 4);
        put(h, pd4 + i * 4, i == 0 ? pt4 | 7 : i & 1 ? 0x87 | (rights(c) & 0x1ff) : pd4 | 7, 4);
    }
}

void hostile_fill(struct hostile *h)
{
    struct chance *c = &h->chance;
    static const u8 sizes[] = { 16, 32, 64, 64 };
    unsigned bits = CHANCE_OF(c, sizes);

    for (u32 at = HOSTILE_DATA; at < HOSTILE_SIZE; at += 8)
        put(h, at, chance_any(c) & (at & 8 ? 0x3ffff : ~(u64)0), 8);
    build_descriptors(h);
    build_vectors(h, bits == 64 || chance_percent(c, 30));
    build_task(h, HOSTILE_TSS);
    build_task(h, HOSTILE_TASK);
    memset(h->memory + HOSTILE_TSS + 0x68, chance_percent(c, 50) ? 0 : 0x55, 0x2000 / 8);
    build_pages(h);
    for (u32 at = 0; at < 0x4000; at += 0x800) {
        if (chance_percent(c, 15))
            bits = CHANCE_OF(c, sizes);
        hostile_code(c, h->memory + HOSTILE_CODE + at, 0x800, bits);
    }
    memcpy(h->memory + HOSTILE_CODE + 0x4000, h->memory + HOSTILE_CODE + 0x321, 0x3000);
    if (chance_percent(c, 70)) /* an image for FXRSTOR and XRSTOR that they take */
        memset(h->memory + 40 * 4096, 0, 4096);
    put(h, 40 * 4096 + 24, chance_percent(c, 80) ? 0x1f80 : chance_any(c), 4);
    put(h, 40 * 4096 + 512, chance_below(c, 8), 8);
}
