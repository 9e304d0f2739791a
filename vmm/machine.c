/* SPDX-License-Identifier: MIT */
/*
 * Puts a machine together: the partition and its properties, memory, the guest's files, and which device
 * answers at which port.
 */
#include "machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    PORT_DEBUG_EXIT = 0xf4,
    PORT_DEBUG_CONSOLE = 0xe9,
    PORT_RESET = 0xcf9,
    PORT_COPROCESSOR = 0xf0, /* and F1, the reset of an 80287 */
    IRQ_SERIAL = 4,
};

bool platform_problem(struct problem *problem, int status, const char *call, HRESULT result)
{
    char cause[512] = "";

    SwhpGetLastErrorText(cause, sizeof cause, NULL);
    return problem_is(problem, status, "%s failed with %08x%s%s", call, (unsigned)result, *cause ? ": " : "",
                      cause);
}

void machine_end(struct machine *machine, int status, const char *how)
{
    if (machine->ended)
        return;
    machine->ended = true;
    machine->status = status;
    machine->how = how;
}

void machine_lost(struct machine *machine, const char *name, int error)
{
    if (machine->problem.text[0])
        return;
    problem_is(&machine->problem, STATUS_HOST, "%s can't be written: %s", name, strerror(error));
    machine->status = STATUS_HOST;
}

/* ---- Ports that are too small for a file of their own ---- */

static uint32_t read_ones(void *device, uint16_t port, unsigned size, uint64_t now)
{
    (void)device;
    (void)port;
    (void)size;
    (void)now;
    return UINT32_MAX;
}

/* As QEMU's isa-debug-exit: the low byte of (value << 1) | 1 is the status. */
static void write_debug_exit(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
    (void)port;
    (void)size;
    (void)now;
    machine_end(device, (int)((value << 1 | 1) & 0xff), "port 0xf4 was written");
}

/* The port reads as its number, by which guests find it (Bochs' convention). */
static uint32_t read_debug_console(void *device, uint16_t port, unsigned size, uint64_t now)
{
    (void)device;
    (void)size;
    (void)now;
    return port;
}

static void write_debug_console(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
    struct machine *machine = device;

    (void)port;
    (void)size;
    (void)now;
    terminal_put(&machine->terminal, (uint8_t)value);
}

/* The reset control register of a PCI chipset: bit 2 pulls the processor's reset line. */
static void write_reset(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
    (void)port;
    (void)size;
    (void)now;
    if (value & 4)
        machine_end(device, STATUS_WELL, "the guest reset the machine (port 0xcf9)");
}

/* Any write takes IRQ 13 back and lets the processor go on in spite of the exception, until that is cleared. */
static void write_coprocessor(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
    struct machine *machine = device;
    HRESULT result;

    (void)port;
    (void)size;
    (void)value;
    (void)now;
    pic_set_line(&machine->pic, IRQ_COPROCESSOR, false);
    result = SwhpSetIgnne(machine->partition, machine->current->index, TRUE);
    if (result != S_OK)
        machine_fail(machine, "SwhpSetIgnne", result);
}

static void write_log(void *context, uint8_t byte)
{
    struct machine *machine = context;

    if (machine->log)
        fputc(byte, machine->log);
    else
        terminal_put(&machine->terminal, byte);
}

