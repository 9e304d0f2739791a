/* SPDX-License-Identifier: MIT */
/* CPUID: what is claimed, what follows from the processor's state, and what a caller's list replaces. */
#include "tests/state/cases.h"

enum { EAX, EBX, ECX, EDX };

static struct vcpu *cpu;
static u32 out[4];

static void setup(void)
{
    cpu = state_cpu();
}

static void teardown(void)
{
    state_cpu_free(cpu);
}

static void cpuid(u32 leaf, u32 subleaf)
{
    profile_cpuid(cpu, leaf, subleaf, out);
}

START_TEST(only_zen_exists)
{
    ck_assert_ptr_nonnull(profile_find("zen"));
    ck_assert_ptr_null(profile_find("zen2"));
    ck_assert_ptr_null(profile_find(""));
}
END_TEST

START_TEST(vendor_and_last_leaves)
{
    char name[13] = "";

    cpuid(0, 0);
    memcpy(name, &out[EBX], 4);
    memcpy(name + 4, &out[EDX], 4);
    memcpy(name + 8, &out[ECX], 4);
    ck_assert_str_eq(name, "AuthenticAMD");
    ck_assert_uint_eq(out[EAX], 0xd);
    cpuid(0x80000000, 0);
    ck_assert_uint_eq(out[EAX], 0x80000021);
}
END_TEST

START_TEST(brand_is_ours)
{
    char brand[49] = "";

    for (u32 i = 0; i < 3; i++) {
        cpuid(0x80000002 + i, 0);
        memcpy(brand + 16 * i, out, 16);
    }
    ck_assert_ptr_eq(strstr(brand, "softwhp zen"), brand);
}
END_TEST

START_TEST(leaf_1_tells_family_and_has_neither_hypervisor_nor_apic)
{
    cpuid(1, 0);
    ck_assert_uint_eq(out[EAX], cpu->partition->profile->signature);
    ck_assert_uint_eq(out[ECX] >> 31, 0);
    ck_assert_uint_eq(out[EDX] >> 9 & 1, 0);
    ck_assert_uint_eq(out[EBX] >> 8 & 0xff, 8); /* lines of 64 bytes */
    ck_assert_uint_eq(out[EDX] >> 28 & 1, 0);   /* one processor */
}
END_TEST

START_TEST(it_is_an_x86_64_v3)
{
    u32 of_1 = 1u << 0 | 1u << 9 | 1u << 12 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 22 | 1u << 23 | 1u << 26 |
               1u << 28 | 1u << 29;
    u32 of_7 = 1u << 3 | 1u << 5 | 1u << 8;

    cpuid(1, 0);
    ck_assert_uint_eq(out[ECX] & of_1, of_1);
    ck_assert_uint_eq(out[ECX] >> 3 & 1, 0); /* MONITOR */
    cpuid(7, 0);
    ck_assert_uint_eq(out[EBX] & of_7, of_7);
    ck_assert_uint_eq(out[EBX] >> 16 & 1, 0); /* AVX-512 */
    cpuid(0x80000001, 0);
    ck_assert_uint_eq(out[ECX] & (1u << 0 | 1u << 5), 1u << 0 | 1u << 5);
}
END_TEST

START_TEST(without_avx_there_is_no_state_for_it)
{
    cpu->partition->xsave_features &= ~(u64)4;
    profile_settle(cpu->partition);
    cpuid(1, 0);
    ck_assert_uint_eq(out[ECX] >> 28 & 1, 0);
    cpuid(0xd, 0);
    ck_assert_uint_eq(out[EAX], 0x203);
    ck_assert_uint_eq(out[ECX], 2440);
    cpuid(0xd, 2);
    ck_assert_uint_eq(out[EAX], 0);
}
END_TEST

START_TEST(osxsave_and_ospke_follow_cr4)
{
    cpuid(1, 0);
    ck_assert_uint_eq(out[ECX] >> 26 & 3, 1);
    cpuid(7, 0);
    ck_assert_uint_eq(out[ECX] >> 3 & 3, 1);
    cpu->cr4 |= CR4_OSXSAVE | CR4_PKE;
    cpuid(1, 0);
    ck_assert_uint_eq(out[ECX] >> 26 & 3, 3);
    cpuid(7, 0);
    ck_assert_uint_eq(out[ECX] >> 3 & 3, 3);
}
END_TEST

START_TEST(subleaves_of_7_beyond_0_are_empty)
{
    cpu->cr4 |= CR4_PKE;
    cpuid(7, 1);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(out[i], 0);
}
END_TEST

