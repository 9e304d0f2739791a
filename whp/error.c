/* SPDX-License-Identifier: MIT */
/* The last error text of each thread, and copying results out. */
#include "whp/error.h"

#include <stdarg.h>
#include <stdio.h>

enum { TEXT_SIZE = 512 };
static _Thread_local char last_text[TEXT_SIZE];

HRESULT fail(HRESULT hr, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(last_text, sizeof last_text, format, ap);
    va_end(ap);
    return hr;
}

HRESULT give(void *buffer, u32 size, u32 *written, const void *value, u32 natural)
{
    if (written)
        *written = natural;
    if (size < natural)
        return fail(WHV_E_INSUFFICIENT_BUFFER, "the buffer has %u bytes, the value %u", size, natural);
    if (!buffer)
        return fail(E_POINTER, "the buffer is NULL");
    memcpy(buffer, value, natural);
    return S_OK;
}

HRESULT give_text(char *buffer, u32 size, u32 *written, const char *text)
{
    size_t whole = strlen(text) + 1;

    if (written)
        *written = (u32)whole;
    if (size && !buffer)
        return fail(E_POINTER, "Text is NULL");
    if (whole <= size) {
        memcpy(buffer, text, whole);
        return S_OK;
    }
    if (size) {
        memcpy(buffer, text, size - 1);
        buffer[size - 1] = 0;
    }
    return WHV_E_INSUFFICIENT_BUFFER; /* and the last text stays, for who comes back with a larger buffer */
}

HRESULT WINAPI SwhpGetLastErrorText(char *Text, UINT32 Size, UINT32 *Written)
{
    return give_text(Text, Size, Written, last_text);
}
