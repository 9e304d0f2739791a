/* SPDX-License-Identifier: MIT */
/*
 * The machine's time: when its devices want to be looked at, and how a halted guest waits.
 */
#include <inttypes.h>
#include <time.h>

#include "machine.h"

enum { RFLAGS_IF = 0x200, LVT_MASKED = 0x10000, LVT_TIMER_MODE = 0x60000, LVT_TIMER_DEADLINE = 0x40000 };

#define POLL_EVERY_NS UINT64_C(10000000)   /* how often input is looked for, in device time, */
#define REFILL_EVERY_NS UINT64_C(1000000)  /* and how often while there is more than the port took */
#define FREEZE_NS UINT64_C(1000)           /* what passes at once for a processor with FERR# up and an APIC */
#define LOOK_EVERY_NS UINT64_C(100000000)  /* how often sleepers are looked at on the host's clock, */
#define SLEEP_NS UINT64_C(500000000)       /* and how long all must be asleep to be so for good */

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

uint64_t machine_instructions(void *context)
{
    const struct machine *machine = context;
    uint64_t sum = 0;

    for (unsigned i = 0; i < machine->processor_count; i++) {
        UINT64 count = 0;

        SwhpGetInstructionCount(machine->partition, i, &count);
        sum += count;
    }
    return sum;
}

