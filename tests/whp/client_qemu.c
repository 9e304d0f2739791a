/* SPDX-License-Identifier: MIT */
/* QEMU to 10: the emulator library completes ports and memory, interrupts come by PendingInterruption. */
#include "tests/whp/client.h"

#define REG(name) WHvX64Register##name
enum { IF = 0x200, TF = 0x100, WHOLE = sizeof(WHV_PARTITION_PROPERTY) };

/* Its order: the count, the APIC's mode in 4 bytes, the exits in whole unions, the list of leaves; then Setup. */
void client_open_qemu(struct client *c, u32 apic_mode)
{
    static const u32 leaves[] = { 1, 0x80000001 };
    WHV_CAPABILITY cap;
    u32 size;

    ck_ok(WHvGetCapability(WHvCapabilityCodeHypervisorPresent, &cap, sizeof cap, &size));
    ck_assert(cap.HypervisorPresent);
    ck_ok(WHvGetCapability(WHvCapabilityCodeFeatures, &cap, sizeof cap, &size));
    ck_assert(cap.Features.LocalApicEmulation);
    client_partition(c, 2);
    if (apic_mode)
        client_property(c, WHvPartitionPropertyCodeLocalApicEmulationMode, apic_mode, 4);
    client_property(c, EXITS, EXIT_MSR | EXIT_CPUID | EXIT_EXCEPTION | (apic_mode ? EXIT_INIT_SIPI : 0), WHOLE);
    ck_ok(WHvSetPartitionProperty(c->p, WHvPartitionPropertyCodeCpuidExitList, leaves, sizeof leaves));
}

START_TEST(qemu_asks_for_whole_unions_and_gets_natural_sizes)
{
    static const struct {
        WHV_CAPABILITY_CODE code;
        u32 size;
    } rows[] = { { WHvCapabilityCodeHypervisorPresent, 4 },       { WHvCapabilityCodeFeatures, 8 },
                 { WHvCapabilityCodeProcessorXsaveFeatures, 8 },  { WHvCapabilityCodeProcessorClockFrequency, 8 },
                 { WHvCapabilityCodeInterruptClockFrequency, 8 }, { WHvCapabilityCodeExceptionExitBitmap, 8 } };

    for (u32 i = 0; i < sizeof rows / sizeof *rows; i++) {
        WHV_CAPABILITY cap;
        u32 size = 0;

        ck_ok(WHvGetCapability(rows[i].code, &cap, sizeof cap, &size));
        ck_assert_uint_eq(size, rows[i].size);
    }
}
END_TEST

START_TEST(qemu_kicks_from_its_own_thread_before_a_run)
{
    struct client c;

    client_open_qemu(&c, 0);
    CLIENT_START(&c, 0xe6, 0x99);
    ck_ok(WHvCancelRunVirtualProcessor(c.p, 0, 0));
    ck_ok(WHvCancelRunVirtualProcessor(c.p, 0, 0)); /* several are one */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonCanceled);
    ck_assert_uint_eq((u32)c.x.CancelReason.CancelReason, WHvRunVpCancelReasonUser);
    ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE);
    ck_assert_uint_eq(client_port(&c), 0x99);
    client_stop(&c);
}
END_TEST

START_TEST(qemu_asks_for_a_window_once_and_injects_when_it_opens)
{
    struct client c;

    client_open_qemu(&c, 0);
    CLIENT_START(&c, 0xfa, 0xe6, 0x90, 0xfb, 0x90, 0xe6, 0x91); /* cli; out 90; sti; nop; out 91 */
    ck_assert_uint_eq(client_port(&c), 0x90);
    ck_assert(!(c.x.VpContext.Rflags & IF)); /* not interruptible: a window */
    client_set(&c, REG(DeliverabilityNotifications), 2 | (u64)(0x40 >> 4) << 2);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64InterruptWindow);
    ck_assert_uint_eq((u32)c.x.InterruptWindow.DeliverableType, WHvX64PendingInterrupt);
    ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE + 5); /* behind the shadow of STI */
    ck_assert_uint_eq(c.x.VpContext.ExecutionState.InterruptShadow, 0);
    ck_assert_uint_eq(client_get(&c, REG(DeliverabilityNotifications)), 0); /* window_registered = 0 */
    client_set(&c, WHvRegisterPendingInterruption, 1 | 0x40 << 16);
    ck_assert_uint_eq(client_port(&c), 0x40);
    ck_assert_uint_eq(client_get(&c, WHvRegisterPendingInterruption), 0);
    ck_assert_uint_eq(client_port(&c), 0x91); /* no second window, nor a second interrupt */
    client_stop(&c);
}
END_TEST

