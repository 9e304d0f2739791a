/* SPDX-License-Identifier: MIT */
/*
 * The command-line tool: subcommands, and the one line on standard error that says why something failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "isa.h"
#include "machine.h"
#include "replay.h"

static int complain(const struct problem *problem)
{
    if (problem->text[0])
        fprintf(stderr, "softwhp: %s\n", problem->text);
    return problem->status;
}

static int print(const char *text)
{
    struct problem problem;

    if (fputs(text, stdout) >= 0 && fflush(stdout) == 0)
        return STATUS_WELL;
    problem_is(&problem, STATUS_HOST, "standard output can't be written: %s", strerror(errno));
    return complain(&problem);
}

/* A standard stream that is closed would be the next file that is opened: it shall fail instead. */
static void hold_standard_streams(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            _exit(STATUS_HOST);
}

static int run(int count, char **words)
{
    struct options options;
    struct problem problem = {0};
    struct machine *machine;
    int status;

    if (!options_read(&options, count, words, &problem))
        return complain(&problem);
    if (options.help)
        return print(options_help);
    machine = calloc(1, sizeof *machine);
    if (!machine) {
        problem_is(&problem, STATUS_HOST, "the host has no memory");
        return complain(&problem);
    }
    if (machine_make(machine, &options, &problem)) {
        machine_run(machine);
        status = machine_report(machine);
    } else {
        status = complain(&problem);
    }
    machine_free(machine);
    free(machine);
    return status;
}

/* A subcommand that tells by the problem how it ended; `help` where that is all that was asked for. */
static int carry_out(int (*command)(int, char **, struct problem *), const char *help, int count, char **words)
{
    struct problem problem = {0};

    if (count == 1 && strcmp(words[0], "--help") == 0)
        return print(help);
    command(count, words, &problem);
    return complain(&problem);
}

static int replay(int count, char **words)
{
    return carry_out(replay_command, replay_help, count, words);
}

static int isa(int count, char **words)
{
    return carry_out(isa_command, isa_help, count, words);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int count, char **words);
    } subcommands[] = {{"run", run}, {"replay", replay}, {"isa", isa}};
    struct problem problem;

    hold_standard_streams();
    if (argc < 2) {
        problem_is(&problem, STATUS_USAGE, "say what to do, such as: softwhp run FILE; see softwhp --help");
        return complain(&problem);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print(options_help);
    if (strcmp(argv[1], "--version") == 0)
        return print("softwhp " SWHP_VERSION "\n");
    for (size_t i = 0; i < sizeof subcommands / sizeof subcommands[0]; i++)
        if (strcmp(argv[1], subcommands[i].name) == 0)
            return subcommands[i].run(argc - 2, argv + 2);
    problem_is(&problem, STATUS_USAGE, "unknown %s %s; see softwhp --help",
               argv[1][0] == '-' ? "option" : "subcommand", argv[1]);
    return complain(&problem);
}
