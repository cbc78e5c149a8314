# What the checks of the sources themselves must see.

root="$BATS_TEST_DIRNAME/.."

setup() {
  work=$(mktemp -d)
  mkdir "$work/tests"
  cp "$root/tests/run" "$root/tests/sources" "$work/tests/"
  cp "$root/.clang-format" "$root/Makefile" "$work/"
  cd "$work" || return
  git init -q .
  unset MAKEFLAGS MFLAGS CUDA CUDA_ARCH NVCC CPPFLAGS LDFLAGS # of the make that runs the tests
}

teardown() {
  rm -rf "$work"
}

@test "a source that git does not know yet is checked as all others are, a deleted one is not missed" {
  printf 'int known;\n' >known.c
  printf 'int gone;\n' >gone.c
  printf '/hidden/\n' >.gitignore
  git add known.c gone.c
  rm gone.c
  mkdir hidden
  printf 'int   hidden  ;\n' >hidden/hidden.c
  tests/run format
  printf 'int   fresh  ;\n' >fresh.c
  run tests/run format
  [ "$status" -eq 1 ]
  [[ "$output" == *fresh.c* ]]
}

@test "make links anew when a source is gone, and only then" {
  mkdir -p base src/cli
  printf 'int main(void) {\n  return 0;\n}\n' >src/cli/main.c
  printf 'const int kept = 1;\n' >base/kept.c
  printf 'const int gone = 1;\n' >base/gone.c
  build() {
    make CUDA=0 BUILD=build CFLAGS=-O0 FORMS= LIBS= build/harness
  }
  build
  nm build/harness | grep -w gone
  rm base/gone.c
  build
  nm build/harness | grep -w kept
  [ -z "$(nm build/harness | grep -w gone)" ]
  run build
  [[ "$output" != *LD* ]]
}

@test "make compiles anew what a changed setting concerns, and links it" {
  mkdir -p base src/cli
  printf 'int main(void) {\n  return 0;\n}\n' >src/cli/main.c
  printf 'int answer = ANSWER;\n' >base/answer.c
  build() {
    run make CUDA=0 BUILD=build CFLAGS=-O0 FORMS= LIBS= build/harness "$@"
    [ "$status" -eq 0 ] || { echo "$output"; return 1; }
  }
  build CPPFLAGS=-DANSWER=1
  [[ "$output" == *"[1/2] CC"*"[2/2] CC"*LD* ]]
  build CPPFLAGS=-DANSWER=1
  [[ "$output" != *CC* && "$output" != *LD* ]]
  build CPPFLAGS=-DANSWER=2
  [[ "$output" == *"CC build/base/answer.o"*LD* ]]
  build CPPFLAGS=-DANSWER=2 LDFLAGS=-s
  [[ "$output" != *CC* && "$output" == *LD* ]]
}

@test "make compiles CUDA for the card that is here, for others where it is asked to, and says which" {
  mkdir -p bin engine kernels/cuda src/cli
  printf 'int main(void) {\n  return 0;\n}\n' >src/cli/main.c
  printf 'int cuda =\n#ifdef WITH_CUDA\n  1;\n#else\n  0;\n#endif\n' >engine/backend.c
  touch engine/cuda_backend.cu kernels/cuda/kernel_table.c bin/cudnn.h
  printf '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho "int gpu;" | gcc -x c -c - -o "$2"\n' >bin/nvcc
  printf '#!/bin/sh\n[ ! -f bin/cards ] || cat bin/cards\n' >bin/nvidia-smi
  chmod +x bin/nvcc bin/nvidia-smi
  build() {
    run env PATH="$PWD/bin:$PATH" make -j2 BUILD=build CFLAGS=-O0 FORMS= LIBS= CUDNN_INCLUDE=bin all "$@"
    [ "$status" -eq 0 ] || { echo "$output"; return 1; }
  }
  # no card: no CUDA, and how one gets it
  build
  [[ "$output" == *"CPU only: no GPU of compute capability 8.0 or more here (CUDA=1 "* && "$output" != *NVCC* ]]
  build CUDA=1
  [[ "$output" == *NVCC*LD*"CPU and CUDA for sm 80 90"* && "$output" == *"CC build/engine/backend.o"* ]]
  build CUDA=1
  [[ "$output" != *NVCC* && "$output" != *LD* ]]
  build CUDA_ARCH=89
  [[ "$output" == *NVCC*LD*"CPU and CUDA for sm 89"* && "$output" != *" CC "* ]]
  build
  [[ "$output" == *"CC build/engine/backend.o"*LD*"CPU only"* && "$output" != *NVCC* ]]
  # what is there is what is compiled for; an older card and a driver's complaint are none
  printf '9.0\n8.6\n9.0\n7.5\n' >bin/cards
  build
  [[ "$output" == *NVCC*"CPU and CUDA for sm 86 90"* ]]
  build CUDA=0
  [[ "$output" == *"CPU only: CUDA=0"* ]]
  printf 'NVIDIA-SMI has failed because it could not communicate with the driver\n7.5\n' >bin/cards
  build
  [[ "$output" == *"CPU only: no GPU"* ]]
  # make check compiles it where nvcc is, whether or not a card is
  check() {
    env PATH="$PWD/bin:$PATH" make -n BUILD=build FORMS= CUDNN_INCLUDE=bin check "$@" | grep 'no-print-directory'
  }
  check | grep "CUDA=1 CUDA_ARCH='90' all"
  check CUDA_ARCH=80 | grep -v CUDA_ARCH= | grep "CUDA=1 *all"
  check NVCC= | grep -v CUDA=
}

@test "an op that no outside implementation is compared with fails" {
  /usr/bin/python3 -c "import torch" || skip "no PyTorch"
  all_but_the_first() {
    /usr/bin/python3 -B -c 'import sys
sys.path.insert(0, sys.argv[1] + "/tests/oracle")
import driver, run
report = driver.Report(set())
for op in run.all_ops()[1:]: report.case(op, "one", lambda: 0)
report.demand(run.all_ops())
sys.exit(report.finish())' "$root"
  }
  run all_but_the_first
  [ "$status" -eq 1 ]
  [[ "$output" == *"FAIL conv: "*"1 failed"* ]]
}

# bash looks past a command that begins with ! and succeeds, unless it is the last of its test.
@test "what a part skips for one reason is one line of the list at the end" {
  mkdir -p build/tests
  touch tests/test_some.c
  printf '#!/bin/sh\nprintf "skip %%s: too slow\\n" one two\necho "skip three: no bf16"\necho "1 passed, 0 failed, 3 skipped"\n' >build/tests/test_some
  chmod +x build/tests/test_some
  run tests/run test_some
  [ "$status" -eq 0 ]
  [[ "$output" == *"==== skipped"$'\n'"2 of test_some: too slow"$'\n'"test_some: skip three: no bf16"$'\n'"1 passed, 0 failed, 3 skipped" ]]
}

@test "what must not be there is refuted, so that it fails where it is" {
  run grep -nE '^ *! [^|]*(\|[^|]+)*$' "$root"/tests/*.bats
  echo "$output"
  [ "$status" -eq 1 ]
}
