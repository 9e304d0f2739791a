/* SPDX-License-Identifier: MIT */
/* WinHvEmulation as its callers see it: callbacks over registers and memory of the test's own, no partition
 * at all. */
#include <check.h>

#include "include/WinHvEmulation.h"
#include "state/flags.h"

TCase *emulator_case(void);

enum { RAM = 0x10000, MMIO = 0xfee000, CODE = 0x1000, DATA = 0x2000, EVENTS = 64 };

/* What a callback was asked. */
struct asked {
    enum { ASKED_READ, ASKED_WRITE, ASKED_IN, ASKED_OUT, ASKED_GET, ASKED_SET, ASKED_TRANSLATE } what;
    u64 address;
    unsigned size;
    u64 data;
};

static struct machine {
    WHV_REGISTER_VALUE general[18]; /* RAX to R15, RIP, RFLAGS */
    WHV_X64_SEGMENT_REGISTER segment[6];
    u64 cr0, cr4, efer;
    WHV_REGISTER_VALUE fx[26]; /* FpControlStatus, XmmControlStatus, FpMmx, Xmm */
    WHV_REGISTER_VALUE event;
    u8 ram[RAM];
    u64 device; /* what reading MMIO gives */
    struct asked log[EVENTS];
    unsigned logged;
    unsigned gets, sets, translations;
    HRESULT fail_io, fail_memory, fail_get, fail_set, fail_translate;
    u64 misaligned, absent; /* pages: Gpa not aligned, not present */
    WHV_TRANSLATE_GVA_RESULT_CODE absent_result;
} m;

static WHV_EMULATOR_HANDLE emulator;
static WHV_VP_EXIT_CONTEXT vp;
static WHV_MEMORY_ACCESS_CONTEXT access_context;
static WHV_X64_IO_PORT_ACCESS_CONTEXT io;
static WHV_EMULATOR_STATUS status;
static int token;

static void note(int what, u64 address, unsigned size, u64 data)
{
    if (m.logged < EVENTS)
        m.log[m.logged] = (struct asked){ what, address, size, data };
    m.logged++;
}

static HRESULT CALLBACK on_port(VOID *context, WHV_EMULATOR_IO_ACCESS_INFO *info)
{
    ck_assert_ptr_eq(context, &token);
    if (info->Direction == 0)
        info->Data = 0xa5a5a5a5;
    note(info->Direction ? ASKED_OUT : ASKED_IN, info->Port, info->AccessSize, info->Data);
    return m.fail_io;
}

static HRESULT CALLBACK on_memory(VOID *context, WHV_EMULATOR_MEMORY_ACCESS_INFO *info)
{
    u64 data = 0;

    ck_assert_ptr_eq(context, &token);
    ck_assert_uint_ge(info->AccessSize, 1);
    ck_assert_uint_le(info->AccessSize, 8);
    ck_assert_uint_eq(info->GpaAddress >> 12, (info->GpaAddress + info->AccessSize - 1) >> 12);
    if (info->GpaAddress < RAM) {
        u8 *at = m.ram + info->GpaAddress;

        memcpy(info->Direction ? at : info->Data, info->Direction ? info->Data : at, info->AccessSize);
        memcpy(&data, info->Data, info->AccessSize);
        note(info->Direction ? ASKED_WRITE : ASKED_READ, info->GpaAddress, info->AccessSize, data);
        return S_OK;
    }
    if (!info->Direction)
        memcpy(info->Data, &m.device, info->AccessSize);
    memcpy(&data, info->Data, info->AccessSize);
    note(info->Direction ? ASKED_WRITE : ASKED_READ, info->GpaAddress, info->AccessSize, data);
    return m.fail_memory;
}

static WHV_REGISTER_VALUE *find(WHV_REGISTER_NAME name, u64 **q, WHV_X64_SEGMENT_REGISTER **s)
{
    *q = NULL;
    *s = NULL;
    if (name <= WHvX64RegisterRflags)
        return &m.general[name];
    if (name >= WHvX64RegisterEs && name <= WHvX64RegisterGs) {
        *s = &m.segment[name - WHvX64RegisterEs];
        return NULL;
    }
    if (name >= WHvX64RegisterXmm0 && name <= WHvX64RegisterXmm15)
        return &m.fx[10 + name - WHvX64RegisterXmm0];
    if (name >= WHvX64RegisterFpMmx0 && name <= WHvX64RegisterFpMmx7)
        return &m.fx[2 + name - WHvX64RegisterFpMmx0];
    switch (name) {
    case WHvX64RegisterCr0: *q = &m.cr0; return NULL;
    case WHvX64RegisterCr4: *q = &m.cr4; return NULL;
    case WHvX64RegisterEfer: *q = &m.efer; return NULL;
    case WHvX64RegisterFpControlStatus: return &m.fx[0];
    case WHvX64RegisterXmmControlStatus: return &m.fx[1];
    case WHvRegisterPendingEvent: return &m.event;
    default: return NULL;
    }
}

static HRESULT CALLBACK on_get(VOID *context, const WHV_REGISTER_NAME *names, UINT32 count,
                               WHV_REGISTER_VALUE *values)
{
    ck_assert_ptr_eq(context, &token);
    m.gets++;
    for (UINT32 i = 0; i < count; i++) {
        WHV_X64_SEGMENT_REGISTER *s;
        u64 *q;
        const WHV_REGISTER_VALUE *v = find(names[i], &q, &s);

        memset(&values[i], 0, sizeof values[i]);
        if (v)
            values[i] = *v;
        else if (s)
            values[i].Segment = *s;
        else if (q)
            values[i].Reg64 = *q;
    }
    return m.fail_get;
}

