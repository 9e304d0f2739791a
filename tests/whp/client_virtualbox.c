/* SPDX-License-Identifier: MIT */
/* VirtualBox's native execution manager: it runs the guest in pieces and has an interpreter of its own for the rest. */
#include <sys/mman.h>

#include "tests/whp/client.h"

#define REG(name) WHvX64Register##name
#define PROP(name) WHvPartitionPropertyCode##name
enum { WHOLE = sizeof(WHV_PARTITION_PROPERTY), IF = 0x200 };

/* Properties in unions that were zero before; the line's size as it was told. */
static void open_virtualbox(struct client *c, u64 vectors)
{
    WHV_CAPABILITY cap;
    u32 size;

    ck_ok(WHvGetCapability(WHvCapabilityCodeExtendedVmExits, &cap, sizeof cap, &size));
    ck_assert(cap.ExtendedVmExits.X64CpuidExit && cap.ExtendedVmExits.X64MsrExit && cap.ExtendedVmExits.ExceptionExit);
    memset(&cap, 0, sizeof cap);
    ck_ok(WHvGetCapability(WHvCapabilityCodeProcessorClFlushSize, &cap, sizeof cap, &size));
    client_partition(c, 1);
    client_property(c, EXITS, EXIT_CPUID | EXIT_MSR | EXIT_EXCEPTION, WHOLE);
    client_property(c, PROP(ProcessorClFlushSize), cap.ProcessorClFlushSize, WHOLE);
    client_property(c, VECTORS, vectors, WHOLE);
    ck_ok(WHvGetCapability(WHvCapabilityCodeProcessorFeatures, &cap, sizeof cap, &size));
    client_property(c, PROP(ProcessorFeatures), cap.ProcessorFeatures.AsUINT64, WHOLE);
}

START_TEST(virtualbox_probes_all_capabilities_and_logs_those_that_answer)
{
    static const u32 ranges[][2] = { { 4, 0x10 }, { 0x1003, 0x1010 }, { 0x2000, 0x4010 } };
    u32 answered = 0;

    for (u32 r = 0; r < 3; r++)
        for (u32 code = ranges[r][0]; code < ranges[r][1]; code++) {
            WHV_CAPABILITY cap;
            u32 size = ~0u;
            HRESULT hr;

            memset(&cap, 0, sizeof cap);
            hr = WHvGetCapability((WHV_CAPABILITY_CODE)code, &cap, sizeof cap, &size);
            ck_assert(hr == S_OK || hr == WHV_E_UNKNOWN_CAPABILITY);
            ck_assert(hr || size <= sizeof cap);
            answered += hr == S_OK;
        }
    ck_assert_uint_ge(answered, 8);
}
END_TEST

START_TEST(virtualbox_lets_every_leaf_exit_where_there_is_no_list)
{
    static const u32 leaves[] = { 0, 1, 2, 0x15, 0x40000000, 0x80000002, 0x8fffffff };
    struct client c;

    open_virtualbox(&c, 1 << 1 | 1 << 3 | 1 << 6);
    CLIENT_START(&c, 0x0f, 0xa2, 0xeb, 0xfc); /* cpuid; again */
    for (u32 i = 0; i < 7; i++) {
        client_set(&c, REG(Rax), leaves[i]);
        ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64Cpuid);
        ck_assert_uint_eq(c.x.CpuidAccess.Rax, leaves[i]);
        client_skip(&c);
        ck_assert_uint_eq(c.x.VpContext.InstructionLength, 2);
    }
    client_stop(&c);
}
END_TEST

