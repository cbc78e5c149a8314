#!/usr/bin/env bats
# lr=tuned: rates per row, from tries on an inner split of the training cases. Trials are played but in the last two tests.
# Which rate tries choose: test_tries.c; what an inner split leaves out: test_split.c.

load cli

tuned() { # more words of `harness run`: two rows of Table 6, two seeds
  export HARNESS_HOME="$work/home"
  if [ ! -e home ]; then
    mkdir home
    cp -r "$root/lua" "$root/paper" home/
  fi
  [ -e two.lua ] || cat >two.lua <<'LUA'
return {
  title = "Two rows", paper = "maskmed", table = 6, vary = { queries = { 1, 2 } }, seeds = 2,
  base = {
    phantom_size = { 16, 16, 16 }, phantom_cases = 12, phantom_validation = 4, phantom_organs = 2, patch = { 16, 16, 16 },
    key_grid = { 2, 2, 2 }, threads = 1, steps = 2, collapse_dice = 0,
  },
}
LUA
  "$harness" run two.lua lr=tuned lr_tries=0.1,0.2,0.4 "$@"
}

export FAKE_TRIES='{"1": {"0.1": 0.7, "0.2": 0.8, "0.4": 0.8}, "2": {"0.1": 0.6, "0.2": 0.65, "0.4": 0.7}}'

rates() { # of the rows' own trials
  sql "SELECT DISTINCT config ->> '$.queries', config ->> '$.lr' FROM trials t JOIN cells c ON c.trial_id = t.id ORDER BY 1"
}

@test "tries come first, each row gets its own rate, and its trials are those of the rate when it is given" {
  tuned >table 2>said
  grep -q "harness: 6 of 6 tries of rates to run" said
  grep -q "harness: 4 of 4 trials to run" said
  [ "$(rates | tr '\n' ' ')" = "1|0.2 2|0.4 " ] # of equal ones the smaller
  [ "$(sql "SELECT count(*) FROM attempts a JOIN tries y ON y.trial_id = a.trial_id WHERE a.id > 6")" -eq 0 ]
  grep -qF "lr tuned: each row's rate (*) had the best Dice on 2 of the fold's training cases, after training on the others with seed 1000" table
  grep -qF "lr of queries=1: 0.1 0.700, 0.2 0.800*, 0.4 0.800" table
  grep -qF "lr of queries=2: 0.1 0.600, 0.2 0.650, 0.4 0.700*; at the edge of its tries: a larger rate may do better" table
  grep -Eq "^queries=1 .* 2 .* done$" table
  # The same trials where the rate is given, and no tries in that table.
  "$harness" run two.lua lr=0.2 queries=1 -n | grep -q "^0 of 2 trials would run"
  "$harness" run two.lua lr=0.4 queries=2 -n | grep -q "^0 of 2 trials would run"
  "$harness" run two.lua lr=0.2 2>err >fixed
  grep -q "harness: 2 of 4 trials to run" err
  refute grep -q "lr tuned" fixed
  # Again: nothing runs, and the table is that one.
  tuned 2>again | cmp - table
  grep -q "harness: 0 of 6 tries of rates to run" again
  "$harness" table two | cmp - table
  "$harness" runs list --experiment two >list
  grep -Eq " done +two +queries=2 try lr=0.4 +1000 .* 0.700 " list
  [ "$(grep -c " try lr=" list)" -eq 6 ]
  "$harness" table two --json | python3 -c '
import json, sys
first, second = json.load(sys.stdin)["tuned"]
assert (first["row"], first["lr"], first["edge"]) == ("queries=1", 0.2, False), first
assert (second["lr"], second["edge"]) == (0.4, True) and [t["lr"] for t in second["tries"]] == [0.1, 0.2, 0.4], second'
  # More seeds have the same tries, and the larger table keeps them.
  tuned seeds=3 2>more >/dev/null
  grep -q "harness: 0 of 6 tries of rates to run" more
  grep -q "harness: 2 of 6 trials to run" more
  tuned 2>/dev/null | grep -q "lr of queries=1: 0.1 0.700, 0.2 0.800\*"
}

