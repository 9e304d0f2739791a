/* SPDX-License-Identifier: MIT */
/*
 * What CPUID claims against what the decoder carries out: each form of a claimed extension is there, and each form of any
 * other is #UD.
 */
#include <check.h>
#include <stdio.h>

#include "decoder/decode.h"
#include "decoder/forms.h"
#include "tests/whp/guest.h"

Suite *claims_suite(void);

enum register_of { EAX, EBX, ECX, EDX };

/* Where CPUID claims an extension, by Zydis' name; leaf 0: each processor with long mode has it. */
static const struct extension {
    const char *name;
    u32 leaf, subleaf;
    enum register_of where;
    unsigned bit;
} extensions[] = {
    { "I86", 0, 0, 0, 0 },          { "I186", 0, 0, 0, 0 },          { "I286REAL", 0, 0, 0, 0 },
    { "I286PROTECTED", 0, 0, 0, 0 },{ "I386", 0, 0, 0, 0 },          { "I486", 0, 0, 0, 0 },
    { "I486REAL", 0, 0, 0, 0 },     { "PENTIUMREAL", 0, 0, 0, 0 },   { "PPRO", 0, 0, 0, 0 },
    { "FAT_NOP", 0, 0, 0, 0 },      { "PREFETCH_NOP", 0, 0, 0, 0 },  { "PAUSE", 0, 0, 0, 0 },
    { "RDPMC", 0, 0, 0, 0 },        { "LONGMODE", 0x80000001, 0, EDX, 29 },
    { "X87", 1, 0, EDX, 0 },        { "CMOV", 1, 0, EDX, 15 },       { "FCMOV", 1, 0, EDX, 15 },
    { "PENTIUMMMX", 1, 0, EDX, 23 },{ "FXSAVE", 1, 0, EDX, 24 },     { "FXSAVE64", 1, 0, EDX, 24 },
    { "SSE", 1, 0, EDX, 25 },       { "SSEMXCSR", 1, 0, EDX, 25 },   { "SSE_PREFETCH", 1, 0, EDX, 25 },
    { "SSE2", 1, 0, EDX, 26 },      { "SSE2MMX", 1, 0, EDX, 26 },    { "SSE3", 1, 0, ECX, 0 },
    { "SSE3X87", 1, 0, ECX, 0 },    { "PCLMULQDQ", 1, 0, ECX, 1 },   { "MONITOR", 1, 0, ECX, 3 },
    { "SSSE3", 1, 0, ECX, 9 },      { "SSSE3MMX", 1, 0, ECX, 9 },    { "FMA", 1, 0, ECX, 12 },
    { "CMPXCHG16B", 1, 0, ECX, 13 },{ "SSE4", 1, 0, ECX, 19 },       { "SSE42", 1, 0, ECX, 20 },
    { "MOVBE", 1, 0, ECX, 22 },     { "POPCNT", 1, 0, ECX, 23 },     { "AES", 1, 0, ECX, 25 },
    { "XSAVE", 1, 0, ECX, 26 },     { "AVX", 1, 0, ECX, 28 },        { "AVXAES", 1, 0, ECX, 25 },
    { "F16C", 1, 0, ECX, 29 },      { "RDRAND", 1, 0, ECX, 30 },     { "RDWRFSGS", 7, 0, EBX, 0 },
    { "BMI1", 7, 0, EBX, 3 },       { "RTM", 7, 0, EBX, 11 },        { "AVX2", 7, 0, EBX, 5 },
    { "AVX2GATHER", 7, 0, EBX, 5 }, { "BMI2", 7, 0, EBX, 8 },        { "INVPCID", 7, 0, EBX, 10 },
    { "RDSEED", 7, 0, EBX, 18 },    { "ADOX_ADCX", 7, 0, EBX, 19 },  { "SMAP", 7, 0, EBX, 20 },
    { "CLFLUSHOPT", 7, 0, EBX, 23 },{ "CLWB", 7, 0, EBX, 24 },       { "SHA", 7, 0, EBX, 29 },
    { "CLFSH", 1, 0, EDX, 19 },     { "PKU", 7, 0, ECX, 3 },         { "GFNI", 7, 0, ECX, 8 },
    { "AVX_GFNI", 7, 0, ECX, 8 },   { "VAES", 7, 0, ECX, 9 },        { "VPCLMULQDQ", 7, 0, ECX, 10 },
    { "RDPID", 7, 0, ECX, 22 },     { "MOVDIR", 7, 0, ECX, 27 },     { "ENQCMD", 7, 0, ECX, 29 },
    { "SERIALIZE", 7, 0, EDX, 14 }, { "CET", 7, 0, ECX, 7 },         { "WAITPKG", 7, 0, ECX, 5 },
    { "XSAVEOPT", 0xd, 1, EAX, 0 }, { "XSAVEC", 0xd, 1, EAX, 1 },    { "XSAVES", 0xd, 1, EAX, 3 },
    { "LAHF", 0x80000001, 0, ECX, 0 }, { "SVM", 0x80000001, 0, ECX, 2 }, { "LZCNT", 0x80000001, 0, ECX, 5 },
    { "SSE4A", 0x80000001, 0, ECX, 6 }, { "PREFETCHWT1", 0x80000001, 0, ECX, 8 },
    { "XOP", 0x80000001, 0, ECX, 11 }, { "FMA4", 0x80000001, 0, ECX, 16 }, { "TBM", 0x80000001, 0, ECX, 21 },
    { "AMD", 0x80000001, 0, EDX, 11 }, { "RDTSCP", 0x80000001, 0, EDX, 27 },
    { "AMD3DNOW", 0x80000001, 0, EDX, 31 }, { "CLZERO", 0x80000008, 0, EBX, 0 }, { "RDPRU", 0x80000008, 0, EBX, 4 },
    { "MCOMMIT", 0x80000008, 0, EBX, 8 },
};

