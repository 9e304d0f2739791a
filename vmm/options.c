/* SPDX-License-Identifier: MIT */
/*
 * The command line of `softwhp run`: one table says which options there are and which take a value.
 */
#include "options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fw_cfg.h"

const char options_help[] =
    "usage: softwhp run [OPTION]... FILE\n"
    "       softwhp run [OPTION]... --firmware FILE [KERNEL]\n"
    "       softwhp replay [OPTION]... FILE...    hardware vectors; see softwhp replay --help\n"
    "       softwhp isa [EXTENSION]               the table of instructions\n"
    "       softwhp --help | --version\n"
    "\n"
    "Runs a guest on a software x86-64 processor: a Linux bzImage, an ELF kernel with a PVH\n"
    "note or a multiboot header, or a flat binary. Its serial port is the terminal.\n"
    "\n"
    "  --kernel-args TEXT     the kernel's command line (console=ttyS0)\n"
    "  --initrd FILE          the initial file system; the module, for multiboot and PVH\n"
    "  --memory SIZE          the guest's memory, with K, M or G (256M)\n"
    "  --cpus N               processors, 1 to 64 (1); several run in turns that follow from the seed,\n"
    "                         with --clock host on a thread each\n"
    "  --apic MODE            none: interrupts come by the 8259A alone; xapic or x2apic: by local APICs and\n"
    "                         an I/O APIC too, and x2apic lets the guest switch to that mode\n"
    "                         (none; xapic with several processors)\n"
    "  --hyperv               Hyper-V's interface for guests: hypercalls, SynIC, timers, reference TSC; wants --apic\n"
    "  --firmware FILE        a ROM below 4 GiB, started at the reset vector\n"
    "  --floppy FILE          the image of a floppy that SeaBIOS boots from\n"
    "  --fw-cfg NAME=FILE     a file that firmware finds in fw_cfg; may be given several times\n"
    "  --mode MODE            real, protected or long: FILE is a flat binary for that mode (real)\n"
    "  --base ADDR            where a flat binary is put and entered (0x7c00 in real mode, else 1M)\n"
    "\n"
    "  --clock CLOCK          virtual: time follows the instructions, and each run is the same;\n"
    "                         host: it follows the host's clock (virtual)\n"
    "  --clock-rate N         nanoseconds that an instruction takes on the virtual clock, for guests\n"
    "                         that wait in loops (1)\n"
    "  --seed N               where the guest's random numbers and the turns come from (0)\n"
    "  --undefined POLICY     what flags and results become that the manuals leave undefined: hardware, as the\n"
    "                         processor's profile has them; zero; or seeded, random from the seed (hardware)\n"
    "  --max-insns N          stop when so many instructions have retired: of all processors, with --clock host\n"
    "                         of one\n"
    "  --restart N            a reset (or a triple fault) starts the machine anew, N times at most: its files are\n"
    "                         read again, memory and clocks are as at first, --max-insns counts again (0)\n"
    "\n"
    "  --summary              at the end, exits by reason and counts, on standard error\n"
    "  --screen               at the end, the text memory at B8000, on standard error\n"
    "  --hash                 at the end, a digest of processor and memory: hash HEX\n"
    "  --trace KIND[:FILE]    one line per fact to FILE or standard error; KIND is exit\n"
    "  --log-port PORT[:FILE] the bytes sent to a port go to FILE or standard output\n"
    "\n"
    "On a terminal Ctrl-A x leaves, Ctrl-A Ctrl-A sends Ctrl-A, and Ctrl-C goes to a guest that reads its\n"
    "serial port; otherwise, or three times in a second, it ends the run.\n"
    "\n"
    "Status: 0 the guest ended well (power-off, reset, HLT with interrupts off, --max-insns),\n"
    "2 wrong usage or a bad file, 4 it ended badly (triple fault, unsupported, invalid state),\n"
    "6 the host lacks something, 130 interrupted; odd ones are (value << 1) | 1 from port 0xf4.\n";