START_TEST(qemu_keeps_cr8_as_the_task_priority_both_ways)
{
    struct guest g;
    struct client c;

    client_open_qemu(&c, 0);
    ck_ok(WHvSetupPartition(c.p));
    guest_open_in(&g, c.p, GUEST_LONG, "\x44\x0f\x20\xc0\xe6\x90\x44\x0f\x22\xc3\xe6\x91", 12);
    client_set(&c, REG(Cr8), 5); /* mov rax, cr8; out 90; mov cr8, rbx; out 91 */
    client_set(&c, REG(Rbx), 9);
    ck_assert_uint_eq(client_port(&c), 0x90);
    ck_assert_uint_eq(c.x.IoPortAccess.Rax, 5);
    ck_assert_uint_eq(c.x.VpContext.Cr8, 5);
    ck_assert_uint_eq(client_port(&c), 0x91);
    ck_assert_uint_eq(c.x.VpContext.Cr8, 9);
    ck_assert_uint_eq(client_get(&c, REG(Cr8)), 9);
    guest_close(&g);
}
END_TEST

/* All that it carries between itself and the processor, in its one call: general registers to control registers, XMM,
 * x87, EFER to SFMASK, TSC_AUX. */
enum { BATCH_MOST = 80 };
static u32 make_batch(WHV_REGISTER_NAME *names)
{
    static const u32 ranges[][2] = { { REG(Rax), REG(Cr8) },
                                     { REG(Xmm0), REG(Xmm15) },
                                     { REG(FpMmx0), REG(XmmControlStatus) },
                                     { REG(Efer), REG(Sfmask) },
                                     { REG(TscAux), REG(TscAux) } };
    u32 n = 0;

    for (u32 r = 0; r < sizeof ranges / sizeof *ranges; r++)
        for (u32 name = ranges[r][0]; name <= ranges[r][1]; name++)
            names[n++] = (WHV_REGISTER_NAME)name;
    return n;
}

START_TEST(qemu_moves_all_registers_in_one_batch)
{
    WHV_REGISTER_NAME batch[BATCH_MOST];
    WHV_REGISTER_VALUE v[BATCH_MOST], back[BATCH_MOST];
    u32 n = make_batch(batch);
    struct client c;

    client_open_qemu(&c, 0);
    CLIENT_START(&c, 0xf4);
    ck_ok(WHvGetVirtualProcessorRegisters(c.p, 0, batch, n, v));
    for (u32 i = 0; i < n; i++) {
        u32 name = (u32)batch[i];

        if (name <= REG(R15) || (name >= REG(Xmm0) && name <= REG(Xmm15)) || name >= REG(SysenterCs))
            v[i].Reg64 = 0x1000 + i;
        if (name >= REG(Xmm0) && name <= REG(Xmm15))
            v[i].Reg128.High64 = ~(u64)i;
        if (name >= REG(FpMmx0) && name <= REG(FpMmx7))
            v[i].Fp.Mantissa = 0x8000000000000000 + i, v[i].Fp.BiasedExponent = 0x3fff;
        if (name == REG(FpControlStatus)) {
            v[i].FpControlStatus.FpControl = 0x27f;
            v[i].FpControlStatus.FpStatus = 3 << 11; /* TOP moves no FpMmx */
            v[i].FpControlStatus.FpTag = (u8)~0x7e;  /* its own tags say empty, so it inverts them */
        }
    }
    ck_ok(WHvSetVirtualProcessorRegisters(c.p, 0, batch, n, v));
    ck_ok(WHvGetVirtualProcessorRegisters(c.p, 0, batch, n, back));
    for (u32 i = 0; i < n; i++)
        ck_assert_msg(!memcmp(&v[i], &back[i], 16), "register %#x doesn't come back", (u32)batch[i]);
    client_stop(&c);
}
END_TEST

