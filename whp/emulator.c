/* SPDX-License-Identifier: MIT */
/*
 * WinHvEmulation: completes one instruction with the registers, memory and ports that a caller's callbacks
 * give. The processor's own decoder and bodies do it, on a private struct vcpu whose memory is a seam;
 * nothing here knows what any instruction means.
 */
#include "whp/emulator.h"

#include "cpu/fp.h"
#include "cpu/handler.h"
#include "include/softwhp.h"
#include "whp/error.h"

/* ---- one instruction ---- */

enum { FETCH = 8, LONGEST = 15 };

/* Bytes that the exit didn't bring: up to the page's end, eight at a time. Lands when they can't be had. */
static unsigned fetch(struct emulator *e, u64 linear, u8 *bytes, unsigned had)
{
    struct vcpu *cpu = e->cpu;
    u64 at = is_flat(e->vp) ? linear + had : (u32)(linear + had), gpa;
    unsigned room = PAGE_SIZE - (unsigned)(at & ~PAGE_MASK), n = room < FETCH ? room : FETCH;

    if (!e->seam.translate(e, cpu, at, ACCESS_EXECUTE, &gpa) || !e->seam.read(e, gpa, bytes + had, n))
        vcpu_land(cpu);
    e->touched = false; /* that was code */
    return had + n;
}

static struct known *known_at(struct emulator *e, u64 linear)
{
    return &e->known[(linear ^ linear >> 4) % KNOWN];
}

/* The instruction at RIP, decoded; from memory where the same bytes came before. May land. */
static struct known *instruction(struct emulator *e, u64 linear)
{
    struct vcpu *cpu = e->cpu;
    unsigned offset = (unsigned)(linear & ~PAGE_MASK), n = e->given_size < LONGEST ? e->given_size : LONGEST;
    struct known *k = known_at(e, linear);
    enum decode_result result = DECODE_MORE;
    bool was_fetched = false;

    if (likely(k->size && k->mode == cpu->mode && k->offset == offset && n >= k->size &&
               memcmp(k->bytes, e->given, k->size) == 0 && !e->has_less))
        return k;

    u8 bytes[LONGEST + FETCH] = { 0 };

    memcpy(bytes, e->given, n);
    k->size = 0;
    while (result == DECODE_MORE) {
        if (n)
            result = decode(&cpu->partition->has, cpu->mode, bytes, n < LONGEST ? n : LONGEST, offset, &k->in,
                            &k->decoded);
        if (result == DECODE_MORE) {
            n = fetch(e, linear, bytes, n);
            was_fetched = true;
        }
    }
    if (was_fetched) { /* once: it may be decoded again */
        memcpy(e->fetched, bytes, n);
        e->given = e->fetched;
        e->given_size = n;
    }
    if (result == DECODE_TOO_LONG)
        vcpu_raise(cpu, VECTOR_GP, 0);
    k->in.left = 1;
    k->mode = cpu->mode;
    k->offset = (u16)offset;
    k->needs = needs_of(&k->in, k->decoded.attributes);
    if (unlikely(e->has_less)) /* that's what the bytes mean in this partition: nothing to remember */
        return k;
    k->size = k->in.length;
    memcpy(k->bytes, bytes, k->size);
    return k;
}

/* Where a relative branch leads, as decoder/block.c has it. */
static u64 branch_target(const struct vcpu *cpu, const struct decoded *d)
{
    u64 target = cpu->rip + (u64)d->branch;

    return d->branch_width == W16 ? (u16)target : d->branch_width == W32 ? (u32)target : target;
}

/* Where the instruction is: RIP behind CS. */
static u64 code_linear(const struct emulator *e)
{
    return is_flat(e->vp) ? e->vp->Rip : (u32)(e->vp->Cs.Base + e->vp->Rip);
}

/* Was something refused that it can't do without? */
static bool is_short(const struct emulator *e, const struct known *k)
{
    return e->refused & (NEEDS_YMM | NEEDS_PKRU | (k->needs & NEEDS_MOVED ? NEEDS_SELECTORS : 0));
}

/* The instruction, and all the registers that it needs. May land. */
static struct known *prepare(struct emulator *e)
{
    /* Nobody has decoded it in this partition, where it may be undefined. */
    if (unlikely(e->is_fetch) && !(e->needs & NEEDS_FEATURES) && !state_load_more(e, NEEDS_FEATURES))
        vcpu_land(e->cpu);
    for (;;) {
        struct known *k = instruction(e, code_linear(e));
        unsigned more = needs_now(e, k) & ~e->needs;

        if (likely(!more)) {
            e->is_short = unlikely(e->refused) && is_short(e, k);
            return k;
        }
        if (!state_load_more(e, more)) /* which may show another mode, where the bytes mean something else */
            vcpu_land(e->cpu);
    }
}

/* Would the shadow of a load of SS hold a trap back, and the caller's processor can't be told that it is one? */
static bool is_held_untold(const struct emulator *e)
{
    return e->cpu->shadow_ss && e->refused & NEEDS_SHADOW_SS;
}

