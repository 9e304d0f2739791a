/* SPDX-License-Identifier: MIT */
/* Registers read back what was written, but for what hardware fixes; a fresh processor has the values it
 * should. */
#include "tests/whp/guest.h"

#define REG(name) WHvX64Register##name

struct fresh {
    u32 name;
    u64 value;
};

static const struct fresh fresh[] = {
    { REG(Rax), 0 },
    { REG(Rsp), 0 },
    { REG(R15), 0 },
    { REG(Rip), 0xfff0 },
    { REG(Rflags), 2 },
    { REG(Cr0), 0x60000010 },
    { REG(Cr2), 0 },
    { REG(Cr3), 0 },
    { REG(Cr4), 0 },
    { REG(Cr8), 0 },
    { REG(Efer), 0 },
    { REG(Dr0), 0 },
    { REG(Dr6), 0xffff0ff0 },
    { REG(Dr7), 0x400 },
    { REG(XCr0), 1 },
    { REG(Pat), 0x0007040600070406 },
    { REG(ApicBase), 0xfee00900 },
    { REG(Star), 0 },
    { REG(Lstar), 0 },
    { REG(KernelGsBase), 0 },
    { REG(SysenterCs), 0 },
    { REG(TscAux), 0 },
    { REG(MsrMtrrDefType), 0 },
    { REG(MsrMtrrPhysBase0), 0 },
    { REG(MsrMtrrFix4kF8000), 0 },
    { REG(InitialApicId), 0 },
    { REG(Tsc), 0 },
    { WHvRegisterPendingInterruption, 0 },
    { WHvRegisterInterruptState, 0 },
    { WHvRegisterPendingEvent, 0 },
    { REG(DeliverabilityNotifications), 0 },
    { WHvRegisterInternalActivityState, 0 },
    { REG(PendingDebugException), 0 },
};

static struct guest g;

static void open_fresh(void)
{
    g.partition = partition_new(1);
    ck_ok(WHvCreateVirtualProcessor(g.partition, 0, 0));
}

static void close_fresh(void)
{
    ck_ok(WHvDeletePartition(g.partition));
}

static WHV_REGISTER_VALUE get(u32 name)
{
    WHV_REGISTER_NAME n = (WHV_REGISTER_NAME)name;
    WHV_REGISTER_VALUE v;

    memset(&v, 0xcc, sizeof v);
    ck_ok(WHvGetVirtualProcessorRegisters(g.partition, 0, &n, 1, &v));
    return v;
}

static HRESULT set(u32 name, const void *value)
{
    WHV_REGISTER_NAME n = (WHV_REGISTER_NAME)name;
    char shifted[sizeof(WHV_REGISTER_VALUE) + 1]; /* as unaligned as can be */

    memcpy(shifted + 1, value, sizeof(WHV_REGISTER_VALUE));
    return WHvSetVirtualProcessorRegisters(g.partition, 0, &n, 1, (const void *)(shifted + 1));
}

START_TEST(a_fresh_processor_has_its_reset_values)
{
    WHV_REGISTER_VALUE v = get(fresh[_i].name);

    ck_assert_msg(v.Reg64 == fresh[_i].value && !v.Reg128.High64, "register %#x is %#llx", fresh[_i].name,
                  (unsigned long long)v.Reg64);
}
END_TEST

START_TEST(fresh_segments_are_those_of_real_mode)
{
    for (u32 name = REG(Es); name <= REG(Gs); name++) {
        WHV_REGISTER_VALUE v = get(name);
        bool cs = name == REG(Cs);

        ck_assert_uint_eq(v.Segment.Selector, cs ? 0xf000 : 0);
        ck_assert_uint_eq(v.Segment.Base, cs ? 0xf0000 : 0);
        ck_assert_uint_eq(v.Segment.Limit, 0xffff);
        ck_assert_uint_eq(v.Segment.Attributes, cs ? 0x9b : 0x93);
    }
    ck_assert_uint_eq(get(REG(Ldtr)).Segment.Attributes, 0x82);
    ck_assert_uint_eq(get(REG(Tr)).Segment.Attributes, 0x8b);
    ck_assert_uint_eq(get(REG(Gdtr)).Table.Limit, 0xffff);
}
END_TEST

struct change {
    u32 name;
    u64 low, high, low_back, high_back;
};

