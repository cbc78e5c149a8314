#!/usr/bin/env bats
# Sweeps: what is missing runs, what ends badly is told, what is killed goes on.

load cli
load fault

# --- running ---

@test "run prints the table; again it is a no-op with the same table in under a second" {
  experiment
  "$harness" run experiment.json >first 2>err
  grep -q "12 of 12 trials to run" err
  grep -q "done 12/12" err
  grep -q "^Table 6  Number of object queries        MaskMed, scale quick, phantom, cpu, 3 seeds" first
  grep -Eq '^2 x N +0\.916 +0\.660 ± 0\.010 +3 +1000 +done' first
  grep -Eq '^2 x N +\+0\.003 +\+0\.100 +\[.* too few seeds$' first
  grep -Eq '^liver +0\.510 +0\.610 +0\.710 +0\.810' first
  local begin end
  begin=$(date +%s%N)
  "$harness" run experiment.json >second 2>err
  end=$(date +%s%N)
  [ $(((end - begin) / 1000000)) -lt 1000 ]
  grep -q "0 of 12 trials to run" err
  cmp first second
  [ -s results/plots/query_count.svg ]
  [ -s results/plots/query_count.gp ]
  [ -s results/plots/query_count.tsv ]
}

@test "dry run changes nothing, says what would run, and its JSON runs" {
  experiment rows=2 seeds=2
  "$harness" run experiment.json --dry-run >out
  grep -q "4 of 4 trials would run" out
  [ ! -e results ]
  "$harness" run experiment.json --dry-run --json >copy.json
  "$harness" run -q copy.json >/dev/null
  "$harness" run experiment.json -n >out
  grep -q "0 of 4 trials would run" out
}

@test "quiet says nothing on standard error when all is well" {
  experiment rows=1 seeds=1
  "$harness" run -q experiment.json 2>err >/dev/null
  [ ! -s err ]
}

@test "more seeds run only what is missing, fewer show the larger table again" {
  experiment rows=2 seeds=1
  "$harness" run experiment.json >/dev/null 2>&1
  experiment rows=2 seeds=3
  "$harness" run experiment.json 2>err >/dev/null
  grep -q "4 of 6 trials to run" err
  experiment rows=2 seeds=1
  "$harness" run experiment.json 2>err | grep -q "1 seed$"
  [[ "$(rows)" == *"queries=1,1 x N,0.913,0.56,"*",3,done"* ]]
}

@test "a result of one scale never stands in a table of another" {
  experiment rows=1 seeds=1 scale=small steps=6
  "$harness" run -q experiment.json >/dev/null
  experiment rows=1 seeds=2 steps=7
  "$harness" run -q experiment.json >/dev/null
  "$harness" table 6 >out 2>err
  grep -q "scale quick" out
  grep -q "scale small" err
  "$harness" table 6 --scale small 2>/dev/null | grep -q "scale small, phantom, cpu, 1 seed$"
  run "$harness" table 6 --scale paper
  [ "$status" -eq 5 ]
}

@test "threads and cores are given to the trial, its output goes to its log" {
  experiment rows=1 seeds=2 steps=10 step_s=0.05
  "$harness" run -q experiment.json --jobs 1 >/dev/null
  [ "$(grep -l "fake trial 1 seed . threads 1 cores" results/logs/*.log | wc -l)" -eq 2 ]
  [ "$(nproc)" -ge 2 ] || skip "one processor"
  rm -rf results
  "$harness" run -q experiment.json --jobs 2 >/dev/null
  # two trials side by side: each on one processor, not the same
  [ "$(grep -ho "cores [0-9]*$" results/logs/*.log | sort -u | wc -l)" -eq 2 ]
}

