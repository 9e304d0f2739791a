/* SPDX-License-Identifier: MIT */
/* The transcendental functions of the x87, the same on every host: x87_fn's, see cpu/x87_unit.h. */
#ifndef CPU_X87_TRANSCEND_H
#define CPU_X87_TRANSCEND_H

#include "cpu/x87.h"

x87_fn x87_sin, x87_cos, x87_sincos, x87_ptan, x87_f2xm1, x87_patan, x87_yl2x, x87_yl2xp1;

#endif
