/* SPDX-License-Identifier: MIT */
/*
 * Picks some records of each form out of files of vectors: how tests/vectors was made from whole captures.
 *
 * usage: thin [-x OTHER]... FOLDER RECORDS MODE-FAMILY.swv.zst... [RECORDS MODE-FAMILY.swv.zst...]...
 *
 * Of each form it keeps the first record, the first of each kind (fault, error code, flags), and of the others as many as
 * make up RECORDS, evenly spread, and nothing of the forms that the folders OTHER have; a number holds for the files after it. Where the form is 0 (bytes that are no instruction), every record is one of its own. It
 * writes files of the same format and the lines of MODE-forms.tsv that belong to them, with the new counts.
 */
#include <errno.h>
#include <stdbool.h>

#include "vmm/swv.h"

enum { MAX_FORMS = 32768 };

struct record {
    uint8_t *bytes;
    swv_rec head;
    uint32_t error;
    uint32_t next; /* of the same form, plus one */
    bool kept;
};

static struct record *records;
static uint32_t record_count;
static struct kept {
    uint32_t form, records, faults;
} kept[MAX_FORMS];
static unsigned kept_count;

static uint32_t left_out[MAX_FORMS]; /* forms that other folders have */
static unsigned left_out_count;

static _Noreturn void fail(const char *what, const char *why)
{
    fprintf(stderr, "thin: %s: %s\n", what, why);
    exit(2);
}

static void *allocate(void *p, size_t size)
{
    p = realloc(p, size);
    if (!p)
        fail("memory", strerror(errno));
    return p;
}

/* A name that can stand between quotes in a command. */
static FILE *pipe_to(const char *command, const char *path, const char *mode)
{
    char text[1200];
    FILE *f;

    if (strpbrk(path, "'\\"))
        fail(path, "the name has a quote or a backslash");
    snprintf(text, sizeof text, command, path);
    f = popen(text, mode);
    if (!f)
        fail(path, strerror(errno));
    return f;
}

static void read_records(FILE *f, uint32_t count)
{
    static uint8_t buffer[65536];

    records = allocate(records, (count + 1ull) * sizeof *records);
    for (record_count = 0; record_count < count; record_count++) {
        struct record *r = &records[record_count];
        uint16_t size;

        memset(r, 0, sizeof *r);
        if (fread(&size, 2, 1, f) != 1 || size < sizeof r->head + 12u || fread(buffer + 2, size - 2u, 1, f) != 1)
            fail("records", "cut short");
        memcpy(buffer, &size, 2);
        memcpy(&r->head, buffer, sizeof r->head);
        if (r->head.vector != 0xff)
            memcpy(&r->error, buffer + sizeof r->head, 4);
        r->bytes = memcpy(allocate(NULL, size), buffer, size);
    }
}

static bool same_kind(const struct record *a, const struct record *b)
{
    return a->head.vector == b->head.vector && a->error == b->error && a->head.flags == b->head.flags;
}

/* Keeps `want` of the records from `first` on, or all if there are no more. */
static void pick(uint32_t first, uint32_t want)
{
    uint32_t n = 0, left = want, others = 0, at = 0;

    for (uint32_t i = first; i; i = records[i - 1].next, n++) {
        struct record *r = &records[i - 1];
        bool new = true;

        for (uint32_t j = first; new && j != i; j = records[j - 1].next)
            new = !same_kind(&records[j - 1], r);
        if (new && left) {
            r->kept = true;
            left--;
        }
    }
    others = n - (want - left);
    for (uint32_t i = first; i; i = records[i - 1].next) {
        struct record *r = &records[i - 1];

        if (r->kept)
            continue;
        /* Bresenham's way of spreading `left` among `others`. */
        r->kept = (uint64_t)(at + 1) * left / (others ? others : 1) > (uint64_t)at * left / (others ? others : 1) ||
                  left >= others;
        at++;
    }
}

static struct kept *kept_of(uint32_t form)
{
    for (unsigned i = 0; i < kept_count; i++)
        if (kept[i].form == form)
            return &kept[i];
    if (kept_count == MAX_FORMS)
        fail("forms", "too many");
    kept[kept_count].form = form;
    return &kept[kept_count++];
}

static bool is_left_out(uint32_t form)
{
    for (unsigned i = 0; i < left_out_count; i++)
        if (left_out[i] == form)
            return true;
    return false;
}

static void leave_out(const char *folder, const char *mode)
{
    char path[1024], line[512];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s-forms.tsv", folder, mode);
    f = fopen(path, "r");
    if (!f)
        fail(path, strerror(errno));
    while (fgets(line, sizeof line, f) && left_out_count < MAX_FORMS)
        left_out[left_out_count++] = (uint32_t)strtoul(line, NULL, 16);
    fclose(f);
}

static void pick_all(uint32_t want)
{
    uint32_t *first = allocate(NULL, (record_count + 1ull) * sizeof *first);
    uint32_t *last = allocate(NULL, (record_count + 1ull) * sizeof *last);
    uint32_t forms = 0;

    for (uint32_t i = 0; i < record_count; i++) {
        uint32_t f = 0;

        if (!records[i].head.form || is_left_out(records[i].head.form)) {
            records[i].kept = !records[i].head.form && !left_out_count;
            continue;
        }
        /* The newest form first: captures have a form's records together. */
        for (f = forms; f && records[first[f - 1] - 1].head.form != records[i].head.form; f--)
            ;
        if (f) {
            records[last[f - 1] - 1].next = i + 1;
            last[f - 1] = i + 1;
        } else {
            first[forms] = last[forms] = i + 1;
            forms++;
        }
    }
    for (uint32_t f = 0; f < forms; f++)
        pick(first[f], want);
    free(first);
    free(last);
}

