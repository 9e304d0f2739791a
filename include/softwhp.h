/* SPDX-License-Identifier: MIT */
/*
 * What softwhp adds to the Windows Hypervisor Platform API.
 *
 * A program that uses nothing of this page stays a plain WHP client, and what is off costs nothing.
 * All functions return HRESULTs as the WHv* functions do; SwhpGetLastErrorText tells the cause behind
 * the last one that failed on the calling thread.
 */
#ifndef SOFTWHP_H
#define SOFTWHP_H

#include "WinHvPlatform.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) && !defined(_WIN32) /* these, and nothing else, leave the shared library */
#pragma GCC visibility push(default)
#endif

#define SWHP_VERSION "0.1.0"

/* Private partition properties, for WHvSetPartitionProperty before WHvSetupPartition, and for Get. */
enum {
    SwhpPartitionPropertyCodeClock = 0x53570001,           /* UINT32: SWHP_CLOCK */
    SwhpPartitionPropertyCodeClockRate = 0x53570002,       /* UINT32: TSC ticks for one count, 1 to 65536 */
    SwhpPartitionPropertyCodeSeed = 0x53570003,            /* UINT64: where RDRAND, RDSEED, SwhpRunPartition's turns
                                                              and SwhpUndefinedSeeded come from */
    SwhpPartitionPropertyCodeProfile = 0x53570004,         /* char[32]: the processor's name: "zen" */
    SwhpPartitionPropertyCodeUndefinedResults = 0x53570005, /* UINT32: SWHP_UNDEFINED_RESULTS */
    /*
     * UINT32, a build of Windows: 17763, 19041, 20348, 22000 or 26100, which is everything and the default. The
     * partition answers as that build would: what came later is unknown (functions: E_NOTIMPL), and not among its
     * bits. Set it first: it puts the processor's feature banks back, and is refused once something is set that it
     * hasn't. The environment's SOFTWHP=api= sets it too, and rules what belongs to no partition: WHvGetCapability,
     * IsWHv...Present.
     */
    SwhpPartitionPropertyCodeApiLevel = 0x53570006
};

typedef enum SWHP_CLOCK {
    SwhpClockHost = 0,   /* TSC and timers follow the host's clock: the default */
    SwhpClockVirtual = 1 /* they follow the count of instructions: the same run every time */
} SWHP_CLOCK;

/*
 * Private register names, for WHvGetVirtualProcessorRegisters and WHvSetVirtualProcessorRegisters (as
 * WHV_REGISTER_NAME): state that programs can reach and the API has no names for. Of the features that a partition
 * lacks they aren't there. The emulator library asks its callbacks for them, where the instruction needs them: a
 * callback that hands names on gets them for nothing. What becomes of an instruction where a callback refuses them is
 * told in WinHvEmulation.h.
 */
enum {
    SwhpX64RegisterYmmHigh0 = 0x53570100, /* Reg128: bits 255 to 128 of YMM0; the low half is WHvX64RegisterXmm0 */
    SwhpX64RegisterYmmHigh15 = 0x5357010F,
    SwhpX64RegisterPkru = 0x53570110,      /* Reg64: 32 bits */
    SwhpX64RegisterFpSelectors = 0x53570111, /* Reg64: the x87's last code (15:0) and data selector (31:16), for which
                                                FpControlStatus and XmmControlStatus have no room in long mode */
    SwhpX64RegisterFeatures = 0x53570112, /* Reg128: the partition's ProcessorFeatures (63:0: bank 0) and
                                             ProcessorXsaveFeatures; it can be set to what it is only */
    SwhpX64RegisterIgnne = 0x53570113,    /* Reg64: 1 while IGNNE# is asserted, as SwhpSetIgnne does. It falls with the
                                             exception: set it after FpControlStatus */
    SwhpX64RegisterShadowSs = 0x53570114, /* Reg64: 1 if the interrupt shadow is one of a load of SS, which holds debug
                                             traps back too. There is none without InterruptShadow: set that before */
    SwhpX64RegisterPdpte0 = 0x53570115,   /* Reg64: the PDPTEs that PAE paging outside long mode goes by. Setting CR3,
                                             or what else has them loaded, has them loaded from memory at the next Run,
                                             but where the same call sets one of these */
    SwhpX64RegisterPdpte3 = 0x53570118
};

