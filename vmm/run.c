/* SPDX-License-Identifier: MIT */
/*
 * The loop: a processor runs, and its exit is answered, until something ends the machine.
 */
#include <time.h>
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
        machine_reset(m, STATUS_WELL, "the guest reset the machine");
}

int machine_signal(const struct machine *m)
{
    return __atomic_load_n(&m->helpers.signal_seen, __ATOMIC_ACQUIRE);
}

void machine_check_user(struct machine *m)
{
    int number = machine_signal(m);

    if (number) {
        machine_end(m, 128 + number, "a signal ended it");
    } else if (m->terminal.wants_interrupt) {
        machine_end(m, STATUS_INTERRUPTED, "Ctrl-C ended it");
    } else if (m->terminal.wants_leave) {
        machine_end(m, STATUS_INTERRUPTED, "Ctrl-A x ended it");
    } else if (m->terminal.output_error) {
        machine_end(m, STATUS_HOST, "standard output is gone");
    }
}

/* Frozen at an x87 exception, and no interrupt has come; or halted, without a local APIC. */
static void wait_outside(struct processor *cpu)
{
    struct machine *m = cpu->machine;

    if (!m->is_threaded) {
        machine_wait(m);
        cpu->halted = !m->has_apic;
        return;
    }
    pthread_mutex_unlock(&m->lock);
    nanosleep(&(struct timespec){0, 50000}, NULL);
    pthread_mutex_lock(&m->lock);
    cpu->halted = false;
}

/* Who is to take a new request of the 8259A may be in the midst of its Run, or asleep there. */
static void tell_pic_target(struct processor *cpu)
{
    struct machine *m = cpu->machine;
    bool is_requesting = pic_is_requesting(&m->pic);

    if (is_requesting && !m->pic_is_told) {
        unsigned target = machine_pic_target(m);

        if (target != cpu->index)
            WHvCancelRunVirtualProcessor(m->partition, target, 0);
    }
    m->pic_is_told = is_requesting;
}

static HRESULT run(struct processor *cpu)
{
    struct machine *m = cpu->machine;
    uint64_t until = m->until;
    HRESULT result;

    if (!m->is_threaded)
        return SwhpRunVirtualProcessorUntil(m->partition, cpu->index, until, &cpu->exit, sizeof cpu->exit);
    tell_pic_target(cpu);
    pthread_mutex_unlock(&m->lock);
    result = SwhpRunVirtualProcessorUntil(m->partition, cpu->index, until, &cpu->exit, sizeof cpu->exit);
    pthread_mutex_lock(&m->lock);
    m->current = cpu;
    return result;
}

/* Up to the end of its next exit. */
static bool turn(struct processor *cpu)
{
    struct machine *m = cpu->machine;
    HRESULT result;

    if (cpu->halted && !pic_is_requesting(&m->pic)) {
        wait_outside(cpu);
        return true;
    }
    cpu->halted = false;
    if (cpu->index == 0)
        processor_lint0(cpu);
    if (pic_is_requesting(&m->pic) && machine_pic_target(m) == cpu->index)
        processor_offer(cpu);
    if (!processor_flush(cpu))
        return false;
    result = run(cpu);
    if (m->ended) /* by another's thread: nobody waits for this exit's answer */
        return false;
    if (result != S_OK) {
        machine_fail(m, "SwhpRunVirtualProcessorUntil", result);
        return false;
    }
    if (m->has_apic && !m->options->host_clock)
        machine_note_leaps(m);
    processor_exited(cpu);
    return true;
}

static void loop(struct processor *cpu)
{
    while (!cpu->machine->ended && turn(cpu))
        ;
    processor_flush(cpu);
}

/* ---- Turns ---- */

/* Up to the end of the next exit of any processor. */
static bool turn_of_all(struct machine *m)
{
    WHV_RUN_VP_EXIT_CONTEXT context;
    struct processor *cpu;
    UINT32 index = 0;
    HRESULT result;

    if (m->current->halted) { /* frozen at an x87 exception, while all others may sleep */
        machine_wait(m);
        m->current->halted = false;
    }
    processor_lint0(&m->processors[0]);
    if (pic_is_requesting(&m->pic))
        processor_offer(&m->processors[machine_pic_target(m)]);
    for (unsigned i = 0; i < m->processor_count; i++)
        if (!processor_flush(&m->processors[i]))
            return false;
    result = SwhpRunPartition(m->partition, m->until, &index, &context, sizeof context);
    if (result != S_OK) {
        machine_fail(m, "SwhpRunPartition", result);
        return false;
    }
    cpu = m->current = &m->processors[index];
    cpu->exit = context;
    processor_exited(cpu);
    return true;
}

static void loop_over_all(struct machine *m)
{
    while (!m->ended && turn_of_all(m))
        ;
    for (unsigned i = 0; i < m->processor_count; i++)
        processor_flush(&m->processors[i]);
}

/* ---- Threads ---- */

static void *run_thread(void *context)
{
    struct processor *cpu = context;
    struct machine *m = cpu->machine;

    pthread_mutex_lock(&m->lock);
    loop(cpu);
    for (unsigned i = 0; i < m->processor_count; i++) /* a cancel that comes too early is kept for the next Run */
        if (i != cpu->index)
            WHvCancelRunVirtualProcessor(m->partition, i, 0);
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

static void run_threads(struct machine *m)
{
    for (unsigned i = 1; i < m->processor_count && !m->ended; i++) {
        struct processor *cpu = &m->processors[i];

        cpu->has_thread = pthread_create(&cpu->thread, NULL, run_thread, cpu) == 0;
        if (!cpu->has_thread) {
            problem_is(&m->problem, STATUS_HOST, "the host can't start a thread");
            machine_end(m, STATUS_HOST, "it could not start");
        }
    }
    run_thread(&m->processors[0]);
    for (unsigned i = 1; i < m->processor_count; i++)
        if (m->processors[i].has_thread)
            pthread_join(m->processors[i].thread, NULL);
}

/* From a start to the next, or to the end. */
static void run_once(struct machine *m)
{
    if (!helpers_start(m, &m->problem)) {
        machine_end(m, m->problem.status, "it could not start");
    } else if (machine_make_emulator(m)) {
        if (!m->restarts) /* after the signals that would end us are caught */
            terminal_open(&m->terminal);
        if (!m->restarts && m->terminal.is_raw && isatty(STDERR_FILENO))
            fprintf(stderr, "softwhp: Ctrl-A x leaves\n");
        m->current = &m->processors[0];
        machine_start_time(m);
        if (m->is_threaded)
            run_threads(m);
        else if (m->is_in_turns)
            loop_over_all(m);
        else
            loop(&m->processors[0]);
    }
    helpers_stop(m);
}

static bool starts_again(struct machine *m)
{
    if (!m->was_reset || m->restarts >= m->options->restarts)
        return false;
    m->ended = false; /* unless the user has asked for it at the same time */
    machine_check_user(m);
    if (m->ended)
        return false;
    terminal_flush(&m->terminal);
    machine_tell(m);
    return machine_make_again(m);
}

void machine_run(struct machine *m)
{
    do
        run_once(m);
    while (starts_again(m));
    terminal_close(&m->terminal);
    if (m->terminal.output_error)
        machine_lost(m, "standard output", m->terminal.output_error);
}
