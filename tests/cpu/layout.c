/* SPDX-License-Identifier: MIT */
/* Instructions to bytes at addresses: encoding, the flags that each leaves undefined, and displacements. */
#include <string.h>

#include "tests/cpu/draft.h"

void sequence_decoder(const struct sequence *s, ZydisDecoder *decoder)
{
    bool is_wide = s->mode == 64;

    ZydisDecoderInit(decoder,
                     is_wide         ? ZYDIS_MACHINE_MODE_LONG_64
                     : s->mode == 32 ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32
                                     : ZYDIS_MACHINE_MODE_LONG_COMPAT_16,
                     is_wide ? ZYDIS_STACK_WIDTH_64 : s->mode == 32 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16);
    ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_AMD_BRANCHES, native_is_amd());
}

static bool is_shift(ZydisMnemonic m)
{
    return m == ZYDIS_MNEMONIC_SHL || m == ZYDIS_MNEMONIC_SHR || m == ZYDIS_MNEMONIC_SAR ||
           m == ZYDIS_MNEMONIC_SHLD || m == ZYDIS_MNEMONIC_SHRD;
}

static bool is_by_one(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o)
{
    const ZydisDecodedOperand *by = &o[z->operand_count_visible - 1];

    return by->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && by->imm.value.u == 1;
}

static bool is_rotate(ZydisMnemonic m)
{
    return m == ZYDIS_MNEMONIC_ROL || m == ZYDIS_MNEMONIC_ROR || m == ZYDIS_MNEMONIC_RCL ||
           m == ZYDIS_MNEMONIC_RCR;
}

/* What is undefined after an instruction, when `before` was: SDM 2's flags, which Zydis tells, and what it
 * can't. */
static u32 tainted_after(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o, u32 before)
{
    const ZydisAccessedFlags *f = z->cpu_flags;

    if (native_is_amd())
        return 0; /* undefined ones are as the profile's processor leaves them */
    if (!f)
        return before;

    u32 written = (f->modified | f->set_0 | f->set_1) & STATUS, undefined = f->undefined & STATUS;
    bool is_string =
        (z->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)) != 0;

    if (z->mnemonic == ZYDIS_MNEMONIC_SBB) /* it is defined */
        return before & ~(u32)STATUS;
    if ((is_shift(z->mnemonic) || is_rotate(z->mnemonic)) && is_by_one(z, o))
        undefined &= ~(u32)OF;
    if (is_string || is_rotate(z->mnemonic))
        return before | undefined; /* by zero they write nothing */
    if (is_shift(z->mnemonic)) {
        const ZydisDecodedOperand *by = &o[z->operand_count_visible - 1];
        unsigned width = o[0].size;
        u64 count = by->imm.value.u & (width == 64 ? 63 : 31);

        if (by->type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
            return before | undefined | OF | AF | (width < 32 ? CF : 0);
        if (count == 0)
            return before;
        if (count != 1)
            undefined |= OF;
        undefined |= AF | (count >= width ? CF : 0);
    }
    return (before & ~written) | undefined;
}

struct item *emit_bytes(struct draft *d, const u8 *bytes, unsigned size)
{
    struct item *i = &d->s->item[d->s->n];
    ZydisDecoder decoder;
    ZydisDecodedInstruction z;
    ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];

    if (d->s->n == ITEMS) {
        d->failed = true;
        return NULL;
    }
    sequence_decoder(d->s, &decoder);
    if (ZYAN_FAILED(ZydisDecoderDecodeFull(&decoder, bytes, size, &z, operand)) || z.length != size)
        return NULL;
    if (d->is_amd)
        d->tainted = 0;
    if (z.cpu_flags && (z.cpu_flags->tested & d->tainted))
        return NULL;
    memset(i, 0, sizeof *i);
    memcpy(i->bytes, bytes, size);
    i->length = (u8)size;
    i->tainted = d->tainted;
    if (d->is_wide && z.raw.modrm.mod == 0 && z.raw.modrm.rm == 5 && (z.attributes & ZYDIS_ATTRIB_HAS_MODRM)) { /* by RIP */
        i->patch = z.raw.disp.offset;
        i->patch_size = 4;
    }
    /* SDM 1 7.3.9.2: as before it, when REPE CMPS or SCAS faults on the way; elsewhere as the last round left
     * them */
    i->fault_taints = !d->is_amd && z.cpu_flags && (z.attributes & (ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE));
    d->tainted = tainted_after(&z, operand, d->tainted);
    d->s->n++;
    return i;
}

void emit_undecoded(struct draft *d, const u8 *bytes, unsigned size)
{
    struct item *i = &d->s->item[d->s->n];

    if (d->s->n == ITEMS) {
        d->failed = true;
        return;
    }
    memset(i, 0, sizeof *i);
    memcpy(i->bytes, bytes, size);
    i->length = (u8)size;
    d->s->n++;
}

