/* SPDX-License-Identifier: MIT */
/*
 * A VMM's exit handler under unit test: each test gives it the exits of a few bytes of code, in a partition of its own.
 * No hypervisor, no privilege, and the same run every time.
 *
 *   cc unit_test.c $(pkg-config --cflags --libs softwhp check) -o unit_test
 */
#include <WinHvPlatform.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>

/* ---- What is tested: a device with an index and a data port, and the handler of its exits ---- */

struct cmos {
    UINT8 index;
    UINT8 bytes[128];
};

/* IN leaves what is above an 8- or 16-bit register as it was, and clears what is above a 32-bit one. */
static HRESULT handle_port(WHV_PARTITION_HANDLE guest, const WHV_RUN_VP_EXIT_CONTEXT *x, struct cmos *c)
{
    const WHV_REGISTER_NAME names[] = {WHvX64RegisterRip, WHvX64RegisterRax};
    const WHV_X64_IO_PORT_ACCESS_CONTEXT *io = &x->IoPortAccess;
    WHV_REGISTER_VALUE values[] = {{.Reg64 = x->VpContext.Rip + x->VpContext.InstructionLength}, {.Reg64 = io->Rax}};
    UINT64 byte = io->PortNumber == 0x71 ? c->bytes[c->index] : 0xff;

    if (io->AccessInfo.StringOp)
        return E_NOTIMPL;
    if (!io->AccessInfo.IsWrite)
        switch (io->AccessInfo.AccessSize) {
        case 1: values[1].Reg64 = (io->Rax & ~UINT64_C(0xff)) | byte; break;
        case 2: values[1].Reg64 = (io->Rax & ~UINT64_C(0xffff)) | 0xff00 | byte; break;
        case 4: values[1].Reg64 = 0xffffff00 | byte; break;
        }
    else if (io->PortNumber == 0x70)
        c->index = io->Rax & 0x7f; /* bit 7 masks NMIs */
    else if (io->PortNumber == 0x71)
        c->bytes[c->index] = (UINT8)io->Rax;
    return WHvSetVirtualProcessorRegisters(guest, 0, names, 2, values);
}

/* ---- The tests ---- */

static _Alignas(4096) unsigned char ram[4096];

/* Runs real-mode code that ends with a HLT, with this RAX; returns the RAX that it ends with. */
static UINT64 run(struct cmos *c, UINT64 rax, const void *code, size_t size)
{
    const WHV_REGISTER_NAME names[] = {WHvX64RegisterRax, WHvX64RegisterRip, WHvX64RegisterCs};
    WHV_REGISTER_VALUE values[] = {{.Reg64 = rax}, {.Reg64 = 0}, {.Segment = {.Limit = 0xffff, .Attributes = 0x9b}}};
    WHV_PARTITION_PROPERTY one = {.ProcessorCount = 1};
    WHV_RUN_VP_EXIT_CONTEXT x;
    WHV_PARTITION_HANDLE guest;

    memcpy(ram, code, size);
    ck_assert_int_eq(WHvCreatePartition(&guest), S_OK);
    ck_assert_int_eq(WHvSetPartitionProperty(guest, WHvPartitionPropertyCodeProcessorCount, &one, sizeof one), S_OK);
    ck_assert_int_eq(WHvSetupPartition(guest), S_OK);
    ck_assert_int_eq(WHvMapGpaRange(guest, ram, 0, 4096, WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagExecute), S_OK);
    ck_assert_int_eq(WHvCreateVirtualProcessor(guest, 0, 0), S_OK);
    ck_assert_int_eq(WHvSetVirtualProcessorRegisters(guest, 0, names, 3, values), S_OK);
    do {
        ck_assert_int_eq(WHvRunVirtualProcessor(guest, 0, &x, sizeof x), S_OK);
    } while (x.ExitReason == WHvRunVpExitReasonX64IoPortAccess && handle_port(guest, &x, c) == S_OK);
    ck_assert_int_eq(x.ExitReason, WHvRunVpExitReasonX64Halt);
    ck_assert_int_eq(WHvGetVirtualProcessorRegisters(guest, 0, names, 1, values), S_OK);
    ck_assert_int_eq(WHvDeletePartition(guest), S_OK);
    return values[0].Reg64;
}
#define RUN(c, rax, ...) run(c, rax, (const UINT8[]){__VA_ARGS__, 0xf4}, sizeof(UINT8[]){__VA_ARGS__, 0xf4})

START_TEST(data_port_reads_what_the_index_names)
{
    struct cmos c = {.bytes = {[0x0f] = 0x5a}};

    ck_assert_uint_eq(RUN(&c, 0x8f, 0xe6, 0x70, 0xe4, 0x71), 0x5a); /* out 0x70, al; in al, 0x71 */
}
END_TEST

START_TEST(byte_read_keeps_the_rest_of_rax)
{
    struct cmos c = {.bytes = {0x5a}};

    ck_assert_uint_eq(RUN(&c, 0x1122334455667788, 0xe4, 0x71), 0x112233445566775a);
}
END_TEST

START_TEST(wide_read_clears_the_upper_half_of_rax)
{
    struct cmos c = {.index = 0};

    ck_assert_uint_eq(RUN(&c, 0x1122334455667788, 0x66, 0xe5, 0x80), 0xffffffff); /* in eax, 0x80: nobody there */
}
END_TEST

START_TEST(write_is_taken_once)
{
    struct cmos c = {.index = 3};

    ck_assert_uint_eq(RUN(&c, 7, 0xe6, 0x71), 7); /* out 0x71, al */
    ck_assert_uint_eq(c.bytes[3], 7);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cmos");
    TCase *ports = tcase_create("ports");
    SRunner *runner = srunner_create(suite);

    suite_add_tcase(suite, ports);
    tcase_add_test(ports, data_port_reads_what_the_index_names);
    tcase_add_test(ports, byte_read_keeps_the_rest_of_rax);
    tcase_add_test(ports, wide_read_clears_the_upper_half_of_rax);
    tcase_add_test(ports, write_is_taken_once);
    srunner_run_all(runner, CK_NORMAL);
    return srunner_ntests_failed(runner) != 0;
}
