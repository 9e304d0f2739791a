/* SPDX-License-Identifier: MIT */
/*
 * Every function of the API, what a good call of it answers in each state of a partition, and what each misuse answers.
 * The lists are functions that are walked through: each FUNCTION and ROW among their statements tells of itself, and is
 * carried out when its turn has come. docs/functions.md is written from them too.
 */
#ifndef TESTS_WHP_MISUSE_H
#define TESTS_WHP_MISUSE_H

#include "include/WinHvEmulation.h"
#include "tests/whp/guest.h"

/* ---- the places where calls are tried ---- */

/* States that a partition can be in; calls are about its processor 0. */
enum state {
    STATE_CREATED, /* not set up */
    STATE_SET_UP,  /* without processors */
    STATE_STANDS,  /* processor 0 is there */
    STATE_RUNS,    /* another thread runs it */
    STATE_OTHER,   /* another thread runs processor 1 */
    STATE_INSIDE,  /* in a trace callback, on the thread that runs processor 0 */
    STATE_DELETED,
    STATES
};

/* And an emulator. */
enum { EMULATOR_LIVES, EMULATOR_IN_USE, EMULATOR_DESTROYED, EMULATOR_STATES };

enum {
    SCENE_CONNECTION = 7,
    SCENE_PROCESSORS = 3,
    SCENE_ROOM = 8192,
    SCENE_TRACKED = 0xf000,
    SCENE_MESSAGES = 0x30000,
    SCENE_STUB = 0xffff0
};

struct scene {
    WHV_PARTITION_HANDLE p; /* what calls are about */
    u32 vp;
    WHV_EMULATOR_HANDLE emulator;

    struct guest plain; /* no local APIC; processor 0 of 3 is there, in long mode */
    WHV_PARTITION_HANDLE apic, raw,
        fixed;                         /* with APICs, SynICs and two processors; not set up; set up, nothing in it */
    HANDLE event;                      /* and what hangs on it, from Setup on: */
    WHV_NOTIFICATION_PORT_HANDLE port; /* connection 7, and a doorbell in the hole, for 4 bytes of any value */
    u32 calls;                         /* of the emulator's callbacks */
    void (*meanwhile)(void *context);  /* called in the first of them */
    void *meanwhile_context;

    _Alignas(4096) u8 room[SCENE_ROOM]; /* for whatever the call needs */
    _Alignas(16) u8 out[SCENE_ROOM];    /* full of cc before it */
    u32 written;
};

/* All that rows are about. */
void scene_open(struct scene *s);
void scene_close(struct scene *s);

/* Where messages and events of source 2 are taken; 3 has no interrupt that it may send, 4 a message already. */
void scene_enable_synic(WHV_PARTITION_HANDLE p);

/* One partition, with APICs and SynICs, in s->p. */
void scene_open_in(struct scene *s, enum state state);
void scene_close_in(struct scene *s, enum state state);

/* Runs processor 0 to an OUT; the trace callback calls f. */
void scene_inside(struct scene *s, void (*f)(void *context), void *context);

/* What hangs on the event is still there; takes it away. */
void scene_take_down(struct scene *s);

WHV_EMULATOR_HANDLE scene_emulator(struct scene *s);

/* Has it emulate something, and calls f in a callback. */
void scene_meanwhile(struct scene *s, void (*f)(void *context), void *context);

/* ---- everything that can be seen of a partition from outside ---- */

enum { SURVEY_MOST = 3000 };

struct survey {
    u32 n;
    struct fact {
        const char *what;
        u32 code, vp, answer;
        u64 digest;
    } fact[SURVEY_MOST];
};

/* is_moving: a processor runs, so that what counts its steps is left out. */
void survey_add(struct survey *s, WHV_PARTITION_HANDLE p, bool is_moving);
void survey_same(const struct survey *before, const struct survey *after, const char *row);

/* ---- the lists ---- */

enum { TAKES_NOTHING = 0, TAKES_PARTITION = 1, TAKES_VP = 2, TAKES_EMULATOR = 4 };

