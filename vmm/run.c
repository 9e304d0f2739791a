/* SPDX-License-Identifier: MIT */
/*
 * The loop that answers the processor's exits. Most exits are port accesses, so those cost one call to the
 * platform and no look at the clock unless the device needs it.
 */
#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "machine.h"

#define POLL_EVERY_NS UINT64_C(10000000)   /* how often input is looked for, in device time, */
#define REFILL_EVERY_NS UINT64_C(1000000)  /* and how often while there is more than the port took */

enum { RFLAGS_TF = 0x100, RFLAGS_IF = 0x200 };

/* ---- Registers ---- */

void machine_write(struct machine *m, WHV_REGISTER_NAME name, WHV_REGISTER_VALUE value)
{
    assert(m->writes < MACHINE_WRITES);
    m->names[m->writes] = name;
    m->values[m->writes++] = value;
}

static void write_number(struct machine *m, WHV_REGISTER_NAME name, uint64_t value)
{
    WHV_REGISTER_VALUE v = {0};

    v.Reg64 = value;
    machine_write(m, name, v);
}

void machine_fail(struct machine *m, const char *call, HRESULT result)
{
    platform_problem(&m->problem, STATUS_BADLY, call, result);
    machine_end(m, STATUS_BADLY, "the platform refused a call");
}

bool machine_flush_writes(struct machine *m)
{
    HRESULT result;

    if (!m->writes)
        return true;
    result = WHvSetVirtualProcessorRegisters(m->partition, 0, m->names, m->writes, m->values);
    m->writes = 0;
    if (result != S_OK)
        machine_fail(m, "WHvSetVirtualProcessorRegisters", result);
    return result == S_OK;
}

/* ---- Ends ---- */

/* Adds what the platform knows of the processor's last exit. */
static void end_explained(struct machine *m, const char *how, const char *what)
{
    char cause[768] = "";

    SwhpExplainLastExit(m->partition, 0, cause, sizeof cause, NULL);
    for (size_t length = strlen(cause); length && cause[length - 1] == '\n';)
        cause[--length] = 0;
    problem_is(&m->problem, STATUS_BADLY, "%s at %04x:%" PRIx64 "%s%s", what, m->exit.VpContext.Cs.Selector,
               m->exit.VpContext.Rip, *cause ? ": " : "", cause);
    machine_end(m, STATUS_BADLY, how);
}

/* Devices raise flags, since they don't know the machine. */
static void check_devices(struct machine *m)
{
    if (m->acpi.wants_power_off)
        machine_end(m, STATUS_WELL, "the guest powered off");
    if (m->keyboard.wants_reset)
        machine_end(m, STATUS_WELL, "the guest reset the machine");
}

static void check_user(struct machine *m)
{
    if (m->helpers.signal_seen) {
        machine_end(m, 128 + m->helpers.signal_seen, "a signal ended it");
    } else if (m->terminal.wants_interrupt) {
        machine_end(m, STATUS_INTERRUPTED, "Ctrl-C ended it");
    } else if (m->terminal.wants_leave) {
        machine_end(m, STATUS_INTERRUPTED, "Ctrl-A x ended it");
    } else if (m->terminal.output_error) {
        machine_end(m, STATUS_HOST, "standard output is gone");
    }
}

/* ---- Time ---- */

/* Asks all devices when they want to be looked at, and translates the first of these into a count. */
static void schedule(struct machine *m)
{
    uint64_t pit = pit_deadline(&m->pit), rtc = rtc_deadline(&m->rtc), counts;

    m->deadline = m->poll_time;
    if (pit < m->deadline)
        m->deadline = pit;
    if (rtc < m->deadline)
        m->deadline = rtc;
    m->bus.timed_write = false;
    if (m->options->host_clock) {
        uint64_t now = machine_now(m);

        m->until = m->options->max_insns;
        helpers_wake_at(m, host_time() + (m->deadline > now ? m->deadline - now : 0));
        return;
    }
    counts = machine_counts(m, m->deadline);
    m->until = counts > m->offset ? counts - m->offset : 0;
    if (m->until > m->options->max_insns)
        m->until = m->options->max_insns;
}

static void poll_input(struct machine *m, uint64_t now)
{
    uint8_t bytes[SERIAL_FIFO_SIZE];
    unsigned room;
    size_t count;

    terminal_poll(&m->terminal, serial_listens(&m->serial));
    room = serial_room(&m->serial);
    count = terminal_take(&m->terminal, bytes, room);
    if (count)
        serial_receive(&m->serial, bytes, count);
    m->poll_time = now + (m->terminal.input_count ? REFILL_EVERY_NS : POLL_EVERY_NS);
}

