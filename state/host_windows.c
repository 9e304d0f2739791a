/* SPDX-License-Identifier: MIT */
/* state/host.h on Windows, from version 8 on. Links synchronization and bcrypt. */
#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define _WIN32_WINNT 0x0602
#include <windows.h>

#include <bcrypt.h>
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>

#include "state/host.h"

enum { NANOSECONDS = 1000000000, NANOSECONDS_A_MILLISECOND = 1000000 };

/* ---- memory, time, randomness ---- */

/* What is committed counts against the system's limit from now on; the pages themselves come when they are touched. */
void *host_alloc(size_t size)
{
    return size ? VirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE) : NULL;
}

void host_free(void *p, size_t size)
{
    (void)size;
    if (p)
        VirtualFree(p, 0, MEM_RELEASE);
}

u64 host_nanoseconds(void)
{
    LARGE_INTEGER now, frequency;

    QueryPerformanceFrequency(&frequency); /* neither fails, since Windows XP */
    QueryPerformanceCounter(&now);
    return (u64)((u128)(u64)now.QuadPart * NANOSECONDS / (u64)frequency.QuadPart);
}

u64 host_random(void)
{
    u64 v;

    if (BCryptGenRandom(NULL, (PUCHAR)&v, sizeof v, BCRYPT_USE_SYSTEM_PREFERRED_RNG) < 0)
        abort(); /* no answer would be random */
    return v;
}

/* ---- threads ---- */

/* Not shorter than asked for; but what is longer than Windows can say is cut, which every caller allows. */
static DWORD milliseconds(u64 nanoseconds)
{
    u64 n = nanoseconds / NANOSECONDS_A_MILLISECOND + (nanoseconds % NANOSECONDS_A_MILLISECOND != 0);

    if (nanoseconds == ~(u64)0)
        return INFINITE;
    return n < INFINITE ? (DWORD)n : INFINITE - 1;
}

void host_wait(u32 *word, u32 value, u64 nanoseconds)
{
    WaitOnAddress(word, &value, sizeof value, milliseconds(nanoseconds));
}

void host_wake(u32 *word)
{
    WakeByAddressSingle(word);
}

_Static_assert(sizeof(SRWLOCK) <= sizeof(struct host_lock), "a lock has room");
_Static_assert(sizeof(CONDITION_VARIABLE) <= sizeof(struct host_condition), "a condition has room");

/* SRWLOCK_INIT and CONDITION_VARIABLE_INIT are zeros. */
static SRWLOCK *srw(struct host_lock *l)
{
    return (SRWLOCK *)l;
}

void host_lock(struct host_lock *l)
{
    AcquireSRWLockExclusive(srw(l));
}

void host_unlock(struct host_lock *l)
{
    ReleaseSRWLockExclusive(srw(l));
}

void host_condition_wait(struct host_condition *c, struct host_lock *l)
{
    SleepConditionVariableSRW((CONDITION_VARIABLE *)c, srw(l), INFINITE, 0);
}

void host_condition_wait_for(struct host_condition *c, struct host_lock *l, u64 nanoseconds)
{
    SleepConditionVariableSRW((CONDITION_VARIABLE *)c, srw(l), milliseconds(nanoseconds), 0);
}

void host_condition_wake_all(struct host_condition *c)
{
    WakeAllConditionVariable((CONDITION_VARIABLE *)c);
}

void host_yield(void)
{
    SwitchToThread();
}

/* ---- events, files ---- */

void *host_event_copy(void *event, bool *is_event)
{
    HANDLE self = GetCurrentProcess(), copy = NULL;

    *is_event = DuplicateHandle(self, event, self, &copy, EVENT_MODIFY_STATE, FALSE, 0) ||
                GetLastError() != ERROR_INVALID_HANDLE;
    return copy;
}

void host_event_close(void *copy)
{
    CloseHandle(copy);
}

void host_event_signal(void *event)
{
    SetEvent(event);
}

void *host_log_open(const char *path)
{
    FILE *file;
    int fd;

    if (path) { /* FILE_APPEND_DATA without FILE_WRITE_DATA: each write goes to the end, whoever else writes */
        HANDLE h = CreateFileA(path, FILE_APPEND_DATA | SYNCHRONIZE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, CREATE_ALWAYS,
                               FILE_ATTRIBUTE_NORMAL, NULL);

        if (h == INVALID_HANDLE_VALUE)
            return NULL;
        fd = _open_osfhandle((intptr_t)h, _O_APPEND);
        if (fd < 0)
            CloseHandle(h);
    } else {
        fd = _dup(2);
    }
    file = fd < 0 ? NULL : _fdopen(fd, "a");
    if (!file && fd >= 0)
        _close(fd);
    return file;
}

#endif
