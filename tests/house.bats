# What the checks of the sources themselves must see.

root="$BATS_TEST_DIRNAME/.."

setup() {
  work=$(mktemp -d)
  mkdir "$work/tests"
  cp "$root/tests/run" "$root/tests/sources" "$work/tests/"
  cp "$root/.clang-format" "$root/Makefile" "$work/"
  cd "$work" || return
  git init -q .
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
    make CUDA=0 BUILD=build CFLAGS=-O0 LIBS= build/harness
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
