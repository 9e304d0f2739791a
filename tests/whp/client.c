/* SPDX-License-Identifier: MIT */
/* The clients' common ground: tests/whp/client.h. */
#include "tests/whp/client.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

void client_partition(struct client *c, u32 processors)
{
    memset(c, 0, sizeof *c);
    ck_ok(WHvCreatePartition(&c->p));
    client_property(c, WHvPartitionPropertyCodeProcessorCount, processors, 4);
}

/* What a VMM has to set itself, since a fresh CS isn't where a reset would have it. */
void client_stand(struct client *c, u32 vp, u64 at)
{
    static const WHV_REGISTER_NAME names[] = { WHvX64RegisterCs, WHvX64RegisterDs,  WHvX64RegisterEs,
                                               WHvX64RegisterSs, WHvX64RegisterRip, WHvX64RegisterRsp };
    WHV_REGISTER_VALUE v[6];

    memset(v, 0, sizeof v);
    for (u32 i = 0; i < 4; i++) {
        v[i].Segment.Limit = 0xffff;
        v[i].Segment.Attributes = i ? 0x93 : 0x9b;
    }
    v[4].Reg64 = at;
    v[5].Reg64 = CLIENT_STACK;
    ck_ok(WHvSetVirtualProcessorRegisters(c->p, vp, names, 6, v));
}

