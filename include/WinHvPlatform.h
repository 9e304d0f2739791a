/* SPDX-License-Identifier: MIT */
/*
 * The functions of the Windows Hypervisor Platform API.
 *
 * All return S_OK or a failure; what a pointer got is defined after S_OK only, but for the written sizes,
 * which a WHV_E_INSUFFICIENT_BUFFER sets too. Pointers to written sizes may be NULL.
 */
#ifndef _WINHVAPI_H_
#define _WINHVAPI_H_

#include "WinHvPlatformDefs.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) && !defined(_WIN32) /* these, and nothing else, leave the shared library */
#pragma GCC visibility push(default)
#endif

/* ---- Capabilities, partitions ---- */

HRESULT WINAPI WHvGetCapability(WHV_CAPABILITY_CODE CapabilityCode, VOID *CapabilityBuffer,
                                UINT32 CapabilityBufferSizeInBytes, UINT32 *WrittenSizeInBytes);

HRESULT WINAPI WHvCreatePartition(WHV_PARTITION_HANDLE *Partition);

/* Fixes the properties; memory and processors come after it. */
HRESULT WINAPI WHvSetupPartition(WHV_PARTITION_HANDLE Partition);

/* Back to power-on; memory and properties stay. */
HRESULT WINAPI WHvResetPartition(WHV_PARTITION_HANDLE Partition);

HRESULT WINAPI WHvDeletePartition(WHV_PARTITION_HANDLE Partition);

HRESULT WINAPI WHvGetPartitionProperty(WHV_PARTITION_HANDLE Partition,
                                       WHV_PARTITION_PROPERTY_CODE PropertyCode, VOID *PropertyBuffer,
                                       UINT32 PropertyBufferSizeInBytes, UINT32 *WrittenSizeInBytes);
HRESULT WINAPI WHvSetPartitionProperty(WHV_PARTITION_HANDLE Partition,
                                       WHV_PARTITION_PROPERTY_CODE PropertyCode, const VOID *PropertyBuffer,
                                       UINT32 PropertyBufferSizeInBytes);

HRESULT WINAPI WHvSuspendPartitionTime(WHV_PARTITION_HANDLE Partition);
HRESULT WINAPI WHvResumePartitionTime(WHV_PARTITION_HANDLE Partition);

/* ---- Memory ---- */

/* Addresses and sizes are multiples of 4096. What was mapped there before is replaced. */
HRESULT WINAPI WHvMapGpaRange(WHV_PARTITION_HANDLE Partition, VOID *SourceAddress,
                              WHV_GUEST_PHYSICAL_ADDRESS GuestAddress, UINT64 SizeInBytes,
                              WHV_MAP_GPA_RANGE_FLAGS Flags);
HRESULT WINAPI WHvMapGpaRange2(WHV_PARTITION_HANDLE Partition, HANDLE Process, VOID *SourceAddress,
                               WHV_GUEST_PHYSICAL_ADDRESS GuestAddress, UINT64 SizeInBytes,
                               WHV_MAP_GPA_RANGE_FLAGS Flags);
HRESULT WINAPI WHvUnmapGpaRange(WHV_PARTITION_HANDLE Partition, WHV_GUEST_PHYSICAL_ADDRESS GuestAddress,
                                UINT64 SizeInBytes);

/* S_OK whether or not there is a translation: TranslationResult tells. */
HRESULT WINAPI WHvTranslateGva(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, WHV_GUEST_VIRTUAL_ADDRESS Gva,
                               WHV_TRANSLATE_GVA_FLAGS TranslateFlags,
                               WHV_TRANSLATE_GVA_RESULT *TranslationResult, WHV_GUEST_PHYSICAL_ADDRESS *Gpa);

/* A bit a page, in 64-bit words, and starts anew; Bitmap may be NULL to only do that. */
HRESULT WINAPI WHvQueryGpaRangeDirtyBitmap(WHV_PARTITION_HANDLE Partition,
                                           WHV_GUEST_PHYSICAL_ADDRESS GuestAddress, UINT64 RangeSizeInBytes,
                                           UINT64 *Bitmap, UINT32 BitmapSizeInBytes);

