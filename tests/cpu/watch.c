/* SPDX-License-Identifier: MIT */
/* Data and port breakpoints: all kinds, lengths and places against accesses of all sizes. SDM 3B 17.2.5, APM 2 13.1.1.
 */
#include "tests/cpu/event_machine.h"

enum { VECTOR_DB = 1 };

/* A breakpoint covers `length` bytes or ports from its address, rounded down to that, and is met by any of an access's.
 */
static bool meets(u64 address, unsigned length, u64 at, unsigned size)
{
    u64 from = address & ~(u64)(length - 1);

    return at < from + length && from < at + size;
}

/* Runs the code again, to its breakpoint or its HLT: which was it? */
static bool traps(struct rig *r, unsigned length, u64 bits)
{
    rig_set(r, Rip, CODE);
    u32 reason = rig_run(r);

    if (reason == LEAVES(X64Halt))
        return false;
    ck_assert_uint_eq(reason, LEAVES(Exception));
    ck_assert_uint_eq(r->g.exit.VpException.ExceptionType, VECTOR_DB);
    ck_assert_uint_eq(r->g.exit.VpException.ExceptionParameter, bits);
    ck_assert_uint_eq(r->g.exit.VpContext.Rip, CODE + length);
    return true;
}

static const struct {
    const char *load, *store; /* of RDI, 1 to 8 bytes */
    unsigned length;
} accesses[] = {
    { "\x8a\x07\xf4", "\x88\x07\xf4", 2 },
    { "\x66\x8b\x07\xf4", "\x66\x89\x07\xf4", 3 },
    { "\x8b\x07\xf4", "\x89\x07\xf4", 2 },
    { "\x48\x8b\x07\xf4", "\x48\x89\x07\xf4", 3 },
};

/* A store meets breakpoints on writes and on accesses, a load those on accesses. Also over the border of two pages. */
START_TEST(where_data_breakpoints_are_met)
{
    unsigned n = (unsigned)_i / 4, length = 1u << _i % 4, size = 1u << n;
    struct rig r;

    rig_open(&r, IN_LONG, X("\xf4"));
    rig_intercept(&r, 1 << VECTOR_DB);
    for (unsigned page = 0; page < 2; page++)
        for (unsigned is_store = 0; is_store < 2; is_store++) {
            u64 base = DATA + (page ? 0xff0 : 0x100);

            rig_poke(&r, CODE, is_store ? accesses[n].store : accesses[n].load, accesses[n].length + 1);
            for (unsigned kind = ON_WRITE; kind <= ON_ACCESS; kind += 2) {
                rig_set(&r, Dr7, BREAK(1, kind, length));
                for (u64 address = base; address < base + 32; address++) {
                    rig_set(&r, Dr1, address);
                    for (u64 at = base + 8; at < base + 24; at++) {
                        bool wanted = meets(address, length, at, size) && (is_store || kind == ON_ACCESS);

                        rig_set(&r, Rdi, at);
                        ck_assert_msg(traps(&r, accesses[n].length, 2) == wanted,
                                      "kind %u, %u at %llx; %s of %u at %llx", kind, length,
                                      (unsigned long long)address, is_store ? "store" : "load", size,
                                      (unsigned long long)at);
                    }
                }
            }
        }
    rig_close(&r);
}
END_TEST

/* Ports alike, reads and writes both, with CR4.DE; the trap comes once the caller has completed the access. */
START_TEST(where_port_breakpoints_are_met)
{
    static const char *const codes[] = { "\xec\x90\xf4",     "\xee\x90\xf4", "\x66\xed\x90\xf4",
                                         "\x66\xef\x90\xf4", "\xed\x90\xf4", "\xef\x90\xf4" };
    unsigned length = 1u << _i / 6, size = 1u << _i % 6 / 2, bytes = size == 2 ? 2 : 1;
    struct rig r;

    rig_open(&r, IN_LONG, codes[_i % 6], bytes + 2);
    rig_intercept(&r, 1 << VECTOR_DB);
    rig_set(&r, Cr4, 0x28);
    rig_set(&r, Dr7, BREAK(3, ON_PORT, length));
    for (u64 address = 0x40; address < 0x50; address++) {
        rig_set(&r, Dr3, address);
        for (u64 port = 0x44; port < 0x4c; port++) {
            rig_set(&r, Rdx, port);
            rig_set(&r, Rip, CODE);
            rig_leaves(&r, LEAVES(X64IoPortAccess), CODE);
            rig_set(&r, Rip, CODE + bytes);
            if (meets(address, length, port, size))
                rig_traps_at(&r, CODE + bytes, 8);
            rig_halts_at(&r, CODE + bytes + 2);
        }
    }
    rig_close(&r);
}
END_TEST

/* B0 to B3 tell of this exception alone; BD, BS and BT stay until somebody clears them. */
START_TEST(what_DR6_keeps)
{
    for (unsigned bits = 0; bits < 128; bits++) {
        u64 old = DR6_RESET | (bits & 15) | (u64)(bits >> 4) << 13;
        struct rig r;

        rig_open(&r, IN_LONG, X("\x88\x07\xf4"));
        rig_set(&r, Rdi, DATA);
        rig_set(&r, Dr6, old);
        rig_set(&r, Dr2, DATA);
        rig_set(&r, Dr7, BREAK(2, ON_WRITE, 1));
        rig_halts_in(&r, VECTOR_DB);
        ck_assert_uint_eq(rig_get(&r, Dr6), (old & ~(u64)15) | 4);
        rig_close(&r);
    }
}
END_TEST

TCase *watch_case(void)
{
    TCase *t = tcase_create("watched places");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, where_data_breakpoints_are_met, 0, 16);
    tcase_add_loop_test(t, where_port_breakpoints_are_met, 0, 18);
    tcase_add_test(t, what_DR6_keeps);
    return t;
}
