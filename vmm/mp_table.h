/* SPDX-License-Identifier: MIT */
/*
 * The tables of Intel's MultiProcessor Specification 1.4, for guests that don't read ACPI's. Firmware builds its own.
 */
#ifndef VMM_MP_TABLE_H
#define VMM_MP_TABLE_H

#include <stdint.h>

/* Where the specification has them looked for: the floating pointer in the BIOS's ROM, the table behind it. */
enum { MP_GPA = 0xf0000, MP_ROOM = 0x1000 };

/* What is told of each processor: the version of its local APIC, EAX and EDX of CPUID leaf 1. */
struct mp_kind {
    uint8_t apic_version;
    uint32_t signature, features;
};

/* Builds both for a machine with local APICs, to stand at MP_GPA; returns their size. */
uint32_t mp_build(uint8_t bytes[MP_ROOM], unsigned processors, const struct mp_kind *kind);

#endif