/* May land, with a status, a fault, a reason to leave, or (a long REP) nothing of these. */
static void carry_out(struct emulator *e)
{
    struct vcpu *cpu = e->cpu;
    struct known *k = prepare(e);
    struct insn *in = &k->in;
    u32 a = k->decoded.attributes;

    e->touched = false;
    cpu->code_base = cpu->rip - k->offset;
    cpu->at = in;
    if (is_forbidden(in)) {
        in->run(cpu, in);
        vcpu_land(cpu);
    }
    if (unlikely(k->needs & NEEDS_MORE)) {
        e->status.InternalEmulationFailure = 1;
        vcpu_land(cpu);
    }
    if (unlikely(e->needs & NEEDS_FP)) {
        if (meets_exception(e, k))
            x87_pending(cpu);
        e->in_fp = true;
        fp_enter(cpu);
    }
    if (k->decoded.is_relative)
        in->imm = branch_target(cpu, &k->decoded);

    u64 past = next_rip(cpu, in);

    cpu->running_rf = cpu->rflags & RF; /* for this one, and back if it doesn't come to its end; IRET may set it anew */
    cpu->rflags &= ~(u64)RF;
    if (a & (ENDS | BRANCH)) {
        cpu->rip = past;
        ops[in->op].body(cpu, in);
    } else {
        ops[in->op].body(cpu, in);
        cpu->rip = past;
    }
    cpu->at = NULL;
    e->flushes = k->needs & NEEDS_FLUSH;
    if (unlikely(cpu->trap_due) && !is_held_untold(e)) /* the next instruction has its own */
        cpu->pending_debug |= DR6_BS;
}

/* False: it landed. No local lives across. */
static NOINLINE bool attempt(struct emulator *e)
{
    if (LAND_HERE(e->cpu->landing))
        return false;
    carry_out(e);
    return true;
}

/* How it ended, once it isn't to be tried again. */
static void conclude(struct emulator *e)
{
    struct vcpu *cpu = e->cpu;
    bool came_first = cpu->fault.pending && cpu->fault.vector != VECTOR_XM; /* before anything was looked at */

    if (unlikely(e->is_short) && !e->status.AsUINT32 && !came_first)
        e->status.GetVirtualProcessorRegistersCallbackFailed = 1;
    if (unlikely(cpu->fault.pending) && !e->status.AsUINT32)
        keys_explain(e);
    /* CR0.NE is clear, and nothing has happened: the caller's processor, once it runs on, finds the exception. */
    if (cpu->exit_reason == (u32)SwhpRunVpExitReasonFerrFreeze && !e->is_fetch)
        cpu->exit_reason = 0;
    if (!e->status.AsUINT32) {
        if (cpu->exit_reason)
            e->status.InternalEmulationFailure = 1;
        else
            state_store(e);
    }
    if (unlikely(e->needs & NEEDS_FP)) { /* decoding knows nothing of unmasked exceptions */
        cpu->mxcsr = MXCSR_MASKS;
        cpu->x87.fcw = 0x37f;
        cpu->x87.fsw = 0;
    }
}

static void emulate(struct emulator *e)
{
    struct vcpu *cpu = e->cpu;
    struct known *k = known_at(e, code_linear(e));
    unsigned needs = k->size ? k->needs : 0;

    do {
        e->touched = false;
        if (!state_load(e, needs))
            return;
        attempt(e);
        if (unlikely(e->in_fp)) {
            e->in_fp = false;
            fp_leave(cpu);
        }
        needs |= NEEDS_CONTROL;
        /* A fault under assumed control registers, before anything happened: once more under the real. */
    } while (unlikely(cpu->fault.pending) && !(e->needs & NEEDS_CONTROL) && !e->touched &&
             !e->status.AsUINT32);
    conclude(e);
}

/* ---- the calls ---- */

/* What no exit of a processor looks like; NULL: one may. */
static const char *malformed(const WHV_VP_EXIT_CONTEXT *vp)
{
    const WHV_X64_VP_EXECUTION_STATE s = vp->ExecutionState;

    if (likely(s.Cr0Pe && !s.Reserved0 && !s.Reserved1))
        return NULL;
    if (s.Reserved0 || s.Reserved1)
        return "reserved bits of ExecutionState are set";
    if (s.EferLma || s.Cpl)
        return "ExecutionState has Cpl or EferLma without Cr0Pe";
    return NULL;
}

/* The arguments that both calls have. */
static HRESULT begin(WHV_EMULATOR_HANDLE handle, VOID *context, const WHV_VP_EXIT_CONTEXT *vp,
                     const void *access, const char *access_name, const UINT8 *bytes, unsigned size,
                     WHV_EMULATOR_STATUS *status, struct emulator **e)
{
    if (!vp || !access || !status)
        return fail(E_INVALIDARG, "%s is NULL", !vp ? "VpContext" : !access ? access_name : "EmulatorReturnStatus");
    if (size > 16)
        return fail(E_INVALIDARG, "InstructionByteCount: %u, at most 16", size);

    const char *why = malformed(vp);

    if (why)
        return fail(E_INVALIDARG, "VpContext: %s", why);

    HRESULT hr = emulator_enter(handle, e);

    if (FAILED(hr))
        return hr;
    (*e)->context = context;
    (*e)->vp = vp;
    (*e)->given = bytes;
    (*e)->given_size = size;
    (*e)->status.AsUINT32 = 0;
    (*e)->ports = 0;
    (*e)->is_fetch = false;
    (*e)->status.InterruptCausedIntercept = vp->ExecutionState.InterruptionPending;
    return S_OK;
}

