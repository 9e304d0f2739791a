/* SPDX-License-Identifier: MIT */
/*
 * What each exit of a processor asks for. Most are port accesses, so those cost one call to the platform and no look
 * at the clock unless the device needs it.
 */
#include <inttypes.h>
#include <string.h>

#include "machine.h"

enum { RFLAGS_TF = 0x100, RFLAGS_IF = 0x200 };

/* Adds what the platform knows of the processor's last exit. */
static void end_explained(struct processor *cpu, const char *how, const char *what)
{
    struct machine *m = cpu->machine;
    char cause[768] = "";

    SwhpExplainLastExit(m->partition, cpu->index, cause, sizeof cause, NULL);
    for (size_t length = strlen(cause); length && cause[length - 1] == '\n';)
        cause[--length] = 0;
    problem_is(&m->problem, STATUS_BADLY, "%s at %04x:%" PRIx64 "%s%s%s", what, cpu->exit.VpContext.Cs.Selector,
               cpu->exit.VpContext.Rip, cpu->on, *cause ? ": " : "", cause);
    machine_end(m, STATUS_BADLY, how);
}

/* What the platform doesn't do for an instruction that it doesn't see retire: end the interrupt shadow that
 * covered it, and raise the trap of TF. */
static void retire(struct processor *cpu)
{
    struct machine *m = cpu->machine;

    if (cpu->has_shadow) {
        WHV_REGISTER_NAME name = WHvRegisterInterruptState;
        WHV_REGISTER_VALUE state = {0};

        if (WHvGetVirtualProcessorRegisters(m->partition, cpu->index, &name, 1, &state) == S_OK) {
            state.InterruptState.InterruptShadow = 0;
            processor_write(cpu, name, state);
        }
        cpu->has_shadow = false;
    }
    if (cpu->exit.VpContext.Rflags & RFLAGS_TF) {
        WHV_REGISTER_VALUE trap = {0};

        trap.PendingDebugException.SingleStep = 1;
        processor_write(cpu, WHvX64RegisterPendingDebugException, trap);
    }
}

/* Completes an instruction that the exit describes well enough. */
static void complete(struct processor *cpu)
{
    const WHV_VP_EXIT_CONTEXT *vp = &cpu->exit.VpContext;

    processor_write_number(cpu, WHvX64RegisterRip, vp->Rip + vp->InstructionLength);
    if (cpu->has_shadow || vp->Rflags & RFLAGS_TF)
        retire(cpu);
}

/* The emulator has completed one, or has queued the fault that it raised. */
static void after_emulation(struct processor *cpu)
{
    const WHV_VP_EXIT_CONTEXT *vp = &cpu->exit.VpContext;

    cpu->state_known = false;
    if ((cpu->has_shadow || vp->Rflags & RFLAGS_TF) && processor_refresh(cpu) && !cpu->has_event)
        retire(cpu);
}

static void after_devices(struct machine *m)
{
    machine_check_devices(m);
    if (m->bus.timed_write)
        machine_schedule(m);
}

static void end_emulation(struct processor *cpu, const char *what, HRESULT result, WHV_EMULATOR_STATUS status)
{
    char text[200];

    machine_check_user(cpu->machine); /* whose wish it may have been */
    if (cpu->machine->ended)
        return;
    if (status.InterruptCausedIntercept)
        snprintf(text, sizeof text,
                 "an interrupt or exception could not be delivered (its tables or stack are where "
                 "no memory is)");
    else
        snprintf(text, sizeof text, "%s could not be emulated (result %08x, status %x)", what,
                 (unsigned)result, status.AsUINT32);
    end_explained(cpu, "the emulator gave up", text);
}

static void on_port(struct processor *cpu)
{
    struct machine *m = cpu->machine;
    const WHV_X64_IO_PORT_ACCESS_CONTEXT *io = &cpu->exit.IoPortAccess;
    unsigned size = io->AccessInfo.AccessSize;
    WHV_EMULATOR_STATUS status = {0};

    if (io->AccessInfo.StringOp) {
        HRESULT result = WHvEmulatorTryIoEmulation(m->emulator, cpu, &cpu->exit.VpContext, io, &status);

        if (result != S_OK || !status.EmulationSuccessful)
            end_emulation(cpu, "a string port instruction", result, status);
        else
            after_emulation(cpu);
    } else if (io->AccessInfo.IsWrite) {
        bus_write(&m->bus, io->PortNumber, size, (uint32_t)io->Rax);
        complete(cpu);
    } else {
        uint64_t value = bus_read(&m->bus, io->PortNumber, size);

        if (size == 1)
            value |= io->Rax & ~UINT64_C(0xff);
        else if (size == 2)
            value |= io->Rax & ~UINT64_C(0xffff);
        processor_write_number(cpu, WHvX64RegisterRax, value);
        complete(cpu);
    }
    after_devices(m);
}

