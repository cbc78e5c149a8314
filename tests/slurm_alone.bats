#!/usr/bin/env bats
# What a sweep on a cluster does by itself, where Slurm is played: sbatch notes what it was given, squeue says what a test
# wants, and workers are started by hand. With a cluster: slurm.bats.

load cli
load fault

setup() {
  work_in "$(mktemp -d)"
  export HARNESS_TRIAL_PROGRAM="$root/tests/fake_trial"
  mkdir bin
  printf '#!/bin/sh\nprintf "%%s\\n" "$@" >>"%s/sbatch.words"\necho "a word of warning"\necho 42\n' "$work" >bin/sbatch
  printf '#!/bin/sh\ncat "%s/queue" 2>/dev/null\n' "$work" >bin/squeue # without the file it does not answer
  printf '#!/bin/sh\nexit 1\n' >bin/scontrol
  chmod +x bin/*
  export PATH="$work/bin:$PATH"
  touch queue
  unset SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID SLURM_RESTART_COUNT SLURM_JOB_ID
}

submit() {
  "$harness" slurm experiment.json "$@"
}

sweep() {
  echo "$work"/results/slurm/*
}

# A worker of an array's task: its output is in FOLDER's worker-NAME.
task() { # ARRAY TASK [RESTARTS]
  SLURM_ARRAY_JOB_ID=$1 SLURM_ARRAY_TASK_ID=$2 SLURM_RESTART_COUNT=${3:-0} "$harness" slurm work "$(sweep)" >"worker-$1_$2" 2>&1 3>&-
}

sql_of() { # DATABASE STATEMENT
  HARNESS_DB="$1" sql "$2"
}

as_on_one_machine() { # trials
  submit -q >table
  [ "$(sql "SELECT count(*) FROM attempts WHERE status = 'done' AND removed = 0")" -eq "$1" ]
  sed 's/"step_s": [0-9.]*/"step_s": 0/' experiment.json >alone.json
  "$harness" run -q alone.json --db alone/harness.db >alone.txt
  diff alone.txt table
}

@test "a dry run shows trials, sbatch's command and the script, and changes nothing" {
  experiment rows=2 seeds=2
  submit --dry-run --partition short --gres gpu:1 --time 4:00:00 --max 3 --setup "module load cuda" --container "apptainer exec x.sif" \
    --sbatch=--mem=4G device=cpu >out 2>err || true
  # cells that are resolved take no device
  grep -q "take no overrides" err
  submit --dry-run --partition short --time 4:00:00 --max 3 --setup "module load cuda" --container "apptainer exec x.sif" --sbatch=--mem=4G >out
  [ ! -e results ]
  [ ! -e sbatch.words ]
  grep -q "^4 of 4 trials would run" out
  grep -q "^sbatch --parsable --array=0-2 .* --partition=short --time=4:00:00 --mem=4G .*/job.sh$" out
  grep -qx "module load cuda" out
  grep -q "^apptainer exec x.sif '.*harness' slurm work '.*'" out
  local limit
  for limit in 4:00:00@180 1-0@180 11@165 0:08:00@120 2:00@30 oops@180; do
    submit --dry-run --time "${limit%@*}" | grep -q -- "--signal=B:USR1@${limit#*@} "
  done
  sed -n '/^#!\/bin\/sh/,$p' out >job.sh
  sh -n job.sh
}

@test "a GPU that is asked for is used, unless it is typed otherwise" {
  cat >net.lua <<'END'
return { title = "t", seeds = 1, rows = { { key = "a", label = "a", set = {} } } }
END
  "$harness" slurm net.lua --gres gpu:1 --dry-run >gpu
  "$harness" slurm net.lua --gres gpu:1 device=cpu --dry-run >cpu
  "$harness" slurm net.lua device=cuda --dry-run | head -1 >typed
  "$harness" run net.lua --dry-run | grep -o '^[0-9a-f]* ' >here # hashes
  head -1 gpu | cmp - typed
  head -1 cpu | grep -q "^$(cat here)"
  refute grep -q "^$(cat here)" typed
}

