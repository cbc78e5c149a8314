#!/usr/bin/env bats
# Databases of several machines joined into one: nothing is lost, nothing is there twice.

load cli

# The experiment's cells whose number is REST modulo 2, in FOLDER's own database.
half() { # FOLDER REST
  /usr/bin/python3 -c 'import json, sys
document = json.load(open("experiment.json"))
document["cells"] = document["cells"][int(sys.argv[1])::2]
json.dump(document, open("half.json", "w"))' "$2"
  "$harness" run -q half.json --db "$1/harness.db" >/dev/null
}

# All that is stored, and which file is whose.
everything() { # DATABASE
  /usr/bin/python3 -c 'import sqlite3, sys
print("\n".join(sqlite3.connect(sys.argv[1]).iterdump()))' "$1"
}

of() { # DATABASE STATEMENT
  HARNESS_DB="$1" sql "$2"
}

# Attempts and figures, without what a database calls them.
figures_of() { # DATABASE
  of "$1" "SELECT t.hash, a.status, a.started_at, m.case_name, m.label, m.metric, m.value, m.situation FROM attempts a
    JOIN trials t ON t.id = a.trial_id LEFT JOIN metrics m ON m.attempt_id = a.id ORDER BY 1, 3, 4, 5, 6"
}

@test "two halves joined are the whole: the table of one run, and nothing is left to run" {
  experiment rows=2 seeds=3
  "$harness" run -q experiment.json >whole
  rm -r results
  half a 0
  half b 1
  "$harness" merge a/harness.db b/harness.db >out
  grep -qx "a/harness.db: 3 attempts of 3 trials, 1 table" out
  grep -qx "b/harness.db: 3 attempts of 3 trials, 1 table" out
  "$harness" run experiment.json >joined 2>err
  grep -q "0 of 6 trials to run" err
  cmp whole joined
  [ "$(sql 'PRAGMA integrity_check')" = ok ]
  [ -z "$(sql 'PRAGMA foreign_key_check')" ]
}

@test "the same again, or by way of a third database, changes nothing" {
  experiment rows=2 seeds=2
  half a 0
  half b 1
  "$harness" merge a/harness.db b/harness.db >/dev/null
  everything results/harness.db >before
  "$harness" merge a/harness.db b/harness.db a/harness.db >out
  [ "$(grep -c ": 0 attempts of 0 trials$" out)" -eq 3 ]
  everything results/harness.db | cmp - before
  "$harness" merge --db c/harness.db a/harness.db >/dev/null
  "$harness" merge --db c/harness.db results/harness.db >/dev/null
  figures_of results/harness.db >own
  figures_of c/harness.db | cmp - own
  "$harness" merge c/harness.db >/dev/null
  everything results/harness.db | cmp - before
}

