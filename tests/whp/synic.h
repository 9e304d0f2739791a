/* SPDX-License-Identifier: MIT */
/* Hyper-V's interface, tested on the machine of the APIC's tests. */
#ifndef TESTS_WHP_SYNIC_H
#define TESTS_WHP_SYNIC_H

#include "state/synic.h"
#include "tests/whp/apic.h"

#define FEATURE(name) (1ull << SYNTHETIC_##name)

enum {
    MESSAGES_AT = 0x90000, /* where the tests have their guests put the pages */
    EVENTS_AT = 0x91000,
    HYPERCALL_AT = 0x92000,
    TSC_AT = 0x93000,
    ASSIST_AT = 0x94000,
    INPUT_AT = 0xa0000 /* of hypercalls */
};

/* A hypercall's control word. */
#define FAST (1ull << 16)
#define REPS(n) ((u64)(n) << 32)
#define START(n) ((u64)(n) << 48)
#define VARIABLE(n) ((u64)(n) << 17)


/* A machine with all that is offered: XApic mode, its APICs enabled, handlers that end their interrupts. */
void synic_open(struct board *b, u32 processors, u32 clock);

/* As synic_open(), and the guest enables the SynIC and its pages, and source n has vector 0x40 + n and these bits. */
void synic_enable(struct board *b, u32 vp, unsigned n, u64 bits);

/* The guest says who it is, and has its page of hypercalls. */
void synic_identify(struct board *b);

/* Processor 0 calls, in 32-bit code: EDX:EAX, EBX:ECX, EDI:ESI; the result, or ~0 and the exit that came instead. */
u64 synic_hypercall(struct board *b, u64 control, u64 first, u64 second);

/* WHvReadGpaRange and WHvWriteGpaRange: overlays show. */
u64 synic_peek(struct board *b, u64 gpa, u32 size);
void synic_poke(struct board *b, u64 gpa, u64 value, u32 size);

HRESULT synic_message(struct board *b, u32 vp, u32 source, u32 type);
HRESULT synic_event(struct board *b, u32 vp, u32 source, u32 flag, BOOL *is_new);

/* Runs the processor, which goes round in a loop with IF set, so many counts; the first exit, or 0. */
u32 synic_spin(struct board *b, u32 vp, u64 counts);

TCase *synic_feature_case(void);
TCase *synic_page_case(void);
TCase *synic_time_case(void);
TCase *synic_message_case(void);
TCase *synic_timer_case(void);
TCase *synic_state_case(void);
TCase *synic_turn_case(void);
TCase *hypercall_case(void);
TCase *hypercall_flush_case(void);

#endif
