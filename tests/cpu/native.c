/* SPDX-License-Identifier: MIT */
/*
 * Runs a sequence on the host's own processor, in this process: a signal's return loads its state, and the
 * fault that ends it is a signal that saves it.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/cpu/sequences.h"

#include <sys/auxv.h> /* whose names of ELF's are some of x86.h's */

static const int order[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                               REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
enum { FAULTS = sizeof faults / sizeof *faults };

static struct {
    const struct state *start;
    struct state *end;
    volatile bool is_running;
    gregset_t gregs; /* of native_run() */
    struct _libc_fpstate fp;
    struct sigaction before[FAULTS], before_start;
    u8 *stack;
    u64 fs_base; /* of this thread's own storage */
    struct descriptor ldt[LDT_USED]; /* as the kernel has it */
} native;

#define KEPT (STATUS | DF | AC)

/*
 * A sequence may end with AC set, and a handler isn't made for it; NT and ID, which a signal's return leaves alone, would stay.
 */
static inline void clear_flags(void)
{
    __asm__ volatile("pushfq; andl $~0x244000, (%%rsp); popfq" ::: "memory", "cc");
}

struct selectors {
    u16 es, ds, fs, gs;
    u64 base[2];
};

static inline void set_bases(const u64 *base)
{
    __asm__ volatile("wrfsbase %0; wrgsbase %1" ::"r"(base[0]), "r"(base[1]));
}

static inline void clear_gs_base(void)
{
    __asm__ volatile("wrgsbase %0" ::"r"(0ul));
}

static inline void get_bases(u64 *base)
{
    u64 fs, gs;

    __asm__ volatile("rdfsbase %0; rdgsbase %1" : "=r"(fs), "=r"(gs));
    base[0] = fs;
    base[1] = gs;
}

static inline void set_selectors(const u16 *selector)
{
    u32 es = selector[ES], ds = selector[DS], fs = selector[FS], gs = selector[GS];

    __asm__ volatile("mov %0, %%es; mov %1, %%ds; mov %2, %%fs; mov %3, %%gs" ::"r"(es), "r"(ds), "r"(fs), "r"(gs));
}

static inline void get_selectors(struct selectors *s)
{
    __asm__ volatile("mov %%es, %0; mov %%ds, %1; mov %%fs, %2; mov %%gs, %3"
                     : "=m"(s->es), "=m"(s->ds), "=m"(s->fs), "=m"(s->gs));
}

/* By hand, for what the library does about errors is in that storage. */
static inline void set_own_selectors(void)
{
    long result = SYS_arch_prctl;

    __asm__ volatile("mov %0, %%es; mov %0, %%ds; mov %0, %%gs" ::"r"(0));
    __asm__ volatile("syscall" : "+a"(result) : "D"((long)ARCH_SET_FS), "S"(native.fs_base) : "rcx", "r11", "memory");
}

static void load(const struct state *s, ucontext_t *context)
{
    struct _libc_fpstate *fp = context->uc_mcontext.fpregs;
    greg_t *g = context->uc_mcontext.gregs;
    u64 *header = (u64 *)((char *)fp + 512); /* of XSAVE: which components aren't initial */

    for (unsigned i = 0; i < 16; i++)
        g[order[i]] = (greg_t)s->gpr[i];
    g[REG_RIP] = (greg_t)s->rip;
    g[REG_EFL] = (greg_t)s->rflags;
    if (s->mode != 64)
        g[REG_CSGSFS] = (g[REG_CSGSFS] & 0xffffffff0000) | s->selector[CS] | (greg_t)s->selector[SS] << 48;
    fp->fop = 0;
    fp->rip = fp->rdp = 0;
    fp->cwd = s->fcw;
    fp->swd = s->fsw;
    fp->ftw = s->ftw;
    fp->mxcsr = s->mxcsr;
    memcpy(fp->_st, s->st, sizeof s->st);
    memcpy(fp->_xmm, s->xmm, sizeof s->xmm);
    header[0] = (header[0] | 3) & ~(u64)4; /* AVX's upper halves are zero */
}

static void save(struct state *s, const ucontext_t *context, const struct selectors *data)
{
    const struct _libc_fpstate *fp = context->uc_mcontext.fpregs;
    const greg_t *g = context->uc_mcontext.gregs;

    s->mode = native.start->mode;
    memcpy(s->selector, native.start->selector, sizeof s->selector);
    for (unsigned i = 0; i < 16; i++)
        s->gpr[i] = (u64)g[order[i]];
    s->rip = (u64)g[REG_RIP];
    s->rflags = (u64)g[REG_EFL] & KEPT;
    s->fcw = fp->cwd;
    s->fsw = fp->swd;
    s->ftw = (u8)fp->ftw;
    s->mxcsr = fp->mxcsr;
    memcpy(s->st, fp->_st, sizeof s->st);
    for (unsigned i = 0; i < 8; i++)
        memset(s->st[i] + 10, 0, 6);
    memcpy(s->xmm, fp->_xmm, sizeof s->xmm);
    if (s->mode != 64) { /* these weren't the code's */
        memcpy(s->gpr + 8, native.start->gpr + 8, 64);
        memcpy(s->xmm + 8, native.start->xmm + 8, 128);
        for (unsigned i = 0; i < 8; i++)
            s->gpr[i] = (u32)s->gpr[i]; /* returning to a 16-bit stack, the kernel has to leave some of its own in RSP */
    }
    if (native.start->has_bases)
        memcpy(s->base, data->base, sizeof s->base);
    if (s->mode != 64 || native.start->has_bases) {
        s->selector[ES] = data->es;
        s->selector[DS] = data->ds;
        s->selector[FS] = data->fs;
        s->selector[GS] = data->gs;
        s->selector[CS] = (u16)g[REG_CSGSFS];
        s->selector[SS] = (u16)((u64)g[REG_CSGSFS] >> 48);
    }
    s->vector = (u32)g[REG_TRAPNO];
    if (s->vector == VECTOR_BP || s->vector == VECTOR_OF)
        s->rip--; /* INT3 and INTO are traps, and exits at the instruction */
    s->error = (u32)g[REG_ERR];
    s->cr2 = s->vector == VECTOR_PF ? (u64)g[REG_CR2] : 0;
}

__attribute__((no_sanitize("address", "undefined", "thread"))) static void on_start(int signal, siginfo_t *info, void *context)
{
    ucontext_t *c = context;

    (void)signal;
    (void)info;
    memcpy(native.gregs, c->uc_mcontext.gregs, sizeof native.gregs);
    native.fp = *c->uc_mcontext.fpregs;
    load(native.start, c);
    native.is_running = true;
    if (native.start->has_bases)
        set_bases(native.start->base);
    if (native.start->mode != 64) /* last, for FS is where this thread's own storage is */
        set_selectors(native.start->selector);
}

/* Without what sanitizers have in front of a function: the thread's storage isn't there yet. */
__attribute__((no_sanitize("address", "undefined", "thread"))) static void on_fault(int signal, siginfo_t *info, void *context)
{
    ucontext_t *c = context;
    struct selectors data;

    clear_flags();
    get_selectors(&data);
    if (native.is_running && native.start->has_bases)
        get_bases(data.base);
    if (native.is_running && (native.start->mode != 64 || native.start->has_bases))
        set_own_selectors();
    if (native.is_running && native.start->has_bases)
        clear_gs_base(); /* a null selector may leave it */
    (void)info;
    if (!native.is_running) { /* a fault of our own: again, and for good */
        struct sigaction plain = { .sa_handler = SIG_DFL };

        sigaction(signal, &plain, NULL);
        return;
    }
    native.is_running = false;
    save(native.end, c, &data);
    memcpy(c->uc_mcontext.gregs, native.gregs, sizeof native.gregs);
    *c->uc_mcontext.fpregs = native.fp;
}

/* Families from 17h on, which is Zen. Hygon's are AMD's own design. */
bool native_is_amd(void)
{
    static int known; /* 1: no, 2: yes; a hypervisor makes CPUID slow */
    u32 a, b, c, d;

    if (!known) {
        __cpuid(0, a, b, c, d);
        known = 1 + ((b == signature_AMD_ebx && c == signature_AMD_ecx && d == signature_AMD_edx) || c == 0x656e6975);
        __cpuid(1, a, b, c, d);
        if ((a >> 8 & 15) + (a >> 20 & 255) < 0x17)
            known = 1;
    }
    return known == 2;
}

bool native_has_bases(void)
{
    return (getauxval(AT_HWCAP2) & 2) != 0; /* HWCAP2_FSGSBASE */
}

static bool map(u64 at, size_t size, int rights)
{
    return mmap((void *)at, size, rights, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
           (void *)at;
}

bool native_open(struct arena *a)
{
    enum { SIGNAL_STACK = 1 << 18 };
    struct sigaction act = { .sa_flags = SA_SIGINFO | SA_ONSTACK };

    if (!map(CODE_AT, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC) ||
        !map(DATA_AT, DATA_SIZE + FIXED_SIZE, PROT_READ | PROT_WRITE) ||
        !map(STACK_AT, STACK_SIZE, PROT_READ | PROT_WRITE)) {
        native_close();
        return false;
    }
    memset(native.ldt, 0, sizeof native.ldt);
    if (syscall(SYS_arch_prctl, ARCH_GET_FS, &native.fs_base))
        native.fs_base = 0;
    native.stack = malloc(SIGNAL_STACK);
    stack_t stack = { .ss_sp = native.stack, .ss_size = SIGNAL_STACK };

    sigaltstack(&stack, NULL);
    act.sa_sigaction = on_start;
    sigaction(SIGUSR1, &act, &native.before_start);
    act.sa_sigaction = on_fault;
    for (int i = 0; i < FAULTS; i++)
        sigaction(faults[i], &act, &native.before[i]);
    *a = (struct arena){ (u8 *)(u64)CODE_AT, (u8 *)(u64)DATA_AT, (u8 *)(u64)STACK_AT, (u8 *)(u64)FIXED_AT };
    sequence_fill_fixed(a);
    mprotect(a->fixed, FIXED_SIZE, PROT_READ);
    return true;
}

void native_close(void)
{
    stack_t none = { .ss_flags = SS_DISABLE };

    if (native.stack) {
        for (int i = 0; i < FAULTS; i++)
            sigaction(faults[i], &native.before[i], NULL);
        sigaction(SIGUSR1, &native.before_start, NULL);
        sigaltstack(&none, NULL);
        free(native.stack);
        native.stack = NULL;
    }
    munmap((void *)(u64)CODE_AT, CODE_SIZE);
    munmap((void *)(u64)DATA_AT, DATA_SIZE + FIXED_SIZE);
    munmap((void *)(u64)STACK_AT, STACK_SIZE);
}

/* Those of the table's entries that are others than before. False: this kernel has none. */
static bool set_ldt(const struct descriptor *ldt)
{
    for (unsigned i = 0; i < LDT_USED; i++) {
        const struct descriptor *d = &ldt[i];
        bool by_pages = d->limit > 0xfffff;
        struct user_desc u = { .entry_number = i,
                               .base_addr = d->base,
                               .limit = by_pages ? d->limit >> 12 : d->limit,
                               .seg_32bit = d->is_big,
                               .contents = (d->is_code * 2u + d->is_down) & 3,
                               .read_exec_only = d->is_fixed,
                               .limit_in_pages = by_pages,
                               .seg_not_present = d->is_absent };

        if (!memcmp(d, &native.ldt[i], sizeof *d))
            continue;
        if (syscall(SYS_modify_ldt, 0x11, &u, sizeof u)) {
            if (errno == ENOSYS)
                return false;
            perror("modify_ldt"); /* a descriptor that Linux doesn't take: nothing would be compared, unseen */
            abort();
        }
        native.ldt[i] = *d;
    }
    return true;
}

bool native_run(const struct state *start, struct state *end)
{
    memset(end, 0, sizeof *end);
    if ((start->has_bases || start->selector[CS] & 4) && !set_ldt(start->ldt))
        return false;
    native.start = start;
    native.end = end;
    raise(SIGUSR1);
    return true;
}