/* What is due at this time. */
static void serve_devices(struct machine *m)
{
    uint64_t now = machine_now(m);

    pit_update(&m->pit, now);
    rtc_update(&m->rtc, now);
    if (now >= m->poll_time) {
        UINT64 count = 0;

        terminal_flush(&m->terminal);
        poll_input(m, now);
        SwhpGetInstructionCount(m->partition, 0, &count);
        /* A trace on the same terminal is progress enough. */
        terminal_progress(&m->terminal, !m->has_halted && m->trace != stderr, count, m->started);
        m->has_halted = false;
        check_user(m);
    }
    schedule(m);
}

/* ---- Interrupts ---- */

/* Reads what an exit shows, where something else than the exit has changed it. */
static bool refresh_state(struct machine *m)
{
    static const WHV_REGISTER_NAME names[] = {WHvX64RegisterRflags, WHvRegisterInterruptState,
                                              WHvRegisterPendingInterruption, WHvRegisterPendingEvent};
    WHV_REGISTER_VALUE values[4];
    HRESULT result;

    if (!machine_flush_writes(m))
        return false;
    result = WHvGetVirtualProcessorRegisters(m->partition, 0, names, 4, values);
    if (result != S_OK) {
        machine_fail(m, "WHvGetVirtualProcessorRegisters", result);
        return false;
    }
    m->can_interrupt_flag = values[0].Reg64 & RFLAGS_IF;
    m->has_shadow = values[1].InterruptState.InterruptShadow;
    m->has_event = values[2].PendingInterruption.InterruptionPending || values[3].ExceptionEvent.EventPending;
    m->state_known = true;
    return true;
}

static void inject(struct machine *m)
{
    WHV_REGISTER_VALUE event = {0};

    event.PendingInterruption.InterruptionPending = 1;
    event.PendingInterruption.InterruptionType = WHvX64PendingInterrupt;
    event.PendingInterruption.InterruptionVector = pic_acknowledge(&m->pic);
    machine_write(m, WHvRegisterPendingInterruption, event);
    if (m->window_armed)
        write_number(m, WHvX64RegisterDeliverabilityNotifications, 0);
    m->window_armed = false;
    m->has_event = true;
}

/* Hands the controllers' request to the processor, or asks to be told when it can take it. */
static void offer_interrupt(struct machine *m)
{
    WHV_REGISTER_VALUE window = {0};

    if (!m->state_known && !refresh_state(m))
        return;
    if (m->can_interrupt_flag && !m->has_shadow && !m->has_event) {
        inject(m);
    } else if (!m->window_armed) {
        window.DeliverabilityNotifications.InterruptNotification = 1;
        machine_write(m, WHvX64RegisterDeliverabilityNotifications, window);
        m->window_armed = true;
    }
}

/* Can anything that this machine has still wake a halted processor? */
static bool can_wake(const struct machine *m)
{
    if (pit_deadline(&m->pit) != UINT64_MAX && pic_lets_through(&m->pic, 0))
        return true;
    if (rtc_deadline(&m->rtc) != UINT64_MAX && pic_lets_through(&m->pic, 8))
        return true;
    return serial_listens(&m->serial) && pic_lets_through(&m->pic, m->serial.irq) &&
           (!m->terminal.at_eof || m->terminal.input_count);
}

/* Lets the time of a halted guest pass up to the next deadline. */
static void wait_for_interrupt(struct machine *m)
{
    uint64_t now = machine_now(m);
    uint64_t left = m->deadline > now ? m->deadline - now : 0;
    bool waits_for_user = !m->terminal.at_eof && !m->terminal.input_count && serial_listens(&m->serial);

    if (!can_wake(m)) {
        problem_is(&m->problem, STATUS_BADLY,
                   "the guest %s at %04x:%" PRIx64 " to wait for an interrupt, and no device is set up to send one",
                   m->exit.ExitReason == SwhpRunVpExitReasonFerrFreeze ? "froze" : "halted",
                   m->exit.VpContext.Cs.Selector, m->exit.VpContext.Rip);
        machine_end(m, STATUS_BADLY, "the guest waits forever");
        return;
    }
    /* Who waits for a person, or for a pipe, needn't wait faster than the clock on the wall. Input ends the
     * wait early, and so does it on the host's clock. */
    if ((waits_for_user || m->options->host_clock) && left && terminal_wait(&m->terminal, left)) {
        if (waits_for_user)
            poll_input(m, now);
        else if (m->options->host_clock) /* nobody takes that input yet; don't spin on it */
            nanosleep(&(struct timespec){0, (long)(left < 999999999 ? left : 999999999)}, NULL);
    } else if (!m->options->host_clock) {
        UINT64 clock = 0, counts = machine_counts(m, m->deadline);

        SwhpGetClock(m->partition, &clock);
        if (counts > clock) {
            HRESULT result = SwhpAdvanceClock(m->partition, counts - clock);

            if (result != S_OK)
                machine_fail(m, "SwhpAdvanceClock", result);
            m->offset += counts - clock;
        }
    }
    check_user(m);
    serve_devices(m);
}