static void connect_devices(struct machine *m)
{
    struct bus *bus = &m->bus;
    const struct port_device pic = {&m->pic, pic_read, pic_write, false, false};
    const struct port_device pit = {&m->pit, pit_read, pit_write, true, false};
    const struct port_device rtc = {&m->rtc, rtc_read, rtc_write, true, false};
    const struct port_device serial = {&m->serial, serial_read, serial_write, false, false};
    const struct port_device keyboard = {&m->keyboard, keyboard_read, keyboard_write, false, false};

    bus_init(bus);
    bus->clock = machine_now;
    bus->clock_context = m;
    bus->log = write_log;
    bus->log_context = m;
    bus_attach(bus, 0x20, 0x21, &pic);
    bus_attach(bus, 0xa0, 0xa1, &pic);
    bus_attach(bus, 0x4d0, 0x4d1, &pic);
    bus_attach(bus, 0x40, 0x43, &pit);
    bus_attach(bus, 0x61, 0x61, &pit);
    bus_attach(bus, 0x70, 0x71, &rtc);
    bus_attach(bus, 0x3f8, 0x3ff, &serial);
    bus_attach(bus, 0x60, 0x60, &keyboard);
    bus_attach(bus, 0x64, 0x64, &keyboard);
    bus_attach(bus, 0x92, 0x92, &keyboard);
    bus_attach(bus, PORT_DEBUG_EXIT, PORT_DEBUG_EXIT,
               &(struct port_device){m, read_ones, write_debug_exit, false, false});
    bus_attach(bus, PORT_DEBUG_CONSOLE, PORT_DEBUG_CONSOLE,
               &(struct port_device){m, read_debug_console, write_debug_console, false, false});
    bus_attach(bus, PORT_COPROCESSOR, PORT_COPROCESSOR + 1,
               &(struct port_device){m, read_ones, write_coprocessor, false, false});
    if (m->options->has_log_port)
        bus->is_logged[m->options->log_port] = true;

    pic_reset(&m->pic);
    if (m->has_apic) {
        m->ioapic.send = machine_send_interrupt;
        m->ioapic.send_context = m;
        ioapic_reset(&m->ioapic);
        m->pic.wire = ioapic_set_irq;
        m->pic.wire_context = &m->ioapic;
    }
    pit_reset(&m->pit, &m->pic);
    rtc_reset(&m->rtc, &m->pic, m->memory.low_size, m->memory.size - m->memory.low_size,
              m->options->host_clock ? (int64_t)time(NULL) : RTC_VIRTUAL_START);
    m->serial.output = terminal_put;
    m->serial.output_context = &m->terminal;
    serial_reset(&m->serial, &m->pic, IRQ_SERIAL);
    keyboard_reset(&m->keyboard, &m->pic);
    acpi_reset(&m->acpi, &m->pic);
    board_connect(m);
    bus_attach(bus, PORT_RESET, PORT_RESET, &(struct port_device){m, read_ones, write_reset, false, false});
}

/* ---- The partition ---- */

static bool set_property(struct machine *m, unsigned code, const void *value, uint32_t size,
                         struct problem *problem)
{
    HRESULT result = WHvSetPartitionProperty(m->partition, (WHV_PARTITION_PROPERTY_CODE)code, value, size);

    return result == S_OK || platform_problem(problem, STATUS_HOST, "WHvSetPartitionProperty", result);
}

/* All that the platform has of Hyper-V's interface. */
static bool offer_hyperv(struct machine *m, struct problem *problem)
{
    WHV_SYNTHETIC_PROCESSOR_FEATURES_BANKS banks = {.BanksCount = WHV_SYNTHETIC_PROCESSOR_FEATURES_BANKS_COUNT};
    HRESULT result = WHvGetCapability(WHvCapabilityCodeSyntheticProcessorFeaturesBanks, &banks, sizeof banks, NULL);

    if (result != S_OK)
        return platform_problem(problem, STATUS_HOST, "WHvGetCapability(SyntheticProcessorFeaturesBanks)", result);
    return set_property(m, WHvPartitionPropertyCodeSyntheticProcessorFeaturesBanks, &banks, sizeof banks, problem);
}