struct item *emit(struct draft *d, ZydisEncoderRequest *r)
{
    u8 bytes[ZYDIS_MAX_INSTRUCTION_LENGTH];
    ZyanUSize size = sizeof bytes;

    r->machine_mode = d->is_wide ? ZYDIS_MACHINE_MODE_LONG_64
                      : d->is_16 ? ZYDIS_MACHINE_MODE_LONG_COMPAT_16
                                 : ZYDIS_MACHINE_MODE_LONG_COMPAT_32;
    if (ZYAN_FAILED(ZydisEncoderEncodeInstruction(r, bytes, &size)))
        return NULL;

    struct item *i = emit_bytes(d, bytes, (unsigned)size);

    for (unsigned o = 0; i && o < r->operand_count; o++)
        if (r->operands[o].type == ZYDIS_OPERAND_TYPE_MEMORY && r->operands[o].mem.base == ZYDIS_REGISTER_RIP)
            i->plus = (u32)r->operands[o].mem.displacement;
    return i;
}

struct item *emit_rex(struct draft *d, const u8 *bytes, unsigned size)
{
    u8 without[15];
    unsigned at = 0;

    if (d->is_wide)
        return emit_bytes(d, bytes, size);
    while ((bytes[at] & 0xf0) != 0x40)
        at++;
    memcpy(without, bytes, at);
    memcpy(without + at, bytes + at + 1, size - at - 1);
    return emit_bytes(d, without, size - 1);
}

struct item *emit_turned(struct draft *d, const u8 *bytes, unsigned size)
{
    u8 turned[15] = { 0x66 };

    if (!d->is_16)
        return emit_rex(d, bytes, size);
    if (bytes[0] == 0x66)
        return emit_rex(d, bytes + 1, size - 1);
    memcpy(turned + 1, bytes, size);
    return emit_rex(d, turned, size + 1);
}

struct item *emit_whole_constant(struct draft *d, unsigned reg, u32 value)
{
    u8 bytes[6] = { 0x40 | (reg >> 3 & 1), (u8)(0xb8 | (reg & 7)) };

    memcpy(bytes + 2, &value, 4);
    return emit_turned(d, bytes, 6);
}

struct item *emit_constant(struct draft *d, unsigned reg, u32 value)
{
    if (d->is_16 && value < 0x10000 && chance(d, 50))
        return emit_bytes(d, (u8[]){ (u8)(0xb8 | reg), (u8)value, (u8)(value >> 8) }, 3);
    return emit_whole_constant(d, reg, value);
}

void emit_cleaner(struct draft *d)
{
    unsigned reg = free_register(d);
    u8 bytes[4] = { (u8)(0x48 | reg >> 3), 0x83, (u8)(0xc0 | (reg & 7)), (u8)pick(d, 256) };

    emit_rex(d, bytes, 4);
}

struct item *emit_at(struct draft *d, const u8 *opcode, unsigned size, unsigned digit, u32 address)
{
    u8 bytes[15];
    u32 offset = offset_in(d, DS, address);

    memcpy(bytes, opcode, size);
    bytes[size] = (u8)(digit << 3 | (d->is_16 ? 6 : 4));
    bytes[size + 1] = 0x25;
    memcpy(bytes + size + (d->is_16 ? 1 : 2), &offset, 4);
    return emit_bytes(d, bytes, size + (d->is_16 ? 3 : 6));
}

struct item *emit_by_base(struct draft *d, const u8 *opcode, unsigned size, unsigned digit, unsigned base, u8 displacement)
{
    u8 bytes[15] = { d->is_16 ? 0x3e : (u8)(0x40 | base >> 3) };
    unsigned n = 1 + size, skip = d->is_16 && (base != RBP || (d->keeps_stack && chance(d, 30)));

    memcpy(bytes + 1, opcode, size);
    bytes[n++] = (u8)(0x40 | digit << 3 | (d->is_16 ? base_16(base) : base & 7));
    if (!d->is_16 && (base & 7) == RSP)
        bytes[n++] = 0x24;
    bytes[n++] = displacement;
    return d->is_16 ? emit_bytes(d, bytes + skip, n - skip) : emit_rex(d, bytes, n);
}

/* MOV of an immediate of 2 or 4 bytes; 66 says that it isn't the code's own size. */
static void store_immediate(struct draft *d, u32 address, u32 value, unsigned size)
{
    u8 bytes[12] = { 0x66, 0xc7, d->is_16 ? 0x06 : 0x04, 0x25 };
    unsigned skip = d->is_16 == (size == 2), at = d->is_16 ? 3 : 4, wide = d->is_16 ? 2 : 4;
    u32 offset = offset_in(d, DS, address);

    memcpy(bytes + at, &offset, wide);
    memcpy(bytes + at + wide, &value, size);
    emit_bytes(d, bytes + skip, at + wide + size - skip);
}