START_TEST(qemu_finds_rip_behind_a_halt_and_goes_on_without_an_interrupt)
{
    struct client c;

    client_open_qemu(&c, 0);
    CLIENT_START(&c, 0xfb, 0xf4, 0xfa, 0xf4, 0xe6, 0x90); /* sti; hlt; cli; hlt; out 90 */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE + 2);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64Halt); /* with IF clear the same */
    ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE + 4);
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
}
END_TEST

START_TEST(qemu_completes_unknown_msrs_with_zero)
{
    struct client c;

    client_open_qemu(&c, 0);
    CLIENT_START(&c, 0x66, 0xb9, 0x78, 0x56, 0x34, 0x12, 0x0f, 0x32, 0x0f, 0x30, 0xe6, 0x90); /* rdmsr; wrmsr */
    client_set(&c, REG(Rax), ~(u64)0);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64MsrAccess);
    ck_assert_uint_eq(c.x.MsrAccess.MsrNumber, 0x12345678);
    ck_assert_uint_eq(c.x.MsrAccess.AccessInfo.IsWrite, 0);
    client_set(&c, REG(Rax), 0);
    client_set(&c, REG(Rdx), 0);
    client_skip(&c);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64MsrAccess);
    ck_assert_uint_eq(c.x.MsrAccess.AccessInfo.IsWrite, 1);
    ck_assert_uint_eq(c.x.MsrAccess.Rax, 0);
    client_skip(&c);
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
}
END_TEST

START_TEST(qemu_answers_its_leaves_and_no_other)
{
    struct client c;

    client_open_qemu(&c, 0);
    /* xor eax, eax; cpuid; mov eax, 1; cpuid; out 90, eax */
    CLIENT_START(&c, 0x66, 0x31, 0xc0, 0x0f, 0xa2, 0x66, 0xb8, 1, 0, 0, 0, 0x0f, 0xa2, 0x66, 0xe7, 0x90);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64Cpuid);
    ck_assert_uint_eq(c.x.CpuidAccess.Rax, 1);
    ck_assert_uint_eq(c.x.CpuidAccess.Rbx, 0x68747541); /* leaf 0 was answered without it: "Auth" */
    client_set(&c, REG(Rax), c.x.CpuidAccess.DefaultResultRax);
    client_set(&c, REG(Rbx), c.x.CpuidAccess.DefaultResultRbx);
    client_set(&c, REG(Rcx), c.x.CpuidAccess.DefaultResultRcx | 1u << 31); /* it says that there is a hypervisor */
    client_set(&c, REG(Rdx), c.x.CpuidAccess.DefaultResultRdx);
    client_skip(&c);
    ck_assert_uint_eq(client_port(&c), 0x90);
    ck_assert_uint_eq(c.x.IoPortAccess.Rcx >> 31, 1);
    client_stop(&c);
}
END_TEST

/* A triple fault is the guest's way to reset: QEMU sets all registers anew, and the same processor goes on. */
START_TEST(qemu_resets_a_guest_by_registers_after_a_triple_fault)
{
    WHV_REGISTER_NAME batch[BATCH_MOST];
    WHV_REGISTER_VALUE first[BATCH_MOST], v;
    WHV_REGISTER_NAME idtr = REG(Idtr);
    u32 n = make_batch(batch);
    struct client c;

    client_open_qemu(&c, 0);
    CLIENT_START(&c, 0xcd, 0x20, 0xe6, 0x90); /* int 20; out 90 */
    ck_ok(WHvGetVirtualProcessorRegisters(c.p, 0, batch, n, first));
    memset(&v, 0, sizeof v);
    ck_ok(WHvSetVirtualProcessorRegisters(c.p, 0, &idtr, 1, &v));
    for (u32 i = 0; i < 2; i++) { /* it stays so */
        ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonUnrecoverableException);
        ck_assert_uint_eq(client_get(&c, REG(Rip)), CLIENT_CODE);
    }
    ck_ok(WHvSetVirtualProcessorRegisters(c.p, 0, batch, n, first));
    client_set(&c, WHvRegisterPendingInterruption, 0);
    ck_assert_uint_eq(client_port(&c), 0x20);
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
}
END_TEST

