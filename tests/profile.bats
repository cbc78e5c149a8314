#!/usr/bin/env bats
# A trial that really trains, for a few steps on a tiny net, with its profile.

load cli

@test "run --profile names every op with its time and share, and the shares add up" {
  unset HARNESS_TRIAL_PROGRAM
  "$harness" data phantom "$work/data" --size 16 --cases 4 --validation 2 --organs 3 -q
  "$harness" run "$root/experiments/query_count.lua" data="$work/data" queries=1 seeds=1 steps=4 \
    patch=16,16,16 widths=8,16 strides=1,1,1,2,2,2 kernels=3,3,3,3,3,3 head=point_wise bridge=none \
    --profile >/dev/null 2>said
  grep -q 'profile of 3 training steps, 1 threads' said
  grep -Eq '\| conv +backward +6 +[0-9.]+ +[0-9.]+% ' said
  awk '/\| [a-z_]+ +(forward|backward) / { sub("%", "", $6); share += $6; if ($5 < 0) bad = 1 }
       END { exit bad || share < 99 || share > 101 }' said
}

@test "without --profile nothing is profiled" {
  unset HARNESS_TRIAL_PROGRAM
  "$harness" data phantom "$work/data" --size 16 --cases 4 --validation 2 --organs 3 -q
  "$harness" run "$root/experiments/query_count.lua" data="$work/data" queries=1 seeds=1 steps=2 \
    patch=16,16,16 widths=8,16 strides=1,1,1,2,2,2 kernels=3,3,3,3,3,3 head=point_wise bridge=none \
    >/dev/null 2>said
  refute grep -q profile said results/logs/*
}

@test "a trial in bf16 is another trial than one in float32, and says so" {
  unset HARNESS_TRIAL_PROGRAM
  "$harness" doctor --json | grep -q 'dtype=bf16 can be used' || skip "this processor has no bf16"
  "$harness" data phantom "$work/data" --size 16 --cases 4 --validation 2 --organs 3 -q
  for dtype in float32 bf16; do
    "$harness" run "$root/experiments/query_count.lua" data="$work/data" queries=1 seeds=1 steps=2 \
      patch=16,16,16 widths=16,32 strides=1,1,1,2,2,2 kernels=3,3,3,3,3,3 head=point_wise bridge=none \
      dtype=$dtype >/dev/null
  done
  "$harness" runs list --json >list
  [ "$(grep -c '"status": *"done"' list)" -eq 2 ]
  run "$harness" run "$root/experiments/query_count.lua" dtype=float16
  [ "$status" -eq 2 ]
  [[ $output == *"float32, bf16"* ]]
}