static HRESULT CALLBACK on_set(VOID *context, const WHV_REGISTER_NAME *names, UINT32 count,
                               const WHV_REGISTER_VALUE *values)
{
    ck_assert_ptr_eq(context, &token);
    m.sets++;
    if (FAILED(m.fail_set))
        return m.fail_set;
    for (UINT32 i = 0; i < count; i++) {
        WHV_X64_SEGMENT_REGISTER *s;
        u64 *q;
        WHV_REGISTER_VALUE *v = find(names[i], &q, &s);

        for (UINT32 j = 0; j < i; j++)
            ck_assert_uint_ne(names[i], names[j]);
        if (v)
            *v = values[i];
        else if (s)
            *s = values[i].Segment;
        else if (q)
            *q = values[i].Reg64;
        else
            ck_abort_msg("register %x was set", (unsigned)names[i]);
    }
    return S_OK;
}

static HRESULT CALLBACK on_translate(VOID *context, WHV_GUEST_VIRTUAL_ADDRESS gva,
                                     WHV_TRANSLATE_GVA_FLAGS flags, WHV_TRANSLATE_GVA_RESULT_CODE *result,
                                     WHV_GUEST_PHYSICAL_ADDRESS *gpa)
{
    ck_assert_ptr_eq(context, &token);
    ck_assert_uint_eq(gva & 0xfff, 0);
    ck_assert(flags & (WHvTranslateGvaFlagValidateRead | WHvTranslateGvaFlagValidateWrite |
                       WHvTranslateGvaFlagValidateExecute));
    m.translations++;
    *result = WHvTranslateGvaResultSuccess;
    if (m.absent && gva == m.absent) {
        *result = m.absent_result;
        return S_OK;
    }
    *gpa = gva + (m.misaligned && gva == m.misaligned ? 4 : 0);
    return m.fail_translate;
}

static const WHV_EMULATOR_CALLBACKS callbacks = { sizeof callbacks, 0,      on_port,     on_memory,
                                                  on_get,           on_set, on_translate };

static void setup(void)
{
    memset(&m, 0, sizeof m);
    memset(&vp, 0, sizeof vp);
    memset(&access_context, 0, sizeof access_context);
    memset(&io, 0, sizeof io);
    m.absent_result = WHvTranslateGvaResultPageNotPresent;
    m.device = 0x1122334455667788;
    m.cr0 = CR0_PE | CR0_PG | CR0_NE;
    m.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    m.efer = EFER_LME | EFER_LMA | EFER_NXE;
    m.general[16].Reg64 = CODE;
    m.general[17].Reg64 = 2;
    for (unsigned i = 0; i < 6; i++)
        m.segment[i] = (WHV_X64_SEGMENT_REGISTER){ .Limit = ~0u, .Selector = 8, .Attributes = 0xc093 };
    m.segment[CS].Attributes = 0xa09b;
    m.fx[0].FpControlStatus.FpControl = 0x37f;
    m.fx[1].XmmControlStatus.XmmStatusControl = 0x1f80;
    m.fx[1].XmmControlStatus.XmmStatusControlMask = 0x2ffff;
    ck_assert_int_eq(WHvEmulatorCreateEmulator(&callbacks, &emulator), S_OK);
}

static void teardown(void)
{
    ck_assert_int_eq(WHvEmulatorDestroyEmulator(emulator), S_OK);
}

/* Real mode, 16-bit code at segment 0. */
static void real_mode(void)
{
    m.cr0 = 0;
    m.cr4 = 0;
    m.efer = 0;
    for (unsigned i = 0; i < 6; i++)
        m.segment[i] = (WHV_X64_SEGMENT_REGISTER){ .Limit = 0xffff, .Attributes = 0x93 };
    m.segment[CS].Attributes = 0x9b;
}

static void exit_context(unsigned length)
{
    vp.ExecutionState.AsUINT16 = 0;
    vp.ExecutionState.Cr0Pe = m.cr0 & 1;
    vp.ExecutionState.EferLma = (m.efer & EFER_LMA) != 0;
    vp.InstructionLength = length & 15;
    vp.Cs = m.segment[CS];
    vp.Rip = m.general[16].Reg64;
    vp.Rflags = m.general[17].Reg64;
}

#define BYTES(...)                                                                                           \
    (const u8[]){ __VA_ARGS__ }, sizeof(const u8[])                                                          \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }

/* Emulates an instruction whose first `given` bytes come with the exit; all of them are in memory too. */
static void mmio_given(const u8 *bytes, unsigned size, unsigned given)
{
    exit_context(0);
    if (m.segment[CS].Base + vp.Rip + size <= RAM)
        memcpy(m.ram + m.segment[CS].Base + vp.Rip, bytes, size);
    access_context.InstructionByteCount = (UINT8)given;
    memset(access_context.InstructionBytes, 0, 16);
    memcpy(access_context.InstructionBytes, bytes, given);
    m.logged = m.gets = m.sets = m.translations = 0;
    status.AsUINT32 = ~0u;
    ck_assert_int_eq(WHvEmulatorTryMmioEmulation(emulator, &token, &vp, &access_context, &status), S_OK);
}

static void mmio(const u8 *bytes, unsigned size)
{
    mmio_given(bytes, size, size);
}

