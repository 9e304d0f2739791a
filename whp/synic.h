/* SPDX-License-Identifier: MIT */
/* The synthetic interrupt controller's state by kind, for the calls that take one. Reference 7.4. */
#ifndef WHP_SYNIC_H
#define WHP_SYNIC_H

#include "state/types.h"
#include "whp/error.h"

/* kind: WHV_VIRTUAL_PROCESSOR_STATE_TYPE 0 to 2. */
HRESULT synic_state_get(WHV_PARTITION_HANDLE handle, u32 index, u32 kind, void *buffer, u32 size, u32 *written);
HRESULT synic_state_set(WHV_PARTITION_HANDLE handle, u32 index, u32 kind, const void *buffer, u32 size);

#endif