static HRESULT end(WHV_EMULATOR_HANDLE handle, struct emulator *e, WHV_EMULATOR_STATUS *status)
{
    *status = e->status;
    emulator_leave(handle);
    return S_OK;
}

HRESULT WINAPI WHvEmulatorTryMmioEmulation(WHV_EMULATOR_HANDLE Emulator, VOID *Context,
                                           const WHV_VP_EXIT_CONTEXT *VpContext,
                                           const WHV_MEMORY_ACCESS_CONTEXT *MmioInstructionContext,
                                           WHV_EMULATOR_STATUS *EmulatorReturnStatus)
{
    const WHV_MEMORY_ACCESS_CONTEXT *m = MmioInstructionContext;
    struct emulator *e;

    if (m && (m->AccessInfo.Reserved || m->AccessInfo.AccessType > WHvMemoryAccessExecute))
        return fail(E_INVALIDARG, "MmioInstructionContext: AccessInfo is %#x", m->AccessInfo.AsUINT32);

    HRESULT hr = begin(Emulator, Context, VpContext, m, "MmioInstructionContext", m ? m->InstructionBytes : NULL,
                       m ? m->InstructionByteCount : 0, EmulatorReturnStatus, &e);

    if (FAILED(hr))
        return hr;
    e->is_fetch = m->AccessInfo.AccessType == WHvMemoryAccessExecute;
    if (!e->status.AsUINT32)
        emulate(e);
    return end(Emulator, e, EmulatorReturnStatus);
}

/* IN and OUT need no more than the exit brought. */
static void plain_port(struct emulator *e, const WHV_X64_IO_PORT_ACCESS_CONTEXT *io)
{
    const WHV_VP_EXIT_CONTEXT *vp = e->vp;
    unsigned size = io->AccessInfo.AccessSize;
    u64 rip = vp->Rip + vp->InstructionLength;
    u32 data = (u32)io->Rax;
    WHV_REGISTER_NAME names[3] = { WHvX64RegisterRip };
    WHV_REGISTER_VALUE values[3];
    unsigned n = 1;

    if (io->AccessInfo.IsWrite ? !e->seam.port_out(e, io->PortNumber, size, data)
                               : !e->seam.port_in(e, io->PortNumber, size, &data))
        return;
    memset(values, 0, sizeof values);
    values[0].Reg64 = is_flat(vp) ? rip : (u32)rip;
    if (!io->AccessInfo.IsWrite) {
        names[n] = WHvX64RegisterRax;
        values[n++].Reg64 = size == 4 ? data : (io->Rax & ~ones(8 * size)) | data;
    }
    if (vp->Rflags & RF) {
        names[n] = WHvX64RegisterRflags;
        values[n++].Reg64 = vp->Rflags & ~(u64)RF;
    }
    if (SUCCEEDED(e->callbacks.WHvEmulatorSetVirtualProcessorRegisters(e->context, names, n, values)))
        e->status.EmulationSuccessful = 1;
    else
        e->status.SetVirtualProcessorRegistersCallbackFailed = 1;
}

HRESULT WINAPI WHvEmulatorTryIoEmulation(WHV_EMULATOR_HANDLE Emulator, VOID *Context,
                                         const WHV_VP_EXIT_CONTEXT *VpContext,
                                         const WHV_X64_IO_PORT_ACCESS_CONTEXT *IoInstructionContext,
                                         WHV_EMULATOR_STATUS *EmulatorReturnStatus)
{
    const WHV_X64_IO_PORT_ACCESS_CONTEXT *io = IoInstructionContext;
    unsigned size = io ? io->AccessInfo.AccessSize : 1;
    struct emulator *e;

    if (size != 1 && size != 2 && size != 4)
        return fail(E_INVALIDARG, "IoInstructionContext: AccessSize is %u, must be 1, 2 or 4", size);
    if (io && io->AccessInfo.Reserved)
        return fail(E_INVALIDARG, "IoInstructionContext: AccessInfo is %#x", io->AccessInfo.AsUINT32);

    HRESULT hr = begin(Emulator, Context, VpContext, io, "IoInstructionContext", io ? io->InstructionBytes : NULL,
                       io ? io->InstructionByteCount : 0, EmulatorReturnStatus, &e);

    if (FAILED(hr))
        return hr;
    if (e->status.AsUINT32)
        return end(Emulator, e, EmulatorReturnStatus);
    if (!io->AccessInfo.StringOp && VpContext->InstructionLength && !(VpContext->Rflags & TF))
        plain_port(e, io);
    else
        emulate(e);
    return end(Emulator, e, EmulatorReturnStatus);
}
