/* SPDX-License-Identifier: MIT */
/* The seam under an emulated instruction: memory and ports are the caller's callbacks. */
#include "cpu/fp.h"
#include "mem/place.h"
#include "whp/emulator.h"

/* The caller's code runs under the caller's floating-point control words. */
static void fp_pause(struct emulator *e)
{
    if (unlikely(e->in_fp))
        fp_leave(e->cpu);
}

static void fp_resume(struct emulator *e)
{
    if (unlikely(e->in_fp))
        fp_enter(e->cpu);
}

static u32 page_fault_error(const struct vcpu *cpu, unsigned access, u32 cause)
{
    u32 error = cause;

    if ((access & ACCESS_RIGHT) == ACCESS_WRITE)
        error |= PF_W;
    if (cpu->cpl == 3 && !(access & ACCESS_SYSTEM))
        error |= PF_U;
    if ((access & ACCESS_RIGHT) == ACCESS_EXECUTE && (cpu->efer & EFER_NXE || cpu->cr4 & CR4_SMEP))
        error |= PF_I;
    return error;
}

static bool seam_translate(void *context, struct vcpu *cpu, u64 linear, unsigned access, u64 *gpa)
{
    struct emulator *e = context;
    WHV_TRANSLATE_GVA_RESULT_CODE result = WHvTranslateGvaResultSuccess;
    WHV_GUEST_PHYSICAL_ADDRESS page = ~(u64)0;
    u32 flags = WHvTranslateGvaFlagSetPageTableBits;

    switch (access & ACCESS_RIGHT) {
    case ACCESS_READ: flags |= WHvTranslateGvaFlagValidateRead; break;
    case ACCESS_WRITE: flags |= WHvTranslateGvaFlagValidateWrite; break;
    default: flags |= WHvTranslateGvaFlagValidateExecute; break;
    }
    if (access & ACCESS_SYSTEM)
        flags |= WHvTranslateGvaFlagPrivilegeExempt;
    fp_pause(e);
    HRESULT hr = e->callbacks.WHvEmulatorTranslateGvaPage(e->context, linear & PAGE_MASK,
                                                          (WHV_TRANSLATE_GVA_FLAGS)flags, &result, &page);
    fp_resume(e);
    if (FAILED(hr)) {
        e->status.TranslateGvaPageCallbackFailed = 1;
        return false;
    }
    switch (result) {
    case WHvTranslateGvaResultPageNotPresent:
        vcpu_raise_page_fault(cpu, linear, page_fault_error(cpu, access, 0));
    case WHvTranslateGvaResultPrivilegeViolation:
        vcpu_raise_page_fault(cpu, linear, page_fault_error(cpu, access, PF_P));
    case WHvTranslateGvaResultInvalidPageTableFlags:
        vcpu_raise_page_fault(cpu, linear, page_fault_error(cpu, access, PF_P | PF_RSVD));
    case WHvTranslateGvaResultSuccess: break;
    case WHvTranslateGvaResultGpaUnmapped:
    case WHvTranslateGvaResultGpaNoReadAccess:
    case WHvTranslateGvaResultGpaNoWriteAccess:
        /*
         * Of the final page, by a caller's own walk: what it is for the partition is the memory callback's matter. Of a
         * page of tables there is no address (WHvTranslateGva writes none, and callers begin with zero).
         */
        if (page != ~(u64)0 && page != 0)
            break;
        e->status.TranslateGvaPageCallbackFailed = 1;
        return false;
    default: e->status.TranslateGvaPageCallbackFailed = 1; return false;
    }
    if (page & ~PAGE_MASK) {
        e->status.TranslateGvaPageCallbackGpaIsNotAligned = 1;
        return false;
    }
    *gpa = page | (linear & ~PAGE_MASK);
    return true;
}

static bool memory(struct emulator *e, u64 gpa, u8 *bytes, unsigned size, bool is_write)
{
    WHV_EMULATOR_MEMORY_ACCESS_INFO info;
    HRESULT hr = S_OK;

    if (unlikely(e->is_short)) {
        e->status.GetVirtualProcessorRegistersCallbackFailed = 1;
        return false;
    }
    e->touched = true;
    fp_pause(e);
    for (unsigned done = 0, part; done < size && SUCCEEDED(hr); done += part) {
        part = size - done < 8 ? size - done : 8;
        memset(&info, 0, sizeof info);
        info.GpaAddress = gpa + done;
        info.Direction = is_write;
        info.AccessSize = (UINT8)part;
        if (is_write)
            memcpy(info.Data, bytes + done, part);
        hr = e->callbacks.WHvEmulatorMemoryCallback(e->context, &info);
        if (!is_write)
            memcpy(bytes + done, info.Data, part);
    }
    fp_resume(e);
    if (FAILED(hr))
        e->status.MemoryCallbackFailed = 1;
    return SUCCEEDED(hr);
}

static bool seam_read(void *context, u64 gpa, void *bytes, unsigned size)
{
    return memory(context, gpa, bytes, size, false);
}

static bool seam_write(void *context, u64 gpa, const void *bytes, unsigned size)
{
    u8 copy[64];

    memcpy(copy, bytes, size);
    return memory(context, gpa, copy, size, true);
}

static bool port(struct emulator *e, u16 number, unsigned size, bool is_write, u32 *value)
{
    WHV_EMULATOR_IO_ACCESS_INFO info = { .Direction = is_write, .Port = number, .AccessSize = (UINT16)size };

    if (e->ports++ == MOST_ROUNDS)
        return false; /* nothing has gone wrong: a repetition gives way */
    e->touched = true;
    if (is_write)
        info.Data = *value & (u32)ones(8 * size);
    if (FAILED(e->callbacks.WHvEmulatorIoPortCallback(e->context, &info))) {
        e->status.IoPortCallbackFailed = 1;
        return false;
    }
    if (!is_write)
        *value = info.Data & (u32)ones(8 * size);
    return true;
}

static bool seam_port_in(void *context, u16 number, unsigned size, u32 *value)
{
    return port(context, number, size, false, value);
}

static bool seam_port_out(void *context, u16 number, unsigned size, u32 value)
{
    return port(context, number, size, true, &value);
}

void seam_init(struct emulator *e)
{
    e->seam = (struct seam){ .context = e,
                             .translate = seam_translate,
                             .read = seam_read,
                             .write = seam_write,
                             .port_in = seam_port_in,
                             .port_out = seam_port_out };
    e->cpu->seam = &e->seam;
}
