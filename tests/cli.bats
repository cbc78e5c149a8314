#!/usr/bin/env bats
# The command line as a user types it.

load cli

# --- help, typos, exit codes ---

@test "help goes to standard output, begins with two examples and ends with 0" {
  for words in "--help" "help" "-h" "run --help" "table --help" "plot -h" "runs --help" "data --help" \
    "doctor --help" "runs list --help" "runs show --help" "runs diff --help" "runs rm --help" \
    "data check --help" "data phantom --help" "data import --help" "data plan --help" "data preprocess --help" "help run" "help doctor" "help help"; do
    # shellcheck disable=SC2086
    "$harness" $words >out 2>err
    [ ! -s err ]
    [ "$(sed -n 1p out)" = "Examples:" ]
    [[ "$(sed -n 2p out)" == "  harness "* ]]
    [[ "$(sed -n 3p out)" == "  harness "* ]]
    grep -q "Usage: harness" out
  done
}

@test "help of a building block" {
  "$harness" help fsad_bridge | grep -q "heads"
}

@test "an experiment's option that is a block's has the block's range, default and words" {
  "$harness" help fsad_bridge >block
  "$harness" help maskmed >options
  local words
  words=$(sed -n 's/^  points_total .* 0 *\(sampling.*\)/\1/p' block)
  [ -n "$words" ]
  grep -qF "points_total       $words (fsad_bridge)" options
  run "$harness" run "$root/experiments/query_count.lua" points_total=129 --dry-run
  [ "$status" -eq 2 ]
  [[ "$output" == *"129 is outside 0 .. 128 ($words"* ]]
}

@test "version" {
  run "$harness" --version
  [ "$status" -eq 0 ]
  [[ "$output" =~ ^harness\ [0-9]+\.[0-9]+\.[0-9]+\ \((([0-9a-f]{8}(, modified)?)|not\ of.*)\)$ ]]
  [ "$("$harness" version)" = "$output" ]
  [ "$("$harness" run --version)" = "$output" ]
}

@test "no subcommand is a usage error with help on standard error" {
  run "$harness"
  [ "$status" -eq 2 ]
  "$harness" 2>err >out || true
  [ ! -s out ]
  grep -q "Usage:" err
}

@test "a GPU that cannot be used ends with 3 and says why" {
  cd "$BATS_TEST_TMPDIR"
  run env CUDA_VISIBLE_DEVICES= "$harness" run "$BATS_TEST_DIRNAME/../experiments/query_count.lua" --device cuda:1 seeds=1
  echo "$output"
  [ "$status" -eq 3 ]
  [[ "$output" == *"built without CUDA"* || "$output" == *"no NVIDIA GPU can be used here"* ]]
  [ ! -e results ]
}

@test "a typo ends with 2 and names the nearest" {
  while IFS='|' read -r words expected; do
    # shellcheck disable=SC2086
    run "$harness" $words
    echo "$words: $output"
    [ "$status" -eq 2 ]
    [[ "$output" == *"$expected"* ]]
  done <<'END'
rum x.lua|did you mean "run"
tabel 6|did you mean "table"
help dcotor|did you mean "doctor"
run --retyr=failed x.lua|did you mean "--retry"
run --retry fialed x.lua|did you mean "failed"
run --device cdua x.lua|did you mean "cuda"
run --dev cpu x.lua|did you mean "--device"
bench --tf32 yes conv|off, conv, on
predict --device tpu a b c|cuda:NUMBER
run --jobs zero x.lua|--jobs needs a number of at least 1, not "zero"
run --jobs 0 x.lua|--jobs needs a number of at least 1
run|needs an experiment
run a.lua b.lua|no override
table|needs a table's number
table 6 --format jsno|did you mean "json"
table 6 7|one operand too many
runs lits|did you mean "list"
runs show|needs TRIAL
runs diff 1234|needs TRIAL TRIAL
data chek d|did you mean "check"
data phantom d --size 4x4|--size: a volume is one number or DxHxW
data phantom d --size 4,4|--size needs one number, DxHxW
plot|needs an experiment
--verion|did you mean "--version"
END
}

@test "what an unset variable leaves behind is refused, as an option, an operand and a key" {
  experiment rows=1 seeds=1
  printf 'return { title = "t", rows = { { key = "a", set = {} } } }' >e.lua
  while IFS='|' read -r words expected; do
    eval "run '$harness' $words"
    echo "$words: $output"
    [ "$status" -eq 2 ]
    [[ "$output" == *"$expected"* ]]
  done <<'END'
run experiment.json --db ""|--db needs a FILE
run experiment.json --db=|--db needs a FILE
table 6 --db ""|--db needs a FILE
run ""|an operand is empty
predict 1234 "" out|an operand is empty
data check ""|an operand is empty
data preprocess set --cache ""|--cache needs a DIR
bench --python "" conv|--python needs a PATH
run experiment.json -j ""|--jobs needs a N
run e.lua data=|data=: nothing is given
END
  [ "$(ls)" = "$(printf 'e.lua\nexperiment.json')" ]
}

