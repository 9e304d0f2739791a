/* SPDX-License-Identifier: MIT */
/* API levels: what a partition, or the process, knows at each. The builds are those of the reference's 1.5 and 2.4. */
#include "tests/whp/levels.h"

Suite *levels_suite(void);

static u32 size;
static u64 words[1024];

/* ---- codes ---- */

static const struct code {
    u32 code, build;
} capabilities[] = { { 0, 0 },          { 1, 0 },          { 2, 0 },          { 3, 0 },          { 4, 18362 },
                     { 5, 20348 },      { 6, 20348 },      { 7, ~0u },        { 0x1000, 0 },     { 0x1001, 0 },
                     { 0x1002, 0 },     { 0x1003, 0 },     { 0x1004, 18362 }, { 0x1005, 18362 }, { 0x1006, 20348 },
                     { 0x1007, 20348 }, { 0x1008, 20348 }, { 0x1009, 22000 }, { 0x100a, 26100 }, { 0x100b, ~0u } },
  properties[] = { { 1, 0 },          { 2, 0 },          { 3, 0 },          { 4, 18362 },      { 5, 18362 },
                   { 6, 20348 },      { 0xb, 20348 },    { 0xc, 20348 },    { 0xd, 20348 },    { 0xe, ~0u },      { 0x1000, ~0u },
                   { 0x1001, 0 },     { 0x1002, 0 },     { 0x1005, 0 },     { 0x1006, 0 },     { 0x1007, 18362 },
                   { 0x1008, 18362 }, { 0x1009, 19041 }, { 0x100a, 20348 }, { 0x100b, 20348 }, { 0x100c, 20348 },
                   { 0x100e, 22000 }, { 0x1010, 22000 }, { 0x1011, 26100 }, { 0x1012, ~0u },   { 0x1fff, 0 } },
  lists[] = { { 0x1003, 0 }, { 0x1004, 0 }, { 0x100d, 20348 }, { 0x100f, 22000 } },
  registers[] = { { WHvX64RegisterRax, 0 },
                  { WHvX64RegisterXCr0, 0 },
                  { WHvX64RegisterXmm15, 0 },
                  { WHvX64RegisterTscAux, 0 },
                  { WHvRegisterPendingEvent, 0 },
                  { WHvRegisterInternalActivityState, 0 },
                  { WHvX64RegisterMsrMtrrFix4kF8000, 0 },
                  { WHvX64RegisterTscVirtualOffset, 18362 },
                  { WHvX64RegisterInitialApicId, 19041 },
                  { WHvX64RegisterApicTpr, 19041 },
                  { WHvX64RegisterPendingDebugException, 19041 },
                  { WHvX64RegisterXss, 20348 },
                  { WHvRegisterPendingEvent1, 20348 } };

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

START_TEST(codes_of_later_builds_are_unknown)
{
    u32 level = levels[_i];
    WHV_PARTITION_HANDLE p = at_level(level);
    u32 mode = WHvX64LocalApicEmulationModeXApic;
    WHV_CAPABILITY capability;
    u8 value[64];

    for (size_t i = 0; i < COUNT(properties); i++) {
        HRESULT hr;

        memset(value, 0, sizeof value);
        hr = WHvGetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)properties[i].code, value, sizeof value, &size);
        ck_assert_msg(hr == (properties[i].build > level ? WHV_E_UNKNOWN_PROPERTY : S_OK), "get %x at %u: %08x",
                      properties[i].code, level, (u32)hr);
        if (properties[i].code == 0x100b || properties[i].code == 0x100c) /* what 0x100c reads can't be set */
            continue;
        hr = WHvSetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)properties[i].code, value, sizeof value);
        ck_assert_msg(hr == (properties[i].build > level ? WHV_E_UNKNOWN_PROPERTY : S_OK), "set %x at %u: %08x",
                      properties[i].code, level, (u32)hr);
    }
    for (size_t i = 0; i < COUNT(lists); i++) {
        bool is_there = lists[i].build <= level;

        ck_hr(WHvSetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)lists[i].code, NULL, 0),
              is_there ? S_OK : WHV_E_UNKNOWN_PROPERTY);
        ck_hr(WHvGetPartitionProperty(p, (WHV_PARTITION_PROPERTY_CODE)lists[i].code, value, sizeof value, NULL),
              is_there ? (HRESULT)0x80070032 : WHV_E_UNKNOWN_PROPERTY);
    }
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeLocalApicEmulationMode, &mode, sizeof mode));
    ck_ok(WHvSetupPartition(p));
    ck_ok(WHvCreateVirtualProcessor(p, 0, 0));
    for (size_t i = 0; i < COUNT(registers); i++) {
        WHV_REGISTER_NAME names[2] = { WHvX64RegisterRip, (WHV_REGISTER_NAME)registers[i].code };
        WHV_REGISTER_VALUE v[2];
        HRESULT wanted = registers[i].build > level ? WHV_E_INVALID_VP_REGISTER_NAME : S_OK;

        memset(v, 0, sizeof v);
        ck_assert_msg(WHvGetVirtualProcessorRegisters(p, 0, names, 2, v) == wanted, "get %x at %u", registers[i].code,
                      level);
        ck_assert_msg(FAILED(wanted) == FAILED(WHvSetVirtualProcessorRegisters(p, 0, names, 2, v)), "set %x at %u",
                      registers[i].code, level);
    }
    ck_ok(WHvDeletePartition(p));

    set_environment(level);
    for (size_t i = 0; i < COUNT(capabilities); i++)
        ck_assert_msg(WHvGetCapability((WHV_CAPABILITY_CODE)capabilities[i].code, &capability, sizeof capability, &size) ==
                          (capabilities[i].build > level ? WHV_E_UNKNOWN_CAPABILITY : S_OK),
                      "%x at %u", capabilities[i].code, level);
}
END_TEST

