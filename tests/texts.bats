#!/usr/bin/env bats
# What the program says: a person who reads it knows what it means and what to type next.

load cli

says() { # code, text, words...
  local code="$1" text="$2"
  shift 2
  run "$harness" "$@"
  echo "$*: $output"
  [ "$status" -eq "$code" ]
  [[ "$output" == *"$text"* ]]
}

@test "where nothing is stored, what makes it is named; what is no experiment is told with those that there are" {
  says 5 "Table 3 has no results yet, nothing is stored: ./harness run experiments/seg_heads.lua" table 3
  says 5 "query_count has no results yet, nothing is stored: ./harness run experiments/query_count.lua" table query_count
  says 5 "query_count has no results yet, nothing is stored: ./harness run experiments/query_count.lua" plot query_count
  says 5 'no such experiment and no such table is known, nothing is stored for "nope"; there are ' table nope
  [[ "$output" == *" query_count, seg_heads, self_test, masksam/acdc, "* ]]
  says 5 'did you mean "query_count"?' table query_counts
  experiment rows=1 seeds=1
  "$harness" run -q experiment.json >/dev/null
  says 5 "nothing is stored for 6, scale small" table 6 --scale small
}

@test "a GPU is asked for by cuda" {
  says 2 '--device is cpu, cuda or cuda:N, not "gpu"; did you mean "cuda"?' run "$root/experiments/query_count.lua" --device gpu
  says 2 'did you mean "cpu"?' run "$root/experiments/query_count.lua" --device cup
}

@test "more cases for validation than cases are told with the room there is, and which number nobody typed" {
  says 3 "phantom: 3 cases leave room for a validation of 0..2, not 6, which is the default" data phantom folder --cases 3
  says 3 "phantom: 3 cases leave room for a validation of 0..2, not 5" data phantom folder --cases 3 --validation 5
  [[ "$output" != *default* ]]
}

@test "sizes have a unit" {
  experiment rows=1 seeds=1
  "$harness" run -q experiment.json >/dev/null
  hash="$("$harness" runs list --json | sed -n 's/.*"hash": "\(.*\)",/\1/p')"
  "$harness" runs show "$hash" >shown
  grep -Eq '^  peak +1\.00 MiB$' shown
  run grep _bytes shown
  [ "$status" -eq 1 ]
}

@test "times of two benches are compared in the unit that suits them, and none is asked for where a row has none" {
  "$harness" bench "add, " --time 0.01 >/dev/null
  "$harness" bench "add, " --time 0.01 >/dev/null
  "$harness" bench compare prev last >compared || true
  head -1 compared | grep -Eq ' old +new +new/old '
  grep -Eq ' [0-9.]+ (us|ms|s) +[0-9.]+ (us|ms|s) ' compared
  run grep -E 'nan|e\+0' compared
  [ "$status" -eq 1 ]
}

@test "a trial's log says in words what its Dice is compared with" {
  unset HARNESS_TRIAL_PROGRAM
  "$harness" run -q "$root/experiments/query_count.lua" queries=1 seeds=1 steps=4 phantom_cases=3 phantom_validation=1 collapse_dice=0 >/dev/null || true
  find results -name '*.log' -exec cat {} + >log
  grep -Eq '^validation Dice 0\.[0-9]{4}; keeping only the largest component( of .*)? would (not raise it|make it 0\.[0-9]{4})$' log
  run grep -E 'of nothing|\(collapsed below' log
  [ "$status" -eq 1 ]
}
