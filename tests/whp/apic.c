/* SPDX-License-Identifier: MIT */
/* The machine of the APICs' tests, and their suite. */
#include "tests/whp/apic.h"

#include <sys/mman.h>

enum { GDT = 0x1000, IDT = 0x2000 };

static void property(WHV_PARTITION_HANDLE p, u32 code, u64 value, u32 size)
{
    ck_ok(WHvSetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)code, &value, size));
}

static void put(struct board *b, u32 at, u64 value)
{
    memcpy(b->memory + at, &value, sizeof value);
}

static void build_tables(struct board *b)
{
    put(b, GDT + 8, 0x00cf9b000000ffff);
    put(b, GDT + 16, 0x00cf93000000ffff);
    for (u32 v = 0; v < 256; v++) {
        u32 stub = BOARD_STUBS + v * 16;

        put(b, IDT + v * 8, (u64)(stub & 0xffff0000) << 32 | 0x8e0000080000 | (stub & 0xffff));
        b->memory[stub] = 0xe6; /* out v, al; iret */
        b->memory[stub + 1] = (u8)v;
        b->memory[stub + 2] = 0xcf;
    }
}

void board_ready(struct board *b, u32 vp)
{
    static const WHV_REGISTER_NAME names[] = { WHvX64RegisterCs, WHvX64RegisterSs, WHvX64RegisterDs,
                                               WHvX64RegisterEs, WHvX64RegisterGdtr, WHvX64RegisterIdtr };
    WHV_REGISTER_VALUE v[6];

    memset(v, 0, sizeof v);
    for (u32 i = 0; i < 4; i++) {
        v[i].Segment.Limit = 0xffffffff;
        v[i].Segment.Selector = i ? 16 : 8;
        v[i].Segment.Attributes = i ? 0xc093 : 0xc09b;
    }
    v[4].Table.Base = GDT;
    v[4].Table.Limit = 23;
    v[5].Table.Base = IDT;
    v[5].Table.Limit = 0x7ff;
    ck_ok(WHvSetVirtualProcessorRegisters(b->partition, vp, names, 6, v));
    board_set(b, vp, WHvX64RegisterCr0, 0x31);
}

u64 board_hz, board_synthetic;
u32 board_rate;
u64 board_seed;