enum option {
    OPTION_ARGUMENTS,
    OPTION_INITRD,
    OPTION_MEMORY,
    OPTION_CPUS,
    OPTION_APIC,
    OPTION_HYPERV,
    OPTION_FIRMWARE,
    OPTION_FLOPPY,
    OPTION_FW_CFG,
    OPTION_MODE,
    OPTION_BASE,
    OPTION_CLOCK,
    OPTION_CLOCK_RATE,
    OPTION_SEED,
    OPTION_UNDEFINED,
    OPTION_MAX_INSNS,
    OPTION_RESTART,
    OPTION_TRACE,
    OPTION_LOG_PORT,
    OPTION_SUMMARY,
    OPTION_SCREEN,
    OPTION_HASH,
    OPTION_HELP,
};

static const struct {
    const char *name;
    enum option option;
    bool has_value;
} table[] = {
    {"--kernel-args", OPTION_ARGUMENTS, true}, {"--initrd", OPTION_INITRD, true},
    {"--memory", OPTION_MEMORY, true},         {"--cpus", OPTION_CPUS, true},
    {"--firmware", OPTION_FIRMWARE, true},     {"--floppy", OPTION_FLOPPY, true},
    {"--fw-cfg", OPTION_FW_CFG, true},         {"--clock-rate", OPTION_CLOCK_RATE, true},
    {"--apic", OPTION_APIC, true},             {"--mode", OPTION_MODE, true},
    {"--base", OPTION_BASE, true},             {"--clock", OPTION_CLOCK, true},
    {"--seed", OPTION_SEED, true},             {"--max-insns", OPTION_MAX_INSNS, true},
    {"--trace", OPTION_TRACE, true},           {"--log-port", OPTION_LOG_PORT, true},
    {"--summary", OPTION_SUMMARY, false},      {"--hash", OPTION_HASH, false},
    {"--hyperv", OPTION_HYPERV, false},        {"--help", OPTION_HELP, false},
    {"-h", OPTION_HELP, false},                {"--screen", OPTION_SCREEN, false},
    {"--restart", OPTION_RESTART, true},       {"--undefined", OPTION_UNDEFINED, true},
};

static bool read_number(const char *text, const char **end, uint64_t *value)
{
    char *after;

    if (*text < '0' || *text > '9') /* strtoull would take signs and spaces */
        return false;
    errno = 0;
    *value = strtoull(text, &after, 0);
    *end = after;
    return errno == 0;
}

bool options_size(const char *text, uint64_t *size)
{
    static const char suffixes[] = "KMG";
    const char *end, *suffix;
    unsigned shift = 0;

    if (!read_number(text, &end, size))
        return false;
    if (*end) {
        suffix = strchr(suffixes, *end >= 'a' ? *end - 'a' + 'A' : *end);
        if (!suffix || end[1])
            return false;
        shift = 10 * (unsigned)(suffix - suffixes + 1);
    }
    if (*size > UINT64_MAX >> shift)
        return false;
    *size <<= shift;
    return true;
}

static bool whole_number(const char *text, uint64_t *value)
{
    const char *end;

    return read_number(text, &end, value) && !*end;
}

static bool bad(struct problem *problem, const char *name, const char *value, const char *wanted)
{
    return problem_is(problem, STATUS_USAGE, "%s: %s is not %s", name, *value ? value : "an empty text",
                      wanted);
}

static bool read_mode(struct options *options, const char *value, struct problem *problem)
{
    static const struct {
        const char *name;
        enum start_mode mode;
    } modes[] = {{"real", START_REAL}, {"protected", START_PROTECTED}, {"long", START_LONG}};

    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(value, modes[i].name) == 0) {
            options->mode = modes[i].mode;
            options->has_mode = true;
            return true;
        }
    }
    return bad(problem, "--mode", value, "real, protected or long");
}

static bool read_apic(struct options *options, const char *value, struct problem *problem)
{
    static const char *const modes[] = {[APIC_NONE] = "none", [APIC_XAPIC] = "xapic", [APIC_X2APIC] = "x2apic"};

    for (unsigned i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(value, modes[i]) == 0) {
            options->apic = (enum apic)i;
            options->has_apic = true;
            return true;
        }
    }
    return bad(problem, "--apic", value, "none, xapic or x2apic");
}

