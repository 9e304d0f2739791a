/* SPDX-License-Identifier: MIT */
/*
 * Replays hardware vectors (swv.h) through the public API: sets the state, runs one instruction with every exception
 * intercepted, and compares everything with what the processor did.
 *
 * usage: replay [-v] [-o MNEMONIC] FILE.swv.zst...   The last line is `N passed, N failed, N skipped`.
 */
#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "include/softwhp.h"
#include "tests/vectors/swv.h"

enum { ARENA = 8 << 20, TABLES = 1 << 20, GDT_GPA = TABLES, LDT_GPA = TABLES + 0x10000, DATA = TABLES + 0x20000 };
#define TABLES_LINEAR 0xffff900000000000ull
#define TSS_OFFSET 0x1ff00 /* past what selectors reach */

static uint8_t *arena;
static WHV_PARTITION_HANDLE partition;
static uint32_t table_top, data_top;
static bool verbose;
static const char *only;
static unsigned long passed, failed, skipped;

/* ---- what the forms are: FILE's -forms.tsv beside it ---- */

struct form {
    uint32_t id;
    char mnemonic[24], encoding[48], isa[32];
    unsigned failed;
};
static struct form forms[16384];
static unsigned form_count;

/* Extensions of the default profile. */
static const char *const claimed[] = { "I86", "I186", "I386", "I486REAL", "I286PROTECTED", "I286REAL", "PENTIUMREAL",
    "PENTIUMMMX", "X87", "SSE", "SSE2", "SSE2MMX", "CMOV", "FAT_NOP", "BMI1", "BMI2", "PPRO", "LONGMODE", "ADOX_ADCX",
    "MOVBE", "LZCNT", "POPCNT", "SSE_PREFETCH", "RDWRFSGS", "SSEMXCSR", "PKU", "LAHF", "FXSAVE", "FXSAVE64", "FCMOV",
    "SMAP", "PAUSE", "INVPCID", "CLWB", "CLFSH", "CLFLUSHOPT", "CMPXCHG16B", "PREFETCH_NOP", "PREFETCHWT1",
    "SSE3", "SSE3X87", "SSSE3", "SSSE3MMX", "SSE4", "SSE42", "SSE4A", "AES", "PCLMULQDQ", "SHA", "GFNI", "CLZERO",
    "AVX", "AVX2", "AVX2GATHER", "FMA", "F16C", "AVXAES", "VAES", "AVX_GFNI", "VPCLMULQDQ", "UD" };

static bool is_claimed(const char *isa)
{
    for (unsigned i = 0; i < sizeof claimed / sizeof *claimed; i++)
        if (!strcmp(claimed[i], isa))
            return true;
    return false;
}

static void read_forms(const char *file)
{
    char path[512], line[512];
    const char *slash = strrchr(file, '/');
    int folder = slash ? (int)(slash - file + 1) : 0;

    snprintf(path, sizeof path, "%.*s%.2s-forms.tsv", folder, file, file + folder);
    FILE *f = fopen(path, "r");

    form_count = 0;
    if (!f) {
        fprintf(stderr, "replay: %s: %s; nothing can be skipped without it\n", path, strerror(errno));
        return;
    }
    while (fgets(line, sizeof line, f) && form_count < sizeof forms / sizeof *forms) {
        struct form *m = &forms[form_count];
        char family[32];

        memset(m, 0, sizeof *m);
        if (sscanf(line, "%x\t%31[^\t]\t%23[^\t]\t%47[^\t]\t%31[^\t]", &m->id, family, m->mnemonic, m->encoding,
                   m->isa) == 5)
            form_count++;
    }
    fclose(f);
}

static struct form *form_of(uint32_t id)
{
    static struct form unknown = { 0, "?", "", "I86", 0 };

    for (unsigned i = 0; i < form_count; i++)
        if (forms[i].id == id)
            return &forms[i];
    return &unknown;
}

/* ---- memory: pages and page tables in the arena ---- */

