/* SPDX-License-Identifier: MIT */
/* The machine of the tests about events: tests/cpu/event_machine.h. */
#include "tests/cpu/event_machine.h"

enum { SEGMENT_REAL = 0x93, SEGMENT_VM86 = 0xf3 };

static void put(struct rig *r, u32 at, u64 value)
{
    memcpy(r->g.memory + at, &value, sizeof value);
}

static bool is_long(enum in in)
{
    return in >= IN_COMPAT;
}

void rig_gate(struct rig *r, unsigned vector, unsigned type, unsigned ist)
{
    u64 offset = HANDLER(vector);

    if (is_long(r->in)) {
        put(r, IDT_AT + vector * 16, offset | SELECTOR_CODE64 << 16 | (u64)(type << 8 | ist) << 32);
        put(r, IDT_AT + vector * 16 + 8, 0);
    } else {
        put(r, IDT_AT + vector * 8, offset | SELECTOR_CODE32 << 16 | (u64)type << 40);
    }
}

static void build_handlers(struct rig *r)
{
    for (unsigned v = 0; v < 256; v++) {
        u32 vector = HANDLER(v);

        r->g.memory[HANDLER(v)] = 0xf4;
        if (r->in == IN_REAL)
            memcpy(r->g.memory + v * 4, &vector, 4);
        else
            rig_gate(r, v, INTERRUPT_GATE | 0x60, 0); /* any level may call it */
    }
}

static void build_segments(struct rig *r)
{
    put(r, GDT_AT + (SELECTOR_USER_CODE32 & ~7u), 0x00cffb000000ffff);
    put(r, GDT_AT + (SELECTOR_USER_DATA & ~7u), 0x00cff3000000ffff);
    put(r, GDT_AT + (SELECTOR_USER_CODE64 & ~7u), 0x00affb000000ffff);
    put(r, GDT_AT + SELECTOR_TSS, 0x00008b0000000067 | (u64)TSS_AT << 16);
    put(r, GDT_AT + SELECTOR_TSS + 8, 0);
    put(r, GDT_AT + SELECTOR_CODE16, 0x00009b000000ffff);
    put(r, GDT_AT + SELECTOR_DATA16, 0x000093000000ffff);
    if (is_long(r->in)) {
        put(r, TSS_AT + 4, INNER_STACK);
        put(r, 0x4000 + (ABSENT >> 21) * 8, 0);
    } else {
        put(r, TSS_AT + 4, INNER_STACK | (u64)SELECTOR_DATA << 32);
    }
}

static void set_segment(struct rig *r, WHV_REGISTER_NAME name, u16 selector, u64 base, u32 limit,
                        u16 attributes)
{
    WHV_REGISTER_VALUE v;

    memset(&v, 0, sizeof v);
    v.Segment.Base = base;
    v.Segment.Limit = limit;
    v.Segment.Selector = selector;
    v.Segment.Attributes = attributes;
    ck_ok(WHvSetVirtualProcessorRegisters(r->g.partition, 0, &name, 1, &v));
}

static void set_data(struct rig *r, u16 selector, u32 limit, u16 attributes)
{
    static const WHV_REGISTER_NAME names[] = { WHvX64RegisterSs, WHvX64RegisterDs, WHvX64RegisterEs,
                                               WHvX64RegisterFs, WHvX64RegisterGs };

    for (unsigned i = 0; i < 5; i++)
        set_segment(r, names[i], selector, 0, limit, attributes);
}

static void set_table(struct rig *r, WHV_REGISTER_NAME name, u64 base, u16 limit)
{
    WHV_REGISTER_VALUE v;

    memset(&v, 0, sizeof v);
    v.Table.Base = base;
    v.Table.Limit = limit;
    ck_ok(WHvSetVirtualProcessorRegisters(r->g.partition, 0, &name, 1, &v));
}