bool options_undefined(const char *text, SWHP_UNDEFINED_RESULTS *policy)
{
    static const char *const names[] = {
        [SwhpUndefinedAsHardware] = "hardware", [SwhpUndefinedZero] = "zero", [SwhpUndefinedSeeded] = "seeded"};

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *policy = (SWHP_UNDEFINED_RESULTS)i;
            return true;
        }
    }
    return false;
}

/* KIND[,KIND][:FILE] */
static bool read_trace(struct options *options, const char *value, struct problem *problem)
{
    size_t length = strcspn(value, ":");

    if (length != 4 || strncmp(value, "exit", 4) != 0)
        return bad(problem, "--trace", value, "exit or exit:FILE (other kinds come later)");
    options->trace = true;
    options->trace_file = value[length] ? value + length + 1 : NULL;
    if (options->trace_file && !*options->trace_file)
        return bad(problem, "--trace", value, "exit or exit:FILE (the file has no name)");
    return true;
}

static bool read_log_port(struct options *options, const char *value, struct problem *problem)
{
    const char *end;
    uint64_t port;

    if (!read_number(value, &end, &port) || port > 0xffff || (*end && (*end != ':' || !end[1])))
        return bad(problem, "--log-port", value, "PORT or PORT:FILE with a port up to 0xffff");
    options->log_port = (uint16_t)port;
    options->has_log_port = true;
    options->log_file = *end ? end + 1 : NULL;
    return true;
}

static bool read_fw_cfg(struct options *options, const char *value, struct problem *problem)
{
    size_t length = strcspn(value, "=");

    if (!length || length >= FW_CFG_NAME_SIZE || !value[length] || !value[length + 1])
        return bad(problem, "--fw-cfg", value, "NAME=FILE with a name of at most 55 bytes");
    if (options->fw_cfg_count == OPTIONS_FW_CFG)
        return problem_is(problem, STATUS_USAGE, "--fw-cfg: at most %d files can be given", OPTIONS_FW_CFG);
    options->fw_cfg[options->fw_cfg_count++] = value;
    return true;
}

static bool read_option(struct options *options, enum option option, const char *value,
                        struct problem *problem)
{
    uint64_t number;

    switch (option) {
    case OPTION_ARGUMENTS:
        options->arguments = value;
        options->has_arguments = true;
        return true;
    case OPTION_INITRD:
        options->initrd = value;
        return true;
    case OPTION_MEMORY:
        if (!options_size(value, &options->memory))
            return bad(problem, "--memory", value, "a size such as 256M");
        if (options->memory < MEMORY_SMALLEST || options->memory > MEMORY_LARGEST || options->memory % 4096)
            return bad(problem, "--memory", value, "a multiple of 4K from 1M to 256G");
        return true;
    case OPTION_CPUS:
        if (!whole_number(value, &number) || number == 0)
            return bad(problem, "--cpus", value, "a number of processors");
        if (number > OPTIONS_CPUS)
            return problem_is(problem, STATUS_USAGE, "--cpus: at most %u, not %s", OPTIONS_CPUS, value);
        options->cpus = (unsigned)number;
        return true;
    case OPTION_APIC:
        return read_apic(options, value, problem);
    case OPTION_HYPERV:
        options->hyperv = true;
        return true;
    case OPTION_FIRMWARE:
        options->firmware = value;
        return true;
    case OPTION_FLOPPY:
        options->floppy = value;
        return true;
    case OPTION_FW_CFG:
        return read_fw_cfg(options, value, problem);
    case OPTION_MODE:
        return read_mode(options, value, problem);
    case OPTION_BASE:
        options->has_base = options_size(value, &options->base);
        return options->has_base || bad(problem, "--base", value, "an address");
    case OPTION_CLOCK:
        options->host_clock = strcmp(value, "host") == 0;
        return options->host_clock || strcmp(value, "virtual") == 0 ||
               bad(problem, "--clock", value, "virtual or host");
    case OPTION_CLOCK_RATE:
        return (whole_number(value, &options->clock_rate) && options->clock_rate >= 1 &&
                options->clock_rate <= 65536) ||
               bad(problem, "--clock-rate", value, "a number from 1 to 65536");
    case OPTION_SEED:
        return whole_number(value, &options->seed) || bad(problem, "--seed", value, "a number");
    case OPTION_UNDEFINED:
        options->has_undefined = options_undefined(value, &options->undefined);
        return options->has_undefined || bad(problem, "--undefined", value, OPTIONS_UNDEFINED);
    case OPTION_MAX_INSNS:
        return whole_number(value, &options->max_insns) || bad(problem, "--max-insns", value, "a number");
    case OPTION_RESTART:
        return whole_number(value, &options->restarts) || bad(problem, "--restart", value, "a number");
    case OPTION_TRACE:
        return read_trace(options, value, problem);
    case OPTION_LOG_PORT:
        return read_log_port(options, value, problem);
    case OPTION_SUMMARY:
        options->summary = true;
        return true;
    case OPTION_SCREEN:
        options->screen = true;
        return true;
    case OPTION_HASH:
        options->hash = true;
        return true;
    case OPTION_HELP:
        options->help = true;
        return true;
    }
    return false;
}

