/* SPDX-License-Identifier: MIT */
/*
 * What real clients rely on, each in the manner of that client: reference 9, and the facts in the sections before it
 * that name one; docs/clients.md is the table. A test's name begins with the client's; the code is our own.
 *
 *   client_qemu.c         QEMU to 10: batches, injection, windows, the debugger, ROM, reset
 *   client_qemu_apic.c    and with the platform's local APIC
 *   client_qemu11.c       QEMU 11: banks of features, probing by calls that fail
 *   client_virtualbox.c   VirtualBox: probing, whole unions, pages one by one, pending interruptions both ways
 *   client_openvmm.c      openvmm: fall-backs by error code, time, the APIC's page, one-shot notifications
 *   client_openvmm_devices.c   its doorbells, ports, and Hyper-V's interface
 *   client_crosvm.c       crosvm and its hypervisor tests
 *   client_rust.c         libwhp's unit tests, whpexp
 *   client_sandbox.c      hyperlight, libkrun
 *   client_debuggers.c    virt86, wtf, applepie: stepping, breakpoints, tracked pages, timeouts
 *   client_user.c         Simpleator, winevdm, sogen: user code without a kernel
 *   client_small.c        Microsoft's sample, SimpleWhpDemo, VirtualMetal/vm, and what notes and issues observed
 */
#ifndef TESTS_WHP_CLIENT_H
#define TESTS_WHP_CLIENT_H

#include "include/WinHvEmulation.h"
#include "tests/whp/guest.h"

enum { CLIENT_RAM = 0x10000, CLIENT_CODE = 0x1000, CLIENT_STUBS = 0x2000, CLIENT_STACK = 0xff0 };

struct client {
    WHV_PARTITION_HANDLE p;
    u8 *ram; /* CLIENT_RAM bytes, mapped at 0 */
    WHV_RUN_VP_EXIT_CONTEXT x;
};

/* A partition with so many processors and nothing else; the clock is the host's, as clients know no other. */
void client_partition(struct client *c, u32 processors);

/* Sets it up, maps memory, and makes processor 0 stand at the code in real mode. Interrupt n leads to OUT n and IRET.
 */
void client_start(struct client *c, const void *code, size_t size);
#define CLIENT_START(c, ...) client_start(c, (const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))
void client_stop(struct client *c);

/* Makes a processor stand at an address of real mode's first 64 KiB. */
void client_stand(struct client *c, u32 vp, u64 at);

u32 client_run(struct client *c);   /* the exit's reason */
u32 client_port(struct client *c);  /* runs to an OUT, and completes it: its port */
void client_skip(struct client *c); /* RIP += InstructionLength, as nearly everybody does */

u64 client_get(struct client *c, WHV_REGISTER_NAME name);
void client_set(struct client *c, WHV_REGISTER_NAME name, u64 value);
HRESULT client_try(struct client *c, WHV_REGISTER_NAME name, u64 value);
void client_property(struct client *c, WHV_PARTITION_PROPERTY_CODE code, u64 value, u32 size);
#define EXITS WHvPartitionPropertyCodeExtendedVmExits
#define VECTORS WHvPartitionPropertyCodeExceptionExitBitmap
enum { EXIT_CPUID = 1, EXIT_MSR = 2, EXIT_EXCEPTION = 4, EXIT_RDTSC = 8, EXIT_INIT_SIPI = 64 };

/* A partition as those clients make it, not set up yet, for the files that share it. */
void client_open_qemu(struct client *c, u32 apic_mode);
void client_open_openvmm(struct client *c, u32 processors);

/* An emulator over the client's registers, memory and translation. What it wrote and read besides memory is kept. */
struct client_device {
    struct client *client;
    u64 gpa, data;
    u32 reads, writes, ram_reads, ins, outs, port;
};
WHV_EMULATOR_HANDLE client_emulator(void);
WHV_EMULATOR_STATUS client_emulate(WHV_EMULATOR_HANDLE e, struct client_device *d);

TCase *client_qemu_case(void);
TCase *client_qemu_apic_case(void);
TCase *client_qemu11_case(void);
TCase *client_virtualbox_case(void);
TCase *client_openvmm_case(void);
TCase *client_openvmm_device_case(void);
TCase *client_crosvm_case(void);
TCase *client_rust_case(void);
TCase *client_sandbox_case(void);
TCase *client_debugger_case(void);
TCase *client_user_case(void);
TCase *client_small_case(void);

#endif
