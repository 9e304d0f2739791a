/* SPDX-License-Identifier: MIT */
/* virt86, wtf and applepie: they step, set breakpoints, watch pages, and take a cancel for a timeout. */
#include <pthread.h>
#include <unistd.h>

#include "tests/whp/client.h"

#define REG(name) WHvX64Register##name
#define PROP(name) WHvPartitionPropertyCode##name
enum { TF = 0x100, DB = 1, BP = 3, PF = 14, WHOLE = sizeof(WHV_PARTITION_PROPERTY) };

/* ---- virt86 ---- */

static void open_virt86(struct client *c, u64 vectors)
{
    static const u32 leaves[] = { 0x15 };
    static const WHV_X64_CPUID_RESULT result = { .Function = 0x40000000, .Ebx = 0x54524956 };

    client_partition(c, 1);
    client_property(c, EXITS, EXIT_CPUID | EXIT_MSR | EXIT_EXCEPTION, 8);
    client_property(c, VECTORS, vectors, 8);
    ck_ok(WHvSetPartitionProperty(c->p, PROP(CpuidExitList), leaves, sizeof leaves));
    ck_ok(WHvSetPartitionProperty(c->p, PROP(CpuidResultList), &result, sizeof result));
}

START_TEST(virt86_corrects_the_reset_state)
{
    WHV_REGISTER_NAME name = REG(Cs);
    WHV_REGISTER_VALUE v;
    WHV_CPUID_OUTPUT out;
    struct client c;

    open_virt86(&c, 0);
    ck_ok(WHvSetupPartition(c.p));
    ck_ok(WHvCreateVirtualProcessor(c.p, 0, 0));
    ck_ok(WHvGetVirtualProcessorRegisters(c.p, 0, &name, 1, &v));
    ck_assert_uint_eq(v.Segment.Selector, 0xf000);
    ck_assert_uint_eq(v.Segment.Base, 0xf0000); /* it expects that, and writes ffff0000 */
    ck_ok(WHvGetVirtualProcessorCpuidOutput(c.p, 0, 1, 0, &out));
    ck_assert_uint_eq(client_get(&c, REG(Rdx)), out.Eax);
    v.Segment.Base = 0xffff0000;
    ck_ok(WHvSetVirtualProcessorRegisters(c.p, 0, &name, 1, &v));
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonMemoryAccess);
    ck_assert_uint_eq(c.x.MemoryAccess.Gpa, 0xfffffff0);
    client_stop(&c);
}
END_TEST

START_TEST(virt86_steps_by_the_trap_flag)
{
    struct client c;

    open_virt86(&c, 1 << DB);
    CLIENT_START(&c, 0x90, 0xb0, 0x01, 0x90); /* nop; mov al, 1; nop */
    client_set(&c, REG(Rflags), 2 | TF);
    for (u32 at = 1; at <= 4; at += at == 1 ? 2 : 1) {
        ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonException);
        ck_assert_uint_eq(c.x.VpException.ExceptionType, DB);
        ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE + at);
        ck_assert_uint_eq(c.x.VpException.ExceptionParameter >> 14 & 1, 1);
    }
    client_stop(&c);
}
END_TEST

START_TEST(virt86_has_hardware_breakpoints)
{
    struct client c;

    open_virt86(&c, 1 << DB);
    CLIENT_START(&c, 0xa2, 0x00, 0x90, 0x90, 0xe6, 0x90); /* mov [9000], al; nop; out 90 */
    client_set(&c, REG(Dr1), 0x9000);
    client_set(&c, REG(Dr7), 1 << 2 | 1 << 20); /* writes of a byte */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonException);
    ck_assert_uint_eq(c.x.VpException.ExceptionType, DB);
    ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE + 3); /* a trap: behind it */
    ck_assert_uint_eq(c.x.VpException.ExceptionParameter & 15, 2);
    client_set(&c, REG(Dr7), 0);
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
}
END_TEST