struct function {
    const char *name;
    u32 takes;
    const char *answers; /* a letter a state: answer_of() */
    const char *says;    /* what it's for; NULL: it isn't supported */
};

struct row {
    const char *what; /* the misuse */
    HRESULT answer;
    const char *word;   /* in its text: the argument */
    const char *source; /* the reference's section */
};

struct visit {
    void (*see)(struct visit *v, const struct function *f, const struct row *row); /* row NULL: the function itself */
    void *context;
    const struct function *function;
    const struct function *wanted_function; /* to be carried out */
    const struct row *wanted_row;
    bool is_done;
    HRESULT answer;
};

bool visit_function(struct visit *v, const struct function *f);
bool visit_row(struct visit *v, const struct row *row);
void visit_answer(struct visit *v, HRESULT answer);

/* A function, and the arguments of a good call. */
#define FUNCTION(name, takes, answers, says, arguments)                                                                \
    do {                                                                                                               \
        static const struct function function_ = { #name, takes, answers, says };                                      \
        if (visit_function(v, &function_))                                                                             \
            visit_answer(v, name arguments);                                                                           \
    } while (0)

/* A misuse of the function before it. */
#define ROW(what, answer, word, source, call)                                                                          \
    do {                                                                                                               \
        static const struct row row_ = { what, answer, word, source };                                                 \
        if (visit_row(v, &row_))                                                                                       \
            visit_answer(v, call);                                                                                     \
    } while (0)

#define UNSUPPORTED(name, arguments) FUNCTION(name, TAKES_PARTITION, "NNNNNNI", NULL, arguments)

struct chapter {
    const char *title;
    void (*rows)(struct visit *v, struct scene *s);
};
extern const struct chapter chapters[];
extern const unsigned chapter_count;

void partition_rows(struct visit *v, struct scene *s);
void property_rows(struct visit *v, struct scene *s);
void memory_rows(struct visit *v, struct scene *s);
void processor_rows(struct visit *v, struct scene *s);
void register_rows(struct visit *v, struct scene *s);
void state_rows(struct visit *v, struct scene *s);
void interrupt_rows(struct visit *v, struct scene *s);
void event_rows(struct visit *v, struct scene *s);
void port_rows(struct visit *v, struct scene *s);
void device_rows(struct visit *v, struct scene *s);
void emulator_rows(struct visit *v, struct scene *s);
void own_rows(struct visit *v, struct scene *s);

/* All of them, once collect_all() has been called. */
enum { FUNCTIONS_MOST = 160, ROWS_MOST = 1000 };
struct listed_row {
    const struct row *row;
    const struct function *function;
    unsigned chapter;
};
extern const struct function *functions[FUNCTIONS_MOST];
extern unsigned function_chapter[FUNCTIONS_MOST];
extern int function_count;
extern struct listed_row rows[ROWS_MOST];
extern int row_count;
void collect_all(void);

/* A good call of function n; s->p and s->vp may be other ones than such a call would have. */
HRESULT call_function(struct scene *s, int n);

/* What the letters stand for. */
HRESULT answer_of(char letter);

/* The text of the last failure has one of these words (bars between them); before that, has it say something else. */
void forget_text(void);
void check_text(const char *row, const char *words);

TCase *misuse_case(void);
TCase *call_state_case(void);
TCase *functions_page_case(void);

#define HV(code) ((HRESULT)0xC0350000u + (code))
#define NOT_SUPPORTED ((HRESULT)0x80070032u)
#define INVALID_STATE ((HRESULT)0x8007139Fu)

/* The answer of a call, and that it told this size. */
#define TOLD(s, size, call)                                                                                            \
    __extension__({                                                                                                    \
        (s)->written = 0xdeadbeef;                                                                                     \
        HRESULT told_ = (call);                                                                                        \
        ck_assert_msg((s)->written == (size), "the size told is %u, not %u", (s)->written, (u32)(size));               \
        told_;                                                                                                         \
    })

#endif
