/* SPDX-License-Identifier: MIT */
/* The subcommand `softwhp replay`: files of vectors, what of them the profile has, and what came of it. */
#include "replay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "options.h"

const char replay_help[] =
    "usage: softwhp replay [OPTION]... FILE...\n"
    "\n"
    "Replays hardware vectors: states before and after single instructions, captured from a processor.\n"
    "FILE is MODE-FAMILY.swv or MODE-FAMILY.swv.zst; MODE-forms.tsv beside it names the instructions.\n"
    "\n"
    "  --list                 what is in the files, a line per mnemonic; plays nothing\n"
    "  --only MNEMONIC        these records alone\n"
    "  --undefined POLICY     what the manuals leave undefined becomes hardware, zero or seeded (hardware). What the\n"
    "                         records mark as undefined isn't compared; with zero it has to be zero\n"
    "  -v                     what differs, for the first two records of each form\n"
    "\n"
    "Prints a line per mnemonic that fails, with how, and `N passed, N failed[, N skipped]` last.\n"
    "Status: 0 all passed, 2 wrong usage or a bad file, 4 some failed, 6 the host lacks something.\n";

enum { FORMS = 16384, EXTENSIONS = 128, TOLD = 2 };

struct form {
    uint32_t id;
    char mnemonic[24], encoding[64], extension[32];
    bool is_ours;
    uint32_t records, failed;
};

/* By how they differ: judge_kind()'s words. */
static const char *const kinds[] = {"fault", "flags", "result", "memory"};
enum { KINDS = sizeof kinds / sizeof *kinds };

struct failure {
    char mnemonic[24];
    uint32_t failed, by_kind[KINDS], first;
    struct failure *next;
};

struct replay {
    struct stage stage;
    struct problem *problem;
    const char *only, *path;
    bool lists, verbose;
    SWHP_UNDEFINED_RESULTS undefined;
    struct form form[FORMS];
    unsigned forms;
    char extension[EXTENSIONS][32]; /* that the profile has */
    unsigned extensions;
    struct failure *failures;
    unsigned long passed, failed, skipped;
    struct {
        char extension[32];
        unsigned long records;
    } lacking[64]; /* why records were skipped */
    unsigned lacks;
    swv_file file;
    swv_vec record;
};

/* ---- what the forms are ---- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* They come sorted by extension. */
static VOID CALLBACK note_extension(VOID *context, const SWHP_INSTRUCTION *instruction)
{
    struct replay *r = context;
    char(*extension)[32] = &r->extension[r->extensions];

    if (r->extensions < EXTENSIONS && (!r->extensions || strcmp(extension[-1], instruction->Extension)))
        snprintf(r->extension[r->extensions++], sizeof *extension, "%s", instruction->Extension);
}

/* "UD" is what no processor has: that it faults is ours to show. */
static bool is_ours(struct replay *r, const char *extension)
{
    if (!r->extensions) /* a second's work, for files whose forms are known */
        SwhpListInstructions(note_extension, r);
    for (unsigned i = 0; i < r->extensions; i++)
        if (!strcmp(r->extension[i], extension))
            return true;
    return !strcmp(extension, "UD");
}

static void read_forms(struct replay *r)
{
    char path[4096], line[512];
    int folder = (int)(base_name(r->path) - r->path);
    FILE *f;

    r->forms = 0;
    snprintf(path, sizeof path, "%.*s%d-forms.tsv", folder, r->path, r->file.h.mode);
    f = fopen(path, "r");
    if (!f) {
        fprintf(stderr, "softwhp: %s: %s; instructions have numbers instead of names\n", path, strerror(errno));
        return;
    }
    while (r->forms < FORMS && fgets(line, sizeof line, f)) {
        struct form *m = &r->form[r->forms];

        memset(m, 0, sizeof *m);
        if (sscanf(line, "%x\t%*[^\t]\t%23[^\t]\t%63[^\t]\t%31[^\t\n]", &m->id, m->mnemonic, m->encoding, m->extension) == 4) {
            m->is_ours = is_ours(r, m->extension);
            r->forms++;
        }
    }
    fclose(f);
}

static struct form *form_of(struct replay *r, uint32_t id)
{
    for (unsigned i = 0; i < r->forms; i++)
        if (r->form[i].id == id)
            return &r->form[i];
    if (r->forms == FORMS)
        r->forms--;

    struct form *m = &r->form[r->forms++];

    memset(m, 0, sizeof *m);
    m->id = id;
    snprintf(m->mnemonic, sizeof m->mnemonic, "form-%08x", id);
    snprintf(m->extension, sizeof m->extension, "%.16s", r->file.h.family);
    m->is_ours = strncmp(r->file.h.family, "avx512", sizeof r->file.h.family) != 0;
    return m;
}

