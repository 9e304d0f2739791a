/* SPDX-License-Identifier: MIT */
/* Two processors on the same memory: locked instructions, the order of stores, page tables. */
#include "tests/cpu/smp.h"

#include <string.h>

/* ---- locked instructions ---- */

/*
 * RDI: the operand. RAX = 3. A bit of each processor's own: number RBP, mask RBX, its complement RDX.
 * R13 counts what must not be seen.
 */
static const struct form {
    const char *name, *code;
    UINT8 length, size;
    int step; /* what each round adds; 0: an even number of rounds restores the operand */
} forms[] = {
#define FORM(name, size, step, literal) { name, literal, sizeof literal - 1, size, step }
    FORM("inc byte", 1, 1, "\xf0\xfe\x07"),
    FORM("inc word", 2, 1, "\x66\xf0\xff\x07"),
    FORM("inc dword", 4, 1, "\xf0\xff\x07"),
    FORM("inc qword", 8, 1, "\xf0\x48\xff\x07"),
    FORM("dec qword", 8, -1, "\xf0\x48\xff\x0f"),
    FORM("add byte", 1, 3, "\xf0\x00\x07"),
    FORM("add word", 2, 3, "\x66\xf0\x01\x07"),
    FORM("add dword", 4, 3, "\xf0\x01\x07"),
    FORM("add qword", 8, 3, "\xf0\x48\x01\x07"),
    FORM("add dword, 3", 4, 3, "\xf0\x83\x07\x03"),
    FORM("sub qword", 8, -3, "\xf0\x48\x29\x07"),
    FORM("clc; adc qword", 8, 3, "\xf8\xf0\x48\x11\x07"),
    FORM("clc; sbb qword", 8, -3, "\xf8\xf0\x48\x19\x07"),
    FORM("not byte", 1, 0, "\xf0\xf6\x17"),
    FORM("not qword", 8, 0, "\xf0\x48\xf7\x17"),
    FORM("neg dword", 4, 0, "\xf0\xf7\x1f"),
    FORM("neg qword", 8, 0, "\xf0\x48\xf7\x1f"),
    FORM("xor qword", 8, 0, "\xf0\x48\x31\x07"),
    /* mov ebx, 3; lock xadd [rdi], ebx */
    FORM("xadd byte", 1, 3, "\xb3\x03\xf0\x0f\xc0\x1f"),
    FORM("xadd word", 2, 3, "\xbb\x03\x00\x00\x00\x66\xf0\x0f\xc1\x1f"),
    FORM("xadd dword", 4, 3, "\xbb\x03\x00\x00\x00\xf0\x0f\xc1\x1f"),
    FORM("xadd qword", 8, 3, "\xbb\x03\x00\x00\x00\xf0\x48\x0f\xc1\x1f"),
    /* mov eax, [rdi]; 1: lea ebx, [rax + 3]; lock cmpxchg [rdi], ebx; jne 1b */
    FORM("cmpxchg byte", 1, 3, "\x8a\x07\x8d\x58\x03\xf0\x0f\xb0\x1f\x75\xf7"),
    FORM("cmpxchg word", 2, 3, "\x66\x8b\x07\x8d\x58\x03\x66\xf0\x0f\xb1\x1f\x75\xf6"),
    FORM("cmpxchg dword", 4, 3, "\x8b\x07\x8d\x58\x03\xf0\x0f\xb1\x1f\x75\xf7"),
    FORM("cmpxchg qword", 8, 3, "\x48\x8b\x07\x48\x8d\x58\x03\xf0\x48\x0f\xb1\x1f\x75\xf5"),
    /* mov eax, [rdi]; mov edx, [rdi + 4]; 1: mov ebx, 3; xor ecx, ecx; add ebx, eax; adc ecx, edx;
       lock cmpxchg8b [rdi]; jne 1b */
    FORM("cmpxchg8b", 8, 3,
         "\x8b\x07\x8b\x57\x04\xbb\x03\x00\x00\x00\x31\xc9\x01\xc3\x11\xd1\xf0\x0f\xc7\x0f\x75\xef"),
    FORM("cmpxchg16b", 16, 3,
         "\x48\x8b\x07\x48\x8b\x57\x08\xbb\x03\x00\x00\x00\x31\xc9\x48\x01\xc3\x48\x11\xd1"
         "\xf0\x48\x0f\xc7\x0f\x75\xec"),
    /* lock bts [rdi], ebp; adc r13d, 0; lock btr [rdi], ebp; cmc; adc r13d, 0 */
    FORM("bts, btr word", 2, 0,
         "\x66\xf0\x0f\xab\x2f\x41\x83\xd5\x00\x66\xf0\x0f\xb3\x2f\xf5\x41\x83\xd5\x00"),
    FORM("bts, btr dword", 4, 0, "\xf0\x0f\xab\x2f\x41\x83\xd5\x00\xf0\x0f\xb3\x2f\xf5\x41\x83\xd5\x00"),
    FORM("btc qword", 8, 0, "\xf0\x48\x0f\xbb\x2f\x41\x83\xd5\x00\xf0\x48\x0f\xbb\x2f\xf5\x41\x83\xd5\x00"),
    /* lock or [rdi], ebx; xor eax, eax; test [rdi], ebx; setz al; add r13d, eax;
       lock and [rdi], edx; xor eax, eax; test [rdi], ebx; setnz al; add r13d, eax */
    FORM("or, and dword", 4, 0,
         "\xf0\x09\x1f\x31\xc0\x85\x1f\x0f\x94\xc0\x41\x01\xc5"
         "\xf0\x21\x17\x31\xc0\x85\x1f\x0f\x95\xc0\x41\x01\xc5"),
};