static const struct change changes[] = {
    { REG(Rax), 0x1122334455667788, ~0ull, 0x1122334455667788, 0 },
    { REG(R15), ~0ull, ~0ull, ~0ull, 0 },
    { REG(Rip), 0x8000000000001234, 1, 0x8000000000001234, 0 },
    { REG(Rflags), 0, 0, 2, 0 },
    { REG(Rflags), 0x3f7fd7, 0, 0x3f7fd7, 0 },
    { REG(Cr0), 0, 0, 0x10, 0 },
    { REG(Cr2), 0x123456789abcdef0, 0, 0x123456789abcdef0, 0 },
    { REG(Cr3), 0x12345018, 0, 0x12345018, 0 },
    { REG(Cr4), 0x620, 0, 0x620, 0 },
    { REG(Cr8), 15, 0, 15, 0 },
    { REG(Dr0), 0x7fff12345678, 0, 0x7fff12345678, 0 },
    { REG(Dr6), 0, 0, 0xffff0ff0, 0 },
    { REG(Dr6), 0xe00f, 0, 0xffffeff0 | 15, 0 },
    { REG(Dr7), 0xffffffff, 0, 0xffff27ff, 0 },
    { REG(XCr0), 3, 0, 3, 0 },
    { REG(Efer), 0xd01, 0, 0xd01, 0 },
    { REG(Star), 0x23001000000000, 0, 0x23001000000000, 0 },
    { REG(Lstar), 0xffffffff81000000, 0, 0xffffffff81000000, 0 },
    { REG(Sfmask), 0x47700, 0, 0x47700, 0 },
    { REG(KernelGsBase), 0xffff888000000000, 0, 0xffff888000000000, 0 },
    { REG(Pat), 0x0007010600070106, 0, 0x0007010600070106, 0 },
    { REG(SysenterCs), 0x10, 0, 0x10, 0 },
    { REG(MsrMtrrDefType), 0xc06, 0, 0xc06, 0 },
    { REG(MsrMtrrPhysMask0), 0xffff80000800, 0, 0xffff80000800, 0 },
    { REG(MsrMtrrFix64k00000), 0x0606060606060606, 0, 0x0606060606060606, 0 },
    { REG(MsrMtrrFix4kF8000), 0x0505050505050505, 0, 0x0505050505050505, 0 },
    { REG(TscAux), 7, 0, 7, 0 },
    { REG(Tsc), 0x100000000, 0, 0x100000000, 0 },
    { REG(InitialApicId), 5, 0, 5, 0 },
    { REG(Gs), 0xffff888000000000, 0xc093001000001000, 0xffff888000000000, 0xc093001000001000 },
    { REG(Ldtr), 0x1000, 0x0082002800000067, 0x1000, 0x0082002800000067 },
    { REG(Fs), 0, 0xcf93001000001000, 0, 0xc093001000001000 }, /* reserved attributes */
    { REG(Gdtr), 0x00ff123456789abc, 0xffff888000001000, 0x00ff000000000000, 0xffff888000001000 },
    { REG(Xmm0), 0x1122334455667788, 0x99aabbccddeeff00, 0x1122334455667788, 0x99aabbccddeeff00 },
    { REG(Xmm15), 1, 2, 1, 2 },
    { REG(FpMmx0), 0x8000000000000000, 0xffffffffffff3fff, 0x8000000000000000, 0x3fff },
    { REG(FpMmx7), 0xc000000000000000, 0x4000, 0xc000000000000000, 0x4000 },
    { REG(FpControlStatus), 0x07ff00ff3800037f, 0x12345678, 0x07ff00ff3800037f, 0x12345678 },
    { REG(XmmControlStatus), 0x1000, 0x0000000000001fa0, 0x1000, 0x0002ffff00001fa0 },
    { SwhpX64RegisterYmmHigh0, 0x1122334455667788, 0x99aabbccddeeff00, 0x1122334455667788, 0x99aabbccddeeff00 },
    { SwhpX64RegisterYmmHigh15, 1, 2, 1, 2 },
    { SwhpX64RegisterPkru, 0x55555554, 9, 0x55555554, 0 },
    { SwhpX64RegisterFpSelectors, 0x002b0033, 0, 0x002b0033, 0 },
    { SwhpX64RegisterIgnne, 1, 0, 0, 0 },    /* no exception is pending */
    { SwhpX64RegisterShadowSs, 1, 0, 0, 0 }, /* nor is there a shadow */
    { SwhpX64RegisterPdpte0, 0x7001, 5, 0x7001, 0 },
    { SwhpX64RegisterPdpte3, 0xfff00000000001e6, 0, 0xfff00000000001e6, 0 }, /* not present */
    { WHvRegisterPendingInterruption, 0xabcd000d0017, 0, 0xabcd000d0017, 0 }, /* #GP with an error code */
    { WHvRegisterPendingInterruption, 0x0000001000210001, 0, 0x00210001, 0 },
    { WHvRegisterPendingInterruption, 0x00030000 | 1 | 6 << 1 | 1 << 5, 0, 0x00030000 | 1 | 6 << 1 | 1 << 5,
      0 },
    { WHvRegisterPendingInterruption, 0xff0000, 0, 0, 0 },
    { WHvRegisterInterruptState, 3, 0, 3, 0 },
    { WHvRegisterPendingEvent, 0x00000002000e0101, 0x1234000, 0x00000002000e0101, 0x1234000 },
    { WHvRegisterPendingEvent, 0x00000002000e0100, 0x1234000, 0, 0 },
    { WHvRegisterPendingEvent1, 0, 0, 0, 0 },
    { REG(DeliverabilityNotifications), 0x3f, 0, 0x3f, 0 },
    { REG(PendingDebugException), 0x1f, 0, 0x1f, 0 },
    { WHvRegisterInternalActivityState, 0, 0, 0, 0 },
};

