/* SPDX-License-Identifier: MIT */
/* Ports and the I/O permission bitmap; CLI, STI, PUSHF, POPF: all of what IOPL, VME and PVI rule. SDM 1 19.5, 3A 20.3.
 */
#include "tests/cpu/system_machine.h"

#include <stdio.h>

/* ---- ports ---- */

enum { MAP = 0x80 };

/* One bit of the map closed, or none (-1); which accesses does it stop? A TSS of `limit`. */
struct port_row {
    enum mode mode;
    UINT64 iopl;
    UINT16 port;
    unsigned size;
    int closed;
    UINT16 limit;
    bool allowed;
};

static void asks(const struct port_row *row)
{
    static const char *const codes[] = { "ec", "66 ed", "ed" }, *const real[] = { "ec", "ed", "66 ed" };
    bool code16 = row->mode == REAL || row->mode == VM86, is_long = row->mode >= LONG0;
    UINT16 tr = is_long ? TSS64 : TSS32;
    struct scenario s = { "a port", row->mode,
                          .set = { GPR(Rdx, row->port), GPR(Tr, tr),
                                   GPR(Rflags, 2 | row->iopl << 12 | (row->mode == VM86) << 17) },
                          .poke = { { TSS + 0x66, 2, MAP }, { GDT + tr, 2, row->limit } } };
    char name[128];

    s.code = (code16 ? real : codes)[row->size / 2];
    /* all open: the machine's map is closed but for port 60 */
    for (unsigned i = 0; i < 4; i++)
        s.poke[2 + i] = (struct poke){ TSS + MAP + 8 * i, 8, 0 };
    s.poke[6] = (struct poke){ TSS + MAP + 32, 1, 0xff };
    if (row->closed >= 0)
        s.poke[7] = (struct poke){ TSS + MAP + (UINT32)row->closed / 8, 1, 1u << (row->closed & 7) };
    s.reason = row->allowed ? WHvRunVpExitReasonX64IoPortAccess : WHvRunVpExitReasonException;
    s.vector = 13;
    s.rip = CODE;
    snprintf(name, sizeof name, "mode %d, IOPL %u, port %x of %u bytes, %x closed, limit %x", (int)row->mode,
             (unsigned)row->iopl, row->port, row->size, (unsigned)row->closed, row->limit);
    s.name = name;
    play(&s);
}

/* An access is stopped by any closed port among its bytes, also in the next byte of the map. */
START_TEST(a_closed_port_stops_what_touches_it)
{
    static const enum mode modes[] = { VM86, PROTECTED3, LONG3, COMPAT3 };

    for (unsigned closed = 4; closed < 14; closed++)
        for (unsigned size = 1; size <= 4; size *= 2)
            for (UINT16 port = 4; port < 12; port++)
                asks(&(struct port_row){ modes[_i], modes[_i] == VM86 ? 3 : 2, port, size, (int)closed, 0x20f,
                                         closed < port || closed >= port + size });
}
END_TEST

/* Two bytes of the map are read, whatever the size, and both must lie in the TSS; of which kind and size it is
 * matters too. */
START_TEST(where_the_bitmap_ends)
{
    static const enum mode modes[] = { VM86, PROTECTED3, LONG3, COMPAT3 };
    enum mode mode = modes[_i];
    UINT64 iopl = mode == VM86 ? 3 : 0;

    for (unsigned size = 1; size <= 4; size *= 2)
        for (UINT16 limit = MAP; limit < MAP + 4; limit++)
            for (UINT16 port = 0; port < 24; port++)
                asks(&(struct port_row){ mode, iopl, port, size, -1, limit, MAP + port / 8 + 1 <= limit });
    asks(&(struct port_row){ mode, iopl, 0, 1, -1, 0x66, false });
    asks(&(struct port_row){ mode, iopl, 255, 1, -1, 0xa0, true });
    asks(&(struct port_row){ mode, iopl, 255, 2, -1, 0xa0, false }); /* the byte of ones behind the map */
}
END_TEST

/* At IOPL or inwards the map isn't asked; in virtual-8086 mode it always is, in real mode never. */
START_TEST(who_is_asked)
{
    for (UINT64 iopl = 0; iopl < 4; iopl++)
        for (unsigned size = 1; size <= 4; size *= 2) {
            asks(&(struct port_row){ REAL, iopl, 8, size, 8, 0x20f, true });
            asks(&(struct port_row){ VM86, iopl, 8, size, 8, 0x20f, false });
            asks(&(struct port_row){ PROTECTED0, iopl, 8, size, 8, 0x20f, true });
            asks(&(struct port_row){ PROTECTED3, iopl, 8, size, 8, 0x20f, iopl == 3 });
            asks(&(struct port_row){ LONG0, iopl, 8, size, 8, 0x20f, true });
            asks(&(struct port_row){ LONG3, iopl, 8, size, 8, 0x20f, iopl == 3 });
            asks(&(struct port_row){ COMPAT3, iopl, 8, size, 8, 0x20f, iopl == 3 });
        }
}
END_TEST

