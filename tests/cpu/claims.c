/* SPDX-License-Identifier: MIT */
/*
 * What CPUID claims against what the decoder carries out: each form of a claimed extension is there, and each form of any
 * other is #UD; for a whole profile, and for partitions that lack a feature each.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "decoder/decode.h"
#include "decoder/forms.h"
#include "state/profile.h"
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
    { "MCOMMIT", 0x80000008, 0, EBX, 8 }, { "MONITORX", 0x80000001, 0, ECX, 29 },
    { "AMD_INVLPGB", 0x80000008, 0, EBX, 3 }, { "CLDEMOTE", 7, 0, ECX, 25 },
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
    { "vmmcall", "", true, "a hypervisor's own: where nobody answers, the body makes it #UD" },
};

enum { EXTENSIONS = sizeof extensions / sizeof *extensions };

/* What a partition's CPUID claims of the extensions. */
struct claims {
    bool has[EXTENSIONS];
};

static unsigned extension_of(const char *name)
{
    unsigned i = 0;

    while (i < EXTENSIONS && strcmp(extensions[i].name, name))
        i++;
    return i;
}

static struct claims claims_of(WHV_PARTITION_HANDLE p)
{
    struct claims c;

    for (unsigned i = 0; i < EXTENSIONS; i++) {
        const struct extension *e = &extensions[i];
        WHV_CPUID_OUTPUT out;

        ck_ok(WHvGetVirtualProcessorCpuidOutput(p, 0, e->leaf, e->subleaf, &out));

        u32 words[4] = { out.Eax, out.Ebx, out.Ecx, out.Edx };

        c.has[i] = !e->leaf || (words[e->where] >> e->bit & 1);
    }
    return c;
}

struct kept {
    char mnemonic[24], extension[24], text[64];
    u8 bytes[15];
    bool is_ours;
};

struct walk {
    u32 mode;
    struct kept *form;
    unsigned n;
};
enum { MOST_FORMS = 8192 };

static void keep(void *context, const struct form *f)
{
    struct walk *w = context;
    struct kept *k = &w->form[w->n++];

    ck_assert_uint_le(w->n, MOST_FORMS);
    snprintf(k->mnemonic, sizeof k->mnemonic, "%s", f->mnemonic);
    snprintf(k->extension, sizeof k->extension, "%s", f->extension);
    snprintf(k->text, sizeof k->text, "%s", f->text);
    memcpy(k->bytes, f->bytes, sizeof k->bytes);
    k->is_ours = f->is_ours;
}

/* Should the form be carried out where this is claimed? */
static bool is_wanted(const struct claims *c, u32 mode, const struct kept *k)
{
    unsigned extension = extension_of(k->extension);
    bool is_bmi = !strncmp(k->extension, "BMI", 3);

    for (unsigned i = 0; i < sizeof exceptions / sizeof *exceptions; i++)
        if (!strcmp(exceptions[i].mnemonic, k->mnemonic) &&
            !strncmp(exceptions[i].form, k->text, strlen(exceptions[i].form)))
            return exceptions[i].is_ours;
    if (!strncmp(k->text, "VEX", 3) && !is_bmi && !c->has[extension_of("AVX")])
        return false;
    if ((is_bmi && !strcmp(k->mnemonic, "tzcnt")) || !strcmp(k->extension, "LZCNT")) /* else BSF and BSR */
        return true;
    if (!strcmp(k->extension, "LAHF") && mode != MODE_CODE64)
        return true;
    if (!strcmp(k->mnemonic, "vpclmulqdq") && !strcmp(k->extension, "AVX"))
        return c->has[extension_of("PCLMULQDQ")];
    return extension < EXTENSIONS && c->has[extension]; /* what the table doesn't know, nobody claims */
}

static const u32 modes[] = { MODE_CODE64, MODE_CODE32, MODE_CODE16 };

/* All forms of a mode, as a whole profile has them. */
static void walk_open(struct walk *w, u32 mode)
{
    struct partition p = { 0 };

    *w = (struct walk){ .mode = mode, .form = calloc(MOST_FORMS, sizeof *w->form) };
    ck_assert_ptr_nonnull(w->form);
    profile_use(&p, profile_find("zen"));
    ck_assert(forms_list(&p.has, mode, keep, w));
}

START_TEST(what_is_claimed_is_there_and_nothing_else)
{
    WHV_PARTITION_HANDLE p = partition_new(1);
    unsigned ours = 0, wrong = 0;
    struct claims c;
    struct walk w;

    ck_ok(WHvCreateVirtualProcessor(p, 0, 0));
    c = claims_of(p);
    walk_open(&w, modes[_i]);
    for (unsigned i = 0; i < w.n; i++) {
        const struct kept *k = &w.form[i];
        bool wanted = is_wanted(&c, w.mode, k);

        ours += k->is_ours;
        if (k->is_ours == wanted)
            continue;
        wrong++;
        fprintf(stderr, "%s %s of %s is %s\n", k->mnemonic, k->text, k->extension,
                wanted ? "claimed, and not there" : "there, and not claimed");
    }
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_gt(ours, 2500);
    ck_assert_uint_gt(w.n - ours, 100);
    free(w.form);
    ck_ok(WHvDeletePartition(p));
}
END_TEST

