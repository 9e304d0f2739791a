/* SPDX-License-Identifier: MIT */
/* The integer and vector instructions that sequences are made of, and operands of every kind for them. */
#include <string.h>

#include "tests/cpu/draft.h"

/*
 * Operands, a letter each. G register, E register or memory, I immediate, B count, C CL, e narrower register
 * or memory, d 32-bit register or memory, A any address (LEA). X XMM register, x XMM or 128-bit memory, y or
 * 64-bit memory, z or 32-bit memory, u unaligned 128-bit memory, q l 64- and 32-bit memory only, b immediate
 * byte, c immediate below 8, 8 immediate byte of any value. Y YMM register, v YMM or 256-bit memory, V memory only.
 */
struct form {
    u16 mnemonic;
    char operands[4];
    u8 widths;     /* W8 to W64 as bits */
    u8 how;
};
enum { ALL = 15, WIDE = 14, BIG = 12 };
enum { READS = 1, TWO = 2, LOCKED = 4 }; /* writes nothing; writes the second operand as well; takes LOCK */

#define M(name) ZYDIS_MNEMONIC_##name
#define ALU(name) { M(name), "EG", ALL, LOCKED }, { M(name), "GE", ALL, 0 }, { M(name), "EI", ALL, LOCKED }
#define SHIFT(name) { M(name), "EB", ALL, 0 }, { M(name), "EC", ALL, 0 }, { M(name), "GB", BIG, 0 }
#define COMPARE(name) { M(name), "EG", ALL, READS }, { M(name), "EI", ALL, READS }
#define CC(X)                                                                                                \
    X(O), X(NO), X(B), X(NB), X(Z), X(NZ), X(BE), X(NBE), X(S), X(NS), X(P), X(NP), X(L), X(NL), X(LE), X(NLE)
#define SET(cc) { M(SET##cc), "E", 1, 0 }
#define CMOV(cc) { M(CMOV##cc), "GE", WIDE, 0 }

static const struct form integer[] = {
    ALU(ADD), ALU(OR), ALU(ADC), ALU(SBB), ALU(AND), ALU(SUB), ALU(XOR), ALU(ADC), ALU(SBB), ALU(ADD),
    ALU(SUB), COMPARE(CMP), COMPARE(TEST), { M(CMP), "GE", ALL, READS }, { M(INC), "E", ALL, LOCKED },
    { M(DEC), "E", ALL, LOCKED }, { M(NEG), "E", ALL, LOCKED }, { M(NOT), "E", ALL, LOCKED },
    { M(INC), "G", BIG, 0 }, { M(DEC), "G", BIG, 0 }, SHIFT(SHL), SHIFT(SHR), SHIFT(SAR), SHIFT(ROL),
    SHIFT(ROR), SHIFT(RCL), SHIFT(RCR), { M(SHLD), "EGB", BIG, 0 }, { M(SHRD), "EGB", BIG, 0 },
    { M(SHLD), "EGC", BIG, 0 }, { M(SHRD), "EGC", BIG, 0 }, { M(MOV), "EG", ALL, 0 },
    { M(MOV), "GE", ALL, 0 }, { M(MOV), "EI", ALL, 0 }, { M(MOV), "GG", ALL, 0 },
    { M(MOVZX), "Ge", WIDE, 0 }, { M(MOVSX), "Ge", WIDE, 0 }, { M(MOVSXD), "Gd", 8, 0 },
    { M(LEA), "GA", WIDE, 0 }, { M(LEA), "GA", BIG, 0 }, { M(XCHG), "GG", ALL, TWO },
    { M(XADD), "GG", ALL, TWO }, { M(XADD), "EG", ALL, TWO | LOCKED }, { M(CMPXCHG), "EG", ALL, LOCKED },
    { M(CMPXCHG8B), "q", 8, LOCKED }, { M(BSWAP), "G", BIG, 0 }, { M(IMUL), "GE", WIDE, 0 },
    { M(IMUL), "GEI", WIDE, 0 }, { M(IMUL), "E", ALL, READS }, { M(MUL), "E", ALL, READS },
    { M(BT), "EB", WIDE, READS }, { M(BT), "GG", WIDE, READS }, { M(BTS), "EB", WIDE, LOCKED },
    { M(BTS), "GG", WIDE, 0 }, { M(BTR), "EB", WIDE, LOCKED }, { M(BTR), "GG", WIDE, 0 },
    { M(BTC), "EB", WIDE, LOCKED }, { M(BTC), "GG", WIDE, 0 }, { M(LZCNT), "GE", WIDE, 0 },
    { M(TZCNT), "GE", WIDE, 0 }, { M(POPCNT), "GE", WIDE, 0 }, { M(ANDN), "GGE", BIG, 0 },
    { M(BLSI), "GE", BIG, 0 }, { M(BLSR), "GE", BIG, 0 }, { M(BLSMSK), "GE", BIG, 0 },
    { M(BZHI), "GEG", BIG, 0 }, { M(BEXTR), "GEG", BIG, 0 }, { M(PDEP), "GGE", BIG, 0 },
    { M(PEXT), "GGE", BIG, 0 }, { M(SHLX), "GEG", BIG, 0 }, { M(SARX), "GEG", BIG, 0 },
    { M(SHRX), "GEG", BIG, 0 }, { M(RORX), "GEb", BIG, 0 }, { M(MULX), "GGE", BIG, TWO },
    { M(MOVBE), "Gq", 8, 0 }, { M(MOVBE), "lG", 4, 0 }, { M(PREFETCHW), "l", 8, READS }, { M(CBW), "", 1, 0 },
    { M(CWDE), "", 1, 0 }, { M(CDQE), "", 1, 0 },
    { M(CWD), "", 1, 0 }, { M(CDQ), "", 1, 0 }, { M(CQO), "", 1, 0 }, { M(LAHF), "", 1, 0 },
    { M(SAHF), "", 1, 0 }, { M(CLC), "", 1, 0 }, { M(STC), "", 1, 0 }, { M(CMC), "", 1, 0 },
    { M(NOP), "", 1, 0 }, CC(SET), CC(CMOV),
};