static uint64_t *entry(uint64_t table, unsigned index)
{
    return (uint64_t *)(arena + (table & 0xffffffffff000)) + index;
}

static uint64_t new_page(uint32_t *top, uint32_t end)
{
    uint64_t page = *top;

    if (*top + 4096 > end) {
        fprintf(stderr, "replay: the file's regions need more memory than the %d MiB there are\n", ARENA >> 20);
        exit(2);
    }
    memset(arena + page, 0, 4096);
    *top += 4096;
    return page;
}

static void map_page(uint64_t linear, uint64_t gpa, bool user, bool write, bool execute)
{
    uint64_t table = 0;

    for (int level = 3; level > 0; level--) {
        uint64_t *e = entry(table, linear >> (12 + 9 * level) & 511);

        if (!*e)
            *e = new_page(&table_top, TABLES) | 7;
        table = *e;
    }
    *entry(table, linear >> 12 & 511) =
        gpa | 1 | (write ? 2 : 0) | (user ? 4 : 0) | 0x60 | (execute ? 0 : 1ull << 63);
}

static uint8_t *region_at[32];

static void fill(const swv_region *r, uint8_t *p)
{
    if (r->fill == 0xcc) {
        memset(p, 0xcc, r->size);
        return;
    }
    for (uint32_t i = 0; i < r->size; i++)
        p[i] = swv_bg(r->base + i);
}

static uint8_t *expected_memory[32], *filled[32];

static void map_file(const swv_file *f)
{
    table_top = 4096;
    data_top = DATA;
    memset(arena, 0, DATA);
    for (int i = 0; i < f->h.nregion; i++) {
        const swv_region *r = &f->region[i];
        uint32_t size = (r->size + 4095) & ~4095u;

        region_at[i] = arena + data_top;
        for (uint32_t o = 0; o < size; o += 4096)
            map_page(r->base + o, new_page(&data_top, ARENA), true, r->prot & 2, r->prot & 4);
        free(expected_memory[i]);
        free(filled[i]);
        expected_memory[i] = malloc(r->size);
        filled[i] = malloc(r->size);
        fill(r, filled[i]);
    }
    for (uint32_t o = 0; o < 0x20000; o += 4096)
        map_page(TABLES_LINEAR + o, GDT_GPA + o, false, true, false);
    map_page(0x7ffffffff000, GDT_GPA, false, false, false); /* the host's: present, but not the user's */
}

static uint8_t *find(const swv_file *f, uint8_t *const *at, uint64_t linear)
{
    for (int i = 0; i < f->h.nregion; i++)
        if (linear - f->region[i].base < f->region[i].size)
            return at[i] + (linear - f->region[i].base);
    return NULL;
}

/* ---- registers ---- */

static WHV_REGISTER_NAME names[128];
static WHV_REGISTER_VALUE values[128];
static unsigned count;

static WHV_REGISTER_VALUE *put(uint32_t name)
{
    names[count] = (WHV_REGISTER_NAME)name;
    memset(&values[count], 0, sizeof values[count]);
    return &values[count++];
}

static const uint32_t segment_name[6] = { WHvX64RegisterEs, WHvX64RegisterCs, WHvX64RegisterSs,
                                          WHvX64RegisterDs, WHvX64RegisterFs, WHvX64RegisterGs };

/* The descriptor behind a selector, as a segment register holds it. */
static void put_selector(const swv_file *f, int which, const swv_state *s)
{
    WHV_X64_SEGMENT_REGISTER *to = &put(segment_name[which])->Segment;
    const swv_seg *seg = &f->seg[which];
    uint16_t sel = s->sel[which];

    to->Selector = sel;
    if (sel == seg->sel) {
        to->Base = seg->base;
        to->Limit = seg->limit;
        to->Attributes = seg->attr & 0xf0ff;
    }
    for (uint32_t i = 0; sel != seg->sel && i < f->h.ndesc; i++)
        if (f->desc[i].sel == (sel & ~3)) {
            uint64_t raw = f->desc[i].raw;

            to->Base = (raw >> 16 & 0xffffff) | (raw >> 56) << 24;
            to->Limit = (uint32_t)((raw & 0xffff) | (raw >> 32 & 0xf0000));
            if (raw >> 55 & 1)
                to->Limit = to->Limit << 12 | 0xfff;
            to->Attributes = (raw >> 40 & 0xf0ff) | 1;
        }
    if (which == 4 && f->h.mode == 64)
        to->Base = s->fsbase;
    if (which == 5 && f->h.mode == 64)
        to->Base = s->gsbase;
}