START_TEST(virtualbox_takes_no_msr_exit_from_user_code)
{
    WHV_REGISTER_NAME names[] = { REG(Cs), REG(Ss), REG(Cr0) };
    WHV_REGISTER_VALUE v[3];
    struct client c;

    open_virtualbox(&c, 1 << 13);
    CLIENT_START(&c, 0x0f, 0x32); /* rdmsr */
    memset(v, 0, sizeof v);
    v[0].Segment = (WHV_X64_SEGMENT_REGISTER){ .Limit = 0xffffffff, .Selector = 0x1b, .Attributes = 0xc0fb };
    v[1].Segment = (WHV_X64_SEGMENT_REGISTER){ .Limit = 0xffffffff, .Selector = 0x23, .Attributes = 0xc0f3 };
    v[2].Reg64 = 0x31;
    ck_ok(WHvSetVirtualProcessorRegisters(c.p, 0, names, 3, v));
    client_set(&c, REG(Rcx), 0x12345678);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonException); /* #GP, as it would inject itself */
    ck_assert_uint_eq(c.x.VpException.ExceptionType, 13);
    ck_assert_uint_eq(c.x.VpContext.ExecutionState.Cpl, 3);
    client_stop(&c);
}
END_TEST

START_TEST(virtualbox_finds_the_event_whose_delivery_it_interrupted)
{
    struct client c;

    open_virtualbox(&c, 0);
    CLIENT_START(&c, 0xcd, 0x55, 0xe6, 0x90); /* int 55; out 90 */
    ck_ok(WHvUnmapGpaRange(c.p, 0, 0x1000));  /* the vectors, and the stack */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonMemoryAccess);
    ck_assert_uint_eq(c.x.VpContext.ExecutionState.InterruptionPending, 1);
    ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE);

    WHV_REGISTER_VALUE v;
    WHV_REGISTER_NAME name = WHvRegisterPendingInterruption;
    ck_ok(WHvGetVirtualProcessorRegisters(c.p, 0, &name, 1, &v));
    ck_assert_uint_eq(v.PendingInterruption.InterruptionPending, 1);
    ck_assert_uint_eq(v.PendingInterruption.InterruptionType, 4); /* a software interrupt, as VMX numbers it */
    ck_assert_uint_eq(v.PendingInterruption.InterruptionVector, 0x55);
    ck_assert_uint_eq(v.PendingInterruption.InstructionLength, 2);

    ck_ok(WHvMapGpaRange(c.p, c.ram, 0, 0x1000, (WHV_MAP_GPA_RANGE_FLAGS)7));
    ck_ok(WHvSetVirtualProcessorRegisters(c.p, 0, &name, 1, &v)); /* writes it back; it is delivered again */
    ck_assert_uint_eq(client_port(&c), 0x55);
    ck_assert_uint_eq(client_port(&c), 0x90);
    ck_assert_uint_eq(client_get(&c, name), 0);

    client_set(&c, REG(Rip), CLIENT_CODE);
    ck_ok(WHvUnmapGpaRange(c.p, 0, 0x1000));
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonMemoryAccess);
    client_set(&c, name, 0); /* its own interpreter delivered it */
    client_set(&c, REG(Rip), CLIENT_CODE + 2);
    ck_assert_uint_eq(client_port(&c), 0x90);
    ck_assert_uint_eq(c.x.VpContext.ExecutionState.InterruptionPending, 0);
    client_stop(&c);
}
END_TEST