static bool make_partition(struct machine *m, struct problem *problem)
{
    UINT32 processors = m->processor_count, clock = m->options->host_clock ? SwhpClockHost : SwhpClockVirtual;
    UINT32 rate = (UINT32)m->options->clock_rate;
    UINT32 apic = m->options->apic;
    UINT64 seed = m->options->seed;
    UINT32 undefined = m->options->undefined;
    WHV_EXTENDED_VM_EXITS exits = {0};
    HRESULT result = WHvCreatePartition(&m->partition);

    if (result == E_INVALIDARG) { /* the environment variable SOFTWHP, and the platform has said so */
        problem->status = STATUS_USAGE;
        return false;
    }
    if (result != S_OK)
        return platform_problem(problem, STATUS_HOST, "WHvCreatePartition", result);
    /* Writes that open or close the way of the 8259A's requests are to be seen. */
    exits.X64ApicWriteLint0ExitTrap = exits.X64ApicWriteSvrExitTrap = 1;
    if (m->has_apic && (!set_property(m, WHvPartitionPropertyCodeLocalApicEmulationMode, &apic, sizeof apic, problem) ||
                        !set_property(m, WHvPartitionPropertyCodeExtendedVmExits, &exits, sizeof exits, problem)))
        return false;
    if (m->options->hyperv && !offer_hyperv(m, problem))
        return false;
    if (m->options->has_undefined && /* else the environment's, if it has one */
        !set_property(m, SwhpPartitionPropertyCodeUndefinedResults, &undefined, sizeof undefined, problem))
        return false;
    if (!set_property(m, WHvPartitionPropertyCodeProcessorCount, &processors, sizeof processors, problem) ||
        !set_property(m, SwhpPartitionPropertyCodeClock, &clock, sizeof clock, problem) ||
        !set_property(m, SwhpPartitionPropertyCodeClockRate, &rate, sizeof rate, problem) ||
        !set_property(m, SwhpPartitionPropertyCodeSeed, &seed, sizeof seed, problem))
        return false;
    result = WHvSetupPartition(m->partition);
    if (result != S_OK)
        return platform_problem(problem, STATUS_HOST, "WHvSetupPartition", result);
    result = WHvGetPartitionProperty(m->partition, WHvPartitionPropertyCodeProcessorClockFrequency,
                                     &m->frequency, sizeof m->frequency, NULL);
    if (result != S_OK || !m->frequency)
        return platform_problem(problem, STATUS_HOST, "WHvGetPartitionProperty(ProcessorClockFrequency)",
                                result);
    m->rate = rate;
    m->ns_per_count = (uint64_t)(((unsigned __int128)m->rate * 1000000000u << 32) / m->frequency);
    return true;
}

static bool make_processors(struct machine *m, struct problem *problem)
{
    for (unsigned i = 0; i < m->processor_count; i++) {
        HRESULT result = WHvCreateVirtualProcessor(m->partition, i, 0);

        if (result != S_OK)
            return platform_problem(problem, STATUS_HOST, "WHvCreateVirtualProcessor", result);
        m->processors[i].is_created = true;
        m->processors[i].machine = m;
        m->processors[i].index = i;
        if (m->processor_count > 1)
            snprintf(m->processors[i].on, sizeof m->processors[i].on, " on processor %u", i);
    }
    return true;
}

static bool map(struct machine *m, void *host, uint64_t gpa, uint64_t size, unsigned rights,
                struct problem *problem)
{
    HRESULT result;

    if (!size)
        return true;
    result = WHvMapGpaRange(m->partition, host, gpa, size, (WHV_MAP_GPA_RANGE_FLAGS)rights);
    return result == S_OK || platform_problem(problem, STATUS_HOST, "WHvMapGpaRange", result);
}

static bool map_memory(struct machine *m, struct problem *problem)
{
    const struct memory *memory = &m->memory;
    unsigned ram = WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite | WHvMapGpaRangeFlagExecute;
    unsigned rom = WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagExecute;

    return map(m, memory->host, 0, MEMORY_HOLE_START, ram, problem) &&
           map(m, memory->host + MEMORY_TEXT, MEMORY_TEXT, MEMORY_HOLE_END - MEMORY_TEXT, ram, problem) &&
           map(m, memory->host + MEMORY_HOLE_END, MEMORY_HOLE_END, memory->low_size - MEMORY_HOLE_END, ram,
               problem) &&
           map(m, memory->host + memory->low_size, MEMORY_HIGH_START, memory->size - memory->low_size, ram,
               problem) &&
           map(m, memory->rom, memory->rom_gpa, memory->rom_size, rom, problem) &&
           (!memory->rom || board_map(m, problem));
}

/* ---- The guest ---- */

static bool load_kernel(struct machine *m, const struct guest_files *files, struct start *start,
                        struct problem *problem)
{
    const struct options *options = m->options;
    struct layout layout = {.memory = &m->memory};
    bool is_flat = options->has_mode || options->has_base;