static void on_memory(struct processor *cpu)
{
    struct machine *m = cpu->machine;
    const WHV_MEMORY_ACCESS_CONTEXT *access = &cpu->exit.MemoryAccess;
    WHV_EMULATOR_STATUS status = {0};
    HRESULT result;

    if (access->AccessInfo.AccessType == WHvMemoryAccessExecute) {
        char text[100];

        snprintf(text, sizeof text,
                 "the guest went to physical address %#" PRIx64 ", where there is no memory,",
                 (uint64_t)access->Gpa);
        end_explained(cpu, "the guest went where no memory is", text);
        return;
    }
    result = WHvEmulatorTryMmioEmulation(m->emulator, cpu, &cpu->exit.VpContext, access, &status);
    if (result != S_OK || !status.EmulationSuccessful) {
        char text[100];

        snprintf(text, sizeof text, "an access to physical address %#" PRIx64, (uint64_t)access->Gpa);
        end_emulation(cpu, text, result, status);
    } else {
        after_emulation(cpu);
    }
    after_devices(m);
}

static void on_halt(struct processor *cpu)
{
    struct machine *m = cpu->machine;

    terminal_flush(&m->terminal);
    if (!cpu->can_interrupt_flag) {
        machine_end(m, STATUS_WELL, "HLT with interrupts off");
        return;
    }
    cpu->has_shadow = false; /* HLT has retired */
    cpu->halted = true;
    m->has_halted = true;
}

/* An x87 exception with CR0.NE clear. It stands still until any interrupt, of which this raises one. */
static void on_freeze(struct processor *cpu)
{
    struct machine *m = cpu->machine;

    terminal_flush(&m->terminal);
    pic_set_line(&m->pic, IRQ_COPROCESSOR, true);
    if (!cpu->can_interrupt_flag) {
        problem_is(&m->problem, STATUS_BADLY,
                   "the guest froze at %04x:%" PRIx64 "%s at an x87 exception, with interrupts off",
                   cpu->exit.VpContext.Cs.Selector, cpu->exit.VpContext.Rip, cpu->on);
        machine_end(m, STATUS_BADLY, "the guest is frozen");
        return;
    }
    /* With a local APIC the interrupt may be there already. */
    cpu->halted = !m->has_apic || cpu->frozen;
    cpu->frozen = true;
    m->has_halted = true;
}

/* Of threads the first processor's sees to the devices' time. */
static void serve(struct processor *cpu)
{
    if (cpu->index && cpu->machine->is_threaded)
        return;
    if (cpu->machine->is_in_turns)
        machine_note_leaps(cpu->machine);
    machine_serve(cpu->machine);
    if (cpu->machine->has_apic)
        machine_check_sleepers(cpu->machine);
}

static void on_count(struct processor *cpu)
{
    struct machine *m = cpu->machine;
    UINT64 count = 0;

    if (m->options->max_insns != UINT64_MAX) {
        if (m->is_in_turns)
            count = machine_instructions(m);
        else
            SwhpGetInstructionCount(m->partition, cpu->index, &count);
        if (count >= m->options->max_insns) {
            machine_end(m, STATUS_WELL, "--max-insns was reached");
            return;
        }
    }
    serve(cpu);
}

void processor_exited(struct processor *cpu)
{
    struct machine *m = cpu->machine;
    const WHV_VP_EXIT_CONTEXT *vp = &cpu->exit.VpContext;

    cpu->can_interrupt_flag = vp->Rflags & RFLAGS_IF;
    cpu->has_shadow = vp->ExecutionState.InterruptShadow;
    cpu->has_event = vp->ExecutionState.InterruptionPending;
    cpu->state_known = true;
    cpu->frozen &= cpu->exit.ExitReason == SwhpRunVpExitReasonFerrFreeze;
    processor_count_exit(cpu, cpu->exit.ExitReason);

    switch ((int)cpu->exit.ExitReason) {
    case WHvRunVpExitReasonX64IoPortAccess:
        on_port(cpu);
        break;
    case WHvRunVpExitReasonMemoryAccess:
        on_memory(cpu);
        break;
    case WHvRunVpExitReasonX64Halt:
        on_halt(cpu);
        break;
    case WHvRunVpExitReasonX64InterruptWindow:
        cpu->window_armed = false;
        break;
    case (int)SwhpRunVpExitReasonCount:
        on_count(cpu);
        break;
    case (int)SwhpRunVpExitReasonFerrFreeze:
        on_freeze(cpu);
        break;
    case WHvRunVpExitReasonX64ApicEoi:
        ioapic_end(&m->ioapic, (uint8_t)cpu->exit.ApicEoi.InterruptVector);
        machine_end_lint0(m, (uint8_t)cpu->exit.ApicEoi.InterruptVector);
        break;
    case WHvRunVpExitReasonX64ApicWriteTrap: /* the 8259A's way may be open now: its request is offered anew */
        m->lint0_moved = true;
        break;
    case WHvRunVpExitReasonCanceled:
        machine_check_user(m);
        serve(cpu);
        break;
    case WHvRunVpExitReasonUnrecoverableException:
        m->was_reset = true; /* the bus cycle that tells of a shutdown resets a PC */
        end_explained(cpu, "a triple fault", "the guest ended in a triple fault");
        break;
    case WHvRunVpExitReasonInvalidVpRegisterValue:
        end_explained(cpu, "an invalid processor state", "the processor's state became invalid");
        break;
    case WHvRunVpExitReasonUnsupportedFeature:
        end_explained(cpu, "something unsupported", "the guest did what this processor doesn't support");
        break;
    default: {
        char text[60];

        snprintf(text, sizeof text, "the processor left for the unknown reason %#x",
                 (unsigned)cpu->exit.ExitReason);
        end_explained(cpu, "an unknown exit", text);
        break;
    }
    }
}