@test "flags reach the trial, what is as ever does not, and no flag changes which trial it is" {
  experiment rows=1 seeds=1
  "$harness" run -q experiment.json --workers 1 >/dev/null
  grep -qxF 'flags {}' results/logs/*.log
  "$harness" run -q experiment.json --retry done --workers 3 --profile --no-capture --deterministic >/dev/null
  grep -qxF 'flags {"deterministic": 1, "no_capture": 1, "profile": 1, "workers": 3}' results/logs/*.log
  [ "$(sql 'SELECT count(*) FROM trials')" -eq 1 ]
}

# --- trials that end badly ---

@test "each way to end badly is told at once with its reason, stored, and not run again" {
  while IFS='|' read -r fake status_word expected; do
    rm -rf results
    experiment rows=2 seeds=2 fake="queries=2:1:$fake"
    run "$harness" run experiment.json
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" == *"$status_word"*"queries=2 seed 1"*"$expected"* ]]
    [[ "$(rows)" == *"queries=1,1 x N,0.913,0.555,"*",2,done"* ]]
    [[ "$(rows)" == *"queries=2,2 x N,0.916,0.65,,1,$status_word"* ]]
    run "$harness" run experiment.json
    [ "$status" -eq 1 ]
    [[ "$output" == *"0 of 4 trials to run"* ]]
  done <<'END'
crash|failed|Segmentation fault
kill|failed|killed by signal 9
silent|failed|exit code 7 and without a result
garbage|failed|not JSON
unknown|failed|unknown event "song"
misspelt|failed|"probe" lacks a proper "determinism"
foreign|failed|"probe" has no field "mood"
untrue|failed|null exactly when the structure is absent
twice|failed|do not fit together
mute|failed|without a single metric
badexit|failed|reported done, then ended with exit code 1
failed|failed|the fake ended as failed
oom|oom|the fake ended as oom
collapsed|collapsed|the fake ended as collapsed
END
}

@test "a collapse where the paper reports one is no failure" {
  experiment rows=1 seeds=2 fake=queries=1:1:collapsed collapse=1
  run "$harness" run experiment.json
  echo "$output"
  [ "$status" -eq 0 ]
  [[ "$output" == *"1 done, 1 collapsed"* ]]
}

@test "a crash shows the last lines of the log" {
  experiment rows=1 seeds=1 fake=queries=1:0:crash
  run "$harness" run experiment.json
  [[ "$output" == *"| about to crash"* ]]
  [[ "$output" == *"whole log: $work/results/logs/"* ]]
}

@test "retry runs the named class again and keeps the first attempt" {
  experiment rows=1 seeds=2 fake=queries=1:1:collapsed
  run "$harness" run experiment.json
  run "$harness" run experiment.json --retry failed,oom
  [[ "$output" == *"0 of 2 trials to run"* ]]
  run "$harness" run experiment.json --retry collapsed
  [[ "$output" == *"1 of 2 trials to run"* ]]
  run "$harness" run experiment.json --retry all
  [[ "$output" == *"1 of 2 trials to run"* ]]
  "$harness" runs list --status collapsed --json | python3 -c '
import json, sys
trials = json.load(sys.stdin)["trials"]
assert len(trials) == 1 and trials[0]["attempts"] == 3, trials'
}

@test "a trial that hangs is stopped by --timeout" {
  experiment rows=1 seeds=1 steps=1000 step_s=0.1
  run "$harness" run experiment.json --timeout 0.5
  [ "$status" -eq 1 ]
  [[ "$output" == *"timeout 1/1"* ]]
  [[ "$(rows)" == *",0,timeout"* ]]
}

@test "a trial program that is not there fails every trial, with the reason in the log" {
  experiment rows=1 seeds=1
  HARNESS_TRIAL_PROGRAM=/nowhere run "$harness" run experiment.json
  [ "$status" -eq 1 ]
  [[ "$output" == *"cannot execute /nowhere"* ]]
}

# --- stopping and going on ---

@test "SIGINT stops, ends with 75, and the same command goes on to the same table" {
  experiment rows=2 seeds=2
  "$harness" run experiment.json >/dev/null 2>&1
  rows >undisturbed
  rm -rf results
  experiment rows=2 seeds=2 step_s=0.1
  run_interrupted
  grep -q "stopping" err
  "$harness" runs list --status interrupted
  "$harness" run experiment.json >/dev/null 2>&1
  rows | cmp - undisturbed
}

one_hangs() { # whether a trial ignores SIGTERM
  grep -q '^SigIgn:.*[4-7c-f]...$' $(pgrep -f fake_trial | sed 's|.*|/proc/&/status|') 2>/dev/null
}

@test "SIGTERM does the same; more of them in a second are one wish, a later one ends at once" {
  experiment rows=1 seeds=2 steps=3 step_s=0.3 fake=queries=1:0:hang
  "$harness" run experiment.json --jobs 2 >out 2>err 3>&- &
  local pid=$!
  wait_for one_hangs
  [ "$(orphans)" -ge 1 ] # the count itself works
  for _ in program group; do kill -TERM $pid; done # as timeout does
  sleep 1.2
  kill -0 $pid # the hanging one ignores SIGTERM
  kill -TERM $pid
  local code=0
  wait $pid || code=$?
  [ "$code" -eq 75 ]
  wait_for no_orphans
}

@test "a trial that alone is told to end is interrupted, the others run, and the sweep ends with 75" {
  experiment rows=2 seeds=1 fake=queries=1:0:told
  run "$harness" run experiment.json --jobs 1
  echo "$output"
  [ "$status" -eq 75 ]
  [[ "$output" == *"interrupted 1/2 queries=1 seed 0"*"told to end by signal 15"* ]]
  [[ "$output" == *"done 2/2 queries=2 seed 0"* ]]
  run "$harness" run experiment.json
  [[ "$output" == *"1 of 2 trials to run"* ]]
}

@test "killed with SIGKILL at different moments it leaves no orphans and ends in the same table" {
  experiment
  "$harness" run experiment.json >/dev/null 2>&1
  rows >undisturbed
  rm -rf results
  experiment step_s=0.04
  for moment in 0.05 0.3 0.7 0.45; do
    "$harness" run experiment.json >/dev/null 2>err 3>&- &
    local pid=$!
    sleep "$moment"
    kill -KILL $pid
    wait $pid || true
    wait_for no_orphans
  done
  "$harness" run experiment.json >/dev/null 2>err
  rows | cmp - undisturbed
  python3 - "$HARNESS_DB" <<'END'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
one = lambda sql: db.execute(sql).fetchone()[0]
assert one("PRAGMA integrity_check") == "ok"
assert one("SELECT count(*) FROM attempts WHERE status = 'running'") == 0
assert one("SELECT count(*) FROM attempts WHERE status = 'interrupted'") >= 1
assert one("SELECT count(*) FROM trials WHERE status <> 'done'") == 0
assert one("SELECT count(*) FROM v_table6 WHERE n = 3") == 4
END
  injected "a sweep of played trials killed (SIGKILL)" 4 0
}

@test "trials die with a killed run even when they say nothing that would fail" {
  experiment rows=1 seeds=2 step_s=600
  "$harness" run experiment.json >/dev/null 2>&1 3>&- &
  local pid=$!
  wait_for is_running
  [ "$(orphans)" -ge 1 ]
  kill -KILL $pid
  wait $pid || true
  wait_for no_orphans
}

@test "a second run into the same database names the process that holds it" {
  experiment rows=1 seeds=1 steps=30 step_s=0.1
  "$harness" run experiment.json >/dev/null 2>&1 3>&- &
  local pid=$!
  wait_for is_running
  run "$harness" run experiment.json
  [ "$status" -eq 3 ]
  [[ "$output" == *"process $pid is running trials"* ]]
  "$harness" table 6 >out # reading goes on beside it
  kill -KILL $pid
  wait $pid || true
  run "$harness" runs list
  [[ "$output" == *"their program has died"* ]]
}

# --- places that cannot be written ---

@test "a file in place of the results' folder ends with 3 and is left alone" {
  echo precious >results
  experiment rows=1 seeds=1
  run "$harness" run experiment.json
  [ "$status" -eq 3 ]
  [[ "$output" == *"--db FILE"* ]]
  [ "$(cat results)" = precious ]
}

@test "a newer database is refused and left alone" {
  experiment rows=1 seeds=1
  "$harness" run -q experiment.json >/dev/null
  python3 -c 'import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute("PRAGMA user_version=99")' "$HARNESS_DB"
  for words in "run experiment.json" "table 6" "runs list"; do
    # shellcheck disable=SC2086
    run "$harness" $words
    [ "$status" -eq 3 ]
    [[ "$output" == *"newer harness"* ]]
  done
  run "$harness" doctor
  [ "$status" -eq 3 ]
  injected "a database of a newer form" 4 0
}

@test "a full disk is told and nothing stored is lost" {
  [ "$(id -u)" -eq 0 ] || skip "needs root to mount a small disk"
  mkdir small
  mount -t tmpfs -o size=400k tmpfs small 2>/dev/null || skip "cannot mount here"
  HARNESS_DB="$work/small/h.db"
  experiment rows=1 seeds=1
  "$harness" run -q experiment.json >/dev/null
  rows >before
  experiment rows=1 seeds=2 steps=20000
  run "$harness" run experiment.json
  echo "$output"
  [ "$status" -eq 3 ]
  [[ "$output" == *"disk"* ]]
  mount -o remount,size=64m small
  "$harness" table 6 >/dev/null
  "$harness" run -q experiment.json >/dev/null
  [[ "$(rows)" == *",2,done"* ]]
  umount small
  injected "a disk of 400 KiB that a sweep fills" 1 0
}

@test "a limit on the size of files is told like a full disk" {
  experiment rows=1 seeds=1
  "$harness" run -q experiment.json >/dev/null
  experiment rows=1 seeds=2 steps=20000
  run bash -c "ulimit -f 300; exec '$harness' run experiment.json"
  echo "$output"
  [ "$status" -eq 3 ]
  [[ "$output" == *"file-size limit (ulimit -f)"* ]]
  wait_for no_orphans
  "$harness" run -q experiment.json >/dev/null
  [[ "$(rows)" == *",2,done"* ]]
  injected "the file-size limit reached (ulimit -f)" 1 0
}

@test "a read-only disk: tables are still printed, a run ends with 3" {
  [ "$(id -u)" -eq 0 ] || skip "needs root to mount"
  mkdir small
  mount -t tmpfs tmpfs small 2>/dev/null || skip "cannot mount here"
  HARNESS_DB="$work/small/h.db"
  experiment rows=1 seeds=1
  "$harness" run -q experiment.json >/dev/null
  mount -o remount,ro small
  [[ "$(rows)" == *",1,done"* ]]
  run "$harness" run experiment.json
  local code="$status" text="$output"
  umount small
  echo "$text"
  [ "$code" -eq 3 ]
  [[ "$text" == *"--db FILE"* || "$text" == *"Read-only"* ]]
  injected "a disk that was mounted read-only" 1 0
}

# --- processors ---

@test "trials that run at once are bound to different processors, also those of two sweeps" {
  [ "$(nproc)" -ge 2 ] || skip "one processor"
  experiment rows=2 seeds=1 steps=10 step_s=0.1
  "$harness" run -q experiment.json --jobs 2 >/dev/null
  [ "$(sed -n 's/.* cores //p' results/logs/*.log | wc -l)" -eq 2 ]
  [ "$(grep -ho "cores [0-9]*$" results/logs/*.log | sort -u | wc -l)" -eq 2 ]
  experiment rows=1 seeds=1 steps=10 step_s=0.2
  HARNESS_DB="$work/one/results/harness.db" "$harness" run -q experiment.json >/dev/null &
  HARNESS_DB="$work/two/results/harness.db" "$harness" run -q experiment.json >/dev/null
  wait
  [ "$(sed -n 's/.* cores //p' one/results/logs/*.log two/results/logs/*.log | wc -l)" -eq 2 ]
  [ "$(grep -ho "cores [0-9]*$" one/results/logs/*.log two/results/logs/*.log | sort -u | wc -l)" -eq 2 ]
}
