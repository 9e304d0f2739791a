/* SPDX-License-Identifier: MIT */
/*
 * The state in which a guest's processor starts, from what its loader decided.
 */
#include "machine.h"

enum {
    CR0_PE = 0x1,
    CR0_ET = 0x10,
    CR4_PAE = 0x20,
    CR4_OSFXSR = 0x200,
    CR4_OSXMMEXCPT = 0x400,
    EFER_LME = 0x100,
    EFER_LMA = 0x400,

    /* Segment attributes as the API has them: type, S, P below; L 0x2000, D/B 0x4000, G 0x8000. */
    CODE_16 = 0x009b,
    DATA_16 = 0x0093,
    CODE_32 = 0xc09b,
    CODE_64 = 0xa09b,
    DATA_32 = 0xc093,
    TSS_BUSY = 0x008b,
};

#define CR0_PG 0x80000000u

/* What firmware leaves in the MTRRs: all is write-back but the hole where a display would be. */
#define TYPE_EACH_UC UINT64_C(0x0000000000000000)
#define TYPE_EACH_WB UINT64_C(0x0606060606060606)

static const struct {
    WHV_REGISTER_NAME name;
    uint64_t value;
} memory_types[] = {
    {WHvX64RegisterMsrMtrrFix64k00000, TYPE_EACH_WB}, {WHvX64RegisterMsrMtrrFix16k80000, TYPE_EACH_WB},
    {WHvX64RegisterMsrMtrrFix16kA0000, TYPE_EACH_UC}, {WHvX64RegisterMsrMtrrFix4kC0000, TYPE_EACH_WB},
    {WHvX64RegisterMsrMtrrFix4kC8000, TYPE_EACH_WB},  {WHvX64RegisterMsrMtrrFix4kD0000, TYPE_EACH_WB},
    {WHvX64RegisterMsrMtrrFix4kD8000, TYPE_EACH_WB},  {WHvX64RegisterMsrMtrrFix4kE0000, TYPE_EACH_WB},
    {WHvX64RegisterMsrMtrrFix4kE8000, TYPE_EACH_WB},  {WHvX64RegisterMsrMtrrFix4kF0000, TYPE_EACH_WB},
    {WHvX64RegisterMsrMtrrFix4kF8000, TYPE_EACH_WB},  {WHvX64RegisterMsrMtrrDefType, 0xc06},
};

static WHV_REGISTER_VALUE number(uint64_t value)
{
    WHV_REGISTER_VALUE v = {0};

    v.Reg64 = value;
    return v;
}

static WHV_REGISTER_VALUE segment(uint16_t selector, uint64_t base, uint32_t limit, uint16_t attributes)
{
    WHV_REGISTER_VALUE v = {0};

    v.Segment.Selector = selector;
    v.Segment.Base = base;
    v.Segment.Limit = limit;
    v.Segment.Attributes = attributes;
    return v;
}

static void set_segments(struct processor *cpu, WHV_REGISTER_VALUE code, WHV_REGISTER_VALUE data)
{
    static const WHV_REGISTER_NAME data_names[] = {WHvX64RegisterDs, WHvX64RegisterEs, WHvX64RegisterFs,
                                                   WHvX64RegisterGs, WHvX64RegisterSs};

    processor_write(cpu, WHvX64RegisterCs, code);
    for (size_t i = 0; i < sizeof data_names / sizeof data_names[0]; i++)
        processor_write(cpu, data_names[i], data);
}

/* The architectural reset state but for CS, whose base the platform leaves in the first megabyte. */
static void start_reset(struct processor *cpu)
{
    processor_write(cpu, WHvX64RegisterCs, segment(0xf000, 0xffff0000, 0xffff, CODE_16));
    processor_write(cpu, WHvX64RegisterRip, number(0xfff0));
}

static void start_real(struct processor *cpu, const struct start *start)
{
    uint16_t selector = start->real_segment;
    uint64_t base = (uint64_t)selector << 4;

    set_segments(cpu, segment(selector, base, 0xffff, CODE_16), segment(selector, base, 0xffff, DATA_16));
    processor_write(cpu, WHvX64RegisterCr0, number(CR0_ET));
}

static void start_protected(struct processor *cpu, const struct start *start)
{
    bool is_long = start->mode == START_LONG;
    WHV_REGISTER_VALUE table = {0};

    set_segments(cpu, segment(BOOT_CODE, 0, UINT32_MAX, is_long ? CODE_64 : CODE_32),
                 segment(BOOT_DATA, 0, UINT32_MAX, DATA_32));
    processor_write(cpu, WHvX64RegisterTr, segment(0, 0, 0x67, TSS_BUSY));
    if (start->gdt_gpa) {
        table.Table.Base = start->gdt_gpa;
        table.Table.Limit = BOOT_GDT_SIZE - 1;
    }
    processor_write(cpu, WHvX64RegisterGdtr, table);
    if (!is_long) {
        processor_write(cpu, WHvX64RegisterCr0, number(CR0_PE | CR0_ET));
        return;
    }
    processor_write(cpu, WHvX64RegisterCr3, number(start->cr3));
    /* SSE is on, since code for this mode is compiled with it. */
    processor_write(cpu, WHvX64RegisterCr4, number(CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT));
    processor_write(cpu, WHvX64RegisterEfer, number(EFER_LME | EFER_LMA));
    processor_write(cpu, WHvX64RegisterCr0, number(CR0_PG | CR0_PE | CR0_ET));
}

/* What firmware leaves in the first processor's local APIC: the 8259A's requests come through it. Intel's
 * MultiProcessor Specification 3.6.2.2, virtual wire mode. */
static void start_apic(struct processor *cpu)
{
    processor_write(cpu, WHvX64RegisterApicSpurious, number(0x1ff));
    processor_write(cpu, WHvX64RegisterApicLvtLint0, number(0x700));
    processor_write(cpu, WHvX64RegisterApicLvtLint1, number(0x400));
}

static void start_first(struct processor *cpu, const struct start *start)
{
    if (start->mode == START_REAL)
        start_real(cpu, start);
    else
        start_protected(cpu, start);
    processor_write(cpu, WHvX64RegisterRip, number(start->rip));
    processor_write(cpu, WHvX64RegisterRsp, number(start->rsp));
    processor_write(cpu, WHvX64RegisterRax, number(start->rax));
    processor_write(cpu, WHvX64RegisterRbx, number(start->rbx));
    processor_write(cpu, WHvX64RegisterRdx, number(0));
    processor_write(cpu, WHvX64RegisterRsi, number(start->rsi));
    if (cpu->machine->has_apic)
        start_apic(cpu);
}

bool processor_start(struct processor *cpu, const struct start *start, struct problem *problem)
{
    HRESULT result;

    if (start->mode == START_RESET && cpu->index == 0) {
        start_reset(cpu);
    } else if (start->mode != START_RESET) {
        if (cpu->index == 0) /* others wait for INIT and SIPI */
            start_first(cpu, start);
        for (size_t i = 0; i < sizeof memory_types / sizeof memory_types[0]; i++)
            processor_write(cpu, memory_types[i].name, number(memory_types[i].value));
    }
    if (!cpu->writes)
        return true;
    result = WHvSetVirtualProcessorRegisters(cpu->machine->partition, cpu->index, cpu->names, cpu->writes, cpu->values);
    cpu->writes = 0;
    return result == S_OK ||
           platform_problem(problem, STATUS_HOST, "WHvSetVirtualProcessorRegisters", result);
}
