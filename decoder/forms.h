/* SPDX-License-Identifier: MIT */
/* Which instructions there are: every encoding that Zydis knows, and whether ours carries it out. */
#ifndef DECODER_FORMS_H
#define DECODER_FORMS_H

#include "state/feature.h"

struct form {
    const u8 *bytes;       /* 15 of them, an instance with whatever registers, and zeros behind it */
    const char *mnemonic;  /* lower case, as Zydis has it */
    const char *extension; /* Zydis' name of the ISA set */
    const char *text;      /* prefixes, map, opcode and operands: "66.0F38.F1 m16,r16"; tests/vectors/README.md has the notation */
    bool is_ours;          /* else #UD, or an exit that says what is lacking */
};

/* The strings live until the callback returns. */
typedef void form_fn(void *context, const struct form *form);

/*
 * All forms of one code size, each once, and whether a processor with these features carries them out: mode is
 * MODE_CODE16, MODE_CODE32 or MODE_CODE64. False: no memory.
 */
bool forms_list(const struct features *features, u32 mode, form_fn *visit, void *context);

/* The same of one form, by its bytes. */
bool form_is_ours(const struct features *features, u32 mode, const u8 bytes[15]);

#endif
