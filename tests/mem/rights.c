/* SPDX-License-Identifier: MIT */
/*
 * Every combination of what page rights depend on, against the rules as SDM volume 3A 4.6 and 4.7 tell them:
 * written here a second time, as sentences, not as the walk does it.
 */
#include "tests/mem/machine.h"

enum { LINEAR = 0x5000, TARGET = 0x7000 };

struct situation {
    bool wp, smep, smap, pke, nxe, ac;
    bool user_page, writable, no_execute; /* what all levels together say */
    unsigned key_bits;                    /* 1: access disabled, 2: write disabled */
    unsigned cpl;
    unsigned access; /* with ACCESS_SYSTEM or not */
    enum paging paging;
};

static bool may_read(const struct situation *s, bool supervisor)
{
    if (supervisor && s->user_page && s->smap)
        return s->ac && !(s->access & ACCESS_SYSTEM);
    return supervisor || s->user_page;
}

static bool may_write(const struct situation *s, bool supervisor)
{
    if (!may_read(s, supervisor))
        return false;
    return s->writable || (supervisor && !s->wp);
}

static bool may_execute(const struct situation *s, bool supervisor)
{
    if (s->no_execute)
        return false;
    return supervisor ? !(s->user_page && s->smep) : s->user_page;
}

static bool key_forbids(const struct situation *s, bool supervisor, unsigned right)
{
    if (s->paging < PAGING_4 || !s->pke || !s->user_page || right == ACCESS_EXECUTE)
        return false;
    if (s->key_bits & 1)
        return true;
    return right == ACCESS_WRITE && s->key_bits & 2 && (!supervisor || s->wp);
}

/* The error code, or -1: allowed. */
static int expected(const struct situation *s)
{
    unsigned right = s->access & ACCESS_RIGHT;
    bool supervisor = s->cpl < 3 || s->access & ACCESS_SYSTEM, keyed = key_forbids(s, supervisor, right),
         allowed;
    int error = PF_P | (right == ACCESS_WRITE ? PF_W : 0) | (supervisor ? 0 : PF_U) | (keyed ? PF_PK : 0);

    allowed = right == ACCESS_READ    ? may_read(s, supervisor)
              : right == ACCESS_WRITE ? may_write(s, supervisor)
                                      : may_execute(s, supervisor);
    if (right == ACCESS_EXECUTE && (s->smep || (s->nxe && s->paging != PAGING_32)))
        error |= PF_I;
    return allowed && !keyed ? -1 : error;
}

static void set_processor(struct machine *m, const struct situation *s)
{
    struct vcpu *cpu = m->cpu;

    machine_set_paging(m, s->paging);
    cpu->cr0 |= s->wp ? CR0_WP : 0;
    cpu->cr4 |= (s->smep ? CR4_SMEP : 0) | (s->smap ? CR4_SMAP : 0) | (s->pke ? CR4_PKE : 0);
    cpu->efer |= s->nxe ? EFER_NXE : 0;
    cpu->rflags = RFLAGS_FIXED | (s->ac ? AC : 0);
    cpu->pkru = s->key_bits << 10 | 3; /* key 5 is the page's, key 0 must not matter */
    cpu->cpl = (u8)s->cpl;
    mode_update(cpu);
}

/* Which level takes the right away: the leaf, those above, or both. */
static void set_tables(struct machine *m, const struct situation *s, unsigned where)
{
    u64 take_leaf = where & 1, take_upper = where & 2;
    u64 leaf = PTE_P | (s->user_page || !take_leaf ? PTE_U : 0) | (s->writable || !take_leaf ? PTE_W : 0);
    u64 upper = PTE_P | (s->user_page || !take_upper ? PTE_U : 0) | (s->writable || !take_upper ? PTE_W : 0);

    if (s->no_execute)
        leaf |= take_leaf ? PTE_NX : 0, upper |= take_upper ? PTE_NX : 0;
    if (s->paging >= PAGING_4)
        leaf |= (u64)5 << 59;
    machine_map(m, LINEAR, TARGET, leaf, upper, PAGE_SIZE);
}

static void check(struct machine *m, struct situation *s, const char *when)
{
    struct outcome o = machine_access(m, LINEAR + 8, 4, s->access);
    int wanted = expected(s);

    if (wanted < 0
            ? o.kind == DONE && o.bytes == m->memory + TARGET + 8
            : o.kind == FAULT && o.vector == VECTOR_PF && o.error == (u32)wanted && o.cr2 == LINEAR + 8)
        return;
    ck_abort_msg("%s: paging %d wp %d smep %d smap %d pke %d nxe %d ac %d page u %d w %d nx %d key %u cpl %u "
                 "access %x: "
                 "kind %d vector %u error %x, not %x",
                 when, s->paging, s->wp, s->smep, s->smap, s->pke, s->nxe, s->ac, s->user_page, s->writable,
                 s->no_execute, s->key_bits, s->cpl, s->access, o.kind, o.vector, o.error, (unsigned)wanted);
}

static void all_accesses(struct machine *m, struct situation *s)
{
    static const unsigned accesses[] = {ACCESS_READ, ACCESS_WRITE, ACCESS_EXECUTE,
                                        ACCESS_READ | ACCESS_SYSTEM, ACCESS_WRITE | ACCESS_SYSTEM};

    for (unsigned where = 1; where <= 3; where++) {
        set_processor(m, s);
        set_tables(m, s, where);
        for (unsigned i = 0; i < 5; i++) {
            s->access = accesses[i];
            tlb_flush(m->cpu, false);
            check(m, s, "walked");
        }
        for (unsigned i = 0; i < 10; i++) { /* what one access left in the TLB must not serve another */
            s->access = accesses[i % 5];
            check(m, s, "remembered");
        }
    }
}

START_TEST(rights_are_those_of_the_manual)
{
    struct machine *m = machine_new();
    struct situation s = {.paging = (enum paging)_i};

    for (unsigned bits = 0; bits < 1 << 12; bits++) {
        s.wp = bits & 1, s.smep = bits & 2, s.smap = bits & 4, s.pke = bits & 8, s.nxe = bits & 16,
        s.ac = bits & 32;
        s.user_page = bits & 64, s.writable = bits & 128, s.no_execute = bits & 256;
        s.cpl = bits & 512 ? 3 : 0;
        s.key_bits = bits >> 10;
        if ((s.no_execute && (!s.nxe || s.paging == PAGING_32)) ||
            (s.paging < PAGING_4 && (s.pke || s.key_bits)))
            continue;
        all_accesses(m, &s);
    }
    machine_delete(m);
}
END_TEST

TCase *rights_cases(void)
{
    TCase *t = tcase_create("rights");

    tcase_add_loop_test(t, rights_are_those_of_the_manual, PAGING_32, PAGINGS);
    return t;
}
