/* SPDX-License-Identifier: MIT */
/*
 * QEMU's firmware configuration device (docs/specs/fw_cfg.rst there): firmware selects an item by its key and reads it
 * byte by byte, or has it written into memory.
 */
#ifndef VMM_FW_CFG_H
#define VMM_FW_CFG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct memory;

enum {
    FW_CFG_PORT = 0x510, /* the selector, and the data at 511 */
    FW_CFG_PORT_DMA = 0x514,
    FW_CFG_PORT_LAST = 0x51b,

    /* Keys. Files have those from 20 on. */
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_RAM_SIZE = 0x03,
    FW_CFG_NO_DISPLAY = 0x04,
    FW_CFG_PROCESSORS = 0x05,
    FW_CFG_KERNEL_ADDRESS = 0x07,
    FW_CFG_KERNEL_SIZE = 0x08,
    FW_CFG_INITRD_ADDRESS = 0x0a,
    FW_CFG_INITRD_SIZE = 0x0b,
    FW_CFG_MAX_PROCESSORS = 0x0f,
    FW_CFG_KERNEL_DATA = 0x11,
    FW_CFG_INITRD_DATA = 0x12,
    FW_CFG_ARGUMENTS_ADDRESS = 0x13,
    FW_CFG_ARGUMENTS_SIZE = 0x14,
    FW_CFG_ARGUMENTS_DATA = 0x15,
    FW_CFG_SETUP_ADDRESS = 0x16,
    FW_CFG_SETUP_SIZE = 0x17,
    FW_CFG_SETUP_DATA = 0x18,
    FW_CFG_DIRECTORY = 0x19,
    FW_CFG_FIRST_FILE = 0x20,
    FW_CFG_IRQ0_OVERRIDE = 0x8002,

    FW_CFG_ITEMS = 64,
    FW_CFG_NAME_SIZE = 56, /* with its end */
};

struct fw_cfg_item {
    uint16_t key;
    char name[FW_CFG_NAME_SIZE]; /* of a file, else empty */
    uint8_t *bytes;
    size_t size;
    bool is_replaced; /* by another file of that name */
};

struct fw_cfg {
    struct fw_cfg_item items[FW_CFG_ITEMS];
    unsigned count, files;
    uint16_t selected;
    uint64_t offset;
    uint64_t dma_address;
    uint32_t fadt; /* where it is in the file of ACPI tables */
    const struct memory *memory;
    /* Asked in the midst of a transfer, which may be as long as all of RAM; NULL: it never has to stop. */
    bool (*must_stop)(void *context);
    void *stop_context;
};

void fw_cfg_reset(struct fw_cfg *fw_cfg, const struct memory *memory);
void fw_cfg_free(struct fw_cfg *fw_cfg);

/* Adds a copy of the bytes; a file of the same name is replaced. False: the host has no memory, or there is no room. */
bool fw_cfg_add(struct fw_cfg *fw_cfg, uint16_t key, const void *bytes, size_t size);
bool fw_cfg_add_file(struct fw_cfg *fw_cfg, const char *name, const void *bytes, size_t size);

/* A number of so many bytes, the lowest first. */
bool fw_cfg_add_number(struct fw_cfg *fw_cfg, uint16_t key, uint64_t number, size_t size);

/* NULL: there is no such file. */
struct fw_cfg_item *fw_cfg_find_file(struct fw_cfg *fw_cfg, const char *name);

/* Adds the directory of the files; after the last of them. */
bool fw_cfg_finish(struct fw_cfg *fw_cfg);

uint32_t fw_cfg_read(void *device, uint16_t port, unsigned size, uint64_t now);
void fw_cfg_write(void *device, uint16_t port, unsigned size, uint32_t value, uint64_t now);

#endif