START_TEST(virt86_changes_rights_by_mapping_again)
{
    struct client c;

    open_virt86(&c, 0);
    CLIENT_START(&c, 0xa2, 0x00, 0x90, 0xe6, 0x90);
    ck_ok(WHvMapGpaRange(c.p, c.ram + 0x9000, 0x9000, 0x1000, WHvMapGpaRangeFlagRead));
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonMemoryAccess);
    ck_ok(WHvMapGpaRange(c.p, c.ram + 0x9000, 0x9000, 0x1000, (WHV_MAP_GPA_RANGE_FLAGS)15));
    ck_assert_uint_eq(client_port(&c), 0x90);
    u64 bits = 0;
    ck_ok(WHvQueryGpaRangeDirtyBitmap(c.p, 0x9000, 0x1000, &bits, 8));
    ck_assert_uint_eq(bits, 1);
    client_stop(&c);
}
END_TEST

START_TEST(virt86_injects_when_the_window_opens)
{
    struct client c;

    open_virt86(&c, 0);
    CLIENT_START(&c, 0xfb, 0x90, 0xe6, 0x90);
    client_set(&c, REG(DeliverabilityNotifications), 2);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64InterruptWindow);
    client_set(&c, WHvRegisterPendingInterruption, 1 | 0x33 << 16);
    ck_assert_uint_eq(client_port(&c), 0x33);
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
}
END_TEST

/* ---- wtf: a snapshot of a long-mode kernel, set in one batch ---- */

static void open_wtf(struct guest *g, struct client *c, const void *code, size_t size)
{
    client_partition(c, 1);
    client_property(c, EXITS, EXIT_EXCEPTION, WHOLE);
    client_property(c, VECTORS, 1 << 0 | 1 << DB | 1 << BP, WHOLE);
    ck_ok(WHvSetupPartition(c->p));
    guest_open_in(g, c->p, GUEST_LONG, code, size);
}
#define OPEN_WTF(g, c, ...) open_wtf(g, c, (const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))

START_TEST(wtf_sets_a_long_mode_state_in_one_batch)
{
    static const WHV_REGISTER_NAME names[] = { REG(Rip),          REG(Rflags), REG(Cr0),   REG(Cr3),    REG(Cr4),
                                               REG(Efer),         REG(Cs),     REG(Ss),    REG(Tr),     REG(Gs),
                                               REG(KernelGsBase), REG(Lstar),  REG(Star),  REG(Sfmask), REG(XCr0),
                                               REG(Cr8),          REG(Pat),    REG(TscAux) };
    enum { COUNT = sizeof names / sizeof *names };
    WHV_REGISTER_VALUE v[COUNT], real[COUNT];
    struct client c;
    struct guest g;

    OPEN_WTF(&g, &c, 0xe6, 0x90);
    ck_ok(WHvGetVirtualProcessorRegisters(c.p, 0, names, COUNT, v));
    ck_ok(WHvResetPartition(c.p));
    ck_ok(WHvGetVirtualProcessorRegisters(c.p, 0, names, COUNT, real));
    ck_assert_uint_eq(real[5].Reg64, 0);
    ck_ok(WHvSetVirtualProcessorRegisters(c.p, 0, names, COUNT, v)); /* from real mode, in whatever order */
    ck_assert_uint_eq(client_port(&c), 0x90);
    ck_assert_uint_eq(c.x.VpContext.ExecutionState.EferLma, 1);
    guest_close(&g);
}
END_TEST

