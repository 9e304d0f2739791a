/* SPDX-License-Identifier: MIT */
/*
 * ELF kernels: those with a PVH entry (Xen's "x86/HVM direct boot ABI", hvm/start_info.h) and those with a
 * multiboot header (Multiboot Specification 0.6.96). Both start in 32-bit protected mode without paging.
 */
#include <elf.h>
#include <string.h>

#include "load.h"

/* The fields of both classes that matter here. */
struct elf {
    const struct image *image;
    bool is_64;
    uint64_t entry, program_offset;
    unsigned program_count, program_size;
};

struct segment {
    uint32_t type;
    uint64_t offset, vaddr, paddr, file_size, memory_size, align;
};

enum {
    NOTE_PHYS32_ENTRY = 18, /* XEN_ELFNOTE_PHYS32_ENTRY */

    MULTIBOOT_SEARCH = 8192,
    MULTIBOOT_HEADER = 0x1badb002,
    MULTIBOOT_KNOWN = 0x3,      /* aligned modules, memory information */
    MULTIBOOT_REQUIRED = 0xffff,
    MULTIBOOT_ADDRESSES = 0x10000,
};

bool elf_is_elf(const struct image *image)
{
    return image->size >= SELFMAG && memcmp(image->bytes, ELFMAG, SELFMAG) == 0;
}

static bool broken(const struct image *image, struct problem *problem, const char *what)
{
    return problem_is(problem, STATUS_USAGE, "%s: is a broken ELF file: %s", image->name, what);
}

static bool read_header(struct elf *elf, const struct image *image, struct problem *problem)
{
    unsigned machine;

    elf->image = image;
    if (image->size < EI_NIDENT)
        return broken(image, problem, "its header is cut off");
    elf->is_64 = image->bytes[EI_CLASS] == ELFCLASS64;
    if (image->bytes[EI_DATA] != ELFDATA2LSB || (!elf->is_64 && image->bytes[EI_CLASS] != ELFCLASS32))
        return problem_is(problem, STATUS_USAGE, "%s: is an ELF file, but not for x86", image->name);
    if (image->size < (elf->is_64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr)))
        return broken(image, problem, "its header is cut off");
    machine = image_u16(image, offsetof(Elf64_Ehdr, e_machine));
    if (machine != EM_386 && machine != EM_X86_64)
        return problem_is(problem, STATUS_USAGE, "%s: is an ELF file, but not for x86", image->name);
    if (elf->is_64) {
        elf->entry = image_u64(image, offsetof(Elf64_Ehdr, e_entry));
        elf->program_offset = image_u64(image, offsetof(Elf64_Ehdr, e_phoff));
        elf->program_size = image_u16(image, offsetof(Elf64_Ehdr, e_phentsize));
        elf->program_count = image_u16(image, offsetof(Elf64_Ehdr, e_phnum));
    } else {
        elf->entry = image_u32(image, offsetof(Elf32_Ehdr, e_entry));
        elf->program_offset = image_u32(image, offsetof(Elf32_Ehdr, e_phoff));
        elf->program_size = image_u16(image, offsetof(Elf32_Ehdr, e_phentsize));
        elf->program_count = image_u16(image, offsetof(Elf32_Ehdr, e_phnum));
    }
    if (!elf->program_count)
        return problem_is(problem, STATUS_USAGE,
                          "%s: is an ELF file that isn't linked (it has no segments)", image->name);
    if (elf->program_size < (elf->is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) ||
        !image_has(image, elf->program_offset, (uint64_t)elf->program_count * elf->program_size))
        return broken(image, problem, "its program headers are cut off");
    return true;
}

static struct segment segment_of(const struct elf *elf, unsigned index)
{
    const struct image *image = elf->image;
    size_t at = (size_t)(elf->program_offset + (uint64_t)index * elf->program_size);

