/* SPDX-License-Identifier: MIT */
/*
 * A PC: a partition of the platform, its processors, its memory, its devices, and the loop that answers the
 * processors' exits.
 */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "WinHvEmulation.h"
#include "WinHvPlatform.h"
#include "softwhp.h"

#include "acpi.h"
#include "board.h"
#include "bus.h"
#include "ioapic.h"
#include "keyboard.h"
#include "load.h"
#include "memory.h"
#include "mp_table.h"
#include "options.h"
#include "pic.h"
#include "pit.h"
#include "problem.h"
#include "rtc.h"
#include "serial.h"
#include "terminal.h"

/* Registers to write before a processor runs again. */
enum { MACHINE_WRITES = 40 };

enum { MACHINE_PROCESSORS = OPTIONS_CPUS };

/* Exits are counted by a small index of their reason. */
enum { EXIT_KINDS = 20 };

/* The thread that takes the signals, and with the host's clock the one that stops the processor in time. */
struct helpers {
    pthread_t signals, timer;
    bool has_signals, has_timer;
    sigset_t signal_set;
    int signal_seen; /* atomic */
    bool ends;
    uint64_t wake_time; /* the host's, under the lock; UINT64_MAX: never */
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

/* The line of the x87's FERR#. */
enum { IRQ_COPROCESSOR = 13 };

struct machine;

/* What is known of a processor since its last exit, and what it is to be told before it runs again. */
struct processor {
    struct machine *machine;
    unsigned index;
    char on[28]; /* " on processor N" where there are several */
    bool is_created, has_thread;
    pthread_t thread;

    WHV_RUN_VP_EXIT_CONTEXT exit;
    bool state_known; /* these three are its state now */
    bool can_interrupt_flag, has_shadow, has_event;
    bool window_armed;
    bool halted; /* it left by a HLT or stands frozen, and no interrupt has come since */
    bool frozen; /* its last exit was FerrFreeze */
    /* With local APICs: */
    bool has_ext_int; /* a vector of the 8259A was written, and may wait still */
    bool asleep;      /* it is in HLT, inside Run; as of the last look */
    WHV_REGISTER_NAME names[MACHINE_WRITES];
    WHV_REGISTER_VALUE values[MACHINE_WRITES];
    unsigned writes;

    uint64_t exits[EXIT_KINDS];
};

struct machine {
    const struct options *options;
    WHV_PARTITION_HANDLE partition;
    WHV_EMULATOR_HANDLE emulator;
    struct memory memory;
    struct processor processors[MACHINE_PROCESSORS];
    unsigned processor_count;
    struct processor *current; /* whose exit is answered now */

    /* Several processors run on a thread each, without the lock; all else that they do is under it. */
    bool is_threaded;
    bool is_in_turns; /* all processors on this thread, by SwhpRunPartition */
    pthread_mutex_t lock;
    bool pic_is_told; /* the one that is to take the 8259A's request knows of it */
    bool pic_rose;    /* its line has, since the first processor's LINT0 was looked at */
    bool lint0_moved; /* since then a level there has ended, or its entry was written */
    int lint0_level;  /* the vector of a level that LINT0 has sent and that hasn't ended, or -1 */

    struct bus bus;
    struct pic pic;
    struct ioapic ioapic;
    bool has_apic;
    bool is_described; /* to a kernel started without firmware: by tables of ours */
    struct pit pit;
    struct rtc rtc;
    struct serial serial;
    struct keyboard keyboard;
    struct acpi acpi;
    struct pci pci;
    struct fw_cfg fw_cfg;
    unsigned power_device; /* on the bus */
    uint16_t power_base;   /* its first port, or 0 */
    struct terminal terminal;
    FILE *trace;
    FILE *log;

    /* Time: the device time in nanoseconds is the partition's clock times a fixed-point factor. */
    uint64_t frequency, rate;
    uint64_t ns_per_count; /* with 32 fractional bits */
    uint64_t offset;       /* the virtual clock less the one processor's count */
    uint64_t leapt;        /* with a local APIC, how far its sleeps have moved the clock, in counts */
    uint64_t until;        /* its count at which devices want to be looked at; in turns: the clock */
    uint64_t deadline;     /* the same as time */
    uint64_t poll_time;    /* when input is looked for next */
    uint64_t look_time;    /* the host's, when sleepers are looked at next */
    uint64_t asleep_since; /* the host's, since when all are asleep, or 0 if they weren't at the last look */
    uint64_t asleep_count; /* what had retired then */
    uint64_t started;      /* the host's time */

    bool has_halted; /* the guest had nothing to do, some time since input was last looked for */
    struct helpers helpers;

