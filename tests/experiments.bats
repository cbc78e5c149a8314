#!/usr/bin/env bats
# Several experiments in one sweep.

load cli

# Two experiments of 4 and 2 rows, whose first two rows are the same trials; the second is Table 4.
two_experiments() {
  "$root/tests/make_experiment" "$@" >one.json
  "$root/tests/make_experiment" rows=2 experiment=modules table=4 "$@" >two.json
  python3 -c '
import json, sys
json.dump({"experiments": [json.load(open("one.json")), json.load(open("two.json"))]}, sys.stdout)' >experiment.json
}

@test "a list runs what is missing of all, equal trials once, and prints every table" {
  two_experiments
  "$harness" run experiment.json >first 2>err
  grep -q "12 of 12 trials to run" err
  grep -q "start 1/12 query_count queries=1 seed 0" err
  [ "$(find results/logs -name '*.log' | wc -l)" -eq 12 ]
  [ "$(grep -c "^Table" first)" -eq 2 ]
  grep -q "^Table 4 " first
  "$harness" run experiment.json >second 2>err
  grep -q "0 of 12 trials to run" err
  cmp first second
  [ -s results/plots/query_count.svg ] && [ -s results/plots/modules.svg ]
  [ "$("$harness" table 4 --format csv | wc -l)" -eq 3 ]
  "$harness" run -q experiment.json --json | python3 -c '
import json, sys
tables = json.load(sys.stdin)
assert [table["table"] for table in tables] == [6, 4] and len(tables[1]["rows"]) == 2'
}

@test "a list of which one table is there runs the other, and its dry run says so" {
  two_experiments seeds=1
  "$harness" run -q two.json >/dev/null
  "$harness" run experiment.json -n >out
  grep -q "2 of 4 trials would run" out
  [ "$(grep -c " same " out)" -eq 2 ]
  "$harness" run experiment.json -n --json >copy.json
  "$harness" run copy.json 2>err >/dev/null
  grep -q "2 of 4 trials to run" err
}

@test "an interrupted list ends with 75 and goes on" {
  two_experiments seeds=1 step_s=0.1
  run_interrupted
  "$harness" run -q experiment.json >/dev/null
  "$harness" run experiment.json 2>&1 >/dev/null | grep -q "0 of 4 trials to run"
}

@test "a list of names is checked, with overrides for all of them" {
  export HARNESS_HOME="$root"
  echo 'return { title = "A", vary = { queries = { 1, 2 } }, seeds = 2 }' >a.lua
  echo 'return { title = "B", vary = { queries = { 2, 3 } }, seeds = 2 }' >b.lua
  echo 'return { experiments = { "a", "b" } }' >list.lua
  "$harness" run list.lua --dry-run >out
  grep -q "6 of 6 trials would run" out # a's second row is b's first
  "$harness" run list.lua --dry-run seeds=1 >out
  grep -q "3 of 3 trials would run" out
  while IFS='|' read -r source expected; do
    echo "$source" >list.lua
    run "$harness" run list.lua
    echo "$output"
    [ "$status" -eq 2 ]
    [[ "$output" == *"$expected"* ]]
  done <<'END'
return { experiments = { "a", "c" } }|c.lua: cannot read the experiment
return { experiments = { "a", "a" } }|list.lua:1: experiments: 'a' stands there twice
return { experiments = { "../a" } }|list.lua:1: experiments: expected names of files
return { experiments = {} }|list.lua:1: experiments: expected a list of names
return { experiments = { "a" }, seeds = 3 }|no other field
return { experiments = { "list" } }|which is a list itself
END
  [ ! -e results/harness.db ]
  echo 'return { experiments = { "a", "b" } }' >list.lua
  run "$harness" estimate list.lua
  [[ "$output" == *"estimate one of them"* ]]
}