/* ---- bits ---- */

static u64 capability64(WHV_CAPABILITY_CODE code)
{
    u64 value = 0;

    ck_ok(WHvGetCapability(code, &value, sizeof value, NULL));
    return value;
}

START_TEST(bits_of_later_builds_are_not_offered)
{
    static const struct {
        u32 level;
        u64 exits;
    } offered[] = { { 17763, 0x7 }, { 19041, 0x3f }, { 20348, 0x3fff }, { 22000, 0x7fff }, { 26100, 0x7fff } };
    u32 level = levels[_i], mode = WHvX64LocalApicEmulationModeX2Apic;
    u64 all = capability64(WHvCapabilityCodeExtendedVmExits), features = capability64(WHvCapabilityCodeProcessorFeatures);
    u64 mine, bank;
    WHV_PARTITION_HANDLE p;
    WHV_CPUID_OUTPUT leaf;

    ck_ok(WHvCreatePartition(&p)); /* the newest has all, whatever table it would go through */
    ck_ok(WHvGetPartitionProperty(p, WHvPartitionPropertyCodeProcessorFeatures, &bank, sizeof bank, NULL));
    ck_assert_uint_eq(bank, features);
    ck_ok(WHvDeletePartition(p));
    set_environment(level);
    mine = capability64(WHvCapabilityCodeExtendedVmExits);
    ck_assert_uint_eq(offered[_i].level, level);
    ck_assert_uint_eq(mine, all & offered[_i].exits);
    bank = capability64(WHvCapabilityCodeProcessorFeatures);
    ck_assert_uint_eq(bank, level == 17763 ? features & ~((u64)0x1e << 56) : features);
    ck_ok(WHvCreatePartition(&p));
    for (u32 bit = 0; bit < 64; bit++) {
        u64 one = (u64)1 << bit;

        ck_hr(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeExtendedVmExits, &one, sizeof one),
              mine & one ? S_OK : E_INVALIDARG);
    }
    ck_hr(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeLocalApicEmulationMode, &mode, sizeof mode),
          level < 19041 ? E_INVALIDARG : S_OK);
    ck_ok(WHvGetPartitionProperty(p, WHvPartitionPropertyCodeProcessorFeatures, &mine, sizeof mine, NULL));
    ck_assert_uint_eq(mine, bank);
    ck_hr(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorFeatures, &features, sizeof features),
          features == bank ? S_OK : E_INVALIDARG);
    ck_ok(WHvDeletePartition(p));

    /* and the guest has what is left: CLZERO, of the second bank, is CPUID 80000008 EBX bit 0 */
    ck_ok(WHvCreatePartition(&p));
    mode = 1;
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, &mode, sizeof mode));
    ck_ok(WHvSetupPartition(p));
    ck_ok(WHvCreateVirtualProcessor(p, 0, 0));
    if (level >= 20348) {
        ck_ok(WHvGetVirtualProcessorCpuidOutput(p, 0, 0x80000008, 0, &leaf));
        ck_assert_uint_eq(leaf.Ebx & 1, 1);
    } else { /* the function isn't there either: an exit tells */
        static const u8 code[] = { 0x0f, 0xa2, 0xf4 };
        struct guest g;

        ck_ok(WHvDeleteVirtualProcessor(p, 0));
        guest_open_in(&g, p, GUEST_REAL, code, sizeof code);
        guest_set(&g, WHvX64RegisterRax, 0x80000008);
        ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
        ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRbx) & 1, 0);
        ck_ok(WHvCreatePartition(&p));
        guest_close(&g);
    }
    ck_ok(WHvDeletePartition(p));
}
END_TEST

