# SPDX-License-Identifier: MIT
# make            build/libsoftwhp.a, build/libsoftwhp.so and build/softwhp
# make run        boots a Debian Linux kernel to a shell prompt (scripted where there is no terminal); KERNEL=FILE
# make check      all tests; T=NAME runs one: a suite, a case, or a test that tests/run.sh names
# make guests     Debian's firmware and small systems, the long ones too; the quick ones are in make check
# make asan       the tests under the address and undefined-behaviour sanitizers
# make tsan       what runs on several threads under the thread sanitizer; STRESS=seconds of each stress, TSAN=suites
# make bench      benchmarks beside the peers that are installed; BENCH="--rounds 1 alu" as bench/bench.py takes it
# make vectors    captures hardware vectors on this machine's processor: OUT=build/vectors SEED=1 PERCENT=100
# make fuzz       random sequences against this machine's processor: FUZZ="--count 10000 --seed 1", docs/fuzzing.md
# make docs       writes docs/functions.md from the tests' lists
# make floors     prints every include that looks upwards or at the host's system; nothing, if all is well
# make windows-syntax compiles the floors for Windows, by mingw-w64
# make libs       what a static client links
# make install PREFIX= DESTDIR=
# make clean      all that was built; what was downloaded for guests stays

OBJCOPY ?= objcopy
B ?= build
GUESTS ?= build/guests
PREFIX ?= /usr/local
OUT ?= $B/vectors
SEED ?= 1
PERCENT ?= 100
CFLAGS ?= -O2 -g
X86 := $(filter x86_64-%,$(shell $(CC) -dumpmachine))
MODE ?= -fno-stack-protector $(if $(X86),-fcf-protection=none) -fno-plt
SOFTWHP_CFLAGS = -std=gnu11 $(CFLAGS) $(MODE) -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion \
	-fno-strict-aliasing -ffp-contract=off -fno-ipa-icf $(if $(X86),-mcx16) -fPIC -fvisibility=hidden -pthread -I. -Iinclude
LIBS = -lZydis -lZycore -lmpfr -lgmp -lpthread -lm

