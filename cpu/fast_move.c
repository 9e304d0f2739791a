/* SPDX-License-Identifier: MIT */
/* Fast handlers of MOV, MOVZX, MOVSX, MOVSXD, LEA, XCHG, BSWAP, CBW and its family, SETcc, CMOVcc, NOP. */
#include <Zydis/Mnemonic.h>

#include "cpu/handler.h"

#define ALL_WIDTHS(X, ...) X(8, ##__VA_ARGS__) X(16, ##__VA_ARGS__) X(32, ##__VA_ARGS__) X(64, ##__VA_ARGS__)
#define ALL_FORMS(X, w) X(w, FORM_BASE) X(w, FORM_INDEX) X(w, FORM_ANY)
#define FORMS_OF(name, w) name##_##w##_FORM_BASE, name##_##w##_FORM_INDEX, name##_##w##_FORM_ANY

/* ---- MOV ---- */

INLINE bool load(CPU, IN, unsigned w, enum form form)
{
    const u8 *m = place(cpu, in, form, w / 8, ACCESS_READ, false);

    if (unlikely(!m))
        return false;
    reg_write(cpu, in->dst, w, load_bytes(m, w / 8));
    return true;
}

INLINE bool store(CPU, IN, unsigned w, enum form form, bool immediate)
{
    u8 *m = place(cpu, in, form, w / 8, ACCESS_WRITE, false);

    if (unlikely(!m))
        return false;
    store_bytes(m, immediate ? in->imm : reg_read(cpu, in->src, w), w / 8);
    return true;
}