/* ---- sizes ---- */

START_TEST(an_exit_context_ends_where_it_did)
{
    static const u8 code[] = { 0xf4, 0xf4 };
    WHV_PARTITION_HANDLE p = at_level(levels[_i]);
    u32 end = levels[_i] < 19041 ? 144 : 224;
    struct guest g;
    u8 context[256];

    ck_ok(WHvSetupPartition(p));
    guest_open_in(&g, p, GUEST_LONG, code, sizeof code);
    memset(context, 0xa5, sizeof context);
    ck_ok(WHvRunVirtualProcessor(g.partition, 0, context, 224));
    ck_assert_uint_eq(load_bytes(context, 4), WHvRunVpExitReasonX64Halt);
    for (u32 i = 48; i < sizeof context; i++)
        ck_assert_uint_eq(context[i], i < end ? 0 : 0xa5);
    memset(context, 0xa5, sizeof context);
    guest_set(&g, WHvX64RegisterRip, GUEST_CODE);
    ck_ok(WHvRunVirtualProcessor(g.partition, 0, context + 1, 144)); /* an old client's, at any level */
    for (u32 i = 49; i < sizeof context; i++)
        ck_assert_uint_eq(context[i], i < 145 ? 0 : 0xa5);
    ck_hr(WHvRunVirtualProcessor(g.partition, 0, context, 143), WHV_E_INSUFFICIENT_BUFFER);
    guest_close(&g);
}
END_TEST

START_TEST(counter_sets_have_the_size_that_they_had)
{
    WHV_PARTITION_HANDLE p = at_level(levels[_i]);

    ck_ok(WHvSetupPartition(p));
    ck_ok(WHvCreateVirtualProcessor(p, 0, 0));
    ck_ok(WHvGetVirtualProcessorCounters(p, 0, WHvProcessorCounterSetIntercepts, words, sizeof words, &size));
    ck_assert_uint_eq(size, levels[_i] < 18362 ? 176 : 224);
    ck_ok(WHvGetVirtualProcessorCounters(p, 0, WHvProcessorCounterSetApic, words, sizeof words, &size));
    if (levels[_i] < 20348)
        ck_hr(WHvGetVirtualProcessorCounters(p, 0, WHvProcessorCounterSetSyntheticFeatures, words, sizeof words, &size),
              WHV_E_UNKNOWN_PROPERTY);
    ck_ok(WHvDeletePartition(p));
}
END_TEST

/* ---- setting it ---- */

START_TEST(the_level_is_one_of_five_and_comes_first)
{
    WHV_PARTITION_HANDLE p;
    u32 level = 0, count = 1, bad[] = { 0, 1, 17134, 17764, 18362, 22621, 26101, ~0u };
    u64 exits = 1 << 3;

    ck_ok(WHvCreatePartition(&p));
    ck_ok(WHvGetPartitionProperty(p, API_LEVEL, &level, sizeof level, &size));
    ck_assert_uint_eq(level, 26100);
    ck_assert_uint_eq(size, 4);
    for (size_t i = 0; i < COUNT(bad); i++)
        ck_hr(WHvSetPartitionProperty(p, API_LEVEL, &bad[i], sizeof bad[i]), E_INVALIDARG);
    for (int i = 0; i < LEVELS; i++) {
        ck_ok(WHvSetPartitionProperty(p, API_LEVEL, &levels[i], sizeof levels[i]));
        ck_ok(WHvGetPartitionProperty(p, API_LEVEL, &level, sizeof level, NULL));
        ck_assert_uint_eq(level, levels[i]);
    }
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeExtendedVmExits, &exits, sizeof exits)); /* RDTSC */
    level = 17763;
    ck_hr(WHvSetPartitionProperty(p, API_LEVEL, &level, sizeof level), E_INVALIDARG);
    level = 19041;
    ck_ok(WHvSetPartitionProperty(p, API_LEVEL, &level, sizeof level));
    ck_ok(WHvSetPartitionProperty(p, WHvPartitionPropertyCodeProcessorCount, &count, sizeof count));
    ck_ok(WHvSetupPartition(p));
    ck_hr(WHvSetPartitionProperty(p, API_LEVEL, &level, sizeof level), E_INVALIDARG);
    ck_ok(WHvDeletePartition(p));
}
END_TEST

