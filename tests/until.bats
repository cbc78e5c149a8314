#!/usr/bin/env bats
# Seeds added until claims are decided: looks, budgets, kills, failures. What the looks come to: test_replay.c and
# test_statistics.c.

load cli

# Four rows of 6 cases: the second far above the first, the others equal; the paper claims a little everywhere.
four_rows() { # more of make_experiment's words
  experiment cases=6 steps=1 figures=0.5,0.6,0.6,0.6 paper=0.5,0.6,0.601,0.602 noise=0.02 budget_s=3600 "$@"
}

# What was said of plan and looks, without what a clock decides.
looks() { # FILE
  grep -E "harness: [a-z_]+: (look|no claim|[0-9]+ claims? open)| over |^claim" "$1"
}

seeds_of_rows() {
  sql "SELECT group_concat(n, ' ') FROM (SELECT count(*) AS n FROM cells c JOIN rows r ON r.id = c.row_id
    JOIN sequences s ON s.plan_id = r.plan_id GROUP BY r.position ORDER BY r.position)"
}

killed() { # FILE COUNT: runs the experiment, kills it once so many trials have ended, and waits for their processes
  setsid "$harness" run "$1" >/dev/null 2>killed 3>&- &
  local pid=$!
  wait_for enough_ended "$2"
  kill -9 $pid
  wait $pid 2>/dev/null || true
  wait_for no_orphans
}

enough_ended() {
  [ "$(grep -c ": done" killed)" -ge "$1" ]
}

@test "what is asked of one row is looked at as claims are, and stored apart from these" {
  four_rows paper=-,-,-,- against=0,0,0,0 figures=0.5,0.6,0.5,0.6
  "$harness" run experiment.json >table 2>err
  grep -q "2 x N over 1 x N .* differs$" err
  grep -q "3 x N over 1 x N .* open$" err
  grep -Eq '^2 x N .* differs$' table
  grep -Eq '^3 x N .* (undecided|out of reach), within 0\.0[0-9]+$' table
  grep -Eq '^4 x N .* differs$' table
  [ "$(seeds_of_rows | cut -d' ' -f2)" -lt "$(seeds_of_rows | cut -d' ' -f3)" ] # a decided row gets no more
  [ "$(sql "SELECT claims FROM sequences")" = '[{"row":1,"above":0,"paper":0.0},{"row":2,"above":0,"paper":0.0},{"row":3,"above":0,"paper":0.0}]' ]
  "$harness" run experiment.json | cmp - table
  four_rows figures=0.5,0.6,0.5,0.6 # the same rows, each against the one above: seeds of their own
  "$harness" run experiment.json >above 2>err
  [ "$(sql "SELECT count(*) FROM sequences")" -eq 2 ]
  [ "$(sql "SELECT min(first_seed) FROM sequences WHERE claims NOT LIKE '%0.0}%'")" -gt 4 ]
}

@test "looks are told, decided rows get no more seeds, and the table says what was spent" {
  four_rows
  "$harness" run experiment.json --dry-run >dry
  grep -q "^query_count: until its 3 claims of 4 rows are decided, within 60 min: looks at 5 7 10 14 20 28 30 seeds a row$" dry
  grep -q "  20 trials to the first look, at most 120; how long one takes is not known" dry
  grep -q "^20 of 20 trials would run$" dry
  [ ! -e results ]
  "$harness" run experiment.json >table 2>said
  grep -Eq "^harness: query_count: 3 claims; a trial takes .*, so 60 min pay for at most 30 seeds a row: looks at 5 7 10" said
  grep -q "look 1 of 7, 5 seeds a row" said
  grep -Eq "^2 x N over 1 x N +\+0\.10.* supported$" said
  grep -Eq "query_count: no claim is open after [2-7] of 7 looks$" said
  [[ "$(seeds_of_rows)" == "5 5 "* ]] || [[ "$(seeds_of_rows)" == "5 "* ]]
  grep -Eq "^2 x N +\+0\.100 +\+0\.10.* supported$" table
  grep -Eq "of 7 looks spent \(at most 30 seeds a row\); .*; decided early, so those differences are somewhat too large$" table
  # What is told and what is printed agree.
  grep -E "^3 x N over 2 x N .* out of reach$" said
  grep -E "^3 x N .* out of reach$" table
  run grep "in 80 of 100 tries" table # which is of a single look
  [ "$status" -eq 1 ]
  # Again: nothing runs, and everything is said again from what is stored.
  "$harness" run experiment.json >again 2>said_again
  grep -q "harness: 0 of .* trials to run" said_again
  diff <(looks said) <(looks said_again)
  cmp table again
  "$harness" run experiment.json -n >dry
  grep -q "looks are done, 0 claims are open" dry
  "$harness" table 6 | cmp - table
  "$harness" table 6 --json | python3 -c '
import json, sys
table = json.load(sys.stdin)
assert table["looks"]["planned"] == 7 and table["looks"]["early"] and table["family"]["claims"] == 3
row = table["rows"][1]
assert row["verdict"] == "supported" and row["corrected_low"] > 0 and row["low"] >= row["corrected_low"]'
}