START_TEST(wtf_traps_writes_to_single_pages_of_a_large_mapping)
{
    struct client c;
    struct guest g;

    OPEN_WTF(&g, &c, 0xc6, 0x04, 0x25, 0x10, 0x00, 0x02, 0x00, 1, 0xe6, 0x90); /* mov byte [20010], 1; out 90 */
    ck_ok(WHvMapGpaRange(c.p, g.memory + 0x20000, 0x20000, 0x1000, WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagExecute));
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonMemoryAccess);
    ck_assert_uint_eq(c.x.MemoryAccess.AccessInfo.GpaUnmapped, 0);
    ck_assert_uint_eq(c.x.MemoryAccess.AccessInfo.AccessType, WHvMemoryAccessWrite);
    ck_assert_uint_eq(c.x.MemoryAccess.Gpa, 0x20010);
    ck_assert_uint_eq(c.x.MemoryAccess.AccessInfo.GvaValid, 1);
    ck_assert_uint_eq(c.x.MemoryAccess.Gva, 0x20010);
    ck_assert_uint_eq(g.memory[0x20010], 0);
    ck_ok(WHvMapGpaRange(c.p, g.memory + 0x20000, 0x20000, 0x1000, (WHV_MAP_GPA_RANGE_FLAGS)7));
    ck_assert_uint_eq(client_port(&c), 0x90);
    ck_assert_uint_eq(g.memory[0x20010], 1);
    guest_close(&g);
}
END_TEST

/* It brings a page that the guest has paged out by making the guest's own #PF: through PendingEvent, CR2 with it. */
START_TEST(wtf_gives_the_guest_a_page_fault)
{
    WHV_REGISTER_NAME names[2] = { WHvRegisterPendingEvent, REG(Idtr) };
    WHV_REGISTER_VALUE v[2];
    struct client c;
    struct guest g;

    OPEN_WTF(&g, &c, 0x90, 0xe6, 0x90, 0xe6, 0x91); /* the handler is the second OUT */
    store_bytes(g.memory + 0x30000 + PF * 16, (u64)(GUEST_CODE + 3) | 24 << 16 | 0x8e00ull << 32, 8);
    memset(v, 0, sizeof v);
    v[0].ExceptionEvent.EventPending = 1;
    v[0].ExceptionEvent.EventType = WHvX64PendingEventException;
    v[0].ExceptionEvent.DeliverErrorCode = 1;
    v[0].ExceptionEvent.Vector = PF;
    v[0].ExceptionEvent.ErrorCode = 2;
    v[0].ExceptionEvent.ExceptionParameter = 0x123456789000;
    v[1].Table.Base = 0x30000;
    v[1].Table.Limit = 0xfff;
    ck_ok(WHvSetVirtualProcessorRegisters(c.p, 0, names, 2, v));
    ck_assert_uint_eq(client_port(&c), 0x91);
    ck_assert_uint_eq(client_get(&c, REG(Cr2)), 0x123456789000);
    ck_assert_uint_eq(load_bytes(g.memory + GUEST_STACK - 48, 8), 2); /* the error code */
    guest_close(&g);
}
END_TEST

START_TEST(wtf_breaks_by_int3_and_steps_over_it)
{
    struct client c;
    struct guest g;

    OPEN_WTF(&g, &c, 0x90, 0xcc, 0x90, 0xe6, 0x90); /* nop; int3 over a nop; nop; out 90 */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonException);
    ck_assert_uint_eq(c.x.VpException.ExceptionType, BP);
    ck_assert_uint_eq(c.x.VpContext.Rip, GUEST_CODE + 1); /* it looks the address up in its table */
    ck_assert_uint_eq(c.x.VpException.ExceptionInfo.SoftwareException, 1);
    g.memory[GUEST_CODE + 1] = 0x90; /* takes it out, steps, puts it back */
    client_set(&c, REG(Rflags), client_get(&c, REG(Rflags)) | TF);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonException);
    ck_assert_uint_eq(c.x.VpException.ExceptionType, DB);
    ck_assert_uint_eq(c.x.VpContext.Rip, GUEST_CODE + 2);
    client_set(&c, REG(Rflags), client_get(&c, REG(Rflags)) & ~(u64)TF);
    client_set(&c, REG(PendingDebugException), 0);
    g.memory[GUEST_CODE + 1] = 0xcc;
    client_set(&c, WHvRegisterInterruptState, 0);
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_set(&c, REG(Rip), GUEST_CODE); /* the next test case */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonException);
    guest_close(&g);
}
END_TEST

