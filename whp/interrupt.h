/* SPDX-License-Identifier: MIT */
/* The interrupt controller's state as one page, for the other files of this folder. */
#ifndef WHP_INTERRUPT_H
#define WHP_INTERRUPT_H

#include "state/types.h"
#include "whp/error.h"

enum { INTERRUPT_STATE_SIZE = 4096 };

/* is_exact: the size must be that of the page, as the call by kind of state wants it. */
HRESULT interrupt_state_set(WHV_PARTITION_HANDLE handle, u32 index, const void *state, u32 size, bool is_exact);

#endif