@test "logs and weights come along, whichever has them, and which attempt scored whose weights" {
  experiment rows=2 seeds=1
  "$harness" run -q experiment.json --db a/harness.db >/dev/null
  of a/harness.db "UPDATE attempts SET weights_of = 1 WHERE id = 2"
  local first second
  first=$(of a/harness.db "SELECT hash FROM trials WHERE id = 1")
  second=$(of a/harness.db "SELECT hash FROM trials WHERE id = 2")
  echo weights >"a/checkpoints/$first.safetensors"
  echo largest >"a/checkpoints/$first.safetensors.postprocess.json"
  experiment rows=1 seeds=2 # other attempts, of which one is of a trial that both have
  "$harness" run -q experiment.json >/dev/null
  "$harness" merge a/harness.db >out
  grep -q "2 attempts of 2 trials, 1 table; of 1 trial there was a figure" out
  cmp "results/checkpoints/$first.safetensors" "a/checkpoints/$first.safetensors"
  cmp "results/checkpoints/$first.safetensors.postprocess.json" "a/checkpoints/$first.safetensors.postprocess.json"
  sql "SELECT log FROM attempts" | while read -r log; do [ -s "results/$log" ]; done
  [ "$(sql 'SELECT count(*), count(DISTINCT log) FROM attempts')" = "4|4" ]
  [ "$(sql 'SELECT s.hash, w.hash FROM attempts a JOIN attempts b ON b.id = a.weights_of JOIN trials s ON s.id = a.trial_id
    JOIN trials w ON w.id = b.trial_id')" = "$second|$first" ]
  rm -r a # what came stands by itself
  [ "$(cat "results/checkpoints/$first.safetensors")" = weights ]
}

@test "joined again and again while it is written: what runs waits, and at the end all is there once" {
  experiment rows=2 seeds=3 step_s=0.04
  "$harness" run -q experiment.json --jobs 1 --db a/harness.db >/dev/null 3>&- &
  local pid=$! waited=0
  wait_for test -s a/harness.db.lock
  while kill -0 $pid 2>/dev/null; do
    "$harness" merge a/harness.db >out
    ! grep -q "still runs" out || waited=1
    [ "$(sql "SELECT count(*) FROM attempts WHERE status <> 'done'")" -eq 0 ]
  done
  wait $pid
  "$harness" merge a/harness.db >/dev/null
  [ "$waited" -eq 1 ]
  figures_of a/harness.db >theirs
  figures_of results/harness.db | cmp - theirs
  "$harness" run experiment.json 2>err | grep -q "^2 x N .* done$"
  grep -q "0 of 6 trials to run" err
}

@test "two that join the same at one time leave it there once" {
  experiment rows=2 seeds=4
  half a 0
  local i pids=()
  "$harness" merge a/harness.db --db c/harness.db >/dev/null
  for i in 1 2 3 4; do
    "$harness" merge a/harness.db >/dev/null 3>&- &
    pids+=($!)
  done
  for i in "${pids[@]}"; do wait "$i"; done
  figures_of c/harness.db >once
  figures_of results/harness.db | cmp - once
}

@test "what was cut off is interrupted and goes on here; if it ended after all, that stands" {
  experiment rows=1 seeds=2
  "$harness" run -q experiment.json --db a/harness.db >/dev/null
  cp a/harness.db ended.db
  of a/harness.db "DELETE FROM metrics WHERE attempt_id = 2"
  of a/harness.db "UPDATE attempts SET status = 'running', ended_at = NULL WHERE id = 2"
  of a/harness.db "UPDATE trials SET status = 'running' WHERE id = 2"
  "$harness" merge a/harness.db | grep -q "2 attempts of 2 trials"
  [ "$(sql "SELECT status, message FROM attempts WHERE id = 2")" = "interrupted|the program that ran it ended first" ]
  cp results/harness.db here.db
  "$harness" run experiment.json 2>err >/dev/null
  grep -q "1 of 2 trials to run" err
  cp here.db results/harness.db
  "$harness" merge ended.db a/harness.db >out
  grep -qx "ended.db: 1 attempt of 1 trial" out
  grep -qx "a/harness.db: 0 attempts of 0 trials" out
  figures_of ended.db >theirs
  figures_of results/harness.db | cmp - theirs
  [ "$(sql "SELECT group_concat(status), group_concat(number) FROM attempts")" = "done,done|1,1" ]
  [ "$(sql "SELECT group_concat(status) FROM trials")" = done,done ]
}

@test "what a killed program left half written, where the journal is no WAL, is rolled back and read" {
  experiment rows=1 seeds=2
  "$harness" run -q experiment.json --db a/harness.db >/dev/null
  "$harness" table 6 --db a/harness.db >before
  cp a/harness.db before.db
  /usr/bin/python3 -c 'import os, sqlite3
base = sqlite3.connect("a/harness.db", isolation_level=None)
base.execute("PRAGMA journal_mode=DELETE")
base.execute("PRAGMA cache_size=5")
base.execute("BEGIN IMMEDIATE")
for step in range(20000):
    base.execute("INSERT INTO curves(attempt_id, step, loss) VALUES(1, ?, 0.5)", (step + 1000,))
os._exit(0)'
  [ -s a/harness.db-journal ]
  "$harness" table 6 --db a/harness.db | cmp - before
  [ ! -e a/harness.db-journal ]
  "$harness" merge a/harness.db
  figures_of before.db >own
  figures_of results/harness.db | cmp - own
}

@test "what was taken back stays so" {
  experiment rows=1 seeds=2
  "$harness" run -q experiment.json --db a/harness.db >/dev/null
  "$harness" merge a/harness.db >/dev/null
  "$harness" runs rm -q "$(sql "SELECT hash FROM trials WHERE id = 1")"
  "$harness" merge a/harness.db >/dev/null
  "$harness" run experiment.json 2>&1 | grep -q "1 of 2 trials to run"
}

@test "a database of an older form is joined and left as it is" {
  mkdir results
  /usr/bin/python3 -c 'import gzip, sqlite3, sys
sqlite3.connect("old.db").executescript(gzip.open(sys.argv[1], "rt").read())' "$root/tests/fixtures/stored-073ebeb/harness.sql.gz"
  cp old.db kept.db
  "$harness" merge old.db >out
  cmp old.db kept.db
  local what
  for what in attempts metrics curves cells rows plans "trials WHERE status = 'done'"; do
    [ "$(sql "SELECT count(*) FROM $what")" = "$(of old.db "SELECT count(*) FROM $what")" ]
  done
  what="SELECT experiment, key, mean, n FROM v_table ORDER BY experiment, plan_id, position"
  [ "$(sql "$what")" = "$(of old.db "$what")" ]
}

@test "what cannot be joined is told with its reason, what can be is" {
  experiment rows=1 seeds=1
  "$harness" run -q experiment.json --db a/harness.db >/dev/null
  echo "no database" >text.db
  cp a/harness.db newer.db
  of newer.db "PRAGMA user_version = 999"
  run "$harness" merge absent.db text.db newer.db a/harness.db
  [ "$status" -eq 3 ]
  [[ "$output" == *"absent.db: there is no database yet"* ]]
  [[ "$output" == *"text.db: "*"no database"* ]]
  [[ "$output" == *"newer.db: the database has form 999"* ]]
  [[ "$output" == *"a/harness.db: 1 attempt of 1 trial, 1 table"* ]]
  run "$harness" merge results/../results/harness.db
  [ "$status" -eq 3 ]
  [[ "$output" == *"this is the database itself"* ]]
  run "$harness" merge
  [ "$status" -eq 2 ]
  [[ "$output" == *"needs the databases"* ]]
}