START_TEST(xsave_area_grows_with_xcr0)
{
    cpuid(0xd, 0);
    ck_assert_uint_eq(out[EAX], 0x207);
    ck_assert_uint_eq(out[EBX], 576);
    ck_assert_uint_eq(out[ECX], 2440);
    ck_assert_uint_eq(out[EDX], 0);
    cpu->xcr0 = 7;
    cpuid(0xd, 0);
    ck_assert_uint_eq(out[EBX], 832);
    cpuid(0xd, 1);
    ck_assert_uint_eq(out[EAX], 15); /* XSAVEOPT, XSAVEC, XGETBV 1, XSAVES */
    ck_assert_uint_eq(out[EBX], 832);
    cpuid(0xd, 2);
    ck_assert_uint_eq(out[EAX], 256);
    ck_assert_uint_eq(out[EBX], 576);
    ck_assert_uint_eq(out[ECX], 0);
    cpuid(0xd, 3);
    ck_assert_uint_eq(out[EAX], 0);
    cpuid(0xd, 9);
    ck_assert_uint_eq(out[EAX], 8);
    ck_assert_uint_eq(out[EBX], 2432);
    cpu->xcr0 = 0x207;
    cpuid(0xd, 0);
    ck_assert_uint_eq(out[EBX], 2440);
    cpuid(0xd, 1);
    ck_assert_uint_eq(out[EBX], 840); /* compacted */
    cpu->xcr0 = 0x203;
    cpuid(0xd, 1);
    ck_assert_uint_eq(out[EBX], 584);
}
END_TEST

START_TEST(addresses_have_48_and_57_bits)
{
    cpuid(0x80000008, 0);
    ck_assert_uint_eq(out[EAX], 57 << 8 | 48);
    ck_assert_uint_eq(out[EDX], 1 << 16); /* RDPRU's last register */
    cpu->partition->physical_width = 40;
    cpuid(0x80000008, 0);
    ck_assert_uint_eq(out[EAX] & 0xff, 40);
}
END_TEST

START_TEST(topology_counts_cores)
{
    cpu->partition->processors = 6;
    cpu->apic_id = 5;
    cpuid(1, 0);
    ck_assert_uint_eq(out[EBX] >> 24, 5);
    ck_assert_uint_eq(out[EBX] >> 16 & 0xff, 6);
    ck_assert_uint_eq(out[EDX] >> 28 & 1, 1);
    cpuid(0xb, 0);
    ck_assert_uint_eq(out[EAX], 0);
    ck_assert_uint_eq(out[EBX], 1);
    ck_assert_uint_eq(out[ECX], 0x100);
    ck_assert_uint_eq(out[EDX], 5);
    cpuid(0xb, 1);
    ck_assert_uint_eq(out[EAX], 3);
    ck_assert_uint_eq(out[EBX], 6);
    ck_assert_uint_eq(out[ECX], 0x201);
    cpuid(0xb, 2);
    ck_assert_uint_eq(out[EBX], 0);
    ck_assert_uint_eq(out[ECX], 2);
    cpuid(0x80000008, 0);
    ck_assert_uint_eq(out[ECX], 3 << 12 | 5);
    cpuid(0x8000001e, 0);
    ck_assert_uint_eq(out[EAX], 5);
    cpuid(0x8000001d, 3);
    ck_assert_uint_eq(out[EAX] >> 14 & 0xfff, 5);
    cpuid(0x8000001d, 4);
    ck_assert_uint_eq(out[EAX], 0);
}
END_TEST

START_TEST(cache_sizes_agree_between_leaves)
{
    static const u32 kilobytes[4] = { 32, 32, 1024, 32768 };

    for (u32 i = 0; i < 4; i++) {
        cpuid(0x8000001d, i);
        ck_assert_uint_eq(((out[EBX] >> 22) + 1) * ((out[EBX] & 0xfff) + 1) * (out[ECX] + 1),
                          kilobytes[i] * 1024);
    }
    cpuid(0x80000005, 0);
    ck_assert_uint_eq(out[ECX] >> 24, kilobytes[0]);
    ck_assert_uint_eq(out[EDX] >> 24, kilobytes[1]);
    cpuid(0x80000006, 0);
    ck_assert_uint_eq(out[ECX] >> 16, kilobytes[2]);
    ck_assert_uint_eq((out[EDX] >> 18) * 512, kilobytes[3]);
}
END_TEST

START_TEST(amd_repeats_leaf_1_in_80000001)
{
    u32 first;

    cpuid(1, 0);
    first = out[EDX];
    cpuid(0x80000001, 0);
    ck_assert_uint_eq(out[EDX] & 0x0183f3ff, first & 0x0183f3ff);
    ck_assert_uint_eq(out[EDX] >> 11 & 1, 1);
    ck_assert_uint_eq(out[EDX] >> 19 & 1, 0);
    ck_assert_uint_eq(out[EDX] >> 25 & 1, 0); /* no FFXSR */
}
END_TEST

