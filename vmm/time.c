/* SPDX-License-Identifier: MIT */
/*
 * The machine's time: when its devices want to be looked at, and how a halted guest waits.
 */
#include <inttypes.h>
#include <time.h>

#include "machine.h"

#define POLL_EVERY_NS UINT64_C(10000000)   /* how often input is looked for, in device time, */
#define REFILL_EVERY_NS UINT64_C(1000000)  /* and how often while there is more than the port took */

uint64_t machine_now(void *context)
{
    const struct machine *machine = context;
    UINT64 clock = 0;

    SwhpGetClock(machine->partition, &clock);
    return (uint64_t)((unsigned __int128)clock * machine->ns_per_count >> 32);
}

uint64_t machine_counts(const struct machine *machine, uint64_t time)
{
    unsigned __int128 scaled = (unsigned __int128)time << 32;
    unsigned __int128 counts = (scaled + machine->ns_per_count - 1) / machine->ns_per_count;

    return counts > UINT64_MAX ? UINT64_MAX : (uint64_t)counts;
}

uint64_t machine_instructions(const struct machine *machine)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < machine->processor_count; i++) {
        UINT64 count = 0;

        SwhpGetInstructionCount(machine->partition, i, &count);
        sum += count;
    }
    return sum;
}

/* The first of the deadlines, translated into a count. */
void machine_schedule(struct machine *m)
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

void machine_serve(struct machine *m)
{
    uint64_t now = machine_now(m);

    pit_update(&m->pit, now);
    rtc_update(&m->rtc, now);
    if (now >= m->poll_time) {
        terminal_flush(&m->terminal);
        poll_input(m, now);
        /* A trace on the same terminal is progress enough. */
        terminal_progress(&m->terminal, !m->has_halted && m->trace != stderr, machine_instructions(m),
                          m->started);
        m->has_halted = false;
        machine_check_user(m);
    }
    machine_schedule(m);
}

void machine_start_time(struct machine *m)
{
    UINT64 clock = 0;

    SwhpGetClock(m->partition, &clock);
    m->offset = clock - machine_instructions(m);
    m->poll_time = POLL_EVERY_NS;
    machine_schedule(m);
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

void machine_wait(struct machine *m)
{
    uint64_t now = machine_now(m);
    uint64_t left = m->deadline > now ? m->deadline - now : 0;
    bool waits_for_user = !m->terminal.at_eof && !m->terminal.input_count && serial_listens(&m->serial);

    if (!can_wake(m)) {
        problem_is(&m->problem, STATUS_BADLY,
                   "the guest %s at %04x:%" PRIx64 " to wait for an interrupt, and no device is set up to send one",
                   m->current->exit.ExitReason == SwhpRunVpExitReasonFerrFreeze ? "froze" : "halted",
                   m->current->exit.VpContext.Cs.Selector, m->current->exit.VpContext.Rip);
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
    machine_check_user(m);
    machine_serve(m);
}