static void port_exit(bool is_write, unsigned size, bool string, bool rep, const u8 *bytes, unsigned length)
{
    exit_context(length);
    io.InstructionByteCount = (UINT8)length;
    memcpy(io.InstructionBytes, bytes, length);
    io.AccessInfo.AsUINT32 = 0;
    io.AccessInfo.IsWrite = is_write;
    io.AccessInfo.AccessSize = size & 7;
    io.AccessInfo.StringOp = string;
    io.AccessInfo.RepPrefix = rep;
    io.PortNumber = 0x3f8;
    io.Rax = m.general[RAX].Reg64;
    io.Rcx = m.general[RCX].Reg64;
    io.Rsi = m.general[RSI].Reg64;
    io.Rdi = m.general[RDI].Reg64;
    io.Ds = m.segment[DS];
    io.Es = m.segment[ES];
    m.logged = m.gets = m.sets = m.translations = 0;
    status.AsUINT32 = ~0u;
    ck_assert_int_eq(WHvEmulatorTryIoEmulation(emulator, &token, &vp, &io, &status), S_OK);
}

enum {
    SUCCESSFUL = 1,
    INTERNAL_FAILURE = 2,
    IO_FAILED = 4,
    MEMORY_FAILED = 8,
    TRANSLATE_FAILED = 16,
    NOT_ALIGNED = 32,
    GET_FAILED = 64,
    SET_FAILED = 128,
    CAUSED_BY_INTERRUPT = 256,
    CANNOT_BE_FAULTED = 512
};

#define GPR(r) m.general[r].Reg64
#define RIP GPR(16)
#define FLAGS_OF GPR(17)
#define ck_status(bits) ck_assert_uint_eq(status.AsUINT32, (bits))
#define ck_asked(n, w, a, s, d)                                                                              \
    do {                                                                                                     \
        ck_assert_uint_gt(m.logged, (n));                                                                    \
        ck_assert_int_eq(m.log[n].what, (w));                                                                \
        ck_assert_uint_eq(m.log[n].address, (a));                                                            \
        ck_assert_uint_eq(m.log[n].size, (s));                                                               \
        ck_assert_uint_eq(m.log[n].data, (d));                                                               \
    } while (0)
#define ck_event(vector, has_error, error, parameter)                                                        \
    do {                                                                                                     \
        ck_status(SUCCESSFUL);                                                                               \
        ck_assert_uint_eq(m.event.ExceptionEvent.EventPending, 1);                                           \
        ck_assert_uint_eq(m.event.ExceptionEvent.EventType, WHvX64PendingEventException);                    \
        ck_assert_uint_eq(m.event.ExceptionEvent.Vector, (vector));                                          \
        ck_assert_uint_eq(m.event.ExceptionEvent.DeliverErrorCode, (has_error));                             \
        ck_assert_uint_eq(m.event.ExceptionEvent.ErrorCode, (error));                                        \
        ck_assert_uint_eq(m.event.ExceptionEvent.ExceptionParameter, (parameter));                           \
        ck_assert_uint_eq(RIP, CODE);                                                                        \
    } while (0)

/* ---- handles and arguments ---- */

START_TEST(create_checks_its_callbacks)
{
    WHV_EMULATOR_CALLBACKS c = callbacks;
    WHV_EMULATOR_HANDLE other;

    ck_assert_int_eq(WHvEmulatorCreateEmulator(NULL, &other), E_INVALIDARG);
    ck_assert_int_eq(WHvEmulatorCreateEmulator(&c, NULL), E_INVALIDARG);
    c.Size--;
    ck_assert_int_eq(WHvEmulatorCreateEmulator(&c, &other), E_INVALIDARG);
    c.Size++;
    c.Reserved = 1;
    ck_assert_int_eq(WHvEmulatorCreateEmulator(&c, &other), E_INVALIDARG);
    for (unsigned i = 0; i < 5; i++) {
        c = callbacks;
        memset((char *)&c + 8 + 8 * i, 0, 8);
        ck_assert_int_eq(WHvEmulatorCreateEmulator(&c, &other), E_INVALIDARG);
    }
}
END_TEST

START_TEST(stale_handles_are_refused)
{
    WHV_EMULATOR_HANDLE other, bad[] = { NULL, (void *)1, (void *)16, (void *)~(uintptr_t)0, &token };

    ck_assert_int_eq(WHvEmulatorCreateEmulator(&callbacks, &other), S_OK);
    ck_assert_int_eq(WHvEmulatorDestroyEmulator(other), S_OK);
    ck_assert_int_eq(WHvEmulatorDestroyEmulator(other), E_INVALIDARG);
    ck_assert_int_eq(WHvEmulatorTryMmioEmulation(other, &token, &vp, &access_context, &status), E_INVALIDARG);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_int_eq(WHvEmulatorDestroyEmulator(bad[i]), E_INVALIDARG);
}
END_TEST

START_TEST(malformed_contexts_are_refused)
{
    io.AccessInfo.AccessSize = 1;
    ck_assert_int_eq(WHvEmulatorTryMmioEmulation(emulator, &token, NULL, &access_context, &status),
                     E_INVALIDARG);
    ck_assert_int_eq(WHvEmulatorTryMmioEmulation(emulator, &token, &vp, NULL, &status), E_INVALIDARG);
    ck_assert_int_eq(WHvEmulatorTryMmioEmulation(emulator, &token, &vp, &access_context, NULL), E_INVALIDARG);
    ck_assert_int_eq(WHvEmulatorTryIoEmulation(emulator, &token, NULL, &io, &status), E_INVALIDARG);
    ck_assert_int_eq(WHvEmulatorTryIoEmulation(emulator, &token, &vp, NULL, &status), E_INVALIDARG);
    ck_assert_int_eq(WHvEmulatorTryIoEmulation(emulator, &token, &vp, &io, NULL), E_INVALIDARG);
    io.AccessInfo.AccessSize = 3;
    ck_assert_int_eq(WHvEmulatorTryIoEmulation(emulator, &token, &vp, &io, &status), E_INVALIDARG);
    access_context.InstructionByteCount = 17;
    ck_assert_int_eq(WHvEmulatorTryMmioEmulation(emulator, &token, &vp, &access_context, &status),
                     E_INVALIDARG);
}
END_TEST

