/* SPDX-License-Identifier: MIT */
/* What WHvTranslateGva answers. */
#include "mem/translate.h"
#include "tests/mem/machine.h"

enum {
    ALL = PTE_P | PTE_W | PTE_U,
    READ = WHvTranslateGvaFlagValidateRead,
    WRITE = WHvTranslateGvaFlagValidateWrite,
    EXECUTE = WHvTranslateGvaFlagValidateExecute,
    EXEMPT = WHvTranslateGvaFlagPrivilegeExempt,
    SET = WHvTranslateGvaFlagSetPageTableBits,
    ENFORCE = WHvTranslateGvaFlagEnforceSmap,
    OVERRIDE = WHvTranslateGvaFlagOverrideSmap
};

struct gva_case {
    u64 leaf;
    unsigned cpl;
    bool ac;
    u32 flags, result;
};

/* With CR0.WP, EFER.NXE, CR4.SMEP and SMAP. */
static const struct gva_case cases[] = {
    {ALL, 3, false, 0, WHvTranslateGvaResultSuccess},
    {0, 3, false, 0, WHvTranslateGvaResultPageNotPresent},
    {ALL | 1ull << 50, 3, false, 0, WHvTranslateGvaResultInvalidPageTableFlags},
    {PTE_P, 3, false, 0, WHvTranslateGvaResultSuccess}, /* nothing was to be validated */
    {PTE_P, 3, false, READ, WHvTranslateGvaResultPrivilegeViolation},
    {PTE_P, 3, false, READ | EXEMPT, WHvTranslateGvaResultSuccess},
    {PTE_P, 0, false, READ, WHvTranslateGvaResultSuccess},
    {PTE_P | PTE_U, 3, false, WRITE, WHvTranslateGvaResultPrivilegeViolation},
    {PTE_P, 0, false, WRITE, WHvTranslateGvaResultPrivilegeViolation},
    {PTE_P | PTE_U, 3, false, READ, WHvTranslateGvaResultSuccess},
    {ALL | PTE_NX, 3, false, EXECUTE, WHvTranslateGvaResultPrivilegeViolation},
    {ALL, 3, false, READ | WRITE | EXECUTE, WHvTranslateGvaResultSuccess},
    {ALL, 0, false, READ, WHvTranslateGvaResultPrivilegeViolation}, /* SMAP */
    {ALL, 0, true, READ, WHvTranslateGvaResultSuccess},
    {ALL, 0, true, READ | ENFORCE, WHvTranslateGvaResultPrivilegeViolation},
    {ALL, 0, false, READ | OVERRIDE, WHvTranslateGvaResultSuccess},
    {ALL, 0, false, EXECUTE, WHvTranslateGvaResultPrivilegeViolation}, /* SMEP */
    {ALL, 0, false, EXECUTE | READ | EXEMPT, WHvTranslateGvaResultSuccess},
};

START_TEST(translation_answers)
{
    const struct gva_case *c = &cases[_i];
    struct machine *m = machine_new();
    u64 gpa = 0xdead, *leaf;

    machine_set_paging(m, PAGING_4);
    m->cpu->cr0 |= CR0_WP;
    m->cpu->cr4 |= CR4_SMEP | CR4_SMAP;
    m->cpu->efer |= EFER_NXE;
    m->cpu->cpl = (u8)c->cpl;
    m->cpu->rflags |= c->ac ? AC : 0;
    mode_update(m->cpu);
    leaf = machine_map(m, 0x5000, 0x7000, c->leaf, ALL, PAGE_SIZE);
    ck_assert_uint_eq(translate_gva(m->cpu, 0x5123, c->flags, &gpa), c->result);
    ck_assert_uint_eq(gpa, c->result == WHvTranslateGvaResultSuccess ? 0x7123 : 0xdead);
    ck_assert_uint_eq(*leaf & (PTE_A | PTE_D), 0);
    ck_assert_uint_eq(translate_gva(m->cpu, 0x5123, c->flags | SET, &gpa), c->result);
    ck_assert_uint_eq(*leaf & (PTE_A | PTE_D), c->result != WHvTranslateGvaResultSuccess ? 0
                                               : c->flags & WRITE                        ? PTE_A | PTE_D
                                                                                         : PTE_A);
    ck_assert(!m->cpu->fault.pending && !m->cpu->exit_reason);
    machine_delete(m);
}
END_TEST

START_TEST(without_paging_all_is_itself)
{
    struct machine *m = machine_new();
    u64 gpa = 0;

    machine_set_paging(m, PAGING_NONE);
    ck_assert_uint_eq(translate_gva(m->cpu, 0xfee00020, READ | WRITE, &gpa), WHvTranslateGvaResultSuccess);
    ck_assert_uint_eq(gpa, 0xfee00020);
    machine_delete(m);
}
END_TEST

START_TEST(the_final_page_may_be_a_device)
{
    struct machine *m = machine_new();
    u64 gpa = 0;

    machine_set_paging(m, PAGING_4);
    machine_map(m, 0x5000, 0xfee00000, ALL, ALL, PAGE_SIZE);
    ck_assert_uint_eq(translate_gva(m->cpu, 0x5020, READ | WRITE, &gpa), WHvTranslateGvaResultSuccess);
    ck_assert_uint_eq(gpa, 0xfee00020);
    ck_assert_uint_eq(translate_gva(m->cpu, (u64)1 << 60, 0, &gpa), WHvTranslateGvaResultPageNotPresent);
    machine_delete(m);
}
END_TEST

START_TEST(tables_must_be_there)
{
    struct machine *m = machine_new();
    u64 gpa = 0, table;

    machine_set_paging(m, PAGING_4);
    table = (u64)((u8 *)machine_map(m, 0x5000, 0x7000, ALL, ALL, PAGE_SIZE) - m->memory) & PAGE_MASK;
    ck_assert(ram_map(m->partition.ram, table, PAGE_SIZE, m->memory + table, PAGE_READ));
    ck_assert_uint_eq(translate_gva(m->cpu, 0x5000, READ, &gpa), WHvTranslateGvaResultSuccess);
    ck_assert_uint_eq(translate_gva(m->cpu, 0x5000, READ | SET, &gpa), WHvTranslateGvaResultGpaNoWriteAccess);
    ck_assert(ram_map(m->partition.ram, table, PAGE_SIZE, m->memory + table, PAGE_WRITE));
    ck_assert_uint_eq(translate_gva(m->cpu, 0x5000, READ, &gpa), WHvTranslateGvaResultGpaNoReadAccess);
    ck_assert(ram_unmap(m->partition.ram, table, PAGE_SIZE));
    ck_assert_uint_eq(translate_gva(m->cpu, 0x5000, READ, &gpa), WHvTranslateGvaResultGpaUnmapped);
    machine_delete(m);
}
END_TEST

TCase *translate_cases(void)
{
    TCase *t = tcase_create("translate");

    tcase_add_loop_test(t, translation_answers, 0, sizeof(cases) / sizeof(cases[0]));
    tcase_add_test(t, without_paging_all_is_itself);
    tcase_add_test(t, the_final_page_may_be_a_device);
    tcase_add_test(t, tables_must_be_there);
    return t;
}