/* Each processor's in turn, time suspended; the first run lets it go on. */
START_TEST(qemu_suspends_time_to_set_the_tsc)
{
    const u64 tsc = (u64)1 << 36;
    WHV_REGISTER_NAME name = REG(Tsc);
    WHV_REGISTER_VALUE v = { .Reg64 = tsc };
    u64 time = 5;
    struct client c;

    client_open_qemu(&c, 0);
    CLIENT_START(&c, 0x0f, 0x31, 0xe6, 0x90); /* rdtsc; out 90 */
    ck_ok(WHvCreateVirtualProcessor(c.p, 1, 0));
    for (u32 vp = 0; vp < 2; vp++) {
        ck_ok(WHvSuspendPartitionTime(c.p));
        ck_ok(WHvSetVirtualProcessorRegisters(c.p, vp, &name, 1, &v));
    }
    ck_assert_uint_eq(client_get(&c, name), tsc);
    ck_assert_uint_eq(client_port(&c), 0x90);
    ck_assert_uint_ge((client_get(&c, REG(Rdx)) << 32) + client_get(&c, REG(Rax)), tsc);
    ck_assert_uint_gt(client_get(&c, name), tsc);
    ck_hr(WHvSetPartitionProperty(c.p, WHvPartitionPropertyCodeReferenceTime, &time, 8), E_INVALIDARG);
    client_stop(&c);
}
END_TEST

START_TEST(qemu_debugs_by_properties_that_change_after_setup)
{
    static const u32 leaves[] = { 1, 0x80000001, 0x40000000, 0x40000010 };
    struct client c;

    client_open_qemu(&c, 0);
    CLIENT_START(&c, 0xcc, 0xf1, 0x90, 0x90, 0xe6, 0x91); /* int3; int1; nop; nop; out 91 */
    client_property(&c, VECTORS, 1 << 1 | 1 << 3, WHOLE);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonException);
    ck_assert_uint_eq(c.x.VpException.ExceptionType, 3);
    ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE); /* at it */
    ck_assert_uint_eq(c.x.VpException.InstructionBytes[0], 0xcc);
    client_set(&c, REG(Rip), CLIENT_CODE + 1);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonException);
    ck_assert_uint_eq(c.x.VpException.ExceptionType, 1);
    ck_assert_uint_eq(c.x.VpException.InstructionBytes[0], 0xf1); /* which tells INT1 from a step */

    client_set(&c, REG(Rip), CLIENT_CODE + 2);
    client_set(&c, REG(Rflags), client_get(&c, REG(Rflags)) | TF);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonException);
    ck_assert_uint_eq(c.x.VpException.ExceptionType, 1);
    ck_assert_uint_eq(c.x.VpException.InstructionBytes[0], 0x90);
    ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE + 3);
    ck_assert_uint_eq(c.x.VpContext.Rflags, client_get(&c, REG(Rflags))); /* it asserts that */
    client_set(&c, REG(Rflags), client_get(&c, REG(Rflags)) & ~(u64)TF);
    client_set(&c, REG(PendingDebugException), 0);

    client_property(&c, VECTORS, 0, WHOLE);
    ck_ok(WHvSetPartitionProperty(c.p, WHvPartitionPropertyCodeCpuidExitList, leaves, sizeof leaves));
    ck_assert_uint_eq(client_port(&c), 0x91);
    client_stop(&c);
}
END_TEST

START_TEST(qemu_maps_rom_without_write_and_emulates_what_is_written)
{
    WHV_EMULATOR_HANDLE e = client_emulator();
    struct client_device d = { .client = NULL };
    struct client c;

    client_open_qemu(&c, 0);
    CLIENT_START(&c, 0xc6, 0x06, 0x00, 0x80, 0x5a, 0xe6, 0x90); /* mov byte [8000], 5a; out 90 */
    ck_ok(WHvUnmapGpaRange(c.p, 0x8000, 0x4000));
    ck_ok(WHvMapGpaRange(c.p, c.ram + 0x8000, 0x8000, 0x4000, WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagExecute));
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonMemoryAccess);
    ck_assert_uint_eq(c.x.MemoryAccess.AccessInfo.GpaUnmapped, 0);
    ck_assert_uint_eq(c.x.MemoryAccess.AccessInfo.AccessType, WHvMemoryAccessWrite);
    ck_assert_uint_eq(c.x.MemoryAccess.Gpa, 0x8000);
    d.client = &c;
    ck_assert_uint_eq(client_emulate(e, &d).AsUINT32, 1);
    ck_assert_uint_eq(c.ram[0x8000], 0x5a); /* by this callback; ROM's would drop it */
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
    ck_ok(WHvEmulatorDestroyEmulator(e));
}
END_TEST