enum { FORMS = sizeof forms / sizeof *forms };
enum { ALIGNED, IN_A_LINE, ACROSS_LINES, ACROSS_PAGES, WHERES };

static UINT32 place_of(const struct form *f, unsigned where)
{
    switch (where) {
    case ALIGNED: return SMP_DATA;
    case IN_A_LINE: return SMP_DATA + 3;
    case ACROSS_LINES: return SMP_DATA + 64 - f->size / 2u;
    default: return SMP_DATA + 4096 - f->size / 2u;
    }
}

static void set_up_form(struct smp *m, UINT32 index, UINT32 rounds, const struct form *f, UINT32 at)
{
    UINT64 bit = index ? f->size * 8u - 3 : 2;

    smp_repeat(m, index, rounds, f->code, f->length);
    smp_set(m, index, WHvX64RegisterRdi, at);
    smp_set(m, index, WHvX64RegisterRax, 3);
    smp_set(m, index, WHvX64RegisterRbp, bit);
    smp_set(m, index, WHvX64RegisterRbx, (UINT64)1 << (bit & 63));
    smp_set(m, index, WHvX64RegisterRdx, ~((UINT64)1 << (bit & 63)));
}

void smp_check(struct smp *m, UINT32 index, const char *name, UINT32 at)
{
    UINT64 wrong = smp_get(m, index, WHvX64RegisterR13);

    ck_assert_msg(!wrong, "%s at %x: processor %u saw %llu that must not be", name, at, index,
                  (unsigned long long)wrong);
}

