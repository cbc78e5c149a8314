#!/usr/bin/env bats
# A trial that is stopped, killed or cut off from power at any moment ends with the weights, the optimiser's state, the
# figures and the curve of one that was left alone, all to the bit.

load work
load fault

setup_file() {
  work_in "$BATS_FILE_TMPDIR"
  "$harness" data phantom set --size 16 --cases 4 --validation 1 --organs 2 -q
  tiny_unet 60 >tiny.lua
  sed -i 's/average = 0/average = .9/' tiny.lua
  (train short save_every=25)
  (train long steps=2000)
}

setup() {
  work_in "$BATS_FILE_TMPDIR"
  cut="cut$BATS_TEST_NUMBER"
  HARNESS_DB="$work/$cut/harness.db"
}

train() { # FOLDER of the database, more arguments
  HARNESS_DB="$work/$1/harness.db" "$harness" run tiny.lua -q "${@:2}" >/dev/null
}

become_run() { # arguments; to be put in the background
  exec timeout -k 5 120 "$harness" run tiny.lua -q "$@" >/dev/null 2>said 3>&-
}

# What a trial came to: its checkpoint (weights, states, average, course), figures and curve.
came_to() { # FOLDER
  HARNESS_DB="$work/$1/harness.db"
  sha256sum <"$(echo "$work/$1"/checkpoints/*.safetensors)"
  sql "SELECT case_name, label, metric, value FROM metrics WHERE attempt_id = (SELECT max(id) FROM attempts) ORDER BY 1, 2, 3"
  sql "SELECT step, loss, class_loss, bce_loss, dice_loss, lr, grad_norm, clipped, val_dice FROM curves
    WHERE attempt_id = (SELECT max(id) FROM attempts) ORDER BY step"
  sql "PRAGMA integrity_check"
}

is_as() { # FOLDER of one that was left alone
  (came_to "$1") >expected
  (came_to "$cut") >found
  [ "$(wc -l <expected)" -gt 50 ]
  cmp expected found
  [ "$(ls "$cut/checkpoints" | grep -v postprocess | wc -l)" -eq 1 ]
}

attempts() {
  sql "SELECT group_concat(status, ' ') FROM (SELECT status FROM attempts ORDER BY id)"
}

running() { # its process
  [ ! -s "$HARNESS_DB" ] || sql "SELECT pid FROM attempts WHERE status = 'running'" 2>/dev/null
}