static const struct scenario ports[] = {
    { "a 16-bit TSS has no map", PROTECTED3, "e4 60", .poke = { { GDT + TSS32 + 5, 1, 0x83 } },
      .set = { GPR(Tr, TSS32) }, FAULT(13, 0) },
    { "OUT", LONG3, "e6 61", FAULT(13, 0) },
    { "OUT DX", LONG3, "ee", .set = { GPR(Rdx, 0x61) }, FAULT(13, 0) },
    { "INS", LONG3, "6c", .set = { GPR(Rdx, 0x61), GPR(Rdi, 0x40000000) }, FAULT(13, 0) },
    { "OUTS", LONG3, "6e", .set = { GPR(Rdx, 0x61), GPR(Rsi, 0x40000000) }, FAULT(13, 0) },
    { "INS of an open port", LONG3, "6c", .set = { GPR(Rdx, 0x60), GPR(Rdi, 0x6000) },
      .reason = WHvRunVpExitReasonX64IoPortAccess, .rip = CODE },
    { "OUTSD at IOPL 3", PROTECTED3, "6f", .set = { GPR(Rdx, 0x61), GPR(Rsi, 0x6000), GPR(Rflags, 0x3002) },
      .reason = WHvRunVpExitReasonX64IoPortAccess, .rip = CODE },
    { "level 1 at IOPL 1", PROTECTED0, "ec",
      .set = { GPR(Ss, DATA1), GPR(Cs, CODE1), GPR(Rflags, 0x1002), GPR(Rdx, 0x61) },
      .reason = WHvRunVpExitReasonX64IoPortAccess, .rip = CODE },
    { "level 1 at IOPL 0", PROTECTED0, "ec", .set = { GPR(Ss, DATA1), GPR(Cs, CODE1), GPR(Rdx, 0x61) }, FAULT(13, 0) },
};

START_TEST(one_port)
{
    play(&ports[_i]);
}
END_TEST

/* ---- flags ---- */

struct flags_case {
    enum mode mode; /* at level 1, too: `cpl` */
    unsigned cpl;
    UINT64 flags, cr4;
};

static bool is_vm86(const struct flags_case *c)
{
    return c->mode == VM86;
}

static unsigned iopl_of(const struct flags_case *c)
{
    return c->flags >> 12 & 3;
}

static void flags_play(const struct flags_case *c, struct scenario *s)
{
    s->mode = c->mode;
    s->set[0] = (struct reg)GPR(Rflags, c->flags);
    s->set[1] = (struct reg)GPR(Cr4, c->cr4);
    s->set[2] = (struct reg)GPR(Rsp, 0x6000);
    if (c->mode == PROTECTED0 && c->cpl == 1) {
        s->set[3] = (struct reg)GPR(Ss, DATA1);
        s->set[4] = (struct reg)GPR(Cs, CODE1);
    }
    play(s);
}

/* Not refused: the HLT behind it is, but at level 0. */
static void flags_succeed(const struct flags_case *c, struct scenario *s, UINT32 length, UINT64 flags)
{
    bool halts = c->mode == REAL || (c->mode == PROTECTED0 && c->cpl == 0);

    s->reason = halts ? WHvRunVpExitReasonX64Halt : WHvRunVpExitReasonException;
    s->vector = 13;
    s->rip = CODE + length + halts;
    s->want[0] = (struct reg)GPR(Rflags, flags & ~0x10000ull); /* RF was for this instruction */
}

static void flags_refused(struct scenario *s)
{
    s->reason = WHvRunVpExitReasonException;
    s->vector = 13;
}

/* CLI and STI change IF at IOPL or inwards, and VIF for programs of level 3 below it that have VME or
 * PVI. */
static void interrupts_off_and_on(const struct flags_case *c)
{
    for (unsigned on = 0; on < 2; on++) {
        struct scenario s = { on ? "STI" : "CLI", .code = on ? "fb" : "fa" };
        UINT64 bit = 0;

        if (c->mode == REAL || c->cpl <= iopl_of(c))
            bit = 0x200;
        else if (c->cpl == 3 && (c->cr4 & (is_vm86(c) ? 1 : 2)))
            bit = on && (c->flags & 0x100000) ? 0 : 0x80000;
        if (bit)
            flags_succeed(c, &s, 1, on ? c->flags | bit : c->flags & ~bit);
        else
            flags_refused(&s);
        flags_play(c, &s);
    }
}

