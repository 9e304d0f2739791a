/* SPDX-License-Identifier: MIT */
/*
 * Control, debug and extended control registers, and what goes with them: translations forgotten, modes
 * changed.
 */
#include "cpu/handler.h"
#include "cpu/vector.h"
#include "mem/tlb.h"
#include "mem/walk.h"
#include "state/partition.h"
#include "state/profile.h"

body_fn op_mov_control, op_mov_debug, op_lmsw, op_smsw, op_clts, op_xgetbv, op_xsetbv, op_invlpg, op_invpcid,
    op_invd, op_rdpmc;

static bool uses_pdptes(u64 cr0, u64 cr4, u64 efer)
{
    return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LMA);
}

/* APM 2 3.1.1, 14.6; SDM 2A MOV to control registers. */
static void write_cr0(CPU, u64 v)
{
    u64 efer = cpu->efer, change;

    if (v >> 32)
        vcpu_raise(cpu, VECTOR_GP, 0);
    v &= CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG;
    v |= CR0_ET;
    change = v ^ cpu->cr0;
    if (((v & CR0_PG) && !(v & CR0_PE)) || ((v & CR0_NW) && !(v & CR0_CD)))
        vcpu_raise(cpu, VECTOR_GP, 0);
    if (change & v & CR0_PG && (efer & EFER_LME)) {
        if (!(cpu->cr4 & CR4_PAE) || (cpu->seg[CS].attributes & SEG_L))
            vcpu_raise(cpu, VECTOR_GP, 0);
        efer |= EFER_LMA;
    } else if (change & ~v & CR0_PG) {
        if (in_code64(cpu) || (cpu->cr4 & CR4_PCIDE))
            vcpu_raise(cpu, VECTOR_GP, 0);
        efer &= ~(u64)EFER_LMA;
    }
    if (uses_pdptes(v, cpu->cr4, efer) && (change & (CR0_PG | CR0_CD | CR0_NW)) &&
        !walk_load_pdptes(cpu, cpu->cr3))
        vcpu_raise(cpu, VECTOR_GP, 0);
    cpu->cr0 = v;
    cpu->efer = efer;
    if (change & (CR0_PG | CR0_PE | CR0_WP))
        tlb_flush(cpu, false);
    mode_update(cpu);
}

static void write_cr3(CPU, u64 v)
{
    if ((cpu->cr4 & CR4_PCIDE) && in_long_mode(cpu))
        v &= ~((u64)1 << 63); /* "keep this PCID's entries": a hint */
    if (in_long_mode(cpu) && v >> cpu->partition->physical_width)
        vcpu_raise(cpu, VECTOR_GP, 0);
    if (uses_pdptes(cpu->cr0, cpu->cr4, cpu->efer) && !walk_load_pdptes(cpu, v))
        vcpu_raise(cpu, VECTOR_GP, 0);
    cpu->cr3 = v;
    tlb_flush(cpu, true);
}

static void write_cr4(CPU, u64 v)
{
    u64 change = v ^ cpu->cr4;
    bool lma = in_long_mode(cpu);

    if (v & ~cpu->partition->cr4_valid)
        vcpu_raise(cpu, VECTOR_GP, 0);
    if (lma && ((change & CR4_LA57) || !(v & CR4_PAE)))
        vcpu_raise(cpu, VECTOR_GP, 0);
    if ((change & v & CR4_PCIDE) && (!lma || (cpu->cr3 & 0xfff)))
        vcpu_raise(cpu, VECTOR_GP, 0);
    if (uses_pdptes(cpu->cr0, v, cpu->efer) && (change & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)) &&
        !walk_load_pdptes(cpu, cpu->cr3))
        vcpu_raise(cpu, VECTOR_GP, 0);
    cpu->cr4 = v;
    if (change & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_PKE | CR4_LA57))
        tlb_flush(cpu, false);
    mode_update(cpu);
}

/* MOV to and from CRn; in->imm tells the direction. */
void op_mov_control(CPU, IN)
{
    unsigned width = in_code64(cpu) ? 64 : 32;
    unsigned number = in->imm ? in->dst : in->src;
    u64 v;

    if (!in->imm) {
        switch (number) {
        case 0: v = cpu->cr0; break;
        case 2: v = cpu->cr2; break;
        case 3: v = cpu->cr3; break;
        case 4: v = cpu->cr4; break;
        case 8: v = cpu->cr8; break;
        default: vcpu_raise(cpu, VECTOR_UD, 0);
        }
        reg_write(cpu, in->dst, width, v);
        return;
    }
    v = reg_read(cpu, in->src, width);
    switch (number) {
    case 0: write_cr0(cpu, v); break;
    case 2: cpu->cr2 = v; break;
    case 3: write_cr3(cpu, v); break;
    case 4: write_cr4(cpu, v); break;
    case 8:
        if (v > 15)
            vcpu_raise(cpu, VECTOR_GP, 0);
        cpu->cr8 = v;
        if (cpu->apic) {
            apic_put(cpu, APIC_TPR, v << 4);
            __atomic_fetch_or(&cpu->attention, (u32)ATTENTION_APIC, __ATOMIC_SEQ_CST);
        }
        break;
    default: vcpu_raise(cpu, VECTOR_UD, 0);
    }
}

