/* SPDX-License-Identifier: MIT */
/* Bytes to one instruction ready to run: what Zydis says, put into our form. */
#include "decoder/decode.h"

#include <Zydis/Zydis.h>

#include "decoder/correction.h"
#include "decoder/undefined.h"

/* The decoder's state is a few words of configuration: made anew each time, it needs no owner. */
void decoder_init(ZydisDecoder *decoder, const struct features *features, u32 mode)
{
    bool real = !(mode & MODE_PE) || (mode & MODE_VM86);

    switch (mode & MODE_CODE) {
    case MODE_CODE64:
        ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
        break;
    case MODE_CODE32:
        ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
        break;
    default:
        ZydisDecoderInit(decoder, real ? ZYDIS_MACHINE_MODE_REAL_16 : ZYDIS_MACHINE_MODE_LEGACY_16,
                         ZYDIS_STACK_WIDTH_16);
        break;
    }
    /* The profile: AMD, and neither MPX nor CET nor CLDEMOTE. Without LZCNT or BMI1 the bytes are BSR's and BSF's. */
    ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_AMD_BRANCHES, ZYAN_TRUE);
    ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
    ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
    ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
    ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_LZCNT, has(features, HAS_LZCNT));
    ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_TZCNT, has(features, HAS_BMI1));
}

static enum width width_of(unsigned bits)
{
    switch (bits) {
    case 8: return W8;
    case 16: return W16;
    case 64: return W64;
    case 80: return W80;
    case 128: return W128;
    case 256: return W256;
    case 512: return W512;
    default: return W32;
    }
}

static const char shape_of[16][4] = { "",   "R",   "M",   "I",   "RR",  "RM",  "RI",  "MR",
                                      "MI", "RRI", "RMI", "MRI", "RRR", "RRM", "RMR", "MRR" };

/* Our number of a register: the byte offset of a general one, number and kind of vectors, the plain number of others. */
static u8 register_number(ZydisRegister r)
{
    if (r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_R15B) {
        unsigned n = (unsigned)(r - ZYDIS_REGISTER_AL);

        return (u8)(n < 4 ? 8 * n : n < 8 ? 8 * (n - 4) + 1 : 8 * (n - 4));
    }
    if (r >= ZYDIS_REGISTER_AX && r <= ZYDIS_REGISTER_R15)
        return (u8)(8 * ZydisRegisterGetId(r));
    switch (ZydisRegisterGetClass(r)) {
    case ZYDIS_REGCLASS_XMM:
    case ZYDIS_REGCLASS_YMM:
    case ZYDIS_REGCLASS_ZMM: return (u8)(REG_XMM + ZydisRegisterGetId(r));
    case ZYDIS_REGCLASS_MMX: return (u8)(REG_MMX + ZydisRegisterGetId(r));
    default: return (u8)ZydisRegisterGetId(r);
    }
}

static bool is_general(const ZydisDecodedOperand *o)
{
    return o->type == ZYDIS_OPERAND_TYPE_REGISTER && o->reg.value >= ZYDIS_REGISTER_AL &&
           o->reg.value <= ZYDIS_REGISTER_R15;
}

/* A row's attributes, with SSE and MMX as the kinds of the registers at hand have them. */
static u32 attributes_of(const struct op *op, const struct insn *in, unsigned visible)
{
    const u8 reg[3] = { in->dst, in->src, in->third };
    u32 a = op->attributes, kinds = 0;

    if (!(a & (SSE | MMX)))
        return a;
    for (unsigned i = 0; i < 3 && i < visible; i++) {
        if (shape_of[in->shape][i] == 'R' && reg[i] >= REG_XMM)
            kinds |= reg[i] >= REG_MMX ? MMX : SSE;
    }
    return kinds ? (a & ~(u32)(SSE | MMX)) | kinds : a;
}

static bool put_memory(struct insn *in, const ZydisDecodedOperand *o)
{
    i64 disp = o->mem.disp.value;

    in->base = in->index = OFFSET_ZERO;
    if (o->mem.base == ZYDIS_REGISTER_RIP || o->mem.base == ZYDIS_REGISTER_EIP) {
        in->base = OFFSET_CODE;
        disp += in->offset + in->length;
    } else if (o->mem.base != ZYDIS_REGISTER_NONE) {
        in->base = register_number(o->mem.base);
    }
    if (o->mem.index != ZYDIS_REGISTER_NONE) {
        in->index = register_number(o->mem.index);
        in->scale = (u8)__builtin_ctz(o->mem.scale | 8);
    }
    if (o->mem.segment != ZYDIS_REGISTER_NONE)
        in->segment = (unsigned)ZydisRegisterGetId(o->mem.segment) & 7u;
    if (in->address != W64)
        disp = (i32)disp; /* cut to the address size anyway */
    in->disp = (i32)disp;
    return in->disp == disp;
}

