#!/usr/bin/env bats
# Sweeps on a cluster that these tests start themselves (cluster.bash): what is killed, out of time, drained, cancelled or
# submitted twice ends in the same table as on one machine. One cluster for the file; a sweep that runs into its time limit
# runs beside the others.

load cli
load cluster
load fault

setup_file() {
  [ -z "$(cluster_missing)" ] || return 0
  local folder
  folder=$(mktemp -d /tmp/hs-XXXXXX)
  chmod 755 "$folder"
  if ! cluster_up "$folder"; then
    tail -n 20 "$folder"/*.out "$folder"/*.log >&2
    cluster_down
    return 1
  fi
  export HARNESS_CLAIMS="$folder" HARNESS_TRIAL_PROGRAM="$BATS_TEST_DIRNAME/fake_trial"
  begin_limit
}

teardown_file() {
  cluster_down
}

setup() {
  local why
  why=$(cluster_missing)
  [ -z "$why" ] || skip "$why"
  work_in "$(mktemp -d)"
  export HARNESS_TRIAL_PROGRAM="$root/tests/fake_trial"
}

teardown() {
  [ -z "${work:-}" ] || rm -rf "$work"
}

submit() {
  "$harness" slurm experiment.json "$@"
}

# Tasks of this test's sweeps in the queue: their names have the sweeps'.
tasks() {
  local sweep
  for sweep in results/slurm/*; do
    squeue -h -r -o '%i %j %T' 2>/dev/null | grep "harness-${sweep##*/} "
  done
}

no_tasks() {
  [ -z "$(tasks)" ]
}

runs() { # NUMBER of trials were taken, at least
  [ "$(ls "$(sweep)"/claims | wc -l)" -ge "$1" ]
}

saved() { # STEPS TRIALS: so many trials have saved so many steps, at least
  local count=0 file steps
  for file in results/slurm/*/shards/*/checkpoints/*.safetensors; do
    steps=$(cat "$file" 2>/dev/null) || continue
    [ "$steps" -lt "$1" ] || count=$((count + 1))
  done
  [ $count -ge "$2" ]
}

# Why it does not go on.
queue_says() {
  squeue --long
  sinfo --long --Node
  tail -n 3 "$(sweep)"/log/* "$cluster"/*.log
}

sweep() {
  echo results/slurm/*
}

# All trials are there, done once, and the table is that of `harness run`.
all_as_on_one_machine() { # trials
  submit >table 2>err || { cat err; return 1; }
  sql "SELECT trial_id, status, first_step, message FROM attempts"
  [ "$(sql "SELECT count(*) FROM trials WHERE status = 'done'")" -eq "$1" ]
  [ "$(sql "SELECT count(*), count(DISTINCT trial_id) FROM attempts WHERE status = 'done' AND removed = 0")" = "$1|$1" ]
  sed 's/"step_s": [0-9.]*/"step_s": 0/' experiment.json >alone.json
  "$harness" run -q alone.json --db alone/harness.db >alone.txt
  diff alone.txt table
}

# A line of the table of faults, where nothing was lost.
nothing_lost() { # WHAT
  injected "$1" 1 "$(sql "SELECT count(*) FROM trials WHERE status <> 'done'")"
}

# The sweep that runs into its limit: it began when the cluster did. Slurm looks at limits every half a minute.
limit_folder() {
  echo "$BATS_FILE_TMPDIR/limit"
}

in_limit() { # COMMAND...
  (cd "$(limit_folder)" && HARNESS_DB="$(limit_folder)/results/harness.db" "$@")
}

