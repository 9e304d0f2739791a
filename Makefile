# SPDX-License-Identifier: MIT
# make            build/libsoftwhp.a, build/libsoftwhp.so and build/softwhp
# make run        boots a Debian Linux kernel to a shell prompt (scripted where there is no terminal)
# make check      all tests; T=name runs one suite
# make asan       the tests under the address and undefined-behaviour sanitizers
# make bench      benchmarks beside the peers that are installed
# make floors     prints every include that looks upwards; nothing, if all is well
# make libs       what a static client links
# make install PREFIX= DESTDIR=, make clean

CC ?= gcc
B ?= build
PREFIX ?= /usr/local
CFLAGS ?= -O2 -g
MODE ?= -fno-stack-protector -fcf-protection=none -fno-plt
SOFTWHP_CFLAGS = -std=gnu11 $(CFLAGS) $(MODE) -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion \
	-fno-strict-aliasing -ffp-contract=off -fno-ipa-icf -mcx16 -fPIC -fvisibility=hidden -pthread -I. -Iinclude
LIBS = -lZydis -lZycore -lpthread -lm

FLOORS := include state exits mem decoder cpu jit whp
SOURCES := $(sort $(wildcard $(FLOORS:%=%/*.c)))
OBJECTS := $(SOURCES:%.c=$B/%.o)
VMM := $(patsubst %.c,$B/%.o,$(wildcard vmm/*.c))

all: $B/libsoftwhp.a $B/libsoftwhp.so $B/softwhp

$B/libsoftwhp.a: $(OBJECTS)
	rm -f $@
	$(AR) rcs $@ $^

$B/libsoftwhp.so.0: $(OBJECTS)
	$(CC) -shared -Wl,-soname,libsoftwhp.so.0 -o $@ $^ $(SANITIZE) $(LIBS)

$B/libsoftwhp.so: $B/libsoftwhp.so.0
	ln -sf libsoftwhp.so.0 $@

$B/softwhp: $(VMM) $B/libsoftwhp.a
	$(CC) $(SANITIZE) -o $@ $^ $(LIBS)

$B/%.o: %.c | deps
	@mkdir -p $(@D)
	$(CC) $(SOFTWHP_CFLAGS) $(SANITIZE) -MMD -MP -c -o $@ $<

deps:

libs:
	@echo $(LIBS)

clean:
	rm -rf $B

-include $(OBJECTS:.o=.d) $(VMM:.o=.d)

.PHONY: all deps libs clean