/* Forms that aren't what their extension's claim says, with the reason. */
static const struct {
    const char *mnemonic, *form; /* form: how it begins */
    bool is_ours;
    const char *why;
} exceptions[] = {
    { "ud0", "", false, "#UD by definition" },
    { "ud1", "", false, "#UD by definition" },
    { "ud2", "", false, "#UD by definition" },
    { "rsm", "", false, "outside of system-management mode, which no guest enters" },
    { "prefetchwt1", "", true, "0F 0D is PREFETCHW on AMD's processors" },
    { "nop", "0F.0D r", false, "the register forms of PREFETCHW are #UD on a Zen 4" },
    { "nop", "66.0F.0D r", false, "the same" },
    { "getsec", "", false, "Intel's" },
};

struct walk {
    WHV_PARTITION_HANDLE partition;
    unsigned ours, others, wrong;
};

static bool is_claimed(struct walk *w, const char *name)
{
    for (unsigned i = 0; i < sizeof extensions / sizeof *extensions; i++) {
        const struct extension *e = &extensions[i];
        WHV_CPUID_OUTPUT out;
        u32 words[4];

        if (strcmp(e->name, name))
            continue;
        if (!e->leaf)
            return true;
        ck_ok(WHvGetVirtualProcessorCpuidOutput(w->partition, 0, e->leaf, e->subleaf, &out));
        words[EAX] = out.Eax;
        words[EBX] = out.Ebx;
        words[ECX] = out.Ecx;
        words[EDX] = out.Edx;
        return words[e->where] >> e->bit & 1;
    }
    return false; /* what this table doesn't know, nobody claims */
}

static void judge(void *context, const struct form *f)
{
    struct walk *w = context;
    bool wanted = is_claimed(w, f->extension);

    for (unsigned i = 0; i < sizeof exceptions / sizeof *exceptions; i++)
        if (!strcmp(exceptions[i].mnemonic, f->mnemonic) &&
            !strncmp(exceptions[i].form, f->text, strlen(exceptions[i].form)))
            wanted = exceptions[i].is_ours;
    w->ours += f->is_ours;
    w->others += !f->is_ours;
    if (f->is_ours == wanted)
        return;
    w->wrong++;
    fprintf(stderr, "%s %s of %s is %s\n", f->mnemonic, f->text, f->extension,
            wanted ? "claimed, and not there" : "there, and not claimed");
}

START_TEST(what_is_claimed_is_there_and_nothing_else)
{
    static const u32 modes[] = { MODE_CODE64, MODE_CODE32, MODE_CODE16 };
    struct walk w = { .partition = partition_new(1) };

    ck_ok(WHvCreateVirtualProcessor(w.partition, 0, 0));
    ck_assert(forms_list(modes[_i], judge, &w));
    ck_assert_uint_eq(w.wrong, 0);
    ck_assert_uint_gt(w.ours, 2500);
    ck_assert_uint_gt(w.others, 100);
    ck_ok(WHvDeletePartition(w.partition));
}
END_TEST

/* 62 begins EVEX in 64-bit code, and 8F with a map of 8 or more XOP: whatever follows, no profile has it. */
START_TEST(evex_and_xop_are_undefined)
{
    static const u32 mode = MODE_CODE64 | MODE_CODE64 << MODE_STACK_SHIFT | MODE_LMA | MODE_PE | MODE_OSFXSR |
                            MODE_OSXSAVE | MODE_AVX;
    u64 random = 1;

    for (unsigned i = 0; i < 200000; i++) {
        struct insn in;
        struct decoded d;
        u8 bytes[15];

        for (unsigned n = 0; n < sizeof bytes; n++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            bytes[n] = (u8)(random >> 56);
        }
        bytes[0] = i & 1 ? 0x62 : 0x8f;
        if (bytes[0] == 0x8f)
            bytes[1] = (u8)((bytes[1] & 0xe0) | 8 | (bytes[1] & 3)); /* maps 8 to B */

        enum decode_result result = decode(mode, bytes, sizeof bytes, 0, &in, &d);

        ck_assert_msg(result == DECODE_TOO_LONG || in.run == run_ud || in.run == run_gp,
                      "%02x %02x %02x %02x %02x %02x is carried out", bytes[0], bytes[1], bytes[2], bytes[3], bytes[4],
                      bytes[5]);
    }
}
END_TEST

Suite *claims_suite(void)
{
    Suite *s = suite_create("claims");
    TCase *t = tcase_create("claims");

    tcase_add_loop_test(t, what_is_claimed_is_there_and_nothing_else, 0, 3);
    tcase_add_test(t, evex_and_xop_are_undefined);
    suite_add_tcase(s, t);
    return s;
}