    if (!is_flat && (elf_is_elf(files->kernel) || linux_is_kernel(files->kernel))) {
        acpi_write_tables(&m->memory, m->processor_count, m->has_apic);
        layout_take(&layout, ACPI_RSDP, 0x1000);
        return elf_is_elf(files->kernel) ? load_elf(&layout, files, start, problem)
                                         : load_linux(&layout, files, start, problem);
    }
    if (files->initrd || options->has_arguments)
        return problem_is(
            problem, STATUS_USAGE,
            "%s: is no kernel that we know (a bzImage, or an ELF file), so it runs as a flat binary, "
            "for which --initrd and --kernel-args have no meaning",
            files->kernel->name);
    return load_flat(&layout, files->kernel, options->mode,
                     options->has_base             ? options->base
                     : options->mode == START_REAL ? 0x7c00
                                                   : 0x100000,
                     start, problem);
}

static bool load_guest(struct machine *m, struct start *start, struct problem *problem)
{
    const struct options *options = m->options;
    struct image file = {0}, initrd = {0};
    struct guest_files files = {&file, options->initrd ? &initrd : NULL, options->arguments};
    bool fine = image_read(&file, options->firmware ? options->firmware : options->file, problem) &&
                (!options->initrd || image_read(&initrd, options->initrd, problem));

    if (fine && options->firmware)
        fine = load_firmware(&m->memory, &file, start, problem);
    else if (fine)
        fine = load_kernel(m, &files, start, problem);
    image_free(&file);
    image_free(&initrd);
    return fine;
}

static bool open_output(FILE **file, const char *name, struct problem *problem)
{
    *file = fopen(name, "we");
    return *file || problem_is(problem, STATUS_USAGE, "%s: can't be written: %s", name, strerror(errno));
}

static VOID CALLBACK write_trace(VOID *context, UINT32 vp, UINT64 count, UINT32 kind, const char *line)
{
    struct machine *m = context;

    (void)vp;
    (void)count;
    (void)kind;
    fprintf(m->trace, "%s\n", line);
}

static bool start_trace(struct machine *m, struct problem *problem)
{
    HRESULT result;

    if (!m->options->trace)
        return true;
    m->trace = stderr;
    if (m->options->trace_file && !open_output(&m->trace, m->options->trace_file, problem))
        return false;
    result = SwhpTraceStart(m->partition, SwhpTraceExit, write_trace, m);
    return result == S_OK || platform_problem(problem, STATUS_HOST, "SwhpTraceStart", result);
}

bool machine_make(struct machine *m, const struct options *options, struct problem *problem)
{
    struct start start = {0};

    memset(m, 0, sizeof *m);
    m->options = options;
    m->started = host_time();
    m->processor_count = options->cpus;
    m->has_apic = options->apic != APIC_NONE;
    m->is_threaded = options->cpus > 1 && options->host_clock;
    m->is_in_turns = options->cpus > 1 && !options->host_clock;
    pthread_mutex_init(&m->lock, NULL);
    m->how = "it was not run";
    if (!memory_make(&m->memory, options->memory, problem) || !load_guest(m, &start, problem) ||
        !board_make(m, problem))
        return false;
    if (options->log_file && !open_output(&m->log, options->log_file, problem))
        return false;
    if (!make_partition(m, problem) || !map_memory(m, problem))
        return false;
    if (!make_processors(m, problem))
        return false;
    connect_devices(m);
    for (unsigned i = 0; i < m->processor_count; i++)
        if (!processor_start(&m->processors[i], &start, problem))
            return false;
    return start_trace(m, problem);
}

void machine_free(struct machine *m)
{
    if (m->emulator)
        WHvEmulatorDestroyEmulator(m->emulator);
    for (unsigned i = 0; i < m->processor_count; i++)
        if (m->processors[i].is_created)
            WHvDeleteVirtualProcessor(m->partition, i);
    if (m->partition)
        WHvDeletePartition(m->partition);
    if (m->trace && m->trace != stderr)
        fclose(m->trace);
    if (m->log)
        fclose(m->log);
    fw_cfg_free(&m->fw_cfg);
    memory_free(&m->memory);
    pthread_mutex_destroy(&m->lock);
}
