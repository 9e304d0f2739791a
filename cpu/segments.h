/* SPDX-License-Identifier: MIT */
/*
 * Selectors, descriptors and privilege: shared by segment loads, far transfers, gates, IRET and task
 * switches.
 */
#ifndef CPU_SEGMENTS_H
#define CPU_SEGMENTS_H

#include "state/vcpu.h"

/*
 * MOV and POP to ES, SS, DS, FS, GS, and LxS: all checks of the current mode; commits the register. May
 * raise.
 */
void segment_load(struct vcpu *cpu, unsigned segment, u16 selector);

/* Sets a segment register as real mode and virtual-8086 mode do. */
void segment_load_real(struct vcpu *cpu, unsigned segment, u16 selector);

/*
 * Task switch, SDM 3A 7.3: by JMP, CALL, IRET or a task gate. back: the RIP that the old task goes on at;
 * error: pushed by a gate, NULL: none.
 */
enum task_source { TASK_JMP, TASK_CALL, TASK_IRET, TASK_GATE };
void task_switch(struct vcpu *cpu, u16 selector, enum task_source source, u64 back, const u32 *error);

/* May this port be touched at this privilege (IOPL, then the TSS's bitmap)? #GP(0) if not. May leave. */
void io_check(struct vcpu *cpu, u16 port, unsigned size);

#endif
