/* SPDX-License-Identifier: MIT */
/*
 * The instruction emulator of the Windows Hypervisor Platform: completes the instruction behind a port or
 * memory exit, with the registers, the memory and the ports that the caller's callbacks give it.
 */
#ifndef _WINHVEMUAPI_H_
#define _WINHVEMUAPI_H_

#include "WinHvPlatformDefs.h"

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#endif

/* What became of the instruction; registers changed only when EmulationSuccessful. */
typedef union WHV_EMULATOR_STATUS {
    struct {
        UINT32 EmulationSuccessful : 1;
        UINT32 InternalEmulationFailure : 1;
        UINT32 IoPortCallbackFailed : 1;
        UINT32 MemoryCallbackFailed : 1;
        UINT32 TranslateGvaPageCallbackFailed : 1;
        UINT32 TranslateGvaPageCallbackGpaIsNotAligned : 1;
        UINT32 GetVirtualProcessorRegistersCallbackFailed : 1;
        UINT32 SetVirtualProcessorRegistersCallbackFailed : 1;
        UINT32 InterruptCausedIntercept : 1; /* the exit was in the delivery of an event */
        UINT32 GuestCannotBeFaulted : 1;
        UINT32 Reserved : 22;
    };
    UINT32 AsUINT32;
} WHV_EMULATOR_STATUS;

#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

/* An access that doesn't cross a page. */
typedef struct WHV_EMULATOR_MEMORY_ACCESS_INFO {
    WHV_GUEST_PHYSICAL_ADDRESS GpaAddress;
    UINT8 Direction;  /* 0: read, fill Data; 1: write */
    UINT8 AccessSize; /* 1 to 8 bytes */
    UINT8 Data[8];
} WHV_EMULATOR_MEMORY_ACCESS_INFO;

typedef struct WHV_EMULATOR_IO_ACCESS_INFO {
    UINT8 Direction; /* 0: in, fill Data; 1: out */
    UINT16 Port;
    UINT16 AccessSize; /* 1, 2 or 4 bytes */
    UINT32 Data;
} WHV_EMULATOR_IO_ACCESS_INFO;

typedef HRESULT(CALLBACK *WHV_EMULATOR_IO_PORT_CALLBACK)(VOID *Context,
                                                         WHV_EMULATOR_IO_ACCESS_INFO *IoAccess);
typedef HRESULT(CALLBACK *WHV_EMULATOR_MEMORY_CALLBACK)(VOID *Context,
                                                        WHV_EMULATOR_MEMORY_ACCESS_INFO *MemoryAccess);
typedef HRESULT(CALLBACK *WHV_EMULATOR_GET_VIRTUAL_PROCESSOR_REGISTERS_CALLBACK)(
    VOID *Context, const WHV_REGISTER_NAME *RegisterNames, UINT32 RegisterCount,
    WHV_REGISTER_VALUE *RegisterValues);
typedef HRESULT(CALLBACK *WHV_EMULATOR_SET_VIRTUAL_PROCESSOR_REGISTERS_CALLBACK)(
    VOID *Context, const WHV_REGISTER_NAME *RegisterNames, UINT32 RegisterCount,
    const WHV_REGISTER_VALUE *RegisterValues);
/* Gpa must be at the start of a page. */
typedef HRESULT(CALLBACK *WHV_EMULATOR_TRANSLATE_GVA_PAGE_CALLBACK)(
    VOID *Context, WHV_GUEST_VIRTUAL_ADDRESS Gva, WHV_TRANSLATE_GVA_FLAGS TranslateFlags,
    WHV_TRANSLATE_GVA_RESULT_CODE *TranslationResult, WHV_GUEST_PHYSICAL_ADDRESS *Gpa);

typedef struct WHV_EMULATOR_CALLBACKS {
    UINT32 Size; /* of this structure */
    UINT32 Reserved;
    WHV_EMULATOR_IO_PORT_CALLBACK WHvEmulatorIoPortCallback;
    WHV_EMULATOR_MEMORY_CALLBACK WHvEmulatorMemoryCallback;
    WHV_EMULATOR_GET_VIRTUAL_PROCESSOR_REGISTERS_CALLBACK WHvEmulatorGetVirtualProcessorRegisters;
    WHV_EMULATOR_SET_VIRTUAL_PROCESSOR_REGISTERS_CALLBACK WHvEmulatorSetVirtualProcessorRegisters;
    WHV_EMULATOR_TRANSLATE_GVA_PAGE_CALLBACK WHvEmulatorTranslateGvaPage;
} WHV_EMULATOR_CALLBACKS;