/* One option, with its value in the same word or the next; *index moves past what was used. */
static bool read_word(struct options *options, int count, char **words, int *index, struct problem *problem)
{
    const char *word = words[(*index)++];
    size_t length = strcspn(word, "=");

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const char *value = word[length] ? word + length + 1 : NULL;

        if (strlen(table[i].name) != length || strncmp(word, table[i].name, length) != 0)
            continue;
        if (!table[i].has_value && value)
            return problem_is(problem, STATUS_USAGE, "%s takes no value", table[i].name);
        if (table[i].has_value && !value) {
            if (*index == count)
                return problem_is(problem, STATUS_USAGE, "%s needs a value; see softwhp --help",
                                  table[i].name);
            value = words[(*index)++];
        }
        return read_option(options, table[i].option, value, problem);
    }
    return problem_is(problem, STATUS_USAGE, "unknown option %s; see softwhp --help", word);
}

static bool check(struct options *options, struct problem *problem)
{
    if (options->cpus > 1 && !options->has_apic)
        options->apic = APIC_XAPIC;
    if (options->hyperv && options->apic == APIC_NONE)
        return problem_is(problem, STATUS_USAGE, "--hyperv: its interrupts need local APICs: --apic xapic or x2apic");
    if (options->cpus > 1 && options->apic == APIC_NONE)
        return problem_is(problem, STATUS_USAGE, "--cpus: several processors need local APICs, not --apic none");
    if (options->firmware && (options->has_mode || options->has_base))
        return problem_is(problem, STATUS_USAGE, "--mode and --base have no meaning with --firmware");
    if (options->firmware && !options->file && (options->initrd || options->has_arguments))
        return problem_is(problem, STATUS_USAGE,
                          "--initrd and --kernel-args have no meaning with --firmware and without a kernel");
    if (options->floppy && !options->firmware)
        return problem_is(problem, STATUS_USAGE, "--floppy needs --firmware: no drive is there, but firmware "
                                                 "that makes one of memory");
    if (options->clock_rate > 1 && options->host_clock)
        return problem_is(problem, STATUS_USAGE, "--clock-rate is for the virtual clock");
    if (!options->firmware && !options->file)
        return problem_is(problem, STATUS_USAGE, "no FILE to run; see softwhp --help");
    return true;
}

bool options_read(struct options *options, int count, char **words, struct problem *problem)
{
    bool only_files = false;

    *options = (struct options){
        .arguments = "console=ttyS0",
        .memory = UINT64_C(256) << 20,
        .cpus = 1,
        .max_insns = UINT64_MAX,
        .clock_rate = 1,
        .mode = START_REAL,
    };
    for (int i = 0; i < count;) {
        if (!only_files && strcmp(words[i], "--") == 0) {
            only_files = true;
            i++;
        } else if (only_files || words[i][0] != '-' || !words[i][1]) {
            if (options->file)
                return problem_is(problem, STATUS_USAGE, "one FILE at a time: %s and %s", options->file,
                                  words[i]);
            options->file = words[i++];
        } else if (!read_word(options, count, words, &i, problem)) {
            return false;
        }
    }
    return options->help || check(options, problem);
}
