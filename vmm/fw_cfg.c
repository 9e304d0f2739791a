/* SPDX-License-Identifier: MIT */
/*
 * QEMU's firmware configuration device (docs/specs/fw_cfg.rst there). What isn't known reads as zeros, as the
 * specification promises. Numbers of the DMA interface and of the directory have their highest byte first.
 */
#include "fw_cfg.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

enum {
    ID_TRADITIONAL = 1,
    ID_DMA = 2,

    DMA_ERROR = 1,
    DMA_READ = 2,
    DMA_SKIP = 4,
    DMA_SELECT = 8,
    DMA_WRITE = 16,
};

static const char dma_signature[8] = {'Q', 'E', 'M', 'U', ' ', 'C', 'F', 'G'};

struct dma {
    uint32_t control, length;
    uint64_t address;
};

struct directory_entry {
    uint32_t size;
    uint16_t key, reserved;
    char name[FW_CFG_NAME_SIZE];
};

static struct fw_cfg_item *find(struct fw_cfg *f, uint16_t key)
{
    for (unsigned i = 0; i < f->count; i++)
        if (f->items[i].key == key)
            return &f->items[i];
    return NULL;
}

static bool fill(struct fw_cfg_item *item, const void *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    if (!copy)
        return false;
    if (size)
        memcpy(copy, bytes, size);
    free(item->bytes);
    item->bytes = copy;
    item->size = size;
    return true;
}

bool fw_cfg_add(struct fw_cfg *f, uint16_t key, const void *bytes, size_t size)
{
    struct fw_cfg_item *item = find(f, key);

    if (!item) {
        if (f->count == FW_CFG_ITEMS)
            return false;
        item = &f->items[f->count++];
        *item = (struct fw_cfg_item){.key = key};
    }
    return fill(item, bytes, size);
}

struct fw_cfg_item *fw_cfg_find_file(struct fw_cfg *f, const char *name)
{
    for (unsigned i = 0; i < f->count; i++)
        if (f->items[i].name[0] && strcmp(f->items[i].name, name) == 0)
            return &f->items[i];
    return NULL;
}

bool fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *bytes, size_t size)
{
    uint16_t key = (uint16_t)(FW_CFG_FIRST_FILE + f->files);
    struct fw_cfg_item *old = fw_cfg_find_file(f, name);

    if (old) {
        old->is_replaced = true;
        return fill(old, bytes, size);
    }
    if (!*name || strlen(name) >= FW_CFG_NAME_SIZE || !fw_cfg_add(f, key, bytes, size))
        return false;
    strcpy(find(f, key)->name, name);
    f->files++;
    return true;
}

bool fw_cfg_add_number(struct fw_cfg *f, uint16_t key, uint64_t number, size_t size)
{
    uint64_t little = htole64(number);

    return fw_cfg_add(f, key, &little, size);
}

bool fw_cfg_finish(struct fw_cfg *f)
{
    struct {
        uint32_t count;
        struct directory_entry entry[FW_CFG_ITEMS];
    } directory = {.count = htobe32(f->files)};
    unsigned files = 0;

    for (unsigned i = 0; i < f->count; i++) {
        struct directory_entry *entry = &directory.entry[files];
        const struct fw_cfg_item *item = &f->items[i];

        if (!item->name[0])
            continue;
        entry->size = htobe32((uint32_t)item->size);
        entry->key = htobe16(item->key);
        memcpy(entry->name, item->name, sizeof entry->name);
        files++;
    }
    return fw_cfg_add(f, FW_CFG_DIRECTORY, &directory, sizeof directory.count + files * sizeof directory.entry[0]);
}

static void choose(struct fw_cfg *f, uint16_t key)
{
    f->selected = key;
    f->offset = 0;
}

/* The next bytes of the selected item, zeros behind its end. */
static void take(struct fw_cfg *f, uint8_t *to, size_t size)
{
    const struct fw_cfg_item *item = find(f, f->selected);
    size_t left = item && f->offset < item->size ? item->size - f->offset : 0;
    size_t count = size < left ? size : left;

    if (count)
        memcpy(to, item->bytes + f->offset, count);
    memset(to + count, 0, size - count);
    f->offset += size;
}

/* False: the memory isn't RAM, or the run ends. */
static bool transfer(struct fw_cfg *f, uint64_t address, uint32_t length)
{
    uint8_t bytes[4096];

    if (length && !memory_at(f->memory, address, length))
        return false;
    while (length) {
        uint32_t count = length < sizeof bytes ? length : sizeof bytes;

        if (f->must_stop && f->must_stop(f->stop_context))
            return false;
        take(f, bytes, count);
        memory_write(f->memory, address, bytes, count);
        address += count;
        length -= count;
    }
    return true;
}

/* Carries out the command that lies at an address; what it says in the end is where it lay. */
static void carry_out(struct fw_cfg *f, uint64_t at)
{
    struct dma dma;
    uint32_t control;
    bool fine = true;

    if (!memory_at(f->memory, at, sizeof dma))
        return; /* there is no place to tell it */
    memory_read(f->memory, at, &dma, sizeof dma);
    control = be32toh(dma.control);
    if (control & DMA_SELECT)
        choose(f, (uint16_t)(control >> 16));
    if (control & DMA_READ)
        fine = transfer(f, be64toh(dma.address), be32toh(dma.length));
    else if (control & DMA_WRITE)
        fine = false; /* no item can be written */
    else if (control & DMA_SKIP)
        f->offset += be32toh(dma.length);
    dma.control = htobe32(fine ? 0 : DMA_ERROR);
    memory_write(f->memory, at, &dma.control, sizeof dma.control);
}

uint32_t fw_cfg_read(void *device, uint16_t port, unsigned size, uint64_t now)
{
    struct fw_cfg *f = device;
    uint32_t value = UINT32_MAX;
    uint8_t byte;

    (void)now;
    if (port >= FW_CFG_PORT_DMA) {
        value = 0;
        for (unsigned i = 0; i < size; i++) {
            unsigned at = port - FW_CFG_PORT_DMA + i;

            value |= (uint32_t)(at < sizeof dma_signature ? (uint8_t)dma_signature[at] : 0xff) << 8 * i;
        }
    } else if (port <= FW_CFG_PORT + 1) {
        take(f, &byte, 1);
        value = (value & ~0xffu) | byte;
    }
    return value;
}

void fw_cfg_write(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now)
{
    struct fw_cfg *f = device;
    uint64_t address;

    (void)now;
    if (port == FW_CFG_PORT && size == 2) {
        choose(f, (uint16_t)value);
    } else if (port == FW_CFG_PORT_DMA && size == 4) {
        f->dma_address = (uint64_t)be32toh(value) << 32;
    } else if (port == FW_CFG_PORT_DMA + 4 && size == 4) {
        address = f->dma_address | be32toh(value);
        f->dma_address = 0;
        carry_out(f, address);
    }
}

void fw_cfg_reset(struct fw_cfg *f, const struct memory *memory)
{
    memset(f, 0, sizeof *f);
    f->memory = memory;
    fw_cfg_add(f, FW_CFG_SIGNATURE, "QEMU", 4);
    fw_cfg_add_number(f, FW_CFG_ID, ID_TRADITIONAL | ID_DMA, 4);
}

void fw_cfg_free(struct fw_cfg *f)
{
    for (unsigned i = 0; i < f->count; i++)
        free(f->items[i].bytes);
    f->count = 0;
}