@test "what rows are not is said below their table: an ablation where they are trained otherwise, too; nnU-Net in merging windows" {
  export HARNESS_HOME="$root"
  notes() { # FILE key=value ...
    "$harness" run "$@" -n --json | python3 -c 'import json, sys
print(*[note for note in json.load(sys.stdin)["notes"] if "ablation" in note], sep="\n", end="")'
  }
  [ "$(notes "$root/experiments/hippocampus.lua" data=phantom)" = \
    "MaskMed against nnU-Net: trained otherwise, too (steps 2000 and 1500, lr 0.3 and 0.2), so this is no ablation" ]
  [[ "$(notes "$root/experiments/acdc.lua" data=phantom)" == *"no ablation" ]]
  for name in lr_ratio query_count modules; do
    [ -z "$(notes "$root/experiments/$name.lua")" ]
  done
  [ "$("$harness" run "$root/experiments/comparison.lua" -n --json | grep -c "windows of all rows are merged as probabilities")" -eq 1 ]
  [ "$("$harness" run "$root/experiments/modules.lua" -n --json | grep -c "windows of all rows")" -eq 0 ]
  # the training alone, the network alone, what changes no number
  echo 'return { title = "A", rows = { { key = "a", set = {} }, { key = "b", set = { lr = 0.1, optimizer = "adamw" } },
    { key = "c", set = { lr = 0.1, optimizer = "adamw", bridge = "none", threads = 2, mirror_tta = true } } } }' >a.lua
  [ -z "$(notes a.lua)" ]
  # what one alone reads goes with what it chose
  echo 'return { title = "A", base = { warmup = 0 }, rows = { { key = "a", set = {} },
    { key = "b", set = { schedule = "cosine", restarts = { 2 }, bridge = "none" } } } }' >a.lua
  [ "$(notes a.lua)" = "b against a: trained otherwise, too (schedule cosine and poly), so this is no ablation" ]
}

