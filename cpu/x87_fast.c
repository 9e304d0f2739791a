/* SPDX-License-Identifier: MIT */
/*
 * Fast handlers of the commonest x87 instructions, for code that runs with all exceptions masked: the
 * host's sticky flags are the guest's then (cpu/fp.h), and only C1, which tells the rounding, is looked at.
 * Empty registers and full stacks are the bodies'.
 */
#include <Zydis/Mnemonic.h>

#include "cpu/x87.h"

#ifndef SWHP_PORTABLE_FP

/* Memory as the host's instructions address it: they take as many bytes as they need. */
#define BYTES(p) (*(const u8(*)[16])(p))
#define BYTES_OUT(p, size) (*(u8(*)[size])(p))

/* r = a op b. The status word comes back: its C1 is the operation's. */
#define HOST_X87_ARITH(name)                                                                                 \
    INLINE u16 fpu_##name##_st(struct x87_register *r, const void *b)                                      \
    {                                                                                                        \
        u16 sw;                                                                                              \
                                                                                                             \
        __asm__ volatile("fldt %[b]\n\tfldt %[r]\n\tf" #name " %%st(1), %%st\n\tfnstsw %[sw]\n\t"            \
                         "fstpt %[r]\n\tfstp %%st(0)"                                                        \
                         : [r] "+m"(*r), [sw] "=a"(sw)                                                       \
                         : [b] "m"(BYTES(b))                                                                 \
                         : "st", "st(1)");                                                                   \
        return sw;                                                                                           \
    }                                                                                                        \
    HOST_X87_ARITH_MEMORY(name, m32, "s")                                                                    \
    HOST_X87_ARITH_MEMORY(name, m64, "l")

#define HOST_X87_ARITH_MEMORY(name, kind, suffix)                                                            \
    INLINE u16 fpu_##name##_##kind(struct x87_register *r, const void *b)                                  \
    {                                                                                                        \
        u16 sw;                                                                                              \
                                                                                                             \
        __asm__ volatile("fldt %[r]\n\tf" #name suffix " %[b]\n\tfnstsw %[sw]\n\tfstpt %[r]"                 \
                         : [r] "+m"(*r), [sw] "=a"(sw)                                                       \
                         : [b] "m"(BYTES(b))                                                                 \
                         : "st");                                                                            \
        return sw;                                                                                           \
    }

#define HOST_X87_LOAD(name, text)                                                                            \
    INLINE void fpu_##name(struct x87_register *r, const void *m)                                          \
    {                                                                                                        \
        __asm__ volatile(text " %[m]\n\tfstpt %[r]" : [r] "=m"(*r) : [m] "m"(BYTES(m)) : "st");              \
    }

#define HOST_X87_STORE(name, text, size)                                                                     \
    INLINE u16 fpu_##name(void *m, const struct x87_register *r)                                           \
    {                                                                                                        \
        u16 sw;                                                                                              \
                                                                                                             \
        __asm__ volatile("fldt %[r]\n\t" text " %[m]\n\tfnstsw %[sw]"                                        \
                         : [m] "=m"(BYTES_OUT(m, size)), [sw] "=a"(sw)                                       \
                         : [r] "m"(*r)                                                                       \
                         : "st");                                                                            \
        return sw;                                                                                           \
    }

#define HOST_X87_COMPARE(name, text)                                                                         \
    INLINE u16 fpu_##name(const struct x87_register *a, const struct x87_register *b)                      \
    {                                                                                                        \
        u16 sw;                                                                                              \
                                                                                                             \
        __asm__ volatile("fldt %[b]\n\tfldt %[a]\n\t" text "\n\tfnstsw %[sw]"                                \
                         : [sw] "=a"(sw)                                                                     \
                         : [a] "m"(*a), [b] "m"(*b)                                                          \
                         : "st", "st(1)");                                                                   \
        return sw;                                                                                           \
    }

HOST_X87_ARITH(add)
HOST_X87_ARITH(sub)
HOST_X87_ARITH(subr)
HOST_X87_ARITH(mul)
HOST_X87_ARITH(div)
HOST_X87_ARITH(divr)
HOST_X87_LOAD(fld_m32, "flds")
HOST_X87_LOAD(fld_m64, "fldl")
HOST_X87_LOAD(fld_m80, "fldt")
HOST_X87_LOAD(fild_m16, "filds")
HOST_X87_LOAD(fild_m32, "fildl")
HOST_X87_LOAD(fild_m64, "fildll")
HOST_X87_STORE(fst_m32, "fstps", 4)
HOST_X87_STORE(fst_m64, "fstpl", 8)
HOST_X87_STORE(fst_m80, "fstpt", 10)
HOST_X87_STORE(fist_m16, "fistps", 2)
HOST_X87_STORE(fist_m32, "fistpl", 4)
HOST_X87_STORE(fist_m64, "fistpll", 8)
HOST_X87_COMPARE(com, "fcompp")
HOST_X87_COMPARE(ucom, "fucompp")