/* All that it moves between its context and the processor: events and MTRRs are in the same batch as the rest. */
START_TEST(virtualbox_moves_events_and_mtrrs_with_everything_else)
{
    static const u32 ranges[][2] = { { REG(Rax), REG(Dr7) },
                                     { REG(Xmm0), REG(XmmControlStatus) },
                                     { REG(Efer), REG(Sfmask) },
                                     { REG(MsrMtrrDefType), REG(MsrMtrrDefType) },
                                     { REG(MsrMtrrFix64k00000), REG(TscAux) },
                                     { WHvRegisterPendingInterruption, WHvRegisterInterruptState } };
    WHV_REGISTER_NAME names[128];
    WHV_REGISTER_VALUE v[128], back[128];
    struct client c;
    u32 n = 0;

    for (u32 r = 0; r < sizeof ranges / sizeof *ranges; r++)
        for (u32 name = ranges[r][0]; name <= ranges[r][1]; name++)
            names[n++] = (WHV_REGISTER_NAME)name;
    open_virtualbox(&c, 0);
    CLIENT_START(&c, 0xe6, 0x90);
    ck_ok(WHvGetVirtualProcessorRegisters(c.p, 0, names, n, v));
    v[n - 1].Reg64 = 3; /* a shadow, and NMIs masked */
    for (u32 i = 0; i < n; i++)
        if (names[i] == REG(MsrMtrrFix64k00000))
            v[i].Reg64 = 0x0606060606060606;
    ck_ok(WHvSetVirtualProcessorRegisters(c.p, 0, names, n, v));
    ck_ok(WHvGetVirtualProcessorRegisters(c.p, 0, names, n, back));
    for (u32 i = 0; i < n; i++)
        ck_assert_msg(!memcmp(&v[i], &back[i], 16), "register %#x doesn't come back", (u32)names[i]);
    v[n - 2].Reg64 = 1 | 0x33 << 16; /* an interrupt, with which the shadow has to go */
    v[n - 1].Reg64 = 0;
    ck_ok(WHvSetVirtualProcessorRegisters(c.p, 0, names, n, v));
    ck_assert_uint_eq(client_port(&c), 0x33);
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
}
END_TEST

/* The screen's memory, a page at a time or all of it. */
START_TEST(virtualbox_asks_what_was_drawn)
{
    u64 bits[2] = { ~(u64)0, ~(u64)0 };
    struct client c;

    open_virtualbox(&c, 0);
    CLIENT_START(&c, 0xa2, 0x00, 0x90, 0xe6, 0x90, 0xa2, 0xff, 0xaf, 0xe6, 0x91); /* mov [9000], al; mov [afff], al */
    ck_ok(WHvMapGpaRange(c.p, c.ram + 0x8000, 0x8000, 0x4000, (WHV_MAP_GPA_RANGE_FLAGS)15));
    ck_assert_uint_eq(client_port(&c), 0x90);
    ck_ok(WHvQueryGpaRangeDirtyBitmap(c.p, 0x9000, 0x1000, bits, 8));
    ck_assert_uint_eq(bits[0], 1);
    ck_assert_uint_eq(bits[1], ~(u64)0); /* as much as its size */
    ck_assert_uint_eq(client_port(&c), 0x91);
    ck_ok(WHvQueryGpaRangeDirtyBitmap(c.p, 0x8000, 0x4000, bits, 8));
    ck_assert_uint_eq(bits[0], 4);
    ck_ok(WHvQueryGpaRangeDirtyBitmap(c.p, 0x8000, 0x4000, NULL, 0)); /* to begin anew */
    client_stop(&c);
}
END_TEST

START_TEST(virtualbox_ends_the_shadow_of_what_it_completed)
{
    struct client c;

    open_virtualbox(&c, 0);
    CLIENT_START(&c, 0xfb, 0xe6, 0x90, 0x90); /* sti; out 90; nop */
    ck_assert_uint_eq(client_port(&c), 0x90);
    ck_assert_uint_eq(c.x.VpContext.ExecutionState.InterruptShadow, 1);
    ck_assert_uint_eq(client_get(&c, WHvRegisterInterruptState), 1);
    client_set(&c, WHvRegisterInterruptState, 0);
    client_set(&c, REG(DeliverabilityNotifications), 2); /* rearmed at every run */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64InterruptWindow);
    ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE + 3); /* at once */
    client_set(&c, REG(DeliverabilityNotifications), 2);
    client_set(&c, REG(DeliverabilityNotifications), 0); /* and taken back */
    ck_ok(WHvCancelRunVirtualProcessor(c.p, 0, 0));
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonCanceled);
    client_stop(&c);
}
END_TEST

