# What the checks of the sources themselves must see.

root="$BATS_TEST_DIRNAME/.."

setup() {
  work=$(mktemp -d)
  mkdir "$work/tests"
  cp "$root/tests/run" "$root/tests/sources" "$work/tests/"
  cp "$root/.clang-format" "$work/"
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
