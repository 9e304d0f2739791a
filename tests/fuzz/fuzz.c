/* SPDX-License-Identifier: MIT */
/*
 * The differential fuzzer: random sequences of instructions, on softwhp in several ways and on the host's own processor. What
 * differs is made small and printed in one line. docs/fuzzing.md.
 *
 * usage: fuzz [--count N] [--seed S] [--mode 64|32|16] [--shard I/N] [--verbose]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fuzz/shrink.h"

enum { PATIENCE = 60 }; /* seconds for one sequence, shrinking included */

struct campaign {
    u64 count, seed, shard, shards;
    unsigned mode;
    bool is_verbose, shows;
};

/* What the process that runs sequences tells the one that watches it. */
struct shared {
    u64 next;      /* the sequence under way, counted from 0 */
    u64 different;
};

static _Noreturn void usage(const char *why)
{
    fprintf(stderr, "fuzz: %s\nusage: fuzz [--count N] [--seed S] [--mode 64|32|16] [--shard I/N] [--verbose]\n", why);
    exit(2);
}

static u64 number(const char *text)
{
    char *end;
    u64 v;

    errno = 0;
    v = strtoull(text, &end, 0);
    if (errno || end == text || *end || *text == '-')
        usage("that is no number");
    return v;
}

static void read_options(struct campaign *c, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        bool has_value = i + 1 < argc;

        if (!strcmp(argv[i], "--verbose")) {
            c->is_verbose = true;
        } else if (!strcmp(argv[i], "--count") && has_value) {
            c->count = number(argv[++i]);
        } else if (!strcmp(argv[i], "--seed") && has_value) {
            c->seed = number(argv[++i]);
        } else if (!strcmp(argv[i], "--mode") && has_value) {
            c->mode = (unsigned)number(argv[++i]);
            if (c->mode != 64 && c->mode != 32 && c->mode != 16)
                usage("--mode wants 64, 32 or 16");
        } else if (!strcmp(argv[i], "--shard") && has_value) {
            char *slash = strchr(argv[++i], '/');

            if (!slash)
                usage("--shard wants I/N, such as 1/8");
            *slash = 0;
            c->shard = number(argv[i]);
            c->shards = number(slash + 1);
            if (c->shard < 1 || c->shard > c->shards)
                usage("--shard wants I/N with I from 1 to N");
        } else {
            usage(argv[i]);
        }
    }
}

/* The sequences of a shard are every Nth. */
static u64 in_all(const struct campaign *c)
{
    return c->count / c->shards + (c->shard <= c->count % c->shards);
}

static u64 seed_of(const struct campaign *c, u64 n)
{
    return c->seed + c->shard - 1 + n * c->shards;
}

static void run(const struct campaign *c, struct shared *shared)
{
    struct bench *b = bench_open();

    for (; shared->next < in_all(c); shared->next++) {
        struct sequence s;

        alarm(PATIENCE);
        sequence_generate(&s, seed_of(c, shared->next), c->mode);
        for (unsigned round = 0; round < ROUNDS; round++) {
            const char *what;

            sequence_start(&s, round);
            what = bench_compare(b, &s, !c->is_verbose);
            if (what) {
                shared->different++;
                shrink(b, &s);
                print_line(b, &s, what);
                break;
            }
        }
        if (c->shows && shared->next % 256 == 0)
            fprintf(stderr, "\r%llu of %llu, %llu different", (unsigned long long)shared->next,
                    (unsigned long long)in_all(c), (unsigned long long)shared->different);
    }
    bench_close(b);
}

/* A sequence that crashes or hangs either side is one that differs, and the next one goes on in a new process. */
static void watch(const struct campaign *c, struct shared *shared)
{
    while (shared->next < in_all(c)) {
        int status;
        pid_t child;

        fflush(NULL);
        child = fork();
        if (child < 0) {
            perror("fuzz: fork");
            exit(6);
        }
        if (child == 0) {
            run(c, shared);
            exit(0);
        }
        waitpid(child, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            continue;
        printf("seed %llu: %s %d\n", (unsigned long long)seed_of(c, shared->next),
               WIFSIGNALED(status) ? "ends by signal" : "ends with status",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        shared->different++;
        shared->next++;
    }
}

int main(int argc, char **argv)
{
    struct campaign c = { .count = 10000, .seed = 1, .mode = 64, .shard = 1, .shards = 1,
                          .shows = isatty(STDERR_FILENO) };
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED) {
        perror("fuzz");
        return 6;
    }
    read_options(&c, argc, argv);
    watch(&c, shared);
    if (c.shows)
        fprintf(stderr, "\r\033[K");
    printf("%llu sequences, %llu different\n", (unsigned long long)in_all(&c), (unsigned long long)shared->different);
    return shared->different != 0;
}