START_TEST(wtf_masks_the_translation_itself)
{
    WHV_TRANSLATE_GVA_RESULT result;
    struct client c;
    struct guest g;
    u64 gpa = 0;

    OPEN_WTF(&g, &c, 0xf4);
    ck_ok(WHvTranslateGva(c.p, 0, 0x20abc, WHvTranslateGvaFlagValidateRead | WHvTranslateGvaFlagPrivilegeExempt,
                          &result, &gpa));
    ck_assert_uint_eq(result.ResultCode, WHvTranslateGvaResultSuccess);
    ck_assert_uint_eq(gpa & ~(u64)0xfff, 0x20000);
    gpa = 77;
    ck_ok(WHvTranslateGva(c.p, 0, 0x7fff00000000, WHvTranslateGvaFlagValidateRead, &result, &gpa));
    ck_assert_uint_eq(result.ResultCode, WHvTranslateGvaResultPageNotPresent);
    guest_close(&g);
}
END_TEST

/* ---- applepie ---- */

/* Everything that Bochs and the processor carry between them: MTRRs and the APIC's names too. */
START_TEST(applepie_saves_and_loads_everything)
{
    /* the APIC's names aren't there without one, and it asks again without them */
    static const u32 ranges[][2] = { { 0, 0x2095 }, { REG(ApicId), REG(ApicVersion) },
                                     { WHvRegisterPendingInterruption, WHvRegisterInternalActivityState } };
    WHV_REGISTER_NAME names[300];
    WHV_REGISTER_VALUE v[300], back[300];
    struct client c;
    u32 n = 0;

    client_partition(&c, 1);
    client_property(&c, EXITS, EXIT_CPUID | EXIT_MSR | EXIT_EXCEPTION, 8);
    client_property(&c, VECTORS, 1 << DB, 8);
    CLIENT_START(&c, 0xf4);
    for (u32 r = 0; r < sizeof ranges / sizeof *ranges; r++)
        for (u32 name = ranges[r][0]; name <= ranges[r][1]; name++) {
            WHV_REGISTER_NAME one = (WHV_REGISTER_NAME)name;

            if (WHvGetVirtualProcessorRegisters(c.p, 0, &one, 1, v) == S_OK && name != REG(Tsc) &&
                name != REG(PredCmd) && name != REG(MCount) && name != REG(ACount) && name != REG(MsrMtrrCap))
                names[n++] = one;
        }
    ck_assert_uint_ge(n, 100);
    ck_assert_uint_eq((u32)names[n - 1], WHvRegisterInternalActivityState); /* events and all */
    ck_ok(WHvGetVirtualProcessorRegisters(c.p, 0, names, n, v));
    ck_ok(WHvSetVirtualProcessorRegisters(c.p, 0, names, n, v)); /* what was read may be written */
    ck_ok(WHvGetVirtualProcessorRegisters(c.p, 0, names, n, back));
    for (u32 i = 0; i < n; i++)
        ck_assert_msg(!memcmp(&v[i], &back[i], 16), "register %#x", (u32)names[i]);
    client_stop(&c);
}
END_TEST

/* Bochs writes memory too; what the guest wrote meanwhile is told by the dirty bits of all of it. */
START_TEST(applepie_asks_what_the_guest_wrote_in_all_of_memory)
{
    u64 bits[CLIENT_RAM / 4096 / 64 + 1] = { 0 };
    struct client c;

    client_partition(&c, 1);
    CLIENT_START(&c, 0xa2, 0x00, 0x90, 0x06, 0xf4); /* mov [9000], al; push es; hlt */
    ck_ok(WHvMapGpaRange(c.p, c.ram, 0, CLIENT_RAM, (WHV_MAP_GPA_RANGE_FLAGS)15));
    c.ram[0x4000] = 1; /* its own store */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64Halt);
    ck_ok(WHvQueryGpaRangeDirtyBitmap(c.p, 0, CLIENT_RAM, bits, sizeof bits));
    ck_assert_uint_eq(bits[0], 1 << 9 | 1 << 0);
    ck_ok(WHvQueryGpaRangeDirtyBitmap(c.p, 0, CLIENT_RAM, bits, sizeof bits));
    ck_assert_uint_eq(bits[0], 0);
    client_stop(&c);
}
END_TEST