    uint64_t restarts; /* that came before */
    bool is_made; /* whole */
    bool ended, was_reset;
    int status;
    const char *how;        /* it ended, for the summary */
    struct problem problem; /* text, if there is something to say */
};

/* Makes the partition, puts the guest in, and connects the devices. */
bool machine_make(struct machine *machine, const struct options *options, struct problem *problem);
void machine_free(struct machine *machine);

/* Runs the guest to its end, which a reset isn't while there are restarts left. */
void machine_run(struct machine *machine);

/* What is said on standard error of a start that a reset has ended, before the next one. */
void machine_tell(struct machine *machine);

/* Closes the files, and says on standard error what went wrong and what was asked for: the summary, the hash.
 * Returns the status. */
int machine_report(struct machine *machine);

/* ---- Between the parts of the machine ---- */

void machine_end(struct machine *machine, int status, const char *how);

/* The same, by what resets a PC. */
void machine_reset(struct machine *machine, int status, const char *how);

/* Builds the machine anew after a reset; what the user has typed, and the files of output, stay. */
bool machine_make_again(struct machine *machine);

/* Something that was written is lost. That is what the run ends with, unless there was a problem before. */
void machine_lost(struct machine *machine, const char *name, int error);

/* A call of the platform failed while the guest ran. */
void machine_fail(struct machine *machine, const char *call, HRESULT result);

bool machine_make_emulator(struct machine *machine);

/* What the processors and devices ask for that ends the run, and what the user does. */
void machine_check_devices(struct machine *machine);
void machine_check_user(struct machine *machine);

/* The signal that is to end the run, or 0. */
int machine_signal(const struct machine *machine);

/* ---- The partition, vmm/partition.c ---- */

/* Makes it, maps the guest's memory, and creates the processors, in this order. */
bool partition_make(struct machine *machine, struct problem *problem);
bool partition_map(struct machine *machine, struct problem *problem);
bool partition_fill(struct machine *machine, struct problem *problem);

/* Writes the MP tables, which tell of the processors as they are. */
void partition_describe(struct machine *machine);

/* A platform call that failed: its name and the cause. Always false. */
bool platform_problem(struct problem *problem, int status, const char *call, HRESULT result);

/* ---- Time, vmm/time.c ---- */

/* Device time now, and the first count at or after a time. */
uint64_t machine_now(void *machine);
uint64_t machine_counts(const struct machine *machine, uint64_t time);

/* What the processors have retired. */
uint64_t machine_instructions(void *machine);

void machine_start_time(struct machine *machine);

/* A device has kept a processor waiting for so long; machine_schedule() has to follow. */
void machine_spend(struct machine *machine, uint64_t ns);

/* Asks all devices when they want to be looked at. */
void machine_schedule(struct machine *machine);

/* Does what is due by now, and schedules. */
void machine_serve(struct machine *machine);

/* Lets the time of a halted guest pass up to the next deadline. */
void machine_wait(struct machine *machine);

/* With local APICs a processor sleeps inside Run. On the virtual clock: notes how far that has moved it. */
void machine_note_leaps(struct machine *machine);

/* Ends the run where all processors sleep for good; called for the first one's exits. */
void machine_check_sleepers(struct machine *machine);

/* ---- A processor, vmm/processor.c ---- */

/* Queues a register to be written before the next run; all in one call. */
void processor_write(struct processor *cpu, WHV_REGISTER_NAME name, WHV_REGISTER_VALUE value);
void processor_write_number(struct processor *cpu, WHV_REGISTER_NAME name, uint64_t value);
bool processor_flush(struct processor *cpu);

/* Reads what an exit shows, where something else than the exit has changed it. */
bool processor_refresh(struct processor *cpu);

/* Hands it the 8259A's request, or asks to be told when it can take it. */
void processor_offer(struct processor *cpu);

/* With local APICs: which processor is to take the 8259A's requests, be it by its LINT0 or by the I/O APIC? */
unsigned machine_pic_target(struct machine *machine);

/* What the first processor's LINT0 makes of the 8259A's line, where it isn't programmed to ask for the vector; to be
 * called before it runs. */
void machine_see_pic(void *machine, bool high);
void processor_lint0(struct processor *cpu);
void machine_end_lint0(struct machine *machine, uint8_t vector);

/* With local APICs: can a device's line come to a processor as an NMI? */
bool machine_has_nmi(struct machine *machine);

/* The I/O APIC's messages. */
void machine_send_interrupt(void *machine, const struct ioapic_message *message);

bool processor_start(struct processor *cpu, const struct start *start, struct problem *problem);

/* Answers the exit that stands in cpu->exit; vmm/exits.c. */
void processor_exited(struct processor *cpu);
void processor_count_exit(struct processor *cpu, WHV_RUN_VP_EXIT_REASON reason);

/* ---- The rest ---- */

bool helpers_start(struct machine *machine, struct problem *problem);
void helpers_stop(struct machine *machine);

/* With the host's clock: stop the processor at this time of the host. */
void helpers_wake_at(struct machine *machine, uint64_t time);

#endif