/* ---- memory ---- */

START_TEST(mov_reads_a_device)
{
    GPR(RBX) = MMIO + 8;
    GPR(RAX) = ~(u64)0;
    mmio(BYTES(0x8b, 0x03)); /* mov eax, [rbx] */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_READ, MMIO + 8, 4, 0x55667788);
    ck_assert_uint_eq(m.logged, 1);
    ck_assert_uint_eq(GPR(RAX), 0x55667788);
    ck_assert_uint_eq(RIP, CODE + 2);
    ck_assert_uint_eq(m.gets, 1);
    ck_assert_uint_eq(m.sets, 1);
}
END_TEST

START_TEST(mov_writes_a_device_without_reading_it)
{
    GPR(RBX) = MMIO;
    GPR(RCX) = 0xaabbccdd;
    mmio(BYTES(0x66, 0x89, 0x4b, 0x10)); /* mov [rbx+16], cx */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_WRITE, MMIO + 16, 2, 0xccdd);
    ck_assert_uint_eq(m.logged, 1);
    ck_assert_uint_eq(RIP, CODE + 4);
}
END_TEST

START_TEST(read_modify_write_reads_then_writes)
{
    GPR(RBX) = MMIO;
    GPR(RAX) = 0x10;
    mmio(BYTES(0x48, 0x01, 0x03)); /* add [rbx], rax */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_READ, MMIO, 8, m.device);
    ck_asked(1, ASKED_WRITE, MMIO, 8, m.device + 0x10);
    ck_assert_uint_eq(FLAGS_OF & STATUS, 0);
    FLAGS_OF = 2;
    RIP = CODE;
    mmio(BYTES(0xf0, 0x80, 0x33, 0x88)); /* lock xor byte [rbx], 0x88 */
    ck_status(SUCCESSFUL);
    ck_asked(1, ASKED_WRITE, MMIO, 1, 0);
    ck_assert_uint_eq(FLAGS_OF & STATUS, ZF | PF);
}
END_TEST

START_TEST(exchanges)
{
    GPR(RBX) = MMIO;
    GPR(RCX) = 0x1234;
    mmio(BYTES(0x87, 0x0b)); /* xchg [rbx], ecx */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_READ, MMIO, 4, 0x55667788);
    ck_asked(1, ASKED_WRITE, MMIO, 4, 0x1234);
    ck_assert_uint_eq(GPR(RCX), 0x55667788);

    RIP = CODE;
    GPR(RAX) = 0x55667788;
    GPR(RCX) = 0x77;
    mmio(BYTES(0xf0, 0x0f, 0xb1, 0x0b)); /* lock cmpxchg [rbx], ecx */
    ck_status(SUCCESSFUL);
    ck_asked(1, ASKED_WRITE, MMIO, 4, 0x77);
    ck_assert_uint_eq(FLAGS_OF & ZF, ZF);
}
END_TEST

START_TEST(push_and_pop_and_call)
{
    GPR(RSP) = MMIO + 0x100;
    GPR(RCX) = 0x42;
    mmio(BYTES(0x51)); /* push rcx */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_WRITE, MMIO + 0xf8, 8, 0x42);
    ck_assert_uint_eq(GPR(RSP), MMIO + 0xf8);

    RIP = CODE;
    mmio(BYTES(0x8f, 0x00)); /* pop [rax], and rax is in memory */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_READ, MMIO + 0xf8, 8, m.device);
    ck_asked(1, ASKED_WRITE, 0, 8, m.device);

    RIP = CODE;
    mmio(BYTES(0xe8, 0x10, 0, 0, 0)); /* call +16 */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_WRITE, MMIO + 0xf8, 8, CODE + 5);
    ck_assert_uint_eq(RIP, CODE + 5 + 16);

    m.device = CODE + 0x80;
    RIP = CODE;
    GPR(RBX) = MMIO;
    mmio(BYTES(0xff, 0x23)); /* jmp [rbx] */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(RIP, CODE + 0x80);
}
END_TEST

START_TEST(rip_relative_operands_follow_rip)
{
    RIP = CODE + 0x234;
    mmio(BYTES(0x8b, 0x05, 0x00, 0x10, 0, 0)); /* mov eax, [rip+0x1000] */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_READ, CODE + 0x234 + 6 + 0x1000, 4, 0);
    RIP = CODE + 0x334;
    mmio(BYTES(0x8b, 0x05, 0x00, 0x10, 0, 0));
    ck_asked(0, ASKED_READ, CODE + 0x334 + 6 + 0x1000, 4, 0);
    RIP = CODE + 0x1334;
    mmio(BYTES(0x8b, 0x05, 0x00, 0x10, 0, 0));
    ck_asked(0, ASKED_READ, CODE + 0x1334 + 6 + 0x1000, 4, 0);
}
END_TEST