START_TEST(applepie_wants_written_sizes_to_be_its_own)
{
    static const struct {
        WHV_CAPABILITY_CODE code;
        u32 size;
    } rows[] = { { WHvCapabilityCodeHypervisorPresent, 4 },    { WHvCapabilityCodeFeatures, 8 },
                 { WHvCapabilityCodeExtendedVmExits, 8 },      { WHvCapabilityCodeExceptionExitBitmap, 8 },
                 { WHvCapabilityCodeProcessorVendor, 4 },      { WHvCapabilityCodeProcessorFeatures, 8 },
                 { WHvCapabilityCodeProcessorClFlushSize, 1 }, { WHvCapabilityCodeProcessorXsaveFeatures, 8 } };
    u8 value[8];

    for (u32 i = 0; i < sizeof rows / sizeof *rows; i++) {
        u32 written = 0;

        ck_ok(WHvGetCapability(rows[i].code, value, rows[i].size, &written));
        ck_assert_uint_eq(written, rows[i].size);
    }
}
END_TEST

static int kicks;
static void *kick(void *context)
{
    for (int i = 0; i < 50; i++) {
        usleep(1000);
        if (FAILED(WHvCancelRunVirtualProcessor(context, 0, 0)))
            break;
        __atomic_fetch_add(&kicks, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

/* A helper's kicks at 1 kHz end each run, for the interpreter to have its turn. */
START_TEST(applepie_is_kicked_a_thousand_times_a_second)
{
    pthread_t thread;
    struct client c;
    int cancels = 0;

    client_partition(&c, 1);
    CLIENT_START(&c, 0xeb, 0xfe);
    ck_assert_int_eq(pthread_create(&thread, NULL, kick, c.p), 0);
    while (__atomic_load_n(&kicks, __ATOMIC_SEQ_CST) < 49 && client_run(&c) == WHvRunVpExitReasonCanceled)
        cancels++;
    pthread_join(thread, NULL);
    ck_assert_uint_eq((u32)c.x.ExitReason, WHvRunVpExitReasonCanceled);
    ck_assert_int_ge(cancels, 2); /* several before one run are one, and the machine may be busy */
    client_stop(&c);
}
END_TEST

TCase *client_debugger_case(void)
{
    TCase *t = tcase_create("client-debuggers");

    tcase_add_test(t, virt86_corrects_the_reset_state);
    tcase_add_test(t, virt86_steps_by_the_trap_flag);
    tcase_add_test(t, virt86_has_hardware_breakpoints);
    tcase_add_test(t, virt86_changes_rights_by_mapping_again);
    tcase_add_test(t, virt86_injects_when_the_window_opens);
    tcase_add_test(t, wtf_sets_a_long_mode_state_in_one_batch);
    tcase_add_test(t, wtf_traps_writes_to_single_pages_of_a_large_mapping);
    tcase_add_test(t, wtf_gives_the_guest_a_page_fault);
    tcase_add_test(t, wtf_breaks_by_int3_and_steps_over_it);
    tcase_add_test(t, wtf_masks_the_translation_itself);
    tcase_add_test(t, applepie_saves_and_loads_everything);
    tcase_add_test(t, applepie_asks_what_the_guest_wrote_in_all_of_memory);
    tcase_add_test(t, applepie_wants_written_sizes_to_be_its_own);
    tcase_add_test(t, applepie_is_kicked_a_thousand_times_a_second);
    return t;
}