static void check(HRESULT hr, const char *what)
{
    char text[512] = "";

    if (hr >= 0)
        return;
    SwhpGetLastErrorText(text, sizeof text, NULL);
    fprintf(stderr, "replay: %s: %08x: %s\n", what, (unsigned)hr, text);
    exit(2);
}

static uint16_t gdt_limit, ldt_limit;

static void load_tables(const swv_file *f)
{
    gdt_limit = 7;
    ldt_limit = 0;
    arena[GDT_GPA + TSS_OFFSET + 0x66] = 0x68; /* no I/O permission bitmap */
    for (uint32_t i = 0; i < f->h.ndesc; i++) {
        uint16_t sel = f->desc[i].sel & ~7;
        bool ldt = f->desc[i].sel & 4;

        memcpy(arena + (ldt ? LDT_GPA : GDT_GPA) + sel, &f->desc[i].raw, 8);
        if (sel + 7 > (ldt ? ldt_limit : gdt_limit))
            *(ldt ? &ldt_limit : &gdt_limit) = sel + 7;
    }
}

static void set_system(const swv_file *f)
{
    WHV_REGISTER_VALUE *v;

    (void)f;
    count = 0;
    put(WHvX64RegisterCr0)->Reg64 = 0x80050033;
    put(WHvX64RegisterCr3)->Reg64 = 0;
    put(WHvX64RegisterCr4)->Reg64 = 0x50e20;
    put(WHvX64RegisterXCr0)->Reg64 = 7;
    put(WHvX64RegisterEfer)->Reg64 = 0xd01;
    v = put(WHvX64RegisterGdtr);
    v->Table.Base = TABLES_LINEAR;
    v->Table.Limit = gdt_limit;
    v = put(WHvX64RegisterLdtr);
    v->Segment.Base = TABLES_LINEAR + 0x10000;
    v->Segment.Limit = ldt_limit;
    v->Segment.Selector = 0x80;
    v->Segment.Attributes = ldt_limit ? 0x82 : 0;
    v = put(WHvX64RegisterTr);
    v->Segment.Base = TABLES_LINEAR + TSS_OFFSET;
    v->Segment.Limit = 0x67;
    v->Segment.Selector = 0x40;
    v->Segment.Attributes = 0x8b;
}

/* ---- the upper halves of YMM registers, in the XSAVE image: of the families that know of them ---- */

enum { AVX_AT = 576 };
static uint8_t image[4096];

static bool has_ymm(const swv_file *f)
{
    return !strncmp(f->h.family, "avx", sizeof f->h.family) || !strncmp(f->h.family, "crypto", sizeof f->h.family);
}

static void set_ymm(const swv_state *s)
{
    UINT32 size;

    check(WHvGetVirtualProcessorXsaveState(partition, 0, image, sizeof image, &size), "getting XSAVE state");
    memcpy(image + AVX_AT, s->ymmh, sizeof s->ymmh);
    check(WHvSetVirtualProcessorXsaveState(partition, 0, image, size), "setting XSAVE state");
}

static void get_ymm(swv_state *s)
{
    UINT32 size;

    check(WHvGetVirtualProcessorXsaveState(partition, 0, image, sizeof image, &size), "getting XSAVE state");
    memcpy(s->ymmh, image + AVX_AT, sizeof s->ymmh);
}

