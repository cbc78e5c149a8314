#!/usr/bin/env bats
# Trials that really train, on a tiny net: their weights do not depend on who prepares the batches.

load cli
load fault

setup() {
  work_in "$(mktemp -d)"
  "$harness" data phantom data --size 16 --cases 4 --validation 2 --organs 3 -q
}

become_run() { # database's folder, more arguments
  export HARNESS_DB="$work/$1/harness.db"
  exec timeout -k 5 120 "$harness" run "$root/experiments/query_count.lua" \
    data="$work/data" queries=1 seeds=1 steps=60 patch=16,24,16 widths=8,16 strides=1,1,1,2,2,2 \
    kernels=3,3,3,3,3,3 head=point_wise bridge=none augment=nnunet collapse_dice=0 "${@:2}"
}

train() {
  (become_run "$@")
}

weights() {
  sha256sum <"$work/$1"/checkpoints/*.safetensors
}

@test "any number of workers gives the same weights, and is no part of the trial's identity" {
  for workers in 0 1 3; do
    train "w$workers" --workers "$workers" >/dev/null 2>"said$workers"
    grep -Eq 'done 1/1 .*, waited [0-9.]+ % for data' "said$workers"
    grep -Eq "trained .* s, waited .* for data \($workers worker" "w$workers"/logs/*.log
  done
  [ "$(weights w0)" = "$(weights w1)" ]
  [ "$(weights w0)" = "$(weights w3)" ]
  train w0 --workers 2 --dry-run | grep -q '^0 of 1 trials would run'
}

@test "a trial interrupted while workers run goes on to the same weights" {
  train whole save_every=7 --workers 0 >/dev/null 2>&1
  export FAULT_IN=trial FAULT_FILES=/checkpoints FAULT_CALLS=rename
  with_fault 1 stop become_run cut save_every=7 --workers 3 >/dev/null 2>said &
  wait_for stands_still
  kill -TERM $! # timeout passes it on
  goes_on
  wait $! || true
  grep -q 'interrupted 1/1' said
  train cut save_every=7 --workers 1 >/dev/null 2>said
  grep -q 'done 1/1' said
  [ "$(weights cut)" = "$(weights whole)" ]
}

@test "a number of workers that cannot be is refused" {
  for wrong in -1 1.5 many 65; do
    run train bad --workers "$wrong"
    [ "$status" -eq 2 ]
    [[ "$output" == *"--workers"* ]]
  done
}
