/* SPDX-License-Identifier: MIT */
/* Simpleator, winevdm and sogen: a program without its kernel, whose calls into it are exits. */
#include <sys/mman.h>

#include "tests/whp/client.h"

#define REG(name) WHvX64Register##name
enum { WHOLE = sizeof(WHV_PARTITION_PROPERTY) };

/* Ring 3 in long mode: the processor count is all that Simpleator sets. */
static void open_user(struct guest *g, struct client *c, u64 exits, u64 vectors, const void *code, size_t size)
{
    static const WHV_REGISTER_NAME names[] = { REG(Cs), REG(Ss), REG(Cr3) };
    WHV_REGISTER_VALUE v[3];

    client_partition(c, 1);
    if (exits) {
        client_property(c, EXITS, exits, WHOLE);
        client_property(c, VECTORS, vectors, WHOLE);
    }
    ck_ok(WHvSetupPartition(c->p));
    guest_open_in(g, c->p, GUEST_LONG, code, size);
    ck_ok(WHvGetVirtualProcessorRegisters(c->p, 0, names, 3, v));
    v[0].Segment.Selector = 0x33, v[0].Segment.Attributes = 0xa0fb;
    v[1].Segment.Selector = 0x2b, v[1].Segment.Attributes = 0xc0f3;
    ck_ok(WHvSetVirtualProcessorRegisters(c->p, 0, names, 3, v));
}
#define OPEN_USER(g, c, exits, vectors, ...)                                                                           \
    open_user(g, c, exits, vectors, (const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))

START_TEST(simpleator_has_system_calls_leave_at_an_unmapped_page)
{
    struct client c;
    struct guest g;

    OPEN_USER(&g, &c, 0, 0, 0xb8, 0x18, 0, 0, 0, 0x0f, 0x05, 0x90); /* mov eax, 18; syscall */
    client_set(&c, REG(Lstar), 0x8000000); /* mapped by the guest's tables, and by nobody else */
    client_set(&c, REG(Star), 0x0023001000000000);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonMemoryAccess);
    ck_assert_uint_eq(c.x.MemoryAccess.AccessInfo.AccessType, WHvMemoryAccessExecute);
    ck_assert_uint_eq(c.x.MemoryAccess.AccessInfo.GpaUnmapped, 1);
    ck_assert_uint_eq(c.x.VpContext.Rip, 0x8000000);
    ck_assert_uint_eq(c.x.MemoryAccess.Gva, 0x8000000);
    ck_assert_uint_eq(client_get(&c, REG(Rcx)), GUEST_CODE + 7);
    ck_assert_uint_eq(client_get(&c, REG(Rax)), 0x18);
    guest_close(&g);
}
END_TEST

/* There is no IDT that holds anything: a fault is an exit in its delivery. It looks, and drops the event. */
START_TEST(simpleator_reads_the_event_out_of_the_exit_and_drops_it)
{
    WHV_REGISTER_NAME names[2] = { WHvRegisterPendingInterruption, REG(Idtr) };
    WHV_REGISTER_VALUE v[2];
    struct client c;
    struct guest g;

    OPEN_USER(&g, &c, 0, 0, 0x0f, 0x0b, 0x0f, 0x05); /* ud2; syscall */
    memset(v, 0, sizeof v);
    v[1].Table.Base = 0x8000000;
    v[1].Table.Limit = 0xfff;
    ck_ok(WHvSetVirtualProcessorRegisters(c.p, 0, &names[1], 1, &v[1]));
    client_set(&c, REG(Lstar), 0x9000000);
    client_set(&c, REG(Star), 0x0023001000000000);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonMemoryAccess);
    ck_assert_uint_eq(c.x.VpContext.ExecutionState.InterruptionPending, 1);
    ck_assert_uint_eq(c.x.MemoryAccess.Gpa, 0x8000000 + 6 * 16);
    ck_ok(WHvGetVirtualProcessorRegisters(c.p, 0, names, 1, v));
    ck_assert_uint_eq(v[0].PendingInterruption.InterruptionPending, 1);
    ck_assert_uint_eq(v[0].PendingInterruption.InterruptionVector, 6);
    client_set(&c, WHvRegisterPendingInterruption, 0);
    client_set(&c, REG(Rip), GUEST_CODE + 2);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonMemoryAccess); /* the system call */
    ck_assert_uint_eq(c.x.VpContext.Rip, 0x9000000);
    ck_assert_uint_eq(c.x.VpContext.ExecutionState.InterruptionPending, 0);
    guest_close(&g);
}
END_TEST

/* ---- winevdm: DOS programs; guest-physical addresses are the process's, HLTs are its interrupt vectors ---- */

START_TEST(winevdm_tells_the_interrupt_by_the_halt_that_it_ran_into)
{
    struct client c;

    client_partition(&c, 1);                  /* that is all: no exit needs to be asked for */
    CLIENT_START(&c, 0xcd, 0x21, 0xe6, 0x90); /* int 21; out 90 */
    memset(c.ram + 0xe000, 0xf4, 256);
    for (u32 v = 0; v < 256; v++)
        store_bytes(c.ram + v * 4, 0xe000u + v, 4); /* 0000:e000 + vector */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(((u32)c.x.VpContext.Rip & 0xff) - 1, 0x21); /* so RIP must be behind it */
    client_stand(&c, 0, CLIENT_CODE + 2);
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
}
END_TEST