@test "what fails is lost and what collapses counts as 0; a row without any has no rate, and says so" {
  export FAKE_TRIES='{"1": {"0.1": "failed", "0.2": "oom", "0.4": "crash"}, "2": {"0.1": "collapsed", "0.2": "failed", "0.4": "collapsed"}}'
  local code=0
  tuned >table 2>said || code=$?
  [ "$code" -eq 1 ]
  grep -q "queries=1: none of its tries of rates ended well" said
  [ "$(rates)" = "2|0.1" ]
  grep -Eq "^queries=1 .* no rate$" table
  grep -qF "lr of queries=1: 0.1 failed, 0.2 failed, 0.4 failed; no try ended well, so it has no rate and no trials" table
  grep -qF "lr of queries=2: 0.1 0.000* (collapsed), 0.2 failed, 0.4 0.000 (collapsed); at the edge" table
  "$harness" table two --format csv 2>/dev/null | grep -q "^queries=1,queries=1,0.913,,,0,no rate"
  run tuned until=decided
  [ "$status" -eq 3 ]
  [[ "$output" == *"needs a rate for every row"* ]]
  tuned -n >dry
  refute grep -q "more wait" dry
  grep -q "^0 of 2 trials would run$" dry
  # Repeated, they choose.
  export FAKE_TRIES='{"1": {"0.1": 0.5, "0.2": 0.6, "0.4": "failed"}, "2": {"0.1": 0.5, "0.2": 0.6, "0.4": 0.1}}'
  tuned --retry failed,oom,collapsed >table 2>said
  [ "$(rates | tr '\n' ' ')" = "1|0.2 2|0.1 2|0.2 " ] # what was chosen before stays stored
  grep -qF "lr of queries=2: 0.1 0.500, 0.2 0.600*, 0.4 0.100" table
  export FAKE_TRIES='{"1": {"0.1": "failed", "0.2": "failed", "0.4": "failed"}, "2": {"0.1": "failed", "0.2": "failed", "0.4": "failed"}}'
  HARNESS_DB="$work/none.db" tuned >table 2>/dev/null || true
  grep -q "the best Dice on some of the fold's training cases" table # how many, no try says
}

@test "several seeds, their mean decides; folds have tries of their own" {
  tuned lr_seeds=2 folds=2 seeds=1 >table 2>said
  grep -q "harness: 24 of 24 tries of rates to run" said
  grep -q "harness: 4 of 4 trials to run" said
  grep -q "with seeds 1000 to 1001; no validation case" table
  grep -q "lr of queries=2, fold 1: 0.1 0.600, " table
}

@test "stopped and killed among its tries, the same command goes on to the same choice" {
  export FAKE_STEP_S=0.4
  tuned -n >/dev/null # makes what it needs
  "$harness" run two.lua lr=tuned lr_tries=0.1,0.2,0.4 --jobs 1 >out 2>err 3>&- &
  local pid=$! code=0
  wait_for grep -q "done 2/6" err
  kill -INT $pid
  wait $pid || code=$?
  [ "$code" -eq 75 ]
  grep -Eq "harness: [2-5] of 6 tries of rates have ended, and trials wait for what they choose; the same command goes on" err
  [ ! -s out ]
  [ "$(sql "SELECT count(*) FROM cells")" -eq 0 ]
  tuned -n >dry
  grep -Eq "^[1-4] of 6 tries of rates would run$" dry
  grep -q "^4 more wait for the rates that the tries choose$" dry
  setsid "$harness" run two.lua lr=tuned lr_tries=0.1,0.2,0.4 --jobs 1 >/dev/null 2>killed 3>&- &
  pid=$!
  wait_for grep -q "done 1/" killed
  kill -9 $pid
  wait $pid 2>/dev/null || true
  wait_for no_orphans
  export FAKE_STEP_S=0
  tuned 2>said | grep -v "last trial" >table
  grep -Eq "harness: [1-3] of 6 tries of rates to run" said
  rm -rf results
  tuned 2>/dev/null | grep -v "last trial" | cmp - table
}

