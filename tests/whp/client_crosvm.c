/* SPDX-License-Identifier: MIT */
/* crosvm, whose tests of hypervisors hold it to much: where RIP stands, what a shadow does, which injection counts. */
#include "tests/whp/client.h"

#define REG(name) WHvX64Register##name
#define PROP(name) WHvPartitionPropertyCode##name

/* The Hyper-V leaves are its own; some leaves exit. */
static void open_crosvm(struct client *c, u32 apic_mode)
{
    static const WHV_X64_CPUID_RESULT results[] = { { .Function = 0x40000000, .Eax = 0x40000006, .Ebx = 0x7263694d },
                                                    { .Function = 0x40000001, .Eax = 0x31237648 } };
    static const u32 leaves[] = { 1, 4, 0xb, 0x1f, 0x15 };

    client_partition(c, 1);
    client_property(c, PROP(LocalApicEmulationMode), apic_mode, 4);
    client_property(c, EXITS, EXIT_CPUID | EXIT_MSR, 8);
    ck_ok(WHvSetPartitionProperty(c->p, PROP(CpuidResultList), results, sizeof results));
    ck_ok(WHvSetPartitionProperty(c->p, PROP(CpuidExitList), leaves, sizeof leaves));
}

START_TEST(crosvm_answers_its_leaves_by_list_and_by_exit)
{
    struct client c;

    open_crosvm(&c, 0);
    /* mov eax, 40000000; cpuid; mov eax, ebx; out 90, eax; mov eax, 4; cpuid */
    CLIENT_START(&c, 0x66, 0xb8, 0, 0, 0, 0x40, 0x0f, 0xa2, 0x66, 0x89, 0xd8, 0x66, 0xe7, 0x90, 0x66, 0xb8, 4, 0, 0, 0,
                 0x0f, 0xa2);
    ck_assert_uint_eq(client_port(&c), 0x90);
    ck_assert_uint_eq((u32)c.x.IoPortAccess.Rax, 0x7263694d);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64Cpuid);
    ck_assert_uint_eq(c.x.CpuidAccess.Rax, 4);
    client_stop(&c);
}
END_TEST

START_TEST(crosvm_finds_rip_behind_a_halt)
{
    struct client c;

    open_crosvm(&c, 0);
    CLIENT_START(&c, 0xf4, 0xf4);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE + 1);
    ck_assert_uint_eq(client_get(&c, REG(Rip)), CLIENT_CODE + 1);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE + 2);
    client_stop(&c);
}
END_TEST

START_TEST(crosvm_has_a_shadow_that_outlasts_the_port_that_it_completed)
{
    struct client c;

    open_crosvm(&c, 0);
    CLIENT_START(&c, 0xfb, 0xe6, 0x90, 0x90, 0xe6, 0x91); /* sti; out 90; nop; out 91 */
    ck_assert_uint_eq(client_port(&c), 0x90);
    ck_assert_uint_eq(c.x.VpContext.ExecutionState.InterruptShadow, 1);
    client_set(&c, REG(DeliverabilityNotifications), 2);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64InterruptWindow);
    ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE + 4); /* only behind the NOP */
    ck_assert_uint_eq(client_port(&c), 0x91);
    ck_assert_uint_eq(c.x.VpContext.ExecutionState.InterruptShadow, 0);
    client_stop(&c);
}
END_TEST

START_TEST(crosvm_injects_twice_and_the_second_counts)
{
    struct client c;

    open_crosvm(&c, 0);
    CLIENT_START(&c, 0xe6, 0x90);
    client_set(&c, WHvRegisterPendingInterruption, 1 | 0x20 << 16);
    client_set(&c, WHvRegisterPendingInterruption, 1 | 0x21 << 16);
    ck_assert_uint_eq(client_port(&c), 0x21); /* though IF is clear */
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
}
END_TEST

START_TEST(crosvm_sees_a_triple_fault_as_the_end)
{
    struct client c;
    WHV_REGISTER_NAME name = REG(Idtr);
    WHV_REGISTER_VALUE v;

    open_crosvm(&c, 0);
    CLIENT_START(&c, 0x0f, 0x0b); /* ud2 */
    memset(&v, 0, sizeof v);
    ck_ok(WHvSetVirtualProcessorRegisters(c.p, 0, &name, 1, &v)); /* no vectors */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonUnrecoverableException);
    ck_assert_uint_eq(client_get(&c, REG(Rip)), CLIENT_CODE);
    client_stop(&c);
}
END_TEST

