/* SPDX-License-Identifier: MIT */
/*
 * What is said at the end: the problem, the summary of exits, the digest.
 */
#include <errno.h>
#include <inttypes.h>

#include "machine.h"

static const struct {
    WHV_RUN_VP_EXIT_REASON reason;
    const char *name;
} kinds[EXIT_KINDS] = {
    {WHvRunVpExitReasonNone, "None"},
    {WHvRunVpExitReasonMemoryAccess, "MemoryAccess"},
    {WHvRunVpExitReasonX64IoPortAccess, "X64IoPortAccess"},
    {WHvRunVpExitReasonUnrecoverableException, "UnrecoverableException"},
    {WHvRunVpExitReasonInvalidVpRegisterValue, "InvalidVpRegisterValue"},
    {WHvRunVpExitReasonUnsupportedFeature, "UnsupportedFeature"},
    {WHvRunVpExitReasonX64InterruptWindow, "X64InterruptWindow"},
    {WHvRunVpExitReasonX64Halt, "X64Halt"},
    {WHvRunVpExitReasonX64ApicEoi, "X64ApicEoi"},
    {WHvRunVpExitReasonX64ApicWriteTrap, "X64ApicWriteTrap"},
    {WHvRunVpExitReasonCanceled, "Canceled"},
    {SwhpRunVpExitReasonCount, "Count"},
    {SwhpRunVpExitReasonFerrFreeze, "FerrFreeze"},
};

void processor_count_exit(struct processor *cpu, WHV_RUN_VP_EXIT_REASON reason)
{
    for (unsigned i = 0; i < EXIT_KINDS && (i == 0 || kinds[i].name); i++) {
        if (kinds[i].reason == reason) {
            cpu->exits[i]++;
            return;
        }
    }
    cpu->exits[0]++;
}

static void summarize(struct machine *m)
{
    double seconds = (double)(host_time() - m->started) / 1e9;
    uint64_t count = machine_instructions(m);

    fprintf(stderr, "softwhp: %s\n", m->how);
    fprintf(stderr,
            "%12" PRIu64 "  instructions in %.3f s, %.1f million a second; the guest's clock is at %.3f s\n",
            count, seconds, seconds > 0 ? (double)count / seconds / 1e6 : 0.0,
            (double)machine_now(m) / 1e9);
    for (unsigned i = 0; i < EXIT_KINDS; i++) {
        uint64_t exits = 0;

        for (unsigned n = 0; n < m->processor_count; n++)
            exits += m->processors[n].exits[i];
        if (exits)
            fprintf(stderr, "%12" PRIu64 "  %s\n", exits, kinds[i].name);
    }
}

/* Only closing tells whether all of it could be written. */
static void close_file(struct machine *m, FILE **file, const char *name)
{
    bool failed = *file && ferror(*file);

    errno = failed ? EIO : 0;
    if (*file && *file != stderr)
        failed |= fclose(*file) != 0;
    if (failed)
        machine_lost(m, name, errno);
    *file = NULL;
}

static void print_hash(struct machine *m)
{
    SWHP_DIGEST digest;
    HRESULT result = SwhpStateHash(m->partition, &digest);

    if (result != S_OK) {
        m->status = STATUS_BADLY;
        platform_problem(&m->problem, STATUS_BADLY, "SwhpStateHash", result);
        fprintf(stderr, "softwhp: %s\n", m->problem.text);
        return;
    }
    fprintf(stderr, "hash ");
    for (size_t i = 0; i < sizeof digest.Bytes; i++)
        fprintf(stderr, "%02x", digest.Bytes[i]);
    fprintf(stderr, "\n");
}

/* The lines of text memory without what is blank at their ends, nor lines that are blank at the end. */
static void print_screen(const struct machine *m)
{
    enum { ROWS = 25, COLUMNS = 80 };
    const uint8_t *text = m->memory.host + MEMORY_TEXT;
    unsigned blank = 0;

    for (unsigned row = 0; row < ROWS; row++) {
        char line[COLUMNS + 1] = "";
        unsigned length = 0;

        for (unsigned column = 0; column < COLUMNS; column++) {
            uint8_t byte = text[2 * (row * COLUMNS + column)];

            line[column] = byte >= ' ' && byte < 0x7f ? (char)byte : byte ? '.' : ' ';
            if (line[column] != ' ')
                length = column + 1;
        }
        line[length] = 0;
        blank = length ? blank : blank + 1;
        if (!length)
            continue;
        for (; blank; blank--)
            fprintf(stderr, "\n");
        fprintf(stderr, "%s\n", line);
    }
}

void machine_tell(struct machine *m)
{
    if (m->problem.text[0])
        fprintf(stderr, "softwhp: %s\n", m->problem.text);
    if (m->options->summary)
        summarize(m);
}

int machine_report(struct machine *m)
{
    if (m->trace)
        SwhpTraceStop(m->partition);
    close_file(m, &m->trace, m->options->trace_file ? m->options->trace_file : "standard error");
    close_file(m, &m->log, m->options->log_file);
    machine_tell(m);
    if (m->options->screen && m->is_made)
        print_screen(m);
    if (m->options->hash && m->is_made)
        print_hash(m);
    return m->status;
}