HRESULT WINAPI WHvAdviseGpaRange(WHV_PARTITION_HANDLE Partition, const WHV_MEMORY_RANGE_ENTRY *GpaRanges,
                                 UINT32 GpaRangesCount, WHV_ADVISE_GPA_RANGE_CODE Advice,
                                 const VOID *AdviceBuffer, UINT32 AdviceBufferSizeInBytes);

/* Up to WHV_READ_WRITE_GPA_RANGE_MAX_SIZE bytes. */
HRESULT WINAPI WHvReadGpaRange(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                               WHV_GUEST_PHYSICAL_ADDRESS GuestAddress, WHV_ACCESS_GPA_CONTROLS Controls,
                               PVOID Data, UINT32 DataSizeInBytes);
HRESULT WINAPI WHvWriteGpaRange(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                WHV_GUEST_PHYSICAL_ADDRESS GuestAddress, WHV_ACCESS_GPA_CONTROLS Controls,
                                const VOID *Data, UINT32 DataSizeInBytes);

/* ---- Virtual processors ---- */

HRESULT WINAPI WHvCreateVirtualProcessor(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, UINT32 Flags);
HRESULT WINAPI WHvCreateVirtualProcessor2(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                          const WHV_VIRTUAL_PROCESSOR_PROPERTY *Properties,
                                          UINT32 PropertyCount);
HRESULT WINAPI WHvDeleteVirtualProcessor(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex);

/* Runs the guest on this thread until there is an exit; ExitContext is a WHV_RUN_VP_EXIT_CONTEXT. */
HRESULT WINAPI WHvRunVirtualProcessor(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, VOID *ExitContext,
                                      UINT32 ExitContextSizeInBytes);

/* From any thread. A processor that isn't running leaves its next run at once. */
HRESULT WINAPI WHvCancelRunVirtualProcessor(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, UINT32 Flags);

/* All of the registers or, on failure, none. */
HRESULT WINAPI WHvGetVirtualProcessorRegisters(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                               const WHV_REGISTER_NAME *RegisterNames, UINT32 RegisterCount,
                                               WHV_REGISTER_VALUE *RegisterValues);
HRESULT WINAPI WHvSetVirtualProcessorRegisters(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                               const WHV_REGISTER_NAME *RegisterNames, UINT32 RegisterCount,
                                               const WHV_REGISTER_VALUE *RegisterValues);

HRESULT WINAPI WHvGetVirtualProcessorState(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                           WHV_VIRTUAL_PROCESSOR_STATE_TYPE StateType, VOID *Buffer,
                                           UINT32 BufferSizeInBytes, UINT32 *BytesWritten);
HRESULT WINAPI WHvSetVirtualProcessorState(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                           WHV_VIRTUAL_PROCESSOR_STATE_TYPE StateType, const VOID *Buffer,
                                           UINT32 BufferSizeInBytes);

/* The older calls, for one kind of state each. */
HRESULT WINAPI WHvGetVirtualProcessorInterruptControllerState(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                                              VOID *State, UINT32 StateSize,
                                                              UINT32 *WrittenSize);
HRESULT WINAPI WHvSetVirtualProcessorInterruptControllerState(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                                              const VOID *State, UINT32 StateSize);
HRESULT WINAPI WHvGetVirtualProcessorInterruptControllerState2(WHV_PARTITION_HANDLE Partition,
                                                               UINT32 VpIndex, VOID *State, UINT32 StateSize,
                                                               UINT32 *WrittenSize);
HRESULT WINAPI WHvSetVirtualProcessorInterruptControllerState2(WHV_PARTITION_HANDLE Partition,
                                                               UINT32 VpIndex, const VOID *State,
                                                               UINT32 StateSize);
HRESULT WINAPI WHvGetVirtualProcessorXsaveState(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, VOID *Buffer,
                                                UINT32 BufferSizeInBytes, UINT32 *BytesWritten);
HRESULT WINAPI WHvSetVirtualProcessorXsaveState(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                                const VOID *Buffer, UINT32 BufferSizeInBytes);