START_TEST(unknown_leaves_are_zero)
{
    static const u32 leaves[] = { 2, 5, 0xe, 0x40000000, 0x80000022, 0xffffffff, 0x8fffffff };

    for (unsigned i = 0; i < sizeof leaves / sizeof leaves[0]; i++) {
        cpuid(leaves[i], 0);
        ck_assert_uint_eq(out[EAX] | out[EBX] | out[ECX] | out[EDX], 0);
    }
}
END_TEST

START_TEST(features_taken_away_are_hidden)
{
    cpu->cr4 |= CR4_OSXSAVE;
    cpu->partition->features &= ~((u64)1 << 21 | (u64)1 << 26); /* RDRAND, BMI2 */
    cpu->partition->features1 &= ~((u64)1 << 4);                /* LA57 */
    cpu->partition->xsave_features = 0;
    profile_settle(cpu->partition);
    cpuid(1, 0);
    ck_assert_uint_eq(out[ECX] >> 30 & 1, 0);
    ck_assert_uint_eq(out[ECX] >> 26 & 3, 0);
    ck_assert_uint_eq(out[ECX] >> 23 & 1, 1);
    cpuid(7, 0);
    ck_assert_uint_eq(out[EBX] >> 8 & 1, 0);
    ck_assert_uint_eq(out[EBX] >> 3 & 1, 1);
    ck_assert_uint_eq(out[ECX] >> 16 & 1, 0);
    cpuid(0x80000008, 0);
    ck_assert_uint_eq(out[EAX] >> 8 & 0xff, 48);
    cpuid(0xd, 0);
    ck_assert_uint_eq(out[EAX], 0);
    cpuid(0xd, 1);
    ck_assert_uint_eq(out[EAX], 0);
}
END_TEST

START_TEST(each_feature_bit_hides_something)
{
    const struct profile *profile = cpu->partition->profile;
    static const u32 leaves[] = { 1, 6, 7, 0xd, 0x80000001, 0x80000007, 0x80000008, 0x80000021 };

    cpu->apic = &cpu->local_apic; /* whose timer has a bit of its own */
    for (unsigned bit = 0; bit < 192; bit++) {
        struct partition *p = cpu->partition;
        u64 *bank = bit < 64 ? &p->features : bit < 128 ? &p->features1 : &p->xsave_features, all = *bank;
        bool differs = false;

        if (!(all >> bit % 64 & 1))
            continue;
        for (unsigned i = 0; i < sizeof leaves / sizeof leaves[0]; i++)
            for (u32 subleaf = 0; subleaf < 2; subleaf++) {
                u32 with[4];

                profile_cpuid(cpu, leaves[i], subleaf, with);
                *bank = all & ~((u64)1 << bit % 64);
                profile_settle(p);
                cpuid(leaves[i], subleaf);
                differs = differs || memcmp(with, out, sizeof with) != 0;
                *bank = all;
                profile_settle(p);
            }
        ck_assert_msg(differs, "bit %u of bank %u shows nowhere in CPUID", bit % 64, bit / 64);
    }
    ck_assert_uint_ne(profile->features, 0);
}
END_TEST

START_TEST(a_callers_result_replaces_the_whole_leaf)
{
    struct cpuid_result list[] = { { 0x40000000, 1, 2, 3, 4 }, { 1, 5, 6, 7, 8 } };

    cpu->partition->cpuid_results = list;
    cpu->partition->cpuid_resulted = 2;
    cpuid(0x40000000, 9);
    ck_assert_uint_eq(out[EDX], 4);
    cpuid(1, 0);
    ck_assert_uint_eq(out[EAX], 5);
    ck_assert_uint_eq(out[EBX], 6);
    ck_assert_uint_eq(out[ECX], 7);
    ck_assert_uint_eq(out[EDX], 8);
}
END_TEST

TCase *profile_case(void)
{
    TCase *c = tcase_create("profile");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, only_zen_exists);
    tcase_add_test(c, vendor_and_last_leaves);
    tcase_add_test(c, brand_is_ours);
    tcase_add_test(c, leaf_1_tells_family_and_has_neither_hypervisor_nor_apic);
    tcase_add_test(c, it_is_an_x86_64_v3);
    tcase_add_test(c, without_avx_there_is_no_state_for_it);
    tcase_add_test(c, osxsave_and_ospke_follow_cr4);
    tcase_add_test(c, subleaves_of_7_beyond_0_are_empty);
    tcase_add_test(c, xsave_area_grows_with_xcr0);
    tcase_add_test(c, addresses_have_48_and_57_bits);
    tcase_add_test(c, topology_counts_cores);
    tcase_add_test(c, cache_sizes_agree_between_leaves);
    tcase_add_test(c, amd_repeats_leaf_1_in_80000001);
    tcase_add_test(c, unknown_leaves_are_zero);
    tcase_add_test(c, features_taken_away_are_hidden);
    tcase_add_test(c, each_feature_bit_hides_something);
    tcase_add_test(c, a_callers_result_replaces_the_whole_leaf);
    return c;
}
