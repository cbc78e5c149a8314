# make            build/harness, with CUDA for the card that is here, if one is (CUDA=0: without, CUDA=1: also for others)
# make quickstart install what is missing, build (a minute on two cores), run the main job
# make install    below PREFIX (/usr/local): program, Lua, experiments, pages, completions; DESTDIR; uninstall. deb: a package
# make paper      every experiment, one sweep, results/report.html
# make check      install what the tests need, build (CUDA too where nvcc is), run every test
# make soak       the tests' long forms, hours, and the table of faults; faults: their short forms and that table
# make oracles    fetches what tests/oracle needs and Debian has not, into the build's folder; without it they skip
# make gpu-check  what needs a GPU; gpu-bundle: what a machine with one lacks, in an archive
# make sanitize   the C tests under the sanitizers; memcheck: under valgrind; tsan: what has threads under gcc's thread sanitizer
# make fuzz       each reader a minute under clang's libFuzzer (FUZZ_SECONDS=600, TARGETS='nifti png')
# make aarch64    compiles for that processor, where gcc-aarch64-linux-gnu is installed
# make format     clang-format; size: lines per folder; clean
CC      ?= cc
CXX     ?= g++
CFLAGS  ?= -O3 -g1$(if $(NATIVE), -march=native)
BUILD   ?= build
# What --version says.
RELEASE := 0.2.0
# make V=1 shows the commands
Q       := $(if $(V),,@)
say      = @echo '  $(count)$(if $(filter %.o,$@),CC,LD) $@'
# How far a first build is: [17/262].
count    = $(if $(filter $@,$(MISSING)),$(eval BEGUN += x)[$(words $(BEGUN))/$(words $(MISSING))] )
JOBS    := $(shell nproc 2>/dev/null || echo 2)

# What libraries there are, and where: src/packaging/libraries.
LIBRARIES     := $(foreach v,CC PKG_CONFIG PKG_CONFIG_PATH PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR,$(if $($v),$v='$($v)')) src/packaging/libraries
DEPS          := gcc make pkg-config git gnuplot-nox $(shell src/packaging/libraries packages 2>/dev/null)
DEPS_TEST     := $(DEPS) g++ libcmocka-dev bats valgrind qemu-user clang-format lua-check \
                 python3-torch python3-scipy python3-nibabel
# What a cluster of the tests' own needs: without, tests/slurm.bats is skipped.
DEPS_CLUSTER  := slurmctld slurmd slurm-client munge

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-unknown-pragmas -Werror
# In which folder they were compiled does not stand in objects: two builds are equal to the byte.
ALL_CFLAGS = -std=gnu17 $(WARNINGS) -fopenmp -ffp-contract=fast -fno-math-errno -ffile-prefix-map='$(CURDIR)'=. -I. $(if $(NATIVE),-DNATIVE )\
             $(CPPFLAGS) $(PACKAGE_FLAGS) $(CFLAGS)
PACKAGE_FLAGS := $(strip $(shell $(LIBRARIES) cflags $(CPPFLAGS) 2>/dev/null))
PACKAGE_LIBS  := $(strip $(shell $(LIBRARIES) libs 2>/dev/null))
LIBS = $(PACKAGE_LIBS) -lm $(CUDA_LIBS) $(LDLIBS)

# CUDA: nvcc in PATH or below /usr/local/cuda, cuDNN beside it or at CUDNN_INCLUDE and CUDNN_LIB. Machine code for
# CUDA_ARCH, and PTX of the last one for what comes after it. That takes minutes, so without a word it is made for the
# cards that are here alone: none, no CUDA.
ifeq ($(origin CUDA),undefined)
  CUDA := $(if $(CUDA_ARCH),1,auto)
endif
NVCC      ?= $(firstword $(shell command -v nvcc) $(wildcard /usr/local/cuda/bin/nvcc))
CUDA_HOME ?= $(if $(NVCC),$(patsubst %/bin/,%,$(dir $(realpath $(NVCC)))))
CUDNN_INCLUDE ?= $(CUDA_HOME)/include
CUDNN_LIB     ?= $(CUDA_HOME)/lib64
ifeq ($(NVCC),)
  NO_CUDA := no nvcc found
