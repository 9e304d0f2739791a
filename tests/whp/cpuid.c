/* SPDX-License-Identifier: MIT */
/* What a caller makes CPUID say: CpuidResultList, CpuidResultList2 and the exit list. Reference 2.2. */
#include <string.h>

#include "tests/whp/guest.h"

#define LIST2 WHvPartitionPropertyCodeCpuidResultList2
#define CODE(name) WHvPartitionPropertyCode##name

enum { SUBLEAF = WHvX64CpuidResult2FlagSubleafSpecific, VP = WHvX64CpuidResult2FlagVpSpecific };

static WHV_X64_CPUID_RESULT2 entry(u32 leaf, u32 subleaf, u32 vp, u32 flags, u32 ebx, u32 mask)
{
    WHV_X64_CPUID_RESULT2 e;

    memset(&e, 0, sizeof e);
    e.Function = leaf;
    e.Index = subleaf;
    e.VpIndex = vp;
    e.Flags = (WHV_X64_CPUID_RESULT2_FLAGS)flags;
    e.Output.Ebx = ebx;
    e.Mask.Ebx = mask;
    return e;
}

static WHV_CPUID_OUTPUT output(WHV_PARTITION_HANDLE p, u32 vp, u32 leaf, u32 subleaf)
{
    WHV_CPUID_OUTPUT out;

    ck_ok(WHvGetVirtualProcessorCpuidOutput(p, vp, leaf, subleaf, &out));
    return out;
}

static const u8 code[] = { 0x0f, 0xa2, 0xf4 }; /* cpuid; hlt */

/* What the guest's own CPUID says: the same. */
static WHV_CPUID_OUTPUT executed(struct guest *g, u32 leaf, u32 subleaf)
{
    guest_set(g, WHvX64RegisterRip, GUEST_CODE);
    guest_set(g, WHvX64RegisterRax, leaf);
    guest_set(g, WHvX64RegisterRcx, subleaf);
    ck_assert_uint_eq(guest_run(g), WHvRunVpExitReasonX64Halt);
    return (WHV_CPUID_OUTPUT){ .Eax = (u32)guest_get(g, WHvX64RegisterRax),
                               .Ebx = (u32)guest_get(g, WHvX64RegisterRbx),
                               .Ecx = (u32)guest_get(g, WHvX64RegisterRcx),
                               .Edx = (u32)guest_get(g, WHvX64RegisterRdx) };
}

static void check_same(struct guest *g, u32 leaf, u32 subleaf)
{
    WHV_CPUID_OUTPUT told = output(g->partition, 0, leaf, subleaf), seen = executed(g, leaf, subleaf);

    ck_assert_mem_eq(&told, &seen, sizeof told);
}

START_TEST(a_mask_changes_its_bits_and_no_others)
{
    WHV_X64_CPUID_RESULT2 list[2];
    WHV_CPUID_OUTPUT before, after;
    struct guest g;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    before = output(g.partition, 0, 1, 0);
    list[0] = entry(1, 0, 0, 0, 0xffffffff, 0x0000ff00);
    list[1] = entry(0x40000000, 0, 0, 0, 0x12345678, 0xffffffff);
    list[1].Output.Eax = 0x40000005;
    list[1].Mask.Eax = 0xffffffff;
    ck_ok(WHvSetPartitionProperty(g.partition, LIST2, list, sizeof list));
    after = output(g.partition, 0, 1, 0);
    ck_assert_uint_eq(after.Ebx, before.Ebx | 0xff00);
    ck_assert_uint_eq(after.Eax, before.Eax);
    ck_assert_uint_eq(after.Ecx, before.Ecx);
    ck_assert_uint_eq(after.Edx, before.Edx);
    check_same(&g, 1, 0);
    check_same(&g, 0x40000000, 77);
    ck_assert_uint_eq(output(g.partition, 0, 0x40000000, 77).Ebx, 0x12345678);
    ck_assert_uint_eq(output(g.partition, 0, 0x40000000, 77).Eax, 0x40000005);

    ck_ok(WHvSetPartitionProperty(g.partition, LIST2, NULL, 0)); /* an empty list takes them all back */
    after = output(g.partition, 0, 1, 0);
    ck_assert_mem_eq(&after, &before, sizeof after);
    guest_close(&g);
}
END_TEST