@test "sbatch gets what was typed, in a folder of any name; what it refuses is told and nothing is lost" {
  mkdir "it's 100%"
  cd "it's 100%"
  export HARNESS_DB="$PWD/results/harness.db"
  experiment rows=1 seeds=3
  printf '#!/bin/sh\necho "sbatch: error: invalid partition specified: nowhere" >&2\nexit 1\n' >"$work/bin/refuse"
  chmod +x "$work/bin/refuse"
  mv "$work/bin/sbatch" "$work/bin/notes"
  ln -s refuse "$work/bin/sbatch"
  run submit --partition nowhere
  [ "$status" -eq 3 ]
  [[ "$output" == *"sbatch ended with code 1: sbatch: error: invalid partition"* ]]
  ln -sf notes "$work/bin/sbatch"
  submit --partition "a b" --gres shard:1 2>err
  grep -q "job 42 with 3 tasks for 3 of the trials" err
  grep -qx -- "--partition=a b" "$work/sbatch.words"
  grep -qx -- "--gres=shard:1" "$work/sbatch.words"
  grep -qx -- "--output=$work/it's 100%%/results/slurm/experiment-.*/log/%A_%a.log" "$work/sbatch.words"
  sh results/slurm/*/job.sh >out 2>&1
  submit -q | grep -q "^1 x N .* done$"
}

@test "tasks in the queue are waited for; without an answer that is said and nothing concluded" {
  experiment rows=1 seeds=2
  submit -q
  echo "42_0 RUNNING
42_1 PENDING" >queue
  submit 2>err
  grep -q "2 tasks of experiment-[0-9a-f]* are in the queue" err
  [ "$(grep -c parsable sbatch.words)" -eq 1 ]
  "$harness" slurm status | grep -q "job 42: 2 tasks in the queue"
  rm queue
  "$harness" slurm status >out
  grep -q "the queue does not answer" out
  "$harness" slurm status --json | /usr/bin/python3 -c 'import json, sys
one, = json.load(sys.stdin)["sweeps"]
assert one["queued"] is None and one["open"] == 2 and one["done"] == 0 and one["arrays"] == ["42"], one'
}

@test "workers killed again and again: others take over, none is lost and none done twice" {
  local i pid pids=() kills rows=3
  kills=$(long_or 60 6)
  [ -z "$SOAK" ] || rows=4
  experiment rows=$rows seeds="$(long_or 20 4)" steps=4 step_s=0.1 keeps=1
  submit -q
  begin() {
    "$harness" slurm work "$(sweep)" >>workers 2>&1 3>&- &
    pids+=($!)
  }
  has_taken() {
    grep -qs "\"pid\":$1," "$(sweep)"/claims/* || ! kill -0 "$1" 2>/dev/null
  }
  for i in 1 2 3; do begin; done
  for ((i = 0; i < kills; i++)); do
    pid=${pids[0]}
    pids=("${pids[@]:1}")
    wait_for has_taken "$pid"
    sleep 0.2
    kill -9 "$pid" || true
    wait "$pid" || true
    begin
  done
  for pid in "${pids[@]}"; do wait "$pid"; done
  submit -q # the last one may have been killed when the others had ended, or three of one trial
  "$harness" slurm work "$(sweep)" >>workers 2>&1
  no_orphans
  [ "$(ls "$(sweep)/claims" | grep -c '\.[1-9]$')" -gt 0 ]
  as_on_one_machine $((rows * $(long_or 20 4)))
  injected "worker of a sweep on a cluster killed" "$kills" "$(sql "SELECT count(*) FROM trials WHERE status <> 'done'")"
}

@test "merge while workers run: what is done is there, the rest waits" {
  experiment rows=1 seeds=3 steps=10 step_s=0.05
  submit -q
  "$harness" slurm work "$(sweep)" >log 2>&1 3>&- &
  local pid=$!
  wait_for eval 'ls "$(sweep)"/done/* 2>/dev/null | grep -q .'
  "$harness" slurm merge >out
  grep -q "^experiment-[0-9a-f]*: [12] attempts\? of [12] trials\? joined, 1 running" out
  wait $pid
  "$harness" slurm merge
  "$harness" slurm merge | grep -q ": 0 attempts of 0 trials joined, 0 running"
  as_on_one_machine 3
}

@test "a node that is cut off and lives on: both finish, one counts" {
  experiment rows=1 seeds=1 steps=20 step_s=0.1 keeps=1
  submit -q
  echo "1_0 RUNNING" >queue
  task 1 0 &
  local cut=$!
  wait_for eval 'ls "$(sweep)"/claims/*.0.0 2>/dev/null | grep -q .'
  echo "2_0 RUNNING" >queue # the controller has given up the node of 1_0
  task 2 0
  wait $cut
  [ "$(cat "$(sweep)"/done/* | grep -c worker)" -eq 1 ]
  submit -q >table
  [ "$(sql "SELECT count(*), sum(removed), sum(status = 'done') FROM attempts")" = "2|1|2" ]
  as_on_one_machine 1
}

@test "a worker whose trial was taken over stops, and takes another" {
  experiment rows=1 seeds=2 steps=90 step_s=0.1 keeps=1
  submit -q
  echo "1_0 RUNNING" >queue
  task 1 0 &
  local cut=$! claim
  wait_for eval 'ls "$(sweep)"/claims/*.0.0 2>/dev/null | grep -q .'
  claim=$(ls "$(sweep)"/claims/*.0.0)
  echo '{"worker": "3_0.0"}' >"${claim%.0}.1"
  printf '1_0 RUNNING\n3_0 RUNNING\n' >queue
  wait_for grep -q "another worker has taken it over" worker-1_0
  wait_for grep -qc "1_0.0 takes .*seed 1" worker-1_0
  kill -TERM "$(pgrep -f "slurm work $(sweep)")"
  wait $cut || [ $? -eq 75 ]
  [ "$(ls "$(sweep)"/claims/*.back | wc -l)" -eq 1 ]
}

@test "USR1 saves, gives back and ends with 76, TERM with 75; a task that is started again goes on" {
  experiment rows=1 seeds=1 steps=30 step_s=0.1 keeps=1
  submit -q
  printf '1_0 RUNNING\n' >queue
  local signal code restart=0
  for signal in USR1 TERM; do
    task 1 0 $restart &
    local pid=$!
    wait_for eval "[ -s \"\$(sweep)\"/shards/1_0.$restart/checkpoints/*.safetensors ]"
    sleep 0.3
    kill -$signal "$(pgrep -f "slurm work $(sweep)")"
    code=0
    wait $pid || code=$?
    [ "$signal $code" = "USR1 76" ] || [ "$signal $code" = "TERM 75" ]
    restart=$((restart + 1))
  done
  [ "$(ls "$(sweep)"/claims/*.back | wc -l)" -eq 2 ]
  task 1 0 $restart
  as_on_one_machine 1
  [ "$(sql "SELECT group_concat(status) FROM (SELECT status FROM attempts ORDER BY started_at)")" = interrupted,interrupted,done ]
  [ "$(sql "SELECT count(*) FROM (SELECT first_step, lag(first_step) OVER (ORDER BY started_at) AS before FROM attempts)
    WHERE before >= first_step")" -eq 0 ]
}

@test "a job's script: USR1 goes to the worker, which asks to be queued again; where that is refused it ends with 75" {
  experiment rows=1 seeds=1 steps=30 step_s=0.1 keeps=1
  submit -q
  local answer code
  for answer in 0 1; do
    printf '#!/bin/sh\necho "$@" >>"%s/asked"\nexit %s\n' "$work" $answer >bin/scontrol
    SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=3 SLURM_RESTART_COUNT=$answer sh "$(sweep)/job.sh" >out 2>&1 3>&- &
    local pid=$!
    wait_for eval "[ -s \"\$(sweep)\"/shards/7_3.$answer/checkpoints/*.safetensors ]"
    kill -USR1 $pid
    code=0
    wait $pid || code=$?
    [ $code -eq $((answer * 75)) ]
  done
  [ "$(grep -c "^requeue 7_3$" asked)" -eq 2 ]
}

@test "another program, and a node of another kind, are refused with what to do" {
  experiment rows=1 seeds=2
  submit -q
  HARNESS_ISA=portable SLURM_ARRAY_JOB_ID=1 SLURM_ARRAY_TASK_ID=0 "$harness" slurm work "$(sweep)" 2>/dev/null
  run env SLURM_ARRAY_JOB_ID=1 SLURM_ARRAY_TASK_ID=1 "$harness" slurm work "$(sweep)"
  [ "$status" -eq 3 ]
  [[ "$output" == *"another kind than that the array began on"*"--constraint"* ]]
  sed -i 's/"program":"[0-9a-f]*"/"program":"0123456789abcdef"/' "$(sweep)/plan.json"
  run "$harness" slurm work "$(sweep)"
  [ "$status" -eq 3 ]
  [[ "$output" == *"this program is another than the one that planned the sweep"*"slurm cancel"* ]]
}

@test "a trial of which three workers died is left, and said; submitted again it is tried again" {
  experiment rows=1 seeds=2
  submit -q
  local hash i
  hash=$(sql "SELECT hash FROM trials WHERE seed = 0")
  for i in 0 1 2; do echo '{"worker": "9_9.0", "label": "it"}' >"$(sweep)/claims/$hash.0.$i"; done
  "$harness" slurm work "$(sweep)" 2>/dev/null
  "$harness" slurm status >out
  grep -q ": 1 done, 0 running, 0 open, 1 given up" out
  grep -q "given up: 3 workers died of queries=1 seed 0" out
  submit -q
  "$harness" slurm work "$(sweep)" 2>/dev/null
  as_on_one_machine 2
}

@test "trials that share a training go together: one trains, the others score" {
  unset HARNESS_TRIAL_PROGRAM
  cp -r "$root/tests/fixtures/stored-073ebeb/organs" organs
  cat >ways.lua <<'END'
return { title = "Ways of scoring", seeds = 2, base = { data = "organs", plan = "none", patch = { 8, 8, 8 }, widths = { 4, 8 },
  strides = { { 1, 1, 1 }, { 2, 2, 2 } }, kernels = { { 3, 3, 3 }, { 3, 3, 3 } }, bridge = "none", head = "point_wise", steps = 20,
  threads = 1, collapse_dice = 0 },
  rows = { { key = "plain", set = {} }, { key = "mirrored", set = { mirror_tta = true } } } }
END
  "$harness" slurm ways.lua 2>err
  grep -q "2 tasks for 2 of the trials" err
  "$harness" slurm work "$(sweep)" 2>/dev/null
  "$harness" slurm ways.lua -q >table
  [ "$(sql "SELECT sum(weights_of IS NULL), sum(weights_of IS NOT NULL) FROM attempts WHERE status = 'done'")" = "2|2" ]
  "$harness" run -q ways.lua --db alone/harness.db >alone.txt
  diff alone.txt table
  [ "$(ls results/checkpoints/*.safetensors | wc -l)" -eq 4 ]
  "$harness" predict -q "$(sql "SELECT hash FROM trials LIMIT 1")" organs/imagesTr predictions
}

@test "rates that are tuned: the tries are submitted first, then the trials of the rates that they choose" {
  export HARNESS_HOME="$work/home" FAKE_TRIES='{"1": {"0.1": 0.7, "0.2": 0.8}, "2": {"0.1": 0.6, "0.2": 0.5}}'
  mkdir home
  cp -r "$root/lua" "$root/paper" home/
  cat >two.lua <<'END'
return { title = "Two rows", paper = "maskmed", table = 6, vary = { queries = { 1, 2 } }, seeds = 2,
  base = { phantom_size = { 16, 16, 16 }, phantom_cases = 12, phantom_validation = 4, phantom_organs = 2, patch = { 16, 16, 16 },
    key_grid = { 2, 2, 2 }, threads = 1, steps = 2, collapse_dice = 0 } }
END
  tuned() {
    "$harness" "$@" two.lua lr=tuned lr_tries=0.1,0.2
  }
  tuned slurm 2>err
  grep -q "with 4 tasks for 4 of the tries of rates" err
  "$harness" slurm work "$(echo results/slurm/two-tries-*)" 2>/dev/null
  tuned slurm 2>err
  grep -q "with 4 tasks for 4 of the trials" err
  "$harness" slurm work "$(ls -d results/slurm/two-* | grep -v tries)" 2>/dev/null
  tuned slurm -q >table
  tuned run -q --db alone/harness.db >alone.txt
  diff alone.txt table
}

@test "a training that changes hands has the weights and figures of one that was left alone, to the last bit" {
  unset HARNESS_TRIAL_PROGRAM
  cp -r "$root/tests/fixtures/stored-073ebeb/organs" set
  tiny_unet 100 >tiny.lua
  "$harness" slurm -q tiny.lua plan=none save_every=25
  export FAULT_IN=trial FAULT_FILES=/checkpoints FAULT_CALLS=rename
  local restart pid
  for restart in 0 1; do # each stands still at the first checkpoint of its own, then ends there
    SLURM_ARRAY_JOB_ID=1 SLURM_ARRAY_TASK_ID=0 SLURM_RESTART_COUNT=$restart with_fault 1 stop \
      exec "$harness" slurm work "$(sweep)" >>worker 2>&1 3>&- &
    pid=$!
    wait_for stands_still
    kill -USR1 $pid
    goes_on
    wait $pid || [ $? -eq 76 ]
    rm fault.state
  done
  "$harness" slurm work "$(sweep)" >>worker 2>&1
  "$harness" slurm -q tiny.lua plan=none save_every=25 >table
  "$harness" run -q tiny.lua plan=none save_every=25 --db alone/harness.db >alone.txt
  diff alone.txt table
  cmp alone/checkpoints/*.safetensors results/checkpoints/*.safetensors
  [ "$(sql "SELECT count(*), max(first_step) > 20 FROM attempts")" = "3|1" ]
}

@test "what cannot be asked for is refused" {
  experiment rows=1 seeds=2 budget_s=60
  run submit
  [ "$status" -eq 2 ]
  [[ "$output" == *"until=decided looks at what is stored"* ]]
  run "$harness" slurm
  [ "$status" -eq 2 ]
  run "$harness" slurm status
  [ "$status" -eq 5 ]
  [[ "$output" == *"nothing was submitted from here"* ]]
  experiment rows=1 seeds=1
  submit -q
  run "$harness" slurm cancel song
  [ "$status" -eq 5 ]
  [[ "$output" == *'no sweep'"'"'s name begins with "song"'* ]]
  run "$harness" slurm work "$work"
  [ "$status" -eq 3 ]
  [[ "$output" == *"plan.json: "* ]]
  rm bin/sbatch
  experiment rows=1 seeds=2
  run env PATH="$work/bin" "$harness" slurm experiment.json
  [ "$status" -eq 3 ]
  [[ "$output" == *"sbatch: there is no such command here"* ]]
}