/* What CPUID would return now, with no exit. */
HRESULT WINAPI WHvGetVirtualProcessorCpuidOutput(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex, UINT32 Eax,
                                                 UINT32 Ecx, WHV_CPUID_OUTPUT *CpuidOutput);

/* ---- Interrupts ---- */

/* A message on the APIC bus, from any thread; the partition emulates local APICs. */
HRESULT WINAPI WHvRequestInterrupt(WHV_PARTITION_HANDLE Partition, const WHV_INTERRUPT_CONTROL *Interrupt,
                                   UINT32 InterruptControlSize);
HRESULT WINAPI WHvGetInterruptTargetVpSet(WHV_PARTITION_HANDLE Partition, UINT64 Destination,
                                          WHV_INTERRUPT_DESTINATION_MODE DestinationMode, UINT32 *TargetVps,
                                          UINT32 VpCount, UINT32 *TargetVpCount);

HRESULT WINAPI WHvSignalVirtualProcessorSynicEvent(WHV_PARTITION_HANDLE Partition,
                                                   WHV_SYNIC_EVENT_PARAMETERS SynicEvent,
                                                   BOOL *NewlySignaled);
HRESULT WINAPI WHvPostVirtualProcessorSynicMessage(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                                   UINT32 SintIndex, const VOID *Message,
                                                   UINT32 MessageSizeInBytes);

/* ---- Counters ---- */

HRESULT WINAPI WHvGetPartitionCounters(WHV_PARTITION_HANDLE Partition, WHV_PARTITION_COUNTER_SET CounterSet,
                                       VOID *Buffer, UINT32 BufferSizeInBytes, UINT32 *BytesWritten);
HRESULT WINAPI WHvGetVirtualProcessorCounters(WHV_PARTITION_HANDLE Partition, UINT32 VpIndex,
                                              WHV_PROCESSOR_COUNTER_SET CounterSet, VOID *Buffer,
                                              UINT32 BufferSizeInBytes, UINT32 *BytesWritten);

/* ---- Doorbells, notification ports, triggers ---- */

/*
 * A guest's store that matches signals the event and has no other effect: no exit, no memory. EventHandle is an event; on
 * Linux an eventfd's descriptor, which gets 1 added, and may be closed as soon as the call returns. The page of
 * GuestAddress counts as unmapped while it has a doorbell, so what doesn't match leaves as ever. Stores that match are
 * MOV and its like, rounds of MOVS and STOS, PUSH, CALL, POP to memory, and vector stores without a mask; not
 * read-modify-writes, stores of x87 values, several stores of one instruction, or what the processor stores by itself.
 * WHvWriteGpaRange rings nothing.
 */

HRESULT WINAPI WHvRegisterPartitionDoorbellEvent(WHV_PARTITION_HANDLE Partition,
                                                 const WHV_DOORBELL_MATCH_DATA *MatchData,
                                                 HANDLE EventHandle);
HRESULT WINAPI WHvUnregisterPartitionDoorbellEvent(WHV_PARTITION_HANDLE Partition,
                                                   const WHV_DOORBELL_MATCH_DATA *MatchData);

HRESULT WINAPI WHvCreateNotificationPort(WHV_PARTITION_HANDLE Partition,
                                         const WHV_NOTIFICATION_PORT_PARAMETERS *Parameters,
                                         HANDLE EventHandle, WHV_NOTIFICATION_PORT_HANDLE *PortHandle);
HRESULT WINAPI WHvSetNotificationPortProperty(WHV_PARTITION_HANDLE Partition,
                                              WHV_NOTIFICATION_PORT_HANDLE PortHandle,
                                              WHV_NOTIFICATION_PORT_PROPERTY_CODE PropertyCode,
                                              WHV_NOTIFICATION_PORT_PROPERTY PropertyValue);
HRESULT WINAPI WHvDeleteNotificationPort(WHV_PARTITION_HANDLE Partition,
                                         WHV_NOTIFICATION_PORT_HANDLE PortHandle);