START_TEST(virtualbox_meets_a_late_cancel_at_the_next_run)
{
    struct client c;

    open_virtualbox(&c, 0);
    CLIENT_START(&c, 0xe6, 0x90, 0xe6, 0x91);
    ck_assert_uint_eq(client_port(&c), 0x90); /* the exit won */
    ck_ok(WHvCancelRunVirtualProcessor(c.p, 0, 0));
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonCanceled);
    ck_assert_uint_eq(client_port(&c), 0x91);
    client_stop(&c);
}
END_TEST

/* A quarter of a gigabyte, page by page, with other rights here and there, and away again. */
START_TEST(virtualbox_maps_page_by_page)
{
    enum { PAGES = 65536 };
    struct client c;
    u8 *all =
        mmap(NULL, (size_t)PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    ck_assert_ptr_ne(all, MAP_FAILED);
    open_virtualbox(&c, 0);
    CLIENT_START(&c, 0xf4);
    for (u32 i = 0; i < PAGES; i++) {
        WHV_MAP_GPA_RANGE_FLAGS rights = (WHV_MAP_GPA_RANGE_FLAGS)(i % 7 ? 7 : 5);

        ck_ok(WHvMapGpaRange(c.p, all + (size_t)(PAGES - 1 - i) * 4096, 0x10000000 + (u64)i * 4096, 4096, rights));
    }
    for (u32 i = 0; i < PAGES; i += 2)
        ck_ok(WHvUnmapGpaRange(c.p, 0x10000000 + (u64)i * 4096, 4096));
    for (u32 i = 0; i < PAGES; i += 2) /* it tolerates a failure here */
        ck_hr(WHvUnmapGpaRange(c.p, 0x10000000 + (u64)i * 4096, 4096), WHV_E_GPA_RANGE_NOT_FOUND);
    client_stop(&c);
    munmap(all, (size_t)PAGES * 4096);
}
END_TEST

START_TEST(virtualbox_treats_an_impossible_state_as_an_exit)
{
    struct client c;

    open_virtualbox(&c, 0);
    CLIENT_START(&c, 0xf4);
    client_set(&c, REG(Cr0), 0x80000010); /* PG without PE: Set takes it */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonInvalidVpRegisterValue);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonInvalidVpRegisterValue);
    client_set(&c, REG(Cr0), 0x10);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64Halt);
    client_stop(&c);
}
END_TEST

START_TEST(virtualbox_is_refused_x2apic_in_xapic_mode)
{
    struct client c;

    open_virtualbox(&c, 0);
    client_property(&c, PROP(LocalApicEmulationMode), WHvX64LocalApicEmulationModeXApic, WHOLE);
    CLIENT_START(&c, 0xf4);
    ck_hr(client_try(&c, REG(ApicBase), 0xfee00d00), (HRESULT)0xC0350005u);
    client_set(&c, REG(ApicBase), 0xfee00900);
    client_stop(&c);
}
END_TEST

TCase *client_virtualbox_case(void)
{
    TCase *t = tcase_create("client-virtualbox");

    tcase_add_test(t, virtualbox_probes_all_capabilities_and_logs_those_that_answer);
    tcase_add_test(t, virtualbox_lets_every_leaf_exit_where_there_is_no_list);
    tcase_add_test(t, virtualbox_takes_no_msr_exit_from_user_code);
    tcase_add_test(t, virtualbox_finds_the_event_whose_delivery_it_interrupted);
    tcase_add_test(t, virtualbox_moves_events_and_mtrrs_with_everything_else);
    tcase_add_test(t, virtualbox_asks_what_was_drawn);
    tcase_add_test(t, virtualbox_ends_the_shadow_of_what_it_completed);
    tcase_add_test(t, virtualbox_meets_a_late_cancel_at_the_next_run);
    tcase_add_test(t, virtualbox_maps_page_by_page);
    tcase_add_test(t, virtualbox_treats_an_impossible_state_as_an_exit);
    tcase_add_test(t, virtualbox_is_refused_x2apic_in_xapic_mode);
    return t;
}
