/* SPDX-License-Identifier: MIT */
/*
 * The host's own x87, one guest operation each, for x86-64 hosts. The host's register stack is empty before
 * and after; its control word is the guest's rounding and precision with all masked (cpu/fp.h).
 */
#ifndef CPU_X87_HOST_H
#define CPU_X87_HOST_H

#include "cpu/fp.h"

/*
 * One operation under the guest's own control word, exceptions unmasked and all: the x87 reports an
 * exception with the next waiting instruction, and FNCLEX, which doesn't wait, comes first. So an unmasked
 * exception leaves what hardware leaves: no result at all, or one with its exponent wrapped.
 */
struct x87_run {
    struct x87_register a, b; /* ST(0) and ST(1); memory operands are the first bytes of b */
    struct x87_register r, s; /* what the operation left in ST(0) and ST(1) */
    u16 guest, host;          /* control words: the guest's, and the one to go back to */
    u16 sw;                   /* the status word the operation left, TOP apart */
};

typedef void x87_fn(struct x87_run *run);

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

/* Under the host's control word: loads, whose unmasked exceptions leave no register behind to store. */
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

#endif
