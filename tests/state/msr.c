/* SPDX-License-Identifier: MIT */
/* Model-specific registers: what they hold after reset, what they take and what they refuse. */
#include "tests/state/cases.h"

static struct vcpu *cpu;

static void setup(void)
{
    cpu = state_cpu();
}

static void teardown(void)
{
    state_cpu_free(cpu);
}

static u64 get(u32 index)
{
    u64 v = 0xdead;

    ck_assert_msg(msr_read(cpu, index, &v) == MSR_DONE, "RDMSR %x", index);
    return v;
}

/* What is read back after a write that is done. */
static u64 set(u32 index, u64 v)
{
    ck_assert_msg(msr_check(cpu, index, v) == MSR_DONE, "check of %x", index);
    ck_assert_msg(msr_write(cpu, index, v) == MSR_DONE, "WRMSR %x %llx", index, (unsigned long long)v);
    return get(index);
}

static void refuses(u32 index, u64 v)
{
    u64 before = 0, after = 0;
    enum msr_result readable = msr_read(cpu, index, &before);

    ck_assert_msg(msr_check(cpu, index, v) == MSR_REFUSED, "check of %x %llx", index, (unsigned long long)v);
    ck_assert_msg(msr_write(cpu, index, v) == MSR_REFUSED, "WRMSR %x %llx", index, (unsigned long long)v);
    ck_assert_int_eq(msr_read(cpu, index, &after), readable);
    ck_assert_uint_eq(before, after);
}

#define KERNEL 0xffffffff81000000u
#define NOT_CANONICAL 0x0000800000000000u

START_TEST(reset_values)
{
    ck_assert_uint_eq(get(MSR_PAT), 0x0007040600070406);
    ck_assert_uint_eq(get(MSR_APIC_BASE), 0xfee00900);
    ck_assert_uint_eq(get(MSR_EFER), 0);
    ck_assert_uint_eq(get(0xfe), 0x508);
    ck_assert_uint_eq(get(0x179), 0);
    ck_assert_uint_eq(get(0xc0010015), 0x01000000); /* Linux asks whether the TSC counts at P0 */
    ck_assert_uint_eq(get(0xc0011029), 2);
    ck_assert_uint_eq(get(0xc0010010), 0);
}
END_TEST

START_TEST(unknown_ones_are_unknown)
{
    static const u32 indices[] = { 0x3a,  0x3b,  0x48,       0x1a0,      0x210,      0x400,     0x6e0,
                                   0x800, 0x40000000, 0xc0000104, 0xc0010114, 0xffffffff };
    u64 v;

    for (unsigned i = 0; i < sizeof indices / sizeof indices[0]; i++) {
        ck_assert_msg(msr_read(cpu, indices[i], &v) == MSR_UNKNOWN, "RDMSR %x", indices[i]);
        ck_assert_msg(msr_write(cpu, indices[i], 0) == MSR_UNKNOWN, "WRMSR %x", indices[i]);
    }
}
END_TEST

START_TEST(addresses_must_be_canonical)
{
    static const u32 indices[] = { MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_LSTAR, MSR_CSTAR };

    for (unsigned i = 0; i < sizeof indices / sizeof indices[0]; i++) {
        ck_assert_uint_eq(set(indices[i], KERNEL), KERNEL);
        refuses(indices[i], NOT_CANONICAL);
    }
    ck_assert_uint_eq(cpu->seg[FS].base, KERNEL);
    ck_assert_uint_eq(cpu->seg[GS].base, KERNEL);
    cpu->cr4 |= CR4_LA57;
    ck_assert_uint_eq(set(MSR_LSTAR, NOT_CANONICAL), NOT_CANONICAL);
    refuses(MSR_LSTAR, (u64)1 << 56);
}
END_TEST

START_TEST(efer_keeps_lma_and_refuses_reserved_bits)
{
    ck_assert_uint_eq(set(MSR_EFER, EFER_SCE | EFER_NXE | EFER_LME), EFER_SCE | EFER_NXE | EFER_LME);
    ck_assert_uint_eq(set(MSR_EFER, EFER_LME | EFER_LMA), EFER_LME); /* LMA isn't written */
    refuses(MSR_EFER, EFER_SVME);
    refuses(MSR_EFER, EFER_LMSLE);
    refuses(MSR_EFER, EFER_FFXSR);
    refuses(MSR_EFER, EFER_TCE);
    refuses(MSR_EFER, 2);
    cpu->cr0 |= CR0_PG | CR0_PE;
    cpu->efer = EFER_LME | EFER_LMA;
    refuses(MSR_EFER, EFER_LMA); /* LME while paging */
    ck_assert_uint_eq(set(MSR_EFER, EFER_LME | EFER_SCE), EFER_LME | EFER_LMA | EFER_SCE);
    cpu->efer = 0;
    refuses(MSR_EFER, EFER_LME);
}
END_TEST