/* On the virtual clock alone. */
void machine_spend(struct machine *m, uint64_t ns)
{
    uint64_t counts = machine_counts(m, ns);
    HRESULT result;

    if (m->options->host_clock)
        return;
    result = SwhpAdvanceClock(m->partition, counts);
    if (result != S_OK)
        machine_fail(m, "SwhpAdvanceClock", result);
    m->offset += counts;
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
    if (m->is_in_turns) {
        m->until = counts;
        if (m->options->max_insns != UINT64_MAX) { /* the clock takes leaps too, so it is there before the count is */
            UINT64 clock = 0, done = machine_instructions(m), left;

            SwhpGetClock(m->partition, &clock);
            left = m->options->max_insns > done ? m->options->max_insns - done : 0;
            if (counts > clock && counts - clock > left)
                m->until = clock + left;
        }
        return;
    }
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

/* Who waits for a person, or for a pipe, needn't wait faster than the clock on the wall. */
static bool waits_for_user(const struct machine *m)
{
    return !m->terminal.at_eof && !m->terminal.input_count && serial_listens(&m->serial);
}

/* What slept inside Run, on the virtual clock, waits here for the user. */
static void wait_for_user(struct machine *m)
{
    uint64_t leapt = (uint64_t)((unsigned __int128)m->leapt * m->ns_per_count >> 32);

    m->leapt = 0;
    m->has_halted = true;
    if (waits_for_user(m) && terminal_wait(&m->terminal, leapt))
        m->poll_time = 0;
}

void machine_serve(struct machine *m)
{
    uint64_t now = machine_now(m);

    if (m->leapt)
        wait_for_user(m);

    pit_update(&m->pit, now);
    rtc_update(&m->rtc, now);
    if (now >= m->poll_time) {
        terminal_flush(&m->terminal);
        poll_input(m, now);
        /* A trace on the same terminal is progress enough. */
        terminal_progress(&m->terminal, !m->has_halted && m->trace != stderr, machine_instructions, m, m->started);
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

/* Could a request on this line reach a processor, as the masks are now? */
static bool lets_through(const struct machine *m, unsigned irq)
{
    return pic_lets_through(&m->pic, irq) || (m->has_apic && ioapic_lets_through(&m->ioapic, irq));
}

/* Can any device that this machine has still wake a halted processor? */
static bool can_wake(const struct machine *m)
{
    if (pit_deadline(&m->pit) != UINT64_MAX && lets_through(m, 0))
        return true;
    if (rtc_deadline(&m->rtc) != UINT64_MAX && lets_through(m, 8))
        return true;
    return serial_listens(&m->serial) && lets_through(m, m->serial.irq) &&
           (!m->terminal.at_eof || m->terminal.input_count);
}

void machine_wait(struct machine *m)
{
    uint64_t now = machine_now(m);
    uint64_t left = m->deadline > now ? m->deadline - now : 0;
    bool for_user = waits_for_user(m);

    if (m->has_apic) {
        /* Frozen at an x87 exception: the local APIC's timer may be the first to do something about it. */
        if (left > FREEZE_NS)
            left = FREEZE_NS;
    } else if (!can_wake(m)) {
        problem_is(&m->problem, STATUS_BADLY,
                   "the guest %s at %04x:%" PRIx64 " to wait for an interrupt, and no device is set up to send one",
                   m->current->exit.ExitReason == SwhpRunVpExitReasonFerrFreeze ? "froze" : "halted",
                   m->current->exit.VpContext.Cs.Selector, m->current->exit.VpContext.Rip);
        machine_end(m, STATUS_BADLY, "the guest waits forever");
        return;
    }
    /* Input ends the wait early, and so does it on the host's clock. */
    if ((for_user || m->options->host_clock) && left && terminal_wait(&m->terminal, left)) {
        if (for_user)
            poll_input(m, now);
        else if (m->options->host_clock) /* nobody takes that input yet; don't spin on it */
            nanosleep(&(struct timespec){0, (long)(left < 999999999 ? left : 999999999)}, NULL);
    } else if (!m->options->host_clock) {
        UINT64 clock = 0, counts = machine_counts(m, now + left);

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

/* ---- With local APICs ---- */

void machine_note_leaps(struct machine *m)
{
    UINT64 clock = 0;
    uint64_t offset;

    SwhpGetClock(m->partition, &clock);
    offset = clock - machine_instructions(m);
    if (offset == m->offset)
        return;
    m->leapt += offset - m->offset;
    m->offset = offset;
    machine_schedule(m);
}

/* What of WHvVirtualProcessorStateTypeSynicTimerState is looked at here. */
enum { SYNTHETIC_TIMERS = 4, TIMER_ENABLED = 1 };
struct timers_state {
    struct {
        uint64_t is_queued, config, count, adjustment, expired;
    } timer[SYNTHETIC_TIMERS];
    uint64_t reserved[5];
};

/* One that has expired for good isn't enabled any more. */
static bool has_synthetic_timer(struct machine *m, const struct processor *cpu)
{
    struct timers_state state;

    if (!m->options->hyperv || WHvGetVirtualProcessorState(m->partition, cpu->index,
                                                           WHvVirtualProcessorStateTypeSynicTimerState, &state,
                                                           sizeof state, NULL) != S_OK)
        return false;
    for (unsigned i = 0; i < SYNTHETIC_TIMERS; i++)
        if (state.timer[i].config & TIMER_ENABLED && state.timer[i].count)
            return true;
    return false;
}

enum sleep { AWAKE, SLEEPS, SLEEPS_DEEPLY };

/* A platform of an older level has no name for the deadline, so one may be set. */
static bool has_apic_timer(struct machine *m, const struct processor *cpu, uint64_t lvt, uint64_t count)
{
    WHV_REGISTER_NAME name = WHvX64RegisterTscDeadline;
    WHV_REGISTER_VALUE deadline;

    if (lvt & LVT_MASKED)
        return false;
    if ((lvt & LVT_TIMER_MODE) != LVT_TIMER_DEADLINE)
        return count;
    return WHvGetVirtualProcessorRegisters(m->partition, cpu->index, &name, 1, &deadline) != S_OK || deadline.Reg64;
}

/* Will its own timers, or anybody's interrupt, end its sleep? Those that wait for a start-up sleep deeply too. */
static enum sleep sleep_of(struct machine *m, const struct processor *cpu)
{
    static const WHV_REGISTER_NAME names[] = {WHvRegisterInternalActivityState, WHvX64RegisterRflags,
                                              WHvX64RegisterApicLvtTimer, WHvX64RegisterApicCurrentCount};
    WHV_REGISTER_VALUE values[4];

    if (WHvGetVirtualProcessorRegisters(m->partition, cpu->index, names, 4, values) != S_OK)
        return AWAKE;
    if (values[0].InternalActivity.StartupSuspend)
        return SLEEPS_DEEPLY;
    if (!values[0].InternalActivity.HaltSuspend)
        return AWAKE;
    if (!(values[1].Reg64 & RFLAGS_IF))
        return SLEEPS_DEEPLY;
    if (has_apic_timer(m, cpu, values[2].Reg64, values[3].Reg64))
        return AWAKE;
    return has_synthetic_timer(m, cpu) ? AWAKE : SLEEPS;
}

/* On the host's clock one whose thread hasn't got to run yet may look asleep, though a message has woken it. */
static bool have_slept_long(struct machine *m, uint64_t since, uint64_t instructions)
{
    uint64_t now = host_time();

    if (!m->options->host_clock)
        return true;
    m->asleep_since = since && m->asleep_count == instructions ? since : now;
    m->asleep_count = instructions;
    return now - m->asleep_since >= SLEEP_NS;
}

void machine_check_sleepers(struct machine *m)
{
    uint64_t before, since;
    enum sleep all = SLEEPS_DEEPLY;

    if (pic_is_requesting(&m->pic)) /* and is about to be heard */
        return;
    if (m->options->host_clock) {
        uint64_t now = host_time();

        if (now < m->look_time)
            return;
        m->look_time = now + LOOK_EVERY_NS;
    }
    since = m->asleep_since;
    m->asleep_since = 0;
    if (sleep_of(m, &m->processors[0]) == AWAKE)
        return;
    before = machine_instructions(m);
    for (unsigned i = 0; i < m->processor_count; i++) {
        enum sleep one = sleep_of(m, &m->processors[i]);

        if (one == AWAKE)
            return;
        if (one < all)
            all = one;
    }
    if (machine_instructions(m) != before) /* one was awake while others were looked at */
        return;
    if ((can_wake(m) && (all == SLEEPS || machine_has_nmi(m))) || !have_slept_long(m, since, before))
        return;
    if (all == SLEEPS_DEEPLY) {
        machine_end(m, STATUS_WELL, "HLT with interrupts off");
    } else {
        problem_is(&m->problem, STATUS_BADLY,
                   "the guest halted at %04x:%" PRIx64
                   "%s to wait for an interrupt, and no device is set up to send one",
                   m->processors[0].exit.VpContext.Cs.Selector, m->processors[0].exit.VpContext.Rip,
                   m->processors[0].on);
        machine_end(m, STATUS_BADLY, "the guest waits forever");
    }
}