else ifeq ($(wildcard $(CUDNN_INCLUDE)/cudnn.h),)
  NO_CUDA := no cudnn.h in $(CUDNN_INCLUDE) (CUDNN_INCLUDE, CUDNN_LIB say where)
else ifeq ($(CUDA),auto)
  CARDS := $(shell nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | sed -nE 's/^([89]|[1-9][0-9])\.([0-9])$$/\1\2/p' | sort -nu)
endif
CUDA_ARCH ?= $(or $(CARDS),80 90)
ifeq ($(CUDA),0)
  CPU_ONLY := CUDA=0
else ifneq ($(NO_CUDA),)
  CPU_ONLY := $(NO_CUDA)
else ifeq ($(CUDA)$(CARDS),auto)
  CPU_ONLY := no GPU of compute capability 8.0 or more here (CUDA=1 compiles for sm 80 and 90, CUDA_ARCH=89 for others)
endif
ifneq ($(and $(filter 1,$(CUDA)),$(CPU_ONLY)),)
  $(error CUDA=1, but $(CPU_ONLY))
endif

# The fast sources are compiled once per form (kernels/cpu/form.h), into one object of which only the names *_FORM are to be
# seen; the rest once, for every processor of the architecture. NATIVE=1: one form, and all for this machine (-march=native).
FORMS          := $(if $(NATIVE)$(filter-out x86_64%,$(shell $(CC) -dumpmachine)),native,portable v3 v4)
# What one branch alone needs may be computed for both: else AVX2, which cannot mask a product, has scalar loops.
LOOP_FLAGS     := -fno-trapping-math
FORM_FLAGS_v3  := -march=x86-64-v3 -mtune=znver3
FORM_FLAGS_v4  := -march=x86-64-v4 -mavx512bf16 -mtune=znver3
OBJCOPY        := $(shell $(CC) -print-prog-name=objcopy)
FORMED_LOOPS   := $(wildcard kernels/volumes/normals.c engine/update.c src/machine/fma_peak.c \
                  $(addprefix src/data/,batches/intensity.c batches/patch_read.c metrics/distance.c prepare/resample.c))
