/* SPDX-License-Identifier: MIT */
/* What an instruction needs of its processor's state, and which ones callbacks can't carry out. */
#include <Zydis/Mnemonic.h>

#include "state/xstate.h"
#include "whp/emulator.h"

static bool is_xsave(u16 op)
{
    return op >= ZYDIS_MNEMONIC_XRSTOR && op <= ZYDIS_MNEMONIC_XSAVES64;
}

/* The x87's last selectors go to memory, or come from there. All others of the x87's leave some behind. */
static bool moves_selectors(u16 op)
{
    switch (op) {
    case ZYDIS_MNEMONIC_FNSTENV:
    case ZYDIS_MNEMONIC_FLDENV:
    case ZYDIS_MNEMONIC_FNSAVE:
    case ZYDIS_MNEMONIC_FRSTOR:
    case ZYDIS_MNEMONIC_FXSAVE:
    case ZYDIS_MNEMONIC_FXRSTOR:
    case ZYDIS_MNEMONIC_XSAVE:
    case ZYDIS_MNEMONIC_XSAVEC:
    case ZYDIS_MNEMONIC_XSAVEOPT:
    case ZYDIS_MNEMONIC_XSAVES:
    case ZYDIS_MNEMONIC_XRSTOR:
    case ZYDIS_MNEMONIC_XRSTORS: return true;
    default: return false;
    }
}

static unsigned float_needs(u16 op, u32 a)
{
    unsigned needs = a & (FPU | MMX | WAITS) || op == ZYDIS_MNEMONIC_FWAIT ? NEEDS_X87 : 0;

    if (a & (SSE | AVX))
        needs |= NEEDS_XMM;
    if (a & AVX)
        needs |= NEEDS_YMM | NEEDS_XCR0;
    if (is_xsave(op))
        needs |= NEEDS_XMM | NEEDS_X87 | NEEDS_XCR0 | NEEDS_SELECTORS | NEEDS_FEATURES | NEEDS_COMPONENTS;
    if (a & FPU)
        needs |= NEEDS_SELECTORS;
    switch (op) {
    case ZYDIS_MNEMONIC_FXSAVE:
    case ZYDIS_MNEMONIC_FXSAVE64:
    case ZYDIS_MNEMONIC_FXRSTOR:
    case ZYDIS_MNEMONIC_FXRSTOR64: needs |= NEEDS_XMM | NEEDS_FEATURES; break;
    default: break;
    }
    return needs | (needs & NEEDS_X87 ? NEEDS_IGNNE : 0) | (moves_selectors(op) ? NEEDS_MOVED : 0);
}

static bool is_port(u16 op)
{
    switch (op) {
    case ZYDIS_MNEMONIC_IN:
    case ZYDIS_MNEMONIC_OUT:
    case ZYDIS_MNEMONIC_INSB:
    case ZYDIS_MNEMONIC_INSW:
    case ZYDIS_MNEMONIC_INSD:
    case ZYDIS_MNEMONIC_OUTSB:
    case ZYDIS_MNEMONIC_OUTSW:
    case ZYDIS_MNEMONIC_OUTSD: return true;
    default: return false;
    }
}

/* What isn't like most. */
static unsigned own_needs(const struct insn *in)
{
    switch (in->op) {
    case ZYDIS_MNEMONIC_IRET: /* lets NMIs in again */
    case ZYDIS_MNEMONIC_IRETD:
    case ZYDIS_MNEMONIC_IRETQ:
    case ZYDIS_MNEMONIC_STI: return NEEDS_INTERRUPT_STATE;
    case PSEUDO_MOV_SEGMENT: return in->imm && in->dst == SS ? NEEDS_INTERRUPT_STATE | NEEDS_SHADOW_SS : 0;
    case PSEUDO_POP_SEGMENT: return in->dst == SS ? NEEDS_INTERRUPT_STATE | NEEDS_SHADOW_SS : 0;
    case ZYDIS_MNEMONIC_TZCNT: /* BSF, or BSR, without the feature */
    case ZYDIS_MNEMONIC_LZCNT: return NEEDS_FEATURES;
    case ZYDIS_MNEMONIC_RDFSBASE: /* in 64-bit code, which has no others */
    case ZYDIS_MNEMONIC_RDGSBASE:
    case ZYDIS_MNEMONIC_WRFSBASE:
    case ZYDIS_MNEMONIC_WRGSBASE: return NEEDS_SEGMENTS;
    case ZYDIS_MNEMONIC_INVLPG:
    case ZYDIS_MNEMONIC_INVPCID: return NEEDS_FLUSH | NEEDS_PDPTES;
    case ZYDIS_MNEMONIC_CLTS: /* setting CR0 would have them loaded */
    case ZYDIS_MNEMONIC_LMSW: return NEEDS_PDPTES;
    default: return 0;
    }
}

/*
 * Time, randomness, MSRs, debug registers and hypercalls are the processor's own; events go through more of it than
 * callbacks know.
 * None of these touches data, so none is behind an exit of a partition's, but where the code itself isn't memory.
 */
static bool is_beyond_callbacks(u16 op)
{
    switch (op) {
    case ZYDIS_MNEMONIC_CPUID:
    case ZYDIS_MNEMONIC_INT:
    case ZYDIS_MNEMONIC_INT1:
    case ZYDIS_MNEMONIC_INT3:
    case ZYDIS_MNEMONIC_INTO:
    case ZYDIS_MNEMONIC_INVD:
    case ZYDIS_MNEMONIC_RDMSR:
    case ZYDIS_MNEMONIC_RDPID:
    case ZYDIS_MNEMONIC_RDPKRU:
    case ZYDIS_MNEMONIC_RDPMC:
    case ZYDIS_MNEMONIC_RDPRU:
    case ZYDIS_MNEMONIC_RDRAND:
    case ZYDIS_MNEMONIC_RDSEED:
    case ZYDIS_MNEMONIC_RDTSC:
    case ZYDIS_MNEMONIC_RDTSCP:
    case ZYDIS_MNEMONIC_SWAPGS:
    case ZYDIS_MNEMONIC_SYSCALL:
    case ZYDIS_MNEMONIC_SYSENTER:
    case ZYDIS_MNEMONIC_SYSEXIT:
    case ZYDIS_MNEMONIC_SYSRET:
    case ZYDIS_MNEMONIC_VMMCALL:
    case ZYDIS_MNEMONIC_WBINVD:
    case ZYDIS_MNEMONIC_WRMSR:
    case ZYDIS_MNEMONIC_WRPKRU:
    case ZYDIS_MNEMONIC_XGETBV:
    case ZYDIS_MNEMONIC_XSETBV:
    case PSEUDO_MOV_CONTROL:
    case PSEUDO_MOV_DEBUG: return true;
    default: return false;
    }
}

unsigned needs_of(const struct insn *in, u32 a)
{
    bool is_float = a & (FPU | MMX | SSE | AVX) || is_xsave(in->op);
    bool is_system = (a & (CPL0 | PROTECTED | UMIP)) ||
                     ((a & ENDS) && !(a & BRANCH) && !is_float && !is_port(in->op));
    unsigned needs = float_needs(in->op, a) | own_needs(in);

    if (is_system)
        needs |= NEEDS_SYSTEM;
    if (is_system || in->segment >= FS || in->op == PSEUDO_PUSH_SEGMENT)
        needs |= NEEDS_SEGMENTS;
    if (needs || in->run || is_port(in->op) ||
        a & (STRING | OPSIZE)) /* these may have a second memory operand */
        needs |= NEEDS_CONTROL;
    return needs | (is_beyond_callbacks(in->op) ? NEEDS_MORE : 0);
}

/* The control registers are known: does it raise or leave before it uses anything? XSAVE's kin: the body finds out. */
static bool goes_no_further(const struct vcpu *cpu, const struct insn *in)
{
    return is_forbidden(in) || (is_xsave(in->op) && (!(cpu->cr4 & CR4_OSXSAVE) || cpu->cr0 & CR0_TS));
}

bool meets_exception(const struct emulator *e, const struct known *k)
{
    const u32 held = CR0_TS | CR0_MP; /* FWAIT then is #NM, which comes first; others are forbidden */
    bool waits = k->decoded.attributes & (MMX | WAITS) ||
                 (k->in.op == ZYDIS_MNEMONIC_FWAIT && (e->cpu->cr0 & held) != held);

    return waits && e->needs & NEEDS_X87 && e->cpu->x87.fsw & 0x80; /* ES */
}

/* A private name isn't asked for before it's known that the instruction comes to use it. */
static COLD unsigned private_needs(const struct emulator *e, const struct known *k)
{
    const struct vcpu *cpu = e->cpu;
    bool has_pdptes = cpu->cr0 & CR0_PG && cpu->cr4 & CR4_PAE && !(cpu->efer & EFER_LMA);
    unsigned needs = k->needs & NEEDS_PRIVATE;

    if (goes_no_further(cpu, &k->in))
        return 0;
    if (!meets_exception(e, k))
        needs &= ~(unsigned)NEEDS_IGNNE;
    else if (cpu->cr0 & CR0_NE) /* #MF */
        return 0;
    else if (!cpu->ignne)
        return NEEDS_IGNNE;
    if (!e->vp->ExecutionState.EferLma) /* FpControlStatus and XmmControlStatus bring them */
        needs &= ~(unsigned)NEEDS_SELECTORS;
    if (!has_pdptes)
        needs &= ~(unsigned)NEEDS_PDPTES;
    if (k->needs & NEEDS_COMPONENTS) {
        u64 moved = cpu->xcr0 & ((u32)cpu->gpr[RAX] | cpu->gpr[RDX] << 32);

        needs |= (moved & STATE_AVX ? NEEDS_YMM : 0) | (moved & STATE_PKRU ? NEEDS_PKRU : 0);
    }
    return needs;
}

unsigned needs_now(const struct emulator *e, const struct known *k)
{
    unsigned needs = k->needs & NEEDS_ASKED & ~(unsigned)NEEDS_PRIVATE;

    if (likely(!(k->needs & (NEEDS_PRIVATE | NEEDS_COMPONENTS))) || needs & ~e->needs)
        return needs;
    return needs | private_needs(e, k);
}