/* PUSHF: refused in virtual-8086 mode below IOPL 3, but of 16 bits with VME, which shows VIF as IF and
 * IOPL as 3. */
static void flags_pushed(const struct flags_case *c)
{
    bool code16 = is_vm86(c) || c->mode == REAL;

    for (unsigned size = 2; size <= 4; size += 2) {
        bool prefix = (size == 2) != code16, virtual = is_vm86(c) && iopl_of(c) < 3;
        struct scenario s = { "PUSHF", .code = prefix ? "66 9c" : "9c" };
        UINT64 image = c->flags & ~0x30000u; /* neither VM nor RF */

        if (virtual && (!(c->cr4 & 1) || size == 4)) {
            flags_refused(&s);
        } else {
            if (virtual)
                image = (image & ~0x200u) | 0x3000 | (c->flags & 0x80000 ? 0x200 : 0);
            flags_succeed(c, &s, 1 + prefix, c->flags);
            s.want[1] = (struct reg)GPR(Rsp, 0x6000 - size);
            s.see[0] = (struct poke){ 0x6000 - size, size, size == 2 ? image & 0xffff : image };
        }
        flags_play(c, &s);
    }
}

/*
 * POPF: IF at IOPL or inwards, IOPL at level 0, VIF, VIP, VM never, the upper half's AC and ID with 32
 * bits. With VME below IOPL 3 the image's IF becomes VIF, and is refused while VIP waits; so is its TF.
 */
static void flags_popped(const struct flags_case *c, UINT64 image)
{
    bool code16 = is_vm86(c) || c->mode == REAL;

    for (unsigned size = 2; size <= 4; size += 2) {
        bool prefix = (size == 2) != code16, virtual = is_vm86(c) && iopl_of(c) < 3, refused = false;
        struct scenario s = { "POPF", .code = prefix ? "66 9d" : "9d", .poke = { { 0x6000, size, image } } };
        UINT64 takes = 0x4dd5, flags; /* all that programs have, TF and NT among them */

        if (size == 4)
            takes |= 0x240000;
        if (virtual) {
            refused = !(c->cr4 & 1) || size == 4 || (image & 0x100) || ((image & 0x200) && (c->flags & 0x100000));
            takes |= 0x80000;
        } else {
            takes |= c->mode == REAL || c->cpl <= iopl_of(c) ? 0x200 : 0;
            takes |= c->mode == REAL || c->cpl == 0 ? 0x3000 : 0;
        }
        flags = (c->flags & ~takes) | (image & takes & ~0x80000ull) | (virtual && (image & 0x200) ? 0x80000 : 0);
        if (refused)
            flags_refused(&s);
        else
            flags_succeed(c, &s, 1 + prefix, flags);
        flags_play(c, &s);
    }
}

/* TF is left out of images where it would trap behind the HLT. */
START_TEST(flags_of_the_system)
{
    static const struct flags_case kinds[] = { { REAL, 0, 0, 0 },
                                               { VM86, 3, 0x20000, 0 },
                                               { PROTECTED0, 0, 0, 0 },
                                               { PROTECTED0, 1, 0, 0 },
                                               { PROTECTED3, 3, 0, 0 } };

    for (unsigned bits = 0; bits < 128; bits++) {
        struct flags_case c = kinds[_i];

        if (!is_vm86(&c) && (bits & 12) == 12) /* less will do where VIF doesn't matter */
            continue;
        c.flags |= 2 | (UINT64)(bits & 3) << 12 | (bits & 4 ? 0x200 : 0) | (bits & 8 ? 0x80000 : 0) |
                   (bits & 16 ? 0x100000 : 0) | (bits & 1 ? 0x50000 : 0);
        c.cr4 = bits >> 5;
        interrupts_off_and_on(&c);
        flags_pushed(&c);
        flags_popped(&c, 0x3efedd & ~0x100u);
        flags_popped(&c, bits & 64 ? 0x200 : 0);
        if (is_vm86(&c) && iopl_of(&c) < 3)
            flags_popped(&c, 0x102);
    }
}
END_TEST

TCase *system_ports_cases(void)
{
    TCase *t = tcase_create("ports and flags");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, a_closed_port_stops_what_touches_it, 0, 4);
    tcase_add_loop_test(t, where_the_bitmap_ends, 0, 4);
    tcase_add_test(t, who_is_asked);
    tcase_add_loop_test(t, one_port, 0, sizeof ports / sizeof *ports);
    tcase_add_loop_test(t, flags_of_the_system, 0, 5);
    return t;
}