HRESULT WINAPI WHvCreateTrigger(WHV_PARTITION_HANDLE Partition, const WHV_TRIGGER_PARAMETERS *Parameters,
                                WHV_TRIGGER_HANDLE *TriggerHandle, HANDLE *EventHandle);
HRESULT WINAPI WHvUpdateTriggerParameters(WHV_PARTITION_HANDLE Partition,
                                          const WHV_TRIGGER_PARAMETERS *Parameters,
                                          WHV_TRIGGER_HANDLE TriggerHandle);
HRESULT WINAPI WHvDeleteTrigger(WHV_PARTITION_HANDLE Partition, WHV_TRIGGER_HANDLE TriggerHandle);

/* ---- Virtual PCI ---- */

HRESULT WINAPI WHvAllocateVpciResource(const GUID *ProviderId, WHV_ALLOCATE_VPCI_RESOURCE_FLAGS Flags,
                                       const VOID *ResourceDescriptor,
                                       UINT32 ResourceDescriptorSizeInBytes, HANDLE *VpciResource);
HRESULT WINAPI WHvCreateVpciDevice(WHV_PARTITION_HANDLE Partition, UINT64 LogicalDeviceId,
                                   HANDLE VpciResource, WHV_CREATE_VPCI_DEVICE_FLAGS Flags,
                                   HANDLE NotificationEventHandle);
HRESULT WINAPI WHvDeleteVpciDevice(WHV_PARTITION_HANDLE Partition, UINT64 LogicalDeviceId);
HRESULT WINAPI WHvGetVpciDeviceProperty(WHV_PARTITION_HANDLE Partition, UINT64 LogicalDeviceId,
                                        WHV_VPCI_DEVICE_PROPERTY_CODE PropertyCode, VOID *PropertyBuffer,
                                        UINT32 PropertyBufferSizeInBytes, UINT32 *WrittenSizeInBytes);
HRESULT WINAPI WHvGetVpciDeviceNotification(WHV_PARTITION_HANDLE Partition, UINT64 LogicalDeviceId,
                                            WHV_VPCI_DEVICE_NOTIFICATION *Notification,
                                            UINT32 NotificationSizeInBytes);
HRESULT WINAPI WHvMapVpciDeviceMmioRanges(WHV_PARTITION_HANDLE Partition, UINT64 LogicalDeviceId,
                                          UINT32 *MappingCount, WHV_VPCI_MMIO_MAPPING **Mappings);
HRESULT WINAPI WHvUnmapVpciDeviceMmioRanges(WHV_PARTITION_HANDLE Partition, UINT64 LogicalDeviceId);
HRESULT WINAPI WHvSetVpciDevicePowerState(WHV_PARTITION_HANDLE Partition, UINT64 LogicalDeviceId,
                                          DEVICE_POWER_STATE PowerState);
HRESULT WINAPI WHvReadVpciDeviceRegister(WHV_PARTITION_HANDLE Partition, UINT64 LogicalDeviceId,
                                         const WHV_VPCI_DEVICE_REGISTER *Register, VOID *Data);
HRESULT WINAPI WHvWriteVpciDeviceRegister(WHV_PARTITION_HANDLE Partition, UINT64 LogicalDeviceId,
                                          const WHV_VPCI_DEVICE_REGISTER *Register, const VOID *Data);
HRESULT WINAPI WHvMapVpciDeviceInterrupt(WHV_PARTITION_HANDLE Partition, UINT64 LogicalDeviceId, UINT32 Index,
                                         UINT32 MessageCount, const WHV_VPCI_INTERRUPT_TARGET *Target,
                                         UINT64 *MsiAddress, UINT32 *MsiData);
HRESULT WINAPI WHvUnmapVpciDeviceInterrupt(WHV_PARTITION_HANDLE Partition, UINT64 LogicalDeviceId,
                                           UINT32 Index);
HRESULT WINAPI WHvRetargetVpciDeviceInterrupt(WHV_PARTITION_HANDLE Partition, UINT64 LogicalDeviceId,
                                              UINT64 MsiAddress, UINT32 MsiData,
                                              const WHV_VPCI_INTERRUPT_TARGET *Target);