begin_limit() {
  mkdir -p "$(limit_folder)"
  local folder
  folder=$(limit_folder)
  work_in "$folder"
  export HARNESS_TRIAL_PROGRAM="$root/tests/fake_trial"
  "$root/tests/make_experiment" rows=1 seeds=1 steps=450 step_s=0.1 keeps=1 >experiment.json
  "$harness" slurm -q experiment.json --time 10 --sbatch=--nodelist=n2 --sbatch=--signal=B:USR1@5
  local array
  array=$(basename "$folder"/results/slurm/*/arrays/*)
  wait_for saved 5 1
  scontrol update "JobId=$array" EndTime=now+60
}

@test "an array of two tasks on one node pulls what is missing, and the same command prints the table" {
  experiment rows=2 seeds=3 steps=3 step_s=0.05
  submit --max 2 --sbatch=--nodelist=n1 >out 2>err
  [ ! -s out ]
  grep -q "job [0-9]* with 2 tasks for 6 of the trials" err
  wait_for no_tasks || { queue_says; return 1; }
  "$harness" slurm status | grep -q ": 6 done, 0 running, 0 open"
  all_as_on_one_machine 6
  [ "$(ls "$(sweep)/shards" | wc -l)" -eq 2 ]
  submit >again 2>err
  cmp table again
  grep -c . err
}

@test "what fails is stored and the others go on; --retry runs it again" {
  experiment rows=1 seeds=3 fake=queries=1:1:crash
  submit -q --max 1 --sbatch=--nodelist=n1
  wait_for no_tasks || { queue_says; return 1; }
  run submit
  [ "$status" -eq 1 ]
  [[ "$output" == *"1 trial did not end well"* ]]
  [ "$(sql "SELECT group_concat(status) FROM trials")" = done,failed,done ]
  submit -q --retry failed --sbatch=--nodelist=n1
  wait_for no_tasks || { queue_says; return 1; }
  run submit
  [ "$(sql "SELECT count(*) FROM attempts WHERE status = 'failed'")" -eq 2 ]
}

@test "a worker that is killed: another takes its trial over, from its checkpoint" {
  experiment rows=1 seeds=3 steps=30 step_s=0.1 keeps=1
  submit -q --max 2 --sbatch=--nodelist=n1
  wait_for saved 5 2 || { queue_says; return 1; }
  local claim worker
  claim=$(ls "$(sweep)"/claims/*.0.0 | head -1)
  worker=$(/usr/bin/python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["pid"])' "$claim")
  kill -9 "$worker"
  wait_for no_tasks || { queue_says; return 1; }
  submit -q >/dev/null || true # who was left alone may have ended before
  wait_for no_tasks || { queue_says; return 1; }
  all_as_on_one_machine 3
  [ -e "${claim%.0}.1" ]
  [ "$(sql "SELECT count(*) FROM attempts WHERE status = 'interrupted'")" -eq 1 ]
  [ "$(sql "SELECT first_step > 3 FROM attempts WHERE status = 'done' ORDER BY first_step DESC LIMIT 1")" -eq 1 ]
  nothing_lost "task of a cluster killed"
}

@test "time is over: the trial is saved, the task is queued again by itself and goes on" {
  experiment rows=1 seeds=1 steps=30 step_s=0.1 keeps=1
  submit -q --sbatch=--nodelist=n1
  wait_for saved 5 1 || { queue_says; return 1; }
  scancel --batch --signal=USR1 "$(basename "$(sweep)"/arrays/*)_0"
  wait_for no_tasks || { queue_says; return 1; }
  all_as_on_one_machine 1
  ls "$(sweep)/shards" | grep -qx ".*_0\.1"
  [ "$(sql "SELECT group_concat(status), max(first_step) > 3 FROM attempts")" = "interrupted,done|1" ]
  nothing_lost "signal before a task's time limit"
}

@test "a node that is drained ends what it runs; the other one does the rest" {
  experiment rows=2 seeds=3 steps=8 step_s=0.1
  submit -q --max 4
  wait_for runs 3 || { queue_says; return 1; }
  scontrol update NodeName=n1 State=drain Reason=test
  wait_for no_tasks || { queue_says; return 1; }
  scontrol update NodeName=n1 State=resume
  all_as_on_one_machine 6
  nothing_lost "node of a cluster drained"
}

@test "cancelled: what runs is saved, and the same command goes on from there" {
  experiment rows=1 seeds=2 steps=30 step_s=0.1 keeps=1
  submit -q --sbatch=--nodelist=n1
  wait_for saved 5 2 || { queue_says; return 1; }
  "$harness" slurm cancel | grep -q "cancelled$"
  wait_for no_tasks || { queue_says; return 1; }
  "$harness" slurm status | grep -q ": 0 done, 0 running, 2 open"
  submit -q --sbatch=--nodelist=n1
  wait_for no_tasks || { queue_says; return 1; }
  all_as_on_one_machine 2
  [ "$(sql "SELECT count(*) FROM attempts WHERE status = 'interrupted'")" -eq 2 ]
  [ "$(sql "SELECT min(first_step) > 3 FROM attempts WHERE status = 'done'")" -eq 1 ]
  nothing_lost "sweep on a cluster cancelled"
}

@test "submitted twice at one time, and queued again as a whole: nothing is lost, nothing runs twice" {
  experiment rows=2 seeds=2 steps=10 step_s=0.1 keeps=1
  submit -q --max 2 --sbatch=--nodelist=n1 &
  local other=$! array
  submit -q --max 2 --sbatch=--nodelist=n1
  wait $other
  wait_for runs 2 || { queue_says; return 1; }
  array=$(ls "$(sweep)/arrays" | head -1)
  scontrol requeue "$array" || true
  wait_for no_tasks || { queue_says; return 1; }
  submit -q >/dev/null || true
  wait_for no_tasks || { queue_says; return 1; }
  all_as_on_one_machine 4
  nothing_lost "array queued again as a whole"
}

@test "the time limit itself was reached meanwhile: saved, queued again, done from the checkpoint" {
  wait_for in_limit no_tasks
  in_limit "$harness" slurm experiment.json >out
  grep -q "^1 x N .* done$" out
  HARNESS_DB="$(limit_folder)/results/harness.db"
  [ "$(sql "SELECT group_concat(status), max(first_step) > 3 FROM attempts")" = "interrupted,done|1" ]
  nothing_lost "time limit of a task of a cluster"
}