#define LOAD(w, form) FAST(load_##w##_##form, load(cpu, in, w, form))
#define STORE(w, form) FAST(store_##w##_##form, store(cpu, in, w, form, false))
#define STORE_IMM(w, form) FAST(store_imm_##w##_##form, store(cpu, in, w, form, true))
#define MOVES(w)                                                                                                       \
    FAST(move_##w, (reg_write(cpu, in->dst, w, reg_read(cpu, in->src, w)), true))                                      \
    FAST(move_imm_##w, (reg_write(cpu, in->dst, w, in->imm), true))                                                    \
    ALL_FORMS(LOAD, w) ALL_FORMS(STORE, w) ALL_FORMS(STORE_IMM, w)
ALL_WIDTHS(MOVES)

run_fn *bind_mov(const struct insn *in, u32 mode, u32 live)
{
#define MOV_ROW(w)                                                                                                     \
    { move_##w, move_imm_##w, FORMS_OF(load, w), FORMS_OF(store, w), FORMS_OF(store_imm, w) },
    static run_fn *const handlers[4][11] = { ALL_WIDTHS(MOV_ROW) };

    (void)live;
    switch (in->shape) {
    case S_RR: return handlers[in->width][0];
    case S_RI: return handlers[in->width][1];
    case S_RM: return handlers[in->width][2 + address_form(in, mode)];
    case S_MR: return handlers[in->width][5 + address_form(in, mode)];
    case S_MI: return handlers[in->width][8 + address_form(in, mode)];
    default: return NULL;
    }
}

/* ---- MOVZX, MOVSX, MOVSXD: from w bits to 32 or 64 ---- */

INLINE void extend(CPU, IN, u64 v, unsigned w, unsigned to, bool sign)
{
    if (sign)
        v = sign_extend(v, w);
    REG64(in->dst) = to == 32 ? (u32)v : v;
}

INLINE bool load_extend(CPU, IN, unsigned w, unsigned to, bool sign, enum form form)
{
    const u8 *m = place(cpu, in, form, w / 8, ACCESS_READ, false);

    if (unlikely(!m))
        return false;
    extend(cpu, in, load_bytes(m, w / 8), w, to, sign);
    return true;
}

#define EXTEND(name, w, to, sign)                                                                                      \
    FAST(name##_reg, (extend(cpu, in, reg_read(cpu, in->src, w), w, to, sign), true))                                  \
    FAST(name##_base, load_extend(cpu, in, w, to, sign, FORM_BASE))                                                    \
    FAST(name##_index, load_extend(cpu, in, w, to, sign, FORM_INDEX))                                                  \
    FAST(name##_any, load_extend(cpu, in, w, to, sign, FORM_ANY))
EXTEND(movzx8, 8, 64, false)
EXTEND(movzx16, 16, 64, false)
EXTEND(movsx8_32, 8, 32, true)
EXTEND(movsx8_64, 8, 64, true)
EXTEND(movsx16_32, 16, 32, true)
EXTEND(movsx16_64, 16, 64, true)
EXTEND(movsx32_64, 32, 64, true)

run_fn *bind_movx(const struct insn *in, u32 mode, u32 live)
{
#define EXTEND_ROW(name) { name##_reg, name##_base, name##_index, name##_any }
    static run_fn *const zero[2][4] = { EXTEND_ROW(movzx8), EXTEND_ROW(movzx16) };
    static run_fn *const sign[2][3][4] = {
        { EXTEND_ROW(movsx8_32), EXTEND_ROW(movsx16_32), { NULL } },
        { EXTEND_ROW(movsx8_64), EXTEND_ROW(movsx16_64), EXTEND_ROW(movsx32_64) },
    };
    unsigned from = (unsigned)in->imm & 3, where = in->shape == S_RR ? 0 : 1 + address_form(in, mode);

    (void)live;
    if (in->width < W32 || in->width > W64)
        return NULL;
    if (in->op == ZYDIS_MNEMONIC_MOVZX)
        return from < W32 ? zero[from][where] : NULL;
    return from < W64 ? sign[in->width == W64][from][where] : NULL;
}

/* ---- LEA ---- */

FAST(lea_32_base, (REG64(in->dst) = (u32)plain_linear(cpu, in, FORM_BASE), true))
FAST(lea_32_index, (REG64(in->dst) = (u32)plain_linear(cpu, in, FORM_INDEX), true))
FAST(lea_64_base, (REG64(in->dst) = plain_linear(cpu, in, FORM_BASE), true))
FAST(lea_64_index, (REG64(in->dst) = plain_linear(cpu, in, FORM_INDEX), true))

run_fn *bind_lea(const struct insn *in, u32 mode, u32 live)
{
    bool index = in->index != OFFSET_ZERO;

    (void)mode;
    (void)live;
    if (in->width == W64 && in->address == W64)
        return index ? lea_64_index : lea_64_base;
    if (in->width == W32 && in->address >= W32)
        return index ? lea_32_index : lea_32_base;
    return NULL;
}

/* ---- the small ones ---- */

INLINE void exchange(CPU, IN, unsigned w)
{
    u64 a = reg_read(cpu, in->dst, w), b = reg_read(cpu, in->src, w);

    reg_write(cpu, in->dst, w, b);
    reg_write(cpu, in->src, w, a);
}

#define XCHG(w) FAST(xchg_##w, (exchange(cpu, in, w), true))
ALL_WIDTHS(XCHG)

run_fn *bind_xchg(const struct insn *in, u32 mode, u32 live)
{
    static run_fn *const handlers[4] = { xchg_8, xchg_16, xchg_32, xchg_64 };

    (void)mode;
    (void)live;
    return in->shape == S_RR ? handlers[in->width] : NULL;
}

FAST(bswap_32, (REG64(in->dst) = __builtin_bswap32((u32)REG64(in->dst)), true))
FAST(bswap_64, (REG64(in->dst) = __builtin_bswap64(REG64(in->dst)), true))

run_fn *bind_bswap(const struct insn *in, u32 mode, u32 live)
{
    (void)mode;
    (void)live;
    return in->width == W32 ? bswap_32 : in->width == W64 ? bswap_64 : NULL;
}

FAST(cwde, (cpu->gpr[RAX] = (u32)(i32)(i16)cpu->gpr[RAX], true))
FAST(cdqe, (cpu->gpr[RAX] = (u64)(i64)(i32)cpu->gpr[RAX], true))
FAST(cdq, (cpu->gpr[RDX] = (u32)((i32)cpu->gpr[RAX] >> 31), true))
FAST(cqo, (cpu->gpr[RDX] = (u64)((i64)cpu->gpr[RAX] >> 63), true))

run_fn *bind_cbw(const struct insn *in, u32 mode, u32 live)
{
    (void)mode;
    (void)live;
    switch (in->op) {
    case ZYDIS_MNEMONIC_CWDE: return cwde;
    case ZYDIS_MNEMONIC_CDQE: return cdqe;
    case ZYDIS_MNEMONIC_CDQ: return cdq;
    case ZYDIS_MNEMONIC_CQO: return cqo;
    default: return NULL;
    }
}

run_fn *bind_nop(const struct insn *in, u32 mode, u32 live)
{
    (void)in;
    (void)mode;
    (void)live;
    return run_nothing;
}

/* ---- SETcc and CMOVcc on registers ---- */

#define CONDITIONS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define CONDITIONAL(cc)                                                                                                \
    FAST(setcc_##cc, (reg_write(cpu, in->dst, 8, condition(cpu, cc)), true))                                           \
    FAST(cmov32_##cc, (REG64(in->dst) = (u32)(condition(cpu, cc) ? REG64(in->src) : REG64(in->dst)), true))            \
    FAST(cmov64_##cc, (REG64(in->dst) = condition(cpu, cc) ? REG64(in->src) : REG64(in->dst), true))
CONDITIONS(CONDITIONAL)

run_fn *bind_setcc(const struct insn *in, u32 mode, u32 live)
{
#define SET_ENTRY(cc) setcc_##cc,
    static run_fn *const handlers[16] = { CONDITIONS(SET_ENTRY) };

    (void)mode;
    (void)live;
    return in->shape == S_R ? handlers[in->imm & 15] : NULL;
}

run_fn *bind_cmov(const struct insn *in, u32 mode, u32 live)
{
#define CMOV_ENTRY(cc) { cmov32_##cc, cmov64_##cc },
    static run_fn *const handlers[16][2] = { CONDITIONS(CMOV_ENTRY) };

    (void)mode;
    (void)live;
    return in->shape == S_RR && in->width >= W32 ? handlers[in->imm & 15][in->width == W64] : NULL;
}