HRESULT WINAPI WHvRequestVpciDeviceInterrupt(WHV_PARTITION_HANDLE Partition, UINT64 LogicalDeviceId,
                                             UINT64 MsiAddress, UINT32 MsiData);
HRESULT WINAPI WHvGetVpciDeviceInterruptTarget(WHV_PARTITION_HANDLE Partition, UINT64 LogicalDeviceId,
                                               UINT32 Index, UINT32 MultiMessageNumber,
                                               WHV_VPCI_INTERRUPT_TARGET *Target, UINT32 TargetSizeInBytes,
                                               UINT32 *BytesWritten);

/* ---- Migration ---- */

HRESULT WINAPI WHvStartPartitionMigration(WHV_PARTITION_HANDLE Partition, HANDLE *MigrationHandle);
HRESULT WINAPI WHvCancelPartitionMigration(WHV_PARTITION_HANDLE Partition);
HRESULT WINAPI WHvCompletePartitionMigration(WHV_PARTITION_HANDLE Partition);
HRESULT WINAPI WHvAcceptPartitionMigration(HANDLE MigrationHandle, WHV_PARTITION_HANDLE *Partition);

#if defined(__GNUC__) && !defined(_WIN32)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif /* _WINHVAPI_H_ */

/*
 * Is a function there? All of them are, unless the environment asks for an older API level (softwhp.h): then those that
 * came later say FALSE. Under the guard of the published header's own part.
 */
#ifndef ext_ms_win_hyperv_hvplatform_l1_1_5_query_routines
#define ext_ms_win_hyperv_hvplatform_l1_1_5_query_routines

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) && !defined(_WIN32)
#pragma GCC visibility push(default)
#endif