FORMED_KERNELS := $(wildcard kernels/*.cpu.c) \
                  $(filter-out $(addprefix kernels/cpu/,processor.c onednn.c sgemm.c matching.c),$(wildcard kernels/cpu/*.c))

# kernels/NAME.c is compiled twice: in float (the portable kernel) and in double (the oracle).
KERNEL_NAMES := $(shell sed -n 's/^OP.\([a-z_0-9]*\).*/\1/p' kernels/ops.def 2>/dev/null)
REFERENCE    := $(KERNEL_NAMES:%=$(BUILD)/kernels/%.f64.o)
LIB_SOURCES  := $(filter-out kernels/cuda/kernel_table.c $(FORMED_KERNELS) $(FORMED_LOOPS),$(wildcard base/*.c kernels/*.c \
                  kernels/cpu/*.c kernels/cuda/*.c kernels/volumes/*.c engine/*.c modules/*.c modules/*/*.c lua/*.c src/data/*/*.c \
                  $(addprefix src/,train/*.c machine/*.c store/*.c statistics/*.c bench/*.c report/*.c cli/*.c)))
FORM_PARTS    = $(patsubst %,$(BUILD)/forms/$(1)/%.o,$(FORMED_LOOPS:%.c=%) \
                  $(if $(filter-out portable,$(1)),$(FORMED_KERNELS:%.c=%) $(KERNEL_NAMES:%=kernels/%)))
FORM_OBJECTS := $(foreach form,$(FORMS),$(if $(call FORM_PARTS,$(form)),$(BUILD)/forms/$(form).o))
OBJECTS      := $(LIB_SOURCES:%.c=$(BUILD)/%.o) $(REFERENCE) $(FORM_OBJECTS)
# Kernels of ours alone (CUDA in ops.def) are also compiled as C++ for the emulator.
OWN_CUDA     := $(shell sed -n 's/^OP.\([a-z_0-9]*\),.*, CUDA.*/\1/p' kernels/ops.def 2>/dev/null)
EMULATED     := $(OWN_CUDA:%=$(BUILD)/emulated/kernels/%.o) $(addprefix $(BUILD)/emulated/,kernels/cuda/emulator.o kernels/cuda/emulator_traffic.o \
                  kernels/cuda/kernel_table.o $(addprefix kernels/volumes/,volume_patches.o slabs.o) engine/optimizer.o tests/emulator_faults.o \
                  tests/library_rows.o tests/image_conv.o)
ifeq ($(CPU_ONLY),)
  OBJECTS    += $(patsubst %.cu,$(BUILD)/%.cu.o,$(wildcard kernels/*.cu kernels/cuda/*.cu kernels/volumes/*.cu engine/*.cu)) $(BUILD)/kernels/cuda/kernel_table.o
  CUDA_LIBS  := -L$(CUDA_HOME)/lib64 -Wl,-rpath,$(CUDA_HOME)/lib64 -L$(CUDNN_LIB) -Wl,-rpath,$(CUDNN_LIB) \
                -lcudart_static -lstdc++ -lpthread -ldl -lrt
endif
PARTS        := $(OBJECTS) $(foreach form,$(FORMS),$(call FORM_PARTS,$(form)))
MISSING      := $(filter-out $(wildcard $(PARTS)),$(PARTS))
BUILT        := $(BUILD)/src/machine/built.o
LIB_OBJECTS  := $(filter-out $(BUILD)/src/cli/main.o,$(OBJECTS))
TESTS        := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/test_*.c))
DRIVERS      := $(addprefix $(BUILD)/tests/,op_driver model_driver update_driver)

.PHONY: all install uninstall deb objects aarch64 paper check oracles gpu-check gpu-bundle soak faults sanitize sanitize-run memcheck quickstart clean deps deps-test size format ALWAYS
all: $(BUILD)/harness
	@echo '  $(if $(CPU_ONLY),CPU only: $(CPU_ONLY),CPU and CUDA for sm $(CUDA_ARCH))'

$(BUILD)/harness: $(OBJECTS) $(BUILD)/setting.link
	$(say)
	$(Q)$(CC) -fopenmp $(LDFLAGS) $(OBJECTS) $(LIBS) -o $@.part && mv -f $@.part $@

# All warnings are errors, in what nvcc compiles and in what the host's compiler does; but a row of a table names the fields
# that it sets, and C++ would warn of the others.
GENCODE    = $(foreach a,$(CUDA_ARCH),-gencode arch=compute_$a,code=sm_$a) \
             -gencode arch=compute_$(lastword $(CUDA_ARCH)),code=compute_$(lastword $(CUDA_ARCH))
NVCC_FLAGS = -std=c++17 -O3 -lineinfo --Werror all-warnings -Xcompiler -Wall,-Wextra,-Wno-missing-field-initializers,-Werror $(GENCODE) \
             -I. -isystem $(CUDNN_INCLUDE) $(CPPFLAGS)
CXX_FLAGS = -std=gnu++17 -O2 -g -Wall -Wextra -Wshadow -Wno-unknown-pragmas -Wno-missing-field-initializers -Werror -DCUDA_EMULATOR -I. $(CPPFLAGS)

# What is compiled and linked with, each in a file that is written when it is something else: all that depends on it is made
# anew. The names of what is linked are there too: without a source that was deleted, nothing is newer. Before anything is
# compiled by a setting, the libraries must be there.
setting.cc   := $(CC) $(ALL_CFLAGS) $(LOOP_FLAGS) $(FORM_FLAGS_v3) $(FORM_FLAGS_v4)
setting.cxx  := $(CXX) $(CXX_FLAGS)
setting.nvcc := $(NVCC) $(NVCC_FLAGS)
setting.link := $(PARTS) $(EMULATED) $(LDFLAGS) $(LIBS)
$(addprefix $(BUILD)/setting.,cc cxx nvcc link): $(BUILD)/setting.%: ALWAYS
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(setting.$*))' | cmp -s - $@ || { $(if $(LIBRARIES_FOR_$*),$(LIBRARIES) check $(LIBRARIES_FOR_$*) &&) \
	  printf '%s\n' '$(subst ','\'',$(setting.$*))' >$@; }
LIBRARIES_FOR_cc = $(if $(PACKAGE_LIBS),$(filter-out -Werror -ffile-prefix-map%,$(ALL_CFLAGS)) -- $(LDFLAGS) $(CUDA_LIBS) $(LDLIBS))

# Whether engine/backend.c knows CUDA, as what is linked says.
ifeq ($(CPU_ONLY),)
$(BUILD)/engine/backend.o: private CPPFLAGS += -DWITH_CUDA
endif
$(BUILD)/engine/backend.o: $(BUILD)/setting.link

# What the program is built from, in one small object: compiled anew when the commit or a source is another.
$(BUILT): private override CPPFLAGS += -DRELEASE='"$(RELEASE)"' -DBUILD_FLAGS='"$(CFLAGS)"' -DBUILT_FROM='"$(BUILD)/built_from.inc"'
$(BUILT): $(BUILD)/built_from.inc Makefile
$(BUILD)/built_from.inc: ALWAYS
	@mkdir -p $(@D)
	@src/machine/built_from $@

# The portable form's kernels are the loops of kernels/NAME.c.
define FORM_RULES
$(BUILD)/forms/$(1)/%.o: %.c $(BUILD)/setting.cc
	@mkdir -p $$(@D)
	$$(say)
	$$(Q)$$(CC) $$(ALL_CFLAGS) $(LOOP_FLAGS) $(FORM_FLAGS_$(1)) -DFORM=$(1) -MMD -MP -c $$< -o $$@
$(BUILD)/forms/$(1).o: $(call FORM_PARTS,$(1)) $(BUILD)/setting.link
	@echo '  LD $$@'
	$$(Q)$$(CC) -r -nostdlib $$(filter %.o,$$^) -o $$@ && $(OBJCOPY) -w --keep-global-symbol='*_$(1)' $$@
endef
$(foreach form,$(FORMS),$(eval $(call FORM_RULES,$(form))))
# Where texts are carried about, the optimiser's time is not worth while: the first table waits for it.
$(filter $(addprefix $(BUILD)/,src/cli/% src/report/% src/bench/% src/store/% lua/%),$(OBJECTS)): private CFLAGS := $(subst -O3,-O1,$(CFLAGS))
# Never run, since nothing below v4 multiplies in bf16: not worth ten seconds of gcc.
$(BUILD)/forms/v3/kernels/cpu/winograd_bf16.o: private CFLAGS := $(subst -O3,-O1,$(CFLAGS))

$(BUILD)/%.f64.o: %.c $(BUILD)/setting.cc
	@mkdir -p $(@D)
	$(say)
	$(Q)$(CC) $(ALL_CFLAGS) -DREAL=double -MMD -MP -c $< -o $@

$(BUILD)/%.o: %.c $(BUILD)/setting.cc
	@mkdir -p $(@D)
	$(say)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/%.cu.o: %.cu $(BUILD)/setting.nvcc
	@mkdir -p $(@D)
	@echo '  $(count)NVCC $@'
	$(Q)$(NVCC) $(NVCC_FLAGS) --resource-usage -MMD -MP -MF $(@:.o=.d) -c $< -o $@ 2>$(@:.o=.resources) || { \
	  grep -v '^ptxas info\|bytes stack frame' $(@:.o=.resources) >&2; exit 1; }

# Every load and store of a kernel is told to kernels/cuda/emulator_traffic.cc.
$(BUILD)/emulated/%.o: %.cu $(BUILD)/setting.cxx
	@mkdir -p $(@D)
	@echo '  CXX $@'
	$(Q)$(CXX) -x c++ $(CXX_FLAGS) -fsanitize=thread -MMD -MP -c $< -o $@
$(BUILD)/emulated/%.o: %.cc $(BUILD)/setting.cxx
	@mkdir -p $(@D)
	@echo '  CXX $@'
	$(Q)$(CXX) $(CXX_FLAGS) -MMD -MP -c $< -o $@
$(BUILD)/emulated/%.o: %.c $(BUILD)/setting.cc
	@mkdir -p $(@D)
	$(say)
	$(Q)$(CC) $(ALL_CFLAGS) -DCUDA_EMULATOR -MMD -MP -c $< -o $@

$(BUILD)/tests/test_ops $(BUILD)/tests/op_driver $(BUILD)/tests/test_cuda_emulator $(BUILD)/tests/test_traffic $(BUILD)/tests/test_cuda: $(BUILD)/tests/op_run.o \
  $(BUILD)/tests/alloc_count.o
$(BUILD)/tests/test_ops $(BUILD)/tests/test_cuda_emulator $(BUILD)/tests/test_traffic $(BUILD)/tests/test_cuda: $(BUILD)/tests/op_check.o $(BUILD)/tests/op_fill.o
$(BUILD)/tests/test_cuda_emulator: $(BUILD)/tests/update_emulated.o
$(BUILD)/tests/test_buffers $(BUILD)/tests/test_device $(BUILD)/tests/test_frozen $(BUILD)/tests/test_recompute $(BUILD)/tests/test_training: $(BUILD)/tests/host_gpu.o
$(BUILD)/tests/test_events: $(BUILD)/harness
ifeq ($(CPU_ONLY),)
$(BUILD)/tests/test_plans: $(BUILD)/tests/gemm_stand_in.cu.o
$(BUILD)/tests/test_plans: private CPPFLAGS += -DWITH_CUDA
endif
# The whole program, and test_cuda, with two emulated GPUs in place of CUDA's: tests/emulated_gpu.bats.
$(BUILD)/emulated/engine/backend.o: private CPPFLAGS += -DWITH_CUDA
PLAYED := $(BUILD)/tests/emulated_harness $(BUILD)/tests/emulated_test_cuda
$(BUILD)/tests/emulated_harness: $(BUILD)/src/cli/main.o
$(BUILD)/tests/emulated_test_cuda: tests/test_cuda.c $(addprefix $(BUILD)/tests/,op_run.o op_check.o op_fill.o alloc_count.o)
$(PLAYED): tests/emulated_gpu.c $(filter-out %/src/cli/main.o %/engine/backend.o,$(LIB_SOURCES:%.c=$(BUILD)/%.o)) $(REFERENCE) $(FORM_OBJECTS) \
  $(BUILD)/emulated/engine/backend.o $(EMULATED) $(BUILD)/setting.link
	$(say)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP $(filter %.c,$^) $(filter %.o,$^) $(LDFLAGS) $(LIBS) -lstdc++ -o $@
$(BUILD)/tests/test_cuda_volumes: $(BUILD)/tests/emulated_device.o
$(BUILD)/tests/test_cuda_emulator $(BUILD)/tests/test_traffic $(BUILD)/tests/test_cuda_step $(BUILD)/tests/test_cuda_volumes: $(EMULATED)
# Preloaded into what is tested.
$(BUILD)/tests/fault.so: tests/fault.c $(BUILD)/setting.cc
	@mkdir -p $(@D)
	$(say)
	$(Q)$(CC) -std=gnu17 $(WARNINGS) -O1 -g1 -fPIC -shared $< -ldl -o $@
# A test is not made anew because of a commit alone.
$(BUILD)/tests/%: tests/%.c $(filter-out $(BUILT),$(LIB_OBJECTS)) $(BUILD)/setting.cc $(BUILD)/setting.link | $(BUILT)
	@mkdir -p $(@D)
	$(say)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP $< $(filter %.o,$^) $(BUILT) $(LDFLAGS) -lcmocka $(LIBS) -lstdc++ -o $@

# Installs packages that are missing, by apt, as root or through sudo; says what it does.
define install_missing
@missing=$$(for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
if [ -n "$$missing" ]; then \
  command -v apt-get >/dev/null || { echo "not a Debian system: install the equivalents of" $$missing >&2; exit 3; }; \
  echo "installing with apt:" $$missing; \
  sudo=$$([ "$$(id -u)" = 0 ] || echo sudo); \
  $$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends $$missing >/dev/null || exit 3; \
fi
endef

deps:
	$(call install_missing,$(DEPS))
deps-test:
	$(call install_missing,$(DEPS_TEST))
	-$(call install_missing,$(DEPS_CLUSTER))

quickstart: deps
	@$(MAKE) --no-print-directory -j$(JOBS) all
	./harness run experiments/query_count.lua
	@echo
	@sed -n 's/^    \(.*\)  *# next: /  \1  # /p' README.md

# What is made of the program's own tables (src/cli/described.h), its page and what shells complete; and where all goes. The
# program finds the rest from where it lies, so PREFIX is compiled into nothing.
PREFIX          ?= /usr/local
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/site-functions
MADE            := $(addprefix $(BUILD)/share/harness.,1 bash zsh fish)
READ            := $(shell find lua experiments paper tests/peer -name '*.lua' -o -name '*.py' 2>/dev/null)
PAGES           := README.md CHANGELOG.md LICENSE $(wildcard docs/*.md results/reference/*)
SHARE           := $(DESTDIR)$(PREFIX)/share
$(MADE): $(BUILD)/harness $(filter %.lua,$(READ))
	@mkdir -p $(@D)
	$(Q)HARNESS_HOME=. $< help $(if $(filter %.1,$@),man,completion $(patsubst .%,%,$(suffix $@))) >$@.new && mv $@.new $@
install: all $(MADE)
	$(Q)install -D $(BUILD)/harness '$(DESTDIR)$(PREFIX)/bin/harness'
	$(Q)for file in $(READ); do install -D -m 644 "$$file" '$(SHARE)'/harness/"$$file" || exit; done
	$(Q)for file in $(PAGES); do install -D -m 644 "$$file" '$(SHARE)'/doc/harness/"$$file" || exit; done
	$(Q)install -D -m 644 $(BUILD)/share/harness.1 '$(SHARE)/man/man1/harness.1'
	$(Q)install -D -m 644 $(BUILD)/share/harness.bash '$(SHARE)/bash-completion/completions/harness'
	$(Q)install -D -m 644 $(BUILD)/share/harness.fish '$(SHARE)/fish/vendor_completions.d/harness.fish'
	$(Q)install -D -m 644 $(BUILD)/share/harness.zsh '$(DESTDIR)$(ZSH_COMPLETIONS)/_harness'
	@echo '  $(DESTDIR)$(PREFIX)/bin/harness; results go to ./results of where it is called, or where HARNESS_DB says'
uninstall:
	rm -rf '$(SHARE)/harness' '$(SHARE)/doc/harness'
	rm -f '$(DESTDIR)$(PREFIX)/bin/harness' '$(SHARE)/man/man1/harness.1' '$(SHARE)/bash-completion/completions/harness' \
	  '$(SHARE)/fish/vendor_completions.d/harness.fish' '$(DESTDIR)$(ZSH_COMPLETIONS)/_harness'

# A package for this Debian or Ubuntu, by whose tools it is made: into $(BUILD)/deb.
deb: deps
	$(call install_missing,build-essential debhelper fakeroot)
	@RELEASE='$(RELEASE)' MAKE='$(MAKE)' JOBS='$(JOBS)' src/packaging/deb '$(abspath $(BUILD))/deb'

# Every table of the paper at the scale `quick`; SCALE=small or paper for the larger ones.
paper: deps
	@$(MAKE) --no-print-directory -j$(JOBS) all
	./harness run experiments/all.lua $(if $(SCALE),scale=$(SCALE))

# HARNESS_ISA=v3 plays a machine with AVX2 on a larger one: kernels, oneDNN, PyTorch.
# With nvcc there the CUDA build is compiled and linked too, for one architecture; its kernels run in the emulator.
CHECKED_CUDA = $(if $(NO_CUDA)$(filter 0,$(CUDA)),,CUDA=1 $(if $(filter file,$(origin CUDA_ARCH)),CUDA_ARCH='$(or $(CARDS),90)'))
check: deps-test
	@$(MAKE) --no-print-directory -j$(JOBS) $(CHECKED_CUDA) all $(TESTS) $(DRIVERS) $(PLAYED) $(BUILD)/tests/fault.so
	BUILD='$(BUILD)' tests/run

# What ends programs, fills disks, spoils files and feeds rubbish: for hours, or as make check does; ONLY="kills fuzz": these parts.
soak: deps-test
	@$(MAKE) --no-print-directory -j$(JOBS) all $(TESTS) $(DRIVERS) $(BUILD)/tests/fault.so
	BUILD='$(BUILD)' tests/soak $(SHORT) $(ONLY)
faults:
	@$(MAKE) --no-print-directory soak SHORT=--short

# Not installed: a folder that tests/oracle looks into, beside Debian's python3-torch, which stays as it is.
oracles: $(BUILD)/oracles/packages.txt
$(BUILD)/oracles/packages.txt: tests/oracle/packages.txt
	$(call install_missing,python3-pip)
	@rm -rf $(@D) && mkdir -p $(@D)
	@/usr/bin/python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --retries 1 --timeout 20 \
	  --no-deps --no-compile --only-binary :all: --require-hashes --target $(@D) -r $< || { \
	  echo "make oracles: not fetched (above: why); what compares with these packages is skipped" >&2; exit 3; }
	@cp $< $@

# What needs a GPU: builds, parity, sanitizer, capture, training, benches; SKIP where there is none. Where the
# libraries are not the system's: PKG_CONFIG_PATH, CPPFLAGS, LDLIBS, CUDNN_INCLUDE, CUDNN_LIB say where they are.
gpu-check:
	@MAKE='$(MAKE)' BUILD='$(BUILD)' tests/gpu-check

# What a machine with a GPU needs to run that without a compiler or our libraries, in one archive: for any x86-64 and for
# GPU_ARCH.
GPU_ARCH ?= 90
gpu-bundle:
	@$(MAKE) --no-print-directory -j$(JOBS) BUILD=$(BUILD)/gpu CUDA=1 CUDA_ARCH='$(GPU_ARCH)' \
	  LDFLAGS="-Wl,--disable-new-dtags,-rpath,'\$$\$$ORIGIN/lib'" all $(BUILD)/gpu/tests/test_cuda $(BUILD)/gpu/tests/test_sampled
	@tests/gpu-bundle $(BUILD)/gpu $(BUILD)/gpu-bundle.tar.gz

# Every source for another architecture, whose libraries are not here but have the headers of this one's: nothing is linked.
AARCH64_CC ?= aarch64-linux-gnu-gcc
aarch64:
	@$(MAKE) --no-print-directory -j$(JOBS) BUILD=$(BUILD)/aarch64 CUDA=0 CC='$(AARCH64_CC)' CFLAGS=-O0 \
	  CPPFLAGS='-idirafter /usr/include -idirafter /usr/include/$(shell $(CC) -dumpmachine)' PACKAGE_LIBS= objects
objects: $(OBJECTS)

# The C tests and the oracles under the address and undefined-behaviour sanitizers (which make gcc see
# truncation and uninitialised values where there are none); the ops, the engine and a few models under
# valgrind, which has no AVX-512, so that the form for AVX2 runs.
SANITIZE = BUILD=$(BUILD)/asan CFLAGS='-O1 -g -fno-omit-frame-pointer \
  -fsanitize=address,undefined -fno-sanitize-recover=all -Wno-format-truncation -Wno-maybe-uninitialized'
sanitize:
	@$(MAKE) --no-print-directory $(SANITIZE) sanitize-run
sanitize-run: $(TESTS) $(DRIVERS)
	@set -e; for test in $(TESTS); do echo "$$test"; $$test $$(case $$test in *test_ops|*test_verdicts) echo --small;; esac); done
	/usr/bin/python3 tests/oracle/run.py --driver $(BUILD)/tests/op_driver --models $(BUILD)/tests/model_driver --updates $(BUILD)/tests/update_driver

MEMCHECK = BUILD=$(BUILD)/memcheck CFLAGS='-O1 -g'
VALGRIND = valgrind -q --error-exitcode=1 --leak-check=full --show-leak-kinds=definite \
  --errors-for-leak-kinds=definite --soname-synonyms=somalloc=NONE
memcheck:
	@$(MAKE) --no-print-directory $(MEMCHECK) $(addprefix $(BUILD)/memcheck/tests/test_,ops engine models)
	$(VALGRIND) $(BUILD)/memcheck/tests/test_ops --small $(OPS)
	$(VALGRIND) $(BUILD)/memcheck/tests/test_engine
	$(VALGRIND) $(BUILD)/memcheck/tests/test_models --small

clean:
	rm -rf $(BUILD)

format:
	clang-format -i $(shell tests/sources '*.c' '*.h' '*.cu' '*.cc')

size:
	@for d in base kernels engine modules lua src tests; do printf '%8s %s\n' "$$(tests/sources $$d | grep -E '\.(c|h|cu|cc|lua|def)$$' | xargs cat | wc -l)" $$d; done

-include tests/fuzz/fuzz.mk
.PHONY: fuzz tsan deps-fuzz
deps-fuzz:
	$(call install_missing,clang)
fuzz: deps-fuzz
	BUILD='$(BUILD)' tests/fuzz/run $(FUZZ_SECONDS) $(TARGETS)
tsan: $(TSAN_TESTS:%=$(BUILD)/tsan/tests/%)
	@set -e; for test in $^; do echo "$$test"; OMP_NUM_THREADS=1 TSAN_OPTIONS=halt_on_error=1 $$test; done

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
