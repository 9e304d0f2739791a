/* SPDX-License-Identifier: MIT */
/*
 * One processor from outside: the registers that it is to be told before it runs again, and the interrupts of the
 * controllers.
 */
#include <assert.h>

#include "machine.h"

enum { RFLAGS_IF = 0x200 };

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

/* ---- Interrupts ---- */

bool processor_refresh(struct processor *cpu)
{
    static const WHV_REGISTER_NAME names[] = {WHvX64RegisterRflags, WHvRegisterInterruptState,
                                              WHvRegisterPendingInterruption, WHvRegisterPendingEvent};
    WHV_REGISTER_VALUE values[4];
    HRESULT result;

    if (!processor_flush(cpu))
        return false;
    result = WHvGetVirtualProcessorRegisters(cpu->machine->partition, cpu->index, names, 4, values);
    if (result != S_OK) {
        machine_fail(cpu->machine, "WHvGetVirtualProcessorRegisters", result);
        return false;
    }
    cpu->can_interrupt_flag = values[0].Reg64 & RFLAGS_IF;
    cpu->has_shadow = values[1].InterruptState.InterruptShadow;
    cpu->has_event = values[2].PendingInterruption.InterruptionPending || values[3].ExceptionEvent.EventPending;
    cpu->state_known = true;
    return true;
}

static void inject(struct processor *cpu)
{
    WHV_REGISTER_VALUE event = {0};

    event.PendingInterruption.InterruptionPending = 1;
    event.PendingInterruption.InterruptionType = WHvX64PendingInterrupt;
    event.PendingInterruption.InterruptionVector = pic_acknowledge(&cpu->machine->pic);
    processor_write(cpu, WHvRegisterPendingInterruption, event);
    if (cpu->window_armed)
        processor_write_number(cpu, WHvX64RegisterDeliverabilityNotifications, 0);
    cpu->window_armed = false;
    cpu->has_event = true;
}

void processor_offer(struct processor *cpu)
{
    WHV_REGISTER_VALUE window = {0};

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

