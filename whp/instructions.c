/* SPDX-License-Identifier: MIT */
/* SwhpListInstructions: what the default profile's processor carries out. */
#include <stdio.h>
#include <stdlib.h>

#include "decoder/forms.h"
#include "state/profile.h"
#include "whp/error.h"

struct entry {
    u32 modes;
    char mnemonic[24], form[64], extension[32];
};

struct list {
    struct entry *entry;
    size_t n, room;
    u32 mode; /* that is being listed */
    bool failed;
};

static void add(void *context, const struct form *f)
{
    struct list *l = context;

    if (!f->is_ours || l->failed)
        return;
    if (l->n == l->room) {
        size_t room = l->room ? 2 * l->room : 4096;
        struct entry *more = realloc(l->entry, room * sizeof *more);

        if (!more) {
            l->failed = true;
            return;
        }
        l->entry = more;
        l->room = room;
    }
    struct entry *e = &l->entry[l->n++];

    e->modes = l->mode;
    snprintf(e->mnemonic, sizeof e->mnemonic, "%s", f->mnemonic);
    snprintf(e->form, sizeof e->form, "%s", f->text);
    snprintf(e->extension, sizeof e->extension, "%s", f->extension);
}

static int by_name(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = strcmp(x->extension, y->extension);

    order = order ? order : strcmp(x->mnemonic, y->mnemonic);
    return order ? order : strcmp(x->form, y->form);
}

/* A form that several modes have is told once. */
static void tell(const struct list *l, SWHP_INSTRUCTION_CALLBACK callback, void *context)
{
    for (size_t i = 0, after; i < l->n; i = after) {
        const struct entry *e = &l->entry[i];
        SWHP_INSTRUCTION out = { sizeof out, 0, e->mnemonic, e->form, e->extension };

        for (after = i; after < l->n && by_name(e, &l->entry[after]) == 0; after++)
            out.Modes |= l->entry[after].modes;
        callback(context, &out);
    }
}

HRESULT WINAPI SwhpListInstructions(SWHP_INSTRUCTION_CALLBACK Callback, VOID *Context)
{
    static const struct {
        u32 code, mode;
    } modes[] = { { MODE_CODE64, SWHP_MODE_64 }, { MODE_CODE32, SWHP_MODE_32 }, { MODE_CODE16, SWHP_MODE_16 } };
    struct list l = { 0 };
    struct partition p = { 0 };

    if (!Callback)
        return fail(E_POINTER, "Callback is NULL");
    profile_use(&p, profile_find("zen"));
    for (unsigned i = 0; i < 3; i++) {
        l.mode = modes[i].mode;
        if (!forms_list(&p.has, modes[i].code, add, &l))
            l.failed = true;
    }
    if (!l.failed) {
        qsort(l.entry, l.n, sizeof *l.entry, by_name);
        tell(&l, Callback, Context);
    }
    free(l.entry);
    return l.failed ? fail(E_OUTOFMEMORY, "no memory for the list") : S_OK;
}
