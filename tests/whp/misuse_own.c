/* SPDX-License-Identifier: MIT */
/* Misuses: the functions of softwhp.h. */
#include "tests/whp/misuse.h"

static VOID CALLBACK on_line(VOID *context, UINT32 vp, UINT64 count, UINT32 kind, const char *line)
{
    (void)context;
    (void)vp;
    (void)count;
    (void)kind;
    (void)line;
}

static VOID CALLBACK on_instruction(VOID *context, const SWHP_INSTRUCTION *instruction)
{
    (void)context;
    (void)instruction;
}

/* A text is cut to the room that there is, and its whole size told. */
static HRESULT cut(struct scene *s)
{
    char whole[512];
    u32 size;

    ck_hr(WHvCreatePartition(NULL), E_POINTER);
    ck_ok(SwhpGetLastErrorText(whole, sizeof whole, &size));
    HRESULT hr = TOLD(s, size, SwhpGetLastErrorText((char *)s->room, 8, &s->written));

    ck_assert(!memcmp(s->room, whole, 7) && !s->room[7]);
    ck_assert(SwhpGetLastErrorText(NULL, 0, NULL) == hr);
    return hr;
}

enum { CONTEXT = sizeof(WHV_RUN_VP_EXIT_CONTEXT) };

void own_rows(struct visit *v, struct scene *s)
{
    void *room = s->room;

    FUNCTION(SwhpRunVirtualProcessorUntil, TAKES_VP, "XX.VVVI", "as WHvRunVirtualProcessor, to a count at most",
             (s->p, s->vp, ~(u64)0, room, CONTEXT));
    ROW("ExitContext is NULL", E_POINTER, "ExitContext", "1.5",
        SwhpRunVirtualProcessorUntil(s->p, 0, 0, NULL, CONTEXT));
    ROW("ExitContextSizeInBytes is 143", WHV_E_INSUFFICIENT_BUFFER, "ExitContextSizeInBytes", "1.5",
        SwhpRunVirtualProcessorUntil(s->p, 0, 0, s->out, 143));

    FUNCTION(SwhpRunPartition, TAKES_PARTITION, "XX.VVVI", "all processors in turns, on this thread",
             (s->p, ~(u64)0, &s->written, room, CONTEXT));
    ROW("VpIndex is NULL", E_POINTER, "VpIndex", "softwhp.h", SwhpRunPartition(s->p, 0, NULL, s->out, CONTEXT));
    ROW("ExitContext is NULL", E_POINTER, "ExitContext", "softwhp.h",
        SwhpRunPartition(s->p, 0, &s->written, NULL, CONTEXT));
    ROW("ExitContextSizeInBytes is 143", WHV_E_INSUFFICIENT_BUFFER, "ExitContextSizeInBytes", "softwhp.h",
        SwhpRunPartition(s->p, 0, &s->written, s->out, 143));
    ROW("there is no processor", WHV_E_VP_DOES_NOT_EXIST, "Partition", "softwhp.h",
        SwhpRunPartition(s->fixed, 0, &s->written, s->out, CONTEXT));
    ROW("before Setup", WHV_E_VP_DOES_NOT_EXIST, "Partition", "softwhp.h",
        SwhpRunPartition(s->raw, 0, &s->written, s->out, CONTEXT));

    FUNCTION(SwhpGetInstructionCount, TAKES_VP, "XX...VI", "what has retired; it never falls", (s->p, s->vp, room));
    ROW("Count is NULL", E_POINTER, "Count", "softwhp.h", SwhpGetInstructionCount(s->p, 0, NULL));

    FUNCTION(SwhpGetClock, TAKES_PARTITION, ".....VI", "in counts", (s->p, room));
    ROW("Clock is NULL", E_POINTER, "Clock", "softwhp.h", SwhpGetClock(s->p, NULL));

    FUNCTION(SwhpAdvanceClock, TAKES_PARTITION, "...VVVI", "the virtual clock's", (s->p, 1));
    ROW("the clock is the host's", E_INVALIDARG, "clock", "softwhp.h", SwhpAdvanceClock(s->raw, 1));
    ROW("past 2^63", E_INVALIDARG, "Counts", "softwhp.h", SwhpAdvanceClock(s->p, ((u64)1 << 63) + 1));
    ROW("past 2^64", E_INVALIDARG, "Counts", "softwhp.h", SwhpAdvanceClock(s->p, ~(u64)0));

    FUNCTION(SwhpStateHash, TAKES_PARTITION, "...VVVI", "of processors and memory", (s->p, room));
    ROW("Digest is NULL", E_POINTER, "Digest", "softwhp.h", SwhpStateHash(s->p, NULL));

    FUNCTION(SwhpTraceStart, TAKES_PARTITION, "...VVVI", "a line of text for each exit",
             (s->p, SwhpTraceExit, on_line, NULL));
    ROW("Callback is NULL", E_POINTER, "Callback", "softwhp.h", SwhpTraceStart(s->p, SwhpTraceExit, NULL, NULL));
    ROW("Kinds is 0", E_INVALIDARG, "Kinds", "softwhp.h", SwhpTraceStart(s->p, 0, on_line, NULL));
    ROW("Kinds has one that there isn't", E_INVALIDARG, "Kinds", "softwhp.h",
        SwhpTraceStart(s->p, SwhpTraceExit | 1u << 31, on_line, NULL));

    FUNCTION(SwhpTraceStop, TAKES_PARTITION, "...VVVI", "nothing, if there is none", (s->p));

    FUNCTION(SwhpSetIgnne, TAKES_VP, "XX.V.VI", "asserts or drops IGNNE#", (s->p, s->vp, TRUE));

    FUNCTION(SwhpExplainLastExit, TAKES_VP, "XX.V.VI", "in words", (s->p, s->vp, room, SCENE_ROOM, NULL));
    ROW("Text is NULL", E_POINTER, "Text", "softwhp.h", SwhpExplainLastExit(s->p, 0, NULL, 8, NULL));

    FUNCTION(SwhpGetLastErrorText, TAKES_NOTHING, ".......", "this thread's", (room, SCENE_ROOM, NULL));
    ROW("Size is too small: cut*", WHV_E_INSUFFICIENT_BUFFER, "Partition", "softwhp.h", cut(s));
    ROW("Text is NULL", E_POINTER, "Text", "softwhp.h", SwhpGetLastErrorText(NULL, 8, NULL));

    FUNCTION(SwhpListInstructions, TAKES_NOTHING, ".......", "what the processor carries out", (on_instruction, NULL));
    ROW("Callback is NULL", E_POINTER, "Callback", "softwhp.h", SwhpListInstructions(NULL, NULL));
}
