# Part of the Makefile: the readers under clang's libFuzzer with its sanitizers, and what has threads under gcc's thread
# sanitizer; the rest of the program is linked as it was built.
CLANG      ?= clang
FUZZ_FILES := $(filter-out tests/fuzz/fuzzer.c,$(wildcard tests/fuzz/*.c))
FUZZ_PARTS := $(FUZZ_FILES:%.c=$(BUILD)/%.o)
FUZZED     := $(filter-out src/data/prepare/cache.c src/data/batches/%,$(filter base/% lua/% engine/safetensors.c engine/checkpoint.c \
                engine/params.c engine/graph.c src/data/% src/store/% src/report/% $(addprefix src/train/,training.c course.c config_sound.c),$(LIB_SOURCES)))
# clang 14 knows _Float16 by its older name, and converts none.
FUZZ_FLAGS  = -std=gnu17 -w -O1 -g -fno-omit-frame-pointer -I. -D_Float16=__fp16 -DLUA_MILLIONS=2 -DLUA_MIB=32 \
              $(PACKAGE_FLAGS) -idirafter $(shell $(CC) -print-file-name=include)
FUZZ_CHECKS = -fsanitize=address,undefined -fno-sanitize-recover=undefined

$(BUILD)/tests/test_corpora: $(FUZZ_PARTS)

$(BUILD)/fuzz/%.o: %.c
	@mkdir -p $(@D)
	@echo '  CLANG $@'
	$(Q)$(CLANG) $(FUZZ_FLAGS) $(FUZZ_CHECKS) -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@
$(BUILD)/fuzz/fuzzer: $(FUZZED:%.c=$(BUILD)/fuzz/%.o) $(FUZZ_FILES:%.c=$(BUILD)/fuzz/%.o) $(BUILD)/fuzz/tests/fuzz/fuzzer.o \
  $(filter-out $(FUZZED:%.c=$(BUILD)/%.o),$(LIB_OBJECTS))
	@echo '  LD $@'
	$(Q)$(CLANG) $(FUZZ_CHECKS) -fsanitize=fuzzer $(filter %.o,$^) $(LDFLAGS) -lcmocka $(LIBS) -lgomp -lstdc++ -o $@

# Of every target.
FUZZ_SECONDS ?= 60

# Of OpenMP's own threads gcc's sanitizer sees no order: there is one.
THREADED     := $(filter base/% src/store/% src/data/batches/%,$(LIB_SOURCES))
TSAN_TESTS   := test_loader test_store test_tries test_store_threads
$(BUILD)/tsan/%.o: %.c $(BUILD)/setting.cc
	@mkdir -p $(@D)
	@echo '  CC $@'
	$(Q)$(CC) $(filter-out -fopenmp,$(ALL_CFLAGS)) -Wno-tsan -O1 -g -fsanitize=thread -MMD -MP -c $< -o $@
$(BUILD)/tsan/tests/%: $(BUILD)/tsan/tests/%.o $(THREADED:%.c=$(BUILD)/tsan/%.o) $(filter-out $(THREADED:%.c=$(BUILD)/%.o),$(LIB_OBJECTS))
	@echo '  LD $@'
	$(Q)$(CC) -fsanitize=thread $(filter %.o,$^) $(LDFLAGS) -lcmocka $(LIBS) -lgomp -lstdc++ -o $@