static const struct form compares[] = {
    COMPARE(CMP), COMPARE(TEST), { M(CMP), "GE", ALL, READS }, { M(SUB), "GE", ALL, 0 },
    { M(DEC), "G", ALL, 0 }, { M(AND), "GI", ALL, 0 },
};

#define PACKED(name) { M(name), "Xx", 8, 0 }
#define SINGLE(name) { M(name), "Xz", 8, 0 }
#define DOUBLE(name) { M(name), "Xy", 8, 0 }

static const struct form vector[] = {
    { M(MOVAPS), "Xx", 8, 0 }, { M(MOVAPS), "xX", 8, 0 }, { M(MOVUPS), "Xu", 8, 0 },
    { M(MOVUPS), "uX", 8, 0 }, { M(MOVDQA), "Xx", 8, 0 }, { M(MOVDQU), "uX", 8, 0 },
    { M(MOVDQU), "Xu", 8, 0 }, { M(MOVSS), "Xz", 8, 0 }, { M(MOVSS), "lX", 8, 0 }, { M(MOVSD), "Xy", 8, 0 },
    { M(MOVSD), "qX", 8, 0 }, { M(MOVQ), "Xy", 8, 0 }, { M(MOVQ), "qX", 8, 0 }, { M(MOVD), "XG", 4, 0 },
    { M(MOVD), "GX", 4, 0 }, { M(MOVQ), "XG", 8, 0 }, { M(MOVQ), "GX", 8, 0 }, { M(MOVHPS), "Xq", 8, 0 },
    { M(MOVLPS), "Xq", 8, 0 }, { M(MOVHPS), "qX", 8, 0 }, PACKED(ADDPS), PACKED(MULPS), PACKED(SUBPD),
    PACKED(DIVPD), PACKED(MINPS), PACKED(MAXPD), PACKED(SQRTPD), PACKED(ANDPS), PACKED(ORPD), PACKED(XORPS),
    PACKED(ANDNPS), PACKED(UNPCKLPS), PACKED(UNPCKHPD), SINGLE(ADDSS), SINGLE(MULSS), SINGLE(DIVSS),
    SINGLE(SQRTSS), SINGLE(MINSS), SINGLE(UCOMISS), SINGLE(COMISS), DOUBLE(ADDSD), DOUBLE(MULSD),
    DOUBLE(DIVSD), DOUBLE(SQRTSD), DOUBLE(SUBSD), DOUBLE(UCOMISD), DOUBLE(COMISD), DOUBLE(MAXSD),
    SINGLE(CVTSS2SD), DOUBLE(CVTSD2SS), { M(CVTSI2SD), "XE", BIG, 0 }, { M(CVTSI2SS), "XE", BIG, 0 },
    { M(CVTTSD2SI), "Gy", BIG, 0 }, { M(CVTSD2SI), "Gy", BIG, 0 }, { M(CVTTSS2SI), "Gz", BIG, 0 },
    PACKED(CVTDQ2PS), PACKED(CVTTPS2DQ), { M(CVTPS2PD), "Xy", 8, 0 }, PACKED(CVTPD2PS),
    { M(CMPPS), "Xxc", 8, 0 }, { M(CMPSD), "Xyc", 8, 0 }, { M(SHUFPS), "Xxb", 8, 0 },
    { M(PSHUFD), "Xxb", 8, 0 }, { M(PSHUFLW), "Xxb", 8, 0 }, PACKED(PADDB), PACKED(PADDW), PACKED(PADDD),
    PACKED(PADDQ), PACKED(PSUBB), PACKED(PSUBQ), PACKED(PXOR), PACKED(POR), PACKED(PAND), PACKED(PANDN),
    PACKED(PCMPEQB), PACKED(PCMPGTD), PACKED(PMULLW), PACKED(PMULUDQ), PACKED(PMADDWD), PACKED(PADDUSB),
    PACKED(PSUBSW), PACKED(PMINUB), PACKED(PMAXSW), PACKED(PAVGB), PACKED(PSADBW), PACKED(PACKSSDW),
    PACKED(PACKUSWB), PACKED(PUNPCKLBW), PACKED(PUNPCKHQDQ), PACKED(PSLLW), PACKED(PSRAD), PACKED(PSRLQ),
    { M(PSLLD), "Xb", 8, 0 }, { M(PSRLDQ), "Xb", 8, 0 }, { M(PSRAW), "Xb", 8, 0 },
    { M(PMOVMSKB), "GX", 4, 0 }, { M(MOVMSKPS), "GX", 4, 0 }, { M(PEXTRW), "GXb", 4, 0 },
    { M(PINSRW), "XGb", 4, 0 },
};

