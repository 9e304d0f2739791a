/* SPDX-License-Identifier: MIT */
/* Traces: one line of text a fact, in the same columns each time, so that two runs can be compared by diff.
 */
#include "whp/trace.h"

#include <stdio.h>

#include "state/partition.h"
#include "whp/handle.h"

enum { LINE_SIZE = 256 };

typedef unsigned long long ull; /* what %llx takes */

static const char *reason_name(u32 reason)
{
    static const struct {
        u32 reason;
        const char *name;
    } names[] = {
        { WHvRunVpExitReasonNone, "none" },
        { WHvRunVpExitReasonMemoryAccess, "memory" },
        { WHvRunVpExitReasonX64IoPortAccess, "port" },
        { WHvRunVpExitReasonUnrecoverableException, "unrecoverable" },
        { WHvRunVpExitReasonInvalidVpRegisterValue, "invalid-state" },
        { WHvRunVpExitReasonUnsupportedFeature, "unsupported" },
        { WHvRunVpExitReasonX64InterruptWindow, "interrupt-window" },
        { WHvRunVpExitReasonX64Halt, "halt" },
        { WHvRunVpExitReasonX64ApicEoi, "apic-eoi" },
        { WHvRunVpExitReasonX64ApicSmiTrap, "apic-smi" },
        { WHvRunVpExitReasonX64ApicInitSipiTrap, "apic-init-sipi" },
        { WHvRunVpExitReasonX64ApicWriteTrap, "apic-write" },
        { WHvRunVpExitReasonX64MsrAccess, "msr" },
        { WHvRunVpExitReasonX64Cpuid, "cpuid" },
        { WHvRunVpExitReasonException, "exception" },
        { WHvRunVpExitReasonX64Rdtsc, "rdtsc" },
        { WHvRunVpExitReasonCanceled, "canceled" },
        { (u32)SwhpRunVpExitReasonCount, "count" },
        { (u32)SwhpRunVpExitReasonFerrFreeze, "ferr-freeze" },
    };

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].reason == reason)
            return names[i].name;
    return "other";
}

static void details(const WHV_RUN_VP_EXIT_CONTEXT *x, char *text, size_t size)
{
    switch ((u32)x->ExitReason) {
    case WHvRunVpExitReasonMemoryAccess: {
        static const char *const types[4] = { "read", "write", "execute", "?" };
        const WHV_MEMORY_ACCESS_CONTEXT *m = &x->MemoryAccess;

        snprintf(text, size, " %-7s gpa %012llx gva %016llx %s", types[m->AccessInfo.AccessType & 3],
                 (ull)m->Gpa, (ull)m->Gva, m->AccessInfo.GpaUnmapped ? "unmapped" : "rights");
        break;
    }
    case WHvRunVpExitReasonX64IoPortAccess: {
        const WHV_X64_IO_PORT_ACCESS_CONTEXT *io = &x->IoPortAccess;

        snprintf(text, size, " %-3s port %04x size %u rax %016llx%s%s", io->AccessInfo.IsWrite ? "out" : "in",
                 io->PortNumber, (unsigned)io->AccessInfo.AccessSize, (ull)io->Rax,
                 io->AccessInfo.StringOp ? " string" : "", io->AccessInfo.RepPrefix ? " rep" : "");
        break;
    }
    case WHvRunVpExitReasonX64MsrAccess:
        snprintf(text, size, " %-5s msr %08x value %08x%08x",
                 x->MsrAccess.AccessInfo.IsWrite ? "write" : "read", x->MsrAccess.MsrNumber,
                 (u32)x->MsrAccess.Rdx, (u32)x->MsrAccess.Rax);
        break;
    case WHvRunVpExitReasonX64Cpuid:
        snprintf(text, size, " leaf %08x subleaf %08x", (u32)x->CpuidAccess.Rax, (u32)x->CpuidAccess.Rcx);
        break;
    case WHvRunVpExitReasonException:
        snprintf(text, size, " vector %02x error %08x parameter %016llx%s", x->VpException.ExceptionType,
                 x->VpException.ErrorCode, (ull)x->VpException.ExceptionParameter,
                 x->VpException.ExceptionInfo.SoftwareException ? " software" : "");
        break;
    case WHvRunVpExitReasonX64Rdtsc:
        snprintf(text, size, " tsc %016llx%s", (ull)x->ReadTsc.Tsc,
                 x->ReadTsc.RdtscInfo.IsRdtscp ? " rdtscp" : "");
        break;
    case WHvRunVpExitReasonX64InterruptWindow:
        snprintf(text, size, " type %u", (unsigned)x->InterruptWindow.DeliverableType);
        break;
    case WHvRunVpExitReasonX64ApicEoi:
        snprintf(text, size, " vector %02x", x->ApicEoi.InterruptVector);
        break;
    case WHvRunVpExitReasonX64ApicSmiTrap:
    case WHvRunVpExitReasonX64ApicInitSipiTrap:
        snprintf(text, size, " icr %016llx", (ull)x->ApicInitSipi.ApicIcr);
        break;
    case WHvRunVpExitReasonX64ApicWriteTrap:
        snprintf(text, size, " offset %03x value %08llx", (u32)x->ApicWrite.Type, (ull)x->ApicWrite.WriteValue);
        break;
    case WHvRunVpExitReasonUnsupportedFeature:
        snprintf(text, size, " feature %u parameter %016llx", (unsigned)x->UnsupportedFeature.FeatureCode,
                 (ull)x->UnsupportedFeature.FeatureParameter);
        break;
    default: text[0] = 0; break;
    }
}

void trace_exit(struct vcpu *cpu)
{
    const struct partition *p = cpu->partition;
    const WHV_RUN_VP_EXIT_CONTEXT *x = cpu->exit;
    char line[LINE_SIZE], rest[LINE_SIZE / 2];

    if (!p->trace || !(p->trace_kinds & SwhpTraceExit))
        return;
    details(x, rest, sizeof rest);
    snprintf(line, sizeof line, "%2u %12llu %04x:%016llx %-16s%s", cpu->index, (ull)cpu->count,
             x->VpContext.Cs.Selector, (ull)x->VpContext.Rip, reason_name((u32)x->ExitReason), rest);
    p->trace(p->trace_context, cpu->index, cpu->count, SwhpTraceExit, line);
}

/* With all processors stopped, nobody is about to use what changes here. */
static HRESULT trace_set(WHV_PARTITION_HANDLE handle, u32 kinds, SWHP_TRACE_CALLBACK callback, void *context)
{
    struct partition *p;
    u64 held;
    HRESULT hr = partition_enter(handle, &p);

    if (FAILED(hr))
        return hr;
    hr = partition_freeze(handle, p, &held);
    if (SUCCEEDED(hr)) {
        p->trace = callback;
        p->trace_context = context;
        p->trace_kinds = kinds;
        partition_thaw(handle, p, held);
    }
    partition_leave(handle);
    return hr;
}

HRESULT WINAPI SwhpTraceStart(WHV_PARTITION_HANDLE Partition, UINT32 Kinds, SWHP_TRACE_CALLBACK Callback,
                              VOID *Context)
{
    if (!Callback)
        return fail(E_POINTER, "Callback is NULL");
    if (!Kinds || Kinds & ~(u32)SwhpTraceExit)
        return fail(E_INVALIDARG, "Kinds: %#x, but this build has only SwhpTraceExit (%#x)", Kinds,
                    (u32)SwhpTraceExit);
    return trace_set(Partition, Kinds, Callback, Context);
}

HRESULT WINAPI SwhpTraceStop(WHV_PARTITION_HANDLE Partition)
{
    return trace_set(Partition, 0, NULL, NULL);
}