START_TEST(movs_moves_between_ram_and_device)
{
    memcpy(m.ram + DATA, "abcdefgh", 8);
    GPR(RSI) = DATA;
    GPR(RDI) = MMIO;
    GPR(RCX) = 4;
    mmio(BYTES(0xf3, 0x66, 0xa5)); /* rep movsw */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.logged, 8);
    ck_asked(6, ASKED_READ, DATA + 6, 2, 'g' | 'h' << 8);
    ck_asked(7, ASKED_WRITE, MMIO + 6, 2, 'g' | 'h' << 8);
    ck_assert_uint_eq(GPR(RCX), 0);
    ck_assert_uint_eq(GPR(RSI), DATA + 8);
    ck_assert_uint_eq(GPR(RDI), MMIO + 8);
    ck_assert_uint_eq(RIP, CODE + 3);
    ck_assert_uint_eq(m.sets, 1);

    RIP = CODE;
    FLAGS_OF |= DF;
    GPR(RSI) = MMIO;
    GPR(RDI) = DATA + 8;
    mmio(BYTES(0xa4)); /* movsb, down */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_READ, MMIO, 1, 0x88);
    ck_asked(1, ASKED_WRITE, DATA + 8, 1, 0x88);
    ck_assert_uint_eq(GPR(RSI), MMIO - 1);
    ck_assert_uint_eq(GPR(RDI), DATA + 7);
}
END_TEST

START_TEST(repetition_without_end_pauses)
{
    GPR(RDI) = MMIO;
    GPR(RCX) = ~(u64)0;
    mmio(BYTES(0xf3, 0xaa)); /* rep stosb */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(RIP, CODE);
    ck_assert_uint_eq(~GPR(RCX), GPR(RDI) - MMIO);
    ck_assert_uint_gt(~GPR(RCX), 65536);
}
END_TEST

START_TEST(fault_in_a_repetition_keeps_what_is_done)
{
    GPR(RSI) = 0x4ffc;
    GPR(RDI) = MMIO;
    GPR(RCX) = 10;
    m.absent = 0x5000;
    mmio(BYTES(0xf3, 0xa4)); /* rep movsb */
    ck_event(VECTOR_PF, 1, 0, 0x5000);
    ck_assert_uint_eq(GPR(RCX), 6);
    ck_assert_uint_eq(GPR(RSI), 0x5000);
    ck_assert_uint_eq(GPR(RDI), MMIO + 4);
}
END_TEST

START_TEST(data_across_pages_goes_in_two)
{
    GPR(RBX) = MMIO + 0xffd;
    mmio(BYTES(0x48, 0x8b, 0x03)); /* mov rax, [rbx] */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.logged, 2);
    ck_asked(0, ASKED_READ, MMIO + 0xffd, 3, 0x667788);
    ck_asked(1, ASKED_READ, MMIO + 0x1000, 5, 0x4455667788);
    ck_assert_uint_eq(GPR(RAX), 0x4455667788667788);
    ck_assert_uint_eq(m.translations, 2);

    RIP = CODE;
    mmio(BYTES(0x89, 0x03)); /* mov [rbx], eax */
    ck_asked(0, ASKED_WRITE, MMIO + 0xffd, 3, 0x667788);
    ck_asked(1, ASKED_WRITE, MMIO + 0x1000, 1, 0x88);
}
END_TEST

START_TEST(instruction_across_pages_is_fetched)
{
    GPR(RBX) = MMIO;
    RIP = CODE + 0xffe;
    mmio_given(BYTES(0xc7, 0x03, 0x78, 0x56, 0x34, 0x12), 2); /* mov dword [rbx], 12345678 */
    ck_status(SUCCESSFUL);
    ck_assert_int_eq(m.log[0].what, ASKED_READ);
    ck_assert_uint_eq(m.log[0].address, CODE + 0x1000);
    ck_assert_uint_eq(m.log[0].size, 8);
    ck_asked(1, ASKED_WRITE, MMIO, 4, 0x12345678);
    ck_assert_uint_eq(RIP, CODE + 0x1004);
}
END_TEST

START_TEST(instruction_is_fetched_where_no_bytes_come)
{
    GPR(RBX) = MMIO;
    mmio_given(BYTES(0x8b, 0x03), 0);
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.log[0].address, CODE);
    ck_asked(1, ASKED_READ, MMIO, 4, 0x55667788);
}
END_TEST

START_TEST(fetch_may_fault)
{
    RIP = CODE + 0xfff;
    m.absent = CODE + 0x1000;
    mmio_given(BYTES(0x8b, 0x03), 1);
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.event.ExceptionEvent.Vector, VECTOR_PF);
    ck_assert_uint_eq(m.event.ExceptionEvent.ErrorCode, PF_I);
    ck_assert_uint_eq(m.event.ExceptionEvent.ExceptionParameter, CODE + 0x1000);
    ck_assert_uint_eq(RIP, CODE + 0xfff);
}
END_TEST

START_TEST(changed_code_is_decoded_anew)
{
    GPR(RBX) = MMIO;
    mmio(BYTES(0x8b, 0x03)); /* mov eax, [rbx] */
    RIP = CODE;
    mmio(BYTES(0x8b, 0x0b)); /* mov ecx, [rbx] */
    ck_assert_uint_eq(GPR(RCX), 0x55667788);
    RIP = CODE;
    GPR(RBX) = 0x4000;
    real_mode();
    mmio(BYTES(0x8b, 0x0f)); /* mov cx, [bx] */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_READ, 0x4000, 2, 0);
}
END_TEST