/*
 * What flags, x87 condition codes and results become that the manuals leave undefined. The last two are there to find
 * guests that depend on them. The emulator library leaves them as the profile's processor does, whatever the policy.
 */
typedef enum SWHP_UNDEFINED_RESULTS {
    SwhpUndefinedAsHardware = 0, /* as the profile's processor does it: the default */
    SwhpUndefinedZero = 1,       /* zero */
    SwhpUndefinedSeeded = 2      /* random, from the partition's seed, the processor's index and its count */
} SWHP_UNDEFINED_RESULTS;

/* The exit of SwhpRunVirtualProcessorUntil when the count is reached; the context's union is zero. */
#define SwhpRunVpExitReasonCount ((WHV_RUN_VP_EXIT_REASON)0x53570001)

/*
 * The exit of a processor that has CR0.NE clear, at an x87, MMX or WAIT instruction that finds an unmasked x87
 * exception pending: it drives FERR# and stands still until an interrupt. RIP is at the instruction, the context's
 * union is zero. A PC raises IRQ 13; running again without an interrupt leaves again, unless IGNNE# is asserted.
 */
#define SwhpRunVpExitReasonFerrFreeze ((WHV_RUN_VP_EXIT_REASON)0x53570002)

/*
 * Drives a processor's IGNNE# input: while it's asserted, such instructions run in spite of the exception. It falls by
 * itself as soon as no unmasked exception is pending, and asserting it then has no effect. WHV_E_INVALID_VP_STATE
 * while the processor runs on another thread.
 */
HRESULT WINAPI SwhpSetIgnne(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, BOOL Asserted);

/*
 * The count of a virtual processor rises by one for each retired instruction, each round of a REP
 * instruction (REP with RCX = 0: one), each event delivered, and each instruction that the caller
 * completed. It never falls. (VP, count) names a point of a run.
 */
HRESULT WINAPI SwhpGetInstructionCount(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, UINT64 *Count);

/*
 * As WHvRunVirtualProcessor, and leaves with SwhpRunVpExitReasonCount once the processor's count is
 * Count or more; at once if it is so already. A latched cancel comes first. Where a local APIC lets HLT
 * sleep, a virtual clock leaps to its timer; without one that would end the sleep, it leaps by the counts
 * that are left. Leaps are taken from these: the run ends when the clock has gone as far as they would
 * have brought it, though the processor's count may be less.
 */
HRESULT WINAPI SwhpRunVirtualProcessorUntil(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, UINT64 Count,
                                            VOID *ExitContext, UINT32 ExitContextSizeInBytes);

/*
 * Runs all processors of the partition on the calling thread, in turns by instruction count, until one of them has an
 * exit: *VpIndex (one number) says whose, ExitContext is filled as by WHvRunVirtualProcessor and has the same sizes.
 *
 * Clock, in counts of SwhpGetClock, bounds the run: it leaves with SwhpRunVpExitReasonCount as soon as the partition's
 * clock is Clock or more, with the virtual clock at exactly that count; *VpIndex then is the processor whose turn it
 * is. Past 2^63 there is no bound. The exit of a latched cancel comes first.
 *
 * Whose turn is next and its length (1000 to 20000 counts) follow from the partition's seed, so with the virtual clock
 * a run is a function of state, seed and what the caller does. A PAUSE and a HLT end a turn. An exit or Clock only
 * interrupts it: the next call goes on with its rest, so a run in pieces is the run in one. With local APICs a
 * processor that waits in HLT or for its startup is left out until something wakes it, and then has a turn at once.
 * While all sleep, a virtual clock leaps to the earliest timer or to Clock; with neither, and with the host's clock,
 * the call waits. Without local APICs HLT exits.
 *
 * WHvCancelRunVirtualProcessor of any of them ends the call with that processor's exit. Meanwhile each processor
 * counts as running on this thread, for all functions. Processors that are created meanwhile are part of the next
 * call.
 *
 * E_POINTER: ExitContext or VpIndex is NULL. WHV_E_INSUFFICIENT_BUFFER: the context is too small.
 * WHV_E_VP_DOES_NOT_EXIST: there is no processor. WHV_E_INVALID_VP_STATE: one of them runs already.
 */
