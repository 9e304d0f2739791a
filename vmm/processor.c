/* SPDX-License-Identifier: MIT */
/*
 * One processor from outside: the registers that it is to be told before it runs again, and the interrupts of the
 * controllers.
 */
#include <assert.h>

#include "machine.h"

enum {
    RFLAGS_IF = 0x200,
    APIC_BASE_ENABLED = 0x800,
    APIC_BASE_X2 = 0x400,
    LVT_DELIVERY = 0x700,
    LVT_FIXED = 0x000,
    LVT_NMI = 0x400,
    LVT_INIT = 0x500,
    LVT_EXTINT = 0x700,
    LVT_LEVEL = 0x8000,
    LVT_MASKED = 0x10000,
};

/* ---- Registers ---- */

void processor_write(struct processor *cpu, WHV_REGISTER_NAME name, WHV_REGISTER_VALUE value)
{
    assert(cpu->writes < MACHINE_WRITES);
    cpu->names[cpu->writes] = name;
    cpu->values[cpu->writes++] = value;
}

void processor_write_number(struct processor *cpu, WHV_REGISTER_NAME name, uint64_t value)
{
    WHV_REGISTER_VALUE v = {0};

    v.Reg64 = value;
    processor_write(cpu, name, v);
}

bool processor_flush(struct processor *cpu)
{
    HRESULT result;

    if (!cpu->writes)
        return true;
    result = WHvSetVirtualProcessorRegisters(cpu->machine->partition, cpu->index, cpu->names, cpu->writes, cpu->values);
    cpu->writes = 0;
    if (result != S_OK)
        machine_fail(cpu->machine, "WHvSetVirtualProcessorRegisters", result);
    return result == S_OK;
}

/* ---- Its state ---- */

bool processor_refresh(struct processor *cpu)
{
    static const WHV_REGISTER_NAME names[] = {
        WHvX64RegisterRflags,   WHvRegisterInterruptState,        WHvRegisterPendingInterruption,
        WHvRegisterPendingEvent, WHvRegisterInternalActivityState};
    WHV_REGISTER_VALUE values[5];
    HRESULT result;

    if (!processor_flush(cpu))
        return false;
    result = WHvGetVirtualProcessorRegisters(cpu->machine->partition, cpu->index, names, 5, values);
    if (result != S_OK) {
        machine_fail(cpu->machine, "WHvGetVirtualProcessorRegisters", result);
        return false;
    }
    cpu->can_interrupt_flag = values[0].Reg64 & RFLAGS_IF;
    cpu->has_shadow = values[1].InterruptState.InterruptShadow;
    cpu->has_event = values[2].PendingInterruption.InterruptionPending || values[3].ExceptionEvent.EventPending;
    cpu->asleep = values[4].InternalActivity.HaltSuspend;
    cpu->has_ext_int &= cpu->has_event;
    cpu->state_known = true;
    return true;
}

/* ---- The 8259A's interrupts ---- */

struct lint0 {
    bool has_apic, is_x2; /* the APIC is on */
    uint32_t id, lvt;
};

static bool read_lint0(struct processor *cpu, struct lint0 *l)
{
    static const WHV_REGISTER_NAME names[] = {WHvX64RegisterApicBase, WHvX64RegisterApicLvtLint0,
                                              WHvX64RegisterApicId};
    WHV_REGISTER_VALUE values[3];
    HRESULT result;

    if (!processor_flush(cpu))
        return false;
    result = WHvGetVirtualProcessorRegisters(cpu->machine->partition, cpu->index, names, 3, values);
    if (result != S_OK) {
        machine_fail(cpu->machine, "WHvGetVirtualProcessorRegisters", result);
        return false;
    }
    l->has_apic = values[0].Reg64 & APIC_BASE_ENABLED;
    l->is_x2 = values[0].Reg64 & APIC_BASE_X2;
    l->lvt = (uint32_t)values[1].Reg64;
    l->id = l->is_x2 ? (uint32_t)values[2].Reg64 : (uint32_t)values[2].Reg64 >> 24;
    return true;
}