void client_start(struct client *c, const void *code, size_t size)
{
    ck_ok(WHvSetupPartition(c->p));
    c->ram = mmap(NULL, CLIENT_RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(c->ram, MAP_FAILED);
    ck_ok(WHvMapGpaRange(c->p, c->ram, 0, CLIENT_RAM, (WHV_MAP_GPA_RANGE_FLAGS)7));
    ck_ok(WHvCreateVirtualProcessor(c->p, 0, 0));
    for (u32 v = 0; v < 256; v++) {
        const u8 stub[4] = { 0xe6, (u8)v, 0xcf, 0x90 };

        store_bytes(c->ram + v * 4, CLIENT_STUBS + v * 4, 4);
        memcpy(c->ram + CLIENT_STUBS + v * 4, stub, 4);
    }
    memcpy(c->ram + CLIENT_CODE, code, size);
    client_stand(c, 0, CLIENT_CODE);
}

void client_stop(struct client *c)
{
    ck_ok(WHvDeletePartition(c->p));
    if (c->ram)
        munmap(c->ram, CLIENT_RAM);
}

u32 client_run(struct client *c)
{
    memset(&c->x, 0, sizeof c->x);
    ck_ok(WHvRunVirtualProcessor(c->p, 0, &c->x, sizeof c->x));
    return (u32)c->x.ExitReason;
}

void client_skip(struct client *c)
{
    client_set(c, WHvX64RegisterRip, c->x.VpContext.Rip + c->x.VpContext.InstructionLength);
}

u32 client_port(struct client *c)
{
    ck_assert_uint_eq(client_run(c), WHvRunVpExitReasonX64IoPortAccess);
    client_skip(c);
    return c->x.IoPortAccess.PortNumber;
}

u64 client_get(struct client *c, WHV_REGISTER_NAME name)
{
    WHV_REGISTER_VALUE v;

    ck_ok(WHvGetVirtualProcessorRegisters(c->p, 0, &name, 1, &v));
    return v.Reg64;
}

HRESULT client_try(struct client *c, WHV_REGISTER_NAME name, u64 value)
{
    WHV_REGISTER_VALUE v;

    memset(&v, 0, sizeof v);
    v.Reg64 = value;
    return WHvSetVirtualProcessorRegisters(c->p, 0, &name, 1, &v);
}

void client_set(struct client *c, WHV_REGISTER_NAME name, u64 value)
{
    ck_ok(client_try(c, name, value));
}

void client_property(struct client *c, WHV_PARTITION_PROPERTY_CODE code, u64 value, u32 size)
{
    WHV_PARTITION_PROPERTY p;

    memset(&p, 0, sizeof p);
    memcpy(&p, &value, sizeof value);
    ck_ok(WHvSetPartitionProperty(c->p, code, &p, size));
}

/* ---- the emulator ---- */

static HRESULT CALLBACK on_port(VOID *context, WHV_EMULATOR_IO_ACCESS_INFO *io)
{
    struct client_device *d = context;

    d->port = io->Port;
    if (io->Direction) {
        d->outs++;
        d->data = io->Data;
    } else {
        d->ins++;
        io->Data = (u32)d->data;
    }
    return S_OK;
}

/* Devices and memory alike: the emulator brings string operations' memory here too. */
static HRESULT CALLBACK on_memory(VOID *context, WHV_EMULATOR_MEMORY_ACCESS_INFO *m)
{
    struct client_device *d = context;
    u8 *ram = m->GpaAddress + m->AccessSize <= CLIENT_RAM ? d->client->ram + m->GpaAddress : NULL;

    if (ram) {
        d->ram_reads += !m->Direction;
        memcpy(m->Direction ? ram : m->Data, m->Direction ? m->Data : ram, m->AccessSize);
        return S_OK;
    }
    d->gpa = m->GpaAddress;
    if (m->Direction) {
        d->writes++;
        d->data = load_bytes(m->Data, m->AccessSize);
    } else {
        d->reads++;
        store_bytes(m->Data, d->data, m->AccessSize);
    }
    return S_OK;
}

static HRESULT CALLBACK on_get(VOID *context, const WHV_REGISTER_NAME *names, UINT32 count, WHV_REGISTER_VALUE *values)
{
    return WHvGetVirtualProcessorRegisters(((struct client_device *)context)->client->p, 0, names, count, values);
}

static HRESULT CALLBACK on_set(VOID *context, const WHV_REGISTER_NAME *names, UINT32 count,
                               const WHV_REGISTER_VALUE *values)
{
    return WHvSetVirtualProcessorRegisters(((struct client_device *)context)->client->p, 0, names, count, values);
}

static HRESULT CALLBACK on_translate(VOID *context, WHV_GUEST_VIRTUAL_ADDRESS gva, WHV_TRANSLATE_GVA_FLAGS flags,
                                     WHV_TRANSLATE_GVA_RESULT_CODE *code, WHV_GUEST_PHYSICAL_ADDRESS *gpa)
{
    WHV_TRANSLATE_GVA_RESULT result;
    HRESULT hr = WHvTranslateGva(((struct client_device *)context)->client->p, 0, gva, flags, &result, gpa);

    *code = result.ResultCode;
    return hr;
}

WHV_EMULATOR_HANDLE client_emulator(void)
{
    static const WHV_EMULATOR_CALLBACKS callbacks = { sizeof callbacks, 0,      on_port,     on_memory,
                                                      on_get,           on_set, on_translate };
    WHV_EMULATOR_HANDLE e;

    ck_ok(WHvEmulatorCreateEmulator(&callbacks, &e));
    return e;
}

WHV_EMULATOR_STATUS client_emulate(WHV_EMULATOR_HANDLE e, struct client_device *d)
{
    const WHV_RUN_VP_EXIT_CONTEXT *x = &d->client->x;
    WHV_EMULATOR_STATUS status;

    if (x->ExitReason == WHvRunVpExitReasonX64IoPortAccess)
        ck_ok(WHvEmulatorTryIoEmulation(e, d, &x->VpContext, &x->IoPortAccess, &status));
    else
        ck_ok(WHvEmulatorTryMmioEmulation(e, d, &x->VpContext, &x->MemoryAccess, &status));
    return status;
}

/* ---- the page ---- */

static char *read_file(const char *name)
{
    enum { MOST = 1 << 18 };
    FILE *f = fopen(name, "r");
    char *text = calloc(1, MOST);

    ck_assert_msg(f != NULL, "%s can't be read; the tests run where the repository begins", name);
    ck_assert_uint_lt(fread(text, 1, MOST - 1, f), MOST - 1);
    fclose(f);
    return text;
}

/* docs/clients.md has each test, and no other. */
START_TEST(the_page_of_clients_has_each_test)
{
    char *page = read_file("docs/clients.md"), name[120];
    unsigned listed = 0, tests = 0;
    glob_t files;

    for (const char *at = page; (at = strstr(at, " | `")); at++)
        listed++;
    ck_assert_int_eq(glob("tests/whp/client_*.c", 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        char *text = read_file(files.gl_pathv[i]);

        for (const char *at = text; (at = strstr(at, "\nSTART_TEST(")); at++, tests++) {
            snprintf(name, sizeof name, "| `%.*s`", (int)strcspn(at + 12, ")"), at + 12);
            ck_assert_msg(strstr(page, name) != NULL, "docs/clients.md lacks %s of %s", name + 2, files.gl_pathv[i]);
        }
        free(text);
    }
    ck_assert_uint_eq(listed, tests);
    globfree(&files);
    free(page);
}
END_TEST

Suite *clients_suite(void);
Suite *clients_suite(void)
{
    Suite *s = suite_create("clients");
    TCase *t = tcase_create("clients-page");

    tcase_add_test(t, the_page_of_clients_has_each_test);
    suite_add_tcase(s, t);
    suite_add_tcase(s, client_qemu_case());
    suite_add_tcase(s, client_qemu_apic_case());
    suite_add_tcase(s, client_qemu11_case());
    suite_add_tcase(s, client_virtualbox_case());
    suite_add_tcase(s, client_openvmm_case());
    suite_add_tcase(s, client_openvmm_device_case());
    suite_add_tcase(s, client_crosvm_case());
    suite_add_tcase(s, client_rust_case());
    suite_add_tcase(s, client_sandbox_case());
    suite_add_tcase(s, client_debugger_case());
    suite_add_tcase(s, client_user_case());
    suite_add_tcase(s, client_small_case());
    return s;
}