START_TEST(locked_instructions_lose_nothing)
{
    const struct form *f = &forms[_i];
    UINT64 mask = f->size < 8 ? ((UINT64)1 << 8 * f->size) - 1 : ~(UINT64)0;
    UINT64 before = 0x5a5a5a0000000000 & mask;
    struct smp m;

    smp_open(&m);
    for (unsigned where = 0; where < WHERES; where++) {
        UINT32 at = place_of(f, where), rounds = where < ACROSS_LINES ? 50000 : 600;
        UINT64 after = (before + (UINT64)((INT64)f->step * 2 * rounds)) & mask;

        if ((f->size == 16 && where != ALIGNED) || (f->size == 1 && where >= ACROSS_LINES))
            continue;
        memset(m.memory + SMP_DATA, 0, 0x2000);
        memcpy(m.memory + at, &before, f->size < 8 ? f->size : 8);
        for (UINT32 i = 0; i < 2; i++)
            set_up_form(&m, i, rounds, f, at);
        smp_run(&m);
        for (UINT32 i = 0; i < 2; i++)
            smp_check(&m, i, f->name, at);
        ck_assert_msg((smp_load(&m, at) & mask) == after, "%s at %x: %llx, not %llx", f->name, at,
                      (unsigned long long)(smp_load(&m, at) & mask), (unsigned long long)after);
        memset(m.memory + at, 0, f->size);
        for (UINT32 i = 0; i < 0x2000; i += 8)
            ck_assert_uint_eq(smp_load(&m, SMP_DATA + i), 0);
    }
    smp_close(&m);
}
END_TEST

/* One processor's operand crosses a border, the other's is on one side of it: locked, or a plain store. */
START_TEST(crossing_and_other_accesses_are_atomic_to_each_other)
{
    static const struct {
        const char *code;
        size_t length;
        UINT32 by, rounds;
    } others[] = {
        { SMP_BYTES("\xf0\xff\x07"), 0, 200000 }, /* lock inc dword [rdi] */
        { SMP_BYTES("\xf0\xff\x07"), 4, 200000 },
        { SMP_BYTES("\xff\x07"), 4, 300000 },    /* inc dword [rdi], of which nobody else writes */
        { SMP_BYTES("\xf0\xfe\x07"), 0, 200000 },
    };
    struct smp m;
    UINT32 border = _i & 1 ? 4096 : 64, at = SMP_DATA + border - 4;
    UINT32 rounds = 2000, other = (UINT32)_i / 2;
    UINT64 expected = (UINT64)rounds * 0x100000000;

    if (others[other].by == 4 && others[other].rounds == 300000)
        expected = rounds; /* the low half alone changes, and the high one is written back */
    smp_open(&m);
    smp_repeat(&m, 0, rounds, SMP_BYTES("\xf0\x48\x01\x07")); /* lock add [rdi], rax */
    smp_set(&m, 0, WHvX64RegisterRdi, at);
    smp_set(&m, 0, WHvX64RegisterRax, expected / rounds);
    smp_repeat(&m, 1, others[other].rounds, others[other].code, others[other].length);
    smp_set(&m, 1, WHvX64RegisterRdi, at + others[other].by);
    smp_run(&m);
    if (others[other].code[1] == '\xfe')
        expected += others[other].rounds & 0xff;
    else
        expected += (UINT64)others[other].rounds << 8 * others[other].by;
    ck_assert_uint_eq(smp_load(&m, at), expected);
    smp_close(&m);
}
END_TEST

/* ---- locks, and the order of plain accesses ---- */

static void run_pair(struct smp *m, UINT32 rounds, const char *first, size_t first_size, const char *second,
                     size_t second_size)
{
    smp_repeat(m, 0, rounds, first, first_size);
    smp_repeat(m, 1, rounds, second, second_size);
    for (UINT32 i = 0; i < 2; i++) {
        smp_set(m, i, WHvX64RegisterRdi, SMP_DATA);
        smp_set(m, i, WHvX64RegisterRsi, SMP_DATA + 0x100);
        smp_set(m, i, WHvX64RegisterRax, 0);
        smp_set(m, i, WHvX64RegisterRbp, i);
        smp_set(m, i, WHvX64RegisterRbx, !i);
    }
    smp_run(m);
    for (UINT32 i = 0; i < 2; i++)
        smp_check(m, i, "pair", SMP_DATA);
}