static void set_state(const swv_file *f, const swv_state *s)
{
    WHV_REGISTER_VALUE *v;

    for (uint32_t i = 0; i < 16; i++)
        put(WHvX64RegisterRax + i)->Reg64 = s->gpr[i];
    put(WHvX64RegisterRip)->Reg64 = s->rip;
    put(WHvX64RegisterRflags)->Reg64 = s->rflags | 2;
    for (int i = 0; i < 6; i++)
        put_selector(f, i, s);
    v = put(WHvX64RegisterFpControlStatus);
    v->FpControlStatus.FpControl = s->fcw;
    v->FpControlStatus.FpStatus = s->fsw;
    v->FpControlStatus.FpTag = s->ftw;
    v = put(WHvX64RegisterXmmControlStatus);
    v->XmmControlStatus.XmmStatusControl = s->mxcsr;
    v->XmmControlStatus.XmmStatusControlMask = 0x2ffff;
    for (uint32_t i = 0; i < 8; i++)
        memcpy(put(WHvX64RegisterFpMmx0 + i), s->st[i], 10);
    for (uint32_t i = 0; i < 16; i++)
        memcpy(put(WHvX64RegisterXmm0 + i), s->xmm[i], 16);
    check(WHvSetVirtualProcessorRegisters(partition, 0, names, count, values), "setting registers");
    if (has_ymm(f))
        set_ymm(s);
}

static void get_state(const swv_file *f, swv_state *s)
{
    count = 0;
    for (uint32_t i = 0; i < 18; i++)
        put(WHvX64RegisterRax + i);
    for (int i = 0; i < 6; i++)
        put(segment_name[i]);
    put(WHvX64RegisterFpControlStatus);
    put(WHvX64RegisterXmmControlStatus);
    for (uint32_t i = 0; i < 8; i++)
        put(WHvX64RegisterFpMmx0 + i);
    for (uint32_t i = 0; i < 16; i++)
        put(WHvX64RegisterXmm0 + i);
    check(WHvGetVirtualProcessorRegisters(partition, 0, names, count, values), "getting registers");
    for (int i = 0; i < 16; i++)
        s->gpr[i] = values[i].Reg64;
    s->rip = values[16].Reg64;
    s->rflags = values[17].Reg64;
    for (int i = 0; i < 6; i++)
        s->sel[i] = values[18 + i].Segment.Selector;
    s->fsbase = values[22].Segment.Base;
    s->gsbase = values[23].Segment.Base;
    s->fcw = values[24].FpControlStatus.FpControl;
    s->fsw = values[24].FpControlStatus.FpStatus;
    s->ftw = values[24].FpControlStatus.FpTag;
    s->mxcsr = values[25].XmmControlStatus.XmmStatusControl;
    for (int i = 0; i < 8; i++)
        memcpy(s->st[i], &values[26 + i], 10);
    for (int i = 0; i < 16; i++)
        memcpy(s->xmm[i], &values[34 + i], 16);
    if (has_ymm(f))
        get_ymm(s);
}

/* ---- one record ---- */

static const char *reg_name(int id)
{
    static const char *const plain[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi",    "rdi", "r8",  "r9",  "r10",
                                         "r11", "r12", "r13", "r14", "r15", "rip", "rflags", "fcw", "fsw", "ftw", "mxcsr" };
    static char text[16];

    if (id < SWV_ST)
        return plain[id];
    static const struct {
        const char *name;
        int first;
    } groups[] = { { "sel", SWV_SEL }, { "base", SWV_FSBASE }, { "ymmh", SWV_YMMH }, { "xmm", SWV_XMM }, { "st", SWV_ST } };
    unsigned g = 0;

    while (id < groups[g].first)
        g++;
    snprintf(text, sizeof text, "%s%d", groups[g].name, id - groups[g].first);
    return text;
}

static void hex(const char *tag, const void *bytes, int size)
{
    const uint8_t *p = bytes;

    printf(" %s ", tag);
    while (size-- > 0)
        printf("%02x", p[size]);
}

/*
 * Approximate instructions: RCPPS and RSQRTPS within 1.5 * 2^-12 of the exact result, so twice that of each other; transcendental
 * ones of the x87 within one unit in the last place (of 64 bits), with either rounding told by C1.
 */
