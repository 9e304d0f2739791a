/* SPDX-License-Identifier: MIT */
/* Callers of WinHvEmulation without a partition: callbacks over registers and memory of the test's own. */
#ifndef TESTS_WHP_EMULATOR_RIG_H
#define TESTS_WHP_EMULATOR_RIG_H

#include <check.h>

#include "include/WinHvEmulation.h"
#include "include/softwhp.h"
#include "state/flags.h"

/* Places of private registers. */
enum { OUR_FEATURES = 18, OUR_IGNNE, OUR_SHADOW_SS, OUR_PDPTES, OURS = OUR_PDPTES + 4 };

enum { RAM = 0x10000, MMIO = 0xfee000, CODE = 0x1000, DATA = 0x2000, EVENTS = 64 };

/* What a callback was asked. */
struct asked {
    enum { ASKED_READ, ASKED_WRITE, ASKED_IN, ASKED_OUT, ASKED_GET, ASKED_SET, ASKED_TRANSLATE } what;
    u64 address;
    unsigned size;
    u64 data;
};

extern struct machine {
    WHV_REGISTER_VALUE general[18]; /* RAX to R15, RIP, RFLAGS */
    WHV_X64_SEGMENT_REGISTER segment[6];
    u64 cr0, cr4, efer;
    WHV_REGISTER_VALUE fx[26]; /* FpControlStatus, XmmControlStatus, FpMmx, Xmm */
    WHV_REGISTER_VALUE event;
    u64 xcr0, cr3, dr[8], interrupt_state, pending_debug;
    WHV_REGISTER_VALUE ours[OURS]; /* by private names */
    bool has_table;                /* of the published names alone: others are refused */
    unsigned asked_for_ours;
    u64 gone_wrong;                /* of these translations comes absent_result, and this page */
    u8 ram[RAM];
    u64 device; /* what reading MMIO gives */
    struct asked log[EVENTS];
    unsigned logged;
    unsigned gets, sets, translations;
    HRESULT fail_io, fail_memory, fail_get, fail_set, fail_translate;
    unsigned good_io, good_memory; /* so many accesses to ports, to devices are well before one fails; 0: all are */
    u64 misaligned, absent; /* pages: Gpa not aligned, not present */
    WHV_TRANSLATE_GVA_RESULT_CODE absent_result;
} m;

extern WHV_EMULATOR_HANDLE emulator;
extern WHV_VP_EXIT_CONTEXT vp;
extern WHV_MEMORY_ACCESS_CONTEXT access_context;
extern WHV_X64_IO_PORT_ACCESS_CONTEXT io;
extern WHV_EMULATOR_STATUS status;
extern int token;
extern bool debug_active; /* exits say so */
extern unsigned cpl;       /* likewise */

extern const WHV_EMULATOR_CALLBACKS callbacks;

/* The fixture: a fresh machine in 64-bit mode, and an emulator. */
void emulator_setup(void);
void emulator_teardown(void);

/* Real mode, 16-bit code at segment 0. */
void real_mode(void);

void exit_context(unsigned length);

#define BYTES(...)                                                                                           \
    (const u8[]){ __VA_ARGS__ }, sizeof(const u8[])                                                          \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }

/* Emulates an instruction whose first `given` bytes come with the exit; all of them are in memory too. */
void mmio_given(const u8 *bytes, unsigned size, unsigned given);
void mmio(const u8 *bytes, unsigned size);
void port_exit(bool is_write, unsigned size, bool string, bool rep, const u8 *bytes, unsigned length);

enum {
    SUCCESSFUL = 1,
    INTERNAL_FAILURE = 2,
    IO_FAILED = 4,
    MEMORY_FAILED = 8,
    TRANSLATE_FAILED = 16,
    NOT_ALIGNED = 32,
    GET_FAILED = 64,
    SET_FAILED = 128,
    CAUSED_BY_INTERRUPT = 256,
    CANNOT_BE_FAULTED = 512
};

#define GPR(r) m.general[r].Reg64
#define RIP GPR(16)
#define FLAGS_OF GPR(17)
#define ck_status(bits) ck_assert_uint_eq(status.AsUINT32, (bits))
#define ck_asked(n, w, a, s, d)                                                                              \
    do {                                                                                                     \
        ck_assert_uint_gt(m.logged, (n));                                                                    \
        ck_assert_int_eq(m.log[n].what, (w));                                                                \
        ck_assert_uint_eq(m.log[n].address, (a));                                                            \
        ck_assert_uint_eq(m.log[n].size, (s));                                                               \
        ck_assert_uint_eq(m.log[n].data, (d));                                                               \
    } while (0)
#define ck_event(vector, has_error, error, parameter)                                                        \
    do {                                                                                                     \
        ck_status(SUCCESSFUL);                                                                               \
        ck_assert_uint_eq(m.event.ExceptionEvent.EventPending, 1);                                           \
        ck_assert_uint_eq(m.event.ExceptionEvent.EventType, WHvX64PendingEventException);                    \
        ck_assert_uint_eq(m.event.ExceptionEvent.Vector, (vector));                                          \
        ck_assert_uint_eq(m.event.ExceptionEvent.DeliverErrorCode, (has_error));                             \
        ck_assert_uint_eq(m.event.ExceptionEvent.ErrorCode, (error));                                        \
        ck_assert_uint_eq(m.event.ExceptionEvent.ExceptionParameter, (parameter));                           \
        ck_assert_uint_eq(RIP, CODE);                                                                        \
    } while (0)

TCase *emulator_call_case(void);
TCase *emulator_memory_case(void);
TCase *emulator_fault_case(void);
TCase *emulator_float_case(void);
TCase *emulator_port_case(void);
TCase *emulator_form_case(void);
TCase *emulator_own_case(void);
TCase *emulator_flush_case(void);

#endif