typedef VOID *WHV_EMULATOR_HANDLE;

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) && !defined(_WIN32) /* these, and nothing else, leave the shared library */
#pragma GCC visibility push(default)
#endif

/*
 * What an instruction becomes, beyond what the published pages say:
 *
 * A repetition is carried out whole, but gives way after 2^20 rounds; a fault, or giving way, keeps the rounds that
 * are finished, a callback that fails none (devices have seen them). Giving way is EmulationSuccessful with RIP where
 * it was: the caller runs the processor, which comes again.
 *
 * INVPCID, whose descriptor can be a device's, has CR3 set to the value that it has, together with RIP: an emulator
 * remembers no translations, and that is what makes a processor of softwhp forget all of its own.
 *
 * State without published names is asked for by the private ones of softwhp.h, where an instruction comes to use it.
 * Callbacks may refuse them; they get the instruction's faults all the same, and then:
 * - YmmHigh by AVX and XSAVE, Pkru by XSAVE, FpSelectors by FNSTENV and its kin in long mode: the instruction can't be
 *   carried out, GetVirtualProcessorRegistersCallbackFailed.
 * - FpSelectors by other x87 instructions in long mode: they stay, or are zero where their pointer changed.
 * - Features by TZCNT, LZCNT, FXSAVE, XSAVE, their counterparts, and by any code that isn't in memory: taken to be all
 *   of the profile's. Who took BMI1, LZCNT, XSAVEC or the saving of x87 pointers from a partition answers that name.
 * - ShadowSs by loads of SS: the shadow is that of STI, so a debug trap isn't held back.
 * - Pdpte0 to 3 by INVPCID, INVLPG, LMSW and CLTS under PAE paging outside long mode: setting CR3 or CR0 has them
 *   loaded from memory.
 * - Pkru by a page fault under CR4.PKE: bit PK is set if nothing else explains the fault.
 * - Ignne by an instruction that finds an unmasked x87 exception pending with CR0.NE clear: it's carried out, since a
 *   processor that isn't told to ignore the exception doesn't come as far as to memory. If the answer is that IGNNE#
 *   is low, nothing happens, EmulationSuccessful: the processor that runs on stands still at the instruction, and has
 *   its own exit.
 *
 * InternalEmulationFailure is left for instructions that are the processor's own (time, random numbers, MSRs, control
 * and debug registers, hypercalls, INT n and the like), for HLT and task switches, and for a processor that would
 * stand still at an x87 exception. But for task switches they touch no data, and are here only where the code isn't in
 * memory.
 */

/* An emulator serves one thread at a time. */
HRESULT WINAPI WHvEmulatorCreateEmulator(const WHV_EMULATOR_CALLBACKS *Callbacks,
                                         WHV_EMULATOR_HANDLE *Emulator);
HRESULT WINAPI WHvEmulatorDestroyEmulator(WHV_EMULATOR_HANDLE Emulator);

/* S_OK means that EmulatorReturnStatus tells; Context is the callbacks' first argument. */
HRESULT WINAPI WHvEmulatorTryIoEmulation(WHV_EMULATOR_HANDLE Emulator, VOID *Context,
                                         const WHV_VP_EXIT_CONTEXT *VpContext,
                                         const WHV_X64_IO_PORT_ACCESS_CONTEXT *IoInstructionContext,
                                         WHV_EMULATOR_STATUS *EmulatorReturnStatus);
HRESULT WINAPI WHvEmulatorTryMmioEmulation(WHV_EMULATOR_HANDLE Emulator, VOID *Context,
                                           const WHV_VP_EXIT_CONTEXT *VpContext,
                                           const WHV_MEMORY_ACCESS_CONTEXT *MmioInstructionContext,
                                           WHV_EMULATOR_STATUS *EmulatorReturnStatus);

#if defined(__GNUC__) && !defined(_WIN32)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif /* _WINHVEMUAPI_H_ */
