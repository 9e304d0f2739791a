/* SPDX-License-Identifier: MIT */
/* A processor's reset values, its mode key, and the two ways out of an instruction. */
#include "state/vcpu.h"

#include "state/flags.h"
#include "state/host.h"
#include "state/meet.h"
#include "state/partition.h"
#include "state/profile.h"

/* SDM 3A table "IA-32 and Intel 64 processor states", APM 2 table 14-1: what INIT changes. */
void vcpu_init(struct vcpu *cpu)
{
    static const struct segment data = { 0, 0xffff, 0, 0x93 };

    memset(cpu->gpr, 0, sizeof cpu->gpr);
    cpu->gpr[RDX] = cpu->partition->profile->signature;
    cpu->rip = 0xfff0;
    rflags_write(cpu, RFLAGS_FIXED);
    for (unsigned i = ES; i <= GS; i++)
        cpu->seg[i] = data;
    cpu->seg[CS] = (struct segment){ 0xffff0000, 0xffff, 0xf000, 0x9b };
    cpu->seg[LDTR] = (struct segment){ 0, 0xffff, 0, 0x82 };
    cpu->seg[TR] = (struct segment){ 0, 0xffff, 0, 0x8b };
    cpu->gdtr = cpu->idtr = (struct table){ 0, 0xffff };

    cpu->cr0 = CR0_ET | (cpu->cr0 & (CR0_CD | CR0_NW));
    cpu->cr2 = cpu->cr3 = cpu->cr4 = cpu->cr8 = cpu->efer = 0;
    memset(cpu->dr, 0, sizeof cpu->dr);
    cpu->dr[6] = DR6_FIXED;
    cpu->dr[7] = DR7_FIXED;
    cpu->cpl = 0;
    memset(cpu->pdpte, 0, sizeof cpu->pdpte);

    cpu->fault = cpu->interruption = cpu->delivering = cpu->queued = (struct event){ 0 };
    memset(cpu->pending_event, 0, sizeof cpu->pending_event);
    cpu->shadow = cpu->shadow_ss = cpu->nmi_masked = cpu->running_shadow = cpu->in_delivery = false;
    cpu->pending_debug = 0;
    cpu->fault_depth = 0;
    cpu->stray_rip = 0;
    cpu->left_instruction = cpu->trap_due = cpu->running_rf = cpu->between_rounds = false;
    mode_update(cpu);
}

/* Reference 3.3. CS's base is F0000, as the platform has it, not FFFF0000 as a processor's reset. */
void vcpu_reset(struct vcpu *cpu)
{
    cpu->zero = 0;
    vcpu_init(cpu);
    cpu->seg[CS].base = 0xf0000;
    cpu->cr0 = CR0_CD | CR0_NW | CR0_ET;
    cpu->xcr0 = 1;
    cpu->pkru = 0;

    cpu->tsc_aux = cpu->star = cpu->lstar = cpu->cstar = cpu->sfmask = cpu->kernel_gs_base = 0;
    cpu->sysenter_cs = cpu->sysenter_eip = cpu->sysenter_esp = 0;
    cpu->spec_ctrl = cpu->xss = cpu->misc_enable = 0;
    cpu->mperf_offset = cpu->aperf_offset = 0;
    cpu->mtrr_def_type = 0;
    memset(cpu->mtrr_fixed, 0, sizeof cpu->mtrr_fixed);
    memset(cpu->mtrr_base, 0, sizeof cpu->mtrr_base);
    memset(cpu->mtrr_mask, 0, sizeof cpu->mtrr_mask);
    memset(cpu->msr_other, 0, sizeof cpu->msr_other);
    cpu->pat = 0x0007040600070406;
    cpu->apic_base = 0xfee00000 | 1 << 11 | (cpu->index == 0) << 8;
    __atomic_store_n(&cpu->apic_id, cpu->index, __ATOMIC_RELAXED);

    memset(&cpu->x87, 0, sizeof cpu->x87);
    cpu->x87.fcw = 0x37f;
    cpu->ignne = false;
    cpu->mxcsr = 0x1f80;
    memset(cpu->vec, 0, sizeof cpu->vec);
    memset(cpu->opmask, 0, sizeof cpu->opmask);
    cpu->restored.components = 0;

    cpu->deliverability = cpu->activity = 0;
    cpu->stales = 0;
    cpu->until = ~(u64)0;
    __atomic_store_n(&cpu->attention, 0, __ATOMIC_SEQ_CST);
    if (cpu->explain)
        cpu->explain[0] = 0;
    if (cpu->apic) {
        apic_reset(cpu, false);
        cpu->activity = cpu->index ? STARTUP_SUSPEND : 0; /* all but the first wait for INIT and SIPI */
    }
    if (cpu->synic)
        synic_reset(cpu);
    mode_update(cpu);
}