@test "the paper's own list is complete: every experiment of the folder is in it" {
  export HARNESS_HOME="$root"
  for file in "$root"/experiments/*.lua; do
    name=$(basename "$file" .lua)
    grep -q ' data = "' "$file" && continue # on downloaded data, not of the paper's list
    case "$name" in self_test | open_details | encoders | pictures) continue ;; esac # asked of more than the paper says
    [ "$name" = all ] || grep -q "\"$name\"" "$root/experiments/all.lua"
  done
}

@test "an experiment says with what its rows are compared, and a row for itself" {
  rows='rows = { { key = "a", set = {} }, { key = "b", set = { queries = 2 }, note = "Eq. 2 leaves it open" },
    { key = "c", set = { queries = 3 }, against = "b" } }'
  positions() { # FILE WORD...: what each row is compared with
    "$harness" run "$@" --dry-run --json | python3 -c '
import json, sys
document = json.load(sys.stdin)
document = document.get("experiments", [document])[0]
print(*[row.get("against", "-") for row in document["rows"]], *document["notes"])'
  }
  printf 'return { title = "t", %s }' "$rows" >e.lua
  [ "$(positions e.lua)" = "- - 1 b: Eq. 2 leaves it open" ]
  printf 'return { title = "t", against = "first", %s }' "$rows" >e.lua
  [ "$(positions e.lua)" = "0 0 1 b: Eq. 2 leaves it open" ]
  [ "$(positions e.lua lr=0.1,0.2)" = "0 1 0 1 2 3 b: Eq. 2 leaves it open" ] # each with its own rate
  printf 'return { title = "t", against = "above", %s }' "$rows" >e.lua
  [ "$(positions e.lua)" = "0 0 1 b: Eq. 2 leaves it open" ]
  printf 'return { title = "t", against = "queries=2", vary = { queries = { 1, 2 } } }' >e.lua
  [ "$(positions e.lua)" = "1 1" ]
  "$harness" estimate e.lua --json | python3 -c '
import json, sys
power = json.load(sys.stdin)["power"]
assert power["claims"] == 1 and power["paper_smallest"] is None, power'
  printf 'return { title = "t",\n against = "fist", %s }' "$rows" >e.lua
  run "$harness" run e.lua --dry-run
  [ "$status" -eq 2 ]
  [[ "$output" == *'e.lua: against = "fist": expected "first", "above" or a row'"'"'s key'* ]]
  printf 'return { title = "t", rows = { { key = "a", set = {}, note = 3 } } }' >e.lua
  run "$harness" run e.lua --dry-run
  [ "$status" -eq 2 ]
  [[ "$output" == *'e.lua:1: rows[1]: note: expected a text, found a number'* ]]
  printf 'return { title = "t", rows = { { key = "a", set = {}, verdict = { worse = "w" } } } }' >e.lua
  run "$harness" run e.lua --dry-run
  [ "$status" -eq 2 ]
  [[ "$output" == *'e.lua:1: rows[1]: verdict: otherwise: expected a text, found a nil'* ]]
}

# The paper's .903 stands in both. Its other rows at their own rates would be another comparison.
@test "Table 3's last row is Table 4's first trial" {
  of_row() { # EXPERIMENT KEY
    "$harness" run "$root/experiments/$1.lua" --dry-run "${@:3}" | awk -v key="$2" '$4 == key && !/ same / { print $1 }'
  }
  for scale in quick small paper; do
    [ -n "$(of_row seg_heads decoupled "scale=$scale")" ]
    [ "$(of_row seg_heads decoupled "scale=$scale")" = "$(of_row modules per_stage "scale=$scale")" ]
  done
}

@test "a control row whose option is typed is left out" {
  "$harness" run "$root/experiments/loss_ratio.lua" --dry-run seeds=1 scale=small >out
  grep -q " small seed 0$" out
  "$harness" run "$root/experiments/loss_ratio.lua" --dry-run seeds=1 loss_scale=0.5 >out
  grep -q "small: left out, since it sets loss_scale=0.1" out
  refute grep -q " small seed 0$" out
  [ "$(grep -c " seed 0$" out)" -eq 5 ]
}

# What a row sets may be what the others have by then: both are one trial, in which no difference can be seen.
@test "a row that comes to the same as the one that it is compared with is left out, and so is its note" {
  "$harness" run "$root/experiments/loss_ratio.lua" --dry-run seeds=1 loss_scale=0.1 >out
  grep -q "small: left out, since it comes to the same as '2:10:10'" out
  refute grep -q " small seed 0$" out
  "$harness" run "$root/experiments/seg_heads.lua" --dry-run seeds=1 loss_scale=0.1 >out
  grep -q "decoupled_small: left out, since it comes to the same as 'decoupled'" out
  for typed in class_layers=3 none_weight=0.5 bridge_norm=post loss_scale=0.1 head_init=xavier; do
    "$harness" run "$root/experiments/open_details.lua" --dry-run seeds=1 $typed >out
    grep -q "^${typed%=*}: left out, since it sets ${typed%=*}=" out
    refute grep -q " ${typed%=*}.* seed 0$" out
    [ "$(grep -c " seed 0$" out)" -ge 15 ]
  done
  "$harness" run "$root/experiments/open_details.lua" --dry-run --json seeds=1 class_layers=3 >document.json
  refute grep -q "class_layers 1: section 3.2" document.json
  printf 'return { title = "t", rows = { { key = "a", set = {} }, { key = "b", set = { queries = 2 }, against = "a" },
    { key = "c", set = { clip = 1 }, against = "b" } } }' >e.lua
  "$harness" run e.lua --dry-run seeds=1 queries=3 >out
  grep -q "^c: left out, since 'b' is" out
}

@test "rows of several scales are compared within their scale" {
  printf 'return { title = "t", scales = { "quick", "small" }, against = "first",
    rows = { { key = "a", set = {} }, { key = "b", set = { queries = 2 } } } }' >e.lua
  "$harness" run e.lua --dry-run --json seeds=1 | python3 -c '
import json, sys
document = json.load(sys.stdin)
document = document.get("experiments", [document])[0]
assert [row["against"] for row in document["rows"]] == [0, 0, 2, 2], document["rows"]'
}

@test "what the paper leaves open: one detail a row, each against the full model, each with its note" {
  for scale in quick small paper; do
    "$harness" run "$root/experiments/open_details.lua" --dry-run --json seeds=1 "scale=$scale" >document.json
    "$harness" run "$root/experiments/comparison.lua" --dry-run --json seeds=1 "scale=$scale" >comparison.json
    python3 -c '
import json
def read(file):
    document = json.load(open(file))
    return document.get("experiments", [document])[0]
details, full = read("document.json"), read("comparison.json")["cells"][3]["config"]
rows, configs = details["rows"], [cell["config"] for cell in details["cells"]]
assert configs[0] == full and len(rows) > 12 and len(details["notes"]) == len(rows) - 1
for row, config, note in zip(rows[1:], configs[1:], details["notes"]):
    other = {key for key in {*config, *full} if config.get(key) != full.get(key)}
    assert len(other) == 1 or other == {"lr_cnn", "lr_transformer"}, (row, other)
    assert row["against"] == 0 and "paper" not in row and note.startswith(row["label"] + ": "), (row, note)'
  done
  "$harness" estimate "$root/experiments/open_details.lua" --json >estimate.json
  python3 -c '
import json
estimate = json.load(open("estimate.json"))
assert len(estimate["rows"]) > 12 and all(row["parameters"] > 0 for row in estimate["rows"]), estimate'
}

@test "encoders under heads: four rows, of which the plain ones are trials of Tables 3 and 4" {
  hash() { "$harness" run "$root/experiments/$1.lua" seeds=1 --dry-run | grep " $2 seed 0" | cut -c1-8; }
  [ "$(hash encoders ".*" | sort -u | wc -l)" -eq 4 ]
  [ "$(hash encoders plain)" = "$(hash seg_heads nnunet)" ]
  [ "$(hash encoders plain_decoupled)" = "$(hash modules masked)" ]
}

@test "where leaves rows out and names them; config says where each option comes from" {
  cat >grid.lua <<'END'
return { title = "grid", seeds = 1, vary = { lr = { 0.1, 0.2 }, queries = { 1, 2 } }, base = { batch = 1 },
  at = { small = { clip = 5 } }, where = function(c) return c.lr < 0.15 or c.queries == 1 end }
END
  "$harness" run grid.lua --dry-run >dry 2>told
  grep -q "3 of 3 trials would run" dry
  grep -q "lr=0.2 queries=2: left out by where" dry told
  sed 's/return c.lr < 0.15 or c.queries == 1/return false/' grid.lua >none.lua
  run "$harness" run none.lua --dry-run
  [ "$status" -eq 2 ]
  [[ "$output" == *"where leaves no row"* ]]
  "$harness" config grid.lua steps=30 scale=small >config
  grep -Eq '^batch +1 +base$' config
  grep -Eq '^steps +30 +typed$' config
  grep -Eq '^clip +5 +at\.small$' config
  grep -Eq '^lr +0\.1 +the row$' config
  grep -Eq '^momentum +0\.99 +default$' config
  [ "$(sed -n '/^lr=0.2 queries=1$/,$p' config | wc -l)" -eq 4 ] # what is otherwise there
  "$harness" config grid.lua --json | /usr/bin/python3 -c 'import json, sys
rows = json.load(sys.stdin)["rows"]
assert len(rows) == 3 and rows[1]["options"]["queries"] == {"value": 2, "from": "the row"}, rows[1]["options"]["queries"]'
  run "$harness" config grid.lua stepz=3
  [ "$status" -eq 2 ]
  [[ "$output" == *'"steps"'* ]]
}

@test "the command that reproduces a table or a trial asks for the same trials, whatever was typed" {
  export HARNESS_TRIAL_PROGRAM="$root/tests/fake_trial"
  local words="phantom_size=16,16,16 phantom_cases=4 phantom_validation=1 phantom_organs=2 patch=16,16,16 key_grid=2,2,2 steps=3"
  again() { # of the text on standard input, how many trials the command would run
    eval "$(sed -n "s|^ *reproduce:* *\./harness \(.*\)|'$harness' \1 --dry-run|p")" | grep -E "trials? would run"
  }
  for more in "queries=1,2 seeds=2" "queries=5 seeds=1" "queries=1 lr=0.1,0.2 seeds=1" "queries=2 seeds=2 first_seed=3"; do
    rm -rf results
    # shellcheck disable=SC2086
    "$harness" run "$root/experiments/query_count.lua" $words $more -q >table
    grep reproduce table
    [[ "$(again <table)" == "0 of "* ]]
    [ "$(again <table | cut -d' ' -f3)" -eq "$(sql "SELECT count(*) FROM trials")" ]
    hash="$(sql "SELECT hash FROM trials ORDER BY seed DESC LIMIT 1")"
    [[ "$("$harness" runs show "$hash" | again)" == "0 of 1 trials would run" ]]
  done
}