@test "killed in the middle of a look, the same command comes to the same looks and the same table" {
  four_rows rows=3 steps=2 step_s=0.05 # or the kill comes too late
  "$harness" run experiment.json 2>undisturbed | grep -v "last trial" >table
  rm -rf results
  run_interrupted # and asked to stop, before that
  killed experiment.json 5
  [ "$(sql "SELECT count(*) FROM sequences WHERE most IS NULL AND budget_s = 3600")" -eq 1 ] # before the first look
  killed experiment.json 7
  "$harness" run experiment.json 2>said | grep -v "last trial" >table_again
  diff <(looks undisturbed) <(looks said)
  diff table table_again
}

@test "what failed is replaced by the next seed; a collapsed trial has ended; a repetition is refused" {
  four_rows rows=2 seeds=7 fake=queries=1:1:failed,queries=2:3:crash,queries=2:4:collapsed
  local code=0
  "$harness" run experiment.json 2>said >table || code=$?
  [ "$code" -eq 1 ]
  [ "$(sql "SELECT count(*) FROM trials WHERE status = 'done'")" -ge 9 ]
  [[ "$(seeds_of_rows)" != "5 "* ]]
  [ "$(sql "SELECT max(seed) FROM trials WHERE config ->> '$.queries' = 1")" -ge 5 ]
  grep -q "what failed was replaced by the next seed" said
  run "$harness" run experiment.json --retry all
  [ "$status" -eq 2 ]
  [[ "$output" == *"it takes no --retry"* ]]
}

@test "a row of which every trial fails is given up, and holds up nobody" {
  four_rows rows=3 seeds=12 fake="$(printf 'queries=3:%d:failed,' {0..11})"
  run "$harness" run experiment.json
  [ "$status" -eq 1 ]
  [[ "$output" == *"2 x N over 1 x N"*"supported"* ]]
  [[ "$output" == *"1 claim open after too many failed trials of a row"* ]]
  [ "$(sql "SELECT count(*) FROM trials WHERE config ->> '$.queries' = 3")" -le 12 ]
}

@test "a budget ends a call, and the next one goes on with the same plan" {
  four_rows rows=2 step_s=0.4 budget_s=1.5
  run "$harness" run experiment.json --jobs 2
  [ "$status" -eq 75 ]
  [[ "$output" == *"time is over before the first look; the same command goes on"* ]]
  [[ "$output" == *"no look was taken yet, so there is no verdict"* ]]
  local ended
  ended="$(sql "SELECT count(*) FROM trials WHERE status = 'done'")"
  [ "$ended" -ge 1 ] && [ "$ended" -lt 10 ]
  sed -i 's/"budget_s": 1.5/"budget_s": 60/' experiment.json
  "$harness" run experiment.json --jobs 2 2>said >table
  grep -q "goes on with its plan, made for a budget of 1.5 s" said
  grep -q "pay for at most 5 seeds a row: looks at 5$" said
  grep -q "look 1 of 1, 5 seeds a row" said
  grep -q "1 of 1 looks spent" table
}

