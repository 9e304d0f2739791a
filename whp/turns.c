/* SPDX-License-Identifier: MIT */
/* SwhpRunPartition: all processors of a partition on the calling thread. */
#include "cpu/turns.h"

#include "whp/partition.h"
#include "whp/processor.h"
#include "whp/trace.h"

struct team {
    struct vcpu *cpu[MAX_PROCESSORS];
    u32 n;
};

static void disband(WHV_PARTITION_HANDLE handle, const struct team *team)
{
    for (u32 i = 0; i < team->n; i++) {
        struct vcpu *cpu = team->cpu[i];

        __atomic_store_n(&cpu->in_turns, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&handle_door(handle, cpu->index)->thread, NULL, __ATOMIC_RELAXED);
        vcpu_leave_door(handle, cpu->index);
    }
}

enum taken { TAKEN, TAKEN_AWAY, TAKEN_BUSY, TAKEN_RUNNING };

/* Without waiting: who is busy with it may hold a meeting, which waits for those that are in the team already. */
static enum taken take(WHV_PARTITION_HANDLE handle, u32 index, struct vcpu **cpu)
{
    while (!vcpu_try_enter(handle, index, DOOR_RUNNING, cpu)) {
        u64 seen = __atomic_load_n(&handle_door(handle, index)->state, __ATOMIC_SEQ_CST);

        if ((seen & ~(u64)DOOR_STATE) != handle_number(handle))
            return TAKEN_AWAY;
        if (seen & DOOR_STATE)
            return (seen & DOOR_STATE) == DOOR_RUNNING ? TAKEN_RUNNING : TAKEN_BUSY;
    }
    return TAKEN;
}

/* Takes all processors that there are, or none. S_FALSE: somebody is busy with one. */
static HRESULT gather(WHV_PARTITION_HANDLE handle, const struct partition *p, struct team *team)
{
    team->n = 0;
    for (u32 i = 0; i < p->processors; i++) {
        struct vcpu *cpu;
        enum taken taken = take(handle, i, &cpu);

        if (taken == TAKEN_AWAY)
            continue;
        if (taken != TAKEN) {
            disband(handle, team);
            return taken == TAKEN_BUSY
                       ? S_FALSE
                       : fail(WHV_E_INVALID_VP_STATE,
                              "Partition: processor %u is inside WHvRunVirtualProcessor or SwhpRunPartition; "
                              "WHvCancelRunVirtualProcessor ends that",
                              i);
        }
        __atomic_store_n(&p->doors[i].thread, thread_mark(), __ATOMIC_RELAXED);
        __atomic_store_n(&cpu->in_turns, 1, __ATOMIC_RELAXED);
        team->cpu[team->n++] = cpu;
    }
    return team->n ? S_OK
                   : fail(WHV_E_VP_DOES_NOT_EXIST,
                          "Partition: it has no processor to run; WHvCreateVirtualProcessor makes one");
}

/* The same at a time when no meeting is held. Running doors keep the partition from being deleted. */
static HRESULT enter(WHV_PARTITION_HANDLE handle, struct team *team, struct partition **p)
{
    HRESULT hr = partition_enter(handle, p);

    if (FAILED(hr))
        return hr;
    for (;;) {
        hr = gather(handle, *p, team);
        if (hr == S_FALSE) {
            host_yield();
            continue;
        }
        if (FAILED(hr) || !__atomic_load_n(&(*p)->meeting, __ATOMIC_SEQ_CST))
            break;
        disband(handle, team); /* steps back until it is over */
        meet_wait(*p);
    }
    partition_leave(handle);
    return hr;
}

static HRESULT run(WHV_PARTITION_HANDLE handle, u64 clock, UINT32 *index, WHV_RUN_VP_EXIT_CONTEXT *context)
{
    struct team team;
    struct partition *p;
    struct vcpu *left;
    HRESULT hr = enter(handle, &team, &p);

    if (FAILED(hr))
        return hr;
    if (__atomic_load_n(&p->is_suspended, __ATOMIC_RELAXED))
        partition_resume_time(p);
    for (u32 i = 0; i < team.n; i++)
        if (team.cpu[i]->load_pdptes)
            processor_load_pdptes(team.cpu[i]);
    left = turns_run(p, team.cpu, team.n, clock, context);
    if (unlikely(p->trace != NULL))
        trace_exit(left);
    *index = left->index;
    disband(handle, &team);
    return S_OK;
}

HRESULT WINAPI SwhpRunPartition(WHV_PARTITION_HANDLE Partition, UINT64 Clock, UINT32 *VpIndex, VOID *ExitContext,
                                UINT32 ExitContextSizeInBytes)
{
    WHV_RUN_VP_EXIT_CONTEXT own;
    HRESULT hr = context_check(ExitContext, ExitContextSizeInBytes);

    if (FAILED(hr))
        return hr;
    if (!VpIndex)
        return fail(E_POINTER, "VpIndex is NULL");
    if (context_fits(ExitContext, ExitContextSizeInBytes))
        return run(Partition, Clock, VpIndex, ExitContext);
    hr = run(Partition, Clock, VpIndex, &own); /* a context of an older SDK, or not aligned */
    if (SUCCEEDED(hr))
        memcpy(ExitContext, &own, ExitContextSizeInBytes < CONTEXT_SIZE ? ExitContextSizeInBytes : CONTEXT_SIZE);
    return hr;
}