/* Does its LINT0 let them in? With the APIC off the pin is a processor's INTR. */
static bool lint0_is_open(struct processor *cpu)
{
    struct lint0 l;

    return read_lint0(cpu, &l) && (!l.has_apic || (l.lvt & (LVT_MASKED | LVT_DELIVERY)) == LVT_EXTINT);
}

static WHV_INTERRUPT_DESTINATION_MODE mode_of(const struct ioapic_message *message)
{
    return message->is_logical ? WHvX64InterruptDestinationModeLogical : WHvX64InterruptDestinationModePhysical;
}

/* Everybody has another number for those that are in x2APIC mode. */
static uint32_t destination_of(const struct ioapic_message *message)
{
    return message->destination == 0xff && !message->is_logical ? UINT32_MAX : message->destination;
}

/* The processor that an input of the I/O APIC has ask for the 8259A's vector; false: there is none. */
static bool by_ioapic(struct machine *m, unsigned *index)
{
    struct ioapic_message message;
    UINT32 targets[MACHINE_PROCESSORS], count = 0;

    if (!m->has_apic || !ioapic_ext_int(&m->ioapic, &message) ||
        WHvGetInterruptTargetVpSet(m->partition, destination_of(&message), mode_of(&message), targets,
                                   MACHINE_PROCESSORS, &count) != S_OK ||
        !count)
        return false;
    *index = targets[0];
    return true;
}

/* A local APIC is given the vector and delivers it when it can. One that sleeps must be woken by hand: whp.md 5.5. */
static void inject_ext_int(struct processor *cpu)
{
    WHV_REGISTER_VALUE event = {0};

    event.ExtIntEvent.EventPending = 1;
    event.ExtIntEvent.EventType = WHvX64PendingEventExtInt;
    event.ExtIntEvent.Vector = pic_acknowledge(&cpu->machine->pic);
    processor_write(cpu, WHvRegisterPendingEvent, event);
    if (cpu->asleep)
        processor_write_number(cpu, WHvRegisterInternalActivityState, 0);
    cpu->asleep = false;
    cpu->has_ext_int = true;
}

static void inject(struct processor *cpu)
{
    WHV_REGISTER_VALUE event = {0};

    if (cpu->machine->has_apic) {
        inject_ext_int(cpu);
    } else {
        event.PendingInterruption.InterruptionPending = 1;
        event.PendingInterruption.InterruptionType = WHvX64PendingInterrupt;
        event.PendingInterruption.InterruptionVector = pic_acknowledge(&cpu->machine->pic);
        processor_write(cpu, WHvRegisterPendingInterruption, event);
    }
    if (cpu->window_armed)
        processor_write_number(cpu, WHvX64RegisterDeliverabilityNotifications, 0);
    cpu->window_armed = false;
    cpu->has_event = true;
}

void processor_offer(struct processor *cpu)
{
    WHV_REGISTER_VALUE window = {0};

    if (cpu->machine->has_apic) { /* exits don't show all of it */
        unsigned target;

        if (!by_ioapic(cpu->machine, &target) && !lint0_is_open(cpu))
            return;
        cpu->state_known = false;
    }
    if (!cpu->state_known && !processor_refresh(cpu))
        return;
    if (cpu->can_interrupt_flag && !cpu->has_shadow && !cpu->has_event) {
        inject(cpu);
    } else if (!cpu->window_armed) {
        window.DeliverabilityNotifications.InterruptNotification = 1;
        processor_write(cpu, WHvX64RegisterDeliverabilityNotifications, window);
        cpu->window_armed = true;
    }
}

/* ---- Local APICs ---- */

unsigned machine_pic_target(struct machine *m)
{
    unsigned index = 0;

    by_ioapic(m, &index);
    return index;
}

void machine_see_pic(void *context, bool high)
{
    struct machine *m = context;

    if (!high)
        return;
    m->pic_rose = true;
    m->pic_is_told = false;
}