/* Puts the visible operands into *in. False: a form that *in has no room for. */
static bool put_operands(struct insn *in, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operand,
                         struct decoded *d)
{
    unsigned n = z->operand_count_visible;
    char kinds[8] = "";

    for (unsigned i = 0; i < n; i++) {
        const ZydisDecodedOperand *o = &operand[i];

        switch (o->type) {
        case ZYDIS_OPERAND_TYPE_REGISTER:
            if (i < 3 && !(i == 1 && kinds[0] == 'I')) {
                u8 number = register_number(o->reg.value);

                *(i == 0 ? &in->dst : i == 1 ? &in->src : &in->third) = number;
            } else if (i == 3) {
                in->imm32 = register_number(o->reg.value);
            }
            kinds[i] = 'R';
            break;
        case ZYDIS_OPERAND_TYPE_MEMORY:
            if (!put_memory(in, o)) {
                if (o->mem.base != ZYDIS_REGISTER_NONE)
                    return false;
                in->imm = (u64)o->mem.disp.value;
            }
            kinds[i] = 'M';
            break;
        case ZYDIS_OPERAND_TYPE_POINTER:
            in->imm = o->ptr.offset | (u64)o->ptr.segment << 32;
            kinds[i] = 'I';
            break;
        case ZYDIS_OPERAND_TYPE_IMMEDIATE:
            if (o->imm.is_relative) {
                d->is_relative = true;
                d->branch = o->imm.value.s;
            } else if (i > 0 && kinds[i - 1] == 'I') { /* ENTER: size, then level */
                in->imm |= (o->imm.value.u & 0xff) << 16;
                n--;
            } else if (i < 3) {
                in->imm = o->imm.value.u;
            } else {
                in->imm32 = (u32)o->imm.value.u;
            }
            kinds[i] = 'I';
            break;
        default:
            break;
        }
    }
    if (n == 4 && in->vex)
        n = 3;
    if (n > 3)
        return false;
    if (kinds[0] == 'I' && kinds[1] == 'R') { /* OUT: the port's number comes first */
        kinds[0] = 'R';
        kinds[1] = 'I';
    }
    kinds[n] = 0;
    if (!strcmp(kinds, "IR")) /* OUT imm8, AL: as if the accumulator came first */
        memcpy(kinds, "RI", 2);
    for (unsigned s = 0; s < 16; s++)
        if (!strncmp(kinds, shape_of[s], 4)) {
            in->shape = s & 15;
            return true;
        }
    return false;
}

