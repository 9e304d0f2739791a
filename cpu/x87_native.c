/* SPDX-License-Identifier: MIT */
/*
 * The host's own x87, one guest operation each, for x86-64 hosts. Its register stack is empty before and after; its
 * control word is the guest's rounding and precision with all masked (cpu/fp.h). The x87 reports an exception with the
 * next waiting instruction, and FNCLEX, which doesn't wait, comes first.
 */
#ifdef __x86_64__

#include "cpu/x87_unit.h"

/*
 * An operation may or may not have pushed or popped: both registers are stored, which for an empty one is a
 * masked stack fault whose flags the last FNCLEX takes away.
 */
#define X87_RUN(name, load, operation)                                                                       \
    static void x87_##name(struct x87_run *run)                                                              \
    {                                                                                                        \
        __asm__ volatile("fldcw %[guest]\n\t" load "\n\t" operation "\n\t"                                   \
                         "fnstsw %[sw]\n\t"                                                                  \
                         "fnclex\n\t"                                                                        \
                         "fldcw %[host]\n\t"                                                                 \
                         "fstpt %[r]\n\t"                                                                    \
                         "fstpt %[s]\n\t"                                                                    \
                         "fnclex"                                                                            \
                         : [b] "+m"(run->b), [r] "=m"(run->r), [s] "=m"(run->s), [sw] "=m"(run->sw)          \
                         : [a] "m"(run->a), [guest] "m"(run->guest), [host] "m"(run->host)                   \
                         : "st", "st(1)", "st(2)");                                                          \
    }

#define X87_UNARY(name, operation) X87_RUN(name, "fldt %[a]", operation)
#define X87_BINARY(name, operation) X87_RUN(name, "fldt %[b]\n\tfldt %[a]", operation)

/* Loads, whose unmasked exceptions leave no register behind to store. */
#define X87_LOAD(name, operation)                                                                            \
    static void x87_##name(struct x87_run *run)                                                              \
    {                                                                                                        \
        __asm__ volatile(operation "\n\t"                                                                    \
                         "fnstsw %[sw]\n\t"                                                                  \
                         "fnclex\n\t"                                                                        \
                         "fstpt %[r]"                                                                        \
                         : [r] "=m"(run->r), [sw] "=m"(run->sw)                                              \
                         : [b] "m"(run->b)                                                                   \
                         : "st");                                                                            \
    }

/* Memory operands go to the host's instruction as they are. */
#define X87_ARITH(name, registers)                                                                           \
    X87_BINARY(name, "f" #name " " registers)                                                                \
    X87_UNARY(name##_f32, "f" #name "s %[b]")                                                                \
    X87_UNARY(name##_f64, "f" #name "l %[b]")                                                                \
    X87_UNARY(name##_i16, "fi" #name "s %[b]")                                                               \
    X87_UNARY(name##_i32, "fi" #name "l %[b]")
#define X87_ROW(name)                                                                                        \
    .name = { x87_##name, x87_##name##_f32, x87_##name##_f64, x87_##name##_i16, x87_##name##_i32 }

X87_ARITH(add, "%%st(1), %%st")
X87_ARITH(sub, "%%st(1), %%st")
X87_ARITH(subr, "%%st(1), %%st")
X87_ARITH(mul, "%%st(1), %%st")
X87_ARITH(div, "%%st(1), %%st")
X87_ARITH(divr, "%%st(1), %%st")
X87_ARITH(com, "%%st(1)")
X87_BINARY(ucom, "fucom %%st(1)")
X87_UNARY(tst, "ftst")
X87_UNARY(xam, "fxam")

X87_UNARY(sqrt, "fsqrt")
X87_UNARY(rndint, "frndint")
X87_UNARY(xtract, "fxtract")
X87_BINARY(prem, "fprem")
X87_BINARY(prem1, "fprem1")
X87_BINARY(scale, "fscale")

X87_LOAD(ld_f32, "flds %[b]")
X87_LOAD(ld_f64, "fldl %[b]")
X87_LOAD(ld_i16, "filds %[b]")
X87_LOAD(ld_i32, "fildl %[b]")
X87_LOAD(ld_i64, "fildll %[b]")
X87_LOAD(ld_bcd, "fbld %[b]")

X87_UNARY(st_f32, "fsts %[b]")
X87_UNARY(st_f64, "fstl %[b]")
X87_UNARY(st_i16, "fists %[b]")
X87_UNARY(st_i32, "fistl %[b]")
X87_UNARY(st_i64, "fistpll %[b]")
X87_UNARY(st_bcd, "fbstp %[b]")

X87_RUN(ld1, "fld1", "")
X87_RUN(ldz, "fldz", "")
X87_RUN(ldpi, "fldpi", "")
X87_RUN(ldl2e, "fldl2e", "")
X87_RUN(ldl2t, "fldl2t", "")
X87_RUN(ldlg2, "fldlg2", "")
X87_RUN(ldln2, "fldln2", "")

const struct x87_unit x87_native = {
    X87_ROW(add),
    X87_ROW(sub),
    X87_ROW(subr),
    X87_ROW(mul),
    X87_ROW(div),
    X87_ROW(divr),
    X87_ROW(com),
    .ucom = { x87_ucom }, .tst = x87_tst, .xam = x87_xam,
    .sqrt = x87_sqrt, .rndint = x87_rndint, .xtract = x87_xtract,
    .prem = x87_prem, .prem1 = x87_prem1, .scale = x87_scale,
    .ld_real = { x87_ld_f32, x87_ld_f64 },
    .ld_integer = { x87_ld_i16, x87_ld_i32, x87_ld_i64 },
    .ld_bcd = x87_ld_bcd,
    .st_real = { x87_st_f32, x87_st_f64 },
    .st_integer = { x87_st_i16, x87_st_i32, x87_st_i64 },
    .st_bcd = x87_st_bcd,
    .ld1 = x87_ld1, .ldz = x87_ldz, .ldpi = x87_ldpi, .ldl2e = x87_ldl2e,
    .ldl2t = x87_ldl2t, .ldlg2 = x87_ldlg2, .ldln2 = x87_ldln2,
};

#endif