static u32 code_size(const struct vcpu *cpu)
{
    if ((cpu->efer & EFER_LMA) && (cpu->seg[CS].attributes & SEG_L))
        return MODE_CODE64;
    return cpu->seg[CS].attributes & SEG_DB ? MODE_CODE32 : MODE_CODE16;
}

void mode_update(struct vcpu *cpu)
{
    u32 code = code_size(cpu), mode = code;
    bool vm86 = cpu->rflags & VM;

    if (code == MODE_CODE64)
        mode |= MODE_CODE64 << MODE_STACK_SHIFT;
    else if (cpu->seg[SS].attributes & SEG_DB)
        mode |= MODE_CODE32 << MODE_STACK_SHIFT;
    mode |= (u32)cpu->cpl << MODE_CPL_SHIFT;
    mode |= cpu->cr0 & CR0_PE ? MODE_PE : 0;
    mode |= vm86 ? MODE_VM86 : 0;
    mode |= cpu->efer & EFER_LMA ? MODE_LMA : 0;
    mode |= cpu->cr0 & CR0_EM ? MODE_EM : 0;
    mode |= cpu->cr0 & CR0_TS ? MODE_TS : 0;
    mode |= cpu->cr0 & CR0_MP ? MODE_MP : 0;
    mode |= cpu->cr4 & CR4_OSFXSR ? MODE_OSFXSR : 0;
    mode |= cpu->cr4 & CR4_OSXSAVE ? MODE_OSXSAVE : 0;
    mode |= (cpu->cr4 & CR4_OSXSAVE) && (cpu->xcr0 & 6) == 6 ? MODE_AVX : 0;
    mode |= cpu->cr4 & CR4_UMIP ? MODE_UMIP : 0;
    mode |= (cpu->mxcsr & MXCSR_MASKS) != MXCSR_MASKS ? MODE_SSE_SLOW : 0;
    mode |= (cpu->x87.fcw & 0x3f) != 0x3f || (cpu->x87.fsw & 0x80) ? MODE_X87_SLOW : 0;
    if (code == MODE_CODE32 && !vm86) {
        static const u8 flat[] = { CS, DS, ES, SS };
        bool all = true;

        for (unsigned i = 0; i < sizeof flat; i++) {
            const struct segment *s = &cpu->seg[flat[i]];

            all = all && s->base == 0 && s->limit == 0xffffffff && (s->attributes & SEG_P) &&
                  (flat[i] == CS || (s->attributes & (SEG_CODE | SEG_DOWN | SEG_WRITE)) == SEG_WRITE);
        }
        mode |= all ? MODE_FLAT : 0;
    }
    if (!(cpu->x87.fsw & 0x80)) /* whatever clears ES comes here */
        cpu->ignne = false;
    cpu->mode = mode;
    if (code != MODE_CODE64 && (cpu->cs_base != cpu->seg[CS].base || cpu->cs_limit != cpu->seg[CS].limit)) {
        cpu->cs_base = cpu->seg[CS].base; /* links and jumps don't look at CS */
        cpu->cs_limit = cpu->seg[CS].limit;
        cpu->generation++;
    }

    enum tlb_bank bank = BANK_SUPERVISOR;

    if (cpu->cpl == 3)
        bank = (cpu->cr0 & CR0_AM) && (cpu->rflags & AC) ? BANK_NONE : BANK_USER;
    else if (cpu->rflags & AC)
        bank = BANK_SUPERVISOR_AC;
    cpu->tlb = cpu->banks[bank].entry;
}

u64 vcpu_rip(const struct vcpu *cpu)
{
    if (!cpu->at)
        return cpu->rip;
    u64 rip = cpu->code_base + cpu->at->offset;

    return in_code64(cpu) ? rip : (u32)rip;
}

