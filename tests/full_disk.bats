#!/usr/bin/env bats
# Disks that are full, fail or turn read-only at the n-th call that writes: of the sweep's process, for every n, and of a
# trial's. What happens is told, what is stored stays, and the next run goes on to the undisturbed tables.

load cli
load fault

same() { # what the sweep in cut/ lost
  /usr/bin/python3 "$root/tests/same_results.py" "$@" whole/harness.db cut/harness.db
}

sweep() { # FOLDER COMMAND...: COMMAND before the sweep
  HARNESS_DB="$work/$1/harness.db" "${@:2}" "$harness" run -q "$file"
}

# Of a sweep that finds one trial done and runs two more, the calls that write fail at N of the places, or at all: with error
# DO, as STAYS, in process IN (run or trial). After each the same command without a fault ends as the undisturbed sweep.
fail_everywhere() { # NAME DO STAYS IN LONG SHORT
  local calls at lost=0 times=0 codes=""
  export FAULT_STAYS=$3 FAULT_IN=$4 FAULT_FILES=/cut/
  rm -rf cut && cp -r base cut
  sweep cut with_fault 0 "$2" >/dev/null
  calls=$(fault_calls)
  [ "$calls" -gt 3 ]
  for at in $(some_of "$(long_or "$5" "$6")" "$calls"); do
    rm -rf cut && cp -r base cut
    run sweep cut with_fault "$at" "$2"
    # trials that run side by side may write less than when the calls were counted
    [ "$(fault_struck)" -gt 0 ] || continue
    times=$((times + 1)) codes="$codes $status"
    echo "call $at of $calls, $(fault_what): $2, code $status: $output"
    # a trial that could not keep its weights is interrupted (75); what strikes after all is stored is no failure: a picture,
    # the merging of the journal
    [[ " 0 3 75 " == *" $status "* ]]
    [ "$status" -eq 0 ] || [[ "$output" =~ (disk|space|Input/output|Read-only|writable) ]]
    lost=$((lost + $(HARNESS_DB="$work/cut/harness.db" sql "SELECT count(*) FROM attempts WHERE status = 'done'" | awk '{ print $1 < 1 }')))
    sweep cut >/dev/null
    lost=$((lost + $(same)))
  done
  echo "$1: $times of $calls places, exit codes$(tr ' ' '\n' <<<"$codes" | sort | uniq -c | tr '\n' ' ')"
  [ "$times" -gt 2 ]
  injected "$1" $times $lost
}

# The sweep's own writes, its trials played: the database and its journal, the lock, logs, plots.
played() {
  file=experiment.json
  experiment rows=1 seeds=1
  sweep base >/dev/null
  experiment rows=1 seeds=3
  cp -r base whole
  sweep whole >/dev/null
}

@test "a disk that is full from the n-th write of a sweep on" {
  played
  fail_everywhere "disk full from the n-th write of the sweep's process on (ENOSPC)" ENOSPC 1 run 100000 8
  fail_everywhere "disk full in the middle of the n-th write" short 1 run 100000 4
}

@test "a write of a sweep that fails once" {
  played
  fail_everywhere "the n-th write of the sweep's process finds no space, the next does" ENOSPC "" run 100000 4
  fail_everywhere "the n-th write of the sweep's process fails (EIO)" EIO "" run 100000 6
}

@test "a disk that turns read-only at the n-th write of a sweep" {
  played
  fail_everywhere "disk read-only from the n-th write of the sweep's process on (EROFS)" EROFS 1 run 100000 6
}
@test "a disk that is full for a trial that trains: its checkpoint cannot be written" {
  unset HARNESS_TRIAL_PROGRAM
  "$harness" data phantom set --size 16 --cases 4 --validation 1 --organs 2 -q
  file=tiny.lua
  tiny_unet 40 | sed 's/batch = 1/batch = 1, save_every = 20, threads = 1/' >tiny.lua
  sweep base >/dev/null
  sed -i 's/seeds = 1/seeds = 3/' tiny.lua
  cp -r base whole
  sweep whole >/dev/null
  fail_everywhere "disk full from the n-th write of a training trial on: its checkpoint" ENOSPC 1 trial 100000 6
  fail_everywhere "the n-th write of a training trial fails (EIO)" EIO "" trial 100000 4
}

@test "a file that cannot be brought to the disk does not get its name: of a data set, its plan" {
  local calls at times=0
  export FAULT_CALLS=sync FAULT_FILES=/set
  with_fault 0 EIO "$harness" data phantom set --size 16 --cases 3 --validation 1 --organs 2 -q
  calls=$(fault_calls)
  [ "$calls" -ge 13 ] # six volumes and the description, each with its folder
  for at in $(some_of "$(long_or 100 4)" "$calls"); do
    rm -rf set
    run with_fault "$at" EIO "$harness" data phantom set --size 16 --cases 3 --validation 1 --organs 2 -q
    [ "$status" -eq 3 ]
    [[ "$output" == *"Input/output error"* ]]
    [ "$at" -eq "$calls" ] || [ -z "$(ls -d set* 2>/dev/null)" ] # the last is the folder's own name
    times=$((times + 1))
  done
  rm -rf set
  "$harness" data phantom set --size 16 --cases 3 --validation 1 --organs 2 -q
  run with_fault 1 EIO "$harness" data plan set
  [ "$status" -eq 3 ]
  [[ "$output" == *"set/"*".json: not written: Input/output error"* ]]
  [ -z "$(find set -name '*.json' ! -name dataset.json; find . -name '*.tmp-*')" ]
  "$harness" data plan set -q >/dev/null
  injected "a file of a data set that cannot be brought to the disk (EIO)" $((times + 1)) 0
}
