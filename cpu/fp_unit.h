/* SPDX-License-Identifier: MIT */
/*
 * The unit that computes guest floating point, with control words and sticky flags of its own: the host's SSE and
 * x87 on x86-64 hosts, a portable one in C elsewhere and where SWHP_PORTABLE_FP is defined. Both give the same bits.
 *
 *   fpu_stmxcsr, fpu_ldmxcsr, fpu_fnstcw, fpu_fldcw, fpu_fnstsw, fpu_fnclex
 *   fpu_addps(a, b) ...            packed, or scalar in the low lane with the rest of a kept
 *   fpu_cvtsi2ss32(a, integer), fpu_cvtss2si32(b) ...
 *   fpu_comiss(a, b) ...           comparisons that set flags
 *   fpu_fmadd231ps(a, b, c) ...    fused products of numbers: a * b + c, where fpu_has_fma()
 *
 * The MXCSR in force is the guest's, with all exceptions masked (cpu/fp.h). The x87's operations: cpu/x87_unit.h.
 */
#ifndef CPU_FP_UNIT_H
#define CPU_FP_UNIT_H

#include "cpu/vector.h"

/* All of them: F(name), and with integers of general registers F(name, width in bits). */
#define FPU_BINARY4(F, op) F(op##ps) F(op##pd) F(op##ss) F(op##sd)
#define FPU_BINARY(F)                                                                                                \
    FPU_BINARY4(F, add) FPU_BINARY4(F, sub) FPU_BINARY4(F, mul) FPU_BINARY4(F, div)                                   \
    FPU_BINARY4(F, min) FPU_BINARY4(F, max) FPU_BINARY4(F, sqrt) /* packed roots: of b */                            \
    FPU_BINARY4(F, cmpeq) FPU_BINARY4(F, cmplt) FPU_BINARY4(F, cmple) FPU_BINARY4(F, cmpunord)                        \
    FPU_BINARY4(F, cmpneq) FPU_BINARY4(F, cmpnlt) FPU_BINARY4(F, cmpnle) FPU_BINARY4(F, cmpord)                       \
    F(cvtss2sd) F(cvtsd2ss) F(cvtps2pd) F(cvtpd2ps) F(cvtdq2ps) F(cvtps2dq) F(cvttps2dq)                             \
    F(cvtdq2pd) F(cvtpd2dq) F(cvttpd2dq)
#define FPU_FROM_INTEGER(F) F(cvtsi2ss, 32) F(cvtsi2ss, 64) F(cvtsi2sd, 32) F(cvtsi2sd, 64)
#define FPU_TO_INTEGER(F)                                                                                            \
    F(cvtss2si, 32) F(cvtss2si, 64) F(cvttss2si, 32) F(cvttss2si, 64)                                                \
    F(cvtsd2si, 32) F(cvtsd2si, 64) F(cvttsd2si, 32) F(cvttsd2si, 64)
#define FPU_COMPARE(F) F(comiss) F(comisd) F(ucomiss) F(ucomisd)
#define FPU_FUSED4(F, op) F(op##231ps) F(op##231pd) F(op##231ss) F(op##231sd)
#define FPU_FUSED(F)                                                                                                 \
    FPU_FUSED4(F, fmadd) FPU_FUSED4(F, fmsub) FPU_FUSED4(F, fnmadd) FPU_FUSED4(F, fnmsub)                             \
    F(fmaddsub231ps) F(fmaddsub231pd) F(fmsubadd231ps) F(fmsubadd231pd)

/* What comparisons set. */
struct fpu_order {
    bool zf, pf, cf;
};

typedef v128 fused_fn(v128 a, v128 b, v128 c);

#ifdef SWHP_PORTABLE_FP
#include "cpu/fp_portable.h"
#else
#include "cpu/fp_native.h"
#endif

#endif