/* Features whose instructions are all there without them, or that have none of their own: what CPUID tells is all. */
static bool has_no_forms(const u64 away[GUEST_BANKS])
{
    static const u64 silent[GUEST_BANKS] = {
        (u64)1 << 9 | (u64)1 << 10 | (u64)1 << 11 | (u64)1 << 12 /* AltMovCr8, LZCNT, MisAlignSse, MmxExt */
            | (u64)1 << 15 | (u64)1 << 18 | (u64)1 << 23         /* 1 GiB pages, PCID, SMEP */
            | (u64)1 << 42 | (u64)1 << 46 | (u64)1 << 54         /* x87 pointers, IBPB, SSB_NO */
            | (u64)1 << 58,                                      /* UMIP */
        ~((u64)1 << 2 | (u64)1 << 3),                            /* all but CLZERO and RDPRU */
        (u64)1 << 13                                             /* XGETBV with ECX = 1 */
    };

    for (unsigned i = 0; i < GUEST_BANKS; i++)
        if (away[i] & ~silent[i])
            return false;
    return true;
}

/* Each bit of the banks alone: exactly the forms that CPUID doesn't claim any more are gone. */
START_TEST(what_is_taken_away_is_not_there)
{
    static const WHV_PARTITION_PROPERTY_CODE codes[2] = { WHvPartitionPropertyCodeProcessorFeaturesBanks,
                                                          WHvPartitionPropertyCodeProcessorXsaveFeatures };
    WHV_PROCESSOR_FEATURES_BANKS banks;
    WHV_PARTITION_HANDLE whole = partition_new(1);
    unsigned wrong = 0, taken = 0;
    u64 bank[GUEST_BANKS];
    struct walk w;

    ck_ok(WHvGetPartitionProperty(whole, codes[0], &banks, sizeof banks, NULL));
    ck_ok(WHvGetPartitionProperty(whole, codes[1], &bank[2], sizeof bank[2], NULL));
    bank[0] = banks.AsUINT64[0];
    bank[1] = banks.AsUINT64[1];
    walk_open(&w, modes[_i]);
    for (unsigned bit = 0; bit < GUEST_BANKS * 64; bit++) {
        u64 away[GUEST_BANKS] = { 0 };
        struct partition p = { 0 };
        WHV_PARTITION_HANDLE handle;
        struct claims c;
        unsigned gone = 0;

        away[bit / 64] = bank[bit / 64] & (u64)1 << bit % 64;
        if (!away[bit / 64])
            continue;
        handle = partition_without(away);
        ck_ok(WHvCreateVirtualProcessor(handle, 0, 0));
        c = claims_of(handle);
        ck_ok(WHvDeletePartition(handle));

        profile_use(&p, profile_find("zen"));
        p.features &= ~away[0];
        p.features1 &= ~away[1];
        p.xsave_features &= ~away[2];
        profile_settle(&p);
        for (unsigned i = 0; i < w.n; i++) {
            const struct kept *k = &w.form[i];
            bool is_ours = form_is_ours(&p.has, w.mode, k->bytes), wanted = is_wanted(&c, w.mode, k);

            gone += k->is_ours && !is_ours;
            if (is_ours == wanted)
                continue;
            wrong++;
            fprintf(stderr, "without bit %u of bank %u: %s %s of %s is %s\n", bit % 64, bit / 64, k->mnemonic, k->text,
                    k->extension, wanted ? "claimed, and not there" : "there, and not claimed");
        }
        if (w.mode == MODE_CODE64)
            ck_assert_msg((gone == 0) == has_no_forms(away), "bit %u of bank %u takes %u forms away", bit % 64,
                          bit / 64, gone);
        taken++;
    }
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_gt(taken, 50);
    free(w.form);
    ck_ok(WHvDeletePartition(whole));
}
END_TEST

/* 62 begins EVEX in 64-bit code, and 8F with a map of 8 or more XOP: whatever follows, no profile has it. */
START_TEST(evex_and_xop_are_undefined)
{
    static const u32 mode = MODE_CODE64 | MODE_CODE64 << MODE_STACK_SHIFT | MODE_LMA | MODE_PE | MODE_OSFXSR |
                            MODE_OSXSAVE | MODE_AVX;
    struct partition p = { 0 };
    u64 random = 1;

    profile_use(&p, profile_find("zen"));
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

        enum decode_result result = decode(&p.has, mode, bytes, sizeof bytes, 0, &in, &d);

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
    tcase_add_loop_test(t, what_is_taken_away_is_not_there, 0, 3);
    tcase_add_test(t, evex_and_xop_are_undefined);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    return s;
}