@test "seeds that were judged decide nothing again, and seeds added without looks are told" {
  experiment rows=2 seeds=5 cases=6 steps=1 figures=0.5,0.6 paper=0.5,0.6 noise=0.02
  "$harness" run -q experiment.json >/dev/null
  four_rows rows=2
  "$harness" run experiment.json 2>said >table
  grep -q "seeds below 5 of these rows were judged before, so fresh ones are taken, from 5 on" said
  [ "$(sql "SELECT first_seed FROM sequences")" -eq 5 ]
  [ "$(sql "SELECT count(*) FROM trials WHERE seed < 10")" -eq 20 ]
  sed -i 's/"until": {/"until": {"first_seed": 3, /' experiment.json
  run "$harness" run experiment.json
  [ "$status" -ne 0 ]
  [[ "$output" == *"first_seed=3, but seeds up to 9 of these rows were judged already; fresh ones begin at first_seed=10"* ]]
  experiment rows=2 seeds=6 cases=6 steps=1 figures=0.5,0.6 paper=0.5,0.6 noise=0.02
  "$harness" run -q experiment.json >table
  grep -q "Seeds were added after a look at 5" table
}

@test "five folds are looked at seed by seed, fewer never make a verdict" {
  four_rows rows=2 folds=5 seeds=1
  "$harness" run experiment.json 2>said >table
  grep -q "look 1 of 10, 1 seed of each fold$" said
  grep -Eq "^2 x N over 1 x N .* supported$" said
  grep -Eq "^2 x N .* supported$" table
  four_rows rows=2 folds=4 seeds=1
  run "$harness" run experiment.json
  [ "$status" -ne 0 ]
  [[ "$output" == *"4 folds never make a verdict"* ]]
}

@test "words of the command line" {
  run "$harness" run "$root/experiments/query_count.lua" -n until=decidd
  [[ "$output" == *"until=decidd: expected decided"* ]]
  run "$harness" run "$root/experiments/query_count.lua" -n until=decided budget=2
  [[ "$output" == *"budget=2: expected a time such as 2h or 90min"* ]]
  run "$harness" run "$root/experiments/query_count.lua" -n budget=2h
  [[ "$output" == *"the time within which until=decided adds seeds"* ]]
  run "$harness" run "$root/experiments/query_count.lua" -n until=decided seeds=3
  [[ "$output" == *"seeds and until: give one of them"* ]]
  run "$harness" run "$root/experiments/embeddings.lua" -n until=decided
  [[ "$output" == *"claims no difference"* ]]
  run "$harness" run "$root/experiments/query_count.lua" -n first_seed=9999999999
  [[ "$status" -eq 2 && "$output" == *"first_seed=9999999999: expected at most 2147482648"* ]]
  "$harness" run "$root/experiments/query_count.lua" -n seeds=2 first_seed=7 | grep -q "queries=1 seed 8$"
  # No part of a trial's identity.
  "$harness" run "$root/experiments/query_count.lua" -n --json seeds=5 >fixed.json
  "$harness" run "$root/experiments/query_count.lua" -n --json until=decided budget=90min >until.json
  python3 -c '
import json
fixed, until = json.load(open("fixed.json")), json.load(open("until.json"))
assert until["until"] == {"budget_s": 5400, "first_seed": 0}, until["until"]
assert fixed["cells"] == until["cells"]'
}

@test "an experiment file's budget; four rows of a tiny phantom, trained, killed and gone on with" {
  unset HARNESS_TRIAL_PROGRAM
  export HARNESS_HOME="$work/home"
  mkdir home
  cp -r "$root/lua" "$root/paper" home/
  cat >four.lua <<'LUA'
return {
  title = "Four rows", paper = "maskmed", table = 6, vary = { queries = { 1, 2, 3, 4 } }, budget = "10min",
  base = {
    phantom_size = { 16, 16, 16 }, phantom_cases = 10, phantom_validation = 6, phantom_organs = 2, patch = { 16, 16, 16 },
    key_grid = { 2, 2, 2 }, threads = 1, steps = 1, collapse_dice = 0,
  },
}
LUA
  "$harness" run four.lua -n | grep -q "at most .* of the training steps alone"
  killed four.lua 6
  "$harness" run four.lua 2>said >table
  grep -q "four: look 1 of 7, 5 seeds a row" said
  grep -Eq "four: (no claim is|[0-9] claims?) open after" said
  "$harness" run four.lua 2>again | cmp - table
  diff <(looks said) <(looks again)
  rm results/harness.db*
  "$harness" run four.lua >/dev/null 2>undisturbed
  diff <(looks said) <(looks undisturbed)
}