START_TEST(registers_read_back)
{
    const struct change *c = &changes[_i];
    u64 value[2] = { c->low, c->high };

    ck_ok(set(c->name, value));

    WHV_REGISTER_VALUE v = get(c->name);

    ck_assert_msg(v.Reg128.Low64 == c->low_back && v.Reg128.High64 == c->high_back,
                  "register %#x is %#llx %#llx", c->name, (unsigned long long)v.Reg128.High64,
                  (unsigned long long)v.Reg128.Low64);
}
END_TEST

START_TEST(st_registers_stay_in_place_when_top_comes_after_them)
{
    u64 value[2] = { 0x8000000000000001, 0x3fff },
        status[2] = { 0x037f | 5ull << 11 << 16 | 0xffull << 32, 0 };

    ck_ok(set(REG(FpMmx2), value));
    ck_ok(set(REG(FpControlStatus), status));
    ck_assert_uint_eq(get(REG(FpMmx2)).Reg128.Low64, 0x8000000000000001);
    ck_assert_uint_eq(get(REG(FpMmx2)).Reg128.High64, 0x3fff);
    ck_assert_uint_eq(get(REG(FpControlStatus)).FpControlStatus.FpStatus, 5 << 11);
}
END_TEST

START_TEST(an_empty_batch_is_fine)
{
    ck_ok(WHvSetVirtualProcessorRegisters(g.partition, 0, NULL, 0, NULL));
    ck_ok(WHvGetVirtualProcessorRegisters(g.partition, 0, NULL, 0, NULL));
}
END_TEST

START_TEST(our_own_names_end_where_they_do)
{
    static const u32 none[] = { 0x535700ff, 0x53570119, 0x53570000, 0x53571100, 0x5357ffff };
    const u64 away[GUEST_BANKS] = { 0, 0, (u64)1 << 0 }; /* XSAVE, and with it AVX and PKU */
    u64 wide[2] = { (u64)1 << 32, 0 };
    WHV_REGISTER_VALUE v;

    for (unsigned i = 0; i < sizeof none / sizeof *none; i++) {
        WHV_REGISTER_NAME name = (WHV_REGISTER_NAME)none[i];

        ck_hr(WHvGetVirtualProcessorRegisters(g.partition, 0, &name, 1, &v), WHV_E_INVALID_VP_REGISTER_NAME);
    }
    ck_hr(set(SwhpX64RegisterPkru, wide), (HRESULT)0xC0350050u);
    ck_hr(set(SwhpX64RegisterFpSelectors, wide), (HRESULT)0xC0350050u);

    WHV_PARTITION_HANDLE p = partition_without(away);

    ck_ok(WHvCreateVirtualProcessor(p, 0, 0));
    for (u32 n = SwhpX64RegisterYmmHigh0; n <= SwhpX64RegisterPkru; n++) {
        WHV_REGISTER_NAME name = (WHV_REGISTER_NAME)n;

        ck_hr(WHvGetVirtualProcessorRegisters(p, 0, &name, 1, &v), WHV_E_INVALID_VP_REGISTER_NAME);
    }
    ck_ok(WHvDeletePartition(p));
}
END_TEST