START_TEST(winevdm_does_a_whole_string_at_one_exit)
{
    struct client c;

    client_partition(&c, 1);
    CLIENT_START(&c, 0xf3, 0x6c, 0xe6, 0x90); /* rep insb; out 90 */
    client_set(&c, REG(Rdx), 0x3c5);
    client_set(&c, REG(Rcx), 5);
    client_set(&c, REG(Rdi), 0x9000);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64IoPortAccess);
    ck_assert_uint_eq(c.x.IoPortAccess.AccessInfo.StringOp, 1);
    ck_assert_uint_eq(c.x.IoPortAccess.AccessInfo.RepPrefix, 1);
    ck_assert_uint_eq(c.x.IoPortAccess.AccessInfo.IsWrite, 0);
    ck_assert_uint_eq(c.x.IoPortAccess.Rcx, 5);
    ck_assert_uint_eq(c.x.IoPortAccess.Rdi, 0x9000);
    memset(c.ram + c.x.IoPortAccess.Es.Base + 0x9000, 0x44, 2);
    client_set(&c, REG(Rcx), 3); /* a few, and again */
    client_set(&c, REG(Rdi), 0x9002);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64IoPortAccess);
    ck_assert_uint_eq(c.x.IoPortAccess.Rcx, 3);
    memset(c.ram + 0x9002, 0x44, 3);
    client_set(&c, REG(Rcx), 0);
    client_set(&c, REG(Rdi), 0x9005);
    client_skip(&c);
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
}
END_TEST

START_TEST(winevdm_takes_far_calls_to_unmapped_pages_for_calls_of_its_own)
{
    struct client c;

    client_partition(&c, 1);
    CLIENT_START(&c, 0x9a, 0x34, 0x00, 0x00, 0x80, 0xe6, 0x90); /* call 8000:0034; out 90 */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonMemoryAccess);
    ck_assert_uint_eq(c.x.MemoryAccess.AccessInfo.AccessType, WHvMemoryAccessExecute);
    ck_assert_uint_eq(c.x.VpContext.Cs.Selector, 0x8000);
    ck_assert_uint_eq(c.x.VpContext.Rip, 0x34);
    ck_assert_uint_eq(load_bytes(c.ram + CLIENT_STACK - 4, 2), CLIENT_CODE + 5); /* where it returns to */
    client_stand(&c, 0, CLIENT_CODE + 5);
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
}
END_TEST

/* Its memory is where the process has it, below 4 GiB: a pointer is the same on both sides. */
START_TEST(winevdm_maps_its_memory_where_the_process_has_it)
{
    static const WHV_REGISTER_NAME names[] = { REG(Cs), REG(Ss), REG(Ds), REG(Es), REG(Cr0), REG(Rip), REG(Rsi) };
    WHV_REGISTER_VALUE v[7];
    struct client c;
    u8 *low = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

    ck_assert_ptr_ne(low, MAP_FAILED);
    client_partition(&c, 1);
    ck_ok(WHvSetupPartition(c.p));
    ck_ok(WHvMapGpaRange(c.p, low, (u64)(uintptr_t)low, 0x10000, (WHV_MAP_GPA_RANGE_FLAGS)7));
    ck_ok(WHvCreateVirtualProcessor(c.p, 0, 0));
    memcpy(low, "\x66\xc7\x06\x34\x12\xf4", 6); /* mov word [esi], 1234; hlt */
    memset(v, 0, sizeof v);
    for (u32 i = 0; i < 4; i++) {
        v[i].Segment.Limit = 0xffffffff;
        v[i].Segment.Selector = i ? 16 : 8;
        v[i].Segment.Attributes = i ? 0xc093 : 0xc09b;
    }
    v[4].Reg64 = 0x11;
    v[5].Reg64 = (u64)(uintptr_t)low;
    v[6].Reg64 = (u64)(uintptr_t)(low + 0x8000);
    ck_ok(WHvSetVirtualProcessorRegisters(c.p, 0, names, 7, v));
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64Halt);
    ck_assert_uint_eq(load_bytes(low + 0x8000, 2), 0x1234);
    client_stop(&c);
    munmap(low, 0x10000);
}
END_TEST

START_TEST(winevdm_asks_for_a_window_and_injects_a_timer)
{
    struct client c;

    client_partition(&c, 1);
    CLIENT_START(&c, 0xfa, 0x90, 0xfb, 0x90, 0xe6, 0x90); /* cli; nop; sti; nop; out 90 */
    client_set(&c, REG(DeliverabilityNotifications), 2);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64InterruptWindow);
    client_set(&c, WHvRegisterPendingInterruption, 1 | 8 << 16);
    ck_assert_uint_eq(client_port(&c), 8);
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
}
END_TEST

/* ---- sogen ---- */