void vcpu_rewind(struct vcpu *cpu)
{
    if (!cpu->at)
        return;
    cpu->rip = vcpu_rip(cpu);
    cpu->count -= cpu->at->left;
    cpu->at = NULL;
    if (cpu->dr[7] & 0xff)
        cpu->pending_debug = cpu->debug_before; /* what it touched before it failed doesn't count */
    if (cpu->running_rf)
        cpu->rflags |= RF;
    if (cpu->running_shadow) { /* the shadow lasts until an instruction retires */
        cpu->shadow = true;
        cpu->shadow_ss = cpu->running_shadow_ss;
        __atomic_fetch_or(&cpu->attention, ATTENTION_EVENT, __ATOMIC_SEQ_CST);
    }
}

bool vector_has_error(u8 vector)
{
    return vector == VECTOR_DF || (vector >= VECTOR_TS && vector <= VECTOR_PF) || vector == VECTOR_AC || vector == 21;
}

void vcpu_land(struct vcpu *cpu)
{
    cpu->has_gathered = false;
    LAND_AT(cpu->landing);
}

/*
 * A debug trap that is due after the elements which a gather has comes in lieu of the fault of a later one. SDM 2,
 * VPGATHERDD; seen on a Zen 3 with TF. False: there is none.
 */
static COLD bool trap_instead(struct vcpu *cpu)
{
    u64 met = cpu->dr[7] & 0xff ? cpu->pending_debug & ~cpu->debug_before : 0;

    if (!cpu->trap_due && !met)
        return false;
    vcpu_rewind(cpu);
    cpu->pending_debug |= met | (cpu->trap_due ? DR6_BS : 0);
    cpu->trap_due = false;
    cpu->between_rounds = true;
    __atomic_fetch_or(&cpu->attention, (u32)ATTENTION_DEBUG, __ATOMIC_SEQ_CST);
    return true;
}

static NORETURN void raise_event(struct vcpu *cpu, u8 vector, u32 error, u64 parameter)
{
    bool has_error = vector_has_error(vector) && !in_real_mode(cpu);

    if (unlikely(cpu->has_gathered) && trap_instead(cpu))
        vcpu_land(cpu);
    vcpu_rewind(cpu);
    cpu->fault = (struct event){ .pending = true,
                                 .type = EVENT_EXCEPTION,
                                 .vector = vector,
                                 .has_error = has_error,
                                 .error = has_error ? error : 0,
                                 .parameter = parameter };
    vcpu_land(cpu);
}

void vcpu_raise(struct vcpu *cpu, u8 vector, u32 error)
{
    raise_event(cpu, vector, error, 0);
}

void vcpu_raise_page_fault(struct vcpu *cpu, u64 linear, u32 error)
{
    raise_event(cpu, VECTOR_PF, error, linear);
}

void vcpu_raise_debug(struct vcpu *cpu, u64 dr6_bits)
{
    raise_event(cpu, VECTOR_DB, 0, dr6_bits);
}

void vcpu_leave(struct vcpu *cpu, u32 reason)
{
    cpu->exit_reason = reason;
    vcpu_land(cpu);
}

void vcpu_call(struct vcpu *cpu, u32 bits)
{
    __atomic_fetch_or(&cpu->attention, bits, __ATOMIC_SEQ_CST);
    __atomic_store_n(&cpu->limit, 0, __ATOMIC_SEQ_CST);
    if (bits & ATTENTION_WAKES) {
        vcpu_wake(&cpu->is_asleep);
        if (__atomic_load_n(&cpu->partition->turns.now, __ATOMIC_SEQ_CST))
            meet_call_turns(cpu);
    }
}

void vcpu_wake(u32 *is_asleep)
{
    if (!__atomic_load_n(is_asleep, __ATOMIC_SEQ_CST))
        return;
    __atomic_store_n(is_asleep, 0, __ATOMIC_SEQ_CST);
    host_wake(is_asleep);
}

/* Who sleeps says so, then looks whether he was called; who calls does it the other way round: one sees the other. */
void vcpu_sleep(struct vcpu *cpu, u64 nanoseconds)
{
    __atomic_store_n(&cpu->is_asleep, 1, __ATOMIC_SEQ_CST);
    if (!(__atomic_load_n(&cpu->attention, __ATOMIC_SEQ_CST) & ATTENTION_WAKES))
        host_wait(&cpu->is_asleep, 1, nanoseconds);
    __atomic_store_n(&cpu->is_asleep, 0, __ATOMIC_SEQ_CST);
}