@test "an empty variable is none, and no name means anything to SQLite" {
  HARNESS_DB="" HARNESS_HOME="$work" run "$harness" doctor
  [[ "$output" == *"$work/results/harness.db"* ]]
  experiment rows=1 seeds=1
  for name in ":memory:" "file:h.db?mode=memory" "run#2 100%25.db"; do
    "$harness" run -q experiment.json --db "$name" >first
    "$harness" table 6 --db "$name" >second
    cmp first second
    [ -f "$name" ]
  done
  run "$harness" doctor --db "$(printf 'x%.0s' {1..5000})"
  [ "$status" -eq 2 ]
  [[ "$output" == *"5000 characters"* ]]
}

@test "a decimal comma is asked back, a value given twice refused" {
  printf 'return { title = "t", seeds = 1, rows = { { key = "a", set = {} } } }' >e.lua
  while IFS='|' read -r words expected; do
    run "$harness" run e.lua "$words"
    echo "$words: $output"
    [ "$status" -eq 2 ]
    [[ "$output" == *"$expected"* ]]
  done <<'END'
lr=0,5|did you mean lr=0.5? A comma separates values; write lr=0.0,5.0
lr=0,1,0,01|did you mean lr=0.1,0.01?
lr=0.1,0.1|0.1 stands there twice
END
  for words in lr=0.1,0.5 lr=0.0,5.0 clip=1,5,12 queries=1,2 patch=16,16,16; do
    "$harness" run e.lua -n "$words"
  done
}

@test "nothing stored ends with 5" {
  for words in "table 6" "plot query_count" "plot curves" "runs list" "runs show 1234abcd"; do
    # shellcheck disable=SC2086
    run "$harness" $words
    echo "$output"
    [ "$status" -eq 5 ]
    [[ "$output" == *"nothing is stored"* ]]
  done
  [ ! -e "$work/results" ]
}

@test "a missing or broken experiment ends with 2 and makes no database" {
  run "$harness" run nothing.json
  [ "$status" -eq 2 ]
  [[ "$output" == *"nothing.json: cannot read the experiment"* ]]
  printf '{"experiment": \n "x",, }' >broken.json
  run "$harness" run broken.json
  [ "$status" -eq 2 ]
  [[ "$output" == *"broken.json:2:"* ]]
  [ ! -e "$work/results" ]
}

# --- tables, plots, listings ---

@test "every table format" {
  experiment
  "$harness" run -q experiment.json >/dev/null
  "$harness" table 6 --format json | python3 -m json.tool >/dev/null
  "$harness" table 6 --json | python3 -c '
import json, sys
table = json.load(sys.stdin)
assert list(table) == ["schema", "document", "experiment", "metric", "unit", "commit", "table", "scale", "dataset", "device", "rows", "scores",
                       "trainings", "trial_s", "family", "tau", "reproduce"], list(table)
assert table["schema"] == 1 and table["table"] == 6 and len(table["rows"]) == 4
row = table["rows"][0]
assert list(row) == ["key", "label", "paper", "mean", "sd", "n", "status", "paper_word", "parameters",
                     "difference", "low", "high", "verdict", "with_collapsed", "claimed", "p", "p_corrected", "corrected_low", "corrected_high",
                     "seeds_needed", "other_text", "unknown_text", "against", "within", "otherwise", "reason"], list(row)
assert row["paper"] == 0.913 and abs(row["mean"] - 0.56) < 1e-9 and abs(row["sd"] - 0.01) < 1e-9
assert row["n"] == 3 and row["status"] == "done"'
  [ "$("$harness" table 6 --format md | grep -c '^|')" -eq 6 ]
  [ "$("$harness" table 6 --format csv | wc -l)" -eq 5 ]
  "$harness" table query_count --format tex | grep -Fq '\toprule'
  "$harness" table 6 --format tex | grep -Fq '\# Object query'
  "$harness" table 6 -o table.txt
  "$harness" table 6 | cmp - table.txt
}

