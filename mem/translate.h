/* SPDX-License-Identifier: MIT */
/* What WHvTranslateGva asks: a page walk from outside. */
#ifndef MEM_TRANSLATE_H
#define MEM_TRANSLATE_H

#include "state/vcpu.h"

/*
 * The WHV_TRANSLATE_GVA_RESULT_CODE of a linear address under WHV_TRANSLATE_GVA_FLAGS; *gpa is set on success
 * only. Raises nothing, leaves nowhere, changes nothing but accessed and dirty bits, where the flags ask for
 * that.
 */
u32 translate_gva(struct vcpu *cpu, u64 gva, u32 flags, u64 *gpa);

#endif
