/* SPDX-License-Identifier: MIT */
/* Which feature of state/feature.h each of Zydis' sets of instructions comes with. */
#include "decoder/correction.h"

#define SET(name) ZYDIS_ISA_SET_##name

/* Sets that aren't here nobody has. */
static const u8 needs[ZYDIS_ISA_SET_MAX_VALUE + 1] = {
    [SET(I86)] = HAS_ALWAYS,         [SET(I186)] = HAS_ALWAYS,       [SET(I286REAL)] = HAS_ALWAYS,
    [SET(I286PROTECTED)] = HAS_ALWAYS, [SET(I386)] = HAS_ALWAYS,     [SET(I486)] = HAS_ALWAYS,
    [SET(I486REAL)] = HAS_ALWAYS,    [SET(PENTIUMREAL)] = HAS_ALWAYS, [SET(PPRO)] = HAS_ALWAYS,
    [SET(FAT_NOP)] = HAS_ALWAYS,     [SET(PAUSE)] = HAS_ALWAYS,      [SET(RDPMC)] = HAS_ALWAYS,
    [SET(LONGMODE)] = HAS_LONG_MODE, [SET(X87)] = HAS_FPU,           [SET(CMOV)] = HAS_CMOV,
    [SET(FCMOV)] = HAS_CMOV,         [SET(PENTIUMMMX)] = HAS_MMX,    [SET(FXSAVE)] = HAS_FXSR,
    [SET(FXSAVE64)] = HAS_FXSR,      [SET(CLFSH)] = HAS_CLFLUSH,     [SET(AMD)] = HAS_SYSCALL,
    [SET(PREFETCH_NOP)] = HAS_PREFETCHW, [SET(PREFETCHWT1)] = HAS_PREFETCHW,

    [SET(SSE)] = HAS_SSE,            [SET(SSEMXCSR)] = HAS_SSE,      [SET(SSE_PREFETCH)] = HAS_SSE,
    [SET(SSE2)] = HAS_SSE2,          [SET(SSE2MMX)] = HAS_SSE2,      [SET(SSE3)] = HAS_SSE3,
    [SET(SSE3X87)] = HAS_SSE3,       [SET(SSSE3)] = HAS_SSSE3,       [SET(SSSE3MMX)] = HAS_SSSE3,
    [SET(SSE4)] = HAS_SSE41,         [SET(SSE42)] = HAS_SSE42,       [SET(SSE4A)] = HAS_SSE4A,
    [SET(AES)] = HAS_AES,            [SET(PCLMULQDQ)] = HAS_PCLMULQDQ, [SET(SHA)] = HAS_SHA,
    [SET(GFNI)] = HAS_GFNI,

    [SET(AVX)] = HAS_AVX,            [SET(AVX2)] = HAS_AVX2,         [SET(AVX2GATHER)] = HAS_AVX2,
    [SET(FMA)] = HAS_FMA,            [SET(F16C)] = HAS_F16C,         [SET(AVXAES)] = HAS_AES,
    [SET(VAES)] = HAS_VAES,          [SET(VPCLMULQDQ)] = HAS_VPCLMULQDQ, [SET(AVX_GFNI)] = HAS_GFNI,

    [SET(XSAVE)] = HAS_XSAVE,        [SET(XSAVEOPT)] = HAS_XSAVEOPT, [SET(XSAVEC)] = HAS_XSAVEC,
    [SET(XSAVES)] = HAS_XSAVES,

    [SET(ADOX_ADCX)] = HAS_ADX,      [SET(BMI1)] = HAS_BMI1,         [SET(BMI2)] = HAS_BMI2,
    [SET(CMPXCHG16B)] = HAS_CMPXCHG16B, [SET(LZCNT)] = HAS_LZCNT,    [SET(MOVBE)] = HAS_MOVBE,
    [SET(POPCNT)] = HAS_POPCNT,      [SET(RDRAND)] = HAS_RDRAND,     [SET(RDSEED)] = HAS_RDSEED,
    [SET(CLFLUSHOPT)] = HAS_CLFLUSHOPT, [SET(CLWB)] = HAS_CLWB,      [SET(CLZERO)] = HAS_CLZERO,
    [SET(INVPCID)] = HAS_INVPCID,    [SET(PKU)] = HAS_PKU,           [SET(RDPID)] = HAS_RDPID,
    [SET(RDTSCP)] = HAS_RDTSCP,      [SET(RDWRFSGS)] = HAS_FSGSBASE, [SET(SMAP)] = HAS_SMAP,
    [SET(RDPRU)] = HAS_RDPRU,        [SET(MONITOR)] = HAS_MONITOR,   [SET(MONITORX)] = HAS_MONITORX,
};

bool is_there(const struct features *features, u32 mode, const ZydisDecodedInstruction *z)
{
    ZydisISASet s = z->meta.isa_set;

    if (s == SET(LAHF)) /* in 64-bit code alone it's a feature: APM 3, LAHF */
        return (mode & MODE_CODE) != MODE_CODE64 || has(features, HAS_LAHF64);
    if (z->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX && s != SET(BMI1) && s != SET(BMI2) && !has(features, HAS_AVX))
        return false;
    if (z->mnemonic == ZYDIS_MNEMONIC_VMMCALL) /* the body knows whether there is somebody to call */
        return true;
    if (z->mnemonic == ZYDIS_MNEMONIC_VPCLMULQDQ && s == SET(AVX)) /* the form of 128 bits */
        return has(features, HAS_PCLMULQDQ);
    return has(features, needs[s]);
}