BOOLEAN WINAPI IsWHvGetCapabilityPresent(VOID);
BOOLEAN WINAPI IsWHvCreatePartitionPresent(VOID);
BOOLEAN WINAPI IsWHvSetupPartitionPresent(VOID);
BOOLEAN WINAPI IsWHvResetPartitionPresent(VOID);
BOOLEAN WINAPI IsWHvDeletePartitionPresent(VOID);
BOOLEAN WINAPI IsWHvGetPartitionPropertyPresent(VOID);
BOOLEAN WINAPI IsWHvSetPartitionPropertyPresent(VOID);
BOOLEAN WINAPI IsWHvSuspendPartitionTimePresent(VOID);
BOOLEAN WINAPI IsWHvResumePartitionTimePresent(VOID);
BOOLEAN WINAPI IsWHvMapGpaRangePresent(VOID);
BOOLEAN WINAPI IsWHvMapGpaRange2Present(VOID);
BOOLEAN WINAPI IsWHvUnmapGpaRangePresent(VOID);
BOOLEAN WINAPI IsWHvTranslateGvaPresent(VOID);
BOOLEAN WINAPI IsWHvCreateVirtualProcessorPresent(VOID);
BOOLEAN WINAPI IsWHvCreateVirtualProcessor2Present(VOID);
BOOLEAN WINAPI IsWHvDeleteVirtualProcessorPresent(VOID);
BOOLEAN WINAPI IsWHvRunVirtualProcessorPresent(VOID);
BOOLEAN WINAPI IsWHvCancelRunVirtualProcessorPresent(VOID);
BOOLEAN WINAPI IsWHvGetVirtualProcessorRegistersPresent(VOID);
BOOLEAN WINAPI IsWHvSetVirtualProcessorRegistersPresent(VOID);
BOOLEAN WINAPI IsWHvGetVirtualProcessorInterruptControllerStatePresent(VOID);
BOOLEAN WINAPI IsWHvSetVirtualProcessorInterruptControllerStatePresent(VOID);
BOOLEAN WINAPI IsWHvRequestInterruptPresent(VOID);
BOOLEAN WINAPI IsWHvGetVirtualProcessorXsaveStatePresent(VOID);
BOOLEAN WINAPI IsWHvSetVirtualProcessorXsaveStatePresent(VOID);
BOOLEAN WINAPI IsWHvQueryGpaRangeDirtyBitmapPresent(VOID);
BOOLEAN WINAPI IsWHvGetPartitionCountersPresent(VOID);
BOOLEAN WINAPI IsWHvGetVirtualProcessorCountersPresent(VOID);
BOOLEAN WINAPI IsWHvGetVirtualProcessorInterruptControllerState2Present(VOID);
BOOLEAN WINAPI IsWHvSetVirtualProcessorInterruptControllerState2Present(VOID);
BOOLEAN WINAPI IsWHvRegisterPartitionDoorbellEventPresent(VOID);
BOOLEAN WINAPI IsWHvUnregisterPartitionDoorbellEventPresent(VOID);
BOOLEAN WINAPI IsWHvAdviseGpaRangePresent(VOID);
BOOLEAN WINAPI IsWHvReadGpaRangePresent(VOID);
BOOLEAN WINAPI IsWHvWriteGpaRangePresent(VOID);
BOOLEAN WINAPI IsWHvSignalVirtualProcessorSynicEventPresent(VOID);
BOOLEAN WINAPI IsWHvGetVirtualProcessorStatePresent(VOID);
BOOLEAN WINAPI IsWHvSetVirtualProcessorStatePresent(VOID);
BOOLEAN WINAPI IsWHvAllocateVpciResourcePresent(VOID);
BOOLEAN WINAPI IsWHvCreateVpciDevicePresent(VOID);
BOOLEAN WINAPI IsWHvDeleteVpciDevicePresent(VOID);
BOOLEAN WINAPI IsWHvGetVpciDevicePropertyPresent(VOID);
BOOLEAN WINAPI IsWHvGetVpciDeviceNotificationPresent(VOID);
BOOLEAN WINAPI IsWHvMapVpciDeviceMmioRangesPresent(VOID);
BOOLEAN WINAPI IsWHvUnmapVpciDeviceMmioRangesPresent(VOID);
BOOLEAN WINAPI IsWHvSetVpciDevicePowerStatePresent(VOID);
BOOLEAN WINAPI IsWHvReadVpciDeviceRegisterPresent(VOID);
BOOLEAN WINAPI IsWHvWriteVpciDeviceRegisterPresent(VOID);
BOOLEAN WINAPI IsWHvMapVpciDeviceInterruptPresent(VOID);
BOOLEAN WINAPI IsWHvUnmapVpciDeviceInterruptPresent(VOID);
BOOLEAN WINAPI IsWHvRetargetVpciDeviceInterruptPresent(VOID);
BOOLEAN WINAPI IsWHvRequestVpciDeviceInterruptPresent(VOID);
BOOLEAN WINAPI IsWHvGetVpciDeviceInterruptTargetPresent(VOID);
BOOLEAN WINAPI IsWHvCreateTriggerPresent(VOID);
BOOLEAN WINAPI IsWHvUpdateTriggerParametersPresent(VOID);
BOOLEAN WINAPI IsWHvDeleteTriggerPresent(VOID);
BOOLEAN WINAPI IsWHvCreateNotificationPortPresent(VOID);
BOOLEAN WINAPI IsWHvSetNotificationPortPropertyPresent(VOID);
BOOLEAN WINAPI IsWHvDeleteNotificationPortPresent(VOID);
BOOLEAN WINAPI IsWHvPostVirtualProcessorSynicMessagePresent(VOID);
BOOLEAN WINAPI IsWHvGetVirtualProcessorCpuidOutputPresent(VOID);
BOOLEAN WINAPI IsWHvGetInterruptTargetVpSetPresent(VOID);
BOOLEAN WINAPI IsWHvStartPartitionMigrationPresent(VOID);
BOOLEAN WINAPI IsWHvCancelPartitionMigrationPresent(VOID);
BOOLEAN WINAPI IsWHvCompletePartitionMigrationPresent(VOID);
BOOLEAN WINAPI IsWHvAcceptPartitionMigrationPresent(VOID);

#if defined(__GNUC__) && !defined(_WIN32)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif
