/* SPDX-License-Identifier: MIT */
/* Instructions on memory that callbacks serve. */
#include "tests/whp/emulator_rig.h"

START_TEST(mov_reads_a_device)
{
    GPR(RBX) = MMIO + 8;
    GPR(RAX) = ~(u64)0;
    mmio(BYTES(0x8b, 0x03)); /* mov eax, [rbx] */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_READ, MMIO + 8, 4, 0x55667788);
    ck_assert_uint_eq(m.logged, 1);
    ck_assert_uint_eq(GPR(RAX), 0x55667788);
    ck_assert_uint_eq(RIP, CODE + 2);
    ck_assert_uint_eq(m.gets, 1);
    ck_assert_uint_eq(m.sets, 1);
}
END_TEST

START_TEST(mov_writes_a_device_without_reading_it)
{
    GPR(RBX) = MMIO;
    GPR(RCX) = 0xaabbccdd;
    mmio(BYTES(0x66, 0x89, 0x4b, 0x10)); /* mov [rbx+16], cx */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_WRITE, MMIO + 16, 2, 0xccdd);
    ck_assert_uint_eq(m.logged, 1);
    ck_assert_uint_eq(RIP, CODE + 4);
}
END_TEST

START_TEST(read_modify_write_reads_then_writes)
{
    GPR(RBX) = MMIO;
    GPR(RAX) = 0x10;
    mmio(BYTES(0x48, 0x01, 0x03)); /* add [rbx], rax */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_READ, MMIO, 8, m.device);
    ck_asked(1, ASKED_WRITE, MMIO, 8, m.device + 0x10);
    ck_assert_uint_eq(FLAGS_OF & STATUS, 0);
    FLAGS_OF = 2;
    RIP = CODE;
    mmio(BYTES(0xf0, 0x80, 0x33, 0x88)); /* lock xor byte [rbx], 0x88 */
    ck_status(SUCCESSFUL);
    ck_asked(1, ASKED_WRITE, MMIO, 1, 0);
    ck_assert_uint_eq(FLAGS_OF & STATUS, ZF | PF);
}
END_TEST

START_TEST(exchanges)
{
    GPR(RBX) = MMIO;
    GPR(RCX) = 0x1234;
    mmio(BYTES(0x87, 0x0b)); /* xchg [rbx], ecx */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_READ, MMIO, 4, 0x55667788);
    ck_asked(1, ASKED_WRITE, MMIO, 4, 0x1234);
    ck_assert_uint_eq(GPR(RCX), 0x55667788);

    RIP = CODE;
    GPR(RAX) = 0x55667788;
    GPR(RCX) = 0x77;
    mmio(BYTES(0xf0, 0x0f, 0xb1, 0x0b)); /* lock cmpxchg [rbx], ecx */
    ck_status(SUCCESSFUL);
    ck_asked(1, ASKED_WRITE, MMIO, 4, 0x77);
    ck_assert_uint_eq(FLAGS_OF & ZF, ZF);
}
END_TEST

START_TEST(push_and_pop_and_call)
{
    GPR(RSP) = MMIO + 0x100;
    GPR(RCX) = 0x42;
    mmio(BYTES(0x51)); /* push rcx */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_WRITE, MMIO + 0xf8, 8, 0x42);
    ck_assert_uint_eq(GPR(RSP), MMIO + 0xf8);

    RIP = CODE;
    mmio(BYTES(0x8f, 0x00)); /* pop [rax], and rax is in memory */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_READ, MMIO + 0xf8, 8, m.device);
    ck_asked(1, ASKED_WRITE, 0, 8, m.device);

    RIP = CODE;
    mmio(BYTES(0xe8, 0x10, 0, 0, 0)); /* call +16 */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_WRITE, MMIO + 0xf8, 8, CODE + 5);
    ck_assert_uint_eq(RIP, CODE + 5 + 16);

    m.device = CODE + 0x80;
    RIP = CODE;
    GPR(RBX) = MMIO;
    mmio(BYTES(0xff, 0x23)); /* jmp [rbx] */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(RIP, CODE + 0x80);
}
END_TEST

START_TEST(rip_relative_operands_follow_rip)
{
    RIP = CODE + 0x234;
    mmio(BYTES(0x8b, 0x05, 0x00, 0x10, 0, 0)); /* mov eax, [rip+0x1000] */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_READ, CODE + 0x234 + 6 + 0x1000, 4, 0);
    RIP = CODE + 0x334;
    mmio(BYTES(0x8b, 0x05, 0x00, 0x10, 0, 0));
    ck_asked(0, ASKED_READ, CODE + 0x334 + 6 + 0x1000, 4, 0);
    RIP = CODE + 0x1334;
    mmio(BYTES(0x8b, 0x05, 0x00, 0x10, 0, 0));
    ck_asked(0, ASKED_READ, CODE + 0x1334 + 6 + 0x1000, 4, 0);
}
END_TEST