/* FpControlStatus has no room for them in long mode: writing it leaves them with their pointer. */
START_TEST(x87_selectors_stay_with_their_pointers)
{
    u64 efer[2] = { 0xd00 }, selectors[2] = { 0x002b0033 };
    WHV_REGISTER_VALUE v;

    ck_ok(set(REG(Efer), efer));
    ck_ok(set(SwhpX64RegisterFpSelectors, selectors));
    v = get(REG(FpControlStatus));
    v.FpControlStatus.FpStatus = 0x3800;
    ck_ok(set(REG(FpControlStatus), &v));
    ck_assert_uint_eq(get(SwhpX64RegisterFpSelectors).Reg64, 0x002b0033);
    v.FpControlStatus.LastFpRip = 0x1000;
    ck_ok(set(REG(FpControlStatus), &v));
    ck_assert_uint_eq(get(SwhpX64RegisterFpSelectors).Reg64, 0x002b0000);
}
END_TEST

/* They can be told by nobody but who set the partition up. */
START_TEST(features_are_read_only)
{
    const u64 away[GUEST_BANKS] = { (u64)1 << 25, 0, (u64)1 << 11 }; /* BMI1, XSAVEC */
    WHV_REGISTER_NAME name = (WHV_REGISTER_NAME)SwhpX64RegisterFeatures;
    WHV_REGISTER_VALUE all = get(name), some;
    WHV_PARTITION_HANDLE p = partition_without(away);

    ck_ok(set(name, &all));
    all.Reg128.High64 ^= 1;
    ck_hr(set(name, &all), (HRESULT)0xC0350050u);
    all.Reg128.High64 ^= 1;
    ck_ok(WHvCreateVirtualProcessor(p, 0, 0));
    ck_ok(WHvGetVirtualProcessorRegisters(p, 0, &name, 1, &some));
    ck_assert_uint_eq(all.Reg128.Low64 & ~some.Reg128.Low64, away[0]);
    ck_assert_uint_eq(all.Reg128.High64 & ~some.Reg128.High64, away[2]);
    ck_hr(WHvSetVirtualProcessorRegisters(p, 0, &name, 1, &all), (HRESULT)0xC0350050u);
    ck_ok(WHvDeletePartition(p));
}
END_TEST

START_TEST(ignne_and_the_deeper_shadow_need_what_they_belong_to)
{
    static const u32 names[] = { WHvX64RegisterFpControlStatus, SwhpX64RegisterIgnne, WHvRegisterInterruptState,
                                 SwhpX64RegisterShadowSs };
    WHV_REGISTER_VALUE v[4] = { { .FpControlStatus = { .FpControl = 0x37b, .FpStatus = 4 } },
                                { .Reg64 = 1 }, { .Reg64 = 1 }, { .Reg64 = 1 } };
    u64 two[2] = { 2 }, none[2] = { 0 };

    ck_hr(set(SwhpX64RegisterIgnne, two), (HRESULT)0xC0350050u);
    ck_hr(set(SwhpX64RegisterShadowSs, two), (HRESULT)0xC0350050u);
    ck_ok(WHvSetVirtualProcessorRegisters(g.partition, 0, (const WHV_REGISTER_NAME *)names, 4, v));
    ck_assert_uint_eq(get(SwhpX64RegisterIgnne).Reg64, 1);
    ck_assert_uint_eq(get(SwhpX64RegisterShadowSs).Reg64, 1);
    ck_ok(set(WHvRegisterInterruptState, none));
    ck_assert_uint_eq(get(SwhpX64RegisterShadowSs).Reg64, 0);
    v[0].FpControlStatus.FpStatus = 0;
    ck_ok(set(WHvX64RegisterFpControlStatus, &v[0]));
    ck_assert_uint_eq(get(SwhpX64RegisterIgnne).Reg64, 0);
}
END_TEST

/* PAE's: loaded from memory after CR3 was set, but where the same call sets them. */
START_TEST(pdptes_are_kept_where_they_are_set)
{
    static const u32 names[] = { REG(Cr0), REG(Cr4), REG(Cr3), SwhpX64RegisterPdpte0 + 1 };
    static _Alignas(0x1000) u64 page[0x200];
    WHV_REGISTER_VALUE v[4] = { { .Reg64 = 0x80000011 }, { .Reg64 = 0x20 }, { .Reg64 = 0x3000 }, { .Reg64 = 0x5001 } };
    u64 bad[2] = { 0x5003 };

    ck_ok(WHvMapGpaRange(g.partition, page, 0x3000, sizeof page, WHvMapGpaRangeFlagRead));
    page[1] = 0x6001;
    ck_ok(WHvSetVirtualProcessorRegisters(g.partition, 0, (const WHV_REGISTER_NAME *)names, 4, v));
    ck_assert_uint_eq(get(SwhpX64RegisterPdpte0 + 1).Reg64, 0x5001);
    ck_ok(set(REG(Cr3), &v[2]));
    ck_assert_uint_eq(get(SwhpX64RegisterPdpte0 + 1).Reg64, 0x6001); /* as it will be */
    page[1] = 0x7001;
    ck_assert_uint_eq(get(SwhpX64RegisterPdpte0 + 1).Reg64, 0x7001);
    ck_hr(set(SwhpX64RegisterPdpte0, bad), (HRESULT)0xC0350050u);
}
END_TEST

