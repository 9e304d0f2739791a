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

int machine_report(struct machine *m)
{
    if (m->trace)
        SwhpTraceStop(m->partition);
    close_file(m, &m->trace, m->options->trace_file ? m->options->trace_file : "standard error");
    close_file(m, &m->log, m->options->log_file);
    if (m->problem.text[0])
        fprintf(stderr, "softwhp: %s\n", m->problem.text);
    if (m->options->summary)
        summarize(m);
    if (m->options->hash)
        print_hash(m);
    return m->status;
}