static bool is_near_float(const uint8_t *a, const uint8_t *b)
{
    for (int i = 0; i < 16; i += 4) {
        float x, y;

        memcpy(&x, a + i, 4);
        memcpy(&y, b + i, 4);
        if (memcmp(a + i, b + i, 4) && !(__builtin_fabsf(x - y) <= 3 * __builtin_fabsf(x) / 4096))
            return false;
    }
    return true;
}

static bool is_near_extended(const uint8_t *a, const uint8_t *b)
{
    __int128 x = 0, y = 0;

    memcpy(&x, a, 10); /* neighbours in value are neighbours as integers, but for the explicit bit */
    memcpy(&y, b, 10);
    x = (x >> 64 << 63) | (x & ~0ull >> 1);
    y = (y >> 64 << 63) | (y & ~0ull >> 1);
    return x - y <= 1 && y - x <= 1;
}

static bool is_near(int id, const uint8_t *want, const uint8_t *got)
{
    if (id >= SWV_ST && id < SWV_ST + 8)
        return is_near_extended(want, got);
    return id >= SWV_XMM && id < SWV_FSBASE && is_near_float(want, got);
}

static bool compare_registers(const swv_file *f, const swv_vec *v, swv_state *want, swv_state *got, bool tell)
{
    bool same = true;

    /* Leaving the kernel by IRET clears the RPL of null selectors: the capture shows 0 for them. */
    for (int i = 0; i < 6; i++)
        if (want->sel[i] < 4 && got->sel[i] < 4)
            want->sel[i] = got->sel[i] = 0;
    /* After a far transfer to the host's flat segments a RIP inside the file's code has the file's CS base taken off. */
    if (f->h.mode != 64 && (want->sel[1] == 0x23 || want->sel[1] == 0x33) && want->rip + f->seg[1].base == got->rip)
        want->rip = got->rip;
    want->rflags = (want->rflags | 2) & ~(uint64_t)(v->h.undef | 1 << 16);
    got->rflags &= ~(uint64_t)(v->h.undef | 1 << 16);
    for (int i = 0; i < 4; i++)
        if ((v->h.undef_fsw >> i & 1) || (i == 1 && (v->h.flags & SWV_F_APPROX))) {
            uint16_t bit = (uint16_t)(i == 3 ? 1 << 14 : 1 << (8 + i));

            want->fsw &= (uint16_t)~bit;
            got->fsw &= (uint16_t)~bit;
        }
    for (int id = 0; id < SWV_K; id++) {
        const uint8_t *w, *g;

        if ((id >= SWV_YMMH && id < SWV_FSBASE && !has_ymm(f)) || (f->h.mode != 64 && id >= SWV_FSBASE && id < SWV_SEL))
            continue;
        if (f->h.mode != 64 && ((id >= 8 && id < 16) || (id >= SWV_XMM + 8 && id < SWV_XMM + 16) ||
                                  (id >= SWV_YMMH + 8 && id < SWV_YMMH + 16)))
            continue;
        w = swv_reg(want, id);
        g = swv_reg(got, id);
        if (!w || !memcmp(w, g, (size_t)(f->h.mode != 64 && id < 16 ? 4 : swv_reg_size(id))))
            continue;
        if ((v->h.flags & SWV_F_APPROX) && is_near(id, w, g))
            continue;
        same = false;
        if (tell) {
            printf("    %-6s", reg_name(id));
            hex("in", swv_reg((swv_state *)&v->in, id), swv_reg_size(id));
            hex("want", w, swv_reg_size(id));
            hex("got", g, swv_reg_size(id));
            printf("\n");
        }
    }
    return same;
}

static bool compare_memory(const swv_file *f, bool tell)
{
    bool same = true;

    for (int i = 0; i < f->h.nregion; i++) {
        if (!memcmp(region_at[i], expected_memory[i], f->region[i].size))
            continue;
        same = false;
        for (uint32_t o = 0; tell && o < f->region[i].size; o++)
            if (region_at[i][o] != expected_memory[i][o])
                printf("    [%llx] want %02x got %02x\n", (unsigned long long)(f->region[i].base + o),
                       expected_memory[i][o], region_at[i][o]);
    }
    return same;
}