/* Which row an instruction belongs to, where its mnemonic doesn't say it all. */
static u16 row_of(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operand)
{
    if (z->mnemonic == ZYDIS_MNEMONIC_MOV) {
        for (unsigned i = 0; i < 2; i++) {
            if (operand[i].type == ZYDIS_OPERAND_TYPE_REGISTER)
                switch (ZydisRegisterGetClass(operand[i].reg.value)) {
                case ZYDIS_REGCLASS_SEGMENT: return PSEUDO_MOV_SEGMENT;
                case ZYDIS_REGCLASS_CONTROL: return PSEUDO_MOV_CONTROL;
                case ZYDIS_REGCLASS_DEBUG: return PSEUDO_MOV_DEBUG;
                default: break;
                }
            else if (operand[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
                     operand[i].mem.disp.value != (i32)operand[i].mem.disp.value && z->address_width == 64 &&
                     operand[i].mem.base == ZYDIS_REGISTER_NONE)
                return PSEUDO_MOV_FAR;
        }
    }
    if ((z->mnemonic == ZYDIS_MNEMONIC_PUSH || z->mnemonic == ZYDIS_MNEMONIC_POP) &&
        operand[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
        ZydisRegisterGetClass(operand[0].reg.value) == ZYDIS_REGCLASS_SEGMENT)
        return z->mnemonic == ZYDIS_MNEMONIC_PUSH ? PSEUDO_PUSH_SEGMENT : PSEUDO_POP_SEGMENT;
    if (z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
        switch (z->mnemonic) {
        case ZYDIS_MNEMONIC_JMP: return PSEUDO_JMP_FAR;
        case ZYDIS_MNEMONIC_CALL: return PSEUDO_CALL_FAR;
        case ZYDIS_MNEMONIC_RET: return PSEUDO_RET_FAR;
        default: break;
        }
    if (z->meta.category == ZYDIS_CATEGORY_STRINGOP && z->mnemonic == ZYDIS_MNEMONIC_MOVSD)
        return PSEUDO_MOVSD_STRING;
    if (z->meta.category == ZYDIS_CATEGORY_STRINGOP && z->mnemonic == ZYDIS_MNEMONIC_CMPSD)
        return PSEUDO_CMPSD_STRING;
    return (u16)z->mnemonic;
}

static run_fn *forbidden(const struct insn *in, u32 a, u32 mode)
{
    unsigned cpl = (mode & MODE_CPL) >> MODE_CPL_SHIFT;

    if ((a & PROTECTED) && (!(mode & MODE_PE) || (mode & MODE_VM86)))
        return run_ud;
    if (in->lock && (!(a & LOCKS) || shape_of[in->shape][0] != 'M'))
        return run_ud;
    if ((a & MMX) && (mode & MODE_EM))
        return run_ud;
    if ((a & SSE) && ((mode & MODE_EM) || !(mode & MODE_OSFXSR)))
        return run_ud;
    if ((a & AVX) && (!(mode & MODE_AVX) || !(mode & MODE_PE) || (mode & MODE_VM86)))
        return run_ud;
    if ((a & FPU) && (mode & (MODE_EM | MODE_TS)))
        return run_nm;
    if ((a & (MMX | SSE | AVX)) && (mode & MODE_TS))
        return run_nm;
    if ((a & (MMX | WAITS)) && (mode & MODE_X87_SLOW))
        return run_mf_or_body;
    if ((a & CPL0) && cpl != 0)
        return run_gp;
    if ((a & UMIP) && (mode & MODE_UMIP) && cpl != 0 && (mode & MODE_PE))
        return run_gp;
    return NULL;
}

/* Of the flags that manuals call undefined after these, all are written; other instructions leave some as they were. */
static bool writes_undefined(u16 op)
{
    switch (op) {
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_OR:
    case ZYDIS_MNEMONIC_XOR:
    case ZYDIS_MNEMONIC_TEST:
    case ZYDIS_MNEMONIC_SHL:
    case ZYDIS_MNEMONIC_SHR:
    case ZYDIS_MNEMONIC_SAR: return true;
    default: return false;
    }
}

static void put_flags(const ZydisDecodedInstruction *z, const struct op *op, const struct insn *in, struct decoded *d)
{
    const ZydisAccessedFlags *f = z->cpu_flags;
    bool is_shift = f && in->shape == S_RI && op->bind == ops[ZYDIS_MNEMONIC_SHL].bind; /* not RCL: 9 of 8 bits is none */
    bool counted = is_shift && (in->imm & (in->width == W64 ? 63 : 31)) != 0;

    if (!f)
        return;
    d->flags_read = f->tested & STATUS;
    d->flags_written = (f->modified | f->set_0 | f->set_1 | (writes_undefined(in->op) ? f->undefined : 0)) & STATUS;
    if ((op->attributes & FLAGS_MAYBE) && !counted) { /* a shift by zero writes none */
        d->flags_read |= d->flags_written;
        d->flags_written = 0;
    }
}

static enum decode_result invalid(struct insn *in, struct decoded *d)
{
    in->run = run_ud;
    in->shape = S_;
    in->length = 0;
    d->attributes = ENDS;
    return DECODE_INVALID;
}

/* The bytes end too soon: where a page does, or where no instruction may be longer. */
static enum decode_result more(unsigned size)
{
    return size >= 15 ? DECODE_TOO_LONG : DECODE_MORE;
}

/* Which segment the prefixes name: the last one counts, in 64-bit code of FS and GS. Zydis tells it not of all instructions. */
static unsigned segment_named(const ZydisDecodedInstruction *z)
{
    for (unsigned i = z->raw.prefix_count; i-- > 0;)
        switch (z->raw.prefixes[i].value) {
        case 0x64: return FS;
        case 0x65: return GS;
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0x26:
            if (z->machine_mode != ZYDIS_MACHINE_MODE_LONG_64)
                return z->raw.prefixes[i].value >> 3 & 3; /* as MOV to Sreg numbers them */
            break;
        default: break;
        }
    return DS;
}

/* Whose operand in memory is at rDI or rAX, and not among the visible ones. */
static bool has_hidden_address(ZydisMnemonic m)
{
    return m == ZYDIS_MNEMONIC_MASKMOVQ || m == ZYDIS_MNEMONIC_MASKMOVDQU || m == ZYDIS_MNEMONIC_VMASKMOVDQU ||
           m == ZYDIS_MNEMONIC_CLZERO;
}

enum decode_result decode(const struct features *features, u32 mode, const u8 *bytes, unsigned size, unsigned offset,
                          struct insn *in, struct decoded *d)
{
    ZydisDecoder decoder;
    ZydisDecodedInstruction z;
    ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];

    memset(in, 0, sizeof *in);
    *d = (struct decoded){ .may_fault = true, .flags_read = STATUS };
    in->offset = offset & 0xfff;
    in->base = in->index = OFFSET_ZERO;
    in->segment = DS;

    decoder_init(&decoder, features, mode);
    ZyanStatus status = ZydisDecoderDecodeFull(&decoder, bytes, size, &z, operand);

    if (status == ZYDIS_STATUS_NO_MORE_DATA)
        return undefined_at_once(mode, bytes, size) ? invalid(in, d) : more(size);
    if (status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG)
        return DECODE_TOO_LONG;
    if (ZYAN_FAILED(status) && !correct_failure(&decoder, features, bytes, size, status, &z, operand))
        return undefined_length(mode, bytes, size) > size ? more(size) : invalid(in, d);

    in->length = z.length & 15u;
    in->op = row_of(&z, operand);
    in->address = width_of(z.address_width) & 3;
    in->lock = (z.attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0;
    in->rep = z.attributes & ZYDIS_ATTRIB_HAS_REPNE                              ? REP_NE
              : z.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE) ? REP_E
                                                                              : REP_NONE;
    in->vex = z.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
    const struct op *op = &ops[in->op];

    /* Other encodings share names with ours, but no profile has theirs: EVEX, XOP, and Knights Corner's VEX. */
    if ((!in->vex && z.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY) || z.meta.isa_ext == ZYDIS_ISA_EXT_KNC)
        return invalid(in, d);
    if (!is_there(features, mode, &z))
        return invalid(in, d);
    d->attributes = op->attributes;
    if (!op->body) {
        in->run = run_unsupported;
        d->attributes = ENDS;
        return DECODED;
    }
    if (op->attributes & STRING) {
        in->segment = segment_named(&z) & 7u;
        in->width = 0;
        for (unsigned i = 0; i < z.operand_count; i++)
            if (operand[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
                in->width = width_of(operand[i].size) & 7;
    } else {
        if (!put_operands(in, &z, operand, d)) {
            in->run = run_unsupported;
            d->attributes = ENDS;
            return DECODED;
        }
        if (has_hidden_address(z.mnemonic))
            in->segment = segment_named(&z) & 7u;
        if ((op->attributes & OPSIZE) || z.operand_count_visible == 0)
            in->width = width_of(z.operand_width) & 7;
        else
            in->width = width_of(operand[0].size) & 7;
        if (in->op >= PSEUDO_MOV_SEGMENT && in->op <= PSEUDO_MOV_DEBUG) /* does it write the special register? */
            in->imm = operand[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
                      ZydisRegisterGetClass(operand[0].reg.value) >= ZYDIS_REGCLASS_SEGMENT;
        if (in->vex && (op->attributes & AVX) && !is_general(&operand[0]) && !(op->attributes & OPSIZE))
            in->width = width_of(z.avx.vector_length) & 7;
        if (op->attributes & WIDTH_SRC)
            in->imm32 = width_of(operand[in->vex ? z.operand_count_visible - 1 : 1].size);
        if (op->attributes & COND)
            *(op->attributes & BRANCH ? (u32 *)&in->disp : &in->imm32) = z.opcode & 15;
        if (op->attributes & FPU) /* FOP, as FNSTENV tells it */
            in->imm = (z.opcode & 7u) << 8 | (unsigned)z.raw.modrm.mod << 6 | z.raw.modrm.reg << 3 | z.raw.modrm.rm;
    }
    if (d->is_relative)
        d->branch += z.length;
    d->branch_width = width_of(z.operand_width);
    if (!correct_insn(&z, mode, in, d))
        return invalid(in, d);

    d->attributes = attributes_of(op, in, z.operand_count_visible);
    in->run = forbidden(in, d->attributes, mode);
    if (in->run && in->run != run_mf_or_body) {
        d->attributes = ENDS;
        return DECODED;
    }

    const char *kinds = shape_of[in->shape];
    bool in_memory = !(op->attributes & STRING) && strchr(kinds, 'M');

    d->may_fault = in_memory || !(op->attributes & KEEPS) || in->run;
    d->flags_read = d->flags_written = 0;
    put_flags(&z, op, in, d);
    return DECODED;
}