/* MOV [BX], AL whose last byte is on the next page, which only the caller can read. */
/* Ports in all widths by the library: what it reads is merged as IN does. */
START_TEST(crosvm_has_ports_completed_by_the_library)
{
    WHV_EMULATOR_HANDLE e = client_emulator();
    struct client c;
    struct client_device d = { .client = &c, .data = 0xa1b2c3d4 };
    static const u64 after[] = { 0x11223344556677d4, 0x112233445566c3d4, 0xa1b2c3d4 };

    open_crosvm(&c, 0);
    CLIENT_START(&c, 0xe4, 0x60, 0xe5, 0x61, 0x66, 0xe5, 0x62, 0xe6, 0x90); /* in al, 60; in ax, 61; in eax, 62 */
    client_set(&c, REG(Rax), 0x1122334455667788);
    for (u32 i = 0; i < 3; i++) {
        ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64IoPortAccess);
        ck_assert_uint_eq(client_emulate(e, &d).AsUINT32, 1);
        ck_assert_uint_eq(d.port, 0x60 + i);
        ck_assert_uint_eq(client_get(&c, REG(Rax)), after[i]);
    }
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
    ck_ok(WHvEmulatorDestroyEmulator(e));
}
END_TEST

START_TEST(crosvm_emulates_an_instruction_over_the_end_of_a_page)
{
    WHV_EMULATOR_HANDLE e = client_emulator();
    struct client c;
    struct client_device d = { .client = &c };

    open_crosvm(&c, 0);
    CLIENT_START(&c, 0xf4);
    memcpy(c.ram + 0x5ffd, "\x88\x87\x00\x20\xe6\x90", 6); /* mov [bx+2000], al; out 90 */
    client_stand(&c, 0, 0x5ffd);
    client_set(&c, REG(Rbx), 0x7000); /* to 9000 */
    client_set(&c, REG(Rax), 0x5b);
    ck_ok(WHvUnmapGpaRange(c.p, 0x9000, 0x1000));
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonMemoryAccess);
    ck_assert_uint_eq(c.x.MemoryAccess.Gpa, 0x9000);
    c.x.MemoryAccess.InstructionByteCount = 3; /* as a processor that fetched no further tells it */
    memset(c.x.MemoryAccess.InstructionBytes + 3, 0, 13);
    ck_assert_uint_eq(client_emulate(e, &d).AsUINT32, 1);
    ck_assert_uint_ge(d.ram_reads, 1); /* the missing byte */
    ck_assert_uint_eq(c.ram[0x9000], 0x5b);
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
    ck_ok(WHvEmulatorDestroyEmulator(e));
}
END_TEST

START_TEST(crosvm_reads_its_dirty_log)
{
    u64 log = 0;
    struct client c;

    open_crosvm(&c, 0);
    CLIENT_START(&c, 0xc6, 0x06, 0x10, 0x90, 1, 0xe6, 0x90, 0xc6, 0x06, 0x10, 0xb0, 1, 0xe6, 0x91);
    ck_ok(WHvMapGpaRange(c.p, c.ram + 0x8000, 0x8000, 0x8000, (WHV_MAP_GPA_RANGE_FLAGS)15));
    ck_assert_uint_eq(client_port(&c), 0x90);
    ck_ok(WHvQueryGpaRangeDirtyBitmap(c.p, 0x8000, 0x8000, &log, sizeof log));
    ck_assert_uint_eq(log, 1 << 1);
    ck_assert_uint_eq(client_port(&c), 0x91);
    ck_ok(WHvQueryGpaRangeDirtyBitmap(c.p, 0x8000, 0x8000, &log, sizeof log));
    ck_assert_uint_eq(log, 1 << 3); /* asked before: told once */
    client_stop(&c);
}
END_TEST