#define VEX(name) { M(name), "XXx", 8, 0 }
#define WIDER(name) { M(name), "XXx", 8, 0 }, { M(name), "YYv", 8, 0 }
#define FUSED(name) WIDER(name##132PD), WIDER(name##213PS), WIDER(name##231PD)

/* SSE3 and what came after. */
static const struct form newer_vector[] = {
    PACKED(ADDSUBPS), PACKED(HADDPD), PACKED(HSUBPS), PACKED(MOVSHDUP), { M(LDDQU), "Xu", 8, 0 },
    PACKED(PSHUFB), PACKED(PHADDW), PACKED(PHSUBSW), PACKED(PMADDUBSW), PACKED(PMULHRSW), PACKED(PSIGNB),
    PACKED(PABSD), { M(PALIGNR), "Xxb", 8, 0 }, { M(BLENDPS), "Xxb", 8, 0 }, PACKED(BLENDVPD), PACKED(PBLENDVB),
    { M(ROUNDPS), "Xxb", 8, 0 }, { M(ROUNDSD), "Xyb", 8, 0 }, { M(MPSADBW), "Xxb", 8, 0 },
    PACKED(PACKUSDW), PACKED(PCMPEQQ), PACKED(PCMPGTQ), PACKED(PHMINPOSUW), PACKED(PMAXUD), PACKED(PMINSB),
    PACKED(PMULDQ), PACKED(PMULLD), PACKED(PTEST), { M(PMOVSXBW), "Xy", 8, 0 }, { M(PMOVZXWQ), "Xz", 8, 0 },
    { M(PEXTRB), "GXb", 4, 0 }, { M(PINSRD), "XEb", 4, 0 }, { M(PINSRQ), "XEb", 8, 0 }, { M(INSERTPS), "Xzb", 8, 0 },
    { M(EXTRACTPS), "GXb", 4, 0 }, { M(PCMPISTRM), "Xxb", 8, READS },
    PACKED(AESENC), PACKED(AESDECLAST), PACKED(AESIMC), { M(AESKEYGENASSIST), "Xxb", 8, 0 },
    { M(PCLMULQDQ), "Xxb", 8, 0 }, { M(SHA1MSG1), "XX", 8, 0 }, { M(SHA256MSG2), "XX", 8, 0 },
    { M(SHA256RNDS2), "XX", 8, 0 }, { M(SHA1RNDS4), "XXb", 8, 0 },
    PACKED(GF2P8MULB), { M(GF2P8AFFINEQB), "Xxb", 8, 0 }, { M(CRC32), "GE", BIG, 0 }, { M(ADCX), "GE", BIG, 0 },
    { M(ADOX), "GE", BIG, 0 },
    WIDER(VADDPS), WIDER(VMULPD), WIDER(VSUBPS), WIDER(VDIVPD), WIDER(VMINPS), WIDER(VMAXPD), WIDER(VANDPS),
    WIDER(VXORPD), WIDER(VHADDPS), WIDER(VADDSUBPD), WIDER(VUNPCKLPS), WIDER(VPADDB), WIDER(VPSUBQ), WIDER(VPMULLD),
    WIDER(VPSHUFB), WIDER(VPUNPCKHWD), WIDER(VPACKSSDW), WIDER(VPMADDWD), WIDER(VPCMPGTQ), WIDER(VPSLLVD),
    WIDER(VPSRAVD), WIDER(VPSRLVQ), WIDER(VAESENC), WIDER(VGF2P8MULB), FUSED(VFMADD), FUSED(VFNMSUB),
    FUSED(VFMADDSUB), VEX(VADDSD), { M(VMULSS), "XXz", 8, 0 }, { M(VSQRTPS), "Yv", 8, 0 }, { M(VMOVUPS), "Yv", 8, 0 },
    { M(VMOVUPS), "vY", 8, 0 }, { M(VMOVDQU), "vY", 8, 0 }, { M(VMOVDDUP), "Yv", 8, 0 }, { M(VPERMQ), "Yvb", 8, 0 },
    { M(VPERMD), "YYv", 8, 0 }, { M(VPERM2F128), "YYvb", 8, 0 }, { M(VPERMILPS), "YYv", 8, 0 },
    { M(VINSERTI128), "YYxb", 8, 0 }, { M(VEXTRACTI128), "xYb", 8, 0 }, { M(VBROADCASTSS), "Yz", 8, 0 },
    { M(VPBROADCASTB), "YX", 8, 0 }, { M(VSHUFPD), "YYvb", 8, 0 }, { M(VPBLENDW), "YYvb", 8, 0 },
    { M(VBLENDVPS), "YYvY", 8, 0 }, { M(VCMPPS), "YYvb", 8, 0 }, { M(VROUNDPD), "Yvb", 8, 0 }, { M(VPTEST), "Yv", 8, READS },
    { M(VCVTDQ2PS), "Yv", 8, 0 }, { M(VCVTTPS2DQ), "Yv", 8, 0 }, { M(VCVTPS2PD), "Yx", 8, 0 }, { M(VCVTPH2PS), "Yx", 8, 0 },
    { M(VPMOVZXBW), "Yx", 8, 0 }, { M(VPSLLD), "Yvb", 8, 0 }, { M(VPSRAW), "YYx", 8, 0 }, { M(VPALIGNR), "YYvb", 8, 0 },
    { M(VPMOVMSKB), "GY", 4, 0 }, { M(VMOVMSKPD), "GY", 4, 0 }, { M(VZEROUPPER), "", 8, 0 },
    { M(VMASKMOVPS), "YYV", 8, 0 }, { M(VPMASKMOVD), "XXu", 8, 0 }, { M(VMASKMOVPD), "VYY", 8, 0 },
    { M(VMASKMOVPS), "uXX", 8, 0 }, { M(VPMASKMOVQ), "VYY", 8, 0 }, { M(PCMPISTRI), "Xub", 8, READS },
    { M(PCMPESTRI), "Xu8", 8, READS }, { M(PCMPESTRM), "Xu8", 8, READS }, { M(PCMPISTRM), "Xu8", 8, READS },
};

