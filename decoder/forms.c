/* SPDX-License-Identifier: MIT */
/*
 * The forms of instructions: all opcodes with all prefixes that choose one, and each kind of ModRM byte, are decoded, and what
 * comes out is told once.
 */
#include "decoder/forms.h"

#include <stdio.h>

#include "decoder/correction.h"
#include "state/host.h"

/* One way to write an instruction. */
struct encoding {
    bool is_vex;
    u8 map, opcode, modrm;
    u8 repeat;            /* F2, F3 or 0 */
    bool has_66, is_wide; /* wide: REX.W, VEX.W */
    u8 length, pp;        /* of VEX */
};

enum { SEEN = 1 << 16, MODRM_KINDS = 64 + 8 + 8 };

struct listing {
    const struct features *features;
    u32 mode;
    ZydisDecoder decoder;
    form_fn *visit;
    void *context;
    u64 *seen; /* hashes of what was told */
};

/* Register operands one by one, since x87 instructions and others hide there; then memory, with SIB for gathers. */
static u8 modrm_of(unsigned kind, u32 mode)
{
    unsigned base = mode == MODE_CODE16 ? 7 : 3; /* [bx], [ebx] */

    if (kind < 64)
        return (u8)(0xc0 | kind);
    return (u8)(kind < 72 ? (kind - 64) << 3 | base : (kind - 72) << 3 | 4);
}

static unsigned write_bytes(const struct encoding *e, u8 *b, bool vvvv_is_used)
{
    unsigned n = 0;

    if (e->is_vex) {
        b[n++] = 0xc4;
        b[n++] = (u8)(7 << 5 | e->map);
        b[n++] = (u8)(e->is_wide << 7 | (vvvv_is_used ? 14 : 15) << 3 | e->length << 2 | e->pp);
    } else {
        if (e->has_66)
            b[n++] = 0x66;
        if (e->repeat)
            b[n++] = e->repeat;
        if (e->is_wide)
            b[n++] = 0x48;
        if (e->map)
            b[n++] = 0x0f;
        if (e->map > 1)
            b[n++] = e->map == 2 ? 0x38 : 0x3a;
    }
    b[n++] = e->opcode;
    b[n++] = e->modrm;
    return n;
}

static const char *kind_of(const ZydisDecodedOperand *o)
{
    if (o->type == ZYDIS_OPERAND_TYPE_MEMORY)
        return "m";
    if (o->type != ZYDIS_OPERAND_TYPE_REGISTER)
        return "i";
    switch (ZydisRegisterGetClass(o->reg.value)) {
    case ZYDIS_REGCLASS_GPR8:
    case ZYDIS_REGCLASS_GPR16:
    case ZYDIS_REGCLASS_GPR32:
    case ZYDIS_REGCLASS_GPR64: return "r";
    case ZYDIS_REGCLASS_X87: return "st";
    case ZYDIS_REGCLASS_MMX: return "mm";
    case ZYDIS_REGCLASS_XMM: return "x";
    case ZYDIS_REGCLASS_YMM: return "y";
    default: return "s";
    }
}

static void write_text(const struct encoding *e, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operand,
                       char *text, size_t size)
{
    static const char *const maps[] = { "", "0F.", "0F38.", "0F3A." };
    int n = snprintf(text, size, "%s%s%s%s%02X", e->is_vex ? "VEX." : "", e->has_66 ? "66." : "",
                     e->repeat == 0xf2   ? "F2."
                     : e->repeat == 0xf3 ? "F3."
                                         : "",
                     maps[e->map], e->opcode);

    if (e->is_vex)
        n += snprintf(text + n, size - (size_t)n, "(pp%d,L%d,W%d)", e->pp, e->length, e->is_wide);
    for (unsigned i = 0; i < z->operand_count_visible; i++)
        n += snprintf(text + n, size - (size_t)n, "%c%s%d", i ? ',' : ' ', kind_of(&operand[i]), operand[i].size);
}

/* FNV-1a, a word at a time. */
static u64 hash_with(u64 h, u64 v)
{
    for (unsigned i = 0; i < 8; i++)
        h = (h ^ (u8)(v >> 8 * i)) * 0x100000001b3;
    return h;
}

/* What makes a form: everything but which registers, addresses and immediates stand in it, and prefixes without effect. */
static u64 hash_of(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operand)
{
    u64 h = 0xcbf29ce484222325, opcode = z->opcode;

    for (unsigned i = 0; i < z->operand_count; i++)
        if (operand[i].encoding == ZYDIS_OPERAND_ENCODING_OPCODE)
            opcode &= ~(u64)7;
    h = hash_with(h, (u64)z->mnemonic << 32 | (u64)z->encoding << 16 | (u64)z->opcode_map << 8 | opcode);
    h = hash_with(h, z->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE));
    h = hash_with(h, z->avx.vector_length);
    for (unsigned i = 0; i < z->operand_count; i++) {
        const ZydisDecodedOperand *o = &operand[i];

        h = hash_with(h, (u64)o->type << 40 | (u64)o->encoding << 32 | (u64)o->visibility << 24 | o->size);
        h = hash_with(h, (u64)o->element_type << 8 | o->actions);
        if (o->type == ZYDIS_OPERAND_TYPE_REGISTER)
            h = hash_with(h, o->encoding == ZYDIS_OPERAND_ENCODING_NONE ? (u64)o->reg.value
                                                                       : (u64)ZydisRegisterGetClass(o->reg.value));
        if (o->type == ZYDIS_OPERAND_TYPE_MEMORY && o->mem.type == ZYDIS_MEMOP_TYPE_VSIB)
            h = hash_with(h, ZydisRegisterGetClass(o->mem.index));
    }
    return h | 1;
}