/* ---- Exits ---- */

/* What the platform doesn't do for an instruction that it doesn't see retire: end the interrupt shadow that
 * covered it, and raise the trap of TF. */
static void retire(struct machine *m)
{
    if (m->has_shadow) {
        WHV_REGISTER_NAME name = WHvRegisterInterruptState;
        WHV_REGISTER_VALUE state = {0};

        if (WHvGetVirtualProcessorRegisters(m->partition, 0, &name, 1, &state) == S_OK) {
            state.InterruptState.InterruptShadow = 0;
            machine_write(m, name, state);
        }
        m->has_shadow = false;
    }
    if (m->exit.VpContext.Rflags & RFLAGS_TF) {
        WHV_REGISTER_VALUE trap = {0};

        trap.PendingDebugException.SingleStep = 1;
        machine_write(m, WHvX64RegisterPendingDebugException, trap);
    }
}

/* Completes an instruction that the exit describes well enough. */
static void complete(struct machine *m)
{
    const WHV_VP_EXIT_CONTEXT *vp = &m->exit.VpContext;

    write_number(m, WHvX64RegisterRip, vp->Rip + vp->InstructionLength);
    if (m->has_shadow || vp->Rflags & RFLAGS_TF)
        retire(m);
}

/* The emulator has completed one, or has queued the fault that it raised. */
static void after_emulation(struct machine *m)
{
    const WHV_VP_EXIT_CONTEXT *vp = &m->exit.VpContext;

    m->state_known = false;
    if ((m->has_shadow || vp->Rflags & RFLAGS_TF) && refresh_state(m) && !m->has_event)
        retire(m);
}

static void after_devices(struct machine *m)
{
    check_devices(m);
    if (m->bus.timed_write)
        schedule(m);
}

static void end_emulation(struct machine *m, const char *what, HRESULT result, WHV_EMULATOR_STATUS status)
{
    char text[200];

    if (status.InterruptCausedIntercept)
        snprintf(text, sizeof text,
                 "an interrupt or exception could not be delivered (its tables or stack are where "
                 "no memory is)");
    else
        snprintf(text, sizeof text, "%s could not be emulated (result %08x, status %x)", what,
                 (unsigned)result, status.AsUINT32);
    end_explained(m, "the emulator gave up", text);
}

static void on_port(struct machine *m)
{
    const WHV_X64_IO_PORT_ACCESS_CONTEXT *io = &m->exit.IoPortAccess;
    unsigned size = io->AccessInfo.AccessSize;
    WHV_EMULATOR_STATUS status = {0};

    if (io->AccessInfo.StringOp) {
        HRESULT result = WHvEmulatorTryIoEmulation(m->emulator, m, &m->exit.VpContext, io, &status);

        if (result != S_OK || !status.EmulationSuccessful)
            end_emulation(m, "a string port instruction", result, status);
        else
            after_emulation(m);
    } else if (io->AccessInfo.IsWrite) {
        bus_write(&m->bus, io->PortNumber, size, (uint32_t)io->Rax);
        complete(m);
    } else {
        uint64_t value = bus_read(&m->bus, io->PortNumber, size);

        if (size == 1)
            value |= io->Rax & ~UINT64_C(0xff);
        else if (size == 2)
            value |= io->Rax & ~UINT64_C(0xffff);
        write_number(m, WHvX64RegisterRax, value);
        complete(m);
    }
    after_devices(m);
}

static void on_memory(struct machine *m)
{
    const WHV_MEMORY_ACCESS_CONTEXT *access = &m->exit.MemoryAccess;
    WHV_EMULATOR_STATUS status = {0};
    HRESULT result;

    if (access->AccessInfo.AccessType == WHvMemoryAccessExecute) {
        char text[100];

        snprintf(text, sizeof text,
                 "the guest went to physical address %#" PRIx64 ", where there is no memory,",
                 (uint64_t)access->Gpa);
        end_explained(m, "the guest went where no memory is", text);
        return;
    }
    result = WHvEmulatorTryMmioEmulation(m->emulator, m, &m->exit.VpContext, access, &status);
    if (result != S_OK || !status.EmulationSuccessful) {
        char text[100];

        snprintf(text, sizeof text, "an access to physical address %#" PRIx64, (uint64_t)access->Gpa);
        end_emulation(m, text, result, status);
    } else {
        after_emulation(m);
    }
    after_devices(m);
}

