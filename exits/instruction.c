/* SPDX-License-Identifier: MIT */
/* Exits of instructions that the caller completes: ports, CPUID, MSRs, time, memory; and exceptions it asked for. */
#include <stdio.h>

#include "exits/context.h"
#include "exits/exit.h"

void exit_memory(struct vcpu *cpu, u64 gpa, u64 linear, bool has_linear, unsigned access, bool unmapped)
{
    /* A caller that adds InstructionLength blindly would be wrong on hardware, which doesn't tell it: 0. */
    WHV_RUN_VP_EXIT_CONTEXT *x = context_begin(cpu, WHvRunVpExitReasonMemoryAccess, 0);
    WHV_MEMORY_ACCESS_CONTEXT *m = &x->MemoryAccess;

    m->InstructionByteCount = context_bytes(cpu, m->InstructionBytes);
    m->AccessInfo.AccessType = access & 3;
    m->AccessInfo.GpaUnmapped = unmapped;
    m->AccessInfo.GvaValid = has_linear;
    m->Gpa = gpa;
    m->Gva = has_linear ? linear : 0;
    cpu->counters[COUNT_MEMORY]++;
    vcpu_land(cpu);
}

/* DR0 to DR3 that stand for one of these ports (SDM 3B 17.2.5): B0 to B3 of the trap that follows the instruction. */
static u64 io_breakpoints(const struct vcpu *cpu, u16 port, unsigned size)
{
    u64 hit = 0;

    if (!(cpu->dr[7] & 0xff) || !(cpu->cr4 & CR4_DE))
        return 0;
    for (unsigned n = 0; n < 4; n++) {
        static const u8 length[] = { 1, 2, 8, 4 };
        unsigned kind = cpu->dr[7] >> (16 + 4 * n) & 15, bytes = length[kind >> 2];
        u64 first = cpu->dr[n] & ~(u64)(bytes - 1);

        if ((cpu->dr[7] >> (2 * n) & 3) && (kind & 3) == 2 && first < (u64)port + size && port < first + bytes)
            hit |= 1u << n;
    }
    return hit;
}

void exit_io(struct vcpu *cpu, u16 port, unsigned size, bool is_write, bool string, bool rep)
{
    WHV_RUN_VP_EXIT_CONTEXT *x = context_begin(cpu, WHvRunVpExitReasonX64IoPortAccess, context_length(cpu));
    WHV_X64_IO_PORT_ACCESS_CONTEXT *io = &x->IoPortAccess;

    io->InstructionByteCount = context_bytes(cpu, io->InstructionBytes);
    io->AccessInfo.IsWrite = is_write;
    io->AccessInfo.AccessSize = size & 7;
    io->AccessInfo.StringOp = string;
    io->AccessInfo.RepPrefix = rep;
    io->PortNumber = port;
    io->Rax = cpu->gpr[RAX];
    io->Rcx = cpu->gpr[RCX];
    io->Rsi = cpu->gpr[RSI];
    io->Rdi = cpu->gpr[RDI];
    context_segment(&io->Ds, &cpu->seg[DS]);
    context_segment(&io->Es, &cpu->seg[ES]);
    cpu->completed_debug = io_breakpoints(cpu, port, size);
    cpu->counters[COUNT_IO]++;
}

void exit_msr(struct vcpu *cpu, u32 index, bool is_write)
{
    WHV_RUN_VP_EXIT_CONTEXT *x = context_begin(cpu, WHvRunVpExitReasonX64MsrAccess, context_length(cpu));

    x->MsrAccess.AccessInfo.IsWrite = is_write;
    x->MsrAccess.MsrNumber = index;
    x->MsrAccess.Rax = cpu->gpr[RAX];
    x->MsrAccess.Rdx = cpu->gpr[RDX];
    cpu->counters[COUNT_MSR]++;
    vcpu_land(cpu);
}

void exit_cpuid(struct vcpu *cpu, const u32 defaults[4])
{
    WHV_RUN_VP_EXIT_CONTEXT *x = context_begin(cpu, WHvRunVpExitReasonX64Cpuid, context_length(cpu));

    x->CpuidAccess.Rax = cpu->gpr[RAX];
    x->CpuidAccess.Rcx = cpu->gpr[RCX];
    x->CpuidAccess.Rdx = cpu->gpr[RDX];
    x->CpuidAccess.Rbx = cpu->gpr[RBX];
    x->CpuidAccess.DefaultResultRax = defaults[0];
    x->CpuidAccess.DefaultResultRbx = defaults[1];
    x->CpuidAccess.DefaultResultRcx = defaults[2];
    x->CpuidAccess.DefaultResultRdx = defaults[3];
    cpu->counters[COUNT_CPUID]++;
}

void exit_rdtsc(struct vcpu *cpu, u64 tsc, bool is_rdtscp)
{
    WHV_RUN_VP_EXIT_CONTEXT *x = context_begin(cpu, WHvRunVpExitReasonX64Rdtsc, context_length(cpu));

    x->ReadTsc.TscAux = cpu->tsc_aux;
    x->ReadTsc.VirtualOffset = cpu->tsc_offset;
    x->ReadTsc.Tsc = tsc;
    x->ReadTsc.RdtscInfo.IsRdtscp = is_rdtscp;
    cpu->counters[COUNT_OTHER]++;
    vcpu_land(cpu);
}

/* Before anything of the delivery: CR2 and DR6 aren't written, nothing is pushed. */
void exit_exception(struct vcpu *cpu, const struct event *event)
{
    bool software = event->type == EVENT_SOFTWARE_EXCEPTION || event->type == EVENT_PRIVILEGED_SOFTWARE;
    WHV_RUN_VP_EXIT_CONTEXT *x = context_begin(cpu, WHvRunVpExitReasonException, event->length);
    WHV_VP_EXCEPTION_CONTEXT *e = &x->VpException;

    e->InstructionByteCount = context_bytes(cpu, e->InstructionBytes);
    e->ExceptionInfo.ErrorCodeValid = event->has_error;
    e->ExceptionInfo.SoftwareException = software;
    e->ExceptionType = event->vector;
    e->ErrorCode = event->error;
    e->ExceptionParameter = event->parameter;
    cpu->counters[event->vector == VECTOR_PF ? COUNT_PAGE_FAULT : COUNT_OTHER]++;
    cpu->left_instruction = false;
    vcpu_land(cpu);
}

void exit_unsupported(struct vcpu *cpu, u32 feature, u64 parameter)
{
    WHV_RUN_VP_EXIT_CONTEXT *x = context_begin(cpu, WHvRunVpExitReasonUnsupportedFeature, context_length(cpu));
    UINT8 bytes[16];
    char text[64] = "";
    unsigned n = context_bytes(cpu, bytes);

    for (unsigned i = 0; i < n; i++)
        snprintf(text + 3 * i, sizeof text - 3 * i, " %02x", bytes[i]);
    explain(cpu, "not supported at RIP %llx, bytes from there:%s", (unsigned long long)cpu->rip, text);
    x->UnsupportedFeature.FeatureCode = (WHV_X64_UNSUPPORTED_FEATURE_CODE)feature;
    x->UnsupportedFeature.FeatureParameter = parameter;
    cpu->left_instruction = false;
    cpu->counters[COUNT_OTHER]++;
    vcpu_land(cpu);
}
