/* SPDX-License-Identifier: MIT */
/*
 * What a processor can have beyond the 386: the one list that CPUID, the decoder, the control registers, the MSRs and the
 * page walk all ask. A partition has a feature if its caller left it in the banks, and what it needs is there too.
 */
#ifndef STATE_FEATURE_H
#define STATE_FEATURE_H

#include "state/types.h"

/*
 * FEATURE(name, what it needs, bank of the API, bit in the bank, leaf of CPUID, register, bit). FIXED ones are not the
 * API's to take away, POLICY is the profile's. AMD64 APM volume 3, appendix E.
 */
#define FEATURES(FEATURE)                                                                                       \
    FEATURE(FPU, ALWAYS, FIXED, 0, 1, EDX, 0)                                                                   \
    FEATURE(VME, ALWAYS, FIXED, 0, 1, EDX, 1)                                                                   \
    FEATURE(DE, ALWAYS, FIXED, 0, 1, EDX, 2)                                                                    \
    FEATURE(PSE, ALWAYS, FIXED, 0, 1, EDX, 3)                                                                   \
    FEATURE(TSC, ALWAYS, FIXED, 0, 1, EDX, 4)                                                                   \
    FEATURE(MSR, ALWAYS, FIXED, 0, 1, EDX, 5)                                                                   \
    FEATURE(PAE, ALWAYS, FIXED, 0, 1, EDX, 6)                                                                   \
    FEATURE(MCE, ALWAYS, FIXED, 0, 1, EDX, 7)                                                                   \
    FEATURE(CMPXCHG8B, ALWAYS, FIXED, 0, 1, EDX, 8)                                                             \
    FEATURE(SYSENTER, ALWAYS, FIXED, 0, 1, EDX, 11)                                                             \
    FEATURE(MTRR, ALWAYS, FIXED, 0, 1, EDX, 12)                                                                 \
    FEATURE(PGE, ALWAYS, FIXED, 0, 1, EDX, 13)                                                                  \
    FEATURE(MCA, ALWAYS, FIXED, 0, 1, EDX, 14)                                                                  \
    FEATURE(CMOV, ALWAYS, FIXED, 0, 1, EDX, 15)                                                                 \
    FEATURE(PAT, ALWAYS, FIXED, 0, 1, EDX, 16)                                                                  \
    FEATURE(PSE36, ALWAYS, FIXED, 0, 1, EDX, 17)                                                                \
    FEATURE(CLFLUSH, ALWAYS, FIXED, 0, 1, EDX, 19)                                                              \
    FEATURE(MMX, ALWAYS, FIXED, 0, 1, EDX, 23)                                                                  \
    FEATURE(FXSR, ALWAYS, FIXED, 0, 1, EDX, 24)                                                                 \
    FEATURE(SSE, ALWAYS, FIXED, 0, 1, EDX, 25)                                                                  \
    FEATURE(SSE2, ALWAYS, FIXED, 0, 1, EDX, 26)                                                                 \
    FEATURE(SSE3, ALWAYS, BANK0, 0, 1, ECX, 0)                                                                  \
    FEATURE(PCLMULQDQ, ALWAYS, BANK0, 17, 1, ECX, 1)                                                            \
    FEATURE(MONITOR, ALWAYS, POLICY, 0, 1, ECX, 3)                                                              \
    FEATURE(SSSE3, ALWAYS, BANK0, 2, 1, ECX, 9)                                                                 \
    FEATURE(FMA, AVX, XBANK, 4, 1, ECX, 12)                                                                     \
    FEATURE(CMPXCHG16B, ALWAYS, BANK0, 8, 1, ECX, 13)                                                           \
    FEATURE(PCID, ALWAYS, BANK0, 18, 1, ECX, 17)                                                                \
    FEATURE(SSE41, ALWAYS, BANK0, 3, 1, ECX, 19)                                                                \
    FEATURE(SSE42, ALWAYS, BANK0, 4, 1, ECX, 20)                                                                \
    FEATURE(MOVBE, ALWAYS, BANK0, 29, 1, ECX, 22)                                                               \
    FEATURE(POPCNT, ALWAYS, BANK0, 7, 1, ECX, 23)                                                               \
    FEATURE(TSC_DEADLINE, ALWAYS, BANK1, 17, 1, ECX, 24)           /* of the APIC: hypervisors' */            \
    FEATURE(AES, ALWAYS, BANK0, 16, 1, ECX, 25)                                                                 \
    FEATURE(XSAVE, ALWAYS, XBANK, 0, 1, ECX, 26)                                                                \
    FEATURE(AVX, XSAVE, XBANK, 2, 1, ECX, 28)                                                                   \
    FEATURE(F16C, AVX, BANK0, 20, 1, ECX, 29)                                                                   \
    FEATURE(RDRAND, ALWAYS, BANK0, 21, 1, ECX, 30)                                                              \
    FEATURE(APERFMPERF, ALWAYS, BANK1, 0, 6, ECX, 0)               /* MSRs E7 and E8 */                         \
    FEATURE(FSGSBASE, ALWAYS, BANK0, 22, 7, EBX, 0)                                                             \
    FEATURE(BMI1, ALWAYS, BANK0, 25, 7, EBX, 3)                                                                 \
    FEATURE(AVX2, AVX, XBANK, 3, 7, EBX, 5)                                                                     \
    FEATURE(SMEP, ALWAYS, BANK0, 23, 7, EBX, 7)                                                                 \
    FEATURE(BMI2, ALWAYS, BANK0, 26, 7, EBX, 8)                                                                 \
    FEATURE(INVPCID, ALWAYS, BANK0, 43, 7, EBX, 10)                                                             \
    FEATURE(RDSEED, ALWAYS, BANK0, 32, 7, EBX, 18)                                                              \
    FEATURE(ADX, ALWAYS, BANK0, 33, 7, EBX, 19)                                                                 \
    FEATURE(SMAP, ALWAYS, BANK0, 35, 7, EBX, 20)                                                                \
    FEATURE(CLFLUSHOPT, ALWAYS, BANK0, 39, 7, EBX, 23)                                                          \
    FEATURE(CLWB, ALWAYS, BANK0, 40, 7, EBX, 24)                                                                \
    FEATURE(SHA, ALWAYS, BANK0, 41, 7, EBX, 29)                                                                 \
    FEATURE(UMIP, ALWAYS, BANK0, 58, 7, ECX, 2)                                                                 \
    FEATURE(PKU, XSAVE, FIXED, 0, 7, ECX, 3)                                                                    \
    FEATURE(GFNI, ALWAYS, XBANK, 19, 7, ECX, 8)                                                                 \
    FEATURE(VAES, AVX, XBANK, 20, 7, ECX, 9)                                                                    \
    FEATURE(VPCLMULQDQ, AVX, XBANK, 22, 7, ECX, 10)                                                             \
    FEATURE(LA57, ALWAYS, BANK1, 4, 7, ECX, 16)                                                                 \
    FEATURE(RDPID, ALWAYS, BANK0, 57, 7, ECX, 22)                                                               \
    FEATURE(XSAVEOPT, XSAVE, XBANK, 1, 0xd, EAX, 0)                /* of subleaf 1 */                           \
    FEATURE(XSAVEC, XSAVE, XBANK, 11, 0xd, EAX, 1)                 /* and the compacted form */                 \
    FEATURE(XGETBV1, XSAVE, XBANK, 13, 0xd, EAX, 2)                /* XGETBV with ECX = 1 */                    \
    FEATURE(XSAVES, XSAVE, XBANK, 12, 0xd, EAX, 3)                 /* XRSTORS, IA32_XSS */                      \
    FEATURE(LAHF64, ALWAYS, BANK0, 1, 0x80000001, ECX, 0)          /* LAHF and SAHF in 64-bit code */           \
    FEATURE(ALT_CR8, ALWAYS, BANK0, 9, 0x80000001, ECX, 4)         /* LOCK MOV CR0 is CR8 */                    \
    FEATURE(LZCNT, ALWAYS, BANK0, 10, 0x80000001, ECX, 5)                                                       \
    FEATURE(SSE4A, ALWAYS, BANK0, 5, 0x80000001, ECX, 6)                                                        \
    FEATURE(MISALIGNED_SSE, ALWAYS, BANK0, 11, 0x80000001, ECX, 7) /* MXCSR.MM */                               \
    FEATURE(PREFETCHW, ALWAYS, FIXED, 0, 0x80000001, ECX, 8)      /* PREFETCH too */                            \
    FEATURE(TOPOLOGY, ALWAYS, FIXED, 0, 0x80000001, ECX, 22)      /* and cache leaves 8000001D, 8000001E */     \
    FEATURE(MONITORX, ALWAYS, POLICY, 0, 0x80000001, ECX, 29)                                                   \
    FEATURE(SYSCALL, ALWAYS, FIXED, 0, 0x80000001, EDX, 11)                                                     \
    FEATURE(NX, ALWAYS, FIXED, 0, 0x80000001, EDX, 20)                                                          \
    FEATURE(MMXEXT, ALWAYS, BANK0, 12, 0x80000001, EDX, 22)        /* AMD's extensions to MMX, SSE has them */  \
    FEATURE(PAGE1G, ALWAYS, BANK0, 15, 0x80000001, EDX, 26)        /* 1 GiB pages */                            \
    FEATURE(RDTSCP, ALWAYS, BANK0, 38, 0x80000001, EDX, 27)                                                     \
    FEATURE(LONG_MODE, ALWAYS, FIXED, 0, 0x80000001, EDX, 29)                                                   \
    FEATURE(INVARIANT_TSC, ALWAYS, BANK1, 1, 0x80000007, EDX, 8)   /* the TSC never changes its pace */         \
    FEATURE(CLZERO, ALWAYS, BANK1, 2, 0x80000008, EBX, 0)                                                       \
    FEATURE(X87_POINTERS, ALWAYS, BANK0, 42, 0x80000008, EBX, 2)   /* FXSAVE, XSAVE always save the pointers */ \
    FEATURE(RDPRU, ALWAYS, BANK1, 3, 0x80000008, EBX, 4)                                                        \
    FEATURE(IBPB, ALWAYS, BANK0, 46, 0x80000008, EBX, 12)          /* which has nothing to do here */           \
    FEATURE(SSB_NO, ALWAYS, BANK0, 54, 0x80000008, EBX, 26)        /* no speculative store bypass */            \
    FEATURE(BTC_NO, ALWAYS, BANK1, 29, 0x80000008, EBX, 29)        /* no branch type confusion */               \
    FEATURE(IBPB_RET, ALWAYS, BANK1, 30, 0x80000008, EBX, 30)      /* IBPB clears return predictions */         \
    FEATURE(LFENCE, ALWAYS, FIXED, 0, 0x80000021, EAX, 2)         /* it serializes */                           \
    FEATURE(NULL_BASE, ALWAYS, FIXED, 0, 0x80000021, EAX, 6)      /* a null selector clears the base */         \
    FEATURE(AIBRS, ALWAYS, FIXED, 0, 0x80000021, EAX, 8)          /* EFER.AIBRSE */                             \
    FEATURE(SRSO_NO, ALWAYS, BANK1, 56, 0x80000021, EAX, 29)       /* no speculative return stack overflow */   \
    FEATURE(TSA_SQ_NO, ALWAYS, FIXED, 0, 0x80000021, ECX, 1)      /* no scheduler attack: store queue */        \
    FEATURE(TSA_L1_NO, ALWAYS, FIXED, 0, 0x80000021, ECX, 2)      /* nor by L1 */

enum feature {
    HAS_NOTHING, /* never */
    HAS_ALWAYS,  /* what every processor with long mode has */
#define FEATURE(name, needs, bank, number, leaf, where, bit) HAS_##name,
    FEATURES(FEATURE)
#undef FEATURE
    HAS_TSC_AUX, /* follows from RDTSCP or RDPID */
    FEATURE_COUNT
};

struct features {
    u64 word[2];
};
_Static_assert(FEATURE_COUNT <= 128, "a bit for each feature");

INLINE bool has(const struct features *f, unsigned feature)
{
    return f->word[feature / 64] >> feature % 64 & 1;
}

#endif
