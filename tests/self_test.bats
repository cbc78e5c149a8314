#!/usr/bin/env bats
# Equal rows, dealt out of the trials of one configuration (experiments/self_test.lua).

load cli

# Equal trials, seeds of spread .03.
equal_trials() {
  experiment rows=1 steps=0 cases=5 figures=0.8 noise=0.03 experiment=self_test shapes=2x5,6x5,20x5 relabelings=4000 "$@"
}

@test "a self test deals equal trials into tables, and shows the same from the database alone" {
  equal_trials seeds=40
  "$harness" run -q experiment.json >first
  "$harness" table self_test | cmp - first
  "$harness" run -q experiment.json | cmp - first
  grep -Eq '^2 x 5 +new +[345]\.[0-9] % +\[[2-5]\.[0-9], [4-7]\.[0-9]\] +kept ' first
  grep -Eq '^6 x 5 +these +[2-5]\.[0-9] % +\[[0-9.]+, [0-9.]+\] +kept +[345]\.[0-9] % +1[5-9]\.[0-9] %$' first
  grep -Eq '^20 x 5 +new +- ' first
  grep -q '^  20 x 5: needs 100 trials$' first
  run grep -E 'BROKEN|of one kind|verdict: on the sign' first
  [ "$status" -eq 1 ]
  [ "$(sed '1d; /any verdict: of/,$d' first | python3 -c 'import sys; print(max(len(line) - 1 for line in sys.stdin))')" -le 80 ]
  "$harness" table self_test --json | python3 -c '
import json, sys
page = json.load(sys.stdin)
assert page["relabelings"] == 4000 and page["trials"]["trials"] == 40 and 0.02 < page["trials"]["sigma"] < 0.04
two, same, six = page["shapes"][:3]
assert (two["rows"], two["seeds"], two["cases"], same["cases"], six["rows"]) == (2, 5, "random", "fixed", 6)
for shape in (two, same, six):
    assert shape["promise"] == "kept" and shape["low"] < shape["any_verdict"] <= 0.05, shape
    assert abs(shape["seen"] - 0.8) < 0.05 and shape["uncorrected"] >= shape["any_verdict"], shape
    # in sigma: 2.12 for one claim, 2.92 for five (docs/statistics.md)
    assert abs(shape["detectable"] / page["trials"]["sigma"] - (2.12 if shape["rows"] == 2 else 2.92)) < 0.01, shape
assert not page["shapes"][4]["dealt"] and page["shapes"][4]["any_verdict"] is None'
  [ "$("$harness" table self_test --format csv | wc -l)" -eq 7 ]
  "$harness" table self_test --format md | grep -q '^| 2 x 5 | new |'
  [ "$("$harness" plot self_test)" = "$work/results/plots/self_test.svg" ]
  "$harness" report >/dev/null
  grep -q '<td class=" good">kept</td>' results/report.html
}

@test "a self test with fewer trials judges what is there, and says so" {
  equal_trials seeds=16 fake="$(printf 'queries=1:%d:failed,' {0..3})"
  run "$harness" run -q experiment.json
  [ "$status" -ne 0 ]
  [[ "$output" == *"12 of 16 trials are there: these were dealt"*"6 x 5: needs 30 trials"* ]]
  [[ "$output" == *$'\n'"2 x 5 "*" %"* ]]
}

@test "trials of two kinds, one after the other, are told: dealt at random they would pass" {
  equal_trials seeds=16 later=0.1
  "$harness" run -q experiment.json >page
  grep -q 'in the order of seeds the second half differs from the first by +0.[01][0-9]*, p <.001: are they of one kind?' page
  grep -Eq '^2 x 5 .* kept ' page
}

@test "what is no self test is told with its line" {
  export HARNESS_HOME="$root"
  refused() { # what stands in the file's table, what is said, overrides
    printf 'return { title = "A",\n  %s\n}\n' "$1" >a.lua
    run "$harness" run a.lua --dry-run "${@:3}"
    [ "$status" -eq 2 ] && [[ "$output" == *"$2"* ]] || { echo "$output"; return 1; }
  }
  local row='rows = { { key = "a", set = {} } },' kind='kind = "self_test",' rest='relabelings = 9, shapes = { { 2, 5 } },'
  refused "$row $kind shapes = { { 2, 5 } }" "a.lua:2: relabelings: how many tables are dealt"
  refused "$row $kind relabelings = 9" "a.lua:2: shapes: the tables to be dealt"
  refused "$row $kind relabelings = 9, shapes = { { 2, 4 } }" "a.lua:2: shapes[1]: expected { rows, seeds }, at least 2 and 5"
  refused "$row $rest" 'is of kind = "self_test" alone'
  refused "$row $kind $rest budget = \"2h\"" "a.lua:2: budget: a self test has none"
  refused "vary = { queries = { 1, 2 } }, $kind $rest" "a self test is of one configuration; here are 2: queries=1, queries=2"
  refused "$row $kind $rest" "until=decided: a self test has no claims" until=decided
  refused "$row $kind $rest" "folds: the trials of a self test are of one fold" folds=2
  refused "$row kind = \"test\"" "an experiment is of kind plan or self_test, or trains and compares"
}

@test "the self test's trials are those of the full model, wherever it stands" {
  "$harness" run "$root/experiments/self_test.lua" --dry-run >own
  "$harness" run "$root/experiments/comparison.lua" --dry-run | grep maskmed | cut -c 1-8 >full
  [ "$(wc -l <full)" -eq 5 ]
  head -5 own | cut -c 1-8 | cmp - full
  grep -q '^60 of 60 trials would run' own
}