START_TEST(the_environment_sets_it)
{
    WHV_PARTITION_HANDLE p;
    u32 level = 0;

    set_environment(levels[_i]);
    ck_ok(WHvCreatePartition(&p));
    ck_ok(WHvGetPartitionProperty(p, API_LEVEL, &level, sizeof level, NULL));
    ck_assert_uint_eq(level, levels[_i]);
    ck_ok(WHvDeletePartition(p));
    setenv("SOFTWHP", "api=12345", 1);
    ck_hr(WHvCreatePartition(&p), E_INVALIDARG);
    setenv("SOFTWHP", "api=windows", 1);
    ck_hr(WHvCreatePartition(&p), E_INVALIDARG);
}
END_TEST

/* What chooses exits may be changed after Setup from 18362 on. Reference 1.3. */
START_TEST(early_builds_fix_exits_at_setup)
{
    static const struct {
        WHV_PARTITION_PROPERTY_CODE code;
        u32 size, since;
    } late[] = { { WHvPartitionPropertyCodeExtendedVmExits, 8, 0 },
                 { WHvPartitionPropertyCodeExceptionExitBitmap, 8, 0 },
                 { WHvPartitionPropertyCodeCpuidExitList, 8, 0 },
                 { WHvPartitionPropertyCodeX64MsrExitBitmap, 8, 18362 } };
    WHV_PARTITION_HANDLE p = at_level(levels[_i]);

    ck_ok(WHvSetupPartition(p));
    for (size_t i = 0; i < COUNT(late); i++)
        ck_hr(WHvSetPartitionProperty(p, late[i].code, words, late[i].size),
              late[i].since > levels[_i] ? WHV_E_UNKNOWN_PROPERTY : levels[_i] < 18362 ? E_INVALIDARG : S_OK);
    ck_ok(WHvDeletePartition(p));
}
END_TEST

/* A level changes what is answered, not what guests that use none of it do. */
START_TEST(guests_run_alike_at_each_level)
{
    static const u8 code[] = { 0xb9, 100, 0, 0, 0, 0x01, 0xc8, 0x0f, 0x59, 0xc1, 0xff, 0xc9, 0x75, 0xf7, 0xf4 };
    WHV_PARTITION_HANDLE p = at_level(levels[_i]);
    struct guest g;

    ck_ok(WHvSetupPartition(p));
    guest_open_in(&g, p, GUEST_LONG, code, sizeof code);
    guest_set(&g, WHvX64RegisterCr4, 0x620);
    guest_set(&g, WHvX64RegisterRax, 0);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(guest_get(&g, WHvX64RegisterRax), 5050);
    guest_close(&g);
}
END_TEST

Suite *levels_suite(void)
{
    Suite *s = suite_create("levels");
    TCase *t = tcase_create("api levels");

    tcase_add_loop_test(t, codes_of_later_builds_are_unknown, 0, LEVELS);
    tcase_add_loop_test(t, bits_of_later_builds_are_not_offered, 0, LEVELS);
    tcase_add_loop_test(t, an_exit_context_ends_where_it_did, 0, LEVELS);
    tcase_add_loop_test(t, counter_sets_have_the_size_that_they_had, 0, LEVELS);
    tcase_add_test(t, the_level_is_one_of_five_and_comes_first);
    tcase_add_loop_test(t, the_environment_sets_it, 0, LEVELS);
    tcase_add_loop_test(t, early_builds_fix_exits_at_setup, 0, LEVELS);
    tcase_add_loop_test(t, guests_run_alike_at_each_level, 0, LEVELS);
    suite_add_tcase(s, level_function_case());
    suite_add_tcase(s, t);
    return s;
}