@test "a dry run counts what hangs on the tries, its JSON runs, and an estimate has them" {
  tuned -n >dry
  grep -Eq "^[0-9a-f]{8}  planned      run      queries=1 try lr=0.1 seed 1000$" dry
  grep -q "^6 of 6 tries of rates would run$" dry
  grep -q "^0 of 0 trials would run$" dry
  grep -q "^4 more wait for the rates that the tries choose$" dry
  [ ! -e results ]
  cp two.lua again.lua
  echo 'return { experiments = { "two", "again" } }' >both.lua
  "$harness" run both.lua lr=tuned lr_tries=0.1,0.2,0.4 -n >dry # equal tries, and so equal trials
  grep -q "^6 of 6 tries of rates would run$" dry
  grep -q "^4 more wait" dry
  tuned -n --json >cells.json
  tuned until=decided -n | grep -q "^two: its looks are planned once all rates are known$"
  "$harness" run cells.json 2>/dev/null | grep -v "last trial" >table
  [ "$(rates | tr '\n' ' ')" = "1|0.2 2|0.4 " ]
  tuned -n --json | python3 -c '
import json, sys
assert [c["config"]["lr"] for c in json.load(sys.stdin)["cells"]] == [0.2, 0.2, 0.4, 0.4]'
  "$harness" estimate two.lua lr=tuned >estimate
  grep -q "all 2 variants with 2 seeds and 6 tries of rates before: " estimate
  "$harness" estimate two.lua >estimate
  refute grep -q "tries of rates" estimate
}

@test "rows whose rates are tuned get seeds until their claims are decided" {
  tuned until=decided budget=10min >table 2>said
  grep -q "harness: 6 of 6 tries of rates to run" said
  grep -q "two: look 1 of " said
  grep -q "lr of queries=2: 0.1 0.600, " table
  [ "$(rates | tr '\n' ' ')" = "1|0.2 2|0.4 " ]
  tuned until=decided budget=10min 2>again | cmp - table
  grep -q "harness: 0 of 6 tries of rates to run" again
}

@test "what cannot be tried is refused" {
  while IFS='|' read -r words expected; do
    # shellcheck disable=SC2086
    run "$harness" run "$root/experiments/query_count.lua" -n $words
    echo "$words: $output"
    [ "$status" -eq 2 ]
    [[ "$output" == *"$expected"* ]]
  done <<'END'
lr=tune|lr=tune: expected a number or tuned, found 'tune'; did you mean "tuned"?
lr_tries=0.1,0.2|lr_tries: it is read with lr=tuned alone, which no row has
lr=tuned lr_tries=0.1|lr_tries=0.1: one rate is no choice
lr=tuned lr_tries=0.2,0.1|expected rising numbers, found 0.1 after 0.2
lr=tuned lr_tries=0,05,0,1|did you mean lr_tries=0.05,0.1?
lr=tuned lr_tries=0.1,fast|expected a number, found 'fast'
lr=tuned lr_tries=0.0,0.1|0.0 is outside
lr=tuned lr_seeds=0|0 is outside 1 .. 100
lr=tuned optimizer=adamw|with optimizer=adamw and lr=tuned, set lr_tries, too
lr=tuned first_seed=998 seeds=3|lr=tuned tries its rates with seeds 1000 to 1000, which must not be reported ones
lr=tuned lr_tries=0.1,0.2 lr_min=0.15|lr_min=0.15, which is more than the rate that it begins to fall from, 0.1 (at lr=0.1, one of its tries)
inner_split=4|no option 'inner_split'
END
  run "$harness" run "$root/experiments/self_test.lua" -n lr=tuned
  [[ "$status" -eq 2 && "$output" == *"rows that are compared, which those of kind self_test are not"* ]]
  # Typed for a list of experiments, it is no matter of those that train nothing.
  diff <("$harness" run "$root/experiments/memory_scale.lua" -n) <("$harness" run "$root/experiments/memory_scale.lua" -n lr=tuned)
  # An optimiser with rates of its own to try; one row tuned beside one that is not; rows that set rates get their own again.
  "$harness" run "$root/experiments/query_count.lua" -n seeds=1 lr=tuned optimizer=adamw lr_tries=1e-4,1e-3 |
    grep -q "^8 of 8 tries of rates would run"
  "$harness" run "$root/experiments/query_count.lua" -n seeds=1 lr=tuned,0.1 queries=1 >dry
  grep -q "^3 of 3 tries of rates would run" dry
  grep -Eq "run +queries=1 lr=0.1 seed 0$" dry
  grep -q "^1 more wait" dry
  "$harness" help options | grep -A1 "^lr " | grep -q "or tuned"
}

