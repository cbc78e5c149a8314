#!/usr/bin/env bats
# A data set that may be read but not written to: plan and prepared volumes go elsewhere, and later
# commands find them there.

load work

setup_file() {
  work_in "$BATS_FILE_TMPDIR"
  chmod 755 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR"
  "$harness" data phantom made --size 16 --cases 5 --validation 1 --organs 2 -q 2>/dev/null
  mkdir own home home/results
  ln -s "$root/lua" "$root/experiments" "$root/paper" home/
  chmod 777 own home/results
  cat >t.lua <<END
return { title = "t", vary = { head = { "point_wise" } }, seeds = 1, base = { data = "$work/set", steps = 1, batch = 2,
  bridge = "none", collapse_dice = 0, augment = "none" } }
END
}

setup() {
  cd "$work" || return
  export HARNESS_DB="$work/own/$BATS_TEST_NUMBER/h.db"
  export HARNESS_HOME="$work/home"
  unset HARNESS_CACHE
  rm -rf set && cp -r made set
  rm -rf home/results/derived
}

# As somebody who may read `set` alone.
other() {
  if [ "$(id -u)" -eq 0 ]; then
    setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
  else
    "$@"
  fi
}

closed() {
  chmod -R a-w set
  other test -x "$harness" -a -r set || skip "another user cannot come here"
  find set | sort >before
}

untouched() {
  find set | sort | cmp - before
}

@test "what is made goes to results/derived, and a run finds it" {
  closed
  run other "$harness" data plan set
  echo "$output"
  [ "$status" -eq 0 ]
  [[ "$output" == *"set cannot be written to: its plan and prepared volumes go to $work/home/results/derived/set-"* ]]
  run other "$harness" run t.lua -q
  echo "$output"
  [ "$status" -eq 0 ]
  [ "$(find home/results/derived/set-*/preprocessed -name '*.vol' | wc -l)" -eq 5 ]
  run other "$harness" run t.lua -n
  [[ "$output" == *"0 of 1 trials would run"* ]]
  untouched
}

@test "--cache says where else, and leaves a trace by which a run finds it" {
  closed
  other "$harness" data preprocess set --cache own/cache
  [ -f own/cache/set-*/plan.json ] && [ ! -e set/plan.json ]
  other "$harness" run t.lua -q >/dev/null
  run other "$harness" data preprocess set
  [[ "$output" == *"0 made, 5 there already"* ]]
  untouched
}

@test "where not even the trace can be left, HARNESS_CACHE is named and tells" {
  closed
  chmod 555 home/results
  run other "$harness" data plan set
  [ "$status" -eq 3 ]
  echo "$output"
  [[ "$output" == *"neither can $work/home/results/derived/set-"*"Permission denied"*"--cache FOLDER"* ]]
  run other "$harness" data preprocess set --cache own/far
  chmod 777 home/results
  [ "$status" -eq 0 ]
  [[ "$output" == *"HARNESS_CACHE='$work/own/far'"* ]]
  HARNESS_CACHE='own/far' other "$harness" run t.lua -q >/dev/null
  [ -z "$(find home/results -name '*.vol')" ]
  HARNESS_CACHE='own/far' run other "$harness" run t.lua -n
  [[ "$output" == *"0 of 1 trials would run"* ]]
  untouched
}

@test "what the owner has prepared is used, and needs no place" {
  "$harness" data preprocess set 2>/dev/null
  closed
  chmod 555 home/results
  run other "$harness" run t.lua -q
  chmod 777 home/results
  echo "$output"
  [ "$status" -eq 0 ]
  [ ! -e home/results/derived ]
  untouched
}

@test "a cache elsewhere of a folder that can be written to: a link leads there, and two sets do not meet" {
  "$harness" data preprocess set --cache own/caches 2>/dev/null
  [ -L set/preprocessed ] && [ -f set/plan.json ]
  rm -rf second && cp -r made second
  "$harness" data preprocess second --cache own/caches 2>/dev/null
  [ "$(find own/caches -name '*.vol' | wc -l)" -eq 10 ]
  run "$harness" data preprocess set --cache own/caches
  [[ "$output" == *"0 made, 5 there already"* ]]
  run "$harness" data preprocess set --cache own/others
  [ "$status" -eq 3 ]
  [[ "$output" == *"the cache is already in"* ]]
}