/* PE can be set, not cleared. */
void op_lmsw(CPU, IN)
{
    u64 v = operand_read(cpu, in, 0, 16) & (CR0_PE | CR0_MP | CR0_EM | CR0_TS);

    write_cr0(cpu, (cpu->cr0 & ~(u64)(CR0_MP | CR0_EM | CR0_TS)) | v);
}

void op_smsw(CPU, IN)
{
    unsigned width = shape_operand(in, 0) == 'M' ? 16 : width_bits(in->width);
    struct operand o;

    operand_open(cpu, in, 0, width, ACCESS_WRITE | ACCESS_RINGS, &o);
    operand_close(cpu, &o, cpu->cr0);
}

void op_clts(CPU, IN)
{
    (void)in;
    cpu->cr0 &= ~(u64)CR0_TS;
    mode_update(cpu);
}

/* SDM 3B 17.2, APM 2 13.1.1. */
void op_mov_debug(CPU, IN)
{
    unsigned width = in_code64(cpu) ? 64 : 32;
    unsigned number = in->imm ? in->dst : in->src;
    u64 v;

    if (number > 7)
        vcpu_raise(cpu, VECTOR_UD, 0);
    if (number == 4 || number == 5) {
        if (cpu->cr4 & CR4_DE)
            vcpu_raise(cpu, VECTOR_UD, 0);
        number += 2;
    }
    if (cpu->dr[7] & DR7_GD)
        vcpu_raise_debug(cpu, DR6_BD);
    if (!in->imm) {
        reg_write(cpu, in->dst, width, cpu->dr[number]);
        return;
    }
    v = reg_read(cpu, in->src, width);
    if (number >= 6 && v >> 32)
        vcpu_raise(cpu, VECTOR_GP, 0);
    if (number == 6)
        v = (v & (15 | DR6_BD | DR6_BS | DR6_BT)) | DR6_FIXED;
    else if (number == 7)
        v = (v & 0xffff23ff) | DR7_FIXED;
    cpu->dr[number] = v;
    if (number != 6 && (number == 7 || (cpu->dr[7] & 0xff)))
        tlb_flush(cpu, false); /* pages with data breakpoints aren't kept */
}

void op_xgetbv(CPU, IN)
{
    (void)in;
    if (!(cpu->cr4 & CR4_OSXSAVE))
        vcpu_raise(cpu, VECTOR_UD, 0);
    if ((u32)cpu->gpr[RCX] > has(&cpu->partition->has, HAS_XGETBV1))
        vcpu_raise(cpu, VECTOR_GP, 0);

    u64 v = (u32)cpu->gpr[RCX] ? cpu->xcr0 & xstate_in_use(cpu) : cpu->xcr0;

    cpu->gpr[RAX] = (u32)v;
    cpu->gpr[RDX] = v >> 32;
}

void op_xsetbv(CPU, IN)
{
    u64 v = (cpu->gpr[RDX] << 32) | (u32)cpu->gpr[RAX];

    (void)in;
    if (!(cpu->cr4 & CR4_OSXSAVE))
        vcpu_raise(cpu, VECTOR_UD, 0);
    if (cpu->cpl != 0 || (u32)cpu->gpr[RCX] != 0 || !(v & 1) || (v & ~cpu->partition->xcr0_valid) ||
        ((v & 4) && !(v & 2)))
        vcpu_raise(cpu, VECTOR_GP, 0);
    cpu->xcr0 = v;
    mode_update(cpu);
}

/* The address isn't accessed, so that no segment check applies; one that isn't canonical names no page. */
void op_invlpg(CPU, IN)
{
    u64 linear = operand_offset(cpu, in);

    if (!in_code64(cpu))
        linear = (u32)(linear + cpu->seg[in->segment].base);
    else if (in->segment == FS || in->segment == GS)
        linear += cpu->seg[in->segment].base;
    tlb_flush_page(cpu, linear);
}

void op_invpcid(CPU, IN)
{
    u64 type = reg_read(cpu, in->dst, in_code64(cpu) ? 64 : 32), pcid, linear;
    struct place p;

    place_operand(cpu, in, &p, 16, ACCESS_READ | ACCESS_PLAIN);
    pcid = load_bytes(p.bytes, 8);
    linear = load_bytes(p.bytes + 8, 8);
    if (type > 3 || pcid >> 12 || (type < 2 && pcid && !(cpu->cr4 & CR4_PCIDE)) ||
        (type == 0 && !is_canonical(cpu, linear)))
        vcpu_raise(cpu, VECTOR_GP, 0);
    if (type == 0)
        tlb_flush_page(cpu, linear);
    else
        tlb_flush(cpu, type != 2);
}

/* INVD, WBINVD, WBNOINVD: our caches are the host's, which are coherent. */
void op_invd(CPU, IN)
{
    (void)cpu;
    (void)in;
}

/* The four counters of the base architecture, which count nothing here. */
void op_rdpmc(CPU, IN)
{
    (void)in;
    if ((cpu->cpl != 0 && !(cpu->cr4 & CR4_PCE) && !in_real_mode(cpu)) || (u32)cpu->gpr[RCX] > 3)
        vcpu_raise(cpu, VECTOR_GP, 0);
    cpu->gpr[RAX] = cpu->gpr[RDX] = 0;
}