static void write_memory(const swv_file *f, uint8_t *const *at, uint64_t linear, const uint8_t *p, int n)
{
    for (int i = 0; i < n; i++) {
        uint8_t *to = find(f, at, linear + (uint64_t)i);

        if (to)
            *to = p[i];
    }
}

static void prepare_memory(const swv_file *f, const swv_vec *v)
{
    uint64_t cs_base = f->seg[1].base;

    for (uint32_t i = 0; v->in.sel[1] != f->seg[1].sel && i < f->h.ndesc; i++)
        if (f->desc[i].sel == (v->in.sel[1] & ~3))
            cs_base = (f->desc[i].raw >> 16 & 0xffffff) | (f->desc[i].raw >> 56) << 24;
    for (int i = 0; i < f->h.nregion; i++)
        memcpy(region_at[i], filled[i], f->region[i].size);
    for (int i = 0; i < v->ninmem; i++)
        write_memory(f, region_at, v->inmem[i].addr, v->inmem[i].p, v->inmem[i].len);
    write_memory(f, region_at, f->h.mode == 64 ? v->in.rip : (uint32_t)(cs_base + v->in.rip), v->code, v->h.ilen);
    for (int i = 0; i < f->h.nregion; i++)
        memcpy(expected_memory[i], region_at[i], f->region[i].size);
    for (int i = 0; i < v->noutmem; i++)
        write_memory(f, expected_memory, v->outmem[i].addr, v->outmem[i].p, v->outmem[i].len);
}

struct outcome {
    uint8_t vector;
    uint32_t error;
    uint64_t cr2;
    uint32_t reason;
};

/* Runs until the instruction is over: a REP one takes a count each round. */
static void run(const swv_file *f, const swv_vec *v, struct outcome *o, swv_state *got)
{
    WHV_RUN_VP_EXIT_CONTEXT x;
    UINT64 at;

    for (unsigned round = 0; round < 70000; round++) {
        check(SwhpGetInstructionCount(partition, 0, &at), "count");
        check(SwhpRunVirtualProcessorUntil(partition, 0, at + 1, &x, sizeof x), "run");
        o->reason = (uint32_t)x.ExitReason;
        o->vector = 0xff;
        if (x.ExitReason == WHvRunVpExitReasonException) {
            o->vector = x.VpException.ExceptionType;
            o->error = x.VpException.ExceptionInfo.ErrorCodeValid ? x.VpException.ErrorCode : 0;
            o->cr2 = x.VpException.ExceptionParameter;
            get_state(f, got);
            if (o->vector == 3 || o->vector == 4 || (o->vector == 1 && x.VpException.ExceptionInfo.SoftwareException))
                got->rip += x.VpContext.InstructionLength;
            return;
        }
        if (x.ExitReason != SwhpRunVpExitReasonCount || x.VpContext.Rip != v->in.rip ||
            (v->out.rip == v->in.rip && v->h.vector == 0xff))
            break;
    }
    get_state(f, got);
}

