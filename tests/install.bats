#!/usr/bin/env bats
# `make install`, and the installed program: it finds its own files, and results go where the user stands.

load work

setup_file() {
  export built="${BUILD:-build}"
  [[ "$built" == /* ]] || built="$(cd "$BATS_TEST_DIRNAME/.." && pwd)/$built"
}

setup() {
  work_in "$(mktemp -d)"
  unset MAKEFLAGS MFLAGS HARNESS_DB HARNESS_HOME CPPFLAGS LDFLAGS PKG_CONFIG_PATH
}

teardown() {
  rm -rf "$work"
}

# Below work/image/opt; what is built is installed as it is.
installed() {
  make -s -C "$root" -o all -o "$built/harness" BUILD="$built" DESTDIR="$work/image" PREFIX=/opt install >/dev/null
}

small="steps=2 queries=1 phantom_size=24,24,24 patch=24,24,24 key_grid=6,6,6 seeds=1 collapse_dice=0"

@test "an installed program runs an experiment by its name, and all it writes lies where the user stands" {
  installed
  local program="$work/image/opt/bin/harness"
  mkdir study home
  cd study
  export HOME="$work/home"
  # shellcheck disable=SC2086
  "$program" run query_count $small >first 2>err || { cat err; false; }
  grep -q "^Table 6 .*scale quick, phantom, cpu, 1 seed" first
  "$program" table 6 2>/dev/null | cmp - first
  [ "$(ls)" = "$(printf 'err\nfirst\nresults')" ]
  [ -f results/harness.db ] && [ -d results/data ]
  [ -z "$(find "$work/image" -newer results/harness.db)" ] && [ -z "$(ls "$work/home")" ]
  "$program" doctor | grep -q "^ok *home *$work/image/opt/share/harness$"
  # Words that it says to type name it as it is called.
  run "$program" table 4
  [[ "$output" == *": harness run experiments/modules.lua"* ]]
  # Beside the database that HARNESS_DB names.
  cd "$work/home"
  # shellcheck disable=SC2086
  HARNESS_DB="$work/store/h.db" "$program" run query_count $small -q >/dev/null
  [ -z "$(ls)" ] && [ -d "$work/store/data" ]
  # The prefix may be moved.
  mv "$work/image/opt" "$work/moved"
  cd "$work/study"
  "$work/moved/bin/harness" table 6 2>/dev/null | cmp - first
}

@test "what is installed is the program, its files, pages and completions, and goes again" {
  installed
  cd "$work/image/opt"
  (cd "$root" && find lua experiments paper -name '*.lua') | sort >"$work/wanted"
  (cd share/harness && find . -name '*.lua' | sed 's,^\./,,' | sort) | cmp - "$work/wanted"
  for file in bin/harness share/harness/tests/peer/serve.py share/doc/harness/README.md share/doc/harness/docs/install.md \
    share/man/man1/harness.1 share/bash-completion/completions/harness share/fish/vendor_completions.d/harness.fish \
    share/zsh/site-functions/_harness; do
    [ -s "$file" ]
  done
  make -s -C "$root" BUILD="$built" DESTDIR="$work/image" PREFIX=/opt uninstall >/dev/null
  [ -z "$(find "$work/image" -type f)" ]
}

@test "an experiment is a file, or one that came with the program; a name that is neither is told" {
  run "$harness" estimate query_cuont
  [ "$status" -eq 2 ]
  [[ "$output" == *'query_cuont: no file and no experiment is called so; did you mean "query_count"?'* ]]
  run "$harness" run nothing.lua
  [[ "$output" == *"nothing.lua: cannot read the experiment: No such file or directory"* ]]
  mkdir query_count # a folder is none
  "$harness" run query_count -n >/dev/null
  "$harness" run experiments/query_count.lua -n >/dev/null
  "$harness" run masksam/adapters -n >/dev/null
  echo 'return {' >query_count.lua
  run "$harness" run query_count.lua -n # one's own comes first
  [ "$status" -eq 2 ]
}

@test "make quickstart ends with the three lines of README that say what to type next" {
  make -s -C "$root" -n quickstart | grep -q "README.md"
  sed -n 's/^    \(.*\)  *# next: /  \1  # /p' "$root/README.md" >next
  [ "$(wc -l <next)" -eq 3 ]
  grep -q "^  ./harness report  *# " next
  [ "$(grep -n '# next: ' "$root/README.md" | tail -1 | cut -d: -f1)" -le 40 ] # on the first screen
}

# --- the libraries ---

@test "libraries that are missing are named with header, package and variables, before anything is compiled" {
  mkdir bin
  cat >bin/cc <<'END'
#!/bin/sh
for word; do
  case $word in
  *.c) ! grep -q 'sqlite3\|dnnl' "$word" || { echo 'x.c:2:10: fatal error: sqlite3.h: No such file or directory' >&2; exit 1; } ;;
  esac
done
exec gcc "$@"
END
  chmod +x bin/cc
  run make -C "$root" CUDA=0 BUILD="$work/build" CC="$work/bin/cc"
  [ "$status" -ne 0 ]
  [[ "$output" == *"SQLite"*"sqlite3.h -lsqlite3"*"oneDNN"*"dnnl.h -ldnnl"* && "$output" != *zlib* ]]
  [[ "$output" == *"apt install --no-install-recommends libdnnl-dev libsqlite3-dev"* ]]
  for word in PKG_CONFIG_PATH= CPPFLAGS= LDFLAGS= docs/install.md; do [[ "$output" == *"$word"* ]]; done
  [[ "$output" != *" CC "* ]]
  [ -z "$(find build -name '*.o')" ]
  run make -C "$root" CUDA=0 BUILD="$work/build" CC=no-such-compiler
  [[ "$output" == *"there is no C compiler called no-such-compiler"* ]]
}

@test "libraries in a folder are found by CPPFLAGS and PKG_CONFIG_PATH, with NIfTI's own folder, or by plain names" {
  mkdir -p P/include/nifti P/lib/pkgconfig
  touch P/include/nifti/nifti2_io.h
  printf 'Name: zstd\nDescription: x\nVersion: 9\nCflags: -I%s/P/zstd\nLibs: -L%s/P/lib -lzstd-of-mine\n' "$work" "$work" >P/lib/pkgconfig/libzstd.pc
  run make -C "$root" CUDA=0 CPPFLAGS="-I$work/P/include" PKG_CONFIG_PATH="$work/P/lib/pkgconfig" BUILD="$work/b" -n "$work/b/setting.link" "$work/b/setting.cc"
  [[ "$output" == *"-I$work/P/include "*"-isystem $work/P/include/nifti"* && "$output" == *"-I$work/P/zstd"* ]]
  [[ "$output" == *"-lzstd-of-mine"* ]]
  PKG_CONFIG=false "$root/src/packaging/libraries" libs | grep -q -- "-lsqlite3.*-lzstd"
}

@test "objects are equal, whichever folder they are compiled in" {
  for folder in one another; do
    mkdir -p "$folder/tree"
    (cd "$root" && tests/sources base engine kernels src/packaging src/machine Makefile | tar -cf - -T -) | tar -xf - -C "$folder/tree"
    make -s -C "$folder/tree" CUDA=0 BUILD=build CFLAGS="-O1 -g1" FORMS=v3 build/base/error.o build/kernels/conv.f64.o build/engine/plan.o \
      build/src/machine/built.o build/forms/v3/kernels/linear.cpu.o >/dev/null
  done
  (cd one/tree/build && find . -name '*.o') >objects
  [ "$(wc -l <objects)" -eq 5 ]
  while read -r object; do cmp "one/tree/build/$object" "another/tree/build/$object"; done <objects
}

@test "./harness waits for a build that is under way; of two at once one builds; one that a make calls does not wait for that" {
  cp "$root/harness" .
  printf '%s\n' 'all:' '	@echo built >>count; sleep 1; mkdir -p build; printf "#!/bin/sh\necho ran\n" >build/part; chmod +x build/part' \
    '	@mv build/part build/harness' 'call:' '	@./harness' >Makefile
  unset MAKELEVEL
  make &
  until [ -f count ]; do sleep .05; done
  run ./harness
  [ "$status" -eq 0 ]
  [[ "$output" == *"a build is under way in $PWD; waiting for it"*ran ]]
  wait
  rm -r build
  ./harness >one 2>&1 &
  ./harness >two 2>&1
  wait
  grep -qx ran one && grep -qx ran two
  [ "$(wc -l <count)" -eq 2 ]
  rm -r build
  make call | grep -qx ran
  [ "$(wc -l <count)" -eq 3 ]
}
