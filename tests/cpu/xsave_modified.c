/* SPDX-License-Identifier: MIT */
/*
 * The modified optimization: what XSAVEOPT and XSAVES leave out, since XRSTOR loaded it from there and it is the same since.
 * The table was read off a Zen 3; what it has for XSAVES follows SDM 1, 13.11.
 */
#include "state/x86.h"
#include "state/xstate.h"
#include "tests/whp/guest.h"

TCase *xsave_modified_case(void);

enum { AREA = 0xa000, OTHER_AREA = 0xb000, XMM3 = 160 + 3 * 16, YMM3 = 576 + 3 * 16, ST0 = 32 };
enum { ALL = STATE_X87 | STATE_SSE | STATE_AVX };

#define X(text) text, sizeof(text) - 1
#define NOTHING X("")
#define XSAVE64 "\x48\x0f\xae\x26"    /* [rsi] */
#define XSAVEOPT64 "\x48\x0f\xae\x36"
#define XSAVEC64 "\x48\x0f\xc7\x26"
#define XSAVES64 "\x48\x0f\xc7\x2e"
#define XRSTOR64 "\x48\x0f\xae\x2f"   /* [rdi] */
#define XRSTORS64 "\x48\x0f\xc7\x1f"

static const struct row {
    const char *name, *load, *between;
    size_t size;
    const char *save;
    u32 loaded, saved;
    bool elsewhere;
    u64 written; /* components whose bytes in the area are the processor's afterwards */
} rows[] = {
    { "nothing between", XRSTOR64, NOTHING, XSAVEOPT64, ALL, ALL, false, 0 },
    { "to another place", XRSTOR64, NOTHING, XSAVEOPT64, ALL, ALL, true, ALL },
    { "XSAVE", XRSTOR64, NOTHING, XSAVE64, ALL, ALL, false, ALL },
    { "XSAVEC", XRSTOR64, NOTHING, XSAVEC64, ALL, ALL, false, ALL },
    { "AVX wasn't loaded", XRSTOR64, NOTHING, XSAVEOPT64, STATE_X87 | STATE_SSE, ALL, false, STATE_AVX },
    { "only AVX was loaded", XRSTOR64, NOTHING, XSAVEOPT64, STATE_AVX, ALL, false, STATE_X87 | STATE_SSE },
    { "only AVX is saved", XRSTOR64, NOTHING, XSAVEOPT64, ALL, STATE_AVX, false, 0 },
    { "fchs", XRSTOR64, X("\xd9\xe0"), XSAVEOPT64, ALL, ALL, false, STATE_X87 },
    { "fnop", XRSTOR64, X("\xd9\xd0"), XSAVEOPT64, ALL, ALL, false, STATE_X87 },
    { "pcmpeqd xmm4, xmm4", XRSTOR64, X("\x66\x0f\x76\xe4"), XSAVEOPT64, ALL, ALL, false, STATE_SSE },
    { "vpcmpeqd ymm4, ymm4, ymm4", XRSTOR64, X("\xc5\xdd\x76\xe4"), XSAVEOPT64, ALL, ALL, false, STATE_SSE | STATE_AVX },
    { "vzeroupper", XRSTOR64, X("\xc5\xf8\x77"), XSAVEOPT64, ALL, ALL, false, 0 }, /* initial now */
    { "XSAVE elsewhere", XRSTOR64, X("\x48\x0f\xae\xa6\x00\x10\x00\x00"), XSAVEOPT64, ALL, ALL, false, 0 },
    { "XSAVES behind XRSTOR of the standard form", XRSTOR64, NOTHING, XSAVES64, ALL, ALL, false, ALL },
    { "XSAVES behind XRSTORS", XRSTORS64, NOTHING, XSAVES64, ALL, ALL, false, 0 },
    { "XSAVES of another layout", XRSTORS64, NOTHING, XSAVES64, ALL, STATE_X87 | STATE_SSE, false, STATE_X87 | STATE_SSE },
    { "XSAVES, XMM4 changed", XRSTORS64, X("\x66\x0f\x76\xe4"), XSAVES64, ALL, ALL, false, STATE_SSE },
};

/* fld1; vpcmpeqd ymm3, ymm3, ymm3; save to [rdi]; load; what is between; mark the area at RSI; save to it; hlt */
static size_t compose(const struct row *r, u8 *code)
{
    bool compacted = !strcmp(r->load, XRSTORS64);
    size_t n = 0;

#define ADD(bytes, count) (memcpy(code + n, bytes, count), n += (count))
    ADD("\xd9\xe8\xc5\xe5\x76\xdb\x31\xd2\xb8\x07\x00\x00\x00\x57\x5e", 15); /* ...; xor edx, edx; mov eax, 7; rsi = rdi */
    ADD(compacted ? XSAVEC64 : XSAVE64, 4);
    ADD("\xb8", 1);
    ADD(&r->loaded, 4);
    ADD(r->load, 4);
    ADD(r->between, r->size);
    if (r->elsewhere)
        ADD("\x48\x81\xc6\x00\x10\x00\x00", 7); /* add rsi, 1000h */
    ADD("\xc6\x46\x20\x11\xc6\x86\xd0\x00\x00\x00\x11\xc6\x86\x70\x02\x00\x00\x11", 18); /* mov byte ptr [rsi+20h], 11h ... */
    ADD("\xb8", 1);
    ADD(&r->saved, 4);
    ADD(r->save, 4);
    ADD("\xf4", 1);
#undef ADD
    return n;
}

START_TEST(what_is_the_same_as_was_loaded_is_not_saved)
{
    const struct row *r = &rows[_i];
    u8 code[128];
    struct guest g;

    guest_open(&g, GUEST_LONG, code, compose(r, code));
    guest_set(&g, WHvX64RegisterCr4, 0x20 | CR4_OSFXSR | CR4_OSXSAVE);
    guest_set(&g, WHvX64RegisterXCr0, ALL);
    guest_set(&g, WHvX64RegisterRdi, AREA);
    ck_assert_uint_eq(guest_run(&g), WHvRunVpExitReasonX64Halt);

    const u8 *area = g.memory + (r->elsewhere ? OTHER_AREA : AREA);
    u64 written = (area[ST0] != 0x11 ? STATE_X87 : 0) | (area[XMM3] != 0x11 ? STATE_SSE : 0) |
                  (area[YMM3] != 0x11 ? STATE_AVX : 0);

    ck_assert_msg(written == r->written, "%s: %lx is written, not %lx", r->name, written, r->written);
    guest_close(&g);
}
END_TEST

TCase *xsave_modified_case(void)
{
    TCase *t = tcase_create("modified");

    tcase_add_loop_test(t, what_is_the_same_as_was_loaded_is_not_saved, 0, sizeof rows / sizeof *rows);
    return t;
}