static void on_halt(struct machine *m)
{
    terminal_flush(&m->terminal);
    if (!m->can_interrupt_flag) {
        machine_end(m, STATUS_WELL, "HLT with interrupts off");
        return;
    }
    m->has_shadow = false; /* HLT has retired */
    m->halted = true;
    m->has_halted = true;
}

/* An x87 exception with CR0.NE clear. It stands still until any interrupt, of which this raises one. */
static void on_freeze(struct machine *m)
{
    terminal_flush(&m->terminal);
    pic_set_line(&m->pic, IRQ_COPROCESSOR, true);
    if (!m->can_interrupt_flag) {
        problem_is(&m->problem, STATUS_BADLY,
                   "the guest froze at %04x:%" PRIx64 " at an x87 exception, with interrupts off",
                   m->exit.VpContext.Cs.Selector, m->exit.VpContext.Rip);
        machine_end(m, STATUS_BADLY, "the guest is frozen");
        return;
    }
    m->halted = true;
    m->has_halted = true;
}

static void on_count(struct machine *m)
{
    UINT64 count = 0;

    if (m->options->max_insns != UINT64_MAX) {
        SwhpGetInstructionCount(m->partition, 0, &count);
        if (count >= m->options->max_insns) {
            machine_end(m, STATUS_WELL, "--max-insns was reached");
            return;
        }
    }
    serve_devices(m);
}

static void on_exit_of(struct machine *m)
{
    const WHV_VP_EXIT_CONTEXT *vp = &m->exit.VpContext;

    m->can_interrupt_flag = vp->Rflags & RFLAGS_IF;
    m->has_shadow = vp->ExecutionState.InterruptShadow;
    m->has_event = vp->ExecutionState.InterruptionPending;
    m->state_known = true;
    machine_count_exit(m, m->exit.ExitReason);

    switch ((int)m->exit.ExitReason) {
    case WHvRunVpExitReasonX64IoPortAccess:
        on_port(m);
        break;
    case WHvRunVpExitReasonMemoryAccess:
        on_memory(m);
        break;
    case WHvRunVpExitReasonX64Halt:
        on_halt(m);
        break;
    case WHvRunVpExitReasonX64InterruptWindow:
        m->window_armed = false;
        break;
    case (int)SwhpRunVpExitReasonCount:
        on_count(m);
        break;
    case (int)SwhpRunVpExitReasonFerrFreeze:
        on_freeze(m);
        break;
    case WHvRunVpExitReasonCanceled:
        check_user(m);
        serve_devices(m);
        break;
    case WHvRunVpExitReasonUnrecoverableException:
        end_explained(m, "a triple fault", "the guest ended in a triple fault");
        break;
    case WHvRunVpExitReasonInvalidVpRegisterValue:
        end_explained(m, "an invalid processor state", "the processor's state became invalid");
        break;
    case WHvRunVpExitReasonUnsupportedFeature:
        end_explained(m, "something unsupported", "the guest did what this processor doesn't support");
        break;
    default: {
        char text[60];

        snprintf(text, sizeof text, "the processor left for the unknown reason %#x",
                 (unsigned)m->exit.ExitReason);
        end_explained(m, "an unknown exit", text);
        break;
    }
    }
}

/* ---- The loop ---- */

static void loop(struct machine *m)
{
    while (!m->ended) {
        HRESULT result;

        if (m->halted && !pic_is_requesting(&m->pic)) {
            wait_for_interrupt(m);
            continue;
        }
        m->halted = false;
        if (pic_is_requesting(&m->pic))
            offer_interrupt(m);
        if (!machine_flush_writes(m))
            break;
        result = SwhpRunVirtualProcessorUntil(m->partition, 0, m->until, &m->exit, sizeof m->exit);
        if (result != S_OK) {
            machine_fail(m, "SwhpRunVirtualProcessorUntil", result);
            break;
        }
        on_exit_of(m);
    }
    machine_flush_writes(m);
}

void machine_run(struct machine *m)
{
    UINT64 clock = 0, count = 0;

    if (!helpers_start(m, &m->problem)) {
        machine_end(m, m->problem.status, "it could not start");
    } else if (machine_make_emulator(m)) {
        terminal_open(&m->terminal); /* after the signals that would end us are caught */
        if (m->terminal.is_raw && isatty(STDERR_FILENO))
            fprintf(stderr, "softwhp: Ctrl-A x leaves\n");
        m->state_known = false;
        SwhpGetClock(m->partition, &clock);
        SwhpGetInstructionCount(m->partition, 0, &count);
        m->offset = clock - count;
        m->poll_time = POLL_EVERY_NS;
        schedule(m);
        loop(m);
    }
    helpers_stop(m);
    terminal_close(&m->terminal);
    if (m->terminal.output_error)
        machine_lost(m, "standard output", m->terminal.output_error);
}