FLOORS := include state exits mem decoder cpu jit whp
HEADERS := WinHvPlatform.h WinHvPlatformDefs.h WinHvEmulation.h softwhp.h
OBJECTS := $(patsubst %.c,$B/%.o,$(sort $(wildcard $(FLOORS:%=%/*.c))))
VMM := $(patsubst %.c,$B/%.o,$(wildcard vmm/*.c))
VMM_TESTS := $(wildcard tests/vmm/*.c)
FUZZ_SOURCES := $(wildcard tests/fuzz/*.c) $(patsubst %,tests/cpu/%.c,compare generate flow start forms special states \
    anything segments excursions layout native emulated)
FLOOR_TESTS := $(filter-out $(VMM_TESTS) tests/vectors/% tests/fuzz/% tests/include/%,$(wildcard tests/*/*.c))
TESTS := $(patsubst %.c,$B/%.o,$(FLOOR_TESTS) $(VMM_TESTS))
PROGRAMS := $(patsubst %.c,$B/%.o,$(wildcard tests/fuzz/*.c)) $B/tests/vectors/thin.o $B/bench/exits.o $B/bench/mappings.o

all: $B/libsoftwhp.a $B/libsoftwhp.so $B/softwhp

# One object, in which our own names are local: a client may have a walk() or a decode() too.
$B/libsoftwhp.a: $(OBJECTS)
	$(CC) -r -nostdlib -o $B/libsoftwhp.o $^
	$(OBJCOPY) --localize-hidden $B/libsoftwhp.o
	rm -f $@
	$(AR) rcs $@ $B/libsoftwhp.o

$B/libsoftwhp.so.0: $(OBJECTS) packaging/libsoftwhp.map
	$(CC) -shared -Wl,-soname,libsoftwhp.so.0 -Wl,--version-script=packaging/libsoftwhp.map -o $@ $(OBJECTS) \
		$(SANITIZE) $(LIBS)

$B/libsoftwhp.so: $B/libsoftwhp.so.0
	ln -sf libsoftwhp.so.0 $@

$B/softwhp: $(VMM) $B/libsoftwhp.a
	$(CC) $(SANITIZE) -o $@ $^ $(LIBS)

# The same with the portable floating-point unit in place of the host's: only these files know the difference.
FP := $(shell grep -lE '"cpu/(fp_unit|fp_native|x87|x87_unit|x87_real|x87_transcend|x87_portable)\.h"' cpu/*.c)
PORTABLE = $(filter-out $(FP:%.c=$B/%.o),$(OBJECTS)) $(FP:%.c=$B/portable/%.o)

$B/portable/softwhp: $(VMM) $(PORTABLE)
$B/portable/fuzz: $(FUZZ_SOURCES:%.c=$B/%.o) $(PORTABLE)
$B/portable/softwhp $B/portable/fuzz:
	$(CC) $(SANITIZE) -o $@ $^ $(LIBS)

$B/portable/%.o: %.c | deps
	@mkdir -p $(@D)
	$(CC) $(SOFTWHP_CFLAGS) $(SANITIZE) -DSWHP_PORTABLE_FP -MMD -MP -c -o $@ $<

$B/%.o: %.c | deps
	@mkdir -p $(@D)
	$(CC) $(SOFTWHP_CFLAGS) $(SANITIZE) -MMD -MP -c -o $@ $<

# How many vectors of tests/vectors each form of an instruction has, for `softwhp isa`.
$B/vmm/cover.inc: $(wildcard tests/vectors/*-forms.tsv tests/vectors/*/*-forms.tsv)
	@mkdir -p $(@D)
	awk -F '\t' '$$6 + 0 { n[$$3 "\", \"" $$4] += $$6 } END { for (k in n) printf "{\"%s\", %d},\n", k, n[k] }' $^ | \
		sed 's/", \([0-9]*\)},$$/", \1},/' | LC_ALL=C sort >$@
$B/vmm/isa.o: $B/vmm/cover.inc
$B/vmm/isa.o: SOFTWHP_CFLAGS += -I$B/vmm

# Tests see all, so they link the objects themselves; those of the VMM link what it does.
$B/tests/suites: $B/tests/suites.o $(FLOOR_TESTS:%.c=$B/%.o) $(OBJECTS)
$B/tests/vmm-suites: $B/tests/vmm-suites.o $(VMM_TESTS:%.c=$B/%.o) $(filter-out $B/vmm/main.o,$(VMM)) $B/libsoftwhp.a
$B/tests/suites $B/tests/vmm-suites:
	$(CC) $(SANITIZE) -o $@ $^ -lcheck -lsubunit -lrt $(LIBS)

$(TESTS): SOFTWHP_CFLAGS += -include tests/marks.h

# A suite is a function NAME_suite(), wherever it stands.
SUITES = $(sort $(shell sed -n 's/^Suite \*\([a-z0-9_]*\)_suite(void)$$/\1/p' $(filter-out %main.c,$^)))
$B/tests/suites.o: $(FLOOR_TESTS)
$B/tests/vmm-suites.o: $(VMM_TESTS)
$B/tests/suites.o $B/tests/vmm-suites.o: tests/main.c | deps
	@mkdir -p $(@D)
	$(CC) $(SOFTWHP_CFLAGS) $(SANITIZE) -DSUITES="$(foreach s,$(SUITES),SUITE($s))" -c -o $@ tests/main.c

$B/tests/thin: $B/tests/vectors/thin.o $B/libsoftwhp.a
	$(CC) $(SANITIZE) -o $@ $^ $(LIBS)

# Vectors of this machine's own processor, for softwhp replay. The handler that swaps states can't have a canary.
$B/generator: $(wildcard tests/vectors/generator/*.[ch]) vmm/swv.h | deps
	@mkdir -p $(@D)
	$(CC) -std=gnu17 -O2 -g -Wall -Wextra -I. -mfsgsbase -fno-stack-protector -o $@ $(filter %.c,$^) -lZydis

$B/fuzz: $(FUZZ_SOURCES:%.c=$B/%.o) $(OBJECTS)
	$(CC) $(SANITIZE) -o $@ $^ $(LIBS)

fuzz: all
	@$(MAKE) -s $B/fuzz
	$B/fuzz $(FUZZ)

vectors: $B/generator
	tests/vectors/generator/capture.sh $B/generator $(OUT) $(SEED) $(PERCENT)

$B/bench/exits $B/bench/mappings: %: %.o $B/libsoftwhp.a
	$(CC) -o $@ $^ $(LIBS)

$B/bench/ucrun: bench/runners/ucrun.c
	$(CC) -O2 -Wall -Wextra -o $@ $< -lunicorn

deps:
	@CC="$(CC)" packaging/deps.sh build

run: all
	@packaging/deps.sh run
	@vmm/guest/boot.sh $B/softwhp $(GUESTS)

check: all
	@CC="$(CC)" packaging/deps.sh check
	+@CC="$(CC)" MAKE="$(MAKE)" GUESTS="$(GUESTS)" SANITIZE="$(SANITIZE)" tests/run.sh $B $(T)

guests: all
	@packaging/deps.sh run
	@GUESTS="$(GUESTS)" tests/vmm/guests.sh $B all

asan:
	@$(MAKE) check B=$B/asan GUESTS=$(GUESTS) CFLAGS="-O1 -g" MODE="-DSWHP_LOOP -fno-omit-frame-pointer" \
		SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=undefined"

# Where the host lays out addresses at random in more bits than the sanitizer's runtime knows, it runs without that.
STRESS ?= 5
TSAN ?= stress smp apic synic doorbell ports clients time turns
tsan:
	@CC="$(CC)" packaging/deps.sh check
	@$(MAKE) -s B=$B/tsan CFLAGS="-O1 -g" MODE="-DSWHP_LOOP -fno-omit-frame-pointer -Wno-tsan" \
		SANITIZE="-fsanitize=thread" $B/tsan/tests/suites
	@plain=$$(setarch $$(uname -m) -R true 2>/dev/null && echo setarch $$(uname -m) -R); for suite in $(TSAN); do \
		STRESS=$(STRESS) CK_TIMEOUT_MULTIPLIER=20 TSAN_OPTIONS="halt_on_error=1 $$TSAN_OPTIONS" \
			$$plain $B/tsan/tests/suites $$suite || exit 1; done

bench: all $B/bench/exits $B/bench/mappings
	@packaging/deps.sh bench
	@$(MAKE) -s -C bench/guests B=$(abspath $B)/bench/guests
	@! echo '#include <unicorn/unicorn.h>' | $(CC) -E -x c - >/dev/null 2>&1 || $(MAKE) -s $B/bench/ucrun
	python3 bench/bench.py $B $(BENCH)
	$B/bench/exits
	$B/bench/mappings

docs: $B/tests/suites
	DOCS=docs/functions.md $B/tests/suites functions-page

floors:
	@tests/floors.sh $(FLOORS)

windows-syntax: all
	+@CC="$(CC)" MAKE="$(MAKE)" tests/windows_syntax.sh $B

windows-objects: $(OBJECTS)

libs:
	@echo $(LIBS)

install: all
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin include lib/pkgconfig)
	install -m 755 $B/softwhp $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(HEADERS:%=include/%) $(DESTDIR)$(PREFIX)/include
	install -m 644 $B/libsoftwhp.a $B/libsoftwhp.so.0 $(DESTDIR)$(PREFIX)/lib
	ln -sf libsoftwhp.so.0 $(DESTDIR)$(PREFIX)/lib/libsoftwhp.so
	sed -e 's|@LIBS@|$(LIBS)|' -e "s|@VERSION@|$$(sed -n 's/^#define SWHP_VERSION "\(.*\)"/\1/p' \
		include/softwhp.h)|" packaging/softwhp.pc.in \
		>$(DESTDIR)$(PREFIX)/lib/pkgconfig/softwhp.pc

clean:
	@[ ! -d $B ] || find $B -mindepth 1 -maxdepth 1 ! -name guests -exec rm -rf {} +

-include $(patsubst %.o,%.d,$(OBJECTS) $(PORTABLE) $(VMM) $(TESTS) $(PROGRAMS))

.PHONY: all deps run check guests asan tsan bench vectors fuzz docs floors windows-syntax windows-objects libs install clean
