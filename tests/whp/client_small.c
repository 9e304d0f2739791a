/* SPDX-License-Identifier: MIT */
/* Microsoft's sample, SimpleWhpDemo, VirtualMetal/vm; and what third parties' notes and issues saw on real hosts. */
#include <sys/mman.h>

#include "tests/whp/client.h"

#define REG(name) WHvX64Register##name
#define PROP(name) WHvPartitionPropertyCode##name
enum { WHOLE = sizeof(WHV_PARTITION_PROPERTY) };

/* ---- Microsoft's sample: reserves its memory, maps it, and commits it only then ---- */

START_TEST(mssample_commits_memory_that_is_mapped_already)
{
    enum { RESERVED = 64 << 20 };
    struct client c;
    u8 *all = mmap(NULL, RESERVED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    ck_assert_ptr_ne(all, MAP_FAILED);
    client_partition(&c, 1);
    client_property(&c, PROP(LocalApicEmulationMode), WHvX64LocalApicEmulationModeXApic, WHOLE);
    client_property(&c, EXITS, EXIT_EXCEPTION, WHOLE);
    client_property(&c, VECTORS, 1 << 3, WHOLE);
    ck_ok(WHvSetupPartition(c.p));
    ck_ok(WHvMapGpaRange(c.p, all, 0, RESERVED, (WHV_MAP_GPA_RANGE_FLAGS)7));
    ck_ok(WHvCreateVirtualProcessor(c.p, 0, 0));
    ck_assert_int_eq(mprotect(all, 0x10000, PROT_READ | PROT_WRITE), 0);
    memcpy(all + CLIENT_CODE, "\x90\xcc\xe6\x90", 4);
    client_stand(&c, 0, CLIENT_CODE);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonException); /* its only exit */
    ck_assert_uint_eq(c.x.VpException.ExceptionType, 3);
    ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE + 1);
    client_set(&c, REG(Rip), c.x.VpContext.Rip + 1);
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
    munmap(all, RESERVED);
}
END_TEST

/* ---- SimpleWhpDemo ---- */

START_TEST(simplewhpdemo_starts_only_where_cpuid_and_msr_exits_are_offered)
{
    WHV_CAPABILITY cap;

    ck_ok(WHvGetCapability(WHvCapabilityCodeExtendedVmExits, &cap, sizeof cap, NULL));
    ck_assert(cap.ExtendedVmExits.X64CpuidExit);
    ck_assert(cap.ExtendedVmExits.X64MsrExit);
}
END_TEST

START_TEST(simplewhpdemo_adds_the_length_after_every_exit)
{
    WHV_EMULATOR_HANDLE e = client_emulator();
    struct client c;
    struct client_device d = { .client = &c };

    client_partition(&c, 1);
    CLIENT_START(&c, 0xf4, 0xf4, 0xb0, 0x21, 0xe6, 0x80, 0xf4); /* hlt; hlt; mov al, 21; out 80; hlt */
    for (u32 i = 0; i < 2; i++) {
        ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64Halt);
        ck_assert_uint_eq(c.x.VpContext.InstructionLength, 0);
        client_skip(&c); /* a halt too: it must be 0 */
    }
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64IoPortAccess);
    ck_assert_uint_eq(client_emulate(e, &d).AsUINT32, 1);
    ck_assert_uint_eq(d.port, 0x80);
    ck_assert_uint_eq(d.data & 0xff, 0x21);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE + 7);
    client_stop(&c);
    ck_ok(WHvEmulatorDestroyEmulator(e));
}
END_TEST

/* ---- VirtualMetal/vm ---- */