/* What Intel's processors lack, or do in another way. */
static const struct form amd_vector[] = {
    { M(EXTRQ), "X88", 8, 0 }, { M(EXTRQ), "XX", 8, 0 }, { M(INSERTQ), "XX88", 8, 0 }, { M(INSERTQ), "XX", 8, 0 },
    { M(MOVNTSS), "lX", 8, 0 }, { M(MOVNTSD), "qX", 8, 0 }, { M(DPPS), "Xx8", 8, 0 }, { M(DPPD), "Xx8", 8, 0 },
    { M(VDPPS), "YYv8", 8, 0 }, { M(VDPPS), "XXu8", 8, 0 }, { M(VDPPD), "XXu8", 8, 0 }, { M(SHA1MSG1), "Xu", 8, 0 },
    { M(SHA1MSG2), "Xu", 8, 0 }, { M(SHA1NEXTE), "Xu", 8, 0 }, { M(SHA1RNDS4), "Xub", 8, 0 },
    { M(SHA256MSG1), "Xu", 8, 0 }, { M(SHA256MSG2), "Xu", 8, 0 }, { M(SHA256RNDS2), "Xu", 8, 0 },
    { M(VCVTPS2PH), "uYb", 8, 0 }, { M(VCVTPS2PH), "qXb", 8, 0 }, { M(VCVTPS2PH), "XYb", 8, 0 },
    { M(MASKMOVDQU), "XX", 8, READS }, { M(VMASKMOVDQU), "XX", 8, READS },
};