static uint32_t count_kept(void)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < record_count; i++) {
        struct kept *k;

        if (!records[i].kept)
            continue;
        n++;
        k = kept_of(records[i].head.form);
        k->records++;
        k->faults += records[i].head.vector != 0xff;
    }
    return n;
}

/* What stands before the records is copied as it is, but for their count. */
static void thin(const char *path, const char *to, uint32_t want)
{
    static uint8_t before[1 << 16];
    static swv_file f;
    FILE *in = pipe_to("exec zstd -dcq '%s'", path, "r"), *out;
    size_t size;

    if (swv_open(&f, in))
        fail(path, "not a file of vectors");
    pclose(in);
    size = sizeof f.h + sizeof f.seg + f.h.nregion * sizeof *f.region + f.h.ndesc * sizeof *f.desc;
    in = pipe_to("exec zstd -dcq '%s'", path, "r");
    if (fread(before, size, 1, in) != 1)
        fail(path, "cut short");
    for (int i = 0; i < f.h.nbase; i++) {
        int id = fgetc(in);

        if (id < 0 || id >= SWV_NREG || size + 1 + (size_t)swv_reg_size(id) > sizeof before)
            fail(path, "no base state");
        before[size] = (uint8_t)id;
        if (fread(before + size + 1, (size_t)swv_reg_size(id), 1, in) != 1)
            fail(path, "cut short");
        size += 1 + (size_t)swv_reg_size(id);
    }
    read_records(in, f.h.nrec);
    pclose(in);

    pick_all(want);
    f.h.nrec = count_kept();
    memcpy(before, &f.h, sizeof f.h);
    out = pipe_to("exec zstd -19 --long=24 -qf -o '%s'", to, "w");
    fwrite(before, size, 1, out);
    for (uint32_t i = 0; i < record_count; i++) {
        if (records[i].kept)
            fwrite(records[i].bytes, records[i].head.size, 1, out);
        free(records[i].bytes);
    }
    if (pclose(out))
        fail(to, "zstd failed");
    if (!f.h.nrec)
        remove(to);
    printf("%s: %u of %u records\n", to, f.h.nrec, record_count);
}

/* The lines of FROM whose form has records here, with what is left of them. */
static void thin_forms(const char *from, const char *to)
{
    char line[512];
    FILE *in = fopen(from, "r"), *out = fopen(to, "w");

    if (!in || !out)
        fail(in ? to : from, strerror(errno));
    while (fgets(line, sizeof line, in)) {
        char *end = NULL;
        uint32_t form = (uint32_t)strtoul(line, &end, 16);
        char *tab = line;

        if (!strncmp(line, "form\t", 5)) {
            fputs(line, out);
            continue;
        }
        for (int i = 0; i < 5 && tab; i++)
            tab = strchr(tab + 1, '\t');
        if (!tab || *end != '\t')
            fail(from, "a line that isn't one of a form");
        for (unsigned i = 0; i < kept_count; i++)
            if (kept[i].form == form)
                fprintf(out, "%.*s\t%u\t%u\n", (int)(tab - line), line, kept[i].records, kept[i].faults);
    }
    fclose(in);
    if (fclose(out))
        fail(to, strerror(errno));
}

int main(int argc, char **argv)
{
    static const char *const modes[] = {"64", "32", "16"};

    int options = 0;

    while (2 * options + 1 < argc && !strcmp(argv[2 * options + 1], "-x"))
        options++;
    if (argc - 2 * options < 4) {
        fprintf(stderr, "usage: thin [-x OTHER]... FOLDER RECORDS MODE-FAMILY.swv.zst... [RECORDS MODE-FAMILY.swv.zst...]...\n");
        return 2;
    }
    for (int m = 0; m < 3; m++) {
        char from[1024] = "", to[1024];
        long want = 0;

        kept_count = left_out_count = 0;
        memset(kept, 0, sizeof kept);
        for (int i = 0; i < options; i++)
            leave_out(argv[2 * i + 2], modes[m]);
        for (int i = 2 * options + 2; i < argc; i++) {
            const char *slash = strrchr(argv[i], '/'), *name = slash ? slash + 1 : argv[i];

            if (!argv[i][strspn(argv[i], "0123456789")]) {
                want = strtol(argv[i], NULL, 10);
                continue;
            }
            if (want <= 0)
                fail(argv[i], "how many records of each form? Say it before");
            if (strncmp(name, modes[m], 2))
                continue;
            snprintf(to, sizeof to, "%s/%s", argv[2 * options + 1], name);
            snprintf(from, sizeof from, "%.*s%s-forms.tsv", (int)(name - argv[i]), argv[i], modes[m]);
            thin(argv[i], to, (uint32_t)want);
        }
        snprintf(to, sizeof to, "%s/%s-forms.tsv", argv[2 * options + 1], modes[m]);
        if (*from)
            thin_forms(from, to);
    }
    free(records);
    return 0;
}
