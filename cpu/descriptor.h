/* SPDX-License-Identifier: MIT */
/*
 * What far transfers, gates, returns and task switches share: reading descriptors, checking code and stack
 * segments before they are loaded, and frames pushed onto a stack that isn't in use yet.
 */
#ifndef CPU_DESCRIPTOR_H
#define CPU_DESCRIPTOR_H

#include "cpu/handler.h"
#include "cpu/segments.h"

struct descriptor {
    u64 raw;
    u64 high;   /* second half of the 16-byte descriptors of long mode */
    u64 linear; /* where it stands */
};

INLINE u16 raw_attributes(u64 raw)
{
    return (u16)(raw >> 40) & 0xf0ff;
}

INLINE u32 raw_base(u64 raw)
{
    return (u32)(raw >> 16 & 0xffffff) | (u32)(raw >> 56) << 24;
}

INLINE u32 raw_limit(u64 raw)
{
    u32 limit = (u32)(raw & 0xffff) | (u32)(raw >> 32 & 0xf0000);

    return raw >> 55 & 1 ? limit << 12 | 0xfff : limit;
}

INLINE unsigned raw_dpl(u64 raw)
{
    return raw >> 45 & 3;
}

INLINE bool raw_present(u64 raw)
{
    return raw >> 47 & 1;
}

/* The type with the S bit above it: 0x10 to 0x1f are data and code. */
INLINE unsigned raw_type(u64 raw)
{
    return raw >> 40 & 0x1f;
}

INLINE bool raw_is_code(u64 raw)
{
    return (raw_type(raw) & (SEG_S | SEG_CODE)) == (SEG_S | SEG_CODE);
}

INLINE bool raw_is_conforming(u64 raw)
{
    return raw_type(raw) & SEG_DOWN;
}

INLINE bool raw_is_writable_data(u64 raw)
{
    return (raw_type(raw) & (SEG_S | SEG_CODE | SEG_WRITE)) == (SEG_S | SEG_WRITE);
}

INLINE bool is_null_selector(u16 selector)
{
    return !(selector & ~3);
}

/* The EXT bit of error codes: what is being delivered comes from outside the program. SDM 3A 6.13. */
INLINE u32 error_ext(const struct vcpu *cpu)
{
    return cpu->in_delivery && cpu->delivering.type != EVENT_SOFTWARE_INTERRUPT &&
           cpu->delivering.type != EVENT_SOFTWARE_EXCEPTION;
}

/* An error code naming a selector. */
INLINE u32 error_of(const struct vcpu *cpu, u16 selector)
{
    return (selector & 0xfffcu) | error_ext(cpu);
}

/* Up to 8 bytes of a descriptor table or TSS, whatever CPL. */
INLINE u64 system_read(struct vcpu *cpu, u64 linear, unsigned size)
{
    const struct tlb_entry *e =
        (const struct tlb_entry *)((const char *)cpu->banks[BANK_SUPERVISOR].entry + TLB_OFFSET(linear));

    if (likely(((linear + size - 1) & PAGE_MASK) == e->read))
        return load_bytes((const u8 *)(linear + e->addend), size);
    return mem_read_linear(cpu, linear, size, ACCESS_READ | ACCESS_SYSTEM);
}

/* Addresses of tables wrap at 4 GiB outside long mode. */
INLINE u64 table_linear(const struct vcpu *cpu, u64 base, u64 offset)
{
    return in_long_mode(cpu) ? base + offset : (u32)(base + offset);
}

/* Reads the descriptor that a selector names; false: it is past its table's limit. */
bool descriptor_read(CPU, u16 selector, struct descriptor *d);
/* The second half of a 16-byte one; false: past the limit. */
bool descriptor_read_high(CPU, u16 selector, struct descriptor *d);
/* Sets the accessed bit of a code or data descriptor in memory; to be done before anything is committed. */
void descriptor_set_accessed(CPU, const struct descriptor *d);
/*
 * Its type byte in memory: resolved first (may raise), then changed, so that other processors see it happen
 * at once.
 */
void descriptor_type_resolve(CPU, const struct descriptor *d, struct place *p);
void descriptor_type_change(CPU, const struct descriptor *d, struct place *p, u8 clear, u8 set);
enum { TYPE_BUSY = 2 };

/* What a segment register becomes. */
struct segment segment_of(u16 selector, u64 raw);
/* An unusable one, of a null selector. cpl: SS keeps it as its DPL. */
struct segment segment_null(u16 selector, unsigned cpl);
/* Do `size` bytes at an offset lie within a data segment that grows up or down? */
bool segment_fits(const struct segment *s, u64 offset, unsigned size);

/* #GP(error) unless RIP lies in a code segment that is about to be loaded. */
void check_rip(CPU, const struct segment *cs, u64 rip, u32 error);

/* Sets CS, CPL and RIP, and what follows from them. */
void commit_code(CPU, const struct segment *cs, unsigned cpl, u64 rip);
/*
 * RSP behind a far call or return, as wide as the target's stack has it: 32 bits clear the upper half, 16 leave
 * all 48 above them as they are, in compatibility mode too (Zen 3).
 */
void commit_stack_pointer(CPU, bool to64, const struct segment *ss, u64 rsp);

/* SS as an inner level wants it: null, limit, RPL, type, DPL (#TS), present (#SS). Sets its accessed bit. */
struct segment check_inner_stack(CPU, u16 selector, unsigned cpl);

/* Stack pointer number 0 to 2 of the TSS, and SS outside long mode. #TS when the TSS ends before it. */
u64 tss_stack(CPU, unsigned cpl, u16 *ss);
/* A stack pointer of the 64-bit TSS: RSP0 to 2 at offset 4, IST1 to 7 at 36. */
u64 tss_stack64(CPU, unsigned offset);

/* Values pushed onto a stack in one go: resolve (may raise), then commit (can't fail). */
enum { FRAME_MAX = 40 };
struct frame {
    struct segment ss; /* looked at outside 64-bit mode only */
    bool is64;
    u64 sp;            /* before the first push; after commit: the new one */
    unsigned size;     /* of each value in bytes */
    unsigned n;
    /* the stack of a more privileged level: pushed to as a supervisor, whatever CPL and AC */
    bool inner;
    u32 error;         /* of #SS */
    u8 *bytes;         /* all in one piece, else NULL: places */
    u64 value[FRAME_MAX];
    struct place place[FRAME_MAX];
};

INLINE void frame_push(struct frame *f, u64 value)
{
    f->value[f->n++] = value;
}

void frame_resolve(CPU, struct frame *f);
void frame_commit(CPU, struct frame *f);

/*
 * The outer half of RET far and IRET to a less privileged level: data segments it may not keep become null.
 */
void drop_inner_segments(CPU);
/* SS for an outer level: #GP, #SS. */
struct segment check_outer_stack(CPU, u16 selector, unsigned cpl, bool to64);
/* CS of RET far and IRET: checks and accessed bit; the new CPL is the selector's RPL. */
struct segment check_return_code(CPU, u16 selector);

#endif