    if (elf->is_64)
        return (struct segment){
            .type = image_u32(image, at + offsetof(Elf64_Phdr, p_type)),
            .offset = image_u64(image, at + offsetof(Elf64_Phdr, p_offset)),
            .vaddr = image_u64(image, at + offsetof(Elf64_Phdr, p_vaddr)),
            .paddr = image_u64(image, at + offsetof(Elf64_Phdr, p_paddr)),
            .file_size = image_u64(image, at + offsetof(Elf64_Phdr, p_filesz)),
            .memory_size = image_u64(image, at + offsetof(Elf64_Phdr, p_memsz)),
            .align = image_u64(image, at + offsetof(Elf64_Phdr, p_align)),
        };
    return (struct segment){
        .type = image_u32(image, at + offsetof(Elf32_Phdr, p_type)),
        .offset = image_u32(image, at + offsetof(Elf32_Phdr, p_offset)),
        .vaddr = image_u32(image, at + offsetof(Elf32_Phdr, p_vaddr)),
        .paddr = image_u32(image, at + offsetof(Elf32_Phdr, p_paddr)),
        .file_size = image_u32(image, at + offsetof(Elf32_Phdr, p_filesz)),
        .memory_size = image_u32(image, at + offsetof(Elf32_Phdr, p_memsz)),
        .align = image_u32(image, at + offsetof(Elf32_Phdr, p_align)),
    };
}

/* Puts bytes at their place and zeros behind them. */
static bool put(struct layout *layout, const struct image *image, uint64_t gpa, uint64_t offset,
                uint64_t file_size, uint64_t memory_size, struct problem *problem)
{
    uint8_t *at;

    if (memory_size < file_size || !image_has(image, offset, file_size))
        return broken(image, problem, "a segment is cut off");
    if (!memory_size)
        return true;
    at = memory_at(layout->memory, gpa, memory_size);
    if (!at)
        return problem_is(problem, STATUS_USAGE,
                          "%s: needs RAM at %#llx to %#llx; try more --memory", image->name,
                          (unsigned long long)gpa, (unsigned long long)(gpa + memory_size));
    if (!layout_is_free(layout, gpa, memory_size))
        return problem_is(problem, STATUS_USAGE,
                          "%s: has a segment at %#llx, which overlaps another one or the machine's tables",
                          image->name, (unsigned long long)gpa);
    if (!layout_take(layout, gpa, memory_size))
        return problem_is(problem, STATUS_USAGE, "%s: has too many segments", image->name);
    memcpy(at, image->bytes + offset, file_size);
    memset(at + file_size, 0, memory_size - file_size);
    return true;
}

static bool put_segments(struct layout *layout, const struct elf *elf, struct problem *problem)
{
    for (unsigned i = 0; i < elf->program_count; i++) {
        struct segment s = segment_of(elf, i);

        if (s.type == PT_LOAD &&
            !put(layout, elf->image, s.paddr, s.offset, s.file_size, s.memory_size, problem))
            return false;
    }
    return true;
}

/* Is something of it missing? Asked of a file in which no entry was found. */
static bool is_cut_off(const struct elf *elf)
{
    for (unsigned i = 0; i < elf->program_count; i++) {
        struct segment s = segment_of(elf, i);

        if ((s.type == PT_LOAD || s.type == PT_NOTE) && !image_has(elf->image, s.offset, s.file_size))
            return true;
    }
    return false;
}

static bool entry_is_low(const struct image *image, uint64_t entry, struct problem *problem)
{
    return entry <= UINT32_MAX || problem_is(problem, STATUS_USAGE, "%s: its entry %#llx is above 4 GiB",
                                             image->name, (unsigned long long)entry);
}

/* An entry is given as the kernel's own address, which needn't be where it is loaded. */
static uint64_t physical_entry(const struct elf *elf)
{
    for (unsigned i = 0; i < elf->program_count; i++) {
        struct segment s = segment_of(elf, i);

        if (s.type == PT_LOAD && elf->entry >= s.vaddr && elf->entry - s.vaddr < s.memory_size)
            return elf->entry - s.vaddr + s.paddr;
    }
    return elf->entry;
}

/* Looks through one segment of notes for Xen's 32-bit entry. */
static bool entry_in_notes(const struct elf *elf, const struct segment *s, uint64_t *entry)
{
    const struct image *image = elf->image;
    uint64_t align = s->align == 8 ? 8 : 4;
    uint64_t at = s->offset, end = s->offset + s->file_size;

    if (!image_has(image, s->offset, s->file_size))
        return false;
    while (end - at >= sizeof(Elf64_Nhdr)) {
        uint64_t name_size = image_u32(image, at), size = image_u32(image, at + 4);
        uint64_t name = at + sizeof(Elf64_Nhdr);
        uint64_t data = name + ((name_size + align - 1) & ~(align - 1));
        uint64_t next = data + ((size + align - 1) & ~(align - 1));

        if (data > end || size > end - data)
            return false;
        if (image_u32(image, at + 8) == NOTE_PHYS32_ENTRY && name_size == 4 &&
            memcmp(image->bytes + name, "Xen", 4) == 0 && (size == 4 || size == 8)) {
            *entry = size == 8 ? image_u64(image, data) : image_u32(image, data);
            return true;
        }
        if (next > end)
            return false;
        at = next;
    }
    return false;
}