static bool was_seen(struct listing *l, u64 hash)
{
    u64 i = hash % SEEN;

    while (l->seen[i] && l->seen[i] != hash)
        i = (i + 1) % SEEN;
    if (l->seen[i])
        return true;
    l->seen[i] = hash;
    return false;
}

bool form_is_ours(const struct features *features, u32 mode, const u8 bytes[15])
{
    static const u32 all = MODE_PE | MODE_OSFXSR | MODE_OSXSAVE | MODE_AVX;
    struct insn in;
    struct decoded d;

    mode |= all | mode << MODE_STACK_SHIFT | (mode == MODE_CODE64 ? MODE_LMA : 0);
    return decode(features, mode, bytes, 15, 0, &in, &d) == DECODED && in.run != run_ud && in.run != run_unsupported &&
           ops[in.op].body != ops[ZYDIS_MNEMONIC_UD2].body;
}

static void consider(struct listing *l, const struct encoding *e)
{
    ZydisDecodedInstruction z;
    ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
    u8 bytes[24] = { 0 };
    char text[128];

    (void)write_bytes(e, bytes, true);
    if (ZYAN_FAILED(ZydisDecoderDecodeFull(&l->decoder, bytes, 15, &z, operand))) {
        if (!e->is_vex)
            return;
        (void)write_bytes(e, bytes, false);
        if (ZYAN_FAILED(ZydisDecoderDecodeFull(&l->decoder, bytes, 15, &z, operand)))
            return;
    }
    if (was_seen(l, hash_of(&z, operand)))
        return;
    write_text(e, &z, operand, text, sizeof text);
    l->visit(l->context, &(struct form){ bytes, ZydisMnemonicGetString(z.mnemonic), ZydisISASetGetString(z.meta.isa_set),
                                         text, form_is_ours(l->features, l->mode, bytes) });
}

/* Bytes that are prefixes, or lead to another map. */
static bool is_no_opcode(u32 mode, unsigned map, u8 opcode)
{
    if (map)
        return map == 1 && (opcode == 0x38 || opcode == 0x3a);
    return (opcode & 0xe7) == 0x26 || (opcode & 0xfc) == 0x64 || opcode == 0xf0 || opcode == 0xf2 || opcode == 0xf3 ||
           opcode == 0x0f || (mode == MODE_CODE64 && (opcode & 0xf0) == 0x40);
}

/* Calls consider() for the opcodes and ModRM bytes under the prefixes that e has. */
static void consider_map(struct listing *l, struct encoding e)
{
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        if (!e.is_vex && is_no_opcode(l->mode, e.map, (u8)opcode))
            continue;
        e.opcode = (u8)opcode;
        for (unsigned kind = 0; kind < MODRM_KINDS; kind++) {
            e.modrm = modrm_of(kind, l->mode);
            consider(l, &e);
        }
    }
}

static void list_legacy(struct listing *l)
{
    static const u8 repeats[] = { 0, 0xf3, 0xf2 };

    for (unsigned r = 0; r < 3; r++)
        for (unsigned choice = 0; choice < (l->mode == MODE_CODE64 ? 4 : 2); choice++)
            for (u8 map = 0; map < 4; map++)
                consider_map(l, (struct encoding){ .map = map, .repeat = repeats[r], .has_66 = l->mode == MODE_CODE64 ? choice >> 1 : choice,
                                                   .is_wide = l->mode == MODE_CODE64 && (choice & 1) });
}

static void list_vex(struct listing *l)
{
    for (u8 map = 1; map < 4; map++)
        for (unsigned choice = 0; choice < 16; choice++)
            consider_map(l, (struct encoding){ .is_vex = true, .map = map, .length = (u8)(choice >> 3), .pp = choice >> 1 & 3,
                                               .is_wide = choice & 1 });
}

/* So that a form has its name, whoever has it. */
static const struct features everything = { { ~(u64)0, ~(u64)0 } };

bool forms_list(const struct features *features, u32 mode, form_fn *visit, void *context)
{
    struct listing l = { .features = features, .mode = mode, .visit = visit, .context = context };

    l.seen = host_alloc(SEEN * sizeof *l.seen);
    if (!l.seen)
        return false;
    decoder_init(&l.decoder, &everything, mode | MODE_PE);
    list_legacy(&l);
    list_vex(&l);
    host_free(l.seen, SEEN * sizeof *l.seen);
    return true;
}
