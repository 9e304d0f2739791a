/* SPDX-License-Identifier: MIT */
/* Handlers that carry out several instructions: who offers what to bind_fused(). */
#ifndef CPU_FUSE_H
#define CPU_FUSE_H

#include "cpu/handler.h"

/* in[0] is bound already; n instructions are left in the block with it. NULL: nothing to fuse. */
run_fn *fuse_stack(const struct insn *in, u32 mode, unsigned n);
run_fn *fuse_compare(const struct insn *in, u32 mode, unsigned n);

#endif
