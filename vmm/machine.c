/* SPDX-License-Identifier: MIT */
/*
 * Puts a machine together: the guest's files, and which device answers at which port.
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

void machine_end(struct machine *machine, int status, const char *how)
{
    if (machine->ended)
        return;
    machine->ended = true;
    machine->status = status;
    machine->how = how;
}

void machine_reset(struct machine *machine, int status, const char *how)
{
    machine->was_reset |= !machine->ended;
    machine_end(machine, status, how);
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
        machine_reset(device, STATUS_WELL, "the guest reset the machine (port 0xcf9)");
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
        m->pic.output = machine_see_pic;
        m->pic.output_context = m;
        m->lint0_level = -1;
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

/* ---- The guest ---- */

/* What the firmware of PCs leaves at 40:0 and in the extended data area that it points to, as memory_map() has it: old
 * code finds by them where low memory ends. */
static void put_bios_data(const struct memory *memory)
{
    uint8_t *data = memory_at(memory, 0x400, 0x100), *extended = memory_at(memory, MEMORY_EBDA, 1);
    const uint16_t first_port = 0x3f8, segment = MEMORY_EBDA >> 4, base_kib = MEMORY_EBDA >> 10;

    memcpy(data + 0x00, &first_port, 2);
    memcpy(data + 0x0e, &segment, 2);
    memcpy(data + 0x13, &base_kib, 2);
    extended[0] = 1; /* KiB */
}

static bool load_kernel(struct machine *m, const struct guest_files *files, struct start *start,
                        struct problem *problem)
{
    const struct options *options = m->options;
    struct layout layout = {.memory = &m->memory};
    bool is_flat = options->has_mode || options->has_base;

    if (!is_flat && (elf_is_elf(files->kernel) || linux_is_kernel(files->kernel))) {
        m->is_described = true;
        put_bios_data(&m->memory);
        acpi_write_tables(&m->memory, m->processor_count, m->has_apic);
        layout_take(&layout, ACPI_RSDP, 0x1000);
        if (m->has_apic)
            layout_take(&layout, MP_GPA, MP_ROOM);
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

static bool open_outputs(struct machine *m, struct problem *problem)
{
    const struct options *options = m->options;

    if (options->trace)
        m->trace = stderr;
    return (!options->log_file || open_output(&m->log, options->log_file, problem)) &&
           (!options->trace_file || open_output(&m->trace, options->trace_file, problem));
}

static bool start_trace(struct machine *m, struct problem *problem)
{
    HRESULT result;

    if (!m->trace)
        return true;
    result = SwhpTraceStart(m->partition, SwhpTraceExit, write_trace, m);
    return result == S_OK || platform_problem(problem, STATUS_HOST, "SwhpTraceStart", result);
}

/* Restarts read all files again. */
static bool files_last(const struct options *options, struct problem *problem)
{
    const char *names[] = {options->file, options->initrd, options->firmware, options->floppy};

    if (!options->restarts)
        return true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i] && !image_is_lasting(names[i], problem))
            return false;
    for (unsigned i = 0; i < options->fw_cfg_count; i++)
        if (!image_is_lasting(strchr(options->fw_cfg[i], '=') + 1, problem))
            return false;
    return true;
}

/* All of it but what the user holds on to: the terminal and the files of output. */
static bool build(struct machine *m, struct problem *problem)
{
    const struct options *options = m->options;
    struct start start = {0};

    m->started = host_time();
    m->processor_count = options->cpus;
    m->has_apic = options->apic != APIC_NONE;
    m->is_threaded = options->cpus > 1 && options->host_clock;
    m->is_in_turns = options->cpus > 1 && !options->host_clock;
    pthread_mutex_init(&m->lock, NULL);
    m->how = "it was not run";
    if (!files_last(options, problem) || !memory_make(&m->memory, options->memory, problem) ||
        !load_guest(m, &start, problem) || !board_make(m, problem))
        return false;
    if (!partition_make(m, problem) || !partition_map(m, problem) || !partition_fill(m, problem))
        return false;
    if (m->is_described && m->has_apic)
        partition_describe(m);
    connect_devices(m);
    for (unsigned i = 0; i < m->processor_count; i++)
        if (!processor_start(&m->processors[i], &start, problem))
            return false;
    m->is_made = start_trace(m, problem);
    return m->is_made;
}

static void demolish(struct machine *m)
{
    if (m->emulator)
        WHvEmulatorDestroyEmulator(m->emulator);
    for (unsigned i = 0; i < m->processor_count; i++)
        if (m->processors[i].is_created)
            WHvDeleteVirtualProcessor(m->partition, i);
    if (m->partition)
        WHvDeletePartition(m->partition);
    fw_cfg_free(&m->fw_cfg);
    memory_free(&m->memory);
    pthread_mutex_destroy(&m->lock);
}

bool machine_make(struct machine *m, const struct options *options, struct problem *problem)
{
    memset(m, 0, sizeof *m);
    m->options = options;
    return open_outputs(m, problem) && build(m, problem);
}

bool machine_make_again(struct machine *m)
{
    const struct options *options = m->options;
    struct terminal terminal = m->terminal;
    FILE *trace = m->trace, *log = m->log;
    uint64_t restarts = m->restarts + 1;

    demolish(m);
    memset(m, 0, sizeof *m);
    m->options = options;
    m->terminal = terminal;
    m->trace = trace;
    m->log = log;
    m->restarts = restarts;
    if (build(m, &m->problem))
        return true;
    machine_end(m, m->problem.status, "it could not start again");
    return false;
}

void machine_free(struct machine *m)
{
    demolish(m);
    if (m->trace && m->trace != stderr)
        fclose(m->trace);
    if (m->log)
        fclose(m->log);
}