checkpoint() {
  echo "$cut"/checkpoints/*.safetensors
}

damage() {
  printf x | dd of="$(checkpoint)" bs=1 seek=$(($(stat -c %s "$(checkpoint)") - 101)) conv=notrunc status=none
}

until_() { # COMMAND: within a minute
  local left=1200
  until eval "$1"; do
    ((left-- > 0))
    sleep 0.05
  done
}

@test "a power cut between any two system calls of a checkpoint's write changes nothing" {
  export FAULT_FILES=/checkpoints FAULT_STAYS= FAULT_CALLS=
  with_fault 0 cut "$harness" run tiny.lua -q save_every=25 --db counted/harness.db >/dev/null
  local calls at cuts=0
  calls="$(fault_calls)"
  [ "$calls" -ge 20 ]
  for at in $(long_or "$(seq "$calls")" "$(seq $((calls / 2)) $((calls / 2 + 6))) $((calls - 6))"); do # a whole write and the end of the last, or all
    rm -rf "$cut"
    refute with_fault "$at" cut "$harness" run tiny.lua -q save_every=25 3>&-
    echo "cut at call $at of $calls: $(fault_what)"
    train "$cut" save_every=25
    [ "$(sql "SELECT count(*) FROM attempts WHERE status = 'done'")" -eq 1 ]
    is_as short
    cuts=$((cuts + 1))
  done
  injected "power cut while a checkpoint is written" "$cuts" 0
}

@test "killed again and again between checkpoints that time alone asks for, it loses nothing but time" {
  export HARNESS_SAVE_S=0.05
  local kills=0 before
  while ((kills < 3)); do
    before="$(stat -c %i "$(checkpoint)" 2>/dev/null || true)"
    become_run steps=2000 save_every=1000000 &
    until_ '[ "$(stat -c %i "$(checkpoint)" 2>/dev/null || true)" != "$before" ] || ! kill -0 $!'
    pkill -KILL -P $! harness || break # it was faster
    wait $! || true
    kills=$((kills + 1))
  done
  [ "$kills" -ge 1 ]
  train "$cut" steps=2000 save_every=1000000
  [[ "$(attempts)" == "interrupted "*"done" ]]
  [ "$(sql "SELECT min(first_step > 0) FROM attempts WHERE id > 1")" -eq 1 ]
  is_as long
  injected "sweep and trial killed between checkpoints" "$kills" 0
}

@test "SIGUSR1 writes a checkpoint and the training goes on; the first SIGINT writes one and ends with 75" {
  become_run steps=2000 save_every=1000000 &
  until_ 'pgrep -P "$(pgrep -P $!)" >/dev/null'
  until_ 'pkill -USR1 -P $! harness && [ -s "$(checkpoint)" ]'
  [ "$(attempts)" = running ]
  pkill -INT -P $! harness
  local code=0
  wait $! || code=$?
  [ "$code" -eq 75 ]
  [ "$(attempts)" = interrupted ]
  train "$cut" steps=2000 save_every=1000000
  [ "$(sql "SELECT max(first_step) > 1 FROM attempts")" -eq 1 ]
  is_as long
}

@test "a trial that alone is told to end leaves the sweep with 75, and the same command goes on" {
  become_run steps=2000 seeds=2 --jobs 1 &
  until_ '[ -n "$(running)" ]'
  kill -TERM "$(running)"
  local code=0
  wait $! || code=$?
  [ "$code" -eq 75 ]
  [ "$(attempts)" = "interrupted done" ]
  train "$cut" steps=2000 seeds=2
  [ "$(attempts)" = "interrupted done done" ]
}

@test "a corrupt checkpoint is named and the one before it used" {
  HARNESS_SAVE_S=0.05 become_run steps=2000 save_every=1000000 &
  until_ '[ -s "$(checkpoint).previous" ]'
  pkill -KILL -P $! harness
  wait $! || true
  damage
  "$harness" run tiny.lua steps=2000 save_every=1000000 >/dev/null 2>said
  grep -q "goes on from the checkpoint before its last, which is not whole: .*$(checkpoint): corrupt: its bytes are not those" said
  [ "$(attempts)" = "interrupted done" ]
  is_as long
  # of a trial that is done there is no other: whoever reads it is told
  damage
  run "$harness" predict "$(sql "SELECT hash FROM trials")" set/imagesTr predicted
  [ "$status" -ne 0 ]
  injected "a byte of a checkpoint changed" 1 0
  [[ "$output" == *"corrupt: its bytes are not those that were written"* ]]
}

@test "a disk without room for checkpoints ends no training and loses no figures: the same command goes on" {
  export FAULT_FILES=/checkpoints FAULT_STAYS=1 FAULT_CALLS=write
  run with_fault 1 ENOSPC "$harness" run tiny.lua save_every=25 3>&-
  echo "$output"
  [ "$status" -eq 75 ]
  [[ "$output" == *"interrupted 1/1"*"no checkpoint at step 60: "*"No space left on device"* ]]
  grep -q "no checkpoint at step 25: .*No space left on device" "$cut"/logs/*.log
  train "$cut" save_every=25
  [ "$(attempts)" = "interrupted done" ]
  is_as short
  injected "no room for checkpoints" 1 0
}

@test "what shares the training of a trial that is told to end waits with it" {
  sed 's/rows = { /&{ key = "mirrored", label = "mirrored", set = { mirror_tta = true } }, /' tiny.lua >two.lua
  timeout -k 5 120 "$harness" run two.lua -q steps=2000 --jobs 1 >/dev/null 2>said 3>&- &
  until_ '[ -n "$(running)" ]'
  kill -TERM "$(running)"
  local code=0
  wait $! || code=$?
  [ "$code" -eq 75 ]
  [ "$(sql "SELECT group_concat(status, ' ') FROM (SELECT status FROM trials ORDER BY status)")" = "interrupted planned" ]
  "$harness" run two.lua -q steps=2000 >/dev/null
  [ "$(attempts)" = "interrupted done done" ]
  [ "$(sql "SELECT count(*), count(DISTINCT attempt_id) FROM attempts JOIN curves ON attempt_id = id WHERE status = 'done' AND step = 2000")" = "1|1" ]
}