START_TEST(crosvm_learns_the_size_of_xsave_by_a_size_of_zero)
{
    static _Alignas(64) u8 area[8192];
    struct client c;
    u32 size = 0;

    open_crosvm(&c, 0);
    CLIENT_START(&c, 0xf4);
    ck_hr(WHvGetVirtualProcessorXsaveState(c.p, 0, NULL, 0, &size), WHV_E_INSUFFICIENT_BUFFER);
    ck_assert_uint_ge(size, 576);
    ck_ok(WHvGetVirtualProcessorXsaveState(c.p, 0, area, size, &size));
    ck_assert_uint_eq(area[527] >> 7, 1); /* compacted */
    ck_ok(WHvSetVirtualProcessorXsaveState(c.p, 0, area, size));
    client_stop(&c);
}
END_TEST

START_TEST(crosvm_reads_the_first_version_of_the_apics_state_as_a_page)
{
    static u8 page[4096];
    struct client c;
    u32 written = 0;

    open_crosvm(&c, WHvX64LocalApicEmulationModeXApic);
    CLIENT_START(&c, 0xf4);
    client_set(&c, REG(ApicTpr), 0x50);
    ck_ok(WHvGetVirtualProcessorInterruptControllerState(c.p, 0, page, sizeof page, &written));
    ck_assert_uint_eq(load_bytes(page + 16 * 8, 4), 0x50); /* register n at byte 16 n */
    ck_assert_uint_eq(load_bytes(page + 16 * 15, 4) & 0xff, 0xff);
    store_bytes(page + 16 * 8, 0x30, 4);
    ck_ok(WHvSetVirtualProcessorInterruptControllerState(c.p, 0, page, sizeof page));
    ck_assert_uint_eq(client_get(&c, REG(Cr8)), 3);
    client_stop(&c);
}
END_TEST

START_TEST(crosvm_answers_a_bad_msr_by_a_fault_and_a_good_one_itself)
{
    struct client c;

    open_crosvm(&c, 0); /* no bitmap was ever set: what nobody knows exits, and nothing else */
    CLIENT_START(&c, 0x66, 0xb9, 0x80, 0, 0, 0xc0, 0x0f, 0x32, 0x66, 0xb9, 0x78, 0x56, 0x34, 0x12, 0x0f, 0x32, 0x66,
                 0xe7, 0x90); /* rdmsr EFER; rdmsr 12345678; out 90, eax */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64MsrAccess);
    ck_assert_uint_eq(c.x.MsrAccess.MsrNumber, 0x12345678);
    client_set(&c, REG(Rax), 0x1111);
    client_set(&c, REG(Rdx), 0x2222);
    client_skip(&c);
    ck_assert_uint_eq(client_port(&c), 0x90);
    ck_assert_uint_eq(c.x.IoPortAccess.Rax, 0x1111);
    client_set(&c, REG(Rip), CLIENT_CODE + 14);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64MsrAccess);
    client_set(&c, WHvRegisterPendingEvent, 1 | 1 << 8 | 13 << 16);
    ck_assert_uint_eq(client_port(&c), 13);
    client_stop(&c);
}
END_TEST

TCase *client_crosvm_case(void)
{
    TCase *t = tcase_create("client-crosvm");

    tcase_add_test(t, crosvm_answers_its_leaves_by_list_and_by_exit);
    tcase_add_test(t, crosvm_finds_rip_behind_a_halt);
    tcase_add_test(t, crosvm_has_a_shadow_that_outlasts_the_port_that_it_completed);
    tcase_add_test(t, crosvm_injects_twice_and_the_second_counts);
    tcase_add_test(t, crosvm_sees_a_triple_fault_as_the_end);
    tcase_add_test(t, crosvm_has_ports_completed_by_the_library);
    tcase_add_test(t, crosvm_emulates_an_instruction_over_the_end_of_a_page);
    tcase_add_test(t, crosvm_reads_its_dirty_log);
    tcase_add_test(t, crosvm_learns_the_size_of_xsave_by_a_size_of_zero);
    tcase_add_test(t, crosvm_reads_the_first_version_of_the_apics_state_as_a_page);
    tcase_add_test(t, crosvm_answers_a_bad_msr_by_a_fault_and_a_good_one_itself);
    return t;
}
