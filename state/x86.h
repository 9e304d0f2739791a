/* SPDX-License-Identifier: MIT */
/* The architecture's numbers: registers, flags, control bits, vectors. AMD64 APM volumes 1 and 2, Intel SDM volume 3A. */
#ifndef STATE_X86_H
#define STATE_X86_H

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

/* Segment registers by the number that instructions use, then the two system ones. */
enum { ES, CS, SS, DS, FS, GS, LDTR, TR, SEGMENTS };

enum {
    CF = 1 << 0,
    PF = 1 << 2,
    AF = 1 << 4,
    ZF = 1 << 6,
    SF = 1 << 7,
    TF = 1 << 8,
    IF = 1 << 9,
    DF = 1 << 10,
    OF = 1 << 11,
    IOPL = 3 << 12,
    NT = 1 << 14,
    RF = 1 << 16,
    VM = 1 << 17,
    AC = 1 << 18,
    VIF = 1 << 19,
    VIP = 1 << 20,
    ID = 1 << 21,
    STATUS = CF | PF | AF | ZF | SF | OF,
    RFLAGS_FIXED = 1 << 1,
    RFLAGS_ALL = STATUS | TF | IF | DF | IOPL | NT | RF | VM | AC | VIF | VIP | ID | RFLAGS_FIXED
};

#define CR0_PE (1u << 0)
#define CR0_MP (1u << 1)
#define CR0_EM (1u << 2)
#define CR0_TS (1u << 3)
#define CR0_ET (1u << 4)
#define CR0_NE (1u << 5)
#define CR0_WP (1u << 16)
#define CR0_AM (1u << 18)
#define CR0_NW (1u << 29)
#define CR0_CD (1u << 30)
#define CR0_PG (1u << 31)

#define CR4_VME (1u << 0)
#define CR4_PVI (1u << 1)
#define CR4_TSD (1u << 2)
#define CR4_DE (1u << 3)
#define CR4_PSE (1u << 4)
#define CR4_PAE (1u << 5)
#define CR4_MCE (1u << 6)
#define CR4_PGE (1u << 7)
#define CR4_PCE (1u << 8)
#define CR4_OSFXSR (1u << 9)
#define CR4_OSXMMEXCPT (1u << 10)
#define CR4_UMIP (1u << 11)
#define CR4_LA57 (1u << 12)
#define CR4_FSGSBASE (1u << 16)
#define CR4_PCIDE (1u << 17)
#define CR4_OSXSAVE (1u << 18)
#define CR4_SMEP (1u << 20)
#define CR4_SMAP (1u << 21)
#define CR4_PKE (1u << 22)

#define EFER_SCE (1u << 0)
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)
#define EFER_NXE (1u << 11)
#define EFER_SVME (1u << 12)
#define EFER_LMSLE (1u << 13)
#define EFER_FFXSR (1u << 14)
#define EFER_TCE (1u << 15)
#define EFER_AIBRSE (1u << 21)

/* Page-table entries. */
#define PTE_P (1ull << 0)
#define PTE_W (1ull << 1)
#define PTE_U (1ull << 2)
#define PTE_A (1ull << 5)
#define PTE_D (1ull << 6)
#define PTE_PS (1ull << 7)
#define PTE_G (1ull << 8)
#define PTE_NX (1ull << 63)

/* Page-fault error codes. */
enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16, PF_PK = 32 };

enum {
    VECTOR_DE = 0,
    VECTOR_DB = 1,
    VECTOR_NMI = 2,
    VECTOR_BP = 3,
    VECTOR_OF = 4,
    VECTOR_BR = 5,
    VECTOR_UD = 6,
    VECTOR_NM = 7,
    VECTOR_DF = 8,
    VECTOR_TS = 10,
    VECTOR_NP = 11,
    VECTOR_SS = 12,
    VECTOR_GP = 13,
    VECTOR_PF = 14,
    VECTOR_MF = 16,
    VECTOR_AC = 17,
    VECTOR_MC = 18,
    VECTOR_XM = 19
};

/* Segment attributes as WHV_X64_SEGMENT_REGISTER has them: the descriptor's bits 55:40 with bits 11:8 zero. */
enum {
    SEG_TYPE = 15,
    SEG_ACCESSED = 1,
    SEG_WRITE = 2,      /* data: writable; code: readable */
    SEG_DOWN = 4,       /* data: expands down; code: conforming */
    SEG_CODE = 8,
    SEG_S = 1 << 4,     /* code or data, not system */
    SEG_DPL_SHIFT = 5,
    SEG_P = 1 << 7,
    SEG_AVL = 1 << 12,
    SEG_L = 1 << 13,
    SEG_DB = 1 << 14,
    SEG_G = 1 << 15
};

/* Types of system descriptors. */
enum {
    TYPE_TSS16 = 1,
    TYPE_LDT = 2,
    TYPE_TSS16_BUSY = 3,
    TYPE_CALL16 = 4,
    TYPE_TASK = 5,
    TYPE_INT16 = 6,
    TYPE_TRAP16 = 7,
    TYPE_TSS32 = 9,
    TYPE_TSS32_BUSY = 11,
    TYPE_CALL32 = 12,
    TYPE_INT32 = 14,
    TYPE_TRAP32 = 15
};

#define DR6_FIXED 0xffff0ff0u
#define DR6_BD (1u << 13)
#define DR6_BS (1u << 14)
#define DR6_BT (1u << 15)
#define DR7_FIXED 0x400u
#define DR7_GD (1u << 13)

#define MXCSR_FLAGS 0x3fu
#define MXCSR_DAZ (1u << 6)
#define MXCSR_MASKS 0x1f80u
#define MXCSR_FTZ (1u << 15)

#define MSR_TSC 0x10u
#define MSR_APIC_BASE 0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_MPERF 0xe7u
#define MSR_APERF 0xe8u
#define MSR_SYSENTER_CS 0x174u
#define MSR_SYSENTER_ESP 0x175u
#define MSR_SYSENTER_EIP 0x176u
#define MSR_PAT 0x277u
#define MSR_XSS 0xda0u
#define MSR_EFER 0xc0000080u
#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_CSTAR 0xc0000083u
#define MSR_SFMASK 0xc0000084u
#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX 0xc0000103u

#endif