bool machine_has_nmi(struct machine *m)
{
    struct lint0 l;

    return ioapic_has_nmi(&m->ioapic) || (read_lint0(&m->processors[0], &l) && l.has_apic &&
                                          (l.lvt & (LVT_MASKED | LVT_DELIVERY)) == LVT_NMI);
}

void machine_end_lint0(struct machine *m, uint8_t vector)
{
    if (m->lint0_level != vector)
        return;
    m->lint0_level = -1;
    m->lint0_moved = true;
}

/* Is a level that LINT0 has sent still to end? An INIT, or turning the APIC off, takes it from there without an end. */
static bool has_level(struct processor *cpu)
{
    const int vector = cpu->machine->lint0_level, word = vector / 32;
    const WHV_REGISTER_NAME names[] = {(WHV_REGISTER_NAME)(WHvX64RegisterApicIrr0 + word),
                                       (WHV_REGISTER_NAME)(WHvX64RegisterApicIsr0 + word)};
    WHV_REGISTER_VALUE values[2];
    HRESULT result;

    if (vector < 0)
        return false;
    result = WHvGetVirtualProcessorRegisters(cpu->machine->partition, cpu->index, names, 2, values);
    if (result != S_OK)
        machine_fail(cpu->machine, "WHvGetVirtualProcessorRegisters", result);
    return result != S_OK || (values[0].Reg64 | values[1].Reg64) >> vector % 32 & 1;
}

/* Its other modes send a message, as if from a device at the pin: on the line's rise, and a level while the line is up
 * and no other is on its way. There is nothing that an SMI would enter. */
void processor_lint0(struct processor *cpu)
{
    struct machine *m = cpu->machine;
    struct ioapic_message message = {0};
    bool rose = m->pic_rose;
    struct lint0 l;

    if (!rose && !m->lint0_moved)
        return;
    m->pic_rose = m->lint0_moved = false;
    if (!read_lint0(cpu, &l) || !l.has_apic || l.lvt & LVT_MASKED)
        return;
    switch (l.lvt & LVT_DELIVERY) {
    case LVT_FIXED:
        message.delivery = IOAPIC_FIXED;
        message.is_level = l.lvt & LVT_LEVEL;
        break;
    case LVT_NMI:
        message.delivery = IOAPIC_NMI;
        break;
    case LVT_INIT:
        message.delivery = IOAPIC_INIT;
        break;
    default:
        return;
    }
    message.vector = (uint8_t)l.lvt;
    message.destination = (uint8_t)l.id;
    if (message.is_level ? !pic_is_requesting(&m->pic) || has_level(cpu) : !rose)
        return;
    if (message.is_level)
        m->lint0_level = message.vector;
    machine_send_interrupt(m, &message);
}

void machine_send_interrupt(void *context, const struct ioapic_message *message)
{
    struct machine *m = context;
    WHV_INTERRUPT_CONTROL control = {0};
    HRESULT result;

    switch (message->delivery) {
    case IOAPIC_FIXED:
        control.Type = WHvX64InterruptTypeFixed;
        break;
    case IOAPIC_LOWEST:
        control.Type = WHvX64InterruptTypeLowestPriority;
        break;
    case IOAPIC_NMI:
        control.Type = WHvX64InterruptTypeNmi;
        break;
    case IOAPIC_INIT:
        control.Type = WHvX64InterruptTypeInit;
        break;
    default: /* reserved, and SMIs, for which there is no mode to enter */
        return;
    }
    control.DestinationMode = mode_of(message);
    control.TriggerMode = message->is_level ? WHvX64InterruptTriggerModeLevel : WHvX64InterruptTriggerModeEdge;
    control.Destination = destination_of(message);
    control.Vector = message->vector;
    result = WHvRequestInterrupt(m->partition, &control, sizeof control);
    if (result != S_OK)
        machine_fail(m, "WHvRequestInterrupt", result);
}