START_TEST(a_spinlock_protects_plain_stores)
{
    static const char code[] = "\xb8\x01\x00\x00\x00" /* 1: mov eax, 1 */
                               "\x87\x07\x85\xc0"     /* xchg [rdi], eax; test eax, eax */
                               "\x74\x04\xf3\x90"     /* jz 2f; pause */
                               "\xeb\xf1\x48\xff\x06" /* jmp 1b; 2: inc qword [rsi] */
                               "\xc7\x07\x00\x00\x00\x00"; /* mov dword [rdi], 0 */
    struct smp m;

    smp_open(&m);
    run_pair(&m, 100000, SMP_BYTES(code), SMP_BYTES(code));
    ck_assert_uint_eq(smp_load(&m, SMP_DATA + 0x100), 200000);
    smp_close(&m);
}
END_TEST

/* Peterson's: works only if MFENCE keeps a load behind an earlier store. */
START_TEST(a_fence_orders_stores_and_loads)
{
    static const char code[] = "\xc6\x04\x2f\x01" /* mov byte [rdi + rbp], 1 */
                               "\x88\x5f\x08"     /* mov [rdi + 8], bl */
                               "\x0f\xae\xf0"     /* mfence */
                               "\x80\x3c\x1f\x00" /* 1: cmp byte [rdi + rbx], 0 */
                               "\x74\x05\x38\x5f\x08\x74\xf5" /* je 2f; cmp [rdi + 8], bl; je 1b */
                               "\x48\xff\x06\xc6\x04\x2f\x00"; /* 2: inc qword [rsi]; mov [rdi + rbp], 0 */
    struct smp m;

    smp_open(&m);
    run_pair(&m, 100000, SMP_BYTES(code), SMP_BYTES(code));
    ck_assert_uint_eq(smp_load(&m, SMP_DATA + 0x100), 200000);
    smp_close(&m);
}
END_TEST

/*
 * 0: three elements by one REP MOVSD, of which the second stands before the end of a line; then it waits for the answer
 * in that one. 1 answers, and keeps the line of the third element for itself. An answer that is overwritten never comes.
 */
START_TEST(a_string_is_stored_once)
{
    /* inc r15d; mov [50100], r15d; mov [50104], r15d; mov [50108], r15d; mov esi, 50100; mov edi, 50038; mov ecx, 3;
       rep movsd; mov ecx, 300000000; 1: mov eax, [5003c]; neg eax; cmp eax, r15d; je 2f; dec ecx; jnz 1b; inc r13d;
       mov dword [50080], 1; hlt; 2: */
    static const char asks[] =
        "\x41\xff\xc7\x44\x89\x3c\x25\x00\x01\x05\x00\x44\x89\x3c\x25\x04\x01\x05\x00\x44\x89\x3c\x25\x08\x01\x05\x00"
        "\xbe\x00\x01\x05\x00\xbf\x38\x00\x05\x00\xb9\x03\x00\x00\x00\xf3\xa5\xb9\x00\xa3\xe1\x11"
        "\x8b\x04\x25\x3c\x00\x05\x00\xf7\xd8\x44\x39\xf8\x74\x13\xff\xc9\x75\xee\x41\xff\xc5"
        "\xc7\x04\x25\x80\x00\x05\x00\x01\x00\x00\x00\xf4";
    /* inc r15d; 1: inc dword [50048]; cmp dword [50080], 0; jne 3f; cmp [5003c], r15d; jne 1b; mov eax, r15d; neg eax;
       mov [5003c], eax; jmp 2f; 3: hlt; 2: */
    static const char answers[] =
        "\x41\xff\xc7\xff\x04\x25\x48\x00\x05\x00\x83\x3c\x25\x80\x00\x05\x00\x00\x75\x18"
        "\x44\x39\x3c\x25\x3c\x00\x05\x00\x75\xe5\x44\x89\xf8\xf7\xd8\x89\x04\x25\x3c\x00\x05\x00\xeb\x01\xf4";

    struct smp m;

    smp_open(&m);
    smp_repeat(&m, 0, 300000, asks, sizeof asks - 1);
    smp_repeat(&m, 1, 300000, answers, sizeof answers - 1);
    smp_run(&m);
    ck_assert_uint_eq(smp_get(&m, 0, WHvX64RegisterR13), 0);
    smp_close(&m);
}
END_TEST

