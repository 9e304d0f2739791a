/* SPDX-License-Identifier: MIT */
/* Exits that writes to the local APIC ask for: RIP is behind the instruction, which has happened. Reference 4.10. */
#include "exits/context.h"
#include "exits/exit.h"

void exit_apic(struct vcpu *cpu, u32 reason, u32 type, u64 value)
{
    WHV_RUN_VP_EXIT_CONTEXT *x = context_begin(cpu, reason, 0);

    switch (reason) {
    case WHvRunVpExitReasonX64ApicEoi: x->ApicEoi.InterruptVector = (u32)value; break;
    case WHvRunVpExitReasonX64ApicSmiTrap: x->ApicSmi.ApicIcr = value; break;
    case WHvRunVpExitReasonX64ApicInitSipiTrap: x->ApicInitSipi.ApicIcr = value; break;
    default:
        x->ApicWrite.Type = (WHV_X64_APIC_WRITE_TYPE)type;
        x->ApicWrite.WriteValue = value;
        break;
    }
    cpu->counters[COUNT_OTHER]++;
    vcpu_land(cpu);
}