START_TEST(qemu_hands_translations_of_device_memory_to_the_emulator)
{
    WHV_EMULATOR_HANDLE e = client_emulator();
    WHV_TRANSLATE_GVA_RESULT result;
    struct client c;
    struct client_device d = { .client = &c, .data = 0x77 };
    u64 gpa = 0;

    client_open_qemu(&c, 0);
    CLIENT_START(
        &c, 0xb8, 0x00, 0xb8, 0x8e, 0xd8, 0xa0, 0x10, 0x00, 0xa2, 0x11, 0x00, /* mov al, [b8010]; mov [b8011], al */
        0x31, 0xc0, 0x8e, 0xd8, 0xbe, 0x00, 0x30, 0xb9, 0x03, 0x00, 0xba, 0x99, 0x00, 0xf3, 0x6e, /* rep outsb */
        0xe6, 0x90);
    memcpy(c.ram + 0x3000, "abc", 3);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonMemoryAccess);
    ck_assert_uint_eq(c.x.MemoryAccess.AccessInfo.GpaUnmapped, 1);
    ck_ok(WHvTranslateGva(c.p, 0, 0xb8010, WHvTranslateGvaFlagValidateRead, &result, &gpa));
    ck_assert_uint_eq(result.ResultCode, WHvTranslateGvaResultSuccess);
    ck_assert_uint_eq(gpa, 0xb8010);
    ck_assert_uint_eq(client_emulate(e, &d).AsUINT32, 1);
    ck_assert_uint_eq(d.reads, 1);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonMemoryAccess);
    d.data = 0;
    ck_assert_uint_eq(client_emulate(e, &d).AsUINT32, 1);
    ck_assert_uint_eq(d.data, 0x77);
    ck_assert_uint_eq(d.gpa, 0xb8011);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64IoPortAccess); /* one exit for the whole string */
    ck_assert_uint_eq(c.x.IoPortAccess.Rcx, 3);
    ck_assert_uint_eq(client_emulate(e, &d).AsUINT32, 1);
    ck_assert_uint_eq(d.outs, 3);
    ck_assert_uint_ge(d.ram_reads, 1); /* memory's side too goes through the callbacks */
    ck_assert_uint_eq(d.data, 'c');
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
    ck_ok(WHvEmulatorDestroyEmulator(e));
}
END_TEST

TCase *client_qemu_case(void)
{
    TCase *t = tcase_create("client-qemu");

    tcase_add_test(t, qemu_asks_for_whole_unions_and_gets_natural_sizes);
    tcase_add_test(t, qemu_kicks_from_its_own_thread_before_a_run);
    tcase_add_test(t, qemu_asks_for_a_window_once_and_injects_when_it_opens);
    tcase_add_test(t, qemu_keeps_cr8_as_the_task_priority_both_ways);
    tcase_add_test(t, qemu_moves_all_registers_in_one_batch);
    tcase_add_test(t, qemu_finds_rip_behind_a_halt_and_goes_on_without_an_interrupt);
    tcase_add_test(t, qemu_completes_unknown_msrs_with_zero);
    tcase_add_test(t, qemu_answers_its_leaves_and_no_other);
    tcase_add_test(t, qemu_resets_a_guest_by_registers_after_a_triple_fault);
    tcase_add_test(t, qemu_suspends_time_to_set_the_tsc);
    tcase_add_test(t, qemu_debugs_by_properties_that_change_after_setup);
    tcase_add_test(t, qemu_maps_rom_without_write_and_emulates_what_is_written);
    tcase_add_test(t, qemu_hands_translations_of_device_memory_to_the_emulator);
    return t;
}