# --- trained ---

real() { # FOLDER: tries of a tiny U-Net on that data set
  "$harness" run "$1.lua" lr=tuned lr_tries=0.01,0.1 --db "$1/h.db" >/dev/null
  HARNESS_DB="$1/h.db" sql "SELECT t.config ->> '$.lr', m.case_name, m.label, m.value FROM tries y JOIN trials t ON t.id = y.trial_id
    JOIN attempts a ON a.trial_id = t.id JOIN metrics m ON m.attempt_id = a.id WHERE m.metric = 'dice' ORDER BY 1, 2, 3"
  HARNESS_DB="$1/h.db" sql "SELECT t.config ->> '$.lr', k.step, k.loss, k.val_dice FROM tries y JOIN trials t ON t.id = y.trial_id
    JOIN attempts a ON a.trial_id = t.id JOIN curves k ON k.attempt_id = a.id ORDER BY 1, 2"
}

@test "tries see nothing of the validation cases: of other ones, they come to the same numbers" {
  unset HARNESS_TRIAL_PROGRAM
  "$harness" data phantom set --size 16 --cases 7 --validation 2 --organs 2 2>/dev/null
  tiny_unet 4 >set.lua
  cp -r set other
  # cases 5 and 6 validate; in the other set they are those of another phantom
  "$harness" data phantom third --size 16 --cases 7 --validation 2 --organs 2 --seed 5 2>/dev/null
  for case in 005 006; do cp third/imagesTr/*_${case}_* other/imagesTr/ && cp third/labelsTr/*_${case}.* other/labelsTr/; done
  sed 's|/set"|/other"|' set.lua >other.lua
  real set >first
  real other >second
  [ "$(grep -c "phantom_00" first)" -eq 4 ] # case 3 alone scores, two organs at two rates
  [ "$(cut -d'|' -f2 first | grep phantom | sort -u)" = phantom_003 ]
  cmp first second
  # And what is reported is of the validation cases, which differ.
  own() {
    HARNESS_DB="$1/h.db" sql "SELECT m.case_name, m.value FROM cells c JOIN attempts a ON a.trial_id = c.trial_id
      JOIN metrics m ON m.attempt_id = a.id ORDER BY 1, 2"
  }
  [ "$(own set | cut -d'|' -f1 | sort -u | tr '\n' ' ')" = "phantom_005 phantom_006 " ]
  [ "$(own set)" != "$(own other)" ]
}

@test "a fold whose training cases cannot be divided again is an error before any trial starts" {
  unset HARNESS_TRIAL_PROGRAM
  "$harness" data phantom set --size 16 --cases 3 --validation 2 --organs 2 2>/dev/null
  tiny_unet 4 >set.lua
  run "$harness" run set.lua lr=tuned
  [ "$status" -eq 3 ]
  [[ "$output" == *"cannot be divided again"* ]]
  [[ "$output" != *"start "* ]]
}