/* ---- what fast handlers share ---- */

/* The memory operand, and what x87_note_memory() does where it is a hit. */
INLINE u8 *memory(CPU, IN, enum form form, unsigned size, unsigned access)
{
    u8 *m = place(cpu, in, form, size, access, false);

    if (unlikely(!m))
        return NULL;
    x87_note(cpu, in);
    cpu->x87.fdp = form == FORM_ANY ? operand_offset(cpu, in) : plain_linear(cpu, in, form);
    cpu->x87.fds = cpu->seg[in->segment].selector;
    return m;
}

/* A row of handlers for one instruction, by enum form. */
#define BY_FORM(name, ...)                                                                                   \
    FAST(name##_base, (name(cpu, in, FORM_BASE, ##__VA_ARGS__)))                                             \
    FAST(name##_index, (name(cpu, in, FORM_INDEX, ##__VA_ARGS__)))                                           \
    FAST(name##_any, (name(cpu, in, FORM_ANY, ##__VA_ARGS__)))                                               \
    static run_fn *const name##_forms[FORMS] = { name##_base, name##_index, name##_any };

/* ---- arithmetic ---- */

#define FAST_ARITH(name)                                                                                     \
    INLINE bool name##_st(CPU, IN, bool pop)                                                                 \
    {                                                                                                        \
        if (unlikely(x87_empty(cpu, in->dst) || x87_empty(cpu, in->src)))                                    \
            return false;                                                                                    \
        x87_note(cpu, in);                                                                                   \
        x87_condition(cpu, X87_C1, fpu_##name##_st(x87_st(cpu, in->dst), x87_st(cpu, in->src)));            \
        if (pop)                                                                                             \
            x87_pop(cpu);                                                                                    \
        return true;                                                                                         \
    }                                                                                                        \
    FAST(fast_##name, name##_st(cpu, in, false))                                                             \
    FAST(fast_##name##p, name##_st(cpu, in, true))                                                           \
    FAST_ARITH_MEMORY(name, m32, 4)                                                                          \
    FAST_ARITH_MEMORY(name, m64, 8)

#define FAST_ARITH_MEMORY(name, kind, size)                                                                  \
    INLINE bool name##_##kind(CPU, IN, enum form form)                                                       \
    {                                                                                                        \
        const u8 *m;                                                                                         \
                                                                                                             \
        if (unlikely(x87_empty(cpu, 0)) || !(m = memory(cpu, in, form, size, ACCESS_READ)))                  \
            return false;                                                                                    \
        x87_condition(cpu, X87_C1, fpu_##name##_##kind(x87_st(cpu, 0), m));                                 \
        return true;                                                                                         \
    }                                                                                                        \
    BY_FORM(name##_##kind)

FAST_ARITH(add)
FAST_ARITH(sub)
FAST_ARITH(subr)
FAST_ARITH(mul)
FAST_ARITH(div)
FAST_ARITH(divr)

struct arith_row {
    u16 mnemonic, popping;
    run_fn *st, *pop;
    run_fn *const *m32, *const *m64;
};

#define ARITH_ROW(MNEMONIC, name)                                                                            \
    { ZYDIS_MNEMONIC_##MNEMONIC, ZYDIS_MNEMONIC_##MNEMONIC##P, fast_##name, fast_##name##p,                  \
      name##_m32_forms, name##_m64_forms }

run_fn *bind_farith(const struct insn *in, u32 mode, u32 live)
{
    static const struct arith_row rows[] = { ARITH_ROW(FADD, add),   ARITH_ROW(FSUB, sub),
                                             ARITH_ROW(FSUBR, subr), ARITH_ROW(FMUL, mul),
                                             ARITH_ROW(FDIV, div),   ARITH_ROW(FDIVR, divr) };
    enum form form = address_form(in, mode);

    (void)live;
    if (mode & MODE_X87_SLOW)
        return NULL;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct arith_row *row = &rows[i];

        if (in->op == row->popping)
            return row->pop;
        if (in->op == row->mnemonic)
            return in->shape != S_M ? row->st : (in->width == W32 ? row->m32 : row->m64)[form];
    }
    return NULL;
}

/* ---- loads ---- */

#define FAST_LOAD(name, size)                                                                                \
    INLINE bool name(CPU, IN, enum form form)                                                                \
    {                                                                                                        \
        const u8 *m;                                                                                         \
                                                                                                             \
        if (unlikely(!x87_empty(cpu, 7)) || !(m = memory(cpu, in, form, size, ACCESS_READ)))                 \
            return false;                                                                                    \
        cpu->x87.top = (cpu->x87.top - 1) & 7;                                                               \
        fpu_##name(x87_st(cpu, 0), m);                                                                      \
        cpu->x87.valid |= (u8)(1u << cpu->x87.top);                                                          \
        x87_condition(cpu, X87_C1, 0);                                                                       \
        return true;                                                                                         \
    }                                                                                                        \
    BY_FORM(name)

FAST_LOAD(fld_m32, 4)
FAST_LOAD(fld_m64, 8)
FAST_LOAD(fld_m80, 10)
FAST_LOAD(fild_m16, 2)
FAST_LOAD(fild_m32, 4)
FAST_LOAD(fild_m64, 8)

INLINE bool push(CPU, IN, struct x87_register value, bool room)
{
    if (unlikely(!room))
        return false;
    x87_note(cpu, in);
    x87_push(cpu, &value);
    x87_condition(cpu, X87_C1, 0);
    return true;
}

FAST(fld_st, push(cpu, in, *x87_st(cpu, in->dst), x87_empty(cpu, 7) && !x87_empty(cpu, in->dst)))
FAST(fast_fld1, push(cpu, in, (struct x87_register){ (u64)1 << 63, 0x3fff }, x87_empty(cpu, 7)))
FAST(fast_fldz, push(cpu, in, (struct x87_register){ 0, 0 }, x87_empty(cpu, 7)))

run_fn *bind_fld(const struct insn *in, u32 mode, u32 live)
{
    enum form form = address_form(in, mode);

    (void)live;
    if (mode & MODE_X87_SLOW)
        return NULL;
    if (in->shape != S_M)
        return fld_st;
    if (in->width == W80 && form == FORM_ANY) /* in two parts, each with its own checks */
        return NULL;
    return (in->width == W32 ? fld_m32_forms : in->width == W64 ? fld_m64_forms : fld_m80_forms)[form];
}

run_fn *bind_fild(const struct insn *in, u32 mode, u32 live)
{
    enum form form = address_form(in, mode);

    (void)live;
    if (mode & MODE_X87_SLOW)
        return NULL;
    return (in->width == W16 ? fild_m16_forms : in->width == W32 ? fild_m32_forms : fild_m64_forms)[form];
}

run_fn *bind_fconstant(const struct insn *in, u32 mode, u32 live)
{
    (void)live;
    if (mode & MODE_X87_SLOW)
        return NULL;
    return in->op == ZYDIS_MNEMONIC_FLD1 ? fast_fld1 : fast_fldz;
}

/* ---- stores ---- */

#define FAST_STORE(name, size)                                                                               \
    INLINE bool name(CPU, IN, enum form form, bool pop)                                                      \
    {                                                                                                        \
        u8 *m;                                                                                               \
                                                                                                             \
        if (unlikely(x87_empty(cpu, 0)) || !(m = memory(cpu, in, form, size, ACCESS_WRITE)))                 \
            return false;                                                                                    \
        x87_condition(cpu, X87_C1, fpu_##name(m, x87_st(cpu, 0)));                                          \
        if (pop)                                                                                             \
            x87_pop(cpu);                                                                                    \
        return true;                                                                                         \
    }                                                                                                        \
    INLINE bool name##_keep(CPU, IN, enum form form)                                                         \
    {                                                                                                        \
        return name(cpu, in, form, false);                                                                   \
    }                                                                                                        \
    INLINE bool name##_pop(CPU, IN, enum form form)                                                          \
    {                                                                                                        \
        return name(cpu, in, form, true);                                                                    \
    }

FAST_STORE(fst_m32, 4)
FAST_STORE(fst_m64, 8)
FAST_STORE(fst_m80, 10)
FAST_STORE(fist_m16, 2)
FAST_STORE(fist_m32, 4)
FAST_STORE(fist_m64, 8)
BY_FORM(fst_m32_keep)
BY_FORM(fst_m32_pop)
BY_FORM(fst_m64_keep)
BY_FORM(fst_m64_pop)
BY_FORM(fst_m80_pop)
BY_FORM(fist_m16_keep)
BY_FORM(fist_m16_pop)
BY_FORM(fist_m32_keep)
BY_FORM(fist_m32_pop)
BY_FORM(fist_m64_pop)

INLINE bool fst_st(CPU, IN, bool pop)
{
    if (unlikely(x87_empty(cpu, 0)))
        return false;

    struct x87_register value = *x87_st(cpu, 0);

    x87_note(cpu, in);
    x87_set(cpu, in->dst, &value);
    x87_condition(cpu, X87_C1, 0);
    if (pop)
        x87_pop(cpu);
    return true;
}

FAST(fast_fst, fst_st(cpu, in, false))
FAST(fast_fstp, fst_st(cpu, in, true))

/* FST, FSTP, FIST and FISTP. */
run_fn *bind_fst(const struct insn *in, u32 mode, u32 live)
{
    static run_fn *const *const real[2][2] = { { fst_m32_keep_forms, fst_m32_pop_forms },
                                               { fst_m64_keep_forms, fst_m64_pop_forms } };
    enum form form = address_form(in, mode);
    bool pop = in->op == ZYDIS_MNEMONIC_FSTP;

    (void)live;
    if (mode & MODE_X87_SLOW)
        return NULL;
    if (in->shape != S_M)
        return pop ? fast_fstp : fast_fst;
    if (in->width == W80)
        return form == FORM_ANY ? NULL : fst_m80_pop_forms[form];
    return real[in->width == W64][pop][form];
}

run_fn *bind_fist(const struct insn *in, u32 mode, u32 live)
{
    static run_fn *const *const narrow[2][2] = { { fist_m16_keep_forms, fist_m16_pop_forms },
                                                 { fist_m32_keep_forms, fist_m32_pop_forms } };
    enum form form = address_form(in, mode);

    (void)live;
    if (mode & MODE_X87_SLOW)
        return NULL;
    if (in->width == W64)
        return fist_m64_pop_forms[form];
    return narrow[in->width == W32][in->op == ZYDIS_MNEMONIC_FISTP][form];
}

/* ---- exchange, signs, comparison into RFLAGS ---- */

INLINE bool fxch(CPU, IN)
{
    if (unlikely(x87_empty(cpu, 0) || x87_empty(cpu, in->dst)))
        return false;

    struct x87_register a = *x87_st(cpu, 0), b = *x87_st(cpu, in->dst);

    x87_note(cpu, in);
    *x87_st(cpu, 0) = b;
    *x87_st(cpu, in->dst) = a;
    x87_condition(cpu, X87_C1, 0);
    return true;
}

INLINE bool sign(CPU, IN, u16 keep, u16 flip)
{
    if (unlikely(x87_empty(cpu, 0)))
        return false;
    x87_note(cpu, in);
    x87_st(cpu, 0)->sign_exponent = (u16)((x87_st(cpu, 0)->sign_exponent & keep) ^ flip);
    x87_condition(cpu, X87_C1, 0);
    return true;
}

FAST(fast_fxch, fxch(cpu, in))
FAST(fast_fabs, sign(cpu, in, 0x7fff, 0))
FAST(fast_fchs, sign(cpu, in, 0xffff, 0x8000))

run_fn *bind_fxch(const struct insn *in, u32 mode, u32 live)
{
    (void)in;
    (void)live;
    return mode & MODE_X87_SLOW ? NULL : fast_fxch;
}

run_fn *bind_fsign(const struct insn *in, u32 mode, u32 live)
{
    (void)live;
    if (mode & MODE_X87_SLOW)
        return NULL;
    return in->op == ZYDIS_MNEMONIC_FABS ? fast_fabs : fast_fchs;
}

INLINE bool fcomi(CPU, IN, bool quiet, bool pop)
{
    const struct x87_register *a = x87_st(cpu, 0), *b = x87_st(cpu, in->src);

    if (unlikely(x87_empty(cpu, 0) || x87_empty(cpu, in->src)))
        return false;
    x87_note(cpu, in);

    x87_to_flags(cpu, quiet ? fpu_ucom(a, b) : fpu_com(a, b));
    if (pop)
        x87_pop(cpu);
    return true;
}

FAST(fast_fcomi, fcomi(cpu, in, false, false))
FAST(fast_fcomip, fcomi(cpu, in, false, true))
FAST(fast_fucomi, fcomi(cpu, in, true, false))
FAST(fast_fucomip, fcomi(cpu, in, true, true))

run_fn *bind_fcomi(const struct insn *in, u32 mode, u32 live)
{
    (void)live;
    if (mode & MODE_X87_SLOW)
        return NULL;
    switch (in->op) {
    case ZYDIS_MNEMONIC_FCOMI: return fast_fcomi;
    case ZYDIS_MNEMONIC_FCOMIP: return fast_fcomip;
    case ZYDIS_MNEMONIC_FUCOMI: return fast_fucomi;
    default: return fast_fucomip;
    }
}

#else /* bodies always */

#define NO_FAST(name)                                                                                        \
    run_fn *bind_##name(const struct insn *in, u32 mode, u32 live)                                           \
    {                                                                                                        \
        (void)in, (void)mode, (void)live;                                                                    \
        return NULL;                                                                                         \
    }

NO_FAST(farith)
NO_FAST(fld)
NO_FAST(fild)
NO_FAST(fconstant)
NO_FAST(fst)
NO_FAST(fist)
NO_FAST(fxch)
NO_FAST(fsign)
NO_FAST(fcomi)

#endif