START_TEST(sogen_meets_the_width_of_physical_addresses)
{
    struct client c;
    u32 width = 0;

    client_partition(&c, 1);
    ck_ok(WHvSetupPartition(c.p));
    ck_ok(WHvGetPartitionProperty(c.p, WHvPartitionPropertyCodePhysicalAddressWidth, &width, 4, NULL));
    ck_assert_uint_ge(width, 36);
    static u8 page[8192] __attribute__((aligned(4096)));
    ck_ok(WHvMapGpaRange(c.p, page, ((u64)1 << width) - 4096, 4096, WHvMapGpaRangeFlagRead));
    ck_hr(WHvMapGpaRange(c.p, page, (u64)1 << width, 4096, WHvMapGpaRangeFlagRead), E_INVALIDARG);
    ck_hr(WHvMapGpaRange(c.p, page, ((u64)1 << width) - 4096, 8192, WHvMapGpaRangeFlagRead), E_INVALIDARG);
    client_stop(&c);
}
END_TEST

START_TEST(sogen_gets_every_exception_of_its_program)
{
    struct client c;
    struct guest g;

    OPEN_USER(&g, &c, EXIT_EXCEPTION | EXIT_CPUID | EXIT_MSR | EXIT_RDTSC,
              1 << 0 | 1 << 1 | 1 << 3 | 1 << 6 | 1 << 13 | 1 << 14, 0x48, 0xb8, 0, 0, 0, 0, 0, 0x7f, 0, 0, 0x8a,
              0x00,                    /* mov rax, 7f0000000000; mov al, [rax] */
              0x0f, 0x31, 0x0f, 0xa2); /* rdtsc; cpuid */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonException);
    ck_assert_uint_eq(c.x.VpException.ExceptionType, 14);
    ck_assert_uint_eq(c.x.VpException.ExceptionParameter, 0x7f0000000000);
    ck_assert_uint_eq(c.x.VpException.ErrorCode, 4);
    ck_assert_uint_eq(client_get(&c, REG(Cr2)), 0); /* not written yet */
    ck_assert_uint_eq(c.x.VpContext.Rip, GUEST_CODE + 10);
    client_set(&c, REG(Rip), GUEST_CODE + 12);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64Rdtsc);
    ck_assert_uint_eq(c.x.ReadTsc.RdtscInfo.IsRdtscp, 0);
    client_skip(&c);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64Cpuid);
    guest_close(&g);
}
END_TEST

START_TEST(sogen_moves_xsave_by_type)
{
    static u8 area[8192];
    struct client c;
    u32 size = 0;

    client_partition(&c, 1);
    CLIENT_START(&c, 0xf4);
    client_set(&c, REG(Xmm1), 0x55);
    ck_hr(WHvGetVirtualProcessorState(c.p, 0, WHvVirtualProcessorStateTypeXsaveState, NULL, 0, &size),
          WHV_E_INSUFFICIENT_BUFFER);
    ck_ok(WHvGetVirtualProcessorState(c.p, 0, WHvVirtualProcessorStateTypeXsaveState, area, size, &size));
    client_set(&c, REG(Xmm1), 0);
    ck_ok(WHvSetVirtualProcessorState(c.p, 0, WHvVirtualProcessorStateTypeXsaveState, area, size));
    ck_assert_uint_eq(client_get(&c, REG(Xmm1)), 0x55);
    client_stop(&c);
}
END_TEST

START_TEST(sogen_steps_by_a_pending_debug_exception)
{
    struct client c;
    struct guest g;

    OPEN_USER(&g, &c, EXIT_EXCEPTION, 1 << 1, 0x90, 0x90);
    client_set(&c, REG(Rflags), 0x102);
    client_set(&c, REG(PendingDebugException), 1 << 4); /* a step that is due */
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonException);
    ck_assert_uint_eq(c.x.VpContext.Rip, GUEST_CODE); /* before anything is executed */
    client_set(&c, REG(PendingDebugException), 0);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonException);
    ck_assert_uint_eq(c.x.VpContext.Rip, GUEST_CODE + 1);
    guest_close(&g);
}
END_TEST

TCase *client_user_case(void)
{
    TCase *t = tcase_create("client-user");

    tcase_add_test(t, simpleator_has_system_calls_leave_at_an_unmapped_page);
    tcase_add_test(t, simpleator_reads_the_event_out_of_the_exit_and_drops_it);
    tcase_add_test(t, winevdm_tells_the_interrupt_by_the_halt_that_it_ran_into);
    tcase_add_test(t, winevdm_does_a_whole_string_at_one_exit);
    tcase_add_test(t, winevdm_takes_far_calls_to_unmapped_pages_for_calls_of_its_own);
    tcase_add_test(t, winevdm_maps_its_memory_where_the_process_has_it);
    tcase_add_test(t, winevdm_asks_for_a_window_and_injects_a_timer);
    tcase_add_test(t, sogen_meets_the_width_of_physical_addresses);
    tcase_add_test(t, sogen_gets_every_exception_of_its_program);
    tcase_add_test(t, sogen_moves_xsave_by_type);
    tcase_add_test(t, sogen_steps_by_a_pending_debug_exception);
    return t;
}