ZydisRegister register_named(unsigned n, unsigned width)
{
    switch (width) {
    case 8: return (ZydisRegister)(n < 4 ? ZYDIS_REGISTER_AL + (int)n : ZYDIS_REGISTER_SPL + (int)n - 4);
    case 16: return (ZydisRegister)(ZYDIS_REGISTER_AX + (int)n);
    case 32: return (ZydisRegister)(ZYDIS_REGISTER_EAX + (int)n);
    default: return (ZydisRegister)(ZYDIS_REGISTER_RAX + (int)n);
    }
}

static void put_register(struct draft *d, ZydisEncoderOperand *o, unsigned width, bool written)
{
    unsigned n = written ? free_register(d) : any_register(d);

    o->type = ZYDIS_OPERAND_TYPE_REGISTER;
    if (width == 8 && !d->is_wide)
        n &= 3;
    if (width == 8 && written && !(d->free >> n & 1))
        n = RAX;
    if (width == 8 && n < 4 && chance(d, 30))
        o->reg.value = (ZydisRegister)(ZYDIS_REGISTER_AH + (int)n);
    else
        o->reg.value = register_named(n, width);
}

/* A memory operand that lies in the data, but for the few that fault. */
static void put_memory(struct draft *d, ZydisEncoderRequest *r, ZydisEncoderOperand *o, unsigned size,
                       bool written, bool aligned)
{
    unsigned base = d->base[pick(d, 2)], way = aligned ? pick(d, 2) : pick(d, 20), width = d->is_wide ? 64 : 32;
    int data = (int)offset_in(d, DS, DATA_AT), fixed = (int)offset_in(d, DS, FIXED_AT);

    o->type = ZYDIS_OPERAND_TYPE_MEMORY;
    o->mem.size = (ZyanU16)size;
    if (d->is_16) {
        put_memory_16(d, r, o, size, written, aligned);
        return;
    }
    o->mem.displacement = chance(d, 15) ? (int)pick(d, 400) - 200 : (int)pick(d, 256) - 128;
    if (aligned) {
        o->mem.displacement &= ~(ZyanI64)15;
        base = d->base[0];
    }
    switch (way) {
    case 0: /* nothing but an address */
        o->mem.displacement =
            data + (int)(aligned ? pick(d, DATA_SIZE / 16 - 4) * 16 : pick(d, DATA_SIZE - 64));
        return;
    case 2:
    case 3:
        if (d->is_wide)
            o->mem.base = ZYDIS_REGISTER_RIP;
        o->mem.displacement = data + (int)pick(d, DATA_SIZE - 64);
        if (chance(d, 2))
            o->mem.displacement = data + DATA_SIZE - (int)pick(d, 12);
        return;
    case 4:
    case 5:
    case 6:
    case 7:
        o->mem.base = register_named(base, width);
        o->mem.index = register_named(d->index, width);
        o->mem.scale = (ZyanU8)(1 << pick(d, 4));
        return;
    case 8: /* in 32 bits */
        o->mem.base = register_named(base, 32);
        if (chance(d, 50)) {
            o->mem.index = register_named(d->index, 32);
            o->mem.scale = (ZyanU8)(1 << pick(d, 4));
        }
        return;
    case 9: /* the stack; written only below its pointer, where no return address is */
        o->mem.base = register_named(RSP, width);
        o->mem.displacement = written ? -(int)pick(d, 100) - 64 : (int)pick(d, 64);
        return;
    case 10:
        o->mem.index = register_named(d->index, width);
        o->mem.scale = (ZyanU8)(2 << pick(d, 3));
        o->mem.displacement = data + (int)pick(d, DATA_SIZE - 512);
        return;
    case 11:
        r->prefixes |= d->has_segments                     ? ZYDIS_ATTRIB_HAS_SEGMENT_ES
                       : d->s->has_bases && chance(d, 50) ? ZYDIS_ATTRIB_HAS_SEGMENT_FS
                                                           : ZYDIS_ATTRIB_HAS_SEGMENT_GS;
        break;
    case 12: /* goes wrong */
        if (chance(d, 90))
            break;
        o->mem.base = register_named(written ? d->index : any_register(d), width);
        return;
    case 13: /* across the end of what can be written, or read */
        if (chance(d, 88))
            break;
        o->mem.displacement = fixed + (chance(d, 30) ? FIXED_SIZE : 0) - (int)pick(d, size + 4);
        return;
    case 14: /* read-only */
        if (chance(d, written ? 92 : 50))
            break;
        o->mem.displacement = fixed + (int)pick(d, FIXED_SIZE - 64);
        return;
    default: break;
    }
    o->mem.base = register_named(base, width);
}