static void enter_mode(struct rig *r)
{
    switch (r->in) {
    case IN_VM86:
        rig_set(r, Rflags, 2 | RFLAG_VM | 3 << 12);
        set_segment(r, WHvX64RegisterCs, 0, 0, 0xffff, SEGMENT_VM86);
        set_data(r, 0, 0xffff, SEGMENT_VM86);
        break;
    case IN_PROTECTED16:
        set_segment(r, WHvX64RegisterCs, SELECTOR_CODE16, 0, 0xffff, 0x9b);
        set_data(r, SELECTOR_DATA16, 0xffff, 0x93);
        break;
    case IN_PROTECTED32_USER:
        set_segment(r, WHvX64RegisterCs, SELECTOR_USER_CODE32, 0, 0xffffffff, 0xc0fb);
        set_data(r, SELECTOR_USER_DATA, 0xffffffff, 0xc0f3);
        break;
    case IN_COMPAT:
        set_segment(r, WHvX64RegisterCs, SELECTOR_USER_CODE32, 0, 0xffffffff, 0xc0fb);
        set_data(r, SELECTOR_USER_DATA, 0xffffffff, 0xc0f3);
        break;
    case IN_LONG_USER:
        set_segment(r, WHvX64RegisterCs, SELECTOR_USER_CODE64, 0, 0xffffffff, 0xa0fb);
        set_data(r, SELECTOR_USER_DATA, 0xffffffff, 0xc0f3);
        break;
    default: break;
    }
}

void rig_open(struct rig *r, enum in in, const char *code, size_t size)
{
    static const u8 cpl[INS] = { 0, 3, 0, 0, 3, 3, 0, 3 };

    r->in = in;
    r->cpl = cpl[in];
    r->slot = in == IN_REAL ? 2 : is_long(in) ? 8 : 4;
    guest_open(&r->g, in == IN_REAL ? GUEST_REAL : is_long(in) ? GUEST_LONG : GUEST_PROTECTED, code, size);
    build_handlers(r);
    if (in == IN_REAL)
        return;
    build_segments(r);
    set_table(r, WHvX64RegisterGdtr, GDT_AT, SELECTOR_DATA16 + 7);
    set_table(r, WHvX64RegisterIdtr, IDT_AT, 0xfff);
    set_segment(r, WHvX64RegisterTr, SELECTOR_TSS, TSS_AT, 0x67, 0x8b);
    enter_mode(r);
}

void rig_close(struct rig *r)
{
    guest_close(&r->g);
}

void rig_poke(struct rig *r, u32 at, const void *bytes, size_t size)
{
    memcpy(r->g.memory + at, bytes, size);
}

u32 rig_run(struct rig *r)
{
    return guest_run(&r->g);
}

u32 rig_run_until(struct rig *r, u64 count)
{
    memset(&r->g.exit, 0xcc, sizeof r->g.exit);
    ck_ok(SwhpRunVirtualProcessorUntil(r->g.partition, 0, count, &r->g.exit, sizeof r->g.exit));
    return (u32)r->g.exit.ExitReason;
}

u64 rig_count(struct rig *r)
{
    u64 count;

    ck_ok(SwhpGetInstructionCount(r->g.partition, 0, &count));
    return count;
}

void rig_intercept(struct rig *r, u64 vectors)
{
    guest_enable_exits(&r->g, 4, vectors);
}

void rig_leaves(struct rig *r, u32 reason, u64 rip)
{
    u32 got = rig_run(r);

    ck_assert_msg(got == reason && r->g.exit.VpContext.Rip == rip,
                  "in mode %d: exit %x at %llx, not %x at %llx", (int)r->in, got,
                  (unsigned long long)r->g.exit.VpContext.Rip, reason, (unsigned long long)rip);
}

void rig_halts_at(struct rig *r, u64 rip)
{
    rig_leaves(r, LEAVES(X64Halt), rip);
}

void rig_halts_in(struct rig *r, unsigned vector)
{
    rig_halts_at(r, HANDLER(vector) + 1);
}

void rig_traps_at(struct rig *r, u64 rip, u64 dr6_bits)
{
    rig_leaves(r, LEAVES(Exception), rip);
    ck_assert_uint_eq(r->g.exit.VpException.ExceptionType, 1);
    ck_assert_uint_eq(r->g.exit.VpException.ExceptionParameter, dr6_bits);
}

u64 rig_pushed(struct rig *r, unsigned n)
{
    u64 value = 0;

    memcpy(&value, r->g.memory + rig_get(r, Rsp) + n * r->slot, r->slot);
    return value;
}

bool rig_explains(struct rig *r, const char *text)
{
    char why[4096];

    ck_ok(SwhpExplainLastExit(r->g.partition, 0, why, sizeof why, NULL));
    return strstr(why, text) != NULL;
}
