#!/usr/bin/env bats
# A dry run is honest: what is done it asks of the database, also where the data set was never made; what cannot be built
# here would fail; it ends with hours and memory.

load work

setup() {
  work_in "$(mktemp -d)"
  tiny="queries=1,2 seeds=1 steps=2 widths=8,8,16,16 phantom_size=16,16,16 patch=16,16,16 phantom_cases=2 phantom_validation=1 key_grid=4,4,4 collapse_dice=0"
  mkdir home
  for part in lua paper experiments; do ln -s "$root/$part" "home/$part"; done
}

teardown() {
  rm -rf "$work"
}

dry() {
  # shellcheck disable=SC2086
  HARNESS_HOME="$work/home" run "$harness" run "$root/experiments/query_count.lua" $tiny --dry-run "$@"
  echo "$output"
}

@test "a fresh clone with a mailed database has nothing to run, and makes no data to know it" {
  # shellcheck disable=SC2086
  HARNESS_HOME="$work/home" "$harness" run -q "$root/experiments/query_count.lua" $tiny >/dev/null
  rm -rf results/data home/results/data
  dry
  [ "$status" -eq 0 ]
  [[ "$output" == *"0 of 2 trials would run"* ]]
  [[ "$output" != *"memory of the largest"* ]]
  [ ! -e results/data ] && [ ! -e home/results/data ]
  dry phantom_seed=2 # other data
  [[ "$output" == *"2 of 2 trials would run"* ]]
  dry seeds=2 # as fast as those that are stored
  [ "$status" -eq 0 ]
  [[ "$output" == *"2 of 4 trials would run"* ]]
  [[ "${lines[-1]}" =~ ^training:\ about\ [0-9.]+\ (s|min|h),\ [0-9]+\ at\ a\ time,.*\ memory\ of\ the\ largest:\ [0-9.]+\ (KiB|MiB)$ ]]
}

@test "a network that cannot be built here would fail, and says why; the others would run" {
  dry hidden=47
  [ "$status" -eq 3 ]
  [[ "$output" == *"(would fail: "*47* ]]
  [[ "$output" == *"2 of these would fail here"* ]]
  dry widths=8,8
  [ "$status" -eq 3 ]
  if ! "$harness" doctor 2>/dev/null | grep -q 'bf16.*works\|+bf16'; then
    dry dtype=bf16
    [ "$status" -eq 3 ]
    [[ "$output" == *"(would fail: "*bf16* ]]
  fi
  dry
  [ "$status" -eq 0 ]
  [[ "${lines[-1]}" =~ ^training:\ .*\ TFLOP,\ hours\ are\ not\ known.*\ memory\ of\ the\ largest:\  ]]
}

@test "a device that is not here is told before the run" {
  "$harness" doctor 2>/dev/null | grep -q "compute capability" && skip "a GPU is here"
  dry --device cuda
  [ "$status" -eq 3 ]
  [[ "$output" == *cuda* || "$output" == *CUDA* ]]
}