static bool put_operand(struct draft *d, ZydisEncoderRequest *r, ZydisEncoderOperand *o, char kind,
                        unsigned width, bool written)
{
    static const unsigned sizes[] = { 1, 2, 4, 8 };

    switch (kind) {
    case 'E':
        if (chance(d, 45))
            put_memory(d, r, o, width / 8, written, false);
        else
            put_register(d, o, width, written);
        return true;
    case 'G': put_register(d, o, width, written); return true;
    case 'e': width = width > 16 && chance(d, 50) ? 16 : 8; return put_operand(d, r, o, 'E', width, false);
    case 'd': return put_operand(d, r, o, 'E', 32, false);
    case 'A':
        put_memory(d, r, o, sizes[pick(d, 4)], false, false);
        if (chance(d, 50))
            o->mem.base = register_named(d->is_16 ? d->base[0] : any_register(d), d->is_wide ? 64 : d->is_16 ? 16 : 32);
        return true;
    case 'I':
        o->type = ZYDIS_OPERAND_TYPE_IMMEDIATE;
        o->imm.s = chance(d, 50) ? (i8)random_next(&d->random) : (i32)random_next(&d->random);
        if (width == 8)
            o->imm.s = (i8)o->imm.s;
        if (width == 16)
            o->imm.s = (i16)o->imm.s;
        return true;
    case 'B':
    case 'b':
    case 'c':
    case '8':
        o->type = ZYDIS_OPERAND_TYPE_IMMEDIATE;
        o->imm.u = kind == 'c'      ? pick(d, 8)
                   : kind == '8'    ? pick(d, 256)
                   : chance(d, 20) ? 1
                   : chance(d, 5)  ? pick(d, 256)
                                    : pick(d, 34);
        return true;
    case 'C':
        o->type = ZYDIS_OPERAND_TYPE_REGISTER;
        o->reg.value = ZYDIS_REGISTER_CL;
        return true;
    case 'x':
    case 'y':
    case 'z':
        if (chance(d, 40)) {
            put_memory(d, r, o,
                       kind == 'x'   ? 16
                       : kind == 'y' ? 8
                                     : 4,
                       written, kind == 'x' && chance(d, 99));
            return true;
        }
        return put_operand(d, r, o, 'X', width, written);
    case 'Y':
    case 'v':
    case 'V':
        if (kind == 'V' || (kind == 'v' && chance(d, 40))) {
            put_memory(d, r, o, 32, written, false);
            return true;
        }
        o->type = ZYDIS_OPERAND_TYPE_REGISTER;
        o->reg.value = (ZydisRegister)(ZYDIS_REGISTER_YMM0 + (int)any_register(d));
        return true;
    case 'X':
        o->type = ZYDIS_OPERAND_TYPE_REGISTER;
        o->reg.value = (ZydisRegister)(ZYDIS_REGISTER_XMM0 + (int)any_register(d));
        return true;
    default: put_memory(d, r, o, kind == 'u' ? 16 : kind == 'q' ? 8 : 4, written, false); return true;
    }
}