/* ---- what comes out ---- */

static void skip(struct replay *r, const struct form *form)
{
    unsigned i = 0;

    r->skipped++;
    while (i < r->lacks && strcmp(r->lacking[i].extension, form->extension))
        i++;
    if (i == sizeof r->lacking / sizeof *r->lacking)
        return;
    if (i == r->lacks)
        snprintf(r->lacking[r->lacks++].extension, sizeof r->lacking[i].extension, "%s", form->extension);
    r->lacking[i].records++;
}

static void note_failure(struct replay *r, const struct form *form, const char *kind, uint32_t number)
{
    struct failure **at = &r->failures, *f;

    r->failed++;
    while (*at && strcmp((*at)->mnemonic, form->mnemonic))
        at = &(*at)->next;
    f = *at;
    if (!f) {
        *at = f = calloc(1, sizeof *f);
        if (!f)
            return;
        snprintf(f->mnemonic, sizeof f->mnemonic, "%s", form->mnemonic);
        f->first = number;
    }
    f->failed++;
    for (unsigned i = 0; i < KINDS; i++)
        f->by_kind[i] += !strcmp(kinds[i], kind);
}

static void tell(struct replay *r, const struct form *form, const struct outcome *o, const swv_state *got, uint32_t number)
{
    printf("%s: record %u: %s %s (%s), bytes", base_name(r->path), number, form->mnemonic, form->encoding, form->extension);
    for (int i = 0; i < r->record.h.ilen; i++)
        printf(" %02x", r->record.code[i]);
    putchar('\n');
    judge_tell(&r->stage, &r->file, &r->record, o, got, stdout);
}

static bool play(struct replay *r, uint32_t number)
{
    struct form *form = form_of(r, r->record.h.form);
    struct outcome o;
    swv_state got;
    const char *kind;

    form->records++;
    if (r->lists || (r->only && strcmp(r->only, form->mnemonic)))
        return true;
    if (!form->is_ours) {
        skip(r, form);
        return true;
    }
    if (!stage_play(&r->stage, &r->file, &r->record, &o, &got))
        return problem_is(r->problem, STATUS_BADLY, "%s: record %u, %s: %.500s", r->path, number, form->mnemonic,
                          r->stage.problem.text);
    kind = judge_kind(&r->stage, &r->file, &r->record, &o, &got);
    if (!kind) {
        r->passed++;
        return true;
    }
    note_failure(r, form, kind, number);
    if (r->verbose && form->failed++ < TOLD)
        tell(r, form, &o, &got, number);
    return true;
}

static void report_file(struct replay *r)
{
    for (struct failure *f = r->failures, *after; f; f = after) {
        printf("%s: %s: %u failed, by", base_name(r->path), f->mnemonic, f->failed);
        for (unsigned i = 0; i < KINDS; i++)
            if (f->by_kind[i])
                printf(" %s %u", kinds[i], f->by_kind[i]);
        printf("; the first is record %u\n", f->first);
        after = f->next;
        free(f);
    }
    r->failures = NULL;
}

static int by_mnemonic(const void *a, const void *b)
{
    return strcmp(((const struct form *)a)->mnemonic, ((const struct form *)b)->mnemonic);
}

static void list_file(struct replay *r)
{
    qsort(r->form, r->forms, sizeof *r->form, by_mnemonic);
    for (unsigned i = 0, after; i < r->forms; i = after) {
        uint32_t records = 0, forms = 0;

        for (after = i; after < r->forms && !by_mnemonic(&r->form[i], &r->form[after]); after++) {
            records += r->form[after].records;
            forms += r->form[after].records != 0;
        }
        if (records && (!r->only || !strcmp(r->only, r->form[i].mnemonic)))
            printf("%s\t%s\t%s\t%u forms\t%u records\n", base_name(r->path), r->form[i].mnemonic, r->form[i].extension, forms,
                   records);
    }
}

/* ---- files ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n >= m && !strcmp(text + n - m, end);
}

/* The file as a stream, through zstd where its name says so. */
static FILE *open_file(struct replay *r, pid_t *child)
{
    int ends[2], fd = open(r->path, O_RDONLY | O_CLOEXEC);

    *child = 0;
    if (fd < 0) {
        problem_is(r->problem, STATUS_USAGE, "%s: %s", r->path, strerror(errno));
        return NULL;
    }
    if (!ends_with(r->path, ".zst"))
        return fdopen(fd, "r");
    if (pipe(ends) == 0 && (*child = fork()) == 0) {
        dup2(fd, STDIN_FILENO);
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execlp("zstd", "zstd", "-dcq", (char *)NULL);
        _exit(127);
    }
    close(fd);
    close(ends[1]);
    return *child > 0 ? fdopen(ends[0], "r") : NULL;
}

