/* SPDX-License-Identifier: MIT */
/* The functions of the API that this version hasn't: they check the handle, change nothing and say so. */
#include "whp/handle.h"
#include "whp/level.h"

static HRESULT not_here(const char *name)
{
    return fail(HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED), "%s isn't there in this version", name);
}

static HRESULT refuse(WHV_PARTITION_HANDLE handle, const char *name)
{
    struct partition *p;

    if (level_lacks(handle, name))
        return E_NOTIMPL;

    HRESULT hr = partition_enter(handle, &p);

    if (FAILED(hr))
        return hr;
    partition_leave(handle);
    return not_here(name);
}

/* ---- the rest ---- */

/* Parameters beyond the handle aren't looked at, so they have no names here. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"

#define LACKING(name, ...)                                                                                   \
    HRESULT WINAPI name(WHV_PARTITION_HANDLE Partition, __VA_ARGS__)                                         \
    {                                                                                                        \
        return refuse(Partition, #name);                                                                     \
    }
#define LACKING_ALONE(name)                                                                                  \
    HRESULT WINAPI name(WHV_PARTITION_HANDLE Partition)                                                      \
    {                                                                                                        \
        return refuse(Partition, #name);                                                                     \
    }

LACKING(WHvCreateTrigger, const WHV_TRIGGER_PARAMETERS *a, WHV_TRIGGER_HANDLE *b, HANDLE *c)
LACKING(WHvUpdateTriggerParameters, const WHV_TRIGGER_PARAMETERS *a, WHV_TRIGGER_HANDLE b)
LACKING(WHvDeleteTrigger, WHV_TRIGGER_HANDLE a)
LACKING(WHvCreateVpciDevice, UINT64 a, HANDLE b, WHV_CREATE_VPCI_DEVICE_FLAGS c, HANDLE d)
LACKING(WHvDeleteVpciDevice, UINT64 a)
LACKING(WHvGetVpciDeviceProperty, UINT64 a, WHV_VPCI_DEVICE_PROPERTY_CODE b, VOID *c, UINT32 d, UINT32 *e)
LACKING(WHvGetVpciDeviceNotification, UINT64 a, WHV_VPCI_DEVICE_NOTIFICATION *b, UINT32 c)
LACKING(WHvMapVpciDeviceMmioRanges, UINT64 a, UINT32 *b, WHV_VPCI_MMIO_MAPPING **c)
LACKING(WHvUnmapVpciDeviceMmioRanges, UINT64 a)
LACKING(WHvSetVpciDevicePowerState, UINT64 a, DEVICE_POWER_STATE b)
LACKING(WHvReadVpciDeviceRegister, UINT64 a, const WHV_VPCI_DEVICE_REGISTER *b, VOID *c)
LACKING(WHvWriteVpciDeviceRegister, UINT64 a, const WHV_VPCI_DEVICE_REGISTER *b, const VOID *c)
LACKING(WHvMapVpciDeviceInterrupt, UINT64 a, UINT32 b, UINT32 c, const WHV_VPCI_INTERRUPT_TARGET *d,
        UINT64 *e, UINT32 *f)
LACKING(WHvUnmapVpciDeviceInterrupt, UINT64 a, UINT32 b)
LACKING(WHvRetargetVpciDeviceInterrupt, UINT64 a, UINT64 b, UINT32 c, const WHV_VPCI_INTERRUPT_TARGET *d)
LACKING(WHvRequestVpciDeviceInterrupt, UINT64 a, UINT64 b, UINT32 c)
LACKING(WHvGetVpciDeviceInterruptTarget, UINT64 a, UINT32 b, UINT32 c, WHV_VPCI_INTERRUPT_TARGET *d, UINT32 e,
        UINT32 *f)
LACKING(WHvStartPartitionMigration, HANDLE *a)
LACKING_ALONE(WHvCancelPartitionMigration)
LACKING_ALONE(WHvCompletePartitionMigration)

HRESULT WINAPI WHvAllocateVpciResource(const GUID *a, WHV_ALLOCATE_VPCI_RESOURCE_FLAGS b, const VOID *c,
                                       UINT32 d, HANDLE *e)
{
    return level_of_process_lacks(__func__) ? E_NOTIMPL : not_here(__func__);
}

HRESULT WINAPI WHvAcceptPartitionMigration(HANDLE a, WHV_PARTITION_HANDLE *b)
{
    return level_of_process_lacks(__func__) ? E_NOTIMPL : not_here(__func__);
}

#pragma GCC diagnostic pop
