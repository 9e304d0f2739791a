/* SPDX-License-Identifier: MIT */
/* QEMU to 10 with its interrupt controllers in the kernel: the APIC is the platform's, PIC and IOAPIC are QEMU's. */
#include "tests/whp/client.h"

#define REG(name) WHvX64Register##name

START_TEST(qemu_gives_the_pics_interrupt_to_a_halted_processor)
{
    struct client c;

    client_open_qemu(&c, WHvX64LocalApicEmulationModeXApic);
    CLIENT_START(&c, 0xfb, 0x90, 0xe6, 0x8f, 0xf4, 0xe6, 0x91); /* sti; nop; out 8f; hlt; out 91 */
    ck_assert_uint_eq(client_port(&c), 0x8f);
    client_set(&c, WHvRegisterInternalActivityState, 2); /* as a halt that a cancel ended would leave it */
    client_set(&c, REG(Rip), CLIENT_CODE + 5);
    client_set(&c, WHvRegisterPendingEvent, 1 | WHvX64PendingEventExtInt << 1 | 0x48 << 8);
    client_set(&c, WHvRegisterInternalActivityState, 0); /* kick_out_of_hlt */
    ck_assert_uint_eq(client_port(&c), 0x48);
    ck_assert_uint_eq(client_get(&c, WHvRegisterPendingEvent), 0);
    ck_assert_uint_eq(client_port(&c), 0x91);
    client_stop(&c);
}
END_TEST

START_TEST(qemu_requests_level_interrupts_and_hears_of_their_end)
{
    WHV_INTERRUPT_CONTROL request = { .Type = WHvX64InterruptTypeFixed,
                                      .TriggerMode = WHvX64InterruptTriggerModeLevel,
                                      .Vector = 0x41 };
    struct client c;

    client_open_qemu(&c, WHvX64LocalApicEmulationModeXApic);
    /* enable the APIC; sti; nop; out 90 ... and EOI in real mode through FS's flat base */
    CLIENT_START(&c, 0x64, 0x66, 0xc7, 0x06, 0xf0, 0x00, 0xff, 0x01, 0x00, 0x00, 0xfb, 0x90, 0x90, 0xe6, 0x90, 0x64,
                 0x66, 0xc7, 0x06, 0xb0, 0x00, 0, 0, 0, 0, 0xe6, 0x91);
    WHV_REGISTER_NAME fs = REG(Fs);
    WHV_REGISTER_VALUE v = { .Segment = { .Base = 0xfee00000, .Limit = 0xffff, .Attributes = 0x93 } };
    ck_ok(WHvSetVirtualProcessorRegisters(c.p, 0, &fs, 1, &v));
    ck_ok(WHvRequestInterrupt(c.p, &request, sizeof request)); /* lost: the APIC is software-disabled */
    client_set(&c, REG(ApicSpurious), 0x1ff);
    ck_ok(WHvRequestInterrupt(c.p, &request, sizeof request));
    ck_assert_uint_eq(client_port(&c), 0x41);
    ck_assert_uint_eq(client_port(&c), 0x90);
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64ApicEoi);
    ck_assert_uint_eq(c.x.ApicEoi.InterruptVector, 0x41);
    ck_assert_uint_eq(client_port(&c), 0x91);
    client_stop(&c);
}
END_TEST

START_TEST(qemu_starts_the_second_processor_itself)
{
    struct client c;

    client_open_qemu(&c, WHvX64LocalApicEmulationModeXApic);
    CLIENT_START(&c, 0x64, 0x66, 0xc7, 0x06, 0x10, 0x03, 0, 0, 0, 1,   /* ICR high: processor 1 */
                 0x64, 0x66, 0xc7, 0x06, 0x00, 0x03, 0x03, 0x46, 0, 0, /* SIPI, vector 3 */
                 0xe6, 0x90);
    WHV_REGISTER_NAME fs = REG(Fs);
    WHV_REGISTER_VALUE v = { .Segment = { .Base = 0xfee00000, .Limit = 0xffff, .Attributes = 0x93 } };
    ck_ok(WHvSetVirtualProcessorRegisters(c.p, 0, &fs, 1, &v));
    ck_ok(WHvCreateVirtualProcessor(c.p, 1, 0));
    ck_assert_uint_eq(client_run(&c), WHvRunVpExitReasonX64ApicInitSipiTrap);
    ck_assert_uint_eq(c.x.ApicInitSipi.ApicIcr & 0x7ff, 0x603);
    ck_assert_uint_eq(c.x.ApicInitSipi.ApicIcr >> 56, 1);
    ck_assert_uint_eq(c.x.VpContext.Rip, CLIENT_CODE + 20); /* behind the write */

    WHV_REGISTER_NAME activity = WHvRegisterInternalActivityState;
    WHV_RUN_VP_EXIT_CONTEXT x;
    memset(&v, 0, sizeof v);
    memcpy(c.ram + 0x3000, "\xe6\x77", 2);
    client_stand(&c, 1, 0x3000);
    ck_ok(WHvSetVirtualProcessorRegisters(c.p, 1, &activity, 1, &v));
    ck_ok(WHvRunVirtualProcessor(c.p, 1, &x, sizeof x));
    ck_assert_uint_eq((u32)x.ExitReason, WHvRunVpExitReasonX64IoPortAccess);
    ck_assert_uint_eq(x.IoPortAccess.PortNumber, 0x77);
    ck_assert_uint_eq(client_port(&c), 0x90);
    client_stop(&c);
}
END_TEST

/* It fills a page from its own model of an APIC; what it doesn't keep (the version, PPR, the current count) is zero. */
START_TEST(qemu_puts_an_apic_page_that_it_made_itself)
{
    static const struct {
        u32 at, value;
    } fields[] = { { 0x80, 0x20 },       { 0xd0, 1u << 24 },   { 0xe0, 0xffffffff }, { 0xf0, 0x1ff },
                   { 0x220, 1u << 17 },  { 0x320, 0x10041 },   { 0x330, 0x10000 },   { 0x340, 0x10000 },
                   { 0x350, 0x700 },     { 0x360, 0x400 },     { 0x370, 0x10000 },   { 0x3e0, 0xb } };
    static u8 page[4096];
    struct client c;
    u32 written = 0;

    client_open_qemu(&c, WHvX64LocalApicEmulationModeXApic);
    CLIENT_START(&c, 0xfb, 0x90, 0xe6, 0x90); /* sti; nop; out 90 */
    for (u32 i = 0; i < sizeof fields / sizeof *fields; i++)
        store_bytes(page + fields[i].at, fields[i].value, 4);
    ck_ok(WHvSetVirtualProcessorInterruptControllerState2(c.p, 0, page, sizeof page));
    memset(page, 0xcc, sizeof page);
    ck_ok(WHvGetVirtualProcessorInterruptControllerState2(c.p, 0, page, sizeof page, &written));
    ck_assert_uint_eq(written, sizeof page);
    for (u32 i = 0; i < sizeof fields / sizeof *fields; i++)
        ck_assert_uint_eq(load_bytes(page + fields[i].at, 4), fields[i].value);
    ck_assert_uint_ge(page[0x30], 0x10);                 /* the version stays */
    ck_assert_uint_eq(load_bytes(page + 0xa0, 4), 0x20); /* PPR follows */
    ck_assert_uint_eq(client_get(&c, REG(Cr8)), 2);
    ck_assert_uint_eq(client_port(&c), 0x51);
    client_stop(&c);
}
END_TEST

TCase *client_qemu_apic_case(void)
{
    TCase *t = tcase_create("client-qemu-apic");

    tcase_add_test(t, qemu_gives_the_pics_interrupt_to_a_halted_processor);
    tcase_add_test(t, qemu_requests_level_interrupts_and_hears_of_their_end);
    tcase_add_test(t, qemu_starts_the_second_processor_itself);
    tcase_add_test(t, qemu_puts_an_apic_page_that_it_made_itself);
    return t;
}