static void replay(swv_file *f, swv_vec *v)
{
    struct form *form = form_of(v->h.form);
    struct outcome o = { 0 };
    swv_state got = v->in, want = v->out;
    bool same;

    if (only && strcmp(only, form->mnemonic))
        return;
    if (!is_claimed(form->isa)) {
        skipped++;
        return;
    }
    prepare_memory(f, v);
    load_tables(f);
    set_system(f);
    set_state(f, &v->in);
    run(f, v, &o, &got);

    same = o.vector == v->h.vector && (o.vector != 0xff || o.reason == (uint32_t)SwhpRunVpExitReasonCount);
    if (same && o.vector != 0xff) {
        uint32_t mask = v->h.flags & SWV_F_NONREP ? ~1u : ~0u;

        same = (o.error & mask) == (v->err & mask) && (o.vector != 14 || o.cr2 == v->cr2);
    }
    if (!(v->h.flags & SWV_F_RESULT_UNDEF))
        same = same && compare_registers(f, v, &want, &got, false) && (v->h.flags & SWV_F_ENVMEM || compare_memory(f, false));
    if (same) {
        passed++;
        return;
    }
    failed++;
    form->failed++;
    if (verbose && form->failed <= 2) {
        printf("%s %s (%s) form %08x, bytes", form->mnemonic, form->encoding, form->isa, v->h.form);
        for (int i = 0; i < v->h.ilen; i++)
            printf(" %02x", v->code[i]);
        printf("\n    want vector %02x error %x cr2 %llx, got vector %02x error %x cr2 %llx reason %x\n", v->h.vector,
               v->err, (unsigned long long)v->cr2, o.vector, o.error, (unsigned long long)o.cr2, o.reason);
        compare_registers(f, v, &want, &got, true);
        if (!(v->h.flags & SWV_F_ENVMEM))
            compare_memory(f, true);
    }
}

static int replay_file(const char *path)
{
    static swv_file f;
    static swv_vec v;
    char command[600];
    int r;

    snprintf(command, sizeof command, "exec zstd -dcq '%s'", path);
    FILE *p = popen(command, "r");

    if (!p || swv_open(&f, p)) {
        fprintf(stderr, "replay: %s: not a file of vectors\n", path);
        return 2;
    }
    read_forms(path);
    map_file(&f);
    while ((r = swv_next(&f, &v)) == 1)
        replay(&f, &v);
    pclose(p);
    for (unsigned i = 0; i < form_count; i++)
        if (forms[i].failed)
            printf("%s: %s %s: %u failed\n", strrchr(path, '/') ? strrchr(path, '/') + 1 : path, forms[i].mnemonic,
                   forms[i].encoding, forms[i].failed);
    return r < 0 ? 2 : 0;
}

static void make_partition(void)
{
    WHV_PARTITION_PROPERTY p = { 0 };
    WHV_CAPABILITY capability = { 0 };

    check(WHvGetCapability(WHvCapabilityCodeExceptionExitBitmap, &capability, sizeof capability, NULL), "capability");
    check(WHvCreatePartition(&partition), "create");
    p.ProcessorCount = 1;
    check(WHvSetPartitionProperty(partition, WHvPartitionPropertyCodeProcessorCount, &p, sizeof p), "processors");
    memset(&p, 0, sizeof p);
    p.ExtendedVmExits.ExceptionExit = 1;
    check(WHvSetPartitionProperty(partition, WHvPartitionPropertyCodeExtendedVmExits, &p, sizeof p), "exits");
    memset(&p, 0, sizeof p);
    p.ExceptionExitBitmap = capability.ExceptionExitBitmap;
    check(WHvSetPartitionProperty(partition, WHvPartitionPropertyCodeExceptionExitBitmap, &p, sizeof p), "bitmap");
    check(WHvSetupPartition(partition), "setup");
    arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(WHvMapGpaRange(partition, arena, 0, ARENA,
                         WHvMapGpaRangeFlagRead | WHvMapGpaRangeFlagWrite | WHvMapGpaRangeFlagExecute), "map");
    check(WHvCreateVirtualProcessor(partition, 0, 0), "processor");
}

int main(int argc, char **argv)
{
    int i = 1, status = 0;

    for (; i < argc && argv[i][0] == '-'; i++) {
        if (!strcmp(argv[i], "-v"))
            verbose = true;
        else if (!strcmp(argv[i], "-o") && i + 1 < argc)
            only = argv[++i];
        else
            break;
    }
    if (i >= argc) {
        fprintf(stderr, "usage: replay [-v] [-o MNEMONIC] FILE.swv.zst...\n");
        return 2;
    }
    make_partition();
    for (; i < argc; i++)
        status |= replay_file(argv[i]);
    printf("%lu passed, %lu failed, %lu skipped\n", passed, failed, skipped);
    return status ? status : failed != 0;
}
