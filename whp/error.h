/* SPDX-License-Identifier: MIT */
/* How functions of the API refuse: an HRESULT, and a text that SwhpGetLastErrorText gives back. */
#ifndef WHP_ERROR_H
#define WHP_ERROR_H

#include "include/softwhp.h"
#include "state/types.h"

/* Hypervisor status codes that the API passes on. */
#define HV_INVALID_PARAMETER ((HRESULT)0xC0350005u)
#define HV_ACCESS_DENIED ((HRESULT)0xC0350006u)
#define HV_INVALID_PARTITION_STATE ((HRESULT)0xC0350007u)
#define HV_OPERATION_DENIED ((HRESULT)0xC0350008u)
#define HV_INVALID_SYNIC_STATE ((HRESULT)0xC0350018u)
#define HV_OBJECT_IN_USE ((HRESULT)0xC0350019u)
#define HV_INVALID_REGISTER_VALUE ((HRESULT)0xC0350050u)

/* Remembers the text for this thread (which argument, what is wrong with it, what would help); returns hr. */
COLD HRESULT fail(HRESULT hr, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Copies a value or a text out, as all functions do it: written (may be NULL) gets the natural size in any
 * case; a buffer that is smaller gets nothing and WHV_E_INSUFFICIENT_BUFFER. */
HRESULT give(void *buffer, u32 size, u32 *written, const void *value, u32 natural);

/* The same for a text, which is cut to the buffer and ended by a zero byte. */
HRESULT give_text(char *buffer, u32 size, u32 *written, const char *text);

#endif