void emit_store(struct draft *d, u32 address, u32 value)
{
    store_immediate(d, address, value, 4);
}

void emit_store_word(struct draft *d, u32 address, u16 value)
{
    store_immediate(d, address, value, 2);
}

u32 some_data(struct draft *d, unsigned size, unsigned alignment)
{
    return DATA_AT + pick(d, (DATA_SIZE - size) / alignment) * alignment;
}

/* Short branches that don't reach become near ones: JMP and Jcc, but not LOOP and JrCXZ, which must reach. */
static bool grow(const struct sequence *s, struct item *i)
{
    if (i->bytes[0] == 0xeb) {
        i->bytes[0] = 0xe9;
        i->patch = 1;
    } else if ((i->bytes[0] & 0xf0) == 0x70) {
        i->bytes[1] = (u8)(0x80 | (i->bytes[0] & 15));
        i->bytes[0] = 0x0f;
        i->patch = 2;
    } else {
        return false;
    }
    i->patch_size = s->mode == 16 ? 2 : 4;
    i->length = (u8)(i->patch + i->patch_size);
    return true;
}

static void place(struct sequence *s)
{
    u32 at = s->code_offset;

    for (unsigned n = 0; n < s->n; n++) {
        s->item[n].at = (u16)at;
        at += s->item[n].length;
    }
    s->size = at - s->code_offset;
}

bool sequence_layout(struct sequence *s)
{
    bool again;

    do {
        again = false;
        place(s);
        if (s->code_offset + s->size > CODE_SIZE)
            return false;
        for (unsigned n = 0; n < s->n; n++) {
            struct item *i = &s->item[n];
            u32 target = i->to_label ? CODE_AT + s->item[i->label].at + i->plus : i->plus;
            i64 far = i->is_absolute ? (i64)target - s->ldt[i->in_segment ? i->in_segment : LDT_OF(CS)].base
                                     : (i64)target - (i64)(CODE_AT + i->at + i->length);

            if (!i->patch)
                continue;
            if (i->patch_size == 1 && far != (i8)far) {
                if (!grow(s, i))
                    return false;
                again = true;
                break;
            }
            memcpy(i->bytes + i->patch, &far, i->patch_size);
        }
    } while (again);
    return true;
}

u32 sequence_offset(const struct sequence *s, unsigned n)
{
    return CODE_AT + s->item[n].at - s->ldt[LDT_OF(CS)].base;
}

u32 sequence_tainted(const struct sequence *s, u64 rip)
{
    if (native_is_amd())
        return 0;
    for (unsigned n = 0; n < s->n; n++)
        if (sequence_offset(s, n) == rip)
            return s->item[n].fault_taints ? STATUS : s->item[n].tainted;
    return STATUS;
}

/* What may be undefined before item n, with what is so after the others: by falling through, and by jumps. */
static u32 tainted_before(const struct sequence *s, const ZydisDecodedInstruction *z, const u32 *after, unsigned n)
{
    bool falls = n && z[n - 1].mnemonic != ZYDIS_MNEMONIC_JMP && z[n - 1].mnemonic != ZYDIS_MNEMONIC_RET;
    u32 tainted = falls ? after[n - 1] : 0;

    for (unsigned i = 0; i < s->n; i++)
        if (s->item[i].to_label && s->item[i].label == n)
            tainted |= z[i].meta.branch_type == ZYDIS_BRANCH_TYPE_NONE ? STATUS : after[i]; /* its address is taken */
    return tainted;
}

bool sequence_taints(struct sequence *s)
{
    ZydisDecodedInstruction z[ITEMS];
    ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
    ZydisDecoder decoder;
    u32 after[ITEMS] = { 0 };
    bool again = true;

    if (native_is_amd())
        return true;
    sequence_decoder(s, &decoder);
    for (unsigned n = 0; n < s->n; n++)
        if (ZYAN_FAILED(ZydisDecoderDecodeFull(&decoder, s->item[n].bytes, s->item[n].length, &z[n], operand)))
            return false;
    while (again) {
        again = false;
        for (unsigned n = 0; n < s->n; n++) {
            u32 before = tainted_before(s, z, after, n), now;

            ZydisDecoderDecodeFull(&decoder, s->item[n].bytes, s->item[n].length, &z[n], operand);
            now = z[n].mnemonic == ZYDIS_MNEMONIC_CALL ? STATUS : tainted_after(&z[n], operand, before);
            again |= now != after[n];
            after[n] = now;
            s->item[n].tainted = before;
        }
    }
    for (unsigned n = 0; n < s->n; n++)
        if (z[n].cpu_flags && (z[n].cpu_flags->tested & s->item[n].tainted))
            return false;
    return true;
}