START_TEST(messages_arrive_before_their_flag)
{
    static const char sender[] = "\x48\xff\xc0\x48\x89\x07"   /* inc rax; mov [rdi], rax */
                                 "\x48\x89\x06";              /* mov [rsi], rax */
    static const char receiver[] = "\x48\x8b\x1e\x48\x8b\x07" /* mov rbx, [rsi]; mov rax, [rdi] */
                                   "\x48\x39\xd8\x41\x83\xd5\x00"; /* cmp rax, rbx; adc r13d, 0 */
    struct smp m;

    smp_open(&m);
    run_pair(&m, 200000, SMP_BYTES(sender), SMP_BYTES(receiver));
    smp_close(&m);
}
END_TEST

/* ---- page tables ---- */

START_TEST(accessed_and_dirty_bits_of_both_are_kept)
{
    struct smp m;

    smp_open(&m);
    for (unsigned turn = 0; turn < 50; turn++) {
        for (UINT32 i = 0; i < 512; i++)
            smp_store(&m, SMP_TABLE + i * 8, (SMP_PAGES + (UINT64)i * 4096) | 7);
        if (turn % 2) { /* both touch: one reads upwards, the other writes downwards */
            smp_repeat(&m, 0, 512, SMP_BYTES("\x8a\x07\x48\x81\xc7\x00\x10\x00\x00"));
            smp_repeat(&m, 1, 512, SMP_BYTES("\x88\x07\x48\x81\xef\x00\x10\x00\x00"));
            smp_set(&m, 0, WHvX64RegisterRdi, SMP_PAGES);
            smp_set(&m, 1, WHvX64RegisterRdi, SMP_PAGES + 511 * 4096);
        } else { /* one writes to the pages, the other sets bits in the entries: lock or byte [rdi + 1], 4 */
            smp_repeat(&m, 0, 512, SMP_BYTES("\x88\x07\x48\x81\xc7\x00\x10\x00\x00"));
            smp_repeat(&m, 1, 512, SMP_BYTES("\xf0\x80\x4f\x01\x04\x48\x83\xc7\x08"));
            smp_set(&m, 0, WHvX64RegisterRdi, SMP_PAGES);
            smp_set(&m, 1, WHvX64RegisterRdi, SMP_TABLE);
        }
        for (UINT32 i = 0; i < 2; i++) /* which forgets translations */
            smp_set(&m, i, WHvX64RegisterCr3, 0x2000);
        smp_run(&m);
        for (UINT32 i = 0; i < 512; i++)
            ck_assert_uint_eq(smp_load(&m, SMP_TABLE + i * 8),
                              (SMP_PAGES + (UINT64)i * 4096) | (turn % 2 ? 0x67 : 0x467));
    }
    smp_close(&m);
}
END_TEST

TCase *smp_guest_case(void)
{
    TCase *t = tcase_create("smp-guest");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, locked_instructions_lose_nothing, 0, FORMS);
    tcase_add_loop_test(t, crossing_and_other_accesses_are_atomic_to_each_other, 0, 8);
    tcase_add_test(t, a_spinlock_protects_plain_stores);
    tcase_add_test(t, a_fence_orders_stores_and_loads);
    tcase_add_test(t, messages_arrive_before_their_flag);
    tcase_add_test(t, a_string_is_stored_once);
    tcase_add_test(t, accessed_and_dirty_bits_of_both_are_kept);
    return t;
}