START_TEST(pat_and_mtrrs_take_memory_types_only)
{
    ck_assert_uint_eq(set(MSR_PAT, 0x0001040506070000), 0x0001040506070000);
    refuses(MSR_PAT, 2);
    refuses(MSR_PAT, (u64)8 << 56);
    ck_assert_uint_eq(set(0x2ff, 0xc06), 0xc06);
    refuses(0x2ff, 0xc07);
    refuses(0x2ff, 0x106);
    ck_assert_uint_eq(set(0x250, 0x0606060606060606), 0x0606060606060606);
    refuses(0x26f, 7);
    ck_assert_uint_eq(set(0x20e, 0x80000006), 0x80000006);
    ck_assert_uint_eq(set(0x20f, 0xfffff0000800), 0xfffff0000800);
    ck_assert_uint_eq(cpu->mtrr_base[7], 0x80000006);
    ck_assert_uint_eq(cpu->mtrr_mask[7], 0xfffff0000800);
    refuses(0x200, 0x80000002);
    refuses(0x200, 0x80000106);
    refuses(0x200, (u64)1 << 48);
    refuses(0x201, 0x400);
    refuses(0xfe, 0x508);
}
END_TEST

START_TEST(amd_cuts_what_has_32_bits)
{
    ck_assert_uint_eq(set(MSR_SYSENTER_EIP, KERNEL), (u32)KERNEL);
    ck_assert_uint_eq(set(MSR_SYSENTER_ESP, NOT_CANONICAL), 0);
    ck_assert_uint_eq(set(MSR_TSC_AUX, 0x100000007), 7);
    ck_assert_uint_eq(set(MSR_STAR, ~(u64)0), ~(u64)0);
}
END_TEST

START_TEST(plain_ones_keep_what_they_get)
{
    ck_assert_uint_eq(set(0xc001001f, (u64)1 << 46), (u64)1 << 46);
    ck_assert_uint_eq(set(0xc0010015, 0x01000010), 0x01000010);
    ck_assert_uint_eq(set(0xc0010004, 0xabcd), 0xabcd);
    ck_assert_uint_eq(set(0xc0010007, ~(u64)0), 0xffffffffffff);
    ck_assert_uint_eq(set(0xc0010000, 0x530076), 0x530076);
    ck_assert_uint_eq(set(0xc001102e, 0x20), 0x20);
    ck_assert_uint_eq(set(0xc0011022, 3), 3);
    ck_assert_uint_eq(set(0xc001001a, 0x40000000), 0x40000000);
    refuses(0xc001001a, 1);
    ck_assert_uint_eq(set(0x17a, 4), 4);
    refuses(0x17a, 8);
    ck_assert_uint_eq(get(0xc0011020), 0); /* and none has another's room */
    ck_assert_uint_eq(get(0xc0010001), 0);
    ck_assert_uint_eq(get(0xc0010005), 0);
    vcpu_reset(cpu);
    ck_assert_uint_eq(get(0xc0010015), 0x01000000);
    ck_assert_uint_eq(get(0xc0010004), 0);
}
END_TEST

START_TEST(ibpb_is_a_command)
{
    u64 v;

    ck_assert_int_eq(msr_write(cpu, 0x49, 1), MSR_DONE);
    ck_assert_int_eq(msr_write(cpu, 0x49, 2), MSR_REFUSED);
    ck_assert_int_eq(msr_read(cpu, 0x49, &v), MSR_REFUSED);
}
END_TEST

START_TEST(apic_base_has_no_x2apic)
{
    ck_assert_uint_eq(set(MSR_APIC_BASE, 0xfed00900), 0xfed00900);
    refuses(MSR_APIC_BASE, 0xfee00d00);
    refuses(MSR_APIC_BASE, (u64)1 << 48 | 0xfee00900);
}
END_TEST

START_TEST(tsc_is_written_and_runs_on)
{
    cpu->count = 1000;
    ck_assert_uint_eq(set(MSR_TSC, 5), 5);
    cpu->count = 1010;
    ck_assert_uint_eq(get(MSR_TSC), 15);
}
END_TEST

START_TEST(mperf_and_aperf_are_written_and_run_on)
{
    cpu->count = 1000;
    ck_assert_uint_eq(get(MSR_MPERF), 1000);
    ck_assert_uint_eq(set(MSR_TSC, 5), 5);
    ck_assert_uint_eq(set(MSR_APERF, 7), 7);
    cpu->count = 1010;
    ck_assert_uint_eq(get(MSR_APERF), 17);
    ck_assert_uint_eq(get(MSR_MPERF), 1010);
}
END_TEST

TCase *msr_case(void)
{
    TCase *c = tcase_create("msr");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, reset_values);
    tcase_add_test(c, unknown_ones_are_unknown);
    tcase_add_test(c, addresses_must_be_canonical);
    tcase_add_test(c, efer_keeps_lma_and_refuses_reserved_bits);
    tcase_add_test(c, pat_and_mtrrs_take_memory_types_only);
    tcase_add_test(c, amd_cuts_what_has_32_bits);
    tcase_add_test(c, plain_ones_keep_what_they_get);
    tcase_add_test(c, ibpb_is_a_command);
    tcase_add_test(c, apic_base_has_no_x2apic);
    tcase_add_test(c, tsc_is_written_and_runs_on);
    tcase_add_test(c, mperf_and_aperf_are_written_and_run_on);
    return c;
}