START_TEST(virtualmetal_sets_what_it_needs_and_skips_what_is_refused)
{
    static const u32 leaves[] = { 1, 0x40000000 };
    WHV_SYNTHETIC_PROCESSOR_FEATURES_BANKS synthetic;
    WHV_X64_CPUID_RESULT2 hide;
    struct client c;

    memset(&synthetic, 0, sizeof synthetic);
    memset(&hide, 0, sizeof hide);
    synthetic.BanksCount = 1;
    hide.Function = 1;
    hide.Mask.Ecx = 1u << 31;
    client_partition(&c, 1);
    client_property(&c, PROP(LocalApicEmulationMode), WHvX64LocalApicEmulationModeXApic, 4);
    client_property(&c, EXITS, EXIT_CPUID | EXIT_MSR | EXIT_EXCEPTION, 8);
    client_property(&c, VECTORS, 1 << 1 | 1 << 3, 8);
    ck_ok(WHvSetPartitionProperty(c.p, PROP(CpuidExitList), leaves, sizeof leaves));
    ck_ok(WHvSetPartitionProperty(c.p, PROP(CpuidResultList2), &hide, sizeof hide));
    ck_ok(WHvSetPartitionProperty(c.p, PROP(SyntheticProcessorFeaturesBanks), &synthetic, sizeof synthetic));
    CLIENT_START(&c, 0x66, 0xb8, 1, 0, 0, 0, 0x0f, 0xa2); /* mov eax, 1; cpuid */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64Cpuid);
    ck_assert_uint_eq((u32)c.x.CpuidAccess.DefaultResultRcx >> 31, 0);
    client_stop(&c);
}
END_TEST

START_TEST(virtualmetal_injects_into_a_processor_that_it_woke)
{
    struct client c;

    client_partition(&c, 1);
    client_property(&c, PROP(LocalApicEmulationMode), WHvX64LocalApicEmulationModeXApic, 4);
    CLIENT_START(&c, 0xfb, 0xf4, 0xe6, 0x90); /* sti; hlt; out 90 */
    ck_ok(WHvCancelRunVirtualProcessor(c.p, 0, 0));
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonCanceled);
    client_set(&c, REG(Rip), CLIENT_CODE + 2);
    client_set(&c, WHvRegisterInternalActivityState, 2); /* halted */
    client_set(&c, WHvRegisterPendingInterruption, 1 | 0x28 << 16);
    client_set(&c, WHvRegisterInternalActivityState, 0); /* and no more */
    ck_assert_uint_eq(client_port(&c), 0x28);
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
}
END_TEST

/* ---- observed: probe, exbawks, WinQuick, issues ---- */

START_TEST(probe_repeats_an_exit_that_nobody_completes)
{
    struct client c;

    client_partition(&c, 1);
    CLIENT_START(&c, 0xe6, 0x90);
    for (u32 i = 0; i < 5; i++) {
        ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64IoPortAccess);
        ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE);
    }
    client_stop(&c);
}
END_TEST

START_TEST(probe_finds_no_hypervisor_bit_and_a_living_osxsave)
{
    WHV_CPUID_OUTPUT out;
    struct client c;

    client_partition(&c, 1);
    CLIENT_START(&c, 0xf4);
    ck_ok(WHvGetVirtualProcessorCpuidOutput(c.p, 0, 1, 0, &out));
    ck_assert_uint_eq(out.Ecx >> 31, 0);
    ck_assert_uint_eq(out.Ecx >> 27 & 1, 0);
    client_set(&c, REG(Cr4), 1 << 18);
    ck_ok(WHvGetVirtualProcessorCpuidOutput(c.p, 0, 1, 0, &out));
    ck_assert_uint_eq(out.Ecx >> 27 & 1, 1);
    client_stop(&c);
}
END_TEST

START_TEST(exbawks_gets_all_registers_of_a_batch_or_none)
{
    WHV_REGISTER_NAME names[2] = { REG(Rbx), (WHV_REGISTER_NAME)0x12345 };
    WHV_REGISTER_VALUE v[2];
    struct client c;

    client_partition(&c, 1);
    CLIENT_START(&c, 0xf4);
    memset(v, 0x11, sizeof v);
    ck_hr(WHvSetVirtualProcessorRegisters(c.p, 0, names, 2, v), WHV_E_INVALID_VP_REGISTER_NAME);
    ck_assert_uint_eq(client_get(&c, REG(Rbx)), 0);
    client_stop(&c);
}
END_TEST

