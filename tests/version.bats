# What the program says it was built from is compiled in: src/machine/built_from, built.c.

load work

setup() {
  work_in "$(mktemp -d)"
  mkdir -p tree/src/machine tree/kernels
  cp "$root"/src/machine/built* tree/src/machine/
  echo 'int one;' >tree/kernels/one.c
  cat >tree/main.c <<'END'
#include "src/machine/built.h"
#include <stdio.h>
int main(void) {
  printf("%s\n%s", built_text((char[BUILT_TEXT]){""}), built.diff);
  return 0;
}
END
  cd tree || return
  git init -q .
  git config user.email nobody@example.org
  git config user.name nobody
  git add kernels src main.c
  git commit -q -m first
}

teardown() {
  rm -rf "$work"
}

told() { # what a program that is built now says
  src/machine/built_from ../from.inc
  ${CC:-cc} -I. -DRELEASE='"1.2.3"' -DBUILD_FLAGS='""' -DBUILT_FROM='"../from.inc"' src/machine/built.c main.c -o ../told
  ../told
}

@test "a program knows its commit, that its sources were changed, how, and the text of new ones" {
  [ "$(told)" = "1.2.3 ($(git rev-parse HEAD | cut -c1-8))" ]
  echo 'int two; /* "a\b" */' >kernels/two.c
  echo 'int three;' >kernels/one.c
  told >../changed
  [ "$(head -1 ../changed)" = "1.2.3 ($(git rev-parse HEAD | cut -c1-8), modified)" ]
  grep -qxF -- '-int one;' ../changed
  grep -qxF '+int three;' ../changed
  grep -qxF '+int two; /* "a\b" */' ../changed
  echo notes >notes.txt # no source
  git add -A
  git commit -q -m second
  [ "$(told)" = "1.2.3 ($(git rev-parse HEAD | cut -c1-8))" ]
}

@test "what the sources became after the build is not taken for what was built; nothing is written where nothing changed" {
  first="$(told)"
  touch -d '2001-01-01' ../from.inc
  src/machine/built_from ../from.inc
  [ "$(date -r ../from.inc +%Y)" = 2001 ]
  git commit -q --allow-empty -m second
  [ "$(../told)" = "$first" ]
  src/machine/built_from ../from.inc
  [ "$(date -r ../from.inc +%Y)" != 2001 ]
  # The program itself starts no git.
  mkdir bin
  printf '#!/bin/sh\ntouch "%s/asked"\n' "$work" >bin/git
  chmod +x bin/git
  PATH="$PWD/bin:$PATH" "$harness" --version
  PATH="$PWD/bin:$PATH" "$harness" doctor >/dev/null || true
  [ ! -e "$work/asked" ]
}

@test "a tree without git, or inside of somebody else's, is built and says that it knows no commit" {
  rm -rf .git
  [[ "$(told)" == "1.2.3 (not of a git checkout"* ]]
  cd ..
  git init -q .
  git -c user.email=a@b -c user.name=a commit -q --allow-empty -m other
  cd tree
  [[ "$(told)" == "1.2.3 (not of a git checkout"* ]]
}

@test "the changes and the citation name the version that is built" {
  release="$(sed -n 's/^RELEASE := //p' "$root/Makefile")"
  [[ "$("$harness" --version)" == "harness $release "* ]]
  grep -q "^## $release" "$root/CHANGELOG.md"
  grep -qx "version: $release" "$root/CITATION.cff"
  python3 -c 'import sys; [sys.exit(line) for line in open(sys.argv[1]) if "\t" in line]' "$root/CITATION.cff"
}