START_TEST(segments_count_where_they_do)
{
    GPR(RBX) = 0x10;
    m.segment[GS].Base = MMIO;
    m.segment[DS].Base = 0x666000; /* not in 64-bit code */
    mmio(BYTES(0x65, 0x8b, 0x03)); /* mov eax, gs:[rbx] */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_READ, MMIO + 0x10, 4, 0x55667788);
    RIP = CODE;
    mmio(BYTES(0x8b, 0x03));
    ck_asked(0, ASKED_READ, 0x10, 4, 0);

    real_mode();
    m.segment[DS].Base = 0xfee00;
    RIP = CODE;
    GPR(RBX) = 0x20;
    mmio(BYTES(0x8a, 0x07)); /* mov al, [bx] */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_READ, 0xfee20, 1, 0x88);
    ck_assert_uint_eq(RIP, CODE + 2);
}
END_TEST

START_TEST(limits_are_checked)
{
    real_mode();
    GPR(RBX) = 0xffff;
    mmio(BYTES(0x8b, 0x07)); /* mov ax, [bx] */
    ck_event(VECTOR_GP, 0, 0, 0);
    ck_assert_uint_eq(m.logged, 0);
}
END_TEST

START_TEST(page_faults_are_the_guests)
{
    static const struct {
        WHV_TRANSLATE_GVA_RESULT_CODE result;
        u32 error;
    } rows[] = { { WHvTranslateGvaResultPageNotPresent, PF_W },
                 { WHvTranslateGvaResultPrivilegeViolation, PF_W | PF_P },
                 { WHvTranslateGvaResultInvalidPageTableFlags, PF_W | PF_P | PF_RSVD } };

    for (unsigned i = 0; i < 3; i++) {
        m.absent = 0x7000;
        m.absent_result = rows[i].result;
        GPR(RBX) = 0x7008;
        memset(&m.event, 0, sizeof m.event);
        mmio(BYTES(0x89, 0x03)); /* mov [rbx], eax */
        ck_event(VECTOR_PF, 1, rows[i].error, 0x7008);
    }
    m.absent_result = WHvTranslateGvaResultGpaUnmapped;
    mmio(BYTES(0x89, 0x03));
    ck_status(TRANSLATE_FAILED);
    ck_assert_uint_eq(m.sets, 0);
}
END_TEST

START_TEST(undefined_opcodes_are_the_guests)
{
    mmio(BYTES(0x0f, 0x0b)); /* ud2 */
    ck_event(VECTOR_UD, 0, 0, 0);
    memset(&m.event, 0, sizeof m.event);
    mmio(BYTES(0xf0, 0x8b, 0x03)); /* lock mov eax, [rbx] */
    ck_event(VECTOR_UD, 0, 0, 0);
}
END_TEST

START_TEST(what_leaves_cannot_be_emulated)
{
    mmio(BYTES(0xf4)); /* hlt */
    ck_status(INTERNAL_FAILURE);
    ck_assert_uint_eq(m.sets, 0);
    ck_assert_uint_eq(RIP, CODE);
}
END_TEST

/* ---- SSE and x87 ---- */

START_TEST(sse_moves)
{
    GPR(RBX) = MMIO;
    mmio(BYTES(0x0f, 0x10, 0x0b)); /* movups xmm1, [rbx] */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_READ, MMIO, 8, m.device);
    ck_asked(1, ASKED_READ, MMIO + 8, 8, m.device);
    ck_assert_uint_eq(m.fx[11].Reg128.Low64, m.device);
    ck_assert_uint_eq(m.fx[11].Reg128.High64, m.device);
    ck_assert_uint_eq(RIP, CODE + 3);

    RIP = CODE;
    m.fx[12].Reg128.Low64 = 0xfeed;
    mmio(BYTES(0x66, 0x0f, 0xd6, 0x13)); /* movq [rbx], xmm2 */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_WRITE, MMIO, 8, 0xfeed);
    ck_assert_uint_eq(m.logged, 1);

    RIP = CODE;
    GPR(RBX) = MMIO + 8;
    mmio(BYTES(0x0f, 0x28, 0x0b)); /* movaps xmm1, [rbx], misaligned */
    ck_event(VECTOR_GP, 1, 0, 0);
}
END_TEST

START_TEST(sse_needs_the_system_to_say_so)
{
    m.cr4 &= ~(u64)CR4_OSFXSR;
    mmio(BYTES(0x0f, 0x10, 0x0b));
    ck_event(VECTOR_UD, 0, 0, 0);
    m.cr4 |= CR4_OSFXSR;
    m.cr0 |= CR0_TS;
    memset(&m.event, 0, sizeof m.event);
    mmio(BYTES(0x0f, 0x10, 0x0b));
    ck_event(VECTOR_NM, 0, 0, 0);
}
END_TEST

START_TEST(x87_loads_and_stores)
{
    GPR(RBX) = MMIO;
    m.device = 0x4000000000000000; /* 2.0 */
    mmio(BYTES(0xdd, 0x03));       /* fld qword [rbx] */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_READ, MMIO, 8, m.device);
    ck_assert_uint_eq(m.fx[2].Fp.Mantissa, (u64)1 << 63);
    ck_assert_uint_eq(m.fx[2].Fp.BiasedExponent, 0x4000);
    ck_assert_uint_eq(m.fx[0].FpControlStatus.FpStatus >> 11 & 7, 7);
    ck_assert_uint_eq(m.fx[0].FpControlStatus.FpTag, 0x80);

    RIP = CODE;
    mmio(BYTES(0xd9, 0x1b)); /* fstp dword [rbx] */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_WRITE, MMIO, 4, 0x40000000);
    ck_assert_uint_eq(m.fx[0].FpControlStatus.FpTag, 0);
}
END_TEST

/* An unmasked exception is pending: #MF, or with CR0.NE clear what can't be told by callbacks. */
START_TEST(x87_exceptions_come_first)
{
    GPR(RBX) = MMIO;
    m.fx[0].FpControlStatus.FpControl = 0x37b;
    m.fx[0].FpControlStatus.FpStatus = 0x8084;
    mmio(BYTES(0xdd, 0x03)); /* fld qword [rbx] */
    ck_event(VECTOR_MF, 0, 0, 0);
    memset(&m.event, 0, sizeof m.event);
    m.cr0 &= ~(u64)CR0_NE;
    mmio(BYTES(0xdd, 0x03));
    ck_status(INTERNAL_FAILURE);
    ck_assert_uint_eq(m.sets, 0);
    ck_assert_uint_eq(RIP, CODE);
    mmio(BYTES(0xdd, 0x3b)); /* fnstsw [rbx] doesn't wait */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_WRITE, MMIO, 2, 0x8084);
}
END_TEST

/* ---- ports ---- */

START_TEST(in_merges_into_rax)
{
    static const struct {
        unsigned size;
        u64 rax;
    } rows[] = { { 1, 0xffffffffffffffa5 }, { 2, 0xffffffffffffa5a5 }, { 4, 0xa5a5a5a5 } };

    for (unsigned i = 0; i < 3; i++) {
        GPR(RAX) = ~(u64)0;
        RIP = CODE;
        port_exit(false, rows[i].size, false, false, BYTES(0xec));
        ck_status(SUCCESSFUL);
        ck_assert_uint_eq(m.log[0].size, rows[i].size);
        ck_assert_uint_eq(GPR(RAX), rows[i].rax);
        ck_assert_uint_eq(RIP, CODE + 1);
        ck_assert_uint_eq(m.sets, 1);
    }
}
END_TEST

START_TEST(out_gives_the_low_bytes)
{
    GPR(RAX) = 0x1122334455667788;
    port_exit(true, 2, false, false, BYTES(0x66, 0xef));
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.logged, 1);
    ck_asked(0, ASKED_OUT, 0x3f8, 2, 0x7788);
    ck_assert_uint_eq(GPR(RAX), 0x1122334455667788);
    ck_assert_uint_eq(RIP, CODE + 2);
}
END_TEST

START_TEST(ports_of_an_old_exit_context_are_decoded)
{
    GPR(RAX) = 0x41;
    GPR(RDX) = 0x3f8;
    port_exit(true, 1, false, false, BYTES(0xee));
    RIP = CODE;
    exit_context(0); /* no InstructionLength */
    m.logged = 0;
    ck_assert_int_eq(WHvEmulatorTryIoEmulation(emulator, &token, &vp, &io, &status), S_OK);
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_OUT, 0x3f8, 1, 0x41);
    ck_assert_uint_eq(RIP, CODE + 1);
}
END_TEST

START_TEST(outs_reads_memory_and_writes_ports)
{
    memcpy(m.ram + DATA, "hello", 5);
    GPR(RSI) = DATA;
    GPR(RDX) = 0x3f8;
    GPR(RCX) = 5;
    port_exit(true, 1, true, true, BYTES(0xf3, 0x6e)); /* rep outsb */
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(m.logged, 10);
    for (unsigned i = 0; i < 5; i++) {
        ck_asked(2 * i, ASKED_READ, DATA + i, 1, "hello"[i]);
        ck_asked(2 * i + 1, ASKED_OUT, 0x3f8, 1, "hello"[i]);
    }
    ck_assert_uint_eq(GPR(RCX), 0);
    ck_assert_uint_eq(GPR(RSI), DATA + 5);
    ck_assert_uint_eq(RIP, CODE + 2);
    ck_assert_uint_eq(m.sets, 1);
}
END_TEST

START_TEST(ins_reads_ports_and_writes_memory)
{
    GPR(RDI) = DATA + 8;
    GPR(RDX) = 0x3f8;
    FLAGS_OF |= DF;
    port_exit(false, 4, true, false, BYTES(0x6d)); /* insd */
    ck_status(SUCCESSFUL);
    ck_asked(0, ASKED_IN, 0x3f8, 4, 0xa5a5a5a5);
    ck_asked(1, ASKED_WRITE, DATA + 8, 4, 0xa5a5a5a5);
    ck_assert_uint_eq(GPR(RDI), DATA + 4);
    ck_assert_uint_eq(RIP, CODE + 1);
}
END_TEST

START_TEST(rip_wraps_with_the_code_size)
{
    m.segment[CS].Attributes = 0xc09b;
    m.efer = 0;
    RIP = 0xffffffff;
    port_exit(true, 1, false, false, BYTES(0xee));
    ck_status(SUCCESSFUL);
    ck_assert_uint_eq(RIP, 0);
}
END_TEST

/* ---- what callbacks refuse ---- */

START_TEST(failing_callbacks_have_a_bit_each)
{
    GPR(RBX) = MMIO;
    GPR(RAX) = 5;

    m.fail_memory = E_FAIL;
    mmio(BYTES(0x8b, 0x03));
    ck_status(MEMORY_FAILED);
    ck_assert_uint_eq(m.sets, 0);
    mmio(BYTES(0x89, 0x03));
    ck_status(MEMORY_FAILED);
    m.fail_memory = S_OK;

    m.fail_translate = E_FAIL;
    mmio(BYTES(0x8b, 0x03));
    ck_status(TRANSLATE_FAILED);
    m.fail_translate = S_OK;

    m.misaligned = MMIO;
    mmio(BYTES(0x8b, 0x03));
    ck_status(NOT_ALIGNED);
    m.misaligned = 0;

    m.fail_get = E_FAIL;
    mmio(BYTES(0x8b, 0x03));
    ck_status(GET_FAILED);
    ck_assert_uint_eq(m.logged, 0);
    m.fail_get = S_OK;

    m.fail_set = E_FAIL;
    mmio(BYTES(0x8b, 0x03));
    ck_status(SET_FAILED);
    mmio(BYTES(0x0f, 0x0b)); /* ud2 */
    ck_status(SET_FAILED | CANNOT_BE_FAULTED);
    port_exit(true, 1, false, false, BYTES(0xee));
    ck_status(SET_FAILED);
    m.fail_set = S_OK;

    m.fail_io = E_FAIL;
    port_exit(true, 1, false, false, BYTES(0xee));
    ck_status(IO_FAILED);
    port_exit(false, 1, false, false, BYTES(0xec));
    ck_status(IO_FAILED);
    port_exit(true, 1, true, false, BYTES(0x6e));
    ck_status(IO_FAILED);
    m.fail_io = S_OK;

    ck_assert_uint_eq(GPR(RAX), 5);
    ck_assert_uint_eq(RIP, CODE);
}
END_TEST

START_TEST(exits_of_event_delivery_are_not_emulated)
{
    exit_context(0);
    vp.ExecutionState.InterruptionPending = 1;
    access_context.InstructionByteCount = 2;
    memcpy(access_context.InstructionBytes, "\x8b\x03", 2);
    ck_assert_int_eq(WHvEmulatorTryMmioEmulation(emulator, &token, &vp, &access_context, &status), S_OK);
    ck_status(CAUSED_BY_INTERRUPT);
    ck_assert_uint_eq(m.gets + m.sets + m.logged, 0);
}
END_TEST

/* A callback that calls back into its own emulator, which is in use. */
static HRESULT nested;

static HRESULT CALLBACK on_port_nested(VOID *context, WHV_EMULATOR_IO_ACCESS_INFO *info)
{
    WHV_EMULATOR_STATUS inner;

    (void)info;
    nested = WHvEmulatorTryIoEmulation(*(WHV_EMULATOR_HANDLE *)context, context, &vp, &io, &inner);
    return S_OK;
}

static HRESULT CALLBACK accept(VOID *context, const WHV_REGISTER_NAME *names, UINT32 count,
                               const WHV_REGISTER_VALUE *values)
{
    (void)context;
    (void)names;
    (void)count;
    (void)values;
    return S_OK;
}

START_TEST(an_emulator_in_use_refuses)
{
    WHV_EMULATOR_CALLBACKS c = callbacks;
    WHV_EMULATOR_HANDLE other;

    c.WHvEmulatorIoPortCallback = on_port_nested;
    c.WHvEmulatorSetVirtualProcessorRegisters = accept;
    ck_assert_int_eq(WHvEmulatorCreateEmulator(&c, &other), S_OK);
    port_exit(true, 1, false, false, BYTES(0xee));
    ck_assert_int_eq(WHvEmulatorTryIoEmulation(other, &other, &vp, &io, &status), S_OK);
    ck_status(SUCCESSFUL);
    ck_assert_int_eq(nested, E_INVALIDARG);
    ck_assert_int_eq(WHvEmulatorDestroyEmulator(other), S_OK);
}
END_TEST

TCase *emulator_case(void)
{
    TCase *c = tcase_create("emulator");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, create_checks_its_callbacks);
    tcase_add_test(c, stale_handles_are_refused);
    tcase_add_test(c, malformed_contexts_are_refused);
    tcase_add_test(c, mov_reads_a_device);
    tcase_add_test(c, mov_writes_a_device_without_reading_it);
    tcase_add_test(c, read_modify_write_reads_then_writes);
    tcase_add_test(c, exchanges);
    tcase_add_test(c, push_and_pop_and_call);
    tcase_add_test(c, rip_relative_operands_follow_rip);
    tcase_add_test(c, movs_moves_between_ram_and_device);
    tcase_add_test(c, repetition_without_end_pauses);
    tcase_add_test(c, fault_in_a_repetition_keeps_what_is_done);
    tcase_add_test(c, data_across_pages_goes_in_two);
    tcase_add_test(c, instruction_across_pages_is_fetched);
    tcase_add_test(c, instruction_is_fetched_where_no_bytes_come);
    tcase_add_test(c, fetch_may_fault);
    tcase_add_test(c, changed_code_is_decoded_anew);
    tcase_add_test(c, segments_count_where_they_do);
    tcase_add_test(c, limits_are_checked);
    tcase_add_test(c, page_faults_are_the_guests);
    tcase_add_test(c, undefined_opcodes_are_the_guests);
    tcase_add_test(c, what_leaves_cannot_be_emulated);
    tcase_add_test(c, sse_moves);
    tcase_add_test(c, sse_needs_the_system_to_say_so);
    tcase_add_test(c, x87_loads_and_stores);
    tcase_add_test(c, x87_exceptions_come_first);
    tcase_add_test(c, in_merges_into_rax);
    tcase_add_test(c, out_gives_the_low_bytes);
    tcase_add_test(c, ports_of_an_old_exit_context_are_decoded);
    tcase_add_test(c, outs_reads_memory_and_writes_ports);
    tcase_add_test(c, ins_reads_ports_and_writes_memory);
    tcase_add_test(c, rip_wraps_with_the_code_size);
    tcase_add_test(c, failing_callbacks_have_a_bit_each);
    tcase_add_test(c, exits_of_event_delivery_are_not_emulated);
    tcase_add_test(c, an_emulator_in_use_refuses);
    return c;
}