@test "plots are written with data, script and picture" {
  experiment rows=2 seeds=2
  "$harness" run -q experiment.json >/dev/null
  run "$harness" plot query_count
  [ "$status" -eq 0 ]
  [ "$output" = "$work/results/plots/query_count.svg" ]
  run "$harness" plot curves
  [ "$status" -eq 0 ]
  run "$harness" plot per-organ query_count
  [ "$status" -eq 0 ]
  grep -q "liver" results/plots/query_count-per-organ.gp
  [ "$(grep -c "spleen" results/plots/query_count-per-organ.tsv)" -eq 2 ]
  for kind in query_count query_count-curves query_count-per-organ; do
    [ -s "results/plots/$kind.gp" ] && [ -s "results/plots/$kind.tsv" ]
    python3 -c 'import sys, xml.dom.minidom as x; x.parse(sys.argv[1])' "results/plots/$kind.svg"
  done
}

@test "a picture is drawn again only when its data have changed" {
  experiment rows=2 seeds=1
  "$harness" run -q experiment.json >/dev/null
  touch -d "2001-01-01" results/plots/query_count.svg
  "$harness" plot query_count
  [ "$(date -r results/plots/query_count.svg +%Y)" -eq 2001 ]
  experiment rows=2 seeds=2
  "$harness" run -q experiment.json >/dev/null
  [ "$(date -r results/plots/query_count.svg +%Y)" -ne 2001 ]
}

@test "runs list, show, diff and rm" {
  experiment rows=2 seeds=1
  "$harness" run -q experiment.json >/dev/null
  "$harness" runs list --json | python3 -m json.tool >/dev/null
  first=$("$harness" runs list | sed -n 3p | cut -c1-8)
  second=$("$harness" runs list | sed -n 4p | cut -c1-8)
  "$harness" runs show "$first" | grep -q "spleen"
  "$harness" runs show "$first" --json | python3 -c '
import json, sys
trial = json.load(sys.stdin)["trial"]
assert trial["config"]["queries"] == 1 and trial["attempts"][0]["peak_bytes"] == 1 << 20'
  "$harness" runs diff "$first" "$second" | grep -Eq 'queries +1 -> 2'
  "$harness" runs rm "$first"
  [[ "$(rows)" == *"queries=1,1 x N,0.913,,,0,planned"* ]]
  "$harness" run experiment.json 2>&1 >/dev/null | grep -q "1 of 2 trials to run"
  run "$harness" runs show 0000zz
  [ "$status" -eq 5 ]
}

@test "no colour and no escapes when not a terminal" {
  experiment rows=1 seeds=1 fake=queries=1:0:crash
  "$harness" run experiment.json >out 2>&1 || true
  "$harness" doctor >>out 2>&1
  run grep -q $'\033' out
  [ "$status" -eq 1 ]
}

@test "on a terminal a live line is redrawn" {
  command -v script >/dev/null || skip "no script(1)"
  experiment rows=1 seeds=1 steps=8 step_s=0.1
  TERM=xterm script -qec "$harness run experiment.json" /dev/null </dev/null >out
  grep -q "queries=1 seed 0  step .*/8  loss .* steps/s  ETA" out
  grep -q $'\033\[J' out
  grep -q "done 1/1" out
}

@test "standard output that is full is an error, not a silent loss" {
  experiment rows=1 seeds=1
  "$harness" run -q experiment.json >/dev/null
  run bash -c "'$harness' table 6 > /dev/full"
  [ "$status" -eq 3 ]
}

@test "doctor says what is there, as text and JSON" {
  run "$harness" doctor
  [ "$status" -eq 0 ]
  [[ "$output" == *"libsqlite3"* && "$output" == *"processor"* && "$output" == *"disk"* ]]
  "$harness" doctor --json | python3 -c '
import json, sys
found = json.load(sys.stdin)
assert found["schema"] == 1 and found["fit"] is True
names = [item["name"] for item in found["findings"]]
for name in ("libdnnl", "liblua5.4", "libnifti2", "gnuplot", "gpu", "database", "disk"):
    assert name in names, name'
}

@test "a model is a file: its name is an option's choice as soon as it lies there" {
  export HARNESS_HOME="$work"
  cp -r "$root/lua" "$root/paper" "$root/experiments" "$work"
  run "$harness" run experiments/query_count.lua model=mine queries=1 --dry-run
  [ "$status" -eq 2 ]
  [[ "$output" == *"expected one of bridge, mask2former, maskformer, maskmed, masksam, qtseg, sam, sam_masked, sam_promptable or a path that ends in .lua, found 'mine'"* ]]
  printf 'return require "harness.models.maskmed"\n' >lua/harness/models/mine.lua
  "$harness" run experiments/query_count.lua model=mine queries=1 --dry-run
}
