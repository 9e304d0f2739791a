/* SPDX-License-Identifier: MIT */
/* The callbacks and the exits of the emulator's tests. */
#include "tests/whp/emulator_rig.h"

struct machine m;
WHV_EMULATOR_HANDLE emulator;
WHV_VP_EXIT_CONTEXT vp;
WHV_MEMORY_ACCESS_CONTEXT access_context;
WHV_X64_IO_PORT_ACCESS_CONTEXT io;
WHV_EMULATOR_STATUS status;
int token;
bool debug_active;
unsigned cpl;

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
    return m.good_io && !--m.good_io ? E_FAIL : m.fail_io;
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
    return m.good_memory && !--m.good_memory ? E_FAIL : m.fail_memory;
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
    if ((u32)name >> 16 == 0x5357) {
        m.asked_for_ours++;
        return (u32)name - SwhpX64RegisterYmmHigh0 < OURS ? &m.ours[(u32)name - SwhpX64RegisterYmmHigh0] : NULL;
    }
    if (name >= WHvX64RegisterXmm0 && name <= WHvX64RegisterXmm15)
        return &m.fx[10 + name - WHvX64RegisterXmm0];
    if (name >= WHvX64RegisterFpMmx0 && name <= WHvX64RegisterFpMmx7)
        return &m.fx[2 + name - WHvX64RegisterFpMmx0];
    switch (name) {
    case WHvX64RegisterCr0: *q = &m.cr0; return NULL;
    case WHvX64RegisterCr3: *q = &m.cr3; return NULL;
    case WHvX64RegisterCr4: *q = &m.cr4; return NULL;
    case WHvX64RegisterEfer: *q = &m.efer; return NULL;
    case WHvX64RegisterFpControlStatus: return &m.fx[0];
    case WHvX64RegisterXmmControlStatus: return &m.fx[1];
    case WHvRegisterPendingEvent: return &m.event;
    case WHvX64RegisterXCr0: *q = &m.xcr0; return NULL;
    case WHvX64RegisterDr0:
    case WHvX64RegisterDr1:
    case WHvX64RegisterDr2:
    case WHvX64RegisterDr3:
    case WHvX64RegisterDr7: *q = &m.dr[name - WHvX64RegisterDr0]; return NULL;
    case WHvRegisterInterruptState: *q = &m.interrupt_state; return NULL;
    case WHvX64RegisterPendingDebugException: *q = &m.pending_debug; return NULL;
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

        if (m.has_table && (u32)names[i] >> 16 == 0x5357)
            return WHV_E_INVALID_VP_REGISTER_NAME;
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
        if (m.gone_wrong)
            *gpa = m.gone_wrong;
        return S_OK;
    }
    *gpa = gva + (m.misaligned && gva == m.misaligned ? 4 : 0);
    return m.fail_translate;
}

const WHV_EMULATOR_CALLBACKS callbacks = { sizeof callbacks, 0,      on_port,     on_memory,
                                                  on_get,           on_set, on_translate };

void emulator_setup(void)
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
    memset(&m.ours[OUR_FEATURES], 0xff, sizeof m.ours[0]);
    m.fx[0].FpControlStatus.FpControl = 0x37f;
    m.fx[1].XmmControlStatus.XmmStatusControl = 0x1f80;
    m.fx[1].XmmControlStatus.XmmStatusControlMask = 0x2ffff;
    ck_assert_int_eq(WHvEmulatorCreateEmulator(&callbacks, &emulator), S_OK);
}

void emulator_teardown(void)
{
    ck_assert_int_eq(WHvEmulatorDestroyEmulator(emulator), S_OK);
}

void real_mode(void)
{
    m.cr0 = 0;
    m.cr4 = 0;
    m.efer = 0;
    for (unsigned i = 0; i < 6; i++)
        m.segment[i] = (WHV_X64_SEGMENT_REGISTER){ .Limit = 0xffff, .Attributes = 0x93 };
    m.segment[CS].Attributes = 0x9b;
}

void exit_context(unsigned length)
{
    vp.ExecutionState.AsUINT16 = 0;
    vp.ExecutionState.Cpl = cpl & 3;
    vp.ExecutionState.Cr0Pe = m.cr0 & 1;
    vp.ExecutionState.EferLma = (m.efer & EFER_LMA) != 0;
    vp.ExecutionState.DebugActive = debug_active;
    vp.InstructionLength = length & 15;
    vp.Cs = m.segment[CS];
    vp.Rip = m.general[16].Reg64;
    vp.Rflags = m.general[17].Reg64;
}

void mmio_given(const u8 *bytes, unsigned size, unsigned given)
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

void mmio(const u8 *bytes, unsigned size)
{
    mmio_given(bytes, size, size);
}

void port_exit(bool is_write, unsigned size, bool string, bool rep, const u8 *bytes, unsigned length)
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

Suite *emulator_suite(void);
Suite *emulator_suite(void)
{
    Suite *s = suite_create("emulator");

    suite_add_tcase(s, emulator_call_case());
    suite_add_tcase(s, emulator_memory_case());
    suite_add_tcase(s, emulator_fault_case());
    suite_add_tcase(s, emulator_float_case());
    suite_add_tcase(s, emulator_port_case());
    suite_add_tcase(s, emulator_own_case());
    suite_add_tcase(s, emulator_flush_case());
    suite_add_tcase(s, emulator_form_case());
    return s;
}