HRESULT WINAPI SwhpRunPartition(WHV_PARTITION_HANDLE Partition, UINT64 Clock, UINT32 *VpIndex, VOID *ExitContext,
                                UINT32 ExitContextSizeInBytes);

/*
 * The partition's clock, in counts: with the virtual clock the sum of its processors' counts, of what SwhpAdvanceClock
 * added, and of the leaps of halted processors with local APICs. The guest's TSC is this times the rate, plus the
 * processor's offset, at ProcessorClockFrequency ticks a second. With the host's clock it is the host's time since the
 * partition was made, in TSC ticks divided by the rate.
 */
HRESULT WINAPI SwhpGetClock(WHV_PARTITION_HANDLE Partition, UINT64 *Clock);

/* Moves a virtual clock forward by so many counts while no processor runs (a halted guest).
 * E_INVALIDARG with the host's clock, or past 2^63; WHV_E_INVALID_VP_STATE while a processor runs. */
HRESULT WINAPI SwhpAdvanceClock(WHV_PARTITION_HANDLE Partition, UINT64 Counts);

/* A digest of all architectural state of all processors and of all mapped memory, equal on every
 * host and build. */
typedef struct SWHP_DIGEST {
    UINT8 Bytes[16];
} SWHP_DIGEST;
HRESULT WINAPI SwhpStateHash(WHV_PARTITION_HANDLE Partition, SWHP_DIGEST *Digest);

/* Kinds of facts that a trace can show. */
enum { SwhpTraceExit = 1 << 3 };

/* One fact as one line of text without newline, in the same column order each time. Called on the
 * thread of the processor, which must not be called into; valid during the call. */
typedef VOID(CALLBACK *SWHP_TRACE_CALLBACK)(VOID *Context, UINT32 VpIndex, UINT64 Count, UINT32 Kind,
                                            const char *Line);

/* Starts (replacing an earlier one) or stops the partition's trace. A trace can't change results.
 * Kinds that this build doesn't know: E_INVALIDARG. A VP runs: WHV_E_INVALID_VP_STATE. */
HRESULT WINAPI SwhpTraceStart(WHV_PARTITION_HANDLE Partition, UINT32 Kinds, SWHP_TRACE_CALLBACK Callback,
                              VOID *Context);
HRESULT WINAPI SwhpTraceStop(WHV_PARTITION_HANDLE Partition);

/* One form of an instruction that the default profile's processor carries out. The strings live during the call. */
enum { SWHP_MODE_64 = 1, SWHP_MODE_32 = 2, SWHP_MODE_16 = 4 };
typedef struct SWHP_INSTRUCTION {
    UINT32 Size;           /* of this structure, in bytes: later versions may add to it */
    UINT32 Modes;          /* SWHP_MODE_*: the code sizes that have it */
    const char *Mnemonic;  /* lower case */
    const char *Form;      /* encoding and operands: "66.0F38.F1 m16,r16" */
    const char *Extension; /* the set of instructions that it belongs to, as Zydis names it */
} SWHP_INSTRUCTION;
typedef VOID(CALLBACK *SWHP_INSTRUCTION_CALLBACK)(VOID *Context, const SWHP_INSTRUCTION *Instruction);

/* Calls back for each, by extension, mnemonic and form. Takes a second or so. */
HRESULT WINAPI SwhpListInstructions(SWHP_INSTRUCTION_CALLBACK Callback, VOID *Context);

/*
 * Text, always ended by a zero byte, cut to Size bytes; *Written gets the size of the whole text with its zero
 * byte, also when WHV_E_INSUFFICIENT_BUFFER is returned because it was cut. Written may be NULL.
 */

/* Why the last call that failed on this thread did so: which argument, what was wrong, what would help. */
HRESULT WINAPI SwhpGetLastErrorText(char *Text, UINT32 Size, UINT32 *Written);

/* What led to a processor's last exit: the chain of faults behind a triple fault, the rule behind an
 * invalid state, the text and bytes of an instruction that is not supported. */
HRESULT WINAPI SwhpExplainLastExit(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, char *Text, UINT32 Size,
                                   UINT32 *Written);

#if defined(__GNUC__) && !defined(_WIN32)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif
