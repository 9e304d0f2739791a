/* SPDX-License-Identifier: MIT */
/* Misuses: registers. A Set that is refused sets none of the batch. */
#include "tests/whp/misuse.h"

#define REG(name) WHvX64Register##name

/* A good register, then a bad one. */
static HRESULT set(WHV_PARTITION_HANDLE p, u32 name, u64 low, u64 high)
{
    WHV_REGISTER_NAME names[2] = { WHvX64RegisterRax, (WHV_REGISTER_NAME)name };
    WHV_REGISTER_VALUE values[2];

    memset(values, 0, sizeof values);
    values[0].Reg64 = 0x1234;
    values[1].Reg128.Low64 = low;
    values[1].Reg128.High64 = high;
    return WHvSetVirtualProcessorRegisters(p, 0, names, 2, values);
}

static HRESULT get(WHV_PARTITION_HANDLE p, u32 name)
{
    WHV_REGISTER_NAME names[2] = { (WHV_REGISTER_NAME)name, WHvX64RegisterRax };
    WHV_REGISTER_VALUE values[2];

    return WHvGetVirtualProcessorRegisters(p, 0, names, 2, values);
}

#define VALUE(what, name, low) ROW(what, HV(0x50), "register", "3.4", set(s->p, (u32)(name), low, 0))
#define NAME(what, name)                                                                                               \
    ROW(what, WHV_E_INVALID_VP_REGISTER_NAME, "RegisterNames[1]", "3.1", set(s->p, (u32)(name), 0, 0))
#define CANONICAL_NOT 0x4000000000000000 /* at any width */

static void name_rows(struct visit *v, struct scene *s)
{
    NAME("VirtualCr0", 0x28);
    NAME("a name between two groups", 0x2c);
    NAME("the name 7fffffff", 0x7fffffff);
    NAME("the name ffffffff", 0xffffffff);
    NAME("a name of nested VMX", REG(Ia32VmxBasic));
    NAME("a register that the processor lacks", REG(Bndcfgs));
    NAME("an APIC register that has no name", 0x3000);
    NAME("PendingEvent2", WHvRegisterPendingEvent2);
    ROW("ApicId, where no APIC is emulated", HV(6), "RegisterNames[1]", "3.4", set(s->p, REG(ApicId), 0, 0));
}

static void event_value_rows(struct visit *v, struct scene *s)
{
    VALUE("PendingInterruption of type 1", WHvRegisterPendingInterruption, 1 | 1 << 1);
    VALUE("PendingInterruption of type 7", WHvRegisterPendingInterruption, 1 | 7 << 1);
    VALUE("PendingInterruption, nested", WHvRegisterPendingInterruption, 1 | 1 << 9);
    VALUE("PendingInterruption with a reserved bit", WHvRegisterPendingInterruption, 1 | 1 << 10);
    VALUE("PendingInterruption, exception 32", WHvRegisterPendingInterruption, 1 | 3 << 1 | 32 << 16);
    VALUE("PendingInterruption, privileged software exception 32", WHvRegisterPendingInterruption,
          1 | 5 << 1 | 32 << 16);
    VALUE("PendingInterruption, software exception 32", WHvRegisterPendingInterruption, 1 | 6 << 1 | 32 << 16);
    VALUE("PendingInterruption, software interrupt with an error code", WHvRegisterPendingInterruption,
          1 | 4 << 1 | 1 << 4 | 0x40 << 16);
    VALUE("PendingInterruption, NMI with vector 3", WHvRegisterPendingInterruption, 1 | 2 << 1 | 3 << 16);
    VALUE("PendingInterruption, interrupt with an error code", WHvRegisterPendingInterruption, 1 | 1 << 4 | 0x40 << 16);
    VALUE("PendingInterruption, vector 256", WHvRegisterPendingInterruption, 1 | 256 << 16);
    VALUE("PendingEvent, ExtInt without an APIC", WHvRegisterPendingEvent, 1 | 5 << 1);
    VALUE("PendingEvent of type 1", WHvRegisterPendingEvent, 1 | 1 << 1);
    VALUE("PendingEvent, exception 32", WHvRegisterPendingEvent, 1 | 32 << 16);
    VALUE("PendingEvent, exception 2", WHvRegisterPendingEvent, 1 | 2 << 16);
    VALUE("PendingEvent with a reserved bit", WHvRegisterPendingEvent, 1 | 1 << 4);
    VALUE("PendingEvent1", WHvRegisterPendingEvent1, 1);
    VALUE("InterruptState with a reserved bit", WHvRegisterInterruptState, 4);
    VALUE("DeliverabilityNotifications with a reserved bit", REG(DeliverabilityNotifications), 1 << 6);
    VALUE("PendingDebugException with a reserved bit", REG(PendingDebugException), 0x20);
    ROW("InternalActivityState, where no APIC is emulated", HV(6), "register", "3.4",
        set(s->p, WHvRegisterInternalActivityState, 2, 0));
    ROW("InternalActivityState with IdleSuspend", HV(0x50), "register", "3.4",
        set(s->apic, WHvRegisterInternalActivityState, 4, 0));
    ROW("PendingEvent, ExtInt with a reserved bit", HV(0x50), "register", "3.2",
        set(s->apic, WHvRegisterPendingEvent, 1 | 5 << 1 | 1 << 16, 0));
}