void board_open(struct board *b, u32 mode, u32 processors, u32 clock, u64 exits)
{
    memset(b, 0, sizeof *b);
    b->processors = processors;
    ck_ok(WHvCreatePartition(&b->partition));
    property(b->partition, WHvPartitionPropertyCodeProcessorCount, processors, 4);
    property(b->partition, WHvPartitionPropertyCodeLocalApicEmulationMode, mode, 4);
    property(b->partition, WHvPartitionPropertyCodeExtendedVmExits, exits, 8);
    property(b->partition, SwhpPartitionPropertyCodeClock, clock, 4);
    if (board_synthetic) {
        u64 banks[2] = { 1, board_synthetic };

        ck_ok(WHvSetPartitionProperty(b->partition, WHvPartitionPropertyCodeSyntheticProcessorFeaturesBanks, banks,
                                      sizeof banks));
    }
    if (board_seed)
        property(b->partition, SwhpPartitionPropertyCodeSeed, board_seed, 8);
    if (board_hz)
        property(b->partition, WHvPartitionPropertyCodeInterruptClockFrequency, board_hz, 8);
    if (board_rate)
        property(b->partition, SwhpPartitionPropertyCodeClockRate, board_rate, 4);
    ck_ok(WHvSetupPartition(b->partition));
    b->memory = mmap(NULL, BOARD_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(b->memory, MAP_FAILED);
    ck_ok(WHvMapGpaRange(b->partition, b->memory, 0, BOARD_MEMORY, (WHV_MAP_GPA_RANGE_FLAGS)7));
    build_tables(b);
    for (u32 i = 0; i < processors; i++) {
        ck_ok(WHvCreateVirtualProcessor(b->partition, i, 0));
        board_ready(b, i);
        if (mode)
            board_set(b, i, WHvRegisterInternalActivityState, 0);
    }
}

void board_close(struct board *b)
{
    ck_ok(WHvDeletePartition(b->partition));
    munmap(b->memory, BOARD_MEMORY);
}

void board_eoi(struct board *b)
{
    static const u8 eoi[] = { 0xc7, 0x05, 0xb0, 0, 0xe0, 0xfe, 0, 0, 0, 0, 0xcf }; /* mov dword [b0], 0; iret */

    for (u32 v = 32; v < 256; v++)
        memcpy(b->memory + BOARD_STUBS + v * 16 + 2, eoi, sizeof eoi);
}

void board_loop(struct board *b, u32 vp)
{
    struct code c = { .size = 0 };

    CODE(&c, 0xfb, 0x90, 0xeb, 0xfe);
    board_put(b, vp, &c);
}

/* ---- code ---- */

void code_bytes(struct code *c, const void *bytes, u32 size)
{
    ck_assert_uint_le(c->size + size, sizeof c->bytes);
    memcpy(c->bytes + c->size, bytes, size);
    c->size += size;
}

static void code_32(struct code *c, u32 v)
{
    code_bytes(c, &v, 4);
}

void code_write(struct code *c, unsigned n, u32 value)
{
    CODE(c, 0xc7, 0x05); /* mov dword [n], value */
    code_32(c, 0xfee00000 + n * 16);
    code_32(c, value);
}

void code_wrmsr(struct code *c, u32 index, u64 value)
{
    CODE(c, 0xb9);
    code_32(c, index);
    CODE(c, 0xb8);
    code_32(c, (u32)value);
    CODE(c, 0xba);
    code_32(c, (u32)(value >> 32));
    CODE(c, 0x0f, 0x30);
}

/* ---- running ---- */

void board_put(struct board *b, u32 vp, const struct code *c)
{
    u32 at = BOARD_CODE * (vp + 1);

    memcpy(b->memory + at, c->bytes, c->size);
    board_set(b, vp, WHvX64RegisterRip, at);
    board_set(b, vp, WHvX64RegisterRsp, at + 0x10000 - 16);
}

u32 board_run(struct board *b, u32 vp)
{
    WHV_RUN_VP_EXIT_CONTEXT *x = &b->exit[vp];

    ck_ok(WHvRunVirtualProcessor(b->partition, vp, x, sizeof *x));
    if (x->ExitReason == WHvRunVpExitReasonX64IoPortAccess)
        return x->IoPortAccess.PortNumber;
    return REASON(x->ExitReason);
}

void board_pass(struct board *b, u32 vp)
{
    board_set(b, vp, WHvX64RegisterRip, board_get(b, vp, WHvX64RegisterRip) + 2);
}

u32 board_do(struct board *b, u32 vp, struct code *c)
{
    CODE(c, 0xe6, BOARD_DONE);
    board_put(b, vp, c);
    return board_run(b, vp);
}

u32 board_write(struct board *b, u32 vp, unsigned n, u32 value)
{
    struct code c = { .size = 0 };

    code_write(&c, n, value);
    return board_do(b, vp, &c);
}

u32 board_read(struct board *b, u32 vp, unsigned n)
{
    struct code c = { .size = 0 };

    CODE(&c, 0xa1); /* mov eax, [n] */
    code_32(&c, 0xfee00000 + n * 16);
    ck_assert_uint_eq(board_do(b, vp, &c), BOARD_DONE);
    return (u32)board_get(b, vp, WHvX64RegisterRax);
}

u32 board_wrmsr(struct board *b, u32 vp, u32 index, u64 value)
{
    struct code c = { .size = 0 };

    code_wrmsr(&c, index, value);
    return board_do(b, vp, &c);
}

u64 board_rdmsr(struct board *b, u32 vp, u32 index)
{
    struct code c = { .size = 0 };
    u32 port;

    CODE(&c, 0xb9);
    code_32(&c, index);
    CODE(&c, 0x0f, 0x32);
    port = board_do(b, vp, &c);
    if (port == BOARD_GP)
        return ~(u64)0;
    ck_assert_uint_eq(port, BOARD_DONE);
    return board_get(b, vp, WHvX64RegisterRdx) << 32 | board_get(b, vp, WHvX64RegisterRax);
}

/* ---- registers ---- */

u64 board_get(struct board *b, u32 vp, u32 name)
{
    WHV_REGISTER_NAME n = (WHV_REGISTER_NAME)name;
    WHV_REGISTER_VALUE v;

    ck_ok(WHvGetVirtualProcessorRegisters(b->partition, vp, &n, 1, &v));
    return v.Reg64;
}

void board_set(struct board *b, u32 vp, u32 name, u64 value)
{
    WHV_REGISTER_NAME n = (WHV_REGISTER_NAME)name;
    WHV_REGISTER_VALUE v;

    memset(&v, 0, sizeof v);
    v.Reg64 = value;
    ck_ok(WHvSetVirtualProcessorRegisters(b->partition, vp, &n, 1, &v));
}

u64 board_count(struct board *b, u32 vp)
{
    u64 count;

    ck_ok(SwhpGetInstructionCount(b->partition, vp, &count));
    return count;
}

u64 board_clock(struct board *b)
{
    u64 clock;

    ck_ok(SwhpGetClock(b->partition, &clock));
    return clock;
}

HRESULT board_request(struct board *b, u32 type, u32 destination, u32 vector, u32 flags)
{
    WHV_INTERRUPT_CONTROL c;

    memset(&c, 0, sizeof c);
    c.Type = type & 0xff;
    c.DestinationMode = flags & LOGICAL ? 1 : 0;
    c.TriggerMode = flags & LEVEL ? 1 : 0;
    c.Destination = destination;
    c.Vector = vector;
    return WHvRequestInterrupt(b->partition, &c, sizeof c);
}

Suite *apic_suite(void);
Suite *apic_suite(void)
{
    Suite *s = suite_create("apic");

    suite_add_tcase(s, apic_register_case());
    suite_add_tcase(s, apic_msr_case());
    suite_add_tcase(s, apic_priority_case());
    suite_add_tcase(s, apic_timer_case());
    suite_add_tcase(s, apic_ipi_case());
    suite_add_tcase(s, apic_x2_ipi_case());
    suite_add_tcase(s, apic_start_case());
    suite_add_tcase(s, apic_request_case());
    suite_add_tcase(s, apic_sleep_case());
    suite_add_tcase(s, apic_state_case());
    return s;
}