START_TEST(apic_registers_are_denied_without_an_apic)
{
    WHV_REGISTER_NAME name = REG(ApicTpr);
    WHV_REGISTER_VALUE v;

    ck_hr(WHvGetVirtualProcessorRegisters(g.partition, 0, &name, 1, &v), (HRESULT)0xC0350006u);
}
END_TEST

/* RAX falls on the second name, once that has been checked: it must still be a register that can be read. */
START_TEST(values_may_fall_on_the_names)
{
    static const struct {
        u32 name;
        u32 result;
    } rows[] = { { REG(Rflags), 0 }, { REG(ApicTpr), 0xC0350006u }, { 0x3000, 0x80370309u }, { ~0u, 0x80370309u } };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        const u64 rax[2] = { (u64)rows[i].name << 32 };
        union {
            WHV_REGISTER_NAME names[2];
            WHV_REGISTER_VALUE values[2];
        } both = { .names = { REG(Rax), REG(Rflags) } };

        ck_ok(set(REG(Rax), rax));
        ck_hr(WHvGetVirtualProcessorRegisters(g.partition, 0, both.names, 2, both.values), (HRESULT)rows[i].result);
    }
}
END_TEST

START_TEST(xsave_size_zero_tells_the_size)
{
    u32 size = 0;
    u8 image[4096];

    ck_hr(WHvGetVirtualProcessorXsaveState(g.partition, 0, NULL, 0, &size), WHV_E_INSUFFICIENT_BUFFER);
    ck_assert_uint_ge(size, 576);
    ck_ok(WHvGetVirtualProcessorXsaveState(g.partition, 0, image, size, &size));
    ck_assert_uint_eq(image[0] | image[1] << 8, 0x37f);
    ck_assert_uint_eq(image[24] | image[25] << 8, 0x1f80);
    ck_assert_uint_eq(image[527] >> 7, 1);
}
END_TEST

START_TEST(xsave_and_registers_show_the_same_state)
{
    u64 xmm[2] = { 0x1111, 0x2222 }, st[2] = { 0x8000000000000000, 0x4001 };
    u8 image[4096];
    u32 size;

    ck_ok(set(REG(Xmm3), xmm));
    ck_ok(set(REG(FpMmx1), st));
    ck_ok(WHvGetVirtualProcessorXsaveState(g.partition, 0, image, sizeof image, &size));
    ck_assert(!memcmp(image + 160 + 48, xmm, 16));
    ck_assert(!memcmp(image + 32 + 16, st, 10));
    memset(image + 512, 0, 8); /* XSTATE_BV: all in its initial state */
    ck_ok(WHvSetVirtualProcessorXsaveState(g.partition, 0, image, size));
    ck_assert_uint_eq(get(REG(Xmm3)).Reg128.Low64, 0);
    ck_assert_uint_eq(get(REG(FpMmx1)).Reg128.Low64, 0);
    ck_assert_uint_eq(get(REG(FpControlStatus)).FpControlStatus.FpControl, 0x37f);
}
END_TEST

TCase *register_case(void)
{
    TCase *t = tcase_create("registers");

    tcase_add_checked_fixture(t, open_fresh, close_fresh);
    tcase_add_loop_test(t, a_fresh_processor_has_its_reset_values, 0, sizeof fresh / sizeof fresh[0]);
    tcase_add_test(t, fresh_segments_are_those_of_real_mode);
    tcase_add_loop_test(t, registers_read_back, 0, sizeof changes / sizeof changes[0]);
    tcase_add_test(t, st_registers_stay_in_place_when_top_comes_after_them);
    tcase_add_test(t, an_empty_batch_is_fine);
    tcase_add_test(t, our_own_names_end_where_they_do);
    tcase_add_test(t, x87_selectors_stay_with_their_pointers);
    tcase_add_test(t, features_are_read_only);
    tcase_add_test(t, ignne_and_the_deeper_shadow_need_what_they_belong_to);
    tcase_add_test(t, pdptes_are_kept_where_they_are_set);
    tcase_add_test(t, apic_registers_are_denied_without_an_apic);
    tcase_add_test(t, values_may_fall_on_the_names);
    tcase_add_test(t, xsave_size_zero_tells_the_size);
    tcase_add_test(t, xsave_and_registers_show_the_same_state);
    return t;
}