START_TEST(winquick_finds_others_waiting_and_takes_a_smaller_apic_state)
{
    static u8 page[4096];
    WHV_REGISTER_NAME name = WHvRegisterInternalActivityState;
    WHV_REGISTER_VALUE v;
    struct client c;

    client_partition(&c, 2);
    client_property(&c, PROP(LocalApicEmulationMode), WHvX64LocalApicEmulationModeXApic, 4);
    CLIENT_START(&c, 0xf4);
    ck_ok(WHvCreateVirtualProcessor(c.p, 1, 0));
    ck_ok(WHvGetVirtualProcessorRegisters(c.p, 1, &name, 1, &v));
    ck_assert_uint_eq(v.InternalActivity.StartupSuspend, 1);
    ck_ok(WHvGetVirtualProcessorInterruptControllerState2(c.p, 0, page, sizeof page, NULL));
    store_bytes(page + 0x80, 0x20, 4);
    ck_ok(WHvSetVirtualProcessorInterruptControllerState2(c.p, 0, page, 993)); /* what its host gave */
    ck_assert_uint_eq(client_get(&c, REG(Cr8)), 2);
    client_stop(&c);
}
END_TEST

/* microsandbox: a triple fault in a delivery says that something was pending. */
START_TEST(microsandbox_tells_a_triple_fault_by_its_execution_state)
{
    WHV_REGISTER_NAME name = REG(Idtr);
    WHV_REGISTER_VALUE v;
    struct guest g;

    guest_open(&g, GUEST_LONG, "\x0f\x0b", 2);
    memset(&v, 0, sizeof v);
    ck_ok(WHvSetVirtualProcessorRegisters(g.partition, 0, &name, 1, &v));
    guest_set(&g, REG(Cr0), 0x80050031); /* WP, AM */
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonUnrecoverableException);
    ck_assert_uint_eq(g.exit.VpContext.ExecutionState.AsUINT16, 0x5c); /* protected, AM, long, pending */
    guest_close(&g);
}
END_TEST

/* Arrays of registers at odd places: the real library wants 16, we take any. */
START_TEST(clients_align_registers_as_they_like)
{
    WHV_REGISTER_NAME names[2] = { REG(Xmm0), REG(Rax) };
    u8 room[64];
    struct client c;

    client_partition(&c, 1);
    CLIENT_START(&c, 0xf4);
    for (u32 i = 0; i < 16; i++) {
        void *at = room + i;

        memset(room, (int)i + 1, sizeof room);
        ck_ok(WHvSetVirtualProcessorRegisters(c.p, 0, names, 2, at));
        memset(room, 0, sizeof room);
        ck_ok(WHvGetVirtualProcessorRegisters(c.p, 0, names, 2, at));
        ck_assert_uint_eq(room[i], i + 1);
        ck_assert_uint_eq(room[i + 23], i + 1);
    }
    client_stop(&c);
}
END_TEST

/* Programs of the first SDKs: a context of 144 bytes, which is never overrun. */
START_TEST(clients_of_1803_bring_a_smaller_context)
{
    u8 room[256];
    struct client c;

    client_partition(&c, 1);
    CLIENT_START(&c, 0xe6, 0x90);
    memset(room, 0xcc, sizeof room);
    ck_ok(WHvRunVirtualProcessor(c.p, 0, room, 144));
    ck_assert_uint_eq(load_bytes(room, 4), WHvRunVpExitReasonX64IoPortAccess);
    ck_assert_uint_eq(room[144], 0xcc);
    client_stop(&c);
}
END_TEST

TCase *client_small_case(void)
{
    TCase *t = tcase_create("client-small");

    tcase_add_test(t, mssample_commits_memory_that_is_mapped_already);
    tcase_add_test(t, simplewhpdemo_starts_only_where_cpuid_and_msr_exits_are_offered);
    tcase_add_test(t, simplewhpdemo_adds_the_length_after_every_exit);
    tcase_add_test(t, virtualmetal_sets_what_it_needs_and_skips_what_is_refused);
    tcase_add_test(t, virtualmetal_injects_into_a_processor_that_it_woke);
    tcase_add_test(t, probe_repeats_an_exit_that_nobody_completes);
    tcase_add_test(t, probe_finds_no_hypervisor_bit_and_a_living_osxsave);
    tcase_add_test(t, exbawks_gets_all_registers_of_a_batch_or_none);
    tcase_add_test(t, winquick_finds_others_waiting_and_takes_a_smaller_apic_state);
    tcase_add_test(t, microsandbox_tells_a_triple_fault_by_its_execution_state);
    tcase_add_test(t, clients_align_registers_as_they_like);
    tcase_add_test(t, clients_of_1803_bring_a_smaller_context);
    return t;
}