static bool is_gfni(u16 mnemonic)
{
    return mnemonic == ZYDIS_MNEMONIC_GF2P8MULB || mnemonic == ZYDIS_MNEMONIC_GF2P8AFFINEQB ||
           mnemonic == ZYDIS_MNEMONIC_VGF2P8MULB;
}

static bool emit_form(struct draft *d, const struct form *f)
{
    ZydisEncoderRequest r;
    unsigned width;

    if (is_gfni(f->mnemonic) && !d->has_gfni)
        return false;
    memset(&r, 0, sizeof r);
    do
        width = pick(d, d->is_wide || f->widths == 8 ? 4 : 3);
    while (!(f->widths >> width & 1));
    width = 8u << width;
    r.mnemonic = (ZydisMnemonic)f->mnemonic;
    for (; r.operand_count < 4 && f->operands[r.operand_count]; r.operand_count++) {
        bool written =
            (r.operand_count == 0 && !(f->how & READS)) || (r.operand_count == 1 && (f->how & TWO));

        put_operand(d, &r, &r.operands[r.operand_count], f->operands[r.operand_count], width, written);
    }
    if ((f->how & LOCKED) && r.operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY && !d->has_odd_data && chance(d, 30)) {
        /* in place, for an access across cache lines stops the whole host */
        r.operands[0].mem.base = register_named(d->base[0], d->is_wide ? 64 : d->is_16 ? 16 : 32);
        r.operands[0].mem.index = ZYDIS_REGISTER_NONE;
        r.operands[0].mem.scale = 0;
        r.operands[0].mem.displacement = (int)pick(d, 16) * 8;
        r.prefixes = ZYDIS_ATTRIB_HAS_LOCK | (d->is_16 && d->base[0] == RBP ? ZYDIS_ATTRIB_HAS_SEGMENT_DS : 0);
    }
    if ((r.mnemonic == ZYDIS_MNEMONIC_PCMPESTRI || r.mnemonic == ZYDIS_MNEMONIC_PCMPISTRI) && !(d->free >> RCX & 1))
        return false;
    if ((r.mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU || r.mnemonic == ZYDIS_MNEMONIC_VMASKMOVDQU) && d->base[0] != RDI &&
        d->base[1] != RDI)
        return false;
    if (r.mnemonic == ZYDIS_MNEMONIC_XCHG && r.operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY)
        return false;
    return emit(d, &r) != NULL;
}

static void emit_one_of(struct draft *d, const struct form *forms, unsigned n)
{
    for (unsigned tries = 0; tries < 20 && !d->failed; tries++) {
        if (emit_form(d, &forms[pick(d, n)]))
            return;
        if (d->tainted && chance(d, 20))
            emit_cleaner(d);
    }
}

void emit_integer(struct draft *d)
{
    emit_one_of(d, integer, sizeof integer / sizeof *integer);
}

void emit_compare(struct draft *d)
{
    emit_one_of(d, compares, sizeof compares / sizeof *compares);
}

void emit_vector(struct draft *d)
{
    if (d->has_newer && d->is_amd && chance(d, 15))
        emit_one_of(d, amd_vector, sizeof amd_vector / sizeof *amd_vector);
    else if (d->has_newer && chance(d, 50))
        emit_one_of(d, newer_vector, sizeof newer_vector / sizeof *newer_vector);
    else
        emit_one_of(d, vector, sizeof vector / sizeof *vector);
}

/* The upper halves of YMM registers have no place in struct state: they go to memory. */
void emit_upper_halves(struct draft *d)
{
    for (unsigned i = 0; i < (d->is_wide ? 16 : 8); i++) {
        ZydisEncoderRequest r = { .mnemonic = ZYDIS_MNEMONIC_VEXTRACTF128, .operand_count = 3 };

        r.operands[0] = (ZydisEncoderOperand){ .type = ZYDIS_OPERAND_TYPE_MEMORY };
        r.operands[0].mem.displacement = (int)offset_in(d, DS, DATA_AT) + 16 * (int)i;
        r.operands[0].mem.size = 16;
        r.operands[1] = (ZydisEncoderOperand){ .type = ZYDIS_OPERAND_TYPE_REGISTER };
        r.operands[1].reg.value = (ZydisRegister)(ZYDIS_REGISTER_YMM0 + (int)i);
        r.operands[2] = (ZydisEncoderOperand){ .type = ZYDIS_OPERAND_TYPE_IMMEDIATE };
        r.operands[2].imm.u = 1;
        emit(d, &r);
    }
}