static bool pvh_entry(const struct elf *elf, uint64_t *entry)
{
    for (unsigned i = 0; i < elf->program_count; i++) {
        struct segment s = segment_of(elf, i);

        if (s.type == PT_NOTE && entry_in_notes(elf, &s, entry))
            return true;
    }
    return false;
}

/* The offset of a multiboot header, or 0 (where it can't be: that is the ELF header). */
static size_t multiboot_header(const struct image *image)
{
    size_t end = image->size < MULTIBOOT_SEARCH ? image->size : MULTIBOOT_SEARCH;

    for (size_t at = 0; at + 12 <= end; at += 4)
        if (image_u32(image, at) == MULTIBOOT_HEADER &&
            image_u32(image, at) + image_u32(image, at + 4) + image_u32(image, at + 8) == 0)
            return at;
    return 0;
}

/* Multiboot 3.1.3: the header's own addresses win over the ELF file's. */
static bool put_by_addresses(struct layout *layout, const struct image *image, size_t header, uint64_t *entry,
                             struct problem *problem)
{
    uint32_t header_gpa, load_gpa, load_end, bss_end;
    uint64_t offset, file_size, memory_size;

    if (!image_has(image, header, 32))
        return broken(image, problem, "its multiboot header is cut off");
    header_gpa = image_u32(image, header + 12);
    load_gpa = image_u32(image, header + 16);
    load_end = image_u32(image, header + 20);
    bss_end = image_u32(image, header + 24);
    *entry = image_u32(image, header + 28);
    if (header_gpa < load_gpa || header_gpa - load_gpa > header)
        return broken(image, problem, "the addresses in its multiboot header contradict each other");
    offset = header - (header_gpa - load_gpa);
    if (load_end && load_end < load_gpa)
        return broken(image, problem, "the addresses in its multiboot header contradict each other");
    file_size = load_end ? load_end - load_gpa : image->size - offset;
    memory_size = bss_end > load_gpa && bss_end - load_gpa > file_size ? bss_end - load_gpa : file_size;
    return put(layout, image, load_gpa, offset, file_size, memory_size, problem);
}

bool load_elf(struct layout *layout, const struct guest_files *files, struct start *start,
              struct problem *problem)
{
    const struct image *image = files->kernel;
    struct elf elf = {0};
    uint64_t entry = 0;
    size_t header;
    uint32_t flags;

    if (!read_header(&elf, image, problem))
        return false;
    if (pvh_entry(&elf, &entry))
        return entry_is_low(image, entry, problem) && put_segments(layout, &elf, problem) &&
               start_pvh(layout, files, entry, start, problem);

    header = multiboot_header(image);
    if (!header && is_cut_off(&elf))
        return broken(image, problem, "a segment is cut off");
    if (!header)
        return problem_is(
            problem, STATUS_USAGE,
            "%s: is an ELF file with neither a PVH note nor a multiboot header; if it is a Linux "
            "kernel, give its bzImage",
            image->name);
    flags = image_u32(image, header + 4);
    if (flags & MULTIBOOT_REQUIRED & ~MULTIBOOT_KNOWN)
        return problem_is(problem, STATUS_USAGE,
                          "%s: its multiboot header demands what this machine lacks (flags %#x; a display?)",
                          image->name, flags & MULTIBOOT_REQUIRED & ~MULTIBOOT_KNOWN);
    if (flags & MULTIBOOT_ADDRESSES) {
        if (!put_by_addresses(layout, image, header, &entry, problem))
            return false;
    } else {
        if (!put_segments(layout, &elf, problem))
            return false;
        entry = physical_entry(&elf);
    }
    return entry_is_low(image, entry, problem) && start_multiboot(layout, files, entry, start, problem);
}