START_TEST(movs_moves_between_ram_and_device)
{
    memcpy(m.ram + DATA, "abcdefgh", 8);
    GPR(RSI) = DATA;
    GPR(RDI) = MMIO;
    GPR(RCX) = 4;
    mmio(BYTES(0xf3, 0x66, 0xa5)); /* rep movsw */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.logged, 8);
    ck_asked(6, ASKED_READ, DATA + 6, 2, 'g' | 'h' << 8);
    ck_asked(7, ASKED_WRITE, MMIO + 6, 2, 'g' | 'h' << 8);
    ck_assert_uint_eq(GPR(RCX), 0);
    ck_assert_uint_eq(GPR(RSI), DATA + 8);
    ck_assert_uint_eq(GPR(RDI), MMIO + 8);
    ck_assert_uint_eq(RIP, CODE + 3);
    ck_assert_uint_eq(m.sets, 1);

    RIP = CODE;
    FLAGS_OF |= DF;
    GPR(RSI) = MMIO;
    GPR(RDI) = DATA + 8;
    mmio(BYTES(0xa4)); /* movsb, down */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_READ, MMIO, 1, 0x88);
    ck_asked(1, ASKED_WRITE, DATA + 8, 1, 0x88);
    ck_assert_uint_eq(GPR(RSI), MMIO - 1);
    ck_assert_uint_eq(GPR(RDI), DATA + 7);
}
END_TEST

START_TEST(repetition_without_end_pauses)
{
    GPR(RDI) = MMIO;
    GPR(RCX) = ~(u64)0;
    mmio(BYTES(0xf3, 0xaa)); /* rep stosb */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(RIP, CODE);
    ck_assert_uint_eq(~GPR(RCX), GPR(RDI) - MMIO);
    ck_assert_uint_gt(~GPR(RCX), 65536);
}
END_TEST

START_TEST(data_across_pages_goes_in_two)
{
    GPR(RBX) = MMIO + 0xffd;
    mmio(BYTES(0x48, 0x8b, 0x03)); /* mov rax, [rbx] */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.logged, 2);
    ck_asked(0, ASKED_READ, MMIO + 0xffd, 3, 0x667788);
    ck_asked(1, ASKED_READ, MMIO + 0x1000, 5, 0x4455667788);
    ck_assert_uint_eq(GPR(RAX), 0x4455667788667788);
    ck_assert_uint_eq(m.translations, 2);

    RIP = CODE;
    mmio(BYTES(0x89, 0x03)); /* mov [rbx], eax */
    ck_asked(0, ASKED_WRITE, MMIO + 0xffd, 3, 0x667788);
    ck_asked(1, ASKED_WRITE, MMIO + 0x1000, 1, 0x88);
}
END_TEST

START_TEST(instruction_across_pages_is_fetched)
{
    GPR(RBX) = MMIO;
    RIP = CODE + 0xffe;
    mmio_given(BYTES(0xc7, 0x03, 0x78, 0x56, 0x34, 0x12), 2); /* mov dword [rbx], 12345678 */
    ck_status(SUCCESSFUL);
    ck_assert_int_eq(m.log[0].what, ASKED_READ);
    ck_assert_uint_eq(m.log[0].address, CODE + 0x1000);
    ck_assert_uint_eq(m.log[0].size, 8);
    ck_asked(1, ASKED_WRITE, MMIO, 4, 0x12345678);
    ck_assert_uint_eq(RIP, CODE + 0x1004);
}
END_TEST

START_TEST(instruction_is_fetched_where_no_bytes_come)
{
    GPR(RBX) = MMIO;
    mmio_given(BYTES(0x8b, 0x03), 0);
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.log[0].address, CODE);
    ck_asked(1, ASKED_READ, MMIO, 4, 0x55667788);
}
END_TEST

START_TEST(changed_code_is_decoded_anew)
{
    GPR(RBX) = MMIO;
    mmio(BYTES(0x8b, 0x03)); /* mov eax, [rbx] */
    RIP = CODE;
    mmio(BYTES(0x8b, 0x0b)); /* mov ecx, [rbx] */
    ck_assert_uint_eq(GPR(RCX), 0x55667788);
    RIP = CODE;
    GPR(RBX) = 0x4000;
    real_mode();
    mmio(BYTES(0x8b, 0x0f)); /* mov cx, [bx] */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_READ, 0x4000, 2, 0);
}
END_TEST

START_TEST(segments_count_where_they_do)
{
    GPR(RBX) = 0x10;
    m.segment[GS].Base = MMIO;
    m.segment[DS].Base = 0x666000; /* not in 64-bit code */
    mmio(BYTES(0x65, 0x8b, 0x03)); /* mov eax, gs:[rbx] */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_READ, MMIO + 0x10, 4, 0x55667788);
    RIP = CODE;
    mmio(BYTES(0x8b, 0x03));
    ck_asked(0, ASKED_READ, 0x10, 4, 0);

    real_mode();
    m.segment[DS].Base = 0xfee00;
    RIP = CODE;
    GPR(RBX) = 0x20;
    mmio(BYTES(0x8a, 0x07)); /* mov al, [bx] */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_READ, 0xfee20, 1, 0x88);
    ck_assert_uint_eq(RIP, CODE + 2);
}
END_TEST

TCase *emulator_memory_case(void)
{
    TCase *c = tcase_create("emulator memory");

    tcase_add_checked_fixture(c, emulator_setup, emulator_teardown);
    tcase_add_test(c, mov_reads_a_device);
    tcase_add_test(c, mov_writes_a_device_without_reading_it);
    tcase_add_test(c, read_modify_write_reads_then_writes);
    tcase_add_test(c, exchanges);
    tcase_add_test(c, push_and_pop_and_call);
    tcase_add_test(c, rip_relative_operands_follow_rip);
    tcase_add_test(c, movs_moves_between_ram_and_device);
    tcase_add_test(c, repetition_without_end_pauses);
    tcase_add_test(c, data_across_pages_goes_in_two);
    tcase_add_test(c, instruction_across_pages_is_fetched);
    tcase_add_test(c, instruction_is_fetched_where_no_bytes_come);
    tcase_add_test(c, changed_code_is_decoded_anew);
    tcase_add_test(c, segments_count_where_they_do);
    return c;
}