START_TEST(entries_are_of_a_subleaf_and_of_a_processor_where_they_say_so)
{
    WHV_X64_CPUID_RESULT2 list[] = { entry(7, 0, 9, SUBLEAF, 0x10, 0x11), entry(0xb, 5, 1, VP, 0x7700, 0xff00),
                                     entry(7, 2, 1, SUBLEAF | VP, 0x5, 0xf) };
    WHV_PARTITION_HANDLE p = partition_new(2);
    WHV_CPUID_OUTPUT was7, was7_2, was_b[2];

    ck_ok(WHvCreateVirtualProcessor(p, 0, 0));
    ck_ok(WHvCreateVirtualProcessor(p, 1, 0));
    was7 = output(p, 0, 7, 0);
    was7_2 = output(p, 0, 7, 2);
    was_b[0] = output(p, 0, 0xb, 0);
    was_b[1] = output(p, 1, 0xb, 0);
    ck_ok(WHvSetPartitionProperty(p, LIST2, list, sizeof list));
    for (u32 vp = 0; vp < 2; vp++) {
        ck_assert_uint_eq(output(p, vp, 7, 0).Ebx, (was7.Ebx & ~0x11u) | 0x10);
        ck_assert_uint_eq(output(p, vp, 7, 2).Ebx, vp ? (was7_2.Ebx & ~0xfu) | 5 : was7_2.Ebx);
        ck_assert_uint_eq(output(p, vp, 0xb, 0).Ebx, vp ? (was_b[1].Ebx & ~0xff00u) | 0x7700 : was_b[0].Ebx);
    }
    ck_ok(WHvDeletePartition(p));
}
END_TEST

/* Later entries see what earlier ones left, and all of them what CpuidResultList said. */
START_TEST(the_lists_come_one_after_the_other)
{
    WHV_X64_CPUID_RESULT first = { .Function = 1, .Eax = 1, .Ebx = 0xaaaaaaaa, .Ecx = 3, .Edx = 4 };
    WHV_X64_CPUID_RESULT2 list[] = { entry(1, 0, 0, 0, 0x5555, 0xffff), entry(1, 0, 0, 0, 0xc, 0xff) };
    WHV_PARTITION_HANDLE p;
    struct guest g;
    u32 count = 1;

    ck_ok(WHvCreatePartition(&p));
    ck_ok(WHvSetPartitionProperty(p, CODE(ProcessorCount), &count, 4));
    ck_ok(WHvSetPartitionProperty(p, LIST2, list, sizeof list));
    ck_ok(WHvSetPartitionProperty(p, CODE(CpuidResultList), &first, sizeof first));
    ck_ok(WHvSetupPartition(p));
    guest_open_in(&g, p, GUEST_LONG, code, sizeof code);
    ck_assert_uint_eq(output(p, 0, 1, 0).Ebx, 0xaaaa550c);
    ck_assert_uint_eq(output(p, 0, 1, 0).Edx, 4);
    check_same(&g, 1, 0);
    guest_close(&g);
}
END_TEST

START_TEST(an_exit_offers_what_the_lists_say)
{
    WHV_X64_CPUID_RESULT2 list[] = { entry(1, 0, 0, 0, 0x5555, 0xffff) };
    struct guest g;
    WHV_CPUID_OUTPUT told;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    ck_ok(WHvSetPartitionProperty(g.partition, LIST2, list, sizeof list));
    guest_enable_exits(&g, 1, 0);
    guest_set(&g, WHvX64RegisterRax, 1);
    guest_set(&g, WHvX64RegisterRcx, 0);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Cpuid);
    told = output(g.partition, 0, 1, 0);
    ck_assert_uint_eq(g.exit.CpuidAccess.DefaultResultRax, told.Eax);
    ck_assert_uint_eq(g.exit.CpuidAccess.DefaultResultRbx, told.Ebx);
    ck_assert_uint_eq(g.exit.CpuidAccess.DefaultResultRcx, told.Ecx);
    ck_assert_uint_eq(g.exit.CpuidAccess.DefaultResultRdx, told.Edx);
    ck_assert_uint_eq(told.Ebx & 0xffff, 0x5555);
    guest_close(&g);
}
END_TEST

START_TEST(a_refused_list_leaves_the_old_one)
{
    WHV_X64_CPUID_RESULT2 list[] = { entry(1, 0, 0, 0, 0x5555, 0xffff), entry(1, 0, 0, 4, 0x7777, 0xffff) };
    u8 buffer[64];
    struct guest g;

    guest_open(&g, GUEST_LONG, code, sizeof code);
    ck_ok(WHvSetPartitionProperty(g.partition, LIST2, list, sizeof list[0]));
    ck_hr(WHvSetPartitionProperty(g.partition, LIST2, list, sizeof list), E_INVALIDARG);
    ck_hr(WHvSetPartitionProperty(g.partition, LIST2, list, 47), E_INVALIDARG);
    ck_hr(WHvSetPartitionProperty(g.partition, LIST2, NULL, 48), E_POINTER);
    ck_hr(WHvGetPartitionProperty(g.partition, LIST2, buffer, sizeof buffer, NULL), (HRESULT)0x80070032u);
    ck_assert_uint_eq(output(g.partition, 0, 1, 0).Ebx & 0xffff, 0x5555);
    guest_close(&g);
}
END_TEST

TCase *cpuid_case(void)
{
    TCase *t = tcase_create("cpuid");

    tcase_add_test(t, a_mask_changes_its_bits_and_no_others);
    tcase_add_test(t, entries_are_of_a_subleaf_and_of_a_processor_where_they_say_so);
    tcase_add_test(t, the_lists_come_one_after_the_other);
    tcase_add_test(t, an_exit_offers_what_the_lists_say);
    tcase_add_test(t, a_refused_list_leaves_the_old_one);
    return t;
}