/* How zstd ended; true where it did well, or was cut short by us. */
static bool child_did_well(struct replay *r, pid_t child, bool is_whole)
{
    int status = 0;

    if (child <= 0)
        return true;
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return problem_is(r->problem, STATUS_HOST, "%s: there is no zstd to unpack it; Debian's package is zstd", r->path);
    if (is_whole && (!WIFEXITED(status) || WEXITSTATUS(status)))
        return problem_is(r->problem, STATUS_USAGE, "%s: zstd can't unpack it", r->path);
    return true;
}

static bool play_records(struct replay *r)
{
    bool shows = isatty(STDERR_FILENO) && !r->lists;
    uint32_t n = 0;
    int more;

    while ((more = swv_next(&r->file, &r->record)) == 1) {
        if (!play(r, n++))
            return false;
        if (shows && n % 8192 == 0)
            fprintf(stderr, "\r%s: %u of %u", base_name(r->path), n, r->file.h.nrec);
    }
    if (shows)
        fprintf(stderr, "\r\033[K");
    if (more < 0)
        return problem_is(r->problem, STATUS_USAGE, "%s: record %u is damaged", r->path, n);
    if (n != r->file.h.nrec)
        return problem_is(r->problem, STATUS_USAGE, "%s: it ends after %u of %u records", r->path, n, r->file.h.nrec);
    return true;
}

static bool play_file(struct replay *r)
{
    pid_t child;
    FILE *f = open_file(r, &child);
    bool well;

    if (!f)
        return r->problem->text[0] ? false : problem_is(r->problem, STATUS_HOST, "%s: %s", r->path, strerror(errno));
    if (swv_open(&r->file, f)) {
        fclose(f);
        return child_did_well(r, child, false) &&
               problem_is(r->problem, STATUS_USAGE, "%s: no file of vectors, or one of another version", r->path);
    }
    read_forms(r);
    well = stage_set(&r->stage, &r->file) ||
           problem_is(r->problem, STATUS_USAGE, "%s: %.500s", r->path, r->stage.problem.text);
    well = well && play_records(r);
    fclose(f);
    if (r->lists)
        list_file(r);
    report_file(r);
    return child_did_well(r, child, well) && well;
}

static bool read_options(struct replay *r, int count, char **words, int *first)
{
    int i = 0;

    for (; i < count && words[i][0] == '-'; i++) {
        if (!strcmp(words[i], "-v"))
            r->verbose = true;
        else if (!strcmp(words[i], "--list"))
            r->lists = true;
        else if (!strcmp(words[i], "--only") && i + 1 < count)
            r->only = words[++i];
        else if (!strcmp(words[i], "--only"))
            return problem_is(r->problem, STATUS_USAGE, "--only wants a mnemonic");
        else if (!strcmp(words[i], "--undefined") && i + 1 < count && options_undefined(words[i + 1], &r->undefined))
            i++;
        else if (!strcmp(words[i], "--undefined"))
            return problem_is(r->problem, STATUS_USAGE, "--undefined wants " OPTIONS_UNDEFINED);
        else
            return problem_is(r->problem, STATUS_USAGE, "replay knows no option %s; see softwhp replay --help", words[i]);
    }
    *first = i;
    return i < count || problem_is(r->problem, STATUS_USAGE, "replay wants a file of vectors; see softwhp replay --help");
}

static void report(const struct replay *r)
{
    for (unsigned i = 0; i < r->lacks; i++)
        printf("%lu skipped: the profile has no %s\n", r->lacking[i].records, r->lacking[i].extension);
    printf("%lu passed, %lu failed", r->passed, r->failed);
    if (r->skipped)
        printf(", %lu skipped", r->skipped);
    putchar('\n');
}

int replay_command(int count, char **words, struct problem *problem)
{
    struct replay *r = calloc(1, sizeof *r);
    bool well = r != NULL;
    int i = 0;

    if (!well)
        problem_is(problem, STATUS_HOST, "the host has no memory");
    else
        r->problem = problem;
    well = well && read_options(r, count, words, &i) && stage_open(&r->stage, r->undefined, problem);
    if (well) {
        for (; i < count && well; i++) {
            r->path = words[i];
            well = play_file(r);
        }
        if (well && !r->lists)
            report(r);
        if (well && r->failed)
            problem->status = STATUS_BADLY;
        stage_close(&r->stage);
    }
    free(r);
    return problem->status;
}
