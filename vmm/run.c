/* SPDX-License-Identifier: MIT */
/*
 * The loop: a processor runs, and its exit is answered, until something ends the machine.
 */
#include <unistd.h>

#include "machine.h"

void machine_fail(struct machine *m, const char *call, HRESULT result)
{
    platform_problem(&m->problem, STATUS_BADLY, call, result);
    machine_end(m, STATUS_BADLY, "the platform refused a call");
}

/* Devices raise flags, since they don't know the machine. */
void machine_check_devices(struct machine *m)
{
    if (m->acpi.wants_power_off)
        machine_end(m, STATUS_WELL, "the guest powered off");
    if (m->keyboard.wants_reset)
        machine_end(m, STATUS_WELL, "the guest reset the machine");
}

void machine_check_user(struct machine *m)
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

/* Up to the end of its next exit. */
static bool turn(struct processor *cpu)
{
    struct machine *m = cpu->machine;
    HRESULT result;

    if (cpu->halted && !pic_is_requesting(&m->pic)) {
        machine_wait(m);
        return true;
    }
    cpu->halted = false;
    if (pic_is_requesting(&m->pic))
        processor_offer(cpu);
    if (!processor_flush(cpu))
        return false;
    result = SwhpRunVirtualProcessorUntil(m->partition, cpu->index, m->until, &cpu->exit, sizeof cpu->exit);
    if (result != S_OK) {
        machine_fail(m, "SwhpRunVirtualProcessorUntil", result);
        return false;
    }
    processor_exited(cpu);
    return true;
}

static void loop(struct processor *cpu)
{
    while (!cpu->machine->ended && turn(cpu))
        ;
    processor_flush(cpu);
}

void machine_run(struct machine *m)
{
    if (!helpers_start(m, &m->problem)) {
        machine_end(m, m->problem.status, "it could not start");
    } else if (machine_make_emulator(m)) {
        terminal_open(&m->terminal); /* after the signals that would end us are caught */
        if (m->terminal.is_raw && isatty(STDERR_FILENO))
            fprintf(stderr, "softwhp: Ctrl-A x leaves\n");
        m->current = &m->processors[0];
        machine_start_time(m);
        loop(&m->processors[0]);
    }
    helpers_stop(m);
    terminal_close(&m->terminal);
    if (m->terminal.output_error)
        machine_lost(m, "standard output", m->terminal.output_error);
}