static void value_rows(struct visit *v, struct scene *s)
{
    VALUE("RFLAGS with a reserved bit", REG(Rflags), 8);
    VALUE("CR0 above bit 31", REG(Cr0), (u64)1 << 32);
    VALUE("CR3 above the physical address's width", REG(Cr3), (u64)1 << 63);
    VALUE("CR4 with a bit that the processor lacks", REG(Cr4), (u64)1 << 63);
    VALUE("CR8 of 16", REG(Cr8), 16);
    VALUE("DR6 above bit 31", REG(Dr6), (u64)1 << 32);
    VALUE("DR7 above bit 31", REG(Dr7), (u64)1 << 32);
    VALUE("XCR0 without the x87", REG(XCr0), 0);
    VALUE("XCR0 with AVX and without SSE", REG(XCr0), 5);
    VALUE("XCR0 with what the processor lacks", REG(XCr0), 1ull << 62 | 1);
    VALUE("EFER with a reserved bit", REG(Efer), 2);
    VALUE("LSTAR, not canonical", REG(Lstar), CANONICAL_NOT);
    VALUE("CSTAR, not canonical", REG(Cstar), CANONICAL_NOT);
    VALUE("KernelGsBase, not canonical", REG(KernelGsBase), CANONICAL_NOT);
    VALUE("FS with a base that isn't canonical", REG(Fs), CANONICAL_NOT);
    VALUE("GS with a base that isn't canonical", REG(Gs), CANONICAL_NOT);
    VALUE("TR with a base that isn't canonical", REG(Tr), CANONICAL_NOT);
    VALUE("LDTR with a base that isn't canonical", REG(Ldtr), CANONICAL_NOT);
    VALUE("MTRR of a fixed range of type 7", REG(MsrMtrrFix4kC0000), 7);
    VALUE("MTRR mask with a reserved bit", REG(MsrMtrrPhysMask0), 1);
    ROW("IDTR with a base that isn't canonical", HV(0x50), "register", "3.4", set(s->p, REG(Idtr), 0, CANONICAL_NOT));
    VALUE("PAT with type 2", REG(Pat), 2);
    VALUE("MTRR default type 2", REG(MsrMtrrDefType), 2);
    VALUE("InitialApicId above bit 31", REG(InitialApicId), (u64)1 << 32);
    ROW("GDTR with a base that isn't canonical", HV(0x50), "register", "3.4", set(s->p, REG(Gdtr), 0, CANONICAL_NOT));
    ROW("MXCSR with a reserved bit", HV(0x50), "register", "3.4", set(s->p, REG(XmmControlStatus), 0, 0x80000000));
    ROW("APIC_BASE with EXTD alone", HV(5), "register", "3.4", set(s->apic, REG(ApicBase), 0xfee00500, 0));
}

void register_rows(struct visit *v, struct scene *s)
{
    static const WHV_REGISTER_NAME rax = WHvX64RegisterRax;

    FUNCTION(WHvGetVirtualProcessorRegisters, TAKES_VP, "XX...VI", "while it runs, at the end of some instruction",
             (s->p, s->vp, &rax, 1, (void *)s->room));
    ROW("RegisterNames is NULL", E_POINTER, "RegisterNames", "1.5",
        WHvGetVirtualProcessorRegisters(s->p, 0, NULL, 1, (void *)s->out));
    ROW("RegisterValues is NULL", E_POINTER, "RegisterValues", "1.5",
        WHvGetVirtualProcessorRegisters(s->p, 0, &rax, 1, NULL));
    ROW("there is no such register", WHV_E_INVALID_VP_REGISTER_NAME, "RegisterNames[0]", "3.1", get(s->p, 0x2c));
    ROW("a register that the processor lacks", WHV_E_INVALID_VP_REGISTER_NAME, "RegisterNames[0]", "3.1",
        get(s->p, REG(Bndcfgs)));
    ROW("the name ffffffff", WHV_E_INVALID_VP_REGISTER_NAME, "RegisterNames[0]", "3.1", get(s->p, 0xffffffff));
    ROW("ApicTpr, where no APIC is emulated", HV(6), "RegisterNames[0]", "3.4", get(s->p, REG(ApicTpr)));

    FUNCTION(WHvSetVirtualProcessorRegisters, TAKES_VP, "XX.V.VI", "all of them, or none",
             (s->p, s->vp, &rax, 1, (void *)s->room));
    ROW("RegisterNames is NULL", E_POINTER, "RegisterNames", "1.5",
        WHvSetVirtualProcessorRegisters(s->p, 0, NULL, 1, (void *)s->room));
    ROW("RegisterValues is NULL", E_POINTER, "RegisterValues", "1.5",
        WHvSetVirtualProcessorRegisters(s->p, 0, &rax, 1, NULL));
    name_rows(v, s);
    value_rows(v, s);
    event_value_rows(v, s);
}
